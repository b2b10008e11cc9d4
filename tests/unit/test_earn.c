/* test_earn.c - earning: formula and rounding, dates, refusals (api-services 3.1) */
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

TestSuite(earn, .init = set_up, .fini = tear_down, .timeout = 30);

static uint64_t earn_at(int64_t effective_us, const char *amount)
{
    command_t command = ask_earn(account, amount);
    command.effective_us = effective_us;
    return ask_done(world, command);
}

/* Earns with a fresh customer of a program whose only tier has this multiplier. */
static points_t earned_at_multiplier(const char *amount, const char *multiplier, result_t *result)
{
    char members[128];
    uint32_t other = world_program(world, "");
    uuid16_t somebody = world_customer(world, world_random(world));

    snprintf(members, sizeof members, "\"name\":\"only\",\"points_multiplier\":\"%s\"", multiplier);
    world_tier(world, other, members);
    uint64_t their = world_enrol(world, &somebody, other, 0);
    cr_assert_eq(ask(world, ask_earn(their, amount), result, NULL), ERR_NONE);
    return result->status == 200 ? result->points : 0;
}

Test(earn, gives_one_point_per_whole_unit_without_a_tier)
{
    result_t result;

    cr_assert_eq(ask(world, ask_earn(account, "123.45"), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 200);
    cr_assert_eq(result.renderer, RENDER_EARN_1);
    cr_assert_eq(result.points, 123);
    cr_assert_eq(result.base_points, 123);
    cr_assert_eq(result.calculated, 123);
    cr_assert_eq(result.multiplier_ppm, PPM_ONE);
    cr_assert_eq(result.balance_after, 123);
    cr_assert_eq(read_balance(world, account), 123);
}

Test(earn, R_4_2_rounds_once_and_at_the_end)
{
    static const struct {
        const char *amount, *multiplier;
        points_t points, base;
    } cases[] = {
        {"123.45", "1.25", 154, 123}, /* rounding twice would give 153 */
        {"0.80", "1.25", 1, 0},       /* base points of zero, yet a point */
        {"0.799999", "1.25", 0, 0},
        {"99.999999", "1.000", 99, 99},
        {"3.333333", "3.000", 9, 3},
        {"1.000000", "0.999", 0, 1},
        {"1000000000000.000001", "2.500", 2500000000000, 1000000000000},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        result_t result;
        points_t points = earned_at_multiplier(cases[i].amount, cases[i].multiplier, &result);
        cr_assert_eq(points, cases[i].points, "%s at %s gave %lld", cases[i].amount,
                     cases[i].multiplier, (long long)points);
        cr_assert_eq(result.base_points, cases[i].base);
        cr_assert_eq(result.calculated, cases[i].points);
    }
}

Test(earn, E_4_8a_without_carry_drops_the_fraction_of_each_order)
{
    for (int i = 0; i < 3; i++)
        ask_done(world, ask_earn(account, "1.50"));
    cr_assert_eq(read_balance(world, account), 3);
}

Test(earn, E_4_6a_of_nothing_is_refused_as_zero_and_leaves_no_row)
{
    cr_assert(ask_refused(world, ask_earn(account, "0.40"), 400, "zero"));
    cr_assert(ask_refused(world, ask_earn(account, "0"), 400, "zero"));
    cr_assert_eq(read_entries(world, account, NULL), 0);
    cr_assert_eq(read_balance(world, account), 0);
}

Test(earn, moves_the_account_up_a_tier_and_says_so)
{
    result_t result;
    account_t row;
    uint32_t silver =
        world_tier(world, program, "\"name\":\"Silver\",\"min_points\":100,\"priority\":1");
    uint32_t gold = world_tier(
        world, program,
        "\"name\":\"Gold\",\"min_points\":200,\"priority\":2,\"points_multiplier\":\"2.000\"");

    cr_assert_eq(ask(world, ask_earn(account, "99"), &result, NULL), ERR_NONE);
    cr_assert_eq(result.new_tier.n, 0);
    cr_assert_eq(ask(world, ask_earn(account, "1"), &result, NULL), ERR_NONE);
    cr_assert(text_is(result.old_tier, ""));
    cr_assert(text_is(result.new_tier, "Silver")); /* thresholds are inclusive */
    world_account(world, account, &row);
    cr_assert_eq(row.tier, silver);
    cr_assert_eq(ask(world, ask_earn(account, "150"), &result, NULL), ERR_NONE);
    cr_assert_eq(result.points, 150); /* the tier of before the earn multiplies */
    cr_assert(text_is(result.old_tier, "Silver"));
    cr_assert(text_is(result.new_tier, "Gold"));
    cr_assert_eq(ask(world, ask_earn(account, "10"), &result, NULL), ERR_NONE);
    cr_assert_eq(result.points, 20);
    world_account(world, account, &row);
    cr_assert_eq(row.tier, gold);
    ask_done(world, ask_burn(account, 260));
    world_account(world, account, &row);
    cr_assert_eq(row.tier, gold); /* upgrades only */
}

Test(earn, counts_for_life_and_posts_what_it_says)
{
    command_t command = ask_earn(account, "50");
    account_t row;
    entry_t entry;
    buffer_t bytes;

    command.description = text_of("Coffee");
    command.metadata = text_of("{\"channel\":\"shop\"}");
    command.actor = 7;
    with_reference(&command, "T-1");
    uint64_t id = ask_done(world, command);
    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    cr_assert(read_entry(world, id, &entry, &bytes));
    cr_assert_eq(entry.type, ENTRY_EARN);
    cr_assert_eq(entry.account, account);
    cr_assert(uuid_equal(&entry.customer, &customer));
    cr_assert_eq(entry.amount, 50);
    cr_assert_eq(entry.delta, 50);
    cr_assert_eq(entry.posted, 50);
    cr_assert_eq(entry.balance_after, 50);
    cr_assert_eq(entry.actor, 7);
    cr_assert_eq(entry.effective_us, entry.recorded_us);
    cr_assert(text_is(entry.description, "Coffee"));
    cr_assert(text_is(entry.metadata, "{\"channel\":\"shop\"}"));
    cr_assert(text_is(entry.reference, "T-1"));
    buffer_free(&bytes);
    world_account(world, account, &row);
    cr_assert_eq(row.earned, 50);
    cr_assert_eq(row.redeemed, 0);
    cr_assert_eq(row.lot_count, 1);
    cr_assert_eq(row.lots[0].id, id);
}

Test(earn, R_1_11_keeps_both_times)
{
    entry_t entry;
    buffer_t bytes;

    world_advance(world, 3600 * SECOND_US);
    int64_t now_us = world_now_us(world);
    uint64_t id = earn_at(now_us - 60 * SECOND_US, "10");

    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    cr_assert(read_entry(world, id, &entry, &bytes));
    cr_assert_eq(entry.effective_us, now_us - 60 * SECOND_US);
    cr_assert_geq(entry.recorded_us, now_us);
    buffer_free(&bytes);
}

Test(earn, R_2_2_refuses_dates_out_of_range)
{
    static const int64_t day = DAY_US;
    command_t command = ask_earn(account, "10");

    /* Joined on 2026-01-01 00:00; forty days later thirty days back is the limit. */
    world_advance(world, 40 * day);
    int64_t now_us = world_now_us(world);
    command.effective_us = now_us + 5 * 60 * SECOND_US;
    ask_done(world, command);
    command.effective_us = world_now_us(world) + 5 * 60 * SECOND_US + SECOND_US;
    cr_assert(ask_refused(world, command, 400, "effective_at_out_of_range"));
    command.effective_us = world_now_us(world) - 30 * day - SECOND_US;
    cr_assert(ask_refused(world, command, 400, "effective_at_out_of_range"));
    command.effective_us = world_now_us(world) - 30 * day + SECOND_US;
    ask_done(world, command);
    command.effective_us = world_now_us(world) - 300 * day;
    command.rights = RIGHT_IMPORT;
    ask_done(world, command); /* an import is exempt */
    cr_assert_eq(read_balance(world, account), 30);
}

Test(earn, R_2_2_refuses_a_date_before_the_day_of_joining)
{
    uint32_t kolkata = world_program(world, "\"time_zone\":\"Asia/Kolkata\"");
    uint64_t their = world_enrol(world, &customer, kolkata, 0);
    command_t command = ask_earn(their, "10");
    account_t row;

    /* Midnight UTC is 05:30 there: the day of joining began at 18:30 UTC of the day before. */
    world_account(world, their, &row);
    int64_t day_began_us = row.created_us / DAY_US * DAY_US - (5 * 3600 + 1800) * SECOND_US;
    command.effective_us = day_began_us;
    ask_done(world, command);
    command.effective_us = day_began_us - 1;
    cr_assert(ask_refused(world, command, 400, "effective_at_out_of_range"));
}

Test(earn, needs_an_open_program)
{
    static const char *changes[] = {
        "{\"is_active\":false}",
        "{\"start_date\":\"2026-02-01T00:00:00Z\"}",
        "{\"end_date\":\"2025-12-01T00:00:00Z\"}",
    };

    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        uint32_t other = world_program(world, "");
        uint64_t their = world_enrol(world, &customer, other, 0);
        ask_done(world, ask_earn(their, "1"));
        ask_done(world, ask_define(RESOURCE_PROGRAM, other, changes[i]));
        cr_assert(ask_refused(world, ask_earn(their, "1"), 400, "program_status"), "%s",
                  changes[i]);
        cr_assert_eq(read_balance(world, their), 1);
    }
}

