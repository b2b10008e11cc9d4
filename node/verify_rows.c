/* verify_rows.c - a partition's entries with their counters, and its keys and transfers */
#include "node/verify.h"

#include "actors/message.h"
#include "actors/transfer.h"

#include <inttypes.h>
#include <stdlib.h>

#define COUNTER_SEED   UINT64_C(0x7665726966790001)
#define COUNTERS_FIRST 1024

static void count(verify_t *self, const entry_t *entry);
static errcode_t compare_counters(verify_t *self, err_t *err);

static bool marked(const verify_t *self, uint64_t sequence)
{
    return sequence < self->marks_bits && (self->marks[sequence / 64] >> (sequence % 64) & 1) != 0;
}

/* Every entry once, in the order of recording: its place, its account's chain, and the counters recomputed. */
errcode_t verify_entries(verify_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor =
        verify_cursor(self, FAMILY_ENTRY, key, key_partition(key, self->partition));
    points_t posted = 0;
    int64_t before_us = INT64_MIN;
    errcode_t rc;

    free(self->counters);
    self->counters = NULL;
    self->counters_capacity = self->counters_used = 0;
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *found = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        uint64_t sequence = key_bytes == 10 ? be64_get(found + 2) : 0;
        entry_t entry;

        self->entries++;
        if (entry_decode(&entry, value, n, NULL) != ERR_NONE) {
            verify_wrong(self, "entry %" PRIu64 " of partition %u cannot be read", sequence,
                         self->partition);
            continue;
        }
        if (id_sequence(entry.id) != sequence ||
            partition_of_slot(id_slot(entry.id), self->partitions) != self->partition ||
            id_slot(entry.id) != id_slot(entry.account))
            verify_wrong(self, "entry %" PRIu64 " stands in the wrong place", entry.id);
        if (!marked(self, sequence))
            verify_wrong(self,
                         "entry %" PRIu64 " belongs to account %" PRIu64
                         ", whose postings do not lead to it",
                         entry.id, entry.account);
        if (entry.recorded_us < before_us)
            verify_wrong(self, "entry %" PRIu64 " was recorded before the one in front of it",
                         entry.id);
        before_us = entry.recorded_us;
        if (sequence > self->part_highest)
            self->part_highest = sequence;
        posted += entry.posted;
        if (sequence < self->checkpoint.counted_sequence)
            self->part_posted_counted += entry.posted;
        if (!entry.hidden) {
            self->by_type[entry.type] += entry.delta;
            if (sequence < self->checkpoint.counted_sequence)
                count(self, &entry);
        }
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (rc != ERR_NONE)
        return rc;
    if (posted != self->part_available)
        verify_wrong(
            self, "partition %u: its entries post %" PRId64 " points, its accounts hold %" PRId64,
            self->partition, posted, self->part_available);
    if (self->checkpoint.counted_sequence > self->checkpoint.next_sequence)
        verify_wrong(self, "the checkpoint of partition %u counts entries that do not exist yet",
                     self->partition);
    return compare_counters(self, err);
}

/* ---- counters: an open hash table, doubled when half full ---- */

static verify_counter_t *place_of(verify_t *self, uint32_t program, uint8_t type, uint32_t day)
{
    uint8_t key[9];
    uint64_t at;

    be32_put(key, program);
    key[4] = type;
    be32_put(key + 5, day);
    for (at = hash64(COUNTER_SEED, key, sizeof key);; at++) {
        verify_counter_t *place = &self->counters[at & (self->counters_capacity - 1)];

        if (!place->used || (place->program == program && place->type == type && place->day == day))
            return place;
    }
}

static void grow(verify_t *self)
{
    verify_counter_t *old = self->counters;
    size_t capacity = self->counters_capacity;

    self->counters_capacity = capacity == 0 ? COUNTERS_FIRST : capacity * 2;
    self->counters = memory_zalloc(self->counters_capacity * sizeof *self->counters);
    for (size_t i = 0; i < capacity; i++) {
        if (old[i].used)
            *place_of(self, old[i].program, old[i].type, old[i].day) = old[i];
    }
    free(old);
}

static void count(verify_t *self, const entry_t *entry)
{
    uint32_t day = counter_day(entry->effective_us);
    verify_counter_t *place;

    if (self->counters_used * 2 >= self->counters_capacity)
        grow(self);
    place = place_of(self, entry->program, entry->type, day);
    if (!place->used) {
        *place = (verify_counter_t){
            .program = entry->program, .day = day, .type = entry->type, .used = true};
        self->counters_used++;
    }
    place->value.count++;
    place->value.sum += entry->delta;
}

