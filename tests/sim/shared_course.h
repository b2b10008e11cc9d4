/* shared_course.h - how one life on a shared log goes, for its two files only
 *
 * Contract   shared_run.c: begin, work, heal, rest. shared_faults.c: what goes wrong meanwhile, and for how long.
 * Threads    One.
 * Ownership  As stated at the members.
 * Units      Virtual microseconds.
 * Errors     life_fail().
 */
#ifndef FEALTY_SHARED_COURSE_H
#define FEALTY_SHARED_COURSE_H

#include "tests/sim/shared_life.h"

#define COURSE_YEAR_US (INT64_C(365) * 24 * 3600 * 1000000)

/* What goes wrong in the lives of a profile. */
typedef struct {
    unsigned faults; /* which */
    unsigned odds;   /* of a fault, per step */
    bool bad_net, bad_log, bad_reading;
} course_t;

/* When what goes wrong with a node is over; 0: nothing does. */
typedef struct {
    int64_t start_us, resume_us, uncut_us;
    int64_t unpeer_us[SHARED_NODES_MAX];
    store_t *image;    /* owned; may be NULL: an older state of its disk */
    int64_t halted_us; /* since when a replica of it is seen halted */
} trouble_t;

typedef struct {
    life_t life;
    course_t course;
    trouble_t troubles[SHARED_NODES_MAX];
    log_faults_t fair, rough; /* the log as it mostly is, and in a storm */
    int64_t storm_over_us;
} run_t;

static inline bool run_chosen(run_t *self, uint64_t odds)
{
    return dice_below(&self->life.dice, odds) == 0;
}

/* Sets the course of the life's profile. */
void run_choose_course(run_t *self);
/* A fault, if the dice say so. */
void run_maybe_fault(run_t *self);
/* Profile skips: now and then a record lands that halts every reader; somebody sees it and has it skipped. */
void run_maybe_foreign(run_t *self);
void run_say_skips(run_t *self);
/* Profile adoptions: now and then, when all is well, the log of a partition loses what all its copies have read; an
 * operator has one of them adopted. */
void run_maybe_lose(run_t *self);
void run_say_adoptions(run_t *self);
bool run_has_lost(const run_t *self);
/* What has lasted long enough ends. */
void run_mend(run_t *self);
/* The log and the network as they are in this life; and as they are when nothing is wrong. */
void run_set_weather(run_t *self);
void run_set_fair_weather(run_t *self);

#endif
