/* shard.c - the threads that drive partitions: mailbox, rounds, one synced batch, replies */
#include "actors/shard.h"

#include "actors/partition.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_US                 50000
#define PUBLISH_US              1000000
#define FRAMES_BYTES_MAX        (64u * 1024 * 1024)
#define EFFECTS_BYTES_MAX       (256u * 1024 * 1024)
#define CACHE_BYTES_PER_ACCOUNT 512
#define TROUBLES_BYTES_MAX      (64 * 1024)
#define METRICS_BYTES_MAX       (1024 * 1024)
#define HAND_OVER_COMMANDS      6
#define NICENESS                (-10)
#define NOT_OWNED               UINT16_MAX

/* What the thread that decides ahead is told. */
enum { AHEAD_IDLE, AHEAD_WANTED, AHEAD_GO, AHEAD_STOP };

struct shard {
    shard_config_t config;
    partition_t **partitions; /* owned; owned_count of them */
    uint16_t *index_of;       /* owned; partition number -> index in partitions, or NOT_OWNED */
    row_cache_t *cache;       /* owned */
    pthread_t thread, second;
    pthread_mutex_t moving; /* held by whichever of the two threads moves the partitions */
    bool started;

    /* the mailbox: a stack that the thread takes as a whole */
    _Atomic(request_t *) mailbox;
    atomic_uint waiting; /* requests in the mailbox or taken but not yet run */
    atomic_int sleeping; /* futex word: 1 while the thread waits */
    atomic_int ahead;    /* futex word of the second thread: AHEAD_* */
    atomic_uint many;    /* so much mail wakes it */
    atomic_bool decided; /* it has decided something that is not written yet */
    atomic_bool ready, stopping, frozen;
    atomic_uint rounds; /* futex word for shard_freeze: passes of the loop */

    /* frames from other threads */
    pthread_mutex_t lock; /* protects incoming, troubles, metrics */
    buffer_t incoming;
    buffer_t troubles, metrics;
    _Atomic uint64_t *acked; /* owned; by index */

    /* the thread's own */
    request_t *taken, **taken_tail; /* FIFO */
    buffer_t frames, local;         /* being worked on; sent to partitions of this shard */
    buffer_t effects;
    bool *flying;            /* owned; by index: part of the round that is being committed */
    uint32_t round_commands; /* decided in the present round */
    bool *touched;           /* owned; by index */
    int64_t next_tick_us, next_publish_us; /* boot clock */
};

static void *run(void *state);
static void *decide_ahead(void *state);

