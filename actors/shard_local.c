/* shard_local.c - the two threads of a shard whose log is its own: one writes rounds, one decides ahead */
#include "actors/shard_state.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *run(void *state);
static void *decide_ahead(void *state);

/* Seals what the round decided, appends it and reads it back: effects hold its row writes. false: nothing was written.
 * From here on the round flies; the next one may be decided. */
static bool seal_round(shard_t *self)
{
    err_t err = {0};
    int64_t now_us = shard_wall_us(self);
    bool appended = false;
    journal_record_t record;

    for (size_t i = 0; i < self->config.owned_count; i++) {
        const uint8_t *bytes;
        size_t n;
        if (!self->touched[i])
            continue;
        while (partition_seal(self->partitions[i], now_us, &bytes, &n)) {
            errcode_t rc =
                journal_append(self->config.journal, self->config.owned[i], bytes,
                               bytes + RECORD_HEADER_BYTES, n - RECORD_HEADER_BYTES, &err);
            INVARIANT(rc == ERR_NONE); /* a round is smaller than what a journal takes */
            appended = true;
        }
    }
    buffer_reset(&self->effects);
    while (appended && journal_next(self->config.journal, &record)) {
        INVARIANT(self->index_of[record.partition] != NOT_OWNED);
        partition_on_record(self->partitions[self->index_of[record.partition]], &record,
                            &self->effects);
    }
    INVARIANT(!self->effects.failed);
    for (size_t i = 0; i < self->config.owned_count; i++) {
        self->flying[i] = self->touched[i];
        self->touched[i] = false;
        if (self->flying[i])
            partition_fly(self->partitions[i]);
    }
    /* Half of what came last time is worth deciding ahead. */
    atomic_store(&self->many, self->round_commands / 2 + 4);
    self->round_commands = 0;
    atomic_store(&self->decided, false);
    return appended;
}

/* One synced batch, then the replies. Partitions may decide their next round meanwhile. */
static void write_round(shard_t *self, bool appended)
{
    err_t err = {0};
    int64_t before_us = clock_boot_us(self->config.clock);

    if (appended) {
        if (journal_commit(self->config.journal, &self->effects, &err) != ERR_NONE) {
            /* The embedded journal ends the process itself; nothing else may go on either. */
            log_error("a batch could not be written: %s", err.text);
            abort();
        }
        metric_add(METRIC_ROUNDS, 1);
        metric_add(METRIC_SYNC_MICROSECONDS,
                   (uint64_t)(clock_boot_us(self->config.clock) - before_us));
    }
    for (size_t i = 0; i < self->config.owned_count; i++)
        if (self->flying[i])
            partition_answer(self->partitions[i]);
}

static void land_round(shard_t *self)
{
    int64_t now_us = shard_wall_us(self);

    for (size_t i = 0; i < self->config.owned_count; i++) {
        if (!self->flying[i])
            continue;
        self->flying[i] = false;
        partition_landed(self->partitions[i], now_us);
        atomic_store_explicit(&self->acked[i], partition_position(self->partitions[i])->seq,
                              memory_order_release);
    }
}

void shard_local_stop(shard_t *self)
{
    atomic_store(&self->ahead, AHEAD_STOP);
    shard_futex_wake(&self->ahead);
    pthread_join(self->second, NULL);
}

errcode_t shard_local_start(shard_t *self, err_t *err)
{
    for (size_t i = 0; i < self->config.owned_count; i++) {
        position_t position;
        hash_t history;
        bool found = false;
        errcode_t rc =
            journal_position(self->config.journal, self->config.owned[i], &position, &found, err);
        if (rc == ERR_NONE)
            rc = partition_load(self->partitions[i], &position, found, err);
        if (rc != ERR_NONE)
            return rc;
        random_fill(self->config.random, history.bytes, sizeof history.bytes);
        partition_claim(self->partitions[i], &history);
        self->touched[i] = true;
    }
    write_round(self, seal_round(self));
    land_round(self);
    for (size_t i = 0; i < self->config.owned_count; i++)
        if (partition_state(self->partitions[i]) != PARTITION_OWNER)
            return err_set(err, ERR_HALTED, "%s",
                           partition_trouble(self->partitions[i])
                               ? partition_trouble(self->partitions[i])
                               : "a partition could not be claimed");
    if (pthread_create(&self->second, NULL, decide_ahead, self) != 0)
        return err_set(err, ERR_IO, "a thread for the partitions could not be started");
    pthread_setname_np(self->second, "ahead");
    if (pthread_create(&self->thread, NULL, run, self) != 0) {
        shard_local_stop(self);
        return err_set(err, ERR_IO, "a thread for the partitions could not be started");
    }
    pthread_setname_np(self->thread, "partitions");
    self->started = true;
    atomic_store(&self->ready, true);
    return ERR_NONE;
}

