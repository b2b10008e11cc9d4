/* resources.c - the routes of the ledger's resources, and definitions (programs, tiers) by their tables
 *
 * Definitions are read from the node's catalogue and written by the catalogue's partition.
 */
#include "http/resources.h"

#include "actors/definitions.h"
#include "http/call.h"
#include "protocol/calendar.h"
#include "protocol/decimal.h"
#include "protocol/schema.h"

#include <inttypes.h>
#include <stdlib.h>

#define DEFINITION_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define SCRATCH_BYTES_MAX    ((size_t)16 * 1024 * 1024)
#define FILTERS_MAX          8

static void serve_definitions(exchange_t *self);
static void serve_definition(exchange_t *self);
static void write_definition(exchange_t *self); /* create, replace and change */
static void delete_definition(exchange_t *self);
static bool read_wait(exchange_t *self, command_t *command);

#define BASE "/api/loyalty/v1/"
#define CRUD(path, permission, table, list, create, get, change, remove)                          \
    {METHOD_GET, BASE path "/", list, permission ".view", 0, 0, FAMILY_RESOURCE, table},          \
        {METHOD_POST, BASE path "/", create, permission ".create", 0, 0, FAMILY_RESOURCE, table}, \
        {METHOD_GET, BASE path "/{id}/", get, permission ".view", 0, 0, FAMILY_RESOURCE, table},  \
        {METHOD_PUT, BASE path "/{id}/", change, permission ".update", 0,                         \
         0,          FAMILY_RESOURCE,    table},                                                  \
        {METHOD_PATCH, BASE path "/{id}/", change, permission ".update", 0, 0, FAMILY_RESOURCE,   \
         table},                                                                                  \
    {                                                                                             \
        METHOD_DELETE, BASE path "/{id}/", remove, permission ".delete", 0, 0, FAMILY_RESOURCE,   \
            table                                                                                 \
    }
#define ACTION(method, path, handler, permission, table)                     \
    {                                                                        \
        method, BASE path, handler, permission, 0, 0, FAMILY_RESOURCE, table \
    }

const route_t resource_routes[] = {
    CRUD("loyaltyPrograms", "program", &schema_programs, serve_definitions, write_definition,
         serve_definition, write_definition, delete_definition),
    CRUD("loyaltyTiers", "tier", &schema_tiers, serve_definitions, write_definition,
         serve_definition, write_definition, delete_definition),
    CRUD("loyaltyAccounts", "account", &schema_accounts, serve_accounts, create_account,
         serve_account, change_account, delete_account),
    ACTION(METHOD_GET, "loyaltyAccounts/customer/{customer_id}/", serve_accounts_of_customer,
           "account.view", &schema_accounts),
    ACTION(METHOD_GET, "loyaltyAccounts/{id}/tier_progress/", serve_tier_progress, "account.view",
           &schema_accounts),
    ACTION(METHOD_POST, "loyaltyAccounts/{id}/set-status/", set_account_status,
           "account.set_status", &schema_accounts),
    CRUD("loyaltyTransactions", "transaction", &schema_transactions, serve_transactions,
         create_transaction, serve_transaction, change_transaction, delete_transaction),
    ACTION(METHOD_GET, "loyaltyTransactions/customer/{customer_id}/",
           serve_transactions_of_customer, "transaction.view", &schema_transactions),
};
const size_t resource_route_count = COUNT_OF(resource_routes);

/* --- lists of definitions --- */

typedef struct {
    const schema_field_t *field;
    bool flag;
    uint64_t id;
    text_t text;
} filter_t;

/* false: the error is written. */
static bool read_filters(exchange_t *self, const schema_table_t *table, filter_t *out,
                         size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < table->count; i++) {
        const schema_field_t *field = &table->fields[i];
        filter_t filter = {.field = field};
        filter_state_t state = FILTER_NONE;
        if (!(field->flags & SCHEMA_FILTER))
            continue;
        INVARIANT(*count < FILTERS_MAX);
        if (field->type == SCHEMA_BOOL)
            state = resource_filter_bool(self, field->name, &filter.flag);
        else if (field->type == SCHEMA_FOREIGN)
            state = resource_filter_id(self, field->name, UINT64_MAX, &filter.id);
        else if (exchange_parameter(self, field->name, &filter.text))
            state = FILTER_SET;
        if (state == FILTER_WRONG)
            return false;
        /* What nothing can have is a filter like any other here: id 0 does not exist. */
        if (state != FILTER_NONE)
            out[(*count)++] = filter;
    }
    return true;
}

