/* test_query.c - lists, counts and proofs over a small ledger that is written by hand */
#include "actors/query.h"

#include "actors/message.h"
#include "protocol/calendar.h"

#include <criterion/criterion.h>

#define PARTITION 2
#define SLOT      9
#define START_US  INT64_C(1772323200000000) /* 2026-03-01T00:00:00Z */

typedef struct {
    store_t *store;
    uint64_t sequence;
    buffer_t batch, value;
} books_t;

static void books_open(books_t *self)
{
    *self = (books_t){.store = store_memory_new(), .sequence = 1};
    buffer_init(&self->batch, 64 << 20);
    buffer_init(&self->value, 1 << 20);
}

static void books_close(books_t *self)
{
    buffer_free(&self->batch);
    buffer_free(&self->value);
    store_destroy(&self->store);
}

static void books_put(books_t *self, family_t family, const uint8_t *key, size_t key_bytes)
{
    batch_put(&self->batch, family, key, key_bytes, self->value.bytes, self->value.size);
    buffer_reset(&self->value);
}

static void books_write(books_t *self)
{
    batch_part_t part = {self->batch.bytes, self->batch.size};

    cr_assert_eq(store_write(self->store, &part, 1, true, NULL), ERR_NONE);
    buffer_reset(&self->batch);
}

static void books_save(books_t *self, const account_t *account)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];

    account_encode(account, &self->value);
    books_put(self, FAMILY_STATE, key,
              key_account(key, PARTITION, &account->customer, account->program));
    account_place_encode(&account->customer, account->program, &self->value);
    books_put(self, FAMILY_STATE, key, key_account_id(key, PARTITION, account->id));
}

static void books_enrol(books_t *self, account_t *account, uint8_t customer, uint32_t program)
{
    memset(account, 0, sizeof *account);
    account->id = id_make(SLOT, self->sequence++);
    account->customer = (uuid16_t){{customer}};
    account->program = program;
    account->version = 1;
    books_save(self, account);
}

static void books_entry_row(books_t *self, const entry_t *entry)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];

    entry_encode(entry, &self->value);
    books_put(self, FAMILY_ENTRY, key, key_entry(key, PARTITION, id_sequence(entry->id)));
}

/* One lot that holds everything: enough for what queries look at. */
static entry_t books_post(books_t *self, account_t *account, uint8_t type, points_t posted,
                          int64_t effective_us)
{
    entry_t entry = {.id = id_make(SLOT, self->sequence++),
                     .account = account->id,
                     .customer = account->customer,
                     .program = account->program,
                     .type = type,
                     .amount = posted < 0 && type != ENTRY_ADJUST ? -posted : posted,
                     .delta = posted,
                     .posted = posted,
                     .effective_us = effective_us,
                     .recorded_us = START_US + (int64_t)self->sequence,
                     .prev = account->last_entry,
                     .version = 1};

    account->available += posted;
    entry.balance_after = account->available;
    if (type == ENTRY_EARN)
        account->earned += posted;
    if (type == ENTRY_REDEEM)
        account->redeemed -= posted;
    posting_chain(account->chain, &entry);
    account->last_entry = entry.id;
    account->entries++;
    account->lot_count = account->available > 0 ? 1 : 0;
    account->lots[0] =
        (lot_t){.id = entry.id, .original = account->available, .active = account->available};
    books_entry_row(self, &entry);
    books_save(self, account);
    return entry;
}

static errcode_t ask(books_t *self, const query_t *query, buffer_t *bytes, answer_t *answer)
{
    query_context_t context = {.store = self->store, .partitions = 16};
    buffer_t encoded;
    errcode_t rc;

    buffer_init(&encoded, 4096);
    query_encode(query, &encoded);
    buffer_init(bytes, 16 << 20);
    rc = query_run(&context, PARTITION, encoded.bytes, encoded.size, bytes, NULL);
    if (rc == ERR_NONE)
        cr_assert_eq(answer_decode(answer, bytes->bytes, bytes->size, NULL), ERR_NONE);
    buffer_free(&encoded);
    return rc;
}

static uint64_t next_entry_id(answer_t *answer)
{
    const void *row;
    size_t n = unpack_blob(&answer->rows, &row);
    entry_t entry;

    cr_assert_eq(entry_decode(&entry, row, n, NULL), ERR_NONE);
    return entry.id;
}

