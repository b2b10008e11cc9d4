/* restored.h - one random life in which a node comes back from an older copy of its disk (protocol section 5, rule 7)
 *
 * Contract   Two nodes on journals of their own, transfers to and fro, a copy of one node's disk, more transfers, and the
 *            copy put in its place as a restore does: with new histories. From then on pairs that had talked with each
 *            other are halted and named: nothing on them is applied or trimmed, and the total of all points stands still.
 * Threads    One.
 * Ownership  Nothing to say.
 * Units      Virtual microseconds.
 * Errors     false and a sentence in *err.
 */
#ifndef FEALTY_RESTORED_H
#define FEALTY_RESTORED_H

#include "tests/sim/shared_run.h"

bool restored_run(uint64_t seed, shared_report_t *report, err_t *err);

#endif
