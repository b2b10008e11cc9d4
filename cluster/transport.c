/* transport.c - one thread, all sockets: takes what others hand over, batches it per peer, receives, keeps time
 *
 * A round: take all that was handed over, receive what has arrived, let time pass, send one frame after the other
 * until nothing waits; sleep only when a round found nothing to do. Batching comes by itself: what is handed over
 * while a round runs leaves with the next one.
 */
#include "cluster/transport_state.h"

#include "protocol/log.h"
#include "protocol/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#define TICK_US         INT64_C(100000)
#define HEARTBEAT_US    INT64_C(500000)
#define HELLO_BEATS     4  /* every so many heartbeats is a HELLO */
#define RECEIVE_ROUND   64 /* frames per round, so that sending is never starved */
#define STOP_LINGER_MS  200
#define BLOCKED_WAIT_MS 20

static void *transport_main(void *argument);
static bool take_handed_over(transport_t *self);
static bool receive_some(transport_t *self);
static void receive_frame(transport_t *self, const wire_frame_t *frame);
static void receive_hello(transport_t *self, const link_header_t *header,
                          const wire_frame_t *frame);
static void receive_shared_hello(transport_t *self, const link_header_t *header,
                                 const wire_frame_t *frame);
static void receive_requests(transport_t *self, size_t link, const link_header_t *header,
                             const wire_frame_t *frame);
static void receive_messages(transport_t *self, const link_header_t *header,
                             const wire_frame_t *frame);
static void receive_genesis(transport_t *self, size_t link, const link_header_t *header,
                            const wire_frame_t *frame);
static void answer_ready(request_t *request, void *context);
static bool keep_time(transport_t *self);
static void follow_members(transport_t *self);
static void tell_news(transport_t *self);
static void send_hello(transport_t *self, size_t link);
static bool settled(const transport_t *self);
static void wind_up(transport_t *self);
static int wait_ms(const transport_t *self);
static int64_t boot_us(const transport_t *self);

errcode_t transport_open(transport_t **self_p, const transport_config_t *config, err_t *err)
{
    transport_t *self = memory_zalloc(sizeof *self);
    errcode_t rc = handover_open(&self->handover, err);

    if (rc != ERR_NONE) {
        free(self);
        return rc;
    }
    self->config = *config;
    INVARIANT(members_is_shared(config->members) == (config->birthing == NULL));
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    self->version = UINT64_MAX;
    self->lane_count = members_count(config->members);
    self->lanes = memory_zalloc(self->lane_count * sizeof *self->lanes);
    self->hello_due = memory_zalloc(self->lane_count * sizeof *self->hello_due);
    rc = wire_open(&self->wire, config->addresses, config->keys_directory, &config->incarnation,
                   self->handover.wakeup, err);
    for (size_t i = 0; rc == ERR_NONE && i < self->lane_count; i++) {
        if (i == members_own(config->members))
            continue;
        lane_init(&self->lanes[i], self->wire, i, members_address(config->members, i),
                  &config->incarnation, &self->counters);
        if (transport_is_shared(self))
            self->lanes[i].not_sent = ERR_NOT_OWNER;
        memcpy(self->names[i], members_address(config->members, i), ADDRESS_BYTES);
        self->dial_us[i] = clock_boot_us(config->clock) + DIAL_ANEW_US;
    }
    if (rc == ERR_NONE)
        rc = questions_open(&self->questions,
                            transport_is_shared(self) ? TRANSPORT_SHARED_QUERY_THREADS
                                                      : TRANSPORT_QUERY_THREADS,
                            TRANSPORT_QUESTIONS_MAX, LINK_ITEM_BYTES_MAX, config->clock,
                            config->hooks.query, config->hooks.state, err);
    if (rc != ERR_NONE) {
        handover_close(&self->handover);
        transport_destroy(&self);
    }
    *self_p = self;
    return rc;
}

errcode_t transport_start(transport_t *self, err_t *err)
{
    int failed = pthread_create(&self->thread, NULL, transport_main, self);

    if (failed != 0)
        return err_set(err, ERR_IO, "no thread for the transport: %s", strerror(failed));
    self->running = true;
    return ERR_NONE;
}