static uint64_t next_account_id(answer_t *answer)
{
    static account_t account;
    const void *row;
    size_t n = unpack_blob(&answer->rows, &row);

    cr_assert_eq(account_decode(&account, row, n, NULL), ERR_NONE);
    return account.id;
}

Test(query, questions_and_figures_survive_the_way_to_bytes_and_back)
{
    query_t query = {.kind = QUERY_ENTRIES,
                     .set = QUERY_BY_ACCOUNT | QUERY_BY_TIME,
                     .customer = {{3}},
                     .program = 4,
                     .account = 5,
                     .entry = 6,
                     .status = 1,
                     .tier = 7,
                     .entry_type = 8,
                     .from_us = -9,
                     .until_us = 10,
                     .skip = 11,
                     .limit = 12,
                     .operation = 1,
                     .key_hash = {{13}},
                     .token = {{14}},
                     .resource = 2,
                     .id = 15};
    query_t back;
    reconciliation_t figures = {
        .expected = 1, .actual = -2, .lots = 3, .entries = 4, .chain_ok = true};
    reconciliation_t figures_back;
    buffer_t bytes, again;

    buffer_init(&bytes, 4096);
    buffer_init(&again, 4096);
    query_encode(&query, &bytes);
    cr_assert_eq(query_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    query_encode(&back, &again);
    cr_assert_eq(bytes.size, again.size);
    cr_assert_eq(memcmp(bytes.bytes, again.bytes, bytes.size), 0);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(query_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    buffer_reset(&bytes);
    reconciliation_encode(&figures, &bytes);
    cr_assert_eq(reconciliation_decode(&figures_back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(figures_back.actual, -2);
    cr_assert(figures_back.chain_ok);
    cr_assert_not(figures_back.counters_ok);
    cr_assert_eq(reconciliation_decode(&figures_back, bytes.bytes, bytes.size - 1, NULL),
                 ERR_CORRUPT);
    buffer_free(&bytes);
    buffer_free(&again);
}

Test(query, that_cannot_be_read_or_has_no_kind_is_invalid)
{
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_context_t context;

    books_open(&books);
    context = (query_context_t){.store = books.store, .partitions = 16};
    buffer_init(&bytes, 1 << 16);
    cr_assert_eq(query_run(&context, PARTITION, "\xc1", 1, &bytes, NULL), ERR_INVALID);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books, &(query_t){.kind = 99}, &bytes, &answer), ERR_INVALID);
    buffer_free(&bytes);
    cr_assert_eq(
        ask(&books, &(query_t){.kind = QUERY_ENTRIES, .skip = UINT64_MAX}, &bytes, &answer),
        ERR_INVALID);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, finds_an_account_and_an_entry_unless_deleted)
{
    static account_t account;
    books_t books;
    buffer_t bytes;
    answer_t answer;
    entry_t entry;

    books_open(&books);
    books_enrol(&books, &account, 1, 1);
    entry = books_post(&books, &account, ENTRY_EARN, 100, START_US);
    books_write(&books);
    cr_assert_eq(
        ask(&books, &(query_t){.kind = QUERY_ACCOUNT, .account = account.id}, &bytes, &answer),
        ERR_NONE);
    cr_assert_eq(answer.row_count, 1);
    cr_assert_eq(next_account_id(&answer), account.id);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books, &(query_t){.kind = QUERY_ENTRY, .entry = entry.id}, &bytes, &answer),
                 ERR_NONE);
    cr_assert_eq(next_entry_id(&answer), entry.id);
    buffer_free(&bytes);

    account.deleted = true;
    books_save(&books, &account);
    entry.hidden = true;
    books_entry_row(&books, &entry);
    books_write(&books);
    cr_assert_eq(
        ask(&books, &(query_t){.kind = QUERY_ACCOUNT, .account = account.id}, &bytes, &answer),
        ERR_NOT_FOUND);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books, &(query_t){.kind = QUERY_ENTRY, .entry = entry.id}, &bytes, &answer),
                 ERR_NOT_FOUND);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books,
                     &(query_t){.kind = QUERY_ENTRY, .entry = entry.id, .set = QUERY_DELETED},
                     &bytes, &answer),
                 ERR_NONE);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, lists_accounts_by_id_behind_a_cursor_with_filters)
{
    static account_t accounts[30];
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_t query = {.kind = QUERY_ACCOUNTS, .limit = 10};

    books_open(&books);
    for (uint8_t i = 0; i < 30; i++) {
        books_enrol(&books, &accounts[i], (uint8_t)(200 - i),
                    i % 3 == 0 ? 2 : 1); /* customers in reverse order */
        accounts[i].status = i % 5 == 0 ? STATUS_BLOCKED : STATUS_ACTIVE;
        accounts[i].deleted = i == 29;
        books_save(&books, &accounts[i]);
    }
    books_write(&books);
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 29);
    cr_assert(answer.count_exact);
    cr_assert_eq(answer.row_count, 10);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(next_account_id(&answer), accounts[i].id);
    buffer_free(&bytes);

    query.account = accounts[9].id;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(next_account_id(&answer), accounts[10].id);
    buffer_free(&bytes);

    query = (query_t){.kind = QUERY_ACCOUNTS,
                      .limit = 2,
                      .skip = 1,
                      .set = QUERY_BY_STATUS | QUERY_BY_PROGRAM,
                      .status = STATUS_BLOCKED,
                      .program = 1};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 4); /* 5, 10, 20, 25 */
    cr_assert_eq(next_account_id(&answer), accounts[10].id);
    cr_assert_eq(next_account_id(&answer), accounts[20].id);
    buffer_free(&bytes);

    query = (query_t){.kind = QUERY_ACCOUNTS, .set = QUERY_DELETED};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 30);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, lists_the_accounts_of_a_customer_newest_first)
{
    static account_t first, second, other;
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_t query = {.kind = QUERY_ACCOUNTS_OF, .customer = {{7}}};

    books_open(&books);
    books_enrol(&books, &first, 7, 5);
    books_enrol(&books, &second, 7, 2);
    books_enrol(&books, &other, 8, 2);
    books_write(&books);
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 2);
    cr_assert_eq(next_account_id(&answer), second.id);
    cr_assert_eq(next_account_id(&answer), first.id);
    buffer_free(&bytes);
    query.program = 5;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 1);
    cr_assert_eq(next_account_id(&answer), first.id);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, shows_a_retired_account_only_when_deleted_ones_are_asked_for)
{
    static account_t old, fresh;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_t query = {.kind = QUERY_ACCOUNTS};

    books_open(&books);
    books_enrol(&books, &old, 7, 1);
    books_enrol(&books, &fresh, 7, 1);
    old.deleted = true;
    account_encode(&old, &books.value);
    books_put(&books, FAMILY_STATE, key, key_retired(key, PARTITION, old.id));
    books_write(&books);
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 1);
    cr_assert_eq(next_account_id(&answer), fresh.id);
    buffer_free(&bytes);
    query.set = QUERY_DELETED;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 2);
    cr_assert_eq(next_account_id(&answer), old.id);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, lists_entries_of_an_account_by_when_they_count)
{
    static account_t account;
    entry_t entries[5];
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_t query = {.kind = QUERY_ENTRIES, .set = QUERY_BY_ACCOUNT};
    const int64_t hours[5] = {3, 1, 2, 5, 5};

    books_open(&books);
    books_enrol(&books, &account, 1, 1);
    for (int i = 0; i < 5; i++)
        entries[i] = books_post(&books, &account, i == 3 ? ENTRY_REDEEM : ENTRY_EARN,
                                i == 3 ? -5 : 10, START_US + hours[i] * INT64_C(3600000000));
    books_write(&books);
    query.account = account.id;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 5);
    cr_assert_eq(next_entry_id(&answer), entries[4].id);
    cr_assert_eq(next_entry_id(&answer), entries[3].id);
    cr_assert_eq(next_entry_id(&answer), entries[0].id);
    cr_assert_eq(next_entry_id(&answer), entries[2].id);
    cr_assert_eq(next_entry_id(&answer), entries[1].id);
    buffer_free(&bytes);

    query.set |= QUERY_OLDEST_FIRST;
    query.skip = 1;
    query.limit = 1;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 5);
    cr_assert_eq(answer.row_count, 1);
    cr_assert_eq(next_entry_id(&answer), entries[2].id);
    buffer_free(&bytes);

    query = (query_t){.kind = QUERY_ENTRIES,
                      .set = QUERY_BY_ACCOUNT,
                      .account = account.id,
                      .entry = entries[0].id};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.row_count, 2);
    cr_assert_eq(next_entry_id(&answer), entries[2].id);
    buffer_free(&bytes);

    query = (query_t){.kind = QUERY_ENTRIES,
                      .set = QUERY_BY_ACCOUNT | QUERY_BY_TIME | QUERY_BY_TYPE,
                      .account = account.id,
                      .entry_type = ENTRY_EARN,
                      .from_us = START_US + INT64_C(7200000000),
                      .until_us = START_US + INT64_C(10800000001)};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 2);
    cr_assert_eq(next_entry_id(&answer), entries[0].id);
    cr_assert_eq(next_entry_id(&answer), entries[2].id);
    buffer_free(&bytes);
    query.account = id_make(SLOT, 999999);
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 0);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, merges_the_entries_of_all_accounts_of_a_customer)
{
    static account_t first, second;
    entry_t entries[4];
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_t query = {.kind = QUERY_ENTRIES, .set = QUERY_BY_CUSTOMER, .customer = {{7}}};

    books_open(&books);
    books_enrol(&books, &first, 7, 1);
    books_enrol(&books, &second, 7, 2);
    for (int i = 0; i < 4; i++)
        entries[i] = books_post(&books, i % 2 == 0 ? &first : &second, ENTRY_EARN, 1, START_US + i);
    books_write(&books);
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 4);
    for (int i = 3; i >= 0; i--)
        cr_assert_eq(next_entry_id(&answer), entries[i].id);
    buffer_free(&bytes);
    query.program = 2;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 2);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, pages_through_an_account_with_more_entries_than_it_sorts, .timeout = 120)
{
    static account_t account;
    enum { ENTRIES = QUERY_COUNT_EXACT_MAX + 50 };
    books_t books;
    buffer_t bytes;
    answer_t answer;
    entry_t last = {0};
    query_t query = {
        .kind = QUERY_ENTRIES, .set = QUERY_BY_ACCOUNT | QUERY_DELETED, .limit = 5, .skip = 2};

    books_open(&books);
    books_enrol(&books, &account, 1, 1);
    for (int i = 0; i < ENTRIES; i++)
        last = books_post(&books, &account, ENTRY_EARN, 1,
                          START_US - i); /* ever older: recorded order shows */
    books_write(&books);
    query.account = account.id;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, ENTRIES);
    cr_assert(answer.count_exact);
    cr_assert_eq(answer.row_count, 5);
    cr_assert_eq(next_entry_id(&answer), last.id - 2);
    buffer_free(&bytes);
    query.set |= QUERY_OLDEST_FIRST;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_INVALID);
    buffer_free(&bytes);
    books_close(&books);
}

