/* test_membership.c - several memberships over one log in memory: who joins, who claims, who waits
 *
 * A world is a control channel, a liveness channel and one log of claims and releases per partition; nodes read and write
 * them at steps of 10 ms. The logs accept a claim as record_judge does: when it names the epoch before it.
 */
#include "cluster/channel_records.h"
#include "cluster/membership.h"
#include "protocol/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_NODES      12
#define WORLD_PARTITIONS 65
#define WORLD_STEP_US    INT64_C(10000)
#define WORLD_SECOND     INT64_C(1000000)

typedef struct {
    uint8_t *bytes; /* owned */
    size_t n;
    int64_t log_time_us;
} world_record_t;

typedef struct {
    world_record_t *records; /* owned */
    size_t count, capacity;
} world_channel_t;

typedef struct {
    bool claim; /* else a release */
    size_t node;
    hash_t incarnation;
    uint64_t epoch;
    int64_t at_us;
} world_entry_t;

typedef struct {
    world_entry_t *entries; /* owned */
    size_t count, capacity;
} world_log_t;

typedef struct {
    bool following;
    bool stuck;
    uint64_t behind; /* told beside what is really unread */
    size_t read;
    uint64_t epoch;
    hash_t owner;
    bool released;
} world_replica_t;

typedef struct world world_t;

typedef struct {
    world_t *world;
    size_t number;
    membership_t *membership; /* owned; NULL: not running */
    hash_t incarnation;
    unsigned starts;
    bool paused;   /* the process stands still */
    bool deaf;     /* reads no heartbeats */
    bool blind;    /* reads no channel at all */
    bool mute;     /* what it publishes is lost */
    bool queueing; /* what it publishes waits in the node */
    bool untold;   /* replicas do not say whose claim they read */
    int64_t clock_off_us;
    size_t read_control, read_liveness;
    world_channel_t queued_control, queued_liveness;
    unsigned claims, wishes, published;
    bool unfollowed[WORLD_PARTITIONS];
    world_replica_t replicas[WORLD_PARTITIONS];
} world_node_t;

struct world {
    int64_t now_us;
    uint64_t random;
    uint16_t partitions;
    uint8_t followers;
    uint32_t weight;
    world_channel_t control, liveness;
    world_log_t logs[WORLD_PARTITIONS];
    world_node_t nodes[WORLD_NODES];
    unsigned claims; /* accepted */
};

static void world_random(void *state, void *bytes, size_t n)
{
    world_t *world = state;

    for (size_t i = 0; i < n; i++) {
        world->random =
            world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)bytes)[i] = (uint8_t)(world->random >> 40);
    }
}

static uint32_t world_number(world_t *world)
{
    uint32_t number;

    world_random(world, &number, sizeof number);
    return number;
}

static void world_append(world_channel_t *channel, const void *bytes, size_t n, int64_t at_us)
{
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity * 2 + 16;
        channel->records =
            memory_realloc(channel->records, channel->capacity * sizeof *channel->records);
    }
    channel->records[channel->count] = (world_record_t){memory_alloc(n + 1), n, at_us};
    memcpy(channel->records[channel->count++].bytes, bytes, n);
}

static void world_log(world_t *world, uint16_t partition, world_entry_t entry)
{
    world_log_t *log = &world->logs[partition];

    if (log->count == log->capacity) {
        log->capacity = log->capacity * 2 + 16;
        log->entries = memory_realloc(log->entries, log->capacity * sizeof *log->entries);
    }
    log->entries[log->count++] = entry;
}

static void world_figures(void *state, uint16_t partition, membership_partition_t *out)
{
    const world_node_t *node = state;
    const world_replica_t *replica = &node->replicas[partition];

    if (!replica->following)
        return;
    out->epoch = replica->epoch;
    out->released = replica->epoch > 0 && replica->released;
    out->owned =
        replica->epoch > 0 && !replica->released && hash_equal(&replica->owner, &node->incarnation);
    out->stuck = replica->stuck;
    out->behind = replica->behind + (node->world->logs[partition].count - replica->read);
    if (!out->released && !node->untold)
        out->owner = replica->owner;
}

static world_t *world_new(uint16_t partitions, uint8_t followers)
{
    world_t *world = calloc(1, sizeof *world);

    cr_assert(world != NULL);
    world->now_us = INT64_C(1000) * WORLD_SECOND;
    world->random = 42;
    world->partitions = partitions;
    world->followers = followers;
    world->weight = 100;
    for (size_t i = 0; i < WORLD_NODES; i++)
        world->nodes[i] = (world_node_t){.world = world, .number = i};
    return world;
}

