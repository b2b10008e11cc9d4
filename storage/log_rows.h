/* log_rows.h - private: rows of FAMILY_LOG and the position that each one carries
 *
 * Contract   Key: partition (u16 BE), ordinal (u64 BE, from 1). Value: the record, then 40 bytes: the position after
 *            it. META 'P' partition (u16 BE): a position set by a restore; it holds until a log row with an ordinal
 *            at or above its floor exists.
 * Threads    Pure; log_rows_position reads the store.
 * Ownership  Decoded records are borrowed from the value.
 * Units      Nothing to say.
 * Errors     ERR_CORRUPT naming the row, ERR_IO.
 */
#ifndef FEALTY_LOG_ROWS_H
#define FEALTY_LOG_ROWS_H

#include "protocol/record.h"
#include "storage/store.h"

#define LOG_KEY_BYTES     10
#define LOG_TRAILER_BYTES 40

void log_key(uint8_t out[LOG_KEY_BYTES], uint16_t partition, uint64_t ordinal);
/* position is the one after the record. */
void log_trailer(uint8_t out[LOG_TRAILER_BYTES], const position_t *position);

typedef struct {
    record_header_t header;
    const uint8_t *record;
    size_t record_bytes;
    position_t after; /* offset is the ordinal */
} log_row_t;
/* Checks the record's and the trailer's checksums. */
errcode_t log_row_decode(log_row_t *row, uint16_t partition, uint64_t ordinal, const void *value,
                         size_t n, err_t *err);

/* The row that a cursor over one partition's log stands on. */
errcode_t log_row_at(log_row_t *row, uint16_t partition, const store_cursor_t *cursor, err_t *err);

/* The last committed position. offset 0: set by a restore, no record stands behind it. */
errcode_t log_rows_position(store_t *store, uint16_t partition, position_t *position,
                            uint64_t *next_ordinal, bool *found, err_t *err);
errcode_t log_rows_override(store_t *store, uint16_t partition, const position_t *position,
                            uint64_t ordinal_floor, buffer_t *batch, err_t *err);
errcode_t log_rows_read_override(store_t *store, const store_snapshot_t *snapshot,
                                 uint16_t partition, position_t *position, uint64_t *ordinal_floor,
                                 bool *found, err_t *err);

bool position_equal(const position_t *a, const position_t *b);

#endif
