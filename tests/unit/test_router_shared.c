/* test_router_shared.c - a router on a shared log, alone, with a clock and copies of partitions of the test */
#include "cluster/router_setup.h"
#include "protocol/metrics.h"
#include "storage/journal.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define SECOND INT64_C(1000000)

/* The local copies: what they answer, and what they were asked. */
typedef struct {
    router_t *router;
    store_t *store;
    clock_source_t clock;
    atomic_llong skipped_us; /* how far the test's clock is ahead of the system's */
    atomic_uint commands, barriers;
    atomic_int answer;   /* an errcode_t */
    atomic_bool refuses; /* at once, instead of through the request */
    atomic_uint
        gains; /* so many times the copy answers ERR_NOT_OWNER, and then owns in a new epoch */
    atomic_uint epochs; /* that were given so */
    atomic_bool follows;
} alone_t;

static int64_t alone_wall(void *state)
{
    return clock_wall_us(clock_system()) + atomic_load(&((alone_t *)state)->skipped_us);
}

static int64_t alone_boot(void *state)
{
    return clock_boot_us(clock_system()) + atomic_load(&((alone_t *)state)->skipped_us);
}

static errcode_t alone_post(void *state, request_t *request, err_t *err)
{
    alone_t *self = state;
    errcode_t answer = (errcode_t)atomic_load(&self->answer);
    unsigned gains = atomic_load(&self->gains);
    bool barrier = false;
    err_t failure = {.code = ERR_NONE};
    command_t command;

    if (command_decode(&command, request->command, request->command_bytes, NULL) == ERR_NONE)
        barrier = command.kind == COMMAND_BARRIER;
    (void)atomic_fetch_add(barrier ? &self->barriers : &self->commands, 1);
    if (gains > 0) {
        atomic_store(&self->gains, gains - 1);
        answer = ERR_NOT_OWNER;
        router_set_owned(self->router, request->partition, 10 + atomic_fetch_add(&self->epochs, 1),
                         true);
    }
    if (answer != ERR_NONE && atomic_load(&self->refuses))
        return err_set(err, answer, NULL);
    if (answer != ERR_NONE)
        (void)err_set(&failure, answer, NULL);
    request_complete(request, "done", 4, &failure);
    return ERR_NONE;
}

static void alone_deliver(void *state, uint16_t dst, const void *frame, size_t n)
{
    alone_t *self = state;

    (void)dst;
    (void)frame;
    (void)n;
    (void)atomic_fetch_add(&self->commands, 1);
}

static bool alone_follows(void *state, uint16_t partition)
{
    alone_t *self = state;

    return partition == 3 && atomic_load(&self->follows);
}

static void alone_troubles(void *state, buffer_t *out)
{
    (void)state;
    buffer_text(out, "\"a trouble of the log\"");
}

static void alone_begin(alone_t *self, bool counted)
{
    const router_shared_t hooks = {self, alone_post, alone_deliver, alone_follows, alone_troubles};
    const hash_t cluster = {{7}};
    router_config_t config;

    memset(self, 0, sizeof *self);
    self->clock = (clock_source_t){alone_wall, alone_boot, self};
    self->store = store_memory_new();
    config = (router_config_t){.store = self->store,
                               .clock = &self->clock,
                               .random = random_system(),
                               .partitions = 8,
                               .shared = &hooks,
                               .parked_max = 2};
    cr_assert_eq(router_open(&self->router, &config, NULL), ERR_NONE);
    cr_assert_eq(router_start(self->router, NULL), ERR_NONE);
    router_attach(self->router, NULL, 0, NULL);
    if (!counted)
        return;
    router_set_cluster(self->router, &cluster);
    router_set_partitions(self->router, 16);
    router_set_members(self->router, NULL, 0);
}

static void alone_end(alone_t *self)
{
    router_stop(self->router);
    router_destroy(&self->router);
    store_destroy(&self->store);
}

static errcode_t alone_ask(alone_t *self, uint16_t partition, err_t *err)
{
    request_t *request = request_new(partition, "what", 4, alone_wall(self) + 20 * SECOND);
    waiter_t waiter;
    errcode_t rc;

    memset(err, 0, sizeof *err);
    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    rc = router_post(self->router, request, err);
    if (rc == ERR_NONE) {
        cr_assert(waiter_wait(&waiter, 1, 20 * SECOND));
        *err = request->err;
        rc = err->code;
        cr_assert(rc != ERR_NONE || request->result.size == 4);
    }
    request_release(request);
    return rc;
}

