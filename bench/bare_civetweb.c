/* bare_civetweb.c - fealty-bench-bare: what HTTP alone costs
 *
 * The same web server with the same settings, reading the same requests and answering with as many
 * bytes and the same headers as an earn, but doing nothing in between. The ratio of a node's rate
 * to this one's is the price of everything a ledger does. It also answers the set-up calls of
 * fealty-bench (login, program, tier, account) and batches, line by line, so that the load
 * generator can be tried without a node.
 *
 *   fealty-bench-bare [--listen HOST:PORT] [--threads N]     ends at SIGINT or SIGTERM
 */
#include "protocol/compiler.h"

#include <civetweb.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_ROOM 16384
#define COMMON_HEADERS                                                                             \
    "Date: Wed, 25 Nov 2026 02:40:24 GMT\r\nContent-Type: application/json\r\nAllow: POST, "       \
    "OPTIONS\r\nVary: Accept, Origin, "                                                            \
    "Authorization\r\n"                                                                            \
    "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: same-origin\r\n" \
    "X-Request-ID: 5f1d7a9e3c0b4826-0000a1d4\r\n"

typedef struct {
    const char *path; /* civetweb pattern */
    int status;
    const char *reason;
    const char *body;
} answer_t;

static const char earned[] = "{\"success\":true,\"transaction_id\":\"4503599627370497\",\"points\":"
                             "137,\"balance_after\":1000137,"
                             "\"metadata\":{\"base_points\":137,\"calculated_points\":137,\"tier_"
                             "multiplier\":1,\"rules_applied\":false,"
                             "\"rules\":[],\"caps\":[],\"clipped_points\":0}}";

static const answer_t answers[] = {
    {"/api/auth/login/$", 200, "OK",
     "{\"token\":\"0123456789abcdef0123456789abcdef01234567\",\"user\":{\"id\":1},\"permissions\":["
     "\"*\"]}"},
    {"/api/loyalty/v1/loyaltyPrograms/$", 201, "Created", "{\"id\":1,\"name\":\"Load test\"}"},
    {"/api/loyalty/v1/loyaltyTiers/$", 201, "Created", "{\"id\":1,\"name\":\"Everybody\"}"},
    {"/api/loyalty/v1/loyaltyAccounts/$", 201, "Created", "{\"id\":1,\"points_balance\":1000000}"},
    {"/api/loyalty/v1/loyaltyAccounts/customer/", 200, "OK",
     "[{\"id\":1,\"points_balance\":1000000}]"},
    {"/readyz$", 200, "OK", "{\"ready\":true}"},
    {"/", 200, "OK", earned},
};

static int answer(struct mg_connection *connection, void *row);
static int answer_batch(struct mg_connection *connection, void *unused);
static int quiet(const struct mg_connection *connection, const char *message);
static bool write_line(struct mg_connection *connection, char *out, size_t *used, unsigned line,
                       bool end);

int main(int argc, char **argv)
{
    const char *listen = "127.0.0.1:8081";
    const char *threads = "128";
    sigset_t ends;
    int got = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc) {
            listen = argv[++i];
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            threads = argv[++i];
        } else {
            fprintf(stderr, "usage: fealty-bench-bare [--listen HOST:PORT] [--threads N]\n");
            return 2;
        }
    }
    /* Blocked before civetweb starts its threads, so that only sigwait() below sees them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    const char *settings[] = {"listening_ports",
                              listen,
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
                              "16384",
                              "linger_timeout_ms",
                              "1000",
                              "enable_directory_listing",
                              "no",
                              "access_control_allow_origin",
                              "",
                              "decode_url",
                              "no",
                              NULL};
    const struct mg_callbacks callbacks = {.log_message = quiet};
    if (mg_init_library(0) != 0) {
        fprintf(stderr, "fealty-bench-bare: the web server library cannot start\n");
        return 1;
    }
    struct mg_context *server = mg_start(&callbacks, NULL, settings);
    if (server == NULL) {
        fprintf(stderr, "fealty-bench-bare: cannot listen on %s\n", listen);
        mg_exit_library();
        return 1;
    }
    /* The first pattern that matches wins, so "/" comes last. */
    mg_set_request_handler(server, "/api/loyalty/v1/services/points/batch/$", answer_batch, NULL);
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        mg_set_request_handler(server, answers[i].path, answer, (void *)(uintptr_t)&answers[i]);
    printf("listening on %s\n", listen);
    fflush(stdout);
    while (sigwait(&ends, &got) != 0)
        ;
    mg_stop(server);
    mg_exit_library();
    return 0;
}

/* Reads the body, as a node must, and answers with one write. */
static int answer(struct mg_connection *connection, void *row)
{
    const answer_t *self = row;
    const struct mg_request_info *request = mg_get_request_info(connection);
    char buffer[BODY_ROOM];
    long long left = request->content_length;

    while (left > 0) {
        int n = mg_read(connection, buffer, left < BODY_ROOM ? (size_t)left : BODY_ROOM);
        if (n <= 0)
            return 400;
        left -= n;
    }
    int n = snprintf(buffer, sizeof(buffer),
                     "HTTP/1.1 %d %s\r\n" COMMON_HEADERS
                     "Connection: keep-alive\r\nContent-Length: %zu\r\n\r\n%s",
                     self->status, self->reason, strlen(self->body), self->body);
    mg_write(connection, buffer, (size_t)n);
    return self->status;
}

/* Every line is answered like an earn, in chunks, while the input still comes. */
static int answer_batch(struct mg_connection *connection, void *unused)
{
    const struct mg_request_info *request = mg_get_request_info(connection);
    char in[BODY_ROOM];
    char out[BODY_ROOM];
    size_t used = 0;
    unsigned line = 0;
    long long left = request->content_length;
    static const char head[] = "HTTP/1.1 200 OK\r\n" COMMON_HEADERS
                               "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";

    (void)unused;
    mg_write(connection, head, sizeof(head) - 1);
    while (left > 0) {
        int n = mg_read(connection, in, left < BODY_ROOM ? (size_t)left : BODY_ROOM);
        if (n <= 0)
            return 400;
        left -= n;
        for (int i = 0; i < n; i++)
            if (in[i] == '\n' && !write_line(connection, out, &used, ++line, false))
                return 400;
    }
    write_line(connection, out, &used, 0, true);
    mg_write(connection, "0\r\n\r\n", 5);
    return 200;
}

static bool write_line(struct mg_connection *connection, char *out, size_t *used, unsigned line,
                       bool end)
{
    if (!end)
        *used += (size_t)snprintf(out + *used, BODY_ROOM - *used,
                                  "{\"line\":%u,\"status\":200,%s\n", line, earned + 1);
    if (*used > 0 && (end || *used > BODY_ROOM - 512)) {
        if (mg_send_chunk(connection, out, (unsigned)*used) < 0)
            return false;
        *used = 0;
    }
    return true;
}

static int quiet(const struct mg_connection *connection, const char *message)
{
    (void)connection;
    fprintf(stderr, "%s\n", message);
    return 1;
}
