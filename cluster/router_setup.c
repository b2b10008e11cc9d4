/* router_setup.c - making a router, and keeping it in step with what the members say */
#include "cluster/router_state.h"

#include "protocol/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static errcode_t open_alone(router_t *self, err_t *err);
static errcode_t open_with_peers(router_t *self, const router_config_t *config, err_t *err);
static void members_changed(void *state, const members_t *members, const birthing_t *birthing);
static void publish_birth(router_t *self, const birth_t *birth);

errcode_t router_open(router_t **self_p, const router_config_t *config, err_t *err)
{
    router_t *self = memory_zalloc(sizeof *self);
    pthread_condattr_t monotonic;
    errcode_t rc;

    self->config = *config;
    self->alone = config->listen == NULL || config->listen[0] == '\0';
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_condattr_init(&monotonic) == 0);
    INVARIANT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_cond_init(&self->settled, &monotonic) == 0);
    INVARIANT(pthread_mutex_init(&self->watch, NULL) == 0);
    INVARIANT(pthread_cond_init(&self->grown, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    buffer_init(&self->troubles, TROUBLES_BYTES_MAX);
    atomic_init(&self->partitions, config->partitions);
    self->shared = config->shared != NULL;
    if (self->shared)
        rc = router_open_shared(self, config, err);
    else if (self->alone && config->peers != NULL && config->peers[0] != '\0')
        rc = err_set(err, ERR_INVALID,
                     "a list of cluster addresses was given, but not this node's own one");
    else if (self->alone)
        rc = open_alone(self, err);
    else
        rc = open_with_peers(self, config, err);
    if (rc != ERR_NONE)
        router_destroy(&self);
    *self_p = self;
    return rc;
}

errcode_t router_start(router_t *self, err_t *err)
{
    errcode_t rc;

    if (self->transport == NULL)
        return ERR_NONE;
    rc = transport_start(self->transport, err);
    if (rc == ERR_NONE) {
        metrics_register(transport_metrics, self->transport);
        self->metrics = true;
    }
    return rc;
}

bool router_wait_birth(router_t *self, int64_t timeout_us)
{
    struct timespec until;
    const bool *settled = self->shared ? &self->partitions_known : &self->birth_known;
    bool known;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_us / 1000000);
    until.tv_nsec += (long)(timeout_us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&self->lock);
    while (!*settled && pthread_cond_timedwait(&self->settled, &self->lock, &until) != ETIMEDOUT)
        continue;
    known = *settled;
    (void)pthread_mutex_unlock(&self->lock);
    return known;
}

const birth_t *router_birth(const router_t *self)
{
    INVARIANT(!self->shared);
    return &self->birth;
}

void router_attach(router_t *self, shard_t *const *shards, size_t shard_count,
                   const uint16_t *shard_of_partition)
{
    const birth_t *birth = &self->birth;

    INVARIANT(!atomic_load(&self->attached));
    if (self->shared) {
        INVARIANT(shards == NULL && shard_count == 0 && shard_of_partition == NULL);
        atomic_store_explicit(&self->attached, true, memory_order_release);
        return;
    }
    self->shards = memory_alloc(shard_count * sizeof(shard_t *));
    memcpy(self->shards, shards, shard_count * sizeof(shard_t *));
    self->shard_count = shard_count;
    for (uint32_t i = 0; i <= birth->partitions; i++) {
        if (birth->owners[i] != birth->node)
            continue;
        INVARIANT(shard_of_partition[i] < shard_count);
        self->shard_of[i] = shard_of_partition[i];
    }
    atomic_store_explicit(&self->attached, true, memory_order_release);
}

void router_stop(router_t *self)
{
    if (self->transport != NULL)
        transport_stop(self->transport);
    if (self->parking != NULL)
        parking_stop(self->parking);
}

void router_destroy(router_t **self_p)
{
    router_t *self = *self_p;

    if (self == NULL)
        return;
    router_stop(self);
    if (self->metrics)
        metrics_unregister(transport_metrics, self->transport);
    transport_destroy(&self->transport);
    if (self->shared)
        router_close_shared(self);
    members_destroy(&self->members);
    buffer_free(&self->troubles);
    (void)pthread_cond_destroy(&self->settled);
    (void)pthread_cond_destroy(&self->grown);
    (void)pthread_mutex_destroy(&self->watch);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->shards);
    free(self);
    *self_p = NULL;
}

