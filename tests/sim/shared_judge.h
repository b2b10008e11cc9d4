/* shared_judge.h - what the oracles of a life on a shared log have in common (for their two files only)
 *
 * Contract   shared_judge.c makes the books from the log and compares replicas, keys and sums with them;
 *            shared_history.c explains every answer by them and by an order of effects per account.
 * Threads    One.
 * Ownership  The judge owns its books.
 * Units      Points.
 * Errors     life_fail().
 */
#ifndef FEALTY_SHARED_JUDGE_H
#define FEALTY_SHARED_JUDGE_H

#include "tests/sim/shared_life.h"

/* A partition as the log tells it. */
typedef struct {
    position_t position;
    unsigned claims;
    uint64_t in_force; /* catalogue version */
} told_t;

typedef struct {
    life_t *life;
    store_t *books; /* owned */
    told_t told[NODE_PARTITIONS_MAX + 1];
} judge_t;

/* Applies the first `count` entries of a partition's log to a store. */
void judge_replay(judge_t *self, store_t *books, uint16_t partition, size_t count, told_t *told);
bool judge_account(const judge_t *self, store_t *books, const member_t *member, account_t *out);
void judge_histories(judge_t *self);
/* For people, on standard error: every entry, what became of it, and the commands in it. */
void judge_print_log(life_t *life, uint16_t partition);

#endif
