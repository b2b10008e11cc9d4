/* serve.c - the order of checks of api-resources 1.2, and the way of the answer */
#include "http/serve.h"

#include "http/auth.h"
#include "http/detached.h"
#include "http/form.h"
#include "http/socket.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <civetweb.h>
#include <stdio.h>

#define BUFFER_BYTES_KEPT (512u * 1024u)
#define DISCARD_BYTES_MAX (1024 * 1024)

static void begin(call_t *call, worker_t *worker, struct mg_connection *connection);
static void take_request_id(call_t *call);
static void check_and_handle(call_t *call);
static bool take_route(call_t *call, const char *path);
static bool take_level(exchange_t *self);
static bool take_places(call_t *call);
static bool check_media(call_t *call);
static void answer_options(call_t *call);
static void take_origin(call_t *call);
static void send_answer(call_t *call);
static void end(call_t *call);
static void release_buffers(call_t *call);
static bool head_overflowed(http_server_t *self, const struct mg_connection *connection);

int serve_request(struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    worker_t *worker = mg_get_thread_pointer(connection);
    call_t call;
    const char *fault = NULL;
    size_t head_bytes = 0;
    int status = 0;

    detached_wait(worker, connection);
    begin(&call, worker, connection);
    worker->requests++;
    atomic_fetch_add(&worker->server->active, 1);
    _Static_assert(sizeof(head_field_t) == sizeof(struct mg_header) &&
                       offsetof(head_field_t, value) == offsetof(struct mg_header, value),
                   "a field is read as the library's");
    /* A long address makes long headers too; it has a status of its own. */
    if (strlen(info->request_uri) > HEAD_TARGET_BYTES_MAX ||
        (info->query_string != NULL && strlen(info->query_string) > HEAD_TARGET_BYTES_MAX)) {
        fault = err_info(ERR_URI_TOO_LONG)->text;
        status = 414;
    }
    if (status == 0)
        status = head_layout(info->request_method, (const head_field_t *)info->http_headers,
                             (size_t)info->num_headers, &head_bytes, &fault);
    if (status == 0)
        status =
            head_read(&call.head, info->request_method, info->http_version,
                      (const head_field_t *)info->http_headers, (size_t)info->num_headers, &fault);
    take_request_id(&call);
    take_origin(&call);
    call.address = info->remote_addr;
    call.exchange.query = info->query_string;
    call.exchange.method = call.head.method;
    call.head_only = call.head.method == METHOD_HEAD;
    call.close = !call.head.keep_alive;
    if (status != 0) {
        call.close = true;
        exchange_detail(&call.exchange, status, fault);
    } else if (atomic_load_explicit(&worker->server->stopping, memory_order_relaxed)) {
        call.close = true;
        exchange_detail(&call.exchange, 503, "this node is stopping");
    } else {
        call.exchange.path = info->local_uri_raw;
        check_and_handle(&call);
    }
    if (call.detached) {
        release_buffers(&call);
        return 200; /* civetweb wants a number for a log that nobody keeps */
    }
    status = call.exchange.status;
    send_answer(&call);
    end(&call);
    return status;
}

/* What the library refuses on its own, before a request is a request. */
int serve_error(struct mg_connection *connection, int status, const char *message)
{
    worker_t *worker = mg_get_thread_pointer(connection);
    call_t call;

    (void)message;
    detached_wait(worker, connection);
    begin(&call, worker, connection);
    atomic_fetch_add(&worker->server->active, 1);
    take_request_id(&call);
    call.close = true;
    call.body_done = true;
    if (status == 411)
        status = 400;
    if (status == 400 && head_overflowed(worker->server, connection))
        status = 431;
    exchange_detail(&call.exchange, status,
                    status == 431   ? err_info(ERR_HEADERS_TOO_LARGE)->text
                    : status == 505 ? "only HTTP/1.0 and HTTP/1.1 are spoken"
                                    : "the request is malformed");
    send_answer(&call);
    end(&call);
    return 0;
}

