/* progress.h - one line on standard error: how far, how fast, how long still
 *
 * Contract   Redraws at most five times a second. With a known total it shows a bar and the time
 *            left.
 * Threads    Belongs to one thread.
 * Ownership  A value.
 * Units      Things done, seconds.
 * Errors     None. Nothing is written when it is switched off.
 */
#ifndef FEALTY_BENCH_PROGRESS_H
#define FEALTY_BENCH_PROGRESS_H

#include "protocol/compiler.h"

typedef struct {
    bool on;
    uint64_t total; /* 0 = unknown */
    int64_t began_ns;
    int64_t shown_ns;
    uint64_t shown; /* done when last shown */
} progress_t;

void progress_begin(progress_t *self, bool on, uint64_t total);
/* seconds_left < 0: worked out from the total. */
void progress_show(progress_t *self, uint64_t done, const char *what, double seconds_left);
void progress_end(progress_t *self, uint64_t done);
/* Standard error is a terminal. */
bool progress_wanted(void);

#endif
