/* replica.h - one node's copy of a partition on a shared log: it follows, claims, owns, releases (protocol section 3)
 *
 * Contract   Free of I/O but for reads of its store and appends to its journal: the driver (a shard's thread, the
 *            simulator) calls in, one pass after the other:
 *              1. replica_on_command, replica_on_frame, replica_on_tick
 *              2. every record that journal_next returns to replica_on_record, every report to replica_on_report
 *              3. the effects they appended are written to the store (journal_commit), not synced
 *              4. replica_settle: answers what is now read back, delivered and stored; ends claims
 *              5. replica_write: seals and appends what the partition wants to say next
 *            One round of a partition is in the log at a time; the next one is decided meanwhile on its overlay.
 *            States and the ways between them are a table in replica.c.
 *            An answer leaves only when a record that was appended after its decision was read back, accepted, stored
 *            and delivered, refusals and barriers included (protocol section 2): a round without effects gets a
 *            record without decisions. On any doubt the replica steps down, and what was in the log waits until the
 *            next accepted claim says which of it counts; what does not count answers ERR_UNREACHABLE (it was not
 *            applied), what nobody can tell ERR_UNKNOWN_OUTCOME.
 * Threads    The driver's.
 * Ownership  partition and journal configuration are borrowed; requests as in partition.h.
 * Units      wall_us: UTC; boot_us: a clock that never jumps.
 * Errors     replica_open: those of the store. A halted replica says why in replica_trouble().
 */
#ifndef FEALTY_REPLICA_H
#define FEALTY_REPLICA_H

#include "actors/adoptions.h"
#include "actors/partition.h"
#include "actors/skips.h"

typedef enum {
    REPLICA_CLOSED, /* follows nothing */
    REPLICA_CHECKING, /* reads the last applied record again: nothing else is taken before it matches */
    REPLICA_STANDBY,  /* applies what it reads */
    REPLICA_CLAIMING, /* its claim is on the way into the log */
    REPLICA_OWNER,    /* its claim was read back: it decides */
    REPLICA_DRAINING, /* takes nothing new; its RELEASE follows the last round */
    REPLICA_HALTED    /* the log is not the one it knows: until a restart or an operator's word */
} replica_state_t;

typedef struct replica replica_t;

replica_t *replica_new(const partition_config_t *partition, journal_t *journal);
void replica_destroy(replica_t **self_p);

/* Reads the stored position and starts to follow the log behind it. ERR_STATE: its rows are being filled anew, see
 * storage/image.h, or must be, see replica_wants_history. */
errcode_t replica_open(replica_t *self, err_t *err);
/* Empties a closed copy in steps: false when there is more to do. Then it can be opened and fills itself from the log's
 * beginning. */
bool replica_wipe(replica_t *self, bool begin, err_t *err);
/* Stops following; what waits is answered as by a step-down. */
void replica_close(replica_t *self, int64_t boot_us);

/* The records that an operator's word has made nothing: they are ignored like what is no record. Borrowed; may be NULL;
 * before the copy is opened. Another set than the one that a copy was made under halts it. */
void replica_set_skips(replica_t *self, const skips_t *skips);
/* The set has grown: a copy that applied what is skipped now halts. One that halted there goes on once it is closed and
 * opened. */
void replica_skips_grew(replica_t *self);

/* Whose images are the histories of partitions now, and this node's id. Borrowed; before the copy is opened. */
void replica_set_adoptions(replica_t *self, const adoptions_t *adoptions, const hash_t *node);
/* They have one more, of `partition`. A copy of another history than the newest of its partition halts; closed and opened
 * it becomes the new one, if its image was adopted, or wants to be filled. */
void replica_adopted(replica_t *self, uint16_t partition);
/* The history that the copy must have before it can be opened; NULL: any that its log has. What is there is of no use,
 * and the log does not hold its beginning: only a snapshot will do. */
const hash_t *replica_wants_history(const replica_t *self);
/* It halted because its log is not the one that it knows, not by what it holds itself. */
bool replica_lost_its_log(const replica_t *self);
/* As the store has it, also of a copy that could not be opened; false: nothing. */
bool replica_stored(const replica_t *self, position_t *position);
/* Makes durable what is stored. */
errcode_t replica_sync(replica_t *self, err_t *err);

/* Wishes; each is taken back by the other. To claim: at once when nobody owns the log (a RELEASE, an empty log), else
 * over the present owner. Repeated wishes are harmless. */
void replica_claim(replica_t *self, const hash_t *fresh_history, int64_t boot_us);
void replica_release(replica_t *self);
/* This node's clock and the log's agree, or not: without that nothing is claimed. */
void replica_set_clock_agrees(replica_t *self, bool agrees);

void replica_on_command(replica_t *self, request_t *request, int64_t wall_us);
void replica_on_frame(replica_t *self, const void *frame, size_t n, int64_t wall_us);
void replica_on_tick(replica_t *self, int64_t wall_us, int64_t boot_us);
void replica_on_record(replica_t *self, const journal_record_t *record, buffer_t *effects,
                       int64_t boot_us);
void replica_on_report(replica_t *self, const journal_report_t *report, int64_t boot_us);
/* Now and then: the position over records without effects, appended to effects. false: nothing to store. */
bool replica_position_due(replica_t *self, buffer_t *effects, int64_t boot_us);
/* How long the round was in the log that landed, 0 when none did. */
int64_t replica_settle(replica_t *self, int64_t wall_us, int64_t boot_us);
/* round false: no round yet, others go first (pacing.h). Returns whether one is in the log that was not before. */
bool replica_write(replica_t *self, bool round, int64_t wall_us, int64_t boot_us);
/* A round of it is in the log, written at since_us or later. */
bool replica_flies(const replica_t *self, int64_t since_us);
/* One waits to be written; one of so many answers that to gather more gains nothing. */
bool replica_has_round(const replica_t *self);
bool replica_has_large_round(const replica_t *self);

replica_state_t replica_state(const replica_t *self);
const char *replica_state_name(replica_state_t state);
const position_t *replica_position(const replica_t *self); /* applied */
bool replica_owned_by_nobody(const replica_t *self); /* the log ends with a RELEASE, or is empty */
/* Cannot be moved forward by this node although it should: the heartbeat names it (protocol section 3). */
bool replica_stuck(const replica_t *self, int64_t boot_us);
/* Nothing is in the log, nothing waits to be sent to other partitions. */
bool replica_idle(const replica_t *self);
const char *replica_trouble(const replica_t *self); /* NULL: none */
/* It is halted by a record of the log: which one. */
bool replica_halted_at(const replica_t *self, uint64_t *offset, uint32_t *crc);
void replica_metrics(const replica_t *self, buffer_t *out);
uint16_t replica_number(const replica_t *self);

#endif
