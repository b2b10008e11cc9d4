/* log.c - one event is one line is one write(2) to standard error */
#include "protocol/log.h"

#include "protocol/buffer.h"
#include "protocol/calendar.h"
#include "protocol/clock.h"
#include "protocol/json.h"
#include "protocol/metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define TEXT_BYTES_MAX 3072
/* Every byte of text and request id may need six when escaped. */
#define LINE_BYTES_MAX       ((size_t)8 * TEXT_BYTES_MAX)
#define REQUEST_ID_BYTES_MAX 128
#define STAMP_BYTES          25

static atomic_int least_level = LOG_INFO;
static atomic_bool as_json;

static void stamp_now(char out[STAMP_BYTES]);
static void append_plain(buffer_t *line, const char *text);

void log_configure(log_level_t least, bool json)
{
    atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool log_enabled(log_level_t level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

void log_write(log_level_t level, const char *request_id, const char *format, ...)
{
    static const char *const names[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
    int saved = errno; /* callers log first and look at errno afterwards */
    char stamp[STAMP_BYTES];
    char text[TEXT_BYTES_MAX];
    char id[REQUEST_ID_BYTES_MAX];
    buffer_t line;
    va_list args;
    ssize_t written;

    INVARIANT((unsigned)level < COUNT_OF(names));
    if (!log_enabled(level))
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    (void)snprintf(id, sizeof id, "%s", request_id == NULL ? "" : request_id);
    stamp_now(stamp);
    buffer_init(&line, LINE_BYTES_MAX);
    if (atomic_load_explicit(&as_json, memory_order_relaxed)) {
        buffer_printf(&line, "{\"at\":\"%s\",\"level\":\"%s\"", stamp, names[level]);
        if (id[0] != '\0') {
            buffer_text(&line, ",\"request_id\":");
            json_write_string(&line, id, strlen(id));
        }
        buffer_text(&line, ",\"text\":");
        json_write_string(&line, text, strlen(text));
        buffer_text(&line, "}");
    } else {
        buffer_printf(&line, "%s %-5s ", stamp, names[level]);
        append_plain(&line, text);
        if (id[0] != '\0') {
            buffer_text(&line, " request=");
            append_plain(&line, id);
        }
    }
    buffer_byte(&line, '\n');
    do {
        written = write(STDERR_FILENO, line.bytes, line.size);
    } while (written < 0 && errno == EINTR);
    /* A line cut short is not continued: another thread's line may already stand behind it. */
    if (line.failed || written != (ssize_t)line.size)
        metric_add(METRIC_LOG_LINES_LOST, 1);
    buffer_free(&line);
    errno = saved;
}

static void stamp_now(char out[STAMP_BYTES])
{
    char full[INSTANT_TEXT_MAX];
    int64_t now_us = clock_wall_us(clock_system());
    int64_t ms = now_us % SECOND_US / 1000;

    (void)instant_format(now_us, full);
    (void)snprintf(out, STAMP_BYTES, "%.19s.%03dZ", full, (int)(ms < 0 ? 0 : ms));
}

/* Control characters would let a client forge lines or drive a terminal. */
static void append_plain(buffer_t *line, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte < 0x20 || byte == 0x7f)
            buffer_printf(line, "\\x%02x", byte);
        else
            buffer_byte(line, byte);
    }
}
