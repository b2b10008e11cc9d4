/* query_lists.c - lists of accounts, and counts from the maintained counters */
#include "actors/query_run.h"

#include "actors/query_counts.h"
#include "protocol/calendar.h"

#include <stdlib.h>

#define ACCOUNTS_OF_CUSTOMER_MAX 10000

typedef struct {
    uint64_t id;
    size_t at; /* of its row in the gathered bytes */
    size_t n;
} place_t;

static bool account_matches(const query_state_t *self, const account_t *account);

static int by_id(const void *a, const void *b)
{
    const place_t *first = a;
    const place_t *second = b;

    return (first->id > second->id) - (first->id < second->id);
}

/* A customer has at most one account per program: few enough to gather and sort. */
static errcode_t list_accounts_of(query_state_t *self, bool newest_first, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor =
        query_cursor(self, FAMILY_STATE, prefix,
                     key_accounts_of(prefix, self->partition, &self->query->customer));
    buffer_t gathered;
    size_t capacity = 16;
    size_t count = 0;
    place_t *places = memory_alloc(capacity * sizeof *places);
    errcode_t rc = ERR_NONE;

    buffer_init(&gathered, self->rows.max);
    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);
        account_t account;

        rc = account_decode(&account, value, n, err);
        if (rc != ERR_NONE || !account_matches(self, &account))
            continue;
        if (count == ACCOUNTS_OF_CUSTOMER_MAX) {
            rc = err_set(err, ERR_INVALID, "the customer has more than %d accounts; name a program",
                         ACCOUNTS_OF_CUSTOMER_MAX);
            break;
        }
        if (count == capacity) {
            capacity *= 2;
            places = memory_realloc(places, capacity * sizeof *places);
        }
        places[count++] = (place_t){account.id, gathered.size, n};
        buffer_append(&gathered, value, n);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    if (rc == ERR_NONE && gathered.failed)
        self->rows.failed = true; /* query_run() says so */
    if (rc == ERR_NONE && !gathered.failed) {
        self->count = count;
        qsort(places, count, sizeof *places, by_id);
        for (size_t i = (size_t)self->skip; i < count && self->row_count < self->limit; i++) {
            const place_t *place = &places[newest_first ? count - 1 - i : i];

            query_add(self, gathered.bytes + place->at, place->n);
        }
    }
    free(places);
    buffer_free(&gathered);
    store_cursor_destroy(&cursor);
    return rc;
}

errcode_t query_accounts_of(query_state_t *self, err_t *err)
{
    return list_accounts_of(self, true, err);
}

static bool filters_programs_only(const query_state_t *self)
{
    return !query_has(self, QUERY_BY_STATUS | QUERY_BY_TIER | QUERY_BY_PROGRAM | QUERY_DELETED);
}

/* Ids ascend, so `account` is a cursor: the list goes on behind it. Up to QUERY_COUNT_EXACT_MAX accounts are counted one
 * by one; beyond, the unfiltered count is that of the last checkpoint and said to be inexact. */
