/* router_state.h - what a router is made of; for the files of the router only
 *
 * Contract   router_setup.c writes it, router.c and router_ready.c read it. `routes` is the only thing that changes
 *            after router_attach and is read without the lock.
 * Threads    Stated at each member.
 * Ownership  Stated at each member.
 * Units      Nothing to say.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_ROUTER_STATE_H
#define FEALTY_ROUTER_STATE_H

#include "cluster/router_setup.h"
#include "cluster/transport.h"

#include <pthread.h>

/* A route: kind of owner, whether it is up, and the link to it. */
#define ROUTE_KIND(route) ((owner_kind_t)((route) >> 24))
#define ROUTE_UP          UINT32_C(0x00800000)
#define ROUTE_LINK(route) ((size_t)((route)&0xffff))

#define TROUBLES_BYTES_MAX ((size_t)64 * 1024)

struct router {
    router_config_t config; /* the texts in it are not used after router_open */
    char keys_directory[256];
    bool alone; /* no peers */
    addresses_t addresses;
    members_t *members;     /* owned; the transport's thread */
    birthing_t birthing;    /* the transport's thread */
    transport_t *transport; /* owned; NULL without peers */
    bool metrics;           /* registered */

    atomic_uint partitions;
    atomic_uint routes[BIRTH_PARTITIONS_MAX + 1];
    atomic_bool attached; /* the members below are set and never change again */
    shard_t **shards;     /* owned array of borrowed shards */
    size_t shard_count;
    uint16_t shard_of[BIRTH_PARTITIONS_MAX + 1];

    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t settled;
    bool birth_known; /* birth is set and never changes again */
    birth_t birth;
    bool up[ADDRESSES_MAX];
    bool named[ADDRESSES_MAX]; /* a peer at this address said which node it is */
    uint16_t node_of_link[ADDRESSES_MAX];
    uint16_t partitions_of[ADDRESSES_MAX]; /* as advertised */
    buffer_t troubles;                     /* JSON strings with commas between */
};

static inline uint32_t route_of(const router_t *self, uint16_t partition)
{
    /* Words that are not set yet say OWNER_NONE. */
    return partition <= BIRTH_PARTITIONS_MAX
               ? atomic_load_explicit(&self->routes[partition], memory_order_relaxed)
               : 0;
}

/* Hooks of the transport; `state` is the router. They serve own partitions only. */
errcode_t router_post_here(void *state, request_t *request, err_t *err);
void router_deliver_here(void *state, uint16_t dst, const void *frame, size_t n);
errcode_t router_query_here(void *state, uint16_t partition, const void *query, size_t n,
                            buffer_t *answer, err_t *err);

#endif
