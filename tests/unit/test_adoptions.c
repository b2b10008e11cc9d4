/* test_adoptions.c - an image becomes a partition's new history: which one counts, what copies make of it */
#include "actors/adopt.h"
#include "cluster/channel_records.h"
#include "tests/unit/adopted.h"
#include "tests/unit/membership_world.h"

/* --- the list ------------------------------------------------------------------------------------ */

Test(adoptions, count_when_they_follow_the_one_before)
{
    adoptions_t *list = adoptions_new();
    adoption_t one = adoption_of(1, &first, &first, &second);
    adoption_t rival = adoption_of(1, &first, &first, &third);
    adoption_t back = adoption_of(1, &second, &second, &first);
    adoption_t next = adoption_of(1, &second, &second, &third);
    /* Whoever has nothing but the first history's image may be all that is left. */
    adoption_t again = adoption_of(1, &third, &first, &fourth);

    cr_assert_null(adoptions_latest(NULL, 1));
    cr_assert(adoptions_add(list, &one));
    cr_assert(!adoptions_add(list, &one));
    cr_assert(!adoptions_add(list, &rival), "the first one of two counts");
    cr_assert(!adoptions_add(list, &back), "a history does not come back");
    cr_assert_null(adoptions_latest(list, 2));
    cr_assert(adoptions_replaced(list, 1, &first));
    cr_assert(!adoptions_replaced(list, 2, &first));
    cr_assert(!adoptions_replaced(list, 1, &second));
    cr_assert(adoptions_add(list, &next));
    cr_assert(hash_equal(&adoptions_latest(list, 1)->fresh, &third));
    cr_assert(adoptions_replaced(list, 1, &second));
    cr_assert_eq(adoptions_between(list, 1, &third, &second), 1);
    cr_assert_eq(adoptions_between(list, 1, &third, &first), 2);
    cr_assert_eq(adoptions_between(list, 1, &second, &third), 0);
    cr_assert_eq(adoptions_between(list, 2, &third, &second), 0);
    cr_assert(adoptions_add(list, &again));
    cr_assert_eq(adoptions_between(list, 1, &fourth, &first), 1);
    cr_assert_eq(adoptions_between(list, 1, &fourth, &third), 0, "it holds nothing of that one");
    cr_assert_eq(adoptions_count(list), 3);
    adoptions_destroy(&list);
}

