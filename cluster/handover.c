/* handover.c - a list under a mutex, and an eventfd for a reader that sleeps */
#include "cluster/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void signal_reader(handover_t *self);

errcode_t handover_open(handover_t *self, err_t *err)
{
    memset(self, 0, sizeof *self);
    self->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wakeup < 0)
        return err_set(err, ERR_IO, "no eventfd: %s", strerror(errno));
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    return ERR_NONE;
}

void handover_free(handover_t *self)
{
    INVARIANT(self->first == NULL);
    (void)pthread_mutex_destroy(&self->lock);
    (void)close(self->wakeup);
}

bool handover_give(handover_t *self, handover_entry_t *entry)
{
    bool given, wake;

    entry->next = NULL;
    (void)pthread_mutex_lock(&self->lock);
    given = !self->closed;
    wake = given && self->sleeping;
    if (given) {
        if (self->first == NULL)
            self->first = entry;
        else
            self->last->next = entry;
        self->last = entry;
        self->sleeping = false; /* one wake-up is enough */
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (wake)
        signal_reader(self);
    return given;
}

void handover_wake(handover_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->sleeping = false;
    (void)pthread_mutex_unlock(&self->lock);
    signal_reader(self);
}

void handover_close(handover_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->closed = true;
    (void)pthread_mutex_unlock(&self->lock);
}

handover_entry_t *handover_take(handover_t *self)
{
    handover_entry_t *all;

    (void)pthread_mutex_lock(&self->lock);
    all = self->first;
    self->first = NULL;
    self->last = NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return all;
}

bool handover_sleep(handover_t *self)
{
    bool empty;

    (void)pthread_mutex_lock(&self->lock);
    empty = self->first == NULL;
    self->sleeping = empty;
    (void)pthread_mutex_unlock(&self->lock);
    return empty;
}

void handover_awake(handover_t *self)
{
    uint64_t signals;

    (void)pthread_mutex_lock(&self->lock);
    self->sleeping = false;
    (void)pthread_mutex_unlock(&self->lock);
    /* Nothing to read is the usual case: something else woke the reader. */
    (void)!read(self->wakeup, &signals, sizeof signals);
}

/* It cannot fail but by an overflow of 2^64 signals, and then the descriptor can be read anyway. */
static void signal_reader(handover_t *self)
{
    const uint64_t one = 1;

    (void)!write(self->wakeup, &one, sizeof one);
}
