/* log_rows.c - encoding of log rows and positions */
#include "storage/log_rows.h"

#include "protocol/pack.h"

#include <inttypes.h>
#include <string.h>

/* Trailer, little endian: version, flags, 2 zero bytes, crc32c (over the trailer with this field zero, seeded with
 * the record's crc), seq, epoch, chain, now_us. What else a position holds stands in the record's header. */
enum { TRAILER_VERSION = 1, TRAILER_HAS_OWNER = 1, TRAILER_AT_CRC = 4, TRAILER_AT_SEQ = 8 };

/* A position row: version, 3 zero bytes, crc32c (this field zero), history, owner, epoch, seq, chain, now_us, record's
 * crc (as u64), ordinal floor. */
enum {
    POSITION_VERSION = 1,
    POSITION_AT_CRC = 4,
    POSITION_AT_HISTORY = 8,
    POSITION_AT_NUMBERS = 40
};
#define POSITION_ROW_BYTES (POSITION_AT_NUMBERS + 6 * 8)
#define POSITION_KEY_BYTES 3

static void le64_put(uint8_t *out, uint64_t value);
static uint64_t le64_get(const uint8_t *in);
static uint32_t le32_get(const uint8_t *in);
static void le32_put(uint8_t *out, uint32_t value);
static uint32_t crc_without(const uint8_t *bytes, size_t n, size_t crc_at, uint32_t seed);
static void position_key(uint8_t out[POSITION_KEY_BYTES], uint16_t partition);

void log_key(uint8_t out[LOG_KEY_BYTES], uint16_t partition, uint64_t ordinal)
{
    be16_put(out, partition);
    be64_put(out + 2, ordinal);
}

void log_trailer(uint8_t out[LOG_TRAILER_BYTES], const position_t *position)
{
    static const hash_t nobody;

    memset(out, 0, LOG_TRAILER_BYTES);
    out[0] = TRAILER_VERSION;
    out[1] = hash_equal(&position->owner, &nobody) ? 0 : TRAILER_HAS_OWNER;
    le64_put(out + TRAILER_AT_SEQ, position->seq);
    le64_put(out + TRAILER_AT_SEQ + 8, position->epoch);
    le64_put(out + TRAILER_AT_SEQ + 16, position->chain);
    le64_put(out + TRAILER_AT_SEQ + 24, (uint64_t)position->now_us);
    le32_put(out + TRAILER_AT_CRC,
             crc_without(out, LOG_TRAILER_BYTES, TRAILER_AT_CRC, position->crc));
}

errcode_t log_row_decode(log_row_t *row, uint16_t partition, uint64_t ordinal, const void *value,
                         size_t n, err_t *err)
{
    const uint8_t *trailer;
    const uint8_t *body;
    record_reason_t reason;

    if (n < RECORD_HEADER_BYTES + LOG_TRAILER_BYTES)
        return err_set(err, ERR_CORRUPT, "log row %" PRIu64 " of partition %u is too short",
                       ordinal, partition);
    row->record = value;
    row->record_bytes = n - LOG_TRAILER_BYTES;
    trailer = row->record + row->record_bytes;
    if (record_decode(row->record, row->record_bytes, &row->header, &body, &reason) !=
        VERDICT_ACCEPT)
        return err_set(err, ERR_CORRUPT, "log row %" PRIu64 " of partition %u holds no record: %s",
                       ordinal, partition, record_reason_name(reason));
    if (row->header.partition != partition)
        return err_set(err, ERR_CORRUPT,
                       "log row %" PRIu64 " of partition %u holds a record of partition %u",
                       ordinal, partition, row->header.partition);
    if (trailer[0] != TRAILER_VERSION ||
        crc_without(trailer, LOG_TRAILER_BYTES, TRAILER_AT_CRC, row->header.crc) !=
            le32_get(trailer + TRAILER_AT_CRC))
        return err_set(err, ERR_CORRUPT,
                       "the position behind log row %" PRIu64 " of partition %u fails its checks",
                       ordinal, partition);
    row->after = (position_t){
        .history = row->header.history,
        .seq = le64_get(trailer + TRAILER_AT_SEQ),
        .epoch = le64_get(trailer + TRAILER_AT_SEQ + 8),
        .chain = le64_get(trailer + TRAILER_AT_SEQ + 16),
        .now_us = (int64_t)le64_get(trailer + TRAILER_AT_SEQ + 24),
        .offset = ordinal,
        .crc = row->header.crc,
    };
    if ((trailer[1] & TRAILER_HAS_OWNER) != 0)
        row->after.owner = row->header.incarnation;
    return ERR_NONE;
}

errcode_t log_row_at(log_row_t *row, uint16_t partition, const store_cursor_t *cursor, err_t *err)
{
    size_t key_bytes, n;
    const uint8_t *key = store_cursor_key(cursor, &key_bytes);
    const uint8_t *value = store_cursor_value(cursor, &n);

    if (key_bytes != LOG_KEY_BYTES) {
        memset(row, 0, sizeof *row);
        return err_set(err, ERR_CORRUPT, "a log row of partition %u has a key of %zu bytes",
                       partition, key_bytes);
    }
    return log_row_decode(row, partition, be64_get(key + 2), value, n, err);
}

