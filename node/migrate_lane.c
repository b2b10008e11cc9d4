/* migrate_lane.c - one writer of one partition, which trusts only what it has read back */
#include "node/migrate_lane.h"

#include "actors/section.h"

#include <inttypes.h>
#include <stdio.h>

#define AGAIN_US   INT64_C(200000)
#define SILENCE_US INT64_C(60000000)
#define DOUBTS_MAX 100
#define AT_ONCE    4
#define ROW_HEAD   16 /* at least what a write takes besides key and value */

static void doubt(lane_t *self, const char *why)
{
    (void)snprintf(self->doubt, sizeof self->doubt, "%s", why);
    self->doubts++;
    self->again_at_us = clock_boot_us(self->config->clock) + AGAIN_US;
    self->stage = LANE_PAUSED;
    journal_unfollow(self->config->journal, self->number);
}

static bool own(const lane_t *self, const record_header_t *header)
{
    return hash_equal(&header->incarnation, &self->incarnation);
}

errcode_t lane_foreign(uint16_t number, uint64_t offset, const char *why, err_t *err)
{
    return err_set(err, ERR_STATE,
                   "partition %u of the log holds at offset %" PRIu64
                   " a record that is not of this migration (%s): it needs topics of its own, say "
                   "another --kafka-prefix",
                   number, offset, why);
}

bool lane_same_record(const position_t *at, const journal_record_t *record)
{
    record_header_t header;
    record_reason_t reason;
    const uint8_t *body;

    /* Not the seq: that of a claim may be older than what it was accepted behind. */
    return record->bytes != NULL && record->offset == at->offset &&
           record_decode(record->bytes, record->n, &header, &body, &reason) == VERDICT_ACCEPT &&
           header.epoch == at->epoch && header.crc == at->crc &&
           hash_equal(&header.history, &at->history);
}

/* ---- life ---- */

void lane_open(lane_t *self, const migrate_config_t *config, migrate_cursors_t *cursors,
               uint16_t number, const hash_t *incarnation)
{
    memset(self, 0, sizeof *self);
    self->config = config;
    self->cursors = cursors;
    self->number = number;
    self->part = &config->plan->parts[number];
    self->history = config->plan->histories[number];
    self->incarnation = *incarnation;
    self->stage = LANE_PAUSED;
    self->heard_at_us = clock_boot_us(config->clock);
    buffer_init(&self->body, RECORD_BYTES_MAX);
    buffer_init(&self->scratch, BATCH_VALUE_BYTES_MAX + 1024);
}

static void close_rows(lane_t *self)
{
    if (self->rows_open)
        migrate_rows_close(&self->rows);
    self->rows_open = self->rows_ended = self->row_waits = false;
    buffer_reset(&self->body);
}

void lane_close(lane_t *self)
{
    close_rows(self);
    journal_unfollow(self->config->journal, self->number);
    buffer_free(&self->body);
    buffer_free(&self->scratch);
}

/* ---- reading ---- */

static void take_row(lane_t *self, migrate_total_t *total, const row_write_t *row)
{
    hash_t hash = verify_row_hash(row, &self->scratch);

    total->rows++;
    total->bytes += row->key_bytes + row->value_bytes;
    verify_sum_add(&total->sum, &hash);
    verify_digest_row(&total->digest, row, &hash, self->number == self->config->source->partitions);
}

static errcode_t take_body(lane_t *self, const journal_record_t *record, const uint8_t *body,
                           size_t n, err_t *err)
{
    size_t at = 0;
    bool corrupt = false;
    section_t section;

    while (section_next(body, n, &at, &section, &corrupt)) {
        size_t within = 0;
        row_write_t row;

        while (batch_next(section.writes, section.writes_bytes, &within, &row, &corrupt)) {
            if (row.is_delete)
                return lane_foreign(self->number, record->offset, "it deletes a row", err);
            take_row(self, &self->taken, &row);
        }
        if (corrupt || section.command_bytes > 0)
            return lane_foreign(self->number, record->offset, "it holds a command", err);
    }
    return corrupt ? lane_foreign(self->number, record->offset, "it cannot be read", err)
                   : ERR_NONE;
}

