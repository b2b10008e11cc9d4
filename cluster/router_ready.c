/* router_ready.c - what /readyz says */
#include "cluster/router_state.h"

#include <stdio.h>

static bool ready_shared(router_t *self, buffer_t *out);
static void ready_nodes(router_t *self, buffer_t *out, bool *all_up);
static void ready_troubles(router_t *self, buffer_t *out, bool *any);
static void add_troubles(buffer_t *out, const buffer_t *more);
static void strip_commas(const buffer_t *text, const uint8_t **bytes, size_t *n);

bool router_ready(router_t *self, buffer_t *out)
{
    bool attached = atomic_load_explicit(&self->attached, memory_order_acquire);
    uint32_t own = 0, ready = 0;
    bool all_up = true, any_trouble = false;
    buffer_t nodes, troubles;
    const char *status;
    char cluster[2 * HASH_BYTES + 1] = "";

    if (self->shared)
        return ready_shared(self, out);
    for (uint32_t i = 0; attached && i <= self->birth.partitions; i++) {
        if (self->birth.owners[i] != self->birth.node)
            continue;
        own++;
        ready += ROUTE_KIND(route_of(self, (uint16_t)i)) == OWNER_SELF &&
                 shard_ready(self->shards[self->shard_of[i]]);
    }
    buffer_init(&nodes, TROUBLES_BYTES_MAX);
    buffer_init(&troubles, TROUBLES_BYTES_MAX);
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; self->birth_known && i < HASH_BYTES; i++)
        (void)snprintf(cluster + 2 * i, 3, "%02x", self->birth.cluster.bytes[i]);
    ready_nodes(self, &nodes, &all_up);
    ready_troubles(self, &troubles, &any_trouble);
    if (!attached || ready < own)
        status = "starting";
    else
        status = all_up && !any_trouble ? "ready" : "degraded";
    buffer_printf(
        out,
        "{\"status\":\"%s\",\"node\":\"%s\",\"cluster\":\"%s\",\"partitions\":{\"own\":%u,"
        "\"ready\":%u},\"nodes\":[",
        status,
        self->birth_known ? self->birth.names[self->birth.node]
        : self->alone     ? BIRTH_NAME_SINGLE
                          : self->addresses.text[self->addresses.own],
        cluster, own, ready);
    (void)pthread_mutex_unlock(&self->lock);
    buffer_append(out, nodes.bytes, nodes.size);
    buffer_text(out, "],\"troubles\":[");
    buffer_append(out, troubles.bytes, troubles.size);
    buffer_text(out, "]}");
    buffer_free(&troubles);
    buffer_free(&nodes);
    return attached && ready == own;
}