/* QUERY_TOTALS of an empty partition is answered with a row. */
static errcode_t alone_read(alone_t *self, uint16_t partition, read_level_t level, err_t *err)
{
    const query_t query = {.kind = QUERY_TOTALS};
    buffer_t answer;
    errcode_t rc;

    memset(err, 0, sizeof *err);
    buffer_init(&answer, 1 << 16);
    rc = router_query_at(self->router, partition, level, &query, alone_wall(self) + 20 * SECOND,
                         &answer, err);
    cr_assert_eq(rc == ERR_NONE, answer.size > 0);
    buffer_free(&answer);
    return rc;
}

Test(router_shared, serves_what_it_owns_from_when_it_is_told, .timeout = 30)
{
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    cr_assert_eq(router_partitions(alone.router), 16);
    cr_assert_eq(router_home_partition(alone.router), 16); /* the catalogue's */
    cr_assert_str_eq(router_owner_name(alone.router, 3), "");
    router_set_owned(alone.router, 3, 5, true);
    cr_assert_str_eq(router_owner_name(alone.router, 3), "local");
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_NONE);
    router_send(alone.router, 3, "frame", 5);
    router_send(alone.router, 4, "frame", 5); /* nobody's: lost without harm */
    cr_assert_eq(atomic_load(&alone.commands), 2);
    router_set_owned(alone.router, 3, 4, false); /* the end of an older time says nothing */
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_NONE);
    router_set_owned(alone.router, 3, 5, false);
    cr_assert_str_eq(router_owner_name(alone.router, 3), "");
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_UNREACHABLE);
    cr_assert_str_eq(err.text, "partition 3 has no owner at the moment; it is being taken over");
    cr_assert_eq(atomic_load(&alone.commands), 3);
    alone_end(&alone);
}

Test(router_shared, knows_nothing_before_the_number_of_partitions_is_known, .timeout = 30)
{
    alone_t alone;
    int64_t began_us = clock_boot_us(clock_system());
    err_t err;

    alone_begin(&alone, false);
    cr_assert(!router_wait_birth(alone.router, 1000));
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_UNREACHABLE);
    cr_assert_str_eq(err.text, "this node is starting");
    cr_assert_eq(alone_read(&alone, 3, READ_ANY, &err), ERR_UNREACHABLE);
    cr_assert_lt(clock_boot_us(clock_system()) - began_us, SECOND / 2); /* not worth waiting */
    router_set_partitions(alone.router, 16);
    cr_assert(router_wait_birth(alone.router, 1000));
    alone_end(&alone);
}

static bool somebody_waits(void)
{
    buffer_t out;
    bool waits;

    buffer_init(&out, 1 << 20);
    metrics_write(&out);
    buffer_byte(&out, 0);
    waits = strstr((const char *)out.bytes, "fealty_cluster_parked 1\n") != NULL;
    buffer_free(&out);
    return waits;
}

static void *gain_when_asked(void *argument)
{
    alone_t *self = argument;
    int64_t until_us = clock_boot_us(clock_system()) + 10 * SECOND;

    while (!somebody_waits() && clock_boot_us(clock_system()) < until_us)
        (void)poll(NULL, 0, 1);
    router_set_owned(self->router, 3, 9, true);
    return NULL;
}

Test(router_shared, a_command_and_a_read_wait_for_an_owner, .timeout = 30)
{
    for (int read = 0; read < 2; read++) {
        alone_t alone;
        pthread_t thread;
        err_t err;

        alone_begin(&alone, true);
        cr_assert_eq(pthread_create(&thread, NULL, gain_when_asked, &alone), 0);
        if (read != 0)
            cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_NONE);
        else
            cr_assert_eq(alone_ask(&alone, 3, &err), ERR_NONE);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        alone_end(&alone);
    }
}

Test(router_shared, a_command_that_was_not_applied_is_sent_again_to_the_next_owner, .timeout = 30)
{
    for (int refuses = 0; refuses < 2; refuses++) {
        alone_t alone;
        err_t err;

        alone_begin(&alone, true);
        router_set_owned(alone.router, 3, 5, true);
        atomic_store(&alone.refuses, refuses != 0);
        atomic_store(&alone.gains, 2); /* twice the owner changes while the command is there */
        cr_assert_eq(alone_ask(&alone, 3, &err), ERR_NONE);
        cr_assert_eq(atomic_load(&alone.commands), 3);
        atomic_store(&alone.gains, 50); /* a partition that does not come to rest */
        cr_assert_eq(alone_ask(&alone, 3, &err), ERR_UNREACHABLE);
        cr_assert_eq(atomic_load(&alone.commands), 3 + 4);
        alone_end(&alone);
    }
}

