/* test_membership_operators.c - nodes that stop, and what operators say: drain, admit, move, forget */
#include "tests/unit/membership_world.h"

Test(membership_operators, hands_over_at_once_when_a_node_stops_and_gives_back_when_it_returns)
{
    world_t *world = world_of(3, 16, 1);
    size_t owned = world_owned(world, 1);
    uint64_t number = world_view(world)->number;
    int64_t stopped = world->now_us;
    unsigned claims;

    membership_stop(world->nodes[1].membership);
    while (world_owned(world, 0) + world_owned(world, 2) < 17) {
        world_run(world, WORLD_STEP_US);
        cr_assert_lt(world->now_us - stopped, WORLD_SECOND / 5);
    }
    claims = world->nodes[1].claims;
    world_run(world, 5 * WORLD_SECOND);
    cr_assert_eq(world->nodes[1].claims, claims);
    cr_assert_eq(world_view(world)->number, number); /* its place is kept */
    world_kill(world, 1);
    world_run(world, 10 * WORLD_SECOND);
    (void)world_start(world, 1);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 1), owned);
    world_free(world);
}

Test(membership_operators, stops_alone_without_waiting_for_anybody)
{
    world_t *world = world_of(1, 16, 1);

    membership_stop(world->nodes[0].membership);
    world_run(world, 3 * WORLD_STEP_US);
    cr_assert_eq(world_owned(world, 0), 0);
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 0), 0);
    world_kill(world, 0);
    (void)world_start(world, 0);
    world_run(world, WORLD_SECOND);
    cr_assert_eq(world_owned(world, 0), 17);
    world_free(world);
}

Test(membership_operators, releases_again_what_it_still_owns_while_it_stops)
{
    world_t *world = world_of(1, 16, 1);

    world->nodes[0].replicas[4].stuck = true; /* the release does not get into the log */
    membership_stop(world->nodes[0].membership);
    world_run(world, 2 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 0), 1);
    world->nodes[0].replicas[4].stuck = false;
    world_run(world, 6 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 0), 0);
    world_free(world);
}

Test(membership_operators, drains_a_node_and_admits_it_again)
{
    world_t *world = world_of(3, 16, 1);
    hash_t node = world_id(2), other = world_id(9);
    size_t owned = world_owned(world, 2);
    err_t err;

    cr_assert_eq(membership_drain(world->nodes[0].membership, &other, &err), ERR_NOT_FOUND);
    cr_assert_eq(membership_drain(world->nodes[0].membership, &node, &err), ERR_NONE);
    cr_assert_eq(membership_drain(world->nodes[0].membership, &node, &err), ERR_NONE);
    other = world_id(1);
    cr_assert_eq(membership_drain(world->nodes[0].membership, &other, &err), ERR_IN_PROGRESS);
    world_run(world, WORLD_SECOND);
    cr_assert_eq(world_view(world)->members[world_member(world, 2)].weight, 0);
    world_settle(world, 10 * WORLD_SECOND);
    cr_assert_eq(world_owned(world, 2), 0);
    /* A restart does not undo it. */
    world_kill(world, 2);
    (void)world_start(world, 2);
    world_run(world, 5 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->members[world_member(world, 2)].weight, 0);
    cr_assert_eq(world_owned(world, 2), 0);
    cr_assert_eq(membership_admit(world->nodes[0].membership, &node, &err), ERR_NONE);
    world_run(world, WORLD_SECOND);
    world_settle(world, 10 * WORLD_SECOND);
    cr_assert_leq(owned, world_owned(world, 2) + 1);
    cr_assert_geq(owned + 1, world_owned(world, 2));
    world_free(world);
}

