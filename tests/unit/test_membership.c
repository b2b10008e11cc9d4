/* test_membership.c - who belongs to a cluster: joins, restarts, replacements, what others write, what is shown */
#include "protocol/json.h"
#include "tests/unit/membership_world.h"

/* --- joining ------------------------------------------------------------------------------------- */

Test(membership, founds_a_cluster_of_one_and_owns_everything_within_a_second)
{
    world_t *world = world_new(16, 1);
    const view_t *view;

    (void)world_start(world, 0);
    world_run(world, WORLD_SECOND);
    cr_assert(membership_joined(world->nodes[0].membership));
    view = membership_view(world->nodes[0].membership);
    cr_assert_eq(view->number, 1);
    cr_assert_eq(view->partitions, 16);
    cr_assert_eq(view->followers, 1);
    cr_assert_str_eq(view->members[0].address, "10.0.0.1:7001");
    cr_assert_eq(world_owned(world, 0), 17);
    for (uint16_t p = 0; p <= 16; p++) {
        cr_assert_eq(membership_owner(world->nodes[0].membership, p), 0);
        cr_assert_eq(world->logs[p].count, 1); /* one claim each, not more */
    }
    cr_assert_eq(world->control.count, 2);
    cr_assert_null(membership_trouble(world->nodes[0].membership));
    world_free(world);
}

Test(membership, gives_one_view_to_nodes_that_start_all_at_once)
{
    world_t *world = world_of(WORLD_NODES, 64, 1);
    const view_t *view = world_view(world);

    cr_assert_eq(view->member_count, WORLD_NODES);
    for (size_t i = 0; i < WORLD_NODES; i++) {
        const view_t *own = membership_view(world->nodes[i].membership);

        cr_assert_eq(memcmp(own, view, sizeof *view), 0);
        cr_assert_geq(world_owned(world, i), 64 / WORLD_NODES);
        cr_assert_null(membership_trouble(world->nodes[i].membership));
        /* The catalogue is followed by all. */
        cr_assert(world->nodes[i].replicas[64].following);
    }
    world_free(world);
}

Test(membership, takes_the_first_of_two_proposals_and_the_loser_comes_next)
{
    world_t *world = world_of(1, 16, 1);
    world_node_t *one = world_start(world, 1), *two = world_start(world, 2);
    int64_t lost_at;

    /* Both proposals land, one behind the other. */
    one->queueing = two->queueing = true;
    world_run(world, 20 * WORLD_STEP_US);
    cr_assert_geq(one->queued_control.count, 1);
    cr_assert_geq(two->queued_control.count, 1);
    world_flush(two);
    world_flush(one);
    lost_at = world->now_us;
    world_run(world, WORLD_STEP_US * 2);
    cr_assert(membership_joined(two->membership));
    cr_assert(!membership_joined(one->membership));
    cr_assert_eq(membership_view(one->membership)->number, 2);
    while (!membership_joined(one->membership)) {
        world_run(world, WORLD_STEP_US);
        cr_assert_leq(world->now_us - lost_at, WORLD_SECOND * 6 / 10);
    }
    cr_assert_eq(membership_view(one->membership)->number, 3);
    cr_assert_eq(membership_view(one->membership)->member_count, 3);
    world_free(world);
}

Test(membership, proposes_again_when_a_proposal_is_lost)
{
    world_t *world = world_of(1, 16, 1);
    world_node_t *node = world_start(world, 1);
    unsigned published;

    node->mute = true;
    world_run(world, WORLD_SECOND);
    published = node->published;
    cr_assert_eq(published, 1);
    world_run(world, WORLD_SECOND * 9 / 10);
    cr_assert_eq(node->published, 1); /* one outstanding at a time */
    node->mute = false;
    world_run(world, WORLD_SECOND / 2);
    cr_assert(membership_joined(node->membership));
    world_free(world);
}

Test(membership, takes_the_genesis_that_is_there)
{
    world_t *world = world_of(1, 16, 1);
    world_node_t *node;

    world->partitions = 8; /* as the next one is configured */
    world->followers = 0;
    node = world_start(world, 1);
    world->partitions = 16;
    world_run(world, WORLD_SECOND);
    cr_assert(membership_joined(node->membership));
    cr_assert_eq(membership_view(node->membership)->partitions, 16);
    cr_assert_eq(membership_view(node->membership)->followers, 1);
    world_free(world);
}