errcode_t query_accounts(query_state_t *self, err_t *err)
{
    const query_t *query = self->query;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor;
    checkpoint_t checkpoint = {0};
    uint64_t work = 0, work_beyond = 0, matched = 0;
    bool unfiltered = filters_programs_only(self);
    errcode_t rc;

    if (query_has(self, QUERY_BY_CUSTOMER))
        return list_accounts_of(self, false, err);
    if (query->account == UINT64_MAX) /* nothing is behind the last id there can be */
        return ERR_NONE;
    rc = query_checkpoint(self, &checkpoint, err);
    if (rc != ERR_NONE)
        return rc;
    cursor = query_cursor(self, FAMILY_STATE, key, key_tag(key, self->partition, 'I'));
    if (query->account == 0)
        store_cursor_first(cursor);
    else
        store_cursor_seek(cursor, key, key_account_id(key, self->partition, query->account + 1));
    for (; store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *found_key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        bool filled = self->row_count == self->limit;
        uint64_t id = key_bytes >= 8 ? be64_get(found_key + key_bytes - 8) : 0;
        account_t account;
        uuid16_t customer;
        uint32_t program;
        bool found = false;

        if (filled && (matched >= QUERY_COUNT_EXACT_MAX || work_beyond > QUERY_SCAN_BEYOND_MAX ||
                       (unfiltered && checkpoint.accounts > QUERY_COUNT_EXACT_MAX))) {
            self->count_exact = false;
            break;
        }
        if (work > QUERY_SCAN_MAX) {
            rc = err_set(err, ERR_INVALID,
                         "this filter fits too few accounts to find them by a scan; name customer "
                         "or program");
            break;
        }
        work++;
        work_beyond += filled ? 1 : 0;
        rc = account_place_decode(&customer, &program, value, n, err);
        if (rc != ERR_NONE)
            break;
        if (query_has(self, QUERY_BY_PROGRAM) && program != query->program)
            continue;
        work += QUERY_RESOLVE_COST;
        work_beyond += filled ? QUERY_RESOLVE_COST : 0;
        rc = rows_account(self->context->store, self->snapshot, self->partition, &customer, program,
                          &account, &self->scratch, &found, err);
        if (rc == ERR_NONE && (!found || account.id != id)) {
            /* Deleted, and its customer enrolled again: the long way round. */
            if (!query_has(self, QUERY_DELETED))
                continue;
            rc = rows_account_by_id(self->context->store, self->snapshot, self->partition, id,
                                    &account, &self->scratch, &found, err);
        }
        if (rc != ERR_NONE)
            break;
        if (!account_matches(self, &account))
            continue;
        if (matched >= self->skip && !filled)
            query_add(self, self->scratch.bytes, self->scratch.size);
        matched++;
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    self->count = matched;
    if (!self->count_exact && unfiltered && checkpoint.accounts > matched)
        self->count = checkpoint.accounts;
    return rc;
}

static bool account_matches(const query_state_t *self, const account_t *account)
{
    const query_t *query = self->query;

    if ((query_has(self, QUERY_BY_PROGRAM) || query->kind == QUERY_ACCOUNTS_OF) &&
        query->program != 0 && account->program != query->program)
        return false;
    if (query_has(self, QUERY_BY_STATUS) && account->status != query->status)
        return false;
    if (query_has(self, QUERY_BY_TIER) && account->tier != query->tier)
        return false;
    return query_shows_account(self, account);
}

errcode_t query_checkpoint(query_state_t *self, checkpoint_t *out, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc;

    *out = (checkpoint_t){.next_sequence = 1, .counted_sequence = 1};
    buffer_reset(&self->scratch);
    rc = store_get(self->context->store, self->snapshot, FAMILY_STATE, key,
                   key_checkpoint(key, self->partition), &self->scratch, &found, err);
    if (rc != ERR_NONE || !found)
        return rc;
    return checkpoint_decode(out, self->scratch.bytes, self->scratch.size, err);
}

/* Counter rows are p 'C' program type day. */
errcode_t query_count_rows(query_state_t *self, const entry_filter_t *filter, counter_t *out,
                           err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX], key[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_tag(prefix, self->partition, 'C');
    const size_t program_at = prefix_bytes, type_at = program_at + 4, day_at = type_at + 1;
    uint32_t first_day = filter->from_us == INT64_MIN ? 0 : counter_day(filter->from_us);
    uint32_t end_day = filter->until_us == INT64_MAX ? UINT32_MAX : counter_day(filter->until_us);
    store_cursor_t *cursor;
    errcode_t rc = ERR_NONE;

    if (filter->program != 0) {
        be32_put(prefix + prefix_bytes, filter->program);
        prefix_bytes += 4;
        if (filter->type != 0)
            prefix[prefix_bytes++] = filter->type;
    }
    cursor = query_cursor(self, FAMILY_STATE, prefix, prefix_bytes);
    store_cursor_first(cursor);
    while (store_cursor_valid(cursor)) {
        size_t key_bytes, n;
        const uint8_t *found = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value;
        uint32_t program, day;
        uint8_t type;
        counter_t counter;

        if (key_bytes != day_at + 4) {
            rc = err_set(err, ERR_CORRUPT, "a counter's key has %zu bytes", key_bytes);
            break;
        }
        program = be32_get(found + program_at);
        type = found[type_at];
        day = be32_get(found + day_at);
        if ((filter->type != 0 && type < filter->type) ||
            (type == filter->type && day < first_day)) {
            uint8_t want = filter->type != 0 ? filter->type : type;

            store_cursor_seek(cursor, key,
                              key_counter(key, self->partition, program, want, first_day));
            continue;
        }
        if ((filter->type != 0 && type > filter->type) || day < first_day || day >= end_day ||
            !entry_filter_has_program(filter, program)) {
            store_cursor_next(cursor);
            continue;
        }
        value = store_cursor_value(cursor, &n);
        rc = counter_decode(&counter, value, n, err);
        if (rc != ERR_NONE)
            break;
        out->count += counter.count;
        out->sum = (points_t)((uint64_t)out->sum + (uint64_t)counter.sum);
        store_cursor_next(cursor);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

errcode_t query_count_tail(query_state_t *self, uint64_t from_sequence,
                           const entry_filter_t *filter, counter_t *visible, counter_t *all,
                           err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor =
        query_cursor(self, FAMILY_ENTRY, key, key_partition(key, self->partition));
    errcode_t rc = ERR_NONE;

    store_cursor_seek(cursor, key, key_entry(key, self->partition, from_sequence));
    for (; store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);
        entry_t entry;

        rc = entry_decode(&entry, value, n, err);
        if (rc != ERR_NONE)
            break;
        if (!entry_filter_takes(filter, &entry))
            continue;
        all->count++;
        all->sum = (points_t)((uint64_t)all->sum + (uint64_t)entry.posted);
        if (entry.hidden)
            continue;
        visible->count++;
        visible->sum = (points_t)((uint64_t)visible->sum + (uint64_t)entry.delta);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

/* Figures of a partition without a scan of its accounts: what the counters say against what the checkpoint says, each
 * brought up to date by the entries behind the checkpoint. Lots are not summed here; `fealty verify` does. */
errcode_t query_totals(query_state_t *self, err_t *err)
{
    entry_filter_t everything = {.from_us = INT64_MIN, .until_us = INT64_MAX};
    checkpoint_t checkpoint;
    counter_t counted = {0}, tail = {0}, posted = {0};
    reconciliation_t figures;
    errcode_t rc = query_checkpoint(self, &checkpoint, err);

    if (rc == ERR_NONE)
        rc = query_count_rows(self, &everything, &counted, err);
    if (rc == ERR_NONE)
        rc = query_count_tail(self, checkpoint.counted_sequence, &everything, &tail, &posted, err);
    if (rc != ERR_NONE)
        return rc;
    figures = (reconciliation_t){
        .expected = (points_t)((uint64_t)counted.sum + (uint64_t)tail.sum),
        .actual = (points_t)((uint64_t)checkpoint.available + (uint64_t)posted.sum),
        .entries = counted.count + tail.count,
        .chain_ok = true};
    figures.counters_ok = figures.expected == figures.actual;
    buffer_reset(&self->scratch);
    reconciliation_encode(&figures, &self->scratch);
    query_add(self, self->scratch.bytes, self->scratch.size);
    self->count = 1;
    return ERR_NONE;
}
