/* migrate_plan.h - what a migration into another log has set out to do, and how far it is: one small file
 *
 * Contract   A plan is made once; all new histories follow from its random id. Stored so that a reader finds the old or
 *            the new one, also after a power cut. What it says to be copied is read back from the log, accepted and
 *            delivered: it may say less than what the log holds, never more.
 * Threads    One.
 * Ownership  A value of some 300 KiB: keep it on the heap.
 * Units      Microseconds UTC.
 * Errors     ERR_CORRUPT for a file that is no plan, ERR_STATE for one of a newer version, ERR_IO.
 */
#ifndef FEALTY_MIGRATE_PLAN_H
#define FEALTY_MIGRATE_PLAN_H

#include "node/verify_digest.h"

#define MIGRATE_PREFIX_BYTES 256

typedef struct {
    uint64_t rows, bytes;   /* all that are sent; keys and values */
    hash_t sum;             /* over all of them, as verify_digest.h */
    verify_digest_t digest; /* of those that count */
} migrate_total_t;

typedef struct {
    position_t source;      /* where its own log ended */
    migrate_total_t whole;  /* what it holds */
    bool begun;             /* the two below say something */
    position_t at;          /* last record in the new log that counts */
    migrate_total_t copied; /* up to there */
    bool done;              /* released */
} migrate_part_t;

typedef struct {
    hash_t id;      /* random */
    hash_t cluster; /* of the source */
    char prefix[MIGRATE_PREFIX_BYTES];
    int64_t begun_us;
    int64_t ended_us; /* 0: not yet */
    uint16_t partitions;
    migrate_part_t parts[BIRTH_PARTITIONS_MAX + 1];
    hash_t histories[BIRTH_PARTITIONS_MAX + 1]; /* from the id */
} migrate_plan_t;

/* Sets id, histories, prefix, where the source stands; all else is zero. The prefix must fit. */
void migrate_plan_make(migrate_plan_t *self, const together_t *source, const char *prefix,
                       const random_source_t *random, int64_t wall_us);
errcode_t migrate_plan_load(migrate_plan_t *self, const char *path, bool *found, err_t *err);
errcode_t migrate_plan_store(const migrate_plan_t *self, const char *path, err_t *err);
/* The source has not moved since the plan was made. */
bool migrate_plan_fits(const migrate_plan_t *self, const together_t *source);
bool migrate_total_equal(const migrate_total_t *a, const migrate_total_t *b);
/* Over all partitions. */
void migrate_plan_sums(const migrate_plan_t *self, migrate_total_t *whole, migrate_total_t *copied);

#endif
