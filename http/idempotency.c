/* idempotency.c - the key of a request and the hash of what it asks for */
#include "http/idempotency.h"

#include "http/call.h"
#include "http/form.h"

static const char *const no_key[] = {"idempotency_key", NULL};

errcode_t idempotency_read(command_t *command, const json_t *body, text_t header,
                           const json_canonical_t *rules, buffer_t *scratch, arena_t *arena,
                           err_t *err)
{
    const json_t *member = body != NULL ? json_member(body, "idempotency_key") : NULL;
    json_canonical_t all = rules != NULL ? *rules : (json_canonical_t){.skip = NULL};
    text_t key = header;

    if (member != NULL && member->type != JSON_NULL) {
        if (member->type != JSON_STRING)
            return err_field(err, ERR_INVALID, "idempotency_key", "a string is needed");
        if (header.bytes != NULL &&
            (header.n != member->text_bytes || memcmp(header.bytes, member->text, header.n) != 0))
            return err_field(err, ERR_INVALID, "idempotency_key",
                             "header and body name different keys");
        key = (text_t){member->text, member->text_bytes};
    }
    if (key.bytes != NULL && key.n == 0)
        return err_field(err, ERR_INVALID, "idempotency_key", "it may not be empty");
    if (key.n > IDEMPOTENCY_KEY_BYTES_MAX)
        return err_field(err, ERR_INVALID, "idempotency_key", "at most %d bytes",
                         IDEMPOTENCY_KEY_BYTES_MAX);
    if (key.bytes != NULL &&
        (!text_is_utf8(key.bytes, key.n) || memchr(key.bytes, '\0', key.n) != NULL))
        return err_field(err, ERR_INVALID, "idempotency_key", "UTF-8 without NUL is needed");
    command->key = key;
    if (key.n > 0)
        command->key_hash = hash_bytes(key.bytes, key.n);

    if (all.skip == NULL)
        all.skip = no_key;
    buffer_reset(scratch);
    if (body != NULL)
        json_write_canonical(scratch, body, &all, arena);
    if (scratch->failed)
        return err_set(err, ERR_TOO_LARGE, NULL);
    command->body_hash = hash_bytes(scratch->bytes, scratch->size);
    return ERR_NONE;
}

bool exchange_idempotency(exchange_t *self, const json_t *body, const json_canonical_t *rules,
                          command_t *command)
{
    err_t err;

    if (idempotency_read(command, body, self->idempotency_key, rules,
                         &call_of(self)->worker->scratch, self->arena, &err) == ERR_NONE)
        return true;
    exchange_error(self, &err);
    return false;
}