void transport_stop(transport_t *self)
{
    if (!self->running)
        return;
    questions_stop(self->questions);
    handover_close(&self->handover);
    atomic_store(&self->stopping, true);
    handover_wake(&self->handover);
    (void)pthread_join(self->thread, NULL);
    self->running = false;
}

void transport_destroy(transport_t **self_p)
{
    transport_t *self = *self_p;

    if (self == NULL)
        return;
    transport_stop(self);
    questions_destroy(&self->questions);
    wire_destroy(&self->wire, 0);
    for (size_t i = 0; i < self->lane_count; i++)
        lane_free(&self->lanes[i]);
    free(self->lanes);
    free(self->hello_due);
    handover_free(&self->handover);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

errcode_t transport_post(transport_t *self, size_t link, link_kind_t kind, request_t *request,
                         err_t *err)
{
    lane_t *lane = &self->lanes[link];
    item_t *item;

    if (request->command_bytes > LINK_ITEM_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, NULL);
    if (atomic_fetch_add(&lane->outstanding, 1) >= TRANSPORT_OUTSTANDING_MAX) {
        char name[ADDRESS_BYTES];

        (void)atomic_fetch_sub(&lane->outstanding, 1);
        metric_add(METRIC_OVERLOADED, 1);
        transport_name(self, link, name);
        return err_set(err, ERR_OVERLOADED, "too many requests wait for the node at %s", name);
    }
    item = memory_zalloc(sizeof *item);
    item->owner = self;
    item->link = link;
    item->kind = (uint8_t)kind;
    item->request = request;
    request_retain(request);
    if (!handover_give(&self->handover, &item->entry)) {
        (void)atomic_fetch_sub(&lane->outstanding, 1);
        item_free(item, &self->counters);
        return err_set(err, ERR_UNREACHABLE, "this node is stopping");
    }
    return ERR_NONE;
}

void transport_message(transport_t *self, size_t link, uint16_t dst, const void *frame, size_t n)
{
    size_t waiting = atomic_fetch_add(&self->counters.message_bytes, n);
    item_t *item;

    if (n > LINK_ITEM_BYTES_MAX || waiting + n > TRANSPORT_MESSAGE_BYTES_MAX) {
        (void)atomic_fetch_sub(&self->counters.message_bytes, n);
        (void)atomic_fetch_add_explicit(&self->counters.messages_dropped, 1, memory_order_relaxed);
        return;
    }
    item = memory_alloc(sizeof *item + n);
    memset(item, 0, sizeof *item);
    item->owner = self;
    item->link = link;
    item->kind = LINK_MESSAGES;
    item->partition = dst;
    item->n = n;
    memcpy(item->bytes, frame, n);
    if (!handover_give(&self->handover, &item->entry))
        item_free(item, &self->counters);
}

void transport_metrics(void *transport, buffer_t *out)
{
    transport_t *self = transport;
    const struct {
        const char *name, *help;
        atomic_uint_fast64_t *value;
    } rows[] = {
        {"fealty_cluster_frames_sent_total", "Frames sent to other nodes",
         &self->counters.frames_sent},
        {"fealty_cluster_frames_received_total", "Frames received from other nodes",
         &self->counters.frames_received},
        {"fealty_cluster_items_sent_total", "Commands, answers and messages in frames sent",
         &self->counters.items_sent},
        {"fealty_cluster_messages_dropped_total",
         "Messages between partitions that were not sent, to be sent again later",
         &self->counters.messages_dropped},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        buffer_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIuFAST64 "\n", rows[i].name,
                      rows[i].help, rows[i].name, rows[i].name,
                      atomic_load_explicit(rows[i].value, memory_order_relaxed));
    buffer_text(out, "# HELP fealty_cluster_outstanding Requests to a node without answer yet\n"
                     "# TYPE fealty_cluster_outstanding gauge\n");
    for (size_t i = 0; i < self->lane_count; i++) {
        char name[ADDRESS_BYTES];

        transport_name(self, i, name);
        if (name[0] != '\0')
            buffer_printf(out, "fealty_cluster_outstanding{node=\"%s\"} %u\n", name,
                          atomic_load(&self->lanes[i].outstanding));
    }
}

static void *transport_main(void *argument)
{
    transport_t *self = argument;
    bool blocked[ADDRESSES_MAX] = {false};

    for (;;) {
        /* Read before taking: what was handed over before the wish to stop is still sent. */
        bool stopping = atomic_load(&self->stopping);
        bool worked = take_handed_over(self);
        bool any_blocked = false;

        worked |= transport_follow_said(self);
        worked |= receive_some(self);
        worked |= keep_time(self);
        follow_members(self);
        tell_news(self);
        for (size_t i = 0; i < self->lane_count; i++) {
            blocked[i] = false;
            if (!members_is_peer(self->config.members, i))
                continue;
            worked |= lane_send_waiting(&self->lanes[i]);
            blocked[i] = self->lanes[i].blocked;
            any_blocked |= blocked[i];
        }
        if (stopping)
            break;
        if (!worked && handover_sleep(&self->handover)) {
            wire_wait(self->wire, any_blocked ? blocked : NULL,
                      any_blocked ? BLOCKED_WAIT_MS : wait_ms(self));
            handover_awake(&self->handover);
        }
    }
    wind_up(self);
    return NULL;
}

/* Sorts everything into the lanes; what is for a peer that is not up is not kept. */
static bool take_handed_over(transport_t *self)
{
    handover_entry_t *entry = handover_take(&self->handover);
    bool some = entry != NULL;

    while (entry != NULL) {
        item_t *item = (item_t *)entry;
        lane_t *lane = &self->lanes[item->link];

        entry = entry->next;
        if (item->kind == LINK_RESULTS)
            lane->inbound--;
        if (!members_is_up(self->config.members, item->link) ||
            (item->kind == LINK_RESULTS && item->session != lane->session))
            lane_refuse(lane, item);
        else
            lane_add(lane, item);
    }
    return some;
}

static bool receive_some(transport_t *self)
{
    wire_frame_t frame;
    int received = 0;

    while (received < RECEIVE_ROUND && wire_receive(self->wire, &frame)) {
        receive_frame(self, &frame);
        follow_members(self);
        received++;
    }
    return received > 0;
}

static void receive_frame(transport_t *self, const wire_frame_t *frame)
{
    members_t *members = self->config.members;
    link_header_t header;
    size_t link;
    err_t err;

    (void)atomic_fetch_add_explicit(&self->counters.frames_received, 1, memory_order_relaxed);
    if (link_header_decode(&header, frame->header, frame->header_bytes, &err) != ERR_NONE ||
        link_frame_check(&header, frame->body, frame->body_bytes, &err) != ERR_NONE) {
        metric_add(METRIC_FRAMES_DROPPED, 1);
        log_debug("a frame from another node was dropped: %s", err.text);
        return;
    }
    if (header.kind == LINK_HELLO || header.kind == LINK_SHARED_HELLO) {
        if (header.kind == LINK_HELLO)
            receive_hello(self, &header, frame);
        else
            receive_shared_hello(self, &header, frame);
        return;
    }
    link = members_heard(members, &header.from, &header.to, boot_us(self));
    if (link == members_count(members))
        return;
    if (header.kind == LINK_BYE) {
        members_bye(members, link);
    } else if (header.kind == LINK_GENESIS || header.kind == LINK_GENESIS_ACK) {
        if (!transport_is_shared(self))
            receive_genesis(self, link, &header, frame);
    } else if (!members_is_up(members, link)) {
        return; /* refused, or not greeted yet: nothing it says counts */
    } else if (header.kind == LINK_COMMANDS || header.kind == LINK_QUERIES ||
               header.kind == LINK_QUERIES_ANY) {
        follow_members(self); /* the frame may be what brought it up */
        receive_requests(self, link, &header, frame);
    } else if (header.kind == LINK_RESULTS) {
        lane_take_results(&self->lanes[link], &header, frame);
    } else if (header.kind == LINK_MESSAGES) {
        receive_messages(self, &header, frame);
    }
}

static void receive_hello(transport_t *self, const link_header_t *header, const wire_frame_t *frame)
{
    members_t *members = self->config.members;
    unpack_t in = unpack_from(frame->body, frame->body_bytes);
    link_hello_t hello;
    size_t link;

    if (!link_hello_next(&in, &hello))
        return;
    if (transport_is_shared(self)) {
        members_misfit(members, hello.address, boot_us(self));
        return;
    }
    link = members_hello(members, &header->from, &hello, boot_us(self));
    /* Answered at once until it has heard us; then the heartbeats suffice. */
    if (link < members_count(members) && !hash_equal(&hello.heard, &self->config.incarnation))
        send_hello(self, link);
}

static void receive_shared_hello(transport_t *self, const link_header_t *header,
                                 const wire_frame_t *frame)
{
    members_t *members = self->config.members;
    unpack_t in = unpack_from(frame->body, frame->body_bytes);
    link_shared_hello_t hello;
    size_t link;

    if (!link_shared_hello_next(&in, &hello))
        return;
    if (!transport_is_shared(self)) {
        members_misfit(members, hello.address, boot_us(self));
        return;
    }
    link = members_shared_hello(members, &header->from, &hello, boot_us(self));
    if (link < members_count(members) && !hash_equal(&hello.heard, &self->config.incarnation))
        self->hello_due[link] = true;
}

static void receive_requests(transport_t *self, size_t link, const link_header_t *header,
                             const wire_frame_t *frame)
{
    lane_t *lane = &self->lanes[link];
    unpack_t in = unpack_from(frame->body, frame->body_bytes);
    link_command_t command;

    for (uint32_t i = 0; i < header->count && link_command_next(&in, &command); i++) {
        item_t *item = memory_zalloc(sizeof *item);
        request_t *request =
            request_new(command.partition, command.bytes, command.n, command.deadline_us);
        err_t err = {.code = ERR_NONE};
        errcode_t rc;

        item->owner = self;
        item->link = link;
        item->kind = LINK_RESULTS;
        item->session = lane->session;
        item->id = command.id;
        item->request = request; /* the reference that request_new gave */
        request->done = answer_ready;
        request->context = item;
        if (lane->inbound >= TRANSPORT_OUTSTANDING_MAX) {
            metric_add(METRIC_OVERLOADED, 1);
            rc = err_set(&err, ERR_OVERLOADED, NULL);
        } else if (header->kind != LINK_COMMANDS && transport_is_shared(self)) {
            rc = self->config.hooks.question(self->config.hooks.state, request,
                                             header->kind == LINK_QUERIES_ANY, &err);
        } else if (header->kind != LINK_COMMANDS) {
            rc = questions_post(self->questions, request, &err);
        } else {
            rc = self->config.hooks.post(self->config.hooks.state, request, &err);
        }
        lane->inbound++;
        if (rc != ERR_NONE)
            request_complete(request, NULL, 0, &err);
    }
}

/* On the shard's or a query thread. After stopping nobody takes results any more. */
static void answer_ready(request_t *request, void *context)
{
    item_t *item = context;
    transport_t *self = item->owner;

    (void)request;
    if (!handover_give(&self->handover, &item->entry))
        item_free(item, &self->counters);
}

static void receive_messages(transport_t *self, const link_header_t *header,
                             const wire_frame_t *frame)
{
    unpack_t in = unpack_from(frame->body, frame->body_bytes);
    link_message_t message;

    for (uint32_t i = 0; i < header->count && link_message_next(&in, &message); i++)
        self->config.hooks.deliver(self->config.hooks.state, message.partition, message.bytes,
                                   message.n);
}

static void receive_genesis(transport_t *self, size_t link, const link_header_t *header,
                            const wire_frame_t *frame)
{
    unpack_t in = unpack_from(frame->body, frame->body_bytes);
    birthing_t *birthing = self->config.birthing;
    const void *bytes = NULL;
    size_t n = unpack_blob(&in, &bytes);

    /* An acknowledgement says nothing that the HELLO behind it does not say; it only is a reason to look now. */
    if (header->kind == LINK_GENESIS &&
        birthing_take(birthing, self->config.members, link, bytes, n))
        lane_send_blob(&self->lanes[link], LINK_GENESIS_ACK, birthing->birth.cluster.bytes,
                       HASH_BYTES);
    self->birth_changed = true;
    send_hello(self, link);
}

static bool keep_time(transport_t *self)
{
    int64_t now_us = boot_us(self);
    int64_t wall_us;
    bool beat = now_us >= self->heartbeat_us;
    bool tell_all;
    bool offer[ADDRESSES_MAX];
    members_t *members = self->config.members;

    if (now_us < self->tick_us)
        return false;
    self->tick_us = now_us + TICK_US;
    if (beat)
        self->heartbeat_us = now_us + HEARTBEAT_US;
    members_sweep(members, now_us);
    transport_dial(self, now_us);
    wall_us = clock_wall_us(self->config.clock);
    if (!settled(self)) {
        birthing_step(self->config.birthing, members, offer);
        self->birth_changed = true;
        for (size_t i = 0; i < members_count(members); i++) {
            buffer_t birth;

            if (!offer[i])
                continue;
            buffer_init(&birth, BIRTH_BYTES_MAX);
            birth_encode(&self->config.birthing->birth, &birth);
            lane_send_blob(&self->lanes[i], LINK_GENESIS, birth.bytes, birth.size);
            buffer_free(&birth);
        }
    }
    /* News is told at once; and now and then again, since a frame may be lost. Owners on a shared log change often. */
    tell_all = self->settled != settled(self) ||
               (beat && (self->beats++ % HELLO_BEATS == 0 || transport_is_shared(self)));
    self->settled = settled(self);
    for (size_t i = 0; i < members_count(members); i++) {
        if (!members_is_peer(members, i))
            continue;
        if (tell_all || !members_is_up(members, i))
            self->hello_due[i] = true;
        else if (beat)
            lane_send_nothing(&self->lanes[i], LINK_HEARTBEAT);
        lane_expire(&self->lanes[i], wall_us);
    }
    return true;
}

static void follow_members(transport_t *self)
{
    const members_t *members = self->config.members;

    if (self->version == members_version(members) && !self->birth_changed)
        return;
    self->version = members_version(members);
    self->birth_changed = false;
    for (size_t i = 0; i < members_count(members); i++) {
        lane_t *lane = &self->lanes[i];

        if (i == members_own(members))
            continue; /* of the others, those too that just lost their peer */
        if (lane->session != members_session(members, i))
            lane_lose(lane, "went away before it answered");
        lane->session = members_session(members, i);
        lane->to = members_incarnation(members, i);
    }
    self->config.hooks.changed(self->config.hooks.state, members, self->config.birthing);
}

static void tell_news(transport_t *self)
{
    for (size_t i = 0; i < self->lane_count; i++) {
        if (self->hello_due[i])
            send_hello(self, i);
    }
}

/* What cannot be sent is sent again: by the next tick to a peer that is not up, by a later beat to others. On a shared
 * log it stays due, since others wait for the news. */
static void send_hello(transport_t *self, size_t link)
{
    lane_t *lane = &self->lanes[link];

    buffer_reset(&lane->body);
    if (transport_is_shared(self)) {
        link_shared_hello_t hello;

        members_own_shared_hello(self->config.members, link, &hello);
        link_shared_hello_put(&lane->body, &hello);
        self->hello_due[link] =
            !lane_send(lane, LINK_SHARED_HELLO, 1) && members_is_up(self->config.members, link);
    } else {
        link_hello_t hello;

        members_own_hello(self->config.members, link, &hello);
        link_hello_put(&lane->body, &hello);
        (void)lane_send(lane, LINK_HELLO, 1);
        self->hello_due[link] = false;
    }
}

static bool settled(const transport_t *self)
{
    return transport_is_shared(self) || birthing_done(self->config.birthing);
}

/* The last round: the handover is closed, so nothing comes behind what is taken here. */
static void wind_up(transport_t *self)
{
    (void)take_handed_over(self);
    for (size_t i = 0; i < self->lane_count; i++) {
        lane_t *lane = &self->lanes[i];

        if (!members_is_peer(self->config.members, i))
            continue;
        (void)lane_send_waiting(lane);
        lane_send_nothing(lane, LINK_BYE);
        lane_lose(lane, "had not answered when this node stopped");
    }
    wire_destroy(&self->wire, STOP_LINGER_MS);
}

static int wait_ms(const transport_t *self)
{
    int64_t left_us = self->tick_us - boot_us(self);

    return left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
}

static int64_t boot_us(const transport_t *self)
{
    return clock_boot_us(self->config.clock);
}
