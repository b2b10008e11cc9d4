/* account_life.c - the life of an account: enrol, status, edit, delete, repair of derived figures */
#include "actors/decide.h"

#include <inttypes.h>

void answer_account(partition_t *self, const account_t *account, uint16_t status, result_t *result)
{
    buffer_reset(&self->entry_row);
    account_encode(account, &self->entry_row);
    result->status = status;
    result->renderer = RENDER_ACCOUNT_1;
    result->account = account->id;
    result->version = account->version;
    result->row = (text_t){(const char *)self->entry_row.bytes, self->entry_row.size};
}

static errcode_t check_tier(partition_t *self, const command_t *command, uint32_t program,
                            err_t *err)
{
    if ((command->set & SET_TIER) == 0 || command->tier == 0)
        return ERR_NONE;
    const tier_t *tier = catalogue_tier(self->config.catalogue, self->in_force, command->tier);
    if (tier == NULL)
        return err_field(err, ERR_INVALID, "tier", "Invalid pk \"%u\" - object does not exist.",
                         command->tier);
    if (tier->program != program)
        return err_field(err, ERR_INVALID, "tier",
                         "The tier must belong to the account's program.");
    return ERR_NONE;
}

static void put_place(partition_t *self, const account_t *account)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    account_place_encode(&account->customer, account->program, &self->value);
    partition_put(self, FAMILY_STATE, key, key_account_id(key, self->config.number, account->id),
                  &self->value);
}

/* The row of a deleted account makes room for the new one of the same customer and program. */
static void retire(partition_t *self, const account_t *account)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    account_encode(account, &self->value);
    partition_put(self, FAMILY_STATE, key, key_retired(key, self->config.number, account->id),
                  &self->value);
}

errcode_t decide_enrol(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    account_t *account = &self->account;
    bool found = false, known = false;

    if (catalogue_program(self->config.catalogue, self->in_force, command->program) == NULL)
        return err_field(err, ERR_INVALID, "program", "Invalid pk \"%u\" - object does not exist.",
                         command->program);
    errcode_t rc = check_tier(self, command, command->program, err);
    if (rc == ERR_NONE)
        rc = answer_known(self, command, &command->customer, 0, result, &known, err);
    if (rc != ERR_NONE || known)
        return rc;
    if (command->points < 0 || command->points > POINTS_MAX)
        return err_field(err, ERR_INVALID, "points_balance",
                         "Ensure this value is between 0 and %" PRId64 ".", POINTS_MAX);
    rc = account_load(self, &command->customer, command->program, account, &found, err);
    if (rc != ERR_NONE)
        return rc;
    if (found && !account->deleted)
        return err_field(err, ERR_INVALID, "non_field_errors",
                         "The fields customer_id, program must make a unique set.");
    if (found)
        retire(self, account);
    uint64_t id = partition_new_id(self, slot_of_customer(&command->customer));
    *account = (account_t){.id = id,
                           .customer = command->customer,
                           .program = command->program,
                           .status = (command->set & SET_STATUS) ? command->status : STATUS_ACTIVE,
                           .created_us = self->now_us};
    if (command->points > 0 && (command->rights & RIGHT_ADJUST) != 0) {
        entry_t opening = {.actor = command->actor, .description = text_of("Opening balance")};
        rc = post_adjustment(self, account, &opening, command->points, err);
        if (rc != ERR_NONE)
            return rc;
    }
    upgrade_tier(self, account, result);
    if ((command->set & SET_TIER) != 0 && command->tier != 0)
        account->tier = command->tier;
    account_save(self, account);
    put_place(self, account);
    self->accounts++;
    self->checkpoint_due =
        true; /* an account's id may have no entry behind it: the counter must be on disk */
    result->recorded_us = self->now_us;
    answer_account(self, account, 201, result);
    key_store(self, command, account, result, 0);
    return ERR_NONE;
}

static errcode_t check_version(const account_t *account, uint64_t expected, err_t *err)
{
    return expected == 0 || expected == account->version
               ? ERR_NONE
               : err_set(err, ERR_PRECONDITION,
                         "The account has changed since; its ETag is now \"%" PRIu64 "\".",
                         account->version);
}

static errcode_t change_status(account_t *account, uint8_t status, err_t *err)
{
    if (status == STATUS_CLOSED && account->status != STATUS_CLOSED &&
        (account->held > 0 || account->in_transit > 0))
        return err_set(
            err, ERR_STATE,
            "The account has points held or in transit; it can be closed when they are settled.");
    account->status = status;
    return ERR_NONE;
}

errcode_t decide_set_status(partition_t *self, const command_t *command, result_t *result,
                            err_t *err)
{
    errcode_t rc = check_version(&self->account, command->if_match, err);
    if (rc == ERR_NONE)
        rc = change_status(&self->account, command->status, err);
    if (rc != ERR_NONE)
        return rc;
    account_save(self, &self->account);
    answer_account(self, &self->account, 200, result);
    return ERR_NONE;
}

