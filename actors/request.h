/* request.h - one command on its way to its partition and its answer on the way back
 *
 * Contract   request_new copies the encoded command. Whoever takes a request (shard_post, router_post returning
 *            ERR_NONE) completes it exactly once with request_complete(), from any thread; when posting fails the
 *            request was not taken and `done` is not called. The answer may come after the asker gave up:
 *            requests are reference counted.
 * Threads    request_complete: one thread, once. waiter functions: any.
 * Ownership  request_new returns one reference; posting adds its own; request_release drops one.
 * Units      deadline_us is UTC wall time in microseconds, absolute; it travels in the command too.
 * Errors     err.code == ERR_NONE: `result` holds an encoded result_t. Otherwise err says why there is none.
 *            `place` is set before request_complete by who knows it.
 */
#ifndef FEALTY_REQUEST_H
#define FEALTY_REQUEST_H

#include "protocol/log_place.h"

#include <stdatomic.h>

typedef struct request request_t;
typedef void (*request_done_fn)(request_t *self, void *context);

struct request {
    request_t *next; /* link of the queue it is in */
    uint16_t partition;
    int64_t deadline_us;
    const uint8_t *command; /* owned, behind the struct */
    size_t command_bytes;
    request_done_fn done; /* called once by request_complete, may be NULL */
    void *context;        /* of done */
    void *waiting;        /* used by whoever holds it (partition, transport) */
    err_t err;
    buffer_t result; /* owned; encoded result_t */
    log_place_t
        place; /* of a result: a place in the partition's log that covers it; epoch 0: none */
    atomic_int refs;
    atomic_int completed;
};

request_t *request_new(uint16_t partition, const void *command, size_t command_bytes,
                       int64_t deadline_us);
void request_retain(request_t *self);
void request_release(request_t *self);
/* Copies the result bytes (may be NULL with n 0 when err is given) and wakes the asker. */
void request_complete(request_t *self, const void *result, size_t n, const err_t *err);

/* A place where one thread waits for one or several requests. */
typedef struct {
    atomic_uint completed; /* futex word */
} waiter_t;
void waiter_init(waiter_t *self);
/* Sets request->done/context so that its completion counts here. */
void waiter_watch(waiter_t *self, request_t *request);
/* Waits until `count` requests have completed or boot-clock time has passed deadline; true when reached. The waiter
 * must outlive watched requests that are not complete: on time-out call waiter_abandon for each of them. */
bool waiter_wait(waiter_t *self, unsigned count, int64_t timeout_us);
/* After this the request no longer touches the waiter. */
void waiter_abandon(waiter_t *self, request_t *request);

#endif
