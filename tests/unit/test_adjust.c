/* test_adjust.c - adjustments of either sign, never below zero, never beyond the largest balance */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>

static world_t *world;
static uint32_t program;
static uint64_t account;

static void set_up(void)
{
    world = world_calm(2);
    program = world_program(world, "");
    uuid16_t customer = world_customer(world, 1);
    account = world_enrol(world, &customer, program, 0);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(adjust, .init = set_up, .fini = tear_down, .timeout = 30);

Test(adjust, moves_the_balance_either_way)
{
    result_t result;
    account_t row;

    cr_assert_eq(ask(world, ask_adjust(account, 120), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 200);
    cr_assert_eq(result.renderer, RENDER_ADJUST_1);
    cr_assert_eq(result.points, 120);
    cr_assert_eq(result.balance_after, 120);
    cr_assert_neq(result.entry, 0);
    cr_assert_eq(ask(world, ask_adjust(account, -20), &result, NULL), ERR_NONE);
    cr_assert_eq(result.points, -20);
    cr_assert_eq(result.balance_after, 100);
    world_account(world, account, &row);
    cr_assert_eq(row.earned, 0); /* adjustments do not count */
    cr_assert_eq(row.redeemed, 0);
    cr_assert(world_books_hold(world, account, NULL));
}

Test(adjust, E_3_11a_below_zero_is_refused_and_posts_nothing)
{
    ask_done(world, ask_adjust(account, 50));
    cr_assert(ask_refused(world, ask_adjust(account, -70), 400, "insufficient_points"));
    cr_assert_eq(read_balance(world, account), 50);
    cr_assert_eq(read_entries(world, account, NULL), 1);
    ask_done(world, ask_adjust(account, -50));
    cr_assert_eq(read_balance(world, account), 0);
}

Test(adjust, R_1_3_by_nothing_is_invalid)
{
    cr_assert(ask_refused(world, ask_adjust(account, 0), 400, "invalid_amount"));
}

Test(adjust, beyond_the_largest_balance_is_refused)
{
    ask_done(world, ask_adjust(account, POINTS_MAX));
    cr_assert(ask_refused(world, ask_adjust(account, 1), 400, "amount_out_of_range"));
    cr_assert(ask_refused(world, ask_adjust(account, INT64_MAX), 400, "amount_out_of_range"));
    cr_assert(ask_refused(world, ask_adjust(account, INT64_MIN), 400, "amount_out_of_range"));
    cr_assert_eq(read_balance(world, account), POINTS_MAX);
}

Test(adjust, ignores_min_balance_and_the_program)
{
    uint32_t other = world_program(world, "\"min_balance\":50");
    uuid16_t customer = world_customer(world, 2);
    uint64_t their = world_enrol(world, &customer, other, 60);

    ask_done(world, ask_define(RESOURCE_PROGRAM, other, "{\"is_active\":false}"));
    ask_done(world, ask_adjust(their, -60));
    cr_assert_eq(read_balance(world, their), 0);
}

Test(adjust, opens_a_lot_and_takes_lots_in_burn_order)
{
    account_t row;
    uint64_t first = ask_done(world, ask_adjust(account, 30));
    uint64_t second = ask_done(world, ask_earn(account, "30"));

    world_account(world, account, &row);
    cr_assert_eq(row.lot_count, 2);
    cr_assert_eq(row.lots[0].id, first);
    ask_done(world, ask_adjust(account, -40));
    world_account(world, account, &row);
    cr_assert_eq(row.lot_count, 1);
    cr_assert_eq(row.lots[0].id, second);
    cr_assert_eq(row.lots[0].active, 20);
}
