/* usage.h - what processes and disk did during a measurement
 *
 * Contract   A sample taken at both edges of a measurement gives the processor time of this process
 *            and of the processes watched, and the flushes and bytes the disk below a directory
 *            took. Linux: /proc and /sys/dev/block.
 * Threads    Belongs to one thread.
 * Ownership  A value; the directory name is borrowed.
 * Units      Nanoseconds of processor time, flushes, bytes.
 * Errors     What the system does not tell is marked absent, never guessed.
 */
#ifndef FEALTY_BENCH_USAGE_H
#define FEALTY_BENCH_USAGE_H

#include "protocol/compiler.h"

#define USAGE_PIDS_MAX 16

typedef struct {
    uint64_t pids[USAGE_PIDS_MAX]; /* servers on the same machine */
    unsigned pid_count;
    const char *disk; /* a directory on the disk of interest, or NULL */
} usage_config_t;

typedef struct {
    int64_t own_ns;
    int64_t server_ns; /* all watched processes together */
    bool server_known;
    uint64_t machine_ticks; /* of all cores, idle or not */
    uint64_t idle_ticks;
    bool machine_known;
    uint64_t flushes;
    uint64_t written_bytes;
    bool disk_known;
} usage_t;

void usage_sample(usage_t *self, const usage_config_t *config);

#endif
