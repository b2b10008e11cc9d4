/* server.c - civetweb below, exchanges above: the order of checks of api-resources 1.2, and the way of the answer
 *
 * All requests come through begin_request, not through per-path handlers: our table decides, and civetweb's search by
 * pattern is never paid for. A worker thread stays with its connection, so arena, buffers and answer are the worker's.
 */
#include "http/server.h"

#include "http/auth.h"
#include "http/batch.h"
#include "http/detached.h"
#include "http/form.h"
#include "http/points.h"
#include "http/requests.h"
#include "http/resources.h"
#include "http/root.h"
#include "http/socket.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SESSIONS_MAX 65536
#define ARENA_BYTES_MAX (32u * 1024u * 1024u)
#define ARENA_BYTES_KEPT (512u * 1024u)
#define WIRE_BODY_MAX 65536
#define DISCARD_BYTES_MAX (1024 * 1024)
#define USER_FAILURES 5
#define ADDRESS_FAILURES 50

static int   on_request(struct mg_connection *connection);
static int   on_error(struct mg_connection *connection, int status, const char *message);
static bool  head_overflowed(http_server_t *self, const struct mg_connection *connection);
static void *on_thread(const struct mg_context *context, int kind);
static void  on_thread_end(const struct mg_context *context, int kind, void *worker);
static int   on_log(const struct mg_connection *connection, const char *message);

static void begin(call_t *call, worker_t *worker, struct mg_connection *connection);
static void take_request_id(call_t *call);
static void check_and_handle(call_t *call);
static bool take_route(call_t *call, const char *path);
static bool check_media(call_t *call);
static void answer_options(call_t *call);
static void take_origin(call_t *call);
static void send_answer(call_t *call);
static void end(call_t *call);
static void release_buffers(call_t *call);
static bool listen_address(const char *listen, char out[64], err_t *err);
static void read_origins(http_server_t *self);
static errcode_t add_routes(http_server_t *self, err_t *err);

void http_config_default(http_config_t *config)
{
    *config = (http_config_t){.listen = "127.0.0.1:8080",
                              .threads = 136,
                              .cors_origins = "http://localhost:5173,http://127.0.0.1:5173",
                              .token_ttl_us = DAY_US,
                              .request_deadline_us = 10 * SECOND_US,
                              .version = "",
                              .clock = clock_system(),
                              .random = random_system()};
}

errcode_t http_server_start(http_server_t **self_p, const http_config_t *config, err_t *err)
{
    char                 address[64], threads[16];
    struct mg_callbacks  callbacks = {.begin_request = on_request,
                                      .http_error = on_error,
                                      .init_thread = on_thread,
                                      .exit_thread = on_thread_end,
                                      .init_connection = detached_connection,
                                      .connection_close = detached_connection_close,
                                      .log_message = on_log};
    struct mg_server_port port;
    http_server_t       *self;
    errcode_t            rc = ERR_NONE;
    const char          *options[] = {"listening_ports", address,
                                      "num_threads", threads,
                                      "connection_queue", "256",
                                      "listen_backlog", "1024",
                                      "enable_keep_alive", "yes",
                                      "keep_alive_timeout_ms", "5000",
                                      "request_timeout_ms", "5000",
                                      "tcp_nodelay", "1",
                                      "max_request_size", "65536",
                                      "linger_timeout_ms", "1000",
                                      "access_control_allow_origin", "",
                                      "access_control_allow_methods", "",
                                      "access_control_allow_headers", "",
                                      "enable_auth_domain_check", "no",
                                      "enable_directory_listing", "no",
                                      "decode_url", "no",
                                      NULL};

    if (!listen_address(config->listen, address, err))
        return ERR_INVALID;
    if (config->threads < 2 || config->threads > 10000)
        return err_set(err, ERR_INVALID, "threads must be between 2 and 10000");
    snprintf(threads, sizeof threads, "%d", config->threads);

    self = memory_zalloc(sizeof *self);
    self->config = *config;
    self->router = config->router;
    self->sessions = session_table_new(SESSIONS_MAX);
    self->throttle_user = throttle_new(USER_FAILURES, config->random);
    self->throttle_address = throttle_new(ADDRESS_FAILURES, config->random);
    INVARIANT(sem_init(&self->password_gate, 0, PASSWORD_CHECKS) == 0);
    read_origins(self);
    rc = add_routes(self, err);
    if (rc == ERR_NONE)
        rc = watch_start(&self->watch, config->clock, err);
    if (rc == ERR_NONE)
        rc = sender_start(&self->sender, self, err);
    if (rc == ERR_NONE) {
        (void)mg_init_library(0);
        self->context = mg_start(&callbacks, self, options);
        if (self->context == NULL) {
            (void)mg_exit_library();
            rc = err_set(err, ERR_INVALID, "cannot listen on %s (in use, or not an address of this machine)",
                         config->listen);
        }
    }
    if (rc != ERR_NONE) {
        http_server_destroy(&self);
        return rc;
    }
    if (mg_get_server_ports(self->context, 1, &port) == 1)
        self->port = port.port;
    *self_p = self;
    return ERR_NONE;
}

