/* membership.c - the two channels: what is read from them, and what this node writes to them
 *
 * Views: a proposal is a whole view with the next number; it holds when it is read back first of its number. So there is
 * nothing to agree on but the order of the log, and who loses looks at the winner and proposes again what still differs.
 * Heartbeats: the own ones that come back are the clock of everybody's silence. One counts only when the log's time of it
 * lies half a beat from the one counted before: what queued up during an outage and lands at once is one beat.
 */
#include "cluster/membership_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOSER_WAIT_US 500001 /* 0 to 500 ms */

static void on_founding(membership_t *self, const journal_record_t *record);
static void on_view(membership_t *self, const journal_record_t *record, int64_t boot_us);
static void accept_view(membership_t *self);
static void on_skip(membership_t *self, const journal_record_t *record);
static void on_adoption(membership_t *self, const journal_record_t *record);
static void retire(membership_t *self, const view_t *before);
static void seat_peers(membership_t *self, const view_t *before);
static void renumber_holdings(membership_t *self, const view_t *before);
static void find_wishes_to_follow(membership_t *self);
static void on_liveness(membership_t *self, const journal_record_t *record, int64_t boot_us);
static void on_own_beat(membership_t *self, int64_t log_time_us, int64_t boot_us);
static peer_t *seat_of(membership_t *self, const hash_t *node);
static void listen(membership_t *self, peer_t *peer);
static void make_beat(membership_t *self, int64_t wall_us);

membership_t *membership_new(const membership_config_t *config)
{
    membership_t *self = memory_zalloc(sizeof *self);

    INVARIANT(config->partitions > 0 && config->partitions <= VIEW_PARTITIONS_MAX);
    INVARIANT(config->followers < VIEW_COPIES_MAX);
    self->config = *config;
    (void)snprintf(self->address, sizeof self->address, "%s", config->address);
    (void)snprintf(self->rack, sizeof self->rack, "%s", config->rack != NULL ? config->rack : "");
    self->config.address = self->address;
    self->config.rack = self->rack;
    self->view = memory_zalloc(sizeof *self->view);
    self->spare = memory_zalloc(sizeof *self->spare);
    self->scratch = memory_zalloc(sizeof *self->scratch);
    self->me = SIZE_MAX;
    buffer_init(&self->control_out, VIEW_BYTES_MAX);
    buffer_init(&self->beat_out, LIVENESS_BYTES_MAX);
    return self;
}

void membership_destroy(membership_t **self_p)
{
    membership_t *self = *self_p;

    if (self == NULL)
        return;
    for (size_t i = 0; i < VIEW_MEMBERS_MAX; i++)
        free(self->peers[i].said);
    buffer_free(&self->control_out);
    buffer_free(&self->beat_out);
    free(self->scratch);
    free(self->spare);
    free(self->view);
    free(self);
    *self_p = NULL;
}

void membership_on_record(membership_t *self, const journal_record_t *record, int64_t wall_us,
                          int64_t boot_us)
{
    channel_head_t head;

    (void)wall_us;
    if (record->bytes == NULL)
        return; /* reading broke off: the driver follows again */
    if (!channel_head_read(&head, record->bytes, record->n)) {
        self->records_bad++;
        return;
    }
    if (record->partition == JOURNAL_LIVENESS) {
        if (head.kind == CHANNEL_LIVENESS && head.version <= LIVENESS_VERSION)
            on_liveness(self, record, boot_us);
        else
            self->records_ignored++;
        return;
    }
    if (record->partition != JOURNAL_CONTROL) {
        self->records_bad++;
        return;
    }
    if (self->founded && !hash_equal(&head.cluster, &self->founding.cluster)) {
        self->records_ignored++;
        return;
    }
    if (head.version > channel_newest(head.kind) &&
        (head.kind == CHANNEL_GENESIS || head.kind == CHANNEL_VIEW || head.kind == CHANNEL_SKIP ||
         head.kind == CHANNEL_ADOPTION)) {
        self->too_old = true;
        membership_set_trouble(
            self,
            "the control channel holds a record of version %llu, this program reads %u: "
            "upgrade this node",
            (unsigned long long)head.version, channel_newest(head.kind));
        return;
    }
    switch (head.kind) {
    case CHANNEL_GENESIS: on_founding(self, record); break;
    case CHANNEL_VIEW: on_view(self, record, boot_us); break;
    case CHANNEL_SKIP: on_skip(self, record); break;
    case CHANNEL_ADOPTION: on_adoption(self, record); break;
    default: self->records_ignored++; /* of a later feature level, which has no use for us */
    }
}

