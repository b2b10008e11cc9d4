/* test_ledger.c - postings, chain, counters, reconciliation, and random sequences */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static world_t *world;
static uint32_t program;
static uint64_t account;
static uuid16_t customer;

static void set_up(void)
{
    world = world_calm(2);
    program = world_program(world, "");
    customer = customer_in(world, 0, 1);
    account = world_enrol(world, &customer, program, 0);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(ledger, .init = set_up, .fini = tear_down, .timeout = 120);

static void write_row(family_t family, const uint8_t *key, size_t key_bytes, const buffer_t *value)
{
    buffer_t batch;

    buffer_init(&batch, 1024 * 1024);
    batch_put(&batch, family, key, key_bytes, value->bytes, value->size);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(world_store(world, 0), &part, 1, true, NULL), ERR_NONE);
    buffer_free(&batch);
}

static void restart(void)
{
    world_kill(world, 0);
    cr_assert_eq(world_start(world, 0, NULL), ERR_NONE);
}

Test(ledger, links_every_entry_to_the_one_before)
{
    account_t row;
    entry_t entry;
    buffer_t bytes;
    uint8_t chain[32] = {0};
    uint64_t ids[5];

    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = ask_done(world, i % 2 == 0 ? ask_earn(account, "10") : ask_burn(account, 3));
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        cr_assert(read_entry(world, ids[i], &entry, &bytes));
        cr_assert_eq(entry.prev, i == 0 ? 0 : ids[i - 1]);
        posting_chain(chain, &entry); /* h_0 is 32 zero bytes */
    }
    world_account(world, account, &row);
    cr_assert_eq(memcmp(chain, row.chain, sizeof chain), 0);
    cr_assert_eq(row.last_entry, ids[4]);
    cr_assert_eq(row.entries, 5);
    buffer_free(&bytes);
}

Test(ledger, R_3_13_notices_any_changed_byte_of_a_posting)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t original, changed, before, after;
    entry_t entry, other;
    unsigned noticed = 0;

    ask_done(world, ask_earn(account, "100"));
    uint64_t burn = ask_done(world, ask_burn(account, 30));
    ask_done(world, ask_earn(account, "7"));
    cr_assert(world_books_hold(world, account, NULL));
    buffer_init(&original, 64 * 1024);
    buffer_init(&changed, 64 * 1024);
    buffer_init(&before, 64 * 1024);
    buffer_init(&after, 64 * 1024);
    cr_assert(read_entry(world, burn, &entry, &original));
    posting_canonical(&entry, &before);
    size_t key_bytes = key_entry(key, 0, id_sequence(burn));
    for (size_t i = 0; i < original.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            buffer_reset(&changed);
            buffer_append(&changed, original.bytes, original.size);
            changed.bytes[i] ^= (uint8_t)(1u << bit);
            buffer_reset(&after);
            if (entry_decode(&other, changed.bytes, changed.size, NULL) == ERR_NONE) {
                posting_canonical(&other, &after);
                if (after.size == before.size && memcmp(after.bytes, before.bytes, after.size) == 0)
                    continue; /* a text, or what an edit may change: not part of the posting */
            }
            write_row(FAMILY_ENTRY, key, key_bytes, &changed);
            cr_assert(!world_books_hold(world, account, NULL), "byte %zu, bit %u", i, bit);
            noticed++;
        }
    cr_assert_gt(noticed, 200);
    write_row(FAMILY_ENTRY, key, key_bytes, &original);
    cr_assert(world_books_hold(world, account, NULL));
    buffer_free(&original);
    buffer_free(&changed);
    buffer_free(&before);
    buffer_free(&after);
}

Test(ledger, R_3_12_notices_a_missing_entry_and_repairs_nothing_by_itself)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t batch;

    ask_done(world, ask_earn(account, "100"));
    uint64_t lost = ask_done(world, ask_earn(account, "5"));
    ask_done(world, ask_earn(account, "20"));
    buffer_init(&batch, 1024);
    batch_delete(&batch, FAMILY_ENTRY, key, key_entry(key, 0, id_sequence(lost)));
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(world_store(world, 0), &part, 1, true, NULL), ERR_NONE);
    buffer_free(&batch);
    cr_assert(!world_books_hold(world, account, NULL));
    cr_assert(!world_books_hold(world, account, NULL));
    cr_assert_eq(read_balance(world, account), 125);
}

