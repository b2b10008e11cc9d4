/* test_definitions_in_force.c - a definition is in force in every partition, and none goes back to an older one
 * (protocol sections 5 and 9, row "catalogue") */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define PARTITIONS 6
#define NODES      3

TestSuite(definitions_in_force, .timeout = 120);

static world_t *new_world(uint64_t seed, uint32_t faults_ppm)
{
    world_config_t config = {.seed = seed,
                             .nodes = NODES,
                             .partitions = PARTITIONS,
                             .drop_ppm = faults_ppm,
                             .double_ppm = faults_ppm,
                             .delay_max_us = faults_ppm > 0 ? 8000 : 0};
    return world_new(&config);
}

/* The version that a partition decides under, from its own row on disk. */
static uint64_t in_force(world_t *world, uint16_t partition)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;
    uint64_t version = 0;

    buffer_init(&value, 64);
    if (read_row(world, world_node_of(world, partition), FAMILY_STATE, key,
                 key_in_force(key, partition), &value)) {
        unpack_t in = unpack_from(value.bytes, value.size);
        version = unpack_u64(&in);
        cr_assert(!in.failed);
    }
    buffer_free(&value);
    return version;
}

static void set_multiplier(world_t *world, uint32_t tier, unsigned multiplier, size_t *ticket)
{
    char json[64];

    snprintf(json, sizeof json, "{\"points_multiplier\":\"%u.000\"}", multiplier);
    command_t command = ask_define(RESOURCE_TIER, tier, json);
    if (ticket == NULL)
        ask_done(world, command);
    else
        *ticket = ask_later(world, command);
}

Test(definitions_in_force, reach_every_partition_before_the_answer)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world_t *world = new_world(seed, 100000);
        for (int i = 0; i < 5; i++) {
            world_program(world, "");
            uint64_t version =
                catalogue_version(world_catalogue(world, world_node_of(world, PARTITIONS)));
            for (uint16_t p = 0; p < PARTITIONS; p++)
                cr_assert_eq(in_force(world, p), version, "seed %llu, partition %u",
                             (unsigned long long)seed, p);
            for (uint16_t node = 0; node < NODES; node++)
                cr_assert_eq(catalogue_version(world_catalogue(world, node)), version);
        }
        world_destroy(&world);
    }
}

Test(definitions_in_force, are_found_by_the_next_request_at_any_node)
{
    world_t *world = new_world(1, 0);

    for (uint64_t i = 0; i < 20; i++) {
        uuid16_t customer = world_customer(world, i);
        world_enrol(world, &customer, world_program(world, ""), 0);
    }
    world_destroy(&world);
}

Test(definitions_in_force, answer_after_two_seconds_when_a_node_is_down_and_reach_it_later)
{
    world_t *world = new_world(1, 0);
    uint32_t program = world_program(world, "");
    uint16_t away = (uint16_t)((world_node_of(world, PARTITIONS) + 1) % NODES);

    world_kill(world, away);
    int64_t before_us = world_now_us(world);
    ask_done(world, ask_define(RESOURCE_PROGRAM, program, "{\"name\":\"renamed\"}"));
    cr_assert_geq(world_now_us(world) - before_us, 2000000);
    cr_assert_leq(world_now_us(world) - before_us, 3000000);
    uint64_t version = catalogue_version(world_catalogue(world, world_node_of(world, PARTITIONS)));
    cr_assert_eq(world_start(world, away, NULL), ERR_NONE);
    cr_assert(world_settle(world, 20000));
    for (uint16_t p = 0; p < PARTITIONS; p++)
        cr_assert_eq(in_force(world, p), version);
    world_destroy(&world);
}

Test(definitions_in_force, come_one_after_the_other_within_one_round)
{
    world_t *world = new_world(3, 0);
    size_t tickets[20];
    uint32_t program = world_program(world, "");
    uint32_t tier = world_tier(world, program, "\"name\":\"T\"");

    for (unsigned i = 0; i < COUNT_OF(tickets); i++)
        set_multiplier(world, tier, 2 + i, &tickets[i]);
    cr_assert(world_settle(world, 1000));
    for (size_t i = 0; i < COUNT_OF(tickets); i++) {
        err_t err;
        cr_assert(world_answer(world, tickets[i], &err, NULL));
        cr_assert_eq(err.code, ERR_NONE);
    }
    uint64_t version = catalogue_version(world_catalogue(world, 0));
    const tier_t *row = catalogue_tier(world_catalogue(world, 0), version, tier);
    cr_assert_eq(row->multiplier_ppm, 21 * PPM_ONE);
    for (uint16_t p = 0; p < PARTITIONS; p++)
        cr_assert_eq(in_force(world, p), version);
    world_destroy(&world);
}

