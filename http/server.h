/* server.h - HTTP/1.1 in front of the router
 *
 * Contract   Reads, checks and answers requests by the route table (docs/api.md).
 *            http_server_quiet() refuses new requests (503) and waits until those under way are
 *            answered or the time is over; http_server_stop() closes. http_session_applied() is the
 *            shards' session hook: it may be called from start to destroy.
 * Threads    start, quiet, stop, destroy: one thread. http_session_applied: any. Handlers run on the
 *            server's workers; one connection holds one worker while it is open.
 * Ownership  router, clock and random are borrowed and outlive the server.
 * Units      Microseconds.
 * Errors     ERR_INVALID for an address that cannot be used, ERR_STATE for a route table with a
 *            fault.
 */
#ifndef FEALTY_SERVER_H
#define FEALTY_SERVER_H

#include "cluster/router.h"
#include "protocol/clock.h"

typedef struct http_server http_server_t;

typedef struct {
    router_t *router;
    const char *listen;          /* "host:port", ":port" or "port"; IPv4; port 0: any free one */
    int threads;                 /* connections that can be open at once; default 136 */
    const char *cors_origins;    /* separated by commas or blanks; "" = none; "*" is not accepted */
    int64_t token_ttl_us;        /* default 24 h; prolonged by use */
    int64_t request_deadline_us; /* default 10 s */
    const char *version;         /* shown at "/"; default "" */
    const clock_source_t *clock;
    const random_source_t *random;
    /* On a shared log: appends the JSON of GET /cluster/. NULL: 404. */
    void (*cluster_status)(void *cluster, buffer_t *out);
    void *cluster;
} http_config_t;

void http_config_default(http_config_t *config);
errcode_t http_server_start(http_server_t **self_p, const http_config_t *config, err_t *err);
/* From here on new requests are refused (503); returns when those under way are answered, or after timeout_us. */
void http_server_quiet(http_server_t *self, int64_t timeout_us);
/* Waits for all that are left: what they wait for must end by itself (a router that was stopped). */
void http_server_stop(http_server_t *self);
void http_server_destroy(http_server_t **self_p);
int http_server_port(const http_server_t *self);

/* self may be NULL: then nothing happens (before start). value NULL: the session ended. */
void http_session_applied(void *self, const hash_t *token, const void *value, size_t n);

#endif
