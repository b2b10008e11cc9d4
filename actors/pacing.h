/* pacing.h - how many rounds of all partitions of a shard are in a shared log at a time
 *
 * Contract   A record costs the log and its readers much the same whether it holds one decision or a hundred. Where that
 *            is what bounds the throughput (rounds take a multiple of their least time), few rounds are let into the log
 *            at a time, in turn, and who waits for its turn gathers more. Where the way to the log is only long, there is
 *            no limit: waiting would gain nothing. A round that is overdue does not count: its broker may be gone, and
 *            the partitions of other brokers go on.
 * Threads    One: the shard's.
 * Ownership  A value; nothing to free.
 * Units      Microseconds of the boot clock.
 * Errors     None.
 */
#ifndef FEALTY_PACING_H
#define FEALTY_PACING_H

#include <stdbool.h>
#include <stdint.h>

/* Never fewer: one is in the log while the next is decided. */
#define PACING_ROUNDS_MIN 2

typedef struct {
    unsigned rounds;
    int64_t usual_us;             /* smoothed */
    int64_t least_us, earlier_us; /* of this span and of the one before; 0: none yet */
    int64_t span_us;              /* since when */
} pacing_t;

void pacing_init(pacing_t *self);
/* A round landed that was in the log for took_us. */
void pacing_landed(pacing_t *self, int64_t took_us, int64_t boot_us);
/* Rounds take what they take when nothing else is in the way. */
bool pacing_is_calm(const pacing_t *self);
/* So many may be in the log. */
unsigned pacing_rounds(const pacing_t *self);
/* Those that were written longer ago than this are not counted. */
int64_t pacing_overdue_us(const pacing_t *self);

#endif
