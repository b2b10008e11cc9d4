/* reply.c - status line and headers of an answer (api-resources 1.1)
 *
 * The caller sends head and body with one write: two writes are two packets and one more task
 * switch for the client.
 */
#include "http/call.h"

#include <time.h>

static const char *status_line(int status, char room[40]);
static void write_date(worker_t *worker, buffer_t *wire);

static const char fixed_headers[] = "Vary: Accept, Origin, Authorization\r\n"
                                    "X-Content-Type-Options: nosniff\r\n"
                                    "X-Frame-Options: DENY\r\n"
                                    "Referrer-Policy: same-origin\r\n"
                                    "X-Request-ID: ";

void reply_head(call_t *call, buffer_t *wire, int64_t body_bytes)
{
    exchange_t *exchange = &call->exchange;
    char room[40];

    buffer_text(wire, status_line(exchange->status, room));
    write_date(call->worker, wire);
    buffer_append(wire, fixed_headers, sizeof fixed_headers - 1);
    buffer_text(wire, exchange->request_id);
    buffer_text(wire, "\r\n");
    if (call->allow != NULL) {
        buffer_text(wire, "Allow: ");
        buffer_text(wire, call->allow);
        buffer_text(wire, "\r\n");
    }
    if (call->cors_origin != NULL) {
        buffer_text(wire, "Access-Control-Allow-Origin: ");
        buffer_text(wire, call->cors_origin);
        buffer_text(wire, "\r\nAccess-Control-Allow-Credentials: true\r\n"
                          "Access-Control-Expose-Headers: etag, idempotent-replayed, retry-after, "
                          "x-position, x-request-id\r\n");
    }
    if (exchange->place.place.epoch != 0) {
        char text[LOG_PLACE_TEXT_BYTES];

        log_place_format(exchange->place.partition, &exchange->place.place, text);
        buffer_text(wire, "X-Position: ");
        buffer_text(wire, text);
        buffer_text(wire, "\r\n");
    }
    if (exchange->headers.size > 0)
        buffer_append(wire, exchange->headers.bytes, exchange->headers.size);
    if (exchange->status != 204) {
        buffer_text(wire, "Content-Type: ");
        buffer_text(wire, exchange->content_type);
        if (body_bytes >= 0) {
            buffer_text(wire, "\r\nContent-Length: ");
            json_write_i64(wire, body_bytes);
        } else if (call->head.version_1_1) {
            buffer_text(wire, "\r\nTransfer-Encoding: chunked");
        }
        buffer_text(wire, "\r\n");
    }
    buffer_text(wire, call->close ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n");
}

static const char *status_line(int status, char room[40])
{
    static const struct {
        int status;
        const char *line;
    } lines[] = {
        {200, "HTTP/1.1 200 OK\r\n"},
        {201, "HTTP/1.1 201 Created\r\n"},
        {202, "HTTP/1.1 202 Accepted\r\n"},
        {204, "HTTP/1.1 204 No Content\r\n"},
        {400, "HTTP/1.1 400 Bad Request\r\n"},
        {401, "HTTP/1.1 401 Unauthorized\r\n"},
        {403, "HTTP/1.1 403 Forbidden\r\n"},
        {404, "HTTP/1.1 404 Not Found\r\n"},
        {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
        {406, "HTTP/1.1 406 Not Acceptable\r\n"},
        {408, "HTTP/1.1 408 Request Timeout\r\n"},
        {409, "HTTP/1.1 409 Conflict\r\n"},
        {410, "HTTP/1.1 410 Gone\r\n"},
        {412, "HTTP/1.1 412 Precondition Failed\r\n"},
        {413, "HTTP/1.1 413 Content Too Large\r\n"},
        {414, "HTTP/1.1 414 URI Too Long\r\n"},
        {415, "HTTP/1.1 415 Unsupported Media Type\r\n"},
        {417, "HTTP/1.1 417 Expectation Failed\r\n"},
        {429, "HTTP/1.1 429 Too Many Requests\r\n"},
        {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
        {500, "HTTP/1.1 500 Internal Server Error\r\n"},
        {503, "HTTP/1.1 503 Service Unavailable\r\n"},
        {504, "HTTP/1.1 504 Gateway Timeout\r\n"},
        {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
    };

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        if (lines[i].status == status)
            return lines[i].line;
    }
    memcpy(room, "HTTP/1.1 000 Status\r\n", 22);
    room[9] = (char)('0' + status / 100 % 10);
    room[10] = (char)('0' + status / 10 % 10);
    room[11] = (char)('0' + status % 10);
    return room;
}

/* Written anew once a second. */
static void write_date(worker_t *worker, buffer_t *wire)
{
    int64_t second = clock_wall_us(worker->server->config.clock) / 1000000;

    if (second != worker->date_second) {
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        time_t time = (time_t)second;
        struct tm at;
        buffer_t text;

        buffer_init(&text, 256);
        INVARIANT(gmtime_r(&time, &at) != NULL);
        buffer_printf(&text, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[at.tm_wday],
                      at.tm_mday, months[at.tm_mon], at.tm_year + 1900, at.tm_hour, at.tm_min,
                      at.tm_sec);
        INVARIANT(text.size <= sizeof worker->date);
        memcpy(worker->date, text.bytes, text.size);
        worker->date_bytes = text.size;
        worker->date_second = second;
        buffer_free(&text);
    }
    buffer_append(wire, worker->date, worker->date_bytes);
}