static void put_counter(books_t *books, uint32_t program, uint8_t type, int64_t at_us,
                        uint64_t count, points_t sum)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    counter_t counter = {count, sum};

    counter_encode(&counter, &books->value);
    books_put(books, FAMILY_STATE, key,
              key_counter(key, PARTITION, program, type, counter_day(at_us)));
}

Test(query, counts_a_partition_from_counters_and_the_entries_behind_the_checkpoint)
{
    static account_t account;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    books_t books;
    buffer_t bytes;
    answer_t answer;
    entry_t newest, hidden;
    reconciliation_t figures;
    const void *row;
    size_t n;
    query_t query = {.kind = QUERY_ENTRIES, .limit = 3};

    books_open(&books);
    books_enrol(&books, &account, 1, 1);
    (void)books_post(&books, &account, ENTRY_EARN, 100, START_US);
    (void)books_post(&books, &account, ENTRY_EARN, 50, START_US + DAY_US);
    (void)books_post(&books, &account, ENTRY_REDEEM, -30, START_US + DAY_US);
    put_counter(&books, 1, ENTRY_EARN, START_US, 1, 100);
    put_counter(&books, 1, ENTRY_EARN, START_US + DAY_US, 1, 50);
    put_counter(&books, 1, ENTRY_REDEEM, START_US + DAY_US, 1, -30);
    checkpoint_t checkpoint = {.next_sequence = books.sequence,
                               .counted_sequence = books.sequence,
                               .accounts = 1,
                               .available = 120};
    checkpoint_encode(&checkpoint, &books.value);
    books_put(&books, FAMILY_STATE, key, key_checkpoint(key, PARTITION));
    hidden = books_post(&books, &account, ENTRY_EARN, 5, START_US + DAY_US);
    hidden.hidden = true;
    books_entry_row(&books, &hidden);
    newest = books_post(&books, &account, ENTRY_EARN, 7, START_US + DAY_US);
    books_write(&books);

    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 4);
    cr_assert(answer.count_exact);
    cr_assert_eq(answer.row_count, 3);
    cr_assert_eq(next_entry_id(&answer), newest.id);
    cr_assert_eq(next_entry_id(&answer), hidden.id - 1);
    buffer_free(&bytes);

    query = (query_t){.kind = QUERY_ENTRIES,
                      .set = QUERY_BY_TIME | QUERY_BY_TYPE | QUERY_BY_PROGRAM,
                      .program = 1,
                      .entry_type = ENTRY_EARN,
                      .from_us = START_US + DAY_US,
                      .until_us = START_US + 2 * DAY_US};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 2);
    cr_assert_eq(answer.row_count, 2);
    buffer_free(&bytes);

    query.set |= QUERY_DELETED;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.count, 3);
    buffer_free(&bytes);

    query = (query_t){
        .kind = QUERY_ENTRIES, .set = QUERY_OLDEST_FIRST, .entry = newest.id - 2, .limit = 1};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(next_entry_id(&answer), newest.id);
    buffer_free(&bytes);

    cr_assert_eq(ask(&books, &(query_t){.kind = QUERY_TOTALS}, &bytes, &answer), ERR_NONE);
    n = unpack_blob(&answer.rows, &row);
    cr_assert_eq(reconciliation_decode(&figures, row, n, NULL), ERR_NONE);
    cr_assert_eq(figures.expected, 127); /* visible deltas */
    cr_assert_eq(figures.actual,
                 132); /* the hand-hidden entry has no hidden reversal: the books do not hold */
    cr_assert_not(figures.counters_ok);
    buffer_free(&bytes);
    books_close(&books);
}

