/* worker.c - an epoll loop; per request one send, one receive and a share of one wait */
#include "bench/worker.h"

#include "bench/elapsed.h"
#include "bench/lines.h"
#include "bench/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define INBOX_BYTES     65536
#define EVENTS_MAX      256
#define SWEEP_NS        INT64_C(100000000)
#define WAIT_MS         50
#define DRAIN_NS        INT64_C(2000000000)
#define SAMPLE_BYTES    200
#define CONNECT_LIMIT_S 5.0

typedef enum { LINK_DOWN, LINK_CONNECTING, LINK_UP } link_t;

typedef struct {
    int fd;
    link_t link;
    bool busy;   /* a request is outstanding */
    bool queued; /* in the ring of idle connections */
    bool resent;
    bool wants_out; /* registered for EPOLLOUT */
    unsigned endpoint;
    operation_t operation;
    int64_t started_ns; /* latency counts from here */
    int64_t sent_ns;    /* time limit counts from here */
    char *out;          /* owned; request_max bytes */
    size_t out_bytes;
    size_t out_sent;
    size_t sample_bytes;
    char sample[SAMPLE_BYTES]; /* start of an answer that is no success */
    lines_t lines;
    reply_t reply;
} connection_t;

struct worker {
    worker_shared_t *shared;
    workload_t *workload;      /* owned */
    connection_t *connections; /* owned */
    connection_t **idle;       /* owned; ring, oldest first, so that all connections take part */
    unsigned connection_count;
    unsigned idle_head;
    unsigned idle_count;
    unsigned busy_count;
    int epoll;
    int timer;
    bool exhausted; /* the workload is complete */
    double gap_ns;  /* open loop: between two intended times of this worker */
    double first_ns;
    uint64_t intended; /* requests sent so far */
    int64_t sweep_ns;
    int64_t armed_ns;                       /* what the timer is set to */
    int64_t answered_ns;                    /* last answer */
    histogram_t *latency[OPERATION__COUNT]; /* owned */
    worker_counts_t counts;
    atomic_uint_fast64_t answers;
    char inbox[INBOX_BYTES];
};

static bool connection_prepare(worker_t *self, connection_t *connection, unsigned number,
                               problem_t *problem);
static bool connection_register(worker_t *self, connection_t *connection, bool out, int operation);
static void connection_reopen(worker_t *self, connection_t *connection);
static void connection_lost(worker_t *self, connection_t *connection);
static void connection_ready(worker_t *self, connection_t *connection, int64_t now);
static void connection_readable(worker_t *self, connection_t *connection);
static void connection_writable(worker_t *self, connection_t *connection);
static void connection_flush(worker_t *self, connection_t *connection);
static void request_begin(worker_t *self, connection_t *connection, int64_t started_ns,
                          int64_t now);
static void request_send(worker_t *self, connection_t *connection);
static void request_answered(worker_t *self, connection_t *connection);
static void count_answer(worker_t *self, connection_t *connection, int64_t now, bool success);
static void request_failed(worker_t *self, connection_t *connection, uint64_t *counter,
                           const char *what);
static void send_due(worker_t *self, int64_t now);
static void count_unsent(worker_t *self);
static void sweep(worker_t *self, int64_t now);
static bool in_window(const worker_t *self, int64_t at_ns);
static void note_refusal(worker_t *self, const char *what, int status, const char *text);
static void keep_sample(void *context, const char *bytes, size_t n);
static void keep_lines(void *context, const char *bytes, size_t n);
static int64_t intended_ns(const worker_t *self, uint64_t number);

