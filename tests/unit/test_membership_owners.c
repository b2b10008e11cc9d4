/* test_membership_owners.c - who should own what: take-over, duels, planned moves, storms */
#include "tests/unit/membership_world.h"

/* --- take-over ----------------------------------------------------------------------------------- */

Test(membership_owners, claims_what_a_dead_node_owned_after_three_silent_heartbeats_and_its_rank)
{
    for (int untold = 0; untold < 2; untold++) {
        world_t *world = world_of(4, 16, 2);
        int64_t killed;
        unsigned taken = 0;

        for (size_t i = 0; i < 4; i++)
            world->nodes[i].untold = untold;
        killed = world->now_us;
        world_kill(world, 0);
        world_run(world, 10 * WORLD_SECOND);
        for (uint16_t p = 0; p < 16; p++) {
            int64_t since = 0;
            size_t owner = world_owner(world, p, NULL, &since);

            cr_assert_neq(owner, 0);
            if (world_placed(world, p, 0) != 0)
                continue;
            taken++;
            cr_assert_eq(owner, world_placed(world, p, 1)); /* the first follower was faster */
            /* Four own heartbeats behind its last one, which lay up to a second before its end. */
            cr_assert_geq(since - killed, 2 * WORLD_SECOND - WORLD_STEP_US);
            cr_assert_leq(since - killed, 4 * WORLD_SECOND + 2 * WORLD_STEP_US);
        }
        cr_assert_geq(taken, 4);
        world_free(world);
    }
}

Test(membership_owners, lets_the_second_follower_claim_when_the_first_one_is_dead_too)
{
    world_t *world = world_of(5, 16, 2);
    int64_t killed = world->now_us;

    world_kill(world, 0);
    world_kill(world, 1);
    world_run(world, 12 * WORLD_SECOND);
    for (uint16_t p = 0; p < 16; p++) {
        int64_t since = 0;
        size_t owner = world_owner(world, p, NULL, &since);

        cr_assert_gt(owner, 1);
        if (world_placed(world, p, 0) <= 1 && world_placed(world, p, 1) <= 1) {
            cr_assert_eq(owner, world_placed(world, p, 2));
            cr_assert_geq(since - killed, 3 * WORLD_SECOND - WORLD_STEP_US);
            cr_assert_leq(since - killed, 5 * WORLD_SECOND + 2 * WORLD_STEP_US);
        }
    }
    world_free(world);
}

Test(membership_owners, claims_nothing_while_its_own_heartbeats_do_not_come_back)
{
    world_t *world = world_of(3, 16, 1);
    unsigned claims[3];

    for (size_t i = 0; i < 3; i++) {
        world->nodes[i].deaf = true;
        claims[i] = world->nodes[i].claims;
    }
    world_kill(world, 0);
    world_run(world, 300 * WORLD_SECOND);
    for (size_t i = 1; i < 3; i++) {
        cr_assert_eq(world->nodes[i].claims, claims[i]);
        cr_assert(!membership_heard_self(world->nodes[i].membership, world->now_us));
    }
    world_free(world);
}

Test(membership_owners, claims_nothing_from_a_log_that_was_silent_from_the_start)
{
    world_t *world = world_new(16, 1);

    for (size_t i = 0; i < 3; i++)
        world_start(world, i)->deaf = true;
    world_run(world, 100 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 3);
    cr_assert_eq(world_claims(world), 0);
    world_free(world);
}

Test(membership_owners, takes_over_nothing_after_an_outage_of_the_log_for_all)
{
    world_t *world = world_of(3, 16, 1);
    uint64_t epochs = world_epochs(world);

    for (size_t i = 0; i < 3; i++)
        world->nodes[i].mute = true;
    world_run(world, 60 * WORLD_SECOND);
    for (size_t i = 0; i < 3; i++)
        world->nodes[i].mute = false;
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_epochs(world), epochs);
    world_free(world);
}

