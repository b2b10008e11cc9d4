/* snapshot_service.c - the thread that fills a copy from a peer, and what it shares with the sending one
 *
 * Both sides keep no state over a restart: a transfer that breaks off is begun anew, since one partition is small.
 */
#include "cluster/snapshot_service_state.h"

#include "protocol/clock.h"
#include "protocol/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SILENCE_US      INT64_C(5000000) /* of a source */
#define SIGN_OF_LIFE_US INT64_C(1000000) /* to it, while the old copy is taken away */
#define POLL_MS         100
#define ACK_AGAIN_SEND  20 /* tries, a millisecond each: the queue holds more than the window */

typedef enum { FILLED, SOURCE_FAILED, CANCELLED, STORE_FAILED } outcome_t;

/* One attempt with one source. */
typedef struct {
    snapshot_service_t *service;
    bulk_t *socket;            /* owned */
    snapshot_loader_t *loader; /* owned; NULL until it has begun */
    uint16_t partition;
    uint64_t transfer;
    int64_t heard_us, told_us;
    outcome_t outcome;
    bool over;
    err_t err;
} attempt_t;

static void *fill_main(void *argument);
static void attempt_step(attempt_t *self, const bulk_frame_t *frame);

/* ---- life ---- */

errcode_t snapshot_service_open(snapshot_service_t **self_p,
                                const snapshot_service_config_t *config, err_t *err)
{
    snapshot_service_t *self = memory_zalloc(sizeof *self);
    errcode_t rc = ERR_NONE;
    int failed;

    *self_p = self;
    self->config = *config;
    self->transfer = config->first;
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_cond_init(&self->asked, NULL) == 0);
    self->wakeup_fill = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->wakeup_send = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wakeup_fill < 0 || self->wakeup_send < 0)
        rc = err_set(err, ERR_IO, "an event descriptor could not be made");
    if (rc == ERR_NONE)
        rc = bulk_listen(&self->listener, config->address, config->port, config->keys_directory,
                         &self->port, err);
    if (rc == ERR_NONE) {
        failed = pthread_create(&self->filling, NULL, fill_main, self);
        self->fills = failed == 0;
        if (self->fills) {
            failed = pthread_create(&self->sending, NULL, snapshot_send_main, self);
            self->sends = failed == 0;
        }
        if (failed != 0)
            rc = err_set(err, ERR_IO, "no thread for snapshots: %s", strerror(failed));
    }
    if (rc != ERR_NONE)
        snapshot_service_close(self_p);
    return rc;
}

void snapshot_service_stop(snapshot_service_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    atomic_store(&self->stopping, true);
    atomic_store(&self->cancelled, true);
    (void)pthread_cond_broadcast(&self->asked);
    (void)pthread_mutex_unlock(&self->lock);
    if (self->fills) {
        (void)eventfd_write(self->wakeup_fill, 1);
        (void)pthread_join(self->filling, NULL);
        self->fills = false;
    }
    if (self->sends) {
        (void)eventfd_write(self->wakeup_send, 1);
        (void)pthread_join(self->sending, NULL);
        self->sends = false;
    }
}

void snapshot_service_close(snapshot_service_t **self_p)
{
    snapshot_service_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    snapshot_service_stop(self);
    bulk_close(&self->listener);
    if (self->wakeup_fill >= 0)
        (void)close(self->wakeup_fill);
    if (self->wakeup_send >= 0)
        (void)close(self->wakeup_send);
    (void)pthread_cond_destroy(&self->asked);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

uint16_t snapshot_service_port(const snapshot_service_t *self)
{
    return self->port;
}

void snapshot_service_set_cluster(snapshot_service_t *self, const hash_t *cluster)
{
    (void)pthread_mutex_lock(&self->lock);
    self->cluster = *cluster;
    self->cluster_known = true;
    (void)pthread_mutex_unlock(&self->lock);
}

bool snapshot_cluster(snapshot_service_t *self, hash_t *cluster)
{
    bool known;

    (void)pthread_mutex_lock(&self->lock);
    known = self->cluster_known;
    *cluster = self->cluster;
    (void)pthread_mutex_unlock(&self->lock);
    return known;
}

bool snapshot_service_fill(snapshot_service_t *self, uint16_t partition,
                           const snapshot_source_t *sources, size_t count, const hash_t *history)
{
    bool taken;

    (void)pthread_mutex_lock(&self->lock);
    taken = self->state == FILL_IDLE && count > 0 && self->cluster_known &&
            !atomic_load(&self->stopping);
    if (taken) {
        self->source_count = count < SNAPSHOT_SOURCES_MAX ? count : SNAPSHOT_SOURCES_MAX;
        memcpy(self->sources, sources, self->source_count * sizeof *sources);
        self->partition = partition;
        self->history = history != NULL ? *history : (hash_t){{0}};
        self->state = FILL_RUNNING;
        atomic_store(&self->cancelled, false);
        (void)pthread_cond_broadcast(&self->asked);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return taken;
}

fill_state_t snapshot_service_poll(snapshot_service_t *self)
{
    fill_state_t state;

    (void)pthread_mutex_lock(&self->lock);
    state = self->state;
    if (state != FILL_RUNNING)
        self->state = FILL_IDLE;
    (void)pthread_mutex_unlock(&self->lock);
    return state;
}

void snapshot_service_cancel(snapshot_service_t *self)
{
    atomic_store(&self->cancelled, true);
    (void)eventfd_write(self->wakeup_fill, 1);
}

void snapshot_service_metrics(snapshot_service_t *self, buffer_t *out)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"fealty_snapshots_filled_total", "counter", "Copies filled from another node",
         atomic_load(&self->filled)},
        {"fealty_snapshots_broken_total", "counter",
         "Attempts to fill a copy from another node that broke off", atomic_load(&self->broken)},
        {"fealty_snapshots_sent_total", "counter", "Copies sent to other nodes",
         atomic_load(&self->sent)},
        {"fealty_snapshot_received_bytes_total", "counter", "Bytes of copies received",
         atomic_load(&self->received_bytes)},
        {"fealty_snapshot_sent_bytes_total", "counter", "Bytes of copies sent",
         atomic_load(&self->sent_bytes)},
        {"fealty_snapshots_sending", "gauge", "Copies being sent at the moment",
         atomic_load(&self->sending_now)},
        {"fealty_snapshots_filling", "gauge", "Copies being filled at the moment",
         atomic_load(&self->filling_now)},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", rows[i].name,
                      rows[i].help, rows[i].name, rows[i].type, rows[i].name, rows[i].value);
}