bool worker_new(worker_t **self_p, worker_shared_t *shared, unsigned index, problem_t *problem)
{
    worker_t *self = calloc(1, sizeof(*self));

    *self_p = self;
    if (self == NULL)
        return problem_set(problem, "no memory for a worker");
    self->shared = shared;
    self->timer = -1;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->connection_count =
        shared->connections / shared->workers + (index < shared->connections % shared->workers);
    if (self->epoll < 0) {
        problem_set(problem, "cannot make an epoll instance: %s", strerror(errno));
        goto failed;
    }
    for (unsigned i = 0; i < OPERATION__COUNT; i++)
        if ((self->latency[i] = histogram_new()) == NULL) {
            problem_set(problem, "no memory for the histograms");
            goto failed;
        }
    if (!workload_new(&self->workload, &shared->workload, index, problem))
        goto failed;
    self->connections = calloc(self->connection_count, sizeof(*self->connections));
    self->idle = calloc(self->connection_count, sizeof(*self->idle));
    if (self->connections == NULL || self->idle == NULL) {
        problem_set(problem, "no memory for %u connections", self->connection_count);
        goto failed;
    }
    for (unsigned i = 0; i < self->connection_count; i++)
        self->connections[i].fd = -1;
    for (unsigned i = 0; i < self->connection_count; i++)
        if (!connection_prepare(self, &self->connections[i], index + i * shared->workers, problem))
            goto failed;
    if (shared->rate > 0.0) {
        /* Edge: with no free connection an expired timer must not keep waking the loop. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
        self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (self->timer < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->timer, &event) != 0) {
            problem_set(problem, "cannot make a timer: %s", strerror(errno));
            goto failed;
        }
        /* Workers take turns, so together they send at even distances. */
        self->gap_ns = 1e9 * shared->workers / shared->rate;
        self->first_ns = 1e9 * index / shared->rate;
    }
    return true;

failed:
    worker_destroy(self_p);
    return false;
}

void worker_destroy(worker_t **self_p)
{
    worker_t *self = *self_p;

    if (self == NULL)
        return;
    if (self->connections != NULL)
        for (unsigned i = 0; i < self->connection_count; i++) {
            if (self->connections[i].fd >= 0)
                close(self->connections[i].fd);
            free(self->connections[i].out);
        }
    free(self->connections);
    free(self->idle);
    workload_destroy(&self->workload);
    for (unsigned i = 0; i < OPERATION__COUNT; i++)
        histogram_destroy(&self->latency[i]);
    if (self->timer >= 0)
        close(self->timer);
    if (self->epoll >= 0)
        close(self->epoll);
    free(self);
    *self_p = NULL;
}

void *worker_run(void *argument)
{
    worker_t *self = argument;
    struct epoll_event events[EVENTS_MAX];

    self->answered_ns = self->shared->start_ns;
    for (unsigned i = 0; i < self->connection_count; i++)
        connection_ready(self, &self->connections[i], self->shared->start_ns);
    for (;;) {
        int64_t now = elapsed_ns();
        int64_t stop = atomic_load_explicit(&self->shared->stop_ns, memory_order_relaxed);
        bool over = now >= stop || self->exhausted;

        /* A run without an end must not wait for ever for a server that is gone. */
        if (stop == INT64_MAX && now - self->answered_ns > 2 * self->shared->timeout_ns)
            self->exhausted = true;
        /* What was due before the end still goes out a moment later: its wait is the figure that a
         * stalled server would like to hide. */
        bool due = self->timer >= 0 && !self->exhausted && now - stop < DRAIN_NS &&
                   intended_ns(self, self->intended) < stop;
        if (over && !due &&
            (self->busy_count == 0 || (now >= stop && now - stop > self->shared->timeout_ns)))
            break;
        if (due)
            send_due(self, now);
        if (now >= self->sweep_ns)
            sweep(self, now);
        int n = epoll_wait(self->epoll, events, EVENTS_MAX, WAIT_MS);
        for (int i = 0; i < n; i++) {
            connection_t *connection = events[i].data.ptr;
            if (connection == NULL)
                continue; /* the timer: send_due looks at the clock and arms it again */
            if (events[i].events & EPOLLOUT)
                connection_writable(self, connection);
            if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && connection->link == LINK_UP)
                connection_readable(self, connection);
        }
    }
    for (unsigned i = 0; i < self->connection_count; i++)
        if (self->connections[i].busy)
            request_failed(self, &self->connections[i], &self->counts.timeouts,
                           "no answer in time");
    count_unsent(self);
    return NULL;
}

const worker_counts_t *worker_counts(const worker_t *self)
{
    return &self->counts;
}

const histogram_t *worker_latency(const worker_t *self, operation_t operation)
{
    return self->latency[operation];
}

uint64_t worker_answers(const worker_t *self)
{
    return atomic_load_explicit(&self->answers, memory_order_relaxed);
}

