/* router.c - which thread, here or elsewhere, answers for a partition
 *
 * The transport's thread computes from the members where each partition lives and publishes it as one word per
 * partition; everybody else only reads that word. Without peers it is computed once, at the start.
 */
#include "cluster/router_state.h"

#include <stdlib.h>

static errcode_t not_served(const router_t *self, uint16_t partition, uint32_t route, err_t *err);
static errcode_t scatter_fixed(router_t *self, const buffer_t *query, int64_t deadline_us,
                               buffer_t *answers, err_t *err);
static errcode_t query_fixed(router_t *self, uint16_t partition, const buffer_t *query,
                             int64_t deadline_us, buffer_t *answer, err_t *err);
static const char *birth_name(const router_t *self, uint16_t partition);

void router_send(void *router, uint16_t dst, const void *frame, size_t n)
{
    router_t *self = router;
    uint32_t route = route_of(self, dst);

    if (ROUTE_KIND(route) == OWNER_SELF)
        router_deliver_here(self, dst, frame, n);
    else if (ROUTE_KIND(route) == OWNER_LINK && (route & ROUTE_UP) != 0)
        transport_message(self->transport, ROUTE_LINK(route), dst, frame, n);
}

uint16_t router_partitions(const router_t *self)
{
    return (uint16_t)atomic_load_explicit(&self->partitions, memory_order_relaxed);
}

uint16_t router_catalogue_partition(const router_t *self)
{
    return router_partitions(self);
}

bool router_is_shared(const router_t *self)
{
    return self->shared;
}

uint16_t router_home_partition(const router_t *self)
{
    for (uint16_t i = 0;
         !self->shared && atomic_load_explicit(&self->attached, memory_order_acquire) &&
         i < router_partitions(self);
         i++) {
        if (self->birth.owners[i] == self->birth.node)
            return i;
    }
    return router_partitions(self);
}

uint16_t router_partition_of_customer(const router_t *self, const uuid16_t *customer)
{
    return partition_of_slot(slot_of_customer(customer), router_partitions(self));
}

uint16_t router_partition_of_id(const router_t *self, uint64_t id)
{
    return partition_of_slot(id_slot(id), router_partitions(self));
}

errcode_t router_post(router_t *self, request_t *request, err_t *err)
{
    uint32_t route = route_of(self, request->partition);

    if (self->shared)
        return router_post_shared(self, request, err);
    if (LIKELY(ROUTE_KIND(route) == OWNER_SELF))
        return router_post_here(self, request, err);
    if (ROUTE_KIND(route) == OWNER_LINK && (route & ROUTE_UP) != 0)
        return transport_post(self->transport, ROUTE_LINK(route), LINK_COMMANDS, request, err);
    return not_served(self, request->partition, route, err);
}

errcode_t router_query(router_t *self, uint16_t partition, const query_t *query,
                       int64_t deadline_us, buffer_t *answer, err_t *err)
{
    return router_query_at(self, partition, READ_LINEARIZABLE, query, deadline_us, answer, err);
}

errcode_t router_scatter(router_t *self, const query_t *query, int64_t deadline_us,
                         buffer_t *answers, err_t *err)
{
    return router_scatter_at(self, READ_LINEARIZABLE, query, deadline_us, answers, err);
}

errcode_t router_query_at(router_t *self, uint16_t partition, read_level_t level,
                          const query_t *query, int64_t deadline_us, buffer_t *answer, err_t *err)
{
    buffer_t encoded;
    errcode_t rc;

    buffer_init(&encoded, LINK_ITEM_BYTES_MAX);
    query_encode(query, &encoded);
    if (encoded.failed)
        rc = err_set(err, ERR_TOO_LARGE, NULL);
    else if (self->shared)
        rc = router_read_shared(self, partition, 1, level, &encoded, deadline_us, answer, err);
    else
        rc = query_fixed(self, partition, &encoded, deadline_us, answer, err);
    buffer_free(&encoded);
    return rc;
}

