/* schema.c - checks a body against the table of its resource; all faults at once, wire form out
 *
 * Texts are those that clients of the existing API know (api-resources 1.3).
 */
#include "protocol/schema.h"

#include "protocol/schema_value.h"

#define WHOLE_BODY    "non_field_errors"
#define TEXT_REQUIRED "This field is required."

/* One object being checked: the body itself, or one element of a nested list. */
typedef struct {
    const schema_check_t *check;
    const schema_table_t *table;
    schema_errors_t *errors;
    buffer_t *out;
    const char *outer; /* name of the nested field, NULL at the top */
    int32_t index;
    bool first; /* no member written yet */
} walk_t;

static void walk_object(walk_t *self, const json_t *body, schema_mode_t mode);
static void walk_nested(walk_t *self, const schema_field_t *field, const json_t *value);
static void walk_later(walk_t *self, const schema_field_t *field, const char *spelling,
                       const json_t *value);

bool schema_check(const schema_check_t *check, const json_t *body, buffer_t *out,
                  schema_errors_t *errors)
{
    static const json_t empty = {.type = JSON_OBJECT};
    walk_t walk = {
        .check = check, .table = check->table, .errors = errors, .out = out, .index = -1};

    errors->count = 0;
    walk_object(&walk, body == NULL ? &empty : body, check->mode);
    if (out->failed && errors->count == 0)
        schema_errors_add(errors, WHOLE_BODY, SCHEMA_TEXT_NO_ROOM);
    return errors->count == 0;
}

const char *schema_check_text(const schema_field_t *field, const char *text, size_t bytes,
                              arena_t *arena, buffer_t *out)
{
    const schema_check_t check = {.mode = SCHEMA_UPDATE, .arena = arena};
    const json_t value = {.type = JSON_STRING, .text = text, .text_bytes = (uint32_t)bytes};

    if (bytes > SCHEMA_VALUE_BYTES_MAX)
        return SCHEMA_TEXT_NO_ROOM;
    return schema_value_check(&check, field, &value, out);
}

const schema_field_t *schema_field(const schema_table_t *table, const char *name, size_t bytes)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *candidate = table->fields[i].name;
        if (strlen(candidate) == bytes && memcmp(candidate, name, bytes) == 0)
            return &table->fields[i];
    }
    return NULL;
}

json_canonical_t schema_canonical(const schema_table_t *table, arena_t *arena)
{
    static const char *const skip[] = {"idempotency_key", NULL};
    json_canonical_t rules = {.skip = skip};
    size_t alias_count = 0;
    size_t numeric_count = 0;

    for (size_t i = 0; i < table->count; i++)
        for (size_t k = 0; table->fields[i].aliases != NULL && table->fields[i].aliases[k] != NULL;
             k++)
            alias_count++;
    const char *(*alias)[2] = arena_alloc(arena, (alias_count + 1) * sizeof *alias);
    const char **numeric = arena_alloc(arena, (table->count + 1) * sizeof *numeric);
    if (alias == NULL || numeric == NULL)
        return rules; /* a full arena fails the request soon after */
    alias_count = 0;
    for (size_t i = 0; i < table->count; i++) {
        const schema_field_t *field = &table->fields[i];
        for (size_t k = 0; field->aliases != NULL && field->aliases[k] != NULL; k++) {
            alias[alias_count][0] = field->aliases[k];
            alias[alias_count++][1] = field->name;
        }
        if (field->type <= SCHEMA_DECIMAL || field->type == SCHEMA_FOREIGN)
            numeric[numeric_count++] = field->name;
    }
    alias[alias_count][0] = NULL;
    alias[alias_count][1] = NULL;
    numeric[numeric_count] = NULL;
    rules.alias = (const char *const(*)[2])alias;
    rules.numeric = numeric;
    return rules;
}

/* --- errors --- */

static void add_error(schema_errors_t *self, const char *field, int32_t index, const char *member,
                      const char *message)
{
    if (self->count < SCHEMA_ERRORS_MAX)
        self->items[self->count++] = (schema_error_t){field, index, member, message};
}

void schema_errors_add(schema_errors_t *self, const char *field, const char *message)
{
    add_error(self, field, -1, NULL, message);
}

