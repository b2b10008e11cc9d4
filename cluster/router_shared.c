/* router_shared.c - on a shared log: where each partition lives, from what this node's log and its peers say
 *
 * Two sources meet under one lock: the own copies (router_set_owned) and the peers that are up (members_changed). A
 * partition is here when it is owned here and no peer that is up names a higher epoch: the log has decided then, and this
 * node will read it soon.
 */
#include "cluster/router_state.h"

#include "protocol/log.h"
#include "protocol/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

static errcode_t open_transport(router_t *self, const router_config_t *config, err_t *err);
static void members_changed(void *state, const members_t *members, const birthing_t *birthing);
static void tell_cluster(router_t *self);
static bool publish_route(router_t *self, uint16_t partition);
static void name_link(router_t *self, size_t link, const char *address);
static void shared_metrics(void *router, buffer_t *out);

errcode_t router_open_shared(router_t *self, const router_config_t *config, err_t *err)
{
    const parking_config_t parking = {
        .clock = config->clock,
        .max = config->parked_max != 0 ? config->parked_max : 4096,
        .state = self,
        .ready = router_parked_ready,
        .resume = router_parked_resume,
        .give_up = router_parked_give_up,
    };
    const barriers_config_t barriers = {
        .state = self, .post = router_post_here, .passed = router_barrier_passed};
    int64_t now_us = clock_boot_us(config->clock);
    const char *listen = config->listen != NULL ? config->listen : "";
    errcode_t rc = ERR_NONE;

    self->log = *config->shared;
    for (size_t i = 0; i <= BIRTH_PARTITIONS_MAX; i++)
        atomic_init(&self->unowned_us[i], now_us);
    if (config->partitions == 0 || config->partitions > BIRTH_PARTITIONS_MAX)
        return err_set(err, ERR_INVALID, "%u partitions are not 1 to %d", config->partitions,
                       BIRTH_PARTITIONS_MAX);
    if (config->peers != NULL && config->peers[0] != '\0')
        return err_set(err, ERR_INVALID,
                       "on a shared log the peers' addresses come from the log, not from a list");
    if (listen[0] != '\0')
        rc = address_check(listen, NULL, NULL, err);
    if (rc != ERR_NONE)
        return rc;
    memcpy(self->listen, listen, strlen(listen) + 1);
    self->barriers = barriers_new(&barriers);
    rc = parking_open(&self->parking, &parking, err);
    if (rc == ERR_NONE && listen[0] != '\0')
        rc = open_transport(self, config, err);
    if (rc == ERR_NONE)
        metrics_register(shared_metrics, self);
    return rc;
}

/* After the transport was stopped; also of what was opened half. */
void router_close_shared(router_t *self)
{
    router_name_t *name = self->all_names;

    metrics_unregister(shared_metrics, self);
    parking_destroy(&self->parking);
    barriers_destroy(&self->barriers);
    while (name != NULL) {
        router_name_t *next = name->next;

        free(name);
        name = next;
    }
}

void router_set_cluster(router_t *self, const hash_t *cluster)
{
    INVARIANT(self->shared);
    (void)pthread_mutex_lock(&self->lock);
    self->cluster = *cluster;
    self->cluster_known = true;
    tell_cluster(self);
    (void)pthread_mutex_unlock(&self->lock);
}

void router_set_partitions(router_t *self, uint16_t partitions)
{
    INVARIANT(self->shared);
    INVARIANT(partitions > 0 && partitions <= BIRTH_PARTITIONS_MAX);
    (void)pthread_mutex_lock(&self->lock);
    INVARIANT(!self->partitions_known || router_partitions(self) == partitions);
    atomic_store(&self->partitions, partitions);
    self->partitions_known = true;
    tell_cluster(self);
    atomic_store_explicit(&self->counted, true, memory_order_release);
    (void)pthread_cond_broadcast(&self->settled);
    (void)pthread_mutex_unlock(&self->lock);
}

