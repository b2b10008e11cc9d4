/* test_journal.c - the embedded journal: what was accepted and committed is there, nothing else is */
#include "storage/journal.h"

#include "protocol/metrics.h"
#include "protocol/pack.h"
#include "tests/unit/scratch.h"

#include <string.h>

static const hash_t first_history = {{0xaa}};
static const hash_t second_history = {{0xbb}};
static const hash_t alice = {{0x01}};
static const hash_t bob = {{0x02}};

/* A writer and reader of one partition, as a shard is. */
typedef struct {
    journal_t *journal;
    uint16_t partition;
    hash_t incarnation;
    position_t position;
    int64_t at_us;
} writer_t;

static void append(writer_t *self, record_header_t header, const void *body, size_t n)
{
    uint8_t bytes[RECORD_HEADER_BYTES];
    err_t err;

    header.partition = self->partition;
    header.body_bytes = (uint32_t)n;
    record_encode_header(&header, body, bytes);
    cr_assert_eq(journal_append(self->journal, self->partition, bytes, body, n, &err), ERR_NONE,
                 "%s", err.text);
}

static record_header_t next_header(const writer_t *self)
{
    return (record_header_t){.kind = RECORD_DECISIONS,
                             .history = self->position.history,
                             .epoch = self->position.epoch,
                             .incarnation = self->incarnation,
                             .seq = self->position.seq + 1,
                             .seen = self->position.seq,
                             .at_us = self->at_us,
                             .chain = self->position.chain};
}

static void append_claim(writer_t *self, hash_t history)
{
    record_header_t header = next_header(self);
    uint8_t body[8];

    for (size_t i = 0; i < 8; i++)
        body[i] = (uint8_t)(self->position.epoch >> (8 * i));
    header.kind = RECORD_CLAIM;
    header.history = history;
    header.epoch++;
    header.seq--;
    append(self, header, body, sizeof body);
}

/* Reads all that waits; the number of records accepted. */
static int take(writer_t *self)
{
    journal_record_t record;
    int accepted = 0;

    while (journal_next(self->journal, &record)) {
        record_header_t header;
        const uint8_t *body;
        record_reason_t reason;

        cr_assert_eq(record.partition, self->partition);
        if (record_decode(record.bytes, record.n, &header, &body, &reason) != VERDICT_ACCEPT)
            continue;
        cr_assert_eq(record.log_time_us, header.at_us);
        if (record_judge(&self->position, &header, record.bytes, record.n, record.log_time_us,
                         &reason) != VERDICT_ACCEPT)
            continue;
        self->position.offset = record.offset;
        accepted++;
    }
    return accepted;
}

static void commit(writer_t *self)
{
    buffer_t effects;

    buffer_init(&effects, 1000);
    cr_assert_eq(journal_commit(self->journal, &effects, NULL), ERR_NONE);
    buffer_free(&effects);
}

static writer_t writer_on(store_t *store, uint16_t partition, hash_t incarnation)
{
    writer_t self = {
        .journal = journal_embedded_new(store), .partition = partition, .incarnation = incarnation};
    bool found;
    err_t err;

    cr_assert_eq(journal_position(self.journal, partition, &self.position, &found, &err), ERR_NONE,
                 "%s", err.text);
    self.at_us = 1000;
    return self;
}

static void expect_position(store_t *store, uint16_t partition, const position_t *expected)
{
    position_t found_position;
    uint64_t next_ordinal;
    bool found;
    err_t err;

    cr_assert_eq(
        journal_embedded_position(store, partition, &found_position, &next_ordinal, &found, &err),
        ERR_NONE, "%s", err.text);
    cr_assert_eq(found, expected != NULL);
    if (expected == NULL)
        return;
    cr_assert(hash_equal(&found_position.history, &expected->history));
    cr_assert(hash_equal(&found_position.owner, &expected->owner));
    cr_assert_eq(found_position.epoch, expected->epoch);
    cr_assert_eq(found_position.seq, expected->seq);
    cr_assert_eq(found_position.chain, expected->chain);
    cr_assert_eq(found_position.now_us, expected->now_us);
    cr_assert_eq(found_position.offset, expected->offset);
    cr_assert_eq(found_position.crc, expected->crc);
}

static void expect_scan(store_t *store, uint16_t partition, uint64_t from, errcode_t code,
                        int count);

