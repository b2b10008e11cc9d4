/* test_civetweb_assumptions.c - facts about civetweb that http/ relies on, tried on the installed
 * library
 *
 * A plain program: prints one line per fact and ends with 1 when one does not hold. Where the
 * library is weaker than a server needs, the test pins the weakness: it is the reason why
 * http/head.c (layout), http/watch.c and http/detached.c exist.
 */
#include <arpa/inet.h>
#include <civetweb.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int failures;
static int port;

/* What the callbacks saw last; written by the one worker, read after the answer came. */
static atomic_int fields;
static atomic_bool layout_good;
static atomic_bool starts_aligned;
static atomic_int read_result;
static atomic_int error_status;
static atomic_int closes;
static atomic_bool detach;
static atomic_bool disable_keep_alive;
static pthread_t worker;
static atomic_bool worker_reads;

static void expect(bool holds, const char *fact)
{
    printf("%s  %s\n", holds ? "ok  " : "FAIL", fact);
    failures += !holds;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static int on_request(struct mg_connection *connection)
{
    const struct mg_request_info *info = mg_get_request_info(connection);
    char room[64];
    bool good = true;

    fields = info->num_headers;
    starts_aligned = ((uintptr_t)info->request_method & 15) == 0;
    for (int i = 0; i < info->num_headers; i++) {
        const char *end = info->http_headers[i].value + strlen(info->http_headers[i].value);

        if (i + 1 < info->num_headers)
            good = good && info->http_headers[i + 1].name == end + 2;
        else
            good = good && end[1] == '\0' && end[2] == '\r' && end[3] == '\0';
    }
    layout_good = good;
    if (info->content_length > 0) {
        worker = pthread_self();
        worker_reads = true;
        read_result = mg_read(connection, room, (size_t)info->content_length);
        worker_reads = false;
    }
    if (disable_keep_alive)
        mg_disable_connection_keep_alive(connection);
    if (!detach)
        (void)mg_write(connection, answer, sizeof answer - 1);
    return 200;
}

static int on_error(struct mg_connection *connection, int status, const char *message)
{
    (void)message;
    error_status = status;
    (void)mg_write(connection, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", 39);
    return 0;
}

static void on_close(const struct mg_connection *connection)
{
    (void)connection;
    closes++;
}

static void nothing(int number)
{
    (void)number;
}

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        exit(2);
    }
    return fd;
}

/* Status of the next answer, 0 at the end of the connection, -1 when nothing comes in time. */
static int next_status(int fd, int wait_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char room[512] = "";
    ssize_t n;

    if (poll(&ready, 1, wait_ms) != 1)
        return -1;
    n = recv(fd, room, sizeof room - 1, 0);
    return n <= 0 ? 0 : atoi(room + 9);
}

static int ask(const char *request)
{
    int fd = dial();
    int status;

    (void)!write(fd, request, strlen(request));
    status = next_status(fd, 3000);
    close(fd);
    return status;
}