Test(ledger, repair_rebuilds_the_figures_of_an_account_from_its_entries)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;
    account_t row;
    command_t repair = {.kind = COMMAND_REPAIR, .account = account, .rights = RIGHT_ADJUST};
    err_t err = {0};

    ask_done(world, ask_earn(account, "100"));
    ask_done(world, ask_burn(account, 30));
    buffer_init(&value, 64 * 1024);
    for (points_t damage = -20; damage <= 20; damage += 20) {
        world_account(world, account, &row);
        row.available += damage;
        row.lots[0].active += damage;
        row.lots[0].original += damage;
        row.earned = 1;
        row.redeemed = 2;
        row.entries = 9;
        buffer_reset(&value);
        account_encode(&row, &value);
        write_row(FAMILY_STATE, key, key_account(key, 0, &customer, program), &value);
        restart();
        cr_assert(!world_books_hold(world, account, NULL));
        ask_done(world, repair);
        cr_assert(world_books_hold(world, account, &err), "%s", err.text);
        world_account(world, account, &row);
        cr_assert_eq(row.available, 70);
        cr_assert_eq(row.earned, 100);
        cr_assert_eq(row.redeemed, 30);
        cr_assert_eq(row.entries, 2);
    }
    buffer_free(&value);
    cr_assert_eq(read_entries(world, account, NULL), 2);
}

/* ---- counters ---- */

/* Visible entries of a program and type in all stores, counted one by one. */
static uint64_t recount(uint8_t type)
{
    uint64_t count = 0;
    store_cursor_t *cursor =
        store_cursor_new(world_store(world, 0), NULL, FAMILY_ENTRY, NULL, 0, NULL, 0);

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        entry_t entry;
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);
        cr_assert_eq(entry_decode(&entry, value, n, NULL), ERR_NONE);
        count += !entry.hidden && entry.program == program && (type == 0 || entry.type == type);
    }
    cr_assert_eq(store_cursor_error(cursor, NULL), ERR_NONE);
    store_cursor_destroy(&cursor);
    return count;
}

static void expect_counters(void)
{
    for (uint8_t type = 0; type < ENTRY__END; type++)
        cr_assert_eq(read_count(world, program, type), recount(type),
                     "type %u: %llu counted, %llu there", type,
                     (unsigned long long)read_count(world, program, type),
                     (unsigned long long)recount(type));
}

Test(ledger, counters_are_right_whenever_the_node_dies)
{
    uint64_t entries[8];

    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < COUNT_OF(entries); i++) {
            command_t command = ask_earn(account, "10");
            command.effective_us =
                world_now_us(world) - (int64_t)(world_random(world) % 3) * INT64_C(3600000000);
            command.rights = RIGHT_IMPORT;
            entries[i] = ask_done(world, command);
        }
        ask_done(world, ask_delete(entries[round % 8]));
        ask_done(world, ask_edit(entries[(round + 1) % 8], ENTRY_ADJUST, 10));
        expect_counters();
        if (round % 3 == 0)
            restart();
        if (round % 5 == 0)
            for (int i = 0; i < 20; i++)
                world_step(world); /* a quiet moment writes the counters */
        expect_counters();
    }
    cr_assert(world_books_hold(world, account, NULL));
}

Test(ledger, counters_hold_for_an_import_over_thousands_of_days)
{
    err_t err;
    size_t ticket = 0;

    for (int day = 0; day < 3000; day++) {
        command_t command = ask_earn(account, "1");
        command.effective_us = INT64_C(1500000000000000) + day * INT64_C(86400000000);
        command.rights = RIGHT_IMPORT;
        ticket = ask_later(world, command);
        if (day % 200 == 0)
            world_step(world);
    }
    ask_done(world,
             ask_define(RESOURCE_PROGRAM, program, "{\"start_date\":\"2015-01-01T00:00:00Z\"}"));
    cr_assert(world_answer(world, ticket, &err, NULL));
    expect_counters();
    restart();
    expect_counters();
    cr_assert(world_books_hold(world, account, NULL));
}

/* ---- random sequences against a model ---- */

#define MEMBERS 6
#define ENTRIES 400

typedef struct {
    uint64_t account;
    points_t balance;
} member_t;

typedef struct {
    uint64_t id;
    unsigned member;
    uint8_t type;
    points_t delta;
} made_t;

static member_t members[MEMBERS];
static made_t made[ENTRIES];
static unsigned made_count;

static points_t delta_of(uint8_t type, points_t amount)
{
    return type == ENTRY_REDEEM ? -amount : amount;
}

static void expect(bool done, unsigned http, uint64_t seed, int step)
{
    cr_assert_eq(http, done ? http / 100 * 100 == 200 ? http : 200u : 400u,
                 "seed %llu, step %d: %u", (unsigned long long)seed, step, http);
}

static void note_entry(uint64_t id, unsigned member, uint8_t type, points_t delta)
{
    if (made_count < ENTRIES)
        made[made_count++] = (made_t){id, member, type, delta};
}

/* Posts and keeps the entry's id when it was done. */
static unsigned run(command_t command, uint64_t *entry)
{
    result_t result;
    err_t err;

    if (ask(world, command, &result, &err) != ERR_NONE)
        return (unsigned)err_info(err.code)->http;
    *entry = result.entry;
    return result.status;
}

