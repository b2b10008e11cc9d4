/* shard_bodies.c - real threads against a real shard */
#include "tests/threads/shard_bodies.h"

#include "actors/message.h"
#include "actors/shard.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#define PARTITIONS  2
#define PATIENCE_US INT64_C(60000000)
#define WINDOW      64

typedef struct {
    store_t *store;
    journal_t *journal;
    catalogue_t *catalogue;
    shard_t *shard;
    sem_t in_hook, leave_hook; /* of a session's commit, when `holds` */
    bool holds;
    uint32_t mailbox_max;
    uint64_t accounts[PARTITIONS];
    uuid16_t customers[PARTITIONS];
} bench_t;

/* Stops the shard's thread in the middle of a round until the test lets it go on. */
static void session_hook(void *state, const hash_t *token, const void *value, size_t n)
{
    bench_t *self = state;
    (void)token;
    (void)value;
    (void)n;
    if (!self->holds)
        return;
    sem_post(&self->in_hook);
    while (sem_wait(&self->leave_hook) != 0) /* a signal came between */
        ;
}

static void start(bench_t *self)
{
    static const uint16_t owned[] = {0, 1, PARTITIONS};
    shard_config_t config = {.partitions = PARTITIONS,
                             .owned = owned,
                             .owned_count = COUNT_OF(owned),
                             .store = self->store,
                             .clock = clock_system(),
                             .random = random_system(),
                             .hooks = {.session = session_hook, .state = self},
                             .mailbox_max = self->mailbox_max};
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;

    self->journal = journal_embedded_new(self->store);
    self->catalogue = catalogue_new();
    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (uint64_t version = 1;; version++) {
        change_t change;
        bool found = false;
        buffer_reset(&value);
        errcode_t rc = store_get(self->store, NULL, FAMILY_META, key, key_content(key, version),
                                 &value, &found, NULL);
        INVARIANT(rc == ERR_NONE);
        if (!found)
            break;
        rc = content_decode(&change, value.bytes, value.size, NULL);
        INVARIANT(rc == ERR_NONE);
        rc = catalogue_put(self->catalogue, version, change.resource, change.id, change.deleted,
                           change.json, NULL);
        INVARIANT(rc == ERR_NONE);
    }
    buffer_free(&value);
    config.journal = self->journal;
    config.catalogue = self->catalogue;
    random_fill(config.random, config.incarnation.bytes, sizeof config.incarnation.bytes);
    self->shard = shard_new(&config);
    errcode_t rc = shard_start(self->shard, NULL);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(shard_ready(self->shard));
}

static void stop(bench_t *self)
{
    shard_stop(self->shard, PATIENCE_US);
    INVARIANT(!shard_ready(self->shard));
    shard_destroy(&self->shard);
    journal_destroy(&self->journal);
    catalogue_destroy(&self->catalogue);
}

static request_t *new_request(uint16_t partition, const command_t *command)
{
    buffer_t bytes;

    buffer_init(&bytes, 64 * 1024);
    command_encode(command, &bytes);
    request_t *request = request_new(partition, bytes.bytes, bytes.size, command->deadline_us);
    buffer_free(&bytes);
    return request;
}

/* Posts and waits; the caller releases. */
static request_t *call(bench_t *self, uint16_t partition, const command_t *command)
{
    request_t *request = new_request(partition, command);
    waiter_t waiter;

    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    errcode_t rc = shard_post(self->shard, request, NULL);
    INVARIANT(rc == ERR_NONE);
    bool answered = waiter_wait(&waiter, 1, PATIENCE_US);
    INVARIANT(answered);
    INVARIANT(request->err.code == ERR_NONE);
    return request;
}

static result_t result_of(const request_t *request)
{
    result_t result;
    errcode_t rc = result_decode(&result, request->result.bytes, request->result.size, NULL);
    INVARIANT(rc == ERR_NONE);
    return result;
}

