/* simulation.h - one random life of a cluster from one seed, judged
 *
 * Contract   Two or three nodes, four to six partitions, a network that loses, doubles and reorders, nodes that die at
 *            any point of a round, clients that ask again with the same key until they know. At the end everything has
 *            come to rest and: every acknowledged answer is still there byte for byte, every command had one effect,
 *            balances are the sum of the answers, and all proofs of proof.h hold. The same seed gives the same life.
 * Threads    One.
 * Ownership  Nothing to say.
 * Units      Virtual microseconds.
 * Errors     false and a sentence in *err.
 */
#ifndef FEALTY_SIMULATION_H
#define FEALTY_SIMULATION_H

#include "protocol/error.h"

typedef struct {
    unsigned commands, answers_lost, replays, deaths;
    uint64_t digest; /* of all disks at the end */
} simulation_report_t;

bool simulation_run(uint64_t seed, simulation_report_t *report, err_t *err);

#endif
