/* world.c - nodes, rounds and crashes of the simulated cluster */
#include "tests/sim/world.h"

#include "node/content.h"

#include "actors/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_US     1000
#define START_US    INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */
#define PATIENCE_US INT64_C(60000000)

typedef struct {
    bool up;
    store_t *store;         /* owned: the disk survives the process */
    journal_t *journal;     /* owned while up */
    catalogue_t *catalogue; /* owned while up */
    row_cache_t *cache;     /* owned while up */
    partition_t
        *partitions[WORLD_PARTITIONS_MAX + 1]; /* owned while up; NULL where not placed here */
    request_t *waiting[4096];                  /* posted, not yet run; one reference each */
    size_t waiting_count;
    world_crash_t crash_next;
    unsigned crash_skip; /* rounds to let pass before */
    uint16_t homes[WORLD_NODES_MAX];
    size_t home_count;
    buffer_t effects; /* owned; of the flying round */
    bool flying, writes;
} node_t;

typedef struct {
    int64_t at_us;
    uint64_t order; /* ties go by the order of sending */
    uint16_t dst;
    uint8_t *bytes; /* owned */
    size_t n;
} travelling_t;

typedef struct {
    request_t *request; /* one reference */
    bool answered;
} ticket_t;

struct world {
    world_config_t config;
    uint64_t random, order;
    int64_t now_us;
    node_t nodes[WORLD_NODES_MAX];
    travelling_t *flights; /* owned */
    size_t flight_count, flight_capacity;
    bool mute;         /* a node died after its replies: its frames are lost */
    ticket_t *tickets; /* owned; ticket n stands at n - 1 */
    size_t ticket_count, ticket_capacity;
};

/* splitmix64 */
uint64_t world_random(world_t *self)
{
    uint64_t z = (self->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool chance(world_t *self, uint32_t ppm)
{
    return ppm > 0 && world_random(self) % 1000000 < ppm;
}

int64_t world_now_us(const world_t *self)
{
    return self->now_us;
}
void world_advance(world_t *self, int64_t us)
{
    self->now_us += us;
}

uint16_t world_partitions(const world_t *self)
{
    return self->config.partitions;
}
uint16_t world_nodes(const world_t *self)
{
    return self->config.nodes;
}
uint16_t world_node_of(const world_t *self, uint16_t partition)
{
    return partition % self->config.nodes;
}

uint16_t world_partition_of(const world_t *self, const uuid16_t *customer)
{
    return partition_of_slot(slot_of_customer(customer), self->config.partitions);
}

/* ---- network ---- */

static void fly(world_t *self, uint16_t dst, const void *frame, size_t n)
{
    if (self->flight_count == self->flight_capacity) {
        self->flight_capacity = self->flight_capacity ? self->flight_capacity * 2 : 64;
        self->flights =
            memory_realloc(self->flights, self->flight_capacity * sizeof *self->flights);
    }
    travelling_t *flight = &self->flights[self->flight_count++];
    int64_t delay_us = self->config.delay_max_us > 0
                           ? 1 + (int64_t)(world_random(self) % (uint64_t)self->config.delay_max_us)
                           : 0;
    *flight = (travelling_t){
        .at_us = self->now_us + delay_us, .order = self->order++, .dst = dst, .n = n};
    flight->bytes = memory_alloc(n);
    memcpy(flight->bytes, frame, n);
}

static void send_frame(void *state, uint16_t dst, const void *frame, size_t n)
{
    world_t *self = state;
    if (self->mute || chance(self, self->config.drop_ppm))
        return;
    fly(self, dst, frame, n);
    if (chance(self, self->config.double_ppm))
        fly(self, dst, frame, n);
}

/* Takes the earliest frame due for this node, false when there is none. */
static bool next_frame(world_t *self, uint16_t node, travelling_t *out)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < self->flight_count; i++) {
        const travelling_t *flight = &self->flights[i];
        if (flight->at_us > self->now_us || world_node_of(self, flight->dst) != node)
            continue;
        if (best == SIZE_MAX || flight->at_us < self->flights[best].at_us ||
            (flight->at_us == self->flights[best].at_us &&
             flight->order < self->flights[best].order))
            best = i;
    }
    if (best == SIZE_MAX)
        return false;
    *out = self->flights[best];
    self->flights[best] = self->flights[--self->flight_count];
    return true;
}