Test(definitions_in_force, all_tiers_of_a_program_come_or_go_together)
{
    world_t *world = new_world(4, 50000);
    uint64_t before = catalogue_version(world_catalogue(world, 0));
    uint32_t program =
        world_program(world, "\"tiers\":[{\"name\":\"a\"},{\"name\":\"b\",\"min_points\":10},"
                             "{\"name\":\"c\",\"min_points\":20}]");
    uint64_t after = catalogue_version(world_catalogue(world, 0));

    cr_assert_eq(after, before + 4);
    for (uint16_t p = 0; p < PARTITIONS; p++)
        cr_assert_eq(in_force(world, p), after);
    for (uint16_t node = 0; node < NODES; node++) {
        const tier_t *tiers[8];
        cr_assert_eq(
            catalogue_tiers(world_catalogue(world, node), CATALOGUE_NEWEST, program, tiers, 8), 3);
    }
    world_destroy(&world);
}

/* Earns at every account; what each partition gave must never be less than what it gave before. */
static void earn_everywhere(world_t *world, const uint64_t accounts[PARTITIONS],
                            points_t seen[PARTITIONS])
{
    size_t tickets[PARTITIONS];

    for (uint16_t p = 0; p < PARTITIONS; p++)
        tickets[p] = ask_later(world, ask_earn(accounts[p], "1"));
    for (int i = 0; i < 5; i++)
        world_step(world);
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        buffer_t answer;
        err_t err;
        result_t result;
        buffer_init(&answer, 64 * 1024);
        if (tickets[p] != 0 && world_answer(world, tickets[p], &err, &answer) &&
            err.code == ERR_NONE) {
            cr_assert_eq(result_decode(&result, answer.bytes, answer.size, NULL), ERR_NONE);
            cr_assert_geq(result.points, seen[p], "partition %u decided under an older version", p);
            seen[p] = result.points;
        }
        buffer_free(&answer);
    }
}

static void restart_all(world_t *world)
{
    for (uint16_t node = 0; node < NODES; node++)
        if (!world_is_up(world, node))
            cr_assert_eq(world_start(world, node, NULL), ERR_NONE);
}

Test(definitions_in_force, a_restart_right_after_a_change_never_goes_back)
{
    static const world_crash_t points[] = {CRASH_BEFORE_COMMIT, CRASH_AFTER_COMMIT,
                                           CRASH_AFTER_REPLIES};

    for (size_t point = 0; point < COUNT_OF(points); point++)
        for (uint16_t node = 0; node < NODES; node++) {
            world_t *world = new_world(100 * point + node + 1, 100000);
            uint32_t program = world_program(world, "");
            uint32_t tier =
                world_tier(world, program, "\"name\":\"T\",\"points_multiplier\":\"1.000\"");
            uint64_t accounts[PARTITIONS];
            points_t seen[PARTITIONS] = {0};
            for (uint16_t p = 0; p < PARTITIONS; p++) {
                uuid16_t customer = customer_in(world, p, 1);
                accounts[p] = world_enrol(world, &customer, program, 0);
            }
            for (unsigned multiplier = 2; multiplier < 12; multiplier++) {
                size_t ticket;
                set_multiplier(world, tier, multiplier, &ticket);
                for (unsigned i = 0; i < multiplier % 4; i++)
                    world_step(world);
                world_crash_next(world, node, points[point]);
                earn_everywhere(world, accounts, seen);
                restart_all(world);
                earn_everywhere(world, accounts, seen);
            }
            cr_assert(world_settle(world, 20000));
            restart_all(world);
            earn_everywhere(world, accounts, seen);
            uint64_t version =
                catalogue_version(world_catalogue(world, world_node_of(world, PARTITIONS)));
            for (uint16_t p = 0; p < PARTITIONS; p++) {
                cr_assert_eq(in_force(world, p), version);
                cr_assert(world_trouble(world, p) == NULL);
            }
            world_destroy(&world);
        }
}

Test(definitions_in_force, an_acknowledged_change_survives_every_crash)
{
    world_t *world = new_world(9, 100000);
    uint32_t program = world_program(world, "");
    uint32_t tier = world_tier(world, program, "\"name\":\"T\"");

    for (unsigned i = 2; i < 12; i++) {
        set_multiplier(world, tier, i, NULL);
        for (uint16_t node = 0; node < NODES; node++) {
            world_kill(world, node);
            cr_assert_eq(world_start(world, node, NULL), ERR_NONE);
            const tier_t *row =
                catalogue_tier(world_catalogue(world, node), CATALOGUE_NEWEST, tier);
            cr_assert_not_null(row);
            cr_assert_eq(row->multiplier_ppm, i * PPM_ONE);
        }
    }
    world_destroy(&world);
}