static void futex_wake(atomic_int *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake(shard_t *self)
{
    if (atomic_load(&self->sleeping) != 0 && atomic_exchange(&self->sleeping, 0) != 0)
        futex_wake(&self->sleeping);
}

/* Mail has come. While a batch is being written, much of it is worth deciding ahead. */
static void wake_for_mail(shard_t *self)
{
    wake(self);
    if (atomic_load(&self->ahead) == AHEAD_WANTED &&
        atomic_load_explicit(&self->waiting, memory_order_relaxed) >=
            atomic_load_explicit(&self->many, memory_order_relaxed)) {
        int wanted = AHEAD_WANTED;
        if (atomic_compare_exchange_strong(&self->ahead, &wanted, AHEAD_GO))
            futex_wake(&self->ahead);
    }
}

static int64_t wall_us(const shard_t *self)
{
    return clock_wall_us(self->config.clock);
}

/* ---- frames: u16 partition, u32 bytes, frame ---- */

static void frame_push(buffer_t *queue, uint16_t dst, const void *frame, size_t n)
{
    uint8_t head[6];
    if (queue->size + sizeof head + n > FRAMES_BYTES_MAX) {
        metric_add(METRIC_FRAMES_DROPPED, 1); /* it is sent again */
        return;
    }
    be16_put(head, dst);
    be32_put(head + 2, (uint32_t)n);
    buffer_append(queue, head, sizeof head);
    buffer_append(queue, frame, n);
}

static void send_frame(void *state, uint16_t dst, const void *frame, size_t n)
{
    shard_t *self = state;
    if (dst <= self->config.partitions && self->index_of[dst] != NOT_OWNED)
        frame_push(&self->local, dst, frame, n);
    else if (self->config.hooks.send != NULL)
        self->config.hooks.send(self->config.hooks.state, dst, frame, n);
}

static void tell_session(void *state, const hash_t *token, const void *value, size_t n)
{
    shard_t *self = state;
    if (self->config.hooks.session != NULL)
        self->config.hooks.session(self->config.hooks.state, token, value, n);
}

/* ---- life ---- */

shard_t *shard_new(const shard_config_t *config)
{
    shard_t *self = memory_zalloc(sizeof *self);
    size_t all = (size_t)config->partitions + 1;

    self->config = *config;
    if (self->config.mailbox_max == 0)
        self->config.mailbox_max = 16384;
    if (self->config.round_max == 0)
        self->config.round_max = 256;
    if (self->config.cache_accounts == 0)
        self->config.cache_accounts = 65536;
    self->cache = row_cache_new(self->config.cache_accounts,
                                (size_t)self->config.cache_accounts * CACHE_BYTES_PER_ACCOUNT);
    self->partitions = memory_zalloc(config->owned_count * sizeof *self->partitions);
    self->index_of = memory_alloc(all * sizeof *self->index_of);
    memset(self->index_of, 0xff, all * sizeof *self->index_of);
    self->touched = memory_zalloc(config->owned_count * sizeof *self->touched);
    self->flying = memory_zalloc(config->owned_count * sizeof *self->flying);
    self->acked = memory_zalloc(config->owned_count * sizeof *self->acked);
    self->taken_tail = &self->taken;
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_mutex_init(&self->moving, NULL) == 0);
    buffer_init(&self->incoming, FRAMES_BYTES_MAX);
    buffer_init(&self->frames, FRAMES_BYTES_MAX);
    buffer_init(&self->local, FRAMES_BYTES_MAX);
    buffer_init(&self->effects, EFFECTS_BYTES_MAX);
    buffer_init(&self->troubles, TROUBLES_BYTES_MAX);
    buffer_init(&self->metrics, METRICS_BYTES_MAX);
    for (size_t i = 0; i < config->owned_count; i++) {
        partition_config_t partition = {.number = config->owned[i],
                                        .partitions = config->partitions,
                                        .homes = config->homes,
                                        .home_count = config->home_count,
                                        .store = config->store,
                                        .catalogue = config->catalogue,
                                        .cache = self->cache,
                                        .incarnation = config->incarnation,
                                        .send = send_frame,
                                        .session = tell_session,
                                        .state = self};
        self->partitions[i] = partition_new(&partition);
        self->index_of[config->owned[i]] = (uint16_t)i;
    }
    return self;
}

void shard_destroy(shard_t **self_p)
{
    shard_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    INVARIANT(!self->started);
    for (size_t i = 0; i < self->config.owned_count; i++)
        partition_destroy(&self->partitions[i]);
    row_cache_destroy(&self->cache);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->moving);
    buffer_t *buffers[] = {&self->incoming, &self->frames,   &self->local,
                           &self->effects,  &self->troubles, &self->metrics};
    for (size_t i = 0; i < COUNT_OF(buffers); i++)
        buffer_free(buffers[i]);
    free(self->partitions);
    free(self->index_of);
    free(self->touched);
    free(self->flying);
    free(self->acked);
    free(self);
}

/* Seals what the round decided, appends it and reads it back: effects hold its row writes. false: nothing was written.
 * From here on the round flies; the next one may be decided. */
