/* shared_world.c - time, mail and tickets of the cluster on a shared log */
#include "tests/sim/shared_world.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUTE_LOST_ODDS 16 /* of a frame: its sender believes in another owner */
#define LATER_ODDS      2  /* of a question: its query runs after the barrier's pass */

typedef struct {
    shared_world_t *world;
    size_t number; /* from 1 */
    size_t node;
    uint64_t process;
    uint16_t partition;
    bool answered;
    buffer_t query; /* empty: a command */
} ticket_t;

struct shared_world {
    shared_config_t config;
    dice_t dice;
    int64_t now_us;
    log_shared_t *log; /* owned */
    net_t net;
    node_t nodes[SHARED_NODES_MAX];
    ticket_t **tickets; /* owned, each too */
    size_t ticket_count, ticket_capacity;
    ticket_t *due[NODE_MAIL_MAX]; /* whose barrier was answered and whose query is to be run */
    size_t due_count;
    bool dying; /* answers of a node that is being killed */
};

int64_t shared_now_us(const shared_world_t *self)
{
    return self->now_us;
}
log_shared_t *shared_log(shared_world_t *self)
{
    return self->log;
}
net_t *shared_net(shared_world_t *self)
{
    return &self->net;
}
node_t *shared_node(shared_world_t *self, size_t node)
{
    return &self->nodes[node];
}
uint16_t shared_partitions(const shared_world_t *self)
{
    return self->config.partitions;
}
size_t shared_nodes(const shared_world_t *self)
{
    return self->config.nodes;
}

/* ---- owners and frames ---- */

replica_state_t shared_state(const shared_world_t *self, size_t node, uint16_t partition)
{
    return self->nodes[node].up ? replica_state(self->nodes[node].replicas[partition])
                                : REPLICA_CLOSED;
}

const position_t *shared_position(const shared_world_t *self, size_t node, uint16_t partition)
{
    INVARIANT(self->nodes[node].up);
    return replica_position(self->nodes[node].replicas[partition]);
}

size_t shared_owner(const shared_world_t *self, uint16_t partition)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < self->config.nodes; i++) {
        replica_state_t state = shared_state(self, i, partition);
        if (state != REPLICA_OWNER && state != REPLICA_DRAINING)
            continue;
        if (best == SIZE_MAX || shared_position(self, i, partition)->epoch >
                                    shared_position(self, best, partition)->epoch)
            best = i;
    }
    return best;
}

static void on_send(void *state, size_t node, uint16_t dst, const void *frame, size_t n)
{
    shared_world_t *self = state;
    size_t to = dice_below(&self->dice, ROUTE_LOST_ODDS) == 0
                    ? dice_below(&self->dice, self->config.nodes)
                    : shared_owner(self, dst);

    if (to != SIZE_MAX && !self->dying)
        net_send(&self->net, self->now_us, node, to, dst, frame, n);
}

static node_t *ask_peer(void *state, size_t node)
{
    return shared_node(state, node);
}

/* ---- tickets ---- */

static const log_place_t no_place;

static void run_query(shared_world_t *self, ticket_t *ticket)
{
    node_t *node = &self->nodes[ticket->node];
    query_context_t context = {.store = node->store,
                               .catalogue = node->catalogue,
                               .partitions = self->config.partitions,
                               .shared = true};
    buffer_t answer;
    err_t err = {0};

    buffer_init(&answer, 4 * 1024 * 1024);
    errcode_t rc = query_run(&context, ticket->partition, ticket->query.bytes, ticket->query.size,
                             &answer, &err);
    ticket->answered = true;
    self->config.answered(self->config.state, ticket->number, &err,
                          rc == ERR_NONE ? answer.bytes : NULL, rc == ERR_NONE ? answer.size : 0,
                          &no_place);
    buffer_free(&answer);
}

static void give_up(shared_world_t *self, ticket_t *ticket)
{
    err_t err;

    ticket->answered = true;
    err_set(&err, ERR_UNKNOWN_OUTCOME, "the node died");
    self->config.answered(self->config.state, ticket->number, &err, NULL, 0, &no_place);
}

