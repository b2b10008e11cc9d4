/* fuzz_batch.c - any bytes are safe to read as a list of row writes; rows that are read say the same when written */
#include "storage/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    buffer_t again;
    row_write_t row;
    size_t at = 0;
    size_t before = 0;
    bool corrupt;

    buffer_init(&again, 2 * n + 64);
    while (batch_next(bytes, n, &at, &row, &corrupt)) {
        INVARIANT(!corrupt);
        INVARIANT(at > before && at <= n);
        before = at;
        if (row.is_delete)
            batch_delete(&again, row.family, row.key, row.key_bytes);
        else
            batch_put(&again, row.family, row.key, row.key_bytes, row.value, row.value_bytes);
    }
    INVARIANT(at == before);
    INVARIANT(corrupt || at == n);
    INVARIANT(!again.failed && again.size == at);
    INVARIANT(at == 0 || memcmp(again.bytes, bytes, at) == 0);
    buffer_free(&again);
    return 0;
}
