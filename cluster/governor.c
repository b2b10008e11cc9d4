/* governor.c - the loop between membership, replicas and the channels */
#include "cluster/governor_state.h"

#include "protocol/log.h"

#include <stdlib.h>
#include <time.h>

#define TICK_US          INT64_C(10000)
#define PUBLISH_US       INT64_C(500000)
#define FOLLOW_AGAIN_US  INT64_C(200000)
#define CLOCK_OFF_MAX_US INT64_C(30000000) /* half of what the acceptance rule takes */
#define STATUS_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define RECORD_MAX       ((size_t)256 * 1024)

static void ask_partition(void *state, uint16_t partition, membership_partition_t *out)
{
    governor_t *self = state;
    replica_t *replica = self->config.replica(self->config.state, partition);

    position_t stored;

    *out = (membership_partition_t){.behind = UINT64_MAX};
    if (replica == NULL)
        return;
    if (replica_stored(replica, &stored)) {
        /* A halted copy is what is stored of it; one that goes on is ahead of that. */
        out->placed = true;
        out->place_history = stored.history;
        out->place_epoch = stored.epoch;
        out->place_seq = stored.seq;
    }
    if (replica_state(replica) == REPLICA_CLOSED)
        return;
    out->owned = replica_state(replica) == REPLICA_OWNER;
    out->stuck = replica_stuck(replica, self->boot_us);
    /* Who could not claim it is not near enough to be given it. */
    out->behind = replica_state(replica) == REPLICA_HALTED || !self->clock_agrees
                      ? UINT64_MAX
                      : journal_behind(self->config.journal, partition);
    out->epoch = replica_position(replica)->epoch;
    out->released = out->epoch > 0 && replica_owned_by_nobody(replica);
    out->owner = replica_position(replica)->owner;
}

static replica_t *find_replica(void *state, uint16_t partition)
{
    governor_t *self = state;

    return self->config.replica(self->config.state, partition);
}

static bool accompanied(void *state)
{
    const view_t *view = membership_view(((governor_t *)state)->membership);

    return view != NULL && view->member_count > 1;
}

/* Followers first: the owner has enough to do. */
static size_t find_sources(void *state, uint16_t partition, const char *out[FILLS_SOURCES_MAX])
{
    governor_t *self = state;
    const view_t *view = membership_view(self->membership);
    size_t owner = membership_owner(self->membership, partition);
    size_t count = 0;

    for (size_t i = 0; view != NULL && i < view->member_count; i++) {
        if (i != owner && count < FILLS_SOURCES_MAX - 1 &&
            membership_keeps(self->membership, i, partition))
            out[count++] = view->members[i].address;
    }
    if (view != NULL && owner < view->member_count &&
        membership_keeps(self->membership, owner, partition))
        out[count++] = view->members[owner].address;
    return count;
}

/* The replica must know before it judges another record; who halted there is opened again in the next pass. */
static void on_skip(void *state, const skip_t *skip)
{
    governor_t *self = state;
    replica_t *replica = find_replica(self, skip->partition);

    if (skip->partition > self->config.partitions || !skips_add(self->skips, skip))
        return;
    log_warn("the record of partition %u at offset %llu, crc %08x, is skipped from now on: %s",
             skip->partition, (unsigned long long)skip->offset, skip->crc, skip->reason);
    self->spoken[skip->partition] = 1;
    self->any_spoken = true;
    if (replica != NULL)
        replica_skips_grew(replica);
}

/* Likewise. Every copy here may have met frames of the new history before. */
static void on_adoption(void *state, const adoption_t *adoption)
{
    governor_t *self = state;

    if (adoption->partition > self->config.partitions || !adoptions_add(self->adoptions, adoption))
        return;
    log_warn("partition %u has a new history, the image of %s at epoch %llu, seq %llu: %s",
             adoption->partition,
             hash_equal(&adoption->node, &self->config.node) ? "this node" : "another node",
             (unsigned long long)adoption->epoch, (unsigned long long)adoption->seq,
             adoption->reason);
    self->spoken[adoption->partition] = 1;
    self->any_spoken = true;
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = find_replica(self, (uint16_t)i);

        if (replica != NULL)
            replica_adopted(replica, adoption->partition);
    }
}

