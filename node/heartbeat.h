/* heartbeat.h - what a node does once a second
 *
 * Contract   Writes the hint how far every partition has acknowledged (storage/acked.h), and says so in the log when the
 *            wall clock was set while the node runs, or when it agrees again. The last hint is written at stop.
 * Threads    One of its own.
 * Ownership  Everything is borrowed until heartbeat_stop.
 * Units      Nothing to say.
 * Errors     ERR_IO when the thread cannot be made. A hint that cannot be written is said once a minute: it only makes
 *            the check at the next start weaker.
 */
#ifndef FEALTY_HEARTBEAT_H
#define FEALTY_HEARTBEAT_H

#include "node/shards.h"
#include "node/steady_clock.h"

typedef struct heartbeat heartbeat_t;

errcode_t heartbeat_start(heartbeat_t **self_p, const char *data, const shards_t *shards,
                          const steady_clock_t *clock, err_t *err);
void heartbeat_stop(heartbeat_t **self_p);

#endif
