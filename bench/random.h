/* random.h - a small fast generator of random numbers (splitmix64)
 *
 * Contract   The same seed gives the same sequence on every machine, so a run can be repeated. Not
 *            for secrets.
 * Threads    A generator belongs to one thread.
 * Ownership  A value.
 * Units      Nothing to say.
 * Errors     None.
 */
#ifndef FEALTY_BENCH_RANDOM_H
#define FEALTY_BENCH_RANDOM_H

#include "protocol/compiler.h"

typedef struct {
    uint64_t state;
} random_t;

#define RANDOM_STEP UINT64_C(0x9E3779B97F4A7C15)

/* The output function of splitmix64: a bijection, so different inputs never meet. */
static inline uint64_t random_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline uint64_t random_next(random_t *self)
{
    self->state += RANDOM_STEP;
    return random_mix(self->state);
}

/* 0 <= result < limit; limit > 0. The multiply avoids a division; the bias is below 2^-32 for our
 * limits. */
static inline uint64_t random_below(random_t *self, uint64_t limit)
{
    return (uint64_t)(((uint128_t)random_next(self) * limit) >> 64);
}

/* 0 <= result < 1 */
static inline double random_unit(random_t *self)
{
    return (double)(random_next(self) >> 11) * 0x1.0p-53;
}

#endif