errcode_t log_rows_position(store_t *store, uint16_t partition, position_t *position,
                            uint64_t *next_ordinal, bool *found, err_t *err)
{
    uint8_t lower[LOG_KEY_BYTES];
    uint8_t upper[LOG_KEY_BYTES];
    store_cursor_t *cursor;
    position_t set;
    uint64_t floor = 0;
    uint64_t ordinal = 0;
    bool is_set = false;
    errcode_t rc;

    *found = false;
    *next_ordinal = 1;
    memset(position, 0, sizeof *position);
    log_key(lower, partition, 0);
    log_key(upper, partition, UINT64_MAX);
    cursor = store_cursor_new(store, NULL, FAMILY_LOG, lower, sizeof lower, upper, sizeof upper);
    store_cursor_last(cursor);
    rc = store_cursor_error(cursor, err);
    if (rc == ERR_NONE && store_cursor_valid(cursor)) {
        log_row_t row = {0};

        rc = log_row_at(&row, partition, cursor, err);
        if (rc == ERR_NONE) {
            *position = row.after;
            ordinal = row.after.offset;
            *next_ordinal = ordinal + 1;
            *found = true;
        }
    }
    store_cursor_destroy(&cursor);
    if (rc != ERR_NONE)
        return rc;
    rc = log_rows_read_override(store, NULL, partition, &set, &floor, &is_set, err);
    if (rc != ERR_NONE)
        return rc;
    if (is_set && floor > ordinal) {
        *position = set;
        *next_ordinal = floor;
        *found = true;
    }
    return ERR_NONE;
}

errcode_t log_rows_override(store_t *store, uint16_t partition, const position_t *position,
                            uint64_t ordinal_floor, buffer_t *batch, err_t *err)
{
    uint8_t key[POSITION_KEY_BYTES];
    uint8_t row[POSITION_ROW_BYTES] = {POSITION_VERSION};
    const uint64_t numbers[] = {position->epoch, position->seq,
                                position->chain, (uint64_t)position->now_us,
                                position->crc,   ordinal_floor};
    position_t present;
    uint64_t next_ordinal;
    bool found;
    errcode_t rc = log_rows_position(store, partition, &present, &next_ordinal, &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (ordinal_floor < next_ordinal)
        return err_set(err, ERR_INVALID,
                       "the log of partition %u goes on at %" PRIu64 "; a floor of %" PRIu64
                       " would hide nothing and start nothing",
                       partition, next_ordinal, ordinal_floor);
    memcpy(row + POSITION_AT_HISTORY, position->history.bytes, HASH_BYTES);
    memcpy(row + POSITION_AT_HISTORY + HASH_BYTES, position->owner.bytes, HASH_BYTES);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        le64_put(row + POSITION_AT_NUMBERS + 8 * i, numbers[i]);
    le32_put(row + POSITION_AT_CRC, crc_without(row, sizeof row, POSITION_AT_CRC, partition));
    position_key(key, partition);
    batch_put(batch, FAMILY_META, key, sizeof key, row, sizeof row);
    return ERR_NONE;
}

errcode_t log_rows_read_override(store_t *store, const store_snapshot_t *snapshot,
                                 uint16_t partition, position_t *position, uint64_t *ordinal_floor,
                                 bool *found, err_t *err)
{
    uint8_t key[POSITION_KEY_BYTES];
    const uint8_t *numbers;
    buffer_t row;
    errcode_t rc;

    memset(position, 0, sizeof *position);
    *ordinal_floor = 0;
    position_key(key, partition);
    buffer_init(&row, 4 * POSITION_ROW_BYTES);
    rc = store_get(store, snapshot, FAMILY_META, key, sizeof key, &row, found, err);
    if (rc != ERR_NONE || !*found)
        goto cleanup;
    if (row.size != POSITION_ROW_BYTES || row.bytes[0] != POSITION_VERSION ||
        crc_without(row.bytes, row.size, POSITION_AT_CRC, partition) !=
            le32_get(row.bytes + POSITION_AT_CRC)) {
        rc = err_set(err, ERR_CORRUPT, "the position row of partition %u fails its checks",
                     partition);
        goto cleanup;
    }
    numbers = row.bytes + POSITION_AT_NUMBERS;
    memcpy(position->history.bytes, row.bytes + POSITION_AT_HISTORY, HASH_BYTES);
    memcpy(position->owner.bytes, row.bytes + POSITION_AT_HISTORY + HASH_BYTES, HASH_BYTES);
    position->epoch = le64_get(numbers);
    position->seq = le64_get(numbers + 8);
    position->chain = le64_get(numbers + 16);
    position->now_us = (int64_t)le64_get(numbers + 24);
    position->crc = (uint32_t)le64_get(numbers + 32);
    *ordinal_floor = le64_get(numbers + 40);

cleanup:
    buffer_free(&row);
    return rc;
}

bool position_equal(const position_t *a, const position_t *b)
{
    return hash_equal(&a->history, &b->history) && hash_equal(&a->owner, &b->owner) &&
           a->epoch == b->epoch && a->seq == b->seq && a->chain == b->chain &&
           a->now_us == b->now_us && a->offset == b->offset && a->crc == b->crc;
}

static uint32_t crc_without(const uint8_t *bytes, size_t n, size_t crc_at, uint32_t seed)
{
    static const uint8_t zero[4];
    uint32_t crc = crc32c(seed, bytes, crc_at);

    crc = crc32c(crc, zero, sizeof zero);
    return crc32c(crc, bytes + crc_at + 4, n - crc_at - 4);
}

static void position_key(uint8_t out[POSITION_KEY_BYTES], uint16_t partition)
{
    out[0] = 'P';
    be16_put(out + 1, partition);
}

static void le64_put(uint8_t *out, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t le64_get(const uint8_t *in)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static void le32_put(uint8_t *out, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t le32_get(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}
