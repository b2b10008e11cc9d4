/* mutant.h - safety rules that the simulator's own test takes away, one at a time
 *
 * Contract   MUTANT(NAME) is the constant false in every build but the one that is made with -DFEALTY_MUTANTS; there it
 *            is true while the rule's removal is the one chosen by mutant_choose(). Each name is a rule of the protocol
 *            that the simulator must be seen to miss (protocol section 9, last line).
 * Threads    Chosen before threads start.
 * Ownership  Nothing to say.
 * Units      Nothing to say.
 * Errors     mutant_choose returns false for a name that is none.
 */
#ifndef FEALTY_MUTANT_H
#define FEALTY_MUTANT_H

#include "protocol/compiler.h"

/* clang-format off */
#define MUTANT_MAP(X)                                                                     \
    X(NO_SEQ_RULE, "no-seq-rule")                    /* any seq is accepted */            \
    X(NO_INCARNATION, "no-incarnation")              /* any process of the epoch writes */ \
    X(NO_SEEN, "no-seen")                            /* `seen` above our seq is taken */  \
    X(NO_REREAD, "no-reread")                        /* no look at the last record before a claim */ \
    X(CLAIM_OUTSIDE_CHAIN, "claim-outside-chain")    /* a claim does not move the chain */ \
    X(ACK_ON_REPORT, "ack-on-report")                /* answered when delivered, not read back */ \
    X(LOCAL_READS, "local-reads")                    /* linearizable reads without a record */ \
    X(DENIAL_WITHOUT_BARRIER, "denial-without-barrier") /* refusals leave at once */      \
    X(CLAIM_BACK, "claim-back")                      /* the deposed one claims again */   \
    X(NO_PAIR_HISTORY, "no-pair-history")            /* messages do not carry histories */ \
    X(CLOCK_UNBOUNDED, "clock-unbounded")            /* times far ahead are accepted */   \
    X(REPLY_COUNTED, "reply-counted")                /* replies count against a pair's cap */ \
    X(REVERSE_ON_TIMEOUT, "reverse-on-timeout")      /* a transfer is reversed when it takes long */
/* clang-format on */

typedef enum {
    MUTANT_NONE,
#define X(id, name) MUTANT_##id,
    MUTANT_MAP(X)
#undef X
        MUTANT__COUNT
} mutant_t;

#ifdef FEALTY_MUTANTS
bool mutant_is(mutant_t mutant);
bool mutant_choose(const char *name);
const char *mutant_name(mutant_t mutant);
#define MUTANT(id) mutant_is(MUTANT_##id)
#else
#define MUTANT(id) false
#endif

#endif