Test(earn, looks_at_the_program_of_the_day_on_which_it_counts)
{
    uint32_t ended = world_program(world, "");
    uint64_t their = world_enrol(world, &customer, ended, 0);
    command_t command = ask_earn(their, "10");

    world_advance(world, 10 * DAY_US);
    ask_done(world, ask_define(RESOURCE_PROGRAM, ended, "{\"end_date\":\"2026-01-05T00:00:00Z\"}"));
    cr_assert(ask_refused(world, command, 400, "program_status"));
    command.effective_us =
        INT64_C(1767571200000000) - 1; /* the last microsecond before the end */
    ask_done(world, command);
    command.effective_us++;
    cr_assert(ask_refused(world, command, 400, "program_status"));
}

Test(earn, lists_all_failures_and_changes_nothing)
{
    result_t result;
    command_t command = ask_earn(account, "10");

    ask_done(world, ask_status(account, STATUS_SUSPENDED));
    ask_done(world, ask_define(RESOURCE_PROGRAM, program,
                               "{\"is_active\":false,\"end_date\":\"2025-06-01T00:00:00Z\"}"));
    command.effective_us = world_now_us(world) + 3600 * SECOND_US;
    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 400);
    cr_assert(text_is(result.code, "account_status")); /* the first one's */
    size_t sentences = 1;
    for (size_t i = 0; i < result.error.n; i++)
        sentences += result.error.bytes[i] == '\n';
    cr_assert_eq(sentences, 4);
    cr_assert_eq(read_entries(world, account, NULL), 0);
}

