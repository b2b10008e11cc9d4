/* points_command.c - strict reading of earn, burn, adjust and transfer bodies */
#include "http/points_command.h"

#include "protocol/calendar.h"
#include "protocol/decimal.h"

#include <stdio.h>

static const char *const skipped[] = {"idempotency_key", NULL};
static const char *const aliases[][2] = {{"reward_cost", "points"}, {NULL, NULL}};
static const char *const numeric[] = {
    "transaction_amount", "points",        "program_id", "account_id",
    "from_account_id",    "to_account_id", "reward_id",  NULL};

static const char *const skipped_in_line[] = {"idempotency_key", "operation", NULL};

const json_canonical_t points_canonical = {.skip = skipped, .alias = aliases, .numeric = numeric};
const json_canonical_t points_line_canonical = {
    .skip = skipped_in_line, .alias = aliases, .numeric = numeric};

static errcode_t read_earn(command_t *out, const json_t *body, arena_t *arena, err_t *err);
static errcode_t read_burn(command_t *out, const json_t *body, arena_t *arena, err_t *err);
static errcode_t read_transfer(command_t *out, const json_t *body, err_t *err);
static errcode_t read_amount(int128_t *out, const json_t *body, err_t *err);
static errcode_t read_context(command_t *out, const json_t *body, arena_t *arena, err_t *err);
static errcode_t read_texts(command_t *out, const json_t *from, err_t *err);
static errcode_t read_program(uint32_t *out, const json_t *body, bool required, err_t *err);
static errcode_t string_read(text_t *out, const json_t *body, const char *name, err_t *err);
static uint16_t partition_of(const party_t *party, router_t *router);

static const json_t *given_member(const json_t *body, const char *name)
{
    const json_t *member = json_member(body, name);

    return member != NULL && member->type != JSON_NULL ? member : NULL;
}

/* Members whose meaning would be lost if they were ignored like unknown ones: a dry run would post, a basket would earn
 * on the wrong amount. */
static errcode_t refuse_later(const json_t *body, err_t *err)
{
    static const char *const later[] = {"dry_run", "lines", "excluded"};

    for (size_t i = 0; i < COUNT_OF(later); i++) {
        const json_t *member = given_member(body, later[i]);
        if (member != NULL && member->type != JSON_FALSE)
            return err_field(err, ERR_INVALID, later[i],
                             "%s is not served by this version; leave it out", later[i]);
    }
    return ERR_NONE;
}

errcode_t points_command(command_t *out, uint16_t *partition, uint8_t operation, const json_t *body,
                         router_t *router, arena_t *arena, err_t *err)
{
    bool transfer = operation == OPERATION_TRANSFER;
    party_t party;
    bool given;
    errcode_t rc;

    *out = (command_t){.operation = operation};
    rc = refuse_later(body, err);
    if (rc != ERR_NONE)
        return rc;
    rc = party_read(&party, body, transfer ? PARTY_FROM : PARTY_SELF, err);
    if (rc != ERR_NONE)
        return rc;
    if (!party.found)
        return transfer
                   ? err_set(err, ERR_INVALID,
                             "from_customer_id with program_id, or from_account_id, is required")
                   : err_set(err, ERR_INVALID,
                             "customer_id with program_id, or account_id, is required");
    out->account = party.account;
    out->customer = party.customer;
    rc = read_program(&out->program, body, party.account == 0, err);
    if (rc != ERR_NONE)
        return rc;
    *partition = partition_of(&party, router);
    switch ((operation_t)operation) {
    case OPERATION_EARN: out->kind = COMMAND_EARN; return read_earn(out, body, arena, err);
    case OPERATION_BURN: out->kind = COMMAND_BURN; return read_burn(out, body, arena, err);
    case OPERATION_ADJUST:
        out->kind = COMMAND_ADJUST;
        rc = integer_read(&out->points, &given, body, "points", err);
        if (rc == ERR_NONE && !given)
            rc = err_field(err, ERR_INVALID, "points", "this field is required");
        if (rc == ERR_NONE && out->points == 0)
            rc = err_set(err, ERR_INVALID_AMOUNT, "points other than zero are needed");
        return rc == ERR_NONE ? read_texts(out, body, err) : rc;
    case OPERATION_TRANSFER: out->kind = COMMAND_TRANSFER; return read_transfer(out, body, err);
    case OPERATION_NONE:
    case OPERATION_ENROL:
    case OPERATION_ENTRY:
    case OPERATION_STATUS:
    case OPERATION_DEFINE: break;
    }
    return err_set(err, ERR_INVALID, "this operation is not one of earn, burn, transfer, adjust");
}