void worker_counts_add(worker_counts_t *sum, const worker_counts_t *part)
{
    for (unsigned i = 0; i < WORKER_STATUS_MAX; i++)
        sum->statuses[i] += part->statuses[i];
    sum->succeeded += part->succeeded;
    sum->succeeded_inside += part->succeeded_inside;
    sum->lines_inside += part->lines_inside;
    sum->already_there += part->already_there;
    sum->lines_accepted += part->lines_accepted;
    sum->lines_refused += part->lines_refused;
    sum->timeouts += part->timeouts;
    sum->broken += part->broken;
    sum->malformed += part->malformed;
    sum->reopened += part->reopened;
    sum->unsent += part->unsent;
    if (part->behind_ns > sum->behind_ns)
        sum->behind_ns = part->behind_ns;
    if (sum->first_refusal[0] == '\0')
        memcpy(sum->first_refusal, part->first_refusal, sizeof(sum->first_refusal));
}

static bool connection_prepare(worker_t *self, connection_t *connection, unsigned number,
                               problem_t *problem)
{
    connection->endpoint = number % self->shared->workload.endpoint_count;
    connection->out = malloc(workload_request_max(self->workload));
    if (connection->out == NULL)
        return problem_set(problem, "no memory for a request");
    connection->fd = endpoint_connect(&self->shared->workload.endpoints[connection->endpoint],
                                      CONNECT_LIMIT_S, problem);
    if (connection->fd < 0)
        return false;
    connection->link = LINK_UP;
    if (!connection_register(self, connection, false, EPOLL_CTL_ADD))
        return problem_set(problem, "cannot watch a connection: %s", strerror(errno));
    return true;
}

static bool connection_register(worker_t *self, connection_t *connection, bool out, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0U),
                                .data.ptr = connection};

    connection->wants_out = out;
    return epoll_ctl(self->epoll, operation, connection->fd, &event) == 0;
}

/* When even the attempt fails the connection stays down and sweep() tries again later. */
static void connection_reopen(worker_t *self, connection_t *connection)
{
    if (connection->fd >= 0)
        close(connection->fd); /* leaves the epoll set by itself */
    connection->link = LINK_DOWN;
    connection->fd =
        endpoint_connect_start(&self->shared->workload.endpoints[connection->endpoint]);
    if (connection->fd < 0)
        return;
    self->counts.reopened++;
    if (connection_register(self, connection, true, EPOLL_CTL_ADD))
        connection->link = LINK_CONNECTING;
}

/* A server may close an idle connection at the very moment a request leaves: such a request is sent
 * once more, when sending twice cannot do it twice. */
static void connection_lost(worker_t *self, connection_t *connection)
{
    if (connection->busy) {
        if (!connection->resent && !connection->reply.started &&
            operation_repeatable(connection->operation, self->shared->workload.keys))
            connection->resent = true;
        else
            request_failed(self, connection, &self->counts.broken, "connection lost");
    }
    connection_reopen(self, connection);
}

/* The connection can take a request. */
static void connection_ready(worker_t *self, connection_t *connection, int64_t now)
{
    if (connection->busy) {
        request_send(self, connection); /* the one that was lost with the connection before */
    } else if (self->timer < 0) {
        request_begin(self, connection, now, now);
    } else if (!connection->queued) {
        connection->queued = true;
        self->idle[(self->idle_head + self->idle_count++) % self->connection_count] = connection;
    }
}

static void connection_readable(worker_t *self, connection_t *connection)
{
    size_t used = 0;
    reply_result_t result;
    ssize_t got = recv(connection->fd, self->inbox, sizeof(self->inbox), 0);

    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR)
            connection_lost(self, connection);
        return;
    }
    if (!connection->busy) { /* closed while idle, or bytes nobody asked for */
        connection_reopen(self, connection);
        return;
    }
    if (got == 0) {
        result = reply_eof(&connection->reply);
        if (result != REPLY_DONE) {
            connection_lost(self, connection);
            return;
        }
    } else {
        result = reply_feed(&connection->reply, self->inbox, (size_t)got, &used);
    }
    if (result == REPLY_MORE)
        return;
    if (result == REPLY_BAD || used < (size_t)got) {
        request_failed(self, connection, &self->counts.malformed, "the answer is not HTTP");
        connection_reopen(self, connection);
        return;
    }
    request_answered(self, connection);
}