Test(adoptions, survive_being_written_and_read_and_need_a_reason_that_can_be_printed)
{
    adoption_t one = adoption_of(5, &first, &second, &third), back;
    hash_t cluster = hash_bytes("cluster", 7), found;
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_ADOPTION_BYTES_MAX);
    adoption_encode(&one, &cluster, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(adoption_decode(&back, &found, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(memcmp(&one.old, &back.old, 4 * sizeof one.old), 0);
    cr_assert(back.partition == 5 && back.epoch == 3 && back.seq == 9 && back.chain == 17 &&
              back.offset == 4 && back.at_us == 5);
    cr_assert_str_eq(back.reason, "a test");
    cr_assert(hash_equal(&cluster, &found));
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(adoption_decode(&back, &found, bytes.bytes, n, NULL), ERR_CORRUPT);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(one.reason, sizeof one.reason, "%s", i == 0 ? "" : "two\nlines");
        buffer_reset(&bytes);
        adoption_encode(&one, &cluster, &bytes);
        cr_assert_eq(adoption_decode(&back, &found, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    }
    buffer_free(&bytes);
}

Test(adoptions, rest_on_heartbeats_that_say_where_halted_copies_stand)
{
    liveness_t *beat = calloc(1, sizeof *beat), *back = malloc(sizeof *back);
    buffer_t bytes;
    size_t plain;

    beat->number = 1;
    beat->partitions = 16;
    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    liveness_encode(beat, &bytes);
    plain = bytes.size;
    cr_assert_eq(bytes.bytes[1], CHANNEL_VERSION, "as members of an older version read it");
    beat->place_count = 2;
    beat->places[0] = (place_t){.partition = 3, .history = 77, .epoch = 5, .seq = 1000000};
    beat->places[1] = (place_t){.partition = 16, .history = UINT64_MAX, .epoch = 1, .seq = 0};
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_gt(bytes.size, plain);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(back->place_count, 2);
    cr_assert_eq(back->places[0].seq, 1000000);
    cr_assert_eq(back->places[1].history, UINT64_MAX);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(liveness_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
    beat->places[1].partition = 3; /* twice */
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
    free(beat);
    free(back);
}

static unsigned adoptions_told;

static void tell_adoption(void *state, const adoption_t *adoption)
{
    (void)state;
    cr_assert_eq(adoption->partition, 5);
    adoptions_told++;
}

static void write_adoption(world_t *world, uint16_t partition, const hash_t *cluster)
{
    const adoption_t adoption = adoption_of(partition, &first, &first, &second);
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_ADOPTION_BYTES_MAX);
    adoption_encode(&adoption, cluster, &bytes);
    world_append(&world->control, bytes.bytes, bytes.size, world->now_us);
    buffer_free(&bytes);
}

Test(adoptions, are_told_by_what_stands_before_them_in_the_channel)
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
    write_adoption(world, 5, &cluster);
    write_adoption(world, 5, &stranger);
    write_adoption(world, 17, &cluster); /* no such partition */
    view->number++;
    view->feature = VIEW_FEATURE_ADOPTIONS - 1;
    world_write_view(world, view);
    write_adoption(world, 5, &cluster); /* members of an older version would not obey */
    adoptions_told = 0;
    config = world_config(&world->nodes[7], address);
    config.adoption = tell_adoption;
    late = membership_new(&config);
    world_tell_control(world, late, &read);
    cr_assert_eq(adoptions_told, 1);
    membership_destroy(&late);
    free(view);
    world_free(world);
}

/* --- copies -------------------------------------------------------------------------------------- */

static bool kind_at(const paper_t *paper, size_t i, record_kind_t kind)
{
    cr_assert_lt(i, paper->count[HERE]);
    return paper->sheets[HERE][i].bytes[3] == (uint8_t)kind;
}

/* Position and all rows of a store, into another one: a snapshot. */
static void copy_rows(store_t *from, store_t *to)
{
    buffer_t rows;

    buffer_init(&rows, 1 << 20);
    for (family_t family = 0; family < FAMILY__COUNT; family++) {
        store_cursor_t *cursor = store_cursor_new(from, NULL, family, NULL, 0, NULL, 0);
        for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
            size_t k, v;
            const uint8_t *key = store_cursor_key(cursor, &k);
            const uint8_t *value = store_cursor_value(cursor, &v);
            batch_put(&rows, family, key, k, value, v);
        }
        store_cursor_destroy(&cursor);
    }
    const batch_part_t part = {rows.bytes, rows.size};
    cr_assert_eq(store_write(to, &part, 1, true, NULL), ERR_NONE);
    buffer_free(&rows);
}

Test(adoptions, make_one_copy_the_new_history_and_leave_all_others_wanting_it)
{
    scribe_t scribe = scribe_new();
    adoptions_t *list = adoptions_new();
    reader_t *image = node_reader(&scribe, list, &adopter);
    reader_t *other = node_reader(&scribe, list, &bystander);
    reader_t *blank = node_reader(&scribe, list, &bystander);
    reader_t *const all[] = {image, other, blank};
    err_t err = {0};

    reader_open(image);
    reader_open(other);
    const uint64_t seq = replica_position(image->replica)->seq;
    const size_t end = scribe.paper->count[HERE];
    (void)adopt(list, image, &second, all, COUNT_OF(all));
    cr_assert_eq(replica_state(image->replica), REPLICA_HALTED);
    cr_assert_eq(replica_state(other->replica), REPLICA_HALTED);
    for (int i = 0; i < 2; i++) { /* a restart does not move it again */
        reader_open(image);
        const position_t *at = replica_position(image->replica);
        cr_assert_eq(replica_state(image->replica), REPLICA_STANDBY);
        cr_assert(hash_equal(&at->history, &second));
        cr_assert_eq(at->epoch, 1 + ADOPTION_AHEAD);
        cr_assert_eq(at->seq, seq + ADOPTION_AHEAD);
        cr_assert(replica_owned_by_nobody(image->replica));
        cr_assert_null(replica_wants_history(image->replica));
    }
    reader_t *const without[] = {other, blank};
    for (size_t i = 0; i < COUNT_OF(without); i++) {
        position_t kept;
        replica_close(without[i]->replica, without[i]->now_us);
        cr_assert_eq(replica_open(without[i]->replica, &err), ERR_STATE);
        cr_assert_eq(replica_state(without[i]->replica), REPLICA_CLOSED);
        cr_assert(hash_equal(replica_wants_history(without[i]->replica), &second));
        cr_assert_eq(replica_stored(without[i]->replica, &kept), without[i] == other);
    }
    /* It owns by a claim, before which the end of all other histories stands. */
    claim(image);
    cr_assert_eq(replica_state(image->replica), REPLICA_OWNER);
    cr_assert_eq(replica_position(image->replica)->epoch, 2 + ADOPTION_AHEAD);
    cr_assert(kind_at(scribe.paper, end, RECORD_ADOPTED));
    cr_assert(kind_at(scribe.paper, end + 1, RECORD_CLAIM));
    /* What the others get from there reads on, and so does a copy of before the claim. */
    copy_rows(image->store, blank->store);
    reader_open(blank);
    cr_assert_eq(replica_state(blank->replica), REPLICA_STANDBY);
    cr_assert_eq(replica_position(blank->replica)->epoch, 2 + ADOPTION_AHEAD);
    cr_assert_eq(replica_position(blank->replica)->chain, replica_position(image->replica)->chain);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        reader_free(all[i]);
    adoptions_destroy(&list);
    paper_free(scribe.paper);
}

Test(adoptions, end_all_other_histories_in_the_log_whether_their_readers_know_or_not)
{
    scribe_t scribe = scribe_new(), before;
    adoptions_t *list = adoptions_new(), *unknowing = adoptions_new();
    reader_t *image = node_reader(&scribe, list, &adopter);
    reader_t *late = node_reader(&scribe, unknowing, &bystander);
    reader_t *blank = node_reader(&scribe, unknowing, &bystander);
    reader_t *const all[] = {image};
    uint64_t offset;
    uint32_t crc;

    reader_open(image);
    reader_open(late);
    before = scribe;
    const adoption_t adoption = adopt(list, image, &second, all, 1);
    reader_open(image);
    claim(image);
    (void)scribe_decide(&scribe); /* of the owner of the past, who has not heard of it */
    reader_read(late);
    reader_is_at(late, &before, REPLICA_HALTED);
    cr_assert(!replica_halted_at(late->replica, &offset, &crc), "it is not skipped");
    reader_open(blank);
    reader_is_at(blank, &before, REPLICA_HALTED);
    /* Of the new history the record of the past is nothing. */
    reader_read(image);
    cr_assert_eq(replica_state(image->replica), REPLICA_OWNER);
    cr_assert(adoptions_add(unknowing, &adoption));
    replica_close(late->replica, late->now_us);
    cr_assert_eq(replica_open(late->replica, NULL), ERR_STATE);
    cr_assert_not_null(replica_wants_history(late->replica));
    reader_free(image);
    reader_free(late);
    reader_free(blank);
    adoptions_destroy(&list);
    adoptions_destroy(&unknowing);
    paper_free(scribe.paper);
}

/* Whoever claims without it: nobody takes that claim, the claimer neither. */
Test(adoptions, are_not_claimed_before_that_end_stands_in_the_log)
{
    scribe_t scribe = scribe_new();
    adoptions_t *list = adoptions_new();
    reader_t *image = node_reader(&scribe, list, &adopter);
    reader_t *const all[] = {image};

    reader_open(image);
    (void)adopt(list, image, &second, all, 1);
    reader_open(image);
    scribe.at = *replica_position(image->replica);
    record_header_t header = scribe_header(&scribe, RECORD_CLAIM);
    uint8_t previous[8];
    for (int i = 0; i < 8; i++)
        previous[i] = (uint8_t)(scribe.at.epoch >> (8 * i));
    header.history = second;
    header.epoch++;
    (void)scribe_put(&scribe, &header, previous, sizeof previous, false);
    reader_read(image);
    cr_assert_eq(replica_position(image->replica)->epoch, 1 + ADOPTION_AHEAD);
    claim(image);
    cr_assert_eq(replica_state(image->replica), REPLICA_OWNER);
    cr_assert(hash_equal(&replica_position(image->replica)->owner, &(hash_t){{1}}));
    reader_free(image);
    adoptions_destroy(&list);
    paper_free(scribe.paper);
}

Test(adoptions, take_no_image_but_the_one_that_they_name)
{
    scribe_t scribe = scribe_new();
    adoptions_t *list = adoptions_new();
    reader_t *image = node_reader(&scribe, list, &adopter);
    reader_t *const all[] = {image};

    reader_open(image);
    position_t stored;
    cr_assert_eq(replica_sync(image->replica, NULL), ERR_NONE);
    cr_assert(replica_stored(image->replica, &stored));
    adoption_t adoption = adoption_of(HERE, &first, &first, &second);
    adoption.epoch = stored.epoch;
    adoption.seq = stored.seq + 1; /* an older state of that disk */
    adoption.chain = stored.chain;
    cr_assert(adoptions_add(list, &adoption));
    replica_adopted(image->replica, HERE);
    replica_close(image->replica, image->now_us);
    cr_assert_eq(replica_open(image->replica, NULL), ERR_STATE);
    cr_assert_not_null(replica_wants_history(image->replica));
    /* Where nothing better is left, that copy is adopted in its turn. */
    (void)adopt(list, image, &third, all, 1);
    reader_open(image);
    cr_assert_eq(replica_state(image->replica), REPLICA_STANDBY);
    cr_assert(hash_equal(&replica_position(image->replica)->history, &third));
    reader_free(image);
    adoptions_destroy(&list);
    paper_free(scribe.paper);
}

Test(adoptions, move_ids_ahead_and_remember_where_the_image_came_from)
{
    store_t *store = store_memory_new();
    position_t at = {.history = first, .epoch = 3, .seq = 9, .chain = 17, .offset = 40, .crc = 5};
    const adoption_t adoption = adoption_of(HERE, &first, &first, &second);
    const adoption_t again = adoption_of(HERE, &second, &second, &third);
    uint8_t key[BATCH_KEY_BYTES_MAX];
    checkpoint_t checkpoint;
    buffer_t value;
    bool found;

    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (uint64_t times = 1; times <= 2; times++) {
        cr_assert_eq(adopt_image(store, LOGS - 1, times == 1 ? &adoption : &again, 77, &at, NULL),
                     ERR_NONE);
        cr_assert_eq(at.epoch, 3 + times * ADOPTION_AHEAD);
        cr_assert_eq(at.offset, 4);
        cr_assert_eq(at.skips, 77);
        buffer_reset(&value);
        cr_assert_eq(store_get(store, NULL, FAMILY_STATE, key, key_checkpoint(key, HERE), &value,
                               &found, NULL),
                     ERR_NONE);
        cr_assert_eq(checkpoint_decode(&checkpoint, value.bytes, value.size, NULL), ERR_NONE);
        cr_assert_eq(checkpoint.next_sequence, 1 + times * ADOPTION_AHEAD);
    }
    const hash_t *const came[] = {&first, &second}, *const not [] = {&third, &fourth};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(adopt_came_from(store, HERE, came[i], &value, &found, NULL), ERR_NONE);
        cr_assert(found);
        cr_assert_eq(adopt_came_from(store, HERE, not [i], &value, &found, NULL), ERR_NONE);
        cr_assert(!found);
    }
    buffer_free(&value);
    store_destroy(&store);
}
