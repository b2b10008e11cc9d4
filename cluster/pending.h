/* pending.h - requests that were sent to one peer and have no answer yet
 *
 * Contract   A fixed table. An id names a place and how often it was used, so a late or invented answer finds nothing.
 * Threads    One.
 * Ownership  The table holds the reference of a request that is given to it, until the request is taken out.
 * Units      Deadlines are UTC microseconds.
 * Errors     None: the caller keeps count and never adds to a full table.
 */
#ifndef FEALTY_PENDING_H
#define FEALTY_PENDING_H

#include "actors/request.h"

#define PENDING_MAX 16384 /* power of two */

typedef struct pending pending_t;

typedef struct {
    request_t *request; /* NULL: free */
    uint64_t uses;
    uint64_t batch; /* number of the frame that carried it */
    uint32_t next_free;
    bool query; /* a question, else a command */
} pending_slot_t;

pending_t *pending_new(void);
/* Must be empty. */
void pending_destroy(pending_t **self_p);
uint32_t pending_count(const pending_t *self);

uint64_t pending_add(pending_t *self, request_t *request, bool query, uint64_t batch);
/* false: no such id. Frees the place. */
bool pending_take(pending_t *self, uint64_t id, pending_slot_t *taken);
/* Takes the next one, from place *at on, that is overdue at now_us (INT64_MAX: any) and was carried by `batch` (0:
 * any). *at starts at 0. */
bool pending_take_next(pending_t *self, uint32_t *at, int64_t now_us, uint64_t batch,
                       pending_slot_t *taken);

#endif