static void on_done(request_t *request, void *context)
{
    ticket_t *ticket = context;
    shared_world_t *self = ticket->world;

    INVARIANT(!ticket->answered);
    if (self->dying) {
        give_up(self, ticket);
        return;
    }
    if (request->err.code == ERR_NONE && ticket->query.size > 0) {
        if (!self->config.prompt && dice_below(&self->dice, LATER_ODDS) > 0 &&
            self->due_count < COUNT_OF(self->due))
            self->due[self->due_count++] = ticket;
        else
            run_query(self, ticket);
        return;
    }
    ticket->answered = true;
    self->config.answered(self->config.state, ticket->number, &request->err,
                          request->err.code == ERR_NONE ? request->result.bytes : NULL,
                          request->err.code == ERR_NONE ? request->result.size : 0,
                          request->err.code == ERR_NONE ? &request->place : &no_place);
}

static size_t post(shared_world_t *self, size_t node, uint16_t partition, const command_t *command,
                   const query_t *query)
{
    ticket_t *ticket;
    buffer_t bytes;

    if (!self->nodes[node].up)
        return 0;
    if (self->ticket_count == self->ticket_capacity) {
        self->ticket_capacity = self->ticket_capacity > 0 ? self->ticket_capacity * 2 : 256;
        self->tickets =
            memory_realloc(self->tickets, self->ticket_capacity * sizeof *self->tickets);
    }
    ticket = memory_zalloc(sizeof *ticket);
    self->tickets[self->ticket_count++] = ticket;
    *ticket = (ticket_t){.world = self,
                         .number = self->ticket_count,
                         .node = node,
                         .process = self->nodes[node].process,
                         .partition = partition};
    buffer_init(&ticket->query, 4096);
    if (query != NULL)
        query_encode(query, &ticket->query);
    buffer_init(&bytes, 1024 * 1024);
    command_encode(command, &bytes);
    request_t *request = request_new(partition, bytes.bytes, bytes.size, command->deadline_us);
    request->done = on_done;
    request->context = ticket;
    buffer_free(&bytes);
    size_t number = ticket->number;
    node_post(&self->nodes[node], request);
    return number;
}

size_t shared_post(shared_world_t *self, size_t node, uint16_t partition, const command_t *command)
{
    return post(self, node, partition, command, NULL);
}

size_t shared_ask(shared_world_t *self, size_t node, uint16_t partition, const query_t *query)
{
    command_t barrier = {.kind = COMMAND_BARRIER};
    return post(self, node, partition, &barrier, query);
}

errcode_t shared_query(shared_world_t *self, size_t number, uint16_t partition,
                       const query_t *query, buffer_t *answer, err_t *err)
{
    node_t *node = &self->nodes[number];
    query_context_t context = {.store = node->store,
                               .catalogue = node->catalogue,
                               .partitions = self->config.partitions,
                               .shared = true};
    buffer_t bytes;

    INVARIANT(node->up);
    buffer_init(&bytes, 4096);
    query_encode(query, &bytes);
    buffer_reset(answer);
    errcode_t rc = query_run(&context, partition, bytes.bytes, bytes.size, answer, err);
    buffer_free(&bytes);
    return rc;
}

/* Questions of a node whose barrier was answered in an earlier pass. */
static void run_due(shared_world_t *self, size_t node, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < self->due_count; i++) {
        ticket_t *ticket = self->due[i];
        if (i < count && ticket->node == node)
            run_query(self, ticket);
        else
            self->due[kept++] = ticket;
    }
    self->due_count = kept;
}

/* ---- nodes ---- */

void shared_start(shared_world_t *self, size_t number)
{
    node_t *node = &self->nodes[number];
    err_t err = {0};

    if (node->up)
        return;
    if (node_start(node, self->now_us, &err) != ERR_NONE)
        fprintf(stderr, "node %zu: %s\n", number, err.text);
    INVARIANT(node->up);
}

void shared_kill(shared_world_t *self, size_t number)
{
    size_t kept = 0;

    if (!self->nodes[number].up)
        return;
    self->dying = true;
    for (size_t i = 0; i < self->due_count; i++)
        if (self->due[i]->node == number)
            give_up(self, self->due[i]);
        else
            self->due[kept++] = self->due[i];
    self->due_count = kept;
    node_kill(&self->nodes[number]);
    self->dying = false;
    log_node_pause(self->log, number, false);
}

