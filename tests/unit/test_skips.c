/* test_skips.c - a record that an operator's word has made nothing: the set, its bytes, and copies that met it or not */
#include "actors/skips.h"

#include "actors/replica.h"
#include "cluster/channel_records.h"
#include "tests/unit/membership_world.h"
#include "tests/unit/scribe.h"

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
    world_tell_control(world, late, &read);
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

static void reader_learn(reader_t *self, uint64_t offset, uint32_t crc)
{
    const skip_t skip = skip_of(HERE, offset, crc);

    cr_assert(skips_add(self->skips, &skip));
    replica_skips_grew(self->replica);
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