Test(membership, does_not_propose_before_it_has_read_the_channel)
{
    world_t *world = world_new(16, 1);
    world_node_t *node = world_start(world, 0);

    node->blind = true;
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(node->published, 0);
    world_free(world);
}

Test(membership, does_not_found_a_second_cluster_where_the_first_genesis_is_lost)
{
    world_t *world = world_of(2, 16, 1);
    world_node_t *node;

    node = world_start(world, 2);
    node->read_control = 1; /* the genesis is gone */
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(node->published, 0);
    cr_assert(!membership_joined(node->membership));
    cr_assert_not_null(strstr(membership_trouble(node->membership), "genesis"));
    world_free(world);
}

Test(membership, tells_the_cluster_when_its_address_or_rack_changes)
{
    world_t *world = world_of(2, 16, 1);
    uint64_t number = world_view(world)->number;
    world_node_t *node = &world->nodes[1];
    char address[ADDRESS_BYTES];
    membership_config_t config;

    world_kill(world, 1);
    node->starts++;
    node->incarnation = hash_bytes("moved", 5);
    node->read_control = node->read_liveness = 0;
    memset(node->replicas, 0, sizeof node->replicas);
    config = world_config(node, address);
    config.address = "192.168.1.1:9000";
    config.rack = "cellar";
    config.weight = 50;
    node->membership = membership_new(&config);
    world_run(world, 2 * WORLD_SECOND);
    cr_assert(membership_joined(node->membership));
    cr_assert_eq(world_view(world)->number, number + 1);
    cr_assert_str_eq(world_view(world)->members[world_member(world, 1)].address,
                     "192.168.1.1:9000");
    cr_assert_str_eq(world_view(world)->members[world_member(world, 1)].rack, "cellar");
    cr_assert_eq(world_view(world)->members[world_member(world, 1)].weight, 50);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_lt(world_owned(world, 1), 8);
    world_free(world);
}

Test(membership, takes_the_place_of_a_dead_node_under_its_own_address)
{
    world_t *world = world_of(3, 16, 1);
    world_node_t *node = &world->nodes[5];
    char address[ADDRESS_BYTES];
    membership_config_t config;

    world_kill(world, 1);
    node->starts++;
    node->incarnation = hash_bytes("a new disk", 10);
    config = world_config(node, address);
    config.address = "10.0.0.2:7001"; /* that of number 1 */
    node->membership = membership_new(&config);
    world_run(world, 10 * WORLD_SECOND);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 3);
    cr_assert_eq(world_member(world, 1), SIZE_MAX);
    cr_assert_geq(world_owned(world, 5), 4);
    world_free(world);
}

Test(membership, leaves_a_living_node_under_its_own_address_alone)
{
    world_t *world = world_of(3, 16, 1);
    world_node_t *node = &world->nodes[5];
    char address[ADDRESS_BYTES];
    membership_config_t config;

    node->starts++;
    node->incarnation = hash_bytes("a twin", 6);
    config = world_config(node, address);
    config.address = "10.0.0.2:7001";
    node->membership = membership_new(&config);
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 4);
    cr_assert_neq(world_member(world, 1), SIZE_MAX);
    world_free(world);
}

Test(membership, says_so_when_its_address_cannot_stand_in_a_view)
{
    world_t *world = world_of(1, 16, 1);
    world_node_t *node = &world->nodes[1];
    char address[ADDRESS_BYTES];
    membership_config_t config = world_config(node, address);

    node->incarnation = config.incarnation = hash_bytes("x", 1);
    config.address = "nowhere at all";
    node->membership = membership_new(&config);
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(node->published, 0);
    cr_assert_not_null(strstr(membership_trouble(node->membership), "nowhere at all"));
    world_free(world);
}