/* ---- nodes ---- */

/* Appends and reads back what the node decided: from here on the round flies. */
static void seal_round(world_t *self, node_t *node)
{
    journal_record_t record;

    buffer_reset(&node->effects);
    node->flying = true;
    node->writes = false;
    for (uint16_t p = 0; p <= self->config.partitions; p++) {
        const uint8_t *bytes;
        size_t n;
        while (node->partitions[p] != NULL &&
               partition_seal(node->partitions[p], self->now_us, &bytes, &n)) {
            errcode_t rc = journal_append(node->journal, p, bytes, bytes + RECORD_HEADER_BYTES,
                                          n - RECORD_HEADER_BYTES, NULL);
            INVARIANT(rc == ERR_NONE);
            node->writes = true;
        }
    }
    while (node->writes && journal_next(node->journal, &record))
        partition_on_record(node->partitions[record.partition], &record, &node->effects);
    for (uint16_t p = 0; p <= self->config.partitions; p++)
        if (node->partitions[p] != NULL)
            partition_fly(node->partitions[p]);
}

/* Commits and answers the flying round; stops where the node is told to die. */
static world_crash_t land_round(world_t *self, node_t *node)
{
    world_crash_t crash = CRASH_NONE;

    node->flying = false;
    if (node->writes) {
        if (node->crash_next != CRASH_NONE && node->crash_skip > 0) {
            node->crash_skip--;
        } else {
            crash = node->crash_next;
            node->crash_next = CRASH_NONE;
        }
        if (crash == CRASH_BEFORE_COMMIT)
            return crash;
        errcode_t rc = journal_commit(node->journal, &node->effects, NULL);
        INVARIANT(rc == ERR_NONE);
        node->writes = false;
        if (crash == CRASH_AFTER_COMMIT)
            return crash;
    }
    self->mute = crash == CRASH_AFTER_REPLIES;
    for (uint16_t p = 0; p <= self->config.partitions; p++)
        if (node->partitions[p] != NULL) {
            partition_answer(node->partitions[p]);
            partition_landed(node->partitions[p], self->now_us);
        }
    self->mute = false;
    return crash;
}

/* Ahead: what was decided now is committed in the next step, after that step has decided. */
static world_crash_t commit_round(world_t *self, uint16_t number)
{
    node_t *node = &self->nodes[number];
    world_crash_t crash = node->flying ? land_round(self, node) : CRASH_NONE;

    if (crash != CRASH_NONE)
        return crash;
    seal_round(self, node);
    return self->config.ahead ? CRASH_NONE : land_round(self, node);
}

errcode_t world_start(world_t *self, uint16_t number, err_t *err)
{
    node_t *node = &self->nodes[number];
    hash_t incarnation, history;
    errcode_t rc;

    INVARIANT(!node->up);
    node->journal = journal_embedded_new(node->store);
    node->catalogue = catalogue_new();
    node->cache = row_cache_new(1024, 4 * 1024 * 1024);
    for (size_t i = 0; i < HASH_BYTES; i++)
        incarnation.bytes[i] = (uint8_t)world_random(self);
    node->up = true;
    rc = content_load(node->store, node->catalogue, err);
    for (uint16_t p = 0; p <= self->config.partitions && rc == ERR_NONE; p++) {
        if (world_node_of(self, p) != number)
            continue;
        partition_config_t config = {.number = p,
                                     .partitions = self->config.partitions,
                                     .homes = node->homes,
                                     .home_count = node->home_count,
                                     .store = node->store,
                                     .catalogue = node->catalogue,
                                     .cache = node->cache,
                                     .incarnation = incarnation,
                                     .account_max = self->config.account_max,
                                     .send = send_frame,
                                     .state = self};
        position_t position;
        bool found = false;
        node->partitions[p] = partition_new(&config);
        rc = journal_position(node->journal, p, &position, &found, err);
        if (rc == ERR_NONE)
            rc = partition_load(node->partitions[p], &position, found, err);
        if (rc != ERR_NONE)
            break;
        for (size_t i = 0; i < HASH_BYTES; i++)
            history.bytes[i] = (uint8_t)world_random(self);
        partition_claim(node->partitions[p], &history);
    }
    /* It may be told to die in its first round, too. */
    if (rc != ERR_NONE || commit_round(self, number) != CRASH_NONE)
        world_kill(self, number);
    return rc;
}

