/* detached.c - the sender thread, and what a worker and it agree about one answer
 *
 * States of an answer: IDLE -> PENDING (worker, before posting) -> DONE (completion) or LATE
 * (sender, past the deadline) -> IDLE (sender, after sending), or UNSENT (sender: the socket is
 * full) -> IDLE (worker, after sending the rest). The sender writes to the socket itself, not
 * through the library: the library's connection belongs to the worker, and its write would wait for
 * a client that does not read.
 * To wake the sender takes longer than to send. So where hardly anything is under way, who completes
 * the command (a partition's thread) sends the answer itself; under load he leaves it to the sender,
 * which is woken once for many.
 */
#include "http/detached.h"

#include "http/socket.h"
#include "http/word.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <civetweb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#define GRACE_US      200000
#define LOOK_EVERY_US 100000
#define SPINS         200
#define FEW           2 /* requests under way */

enum { STATE_IDLE = 0, STATE_PENDING = 1, STATE_DONE = 2, STATE_LATE = 3, STATE_UNSENT = 4 };
#define WAITED 16u /* added to a state: the worker sleeps on it, or is about to */

struct sender {
    http_server_t *server;
    pthread_t thread;
    atomic_uint work; /* raised: there is something to look at */
    atomic_bool stopping;
    _Atomic(detached_t *) finished; /* stack of completed answers, newest first */
    pthread_mutex_t mutex;          /* protects first and the list behind it */
    detached_t *first;              /* of all workers */
    int64_t looked_us;
    /* Held while an answer is made, or given back to its worker, or looked at; protects worker and call. Taken behind
     * mutex. */
    pthread_mutex_t sending;
    worker_t worker; /* the sender's own buffers */
    call_t call;
};

static void on_complete(request_t *request, void *context);
static void *sender_run(void *state);
static void look_for_late(sender_t *self);
static void send_finished(sender_t *self, detached_t *newest);
static void answer(sender_t *self, detached_t *detached, bool late);
static bool take(detached_t *detached, unsigned state);
static bool take_back(detached_t *detached);
static void give_back(detached_t *detached, unsigned state);

/* ---- the worker's side ---- */

void exchange_finish(exchange_t *self, command_t *command, uint16_t partition)
{
    call_t *call = call_of(self);
    worker_t *worker = call->worker;
    detached_t *detached = &worker->detached;
    request_t *request;
    result_t result;
    err_t err;

    /* The first request of a connection is answered in place: finding the descriptor costs more
     * than it saves when no second one comes. */
    if (call->close || !call->body_done || !call->head.keep_alive || worker->requests < 2 ||
        log_enabled(LOG_DEBUG)) {
        if (exchange_command(self, command, partition, &result))
            exchange_result(self, &result);
        return;
    }
    if (worker->descriptor == -1) {
        const struct mg_request_info *info = mg_get_request_info(self->connection);

        worker->descriptor = socket_find(info->remote_addr, info->remote_port, info->server_port);
        if (worker->descriptor < 0)
            worker->descriptor = -2; /* do not look again */
    }
    if (worker->descriptor < 0) {
        if (exchange_command(self, command, partition, &result))
            exchange_result(self, &result);
        return;
    }
    command->actor = self->user;
    command->rights |= exchange_rights(self);
    command->deadline_us = self->deadline_us;
    buffer_reset(&worker->scratch);
    command_encode(command, &worker->scratch);
    INVARIANT(!worker->scratch.failed); /* bodies are smaller than the buffer may be */

    memcpy(detached->request_id, self->request_id, sizeof detached->request_id);
    detached->route = self->route;
    detached->allow = call->allow;
    detached->cors_origin = call->cors_origin;
    detached->partition = partition;
    detached->descriptor = worker->descriptor;
    detached->deadline_us = self->deadline_us;
    request =
        request_new(partition, worker->scratch.bytes, worker->scratch.size, self->deadline_us);
    request->done = on_complete;
    request->context = detached;
    detached->request = request;
    request_retain(request); /* while it is being posted */
    call->detached = true;
    atomic_store_explicit(&detached->state, STATE_PENDING, memory_order_release);
    if (router_post(self->router, request, &err) != ERR_NONE && take_back(detached)) {
        /* Not taken by anybody: it is ours alone again. */
        call->detached = false;
        detached->request = NULL;
        request_release(request);
        error_outcome(self, &err, partition, command->key);
    }
    request_release(request);
}

void detached_wait(worker_t *worker, struct mg_connection *connection)
{
    detached_t *detached = &worker->detached;
    unsigned state = atomic_load_explicit(&detached->state, memory_order_acquire);

    /* A client that has its answer may be faster with its next request than the sender with its
     * last instruction. */
    for (int i = 0; i < SPINS && state != STATE_IDLE; i++)
        state = atomic_load_explicit(&detached->state, memory_order_acquire);
    while (state != STATE_IDLE) {
        if (state == STATE_UNSENT) {
            (void)mg_write(connection, detached->unsent.bytes, detached->unsent.size);
            buffer_reset(&detached->unsent);
            atomic_store_explicit(&detached->state, STATE_IDLE, memory_order_release);
            return;
        }
        if ((state & WAITED) != 0 ||
            atomic_compare_exchange_strong_explicit(&detached->state, &state, state | WAITED,
                                                    memory_order_relaxed, memory_order_relaxed))
            word_sleep(&detached->state, state | WAITED, LOOK_EVERY_US);
        state = atomic_load_explicit(&detached->state, memory_order_acquire);
    }
}

