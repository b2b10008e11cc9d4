/* test_skips.c - a record that an operator's word has made nothing: the set, its bytes, and copies that met it or not */
#include "actors/skips.h"

#include "actors/replica.h"
#include "cluster/channel_records.h"
#include "tests/unit/membership_world.h"
#include "tests/unit/paper_log.h"

/* --- the set ------------------------------------------------------------------------------------- */

static skip_t skip_of(uint16_t partition, uint64_t offset, uint32_t crc)
{
    return (skip_t){.partition = partition, .offset = offset, .crc = crc, .reason = "a test"};
}

Test(skips, are_found_and_marked_in_whatever_order_they_came)
{
    const skip_t all[] = {skip_of(1, 50, 7), skip_of(1, 20, 8), skip_of(0, 30, 9),
                          skip_of(1, 20, 9)};
    skips_t *one = skips_new(), *other = skips_new();

    cr_assert_eq(skips_mark(one, 1, UINT64_MAX), 0);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        cr_assert(skips_add(one, &all[i]));
        cr_assert(!skips_add(one, &all[i]));
        cr_assert(skips_add(other, &all[COUNT_OF(all) - 1 - i]));
    }
    cr_assert_eq(skips_count(one), 4);
    cr_assert(skips_have(one, 1, 20, 8));
    cr_assert(skips_have(one, 1, 20, 9));
    cr_assert(!skips_have(one, 1, 20, 7));
    cr_assert(!skips_have(one, 0, 20, 8));
    cr_assert_eq(skips_mark(one, 1, 19), 0);
    cr_assert_neq(skips_mark(one, 1, 20), 0);
    cr_assert_eq(skips_mark(one, 1, 20), skips_mark(one, 1, 49));
    cr_assert_neq(skips_mark(one, 1, 49), skips_mark(one, 1, 50));
    for (uint64_t offset = 0; offset < 60; offset++)
        cr_assert_eq(skips_mark(one, 1, offset), skips_mark(other, 1, offset));
    cr_assert_eq(skips_mark(NULL, 1, 60), 0);
    cr_assert(!skips_have(NULL, 1, 20, 8));
    skips_destroy(&one);
    skips_destroy(&other);
}

Test(skips, are_bounded)
{
    skips_t *skips = skips_new();

    for (uint32_t i = 0; i < SKIPS_MAX + 5; i++) {
        const skip_t skip = skip_of(0, i, i);
        cr_assert_eq(skips_add(skips, &skip), i < SKIPS_MAX);
    }
    cr_assert_eq(skips_count(skips), SKIPS_MAX);
    skips_destroy(&skips);
}

