/* ask.c - commands and questions for tests on a world */
#include "tests/sim/ask.h"

#include "protocol/decimal.h"

#include <stdio.h>

#define PAGE_ENTRIES 500

world_t *world_calm(uint16_t partitions)
{
    world_config_t config = {.seed = 1, .nodes = 1, .partitions = partitions};
    return world_new(&config);
}

int128_t amount_of(const char *text)
{
    decimal_t amount = {0};
    errcode_t rc = decimal_parse(&amount, text, strlen(text), 30, 6, false, NULL);
    INVARIANT(rc == ERR_NONE);
    return amount.value;
}

command_t ask_enrol(const uuid16_t *customer, uint32_t program)
{
    return (command_t){.kind = COMMAND_ENROL,
                       .operation = OPERATION_ENROL,
                       .customer = *customer,
                       .program = program,
                       .rights = RIGHT_ADJUST};
}

command_t ask_earn(uint64_t account, const char *amount)
{
    return (command_t){.kind = COMMAND_EARN,
                       .operation = OPERATION_EARN,
                       .account = account,
                       .amount = amount_of(amount)};
}

command_t ask_burn(uint64_t account, points_t points)
{
    return (command_t){
        .kind = COMMAND_BURN, .operation = OPERATION_BURN, .account = account, .points = points};
}

command_t ask_adjust(uint64_t account, points_t points)
{
    return (command_t){.kind = COMMAND_ADJUST,
                       .operation = OPERATION_ADJUST,
                       .account = account,
                       .points = points};
}

command_t ask_transfer(uint64_t from, uint64_t to, points_t points)
{
    return (command_t){.kind = COMMAND_TRANSFER,
                       .operation = OPERATION_TRANSFER,
                       .account = from,
                       .to_account = to,
                       .points = points};
}

command_t ask_post(uint64_t account, uint8_t type, points_t points)
{
    return (command_t){.kind = COMMAND_POST_ENTRY,
                       .operation = OPERATION_ENTRY,
                       .account = account,
                       .entry_type = type,
                       .points = points};
}

command_t ask_edit(uint64_t entry, uint8_t type, points_t points)
{
    return (command_t){.kind = COMMAND_EDIT_ENTRY,
                       .entry = entry,
                       .set = SET_AMOUNT | (type != 0 ? SET_TYPE : 0),
                       .entry_type = type,
                       .points = points};
}

command_t ask_delete(uint64_t entry)
{
    return (command_t){.kind = COMMAND_DELETE_ENTRY, .entry = entry};
}

command_t ask_status(uint64_t account, uint8_t status)
{
    return (command_t){.kind = COMMAND_SET_STATUS,
                       .operation = OPERATION_STATUS,
                       .account = account,
                       .status = status};
}

command_t ask_delete_account(uint64_t account)
{
    return (command_t){.kind = COMMAND_DELETE_ACCOUNT, .account = account};
}

command_t ask_define(uint8_t resource, uint32_t id, const char *json)
{
    return (command_t){.kind = COMMAND_DEFINE,
                       .operation = OPERATION_DEFINE,
                       .resource = resource,
                       .id = id,
                       .body = text_of(json)};
}

command_t ask_undefine(uint8_t resource, uint32_t id)
{
    return (command_t){.kind = COMMAND_UNDEFINE, .resource = resource, .id = id};
}

void with_key(command_t *command, const char *key)
{
    command->key = text_of(key);
    command->key_hash = hash_bytes(key, strlen(key));
}

void with_reference(command_t *command, const char *reference)
{
    command->reference = text_of(reference);
}

uint16_t ask_partition(const world_t *world, const command_t *command)
{
    uint16_t partitions = world_partitions(world);

    if (command->kind == COMMAND_DEFINE || command->kind == COMMAND_UNDEFINE)
        return partitions;
    if (command->entry != 0)
        return partition_of_slot(id_slot(command->entry), partitions);
    if (command->account != 0)
        return partition_of_slot(id_slot(command->account), partitions);
    return world_partition_of(world, &command->customer);
}

static hash_t hash_of_body(command_t command)
{
    buffer_t bytes;

    command.key = (text_t){NULL, 0};
    command.key_hash = (hash_t){{0}};
    command.body_hash = (hash_t){{0}};
    buffer_init(&bytes, 1024 * 1024);
    command_encode(&command, &bytes);
    hash_t hash = hash_bytes(bytes.bytes, bytes.size);
    buffer_free(&bytes);
    return hash;
}

size_t ask_later(world_t *world, command_t command)
{
    command.body_hash = hash_of_body(command);
    return world_post(world, ask_partition(world, &command), &command);
}

errcode_t ask(world_t *world, command_t command, result_t *result, err_t *err)
{
    command.body_hash = hash_of_body(command);
    return world_call(world, ask_partition(world, &command), &command, result, err);
}