governor_t *governor_new(const governor_config_t *config)
{
    governor_t *self = memory_zalloc(sizeof *self);
    const membership_config_t membership = {.node = config->node,
                                            .incarnation = config->incarnation,
                                            .address = config->address,
                                            .rack = config->rack,
                                            .weight = 100,
                                            .partitions = config->partitions,
                                            .followers = config->followers,
                                            .random = config->random,
                                            .partition = ask_partition,
                                            .skip = on_skip,
                                            .adoption = on_adoption,
                                            .state = self};
    pthread_condattr_t monotonic;

    self->config = *config;
    self->membership = membership_new(&membership);
    self->control.number = JOURNAL_CONTROL;
    self->liveness.number = JOURNAL_LIVENESS;
    self->liveness.next = JOURNAL_END; /* heartbeats of the past say nothing about now */
    self->clock_agrees = true;
    const fills_config_t fills = {.partitions = config->partitions,
                                  .behind = config->snapshot_behind,
                                  .journal = config->journal,
                                  .filler = config->filler,
                                  .replica = find_replica,
                                  .accompanied = accompanied,
                                  .sources = find_sources,
                                  .state = self};
    self->fills = fills_new(&fills);
    self->skips = skips_new();
    self->adoptions = adoptions_new();
    self->spoken = memory_zalloc((size_t)config->partitions + 1);
    buffer_init(&self->shown, STATUS_BYTES_MAX);
    self->follows = memory_zalloc(((size_t)config->partitions + 1) * sizeof *self->follows);
    buffer_init(&self->record, RECORD_MAX);
    buffer_init(&self->status, STATUS_BYTES_MAX);
    buffer_init(&self->troubles, STATUS_BYTES_MAX);
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_condattr_init(&monotonic) == 0);
    INVARIANT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    INVARIANT(pthread_cond_init(&self->answered, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    return self;
}

void governor_destroy(governor_t **self_p)
{
    governor_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    membership_destroy(&self->membership);
    fills_destroy(&self->fills);
    skips_destroy(&self->skips);
    adoptions_destroy(&self->adoptions);
    free(self->spoken);
    buffer_free(&self->record);
    buffer_free(&self->status);
    buffer_free(&self->troubles);
    buffer_free(&self->shown);
    (void)pthread_cond_destroy(&self->answered);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->follows);
    free(self);
}

/* ---- channels ---- */

static void follow(governor_t *self, channel_t *channel, int64_t boot_us)
{
    err_t err = {0};

    if (channel->followed || boot_us < channel->again_us)
        return;
    channel->again_us = boot_us + FOLLOW_AGAIN_US;
    channel->followed =
        journal_follow(self->config.journal, channel->number, channel->next, &err) == ERR_NONE;
}

void governor_on_record(void *state, const journal_record_t *record, int64_t wall_us,
                        int64_t boot_us)
{
    governor_t *self = state;
    channel_t *channel = record->partition == JOURNAL_CONTROL ? &self->control : &self->liveness;

    if (record->bytes == NULL) {
        channel->followed = false;
        channel->again_us = boot_us + FOLLOW_AGAIN_US;
        if (record->lost && record->partition == JOURNAL_LIVENESS)
            channel->next = JOURNAL_END;
        return;
    }
    channel->next = record->offset + 1;
    membership_on_record(self->membership, record, wall_us, boot_us);
    self->next_tick_us = boot_us; /* it may want something */
}

static void publish_records(governor_t *self)
{
    uint16_t channel;
    err_t err = {0};

    buffer_reset(&self->record);
    while (membership_next_record(self->membership, &channel, &self->record)) {
        if (journal_publish(self->config.journal, channel, 0, self->record.bytes, self->record.size,
                            &err) != ERR_NONE)
            log_debug("not published: %s", err.text);
        buffer_reset(&self->record);
    }
}

/* ---- wishes ---- */