errcode_t party_read(party_t *out, const json_t *body, party_role_t role, err_t *err)
{
    static const char *const customer_names[] = {"customer_id", "from_customer_id",
                                                 "to_customer_id"};
    static const char *const account_names[] = {"account_id", "from_account_id", "to_account_id"};
    const char *customer_name = customer_names[role], *account_name = account_names[role];
    const json_t *customer;
    int64_t account;
    bool given;
    errcode_t rc;

    *out = (party_t){.found = false};
    rc = integer_read(&account, &given, body, account_name, err);
    if (rc != ERR_NONE)
        return rc;
    customer = given_member(body, customer_name);
    if (given && customer != NULL)
        return err_set(err, ERR_INVALID, "%s and %s: give one of them", account_name,
                       customer_name);
    if (given) {
        if (account < 1 || account > (int64_t)ID_MAX)
            return err_set(err, ERR_NOT_FOUND, "No such account.");
        *out = (party_t){.found = true, .account = (uint64_t)account};
    } else if (customer != NULL) {
        if (customer->type != JSON_STRING ||
            !uuid_parse(&out->customer, customer->text, customer->text_bytes) ||
            uuid_is_zero(&out->customer))
            return err_field(err, ERR_INVALID, customer_name, "Must be a valid UUID.");
        out->found = true;
    }
    return ERR_NONE;
}

errcode_t integer_read(int64_t *out, bool *given, const json_t *body, const char *name, err_t *err)
{
    const json_t *member = given_member(body, name);
    decimal_t value;

    *given = member != NULL;
    *out = 0;
    if (member == NULL)
        return ERR_NONE;
    /* 5, 5.0, 5e0 and "5": the value must be whole; a string has no exponent. */
    if ((member->type != JSON_NUMBER && member->type != JSON_STRING) ||
        decimal_parse(&value, member->text, member->text_bytes, 16, 0, member->type == JSON_NUMBER,
                      NULL) != ERR_NONE)
        return err_field(err, ERR_INVALID, name, "A valid integer is required.");
    if (value.value > POINTS_MAX || value.value < -POINTS_MAX)
        return err_field(err, ERR_INVALID, name, "The number is out of range.");
    *out = (int64_t)value.value;
    return ERR_NONE;
}

bool id_read(uint64_t *out, text_t text)
{
    uint64_t id = 0;

    if (text.n == 0 || text.n > 16)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
        id = id * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    *out = id;
    return id >= 1 && id <= ID_MAX;
}

static errcode_t read_earn(command_t *out, const json_t *body, arena_t *arena, err_t *err)
{
    errcode_t rc = read_amount(&out->amount, body, err);

    return rc == ERR_NONE ? read_context(out, body, arena, err) : rc;
}