Test(membership, does_not_let_in_more_than_fit)
{
    world_t *world = world_of(1, 16, 1);
    view_t *view = malloc(sizeof *view);
    world_node_t *node;
    buffer_t bytes;

    *view = *world_view(world);
    for (unsigned i = 1; i < VIEW_MEMBERS_MAX; i++) {
        view->members[i] = view->members[0];
        view->members[i].node = hash_bytes(&i, sizeof i);
        view->members[i].incarnation = hash_bytes(&i, 1);
        (void)snprintf(view->members[i].address, ADDRESS_BYTES, "10.0.1.%u:7001", i);
    }
    view->member_count = VIEW_MEMBERS_MAX;
    view->number++;
    buffer_init(&bytes, VIEW_BYTES_MAX);
    view_encode(view, &bytes);
    world_append(&world->control, bytes.bytes, bytes.size, world->now_us);
    node = world_start(world, 1);
    world_run(world, 5 * WORLD_SECOND);
    cr_assert_eq(membership_view(node->membership)->member_count, VIEW_MEMBERS_MAX);
    cr_assert(!membership_joined(node->membership));
    cr_assert_not_null(strstr(membership_trouble(node->membership), "cannot join"));
    buffer_free(&bytes);
    free(view);
    world_free(world);
}

/* --- restarts and replacements ------------------------------------------------------------------- */

Test(membership, keeps_the_placement_over_a_restart)
{
    world_t *world = world_of(3, 16, 1);
    view_t *before = malloc(sizeof *before);
    int64_t started;

    *before = *world_view(world);
    world_kill(world, 1);
    world_run(world, WORLD_SECOND);
    (void)world_start(world, 1);
    started = world->now_us;
    while (!world_settled(world)) {
        world_run(world, WORLD_STEP_US);
        cr_assert_lt(world->now_us - started, WORLD_SECOND * 3 / 2);
    }
    cr_assert(!membership_replaced(world->nodes[1].membership));
    cr_assert_eq(world_view(world)->number, before->number + 1);
    cr_assert_eq(memcmp(world_view(world)->copies, before->copies, sizeof before->copies), 0);
    free(before);
    world_free(world);
}

Test(membership, has_everything_back_soon_after_all_nodes_were_killed_at_once)
{
    for (int untold = 0; untold < 2; untold++) {
        world_t *world = world_of(3, 16, 1);
        int64_t started;

        for (size_t i = 0; i < 3; i++)
            world_kill(world, i);
        world->now_us += 100 * WORLD_SECOND;
        for (size_t i = 0; i < 3; i++)
            world_start(world, i)->untold = untold;
        started = world->now_us;
        world_run(world, WORLD_SECOND / 10);
        while (!world_settled(world)) {
            world_run(world, WORLD_STEP_US);
            cr_assert_lt(world->now_us - started, (untold ? 8 : 3) * WORLD_SECOND);
        }
        world_free(world);
    }
}

Test(membership, does_not_claim_at_once_what_it_has_not_read_yet)
{
    world_t *world = world_of(1, 16, 1);

    world_kill(world, 0);
    (void)world_start(world, 0);
    for (uint16_t p = 0; p <= 16; p++)
        world->nodes[0].replicas[p].behind = UINT64_MAX / 2;
    world_run(world, 2 * WORLD_SECOND);
    cr_assert(membership_joined(world->nodes[0].membership));
    cr_assert_eq(world_claims(world), 17); /* those of the first life */
    world_run(world, 3 * WORLD_SECOND);
    cr_assert_gt(world_claims(world), 17);
    world_free(world);
}

Test(membership, stops_a_process_that_another_one_has_replaced)
{
    world_t *world = world_of(2, 16, 1);
    world_node_t *old = &world->nodes[1], *new = &world->nodes[5];
    char address[ADDRESS_BYTES];
    membership_config_t config;
    unsigned published, wishes;

    /* The data directory was copied: a second process with the same node id. */
    new->incarnation = hash_bytes("copy", 4);
    config = world_config(new, address);
    config.node = world_id(1);
    new->membership = membership_new(&config);
    world_run(world, WORLD_SECOND / 2);
    cr_assert(membership_joined(new->membership));
    cr_assert(!membership_replaced(new->membership));
    cr_assert(membership_replaced(old->membership));
    cr_assert(!membership_joined(old->membership));
    cr_assert_not_null(strstr(membership_trouble(old->membership), "replaced"));
    published = old->published;
    wishes = old->wishes;
    world_kill(world, 0);
    world_run(world, 30 * WORLD_SECOND);
    cr_assert_eq(old->published, published);
    cr_assert_eq(old->wishes, wishes);
    world_free(world);
}