/* The library says "malformed" for a head that fills its buffer, too; then more of it still waits
 * in the socket. That is taken and dropped, because closing over unread bytes would destroy the
 * answer on its way. At most fifty times a second: looking is slow. */
static bool head_overflowed(http_server_t *self, const struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    long long now = clock_boot_us(self->config.clock);
    long long last = atomic_load(&self->looked_us);
    int descriptor;

    if (info == NULL || now - last < 20000 ||
        !atomic_compare_exchange_strong(&self->looked_us, &last, now))
        return false;
    descriptor = socket_find(info->remote_addr, info->remote_port, info->server_port);
    return socket_discard(descriptor, DISCARD_BYTES_MAX) > 0;
}

static void begin(call_t *call, worker_t *worker, struct mg_connection *connection)
{
    http_server_t *server = worker->server;

    arena_reset(&worker->arena);
    buffer_reset(&worker->wire);
    *call = (call_t){.worker = worker,
                     .server = server,
                     .exchange = {.router = server->router,
                                  .connection = connection,
                                  .deadline_us = clock_wall_us(server->config.clock) +
                                                 server->config.request_deadline_us,
                                  .arena = &worker->arena,
                                  .status = 500,
                                  .out = worker->out,
                                  .headers = worker->headers,
                                  .content_type = "application/json"}};
    buffer_reset(&call->exchange.out);
    buffer_reset(&call->exchange.headers);
}

/* The client's own id when it sent one, else one that no other request of this process has. */
static void take_request_id(call_t *call)
{
    static const char digits[] = "0123456789abcdef";
    char *id = call->exchange.request_id;
    uint64_t high = call->worker->id_prefix, low;

    if (call->head.request_id != NULL &&
        head_clean_id(call->head.request_id, id, sizeof call->exchange.request_id) > 0)
        return;
    low = ++call->worker->id_counter;
    for (int i = 15; i >= 0; i--, high >>= 4)
        id[i] = digits[high & 15];
    id[16] = '-';
    for (int i = 24; i > 16; i--, low >>= 4)
        id[i] = digits[low & 15];
    id[25] = '\0';
}

static void check_and_handle(call_t *call)
{
    exchange_t *self = &call->exchange;
    text_t parameter;
    err_t err;

    if (!take_route(call, self->path))
        return;
    if (self->method == METHOD_OPTIONS) {
        answer_options(call);
        return;
    }
    if ((self->route->flags & ROUTE_PUBLIC) == 0) {
        if (!auth_check(call))
            return;
        if (self->route->permission != NULL && !exchange_may(self, self->route->permission)) {
            exchange_detail(self, 403, "You do not have permission to perform this action.");
            return;
        }
    }
    if (!check_media(call))
        return;
    /* The whole query once, so that later look-ups of single parameters cannot fail. */
    if (self->query != NULL && percent_decode(&parameter, self->query, strlen(self->query), true,
                                              self->arena, &err) != ERR_NONE) {
        exchange_detail(self, 400, err.text);
        return;
    }
    if (!take_level(self) || !take_places(call))
        return;
    if (call->head.idempotency_key != NULL)
        self->idempotency_key = text_of(call->head.idempotency_key);
    if (call->head.if_match != NULL)
        self->if_match = text_of(call->head.if_match);
    if (call->head.host != NULL) {
        size_t bytes = strlen(call->head.host);
        char *url = arena_alloc(self->arena, bytes + 8);

        if (url != NULL)
            snprintf(url, bytes + 8, "http://%s", call->head.host);
        self->base_url = url != NULL ? url : "";
    } else {
        self->base_url = "";
    }
    if ((self->route->flags & ROUTE_STREAM) == 0) {
        if (self->method & (METHOD_POST | METHOD_PUT | METHOD_PATCH)) {
            if (!body_read(call))
                return;
        } else {
            body_drain(call);
        }
    }
    self->route->handler(self);
}

