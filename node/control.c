/* control.c - the socket beside the data: one thread, one connection at a time, one line per order */
#include "node/control.h"

#include "protocol/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "control.sock"
#define IDLE_MAX_MS 120000 /* a tool that hangs must not keep the books frozen */
#define ANSWER_MAX  (1024 * 1024)

struct control {
    control_hooks_t hooks;
    pthread_t thread;
    int directory; /* owned */
    int listener;  /* owned */
    int stopping;  /* owned; eventfd */
    bool frozen;   /* by the present connection */
};

static void *serve(void *state);
static void serve_connection(control_t *self, int fd);
static void obey(control_t *self, const char *line, buffer_t *answer);
static bool wait_for(int fd, int stopping, short events, int timeout_ms);
static bool write_all(int fd, const void *bytes, size_t n);

/* A socket's address holds about 100 bytes; by way of the directory's descriptor a path may be of any length. */
static void address_of(int directory, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    (void)snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/" SOCKET_NAME,
                   directory);
}

errcode_t control_start(control_t **self_p, const char *data, const control_hooks_t *hooks,
                        err_t *err)
{
    control_t *self = memory_zalloc(sizeof *self);
    struct sockaddr_un address;
    mode_t mask;
    int rc;

    self->hooks = *hooks;
    self->listener = self->stopping = -1;
    self->directory = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->directory < 0)
        goto failed;
    self->stopping = eventfd(0, EFD_CLOEXEC);
    if (self->stopping < 0)
        goto failed;
    self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self->listener < 0)
        goto failed;
    address_of(self->directory, &address);
    /* The store's lock is ours, so a socket that stands here is left over from a process that is gone. */
    (void)unlinkat(self->directory, SOCKET_NAME, 0);
    mask = umask(0177);
    rc = bind(self->listener, (struct sockaddr *)&address, sizeof address);
    (void)umask(mask);
    if (rc != 0 || listen(self->listener, 4) != 0)
        goto failed;
    rc = pthread_create(&self->thread, NULL, serve, self);
    if (rc != 0) {
        errno = rc;
        goto failed;
    }
    *self_p = self;
    return ERR_NONE;

failed:
    rc = errno;
    if (self->listener >= 0)
        (void)close(self->listener);
    if (self->stopping >= 0)
        (void)close(self->stopping);
    if (self->directory >= 0)
        (void)close(self->directory);
    free(self);
    *self_p = NULL;
    return err_set(err, ERR_IO, "cannot open the control socket in %.100s: %s", data, strerror(rc));
}

void control_stop(control_t **self_p)
{
    control_t *self = *self_p;
    uint64_t one = 1;

    if (self == NULL)
        return;
    INVARIANT(write(self->stopping, &one, sizeof one) == (ssize_t)sizeof one);
    INVARIANT(pthread_join(self->thread, NULL) == 0);
    (void)unlinkat(self->directory, SOCKET_NAME, 0);
    (void)close(self->listener);
    (void)close(self->stopping);
    (void)close(self->directory);
    free(self);
    *self_p = NULL;
}

static void *serve(void *state)
{
    control_t *self = state;

    while (wait_for(self->listener, self->stopping, POLLIN, -1)) {
        int fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            continue;
        serve_connection(self, fd);
        (void)close(fd);
        if (self->frozen) {
            self->frozen = false;
            (void)self->hooks.freeze(self->hooks.state, false, NULL);
        }
    }
    return NULL;
}

static void serve_connection(control_t *self, int fd)
{
    char line[CONTROL_LINE_MAX];
    size_t used = 0;
    buffer_t answer;

    buffer_init(&answer, ANSWER_MAX);
    while (wait_for(fd, self->stopping, POLLIN, IDLE_MAX_MS)) {
        ssize_t n = read(fd, line + used, sizeof line - 1 - used);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        line[used] = '\0';
        char *end = strchr(line, '\n');
        if (end == NULL) {
            if (used == sizeof line - 1)
                break;
            continue;
        }
        *end = '\0';
        buffer_reset(&answer);
        obey(self, line, &answer);
        if (!write_all(fd, answer.bytes, answer.size))
            break;
        used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, used);
    }
    buffer_free(&answer);
}