static reconciliation_t reconcile(books_t *books, uint64_t account)
{
    buffer_t bytes;
    answer_t answer;
    reconciliation_t figures = {0};
    const void *row;

    cr_assert_eq(
        ask(books, &(query_t){.kind = QUERY_RECONCILE, .account = account}, &bytes, &answer),
        ERR_NONE);
    size_t n = unpack_blob(&answer.rows, &row);
    cr_assert_eq(reconciliation_decode(&figures, row, n, NULL), ERR_NONE);
    buffer_free(&bytes);
    return figures;
}

Test(query, reconciles_an_account_from_its_entries)
{
    static account_t account;
    books_t books;
    entry_t second;
    reconciliation_t figures;

    books_open(&books);
    books_enrol(&books, &account, 1, 1);
    (void)books_post(&books, &account, ENTRY_EARN, 100, START_US);
    second = books_post(&books, &account, ENTRY_REDEEM, -40, START_US);
    (void)books_post(&books, &account, ENTRY_ADJUST, 5, START_US);
    books_write(&books);
    figures = reconcile(&books, account.id);
    cr_assert_eq(figures.expected, 65);
    cr_assert_eq(figures.actual, 65);
    cr_assert_eq(figures.lots, 65);
    cr_assert_eq(figures.entries, 3);
    cr_assert(figures.chain_ok);
    cr_assert(figures.counters_ok);

    account.available = 66;
    account.earned = 101;
    books_save(&books, &account);
    books_write(&books);
    figures = reconcile(&books, account.id);
    cr_assert_eq(figures.actual, 66);
    cr_assert_eq(figures.expected, 65);
    cr_assert(figures.chain_ok);
    cr_assert_not(figures.counters_ok);

    second.posted = -39; /* a past posting changed */
    books_entry_row(&books, &second);
    books_write(&books);
    figures = reconcile(&books, account.id);
    cr_assert_not(figures.chain_ok);
    cr_assert_eq(figures.expected, 66);

    second.prev = second.id + 1; /* a link that goes round in a circle */
    books_entry_row(&books, &second);
    books_write(&books);
    figures = reconcile(&books, account.id);
    cr_assert_not(figures.chain_ok);
    cr_assert_eq(figures.entries, 1);
    books_close(&books);
}

