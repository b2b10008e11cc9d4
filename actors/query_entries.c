/* query_entries.c - lists of ledger entries
 *
 * Of an account or a customer: exact and in order of -effective_us, -id up to QUERY_COUNT_EXACT_MAX entries; with more,
 * in the order of recording. Of a whole partition: always in the order of recording, which is the order of the rows.
 */
#include "actors/query_counts.h"

#include "protocol/calendar.h"

#include <stdlib.h>

#define CHAINS_MAX 10000
/* Nothing counts later than it was recorded but for this much (R-2.2 allows 5 minutes). */
#define AHEAD_MAX_US DAY_US

typedef struct {
    uint64_t next; /* id of the entry to look at next; 0 = at its end */
    uint64_t account;
} chain_t;

typedef struct {
    int64_t effective_us;
    uint64_t id;
} found_t;

static entry_filter_t filter_of(const query_state_t *self);
static errcode_t chains_of(query_state_t *self, const entry_filter_t *filter, chain_t **chains,
                           size_t *count, uint64_t *entries, err_t *err);
static errcode_t sorted_entries(query_state_t *self, const entry_filter_t *filter, chain_t *chains,
                                size_t count, err_t *err);
static errcode_t linked_entries(query_state_t *self, const entry_filter_t *filter, chain_t *chains,
                                size_t count, uint64_t entries, err_t *err);
static errcode_t scanned_entries(query_state_t *self, const entry_filter_t *filter, err_t *err);
static errcode_t count_of(query_state_t *self, const entry_filter_t *filter, bool *known,
                          uint64_t *count, err_t *err);

errcode_t query_entries(query_state_t *self, err_t *err)
{
    entry_filter_t filter = filter_of(self);
    chain_t *chains = NULL;
    size_t count = 0;
    uint64_t entries = 0;
    errcode_t rc;

    if (!query_has(self, QUERY_BY_ACCOUNT | QUERY_BY_CUSTOMER) && self->query->account == 0)
        return scanned_entries(self, &filter, err);
    rc = chains_of(self, &filter, &chains, &count, &entries, err);
    if (rc == ERR_NONE && entries <= QUERY_COUNT_EXACT_MAX)
        rc = sorted_entries(self, &filter, chains, count, err);
    else if (rc == ERR_NONE)
        rc = linked_entries(self, &filter, chains, count, entries, err);
    free(chains);
    return rc;
}

/* A bound of 0 is one that was not given: fields at zero do not travel. */
static entry_filter_t filter_of(const query_state_t *self)
{
    const query_t *query = self->query;
    bool timed = query_has(self, QUERY_BY_TIME);

    return (entry_filter_t){
        .program = query->program,
        .type = query->entry_type,
        .hidden = query_has(self, QUERY_DELETED),
        .catalogue = query_has(self, QUERY_DELETED) ? NULL : self->context->catalogue,
        .from_us = timed && query->from_us != 0 ? query->from_us : INT64_MIN,
        .until_us = timed && query->until_us != 0 ? query->until_us : INT64_MAX};
}

/* Where the entries of the account, or of all accounts of the customer, begin. Entries of deleted accounts stay, those
 * of deleted programs do not. */
static errcode_t chains_of(query_state_t *self, const entry_filter_t *filter, chain_t **chains,
                           size_t *count, uint64_t *entries, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor;
    account_t account;
    size_t capacity = 0;
    bool found = false;
    errcode_t rc = ERR_NONE;

    if (query_has(self, QUERY_BY_ACCOUNT) || self->query->account != 0) {
        rc = rows_account_by_id(self->context->store, self->snapshot, self->partition,
                                self->query->account, &account, &self->scratch, &found, err);
        if (rc != ERR_NONE || !found)
            return rc;
        if (query_has(self, QUERY_BY_CUSTOMER) &&
            !uuid_equal(&account.customer, &self->query->customer))
            return ERR_NONE;
        if (!entry_filter_has_program(filter, account.program))
            return ERR_NONE;
        *chains = memory_alloc(sizeof **chains);
        **chains = (chain_t){account.last_entry, account.id};
        *count = 1;
        *entries = account.entries;
        return ERR_NONE;
    }
    cursor = query_cursor(self, FAMILY_STATE, prefix,
                          key_accounts_of(prefix, self->partition, &self->query->customer));
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);

        rc = account_decode(&account, value, n, err);
        if (rc != ERR_NONE)
            break;
        if ((self->query->program != 0 && account.program != self->query->program) ||
            !entry_filter_has_program(filter, account.program))
            continue;
        if (*count == CHAINS_MAX) {
            rc = err_set(err, ERR_INVALID, "the customer has more than %d accounts; name a program",
                         CHAINS_MAX);
            break;
        }
        if (*count == capacity) {
            capacity = capacity == 0 ? 8 : capacity * 2;
            *chains = memory_realloc(*chains, capacity * sizeof **chains);
        }
        (*chains)[(*count)++] = (chain_t){account.last_entry, account.id};
        *entries += account.entries;
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

