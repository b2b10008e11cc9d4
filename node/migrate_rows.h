/* migrate_rows.h - the rows of one partition that go with it when it moves into another log, in a fixed order
 *
 * Contract   First the content of all definitions (a follower of any partition needs it), then state without sessions,
 *            entries, keys, outboxes, lots, each family by key. With new histories the rows of pairs come rewritten: each
 *            end knows the other by its new history, and has heard of no epoch of it. The same directory always gives the
 *            same rows.
 * Threads    One.
 * Ownership  A row is borrowed until the next call. Cursors are kept from one partition to the next, because RocksDB
 *            sorts all of a family's newest rows for each cursor over a family that lies in buckets; the same ones serve
 *            one reader at a time.
 * Units      Nothing to say.
 * Errors     ERR_CORRUPT for a pair that cannot be read; those of the store.
 */
#ifndef FEALTY_MIGRATE_ROWS_H
#define FEALTY_MIGRATE_ROWS_H

#include "node/together.h"

/* One over each whole family; starts zeroed. The stores must not be written to meanwhile. */
typedef struct {
    store_t *store[FAMILY__COUNT];         /* borrowed; whose it is */
    store_cursor_t *cursor[FAMILY__COUNT]; /* owned */
} migrate_cursors_t;

/* At the first key from `key` on; not bounded. */
store_cursor_t *migrate_cursor_at(migrate_cursors_t *self, store_t *store, family_t family,
                                  const void *key, size_t key_bytes);
void migrate_cursors_free(migrate_cursors_t *self);

typedef struct {
    const together_t *together; /* borrowed */
    migrate_cursors_t *cursors; /* borrowed */
    const hash_t *histories;    /* borrowed; by partition; NULL: rows as they are */
    uint16_t partition;
    size_t family;          /* in the order above */
    store_cursor_t *cursor; /* borrowed from cursors; NULL: the family has not begun */
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes; /* of the family's rows */
    buffer_t value;      /* of a rewritten row */
} migrate_rows_t;

/* The partition must be at hand. `content` false: without the content of definitions. */
void migrate_rows_open(migrate_rows_t *self, const together_t *together, migrate_cursors_t *cursors,
                       uint16_t partition, const hash_t *histories, bool content);
void migrate_rows_close(migrate_rows_t *self);
errcode_t migrate_rows_next(migrate_rows_t *self, row_write_t *out, bool *found, err_t *err);

#endif
