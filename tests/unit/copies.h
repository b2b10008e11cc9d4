/* copies.h - stores with rows of partitions as a node on a shared log has them, for the tests of snapshots
 *
 * Contract   copies_write puts rows of one partition in all families with the position they stand at, in one batch, as a
 *            node does; copies_define the content of one definition. copies_dump is everything that a copy consists of.
 * Threads    As the store.
 * Ownership  Stores and buffers are the caller's.
 * Units      Rows.
 * Errors     The test fails.
 */
#ifndef FEALTY_COPIES_H
#define FEALTY_COPIES_H

#include "actors/message.h"
#include "actors/rows.h"
#include "cluster/snapshot.h"
#include "protocol/pack.h"
#include "storage/image.h"
#include "storage/journal.h"
#include "tests/unit/scratch.h"

#define COPIES_BYTES_MAX ((size_t)64 << 20)

static inline void copies_put_all(store_t *store, const buffer_t *batch)
{
    const batch_part_t part = {batch->bytes, batch->size};
    err_t err = {0};

    cr_assert(!batch->failed);
    cr_assert_eq(store_write(store, &part, 1, false, &err), ERR_NONE, "%s", err.text);
}

/* Every member says something, those too that this test does not know. */
static inline position_t copies_position(uint64_t seq)
{
    position_t position;

    memset(&position, 0x15, sizeof position);
    position.epoch = 3;
    position.seq = seq;
    position.chain = seq * 31;
    position.now_us = (int64_t)seq * 1000;
    position.offset = seq + 7;
    position.crc = (uint32_t)seq ^ 0xffu;
    return position;
}

/* `count` rows per family with numbers from `from` on, whose values say `seq`. */
static inline void copies_write(store_t *store, uint16_t partition, uint32_t from, uint32_t count,
                                size_t value_bytes, uint64_t seq)
{
    static const family_t families[] = {FAMILY_STATE, FAMILY_ENTRY, FAMILY_KEY, FAMILY_OUTBOX,
                                        FAMILY_LOT};
    position_t position = copies_position(seq);
    uint8_t *value = memory_zalloc(value_bytes + 8);
    buffer_t batch;

    buffer_init(&batch, COPIES_BYTES_MAX);
    for (size_t f = 0; f < COUNT_OF(families); f++) {
        for (uint32_t i = from; i < from + count; i++) {
            uint8_t key[7];

            be16_put(key, partition);
            key[2] = 'A';
            be32_put(key + 3, i);
            be64_put(value, seq);
            memset(value + 8, (int)(i + f), value_bytes);
            batch_put(&batch, families[f], key, sizeof key, value, value_bytes + 8);
        }
    }
    journal_put_position(partition, &position, &batch);
    copies_put_all(store, &batch);
    buffer_free(&batch);
    free(value);
}

static inline void copies_define(store_t *store, uint64_t version)
{
    static const char json[] =
        "{\"id\":1,\"name\":\"Points\",\"start_date\":\"2020-01-01T00:00:00Z\","
        "\"end_date\":\"2099-01-01T00:00:00Z\",\"is_active\":true}";
    const change_t change = {
        .version = version, .resource = RESOURCE_PROGRAM, .id = 1, .json = {json, sizeof json - 1}};
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value, batch;

    buffer_init(&value, 4096);
    buffer_init(&batch, 4096);
    change_encode(&change, &value);
    batch_put(&batch, FAMILY_META, key, key_content(key, version), value.bytes, value.size);
    copies_put_all(store, &batch);
    buffer_free(&value);
    buffer_free(&batch);
}

/* Rows and position of a partition, and the definitions, as one list of writes. */
static inline void copies_dump(store_t *store, uint16_t partition, buffer_t *out)
{
    for (family_t family = 0; family < FAMILY__COUNT; family++) {
        store_cursor_t *cursor = store_cursor_new(store, NULL, family, "", 0, "", 0);

        for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
            size_t key_bytes, value_bytes;
            const uint8_t *key = store_cursor_key(cursor, &key_bytes);
            const uint8_t *value = store_cursor_value(cursor, &value_bytes);
            bool own = family == FAMILY_META ? key[0] == 'X' || be16_get(key + 1) == partition
                                             : be16_get(key) == partition;

            if (own)
                batch_put(out, family, key, key_bytes, value, value_bytes);
        }
        cr_assert_eq(store_cursor_error(cursor, NULL), ERR_NONE);
        store_cursor_destroy(&cursor);
    }
    cr_assert(!out->failed);
}

static inline bool copies_are_equal(store_t *one, store_t *other, uint16_t partition)
{
    buffer_t a, b;
    bool equal;

    buffer_init(&a, COPIES_BYTES_MAX);
    buffer_init(&b, COPIES_BYTES_MAX);
    copies_dump(one, partition, &a);
    copies_dump(other, partition, &b);
    equal = a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
    buffer_free(&a);
    buffer_free(&b);
    return equal;
}

static inline bool copies_incomplete(store_t *store, uint16_t partition)
{
    bool incomplete = false;

    cr_assert_eq(image_incomplete(store, partition, &incomplete, NULL), ERR_NONE);
    return incomplete;
}

#endif