/* ---- one attempt ---- */

static int64_t now_us(void)
{
    return clock_boot_us(clock_system());
}

static void end_attempt(attempt_t *self, outcome_t outcome)
{
    self->outcome = outcome;
    self->over = true;
}

static bool tell(attempt_t *self, snapshot_kind_t kind, uint32_t number, const void *body, size_t n)
{
    snapshot_head_t head = {.kind = (uint8_t)kind,
                            .partition = self->partition,
                            .transfer = self->transfer,
                            .number = number};
    uint8_t bytes[SNAPSHOT_HEAD_BYTES];

    snapshot_head_encode(&head, body, n, bytes);
    self->told_us = now_us();
    return bulk_send(self->socket, NULL, bytes, sizeof bytes, body, n);
}

/* A source whose queue is full for long has other troubles: its silence ends the attempt. */
static void acknowledge(attempt_t *self, uint32_t number)
{
    for (int i = 0; i < ACK_AGAIN_SEND && !tell(self, SNAPSHOT_ACK, number, "", 0); i++)
        bulk_wait(self->socket, self->service->wakeup_fill, true, 1);
}

/* Takes the old copy away; the source hears that this side lives. */
static errcode_t make_room(attempt_t *self)
{
    bool done = false;
    errcode_t rc = ERR_NONE;

    while (rc == ERR_NONE && !done && !atomic_load(&self->service->cancelled)) {
        rc = snapshot_loader_empty(self->loader, &done, &self->err);
        if (now_us() - self->told_us > SIGN_OF_LIFE_US)
            acknowledge(self, 0);
    }
    if (rc != ERR_NONE)
        end_attempt(self, STORE_FAILED);
    else if (!done)
        end_attempt(self, CANCELLED);
    return rc;
}

static void take_begin(attempt_t *self, const bulk_frame_t *frame)
{
    const snapshot_service_t *service = self->service;
    const snapshot_target_t target = {
        .store = service->config.store,
        .catalogue = service->config.catalogue,
        .partition = self->partition,
        .history = service->history,
        .definitions = self->partition == service->config.partitions,
        .session = self->partition == service->config.partitions ? service->config.session : NULL,
        .state = service->config.state};

    if (self->loader != NULL)
        return;
    if (snapshot_loader_open(&self->loader, &target, frame->body, frame->body_bytes, &self->err) !=
        ERR_NONE)
        end_attempt(self, SOURCE_FAILED);
    else if (make_room(self) == ERR_NONE && !self->over)
        acknowledge(self, 0);
}

