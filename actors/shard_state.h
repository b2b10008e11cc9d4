/* shard_state.h - the inside of a shard, for its files only (shard.c, shard_local.c, shard_shared.c)
 *
 * Contract   shard.c: mailbox, frames, life. shard_local.c: the two threads on a journal of one's own. shard_shared.c:
 *            the one thread on a log that nodes share.
 * Threads    As stated at the members.
 * Ownership  As stated at the members.
 * Units      Microseconds; bytes.
 * Errors     None.
 */
#ifndef FEALTY_SHARD_STATE_H
#define FEALTY_SHARD_STATE_H

#include "actors/pacing.h"
#include "actors/partition.h"
#include "actors/replica.h"
#include "actors/shard.h"

#include <pthread.h>

#define SHARD_TICK_US           50000
#define SHARD_PUBLISH_US        1000000
#define SHARD_FRAMES_BYTES_MAX  (64u * 1024 * 1024)
#define SHARD_EFFECTS_BYTES_MAX (256u * 1024 * 1024)
#define NOT_OWNED               UINT16_MAX

/* What the thread that decides ahead is told. */
enum { AHEAD_IDLE, AHEAD_WANTED, AHEAD_GO, AHEAD_STOP };

struct shard {
    shard_config_t config;
    partition_t **partitions; /* owned; owned_count of them; on a log of one's own */
    replica_t **replicas;     /* owned; likewise; on a shared log */
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

    /* shared log */
    pacing_t pacing;
    size_t turn;               /* index of the replica that may write first */
    unsigned flying_rounds;    /* in the log, those that are overdue not counted */
    bool queued;               /* somebody waits for its turn */
    uint64_t *told_epoch;      /* owned; by index: what the governor knows to be owned here */
    atomic_bool leaving, left; /* everything is to be released; is released */
};

int64_t shard_wall_us(const shard_t *self);
void shard_futex_wake(atomic_int *word);
void shard_wake(shard_t *self);
/* Everybody waits for these threads, so they go first where that is allowed (root, or a limit for niceness). */
void shard_go_first(void);
/* Takes the whole mailbox and appends it, oldest first, to what was taken before. */
void shard_take_mail(shard_t *self);
/* Moves what came from other threads and from this one into self->frames. */
void shard_take_frames(shard_t *self);
/* What /metrics and /readyz show from now on. */
void shard_publish(shard_t *self);

/* shard_local.c */
errcode_t shard_local_start(shard_t *self, err_t *err);
void shard_local_stop(shard_t *self);
/* shard_shared.c */
errcode_t shard_shared_start(shard_t *self, err_t *err);
void shard_shared_stop(shard_t *self, int64_t timeout_us);

#endif