static errcode_t check_fixed(const account_t *account, const command_t *command, err_t *err)
{
    if ((command->set & SET_CUSTOMER) != 0 && !uuid_equal(&account->customer, &command->customer))
        return err_field(err, ERR_INVALID, "customer_id",
                         "The customer of an account cannot be changed.");
    if ((command->set & SET_PROGRAM) != 0 && account->program != command->program)
        return err_field(err, ERR_INVALID, "program",
                         "The program of an account cannot be changed.");
    return ERR_NONE;
}

errcode_t decide_edit_account(partition_t *self, const command_t *command, result_t *result,
                              err_t *err)
{
    account_t *account = &self->account;

    errcode_t rc = check_version(account, command->if_match, err);
    if (rc == ERR_NONE)
        rc = check_fixed(account, command, err);
    if (rc == ERR_NONE)
        rc = check_tier(self, command, account->program, err);
    if (rc == ERR_NONE && (command->set & SET_STATUS) != 0)
        rc = change_status(account, command->status, err);
    if (rc != ERR_NONE)
        return rc;
    if ((command->set & SET_BALANCE) != 0 && (command->rights & RIGHT_ADJUST) != 0 &&
        command->points != account->available) {
        entry_t entry = {.actor = command->actor, .description = text_of("Balance set")};
        points_t max = account->available + account_room(account);
        if (command->points < 0 || command->points > max)
            return err_field(err, ERR_INVALID, "points_balance",
                             "Ensure this value is between 0 and %" PRId64 ".", max);
        rc = post_adjustment(self, account, &entry, command->points - account->available, err);
        if (rc != ERR_NONE)
            return rc;
        upgrade_tier(self, account, result);
    }
    if ((command->set & SET_TIER) != 0)
        account->tier = command->tier;
    account_save(self, account);
    answer_account(self, account, 200, result);
    return ERR_NONE;
}

errcode_t decide_delete_account(partition_t *self, const command_t *command, result_t *result,
                                err_t *err)
{
    errcode_t rc = check_version(&self->account, command->if_match, err);
    if (rc == ERR_NONE && self->account.in_transit > 0)
        rc = err_set(err, ERR_STATE,
                     "The account has points in transit; it can be deleted when they are settled.");
    if (rc != ERR_NONE)
        return rc;
    self->account.deleted = true;
    account_save(self, &self->account);
    self->accounts--;
    self->checkpoint_due = true;
    result->status = 204;
    result->renderer = RENDER_NONE;
    return ERR_NONE;
}

/* What the ledger says about an account. */
typedef struct {
    points_t available, earned, redeemed;
    uint64_t entries;
} figures_t;

static errcode_t sum_entries(partition_t *self, const account_t *account, figures_t *out,
                             err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint64_t id = account->last_entry;

    *out = (figures_t){0};
    while (id != 0) {
        entry_t entry;
        bool found = false;
        buffer_reset(&self->entry_row);
        errcode_t rc = partition_get(self, FAMILY_ENTRY, key,
                                     key_entry(key, self->config.number, id_sequence(id)),
                                     &self->entry_row, &found, err);
        if (rc == ERR_NONE)
            rc = found ? entry_decode(&entry, self->entry_row.bytes, self->entry_row.size, err)
                       : err_set(err, ERR_CORRUPT,
                                 "entry %" PRIu64 " of account %" PRIu64 " is missing", id,
                                 account->id);
        if (rc != ERR_NONE)
            return rc;
        if (entry.prev != 0 && id_sequence(entry.prev) >= id_sequence(id))
            return err_set(err, ERR_CORRUPT, "entry %" PRIu64 " points forward", id);
        out->available += entry.posted;
        out->earned += !entry.hidden && entry.type == ENTRY_EARN ? entry.delta : 0;
        out->redeemed += !entry.hidden && entry.type == ENTRY_REDEEM ? -entry.delta : 0;
        out->entries++;
        id = entry.prev;
    }
    return ERR_NONE;
}

/* Rebuilds derived figures from the ledger; posts nothing. Asked for by name (reconcile with repair), never by itself. */
errcode_t decide_repair(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    account_t *account = &self->account;
    figures_t figures;
    uint32_t count = 0;

    (void)command;
    errcode_t rc = sum_entries(self, account, &figures, err);
    if (rc != ERR_NONE)
        return rc;
    points_t difference = figures.available - account->available;
    if (figures.available < 0)
        return err_set(err, ERR_CORRUPT, "the ledger of account %" PRIu64 " sums to %" PRId64,
                       account->id, figures.available);
    if (difference > 0) {
        lot_t lot = {.id = account->last_entry,
                     .part = UINT32_MAX,
                     .original = difference,
                     .active = difference,
                     .activated_us = self->now_us};
        rc = lots_add(self, account, &lot, err);
    } else if (difference < 0) {
        rc = lots_take(self, account, -difference, &count, err);
    }
    if (rc != ERR_NONE)
        return rc;
    account->available = figures.available;
    account->earned = figures.earned;
    account->redeemed = figures.redeemed;
    account->entries = figures.entries;
    account_save(self, account);
    answer_account(self, account, 200, result);
    return ERR_NONE;
}
