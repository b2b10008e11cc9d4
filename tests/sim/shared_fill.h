/* shared_fill.h - copies of partitions that are filled from the store of another simulated node
 *
 * Contract   What snapshot_service does between nodes, without a network: after a while the whole of it is read and loaded
 *            in one step. One copy at a time; a source that is down or stands still is passed over.
 * Threads    One.
 * Ownership  The node is borrowed.
 * Units      Virtual microseconds.
 * Errors     As filler_t says.
 */
#ifndef FEALTY_SHARED_FILL_H
#define FEALTY_SHARED_FILL_H

#include "tests/sim/shared_node.h"

/* For the governor of a node. */
filler_t shared_filler(node_t *node);

#endif