int detached_connection(const struct mg_connection *connection, void **data)
{
    worker_t *worker = mg_get_thread_pointer(connection);

    (void)data;
    worker->descriptor = -1;
    worker->requests = 0;
    worker->marked = 0;
    worker->received = 0;
    return 0;
}

void detached_connection_close(const struct mg_connection *connection)
{
    worker_t *worker = mg_get_thread_pointer(connection);

    /* The client has gone or was silent for too long; what it did not take yet is tried once more.
     * The library writes through a pointer that it lends as const here only because most callbacks
     * have no business with it. */
    if (worker != NULL)
        detached_wait(worker, (struct mg_connection *)(uintptr_t)connection);
}

void detached_enter(worker_t *worker)
{
    sender_t *sender = worker->server->sender;
    detached_t *detached = &worker->detached;

    *detached = (detached_t){.sender = sender};
    buffer_init(&detached->unsent, 1024 * 1024);
    worker->descriptor = -2;
    pthread_mutex_lock(&sender->mutex);
    detached->next = sender->first;
    sender->first = detached;
    pthread_mutex_unlock(&sender->mutex);
}

void detached_leave(worker_t *worker)
{
    sender_t *sender = worker->server->sender;

    INVARIANT(atomic_load(&worker->detached.state) ==
              STATE_IDLE); /* its last connection is closed */
    pthread_mutex_lock(&sender->mutex);
    for (detached_t **link = &sender->first; *link != NULL; link = &(*link)->next) {
        if (*link == &worker->detached) {
            *link = worker->detached.next;
            break;
        }
    }
    pthread_mutex_unlock(&sender->mutex);
    buffer_free(&worker->detached.unsent);
}

/* ---- completion: on a partition's thread or the transport's ---- */

static void on_complete(request_t *request, void *context)
{
    detached_t *detached = context;
    sender_t *sender = detached->sender;
    detached_t *head;

    (void)request;
    if (!take(detached, STATE_DONE))
        return; /* too late: the sender has taken it */
    if (atomic_load_explicit(&sender->server->active, memory_order_relaxed) <= FEW &&
        pthread_mutex_trylock(&sender->sending) == 0) {
        answer(sender, detached, false);
        pthread_mutex_unlock(&sender->sending);
        return;
    }
    head = atomic_load_explicit(&sender->finished, memory_order_relaxed);
    do {
        detached->below = head;
    } while (!atomic_compare_exchange_weak_explicit(&sender->finished, &head, detached,
                                                    memory_order_release, memory_order_relaxed));
    word_raise(&sender->work);
}

/* ---- the sender ---- */

errcode_t sender_start(sender_t **self_p, http_server_t *server, err_t *err)
{
    sender_t *self = memory_zalloc(sizeof *self);
    exchange_t *exchange = &self->call.exchange;

    self->server = server;
    self->worker.server = server;
    self->worker.date_second = INT64_MIN;
    buffer_init(&self->worker.wire, 4 * 1024 * 1024);
    self->call.worker = &self->worker;
    self->call.server = server;
    self->call.body_done = true;
    self->call.head.version_1_1 = true;
    exchange->router = server->router;
    buffer_init(&exchange->out, 2 * 1024 * 1024);
    buffer_init(&exchange->headers, 16 * 1024);
    INVARIANT(pthread_mutex_init(&self->mutex, NULL) == 0);
    INVARIANT(pthread_mutex_init(&self->sending, NULL) == 0);
    *self_p = self;
    if (pthread_create(&self->thread, NULL, sender_run, self) == 0)
        return ERR_NONE;
    pthread_mutex_destroy(&self->mutex);
    pthread_mutex_destroy(&self->sending);
    free(self);
    *self_p = NULL;
    return err_set(err, ERR_INTERNAL, "cannot make the thread that sends answers");
}

void sender_stop(sender_t **self_p)
{
    sender_t *self = *self_p;

    if (self == NULL)
        return;
    atomic_store(&self->stopping, true);
    word_raise(&self->work);
    pthread_join(self->thread, NULL);
    INVARIANT(self->first == NULL); /* all workers have left */
    pthread_mutex_destroy(&self->mutex);
    pthread_mutex_destroy(&self->sending);
    buffer_free(&self->worker.wire);
    buffer_free(&self->call.exchange.out);
    buffer_free(&self->call.exchange.headers);
    free(self);
    *self_p = NULL;
}

