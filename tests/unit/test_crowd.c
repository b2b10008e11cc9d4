/* test_crowd.c - counting the commands of an account that wait in a round */
#include "actors/crowd.h"

#include "tests/sim/ask.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(crowd, an_account_is_counted_as_it_is_named)
{
    const command_t by_id = {.account = 7}, other = {.account = 8};
    const command_t by_customer = {.customer = {{1, 2, 3}}, .program = 1};
    const command_t of_program = {.customer = {{1, 2, 3}}, .program = 2};
    const command_t of_nobody = {.kind = COMMAND_DEFINE};

    cr_assert_eq(crowd_key(&by_id), crowd_key(&by_id));
    cr_assert_neq(crowd_key(&by_id), crowd_key(&other));
    cr_assert_neq(crowd_key(&by_customer), crowd_key(&of_program));
    cr_assert_neq(crowd_key(&by_customer), 0);
    cr_assert_eq(crowd_key(&of_nobody), 0);
}

Test(crowd, counts_each_account_alone_and_forgets_all_at_once)
{
    crowd_t *crowd = calloc(1, sizeof *crowd);

    for (unsigned life = 0; life < 3; life++) {
        for (uint64_t key = 1; key <= 100; key++)
            for (uint64_t i = 0; i < key; i++)
                crowd_add(crowd, key);
        for (uint64_t key = 1; key <= 100; key++)
            cr_assert_eq(crowd_count(crowd, key), key);
        cr_assert_eq(crowd_count(crowd, 101), 0);
        crowd_clear(crowd);
        cr_assert_eq(crowd_count(crowd, 50), 0);
    }
    free(crowd);
}

/* More accounts than places: some are not counted, none is counted for another. */
Test(crowd, that_is_full_counts_nobody_for_another)
{
    crowd_t *crowd = calloc(1, sizeof *crowd);
    unsigned counted = 0;

    for (uint64_t key = 1; key <= 100000; key++)
        crowd_add(crowd, key * UINT64_C(0x1234567));
    for (uint64_t key = 1; key <= 100000; key++) {
        uint32_t n = crowd_count(crowd, key * UINT64_C(0x1234567));

        cr_assert_leq(n, 1);
        counted += n;
    }
    cr_assert_gt(counted, CROWD_PLACES / 2);
    cr_assert_leq(counted, CROWD_PLACES);
    crowd_clear(crowd);
    crowd_add(crowd, 5);
    cr_assert_eq(crowd_count(crowd, 5), 1);
    free(crowd);
}

Test(crowd, outlives_the_end_of_its_count_of_lives)
{
    crowd_t *crowd = calloc(1, sizeof *crowd);

    crowd_add(crowd, 5);
    crowd->life = UINT32_MAX;
    crowd_add(crowd, 6);
    crowd_clear(crowd);
    cr_assert_eq(crowd_count(crowd, 5), 0);
    cr_assert_eq(crowd_count(crowd, 6), 0);
    free(crowd);
}

/* More than so many of one account in one round: the rest is refused, other accounts are not, and when the round has
 * landed there is room again. */
Test(crowd, of_an_account_that_is_full_is_refused_and_nobody_else_is, .timeout = 30)
{
    const world_config_t config = {.seed = 1, .nodes = 1, .partitions = 1, .account_max = 4};
    world_t *world = world_new(&config);
    uint32_t program = world_program(world, "");
    uuid16_t customers[2] = {world_customer(world, 1), world_customer(world, 2)};
    uint64_t hot = world_enrol(world, &customers[0], program, 0);
    uint64_t calm = world_enrol(world, &customers[1], program, 0);

    for (int round = 0; round < 3; round++) {
        size_t tickets[6], other;
        err_t err;

        for (size_t i = 0; i < COUNT_OF(tickets); i++)
            tickets[i] = ask_later(world, ask_earn(hot, "1"));
        other = ask_later(world, ask_earn(calm, "1"));
        for (int step = 0; step < 10; step++)
            world_step(world);
        for (size_t i = 0; i < COUNT_OF(tickets); i++) {
            cr_assert(world_answer(world, tickets[i], &err, NULL));
            cr_assert_eq(err.code, i < 4 ? ERR_NONE : ERR_OVERLOADED, "%zu: %s", i, err.text);
        }
        cr_assert_not_null(strstr(err.text, "4 requests of this account wait already"));
        cr_assert(world_answer(world, other, &err, NULL));
        cr_assert_eq(err.code, ERR_NONE);
        cr_assert_eq(read_balance(world, hot), 4 * (round + 1));
        cr_assert_eq(read_balance(world, calm), round + 1);
    }
    world_destroy(&world);
}
