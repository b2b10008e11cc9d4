/* router_setup.h - making and running a router; wiring, for node/ and tests only
 *
 * Contract   Order of a start: router_open (reads or writes the birth record), router_start (opens sockets when there
 *            are peers), router_wait_birth (a first start of a cluster: until all nodes have stored their birth),
 *            then shards are made for birth_owned(), then router_attach: from there on this node serves.
 *            Order of a stop: shard_stop for all, router_stop, shard_destroy, router_destroy.
 *            Without peers there is no transport thread and no ZeroMQ context.
 *            On a shared log (config.shared) there is no birth record and no list of peers: the log says who belongs to
 *            the cluster and who owns what, and the node passes it on with router_set_*. Order of a start: router_open,
 *            router_start, router_attach(self, NULL, 0, NULL) when the hooks can be called, then router_set_cluster,
 *            _partitions and _members when the first view was accepted (router_wait_birth waits for the partitions),
 *            router_set_owned with every change. Order of a stop: as above; the hooks must answer until router_stop
 *            has returned, and all that they took must be completed before router_destroy.
 *            A command or read for a partition without an owner waits up to 1 s for one, but not when it was without for
 *            more than 5 s; one that came back as not applied (ERR_NOT_OWNER) is sent again when the owner has changed,
 *            up to 4 times within that second. ERR_UNREACHABLE from a copy is no reason to wait.
 * Threads    router_send: any shard thread. router_set_*: any. The rest: the thread that wires the node.
 *            Hooks of a shared log run on any thread, and must not block.
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

/* What stands behind a router on a shared log. `post` and `deliver` are called only for partitions of which
 * router_set_owned said that they are owned here, all only between router_attach and the end of router_stop. */
typedef struct {
    void *state;
    /* To the local copy of request->partition; as shard_post. It may be called from within a request_complete. A copy
     * that is no owner (any more) answers ERR_NOT_OWNER: that must mean "not applied". */
    errcode_t (*post)(void *state, request_t *request, err_t *err);
    void (*deliver)(void *state, uint16_t dst, const void *frame, size_t n);
    /* This node's copy of a partition is near enough to the log for reads of level `any`. */
    bool (*follows)(void *state, uint16_t partition);
    /* For /readyz: JSON strings with commas between; nothing when all is well. */
    void (*troubles)(void *state, buffer_t *out);
} router_shared_t;

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
    const router_shared_t *shared; /* not NULL: partitions live on a shared log; copied */
    uint16_t bulk_port; /* shared: where this node gives snapshots, told to the peers; 0: nowhere */
    uint32_t parked_max; /* shared: commands and questions that wait for an owner; 0: 4,096 */
} router_config_t;

errcode_t router_open(router_t **self_p, const router_config_t *config, err_t *err);
errcode_t router_start(router_t *self, err_t *err);
/* true once the birth record is stored and settled; without peers at once; on a shared log once router_set_partitions
 * was called. Waits at most timeout_us: call it in a
 * loop to watch for a wish to stop. While it waits, router_ready says what is missing. */
bool router_wait_birth(router_t *self, int64_t timeout_us);
/* Valid after router_wait_birth returned true; immutable from then on. A shared log has none. */
const birth_t *router_birth(const router_t *self);

/* shard_of_partition[p] = index into shards for every own partition p; the catalogue's is number `partitions`. On a
 * shared log there are none to name: (self, NULL, 0, NULL). */
void router_attach(router_t *self, shard_t *const *shards, size_t shard_count,
                   const uint16_t *shard_of_partition);
/* The `send` of shard_hooks_t: to another local shard, or to the node that owns dst. `router` is a router_t. */
void router_send(void *router, uint16_t dst, const void *frame, size_t n);

/* On a shared log only. What the log says, as often as it changes; the same again is harmless. */
void router_set_cluster(router_t *self, const hash_t *cluster);
void router_set_partitions(router_t *self, uint16_t partitions); /* of customers; once */
/* Addresses of all members of the view, with or without the own one, "" for a member that cannot be dialled; copied.
 * Who is new is dialled, who is not there any more is hung up. */
void router_set_members(router_t *self, const char *const *addresses, size_t count);
/* The copy of a partition here became its owner in `epoch` (above 0), or stopped to be: then commands for it go
 * elsewhere at once, and all peers are told. An end that names an older epoch than the present one is ignored. */
void router_set_owned(router_t *self, uint16_t partition, uint64_t epoch, bool owned);
/* Effects of records were stored here, so questions that wait for a place in the log may look again. true: some wait. Any
 * thread; it hardly ever waits itself. */
bool router_stored(router_t *self);
/* Where the peer at this address gives snapshots, as it said last; 0: it is not up, or gives none. Any thread. */
uint16_t router_bulk_port(router_t *self, const char *address);

void router_stop(router_t *self);
void router_destroy(router_t **self_p);

#endif
