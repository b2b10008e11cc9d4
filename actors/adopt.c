/* adopt.c - one batch that makes an image the beginning of a new history */
#include "actors/adopt.h"

#include "actors/message.h"
#include "storage/journal.h"

#define BATCH_BYTES       ((size_t)1 << 20)
#define ANCESTORS_VERSION 1
#define ANCESTORS_MAX     64 /* the newest */

/* Sequence of the newest entry; the checkpoint may be some records older. */
static errcode_t newest_entry(store_t *store, uint16_t partition, uint64_t *sequence, err_t *err)
{
    uint8_t lower[BATCH_KEY_BYTES_MAX];
    uint8_t upper[BATCH_KEY_BYTES_MAX];
    size_t n = key_partition(lower, partition);
    size_t m = key_after_prefix(upper, lower, n);
    store_cursor_t *cursor = store_cursor_new(store, NULL, FAMILY_ENTRY, lower, n, upper, m);
    errcode_t rc;

    *sequence = 0;
    store_cursor_last(cursor);
    if (store_cursor_valid(cursor)) {
        size_t bytes;
        const uint8_t *key = store_cursor_key(cursor, &bytes);

        if (bytes == n + sizeof(uint64_t))
            *sequence = be64_get(key + n);
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

errcode_t adopt_ids_ahead(store_t *store, uint16_t partition, uint64_t ahead, buffer_t *value,
                          buffer_t *batch, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t n = key_checkpoint(key, partition);
    checkpoint_t checkpoint = {.next_sequence = 1, .counted_sequence = 1};
    uint64_t newest;
    bool found;
    errcode_t rc;

    buffer_reset(value);
    rc = store_get(store, NULL, FAMILY_STATE, key, n, value, &found, err);
    if (rc == ERR_NONE && found)
        rc = checkpoint_decode(&checkpoint, value->bytes, value->size, err);
    if (rc == ERR_NONE)
        rc = newest_entry(store, partition, &newest, err);
    if (rc != ERR_NONE)
        return rc;
    if (newest >= checkpoint.next_sequence)
        checkpoint.next_sequence = newest + 1;
    if (checkpoint.next_sequence > ID_SEQUENCE_MAX - 2 * ahead)
        return err_set(err, ERR_STATE, "partition %u has no ids left to move ahead",
                       (unsigned)partition);
    checkpoint.next_sequence += ahead;
    buffer_reset(value);
    checkpoint_encode(&checkpoint, value);
    batch_put(batch, FAMILY_STATE, key, n, value->bytes, value->size);
    return ERR_NONE;
}

/* A floor that stands there was never answered: the receiver may know the history before this one, or an older one. */
static errcode_t put_floor(store_t *store, uint16_t src, uint16_t dst, buffer_t *value,
                           buffer_t *batch, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t n = key_pair_out(key, src, dst);
    pair_out_t out = {.next = 1};
    bool found = false;
    errcode_t rc;

    buffer_reset(value);
    rc = store_get(store, NULL, FAMILY_STATE, key, n, value, &found, err);
    if (rc == ERR_NONE && found)
        rc = pair_out_decode(&out, value->bytes, value->size, err);
    if (rc != ERR_NONE)
        return rc;
    if (out.older == 0)
        out.older = out.floor;
    out.floor = out.next;
    buffer_reset(value);
    pair_out_encode(&out, value);
    batch_put(batch, FAMILY_STATE, key, n, value->bytes, value->size);
    return ERR_NONE;
}

/* ---- where it came from ---- */

static errcode_t load_ancestors(store_t *store, uint16_t partition, buffer_t *value,
                                hash_t out[ANCESTORS_MAX], size_t *count, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;

    *count = 0;
    buffer_reset(value);
    errcode_t rc = store_get(store, NULL, FAMILY_STATE, key, key_ancestors(key, partition), value,
                             &found, err);
    if (rc != ERR_NONE || !found)
        return rc;
    unpack_t in = unpack_from(value->bytes, value->size);
    uint32_t fields = unpack_array(&in);
    if (unpack_u64(&in) != ANCESTORS_VERSION || fields < 2 || fields - 1 > ANCESTORS_MAX)
        in.failed = true;
    for (uint32_t i = 1; i < fields && !in.failed; i++)
        unpack_fixed(&in, out[(*count)++].bytes, HASH_BYTES);
    return unpack_done(&in)
               ? ERR_NONE
               : err_set(err, ERR_CORRUPT,
                         "the histories that partition %u came from cannot be read", partition);
}

static errcode_t put_ancestor(store_t *store, uint16_t partition, const hash_t *history,
                              buffer_t *value, buffer_t *batch, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    hash_t ancestors[ANCESTORS_MAX];
    size_t count;
    errcode_t rc = load_ancestors(store, partition, value, ancestors, &count, err);

    if (rc != ERR_NONE)
        return rc;
    if (count == ANCESTORS_MAX)
        memmove(&ancestors[0], &ancestors[1], --count * sizeof ancestors[0]);
    ancestors[count++] = *history;
    buffer_reset(value);
    pack_array(value, (uint32_t)count + 1);
    pack_u64(value, ANCESTORS_VERSION);
    for (size_t i = 0; i < count; i++)
        pack_blob(value, ancestors[i].bytes, HASH_BYTES);
    batch_put(batch, FAMILY_STATE, key, key_ancestors(key, partition), value->bytes, value->size);
    return ERR_NONE;
}

errcode_t adopt_came_from(store_t *store, uint16_t partition, const hash_t *history,
                          buffer_t *value, bool *came, err_t *err)
{
    hash_t ancestors[ANCESTORS_MAX];
    size_t count;
    errcode_t rc = load_ancestors(store, partition, value, ancestors, &count, err);

    *came = false;
    for (size_t i = 0; rc == ERR_NONE && i < count; i++)
        *came = *came || hash_equal(&ancestors[i], history);
    return rc;
}

errcode_t adopt_image(store_t *store, uint16_t partitions, const adoption_t *adoption,
                      uint64_t skips, position_t *position, err_t *err)
{
    uint16_t partition = adoption->partition;
    position_t fresh = *position;
    buffer_t batch, value;
    errcode_t rc;

    fresh.history = adoption->fresh;
    fresh.owner = (hash_t){{0}};
    fresh.epoch += ADOPTION_AHEAD;
    fresh.seq += ADOPTION_AHEAD;
    fresh.offset = adoption->offset;
    fresh.crc = 0;
    fresh.skips = skips;
    /* No epoch of this history was before; who stands here has seen all of it. */
    for (size_t i = 0; i < POSITION_ENDS; i++)
        fresh.ends[i] = fresh.seq;
    fresh.effects_epoch = fresh.epoch;
    fresh.effects_seq = fresh.seq;
    buffer_init(&batch, BATCH_BYTES);
    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    rc = adopt_ids_ahead(store, partition, ADOPTION_AHEAD, &value, &batch, err);
    if (rc == ERR_NONE)
        rc = put_ancestor(store, partition, &position->history, &value, &batch, err);
    for (uint32_t dst = 0; rc == ERR_NONE && dst <= partitions; dst++)
        rc = put_floor(store, partition, (uint16_t)dst, &value, &batch, err);
    if (rc == ERR_NONE) {
        journal_put_position(partition, &fresh, &batch);
        INVARIANT(!batch.failed);
        const batch_part_t part = {batch.bytes, batch.size};
        rc = store_write(store, &part, 1, true, err);
    }
    if (rc == ERR_NONE)
        *position = fresh;
    buffer_free(&value);
    buffer_free(&batch);
    return rc;
}
