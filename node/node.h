/* node.h - one node: everything wired together, started and stopped in the right order
 *
 * Contract   node_start() opens the store, finds the birth record, checks the clock, starts the partition threads, then
 *            serves HTTP. What it started before a fault it stops again. node_stop() ends within NODE_STOP_MAX_US: no new
 *            requests, what was accepted is finished, then all is closed.
 * Threads    node_start, node_stop: one thread.
 * Ownership  The configuration is copied.
 * Units      Microseconds.
 * Errors     One sentence with the way out: ERR_INVALID (configuration), ERR_STATE (the books, the clock, a lock),
 *            ERR_IO (disk, port).
 */
#ifndef FEALTY_NODE_H
#define FEALTY_NODE_H

#include "node/config.h"
#include "node/first_start.h"

#define NODE_STOP_MAX_US INT64_C(5000000)

typedef struct node node_t;

/* `stop_wanted` is asked while a first start waits for the other nodes; true gives the start up (ERR_UNREACHABLE). */
errcode_t node_start(node_t **self_p, const config_t *config, bool (*stop_wanted)(void *state),
                     void *state, err_t *err);
void node_stop(node_t **self_p);

/* For the words at start. */
const first_start_t *node_first_start(const node_t *self);
bool node_has_new_books(const node_t *self);
int node_port(const node_t *self);

#endif