static void confirm(lane_t *self, const position_t *at, const migrate_total_t *total)
{
    self->part->begun = true;
    self->part->at = *at;
    self->part->copied = *total;
    self->doubts = 0;
}

static void confirm_flight(lane_t *self)
{
    while (self->count > 0) {
        lane_flight_t *oldest = &self->flight[self->first];

        if (!oldest->accepted || !oldest->delivered)
            return;
        confirm(self, &oldest->after, &oldest->total);
        self->first = (self->first + 1) % MIGRATE_FLIGHT_MAX;
        self->count--;
    }
}

static lane_flight_t *flying(lane_t *self, uint64_t seq)
{
    for (size_t i = 0; i < self->count; i++) {
        lane_flight_t *flight = &self->flight[(self->first + i) % MIGRATE_FLIGHT_MAX];

        if (flight->seq == seq)
            return flight;
    }
    return NULL;
}

static errcode_t accepted(lane_t *self, const journal_record_t *record,
                          const record_header_t *header, const uint8_t *body, err_t *err)
{
    bool mine = own(self, header) && header->epoch == self->decided.epoch;
    errcode_t rc = ERR_NONE;

    self->read.offset = record->offset;
    self->found = true;
    switch (header->kind) {
    case RECORD_CLAIM:
        if (self->stage == LANE_CLAIMING && mine)
            self->read_own = true;
        else if (self->stage > LANE_READING)
            doubt(self, "another process has claimed the partition");
        break;
    case RECORD_DECISIONS:
        rc = take_body(self, record, body, header->body_bytes, err);
        if (rc == ERR_NONE && self->stage == LANE_COPYING && mine) {
            lane_flight_t *flight = flying(self, header->seq);

            INVARIANT(flight != NULL);
            flight->accepted = true;
            flight->after = self->read;
            flight->total = self->taken;
            confirm_flight(self);
        }
        break;
    case RECORD_RELEASE:
        if (self->stage == LANE_RELEASING && mine)
            self->read_own = true;
        break;
    default: return lane_foreign(self->number, record->offset, "it sets the time", err);
    }
    return rc;
}

static errcode_t ignored(lane_t *self, const record_header_t *header, record_reason_t reason,
                         err_t *err)
{
    if (!own(self, header) || header->epoch != self->decided.epoch || self->stage <= LANE_READING)
        return ERR_NONE; /* of an earlier attempt, or of an earlier run */
    if (reason == REASON_CLOCK)
        return err_set(err, ERR_STATE,
                       "this machine's clock, or the newest record of the source, is more than a "
                       "minute ahead of Kafka's: set the clocks, then run it again");
    if (reason != REASON_DUPLICATE && !(header->kind == RECORD_CLAIM && self->read_own))
        doubt(self, "the log did not accept a record");
    return ERR_NONE;
}

static errcode_t broken(lane_t *self, const journal_record_t *record, err_t *err)
{
    if (!record->lost) {
        doubt(self, record->why != NULL ? record->why : "reading broke off");
        return ERR_NONE;
    }
    if (self->part->begun)
        return err_set(err, ERR_STATE,
                       "partition %u of the log does not hold what this migration has written any "
                       "more (%.80s): use topics of another --kafka-prefix",
                       self->number, record->why != NULL ? record->why : "");
    return err_set(err, ERR_STATE,
                   "partition %u of the log does not reach back to its beginning: a migration "
                   "needs new topics, say another --kafka-prefix",
                   self->number);
}

