/* reconcile.c - one account, proved from its postings
 *
 * The chain of hashes runs forwards, the links between entries backwards. So the first pass collects ids and, as far as
 * they fit, the rows themselves; the second hashes them in order and reads again only what did not fit.
 */
#include "actors/reconcile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ROW_BYTES_MAX ((size_t)1024 * 1024)

static void found_wrong(finding_t *out, const char *format, ...) PRINTF_LIKE(2, 3);
static errcode_t walk_back(reconciler_t *self, const account_t *account, finding_t *out,
                           size_t *kept, err_t *err);
static errcode_t walk_forward(reconciler_t *self, const account_t *account, size_t kept,
                              finding_t *out, err_t *err);
static errcode_t sum_lots(reconciler_t *self, const account_t *account, finding_t *out, err_t *err);
static errcode_t read_entry(reconciler_t *self, uint64_t id, entry_t *entry, finding_t *out,
                            bool *usable, err_t *err);
static void add(points_t *sum, points_t value, finding_t *out);
static void take(points_t *sum, points_t value, finding_t *out);

void reconciler_init(reconciler_t *self, store_t *store, const store_snapshot_t *snapshot,
                     uint16_t partition)
{
    memset(self, 0, sizeof *self);
    self->store = store;
    self->snapshot = snapshot;
    self->partition = partition;
    self->entries_max = RECONCILE_ENTRIES_MAX;
    buffer_init(&self->rows, RECONCILE_ROWS_BYTES);
    buffer_init(&self->scratch, ROW_BYTES_MAX);
}

void reconciler_free(reconciler_t *self)
{
    free(self->ids);
    free(self->offsets);
    buffer_free(&self->rows);
    buffer_free(&self->scratch);
    store_cursor_destroy(&self->lots);
    memset(self, 0, sizeof *self);
}

errcode_t reconcile_account(reconciler_t *self, const account_t *account, finding_t *out,
                            err_t *err)
{
    size_t kept = 0;
    errcode_t rc;

    memset(out, 0, sizeof *out);
    out->figures.actual = account->available;
    out->figures.chain_ok = true;
    out->figures.counters_ok = true;
    out->lots_ok = true;
    rc = walk_back(self, account, out, &kept, err);
    if (rc == ERR_NONE && out->figures.chain_ok)
        rc = walk_forward(self, account, kept, out, err);
    if (rc == ERR_NONE)
        rc = sum_lots(self, account, out, err);
    if (rc != ERR_NONE)
        return rc;
    if (out->figures.expected != account->available)
        found_wrong(out, "its entries add up to %lld points, its balance says %lld",
                    (long long)out->figures.expected, (long long)account->available);
    if (out->figures.entries != account->entries) {
        out->figures.counters_ok = false;
        found_wrong(out, "%llu entries are linked, its row says %llu",
                    (unsigned long long)out->figures.entries, (unsigned long long)account->entries);
    }
    if (out->earned != account->earned || out->redeemed != account->redeemed) {
        out->figures.counters_ok = false;
        found_wrong(out, "entries give %lld earned and %lld redeemed, its row says %lld and %lld",
                    (long long)out->earned, (long long)out->redeemed, (long long)account->earned,
                    (long long)account->redeemed);
    }
    if (out->figures.lots != account->available) {
        out->lots_ok = false;
        found_wrong(out, "its lots hold %lld points, its balance says %lld",
                    (long long)out->figures.lots, (long long)account->available);
    }
    if (out->visible != out->figures.expected)
        found_wrong(out, "its visible entries add up to %lld, all of them to %lld",
                    (long long)out->visible, (long long)out->figures.expected);
    return ERR_NONE;
}

/* Ids newest first, rows appended until the buffer is full. A link that does not lead to an older entry of the same
 * account ends the walk, so it always ends. */
static errcode_t walk_back(reconciler_t *self, const account_t *account, finding_t *out,
                           size_t *kept, err_t *err)
{
    uint64_t id = account->last_entry;
    uint64_t count = 0;
    bool keep = true;

    buffer_reset(&self->rows);
    for (; id != 0; count++) {
        entry_t entry;
        bool usable = false;
        size_t offset = self->rows.size;

        if (count == self->entries_max)
            return err_set(err, ERR_TOO_LARGE, "account %llu has more than %llu entries",
                           (unsigned long long)account->id, (unsigned long long)self->entries_max);
        errcode_t rc = read_entry(self, id, &entry, out, &usable, err);
        if (rc != ERR_NONE)
            return rc;
        if (usable && entry.account != account->id) {
            found_wrong(out, "entry %llu belongs to account %llu", (unsigned long long)id,
                        (unsigned long long)entry.account);
            usable = false;
        }
        if (usable && entry.prev != 0 && id_sequence(entry.prev) >= id_sequence(id)) {
            found_wrong(out, "entry %llu links to %llu, which is not older", (unsigned long long)id,
                        (unsigned long long)entry.prev);
            usable = false;
        }
        if (!usable) {
            out->figures.chain_ok = false;
            break;
        }
        if (count == self->ids_capacity) {
            self->ids_capacity = self->ids_capacity == 0 ? 256 : self->ids_capacity * 2;
            self->ids = memory_realloc(self->ids, self->ids_capacity * sizeof *self->ids);
        }
        self->ids[count] = id;
        if (keep && self->rows.max - self->rows.size >= self->scratch.size) {
            if (count == self->offsets_capacity) {
                self->offsets_capacity =
                    self->offsets_capacity == 0 ? 256 : self->offsets_capacity * 2;
                self->offsets =
                    memory_realloc(self->offsets, self->offsets_capacity * sizeof *self->offsets);
            }
            buffer_append(&self->rows, self->scratch.bytes, self->scratch.size);
            self->offsets[count] = offset;
            *kept = (size_t)count + 1;
        } else {
            keep = false;
        }
        add(&out->figures.expected, entry.posted, out);
        if (!entry.hidden) {
            add(&out->visible, entry.delta, out);
            if (entry.type == ENTRY_EARN)
                add(&out->earned, entry.delta, out);
            else if (entry.type == ENTRY_REDEEM)
                take(&out->redeemed, entry.delta, out);
        }
        id = entry.prev;
    }
    out->figures.entries = count;
    return ERR_NONE;
}