static void connection_writable(worker_t *self, connection_t *connection)
{
    if (connection->link != LINK_CONNECTING) {
        connection_flush(self, connection);
        return;
    }
    if (!endpoint_connected(connection->fd)) { /* sweep() tries again */
        close(connection->fd);
        connection->fd = -1;
        connection->link = LINK_DOWN;
        return;
    }
    connection->link = LINK_UP;
    if (!connection_register(self, connection, false, EPOLL_CTL_MOD)) {
        connection->link = LINK_DOWN;
        return;
    }
    connection_ready(self, connection, elapsed_ns());
}

static void connection_flush(worker_t *self, connection_t *connection)
{
    while (connection->out_sent < connection->out_bytes) {
        ssize_t n = send(connection->fd, connection->out + connection->out_sent,
                         connection->out_bytes - connection->out_sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            /* EPIPE and the like: the reading side will see the end too, after an early answer
             * (413). */
            if (errno == EAGAIN && !connection->wants_out &&
                !connection_register(self, connection, true, EPOLL_CTL_MOD))
                connection_lost(self, connection);
            else if (errno != EAGAIN && connection->wants_out)
                connection_register(self, connection, false, EPOLL_CTL_MOD);
            return;
        }
        connection->out_sent += (size_t)n;
    }
    if (connection->wants_out)
        connection_register(self, connection, false, EPOLL_CTL_MOD);
}

static void request_begin(worker_t *self, connection_t *connection, int64_t started_ns, int64_t now)
{
    /* In the open loop send_due() has looked at the end, and at what is still due behind it. */
    if (self->exhausted || (self->timer < 0 && now >= atomic_load_explicit(&self->shared->stop_ns,
                                                                           memory_order_relaxed)))
        return;
    connection->out_bytes = workload_write(self->workload, connection->endpoint, connection->out,
                                           &connection->operation);
    if (connection->out_bytes == 0) {
        self->exhausted = true;
        return;
    }
    connection->busy = true;
    connection->resent = false;
    connection->started_ns = started_ns;
    connection->sent_ns = now;
    self->busy_count++;
    if (connection->link == LINK_UP) /* else it leaves as soon as the connection is back */
        request_send(self, connection);
}

static void request_send(worker_t *self, connection_t *connection)
{
    bool batch = connection->operation == OPERATION_BATCH;

    connection->out_sent = 0;
    connection->sample_bytes = 0;
    if (batch)
        lines_reset(&connection->lines);
    reply_reset(&connection->reply, batch ? keep_lines : keep_sample, connection);
    connection_flush(self, connection);
}

static void request_answered(worker_t *self, connection_t *connection)
{
    int64_t now = elapsed_ns();
    int status = connection->reply.status;
    bool success = status >= 200 && status <= 299;

    if (connection->operation == OPERATION_BATCH && success)
        lines_end(&connection->lines);
    if (success && in_window(self, now)) {
        self->counts.succeeded_inside++;
        if (connection->operation == OPERATION_BATCH)
            self->counts.lines_inside += connection->lines.accepted;
    }
    if (in_window(self, connection->started_ns))
        count_answer(self, connection, now, success);
    atomic_store_explicit(&self->answers, self->answers + 1, memory_order_relaxed);
    self->answered_ns = now;
    connection->busy = false;
    self->busy_count--;
    /* An answer that overtook its request (413) leaves half a request on the wire. */
    if (connection->reply.close || connection->out_sent < connection->out_bytes)
        connection_reopen(self, connection);
    else
        connection_ready(self, connection, now);
}

static void count_answer(worker_t *self, connection_t *connection, int64_t now, bool success)
{
    int status = connection->reply.status;

    connection->sample[connection->sample_bytes] = '\0';
    if (connection->operation == OPERATION_ENROL && status == 400 &&
        strstr(connection->sample, "non_field_errors") != NULL) {
        self->counts.already_there++;
        return;
    }
    self->counts.statuses[status < WORKER_STATUS_MAX ? status : 0]++;
    if (!success) {
        note_refusal(self, "status", status, connection->sample);
        return;
    }
    self->counts.succeeded++;
    histogram_record(self->latency[connection->operation],
                     (uint64_t)(now - connection->started_ns));
    if (connection->operation != OPERATION_BATCH)
        return;
    self->counts.lines_accepted += connection->lines.accepted;
    self->counts.lines_refused += connection->lines.refused;
    if (connection->lines.refused > 0)
        note_refusal(self, "a line of a batch, HTTP status", status,
                     connection->lines.first_refused);
}

