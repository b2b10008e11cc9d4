/* definitions.c - programs, tiers and users: merge a patch, check what crosses fields and rows, list the changes
 *
 * The schema's check runs here once more, against what is defined at this moment: what HTTP saw may be older, and some
 * commands do not come over HTTP.
 */
#include "actors/definitions.h"

#include "actors/definitions_user.h"
#include "protocol/decimal.h"
#include "protocol/json.h"
#include "protocol/schema.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHANGES_BYTES_DEFAULT ((size_t)128 * 1024)
#define PERMISSION_BYTES_MAX  100
#define WHOLE_BODY            "non_field_errors"
#define TEXT_TIER_UNIQUE      "The fields program, name must make a unique set."

_Static_assert((int)SCHEMA_PROGRAM == (int)RESOURCE_PROGRAM, "one number for programs");
_Static_assert((int)SCHEMA_TIER == (int)RESOURCE_TIER, "one number for tiers");
_Static_assert((int)SCHEMA_USER == (int)RESOURCE_USER, "one number for users");

/* One command at work. */
typedef struct {
    const definitions_view_t *view;
    arena_t *arena;
    int64_t now_us;
    definitions_outcome_t *outcome;
    uint32_t capacity; /* of outcome->items */
    size_t bytes;      /* of JSON in them */
    err_t *err;
} work_t;

/* What order, names and the wire form of a program need of a tier. */
typedef struct {
    uint32_t id;
    text_t json;
    text_t name;
    int64_t priority, min_points;
} tier_view_t;

static errcode_t checked(work_t *self, const schema_table_t *table, schema_mode_t mode,
                         text_t patch, const json_t **out);
static errcode_t parse(work_t *self, text_t json, const json_t **out);
static errcode_t merge(work_t *self, const schema_table_t *table, uint32_t id, uint32_t program,
                       const json_t *patch, const json_t *stored, bool keep_updated, text_t *out);
static errcode_t add_change(work_t *self, uint8_t resource, uint32_t id, bool deleted, text_t json);
static errcode_t check_program(work_t *self, const json_t *object, const json_t *patch,
                               bool is_new);
static errcode_t check_tier(work_t *self, uint32_t id, const json_t *object, const json_t *stored);
static errcode_t list_tiers(work_t *self, uint32_t program, tier_view_t **out, size_t *count);
static errcode_t replace_tiers(work_t *self, uint32_t program, bool is_new, const json_t *list,
                               tier_view_t **out, size_t *count);
static errcode_t write_wire(work_t *self, uint8_t resource, text_t json, tier_view_t *tiers,
                            size_t count);

/* 0 when absent or null. */
static int64_t member_integer(const json_t *object, const char *name)
{
    const json_t *member = json_member(object, name);
    decimal_t number;

    if (member == NULL || member->type != JSON_NUMBER ||
        decimal_parse(&number, member->text, member->text_bytes, 18, 0, true, NULL) != ERR_NONE)
        return 0;
    return (int64_t)number.value;
}

static errcode_t no_room(work_t *self)
{
    return err_set(self->err, ERR_TOO_LARGE,
                   "the definition needs more memory than one command may use");
}