Test(membership_operators, moves_one_partition_to_the_member_that_is_named_and_leaves_it_there)
{
    world_t *world = world_of(3, 16, 1);
    uint64_t epochs = world_epochs(world);
    membership_t *asked = world->nodes[0].membership;
    size_t owner = world_owner(world, 4, NULL, NULL), follower = world_placed(world, 4, 1);
    size_t target = 3 - owner - follower; /* the one that has no copy of it */
    hash_t node = world_id(target);
    err_t err;

    cr_assert_eq(membership_move(asked, 4, &node, &err), ERR_NONE);
    cr_assert_eq(membership_move(asked, 4, &node, &err), ERR_NONE); /* the same again */
    cr_assert_eq(membership_move(asked, 5, &node, &err), ERR_IN_PROGRESS);
    world_run(world, WORLD_SECOND);
    world_settle(world, 5 * WORLD_SECOND);
    cr_assert_eq(world_owner(world, 4, NULL, NULL), target);
    cr_assert_eq(world_placed(world, 4, 1), owner);
    cr_assert_eq(world_epochs(world), epochs + 1); /* once, and nothing else */
    cr_assert_eq(membership_holder(asked, 4), world_member(world, target));
    cr_assert_eq(membership_move(asked, 4, &node, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "already"));
    /* A node joins, one restarts: it stays. */
    (void)world_start(world, 3);
    world_run(world, WORLD_SECOND);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_owner(world, 4, NULL, NULL), target);
    world_kill(world, target);
    world_run(world, 8 * WORLD_SECOND);
    cr_assert_neq(world_owner(world, 4, NULL, NULL), target);
    (void)world_start(world, target);
    world_run(world, WORLD_SECOND);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_owner(world, 4, NULL, NULL), target);
    /* Drained, it is given back, and not taken again when it is admitted. */
    cr_assert_eq(membership_drain(world->nodes[follower].membership, &node, &err), ERR_NONE);
    world_run(world, WORLD_SECOND);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_neq(world_owner(world, 4, NULL, NULL), target);
    cr_assert_eq(membership_move(world->nodes[follower].membership, 4, &node, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "drained"));
    cr_assert_eq(world_view(world)->moved[4], 0);
    world_free(world);
}

Test(membership_operators, moves_nothing_by_hand_to_who_is_away_or_behind_or_unknown)
{
    world_t *world = world_of(3, 16, 1);
    uint64_t number = world_view(world)->number;
    size_t owner = world_owner(world, 4, NULL, NULL), follower = world_placed(world, 4, 1);
    size_t third = 3 - owner - follower;
    membership_t *asked = world->nodes[owner].membership;
    hash_t node = world_id(follower), other = world_id(third), stranger = world_id(9);
    err_t err;

    world->nodes[follower].replicas[4].behind = MEMBERSHIP_CLOSE + 100;
    world_run(world, 3 * WORLD_SECOND);
    cr_assert_eq(membership_move(asked, 4, &node, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "behind"));
    cr_assert_eq(membership_move(asked, 17, &node, &err), ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.text, "0 to 16"));
    cr_assert_eq(membership_move(asked, 4, &stranger, &err), ERR_NOT_FOUND);
    world_kill(world, third);
    world_run(world, 5 * WORLD_SECOND);
    cr_assert_eq(membership_move(asked, 4, &other, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "not heard"));
    world_run(world, 2 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->number, number);
    cr_assert_eq(world_owner(world, 4, NULL, NULL), owner);
    world_free(world);
}

/* Members of an older version could not read such a view. */
Test(membership_operators, moves_nothing_by_hand_while_a_member_is_of_an_older_version)
{
    world_t *world = world_of(2, 16, 1);
    view_t *view = malloc(sizeof *view);
    hash_t node = world_id(world_placed(world, 4, 1));
    err_t err;

    *view = *world_view(world);
    view->number++;
    view->feature = VIEW_FEATURE_MOVES - 1;
    world_write_view(world, view);
    world_run(world, WORLD_STEP_US * 2);
    cr_assert_eq(membership_move(world->nodes[0].membership, 4, &node, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "upgrade"));
    free(view);
    world_free(world);
}

