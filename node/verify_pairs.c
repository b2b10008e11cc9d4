/* verify_pairs.c - what crosses partitions: messages between them, and that no point was made or lost on the way */
#include "node/verify.h"

#include <inttypes.h>
#include <stdlib.h>

static errcode_t check_sent(verify_t *self, err_t *err);
static errcode_t check_outbox(verify_t *self, uint16_t src, uint16_t dst, const pair_out_t *pair,
                              err_t *err);

/* A follower's copies of two partitions that were not read up to one moment. A row that cannot be read is a fault, which
 * is named elsewhere. */
static errcode_t copies_apart(verify_t *self, uint16_t src, uint16_t dst, bool *apart, err_t *err)
{
    bool one = true;
    errcode_t rc = ERR_NONE;

    *apart = false;
    if (!self->together->follower)
        return ERR_NONE;
    rc = together_one_moment(self->together, src, dst, &self->scratch, &one, err);
    if (rc == ERR_CORRUPT)
        return ERR_NONE;
    *apart = !one;
    return rc;
}

/* In either direction: a credit and its reply. */
static errcode_t pair_apart(verify_t *self, uint16_t a, uint16_t b, bool *apart, err_t *err)
{
    errcode_t rc = copies_apart(self, a, b, apart, err);

    return rc == ERR_NONE && !*apart ? copies_apart(self, b, a, apart, err) : rc;
}

/* For every partition at hand: its outboxes hold exactly the messages behind `acked`, and each other partition at hand
 * has applied no other messages than it sent. */
errcode_t verify_pairs(verify_t *self, err_t *err)
{
    errcode_t rc = ERR_NONE;

    for (size_t src = 0; src <= self->partitions && rc == ERR_NONE; src++) {
        if (self->together->owner[src] == NULL)
            continue;
        self->partition = (uint16_t)src;
        self->store = self->together->owner[src];
        rc = check_sent(self, err);
        for (size_t dst = 0; dst <= self->partitions && rc == ERR_NONE; dst++) {
            err_t why = {0};
            bool apart = false;

            if (self->together->owner[dst] == NULL)
                continue;
            rc = copies_apart(self, (uint16_t)src, (uint16_t)dst, &apart, err);
            self->apart += apart ? 1 : 0;
            if (rc != ERR_NONE || apart)
                continue;
            rc = together_pair(self->together, (uint16_t)src, (uint16_t)dst, &self->scratch, &why);
            if (rc == ERR_STATE || rc == ERR_CORRUPT) {
                verify_wrong(self, "%s", why.text);
                rc = ERR_NONE;
            } else if (rc != ERR_NONE && err != NULL) {
                *err = why;
            }
        }
    }
    return rc;
}

