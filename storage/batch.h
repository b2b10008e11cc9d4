/* batch.h - a list of row writes, in the encoding that records carry
 *
 * Contract   A record's effects ARE such a list with resulting values, so apply is a copy: total, the same on
 *            every reader. Each write: u8 op (1 put, 2 delete), u8 family, u16 LE key bytes, u32 LE value
 *            bytes, key, value.
 * Threads    One thread at a time.
 * Ownership  The caller owns the buffer; batch_next() borrows from it.
 * Units      Bytes.
 * Errors     batch_next() returns false at the end and sets *corrupt when the bytes are no list of writes.
 */
#ifndef FEALTY_BATCH_H
#define FEALTY_BATCH_H

#include "protocol/buffer.h"

typedef enum {
    FAMILY_STATE,  /* accounts, transfers, pairs, counters, sessions */
    FAMILY_ENTRY,  /* ledger entries, append-only */
    FAMILY_KEY,    /* idempotency keys and references, kept for ever */
    FAMILY_OUTBOX, /* messages not yet acknowledged */
    FAMILY_META,   /* birth, positions, definitions' content */
    FAMILY_LOG,    /* the records themselves (embedded journal) */
    FAMILY_LOT,    /* open lots that an account's row has no room for */
    FAMILY__COUNT
} family_t;

#define BATCH_KEY_BYTES_MAX 128
/* A log row holds a whole record of up to RECORD_BYTES_MAX and the position after it. */
#define BATCH_VALUE_BYTES_MAX (512 * 1024 + 64)

typedef struct {
    bool is_delete;
    family_t family;
    const uint8_t *key;
    size_t key_bytes;
    const uint8_t *value;
    size_t value_bytes;
} row_write_t;

void batch_put(buffer_t *batch, family_t family, const void *key, size_t key_bytes,
               const void *value, size_t value_bytes);
/* A put whose value the caller appends to the buffer right behind it, value_bytes in all. */
void batch_put_start(buffer_t *batch, family_t family, const void *key, size_t key_bytes,
                     size_t value_bytes);
void batch_delete(buffer_t *batch, family_t family, const void *key, size_t key_bytes);

/* Iterates: *at starts at 0. */
bool batch_next(const uint8_t *bytes, size_t n, size_t *at, row_write_t *out, bool *corrupt);

#endif
