/* session.h - which tokens this node knows, in memory
 *
 * Contract   A bounded cache of committed session rows, keyed by the token's hash; it is fed by the
 *            shard's session hook and by look-ups. What it does not know must be asked for. An
 *            ended session leaves a mark that no later put can undo, so a row that was read just
 *            before the end cannot bring a token back. When a place is needed, what expires first
 *            goes; marks go last.
 * Threads    Any; read-write locks by part of the hash.
 * Ownership  Values.
 * Units      Microseconds, wall.
 * Errors     ERR_CORRUPT for a row that cannot be read.
 */
#ifndef FEALTY_SESSION_H
#define FEALTY_SESSION_H

#include "protocol/error.h"
#include "protocol/ids.h"

#define SESSION_TOKEN_CHARS 40

typedef struct {
    uint32_t user;
    int64_t expires_us;
    int64_t created_us;
} http_session_t;

typedef enum { SESSION_UNKNOWN, SESSION_LIVE, SESSION_ENDED } session_state_t;

typedef struct session_table session_table_t;

session_table_t *session_table_new(size_t sessions_max);
void session_table_destroy(session_table_t **self_p);

/* A session past its expiry is unknown: another node may have prolonged it. */
session_state_t session_table_find(session_table_t *self, const hash_t *token, int64_t now_us,
                                   http_session_t *out);
void session_table_put(session_table_t *self, const hash_t *token, const http_session_t *session,
                       int64_t now_us);
void session_table_end(session_table_t *self, const hash_t *token, int64_t now_us);
/* True once per `pause_us` and session: the caller prolongs it. */
bool session_table_claim(session_table_t *self, const hash_t *token, int64_t now_us,
                         int64_t pause_us);

/* The row's value: msgpack array [1, user, expires_us, created_us]. */
errcode_t session_table_read_row(http_session_t *out, const void *bytes, size_t n, err_t *err);

#endif
