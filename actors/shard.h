/* shard.h - what drives several partitions: threads, a mailbox, and the journal's rounds
 *
 * Contract   shard_post hands a command to the thread. Each round it takes all waiting commands and messages up to a
 *            bound, decides them, appends one record per partition, commits all in one synced batch, and only then
 *            completes the requests (protocol section 2). A request whose deadline has passed is discarded.
 *            While a batch is on its way to the disk the second thread decides the next round; that one is sealed only
 *            after the batch has landed. The shard claims its partitions at start; until then shard_ready() is false.
 *            On a shared log (config.shared) one thread drives a replica of every partition that the governor opens:
 *            it takes mail and what the log says, stores effects, lets answers leave, writes. Who follows, claims and
 *            releases what is the governor's word, given from on_pass.
 * Threads    shard_post, shard_deliver, shard_ready, shard_acked: any. The two threads never move the
 *            partitions at the same time: a lock passes between them, given up for nothing but the write.
 * Ownership  store, journal, catalogue, clock, random and hooks are borrowed and outlive the shard.
 * Units      Microseconds.
 * Errors     ERR_OVERLOADED when the mailbox is full; ERR_UNREACHABLE when stopping.
 */
#ifndef FEALTY_SHARD_H
#define FEALTY_SHARD_H

#include "actors/catalogue.h"
#include "actors/replica.h"
#include "actors/request.h"
#include "protocol/clock.h"
#include "storage/journal.h"

typedef struct shard shard_t;

/* Calls out of the shard's thread; they must not block. */
typedef struct {
    /* A frame for the owner of partition dst, which is not of this shard: see shard_deliver. At most once: lost frames
     * are sent again. */
    void (*send)(void *state, uint16_t dst, const void *frame, size_t n);
    /* After commit: a definition change ('X' row) or session row ('S') was written. value NULL: deleted. */
    void (*session)(void *state, const hash_t *token, const void *value, size_t n);
    void *state;
} shard_hooks_t;

/* On a shared log: who says what to follow, to claim and to release. All calls come from the shard's thread. */
typedef struct {
    int wakeup; /* eventfd that the journal writes, too, when it has something; borrowed */
    /* A record of a channel. */
    void (*on_record)(void *state, const journal_record_t *record, int64_t wall_us,
                      int64_t boot_us);
    /* Once per pass, at least every 50 ms. May call shard_replica() and journal_publish(). */
    void (*on_pass)(void *state, int64_t wall_us, int64_t boot_us);
    /* The shard is stopping: releases everything; true once nothing is left to release. */
    bool (*on_stop)(void *state, int64_t wall_us, int64_t boot_us);
    /* A replica became owner (the epoch that it claimed) or is one no more (epoch 0). */
    void (*owned)(void *state, uint16_t partition, uint64_t epoch);
    /* Effects were stored, with their positions. May be NULL. */
    void (*stored)(void *state);
    /* false while the log does not answer: requests are refused at once. */
    bool (*reachable)(void *state);
    void *state;
} shard_governor_t;

typedef struct {
    uint16_t partitions;            /* of customers; the catalogue's partition has this number */
    const shard_governor_t *shared; /* NULL: the log is this node's own. Borrowed */
    const uint16_t *owned; /* partitions of this shard, ascending; shared log: all there are */
    size_t owned_count;
    const uint16_t
        *homes; /* home partition (lowest owned) of every other node: sessions go there */
    size_t home_count;
    store_t *store;
    journal_t *journal;
    catalogue_t *catalogue;
    const clock_source_t *clock;
    const random_source_t *random;
    shard_hooks_t hooks;
    hash_t incarnation;
    uint32_t mailbox_max;    /* requests; default 4096 per owned partition at most */
    uint32_t round_max;      /* commands per round; default 256 */
    uint32_t cache_accounts; /* accounts kept decoded; default 65,536 */
    uint32_t account_max;    /* see partition_config_t */
} shard_config_t;

shard_t *shard_new(const shard_config_t *config);
errcode_t shard_start(shard_t *self, err_t *err); /* loads, claims, then runs its thread */
/* Finishes what was accepted (within timeout), then joins. */
void shard_stop(shard_t *self, int64_t timeout_us);
void shard_destroy(shard_t **self_p);

/* Shared log, the shard's thread only. */
replica_t *shard_replica(shard_t *self, uint16_t partition);

errcode_t shard_post(shard_t *self, request_t *request, err_t *err);
/* A frame that another shard's `send` gave, for a partition of this shard. Anything goes in; bad bytes are counted. */
void shard_deliver(shard_t *self, uint16_t dst, const void *frame, size_t n);
bool shard_ready(const shard_t *self);
/* While frozen, no message from another partition is applied (in_seq stands still); returns when that holds. For backups
 * of several nodes: freeze all, checkpoint all, thaw all. */
void shard_freeze(shard_t *self, bool frozen);
/* Last committed record of each owned partition, for the ACKED hint. */
void shard_acked(const shard_t *self, uint16_t partition, uint64_t *seq);
/* Why a partition or pair is halted, as JSON array elements appended to out; nothing when all is well. */
void shard_troubles(shard_t *self, buffer_t *out);
/* Per-partition and per-pair figures (conservation) as Prometheus lines; metrics source. */
void shard_metrics(void *shard, buffer_t *out);

#endif
