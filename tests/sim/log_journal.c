/* log_journal.c - a node's client of the simulated log: a maker of storage/journal.h */
#include "tests/sim/log_state.h"

#include <stdlib.h>
#include <string.h>

static const journal_ops_t ops;

journal_t *log_journal_new(log_shared_t *log, size_t number, store_t *store)
{
    journal_t *journal = memory_alloc(sizeof *journal);
    log_journal_t *self = memory_zalloc(sizeof *self);
    log_node_t *node = &log->nodes[number];

    INVARIANT(node->journal == NULL);
    self->log = log;
    self->store = store;
    self->node = number;
    self->process = ++log->ids;
    node->journal = self;
    node->process = self->process;
    node->flying = 0;
    /* The order that one producer keeps is not that of the one before it. */
    memset(node->last_land_us, 0, sizeof node->last_land_us);
    journal->ops = &ops;
    journal->state = self;
    return journal;
}

static void simulated_destroy(void *state)
{
    log_journal_t *self = state;
    log_node_t *node = &self->log->nodes[self->node];

    INVARIANT(node->journal == self);
    node->journal = NULL;
    node->held_count = 0; /* it never left the process */
    free(self);
}

/* ---- appending ---- */

static errcode_t send(log_journal_t *self, uint16_t topic, uint64_t epoch, uint64_t seq,
                      const void *head, size_t head_bytes, const void *rest, size_t rest_bytes,
                      err_t *err)
{
    log_shared_t *log = self->log;
    log_node_t *node = &log->nodes[self->node];
    size_t n = head_bytes + rest_bytes;

    if (node->flying >= LOG_FLIGHTS_MAX || dice_chance(&log->dice, log->faults.full_ppm))
        return err_set(err, ERR_OVERLOADED, "the log's queue is full");
    uint8_t *bytes = log_keep(log, NULL, 0);
    bytes = memory_realloc(bytes, n > 0 ? n : 1);
    log->kept[log->kept_count - 1] = bytes;
    memcpy(bytes, head, head_bytes);
    if (rest_bytes > 0)
        memcpy(bytes + head_bytes, rest, rest_bytes);
    append_t flight = {.topic = topic,
                       .node = (uint8_t)self->node,
                       .process = self->process,
                       .bytes = bytes,
                       .n = n,
                       .epoch = epoch,
                       .seq = seq};
    node->flying++;
    if (node->cut || node->paused)
        log_hold(log, flight);
    else
        log_send(log, &flight);
    return ERR_NONE;
}

static uint64_t le64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static errcode_t simulated_append(void *state, uint16_t partition, const void *header,
                                  const void *body, size_t body_bytes, err_t *err)
{
    const uint8_t *bytes = header;

    INVARIANT(bytes[4] == (uint8_t)partition);
    INVARIANT(bytes[5] == (uint8_t)(partition >> 8));
    return send(state, partition, le64(bytes + 24), le64(bytes + 48), header, RECORD_HEADER_BYTES,
                body, body_bytes, err);
}

static errcode_t simulated_publish(void *state, uint16_t channel, uint64_t mark, const void *bytes,
                                   size_t n, err_t *err)
{
    INVARIANT(channel == JOURNAL_CONTROL || channel == JOURNAL_LIVENESS);
    return send(state, channel, mark, 0, bytes, n, NULL, 0, err);
}

static bool simulated_report(void *state, journal_report_t *out)
{
    log_journal_t *self = state;
    log_node_t *node = &self->log->nodes[self->node];

    if (self->report_head == self->report_tail || node->cut)
        return false;
    *out = self->reports[self->report_head++ % LOG_REPORTS_MAX];
    INVARIANT(node->flying > 0);
    node->flying--;
    return true;
}

/* ---- reading ---- */

static errcode_t simulated_follow(void *state, uint16_t partition, uint64_t offset, err_t *err)
{
    log_journal_t *self = state;
    size_t number = log_topic(self->log, partition);
    reader_t *reader = &self->readers[number];
    int64_t floor_us = reader->ready_us;

    (void)err;
    *reader = (reader_t){.follows = true, .offset = offset, .ready_us = floor_us};
    if (offset == UINT64_MAX)
        reader->offset = self->log->topics[number].end;
    return ERR_NONE;
}

static void simulated_unfollow(void *state, uint16_t partition)
{
    log_journal_t *self = state;
    self->readers[log_topic(self->log, partition)].follows = false;
}

/* When this reader has something; INT64_MAX: not before something lands. */
static int64_t reader_ready_us(log_journal_t *self, size_t number)
{
    log_shared_t *log = self->log;
    reader_t *reader = &self->readers[number];
    const topic_t *topic = &log->topics[number];

    if (!reader->follows || log->nodes[self->node].cut)
        return INT64_MAX;
    if (reader->offset > topic->end) {
        /* Its place is not there. It learns so by and by, if the log does not grow over it first. */
        if (reader->notice_us == 0)
            reader->notice_us = log->now_us + dice_span(&log->dice, 1000, 2000000);
        return reader->notice_us;
    }
    reader->notice_us = 0;
    size_t at = log_find(topic, reader->offset);
    if (at == topic->count)
        return INT64_MAX;
    const landed_t *landed = &topic->entries[at];
    if (!reader->ready_known || reader->ready_id != landed->id) {
        int64_t ready_us =
            landed->entry.landed_us + dice_span(&log->dice, 0, log->faults.read_max_us);
        reader->ready_us = ready_us > reader->ready_us ? ready_us : reader->ready_us;
        reader->ready_known = true;
        reader->ready_id = landed->id;
    }
    return reader->ready_us;
}

