/* test_safety.c - messages and transfers when nodes die, frames are lost, or a disk comes from an older copy
 * (protocol section 9, rows "messages", "transfer" and "restore" that need no Kafka) */
#include "tests/sim/ask.h"
#include "tests/sim/proof.h"

#include "actors/partition_state.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define SETTLE_STEPS 600000 /* ten minutes: a lost frame costs a resend of all behind it */

TestSuite(safety, .timeout = 300);

/* Two nodes: the giver lives in partition 0 on node 0, the receiver in partition 1 on node 1. */
typedef struct {
    world_t *world;
    uint32_t program;
    uint64_t giver, receiver;
} pair_t;

static pair_t new_pair(uint64_t seed, uint32_t drop_ppm, uint32_t double_ppm, int64_t delay_max_us)
{
    world_config_t config = {.seed = seed,
                             .nodes = 2,
                             .partitions = 2,
                             .drop_ppm = drop_ppm,
                             .double_ppm = double_ppm,
                             .delay_max_us = delay_max_us};
    pair_t pair = {.world = world_new(&config)};
    pair.program = world_program(pair.world, "");
    cr_assert(world_settle(pair.world,
                           SETTLE_STEPS)); /* the answer does not wait for ever for lost frames */
    uuid16_t giver = customer_in(pair.world, 0, 1), receiver = customer_in(pair.world, 1, 1);
    pair.giver = world_enrol(pair.world, &giver, pair.program, 1000);
    pair.receiver = world_enrol(pair.world, &receiver, pair.program, 0);
    cr_assert(world_settle(pair.world, SETTLE_STEPS));
    return pair;
}

static void restart_dead(world_t *world)
{
    for (uint16_t node = 0; node < world_nodes(world); node++)
        if (!world_is_up(world, node))
            cr_assert_eq(world_start(world, node, NULL), ERR_NONE);
}

/* To rest, whatever crashes are still due; false when it does not come to it. */
static bool settle(world_t *world)
{
    for (int steps = 0; steps < SETTLE_STEPS; steps += 500) {
        restart_dead(world);
        if (world_settle(world, 500))
            return true;
    }
    return false;
}

static void expect_proofs(world_t *world, const char *what)
{
    err_t err = {0};

    cr_assert(proof_pairs(world, &err), "%s: %s", what, err.text);
    cr_assert(proof_points(world, &err), "%s: %s", what, err.text);
}

static void expect_quiet(const pair_t *pair, const char *what)
{
    err_t err = {0};

    cr_assert(settle(pair->world), "%s: it does not come to rest", what);
    expect_proofs(pair->world, what);
    cr_assert(proof_quiet(pair->world, &err), "%s: %s", what, err.text);
    cr_assert(proof_counts(pair->world, &err), "%s: %s", what, err.text);
    cr_assert(world_books_hold(pair->world, pair->giver, &err), "%s: %s", what, err.text);
    cr_assert(world_books_hold(pair->world, pair->receiver, &err), "%s: %s", what, err.text);
}

/* ---- transfer: a crash between each pair of steps, exhaustively ---- */

typedef enum { RECEIVER_OPEN, RECEIVER_BLOCKED, RECEIVER_UNKNOWN, RECEIVER__END } receiver_kind_t;

typedef struct {
    world_crash_t where[2];
    unsigned k[2]; /* 0: this node does not die */
} crashes_t;

static bool final_answer(world_t *world, size_t ticket, buffer_t *out)
{
    err_t err;
    buffer_reset(out);
    return ticket != 0 && world_answer(world, ticket, &err, out) && err.code == ERR_NONE;
}

