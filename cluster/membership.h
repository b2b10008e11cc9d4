/* membership.h - who belongs to a cluster on a shared log, and who should own what (protocol sections 3 and 7)
 *
 * Contract   A state machine over the two channels of the journal: fed with every record of JOURNAL_CONTROL and
 *            JOURNAL_LIVENESS in log order and with time; it says which bytes to publish and which partitions this node
 *            should follow, claim or release. Free of I/O; the same on a node and in the simulator.
 *            Control: GENESIS (first in the log wins), then VIEWs, each whole: `number == present + 1`, first in the log
 *            wins, everything else is ignored. A node joins, changes its address or its incarnation, and leaves by
 *            proposing the next view; who loses proposes again on top of the winner after a random 0 to 500 ms.
 *            A silent member under this node's own address is a node whose disk was replaced: it is left out.
 *            A view's placement is computed once by its proposer: owner and followers per partition, consistent hashing
 *            with bounded load, moving as little as possible from the view before.
 *            A skip (actors/skips.h), or an adoption (actors/adoptions.h), counts when the view before it in the channel
 *            has the feature level for it.
 *            Liveness: each node publishes one heartbeat a second with the partitions that it owns, cannot move
 *            forward, and follows closely enough to take over. Silence is counted in own heartbeats that were read
 *            back: an outage of the log stops everybody's clock by itself. A follower of rank r should claim when the
 *            owner (by the log, else by the view) was silent, or named the partition stuck, for 3 + r own heartbeats.
 *            A view in which this node id stands with another incarnation: this process was replaced; it stops.
 * Threads    One.
 * Ownership  Texts and arrays returned live until the next membership_on_*.
 * Units      Microseconds; wall: UTC, boot: never jumps.
 * Errors     membership_trouble() names what an operator must know; bad records are counted and ignored. A record of a
 *            newer version, or a view with a feature level above this build's, stops all claims and proposals of this
 *            node for good: it must be upgraded.
 */
#ifndef FEALTY_MEMBERSHIP_H
#define FEALTY_MEMBERSHIP_H

#include "actors/adoptions.h"
#include "actors/skips.h"
#include "cluster/view.h"
#include "protocol/clock.h"
#include "storage/journal.h"

#define MEMBERSHIP_HEARTBEAT_US INT64_C(1000000)
#define MEMBERSHIP_SILENCE      3    /* own heartbeats read back, plus the follower's rank */
#define MEMBERSHIP_CLOSE        1000 /* records behind: near enough for a planned move */
#define MEMBERSHIP_MOVES        8    /* planned moves away from one node at a time */
#define MEMBERSHIP_RETRY_US     INT64_C(2000000) /* for a proposal that was not read back */
#define MEMBERSHIP_LOOK_US      INT64_C(10000)   /* between looks at the partitions */

typedef struct membership membership_t;

/* What this node does with a partition, told by the driver before each heartbeat. */
typedef struct {
    bool owned;      /* own claim read back, and neither drained nor deposed since */
    bool stuck;      /* see replica_stuck() */
    uint64_t behind; /* records; UINT64_MAX not known */
    uint64_t epoch;  /* of the last accepted claim; 0: none */
    bool released;   /* by the log nobody owns it */
    hash_t owner;    /* incarnation that owns it by the log; zero: nobody, or not told */
    bool
        placed; /* there is a copy: where it stands, also when it can neither serve nor take over */
    hash_t place_history;
    uint64_t place_epoch, place_seq;
} membership_partition_t;

typedef struct {
    hash_t node;         /* for ever the same for one data directory */
    hash_t incarnation;  /* of this process */
    const char *address; /* where peers dial it; copied */
    const char *rack;    /* may be NULL or "" */
    uint32_t weight;     /* 100: as much as any other */
    uint16_t partitions; /* of customers: proposed at genesis */
    uint8_t followers;   /* per partition: proposed at genesis */
    const random_source_t *random;
    /* The present figures of a partition that this node follows. */
    void (*partition)(void *state, uint16_t partition, membership_partition_t *out);
    /* May be NULL. The control channel holds a skip that counts: the same ones in the same order for every reader. */
    void (*skip)(void *state, const skip_t *skip);
    /* The same of adoptions; whether one follows those before it is for the callee to say. */
    void (*adoption)(void *state, const adoption_t *adoption);
    void *state;
} membership_config_t;

