/* membership_world.h - several memberships over one log in memory, for tests
 *
 * Contract   A world is a control channel, a liveness channel and one log of claims and releases per partition; nodes read
 *            and write them at steps of 10 ms, in an order that changes. The logs accept a claim as record_judge does:
 *            when it names the epoch before it. Nodes can be killed, started, paused, and cut off in several ways.
 * Threads    One.
 * Ownership  world_free frees all.
 * Units      Microseconds.
 * Errors     The test fails.
 */
#ifndef FEALTY_MEMBERSHIP_WORLD_H
#define FEALTY_MEMBERSHIP_WORLD_H

#include "cluster/channel_records.h"
#include "cluster/membership.h"

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
    random_source_t source;
    hash_t incarnation;
    unsigned starts;
    bool paused;   /* the process stands still */
    bool deaf;     /* reads no heartbeats */
    bool blind;    /* reads no channel at all */
    bool slow;     /* reads no views */
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

static inline void world_random(void *state, void *bytes, size_t n)
{
    world_t *world = state;

    for (size_t i = 0; i < n; i++) {
        world->random =
            world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)bytes)[i] = (uint8_t)(world->random >> 40);
    }
}

static inline uint32_t world_number(world_t *world)
{
    uint32_t number;

    world_random(world, &number, sizeof number);
    return number;
}

static inline void world_append(world_channel_t *channel, const void *bytes, size_t n,
                                int64_t at_us)
{
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity * 2 + 16;
        channel->records =
            memory_realloc(channel->records, channel->capacity * sizeof *channel->records);
    }
    channel->records[channel->count] = (world_record_t){memory_alloc(n + 1), n, at_us};
    memcpy(channel->records[channel->count++].bytes, bytes, n);
}

static inline void world_log(world_t *world, uint16_t partition, world_entry_t entry)
{
    world_log_t *log = &world->logs[partition];

    if (log->count == log->capacity) {
        log->capacity = log->capacity * 2 + 16;
        log->entries = memory_realloc(log->entries, log->capacity * sizeof *log->entries);
    }
    log->entries[log->count++] = entry;
}

static inline void world_figures(void *state, uint16_t partition, membership_partition_t *out)
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

static inline world_t *world_new(uint16_t partitions, uint8_t followers)
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

static inline void world_channel_free(world_channel_t *channel)
{
    for (size_t i = 0; i < channel->count; i++)
        free(channel->records[i].bytes);
    free(channel->records);
    *channel = (world_channel_t){.count = 0};
}

static inline void world_free(world_t *world)
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

static inline hash_t world_id(size_t number)
{
    return hash_bytes(&number, sizeof number);
}

static inline membership_config_t world_config(world_node_t *node, char address[ADDRESS_BYTES])
{
    node->source = (random_source_t){world_random, node->world};
    (void)snprintf(address, ADDRESS_BYTES, "10.0.0.%zu:7001", node->number + 1);
    return (membership_config_t){.node = world_id(node->number),
                                 .incarnation = node->incarnation,
                                 .address = address,
                                 .weight = node->world->weight,
                                 .partitions = node->world->partitions,
                                 .followers = node->world->followers,
                                 .random = &node->source,
                                 .partition = world_figures,
                                 .state = node};
}

/* A process: what it followed before is told by the store, so it follows nothing until it is asked to. */
static inline world_node_t *world_start(world_t *world, size_t number)
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
    config = world_config(node, address);
    node->membership = membership_new(&config);
    return node;
}

static inline void world_kill(world_t *world, size_t number)
{
    membership_destroy(&world->nodes[number].membership);
    world_channel_free(&world->nodes[number].queued_control);
    world_channel_free(&world->nodes[number].queued_liveness);
}

static inline void world_read_channel(world_node_t *node, const world_channel_t *channel,
                                      uint16_t name, size_t *read)
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

static inline void world_read_log(world_node_t *node, uint16_t partition)
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

static inline void world_obey(world_node_t *node, membership_wish_t wish, uint16_t partition)
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

static inline void world_publish(world_node_t *node, uint16_t channel, const buffer_t *bytes)
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
static inline void world_flush(world_node_t *node)
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

static inline void world_turn(world_node_t *node)
{
    world_t *world = node->world;
    membership_wish_t wish;
    uint16_t partition, channel;
    buffer_t bytes;

    if (node->membership == NULL || node->paused)
        return;
    if (!node->blind) {
        if (!node->slow)
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

static inline void world_run(world_t *world, int64_t us)
{
    for (int64_t end = world->now_us + us; world->now_us < end; world->now_us += WORLD_STEP_US) {
        size_t begin = world_number(world) % WORLD_NODES;

        for (size_t i = 0; i < WORLD_NODES; i++)
            world_turn(&world->nodes[(begin + i) % WORLD_NODES]);
    }
}

/* The log's own word: node that owns a partition, SIZE_MAX: nobody. */
static inline size_t world_owner(const world_t *world, uint16_t partition, uint64_t *epoch_p,
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

static inline uint64_t world_epochs(const world_t *world)
{
    uint64_t all = 0, epoch;

    for (uint16_t p = 0; p <= world->partitions; p++) {
        (void)world_owner(world, p, &epoch, NULL);
        all += epoch;
    }
    return all;
}

static inline unsigned world_claims(const world_t *world)
{
    unsigned claims = 0;

    for (size_t i = 0; i < WORLD_NODES; i++)
        claims += world->nodes[i].claims;
    return claims;
}

static inline const view_t *world_view(const world_t *world)
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

static inline size_t world_number_of(const world_t *world, const hash_t *node)
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
static inline size_t world_placed(const world_t *world, uint16_t partition, size_t rank)
{
    const view_t *view = world_view(world);
    uint8_t copy = view->copies[partition][rank];

    return copy == VIEW_NOBODY ? SIZE_MAX : world_number_of(world, &view->members[copy].node);
}

/* Index of a node in the newest view. */
static inline size_t world_member(const world_t *world, size_t number)
{
    hash_t node = world_id(number);

    return view_member(world_view(world), &node);
}

/* All running nodes are in one view, and every partition is owned by the node that the view wants. */
static inline bool world_settled(const world_t *world)
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

static inline void world_settle(world_t *world, int64_t within_us)
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

static inline world_t *world_of(size_t nodes, uint16_t partitions, uint8_t followers)
{
    world_t *world = world_new(partitions, followers);

    for (size_t i = 0; i < nodes; i++)
        (void)world_start(world, i);
    world_settle(world, 60 * WORLD_SECOND);
    return world;
}

static inline size_t world_owned(const world_t *world, size_t node)
{
    size_t owned = 0;

    for (uint16_t p = 0; p <= world->partitions; p++)
        owned += world_owner(world, p, NULL, NULL) == node;
    return owned;
}

static inline void world_write_view(world_t *world, const view_t *view)
{
    buffer_t bytes;

    buffer_init(&bytes, VIEW_BYTES_MAX);
    view_encode(view, &bytes);
    cr_assert(!bytes.failed);
    world_append(&world->control, bytes.bytes, bytes.size, world->now_us);
    buffer_free(&bytes);
}

/* Tells a membership of its own what stands in the control channel from *read on. */
static inline void world_tell_control(const world_t *world, membership_t *late, size_t *read)
{
    for (; *read < world->control.count; ++*read) {
        const world_record_t *record = &world->control.records[*read];
        const journal_record_t given = {
            .partition = JOURNAL_CONTROL, .bytes = record->bytes, .n = record->n, .offset = *read};
        membership_on_record(late, &given, world->now_us, world->now_us);
    }
}

#endif
