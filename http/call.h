/* call.h - what the files of http/ share about one request: exchange, head, worker, server
 *
 * Contract   A call_t starts with the exchange that handlers see. Not for other folders.
 * Threads    A worker and its call belong to one thread; a server's fields do not change after
 *            start but for the atomics.
 * Ownership  Buffers and arena are the worker's and are reused from request to request.
 * Units      Microseconds.
 * Errors     None.
 */
#ifndef FEALTY_CALL_H
#define FEALTY_CALL_H

#include "http/exchange.h"
#include "http/head.h"
#include "http/routes.h"
#include "http/server.h"
#include "http/session.h"
#include "http/throttle.h"
#include "http/watch.h"

#include <semaphore.h>

#define PASSWORD_CHECKS    2
#define BODY_BYTES_DEFAULT (1024u * 1024u)
#define ANSWER_BYTES_MAX   (32u * 1024u * 1024u)
#define ORIGINS_MAX        32

struct mg_context;
typedef struct worker worker_t;
typedef struct sender sender_t;

/* One answer that the sender thread will send; see detached.c. */
typedef struct detached {
    atomic_uint state;
    sender_t *sender;
    struct detached *next;  /* of all workers */
    struct detached *below; /* in the stack of finished ones */
    request_t *request;     /* owned while under way */
    const route_t *route;
    const char *allow, *cors_origin;
    char request_id[64];
    uint16_t partition;
    int descriptor;
    int64_t deadline_us; /* wall */
    buffer_t unsent;     /* what the socket did not take */
} detached_t;

struct http_server {
    http_config_t config;
    router_t *router;
    struct mg_context *context;
    routes_t *routes;
    session_table_t *sessions;
    throttle_t *throttle_user, *throttle_address;
    watch_t *watch;
    sender_t *sender;
    char origins_text[2048];
    const char *origins[ORIGINS_MAX];
    size_t origin_count;
    int port;
    atomic_bool stopping;
    atomic_int active;        /* requests between first byte checked and answer sent */
    atomic_int lookups;       /* session look-ups at other partitions under way */
    atomic_int hashing;       /* password checks that run or wait */
    sem_t password_gate;      /* two at a time: each takes 64 MiB */
    atomic_llong large_bytes; /* reserved by requests with large bodies */
    atomic_llong looked_us;   /* when the last malformed head was looked at closely */
    atomic_int streams;       /* batch requests under way */
};

struct worker {
    http_server_t *server;
    arena_t arena;
    buffer_t out;     /* body of the answer */
    buffer_t headers; /* further headers of the answer */
    buffer_t wire;    /* head and small body, sent by one write */
    buffer_t scratch; /* an encoded command, a canonical body */
    buffer_t answer;  /* of queries */
    watched_t watched;
    detached_t detached;
    int descriptor;    /* of the present connection; -1: not looked for, -2: not found */
    unsigned requests; /* of the present connection */
    unsigned marked;   /* the request, by that count, at whose end ... */
    uint64_t received; /* ... so many bytes had arrived on the connection */
    uint64_t id_prefix, id_counter;
    int64_t date_second;
    char date[40];
    size_t date_bytes;
};

typedef struct {
    exchange_t exchange; /* first */
    worker_t *worker;
    http_server_t *server;
    head_t head;
    const char *allow;       /* NULL: not known yet */
    const char *cors_origin; /* allowed origin of the request or NULL */
    const char *address;     /* of the client, text */
    media_t media;
    text_t boundary;
    bool head_only;
    bool body_done;        /* nothing of the body is left unread */
    bool close;            /* the connection ends after the answer */
    bool detached;         /* the answer is sent by another thread */
    long long large_bytes; /* reserved of the server's */
} call_t;

static inline call_t *call_of(exchange_t *exchange)
{
    return (call_t *)exchange;
}

static inline const json_t *body_member(const exchange_t *exchange, const char *name)
{
    return exchange->body != NULL ? json_member(exchange->body, name) : NULL;
}

/* reply.c: appends status line and headers to *wire. body_bytes < 0: chunked. */
void reply_head(call_t *call, buffer_t *wire, int64_t body_bytes);

/* body.c: reads the whole body and makes it call->exchange.body. False: the error answer is
 * written. */
bool body_read(call_t *call);
/* Reads what is left when that is little, so that the connection can live on; sets body_done. */
void body_drain(call_t *call);
/* After an answer that ends the connection: reads on for a moment, because closing over unread
 * bytes would destroy the answer on its way. */
void body_linger(call_t *call);
void body_continue(call_t *call); /* 100 Continue when it was asked for */
/* Bytes read, 0 at the end of the body, -1 closed or malformed, -2 past the deadline (boot clock).
 * */
int body_some(call_t *call, void *out, size_t bytes, int64_t deadline_us);

/* detached.c: sends a command whose result is the whole answer. */
void exchange_finish(exchange_t *self, command_t *command, uint16_t partition);

/* exchange.c */
/* The answer tells its client where in a log of customers it stands. */
void exchange_place(exchange_t *self, uint16_t partition, const log_place_t *place);
uint32_t exchange_rights(const exchange_t *self); /* RIGHT_* of the caller */
void call_reset_answer(call_t *call);
/* Writes the error of a request that has no answer: unreachable, unknown, overloaded ... */
void error_outcome(exchange_t *self, const err_t *err, uint16_t partition, text_t key);
/* The same for one line of a batch: body only; returns the status. */
int error_body(const err_t *err, route_family_t family, const char *node, text_t key,
               const char *request_id, buffer_t *out);

#endif
