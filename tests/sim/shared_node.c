/* shared_node.c - a node's process and its driver */
#include "tests/sim/shared_node.h"

#include "tests/sim/shared_fill.h"

#include "node/content.h"

#include "actors/message.h"
#include "actors/rows.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_US          50000
#define PASS_LEAST_US    300 /* a thread needs some time for a pass, too */
#define PASS_RECORDS_MAX 64
#define ROUNDS_AT_A_TIME 2
#define OVERDUE_US       20000
#define SYNC_ODDS        40 /* of a tick: the disk writes back on its own */

/* ---- clocks and chance ---- */

static int64_t raw_wall_us(void *state)
{
    const node_t *self = state;
    return self->now_us + self->wall_off_us +
           (self->now_us - self->wall_set_at_us) * self->wall_ppm / 1000000;
}

static int64_t raw_boot_us(void *state)
{
    const node_t *self = state;
    return self->now_us;
}

static void fill(void *state, void *bytes, size_t n)
{
    node_t *self = state;
    uint8_t *out = bytes;

    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)dice_roll(&self->dice);
}

int64_t node_wall_us(const node_t *self)
{
    return clock_wall_us(&self->steady.clock);
}

void node_set_wall(node_t *self, int64_t now_us, int64_t off_us, int64_t ppm)
{
    self->now_us = now_us;
    self->wall_off_us = off_us;
    self->wall_set_at_us = now_us;
    self->wall_ppm = ppm;
}

/* ---- life ---- */

void node_init(node_t *self, const node_config_t *config, uint64_t seed)
{
    *self = (node_t){.config = *config, .dice.state = seed};
    self->random = (random_source_t){.fill = fill, .state = self};
    self->raw = (clock_source_t){.wall_us = raw_wall_us, .boot_us = raw_boot_us, .state = self};
    self->store = store_memory_new();
    fill(self, self->id.bytes, sizeof self->id.bytes);
    buffer_init(&self->effects, 64 * 1024 * 1024);
}

void node_free(node_t *self)
{
    node_kill(self);
    store_destroy(&self->store);
    buffer_free(&self->effects);
    free(self->frames);
}

static void on_send(void *state, uint16_t dst, const void *frame, size_t n)
{
    node_t *self = state;
    if (self->up)
        self->config.send(self->config.state, self->config.number, dst, frame, n);
}

static void on_session(void *state, const hash_t *token, const void *value, size_t n)
{
    (void)state;
    (void)token;
    (void)value;
    (void)n;
}

static replica_t *ask_replica(void *state, uint16_t partition)
{
    node_t *self = state;

    if (partition > self->config.partitions)
        return NULL;
    self->touched[partition] = true;
    return self->replicas[partition];
}

static void on_view(void *state, const view_t *view)
{
    (void)state;
    (void)view;
}

static void make_replicas(node_t *self)
{
    partition_config_t config = {.partitions = self->config.partitions,
                                 .store = self->store,
                                 .catalogue = self->catalogue,
                                 .cache = self->cache,
                                 .incarnation = self->incarnation,
                                 .shared = true,
                                 .pair_max = self->config.pair_max,
                                 .account_max = PARTITION_ACCOUNT_PENDING_MAX,
                                 .send = on_send,
                                 .session = on_session,
                                 .state = self};

    for (uint16_t p = 0; p <= self->config.partitions; p++) {
        config.number = p;
        self->replicas[p] = replica_new(&config, self->journal);
        self->touched[p] = true;
    }
}

errcode_t node_start(node_t *self, int64_t now_us, err_t *err)
{
    char address[32];
    governor_config_t governor = {.node = self->id,
                                  .address = address,
                                  .rack = "",
                                  .partitions = self->config.partitions,
                                  .followers = self->config.followers,
                                  .random = &self->random,
                                  .replica = ask_replica,
                                  .view = on_view,
                                  .state = self};

    INVARIANT(!self->up);
    snprintf(address, sizeof address, "node%zu:7000", self->config.number);
    self->now_us = now_us;
    steady_clock_init(&self->steady, &self->raw);
    fill(self, self->incarnation.bytes, sizeof self->incarnation.bytes);
    governor.incarnation = self->incarnation;
    self->fill = (node_fill_t){.running = false};
    if (self->config.fills)
        governor.filler = shared_filler(self);
    self->process++;
    self->journal = log_journal_new(self->config.log, self->config.number, self->store);
    self->catalogue = catalogue_new();
    self->cache = row_cache_new(1024, 4 * 1024 * 1024);
    governor.journal = self->journal;
    make_replicas(self);
    self->governor = governor_new(&governor);
    self->up = true;
    self->paused = self->leaving = self->left = false;
    self->next_tick_us = self->last_pass_us = now_us;
    errcode_t rc = content_load(self->store, self->catalogue, err);
    if (rc != ERR_NONE)
        node_kill(self);
    return rc;
}

void node_kill(node_t *self)
{
    err_t err;

    if (!self->up)
        return;
    self->up = false;
    err_set(&err, ERR_UNKNOWN_OUTCOME, "the node died");
    for (size_t i = 0; i < self->request_count; i++) {
        request_complete(self->requests[i], NULL, 0, &err);
        request_release(self->requests[i]);
    }
    self->request_count = 0;
    for (size_t i = 0; i < self->frame_count; i++)
        free(self->frames[i].bytes);
    self->frame_count = 0;
    governor_destroy(&self->governor);
    for (uint16_t p = 0; p <= self->config.partitions; p++)
        replica_destroy(&self->replicas[p]);
    journal_destroy(&self->journal);
    catalogue_destroy(&self->catalogue);
    row_cache_destroy(&self->cache);
    buffer_reset(&self->effects);
    store_memory_crash(self->store);
}