static errcode_t read_burn(command_t *out, const json_t *body, arena_t *arena, err_t *err)
{
    int64_t cost, points, reward;
    bool cost_given, points_given, reward_given;
    errcode_t rc = integer_read(&cost, &cost_given, body, "reward_cost", err);

    if (rc == ERR_NONE)
        rc = integer_read(&points, &points_given, body, "points", err);
    if (rc == ERR_NONE)
        rc = integer_read(&reward, &reward_given, body, "reward_id", err);
    if (rc != ERR_NONE)
        return rc;
    if (!cost_given && !points_given)
        return err_field(err, ERR_INVALID, "reward_cost", "this field is required");
    if (cost_given && points_given && cost != points)
        return err_field(err, ERR_INVALID, "points",
                         "it is another name of reward_cost, which has another value");
    out->points = cost_given ? cost : points;
    if (out->points <= 0)
        return err_set(err, ERR_INVALID_AMOUNT, NULL);
    if (reward_given) {
        char text[48];
        int n = snprintf(text, sizeof text, "{\"reward_id\":%lld}", (long long)reward);

        out->metadata = (text_t){arena_copy(arena, text, (size_t)n), (size_t)n};
        if (out->metadata.bytes == NULL)
            return err_set(err, ERR_TOO_LARGE, NULL);
    }
    return read_texts(out, body, err);
}

static errcode_t read_transfer(command_t *out, const json_t *body, err_t *err)
{
    party_t receiver;
    bool given;
    errcode_t rc = party_read(&receiver, body, PARTY_TO, err);

    if (rc != ERR_NONE)
        return rc;
    if (!receiver.found)
        return err_set(err, ERR_INVALID, "to_customer_id or to_account_id is required");
    out->to_account = receiver.account;
    out->to_customer = receiver.customer;
    rc = integer_read(&out->points, &given, body, "points", err);
    if (rc != ERR_NONE)
        return rc;
    if (!given)
        return err_field(err, ERR_INVALID, "points", "this field is required");
    if (out->points <= 0)
        return err_set(err, ERR_INVALID_AMOUNT, NULL);
    return read_texts(out, body, err);
}

/* \d{1,15}(\.\d{1,6})?: no sign, no exponent, no more decimals than six even if they are zeros;
 * leading zeros are allowed, which decimal_parse() does not know. */
static errcode_t amount_text_parse(decimal_t *out, const char *text, size_t bytes)
{
    const char *dot = bytes > 0 ? memchr(text, '.', bytes) : NULL;
    size_t whole = dot != NULL ? (size_t)(dot - text) : bytes;

    if (bytes == 0 || text[0] == '-' || whole > 15 || (dot != NULL && bytes - whole - 1 > 6))
        return ERR_INVALID;
    while (whole > 1 && *text == '0') {
        text++;
        bytes--;
        whole--;
    }
    return decimal_parse(out, text, bytes, 21, 6, false, NULL);
}

static errcode_t read_amount(int128_t *out, const json_t *body, err_t *err)
{
    static const char name[] = "transaction_amount";
    const json_t *member = given_member(body, name);
    decimal_t value;
    errcode_t rc;

    if (member == NULL)
        return err_field(err, ERR_INVALID, name, "this field is required");
    if (member->type == JSON_NUMBER)
        rc = decimal_parse(&value, member->text, member->text_bytes, 21, 6, true, NULL);
    else if (member->type == JSON_STRING)
        rc = amount_text_parse(&value, member->text, member->text_bytes);
    else
        rc = ERR_INVALID;
    if (rc != ERR_NONE)
        return err_field(err, ERR_INVALID, name,
                         "A number with up to 15 digits and 6 decimals is required.");
    if (value.value < 0)
        return err_field(err, ERR_INVALID, name,
                         "Ensure this value is greater than or equal to 0.");
    *out = value.value;
    return ERR_NONE;
}

