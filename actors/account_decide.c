/* account_decide.c - what may happen to an account: enrol, earn, burn, adjust, status, edit, delete
 *
 * Every function checks first and writes last. Order of checks is api-resources 1.2 and api-services 3.1: existence (404),
 * then the key and the reference, then business rules, all of whose failures are collected.
 */
#include "actors/decide.h"

#include "protocol/calendar.h"
#include "protocol/metrics.h"

#include <inttypes.h>

#define EFFECTIVE_AHEAD_US (5 * 60 * SECOND_US)
#define EFFECTIVE_BACK_US  (30 * DAY_US)

static decide_fn decision_of(uint8_t kind)
{
    switch (kind) {
    case COMMAND_EARN: return decide_earn;
    case COMMAND_BURN: return decide_burn;
    case COMMAND_ADJUST: return decide_adjust;
    case COMMAND_TRANSFER: return decide_transfer;
    case COMMAND_POST_ENTRY: return decide_post_entry;
    case COMMAND_EDIT_ENTRY: return decide_edit_entry;
    case COMMAND_DELETE_ENTRY: return decide_delete_entry;
    case COMMAND_EDIT_ACCOUNT: return decide_edit_account;
    case COMMAND_DELETE_ACCOUNT: return decide_delete_account;
    case COMMAND_SET_STATUS: return decide_set_status;
    case COMMAND_REPAIR: return decide_repair;
    default: INVARIANT(!"decide() lets only account commands through"); return NULL;
    }
}

static bool is_service(uint8_t kind)
{
    return kind == COMMAND_EARN || kind == COMMAND_BURN || kind == COMMAND_ADJUST ||
           kind == COMMAND_TRANSFER;
}

/* Loads the account that the command names, directly or through an entry. */
static errcode_t locate(partition_t *self, const command_t *command, bool *found, err_t *err)
{
    uint64_t account = command->account;

    *found = false;
    if (command->entry != 0) {
        uint8_t key[BATCH_KEY_BYTES_MAX];
        entry_t entry;
        buffer_reset(&self->entry_row);
        errcode_t rc =
            partition_get(self, FAMILY_ENTRY, key,
                          key_entry(key, self->config.number, id_sequence(command->entry)),
                          &self->entry_row, found, err);
        if (rc == ERR_NONE && *found)
            rc = entry_decode(&entry, self->entry_row.bytes, self->entry_row.size, err);
        if (rc != ERR_NONE || !*found)
            return rc;
        *found = entry.id == command->entry && !entry.hidden;
        if (!*found)
            return ERR_NONE;
        account = entry.account;
    }
    return account != 0 ? account_load_by_id(self, account, &self->account, found, err)
                        : account_load(self, &command->customer, command->program, &self->account,
                                       found, err);
}

errcode_t decide_account_command(partition_t *self, const command_t *command, result_t *result,
                                 err_t *err)
{
    bool found = false, known = false;

    if (command->description.n + command->metadata.n + command->reference.n > TEXT_BYTES_MAX)
        return err_field(err, ERR_INVALID, "metadata",
                         "Description, metadata and reference together may have %d bytes.",
                         TEXT_BYTES_MAX);
    if (command->kind == COMMAND_ENROL)
        return decide_enrol(self, command, result, err);
    errcode_t rc = locate(self, command, &found, err);
    if (rc != ERR_NONE)
        return rc;
    if (!found || self->account.deleted ||
        catalogue_program(self->config.catalogue, self->in_force, self->account.program) == NULL)
        return err_set(err, ERR_NOT_FOUND,
                       is_service(command->kind) ? "Account not found." : "Not found.");
    rc =
        answer_known(self, command, &self->account.customer, self->account.id, result, &known, err);
    if (rc != ERR_NONE || known)
        return rc;
    result->renderer = is_service(command->kind) ? RENDER_REFUSAL_1 : RENDER_DETAIL_1;
    result->recorded_us = self->now_us;
    result->account = self->account.id;
    rc = decision_of(command->kind)(self, command, result, err);
    if (rc != ERR_NONE || result->status == 0)
        return rc;
    if (refused(result))
        metric_add(METRIC_REFUSALS, 1);
    key_store(self, command, &self->account, result, 0);
    return ERR_NONE;
}

/* ---- checks shared by the services ---- */

bool status_is_active(uint8_t status)
{
    return status == STATUS_ACTIVE || status == STATUS_DORMANT;
}

void check_status(partition_t *self, result_t *result)
{
    if (!status_is_active(self->account.status))
        refuse(self, result, ERR_ACCOUNT_STATUS, "The account is %s.",
               account_status_name(self->account.status));
}