static bool seal_round(shard_t *self)
{
    err_t err = {0};
    int64_t now_us = wall_us(self);
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
    int64_t now_us = wall_us(self);

    for (size_t i = 0; i < self->config.owned_count; i++) {
        if (!self->flying[i])
            continue;
        self->flying[i] = false;
        partition_landed(self->partitions[i], now_us);
        atomic_store_explicit(&self->acked[i], partition_position(self->partitions[i])->seq,
                              memory_order_release);
    }
}

static void stop_second(shard_t *self)
{
    atomic_store(&self->ahead, AHEAD_STOP);
    futex_wake(&self->ahead);
    pthread_join(self->second, NULL);
}

errcode_t shard_start(shard_t *self, err_t *err)
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
        stop_second(self);
        return err_set(err, ERR_IO, "a thread for the partitions could not be started");
    }
    pthread_setname_np(self->thread, "partitions");
    self->started = true;
    atomic_store(&self->ready, true);
    return ERR_NONE;
}

void shard_stop(shard_t *self, int64_t timeout_us)
{
    if (!self->started)
        return;
    int64_t until_us = clock_boot_us(self->config.clock) + timeout_us;
    /* First nothing new, then wait: shard_post counts itself before it looks, so none is taken and left behind. */
    atomic_store(&self->ready, false);
    while (atomic_load(&self->waiting) > 0 && clock_boot_us(self->config.clock) < until_us) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    atomic_store(&self->stopping, true);
    wake(self);
    pthread_join(self->thread, NULL);
    stop_second(self);
    self->started = false;
    for (size_t i = 0; i < self->config.owned_count; i++)
        partition_stop(self->partitions[i]);
}

/* ---- from other threads ---- */

errcode_t shard_post(shard_t *self, request_t *request, err_t *err)
{
    if (request->partition > self->config.partitions ||
        self->index_of[request->partition] == NOT_OWNED)
        return err_set(err, ERR_UNREACHABLE, "partition %u is not here", request->partition);
    if (atomic_fetch_add(&self->waiting, 1) >= self->config.mailbox_max) {
        atomic_fetch_sub(&self->waiting, 1);
        metric_add(METRIC_OVERLOADED, 1);
        return err_set(err, ERR_OVERLOADED, "%u requests already wait", self->config.mailbox_max);
    }
    if (!atomic_load(&self->ready)) {
        atomic_fetch_sub(&self->waiting, 1);
        return err_set(err, ERR_UNREACHABLE, "the node is starting or stopping");
    }
    request_retain(request);
    request_t *head = atomic_load(&self->mailbox);
    do
        request->next = head;
    while (!atomic_compare_exchange_weak(&self->mailbox, &head, request));
    wake_for_mail(self);
    return ERR_NONE;
}

void shard_deliver(shard_t *self, uint16_t dst, const void *frame, size_t n)
{
    if (dst > self->config.partitions || self->index_of[dst] == NOT_OWNED) {
        metric_add(METRIC_FRAMES_DROPPED, 1);
        return;
    }
    pthread_mutex_lock(&self->lock);
    frame_push(&self->incoming, dst, frame, n);
    pthread_mutex_unlock(&self->lock);
    wake(self);
}

bool shard_ready(const shard_t *self)
{
    return atomic_load(&self->ready);
}

void shard_acked(const shard_t *self, uint16_t partition, uint64_t *seq)
{
    INVARIANT(partition <= self->config.partitions && self->index_of[partition] != NOT_OWNED);
    *seq = atomic_load_explicit(&self->acked[self->index_of[partition]], memory_order_acquire);
}

void shard_freeze(shard_t *self, bool frozen)
{
    atomic_store(&self->frozen, frozen);
    if (!self->started)
        return;
    /* Two passes begun after the flag was set: none that did not see it is under way. */
    unsigned from = atomic_load(&self->rounds);
    while (atomic_load(&self->rounds) - from < 2 && !atomic_load(&self->stopping)) {
        struct timespec pause = {.tv_nsec = 1000000};
        wake(self);
        nanosleep(&pause, NULL);
    }
}

