/* partition_answers.h - answers that were given before
 *
 * Contract   answer_known looks up the command's key, then its reference: a known one settles the command before any
 *            other rule. The stored result is decoded into *result with `replayed` set; a pending transfer gives
 *            status 0 and its id; another body gives 409.
 * Threads    The shard's.
 * Ownership  *result borrows from the partition's keys_row buffer.
 * Units      Nothing to say.
 * Errors     ERR_CORRUPT, ERR_IO.
 */
#ifndef FEALTY_PARTITION_ANSWERS_H
#define FEALTY_PARTITION_ANSWERS_H

#include "actors/partition_state.h"

errcode_t answer_known(partition_t *self, const command_t *command, const uuid16_t *customer,
                       uint64_t account, result_t *result, bool *known, err_t *err);

#endif