static void run_frames(shard_t *self, int64_t now_us)
{
    bool frozen = atomic_load(&self->frozen);
    size_t at = 0;

    while (at < self->frames.size) {
        const uint8_t *head = self->frames.bytes + at;
        uint16_t index = self->index_of[be16_get(head)];
        size_t n = be32_get(head + 2);
        if (!frozen) {
            partition_on_frame(self->partitions[index], head + 6, n, now_us);
            self->touched[index] = true;
        }
        at += 6 + n;
    }
}

static bool has_room(const shard_t *self)
{
    return self->round_commands < self->config.round_max;
}

static void run_requests(shard_t *self, int64_t now_us)
{
    uint32_t count = 0;

    while (self->taken != NULL && has_room(self)) {
        request_t *request = self->taken;
        uint16_t index = self->index_of[request->partition];
        partition_t *partition = self->partitions[index];
        if (partition_full(partition))
            break;
        self->taken = request->next;
        if (self->taken == NULL)
            self->taken_tail = &self->taken;
        partition_on_command(partition, request, now_us);
        self->touched[index] = true;
        request_release(request);
        self->round_commands++;
        count++;
    }
    atomic_fetch_sub(&self->waiting, count);
    metric_add(METRIC_ROUND_COMMANDS, count);
}

static void tick(shard_t *self)
{
    int64_t boot_us = clock_boot_us(self->config.clock);
    if (boot_us < self->next_tick_us)
        return;
    self->next_tick_us = boot_us + SHARD_TICK_US;
    int64_t now_us = shard_wall_us(self);
    for (size_t i = 0; i < self->config.owned_count; i++) {
        partition_on_tick(self->partitions[i], now_us);
        self->touched[i] = true;
    }
    if (boot_us >= self->next_publish_us) {
        self->next_publish_us = boot_us + SHARD_PUBLISH_US;
        shard_publish(self);
    }
}

/* Sleeps until there is work or the next tick is due. */
static void wait_for_work(shard_t *self)
{
    int64_t left_us = self->next_tick_us - clock_boot_us(self->config.clock);
    if (left_us <= 0)
        return;
    struct timespec timeout = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    atomic_store(&self->sleeping, 1);
    pthread_mutex_lock(&self->lock);
    bool frames = self->incoming.size > 0;
    pthread_mutex_unlock(&self->lock);
    if (atomic_load(&self->mailbox) == NULL && !frames && !atomic_load(&self->decided) &&
        !atomic_load(&self->stopping))
        syscall(SYS_futex, &self->sleeping, FUTEX_WAIT_PRIVATE, 1, &timeout, NULL, 0);
    atomic_store(&self->sleeping, 0);
}

/* Writes what was decided, letting the second thread decide on meanwhile. Called and left with `moving` held. */
static void commit_round(shard_t *self)
{
    bool appended = seal_round(self);
    int wanted = AHEAD_WANTED;

    if (appended) {
        atomic_store(&self->ahead, AHEAD_WANTED);
        pthread_mutex_unlock(&self->moving);
    }
    write_round(self, appended);
    if (appended) {
        (void)atomic_compare_exchange_strong(&self->ahead, &wanted, AHEAD_IDLE);
        pthread_mutex_lock(&self->moving);
    }
    land_round(self);
}

static void *run(void *state)
{
    shard_t *self = state;

    shard_go_first();

    pthread_mutex_lock(&self->moving);
    shard_publish(self);
    for (;;) {
        atomic_fetch_add(&self->rounds, 1);
        shard_take_mail(self);
        shard_take_frames(self);
        if (self->taken == NULL && self->frames.size == 0 && self->round_commands == 0) {
            if (atomic_load(&self->stopping))
                break;
            pthread_mutex_unlock(&self->moving);
            wait_for_work(self);
            pthread_mutex_lock(&self->moving);
            shard_take_mail(self);
            shard_take_frames(self);
        }
        int64_t now_us = shard_wall_us(self);
        run_frames(self, now_us);
        run_requests(self, now_us);
        tick(self);
        commit_round(self);
    }
    pthread_mutex_unlock(&self->moving);
    return NULL;
}

/* The second thread: decides the next round's commands while the first writes. It moves the partitions only with `moving`
 * held, which the first thread gives up for nothing but the write. */
static void *decide_ahead(void *state)
{
    shard_t *self = state;

    shard_go_first();
    for (;;) {
        int told = atomic_load(&self->ahead);
        if (told == AHEAD_STOP)
            return NULL;
        if (told != AHEAD_GO) {
            syscall(SYS_futex, &self->ahead, FUTEX_WAIT_PRIVATE, told, NULL, NULL, 0);
            continue;
        }
        pthread_mutex_lock(&self->moving);
        (void)atomic_compare_exchange_strong(&self->ahead, &told, AHEAD_IDLE);
        shard_take_mail(self);
        run_requests(self, shard_wall_us(self));
        atomic_store(&self->decided, self->round_commands > 0);
        pthread_mutex_unlock(&self->moving);
        shard_wake(
            self); /* the first may have finished meanwhile: somebody must write what was decided */
    }
}
