/* world_fixtures.c - ready-made programs, customers and checks for tests on a world */
#include "tests/sim/world.h"

#include "protocol/decimal.h"
#include "protocol/json.h"

#include <stdio.h>

static uint32_t id_in(text_t json)
{
    arena_t arena;
    json_t *root = NULL;
    decimal_t number = {0};

    arena_init(&arena, 4 * 1024 * 1024);
    errcode_t rc = json_parse(&root, &arena, json.bytes, json.n, NULL);
    INVARIANT(rc == ERR_NONE);
    const json_t *id = json_member(root, "id");
    INVARIANT(id != NULL && id->type == JSON_NUMBER);
    rc = decimal_parse(&number, id->text, id->text_bytes, 10, 0, false, NULL);
    INVARIANT(rc == ERR_NONE);
    arena_free(&arena);
    return (uint32_t)number.value;
}

static uint32_t define(world_t *self, uint8_t resource, const char *body, uint16_t catalogue)
{
    command_t command = {.kind = COMMAND_DEFINE,
                         .operation = OPERATION_DEFINE,
                         .resource = resource,
                         .body = text_of(body)};
    result_t result;
    err_t err;

    errcode_t rc = world_call(self, catalogue, &command, &result, &err);
    if (rc != ERR_NONE)
        fprintf(stderr, "define %s: %s %s\n", body, err.field, err.text);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(result.status == 201);
    return id_in(result.json);
}

uint32_t world_program(world_t *self, const char *json_members)
{
    char body[4096];
    snprintf(
        body, sizeof body,
        "{\"name\":\"Program "
        "%llu\",\"start_date\":\"2025-01-01T00:00:00Z\",\"end_date\":\"2035-01-01T00:00:00Z\"%s%s}",
        (unsigned long long)world_random(self), json_members[0] ? "," : "", json_members);
    return define(self, RESOURCE_PROGRAM, body, world_partitions(self));
}

uint32_t world_tier(world_t *self, uint32_t program, const char *json_members)
{
    char body[4096];
    snprintf(body, sizeof body, "{\"program\":%u,%s}", program, json_members);
    return define(self, RESOURCE_TIER, body, world_partitions(self));
}

uuid16_t world_customer(world_t *self, uint64_t number)
{
    hash_t hash = hash_bytes(&number, sizeof number);
    uuid16_t customer;
    (void)self;
    memcpy(customer.bytes, hash.bytes, sizeof customer.bytes);
    return customer;
}

uint64_t world_enrol(world_t *self, const uuid16_t *customer, uint32_t program, points_t opening)
{
    command_t command = {.kind = COMMAND_ENROL,
                         .operation = OPERATION_ENROL,
                         .customer = *customer,
                         .program = program,
                         .points = opening,
                         .rights = RIGHT_ADJUST};
    result_t result;
    err_t err;

    errcode_t rc = world_call(self, world_partition_of(self, customer), &command, &result, &err);
    if (rc != ERR_NONE)
        fprintf(stderr, "enrol: %s %s\n", err.field, err.text);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(result.status == 201);
    return result.account;
}

/* Asks the partition that the account's id names. */
static uint16_t partition_of_account(const world_t *self, uint64_t account)
{
    return partition_of_slot(id_slot(account), world_partitions(self));
}

void world_account(world_t *self, uint64_t account, account_t *out)
{
    query_t query = {.kind = QUERY_ACCOUNT, .account = account, .set = QUERY_DELETED};
    buffer_t bytes;
    answer_t answer;
    const void *row = NULL;

    buffer_init(&bytes, 4 * 1024 * 1024);
    errcode_t rc =
        world_query(self, partition_of_account(self, account), &query, &bytes, &answer, NULL);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(answer.row_count == 1);
    size_t n = unpack_blob(&answer.rows, &row);
    rc = account_decode(out, row, n, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&bytes);
}

bool world_books_hold(world_t *self, uint64_t account, err_t *err)
{
    query_t query = {.kind = QUERY_RECONCILE, .account = account, .set = QUERY_DELETED};
    buffer_t bytes;
    answer_t answer;
    reconciliation_t figures;
    const void *row = NULL;

    buffer_init(&bytes, 4 * 1024 * 1024);
    errcode_t rc =
        world_query(self, partition_of_account(self, account), &query, &bytes, &answer, err);
    if (rc == ERR_NONE) {
        size_t n = unpack_blob(&answer.rows, &row);
        rc = reconciliation_decode(&figures, row, n, err);
    }
    buffer_free(&bytes);
    if (rc != ERR_NONE)
        return false;
    if (figures.expected != figures.actual || figures.lots != figures.actual || !figures.chain_ok ||
        !figures.counters_ok) {
        err_set(err, ERR_CORRUPT,
                "account %llu: postings %lld, balance %lld, lots %lld, chain %d, counters %d",
                (unsigned long long)account, (long long)figures.expected, (long long)figures.actual,
                (long long)figures.lots, figures.chain_ok, figures.counters_ok);
        return false;
    }
    return true;
}