static void world_channel_free(world_channel_t *channel)
{
    for (size_t i = 0; i < channel->count; i++)
        free(channel->records[i].bytes);
    free(channel->records);
    *channel = (world_channel_t){.count = 0};
}

static void world_free(world_t *world)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        membership_destroy(&world->nodes[i].membership);
        world_channel_free(&world->nodes[i].queued_control);
        world_channel_free(&world->nodes[i].queued_liveness);
    }
    world_channel_free(&world->control);
    world_channel_free(&world->liveness);
    for (size_t p = 0; p < WORLD_PARTITIONS; p++)
        free(world->logs[p].entries);
    free(world);
}

static hash_t world_id(size_t number)
{
    return hash_bytes(&number, sizeof number);
}

static membership_config_t world_config(world_node_t *node, char address[ADDRESS_BYTES],
                                        random_source_t *random)
{
    *random = (random_source_t){world_random, node->world};
    (void)snprintf(address, ADDRESS_BYTES, "10.0.0.%zu:7001", node->number + 1);
    return (membership_config_t){.node = world_id(node->number),
                                 .incarnation = node->incarnation,
                                 .address = address,
                                 .weight = node->world->weight,
                                 .partitions = node->world->partitions,
                                 .followers = node->world->followers,
                                 .random = random,
                                 .partition = world_figures,
                                 .state = node};
}

static random_source_t world_sources[WORLD_NODES];

/* A process: what it followed before is told by the store, so it follows nothing until it is asked to. */
static world_node_t *world_start(world_t *world, size_t number)
{
    world_node_t *node = &world->nodes[number];
    uint64_t identity[2] = {number, ++node->starts};
    char address[ADDRESS_BYTES];
    membership_config_t config;

    cr_assert(node->membership == NULL);
    node->incarnation = hash_bytes(identity, sizeof identity);
    node->read_control = node->read_liveness = 0;
    node->paused = false;
    memset(node->replicas, 0, sizeof node->replicas);
    config = world_config(node, address, &world_sources[number]);
    node->membership = membership_new(&config);
    return node;
}

static void world_kill(world_t *world, size_t number)
{
    membership_destroy(&world->nodes[number].membership);
    world_channel_free(&world->nodes[number].queued_control);
    world_channel_free(&world->nodes[number].queued_liveness);
}

static void world_read_channel(world_node_t *node, const world_channel_t *channel, uint16_t name,
                               size_t *read)
{
    world_t *world = node->world;

    for (; *read < channel->count; (*read)++) {
        const world_record_t *record = &channel->records[*read];
        const journal_record_t given = {.partition = name,
                                        .bytes = record->bytes,
                                        .n = record->n,
                                        .offset = *read,
                                        .log_time_us = record->log_time_us};

        membership_on_record(node->membership, &given, world->now_us + node->clock_off_us,
                             world->now_us);
    }
}

static void world_read_log(world_node_t *node, uint16_t partition)
{
    world_replica_t *replica = &node->replicas[partition];
    const world_log_t *log = &node->world->logs[partition];

    for (; replica->read < log->count; replica->read++) {
        const world_entry_t *entry = &log->entries[replica->read];

        if (entry->claim && entry->epoch == replica->epoch + 1) {
            replica->epoch++;
            replica->owner = entry->incarnation;
            replica->released = false;
        } else if (!entry->claim && hash_equal(&entry->incarnation, &replica->owner)) {
            replica->released = true;
        }
    }
}

static void world_obey(world_node_t *node, membership_wish_t wish, uint16_t partition)
{
    world_replica_t *replica = &node->replicas[partition];
    world_t *world = node->world;
    world_entry_t entry = {.node = node->number,
                           .incarnation = node->incarnation,
                           .epoch = replica->epoch + 1,
                           .at_us = world->now_us};

    node->wishes++;
    cr_assert_leq(partition, world->partitions);
    switch (wish) {
    case MEMBERSHIP_FOLLOW: replica->following = true; break;
    case MEMBERSHIP_UNFOLLOW:
        cr_assert(replica->following);
        *replica = (world_replica_t){.following = false};
        node->unfollowed[partition] = true;
        break;
    case MEMBERSHIP_CLAIM:
        cr_assert(replica->following);
        node->claims++;
        entry.claim = true;
        if (!replica->stuck)
            world_log(world, partition, entry);
        break;
    case MEMBERSHIP_RELEASE:
        cr_assert(replica->following);
        if (!replica->stuck)
            world_log(world, partition, entry);
        break;
    }
}

