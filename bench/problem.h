/* problem.h - one sentence that says why something failed
 *
 * Contract   A function that can fail returns false and leaves the reason in the problem it was
 *            given. The load generator talks to people at a terminal, so it needs sentences, not
 *            codes.
 * Threads    A problem belongs to one thread.
 * Ownership  A value; it owns nothing.
 * Units      Nothing to say.
 * Errors     A sentence that is too long is cut.
 */
#ifndef FEALTY_BENCH_PROBLEM_H
#define FEALTY_BENCH_PROBLEM_H

#include "protocol/compiler.h"

typedef struct {
    char text[512];
} problem_t;

/* Fills *problem and returns false, so that a failing function ends in one line. */
bool problem_set(problem_t *problem, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
