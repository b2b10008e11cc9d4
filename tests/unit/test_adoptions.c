/* test_adoptions.c - an image becomes a partition's new history: which one counts, what copies and pairs make of it */
#include "actors/adoptions.h"

#include "actors/adopt.h"
#include "cluster/channel_records.h"
#include "tests/unit/membership_world.h"
#include "tests/unit/scribe.h"

#define PEER 1 /* the other partition of a pair */

static const hash_t first = {{7}}, second = {{21}}, third = {{22}}, fourth = {{23}};
static const hash_t adopter = {{31}}, bystander = {{32}};

static adoption_t adoption_of(uint16_t partition, const hash_t *old, const hash_t *image,
                              const hash_t *fresh)
{
    return (adoption_t){.partition = partition,
                        .old = *old,
                        .image = *image,
                        .fresh = *fresh,
                        .node = adopter,
                        .epoch = 3,
                        .seq = 9,
                        .chain = 17,
                        .offset = 4,
                        .at_us = 5,
                        .reason = "a test"};
}

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
    for (size_t read = 0; read < world->control.count; read++) {
        const world_record_t *record = &world->control.records[read];
        const journal_record_t given = {
            .partition = JOURNAL_CONTROL, .bytes = record->bytes, .n = record->n, .offset = read};
        membership_on_record(late, &given, world->now_us, world->now_us);
    }
    cr_assert_eq(adoptions_told, 1);
    membership_destroy(&late);
    free(view);
    world_free(world);
}

/* --- copies -------------------------------------------------------------------------------------- */

/* A reader that knows a list of adoptions, on a node with this id. */
static reader_t *node_reader(const scribe_t *scribe, const adoptions_t *list, const hash_t *node)
{
    reader_t *self = reader_new(scribe);

    replica_set_adoptions(self->replica, list, node);
    return self;
}

/* The image of a reader is adopted, and all readers are told. */
static adoption_t adopt(adoptions_t *list, reader_t *image, const hash_t *fresh,
                        reader_t *const *all, size_t count)
{
    position_t stored;
    const adoption_t *latest = adoptions_latest(list, HERE);

    cr_assert_eq(replica_sync(image->replica, NULL), ERR_NONE);
    cr_assert(replica_stored(image->replica, &stored));
    adoption_t adoption = adoption_of(HERE, latest != NULL ? &latest->fresh : &stored.history,
                                      &stored.history, fresh);
    adoption.epoch = stored.epoch;
    adoption.seq = stored.seq;
    adoption.chain = stored.chain;
    adoption.offset = image->pen->paper->count[HERE];
    cr_assert(adoptions_add(list, &adoption));
    for (size_t i = 0; i < count; i++)
        replica_adopted(all[i]->replica, HERE);
    return adoption;
}

static void claim(reader_t *self)
{
    const hash_t unused = {{99}};

    replica_claim(self->replica, &unused, self->now_us);
    reader_read(self);
}

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

/* --- pairs --------------------------------------------------------------------------------------- */

/* A copy that owns partition HERE, and what partition PEER says to it. */
typedef struct {
    scribe_t scribe;
    adoptions_t *list;
    reader_t *owner;
} duo_t;

static duo_t duo_new(void)
{
    duo_t self = {.scribe = {.paper = paper_new()}, .list = adoptions_new()};

    self.owner = node_reader(&self.scribe, self.list, &adopter);
    reader_open(self.owner);
    claim(self.owner);
    cr_assert_eq(replica_state(self.owner->replica), REPLICA_OWNER);
    return self;
}

static void duo_free(duo_t *self)
{
    reader_free(self->owner);
    adoptions_destroy(&self->list);
    paper_free(self->scribe.paper);
}

/* Often enough for what is strange to be proven. */
static void duo_say(duo_t *self, const frame_t *frame)
{
    buffer_t bytes;

    buffer_init(&bytes, 4096);
    frame_encode(frame, &bytes);
    for (int i = 0; i < 3; i++) {
        replica_on_frame(self->owner->replica, bytes.bytes, bytes.size, PAPER_TIME_US);
        reader_read(self->owner);
    }
    buffer_free(&bytes);
}

static void duo_message(duo_t *self, const hash_t *history, uint64_t n, uint64_t floor,
                        uint64_t older)
{
    const session_t session = {.token = {{(uint8_t)n}}, .user = 1, .expires_us = INT64_MAX};
    buffer_t body;

    buffer_init(&body, 1024);
    session_encode(&session, &body);
    const frame_t frame = {.kind = FRAME_DATA,
                           .src = PEER,
                           .dst = HERE,
                           .src_history = *history,
                           .epoch = 1,
                           .n = n,
                           .floor = floor,
                           .older = older,
                           .body = {(const char *)body.bytes, body.size}};
    duo_say(self, &frame);
    buffer_free(&body);
}