/* One program, and one customer in each partition. */
static void set_up(bench_t *self, uint32_t mailbox_max)
{
    command_t define = {.kind = COMMAND_DEFINE,
                        .operation = OPERATION_DEFINE,
                        .resource = RESOURCE_PROGRAM,
                        .body = text_of("{\"name\":\"P\",\"start_date\":\"2000-01-01T00:00:00Z\","
                                        "\"end_date\":\"2999-01-01T00:00:00Z\"}")};

    memset(self, 0, sizeof *self);
    self->mailbox_max = mailbox_max;
    INVARIANT(sem_init(&self->in_hook, 0, 0) == 0);
    INVARIANT(sem_init(&self->leave_hook, 0, 0) == 0);
    self->store = store_memory_new();
    start(self);
    request_t *request = call(self, PARTITIONS, &define);
    INVARIANT(result_of(request).status == 201);
    request_release(request);
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        uint64_t number = 0;
        do {
            hash_t hash = hash_bytes(&number, sizeof number);
            memcpy(self->customers[p].bytes, hash.bytes, sizeof hash.bytes);
            number++;
        } while (partition_of_slot(slot_of_customer(&self->customers[p]), PARTITIONS) != p);
        command_t enrol = {.kind = COMMAND_ENROL, .customer = self->customers[p], .program = 1};
        request = call(self, p, &enrol);
        INVARIANT(result_of(request).status == 201);
        self->accounts[p] = result_of(request).account;
        request_release(request);
    }
}

static void tear_down(bench_t *self)
{
    stop(self);
    store_destroy(&self->store);
    sem_destroy(&self->in_hook);
    sem_destroy(&self->leave_hook);
}

static points_t balance_of(bench_t *self, uint16_t partition)
{
    account_t account;
    buffer_t scratch;
    bool found = false;

    buffer_init(&scratch, 64 * 1024);
    errcode_t rc = rows_account_by_id(self->store, NULL, partition, self->accounts[partition],
                                      &account, &scratch, &found, NULL);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(found);
    INVARIANT(account.in_transit == 0);
    buffer_free(&scratch);
    return account.available;
}

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = 100000};
    nanosleep(&pause, NULL);
}

/* ---- many threads ---- */

typedef struct {
    bench_t *bench;
    uint16_t partition;
    unsigned count;
    unsigned done;    /* answered with a success */
    unsigned refused; /* not taken */
    bool until_stopped;
    pthread_t thread;
} poster_t;

/* Earns of one point each, up to WINDOW at a time under one waiter. */
static void *post_earns(void *state)
{
    poster_t *self = state;
    command_t earn = {.kind = COMMAND_EARN,
                      .operation = OPERATION_EARN,
                      .account = self->bench->accounts[self->partition],
                      .amount = 1000000};
    request_t *requests[WINDOW];
    bool stopped = false;

    for (unsigned posted = 0; (self->until_stopped || posted < self->count) && !stopped;) {
        waiter_t waiter;
        unsigned taken = 0;
        waiter_init(&waiter);
        while (taken < WINDOW && (self->until_stopped || posted + taken < self->count)) {
            request_t *request = new_request(self->partition, &earn);
            err_t err = {0};
            waiter_watch(&waiter, request);
            errcode_t rc = shard_post(self->bench->shard, request, &err);
            if (rc == ERR_NONE) {
                requests[taken++] = request;
                continue;
            }
            request_release(request);
            self->refused++;
            stopped = rc == ERR_UNREACHABLE;
            INVARIANT(stopped || rc == ERR_OVERLOADED);
            break;
        }
        bool answered = waiter_wait(&waiter, taken, PATIENCE_US);
        INVARIANT(answered);
        for (unsigned i = 0; i < taken; i++) {
            INVARIANT(requests[i]->err.code == ERR_NONE);
            INVARIANT(result_of(requests[i]).status == 200);
            request_release(requests[i]);
        }
        self->done += taken;
        posted += taken;
        if (taken == 0 && !stopped)
            pause_briefly(); /* the mailbox is full */
    }
    return NULL;
}

static void run_posters(bench_t *bench, poster_t *posters, unsigned threads, unsigned count,
                        bool until_stopped)
{
    for (unsigned i = 0; i < threads; i++) {
        posters[i] = (poster_t){.bench = bench,
                                .partition = (uint16_t)(i % PARTITIONS),
                                .count = count,
                                .until_stopped = until_stopped};
        int rc = pthread_create(&posters[i].thread, NULL, post_earns, &posters[i]);
        INVARIANT(rc == 0);
    }
}

