/* together.c - which directory has which partition, and whether two partitions are of one moment */
#include "node/together.h"

#include "actors/adopt.h"

#include <inttypes.h>

errcode_t together_add(together_t *self, store_t *store, const birth_t *birth, err_t *err)
{
    uint16_t owned[BIRTH_PARTITIONS_MAX + 1];
    size_t count = birth_owned(birth, birth->node, owned);

    if (self->count == 0) {
        self->cluster = birth->cluster;
        self->partitions = birth->partitions;
        self->node_count = birth->node_count;
    }
    if (!hash_equal(&birth->cluster, &self->cluster) || birth->partitions != self->partitions ||
        birth->node_count != self->node_count)
        return err_set(err, ERR_STATE, "the directories are of different clusters");
    for (size_t i = 0; i < count; i++) {
        uint16_t p = owned[i];
        errcode_t rc;

        if (self->owner[p] != NULL)
            return err_set(err, ERR_STATE, "partition %u is in two of the directories",
                           (unsigned)p);
        rc = journal_embedded_position(store, p, &self->position[p], &self->ordinal[p],
                                       &self->found[p], err);
        if (rc != ERR_NONE)
            return rc;
        self->owner[p] = store;
    }
    self->count++;
    return ERR_NONE;
}

/* The highest partition that a node follows is that of the definitions: every node follows it. */
errcode_t together_add_follower(together_t *self, store_t *store, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor;
    bool any = false, defined;
    errcode_t rc;

    if (self->count > 0)
        return err_set(
            err, ERR_STATE,
            "each directory that follows a log in Kafka is looked at alone, with --data");
    for (size_t p = 0; p <= BIRTH_PARTITIONS_MAX; p++) {
        rc = journal_stored_position(store, (uint16_t)p, &self->position[p], &self->found[p], err);
        if (rc != ERR_NONE)
            return rc;
        if (!self->found[p])
            continue;
        self->owner[p] = store;
        self->partitions = (uint16_t)p;
        any = true;
    }
    size_t n = key_tag(prefix, self->partitions, 'F');
    cursor = store_cursor_new(store, NULL, FAMILY_STATE, prefix, n, upper,
                              key_after_prefix(upper, prefix, n));
    store_cursor_first(cursor);
    defined = any && store_cursor_valid(cursor);
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (rc == ERR_NONE && !defined)
        rc =
            err_set(err, ERR_STATE,
                    "this node has not read the definitions from Kafka yet: let it run until it is "
                    "ready");
    self->follower = true;
    self->count = self->node_count = 1;
    return rc;
}

bool together_complete(const together_t *self)
{
    return together_whole(self, NULL) == ERR_NONE;
}

errcode_t together_whole(const together_t *self, err_t *err)
{
    if (self->count != self->node_count)
        return err_set(err, ERR_STATE,
                       "the cluster has %u nodes, and here %s of %zu: all of them are needed "
                       "together, with --cluster",
                       (unsigned)self->node_count,
                       self->count == 1 ? "is the directory" : "are directories", self->count);
    for (size_t p = 0; p <= self->partitions; p++)
        if (self->owner[p] == NULL)
            return err_set(err, ERR_STATE, "partition %zu is in none of the directories", p);
    return ERR_NONE;
}

errcode_t together_out(const together_t *self, uint16_t src, uint16_t dst, pair_out_t *out,
                       buffer_t *value, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc;

    *out = (pair_out_t){.next = 1};
    buffer_reset(value);
    rc = store_get(self->owner[src], NULL, FAMILY_STATE, key, key_pair_out(key, src, dst), value,
                   &found, err);
    return rc == ERR_NONE && found ? pair_out_decode(out, value->bytes, value->size, err) : rc;
}

errcode_t together_in(const together_t *self, uint16_t src, uint16_t dst, pair_in_t *in,
                      buffer_t *value, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc;

    *in = (pair_in_t){0};
    buffer_reset(value);
    rc = store_get(self->owner[dst], NULL, FAMILY_STATE, key, key_pair_in(key, dst, src), value,
                   &found, err);
    return rc == ERR_NONE && found ? pair_in_decode(in, value->bytes, value->size, err) : rc;
}

static bool one_moment(const pair_out_t *out, const pair_in_t *in)
{
    return out->acked <= in->seq && in->seq < out->next;
}

errcode_t together_one_moment(const together_t *self, uint16_t src, uint16_t dst, buffer_t *value,
                              bool *one, err_t *err)
{
    pair_out_t out;
    pair_in_t in;
    errcode_t rc = together_out(self, src, dst, &out, value, err);

    if (rc == ERR_NONE)
        rc = together_in(self, src, dst, &in, value, err);
    *one = rc == ERR_NONE && one_moment(&out, &in);
    return rc;
}

/* What the other end knows of a partition: its history, or one that it came from and that was adopted. */
static errcode_t known_by(const together_t *self, uint16_t partition, const hash_t *history,
                          buffer_t *value, bool *known, err_t *err)
{
    *known = hash_is_zero(history) || hash_equal(history, &self->position[partition].history);
    return *known ? ERR_NONE
                  : adopt_came_from(self->owner[partition], partition, history, value, known, err);
}

errcode_t together_pair(const together_t *self, uint16_t src, uint16_t dst, buffer_t *value,
                        err_t *err)
{
    pair_out_t out;
    pair_in_t in;
    errcode_t rc = together_out(self, src, dst, &out, value, err);

    if (rc == ERR_NONE)
        rc = together_in(self, src, dst, &in, value, err);
    if (rc != ERR_NONE)
        return rc;
    if (!one_moment(&out, &in))
        return err_set(err, ERR_STATE,
                       "the messages of partitions %u to %u are of different moments (acknowledged "
                       "%" PRIu64 ", applied %" PRIu64 ", next %" PRIu64
                       "); `fealty backup --cluster` takes one of all nodes",
                       (unsigned)src, (unsigned)dst, out.acked, in.seq, out.next);
    bool receiver = false, sender = false;
    rc = known_by(self, dst, &out.peer, value, &receiver, err);
    if (rc == ERR_NONE)
        rc = known_by(self, src, &in.peer, value, &sender, err);
    if (rc != ERR_NONE)
        return rc;
    if (!receiver || !sender)
        return err_set(err, ERR_STATE,
                       "partitions %u and %u know different histories of each other", (unsigned)src,
                       (unsigned)dst);
    return ERR_NONE;
}
