/* parking.c - a list, and a thread that looks at it when routes have changed or somebody's time is over */
#include "cluster/parking.h"

#include "protocol/buffer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct parking {
    parking_config_t config;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t news;
    parked_t *first;
    parked_t *last;
    uint32_t count;
    int64_t next_us; /* the earliest time at which somebody is to be given up, or before */
    bool changed;
    bool stopping;
};

/* What left the list, in order. */
typedef struct {
    parked_t *first;
    parked_t *last;
} parked_list_t;

static void *parking_main(void *argument);
static void sort_out(parking_t *self, int64_t now_us, parked_list_t *resumed,
                     parked_list_t *given_up);
static void list_add(parked_list_t *list, parked_t *parked);
static void hand_out(void *state, parked_list_t *list, void (*each)(void *state, parked_t *parked));
static void wait_until(parking_t *self, int64_t now_us, int64_t until_us);

errcode_t parking_open(parking_t **self_p, const parking_config_t *config, err_t *err)
{
    parking_t *self = memory_zalloc(sizeof *self);
    pthread_condattr_t monotonic;
    int failed;

    self->config = *config;
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_condattr_init(&monotonic) == 0);
    INVARIANT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_cond_init(&self->news, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    failed = pthread_create(&self->thread, NULL, parking_main, self);
    self->running = failed == 0;
    if (failed != 0) {
        (void)err_set(err, ERR_IO, "no thread for requests that wait: %s", strerror(failed));
        parking_destroy(&self);
    }
    *self_p = self;
    return failed == 0 ? ERR_NONE : ERR_IO;
}

void parking_stop(parking_t *self)
{
    parked_list_t rest;

    (void)pthread_mutex_lock(&self->lock);
    self->stopping = true;
    (void)pthread_cond_signal(&self->news);
    (void)pthread_mutex_unlock(&self->lock);
    if (self->running)
        (void)pthread_join(self->thread, NULL);
    self->running = false;
    (void)pthread_mutex_lock(&self->lock);
    rest = (parked_list_t){self->first, self->last};
    self->first = self->last = NULL;
    self->count = 0;
    (void)pthread_mutex_unlock(&self->lock);
    hand_out(self->config.state, &rest, self->config.give_up);
}

void parking_destroy(parking_t **self_p)
{
    parking_t *self = *self_p;

    if (self == NULL)
        return;
    parking_stop(self);
    (void)pthread_cond_destroy(&self->news);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

bool parking_add(parking_t *self, parked_t *parked)
{
    bool taken;

    (void)pthread_mutex_lock(&self->lock);
    taken = !self->stopping && self->count < self->config.max;
    if (taken) {
        parked_list_t all = {self->first, self->last};

        list_add(&all, parked);
        self->first = all.first;
        self->last = all.last;
        self->count++;
        /* A route that changes after this look is told to parking_changed after this lock. */
        self->changed |= self->config.ready(self->config.state, parked);
        if (self->changed || self->count == 1 || parked->until_us < self->next_us) {
            self->next_us = self->count == 1 || parked->until_us < self->next_us ? parked->until_us
                                                                                 : self->next_us;
            (void)pthread_cond_signal(&self->news);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return taken;
}

void parking_changed(parking_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->changed = true;
    if (self->first != NULL)
        (void)pthread_cond_signal(&self->news);
    (void)pthread_mutex_unlock(&self->lock);
}

uint32_t parking_count(parking_t *self)
{
    uint32_t count;

    (void)pthread_mutex_lock(&self->lock);
    count = self->count;
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}

static void *parking_main(void *argument)
{
    parking_t *self = argument;

    (void)pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        int64_t now_us = clock_boot_us(self->config.clock);

        if (self->first == NULL) {
            (void)pthread_cond_wait(&self->news, &self->lock);
        } else if (!self->changed && now_us < self->next_us) {
            wait_until(self, now_us, self->next_us);
        } else {
            parked_list_t resumed = {NULL, NULL}, given_up = {NULL, NULL};

            sort_out(self, now_us, &resumed, &given_up);
            (void)pthread_mutex_unlock(&self->lock);
            hand_out(self->config.state, &resumed, self->config.resume);
            hand_out(self->config.state, &given_up, self->config.give_up);
            (void)pthread_mutex_lock(&self->lock);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* Under the lock. */
static void sort_out(parking_t *self, int64_t now_us, parked_list_t *resumed,
                     parked_list_t *given_up)
{
    parked_t *parked = self->first;
    parked_list_t staying = {NULL, NULL};

    self->changed = false;
    self->next_us = INT64_MAX;
    while (parked != NULL) {
        parked_t *next = parked->next;

        if (self->config.ready(self->config.state, parked)) {
            list_add(resumed, parked);
            self->count--;
        } else if (now_us >= parked->until_us) {
            list_add(given_up, parked);
            self->count--;
        } else {
            list_add(&staying, parked);
            self->next_us = parked->until_us < self->next_us ? parked->until_us : self->next_us;
        }
        parked = next;
    }
    self->first = staying.first;
    self->last = staying.last;
}

static void list_add(parked_list_t *list, parked_t *parked)
{
    parked->next = NULL;
    if (list->first == NULL)
        list->first = parked;
    else
        list->last->next = parked;
    list->last = parked;
}

static void hand_out(void *state, parked_list_t *list, void (*each)(void *state, parked_t *parked))
{
    while (list->first != NULL) {
        parked_t *parked = list->first;

        list->first = parked->next;
        each(state, parked);
    }
}

/* Under the lock. */
static void wait_until(parking_t *self, int64_t now_us, int64_t until_us)
{
    int64_t left_us = until_us - now_us;
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(left_us / 1000000);
    until.tv_nsec += (long)(left_us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&self->news, &self->lock, &until);
}