errcode_t lane_on_record(lane_t *self, const journal_record_t *record, err_t *err)
{
    record_header_t header;
    record_reason_t reason = REASON_NONE;
    const uint8_t *body = NULL;

    if (self->stage == LANE_PAUSED || self->stage == LANE_DONE)
        return ERR_NONE;
    if (record->bytes == NULL)
        return broken(self, record, err);
    self->heard_at_us = clock_boot_us(self->config->clock);
    if (self->checking) {
        self->checking = false;
        if (lane_same_record(&self->read, record))
            return ERR_NONE;
        return err_set(err, ERR_STATE,
                       "partition %u of the log holds another record at offset %" PRIu64
                       " than this migration has read there: it was cut, or made anew; use topics "
                       "of another --kafka-prefix",
                       self->number, self->read.offset);
    }
    if (record_decode(record->bytes, record->n, &header, &body, &reason) != VERDICT_ACCEPT)
        return lane_foreign(self->number, record->offset, record_reason_name(reason), err);
    if (!hash_equal(&header.history, &self->history) || header.partition != self->number)
        return lane_foreign(self->number, record->offset, "it has another history", err);
    switch (record_judge(&self->read, &header, record->bytes, record->n, record->log_time_us,
                         &reason)) {
    case VERDICT_ACCEPT: return accepted(self, record, &header, body, err);
    case VERDICT_IGNORE: return ignored(self, &header, reason, err);
    default:
        return err_set(err, ERR_STATE,
                       "partition %u of the log is damaged at offset %" PRIu64 ": %s", self->number,
                       record->offset, record_reason_name(reason));
    }
}

errcode_t lane_on_report(lane_t *self, const journal_report_t *report, err_t *err)
{
    lane_flight_t *flight;

    (void)err;
    INVARIANT(self->outstanding > 0);
    self->outstanding--;
    self->heard_at_us = clock_boot_us(self->config->clock);
    if (self->stage <= LANE_READING || report->epoch != self->decided.epoch)
        return ERR_NONE;
    if (!report->delivered) {
        doubt(self, "Kafka did not confirm a record");
        return ERR_NONE;
    }
    if (self->stage != LANE_COPYING) { /* then nothing else is on its way */
        self->delivered_own = true;
        return ERR_NONE;
    }
    flight = flying(self, report->seq);
    if (flight != NULL)
        flight->delivered = true;
    confirm_flight(self);
    return ERR_NONE;
}

/* ---- writing ---- */

static int64_t time_of(const lane_t *self)
{
    int64_t at_us = clock_wall_us(self->config->clock);

    if (at_us < self->decided.now_us)
        at_us = self->decided.now_us;
    /* The new log goes on where the old one stood: its time never goes back. */
    return at_us < self->part->source.now_us ? self->part->source.now_us : at_us;
}

/* Appends one record and moves `decided` on; ERR_OVERLOADED: nothing has happened. */
static errcode_t append(lane_t *self, record_header_t *header, const void *body, size_t n,
                        err_t *err)
{
    position_t after = self->decided;
    record_reason_t reason;
    uint8_t room[RECORD_HEADER_BYTES];
    errcode_t rc;

    header->partition = self->number;
    header->history = self->history;
    header->incarnation = self->incarnation;
    header->seen = self->read.seq;
    header->chain = self->decided.chain;
    header->body_bytes = (uint32_t)n;
    record_encode_header(header, body, room);
    /* The running hash needs the record in one piece. */
    buffer_reset(&self->scratch);
    buffer_append(&self->scratch, room, sizeof room);
    buffer_append(&self->scratch, body, n);
    INVARIANT(!self->scratch.failed);
    INVARIANT(record_judge(&after, header, self->scratch.bytes, self->scratch.size, header->at_us,
                           &reason) == VERDICT_ACCEPT);
    rc = journal_append(self->config->journal, self->number, room, body, n, err);
    if (rc != ERR_NONE)
        return rc;
    self->outstanding++;
    self->decided = after;
    return ERR_NONE;
}

