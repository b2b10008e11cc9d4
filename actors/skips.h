/* skips.h - records of partitions' logs that an operator's word has made nothing (protocol section 1, HALT)
 *
 * Contract   A skip names one record: partition, offset, checksum. The control channel holds the skips in one order, the
 *            first SKIPS_MAX different ones count, so every node that has read the same part of it has the same set.
 *            Where a copy stands it also keeps the *mark* of the skips up to there (position_t): a hash over offset and
 *            checksum of each, in the order of offsets. Two copies with the same position and mark judged the same
 *            records; a copy whose mark differs from what the set says applied a record that others ignore.
 * Threads    That of the replicas.
 * Ownership  A value of some 60 KiB, owned by who made it.
 * Units      Offsets of the log.
 * Errors     None. NULL stands for no skips where a set is const.
 */
#ifndef FEALTY_SKIPS_H
#define FEALTY_SKIPS_H

#include "protocol/compiler.h"

#include <stdint.h>

#define SKIPS_MAX         256 /* of all partitions, for ever: each is an accident */
#define SKIP_REASON_BYTES 201

typedef struct {
    uint16_t partition;
    uint64_t offset;
    uint32_t crc;
    char reason[SKIP_REASON_BYTES]; /* for people; printable ASCII */
} skip_t;

typedef struct skips skips_t;

skips_t *skips_new(void);
void skips_destroy(skips_t **self_p);
/* false: it is there already, or there is no room. */
bool skips_add(skips_t *self, const skip_t *skip);
bool skips_have(const skips_t *self, uint16_t partition, uint64_t offset, uint32_t crc);
/* Of the skips of a partition at offsets up to this one; 0: there are none. */
uint64_t skips_mark(const skips_t *self, uint16_t partition, uint64_t offset);
/* In the order of partitions and offsets. */
size_t skips_count(const skips_t *self);
const skip_t *skips_at(const skips_t *self, size_t i);

#endif
