/* watch.c - one thread that looks at all armed deadlines ten times a second */
#include "http/watch.h"

#include "protocol/buffer.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_EVERY_US  100000
#define NUDGE_EVERY_US 50000
#define HURRY_EVERY_US 5000

struct watch {
    const clock_source_t *clock;
    pthread_t thread;
    pthread_mutex_t
        mutex; /* protects first, stopping, hurry; held while a signal is sent, so that no thread
                                    can leave and end between look and signal */
    pthread_cond_t wake;
    watched_t *first;
    bool stopping;
    bool hurry;
};

static void *watch_run(void *state);
static void do_nothing(int number);

static int nudge_signal(void)
{
    return SIGRTMIN + 3;
}

errcode_t watch_start(watch_t **self_p, const clock_source_t *clock, err_t *err)
{
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    pthread_condattr_t attributes;
    watch_t *self = memory_zalloc(sizeof *self);

    sigemptyset(&action.sa_mask);
    INVARIANT(sigaction(nudge_signal(), &action, NULL) == 0);
    self->clock = clock;
    INVARIANT(pthread_mutex_init(&self->mutex, NULL) == 0);
    INVARIANT(pthread_condattr_init(&attributes) == 0);
    INVARIANT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_cond_init(&self->wake, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&self->thread, NULL, watch_run, self) != 0) {
        pthread_cond_destroy(&self->wake);
        pthread_mutex_destroy(&self->mutex);
        free(self);
        return err_set(err, ERR_INTERNAL, "cannot make the thread that watches slow bodies");
    }
    *self_p = self;
    return ERR_NONE;
}

void watch_stop(watch_t **self_p)
{
    watch_t *self = *self_p;

    if (self == NULL)
        return;
    pthread_mutex_lock(&self->mutex);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->mutex);
    free(self);
    *self_p = NULL;
}

void watch_hurry(watch_t *self)
{
    pthread_mutex_lock(&self->mutex);
    self->hurry = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void watch_enter(watch_t *self, watched_t *thread)
{
    sigset_t nudge;

    /* The process may have blocked all signals before it made threads. */
    sigemptyset(&nudge);
    sigaddset(&nudge, nudge_signal());
    INVARIANT(pthread_sigmask(SIG_UNBLOCK, &nudge, NULL) == 0);
    thread->thread = pthread_self();
    atomic_store(&thread->deadline_us, 0);
    pthread_mutex_lock(&self->mutex);
    thread->next = self->first;
    self->first = thread;
    pthread_mutex_unlock(&self->mutex);
}

void watch_leave(watch_t *self, watched_t *thread)
{
    pthread_mutex_lock(&self->mutex);
    for (watched_t **link = &self->first; *link != NULL; link = &(*link)->next) {
        if (*link == thread) {
            *link = thread->next;
            break;
        }
    }
    pthread_mutex_unlock(&self->mutex);
}

static void *watch_run(void *state)
{
    watch_t *self = state;

    (void)pthread_setname_np(pthread_self(), "http-watch");
    pthread_mutex_lock(&self->mutex);
    while (!self->stopping) {
        int64_t now = clock_boot_us(self->clock);
        int64_t pause = self->hurry ? HURRY_EVERY_US : LOOK_EVERY_US;
        struct timespec until;

        for (watched_t *thread = self->first; thread != NULL; thread = thread->next) {
            long long deadline = atomic_load_explicit(&thread->deadline_us, memory_order_acquire);

            if (self->hurry || (deadline != 0 && deadline <= now)) {
                (void)pthread_kill(thread->thread, nudge_signal());
                if (pause > NUDGE_EVERY_US)
                    pause = NUDGE_EVERY_US;
            }
        }
        INVARIANT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
        until.tv_nsec += pause * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&self->wake, &self->mutex, &until);
    }
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

static void do_nothing(int number)
{
    (void)number;
}
