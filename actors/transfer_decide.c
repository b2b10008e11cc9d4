/* transfer_decide.c - the steps of a transfer: held, credited or refused, settled or reversed
 *
 * A step is one record of one partition, so a crash between any two leaves a hold that ends settled or reversed, never
 * both: the credit is a message that is applied once, and only the receiver's explicit answer ends the hold.
 */
#include "actors/decide.h"

#include <inttypes.h>
#include <stdio.h>

static uint16_t receiver_partition(const partition_t *self, const command_t *command)
{
    uint16_t slot = command->to_account != 0 ? id_slot(command->to_account)
                                             : slot_of_customer(&command->to_customer);
    return partition_of_slot(slot, self->config.partitions);
}

/* Takes the points from the giver: transfer_out with the allocation. The account is saved by the caller. */
static errcode_t post_out(partition_t *self, const command_t *command, entry_t *entry,
                          uint64_t receiver, err_t *err)
{
    *entry = (entry_t){.type = ENTRY_TRANSFER_OUT,
                       .amount = command->points,
                       .delta = -command->points,
                       .posted = -command->points,
                       .related = receiver,
                       .actor = command->actor,
                       .description = command->description,
                       .reference = command->reference};
    errcode_t rc = take_lots(self, &self->account, entry, 0, command->points, err);
    if (rc == ERR_NONE)
        ledger_post(self, &self->account, entry);
    return rc;
}

/* each part of the giver's allocation becomes a lot with the same expiry. */
static errcode_t post_in(partition_t *self, account_t *account, const credit_t *credit,
                         uint64_t *entry_id, err_t *err)
{
    entry_t entry = {.type = ENTRY_TRANSFER_IN,
                     .amount = credit->points,
                     .delta = credit->points,
                     .posted = credit->points,
                     .related = credit->from_account,
                     .actor = credit->actor,
                     .description = credit->description};
    entry_t giver = {.allocation_count = credit->allocation_count,
                     .allocations = (const uint8_t *)credit->allocations.bytes,
                     .allocations_bytes = credit->allocations.n};
    points_t sum = 0;
    int count = entry_allocations(&giver, self->allocations, ENTRY_ALLOCATIONS_MAX);
    errcode_t rc = ERR_NONE;

    for (int i = 0; i < count; i++)
        sum += self->allocations[i].points;
    if (count <= 0 || sum != credit->points)
        return err_set(err, ERR_CORRUPT,
                       "the lots of transfer %" PRIu64 " do not sum to its points",
                       credit->transfer);
    entry.id = partition_new_id(self, id_slot(account->id));
    for (int i = 0; i < count && rc == ERR_NONE; i++) {
        lot_t lot = {.id = entry.id,
                     .part = (uint32_t)i,
                     .original = self->allocations[i].points,
                     .active = self->allocations[i].points,
                     .activated_us = self->now_us,
                     .expires_us = self->allocations[i].expires_us};
        rc = lots_add(self, account, &lot, err);
    }
    if (rc == ERR_NONE)
        *entry_id = ledger_post(self, account, &entry);
    return rc;
}

/* What the receiver's partition says: 0 = may be credited, else the refusal's code and sentence. */
static errcode_t check_receiver(partition_t *self, const account_t *account, bool found,
                                uint32_t program, points_t points, char sentence[200])
{
    if (!found || account->deleted ||
        catalogue_program(self->config.catalogue, self->in_force, account->program) == NULL) {
        snprintf(sentence, 200, "Receiver not found.");
        return ERR_NOT_FOUND;
    }
    if (account->program != program) {
        snprintf(sentence, 200, "Giver and receiver must be in the same program.");
        return ERR_RECEIVER;
    }
    if (!status_is_active(account->status)) {
        snprintf(sentence, 200, "The receiver's account is %s.",
                 account_status_name(account->status));
        return ERR_RECEIVER;
    }
    if (points > account_room(account)) {
        snprintf(sentence, 200, "The receiver's balance would not fit.");
        return ERR_OUT_OF_RANGE;
    }
    return ERR_NONE;
}