void router_set_members(router_t *self, const char *const *addresses, size_t count)
{
    const char *others[ADDRESSES_MAX];
    size_t other_count = 0;

    INVARIANT(self->shared);
    for (size_t i = 0; i < count; i++) {
        if (addresses[i][0] == '\0' || strcmp(addresses[i], self->listen) == 0)
            continue;
        if (other_count == ADDRESSES_MAX - 1) { /* one link is this node's own */
            log_error("the view has more than %d other members: the rest is not dialled",
                      ADDRESSES_MAX - 1);
            break;
        }
        others[other_count++] = addresses[i];
    }
    if (self->transport != NULL)
        transport_set_members(self->transport, others, other_count);
}

void router_set_owned(router_t *self, uint16_t partition, uint64_t epoch, bool owned)
{
    uint64_t *present;
    bool changed = false;

    INVARIANT(self->shared);
    INVARIANT(partition <= BIRTH_PARTITIONS_MAX);
    INVARIANT(epoch > 0 || !owned);
    (void)pthread_mutex_lock(&self->lock);
    present = &self->own_epochs[partition];
    if (epoch >= *present && *present != (owned ? epoch : 0)) {
        *present = owned ? epoch : 0;
        changed = publish_route(self, partition);
        if (self->transport != NULL)
            transport_set_owned(self->transport, partition, *present);
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (changed)
        parking_changed(self->parking);
}

const char *router_shared_owner_name(const router_t *self, uint16_t partition)
{
    const char *name = NULL;

    if (partition > BIRTH_PARTITIONS_MAX)
        return "";
    (void)pthread_mutex_lock((pthread_mutex_t *)&self->lock);
    switch (ROUTE_KIND(route_of(self, partition))) {
    case OWNER_SELF: name = self->listen[0] != '\0' ? self->listen : BIRTH_NAME_SINGLE; break;
    case OWNER_LINK: name = self->names[self->best.links[partition]]; break;
    default: break;
    }
    (void)pthread_mutex_unlock((pthread_mutex_t *)&self->lock);
    return name != NULL ? name : "";
}

uint16_t router_bulk_port(router_t *self, const char *address)
{
    uint16_t port = 0;

    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < ADDRESSES_MAX && port == 0; i++) {
        if (self->names[i] != NULL && strcmp(self->names[i], address) == 0)
            port = self->bulk_ports[i];
    }
    (void)pthread_mutex_unlock(&self->lock);
    return port;
}

errcode_t router_no_owner(const router_t *self, uint16_t partition, err_t *err)
{
    const char *name = router_shared_owner_name(self, partition);

    if (!atomic_load_explicit(&self->counted, memory_order_acquire))
        return err_set(err, ERR_UNREACHABLE, "this node is starting");
    if (name[0] == '\0' || route_is_usable(route_of(self, partition)))
        return err_set(err, ERR_UNREACHABLE,
                       "partition %u has no owner at the moment; it is being taken over",
                       partition);
    return err_set(err, ERR_UNREACHABLE,
                   "node %s cannot be reached; partition %u is being taken over", name, partition);
}

static errcode_t open_transport(router_t *self, const router_config_t *config, err_t *err)
{
    const char *keys = config->keys_directory != NULL ? config->keys_directory : "";
    transport_config_t transport;

    if (strlen(keys) >= sizeof self->keys_directory)
        return err_set(err, ERR_INVALID, "the path of the keys is too long");
    memcpy(self->keys_directory, keys, strlen(keys) + 1);
    self->addresses.count = 1;
    memcpy(self->addresses.text[0], self->listen, sizeof self->listen);
    self->members = members_new_shared(self->listen, &config->incarnation, config->partitions);
    members_set_bulk_port(self->members, config->bulk_port);
    transport = (transport_config_t){
        .addresses = &self->addresses,
        .keys_directory = keys[0] != '\0' ? self->keys_directory : NULL,
        .incarnation = config->incarnation,
        .partitions = config->partitions,
        .clock = config->clock,
        .members = self->members,
        .hooks = {.state = self,
                  .post = router_post_here,
                  .deliver = router_deliver_here,
                  .query = router_query_here,
                  .question = router_question,
                  .changed = members_changed},
    };
    return transport_open(&self->transport, &transport, err);
}

