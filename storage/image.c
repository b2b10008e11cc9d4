/* image.c - emptying and refilling the rows of a partition */
#include "storage/image.h"

#include "protocol/pack.h"
#include "storage/journal.h"

#define WIPE_BYTES_MAX   ((size_t)4 << 20)
#define MARKER_KEY_BYTES 3

static void marker_key(uint8_t out[MARKER_KEY_BYTES], uint16_t partition)
{
    out[0] = 'L';
    be16_put(out + 1, partition);
}

static errcode_t write_batch(store_t *store, const buffer_t *batch, bool sync, err_t *err)
{
    const batch_part_t part = {batch->bytes, batch->size};

    INVARIANT(!batch->failed);
    return store_write(store, &part, 1, sync, err);
}

errcode_t image_incomplete(store_t *store, uint16_t partition, bool *incomplete, err_t *err)
{
    uint8_t key[MARKER_KEY_BYTES];
    buffer_t value;

    marker_key(key, partition);
    buffer_init(&value, 16);
    errcode_t rc = store_get(store, NULL, FAMILY_META, key, sizeof key, &value, incomplete, err);
    buffer_free(&value);
    return rc;
}

errcode_t image_begin(store_t *store, uint16_t partition, err_t *err)
{
    uint8_t key[MARKER_KEY_BYTES];
    buffer_t batch;

    marker_key(key, partition);
    buffer_init(&batch, 1024);
    batch_put(&batch, FAMILY_META, key, sizeof key, "1", 1);
    journal_drop_position(partition, &batch);
    errcode_t rc = write_batch(store, &batch, true, err);
    buffer_free(&batch);
    return rc;
}

errcode_t image_wipe(store_t *store, uint16_t partition, size_t rows_max, bool *done, err_t *err)
{
    uint8_t lower[2], upper[2];
    size_t upper_bytes = partition == UINT16_MAX ? 0 : sizeof upper;
    size_t rows = 0;
    errcode_t rc = ERR_NONE;
    buffer_t batch;

    be16_put(lower, partition);
    be16_put(upper, (uint16_t)(partition + 1));
    buffer_init(&batch, 2 * WIPE_BYTES_MAX);
    for (family_t family = 0; rc == ERR_NONE && family < FAMILY__COUNT && rows < rows_max;
         family++) {
        if (family == FAMILY_META || family == FAMILY_LOG)
            continue;
        store_cursor_t *cursor =
            store_cursor_new(store, NULL, family, lower, sizeof lower, upper, upper_bytes);
        for (store_cursor_first(cursor);
             store_cursor_valid(cursor) && rows < rows_max && batch.size < WIPE_BYTES_MAX;
             store_cursor_next(cursor)) {
            size_t key_bytes;
            const uint8_t *key = store_cursor_key(cursor, &key_bytes);
            batch_delete(&batch, family, key, key_bytes);
            rows++;
        }
        rc = store_cursor_error(cursor, err);
        store_cursor_destroy(&cursor);
        if (batch.size >= WIPE_BYTES_MAX)
            break;
    }
    *done = rc == ERR_NONE && rows == 0;
    if (rc == ERR_NONE && rows > 0)
        rc = write_batch(store, &batch, false, err);
    buffer_free(&batch);
    return rc;
}

errcode_t image_end(store_t *store, uint16_t partition, const position_t *position, err_t *err)
{
    uint8_t key[MARKER_KEY_BYTES];
    buffer_t batch;

    marker_key(key, partition);
    buffer_init(&batch, 1024);
    batch_delete(&batch, FAMILY_META, key, sizeof key);
    if (position != NULL)
        journal_put_position(partition, position, &batch);
    errcode_t rc = write_batch(store, &batch, true, err);
    buffer_free(&batch);
    return rc;
}
