/* account_store.c - reading and writing accounts, and the keys under which answers are kept */
#include "actors/partition_state.h"
#include "protocol/metrics.h"

#include <stdarg.h>
#include <stdio.h>

errcode_t account_load(partition_t *self, const uuid16_t *customer, uint32_t program,
                       account_t *out, bool *found, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_account(key, self->config.number, customer, program);
    size_t n = 0;
    const uint8_t *cached = row_cache_get(self->config.cache, key, key_bytes, &n);

    if (cached != NULL) {
        metric_add(METRIC_ACCOUNT_CACHE_HITS, 1);
        *found = true;
        return account_decode(out, cached, n, err);
    }
    metric_add(METRIC_ACCOUNT_CACHE_MISSES, 1);
    buffer_reset(&self->row);
    errcode_t rc = partition_get(self, FAMILY_STATE, key, key_bytes, &self->row, found, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    row_cache_put(self->config.cache, key, key_bytes, self->row.bytes, self->row.size);
    return account_decode(out, self->row.bytes, self->row.size, err);
}

errcode_t account_load_by_id(partition_t *self, uint64_t id, account_t *out, bool *found,
                             err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uuid16_t customer;
    uint32_t program;

    buffer_reset(&self->row);
    errcode_t rc =
        partition_get(self, FAMILY_STATE, key, key_account_id(key, self->config.number, id),
                      &self->row, found, err);
    if (rc == ERR_NONE && *found)
        rc = account_place_decode(&customer, &program, self->row.bytes, self->row.size, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    rc = account_load(self, &customer, program, out, found, err);
    if (rc != ERR_NONE || (*found && out->id == id))
        return rc;
    /* Deleted, and its customer enrolled again: the old row moved aside. */
    buffer_reset(&self->row);
    rc = partition_get(self, FAMILY_STATE, key, key_retired(key, self->config.number, id),
                       &self->row, found, err);
    return rc == ERR_NONE && *found ? account_decode(out, self->row.bytes, self->row.size, err)
                                    : rc;
}

void account_save(partition_t *self, account_t *account)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint8_t probe_key[BATCH_KEY_BYTES_MAX];

    account->version++;
    account->updated_us = self->now_us;
    buffer_reset(&self->value);
    account_encode(account, &self->value);
    size_t key_bytes = key_account(key, self->config.number, &account->customer, account->program);
    /* A transfer's reply may come for an account whose row has moved aside. */
    if (account->deleted) {
        bool found = false;
        buffer_reset(&self->row);
        size_t probe = key_retired(probe_key, self->config.number, account->id);
        if (partition_get(self, FAMILY_STATE, probe_key, probe, &self->row, &found, NULL) ==
                ERR_NONE &&
            found) {
            partition_put(self, FAMILY_STATE, probe_key, probe, &self->value);
            return;
        }
    }
    partition_put(self, FAMILY_STATE, key, key_bytes, &self->value);
}

/* ---- refusals ---- */

bool refused(const result_t *result)
{
    return result->status >= 400;
}

void refuse(partition_t *self, result_t *result, errcode_t code, const char *format, ...)
{
    const err_info_t *info = err_info(code);
    char sentence[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (!refused(result)) {
        result->status = (uint16_t)info->http;
        result->code = text_of(info->name);
        buffer_reset(&self->text);
    } else {
        buffer_byte(&self->text, '\n');
    }
    buffer_text(&self->text, sentence);
    result->error = (text_t){(const char *)self->text.bytes, self->text.size};
}

/* ---- keys (R-2.5 to) ---- */

static bool is_kept(const result_t *result)
{
    /* what the actor decided, successes and business refusals; malformed input, 404 and 409 run again. */
    return result->status == 200 || result->status == 201 ||
           (result->status == 400 &&
            (result->renderer == RENDER_REFUSAL_1 || result->renderer == RENDER_DETAIL_1));
}

void key_store(partition_t *self, const command_t *command, const account_t *account,
               const result_t *result, uint64_t pending_transfer)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    key_row_t row = {.state = pending_transfer != 0 ? KEY_PENDING : KEY_FINAL,
                     .operation = command->operation,
                     .body_hash = command->body_hash,
                     .account = account->id,
                     .recorded_us = self->now_us,
                     .transfer = pending_transfer};
    bool by_key = command->key.n > 0;
    bool by_reference =
        command->reference.n > 0 && pending_transfer == 0 && account->id != 0 &&
        (!refused(result) || result->renderer == RENDER_REFUSAL_1) &&
        (!refused(result) || (result->code.n == 4 && memcmp(result->code.bytes, "zero", 4) == 0));

    if (pending_transfer == 0 && !is_kept(result))
        return;
    if (!by_key && !by_reference)
        return;
    buffer_reset(&self->blob);
    if (pending_transfer == 0)
        result_encode(result, &self->blob);
    row.result = (text_t){(const char *)self->blob.bytes, self->blob.size};
    buffer_reset(&self->value);
    key_row_encode(&row, &self->value);
    if (by_key)
        partition_put(self, FAMILY_KEY, key,
                      key_idempotency(key, self->config.number, &account->customer,
                                      command->operation, &command->key_hash),
                      &self->value);
    if (by_reference) {
        hash_t hash = hash_bytes(command->reference.bytes, command->reference.n);
        partition_put(
            self, FAMILY_KEY, key,
            key_reference(key, self->config.number, account->id, command->operation, &hash),
            &self->value);
    }
}