/* On the transport's thread. */
static void members_changed(void *state, const members_t *members, const birthing_t *birthing)
{
    router_t *self = state;
    bool changed = false;

    (void)birthing;
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < members_count(members); i++) {
        bool peer = members_is_peer(members, i);

        name_link(self, i, peer ? members_address(members, i) : NULL);
        self->up[i] = peer && members_is_up(members, i);
        self->bulk_ports[i] = self->up[i] ? members_bulk_port(members, i) : 0;
        self->partitions_of[i] = 0;
    }
    members_best(members, &self->best);
    for (uint32_t i = 0; i <= BIRTH_PARTITIONS_MAX; i++) {
        changed |= publish_route(self, (uint16_t)i);
        if (ROUTE_KIND(route_of(self, (uint16_t)i)) == OWNER_LINK)
            self->partitions_of[self->best.links[i]]++;
    }
    buffer_reset(&self->troubles);
    members_troubles(members, &self->troubles);
    (void)pthread_mutex_unlock(&self->lock);
    if (changed)
        parking_changed(self->parking);
}

/* Under the lock. */
static void tell_cluster(router_t *self)
{
    if (self->cluster_known && self->partitions_known && self->transport != NULL)
        transport_set_cluster(self->transport, &self->cluster, router_partitions(self));
}

/* Under the lock; true when the owner or the way to it changed. Whoever reads the number in `changes` first and the route
 * then, and finds the number unchanged later, knows that nothing has happened since. */
static bool publish_route(router_t *self, uint16_t partition)
{
    size_t link = self->best.links[partition];
    bool peer_up = self->best.epochs[partition] != 0 && self->up[link];
    uint64_t peer_epoch = self->best.epochs[partition];
    uint64_t own_epoch = self->own_epochs[partition];
    uint64_t epoch = 0;
    uint32_t route = (uint32_t)OWNER_NONE << 24;

    if (own_epoch != 0 && (!peer_up || own_epoch >= peer_epoch)) {
        route = (uint32_t)OWNER_SELF << 24;
        epoch = own_epoch;
    } else if (peer_epoch != 0) {
        route = (uint32_t)OWNER_LINK << 24 | (uint32_t)link | (peer_up ? ROUTE_UP : 0);
        epoch = peer_epoch;
    }
    if (route == route_of(self, partition) && epoch == self->route_epochs[partition])
        return false;
    if (!route_is_usable(route) && route_is_usable(route_of(self, partition)))
        atomic_store(&self->unowned_us[partition], clock_boot_us(self->config.clock));
    else if (route_is_usable(route))
        atomic_store(&self->unowned_us[partition], 0);
    self->route_epochs[partition] = epoch;
    atomic_store_explicit(&self->routes[partition], route, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&self->changes[partition], 1, memory_order_release);
    return true;
}

/* Under the lock. Addresses are kept for ever, since others hold them; members do not change often. */
static void name_link(router_t *self, size_t link, const char *address)
{
    router_name_t *name = self->all_names;

    if (address == NULL) {
        self->names[link] = NULL;
        return;
    }
    if (self->names[link] != NULL && strcmp(self->names[link], address) == 0)
        return;
    while (name != NULL && strcmp(name->text, address) != 0)
        name = name->next;
    if (name == NULL && self->name_count < ROUTER_NAMES_MAX) {
        name = memory_zalloc(sizeof *name);
        memcpy(name->text, address, strlen(address) + 1);
        name->next = self->all_names;
        self->all_names = name;
        self->name_count++;
    }
    self->names[link] = name != NULL ? name->text : "another-node";
}

static void shared_metrics(void *router, buffer_t *out)
{
    router_t *self = router;

    buffer_printf(out,
                  "# HELP fealty_cluster_resumed_total Commands and reads that waited for their "
                  "partition's owner, and went on\n"
                  "# TYPE fealty_cluster_resumed_total counter\n"
                  "fealty_cluster_resumed_total %" PRIuFAST64 "\n",
                  atomic_load_explicit(&self->resumed, memory_order_relaxed));
    buffer_printf(out,
                  "# HELP fealty_cluster_parked Requests that wait for their partition's owner\n"
                  "# TYPE fealty_cluster_parked gauge\nfealty_cluster_parked %" PRIu32 "\n",
                  parking_count(self->parking));
}
