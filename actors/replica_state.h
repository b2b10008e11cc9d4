/* replica_state.h - the inside of a replica, for its files only (replica.c, replica_reading.c)
 *
 * Contract   replica.c: states, claims, rounds, answers. replica_reading.c: following the log, looking at a record again,
 *            what each record means for who owns.
 * Threads    The driver's.
 * Ownership  As stated at the members.
 * Units      Microseconds of the boot clock; offsets.
 * Errors     None.
 */
#ifndef FEALTY_REPLICA_STATE_H
#define FEALTY_REPLICA_STATE_H

#include "actors/replica.h"

#define REPLICA_FOLLOW_AGAIN_US INT64_C(200000)

struct replica {
    partition_t *partition; /* owned */
    journal_t *journal;     /* borrowed */
    uint16_t number;
    hash_t incarnation;
    store_t *store; /* borrowed */
    replica_state_t state;
    bool found; /* the log, as far as it is applied, is not empty */

    /* reading */
    bool checking, follow_due;
    int64_t follow_at_us;
    int64_t
        alive_us; /* when it was last called with time or a record; 0: not since it was opened */
    /* Up to these offsets bytes that were no record had a second look, or were told; 0: none, else one more. */
    uint64_t spoilt_seen, spoilt_told;
    unsigned spoilt_looks; /* at the last of them */
    unsigned check_looks;  /* at the record that is checked, which was no record */
    position_t stored;     /* as in the store */
    int64_t position_at_us;

    const skips_t *skips;         /* borrowed; may be NULL */
    const adoptions_t *adoptions; /* borrowed; may be NULL */
    hash_t node;
    uint16_t partitions;
    bool wants;    /* a copy of the history that was adopted, see replica_wants_history */
    bool log_lost; /* see replica_lost_its_log */
    bool halted_by_record;
    uint64_t halted_offset;
    uint32_t halted_crc;

    /* claiming */
    /* The first claim of a new history counts only behind the record that ends all others. */
    bool ended_others;        /* that was read */
    int64_t end_others_at_us; /* when it is written, again */
    buffer_t adopted;         /* as it is written */
    bool wanted;              /* to be owned by this node */
    bool clock_agrees;
    hash_t fresh_history;
    int64_t claim_at_us;              /* not before */
    buffer_t claim;                   /* the claim on its way, whole; empty: none */
    uint64_t claim_epoch;             /* of it */
    bool claim_read, claim_delivered; /* accepted; delivered */
    bool deposed;                     /* another's claim was accepted since the last settle */
    buffer_t release;                 /* the RELEASE on its way */

    /* the flying round */
    int64_t flight_at_us;  /* when it, the claim or the release was appended; boot clock */
    uint64_t append_floor; /* what was appended last lies at this offset or above */
    uint64_t delivered_epoch, delivered_seq; /* highest of this owner's records */
    bool in_doubt;                           /* stepped down: waits for the next accepted claim */

    uint64_t claims, doubts; /* figures */
};

/* replica.c */
void replica_become(replica_t *self, replica_state_t state); /* by the table of allowed ways */
bool replica_deciding(const replica_t *self);
/* The partition's own halt shows here, too. Nobody can tell what became of what is in the log. */
void replica_halted(replica_t *self);
/* The own writes may not have happened: nothing more is decided until an own or another's claim was read. */
void replica_doubt(replica_t *self, const char *why, int64_t boot_us);
/* Another claim than the one that is waited for was accepted; `own`: an older one of this process, come late. */
void replica_other_claimed(replica_t *self, bool own);

/* replica_reading.c */
/* Halts a copy that was made under other skips than there are. */
bool replica_made_otherwise(replica_t *self);
void replica_follow(replica_t *self, int64_t boot_us); /* from the last applied record on */
/* Its history is a new one, of which nothing was read yet: the adoption that made it. NULL: no. */
const adoption_t *replica_unclaimed(const replica_t *self);
/* Another history than the newest of its partition: it halts. */
bool replica_replaced(replica_t *self);
/* A call has come: an owner that was without one for long looks at its last record again; true then. */
bool replica_stood_still(replica_t *self, int64_t boot_us);

#endif
