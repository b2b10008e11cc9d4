/* query_run.h - one query being answered, shared by the files that answer (never included elsewhere)
 *
 * Contract   Answerers read through `snapshot`, append rows with query_add() and set the count. Work is bounded: rows
 *            visited are counted by query_visit(), and the answerer stops or refuses at its limit.
 * Threads    One.
 * Ownership  Borrowed from query_run().
 * Units      Rows.
 * Errors     As query.h.
 */
#ifndef FEALTY_QUERY_RUN_H
#define FEALTY_QUERY_RUN_H

#include "actors/query.h"

#define QUERY_ROWS_DEFAULT    100
#define QUERY_ROWS_MAX        10000 /* a scatter asks every partition for skip + limit rows */
#define QUERY_SKIP_MAX        1000000
#define QUERY_SCAN_BEYOND_MAX 200000  /* rows visited only to count */
#define QUERY_SCAN_MAX        4000000 /* rows visited to fill a page */
#define QUERY_RESOLVE_COST    10 /* a look-up by key costs about as much as visiting so many rows */
#define QUERY_KEYS_MAX        5000000
#define QUERY_ROW_BYTES_MAX   ((size_t)1024 * 1024)

typedef struct {
    const query_context_t *context;
    store_snapshot_t *snapshot;
    uint16_t partition;
    const query_t *query;
    uint64_t skip;
    uint32_t limit;
    buffer_t rows; /* blobs */
    uint32_t row_count;
    uint64_t count;
    bool count_exact;
    buffer_t scratch;
} query_state_t;

static inline bool query_has(const query_state_t *self, uint32_t bit)
{
    return (self->query->set & bit) != 0;
}

static inline void query_add(query_state_t *self, const void *row, size_t n)
{
    pack_blob(&self->rows, row, n);
    self->row_count++;
}

/* Cursor over all keys of a family that start with prefix, or from `lower` on. */
store_cursor_t *query_cursor(query_state_t *self, family_t family, const uint8_t *prefix,
                             size_t prefix_bytes);

/* false: deleted, or of a program that is, and not asked for. */
bool query_shows_account(const query_state_t *self, const account_t *account);

errcode_t query_accounts_of(query_state_t *self, err_t *err);
errcode_t query_accounts(query_state_t *self, err_t *err);
errcode_t query_entries(query_state_t *self, err_t *err);
errcode_t query_totals(query_state_t *self, err_t *err);

#endif
