/* heartbeat.c - the hint beside the store, and the alarm of the clock, once a second */
#include "node/heartbeat.h"

#include "protocol/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define COMPLAIN_EVERY_S 60

struct heartbeat {
    const char *data;
    const shards_t *shards;
    const steady_clock_t *clock;
    acked_t acked;
    pthread_t thread;
    pthread_mutex_t lock; /* protects stopping */
    pthread_cond_t wake;
    bool stopping;
    bool alarmed;
    unsigned quiet_s; /* until the next complaint */
};

static void *beat(void *state);

errcode_t heartbeat_start(heartbeat_t **self_p, const char *data, const shards_t *shards,
                          const steady_clock_t *clock, err_t *err)
{
    heartbeat_t *self = memory_zalloc(sizeof *self);
    pthread_condattr_t attributes;
    int rc;

    self->data = data;
    self->shards = shards;
    self->clock = clock;
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_condattr_init(&attributes) == 0);
    INVARIANT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_cond_init(&self->wake, &attributes) == 0);
    INVARIANT(pthread_condattr_destroy(&attributes) == 0);
    rc = pthread_create(&self->thread, NULL, beat, self);
    if (rc != 0) {
        free(self);
        *self_p = NULL;
        return err_set(err, ERR_IO, "cannot start a thread: %s", strerror(rc));
    }
    *self_p = self;
    return ERR_NONE;
}

static void write_hint(heartbeat_t *self)
{
    err_t err = {0};

    shards_acked(self->shards, clock_wall_us(&self->clock->clock), &self->acked);
    if (acked_write(self->data, &self->acked, &err) == ERR_NONE) {
        self->quiet_s = 0;
        return;
    }
    if (self->quiet_s == 0) {
        log_error("the hint how far the log was acknowledged cannot be written: %s", err.text);
        self->quiet_s = COMPLAIN_EVERY_S;
    }
    self->quiet_s--;
}

static void watch_clock(heartbeat_t *self)
{
    int64_t moved_us = steady_clock_alarm(self->clock);

    if (moved_us != 0 && !self->alarmed)
        log_error("the wall clock was set by %+.1f s while this node runs; it goes on by the time "
                  "since boot. Set the "
                  "clock right, or restart the node if the new time is the right one",
                  (double)moved_us / 1e6);
    if (moved_us == 0 && self->alarmed)
        log_info("the wall clock agrees with the time since boot again");
    self->alarmed = moved_us != 0;
}

static void *beat(void *state)
{
    heartbeat_t *self = state;
    struct timespec next;

    write_hint(self);
    INVARIANT(clock_gettime(CLOCK_MONOTONIC, &next) == 0);
    INVARIANT(pthread_mutex_lock(&self->lock) == 0);
    while (!self->stopping) {
        next.tv_sec++;
        while (!self->stopping &&
               pthread_cond_timedwait(&self->wake, &self->lock, &next) != ETIMEDOUT) {}
        INVARIANT(pthread_mutex_unlock(&self->lock) == 0);
        watch_clock(self);
        write_hint(self);
        INVARIANT(pthread_mutex_lock(&self->lock) == 0);
    }
    INVARIANT(pthread_mutex_unlock(&self->lock) == 0);
    return NULL;
}

void heartbeat_stop(heartbeat_t **self_p)
{
    heartbeat_t *self = *self_p;

    if (self == NULL)
        return;
    INVARIANT(pthread_mutex_lock(&self->lock) == 0);
    self->stopping = true;
    INVARIANT(pthread_cond_signal(&self->wake) == 0);
    INVARIANT(pthread_mutex_unlock(&self->lock) == 0);
    INVARIANT(pthread_join(self->thread, NULL) == 0);
    write_hint(self); /* the partitions have stopped: this is how far they came */
    INVARIANT(pthread_cond_destroy(&self->wake) == 0);
    INVARIANT(pthread_mutex_destroy(&self->lock) == 0);
    free(self);
    *self_p = NULL;
}
