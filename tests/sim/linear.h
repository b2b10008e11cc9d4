/* linear.h - could one account, which does one thing at a time, have given all these answers?
 *
 * Contract   A history is what clients called and what they were answered, in the order of a counter that ticks at every
 *            call and answer. linear_check() looks for an order of effects in which each lies between its call and its
 *            answer and every answer (success, refusal, read) is what the account would have said then. What was never
 *            answered for certain may have happened once, at any time after its call, or never.
 *            The search keeps the set of all states that the answers so far allow (which of the open calls have had
 *            their effect, and what the account is then), so equal ways are walked once.
 * Threads    Pure.
 * Ownership  The caller's.
 * Units      Points; times are ticks of the caller's counter.
 * Errors     LINEAR_FAILS with the first answer that nothing explains; LINEAR_UNDECIDED when there are too many ways.
 */
#ifndef FEALTY_LINEAR_H
#define FEALTY_LINEAR_H

#include "protocol/compiler.h"

#define LINEAR_NEVER    UINT64_MAX
#define LINEAR_OPEN_MAX 128 /* calls open at once, those that were never answered included */
#define LINEAR_WAYS_MAX 12000

typedef enum {
    LINEAR_ENROL,   /* the account comes to be, with `delta` points */
    LINEAR_CHANGE,  /* the balance moves by delta; must exist */
    LINEAR_STATUS,  /* the status becomes `status` */
    LINEAR_READ,    /* it exists: the balance is `after` */
    LINEAR_NOTHING, /* it does not exist */
    LINEAR_SHORT,   /* it exists, its balance is `after`, and below `least` */
    LINEAR_REFUSED  /* it exists and its status is not 0 */
} linear_kind_t;

typedef struct {
    linear_kind_t kind;
    uint64_t called, answered; /* answered LINEAR_NEVER: maybe it never happens */
    int64_t delta;
    int64_t after; /* the balance by the answer */
    bool after_known;
    int64_t least;
    uint64_t
        order; /* 0, or among those that have one, effects come in this order: it is known otherwise */
    uint8_t status;
    const char *name; /* for people; borrowed */
} linear_op_t;

typedef enum { LINEAR_HOLDS, LINEAR_FAILS, LINEAR_UNDECIDED } linear_verdict_t;

/* The account does not exist at first. `why` gets a sentence unless it holds. */
linear_verdict_t linear_check(const linear_op_t *ops, size_t count, char *why, size_t why_bytes);

#endif
