/* batch_input.c - reading lines from a connection without waiting for more than there is */
#include "http/batch_input.h"

#include "http/socket.h"

#include <civetweb.h>
#include <stdlib.h>

#define READ_BYTES 65536
#define LINE_US    (INT64_C(10) * SECOND_US)

typedef struct {
    batch_input_t *input;
    call_t *call;
    int descriptor;
    int64_t buffered; /* bytes that came with the head and that the library surely still holds */
    int64_t left;     /* of a body of known length */
    buffer_t line;    /* what came of a line so far */
    bool too_long;    /* the line under way is already answered */
    bool in_line;     /* a line has begun and its end is not there */
    uint64_t ended;   /* lines whose end was there */
    int64_t line_started_us;
} reader_t;

static int64_t buffered_bytes(const reader_t *self, const struct mg_request_info *info);
static int read_some(reader_t *self, char *room);
static int take_bytes(reader_t *self, const char *bytes, size_t n, const char **fault);
static int take_line(reader_t *self, text_t line, const char **fault);
static bool is_blank(text_t line);

int batch_input_read(batch_input_t *input, const char **fault)
{
    call_t *call = input->call;
    const struct mg_request_info *info = mg_get_request_info(call->exchange.connection);
    reader_t self = {
        .input = input, .call = call, .left = call->head.chunked ? -1 : call->head.content_length};
    char *room = memory_alloc(READ_BYTES);
    size_t total = 0;
    uint64_t lines;
    int status = 0;

    input->line = 1;
    if (call->worker->descriptor == -1)
        call->worker->descriptor =
            socket_find(info->remote_addr, info->remote_port, info->server_port);
    self.descriptor = call->worker->descriptor;
    self.buffered = buffered_bytes(&self, info);
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
        total += (size_t)n;
        if (total > input->bytes_max) {
            *fault = "the body is too large";
            status = 413;
            break;
        }
        lines = self.ended;
        status = take_bytes(&self, room, (size_t)n, fault);
        if (status != 0)
            break;
        /* The clock of a line runs from its first byte; the time that taking the lines before it took
         * (a full window waits for answers) is not the client's. */
        if (self.ended != lines || !self.in_line)
            self.line_started_us = clock_boot_us(call->server->config.clock);
        self.in_line = self.line.size > 0 || self.too_long;
        if (self.in_line && now - self.line_started_us > LINE_US) {
            *fault = "the body came too slowly";
            status = 408;
            break;
        }
    }
    if (call->body_done) {
        call->worker->marked = call->worker->requests;
        call->worker->received = socket_received(self.descriptor);
    }
    buffer_free(&self.line);
    free(room);
    return status < 0 ? 0 : status;
}

/* Where the body starts in the library's buffer: behind the value of the last header, whose line end
 * and the empty line after it read NUL NUL CR NUL by now (head_layout() has seen to that). NULL: not
 * known. The buffer starts with the method, unless blanks before it were skipped; then the method
 * does not stand where an allocation can begin. */
static const char *body_start(const struct mg_request_info *info)
{
    const char *end;

    if (info->num_headers == 0 || ((uintptr_t)info->request_method & 15) != 0)
        return NULL;
    end = info->http_headers[info->num_headers - 1].value;
    end += strlen(end);
    return memcmp(end, "\0\0\r", 4) == 0 ? end + 4 : NULL;
}

/* The library does not tell how much of the body it read with the head, and reading more than there
 * is would wait. But the kernel counts what arrived: less what it still holds, less this head, less
 * what belonged to earlier requests, the rest is in the library's buffer. Too little is harmless, so
 * what the kernel holds is asked last. */
static int64_t buffered_bytes(const reader_t *self, const struct mg_request_info *info)
{
    const worker_t *worker = self->call->worker;
    const char *start = body_start(info);
    int64_t arrived = (int64_t)socket_received(self->descriptor);
    int64_t waiting = socket_waiting(self->descriptor);

    if (start == NULL || arrived == 0 || worker->marked + 1 != worker->requests)
        return 0;
    return arrived - waiting - (int64_t)worker->received - (start - info->request_method);
}

/* Byte by byte up to the end of a line, for bytes that may be in the library's buffer: without a
 * whole line there is nothing to do anyway. Not longer than a line may take. */
static int read_line(const reader_t *self, char *room, int bytes_max)
{
    struct mg_connection *connection = self->call->exchange.connection;
    const clock_source_t *clock = self->call->server->config.clock;
    int64_t until = clock_boot_us(clock) + LINE_US;
    int total = 0, n = 0;

    do {
        n = mg_read(connection, room + total, 1);
        if (n > 0)
            total += n;
    } while (n > 0 && total < bytes_max && room[total - 1] != '\n' &&
             (total > 1 || socket_waiting(self->descriptor) == 0) && clock_boot_us(clock) < until);
    return total > 0 ? total : n;
}

/* As many bytes as are there, at least one; waits for that one. */
static int read_some(reader_t *self, char *room)
{
    const clock_source_t *clock = self->call->server->config.clock;
    int64_t started = clock_boot_us(clock);
    int64_t there = socket_waiting(self->descriptor) + (self->buffered > 0 ? self->buffered : 0);
    int n;

    /* Chunk heads are bytes too: half of what is there is surely content, unless chunks are tiny,
     * and then the rest of them is on its way. */
    if (self->left < 0)
        there = there > 128 ? there / 2 : 0;
    if (there > READ_BYTES)
        there = READ_BYTES;
    if (self->left > 0 && there > self->left)
        there = self->left;
    if (there > 1)
        n = mg_read(self->call->exchange.connection, room, (size_t)there);
    else
        n = read_line(self, room,
                      self->left > 0 && self->left < READ_BYTES ? (int)self->left : READ_BYTES);
    if (n > 0) {
        self->buffered -= n;
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
        self->ended += end != NULL ? 1 : 0;
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