Test(router_shared, an_unknown_outcome_is_never_sent_again, .timeout = 30)
{
    static const errcode_t final[] = {ERR_UNKNOWN_OUTCOME, ERR_OVERLOADED, ERR_HALTED};

    for (size_t i = 0; i < COUNT_OF(final); i++) {
        alone_t alone;
        err_t err;

        alone_begin(&alone, true);
        router_set_owned(alone.router, 3, 5, true);
        atomic_store(&alone.answer, final[i]);
        cr_assert_eq(alone_ask(&alone, 3, &err), final[i]);
        cr_assert_eq(atomic_load(&alone.commands), 1);
        alone_end(&alone);
    }
}

Test(router_shared, a_command_that_nobody_takes_comes_back_within_a_second, .timeout = 30)
{
    alone_t alone;
    int64_t began_us = clock_boot_us(clock_system()), took_us;
    err_t err;

    alone_begin(&alone, true);
    router_set_owned(alone.router, 3, 5, true);
    atomic_store(&alone.answer, ERR_NOT_OWNER); /* and the owner stays the same */
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_UNREACHABLE);
    took_us = clock_boot_us(clock_system()) - began_us;
    cr_assert_geq(took_us, SECOND);
    cr_assert_lt(took_us, 5 * SECOND);
    cr_assert_eq(atomic_load(&alone.commands), 1);
    alone_end(&alone);
}

Test(router_shared, an_owner_whose_log_does_not_answer_says_so_at_once, .timeout = 30)
{
    alone_t alone;
    int64_t began_us = clock_boot_us(clock_system());
    err_t err;

    alone_begin(&alone, true);
    router_set_owned(alone.router, 3, 5, true);
    atomic_store(&alone.answer, ERR_UNREACHABLE);
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_UNREACHABLE);
    cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_UNREACHABLE);
    cr_assert_str_eq(err.text, err_info(ERR_UNREACHABLE)->text); /* the copy's words */
    cr_assert_lt(clock_boot_us(clock_system()) - began_us, SECOND / 2);
    cr_assert_eq(atomic_load(&alone.commands), 1);
    alone_end(&alone);
}

Test(router_shared, nobody_waits_for_a_partition_that_was_long_without_an_owner, .timeout = 30)
{
    alone_t alone;
    int64_t began_us;
    err_t err;

    alone_begin(&alone, true);
    atomic_store(&alone.skipped_us, 6 * SECOND);
    began_us = clock_boot_us(clock_system());
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_UNREACHABLE);
    cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_UNREACHABLE);
    cr_assert_lt(clock_boot_us(clock_system()) - began_us, SECOND / 2);
    router_set_owned(alone.router, 3, 5, true);
    cr_assert_eq(alone_ask(&alone, 3, &err), ERR_NONE);
    alone_end(&alone);
}

Test(router_shared, more_than_there_is_room_for_is_told_at_once, .timeout = 30)
{
    alone_t alone;
    request_t *requests[3];
    waiter_t waiter;
    err_t err;

    alone_begin(&alone, true);
    waiter_init(&waiter);
    for (int i = 0; i < 3; i++) {
        requests[i] = request_new(3, "what", 4, alone_wall(&alone) + 20 * SECOND);
        waiter_watch(&waiter, requests[i]);
        cr_assert_eq(router_post(alone.router, requests[i], &err),
                     i < 2 ? ERR_NONE : ERR_UNREACHABLE);
    }
    router_set_owned(alone.router, 3, 5, true);
    cr_assert(waiter_wait(&waiter, 2, 20 * SECOND));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(requests[i]->err.code, ERR_NONE);
        request_release(requests[i]);
    }
    alone_end(&alone);
}

Test(router_shared, only_reads_that_ask_for_it_need_a_barrier, .timeout = 30)
{
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    router_set_owned(alone.router, 3, 5, true);
    cr_assert_eq(alone_read(&alone, 3, READ_ANY, &err), ERR_NONE);
    cr_assert_eq(atomic_load(&alone.barriers), 0);
    cr_assert_eq(alone_read(&alone, 3, READ_SESSION, &err), ERR_NONE);
    cr_assert_eq(atomic_load(&alone.barriers), 0);
    cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_NONE);
    cr_assert_eq(atomic_load(&alone.barriers), 1);
    /* A copy that follows answers too, if any answer will do. */
    router_set_owned(alone.router, 3, 5, false);
    atomic_store(&alone.follows, true);
    cr_assert_eq(alone_read(&alone, 3, READ_ANY, &err), ERR_NONE);
    cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_UNREACHABLE);
    cr_assert_eq(atomic_load(&alone.barriers), 1);
    alone_end(&alone);
}

