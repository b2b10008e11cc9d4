/* clock.h - time and randomness as things that are passed in
 *
 * Contract   actors/ never asks the system for either: decide and apply take values, the runtime takes
 *            these structs. clock_system() and random_system() are the real ones.
 * Threads    The real ones may be called from any thread; fakes belong to their test.
 * Ownership  Both are borrowed by whoever receives them.
 * Units      Microseconds. wall = UTC since the Unix epoch; boot = since boot, suspends included, never
 *            steps.
 * Errors     None.
 */
#ifndef FEALTY_CLOCK_H
#define FEALTY_CLOCK_H

#include "protocol/compiler.h"

typedef struct clock_source {
    int64_t (*wall_us)(void *state);
    int64_t (*boot_us)(void *state);
    void *state;
} clock_source_t;

typedef struct random_source {
    void (*fill)(void *state, void *bytes, size_t n);
    void *state;
} random_source_t;

const clock_source_t *clock_system(void);
const random_source_t *random_system(void); /* libsodium */

static inline int64_t clock_wall_us(const clock_source_t *c)
{
    return c->wall_us(c->state);
}
static inline int64_t clock_boot_us(const clock_source_t *c)
{
    return c->boot_us(c->state);
}
static inline void random_fill(const random_source_t *r, void *bytes, size_t n)
{
    r->fill(r->state, bytes, n);
}

#endif
