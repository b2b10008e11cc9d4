/* world.h - a whole cluster on one thread: real partitions, simulated disk, network, clock
 *
 * Contract   N nodes, each with a store in memory, an embedded journal, a catalogue and its partitions. Frames between
 *            partitions travel through a network that delays, drops, doubles and reorders as told, all from one seed:
 *            the same seed gives the same run. A node can be killed at the points of world_crash_t and started again; its
 *            store forgets what was not synced. world_call() runs the world until the answer is there.
 * Threads    One.
 * Ownership  The world owns everything; results are copied into the caller's buffer.
 * Units      Virtual microseconds.
 * Errors     world_call() returns the request's err_t; an invariant that breaks ends the process (with the seed printed).
 */
#ifndef FEALTY_WORLD_H
#define FEALTY_WORLD_H

#include "actors/partition.h"
#include "actors/query.h"

#define WORLD_NODES_MAX      8
#define WORLD_PARTITIONS_MAX 32

typedef struct world world_t;

typedef struct {
    uint64_t seed;
    uint16_t nodes;
    uint16_t partitions;           /* of customers */
    uint32_t drop_ppm, double_ppm; /* of frames */
    int64_t
        delay_max_us; /* each frame takes 1..delay_max_us: more than one round means reordering */
    uint32_t account_max; /* see partition_config_t */
    bool ahead; /* a round is decided while the one before is being written, as a shard does it */
} world_config_t;

/* Where a node dies in its round. */
typedef enum {
    CRASH_NONE,
    CRASH_BEFORE_COMMIT, /* decided and appended, nothing on disk */
    CRASH_AFTER_COMMIT,  /* on disk, but no reply and no message has left */
    CRASH_AFTER_REPLIES  /* replies left, frames of this round are lost */
} world_crash_t;

world_t *world_new(const world_config_t *config);
void world_destroy(world_t **self_p);

int64_t world_now_us(const world_t *self);
void world_advance(world_t *self, int64_t us); /* lets time pass without running anything */
uint64_t world_random(world_t *self);
uint16_t world_partitions(
    const world_t *self); /* of customers: the number of the catalogue's partition */
uint16_t world_nodes(const world_t *self);
uint16_t world_partition_of(const world_t *self, const uuid16_t *customer);
uint16_t world_node_of(const world_t *self, uint16_t partition);

/* Posts a command; the answer is collected by world_answer(). Returns a ticket. 0 when the node is down. */
size_t world_post(world_t *self, uint16_t partition, const command_t *command);
/* true when the ticket has its answer: err_t, and the encoded result appended to *out (may be NULL). */
bool world_answer(world_t *self, size_t ticket, err_t *err, buffer_t *out);
/* Posts and runs the world until the answer is there, at most `patience_us` of virtual time; ERR_UNKNOWN_OUTCOME after. */
errcode_t world_call(world_t *self, uint16_t partition, const command_t *command, result_t *result,
                     err_t *err);

/* One round of every node that is up, in an order from the seed; time moves on. */
void world_step(world_t *self);
/* Until nothing waits in any outbox; false after `steps`. */
bool world_settle(world_t *self, unsigned steps);

void world_crash_next(world_t *self, uint16_t node,
                      world_crash_t where); /* in its next round that seals a record */
/* The same in the k-th round from now that seals a record; k from 1. */
void world_crash_at(world_t *self, uint16_t node, world_crash_t where, unsigned k);
bool world_is_up(const world_t *self, uint16_t node);
void world_kill(world_t *self, uint16_t node);
/* ERR_NONE also when it died in its first round because it was told to. */
errcode_t world_start(world_t *self, uint16_t node, err_t *err);

/* Images of a node's disk, for restores from older copies. */
store_t *world_image(world_t *self, uint16_t node);
void world_restore(world_t *self, uint16_t node, store_t **image_p); /* node must be down */

/* Runs a query at a partition's owner (must be up); rows are borrowed from *answer. */
errcode_t world_query(world_t *self, uint16_t partition, const query_t *query, buffer_t *answer,
                      answer_t *out, err_t *err);
const char *world_trouble(world_t *self,
                          uint16_t partition); /* NULL when all is well or the node is down */
catalogue_t *world_catalogue(world_t *self, uint16_t node);
store_t *world_store(world_t *self, uint16_t node);
const position_t *world_position(world_t *self, uint16_t partition);

/* Ready-made: defines a program and a tier, enrols a customer, reads an account. All INVARIANT success. */
uint32_t world_program(world_t *self, const char *json_members);
uint32_t world_tier(world_t *self, uint32_t program, const char *json_members);
uuid16_t world_customer(world_t *self, uint64_t number);
uint64_t world_enrol(world_t *self, const uuid16_t *customer, uint32_t program, points_t opening);
void world_account(world_t *self, uint64_t account, account_t *out);
/* Proves an account: postings = available = lots, chain, counters (query_run RECONCILE). */
bool world_books_hold(world_t *self, uint64_t account, err_t *err);

#endif