Test(earn, out_of_range_is_refused_not_wrapped)
{
    ask_done(world, ask_earn(account, "9007199254740990"));
    cr_assert(ask_refused(world, ask_earn(account, "2"), 400, "amount_out_of_range"));
    ask_done(world, ask_earn(account, "1"));
    cr_assert_eq(read_balance(world, account), POINTS_MAX);
    cr_assert(ask_refused(world, ask_earn(account, "1"), 400, "amount_out_of_range"));
    cr_assert(
        ask_refused(world, ask_earn(account, "9007199254740991"), 400, "amount_out_of_range"));
    cr_assert(world_books_hold(world, account, NULL));
}

Test(earn, beyond_any_number_is_refused_too)
{
    command_t command = ask_earn(account, "1");
    command.amount = ((int128_t)1) << 120;
    cr_assert(ask_refused(world, command, 400, "amount_out_of_range"));
}

Test(earn, into_an_unknown_account_or_a_deleted_program_is_404)
{
    cr_assert_eq(ask_http(world, ask_earn(account + 1, "1")), 404);
    ask_done(world, ask_undefine(RESOURCE_PROGRAM, program));
    cr_assert_eq(ask_http(world, ask_earn(account, "1")), 404);
}

Test(earn, names_its_account_by_customer_and_program_as_well)
{
    command_t command = ask_earn(0, "5");
    command.customer = customer;
    command.program = program;
    ask_done(world, command);
    cr_assert_eq(read_balance(world, account), 5);
    command.program = program + 100;
    cr_assert_eq(ask_http(world, command), 404);
}

Test(earn, loses_the_multiplier_of_a_tier_that_was_deleted)
{
    result_t result;
    uint32_t tier = world_tier(world, program, "\"name\":\"T\",\"points_multiplier\":\"3.000\"");

    ask_done(world, ask_earn(account, "1"));
    cr_assert_eq(ask(world, ask_earn(account, "1"), &result, NULL), ERR_NONE);
    cr_assert_eq(result.points, 3);
    ask_done(world, ask_undefine(RESOURCE_TIER, tier));
    cr_assert_eq(ask(world, ask_earn(account, "1"), &result, NULL), ERR_NONE);
    cr_assert_eq(result.points, 1);
}