void membership_caught_up(membership_t *self)
{
    self->caught_up = true;
    self->look_now = true;
}

void membership_on_tick(membership_t *self, int64_t wall_us, int64_t boot_us)
{
    if (self->look_now || boot_us >= self->look_at_us) {
        membership_look(self);
        self->look_now = false;
        self->look_at_us = boot_us + MEMBERSHIP_LOOK_US;
    }
    if (self->joined && !self->replaced && boot_us >= self->beat_at_us) {
        make_beat(self, wall_us);
        self->beat_at_us = boot_us + MEMBERSHIP_HEARTBEAT_US;
    }
    membership_propose(self, boot_us);
}

bool membership_next_record(membership_t *self, uint16_t *channel, buffer_t *out)
{
    buffer_t *from = self->control_due ? &self->control_out : &self->beat_out;

    if (!self->control_due && !self->beat_due)
        return false;
    *channel = self->control_due ? JOURNAL_CONTROL : JOURNAL_LIVENESS;
    if (self->control_due)
        self->control_due = false;
    else
        self->beat_due = false;
    buffer_reset(out);
    buffer_append(out, from->bytes, from->size);
    return true;
}

bool membership_next_wish(membership_t *self, membership_wish_t *wish, uint16_t *partition)
{
    size_t count = self->viewed ? (size_t)self->view->partitions + 1 : 0;

    for (; self->wish_cursor < count; self->wish_cursor++) {
        track_t *track = &self->tracks[self->wish_cursor];

        for (unsigned kind = MEMBERSHIP_FOLLOW; kind <= MEMBERSHIP_RELEASE; kind++) {
            if ((track->wishes & 1u << kind) == 0)
                continue;
            track->wishes &= (uint8_t) ~(1u << kind);
            *wish = (membership_wish_t)kind;
            *partition = (uint16_t)self->wish_cursor;
            return true;
        }
    }
    self->wish_cursor = 0;
    return false;
}

void membership_stop(membership_t *self)
{
    self->stopping = true;
    self->look_now = true;
    self->beat_at_us = INT64_MIN;
    self->order = ORDER_NONE;
    self->control_due = false;
    for (size_t p = 0; p <= VIEW_PARTITIONS_MAX; p++)
        self->tracks[p].wishes &= (uint8_t) ~(1u << MEMBERSHIP_CLAIM);
}

const view_t *membership_view(const membership_t *self)
{
    return self->viewed ? self->view : NULL;
}

bool membership_joined(const membership_t *self)
{
    return self->joined;
}

bool membership_replaced(const membership_t *self)
{
    return self->replaced;
}

bool membership_heard_self(const membership_t *self, int64_t boot_us)
{
    return self->heard_self &&
           boot_us - self->heard_self_us <= MEMBERSHIP_SILENCE * MEMBERSHIP_HEARTBEAT_US;
}

int64_t membership_clock_off_us(const membership_t *self)
{
    return self->clock_off_us;
}

const char *membership_trouble(const membership_t *self)
{
    return self->trouble[0] != '\0' ? self->trouble : NULL;
}

/* --- control ------------------------------------------------------------------------------------- */