void check_program(partition_t *self, const program_t *program, int64_t at_us, bool until_end,
                   result_t *result)
{
    if (!program->active)
        refuse(self, result, ERR_PROGRAM_STATUS, "The program is not active.");
    if (at_us < program->start_us)
        refuse(self, result, ERR_PROGRAM_STATUS, "The program has not started.");
    if (until_end && at_us >= program->end_us)
        refuse(self, result, ERR_PROGRAM_STATUS, "The program has ended.");
}

/* five minutes ahead, thirty days back, not before the day of joining; an import is exempt. */
static void check_effective(partition_t *self, const command_t *command, const program_t *program,
                            result_t *result)
{
    if (command->effective_us == 0 || (command->rights & RIGHT_IMPORT) != 0)
        return;
    if (command->effective_us > self->now_us + EFFECTIVE_AHEAD_US)
        refuse(self, result, ERR_EFFECTIVE_AT, "transaction_date lies more than 5 minutes ahead.");
    else if (command->effective_us < self->now_us - EFFECTIVE_BACK_US)
        refuse(self, result, ERR_EFFECTIVE_AT, "transaction_date lies more than 30 days back.");
    else if (command->effective_us <
             calendar_window(program->zone, UNIT_DAY, self->account.created_us).from_us)
        refuse(self, result, ERR_EFFECTIVE_AT,
               "transaction_date lies before the day on which the customer joined.");
}

points_t account_room(const account_t *account)
{
    return POINTS_MAX - account->available - account->in_transit;
}

const tier_t *account_tier(const partition_t *self, const account_t *account)
{
    return account->tier ? catalogue_tier(self->config.catalogue, self->in_force, account->tier)
                         : NULL;
}

/* Upgrades only: a balance that falls keeps its tier until the nightly evaluation of the tier service. */
void upgrade_tier(partition_t *self, account_t *account, result_t *result)
{
    const tier_t *best = catalogue_tier_for(self->config.catalogue, self->in_force,
                                            account->program, account->available);
    const tier_t *present = account_tier(self, account);

    if (best == NULL || best == present ||
        (present != NULL &&
         (best->min_points < present->min_points ||
          (best->min_points == present->min_points && best->priority <= present->priority))))
        return;
    account->tier = best->id;
    result->old_tier = text_of(present ? present->name : "");
    result->new_tier = text_of(best->name);
}

/* Opens the lot of a crediting entry, whose id is taken here. */
errcode_t open_lot(partition_t *self, account_t *account, entry_t *entry, points_t points,
                   err_t *err)
{
    if (entry->id == 0)
        entry->id = partition_new_id(self, id_slot(account->id));
    lot_t lot = {.id = entry->id,
                 .original = points,
                 .active = points,
                 .activated_us = entry->effective_us ? entry->effective_us : self->now_us,
                 .expires_us = entry->expires_us};
    return lots_add(self, account, &lot, err);
}

/* Takes points in burn order and hangs the allocation on the entry. */
errcode_t take_lots(partition_t *self, account_t *account, entry_t *entry, uint64_t first,
                    points_t points, err_t *err)
{
    uint32_t count = 0;
    errcode_t rc = first != 0 ? lots_take_from(self, account, first, points, &count, err)
                              : lots_take(self, account, points, &count, err);
    if (rc != ERR_NONE)
        return rc;
    hang_allocations(self, entry, count);
    return ERR_NONE;
}

void hang_allocations(partition_t *self, entry_t *entry, uint32_t count)
{
    buffer_reset(&self->row);
    allocations_encode(self->allocations, count, &self->row);
    entry->allocation_count = count;
    entry->allocations = self->row.bytes;
    entry->allocations_bytes = self->row.size;
}

static void copy_texts(entry_t *entry, const command_t *command)
{
    entry->description = command->description;
    entry->metadata = command->metadata;
    entry->reference = command->reference;
    entry->actor = command->actor;
}

/* ---- earn, burn, adjust ---- */

errcode_t decide_earn(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    account_t *account = &self->account;
    const program_t *program =
        catalogue_program(self->config.catalogue, self->in_force, account->program);
    const tier_t *tier = account_tier(self, account);
    decimal_t amount = {.value = command->amount, .scale = 6};
    entry_t entry = {.type = ENTRY_EARN, .effective_us = command->effective_us};
    points_t points = 0, base = 0;
    err_t why;

    check_status(self, result);
    check_program(self, program, command->effective_us ? command->effective_us : self->now_us, true,
                  result);
    check_effective(self, command, program, result);
    entry.multiplier_ppm = tier ? tier->multiplier_ppm : PPM_ONE;
    if (decimal_times_ppm(&points, &amount, &entry.multiplier_ppm, 1, ROUND_FLOOR, &why) !=
            ERR_NONE ||
        decimal_round(&base, &amount, ROUND_FLOOR, &why) != ERR_NONE ||
        points > account_room(account) || points > POINTS_MAX - account->earned)
        refuse(self, result, ERR_OUT_OF_RANGE,
               "The balance would not fit: at most %" PRId64 " points.", POINTS_MAX);
    else if (points == 0 && !refused(result))
        refuse(self, result, ERR_ZERO, "The amount earns no points.");
    result->base_points = base;
    result->calculated = points;
    result->multiplier_ppm = entry.multiplier_ppm;
    if (refused(result))
        return ERR_NONE;
    entry.amount = entry.delta = entry.posted = points;
    entry.base_points = base;
    copy_texts(&entry, command);
    errcode_t rc = open_lot(self, account, &entry, points, err);
    if (rc != ERR_NONE)
        return rc;
    result->entry = ledger_post(self, account, &entry);
    account->earned += points;
    upgrade_tier(self, account, result);
    account_save(self, account);
    result->status = 200;
    result->renderer = RENDER_EARN_1;
    result->points = points;
    result->balance_after = account->available;
    return ERR_NONE;
}

