/* test_burn.c - spending: cost and discount (api-services 3.3), balance and min_balance, lots in order */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>
#include <stdio.h>

static world_t *world;
static uint32_t program;
static uint64_t account;
static uuid16_t customer;

static void set_up(void)
{
    world = world_calm(2);
    program = world_program(world, "");
    customer = world_customer(world, 1);
    account = world_enrol(world, &customer, program, 0);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(burn, .init = set_up, .fini = tear_down, .timeout = 30);

Test(burn, takes_the_cost_and_says_what_is_left)
{
    result_t result;
    account_t row;
    entry_t entry;
    buffer_t bytes;

    ask_done(world, ask_earn(account, "300"));
    cr_assert_eq(ask(world, ask_burn(account, 120), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 200);
    cr_assert_eq(result.renderer, RENDER_BURN_1);
    cr_assert_eq(result.points, 120);
    cr_assert_eq(result.cost, 120);
    cr_assert_eq(result.discount, 0);
    cr_assert_eq(result.balance_after, 180);
    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    cr_assert(read_entry(world, result.entry, &entry, &bytes));
    cr_assert_eq(entry.type, ENTRY_REDEEM);
    cr_assert_eq(entry.amount, 120); /* a magnitude */
    cr_assert_eq(entry.delta, -120);
    buffer_free(&bytes);
    world_account(world, account, &row);
    cr_assert_eq(row.redeemed, 120);
    cr_assert_eq(row.earned, 300);
}

Test(burn, takes_off_the_discount_of_the_tier_rounded_down)
{
    static const struct {
        const char *discount;
        points_t cost, discounted;
    } cases[] = {
        {"0.1000", 100, 10},     {"0.1000", 99, 9},  {"0.1000", 9, 0},
        {"0.3333", 10000, 3333}, {"1.0000", 50, 50},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        result_t result;
        char members[96];
        uint32_t other = world_program(world, "");
        snprintf(members, sizeof members, "\"name\":\"T\",\"redemption_discount\":\"%s\"",
                 cases[i].discount);
        world_tier(world, other, members);
        uint64_t their = world_enrol(world, &customer, other, 20000);
        cr_assert_eq(ask(world, ask_burn(their, cases[i].cost), &result, NULL), ERR_NONE);
        cr_assert_eq(result.status, 200);
        cr_assert_eq(result.cost, cases[i].cost);
        cr_assert_eq(result.discount, cases[i].discounted);
        cr_assert_eq(result.points, cases[i].cost - cases[i].discounted);
        cr_assert_eq(read_balance(world, their), 20000 - result.points);
        cr_assert(world_books_hold(world, their, NULL));
    }
}

Test(burn, R_6_1_of_more_than_there_is_is_refused_with_the_figures)
{
    result_t result;

    ask_done(world, ask_earn(account, "100"));
    cr_assert_eq(ask(world, ask_burn(account, 101), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 400);
    cr_assert(text_is(result.code, "insufficient_points"));
    cr_assert_eq(result.required, 101);
    cr_assert_eq(result.available, 100);
    cr_assert_eq(read_entries(world, account, NULL), 1);
    ask_done(world, ask_burn(account, 100)); /* all of it may go */
    cr_assert_eq(read_balance(world, account), 0);
}

Test(burn, leaves_the_minimum_of_the_program)
{
    uint32_t other = world_program(world, "\"min_balance\":50");
    uint64_t their = world_enrol(world, &customer, other, 100);

    cr_assert(ask_refused(world, ask_burn(their, 51), 400, "insufficient_points"));
    ask_done(world, ask_burn(their, 50));
    cr_assert(ask_refused(world, ask_burn(their, 1), 400, "insufficient_points"));
    cr_assert_eq(read_balance(world, their), 50);
}

Test(burn, tests_the_balance_after_the_discount)
{
    uint32_t other = world_program(world, "\"min_balance\":10");
    world_tier(world, other, "\"name\":\"T\",\"redemption_discount\":\"0.5000\"");
    uint64_t their = world_enrol(world, &customer, other, 100);

    cr_assert(ask_refused(world, ask_burn(their, 182), 400,
                          "insufficient_points")); /* 91 would leave 9 */
    ask_done(world, ask_burn(their, 180));
    cr_assert_eq(read_balance(world, their), 10);
}

Test(burn, R_1_3_of_nothing_or_less_is_invalid)
{
    cr_assert(ask_refused(world, ask_burn(account, 0), 400, "invalid_amount"));
    cr_assert(ask_refused(world, ask_burn(account, -5), 400, "invalid_amount"));
    cr_assert(ask_refused(world, ask_burn(account, INT64_MIN), 400, "invalid_amount"));
    cr_assert(ask_refused(world, ask_burn(account, INT64_MAX), 400, "insufficient_points"));
}

Test(burn, is_allowed_after_the_end_of_a_program_but_not_before_its_start)
{
    ask_done(world, ask_earn(account, "100"));
    ask_done(world,
             ask_define(RESOURCE_PROGRAM, program, "{\"end_date\":\"2025-12-31T00:00:00Z\"}"));
    ask_done(world, ask_burn(account, 10));
    ask_done(
        world,
        ask_define(
            RESOURCE_PROGRAM, program,
            "{\"start_date\":\"2027-01-01T00:00:00Z\",\"end_date\":\"2028-01-01T00:00:00Z\"}"));
    cr_assert(ask_refused(world, ask_burn(account, 10), 400, "program_status"));
    ask_done(world, ask_define(RESOURCE_PROGRAM, program,
                               "{\"start_date\":\"2025-01-01T00:00:00Z\",\"is_active\":false}"));
    cr_assert(ask_refused(world, ask_burn(account, 10), 400, "program_status"));
    cr_assert_eq(read_balance(world, account), 90);
}

Test(burn, E_3_8a_takes_the_oldest_lots_first_and_keeps_the_allocation)
{
    account_t row;
    entry_t entry;
    buffer_t bytes;
    allocation_t allocations[4];
    uint64_t a = ask_done(world, ask_earn(account, "100"));
    uint64_t b = ask_done(world, ask_earn(account, "200"));
    uint64_t c = ask_done(world, ask_earn(account, "300"));
    uint64_t burn = ask_done(world, ask_burn(account, 240));

    world_account(world, account, &row);
    cr_assert_eq(row.lot_count, 2); /* left: 0, 60, 300 */
    cr_assert_eq(row.lots[0].id, b);
    cr_assert_eq(row.lots[0].active, 60);
    cr_assert_eq(row.lots[1].id, c);
    cr_assert_eq(row.lots[1].active, 300);
    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    cr_assert(read_entry(world, burn, &entry, &bytes));
    cr_assert_eq(entry_allocations(&entry, allocations, 4), 2); /* */
    cr_assert_eq(allocations[0].lot, a);
    cr_assert_eq(allocations[0].points, 100);
    cr_assert_eq(allocations[1].lot, b);
    cr_assert_eq(allocations[1].points, 140);
    cr_assert_eq(allocations[1].original, 200);
    buffer_free(&bytes);
}

Test(burn, takes_a_backdated_lot_before_a_newer_one)
{
    account_t row;
    command_t old = ask_earn(account, "10");

    world_advance(world, 3 * DAY_US);
    uint64_t newer = ask_done(world, ask_earn(account, "20"));
    old.effective_us = world_now_us(world) - 2 * DAY_US;
    ask_done(world, old);
    ask_done(world, ask_burn(account, 10));
    world_account(world, account, &row);
    cr_assert_eq(row.lot_count, 1);
    cr_assert_eq(row.lots[0].id, newer);
    cr_assert_eq(row.lots[0].active, 20);
}

Test(burn, of_more_lots_than_an_entry_may_hold_is_refused_and_changes_nothing)
{
    err_t err;
    result_t result;
    size_t ticket = 0;

    for (int i = 0; i < ENTRY_ALLOCATIONS_MAX + 10; i++)
        ticket = ask_later(world, ask_earn(account, "1"));
    while (!world_answer(world, ticket, &err, NULL))
        world_step(world);
    errcode_t rc = ask(world, ask_burn(account, ENTRY_ALLOCATIONS_MAX + 5), &result, &err);
    cr_assert_eq(rc, ERR_OUT_OF_RANGE);
    cr_assert_eq(read_balance(world, account), ENTRY_ALLOCATIONS_MAX + 10);
    cr_assert(world_books_hold(world, account, &err), "%s", err.text);
    ask_done(world, ask_burn(account, ENTRY_ALLOCATIONS_MAX));
    cr_assert_eq(read_balance(world, account), 10);
    cr_assert(world_books_hold(world, account, &err), "%s", err.text);
}