/* What it acknowledged last, and to whom. */
static void duo_has(const duo_t *self, uint64_t n, const hash_t *history)
{
    const frame_t *ack = &self->owner->sent[FRAME_ACK];

    cr_assert_null(replica_trouble(self->owner->replica), "%s",
                   replica_trouble(self->owner->replica));
    cr_assert_eq(ack->n, n);
    cr_assert(hash_equal(&ack->src_history, history));
}

static void duo_adopted(duo_t *self, const hash_t *old, const hash_t *fresh)
{
    const adoption_t adoption = adoption_of(PEER, old, old, fresh);

    cr_assert(adoptions_add(self->list, &adoption));
    replica_adopted(self->owner->replica, PEER);
}

Test(adoptions, of_a_sender_are_taken_when_its_image_holds_all_that_was_applied)
{
    duo_t duo = duo_new();

    duo_message(&duo, &first, 1, 0, 0);
    duo_message(&duo, &first, 2, 0, 0);
    duo_has(&duo, 2, &first);
    /* Before it is known that it was adopted, that is a stranger; then it is not. */
    duo_message(&duo, &second, 3, 4, 0);
    cr_assert_not_null(strstr(replica_trouble(duo.owner->replica), "another history"));
    duo_adopted(&duo, &first, &second);
    cr_assert_null(replica_trouble(duo.owner->replica));
    duo_message(&duo, &first, 3, 0, 0); /* of the past: lost on its way */
    duo_has(&duo, 2, &first);
    duo_message(&duo, &second, 2, 4, 0); /* one that was applied: from here on it is known anew */
    duo_has(&duo, 2, &second);
    duo_message(&duo, &second, 3, 4, 0);
    duo_has(&duo, 3, &second);
    duo_message(&duo, &second, 4, 0, 0); /* it has heard that */
    duo_has(&duo, 4, &second);
    /* The rows say so: a copy that is opened goes on there. */
    replica_close(duo.owner->replica, duo.owner->now_us);
    reader_open(duo.owner);
    claim(duo.owner);
    duo_message(&duo, &second, 5, 0, 0);
    duo_has(&duo, 5, &second);
    duo_free(&duo);
}

Test(adoptions, of_a_sender_halt_the_pair_when_its_image_lacks_what_was_applied)
{
    duo_t duo = duo_new();

    duo_message(&duo, &first, 1, 0, 0);
    duo_message(&duo, &first, 2, 0, 0);
    duo_adopted(&duo, &first, &second);
    /* Its message 2 is another one than the one that was applied, and 3 comes behind that. */
    duo_message(&duo, &second, 3, 2, 0);
    cr_assert_not_null(strstr(replica_trouble(duo.owner->replica), "lacks messages"));
    duo_message(&duo, &second, 2, 2, 0);
    cr_assert_eq(duo.owner->sent[FRAME_ACK].n, 2);
    cr_assert(hash_equal(&duo.owner->sent[FRAME_ACK].src_history, &first));
    duo_free(&duo);
}

Test(adoptions, of_a_sender_over_two_histories_are_measured_by_the_one_that_is_known)
{
    for (int i = 0; i < 2; i++) {
        duo_t duo = duo_new();

        duo_message(&duo, &first, 1, 0, 0);
        duo_message(&duo, &first, 2, 0, 0);
        duo_adopted(&duo, &first, &second);
        if (i == 0) { /* it knows the one between, and has applied what is of that one only */
            duo_message(&duo, &second, 3, 3, 0);
            duo_has(&duo, 3, &second);
        }
        duo_adopted(&duo, &second, &third);
        duo_message(&duo, &third, i == 0 ? 4 : 3, 4, i == 0 ? 3 : 2);
        if (i == 0)
            duo_has(&duo, 4, &third);
        else
            cr_assert_not_null(strstr(replica_trouble(duo.owner->replica), "lacks messages"));
        duo_free(&duo);
    }
}

/* A login goes to the other partition as a message: then there is something to acknowledge. */
static void duo_send(duo_t *self, unsigned count)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    pair_out_t out = {.next = count + 1, .acked = 0};
    const session_t session = {.token = {{1}}, .user = 1, .expires_us = INT64_MAX};
    buffer_t rows, value;

    buffer_init(&rows, 1 << 16);
    buffer_init(&value, 1024);
    for (uint64_t n = 1; n <= count; n++) {
        buffer_reset(&value);
        session_encode(&session, &value);
        batch_put(&rows, FAMILY_OUTBOX, key, key_outbox(key, HERE, PEER, n), value.bytes,
                  value.size);
    }
    buffer_reset(&value);
    pair_out_encode(&out, &value);
    batch_put(&rows, FAMILY_STATE, key, key_pair_out(key, HERE, PEER), value.bytes, value.size);
    const batch_part_t part = {rows.bytes, rows.size};
    cr_assert_eq(store_write(self->owner->store, &part, 1, true, NULL), ERR_NONE);
    replica_close(self->owner->replica, self->owner->now_us);
    reader_open(self->owner);
    claim(self->owner);
    buffer_free(&rows);
    buffer_free(&value);
}

