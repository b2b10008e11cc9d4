/* accounts.c - /loyaltyAccounts/ (api-resources 2.3) */
#include "http/gather.h"
#include "http/resources.h"

#include "actors/definitions.h"

#include <inttypes.h>

static const schema_field_t status_fields[] = {
    {.name = "status",
     .type = SCHEMA_ENUM,
     .flags = SCHEMA_REQUIRED,
     .choices = (const char *const[]){"active", "inactive", "suspended", "blocked", "dormant",
                                      "closed", NULL},
     .meaning = "Status that the account gets; inactive is the old name of suspended."},
    {.name = "reason", .type = SCHEMA_TEXT, .flags = SCHEMA_REQUIRED, .meaning = "Why."},
};
static const schema_table_t status_request = {.name = "account",
                                              .meaning = "A change of an account's status.",
                                              .resource = SCHEMA_ACCOUNT,
                                              .fields = status_fields,
                                              .count = COUNT_OF(status_fields)};

/* Program and tier of a query; what does not exist lets nothing through. */
static bool filter_definitions(exchange_t *self, gather_t *list)
{
    const catalogue_t *catalogue = router_catalogue(self->router);
    uint64_t id = 0;
    filter_state_t state = resource_filter_id(self, "program", UINT32_MAX, &id);

    if (state == FILTER_WRONG)
        return false;
    if (state != FILTER_NONE) {
        list->nothing |= state == FILTER_NOTHING ||
                         catalogue_program(catalogue, CATALOGUE_NEWEST, (uint32_t)id) == NULL;
        list->query.set |= QUERY_BY_PROGRAM;
        list->query.program = (uint32_t)id;
    }
    state = resource_filter_id(self, "tier", UINT32_MAX, &id);
    if (state == FILTER_WRONG)
        return false;
    if (state != FILTER_NONE) {
        list->nothing |= state == FILTER_NOTHING ||
                         catalogue_tier(catalogue, CATALOGUE_NEWEST, (uint32_t)id) == NULL;
        list->query.set |= QUERY_BY_TIER;
        list->query.tier = (uint32_t)id;
    }
    return true;
}

static bool filter_status(exchange_t *self, gather_t *list)
{
    text_t text;

    if (!exchange_parameter(self, "status", &text))
        return true;
    list->query.set |= QUERY_BY_STATUS;
    list->nothing |= !account_status_parse(text.bytes, text.n, &list->query.status);
    return true;
}

/* `customer` and `customer_id` are one filter. */
static bool filter_customer(exchange_t *self, gather_t *list)
{
    static const char *const names[] = {"customer_id", "customer"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        uuid16_t customer;
        filter_state_t state = resource_filter_uuid(self, names[i], &customer);
        if (state == FILTER_WRONG)
            return false;
        if (state != FILTER_SET)
            continue;
        list->nothing |= list->single && !uuid_equal(&customer, &list->query.customer);
        list->query.set |= QUERY_BY_CUSTOMER;
        list->query.customer = customer;
        list->single = true;
        list->partition = router_partition_of_customer(self->router, &customer);
    }
    return true;
}

void serve_accounts(exchange_t *self)
{
    gather_t list = {.exchange = self,
                     .table = &schema_accounts,
                     .query = {.kind = QUERY_ACCOUNTS},
                     .search = {"", 0},
                     .ordering = {"", 0}};

    if (!resource_page(self, &list.page) || !filter_definitions(self, &list) ||
        !filter_status(self, &list) || !filter_customer(self, &list))
        return;
    (void)exchange_parameter(self, "ordering", &list.ordering);
    gather_answer(&list);
}

void serve_accounts_of_customer(exchange_t *self)
{
    gather_t list = {.exchange = self,
                     .table = &schema_accounts,
                     .query = {.kind = QUERY_ACCOUNTS_OF},
                     .single = true,
                     .search = {"", 0},
                     .ordering = {"", 0}};

    if (!uuid_parse(&list.query.customer, self->params[0].bytes, self->params[0].n)) {
        resource_fault(self, "customer_id", "Must be a valid UUID.");
        return;
    }
    if (!resource_page(self, &list.page))
        return;
    list.query.set = QUERY_BY_CUSTOMER;
    list.partition = router_partition_of_customer(self->router, &list.query.customer);
    list.bare = !list.page.asked;
    gather_answer(&list);
}

