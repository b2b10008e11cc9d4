/* decide.h - decisions about accounts and what they share (inside of actors/ only)
 *
 * Contract   A decide function fills *result: 2xx after it has written, 4xx refusal without row writes, status 0 for a
 *            transfer on its way. The account is in self->account, loaded, present and of a present program.
 * Threads    The shard's.
 * Ownership  As in partition_state.h.
 * Units      Points; microseconds UTC.
 * Errors     An error code means: no answer was decided (malformed, not found, damaged); nothing stays written.
 */
#ifndef FEALTY_DECIDE_H
#define FEALTY_DECIDE_H

#include "actors/partition_answers.h"
#include "protocol/decimal.h"

errcode_t decide_enrol(partition_t *self, const command_t *command, result_t *result, err_t *err);
errcode_t decide_earn(partition_t *self, const command_t *command, result_t *result, err_t *err);
errcode_t decide_burn(partition_t *self, const command_t *command, result_t *result, err_t *err);
errcode_t decide_adjust(partition_t *self, const command_t *command, result_t *result, err_t *err);
errcode_t decide_edit_account(partition_t *self, const command_t *command, result_t *result,
                              err_t *err);
errcode_t decide_delete_account(partition_t *self, const command_t *command, result_t *result,
                                err_t *err);
errcode_t decide_set_status(partition_t *self, const command_t *command, result_t *result,
                            err_t *err);
errcode_t decide_repair(partition_t *self, const command_t *command, result_t *result, err_t *err);
errcode_t decide_post_entry(partition_t *self, const command_t *command, result_t *result,
                            err_t *err);
errcode_t decide_edit_entry(partition_t *self, const command_t *command, result_t *result,
                            err_t *err);
errcode_t decide_delete_entry(partition_t *self, const command_t *command, result_t *result,
                              err_t *err);

bool status_is_active(uint8_t status);
void check_status(partition_t *self, result_t *result);
/* until_end: after the program's end points may still be spent, but not earned. */
void check_program(partition_t *self, const program_t *program, int64_t at_us, bool until_end,
                   result_t *result);
/* balance >= points, and min_balance stays; fills required and available. */
void check_balance(partition_t *self, const program_t *program, points_t points, result_t *result);

/* What may still be credited: points in transit may come back, and that cannot be refused. */
points_t account_room(const account_t *account);

const tier_t *account_tier(const partition_t *self,
                           const account_t *account); /* NULL when none or deleted */
void upgrade_tier(partition_t *self, account_t *account, result_t *result);
errcode_t open_lot(partition_t *self, account_t *account, entry_t *entry, points_t points,
                   err_t *err);
/* first != 0: what is left of that entry's lots goes first. */
errcode_t take_lots(partition_t *self, account_t *account, entry_t *entry, uint64_t first,
                    points_t points, err_t *err);
/* Encodes self->allocations[count] into self->row and lets the entry borrow it. */
void hang_allocations(partition_t *self, entry_t *entry, uint32_t count);
errcode_t post_adjustment(partition_t *self, account_t *account, entry_t *entry, points_t points,
                          err_t *err);
void answer_account(partition_t *self, const account_t *account, uint16_t status, result_t *result);

#endif
