/* router_state.h - what a router is made of; for the files of the router only
 *
 * Contract   router_setup.c writes it, router.c and router_ready.c read it. `routes` is the only thing that changes
 *            after router_attach and is read without the lock. On a shared log router_shared.c writes `routes`, each
 *            time together with its number in `changes`; router_resend.c and router_reads.c follow the changes.
 * Threads    Stated at each member.
 * Ownership  Stated at each member.
 * Units      Nothing to say.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_ROUTER_STATE_H
#define FEALTY_ROUTER_STATE_H

#include "cluster/barriers.h"
#include "cluster/parking.h"
#include "cluster/router_setup.h"
#include "cluster/transport.h"

#include <pthread.h>

/* A route: kind of owner, whether it is up, and the link to it. */
#define ROUTE_KIND(route) ((owner_kind_t)((route) >> 24))
#define ROUTE_UP          UINT32_C(0x00800000)
#define ROUTE_LINK(route) ((size_t)((route)&0xffff))

#define TROUBLES_BYTES_MAX ((size_t)64 * 1024)

/* How long a request waits for an owner, and how often it is sent at most. */
#define OWNER_WAIT_US INT64_C(1000000)
#define OWNER_SENDS   4
/* A partition that had no owner for so long will not have one within a moment: requests are told at once, so that
 * they do not keep workers from partitions that do well. */
#define OWNER_HOPELESS_US INT64_C(5000000)

/* What router_owner_name lends for ever: an address that was a member's once. */
typedef struct router_name {
    struct router_name *next;
    char text[ADDRESS_BYTES];
} router_name_t;
#define ROUTER_NAMES_MAX 4096

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

    /* On a shared log. */
    bool shared;
    router_shared_t log;
    char listen[ADDRESS_BYTES]; /* "": nobody can dial this node */
    parking_t *parking;         /* owned */
    barriers_t *barriers;       /* owned */
    atomic_uint changes[BIRTH_PARTITIONS_MAX +
                        1]; /* grows whenever a partition's owner or the way to it changes */
    atomic_int_least64_t
        unowned_us[BIRTH_PARTITIONS_MAX + 1]; /* since when no way leads there; 0: one does */
    atomic_uint_fast64_t resumed; /* commands and reads that waited for an owner, and went on */
    atomic_bool counted;          /* the number of partitions is the log's */
    /* Reads that wait until the copy here has reached a place. */
    atomic_uint stored;    /* grows whenever effects were stored */
    atomic_uint watchers;  /* that wait for it to grow, or are about to */
    pthread_mutex_t watch; /* of `grown` only */
    pthread_cond_t grown;
    /* under the lock */
    bool cluster_known;
    hash_t cluster;
    bool partitions_known;
    uint64_t route_epochs[BIRTH_PARTITIONS_MAX + 1]; /* of the owner that `routes` names */
    uint64_t own_epochs[BIRTH_PARTITIONS_MAX + 1];   /* 0: not owned here */
    members_best_t best;                             /* of the peers */
    const char *names[ADDRESSES_MAX]; /* borrowed from all_names; NULL: no member has this link */
    router_name_t *all_names;         /* owned list */
    size_t name_count;
    uint16_t bulk_ports[ADDRESSES_MAX]; /* of peers that are up; 0: none */
};

static inline uint32_t route_of(const router_t *self, uint16_t partition)
{
    /* Words that are not set yet say OWNER_NONE. */
    return partition <= BIRTH_PARTITIONS_MAX
               ? atomic_load_explicit(&self->routes[partition], memory_order_relaxed)
               : 0;
}

static inline bool route_is_usable(uint32_t route)
{
    return ROUTE_KIND(route) == OWNER_SELF ||
           (ROUTE_KIND(route) == OWNER_LINK && (route & ROUTE_UP) != 0);
}

/* What came back with this code, from the route that was seen with number `seen`, was not applied, and another owner may
 * take it. An owner that says ERR_UNREACHABLE has a reason that waiting does not mend (its log does not answer): then it
 * is worth another try only if there is another owner already. */
static inline bool may_be_sent_again(const router_t *self, errcode_t code, uint16_t partition,
                                     uint32_t seen)
{
    return code == ERR_NOT_OWNER ||
           (code == ERR_UNREACHABLE &&
            atomic_load_explicit(&self->changes[partition], memory_order_acquire) != seen &&
            route_is_usable(route_of(self, partition)));
}

/* Hooks of the transport; `state` is the router. They serve own partitions only. */
errcode_t router_post_here(void *state, request_t *request, err_t *err);
void router_deliver_here(void *state, uint16_t dst, const void *frame, size_t n);
errcode_t router_query_here(void *state, uint16_t partition, const void *query, size_t n,
                            buffer_t *answer, err_t *err);

/* router.c */
errcode_t router_ask_elsewhere(router_t *self, uint16_t partition, uint32_t route, link_kind_t kind,
                               const buffer_t *query, int64_t deadline_us, waiter_t *waiter,
                               request_t **asked, err_t *err);
bool router_is_answered(request_t *request);
errcode_t router_take_answer(request_t *request, buffer_t *answer, err_t *err);
bool router_wait_for(router_t *self, waiter_t *waiter, unsigned count, int64_t deadline_us);
errcode_t router_late(const router_t *self, uint16_t partition, err_t *err);

/* router_shared.c: a shared log. */
errcode_t router_open_shared(router_t *self, const router_config_t *config, err_t *err);
void router_close_shared(router_t *self);
const char *router_shared_owner_name(const router_t *self, uint16_t partition);
/* ERR_UNREACHABLE and why. */
errcode_t router_no_owner(const router_t *self, uint16_t partition, err_t *err);

/* router_resend.c: commands that find their owner. */
errcode_t router_post_shared(router_t *self, request_t *request, err_t *err);
/* Waits until the route of a partition is a usable one and another than `seen`. *until_us is the end of its patience
 * on the boot clock, 0: set it. false: it is over. */
bool router_await_owner(router_t *self, uint16_t partition, uint32_t seen, int64_t deadline_us,
                        int64_t *until_us);
/* Hooks of the parking. */
bool router_parked_ready(void *state, const parked_t *parked);
void router_parked_resume(void *state, parked_t *parked);
void router_parked_give_up(void *state, parked_t *parked);

/* router_reads.c: answers[i] belongs to partition first + i. */
errcode_t router_read_shared(router_t *self, uint16_t first, uint16_t count, read_level_t level,
                             const buffer_t *query, int64_t deadline_us, buffer_t *answers,
                             err_t *err);
/* Hooks of the transport and of the barriers. */
errcode_t router_question(void *state, request_t *question, bool any, err_t *err);
void router_barrier_passed(void *state, request_t *waiting, const err_t *err);

#endif