void http_server_stop(http_server_t *self, int64_t timeout_us)
{
    int64_t         until = clock_boot_us(self->config.clock) + timeout_us;
    struct timespec pause = {.tv_nsec = 2000000};

    if (self->context == NULL)
        return;
    atomic_store(&self->stopping, true);
    /* The library has no "no new requests": new ones get 503 while those under way finish. */
    while (atomic_load(&self->active) > 0 && clock_boot_us(self->config.clock) < until)
        nanosleep(&pause, NULL);
    watch_hurry(self->watch);
    mg_stop(self->context);
    (void)mg_exit_library();
    self->context = NULL;
}

void http_server_destroy(http_server_t **self_p)
{
    http_server_t *self = *self_p;

    if (self == NULL)
        return;
    if (self->context != NULL)
        http_server_stop(self, 0);
    watch_stop(&self->watch);
    sender_stop(&self->sender);
    routes_destroy(&self->routes);
    throttle_destroy(&self->throttle_user);
    throttle_destroy(&self->throttle_address);
    session_table_destroy(&self->sessions);
    sem_destroy(&self->password_gate);
    free(self);
    *self_p = NULL;
}

int http_server_port(const http_server_t *self)
{
    return self->port;
}

void http_session_applied(void *state, const hash_t *token, const void *value, size_t n)
{
    http_server_t *self = state;
    http_session_t session;
    int64_t        now;
    err_t          err;

    if (self == NULL)
        return;
    now = clock_wall_us(self->config.clock);
    if (value == NULL || n == 0)
        session_table_end(self->sessions, token, now);
    else if (session_table_read_row(&session, value, n, &err) == ERR_NONE)
        session_table_put(self->sessions, token, &session, now);
    else
        log_error("%s", err.text);
}

