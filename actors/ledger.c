/* ledger.c - posting entries: double entry by construction, one chain per account, counters that can be rebuilt
 *
 * Legs follow from an entry's type and its posted amount: `active` moves by `posted`, the house account of the
 * type (issued, redeemed, adjust, transit, revoked) by the opposite, so the sum over all accounts is always zero and the
 * 'C' counters are the house accounts by day.
 */
#include "actors/partition_state.h"

#define COUNTER_SEED UINT64_C(0x77aa5511)

static counting_t *counting_of(partition_t *self, uint32_t program, uint8_t type, uint32_t day)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_counter(key, self->config.number, program, type, day);

    INVARIANT(self->counting_count < COUNTING_PLACES / 2);
    for (uint32_t i = (uint32_t)hash64(COUNTER_SEED, key, key_bytes);; i++) {
        counting_t *place = &self->counting[i & (COUNTING_PLACES - 1)];
        if (place->used && place->program == program && place->type == type && place->day == day)
            return place;
        if (place->used)
            continue;
        bool found = false;
        buffer_reset(&self->value);
        errcode_t rc =
            partition_get(self, FAMILY_STATE, key, key_bytes, &self->value, &found, NULL);
        *place = (counting_t){.program = program, .type = type, .day = day, .used = true};
        if (rc != ERR_NONE ||
            (found && counter_decode(&place->value, self->value.bytes, self->value.size, NULL)))
            partition_halt(self, "a counter row cannot be read");
        self->counting_count++;
        return place;
    }
}

static void write_counters(partition_t *self)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    for (uint32_t i = 0; i < COUNTING_PLACES; i++) {
        counting_t *place = &self->counting[i];
        if (!place->used || !place->dirty)
            continue;
        buffer_reset(&self->value);
        counter_encode(&place->value, &self->value);
        partition_put(
            self, FAMILY_STATE, key,
            key_counter(key, self->config.number, place->program, place->type, place->day),
            &self->value);
        place->dirty = false;
    }
}

void ledger_count(partition_t *self, uint32_t program, uint8_t type, int64_t effective_us,
                  int64_t entries, points_t sum)
{
    counting_t *place = counting_of(self, program, type, counter_day(effective_us));
    place->value.count = (uint64_t)((int64_t)place->value.count + entries);
    place->value.sum += sum;
    place->dirty = true;
    self->counters_changed = true;
    /* Many days at once (an import): write them with this record and start with an empty table. A record cannot fill
     * what is left. */
    if (self->counting_count >= COUNTING_PLACES / 4)
        self->checkpoint_due = true;
}

void ledger_checkpoint(partition_t *self)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];

    write_counters(self);
    if (self->counting_count >= COUNTING_PLACES / 4) {
        memset(self->counting, 0, COUNTING_PLACES * sizeof *self->counting);
        self->counting_count = 0;
    }
    self->checkpoint = (checkpoint_t){.next_sequence = self->next_sequence,
                                      .counted_sequence = self->next_sequence,
                                      .accounts = self->accounts,
                                      .available = self->available};
    buffer_reset(&self->value);
    checkpoint_encode(&self->checkpoint, &self->value);
    partition_put(self, FAMILY_STATE, key, key_checkpoint(key, self->config.number), &self->value);
    self->checkpoint_due = false;
    self->counters_changed = false;
    self->records_since_checkpoint = 0;
}

/* Entries behind the checkpoint are counted again: at most those of a few records. */
errcode_t ledger_load(partition_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc;

    memset(self->counting, 0, COUNTING_PLACES * sizeof *self->counting);
    self->counting_count = 0;
    self->checkpoint = (checkpoint_t){.next_sequence = 1, .counted_sequence = 1};
    buffer_reset(&self->value);
    rc = store_get(self->config.store, NULL, FAMILY_STATE, key,
                   key_checkpoint(key, self->config.number), &self->value, &found, err);
    if (rc == ERR_NONE && found)
        rc = checkpoint_decode(&self->checkpoint, self->value.bytes, self->value.size, err);
    if (rc != ERR_NONE)
        return rc;
    self->next_sequence = self->checkpoint.next_sequence;
    self->accounts = self->checkpoint.accounts;
    self->available = self->checkpoint.available;

    size_t prefix_bytes = key_partition(key, self->config.number);
    size_t upper_bytes = key_after_prefix(upper, key, prefix_bytes);
    size_t lower_bytes = key_entry(key, self->config.number, self->checkpoint.counted_sequence);
    store_cursor_t *cursor = store_cursor_new(self->config.store, NULL, FAMILY_ENTRY, key,
                                              lower_bytes, upper, upper_bytes);
    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        entry_t entry;
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);
        rc = entry_decode(&entry, value, n, err);
        if (rc != ERR_NONE)
            break;
        self->available += entry.posted;
        if (!entry.hidden)
            ledger_count(self, entry.program, entry.type, entry.effective_us, 1, entry.delta);
        if (id_sequence(entry.id) >= self->next_sequence)
            self->next_sequence = id_sequence(entry.id) + 1;
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

static void write_entry(partition_t *self, const entry_t *entry)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    entry_encode(entry, &self->value);
    partition_put(self, FAMILY_ENTRY, key,
                  key_entry(key, self->config.number, id_sequence(entry->id)), &self->value);
}

uint64_t ledger_post(partition_t *self, account_t *account, entry_t *entry)
{
    if (entry->id == 0) /* callers that name lots after the entry take the id first */
        entry->id = partition_new_id(self, id_slot(account->id));
    entry->account = account->id;
    entry->customer = account->customer;
    entry->program = account->program;
    entry->prev = account->last_entry;
    entry->recorded_us = self->now_us;
    if (entry->effective_us == 0)
        entry->effective_us = self->now_us;
    entry->version = 1;
    account->available += entry->posted;
    entry->balance_after = account->available;
    INVARIANT(account->available >= 0);
    INVARIANT(account->available <= POINTS_MAX);
    posting_chain(account->chain, entry);
    account->last_entry = entry->id;
    account->entries++;
    uint32_t keep = account->recent_count < ACCOUNT_RECENT_ENTRIES ? account->recent_count
                                                                   : ACCOUNT_RECENT_ENTRIES - 1;
    memmove(account->recent + 1, account->recent, keep * sizeof *account->recent);
    account->recent[0] = entry->id;
    account->recent_count = keep + 1;
    self->available += entry->posted;
    if (!entry->hidden)
        ledger_count(self, entry->program, entry->type, entry->effective_us, 1, entry->delta);
    write_entry(self, entry);
    return entry->id;
}

void ledger_rewrite(partition_t *self, const entry_t *before, entry_t *entry)
{
    entry->version = before->version + 1;
    if (!before->hidden)
        ledger_count(self, before->program, before->type, before->effective_us, -1, -before->delta);
    if (!entry->hidden)
        ledger_count(self, entry->program, entry->type, entry->effective_us, 1, entry->delta);
    write_entry(self, entry);
    /* Counters are rebuilt from the entries behind the checkpoint, which this edit may not be: write them now. */
    self->checkpoint_due = true;
}