Test(journal, an_empty_log_has_no_position, .timeout = 30)
{
    store_t *store = store_memory_new();

    expect_position(store, 0, NULL);
    expect_scan(store, 0, 1, ERR_NONE, 0);
    store_destroy(&store);
}

Test(journal, only_a_commit_makes_records_and_effects_durable_and_both_at_once, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 7, alice);
    buffer_t effects, value;
    bool found;

    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    expect_position(store, 7, &writer.position);

    position_t committed = writer.position;
    append(&writer, next_header(&writer), "hello", 5);
    cr_assert_eq(take(&writer), 1);
    expect_position(store, 7, &committed); /* taken, but not committed */
    buffer_init(&effects, 1000);
    batch_put(&effects, FAMILY_STATE, "key", 3, "value", 5);
    cr_assert_eq(journal_commit(writer.journal, &effects, NULL), ERR_NONE);
    store_memory_crash(store); /* commit was synced: nothing to forget */
    expect_position(store, 7, &writer.position);
    buffer_init(&value, 100);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, "key", 3, &value, &found, NULL), ERR_NONE);
    cr_assert(found);
    expect_position(store, 8, NULL);
    expect_position(store, 6, NULL);
    buffer_free(&value);
    buffer_free(&effects);
    journal_destroy(&writer.journal);
    cr_assert_null(writer.journal);
    store_destroy(&store);
}

