/* transactions.c - /loyaltyTransactions/ (api-resources 2.4) */
#include "http/gather.h"
#include "http/resources.h"

#include "protocol/schema_value.h"

#include <inttypes.h>

#define TEXT_NOT_ABOVE_ZERO "Ensure this value is greater than 0."
#define TEXT_ZERO           "An adjustment must not be zero."

/* --- lists --- */

static bool filter_account(exchange_t *self, gather_t *list)
{
    filter_state_t state = resource_filter_id(self, "account", ID_MAX, &list->query.account);

    if (state == FILTER_WRONG)
        return false;
    list->nothing |= state == FILTER_NOTHING;
    if (state == FILTER_SET) {
        list->query.set |= QUERY_BY_ACCOUNT;
        list->single = true;
        list->partition = router_partition_of_id(self->router, list->query.account);
    }
    return true;
}

/* With an account too, both must hold: the account's partition compares. */
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
        uint16_t partition = router_partition_of_customer(self->router, &customer);
        list->nothing |=
            (list->query.set & QUERY_BY_CUSTOMER) && !uuid_equal(&customer, &list->query.customer);
        list->nothing |= list->single && list->partition != partition;
        list->query.set |= QUERY_BY_CUSTOMER;
        list->query.customer = customer;
        list->single = true;
        list->partition = partition;
    }
    return true;
}

static bool filter_program_and_type(exchange_t *self, gather_t *list)
{
    uint64_t program = 0;
    text_t text;
    filter_state_t state = resource_filter_id(self, "program", UINT32_MAX, &program);

    if (state == FILTER_WRONG)
        return false;
    if (state != FILTER_NONE) {
        list->nothing |= state == FILTER_NOTHING ||
                         catalogue_program(router_catalogue(self->router), CATALOGUE_NEWEST,
                                           (uint32_t)program) == NULL;
        list->query.set |= QUERY_BY_PROGRAM;
        list->query.program = (uint32_t)program;
    }
    if (exchange_parameter(self, "transaction_type", &text)) {
        list->query.set |= QUERY_BY_TYPE;
        list->nothing |= !entry_type_parse(text.bytes, text.n, &list->query.entry_type);
    }
    return true;
}

/* A bound at zero does not travel (it would mean: none), so it moves to the next microsecond of the same effect. */
static bool filter_time(exchange_t *self, gather_t *list)
{
    int64_t from_us = 0;
    int64_t until_us = 0;
    filter_state_t from = resource_filter_time(self, "created_after", &from_us);
    filter_state_t until = from == FILTER_WRONG
                               ? FILTER_WRONG
                               : resource_filter_time(self, "created_before", &until_us);

    if (until == FILTER_WRONG)
        return false;
    if (from == FILTER_SET) {
        list->query.set |= QUERY_BY_TIME;
        list->query.from_us = from_us == 0 ? -1 : from_us;
    }
    if (until == FILTER_SET) {
        list->query.set |= QUERY_BY_TIME;
        list->query.until_us = until_us == 0 ? -1 : until_us;
    }
    list->nothing |= from == FILTER_SET && until == FILTER_SET && from_us >= until_us;
    return true;
}

void serve_transactions(exchange_t *self)
{
    gather_t list = {.exchange = self,
                     .table = &schema_transactions,
                     .query = {.kind = QUERY_ENTRIES},
                     .search = {"", 0},
                     .ordering = {"", 0}};
    bool deleted = false;

    if (!resource_page(self, &list.page) || !filter_account(self, &list) ||
        !filter_customer(self, &list) || !filter_program_and_type(self, &list) ||
        !filter_time(self, &list) ||
        resource_filter_bool(self, "include_deleted", &deleted) == FILTER_WRONG)
        return;
    if (deleted)
        list.query.set |= QUERY_DELETED;
    (void)exchange_parameter(self, "ordering", &list.ordering);
    (void)exchange_parameter(self, "search", &list.search);
    gather_answer(&list);
}