Test(query, reconciles_lots_in_rows_of_their_own)
{
    static account_t account;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    books_t books;
    lot_t lot = {.id = 5, .original = 30, .active = 30};

    books_open(&books);
    books_enrol(&books, &account, 1, 1);
    (void)books_post(&books, &account, ENTRY_EARN, 100, START_US);
    account.lots[0].active = 70;
    account.overflow_lots = 1;
    books_save(&books, &account);
    lot_encode(&lot, &books.value);
    books_put(&books, FAMILY_LOT, key, key_lot(key, PARTITION, account.id, &lot));
    books_write(&books);
    cr_assert_eq(reconcile(&books, account.id).lots, 100);
    books_close(&books);
}

Test(query, finds_requests_by_key_with_and_without_the_customer)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uuid16_t customers[2] = {{{1}}, {{2}}};
    hash_t hash = {{5}}, other = {{6}};
    books_t books;
    buffer_t bytes;
    answer_t answer;
    query_t query = {.kind = QUERY_REQUEST, .key_hash = hash};
    key_row_t found;
    const void *row;
    size_t n;

    books_open(&books);
    for (int i = 0; i < 2; i++) {
        for (uint8_t operation = OPERATION_EARN; operation <= OPERATION_BURN; operation++) {
            key_row_t stored = {.state = KEY_FINAL, .operation = operation, .key = text_of("k")};

            key_row_encode(&stored, &books.value);
            books_put(&books, FAMILY_KEY, key,
                      key_idempotency(key, PARTITION, &customers[i], operation,
                                      operation == OPERATION_BURN && i == 1 ? &other : &hash));
        }
    }
    books_write(&books);
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.row_count, 3);
    buffer_free(&bytes);
    query.operation = OPERATION_BURN;
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.row_count, 1);
    n = unpack_blob(&answer.rows, &row);
    cr_assert_eq(key_row_decode(&found, row, n, NULL), ERR_NONE);
    cr_assert(uuid_equal(&found.customer, &customers[0]), "the answer names the customer");
    cr_assert_eq(found.operation, OPERATION_BURN);
    buffer_free(&bytes);
    query = (query_t){.kind = QUERY_REQUEST,
                      .set = QUERY_BY_CUSTOMER,
                      .key_hash = hash,
                      .customer = customers[0]};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.row_count, 2);
    buffer_free(&bytes);
    query.customer = (uuid16_t){{3}};
    cr_assert_eq(ask(&books, &query, &bytes, &answer), ERR_NONE);
    cr_assert_eq(answer.row_count, 0);
    buffer_free(&bytes);
    books_close(&books);
}

