/* body.c - reading request bodies against a deadline and a limit, and what they hold
 *
 * mg_read() returns when all bytes asked for are there or none came for the library's time-out, so
 * a trickle could keep it for ever; the watch (watch.h) ends the wait at our own deadline.
 */
#include "http/call.h"

#include "http/form.h"

#include <civetweb.h>

#define BODY_DEADLINE_US (INT64_C(10) * SECOND_US)
#define DRAIN_BYTES_MAX  (1024 * 1024)
#define DRAIN_US         (INT64_C(2) * SECOND_US)
#define LINGER_BYTES_MAX (64 * 1024 * 1024)
#define LINGER_US        (INT64_C(2) * SECOND_US)
/* A body in memory costs many times its size once it is a tree. */
#define SMALL_BYTES     65536
#define LARGE_FACTOR    16
#define LARGE_BYTES_ALL (INT64_C(512) * 1024 * 1024)

static bool read_known(call_t *call, size_t limit, text_t *out);
static bool read_chunked(call_t *call, size_t limit, text_t *out);
static bool failed(call_t *call, int rc);
static bool parse(call_t *call, text_t raw);
static void too_large(call_t *call);
static bool reserve(call_t *call, size_t bytes);

bool body_read(call_t *call)
{
    exchange_t *self = &call->exchange;
    size_t limit = self->route->body_max != 0 ? self->route->body_max : BODY_BYTES_DEFAULT;
    text_t raw = {NULL, 0};

    if (!call->head.chunked && call->head.content_length <= 0) {
        call->body_done = true;
        return true;
    }
    body_continue(call);
    if (!(call->head.chunked ? read_chunked(call, limit, &raw) : read_known(call, limit, &raw)))
        return false;
    call->body_done = true;
    self->raw_body = raw;
    return raw.n == 0 || parse(call, raw);
}

void body_continue(call_t *call)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (!call->head.expect_continue)
        return;
    call->head.expect_continue = false;
    (void)mg_write(call->exchange.connection, line, sizeof line - 1);
}

int body_some(call_t *call, void *out, size_t bytes, int64_t deadline_us)
{
    const clock_source_t *clock = call->server->config.clock;
    int n = -2;

    watch_arm(&call->worker->watched, deadline_us);
    while (clock_boot_us(clock) < deadline_us) {
        n = mg_read(call->exchange.connection, out, bytes);
        /* 0 is the end of a chunked body, else the library's own time-out, which is shorter than
         * ours. */
        if (n > 0 || call->head.chunked)
            break;
        if (n < 0)
            break;
        n = -2;
    }
    watch_disarm(&call->worker->watched);
    if (n == -1 && clock_boot_us(clock) >= deadline_us)
        n = -2;
    return n;
}

void body_drain(call_t *call)
{
    char room[4096];
    int64_t left = call->head.content_length;
    int64_t deadline = clock_boot_us(call->server->config.clock) + DRAIN_US;

    if (call->body_done)
        return;
    if (!call->head.chunked && left <= 0) {
        call->body_done = true;
        return;
    }
    /* Who waits for 100 Continue has sent nothing; of a chunked body it is not known how much is to
     * come. */
    if (call->head.chunked || call->head.expect_continue || left > DRAIN_BYTES_MAX)
        return;
    while (left > 0) {
        int n = body_some(call, room, left < (int64_t)sizeof room ? (size_t)left : sizeof room,
                          deadline);

        if (n <= 0)
            return;
        left -= n;
    }
    call->body_done = true;
}

void body_linger(call_t *call)
{
    char room[16384];
    int64_t read = 0;
    int64_t deadline = clock_boot_us(call->server->config.clock) + LINGER_US;

    if (call->body_done || call->head.expect_continue)
        return;
    while (read < LINGER_BYTES_MAX) {
        int n = body_some(call, room, sizeof room, deadline);

        if (n <= 0)
            return;
        read += n;
    }
}

static bool read_known(call_t *call, size_t limit, text_t *out)
{
    size_t bytes = (size_t)call->head.content_length, have = 0;
    int64_t deadline = clock_boot_us(call->server->config.clock) + BODY_DEADLINE_US;
    char *body;

    if (bytes > limit) {
        too_large(call);
        return false;
    }
    if (!reserve(call, bytes))
        return false;
    body = arena_alloc(call->exchange.arena, bytes + 1);
    if (body == NULL) {
        too_large(call);
        return false;
    }
    while (have < bytes) {
        int n = body_some(call, body + have, bytes - have, deadline);

        if (n <= 0)
            return failed(call, n);
        have += (size_t)n;
    }
    body[bytes] = '\0';
    *out = (text_t){body, bytes};
    return true;
}

static bool read_chunked(call_t *call, size_t limit, text_t *out)
{
    size_t room = 4096, have = 0;
    int64_t deadline = clock_boot_us(call->server->config.clock) + BODY_DEADLINE_US;
    char *body = arena_alloc(call->exchange.arena, room);

    while (body != NULL) {
        int n = body_some(call, body + have, room - have, deadline);

        if (n < 0)
            return failed(call, n);
        have += (size_t)n;
        if (have > limit)
            break;
        if (n == 0) {
            *out = (text_t){body, have};
            return true;
        }
        if (have == room) {
            char *larger;

            if (room == SMALL_BYTES && !reserve(call, limit))
                return false;
            larger = arena_alloc(call->exchange.arena, room * 2);
            if (larger != NULL)
                memcpy(larger, body, have);
            body = larger;
            room *= 2;
        }
    }
    too_large(call);
    return false;
}

/* Where the next request would start is not known: the connection ends. */
static bool failed(call_t *call, int rc)
{
    call->close = true;
    if (rc == -2)
        exchange_detail(&call->exchange, 408, "the body came too slowly");
    else
        exchange_detail(&call->exchange, 400, "the body is cut short or its chunks are malformed");
    /* Nothing more will be read. */
    call->body_done = true;
    return false;
}

static bool parse(call_t *call, text_t raw)
{
    exchange_t *self = &call->exchange;
    json_t *root = NULL;
    err_t err;
    errcode_t rc;

    if (call->media == MEDIA_FORM)
        rc = form_parse(&root, self->arena, raw.bytes, raw.n, &err);
    else if (call->media == MEDIA_MULTIPART)
        rc = multipart_parse(&root, self->arena, call->boundary, raw.bytes, raw.n, &err);
    else
        rc = json_parse(&root, self->arena, raw.bytes, raw.n, &err);
    if (rc != ERR_NONE) {
        exchange_detail(self, rc == ERR_TOO_LARGE ? 413 : 400, err.text);
        return false;
    }
    if (root->type != JSON_OBJECT) {
        exchange_detail(self, 400, "the body must be an object");
        return false;
    }
    self->body = root;
    return true;
}

static void too_large(call_t *call)
{
    call->close = true;
    exchange_detail(&call->exchange, 413, "the body is too large");
}

static bool reserve(call_t *call, size_t bytes)
{
    long long wanted = (long long)bytes * LARGE_FACTOR;
    err_t err;

    if (bytes <= SMALL_BYTES)
        return true;
    if (atomic_fetch_add(&call->server->large_bytes, wanted) + wanted > LARGE_BYTES_ALL) {
        atomic_fetch_sub(&call->server->large_bytes, wanted);
        err_set(&err, ERR_OVERLOADED, "too many large bodies at once");
        exchange_error(&call->exchange, &err);
        return false;
    }
    call->large_bytes += wanted;
    return true;
}