static void one_transfer(receiver_kind_t kind, const crashes_t *crashes)
{
    char what[96];
    pair_t pair = new_pair(1, 0, 0, 0);
    buffer_t first, again;
    result_t result;

    snprintf(what, sizeof what, "receiver %d, node 0: %d at %u, node 1: %d at %u", kind,
             crashes->where[0], crashes->k[0], crashes->where[1], crashes->k[1]);
    buffer_init(&first, 64 * 1024);
    buffer_init(&again, 64 * 1024);
    if (kind == RECEIVER_BLOCKED)
        ask_done(pair.world, ask_status(pair.receiver, STATUS_BLOCKED));
    command_t command = ask_transfer(
        pair.giver, kind == RECEIVER_UNKNOWN ? pair.receiver + 999 : pair.receiver, 30);
    with_key(&command, "once");
    for (uint16_t node = 0; node < 2; node++)
        if (crashes->k[node] > 0)
            world_crash_at(pair.world, node, crashes->where[node], crashes->k[node]);
    size_t ticket = ask_later(pair.world, command);
    for (int step = 0; step < 40; step++) {
        world_step(pair.world);
        expect_proofs(pair.world, what);
        if (step % 4 == 3)
            restart_dead(pair.world);
    }
    bool answered = final_answer(pair.world, ticket, &first);
    expect_quiet(&pair, what);

    /* What the client does not know it asks again, with the same key. */
    size_t retry = 0;
    for (int attempt = 0; attempt < 5 && !final_answer(pair.world, retry, &again); attempt++) {
        restart_dead(pair.world);
        retry = ask_later(pair.world, command);
        cr_assert(settle(pair.world), "%s", what);
    }
    cr_assert(final_answer(pair.world, retry, &again), "%s", what);
    cr_assert_eq(result_decode(&result, again.bytes, again.size, NULL), ERR_NONE);
    cr_assert_eq(result.status,
                 kind == RECEIVER_OPEN      ? 200
                 : kind == RECEIVER_BLOCKED ? 400
                                            : 404,
                 "%s", what);
    if (answered && kind != RECEIVER_UNKNOWN) {
        cr_assert_eq(result.replayed, 1, "%s", what);
        result.replayed = 0;
        buffer_reset(&again);
        result_encode(&result, &again);
        cr_assert_eq(again.size, first.size, "%s", what);
        cr_assert_eq(memcmp(again.bytes, first.bytes, first.size), 0, "%s", what);
    }
    expect_quiet(&pair, what);
    points_t moved = kind == RECEIVER_OPEN ? 30 : 0;
    cr_assert_eq(read_balance(pair.world, pair.giver), 1000 - moved, "%s",
                 what); /* settled or reversed, never both */
    cr_assert_eq(read_balance(pair.world, pair.receiver), moved, "%s", what);
    cr_assert_eq(read_count(pair.world, pair.program, ENTRY_TRANSFER_OUT), moved > 0 ? 1 : 0, "%s",
                 what);
    cr_assert_eq(read_count(pair.world, pair.program, ENTRY_TRANSFER_IN), moved > 0 ? 1 : 0, "%s",
                 what);
    buffer_free(&first);
    buffer_free(&again);
    world_destroy(&pair.world);
}

static const world_crash_t points_of_death[] = {CRASH_BEFORE_COMMIT, CRASH_AFTER_COMMIT,
                                                CRASH_AFTER_REPLIES};

Test(safety, a_transfer_survives_the_death_of_one_node_at_any_step)
{
    for (int kind = 0; kind < RECEIVER__END; kind++)
        for (uint16_t node = 0; node < 2; node++)
            for (size_t where = 0; where < COUNT_OF(points_of_death); where++)
                for (unsigned k = 1; k <= 12; k++) {
                    crashes_t crashes = {0};
                    crashes.where[node] = points_of_death[where];
                    crashes.k[node] = k;
                    one_transfer((receiver_kind_t)kind, &crashes);
                }
}

Test(safety, a_transfer_survives_the_death_of_both_nodes_at_any_two_steps)
{
    for (int kind = 0; kind < RECEIVER__END; kind++)
        for (size_t pair = 0; pair < 9; pair++)
            for (unsigned steps = 0; steps < 36; steps++) {
                crashes_t crashes = {
                    .where = {points_of_death[pair / 3], points_of_death[pair % 3]},
                    .k = {1 + steps / 6, 1 + steps % 6}};
                one_transfer((receiver_kind_t)kind, &crashes);
            }
}

/* ---- messages: lost, doubled, out of order ---- */