static bool passes(const json_t *object, const filter_t *filters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const filter_t *filter = &filters[i];
        const json_t *value = json_member(object, filter->field->name);
        bool good = value != NULL;
        if (good && filter->field->type == SCHEMA_BOOL)
            good = (value->type == JSON_TRUE) == filter->flag;
        else if (good && filter->field->type == SCHEMA_FOREIGN)
            good = filter->id != 0 &&
                   (uint64_t)resource_number(object, filter->field->name) == filter->id;
        else if (good)
            good = value->type == JSON_STRING && value->text_bytes == filter->text.n &&
                   memcmp(value->text, filter->text.bytes, filter->text.n) == 0;
        if (!good)
            return false;
    }
    return true;
}

static bool found_by(const schema_table_t *table, const json_t *object, text_t search)
{
    for (size_t i = 0; i < table->count; i++) {
        if (!(table->fields[i].flags & SCHEMA_SEARCH))
            continue;
        text_t value = resource_text(object, table->fields[i].name);
        if (value.n > 0 && list_contains(value, search))
            return true;
    }
    return false;
}

/* Wire form of one definition; false when it is gone. */
static bool append_definition(exchange_t *self, uint8_t resource, uint32_t id, buffer_t *out,
                              uint64_t *version)
{
    const catalogue_t *catalogue = router_catalogue(self->router);
    const tier_t *tiers[DEFINITIONS_TIERS_MAX];
    text_t texts[DEFINITIONS_TIERS_MAX];
    size_t starts[DEFINITIONS_TIERS_MAX + 1];
    size_t count = 0;
    buffer_t stored;
    arena_t scratch;
    uint64_t ignored;
    err_t err;

    buffer_init(&stored, DEFINITION_BYTES_MAX);
    arena_init(&scratch, SCRATCH_BYTES_MAX);
    bool found = catalogue_json(catalogue, CATALOGUE_NEWEST, resource, id, &stored, version);
    size_t own = stored.size;
    if (found && resource == RESOURCE_PROGRAM) {
        size_t known =
            catalogue_tiers(catalogue, CATALOGUE_NEWEST, id, tiers, DEFINITIONS_TIERS_MAX);
        for (size_t i = 0; i < known; i++) {
            starts[count] = stored.size;
            if (catalogue_json(catalogue, CATALOGUE_NEWEST, RESOURCE_TIER, tiers[i]->id, &stored,
                               &ignored))
                count++;
        }
        starts[count] = stored.size;
        for (size_t i = 0; i < count; i++)
            texts[i] = (text_t){(const char *)stored.bytes + starts[i], starts[i + 1] - starts[i]};
    }
    if (found)
        found = !stored.failed &&
                definitions_render(resource, (text_t){(const char *)stored.bytes, own}, texts,
                                   count, &scratch, out, &err) == ERR_NONE;
    arena_free(&scratch);
    buffer_free(&stored);
    return found;
}

/* Rows of a list in their order; the caller frees *rows. false: the error is written. */
static bool sorted_definitions(exchange_t *self, const schema_table_t *table, list_row_t **rows,
                               size_t *count)
{
    const catalogue_t *catalogue = router_catalogue(self->router);
    list_term_t terms[LIST_TERMS_MAX];
    filter_t filters[FILTERS_MAX];
    text_t ordering = {"", 0};
    text_t search = {"", 0};
    size_t filter_count;
    arena_t keys, scratch;
    buffer_t stored;
    uint64_t version;

    *rows = NULL;
    *count = 0;
    if (!read_filters(self, table, filters, &filter_count))
        return false;
    (void)exchange_parameter(self, "search", &search);
    (void)exchange_parameter(self, "ordering", &ordering);
    size_t term_count = list_order_parse(table, ordering, terms);
    if (term_count == 0)
        term_count = list_order_parse(
            table, text_of(table->resource == SCHEMA_TIER ? "priority,min_points" : "-id"), terms);
    size_t known = catalogue_ids(catalogue, CATALOGUE_NEWEST, table->resource, NULL, 0);
    uint32_t *ids = memory_alloc((known + 1) * sizeof *ids);
    size_t listed = catalogue_ids(catalogue, CATALOGUE_NEWEST, table->resource, ids, known);
    if (listed < known)
        known = listed;
    *rows = memory_alloc((known + 1) * sizeof **rows);
    arena_init(&keys, DEFINITION_BYTES_MAX * 8);
    arena_init(&scratch, SCRATCH_BYTES_MAX);
    buffer_init(&stored, DEFINITION_BYTES_MAX);
    for (size_t i = 0; i < known; i++) {
        json_t *object;
        arena_reset(&scratch);
        buffer_reset(&stored);
        if (!catalogue_json(catalogue, CATALOGUE_NEWEST, table->resource, ids[i], &stored,
                            &version))
            continue; /* deleted since */
        if (json_parse(&object, &scratch, (const char *)stored.bytes, stored.size, NULL) !=
                ERR_NONE ||
            !passes(object, filters, filter_count) ||
            (search.n > 0 && !found_by(table, object, search)))
            continue;
        list_row_t *row = &(*rows)[(*count)++];
        *row = (list_row_t){.id = ids[i]};
        for (size_t k = 0; k < term_count; k++)
            row->keys[k] =
                list_key(terms[k].field, json_member(object, terms[k].field->name), &keys);
    }
    list_sort(*rows, *count, terms, term_count);
    buffer_free(&stored);
    arena_free(&scratch);
    arena_free(&keys); /* the order stands; the keys are not looked at again */
    free(ids);
    return true;
}

