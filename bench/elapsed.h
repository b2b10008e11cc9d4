/* elapsed.h - the clock that measures
 *
 * Contract   Never jumps when somebody sets the time of day.
 * Threads    Any.
 * Ownership  Nothing to say.
 * Units      Nanoseconds since some moment in the past.
 * Errors     None: CLOCK_MONOTONIC always exists on the systems this runs on.
 */
#ifndef FEALTY_BENCH_ELAPSED_H
#define FEALTY_BENCH_ELAPSED_H

#include <stdint.h>
#include <time.h>

static inline int64_t elapsed_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
