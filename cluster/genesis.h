/* genesis.h - a node's birth record: which cluster it belongs to and which partitions it owns
 *
 * Contract   Written once, before the first command, by a synced write under META key "G", and from then on the only
 *            source of ownership: configuration lists addresses, it never moves a partition (protocol section 7).
 *            `settled` false: the nodes have not all stored theirs yet; nobody serves before that.
 * Threads    Functions touch only their arguments; genesis_load and genesis_store are as safe as the store.
 * Ownership  birth_t is a value of about 9 KiB.
 * Units      Nothing to say.
 * Errors     ERR_CORRUPT for bytes that are no birth record; ERR_STATE for one of a newer format; those of the store.
 */
#ifndef FEALTY_GENESIS_H
#define FEALTY_GENESIS_H

#include "cluster/addresses.h"
#include "protocol/clock.h"
#include "storage/store.h"

#define BIRTH_NODES_MAX      ADDRESSES_MAX
#define BIRTH_PARTITIONS_MAX 1024 /* of customers */
#define BIRTH_NAME_SINGLE    "local"
#define BIRTH_BYTES_MAX      (BIRTH_NODES_MAX * (ADDRESS_BYTES + 8) + 3 * BIRTH_PARTITIONS_MAX + 256)

typedef struct {
    hash_t cluster;      /* random, the same on all nodes */
    uint16_t partitions; /* of customers; the catalogue's has this number */
    uint16_t node;       /* index of this node */
    uint16_t node_count;
    bool settled;
    char names[BIRTH_NODES_MAX][ADDRESS_BYTES]; /* addresses at genesis, or "local" */
    uint8_t owners[BIRTH_PARTITIONS_MAX + 1];   /* index of the owning node */
} birth_t;

errcode_t genesis_load(store_t *store, birth_t *birth, bool *found, err_t *err);
/* One synced write. */
errcode_t genesis_store(store_t *store, const birth_t *birth, err_t *err);

/* The birth of a node without peers: it owns everything. Stores it. */
errcode_t genesis_single(store_t *store, const random_source_t *random, uint16_t partitions,
                         birth_t *birth, err_t *err);
/* The birth of a cluster, as seen by the node at addresses->own; not stored yet, not settled. */
errcode_t genesis_cluster(const addresses_t *addresses, const random_source_t *random,
                          uint16_t partitions, birth_t *birth, err_t *err);

/* Partitions of a node, ascending, the catalogue's included; returns the count (at most partitions + 1). */
size_t birth_owned(const birth_t *birth, uint16_t node, uint16_t *partitions);
/* Home partition (lowest owned) of every node but this one; returns the count. */
size_t birth_homes(const birth_t *birth, uint16_t *homes);

void birth_encode(const birth_t *birth, buffer_t *out);
errcode_t birth_decode(birth_t *birth, const void *bytes, size_t n, err_t *err);

#endif