static int on_request(struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    worker_t                     *worker = mg_get_thread_pointer(connection);
    call_t                        call;
    const char                   *fault = NULL;
    size_t                        head_bytes = 0;
    int                           status = 0;

    detached_wait(worker, connection);
    begin(&call, worker, connection);
    worker->requests++;
    atomic_fetch_add(&worker->server->active, 1);
    _Static_assert(sizeof(head_field_t) == sizeof(struct mg_header)
                       && offsetof(head_field_t, value) == offsetof(struct mg_header, value),
                   "a field is read as the library's");
    /* A long address makes long headers too; it has a status of its own. */
    if (strlen(info->request_uri) > HEAD_TARGET_BYTES_MAX
        || (info->query_string != NULL && strlen(info->query_string) > HEAD_TARGET_BYTES_MAX)) {
        fault = err_info(ERR_URI_TOO_LONG)->text;
        status = 414;
    }
    if (status == 0)
        status = head_layout(info->request_method, (const head_field_t *)info->http_headers,
                             (size_t)info->num_headers, &head_bytes, &fault);
    if (status == 0)
        status = head_read(&call.head, info->request_method, info->http_version,
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
static int on_error(struct mg_connection *connection, int status, const char *message)
{
    worker_t *worker = mg_get_thread_pointer(connection);
    call_t    call;

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
    exchange_detail(&call.exchange, status, status == 431   ? err_info(ERR_HEADERS_TOO_LARGE)->text
                                            : status == 505 ? "only HTTP/1.0 and HTTP/1.1 are spoken"
                                                            : "the request is malformed");
    send_answer(&call);
    end(&call);
    return 0;
}

/* The library says "malformed" for a head that fills its buffer, too; then more of it still waits in the socket. That is
 * taken and dropped, because closing over unread bytes would destroy the answer on its way. At most fifty times a
 * second: looking is slow. */
static bool head_overflowed(http_server_t *self, const struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    long long                     now = clock_boot_us(self->config.clock);
    long long                     last = atomic_load(&self->looked_us);
    int                           descriptor;

    if (info == NULL || now - last < 20000 || !atomic_compare_exchange_strong(&self->looked_us, &last, now))
        return false;
    descriptor = socket_find(info->remote_addr, info->remote_port, info->server_port);
    return socket_discard(descriptor, DISCARD_BYTES_MAX) > 0;
}

static void *on_thread(const struct mg_context *context, int kind)
{
    http_server_t *server = mg_get_user_data(context);
    worker_t      *worker;

    if (kind != 0 && kind != 1)
        return NULL;
    worker = memory_zalloc(sizeof *worker);
    worker->server = server;
    watch_enter(server->watch, &worker->watched);
    if (kind == 0)
        return worker;
    arena_init(&worker->arena, ARENA_BYTES_MAX);
    buffer_init(&worker->out, ANSWER_BYTES_MAX);
    buffer_init(&worker->headers, 16 * 1024);
    buffer_init(&worker->wire, WIRE_BODY_MAX + 64 * 1024);
    buffer_init(&worker->scratch, 4 * 1024 * 1024);
    buffer_init(&worker->answer, ANSWER_BYTES_MAX);
    random_fill(server->config.random, &worker->id_prefix, sizeof worker->id_prefix);
    worker->date_second = INT64_MIN;
    detached_enter(worker);
    return worker;
}

static void on_thread_end(const struct mg_context *context, int kind, void *state)
{
    http_server_t *server = mg_get_user_data(context);
    worker_t      *worker = state;

    if (worker == NULL)
        return;
    watch_leave(server->watch, &worker->watched);
    if (kind == 1) {
        detached_leave(worker);
        arena_free(&worker->arena);
        buffer_free(&worker->out);
        buffer_free(&worker->headers);
        buffer_free(&worker->wire);
        buffer_free(&worker->scratch);
        buffer_free(&worker->answer);
    }
    free(worker);
}

static int on_log(const struct mg_connection *connection, const char *message)
{
    (void)connection;
    log_debug("civetweb: %s", message);
    return 1;
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
                                  .deadline_us = clock_wall_us(server->config.clock) + server->config.request_deadline_us,
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
    char             *id = call->exchange.request_id;
    uint64_t          high = call->worker->id_prefix, low;

    if (call->head.request_id != NULL && head_clean_id(call->head.request_id, id, sizeof call->exchange.request_id) > 0)
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
    text_t      parameter;
    err_t       err;

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
    if (self->query != NULL && percent_decode(&parameter, self->query, strlen(self->query), true, self->arena, &err)
                                   != ERR_NONE) {
        exchange_detail(self, 400, err.text);
        return;
    }
    if (call->head.idempotency_key != NULL)
        self->idempotency_key = text_of(call->head.idempotency_key);
    if (call->head.if_match != NULL)
        self->if_match = text_of(call->head.if_match);
    if (call->head.host != NULL) {
        size_t bytes = strlen(call->head.host);
        char  *url = arena_alloc(self->arena, bytes + 8);

        if (url != NULL) {
            memcpy(url, "http://", 7);
            memcpy(url + 7, call->head.host, bytes + 1);
        }
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

static bool take_route(call_t *call, const char *path)
{
    exchange_t   *self = &call->exchange;
    text_t        segments[ROUTE_SEGMENTS_MAX];
    int           count;
    route_match_t match;
    err_t         err;

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
        err_t                         text;

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
    bool        stream = (self->route->flags & ROUTE_STREAM) != 0;
    bool        probe = (self->route->flags & ROUTE_PUBLIC) != 0 && self->route->method == METHOD_GET;

    call->media = head_media(call->head.content_type, &call->boundary);
    if (self->method & (METHOD_POST | METHOD_PUT | METHOD_PATCH)) {
        bool has_body = call->head.chunked || call->head.content_length > 0;
        bool fits = stream ? call->media == MEDIA_LINES
                           : call->media == MEDIA_NONE || call->media == MEDIA_JSON || call->media == MEDIA_FORM
                                 || call->media == MEDIA_MULTIPART;

        if (has_body && !fits) {
            exchange_detail(self, 415, "This media type is not read here.");
            return false;
        }
    }
    if (!probe && !head_accepts(call->head.accept, "application/json")
        && !(stream && head_accepts(call->head.accept, "application/x-ndjson"))) {
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
                    "Access-Control-Allow-Headers: accept, accept-encoding, authorization, content-type, dnt, "
                    "origin, user-agent, x-csrftoken, x-requested-with, idempotency-key, if-match, x-request-id\r\n"
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
    buffer_t   *wire = &call->worker->wire;
    size_t      body = self->out.size;
    bool        whole;
    int         sent;

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
    metric_add(self->status < 300 ? METRIC_HTTP_2XX : self->status < 500 ? METRIC_HTTP_4XX : METRIC_HTTP_5XX, 1);
    if (UNLIKELY(log_enabled(LOG_DEBUG)))
        log_write(LOG_DEBUG, self->request_id, "%s %d %zu bytes", self->path != NULL ? self->path : "-", self->status,
                  self->out.size);
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
    if (worker->out.capacity > ARENA_BYTES_KEPT)
        buffer_free(&worker->out);
    if (worker->answer.capacity > ARENA_BYTES_KEPT)
        buffer_free(&worker->answer);
    if (worker->scratch.capacity > ARENA_BYTES_KEPT)
        buffer_free(&worker->scratch);
    if (worker->arena.used > ARENA_BYTES_KEPT)
        arena_free(&worker->arena);
}

static bool listen_address(const char *listen, char out[64], err_t *err)
{
    const char      *colon = strrchr(listen, ':');
    const char      *port = colon != NULL ? colon + 1 : listen;
    size_t           host_bytes = colon != NULL ? (size_t)(colon - listen) : 0;
    char             host[256];
    char             number[INET_ADDRSTRLEN] = "0.0.0.0";
    char            *port_end;
    long             value = strtol(port, &port_end, 10);
    struct addrinfo  hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    if (*port < '0' || *port > '9' || *port_end != '\0' || value > 65535 || host_bytes >= sizeof host) {
        err_set(err, ERR_INVALID, "%s is no address: HOST:PORT is needed", listen);
        return false;
    }
    memcpy(host, listen, host_bytes);
    host[host_bytes] = '\0';
    if (host_bytes > 0) {
        if (getaddrinfo(host, NULL, &hints, &found) != 0 || found == NULL) {
            err_set(err, ERR_INVALID, "%s has no IPv4 address", host);
            return false;
        }
        INVARIANT(inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr, number,
                            sizeof number)
                  != NULL);
        freeaddrinfo(found);
    }
    snprintf(out, 64, "%s:%ld", number, value);
    return true;
}

static void read_origins(http_server_t *self)
{
    const char *list = self->config.cors_origins != NULL ? self->config.cors_origins : "";
    char       *at = self->origins_text;

    snprintf(self->origins_text, sizeof self->origins_text, "%s", list);
    while (*at != '\0' && self->origin_count < ORIGINS_MAX) {
        size_t n;

        at += strspn(at, ", \t");
        n = strcspn(at, ", \t");
        if (n == 0)
            break;
        self->origins[self->origin_count++] = at;
        at += n;
        if (*at != '\0')
            *at++ = '\0';
    }
}

static errcode_t add_routes(http_server_t *self, err_t *err)
{
    const struct {
        const route_t *rows;
        size_t         count;
    } tables[] = {{root_routes, root_route_count},         {auth_routes, auth_route_count},
                  {points_routes, points_route_count},     {batch_routes, batch_route_count},
                  {requests_routes, requests_route_count}, {resource_routes, resource_route_count}};
    errcode_t rc = ERR_NONE;

    self->routes = routes_new();
    for (size_t i = 0; i < COUNT_OF(tables) && rc == ERR_NONE; i++)
        rc = routes_add(self->routes, tables[i].rows, tables[i].count, err);
    return rc;
}
