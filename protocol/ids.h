/* ids.h - customer ids, slots, and ids that carry their slot
 *
 * Contract   slot = 0..65,535 = hash of the customer id, fixed for ever. An id of a slot-bound thing is
 *            slot << 37 | sequence, below 2^53; the sequence counts per partition. Partition of a slot:
 *            contiguous ranges, slot * partitions / 65,536, so ids ascend with partitions.
 * Threads    Pure.
 * Ownership  Values.
 * Units      Nothing to say.
 * Errors     uuid_parse returns false for text that is no UUID (hyphenated, bare hex, braces, urn:uuid:).
 */
#ifndef FEALTY_IDS_H
#define FEALTY_IDS_H

#include "protocol/compiler.h"

#define SLOT_COUNT       65536
#define ID_SEQUENCE_BITS 37
#define ID_SEQUENCE_MAX  ((UINT64_C(1) << ID_SEQUENCE_BITS) - 1)
#define ID_MAX           ((UINT64_C(1) << 53) - 1)
#define UUID_BYTES       16
#define UUID_TEXT_BYTES  36
#define HASH_BYTES       16

typedef struct {
    uint8_t bytes[UUID_BYTES];
} uuid16_t;

typedef struct {
    uint8_t bytes[HASH_BYTES];
} hash_t; /* BLAKE2b, 128 bits: collision resistant, for keys chosen by clients */

bool uuid_parse(uuid16_t *out, const char *text, size_t bytes);
void uuid_format(const uuid16_t *self,
                 char out[UUID_TEXT_BYTES + 1]); /* lower case, hyphens, NUL */
bool uuid_equal(const uuid16_t *a, const uuid16_t *b);
bool uuid_is_zero(const uuid16_t *self);
hash_t hash_bytes(const void *bytes, size_t n);
bool hash_equal(const hash_t *a, const hash_t *b);

/* Keyed SipHash-2-4 with a seed that belongs to the format: running chains and placement. */
uint64_t hash64(uint64_t seed, const void *bytes, size_t n);
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n); /* 0 to start, or the last result */
/* The same without the processor's instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t n);

uint16_t slot_of_customer(const uuid16_t *customer);
uint16_t partition_of_slot(uint16_t slot, uint16_t partitions);
/* First slot of a partition; partition == partitions gives 65,536. */
uint32_t slot_first(uint16_t partition, uint16_t partitions);

static inline uint64_t id_make(uint16_t slot, uint64_t sequence)
{
    INVARIANT(sequence <= ID_SEQUENCE_MAX);
    return (uint64_t)slot << ID_SEQUENCE_BITS | sequence;
}
static inline uint16_t id_slot(uint64_t id)
{
    return (uint16_t)(id >> ID_SEQUENCE_BITS);
}
static inline uint64_t id_sequence(uint64_t id)
{
    return id & ID_SEQUENCE_MAX;
}

#endif
