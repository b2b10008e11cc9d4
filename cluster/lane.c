/* lane.c - batching to one peer, and the fate of each request sent to it */
#include "cluster/lane.h"

#include <stdlib.h>

#define ITEM_EXTRA_BYTES 512 /* what an item takes at most beside its payload */

/* Kinds that are batched, in the order in which they are sent: what frees others first. */
static const link_kind_t batched[] = {LINK_RESULTS, LINK_MESSAGES, LINK_COMMANDS, LINK_QUERIES,
                                      LINK_QUERIES_ANY};

static void send_batch(lane_t *self, link_kind_t kind);
static size_t payload_bytes(const item_t *item);
static void put_item(lane_t *self, item_t *item);
static void fail_sent(lane_t *self, const pending_slot_t *slot, errcode_t query_code,
                      const char *why);
static void finish(lane_t *self, request_t *request, const err_t *err);
static item_t *list_take(item_list_t *list);
static const char *name_of(const lane_t *self);

void lane_init(lane_t *self, wire_t *wire, size_t link, const char *address, const hash_t *from,
               lane_counters_t *counters)
{
    memset(self, 0, sizeof *self);
    self->wire = wire;
    self->link = link;
    self->address = address;
    self->from = *from;
    self->counters = counters;
    self->not_sent = ERR_UNREACHABLE;
    self->pending = pending_new();
    buffer_init(&self->body, LINK_BODY_BYTES_MAX);
}

void lane_free(lane_t *self)
{
    pending_destroy(&self->pending);
    buffer_free(&self->body);
}

void lane_add(lane_t *self, item_t *item)
{
    item_list_t *list = &self->lists[item->kind];

    item->entry.next = NULL;
    if (list->first == NULL)
        list->first = item;
    else
        list->last->entry.next = &item->entry;
    list->last = item;
}

bool lane_send_waiting(lane_t *self)
{
    bool sent = false;

    self->blocked = false;
    for (size_t i = 0; i < COUNT_OF(batched); i++) {
        while (self->lists[batched[i]].first != NULL) {
            if (!wire_can_send(self->wire, self->link)) {
                self->blocked = true;
                return sent;
            }
            send_batch(self, batched[i]);
            sent = true;
        }
    }
    return sent;
}

bool lane_send(lane_t *self, link_kind_t kind, uint32_t count)
{
    uint8_t bytes[LINK_HEADER_BYTES];
    link_header_t header = {.kind = (uint8_t)kind,
                            .from = self->from,
                            .to = self->to,
                            .count = count,
                            .body_bytes = (uint32_t)self->body.size};

    INVARIANT(!self->body.failed); /* items are smaller than a body by more than ITEM_EXTRA_BYTES */
    header.crc = crc32c(0, self->body.bytes, self->body.size);
    link_header_encode(&header, bytes);
    if (!wire_send(self->wire, self->link, bytes, sizeof bytes, self->body.bytes, self->body.size))
        return false;
    (void)atomic_fetch_add_explicit(&self->counters->frames_sent, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&self->counters->items_sent, count, memory_order_relaxed);
    return true;
}

void lane_send_blob(lane_t *self, link_kind_t kind, const void *bytes, size_t n)
{
    buffer_reset(&self->body);
    pack_blob(&self->body, bytes, n);
    (void)lane_send(self, kind, 1);
}

void lane_send_nothing(lane_t *self, link_kind_t kind)
{
    buffer_reset(&self->body);
    pack_nil(&self->body);
    (void)lane_send(self, kind, 1);
}

void lane_take_results(lane_t *self, const link_header_t *header, const wire_frame_t *frame)
{
    unpack_t in = unpack_from(frame->body, frame->body_bytes);
    link_result_t result;
    pending_slot_t slot;

    for (uint32_t i = 0; i < header->count && link_result_next(&in, &result); i++) {
        if (!pending_take(self->pending, result.id, &slot))
            continue; /* it was given up already */
        slot.request->place = result.place;
        request_complete(slot.request, result.bytes, result.n, &result.err);
        request_release(slot.request);
        (void)atomic_fetch_sub(&self->outstanding, 1);
    }
}

void lane_expire(lane_t *self, int64_t wall_us)
{
    uint32_t at = 0;
    pending_slot_t slot;

    while (pending_take_next(self->pending, &at, wall_us, 0, &slot))
        fail_sent(self, &slot, ERR_UNREACHABLE, "did not answer in time");
}