/* One step along a chain. Links must lead to older entries of the same account, so every walk ends. */
static errcode_t step(query_state_t *self, chain_t *chain, entry_t *entry, err_t *err)
{
    bool found = false;
    errcode_t rc = rows_entry(self->context->store, self->snapshot, self->partition, chain->next,
                              entry, &self->scratch, &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!found || entry->account != chain->account ||
        (entry->prev != 0 && id_sequence(entry->prev) >= id_sequence(entry->id)))
        return err_set(err, ERR_CORRUPT,
                       "account %llu: the links between its entries are broken at entry %llu",
                       (unsigned long long)chain->account, (unsigned long long)chain->next);
    chain->next = entry->prev;
    return ERR_NONE;
}

static int newest_first(const void *a, const void *b)
{
    const found_t *first = a;
    const found_t *second = b;

    if (first->effective_us != second->effective_us)
        return first->effective_us < second->effective_us ? 1 : -1;
    return (first->id < second->id) - (first->id > second->id);
}

static errcode_t sorted_entries(query_state_t *self, const entry_filter_t *filter, chain_t *chains,
                                size_t count, err_t *err)
{
    found_t *all = memory_alloc(QUERY_COUNT_EXACT_MAX * sizeof *all);
    size_t n = 0, start = 0;
    errcode_t rc = ERR_NONE;

    for (size_t i = 0; i < count && rc == ERR_NONE; i++) {
        while (rc == ERR_NONE && chains[i].next != 0) {
            entry_t entry;

            rc = step(self, &chains[i], &entry, err);
            if (rc != ERR_NONE || (entry.hidden && !filter->hidden) ||
                !entry_filter_takes(filter, &entry))
                continue;
            if (n == QUERY_COUNT_EXACT_MAX) /* more entries than the account rows say */
                rc = err_set(err, ERR_CORRUPT, "account %llu has more entries than its row says",
                             (unsigned long long)chains[i].account);
            else
                all[n++] = (found_t){entry.effective_us, entry.id};
        }
    }
    if (rc == ERR_NONE) {
        qsort(all, n, sizeof *all, newest_first);
        if (self->query->entry != 0) {
            /* Behind the cursor in the order asked for. */
            bool oldest = query_has(self, QUERY_OLDEST_FIRST);

            while (start < n && all[oldest ? n - 1 - start : start].id != self->query->entry)
                start++;
            start = start < n ? start + 1 : 0;
        }
        for (size_t i = start + self->skip;
             i < n && self->row_count < self->limit && rc == ERR_NONE; i++) {
            const found_t *place = &all[query_has(self, QUERY_OLDEST_FIRST) ? n - 1 - i : i];
            entry_t entry;
            bool found = false;

            rc = rows_entry(self->context->store, self->snapshot, self->partition, place->id,
                            &entry, &self->scratch, &found, err);
            if (rc == ERR_NONE && found)
                query_add(self, self->scratch.bytes, self->scratch.size);
        }
        self->count = n;
    }
    free(all);
    return rc;
}

