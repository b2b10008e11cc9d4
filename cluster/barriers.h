/* barriers.h - makes reads on a shared log linearizable: a barrier goes through the log before the store is read
 *
 * Contract   barriers_wait takes a request that waits, and gives it to `passed` exactly once: without an error when a
 *            barrier that was posted after barriers_wait was called has come back through the partition's log, else
 *            with ERR_NOT_OWNER or what the copy of the partition answered. One barrier serves all that wait when it is
 *            posted. A few may be on their way per partition, so that a single reader never waits for the barrier of
 *            another one first; whoever comes then is gathered for the next.
 * Threads    barriers_wait: any. `post` and `passed` run on the caller's thread or on the one that completed a barrier;
 *            nothing is held meanwhile.
 * Ownership  A waiting request gets one more reference until it was passed, and its `next` is used meanwhile. All must
 *            have been passed before barriers_destroy.
 * Units      Deadlines are UTC microseconds.
 * Errors     ERR_OVERLOADED from barriers_wait: then the request was not taken.
 */
#ifndef FEALTY_BARRIERS_H
#define FEALTY_BARRIERS_H

#include "actors/request.h"

#define BARRIERS_UNDER_WAY_MAX 4    /* per partition */
#define BARRIERS_WAITING_MAX   4096 /* requests, of all partitions */

typedef struct barriers barriers_t;

typedef struct {
    void *state;
    /* To the copy of the partition here; as router_post. */
    errcode_t (*post)(void *state, request_t *request, err_t *err);
    /* err->code ERR_NONE: now the store may be read. */
    void (*passed)(void *state, request_t *waiting, const err_t *err);
} barriers_config_t;

barriers_t *barriers_new(const barriers_config_t *config);
void barriers_destroy(barriers_t **self_p);
errcode_t barriers_wait(barriers_t *self, request_t *waiting, err_t *err);

#endif