static void obey(control_t *self, const char *line, buffer_t *answer)
{
    err_t err = {0};
    errcode_t rc = ERR_NONE;

    if (strcmp(line, "status") == 0) {
        self->hooks.status(self->hooks.state, answer);
    } else if (strncmp(line, "backup ", 7) == 0) {
        rc = self->hooks.backup(self->hooks.state, line + 7, &err);
    } else if (strncmp(line, "cluster ", 8) == 0) {
        rc = self->hooks.cluster(self->hooks.state, line + 8, answer, &err);
    } else if (strcmp(line, "freeze") == 0) {
        rc = self->hooks.freeze(self->hooks.state, true, &err);
        self->frozen = self->frozen || rc == ERR_NONE;
    } else if (strcmp(line, "thaw") == 0) {
        rc = self->hooks.freeze(self->hooks.state, false, &err);
        self->frozen = false;
    } else {
        rc = err_set(&err, ERR_INVALID,
                     "orders are status, backup DIRECTORY, cluster WORDS, freeze, thaw");
    }
    if (rc == ERR_NONE)
        buffer_text(answer, "ok\n");
    else
        buffer_printf(answer, "error: %s\n", err.text);
}

/* true when fd is ready; false on time-out, or when this control has to stop. */
static bool wait_for(int fd, int stopping, short events, int timeout_ms)
{
    struct pollfd waiting[2] = {{.fd = fd, .events = events}, {.fd = stopping, .events = POLLIN}};
    int rc;

    do
        rc = poll(waiting, stopping < 0 ? 1 : 2, timeout_ms);
    while (rc < 0 && errno == EINTR);
    return rc > 0 && waiting[1].revents == 0 && waiting[0].revents != 0;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;

    while (n > 0) {
        ssize_t written = send(fd, at, n, MSG_NOSIGNAL);
        if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!wait_for(fd, -1, POLLOUT, 5000))
                return false;
            continue;
        }
        if (written <= 0)
            return false;
        at += written;
        n -= (size_t)written;
    }
    return true;
}

/* ---- the other end ---- */

errcode_t control_connect(const char *data, int *fd, err_t *err)
{
    struct sockaddr_un address;
    int directory = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved;

    *fd = -1;
    if (directory < 0)
        return err_set(err, ERR_IO, "cannot open the directory %.120s: %s", data, strerror(errno));
    int own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (own < 0) {
        saved = errno;
        (void)close(directory);
        return err_set(err, ERR_IO, "cannot make a socket: %s", strerror(saved));
    }
    address_of(directory, &address);
    int rc = connect(own, (struct sockaddr *)&address, sizeof address);
    saved = errno;
    (void)close(directory);
    if (rc == 0) {
        *fd = own;
        return ERR_NONE;
    }
    (void)close(own);
    if (saved == ENOENT || saved == ECONNREFUSED)
        return ERR_NONE;
    return err_set(err, ERR_IO, "cannot speak to the node of %.120s: %s", data, strerror(saved));
}

errcode_t control_ask(int fd, const char *order, int timeout_ms, buffer_t *answer, err_t *err)
{
    buffer_t text;
    errcode_t rc;

    buffer_init(&text, ANSWER_MAX);
    buffer_printf(&text, "%s\n", order);
    bool sent = write_all(fd, text.bytes, text.size);
    buffer_reset(&text);
    if (!sent) {
        rc = err_set(err, ERR_IO, "the node does not take orders any more");
        goto cleanup;
    }
    for (;;) {
        if (!wait_for(fd, -1, POLLIN, timeout_ms) || !buffer_reserve(&text, 4096)) {
            rc = err_set(err, ERR_IO, "the node did not answer within %d s", timeout_ms / 1000);
            goto cleanup;
        }
        ssize_t n = read(fd, text.bytes + text.size, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = err_set(err, ERR_IO, "the node closed the connection before it answered");
            goto cleanup;
        }
        text.size += (size_t)n;
        if (text.bytes[text.size - 1] != '\n')
            continue;
        size_t last = text.size - 1; /* start of the last line */
        while (last > 0 && text.bytes[last - 1] != '\n')
            last--;
        if (text.size - last == 3 && memcmp(text.bytes + last, "ok\n", 3) == 0) {
            if (answer != NULL)
                buffer_append(answer, text.bytes, last);
            rc = ERR_NONE;
            goto cleanup;
        }
        if (text.size - last > 7 && memcmp(text.bytes + last, "error: ", 7) == 0) {
            rc = err_set(err, ERR_STATE, "%.*s", (int)(text.size - last - 8),
                         (const char *)text.bytes + last + 7);
            goto cleanup;
        }
    }

cleanup:
    buffer_free(&text);
    return rc;
}