static errcode_t load_receiver(partition_t *self, uint64_t account, const uuid16_t *customer,
                               uint32_t program, bool *found, err_t *err)
{
    return account != 0 ? account_load_by_id(self, account, &self->other, found, err)
                        : account_load(self, customer, program, &self->other, found, err);
}

static void answer_transfer(result_t *result, uint64_t transfer, points_t points, uint64_t account,
                            uint64_t entry, points_t balance_after, uint64_t to_account,
                            uint64_t to_entry, points_t to_balance_after)
{
    *result = (result_t){.status = 200,
                         .renderer = RENDER_TRANSFER_1,
                         .recorded_us = result->recorded_us,
                         .transfer = transfer,
                         .points = points,
                         .account = account,
                         .entry = entry,
                         .balance_after = balance_after,
                         .to_account = to_account,
                         .to_entry = to_entry,
                         .to_balance_after = to_balance_after};
}

/* Both customers in this partition: one record. */
static errcode_t transfer_within(partition_t *self, const command_t *command, result_t *result,
                                 err_t *err)
{
    bool found = false;
    char sentence[200];
    entry_t out;

    errcode_t rc = load_receiver(self, command->to_account, &command->to_customer,
                                 self->account.program, &found, err);
    if (rc != ERR_NONE)
        return rc;
    errcode_t why =
        check_receiver(self, &self->other, found, self->account.program, command->points, sentence);
    if (why == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "%s", sentence);
    if (why != ERR_NONE) {
        refuse(self, result, why, "%s", sentence);
        return ERR_NONE;
    }
    if (self->other.id == self->account.id) {
        refuse(self, result, ERR_RECEIVER, "Giver and receiver are the same account.");
        return ERR_NONE;
    }
    uint64_t transfer = partition_new_id(self, id_slot(self->account.id)), to_entry = 0;
    rc = post_out(self, command, &out, self->other.id, err);
    if (rc != ERR_NONE)
        return rc;
    /* post_in reuses the partition's allocations, which `out` has already encoded. */
    buffer_reset(&self->entry_row);
    buffer_append(&self->entry_row, out.allocations, out.allocations_bytes);
    credit_t credit = {.transfer = transfer,
                       .from_account = self->account.id,
                       .points = command->points,
                       .actor = command->actor,
                       .description = command->description,
                       .allocations = {(const char *)self->entry_row.bytes, self->entry_row.size},
                       .allocation_count = out.allocation_count};
    rc = post_in(self, &self->other, &credit, &to_entry, err);
    if (rc != ERR_NONE)
        return rc;
    account_save(self, &self->account);
    account_save(self, &self->other);
    answer_transfer(result, transfer, command->points, self->account.id, out.id,
                    self->account.available, self->other.id, to_entry, self->other.available);
    return ERR_NONE;
}

static void transfer_put(partition_t *self, const transfer_t *transfer)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    transfer_encode(transfer, &self->value);
    partition_put(self, FAMILY_STATE, key, key_transfer(key, self->config.number, transfer->id),
                  &self->value);
}

/* TransferHeld. */
static errcode_t transfer_hold(partition_t *self, const command_t *command, uint16_t dst,
                               result_t *result, err_t *err)
{
    account_t *account = &self->account;
    entry_t out;
    transfer_t transfer = {.id = partition_new_id(self, id_slot(account->id)),
                           .account = account->id,
                           .customer = account->customer,
                           .program = account->program,
                           .points = command->points,
                           .has_key = command->key.n > 0,
                           .key_hash = command->key_hash,
                           .body_hash = command->body_hash,
                           .held_us = self->now_us,
                           .to_partition = dst};

    errcode_t rc = partition_room(self, dst, err);
    if (rc == ERR_NONE && (self->sending[dst].halted || self->receiving[dst].halted))
        rc = err_set(err, ERR_HALTED, "messages between partitions %u and %u are halted",
                     self->config.number, dst);
    if (rc == ERR_NONE)
        rc = post_out(self, command, &out, command->to_account, err);
    if (rc != ERR_NONE)
        return rc;
    account->in_transit += command->points;
    transfer.entry = out.id;
    transfer.balance_after = account->available;
    credit_t credit = {.transfer = transfer.id,
                       .from_account = account->id,
                       .to_account = command->to_account,
                       .to_customer = command->to_customer,
                       .program = account->program,
                       .points = command->points,
                       .actor = command->actor,
                       .description = command->description,
                       .allocations = {(const char *)out.allocations, out.allocations_bytes},
                       .allocation_count = out.allocation_count};
    buffer_reset(&self->blob);
    credit_encode(&credit, &self->blob);
    partition_message(self, dst, &self->blob);
    account_save(self, account);
    transfer_put(self, &transfer);
    key_store(self, command, account, result, transfer.id);
    *result =
        (result_t){.transfer = transfer.id}; /* status 0: the answer comes when it has ended */
    return ERR_NONE;
}