static void break_off(reader_t *reader, bool lost, const char *why, journal_record_t *out)
{
    reader->follows = false;
    out->lost = lost;
    out->why = why;
}

static bool take(log_journal_t *self, size_t number, journal_record_t *out)
{
    log_shared_t *log = self->log;
    reader_t *reader = &self->readers[number];
    const topic_t *topic = &log->topics[number];

    if (reader_ready_us(self, number) > log->now_us)
        return false;
    *out = (journal_record_t){.partition = log_topic_number(log, number)};
    if (reader->offset > topic->end) {
        break_off(reader, true, "the log ends before this offset", out);
        return true;
    }
    if (dice_chance(&log->dice, log->faults.break_ppm)) {
        break_off(reader, false, "the connection broke", out);
        return true;
    }
    const log_entry_t *entry = &topic->entries[log_find(topic, reader->offset)].entry;
    out->bytes = entry->bytes;
    out->n = entry->n;
    out->offset = entry->offset;
    out->log_time_us = entry->log_time_us;
    if (number <= log->partitions && entry->n > 0 &&
        dice_chance(&log->dice, log->faults.blink_ppm)) {
        uint8_t *copy = log_keep(log, entry->bytes, entry->n);
        copy[dice_below(&log->dice, entry->n)] ^= (uint8_t)(1u << dice_below(&log->dice, 8));
        out->bytes = copy;
    }
    reader->offset = entry->offset + 1;
    if (log->topics[number].read_end < reader->offset)
        log->topics[number].read_end = reader->offset;
    reader->ready_known = false;
    return true;
}

static bool simulated_next(void *state, journal_record_t *out)
{
    log_journal_t *self = state;
    size_t topics = (size_t)self->log->partitions + 3;

    for (size_t i = 0; i < topics; i++) {
        size_t number = (self->turn + i) % topics;
        if (!take(self, number, out))
            continue;
        /* Some more of the same log, or another one: nothing holds between partitions. */
        self->turn = dice_below(&self->log->dice, 4) == 0 ? number + 1 : number;
        return true;
    }
    return false;
}

static errcode_t simulated_read(void *state, uint16_t partition, uint64_t offset, buffer_t *out,
                                bool *found, err_t *err)
{
    log_journal_t *self = state;
    const topic_t *topic = &self->log->topics[log_topic(self->log, partition)];

    *found = false;
    if (self->log->nodes[self->node].cut)
        return err_set(err, ERR_UNREACHABLE, "the log does not answer");
    size_t at = log_find(topic, offset);
    if (at == topic->count || topic->entries[at].entry.offset != offset)
        return ERR_NONE;
    *found = true;
    buffer_append(out, topic->entries[at].entry.bytes, topic->entries[at].entry.n);
    return ERR_NONE;
}

static uint64_t simulated_behind(void *state, uint16_t partition)
{
    log_journal_t *self = state;
    size_t number = log_topic(self->log, partition);
    const topic_t *topic = &self->log->topics[number];

    if (!self->readers[number].follows || self->log->nodes[self->node].cut)
        return UINT64_MAX;
    return topic->count - log_find(topic, self->readers[number].offset);
}

int64_t log_journal_next_us(journal_t *journal)
{
    log_journal_t *self = journal->state;
    int64_t next_us = INT64_MAX;

    if (self->log->nodes[self->node].cut)
        return next_us;
    if (self->report_head != self->report_tail)
        return self->log->now_us;
    for (size_t i = 0; i < (size_t)self->log->partitions + 3; i++) {
        int64_t at_us = reader_ready_us(self, i);
        if (at_us < next_us)
            next_us = at_us;
    }
    return next_us;
}

/* ---- the store ---- */

static errcode_t simulated_commit(void *state, const buffer_t *effects, err_t *err)
{
    log_journal_t *self = state;
    batch_part_t part = {effects->bytes, effects->size};

    return effects->size == 0 ? ERR_NONE : store_write(self->store, &part, 1, false, err);
}

static errcode_t simulated_position(void *state, uint16_t partition, position_t *out, bool *found,
                                    err_t *err)
{
    log_journal_t *self = state;
    return journal_stored_position(self->store, partition, out, found, err);
}

static const journal_ops_t ops = {
    .append = simulated_append,
    .next = simulated_next,
    .commit = simulated_commit,
    .position = simulated_position,
    .read = simulated_read,
    .destroy = simulated_destroy,
    .follow = simulated_follow,
    .unfollow = simulated_unfollow,
    .report = simulated_report,
    .publish = simulated_publish,
    .behind = simulated_behind,
};