Test(membership_operators, gives_an_admitted_node_its_own_weight)
{
    world_t *world = world_new(16, 1);
    hash_t node = world_id(1);

    world->weight = 300;
    (void)world_start(world, 0);
    (void)world_start(world, 1);
    world_settle(world, 10 * WORLD_SECOND);
    cr_assert_eq(membership_drain(world->nodes[0].membership, &node, NULL), ERR_NONE);
    world_run(world, WORLD_SECOND);
    cr_assert_eq(membership_admit(world->nodes[0].membership, &node, NULL), ERR_NONE);
    world_run(world, WORLD_SECOND);
    cr_assert_eq(world_view(world)->members[world_member(world, 1)].weight, 300);
    world_free(world);
}

Test(membership_operators, does_not_drain_the_last_member_that_takes_partitions)
{
    world_t *world = world_of(2, 16, 1);
    hash_t zero = world_id(0), one = world_id(1);
    err_t err;

    cr_assert_eq(membership_drain(world->nodes[0].membership, &one, &err), ERR_NONE);
    world_run(world, 3 * WORLD_SECOND);
    cr_assert_eq(membership_drain(world->nodes[0].membership, &zero, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "drained"));
    world_kill(world, 0);
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(membership_forget(world->nodes[1].membership, &zero, &err), ERR_STATE);
    world_free(world);
}

Test(membership_operators, forgets_a_dead_node_but_no_living_one)
{
    world_t *world = world_of(3, 16, 1);
    hash_t two = world_id(2), zero = world_id(0);
    err_t err;

    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, &err), ERR_STATE);
    cr_assert_not_null(strstr(err.text, "alive"));
    cr_assert_eq(membership_forget(world->nodes[0].membership, &zero, &err), ERR_STATE);
    world_kill(world, 2);
    world_run(world, 2 * WORLD_SECOND);
    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, &err), ERR_STATE);
    world_run(world, 8 * WORLD_SECOND);
    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, &err), ERR_NONE);
    world_settle(world, 10 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 2);
    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, &err), ERR_NOT_FOUND);
    world_free(world);
}

Test(membership_operators, does_not_forget_a_node_that_is_heard_again_meanwhile)
{
    world_t *world = world_of(3, 16, 1);
    hash_t two = world_id(2);

    world_kill(world, 2);
    world_run(world, 10 * WORLD_SECOND);
    world->nodes[0].mute = true;
    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, NULL), ERR_NONE);
    world_run(world, WORLD_SECOND);
    (void)world_start(world, 2);
    world_run(world, 3 * WORLD_SECOND);
    world->nodes[0].mute = false;
    world_run(world, 5 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 3);
    cr_assert_not_null(strstr(membership_trouble(world->nodes[0].membership), "heard again"));
    world_free(world);
}

Test(membership_operators, claims_at_once_what_a_forgotten_node_owned_alone)
{
    world_t *world = world_of(3, 16, 0); /* no followers: nobody takes over */
    hash_t two = world_id(2);
    size_t lost = world_owned(world, 2);
    int64_t forgotten;

    world_kill(world, 2);
    world_run(world, 20 * WORLD_SECOND);
    /* The catalogue is followed by all, so it alone may have moved. */
    cr_assert_geq(world_owned(world, 2) + 1, lost);
    forgotten = world->now_us;
    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, NULL), ERR_NONE);
    while (world_owned(world, 0) + world_owned(world, 1) < 17) {
        world_run(world, WORLD_STEP_US);
        cr_assert_lt(world->now_us - forgotten, WORLD_SECOND);
    }
    world_free(world);
}

Test(membership_operators, lets_a_forgotten_node_join_again_with_what_it_has)
{
    world_t *world = world_of(3, 16, 1);
    hash_t two = world_id(2);

    world->nodes[2].paused = true;
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(membership_forget(world->nodes[0].membership, &two, NULL), ERR_NONE);
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 2);
    world->nodes[2].paused = false;
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 3);
    cr_assert(!membership_replaced(world->nodes[2].membership));
    world_free(world);
}