void world_kill(world_t *self, uint16_t number)
{
    node_t *node = &self->nodes[number];
    err_t err;

    if (!node->up)
        return;
    node->up = false;
    node->flying = node->writes = false;
    node->crash_next = CRASH_NONE;
    err_set(&err, ERR_UNKNOWN_OUTCOME, "the node died");
    for (size_t i = 0; i < node->waiting_count; i++) {
        request_complete(node->waiting[i], NULL, 0, &err);
        request_release(node->waiting[i]);
    }
    node->waiting_count = 0;
    for (uint16_t p = 0; p <= self->config.partitions; p++)
        partition_destroy(&node->partitions[p]);
    journal_destroy(&node->journal);
    catalogue_destroy(&node->catalogue);
    row_cache_destroy(&node->cache);
    store_memory_crash(node->store);
}

bool world_is_up(const world_t *self, uint16_t node)
{
    return self->nodes[node].up;
}
void world_crash_next(world_t *self, uint16_t node, world_crash_t where)
{
    world_crash_at(self, node, where, 1);
}

void world_crash_at(world_t *self, uint16_t node, world_crash_t where, unsigned k)
{
    INVARIANT(k > 0);
    self->nodes[node].crash_next = where;
    self->nodes[node].crash_skip = k - 1;
}

store_t *world_image(world_t *self, uint16_t node)
{
    return store_memory_copy(self->nodes[node].store);
}

void world_restore(world_t *self, uint16_t node, store_t **image_p)
{
    INVARIANT(!self->nodes[node].up);
    store_destroy(&self->nodes[node].store);
    self->nodes[node].store = *image_p;
    *image_p = NULL;
}

static void node_round(world_t *self, uint16_t number)
{
    node_t *node = &self->nodes[number];
    travelling_t flight;

    while (next_frame(self, number, &flight)) {
        if (node->up)
            partition_on_frame(node->partitions[flight.dst], flight.bytes, flight.n, self->now_us);
        free(flight.bytes);
    }
    if (!node->up)
        return;
    for (size_t i = 0; i < node->waiting_count; i++) {
        partition_on_command(node->partitions[node->waiting[i]->partition], node->waiting[i],
                             self->now_us);
        request_release(node->waiting[i]);
    }
    node->waiting_count = 0;
    for (uint16_t p = 0; p <= self->config.partitions; p++)
        if (node->partitions[p] != NULL)
            partition_on_tick(node->partitions[p], self->now_us);
    if (commit_round(self, number) != CRASH_NONE)
        world_kill(self, number);
}

void world_step(world_t *self)
{
    uint16_t first = (uint16_t)(world_random(self) % self->config.nodes);
    for (uint16_t i = 0; i < self->config.nodes; i++)
        node_round(self, (uint16_t)((first + i) % self->config.nodes));
    self->now_us += STEP_US;
}

bool world_settle(world_t *self, unsigned steps)
{
    for (unsigned step = 0; step < steps; step++) {
        bool idle = self->flight_count == 0;
        for (uint16_t p = 0; p <= self->config.partitions && idle; p++) {
            const node_t *node = &self->nodes[world_node_of(self, p)];
            idle = node->up && node->waiting_count == 0 && !node->writes &&
                   partition_idle(node->partitions[p]);
        }
        if (idle)
            return true;
        world_step(self);
    }
    return false;
}

/* ---- life ---- */

world_t *world_new(const world_config_t *config)
{
    world_t *self = memory_zalloc(sizeof *self);

    INVARIANT(config->nodes >= 1 && config->nodes <= WORLD_NODES_MAX);
    INVARIANT(config->partitions >= config->nodes && config->partitions <= WORLD_PARTITIONS_MAX);
    self->config = *config;
    self->random = config->seed;
    self->now_us = START_US;
    for (uint16_t i = 0; i < config->nodes; i++) {
        node_t *node = &self->nodes[i];
        node->store = store_memory_new();
        buffer_init(&node->effects, 64 * 1024 * 1024);
        for (uint16_t j = 0; j < config->nodes; j++)
            if (j != i)
                node->homes[node->home_count++] = j; /* partition j is the lowest of node j */
    }
    for (uint16_t i = 0; i < config->nodes; i++) {
        errcode_t rc = world_start(self, i, NULL);
        INVARIANT(rc == ERR_NONE);
    }
    return self;
}

