/* view.h - one view of a cluster on a shared log: its members and which of them keeps which partition
 *
 * Contract   A value that is written whole into the control channel, and read by every node alike. view_place computes
 *            the placement of a new view from the one before it: consistent hashing with bounded load over weights,
 *            followers on other nodes than the owner (on other racks where there are any), minimal movement. What an
 *            operator moved by hand stays where it was put, in every later view, until that member takes no partitions
 *            any more or it is moved again.
 * Threads    Pure.
 * Ownership  A view_t is a value of some 17 KiB: keep it on the heap.
 * Units      Nothing to say.
 * Errors     ERR_CORRUPT for bytes that are no view, ERR_STATE for a version that this build cannot read; ERR_INVALID
 *            from view_place with the reason.
 */
#ifndef FEALTY_VIEW_H
#define FEALTY_VIEW_H

#include "cluster/addresses.h"
#include "protocol/buffer.h"

#define VIEW_MEMBERS_MAX    ADDRESSES_MAX
#define VIEW_PARTITIONS_MAX 1024 /* of customers */
#define VIEW_COPIES_MAX     4    /* owner and followers of a partition */
#define VIEW_NOBODY         UINT8_MAX
#define VIEW_RACK_BYTES     32
#define VIEW_VERSION        2 /* of its bytes; one without moves is written as version 1 */
#define VIEW_FEATURE_LEVEL  3 /* of this build */
#define VIEW_FEATURE_MOVES  2 /* from which on all members read moves by hand */
#define VIEW_FEATURE_SKIPS  2 /* from which on all members obey skips */
#define VIEW_FEATURE_ADOPTIONS \
    3 /* from which on all members obey adoptions, and read heartbeats with places */
#define VIEW_BYTES_MAX (24 * 1024) /* encoded */

typedef struct {
    hash_t node;
    hash_t incarnation;
    char address[ADDRESS_BYTES];
    char rack[VIEW_RACK_BYTES];
    uint32_t weight;  /* 0: drained, it gets nothing */
    uint32_t feature; /* level that its build supports */
} view_member_t;

typedef struct {
    hash_t cluster;
    uint64_t number; /* dense from 1 */
    uint16_t
        partitions; /* of customers; the catalogue's has this number, and every member follows it */
    uint8_t followers;
    uint32_t feature; /* level in force: once all members support it; it never goes back */
    uint8_t member_count;
    view_member_t members[VIEW_MEMBERS_MAX];
    /* [partition][0] is the owner, then followers by rank; VIEW_NOBODY ends the list. */
    uint8_t copies[VIEW_PARTITIONS_MAX + 1][VIEW_COPIES_MAX];
    /* By an operator's word: 1 + the member that owns the partition; 0: where it is, is the placement's own doing. */
    uint8_t moved[VIEW_PARTITIONS_MAX + 1];
} view_t;

typedef struct {
    uint16_t partition;
    size_t member; /* of the new view */
} view_move_t;

/* `next` has its members; its copies and moves are set. `before` NULL: the first one. Of equal members (nodes, weights,
 * racks) nothing moves. No node owns more than its share by weight, rounded up, nor keeps more copies than that plus one,
 * unless an operator moved more to it; then the others share the rest. */
errcode_t view_place(const view_t *before, view_t *next, err_t *err);
/* The same with one partition moved by hand: of equal members nothing else moves. */
errcode_t view_place_moved(const view_t *before, view_t *next, const view_move_t *move, err_t *err);
size_t view_member(const view_t *self, const hash_t *node); /* SIZE_MAX: none */
/* Rank of a member for a partition: 0 owner, 1.. follower, SIZE_MAX neither. Of the catalogue's partition every member
 * without a place in the list is a follower behind those that have one. */
size_t view_rank(const view_t *self, uint16_t partition, size_t member);

void view_encode(const view_t *self, buffer_t *out);
errcode_t view_decode(view_t *self, const void *bytes, size_t n, err_t *err);

#endif
