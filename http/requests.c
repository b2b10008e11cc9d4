/* requests.c - GET /requests/{key}: every result that a key stands for, in all partitions or a
 * customer's one
 *
 * A partition that cannot be asked makes the answer 503, never 404: "never seen" must be the truth.
 */
#include "http/requests.h"

#include "http/call.h"

static void lookup(exchange_t *self);
static bool ask_one(exchange_t *self, const query_t *query, uint16_t partition, uint32_t *count);
static bool ask_all(exchange_t *self, const query_t *query, uint32_t *count);
static errcode_t write_rows(exchange_t *self, const buffer_t *bytes, uint32_t *count, err_t *err);
static void write_row(exchange_t *self, const key_row_t *row, const result_t *result);

const route_t requests_routes[] = {
    {METHOD_GET, "/api/loyalty/v1/requests/{key}/", lookup, "request.view", 0, 0, FAMILY_SERVICE,
     NULL},
};
const size_t requests_route_count = COUNT_OF(requests_routes);

static void lookup(exchange_t *self)
{
    text_t key = self->params[0], parameter;
    query_t query = {.kind = QUERY_REQUEST, .key_hash = hash_bytes(key.bytes, key.n)};
    uint16_t catalogue = router_catalogue_partition(self->router);
    uint32_t count = 0;
    bool known_operation = true;
    bool answered = true;

    if (exchange_parameter(self, "operation", &parameter)) {
        query.operation = operation_of_name(parameter.bytes, parameter.n);
        known_operation = query.operation != OPERATION_NONE;
    }
    buffer_text(&self->out, "{\"key\":");
    json_write_string(&self->out, key.bytes, key.n);
    buffer_text(&self->out, ",\"results\":[");
    if (exchange_parameter(self, "customer_id", &parameter)) {
        if (!uuid_parse(&query.customer, parameter.bytes, parameter.n)) {
            err_t err;

            err_field(&err, ERR_INVALID, "customer_id", "Must be a valid UUID.");
            exchange_error(self, &err);
            return;
        }
        query.set |= QUERY_BY_CUSTOMER;
        if (known_operation)
            answered = ask_one(self, &query,
                               router_partition_of_customer(self->router, &query.customer), &count);
    } else if (known_operation) {
        if (query.operation != OPERATION_DEFINE)
            answered = ask_all(self, &query, &count);
        if (answered && (query.operation == OPERATION_DEFINE || query.operation == OPERATION_NONE))
            answered = ask_one(self, &query, catalogue, &count);
    }
    if (!answered)
        return;
    if (count == 0) {
        exchange_detail(self, 404, "Not found.");
        return;
    }
    self->status = 200;
    buffer_text(&self->out, "]}");
}

static bool ask_one(exchange_t *self, const query_t *query, uint16_t partition, uint32_t *count)
{
    buffer_t *bytes = &call_of(self)->worker->answer;
    err_t err;
    errcode_t rc;

    buffer_reset(bytes);
    rc = exchange_query(self, partition, query, bytes, &err);
    if (rc == ERR_NOT_FOUND)
        return true;
    if (rc == ERR_NONE)
        rc = write_rows(self, bytes, count, &err);
    if (rc != ERR_NONE)
        error_outcome(self, &err, partition, (text_t){NULL, 0});
    return rc == ERR_NONE;
}

static bool ask_all(exchange_t *self, const query_t *query, uint32_t *count)
{
    uint16_t partitions = router_partitions(self->router);
    buffer_t *answers = arena_alloc(self->arena, partitions * sizeof *answers);
    err_t err;
    errcode_t rc;

    if (answers == NULL) {
        err_set(&err, ERR_OVERLOADED, NULL);
        exchange_error(self, &err);
        return false;
    }
    for (uint16_t i = 0; i < partitions; i++)
        buffer_init(&answers[i], 1024 * 1024);
    rc = router_scatter_at(self->router, self->level, query, self->deadline_us, answers, &err);
    for (uint16_t i = 0; i < partitions && rc == ERR_NONE; i++)
        rc = write_rows(self, &answers[i], count, &err);
    for (uint16_t i = 0; i < partitions; i++)
        buffer_free(&answers[i]);
    if (rc != ERR_NONE)
        error_outcome(self, &err, UINT16_MAX, (text_t){NULL, 0});
    return rc == ERR_NONE;
}

static errcode_t write_rows(exchange_t *self, const buffer_t *bytes, uint32_t *count, err_t *err)
{
    answer_t answer;
    errcode_t rc = answer_decode(&answer, bytes->bytes, bytes->size, err);

    for (uint32_t i = 0; i < answer.row_count && rc == ERR_NONE; i++) {
        const void *encoded;
        size_t n = unpack_blob(&answer.rows, &encoded);
        key_row_t row;
        result_t result = {.status = 0};

        if (answer.rows.failed)
            return err_set(err, ERR_CORRUPT, "the answer about a key is cut short");
        rc = key_row_decode(&row, encoded, n, err);
        if (rc == ERR_NONE && row.state == KEY_FINAL)
            rc = result_decode(&result, row.result.bytes, row.result.n, err);
        if (rc != ERR_NONE)
            break;
        if ((*count)++ > 0)
            buffer_byte(&self->out, ',');
        write_row(self, &row, &result);
    }
    return rc;
}

static void write_row(exchange_t *self, const key_row_t *row, const result_t *result)
{
    buffer_t *out = &self->out;
    const char *operation = operation_name(row->operation);
    bool service = row->operation == OPERATION_EARN || row->operation == OPERATION_BURN ||
                   row->operation == OPERATION_ADJUST || row->operation == OPERATION_TRANSFER;
    char text[UUID_TEXT_BYTES + 1];
    char at[INSTANT_TEXT_MAX];
    size_t before;

    buffer_text(out, "{\"operation\":");
    json_write_string(out, operation != NULL ? operation : "",
                      operation != NULL ? strlen(operation) : 0);
    buffer_text(out, ",\"customer_id\":");
    if (uuid_is_zero(&row->customer)) {
        buffer_text(out, "null");
    } else {
        uuid_format(&row->customer, text);
        json_write_string(out, text, UUID_TEXT_BYTES);
    }
    buffer_text(out, ",\"account_id\":");
    if (row->account == 0)
        buffer_text(out, "null");
    else
        json_write_i64(out, (int64_t)row->account);
    buffer_text(out, row->state == KEY_FINAL ? ",\"state\":\"done\",\"status\":"
                                             : ",\"state\":\"pending\",\"status\":");
    if (row->state == KEY_FINAL)
        json_write_i64(out, result->status);
    else
        buffer_text(out, "null");
    buffer_text(out, ",\"body\":");
    before = out->size;
    if (row->state == KEY_FINAL)
        render_result(result, service ? FAMILY_SERVICE : FAMILY_RESOURCE,
                      router_catalogue(self->router), out);
    if (out->size == before)
        buffer_text(out, "null");
    (void)instant_format(row->recorded_us, at);
    buffer_text(out, ",\"recorded_at\":");
    json_write_string(out, at, strlen(at));
    buffer_byte(out, '}');
}