errcode_t decide_transfer(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    const program_t *program =
        catalogue_program(self->config.catalogue, self->in_force, self->account.program);

    if (command->points <= 0) {
        refuse(self, result, ERR_INVALID_AMOUNT, "points must be above zero.");
        return ERR_NONE;
    }
    if (command->to_account != 0 ? command->to_account == self->account.id
                                 : uuid_equal(&command->to_customer, &self->account.customer))
        refuse(self, result, ERR_RECEIVER, "Giver and receiver are the same account.");
    check_status(self, result);
    check_program(self, program, self->now_us, false, result);
    check_balance(self, program, command->points, result);
    if (refused(result))
        return ERR_NONE;
    result->required = result->available = 0;
    uint16_t dst = receiver_partition(self, command);
    return dst == self->config.number ? transfer_within(self, command, result, err)
                                      : transfer_hold(self, command, dst, result, err);
}

/* ---- receiver: TransferCredited or TransferRefused, one record with the message's number and the reply ---- */

errcode_t decide_credit(partition_t *self, uint16_t src, text_t body, err_t *err)
{
    credit_t credit;
    bool found = false;
    char sentence[200] = "";

    errcode_t rc = credit_decode(&credit, body, err);
    if (rc == ERR_NONE && credit.points <= 0)
        rc = err_set(err, ERR_CORRUPT, "transfer %" PRIu64 " carries no points", credit.transfer);
    if (rc == ERR_NONE)
        rc = load_receiver(self, credit.to_account, &credit.to_customer, credit.program, &found,
                           err);
    if (rc != ERR_NONE)
        return rc;
    credit_reply_t reply = {.transfer = credit.transfer};
    errcode_t why =
        check_receiver(self, &self->other, found, credit.program, credit.points, sentence);
    if (why == ERR_NONE) {
        rc = post_in(self, &self->other, &credit, &reply.to_entry, err);
        if (rc != ERR_NONE)
            return rc;
        account_save(self, &self->other);
        reply.credited = true;
        reply.to_account = self->other.id;
        reply.to_balance_after = self->other.available;
    } else {
        reply.status = (uint16_t)err_info(why)->http;
        reply.code = text_of(err_info(why)->name);
        reply.error = text_of(sentence);
    }
    buffer_reset(&self->row);
    credit_reply_encode(&reply, &self->row);
    partition_message(self, src, &self->row);
    return ERR_NONE;
}

/* ---- giver again ---- */

static void settle(partition_t *self, const transfer_t *transfer, const credit_reply_t *reply,
                   result_t *result)
{
    self->account.in_transit -= transfer->points;
    account_save(self, &self->account);
    answer_transfer(result, transfer->id, transfer->points, transfer->account, transfer->entry,
                    transfer->balance_after, reply->to_account, reply->to_entry,
                    reply->to_balance_after);
}

/* The lots are whole again; the entry and its reversal are hidden. A giver that was closed in the meantime gets the points
 * back all the same: a reply cannot be refused. */