errcode_t router_scatter_at(router_t *self, read_level_t level, const query_t *query,
                            int64_t deadline_us, buffer_t *answers, err_t *err)
{
    buffer_t encoded;
    errcode_t rc;

    buffer_init(&encoded, LINK_ITEM_BYTES_MAX);
    query_encode(query, &encoded);
    if (encoded.failed)
        rc = err_set(err, ERR_TOO_LARGE, NULL);
    else if (self->shared)
        rc = router_read_shared(self, 0, router_partitions(self),
                                level == READ_SESSION ? READ_LINEARIZABLE : level, &encoded,
                                deadline_us, answers, err);
    else
        rc = scatter_fixed(self, &encoded, deadline_us, answers, err);
    buffer_free(&encoded);
    return rc;
}

const char *router_owner_name(const router_t *self, uint16_t partition)
{
    if (self->shared)
        return router_shared_owner_name(self, partition);
    return ROUTE_KIND(route_of(self, partition)) == OWNER_NONE ? "" : birth_name(self, partition);
}

catalogue_t *router_catalogue(router_t *self)
{
    return self->config.catalogue;
}

int64_t router_now_us(router_t *self)
{
    return clock_wall_us(self->config.clock);
}

errcode_t router_post_here(void *state, request_t *request, err_t *err)
{
    router_t *self = state;
    uint32_t route = route_of(self, request->partition);

    if (ROUTE_KIND(route) != OWNER_SELF)
        return not_served(self, request->partition, route, err);
    if (!atomic_load_explicit(&self->attached, memory_order_acquire))
        return err_set(err, ERR_UNREACHABLE, "this node is starting");
    if (self->shared)
        return self->log.post(self->log.state, request, err);
    return shard_post(self->shards[self->shard_of[request->partition]], request, err);
}

void router_deliver_here(void *state, uint16_t dst, const void *frame, size_t n)
{
    router_t *self = state;

    if (ROUTE_KIND(route_of(self, dst)) != OWNER_SELF ||
        !atomic_load_explicit(&self->attached, memory_order_acquire))
        return;
    if (self->shared)
        self->log.deliver(self->log.state, dst, frame, n);
    else
        shard_deliver(self->shards[self->shard_of[dst]], dst, frame, n);
}

errcode_t router_query_here(void *state, uint16_t partition, const void *query, size_t n,
                            buffer_t *answer, err_t *err)
{
    router_t *self = state;
    uint32_t route = route_of(self, partition);
    query_context_t context = {.store = self->config.store,
                               .catalogue = self->config.catalogue,
                               .partitions = router_partitions(self),
                               .shared = self->shared};

    /* On a shared log whether this copy may answer was found out before; the owner may be another one by now. */
    if (ROUTE_KIND(route) != OWNER_SELF && !self->shared)
        return not_served(self, partition, route, err);
    if (!atomic_load_explicit(&self->attached, memory_order_acquire))
        return err_set(err, ERR_UNREACHABLE, "this node is starting");
    return query_run(&context, partition, query, n, answer, err);
}

static errcode_t query_fixed(router_t *self, uint16_t partition, const buffer_t *query,
                             int64_t deadline_us, buffer_t *answer, err_t *err)
{
    uint32_t route = route_of(self, partition);
    request_t *asked = NULL;
    waiter_t waiter;
    errcode_t rc;

    if (ROUTE_KIND(route) == OWNER_SELF)
        return router_query_here(self, partition, query->bytes, query->size, answer, err);
    waiter_init(&waiter);
    rc = router_ask_elsewhere(self, partition, route, LINK_QUERIES, query, deadline_us, &waiter,
                              &asked, err);
    if (asked != NULL) {
        rc = router_wait_for(self, &waiter, 1, deadline_us) ? router_take_answer(asked, answer, err)
                                                            : router_late(self, partition, err);
        waiter_abandon(&waiter, asked);
    }
    request_release(asked);
    return rc;
}

