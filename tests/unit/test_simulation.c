/* test_simulation.c - the simulator itself: what it finds can be found again */
#include "tests/sim/simulation.h"

#include <criterion/criterion.h>

TestSuite(simulation, .timeout = 120);

Test(simulation, the_same_seed_gives_the_same_life_bit_for_bit)
{
    for (uint64_t seed = 1000; seed < 1004; seed++) {
        simulation_report_t first, second;
        err_t err;
        cr_assert(simulation_run(seed, &first, &err), "%s", err.text);
        cr_assert(simulation_run(seed, &second, &err), "%s", err.text);
        cr_assert_eq(first.digest, second.digest);
        cr_assert_eq(first.commands, second.commands);
        cr_assert_eq(first.replays, second.replays);
    }
}

Test(simulation, different_seeds_give_different_lives)
{
    simulation_report_t first, second;
    err_t err;

    cr_assert(simulation_run(1, &first, &err), "%s", err.text);
    cr_assert(simulation_run(2, &second, &err), "%s", err.text);
    cr_assert_neq(first.digest, second.digest);
    cr_assert_gt(first.deaths, 0);
    cr_assert_gt(first.answers_lost, 0);
    cr_assert_gt(first.replays, 0);
}