static errcode_t follow(lane_t *self)
{
    err_t why = {0};

    close_rows(self);
    self->first = self->count = 0;
    self->found = self->part->begun;
    self->read = self->part->begun ? self->part->at : (position_t){.history = self->history};
    self->taken = self->part->copied;
    self->checking = self->found;
    if (journal_follow(self->config->journal, self->number, self->found ? self->read.offset : 0,
                       &why) != ERR_NONE) {
        doubt(self, why.text);
        return ERR_NONE;
    }
    self->stage = LANE_READING;
    self->heard_at_us = clock_boot_us(self->config->clock);
    return ERR_NONE;
}

static errcode_t claim(lane_t *self, err_t *err)
{
    uint64_t previous = self->read.epoch;
    uint8_t body[8];
    record_header_t header = {.kind = RECORD_CLAIM,
                              .epoch = previous + 1,
                              .seq = self->read.seq,
                              .at_us = clock_wall_us(self->config->clock)};
    errcode_t rc;

    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(previous >> (8 * i));
    self->decided = self->read;
    rc = append(self, &header, body, sizeof body, err);
    if (rc != ERR_NONE)
        return rc;
    self->read_own = self->delivered_own = false;
    self->stage = LANE_CLAIMING;
    return ERR_NONE;
}

/* What the log holds already must be the first rows of the source. */
static errcode_t skip_copied(lane_t *self, err_t *err)
{
    migrate_total_t skipped = {0};
    row_write_t row;
    bool found = true;
    errcode_t rc = ERR_NONE;

    migrate_rows_open(&self->rows, self->config->source, self->cursors, self->number,
                      self->config->plan->histories, true);
    self->rows_open = true;
    while (rc == ERR_NONE && found && skipped.rows < self->taken.rows) {
        rc = migrate_rows_next(&self->rows, &row, &found, err);
        if (rc == ERR_NONE && found)
            take_row(self, &skipped, &row);
    }
    if (rc == ERR_NONE && !migrate_total_equal(&skipped, &self->taken))
        rc = err_set(err, ERR_CORRUPT,
                     "partition %u of the log does not begin with the rows of this directory: use "
                     "topics of another --kafka-prefix",
                     self->number);
    return rc;
}

/* An own claim that is read back and delivered has everything before it on all replicas of the log. */
static errcode_t begin_copying(lane_t *self, err_t *err)
{
    unsigned doubts = self->doubts;

    confirm(self, &self->read, &self->taken);
    self->doubts = doubts; /* a claim alone gets nobody further */
    self->decided = self->read;
    self->stage = LANE_COPYING;
    errcode_t rc = skip_copied(self, err);
    self->heard_at_us = clock_boot_us(self->config->clock);
    return rc;
}

/* Fills the body of the next record; leaves it empty at the end of all rows. */
static errcode_t gather(lane_t *self, err_t *err)
{
    size_t at = section_begin(&self->body, SECTION_DECISION, "", 0);
    size_t empty = self->body.size;
    errcode_t rc = ERR_NONE;

    while (rc == ERR_NONE) {
        if (!self->row_waits) {
            rc = migrate_rows_next(&self->rows, &self->row, &self->row_waits, err);
            if (rc != ERR_NONE)
                break;
            self->rows_ended = !self->row_waits;
            if (self->rows_ended)
                break;
        }
        size_t n = self->row.key_bytes + self->row.value_bytes + ROW_HEAD;
        if (self->body.size > empty &&
            RECORD_HEADER_BYTES + self->body.size + n > MIGRATE_RECORD_BYTES)
            break;
        if (RECORD_HEADER_BYTES + self->body.size + n > RECORD_BYTES_MAX)
            rc = err_set(err, ERR_TOO_LARGE,
                         "a row of partition %u has %zu bytes: a record cannot hold it",
                         self->number, self->row.value_bytes);
        else
            batch_put(&self->body, self->row.family, self->row.key, self->row.key_bytes,
                      self->row.value, self->row.value_bytes);
        self->row_waits = false;
    }
    if (rc == ERR_NONE && self->body.size > empty)
        section_end(&self->body, at);
    else
        buffer_reset(&self->body);
    return rc;
}

