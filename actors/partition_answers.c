/* partition_answers.c - look-up of keys and references */
#include "actors/partition_answers.h"

#include "protocol/metrics.h"

static errcode_t replay(partition_t *self, const command_t *command, errcode_t conflict,
                        result_t *result, err_t *err)
{
    key_row_t row;
    errcode_t rc = key_row_decode(&row, self->keys_row.bytes, self->keys_row.size, err);
    if (rc != ERR_NONE)
        return rc;
    if (!hash_equal(&row.body_hash, &command->body_hash)) {
        result->renderer = RENDER_DETAIL_1;
        refuse(self, result, conflict, "%s", err_info(conflict)->text);
        return ERR_NONE;
    }
    metric_add(METRIC_REPLAYS, 1);
    if (row.state == KEY_PENDING) {
        *result = (result_t){.transfer = row.transfer};
        return ERR_NONE;
    }
    rc = result_decode(result, row.result.bytes, row.result.n, err);
    result->replayed = 1;
    return rc;
}

errcode_t answer_known(partition_t *self, const command_t *command, const uuid16_t *customer,
                       uint64_t account, result_t *result, bool *known, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    errcode_t rc = ERR_NONE;

    *known = false;
    if (command->key.n > 0) {
        buffer_reset(&self->keys_row);
        rc = partition_get(self, FAMILY_KEY, key,
                           key_idempotency(key, self->config.number, customer, command->operation,
                                           &command->key_hash),
                           &self->keys_row, known, err);
        if (rc != ERR_NONE || *known)
            return rc != ERR_NONE ? rc : replay(self, command, ERR_CONFLICT, result, err);
    }
    if (command->reference.n > 0 && account != 0) {
        hash_t hash = hash_bytes(command->reference.bytes, command->reference.n);
        buffer_reset(&self->keys_row);
        rc = partition_get(
            self, FAMILY_KEY, key,
            key_reference(key, self->config.number, account, command->operation, &hash),
            &self->keys_row, known, err);
        if (rc != ERR_NONE || *known)
            return rc != ERR_NONE ? rc : replay(self, command, ERR_DUPLICATE, result, err);
    }
    return rc;
}
