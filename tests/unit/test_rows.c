/* test_rows.c - rows of the ledger come back exactly, keys sort as scans need them */
#include "actors/rows.h"

#include <criterion/criterion.h>
#include <stdio.h>

static uint64_t rows_random_state;

static uint64_t rows_random(void)
{
    /* xorshift64*: the seed is printed by the test that uses it */
    rows_random_state ^= rows_random_state >> 12;
    rows_random_state ^= rows_random_state << 25;
    rows_random_state ^= rows_random_state >> 27;
    return rows_random_state * UINT64_C(2685821657736338717);
}

/* Small numbers, large ones and the edges alike. */
static uint64_t rows_number(void)
{
    static const uint64_t edges[] = {0,   1,   UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN,
                                     127, 128, 65536};
    uint64_t which = rows_random() % 4;

    if (which == 0)
        return edges[rows_random() % COUNT_OF(edges)];
    return rows_random() >> (rows_random() % 64);
}

static lot_t random_lot(void)
{
    return (lot_t){.id = rows_number(),
                   .original = (points_t)rows_number(),
                   .active = (points_t)rows_number(),
                   .activated_us = (int64_t)rows_number(),
                   .expires_us = (int64_t)rows_number(),
                   .part = (uint32_t)rows_number()};
}

static void check_lot(const lot_t *a, const lot_t *b)
{
    cr_assert_eq(a->id, b->id);
    cr_assert_eq(a->original, b->original);
    cr_assert_eq(a->active, b->active);
    cr_assert_eq(a->activated_us, b->activated_us);
    cr_assert_eq(a->expires_us, b->expires_us);
    cr_assert_eq(a->part, b->part);
}

static void random_account(account_t *account)
{
    memset(account, 0, sizeof *account);
    account->id = rows_number();
    for (size_t i = 0; i < UUID_BYTES; i++)
        account->customer.bytes[i] = (uint8_t)rows_random();
    account->program = (uint32_t)rows_number();
    account->tier = (uint32_t)rows_number();
    account->status = (uint8_t)(rows_random() % (STATUS_CLOSED + 1));
    account->deleted = rows_random() % 2 == 0;
    account->tier_fixed = rows_random() % 2 == 0;
    account->version = rows_number();
    account->available = (points_t)rows_number();
    account->pending = (points_t)rows_number();
    account->held = (points_t)rows_number();
    account->debt = (points_t)rows_number();
    account->in_transit = (points_t)rows_number();
    account->earned = (points_t)rows_number();
    account->redeemed = (points_t)rows_number();
    account->created_us = (int64_t)rows_number();
    account->updated_us = (int64_t)rows_number();
    account->entries = rows_number();
    account->last_entry = rows_number();
    for (size_t i = 0; i < sizeof account->chain; i++)
        account->chain[i] = (uint8_t)rows_random();
    account->overflow_lots = rows_number();
    account->recent_count = (uint32_t)(rows_random() % (ACCOUNT_RECENT_ENTRIES + 1));
    for (uint32_t i = 0; i < account->recent_count; i++)
        account->recent[i] = rows_number();
    account->lot_count = (uint32_t)(rows_random() % (ACCOUNT_LOTS_INLINE + 1));
    for (uint32_t i = 0; i < account->lot_count; i++)
        account->lots[i] = random_lot();
}