static points_t join_posters(poster_t *posters, unsigned threads, points_t expected[PARTITIONS])
{
    points_t all = 0;
    for (unsigned i = 0; i < threads; i++) {
        int rc = pthread_join(posters[i].thread, NULL);
        INVARIANT(rc == 0);
        expected[posters[i].partition] += posters[i].done;
        all += posters[i].done;
    }
    return all;
}

void body_earns_from_many_threads(unsigned threads, unsigned count)
{
    bench_t bench;
    poster_t posters[16];
    points_t expected[PARTITIONS] = {0};
    uint64_t seq = 0;

    INVARIANT(threads <= COUNT_OF(posters));
    set_up(&bench, 0);
    run_posters(&bench, posters, threads, count, false);
    points_t all = join_posters(posters, threads, expected);
    INVARIANT(all == (points_t)threads * count);
    shard_acked(bench.shard, 0, &seq);
    INVARIANT(seq > 0);
    for (int life = 0; life < 2; life++) {
        for (uint16_t p = 0; p < PARTITIONS; p++)
            INVARIANT(balance_of(&bench, p) == expected[p]);
        if (life > 0)
            break;
        stop(&bench);
        store_memory_crash(bench.store); /* only what was synced counts */
        start(&bench);
    }
    tear_down(&bench);
}

void body_transfers_between_partitions(unsigned count)
{
    bench_t bench;
    waiter_t waiter;
    request_t **requests = memory_zalloc(count * sizeof *requests);

    set_up(&bench, 0);
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        command_t earn = {.kind = COMMAND_EARN,
                          .account = bench.accounts[p],
                          .amount = (int128_t)count * 1000000};
        request_release(call(&bench, p, &earn));
    }
    waiter_init(&waiter);
    for (unsigned i = 0; i < count; i++) {
        uint16_t from = (uint16_t)(i % PARTITIONS), to = (uint16_t)(1 - from);
        command_t transfer = {.kind = COMMAND_TRANSFER,
                              .operation = OPERATION_TRANSFER,
                              .account = bench.accounts[from],
                              .to_account = bench.accounts[to],
                              .points = from == 0 ? 2 : 1};
        requests[i] = new_request(from, &transfer);
        waiter_watch(&waiter, requests[i]);
        errcode_t rc = shard_post(bench.shard, requests[i], NULL);
        INVARIANT(rc == ERR_NONE);
    }
    bool answered = waiter_wait(&waiter, count, PATIENCE_US);
    INVARIANT(answered);
    for (unsigned i = 0; i < count; i++) {
        INVARIANT(requests[i]->err.code == ERR_NONE);
        INVARIANT(result_of(requests[i]).status == 200);
        request_release(requests[i]);
    }
    free(requests);
    INVARIANT(count % 2 == 0);
    INVARIANT(balance_of(&bench, 0) == (points_t)count - count / 2);
    INVARIANT(balance_of(&bench, 1) == (points_t)count + count / 2);
    tear_down(&bench);
}

/* ---- stop, overload, freeze ---- */

void body_stop_finishes_what_was_accepted(void)
{
    for (int round = 0; round < 5; round++) {
        bench_t bench;
        poster_t posters[4];
        points_t expected[PARTITIONS] = {0};
        set_up(&bench, 0);
        run_posters(&bench, posters, COUNT_OF(posters), 0, true);
        while (balance_of(&bench, 0) < 200) /* all are at work */
            pause_briefly();
        shard_stop(bench.shard, PATIENCE_US);
        points_t all = join_posters(posters, COUNT_OF(posters),
                                    expected); /* each waited for all that were taken */
        INVARIANT(all >= 200);
        for (unsigned i = 0; i < COUNT_OF(posters); i++)
            INVARIANT(posters[i].refused > 0);
        store_memory_crash(bench.store);
        for (uint16_t p = 0; p < PARTITIONS; p++)
            INVARIANT(balance_of(&bench, p) == expected[p]);
        tear_down(&bench);
    }
}