void world_destroy(world_t **self_p)
{
    world_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    for (uint16_t i = 0; i < self->config.nodes; i++) {
        world_kill(self, i);
        store_destroy(&self->nodes[i].store);
        buffer_free(&self->nodes[i].effects);
    }
    for (size_t i = 0; i < self->flight_count; i++)
        free(self->flights[i].bytes);
    for (size_t i = 0; i < self->ticket_count; i++)
        request_release(self->tickets[i].request);
    free(self->flights);
    free(self->tickets);
    free(self);
}

/* ---- asking ---- */

static void note_answer(request_t *request, void *context)
{
    (void)request;
    *(bool *)context = true;
}

size_t world_post(world_t *self, uint16_t partition, const command_t *command)
{
    node_t *node = &self->nodes[world_node_of(self, partition)];
    buffer_t bytes;

    if (!node->up || node->waiting_count == COUNT_OF(node->waiting))
        return 0;
    if (self->ticket_count == self->ticket_capacity) {
        INVARIANT(self->ticket_capacity ==
                  0); /* `answered` is pointed to: the array must not move */
        self->ticket_capacity = 65536;
        self->tickets = memory_zalloc(self->ticket_capacity * sizeof *self->tickets);
    }
    buffer_init(&bytes, 1024 * 1024);
    command_encode(command, &bytes);
    ticket_t *ticket = &self->tickets[self->ticket_count++];
    ticket->answered = false;
    ticket->request = request_new(partition, bytes.bytes, bytes.size, command->deadline_us);
    ticket->request->done = note_answer;
    ticket->request->context = &ticket->answered;
    buffer_free(&bytes);
    request_retain(ticket->request);
    node->waiting[node->waiting_count++] = ticket->request;
    return self->ticket_count;
}

bool world_answer(world_t *self, size_t number, err_t *err, buffer_t *out)
{
    ticket_t *ticket = &self->tickets[number - 1];
    if (!ticket->answered)
        return false;
    *err = ticket->request->err;
    if (out != NULL)
        buffer_append(out, ticket->request->result.bytes, ticket->request->result.size);
    return true;
}

errcode_t world_call(world_t *self, uint16_t partition, const command_t *command, result_t *result,
                     err_t *err)
{
    int64_t until_us = self->now_us + PATIENCE_US;
    err_t ignored;
    size_t ticket = world_post(self, partition, command);

    if (err == NULL)
        err = &ignored;
    memset(err, 0, sizeof *err);
    if (ticket == 0)
        return err_set(err, ERR_UNREACHABLE, "the node is down");
    while (!world_answer(self, ticket, err, NULL)) {
        if (self->now_us > until_us)
            return err_set(err, ERR_UNKNOWN_OUTCOME, "no answer");
        world_step(self);
    }
    if (err->code != ERR_NONE)
        return err->code;
    const buffer_t *bytes =
        &self->tickets[ticket - 1].request->result; /* lives as long as the world */
    return result_decode(result, bytes->bytes, bytes->size, err);
}

errcode_t world_query(world_t *self, uint16_t partition, const query_t *query, buffer_t *answer,
                      answer_t *out, err_t *err)
{
    node_t *node = &self->nodes[world_node_of(self, partition)];
    query_context_t context = {
        .store = node->store, .catalogue = node->catalogue, .partitions = self->config.partitions};
    buffer_t bytes;

    INVARIANT(node->up);
    buffer_init(&bytes, 64 * 1024);
    query_encode(query, &bytes);
    buffer_reset(answer);
    errcode_t rc = query_run(&context, partition, bytes.bytes, bytes.size, answer, err);
    buffer_free(&bytes);
    return rc != ERR_NONE ? rc : answer_decode(out, answer->bytes, answer->size, err);
}

const char *world_trouble(world_t *self, uint16_t partition)
{
    node_t *node = &self->nodes[world_node_of(self, partition)];
    return node->up ? partition_trouble(node->partitions[partition]) : NULL;
}

catalogue_t *world_catalogue(world_t *self, uint16_t node)
{
    return self->nodes[node].catalogue;
}
store_t *world_store(world_t *self, uint16_t node)
{
    return self->nodes[node].store;
}

const position_t *world_position(world_t *self, uint16_t partition)
{
    node_t *node = &self->nodes[world_node_of(self, partition)];
    INVARIANT(node->up);
    return partition_position(node->partitions[partition]);
}