/* Many transfers in both directions at once; `deaths` kills both owners now and then. */
static void crossing_transfers(uint64_t seed, uint32_t drop_ppm, uint32_t double_ppm,
                               int64_t delay_max_us, bool deaths)
{
    pair_t pair = new_pair(seed, drop_ppm, double_ppm, delay_max_us);
    char what[32];

    snprintf(what, sizeof what, "seed %llu", (unsigned long long)seed);
    ask_done(pair.world, ask_adjust(pair.receiver, 1000));
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 2; i++) {
            (void)ask_later(pair.world, ask_transfer(pair.giver, pair.receiver, 1 + i));
            (void)ask_later(pair.world, ask_transfer(pair.receiver, pair.giver, 1 + i));
        }
        world_step(pair.world);
        if (deaths && world_random(pair.world) % 6 == 0)
            world_crash_next(pair.world, (uint16_t)(world_random(pair.world) % 2),
                             points_of_death[world_random(pair.world) % 3]);
        if (round % 5 == 4)
            restart_dead(pair.world);
        if (round % 10 == 0)
            expect_proofs(pair.world, what);
    }
    for (int i = 0; i < 200; i++)
        world_step(pair.world);
    restart_dead(pair.world);
    expect_quiet(&pair, what);
    cr_assert_eq(proof_total(pair.world), 2000);
    cr_assert_eq(read_count(pair.world, pair.program, ENTRY_TRANSFER_OUT),
                 read_count(pair.world, pair.program, ENTRY_TRANSFER_IN), "%s", what);
    world_destroy(&pair.world);
}

Test(safety, messages_are_applied_once_when_frames_are_lost)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        crossing_transfers(seed, 400000, 0, 0, false);
}

Test(safety, messages_are_applied_once_when_frames_come_twice)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        crossing_transfers(seed, 0, 1000000, 0, false);
}

Test(safety, messages_are_applied_in_order_when_frames_are_not)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        crossing_transfers(seed, 0, 0, 300000, false);
}

Test(safety, messages_survive_all_of_it_and_the_death_of_both_owners)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        crossing_transfers(seed, 200000, 200000, 30000, true);
}

Test(safety, a_late_acknowledgement_of_an_earlier_life_halts_nothing)
{
    /* Frames take up to two seconds, all come twice, and owners restart: acknowledgements of every age arrive. */
    for (uint64_t seed = 1; seed <= 5; seed++)
        crossing_transfers(seed, 0, 1000000, 2000000, true);
}

Test(safety, a_full_pair_refuses_requests_but_never_replies)
{
    store_t *store = store_memory_new();
    catalogue_t *catalogue = catalogue_new();
    row_cache_t *cache = row_cache_new(16, 1024 * 1024);
    partition_config_t config = {
        .partitions = 2, .store = store, .catalogue = catalogue, .cache = cache};
    partition_t *partition = partition_new(&config);
    buffer_t body;
    err_t err;

    cr_assert_eq(partition_load(partition, &(position_t){0}, false, NULL), ERR_NONE);
    cr_assert_eq(partition_room(partition, 1, &err), ERR_NONE);
    partition->sending[1].decided.next = MESSAGE_PAIR_MAX + 1;
    cr_assert_eq(partition_room(partition, 1, &err), ERR_UNREACHABLE);
    partition->sending[1].decided.acked = 1;
    cr_assert_eq(partition_room(partition, 1, &err), ERR_NONE);
    partition->sending[1].bytes = MESSAGE_PAIR_BYTES_MAX;
    cr_assert_eq(partition_room(partition, 1, &err), ERR_UNREACHABLE);
    buffer_init(&body, 1024);
    buffer_text(&body, "a reply");
    partition_message(partition, 1, &body);
    cr_assert_eq(partition->sending[1].decided.next, MESSAGE_PAIR_MAX + 2);
    buffer_free(&body);
    partition_destroy(&partition);
    row_cache_destroy(&cache);
    catalogue_destroy(&catalogue);
    store_destroy(&store);
}

/* ---- one side comes from an older copy ---- */

static void transfer_some(const pair_t *pair, int count)
{
    for (int i = 0; i < count; i++) {
        ask_done(pair->world, ask_transfer(pair->giver, pair->receiver, 3));
        ask_done(pair->world, ask_transfer(pair->receiver, pair->giver, 1));
    }
    cr_assert(world_settle(pair->world, SETTLE_STEPS));
}