/* How fresh what is read must be. An embedded journal has one answer to all three. */
static bool take_level(exchange_t *self)
{
    static const struct {
        const char *name;
        read_level_t level;
    } levels[] = {{"linearizable", READ_LINEARIZABLE},
                  {"lease", READ_LINEARIZABLE},
                  {"session", READ_SESSION},
                  {"any", READ_ANY}};
    const field_error_t wrong = {"consistency", "Must be one of linearizable, session, any."};
    text_t name;

    self->level = READ_LINEARIZABLE;
    if (!exchange_parameter(self, "consistency", &name))
        return true;
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (strlen(levels[i].name) == name.n && memcmp(levels[i].name, name.bytes, name.n) == 0) {
            self->level = levels[i].level;
            self->session = self->level == READ_SESSION;
            return true;
        }
    exchange_fields(self, &wrong, 1);
    return false;
}

/* What the client of a session has seen. Who does not say it gets what is true now. */
static bool take_places(call_t *call)
{
    exchange_t *self = &call->exchange;
    err_t err;

    if (!self->session)
        return true;
    if (call->head.position_count == 0) {
        self->level = READ_LINEARIZABLE;
        return true;
    }
    self->places = arena_alloc(self->arena, LOG_PLACES_MAX * sizeof *self->places);
    for (size_t i = 0; i < call->head.position_count; i++) {
        errcode_t rc = self->places == NULL
                           ? err_set(&err, ERR_INTERNAL, "no room for the positions")
                           : log_place_list_read(self->places, &self->place_count,
                                                 call->head.positions[i], &err);
        if (rc != ERR_NONE) {
            exchange_error(self, &err);
            return false;
        }
    }
    return true;
}

static bool take_route(call_t *call, const char *path)
{
    exchange_t *self = &call->exchange;
    text_t segments[ROUTE_SEGMENTS_MAX];
    int count;
    route_match_t match;
    err_t err;

    if (routes_split(path, segments, &count, self->arena, &err) != ERR_NONE) {
        exchange_detail(self, 400, err.text);
        return false;
    }
    if (!routes_match(call->server->routes, segments, count, &match)) {
        exchange_detail(self, 404, "Not found.");
        return false;
    }
    call->allow = match.allow;
    if (self->method == METHOD_OPTIONS)
        return true;
    self->route = self->method != 0 ? route_for(&match, self->method) : NULL;
    if (self->route == NULL) {
        const struct mg_request_info *info = mg_get_request_info(self->connection);
        err_t text;

        err_set(&text, ERR_METHOD, "Method \"%.20s\" not allowed.", info->request_method);
        exchange_detail(self, 405, text.text);
        return false;
    }
    memcpy(self->params, match.params, sizeof self->params);
    self->param_count = match.param_count;
    return true;
}

static bool check_media(call_t *call)
{
    exchange_t *self = &call->exchange;
    bool stream = (self->route->flags & ROUTE_STREAM) != 0;
    bool probe = (self->route->flags & ROUTE_PUBLIC) != 0 && self->route->method == METHOD_GET;

    call->media = head_media(call->head.content_type, &call->boundary);
    if (self->method & (METHOD_POST | METHOD_PUT | METHOD_PATCH)) {
        bool has_body = call->head.chunked || call->head.content_length > 0;
        bool fits = stream ? call->media == MEDIA_LINES
                           : call->media == MEDIA_NONE || call->media == MEDIA_JSON ||
                                 call->media == MEDIA_FORM || call->media == MEDIA_MULTIPART;

        if (has_body && !fits) {
            exchange_detail(self, 415, "This media type is not read here.");
            return false;
        }
    }
    if (!probe && !head_accepts(call->head.accept, "application/json") &&
        !(stream && head_accepts(call->head.accept, "application/x-ndjson"))) {
        exchange_detail(self, 406, "Only application/json is served.");
        return false;
    }
    return true;
}

