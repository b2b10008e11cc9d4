/* clock.c - the real clock and the real source of randomness */
#include "protocol/clock.h"

#include <sodium.h>
#include <time.h>

static int64_t wall_us(void *state);
static int64_t boot_us(void *state);
static void fill(void *state, void *bytes, size_t n);

static const clock_source_t system_clock = {.wall_us = wall_us, .boot_us = boot_us, .state = NULL};
static const random_source_t system_random = {.fill = fill, .state = NULL};

const clock_source_t *clock_system(void)
{
    return &system_clock;
}

const random_source_t *random_system(void)
{
    /* May be called again and from any thread; without it libsodium is not safe in threads. */
    INVARIANT(sodium_init() >= 0);
    return &system_random;
}

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    INVARIANT(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t wall_us(void *state)
{
    (void)state;
    return read_us(CLOCK_REALTIME);
}

static int64_t boot_us(void *state)
{
    (void)state;
    return read_us(CLOCK_BOOTTIME);
}

static void fill(void *state, void *bytes, size_t n)
{
    (void)state;
    randombytes_buf(bytes, n);
}
