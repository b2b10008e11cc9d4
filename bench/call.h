/* call.h - one HTTP request, one answer, for set-up work
 *
 * Contract   Opens a connection, sends one request with a JSON body, waits for the whole answer,
 *            closes. For the handful of calls around a measurement; the measurement itself uses
 *            worker.h.
 * Threads    Any thread; nothing is shared.
 * Ownership  The body lies in the call_t.
 * Units      Bytes; seconds.
 * Errors     false with a sentence when there was no answer. An answer of any status is true.
 */
#ifndef FEALTY_BENCH_CALL_H
#define FEALTY_BENCH_CALL_H

#include "bench/endpoint.h"

#define CALL_BODY_MAX 65536

typedef struct {
    int status;
    size_t body_bytes;
    char body[CALL_BODY_MAX + 1]; /* NUL-terminated */
} call_t;

/* token and body may be NULL. */
bool call_make(call_t *self, const endpoint_t *endpoint, const char *method, const char *path,
               const char *token, const char *body, problem_t *problem);

/* Logs in and copies the token. */
bool call_login(const endpoint_t *endpoint, const char *user, const char *password, char *token,
                size_t token_bytes, problem_t *problem);

#endif