void check_balance(partition_t *self, const program_t *program, points_t points, result_t *result)
{
    points_t available = self->account.available;

    result->required = points;
    result->available = available;
    if (available < points)
        refuse(self, result, ERR_NO_POINTS,
               "Insufficient points: %" PRId64 " needed, %" PRId64 " available.", points,
               available);
    else if (available - points < program->min_balance)
        refuse(self, result, ERR_NO_POINTS,
               "Insufficient points: %" PRId64 " needed, %" PRId64 " available, of which %" PRId64
               " must stay.",
               points, available, program->min_balance);
}

errcode_t decide_burn(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    account_t *account = &self->account;
    const program_t *program =
        catalogue_program(self->config.catalogue, self->in_force, account->program);
    const tier_t *tier = account_tier(self, account);
    entry_t entry = {.type = ENTRY_REDEEM};
    int128_t discount = 0;

    if (command->points <= 0) {
        refuse(self, result, ERR_INVALID_AMOUNT, "points must be above zero.");
        return ERR_NONE;
    }
    errcode_t rc = decimal_mul_div(&discount, command->points, tier ? tier->discount_ppm : 0,
                                   PPM_ONE, ROUND_FLOOR, err);
    if (rc != ERR_NONE)
        return rc;
    points_t actual = command->points - (points_t)discount;
    check_status(self, result);
    check_program(self, program, self->now_us, false, result);
    check_balance(self, program, actual, result);
    if (refused(result))
        return ERR_NONE;
    entry.amount = actual;
    entry.delta = entry.posted = -actual;
    copy_texts(&entry, command);
    rc = take_lots(self, account, &entry, 0, actual, err);
    if (rc != ERR_NONE)
        return rc;
    result->entry = ledger_post(self, account, &entry);
    account->redeemed += actual;
    account_save(self, account);
    result->status = 200;
    result->renderer = RENDER_BURN_1;
    result->points = actual;
    result->cost = command->points;
    result->discount = (points_t)discount;
    result->balance_after = account->available;
    result->required = result->available = 0;
    return ERR_NONE;
}

/* Posts an adjustment of either sign; the caller has checked the range. */
errcode_t post_adjustment(partition_t *self, account_t *account, entry_t *entry, points_t points,
                          err_t *err)
{
    entry->type = ENTRY_ADJUST;
    entry->amount = entry->delta = entry->posted = points;
    errcode_t rc = points > 0 ? open_lot(self, account, entry, points, err)
                              : take_lots(self, account, entry, 0, -points, err);
    if (rc == ERR_NONE)
        ledger_post(self, account, entry);
    return rc;
}

errcode_t decide_adjust(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    account_t *account = &self->account;
    entry_t entry = {.effective_us = command->effective_us};

    if (command->points == 0)
        refuse(self, result, ERR_INVALID_AMOUNT, "points must not be zero.");
    else if (command->points < -POINTS_MAX)
        refuse(self, result, ERR_OUT_OF_RANGE, "At most %" PRId64 " points in one entry.",
               POINTS_MAX);
    else if (command->points < -account->available) {
        refuse(self, result, ERR_NO_POINTS,
               "Insufficient points: %" PRId64 " needed, %" PRId64 " available.", -command->points,
               account->available);
        result->required = -command->points;
        result->available = account->available;
    } else if (command->points > account_room(account))
        refuse(self, result, ERR_OUT_OF_RANGE,
               "The balance would not fit: at most %" PRId64 " points.", POINTS_MAX);
    if (refused(result))
        return ERR_NONE;
    copy_texts(&entry, command);
    errcode_t rc = post_adjustment(self, account, &entry, command->points, err);
    if (rc != ERR_NONE)
        return rc;
    result->entry = entry.id;
    account_save(self, account);
    result->status = 200;
    result->renderer = RENDER_ADJUST_1;
    result->points = command->points;
    result->balance_after = account->available;
    return ERR_NONE;
}
