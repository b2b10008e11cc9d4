/* fuzz_schema.c - any body against every table: no crash, and what passes is read back and passes again unchanged */
#include "protocol/schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool odd_ids_exist(void *state, uint8_t resource, uint64_t id)
{
    (void)state;
    (void)resource;
    return id % 2 == 1;
}

static void check(const schema_table_t *table, schema_mode_t mode, const json_t *body,
                  arena_t *arena)
{
    const schema_check_t rules = {
        .table = table, .mode = mode, .lookup = odd_ids_exist, .arena = arena};
    schema_errors_t errors;
    buffer_t first, second;
    json_t *again;

    buffer_init(&first, 4u * 1024 * 1024);
    buffer_init(&second, 4u * 1024 * 1024);
    if (schema_check(&rules, body, &first, &errors)) {
        INVARIANT(json_parse(&again, arena, (const char *)first.bytes, first.size, NULL) ==
                  ERR_NONE);
        INVARIANT(schema_check(&rules, again, &second, &errors));
        INVARIANT(first.size == second.size);
        INVARIANT(memcmp(first.bytes, second.bytes, first.size) == 0);
    } else {
        INVARIANT(errors.count > 0);
        schema_errors_write(&errors, &second);
        INVARIANT(!second.failed);
        INVARIANT(json_parse(&again, arena, (const char *)second.bytes, second.size, NULL) ==
                  ERR_NONE);
    }
    buffer_free(&first);
    buffer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const schema_table_t *const tables[] = {&schema_programs, &schema_tiers, &schema_users,
                                                   &schema_accounts, &schema_transactions};
    arena_t arena;
    json_t *body;

    if (n < 1)
        return 0;
    const schema_table_t *table = tables[bytes[0] % COUNT_OF(tables)];
    schema_mode_t mode = (schema_mode_t)(bytes[0] / COUNT_OF(tables) % 3);
    arena_init(&arena, 64u * 1024 * 1024);
    if (json_parse(&body, &arena, (const char *)bytes + 1, n - 1, NULL) == ERR_NONE) {
        check(table, mode, body, &arena);
    } else {
        /* Text that is no JSON comes from query strings. */
        for (size_t i = 0; i < table->count; i++) {
            buffer_t wire;
            if (table->fields[i].type == SCHEMA_NESTED)
                continue;
            buffer_init(&wire, 1024 * 1024);
            (void)schema_check_text(&table->fields[i], (const char *)bytes + 1, n - 1, &arena,
                                    &wire);
            buffer_free(&wire);
        }
    }
    arena_free(&arena);
    return 0;
}
