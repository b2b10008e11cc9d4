/* proof.h - what must hold in a simulated cluster at any moment, read from the disks alone
 *
 * Contract   Looks at committed rows of all nodes, those that are down too, and shares no code with what decided them
 *            but the codecs.
 *            pairs:  per ordered pair of partitions out_acked <= in_seq < out_next, and the outbox holds exactly the
 *                    messages that are not acknowledged (protocol section 5).
 *            points: postings of every kind add up to the balances; what givers have sent, receivers have got or it is
 *                    in flight; what accounts have in transit stands in transfers on their way.
 *            counts: the counters equal a recount (all nodes up).
 *            quiet:  nothing is on its way any more, nothing is halted (all nodes up).
 * Threads    One.
 * Ownership  Nothing to say.
 * Units      Points.
 * Errors     false and a sentence in *err: the first thing that does not hold.
 */
#ifndef FEALTY_PROOF_H
#define FEALTY_PROOF_H

#include "tests/sim/world.h"

bool proof_pairs(world_t *world, err_t *err);
bool proof_points(world_t *world, err_t *err);
bool proof_counts(world_t *world, err_t *err);
bool proof_quiet(world_t *world, err_t *err);

/* All available points of all accounts, and all points in flight between partitions. */
points_t proof_total(world_t *world);
/* The same by the accounts alone: available and in transit. Points that were credited and not yet settled count twice. */
points_t proof_owned(world_t *world);
/* A hash over all rows of all disks: equal runs end with equal digests. */
uint64_t proof_digest(world_t *world);

/* The same over disks alone, wherever they come from: partition p is in stores[p % count]. */
typedef struct {
    store_t *stores[WORLD_NODES_MAX]; /* borrowed */
    uint16_t count;
    uint16_t partitions; /* of customers */
} proof_disks_t;

bool proof_disks_pairs(const proof_disks_t *disks, err_t *err);
bool proof_disks_points(const proof_disks_t *disks, err_t *err);
/* Of proof_quiet what disks can tell. */
bool proof_disks_rest(const proof_disks_t *disks, err_t *err);
uint64_t proof_disks_digest(const proof_disks_t *disks);

#endif