/* Puts an older copy of a node's disk in place; new traffic must halt the pair and move nothing. */
static void expect_halt_after_restore(uint16_t node, bool from_restored)
{
    pair_t pair = new_pair(1, 0, 0, 0);
    bool named = false;
    err_t err;

    transfer_some(&pair, 5);
    store_t *image = world_image(pair.world, node);
    transfer_some(&pair, 5);
    world_kill(pair.world, node);
    world_restore(pair.world, node, &image);
    cr_assert_eq(world_start(pair.world, node, NULL), ERR_NONE);
    points_t owned = proof_owned(pair.world);
    uint64_t from = (node == 0) == from_restored ? pair.giver : pair.receiver;
    uint64_t to = from == pair.giver ? pair.receiver : pair.giver;
    points_t to_before = read_balance(pair.world, to);
    size_t ticket = ask_later(pair.world, ask_transfer(from, to, 2));
    for (int step = 0; step < 3000; step++) {
        world_step(pair.world);
        if (step % 50 == 0)
            cr_assert_eq(proof_owned(pair.world), owned);
    }
    cr_assert_eq(proof_owned(pair.world), owned);
    cr_assert(ticket == 0 || !world_answer(pair.world, ticket, &err, NULL) || err.code != ERR_NONE);
    for (uint16_t p = 0; p < 2; p++)
        named = named || world_trouble(pair.world, p) != NULL;
    cr_assert(named, "node %u from an older copy, transfer %s it: nobody noticed", node,
              from_restored ? "from" : "to");
    cr_assert_eq(read_balance(pair.world, to), to_before);
    /* Nothing more is put on a road that leads nowhere. */
    result_t result;
    points_t from_before = read_balance(pair.world, from);
    cr_assert_eq(ask(pair.world, ask_transfer(from, to, 1), &result, &err), ERR_HALTED);
    cr_assert_eq(read_balance(pair.world, from), from_before);
    world_destroy(&pair.world);
}

Test(safety, an_older_copy_of_the_sender_halts_the_pair)
{
    expect_halt_after_restore(0, true);
    expect_halt_after_restore(1, true);
}

Test(safety, an_older_copy_of_the_receiver_halts_the_pair)
{
    expect_halt_after_restore(0, false);
    expect_halt_after_restore(1, false);
}

Test(safety, a_restore_gives_a_new_history_and_that_halts_the_pair_too)
{
    for (uint16_t node = 0; node < 2; node++) {
        pair_t pair = new_pair(1, 0, 0, 0);
        bool named = false;
        buffer_t batch;
        transfer_some(&pair, 3);
        points_t giver = read_balance(pair.world, pair.giver),
                 receiver = read_balance(pair.world, pair.receiver);
        world_kill(pair.world, node);
        buffer_init(&batch, 64 * 1024);
        position_t position;
        uint64_t ordinal = 0;
        bool found = false;
        cr_assert_eq(journal_embedded_position(world_store(pair.world, node), node, &position,
                                               &ordinal, &found, NULL),
                     ERR_NONE);
        cr_assert(found);
        position.history = hash_bytes("a restored partition", 20);
        cr_assert_eq(journal_embedded_override(world_store(pair.world, node), node, &position,
                                               ordinal + 1000, &batch, NULL),
                     ERR_NONE);
        batch_part_t part = {batch.bytes, batch.size};
        cr_assert_eq(store_write(world_store(pair.world, node), &part, 1, true, NULL), ERR_NONE);
        buffer_free(&batch);
        cr_assert_eq(world_start(pair.world, node, NULL), ERR_NONE);
        (void)ask_later(pair.world, ask_transfer(pair.giver, pair.receiver, 7));
        for (int step = 0; step < 2000; step++)
            world_step(pair.world);
        for (uint16_t p = 0; p < 2; p++)
            named = named || world_trouble(pair.world, p) != NULL;
        cr_assert(named);
        cr_assert_eq(read_balance(pair.world, pair.giver), giver - 7); /* held, and it stays so */
        cr_assert_eq(read_balance(pair.world, pair.receiver), receiver);
        world_destroy(&pair.world);
    }
}
