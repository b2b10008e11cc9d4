/* shard_shared.c - the thread of a shard on a shared log
 *
 * One pass: mail is decided, what the log says is applied and stored (not synced: the log fills what a crash takes),
 * answers leave, then each partition writes its next round. Nothing here waits but the one poll at the end.
 */
#include "actors/shard_state.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PASS_RECORDS_MAX \
    4096 /* from the log, per pass: mail must not wait for a follower that catches up */
#define PASS_BYTES_MAX (16u * 1024 * 1024)
#define SOON_US        200
#define QUEUED_US      10000

static void *run(void *state);

replica_t *shard_replica(shard_t *self, uint16_t partition)
{
    if (partition > self->config.partitions || self->index_of[partition] == NOT_OWNED)
        return NULL;
    self->touched[self->index_of[partition]] = true;
    return self->replicas[self->index_of[partition]];
}

errcode_t shard_shared_start(shard_t *self, err_t *err)
{
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return err_set(err, ERR_IO, "a thread for the partitions could not be started");
    pthread_setname_np(self->thread, "partitions");
    self->started = true;
    atomic_store(&self->ready, true);
    return ERR_NONE;
}

/* Its thread releases what is owned; it ends by itself when nothing is left, or when shard_stop loses its patience. */
void shard_shared_stop(shard_t *self, int64_t timeout_us)
{
    int64_t until_us = clock_boot_us(self->config.clock) + timeout_us;

    atomic_store(&self->leaving, true);
    shard_wake(self);
    while (!atomic_load(&self->left) && clock_boot_us(self->config.clock) < until_us) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
}

static void run_frames(shard_t *self, int64_t now_us)
{
    for (size_t at = 0; at < self->frames.size;) {
        const uint8_t *head = self->frames.bytes + at;
        uint16_t index = self->index_of[be16_get(head)];
        size_t n = be32_get(head + 2);
        replica_on_frame(self->replicas[index], head + 6, n, now_us);
        self->touched[index] = true;
        at += 6 + n;
    }
}

static void run_requests(shard_t *self, int64_t now_us)
{
    const shard_governor_t *governor = self->config.shared;
    bool reachable = governor->reachable(governor->state);
    uint32_t count = 0;
    err_t away;

    err_set(&away, ERR_UNREACHABLE,
            "the log (Kafka) does not answer this node; nothing was written, ask again");
    while (self->taken != NULL) {
        request_t *request = self->taken;
        uint16_t index = self->index_of[request->partition];
        self->taken = request->next;
        if (self->taken == NULL)
            self->taken_tail = &self->taken;
        if (reachable)
            replica_on_command(self->replicas[index], request, now_us);
        else
            request_complete(request, NULL, 0, &away);
        self->touched[index] = true;
        request_release(request);
        count++;
    }
    atomic_fetch_sub(&self->waiting, count);
    metric_add(METRIC_ROUND_COMMANDS, count);
}

/* true when the log may hold more. */
static bool read_log(shard_t *self, int64_t now_us, int64_t boot_us)
{
    const shard_governor_t *governor = self->config.shared;
    journal_record_t record;
    journal_report_t report;
    unsigned records = 0;
    size_t bytes = 0;

    while (records < PASS_RECORDS_MAX && bytes < PASS_BYTES_MAX &&
           journal_next(self->config.journal, &record)) {
        records++;
        bytes += record.n;
        if (record.partition == JOURNAL_CONTROL || record.partition == JOURNAL_LIVENESS) {
            governor->on_record(governor->state, &record, now_us, boot_us);
        } else if (record.partition <= self->config.partitions) {
            uint16_t index = self->index_of[record.partition];
            replica_on_record(self->replicas[index], &record, &self->effects, boot_us);
            self->touched[index] = true;
        }
    }
    while (journal_report(self->config.journal, &report)) {
        if (report.partition > self->config.partitions)
            continue; /* of a channel: what did not arrive is said again */
        uint16_t index = self->index_of[report.partition];
        replica_on_report(self->replicas[index], &report, boot_us);
        self->touched[index] = true;
    }
    return records == PASS_RECORDS_MAX || bytes >= PASS_BYTES_MAX;
}

static void store_effects(shard_t *self)
{
    const shard_governor_t *governor = self->config.shared;
    bool any = self->effects.size > 0;
    err_t err = {0};

    INVARIANT(!self->effects.failed);
    /* A store that fails can be made anew from the log, but not by a process that does not know what it holds. */
    if (journal_commit(self->config.journal, &self->effects, &err) != ERR_NONE) {
        log_error("the store could not be written: %s; this process ends, the log holds everything",
                  err.text);
        abort();
    }
    buffer_reset(&self->effects);
    if (any && governor->stored != NULL)
        governor->stored(governor->state);
}

