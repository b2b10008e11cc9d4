/* membership_state.h - what membership's files share
 *
 * Contract   Private to them.
 * Threads    One.
 * Ownership  Of membership_t, freed by membership_destroy.
 * Units      As membership.h. "Counts" are own heartbeats of this process that were read back: the only clock of silence.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_MEMBERSHIP_STATE_H
#define FEALTY_MEMBERSHIP_STATE_H

#include "cluster/channel_records.h"
#include "cluster/membership.h"

#define MEMBERSHIP_RETIRED       256
#define MEMBERSHIP_PROPOSAL_SEED UINT64_C(0x70726f70) /* of hash64 */

/* What a node said last. */
typedef struct {
    liveness_t beat;
    uint64_t stuck_since[VIEW_PARTITIONS_MAX +
                         1]; /* count at which it began to; UINT64_MAX: not stuck */
} peer_said_t;

typedef struct {
    bool used;
    bool stale; /* what it said lay long before this process' first heartbeat */
    hash_t node;
    uint64_t heard_at; /* count when it was heard last, or came into the view */
    int64_t log_time_us;
    peer_said_t *said; /* owned; NULL: nothing */
} peer_t;

/* Who owns a partition, as far as this node can tell. */
typedef enum {
    HOLDING_FREE,    /* nobody: never claimed, released, or its process is known to be gone */
    HOLDING_MEMBER,  /* a member of the view */
    HOLDING_STRANGER /* a process that stands in no view yet, or is not told */
} holding_kind_t;

typedef struct {
    holding_kind_t kind;
    size_t member;
    uint64_t epoch;
} holding_t;

typedef struct {
    bool following;
    uint8_t wishes; /* bits, 1 << membership_wish_t */
    uint8_t holder; /* member whose newest heartbeat owns it with the highest epoch */
    uint64_t holder_epoch;
    holding_t holding; /* as last looked at, and since which count */
    uint64_t since;
    uint64_t
        unlisted_since; /* count at which its holder was alive and did not say that it owns it; 0: it does */
    bool claimed; /* a claim was wished for this holding, at that count */
    uint64_t claimed_at;
    bool releasing;
    uint64_t releasing_at;
} track_t;

typedef enum { ORDER_NONE, ORDER_DRAIN, ORDER_ADMIT, ORDER_FORGET, ORDER_MOVE } order_t;

struct membership {
    membership_config_t config; /* texts point into the next two */
    char address[ADDRESS_BYTES];
    char rack[VIEW_RACK_BYTES];

    /* control channel */
    bool caught_up;
    bool founded;
    bool headless; /* a view stands before the first genesis */
    bool too_old;
    founding_t founding;
    bool viewed;
    view_t *view;  /* owned */
    view_t *spare; /* owned; what is being read or proposed */
    size_t me;     /* index in the view; SIZE_MAX: none */
    bool joined, was_joined, replaced;
    hash_t retired
        [MEMBERSHIP_RETIRED]; /* incarnations that a view took away: dead, or to be treated so */
    size_t retired_count;     /* ever */

    /* proposals */
    bool proposed; /* one is outstanding */
    uint64_t proposed_hash;
    int64_t propose_again_us;
    int64_t propose_after_us;
    order_t order;
    hash_t order_node;
    uint16_t order_partition; /* of a move */
    bool control_due;
    buffer_t control_out;

    /* liveness channel */
    peer_t peers[VIEW_MEMBERS_MAX];
    uint8_t slots[VIEW_MEMBERS_MAX]; /* member -> peer */
    liveness_t *scratch;             /* owned */
    uint64_t count;
    uint64_t own_number;   /* of the newest heartbeat written */
    int64_t counted_us;    /* log time of the newest counted */
    int64_t heard_self_us; /* boot time */
    bool heard_self;
    int64_t clock_off_us;
    int64_t beat_at_us; /* boot time of the next */
    bool beat_due;
    buffer_t beat_out;
    bool stopping;

    /* partitions */
    bool holders_stale;
    bool look_now;
    int64_t look_at_us;
    size_t wish_cursor;
    track_t tracks[VIEW_PARTITIONS_MAX + 1];

    uint64_t records_bad;     /* no record of ours */
    uint64_t records_ignored; /* good, and of no effect */
    char trouble[256];
};

/* membership.c */
void membership_set_trouble(membership_t *self, const char *format, ...) PRINTF_LIKE(2, 3);
/* membership_propose.c: makes a proposal when one is due. */
void membership_propose(membership_t *self, int64_t boot_us);
/* membership_judge.c */
/* What the driver knows of a partition that is followed; nothing of another one. */
membership_partition_t membership_figures(const membership_t *self, uint16_t partition);
holding_t membership_holding(const membership_t *self, uint16_t partition,
                             const membership_partition_t *figures);
/* Which heartbeats own what, anew. */
void membership_set_holders(membership_t *self);
/* Finds wishes. */
void membership_look(membership_t *self);
void membership_wish(membership_t *self, uint16_t partition, membership_wish_t wish);
/* What a member said last, when its process is the one that the view knows; NULL otherwise. */
const peer_said_t *membership_said(const membership_t *self, size_t member);
/* Own heartbeats since it was heard. */
uint64_t membership_silence(const membership_t *self, size_t member);
/* Near enough to the log's end to take over without delay. */
bool membership_near(const membership_partition_t *figures);
/* The same of any living member, by what it said last. */
bool membership_close(const membership_t *self, size_t member, uint16_t partition);

#endif