static errcode_t walk_forward(reconciler_t *self, const account_t *account, size_t kept,
                              finding_t *out, err_t *err)
{
    uint8_t chain[32] = {0};
    points_t balance = 0;

    for (size_t i = (size_t)out->figures.entries; i-- > 0;) {
        entry_t entry;
        bool usable = false;
        errcode_t rc;

        if (i < kept) {
            size_t end = i + 1 < kept ? self->offsets[i + 1] : self->rows.size;

            rc = entry_decode(&entry, self->rows.bytes + self->offsets[i], end - self->offsets[i],
                              err);
            usable = rc == ERR_NONE; /* it was decoded before */
        } else {
            rc = read_entry(self, self->ids[i], &entry, out, &usable, err);
        }
        if (rc != ERR_NONE)
            return rc;
        if (!usable) {
            out->figures.chain_ok = false;
            return ERR_NONE;
        }
        posting_chain(chain, &entry);
        add(&balance, entry.posted, out);
        if (entry.balance_after != balance) {
            out->figures.chain_ok = false;
            found_wrong(out, "after entry %llu the balance is %lld, the entry says %lld",
                        (unsigned long long)entry.id, (long long)balance,
                        (long long)entry.balance_after);
        }
    }
    if (memcmp(chain, account->chain, sizeof chain) != 0) {
        out->figures.chain_ok = false;
        found_wrong(out, "the hash chain over its %llu entries does not end as its row says",
                    (unsigned long long)out->figures.entries);
    }
    return ERR_NONE;
}

static errcode_t sum_lots(reconciler_t *self, const account_t *account, finding_t *out, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes;
    uint64_t overflow = 0;

    for (uint32_t i = 0; i < account->lot_count; i++) {
        const lot_t *lot = &account->lots[i];

        add(&out->figures.lots, lot->active, out);
        if (lot->active <= 0 || lot->active > lot->original) {
            out->lots_ok = false;
            found_wrong(out, "lot %llu holds %lld of %lld points", (unsigned long long)lot->id,
                        (long long)lot->active, (long long)lot->original);
        }
    }
    /* The rows are looked at only when the account says that there are some: a seek for every account would cost more
     * than all the rest. `fealty verify` counts all of them apart. */
    if (account->overflow_lots == 0)
        return ERR_NONE;
    prefix_bytes = key_lots_of(prefix, self->partition, account->id);
    store_cursor_destroy(&self->lots);
    self->lots = store_cursor_new_within(self->store, self->snapshot, FAMILY_LOT, prefix,
                                         prefix_bytes, prefix, prefix_bytes);
    for (store_cursor_first(self->lots); store_cursor_valid(self->lots);
         store_cursor_next(self->lots)) {
        size_t n;
        const uint8_t *value = store_cursor_value(self->lots, &n);
        lot_t lot;

        if (lot_decode(&lot, value, n, NULL) != ERR_NONE || lot.active <= 0 ||
            lot.active > lot.original) {
            out->lots_ok = false;
            found_wrong(out, "one of its lot rows cannot be read or holds impossible points");
            continue;
        }
        add(&out->figures.lots, lot.active, out);
        overflow++;
    }
    if (overflow != account->overflow_lots) {
        out->lots_ok = false;
        found_wrong(out, "it has %llu lots in rows of their own, its row says %llu",
                    (unsigned long long)overflow, (unsigned long long)account->overflow_lots);
    }
    return store_cursor_error(self->lots, err);
}

/* A missing or damaged row is a finding; only a disk that fails is an error. */
static errcode_t read_entry(reconciler_t *self, uint64_t id, entry_t *entry, finding_t *out,
                            bool *usable, err_t *err)
{
    errcode_t rc = rows_entry(self->store, self->snapshot, self->partition, id, entry,
                              &self->scratch, usable, err);

    if (rc == ERR_CORRUPT) {
        *usable = false;
        found_wrong(out, "entry %llu fails its checks", (unsigned long long)id);
        if (err != NULL)
            err->code = ERR_NONE;
        return ERR_NONE;
    }
    if (rc == ERR_NONE && !*usable)
        found_wrong(out, "entry %llu is missing", (unsigned long long)id);
    return rc;
}

static void add(points_t *sum, points_t value, finding_t *out)
{
    if (points_add(sum, *sum, value, NULL) != ERR_NONE) {
        out->figures.counters_ok = false;
        found_wrong(out, "its entries add up to more than a number holds");
    }
}

static void take(points_t *sum, points_t value, finding_t *out)
{
    if (points_sub(sum, *sum, value, NULL) != ERR_NONE) {
        out->figures.counters_ok = false;
        found_wrong(out, "its entries add up to more than a number holds");
    }
}

static void found_wrong(finding_t *out, const char *format, ...)
{
    va_list arguments;

    if (out->why[0] != '\0')
        return;
    va_start(arguments, format);
    (void)vsnprintf(out->why, sizeof out->why, format, arguments);
    va_end(arguments);
}