static void attempt_step(attempt_t *self, const bulk_frame_t *frame)
{
    snapshot_head_t head;
    errcode_t rc = snapshot_head_decode(&head, frame->head, frame->head_bytes, frame->body,
                                        frame->body_bytes, &self->err);

    if (rc == ERR_NONE && (head.transfer != self->transfer || head.partition != self->partition))
        return;
    self->heard_us = now_us();
    if (rc != ERR_NONE) {
        end_attempt(self, SOURCE_FAILED);
        return;
    }
    switch (head.kind) {
    case SNAPSHOT_BEGIN: take_begin(self, frame); return;
    case SNAPSHOT_NO:
        err_set(&self->err, ERR_NOT_FOUND, "%.*s", (int)frame->body_bytes,
                (const char *)frame->body);
        end_attempt(self, SOURCE_FAILED);
        return;
    case SNAPSHOT_CHUNK:
    case SNAPSHOT_END: break;
    default: return;
    }
    if (self->loader == NULL)
        return;
    if (head.kind == SNAPSHOT_CHUNK)
        rc = snapshot_loader_chunk(self->loader, head.number, frame->body, frame->body_bytes,
                                   &self->err);
    else
        rc = snapshot_loader_end(self->loader, head.number, frame->body, frame->body_bytes,
                                 &self->err);
    /* Writing may take its time: that is not the source's silence. */
    self->heard_us = now_us();
    if (head.kind == SNAPSHOT_CHUNK)
        atomic_fetch_add(&self->service->received_bytes, frame->body_bytes);
    if (rc != ERR_NONE) {
        end_attempt(self, rc == ERR_IO ? STORE_FAILED : SOURCE_FAILED);
        return;
    }
    acknowledge(self, head.number);
    if (head.kind == SNAPSHOT_END)
        end_attempt(self, FILLED);
}

static void ask(attempt_t *self, bool *asked)
{
    hash_t cluster;

    if (snapshot_cluster(self->service, &cluster))
        *asked = tell(self, SNAPSHOT_ASK, 0, cluster.bytes, sizeof cluster.bytes);
}

static void drain_wakeup(int wakeup)
{
    eventfd_t count;

    (void)eventfd_read(wakeup, &count); /* the descriptor does not block */
}

/* Everything from one source. */
static outcome_t fill_from(snapshot_service_t *service, const snapshot_source_t *source,
                           bool *touched)
{
    attempt_t self = {.service = service, .partition = service->partition};
    int64_t began_us = now_us();
    bulk_frame_t frame;
    bool asked = false;

    self.transfer = service->transfer++;
    self.heard_us = self.told_us = began_us;
    if (bulk_dial(&self.socket, source->address, source->port, service->config.keys_directory,
                  &self.err) != ERR_NONE)
        end_attempt(&self, SOURCE_FAILED);
    while (!self.over) {
        if (atomic_load(&service->cancelled)) {
            end_attempt(&self, CANCELLED);
        } else if (!asked) {
            ask(&self, &asked);
        } else if (bulk_receive(self.socket, &frame)) {
            attempt_step(&self, &frame);
            continue;
        }
        if (!self.over && now_us() - self.heard_us > SILENCE_US) {
            err_set(&self.err, ERR_UNREACHABLE, "it said nothing for %d s",
                    (int)(SILENCE_US / 1000000));
            end_attempt(&self, SOURCE_FAILED);
        }
        if (!self.over) {
            bulk_wait(self.socket, service->wakeup_fill, !asked, POLL_MS);
            drain_wakeup(service->wakeup_fill);
        }
    }
    if (self.outcome != FILLED && asked)
        (void)tell(&self, SNAPSHOT_NO, 0, "", 0);
    double took_s = (double)(now_us() - began_us) / 1e6;
    double mb = self.loader != NULL ? (double)snapshot_loader_bytes(self.loader) / 1e6 : 0;
    if (self.outcome == FILLED) {
        log_info("partition %u: filled from %s, %.1f MB in %.1f s (%.0f MB/s), at offset %llu",
                 self.partition, source->address, mb, took_s, took_s > 0 ? mb / took_s : 0,
                 (unsigned long long)snapshot_loader_position(self.loader)->offset);
    } else if (self.outcome != CANCELLED) {
        atomic_fetch_add(&service->broken, 1);
        log_warn("partition %u: not filled from %s, broken off after %.1f MB in %.1f s: %s",
                 self.partition, source->address, mb, took_s, self.err.text);
    }
    *touched = *touched || (self.loader != NULL && snapshot_loader_has_begun(self.loader));
    snapshot_loader_destroy(&self.loader);
    bulk_close(&self.socket);
    return self.outcome;
}

static void fill_one(snapshot_service_t *self)
{
    outcome_t outcome = SOURCE_FAILED;
    bool touched = false;

    atomic_store(&self->filling_now, 1);
    for (size_t i = 0; outcome == SOURCE_FAILED && i < self->source_count; i++)
        outcome = fill_from(self, &self->sources[i], &touched);
    atomic_store(&self->filling_now, 0);
    if (outcome == FILLED)
        atomic_fetch_add(&self->filled, 1);
    (void)pthread_mutex_lock(&self->lock);
    self->state = outcome == FILLED ? FILL_DONE : touched ? FILL_BROKEN : FILL_UNTOUCHED;
    (void)pthread_mutex_unlock(&self->lock);
}

static void *fill_main(void *argument)
{
    snapshot_service_t *self = argument;

    pthread_setname_np(pthread_self(), "snapshot-fill");
    (void)pthread_mutex_lock(&self->lock);
    while (!atomic_load(&self->stopping)) {
        if (self->state != FILL_RUNNING) {
            (void)pthread_cond_wait(&self->asked, &self->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&self->lock);
        fill_one(self);
        (void)pthread_mutex_lock(&self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}