static void tick(shard_t *self, int64_t now_us, int64_t boot_us)
{
    if (boot_us < self->next_tick_us)
        return;
    self->next_tick_us = boot_us + SHARD_TICK_US;
    for (size_t i = 0; i < self->config.owned_count; i++) {
        if (replica_state(self->replicas[i]) == REPLICA_CLOSED)
            continue;
        replica_on_tick(self->replicas[i], now_us, boot_us);
        (void)replica_position_due(self->replicas[i], &self->effects, boot_us);
        self->touched[i] = true;
    }
    if (self->effects.size > 0)
        store_effects(self);
    if (boot_us >= self->next_publish_us) {
        self->next_publish_us = boot_us + SHARD_PUBLISH_US;
        shard_publish(self);
    }
}

static void tell_ownership(shard_t *self, size_t i)
{
    const shard_governor_t *governor = self->config.shared;
    replica_state_t state = replica_state(self->replicas[i]);
    bool owned = state == REPLICA_OWNER;
    uint64_t epoch = owned ? replica_position(self->replicas[i])->epoch : 0;

    if (epoch == self->told_epoch[i])
        return;
    self->told_epoch[i] = epoch;
    governor->owned(governor->state, self->config.owned[i], epoch);
}

/* What landed is answered before anything is written, so that the next round holds what came meanwhile. Then partitions
 * write in turn, as many as the pacing allows; who has to wait is looked at again in the next pass. */
static void settle_and_write(shard_t *self, int64_t now_us)
{
    size_t count = self->config.owned_count, first = self->turn;
    /* Not that of the pass: what came before would count as time in the log, or hide some of it. */
    int64_t boot_us = clock_boot_us(self->config.clock);
    int64_t since_us = boot_us - pacing_overdue_us(&self->pacing);

    self->flying_rounds = 0;
    self->queued = false;
    for (size_t i = 0; i < count; i++) {
        int64_t took_us = self->touched[i] ? replica_settle(self->replicas[i], now_us, boot_us) : 0;
        if (took_us > 0)
            pacing_landed(&self->pacing, took_us, boot_us);
        self->flying_rounds += replica_flies(self->replicas[i], since_us);
    }
    for (size_t k = 0; k < count; k++) {
        size_t i = (first + k) % count;
        if (!self->touched[i])
            continue;
        bool free = self->flying_rounds < pacing_rounds(&self->pacing) ||
                    replica_has_large_round(self->replicas[i]);
        if (replica_write(self->replicas[i], free, now_us, boot_us)) {
            self->flying_rounds++;
            self->turn = (i + 1) % count;
        }
        self->touched[i] = !free && replica_has_round(self->replicas[i]);
        self->queued |= self->touched[i];
        tell_ownership(self, i);
    }
}

/* While the log has just one thing of ours its answer is near, and to fall asleep and be woken takes longer than that: look
 * again and again, for a short time, leaving the processor to whoever wants it. */
static bool comes_soon(shard_t *self, struct pollfd *wakeup)
{
    bool near = self->flying_rounds == 1 && pacing_is_calm(&self->pacing);
    int64_t until_us = near ? clock_boot_us(self->config.clock) + SOON_US : 0;

    while (clock_boot_us(self->config.clock) < until_us) {
        if (poll(wakeup, 1, 0) != 0)
            return true;
        (void)sched_yield();
    }
    return false;
}

/* Until mail, the log, the next tick, or the time to look whether a round is overdue. */
static void wait_for_work(shard_t *self)
{
    int64_t left_us = self->next_tick_us - clock_boot_us(self->config.clock);
    struct pollfd wakeup = {.fd = self->config.shared->wakeup, .events = POLLIN};
    struct timespec timeout = {0};
    eventfd_t count;

    if (self->queued && left_us > QUEUED_US)
        left_us = QUEUED_US;
    timeout.tv_nsec = left_us > 0 ? left_us * 1000 : 0;

    atomic_store(&self->sleeping, 1);
    pthread_mutex_lock(&self->lock);
    bool frames = self->incoming.size > 0;
    pthread_mutex_unlock(&self->lock);
    if (atomic_load(&self->mailbox) == NULL && !frames && self->local.size == 0 &&
        !atomic_load(&self->stopping) && !comes_soon(self, &wakeup))
        (void)ppoll(&wakeup, 1, &timeout, NULL);
    atomic_store(&self->sleeping, 0);
    (void)eventfd_read(self->config.shared->wakeup, &count); /* the descriptor does not block */
}

static void *run(void *state)
{
    shard_t *self = state;
    const shard_governor_t *governor = self->config.shared;

    shard_go_first();
    pacing_init(&self->pacing);
    shard_publish(self);
    while (!atomic_load(&self->stopping)) {
        int64_t now_us = shard_wall_us(self);
        int64_t boot_us = clock_boot_us(self->config.clock);
        atomic_fetch_add(&self->rounds, 1);
        shard_take_mail(self);
        shard_take_frames(self);
        run_frames(self, now_us);
        run_requests(self, now_us);
        bool more = read_log(self, now_us, boot_us);
        store_effects(self);
        tick(self, now_us, boot_us);
        if (!atomic_load(&self->leaving))
            governor->on_pass(governor->state, now_us, boot_us);
        else if (governor->on_stop(governor->state, now_us, boot_us))
            atomic_store(&self->left, true);
        settle_and_write(self, now_us);
        if (!more)
            wait_for_work(self);
    }
    return NULL;
}
