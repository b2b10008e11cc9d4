/* test_transfer.c - points from one customer to another (R-6.6, api-services 3.7), within a partition and across */
#include "tests/sim/ask.h"

#include "actors/partition_state.h"

#include <criterion/criterion.h>

static world_t *world;
static uint32_t program;
static uint64_t giver, near, far;
static uuid16_t near_customer, far_customer;

static void set_up(void)
{
    world_config_t config = {.seed = 1, .nodes = 2, .partitions = 4};

    world = world_new(&config);
    program = world_program(world, "");
    uuid16_t customer = customer_in(world, 0, 1);
    near_customer = customer_in(world, 0, 1000);
    far_customer = customer_in(world, 1, 1000);
    giver = world_enrol(world, &customer, program, 0);
    near = world_enrol(world, &near_customer, program, 0);
    far = world_enrol(world, &far_customer, program, 0);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(transfer, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect_books(void)
{
    const uint64_t accounts[] = {giver, near, far};
    account_t row;
    err_t err = {0};

    for (size_t i = 0; i < COUNT_OF(accounts); i++) {
        cr_assert(world_books_hold(world, accounts[i], &err), "%s", err.text);
        world_account(world, accounts[i], &row);
        cr_assert_eq(row.in_transit, 0);
    }
}

Test(transfer, moves_points_and_names_both_entries)
{
    const uint64_t receivers[] = {near, far};

    ask_done(world, ask_earn(giver, "100"));
    for (size_t i = 0; i < COUNT_OF(receivers); i++) {
        result_t result;
        entry_t out, in;
        buffer_t bytes;
        cr_assert_eq(ask(world, ask_transfer(giver, receivers[i], 30), &result, NULL), ERR_NONE);
        cr_assert_eq(result.status, 200);
        cr_assert_eq(result.renderer, RENDER_TRANSFER_1);
        cr_assert_eq(result.points, 30);
        cr_assert_eq(result.account, giver);
        cr_assert_eq(result.balance_after, i == 0 ? 70 : 40);
        cr_assert_eq(result.to_account, receivers[i]);
        cr_assert_eq(result.to_balance_after, 30);
        cr_assert_neq(result.transfer, 0);
        buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
        cr_assert(read_entry(world, result.entry, &out, &bytes));
        cr_assert_eq(out.type, ENTRY_TRANSFER_OUT);
        cr_assert_eq(out.amount, 30);
        cr_assert_eq(out.delta, -30);
        cr_assert(read_entry(world, result.to_entry, &in, &bytes));
        cr_assert_eq(in.type, ENTRY_TRANSFER_IN);
        cr_assert_eq(in.delta, 30);
        cr_assert_eq(in.related, giver);
        buffer_free(&bytes);
    }
    expect_books();
}

Test(transfer, finds_the_receiver_by_customer_too)
{
    command_t command = ask_transfer(giver, 0, 10);

    ask_done(world, ask_earn(giver, "100"));
    command.to_customer = near_customer;
    ask_done(world, command);
    command.to_customer = far_customer;
    ask_done(world, command);
    cr_assert_eq(read_balance(world, near), 10);
    cr_assert_eq(read_balance(world, far), 10);
    expect_books();
}

Test(transfer, counts_neither_as_earned_nor_as_redeemed_and_moves_no_tier)
{
    account_t row;

    ask_done(world, ask_earn(giver, "100"));
    world_tier(world, program, "\"name\":\"T\",\"min_points\":50");
    ask_done(world, ask_transfer(giver, far, 60));
    world_account(world, far, &row);
    cr_assert_eq(row.earned, 0);
    cr_assert_eq(row.tier, 0);
    world_account(world, giver, &row);
    cr_assert_eq(row.earned, 100);
    cr_assert_eq(row.redeemed, 0);
}

Test(transfer, to_oneself_is_refused)
{
    command_t command = ask_transfer(giver, giver, 10);
    account_t row;

    ask_done(world, ask_earn(giver, "100"));
    cr_assert_eq(ask_http(world, command), 400);
    world_account(world, giver, &row);
    command = ask_transfer(giver, 0, 10);
    command.to_customer = row.customer;
    cr_assert_eq(ask_http(world, command), 400);
    expect_books();
}

Test(transfer, of_nothing_or_less_is_invalid)
{
    cr_assert(ask_refused(world, ask_transfer(giver, far, 0), 400, "invalid_amount"));
    cr_assert(ask_refused(world, ask_transfer(giver, far, -1), 400, "invalid_amount"));
    cr_assert(ask_refused(world, ask_transfer(giver, far, INT64_MIN), 400, "invalid_amount"));
}

Test(transfer, needs_balance_and_leaves_the_minimum)
{
    uint32_t other = world_program(world, "\"min_balance\":40");
    uint64_t from = world_enrol(world, &near_customer, other, 100);
    uint64_t to = world_enrol(world, &far_customer, other, 0);

    cr_assert(ask_refused(world, ask_transfer(from, to, 101), 400, "insufficient_points"));
    cr_assert(ask_refused(world, ask_transfer(from, to, 61), 400, "insufficient_points"));
    ask_done(world, ask_transfer(from, to, 60));
    cr_assert_eq(read_balance(world, from), 40);
    cr_assert_eq(read_balance(world, to), 60);
}

Test(transfer, to_nobody_is_404_and_the_giver_is_whole_again)
{
    command_t command = ask_transfer(giver, 0, 10);

    ask_done(world, ask_earn(giver, "100"));
    cr_assert_eq(ask_http(world, ask_transfer(giver, near + 10000, 10)), 404);
    cr_assert_eq(ask_http(world, ask_transfer(giver, far + 10000, 10)), 404);
    command.to_customer = customer_in(world, 0, 5000);
    cr_assert_eq(ask_http(world, command), 404);
    command.to_customer = customer_in(world, 1, 5000);
    cr_assert_eq(ask_http(world, command), 404);
    cr_assert_eq(ask_http(world, ask_transfer(near + 10000, far, 10)), 404);
    cr_assert_eq(read_balance(world, giver), 100);
    cr_assert_eq(read_entries(world, giver, NULL), 1); /* the reversed ones are hidden */
    ask_done(world, ask_delete_account(far));
    cr_assert_eq(ask_http(world, ask_transfer(giver, far, 10)), 404);
    cr_assert_eq(read_balance(world, giver), 100);
}

Test(transfer, to_another_program_is_refused)
{
    uint32_t other = world_program(world, "");
    uint64_t elsewhere = world_enrol(world, &far_customer, other, 0);
    uint64_t beside = world_enrol(world, &near_customer, other, 0);

    ask_done(world, ask_earn(giver, "100"));
    cr_assert_eq(ask_http(world, ask_transfer(giver, elsewhere, 10)), 400);
    cr_assert_eq(ask_http(world, ask_transfer(giver, beside, 10)), 400);
    cr_assert_eq(read_balance(world, giver), 100);
    expect_books();
}

Test(transfer, beyond_the_receivers_largest_balance_is_refused)
{
    ask_done(world, ask_earn(giver, "100"));
    ask_done(world, ask_adjust(far, POINTS_MAX - 5));
    ask_done(world, ask_adjust(near, POINTS_MAX - 5));
    cr_assert(ask_refused(world, ask_transfer(giver, far, 6), 400, "amount_out_of_range"));
    cr_assert(ask_refused(world, ask_transfer(giver, near, 6), 400, "amount_out_of_range"));
    ask_done(world, ask_transfer(giver, far, 5));
    ask_done(world, ask_transfer(giver, near, 5));
    cr_assert_eq(read_balance(world, giver), 90);
    expect_books();
}

Test(transfer, reversed_when_refused_restores_the_lots_exactly)
{
    account_t before, after;

    for (int i = 0; i < 5; i++)
        ask_done(world, ask_earn(giver, "10"));
    ask_done(world, ask_status(far, STATUS_BLOCKED));
    world_account(world, giver, &before);
    cr_assert(ask_refused(world, ask_transfer(giver, far, 35), 400, "account_status"));
    world_account(world, giver, &after);
    cr_assert(same_lots(&after, &before));
    cr_assert_eq(after.available, before.available);
    cr_assert_eq(read_count(world, program, ENTRY_TRANSFER_OUT), 0);
    expect_books();
}

Test(transfer, that_comes_back_still_fits_when_the_giver_has_earned_in_the_meantime)
{
    account_t row;
    err_t err;
    command_t set = {.kind = COMMAND_EDIT_ACCOUNT,
                     .account = giver,
                     .set = SET_BALANCE,
                     .points = POINTS_MAX,
                     .rights = RIGHT_ADJUST};

    ask_done(world, ask_adjust(giver, POINTS_MAX));
    ask_done(world, ask_status(far, STATUS_BLOCKED));
    world_kill(world, 1); /* the receiver's node: the points stay on their way */
    size_t transfer = ask_later(world, ask_transfer(giver, far, 1000));
    world_step(world);
    world_account(world, giver, &row);
    cr_assert_eq(row.in_transit, 1000);
    cr_assert(ask_refused(world, ask_adjust(giver, 1), 400, "amount_out_of_range"));
    cr_assert(ask_refused(world, ask_earn(giver, "1"), 400, "amount_out_of_range"));
    cr_assert(ask_refused(world, ask_post(giver, ENTRY_ADJUST, 1), 400, "amount_out_of_range"));
    cr_assert_eq(ask_http(world, set), 400);
    ask_done(world, ask_adjust(near, 1));
    cr_assert(ask_refused(world, ask_transfer(near, giver, 1), 400, "amount_out_of_range"));
    cr_assert_eq(world_start(world, 1, NULL), ERR_NONE);
    cr_assert(world_settle(world, 20000));
    cr_assert(world_answer(world, transfer, &err, NULL));
    cr_assert_eq(read_balance(world, giver), POINTS_MAX);
    expect_books();
}

Test(transfer, of_many_lots_arrives_as_many)
{
    account_t row;

    for (int i = 0; i < 150; i++)
        ask_done(world, ask_earn(giver, "2"));
    ask_done(world, ask_transfer(giver, far, 299));
    world_account(world, far, &row);
    cr_assert_eq(row.lot_count + row.overflow_lots, 150);
    cr_assert_eq(row.available, 299);
    ask_done(world, ask_burn(far, 200));
    ask_done(world, ask_transfer(far, near, 99));
    cr_assert_eq(read_balance(world, near), 99);
    expect_books();
}

Test(transfer, answers_504_when_it_does_not_end_in_time_and_ends_all_the_same)
{
    err_t err;
    result_t result;
    command_t command = ask_transfer(giver, far, 10);

    ask_done(world, ask_earn(giver, "100"));
    with_key(&command, "slow");
    command.deadline_us = world_now_us(world) + 50000;
    world_kill(world, 1); /* the receiver's node */
    cr_assert_eq(ask(world, command, &result, &err), ERR_UNKNOWN_OUTCOME);
    cr_assert_eq(read_balance(world, giver), 90);
    cr_assert_eq(world_start(world, 1, NULL), ERR_NONE);
    cr_assert(world_settle(world, 20000));
    cr_assert_eq(read_balance(world, far), 10);
    command.deadline_us = 0;
    expect_books();
}

/* ---- with expiry dates, which only a partition's own functions can set today ---- */

Test(transfer, E_6_6a_each_part_keeps_its_expiry)
{
    account_t row, before;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t batch, value;
    const uint64_t receivers[] = {near, far};
    const int64_t expiry_us = INT64_C(1802736000000000); /* 2027-02-16 */

    for (int i = 0; i < 3; i++)
        ask_done(world, ask_earn(giver, "100"));
    world_account(world, giver, &before);
    before.lots[0].expires_us = expiry_us;
    before.lots[1].expires_us = expiry_us + 1;
    world_kill(world, 0);
    buffer_init(&batch, 64 * 1024);
    buffer_init(&value, 64 * 1024);
    account_encode(&before, &value);
    batch_put(&batch, FAMILY_STATE, key, key_account(key, 0, &before.customer, program),
              value.bytes, value.size);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(world_store(world, 0), &part, 1, true, NULL), ERR_NONE);
    buffer_free(&batch);
    buffer_free(&value);
    cr_assert_eq(world_start(world, 0, NULL), ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(receivers); i++) {
        ask_done(world, ask_transfer(giver, receivers[i], 30 + 80 * (points_t)i));
        world_account(world, receivers[i], &row);
        cr_assert_eq(row.lots[0].expires_us, expiry_us);
        cr_assert_eq(row.lots[0].active, i == 0 ? 30 : 70);
        cr_assert_eq(row.lots[0].original, row.lots[0].active);
    }
    world_account(world, far, &row);
    cr_assert_eq(row.lot_count, 2); /* a part of the first lot and a part of the second */
    cr_assert_eq(row.lots[1].active, 40);
    cr_assert_eq(row.lots[1].expires_us, expiry_us + 1);
    expect_books();
}

Test(transfer, of_as_many_lots_as_an_entry_may_name_fits_into_the_log_behind_any_other_command)
{
    static char metadata[3000];
    size_t ticket = 0;
    err_t err;

    memset(metadata, 'x', sizeof metadata);
    for (int i = 0; i < ENTRY_ALLOCATIONS_MAX; i++)
        ticket = ask_later(world, ask_earn(giver, "4000000000000"));
    while (!world_answer(world, ticket, &err, NULL))
        world_step(world);
    const points_t all = read_balance(world, giver);
    uuid16_t neighbour = customer_in(world, 0, 5000);
    command_t fill = ask_earn(world_enrol(world, &neighbour, program, 0), "1");
    fill.metadata = (text_t){metadata, sizeof metadata};
    for (int filling = 0; filling < 24; filling++) {
        uint64_t there = filling % 2 == 0 ? near : far;
        for (int i = 0; i < filling; i++)
            (void)ask_later(world, fill);
        ask_done(world, ask_transfer(giver, there, all));
        ask_done(world, ask_transfer(there, giver, all));
    }
    cr_assert_eq(read_balance(world, giver), all);
    expect_books();
}