static errcode_t reverse(partition_t *self, const transfer_t *transfer, const credit_reply_t *reply,
                         result_t *result, err_t *err)
{
    account_t *account = &self->account;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    entry_t before = {0};
    bool found = false;

    buffer_reset(&self->keys_row);
    errcode_t rc = partition_get(self, FAMILY_ENTRY, key,
                                 key_entry(key, self->config.number, id_sequence(transfer->entry)),
                                 &self->keys_row, &found, err);
    if (rc == ERR_NONE)
        rc = found ? entry_decode(&before, self->keys_row.bytes, self->keys_row.size, err)
                   : err_set(err, ERR_CORRUPT, "entry %" PRIu64 " of a transfer is missing",
                             transfer->entry);
    int count =
        rc == ERR_NONE ? entry_allocations(&before, self->allocations, ENTRY_ALLOCATIONS_MAX) : 0;
    if (count < 0)
        rc = err_set(err, ERR_CORRUPT, "the allocation of entry %" PRIu64 " cannot be read",
                     transfer->entry);
    entry_t reversal = {.type = ENTRY_REVERSAL,
                        .hidden = true,
                        .amount = transfer->points,
                        .delta = transfer->points,
                        .posted = transfer->points,
                        .related = transfer->entry,
                        .actor = before.actor};
    points_t left = transfer->points;
    for (int i = 0; i < count && rc == ERR_NONE; i++) {
        points_t given = 0;
        rc = lots_give_back(self, account, &self->allocations[i], &given, err);
        left -= given;
    }
    if (rc == ERR_NONE && left > 0)
        rc = open_lot(self, account, &reversal, left, err);
    if (rc != ERR_NONE)
        return rc;
    ledger_post(self, account, &reversal);
    entry_t entry = before;
    entry.hidden = true;
    ledger_rewrite(self, &before, &entry);
    account->in_transit -= transfer->points;
    account_save(self, account);
    *result = (result_t){.status = reply->status,
                         .renderer = reply->status == 404 ? RENDER_DETAIL_1 : RENDER_REFUSAL_1,
                         .code = reply->code,
                         .error = reply->error,
                         .account = account->id,
                         .recorded_us = self->now_us};
    return ERR_NONE;
}

/* The key becomes final; a receiver that does not exist leaves no key, so a retry runs. */
static void finish_key(partition_t *self, const transfer_t *transfer, const result_t *result)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_idempotency(key, self->config.number, &transfer->customer,
                                       OPERATION_TRANSFER, &transfer->key_hash);
    if (!transfer->has_key)
        return;
    if (result->status == 404) {
        partition_delete(self, FAMILY_KEY, key, key_bytes);
        return;
    }
    command_t command = {.operation = OPERATION_TRANSFER,
                         .key = text_of("known by its hash"),
                         .key_hash = transfer->key_hash,
                         .body_hash = transfer->body_hash};
    key_store(self, &command, &self->account, result, 0);
}

errcode_t decide_credit_reply(partition_t *self, text_t body, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    credit_reply_t reply;
    transfer_t transfer;
    result_t result = {.recorded_us = self->now_us};
    bool found = false;

    errcode_t rc = credit_reply_decode(&reply, body, err);
    if (rc != ERR_NONE)
        return rc;
    buffer_reset(&self->value);
    rc = partition_get(self, FAMILY_STATE, key,
                       key_transfer(key, self->config.number, reply.transfer), &self->value, &found,
                       err);
    if (rc == ERR_NONE)
        rc = found ? transfer_decode(&transfer, self->value.bytes, self->value.size, err)
                   : err_set(err, ERR_CORRUPT,
                             "a reply names transfer %" PRIu64 ", which is not on its way",
                             reply.transfer);
    if (rc == ERR_NONE)
        rc = account_load_by_id(self, transfer.account, &self->account, &found, err);
    if (rc == ERR_NONE && !found)
        rc = err_set(err, ERR_CORRUPT, "account %" PRIu64 " of transfer %" PRIu64 " is missing",
                     transfer.account, transfer.id);
    if (rc != ERR_NONE)
        return rc;
    if (reply.credited)
        settle(self, &transfer, &reply, &result);
    else
        rc = reverse(self, &transfer, &reply, &result, err);
    if (rc != ERR_NONE)
        return rc;
    partition_delete(self, FAMILY_STATE, key, key_transfer(key, self->config.number, transfer.id));
    finish_key(self, &transfer, &result);
    buffer_reset(&self->blob);
    result_encode(&result, &self->blob);
    partition_answer_transfer(self, transfer.id, self->blob.bytes, self->blob.size);
    return ERR_NONE;
}
