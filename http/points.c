/* points.c - the points service: one command each, and reconciliation, which is a question */
#include "http/points.h"

#include "http/call.h"
#include "http/points_command.h"
#include "protocol/log.h"

static void earn(exchange_t *self);
static void burn(exchange_t *self);
static void transfer(exchange_t *self);
static void reconcile_by_id(exchange_t *self);
static void reconcile(exchange_t *self);
static bool find_account(exchange_t *self, uint64_t *account);
static bool repair(exchange_t *self, uint64_t account);
static void answer_reconciliation(exchange_t *self, uint64_t account, bool repaired);

#define V1 "/api/loyalty/v1"

/* POST and GET under both prefixes. */
#define POST_BOTH(path, handler, permission)                                                     \
    {METHOD_POST, V1 "/services/points/" path, handler, permission, 0, 0, FAMILY_SERVICE, NULL}, \
    {                                                                                            \
        METHOD_POST, V1 "/points/" path, handler, permission, 0, 0, FAMILY_SERVICE, NULL         \
    }
#define GET_BOTH(path, handler, permission)                                                     \
    {METHOD_GET, V1 "/services/points/" path, handler, permission, 0, 0, FAMILY_SERVICE, NULL}, \
    {                                                                                           \
        METHOD_GET, V1 "/points/" path, handler, permission, 0, 0, FAMILY_SERVICE, NULL         \
    }

const route_t points_routes[] = {
    POST_BOTH("earn/", earn, "account.earn"),
    POST_BOTH("burn/", burn, "account.burn"),
    POST_BOTH("transfer/", transfer, "account.transfer"),
    POST_BOTH("reconcile/", reconcile, "account.reconcile"),
    GET_BOTH("reconcile/{account_id}/", reconcile_by_id, "account.reconcile"),
};
const size_t points_route_count = COUNT_OF(points_routes);

static void act(exchange_t *self, uint8_t operation)
{
    command_t command;
    uint16_t partition;
    err_t err;

    if (self->body == NULL) {
        exchange_detail(self, 400, "the body must be an object");
        return;
    }
    if (points_command(&command, &partition, operation, self->body, self->router, self->arena,
                       &err) != ERR_NONE) {
        exchange_error(self, &err);
        return;
    }
    if (exchange_idempotency(self, self->body, &points_canonical, &command))
        exchange_finish(self, &command, partition);
}

static void earn(exchange_t *self)
{
    act(self, OPERATION_EARN);
}

static void burn(exchange_t *self)
{
    act(self, OPERATION_BURN);
}

static void transfer(exchange_t *self)
{
    act(self, OPERATION_TRANSFER);
}

static void reconcile_by_id(exchange_t *self)
{
    uint64_t account;
    err_t err;

    if (!id_read(&account, self->params[0])) {
        err_set(&err, ERR_NOT_FOUND, NULL);
        exchange_error(self, &err);
        return;
    }
    answer_reconciliation(self, account, false);
}

static void reconcile(exchange_t *self)
{
    const json_t *wanted = body_member(self, "repair");
    bool repaired = wanted != NULL && wanted->type == JSON_TRUE;
    uint64_t account;
    err_t err;

    if (self->body == NULL) {
        exchange_detail(self, 400, "the body must be an object");
        return;
    }
    if (wanted != NULL && wanted->type != JSON_TRUE && wanted->type != JSON_FALSE &&
        wanted->type != JSON_NULL) {
        err_field(&err, ERR_INVALID, "repair", "Must be a valid boolean.");
        exchange_error(self, &err);
        return;
    }
    if (repaired && !exchange_may(self, "account.adjust")) {
        exchange_detail(self, 403, "You do not have permission to perform this action.");
        return;
    }
    if (!find_account(self, &account) || (repaired && !repair(self, account)))
        return;
    answer_reconciliation(self, account, repaired);
}