Test(skips, survive_being_written_and_read_and_need_a_reason_that_can_be_printed)
{
    hash_t cluster = hash_bytes("cluster", 7), found;
    skip_t skip = skip_of(3, UINT64_MAX, UINT32_MAX), back;
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_SKIP_BYTES_MAX);
    memset(skip.reason, 'r', SKIP_REASON_BYTES - 1);
    skip_encode(&skip, &cluster, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(skip_decode(&back, &found, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(back.partition, skip.partition);
    cr_assert_eq(back.offset, skip.offset);
    cr_assert_eq(back.crc, skip.crc);
    cr_assert_str_eq(back.reason, skip.reason);
    cr_assert(hash_equal(&cluster, &found));
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(skip_decode(&back, &found, bytes.bytes, n, NULL), ERR_CORRUPT);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(skip.reason, sizeof skip.reason, "%s", i == 0 ? "" : "two\nlines");
        buffer_reset(&bytes);
        skip_encode(&skip, &cluster, &bytes);
        cr_assert_eq(skip_decode(&back, &found, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    }
    buffer_free(&bytes);
}

/* --- which of them count ------------------------------------------------------------------------- */

static unsigned skips_told;

static void tell_skip(void *state, const skip_t *skip)
{
    (void)state;
    cr_assert_eq(skip->partition, 5);
    skips_told++;
}

static void write_skip(world_t *world, uint16_t partition, const hash_t *cluster)
{
    const skip_t skip = skip_of(partition, 9, 9);
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_SKIP_BYTES_MAX);
    skip_encode(&skip, cluster, &bytes);
    world_append(&world->control, bytes.bytes, bytes.size, world->now_us);
    buffer_free(&bytes);
}

/* It depends on the channel alone, so a node that reads it later finds the same. */
Test(skips, count_by_what_stands_before_them_in_the_channel)
{
    world_t *world = world_of(2, 16, 1);
    view_t *view = malloc(sizeof *view);
    hash_t stranger = hash_bytes("another", 7), cluster;
    char address[ADDRESS_BYTES];
    membership_config_t config;
    membership_t *late;
    size_t read = 0;

    *view = *world_view(world);
    cluster = view->cluster;
    write_skip(world, 5, &cluster);
    write_skip(world, 5, &stranger);
    write_skip(world, 17, &cluster); /* no such partition */
    view->number++;
    view->feature = VIEW_FEATURE_SKIPS - 1;
    world_write_view(world, view);
    write_skip(world, 5, &cluster); /* members of an older version would not obey */
    skips_told = 0;
    config = world_config(&world->nodes[7], address);
    config.skip = tell_skip;
    late = membership_new(&config);
    for (; read < world->control.count; read++) {
        const world_record_t *record = &world->control.records[read];
        const journal_record_t given = {
            .partition = JOURNAL_CONTROL, .bytes = record->bytes, .n = record->n, .offset = read};
        membership_on_record(late, &given, world->now_us, world->now_us);
    }
    cr_assert_eq(skips_told, 1);
    membership_destroy(&late);
    free(view);
    world_free(world);
}

/* A node that cannot tell which record is meant must not go on as if there were none. */
Test(skips, of_a_newer_version_stop_a_node_that_cannot_read_them)
{
    world_t *world = world_of(2, 16, 1);

    write_skip(world, 5, &world_view(world)->cluster);
    world->control.records[world->control.count - 1].bytes[1] = CHANNEL_VERSION + 1;
    world_run(world, WORLD_SECOND);
    cr_assert_not_null(strstr(membership_trouble(world->nodes[0].membership), "upgrade"));
    world_free(world);
}

/* --- copies -------------------------------------------------------------------------------------- */

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
} reader_t;

static uint32_t scribe_put(scribe_t *self, record_header_t *header, const void *body, size_t n,
                           bool counts)
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

static record_header_t scribe_header(const scribe_t *self, record_kind_t kind)
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

static uint32_t scribe_claim(scribe_t *self, uint64_t previous, bool counts)
{
    record_header_t header = scribe_header(self, RECORD_CLAIM);
    uint8_t body[8] = {(uint8_t)previous};

    header.epoch = previous + 1;
    return scribe_put(self, &header, body, sizeof body, counts);
}

static uint32_t scribe_decide(scribe_t *self)
{
    record_header_t header = scribe_header(self, RECORD_DECISIONS);

    header.seq++;
    return scribe_put(self, &header, "", 0, true);
}

static scribe_t scribe_new(void)
{
    scribe_t self = {.paper = paper_new()};

    (void)scribe_claim(&self, 0, true);
    (void)scribe_decide(&self);
    (void)scribe_decide(&self);
    return self;
}

static void reader_send(void *state, uint16_t dst, const void *frame, size_t n)
{
    (void)state;
    (void)dst;
    (void)frame;
    (void)n;
}

static reader_t *reader_new(const scribe_t *scribe)
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

static void reader_free(reader_t *self)
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
static void reader_read(reader_t *self)
{
    journal_record_t record;
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

static void reader_open(reader_t *self)
{
    replica_close(self->replica, self->now_us);
    cr_assert_eq(replica_open(self->replica, NULL), ERR_NONE);
    reader_read(self);
}

static void reader_learn(reader_t *self, uint64_t offset, uint32_t crc)
{
    const skip_t skip = skip_of(HERE, offset, crc);

    cr_assert(skips_add(self->skips, &skip));
    replica_skips_grew(self->replica);
}

static void reader_is_at(const reader_t *self, const scribe_t *scribe, replica_state_t state)
{
    const position_t *at = replica_position(self->replica);

    cr_assert_eq(replica_state(self->replica), state, "%s",
                 replica_state_name(replica_state(self->replica)));
    cr_assert_eq(at->offset, scribe->at.offset);
    cr_assert_eq(at->seq, scribe->at.seq);
    cr_assert_eq(at->chain, scribe->at.chain);
    cr_assert_eq(at->epoch, scribe->at.epoch);
}

Test(skips, let_a_copy_go_on_that_halted_at_the_record)
{
    scribe_t scribe = scribe_new(), before = scribe;
    reader_t *reader = reader_new(&scribe), *other = reader_new(&scribe);
    uint64_t offset = scribe.paper->count[HERE], told;
    uint32_t crc = scribe_claim(&scribe, 100, false), told_crc;

    (void)scribe_decide(&scribe);
    reader_open(reader);
    reader_is_at(reader, &before, REPLICA_HALTED);
    cr_assert(replica_halted_at(reader->replica, &told, &told_crc));
    cr_assert_eq(told, offset);
    cr_assert_eq(told_crc, crc);
    /* Another checksum there is another record. */
    reader_learn(reader, offset, crc + 1);
    reader_open(reader);
    reader_is_at(reader, &before, REPLICA_HALTED);
    reader_learn(reader, offset, crc);
    reader_open(reader);
    reader_is_at(reader, &scribe, REPLICA_STANDBY);
    cr_assert(!replica_halted_at(reader->replica, &told, &told_crc));
    /* And who knew it before he came there is where the first one is. */
    reader_learn(other, offset, crc + 1);
    reader_learn(other, offset, crc);
    reader_open(other);
    reader_is_at(other, &scribe, REPLICA_STANDBY);
    cr_assert_eq(memcmp(replica_position(reader->replica), replica_position(other->replica),
                        sizeof(position_t)),
                 0);
    cr_assert_eq(replica_position(other->replica)->skips, skips_mark(other->skips, HERE, offset));
    /* A restart finds that what is stored was made under the skips that there are. */
    reader_open(reader);
    reader_is_at(reader, &scribe, REPLICA_STANDBY);
    reader_free(reader);
    reader_free(other);
    paper_free(scribe.paper);
}

Test(skips, halt_a_copy_that_applied_the_record_until_it_is_made_anew)
{
    scribe_t scribe = scribe_new(), without = scribe;
    reader_t *reader = reader_new(&scribe);
    uint64_t offset = scribe.paper->count[HERE], told;
    uint32_t crc = scribe_decide(&scribe), told_crc;

    reader_open(reader);
    reader_is_at(reader, &scribe, REPLICA_STANDBY);
    reader_learn(reader, offset, crc);
    cr_assert_eq(replica_state(reader->replica), REPLICA_HALTED);
    cr_assert_not_null(strstr(replica_trouble(reader->replica), "fealty partition rebuild 0"));
    cr_assert(!replica_halted_at(reader->replica, &told, &told_crc));
    for (int i = 0; i < 2; i++) { /* a restart does not forgive it, nor what the log says later */
        reader_open(reader);
        cr_assert_eq(replica_state(reader->replica), REPLICA_HALTED);
        cr_assert_not_null(strstr(replica_trouble(reader->replica), "rebuild"));
    }
    replica_close(reader->replica, reader->now_us);
    while (!replica_wipe(reader->replica, true, NULL))
        ;
    reader_open(reader);
    reader_is_at(reader, &without, REPLICA_STANDBY);
    reader_free(reader);
    paper_free(scribe.paper);
}

Test(skips, halt_a_copy_that_went_on_behind_the_record_without_knowing_them)
{
    scribe_t scribe = scribe_new();
    reader_t *reader = reader_new(&scribe), *last = reader_new(&scribe);
    uint64_t offset = scribe.paper->count[HERE];
    uint32_t crc = scribe_claim(&scribe, 0, false); /* stale: ignored by everybody */

    /* Who has applied nothing behind it is where all are. */
    reader_open(last);
    reader_learn(last, offset, crc);
    reader_is_at(last, &scribe, REPLICA_STANDBY);
    (void)scribe_decide(&scribe);
    reader_read(last);
    reader_is_at(last, &scribe, REPLICA_STANDBY);
    /* Who has cannot tell any more whether he applied it. */
    reader_open(reader);
    reader_is_at(reader, &scribe, REPLICA_STANDBY);
    reader_learn(reader, offset, crc);
    cr_assert_eq(replica_state(reader->replica), REPLICA_HALTED);
    reader_free(reader);
    reader_free(last);
    paper_free(scribe.paper);
}

Test(skips, halt_a_copy_that_was_made_under_more_of_them_until_they_are_known)
{
    scribe_t scribe = scribe_new();
    reader_t *source = reader_new(&scribe), *reader = reader_new(&scribe);
    uint64_t offset = scribe.paper->count[HERE];
    uint32_t crc = scribe_claim(&scribe, 100, false);
    buffer_t rows;

    (void)scribe_decide(&scribe);
    reader_learn(source, offset, crc);
    reader_open(source);
    /* Its position comes with its rows, as in a snapshot. */
    buffer_init(&rows, 4096);
    journal_put_position(HERE, replica_position(source->replica), &rows);
    const batch_part_t part = {rows.bytes, rows.size};
    cr_assert_eq(store_write(reader->store, &part, 1, true, NULL), ERR_NONE);
    reader_open(reader);
    cr_assert_eq(replica_state(reader->replica), REPLICA_HALTED);
    reader_learn(reader, offset, crc);
    reader_open(reader);
    reader_is_at(reader, &scribe, REPLICA_STANDBY);
    buffer_free(&rows);
    reader_free(source);
    reader_free(reader);
    paper_free(scribe.paper);
}

/* Its position had moved before that was found out: stored, a restart would go on without what the record says. */
Test(skips, do_not_make_up_for_a_record_that_could_not_be_applied)
{
    scribe_t scribe = scribe_new(), before = scribe;
    reader_t *reader = reader_new(&scribe);
    record_header_t header = scribe_header(&scribe, RECORD_DECISIONS);
    uint64_t offset = scribe.paper->count[HERE], told;
    uint32_t crc, told_crc;

    header.seq++;
    crc = scribe_put(&scribe, &header, "no section", 10, true);
    for (int i = 0; i < 3; i++) {
        reader_open(reader);
        cr_assert_eq(replica_state(reader->replica), REPLICA_HALTED);
        cr_assert(replica_halted_at(reader->replica, &told, &told_crc));
        cr_assert_eq(told, offset);
        cr_assert_eq(told_crc, crc);
    }
    reader_learn(reader, offset, crc);
    reader_open(reader);
    reader_is_at(reader, &before, REPLICA_STANDBY);
    reader_free(reader);
    paper_free(scribe.paper);
}