/* Too many to sort: all chains merged, newest id first. */
static errcode_t linked_entries(query_state_t *self, const entry_filter_t *filter, chain_t *chains,
                                size_t count, uint64_t entries, err_t *err)
{
    bool unfiltered = filter->program == 0 && filter->type == 0 && filter->from_us == INT64_MIN &&
                      filter->until_us == INT64_MAX;
    uint64_t matched = 0, work = 0, before = UINT64_MAX;

    if (query_has(self, QUERY_OLDEST_FIRST))
        return err_field(err, ERR_INVALID, "ordering",
                         "more than %d entries can only be listed newest first",
                         QUERY_COUNT_EXACT_MAX);
    if (self->query->entry != 0)
        before = id_sequence(self->query->entry);
    for (;;) {
        chain_t *newest = NULL;
        entry_t entry;
        errcode_t rc;

        for (size_t i = 0; i < count; i++) {
            if (chains[i].next != 0 &&
                (newest == NULL || id_sequence(chains[i].next) > id_sequence(newest->next)))
                newest = &chains[i];
        }
        if (newest == NULL)
            break;
        if (self->row_count == self->limit && (unfiltered || matched >= QUERY_COUNT_EXACT_MAX)) {
            self->count_exact = false;
            break;
        }
        if (work > QUERY_SCAN_MAX)
            return err_set(err, ERR_INVALID,
                           "this filter fits too few entries to find them by a scan");
        work += QUERY_RESOLVE_COST;
        rc = step(self, newest, &entry, err);
        if (rc != ERR_NONE)
            return rc;
        if ((entry.hidden && !filter->hidden) || !entry_filter_takes(filter, &entry) ||
            id_sequence(entry.id) >= before)
            continue;
        if (matched >= self->skip && self->row_count < self->limit)
            query_add(self, self->scratch.bytes, self->scratch.size);
        matched++;
    }
    self->count = matched;
    if (!self->count_exact && unfiltered) {
        /* Account rows count hidden entries too. */
        self->count = entries;
        self->count_exact = filter->hidden;
    }
    return ERR_NONE;
}

static errcode_t scanned_entries(query_state_t *self, const entry_filter_t *filter, err_t *err)
{
    bool oldest = query_has(self, QUERY_OLDEST_FIRST);
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor;
    uint64_t matched = 0, work = 0, work_beyond = 0, known_count = 0;
    bool known = false;
    errcode_t rc = count_of(self, filter, &known, &known_count, err);

    self->count = known_count;
    if (rc != ERR_NONE || (known && self->skip >= known_count))
        return rc;
    cursor = query_cursor(self, FAMILY_ENTRY, key, key_partition(key, self->partition));
    if (self->query->entry != 0) {
        uint64_t sequence = id_sequence(self->query->entry);
        size_t key_bytes = key_entry(key, self->partition, oldest ? sequence + 1 : sequence);

        if (oldest)
            store_cursor_seek(cursor, key, key_bytes);
        else
            store_cursor_seek_before(cursor, key, key_bytes);
    } else if (oldest) {
        store_cursor_first(cursor);
    } else {
        store_cursor_last(cursor);
    }
    while (store_cursor_valid(cursor) && (!known || matched < known_count)) {
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);
        bool filled = self->row_count == self->limit;
        entry_t entry;

        if (filled && known)
            break;
        if (filled && (matched >= QUERY_COUNT_EXACT_MAX || work_beyond > QUERY_SCAN_BEYOND_MAX)) {
            self->count_exact = false;
            break;
        }
        if (work > QUERY_SCAN_MAX + self->skip) {
            rc = err_set(err, ERR_INVALID,
                         "this filter fits too few entries to find them by a scan; name account or "
                         "customer");
            break;
        }
        work++;
        work_beyond += filled ? 1 : 0;
        rc = entry_decode(&entry, value, n, err);
        if (rc != ERR_NONE)
            break;
        /* Older entries were recorded earlier still, so none of them can reach into the window. */
        if (!oldest && filter->from_us > INT64_MIN + AHEAD_MAX_US &&
            entry.recorded_us < filter->from_us - AHEAD_MAX_US)
            break;
        if ((!entry.hidden || filter->hidden) && entry_filter_takes(filter, &entry)) {
            if (matched >= self->skip && !filled)
                query_add(self, value, n);
            matched++;
        }
        if (oldest)
            store_cursor_next(cursor);
        else
            store_cursor_prev(cursor);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    self->count = known ? known_count : matched;
    return rc;
}

/* Known without reading entries when the filter is made of what counters are kept by. */
static errcode_t count_of(query_state_t *self, const entry_filter_t *filter, bool *known,
                          uint64_t *count, err_t *err)
{
    checkpoint_t checkpoint;
    counter_t counted = {0}, tail = {0}, posted = {0};
    errcode_t rc;

    *known = !filter->hidden && self->query->entry == 0 &&
             (filter->from_us == INT64_MIN || filter->from_us % DAY_US == 0) &&
             (filter->until_us == INT64_MAX || filter->until_us % DAY_US == 0);
    if (!*known)
        return ERR_NONE;
    rc = query_checkpoint(self, &checkpoint, err);
    if (rc == ERR_NONE)
        rc = query_count_rows(self, filter, &counted, err);
    if (rc == ERR_NONE)
        rc = query_count_tail(self, checkpoint.counted_sequence, filter, &tail, &posted, err);
    *count = counted.count + tail.count;
    return rc;
}