void serve_transactions_of_customer(exchange_t *self)
{
    gather_t list = {.exchange = self,
                     .table = &schema_transactions,
                     .query = {.kind = QUERY_ENTRIES},
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

/* --- one entry --- */

/* The entry of an id, with the row's bytes in the arena; hidden ones are not there. */
static bool load_entry(exchange_t *self, uint64_t id, entry_t *entry)
{
    query_t query = {.kind = QUERY_ENTRY, .entry = id};
    text_t row;
    err_t err;

    if (!resource_row(self, router_partition_of_id(self->router, id), &query, &row))
        return false;
    if (entry_decode(entry, row.bytes, row.n, &err) != ERR_NONE) {
        exchange_error(self, &err);
        return false;
    }
    if (entry->hidden || entry->id != id ||
        catalogue_program(router_catalogue(self->router), CATALOGUE_NEWEST, entry->program) ==
            NULL) {
        exchange_detail(self, 404, "Not found.");
        return false;
    }
    return true;
}

void serve_transaction(exchange_t *self)
{
    uint64_t id;
    entry_t entry;

    if (!resource_id(self, ID_MAX, &id) || !load_entry(self, id, &entry))
        return;
    self->status = 200;
    resource_etag(self, entry.version);
    render_entry(&entry, &self->out);
}

/* JSON of a member as text in the arena. */
static bool member_json(exchange_t *self, const json_t *body, const char *name, text_t *out)
{
    const json_t *value = json_member(body, name);
    buffer_t wire;
    err_t err;

    if (value == NULL)
        return true;
    buffer_init(&wire, SCHEMA_VALUE_BYTES_MAX + 1);
    json_write(&wire, value);
    const char *copy =
        wire.failed ? NULL : arena_copy(self->arena, (const char *)wire.bytes, wire.size);
    *out = (text_t){copy, wire.size};
    buffer_free(&wire);
    if (copy != NULL)
        return true;
    err_set(&err, ERR_TOO_LARGE, NULL);
    exchange_error(self, &err);
    return false;
}

/* Members that create and change have in common. false: the error is written. */
static bool take_members(exchange_t *self, const json_t *body, command_t *command)
{
    text_t type = resource_text(body, "transaction_type");

    if (resource_has(body, "amount")) {
        command->set |= SET_AMOUNT;
        command->points = resource_number(body, "amount");
        if (command->points == 0) { /* good for no type */
            resource_fault(self, "amount",
                           type.n == 6 && memcmp(type.bytes, "adjust", 6) == 0
                               ? TEXT_ZERO
                               : TEXT_NOT_ABOVE_ZERO);
            return false;
        }
    }
    if (type.n > 0) {
        command->set |= SET_TYPE;
        INVARIANT(entry_type_parse(type.bytes, type.n, &command->entry_type));
    }
    if (resource_has(body, "description")) {
        command->set |= SET_DESCRIPTION;
        command->description = resource_text(body, "description");
    }
    if (resource_has(body, "metadata"))
        command->set |= SET_METADATA;
    return member_json(self, body, "metadata", &command->metadata);
}

void create_transaction(exchange_t *self)
{
    command_t command = {.kind = COMMAND_POST_ENTRY, .operation = OPERATION_ENTRY};
    json_canonical_t rules = schema_canonical(&schema_transactions, self->arena);
    const json_t *body = resource_check(self, &schema_transactions, SCHEMA_CREATE, NULL);
    result_t result;

    if (body == NULL || !take_members(self, body, &command))
        return;
    if (command.entry_type != ENTRY_EARN && command.entry_type != ENTRY_REDEEM &&
        command.entry_type != ENTRY_ADJUST) {
        resource_fault(self, "transaction_type",
                       schema_message(self->arena, "\"%s\" is not a valid choice.",
                                      entry_type_name(command.entry_type)));
        return;
    }
    if (command.points < 0 && command.entry_type != ENTRY_ADJUST) {
        resource_fault(self, "amount", TEXT_NOT_ABOVE_ZERO);
        return;
    }
    if (command.entry_type == ENTRY_ADJUST && !exchange_may(self, "account.adjust")) {
        exchange_detail(self, 403,
                        "The permission account.adjust is needed to post an adjustment.");
        return;
    }
    if (!exchange_idempotency(self, self->body, &rules, &command))
        return;
    command.account = (uint64_t)resource_number(body, "account");
    command.reference = resource_text(body, "reference");
    if (exchange_command(self, &command, router_partition_of_id(self->router, command.account),
                         &result)) {
        exchange_result(self, &result);
    } else if (self->status == 404) { /* the path exists: it is the account that does not */
        resource_fault(self, "account",
                       schema_message(self->arena,
                                      "Invalid pk \"%" PRIu64 "\" - object does not exist.",
                                      command.account));
    }
}

/* An adjustment is changed, or made of another entry, only by who may post one. false: the error is written. */
static bool may_change(exchange_t *self, const command_t *command)
{
    entry_t entry;

    if (!(command->set & (SET_AMOUNT | SET_TYPE)) || exchange_may(self, "account.adjust"))
        return true;
    if (!load_entry(self, command->entry, &entry))
        return false;
    uint8_t type = (command->set & SET_TYPE) ? command->entry_type : entry.type;
    points_t amount = (command->set & SET_AMOUNT) ? command->points : entry.amount;
    if ((type == entry.type && amount == entry.amount) ||
        (type != ENTRY_ADJUST && entry.type != ENTRY_ADJUST))
        return true;
    exchange_detail(self, 403, "The permission account.adjust is needed to change an adjustment.");
    return false;
}

void change_transaction(exchange_t *self)
{
    command_t command = {.kind = COMMAND_EDIT_ENTRY};
    const json_t *body;

    if (!resource_id(self, ID_MAX, &command.entry))
        return;
    body = resource_check(self, &schema_transactions, resource_mode(self), NULL);
    if (body == NULL || !take_members(self, body, &command) || !resource_if_match(self, &command) ||
        !may_change(self, &command))
        return;
    if (resource_has(body, "account")) { /* must be the one it has */
        command.set |= SET_ACCOUNT;
        command.to_account = (uint64_t)resource_number(body, "account");
    }
    resource_send(self, &command, router_partition_of_id(self->router, command.entry));
}

void delete_transaction(exchange_t *self)
{
    command_t command = {.kind = COMMAND_DELETE_ENTRY};

    if (!resource_id(self, ID_MAX, &command.entry) || !resource_if_match(self, &command))
        return;
    resource_send(self, &command, router_partition_of_id(self->router, command.entry));
}
