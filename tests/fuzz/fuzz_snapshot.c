/* fuzz_snapshot.c - whatever a peer sends as a snapshot, only rows of the partition get in, and no false copy is whole
 *
 * The bytes are tried as a frame, as a beginning, and, behind a good beginning, as a chunk (all but the first byte) and
 * as an ending; the first byte says how much of them is the chunk.
 */
#include "cluster/snapshot.h"
#include "storage/image.h"
#include "storage/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define PARTITION 3

static void check_frame(const uint8_t *bytes, size_t n)
{
    uint8_t again[SNAPSHOT_HEAD_BYTES];
    snapshot_head_t head;
    const uint8_t *body = bytes + SNAPSHOT_HEAD_BYTES;

    if (n < SNAPSHOT_HEAD_BYTES || snapshot_head_decode(&head, bytes, SNAPSHOT_HEAD_BYTES, body,
                                                        n - SNAPSHOT_HEAD_BYTES, NULL) != ERR_NONE)
        return;
    snapshot_head_encode(&head, body, n - SNAPSHOT_HEAD_BYTES, again);
    INVARIANT(memcmp(again, bytes, sizeof again) == 0);
}

static void check_family(store_t *store, family_t family)
{
    store_cursor_t *cursor = store_cursor_new(store, NULL, family, NULL, 0, NULL, 0);

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t key_bytes;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);

        INVARIANT(family != FAMILY_LOG);
        if (family == FAMILY_META) /* the marker, definitions */
            INVARIANT(key[0] == 'L' || key[0] == 'X');
        else
            INVARIANT(key_bytes > 2 && be16_get(key) == PARTITION);
    }
    store_cursor_destroy(&cursor);
}

static void check_loader(const uint8_t *begin, size_t begin_bytes, const uint8_t *bytes, size_t n)
{
    snapshot_target_t target = {
        .store = store_memory_new(), .catalogue = catalogue_new(), .partition = PARTITION};
    snapshot_loader_t *loader;
    bool done = false, incomplete = false;
    size_t chunk = n > 0 ? bytes[0] * (n - 1) / UINT8_MAX : 0;
    err_t err;

    if (snapshot_loader_open(&loader, &target, begin, begin_bytes, &err) == ERR_NONE) {
        INVARIANT(snapshot_loader_empty(loader, &done, &err) == ERR_NONE && done);
        errcode_t rc = n > 0 ? snapshot_loader_chunk(loader, 1, bytes + 1, chunk, &err) : ERR_NONE;
        for (family_t family = 0; family < FAMILY__COUNT; family++)
            check_family(target.store, family);
        /* An ending holds a digest of everything before it: no bytes that come by chance are one. */
        if (rc == ERR_NONE && n > 0)
            INVARIANT(snapshot_loader_end(loader, 2, bytes + 1 + chunk, n - 1 - chunk, &err) !=
                      ERR_NONE);
        INVARIANT(image_incomplete(target.store, PARTITION, &incomplete, &err) == ERR_NONE);
        INVARIANT(incomplete);
    }
    snapshot_loader_destroy(&loader);
    catalogue_destroy(&target.catalogue);
    store_destroy(&target.store);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static buffer_t begin;

    if (begin.max == 0) {
        position_t position = {.epoch = 4, .seq = 70, .offset = 90};
        buffer_init(&begin, SNAPSHOT_BODY_MAX);
        journal_position_encode(&position, &begin);
    }
    check_frame(bytes, n);
    check_loader(bytes, n, NULL, 0);
    check_loader(begin.bytes, begin.size, bytes, n);
    return 0;
}
