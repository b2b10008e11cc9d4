/* migrate.h - the books of an embedded node, copied into a shared log that nobody uses yet
 *
 * Contract   migrate_count() reads the source once. migrate_run() writes every partition like any owner would: a CLAIM
 *            under this run's incarnation, records of row writes, a RELEASE (migrate_lane.h). A row counts as copied when
 *            its record was read back, accepted and delivered; at the end of a partition what was read back is compared
 *            with the source. It can be killed at any moment and run again with the plan that `keep` stored: it goes on
 *            behind the last row that the log holds, and writes no row twice. migrate_confirm() looks whether a finished
 *            migration still stands in the log.
 *            Refused: a log that holds records of anybody else, or a control channel with anything in it; a node that
 *            starts on the log before the end is noticed by it, and ends the run.
 * Threads    One.
 * Ownership  Everything in the configuration is borrowed.
 * Units      Microseconds.
 * Errors     ERR_STATE: it must not go on, and why; ERR_UNREACHABLE: the log does not answer, or `stop` said so: run it
 *            again; ERR_CORRUPT: source and copy differ; those of store and file.
 */
#ifndef FEALTY_MIGRATE_H
#define FEALTY_MIGRATE_H

#include "node/migrate_plan.h"

typedef struct {
    const together_t *source;
    migrate_plan_t *plan;
    journal_t *journal;
    const clock_source_t *clock;
    const random_source_t *random;
    void (*wait)(void *state); /* some milliseconds, or until the journal has something */
    errcode_t (*keep)(void *state, err_t *err); /* stores the plan */
    /* What is read back by now, of all partitions. */
    void (*show)(void *state, uint64_t rows, uint64_t bytes);
    bool (*stop)(void *state);
    void *state;
} migrate_config_t;

errcode_t migrate_count(const migrate_config_t *config, err_t *err);
errcode_t migrate_run(const migrate_config_t *config, err_t *err);
errcode_t migrate_confirm(const migrate_config_t *config, err_t *err);

#endif