/* A producer keeps what it could not send; one node's gets in before the others'. */
Test(membership_owners, takes_over_nothing_when_heartbeats_of_an_outage_land_all_at_once)
{
    for (size_t first = 0; first < 3; first++) {
        world_t *world = world_of(3, 16, 1);
        uint64_t epochs = world_epochs(world);

        for (size_t i = 0; i < 3; i++)
            world->nodes[i].queueing = true;
        world_run(world, 20 * WORLD_SECOND);
        cr_assert_gt(world->nodes[first].queued_liveness.count, 15);
        world_flush(&world->nodes[first]);
        world_run(world, WORLD_SECOND);
        for (size_t i = 0; i < 3; i++)
            world_flush(&world->nodes[i]);
        world_run(world, 20 * WORLD_SECOND);
        cr_assert_eq(world_epochs(world), epochs);
        world_free(world);
    }
}

Test(membership_owners, does_not_count_a_heartbeat_twice)
{
    world_t *world = world_of(2, 16, 1);
    uint64_t epochs = world_epochs(world);

    /* Every record of the channel stands in it three more times, with later times. */
    for (int i = 0; i < 20; i++) {
        size_t before = world->liveness.count;

        world->nodes[0].mute = i >= 10 && i < 12; /* two are missing, that is less than three */
        world_run(world, WORLD_SECOND);
        for (size_t k = before, end = world->liveness.count; k < end; k++) {
            for (int64_t more = 1; more < 4; more++)
                world_append(&world->liveness, world->liveness.records[k].bytes,
                             world->liveness.records[k].n, world->now_us + more * WORLD_SECOND);
        }
    }
    cr_assert_eq(world_epochs(world), epochs);
    world_free(world);
}

Test(membership_owners, takes_old_heartbeats_for_history_and_not_for_life)
{
    world_t *world = world_of(2, 16, 1);
    world_node_t *node;
    int64_t started;

    world_kill(world, 0);
    world_kill(world, 1);
    world->now_us += 60 * WORLD_SECOND;
    node = world_start(world, 0);
    started = world->now_us;
    world_run(world, WORLD_SECOND);
    /* The other one spoke last a minute ago; still it is not taken over before this process has waited itself. */
    cr_assert(!membership_alive(node->membership, world_member(world, 1)));
    cr_assert(membership_alive(node->membership, world_member(world, 0)));
    for (uint16_t p = 0; p <= 16; p++) {
        if (world_placed(world, p, 0) == 1)
            cr_assert_eq(world_owner(world, p, NULL, NULL), 1);
    }
    while (world_owned(world, 0) < 17) {
        world_run(world, WORLD_STEP_US);
        cr_assert_lt(world->now_us - started, 6 * WORLD_SECOND);
    }
    cr_assert_geq(world->now_us - started, 3 * WORLD_SECOND);
    world_free(world);
}

Test(membership_owners, takes_over_one_partition_that_its_owner_names_as_stuck)
{
    world_t *world = world_of(2, 16, 1);
    uint16_t stuck = UINT16_MAX;
    int64_t begun = world->now_us;
    uint64_t epochs = world_epochs(world);

    for (uint16_t p = 0; p < 16 && stuck == UINT16_MAX; p++)
        stuck = world_placed(world, p, 0) == 0 ? p : UINT16_MAX;
    world->nodes[0].replicas[stuck].stuck = true;
    while (world_owner(world, stuck, NULL, NULL) == 0) {
        world_run(world, WORLD_STEP_US);
        cr_assert_lt(world->now_us - begun, 6 * WORLD_SECOND);
    }
    cr_assert_geq(world->now_us - begun, 4 * WORLD_SECOND);
    cr_assert_eq(world_owner(world, stuck, NULL, NULL), 1);
    world_run(world, 30 * WORLD_SECOND);
    /* It alone, once, and not back while the other one is stuck. */
    cr_assert_eq(world_epochs(world), epochs + 1);
    world->nodes[0].replicas[stuck].stuck = false;
    world_run(world, 5 * WORLD_SECOND);
    cr_assert(world_settled(world));
    cr_assert_eq(world_epochs(world), epochs + 2);
    world_free(world);
}

