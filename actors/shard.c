/* shard.c - a shard's life, and what comes to it from other threads: requests, frames, questions about its state */
#include "actors/shard_state.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CACHE_BYTES_PER_ACCOUNT 512
#define TROUBLES_BYTES_MAX      (64 * 1024)
#define METRICS_BYTES_MAX       (1024 * 1024)
#define NICENESS                (-10)

void shard_futex_wake(atomic_int *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void shard_wake(shard_t *self)
{
    if (atomic_load(&self->sleeping) == 0 || atomic_exchange(&self->sleeping, 0) == 0)
        return;
    if (self->config.shared != NULL)
        (void)eventfd_write(self->config.shared->wakeup, 1);
    else
        shard_futex_wake(&self->sleeping);
}

/* Mail has come. While a batch is being written, much of it is worth deciding ahead. */
static void wake_for_mail(shard_t *self)
{
    shard_wake(self);
    if (atomic_load(&self->ahead) == AHEAD_WANTED &&
        atomic_load_explicit(&self->waiting, memory_order_relaxed) >=
            atomic_load_explicit(&self->many, memory_order_relaxed)) {
        int wanted = AHEAD_WANTED;
        if (atomic_compare_exchange_strong(&self->ahead, &wanted, AHEAD_GO))
            shard_futex_wake(&self->ahead);
    }
}

int64_t shard_wall_us(const shard_t *self)
{
    return clock_wall_us(self->config.clock);
}

/* ---- frames: u16 partition, u32 bytes, frame ---- */

static void frame_push(buffer_t *queue, uint16_t dst, const void *frame, size_t n)
{
    uint8_t head[6];
    if (queue->size + sizeof head + n > SHARD_FRAMES_BYTES_MAX) {
        metric_add(METRIC_FRAMES_DROPPED, 1); /* it is sent again */
        return;
    }
    be16_put(head, dst);
    be32_put(head + 2, (uint32_t)n);
    buffer_append(queue, head, sizeof head);
    buffer_append(queue, frame, n);
}

/* On a shared log there is a copy of every partition here: only the owner's takes messages, wherever that is. */
static bool is_here(const shard_t *self, uint16_t dst)
{
    if (dst > self->config.partitions || self->index_of[dst] == NOT_OWNED)
        return false;
    return self->config.shared == NULL ||
           replica_state(self->replicas[self->index_of[dst]]) == REPLICA_OWNER;
}

static void send_frame(void *state, uint16_t dst, const void *frame, size_t n)
{
    shard_t *self = state;
    if (is_here(self, dst))
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
    self->replicas = memory_zalloc(config->owned_count * sizeof *self->replicas);
    self->told_epoch = memory_zalloc(config->owned_count * sizeof *self->told_epoch);
    self->touched = memory_zalloc(config->owned_count * sizeof *self->touched);
    self->flying = memory_zalloc(config->owned_count * sizeof *self->flying);
    self->acked = memory_zalloc(config->owned_count * sizeof *self->acked);
    self->taken_tail = &self->taken;
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_mutex_init(&self->moving, NULL) == 0);
    buffer_init(&self->incoming, SHARD_FRAMES_BYTES_MAX);
    buffer_init(&self->frames, SHARD_FRAMES_BYTES_MAX);
    buffer_init(&self->local, SHARD_FRAMES_BYTES_MAX);
    buffer_init(&self->effects, SHARD_EFFECTS_BYTES_MAX);
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
                                        .account_max = config->account_max,
                                        .send = send_frame,
                                        .session = tell_session,
                                        .state = self};
        if (config->shared != NULL)
            self->replicas[i] = replica_new(&partition, config->journal);
        else
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
    for (size_t i = 0; i < self->config.owned_count; i++) {
        replica_destroy(&self->replicas[i]);
        partition_destroy(&self->partitions[i]);
    }
    row_cache_destroy(&self->cache);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->moving);
    buffer_t *buffers[] = {&self->incoming, &self->frames,   &self->local,
                           &self->effects,  &self->troubles, &self->metrics};
    for (size_t i = 0; i < COUNT_OF(buffers); i++)
        buffer_free(buffers[i]);
    free(self->partitions);
    free(self->replicas);
    free(self->told_epoch);
    free(self->index_of);
    free(self->touched);
    free(self->flying);
    free(self->acked);
    free(self);
}

errcode_t shard_start(shard_t *self, err_t *err)
{
    return self->config.shared != NULL ? shard_shared_start(self, err)
                                       : shard_local_start(self, err);
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
    if (self->config.shared != NULL)
        shard_shared_stop(self, until_us - clock_boot_us(self->config.clock));
    atomic_store(&self->stopping, true);
    shard_wake(self);
    pthread_join(self->thread, NULL);
    if (self->config.shared == NULL)
        shard_local_stop(self);
    self->started = false;
    for (size_t i = 0; i < self->config.owned_count; i++)
        if (self->config.shared != NULL)
            replica_close(self->replicas[i], 0);
        else
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
    shard_wake(self);
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
        shard_wake(self);
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
void shard_take_mail(shard_t *self)
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

void shard_take_frames(shard_t *self)
{
    buffer_reset(&self->frames);
    buffer_append(&self->frames, self->local.bytes, self->local.size);
    buffer_reset(&self->local);
    pthread_mutex_lock(&self->lock);
    if (self->frames.size + self->incoming.size <= SHARD_FRAMES_BYTES_MAX)
        buffer_append(&self->frames, self->incoming.bytes, self->incoming.size);
    buffer_reset(&self->incoming);
    pthread_mutex_unlock(&self->lock);
}

void shard_publish(shard_t *self)
{
    pthread_mutex_lock(&self->lock);
    buffer_reset(&self->troubles);
    buffer_reset(&self->metrics);
    for (size_t i = 0; i < self->config.owned_count; i++) {
        const char *trouble = self->config.shared != NULL ? replica_trouble(self->replicas[i])
                                                          : partition_trouble(self->partitions[i]);
        if (trouble != NULL) {
            buffer_text(&self->troubles, self->troubles.size > 0 ? ",\"" : "\"");
            for (const char *c = trouble; *c; c++)
                if (*c != '"' && *c != '\\' && (unsigned char)*c >= 0x20)
                    buffer_byte(&self->troubles, (uint8_t)*c);
            buffer_byte(&self->troubles, '"');
        }
        if (self->config.shared == NULL)
            partition_metrics(self->partitions[i], &self->metrics);
        else if (replica_state(self->replicas[i]) != REPLICA_CLOSED)
            replica_metrics(self->replicas[i], &self->metrics);
    }
    pthread_mutex_unlock(&self->lock);
}

void shard_go_first(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
}
