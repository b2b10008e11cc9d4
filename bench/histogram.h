/* histogram.h - latencies in fixed memory, each known to better than 1 %
 *
 * Contract   Log-linear buckets: 128 per power of two, so a percentile is at most 0.8 % above the
 *            value that was recorded, from 1 ns to over two hours; above that values count as the
 *            largest. Percentiles are never reported below the truth and never above the largest
 *            value seen.
 * Threads    A histogram belongs to one thread; merge after the others have ended.
 * Ownership  histogram_new / histogram_destroy. About 40 KiB each, whatever is recorded.
 * Units      Nanoseconds.
 * Errors     histogram_new returns NULL when there is no memory.
 */
#ifndef FEALTY_BENCH_HISTOGRAM_H
#define FEALTY_BENCH_HISTOGRAM_H

#include "protocol/compiler.h"

#define HISTOGRAM_SUB_BITS   7
#define HISTOGRAM_VALUE_BITS 43
#define HISTOGRAM_VALUE_MAX  ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

typedef struct histogram histogram_t;

histogram_t *histogram_new(void);
void histogram_destroy(histogram_t **self_p);

void histogram_record(histogram_t *self, uint64_t value);
void histogram_merge(histogram_t *self, const histogram_t *other);
uint64_t histogram_count(const histogram_t *self);
uint64_t histogram_max(const histogram_t *self);
double histogram_mean(const histogram_t *self);
/* The value that `percent` (0 to 100) of all values do not exceed; 0 when nothing was recorded. */
uint64_t histogram_percentile(const histogram_t *self, double percent);

#endif
