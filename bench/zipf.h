/* zipf.h - few customers do most of the purchases
 *
 * Contract   zipf_next gives 0 <= k < n with probability proportional to 1 / (k + 1)^theta; theta 0
 *            is uniform, 0.99 the usual web skew. Exact for every n and theta >= 0
 *            (rejection-inversion after Hörmann and Derflinger), with no table: five million
 *            customers cost nothing to set up.
 * Threads    Read-only after zipf_init; the random generator belongs to one thread.
 * Ownership  A value.
 * Units      Nothing to say.
 * Errors     None; n must be above 0.
 */
#ifndef FEALTY_BENCH_ZIPF_H
#define FEALTY_BENCH_ZIPF_H

#include "bench/random.h"

typedef struct {
    uint64_t n;
    double theta;
    double area_first; /* integral up to 1.5, less the whole first bar */
    double area_all;   /* integral up to n + 0.5 */
    double shortcut;   /* accept without computing when this close below the bar's middle */
} zipf_t;

void zipf_init(zipf_t *self, uint64_t n, double theta);
uint64_t zipf_next(const zipf_t *self, random_t *random);

#endif
