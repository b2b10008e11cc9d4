/* log_shared.c - the broker of the simulated log: what was appended lands, is reported, and may be forgotten */
#include "tests/sim/log_state.h"

#include <stdlib.h>
#include <string.h>

#define HELD_LANDS_PPM   125000 /* what was given up and lands all the same */
#define GIVE_UP_PPM      500000
#define LAGGARD_PPM      500000 /* of a paused process: had not left it yet */
#define TORN_BYTES_LEAST 1

static void land(log_shared_t *self, const append_t *flight, bool again);

/* ---- events ---- */

static bool earlier(const event_t *a, const event_t *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void push(log_shared_t *self, event_t event)
{
    if (self->event_count == self->event_capacity) {
        self->event_capacity = self->event_capacity > 0 ? self->event_capacity * 2 : 64;
        self->events = memory_realloc(self->events, self->event_capacity * sizeof *self->events);
    }
    event.order = ++self->order;
    size_t i = self->event_count++;
    while (i > 0 && earlier(&event, &self->events[(i - 1) / 2])) {
        self->events[i] = self->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    self->events[i] = event;
}

static event_t pop(log_shared_t *self)
{
    event_t top = self->events[0], last = self->events[--self->event_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= self->event_count)
            break;
        if (child + 1 < self->event_count &&
            earlier(&self->events[child + 1], &self->events[child]))
            child++;
        if (!earlier(&self->events[child], &last))
            break;
        self->events[i] = self->events[child];
        i = child;
    }
    if (self->event_count > 0)
        self->events[i] = last;
    return top;
}

/* ---- topics ---- */

size_t log_topic(const log_shared_t *self, uint16_t number)
{
    if (number == JOURNAL_CONTROL)
        return (size_t)self->partitions + 1;
    if (number == JOURNAL_LIVENESS)
        return (size_t)self->partitions + 2;
    INVARIANT(number <= self->partitions);
    return number;
}

uint16_t log_topic_number(const log_shared_t *self, size_t topic)
{
    if (topic == (size_t)self->partitions + 1)
        return JOURNAL_CONTROL;
    return topic == (size_t)self->partitions + 2 ? JOURNAL_LIVENESS : (uint16_t)topic;
}

uint8_t *log_keep(log_shared_t *self, const void *bytes, size_t n)
{
    if (self->kept_count == self->kept_capacity) {
        self->kept_capacity = self->kept_capacity > 0 ? self->kept_capacity * 2 : 256;
        self->kept = memory_realloc(self->kept, self->kept_capacity * sizeof *self->kept);
    }
    uint8_t *copy = memory_alloc(n > 0 ? n : 1);
    if (n > 0)
        memcpy(copy, bytes, n);
    self->kept[self->kept_count++] = copy;
    return copy;
}

size_t log_find(const topic_t *topic, uint64_t offset)
{
    size_t least = 0, most = topic->count;

    while (least < most) {
        size_t middle = least + (most - least) / 2;
        if (topic->entries[middle].entry.offset < offset)
            least = middle + 1;
        else
            most = middle;
    }
    return least;
}

static const landed_t *put_entry(log_shared_t *self, size_t number, const uint8_t *bytes, size_t n)
{
    topic_t *topic = &self->topics[number];

    if (topic->count == topic->capacity) {
        topic->capacity = topic->capacity > 0 ? topic->capacity * 2 : 64;
        topic->entries = memory_realloc(topic->entries, topic->capacity * sizeof *topic->entries);
    }
    landed_t *landed = &topic->entries[topic->count++];
    *landed = (landed_t){.entry = {.bytes = bytes,
                                   .n = n,
                                   .offset = topic->end++,
                                   .landed_us = self->now_us,
                                   .log_time_us = self->now_us + self->clock_off_us},
                         .id = ++self->ids};
    return landed;
}

/* ---- the way of an append ---- */

void log_hold(log_shared_t *self, append_t flight)
{
    log_node_t *node = &self->nodes[flight.node];

    if (node->held_count == node->held_capacity) {
        node->held_capacity = node->held_capacity > 0 ? node->held_capacity * 2 : 16;
        node->held = memory_realloc(node->held, node->held_capacity * sizeof *node->held);
    }
    flight.give_up_us = 0;
    if (node->cut && dice_chance(&self->dice, GIVE_UP_PPM))
        flight.give_up_us = self->now_us + LOG_GIVE_UP_US;
    node->held[node->held_count++] = flight;
}

void log_send(log_shared_t *self, const append_t *flight)
{
    const log_faults_t *faults = &self->faults;
    log_node_t *node = &self->nodes[flight->node];
    int64_t *last_us = &node->last_land_us[log_topic(self, flight->topic)];
    int64_t delay_us = dice_span(&self->dice, faults->append_min_us, faults->append_max_us);

    if (dice_chance(&self->dice, faults->slow_ppm))
        delay_us += dice_span(&self->dice, 0, faults->slow_max_us);
    event_t event = {.at_us = self->now_us + delay_us, .kind = EVENT_LAND, .flight = *flight};
    if (dice_chance(&self->dice, faults->lost_ppm)) {
        event.kind = EVENT_REPORT;
        push(self, event);
        return;
    }
    if (!dice_chance(&self->dice, faults->overtake_ppm)) {
        if (event.at_us < *last_us)
            event.at_us = *last_us;
        *last_us = event.at_us;
    }
    push(self, event);
}

void log_tell(log_shared_t *self, const append_t *flight, bool delivered, uint64_t offset)
{
    log_node_t *node = &self->nodes[flight->node];
    log_journal_t *journal = node->journal;

    if (journal == NULL || journal->process != flight->process)
        return;
    INVARIANT(journal->report_tail - journal->report_head < LOG_REPORTS_MAX);
    journal->reports[journal->report_tail++ % LOG_REPORTS_MAX] =
        (journal_report_t){.partition = flight->topic,
                           .epoch = flight->epoch,
                           .seq = flight->seq,
                           .delivered = delivered,
                           .offset = delivered ? offset : UINT64_MAX};
}

static const uint8_t *spoil(log_shared_t *self, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = log_keep(self, bytes, n);
    if (n > 0)
        copy[dice_below(&self->dice, n)] ^= (uint8_t)(1u << dice_below(&self->dice, 8));
    return copy;
}

static void land(log_shared_t *self, const append_t *flight, bool again)
{
    const log_faults_t *faults = &self->faults;
    log_node_t *node = &self->nodes[flight->node];
    size_t topic = log_topic(self, flight->topic);
    const uint8_t *bytes = flight->bytes;

    /* A process that stands still may not have sent it yet. What lies in its sockets leaves without it. */
    if (!again && (node->paused || node->cut) && node->process == flight->process &&
        node->journal != NULL && dice_chance(&self->dice, LAGGARD_PPM)) {
        log_hold(self, *flight);
        return;
    }
    if (dice_chance(&self->dice, faults->gap_ppm))
        self->topics[topic].end += 1 + dice_below(&self->dice, 3);
    /* Records of the channels carry no sum of their own: there the log's own must do. */
    bool summed = topic <= self->partitions;
    if (summed && flight->n > TORN_BYTES_LEAST && dice_chance(&self->dice, faults->torn_ppm))
        put_entry(self, topic, bytes, TORN_BYTES_LEAST + dice_below(&self->dice, flight->n - 1));
    if (summed && dice_chance(&self->dice, faults->spoilt_ppm))
        bytes = spoil(self, bytes, flight->n);
    const landed_t *landed = put_entry(self, topic, bytes, flight->n);
    if (again)
        return;
    uint64_t offset = landed->entry.offset, id = landed->id;
    if (dice_chance(&self->dice, faults->double_ppm)) {
        if (dice_below(&self->dice, 2) == 0)
            put_entry(self, topic, bytes, flight->n);
        else
            push(self,
                 (event_t){.at_us = self->now_us + dice_span(&self->dice, 0, faults->slow_max_us),
                           .kind = EVENT_LAND_AGAIN,
                           .flight = *flight});
    }
    int64_t wait_us = dice_span(&self->dice, 0, faults->report_max_us);
    if (dice_chance(&self->dice, faults->late_ppm))
        wait_us += dice_span(&self->dice, 0, faults->slow_max_us);
    push(self, (event_t){.at_us = self->now_us + wait_us,
                         .kind = EVENT_REPORT,
                         .flight = *flight,
                         .delivered = !dice_chance(&self->dice, faults->doubt_ppm),
                         .entry_offset = offset,
                         .entry_id = id});
}

static void report(log_shared_t *self, event_t *event)
{
    log_node_t *node = &self->nodes[event->flight.node];
    topic_t *topic = &self->topics[log_topic(self, event->flight.topic)];

    if (event->entry_id != 0) {
        /* The record that it speaks of may be gone in the meantime. */
        size_t at = log_find(topic, event->entry_offset);
        if (at == topic->count || topic->entries[at].id != event->entry_id)
            event->delivered = false;
        else if (event->delivered)
            topic->entries[at].entry.delivered = true;
    }
    if (node->cut) {
        event->at_us = self->now_us + 1000; /* it gets through when the cut is over */
        push(self, *event);
        return;
    }
    log_tell(self, &event->flight, event->delivered,
             event->entry_id != 0 ? event->entry_offset : UINT64_MAX);
}

/* Of those that are held back: their producer's patience ends. */
static void give_up(log_shared_t *self, log_node_t *node)
{
    for (size_t i = 0; i < node->held_count; i++) {
        append_t *flight = &node->held[i];
        if (flight->give_up_us == 0 || flight->give_up_us > self->now_us)
            continue;
        log_tell(self, flight, false, UINT64_MAX);
        flight->give_up_us = 0;
        flight->process = 0; /* nobody is told of it any more */
        if (dice_chance(&self->dice, HELD_LANDS_PPM))
            continue;
        memmove(flight, flight + 1, (node->held_count - i - 1) * sizeof *flight);
        node->held_count--;
        i--;
    }
}

void log_shared_advance(log_shared_t *self, int64_t now_us)
{
    for (size_t i = 0; i < LOG_NODES_MAX; i++)
        if (self->nodes[i].held_count > 0) {
            self->now_us = now_us > self->now_us ? now_us : self->now_us;
            give_up(self, &self->nodes[i]);
        }
    while (self->event_count > 0 && self->events[0].at_us <= now_us) {
        event_t event = pop(self);
        if (event.at_us > self->now_us)
            self->now_us = event.at_us;
        if (event.kind == EVENT_REPORT)
            report(self, &event);
        else
            land(self, &event.flight, event.kind == EVENT_LAND_AGAIN);
    }
    if (now_us > self->now_us)
        self->now_us = now_us;
}

int64_t log_shared_next_us(log_shared_t *self)
{
    int64_t next_us = self->event_count > 0 ? self->events[0].at_us : INT64_MAX;

    for (size_t i = 0; i < LOG_NODES_MAX; i++)
        for (size_t k = 0; k < self->nodes[i].held_count; k++) {
            int64_t at_us = self->nodes[i].held[k].give_up_us;
            if (at_us != 0 && at_us < next_us)
                next_us = at_us;
        }
    return next_us;
}

/* ---- nodes ---- */

static void release_held(log_shared_t *self, log_node_t *node)
{
    if (node->cut || node->paused)
        return;
    for (size_t i = 0; i < node->held_count; i++)
        log_send(self, &node->held[i]);
    node->held_count = 0;
}

void log_node_cut(log_shared_t *self, size_t node, bool cut)
{
    self->nodes[node].cut = cut;
    release_held(self, &self->nodes[node]);
}

bool log_node_is_cut(const log_shared_t *self, size_t node)
{
    return self->nodes[node].cut;
}

void log_node_pause(log_shared_t *self, size_t node, bool paused)
{
    self->nodes[node].paused = paused;
    release_held(self, &self->nodes[node]);
}

/* ---- looking, forgetting ---- */

size_t log_shared_count(const log_shared_t *self, uint16_t topic)
{
    return self->topics[log_topic(self, topic)].count;
}

const log_entry_t *log_shared_entry(const log_shared_t *self, uint16_t topic, size_t i)
{
    return &self->topics[log_topic(self, topic)].entries[i].entry;
}

uint64_t log_shared_end(const log_shared_t *self, uint16_t topic)
{
    return self->topics[log_topic(self, topic)].end;
}

size_t log_shared_safe(const log_shared_t *self, uint16_t number)
{
    const topic_t *topic = &self->topics[log_topic(self, number)];
    size_t count = topic->count;

    while (count > 0 && !topic->entries[count - 1].entry.delivered)
        count--;
    return count;
}

void log_shared_intrude(log_shared_t *self, uint16_t number, const void *bytes, size_t n)
{
    (void)put_entry(self, log_topic(self, number), log_keep(self, bytes, n), n);
}

size_t log_shared_read(const log_shared_t *self, uint16_t number)
{
    const topic_t *topic = &self->topics[log_topic(self, number)];
    return log_find(topic, topic->read_end);
}

void log_shared_truncate(log_shared_t *self, uint16_t number, size_t count)
{
    topic_t *topic = &self->topics[log_topic(self, number)];

    if (count >= topic->count)
        return;
    topic->end = topic->entries[count].entry.offset;
    topic->count = count;
    if (topic->read_end > topic->end)
        topic->read_end = topic->end;
}

/* ---- life ---- */

log_faults_t *log_shared_faults(log_shared_t *self)
{
    return &self->faults;
}

void log_shared_set_clock(log_shared_t *self, int64_t off_us)
{
    self->clock_off_us = off_us;
}

log_shared_t *log_shared_new(uint64_t seed, uint16_t partitions)
{
    log_shared_t *self = memory_zalloc(sizeof *self);

    INVARIANT((size_t)partitions + 3 <= LOG_TOPICS_MAX);
    self->dice.state = seed;
    self->partitions = partitions;
    return self;
}

void log_shared_destroy(log_shared_t **self_p)
{
    log_shared_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < LOG_NODES_MAX; i++) {
        INVARIANT(self->nodes[i].journal == NULL);
        free(self->nodes[i].held);
    }
    for (size_t i = 0; i < LOG_TOPICS_MAX; i++)
        free(self->topics[i].entries);
    for (size_t i = 0; i < self->kept_count; i++)
        free(self->kept[i]);
    free(self->kept);
    free(self->events);
    free(self);
}