static void carry_out(governor_t *self, membership_wish_t wish, uint16_t partition, int64_t boot_us)
{
    replica_t *replica = self->config.replica(self->config.state, partition);
    hash_t history;

    if (replica == NULL)
        return;
    switch (wish) {
    case MEMBERSHIP_FOLLOW: (void)fills_open(self->fills, partition, boot_us); break;
    case MEMBERSHIP_UNFOLLOW: fills_close(self->fills, partition, boot_us); break;
    case MEMBERSHIP_CLAIM:
        if (!fills_open_to_claim(self->fills, partition, boot_us))
            break;
        random_fill(self->config.random, history.bytes, sizeof history.bytes);
        replica_claim(replica, &history, boot_us);
        break;
    case MEMBERSHIP_RELEASE: replica_release(replica); break;
    }
}

/* Own time and the log's, by the own heartbeats that came back. */
static void compare_clocks(governor_t *self)
{
    int64_t off_us = membership_clock_off_us(self->membership);
    bool agrees = off_us > -CLOCK_OFF_MAX_US && off_us < CLOCK_OFF_MAX_US;

    if (agrees == self->clock_agrees)
        return;
    self->clock_agrees = agrees;
    if (agrees)
        log_info("this node's clock and the log's agree again");
    else
        log_error("this node's clock is %.1f s off the log's: it owns nothing until that is set "
                  "right",
                  (double)off_us / 1e6);
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = self->config.replica(self->config.state, (uint16_t)i);
        if (replica == NULL)
            continue;
        replica_set_clock_agrees(replica, agrees);
        if (!agrees)
            replica_release(replica);
    }
}

static void tell_view(governor_t *self)
{
    static const hash_t unknown;
    const view_t *view = membership_view(self->membership);

    if (view == NULL || view->number == self->view_number)
        return;
    self->foreign = (!hash_equal(&self->config.cluster, &unknown) &&
                     !hash_equal(&self->config.cluster, &view->cluster)) ||
                    view->partitions != self->config.partitions;
    if (self->foreign && self->view_number == 0)
        log_error("this node's data belong to another cluster, or the log topic has another "
                  "number of partitions than the cluster was made with: it takes no part");
    self->view_number = view->number;
    if (!self->foreign)
        self->config.view(self->config.state, view);
}

/* ---- skips and adoptions ---- */

/* Lent before any copy is opened: wishes are carried out only once the control channel was read to its end, so that a
 * record is not judged by who could know already that it is skipped, or of a history of the past. */
static void lend(governor_t *self)
{
    if (self->lent)
        return;
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = self->config.replica(self->config.state, (uint16_t)i);

        if (replica == NULL)
            continue;
        replica_set_skips(replica, self->skips);
        replica_set_adoptions(replica, self->adoptions, &self->config.node);
    }
    self->lent = true;
}

/* What halted may go on with what was said since: from its last good record, like after an operator's `resume`. */
static void open_spoken(governor_t *self, int64_t boot_us)
{
    if (!self->any_spoken || self->stopping || !self->caught_up)
        return;
    self->any_spoken = false;
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = self->config.replica(self->config.state, (uint16_t)i);

        if (self->spoken[i] && replica != NULL && replica_state(replica) == REPLICA_HALTED) {
            replica_close(replica, boot_us);
            (void)fills_open(self->fills, (uint16_t)i, boot_us);
        }
        self->spoken[i] = 0;
    }
}

/* ---- what others look at ---- */

static void append_trouble(buffer_t *out, const char *text)
{
    buffer_text(out, out->size > 0 ? ",\"" : "\"");
    for (const char *c = text; *c != '\0'; c++)
        if (*c != '"' && *c != '\\' && (unsigned char)*c >= 0x20)
            buffer_byte(out, (uint8_t)*c);
    buffer_byte(out, '"');
}

