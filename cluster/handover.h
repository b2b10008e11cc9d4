/* handover.h - how other threads give things to the transport's thread, and wake it when it sleeps
 *
 * Contract   First in, first out per giver. The reader is woken by its descriptor only when it said that it sleeps,
 *            so a busy reader costs no system call and everything given meanwhile is taken at once. The number of
 *            entries is bounded by those who give: see the limits in transport.h.
 * Threads    handover_give, handover_wake, handover_close: any. handover_take, _sleep, _awake: the reader's thread.
 * Ownership  Entries given belong to the handover until taken; a refused one stays with the giver.
 * Units      Nothing to say.
 * Errors     handover_give returns false when closed.
 */
#ifndef FEALTY_HANDOVER_H
#define FEALTY_HANDOVER_H

#include "protocol/error.h"

#include <pthread.h>

typedef struct handover_entry {
    struct handover_entry *next;
} handover_entry_t;

typedef struct {
    pthread_mutex_t lock; /* guards the members up to sleeping */
    handover_entry_t *first;
    handover_entry_t *last;
    bool closed;
    bool sleeping;
    int wakeup; /* owned; eventfd */
} handover_t;

errcode_t handover_open(handover_t *self, err_t *err);
/* Entries must have been taken. */
void handover_free(handover_t *self);

bool handover_give(handover_t *self, handover_entry_t *entry);
void handover_wake(handover_t *self);
void handover_close(handover_t *self);

/* All entries at once, in order; NULL: none. */
handover_entry_t *handover_take(handover_t *self);
/* Before sleeping on the wakeup descriptor; false: there is something to do, do not sleep. */
bool handover_sleep(handover_t *self);
void handover_awake(handover_t *self);

#endif