/* The account of the path as it is now; deleted ones and those of deleted programs are not there. */
static bool load_account(exchange_t *self, account_t *account)
{
    query_t query = {.kind = QUERY_ACCOUNT};
    text_t row;
    err_t err;

    if (!resource_id(self, ID_MAX, &query.account))
        return false;
    if (!resource_row(self, router_partition_of_id(self->router, query.account), &query, &row))
        return false;
    if (account_decode(account, row.bytes, row.n, &err) != ERR_NONE) {
        exchange_error(self, &err);
        return false;
    }
    if (account->deleted || catalogue_program(router_catalogue(self->router), CATALOGUE_NEWEST,
                                              account->program) == NULL) {
        exchange_detail(self, 404, "Not found.");
        return false;
    }
    return true;
}

void serve_account(exchange_t *self)
{
    account_t account;

    if (!load_account(self, &account))
        return;
    self->status = 200;
    resource_etag(self, account.version);
    render_account(&account, router_catalogue(self->router), &self->out);
}

/* Members that create and change have in common. */
static void take_members(const json_t *body, command_t *command)
{
    text_t status = resource_text(body, "status");

    if (resource_has(body, "customer_id")) {
        command->set |= SET_CUSTOMER;
        command->customer = resource_uuid(body, "customer_id");
    }
    if (resource_has(body, "program")) {
        command->set |= SET_PROGRAM;
        command->program = (uint32_t)resource_number(body, "program");
    }
    if (resource_has(body, "tier")) {
        command->set |= SET_TIER;
        command->tier = (uint32_t)resource_number(body, "tier");
    }
    if (status.n > 0) {
        command->set |= SET_STATUS;
        INVARIANT(account_status_parse(status.bytes, status.n, &command->status));
    }
    if (resource_has(body, "points_balance")) {
        command->set |= SET_BALANCE;
        command->points = resource_number(body, "points_balance");
    }
}

void create_account(exchange_t *self)
{
    command_t command = {.kind = COMMAND_ENROL, .operation = OPERATION_ENROL};
    json_canonical_t rules = schema_canonical(&schema_accounts, self->arena);
    const json_t *body = resource_check(self, &schema_accounts, SCHEMA_CREATE, NULL);

    if (body == NULL || !exchange_idempotency(self, self->body, &rules, &command))
        return;
    take_members(body, &command);
    resource_send(self, &command, router_partition_of_customer(self->router, &command.customer));
}

void change_account(exchange_t *self)
{
    command_t command = {.kind = COMMAND_EDIT_ACCOUNT};
    const json_t *body;
    account_t account;

    if (!resource_id(self, ID_MAX, &command.account))
        return;
    body = resource_check(self, &schema_accounts, resource_mode(self), NULL);
    if (body == NULL || !resource_if_match(self, &command))
        return;
    take_members(body, &command);
    /* Without the right to change it, a status may be sent back as it is. Not sending it on keeps it so. */
    if ((command.set & SET_STATUS) && !exchange_may(self, "account.set_status")) {
        if (!load_account(self, &account))
            return;
        if (account.status != command.status) {
            exchange_detail(self, 403,
                            "The permission account.set_status is needed to change the status.");
            return;
        }
        command.set &= ~SET_STATUS;
        command.status = 0;
    }
    resource_send(self, &command, router_partition_of_id(self->router, command.account));
}

void delete_account(exchange_t *self)
{
    command_t command = {.kind = COMMAND_DELETE_ACCOUNT};

    if (!resource_id(self, ID_MAX, &command.account) || !resource_if_match(self, &command))
        return;
    resource_send(self, &command, router_partition_of_id(self->router, command.account));
}

