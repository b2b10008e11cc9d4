/* acked.h - a small fsynced hint beside the store: how far each partition had acknowledged
 *
 * Contract   acked_write() replaces the file ACKED in the data directory (temporary file, fsync, rename, fsync of
 *            the directory). At start, a partition whose log is shorter than the hint has lost acknowledged
 *            changes: the start is refused with a sentence and the way out.
 * Threads    One caller at a time.
 * Ownership  Caller's arrays.
 * Units      Record sequence numbers; wall_us is the wall clock when it was written.
 * Errors     ERR_IO; ERR_CORRUPT for a damaged hint file (named, with the way out).
 */
#ifndef FEALTY_ACKED_H
#define FEALTY_ACKED_H

#include "protocol/error.h"

#define ACKED_PARTITIONS_MAX 1025

typedef struct {
    uint32_t count;
    int64_t wall_us;
    uint64_t seq[ACKED_PARTITIONS_MAX]; /* by partition; 0 where this node does not own it */
} acked_t;

errcode_t acked_write(const char *directory, const acked_t *acked, err_t *err);
errcode_t acked_read(const char *directory, acked_t *acked, bool *found, err_t *err);

#endif
