/* shared_node.h - one simulated node on a shared log: the real replicas and governor, driven as a shard drives them
 *
 * Contract   A node is its disk (a store in memory that forgets unsynced writes) and, while it is up, a process: a
 *            journal on the shared log, replicas of all partitions, a governor. node_pass() is one pass of the driver,
 *            in the order that replica.h gives. Its clocks are its own: wall time with an offset, a rate and jumps,
 *            behind the same steady clock as a real node's; boot time that only runs.
 * Threads    One.
 * Ownership  The log and the hooks are borrowed. Requests posted are taken over.
 * Units      Virtual microseconds.
 * Errors     node_start: those of the store.
 */
#ifndef FEALTY_SHARED_NODE_H
#define FEALTY_SHARED_NODE_H

#include "actors/replica.h"
#include "cluster/governor.h"
#include "node/steady_clock.h"
#include "tests/sim/dice.h"
#include "tests/sim/log_shared.h"

#define NODE_PARTITIONS_MAX 256
#define NODE_MAIL_MAX       4096

typedef struct {
    size_t number;
    uint16_t partitions; /* of customers */
    uint8_t followers;
    uint32_t pair_max; /* messages that may wait for one partition; 0: as in real life */
    log_shared_t *log;
    void (*send)(void *state, size_t node, uint16_t dst, const void *frame, size_t n);
    bool fills; /* copies are filled from others, see shared_fill.h */
    struct node *(*peer)(void *state, size_t node);
    void *state;
} node_config_t;

typedef struct {
    uint16_t partition;
    size_t n;
    uint8_t *bytes; /* owned */
} frame_mail_t;

/* The copy that is being filled. */
typedef struct {
    bool running, cancelled;
    uint16_t partition;
    hash_t history; /* zero: see filler_t */
    size_t sources[FILLS_SOURCES_MAX], source_count;
    int64_t due_us;
} node_fill_t;

typedef struct node {
    node_config_t config;
    dice_t dice;
    random_source_t random; /* on the dice */
    hash_t id;              /* of its data directory */
    store_t *store;         /* owned: the disk survives the process */

    /* clocks: wall = virtual time + wall_off_us + ppm of the time since the last setting */
    int64_t now_us; /* virtual */
    int64_t wall_off_us, wall_set_at_us, wall_ppm;
    clock_source_t raw;
    steady_clock_t steady;

    bool up, paused, leaving, left; /* leaving: releases everything; left: has */
    uint64_t process;               /* counts starts */
    hash_t incarnation;
    journal_t *journal;     /* owned while up */
    catalogue_t *catalogue; /* likewise */
    row_cache_t *cache;
    governor_t *governor;
    replica_t *replicas[NODE_PARTITIONS_MAX + 1];
    bool touched[NODE_PARTITIONS_MAX + 1];
    uint16_t turn;        /* who may write first */
    frame_mail_t *frames; /* owned */
    size_t frame_count, frame_capacity;
    request_t *requests[NODE_MAIL_MAX]; /* one reference each */
    size_t request_count;
    buffer_t effects;
    node_fill_t fill;
    int64_t next_tick_us, last_pass_us;
} node_t;

void node_init(node_t *self, const node_config_t *config, uint64_t seed);
void node_free(node_t *self);

errcode_t node_start(node_t *self, int64_t now_us, err_t *err);
/* The process ends at once; its disk forgets what was not synced. Its requests are completed with
 * ERR_UNKNOWN_OUTCOME, whatever it would have said. */
void node_kill(node_t *self);
/* Everything so far is on its disk for good. */
void node_sync(node_t *self);

void node_pass(node_t *self, int64_t now_us);
int64_t node_next_us(const node_t *self, int64_t now_us); /* of its next pass */
void node_post(node_t *self, request_t *request);
void node_deliver(node_t *self, uint16_t partition, uint8_t *bytes, size_t n); /* takes bytes */
int64_t node_wall_us(const node_t *self);
void node_set_wall(node_t *self, int64_t now_us, int64_t off_us, int64_t ppm);

#endif