static void world_publish(world_node_t *node, uint16_t channel, const buffer_t *bytes)
{
    world_t *world = node->world;
    bool control = channel == JOURNAL_CONTROL;
    world_channel_t *to = control ? &world->control : &world->liveness;

    cr_assert(control || channel == JOURNAL_LIVENESS);
    node->published++;
    if (node->mute)
        return;
    if (node->queueing)
        to = control ? &node->queued_control : &node->queued_liveness;
    world_append(to, bytes->bytes, bytes->size, world->now_us);
}

/* What waited in a node gets into the log, with the log's time of now. */
static void world_flush(world_node_t *node)
{
    world_t *world = node->world;

    for (size_t i = 0; i < node->queued_control.count; i++)
        world_append(&world->control, node->queued_control.records[i].bytes,
                     node->queued_control.records[i].n, world->now_us);
    for (size_t i = 0; i < node->queued_liveness.count; i++)
        world_append(&world->liveness, node->queued_liveness.records[i].bytes,
                     node->queued_liveness.records[i].n, world->now_us);
    world_channel_free(&node->queued_control);
    world_channel_free(&node->queued_liveness);
    node->queueing = false;
}

static void world_turn(world_node_t *node)
{
    world_t *world = node->world;
    membership_wish_t wish;
    uint16_t partition, channel;
    buffer_t bytes;

    if (node->membership == NULL || node->paused)
        return;
    if (!node->blind) {
        world_read_channel(node, &world->control, JOURNAL_CONTROL, &node->read_control);
        membership_caught_up(node->membership);
        if (!node->deaf)
            world_read_channel(node, &world->liveness, JOURNAL_LIVENESS, &node->read_liveness);
        for (uint16_t p = 0; p <= world->partitions; p++) {
            if (node->replicas[p].following)
                world_read_log(node, p);
        }
    }
    membership_on_tick(node->membership, world->now_us + node->clock_off_us, world->now_us);
    buffer_init(&bytes, RECORD_BYTES_MAX);
    while (membership_next_record(node->membership, &channel, &bytes))
        world_publish(node, channel, &bytes);
    buffer_free(&bytes);
    while (membership_next_wish(node->membership, &wish, &partition))
        world_obey(node, wish, partition);
}

static void world_run(world_t *world, int64_t us)
{
    for (int64_t end = world->now_us + us; world->now_us < end; world->now_us += WORLD_STEP_US) {
        size_t first = world_number(world) % WORLD_NODES;

        for (size_t i = 0; i < WORLD_NODES; i++)
            world_turn(&world->nodes[(first + i) % WORLD_NODES]);
    }
}

/* The log's own word: node that owns a partition, SIZE_MAX: nobody. */
static size_t world_owner(const world_t *world, uint16_t partition, uint64_t *epoch_p,
                          int64_t *since_us)
{
    const world_log_t *log = &world->logs[partition];
    uint64_t epoch = 0;
    size_t owner = SIZE_MAX;
    hash_t incarnation = {{0}};

    for (size_t i = 0; i < log->count; i++) {
        const world_entry_t *entry = &log->entries[i];

        if (entry->claim && entry->epoch == epoch + 1) {
            epoch++;
            owner = entry->node;
            incarnation = entry->incarnation;
            if (since_us != NULL)
                *since_us = entry->at_us;
        } else if (!entry->claim && hash_equal(&entry->incarnation, &incarnation)) {
            owner = SIZE_MAX;
        }
    }
    if (epoch_p != NULL)
        *epoch_p = epoch;
    return owner;
}

static uint64_t world_epochs(const world_t *world)
{
    uint64_t all = 0, epoch;

    for (uint16_t p = 0; p <= world->partitions; p++) {
        (void)world_owner(world, p, &epoch, NULL);
        all += epoch;
    }
    return all;
}

static unsigned world_claims(const world_t *world)
{
    unsigned claims = 0;

    for (size_t i = 0; i < WORLD_NODES; i++)
        claims += world->nodes[i].claims;
    return claims;
}