static void heads(void)
{
    char many[8192] = "GET / HTTP/1.1\r\n";

    expect(ask("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:  b\r\n\r\n") == 200 && fields == 3 &&
               layout_good,
           "fields stand in one buffer, CR LF between them is NUL NUL, CR NUL closes the head");
    expect(starts_aligned, "the buffer starts with the method");
    expect(ask("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == 200 && !starts_aligned,
           "an empty line before the method is skipped, and shows");
    expect(ask("GET / HTTP/1.1\r\nHost: a\r\n b\r\nX: c\r\n\r\n") == 200 && fields == 1 &&
               !layout_good,
           "what follows a folded line is dropped in silence, and shows");
    expect(ask("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == 200 && fields == 1,
           "a blank before the colon is accepted");
    for (int i = 0; i < 70; i++)
        strcat(many, "A: b\r\n");
    strcat(many, "\r\n");
    expect(ask(many) == 200 && fields == MG_MAX_HEADERS && MG_MAX_HEADERS == 64,
           "of more than 64 fields the rest is dropped in silence");
    expect(
        ask("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\nContent-Length: 7\r\n\r\nhello") ==
                200 &&
            read_result == 5,
        "a second Content-Length and a plus sign are accepted");
    expect(ask("BREW / HTTP/1.1\r\nHost: a\r\n\r\n") == 400 && error_status == 400,
           "an unknown method goes to the error callback");
}

/* A signal to the worker ends a read that waits; what was read so far is not lost. */
static void interrupted_read(void)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123";
    int fd = dial();
    int64_t began = now_ms();
    int status;

    (void)!write(fd, head, sizeof head - 1);
    while (!worker_reads && now_ms() - began < 3000)
        ;
    do {
        pthread_kill(worker, SIGRTMIN + 3);
        status = next_status(fd, 20);
    } while (status == -1 && now_ms() - began < 3000);
    expect(status == 200 && read_result == 3 && now_ms() - began < 2500,
           "a signal to the worker ends mg_read() early, with the bytes that came");
    close(fd);
}

/* The worker may return without an answer; another thread sends it on the socket, and the
 * connection goes on. Here the other thread is this one, and the socket is found by its number. */
static void answer_from_elsewhere(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct sockaddr_in mine;
    socklen_t bytes = sizeof mine;
    int fd = dial();
    int other = -1;
    int status;

    getsockname(fd, (struct sockaddr *)&mine, &bytes);
    detach = true;
    (void)!write(fd, request, sizeof request - 1);
    expect(next_status(fd, 300) == -1, "returning without an answer keeps the connection open");
    for (int i = 3; i < 1024 && other < 0; i++) {
        struct sockaddr_in peer;
        socklen_t peer_bytes = sizeof peer;

        if (getpeername(i, (struct sockaddr *)&peer, &peer_bytes) == 0 &&
            peer.sin_port == mine.sin_port)
            other = i;
    }
    (void)!send(other, answer, sizeof answer - 1, MSG_NOSIGNAL);
    status = next_status(fd, 1000);
    detach = false;
    (void)!write(fd, request, sizeof request - 1);
    expect(status == 200 && next_status(fd, 1000) == 200,
           "an answer sent from another thread arrives, and the next request is served");
    closes = 0;
    close(fd);
    for (int64_t began = now_ms(); closes == 0 && now_ms() - began < 3000;)
        ;
    expect(closes == 1, "connection_close is called once when the client goes");
}

static void keep_alive(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int fd = dial();

    disable_keep_alive = true;
    (void)!write(fd, request, sizeof request - 1);
    expect(next_status(fd, 1000) == 200 && next_status(fd, 3000) == 0,
           "mg_disable_connection_keep_alive() ends the connection after the answer");
    disable_keep_alive = false;
    close(fd);
}

int main(void)
{
    const char *options[] = {"listening_ports",
                             "127.0.0.1:0",
                             "num_threads",
                             "2",
                             "enable_keep_alive",
                             "yes",
                             "request_timeout_ms",
                             "3000",
                             "keep_alive_timeout_ms",
                             "3000",
                             "decode_url",
                             "no",
                             NULL};
    const struct mg_callbacks callbacks = {
        .begin_request = on_request, .http_error = on_error, .connection_close = on_close};
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    struct mg_server_port found;
    struct mg_context *context;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGRTMIN + 3, &action, NULL);
    mg_init_library(0);
    context = mg_start(&callbacks, NULL, options);
    if (context == NULL || mg_get_server_ports(context, 1, &found) != 1) {
        printf("FAIL  the server starts\n");
        return 1;
    }
    port = found.port;
    heads();
    interrupted_read();
    answer_from_elsewhere();
    keep_alive();
    mg_stop(context);
    mg_exit_library();
    return failures == 0 ? 0 : 1;
}
