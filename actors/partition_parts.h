/* partition_parts.h - what the files of one partition call in each other (inside of actors/ only)
 *
 * Contract   partition.c takes commands and gives answers, partition_rows.c writes the body of a round,
 *            partition_messages.c talks to other partitions, partition_round.c seals, judges and lands rounds.
 * Threads    The shard's.
 * Ownership  As in partition_state.h.
 * Units      Microseconds UTC.
 * Errors     As in partition_state.h.
 */
#ifndef FEALTY_PARTITION_PARTS_H
#define FEALTY_PARTITION_PARTS_H

#include "actors/partition_state.h"

#define BODY_BYTES_MAX (64u * 1024 * 1024) /* of a round; partition_full() stops far below */

/* partition_rows.c: a decision is one section of the round's body. */
size_t round_record_end(const partition_t *self,
                        uint32_t i); /* where record i of the round ends in its body */
void round_record_begin(partition_t *self);
void decision_begin(partition_t *self, const void *command, size_t n, bool may_be_large);
void decision_end(partition_t *self);
void decision_undo(partition_t *self);

/* partition_round.c */
void round_answer(round_t *round, const err_t *why); /* NULL: each its own answer */
void round_clear(round_t *round);

/* partition_shared.c: content of definitions and sessions among the effects of an accepted record. */
void partition_tell(partition_t *self, const uint8_t *writes, size_t n);

/* partition_messages.c */
void messages_pump(partition_t *self, uint16_t dst,
                   int64_t wall_us);                /* committed ones that were not sent yet */
void messages_ack(partition_t *self, uint16_t src); /* says what is applied and committed */
void messages_resend(partition_t *self, int64_t wall_us); /* those whose time has come */

/* session_decide.c: now and then deletes some sessions that expired long ago, each node its own rows. */
void sessions_sweep(partition_t *self, int64_t wall_us);

#endif