static errcode_t copy(lane_t *self, err_t *err)
{
    /* A few at a time: meanwhile what came back piles up, and librdkafka pauses a partition whose queue is full. */
    for (size_t i = 0; i < AT_ONCE && self->count < MIGRATE_FLIGHT_MAX; i++) {
        record_header_t header = {.kind = RECORD_DECISIONS};
        errcode_t rc = ERR_NONE;

        if (self->body.size == 0 && !self->rows_ended)
            rc = gather(self, err);
        if (rc != ERR_NONE || self->body.size == 0)
            return rc;
        header.epoch = self->decided.epoch;
        header.seq = self->decided.seq + 1;
        header.at_us = time_of(self);
        rc = append(self, &header, self->body.bytes, self->body.size, err);
        if (rc != ERR_NONE)
            return rc;
        self->flight[(self->first + self->count) % MIGRATE_FLIGHT_MAX] =
            (lane_flight_t){.seq = header.seq};
        self->count++;
        buffer_reset(&self->body);
    }
    return ERR_NONE;
}

static errcode_t release(lane_t *self, err_t *err)
{
    record_header_t header = {.kind = RECORD_RELEASE,
                              .epoch = self->decided.epoch,
                              .seq = self->decided.seq,
                              .at_us = time_of(self)};
    errcode_t rc;

    if (!migrate_total_equal(&self->part->copied, &self->part->whole))
        return err_set(err, ERR_CORRUPT,
                       "partition %u: the log holds %" PRIu64 " rows of %" PRId64
                       " points, the directory %" PRIu64 " of %" PRId64
                       ", or their digests differ: use topics of another --kafka-prefix",
                       self->number, self->part->copied.rows, self->part->copied.digest.points,
                       self->part->whole.rows, self->part->whole.digest.points);
    rc = append(self, &header, "", 0, err);
    if (rc != ERR_NONE)
        return rc;
    self->read_own = self->delivered_own = false;
    self->stage = LANE_RELEASING;
    return ERR_NONE;
}

static errcode_t next_step(lane_t *self, err_t *err)
{
    bool through = self->read_own && self->delivered_own;
    errcode_t rc;

    switch (self->stage) {
    case LANE_PAUSED:
        if (self->outstanding == 0 && clock_boot_us(self->config->clock) >= self->again_at_us)
            return follow(self);
        return ERR_NONE;
    case LANE_READING:
        if (!self->checking && journal_behind(self->config->journal, self->number) == 0)
            return claim(self, err);
        return ERR_NONE;
    case LANE_CLAIMING: return through ? begin_copying(self, err) : ERR_NONE;
    case LANE_COPYING:
        rc = copy(self, err);
        return rc == ERR_NONE && self->rows_ended && self->count == 0 ? release(self, err) : rc;
    case LANE_RELEASING:
        if (through) {
            confirm(self, &self->read, &self->taken);
            self->part->done = true;
            self->stage = LANE_DONE;
        }
        return ERR_NONE;
    case LANE_DONE:
    default: return ERR_NONE;
    }
}

errcode_t lane_write(lane_t *self, err_t *err)
{
    err_t why = {0};
    errcode_t rc = next_step(self, &why);

    if (rc == ERR_OVERLOADED)
        rc = ERR_NONE; /* the queue is full: the next call tries again */
    if (rc == ERR_NONE && self->doubts > DOUBTS_MAX)
        rc = err_set(&why, ERR_UNREACHABLE, "partition %u gets no further: %.120s", self->number,
                     self->doubt);
    if (rc == ERR_NONE && self->stage != LANE_DONE &&
        clock_boot_us(self->config->clock) - self->heard_at_us > SILENCE_US)
        rc = err_set(&why, ERR_UNREACHABLE, "Kafka has not answered for a minute%s%.120s",
                     self->doubt[0] != '\0' ? ": " : "", self->doubt);
    if (rc != ERR_NONE && err != NULL)
        *err = why;
    return rc;
}