static errcode_t check_sent(verify_t *self, err_t *err)
{
    uint16_t src = self->partition;
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_tag(prefix, src, 'O');
    store_cursor_t *cursor = verify_cursor(self, FAMILY_STATE, prefix, prefix_bytes);
    errcode_t rc = ERR_NONE;

    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        uint16_t dst = key_bytes == prefix_bytes + 2 ? be16_get(key + prefix_bytes) : UINT16_MAX;
        pair_out_t out;

        if (dst > self->partitions || pair_out_decode(&out, value, n, NULL) != ERR_NONE ||
            out.acked >= out.next) {
            verify_wrong(
                self, "the row of messages from partition %u cannot be read or contradicts itself",
                src);
            continue;
        }
        self->messages += out.next - 1;
        rc = check_outbox(self, src, dst, &out, err);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

static errcode_t check_outbox(verify_t *self, uint16_t src, uint16_t dst, const pair_out_t *pair,
                              err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_outbox(prefix, src, dst, 0);
    store_cursor_t *cursor = verify_cursor(self, FAMILY_OUTBOX, prefix, key_bytes - 8);
    uint64_t expected = pair->acked + 1;
    bool dense = true;
    errcode_t rc;

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *key = store_cursor_key(cursor, &n);

        dense = dense && n == key_bytes && be64_get(key + n - 8) == expected;
        expected++;
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (rc == ERR_NONE && (!dense || expected != pair->next))
        verify_wrong(self,
                     "the outbox from partition %u to %u does not hold the messages %" PRIu64
                     " to %" PRIu64,
                     src, dst, pair->acked + 1, pair->next - 1);
    return rc;
}

/* ---- transfers on their way, per pair of partitions ---- */

static int by_id(const void *a, const void *b)
{
    const verify_held_t *first = a;
    const verify_held_t *second = b;

    return (first->id > second->id) - (first->id < second->id);
}

/* A message that its receiver has not applied: which hold does it belong to? */
static void see(verify_t *self, uint16_t src, uint16_t dst, text_t body)
{
    uint8_t type = body_type(body);
    verify_held_t wanted = {0};
    verify_held_t *held = NULL;
    credit_reply_t reply;
    credit_t credit = {0};

    if (type != BODY_CREDIT_1 && type != BODY_CREDIT_REPLY_1)
        return;
    if ((type == BODY_CREDIT_1 ? credit_decode(&credit, body, NULL)
                               : credit_reply_decode(&reply, body, NULL)) != ERR_NONE) {
        verify_wrong(self, "a message from partition %u to %u cannot be read", src, dst);
        return;
    }
    wanted.id = type == BODY_CREDIT_1 ? credit.transfer : reply.transfer;
    if (self->held_count > 0)
        held = bsearch(&wanted, self->held, self->held_count, sizeof wanted, by_id);
    if (held == NULL || held->seen || held->src != (type == BODY_CREDIT_1 ? src : dst) ||
        held->dst != (type == BODY_CREDIT_1 ? dst : src) ||
        (type == BODY_CREDIT_1 && held->points != credit.points))
        verify_wrong(self,
                     "a message from partition %u to %u is about transfer %" PRIu64
                     ", which does not hold these points, or has another message already",
                     src, dst, wanted.id);
    else
        held->seen = true;
}

static errcode_t see_outboxes(verify_t *self, err_t *err)
{
    uint16_t src = self->partition;
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_partition(prefix, src);
    store_cursor_t *cursor = verify_cursor(self, FAMILY_OUTBOX, prefix, prefix_bytes);
    pair_in_t in = {0};
    uint16_t last = UINT16_MAX; /* partition that `in` and `apart` are of */
    bool apart = false;
    errcode_t rc = ERR_NONE;

    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        uint16_t dst = key_bytes == prefix_bytes + 10 ? be16_get(key + prefix_bytes) : UINT16_MAX;

        if (dst > self->partitions || self->together->owner[dst] == NULL)
            continue; /* out of sight, or a fault that verify_pairs has named */
        if (dst != last) {
            last = dst;
            rc = together_in(self->together, src, dst, &in, &self->scratch, err);
            if (rc == ERR_CORRUPT) { /* named as well */
                in.seq = UINT64_MAX;
                rc = ERR_NONE;
            }
            if (rc == ERR_NONE)
                rc = pair_apart(self, src, dst, &apart, err);
        }
        if (rc == ERR_NONE && !apart && be64_get(key + prefix_bytes + 2) > in.seq)
            see(self, src, dst, (text_t){(const char *)value, n});
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

/* A giver's hold ends with the receiver's reply, so while it stands exactly one message is about it that its receiver has
 * not applied: the credit on its way there, or the reply on its way back. Points without one are lost. */
errcode_t verify_transit(verify_t *self, err_t *err)
{
    errcode_t rc = ERR_NONE;

    if (self->held_count > 0)
        qsort(self->held, self->held_count, sizeof *self->held, by_id);
    for (size_t src = 0; src <= self->partitions && rc == ERR_NONE; src++) {
        if (self->together->owner[src] == NULL)
            continue;
        self->partition = (uint16_t)src;
        self->store = self->together->owner[src];
        rc = see_outboxes(self, err);
    }
    for (size_t i = 0; i < self->held_count && rc == ERR_NONE; i++) {
        const verify_held_t *held = &self->held[i];
        bool apart = false;

        if (held->seen || held->dst > self->partitions || self->together->owner[held->dst] == NULL)
            continue;
        rc = pair_apart(self, held->src, held->dst, &apart, err);
        if (rc == ERR_NONE && !apart)
            verify_wrong(self,
                         "transfer %" PRIu64 " holds %" PRId64
                         " points from partition %u to %u, and no message is about it",
                         held->id, held->points, held->src, held->dst);
    }
    return rc;
}

/* With all partitions at hand: what left by transfers has arrived, or is still on its way. */
void verify_whole(verify_t *self)
{
    points_t visible = 0;
    points_t moved = self->by_type[ENTRY_TRANSFER_IN] + self->by_type[ENTRY_TRANSFER_OUT];

    for (size_t type = 0; type < ENTRY__END; type++)
        visible += self->by_type[type];
    if (visible != self->available)
        verify_wrong(self,
                     "all visible entries add up to %" PRId64 " points, all accounts to %" PRId64,
                     visible, self->available);
    if (!together_complete(self->together) || self->apart > 0)
        return;
    /* A transfer whose credit is applied but whose reply is not stays among those on their way. */
    if (moved > 0 || moved < -self->in_transit)
        verify_wrong(self,
                     "transfers took %" PRId64 " points and brought %" PRId64 ", while %" PRId64
                     " are on their way",
                     -self->by_type[ENTRY_TRANSFER_OUT], self->by_type[ENTRY_TRANSFER_IN],
                     self->in_transit);
}