static void one_step(uint64_t seed, int step)
{
    uint64_t dice = world_random(world);
    unsigned i = (unsigned)(dice % MEMBERS), j = (unsigned)((dice >> 8) % MEMBERS);
    points_t n = (points_t)((dice >> 16) % 120) + 1;
    made_t *entry = made_count > 0 ? &made[(dice >> 24) % made_count] : NULL;
    uint64_t id = 0;
    char amount[16];
    bool enough = members[i].balance >= n;

    switch ((dice >> 40) % 9) {
    case 0:
    case 1:
        snprintf(amount, sizeof amount, "%lld.%02u", (long long)n, (unsigned)(dice >> 50) % 100);
        expect(true, run(ask_earn(members[i].account, amount), &id), seed, step);
        members[i].balance += n;
        note_entry(id, i, ENTRY_EARN, n);
        break;
    case 2:
        expect(enough, run(ask_burn(members[i].account, n), &id), seed, step);
        if (enough) {
            members[i].balance -= n;
            note_entry(id, i, ENTRY_REDEEM, -n);
        }
        break;
    case 3:
        expect(enough, run(ask_adjust(members[i].account, -n), &id), seed, step);
        if (enough) {
            members[i].balance -= n;
            note_entry(id, i, ENTRY_ADJUST, -n);
        }
        break;
    case 4:
        expect(true, run(ask_post(members[i].account, ENTRY_ADJUST, n), &id), seed, step);
        members[i].balance += n;
        note_entry(id, i, ENTRY_ADJUST, n);
        break;
    case 5:
        expect(enough && i != j, run(ask_transfer(members[i].account, members[j].account, n), &id),
               seed, step);
        if (enough && i != j) {
            members[i].balance -= n;
            members[j].balance += n;
        }
        break;
    case 6:
    case 7: {
        if (entry == NULL)
            break;
        uint8_t type = (uint8_t)(ENTRY_EARN + (dice >> 52) % 3);
        points_t change = delta_of(type, n) - entry->delta;
        bool fits = members[entry->member].balance + change >= 0;
        expect(fits, run(ask_edit(entry->id, type, n), &id), seed, step);
        if (fits) {
            members[entry->member].balance += change;
            entry->type = type;
            entry->delta = delta_of(type, n);
        }
        break;
    }
    default: {
        if (entry == NULL)
            break;
        bool fits = members[entry->member].balance - entry->delta >= 0;
        expect(fits, run(ask_delete(entry->id), &id), seed, step);
        if (fits) {
            members[entry->member].balance -= entry->delta;
            *entry = made[--made_count];
        }
        break;
    }
    }
}

static void random_sequence(uint64_t seed)
{
    world_config_t config = {.seed = seed, .nodes = 1, .partitions = 3};
    points_t earned[MEMBERS], redeemed[MEMBERS];

    tear_down();
    world = world_new(&config);
    program = world_program(world, "");
    made_count = 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        uuid16_t somebody = world_customer(world, seed * 100 + i);
        members[i] = (member_t){world_enrol(world, &somebody, program, 0), 0};
    }
    for (int step = 0; step < 300; step++) {
        one_step(seed, step);
        if (world_random(world) % 25 == 0)
            restart();
    }
    memset(earned, 0, sizeof earned);
    memset(redeemed, 0, sizeof redeemed);
    for (unsigned i = 0; i < made_count; i++) {
        earned[made[i].member] += made[i].type == ENTRY_EARN ? made[i].delta : 0;
        redeemed[made[i].member] -= made[i].type == ENTRY_REDEEM ? made[i].delta : 0;
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        account_t row;
        points_t sum = 0;
        err_t err = {0};
        world_account(world, members[i].account, &row);
        read_entries(world, members[i].account, &sum);
        cr_assert_eq(row.available, members[i].balance, "seed %llu: %lld, expected %lld",
                     (unsigned long long)seed, (long long)row.available,
                     (long long)members[i].balance);
        cr_assert_eq(sum, row.available, "seed %llu", (unsigned long long)seed);
        cr_assert_eq(row.earned, earned[i], "seed %llu", (unsigned long long)seed);
        cr_assert_eq(row.redeemed, redeemed[i], "seed %llu", (unsigned long long)seed);
        cr_assert(world_books_hold(world, members[i].account, &err), "seed %llu: %s",
                  (unsigned long long)seed, err.text);
    }
    expect_counters();
}

Test(ledger, random_sequences_with_restarts_match_a_model)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        random_sequence(seed);
}

Test(ledger, many_lots_with_burns_across_the_border_match_their_sum)
{
    points_t balance = 0;
    err_t err = {0};

    for (int round = 0; round < 12; round++) {
        uint64_t burn = 0;
        for (int i = 0; i < 90; i++) {
            ask_done(world, ask_earn(account, "3"));
            balance += 3;
        }
        points_t cost = (points_t)(world_random(world) % (uint64_t)balance) + 1;
        burn = ask_done(world, ask_burn(account, cost));
        if (round % 3 == 0)
            restart();
        if (round % 2 == 0)
            ask_done(world, ask_delete(burn));
        else
            balance -= cost;
        cr_assert_eq(read_balance(world, account), balance);
        cr_assert(world_books_hold(world, account, &err), "%s", err.text);
    }
}
