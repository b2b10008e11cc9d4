/* router_setup.h - making and running a router; wiring, for node/ and tests only
 *
 * Contract   Order of a start: router_open (reads or writes the birth record), router_start (opens sockets when there
 *            are peers), router_wait_birth (a first start of a cluster: until all nodes have stored their birth),
 *            then shards are made for birth_owned(), then router_attach: from there on this node serves.
 *            Order of a stop: shard_stop for all, router_stop, shard_destroy, router_destroy.
 *            Without peers there is no transport thread and no ZeroMQ context.
 * Threads    router_send: any shard thread. The rest: the thread that wires the node.
 * Ownership  store, catalogue, clock, random and shards are borrowed until router_destroy; texts are copied.
 * Units      Microseconds.
 * Errors     ERR_STATE: the store belongs to another way of running (a single node's, a cluster's, an empty one in a
 *            cluster that exists), or keys are missing; ERR_INVALID: addresses; ERR_IO: sockets.
 */
#ifndef FEALTY_ROUTER_SETUP_H
#define FEALTY_ROUTER_SETUP_H

#include "actors/shard.h"
#include "cluster/genesis.h"
#include "cluster/router.h"

typedef struct {
    store_t *store;
    catalogue_t *catalogue;
    const clock_source_t *clock;
    const random_source_t *random;
    hash_t incarnation; /* fresh per process; also given to the shards */
    uint16_t
        partitions; /* of customers; used at genesis only, later the birth record's count holds */
    const char *listen; /* own cluster address HOST:PORT; NULL or "": no peers */
    const char *peers;  /* all cluster addresses, the own one included, in any order */
    const char
        *keys_directory; /* see keys.h; NULL or "": none, which only loopback addresses may do */
} router_config_t;

errcode_t router_open(router_t **self_p, const router_config_t *config, err_t *err);
errcode_t router_start(router_t *self, err_t *err);
/* true once the birth record is stored and settled; without peers at once. Waits at most timeout_us: call it in a
 * loop to watch for a wish to stop. While it waits, router_ready says what is missing. */
bool router_wait_birth(router_t *self, int64_t timeout_us);
/* Valid after router_wait_birth returned true; immutable from then on. */
const birth_t *router_birth(const router_t *self);

/* shard_of_partition[p] = index into shards for every own partition p; the catalogue's is number `partitions`. */
void router_attach(router_t *self, shard_t *const *shards, size_t shard_count,
                   const uint16_t *shard_of_partition);
/* The `send` of shard_hooks_t: to another local shard, or to the node that owns dst. `router` is a router_t. */
void router_send(void *router, uint16_t dst, const void *frame, size_t n);

void router_stop(router_t *self);
void router_destroy(router_t **self_p);

#endif