Test(query, finds_sessions_and_definitions)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    session_t session = {.token = {{1}}, .user = 3, .expires_us = 9, .created_us = 8}, session_back;
    books_t books;
    buffer_t bytes;
    answer_t answer;
    const void *row;
    size_t n;

    books_open(&books);
    session_row_encode(&session, &books.value);
    books_put(&books, FAMILY_STATE, key, key_session(key, PARTITION, &session.token));
    buffer_text(&books.value, "{\"id\":4}");
    books_put(&books, FAMILY_STATE, key, key_definition(key, PARTITION, RESOURCE_PROGRAM, 4));
    books_write(&books);
    cr_assert_eq(
        ask(&books, &(query_t){.kind = QUERY_SESSION, .token = session.token}, &bytes, &answer),
        ERR_NONE);
    n = unpack_blob(&answer.rows, &row);
    cr_assert_eq(session_row_decode(&session_back, row, n, NULL), ERR_NONE);
    cr_assert_eq(session_back.user, 3);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books, &(query_t){.kind = QUERY_SESSION}, &bytes, &answer), ERR_NOT_FOUND);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books,
                     &(query_t){.kind = QUERY_DEFINITION, .resource = RESOURCE_PROGRAM, .id = 4},
                     &bytes, &answer),
                 ERR_NONE);
    n = unpack_blob(&answer.rows, &row);
    cr_assert_eq(n, 8);
    cr_assert_eq(memcmp(row, "{\"id\":4}", 8), 0);
    buffer_free(&bytes);
    cr_assert_eq(ask(&books,
                     &(query_t){.kind = QUERY_DEFINITION, .resource = RESOURCE_PROGRAM, .id = 5},
                     &bytes, &answer),
                 ERR_NOT_FOUND);
    buffer_free(&bytes);
    books_close(&books);
}