static void duo_ack(duo_t *self, const hash_t *mine, const hash_t *its, uint64_t epoch, uint64_t n)
{
    const frame_t frame = {.kind = FRAME_ACK,
                           .src = HERE,
                           .dst = PEER,
                           .src_history = *mine,
                           .dst_history = *its,
                           .epoch = epoch,
                           .n = n};
    duo_say(self, &frame);
}

static pair_out_t duo_out(const duo_t *self)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    pair_out_t out = {.next = 0};
    buffer_t value;
    bool found;

    buffer_init(&value, 1024);
    cr_assert_eq(store_get(self->owner->store, NULL, FAMILY_STATE, key,
                           key_pair_out(key, HERE, PEER), &value, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(pair_out_decode(&out, value.bytes, value.size, NULL), ERR_NONE);
    buffer_free(&value);
    return out;
}

static bool duo_knows(const duo_t *self, const hash_t *history)
{
    pair_out_t out = duo_out(self);

    return hash_equal(&out.peer, history);
}

Test(adoptions, of_a_receiver_are_taken_when_its_image_holds_all_that_it_acknowledged)
{
    duo_t duo = duo_new();
    const hash_t mine = replica_position(duo.owner->replica)->history;

    duo_send(&duo, 5);
    duo_ack(&duo, &mine, &first, 4, 2);
    cr_assert_eq(duo_out(&duo).acked, 2);
    duo_adopted(&duo, &first, &second);
    duo_ack(&duo, &mine, &first, 5, 4); /* of the past */
    cr_assert_eq(duo_out(&duo).acked, 2);
    duo_ack(&duo, &mine, &second, 4 + ADOPTION_AHEAD, 2);
    cr_assert_null(replica_trouble(duo.owner->replica));
    cr_assert(duo_knows(&duo, &second));
    duo_ack(&duo, &mine, &second, 4 + ADOPTION_AHEAD, 5);
    cr_assert_eq(duo_out(&duo).acked, 5);
    duo_free(&duo);
}

Test(adoptions, of_a_receiver_halt_the_pair_when_its_image_forgot_what_it_acknowledged)
{
    static const struct {
        uint64_t n;
        const char *why;
    } cases[] = {{1, "forgotten"}, {6, "never sent"}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        duo_t duo = duo_new();
        const hash_t mine = replica_position(duo.owner->replica)->history;

        duo_send(&duo, 5);
        duo_ack(&duo, &mine, &first, 4, 2);
        duo_adopted(&duo, &first, &second);
        duo_ack(&duo, &mine, &second, 4 + ADOPTION_AHEAD, cases[i].n);
        cr_assert_not_null(strstr(replica_trouble(duo.owner->replica), cases[i].why));
        cr_assert_eq(duo_out(&duo).acked, 2);
        cr_assert(duo_knows(&duo, &first));
        duo_free(&duo);
    }
}

/* The adopted side itself: its messages say from which number on they are new ones, until that was answered. */
Test(adoptions, are_told_to_receivers_with_each_message_until_they_answer)
{
    duo_t duo = duo_new();
    const hash_t mine = replica_position(duo.owner->replica)->history;
    reader_t *const all[] = {duo.owner};

    duo_send(&duo, 5);
    duo_ack(&duo, &mine, &first, 4, 2);
    (void)adopt(duo.list, duo.owner, &second, all, 1);
    reader_open(duo.owner);
    claim(duo.owner);
    cr_assert_eq(replica_state(duo.owner->replica), REPLICA_OWNER);
    reader_read(duo.owner);
    replica_on_tick(duo.owner->replica, PAPER_TIME_US + 10000000, duo.owner->now_us);
    cr_assert_eq(duo.owner->sent[FRAME_DATA].floor, 6);
    cr_assert_eq(duo.owner->sent[FRAME_DATA].older, 0);
    cr_assert(hash_equal(&duo.owner->sent[FRAME_DATA].src_history, &second));
    duo_ack(&duo, &mine, &first, 4, 3); /* said to the history before: it counts for nothing */
    cr_assert_null(replica_trouble(duo.owner->replica));
    cr_assert_eq(duo_out(&duo).acked, 2);
    cr_assert_eq(duo_out(&duo).floor, 6);
    duo_ack(&duo, &second, &first, 4, 2);
    cr_assert_eq(duo_out(&duo).floor, 0);
    duo_ack(&duo, &second, &first, 4, 5);
    cr_assert_eq(duo_out(&duo).acked, 5);
    duo_free(&duo);
}