static void on_founding(membership_t *self, const journal_record_t *record)
{
    founding_t founding;

    if (founding_decode(&founding, record->bytes, record->n, NULL) != ERR_NONE) {
        self->records_bad++;
        return;
    }
    if (self->founded || self->headless) {
        self->records_ignored++;
        return;
    }
    self->founding = founding;
    self->founded = true;
    self->proposed = false;
    if (founding.hash_version != CHANNEL_HASH_VERSION) {
        self->too_old = true;
        membership_set_trouble(
            self,
            "this cluster gives customers to partitions by rule %u, this program knows %d: "
            "upgrade this node",
            founding.hash_version, CHANNEL_HASH_VERSION);
    }
    for (size_t i = 0; i < VIEW_MEMBERS_MAX; i++) {
        peer_t *peer = &self->peers[i];

        if (peer->said == NULL || hash_equal(&peer->said->beat.cluster, &founding.cluster))
            continue;
        free(peer->said);
        *peer = (peer_t){.used = false};
    }
}

static void on_view(membership_t *self, const journal_record_t *record, int64_t boot_us)
{
    const view_t *view = self->spare;

    if (view_decode(self->spare, record->bytes, record->n, NULL) != ERR_NONE) {
        self->records_bad++;
        return;
    }
    if (!self->founded) {
        /* To found another cluster here would part the nodes that know this one from those that come. */
        self->headless = true;
        membership_set_trouble(
            self, "the control channel does not begin with its genesis: its first records are "
                  "lost");
        return;
    }
    if (view->number != (self->viewed ? self->view->number : 0) + 1 ||
        view->partitions != self->founding.partitions) {
        self->records_ignored++;
        return;
    }
    if (self->proposed &&
        hash64(MEMBERSHIP_PROPOSAL_SEED, record->bytes, record->n) != self->proposed_hash) {
        uint32_t random;

        random_fill(self->config.random, &random, sizeof random);
        self->propose_after_us = boot_us + random % LOSER_WAIT_US;
    }
    self->proposed = false;
    self->control_due = false;
    accept_view(self);
}

/* Whether it counts depends on nothing but what stands before it in the channel. */
static void on_skip(membership_t *self, const journal_record_t *record)
{
    hash_t cluster;
    skip_t skip;

    if (skip_decode(&skip, &cluster, record->bytes, record->n, NULL) != ERR_NONE) {
        self->records_bad++;
        return;
    }
    if (!self->viewed || self->view->feature < VIEW_FEATURE_SKIPS ||
        skip.partition > self->founding.partitions) {
        self->records_ignored++;
        return;
    }
    if (self->config.skip != NULL)
        self->config.skip(self->config.state, &skip);
}

static void on_adoption(membership_t *self, const journal_record_t *record)
{
    hash_t cluster;
    adoption_t adoption;

    if (adoption_decode(&adoption, &cluster, record->bytes, record->n, NULL) != ERR_NONE) {
        self->records_bad++;
        return;
    }
    if (!self->viewed || self->view->feature < VIEW_FEATURE_ADOPTIONS ||
        adoption.partition > self->founding.partitions) {
        self->records_ignored++;
        return;
    }
    if (self->config.adoption != NULL)
        self->config.adoption(self->config.state, &adoption);
}

/* self->spare becomes the view. */
static void accept_view(membership_t *self)
{
    view_t *before = self->view;
    const view_t *view = self->spare;
    size_t me = view_member(view, &self->config.node);
    bool joined =
        me != SIZE_MAX && hash_equal(&view->members[me].incarnation, &self->config.incarnation);

    self->view = self->spare;
    self->spare = before;
    if (!self->viewed)
        before = NULL;
    self->viewed = true;
    self->me = me;
    self->joined = joined;
    if (self->was_joined && me != SIZE_MAX && !joined) {
        self->replaced = true;
        self->beat_due = false;
        for (size_t p = 0; p <= VIEW_PARTITIONS_MAX; p++)
            self->tracks[p].wishes = 0;
        membership_set_trouble(
            self, "another process has joined as this node: this one was replaced and stops");
    }
    self->was_joined |= joined;
    if (view->feature > VIEW_FEATURE_LEVEL) {
        self->too_old = true;
        membership_set_trouble(
            self, "the cluster works at feature level %u, this program knows %d: upgrade this node",
            view->feature, VIEW_FEATURE_LEVEL);
    }
    if (before != NULL)
        retire(self, before);
    seat_peers(self, before);
    if (before != NULL)
        renumber_holdings(self, before);
    membership_set_holders(self);
    if (!self->replaced)
        find_wishes_to_follow(self);
    self->look_now = true;
}

