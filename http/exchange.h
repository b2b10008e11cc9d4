/* exchange.h - one request and the answer being built, as handlers see them
 *
 * Contract   By the time a handler runs, the order of checks of api-resources 1.2 has passed up to JSON: route, method,
 *            token, permission, media type, size, JSON (form bodies arrive as an object of strings). The handler checks
 *            the schema, asks the router, and writes one answer with the functions below.
 * Threads    One worker thread from start to end.
 * Ownership  Everything lives in the exchange's arena and buffers until the answer is sent.
 * Units      Microseconds.
 * Errors     exchange_error() turns an err_t into the contract's shape and status by the error table and the route's
 *            family (resource: V and D; service: E and S).
 */
#ifndef FEALTY_EXCHANGE_H
#define FEALTY_EXCHANGE_H

#include "cluster/router.h"
#include "protocol/json.h"

typedef enum {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_POST = 4,
    METHOD_PUT = 8,
    METHOD_PATCH = 16,
    METHOD_DELETE = 32,
    METHOD_OPTIONS = 64
} method_t;

struct mg_connection;
typedef struct exchange exchange_t;
typedef void (*handler_fn)(exchange_t *self);

/* Error shapes of a route's family. */
typedef enum { FAMILY_RESOURCE, FAMILY_SERVICE } route_family_t;

#define ROUTE_PUBLIC      1u /* no token */
#define ROUTE_STREAM      2u /* the handler reads the body itself (batch) */
#define ROUTE_NO_DEADLINE 4u

/* One row per path; several methods on a path are several rows. The pattern's `{name}` matches [^/]+ ; canonical paths end
 * in '/', both forms are served; `.json` suffix too. */
typedef struct {
    method_t method;
    const char *pattern; /* below the host: "/api/loyalty/v1/loyaltyPrograms/{id}/" */
    handler_fn handler;
    const char *permission; /* "program.view"; NULL: any valid token */
    uint32_t body_max;      /* bytes; 0 = 1 MiB */
    uint32_t flags;
    route_family_t family;
    const void *context; /* e.g. the resource's table */
} route_t;

#define EXCHANGE_PARAMS_MAX 4

struct exchange {
    router_t *router;
    struct mg_connection *connection; /* only http/server.c and the batch handler touch it */
    const route_t *route;
    method_t method;
    const char *path;
    text_t params[EXCHANGE_PARAMS_MAX]; /* values of {…} in order, percent-decoded */
    size_t param_count;
    const char *query;    /* raw query string or NULL */
    const char *base_url; /* "http://host:port" as the client wrote it in Host, for next/previous */
    char request_id[64];
    uint32_t user; /* 0 = none */
    bool superuser;
    const user_t *user_row;
    hash_t token;
    text_t idempotency_key; /* header or body member; n 0 = none */
    text_t if_match;        /* raw header, n 0 = none */
    const json_t *body;     /* NULL when there is none */
    text_t raw_body;
    int64_t deadline_us;       /* wall clock */
    read_level_t level;        /* of reads: `?consistency=` */
    bool session;              /* that is `session` */
    named_log_place_t *places; /* X-Position, of a session's read; in the arena */
    size_t place_count;
    arena_t *arena;
    /* the answer */
    int status;
    buffer_t out;             /* body */
    buffer_t headers;         /* further header lines, each ending in CRLF */
    const char *content_type; /* default application/json */
    bool answered;            /* the handler wrote to the connection itself (stream) */
    named_log_place_t place;  /* X-Position of the answer; epoch 0: none */
};

bool exchange_may(const exchange_t *self,
                  const char *permission); /* superuser, "*", or a name that covers it */

/* Query parameter, percent-decoded into the arena; false when absent. Empty values count as absent (1.4). */
bool exchange_parameter(exchange_t *self, const char *name, text_t *out);

/* Errors. exchange_error: err's own code, field and text. exchange_fields: several field messages at once (V). */
void exchange_error(exchange_t *self, const err_t *err);
void exchange_detail(exchange_t *self, int status, const char *detail);
typedef struct {
    const char *field; /* "non_field_errors" for the whole */
    const char *message;
} field_error_t;
void exchange_fields(exchange_t *self, const field_error_t *errors, size_t count);

/* Sends a command to its partition and waits until the deadline. Fills *result (borrowed from the arena). On false the
 * error answer has been written (503 with Retry-After and node, 504 with code and idempotency_key, 429 ...). */
bool exchange_command(exchange_t *self, command_t *command, uint16_t partition, result_t *result);
/* router_query_at for a question about one customer: the copy must have reached what the client says it has seen, and the
 * answer names its place in that partition's log. */
errcode_t exchange_query(exchange_t *self, uint16_t partition, const query_t *query,
                         buffer_t *answer, err_t *err);
/* Renders a result (success or refusal) by its renderer, sets status, ETag, Idempotent-Replayed. */
void exchange_result(exchange_t *self, const result_t *result);

/* Renders a result's JSON alone (frozen renderers): used by batch and GET /requests. */
void render_result(const result_t *result, route_family_t family, const catalogue_t *catalogue,
                   buffer_t *out);
/* Current wire form of rows. Tier ids of deleted tiers read null (needs the catalogue). */
void render_account(const account_t *account, const catalogue_t *catalogue, buffer_t *out);
void render_entry(const entry_t *entry, buffer_t *out);

/* Idempotency: hash of the key and of the canonical body. `aliases`/`numeric` as in json_canonical_t. Returns
 * false after writing the error (two different keys in header and body, key too long or empty). Sets key, key_hash and
 * body_hash of the command; without a key only body_hash. */
bool exchange_idempotency(exchange_t *self, const json_t *body, const json_canonical_t *rules,
                          command_t *command);

#endif