errcode_t definitions_define(const definitions_view_t *view, uint8_t resource, uint32_t id,
                             text_t patch, int64_t now_us, arena_t *arena,
                             definitions_outcome_t *outcome, err_t *err)
{
    work_t work = {.view = view, .arena = arena, .now_us = now_us, .outcome = outcome, .err = err};
    const schema_table_t *table = resource < RESOURCE__END ? schema_of(resource) : NULL;
    const json_t *members;
    const json_t *object;
    const json_t *stored = NULL;
    tier_view_t *tiers = NULL;
    size_t tier_count = 0;
    text_t text;
    errcode_t rc;

    *outcome = (definitions_outcome_t){0};
    if (table == NULL)
        return err_set(err, ERR_INVALID, "there is no definition of kind %u", (unsigned)resource);
    if (id != 0) {
        if (!view->json(view->state, resource, id, arena, &text))
            return err_set(err, ERR_NOT_FOUND, NULL);
        rc = parse(&work, text, &stored);
        if (rc != ERR_NONE)
            return rc;
    }
    rc = checked(&work, table, id == 0 ? SCHEMA_CREATE : SCHEMA_UPDATE, patch, &members);
    if (rc != ERR_NONE)
        return rc;
    outcome->id = id != 0 ? id : view->next_id(view->state, resource);
    rc = merge(&work, table, outcome->id, 0, members, stored, false, &text);
    if (rc == ERR_NONE)
        rc = parse(&work, text, &object);
    if (rc != ERR_NONE)
        return rc;
    if (resource == RESOURCE_PROGRAM)
        rc = check_program(&work, object, members, id == 0);
    else if (resource == RESOURCE_TIER)
        rc = check_tier(&work, id, object, stored);
    else
        rc = user_check(view, arena, id, object, stored, err);
    if (rc == ERR_NONE)
        rc = add_change(&work, resource, outcome->id, false, text);
    if (rc == ERR_NONE && resource == RESOURCE_PROGRAM) {
        const json_t *list = json_member(members, "tiers");
        if (list != NULL)
            rc = replace_tiers(&work, outcome->id, id == 0, list, &tiers, &tier_count);
        else if (id != 0)
            rc = list_tiers(&work, id, &tiers, &tier_count);
    }
    if (rc == ERR_NONE)
        rc = write_wire(&work, resource, text, tiers, tier_count);
    return rc;
}

errcode_t definitions_undefine(const definitions_view_t *view, uint8_t resource, uint32_t id,
                               arena_t *arena, definitions_outcome_t *outcome, err_t *err)
{
    work_t work = {.view = view, .arena = arena, .outcome = outcome, .err = err};
    const json_t *stored;
    text_t text;
    errcode_t rc;

    *outcome = (definitions_outcome_t){.id = id};
    if (resource == RESOURCE_NONE || resource >= RESOURCE__END)
        return err_set(err, ERR_INVALID, "there is no definition of kind %u", (unsigned)resource);
    if (id == 0 || !view->json(view->state, resource, id, arena, &text))
        return err_set(err, ERR_NOT_FOUND, NULL);
    if (resource == RESOURCE_USER) {
        rc = parse(&work, text, &stored);
        if (rc != ERR_NONE)
            return rc;
        if (member_true(stored, "is_active") && member_true(stored, "is_superuser"))
            rc = user_keep_superuser(view, arena, id, "deleted", err);
        if (rc != ERR_NONE)
            return rc;
    }
    /* The program first: a moment with the program but without its tiers would earn at the wrong rate. */
    rc = add_change(&work, resource, id, true, (text_t){"", 0});
    if (rc == ERR_NONE && resource == RESOURCE_PROGRAM) {
        size_t count = view->ids(view->state, RESOURCE_TIER, id, NULL, 0);
        uint32_t *ids = count == 0 ? NULL : arena_alloc(arena, count * sizeof *ids);
        if (count > 0 && ids == NULL)
            return no_room(&work);
        if (count > 0)
            INVARIANT(view->ids(view->state, RESOURCE_TIER, id, ids, count) == count);
        for (size_t i = 0; i < count && rc == ERR_NONE; i++)
            rc = add_change(&work, RESOURCE_TIER, ids[i], true, (text_t){"", 0});
    }
    return rc;
}

/* --- one object --- */

static errcode_t parse(work_t *self, text_t json, const json_t **out)
{
    json_t *root;

    *out = NULL;
    errcode_t rc = json_parse(&root, self->arena, json.bytes, json.n, self->err);
    if (rc == ERR_TOO_LARGE)
        return no_room(self);
    if (rc != ERR_NONE || root->type != JSON_OBJECT)
        return err_set(self->err, ERR_CORRUPT, "a stored definition is no JSON object");
    *out = root;
    return ERR_NONE;
}

static bool exists(void *state, uint8_t resource, uint64_t id)
{
    work_t *self = state;
    text_t text;

    return resource < RESOURCE__END && id > 0 && id <= UINT32_MAX &&
           self->view->json(self->view->state, resource, (uint32_t)id, self->arena, &text);
}

