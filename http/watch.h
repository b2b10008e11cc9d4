/* watch.h - interrupts a worker that waits for a body beyond its deadline
 *
 * Contract   The library gives every byte of a body the full time-out again, so one request could
 *            hold a worker for hours. A worker arms its watch before it reads; past the deadline it
 *            gets a signal every 50 ms, whose only effect is that poll() returns and the read ends
 *            short. watch_hurry() does the same to every thread that entered, for a quick stop.
 * Threads    watch_enter, watch_arm, watch_disarm, watch_leave: the thread that is watched. Others:
 *            the owner.
 * Ownership  The watch owns its list; a watched_t belongs to its thread and outlives its entry.
 * Units      Microseconds of the boot clock.
 * Errors     ERR_INTERNAL when the thread cannot be made. Uses the signal SIGRTMIN + 3.
 */
#ifndef FEALTY_WATCH_H
#define FEALTY_WATCH_H

#include "protocol/clock.h"
#include "protocol/error.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct watch watch_t;

typedef struct watched {
    pthread_t thread;
    atomic_llong deadline_us; /* 0: not armed */
    struct watched *next;
} watched_t;

errcode_t watch_start(watch_t **self_p, const clock_source_t *clock, err_t *err);
void watch_stop(watch_t **self_p);
void watch_hurry(watch_t *self);

void watch_enter(watch_t *self, watched_t *thread);
void watch_leave(watch_t *self, watched_t *thread);
static inline void watch_arm(watched_t *self, int64_t deadline_us)
{
    atomic_store_explicit(&self->deadline_us, deadline_us, memory_order_release);
}
static inline void watch_disarm(watched_t *self)
{
    atomic_store_explicit(&self->deadline_us, 0, memory_order_release);
}

#endif