static void report(walk_t *self, const char *field, const char *member, const char *message)
{
    if (self->outer == NULL)
        add_error(self->errors, field, -1, member, message);
    else
        add_error(self->errors, self->outer, self->index, field, message);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Messages of one place, as a list of strings. */
static void write_messages(const schema_errors_t *self, const schema_error_t *place, buffer_t *out)
{
    bool first = true;

    buffer_byte(out, '[');
    for (uint32_t i = 0; i < self->count; i++) {
        const schema_error_t *item = &self->items[i];
        if (strcmp(item->field, place->field) != 0 || item->index != place->index ||
            !same(item->member, place->member))
            continue;
        if (!first)
            buffer_byte(out, ',');
        first = false;
        json_write_string(out, item->message, strlen(item->message));
    }
    buffer_byte(out, ']');
}

/* Members of one object inside a field: all entries of (field, index), each member once. */
static void write_members(const schema_errors_t *self, const char *field, int32_t index,
                          buffer_t *out)
{
    bool first = true;

    buffer_byte(out, '{');
    for (uint32_t i = 0; i < self->count; i++) {
        const schema_error_t *item = &self->items[i];
        bool seen = false;
        if (item->member == NULL || item->index != index || strcmp(item->field, field) != 0)
            continue;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = self->items[k].index == index && strcmp(self->items[k].field, field) == 0 &&
                   same(self->items[k].member, item->member);
        if (seen)
            continue;
        if (!first)
            buffer_byte(out, ',');
        first = false;
        json_write_string(out, item->member, strlen(item->member));
        buffer_byte(out, ':');
        write_messages(self, item, out);
    }
    buffer_byte(out, '}');
}

void schema_errors_write(const schema_errors_t *self, buffer_t *out)
{
    bool first = true;

    buffer_byte(out, '{');
    for (uint32_t i = 0; i < self->count; i++) {
        const schema_error_t *item = &self->items[i];
        int32_t last = -1;
        bool seen = false;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = strcmp(self->items[k].field, item->field) == 0;
        if (seen)
            continue;
        if (!first)
            buffer_byte(out, ',');
        first = false;
        json_write_string(out, item->field, strlen(item->field));
        buffer_byte(out, ':');
        for (uint32_t k = i; k < self->count; k++)
            if (strcmp(self->items[k].field, item->field) == 0 && self->items[k].index > last)
                last = self->items[k].index;
        if (last >= 0) { /* a list of objects, empty where nothing is wrong */
            buffer_byte(out, '[');
            for (int32_t k = 0; k <= last; k++) {
                if (k > 0)
                    buffer_byte(out, ',');
                write_members(self, item->field, k, out);
            }
            buffer_byte(out, ']');
        } else if (item->member != NULL) {
            write_members(self, item->field, -1, out);
        } else {
            write_messages(self, item, out);
        }
    }
    buffer_byte(out, '}');
}

/* --- objects --- */

static const json_t *find_member(const json_t *body, const schema_field_t *field,
                                 const char **spelling)
{
    const json_t *value = json_member(body, field->name);

    *spelling = field->name;
    for (size_t i = 0; value == NULL && field->aliases != NULL && field->aliases[i] != NULL; i++) {
        value = json_member(body, field->aliases[i]);
        if (value != NULL)
            *spelling = field->aliases[i];
    }
    return value;
}

static void write_name(walk_t *self, const char *name)
{
    if (!self->first)
        buffer_byte(self->out, ',');
    self->first = false;
    json_write_string(self->out, name, strlen(name));
    buffer_byte(self->out, ':');
}

static void walk_object(walk_t *self, const json_t *body, schema_mode_t mode)
{
    if (body->type != JSON_OBJECT) {
        report(self, WHOLE_BODY, NULL,
               schema_message(self->check->arena,
                              "Invalid data. Expected a dictionary, but got %s.",
                              json_type_name(body->type)));
        return;
    }
    self->first = true;
    buffer_byte(self->out, '{');
    if (self->outer != NULL) { /* elements of a nested list may name the row that they change */
        const json_t *id = json_member(body, "id");
        if (id != NULL && id->type != JSON_NULL) {
            static const schema_field_t id_field = {.name = "id", .type = SCHEMA_COUNT};
            write_name(self, "id");
            const char *fault = schema_value_check(self->check, &id_field, id, self->out);
            if (fault != NULL)
                report(self, "id", NULL, fault);
        }
    }
    for (size_t i = 0; i < self->table->count; i++) {
        const schema_field_t *field = &self->table->fields[i];
        const char *spelling;
        if ((field->flags & SCHEMA_READ_ONLY) ||
            ((field->flags & SCHEMA_PARENT) && self->outer != NULL))
            continue;
        const json_t *value = find_member(body, field, &spelling);
        if (value == NULL) {
            if ((field->flags & SCHEMA_REQUIRED) && mode != SCHEMA_UPDATE)
                report(self, field->name, NULL, TEXT_REQUIRED);
            continue;
        }
        if (field->flags & SCHEMA_LATER) {
            walk_later(self, field, spelling, value);
            continue;
        }
        if (field->type == SCHEMA_NESTED) {
            walk_nested(self, field, value);
            continue;
        }
        write_name(self, field->name);
        const char *fault = schema_value_check(self->check, field, value, self->out);
        if (fault != NULL)
            report(self, spelling, NULL, fault);
    }
    buffer_byte(self->out, '}');
}

static void walk_nested(walk_t *self, const schema_field_t *field, const json_t *value)
{
    int32_t index = 0;

    INVARIANT(self->outer == NULL); /* tables nest once */
    if (value->type == JSON_NULL) {
        report(self, field->name, NULL, SCHEMA_TEXT_NULL);
        return;
    }
    if (value->type != JSON_ARRAY) {
        report(self, field->name, WHOLE_BODY,
               schema_message(self->check->arena, "Expected a list of items but got type \"%s\".",
                              json_type_name(value->type)));
        return;
    }
    if (value->count > SCHEMA_NESTED_MAX) {
        report(self, field->name, WHOLE_BODY,
               schema_message(self->check->arena, "Ensure this list has no more than %d elements.",
                              SCHEMA_NESTED_MAX));
        return;
    }
    write_name(self, field->name);
    buffer_byte(self->out, '[');
    for (const json_t *child = value->child; child != NULL; child = child->next) {
        const json_t *id = json_member(child, "id");
        walk_t inner = {.check = self->check,
                        .table = field->nested,
                        .errors = self->errors,
                        .out = self->out,
                        .outer = field->name,
                        .index = index};
        if (index > 0)
            buffer_byte(self->out, ',');
        /* What is new as a whole has no rows yet that an id could mean. */
        bool known = self->check->mode != SCHEMA_CREATE && id != NULL && id->type != JSON_NULL;
        walk_object(&inner, child, known ? SCHEMA_UPDATE : SCHEMA_CREATE);
        index++;
    }
    buffer_byte(self->out, ']');
}

/* What belongs to an engine that is not there is refused by name: stored and not acted on, it would be a promise that
 * nobody keeps. */
static void walk_later(walk_t *self, const schema_field_t *field, const char *spelling,
                       const json_t *value)
{
    arena_t *arena = self->check->arena;
    const char *initial = field->initial == NULL ? "null" : field->initial;
    const char *fault = NULL;
    buffer_t wire;

    buffer_init(&wire, SCHEMA_VALUE_BYTES_MAX + 64);
    if (field->type == SCHEMA_JSON) {
        const json_t *inner = schema_value_unwrap(value, arena);
        if (inner->type == JSON_NULL && !(field->flags & SCHEMA_NULLABLE)) {
            fault = SCHEMA_TEXT_NULL;
        } else if (inner->type == JSON_OBJECT && inner->count > 0 && initial[0] == '{' &&
                   strcmp(field->name, "engine_settings") == 0) {
            /* api-resources 2.16: each key is named */
            for (const json_t *key = inner->child; key != NULL; key = key->next) {
                const char *name = arena_copy(arena, key->name, key->name_bytes);
                report(self, spelling, name == NULL ? "" : name,
                       "This part of the engine is not in this build.");
            }
            goto cleanup;
        } else if (inner->type != JSON_NULL &&
                   ((inner->type != JSON_OBJECT && inner->type != JSON_ARRAY) ||
                    inner->count > 0) &&
                   !(inner->type == JSON_STRING && inner->text_bytes == 0)) {
            fault = schema_message(
                arena, "This part of the engine is not in this build: only %s is accepted.",
                initial);
        }
    } else {
        fault = schema_value_check(self->check, field, value, &wire);
        if (fault == NULL &&
            (wire.size != strlen(initial) || memcmp(wire.bytes, initial, wire.size) != 0))
            fault = schema_message(
                arena, "This part of the engine is not in this build: only %s is accepted.",
                initial);
    }
    if (fault != NULL) {
        report(self, spelling, NULL, fault);
        goto cleanup;
    }
    write_name(self, field->name);
    buffer_text(self->out, initial);
cleanup:
    buffer_free(&wire);
}
