/* view.c - a view as bytes, and questions about it
 *
 * A view is taken only when it is whole: members, an owner for every partition, no copy that is nobody's or named twice.
 * So nobody who holds a view_t need ask again. Which bytes are a view is part of the format: all nodes must agree.
 */
#include "cluster/channel_records.h"

#define VIEW_FIELDS   (3 + 6) /* of version 1; version 2 has moves behind them */
#define MEMBER_FIELDS 6

static void put_member(buffer_t *out, const view_member_t *member);
static bool take_member(unpack_t *in, view_member_t *member);
static bool take_text(unpack_t *in, char *out, size_t room);
static bool copies_hold(const view_t *self);
static bool has_moves(const view_t *self);
static bool moves_hold(const view_t *self);
static errcode_t corrupt(err_t *err, const char *why);

size_t view_member(const view_t *self, const hash_t *node)
{
    for (size_t i = 0; i < self->member_count; i++) {
        if (hash_equal(&self->members[i].node, node))
            return i;
    }
    return SIZE_MAX;
}

size_t view_rank(const view_t *self, uint16_t partition, size_t member)
{
    const uint8_t *copies = self->copies[partition];
    size_t placed = 0, behind = 0;

    for (; placed < VIEW_COPIES_MAX && copies[placed] != VIEW_NOBODY; placed++) {
        if (copies[placed] == member)
            return placed;
        behind += copies[placed] < member;
    }
    if (partition != self->partitions || member >= self->member_count)
        return SIZE_MAX;
    /* Behind those in the list, in the order of the members that are not in it. */
    return placed + member - behind;
}

void view_encode(const view_t *self, buffer_t *out)
{
    bool moves = has_moves(self);

    channel_record_begin(out, moves ? VIEW_FIELDS + 1 : VIEW_FIELDS, moves ? VIEW_VERSION : 1,
                         CHANNEL_VIEW, &self->cluster);
    pack_u64(out, self->number);
    pack_u64(out, self->partitions);
    pack_u64(out, self->followers);
    pack_u64(out, self->feature);
    pack_array(out, self->member_count);
    for (size_t i = 0; i < self->member_count; i++)
        put_member(out, &self->members[i]);
    pack_blob(out, self->copies, ((size_t)self->partitions + 1) * VIEW_COPIES_MAX);
    if (moves)
        pack_blob(out, self->moved, (size_t)self->partitions + 1);
}

errcode_t view_decode(view_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t partitions, followers, feature;
    channel_head_t head;
    uint32_t members;
    errcode_t rc;

    memset(self, 0, sizeof *self);
    memset(self->copies, VIEW_NOBODY, sizeof self->copies);
    bool moves = channel_head_read(&head, bytes, n) && head.version >= VIEW_VERSION;
    rc = channel_record_open(&in, moves ? VIEW_FIELDS + 1 : VIEW_FIELDS, VIEW_VERSION, CHANNEL_VIEW,
                             &self->cluster, err);
    if (rc != ERR_NONE)
        return rc;
    self->number = unpack_u64(&in);
    partitions = unpack_u64(&in);
    followers = unpack_u64(&in);
    feature = unpack_u64(&in);
    members = unpack_array(&in);
    if (in.failed || self->number == 0 || partitions == 0 || partitions > VIEW_PARTITIONS_MAX ||
        followers >= VIEW_COPIES_MAX || feature == 0 || feature > UINT32_MAX)
        return corrupt(err, "its figures are out of range");
    if (members == 0 || members > VIEW_MEMBERS_MAX)
        return corrupt(err, "it has no members, or too many");
    self->partitions = (uint16_t)partitions;
    self->followers = (uint8_t)followers;
    self->feature = (uint32_t)feature;
    for (uint32_t i = 0; i < members; i++) {
        if (!take_member(&in, &self->members[i]))
            return corrupt(err, "a member cannot be read");
        if (view_member(self, &self->members[i].node) != SIZE_MAX)
            return corrupt(err, "a member stands in it twice");
        self->member_count++;
    }
    (void)unpack_fixed(&in, self->copies, (partitions + 1) * VIEW_COPIES_MAX);
    if (moves)
        (void)unpack_fixed(&in, self->moved, partitions + 1);
    if (!unpack_done(&in))
        return corrupt(err, "its placement is cut short or too long");
    if (!copies_hold(self))
        return corrupt(err, "a partition has no owner, or a copy that cannot be");
    if (moves && !moves_hold(self))
        return corrupt(err, "it moves a partition to where it is not, or none at all");
    return ERR_NONE;
}

static void put_member(buffer_t *out, const view_member_t *member)
{
    pack_array(out, MEMBER_FIELDS);
    pack_blob(out, member->node.bytes, sizeof member->node.bytes);
    pack_blob(out, member->incarnation.bytes, sizeof member->incarnation.bytes);
    pack_text(out, member->address, strlen(member->address));
    pack_text(out, member->rack, strlen(member->rack));
    pack_u64(out, member->weight);
    pack_u64(out, member->feature);
}

static bool take_member(unpack_t *in, view_member_t *member)
{
    uint64_t weight, feature;

    if (unpack_array(in) != MEMBER_FIELDS)
        return false;
    (void)unpack_fixed(in, member->node.bytes, sizeof member->node.bytes);
    (void)unpack_fixed(in, member->incarnation.bytes, sizeof member->incarnation.bytes);
    if (!take_text(in, member->address, sizeof member->address) ||
        !take_text(in, member->rack, sizeof member->rack))
        return false;
    weight = unpack_u64(in);
    feature = unpack_u64(in);
    if (in->failed || weight > UINT32_MAX || feature == 0 || feature > UINT32_MAX)
        return false;
    member->weight = (uint32_t)weight;
    member->feature = (uint32_t)feature;
    return address_check(member->address, NULL, NULL, NULL) == ERR_NONE;
}

/* Texts are printed: no control characters, nothing beyond ASCII. */
static bool take_text(unpack_t *in, char *out, size_t room)
{
    const char *text = NULL;
    size_t n = unpack_text(in, &text);

    if (in->failed || n >= room)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
        out[i] = text[i];
    }
    return true;
}

static bool copies_hold(const view_t *self)
{
    for (size_t p = 0; p <= self->partitions; p++) {
        const uint8_t *copies = self->copies[p];

        if (copies[0] == VIEW_NOBODY)
            return false;
        for (size_t i = 0; i < VIEW_COPIES_MAX; i++) {
            if (copies[i] == VIEW_NOBODY)
                continue;
            if (copies[i] >= self->member_count || (i > 0 && copies[i - 1] == VIEW_NOBODY))
                return false;
            for (size_t k = 0; k < i; k++) {
                if (copies[k] == copies[i])
                    return false;
            }
        }
    }
    return true;
}

static bool has_moves(const view_t *self)
{
    for (size_t p = 0; p <= self->partitions; p++) {
        if (self->moved[p] != 0)
            return true;
    }
    return false;
}

/* Only once every member can read them, and one way only to write a view. */
static bool moves_hold(const view_t *self)
{
    for (size_t p = 0; p <= self->partitions; p++) {
        if (self->moved[p] != 0 && self->moved[p] - 1 != self->copies[p][0])
            return false;
    }
    return has_moves(self) && self->feature >= VIEW_FEATURE_MOVES;
}

static errcode_t corrupt(err_t *err, const char *why)
{
    return err_set(err, ERR_CORRUPT, "these bytes are no view: %s", why);
}
