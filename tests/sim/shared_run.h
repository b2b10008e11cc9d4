/* shared_run.h - one random life of a cluster on a shared log, from one seed, judged (protocol section 9)
 *
 * Contract   Two to four nodes, three to six partitions, clients at every node. The seed chooses a profile: what goes
 *            wrong in this life. After the faults everything heals and comes to rest; then every oracle of section 9 must
 *            hold. The same seed gives the same life, bit for bit, also in the report.
 * Threads    One.
 * Ownership  Nothing to say.
 * Units      Virtual microseconds.
 * Errors     false and a sentence in *err: the first oracle that does not hold.
 */
#ifndef FEALTY_SHARED_RUN_H
#define FEALTY_SHARED_RUN_H

#include "protocol/error.h"

/* clang-format off */
#define PROFILE_MAP(X)                                                                        \
    X(PROFILE_CALM, "calm")                 /* nothing but a little delay */                  \
    X(PROFILE_NETWORK, "network")           /* frames between nodes are lost, late, double */ \
    X(PROFILE_DEATHS, "deaths")             /* nodes are killed at any moment and start again */ \
    X(PROFILE_PAUSES, "pauses")             /* processes stand still and go on */             \
    X(PROFILE_LOG, "log")                   /* appends are lost, late, double, denied */      \
    X(PROFILE_READING, "reading")           /* reading breaks off, bytes are damaged, nodes are cut from the log */ \
    X(PROFILE_CLOCKS, "clocks")             /* clocks drift, jump, are a year off */          \
    X(PROFILE_DISKS, "disks")               /* nodes start with an empty or an older disk */  \
    X(PROFILE_REFUSALS, "refusals")         /* nodes are cut from the log, clients ask them for what is refused */ \
    X(PROFILE_FULL, "full")                 /* hardly any message between partitions may wait */ \
    X(PROFILE_MEMBERS, "members")           /* nodes leave and join */                        \
    X(PROFILE_CUT_UNREAD, "cut-unread")     /* the log loses what nobody read or had confirmed */ \
    X(PROFILE_CUT_READ, "cut-read")         /* it loses what some had read, and nobody had confirmed */ \
    X(PROFILE_CUT_CONFIRMED, "cut-confirmed") /* it loses what it had confirmed */            \
    X(PROFILE_RESTORED, "restored")         /* no shared log: a node comes back from an older copy, see restored.h */ \
    X(PROFILE_MIXED, "mixed")               /* all but the cuts */                            \
    X(PROFILE_SKIPS, "skips")               /* records that halt every reader, and an operator who has them skipped */ \
    X(PROFILE_ADOPTIONS, "adoptions")       /* the log loses what everybody had read, and an operator adopts a copy */
/* clang-format on */

typedef enum {
#define X(id, name) id,
    PROFILE_MAP(X)
#undef X
        PROFILE__COUNT
} profile_t;

const char *profile_name(profile_t profile);

typedef struct {
    profile_t profile;
    unsigned commands, questions, unknown, replays, faults;
    unsigned claims; /* that count, all partitions */
    unsigned halts;  /* replicas that were seen halted */
    unsigned losses, adoptions;
    unsigned undecided; /* accounts whose history has too many ways */
    int64_t virtual_us;
    uint64_t digest; /* of the books, all answers and the time */
} shared_report_t;

profile_t shared_profile(uint64_t seed);
bool shared_run(uint64_t seed, shared_report_t *report, err_t *err);

#endif
