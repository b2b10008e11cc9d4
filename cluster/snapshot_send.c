/* snapshot_send.c - the thread that gives snapshots to peers who ask
 *
 * Each transfer has one consistent view of the store for as long as it lasts, and is driven by the acknowledgements: what
 * a slow receiver has not written is not read here.
 */
#include "cluster/snapshot_service_state.h"

#include "protocol/clock.h"
#include "protocol/log.h"

#include <sys/eventfd.h>

#define SILENCE_US INT64_C(30000000) /* of a receiver: its disk may stall */
#define PROBE_US   INT64_C(1000000)
#define FLUSH_US   INT64_C(10000000)
#define POLL_MS    100
#define BUSY_MS    2

typedef struct {
    snapshot_reader_t *reader; /* owned; NULL: this place is free */
    bulk_peer_t peer;
    uint16_t partition;
    uint64_t transfer;
    uint32_t made, acknowledged; /* chunks; the ending counts as one */
    bool begun;                  /* the other side is ready for chunks */
    bool ended;
    const uint8_t *bytes; /* borrowed from the reader; a chunk that could not be sent yet */
    size_t n;
    int64_t heard_us, probed_us, began_us;
    uint64_t sent_bytes;
} outgoing_t;

typedef struct {
    snapshot_service_t *service;
    outgoing_t outgoing[SNAPSHOT_SENDING_MAX];
    bool flushed;
    int64_t flushed_us;
} sender_t;

static int64_t now_us(void)
{
    return clock_boot_us(clock_system());
}

static bool send_frame(sender_t *self, const bulk_peer_t *peer, snapshot_head_t *head,
                       const void *body, size_t n)
{
    uint8_t bytes[SNAPSHOT_HEAD_BYTES];

    snapshot_head_encode(head, body, n, bytes);
    return bulk_send(self->service->listener, peer, bytes, sizeof bytes, body, n);
}

static void forget(sender_t *self, outgoing_t *out, const char *why)
{
    log_debug("snapshot of partition %u, transfer %llu: %s", out->partition,
              (unsigned long long)out->transfer, why);
    snapshot_reader_destroy(&out->reader);
    memset(out, 0, sizeof *out);
    atomic_fetch_sub(&self->service->sending_now, 1);
}

static void refuse(sender_t *self, const bulk_frame_t *frame, const snapshot_head_t *asked,
                   const char *why)
{
    snapshot_head_t head = {
        .kind = SNAPSHOT_NO, .partition = asked->partition, .transfer = asked->transfer};
    size_t n = strlen(why);

    (void)send_frame(self, &frame->peer, &head, why, n < SNAPSHOT_BODY_MAX ? n : SNAPSHOT_BODY_MAX);
}

/* The first time the position; later only to learn whether there still is somebody: who has it already ignores it. */
static void send_begin(sender_t *self, outgoing_t *out)
{
    snapshot_head_t head = {
        .kind = SNAPSHOT_BEGIN, .partition = out->partition, .transfer = out->transfer};
    buffer_t body;

    out->probed_us = now_us();
    buffer_init(&body, SNAPSHOT_BODY_MAX);
    snapshot_reader_begin(out->reader, &body);
    INVARIANT(!body.failed);
    if (!send_frame(self, &out->peer, &head, body.bytes, body.size))
        forget(self, out, "the asker is gone");
    buffer_free(&body);
}

/* A cursor over keys or lots sorts all of them that are in memory: seconds, when that is full. Now and then, since each
 * time makes small files. */
static void empty_memory(sender_t *self)
{
    err_t err = {0};

    if (self->flushed && now_us() - self->flushed_us < FLUSH_US)
        return;
    if (store_flush(self->service->config.store, &err) != ERR_NONE)
        log_error("memory could not be written out before a snapshot: %s", err.text);
    self->flushed = true;
    self->flushed_us = now_us();
}

static void begin(sender_t *self, const bulk_frame_t *frame, const snapshot_head_t *asked)
{
    outgoing_t *out = NULL;
    hash_t cluster;
    err_t err = {0};

    if (!snapshot_cluster(self->service, &cluster) || frame->body_bytes != sizeof cluster.bytes ||
        memcmp(frame->body, cluster.bytes, sizeof cluster.bytes) != 0 ||
        asked->partition > self->service->config.partitions) {
        refuse(self, frame, asked, "this node belongs to another cluster");
        return;
    }
    for (size_t i = 0; i < SNAPSHOT_SENDING_MAX && out == NULL; i++)
        out = self->outgoing[i].reader == NULL ? &self->outgoing[i] : NULL;
    if (out == NULL) {
        refuse(self, frame, asked, "this node sends to others at the moment");
        return;
    }
    if (snapshot_reader_open(&out->reader, self->service->config.store, asked->partition, &err) !=
        ERR_NONE) {
        refuse(self, frame, asked, err.text);
        return;
    }
    atomic_fetch_add(&self->service->sending_now, 1);
    out->peer = frame->peer;
    out->partition = asked->partition;
    out->transfer = asked->transfer;
    empty_memory(self);
    out->heard_us = out->began_us = now_us();
    send_begin(self, out);
}

