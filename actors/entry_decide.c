/* entry_decide.c - ledger entries posted, edited and deleted through /loyaltyTransactions/ (api-resources 2.4)
 *
 * A posting is never changed: an edit of the amount posts the difference as a hidden correction and shows the new amount
 * on the row; a delete posts a hidden reversal and hides the row. So the sum of visible deltas is the balance, and so is
 * the sum of all postings.
 */
#include "actors/decide.h"

#include <inttypes.h>

static void answer_entry(partition_t *self, const entry_t *entry, uint16_t status, result_t *result)
{
    buffer_reset(&self->entry_row);
    entry_encode(entry, &self->entry_row);
    result->status = status;
    result->renderer = RENDER_ENTRY_1;
    result->entry = entry->id;
    result->version = entry->version;
    result->row = (text_t){(const char *)self->entry_row.bytes, self->entry_row.size};
}

static points_t signed_delta(uint8_t type, points_t amount)
{
    return type == ENTRY_REDEEM ? -amount : amount;
}

static errcode_t check_amount(uint8_t type, points_t amount, err_t *err)
{
    if (type == ENTRY_ADJUST ? amount == 0 : amount <= 0)
        return err_field(err, ERR_INVALID, "amount",
                         type == ENTRY_ADJUST ? "An adjustment must not be zero."
                                              : "Ensure this value is greater than 0.");
    if (amount > POINTS_MAX || amount < -POINTS_MAX)
        return err_field(err, ERR_INVALID, "amount", "At most %" PRId64 " points in one entry.",
                         POINTS_MAX);
    return ERR_NONE;
}

/* The balance after `delta` must stay within 0 and the largest. */
static void check_range(partition_t *self, points_t delta, result_t *result)
{
    points_t available = self->account.available, room = account_room(&self->account);
    if (delta < 0 && available < -delta)
        refuse(self, result, ERR_OVERDRAW, "The balance of %" PRId64 " would fall below zero.",
               available);
    else if (delta > 0 && delta > room)
        refuse(self, result, ERR_OUT_OF_RANGE,
               "The balance would not fit: at most %" PRId64 " points.", POINTS_MAX);
}

static void count_lifetime(account_t *account, uint8_t type, points_t delta)
{
    if (type == ENTRY_EARN)
        account->earned += delta;
    else if (type == ENTRY_REDEEM)
        account->redeemed -= delta;
}

errcode_t decide_post_entry(partition_t *self, const command_t *command, result_t *result,
                            err_t *err)
{
    account_t *account = &self->account;
    uint8_t type = command->entry_type;
    entry_t entry = {.type = type,
                     .actor = command->actor,
                     .description = command->description,
                     .metadata = command->metadata,
                     .reference = command->reference};

    if (type != ENTRY_EARN && type != ENTRY_REDEEM && type != ENTRY_ADJUST)
        return err_field(err, ERR_INVALID, "transaction_type",
                         "Only earn, redeem and adjust can be created.");
    errcode_t rc = check_amount(type, command->points, err);
    if (rc != ERR_NONE)
        return rc;
    points_t delta = signed_delta(type, command->points);
    if (type != ENTRY_ADJUST)
        check_status(self, result);
    check_range(self, delta, result);
    if (type == ENTRY_EARN && delta > POINTS_MAX - account->earned)
        refuse(self, result, ERR_OUT_OF_RANGE, "The lifetime total would not fit.");
    if (refused(result))
        return ERR_NONE;
    entry.amount = command->points;
    entry.delta = entry.posted = delta;
    rc = delta > 0 ? open_lot(self, account, &entry, delta, err)
                   : take_lots(self, account, &entry, 0, -delta, err);
    if (rc != ERR_NONE)
        return rc;
    ledger_post(self, account, &entry);
    count_lifetime(account, type, delta);
    if (delta > 0)
        upgrade_tier(self, account, result);
    account_save(self, account);
    answer_entry(self, &entry, 201, result);
    return ERR_NONE;
}

/* Reads the entry that the command names; its texts are borrowed from self->keys_row. */
static errcode_t load_entry(partition_t *self, const command_t *command, entry_t *entry, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;

    buffer_reset(&self->keys_row);
    errcode_t rc = partition_get(self, FAMILY_ENTRY, key,
                                 key_entry(key, self->config.number, id_sequence(command->entry)),
                                 &self->keys_row, &found, err);
    if (rc == ERR_NONE)
        rc = found ? entry_decode(entry, self->keys_row.bytes, self->keys_row.size, err)
                   : err_set(err, ERR_NOT_FOUND, "Not found.");
    if (rc == ERR_NONE && command->if_match != 0 && command->if_match != entry->version)
        rc = err_set(err, ERR_PRECONDITION,
                     "The entry has changed since; its ETag is now \"%" PRIu64 "\".",
                     entry->version);
    return rc;
}

