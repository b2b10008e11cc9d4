/* export_rows.c - a row becomes a list of named values, and the list a line of either format */
#include "node/export_rows.h"

#include "protocol/calendar.h"
#include "protocol/json.h"

#include <inttypes.h>
#include <stdio.h>

#define DEFINITION_MEMORY_MAX ((size_t)16 * 1024 * 1024)
#define TIERS_MAX             1000
#define VALUES_MAX            24
#define NUMBER_TEXT_MAX       24

typedef enum { VALUE_NULL, VALUE_NUMBER, VALUE_TEXT, VALUE_JSON } value_type_t;

typedef struct {
    const char *name;
    value_type_t type;
    text_t text;
    char memory[UUID_TEXT_BYTES + 1]; /* of numbers, instants and ids */
} value_t;

typedef struct {
    value_t values[VALUES_MAX];
    size_t count;
} line_t;

static const char *const account_names[] = {"type",
                                            "id",
                                            "customer_id",
                                            "program",
                                            "program_id",
                                            "tier",
                                            "status",
                                            "points",
                                            "in_transit",
                                            "lifetime_points_earned",
                                            "lifetime_points_redeemed",
                                            "created_at",
                                            "updated_at"};
static const char *const entry_names[] = {"type",
                                          "id",
                                          "account",
                                          "customer_id",
                                          "program",
                                          "program_id",
                                          "transaction_type",
                                          "amount",
                                          "delta",
                                          "balance_after",
                                          "created_at",
                                          "recorded_at",
                                          "expires_at",
                                          "hidden",
                                          "reference",
                                          "description",
                                          "metadata"};

static value_t *add(line_t *line, const char *const *names, value_type_t type)
{
    value_t *value = &line->values[line->count];

    INVARIANT(line->count < VALUES_MAX);
    value->name = names[line->count++];
    value->type = type;
    value->text = (text_t){"", 0};
    return value;
}

static void add_text(line_t *line, const char *const *names, text_t text)
{
    add(line, names, VALUE_TEXT)->text = text;
}

static void add_number(line_t *line, const char *const *names, int64_t number)
{
    value_t *value = add(line, names, VALUE_NUMBER);

    _Static_assert(sizeof value->memory >= NUMBER_TEXT_MAX, "a number fits");
    (void)snprintf(value->memory, sizeof value->memory, "%" PRId64, number);
    value->text = text_of(value->memory);
}

static void add_instant(line_t *line, const char *const *names, int64_t at_us)
{
    value_t *value = add(line, names, at_us == 0 ? VALUE_NULL : VALUE_TEXT);
    size_t n;

    _Static_assert(sizeof value->memory >= INSTANT_TEXT_MAX, "an instant fits");
    if (at_us == 0)
        return;
    n = instant_format(at_us, value->memory);
    value->text = (text_t){value->memory, n};
}

static void add_customer(line_t *line, const char *const *names, const uuid16_t *customer)
{
    value_t *value = add(line, names, VALUE_TEXT);

    uuid_format(customer, value->memory);
    value->text = text_of(value->memory);
}

static void add_program(line_t *line, const char *const *names, uint32_t id,
                        const catalogue_t *catalogue)
{
    const program_t *program = catalogue_program(catalogue, CATALOGUE_NEWEST, id);

    if (program == NULL)
        (void)add(line, names, VALUE_NULL);
    else
        add_text(line, names, text_of(program->name));
    add_number(line, names, id);
}

static void put_csv(buffer_t *out, text_t text)
{
    bool quoted = false;

    for (size_t i = 0; i < text.n && !quoted; i++)
        quoted = text.bytes[i] == ',' || text.bytes[i] == '"' || text.bytes[i] == '\n' ||
                 text.bytes[i] == '\r';
    if (!quoted) {
        buffer_append(out, text.bytes, text.n);
        return;
    }
    buffer_byte(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.bytes[i] == '"')
            buffer_byte(out, '"');
        buffer_byte(out, (uint8_t)text.bytes[i]);
    }
    buffer_byte(out, '"');
}

static void put_line(buffer_t *out, export_format_t format, const line_t *line)
{
    for (size_t i = 0; i < line->count; i++) {
        const value_t *value = &line->values[i];

        if (format == EXPORT_CSV) {
            if (i > 0)
                buffer_byte(out, ',');
            put_csv(out, value->text);
            continue;
        }
        buffer_byte(out, i == 0 ? '{' : ',');
        json_write_string(out, value->name, strlen(value->name));
        buffer_byte(out, ':');
        if (value->type == VALUE_NULL)
            buffer_text(out, "null");
        else if (value->type == VALUE_TEXT)
            json_write_string(out, value->text.bytes, value->text.n);
        else
            buffer_append(out, value->text.bytes, value->text.n);
    }
    buffer_text(out, format == EXPORT_CSV ? "\n" : "}\n");
}

static void put_header(buffer_t *out, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "%s%s", i > 0 ? "," : "", names[i]);
    buffer_byte(out, '\n');
}

