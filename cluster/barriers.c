/* barriers.c - who waits for which barrier */
#include "cluster/barriers.h"

#include "cluster/genesis.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    request_t *first; /* gathered for the next barrier; references */
    request_t *last;
    uint32_t under_way; /* barriers */
} gate_t;

struct barriers {
    barriers_config_t config;
    buffer_t command;     /* an encoded barrier */
    pthread_mutex_t lock; /* guards the members below */
    size_t waiting;
    gate_t gates[BIRTH_PARTITIONS_MAX + 1];
};

/* Those that one barrier serves. */
typedef struct {
    barriers_t *barriers;
    uint16_t partition;
    request_t *first;
} group_t;

static group_t *take_group(barriers_t *self, uint16_t partition);
static void send_groups(group_t *group);
static void landed(request_t *barrier, void *context);
static group_t *finish(group_t *group, const err_t *err);

barriers_t *barriers_new(const barriers_config_t *config)
{
    barriers_t *self = memory_zalloc(sizeof *self);
    const command_t barrier = {.kind = COMMAND_BARRIER};

    self->config = *config;
    buffer_init(&self->command, 4096);
    command_encode(&barrier, &self->command);
    INVARIANT(!self->command.failed);
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    return self;
}

void barriers_destroy(barriers_t **self_p)
{
    barriers_t *self = *self_p;

    if (self == NULL)
        return;
    INVARIANT(self->waiting == 0);
    (void)pthread_mutex_destroy(&self->lock);
    buffer_free(&self->command);
    free(self);
    *self_p = NULL;
}

errcode_t barriers_wait(barriers_t *self, request_t *waiting, err_t *err)
{
    gate_t *gate = &self->gates[waiting->partition];
    group_t *group = NULL;
    bool taken;

    INVARIANT(waiting->partition <= BIRTH_PARTITIONS_MAX);
    (void)pthread_mutex_lock(&self->lock);
    taken = self->waiting < BARRIERS_WAITING_MAX;
    if (taken) {
        self->waiting++;
        request_retain(waiting);
        waiting->next = NULL;
        if (gate->first == NULL)
            gate->first = waiting;
        else
            gate->last->next = waiting;
        gate->last = waiting;
        group = take_group(self, waiting->partition);
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (group != NULL)
        send_groups(group);
    return taken ? ERR_NONE : err_set(err, ERR_OVERLOADED, "too many reads wait for the log");
}

/* Under the lock; NULL: nobody waits, or enough barriers are under way. */
static group_t *take_group(barriers_t *self, uint16_t partition)
{
    gate_t *gate = &self->gates[partition];
    group_t *group;

    if (gate->first == NULL || gate->under_way >= BARRIERS_UNDER_WAY_MAX)
        return NULL;
    group = memory_alloc(sizeof *group);
    *group = (group_t){self, partition, gate->first};
    gate->first = NULL;
    gate->under_way++;
    return group;
}

/* A barrier that cannot be posted fails its group, and lets the next one try. */
static void send_groups(group_t *group)
{
    while (group != NULL) {
        barriers_t *self = group->barriers;
        int64_t deadline_us = 0;
        request_t *barrier;
        err_t err = {.code = ERR_NONE};
        errcode_t rc;

        for (const request_t *waiting = group->first; waiting != NULL; waiting = waiting->next)
            deadline_us = waiting->deadline_us > deadline_us ? waiting->deadline_us : deadline_us;
        barrier =
            request_new(group->partition, self->command.bytes, self->command.size, deadline_us);
        barrier->done = landed;
        barrier->context = group;
        rc = self->config.post(self->config.state, barrier, &err);
        request_release(barrier);
        group = rc != ERR_NONE ? finish(group, &err) : NULL;
    }
}

static void landed(request_t *barrier, void *context)
{
    group_t *next = finish(context, &barrier->err);

    if (next != NULL)
        send_groups(next);
}

/* Returns the group that may be sent now. */
static group_t *finish(group_t *group, const err_t *err)
{
    barriers_t *self = group->barriers;
    err_t outcome = *err;
    group_t *next;
    size_t count = 0;

    /* A barrier changes nothing: whether it stands in the log does not matter to those that wait. */
    if (outcome.code == ERR_UNKNOWN_OUTCOME)
        (void)err_set(&outcome, ERR_NOT_OWNER, NULL);
    for (const request_t *waiting = group->first; waiting != NULL; waiting = waiting->next)
        count++;
    (void)pthread_mutex_lock(&self->lock);
    INVARIANT(self->gates[group->partition].under_way > 0);
    self->gates[group->partition].under_way--;
    self->waiting -= count;
    next = take_group(self, group->partition);
    (void)pthread_mutex_unlock(&self->lock);
    while (group->first != NULL) {
        request_t *waiting = group->first;

        group->first = waiting->next;
        self->config.passed(self->config.state, waiting, &outcome);
        request_release(waiting);
    }
    free(group);
    return next;
}