static void request_failed(worker_t *self, connection_t *connection, uint64_t *counter,
                           const char *what)
{
    if (in_window(self, connection->started_ns)) {
        ++*counter;
        note_refusal(self, what, 0, "");
    }
    connection->busy = false;
    self->busy_count--;
}

/* Sends what is due on free connections and sets the timer to the next intended time. */
static void send_due(worker_t *self, int64_t now)
{
    int64_t stop = atomic_load_explicit(&self->shared->stop_ns, memory_order_relaxed);
    int64_t due = intended_ns(self, self->intended);

    while (due <= now && due < stop && self->idle_count > 0 && !self->exhausted) {
        connection_t *connection = self->idle[self->idle_head];
        self->idle_head = (self->idle_head + 1) % self->connection_count;
        self->idle_count--;
        connection->queued = false;
        if (connection->link != LINK_UP)
            continue; /* comes back to the ring when it is up again */
        if (in_window(self, due) && now - due > self->counts.behind_ns)
            self->counts.behind_ns = now - due;
        request_begin(self, connection, due, now);
        due = intended_ns(self, ++self->intended);
    }
    /* With no free connection the next answer wakes the loop, not the clock. */
    if (self->idle_count == 0 || due <= now || due == self->armed_ns)
        return;
    struct itimerspec when = {
        .it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
    if (timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        self->armed_ns = due;
}

static void count_unsent(worker_t *self)
{
    int64_t stop = atomic_load_explicit(&self->shared->stop_ns, memory_order_relaxed);

    if (self->timer < 0)
        return;
    while (intended_ns(self, self->intended) < stop)
        if (in_window(self, intended_ns(self, self->intended++)))
            self->counts.unsent++;
}

static void sweep(worker_t *self, int64_t now)
{
    self->sweep_ns = now + SWEEP_NS;
    for (unsigned i = 0; i < self->connection_count; i++) {
        connection_t *connection = &self->connections[i];
        if (connection->busy && now - connection->sent_ns > self->shared->timeout_ns) {
            request_failed(self, connection, &self->counts.timeouts, "no answer in time");
            connection_reopen(self, connection);
        } else if (connection->link == LINK_DOWN) {
            connection_reopen(self, connection);
        }
    }
}

static bool in_window(const worker_t *self, int64_t at_ns)
{
    return at_ns >= self->shared->measure_ns &&
           at_ns < atomic_load_explicit(&self->shared->stop_ns, memory_order_relaxed);
}

/* Keeps the first thing that went wrong, so that a report can show it. */
static void note_refusal(worker_t *self, const char *what, int status, const char *text)
{
    char *out = self->counts.first_refusal;

    if (out[0] != '\0')
        return;
    if (status > 0)
        snprintf(out, WORKER_REFUSAL_BYTES, "%s %d: %s", what, status, text);
    else
        snprintf(out, WORKER_REFUSAL_BYTES, "%s", what);
    for (; *out != '\0'; out++)
        if ((unsigned char)*out < ' ')
            *out = ' ';
}

static void keep_sample(void *context, const char *bytes, size_t n)
{
    connection_t *connection = context;

    if (connection->reply.status < 300)
        return;
    size_t room = SAMPLE_BYTES - 1 - connection->sample_bytes;
    size_t kept = n < room ? n : room;
    memcpy(connection->sample + connection->sample_bytes, bytes, kept);
    connection->sample_bytes += kept;
}

static void keep_lines(void *context, const char *bytes, size_t n)
{
    connection_t *connection = context;

    if (connection->reply.status < 300)
        lines_feed(&connection->lines, bytes, n);
    else
        keep_sample(context, bytes, n);
}

static int64_t intended_ns(const worker_t *self, uint64_t number)
{
    return self->shared->start_ns + (int64_t)(self->first_ns + self->gap_ns * (double)number);
}
