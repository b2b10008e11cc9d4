/* test_session_rules.c - what the partitions decide about sessions */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(session_rules, .timeout = 60);

static command_t put(const char *token, uint32_t user)
{
    return (command_t){.kind = COMMAND_SESSION_PUT,
                       .token = hash_bytes(token, strlen(token)),
                       .user = user,
                       .expires_us = INT64_MAX / 2};
}

static bool is_known(world_t *world, uint16_t node, const char *token)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    hash_t hash = hash_bytes(token, strlen(token));
    buffer_t row;

    buffer_init(&row, 4096);
    bool found = read_row(world, node, FAMILY_STATE, key, key_session(key, node, &hash), &row);
    buffer_free(&row);
    return found;
}

/* Home partition of a node of a world is the one with its own number. */
Test(session_rules, a_session_reaches_every_node_and_its_end_too)
{
    world_t *world = world_new(&(world_config_t){.seed = 7, .nodes = 3, .partitions = 6});
    result_t result;
    command_t session = put("token", 1);

    cr_assert_eq(world_call(world, 1, &session, &result, NULL), ERR_NONE);
    cr_assert(world_settle(world, 10000));
    for (uint16_t node = 0; node < 3; node++)
        cr_assert(is_known(world, node, "token"), "node %u", node);
    session.kind = COMMAND_SESSION_END;
    cr_assert_eq(world_call(world, 2, &session, &result, NULL), ERR_NONE);
    cr_assert(world_settle(world, 10000));
    for (uint16_t node = 0; node < 3; node++)
        cr_assert_not(is_known(world, node, "token"), "node %u", node);
    world_destroy(&world);
}

Test(session_rules, a_renewal_does_not_bring_back_what_a_logout_has_ended)
{
    world_t *world = world_new(&(world_config_t){.seed = 8, .nodes = 1, .partitions = 2});
    result_t result;
    command_t session = put("token", 1), renewal = session, end = session;

    renewal.if_match = 1;
    end.kind = COMMAND_SESSION_END;
    cr_assert_eq(world_call(world, 0, &session, &result, NULL), ERR_NONE);
    cr_assert_eq(world_call(world, 0, &renewal, &result, NULL), ERR_NONE);
    cr_assert_eq(world_call(world, 0, &end, &result, NULL), ERR_NONE);
    cr_assert_eq(world_call(world, 0, &renewal, &result, NULL), ERR_NOT_FOUND);
    cr_assert_not(is_known(world, 0, "token"));
    world_destroy(&world);
}

Test(session_rules, sessions_that_expired_long_ago_are_swept_and_live_ones_stay)
{
    world_t *world = world_new(&(world_config_t){.seed = 9, .nodes = 1, .partitions = 2});
    result_t result;
    char name[32];

    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "old %d", i);
        command_t old = put(name, 1);
        old.expires_us = world_now_us(world) + 1000000;
        cr_assert_eq(world_call(world, 0, &old, &result, NULL), ERR_NONE);
    }
    command_t live = put("live", 1);
    cr_assert_eq(world_call(world, 0, &live, &result, NULL), ERR_NONE);
    for (int sweep = 0; sweep < 4; sweep++) { /* each looks at some rows only */
        world_advance(world, INT64_C(2) * 86400 * 1000000);
        for (int step = 0; step < 5; step++)
            world_step(world);
    }
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "old %d", i);
        cr_assert_not(is_known(world, 0, name), "%s", name);
    }
    cr_assert(is_known(world, 0, "live"));
    world_destroy(&world);
}