Test(membership_owners, does_not_take_over_a_stuck_partition_when_it_is_stuck_itself)
{
    world_t *world = world_of(2, 16, 1);
    uint64_t epochs = world_epochs(world);
    unsigned claims = world_claims(world);

    for (size_t i = 0; i < 2; i++)
        world->nodes[i].replicas[3].stuck = true;
    world_run(world, 30 * WORLD_SECOND);
    cr_assert_eq(world_epochs(world), epochs);
    cr_assert_eq(world_claims(world), claims);
    world_free(world);
}

Test(membership_owners, lets_a_follower_that_is_near_go_before_one_that_is_far_behind)
{
    world_t *world = world_of(4, 16, 2);
    unsigned seen = 0;

    for (uint16_t p = 0; p < 16; p++) {
        if (world_placed(world, p, 0) == 0)
            world->nodes[world_placed(world, p, 1)].replicas[p].behind = 1000000;
    }
    world_run(world, 3 * WORLD_SECOND);
    world_kill(world, 0);
    world_run(world, 10 * WORLD_SECOND);
    for (uint16_t p = 0; p < 16; p++) {
        if (world_placed(world, p, 0) != 0)
            continue;
        seen++;
        cr_assert_eq(world_owner(world, p, NULL, NULL), world_placed(world, p, 2));
    }
    cr_assert_geq(seen, 4);
    world_free(world);
}

Test(membership_owners, lets_a_follower_that_is_far_behind_claim_when_it_is_the_only_one)
{
    world_t *world = world_of(2, 16, 1);

    for (uint16_t p = 0; p <= 16; p++)
        world->nodes[1].replicas[p].behind = UINT32_MAX;
    world_run(world, 3 * WORLD_SECOND);
    world_kill(world, 0);
    world_run(world, 6 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 1), 17);
    world_free(world);
}

/* --- no duels ------------------------------------------------------------------------------------ */

Test(membership_owners, does_not_claim_back_what_a_paused_node_lost)
{
    for (int untold = 0; untold < 2; untold++) {
        world_t *world = world_of(3, 16, 1);
        size_t lost;
        uint64_t epochs = world_epochs(world);

        for (size_t i = 0; i < 3; i++)
            world->nodes[i].untold = untold;
        lost = world_owned(world, 0);
        world->nodes[0].paused = true;
        world_run(world, 10 * WORLD_SECOND);
        cr_assert_eq(world_owned(world, 0), 0);
        cr_assert_eq(world_epochs(world), epochs + lost);
        world->nodes[0].paused = false;
        world_run(world, 60 * WORLD_SECOND);
        /* Each came back by one planned move: a release, then a claim. */
        cr_assert(world_settled(world));
        cr_assert_eq(world_epochs(world), epochs + 2 * lost);
        world_free(world);
    }
}

Test(membership_owners, waits_for_a_stranger_who_has_just_claimed)
{
    for (int untold = 0; untold < 2; untold++) {
        world_t *world = world_of(2, 16, 1);
        uint64_t epoch, now;
        uint16_t taken = UINT16_MAX;

        for (uint16_t p = 0; p < 16 && taken == UINT16_MAX; p++)
            taken = world_placed(world, p, 0) == 0 ? p : UINT16_MAX;
        world->nodes[0].untold = world->nodes[1].untold = untold;
        (void)world_owner(world, taken, &epoch, NULL);
        /* Some process deposes it; no view and no heartbeat names it. */
        world_log(world, taken,
                  (world_entry_t){.claim = true,
                                  .node = 7,
                                  .incarnation = hash_bytes("stranger", 8),
                                  .epoch = epoch + 1,
                                  .at_us = world->now_us});
        world_run(world, 2 * WORLD_SECOND);
        cr_assert_eq(world_owner(world, taken, &now, NULL), 7);
        /* It is never heard: then the view's owner takes it. */
        world_run(world, 5 * WORLD_SECOND);
        cr_assert_eq(world_owner(world, taken, &now, NULL), 0);
        cr_assert_eq(now, epoch + 2);
        world_free(world);
    }
}

/* --- planned moves ------------------------------------------------------------------------------- */