Test(membership, does_not_take_its_own_predecessor_for_a_replacement)
{
    world_t *world = world_of(2, 16, 1);

    for (int i = 0; i < 5; i++) {
        world_kill(world, 1);
        (void)world_start(world, 1);
        world_run(world, WORLD_SECOND);
        cr_assert(membership_joined(world->nodes[1].membership));
        cr_assert(!membership_replaced(world->nodes[1].membership));
    }
    world_free(world);
}

/* --- what others write --------------------------------------------------------------------------- */

Test(membership, ignores_garbage_in_both_channels)
{
    world_t *world = world_new(16, 1);
    uint64_t epochs;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            uint8_t bytes[64];
            size_t n = world_number(world) % sizeof bytes;

            world_random(world, bytes, n);
            /* Some begin as records do. */
            if (n > 21 && i % 3 == 0) {
                bytes[0] = (uint8_t)(0x93 + i % 12);
                bytes[1] = CHANNEL_VERSION;
                bytes[2] = (uint8_t)(1 + i % 4);
                bytes[3] = 0xc4;
                bytes[4] = 16;
            }
            world_append(i % 2 == 0 ? &world->control : &world->liveness, bytes, n, world->now_us);
        }
        if (round == 0) {
            (void)world_start(world, 0);
            (void)world_start(world, 1);
            world_settle(world, 10 * WORLD_SECOND);
            epochs = world_epochs(world);
        }
    }
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(world_epochs(world), epochs);
    cr_assert_null(membership_trouble(world->nodes[0].membership));
    /* What is said beside the channels, and where reading breaks off, is nothing either. */
    membership_on_record(world->nodes[0].membership,
                         &(journal_record_t){.partition = JOURNAL_CONTROL, .why = "broke off"},
                         world->now_us, world->now_us);
    membership_on_record(world->nodes[0].membership,
                         &(journal_record_t){.partition = 3,
                                             .bytes = world->control.records[0].bytes,
                                             .n = world->control.records[0].n},
                         world->now_us, world->now_us);
    cr_assert(world_settled(world));
    world_free(world);
}

Test(membership, ignores_views_that_do_not_follow_or_are_none)
{
    world_t *world = world_of(2, 16, 1);
    view_t *view = malloc(sizeof *view);
    uint64_t number = world_view(world)->number;

    *view = *world_view(world); /* the same number */
    view->members[0].weight = 7;
    world_write_view(world, view);
    view->number = number + 2; /* one too far */
    world_write_view(world, view);
    view->number = number + 1;
    view->cluster = hash_bytes("another", 7);
    world_write_view(world, view);
    view->cluster = world_view(world)->cluster;
    view->copies[3][0] = VIEW_NOBODY; /* nobody owns a partition */
    view->copies[3][1] = VIEW_NOBODY;
    world_write_view(world, view);
    *view = *world_view(world);
    view->number++;
    view->partitions = 8;
    world_write_view(world, view);
    world_run(world, 3 * WORLD_SECOND);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(membership_view(world->nodes[i].membership)->number, number);
        cr_assert_eq(membership_view(world->nodes[i].membership)->members[0].weight, 100);
        cr_assert_null(membership_trouble(world->nodes[i].membership));
    }
    free(view);
    world_free(world);
}

Test(membership, stops_claiming_when_the_cluster_speaks_a_newer_version)
{
    world_t *world = world_of(2, 16, 1);
    const world_record_t *newest = &world->control.records[world->control.count - 1];
    world_record_t newer = *newest;
    unsigned claims;
    hash_t one = world_id(1);

    newer.bytes = memory_alloc(newest->n);
    memcpy(newer.bytes, newest->bytes, newest->n);
    newer.bytes[1] = VIEW_VERSION + 1;
    world_append(&world->control, newer.bytes, newer.n, world->now_us);
    free(newer.bytes);
    world_run(world, WORLD_SECOND);
    claims = world_claims(world);
    cr_assert_not_null(strstr(membership_trouble(world->nodes[0].membership), "upgrade"));
    cr_assert_eq(membership_drain(world->nodes[0].membership, &one, NULL), ERR_STATE);
    world_kill(world, 1);
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_claims(world), claims);
    world_free(world);
}

