/* steady_clock.c - follows boot time when somebody sets the wall clock */
#include "node/steady_clock.h"

#define BEHIND_MAX_US INT64_C(5000000)
#define AHEAD_MAX_US  (INT64_C(31) * 24 * 3600 * 1000000)

static int64_t wall_us(void *state);
static int64_t boot_us(void *state);

void steady_clock_init(steady_clock_t *self, const clock_source_t *base)
{
    self->base = base;
    self->difference_us = clock_wall_us(base) - clock_boot_us(base);
    self->clock = (clock_source_t){.wall_us = wall_us, .boot_us = boot_us, .state = self};
}

int64_t steady_clock_alarm(const steady_clock_t *self)
{
    int64_t moved = clock_wall_us(self->base) - clock_boot_us(self->base) - self->difference_us;

    return moved > STEADY_CLOCK_STEP_MAX_US || moved < -STEADY_CLOCK_STEP_MAX_US ? moved : 0;
}

int64_t steady_clock_start_check(int64_t wall, int64_t newest_us)
{
    if (newest_us == 0)
        return 0;
    int64_t ahead = wall - newest_us;
    return ahead < -BEHIND_MAX_US || ahead > AHEAD_MAX_US ? ahead : 0;
}

static int64_t wall_us(void *state)
{
    const steady_clock_t *self = state;
    int64_t boot = clock_boot_us(self->base);
    int64_t wall = clock_wall_us(self->base);
    int64_t moved = wall - boot - self->difference_us;

    /* Boot time runs at the wall clock's rate, corrections included: the two only part when the wall clock is set. */
    if (moved > STEADY_CLOCK_STEP_MAX_US || moved < -STEADY_CLOCK_STEP_MAX_US)
        return boot + self->difference_us;
    return wall;
}

static int64_t boot_us(void *state)
{
    const steady_clock_t *self = state;

    return clock_boot_us(self->base);
}
