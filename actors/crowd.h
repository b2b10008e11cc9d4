/* crowd.h - how many commands of each account wait in a round, so that one account cannot take all of a partition
 *
 * Contract   crowd_count() and crowd_add() take the account as a number that stands for it, see crowd_key(). A fixed table:
 *            an account that finds no place in it is not counted, never counted for another. crowd_clear() is cheap.
 * Threads    One shard's.
 * Ownership  A value of 16 KiB, part of its round.
 * Units      Commands.
 * Errors     None.
 */
#ifndef FEALTY_CROWD_H
#define FEALTY_CROWD_H

#include "protocol/command.h"

#define CROWD_PLACES 1024 /* power of two */

typedef struct {
    uint64_t key;
    uint32_t life; /* of the crowd, when it was written: older ones are empty */
    uint32_t count;
} crowd_place_t;

typedef struct {
    uint32_t life;
    crowd_place_t places[CROWD_PLACES];
} crowd_t;

/* As the command names it: by id, or by customer and program. 0: it is about no account. */
uint64_t crowd_key(const command_t *command);
uint32_t crowd_count(const crowd_t *self, uint64_t key);
void crowd_add(crowd_t *self, uint64_t key);
void crowd_clear(crowd_t *self);

#endif