/* Incarnations that the new view does not hold any more. */
static void retire(membership_t *self, const view_t *before)
{
    for (size_t i = 0; i < before->member_count; i++) {
        size_t now = view_member(self->view, &before->members[i].node);

        if (now != SIZE_MAX &&
            hash_equal(&self->view->members[now].incarnation, &before->members[i].incarnation))
            continue;
        self->retired[self->retired_count++ % MEMBERSHIP_RETIRED] = before->members[i].incarnation;
    }
}

/* A seat for each member; silence is counted from when a process came into the view. */
static void seat_peers(membership_t *self, const view_t *before)
{
    for (size_t i = 0; i < self->view->member_count; i++) {
        const view_member_t *member = &self->view->members[i];
        peer_t *peer = seat_of(self, &member->node);
        size_t was = before != NULL ? view_member(before, &member->node) : SIZE_MAX;

        INVARIANT(peer != NULL); /* as many seats as members */
        self->slots[i] = (uint8_t)(peer - self->peers);
        if (was == SIZE_MAX || !hash_equal(&before->members[was].incarnation, &member->incarnation))
            peer->heard_at = self->count;
    }
}

/* Of a node, by its seat: an old one, a free one, or that of a node that the view does not hold. NULL: all taken. */
static peer_t *seat_of(membership_t *self, const hash_t *node)
{
    peer_t *seat = NULL;

    for (size_t i = 0; i < VIEW_MEMBERS_MAX; i++) {
        if (self->peers[i].used && hash_equal(&self->peers[i].node, node))
            return &self->peers[i];
    }
    for (size_t i = 0; i < VIEW_MEMBERS_MAX && seat == NULL; i++) {
        if (!self->peers[i].used)
            seat = &self->peers[i];
    }
    for (size_t i = 0; i < VIEW_MEMBERS_MAX && seat == NULL; i++) {
        if (!self->viewed || view_member(self->view, &self->peers[i].node) == SIZE_MAX)
            seat = &self->peers[i];
    }
    if (seat != NULL) {
        free(seat->said);
        *seat = (peer_t){.used = true, .node = *node, .heard_at = self->count};
    }
    return seat;
}

/* The same member may have another index now. */
static void renumber_holdings(membership_t *self, const view_t *before)
{
    for (size_t p = 0; p <= self->view->partitions; p++) {
        holding_t *holding = &self->tracks[p].holding;

        if (holding->kind == HOLDING_MEMBER && holding->member < before->member_count)
            holding->member = view_member(self->view, &before->members[holding->member].node);
    }
}

static void find_wishes_to_follow(membership_t *self)
{
    for (size_t p = 0; p <= self->view->partitions && self->me != SIZE_MAX; p++) {
        if (self->tracks[p].following || view_rank(self->view, (uint16_t)p, self->me) == SIZE_MAX)
            continue;
        membership_wish(self, (uint16_t)p, MEMBERSHIP_FOLLOW);
        self->tracks[p].following = true;
    }
}

/* --- liveness ------------------------------------------------------------------------------------ */

static void on_liveness(membership_t *self, const journal_record_t *record, int64_t boot_us)
{
    const liveness_t *beat = self->scratch;
    peer_t *peer;

    if (liveness_decode(self->scratch, record->bytes, record->n, NULL) != ERR_NONE) {
        self->records_bad++;
        return;
    }
    if (self->founded && !hash_equal(&beat->cluster, &self->founding.cluster)) {
        self->records_ignored++;
        return;
    }
    /* Of a predecessor of this process, or of one that took its place: that stands in the view, not here. */
    if (hash_equal(&beat->node, &self->config.node) &&
        !hash_equal(&beat->incarnation, &self->config.incarnation)) {
        self->records_ignored++;
        return;
    }
    peer = seat_of(self, &beat->node);
    if (peer == NULL) {
        self->records_ignored++;
        return;
    }
    if (peer->said != NULL && hash_equal(&peer->said->beat.incarnation, &beat->incarnation)) {
        /* The log may hold a record twice: the second one is no sign of life. */
        if (beat->number <= peer->said->beat.number) {
            self->records_ignored++;
            return;
        }
    } else if (peer->said != NULL && self->viewed) {
        size_t member = view_member(self->view, &beat->node);

        if (member != SIZE_MAX && membership_said(self, member) != NULL) {
            self->records_ignored++;
            return;
        }
    }
    listen(self, peer);
    peer->log_time_us = record->log_time_us;
    if (hash_equal(&beat->node, &self->config.node))
        on_own_beat(self, record->log_time_us, boot_us);
    peer->heard_at = self->count;
    peer->stale = false;
    self->holders_stale = true;
    self->look_now = true;
}

