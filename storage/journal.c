/* journal.c - what all makers of journals share */
#include "storage/journal.h"

#include "protocol/pack.h"

#include <stdlib.h>

/* META 'F' partition (u16 BE): msgpack, version first. */
#define POSITION_KEY_BYTES     3
#define POSITION_VERSION       2
#define POSITION_VERSION_PLAIN 1 /* without skips, ends and effects */
#define POSITION_VALUE_BYTES   256

void journal_destroy(journal_t **self_p)
{
    journal_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    self->ops->destroy(self->state);
    free(self);
}

static void position_key(uint8_t out[POSITION_KEY_BYTES], uint16_t partition)
{
    out[0] = 'F';
    be16_put(out + 1, partition);
}

void journal_position_encode(const position_t *position, buffer_t *out)
{
    pack_u64(out, POSITION_VERSION);
    pack_blob(out, position->history.bytes, sizeof position->history.bytes);
    pack_u64(out, position->epoch);
    pack_blob(out, position->owner.bytes, sizeof position->owner.bytes);
    pack_u64(out, position->seq);
    pack_u64(out, position->chain);
    pack_i64(out, position->now_us);
    pack_u64(out, position->offset);
    pack_u64(out, position->crc);
    pack_u64(out, position->skips);
    for (size_t i = 0; i < POSITION_ENDS; i++)
        pack_u64(out, position->ends[i]);
    pack_u64(out, position->effects_epoch);
    pack_u64(out, position->effects_seq);
}

bool journal_position_decode(position_t *position, const void *bytes, size_t n)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t version = unpack_u64(&in), crc;

    memset(position, 0, sizeof *position);
    unpack_fixed(&in, position->history.bytes, sizeof position->history.bytes);
    position->epoch = unpack_u64(&in);
    unpack_fixed(&in, position->owner.bytes, sizeof position->owner.bytes);
    position->seq = unpack_u64(&in);
    position->chain = unpack_u64(&in);
    position->now_us = unpack_i64(&in);
    position->offset = unpack_u64(&in);
    crc = unpack_u64(&in);
    position->crc = (uint32_t)crc;
    /* A row from before these were kept: every epoch ended here at the latest, all effects did. */
    bool whole = version == POSITION_VERSION;
    position->skips = whole ? unpack_u64(&in) : 0;
    for (size_t i = 0; i < POSITION_ENDS; i++)
        position->ends[i] = whole ? unpack_u64(&in) : position->seq;
    position->effects_epoch = whole ? unpack_u64(&in) : position->epoch;
    position->effects_seq = whole ? unpack_u64(&in) : position->seq;
    return !in.failed && (whole || version == POSITION_VERSION_PLAIN) && crc <= UINT32_MAX;
}

void journal_put_position(uint16_t partition, const position_t *position, buffer_t *batch)
{
    uint8_t key[POSITION_KEY_BYTES];
    buffer_t value;

    position_key(key, partition);
    buffer_init(&value, POSITION_VALUE_BYTES);
    journal_position_encode(position, &value);
    INVARIANT(!value.failed);
    batch_put(batch, FAMILY_META, key, sizeof key, value.bytes, value.size);
    buffer_free(&value);
}

void journal_drop_position(uint16_t partition, buffer_t *batch)
{
    uint8_t key[POSITION_KEY_BYTES];

    position_key(key, partition);
    batch_delete(batch, FAMILY_META, key, sizeof key);
}

errcode_t journal_stored_position(store_t *store, uint16_t partition, position_t *position,
                                  bool *found, err_t *err)
{
    return journal_position_at(store, NULL, partition, position, found, err);
}

errcode_t journal_position_at(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                              position_t *position, bool *found, err_t *err)
{
    uint8_t key[POSITION_KEY_BYTES];
    buffer_t value;

    memset(position, 0, sizeof *position);
    position_key(key, partition);
    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    errcode_t rc = store_get(store, snapshot, FAMILY_META, key, sizeof key, &value, found, err);
    if (rc == ERR_NONE && *found && !journal_position_decode(position, value.bytes, value.size))
        rc = err_set(err, ERR_CORRUPT,
                     "the stored position of partition %u cannot be read: rebuild this node from "
                     "an empty directory, the log fills it",
                     partition);
    buffer_free(&value);
    return rc;
}
