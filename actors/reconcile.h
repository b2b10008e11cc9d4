/* reconcile.h - proves one account from its postings (semantics 3.6)
 *
 * Contract   Walks the account's entries backwards by `prev`, then forwards, and recomputes what the account row says:
 *            balance, chain, lots, counters. It reports and never repairs.
 * Threads    Any; reads one snapshot.
 * Ownership  reconciler_t owns its scratch memory, at most RECONCILE_ROWS_BYTES plus 8 bytes per entry, and may be used
 *            for many accounts one after the other.
 * Units      Points.
 * Errors     ERR_TOO_LARGE when the account has more entries than entries_max; ERR_IO. Damaged or missing rows are a
 *            finding, not an error.
 */
#ifndef FEALTY_RECONCILE_H
#define FEALTY_RECONCILE_H

#include "actors/query.h"

#define RECONCILE_ENTRIES_MAX 1000000
#define RECONCILE_ROWS_BYTES  ((size_t)4 * 1024 * 1024)

typedef struct {
    store_t *store;
    const store_snapshot_t *snapshot;
    uint16_t partition;
    uint64_t entries_max;
    uint64_t *ids; /* owned; newest first */
    size_t ids_capacity;
    size_t *offsets; /* owned; of the rows of the first ids, in rows */
    size_t offsets_capacity;
    buffer_t rows; /* entry rows as they were read, as far as they fit */
    buffer_t scratch;
    store_cursor_t *lots; /* owned */
} reconciler_t;

/* What the postings say, and in one sentence what is wrong first ("" when all is well). */
typedef struct {
    reconciliation_t figures;
    points_t earned, redeemed; /* recomputed: sums of visible entries */
    points_t visible;          /* sum of visible deltas */
    bool lots_ok;
    char why[160];
} finding_t;

void reconciler_init(reconciler_t *self, store_t *store, const store_snapshot_t *snapshot,
                     uint16_t partition);
void reconciler_free(reconciler_t *self);
errcode_t reconcile_account(reconciler_t *self, const account_t *account, finding_t *out,
                            err_t *err);

#endif
