/* test_steady_clock.c - time that does not jump: protocol section 1, "Clock" */
#include "node/steady_clock.h"

#include <criterion/criterion.h>

typedef struct {
    int64_t wall, boot;
} hands_t;

static int64_t hands_wall(void *state)
{
    return ((hands_t *)state)->wall;
}

static int64_t hands_boot(void *state)
{
    return ((hands_t *)state)->boot;
}

static clock_source_t clock_of(hands_t *hands)
{
    return (clock_source_t){.wall_us = hands_wall, .boot_us = hands_boot, .state = hands};
}

static void pass(hands_t *hands, int64_t us)
{
    hands->wall += us;
    hands->boot += us;
}

Test(steady_clock, passes_the_wall_clock_on_while_it_is_steady, .timeout = 5)
{
    hands_t hands = {.wall = 1000000000, .boot = 77};
    clock_source_t base = clock_of(&hands);
    steady_clock_t steady;

    steady_clock_init(&steady, &base);
    pass(&hands, 3600000000);
    hands.wall += 999999; /* slewed, within the bound */
    cr_assert_eq(clock_wall_us(&steady.clock), hands.wall);
    cr_assert_eq(clock_boot_us(&steady.clock), hands.boot);
    cr_assert_eq(steady_clock_alarm(&steady), 0);
}

Test(steady_clock, follows_boot_time_when_the_wall_clock_jumps_ahead, .timeout = 5)
{
    hands_t hands = {.wall = 1000000000, .boot = 77};
    clock_source_t base = clock_of(&hands);
    steady_clock_t steady;

    steady_clock_init(&steady, &base);
    hands.wall += INT64_C(365) * 24 * 3600 * 1000000;
    pass(&hands, 10);
    cr_assert_eq(clock_wall_us(&steady.clock), 1000000010);
    cr_assert_gt(steady_clock_alarm(&steady), 0);
}

Test(steady_clock, follows_boot_time_when_the_wall_clock_jumps_back_and_trusts_it_again_after,
     .timeout = 5)
{
    hands_t hands = {.wall = 1000000000, .boot = 77};
    clock_source_t base = clock_of(&hands);
    steady_clock_t steady;

    steady_clock_init(&steady, &base);
    hands.wall -= 1000001;
    cr_assert_eq(clock_wall_us(&steady.clock), 1000000000);
    cr_assert_eq(steady_clock_alarm(&steady), -1000001);
    hands.wall += 1000001;
    pass(&hands, 5);
    cr_assert_eq(clock_wall_us(&steady.clock), 1000000005);
    cr_assert_eq(steady_clock_alarm(&steady), 0);
}

Test(steady_clock, refuses_a_start_before_the_books_or_more_than_31_days_after_them, .timeout = 5)
{
    int64_t day = INT64_C(24) * 3600 * 1000000;
    int64_t newest = 1000 * day;

    cr_assert_eq(steady_clock_start_check(newest - 5000000, newest), 0);
    cr_assert_eq(steady_clock_start_check(newest - 5000001, newest), -5000001);
    cr_assert_eq(steady_clock_start_check(newest + 31 * day, newest), 0);
    cr_assert_eq(steady_clock_start_check(newest + 31 * day + 1, newest), 31 * day + 1);
    cr_assert_eq(steady_clock_start_check(12345, 0), 0); /* empty books */
}