static errcode_t read_context(command_t *out, const json_t *body, arena_t *arena, err_t *err)
{
    static const char name[] = "transaction_context";
    const json_t *context = given_member(body, name);
    const json_t *date;
    buffer_t text;
    json_t *parsed;
    errcode_t rc;

    if (context == NULL)
        return ERR_NONE;
    /* A form can only send it as a string. */
    if (context->type == JSON_STRING &&
        json_parse(&parsed, arena, context->text, context->text_bytes, NULL) == ERR_NONE)
        context = parsed;
    if (context->type != JSON_OBJECT)
        return err_field(err, ERR_INVALID, name, "an object is required");
    /* It would change the number of points, and partners are not there yet. */
    if (given_member(context, "partner_id") != NULL)
        return err_field(err, ERR_INVALID, "partner_id", "earning through partners is not served");
    rc = read_texts(out, context, err);
    if (rc != ERR_NONE)
        return rc;
    date = given_member(context, "transaction_date");
    if (date != NULL &&
        (date->type != JSON_STRING ||
         instant_parse(&out->effective_us, date->text, date->text_bytes, false, NULL) != ERR_NONE ||
         out->effective_us == 0))
        return err_field(err, ERR_INVALID, "transaction_date",
                         "YYYY-MM-DDThh:mm:ss with an offset or Z is required");
    if (context->count == 0)
        return ERR_NONE;
    buffer_init(&text, POINTS_CONTEXT_BYTES_MAX);
    json_write(&text, context);
    if (text.failed) {
        rc = err_field(err, ERR_INVALID, name, "at most %d bytes", POINTS_CONTEXT_BYTES_MAX);
    } else {
        out->metadata = (text_t){arena_copy(arena, (const char *)text.bytes, text.size), text.size};
        if (out->metadata.bytes == NULL)
            rc = err_set(err, ERR_TOO_LARGE, NULL);
    }
    buffer_free(&text);
    return rc;
}

static errcode_t read_texts(command_t *out, const json_t *from, err_t *err)
{
    errcode_t rc = string_read(&out->description, from, "description", err);
    size_t chars = 0;

    if (rc == ERR_NONE && out->description.n > POINTS_TEXT_BYTES_MAX)
        rc = err_field(err, ERR_INVALID, "description", "at most %d bytes", POINTS_TEXT_BYTES_MAX);
    if (rc == ERR_NONE)
        rc = string_read(&out->reference, from, "reference", err);
    if (rc != ERR_NONE)
        return rc;
    for (size_t i = 0; i < out->reference.n; i++)
        chars += ((uint8_t)out->reference.bytes[i] & 0xc0) != 0x80;
    if (chars > POINTS_REFERENCE_CHARS_MAX)
        return err_field(err, ERR_INVALID, "reference", "at most %d characters",
                         POINTS_REFERENCE_CHARS_MAX);
    return ERR_NONE;
}

static errcode_t read_program(uint32_t *out, const json_t *body, bool required, err_t *err)
{
    int64_t program;
    bool given;
    errcode_t rc = integer_read(&program, &given, body, "program_id", err);

    if (rc != ERR_NONE)
        return rc;
    if (!given)
        return required ? err_field(err, ERR_INVALID, "program_id", "this field is required")
                        : ERR_NONE;
    if (program < 1 || program > UINT32_MAX)
        return err_set(err, ERR_NOT_FOUND, "No such program.");
    *out = (uint32_t)program;
    return ERR_NONE;
}

/* Trimmed of outer blanks; absent and null are empty. */
static errcode_t string_read(text_t *out, const json_t *body, const char *name, err_t *err)
{
    const json_t *member = given_member(body, name);

    *out = (text_t){NULL, 0};
    if (member == NULL)
        return ERR_NONE;
    if (member->type != JSON_STRING)
        return err_field(err, ERR_INVALID, name, "Not a valid string.");
    if (memchr(member->text, '\0', member->text_bytes) != NULL)
        return err_field(err, ERR_INVALID, name, "Null characters are not allowed.");
    *out = (text_t){member->text, member->text_bytes};
    while (out->n > 0 && (*out->bytes == ' ' || *out->bytes == '\t' || *out->bytes == '\n' ||
                          *out->bytes == '\r')) {
        out->bytes++;
        out->n--;
    }
    while (out->n > 0 && strchr(" \t\n\r", out->bytes[out->n - 1]) != NULL)
        out->n--;
    return ERR_NONE;
}

static uint16_t partition_of(const party_t *party, router_t *router)
{
    return party->account != 0 ? router_partition_of_id(router, party->account)
                               : router_partition_of_customer(router, &party->customer);
}
