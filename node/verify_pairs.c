/* verify_pairs.c - what crosses partitions: messages between them, and that no point was made or lost on the way */
#include "node/verify.h"

#include "actors/message.h"

#include <inttypes.h>

static errcode_t read_pair_in(verify_t *self, uint16_t src, uint16_t dst, pair_in_t *out,
                              err_t *err);
static errcode_t check_outbox(verify_t *self, uint16_t src, uint16_t dst, const pair_out_t *pair,
                              err_t *err);

/* out.acked <= in.seq < out.next for every pair of partitions of this directory, and the outbox holds exactly the
 * messages behind `acked`. */
errcode_t verify_pairs(verify_t *self, err_t *err)
{
    errcode_t rc = ERR_NONE;

    for (uint16_t src = 0; src <= self->birth->partitions && rc == ERR_NONE; src++) {
        uint8_t prefix[BATCH_KEY_BYTES_MAX];
        size_t prefix_bytes = key_tag(prefix, src, 'O');
        store_cursor_t *cursor;

        if (!self->owned[src])
            continue;
        cursor = verify_cursor(self, FAMILY_STATE, prefix, prefix_bytes);
        for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
             store_cursor_next(cursor)) {
            size_t key_bytes, n;
            const uint8_t *key = store_cursor_key(cursor, &key_bytes);
            const uint8_t *value = store_cursor_value(cursor, &n);
            uint16_t dst =
                key_bytes == prefix_bytes + 2 ? be16_get(key + prefix_bytes) : UINT16_MAX;
            pair_out_t out;
            pair_in_t in = {0};

            if (dst > self->birth->partitions ||
                pair_out_decode(&out, value, n, NULL) != ERR_NONE || out.acked >= out.next) {
                verify_wrong(
                    self,
                    "the row of messages from partition %u cannot be read or contradicts itself",
                    src);
                continue;
            }
            self->messages += out.next - 1;
            rc = check_outbox(self, src, dst, &out, err);
            if (rc != ERR_NONE || !self->owned[dst])
                continue;
            rc = read_pair_in(self, src, dst, &in, err);
            if (rc == ERR_NONE && (in.seq < out.acked || in.seq >= out.next))
                verify_wrong(self,
                             "partition %u sent %" PRIu64 " messages to %u and had %" PRIu64
                             " acknowledged, yet %u has applied %" PRIu64,
                             src, out.next - 1, dst, out.acked, dst, in.seq);
        }
        if (rc == ERR_NONE)
            rc = store_cursor_error(cursor, err);
        store_cursor_destroy(&cursor);
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
    if (self->birth->node_count > 1)
        return;
    /* A transfer whose credit is applied but whose reply is not stays among those on their way. */
    if (moved > 0 || moved < -self->in_transit)
        verify_wrong(self,
                     "transfers took %" PRId64 " points and brought %" PRId64 ", while %" PRId64
                     " are on their way",
                     -self->by_type[ENTRY_TRANSFER_OUT], self->by_type[ENTRY_TRANSFER_IN],
                     self->in_transit);
}

static errcode_t read_pair_in(verify_t *self, uint16_t src, uint16_t dst, pair_in_t *out,
                              err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc;

    buffer_reset(&self->scratch);
    rc = store_get(self->store, NULL, FAMILY_STATE, key, key_pair_in(key, dst, src), &self->scratch,
                   &found, err);
    if (rc == ERR_NONE && found &&
        pair_in_decode(out, self->scratch.bytes, self->scratch.size, NULL) != ERR_NONE)
        verify_wrong(self, "the row of messages from partition %u to %u cannot be read", src, dst);
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