static void answer_options(call_t *call)
{
    exchange_t *self = &call->exchange;

    self->status = 200;
    if (call->cors_origin != NULL)
        buffer_text(&self->headers,
                    "Access-Control-Allow-Methods: DELETE, GET, OPTIONS, PATCH, POST, PUT\r\n"
                    "Access-Control-Allow-Headers: accept, accept-encoding, authorization, "
                    "content-type, dnt, "
                    "origin, user-agent, x-csrftoken, x-requested-with, idempotency-key, if-match, "
                    "x-position, x-request-id\r\n"
                    "Access-Control-Max-Age: 86400\r\n");
    buffer_text(&self->out, "{\"allow\":");
    json_write_string(&self->out, call->allow, strlen(call->allow));
    buffer_byte(&self->out, '}');
}

static void take_origin(call_t *call)
{
    if (call->head.origin == NULL)
        return;
    for (size_t i = 0; i < call->server->origin_count; i++) {
        if (strcmp(call->server->origins[i], call->head.origin) == 0)
            call->cors_origin = call->server->origins[i];
    }
}

static void send_answer(call_t *call)
{
    exchange_t *self = &call->exchange;
    buffer_t *wire = &call->worker->wire;
    size_t body = self->out.size;
    bool whole;
    int sent;

    if (self->answered) {
        if (call->close)
            mg_disable_connection_keep_alive(self->connection);
        return;
    }
    if (self->out.failed || self->headers.failed) {
        err_t err;

        err_set(&err, ERR_INTERNAL, "the answer is larger than %u bytes", ANSWER_BYTES_MAX);
        exchange_error(self, &err);
        body = self->out.size;
    }
    body_drain(call);
    if (!call->body_done)
        call->close = true;
    whole = call->head_only || body <= WIRE_BODY_MAX;
    reply_head(call, wire, (int64_t)body);
    if (whole && !call->head_only && self->status != 204)
        buffer_append(wire, self->out.bytes, body);
    INVARIANT(!wire->failed);
    sent = mg_write(self->connection, wire->bytes, wire->size);
    if (sent == (int)wire->size && !whole)
        sent = mg_write(self->connection, self->out.bytes, body) == (int)body ? sent : -1;
    if (sent != (int)wire->size)
        call->close = true;
    if (call->close) {
        if (sent == (int)wire->size)
            body_linger(call);
        mg_disable_connection_keep_alive(self->connection);
    }
}

static void end(call_t *call)
{
    const exchange_t *self = &call->exchange;

    metric_add(METRIC_HTTP_REQUESTS, 1);
    metric_add(self->status < 300   ? METRIC_HTTP_2XX
               : self->status < 500 ? METRIC_HTTP_4XX
                                    : METRIC_HTTP_5XX,
               1);
    if (UNLIKELY(log_enabled(LOG_DEBUG)))
        log_write(LOG_DEBUG, self->request_id, "%s %d %zu bytes",
                  self->path != NULL ? self->path : "-", self->status, self->out.size);
    release_buffers(call);
    atomic_fetch_sub(&call->server->active, 1);
}

static void release_buffers(call_t *call)
{
    worker_t *worker = call->worker;

    if (call->large_bytes > 0)
        atomic_fetch_sub(&call->server->large_bytes, call->large_bytes);
    /* The buffers may have grown; one that grew large is not kept for every worker for ever. */
    worker->out = call->exchange.out;
    worker->headers = call->exchange.headers;
    if (worker->out.capacity > BUFFER_BYTES_KEPT)
        buffer_free(&worker->out);
    if (worker->answer.capacity > BUFFER_BYTES_KEPT)
        buffer_free(&worker->answer);
    if (worker->scratch.capacity > BUFFER_BYTES_KEPT)
        buffer_free(&worker->scratch);
    if (worker->arena.used > BUFFER_BYTES_KEPT)
        arena_free(&worker->arena);
}
