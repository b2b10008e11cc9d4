/* test_bench_reply.c - the load generator reads answers however they are cut into pieces */
#include "bench/lines.c"
#include "bench/reply.c"

#include <criterion/criterion.h>
#include <stdio.h>

typedef struct {
    char bytes[4096];
    size_t n;
} body_t;

static void keep(void *context, const char *bytes, size_t n)
{
    body_t *self = context;

    cr_assert(self->n + n < sizeof(self->bytes));
    memcpy(self->bytes + self->n, bytes, n);
    self->n += n;
    self->bytes[self->n] = '\0';
}

/* Feeds the text in pieces of `step` bytes; returns the last result, and how much was taken. */
static reply_result_t feed(reply_t *reply, body_t *body, const char *text, size_t step,
                           size_t *taken)
{
    reply_result_t result = REPLY_MORE;
    size_t n = strlen(text);

    memset(body, 0, sizeof(*body));
    reply_reset(reply, keep, body);
    for (*taken = 0; *taken < n && result == REPLY_MORE;) {
        size_t piece = n - *taken < step ? n - *taken : step;
        size_t used = 0;
        result = reply_feed(reply, text + *taken, piece, &used);
        if (result == REPLY_MORE)
            cr_assert_eq(used, piece);
        *taken += used;
    }
    return result;
}

static void check_all_steps(const char *text, int status, const char *wanted, bool closes)
{
    static reply_t reply;
    body_t body;
    size_t taken;

    for (size_t step = 1; step <= strlen(text); step++) {
        cr_assert_eq(feed(&reply, &body, text, step, &taken), REPLY_DONE, "in pieces of %zu", step);
        cr_assert_eq(taken, strlen(text));
        cr_assert_eq(reply.status, status);
        cr_assert_str_eq(body.bytes, wanted, "in pieces of %zu: \"%s\"", step, body.bytes);
        cr_assert_eq(reply.close, closes);
    }
}

Test(bench_reply, reads_a_body_of_known_length, .timeout = 10)
{
    check_all_steps(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length:  5\r\n\r\nhello", 200,
        "hello", false);
}

Test(bench_reply, reads_chunks_with_extensions_and_trailers, .timeout = 10)
{
    check_all_steps("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5;name=abc\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\n",
                    200, "hello, world!!!", false);
}

Test(bench_reply, skips_interim_answers, .timeout = 10)
{
    check_all_steps(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 201,
        "ok", false);
}

Test(bench_reply, knows_answers_without_a_body, .timeout = 10)
{
    check_all_steps("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, "", false);
    check_all_steps("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", false);
}

Test(bench_reply, sees_that_the_server_will_close, .timeout = 10)
{
    check_all_steps("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", 200, "x",
                    true);
    check_all_steps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", true);
}

Test(bench_reply, ends_a_body_of_unknown_length_with_the_connection, .timeout = 10)
{
    static reply_t reply;
    body_t body;
    size_t taken;

    cr_assert_eq(feed(&reply, &body, "HTTP/1.1 200 OK\r\n\r\nabc", 4, &taken), REPLY_MORE);
    cr_assert_eq(reply_eof(&reply), REPLY_DONE);
    cr_assert_str_eq(body.bytes, "abc");
    cr_assert(reply.close);
}

Test(bench_reply, calls_a_connection_that_ends_inside_an_answer_bad, .timeout = 10)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell";
    static reply_t reply;
    body_t body;

    for (size_t n = 0; n < sizeof(text); n++) {
        char part[sizeof(text)] = "";
        size_t taken;
        memcpy(part, text, n);
        cr_assert_eq(feed(&reply, &body, part, n + 1, &taken), REPLY_MORE);
        cr_assert_eq(reply_eof(&reply), REPLY_BAD, "after %zu bytes", n);
    }
}

Test(bench_reply, stops_behind_its_own_answer, .timeout = 10)
{
    static const char one[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static reply_t reply;
    body_t body;
    char two[sizeof(one) * 2];
    size_t taken;

    snprintf(two, sizeof(two), "%s%s", one, one);
    cr_assert_eq(feed(&reply, &body, two, sizeof(two), &taken), REPLY_DONE);
    cr_assert_eq(taken, sizeof(one) - 1);
}

Test(bench_reply, refuses_what_is_not_http, .timeout = 10)
{
    static const char *const bad[] = {
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    };
    static reply_t reply;
    body_t body;
    size_t taken;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        for (size_t step = 1; step < 80; step += 13)
            cr_assert_eq(feed(&reply, &body, bad[i], step, &taken), REPLY_BAD, "%zu: %s", i,
                         bad[i]);
}

Test(bench_reply, refuses_headers_without_an_end, .timeout = 10)
{
    static reply_t reply;
    static char line[] = "X-Header: something that goes on and on\r\n";
    reply_result_t result = REPLY_MORE;
    size_t used;
    size_t fed = 0;

    reply_reset(&reply, NULL, NULL);
    result = reply_feed(&reply, "HTTP/1.1 200 OK\r\n", 17, &used);
    while (result == REPLY_MORE && fed < 4 * REPLY_HEAD_MAX) {
        result = reply_feed(&reply, line, sizeof(line) - 1, &used);
        fed += sizeof(line) - 1;
    }
    cr_assert_eq(result, REPLY_BAD);
    cr_assert(fed <= REPLY_HEAD_MAX + sizeof(line));
}

Test(bench_lines, counts_accepted_and_refused_lines_in_any_pieces, .timeout = 10)
{
    static const char text[] =
        "{\"line\":1,\"status\":200,\"success\":true,\"metadata\":{\"status\":500}}\n"
        "{\"line\": 2, \"status\": 400, \"error\": \"no such account\"}\n"
        "\n"
        "{\"line\":4,\"error\":\"no status\"}\n"
        "{\"line\":5,\"status\":201}";

    for (size_t step = 1; step < sizeof(text); step++) {
        lines_t lines;
        lines_reset(&lines);
        for (size_t at = 0; at < sizeof(text) - 1; at += step)
            lines_feed(&lines, text + at,
                       sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step);
        lines_end(&lines);
        cr_assert_eq(lines.accepted, 2, "in pieces of %zu: %llu", step,
                     (unsigned long long)lines.accepted);
        cr_assert_eq(lines.refused, 2);
        cr_assert(strstr(lines.first_refused, "no such account") != NULL);
    }
}
