/* verify.c - a partition's log and accounts; the order of all checks */
#include "node/verify.h"

#include "storage/journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ROW_BYTES_MAX       ((size_t)1024 * 1024)
#define ACCOUNT_ENTRIES_MAX 50000000
#define MARKS_BITS_MAX      (UINT64_C(1) << 34) /* 2 GiB of bits */

static errcode_t scan_log(verify_t *self, err_t *err);
static errcode_t read_checkpoint(verify_t *self, err_t *err);
static errcode_t prove_accounts(verify_t *self, char tag, err_t *err);
static errcode_t count_places(verify_t *self, err_t *err);
static errcode_t count_lots(verify_t *self, err_t *err);

void verify_init(verify_t *self, const together_t *together)
{
    memset(self, 0, sizeof *self);
    self->together = together;
    self->partitions = together->partitions;
    self->digests = memory_zalloc(((size_t)together->partitions + 1) * sizeof *self->digests);
    buffer_init(&self->scratch, ROW_BYTES_MAX);
}

void verify_free(verify_t *self)
{
    free(self->marks);
    free(self->counters);
    free(self->transit);
    free(self->held);
    free(self->digests);
    migrate_cursors_free(&self->cursors);
    buffer_free(&self->scratch);
    memset(self, 0, sizeof *self);
}

void verify_wrong(verify_t *self, const char *format, ...)
{
    va_list arguments;

    if (self->wrong < VERIFY_SHOWN) {
        va_start(arguments, format);
        (void)vsnprintf(self->shown[self->wrong], sizeof self->shown[0], format, arguments);
        va_end(arguments);
    }
    self->wrong++;
}

store_cursor_t *verify_cursor(verify_t *self, family_t family, const uint8_t *prefix,
                              size_t prefix_bytes)
{
    uint8_t upper[BATCH_KEY_BYTES_MAX];
    size_t upper_bytes = key_after_prefix(upper, prefix, prefix_bytes);

    return store_cursor_new(self->store, NULL, family, prefix, prefix_bytes, upper, upper_bytes);
}

store_cursor_t *verify_family(verify_t *self, family_t family)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];

    return migrate_cursor_at(&self->cursors, self->store, family, key,
                             key_partition(key, self->partition));
}

bool verify_within(const verify_t *self, const store_cursor_t *cursor)
{
    size_t n;

    if (!store_cursor_valid(cursor))
        return false;
    const uint8_t *key = store_cursor_key(cursor, &n);
    return n > 2 && be16_get(key) == self->partition;
}

