/* journal_embedded.c - the log as rows of the store itself: record and effects in one synced batch
 *
 * A record waits in memory as the encoded row write that commit hands to the store, so nothing is copied again. The
 * journal judges every record on a position of its own: what it writes is what any later reader accepts.
 */
#include "protocol/metrics.h"
#include "protocol/pack.h"
#include "storage/journal.h"
#include "storage/log_rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_RECORDS_MAX 4096
#define QUEUE_BYTES_MAX   ((size_t)64 << 20)
#define PARTITIONS_MAX    65536
/* Row buffers kept for the next round: as many as a thread has partitions, or nearly. */
#define POOL_MAX              32
#define POOL_BUFFER_BYTES_MAX ((size_t)1 << 20)

typedef struct {
    buffer_t row; /* owned: the encoded row write: header, key, record, trailer */
    size_t record_at;
    size_t record_bytes;
    uint16_t partition;
    bool accepted;
} waiting_t;

/* What the journal knows of a partition that it writes. */
typedef struct {
    position_t position;
    uint64_t next_ordinal;
} track_t;

typedef struct {
    store_t *store;                  /* borrowed */
    track_t *tracks[PARTITIONS_MAX]; /* owned; NULL until first used */
    waiting_t ring[QUEUE_RECORDS_MAX];
    uint64_t head;     /* first record not committed */
    uint64_t returned; /* first record not returned by next */
    uint64_t tail;
    size_t bytes;            /* of records from head to tail */
    batch_part_t *parts;     /* owned; room for all records and the effects */
    buffer_t pool[POOL_MAX]; /* owned */
    size_t pool_count;
} embedded_t;

static const journal_ops_t ops;

static waiting_t *slot(embedded_t *self, uint64_t at);
static errcode_t track_of(embedded_t *self, uint16_t partition, track_t **track, err_t *err);
static bool judge(embedded_t *self, waiting_t *waiting, uint64_t *ordinal, int64_t *at_us);
static void pool_take(embedded_t *self, buffer_t *row);
static void pool_give(embedded_t *self, buffer_t *row);
static errcode_t scan_row(const position_t *before, uint64_t expected, const position_t *set,
                          uint64_t floor, uint16_t partition, const log_row_t *row,
                          position_t *after, err_t *err);
static errcode_t scan_start(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                            uint64_t from, position_t *before, uint64_t *expected, err_t *err);

journal_t *journal_embedded_new(store_t *store)
{
    journal_t *journal = memory_alloc(sizeof *journal);
    embedded_t *self = memory_zalloc(sizeof *self);

    self->store = store;
    self->parts = memory_alloc((QUEUE_RECORDS_MAX + 1) * sizeof *self->parts);
    journal->ops = &ops;
    journal->state = self;
    return journal;
}

static errcode_t embedded_append(void *state, uint16_t partition, const void *header,
                                 const void *body, size_t body_bytes, err_t *err)
{
    embedded_t *self = state;
    uint8_t trailer[LOG_TRAILER_BYTES] = {0};
    uint8_t key[LOG_KEY_BYTES];
    size_t record_bytes = RECORD_HEADER_BYTES + body_bytes;
    waiting_t *waiting;
    track_t *track;
    errcode_t rc;

    /* Only a bug mixes them up, and then the row would stand under the wrong key for ever. */
    INVARIANT(((const uint8_t *)header)[4] == (uint8_t)partition);
    INVARIANT(((const uint8_t *)header)[5] == (uint8_t)(partition >> 8));
    if (body_bytes > RECORD_BYTES_MAX - RECORD_HEADER_BYTES)
        return err_set(err, ERR_TOO_LARGE, "a record of %zu bytes is above the limit of %d",
                       record_bytes, RECORD_BYTES_MAX);
    if (self->tail - self->head == QUEUE_RECORDS_MAX ||
        self->bytes + record_bytes > QUEUE_BYTES_MAX)
        return err_set(err, ERR_OVERLOADED,
                       "the journal holds %" PRIu64 " records that wait to be committed",
                       self->tail - self->head);
    rc = track_of(self, partition, &track, err);
    if (rc != ERR_NONE)
        return rc;
    waiting = slot(self, self->tail);
    /* The row as batch_put writes it, in pieces because the record comes in two. Ordinal and trailer are filled in
     * when the record is judged. */
    pool_take(self, &waiting->row);
    log_key(key, partition, 0);
    batch_put_start(&waiting->row, FAMILY_LOG, key, sizeof key, record_bytes + LOG_TRAILER_BYTES);
    waiting->record_at = waiting->row.size;
    buffer_append(&waiting->row, header, RECORD_HEADER_BYTES);
    buffer_append(&waiting->row, body, body_bytes);
    buffer_append(&waiting->row, trailer, sizeof trailer);
    INVARIANT(!waiting->row.failed);
    waiting->record_bytes = record_bytes;
    waiting->partition = partition;
    waiting->accepted = false;
    self->bytes += record_bytes;
    self->tail++;
    return ERR_NONE;
}

