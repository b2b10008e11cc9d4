/* channel_records.h - what stands in the two channels of a shared log: genesis, skips, adoptions, heartbeats; their head
 *
 * Contract   Every record of a channel is a msgpack array that begins with version, kind and cluster, in every version
 *            of this program, so that an older one can tell "newer than me" from garbage. A view is in view.h.
 *            A heartbeat names partitions by bits and stays below a few hundred bytes, whatever their number, plus one
 *            to three bytes for each partition that its node owns, and some 30 for each copy that cannot take over.
 * Threads    Pure.
 * Ownership  liveness_t is a value of some 40 KiB: keep it on the heap or static.
 * Units      Microseconds, UTC.
 * Errors     ERR_CORRUPT for bytes that are no such record, ERR_STATE for one of a version that this build cannot read.
 */
#ifndef FEALTY_CHANNEL_RECORDS_H
#define FEALTY_CHANNEL_RECORDS_H

#include "actors/adoptions.h"
#include "actors/skips.h"
#include "cluster/view.h"
#include "protocol/pack.h"

#define CHANNEL_VERSION      1 /* of all kinds but views, see VIEW_VERSION, and heartbeats */
#define LIVENESS_VERSION     2 /* one without places is written as version 1 */
#define CHANNEL_HASH_VERSION 1 /* slot_of_customer and partition_of_slot */

#define CHANNEL_GENESIS_BYTES_MAX  64
#define CHANNEL_SKIP_BYTES_MAX     (64 + SKIP_REASON_BYTES)
#define CHANNEL_ADOPTION_BYTES_MAX (256 + ADOPTION_REASON_BYTES)
#define CHANNEL_BITMAP_BYTES       ((VIEW_PARTITIONS_MAX + 8) / 8)
#define LIVENESS_BYTES_MAX                                            \
    (9 * (VIEW_PARTITIONS_MAX + 1) + 3 * CHANNEL_BITMAP_BYTES + 128 + \
     31 * (VIEW_PARTITIONS_MAX + 1))

typedef enum {
    CHANNEL_GENESIS = 1,
    CHANNEL_VIEW = 2,
    CHANNEL_LIVENESS = 3,
    CHANNEL_SKIP = 4,    /* from feature level 2 on */
    CHANNEL_ADOPTION = 5 /* from feature level 3 on */
} channel_kind_t;

typedef struct {
    uint64_t version;
    uint64_t kind;
    hash_t cluster;
} channel_head_t;

/* false: garbage. */
bool channel_head_read(channel_head_t *self, const void *bytes, size_t n);

/* For the codecs of records: begins one with `fields` elements, the head's three included; reads that beginning, of a
 * version up to `newest`. */
void channel_record_begin(buffer_t *out, uint32_t fields, uint32_t version, channel_kind_t kind,
                          const hash_t *cluster);
errcode_t channel_record_open(unpack_t *in, uint32_t fields, uint32_t newest, channel_kind_t kind,
                              hash_t *cluster, err_t *err);
/* The newest version of a kind that this build reads. */
uint32_t channel_newest(uint64_t kind);

/* What never changes in the life of a cluster. The first one in the log holds. */
typedef struct {
    hash_t cluster; /* random */
    uint16_t partitions;
    uint8_t followers;
    uint32_t hash_version; /* which customer belongs to which partition */
} founding_t;

void founding_encode(const founding_t *self, buffer_t *out);
errcode_t founding_decode(founding_t *self, const void *bytes, size_t n, err_t *err);

/* An operator's word: a record of a partition is nothing, for everybody and for ever. */
void skip_encode(const skip_t *self, const hash_t *cluster, buffer_t *out);
errcode_t skip_decode(skip_t *self, hash_t *cluster, const void *bytes, size_t n, err_t *err);

/* An operator's word: a node's image of a partition is its new history, for everybody and for ever. */
void adoption_encode(const adoption_t *self, const hash_t *cluster, buffer_t *out);
errcode_t adoption_decode(adoption_t *self, hash_t *cluster, const void *bytes, size_t n,
                          err_t *err);

/* Where a copy stands that can neither serve nor take over: halted, or too far behind. */
typedef struct {
    uint16_t partition;
    uint64_t history; /* first eight bytes of it */
    uint64_t epoch, seq;
} place_t;

static inline uint64_t place_history(const hash_t *history)
{
    return be64_get(history->bytes);
}

/* One heartbeat. Bits: partition p is bit p % 8 of byte p / 8. */
typedef struct {
    hash_t cluster;
    hash_t node;
    hash_t incarnation;
    uint64_t number; /* dense from 1 in the life of a process */
    uint64_t view;   /* newest view that the node has read */
    int64_t wall_us; /* its clock as it wrote this */
    bool stopping;   /* it stops in order: it claims nothing any more */
    uint16_t partitions;
    uint8_t owned[CHANNEL_BITMAP_BYTES];
    uint8_t stuck[CHANNEL_BITMAP_BYTES];      /* this node should move it forward, and cannot */
    uint8_t ready[CHANNEL_BITMAP_BYTES];      /* followed closely enough for a planned move */
    uint64_t epochs[VIEW_PARTITIONS_MAX + 1]; /* of those owned, from 1; 0 elsewhere */
    uint32_t place_count;
    place_t places[VIEW_PARTITIONS_MAX + 1]; /* in the order of partitions */
} liveness_t;

void liveness_encode(const liveness_t *self, buffer_t *out);
errcode_t liveness_decode(liveness_t *self, const void *bytes, size_t n, err_t *err);

static inline bool channel_bit(const uint8_t *bits, uint16_t partition)
{
    return (bits[partition / 8] >> partition % 8 & 1) != 0;
}
static inline void channel_bit_set(uint8_t *bits, uint16_t partition)
{
    bits[partition / 8] = (uint8_t)(bits[partition / 8] | 1 << partition % 8);
}

#endif