Test(membership_owners, moves_to_a_new_node_what_the_view_gives_it_and_nothing_twice)
{
    world_t *world = world_of(3, 64, 1);
    uint64_t epochs = world_epochs(world);
    unsigned moved = 0;

    (void)world_start(world, 3);
    world_settle(world, 30 * WORLD_SECOND);
    for (uint16_t p = 0; p <= 64; p++) {
        const world_log_t *log = &world->logs[p];

        if (world_owner(world, p, NULL, NULL) != 3)
            continue;
        moved++;
        /* The release is followed by the claim within 100 ms. */
        cr_assert_geq(log->count, 3);
        cr_assert(!log->entries[log->count - 2].claim);
        cr_assert(log->entries[log->count - 1].claim);
        cr_assert_leq(log->entries[log->count - 1].at_us - log->entries[log->count - 2].at_us,
                      WORLD_SECOND / 10);
    }
    cr_assert_eq(moved, 16);
    cr_assert_eq(world_epochs(world), epochs + moved);
    world_free(world);
}

Test(membership_owners, moves_a_few_partitions_at_a_time)
{
    world_t *world = world_of(1, 64, 0);

    (void)world_start(world, 1);
    for (int step = 0; step < 1000; step++) {
        int64_t at_us = world->now_us;
        size_t released = 0;

        world_run(world, WORLD_STEP_US);
        for (uint16_t p = 0; p <= 64; p++) {
            for (size_t i = 0; i < world->logs[p].count; i++)
                released +=
                    !world->logs[p].entries[i].claim && world->logs[p].entries[i].at_us == at_us;
        }
        cr_assert_leq(released, MEMBERSHIP_MOVES);
    }
    cr_assert(world_settled(world));
    cr_assert_eq(world_owned(world, 1), 32);
    world_free(world);
}

Test(membership_owners, moves_nothing_to_a_node_that_has_not_read_the_view)
{
    world_t *world = world_of(2, 16, 1);
    uint64_t epochs = world_epochs(world);
    hash_t zero = world_id(0);

    world->nodes[1].slow = true;
    cr_assert_eq(membership_drain(world->nodes[0].membership, &zero, NULL), ERR_NONE);
    world_run(world, 10 * WORLD_SECOND);
    /* The other one follows everything closely, but would not know that it is its turn. */
    cr_assert_eq(world_epochs(world), epochs);
    for (uint16_t p = 0; p <= 16; p++)
        cr_assert_neq(world_owner(world, p, NULL, NULL), SIZE_MAX);
    world->nodes[1].slow = false;
    world_settle(world, 5 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 1), 17);
    world_free(world);
}

Test(membership_owners, moves_nothing_to_a_node_that_is_not_near)
{
    world_t *world = world_of(2, 16, 1);
    uint64_t epochs = world_epochs(world);
    world_node_t *node = world_start(world, 2);

    world_run(world, WORLD_STEP_US * 20);
    for (uint16_t p = 0; p <= 16; p++)
        node->replicas[p].behind = MEMBERSHIP_CLOSE + 100;
    world_run(world, 20 * WORLD_SECOND);
    cr_assert(membership_joined(node->membership));
    cr_assert_eq(world_epochs(world), epochs);
    for (uint16_t p = 0; p <= 16; p++)
        node->replicas[p].behind = 5;
    world_settle(world, 5 * WORLD_SECOND);
    cr_assert_geq(world_owned(world, 2), 5);
    world_free(world);
}

Test(membership_owners, stops_following_only_what_the_views_owner_owns)
{
    world_t *world = world_of(2, 16, 1);
    world_node_t *node = world_start(world, 2);

    world_run(world, WORLD_STEP_US * 20);
    for (uint16_t p = 0; p <= 16; p++)
        node->replicas[p].behind = MEMBERSHIP_CLOSE + 100;
    world_run(world, 10 * WORLD_SECOND);
    /* Where the new node owns by the view but not yet, nobody lets go. */
    for (uint16_t p = 0; p < 16; p++) {
        if (world_placed(world, p, 0) == 2) {
            cr_assert(world->nodes[0].replicas[p].following);
            cr_assert(world->nodes[1].replicas[p].following);
        }
    }
    for (uint16_t p = 0; p <= 16; p++)
        node->replicas[p].behind = 0;
    world_settle(world, 10 * WORLD_SECOND);
    world_run(world, 2 * WORLD_SECOND);
    for (size_t i = 0; i < 3; i++) {
        for (uint16_t p = 0; p < 16; p++)
            cr_assert_eq(world->nodes[i].replicas[p].following,
                         world_placed(world, p, 0) == i || world_placed(world, p, 1) == i,
                         "node %zu, partition %u", i, p);
        cr_assert(world->nodes[i].replicas[16].following);
    }
    world_free(world);
}