Test(router_shared, a_read_whose_barrier_fails_asks_the_next_owner, .timeout = 30)
{
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    router_set_owned(alone.router, 3, 5, true);
    atomic_store(&alone.gains, 2);
    cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_NONE);
    cr_assert_eq(atomic_load(&alone.barriers), 3);
    atomic_store(&alone.answer, ERR_HALTED);
    cr_assert_eq(alone_read(&alone, 3, READ_LINEARIZABLE, &err), ERR_HALTED);
    alone_end(&alone);
}

Test(router_shared, a_scattered_read_is_whole_or_not_at_all, .timeout = 30)
{
    const query_t query = {.kind = QUERY_TOTALS};
    alone_t alone;
    buffer_t answers[16];
    err_t err;

    alone_begin(&alone, true);
    for (uint16_t i = 0; i < 16; i++) {
        buffer_init(&answers[i], 1 << 16);
        if (i != 9)
            router_set_owned(alone.router, i, 1, true);
    }
    cr_assert_eq(
        router_scatter(alone.router, &query, alone_wall(&alone) + 20 * SECOND, answers, &err),
        ERR_UNREACHABLE);
    cr_assert_not_null(strstr(err.text, "partition 9 has no owner"));
    for (uint16_t i = 0; i < 16; i++)
        buffer_reset(&answers[i]);
    router_set_owned(alone.router, 9, 1, true);
    atomic_store(&alone.gains, 3); /* three of them change hands meanwhile */
    cr_assert_eq(
        router_scatter(alone.router, &query, alone_wall(&alone) + 20 * SECOND, answers, &err),
        ERR_NONE);
    for (uint16_t i = 0; i < 16; i++) {
        cr_assert_gt(answers[i].size, 0);
        buffer_free(&answers[i]);
    }
    alone_end(&alone);
}

Test(router_shared, says_whether_it_is_ready, .timeout = 30)
{
    alone_t alone;
    buffer_t out;

    alone_begin(&alone, false);
    buffer_init(&out, 1 << 16);
    cr_assert(!router_ready(alone.router, &out));
    buffer_byte(&out, 0);
    cr_assert_not_null(strstr((char *)out.bytes, "\"status\":\"starting\""));
    router_set_partitions(alone.router, 16);
    router_set_owned(alone.router, 3, 1, true);
    buffer_reset(&out);
    cr_assert(router_ready(alone.router, &out));
    buffer_byte(&out, 0);
    cr_assert_not_null(strstr((char *)out.bytes, "\"status\":\"degraded\""));
    cr_assert_not_null(strstr((char *)out.bytes, "{\"own\":1,\"ready\":1,\"without_owner\":16}"));
    cr_assert_not_null(strstr((char *)out.bytes, "\"troubles\":[\"a trouble of the log\"]"));
    buffer_free(&out);
    alone_end(&alone);
}