void shard_troubles(shard_t *self, buffer_t *out)
{
    pthread_mutex_lock(&self->lock);
    buffer_append(out, self->troubles.bytes, self->troubles.size);
    pthread_mutex_unlock(&self->lock);
}

void shard_metrics(void *state, buffer_t *out)
{
    shard_t *self = state;
    pthread_mutex_lock(&self->lock);
    buffer_append(out, self->metrics.bytes, self->metrics.size);
    pthread_mutex_unlock(&self->lock);
}

/* ---- the thread ---- */

/* Takes the whole mailbox and appends it, oldest first, to what was taken before. */
static void take_mail(shard_t *self)
{
    request_t *stack = atomic_exchange(&self->mailbox, NULL), *oldest_first = NULL;
    if (stack == NULL)
        return;
    request_t *newest = stack;
    while (stack != NULL) {
        request_t *next = stack->next;
        stack->next = oldest_first;
        oldest_first = stack;
        stack = next;
    }
    *self->taken_tail = oldest_first;
    self->taken_tail = &newest->next;
}

static void take_frames(shard_t *self)
{
    buffer_reset(&self->frames);
    buffer_append(&self->frames, self->local.bytes, self->local.size);
    buffer_reset(&self->local);
    pthread_mutex_lock(&self->lock);
    if (self->frames.size + self->incoming.size <= FRAMES_BYTES_MAX)
        buffer_append(&self->frames, self->incoming.bytes, self->incoming.size);
    buffer_reset(&self->incoming);
    pthread_mutex_unlock(&self->lock);
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

static void publish(shard_t *self)
{
    pthread_mutex_lock(&self->lock);
    buffer_reset(&self->troubles);
    buffer_reset(&self->metrics);
    for (size_t i = 0; i < self->config.owned_count; i++) {
        const char *trouble = partition_trouble(self->partitions[i]);
        if (trouble != NULL) {
            buffer_text(&self->troubles, self->troubles.size > 0 ? ",\"" : "\"");
            for (const char *c = trouble; *c; c++)
                if (*c != '"' && *c != '\\' && (unsigned char)*c >= 0x20)
                    buffer_byte(&self->troubles, (uint8_t)*c);
            buffer_byte(&self->troubles, '"');
        }
        partition_metrics(self->partitions[i], &self->metrics);
    }
    pthread_mutex_unlock(&self->lock);
}

static void tick(shard_t *self)
{
    int64_t boot_us = clock_boot_us(self->config.clock);
    if (boot_us < self->next_tick_us)
        return;
    self->next_tick_us = boot_us + TICK_US;
    int64_t now_us = wall_us(self);
    for (size_t i = 0; i < self->config.owned_count; i++) {
        partition_on_tick(self->partitions[i], now_us);
        self->touched[i] = true;
    }
    if (boot_us >= self->next_publish_us) {
        self->next_publish_us = boot_us + PUBLISH_US;
        publish(self);
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

/* Everybody waits for these threads, so they go first where that is allowed (root, or a limit for niceness). */
static void go_first(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
}

static void *run(void *state)
{
    shard_t *self = state;

    go_first();

    pthread_mutex_lock(&self->moving);
    publish(self);
    for (;;) {
        atomic_fetch_add(&self->rounds, 1);
        take_mail(self);
        take_frames(self);
        if (self->taken == NULL && self->frames.size == 0 && self->round_commands == 0) {
            if (atomic_load(&self->stopping))
                break;
            pthread_mutex_unlock(&self->moving);
            wait_for_work(self);
            pthread_mutex_lock(&self->moving);
            take_mail(self);
            take_frames(self);
        }
        int64_t now_us = wall_us(self);
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

    go_first();
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
        take_mail(self);
        run_requests(self, wall_us(self));
        atomic_store(&self->decided, self->round_commands > 0);
        pthread_mutex_unlock(&self->moving);
        wake(
            self); /* the first may have finished meanwhile: somebody must write what was decided */
    }
}
