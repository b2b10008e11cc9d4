/* dice.h - all chance of a simulation, from one number
 *
 * Contract   splitmix64: the same seed rolls the same numbers on every machine.
 * Threads    One.
 * Ownership  A value.
 * Units      ppm: parts of a million.
 * Errors     None.
 */
#ifndef FEALTY_DICE_H
#define FEALTY_DICE_H

#include "protocol/compiler.h"

typedef struct {
    uint64_t state;
} dice_t;

static inline uint64_t dice_roll(dice_t *self)
{
    uint64_t z = (self->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to sides - 1 */
static inline uint64_t dice_below(dice_t *self, uint64_t sides)
{
    return dice_roll(self) % sides;
}

/* Nothing is rolled for what never happens, so that a fault that is switched off changes nothing else. */
static inline bool dice_chance(dice_t *self, uint32_t ppm)
{
    return ppm > 0 && dice_roll(self) % 1000000 < ppm;
}

/* least to most */
static inline int64_t dice_span(dice_t *self, int64_t least, int64_t most)
{
    return most <= least ? least : least + (int64_t)dice_below(self, (uint64_t)(most - least) + 1);
}

#endif