void export_account_header(buffer_t *out)
{
    put_header(out, account_names, COUNT_OF(account_names));
}

void export_account(buffer_t *out, export_format_t format, const account_t *account,
                    const catalogue_t *catalogue)
{
    const tier_t *tier =
        account->tier != 0 ? catalogue_tier(catalogue, CATALOGUE_NEWEST, account->tier) : NULL;
    line_t line;

    line.count = 0;
    add_text(&line, account_names, text_of("account"));
    add_number(&line, account_names, (int64_t)account->id);
    add_customer(&line, account_names, &account->customer);
    add_program(&line, account_names, account->program, catalogue);
    if (tier == NULL)
        (void)add(&line, account_names, VALUE_NULL);
    else
        add_text(&line, account_names, text_of(tier->name));
    add_text(&line, account_names,
             text_of(account->deleted ? "deleted" : account_status_name(account->status)));
    add_number(&line, account_names, account->available);
    add_number(&line, account_names, account->in_transit);
    add_number(&line, account_names, account->earned);
    add_number(&line, account_names, account->redeemed);
    add_instant(&line, account_names, account->created_us);
    add_instant(&line, account_names, account->updated_us);
    put_line(out, format, &line);
}

void export_entry_header(buffer_t *out)
{
    put_header(out, entry_names, COUNT_OF(entry_names));
}

void export_entry(buffer_t *out, export_format_t format, const entry_t *entry,
                  const catalogue_t *catalogue)
{
    line_t line;

    line.count = 0;
    add_text(&line, entry_names, text_of("transaction"));
    add_number(&line, entry_names, (int64_t)entry->id);
    add_number(&line, entry_names, (int64_t)entry->account);
    add_customer(&line, entry_names, &entry->customer);
    add_program(&line, entry_names, entry->program, catalogue);
    add_text(&line, entry_names, text_of(entry_type_name(entry->type)));
    add_number(&line, entry_names, entry->amount);
    add_number(&line, entry_names, entry->delta);
    add_number(&line, entry_names, entry->balance_after);
    add_instant(&line, entry_names, entry->effective_us);
    add_instant(&line, entry_names, entry->recorded_us);
    add_instant(&line, entry_names, entry->expires_us);
    add(&line, entry_names, VALUE_JSON)->text = text_of(entry->hidden ? "true" : "false");
    add_text(&line, entry_names, entry->reference);
    add_text(&line, entry_names, entry->description);
    add(&line, entry_names, VALUE_JSON)->text =
        entry->metadata.n > 0 ? entry->metadata : text_of("{}");
    put_line(out, format, &line);
}

/* Members of a stored object but for those that only mean something in this store. */
static errcode_t put_members(buffer_t *out, uint8_t resource, uint32_t id,
                             const catalogue_t *catalogue, arena_t *arena, err_t *err)
{
    static const char *const own[] = {"id", "program", "created_at", "updated_at"};
    buffer_t stored;
    json_t *object = NULL;
    errcode_t rc = ERR_NONE;
    bool first = true;

    buffer_init(&stored, DEFINITION_MEMORY_MAX);
    if (!catalogue_json(catalogue, CATALOGUE_NEWEST, resource, id, &stored, NULL) || stored.failed)
        rc = err_set(err, ERR_CORRUPT, "definition %u cannot be read", id);
    if (rc == ERR_NONE)
        rc = json_parse(&object, arena, (const char *)stored.bytes, stored.size, err);
    for (const json_t *member = rc == ERR_NONE ? object->child : NULL; member != NULL;
         member = member->next) {
        bool skip = false;

        for (size_t i = 0; i < COUNT_OF(own); i++)
            skip = skip || (strlen(own[i]) == member->name_bytes &&
                            memcmp(own[i], member->name, member->name_bytes) == 0);
        if (skip)
            continue;
        if (!first)
            buffer_byte(out, ',');
        first = false;
        json_write_string(out, member->name, member->name_bytes);
        buffer_byte(out, ':');
        json_write(out, member);
    }
    buffer_free(&stored);
    return rc;
}

errcode_t export_program(buffer_t *out, uint32_t id, const catalogue_t *catalogue, err_t *err)
{
    const tier_t *tiers[TIERS_MAX];
    size_t count = catalogue_tiers(catalogue, CATALOGUE_NEWEST, id, tiers, TIERS_MAX);
    arena_t arena;
    errcode_t rc;

    arena_init(&arena, DEFINITION_MEMORY_MAX);
    buffer_text(out, "{\"type\":\"program\",");
    rc = put_members(out, RESOURCE_PROGRAM, id, catalogue, &arena, err);
    buffer_text(out, ",\"tiers\":[");
    for (size_t i = 0; i < count && i < TIERS_MAX && rc == ERR_NONE; i++) {
        arena_reset(&arena);
        buffer_text(out, i > 0 ? ",{" : "{");
        rc = put_members(out, RESOURCE_TIER, tiers[i]->id, catalogue, &arena, err);
        buffer_byte(out, '}');
    }
    buffer_text(out, "]}\n");
    arena_free(&arena);
    return rc;
}