static void show(governor_t *self, int64_t boot_us)
{
    const char *trouble = membership_trouble(self->membership);

    atomic_store(&self->joined, membership_joined(self->membership) && !self->foreign);
    atomic_store(&self->heard, membership_heard_self(self->membership, boot_us));
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = self->config.replica(self->config.state, (uint16_t)i);
        bool near = replica != NULL && replica_state(replica) != REPLICA_CLOSED &&
                    replica_state(replica) != REPLICA_HALTED &&
                    journal_behind(self->config.journal, (uint16_t)i) <= MEMBERSHIP_CLOSE;
        atomic_store_explicit(&self->follows[i], near, memory_order_relaxed);
    }
    (void)pthread_mutex_lock(&self->lock);
    buffer_reset(&self->status);
    membership_status(self->membership, &self->status);
    buffer_reset(&self->troubles);
    if (trouble != NULL)
        append_trouble(&self->troubles, trouble);
    if (self->foreign)
        append_trouble(&self->troubles, "this node's data belong to another cluster");
    if (!self->clock_agrees)
        append_trouble(&self->troubles, "this node's clock and the log's differ by more than 30 s");
    (void)pthread_mutex_unlock(&self->lock);
}

/* ---- passes ---- */

static void pass(governor_t *self, int64_t wall_us, int64_t boot_us)
{
    membership_wish_t wish;
    uint16_t partition;

    if (!self->caught_up && self->control.followed &&
        journal_behind(self->config.journal, JOURNAL_CONTROL) == 0) {
        self->caught_up = true;
        membership_caught_up(self->membership);
    }
    lend(self);
    open_spoken(self, boot_us);
    membership_on_tick(self->membership, wall_us, boot_us);
    tell_view(self);
    publish_records(self);
    compare_clocks(self);
    fills_on_pass(self->fills, boot_us);
    while (self->caught_up && membership_next_wish(self->membership, &wish, &partition))
        if (!self->foreign)
            carry_out(self, wish, partition, boot_us);
    (void)pthread_mutex_lock(&self->lock);
    if (self->asked && !self->done) {
        governor_answer(self);
        self->done = true;
        (void)pthread_cond_broadcast(&self->answered);
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (boot_us >= self->next_publish_us) {
        self->next_publish_us = boot_us + PUBLISH_US;
        show(self, boot_us);
    }
}

void governor_on_pass(void *state, int64_t wall_us, int64_t boot_us)
{
    governor_t *self = state;

    follow(self, &self->control, boot_us);
    follow(self, &self->liveness, boot_us);
    if (boot_us < self->next_tick_us)
        return;
    self->boot_us = boot_us;
    self->wall_us = wall_us;
    self->next_tick_us = boot_us + TICK_US;
    pass(self, wall_us, boot_us);
}

bool governor_on_stop(void *state, int64_t wall_us, int64_t boot_us)
{
    governor_t *self = state;
    bool left = true;

    if (!self->stopping) {
        self->stopping = true;
        membership_stop(self->membership);
        fills_stop(self->fills);
        self->next_tick_us = boot_us;
    }
    governor_on_pass(self, wall_us, boot_us);
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = self->config.replica(self->config.state, (uint16_t)i);
        if (replica == NULL)
            continue;
        if (replica_state(replica) == REPLICA_OWNER)
            replica_release(replica);
        left = left && replica_state(replica) != REPLICA_OWNER &&
               replica_state(replica) != REPLICA_DRAINING &&
               replica_state(replica) != REPLICA_CLAIMING;
    }
    return left;
}

/* ---- from other threads ---- */

bool governor_joined(const governor_t *self)
{
    return atomic_load(&self->joined);
}

bool governor_heard_self(const governor_t *self)
{
    return atomic_load(&self->heard);
}

bool governor_follows(const governor_t *self, uint16_t partition)
{
    return partition <= self->config.partitions &&
           atomic_load_explicit(&self->follows[partition], memory_order_relaxed) != 0;
}

void governor_status(governor_t *self, buffer_t *out)
{
    (void)pthread_mutex_lock(&self->lock);
    buffer_append(out, self->status.bytes, self->status.size);
    (void)pthread_mutex_unlock(&self->lock);
}

void governor_troubles(governor_t *self, buffer_t *out)
{
    (void)pthread_mutex_lock(&self->lock);
    buffer_append(out, self->troubles.bytes, self->troubles.size);
    (void)pthread_mutex_unlock(&self->lock);
}