/* On a shared log a node is ready when it knows its cluster; what it does not own itself it asks others for. */
static bool ready_shared(router_t *self, buffer_t *out)
{
    bool serves = atomic_load_explicit(&self->attached, memory_order_acquire) &&
                  atomic_load_explicit(&self->counted, memory_order_acquire);
    uint32_t own = 0, without_owner = 0;
    bool all_up = true;
    char cluster[2 * HASH_BYTES + 1] = "";
    const char *name = self->listen[0] != '\0' ? self->listen : BIRTH_NAME_SINGLE;
    const char *status = "starting";
    buffer_t nodes, troubles, local;

    buffer_init(&nodes, TROUBLES_BYTES_MAX);
    buffer_init(&troubles, TROUBLES_BYTES_MAX);
    buffer_init(&local, TROUBLES_BYTES_MAX);
    if (serves)
        self->log.troubles(self->log.state, &local);
    (void)pthread_mutex_lock(&self->lock);
    for (uint32_t i = 0; i <= router_partitions(self); i++) {
        own += ROUTE_KIND(route_of(self, (uint16_t)i)) == OWNER_SELF;
        without_owner += !route_is_usable(route_of(self, (uint16_t)i));
    }
    buffer_printf(&nodes, "{\"name\":\"%s\",\"up\":true,\"partitions\":%u}", name, own);
    for (size_t i = 0; i < ADDRESSES_MAX; i++) {
        if (self->names[i] == NULL)
            continue;
        all_up &= self->up[i];
        buffer_printf(&nodes, ",{\"name\":\"%s\",\"up\":%s,\"partitions\":%u}", self->names[i],
                      self->up[i] ? "true" : "false", self->partitions_of[i]);
    }
    for (size_t i = 0; self->cluster_known && i < HASH_BYTES; i++)
        (void)snprintf(cluster + 2 * i, 3, "%02x", self->cluster.bytes[i]);
    buffer_append(&troubles, self->troubles.bytes, self->troubles.size);
    (void)pthread_mutex_unlock(&self->lock);
    add_troubles(&troubles, &local);
    if (serves)
        status = all_up && without_owner == 0 && troubles.size == 0 ? "ready" : "degraded";
    buffer_printf(
        out,
        "{\"status\":\"%s\",\"node\":\"%s\",\"cluster\":\"%s\",\"partitions\":{\"own\":%u,"
        "\"ready\":%u,\"without_owner\":%u},\"nodes\":[",
        status, name, cluster, own, own, without_owner);
    buffer_append(out, nodes.bytes, nodes.size);
    buffer_text(out, "],\"troubles\":[");
    buffer_append(out, troubles.bytes, troubles.size);
    buffer_text(out, "]}");
    buffer_free(&local);
    buffer_free(&troubles);
    buffer_free(&nodes);
    return serves;
}

/* Under the lock. One object per node of the birth record, in its order. */
static void ready_nodes(router_t *self, buffer_t *out, bool *all_up)
{
    for (uint16_t node = 0; self->birth_known && node < self->birth.node_count; node++) {
        uint16_t owned[BIRTH_PARTITIONS_MAX + 1];
        size_t partitions = birth_owned(&self->birth, node, owned);
        const char *address = NULL;
        bool up = node == self->birth.node;

        for (size_t i = 0; !self->alone && i < self->addresses.count; i++) {
            if (!self->named[i] || self->node_of_link[i] != node)
                continue;
            up |= self->up[i];
            address = self->addresses.text[i];
            partitions = self->partitions_of[i];
        }
        *all_up &= up;
        buffer_printf(out, "%s{\"name\":\"%s\",\"up\":%s,\"partitions\":%zu", node > 0 ? "," : "",
                      self->birth.names[node], up ? "true" : "false", partitions);
        if (address != NULL && strcmp(address, self->birth.names[node]) != 0)
            buffer_printf(out, ",\"address\":\"%s\"", address);
        buffer_text(out, "}");
    }
}

/* Under the lock. */
static void ready_troubles(router_t *self, buffer_t *out, bool *any)
{
    bool attached = atomic_load_explicit(&self->attached, memory_order_acquire);

    buffer_append(out, self->troubles.bytes, self->troubles.size);
    for (size_t i = 0; attached && i < self->shard_count; i++) {
        buffer_t one;

        buffer_init(&one, TROUBLES_BYTES_MAX);
        shard_troubles(self->shards[i], &one);
        add_troubles(out, &one);
        buffer_free(&one);
    }
    *any = out->size > 0;
}

static void add_troubles(buffer_t *out, const buffer_t *more)
{
    const uint8_t *bytes;
    size_t n;

    strip_commas(more, &bytes, &n);
    if (n > 0 && out->size > 0)
        buffer_text(out, ",");
    buffer_append(out, bytes, n);
}

static void strip_commas(const buffer_t *text, const uint8_t **bytes, size_t *n)
{
    size_t first = 0, end = text->size;

    while (first < end && text->bytes[first] == ',')
        first++;
    while (end > first && text->bytes[end - 1] == ',')
        end--;
    *bytes = text->bytes + first;
    *n = end - first;
}
