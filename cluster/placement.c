/* placement.c - a hash ring whose nodes are full at their fair share
 *
 * Every node stands at VIRTUAL_POINTS places of a ring of 64-bit hashes; a partition walks from its own hash to the
 * next place whose node has room. A node is full at partitions / nodes, rounded down; as many nodes as the division
 * leaves a rest may take one more. So nobody stands empty, and nobody has two more than another.
 */
#include "cluster/placement.h"

#include "protocol/buffer.h"
#include "protocol/ids.h"
#include "protocol/pack.h"

#include <stdlib.h>

#define VIRTUAL_POINTS 128
/* Seeds of hash64: part of the placement's definition. */
#define NODE_SEED      UINT64_C(0x6e6f6465)
#define PARTITION_SEED UINT64_C(0x70617274)

typedef struct {
    uint64_t hash;
    uint8_t node;
} point_t;

typedef struct {
    const char *name;
    uint8_t index; /* in the caller's order */
} named_t;

static int compare_points(const void *a, const void *b);
static int compare_names(const void *a, const void *b);
static size_t ring_start(const point_t *ring, size_t count, uint64_t hash);
static uint64_t partition_hash(uint16_t partition);

errcode_t placement_compute(const char *const *names, size_t name_count, uint16_t partitions,
                            uint8_t *owners, err_t *err)
{
    named_t sorted[PLACEMENT_NODES_MAX];
    uint32_t load[PLACEMENT_NODES_MAX] = {0};
    point_t *ring;
    size_t points = name_count * VIRTUAL_POINTS;
    uint32_t share, rest;
    size_t at;

    if (name_count == 0 || name_count > PLACEMENT_NODES_MAX)
        return err_set(err, ERR_INVALID, "1 to %d nodes can be placed, not %zu",
                       PLACEMENT_NODES_MAX, name_count);
    if (name_count > partitions)
        return err_set(err, ERR_INVALID, "%zu nodes cannot share %u partitions", name_count,
                       partitions);
    for (size_t i = 0; i < name_count; i++)
        sorted[i] = (named_t){names[i], (uint8_t)i};
    qsort(sorted, name_count, sizeof sorted[0], compare_names);
    for (size_t i = 1; i < name_count; i++) {
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
            return err_set(err, ERR_INVALID, "node %s is named twice", sorted[i].name);
    }

    ring = memory_alloc(points * sizeof *ring);
    for (size_t i = 0; i < name_count; i++) {
        for (size_t k = 0; k < VIRTUAL_POINTS; k++)
            ring[i * VIRTUAL_POINTS + k] = (point_t){
                hash64(NODE_SEED + k, sorted[i].name, strlen(sorted[i].name)), (uint8_t)i};
    }
    qsort(ring, points, sizeof *ring, compare_points);

    share = (uint32_t)(partitions / name_count);
    rest = (uint32_t)(partitions % name_count);
    for (uint16_t partition = 0; partition < partitions; partition++) {
        at = ring_start(ring, points, partition_hash(partition));
        /* The shares add up to the number of partitions, so the walk ends within one turn. */
        while (load[ring[at].node] > share || (load[ring[at].node] == share && rest == 0))
            at = (at + 1) % points;
        if (load[ring[at].node] == share)
            rest--;
        load[ring[at].node]++;
        owners[partition] = sorted[ring[at].node].index;
    }
    /* Definitions: at the first node from their hash on that has only its share. */
    at = ring_start(ring, points, partition_hash(partitions));
    for (size_t turn = 0; turn < points && load[ring[at].node] > share; turn++)
        at = (at + 1) % points;
    owners[partitions] = sorted[ring[at].node].index;
    free(ring);
    return ERR_NONE;
}

/* Equal hashes stand in the order of the names, so the ring never depends on the sort. */
static int compare_points(const void *a, const void *b)
{
    const point_t *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return (int)left->node - (int)right->node;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const named_t *)a)->name, ((const named_t *)b)->name);
}

static size_t ring_start(const point_t *ring, size_t count, uint64_t hash)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ring[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low == count ? 0 : low;
}

static uint64_t partition_hash(uint16_t partition)
{
    uint8_t bytes[2];

    be16_put(bytes, partition);
    return hash64(PARTITION_SEED, bytes, sizeof bytes);
}