static errcode_t open_alone(router_t *self, err_t *err)
{
    birth_t birth;
    bool found;
    errcode_t rc = genesis_load(self->config.store, &birth, &found, err);

    if (rc == ERR_NONE && !found)
        rc = genesis_single(self->config.store, self->config.random, self->config.partitions,
                            &birth, err);
    else if (rc == ERR_NONE && strcmp(birth.names[0], BIRTH_NAME_SINGLE) != 0)
        rc = err_set(err, ERR_STATE,
                     "this data belongs to node %s of a cluster: start it with its cluster address "
                     "and the addresses of its peers",
                     birth.names[birth.node]);
    if (rc == ERR_NONE)
        publish_birth(self, &birth);
    return rc;
}

static errcode_t open_with_peers(router_t *self, const router_config_t *config, err_t *err)
{
    const char *keys = config->keys_directory != NULL ? config->keys_directory : "";
    transport_config_t transport;
    errcode_t rc = addresses_parse(&self->addresses, config->listen,
                                   config->peers != NULL ? config->peers : "", err);

    if (rc == ERR_NONE && strlen(keys) >= sizeof self->keys_directory)
        rc = err_set(err, ERR_INVALID, "the path of the keys is too long");
    if (rc == ERR_NONE)
        rc = birthing_open(&self->birthing, config->store, config->random, &self->addresses,
                           config->partitions, err);
    if (rc == ERR_NONE && self->birthing.born &&
        strcmp(self->birthing.birth.names[0], BIRTH_NAME_SINGLE) == 0)
        rc = err_set(err, ERR_STATE,
                     "this data belongs to a single node; it cannot become a cluster's");
    if (rc == ERR_NONE && !self->birthing.born &&
        (self->addresses.count > config->partitions || config->partitions > BIRTH_PARTITIONS_MAX))
        rc = err_set(err, ERR_INVALID, "%zu nodes cannot share %u partitions (at most %d)",
                     self->addresses.count, config->partitions, BIRTH_PARTITIONS_MAX);
    if (rc != ERR_NONE)
        return rc;

    memcpy(self->keys_directory, keys, strlen(keys) + 1);
    self->members = members_new(&self->addresses, &config->incarnation, config->partitions);
    if (self->birthing.born)
        members_set_birth(self->members, &self->birthing.birth);
    members_changed(self, self->members, &self->birthing);
    transport = (transport_config_t){
        .addresses = &self->addresses,
        .keys_directory = keys[0] != '\0' ? self->keys_directory : NULL,
        .incarnation = config->incarnation,
        .partitions = config->partitions,
        .clock = config->clock,
        .members = self->members,
        .birthing = &self->birthing,
        .hooks = {.state = self,
                  .post = router_post_here,
                  .deliver = router_deliver_here,
                  .query = router_query_here,
                  .changed = members_changed},
    };
    return transport_open(&self->transport, &transport, err);
}

/* On the transport's thread. */
static void members_changed(void *state, const members_t *members, const birthing_t *birthing)
{
    router_t *self = state;

    for (uint32_t i = 0; birthing_done(birthing) && i <= birthing->birth.partitions; i++) {
        size_t link = 0;
        owner_kind_t kind = members_owner(members, (uint16_t)i, &link);
        uint32_t route = (uint32_t)kind << 24;

        if (kind == OWNER_LINK)
            route |= (uint32_t)link | (members_is_up(members, link) ? ROUTE_UP : 0);
        atomic_store_explicit(&self->routes[i], route, memory_order_relaxed);
    }
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < members_count(members); i++) {
        const link_hello_t *hello =
            i == members_own(members) ? NULL : members_last_hello(members, i);

        self->up[i] = hello != NULL && members_is_up(members, i);
        self->named[i] = hello != NULL && hello->born && birthing_done(birthing) &&
                         hash_equal(&hello->cluster, &birthing->birth.cluster);
        self->node_of_link[i] = hello != NULL ? hello->node : 0;
        self->partitions_of[i] = 0;
        for (uint32_t k = 0; self->named[i] && k <= hello->partitions; k++)
            self->partitions_of[i] += link_hello_owns(hello, (uint16_t)k);
    }
    buffer_reset(&self->troubles);
    members_troubles(members, &self->troubles);
    birthing_troubles(birthing, members, &self->troubles);
    (void)pthread_mutex_unlock(&self->lock);
    if (birthing_done(birthing))
        publish_birth(self, &birthing->birth);
}

/* The first time counts: the record never changes again while this process runs. */
static void publish_birth(router_t *self, const birth_t *birth)
{
    (void)pthread_mutex_lock(&self->lock);
    if (!self->birth_known) {
        self->birth = *birth;
        self->birth_known = true;
        atomic_store(&self->partitions, birth->partitions);
        for (uint32_t i = 0; self->alone && i <= birth->partitions; i++)
            atomic_store(&self->routes[i], (uint32_t)OWNER_SELF << 24);
        (void)pthread_cond_broadcast(&self->settled);
    }
    (void)pthread_mutex_unlock(&self->lock);
}