void shared_pause(shared_world_t *self, size_t number)
{
    if (!self->nodes[number].up)
        return;
    self->nodes[number].paused = true;
    log_node_pause(self->log, number, true);
}

void shared_resume(shared_world_t *self, size_t number)
{
    if (!self->nodes[number].paused)
        return;
    self->nodes[number].paused = false;
    log_node_pause(self->log, number, false);
}

void shared_stop(shared_world_t *self, size_t number)
{
    if (self->nodes[number].up)
        self->nodes[number].leaving = true;
}

void shared_wipe(shared_world_t *self, size_t number)
{
    node_t *node = &self->nodes[number];

    INVARIANT(!node->up);
    store_destroy(&node->store);
    node->store = store_memory_new();
}

store_t *shared_image(shared_world_t *self, size_t number)
{
    return store_memory_copy(self->nodes[number].store);
}

void shared_restore(shared_world_t *self, size_t number, store_t **image_p)
{
    node_t *node = &self->nodes[number];

    INVARIANT(!node->up);
    store_destroy(&node->store);
    node->store = *image_p;
    *image_p = NULL;
}

/* ---- time ---- */

static void run_node(shared_world_t *self, size_t number)
{
    size_t due = self->due_count;

    node_pass(&self->nodes[number], self->now_us);
    run_due(self, number, due);
    if (self->nodes[number].left)
        shared_kill(self, number);
}

static void run_letters(shared_world_t *self)
{
    letter_t letter;

    while (net_take(&self->net, self->now_us, &letter)) {
        if (self->nodes[letter.to].up)
            node_deliver(&self->nodes[letter.to], letter.partition, letter.bytes, letter.n);
        else
            free(letter.bytes);
    }
}

void shared_run_for(shared_world_t *self, int64_t us)
{
    int64_t until_us = self->now_us + us;

    for (;;) {
        int64_t next_us = log_shared_next_us(self->log), at_us = net_next_us(&self->net);
        size_t nodes = self->config.nodes;
        next_us = at_us < next_us ? at_us : next_us;
        for (size_t i = 0; i < nodes; i++) {
            at_us = node_next_us(&self->nodes[i], self->now_us);
            next_us = at_us < next_us ? at_us : next_us;
        }
        if (next_us > until_us)
            break;
        if (next_us > self->now_us)
            self->now_us = next_us;
        log_shared_advance(self->log, self->now_us);
        run_letters(self);
        size_t first = dice_below(&self->dice, nodes);
        for (size_t i = 0; i < nodes; i++) {
            size_t number = (first + i) % nodes;
            if (node_next_us(&self->nodes[number], self->now_us) <= self->now_us)
                run_node(self, number);
        }
    }
    self->now_us = until_us;
    log_shared_advance(self->log, self->now_us);
}

/* ---- life ---- */

shared_world_t *shared_world_new(const shared_config_t *config)
{
    shared_world_t *self = memory_zalloc(sizeof *self);

    INVARIANT(config->nodes >= 1 && config->nodes <= SHARED_NODES_MAX);
    INVARIANT(config->partitions <= NODE_PARTITIONS_MAX);
    self->config = *config;
    self->dice.state = config->seed;
    self->now_us = SHARED_START_US;
    self->log = log_shared_new(dice_roll(&self->dice), config->partitions);
    net_init(&self->net, dice_roll(&self->dice));
    for (size_t i = 0; i < config->nodes; i++) {
        node_config_t node = {.number = i,
                              .partitions = config->partitions,
                              .followers = config->followers,
                              .pair_max = config->pair_max,
                              .log = self->log,
                              .send = on_send,
                              .fills = config->fills,
                              .peer = ask_peer,
                              .state = self};
        node_init(&self->nodes[i], &node, dice_roll(&self->dice));
    }
    log_shared_advance(self->log, self->now_us);
    return self;
}

void shared_world_destroy(shared_world_t **self_p)
{
    shared_world_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < self->config.nodes; i++) {
        shared_kill(self, i);
        node_free(&self->nodes[i]);
    }
    for (size_t i = 0; i < self->ticket_count; i++) {
        buffer_free(&self->tickets[i]->query);
        free(self->tickets[i]);
    }
    free(self->tickets);
    net_free(&self->net);
    log_shared_destroy(&self->log);
    free(self);
}