/* Takes over what self->scratch says. */
static void listen(membership_t *self, peer_t *peer)
{
    const liveness_t *beat = self->scratch;
    bool first = peer->said == NULL;

    if (first)
        peer->said = memory_alloc(sizeof *peer->said);
    first = first || !hash_equal(&peer->said->beat.incarnation, &beat->incarnation);
    for (size_t p = 0; p <= VIEW_PARTITIONS_MAX; p++) {
        if (!channel_bit(beat->stuck, (uint16_t)p))
            peer->said->stuck_since[p] = UINT64_MAX;
        else if (first || peer->said->stuck_since[p] == UINT64_MAX)
            peer->said->stuck_since[p] = self->count;
    }
    peer->said->beat = *beat;
}

static void on_own_beat(membership_t *self, int64_t log_time_us, int64_t boot_us)
{
    int64_t step = log_time_us - self->counted_us;

    self->clock_off_us = self->scratch->wall_us - log_time_us;
    self->heard_self = true;
    self->heard_self_us = boot_us;
    if (self->count > 0 && step > -MEMBERSHIP_HEARTBEAT_US / 2 &&
        step < MEMBERSHIP_HEARTBEAT_US / 2)
        return;
    self->counted_us = log_time_us;
    if (self->count++ > 0)
        return;
    /* The first one: what was said long before it is history, not life. */
    for (size_t i = 0; i < VIEW_MEMBERS_MAX; i++) {
        peer_t *peer = &self->peers[i];

        peer->stale = peer->said != NULL && log_time_us - peer->log_time_us >
                                                MEMBERSHIP_SILENCE * MEMBERSHIP_HEARTBEAT_US;
    }
}

static void make_beat(membership_t *self, int64_t wall_us)
{
    liveness_t *beat = self->scratch;

    memset(beat, 0, sizeof *beat);
    beat->cluster = self->founding.cluster;
    beat->node = self->config.node;
    beat->incarnation = self->config.incarnation;
    beat->number = ++self->own_number;
    beat->view = self->view->number;
    beat->wall_us = wall_us;
    beat->stopping = self->stopping;
    beat->partitions = self->view->partitions;
    for (size_t i = 0; i <= self->view->partitions; i++) {
        uint16_t p = (uint16_t)i;
        membership_partition_t figures = membership_figures(self, p);

        if (figures.owned && figures.epoch > 0) {
            channel_bit_set(beat->owned, p);
            beat->epochs[p] = figures.epoch;
        }
        if (figures.stuck)
            channel_bit_set(beat->stuck, p);
        else if (self->tracks[p].following && !figures.owned && !self->too_old &&
                 membership_near(&figures))
            channel_bit_set(beat->ready, p);
        if (figures.placed && !figures.owned && !channel_bit(beat->ready, p) &&
            self->view->feature >= VIEW_FEATURE_ADOPTIONS)
            beat->places[beat->place_count++] =
                (place_t){.partition = p,
                          .history = place_history(&figures.place_history),
                          .epoch = figures.place_epoch,
                          .seq = figures.place_seq};
    }
    buffer_reset(&self->beat_out);
    liveness_encode(beat, &self->beat_out);
    INVARIANT(!self->beat_out.failed);
    self->beat_due = true;
}

void membership_set_trouble(membership_t *self, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(self->trouble, sizeof self->trouble, format, arguments);
    va_end(arguments);
}