Test(membership, stops_claiming_above_its_feature_level)
{
    world_t *world = world_of(2, 16, 1);
    view_t *view = malloc(sizeof *view);
    char level[32];
    unsigned claims;

    (void)snprintf(level, sizeof level, "feature level %d", VIEW_FEATURE_LEVEL + 1);
    *view = *world_view(world);
    view->number++;
    view->feature = VIEW_FEATURE_LEVEL + 1;
    world_write_view(world, view);
    world_run(world, WORLD_SECOND);
    claims = world_claims(world);
    cr_assert_eq(membership_view(world->nodes[0].membership)->number, view->number);
    cr_assert_not_null(strstr(membership_trouble(world->nodes[0].membership), level));
    world_kill(world, 1);
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_claims(world), claims);
    free(view);
    world_free(world);
}

Test(membership, stays_out_of_a_cluster_with_another_rule_for_partitions)
{
    world_t *world = world_new(16, 1);
    founding_t founding = {hash_bytes("c", 1), 16, 1, CHANNEL_HASH_VERSION + 1};
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_GENESIS_BYTES_MAX);
    founding_encode(&founding, &bytes);
    world_append(&world->control, bytes.bytes, bytes.size, world->now_us);
    (void)world_start(world, 0);
    world_run(world, 10 * WORLD_SECOND);
    cr_assert_eq(world->nodes[0].published, 0);
    cr_assert_not_null(strstr(membership_trouble(world->nodes[0].membership), "upgrade"));
    buffer_free(&bytes);
    world_free(world);
}

Test(membership, gives_no_ear_to_heartbeats_of_others)
{
    world_t *world = world_of(2, 16, 1);
    liveness_t *beat = calloc(1, sizeof *beat);
    uint64_t epochs = world_epochs(world);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    for (int i = 0; i < 400; i++) {
        int64_t name = i;

        /* Of another cluster; of nodes that are no members; of a second process of a member. */
        beat->cluster = i % 3 == 0 ? hash_bytes("other", 5) : world_view(world)->cluster;
        beat->node = i % 3 == 1 ? hash_bytes(&name, sizeof name) : world_id((size_t)i % 2);
        beat->incarnation = hash_bytes("incarnation", 11);
        beat->number = (uint64_t)i + 1;
        beat->partitions = 16;
        for (uint16_t p = 0; p <= 16; p++) {
            channel_bit_set(beat->owned, p);
            beat->epochs[p] = 1000;
        }
        buffer_reset(&bytes);
        liveness_encode(beat, &bytes);
        world_append(&world->liveness, bytes.bytes, bytes.size, world->now_us);
    }
    world_run(world, 20 * WORLD_SECOND);
    cr_assert_eq(world_epochs(world), epochs);
    cr_assert(world_settled(world));
    cr_assert(membership_alive(world->nodes[0].membership, world_member(world, 1)));
    buffer_free(&bytes);
    free(beat);
    world_free(world);
}

/* --- what it shows ------------------------------------------------------------------------------- */

Test(membership, knows_how_far_its_clock_is_off_the_logs)
{
    world_t *world = world_of(2, 16, 1);

    cr_assert_eq(membership_clock_off_us(world->nodes[1].membership), 0);
    world->nodes[1].clock_off_us = -75 * WORLD_SECOND;
    world_run(world, 2 * WORLD_SECOND);
    cr_assert_eq(membership_clock_off_us(world->nodes[1].membership), -75 * WORLD_SECOND);
    cr_assert_eq(membership_clock_off_us(world->nodes[0].membership), 0);
    cr_assert(membership_heard_self(world->nodes[1].membership, world->now_us));
    cr_assert(!membership_heard_self(world->nodes[1].membership, world->now_us + 5 * WORLD_SECOND));
    world_free(world);
}

