/* scribe.h - for tests: a partition's log that is written by hand, and copies that read it
 *
 * Contract   A scribe_t writes to a paper_t and knows what every reader of it must make of it. A reader_t is a replica on a
 *            store of its own; reader_read() lets it read to the log's end and does what a node's thread would.
 * Threads    One.
 * Ownership  reader_free; the scribe's paper with paper_free.
 * Units      Microseconds.
 * Errors     The test fails.
 */
#ifndef FEALTY_SCRIBE_H
#define FEALTY_SCRIBE_H

#include "actors/message.h"
#include "actors/replica.h"
#include "tests/unit/paper_log.h"

#define HERE 0 /* the partition */

/* A log, and who writes it: what its readers should make of it is known. */
typedef struct {
    paper_t *paper;
    position_t at;
} scribe_t;

/* A reader of it on a store of its own. */
typedef struct {
    pen_t *pen;
    journal_t journal;
    store_t *store;
    catalogue_t *catalogue;
    row_cache_t *cache;
    skips_t *skips;
    replica_t *replica;
    int64_t now_us;
    frame_t sent[FRAME_ACK + 1]; /* see reader_send */
    unsigned sent_count[FRAME_ACK + 1];
} reader_t;

static inline uint32_t scribe_put(scribe_t *self, record_header_t *header, const void *body,
                                  size_t n, bool counts)
{
    uint8_t bytes[RECORD_HEADER_BYTES + 64];
    record_reason_t reason;

    cr_assert_leq(n, 64);
    header->body_bytes = (uint32_t)n;
    record_encode_header(header, body, bytes);
    memcpy(bytes + RECORD_HEADER_BYTES, body, n);
    if (counts) {
        self->at.offset = self->paper->count[HERE];
        cr_assert_eq(
            record_judge(&self->at, header, bytes, RECORD_HEADER_BYTES + n, PAPER_TIME_US, &reason),
            VERDICT_ACCEPT);
    }
    paper_write(self->paper, HERE, bytes, body, n);
    return header->crc;
}

static inline record_header_t scribe_header(const scribe_t *self, record_kind_t kind)
{
    return (record_header_t){.kind = (uint8_t)kind,
                             .partition = HERE,
                             .history = {{7}},
                             .epoch = self->at.epoch,
                             .incarnation = {{9}},
                             .seq = self->at.seq,
                             .seen = self->at.seq,
                             .at_us = PAPER_TIME_US,
                             .chain = self->at.chain};
}

static inline uint32_t scribe_claim(scribe_t *self, uint64_t previous, bool counts)
{
    record_header_t header = scribe_header(self, RECORD_CLAIM);
    uint8_t body[8] = {(uint8_t)previous};

    header.epoch = previous + 1;
    return scribe_put(self, &header, body, sizeof body, counts);
}

static inline uint32_t scribe_decide(scribe_t *self)
{
    record_header_t header = scribe_header(self, RECORD_DECISIONS);

    header.seq++;
    return scribe_put(self, &header, "", 0, true);
}

static inline scribe_t scribe_new(void)
{
    scribe_t self = {.paper = paper_new()};

    (void)scribe_claim(&self, 0, true);
    (void)scribe_decide(&self);
    (void)scribe_decide(&self);
    return self;
}

/* Frames that this copy sent, by kind: the newest. */
static inline void reader_send(void *state, uint16_t dst, const void *frame, size_t n)
{
    reader_t *self = state;
    frame_t decoded;

    (void)dst;
    cr_assert_eq(frame_decode(&decoded, frame, n, NULL), ERR_NONE);
    decoded.body = (text_t){NULL, 0};
    self->sent[decoded.kind] = decoded;
    self->sent_count[decoded.kind]++;
}

static inline reader_t *reader_new(const scribe_t *scribe)
{
    reader_t *self = memory_zalloc(sizeof *self);

    self->pen = memory_zalloc(sizeof *self->pen);
    self->pen->paper = scribe->paper;
    self->journal = (journal_t){.ops = &pen_ops, .state = self->pen};
    self->store = store_memory_new();
    self->catalogue = catalogue_new();
    self->cache = row_cache_new(16, 1 << 16);
    self->skips = skips_new();
    self->now_us = 1000000;
    const partition_config_t config = {.number = HERE,
                                       .partitions = LOGS - 1,
                                       .store = self->store,
                                       .catalogue = self->catalogue,
                                       .cache = self->cache,
                                       .incarnation = {{1}},
                                       .shared = true,
                                       .send = reader_send,
                                       .state = self};
    self->replica = replica_new(&config, &self->journal);
    replica_set_skips(self->replica, self->skips);
    return self;
}

static inline void reader_free(reader_t *self)
{
    replica_close(self->replica, self->now_us);
    replica_destroy(&self->replica);
    skips_destroy(&self->skips);
    row_cache_destroy(&self->cache);
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
    free(self->pen);
    free(self);
}

/* Reads to the log's end, and stores what a node would. */
static inline void reader_read(reader_t *self)
{
    journal_record_t record;
    journal_report_t report;
    buffer_t effects;

    buffer_init(&effects, 1 << 20);
    for (int quiet = 0; quiet < 3;) {
        self->now_us += 600000;
        if (journal_next(&self->journal, &record)) {
            quiet = 0;
            replica_on_record(self->replica, &record, &effects, self->now_us);
        } else {
            quiet++;
        }
        while (journal_report(&self->journal, &report))
            replica_on_report(self->replica, &report, self->now_us);
        (void)replica_position_due(self->replica, &effects, self->now_us);
        if (effects.size > 0) {
            const batch_part_t part = {effects.bytes, effects.size};
            cr_assert_eq(store_write(self->store, &part, 1, true, NULL), ERR_NONE);
        }
        buffer_reset(&effects);
        (void)replica_settle(self->replica, PAPER_TIME_US, self->now_us);
        (void)replica_write(self->replica, true, PAPER_TIME_US, self->now_us);
    }
    buffer_free(&effects);
}

static inline void reader_open(reader_t *self)
{
    replica_close(self->replica, self->now_us);
    cr_assert_eq(replica_open(self->replica, NULL), ERR_NONE);
    reader_read(self);
}

static inline void reader_is_at(const reader_t *self, const scribe_t *scribe, replica_state_t state)
{
    const position_t *at = replica_position(self->replica);

    cr_assert_eq(replica_state(self->replica), state, "%s",
                 replica_state_name(replica_state(self->replica)));
    cr_assert_eq(at->offset, scribe->at.offset);
    cr_assert_eq(at->seq, scribe->at.seq);
    cr_assert_eq(at->chain, scribe->at.chain);
    cr_assert_eq(at->epoch, scribe->at.epoch);
}

#endif