static void serve_definitions(exchange_t *self)
{
    const schema_table_t *table = self->route->context;
    list_row_t *rows = NULL;
    list_range_t range;
    list_page_t page;
    uint64_t version;
    size_t count;
    bool first = true;

    if (!resource_page(self, &page) || !sorted_definitions(self, table, &rows, &count))
        return;
    if (!list_range(&page, count, true, &range)) {
        exchange_detail(self, 404, "Invalid page.");
        free(rows);
        return;
    }
    self->status = 200;
    list_open(&self->out, self->base_url, self->path, self->query, &range, false);
    for (uint32_t i = 0; i < range.count; i++) {
        size_t start = self->out.size;
        if (!first)
            buffer_byte(&self->out, ',');
        if (append_definition(self, table->resource, (uint32_t)rows[range.offset + i].id,
                              &self->out, &version))
            first = false;
        else
            self->out.size = start; /* deleted since */
    }
    list_close(&self->out);
    free(rows);
    if (self->out.failed)
        exchange_detail(self, 400,
                        "The rows of this page are too large together; ask for a smaller page.");
}

/* --- one definition --- */

static void serve_definition(exchange_t *self)
{
    const schema_table_t *table = self->route->context;
    uint64_t id, version = 0;

    if (!resource_id(self, UINT32_MAX, &id))
        return;
    if (!append_definition(self, table->resource, (uint32_t)id, &self->out, &version)) {
        exchange_detail(self, 404, "Not found.");
        return;
    }
    self->status = 200;
    resource_etag(self, version);
}

static void write_definition(exchange_t *self)
{
    const schema_table_t *table = self->route->context;
    command_t command = {
        .kind = COMMAND_DEFINE, .operation = OPERATION_DEFINE, .resource = table->resource};
    uint64_t id = 0;

    if (self->method != METHOD_POST && !resource_id(self, UINT32_MAX, &id))
        return;
    if (!read_wait(self, &command) ||
        resource_check(self, table, resource_mode(self), &command.body) == NULL)
        return;
    command.id = (uint32_t)id;
    if (self->method == METHOD_POST) {
        json_canonical_t rules = schema_canonical(table, self->arena);
        if (!exchange_idempotency(self, self->body, &rules, &command))
            return;
    } else if (!resource_if_match(self, &command)) {
        return;
    }
    resource_send(self, &command, router_catalogue_partition(self->router));
}

static void delete_definition(exchange_t *self)
{
    const schema_table_t *table = self->route->context;
    command_t command = {.kind = COMMAND_UNDEFINE, .resource = table->resource};
    uint64_t id;

    if (!resource_id(self, UINT32_MAX, &id) || !read_wait(self, &command) ||
        !resource_if_match(self, &command))
        return;
    command.id = (uint32_t)id;
    resource_send(self, &command, router_catalogue_partition(self->router));
}

/* false: the error is written. */
static bool read_wait(exchange_t *self, command_t *command)
{
    text_t text;

    if (!exchange_parameter(self, "wait", &text))
        return true;
    if (text.n != 3 || memcmp(text.bytes, "all", 3) != 0) {
        resource_fault(self, "wait",
                       "Only \"all\" can be waited for: every partition has the definition.");
        return false;
    }
    command->set |= SET_WAIT_ALL;
    return true;
}

/* --- shared by all resources --- */

schema_mode_t resource_mode(const exchange_t *self)
{
    return self->method == METHOD_POST  ? SCHEMA_CREATE
           : self->method == METHOD_PUT ? SCHEMA_REPLACE
                                        : SCHEMA_UPDATE;
}