/* The patch in normal form, or the first thing that is wrong with it. */
static errcode_t checked(work_t *self, const schema_table_t *table, schema_mode_t mode,
                         text_t patch, const json_t **out)
{
    const schema_check_t check = {
        .table = table, .mode = mode, .lookup = exists, .state = self, .arena = self->arena};
    schema_errors_t *errors = arena_alloc(self->arena, sizeof *errors);
    const char *normal = NULL;
    json_t *body;
    buffer_t wire;
    errcode_t rc;

    *out = NULL;
    if (errors == NULL)
        return no_room(self);
    rc = json_parse(&body, self->arena, patch.bytes, patch.n, self->err);
    if (rc == ERR_TOO_LARGE)
        return no_room(self);
    if (rc != ERR_NONE)
        return rc;
    buffer_init(&wire, patch.n * 6 + 65536); /* escapes of one byte take up to six */
    if (!schema_check(&check, body, &wire, errors)) {
        const schema_error_t *first = &errors->items[0];
        if (first->index >= 0)
            rc = err_field(self->err, ERR_INVALID, first->field, "%" PRId32 ".%s: %s", first->index,
                           first->member, first->message);
        else if (first->member != NULL)
            rc = err_field(self->err, ERR_INVALID, first->field, "%s: %s", first->member,
                           first->message);
        else
            rc = err_field(self->err, ERR_INVALID, first->field, "%s", first->message);
    } else {
        normal = arena_copy(self->arena, (const char *)wire.bytes, wire.size);
        rc = normal == NULL ? no_room(self) : parse(self, (text_t){normal, wire.size}, out);
    }
    buffer_free(&wire);
    return rc;
}

static void write_member(buffer_t *out, const char *name, size_t bytes)
{
    buffer_byte(out, out->size == 0 ? '{' : ',');
    json_write_string(out, name, bytes);
    buffer_byte(out, ':');
}

/* Stored form: every field of the table in its order, then members that a later version of this program left. */
static errcode_t merge(work_t *self, const schema_table_t *table, uint32_t id, uint32_t program,
                       const json_t *patch, const json_t *stored, bool keep_updated, text_t *out)
{
    char now[INSTANT_TEXT_MAX];
    size_t now_bytes = instant_format(self->now_us, now);
    buffer_t wire;

    buffer_init(&wire, (size_t)4 * 1024 * 1024);
    for (size_t i = 0; i < table->count; i++) {
        const schema_field_t *field = &table->fields[i];
        const json_t *old = stored == NULL ? NULL : json_member(stored, field->name);
        const json_t *value = json_member(patch, field->name);
        if (field->type == SCHEMA_NESTED)
            continue;
        write_member(&wire, field->name, strlen(field->name));
        if (strcmp(field->name, "id") == 0)
            json_write_i64(&wire, id);
        else if (strcmp(field->name, "updated_at") == 0 && !(keep_updated && old != NULL))
            json_write_string(&wire, now, now_bytes);
        else if (program != 0 && (field->flags & SCHEMA_PARENT))
            json_write_i64(&wire, program);
        else if (value != NULL && !(field->flags & SCHEMA_READ_ONLY))
            json_write(&wire, value);
        else if (old != NULL)
            json_write(&wire, old);
        else if (strcmp(field->name, "created_at") == 0)
            json_write_string(&wire, now, now_bytes);
        else
            buffer_text(&wire, field->initial == NULL ? "null" : field->initial);
    }
    for (const json_t *old = stored == NULL ? NULL : stored->child; old != NULL; old = old->next) {
        if (schema_field(table, old->name, old->name_bytes) != NULL)
            continue;
        write_member(&wire, old->name, old->name_bytes);
        json_write(&wire, old);
    }
    buffer_byte(&wire, '}');
    const char *copy =
        wire.failed ? NULL : arena_copy(self->arena, (const char *)wire.bytes, wire.size);
    *out = (text_t){copy, wire.size};
    buffer_free(&wire);
    return copy == NULL ? no_room(self) : ERR_NONE;
}

