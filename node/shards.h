/* shards.h - the partition threads of this node, with their journals
 *
 * Contract   shards_new() divides the partitions that the birth record gives this node into contiguous ranges, one per
 *            thread, each with a journal of its own. On a shared log there is one thread, and its journal is given. shards_start() returns when all have claimed their partitions.
 * Threads    Made, started, stopped and destroyed by one thread. shards_acked, shards_post: any.
 * Ownership  Everything in the setup is borrowed and outlives the shards; the birth is copied.
 * Units      Microseconds.
 * Errors     Those of the shards; ERR_STATE when a partition does not get ready.
 */
#ifndef FEALTY_SHARDS_H
#define FEALTY_SHARDS_H

#include "actors/shard.h"
#include "cluster/genesis.h"
#include "storage/acked.h"

#define SHARDS_MAX 64

typedef struct {
    store_t *store;
    catalogue_t *catalogue;
    const clock_source_t *clock;
    const random_source_t *random;
    const birth_t *birth;
    shard_hooks_t hooks;
    hash_t incarnation;
    uint32_t threads;
    uint32_t mailbox_commands;
    uint32_t round_commands;
    uint32_t cache_accounts; /* of all threads together */
    uint32_t account_max;    /* see partition_config_t */
    /* On a shared log: one thread with a copy of every partition; birth is NULL. */
    const shard_governor_t *shared;
    journal_t *journal;
    uint16_t partitions; /* of customers */
} shards_setup_t;

typedef struct {
    size_t count;
    shard_t *shards[SHARDS_MAX];     /* owned */
    journal_t *journals[SHARDS_MAX]; /* owned; none on a shared log */
    uint16_t partitions;             /* of customers */
    size_t owned_count;
    uint16_t owned[BIRTH_PARTITIONS_MAX + 1];
    uint16_t shard_of[BIRTH_PARTITIONS_MAX + 1]; /* index into shards, by partition */
    bool owns[BIRTH_PARTITIONS_MAX + 1];
    uint16_t homes[BIRTH_NODES_MAX];
} shards_t;

shards_t *shards_new(const shards_setup_t *setup);
/* The newest decided time of all own partitions, 0 when their logs are empty. Before shards_start only. */
errcode_t shards_newest_us(shards_t *self, int64_t *newest_us, err_t *err);
errcode_t shards_start(shards_t *self, err_t *err);
bool shards_ready(const shards_t *self);
errcode_t shards_post(shards_t *self, request_t *request, err_t *err);
/* How far every own partition has come, for the hint beside the store. */
void shards_acked(const shards_t *self, int64_t wall_us, acked_t *out);
/* While frozen no message between partitions is applied; see shard_freeze. */
void shards_freeze(shards_t *self, bool frozen);
void shards_stop(shards_t *self, int64_t timeout_us);
void shards_destroy(shards_t **self_p);

#endif