static void *sender_run(void *state)
{
    sender_t *self = state;

    (void)pthread_setname_np(pthread_self(), "http-sender");
    while (!atomic_load_explicit(&self->stopping, memory_order_relaxed)) {
        detached_t *newest;

        word_lower(&self->work);
        newest = atomic_exchange(&self->finished, NULL);
        if (newest != NULL)
            send_finished(self, newest);
        else
            word_sleep(&self->work, 0, LOOK_EVERY_US);
        if (clock_boot_us(self->server->config.clock) - self->looked_us >= LOOK_EVERY_US)
            look_for_late(self);
    }
    return NULL;
}

/* Oldest first: it has waited longest. */
static void send_finished(sender_t *self, detached_t *newest)
{
    detached_t *oldest = NULL;

    while (newest != NULL) {
        detached_t *below = newest->below;

        newest->below = oldest;
        oldest = newest;
        newest = below;
    }
    pthread_mutex_lock(&self->sending);
    while (oldest != NULL) {
        detached_t *next = oldest->below; /* from give_back on it is the worker's again */

        answer(self, oldest, false);
        oldest = next;
    }
    pthread_mutex_unlock(&self->sending);
}

static void look_for_late(sender_t *self)
{
    int64_t now = router_now_us(self->server->router);

    self->looked_us = clock_boot_us(self->server->config.clock);
    pthread_mutex_lock(&self->mutex);
    pthread_mutex_lock(&self->sending); /* who is pending stays so, or is done: none begins anew */
    for (detached_t *detached = self->first; detached != NULL; detached = detached->next) {
        unsigned state = atomic_load_explicit(&detached->state, memory_order_acquire);

        if ((state & ~WAITED) != STATE_PENDING || now <= detached->deadline_us + GRACE_US ||
            !take(detached, STATE_LATE))
            continue;
        /* From here on the completion does nothing; this waits until it is not running either. */
        waiter_abandon(NULL, detached->request);
        answer(self, detached, true);
    }
    pthread_mutex_unlock(&self->sending);
    pthread_mutex_unlock(&self->mutex);
}

static void answer(sender_t *self, detached_t *detached, bool late)
{
    call_t *call = &self->call;
    exchange_t *exchange = &call->exchange;
    request_t *request = detached->request;
    buffer_t *wire = &self->worker.wire;
    command_t command = {.kind = COMMAND_NONE};
    result_t result;
    err_t err;
    ssize_t sent;

    memcpy(exchange->request_id, detached->request_id, sizeof exchange->request_id);
    exchange->route = detached->route;
    call->allow = detached->allow;
    call->cors_origin = detached->cors_origin;
    exchange->place.place.epoch = 0;
    if (late)
        err_set(&err, ERR_UNKNOWN_OUTCOME, NULL);
    else
        err = request->err;
    if (err.code != ERR_NONE) {
        (void)command_decode(&command, request->command, request->command_bytes, NULL);
        error_outcome(exchange, &err, detached->partition, command.key);
    } else if (result_decode(&result, request->result.bytes, request->result.size, &err) !=
               ERR_NONE) {
        exchange_error(exchange, &err);
    } else {
        exchange_place(exchange, detached->partition, &request->place);
        exchange_result(exchange, &result);
    }
    buffer_reset(wire);
    reply_head(call, wire, (int64_t)exchange->out.size);
    if (exchange->status != 204)
        buffer_append(wire, exchange->out.bytes, exchange->out.size);
    INVARIANT(!wire->failed);
    INVARIANT(!exchange->out.failed); /* results are bounded by request.c */
    request_release(request);
    detached->request = NULL;
    metric_add(METRIC_HTTP_REQUESTS, 1);
    metric_add(exchange->status < 300   ? METRIC_HTTP_2XX
               : exchange->status < 500 ? METRIC_HTTP_4XX
                                        : METRIC_HTTP_5XX,
               1);
    /* The client may be back before this call returns: as little as can be is done after it. */
    sent = send(detached->descriptor, wire->bytes, wire->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    atomic_fetch_sub(&self->server->active, 1);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        sent = (ssize_t)wire->size; /* the client is gone; its worker will see it */
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < wire->size) {
        buffer_append(&detached->unsent, wire->bytes + sent, wire->size - (size_t)sent);
        give_back(detached, STATE_UNSENT);
    } else {
        give_back(detached, STATE_IDLE);
    }
}

/* PENDING to another state, keeping the mark; false when somebody else was first. */
static bool take(detached_t *detached, unsigned state)
{
    unsigned seen = STATE_PENDING;

    while ((seen & ~WAITED) == STATE_PENDING) {
        if (atomic_compare_exchange_weak(&detached->state, &seen, state | (seen & WAITED)))
            return true;
    }
    return false;
}

/* By the worker; not while the sender looks at it. */
static bool take_back(detached_t *detached)
{
    pthread_mutex_lock(&detached->sender->sending);
    bool taken = take(detached, STATE_IDLE);
    pthread_mutex_unlock(&detached->sender->sending);
    return taken;
}

/* The last touch: from here on the worker may do anything with it. Only the address of the word is
 * still used, for a wake-up that at worst wakes nobody. */
static void give_back(detached_t *detached, unsigned state)
{
    if ((atomic_exchange(&detached->state, state) & WAITED) != 0)
        word_wake(&detached->state);
}
