/* router_reads.c - on a shared log: questions, at the level that the asker wants
 *
 * The owner's store may be behind what another owner has acknowledged without either knowing yet. So a linearizable
 * question waits for a barrier at the owner first; several wait for their barriers, here and elsewhere, at once.
 */
#include "cluster/router_state.h"

#include <stdlib.h>

#define PLACE_WAIT_US INT64_C(2000000) /* until the copy here has reached a place in its log */
#define READ_ROUNDS   16               /* of asking again those partitions whose owner changed */

/* One partition's part of a read. */
typedef struct {
    request_t *
        asked; /* a question elsewhere, or a ticket for a barrier here; NULL: the store may be read */
    uint32_t seen; /* version of the route that was taken */
    bool here;
    bool done;
    err_t err;
} reading_t;

static void begin(router_t *self, uint16_t partition, read_level_t level, const buffer_t *query,
                  int64_t deadline_us, waiter_t *waiter, reading_t *reading);
static errcode_t end(router_t *self, uint16_t partition, const buffer_t *query, int64_t deadline_us,
                     reading_t *reading, buffer_t *answer);
static errcode_t read_here(router_t *self, uint16_t partition, const buffer_t *query,
                           int64_t deadline_us, buffer_t *answer, err_t *err);
static bool may_answer(const router_t *self, uint16_t partition);

errcode_t router_read_shared(router_t *self, uint16_t first, uint16_t count, read_level_t level,
                             const buffer_t *query, int64_t deadline_us, buffer_t *answers,
                             err_t *err)
{
    reading_t *readings;
    int64_t until_us = 0;
    errcode_t rc = ERR_NONE;

    if (!atomic_load_explicit(&self->counted, memory_order_acquire) ||
        first + count > router_partitions(self) + 1)
        return err_set(err, ERR_UNREACHABLE, "this node is starting");
    readings = memory_zalloc(count * sizeof *readings);
    for (unsigned round = 1;; round++) {
        const reading_t *again = NULL;
        unsigned asked = 0;
        waiter_t waiter;

        waiter_init(&waiter);
        for (uint16_t i = 0; i < count; i++) {
            if (readings[i].done)
                continue;
            begin(self, (uint16_t)(first + i), level, query, deadline_us, &waiter, &readings[i]);
            asked += readings[i].asked != NULL;
        }
        (void)router_wait_for(self, &waiter, asked, deadline_us);
        for (uint16_t i = 0; i < count; i++) {
            reading_t *reading = &readings[i];
            errcode_t ended;

            if (reading->done)
                continue;
            /* After another one has failed for good, only what was begun is put away. */
            ended = rc == ERR_NONE
                        ? end(self, (uint16_t)(first + i), query, deadline_us, reading, &answers[i])
                        : ERR_NONE;
            if (reading->asked != NULL)
                waiter_abandon(&waiter, reading->asked);
            request_release(reading->asked);
            reading->asked = NULL;
            reading->done = ended == ERR_NONE;
            if (may_be_sent_again(self, ended, (uint16_t)(first + i), reading->seen)) {
                again = again == NULL ? reading : again;
            } else if (ended != ERR_NONE) {
                rc = ended;
                if (err != NULL)
                    *err = reading->err;
            }
        }
        if (rc != ERR_NONE || again == NULL)
            break;
        if (round == READ_ROUNDS ||
            !router_await_owner(self, (uint16_t)(first + (again - readings)), again->seen,
                                deadline_us, &until_us)) {
            rc = ERR_UNREACHABLE;
            if (again->err.code == ERR_NOT_OWNER)
                (void)router_no_owner(self, (uint16_t)(first + (again - readings)), err);
            else if (err != NULL)
                *err = again->err;
            break;
        }
    }
    free(readings);
    return rc;
}

errcode_t router_question(void *state, request_t *question, bool any, err_t *err)
{
    router_t *self = state;
    bool own = ROUTE_KIND(route_of(self, question->partition)) == OWNER_SELF;

    if (any && (own || may_answer(self, question->partition)))
        return transport_ask(self->transport, question, err);
    if (any || !own)
        return err_set(err, ERR_NOT_OWNER, NULL);
    return barriers_wait(self->barriers, question, err);
}

/* A question of a peer goes on to a query thread; a ticket tells a thread of this node to read. */
void router_barrier_passed(void *state, request_t *waiting, const err_t *err)
{
    router_t *self = state;
    err_t outcome = *err;

    if (waiting->waiting == self || outcome.code != ERR_NONE ||
        transport_ask(self->transport, waiting, &outcome) != ERR_NONE)
        request_complete(waiting, NULL, 0, &outcome);
}

