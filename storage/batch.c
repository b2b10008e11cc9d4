/* batch.c - row writes as bytes: append, and a reader that trusts nothing */
#include "storage/batch.h"

#define OP_PUT           1
#define OP_DELETE        2
#define ROW_HEADER_BYTES 8 /* op, family, u16 key bytes, u32 value bytes */

static void put_header(buffer_t *batch, uint8_t op, family_t family, size_t key_bytes,
                       size_t value_bytes);

void batch_put(buffer_t *batch, family_t family, const void *key, size_t key_bytes,
               const void *value, size_t value_bytes)
{
    batch_put_start(batch, family, key, key_bytes, value_bytes);
    buffer_append(batch, value, value_bytes);
}

void batch_put_start(buffer_t *batch, family_t family, const void *key, size_t key_bytes,
                     size_t value_bytes)
{
    /* One reservation for the row: a row is in the batch whole or not at all. */
    if (!buffer_reserve(batch, ROW_HEADER_BYTES + key_bytes + value_bytes))
        return;
    put_header(batch, OP_PUT, family, key_bytes, value_bytes);
    buffer_append(batch, key, key_bytes);
}

void batch_delete(buffer_t *batch, family_t family, const void *key, size_t key_bytes)
{
    if (!buffer_reserve(batch, ROW_HEADER_BYTES + key_bytes))
        return;
    put_header(batch, OP_DELETE, family, key_bytes, 0);
    buffer_append(batch, key, key_bytes);
}

bool batch_next(const uint8_t *bytes, size_t n, size_t *at, row_write_t *out, bool *corrupt)
{
    const uint8_t *row;
    size_t left;

    *corrupt = false;
    if (*at == n)
        return false;
    *corrupt = true;
    if (*at > n || n - *at < ROW_HEADER_BYTES)
        return false;
    row = bytes + *at;
    left = n - *at - ROW_HEADER_BYTES;
    out->is_delete = row[0] == OP_DELETE;
    out->family = (family_t)row[1];
    out->key_bytes = (size_t)row[2] | (size_t)row[3] << 8;
    out->value_bytes =
        (size_t)row[4] | (size_t)row[5] << 8 | (size_t)row[6] << 16 | (size_t)row[7] << 24;
    out->key = row + ROW_HEADER_BYTES;
    out->value = out->key + out->key_bytes;
    if ((row[0] != OP_PUT && row[0] != OP_DELETE) || row[1] >= FAMILY__COUNT)
        return false;
    if (out->key_bytes == 0 || out->key_bytes > BATCH_KEY_BYTES_MAX)
        return false;
    if (out->value_bytes > BATCH_VALUE_BYTES_MAX || (out->is_delete && out->value_bytes > 0))
        return false;
    if (left < out->key_bytes || left - out->key_bytes < out->value_bytes)
        return false;
    *at += ROW_HEADER_BYTES + out->key_bytes + out->value_bytes;
    *corrupt = false;
    return true;
}

static void put_header(buffer_t *batch, uint8_t op, family_t family, size_t key_bytes,
                       size_t value_bytes)
{
    uint8_t header[ROW_HEADER_BYTES];

    /* Keys and values are built by the program; input is bounded long before it gets here. */
    INVARIANT((unsigned)family < FAMILY__COUNT);
    INVARIANT(key_bytes > 0 && key_bytes <= BATCH_KEY_BYTES_MAX);
    INVARIANT(value_bytes <= BATCH_VALUE_BYTES_MAX);
    header[0] = op;
    header[1] = (uint8_t)family;
    header[2] = (uint8_t)key_bytes;
    header[3] = (uint8_t)(key_bytes >> 8);
    header[4] = (uint8_t)value_bytes;
    header[5] = (uint8_t)(value_bytes >> 8);
    header[6] = (uint8_t)(value_bytes >> 16);
    header[7] = (uint8_t)(value_bytes >> 24);
    buffer_append(batch, header, sizeof header);
}
