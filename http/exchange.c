/* exchange.c - what handlers do with a request: ask, send a command, answer */
#include "http/call.h"

#include "http/auth.h"
#include "http/form.h"

/* How much longer than the command's own deadline the asker waits: the shard answers what it
 * discards. */
#define GRACE_US 200000

void call_reset_answer(call_t *call)
{
    exchange_t *exchange = &call->exchange;

    buffer_reset(&exchange->out);
    buffer_reset(&exchange->headers);
    exchange->content_type = "application/json";
}

bool exchange_may(const exchange_t *self, const char *permission)
{
    if (self->superuser)
        return true;
    return self->user_row != NULL &&
           permission_held(self->user_row->permissions, text_of(permission));
}

bool exchange_parameter(exchange_t *self, const char *name, text_t *out)
{
    bool found;
    err_t err;

    /* What cannot be decoded is refused before the handler runs (server.c looks at the whole
     * query). */
    return query_parameter(out, &found, self->query, name, self->arena, &err) == ERR_NONE &&
           found && out->n > 0;
}

bool exchange_command(exchange_t *self, command_t *command, uint16_t partition, result_t *result)
{
    buffer_t *encoded = &call_of(self)->worker->scratch;
    request_t *request;
    waiter_t waiter;
    err_t err;
    bool answered = false;
    void *copy;

    command->actor = self->user;
    command->rights |= exchange_rights(self);
    command->deadline_us = self->deadline_us;
    buffer_reset(encoded);
    command_encode(command, encoded);
    INVARIANT(!encoded->failed); /* bodies are smaller than the buffer may be */

    request = request_new(partition, encoded->bytes, encoded->size, self->deadline_us);
    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    if (router_post(self->router, request, &err) != ERR_NONE) {
        error_outcome(self, &err, partition, command->key);
        goto cleanup;
    }
    if (!waiter_wait(&waiter, 1, self->deadline_us + GRACE_US - router_now_us(self->router))) {
        waiter_abandon(&waiter, request);
        err_set(&err, ERR_UNKNOWN_OUTCOME, NULL);
        error_outcome(self, &err, partition, command->key);
        goto cleanup;
    }
    if (request->err.code != ERR_NONE) {
        error_outcome(self, &request->err, partition, command->key);
        goto cleanup;
    }
    copy = arena_alloc(self->arena, request->result.size + 1);
    if (copy == NULL) {
        err_set(&err, ERR_INTERNAL, "no room for the result");
        exchange_error(self, &err);
        goto cleanup;
    }
    memcpy(copy, request->result.bytes, request->result.size);
    exchange_place(self, partition, &request->place);
    if (result_decode(result, copy, request->result.size, &err) != ERR_NONE) {
        exchange_error(self, &err);
        goto cleanup;
    }
    answered = true;

cleanup:
    request_release(request);
    return answered;
}

errcode_t exchange_query(exchange_t *self, uint16_t partition, const query_t *query,
                         buffer_t *answer, err_t *err)
{
    query_t question = *query;
    size_t before = answer->size;
    answer_t head;
    errcode_t rc;

    if (self->place_count > 0) {
        uint8_t *after = arena_alloc(self->arena, self->place_count * LOG_PLACE_BYTES);

        if (after == NULL)
            return err_set(err, ERR_TOO_LARGE, NULL);
        question.after = (text_t){(const char *)after, 0};
        for (size_t i = 0; i < self->place_count; i++) {
            if (self->places[i].partition != partition)
                continue;
            log_place_pack(&self->places[i].place, after + question.after.n);
            question.after.n += LOG_PLACE_BYTES;
        }
    }
    /* A log of the node's own is looked up only for who asks: its reads never go back anyway. */
    if (router_is_shared(self->router) || self->session)
        question.set |= QUERY_PLACE;
    rc = router_query_at(self->router, partition, self->level, &question, self->deadline_us, answer,
                         err);
    if (rc == ERR_NONE &&
        answer_decode(&head, answer->bytes + before, answer->size - before, NULL) == ERR_NONE)
        exchange_place(self, partition, &head.place);
    return rc;
}

void exchange_place(exchange_t *self, uint16_t partition, const log_place_t *place)
{
    if (partition != router_catalogue_partition(self->router) &&
        (self->route->flags & ROUTE_PUBLIC) == 0)
        self->place = (named_log_place_t){partition, *place};
}

void exchange_result(exchange_t *self, const result_t *result)
{
    call_reset_answer(call_of(self));
    self->status = result->status;
    render_result(result, self->route->family, router_catalogue(self->router), &self->out);
    if (result->renderer == RENDER_NONE)
        self->status = result->status != 0 ? result->status : 204;
    if (result->version != 0 && result->status < 300 &&
        (result->renderer == RENDER_ACCOUNT_1 || result->renderer == RENDER_ENTRY_1 ||
         result->renderer == RENDER_JSON_1))
        buffer_printf(&self->headers, "ETag: \"%llu\"\r\n", (unsigned long long)result->version);
    if (result->replayed != 0)
        buffer_text(&self->headers, "Idempotent-Replayed: true\r\n");
    if (result->status == 429 || result->status == 503)
        buffer_text(&self->headers, "Retry-After: 1\r\n");
}

uint32_t exchange_rights(const exchange_t *self)
{
    uint32_t rights = 0;

    if (exchange_may(self, "account.adjust"))
        rights |= RIGHT_ADJUST;
    if (exchange_may(self, "account.set_status"))
        rights |= RIGHT_SET_STATUS;
    return rights;
}