void set_account_status(exchange_t *self)
{
    command_t command = {.kind = COMMAND_SET_STATUS, .operation = OPERATION_STATUS};
    json_canonical_t rules = schema_canonical(&status_request, self->arena);
    const json_t *body;
    text_t status;

    if (!resource_id(self, ID_MAX, &command.account))
        return;
    body = resource_check(self, &status_request, SCHEMA_CREATE, NULL);
    if (body == NULL || !exchange_idempotency(self, self->body, &rules, &command) ||
        !resource_if_match(self, &command))
        return;
    status = resource_text(body, "status");
    INVARIANT(account_status_parse(status.bytes, status.n, &command.status));
    command.set = SET_STATUS;
    command.description = resource_text(body, "reason");
    resource_send(self, &command, router_partition_of_id(self->router, command.account));
}

/* --- tier progress --- */

/* Same order as the engine: by threshold, then by priority. */
static bool is_better(const tier_t *tier, const tier_t *than)
{
    return than == NULL || tier->min_points > than->min_points ||
           (tier->min_points == than->min_points && tier->priority > than->priority);
}

static void write_tier(buffer_t *out, const char *name, const tier_t *tier)
{
    buffer_printf(out, "\"%s\":", name);
    if (tier == NULL) {
        buffer_text(out, "null,");
        return;
    }
    buffer_printf(out, "{\"id\":%" PRIu32 ",\"name\":", tier->id);
    json_write_string(out, tier->name, strlen(tier->name));
    buffer_printf(out, ",\"min_points\":%" PRId64 "},", tier->min_points);
}

/* Tenths of a percent, halves up. */
static int64_t permille(points_t part, points_t whole)
{
    if (part <= 0 || whole <= 0)
        return part > 0 ? 1000 : 0;
    return part >= whole ? 1000
                         : (int64_t)(((int128_t)part * 2000 + whole) / ((int128_t)whole * 2));
}

void serve_tier_progress(exchange_t *self)
{
    const catalogue_t *catalogue = router_catalogue(self->router);
    const tier_t *tiers[DEFINITIONS_TIERS_MAX];
    const tier_t *next = NULL;
    account_t account;

    if (!load_account(self, &account))
        return;
    points_t value = account.available;
    size_t count =
        catalogue_tiers(catalogue, CATALOGUE_NEWEST, account.program, tiers, DEFINITIONS_TIERS_MAX);
    const tier_t *current =
        account.tier == 0 ? NULL : catalogue_tier(catalogue, CATALOGUE_NEWEST, account.tier);
    const tier_t *reached = catalogue_tier_for(catalogue, CATALOGUE_NEWEST, account.program, value);
    /* A level that definitions opened since the last entry counts at once; falling waits for the engine. */
    if (reached != NULL && is_better(reached, current))
        current = reached;
    for (size_t i = 0; i < count; i++) {
        if (current != NULL && tiers[i]->min_points <= current->min_points)
            continue;
        if (next == NULL || tiers[i]->min_points < next->min_points ||
            (tiers[i]->min_points == next->min_points && tiers[i]->priority > next->priority))
            next = tiers[i];
    }
    points_t floor = current == NULL ? 0 : current->min_points;
    int64_t tenths = next == NULL ? (current == NULL ? 0 : 1000)
                                  : permille(value - floor, next->min_points - floor);
    points_t missing = next == NULL || next->min_points <= value ? 0 : next->min_points - value;
    self->status = 200;
    buffer_byte(&self->out, '{');
    write_tier(&self->out, "current_tier", current);
    write_tier(&self->out, "next_tier", next);
    buffer_printf(&self->out,
                  "\"progress_percentage\":%" PRId64 ".%" PRId64 ",\"points_to_next_tier\":%" PRId64
                  ",\"current_points\":%" PRId64,
                  tenths / 10, tenths % 10, missing, value);
    if (current != NULL)
        buffer_printf(&self->out, ",\"points_in_current_tier\":%" PRId64,
                      value > floor ? value - floor : 0);
    if (next != NULL)
        buffer_printf(&self->out, ",\"points_needed_for_next_tier\":%" PRId64,
                      next->min_points - floor);
    else
        buffer_text(&self->out, current == NULL ? ",\"message\":\"The program has no tiers.\""
                                                : ",\"message\":\"The highest tier is reached.\"");
    buffer_byte(&self->out, '}');
}
