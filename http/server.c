/* server.c - start and stop of civetweb, its threads, and the route table
 *
 * All requests come through begin_request, not through per-path handlers: our table decides, and
 * civetweb's search by pattern is never paid for. A worker thread stays with its connection, so
 * arena, buffers and answer are the worker's.
 */
#include "http/server.h"

#include "http/auth.h"
#include "http/batch.h"
#include "http/detached.h"
#include "http/points.h"
#include "http/requests.h"
#include "http/resources.h"
#include "http/root.h"
#include "http/serve.h"
#include "protocol/log.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SESSIONS_MAX     65536
#define ARENA_BYTES_MAX  (32u * 1024u * 1024u)
#define USER_FAILURES    5
#define ADDRESS_FAILURES 50

static void *on_thread(const struct mg_context *context, int kind);
static void on_thread_end(const struct mg_context *context, int kind, void *worker);
static int on_log(const struct mg_connection *connection, const char *message);

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
    char address[64], threads[16];
    struct mg_callbacks callbacks = {.begin_request = serve_request,
                                     .http_error = serve_error,
                                     .init_thread = on_thread,
                                     .exit_thread = on_thread_end,
                                     .init_connection = detached_connection,
                                     .connection_close = detached_connection_close,
                                     .log_message = on_log};
    struct mg_server_port port;
    http_server_t *self;
    errcode_t rc = ERR_NONE;
    const char *options[] = {"listening_ports",
                             address,
                             "num_threads",
                             threads,
                             "connection_queue",
                             "256",
                             "listen_backlog",
                             "1024",
                             "enable_keep_alive",
                             "yes",
                             "keep_alive_timeout_ms",
                             "5000",
                             "request_timeout_ms",
                             "5000",
                             "tcp_nodelay",
                             "1",
                             "max_request_size",
                             "65536",
                             "linger_timeout_ms",
                             "1000",
                             "access_control_allow_origin",
                             "",
                             "access_control_allow_methods",
                             "",
                             "access_control_allow_headers",
                             "",
                             "enable_auth_domain_check",
                             "no",
                             "enable_directory_listing",
                             "no",
                             "decode_url",
                             "no",
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
            rc = err_set(err, ERR_INVALID,
                         "cannot listen on %s (in use, or not an address of this machine)",
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

void http_server_quiet(http_server_t *self, int64_t timeout_us)
{
    int64_t until = clock_boot_us(self->config.clock) + timeout_us;
    struct timespec pause = {.tv_nsec = 2000000};

    atomic_store(&self->stopping, true);
    /* The library has no "no new requests": new ones get 503 while those under way finish. */
    while (atomic_load(&self->active) > 0 && clock_boot_us(self->config.clock) < until)
        nanosleep(&pause, NULL);
}

void http_server_stop(http_server_t *self)
{
    if (self->context == NULL)
        return;
    atomic_store(&self->stopping, true);
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
    http_server_stop(self);
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
    int64_t now;
    err_t err;

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

static void *on_thread(const struct mg_context *context, int kind)
{
    http_server_t *server = mg_get_user_data(context);
    worker_t *worker;

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
    worker_t *worker = state;

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

static bool listen_address(const char *listen, char out[64], err_t *err)
{
    const char *colon = strrchr(listen, ':');
    const char *port = colon != NULL ? colon + 1 : listen;
    size_t host_bytes = colon != NULL ? (size_t)(colon - listen) : 0;
    char host[256];
    char number[INET_ADDRSTRLEN] = "0.0.0.0";
    char *port_end;
    long value = strtol(port, &port_end, 10);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    if (*port < '0' || *port > '9' || *port_end != '\0' || value > 65535 ||
        host_bytes >= sizeof host) {
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
        INVARIANT(inet_ntop(AF_INET,
                            &((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr,
                            number, sizeof number) != NULL);
        freeaddrinfo(found);
    }
    snprintf(out, 64, "%s:%ld", number, value);
    return true;
}

static void read_origins(http_server_t *self)
{
    const char *list = self->config.cors_origins != NULL ? self->config.cors_origins : "";
    char *at = self->origins_text;

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
        size_t count;
    } tables[] = {{root_routes, root_route_count},         {auth_routes, auth_route_count},
                  {points_routes, points_route_count},     {batch_routes, batch_route_count},
                  {requests_routes, requests_route_count}, {resource_routes, resource_route_count}};
    errcode_t rc = ERR_NONE;

    self->routes = routes_new();
    for (size_t i = 0; i < COUNT_OF(tables) && rc == ERR_NONE; i++)
        rc = routes_add(self->routes, tables[i].rows, tables[i].count, err);
    return rc;
}
