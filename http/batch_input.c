/* batch_input.c - reading lines from a connection without waiting for more than there is */
#include "http/batch_input.h"

#include "http/socket.h"

#include <civetweb.h>
#include <stdlib.h>

#define READ_BYTES  65536
#define LINE_US     (INT64_C(10) * SECOND_US)
#define PROBE_EVERY 64

typedef struct {
    batch_input_t *input;
    call_t *call;
    int descriptor;
    bool buffered; /* the library may still hold bytes that came with the head */
    unsigned probes;
    int64_t left;  /* of a body of known length */
    buffer_t line; /* what came of a line so far */
    bool too_long; /* the line under way is already answered */
    int64_t line_started_us;
} reader_t;

static int read_some(reader_t *self, char *room);
static int take_bytes(reader_t *self, const char *bytes, size_t n, const char **fault);
static int take_line(reader_t *self, text_t line, const char **fault);
static bool is_blank(text_t line);

int batch_input_read(batch_input_t *input, const char **fault)
{
    call_t *call = input->call;
    const struct mg_request_info *info = mg_get_request_info(call->exchange.connection);
    reader_t self = {.input = input,
                     .call = call,
                     .buffered = true,
                     .left = call->head.chunked ? -1 : call->head.content_length};
    char *room = memory_alloc(READ_BYTES);
    size_t total = 0;
    int status = 0;

    input->line = 1;
    self.descriptor = socket_find(info->remote_addr, info->remote_port, info->server_port);
    buffer_init(&self.line, input->line_bytes_max + 1);
    if (self.left < 0 && !call->head.chunked)
        self.left = 0;
    for (;;) {
        int64_t now;
        int n = self.left == 0 ? 0 : read_some(&self, room);

        now = clock_boot_us(call->server->config.clock);
        if (n != 0 && atomic_load_explicit(&call->server->stopping, memory_order_relaxed)) {
            *fault = "this node is stopping";
            status = 503;
            break;
        }
        if (n == 0) {
            call->body_done = true;
            if (self.line.size > 0 && !self.too_long)
                status = take_line(&self, (text_t){(const char *)self.line.bytes, self.line.size},
                                   fault);
            break;
        }
        if (n < 0) {
            *fault = n == -2 ? "the body came too slowly"
                             : "the body is cut short or its chunks are malformed";
            status = n == -2 ? 408 : 400;
            break;
        }
        if (self.line.size == 0)
            self.line_started_us = now;
        total += (size_t)n;
        if (total > input->bytes_max) {
            *fault = "the body is too large";
            status = 413;
            break;
        }
        status = take_bytes(&self, room, (size_t)n, fault);
        if (status != 0)
            break;
        if (self.line.size > 0 && now - self.line_started_us > LINE_US) {
            *fault = "the body came too slowly";
            status = 408;
            break;
        }
    }
    buffer_free(&self.line);
    free(room);
    return status < 0 ? 0 : status;
}

/* As many bytes as are there, at least one; waits for that one. */
static int read_some(reader_t *self, char *room)
{
    struct mg_connection *connection = self->call->exchange.connection;
    const clock_source_t *clock = self->call->server->config.clock;
    int waiting = 0, n;
    size_t wanted = 1;
    bool probe = self->buffered && self->probes++ % PROBE_EVERY == 0;
    int64_t started = clock_boot_us(clock);

    if (!self->buffered || probe)
        waiting = socket_waiting(self->descriptor);
    if (!self->buffered) {
        /* Chunk heads are bytes too: half of what is there is surely content, unless chunks are tiny, and then the
         * rest of them is on its way. */
        if (self->left > 0)
            wanted = (size_t)waiting;
        else if (waiting > 128)
            wanted = (size_t)waiting / 2;
        if (wanted == 0)
            wanted = 1;
        if (wanted > READ_BYTES)
            wanted = READ_BYTES;
    }
    if (self->left > 0 && (int64_t)wanted > self->left)
        wanted = (size_t)self->left;
    n = mg_read(connection, room, wanted);
    if (probe && n == 1 && socket_waiting(self->descriptor) < waiting)
        self->buffered = false; /* it came from the socket: the library's buffer is empty */
    if (n > 0) {
        if (self->left > 0)
            self->left -= n;
        return n;
    }
    if (self->call->head.chunked && n == 0)
        return 0;
    /* Nothing for as long as the library waits, which is as long as we do. */
    return clock_boot_us(clock) - started >= INT64_C(4500000) ? -2 : -1;
}

/* Cuts bytes into lines; 0 to go on, -1 to stop quietly, or a status. */
static int take_bytes(reader_t *self, const char *bytes, size_t n, const char **fault)
{
    while (n > 0) {
        const char *end = memchr(bytes, '\n', n);
        size_t part = end != NULL ? (size_t)(end - bytes) : n;
        int status = 0;

        if (self->line.size == 0 && end != NULL && !self->too_long) {
            status = take_line(self, (text_t){bytes, part}, fault);
        } else {
            if (!self->too_long && self->line.size + part > self->input->line_bytes_max) {
                self->too_long = true;
                buffer_reset(&self->line);
                status =
                    self->input->take(self->input->context, self->input->line, (text_t){NULL, 0})
                        ? 0
                        : -1;
            }
            if (!self->too_long)
                buffer_append(&self->line, bytes, part);
            if (end != NULL && status == 0) {
                if (!self->too_long)
                    status = take_line(
                        self, (text_t){(const char *)self->line.bytes, self->line.size}, fault);
                else
                    self->input->line++;
                self->too_long = false;
                buffer_reset(&self->line);
            }
        }
        if (status != 0)
            return status;
        part += end != NULL ? 1 : 0;
        bytes += part;
        n -= part;
    }
    return 0;
}

static int take_line(reader_t *self, text_t line, const char **fault)
{
    batch_input_t *input = self->input;

    if (input->line > input->lines_max) {
        *fault = "too many lines";
        return 413;
    }
    if (!is_blank(line) && !input->take(input->context, input->line, line))
        return -1;
    input->line++;
    return 0;
}

static bool is_blank(text_t line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.bytes[i] != ' ' && line.bytes[i] != '\t' && line.bytes[i] != '\r')
            return false;
    }
    return true;
}