static errcode_t compare_counters(verify_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_tag(key, self->partition, 'C');
    store_cursor_t *cursor = verify_cursor(self, FAMILY_STATE, key, prefix_bytes);
    errcode_t rc;

    if (self->counters_capacity == 0)
        grow(self);
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *found = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        verify_counter_t *place;
        counter_t counter = {0};
        uint32_t program, day;
        uint8_t type;

        if (key_bytes != prefix_bytes + 9 || counter_decode(&counter, value, n, NULL) != ERR_NONE) {
            verify_wrong(self, "a counter of partition %u cannot be read", self->partition);
            continue;
        }
        program = be32_get(found + prefix_bytes);
        type = found[prefix_bytes + 4];
        day = be32_get(found + prefix_bytes + 5);
        place = place_of(self, program, type, day);
        if (counter.count != place->value.count || counter.sum != place->value.sum)
            verify_wrong(self,
                         "partition %u, program %u, %s: a day has %" PRIu64 " entries of %" PRId64
                         " points, its counter says %" PRIu64 " of %" PRId64,
                         self->partition, program,
                         entry_type_name(type) != NULL ? entry_type_name(type) : "unknown type",
                         place->value.count, place->value.sum, counter.count, counter.sum);
        place->value = (counter_t){0}; /* seen */
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    for (size_t i = 0; i < self->counters_capacity && rc == ERR_NONE; i++) {
        if (self->counters[i].used && self->counters[i].value.count != 0)
            verify_wrong(self,
                         "partition %u, program %u: %" PRIu64 " entries of one day have no counter",
                         self->partition, self->counters[i].program, self->counters[i].value.count);
    }
    return rc;
}

/* ---- keys ---- */

static errcode_t check_answer(verify_t *self, const key_row_t *row, const uuid16_t *customer,
                              err_t *err)
{
    result_t result;
    entry_t entry;
    bool found = false;
    errcode_t rc;

    if (result_decode(&result, row->result.bytes, row->result.n, NULL) != ERR_NONE) {
        verify_wrong(self, "partition %u: a stored answer cannot be read", self->partition);
        return ERR_NONE;
    }
    if (result.entry == 0 || result.status >= 300)
        return ERR_NONE;
    rc = rows_entry(self->store, NULL, self->partition, result.entry, &entry, &self->scratch,
                    &found, err);
    if (rc != ERR_NONE && rc != ERR_CORRUPT)
        return rc;
    if (rc == ERR_CORRUPT || !found)
        verify_wrong(self, "an answer was stored for entry %" PRIu64 ", which is missing",
                     result.entry);
    else if (entry.account != row->account ||
             (customer != NULL && !uuid_equal(customer, &entry.customer)))
        verify_wrong(self, "an answer was stored for entry %" PRIu64 " of another account",
                     result.entry);
    else if (result.renderer != RENDER_ENTRY_1 && result.balance_after != entry.balance_after)
        verify_wrong(self,
                     "entry %" PRIu64 " left %" PRId64 " points, its stored answer says %" PRId64,
                     result.entry, entry.balance_after, result.balance_after);
    return ERR_NONE;
}

errcode_t verify_keys(verify_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor = verify_family(self, FAMILY_KEY);
    errcode_t rc = ERR_NONE;

    for (; rc == ERR_NONE && verify_within(self, cursor); store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *found_key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        bool by_key = key_bytes == 2 + 1 + UUID_BYTES + 1 + HASH_BYTES && found_key[2] == 'K';
        uuid16_t customer = {{0}};
        key_row_t row;
        bool found = false;

        self->keys++;
        if (key_row_decode(&row, value, n, NULL) != ERR_NONE) {
            verify_wrong(self, "partition %u: a key's row cannot be read", self->partition);
            continue;
        }
        if (by_key)
            memcpy(customer.bytes, found_key + 3, UUID_BYTES);
        if (row.state == KEY_FINAL) {
            rc = check_answer(self, &row, by_key ? &customer : NULL, err);
            continue;
        }
        buffer_reset(&self->scratch);
        rc = store_get(self->store, NULL, FAMILY_STATE, key,
                       key_transfer(key, self->partition, row.transfer), &self->scratch, &found,
                       err);
        if (rc == ERR_NONE && !found)
            verify_wrong(self, "a key waits for transfer %" PRIu64 ", which is not on its way",
                         row.transfer);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    return rc;
}

/* ---- transfers on their way ---- */

static int by_account(const void *a, const void *b)
{
    const verify_transit_t *first = a;
    const verify_transit_t *second = b;

    return (first->account > second->account) - (first->account < second->account);
}

errcode_t verify_transfers(verify_t *self, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor =
        verify_cursor(self, FAMILY_STATE, prefix, key_tag(prefix, self->partition, 'T'));
    errcode_t rc;

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);
        transfer_t transfer;

        self->transfers++;
        if (transfer_decode(&transfer, value, n, NULL) != ERR_NONE || transfer.points <= 0) {
            verify_wrong(self, "a transfer on its way from partition %u cannot be read",
                         self->partition);
            continue;
        }
        if (self->transit_count == self->transit_capacity) {
            self->transit_capacity = self->transit_capacity == 0 ? 64 : self->transit_capacity * 2;
            self->transit =
                memory_realloc(self->transit, self->transit_capacity * sizeof *self->transit);
        }
        self->transit[self->transit_count++] =
            (verify_transit_t){transfer.account, transfer.points};
        if (self->held_count == self->held_capacity) {
            self->held_capacity = self->held_capacity == 0 ? 64 : self->held_capacity * 2;
            self->held = memory_realloc(self->held, self->held_capacity * sizeof *self->held);
        }
        self->held[self->held_count++] = (verify_held_t){
            transfer.id, transfer.points, self->partition, transfer.to_partition, false};
        self->part_transfers += transfer.points;
        if (id_sequence(transfer.id) > self->part_highest)
            self->part_highest = id_sequence(transfer.id);
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (self->transit_count > 0)
        qsort(self->transit, self->transit_count, sizeof *self->transit, by_account);
    return rc;
}