Test(rows, accounts_come_back_exactly)
{
    static account_t account, back;
    buffer_t bytes;
    err_t err = {0};

    rows_random_state = UINT64_C(20260301);
    printf("seed %llu\n", (unsigned long long)rows_random_state);
    buffer_init(&bytes, 1 << 16);
    for (int round = 0; round < 2000; round++) {
        random_account(&account);
        memset(&back, 0, sizeof back);
        buffer_reset(&bytes);
        account_encode(&account, &bytes);
        cr_assert_eq(account_decode(&back, bytes.bytes, bytes.size, &err), ERR_NONE, "%s",
                     err.text);
        cr_assert_eq(back.lot_count, account.lot_count);
        for (uint32_t i = 0; i < account.lot_count; i++)
            check_lot(&back.lots[i], &account.lots[i]);
        cr_assert_eq(back.recent_count, account.recent_count);
        cr_assert_eq(memcmp(back.recent, account.recent, sizeof back.recent), 0);
        cr_assert_eq(memcmp(back.chain, account.chain, sizeof back.chain), 0);
        cr_assert(uuid_equal(&back.customer, &account.customer));
        cr_assert_eq(back.id, account.id);
        cr_assert_eq(back.program, account.program);
        cr_assert_eq(back.tier, account.tier);
        cr_assert_eq(back.status, account.status);
        cr_assert_eq(back.deleted, account.deleted);
        cr_assert_eq(back.tier_fixed, account.tier_fixed);
        cr_assert_eq(back.version, account.version);
        cr_assert_eq(back.available, account.available);
        cr_assert_eq(back.pending, account.pending);
        cr_assert_eq(back.held, account.held);
        cr_assert_eq(back.debt, account.debt);
        cr_assert_eq(back.in_transit, account.in_transit);
        cr_assert_eq(back.earned, account.earned);
        cr_assert_eq(back.redeemed, account.redeemed);
        cr_assert_eq(back.created_us, account.created_us);
        cr_assert_eq(back.updated_us, account.updated_us);
        cr_assert_eq(back.entries, account.entries);
        cr_assert_eq(back.last_entry, account.last_entry);
        cr_assert_eq(back.overflow_lots, account.overflow_lots);
    }
    buffer_free(&bytes);
}

Test(rows, an_everyday_account_is_small)
{
    static account_t account;
    buffer_t bytes;

    account.id = id_make(500, 100);
    account.program = 1;
    account.version = 12;
    account.available = account.earned = 1500;
    account.created_us = INT64_C(1770000000000000);
    account.updated_us = account.created_us + 5000000;
    account.entries = 3;
    account.last_entry = id_make(500, 90000);
    account.recent_count = 3;
    for (uint32_t i = 0; i < 3; i++)
        account.recent[i] = id_make(500, 90000 - 1000 * i);
    account.lot_count = 1;
    account.lots[0] = (lot_t){.id = id_make(500, 90000),
                              .original = 1500,
                              .active = 1500,
                              .activated_us = account.created_us};
    buffer_init(&bytes, 1 << 16);
    account_encode(&account, &bytes);
    cr_assert_lt(bytes.size, 160, "%zu bytes", bytes.size);
    buffer_free(&bytes);
}