static bool embedded_next(void *state, journal_record_t *out)
{
    embedded_t *self = state;
    waiting_t *waiting;

    if (self->returned == self->tail)
        return false;
    waiting = slot(self, self->returned++);
    *out = (journal_record_t){
        .partition = waiting->partition,
        .bytes = waiting->row.bytes + waiting->record_at,
        .n = waiting->record_bytes,
    };
    waiting->accepted = judge(self, waiting, &out->offset, &out->log_time_us);
    if (!waiting->accepted)
        metric_add(METRIC_RECORDS_IGNORED, 1);
    return true;
}

static errcode_t embedded_commit(void *state, const buffer_t *effects, err_t *err)
{
    embedded_t *self = state;
    size_t count = 0;
    errcode_t rc;

    if (effects != NULL && effects->failed)
        return err_set(err, ERR_TOO_LARGE, "the effects of a round are above %zu bytes",
                       effects->max);
    for (uint64_t at = self->head; at < self->returned; at++) {
        const waiting_t *waiting = slot(self, at);

        if (waiting->accepted)
            self->parts[count++] = (batch_part_t){waiting->row.bytes, waiting->row.size};
    }
    if (effects != NULL && effects->size > 0)
        self->parts[count++] = (batch_part_t){effects->bytes, effects->size};
    if (count > 0) {
        rc = store_write(self->store, self->parts, count, true, err);
        if (rc != ERR_NONE)
            return rc;
    }
    for (; self->head < self->returned; self->head++) {
        self->bytes -= slot(self, self->head)->record_bytes;
        pool_give(self, &slot(self, self->head)->row);
    }
    return ERR_NONE;
}

static errcode_t embedded_position(void *state, uint16_t partition, position_t *out, bool *found,
                                   err_t *err)
{
    embedded_t *self = state;
    uint64_t next_ordinal;

    return log_rows_position(self->store, partition, out, &next_ordinal, found, err);
}