static void alone_stand(alone_t *self, uint64_t epoch, uint64_t seq, uint64_t end)
{
    const position_t position = {
        .history = {{1}}, .epoch = epoch, .seq = seq, .ends = {end, end, end, end}};
    buffer_t batch;

    buffer_init(&batch, 4096);
    journal_put_position(3, &position, &batch);
    const batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(self->store, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
}

/* Reads partition 3 as one who has seen these places of it. */
static errcode_t alone_session(alone_t *self, const log_place_t *places, size_t count,
                               log_place_t *answered, err_t *err)
{
    uint8_t after[8 * LOG_PLACE_BYTES];
    query_t query = {.kind = QUERY_TOTALS,
                     .set = QUERY_PLACE,
                     .after = {(const char *)after, count * LOG_PLACE_BYTES}};
    answer_t answer;
    buffer_t bytes;

    for (size_t i = 0; i < count; i++)
        log_place_pack(&places[i], after + i * LOG_PLACE_BYTES);
    memset(err, 0, sizeof *err);
    buffer_init(&bytes, 1 << 16);
    errcode_t rc = router_query_at(self->router, 3, READ_SESSION, &query,
                                   alone_wall(self) + 20 * SECOND, &bytes, err);
    if (rc == ERR_NONE) {
        cr_assert_eq(answer_decode(&answer, bytes.bytes, bytes.size, NULL), ERR_NONE);
        *answered = answer.place;
    }
    buffer_free(&bytes);
    return rc;
}

Test(router_shared, a_session_is_answered_by_the_copy_that_has_reached_what_it_saw, .timeout = 30)
{
    const log_place_t seen[] = {{{{1}}, 2, 10}, {{{1}}, 1, 4}};
    log_place_t answered;
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    atomic_store(&alone.follows, true);
    alone_stand(&alone, 2, 11, 4);
    cr_assert_eq(alone_session(&alone, seen, 2, &answered, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(answered.epoch, 2);
    cr_assert_eq(answered.seq, 11);
    cr_assert_eq(alone_session(&alone, NULL, 0, &answered, &err), ERR_NONE); /* has seen nothing */
    router_set_owned(alone.router, 3, 2, true); /* an owner needs no record for it either */
    cr_assert_eq(alone_session(&alone, seen, 2, &answered, &err), ERR_NONE);
    cr_assert_eq(atomic_load(&alone.barriers), 0);
    alone_end(&alone);
}

Test(router_shared, a_session_that_saw_what_the_log_does_not_hold_is_told_at_once, .timeout = 30)
{
    const log_place_t cut = {{{1}}, 1, 5}, foreign = {{{7}}, 2, 1};
    const log_place_t several[] = {{{{1}}, 2, 900}, {{{7}}, 2, 1}}; /* one ahead, one lost */
    log_place_t answered;
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    atomic_store(&alone.follows, true);
    alone_stand(&alone, 2, 11, 4);
    cr_assert_eq(alone_session(&alone, &cut, 1, &answered, &err), ERR_POSITION_LOST);
    cr_assert_eq(err_info(ERR_POSITION_LOST)->http, 409);
    cr_assert_eq(alone_session(&alone, &foreign, 1, &answered, &err), ERR_POSITION_LOST);
    cr_assert_eq(alone_session(&alone, several, 2, &answered, &err), ERR_POSITION_LOST);
    alone_end(&alone);
}

/* Once the session waits, the copy moves on: first not far enough. */
static void *alone_move_on(void *state)
{
    alone_t *self = state;

    for (uint64_t seq = 12; seq <= 15; seq++) {
        while (!router_stored(self->router))
            (void)sched_yield();
        alone_stand(self, 2, seq, 4);
        (void)router_stored(self->router);
    }
    return NULL;
}

Test(router_shared, a_session_waits_until_the_copy_has_reached_what_it_saw, .timeout = 30)
{
    const log_place_t seen = {{{1}}, 2, 15};
    pthread_t mover;
    log_place_t answered;
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    atomic_store(&alone.follows, true);
    alone_stand(&alone, 2, 11, 4);
    cr_assert_eq(pthread_create(&mover, NULL, alone_move_on, &alone), 0);
    cr_assert_eq(alone_session(&alone, &seen, 1, &answered, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(answered.seq, 15);
    cr_assert_eq(pthread_join(mover, NULL), 0);
    cr_assert(!router_stored(alone.router)); /* nobody waits any more */
    alone_end(&alone);
}

Test(router_shared, a_session_does_not_wait_for_ever, .timeout = 30)
{
    const log_place_t seen = {{{1}}, 3, 1};
    log_place_t answered;
    alone_t alone;
    err_t err;

    alone_begin(&alone, true);
    atomic_store(&alone.follows, true);
    alone_stand(&alone, 2, 11, 4);
    cr_assert_eq(alone_session(&alone, &seen, 1, &answered, &err), ERR_POSITION_AHEAD);
    cr_assert_eq(err_info(err.code)->http, 503);
    cr_assert_not_null(strstr(err.text, "epoch 2, seq 11"), "%s", err.text);
    alone_end(&alone);
}

Test(router_shared, takes_no_list_of_peers, .timeout = 30)
{
    const router_shared_t hooks = {NULL, alone_post, alone_deliver, alone_follows, alone_troubles};
    router_config_t config = {.clock = clock_system(),
                              .random = random_system(),
                              .partitions = 8,
                              .listen = "127.0.0.1:7001",
                              .peers = "127.0.0.1:7001,127.0.0.1:7002",
                              .shared = &hooks};
    router_t *router = NULL;

    cr_assert_eq(router_open(&router, &config, NULL), ERR_INVALID);
    cr_assert_null(router);
    config.peers = NULL;
    config.listen = "nowhere";
    cr_assert_eq(router_open(&router, &config, NULL), ERR_INVALID);
    config.listen = "";
    config.partitions = 0;
    cr_assert_eq(router_open(&router, &config, NULL), ERR_INVALID);
}