unsigned ask_http(world_t *world, command_t command)
{
    result_t result;
    err_t err;

    return ask(world, command, &result, &err) == ERR_NONE ? result.status
                                                          : (unsigned)err_info(err.code)->http;
}

bool text_is(text_t text, const char *expected)
{
    return text.n == strlen(expected) && (text.n == 0 || memcmp(text.bytes, expected, text.n) == 0);
}

bool ask_refused(world_t *world, command_t command, unsigned http, const char *code)
{
    result_t result;
    err_t err;

    if (ask(world, command, &result, &err) != ERR_NONE)
        return (unsigned)err_info(err.code)->http == http &&
               strcmp(err_info(err.code)->name, code) == 0;
    return result.status == http && text_is(result.code, code);
}

uint64_t ask_done(world_t *world, command_t command)
{
    result_t result;
    err_t err;

    errcode_t rc = ask(world, command, &result, &err);
    if (rc != ERR_NONE)
        fprintf(stderr, "command %u: %s %s\n", command.kind, err.field, err.text);
    else if (result.status >= 300)
        fprintf(stderr, "command %u: %u %.*s\n", command.kind, result.status, (int)result.error.n,
                result.error.bytes);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(result.status < 300);
    return result.entry;
}

/* ---- reading ---- */

bool same_lots(const account_t *a, const account_t *b)
{
    if (a->lot_count != b->lot_count || a->overflow_lots != b->overflow_lots)
        return false;
    for (uint32_t i = 0; i < a->lot_count; i++) {
        const lot_t *x = &a->lots[i], *y = &b->lots[i];
        if (x->id != y->id || x->part != y->part || x->original != y->original ||
            x->active != y->active || x->activated_us != y->activated_us ||
            x->expires_us != y->expires_us)
            return false;
    }
    return true;
}

points_t read_balance(world_t *world, uint64_t account)
{
    account_t row;
    world_account(world, account, &row);
    return row.available;
}

bool read_row(world_t *world, uint16_t node, family_t family, const uint8_t *key, size_t key_bytes,
              buffer_t *value)
{
    bool found = false;

    buffer_reset(value);
    errcode_t rc =
        store_get(world_store(world, node), NULL, family, key, key_bytes, value, &found, NULL);
    INVARIANT(rc == ERR_NONE);
    return found;
}

bool read_entry(world_t *world, uint64_t id, entry_t *out, buffer_t *bytes)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint16_t partition = partition_of_slot(id_slot(id), world_partitions(world));

    if (!read_row(world, world_node_of(world, partition), FAMILY_ENTRY, key,
                  key_entry(key, partition, id_sequence(id)), bytes))
        return false;
    errcode_t rc = entry_decode(out, bytes->bytes, bytes->size, NULL);
    INVARIANT(rc == ERR_NONE);
    return true;
}

/* One page of an account's visible entries; adds their deltas to *sum and returns the count of all. */
static uint64_t read_page(world_t *world, uint64_t account, uint64_t skip, points_t *sum,
                          buffer_t *bytes)
{
    query_t query = {
        .kind = QUERY_ENTRIES, .account = account, .skip = skip, .limit = PAGE_ENTRIES};
    answer_t answer;

    errcode_t rc = world_query(world, partition_of_slot(id_slot(account), world_partitions(world)),
                               &query, bytes, &answer, NULL);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(answer.count_exact);
    for (uint32_t i = 0; i < answer.row_count; i++) {
        const void *row = NULL;
        entry_t entry;
        size_t n = unpack_blob(&answer.rows, &row);
        rc = entry_decode(&entry, row, n, NULL);
        INVARIANT(rc == ERR_NONE);
        *sum += entry.delta;
    }
    return answer.count;
}

uint64_t read_entries(world_t *world, uint64_t account, points_t *sum)
{
    buffer_t bytes;
    points_t total = 0;
    uint64_t count = 0, skip = 0;

    buffer_init(&bytes, 16 * 1024 * 1024);
    do {
        count = read_page(world, account, skip, &total, &bytes);
        skip += PAGE_ENTRIES;
    } while (skip < count);
    buffer_free(&bytes);
    if (sum != NULL)
        *sum = total;
    return count;
}

uint64_t read_count(world_t *world, uint32_t program, uint8_t type)
{
    query_t query = {.kind = QUERY_ENTRIES, .program = program, .entry_type = type, .limit = 1};
    answer_t answer;
    buffer_t bytes;
    uint64_t count = 0;

    buffer_init(&bytes, 16 * 1024 * 1024);
    for (uint16_t p = 0; p < world_partitions(world); p++) {
        errcode_t rc = world_query(world, p, &query, &bytes, &answer, NULL);
        INVARIANT(rc == ERR_NONE);
        count += answer.count;
    }
    buffer_free(&bytes);
    return count;
}

uuid16_t customer_in(world_t *world, uint16_t partition, uint64_t number)
{
    for (;; number++) {
        uuid16_t customer = world_customer(world, number);
        if (world_partition_of(world, &customer) == partition)
            return customer;
    }
}
