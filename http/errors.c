/* errors.c - error bodies: V, D, E, S and the fault shape (api-resources 1.5)
 *
 * The table in protocol/error.h says which shape a code has; the route's family says what that
 * shape looks like.
 */
#include "http/call.h"

#include "protocol/log.h"

#include <stdio.h>

static void detail_body(buffer_t *out, const char *text);
static void write_message(buffer_t *out, const err_t *err);
static text_t node_in(const char *text);
static void retry_after(exchange_t *self, int seconds);

void exchange_error(exchange_t *self, const err_t *err)
{
    call_reset_answer(call_of(self));
    self->status = error_body(err, self->route != NULL ? self->route->family : FAMILY_RESOURCE,
                              NULL, (text_t){NULL, 0}, self->request_id, &self->out);
    if (self->status == 401)
        buffer_text(&self->headers, "WWW-Authenticate: Token\r\n");
    if (self->status == 429 || self->status == 503)
        retry_after(self, 1);
}

void exchange_detail(exchange_t *self, int status, const char *detail)
{
    call_reset_answer(call_of(self));
    self->status = status;
    if (status == 500) {
        err_t err;

        err_set(&err, ERR_INTERNAL, NULL);
        (void)error_body(&err, FAMILY_RESOURCE, NULL, (text_t){NULL, 0}, self->request_id,
                         &self->out);
        return;
    }
    detail_body(&self->out, detail);
    buffer_byte(&self->out, '}');
    if (status == 401)
        buffer_text(&self->headers, "WWW-Authenticate: Token\r\n");
    if (status == 429 || status == 503)
        retry_after(self, 1);
}

void exchange_fields(exchange_t *self, const field_error_t *errors, size_t count)
{
    buffer_t *out = &self->out;

    call_reset_answer(call_of(self));
    self->status = 400;
    buffer_byte(out, '{');
    for (size_t i = 0; i < count; i++) {
        bool seen = false;

        /* Several messages of one field stand in one list, where the field came first. */
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(errors[j].field, errors[i].field) == 0;
        if (seen)
            continue;
        if (out->size > 1)
            buffer_byte(out, ',');
        json_write_string(out, errors[i].field, strlen(errors[i].field));
        buffer_text(out, ":[");
        for (size_t j = i; j < count; j++) {
            if (strcmp(errors[j].field, errors[i].field) != 0)
                continue;
            if (j > i)
                buffer_byte(out, ',');
            json_write_string(out, errors[j].message, strlen(errors[j].message));
        }
        buffer_byte(out, ']');
    }
    buffer_byte(out, '}');
}

void error_outcome(exchange_t *self, const err_t *err, uint16_t partition, text_t key)
{
    const char *node = "";

    if (err->code == ERR_UNREACHABLE || err->code == ERR_HALTED)
        node = router_owner_name(self->router, partition);
    call_reset_answer(call_of(self));
    self->status = error_body(err, self->route != NULL ? self->route->family : FAMILY_RESOURCE,
                              node, key, self->request_id, &self->out);
    if (self->status == 429 || self->status == 503)
        retry_after(self, 1);
}

int error_body(const err_t *err, route_family_t family, const char *node, text_t key,
               const char *request_id, buffer_t *out)
{
    const err_info_t *info = err_info(err->code);
    const char *text = err->text[0] != '\0' ? err->text : info->text;
    err_shape_t shape = info->shape;

    if (family == FAMILY_RESOURCE && shape == SHAPE_REFUSAL)
        shape = SHAPE_DETAIL;
    switch (shape) {
    case SHAPE_INPUT:
        if (family == FAMILY_SERVICE) {
            buffer_text(out, "{\"error\":");
            write_message(out, err);
            buffer_byte(out, '}');
        } else {
            const char *field = err->field[0] != '\0' ? err->field : "non_field_errors";

            buffer_byte(out, '{');
            json_write_string(out, field, strlen(field));
            buffer_text(out, ":[");
            json_write_string(out, text, strlen(text));
            buffer_text(out, "]}");
        }
        break;
    case SHAPE_REFUSAL:
        buffer_text(out, "{\"success\":false,\"error\":");
        json_write_string(out, text, strlen(text));
        buffer_text(out, ",\"errors\":[");
        json_write_string(out, text, strlen(text));
        buffer_text(out, "],\"code\":");
        json_write_string(out, info->name, strlen(info->name));
        buffer_text(out, ",\"metadata\":{}}");
        break;
    case SHAPE_FAULT:
        /* The cause is for the operator; the client gets the id to ask with. */
        log_write(LOG_ERROR, request_id, "%s", text);
        buffer_text(out, "{\"error\":\"internal error\",\"request_id\":");
        json_write_string(out, request_id, strlen(request_id));
        buffer_byte(out, '}');
        break;
    case SHAPE_NONE:
    case SHAPE_DETAIL:
        if (family == FAMILY_SERVICE && err->code == ERR_NOT_FOUND) {
            buffer_text(out, "{\"error\":");
            json_write_string(out, text, strlen(text));
            buffer_byte(out, '}');
            break;
        }
        detail_body(out, text);
        if (info->http == 409 || info->http == 412 || info->http >= 500 || info->http == 429 ||
            info->shape == SHAPE_REFUSAL) {
            buffer_text(out, ",\"code\":");
            json_write_string(out, info->name, strlen(info->name));
        }
        if (err->code == ERR_UNKNOWN_OUTCOME) {
            buffer_text(out, ",\"idempotency_key\":");
            if (key.n > 0)
                json_write_string(out, key.bytes, key.n);
            else
                buffer_text(out, "null");
        }
        if (info->http == 503) {
            text_t name = node != NULL && *node != '\0' ? text_of(node) : node_in(text);

            buffer_text(out, ",\"node\":");
            json_write_string(out, name.n > 0 ? name.bytes : "", name.n);
        }
        buffer_byte(out, '}');
        break;
    }
    return info->http;
}

/* The router names the node that is out of reach in its sentence ("node X ...", "the node at X
 * ..."): for questions that went to all of them, nobody else knows which one it was. */
static text_t node_in(const char *text)
{
    static const char *const before[] = {"node ", "the node at "};

    for (size_t i = 0; i < COUNT_OF(before); i++) {
        size_t n = strlen(before[i]);

        if (strncmp(text, before[i], n) == 0)
            return (text_t){text + n, strcspn(text + n, " ")};
    }
    return (text_t){NULL, 0};
}

/* Starts the object; the caller may add members and closes it. */
static void detail_body(buffer_t *out, const char *text)
{
    buffer_text(out, "{\"detail\":");
    json_write_string(out, text, strlen(text));
}

/* E has no place for the field but the sentence. */
static void write_message(buffer_t *out, const err_t *err)
{
    const char *text = err->text[0] != '\0' ? err->text : err_info(err->code)->text;
    char message[sizeof err->field + sizeof err->text + 4];
    int n = snprintf(message, sizeof message, "%s%s%s", err->field,
                     err->field[0] != '\0' ? ": " : "", text);

    INVARIANT(n >= 0);
    json_write_string(out, message, strlen(message));
}

static void retry_after(exchange_t *self, int seconds)
{
    buffer_printf(&self->headers, "Retry-After: %d\r\n", seconds);
}
