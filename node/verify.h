/* verify.h - proves the books of one directory, or of all directories of a cluster, from the disk
 *
 * Contract   verify_partition() recomputes a partition: its log, every account from its postings, every entry's place in
 *            a chain, counters and checkpoint, lots, keys, transfers on their way. verify_pairs(), verify_transit() and
 *            verify_whole() prove what crosses partitions, after all of them, as far as both ends are at hand. Nothing
 *            is written. A directory that follows a log in Kafka has no log of its own to prove; its copies of two
 *            partitions may be of different moments: then what crosses them cannot be judged, and is counted as apart.
 * Threads    One.
 * Ownership  Borrowed from the caller but for scratch memory: one bit per id of the partition, the counters, the transfers
 *            on their way, and what reconcile.h says.
 * Units      Points.
 * Errors     What is wrong is a finding: counted, and the first VERIFY_SHOWN kept as sentences. Errors are for a disk that
 *            cannot be read.
 */
#ifndef FEALTY_VERIFY_H
#define FEALTY_VERIFY_H

#include "actors/reconcile.h"
#include "node/verify_digest.h"

#define VERIFY_SHOWN 10

typedef struct {
    uint64_t account;
    points_t points;
} verify_transit_t;

/* A transfer on its way, of any partition. */
typedef struct {
    uint64_t id;
    points_t points;
    uint16_t src, dst;
    bool seen; /* as a credit that is not applied yet, or a reply that is not */
} verify_held_t;

typedef struct {
    uint32_t program, day;
    uint8_t type;
    bool used;
    counter_t value;
} verify_counter_t;

typedef struct {
    const together_t *together;
    uint16_t partitions; /* of customers */

    /* the partition at hand */
    uint16_t partition;
    store_t *store; /* where it is */
    checkpoint_t checkpoint;
    uint64_t *marks; /* owned; one bit per sequence: an entry that a chain of postings reaches */
    uint64_t marks_bits;
    verify_counter_t *counters; /* owned */
    size_t counters_capacity, counters_used;
    verify_transit_t *transit; /* owned; by account */
    size_t transit_count, transit_capacity;
    buffer_t scratch;
    migrate_cursors_t cursors; /* for the families that lie in buckets */
    uint64_t part_accounts, part_rows, part_overflow, part_highest;
    points_t part_available, part_posted_counted, part_in_transit, part_transfers;

    /* all partitions */
    verify_held_t *held; /* owned */
    size_t held_count, held_capacity;
    uint64_t records, accounts, deleted, entries, keys, transfers, messages;
    points_t available, in_transit;
    points_t by_type[ENTRY__END]; /* sums of visible deltas */
    verify_digest_t *digests;     /* owned; by partition */
    uint64_t apart;               /* pairs whose copies are of different moments */
    uint64_t wrong;
    char shown[VERIFY_SHOWN][400];
} verify_t;

void verify_init(verify_t *self, const together_t *together);
void verify_free(verify_t *self);
errcode_t verify_partition(verify_t *self, uint16_t partition, err_t *err);
errcode_t verify_pairs(verify_t *self, err_t *err);
errcode_t verify_transit(verify_t *self, err_t *err); /* every held point is in one message */
void verify_whole(verify_t *self);

/* For the files that make it up. */
void verify_wrong(verify_t *self, const char *format, ...) PRINTF_LIKE(2, 3);
/* Over the store of the partition at hand. */
store_cursor_t *verify_cursor(verify_t *self, family_t family, const uint8_t *prefix,
                              size_t prefix_bytes);
/* The same over all of it in a family that lies in buckets: kept, not bounded; while verify_within(). */
store_cursor_t *verify_family(verify_t *self, family_t family);
bool verify_within(const verify_t *self, const store_cursor_t *cursor);
errcode_t verify_entries(verify_t *self, err_t *err);
errcode_t verify_keys(verify_t *self, err_t *err);
errcode_t verify_transfers(verify_t *self, err_t *err);

#endif