/* What must travel leaves first, so that others work while this thread answers its own part. */
static errcode_t scatter_fixed(router_t *self, const buffer_t *query, int64_t deadline_us,
                               buffer_t *answers, err_t *err)
{
    uint16_t partitions = router_partitions(self);
    request_t **asked = memory_zalloc(partitions * sizeof(request_t *));
    unsigned count = 0;
    waiter_t waiter;
    errcode_t rc = ERR_NONE;

    waiter_init(&waiter);
    for (uint16_t i = 0; rc == ERR_NONE && i < partitions; i++) {
        uint32_t route = route_of(self, i);

        if (ROUTE_KIND(route) == OWNER_SELF)
            continue;
        rc = router_ask_elsewhere(self, i, route, LINK_QUERIES, query, deadline_us, &waiter,
                                  &asked[i], err);
        count += rc == ERR_NONE;
    }
    for (uint16_t i = 0; rc == ERR_NONE && i < partitions; i++) {
        if (asked[i] == NULL)
            rc = router_query_here(self, i, query->bytes, query->size, &answers[i], err);
    }
    if (rc == ERR_NONE)
        (void)router_wait_for(self, &waiter, count, deadline_us);
    for (uint16_t i = 0; i < partitions; i++) {
        if (asked[i] == NULL)
            continue;
        if (rc == ERR_NONE && !router_is_answered(asked[i]))
            rc = router_late(self, i, err);
        else if (rc == ERR_NONE)
            rc = router_take_answer(asked[i], &answers[i], err);
        waiter_abandon(&waiter, asked[i]);
        request_release(asked[i]);
    }
    free(asked);
    return rc;
}

static errcode_t not_served(const router_t *self, uint16_t partition, uint32_t route, err_t *err)
{
    const char *name;

    if (self->shared)
        return err_set(err, ERR_NOT_OWNER, NULL);
    name = birth_name(self, partition);
    if (ROUTE_KIND(route) == OWNER_CONTESTED)
        return err_set(err, ERR_HALTED,
                       "partition %u is claimed by two nodes; /readyz of each says which",
                       partition);
    if (name[0] == '\0')
        return err_set(err, ERR_UNREACHABLE, "this node is starting");
    return err_set(err, ERR_UNREACHABLE, "node %s cannot be reached", name);
}

errcode_t router_ask_elsewhere(router_t *self, uint16_t partition, uint32_t route, link_kind_t kind,
                               const buffer_t *query, int64_t deadline_us, waiter_t *waiter,
                               request_t **asked, err_t *err)
{
    errcode_t rc;

    if (ROUTE_KIND(route) != OWNER_LINK || (route & ROUTE_UP) == 0)
        return not_served(self, partition, route, err);
    *asked = request_new(partition, query->bytes, query->size, deadline_us);
    buffer_init(&(*asked)->result, LINK_ITEM_BYTES_MAX); /* answers may be larger than results */
    waiter_watch(waiter, *asked);
    rc = transport_post(self->transport, ROUTE_LINK(route), kind, *asked, err);
    if (rc != ERR_NONE) {
        request_release(*asked);
        *asked = NULL;
    }
    return rc;
}

/* What it was completed with was written before its state was: reading it is safe once this says true. */
bool router_is_answered(request_t *request)
{
    return atomic_load_explicit(&request->completed, memory_order_acquire) != 0;
}

errcode_t router_take_answer(request_t *request, buffer_t *answer, err_t *err)
{
    if (request->err.code != ERR_NONE) {
        if (err != NULL)
            *err = request->err;
        return request->err.code;
    }
    buffer_append(answer, request->result.bytes, request->result.size);
    return answer->failed ? err_set(err, ERR_TOO_LARGE, NULL) : ERR_NONE;
}

bool router_wait_for(router_t *self, waiter_t *waiter, unsigned count, int64_t deadline_us)
{
    int64_t left_us = deadline_us - clock_wall_us(self->config.clock);

    return waiter_wait(waiter, count, left_us > 0 ? left_us : 0);
}

errcode_t router_late(const router_t *self, uint16_t partition, err_t *err)
{
    return err_set(err, ERR_UNREACHABLE, "node %s did not answer in time",
                   router_owner_name(self, partition));
}

/* Routes are published after the birth was, or in the same call before anybody else can see the router. */
static const char *birth_name(const router_t *self, uint16_t partition)
{
    bool known;

    (void)pthread_mutex_lock((pthread_mutex_t *)&self->lock);
    known = self->birth_known && partition <= self->birth.partitions;
    (void)pthread_mutex_unlock((pthread_mutex_t *)&self->lock);
    return known ? self->birth.names[self->birth.owners[partition]] : "";
}