static errcode_t add_change(work_t *self, uint8_t resource, uint32_t id, bool deleted, text_t json)
{
    definitions_outcome_t *outcome = self->outcome;
    size_t max =
        self->view->changes_bytes_max == 0 ? CHANGES_BYTES_DEFAULT : self->view->changes_bytes_max;

    self->bytes += json.n;
    if (self->bytes > max)
        return err_set(self->err, ERR_TOO_LARGE,
                       "the definition is too large: one change holds at most %zu bytes", max);
    if (outcome->count == self->capacity) {
        uint32_t capacity = self->capacity == 0 ? 4 : self->capacity * 4;
        definition_change_t *items = arena_alloc(self->arena, capacity * sizeof *items);
        if (items == NULL)
            return no_room(self);
        if (outcome->count > 0)
            memcpy(items, outcome->items, outcome->count * sizeof *items);
        outcome->items = items;
        self->capacity = capacity;
    }
    outcome->items[outcome->count++] = (definition_change_t){resource, id, deleted, json};
    return ERR_NONE;
}

/* --- rules that cross fields and rows --- */

static errcode_t check_program(work_t *self, const json_t *object, const json_t *patch, bool is_new)
{
    text_t start = member_text(object, "start_date");
    text_t end = member_text(object, "end_date");
    text_t currency = member_text(object, "currency");
    text_t zone_name = member_text(object, "time_zone");
    const json_t *burn_max = json_member(object, "burn_max");
    int64_t start_us, end_us;
    char name[65 * 4];
    const zone_t *zone;

    if (instant_parse(&start_us, start.bytes, start.n, false, NULL) != ERR_NONE ||
        instant_parse(&end_us, end.bytes, end.n, false, NULL) != ERR_NONE)
        return err_set(self->err, ERR_CORRUPT, "a stored program has no dates");
    if (end_us < start_us)
        return err_field(self->err, ERR_INVALID, "end_date",
                         "The end date must not be before the start date.");
    for (size_t i = 0; i < currency.n; i++) {
        char c = (char)(currency.bytes[i] | 0x20);
        if (c < 'a' || c > 'z')
            currency.n = 0;
    }
    if (currency.n != 3)
        return err_field(self->err, ERR_INVALID, "currency", "Three letters are needed.");
    if (burn_max != NULL && burn_max->type == JSON_NUMBER &&
        member_integer(object, "burn_max") < member_integer(object, "burn_min"))
        return err_field(self->err, ERR_INVALID, "burn_max", "It must not be below burn_min.");
    /* A zone that was good when it was set does not stand in the way of later changes. */
    if (is_new || json_member(patch, "time_zone") != NULL) {
        if (zone_name.n >= sizeof name)
            zone_name.n = sizeof name - 1;
        memcpy(name, zone_name.bytes, zone_name.n);
        name[zone_name.n] = '\0';
        if (zone_open(&zone, name, NULL) != ERR_NONE)
            return err_field(self->err, ERR_INVALID, "time_zone",
                             "There is no time zone of this name.");
    }
    return ERR_NONE;
}

static errcode_t read_tier(work_t *self, uint32_t id, text_t json, tier_view_t *out)
{
    const json_t *object;
    errcode_t rc = parse(self, json, &object);

    if (rc != ERR_NONE)
        return rc;
    *out = (tier_view_t){.id = id,
                         .json = json,
                         .name = member_text(object, "name"),
                         .priority = member_integer(object, "priority"),
                         .min_points = member_integer(object, "min_points")};
    return ERR_NONE;
}

/* All tiers of a program as they are stored now. */
static errcode_t list_tiers(work_t *self, uint32_t program, tier_view_t **out, size_t *count)
{
    const definitions_view_t *view = self->view;
    size_t known = view->ids(view->state, RESOURCE_TIER, program, NULL, 0);

    *out = NULL;
    *count = 0;
    if (known == 0)
        return ERR_NONE;
    uint32_t *ids = arena_alloc(self->arena, known * sizeof *ids);
    tier_view_t *tiers = arena_alloc(self->arena, known * sizeof *tiers);
    if (ids == NULL || tiers == NULL)
        return no_room(self);
    INVARIANT(view->ids(view->state, RESOURCE_TIER, program, ids, known) == known);
    for (size_t i = 0; i < known; i++) {
        text_t text;
        if (!view->json(view->state, RESOURCE_TIER, ids[i], self->arena, &text))
            return err_set(self->err, ERR_CORRUPT, "tier %" PRIu32 " is listed but not stored",
                           ids[i]);
        errcode_t rc = read_tier(self, ids[i], text, &tiers[i]);
        if (rc != ERR_NONE)
            return rc;
    }
    *out = tiers;
    *count = known;
    return ERR_NONE;
}

