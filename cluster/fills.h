/* fills.h - copies of partitions on this node that have to be made anew: from a peer if there is one, else from the log
 *
 * Contract   Opens copies (replica_open) and watches them for a moment: one that is empty or far behind, while a living
 *            member has it whole, is closed, filled from there, and opened again. One after the other; those that wait
 *            are not followed meanwhile, and are as soon as nobody has them any more. A copy that was left half filled is
 *            filled likewise, or emptied, and then reads the log from its beginning. After three sources that broke off
 *            the log must do. A copy whose partition has another history, by an adoption, can be filled from a peer only,
 *            and waits for one as long as it takes: what is here is not touched before. Free of I/O but for the replicas and the filler.
 * Threads    The governor's.
 * Ownership  The configuration is borrowed.
 * Units      Microseconds of the boot clock; records.
 * Errors     Logged.
 */
#ifndef FEALTY_FILLS_H
#define FEALTY_FILLS_H

#include "actors/replica.h"

#define FILLS_SOURCES_MAX    8
#define FILLS_BEHIND         20000 /* records: reading them takes no longer than to fill a copy */
#define FILLS_SOURCE_WAIT_US INT64_C(10000000) /* how long a start waits to hear who has what */

typedef enum {
    FILL_IDLE,
    FILL_RUNNING,
    FILL_DONE,      /* the copy is whole */
    FILL_UNTOUCHED, /* no source; the copy is what it was */
    FILL_BROKEN     /* the copy is incomplete */
} fill_state_t;

/* What fills a copy, on threads of its own; `start` NULL: nothing does, only the log. */
typedef struct {
    /* `history`: that the copy must have, though another one may be here; NULL: the one that is here. */
    bool (*start)(void *state, uint16_t partition, const char *const *sources, size_t count,
                  const hash_t *history);
    fill_state_t (*poll)(void *state);
    void (*cancel)(void *state);
    void *state;
} filler_t;

typedef struct {
    uint16_t partitions; /* of customers */
    uint64_t behind;     /* records from which on a copy is filled; 0: FILLS_BEHIND */
    journal_t *journal;
    filler_t filler;
    replica_t *(*replica)(void *state, uint16_t partition);
    /* There are other members, though not heard yet: an empty copy waits a moment to hear who has it. */
    bool (*accompanied)(void *state);
    /* Addresses of living members that have a partition whole; returns how many. */
    size_t (*sources)(void *state, uint16_t partition, const char *out[FILLS_SOURCES_MAX]);
    void *state;
} fills_config_t;

typedef struct fills fills_t;

fills_t *fills_new(const fills_config_t *config);
void fills_destroy(fills_t **self_p);

/* The copy is wanted; true: it is open. */
bool fills_open(fills_t *self, uint16_t partition, int64_t boot_us);
/* The same although it may be far behind: it is to be claimed. false: it cannot be opened now. */
bool fills_open_to_claim(fills_t *self, uint16_t partition, int64_t boot_us);
void fills_close(fills_t *self, uint16_t partition, int64_t boot_us);
/* An operator's word: from the start, whatever is there. */
void fills_rebuild(fills_t *self, uint16_t partition, int64_t boot_us, err_t *err);
void fills_on_pass(fills_t *self, int64_t boot_us);
/* The node stops: nothing more is begun. */
void fills_stop(fills_t *self);
/* What is done with the copy instead of following the log; NULL: nothing. */
const char *fills_stage(const fills_t *self, uint16_t partition);

#endif