static const view_t *world_view(const world_t *world)
{
    const view_t *newest = NULL;

    for (size_t i = 0; i < WORLD_NODES; i++) {
        const view_t *view =
            world->nodes[i].membership != NULL ? membership_view(world->nodes[i].membership) : NULL;

        if (view != NULL && (newest == NULL || view->number > newest->number))
            newest = view;
    }
    return newest;
}

static size_t world_number_of(const world_t *world, const hash_t *node)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        hash_t id = world_id(i);

        if (hash_equal(&id, node))
            return i;
    }
    (void)world;
    return SIZE_MAX;
}

/* Node that the newest view wants to own a partition (rank 0), or to follow it. */
static size_t world_placed(const world_t *world, uint16_t partition, size_t rank)
{
    const view_t *view = world_view(world);
    uint8_t copy = view->copies[partition][rank];

    return copy == VIEW_NOBODY ? SIZE_MAX : world_number_of(world, &view->members[copy].node);
}

/* Index of a node in the newest view. */
static size_t world_member(const world_t *world, size_t number)
{
    hash_t node = world_id(number);

    return view_member(world_view(world), &node);
}

/* All running nodes are in one view, and every partition is owned by the node that the view wants. */
static bool world_settled(const world_t *world)
{
    const view_t *view = world_view(world);

    if (view == NULL)
        return false;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        const membership_t *membership = world->nodes[i].membership;

        if (membership != NULL &&
            (!membership_joined(membership) || membership_view(membership)->number != view->number))
            return false;
    }
    for (uint16_t p = 0; p <= world->partitions; p++) {
        if (world_owner(world, p, NULL, NULL) != world_placed(world, p, 0))
            return false;
    }
    return true;
}

static void world_settle(world_t *world, int64_t within_us)
{
    int64_t end = world->now_us + within_us;

    while (!world_settled(world)) {
        cr_assert_lt(world->now_us, end, "not settled in time");
        world_run(world, WORLD_STEP_US);
    }
    /* What heartbeats say follows within a second. */
    world_run(world, 2 * WORLD_SECOND);
    cr_assert(world_settled(world));
}

static world_t *world_of(size_t nodes, uint16_t partitions, uint8_t followers)
{
    world_t *world = world_new(partitions, followers);

    for (size_t i = 0; i < nodes; i++)
        (void)world_start(world, i);
    world_settle(world, 60 * WORLD_SECOND);
    return world;
}

static size_t world_owned(const world_t *world, size_t node)
{
    size_t owned = 0;

    for (uint16_t p = 0; p <= world->partitions; p++)
        owned += world_owner(world, p, NULL, NULL) == node;
    return owned;
}

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
    config = world_config(node, address, &world_sources[1]);
    config.address = "192.168.1.1:9000";
    config.rack = "cellar";
    config.weight = 50;
    node->membership = membership_new(&config);
    world_run(world, 2 * WORLD_SECOND);
    cr_assert(membership_joined(node->membership));
    cr_assert_eq(world_view(world)->number, number + 1);
    cr_assert_str_eq(world_view(world)->members[world_member(world, 1)].address, "192.168.1.1:9000");
    cr_assert_str_eq(world_view(world)->members[world_member(world, 1)].rack, "cellar");
    cr_assert_eq(world_view(world)->members[world_member(world, 1)].weight, 50);
    world_settle(world, 20 * WORLD_SECOND);
    cr_assert_lt(world_owned(world, 1), 8);
    world_free(world);
}