void lane_lose(lane_t *self, const char *why)
{
    uint32_t at = 0;
    pending_slot_t slot;
    item_t *item;

    for (size_t i = 0; i < COUNT_OF(batched); i++) {
        while ((item = list_take(&self->lists[batched[i]])) != NULL)
            lane_refuse(self, item);
    }
    while (pending_take_next(self->pending, &at, INT64_MAX, 0, &slot))
        fail_sent(self, &slot, self->not_sent, why);
}

void lane_refuse(lane_t *self, item_t *item)
{
    if (item->kind != LINK_RESULTS && item->kind != LINK_MESSAGES) {
        err_t err;

        (void)err_set(&err, self->not_sent, "the node at %s cannot be reached", name_of(self));
        finish(self, item->request, &err);
        item->request = NULL;
    } else if (item->kind == LINK_MESSAGES) {
        (void)atomic_fetch_add_explicit(&self->counters->messages_dropped, 1, memory_order_relaxed);
    }
    item_free(item, self->counters);
}

void item_free(item_t *item, lane_counters_t *counters)
{
    if (item->kind == LINK_MESSAGES)
        (void)atomic_fetch_sub(&counters->message_bytes, item->n);
    request_release(item->request);
    free(item);
}

static void send_batch(lane_t *self, link_kind_t kind)
{
    item_list_t *list = &self->lists[kind];
    uint32_t count = 0;
    uint32_t at = 0;
    pending_slot_t slot;
    err_t err;

    self->batch++;
    buffer_reset(&self->body);
    while (list->first != NULL) {
        if (count > 0 &&
            self->body.size + payload_bytes(list->first) + ITEM_EXTRA_BYTES > LINK_BATCH_BYTES)
            break;
        put_item(self, list_take(list));
        count++;
    }
    if (lane_send(self, kind, count))
        return;
    /* The socket had room and did not take it after all: nothing of this frame has left. */
    (void)err_set(&err, self->not_sent, "the node at %s cannot be reached", name_of(self));
    while (pending_take_next(self->pending, &at, INT64_MAX, self->batch, &slot))
        finish(self, slot.request, &err);
}

static size_t payload_bytes(const item_t *item)
{
    if (item->kind == LINK_MESSAGES)
        return item->n;
    return item->kind == LINK_RESULTS ? item->request->result.size : item->request->command_bytes;
}

/* Appends it to the body and lets go of it; a request moves on to the table of those that wait for an answer. */
static void put_item(lane_t *self, item_t *item)
{
    request_t *request = item->request;
    link_command_t command;
    link_message_t message;

    switch (item->kind) {
    case LINK_COMMANDS:
    case LINK_QUERIES:
    case LINK_QUERIES_ANY:
        command = (link_command_t){.partition = request->partition,
                                   .deadline_us = request->deadline_us,
                                   .bytes = request->command,
                                   .n = request->command_bytes};
        command.id = pending_add(self->pending, request, item->kind != LINK_COMMANDS, self->batch);
        item->request = NULL;
        link_command_put(&self->body, &command);
        break;
    case LINK_RESULTS:
        link_result_put(&self->body, item->id, &request->err, request->result.bytes,
                        request->result.size, &request->place);
        break;
    default:
        INVARIANT(item->kind == LINK_MESSAGES);
        message = (link_message_t){item->partition, item->bytes, item->n};
        link_message_put(&self->body, &message);
        break;
    }
    item_free(item, self->counters);
}

/* A command may have been carried out; a question changes nothing, so its asker may simply ask again. */
static void fail_sent(lane_t *self, const pending_slot_t *slot, errcode_t query_code,
                      const char *why)
{
    err_t err;

    (void)err_set(&err, slot->query ? query_code : ERR_UNKNOWN_OUTCOME, "the node at %s %s",
                  name_of(self), why);
    finish(self, slot->request, &err);
}

static void finish(lane_t *self, request_t *request, const err_t *err)
{
    request_complete(request, NULL, 0, err);
    request_release(request);
    (void)atomic_fetch_sub(&self->outstanding, 1);
}

static item_t *list_take(item_list_t *list)
{
    item_t *item = list->first;

    if (item != NULL)
        list->first = (item_t *)item->entry.next;
    return item;
}

/* On a shared log a lane may have lost its peer, address and all. */
static const char *name_of(const lane_t *self)
{
    return self->address[0] != '\0' ? self->address : "(no member any more)";
}