/* The account that the body names, by id or by customer and program. */
static bool find_account(exchange_t *self, uint64_t *account)
{
    buffer_t *bytes = &call_of(self)->worker->answer;
    query_t query = {
        .kind = QUERY_ACCOUNTS_OF, .set = QUERY_BY_CUSTOMER | QUERY_BY_PROGRAM, .limit = 1};
    party_t party;
    int64_t program;
    bool given;
    answer_t answer;
    account_t row;
    err_t err;
    uint16_t partition = 0;

    if (party_read(&party, self->body, PARTY_SELF, &err) != ERR_NONE ||
        integer_read(&program, &given, self->body, "program_id", &err) != ERR_NONE)
        goto failed;
    if (!party.found || (party.account == 0 && !given)) {
        err_set(&err, ERR_INVALID, "customer_id with program_id, or account_id, is required");
        goto failed;
    }
    if (party.account != 0) {
        *account = party.account;
        return true;
    }
    if (program < 1 || program > UINT32_MAX) {
        err_set(&err, ERR_NOT_FOUND, "No such program.");
        goto failed;
    }
    query.customer = party.customer;
    query.program = (uint32_t)program;
    partition = router_partition_of_customer(self->router, &party.customer);
    buffer_reset(bytes);
    if (exchange_query(self, partition, &query, bytes, &err) != ERR_NONE ||
        answer_decode(&answer, bytes->bytes, bytes->size, &err) != ERR_NONE)
        goto failed;
    if (answer.row_count == 0) {
        err_set(&err, ERR_NOT_FOUND, "No such account.");
        goto failed;
    }
    {
        const void *encoded;
        size_t n = unpack_blob(&answer.rows, &encoded);

        if (account_decode(&row, encoded, answer.rows.failed ? 0 : n, &err) != ERR_NONE)
            goto failed;
    }
    *account = row.id;
    return true;

failed:
    error_outcome(self, &err, partition, (text_t){NULL, 0});
    return false;
}

static bool repair(exchange_t *self, uint64_t account)
{
    command_t command = {.kind = COMMAND_REPAIR, .account = account};
    result_t result;

    if (!exchange_command(self, &command, router_partition_of_id(self->router, account), &result))
        return false;
    if (result.status >= 300) {
        exchange_result(self, &result);
        return false;
    }
    return true;
}

static void answer_reconciliation(exchange_t *self, uint64_t account, bool repaired)
{
    buffer_t *bytes = &call_of(self)->worker->answer;
    buffer_t *out = &self->out;
    query_t query = {.kind = QUERY_RECONCILE, .set = QUERY_BY_ACCOUNT, .account = account};
    uint16_t partition = router_partition_of_id(self->router, account);
    reconciliation_t figures;
    answer_t answer;
    const void *row;
    size_t n;
    err_t err;

    buffer_reset(bytes);
    if (exchange_query(self, partition, &query, bytes, &err) != ERR_NONE ||
        answer_decode(&answer, bytes->bytes, bytes->size, &err) != ERR_NONE) {
        error_outcome(self, &err, partition, (text_t){NULL, 0});
        return;
    }
    if (answer.row_count == 0) {
        err_set(&err, ERR_NOT_FOUND, "No such account.");
        exchange_error(self, &err);
        return;
    }
    n = unpack_blob(&answer.rows, &row);
    if (answer.rows.failed || reconciliation_decode(&figures, row, n, &err) != ERR_NONE) {
        err_set(&err, ERR_CORRUPT, "the figures of account %llu cannot be read",
                (unsigned long long)account);
        exchange_error(self, &err);
        return;
    }
    if (figures.expected != figures.actual || !figures.chain_ok || !figures.counters_ok)
        log_write(
            LOG_WARN, self->request_id,
            "account %llu does not reconcile: expected %lld, actual %lld, chain %s, counters %s",
            (unsigned long long)account, (long long)figures.expected, (long long)figures.actual,
            figures.chain_ok ? "good" : "broken", figures.counters_ok ? "good" : "wrong");
    self->status = 200;
    buffer_text(out, "{\"expected_balance\":");
    json_write_i64(out, figures.expected);
    buffer_text(out, ",\"actual_balance\":");
    json_write_i64(out, figures.actual);
    buffer_text(out, ",\"discrepancy\":");
    json_write_i64(out, figures.expected - figures.actual);
    buffer_text(out, figures.expected == figures.actual ? ",\"reconciled\":true"
                                                        : ",\"reconciled\":false");
    buffer_text(out, ",\"ledger_entries\":");
    json_write_i64(out, (int64_t)figures.entries);
    buffer_text(out, ",\"lots_balance\":");
    json_write_i64(out, figures.lots);
    buffer_text(out, repaired ? ",\"auto_corrected\":true}" : ",\"auto_corrected\":false}");
}