Test(membership, says_so_when_its_address_cannot_stand_in_a_view)
{
    world_t *world = world_of(1, 16, 1);
    world_node_t *node = &world->nodes[1];
    char address[ADDRESS_BYTES];
    membership_config_t config = world_config(node, address, &world_sources[1]);

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

Test(membership, stops_a_process_that_another_one_has_replaced)
{
    world_t *world = world_of(2, 16, 1);
    world_node_t *old = &world->nodes[1], *new = &world->nodes[5];
    char address[ADDRESS_BYTES];
    membership_config_t config;
    unsigned published, wishes;

    /* The data directory was copied: a second process with the same node id. */
    new->incarnation = hash_bytes("copy", 4);
    config = world_config(new, address, &world_sources[5]);
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

/* --- take-over ----------------------------------------------------------------------------------- */

Test(membership, claims_what_a_dead_node_owned_after_three_silent_heartbeats_and_its_rank)
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

Test(membership, lets_the_second_follower_claim_when_the_first_one_is_dead_too)
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

Test(membership, claims_nothing_while_its_own_heartbeats_do_not_come_back)
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

Test(membership, claims_nothing_from_a_log_that_was_silent_from_the_start)
{
    world_t *world = world_new(16, 1);

    for (size_t i = 0; i < 3; i++)
        world_start(world, i)->deaf = true;
    world_run(world, 100 * WORLD_SECOND);
    cr_assert_eq(world_view(world)->member_count, 3);
    cr_assert_eq(world_claims(world), 0);
    world_free(world);
}

Test(membership, takes_over_nothing_after_an_outage_of_the_log_for_all)
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
Test(membership, takes_over_nothing_when_heartbeats_of_an_outage_land_all_at_once)
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

Test(membership, does_not_count_a_heartbeat_twice)
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

Test(membership, takes_old_heartbeats_for_history_and_not_for_life)
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

Test(membership, takes_over_one_partition_that_its_owner_names_as_stuck)
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

Test(membership, does_not_take_over_a_stuck_partition_when_it_is_stuck_itself)
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

Test(membership, lets_a_follower_that_is_near_go_before_one_that_is_far_behind)
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

Test(membership, lets_a_follower_that_is_far_behind_claim_when_it_is_the_only_one)
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

Test(membership, does_not_claim_back_what_a_paused_node_lost)
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

Test(membership, waits_for_a_stranger_who_has_just_claimed)
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

Test(membership, moves_to_a_new_node_what_the_view_gives_it_and_nothing_twice)
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

Test(membership, moves_a_few_partitions_at_a_time)
{
    world_t *world = world_of(1, 64, 0);
    world_node_t *node;

    node = world_start(world, 1);
    for (int step = 0; step < 1000; step++) {
        size_t free_ones = 0;

        world_run(world, WORLD_STEP_US);
        for (uint16_t p = 0; p <= 64; p++)
            free_ones += world_owner(world, p, NULL, NULL) == SIZE_MAX;
        cr_assert_leq(free_ones, MEMBERSHIP_MOVES);
    }
    cr_assert(membership_joined(node->membership));
    cr_assert(world_settled(world));
    world_free(world);
}

Test(membership, moves_nothing_to_a_node_that_is_not_near)
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

Test(membership, stops_following_only_what_the_views_owner_owns)
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

Test(membership, gives_a_released_partition_to_a_follower_when_the_views_owner_is_gone)
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

/* --- stop, drain, forget ------------------------------------------------------------------------- */

Test(membership, hands_over_at_once_when_a_node_stops_and_gives_back_when_it_returns)
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

Test(membership, stops_alone_without_waiting_for_anybody)
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

Test(membership, releases_again_what_it_still_owns_while_it_stops)
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

Test(membership, drains_a_node_and_admits_it_again)
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

Test(membership, gives_an_admitted_node_its_own_weight)
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

Test(membership, does_not_drain_the_last_member_that_takes_partitions)
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

Test(membership, forgets_a_dead_node_but_no_living_one)
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

Test(membership, claims_at_once_what_a_forgotten_node_owned_alone)
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

Test(membership, lets_a_forgotten_node_join_again_with_what_it_has)
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

/* --- what others write --------------------------------------------------------------------------- */

static void world_write_view(world_t *world, const view_t *view)
{
    buffer_t bytes;

    buffer_init(&bytes, VIEW_BYTES_MAX);
    view_encode(view, &bytes);
    cr_assert(!bytes.failed);
    world_append(&world->control, bytes.bytes, bytes.size, world->now_us);
    buffer_free(&bytes);
}

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
    newer.bytes[1] = CHANNEL_VERSION + 1;
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
    unsigned claims;

    *view = *world_view(world);
    view->number++;
    view->feature = VIEW_FEATURE_LEVEL + 1;
    world_write_view(world, view);
    world_run(world, WORLD_SECOND);
    claims = world_claims(world);
    cr_assert_eq(membership_view(world->nodes[0].membership)->number, view->number);
    cr_assert_not_null(strstr(membership_trouble(world->nodes[0].membership), "feature level 2"));
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

/* --- storms -------------------------------------------------------------------------------------- */

/* Nodes are killed, started, paused, made deaf and mute at random; then all is well again. The cluster must settle, own
 * every partition where the view wants it, and be quiet. Views never went back, nor was a number given twice. */
Test(membership, settles_after_any_storm)
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

Test(membership, stands_nodes_that_come_and_go_all_the_time)
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
