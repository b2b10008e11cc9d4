/* reply.c - a state machine over header block, body and chunks */
#include "bench/reply.h"

#include <string.h>
#include <strings.h>

#define CHUNK_LINE_MAX 256

static reply_result_t feed_head(reply_t *self, const char *bytes, size_t n, size_t *used);
static bool read_head(reply_t *self, const char *head, size_t n);
static bool read_header_line(reply_t *self, const char *line, size_t n, bool *chunked,
                             bool *has_length);
static size_t feed_body(reply_t *self, const char *bytes, size_t n);
static bool feed_chunk_line(reply_t *self, char c);
static bool value_has(const char *value, size_t n, const char *word);

void reply_reset(reply_t *self, reply_sink_t *sink, void *context)
{
    self->state = REPLY_HEAD;
    self->status = 0;
    self->close = false;
    self->started = false;
    self->digit_seen = false;
    self->extension = false;
    self->left = 0;
    self->line_bytes = 0;
    self->sink = sink;
    self->context = context;
    self->head_bytes = 0;
}

reply_result_t reply_feed(reply_t *self, const char *bytes, size_t n, size_t *used)
{
    size_t at = 0;

    self->started = self->started || n > 0;
    while (at < n && self->state != REPLY_COMPLETE) {
        size_t taken = 0;

        switch (self->state) {
        case REPLY_HEAD:
            if (feed_head(self, bytes + at, n - at, &taken) == REPLY_BAD)
                return REPLY_BAD;
            break;
        case REPLY_LENGTH:
        case REPLY_CHUNK:
        case REPLY_UNTIL_CLOSE: taken = feed_body(self, bytes + at, n - at); break;
        case REPLY_CHUNK_SIZE:
        case REPLY_CHUNK_END:
        case REPLY_TRAILER:
            taken = 1;
            if (!feed_chunk_line(self, bytes[at]))
                return REPLY_BAD;
            break;
        case REPLY_COMPLETE:
        default: return REPLY_BAD;
        }
        at += taken;
    }
    *used = at;
    return self->state == REPLY_COMPLETE ? REPLY_DONE : REPLY_MORE;
}

reply_result_t reply_eof(reply_t *self)
{
    self->close = true;
    if (self->state != REPLY_UNTIL_CLOSE)
        return REPLY_BAD;
    self->state = REPLY_COMPLETE;
    return REPLY_DONE;
}

/* Finds the blank line; an answer in one piece is read where it lies, without a copy. */
static reply_result_t feed_head(reply_t *self, const char *bytes, size_t n, size_t *used)
{
    if (self->head_bytes == 0) {
        const char *end = memmem(bytes, n, "\r\n\r\n", 4);
        if (end != NULL) {
            *used = (size_t)(end - bytes) + 4;
            return read_head(self, bytes, *used) ? REPLY_MORE : REPLY_BAD;
        }
    }
    size_t before = self->head_bytes;
    size_t room = sizeof(self->head) - before;
    size_t taken = n < room ? n : room;
    memcpy(self->head + before, bytes, taken);
    self->head_bytes += taken;

    size_t from = before > 3 ? before - 3 : 0;
    const char *end = memmem(self->head + from, self->head_bytes - from, "\r\n\r\n", 4);
    if (end == NULL) {
        *used = taken;
        return self->head_bytes == sizeof(self->head) ? REPLY_BAD : REPLY_MORE;
    }
    size_t head = (size_t)(end - self->head) + 4;
    *used = head - before;
    self->head_bytes = 0;
    return read_head(self, self->head, head) ? REPLY_MORE : REPLY_BAD;
}