Test(membership_owners, gives_a_released_partition_to_a_follower_when_the_views_owner_is_gone)
{
    world_t *world = world_of(3, 16, 2);
    uint16_t moved = UINT16_MAX;
    int64_t since = 0;

    /* Node 0 lost all while it stood still, and died: the others own its partitions. */
    world->nodes[0].paused = true;
    world_run(world, 10 * WORLD_SECOND);
    world_kill(world, 0);
    for (uint16_t p = 0; p < 16 && moved == UINT16_MAX; p++)
        moved = world_placed(world, p, 0) == 0 ? p : UINT16_MAX;
    membership_stop(world->nodes[world_placed(world, moved, 1)].membership);
    world_run(world, 4 * WORLD_STEP_US);
    cr_assert_eq(world_owner(world, moved, NULL, &since), world_placed(world, moved, 2));
    world_free(world);
}

/* --- storms -------------------------------------------------------------------------------------- */

/* Nodes are killed, started, paused, made deaf and mute at random; then all is well again. The cluster must settle, own
 * every partition where the view wants it, and be quiet. Views never went back, nor was a number given twice. */
Test(membership_owners, settles_after_any_storm)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        world_t *world = world_new(32, 2);
        uint64_t epochs;
        int64_t end;

        world->random = seed;
        for (size_t i = 0; i < 5; i++)
            (void)world_start(world, i);
        for (int step = 0; step < 120; step++) {
            world_node_t *node = &world->nodes[world_number(world) % 5];

            switch (world_number(world) % 8) {
            case 0: world_kill(world, node->number); break;
            case 1:
            case 2:
                if (node->membership == NULL)
                    (void)world_start(world, node->number);
                break;
            case 3: node->paused = !node->paused; break;
            case 4: node->deaf = !node->deaf; break;
            case 5: node->mute = !node->mute; break;
            case 6:
                if (node->queueing && node->membership != NULL)
                    world_flush(node);
                else
                    node->queueing = node->membership != NULL;
                break;
            default: node->blind = !node->blind;
            }
            world_run(world, (1 + world_number(world) % 200) * WORLD_STEP_US);
        }
        for (size_t i = 0; i < 5; i++) {
            world_node_t *node = &world->nodes[i];

            node->paused = node->deaf = node->mute = node->blind = false;
            world_flush(node);
            if (node->membership == NULL)
                (void)world_start(world, i);
        }
        end = world->now_us + 60 * WORLD_SECOND;
        world_run(world, 5 * WORLD_SECOND);
        while (!world_settled(world)) {
            cr_assert_lt(world->now_us, end, "seed %llu", (unsigned long long)seed);
            world_run(world, WORLD_SECOND);
        }
        epochs = world_epochs(world);
        world_run(world, 60 * WORLD_SECOND);
        cr_assert_eq(world_epochs(world), epochs, "seed %llu: not quiet", (unsigned long long)seed);
        world_free(world);
    }
}

Test(membership_owners, stands_nodes_that_come_and_go_all_the_time)
{
    world_t *world = world_of(4, 32, 1);
    uint64_t epochs = world_epochs(world);

    for (int i = 0; i < 40; i++) {
        world_kill(world, 3);
        world_run(world, (1 + world_number(world) % 400) * WORLD_STEP_US);
        (void)world_start(world, 3);
        world_run(world, (1 + world_number(world) % 400) * WORLD_STEP_US);
    }
    world_settle(world, 30 * WORLD_SECOND);
    /* A return costs its partitions at most two claims each: the take-over and the way back. */
    cr_assert_leq(world_epochs(world) - epochs, 40 * 9 * 3);
    for (size_t i = 0; i < 4; i++)
        cr_assert(!membership_replaced(world->nodes[i].membership));
    world_free(world);
}
