/* call.c - blocking calls on top of the reply parser */
#include "bench/call.h"

#include "bench/pick.h"
#include "bench/reply.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL_LIMIT_S 30.0

static bool send_all(int fd, const char *bytes, size_t n, problem_t *problem);
static bool receive_reply(call_t *self, int fd, problem_t *problem);
static bool wait_for(int fd, short events);
static void keep_body(void *context, const char *bytes, size_t n);
static void json_escape(char *out, size_t room, const char *text);

bool call_make(call_t *self, const endpoint_t *endpoint, const char *method, const char *path,
               const char *token, const char *body, problem_t *problem)
{
    size_t body_bytes = body != NULL ? strlen(body) : 0;
    size_t room = body_bytes + 2048;
    char *request = malloc(room);
    int fd = -1;
    bool done = false;

    if (request == NULL)
        return problem_set(problem, "no memory for a request of %zu bytes", body_bytes);
    int head = snprintf(
        request, room, "%s %s%s HTTP/1.1\r\nHost: %s\r\n%s%s%sConnection: close\r\n", method,
        endpoint->prefix, path, endpoint->host, token != NULL ? "Authorization: Token " : "",
        token != NULL ? token : "", token != NULL ? "\r\n" : "");
    if (head < 0 || (size_t)head + body_bytes + 128 > room) {
        problem_set(problem, "the token is too long");
        goto cleanup;
    }
    int tail = body != NULL
                   ? snprintf(request + head, room - (size_t)head,
                              "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                              body_bytes, body)
                   : snprintf(request + head, room - (size_t)head, "\r\n");

    fd = endpoint_connect(endpoint, CALL_LIMIT_S, problem);
    if (fd < 0)
        goto cleanup;
    done =
        send_all(fd, request, (size_t)(head + tail), problem) && receive_reply(self, fd, problem);

cleanup:
    if (fd >= 0)
        close(fd);
    free(request);
    return done;
}

bool call_login(const endpoint_t *endpoint, const char *user, const char *password, char *token,
                size_t token_bytes, problem_t *problem)
{
    call_t *call = malloc(sizeof(*call));
    char user_json[512];
    char password_json[512];
    char body[1200];
    pick_t value;
    bool done = false;

    if (call == NULL)
        return problem_set(problem, "no memory to log in");
    json_escape(user_json, sizeof(user_json), user);
    json_escape(password_json, sizeof(password_json), password);
    snprintf(body, sizeof(body), "{\"username\":\"%s\",\"password\":\"%s\"}", user_json,
             password_json);
    if (!call_make(call, endpoint, "POST", "/api/auth/login/", NULL, body, problem))
        goto cleanup;
    if (call->status != 200) {
        problem_set(problem, "login as %s was answered with %d: %.200s", user, call->status,
                    call->body);
        goto cleanup;
    }
    if (!pick_member(call->body, call->body_bytes, "token", &value) || value.bytes >= token_bytes) {
        problem_set(problem, "the answer to the login holds no token");
        goto cleanup;
    }
    memcpy(token, value.text, value.bytes);
    token[value.bytes] = '\0';
    done = true;

cleanup:
    free(call);
    return done;
}

static bool send_all(int fd, const char *bytes, size_t n, problem_t *problem)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR || (errno == EAGAIN && wait_for(fd, POLLOUT)))
                continue;
            return problem_set(problem, "cannot send: %s", strerror(errno));
        }
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool receive_reply(call_t *self, int fd, problem_t *problem)
{
    char buffer[16384];
    reply_t reply;
    size_t used;

    self->body_bytes = 0;
    reply_reset(&reply, keep_body, self);
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
        reply_result_t result;
        if (got < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN) {
                if (wait_for(fd, POLLIN))
                    continue;
                return problem_set(problem, "no answer within %.0f s", CALL_LIMIT_S);
            }
            return problem_set(problem, "cannot receive: %s", strerror(errno));
        }
        result = got == 0 ? reply_eof(&reply) : reply_feed(&reply, buffer, (size_t)got, &used);
        if (result == REPLY_BAD)
            return problem_set(problem,
                               "the connection ended or carried something that is not HTTP");
        if (result == REPLY_DONE)
            break;
    }
    self->status = reply.status;
    self->body[self->body_bytes] = '\0';
    return true;
}

static bool wait_for(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};

    return poll(&wait, 1, (int)(CALL_LIMIT_S * 1000.0)) == 1;
}

static void keep_body(void *context, const char *bytes, size_t n)
{
    call_t *self = context;
    size_t room = CALL_BODY_MAX - self->body_bytes;
    size_t kept = n < room ? n : room;

    memcpy(self->body + self->body_bytes, bytes, kept);
    self->body_bytes += kept;
}

static void json_escape(char *out, size_t room, const char *text)
{
    size_t at = 0;

    for (; *text != '\0' && at + 7 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c < 0x20) {
            at += (size_t)snprintf(out + at, room - at, "\\u%04x", c);
        } else {
            out[at++] = (char)c;
        }
    }
    out[at] = '\0';
}