/* `head` ends with the blank line. Chooses how the body ends (RFC 9112 section 6.3). */
static bool read_head(reply_t *self, const char *head, size_t n)
{
    bool chunked = false;
    bool has_length = false;

    if (n < 14 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ')
        return false;
    for (int i = 9; i < 12; i++)
        if (head[i] < '0' || head[i] > '9')
            return false;
    self->status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0');
    self->close = head[7] == '0';
    self->left = 0;

    const char *end = head + n - 2; /* start of the blank line */
    const char *line = memchr(head, '\n', n);
    while (line != NULL && ++line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL)
            return false;
        if (!read_header_line(self, line, (size_t)(newline - line), &chunked, &has_length))
            return false;
        line = newline;
    }

    if (self->status < 200)
        self->state = REPLY_HEAD; /* interim: the real answer follows */
    else if (self->status == 204 || self->status == 304)
        self->state = REPLY_COMPLETE;
    else if (chunked)
        self->state = REPLY_CHUNK_SIZE;
    else if (has_length)
        self->state = self->left > 0 ? REPLY_LENGTH : REPLY_COMPLETE;
    else
        self->state = REPLY_UNTIL_CLOSE;
    return true;
}

static bool read_header_line(reply_t *self, const char *line, size_t n, bool *chunked,
                             bool *has_length)
{
    static const char length[] = "content-length:";
    static const char encoding[] = "transfer-encoding:";
    static const char connection[] = "connection:";

    switch (line[0] | 0x20) { /* most lines are decided by their first letter */
    case 'c':
        if (n > sizeof(length) - 1 && strncasecmp(line, length, sizeof(length) - 1) == 0) {
            uint64_t value = 0;
            size_t i = sizeof(length) - 1;
            while (i < n && (line[i] == ' ' || line[i] == '\t'))
                i++;
            size_t first = i;
            for (; i < n && line[i] >= '0' && line[i] <= '9'; i++) {
                if (value > (UINT64_MAX - 9) / 10)
                    return false;
                value = value * 10 + (uint64_t)(line[i] - '0');
            }
            if (i == first)
                return false;
            self->left = value;
            *has_length = true;
        } else if (n > sizeof(connection) - 1 &&
                   strncasecmp(line, connection, sizeof(connection) - 1) == 0) {
            if (value_has(line + sizeof(connection) - 1, n - sizeof(connection) + 1, "close"))
                self->close = true;
        }
        break;
    case 't':
        if (n > sizeof(encoding) - 1 && strncasecmp(line, encoding, sizeof(encoding) - 1) == 0)
            *chunked = value_has(line + sizeof(encoding) - 1, n - sizeof(encoding) + 1, "chunked");
        break;
    default: break;
    }
    return true;
}

static size_t feed_body(reply_t *self, const char *bytes, size_t n)
{
    size_t taken = self->state == REPLY_UNTIL_CLOSE || n < self->left ? n : (size_t)self->left;

    if (self->sink != NULL)
        self->sink(self->context, bytes, taken);
    if (self->state == REPLY_UNTIL_CLOSE)
        return taken;
    self->left -= taken;
    if (self->left == 0)
        self->state = self->state == REPLY_LENGTH ? REPLY_COMPLETE : REPLY_CHUNK_END;
    return taken;
}

static bool feed_chunk_line(reply_t *self, char c)
{
    if (c == '\n') {
        size_t line = self->line_bytes;
        self->line_bytes = 0;
        switch (self->state) {
        case REPLY_CHUNK_SIZE:
            if (!self->digit_seen)
                return false;
            self->digit_seen = false;
            self->extension = false;
            self->state = self->left > 0 ? REPLY_CHUNK : REPLY_TRAILER;
            return true;
        case REPLY_CHUNK_END:
            self->state = REPLY_CHUNK_SIZE;
            self->left = 0;
            return line == 0;
        default: /* trailer: an empty line ends the answer */
            if (line == 0)
                self->state = REPLY_COMPLETE;
            return true;
        }
    }
    if (c == '\r')
        return true;
    if (++self->line_bytes > CHUNK_LINE_MAX)
        return false;
    if (self->state != REPLY_CHUNK_SIZE)
        return true;

    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (self->extension)
        return true;
    if (digit < 0) { /* behind the digits an extension may follow; it is skipped */
        self->extension = true;
        return self->digit_seen;
    }
    if (self->line_bytes > 15)
        return false;
    self->digit_seen = true;
    self->left = self->left * 16 + (uint64_t)digit;
    return true;
}

static bool value_has(const char *value, size_t n, const char *word)
{
    size_t bytes = strlen(word);

    for (size_t i = 0; i + bytes <= n; i++)
        if (strncasecmp(value + i, word, bytes) == 0)
            return true;
    return false;
}