Test(membership, knows_who_is_alive_and_who_owns_what_elsewhere)
{
    world_t *world = world_of(4, 16, 1);
    const membership_t *one = world->nodes[1].membership;

    for (uint16_t p = 0; p <= 16; p++) {
        size_t owner = membership_owner(one, p);

        cr_assert_eq(world_number_of(world, &world_view(world)->members[owner].node),
                     world_owner(world, p, NULL, NULL));
    }
    cr_assert_eq(membership_owner(one, 17), SIZE_MAX);
    for (size_t i = 0; i < 4; i++)
        cr_assert(membership_alive(one, i));
    cr_assert(!membership_alive(one, 4));
    world_kill(world, 0);
    world_run(world, 5 * WORLD_SECOND);
    for (size_t i = 0; i < 4; i++) {
        hash_t gone = world_id(0);

        cr_assert_eq(membership_alive(one, i),
                     !hash_equal(&world_view(world)->members[i].node, &gone));
    }
    /* By heartbeats, not by the view: the dead one's are shown where they are now. */
    for (uint16_t p = 0; p <= 16; p++) {
        size_t owner = membership_owner(one, p);

        cr_assert_neq(world_number_of(world, &world_view(world)->members[owner].node), 0);
    }
    world_free(world);
}

Test(membership, writes_its_status_as_json)
{
    world_t *world = world_of(3, 16, 1);
    buffer_t out;
    arena_t arena;
    json_t *root = NULL;
    const json_t *list, *first;
    membership_t *young;
    err_t err = {0};

    buffer_init(&out, 1 << 20);
    arena_init(&arena, 1 << 22);
    membership_status(world->nodes[1].membership, &out);
    cr_assert(!out.failed);
    cr_assert_eq(json_parse(&root, &arena, (const char *)out.bytes, out.size, &err), ERR_NONE, "%s",
                 err.text);
    list = json_member(root, "members");
    cr_assert_eq(list->count, 3);
    for (const json_t *at = list->child; at != NULL; at = at->next) {
        cr_assert_eq(json_member(at, "alive")->type, JSON_TRUE);
        cr_assert_eq(json_member(at, "node")->text_bytes, 32);
        cr_assert_neq(json_member(at, "owned")->text[0], '0');
    }
    list = json_member(root, "partition_list");
    cr_assert_eq(list->count, 17);
    for (first = list->child; first != NULL; first = first->next) {
        const json_t *owner = json_member(first, "owner");
        const json_t *wanted = json_member(first, "view_owner");

        cr_assert_eq(owner->type, JSON_STRING);
        cr_assert_eq(owner->text_bytes, wanted->text_bytes);
        cr_assert_eq(memcmp(owner->text, wanted->text, owner->text_bytes), 0);
        cr_assert_eq(json_member(first, "followers")->count, 1);
        cr_assert_eq(json_member(json_member(first, "followers")->child, "ready")->type, JSON_TRUE);
    }
    cr_assert_eq(json_member(root, "trouble")->type, JSON_NULL);
    arena_reset(&arena);
    buffer_reset(&out);
    young = world_start(world, 7)->membership;
    membership_status(young, &out);
    cr_assert_eq(json_parse(&root, &arena, (const char *)out.bytes, out.size, &err), ERR_NONE);
    cr_assert_eq(json_member(root, "members")->count, 0);
    arena_free(&arena);
    buffer_free(&out);
    world_free(world);
}

Test(membership, is_quiet_at_rest)
{
    world_t *world = world_of(3, 64, 1);
    size_t control = world->control.count, liveness = world->liveness.count;
    unsigned wishes = 0;

    for (size_t i = 0; i < 3; i++)
        wishes += world->nodes[i].wishes;
    world_run(world, 60 * WORLD_SECOND);
    cr_assert_eq(world->control.count, control);
    cr_assert_leq(world->liveness.count, liveness + 3 * 61);
    for (size_t i = 0; i < 3; i++)
        wishes -= world->nodes[i].wishes;
    cr_assert_eq(wishes, 0);
    world_free(world);
}