Test(definitions_in_force, a_version_that_was_seen_is_needed_to_replace_it)
{
    world_t *world = new_world(1, 0);
    uint32_t program = world_program(world, "");
    command_t command = ask_define(RESOURCE_PROGRAM, program, "{\"name\":\"x\"}");
    result_t result;

    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    command.if_match = result.version;
    cr_assert_eq(ask_http(world, command), 200);
    cr_assert_eq(ask_http(world, command), 412);
    world_destroy(&world);
}

Test(definitions_in_force, ids_of_definitions_are_never_given_again)
{
    world_t *world = new_world(1, 0);
    uint32_t first = world_program(world, "");

    ask_done(world, ask_undefine(RESOURCE_PROGRAM, first));
    uint32_t second = world_program(world, "");
    cr_assert_gt(second, first);
    ask_done(world, ask_undefine(RESOURCE_PROGRAM, second));
    for (uint16_t node = 0; node < NODES; node++) {
        world_kill(world, node);
        cr_assert_eq(world_start(world, node, NULL), ERR_NONE);
    }
    cr_assert_gt(world_program(world, ""), second);
    cr_assert_eq(ask_http(world, ask_undefine(RESOURCE_PROGRAM, second)), 404);
    world_destroy(&world);
}

/* A program of about `bytes` bytes, with a tier that takes what one field may not hold. */
static command_t large_program(char *body, size_t room, size_t number, int bytes)
{
    static char text[64 * 1024];
    int first = bytes > 64000 ? 64000 : bytes;

    memset(text, 'x', sizeof text - 1);
    snprintf(body, room,
             "{\"name\":\"%zu\",\"start_date\":\"2025-01-01T00:00:00Z\",\"end_date\":\"2030-01-"
             "01T00:00:00Z\","
             "\"description\":\"%.*s\",\"tiers\":[{\"name\":\"T\",\"description\":\"%.*s\"}]}",
             number, first, text, bytes - first, text);
    return ask_define(RESOURCE_PROGRAM, 0, body);
}

/* Two definitions in one round of a fresh world; what became of the second. */
static errcode_t define_two(int first, int second)
{
    static char bodies[2][128 * 1024];
    world_config_t config = {.seed = 1, .nodes = 1, .partitions = WORLD_PARTITIONS_MAX};
    world_t *world = world_new(&config);
    command_t commands[2] = {large_program(bodies[0], sizeof bodies[0], 1, first),
                             large_program(bodies[1], sizeof bodies[1], 2, second)};
    size_t tickets[2];
    err_t errs[2];

    for (size_t i = 0; i < 2; i++) {
        with_key(&commands[i], i == 0 ? "first" : "second");
        tickets[i] = ask_later(world, commands[i]);
    }
    for (int step = 0; step < 10; step++)
        world_step(world);
    for (size_t i = 0; i < 2; i++)
        cr_assert(world_answer(world, tickets[i], &errs[i], NULL));
    cr_assert_eq(errs[0].code, ERR_NONE, "%s", errs[0].text);
    world_destroy(&world);
    return errs[1].code;
}

Test(definitions_in_force, the_largest_fits_into_the_log_behind_any_other)
{
    int accepted = 60000, refused = 110000;

    while (refused - accepted > 1) {
        int middle = (accepted + refused) / 2;
        errcode_t rc = define_two(10, middle);
        cr_assert(rc == ERR_NONE || rc == ERR_TOO_LARGE);
        *(rc == ERR_NONE ? &accepted : &refused) = middle;
    }
    /* The first takes four times its size of a record that is closed at 128 KiB. */
    for (int first = 31000; first < 33000; first += 100)
        cr_assert_eq(define_two(first, accepted), ERR_NONE);
}

Test(definitions_in_force,
     a_program_whose_tiers_are_too_much_for_one_answer_is_refused_and_nothing_breaks)
{
    static char body[128 * 1024], text[60 * 1024];
    world_t *world = new_world(1, 0);
    uint32_t program = world_program(world, "");
    uint64_t version = 0;

    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 12; i++) {
        snprintf(body, sizeof body, "{\"program\":%u,\"name\":\"T%d\",\"description\":\"%s\"}",
                 program, i, text);
        ask_done(world, ask_define(RESOURCE_TIER, 0, body));
        version = catalogue_version(world_catalogue(world, 0));
    }
    cr_assert_eq(ask_http(world, ask_define(RESOURCE_PROGRAM, program, "{\"name\":\"renamed\"}")),
                 413);
    cr_assert_eq(catalogue_version(world_catalogue(world, 0)), version);
    ask_done(world, ask_define(RESOURCE_TIER, 1, "{\"name\":\"renamed\"}"));
    world_destroy(&world);
}