Test(journal, the_position_says_what_record_judge_says_after_every_kind_of_record, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 0, alice);
    record_header_t header;
    static const uint8_t lower[8] = {5};

    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    expect_position(store, 0, &writer.position);
    writer.at_us = 7777;
    append(&writer, next_header(&writer), "x", 1);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    cr_assert_eq(writer.position.now_us, 7777);
    expect_position(store, 0, &writer.position);
    writer.at_us = 1; /* a clock that went back: now_us is not this record's at_us */
    append(&writer, next_header(&writer), "x", 1);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    cr_assert_eq(writer.position.now_us, 7777);
    expect_position(store, 0, &writer.position);
    header = next_header(&writer);
    header.kind = RECORD_TIME_RESET;
    append(&writer, header, lower, sizeof lower);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    cr_assert_eq(writer.position.now_us, 5);
    expect_position(store, 0, &writer.position);
    header = next_header(&writer);
    header.kind = RECORD_RELEASE;
    header.seq--;
    append(&writer, header, NULL, 0);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    cr_assert(hash_equal(&writer.position.owner, &(hash_t){{0}}));
    expect_position(store, 0, &writer.position);
    writer.incarnation = bob;
    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    expect_position(store, 0, &writer.position);
    expect_scan(store, 0, 1, ERR_NONE, 6);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, another_journal_on_the_store_goes_on_where_the_last_one_ended, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 0, alice);

    append_claim(&writer, first_history);
    append(&writer, (record_header_t){.kind = RECORD_DECISIONS}, "no record of any history", 24);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    journal_destroy(&writer.journal);
    writer = writer_on(store, 0, bob);
    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    cr_assert_eq(writer.position.offset, 2);
    cr_assert_eq(writer.position.epoch, 2);
    expect_position(store, 0, &writer.position);
    expect_scan(store, 0, 1, ERR_NONE, 2);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, records_that_are_not_accepted_are_returned_counted_and_never_written, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 0, alice);
    uint64_t ignored = metric_get(METRIC_RECORDS_IGNORED);
    record_header_t header;
    journal_record_t record;
    uint8_t bytes[RECORD_HEADER_BYTES];

    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    header = next_header(&writer);
    append(&writer, header, "one", 3);
    append(&writer, header, "one", 3); /* duplicate */
    header.seq += 5;
    append(&writer, header, "gap", 3);
    header.epoch += 5;
    append(&writer, header, "cut", 3); /* halts its readers */
    cr_assert_eq(take(&writer), 1);
    header.body_bytes = 3;
    record_encode_header(&header, "bad", bytes);
    cr_assert_eq(journal_append(writer.journal, 0, bytes, "Bad", 3, NULL), ERR_NONE);
    cr_assert(journal_next(writer.journal, &record));
    cr_assert_eq(record.n, RECORD_HEADER_BYTES + 3);
    commit(&writer);
    cr_assert_eq(metric_get(METRIC_RECORDS_IGNORED) - ignored, 4);
    expect_position(store, 0, &writer.position);
    expect_scan(store, 0, 1, ERR_NONE, 2);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, records_stay_where_they_are_until_commit, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 0, alice);
    journal_record_t first, record;
    static uint8_t body[100000];
    uint8_t copy[RECORD_HEADER_BYTES + 8];
    int count = 0;

    append_claim(&writer, first_history);
    cr_assert(journal_next(writer.journal, &first));
    memcpy(copy, first.bytes, first.n);
    for (int i = 0; i < 100; i++)
        append(&writer, next_header(&writer), body, sizeof body);
    while (journal_next(writer.journal, &record))
        count++;
    cr_assert_eq(count, 100);
    cr_assert_eq(memcmp(copy, first.bytes, first.n), 0);
    commit(&writer);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, what_was_appended_after_the_last_next_waits_for_the_next_round, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 0, alice);
    position_t committed;

    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    append(&writer, next_header(&writer), "later", 5);
    committed = writer.position;
    commit(&writer);
    expect_position(store, 0, &committed);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    expect_position(store, 0, &writer.position);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, a_full_queue_and_a_too_large_record_are_refused, .timeout = 60)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 0, alice);
    static uint8_t body[RECORD_BYTES_MAX];
    uint8_t bytes[RECORD_HEADER_BYTES];
    record_header_t header = next_header(&writer);
    errcode_t rc = ERR_NONE;
    int count = 0;

    header.body_bytes = RECORD_BYTES_MAX - RECORD_HEADER_BYTES;
    record_encode_header(&header, body, bytes);
    cr_assert_eq(journal_append(writer.journal, 0, bytes, body, sizeof body, NULL), ERR_TOO_LARGE);
    while ((rc = journal_append(writer.journal, 0, bytes, body, header.body_bytes, NULL)) ==
           ERR_NONE)
        count++;
    cr_assert_eq(rc, ERR_OVERLOADED);
    cr_assert_eq(count, 128); /* 64 MiB of records of half a MiB */
    cr_assert_eq(take(&writer), 0);
    commit(&writer);
    cr_assert_eq(journal_append(writer.journal, 0, bytes, body, header.body_bytes, NULL), ERR_NONE);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, the_largest_record_is_written_and_read, .timeout = 60)
{
    store_t *store = store_memory_new();
    writer_t writer = writer_on(store, 3, alice);
    static uint8_t body[RECORD_BYTES_MAX - RECORD_HEADER_BYTES];
    buffer_t record;
    bool found;

    memset(body, 0x5a, sizeof body);
    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    append(&writer, next_header(&writer), body, sizeof body);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    expect_position(store, 3, &writer.position);
    buffer_init(&record, 1 << 20);
    cr_assert_eq(journal_read(writer.journal, 3, 2, &record, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(record.size, RECORD_BYTES_MAX);
    cr_assert_eq(memcmp(record.bytes + RECORD_HEADER_BYTES, body, sizeof body), 0);
    buffer_reset(&record);
    cr_assert_eq(journal_read(writer.journal, 3, 3, &record, &found, NULL), ERR_NONE);
    cr_assert_not(found);
    buffer_free(&record);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

static void set_position(store_t *store, uint16_t partition, const position_t *position,
                         uint64_t floor)
{
    buffer_t batch;
    err_t err;

    buffer_init(&batch, 1000);
    cr_assert_eq(journal_embedded_override(store, partition, position, floor, &batch, &err),
                 ERR_NONE, "%s", err.text);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, true, NULL), ERR_NONE);
    buffer_free(&batch);
}

/* A log of a claim and three records. */
static writer_t written(store_t *store, uint16_t partition)
{
    writer_t writer = writer_on(store, partition, alice);

    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    for (int i = 0; i < 3; i++) {
        append(&writer, next_header(&writer), "body", 4);
        cr_assert_eq(take(&writer), 1);
    }
    commit(&writer);
    return writer;
}

Test(journal, a_restored_position_holds_until_its_history_has_a_record, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = written(store, 2);
    position_t restored = {.history = second_history,
                           .epoch = 1,
                           .seq = writer.position.seq + (1 << 20),
                           .chain = 99,
                           .now_us = 1000};
    buffer_t record;
    bool found;

    journal_destroy(&writer.journal);
    set_position(store, 2, &restored, 5);
    expect_position(store, 2, &restored);
    writer = writer_on(store, 2, bob);
    cr_assert_eq(writer.position.offset, 0);
    buffer_init(&record, 1000);
    cr_assert_eq(journal_read(writer.journal, 2, 0, &record, &found, NULL), ERR_NONE);
    cr_assert_not(found);
    append_claim(&writer, second_history);
    cr_assert_eq(take(&writer), 1);
    append(&writer, next_header(&writer), "body", 4);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    cr_assert_eq(writer.position.offset, 6);
    cr_assert_eq(writer.position.seq, restored.seq + 1);
    expect_position(store, 2, &writer.position);
    expect_scan(store, 2, 1, ERR_NONE, 6);

    /* And once more: the first restore's own row is gone then, its records still verify. */
    restored = (position_t){.history = first_history, .epoch = 7, .seq = 1 << 30};
    journal_destroy(&writer.journal);
    set_position(store, 2, &restored, 100);
    writer = writer_on(store, 2, alice);
    append_claim(&writer, first_history);
    cr_assert_eq(take(&writer), 1);
    commit(&writer);
    expect_scan(store, 2, 1, ERR_NONE, 7);
    expect_scan(store, 2, 5, ERR_NONE, 3);
    buffer_free(&record);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, a_position_cannot_be_set_below_the_end_of_the_log, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = written(store, 2);
    buffer_t batch;

    buffer_init(&batch, 1000);
    cr_assert_eq(journal_embedded_override(store, 2, &writer.position, 4, &batch, NULL),
                 ERR_INVALID);
    cr_assert_eq(batch.size, 0);
    cr_assert_eq(journal_embedded_override(store, 2, &writer.position, 5, &batch, NULL), ERR_NONE);
    buffer_free(&batch);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

typedef struct {
    int count;
    int stop_at;
    uint64_t last_seq;
} visit_t;

static errcode_t visit(void *state, const record_header_t *header, const void *record, size_t n,
                       const position_t *after, err_t *err)
{
    visit_t *visited = state;

    cr_assert_eq(n, RECORD_HEADER_BYTES + header->body_bytes);
    cr_assert_eq(after->crc, header->crc);
    cr_assert_eq(((const uint8_t *)record)[3], header->kind);
    visited->last_seq = after->seq;
    return ++visited->count == visited->stop_at ? err_set(err, ERR_IN_PROGRESS, "enough")
                                                : ERR_NONE;
}

static void expect_scan(store_t *store, uint16_t partition, uint64_t from, errcode_t code,
                        int count)
{
    visit_t visited = {0};
    err_t err = {0};

    cr_assert_eq(journal_embedded_scan(store, NULL, partition, from, visit, &visited, &err), code,
                 "%s", err.text);
    cr_assert_eq(visited.count, count, "%d records", visited.count);
}

Test(journal, a_scan_starts_anywhere_and_ends_when_told, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = written(store, 2);
    visit_t visited = {.stop_at = 2};

    expect_scan(store, 2, 1, ERR_NONE, 4);
    expect_scan(store, 2, 3, ERR_NONE, 2);
    expect_scan(store, 2, 5, ERR_NONE, 0);
    expect_scan(store, 1, 1, ERR_NONE, 0);
    cr_assert_eq(journal_embedded_scan(store, NULL, 2, 1, NULL, NULL, NULL), ERR_NONE);
    cr_assert_eq(journal_embedded_scan(store, NULL, 2, 1, visit, &visited, NULL), ERR_IN_PROGRESS);
    cr_assert_eq(visited.last_seq, 1);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

static void log_row_key(uint8_t key[10], uint16_t partition, uint64_t ordinal)
{
    be16_put(key, partition);
    be64_put(key + 2, ordinal);
}

Test(journal, a_scan_finds_any_changed_byte_of_the_log, .timeout = 60)
{
    store_t *store = store_memory_new();
    writer_t writer = written(store, 2);
    uint8_t key[10];
    buffer_t value, batch;
    bool found;

    log_row_key(key, 2, 2);
    buffer_init(&value, 1000);
    buffer_init(&batch, 2000);
    cr_assert_eq(store_get(store, NULL, FAMILY_LOG, key, sizeof key, &value, &found, NULL),
                 ERR_NONE);
    cr_assert_eq(value.size, RECORD_HEADER_BYTES + 4 + 40);
    for (size_t i = 0; i <= value.size; i++) {
        store_t *copy = store_memory_copy(store);

        buffer_reset(&batch);
        if (i < value.size)
            value.bytes[i] ^= 0x04;
        batch_put(&batch, FAMILY_LOG, key, sizeof key, value.bytes, value.size);
        if (i < value.size)
            value.bytes[i] ^= 0x04;
        batch_part_t part = {batch.bytes, batch.size};
        cr_assert_eq(store_write(copy, &part, 1, false, NULL), ERR_NONE);
        cr_assert_eq(journal_embedded_scan(copy, NULL, 2, 1, NULL, NULL, NULL),
                     i < value.size ? ERR_CORRUPT : ERR_NONE, "byte %zu", i);
        store_destroy(&copy);
    }
    buffer_free(&value);
    buffer_free(&batch);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, a_scan_finds_missing_and_exchanged_rows, .timeout = 60)
{
    store_t *store = store_memory_new();
    writer_t writer = written(store, 2);
    uint8_t key[10];
    buffer_t value, batch;
    bool found;
    err_t err;

    buffer_init(&value, 1000);
    buffer_init(&batch, 2000);
    for (uint64_t gone = 1; gone < 4; gone++) {
        store_t *copy = store_memory_copy(store);

        buffer_reset(&batch);
        log_row_key(key, 2, gone);
        batch_delete(&batch, FAMILY_LOG, key, sizeof key);
        batch_part_t part = {batch.bytes, batch.size};
        cr_assert_eq(store_write(copy, &part, 1, false, NULL), ERR_NONE);
        cr_assert_eq(journal_embedded_scan(copy, NULL, 2, 1, NULL, NULL, &err), ERR_CORRUPT);
        cr_assert(strstr(err.text, "missing") != NULL, "%s", err.text);
        store_destroy(&copy);
    }
    /* Row 2 again in place of row 3: whole, but it does not follow. */
    log_row_key(key, 2, 2);
    cr_assert_eq(store_get(store, NULL, FAMILY_LOG, key, sizeof key, &value, &found, NULL),
                 ERR_NONE);
    log_row_key(key, 2, 3);
    buffer_reset(&batch);
    batch_put(&batch, FAMILY_LOG, key, sizeof key, value.bytes, value.size);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, false, NULL), ERR_NONE);
    cr_assert_eq(journal_embedded_scan(store, NULL, 2, 1, NULL, NULL, &err), ERR_CORRUPT);
    cr_assert(strstr(err.text, "does not follow") != NULL, "%s", err.text);
    buffer_free(&value);
    buffer_free(&batch);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

Test(journal, a_damaged_last_row_or_restored_position_is_an_error_not_an_empty_log, .timeout = 30)
{
    store_t *store = store_memory_new();
    writer_t writer = written(store, 2);
    uint8_t key[10];
    buffer_t batch;
    position_t position;
    uint64_t next_ordinal;
    bool found;

    buffer_init(&batch, 2000);
    log_row_key(key, 2, 4);
    batch_put(&batch, FAMILY_LOG, key, sizeof key, "short", 5);
    batch_put(&batch, FAMILY_META, "P\0\3", 3, "short", 5);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, false, NULL), ERR_NONE);
    cr_assert_eq(journal_embedded_position(store, 2, &position, &next_ordinal, &found, NULL),
                 ERR_CORRUPT);
    cr_assert_eq(journal_embedded_position(store, 3, &position, &next_ordinal, &found, NULL),
                 ERR_CORRUPT);
    buffer_free(&batch);
    journal_destroy(&writer.journal);
    store_destroy(&store);
}

static int commit_and_die(const char *directory)
{
    store_config_t config;
    store_t *store;
    writer_t writer;

    store_config_default(&config);
    config.directory = directory;
    config.create = true;
    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 1;
    writer = written(store, 2);
    for (int i = 0; i < 50; i++) {
        append(&writer, next_header(&writer), "body", 4);
        (void)take(&writer);
        commit(&writer);
    }
    append(&writer, next_header(&writer), "never committed", 15);
    (void)take(&writer);
    return 0;
}

Test(journal, committed_records_survive_a_process_that_just_ends, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_config_t config;
    store_t *store;
    position_t position;
    uint64_t next_ordinal;
    bool found;

    cr_assert_eq(scratch_child(commit_and_die, scratch.path), 0);
    store_config_default(&config);
    config.directory = scratch.path;
    cr_assert_eq(store_open(&store, &config, NULL), ERR_NONE);
    expect_scan(store, 2, 1, ERR_NONE, 54);
    cr_assert_eq(journal_embedded_position(store, 2, &position, &next_ordinal, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(position.seq, 53);
    cr_assert_eq(next_ordinal, 55);
    store_destroy(&store);
    scratch_remove(&scratch);
}