Test(rows, a_damaged_account_is_corrupt_and_never_crashes)
{
    static account_t account, back;
    buffer_t bytes;

    rows_random_state = UINT64_C(7);
    random_account(&account);
    account.recent_count = 5;
    account.lot_count = 3;
    buffer_init(&bytes, 1 << 16);
    account_encode(&account, &bytes);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(account_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    for (size_t n = 0; n < bytes.size; n++) {
        uint8_t kept = bytes.bytes[n];

        for (unsigned value = 0; value < 256; value++) {
            bytes.bytes[n] = (uint8_t)value;
            if (account_decode(&back, bytes.bytes, bytes.size, NULL) == ERR_NONE) {
                cr_assert_leq(back.lot_count, ACCOUNT_LOTS_INLINE);
                cr_assert_leq(back.recent_count, ACCOUNT_RECENT_ENTRIES);
            }
        }
        bytes.bytes[n] = kept;
    }
    buffer_free(&bytes);
}

static entry_t sample_entry(buffer_t *allocations)
{
    allocation_t two[2] = {
        {.lot = 1000, .part = 0, .points = 30, .original = 100, .activated_us = 5, .expires_us = 0},
        {.lot = 900, .part = 2, .points = 7, .original = 7, .activated_us = -5, .expires_us = 99},
    };

    allocations_encode(two, 2, allocations);
    return (entry_t){.id = id_make(3, 77),
                     .account = id_make(3, 5),
                     .customer = {{8, 8}},
                     .program = 2,
                     .type = ENTRY_REDEEM,
                     .amount = 37,
                     .delta = -37,
                     .posted = -37,
                     .balance_after = 63,
                     .effective_us = INT64_C(1770000000000000),
                     .recorded_us = INT64_C(1770000000000123),
                     .expires_us = 0,
                     .prev = id_make(3, 70),
                     .related = 0,
                     .version = 1,
                     .actor = 9,
                     .base_points = 37,
                     .multiplier_ppm = PPM_ONE,
                     .description = text_of("coffee"),
                     .metadata = text_of("{}"),
                     .reference = text_of("T-1"),
                     .allocation_count = 2,
                     .allocations = allocations->bytes,
                     .allocations_bytes = allocations->size};
}

Test(rows, entries_come_back_with_their_allocations)
{
    buffer_t allocations, bytes, again;
    allocation_t out[4];
    entry_t back;

    buffer_init(&allocations, 1 << 16);
    buffer_init(&bytes, 1 << 16);
    buffer_init(&again, 1 << 16);
    entry_t entry = sample_entry(&allocations);
    entry.hidden = true;
    entry_encode(&entry, &bytes);
    cr_assert_eq(entry_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    entry_encode(&back, &again);
    cr_assert_eq(again.size, bytes.size);
    cr_assert_eq(memcmp(again.bytes, bytes.bytes, bytes.size), 0);
    cr_assert(back.hidden);
    cr_assert_eq(back.account, entry.account);
    cr_assert_eq(back.effective_us, entry.effective_us);
    cr_assert_eq(back.recorded_us, entry.recorded_us);
    cr_assert_eq(back.prev, entry.prev);
    cr_assert_eq(back.description.n, 6);
    cr_assert_eq(entry_allocations(&back, out, 4), 2);
    cr_assert_eq(out[0].lot, 1000);
    cr_assert_eq(out[0].original, 100);
    cr_assert_eq(out[1].lot, 900);
    cr_assert_eq(out[1].part, 2);
    cr_assert_eq(out[1].points, 7);
    cr_assert_eq(out[1].activated_us, -5);
    cr_assert_eq(out[1].expires_us, 99);
    cr_assert_eq(entry_allocations(&back, out, 1), -1);
    back.allocations_bytes--;
    cr_assert_eq(entry_allocations(&back, out, 4), -1);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(entry_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    buffer_free(&allocations);
    buffer_free(&bytes);
    buffer_free(&again);
}

Test(rows, the_posting_chain_covers_what_must_not_change_and_nothing_else)
{
    buffer_t allocations;
    uint8_t first[32] = {0};
    uint8_t other[32] = {0};

    buffer_init(&allocations, 1 << 16);
    entry_t entry = sample_entry(&allocations);
    posting_chain(first, &entry);

    /* May be edited or erased. */
    entry_t edited = entry;
    edited.hidden = true;
    edited.type = ENTRY_ADJUST;
    edited.amount = 1;
    edited.delta = 1;
    edited.version = 5;
    edited.description = text_of("");
    edited.metadata = text_of("{\"x\":1}");
    posting_chain(other, &edited);
    cr_assert_eq(memcmp(first, other, 32), 0);

#define CHANGED(member, value)                               \
    do {                                                     \
        entry_t changed = entry;                             \
        memset(other, 0, sizeof other);                      \
        changed.member = (value);                            \
        posting_chain(other, &changed);                      \
        cr_assert_neq(memcmp(first, other, 32), 0, #member); \
    } while (0)
    CHANGED(id, 1);
    CHANGED(account, 1);
    CHANGED(customer.bytes[3], 1);
    CHANGED(program, 1);
    CHANGED(posted, 1);
    CHANGED(balance_after, 1);
    CHANGED(effective_us, 1);
    CHANGED(recorded_us, 1);
    CHANGED(expires_us, 1);
    CHANGED(prev, 1);
    CHANGED(related, 1);
    CHANGED(reference, text_of("T-2"));
    CHANGED(allocation_count, 1);
    CHANGED(allocations_bytes, entry.allocations_bytes - 1);
#undef CHANGED
    buffer_free(&allocations);
}

Test(rows, the_posting_chain_hashes_the_canonical_posting)
{
    static const uint8_t pinned[32] = {0x02, 0xae, 0xee, 0x63, 0xc2, 0xa1, 0x34, 0x2e,
                                       0x5b, 0x07, 0x61, 0xba, 0xa2, 0xf9, 0x24, 0x8e,
                                       0xe3, 0x59, 0x75, 0x4d, 0x95, 0xce, 0x9c, 0x47,
                                       0x61, 0xf7, 0x1c, 0x0b, 0x10, 0x77, 0xca, 0x1f};
    buffer_t allocations;
    uint8_t chain[32] = {0};

    buffer_init(&allocations, 1 << 16);
    entry_t entry = sample_entry(&allocations);
    posting_chain(chain, &entry);
    cr_assert_eq(memcmp(chain, pinned, 32), 0,
                 "the canonical posting is format: it must never change");
    buffer_free(&allocations);
}

Test(rows, keys_of_requests_come_back)
{
    key_row_t row = {.state = KEY_FINAL,
                     .operation = OPERATION_BURN,
                     .body_hash = {{1, 2}},
                     .account = 5,
                     .customer = {{7}},
                     .recorded_us = -9,
                     .result = {"\x80", 1},
                     .transfer = 11,
                     .key = text_of("k1")};
    key_row_t back;
    buffer_t bytes;

    buffer_init(&bytes, 1 << 16);
    key_row_encode(&row, &bytes);
    cr_assert_eq(key_row_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(back.state, KEY_FINAL);
    cr_assert_eq(back.operation, OPERATION_BURN);
    cr_assert_eq(back.recorded_us, -9);
    cr_assert_eq(back.transfer, 11);
    cr_assert_eq(back.result.n, 1);
    cr_assert_eq(back.key.n, 2);
    cr_assert(uuid_equal(&back.customer, &row.customer));
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(key_row_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    buffer_reset(&bytes);
    row.state = 3;
    key_row_encode(&row, &bytes);
    cr_assert_eq(key_row_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
}

Test(rows, small_rows_come_back)
{
    counter_t counter = {.count = 3, .sum = -4}, counter_back;
    checkpoint_t checkpoint = {.next_sequence = 9,
                               .counted_sequence = 8,
                               .accounts = 7,
                               .available = -6},
                 checkpoint_back;
    lot_t lot, lot_back;
    uuid16_t customer = {{1, 2, 3}}, customer_back;
    uint32_t program;
    buffer_t bytes;

    rows_random_state = UINT64_C(99);
    buffer_init(&bytes, 1 << 16);
    counter_encode(&counter, &bytes);
    cr_assert_eq(counter_decode(&counter_back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(counter_back.count, 3);
    cr_assert_eq(counter_back.sum, -4);
    cr_assert_eq(counter_decode(&counter_back, bytes.bytes, bytes.size - 1, NULL), ERR_CORRUPT);
    buffer_reset(&bytes);
    checkpoint_encode(&checkpoint, &bytes);
    cr_assert_eq(checkpoint_decode(&checkpoint_back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(memcmp(&checkpoint, &checkpoint_back, sizeof checkpoint), 0);
    cr_assert_eq(checkpoint_decode(&checkpoint_back, bytes.bytes, bytes.size - 1, NULL),
                 ERR_CORRUPT);
    for (int i = 0; i < 200; i++) {
        lot = random_lot();
        buffer_reset(&bytes);
        lot_encode(&lot, &bytes);
        cr_assert_eq(lot_decode(&lot_back, bytes.bytes, bytes.size, NULL), ERR_NONE);
        check_lot(&lot, &lot_back);
    }
    buffer_reset(&bytes);
    account_place_encode(&customer, 5, &bytes);
    cr_assert_eq(account_place_decode(&customer_back, &program, bytes.bytes, bytes.size, NULL),
                 ERR_NONE);
    cr_assert(uuid_equal(&customer, &customer_back));
    cr_assert_eq(program, 5);
    cr_assert_eq(account_place_decode(&customer_back, &program, bytes.bytes, 3, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
}

static int key_order(const lot_t *a, const lot_t *b)
{
    uint8_t first[BATCH_KEY_BYTES_MAX], second[BATCH_KEY_BYTES_MAX];
    size_t n = key_lot(first, 1, 2, a);

    cr_assert_eq(key_lot(second, 1, 2, b), n);
    return memcmp(first, second, n);
}

Test(rows, lots_sort_in_the_order_they_are_burned)
{
    lot_t early = {.id = 9, .activated_us = 50, .expires_us = 100};
    lot_t late = {.id = 1, .activated_us = 1, .expires_us = 101};
    lot_t never = {.id = 1, .activated_us = 1, .expires_us = 0};
    lot_t long_ago = {.id = 9, .activated_us = -50, .expires_us = 100};
    lot_t second_part = {.id = 9, .activated_us = 50, .expires_us = 100, .part = 1};
    lot_t next_id = {.id = 10, .activated_us = 50, .expires_us = 100};

    cr_assert_lt(key_order(&early, &late), 0);
    cr_assert_lt(key_order(&late, &never), 0);
    cr_assert_lt(key_order(&long_ago, &early), 0);
    cr_assert_lt(key_order(&early, &second_part), 0);
    cr_assert_lt(key_order(&second_part, &next_id), 0);
}

Test(rows, keys_of_one_kind_start_with_their_prefix_and_end_before_the_next)
{
    uint8_t key[BATCH_KEY_BYTES_MAX], prefix[BATCH_KEY_BYTES_MAX], after[BATCH_KEY_BYTES_MAX];
    uuid16_t customer = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                          0xff, 0xff, 0xff, 0xff}};
    size_t prefix_bytes = key_accounts_of(prefix, 0x1ff, &customer);
    size_t key_bytes = key_account(key, 0x1ff, &customer, UINT32_MAX);
    size_t after_bytes = key_after_prefix(after, prefix, prefix_bytes);

    cr_assert_eq(memcmp(key, prefix, prefix_bytes), 0);
    cr_assert_eq(key_bytes, prefix_bytes + 4);
    cr_assert_eq(after_bytes, 3);
    cr_assert_eq(memcmp(after,
                        "\x01\xff"
                        "B",
                        3),
                 0);
    cr_assert_lt(memcmp(key, after, after_bytes), 0);
    memset(prefix, 0xff, sizeof prefix);
    cr_assert_eq(key_after_prefix(after, prefix, 4), 0);
}

Test(rows, names_of_types_and_states_go_both_ways)
{
    uint8_t number;

    for (uint8_t type = ENTRY_EARN; type < ENTRY__END; type++) {
        cr_assert(entry_type_parse(entry_type_name(type), strlen(entry_type_name(type)), &number));
        cr_assert_eq(number, type);
    }
    cr_assert_null(entry_type_name(0));
    cr_assert_null(entry_type_name(ENTRY__END));
    cr_assert_not(entry_type_parse("earned", 6, &number));
    for (uint8_t status = STATUS_ACTIVE; status <= STATUS_CLOSED; status++) {
        cr_assert(account_status_parse(account_status_name(status),
                                       strlen(account_status_name(status)), &number));
        cr_assert_eq(number, status);
    }
    cr_assert(account_status_parse("inactive", 8, &number));
    cr_assert_eq(number, STATUS_SUSPENDED);
    cr_assert_not(account_status_parse("", 0, &number));
}

static void put_row(store_t *store, family_t family, const uint8_t *key, size_t key_bytes,
                    const buffer_t *value)
{
    buffer_t batch;
    batch_part_t part;

    buffer_init(&batch, 1 << 20);
    batch_put(&batch, family, key, key_bytes, value->bytes, value->size);
    part = (batch_part_t){batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, true, NULL), ERR_NONE);
    buffer_free(&batch);
}

Test(rows, accounts_are_found_by_id_and_entries_by_their_whole_id)
{
    static account_t account, back;
    store_t *store = store_memory_new();
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value, scratch, allocations;
    entry_t entry, entry_back;
    bool found = false;

    buffer_init(&value, 1 << 16);
    buffer_init(&scratch, 1 << 16);
    buffer_init(&allocations, 1 << 16);
    account.id = id_make(3, 5);
    account.customer = (uuid16_t){{8, 8}};
    account.program = 2;
    account.available = 63;
    account_encode(&account, &value);
    put_row(store, FAMILY_STATE, key, key_account(key, 4, &account.customer, 2), &value);
    buffer_reset(&value);
    account_place_encode(&account.customer, 2, &value);
    put_row(store, FAMILY_STATE, key, key_account_id(key, 4, account.id), &value);
    put_row(store, FAMILY_STATE, key, key_account_id(key, 4, 6),
            &value); /* leads to another account */
    buffer_reset(&value);
    entry = sample_entry(&allocations);
    entry_encode(&entry, &value);
    put_row(store, FAMILY_ENTRY, key, key_entry(key, 4, id_sequence(entry.id)), &value);

    cr_assert_eq(rows_account_by_id(store, NULL, 4, account.id, &back, &scratch, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(back.available, 63);
    cr_assert_eq(rows_account_by_id(store, NULL, 5, account.id, &back, &scratch, &found, NULL),
                 ERR_NONE);
    cr_assert_not(found);
    cr_assert_eq(rows_account_by_id(store, NULL, 4, 6, &back, &scratch, &found, NULL), ERR_CORRUPT);
    cr_assert_eq(rows_entry(store, NULL, 4, entry.id, &entry_back, &scratch, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(entry_back.posted, -37);
    cr_assert_eq(rows_entry(store, NULL, 4, id_make(4, 77), &entry_back, &scratch, &found, NULL),
                 ERR_NONE);
    cr_assert_not(found);
    buffer_free(&value);
    buffer_free(&scratch);
    buffer_free(&allocations);
    store_destroy(&store);
}