errcode_t verify_partition(verify_t *self, uint16_t partition, err_t *err)
{
    errcode_t rc;

    self->partition = partition;
    self->store = self->together->owner[partition];
    self->part_accounts = self->part_rows = self->part_overflow = self->part_highest = 0;
    self->part_available = self->part_posted_counted = self->part_in_transit =
        self->part_transfers = 0;
    self->transit_count = 0;
    rc = scan_log(self, err);
    if (rc == ERR_NONE)
        rc = read_checkpoint(self, err);
    if (rc != ERR_NONE)
        return rc;
    free(self->marks);
    self->marks_bits = self->checkpoint.next_sequence < MARKS_BITS_MAX
                           ? self->checkpoint.next_sequence
                           : MARKS_BITS_MAX;
    /* Ids taken since the checkpoint lie beyond; the newest entry says how far. */
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor = verify_cursor(self, FAMILY_ENTRY, key, key_partition(key, partition));
    store_cursor_last(cursor);
    if (store_cursor_valid(cursor)) {
        size_t n;
        const uint8_t *last = store_cursor_key(cursor, &n);

        if (n == 10 && be64_get(last + 2) >= self->marks_bits &&
            be64_get(last + 2) < MARKS_BITS_MAX)
            self->marks_bits = be64_get(last + 2) + 1;
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    self->marks = memory_zalloc((size_t)(self->marks_bits / 64 + 1) * sizeof *self->marks);
    if (rc == ERR_NONE)
        rc = verify_transfers(self, err);
    if (rc == ERR_NONE)
        rc = prove_accounts(self, 'A', err);
    if (rc == ERR_NONE)
        rc = prove_accounts(self, 'Z', err);
    if (rc == ERR_NONE)
        rc = count_places(self, err);
    if (rc == ERR_NONE)
        rc = count_lots(self, err);
    if (rc == ERR_NONE)
        rc = verify_entries(self, err);
    if (rc == ERR_NONE)
        rc = verify_keys(self, err);
    if (rc == ERR_NONE)
        rc = verify_digest_partition(&self->digests[partition], self->together, &self->cursors,
                                     partition, &self->scratch, err);
    if (rc != ERR_NONE)
        return rc;
    if (self->checkpoint.accounts != self->part_accounts)
        verify_wrong(self,
                     "partition %u has %" PRIu64
                     " accounts that are not deleted, its checkpoint says %" PRIu64,
                     partition, self->part_accounts, self->checkpoint.accounts);
    if (self->checkpoint.available != self->part_posted_counted)
        verify_wrong(self,
                     "partition %u: entries up to the checkpoint post %" PRId64
                     " points, the checkpoint says %" PRId64,
                     partition, self->part_posted_counted, self->checkpoint.available);
    if (self->part_in_transit != self->part_transfers)
        verify_wrong(self,
                     "partition %u: accounts have %" PRId64
                     " points in transit, transfers on their way hold %" PRId64,
                     partition, self->part_in_transit, self->part_transfers);
    self->available += self->part_available;
    self->in_transit += self->part_in_transit;
    return ERR_NONE;
}

static errcode_t count_record(void *state, const record_header_t *header, const void *record,
                              size_t n, const position_t *after, err_t *err)
{
    verify_t *self = state;

    (void)header;
    (void)record;
    (void)n;
    (void)after;
    (void)err;
    self->records++;
    return ERR_NONE;
}

static errcode_t scan_log(verify_t *self, err_t *err)
{
    err_t why = {0};
    errcode_t rc;

    if (self->together->follower)
        return ERR_NONE;
    rc = journal_embedded_scan(self->store, NULL, self->partition, 1, count_record, self, &why);

    if (rc == ERR_CORRUPT) {
        verify_wrong(self, "the log of partition %u does not hold: %.300s", self->partition,
                     why.text);
        return ERR_NONE;
    }
    if (rc != ERR_NONE && err != NULL)
        *err = why;
    return rc;
}

static errcode_t read_checkpoint(verify_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc;

    self->checkpoint = (checkpoint_t){.next_sequence = 1, .counted_sequence = 1};
    buffer_reset(&self->scratch);
    rc = store_get(self->store, NULL, FAMILY_STATE, key, key_checkpoint(key, self->partition),
                   &self->scratch, &found, err);
    if (rc == ERR_NONE && found &&
        checkpoint_decode(&self->checkpoint, self->scratch.bytes, self->scratch.size, NULL) !=
            ERR_NONE)
        verify_wrong(self, "the checkpoint of partition %u cannot be read", self->partition);
    return rc;
}

static void mark(verify_t *self, uint64_t sequence)
{
    if (sequence < self->marks_bits)
        self->marks[sequence / 64] |= UINT64_C(1) << (sequence % 64);
}

static int by_account(const void *a, const void *b)
{
    const verify_transit_t *first = a;
    const verify_transit_t *second = b;

    return (first->account > second->account) - (first->account < second->account);
}

static points_t transit_of(const verify_t *self, uint64_t account)
{
    verify_transit_t key = {.account = account};
    verify_transit_t *found;
    points_t sum = 0;

    if (self->transit_count == 0)
        return 0;
    found = bsearch(&key, self->transit, self->transit_count, sizeof key, by_account);
    if (found == NULL)
        return 0;
    while (found > self->transit && found[-1].account == account)
        found--;
    for (; found < self->transit + self->transit_count && found->account == account; found++)
        sum += found->points;
    return sum;
}

/* What stands around an account's row: its key, its id's row, its slot. */
static errcode_t check_place(verify_t *self, const account_t *account, char tag, const uint8_t *key,
                             size_t key_bytes, err_t *err)
{
    uint8_t expected[BATCH_KEY_BYTES_MAX];
    size_t n = tag == 'A'
                   ? key_account(expected, self->partition, &account->customer, account->program)
                   : key_retired(expected, self->partition, account->id);
    uuid16_t customer;
    uint32_t program;
    bool found = false;
    errcode_t rc;

    if (n != key_bytes || memcmp(expected, key, n) != 0)
        verify_wrong(self, "account %" PRIu64 " stands under the key of another one", account->id);
    if (id_slot(account->id) != slot_of_customer(&account->customer) ||
        partition_of_slot(id_slot(account->id), self->partitions) != self->partition)
        verify_wrong(self, "account %" PRIu64 " does not belong into partition %u", account->id,
                     self->partition);
    if (tag == 'Z' && !account->deleted)
        verify_wrong(self, "account %" PRIu64 " is moved aside and not deleted", account->id);
    buffer_reset(&self->scratch);
    rc = store_get(self->store, NULL, FAMILY_STATE, expected,
                   key_account_id(expected, self->partition, account->id), &self->scratch, &found,
                   err);
    if (rc != ERR_NONE)
        return rc;
    if (!found ||
        account_place_decode(&customer, &program, self->scratch.bytes, self->scratch.size, NULL) !=
            ERR_NONE ||
        !uuid_equal(&customer, &account->customer) || program != account->program)
        verify_wrong(self, "account %" PRIu64 " cannot be found by its id", account->id);
    return ERR_NONE;
}

static errcode_t prove_accounts(verify_t *self, char tag, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor =
        verify_cursor(self, FAMILY_STATE, prefix, key_tag(prefix, self->partition, tag));
    reconciler_t reconciler;
    errcode_t rc = ERR_NONE;

    reconciler_init(&reconciler, self->store, NULL, self->partition);
    reconciler.entries_max = ACCOUNT_ENTRIES_MAX;
    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        account_t account;
        finding_t finding;

        self->part_rows++;
        if (account_decode(&account, value, n, NULL) != ERR_NONE) {
            verify_wrong(self, "an account row of partition %u cannot be read", self->partition);
            continue;
        }
        rc = check_place(self, &account, tag, key, key_bytes, err);
        if (rc == ERR_NONE)
            rc = reconcile_account(&reconciler, &account, &finding, err);
        if (rc != ERR_NONE)
            break;
        if (finding.why[0] != '\0')
            verify_wrong(self, "account %" PRIu64 ": %s", account.id, finding.why);
        if (account.in_transit != transit_of(self, account.id))
            verify_wrong(self,
                         "account %" PRIu64 ": its row has %" PRId64
                         " points in transit, its transfers %" PRId64,
                         account.id, account.in_transit, transit_of(self, account.id));
        for (uint64_t i = 0; i < finding.figures.entries; i++)
            mark(self, id_sequence(reconciler.ids[i]));
        if (id_sequence(account.id) > self->part_highest)
            self->part_highest = id_sequence(account.id);
        self->part_accounts += account.deleted ? 0 : 1;
        self->deleted += account.deleted ? 1 : 0;
        self->accounts++;
        self->part_available += account.available;
        self->part_in_transit += account.in_transit;
        self->part_overflow += account.overflow_lots;
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    reconciler_free(&reconciler);
    return rc;
}

static errcode_t count_places(verify_t *self, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor =
        verify_cursor(self, FAMILY_STATE, prefix, key_tag(prefix, self->partition, 'I'));
    uint64_t count = 0;
    errcode_t rc;

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor))
        count++;
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (rc == ERR_NONE && count != self->part_rows)
        verify_wrong(self, "partition %u has %" PRIu64 " account ids and %" PRIu64 " accounts",
                     self->partition, count, self->part_rows);
    return rc;
}

static errcode_t count_lots(verify_t *self, err_t *err)
{
    store_cursor_t *cursor = verify_family(self, FAMILY_LOT);
    uint64_t count = 0;
    errcode_t rc;

    for (; verify_within(self, cursor); store_cursor_next(cursor))
        count++;
    rc = store_cursor_error(cursor, err);
    if (rc == ERR_NONE && count != self->part_overflow)
        verify_wrong(self,
                     "partition %u has %" PRIu64
                     " lots in rows of their own, its accounts count %" PRIu64,
                     self->partition, count, self->part_overflow);
    return rc;
}
