/* shards.c - divides the own partitions among threads, and handles all threads as one */
#include "node/shards.h"

#include <stdlib.h>
#include <time.h>

#define READY_WAIT_MAX_US INT64_C(60000000)
#define POLL_NS           2000000

static void divide(shards_t *self, const shards_setup_t *setup);
static void share(shards_t *self, const shards_setup_t *setup);

shards_t *shards_new(const shards_setup_t *setup)
{
    shards_t *self = memory_zalloc(sizeof *self);

    if (setup->shared != NULL) {
        share(self, setup);
        return self;
    }
    self->partitions = setup->birth->partitions;
    self->owned_count = birth_owned(setup->birth, setup->birth->node, self->owned);
    divide(self, setup);
    return self;
}

static void share(shards_t *self, const shards_setup_t *setup)
{
    shard_config_t config = {
        .partitions = setup->partitions,
        .shared = setup->shared,
        .owned = self->owned,
        .owned_count = (size_t)setup->partitions + 1,
        .store = setup->store,
        .journal = setup->journal,
        .catalogue = setup->catalogue,
        .clock = setup->clock,
        .random = setup->random,
        .hooks = setup->hooks,
        .incarnation = setup->incarnation,
        .mailbox_max = setup->mailbox_commands,
        .account_max = setup->account_max,
        .cache_accounts = setup->cache_accounts,
    };

    self->partitions = setup->partitions;
    self->owned_count = config.owned_count;
    self->count = 1;
    for (uint32_t i = 0; i < config.owned_count; i++) {
        self->owned[i] = (uint16_t)i;
        self->owns[i] = true;
    }
    self->shards[0] = shard_new(&config);
}

/* Contiguous ranges: neighbours in one thread, so that ids ascend within it. */
static void divide(shards_t *self, const shards_setup_t *setup)
{
    size_t home_count = birth_homes(setup->birth, self->homes);
    size_t at = 0;

    self->count = setup->threads < self->owned_count ? setup->threads : self->owned_count;
    INVARIANT(self->count <= SHARDS_MAX);
    for (size_t i = 0; i < self->count; i++) {
        size_t end = self->owned_count * (i + 1) / self->count;
        shard_config_t config = {
            .partitions = self->partitions,
            .owned = self->owned + at,
            .owned_count = end - at,
            .homes = self->homes,
            .home_count = home_count,
            .store = setup->store,
            .catalogue = setup->catalogue,
            .clock = setup->clock,
            .random = setup->random,
            .hooks = setup->hooks,
            .incarnation = setup->incarnation,
            .mailbox_max = setup->mailbox_commands,
            .round_max = setup->round_commands,
            .account_max = setup->account_max,
            .cache_accounts = setup->cache_accounts / (uint32_t)self->count,
        };

        self->journals[i] = journal_embedded_new(setup->store);
        config.journal = self->journals[i];
        self->shards[i] = shard_new(&config);
        for (; at < end; at++) {
            self->shard_of[self->owned[at]] = (uint16_t)i;
            self->owns[self->owned[at]] = true;
        }
    }
}

errcode_t shards_newest_us(shards_t *self, int64_t *newest_us, err_t *err)
{
    *newest_us = 0;
    for (size_t i = 0; i < self->owned_count; i++) {
        position_t position;
        bool found;
        journal_t *journal = self->journals[self->shard_of[self->owned[i]]];
        errcode_t rc = journal_position(journal, self->owned[i], &position, &found, err);

        if (rc != ERR_NONE)
            return rc;
        if (found && position.now_us > *newest_us)
            *newest_us = position.now_us;
    }
    return ERR_NONE;
}

errcode_t shards_start(shards_t *self, err_t *err)
{
    const clock_source_t *clock = clock_system();
    int64_t until_us;

    for (size_t i = 0; i < self->count; i++) {
        errcode_t rc = shard_start(self->shards[i], err);
        if (rc != ERR_NONE)
            return rc;
    }
    until_us = clock_boot_us(clock) + READY_WAIT_MAX_US;
    while (!shards_ready(self)) {
        const struct timespec moment = {.tv_nsec = POLL_NS};

        if (clock_boot_us(clock) > until_us)
            return err_set(
                err, ERR_STATE,
                "the partitions of this node are not ready after %d s; the lines above say why",
                (int)(READY_WAIT_MAX_US / 1000000));
        (void)nanosleep(&moment, NULL);
    }
    return ERR_NONE;
}

bool shards_ready(const shards_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (!shard_ready(self->shards[i]))
            return false;
    return true;
}

errcode_t shards_post(shards_t *self, request_t *request, err_t *err)
{
    if (request->partition > self->partitions || !self->owns[request->partition])
        return err_set(err, ERR_UNREACHABLE, "partition %u is on another node",
                       (unsigned)request->partition);
    return shard_post(self->shards[self->shard_of[request->partition]], request, err);
}

void shards_acked(const shards_t *self, int64_t wall_us, acked_t *out)
{
    memset(out, 0, sizeof *out);
    out->count = (uint32_t)self->partitions + 1;
    out->wall_us = wall_us;
    for (size_t i = 0; i < self->owned_count; i++) {
        uint16_t partition = self->owned[i];
        shard_acked(self->shards[self->shard_of[partition]], partition, &out->seq[partition]);
    }
}

void shards_freeze(shards_t *self, bool frozen)
{
    for (size_t i = 0; i < self->count; i++)
        shard_freeze(self->shards[i], frozen);
}

void shards_stop(shards_t *self, int64_t timeout_us)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->shards[i] != NULL)
            shard_stop(self->shards[i], timeout_us);
}

void shards_destroy(shards_t **self_p)
{
    shards_t *self = *self_p;

    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++) {
        shard_destroy(&self->shards[i]);
        journal_destroy(&self->journals[i]);
    }
    free(self);
    *self_p = NULL;
}
