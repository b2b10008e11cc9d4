/* test_adoptions_pairs.c - pairs of partitions one of which goes on with an adopted image */
#include "tests/unit/adopted.h"

#define PEER 1 /* the other partition of a pair */

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

Test(adoptions_pairs, of_a_sender_are_taken_when_its_image_holds_all_that_was_applied)
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

Test(adoptions_pairs, of_a_sender_halt_the_pair_when_its_image_lacks_what_was_applied)
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

Test(adoptions_pairs, of_a_sender_over_two_histories_are_measured_by_the_one_that_is_known)
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

Test(adoptions_pairs, of_a_receiver_are_taken_when_its_image_holds_all_that_it_acknowledged)
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

Test(adoptions_pairs, of_a_receiver_halt_the_pair_when_its_image_forgot_what_it_acknowledged)
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
Test(adoptions_pairs, are_told_to_receivers_with_each_message_until_they_answer)
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
