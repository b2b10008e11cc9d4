/* test_view_records.c - views, a genesis and heartbeats as bytes in the channels */
#include "cluster/channel_records.h"
#include "tests/unit/viewed.h"

static buffer_t viewed_bytes(const view_t *view)
{
    buffer_t bytes;

    buffer_init(&bytes, VIEW_BYTES_MAX);
    view_encode(view, &bytes);
    cr_assert(!bytes.failed);
    return bytes;
}

static errcode_t viewed_decode(const view_t *view)
{
    buffer_t bytes = viewed_bytes(view);
    view_t *back = malloc(sizeof *back);
    errcode_t rc = view_decode(back, bytes.bytes, bytes.size, NULL);

    buffer_free(&bytes);
    free(back);
    return rc;
}

Test(view_records, survives_being_written_and_read)
{
    for (unsigned members = 1; members <= VIEW_MEMBERS_MAX; members += 9) {
        view_t *view = viewed_new(VIEW_PARTITIONS_MAX, 3, members);
        view_t *back = malloc(sizeof *back);
        buffer_t bytes;

        memset(view->members[0].rack, 'r', VIEW_RACK_BYTES - 1);
        viewed_place(NULL, view);
        bytes = viewed_bytes(view);
        cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
        cr_assert_eq(memcmp(view, back, sizeof *view), 0);
        for (size_t n = 0; n < bytes.size; n += 1 + n / 64)
            cr_assert_eq(view_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
        buffer_free(&bytes);
        free(view);
        free(back);
    }
}

Test(view_records, survives_with_its_moves_and_is_none_with_moves_that_cannot_be)
{
    view_t *first = viewed_new(16, 1, 3), *view = viewed_after(first), *back = malloc(sizeof *back);
    buffer_t bytes;

    viewed_place(NULL, first);
    *view = *first;
    viewed_move(first, view, 5, 2);
    bytes = viewed_bytes(view);
    cr_assert_eq(bytes.bytes[1], VIEW_VERSION); /* who cannot read it must know that it is newer */
    cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(memcmp(view, back, sizeof *view), 0);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(view_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
    bytes.bytes[bytes.size - 17 + 5] = 0; /* of a view without moves there are no two forms */
    cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
    view->moved[5] = 2;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->moved[5] = 3;
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->feature = VIEW_FEATURE_MOVES - 1;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(first);
    free(view);
    free(back);
}

Test(view_records, is_none_without_members_or_with_a_partition_that_nobody_owns)
{
    view_t *view = viewed_new(16, 1, 3);

    viewed_place(NULL, view);
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->copies[16][0] = VIEW_NOBODY;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[16][1] = VIEW_NOBODY;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[16][0] = 1;
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->copies[5][1] = view->copies[5][0];
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[5][1] = 3;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[5][1] = VIEW_NOBODY;
    view->copies[5][2] = 2;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[5][2] = VIEW_NOBODY;
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->members[1].node = view->members[0].node;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(view);

    view = viewed_new(16, 1, 0);
    memset(view->copies, VIEW_NOBODY, sizeof view->copies);
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(view);
}

Test(view_records, is_none_with_a_member_that_cannot_be_dialled_or_printed)
{
    view_t *view = viewed_new(16, 1, 3);

    viewed_place(NULL, view);
    memcpy(view->members[1].address, "nowhere", 8);
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    memcpy(view->members[1].address, "[::1]:70", 9);
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    memcpy(view->members[1].rack, "a\nb", 4);
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(view);
}

Test(view_records, tells_a_newer_version_from_garbage)
{
    view_t *view = viewed_new(16, 1, 1), *back = malloc(sizeof *back);
    channel_head_t head;
    buffer_t bytes;

    viewed_place(NULL, view);
    bytes = viewed_bytes(view);
    cr_assert_eq(bytes.bytes[1], 1); /* without moves every build reads it */
    bytes.bytes[1] = VIEW_VERSION + 1;
    cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_STATE);
    cr_assert(channel_head_read(&head, bytes.bytes, bytes.size));
    cr_assert_eq(head.version, VIEW_VERSION + 1);
    cr_assert_eq(head.kind, CHANNEL_VIEW);
    cr_assert(hash_equal(&head.cluster, &view->cluster));
    cr_assert(!channel_head_read(&head, "no record at all", 16));
    buffer_free(&bytes);
    free(view);
    free(back);
}

Test(view_records, has_a_genesis_that_survives_being_written_and_read)
{
    founding_t founding = {hash_bytes("cluster", 7), 64, 1, CHANNEL_HASH_VERSION}, back;
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_GENESIS_BYTES_MAX);
    founding_encode(&founding, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(founding_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert(hash_equal(&founding.cluster, &back.cluster));
    cr_assert_eq(back.partitions, 64);
    cr_assert_eq(back.followers, 1);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(founding_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    founding.partitions = VIEW_PARTITIONS_MAX + 1;
    buffer_reset(&bytes);
    founding_encode(&founding, &bytes);
    cr_assert_eq(founding_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    founding.partitions = 64;
    founding.followers = VIEW_COPIES_MAX;
    buffer_reset(&bytes);
    founding_encode(&founding, &bytes);
    cr_assert_eq(founding_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
}

static liveness_t *viewed_beat(uint16_t partitions)
{
    liveness_t *beat = calloc(1, sizeof *beat);

    cr_assert(beat != NULL);
    beat->cluster = hash_bytes("cluster", 7);
    beat->node = hash_bytes("node", 4);
    beat->incarnation = hash_bytes("process", 7);
    beat->number = 12;
    beat->view = 3;
    beat->wall_us = INT64_C(1700000000000000);
    beat->partitions = partitions;
    return beat;
}

Test(view_records, has_heartbeats_that_survive_being_written_and_read)
{
    liveness_t *beat = viewed_beat(VIEW_PARTITIONS_MAX), *back = malloc(sizeof *back);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    for (uint16_t p = 0; p <= VIEW_PARTITIONS_MAX; p++) {
        channel_bit_set(beat->owned, p);
        channel_bit_set(beat->stuck, p);
        channel_bit_set(beat->ready, p);
        beat->epochs[p] = UINT64_MAX - p;
    }
    beat->stopping = true;
    liveness_encode(beat, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(memcmp(beat, back, sizeof *beat), 0);
    for (size_t n = 0; n < bytes.size; n += 1 + n / 32)
        cr_assert_eq(liveness_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
    free(beat);
    free(back);
}

/* 30 nodes, 1,024 partitions, one follower: what one of them says each second. */
Test(view_records, has_heartbeats_that_stay_small)
{
    liveness_t *beat = viewed_beat(VIEW_PARTITIONS_MAX);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    for (uint16_t p = 0; p < VIEW_PARTITIONS_MAX; p++) {
        if (p % 30 == 7) {
            channel_bit_set(beat->owned, p);
            beat->epochs[p] = 40;
        }
        if (p % 30 == 8)
            channel_bit_set(beat->ready, p);
    }
    liveness_encode(beat, &bytes);
    cr_assert_lt(bytes.size, 450, "%zu bytes", bytes.size);
    buffer_free(&bytes);
    free(beat);
}

Test(view_records, has_heartbeats_that_name_no_partition_that_does_not_exist)
{
    liveness_t *beat = viewed_beat(16), *back = malloc(sizeof *back);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    channel_bit_set(beat->ready, 16);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    channel_bit_set(beat->ready, 17);
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    /* Owned, but with no epoch. */
    memset(beat->ready, 0, sizeof beat->ready);
    channel_bit_set(beat->owned, 3);
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    beat->epochs[3] = 1;
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    buffer_free(&bytes);
    free(beat);
    free(back);
}
