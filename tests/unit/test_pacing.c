/* test_pacing.c - how many rounds are let into the log */
#include "actors/pacing.h"

#include <criterion/criterion.h>

#define SECOND INT64_C(1000000)

static void land(pacing_t *self, unsigned times, int64_t took_us, int64_t boot_us)
{
    for (unsigned i = 0; i < times; i++)
        pacing_landed(self, took_us, boot_us);
}

Test(pacing, has_no_limit_where_the_way_to_the_log_is_only_long)
{
    pacing_t self;

    pacing_init(&self);
    land(&self, 2000, 30000, SECOND);
    cr_assert_gt(pacing_rounds(&self), 256);
}

Test(pacing, lets_few_rounds_in_when_they_take_a_multiple_of_their_least_time)
{
    pacing_t self;

    pacing_init(&self);
    land(&self, 2000, 500, SECOND);
    land(&self, 2000, 5000, 2 * SECOND);
    cr_assert_eq(pacing_rounds(&self), PACING_ROUNDS_MIN);
    land(&self, 100, 600, 3 * SECOND);
    cr_assert_gt(pacing_rounds(&self), PACING_ROUNDS_MIN);
}

Test(pacing, is_not_moved_by_one_slow_round)
{
    pacing_t self;

    pacing_init(&self);
    land(&self, 100, 1000, SECOND);
    unsigned before = pacing_rounds(&self);
    land(&self, 1, 9000, SECOND);
    cr_assert_geq(pacing_rounds(&self) + 1, before);
}

Test(pacing, learns_within_two_minutes_that_the_log_has_moved_farther_away)
{
    pacing_t self;

    pacing_init(&self);
    land(&self, 2000, 500, SECOND);
    for (int64_t at = 2; at < 130; at++)
        land(&self, 100, 5000, at * SECOND);
    cr_assert_gt(pacing_rounds(&self), 256);
}

Test(pacing, calls_no_round_overdue_that_takes_what_rounds_take)
{
    pacing_t self;

    pacing_init(&self);
    cr_assert_eq(pacing_overdue_us(&self), 20000);
    land(&self, 200, 50000, SECOND);
    cr_assert_gt(pacing_overdue_us(&self), 150000);
}