static void begin(router_t *self, uint16_t partition, read_level_t level, const buffer_t *query,
                  int64_t deadline_us, waiter_t *waiter, reading_t *reading)
{
    bool any = level != READ_LINEARIZABLE;
    uint32_t route;

    reading->err.code = ERR_NONE;
    reading->seen = atomic_load_explicit(&self->changes[partition], memory_order_acquire);
    route = route_of(self, partition);
    reading->here = ROUTE_KIND(route) == OWNER_SELF || (any && may_answer(self, partition));
    if (reading->here && any)
        return;
    if (!reading->here) {
        if (!route_is_usable(route))
            (void)err_set(&reading->err, ERR_NOT_OWNER, NULL);
        else
            (void)router_ask_elsewhere(self, partition, route,
                                       level == READ_ANY ? LINK_QUERIES_ANY : LINK_QUERIES, query,
                                       deadline_us, waiter, &reading->asked, &reading->err);
        return;
    }
    reading->asked = request_new(partition, NULL, 0, deadline_us);
    reading->asked->waiting = self; /* tells it from the questions of peers */
    waiter_watch(waiter, reading->asked);
    if (barriers_wait(self->barriers, reading->asked, &reading->err) != ERR_NONE) {
        request_release(reading->asked);
        reading->asked = NULL;
    }
}

/* What is not answered by now came too late. */
static errcode_t end(router_t *self, uint16_t partition, const buffer_t *query, int64_t deadline_us,
                     reading_t *reading, buffer_t *answer)
{
    if (reading->err.code != ERR_NONE)
        return reading->err.code;
    if (reading->asked != NULL && !router_is_answered(reading->asked))
        return reading->here ? err_set(&reading->err, ERR_UNREACHABLE,
                                       "partition %u did not answer in time", partition)
                             : router_late(self, partition, &reading->err);
    if (!reading->here)
        return router_take_answer(reading->asked, answer, &reading->err);
    if (reading->asked != NULL && reading->asked->err.code != ERR_NONE) {
        reading->err = reading->asked->err;
        return reading->err.code;
    }
    return read_here(self, partition, query, deadline_us, answer, &reading->err);
}

bool router_stored(router_t *self)
{
    /* A reader counts itself before it looks, this thread looks after it has counted: one of them sees the other. */
    (void)atomic_fetch_add(&self->stored, 1);
    if (LIKELY(atomic_load(&self->watchers) == 0))
        return false;
    (void)pthread_mutex_lock(&self->watch);
    (void)pthread_cond_broadcast(&self->grown);
    (void)pthread_mutex_unlock(&self->watch);
    return true;
}

/* Until more was stored than `seen`; false: the time is over. */
static bool await_stored(router_t *self, unsigned seen, int64_t until_us)
{
    int64_t left_us = until_us - clock_boot_us(clock_system());
    struct timespec until;

    if (left_us <= 0)
        return false;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left_us / 1000000;
    until.tv_nsec += left_us % 1000000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&self->watch);
    while (atomic_load(&self->stored) == seen &&
           pthread_cond_timedwait(&self->grown, &self->watch, &until) == 0)
        ;
    (void)pthread_mutex_unlock(&self->watch);
    return true;
}

/* A copy that is behind what the asker has seen is looked at again whenever it has stored more. */
static errcode_t read_here(router_t *self, uint16_t partition, const buffer_t *query,
                           int64_t deadline_us, buffer_t *answer, err_t *err)
{
    unsigned seen = atomic_load(&self->stored);
    int64_t left_us = deadline_us - clock_wall_us(self->config.clock);
    errcode_t rc = router_query_here(self, partition, query->bytes, query->size, answer, err);
    int64_t until_us;

    if (LIKELY(rc != ERR_POSITION_AHEAD))
        return rc;
    until_us = clock_boot_us(clock_system()) + (left_us < PLACE_WAIT_US ? left_us : PLACE_WAIT_US);
    (void)atomic_fetch_add(&self->watchers, 1);
    while (rc == ERR_POSITION_AHEAD && await_stored(self, seen, until_us)) {
        seen = atomic_load(&self->stored);
        rc = router_query_here(self, partition, query->bytes, query->size, answer, err);
    }
    (void)atomic_fetch_sub(&self->watchers, 1);
    return rc;
}

static bool may_answer(const router_t *self, uint16_t partition)
{
    return atomic_load_explicit(&self->attached, memory_order_acquire) &&
           self->log.follows(self->log.state, partition);
}
