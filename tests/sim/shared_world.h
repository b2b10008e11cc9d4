/* shared_world.h - a whole cluster on a shared log, on one thread: real replicas and governors, simulated all else
 *
 * Contract   Virtual time jumps from event to event: an append lands, a letter arrives, a node's next pass is due. The
 *            same configuration and the same calls give the same run, bit for bit.
 *            An answer is told through `answered` at the moment at which the node gives it, or when the node dies: then
 *            its outcome is unknown. A question is a linearizable read: a barrier through the owner's log, and when that
 *            was answered the query on the same node's store, at once or a little later.
 * Threads    One.
 * Ownership  The world owns everything; what `answered` gets is borrowed for the call.
 * Units      Virtual microseconds UTC.
 * Errors     An invariant that breaks ends the process (with the seed printed by the program's main).
 */
#ifndef FEALTY_SHARED_WORLD_H
#define FEALTY_SHARED_WORLD_H

#include "actors/query.h"
#include "tests/sim/net.h"
#include "tests/sim/shared_node.h"

#define SHARED_NODES_MAX LOG_NODES_MAX
#define SHARED_START_US  INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */

typedef struct shared_world shared_world_t;

typedef struct {
    uint64_t seed;
    uint16_t nodes; /* that there are; each is started by shared_start() */
    uint16_t partitions;
    uint8_t followers;
    uint32_t pair_max; /* see node_config_t */
    bool fills;        /* likewise */
    bool prompt; /* a question's query runs in the very moment in which its barrier is answered */
    /* result: encoded result_t, or the answer of a question; NULL with an error. `place`: of a result; epoch 0 else. */
    void (*answered)(void *state, size_t ticket, const err_t *err, const void *result, size_t n,
                     const log_place_t *place);
    void *state;
} shared_config_t;

shared_world_t *shared_world_new(const shared_config_t *config);
void shared_world_destroy(shared_world_t **self_p);

int64_t shared_now_us(const shared_world_t *self);
/* Runs everything that is due in the next `us`. */
void shared_run_for(shared_world_t *self, int64_t us);
log_shared_t *shared_log(shared_world_t *self);
net_t *shared_net(shared_world_t *self);
node_t *shared_node(shared_world_t *self, size_t node);
uint16_t shared_partitions(const shared_world_t *self);
size_t shared_nodes(const shared_world_t *self);

/* Nodes. Each does nothing when it is so already. */
void shared_start(shared_world_t *self, size_t node);
void shared_kill(shared_world_t *self, size_t node);
void shared_pause(shared_world_t *self, size_t node);
void shared_resume(shared_world_t *self, size_t node);
/* Releases what it owns; the process ends when that is done. */
void shared_stop(shared_world_t *self, size_t node);
/* Both need a node that is down. An image can be put back once. */
void shared_wipe(shared_world_t *self, size_t node);
store_t *shared_image(shared_world_t *self, size_t node);
void shared_restore(shared_world_t *self, size_t node, store_t **image_p);

/* CLOSED while the node is down. */
replica_state_t shared_state(const shared_world_t *self, size_t node, uint16_t partition);
const position_t *shared_position(const shared_world_t *self, size_t node, uint16_t partition);
/* The node that owns by the highest epoch, paused ones included; SIZE_MAX. */
size_t shared_owner(const shared_world_t *self, uint16_t partition);

/* Returns a ticket, or 0 when the node is down. */
size_t shared_post(shared_world_t *self, size_t node, uint16_t partition, const command_t *command);
size_t shared_ask(shared_world_t *self, size_t node, uint16_t partition, const query_t *query);
/* A query on a node's store, as it is. */
errcode_t shared_query(shared_world_t *self, size_t node, uint16_t partition, const query_t *query,
                       buffer_t *answer, err_t *err);

#endif
