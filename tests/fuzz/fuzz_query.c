/* fuzz_query.c - any bytes are safe as a query and as an answer
 *
 * The first byte says which. Queries run against a store that holds rows with the rest of an input as their value, so
 * that damaged rows are met too: after a second byte of 1 the bytes are put as rows of every kind first.
 */
#include "actors/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define PARTITION 1

static void put_everywhere(store_t *store, const uint8_t *value, size_t n)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uuid16_t customer = {{0}};
    hash_t hash = {{0}};
    buffer_t batch;
    batch_part_t part;

    buffer_init(&batch, 1 << 22);
    batch_put(&batch, FAMILY_STATE, key, key_account(key, PARTITION, &customer, 0), value, n);
    batch_put(&batch, FAMILY_STATE, key, key_account_id(key, PARTITION, 0), value, n);
    batch_put(&batch, FAMILY_STATE, key, key_counter(key, PARTITION, 0, 1, 0), value, n);
    batch_put(&batch, FAMILY_STATE, key, key_checkpoint(key, PARTITION), value, n);
    batch_put(&batch, FAMILY_STATE, key, key_session(key, PARTITION, &hash), value, n);
    batch_put(&batch, FAMILY_STATE, key, key_definition(key, PARTITION, 0, 0), value, n);
    batch_put(&batch, FAMILY_ENTRY, key, key_entry(key, PARTITION, 1), value, n);
    batch_put(&batch, FAMILY_KEY, key, key_idempotency(key, PARTITION, &customer, 1, &hash), value,
              n);
    part = (batch_part_t){batch.bytes, batch.size};
    INVARIANT(store_write(store, &part, 1, true, NULL) == ERR_NONE);
    buffer_free(&batch);
}

static void run(const query_context_t *context, const uint8_t *query, size_t n)
{
    buffer_t answer;
    answer_t read;
    errcode_t rc;

    buffer_init(&answer, 1 << 22);
    rc = query_run(context, PARTITION, query, n, &answer, NULL);
    if (rc == ERR_NONE)
        INVARIANT(answer_decode(&read, answer.bytes, answer.size, NULL) == ERR_NONE);
    buffer_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static store_t *store;
    query_context_t context;
    reconciliation_t figures;
    answer_t answer;

    if (n < 2)
        return 0;
    if (bytes[0] % 2 == 0) {
        const void *row;

        if (answer_decode(&answer, bytes + 1, n - 1, NULL) == ERR_NONE) {
            for (uint32_t i = 0; i < answer.row_count; i++)
                (void)unpack_blob(&answer.rows, &row);
            INVARIANT(unpack_done(&answer.rows));
        }
        (void)reconciliation_decode(&figures, bytes + 1, n - 1, NULL);
        return 0;
    }
    if (store == NULL)
        store = store_memory_new();
    context = (query_context_t){.store = store, .partitions = 16};
    if (bytes[1] != 1) {
        run(&context, bytes + 1, n - 1);
        return 0;
    }
    put_everywhere(store, bytes + 2, n - 2);
    for (uint8_t kind = QUERY_ACCOUNT; kind <= QUERY_TOTALS; kind++) {
        query_t query = {.kind = kind, .set = QUERY_DELETED, .entry = kind == QUERY_ENTRY ? 1 : 0};
        buffer_t encoded;

        buffer_init(&encoded, 1024);
        query_encode(&query, &encoded);
        run(&context, encoded.bytes, encoded.size);
        query.set |= QUERY_BY_ACCOUNT | QUERY_BY_CUSTOMER;
        buffer_reset(&encoded);
        query_encode(&query, &encoded);
        run(&context, encoded.bytes, encoded.size);
        buffer_free(&encoded);
    }
    return 0;
}
