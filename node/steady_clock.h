/* steady_clock.h - wall time that does not jump while the process runs
 *
 * Contract   Wall minus boot time is remembered at start. While it moves by at most STEADY_CLOCK_STEP_MAX_US the wall
 *            clock is passed on; beyond that somebody set the clock, and wall time is boot time plus the remembered
 *            difference until the wall clock agrees again (protocol section 1). Points never expire early because an
 *            operator mistyped a year.
 * Threads    The clock: any. steady_clock_alarm: any.
 * Ownership  The base clock is borrowed. The clock_source_t lives as long as the steady_clock_t.
 * Units      Microseconds.
 * Errors     None.
 */
#ifndef FEALTY_STEADY_CLOCK_H
#define FEALTY_STEADY_CLOCK_H

#include "protocol/clock.h"

#define STEADY_CLOCK_STEP_MAX_US INT64_C(1000000)

typedef struct {
    clock_source_t clock; /* what everybody else is given */
    const clock_source_t *base;
    int64_t difference_us; /* wall minus boot at start */
} steady_clock_t;

void steady_clock_init(steady_clock_t *self, const clock_source_t *base);

/* By how much the wall clock has jumped since the start; 0 while it is within the bound. */
int64_t steady_clock_alarm(const steady_clock_t *self);

/* Whether a node may start now. newest_us is the newest time in its books, 0 when they are empty. Returns how far the
 * wall clock is off: negative = behind by more than 5 s, positive = ahead by more than 31 days, 0 = good. */
int64_t steady_clock_start_check(int64_t wall_us, int64_t newest_us);

#endif