/* Moves lots and balance by `difference` through a hidden entry that belongs to `of`. */
static errcode_t post_hidden(partition_t *self, const entry_t *of, points_t difference,
                             bool is_reversal, const command_t *command, err_t *err)
{
    account_t *account = &self->account;
    entry_t entry = {.type = is_reversal ? ENTRY_REVERSAL : ENTRY_ADJUST,
                     .hidden = true,
                     .amount = difference,
                     .delta = is_reversal ? difference
                                          : 0, /* the edited row shows the whole delta already */
                     .posted = difference,
                     .related = of->id,
                     .actor = command->actor};
    errcode_t rc = ERR_NONE;
    points_t left = difference;

    if (difference < 0) {
        rc = take_lots(self, account, &entry, of->id, -difference, err);
    } else {
        /* A refund gives points back to the lots that the entry took them from, less what an earlier edit gave. */
        points_t given_before = -of->posted - (of->delta < 0 ? -of->delta : 0);
        int count =
            of->posted < 0 ? entry_allocations(of, self->allocations, ENTRY_ALLOCATIONS_MAX) : 0;
        if (count < 0)
            return err_set(err, ERR_CORRUPT, "the allocation of entry %" PRIu64 " cannot be read",
                           of->id);
        for (int i = 0; i < count && left > 0 && rc == ERR_NONE; i++) {
            allocation_t part = self->allocations[i];
            points_t skipped = part.points < given_before ? part.points : given_before, given = 0;
            given_before -= skipped > 0 ? skipped : 0;
            part.points -= skipped > 0 ? skipped : 0;
            part.points = part.points < left ? part.points : left;
            rc = lots_give_back(self, account, &part, &given, err);
            left -= given;
        }
        if (rc == ERR_NONE && left > 0)
            rc = open_lot(self, account, &entry, left, err);
    }
    if (rc == ERR_NONE)
        ledger_post(self, account, &entry);
    return rc;
}

static bool is_editable(uint8_t type)
{
    return type == ENTRY_EARN || type == ENTRY_REDEEM || type == ENTRY_ADJUST;
}

errcode_t decide_edit_entry(partition_t *self, const command_t *command, result_t *result,
                            err_t *err)
{
    account_t *account = &self->account;
    entry_t before;

    errcode_t rc = load_entry(self, command, &before, err);
    if (rc != ERR_NONE)
        return rc;
    entry_t entry = before;
    if ((command->set & SET_ACCOUNT) != 0 && command->to_account != before.account)
        return err_field(err, ERR_INVALID, "account", "The account of an entry cannot be changed.");
    if ((command->set & SET_TYPE) != 0)
        entry.type = command->entry_type;
    if ((command->set & SET_AMOUNT) != 0)
        entry.amount = command->points;
    bool moves = entry.type != before.type || entry.amount != before.amount;
    if (moves && (!is_editable(before.type) || !is_editable(entry.type)))
        return err_set(err, ERR_STATE, "Amount and type of a %s entry cannot be changed.",
                       entry_type_name(before.type) ? entry_type_name(before.type) : "such");
    if (moves) {
        rc = check_amount(entry.type, entry.amount, err);
        if (rc != ERR_NONE)
            return rc;
        entry.delta = signed_delta(entry.type, entry.amount);
    }
    points_t difference = entry.delta - before.delta;
    check_range(self, difference, result);
    if (refused(result))
        return ERR_NONE;
    if ((command->set & SET_DESCRIPTION) != 0)
        entry.description = command->description;
    if ((command->set & SET_METADATA) != 0)
        entry.metadata = command->metadata;
    if (difference != 0)
        rc = post_hidden(self, &before, difference, false, command, err);
    if (rc != ERR_NONE)
        return rc;
    count_lifetime(account, before.type, -before.delta);
    count_lifetime(account, entry.type, entry.delta);
    if (difference > 0)
        upgrade_tier(self, account, result);
    ledger_rewrite(self, &before, &entry);
    if (moves)
        account_save(self, account);
    answer_entry(self, &entry, 200, result);
    return ERR_NONE;
}

errcode_t decide_delete_entry(partition_t *self, const command_t *command, result_t *result,
                              err_t *err)
{
    account_t *account = &self->account;
    entry_t before;

    errcode_t rc = load_entry(self, command, &before, err);
    if (rc != ERR_NONE)
        return rc;
    if (!is_editable(before.type))
        return err_set(err, ERR_STATE, "A %s entry cannot be deleted; post a correction instead.",
                       entry_type_name(before.type) ? entry_type_name(before.type) : "such");
    check_range(self, -before.delta, result);
    if (refused(result))
        return ERR_NONE;
    if (before.delta != 0)
        rc = post_hidden(self, &before, -before.delta, true, command, err);
    if (rc != ERR_NONE)
        return rc;
    count_lifetime(account, before.type, -before.delta);
    entry_t entry = before;
    entry.hidden = true;
    ledger_rewrite(self, &before, &entry);
    account_save(self, account);
    result->status = 204;
    result->renderer = RENDER_NONE;
    return ERR_NONE;
}