membership_t *membership_new(const membership_config_t *config);
void membership_destroy(membership_t **self_p);

/* A record of one of the two channels. */
void membership_on_record(membership_t *self, const journal_record_t *record, int64_t wall_us,
                          int64_t boot_us);
/* The control channel was read to its end for the first time: now this node may propose. */
void membership_caught_up(membership_t *self);
/* Lets time pass; afterwards take what membership_next_* gives. */
void membership_on_tick(membership_t *self, int64_t wall_us, int64_t boot_us);
/* Bytes to publish on *channel; false: none. What could not be published is made anew by a later tick. */
bool membership_next_record(membership_t *self, uint16_t *channel, buffer_t *out);

/* What to do with partitions; false: nothing more at the moment. The same wish may come again. */
typedef enum {
    MEMBERSHIP_FOLLOW,   /* start to follow */
    MEMBERSHIP_UNFOLLOW, /* no longer placed here, and safely owned elsewhere */
    MEMBERSHIP_CLAIM,    /* claim it now */
    MEMBERSHIP_RELEASE   /* the view gives it to another node, which is near enough */
} membership_wish_t;
bool membership_next_wish(membership_t *self, membership_wish_t *wish, uint16_t *partition);

/* This process stops in order: its partitions are released now; the followers of each claim at once. */
void membership_stop(membership_t *self);
/* An operator's words: the next view gives nothing to `node` (drain), gives it its share again (admit), or does not know
 * it any more (forget). ERR_NONE: it will be proposed until a view says so; see membership_view. A drained node stays
 * drained over its restarts. ERR_NOT_FOUND: no such member. ERR_STATE: the sentence says what stands against it.
 * ERR_IN_PROGRESS: another word of this kind, said here, is not done yet. */
errcode_t membership_drain(membership_t *self, const hash_t *node, err_t *err);
errcode_t membership_admit(membership_t *self, const hash_t *node, err_t *err);
errcode_t membership_forget(membership_t *self, const hash_t *node, err_t *err);
/* The next view gives one partition to `node`, and later ones leave it there (see view.h). It moves like all planned moves:
 * its owner releases it when that node is near the log's end. ERR_NONE also while such a move is on its way. */
errcode_t membership_move(membership_t *self, uint16_t partition, const hash_t *node, err_t *err);

const view_t *membership_view(const membership_t *self); /* NULL before the first */
bool membership_joined(const membership_t *self);        /* the view holds this process */
bool membership_replaced(const membership_t *self);      /* another process is this node */
/* Owner of a partition as heartbeats and the view say; its index in the view, or SIZE_MAX. For showing and routing. */
size_t membership_owner(const membership_t *self, uint16_t partition);
/* The same by the log and heartbeats alone: SIZE_MAX while nobody is known to own it. */
size_t membership_holder(const membership_t *self, uint16_t partition);
/* Heartbeat within the last 3 own ones. */
bool membership_alive(const membership_t *self, size_t member);
/* A living one, not stopping, whose last heartbeat owns the partition or follows it closely. Never this node itself. */
bool membership_keeps(const membership_t *self, size_t member, uint16_t partition);
/* Where the copy of another living member stands that can neither serve nor take over. The history is told by its first
 * eight bytes. false: it has none such, or it is not told. */
bool membership_place(const membership_t *self, size_t member, uint16_t partition,
                      uint64_t *history, uint64_t *epoch, uint64_t *seq);
/* An own heartbeat came back within the last 3 s: the log works for this node. */
bool membership_heard_self(const membership_t *self, int64_t boot_us);
/* Own clock minus the log's, by the newest own heartbeat; 0 when none came back yet. */
int64_t membership_clock_off_us(const membership_t *self);
const char *membership_trouble(const membership_t *self); /* NULL: none */
/* The body of GET /cluster/: JSON. */
void membership_status(const membership_t *self, buffer_t *out);

#endif
