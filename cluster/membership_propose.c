/* membership_propose.c - what this node writes to the control channel: genesis, itself, and an operator's words
 *
 * A proposal is the present view with what this node wants changed, its number one higher. It is made anew from the view
 * of the moment whenever one is due; nothing of an older one is kept.
 */
#include "cluster/membership_state.h"

static bool wanted(const membership_t *self);
static bool make_founding(membership_t *self);
static bool make_view(membership_t *self);
static view_member_t myself(const membership_t *self, const view_t *view);
static bool put_self(membership_t *self, view_t *next);
static bool obey(membership_t *self, view_t *next);
static bool obey_move(membership_t *self, const view_t *next, view_move_t *move);
static size_t dead_twin(const membership_t *self);
static void take_out(view_t *next, size_t member);
static errcode_t take_order(membership_t *self, order_t order, const hash_t *node, err_t *err);
static errcode_t may_move(const membership_t *self, uint16_t partition, size_t member, err_t *err);
static bool leaves_nobody(const membership_t *self, size_t member);

errcode_t membership_drain(membership_t *self, const hash_t *node, err_t *err)
{
    errcode_t rc = take_order(self, ORDER_DRAIN, node, err);

    if (rc != ERR_NONE)
        return rc;
    if (leaves_nobody(self, view_member(self->view, node))) {
        self->order = ORDER_NONE;
        return err_set(err, ERR_STATE, "no other member takes partitions: it cannot be drained");
    }
    return ERR_NONE;
}

errcode_t membership_admit(membership_t *self, const hash_t *node, err_t *err)
{
    return take_order(self, ORDER_ADMIT, node, err);
}

errcode_t membership_forget(membership_t *self, const hash_t *node, err_t *err)
{
    errcode_t rc = take_order(self, ORDER_FORGET, node, err);
    size_t member;

    if (rc != ERR_NONE)
        return rc;
    member = view_member(self->view, node);
    self->order = ORDER_NONE;
    if (member == self->me)
        return err_set(err, ERR_STATE, "this node cannot forget itself: ask another one");
    if (self->count < MEMBERSHIP_SILENCE)
        return err_set(err, ERR_STATE,
                       "this node cannot tell yet who is alive: try again in some seconds");
    if (membership_alive(self, member))
        return err_set(err, ERR_STATE, "%s is alive: stop or drain it first",
                       self->view->members[member].address);
    if (leaves_nobody(self, member))
        return err_set(err, ERR_STATE, "no other member takes partitions: it cannot be forgotten");
    self->order = ORDER_FORGET;
    return ERR_NONE;
}

errcode_t membership_move(membership_t *self, uint16_t partition, const hash_t *node, err_t *err)
{
    uint16_t underway = self->order_partition;
    bool busy = self->order != ORDER_NONE;
    errcode_t rc = take_order(self, ORDER_MOVE, node, err);

    if (rc != ERR_NONE)
        return rc;
    if (busy && underway != partition)
        return err_set(err, ERR_IN_PROGRESS, "partition %u is being given away; ask again",
                       underway);
    size_t member = view_member(self->view, node);
    self->order = ORDER_NONE;
    rc = may_move(self, partition, member, err);
    if (rc == ERR_NONE && self->view->moved[partition] != member + 1) {
        self->order = ORDER_MOVE;
        self->order_partition = partition;
    }
    return rc;
}

static errcode_t may_move(const membership_t *self, uint16_t partition, size_t member, err_t *err)
{
    const view_t *view = self->view;
    const char *address = view->members[member].address;

    if (partition > view->partitions)
        return err_set(err, ERR_NOT_FOUND, "partitions are numbered 0 to %u", view->partitions);
    if (view->copies[partition][0] == member && membership_holder(self, partition) == member)
        return err_set(err, ERR_STATE, "partition %u is owned by %s already", partition, address);
    if (view->feature < VIEW_FEATURE_MOVES)
        return err_set(
            err, ERR_STATE,
            "some members run a version that knows no moves by hand: upgrade them first");
    if (view->members[member].weight == 0)
        return err_set(err, ERR_STATE, "%s is drained: admit it first", address);
    if (member != self->me && !membership_alive(self, member))
        return err_set(err, ERR_STATE, "%s is not heard: nothing can be moved to it", address);
    if (view_rank(view, partition, member) != SIZE_MAX &&
        !membership_close(self, member, partition))
        return err_set(err, ERR_STATE,
                       "%s is more than %d records behind in partition %u: ask again when "
                       "`fealty cluster status` shows it as ready",
                       address, MEMBERSHIP_CLOSE, partition);
    return ERR_NONE;
}