static errcode_t embedded_read(void *state, uint16_t partition, uint64_t offset, buffer_t *out,
                               bool *found, err_t *err)
{
    embedded_t *self = state;
    uint8_t key[LOG_KEY_BYTES];
    size_t before = out->size;
    log_row_t row;
    errcode_t rc;

    log_key(key, partition, offset);
    rc = store_get(self->store, NULL, FAMILY_LOG, key, sizeof key, out, found, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    rc = log_row_decode(&row, partition, offset, out->bytes + before, out->size - before, err);
    if (rc == ERR_NONE)
        out->size = before + row.record_bytes;
    return rc;
}

static void embedded_destroy(void *state)
{
    embedded_t *self = state;

    for (size_t i = 0; i < PARTITIONS_MAX; i++)
        free(self->tracks[i]);
    for (; self->head < self->tail; self->head++)
        buffer_free(&slot(self, self->head)->row);
    for (size_t i = 0; i < self->pool_count; i++)
        buffer_free(&self->pool[i]);
    free(self->parts);
    free(self);
}

errcode_t journal_embedded_position(store_t *store, uint16_t partition, position_t *position,
                                    uint64_t *next_ordinal, bool *found, err_t *err)
{
    return log_rows_position(store, partition, position, next_ordinal, found, err);
}

errcode_t journal_embedded_override(store_t *store, uint16_t partition, const position_t *position,
                                    uint64_t ordinal_floor, buffer_t *batch, err_t *err)
{
    return log_rows_override(store, partition, position, ordinal_floor, batch, err);
}

errcode_t journal_embedded_scan(store_t *store, const store_snapshot_t *snapshot,
                                uint16_t partition, uint64_t from_ordinal, journal_scan_fn each,
                                void *state, err_t *err)
{
    uint8_t lower[LOG_KEY_BYTES];
    uint8_t upper[LOG_KEY_BYTES];
    store_cursor_t *cursor = NULL;
    position_t before, set;
    position_t after = {0};
    uint64_t expected, floor;
    bool is_set;
    errcode_t rc = scan_start(store, snapshot, partition, from_ordinal, &before, &expected, err);

    if (rc != ERR_NONE)
        return rc;
    rc = log_rows_read_override(store, snapshot, partition, &set, &floor, &is_set, err);
    if (rc != ERR_NONE)
        return rc;
    log_key(lower, partition, from_ordinal);
    log_key(upper, partition, UINT64_MAX);
    cursor =
        store_cursor_new(store, snapshot, FAMILY_LOG, lower, sizeof lower, upper, sizeof upper);
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        log_row_t row = {0};

        rc = log_row_at(&row, partition, cursor, err);
        if (rc == ERR_NONE)
            rc = scan_row(&before, expected, is_set ? &set : NULL, floor, partition, &row, &after,
                          err);
        if (rc == ERR_NONE && each != NULL)
            rc = each(state, &row.header, row.record, row.record_bytes, &after, err);
        if (rc != ERR_NONE)
            break;
        before = after;
        expected = after.offset + 1;
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

/* The position before the first row to be scanned, as the row before it says. */
static errcode_t scan_start(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                            uint64_t from, position_t *before, uint64_t *expected, err_t *err)
{
    uint8_t lower[LOG_KEY_BYTES];
    uint8_t upper[LOG_KEY_BYTES];
    store_cursor_t *cursor;
    errcode_t rc;

    memset(before, 0, sizeof *before);
    *expected = 1;
    log_key(lower, partition, 0);
    log_key(upper, partition, UINT64_MAX);
    cursor =
        store_cursor_new(store, snapshot, FAMILY_LOG, lower, sizeof lower, upper, sizeof upper);
    log_key(lower, partition, from);
    store_cursor_seek_before(cursor, lower, sizeof lower);
    rc = store_cursor_error(cursor, err);
    if (rc == ERR_NONE && store_cursor_valid(cursor)) {
        log_row_t row = {0};

        rc = log_row_at(&row, partition, cursor, err);
        if (rc == ERR_NONE) {
            *before = row.after;
            *expected = row.after.offset + 1;
        }
    }
    store_cursor_destroy(&cursor);
    return rc;
}

static errcode_t scan_row(const position_t *before, uint64_t expected, const position_t *set,
                          uint64_t floor, uint16_t partition, const log_row_t *row,
                          position_t *after, err_t *err)
{
    uint64_t ordinal = row->after.offset;
    record_reason_t reason;

    *after = *before;
    if (set != NULL && ordinal == floor) {
        *after = *set;
    } else if (before->offset > 0 && !hash_equal(&row->header.history, &before->history)) {
        /* A restore's position that a later restore has replaced: what the claim itself says of it must do. */
        if (row->header.kind != RECORD_CLAIM || ordinal < expected)
            return err_set(err, ERR_CORRUPT,
                           "log of partition %u: record %" PRIu64 " belongs to another history",
                           partition, ordinal);
        *after = (position_t){
            .history = row->header.history,
            .epoch = row->header.epoch - 1,
            .seq = row->after.seq,
            .chain = row->header.chain,
            .now_us = row->after.now_us,
        };
    } else if (ordinal != expected) {
        return err_set(err, ERR_CORRUPT, "log of partition %u: record %" PRIu64 " is missing",
                       partition, expected);
    }
    if (record_judge(after, &row->header, row->record, row->record_bytes, row->header.at_us,
                     &reason) != VERDICT_ACCEPT)
        return err_set(err, ERR_CORRUPT,
                       "log of partition %u: record %" PRIu64 " does not follow: %s", partition,
                       ordinal, record_reason_name(reason));
    after->offset = ordinal;
    if (!position_equal(after, &row->after))
        return err_set(err, ERR_CORRUPT,
                       "log of partition %u: record %" PRIu64 " leads elsewhere than its row says",
                       partition, ordinal);
    return ERR_NONE;
}

static waiting_t *slot(embedded_t *self, uint64_t at)
{
    return &self->ring[at % QUEUE_RECORDS_MAX];
}

static errcode_t track_of(embedded_t *self, uint16_t partition, track_t **track, err_t *err)
{
    track_t fresh;
    bool found;
    errcode_t rc;

    *track = self->tracks[partition];
    if (*track != NULL)
        return ERR_NONE;
    rc = log_rows_position(self->store, partition, &fresh.position, &fresh.next_ordinal, &found,
                           err);
    if (rc != ERR_NONE)
        return rc;
    *track = self->tracks[partition] = memory_alloc(sizeof **track);
    **track = fresh;
    return ERR_NONE;
}

/* Fills in what the row says of the position behind the record. */
static bool judge(embedded_t *self, waiting_t *waiting, uint64_t *ordinal, int64_t *at_us)
{
    track_t *track = self->tracks[waiting->partition];
    uint8_t *record = waiting->row.bytes + waiting->record_at;
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;

    *ordinal = track->next_ordinal;
    *at_us = 0;
    if (record_decode(record, waiting->record_bytes, &header, &body, &reason) != VERDICT_ACCEPT)
        return false;
    *at_us = header.at_us;
    if (record_judge(&track->position, &header, record, waiting->record_bytes, header.at_us,
                     &reason) != VERDICT_ACCEPT)
        return false;
    track->position.offset = track->next_ordinal++;
    log_key(record - LOG_KEY_BYTES, waiting->partition, *ordinal);
    log_trailer(record + waiting->record_bytes, &track->position);
    return true;
}

static void pool_take(embedded_t *self, buffer_t *row)
{
    if (self->pool_count > 0)
        *row = self->pool[--self->pool_count];
    else
        buffer_init(row, RECORD_BYTES_MAX + 256);
    buffer_reset(row);
}

static void pool_give(embedded_t *self, buffer_t *row)
{
    if (self->pool_count < POOL_MAX && row->capacity <= POOL_BUFFER_BYTES_MAX)
        self->pool[self->pool_count++] = *row;
    else
        buffer_free(row);
    buffer_init(row, 0);
}

static const journal_ops_t ops = {
    .append = embedded_append,
    .next = embedded_next,
    .commit = embedded_commit,
    .position = embedded_position,
    .read = embedded_read,
    .destroy = embedded_destroy,
};
