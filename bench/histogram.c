/* histogram.c - bucket index = power of two, then 7 bits below the leading one */
#include "bench/histogram.h"

#include <math.h>
#include <stdlib.h>

#define SUB_COUNT    (UINT64_C(1) << HISTOGRAM_SUB_BITS)
#define SHIFT_MAX    (HISTOGRAM_VALUE_BITS - 1 - HISTOGRAM_SUB_BITS)
#define BUCKET_COUNT ((SHIFT_MAX + 2) * SUB_COUNT)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint128_t sum;
    uint64_t buckets[BUCKET_COUNT];
};

static size_t bucket_of(uint64_t value);
static uint64_t bucket_top(size_t bucket);

histogram_t *histogram_new(void)
{
    return calloc(1, sizeof(histogram_t));
}

void histogram_destroy(histogram_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void histogram_record(histogram_t *self, uint64_t value)
{
    if (value > HISTOGRAM_VALUE_MAX)
        value = HISTOGRAM_VALUE_MAX;
    self->count++;
    self->sum += value;
    if (value > self->max)
        self->max = value;
    self->buckets[bucket_of(value)]++;
}

void histogram_merge(histogram_t *self, const histogram_t *other)
{
    self->count += other->count;
    self->sum += other->sum;
    if (other->max > self->max)
        self->max = other->max;
    for (size_t i = 0; i < BUCKET_COUNT; i++)
        self->buckets[i] += other->buckets[i];
}

uint64_t histogram_count(const histogram_t *self)
{
    return self->count;
}

uint64_t histogram_max(const histogram_t *self)
{
    return self->max;
}

double histogram_mean(const histogram_t *self)
{
    return self->count == 0 ? 0.0 : (double)self->sum / (double)self->count;
}

uint64_t histogram_percentile(const histogram_t *self, double percent)
{
    uint64_t seen = 0;

    if (self->count == 0)
        return 0;
    /* The small step down keeps 99.9 % of 1,000 at rank 999 although 0.999 * 1000 is a little more
     * in binary. */
    double wanted = ceil(percent / 100.0 * (double)self->count - 1e-6);
    uint64_t rank = wanted < 1.0 ? 1 : (uint64_t)wanted;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        seen += self->buckets[i];
        if (seen >= rank)
            return bucket_top(i) < self->max ? bucket_top(i) : self->max;
    }
    return self->max;
}

/* Values below 256 have a bucket each; above, the leading 8 bits choose it. */
static size_t bucket_of(uint64_t value)
{
    unsigned top_bit = 63U - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = top_bit > HISTOGRAM_SUB_BITS ? top_bit - HISTOGRAM_SUB_BITS : 0;

    return (size_t)(shift * SUB_COUNT + (value >> shift));
}

static uint64_t bucket_top(size_t bucket)
{
    uint64_t shift = bucket < 2 * SUB_COUNT ? 0 : bucket / SUB_COUNT - 1;

    return ((bucket - shift * SUB_COUNT + 1) << shift) - 1;
}