void membership_propose(membership_t *self, int64_t boot_us)
{
    if (!self->caught_up || self->stopping || self->replaced || self->too_old || self->headless)
        return;
    if (boot_us < self->propose_after_us || !wanted(self) ||
        (self->proposed && boot_us < self->propose_again_us))
        return;
    self->proposed = self->founded ? make_view(self) : make_founding(self);
    self->control_due = self->proposed;
    if (!self->proposed) {
        if (wanted(self)) /* and cannot be: not at every tick again */
            self->propose_after_us = boot_us + MEMBERSHIP_RETRY_US;
        return;
    }
    self->proposed_hash =
        hash64(MEMBERSHIP_PROPOSAL_SEED, self->control_out.bytes, self->control_out.size);
    self->propose_again_us = boot_us + MEMBERSHIP_RETRY_US;
}

/* Asked at every tick: without a look at the whole view. */
static bool wanted(const membership_t *self)
{
    view_member_t member;

    if (self->me == SIZE_MAX || self->order != ORDER_NONE || dead_twin(self) != SIZE_MAX)
        return true;
    member = myself(self, self->view);
    return memcmp(&member, &self->view->members[self->me], sizeof member) != 0;
}

static bool make_founding(membership_t *self)
{
    founding_t founding = {.partitions = self->config.partitions,
                           .followers = self->config.followers,
                           .hash_version = CHANNEL_HASH_VERSION};

    random_fill(self->config.random, founding.cluster.bytes, sizeof founding.cluster.bytes);
    buffer_reset(&self->control_out);
    founding_encode(&founding, &self->control_out);
    INVARIANT(!self->control_out.failed);
    return true;
}

/* false: the present view is as this node wants it, or cannot be made so. */
static bool make_view(membership_t *self)
{
    view_t *next = self->spare;
    view_move_t move;
    uint32_t lowest = UINT32_MAX;
    bool changed, moves;
    err_t err;

    if (self->viewed) {
        *next = *self->view;
    } else {
        memset(next, 0, sizeof *next);
        next->cluster = self->founding.cluster;
        next->partitions = self->founding.partitions;
        next->followers = self->founding.followers;
    }
    changed = put_self(self, next);
    changed |= obey(self, next);
    if (self->viewed && dead_twin(self) != SIZE_MAX) {
        size_t twin = view_member(next, &self->view->members[dead_twin(self)].node);
        if (twin != SIZE_MAX) {
            take_out(next, twin);
            changed = true;
        }
    }
    moves = obey_move(self, next, &move);
    if (!changed && !moves)
        return false;
    next->number++;
    for (size_t i = 0; i < next->member_count; i++) {
        if (next->members[i].feature < lowest)
            lowest = next->members[i].feature;
    }
    if (next->feature < lowest)
        next->feature = lowest;
    if (view_place_moved(self->viewed ? self->view : NULL, next, moves ? &move : NULL, &err) !=
        ERR_NONE) {
        self->order = ORDER_NONE;
        membership_set_trouble(self, "no view can be proposed: %s", err.text);
        return false;
    }
    buffer_reset(&self->control_out);
    view_encode(next, &self->control_out);
    INVARIANT(!self->control_out.failed);
    if (view_decode(next, self->control_out.bytes, self->control_out.size, &err) != ERR_NONE) {
        membership_set_trouble(self,
                               "this node's address %s or its rack cannot stand in a view: %s",
                               self->address, err.text);
        return false;
    }
    self->trouble[0] = '\0';
    return true;
}

/* As this node should stand in the view; every byte is set, so that it can be compared. */
static view_member_t myself(const membership_t *self, const view_t *view)
{
    size_t me = view_member(view, &self->config.node);
    view_member_t member;

    memset(&member, 0, sizeof member);
    member.node = self->config.node;
    member.incarnation = self->config.incarnation;
    memcpy(member.address, self->address, sizeof member.address);
    memcpy(member.rack, self->rack, sizeof member.rack);
    member.weight = self->config.weight;
    member.feature = VIEW_FEATURE_LEVEL;
    /* Drained: an operator's word, which a restart does not take back. */
    if (me != SIZE_MAX && view->members[me].weight == 0)
        member.weight = 0;
    return member;
}

