/* migrate_lane.h - one partition on its way into the shared log: read, claimed, copied, released
 *
 * Contract   Used by migrate.c alone. lane_on_record and lane_on_report take what the journal says, lane_write appends
 *            what is next. On any doubt about own records the lane waits until each of its appends was reported, follows
 *            anew from what is confirmed, and claims again: the next accepted claim decides which of them count.
 *            MIGRATE_FLIGHT_MAX records are in the log at a time.
 * Threads    One.
 * Ownership  Configuration and plan are borrowed.
 * Units      Microseconds of a clock that never jumps.
 * Errors     As migrate.h. Doubts are none until they come too often.
 */
#ifndef FEALTY_MIGRATE_LANE_H
#define FEALTY_MIGRATE_LANE_H

#include "node/migrate.h"

#define MIGRATE_FLIGHT_MAX   16
#define MIGRATE_RECORD_BYTES (256 * 1024) /* a record is closed before it gets larger than this */

typedef enum {
    LANE_PAUSED,   /* waits for reports, then follows */
    LANE_READING,  /* what the log holds already */
    LANE_CLAIMING, /* its claim is on the way */
    LANE_COPYING,
    LANE_RELEASING,
    LANE_DONE
} lane_stage_t;

/* A record on its way: it counts when it is accepted and delivered. */
typedef struct {
    uint64_t seq;
    bool accepted, delivered;
    position_t after;
    migrate_total_t total; /* up to and with it */
} lane_flight_t;

typedef struct {
    const migrate_config_t *config;
    migrate_cursors_t *cursors; /* borrowed; no other lane's */
    uint16_t number;
    migrate_part_t *part; /* of the plan: what is confirmed */
    hash_t history, incarnation;
    lane_stage_t stage;

    /* what was read back */
    position_t read;
    bool found, checking;
    migrate_total_t taken;

    /* what was written */
    position_t decided;
    bool read_own, delivered_own;             /* the claim or the release that is on its way */
    lane_flight_t flight[MIGRATE_FLIGHT_MAX]; /* a ring */
    size_t first, count;
    uint64_t outstanding; /* appends without a report, of all attempts */
    migrate_rows_t rows;
    bool rows_open, rows_ended, row_waits;
    row_write_t row; /* read and not in a record yet */
    buffer_t body;   /* of a record that is not appended yet */
    buffer_t scratch;

    /* doubts */
    unsigned doubts; /* since something was confirmed */
    int64_t again_at_us, heard_at_us;
    char doubt[160];
} lane_t;

void lane_open(lane_t *self, const migrate_config_t *config, migrate_cursors_t *cursors,
               uint16_t number, const hash_t *incarnation);
void lane_close(lane_t *self);
errcode_t lane_on_record(lane_t *self, const journal_record_t *record, err_t *err);
errcode_t lane_on_report(lane_t *self, const journal_report_t *report, err_t *err);
errcode_t lane_write(lane_t *self, err_t *err);

/* A record of the log that is not of this migration: sets err, returns ERR_STATE. */
errcode_t lane_foreign(uint16_t number, uint64_t offset, const char *why, err_t *err);
/* Does the record stand where `at` says, and is it the one? */
bool lane_same_record(const position_t *at, const journal_record_t *record);

#endif