bool resource_id(exchange_t *self, uint64_t max, uint64_t *out)
{
    text_t text = self->params[0];

    *out = 0;
    for (size_t i = 0; i < text.n && i < 19; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            *out = 0;
            break;
        }
        *out = *out * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    if (text.n == 0 || text.n > 18 || *out == 0 || *out > max) {
        exchange_detail(self, 404, "Not found.");
        return false;
    }
    return true;
}

bool resource_if_match(exchange_t *self, command_t *command)
{
    text_t text = self->if_match;
    uint64_t version = 0;
    bool good = text.n > 2 && text.n <= 21 && text.bytes[0] == '"' && text.bytes[text.n - 1] == '"';

    if (text.n == 0 || (text.n == 1 && text.bytes[0] == '*'))
        return true;
    for (size_t i = 1; good && i + 1 < text.n; i++) {
        good = text.bytes[i] >= '0' && text.bytes[i] <= '9';
        version = version * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    if (!good || version == 0) { /* 0 would mean: whatever it is */
        err_t err;
        err_set(&err, ERR_PRECONDITION, NULL);
        exchange_error(self, &err);
        return false;
    }
    command->if_match = version;
    return true;
}

void resource_etag(exchange_t *self, uint64_t version)
{
    buffer_printf(&self->headers, "ETag: \"%" PRIu64 "\"\r\n", version);
}

void resource_errors(exchange_t *self, const schema_errors_t *errors)
{
    call_reset_answer(call_of(self));
    self->status = 400;
    schema_errors_write(errors, &self->out);
}

void resource_fault(exchange_t *self, const char *field, const char *message)
{
    const field_error_t error = {field, message};

    exchange_fields(self, &error, 1);
}

static bool is_defined(void *state, uint8_t resource, uint64_t id)
{
    const exchange_t *self = state;
    const catalogue_t *catalogue = router_catalogue(self->router);

    if (id > UINT32_MAX)
        return false;
    if (resource == SCHEMA_PROGRAM)
        return catalogue_program(catalogue, CATALOGUE_NEWEST, (uint32_t)id) != NULL;
    if (resource == SCHEMA_TIER)
        return catalogue_tier(catalogue, CATALOGUE_NEWEST, (uint32_t)id) != NULL;
    return true;
}

/* Accounts are known to their partitions only, which look for themselves. */
static bool is_there(void *state, uint8_t resource, uint64_t id)
{
    return resource >= 64 || is_defined(state, resource, id);
}

const json_t *resource_check(exchange_t *self, const schema_table_t *table, schema_mode_t mode,
                             text_t *text)
{
    const schema_check_t check = {
        .table = table, .mode = mode, .lookup = is_there, .state = self, .arena = self->arena};
    schema_errors_t errors;
    json_t *normal = NULL;
    buffer_t wire;
    err_t err;

    /* Escapes make a byte six at most. */
    buffer_init(&wire, DEFINITION_BYTES_MAX);
    if (!schema_check(&check, self->body, &wire, &errors)) {
        resource_errors(self, &errors);
    } else {
        const char *copy = arena_copy(self->arena, (const char *)wire.bytes, wire.size);
        errcode_t rc = copy == NULL ? err_set(&err, ERR_TOO_LARGE, NULL)
                                    : json_parse(&normal, self->arena, copy, wire.size, &err);
        if (rc != ERR_NONE) {
            normal = NULL;
            exchange_error(self, &err);
        } else if (text != NULL) {
            *text = (text_t){copy, wire.size};
        }
    }
    buffer_free(&wire);
    return normal;
}

bool resource_page(exchange_t *self, list_page_t *out)
{
    text_t page = {"", 0};
    text_t size = {"", 0};

    (void)exchange_parameter(self, "page", &page);
    (void)exchange_parameter(self, "page_size", &size);
    if (list_page_parse(page, size, out))
        return true;
    exchange_detail(self, 404, "Invalid page.");
    return false;
}

void resource_send(exchange_t *self, command_t *command, uint16_t partition)
{
    result_t result;

    if (exchange_command(self, command, partition, &result))
        exchange_result(self, &result);
}

bool resource_row(exchange_t *self, uint16_t partition, const query_t *query, text_t *row)
{
    buffer_t bytes;
    answer_t answer;
    err_t err;

    buffer_init(&bytes, SCRATCH_BYTES_MAX);
    errcode_t rc = exchange_query(self, partition, query, &bytes, &err);
    if (rc == ERR_NONE)
        rc = answer_decode(&answer, bytes.bytes, bytes.size, &err);
    if (rc == ERR_NONE && answer.row_count == 0)
        rc = err_set(&err, ERR_NOT_FOUND, NULL);
    if (rc == ERR_NONE) {
        const void *found = NULL;
        row->n = unpack_blob(&answer.rows, &found);
        row->bytes = answer.rows.failed ? NULL : arena_copy(self->arena, found, row->n);
        if (row->bytes == NULL)
            rc = err_set(&err, ERR_CORRUPT, "a row of an answer cannot be read");
    }
    buffer_free(&bytes);
    if (rc == ERR_NOT_FOUND)
        exchange_detail(self, 404, "Not found.");
    else if (rc != ERR_NONE)
        error_outcome(self, &err, partition, (text_t){NULL, 0});
    return rc == ERR_NONE;
}

bool resource_has(const json_t *object, const char *name)
{
    return json_member(object, name) != NULL;
}

int64_t resource_number(const json_t *object, const char *name)
{
    const json_t *value = json_member(object, name);
    decimal_t number;

    if (value == NULL || value->type != JSON_NUMBER ||
        decimal_parse(&number, value->text, value->text_bytes, 18, 0, true, NULL) != ERR_NONE)
        return 0;
    return (int64_t)number.value;
}

text_t resource_text(const json_t *object, const char *name)
{
    const json_t *value = json_member(object, name);

    return value != NULL && value->type == JSON_STRING ? (text_t){value->text, value->text_bytes}
                                                       : (text_t){"", 0};
}

uuid16_t resource_uuid(const json_t *object, const char *name)
{
    text_t text = resource_text(object, name);
    uuid16_t uuid = {{0}};

    if (text.n > 0)
        INVARIANT(uuid_parse(&uuid, text.bytes, text.n)); /* the check wrote it */
    return uuid;
}

/* --- filters --- */

filter_state_t resource_filter_id(exchange_t *self, const char *name, uint64_t max, uint64_t *out)
{
    decimal_t number;
    text_t text;

    *out = 0;
    if (!exchange_parameter(self, name, &text))
        return FILTER_NONE;
    errcode_t rc = decimal_parse(&number, text.bytes, text.n, 38, 0, false, NULL);
    if (rc == ERR_INVALID || (rc != ERR_NONE && memchr(text.bytes, '.', text.n) != NULL)) {
        resource_fault(self, name, "A valid integer is required.");
        return FILTER_WRONG;
    }
    if (rc != ERR_NONE || number.value <= 0 || number.value > (int128_t)ID_MAX ||
        (uint64_t)number.value > max)
        return FILTER_NOTHING;
    *out = (uint64_t)number.value;
    return FILTER_SET;
}

filter_state_t resource_filter_bool(exchange_t *self, const char *name, bool *out)
{
    static const schema_field_t field = {.name = "filter", .type = SCHEMA_BOOL};
    filter_state_t state = FILTER_SET;
    buffer_t wire;
    text_t text;

    if (!exchange_parameter(self, name, &text))
        return FILTER_NONE;
    buffer_init(&wire, 64);
    const char *fault = schema_check_text(&field, text.bytes, text.n, self->arena, &wire);
    if (fault != NULL) {
        resource_fault(self, name, fault);
        state = FILTER_WRONG;
    } else {
        *out = wire.bytes[0] == 't';
    }
    buffer_free(&wire);
    return state;
}

filter_state_t resource_filter_uuid(exchange_t *self, const char *name, uuid16_t *out)
{
    text_t text;

    if (!exchange_parameter(self, name, &text))
        return FILTER_NONE;
    if (uuid_parse(out, text.bytes, text.n))
        return FILTER_SET;
    resource_fault(self, name, "Must be a valid UUID.");
    return FILTER_WRONG;
}

filter_state_t resource_filter_time(exchange_t *self, const char *name, int64_t *out_us)
{
    text_t text;

    if (!exchange_parameter(self, name, &text))
        return FILTER_NONE;
    if (instant_parse(out_us, text.bytes, text.n, true, NULL) == ERR_NONE)
        return FILTER_SET;
    /* "+02:00" that was not escaped arrives with a blank. */
    char *copy = text.n > 6 && text.bytes[text.n - 6] == ' '
                     ? arena_copy(self->arena, text.bytes, text.n)
                     : NULL;
    if (copy != NULL) {
        copy[text.n - 6] = '+';
        if (instant_parse(out_us, copy, text.n, true, NULL) == ERR_NONE)
            return FILTER_SET;
    }
    resource_fault(self, name, "Enter a valid date/time.");
    return FILTER_WRONG;
}