static void receive(sender_t *self, const bulk_frame_t *frame)
{
    snapshot_head_t head;
    err_t err = {0};

    if (snapshot_head_decode(&head, frame->head, frame->head_bytes, frame->body, frame->body_bytes,
                             &err) != ERR_NONE) {
        log_debug("a frame about snapshots was dropped: %s", err.text);
        return;
    }
    if (head.kind == SNAPSHOT_ASK) {
        begin(self, frame, &head);
        return;
    }
    if (head.kind != SNAPSHOT_ACK && head.kind != SNAPSHOT_NO)
        return;
    for (size_t i = 0; i < SNAPSHOT_SENDING_MAX; i++) {
        outgoing_t *out = &self->outgoing[i];

        if (out->reader == NULL || out->transfer != head.transfer || out->peer.n != frame->peer.n ||
            memcmp(out->peer.bytes, frame->peer.bytes, out->peer.n) != 0)
            continue;
        if (head.kind == SNAPSHOT_NO) {
            forget(self, out, "the asker has given it up");
            continue;
        }
        out->heard_us = now_us();
        out->begun = true;
        if (head.number > out->acknowledged && head.number <= out->made)
            out->acknowledged = head.number;
    }
}

/* The next frame of a transfer that may go out; false: none, or it does not go out now. */
static bool send_next(sender_t *self, outgoing_t *out)
{
    snapshot_head_t head = {
        .kind = SNAPSHOT_CHUNK, .partition = out->partition, .transfer = out->transfer};
    err_t err = {0};

    if (out->n == 0) {
        uint32_t number;

        if (!out->begun || out->ended || out->made - out->acknowledged >= SNAPSHOT_WINDOW)
            return false;
        if (snapshot_reader_next(out->reader, &number, &out->bytes, &out->n, &err) != ERR_NONE) {
            log_error("partition %u cannot be read for another node: %s", out->partition, err.text);
            forget(self, out, "not readable");
            return false;
        }
        out->made++;
        out->ended = out->n == 0;
    }
    head.number = out->made;
    if (!out->ended) {
        if (!send_frame(self, &out->peer, &head, out->bytes, out->n))
            return false;
        out->sent_bytes += out->n;
        atomic_fetch_add(&self->service->sent_bytes, out->n);
        out->n = 0;
        return true;
    }
    buffer_t body;
    head.kind = SNAPSHOT_END;
    buffer_init(&body, SNAPSHOT_BODY_MAX);
    snapshot_reader_end(out->reader, &body);
    INVARIANT(!body.failed);
    bool gone = !send_frame(self, &out->peer, &head, body.bytes, body.size);
    buffer_free(&body);
    if (gone)
        forget(self, out, "the asker is gone");
    return !gone;
}

/* true: look again soon. */
static bool look_at(sender_t *self, outgoing_t *out)
{
    bool worked = false;

    if (out->reader == NULL)
        return false;
    while (out->reader != NULL && send_next(self, out))
        worked = true;
    if (out->reader == NULL)
        return worked;
    if (out->ended && out->acknowledged == out->made) {
        log_info("partition %u: sent to another node, %.1f MB in %.1f s", out->partition,
                 (double)out->sent_bytes / 1e6, (double)(now_us() - out->began_us) / 1e6);
        atomic_fetch_add(&self->service->sent, 1);
        forget(self, out, "whole");
    } else if (now_us() - out->heard_us > SILENCE_US) {
        log_warn("partition %u: the node that it was sent to says nothing any more",
                 out->partition);
        forget(self, out, "silence");
    } else if (now_us() - out->heard_us > PROBE_US && now_us() - out->probed_us > PROBE_US) {
        send_begin(self, out);
    }
    return worked || (out->reader != NULL && out->n > 0);
}

void *snapshot_send_main(void *argument)
{
    snapshot_service_t *service = argument;
    sender_t self = {.service = service};
    bulk_frame_t frame;
    eventfd_t count;

    pthread_setname_np(pthread_self(), "snapshot-send");
    while (!atomic_load(&service->stopping)) {
        bool soon = false;

        while (!atomic_load(&service->stopping) && bulk_receive(service->listener, &frame))
            receive(&self, &frame);
        for (size_t i = 0; i < SNAPSHOT_SENDING_MAX; i++)
            soon |= look_at(&self, &self.outgoing[i]);
        bulk_wait(service->listener, service->wakeup_send, false, soon ? BUSY_MS : POLL_MS);
        (void)eventfd_read(service->wakeup_send, &count); /* the descriptor does not block */
    }
    for (size_t i = 0; i < SNAPSHOT_SENDING_MAX; i++) {
        if (self.outgoing[i].reader != NULL)
            forget(&self, &self.outgoing[i], "this node stops");
    }
    return NULL;
}
