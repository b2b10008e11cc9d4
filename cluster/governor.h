/* governor.h - carries out on one node what the membership wishes: follow, claim, release
 *
 * Contract   Sits between membership (pure), the replicas of a shard and the journal's two channels. The driver of the
 *            replicas (a shard's thread, the simulator) calls governor_on_record for every record of a channel and
 *            governor_on_pass once per pass. Free of I/O but for the journal.
 * Threads    The driver's; governor_status, governor_trouble, governor_ask and governor_follows: any.
 * Ownership  journal, random and the texts of the configuration are borrowed.
 * Units      Microseconds; wall: UTC, boot: never jumps.
 * Errors     governor_trouble() names what an operator must know. governor_ask: ERR_NOT_FOUND, ERR_STATE with a
 *            sentence, ERR_UNREACHABLE when the thread did not answer in time.
 */
#ifndef FEALTY_GOVERNOR_H
#define FEALTY_GOVERNOR_H

#include "cluster/fills.h"
#include "cluster/membership.h"

typedef struct governor governor_t;

typedef struct {
    hash_t node, incarnation;
    hash_t cluster; /* that this node's data belong to; zero: not known yet */
    const char *address, *rack;
    uint16_t partitions; /* of customers, as the log has them */
    uint8_t followers;
    journal_t *journal;
    const random_source_t *random;
    uint64_t
        snapshot_behind; /* records; 0: FILLS_BEHIND. A copy further behind is filled from a peer */
    filler_t filler;     /* start NULL: copies are filled from the log only */
    replica_t *(*replica)(void *state, uint16_t partition);
    /* A view was accepted, on the driver's thread. */
    void (*view)(void *state, const view_t *view);
    void *state;
} governor_config_t;

governor_t *governor_new(const governor_config_t *config);
void governor_destroy(governor_t **self_p);

void governor_on_record(void *governor, const journal_record_t *record, int64_t wall_us,
                        int64_t boot_us);
void governor_on_pass(void *governor, int64_t wall_us, int64_t boot_us);
/* Instead of a pass while the node stops in order: true once nothing is left to release. */
bool governor_on_stop(void *governor, int64_t wall_us, int64_t boot_us);

/* This process is in the view. */
bool governor_joined(const governor_t *self);
/* The copy here is near enough to the log for reads that may be a little old. */
bool governor_follows(const governor_t *self, uint16_t partition);
/* An own heartbeat came back within the last seconds. */
bool governor_heard_self(const governor_t *self);

/* JSON of GET /cluster/, as of the last second. */
void governor_status(governor_t *self, buffer_t *out);
/* JSON strings with commas between; nothing when all is well. */
void governor_troubles(governor_t *self, buffer_t *out);

typedef enum {
    GOVERNOR_DRAIN, /* of a member, named by its address or the first digits of its node id */
    GOVERNOR_ADMIT,
    GOVERNOR_FORGET,
    GOVERNOR_MOVE, /* of a partition and a member: "NUMBER MEMBER" */
    GOVERNOR_HOLDER, /* of a partition: *out gets the address of who owns it as known here, or an empty line */
    GOVERNOR_RESUME, /* of a partition, by its number: a halted copy here reads on from its last good record */
    /* "NUMBER OFFSET CRC REASON": the record that halts a copy here is to be nothing for everybody. *out gets "said", or
     * "known" when the log says so already: say it again until then. */
    GOVERNOR_SKIP,
    /* "NUMBER OFFSET HISTORY REASON": the image here, halted, is the partition's new history; OFFSET: where its log ends
     * now; HISTORY: random, the same when it is said again. *out as for a skip. */
    GOVERNOR_ADOPT,
    GOVERNOR_REBUILD,   /* the copy here is emptied and filled from a peer, or from the log */
    GOVERNOR_PARTITIONS /* what the copies here are doing; *out gets JSON */
} governor_word_t;
/* An operator's word, said on the driver's thread. *out (may be NULL) gets what there is to show. */
errcode_t governor_obey(governor_t *self, governor_word_t word, const char *about, buffer_t *out,
                        err_t *err);
/* The same from any other thread. */
errcode_t governor_ask(governor_t *self, governor_word_t word, const char *about, buffer_t *out,
                       err_t *err);

#endif