static bool put_self(membership_t *self, view_t *next)
{
    view_member_t member = myself(self, next);
    size_t me = view_member(next, &self->config.node);

    if (me == SIZE_MAX && next->member_count == VIEW_MEMBERS_MAX) {
        membership_set_trouble(self, "the cluster has %d members already: this node cannot join",
                               VIEW_MEMBERS_MAX);
        return false;
    }
    if (me == SIZE_MAX)
        me = next->member_count++;
    else if (memcmp(&next->members[me], &member, sizeof member) == 0)
        return false;
    next->members[me] = member;
    return true;
}

/* A member that stands under this node's own address and is silent: a node whose disk was replaced, since two processes
 * cannot listen there. Its place would otherwise keep partitions that nobody can own. */
static size_t dead_twin(const membership_t *self)
{
    if (self->me == SIZE_MAX || self->count < MEMBERSHIP_SILENCE)
        return SIZE_MAX;
    for (size_t i = 0; i < self->view->member_count; i++)
        if (i != self->me && strcmp(self->view->members[i].address, self->address) == 0 &&
            !membership_alive(self, i) && membership_silence(self, i) >= 2 * MEMBERSHIP_SILENCE)
            return i;
    return SIZE_MAX;
}

static void take_out(view_t *next, size_t member)
{
    memmove(&next->members[member], &next->members[member + 1],
            (next->member_count - member - 1) * sizeof next->members[0]);
    next->member_count--;
}

/* What the operator wants; done, or not possible any more: nothing. */
static bool obey(membership_t *self, view_t *next)
{
    size_t member = self->order != ORDER_NONE ? view_member(next, &self->order_node) : SIZE_MAX;
    order_t order = self->order;

    if (order == ORDER_MOVE)
        return false;
    if (member == SIZE_MAX) {
        self->order = ORDER_NONE;
        return false;
    }
    if (order == ORDER_FORGET) {
        if (membership_alive(self, view_member(self->view, &self->order_node))) {
            self->order = ORDER_NONE;
            membership_set_trouble(self, "%s is heard again: it was not forgotten",
                                   next->members[member].address);
            return false;
        }
        take_out(next, member);
        return true;
    }
    if ((next->members[member].weight == 0) == (order == ORDER_DRAIN)) {
        self->order = ORDER_NONE;
        return false;
    }
    /* An admitted node proposes its own weight as soon as it reads that it has one. */
    next->members[member].weight = order == ORDER_DRAIN ? 0 : 100;
    return true;
}

/* In the order in which words came: a member that was drained meanwhile is given nothing. */
static bool obey_move(membership_t *self, const view_t *next, view_move_t *move)
{
    size_t now, member;

    if (self->order != ORDER_MOVE)
        return false;
    now = view_member(self->view, &self->order_node);
    member = view_member(next, &self->order_node);
    if (now == SIZE_MAX || member == SIZE_MAX || next->members[member].weight == 0 ||
        self->view->moved[self->order_partition] == now + 1) {
        self->order = ORDER_NONE;
        return false;
    }
    *move = (view_move_t){.partition = self->order_partition, .member = member};
    return true;
}

static errcode_t take_order(membership_t *self, order_t order, const hash_t *node, err_t *err)
{
    if (!self->joined || self->replaced || self->too_old || self->stopping)
        return err_set(err, ERR_STATE, "this node is not in a state to change the cluster: %s",
                       self->trouble[0] != '\0' ? self->trouble
                       : self->stopping         ? "it stops"
                                                : "it has not joined yet");
    if (view_member(self->view, node) == SIZE_MAX)
        return err_set(err, ERR_NOT_FOUND, "the cluster has no such member");
    if (self->order != ORDER_NONE && (self->order != order || !hash_equal(&self->order_node, node)))
        return err_set(err, ERR_IN_PROGRESS, "another change of the members is on its way");
    self->order = order;
    self->order_node = *node;
    return ERR_NONE;
}

static bool leaves_nobody(const membership_t *self, size_t member)
{
    for (size_t i = 0; i < self->view->member_count; i++) {
        if (i != member && self->view->members[i].weight > 0)
            return false;
    }
    return true;
}
