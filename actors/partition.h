/* partition.h - the core of one partition: decides commands, seals records, applies what its log accepted
 *
 * Contract   Free of I/O but for reads of its store; time comes in with every call. One round is: any number of
 *            partition_on_command / on_frame, then partition_seal until it returns false, each record appended to the
 *            journal; each record that the journal returns goes through partition_on_record, which judges it
 *            (protocol section 1) and adds its effects; after the journal's commit, partition_committed releases
 *            replies and frames. Nothing leaves before. partition_drop forgets a round that was not committed.
 *            Decisions are made on committed state + overlay of the round.
 * Threads    One shard's thread.
 * Ownership  Everything in partition_config_t is borrowed. on_command takes a reference to the request.
 * Units      Microseconds UTC.
 * Errors     ERR_HALTED: see partition_trouble(). Requests are completed with their own errors.
 */
#ifndef FEALTY_PARTITION_H
#define FEALTY_PARTITION_H

#include "actors/adoptions.h"
#include "actors/catalogue.h"
#include "actors/request.h"
#include "actors/row_cache.h"
#include "protocol/clock.h"
#include "storage/journal.h"

/* What a node gives as account_max: one account must not fill the rounds of all others. */
#define PARTITION_ACCOUNT_PENDING_MAX 64

typedef struct partition partition_t;

typedef struct {
    uint16_t number;
    uint16_t partitions;   /* of customers; the catalogue's partition has this number */
    const uint16_t *homes; /* home partitions of all other nodes */
    size_t home_count;
    store_t *store;
    catalogue_t *catalogue;
    row_cache_t *cache; /* of the shard, shared by its partitions */
    hash_t incarnation;
    bool shared; /* the log is shared with other nodes: replica.c drives it, see below */
    const adoptions_t *adoptions; /* may be NULL: none */
    uint32_t pair_max; /* unacknowledged requests to one partition; 0: MESSAGE_PAIR_MAX */
    uint32_t
        account_max; /* commands of one account that wait for the log, then ERR_OVERLOADED; 0: no such limit */
    /* Frame for the owner of partition dst (maybe this very shard). At most once. */
    void (*send)(void *state, uint16_t dst, const void *frame, size_t n);
    void (*session)(void *state, const hash_t *token, const void *value, size_t n);
    void *state;
} partition_config_t;

typedef enum {
    PARTITION_STANDBY,
    PARTITION_CLAIMING,
    PARTITION_OWNER,
    PARTITION_HALTED
} partition_state_t;

partition_t *partition_new(const partition_config_t *config);
void partition_destroy(partition_t **self_p);

/* Reads meta rows, pairs, counters; `position` is the journal's (found false: an empty log). */
errcode_t partition_load(partition_t *self, const position_t *position, bool found, err_t *err);

/* Queues a claim of epoch + 1 for the next seal. `fresh_history` is used when the log is empty. */
void partition_claim(partition_t *self, const hash_t *fresh_history);

void partition_on_command(partition_t *self, request_t *request, int64_t wall_us);
void partition_on_frame(partition_t *self, const void *frame, size_t n, int64_t wall_us);
/* Overdue waiters, resends, housekeeping; call at least every 100 ms. */
void partition_on_tick(partition_t *self, int64_t wall_us);

/* true when the round took as much as a record may hold: seal before giving it more. */
bool partition_full(const partition_t *self);

/* Next record of the round, header and body in one piece: valid until partition_committed or partition_drop. */
bool partition_seal(partition_t *self, int64_t wall_us, const uint8_t **record, size_t *n);
/* Judges a record of this partition's log; on acceptance appends its row writes to effects. */
verdict_t partition_on_record(partition_t *self, const journal_record_t *record, buffer_t *effects);
void partition_committed(partition_t *self, int64_t wall_us);
/* The same in three steps, so that the next round can be decided while this one is on its way to the disk:
 * fly after the last record of the round was sealed and judged; answer after the journal's commit (may run on the
 * thread that commits: it touches nothing but the flying round); landed afterwards, on the shard's thread. */
void partition_fly(partition_t *self);
void partition_answer(partition_t *self);
void partition_landed(partition_t *self, int64_t wall_us);
void partition_drop(partition_t *self, const err_t *why);

/* On a shared log, for replica.c. A round with answers seals at least one record, empty if need be. What a record of
 * another process defines or whom it logs in is told when it is accepted. A claim is no part of a round. */
void partition_seal_claim(partition_t *self, const hash_t *fresh_history, int64_t wall_us,
                          buffer_t *record);
void partition_seal_release(partition_t *self, int64_t wall_us, buffer_t *record);
/* Mark of the skips up to the record that was just accepted (actors/skips.h). */
void partition_set_skips(partition_t *self, uint64_t mark);
void partition_set_adoptions(partition_t *self, const adoptions_t *adoptions);
/* The adoptions have one more, of partition `other`: what made no sense in its frames may make some now. */
void partition_adopted(partition_t *self, uint16_t other);
/* From here on nobody of another history goes on: the record that stands before the first claim of a new one. */
void partition_seal_adopted(partition_t *self, const hash_t *old, int64_t wall_us,
                            buffer_t *record);
/* The own claim is accepted and stored: reads everything again and decides from here on. */
errcode_t partition_own(partition_t *self, err_t *err);
/* Decides no more. What was not sealed is answered: it was not applied. The round that flies waits for its fate. */
void partition_step_down(partition_t *self);
/* The fate of the flying round is known: a claim after it was accepted. `covered`: what was accepted of it is known to
 * be on all replicas of the log; `claim_covered`: the claim is, so what was not accepted never will be. Else nobody can
 * tell for sure. */
void partition_resolve(partition_t *self, bool covered, bool claim_covered);
/* The flying round: sealed and not landed; its records; how many of them the log has accepted. */
typedef struct {
    bool flying;
    uint32_t records, accepted;
    uint64_t epoch, last_seq;
} flight_t;
flight_t partition_flight(const partition_t *self);
/* Requests of the flying round whose deadline has passed are answered: the outcome is unknown. */
void partition_give_up_late(partition_t *self, int64_t wall_us);
size_t partition_pending(const partition_t *self); /* answers that wait, both rounds */
size_t partition_pending_bytes(const partition_t *self);
bool partition_has_round(
    const partition_t *self); /* something is decided or to be said, and not sealed */
/* Completes every waiting request (stop): their outcome is unknown or they never ran. */
void partition_stop(partition_t *self);

partition_state_t partition_state(const partition_t *self);
const position_t *partition_position(const partition_t *self); /* committed */
bool partition_idle(const partition_t *self); /* nothing waits for messages or acks */
void partition_halt(partition_t *self, const char *format, ...) PRINTF_LIKE(2, 3);
/* Why it or one of its pairs is halted; NULL when all is well. */
const char *partition_trouble(const partition_t *self);
/* Prometheus lines: figures of conservation. Shard's thread only. */
void partition_metrics(const partition_t *self, buffer_t *out);

#endif