void body_full_mailbox_refuses(void)
{
    enum { MAILBOX = 8, MOST = 600 }; /* the mailbox, and a round that is decided ahead */
    bench_t bench;
    waiter_t waiter;
    request_t *requests[MOST];
    unsigned posted = 0;
    command_t session = {.kind = COMMAND_SESSION_PUT, .user = 1, .expires_us = INT64_MAX / 2};
    command_t earn = {.kind = COMMAND_EARN, .amount = 1000000};
    err_t err;

    set_up(&bench, MAILBOX);
    session.token = hash_bytes("token", 5);
    earn.account = bench.accounts[0];
    bench.holds = true;
    waiter_init(&waiter);
    request_t *held = new_request(0, &session);
    waiter_watch(&waiter, held);
    errcode_t rc = shard_post(bench.shard, held, NULL);
    INVARIANT(rc == ERR_NONE);
    while (sem_wait(&bench.in_hook) != 0) /* the shard's thread stands in its round */
        ;
    do {
        INVARIANT(posted < MOST);
        requests[posted] = new_request(0, &earn);
        waiter_watch(&waiter, requests[posted]);
        rc = shard_post(bench.shard, requests[posted], &err);
        posted += rc == ERR_NONE;
    } while (rc == ERR_NONE);
    INVARIANT(rc == ERR_OVERLOADED);
    INVARIANT(posted >= MAILBOX);
    request_release(requests[posted]);
    bench.holds = false;
    sem_post(&bench.leave_hook);
    bool answered = waiter_wait(&waiter, posted + 1, PATIENCE_US);
    INVARIANT(answered);
    for (unsigned i = 0; i < posted; i++) {
        INVARIANT(requests[i]->err.code == ERR_NONE);
        request_release(requests[i]);
    }
    request_release(held);
    INVARIANT(balance_of(&bench, 0) == (points_t)posted);
    request_release(call(&bench, 0, &earn)); /* and there is room again */
    tear_down(&bench);
}

void body_frozen_shard_applies_no_messages(void)
{
    bench_t bench;
    waiter_t waiter;
    command_t earn = {.kind = COMMAND_EARN, .amount = 10000000};

    set_up(&bench, 0);
    earn.account = bench.accounts[0];
    request_release(call(&bench, 0, &earn));
    command_t transfer = {.kind = COMMAND_TRANSFER,
                          .operation = OPERATION_TRANSFER,
                          .account = bench.accounts[0],
                          .to_account = bench.accounts[1],
                          .points = 4};
    shard_freeze(bench.shard, true);
    waiter_init(&waiter);
    request_t *request = new_request(0, &transfer);
    waiter_watch(&waiter, request);
    errcode_t rc = shard_post(bench.shard, request, NULL);
    INVARIANT(rc == ERR_NONE);
    bool answered = waiter_wait(&waiter, 1, 300000); /* longer than a resend */
    INVARIANT(!answered);
    INVARIANT(balance_of(&bench, 1) == 0);
    request_release(call(&bench, 0, &earn)); /* commands go on */
    shard_freeze(bench.shard, false);
    answered = waiter_wait(&waiter, 1, PATIENCE_US);
    INVARIANT(answered);
    INVARIANT(result_of(request).status == 200);
    request_release(request);
    INVARIANT(balance_of(&bench, 0) == 16);
    INVARIANT(balance_of(&bench, 1) == 4);
    tear_down(&bench);
}

void body_any_frame_is_harmless(void)
{
    bench_t bench;
    buffer_t troubles;
    uint8_t frame[256];
    uint64_t dice = 88172645463325252u;
    command_t earn = {.kind = COMMAND_EARN, .amount = 1000000};

    set_up(&bench, 0);
    earn.account = bench.accounts[0];
    for (unsigned i = 0; i < 2000; i++) {
        for (size_t at = 0; at < sizeof frame; at++) {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            frame[at] = (uint8_t)dice;
        }
        shard_deliver(bench.shard, (uint16_t)(dice % 8), frame, dice % sizeof frame);
    }
    for (unsigned i = 0; i < 10; i++)
        request_release(call(&bench, 0, &earn));
    INVARIANT(balance_of(&bench, 0) == 10);
    buffer_init(&troubles, 64 * 1024);
    shard_troubles(bench.shard, &troubles);
    INVARIANT(troubles.size == 0);
    buffer_free(&troubles);
    tear_down(&bench);
}