void node_sync(node_t *self)
{
    errcode_t rc = store_flush(self->store, NULL);
    INVARIANT(rc == ERR_NONE);
}

/* ---- mail ---- */

void node_post(node_t *self, request_t *request)
{
    INVARIANT(self->request_count < NODE_MAIL_MAX);
    self->requests[self->request_count++] = request;
}

void node_deliver(node_t *self, uint16_t partition, uint8_t *bytes, size_t n)
{
    if (self->frame_count == self->frame_capacity) {
        self->frame_capacity = self->frame_capacity > 0 ? self->frame_capacity * 2 : 64;
        self->frames = memory_realloc(self->frames, self->frame_capacity * sizeof *self->frames);
    }
    self->frames[self->frame_count++] = (frame_mail_t){partition, n, bytes};
}

static void run_mail(node_t *self, int64_t wall_us)
{
    size_t requests = self->request_count;

    for (size_t i = 0; i < self->frame_count; i++) {
        frame_mail_t *mail = &self->frames[i];
        replica_on_frame(self->replicas[mail->partition], mail->bytes, mail->n, wall_us);
        self->touched[mail->partition] = true;
        free(mail->bytes);
    }
    self->frame_count = 0;
    self->request_count = 0;
    /* An answer may come at once, and its asker may ask again: that one waits for the next pass. */
    request_t **taken = memory_alloc((requests + 1) * sizeof *taken);
    memcpy(taken, self->requests, requests * sizeof *taken);
    for (size_t i = 0; i < requests; i++) {
        replica_on_command(self->replicas[taken[i]->partition], taken[i], wall_us);
        self->touched[taken[i]->partition] = true;
        request_release(taken[i]);
    }
    free(taken);
}

/* ---- the log ---- */

static void read_log(node_t *self, int64_t wall_us)
{
    journal_record_t record;
    journal_report_t report;

    for (unsigned n = 0; n < PASS_RECORDS_MAX && journal_next(self->journal, &record); n++) {
        if (record.partition == JOURNAL_CONTROL || record.partition == JOURNAL_LIVENESS) {
            governor_on_record(self->governor, &record, wall_us, self->now_us);
            continue;
        }
        replica_on_record(self->replicas[record.partition], &record, &self->effects, self->now_us);
        self->touched[record.partition] = true;
    }
    while (journal_report(self->journal, &report)) {
        if (report.partition > self->config.partitions)
            continue; /* what did not arrive is said again */
        replica_on_report(self->replicas[report.partition], &report, self->now_us);
        self->touched[report.partition] = true;
    }
}

static void store_effects(node_t *self)
{
    INVARIANT(!self->effects.failed);
    if (self->effects.size == 0)
        return;
    errcode_t rc = journal_commit(self->journal, &self->effects, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_reset(&self->effects);
}

/* ---- one pass ---- */

static void tick(node_t *self, int64_t wall_us)
{
    if (self->now_us < self->next_tick_us)
        return;
    self->next_tick_us = self->now_us + TICK_US;
    for (uint16_t p = 0; p <= self->config.partitions; p++) {
        if (replica_state(self->replicas[p]) == REPLICA_CLOSED)
            continue;
        replica_on_tick(self->replicas[p], wall_us, self->now_us);
        (void)replica_position_due(self->replicas[p], &self->effects, self->now_us);
        self->touched[p] = true;
    }
    store_effects(self);
    if (dice_below(&self->dice, SYNC_ODDS) == 0)
        node_sync(self);
}

/* As a shard does, with fewer rounds at a time, so that some have to wait. */
static void settle_and_write(node_t *self, int64_t wall_us)
{
    unsigned flying = 0;
    uint16_t count = self->config.partitions + 1, first = self->turn;

    for (uint16_t p = 0; p < count; p++) {
        if (self->touched[p])
            (void)replica_settle(self->replicas[p], wall_us, self->now_us);
        flying += replica_flies(self->replicas[p], self->now_us - OVERDUE_US);
    }
    for (uint16_t k = 0; k < count; k++) {
        uint16_t p = (uint16_t)(first + k) % count;
        bool free = flying < ROUNDS_AT_A_TIME;

        if (!self->touched[p])
            continue;
        if (replica_write(self->replicas[p], free, wall_us, self->now_us)) {
            flying++;
            self->turn = (uint16_t)(p + 1) % count;
        }
        self->touched[p] = !free && replica_has_round(self->replicas[p]);
    }
}

void node_pass(node_t *self, int64_t now_us)
{
    INVARIANT(self->up);
    INVARIANT(!self->paused);
    self->now_us = self->last_pass_us = now_us;
    int64_t wall_us = node_wall_us(self);
    run_mail(self, wall_us);
    read_log(self, wall_us);
    store_effects(self);
    tick(self, wall_us);
    if (!self->leaving)
        governor_on_pass(self->governor, wall_us, now_us);
    else if (governor_on_stop(self->governor, wall_us, now_us))
        self->left = true;
    settle_and_write(self, wall_us);
}

int64_t node_next_us(const node_t *self, int64_t now_us)
{
    int64_t next_us = self->next_tick_us;

    if (!self->up || self->paused)
        return INT64_MAX;
    if (self->frame_count > 0 || self->request_count > 0) {
        next_us = now_us;
    } else {
        int64_t log_us = log_journal_next_us(self->journal);
        next_us = log_us < next_us ? log_us : next_us;
    }
    if (next_us < self->last_pass_us + PASS_LEAST_US)
        next_us = self->last_pass_us + PASS_LEAST_US;
    return next_us > now_us ? next_us : now_us;
}