static errcode_t check_tier(work_t *self, uint32_t id, const json_t *object, const json_t *stored)
{
    int64_t program = member_integer(object, "program");
    text_t name = member_text(object, "name");
    tier_view_t *tiers;
    size_t count;

    /* Accounts of the old program would hold a tier of another one. */
    if (stored != NULL && program != member_integer(stored, "program"))
        return err_field(self->err, ERR_INVALID, "program", "A tier stays in its program.");
    errcode_t rc = list_tiers(self, (uint32_t)program, &tiers, &count);
    if (rc != ERR_NONE)
        return rc;
    for (size_t i = 0; i < count; i++)
        if (tiers[i].id != id && text_same(tiers[i].name, name))
            return err_field(self->err, ERR_INVALID, WHOLE_BODY, TEXT_TIER_UNIQUE);
    if (id == 0 && count >= DEFINITIONS_TIERS_MAX)
        return err_field(self->err, ERR_INVALID, WHOLE_BODY, "A program has at most %d tiers.",
                         DEFINITIONS_TIERS_MAX);
    return ERR_NONE;
}

static int by_name(const void *a, const void *b)
{
    text_t x = ((const tier_view_t *)a)->name;
    text_t y = ((const tier_view_t *)b)->name;
    size_t common = x.n < y.n ? x.n : y.n;
    int order = common == 0 ? 0 : memcmp(x.bytes, y.bytes, common);

    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

static int by_id(const void *a, const void *b)
{
    const tier_view_t *x = a;
    const tier_view_t *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* Nested tiers (2.1): the list is what the program has afterwards. */
static errcode_t replace_tiers(work_t *self, uint32_t program, bool is_new, const json_t *list,
                               tier_view_t **out, size_t *count)
{
    const definitions_view_t *view = self->view;
    uint32_t next_id = view->next_id(view->state, RESOURCE_TIER);
    tier_view_t *before = NULL;
    size_t before_count = 0;
    size_t made = 0;
    errcode_t rc = is_new ? ERR_NONE : list_tiers(self, program, &before, &before_count);

    *out = NULL;
    *count = 0;
    if (rc != ERR_NONE)
        return rc;
    size_t room = list->count == 0 ? 1 : list->count;
    tier_view_t *after = arena_alloc(self->arena, room * sizeof *after);
    tier_view_t *names = arena_alloc(self->arena, room * sizeof *names);
    bool *kept = arena_alloc(self->arena, before_count + 1);
    if (after == NULL || names == NULL || kept == NULL)
        return no_room(self);
    memset(kept, 0, before_count + 1);
    for (const json_t *element = list->child; element != NULL; element = element->next) {
        int64_t id = is_new ? 0 : member_integer(element, "id");
        const json_t *stored = NULL;
        const tier_view_t *old = NULL;
        bool changed = true;
        text_t text;
        if (json_member(element, "id") != NULL && !is_new) {
            tier_view_t wanted = {.id = (uint32_t)id};
            if (id > 0 && id <= UINT32_MAX && before_count > 0)
                old = bsearch(&wanted, before, before_count, sizeof *before, by_id);
            if (old == NULL || kept[old - before])
                return err_field(self->err, ERR_INVALID, "tiers",
                                 "Invalid pk \"%" PRId64 "\" - object does not exist.", id);
            kept[old - before] = true;
            rc = parse(self, old->json, &stored);
            if (rc == ERR_NONE)
                rc = merge(self, &schema_tiers, old->id, program, element, stored, true, &text);
            changed = rc == ERR_NONE && !text_same(text, old->json);
        }
        if (rc == ERR_NONE && changed)
            rc = merge(self, &schema_tiers, old != NULL ? old->id : next_id, program, element,
                       stored, false, &text);
        if (rc == ERR_NONE)
            rc = read_tier(self, old != NULL ? old->id : next_id, text, &after[made]);
        if (rc == ERR_NONE && changed)
            rc = add_change(self, RESOURCE_TIER, after[made].id, false, text);
        if (rc != ERR_NONE)
            return rc;
        if (old == NULL)
            next_id++;
        names[made] = after[made];
        made++;
    }
    qsort(names, made, sizeof *names, by_name);
    for (size_t i = 1; i < made; i++)
        if (text_same(names[i - 1].name, names[i].name))
            return err_field(self->err, ERR_INVALID, "tiers", TEXT_TIER_UNIQUE);
    for (size_t i = 0; i < before_count && rc == ERR_NONE; i++)
        if (!kept[i])
            rc = add_change(self, RESOURCE_TIER, before[i].id, true, (text_t){"", 0});
    *out = after;
    *count = made;
    return rc;
}

/* --- wire form --- */

static int by_display(const void *a, const void *b)
{
    const tier_view_t *x = a;
    const tier_view_t *y = b;

    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    if (x->min_points != y->min_points)
        return x->min_points < y->min_points ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static errcode_t write_wire(work_t *self, uint8_t resource, text_t json, tier_view_t *tiers,
                            size_t count)
{
    text_t *texts = arena_alloc(self->arena, (count + 1) * sizeof *texts);
    const char *copy = NULL;
    buffer_t wire;

    if (texts == NULL)
        return no_room(self);
    if (count > 0)
        qsort(tiers, count, sizeof *tiers, by_display);
    for (size_t i = 0; i < count; i++)
        texts[i] = tiers[i].json;
    buffer_init(&wire, (size_t)64 * 1024 * 1024);
    errcode_t rc = definitions_render(resource, json, texts, count, self->arena, &wire, self->err);
    if (rc == ERR_NONE) {
        copy = wire.failed ? NULL : arena_copy(self->arena, (const char *)wire.bytes, wire.size);
        self->outcome->wire = (text_t){copy, wire.size};
        rc = copy == NULL ? no_room(self) : ERR_NONE;
    }
    buffer_free(&wire);
    return rc;
}

errcode_t definitions_render(uint8_t resource, text_t json, const text_t *tiers, size_t tier_count,
                             arena_t *arena, buffer_t *out, err_t *err)
{
    if (json.n < 2 || json.bytes[0] != '{' || json.bytes[json.n - 1] != '}')
        return err_set(err, ERR_CORRUPT, "a stored definition is no JSON object");
    if (resource == RESOURCE_PROGRAM) {
        buffer_append(out, json.bytes, json.n - 1);
        buffer_text(out, json.n == 2 ? "\"tiers\":[" : ",\"tiers\":[");
        for (size_t i = 0; i < tier_count; i++) {
            if (i > 0)
                buffer_byte(out, ',');
            buffer_append(out, tiers[i].bytes, tiers[i].n);
        }
        buffer_text(out, "]}");
        return ERR_NONE;
    }
    if (resource == RESOURCE_USER) { /* never the password's hash */
        json_t *user;
        bool first = true;
        errcode_t rc = json_parse(&user, arena, json.bytes, json.n, err);
        if (rc != ERR_NONE)
            return rc == ERR_TOO_LARGE
                       ? rc
                       : err_set(err, ERR_CORRUPT, "a stored user is no JSON object");
        buffer_byte(out, '{');
        for (const json_t *member = user->child; member != NULL; member = member->next) {
            const schema_field_t *field =
                schema_field(&schema_users, member->name, member->name_bytes);
            if (field == NULL || (field->flags & SCHEMA_WRITE_ONLY))
                continue;
            if (!first)
                buffer_byte(out, ',');
            first = false;
            json_write_string(out, member->name, member->name_bytes);
            buffer_byte(out, ':');
            json_write(out, member);
        }
        buffer_byte(out, '}');
        return ERR_NONE;
    }
    buffer_append(out, json.bytes, json.n);
    return ERR_NONE;
}
