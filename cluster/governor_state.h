/* governor_state.h - the inside of a governor, for its files only (governor.c, governor_words.c)
 *
 * Contract   governor.c: channels, wishes, passes. governor_words.c: what an operator asks and orders.
 * Threads    The driver's, but for what the lock guards and the atomics.
 * Ownership  As stated at the members.
 * Units      Microseconds of the boot clock; offsets.
 * Errors     None.
 */
#ifndef FEALTY_GOVERNOR_STATE_H
#define FEALTY_GOVERNOR_STATE_H

#include "cluster/governor.h"

#include <pthread.h>
#include <stdatomic.h>

#define GOVERNOR_ABOUT_BYTES 512

/* One of the two channels, as it is read. */
typedef struct {
    uint16_t number;
    uint64_t next; /* offset to go on from */
    bool followed;
    int64_t again_us;
} channel_t;

struct governor {
    governor_config_t config;
    membership_t *membership; /* owned */
    channel_t control, liveness;
    bool caught_up, stopping, foreign;
    uint64_t view_number; /* last one told */
    bool clock_agrees;
    fills_t *fills;         /* owned */
    skips_t *skips;         /* owned; lent to all replicas */
    adoptions_t *adoptions; /* owned; lent likewise */
    bool lent;
    uint8_t
        *spoken; /* owned; by partition: it has a skip or an adoption more than at the last pass */
    bool any_spoken;
    int64_t boot_us, wall_us; /* of the pass */
    int64_t next_tick_us, next_publish_us;
    buffer_t record; /* being made */

    atomic_bool joined, heard;
    atomic_uchar *follows; /* owned; by partition */

    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t answered;
    buffer_t status, troubles;
    bool asked, done;
    governor_word_t word;
    char about[GOVERNOR_ABOUT_BYTES];
    buffer_t shown; /* what it has to show */
    err_t answer;
};

/* governor_words.c: answers what is asked; with the lock held. */
void governor_answer(governor_t *self);

#endif
