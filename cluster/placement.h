/* placement.h - which node owns which partition: consistent hashing with bounded load
 *
 * Contract   Computed once, at genesis, then stored as data (protocol section 7); never again at a later start.
 *            Depends on the names and the count alone: not on the order of the names, the machine or the build. Every
 *            node gets as many customer partitions as any other, give or take one; one name more or less moves few
 *            partitions beyond those that must move. The catalogue's partition (number `partitions`) goes to a node
 *            with the fewest.
 * Threads    Pure.
 * Ownership  The caller's arrays.
 * Units      Nothing to say.
 * Errors     ERR_INVALID: no names, more names than partitions, the same name twice.
 */
#ifndef FEALTY_PLACEMENT_H
#define FEALTY_PLACEMENT_H

#include "protocol/error.h"

#define PLACEMENT_NODES_MAX 64

/* owners[partition] = index into names, partition 0..partitions (partitions + 1 entries). */
errcode_t placement_compute(const char *const *names, size_t name_count, uint16_t partitions,
                            uint8_t *owners, err_t *err);

#endif
