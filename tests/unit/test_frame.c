/* test_frame.c - what travels between nodes comes out as it went in, or not at all */
#include "cluster/frame.h"

#include <criterion/criterion.h>
#include <string.h>

static void framed(link_header_t *header, link_kind_t kind, uint32_t count, const buffer_t *body)
{
    *header = (link_header_t){.kind = (uint8_t)kind,
                              .count = count,
                              .body_bytes = (uint32_t)body->size,
                              .crc = crc32c(0, body->bytes, body->size)};
    memset(header->from.bytes, 1, HASH_BYTES);
    memset(header->to.bytes, 2, HASH_BYTES);
}

static void framed_commands(buffer_t *body, int count)
{
    buffer_init(body, LINK_BODY_BYTES_MAX);
    for (int i = 0; i < count; i++) {
        link_command_t command = {.id = UINT64_MAX - (uint64_t)i,
                                  .partition = (uint16_t)i,
                                  .deadline_us = i - 1,
                                  .bytes = "command",
                                  .n = (size_t)i % 8};

        link_command_put(body, &command);
    }
}

Test(frame, header_has_its_layout_for_ever)
{
    static const uint8_t golden[LINK_HEADER_BYTES] = {
        0xfe, 0xa1, 1, 4, 1, 1, 1, 1, 1, 1, 1,    1,    1,    1,    1,    1,
        1,    1,    1, 1, 2, 2, 2, 2, 2, 2, 2,    2,    2,    2,    2,    2,
        2,    2,    2, 2, 0, 0, 0, 3, 0, 0, 0x01, 0x02, 0xde, 0xad, 0xbe, 0xef};
    link_header_t header = {
        .kind = LINK_COMMANDS, .count = 3, .body_bytes = 0x102, .crc = 0xdeadbeef};
    link_header_t back;
    uint8_t bytes[LINK_HEADER_BYTES];

    memset(header.from.bytes, 1, HASH_BYTES);
    memset(header.to.bytes, 2, HASH_BYTES);
    link_header_encode(&header, bytes);
    cr_assert_arr_eq(bytes, golden, sizeof golden);
    cr_assert_eq(link_header_decode(&back, bytes, sizeof bytes, NULL), ERR_NONE);
    cr_assert_eq(back.kind, header.kind);
    cr_assert_eq(back.count, header.count);
    cr_assert_eq(back.body_bytes, header.body_bytes);
    cr_assert_eq(back.crc, header.crc);
    cr_assert(hash_equal(&back.from, &header.from));
    cr_assert(hash_equal(&back.to, &header.to));
}

Test(frame, header_of_something_else_is_refused)
{
    link_header_t header = {.kind = LINK_COMMANDS, .count = 3};
    uint8_t bytes[LINK_HEADER_BYTES + 1] = {0};

    link_header_encode(&header, bytes);
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL), ERR_NONE);
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES - 1, NULL), ERR_CORRUPT);
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES + 1, NULL), ERR_CORRUPT);
    bytes[0] ^= 1;
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL), ERR_CORRUPT);
    bytes[0] ^= 1;
    bytes[2]++; /* version */
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL), ERR_CORRUPT);
    bytes[2]--;
    bytes[3] = LINK_KIND__END;
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL), ERR_CORRUPT);
    bytes[3] = 0;
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL), ERR_CORRUPT);
    bytes[3] = LINK_HELLO; /* one item, not three */
    cr_assert_eq(link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL), ERR_CORRUPT);
}

Test(frame, commands_come_out_as_they_went_in)
{
    enum { COUNT = 300 };
    buffer_t body;
    link_header_t header;
    link_command_t command;
    unpack_t in;

    framed_commands(&body, COUNT);
    framed(&header, LINK_COMMANDS, COUNT, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    in = unpack_from(body.bytes, body.size);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(link_command_next(&in, &command));
        cr_assert_eq(command.id, UINT64_MAX - (uint64_t)i);
        cr_assert_eq(command.partition, i);
        cr_assert_eq(command.deadline_us, i - 1);
        cr_assert_eq(command.n, (size_t)i % 8);
        cr_assert_arr_eq(command.bytes, "command", command.n);
    }
    cr_assert(unpack_done(&in));
    buffer_free(&body);
}

Test(frame, results_carry_bytes_or_an_error_with_its_words)
{
    buffer_t body;
    const log_place_t place = {{{9}}, 5, UINT64_MAX};
    link_header_t header;
    link_result_t result;
    unpack_t in;
    err_t err;

    (void)err_field(&err, ERR_INVALID, "points", "must be %d", 1);
    buffer_init(&body, 4096);
    link_result_put(&body, 1, NULL, "answer", 6, NULL);
    link_result_put(&body, 2, &err, "ignored", 7, &place);
    link_result_put(&body, 3, NULL, "placed", 6, &place);
    framed(&header, LINK_RESULTS, 3, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    in = unpack_from(body.bytes, body.size);
    cr_assert(link_result_next(&in, &result));
    cr_assert_eq(result.id, 1);
    cr_assert_eq(result.err.code, ERR_NONE);
    cr_assert_eq(result.n, 6);
    cr_assert_arr_eq(result.bytes, "answer", 6);
    cr_assert(link_result_next(&in, &result));
    cr_assert_eq(result.id, 2);
    cr_assert_eq(result.err.code, ERR_INVALID);
    cr_assert_str_eq(result.err.field, "points");
    cr_assert_str_eq(result.err.text, "must be 1");
    cr_assert_eq(result.place.epoch, 0);
    cr_assert(link_result_next(&in, &result));
    cr_assert_eq(result.err.code, ERR_NONE);
    cr_assert_arr_eq(result.bytes, "placed", 6);
    cr_assert(hash_equal(&result.place.history, &place.history));
    cr_assert_eq(result.place.epoch, 5);
    cr_assert_eq(result.place.seq, UINT64_MAX);
    cr_assert(unpack_done(&in));
    buffer_free(&body);
}

Test(frame, an_error_code_of_a_later_release_is_an_internal_error)
{
    buffer_t body;
    link_result_t result;
    unpack_t in;

    buffer_init(&body, 4096);
    pack_u64(&body, 7);
    pack_u64(&body, 5000);
    pack_text(&body, "", 0);
    pack_text(&body, "new", 3);
    in = unpack_from(body.bytes, body.size);
    cr_assert(link_result_next(&in, &result));
    cr_assert_eq(result.err.code, ERR_INTERNAL);
    cr_assert_str_eq(result.err.text, "new");
    buffer_free(&body);
}

Test(frame, error_words_that_are_too_long_are_cut)
{
    buffer_t body;
    link_result_t result;
    unpack_t in;
    char words[1000];

    memset(words, 'w', sizeof words);
    buffer_init(&body, 4096);
    pack_u64(&body, 7);
    pack_u64(&body, ERR_STATE);
    pack_text(&body, words, sizeof words);
    pack_text(&body, words, sizeof words);
    in = unpack_from(body.bytes, body.size);
    cr_assert(link_result_next(&in, &result));
    cr_assert_eq(strlen(result.err.field), sizeof result.err.field - 1);
    cr_assert_eq(strlen(result.err.text), sizeof result.err.text - 1);
    buffer_free(&body);
}

Test(frame, messages_come_out_as_they_went_in)
{
    buffer_t body;
    link_header_t header;
    link_message_t message = {.partition = BIRTH_PARTITIONS_MAX, .bytes = "m", .n = 1};
    unpack_t in;

    buffer_init(&body, 4096);
    link_message_put(&body, &message);
    framed(&header, LINK_MESSAGES, 1, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    in = unpack_from(body.bytes, body.size);
    memset(&message, 0, sizeof message);
    cr_assert(link_message_next(&in, &message));
    cr_assert_eq(message.partition, BIRTH_PARTITIONS_MAX);
    cr_assert_eq(message.n, 1);
    buffer_free(&body);
}

static void framed_hello(link_hello_t *hello)
{
    memset(hello, 0, sizeof *hello);
    memcpy(hello->address, "h1:7001", 8);
    memset(hello->heard.bytes, 1, HASH_BYTES);
    memset(hello->list.bytes, 2, HASH_BYTES);
    memset(hello->cluster.bytes, 3, HASH_BYTES);
    hello->born = true;
    hello->settled = true;
    hello->node = 2;
    hello->partitions = 16;
    hello->owned[0] = 0x81;
    hello->owned[2] = 1;
}

Test(frame, a_hello_comes_out_as_it_went_in)
{
    buffer_t body;
    link_header_t header;
    link_hello_t hello, back;
    unpack_t in;

    framed_hello(&hello);
    buffer_init(&body, 4096);
    link_hello_put(&body, &hello);
    framed(&header, LINK_HELLO, 1, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    in = unpack_from(body.bytes, body.size);
    cr_assert(link_hello_next(&in, &back));
    cr_assert_str_eq(back.address, "h1:7001");
    cr_assert(hash_equal(&back.heard, &hello.heard));
    cr_assert(hash_equal(&back.list, &hello.list));
    cr_assert(hash_equal(&back.cluster, &hello.cluster));
    cr_assert(back.born && back.settled);
    cr_assert_eq(back.node, 2);
    for (uint16_t p = 0; p <= 16; p++)
        cr_assert_eq(link_hello_owns(&back, p), p == 0 || p == 7 || p == 16);
    cr_assert(!link_hello_owns(&back, 17));
    buffer_free(&body);
}

Test(frame, a_hello_from_no_address_is_refused)
{
    static const char *const bad[] = {"", "h1", "h1:0", "h\"1:7001"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buffer_t body;
        link_hello_t hello;
        unpack_t in;

        framed_hello(&hello);
        memcpy(hello.address, bad[i], strlen(bad[i]) + 1);
        buffer_init(&body, 4096);
        link_hello_put(&body, &hello);
        in = unpack_from(body.bytes, body.size);
        cr_assert(!link_hello_next(&in, &hello), "%s", bad[i]);
        buffer_free(&body);
    }
}

static void framed_shared_hello(link_shared_hello_t *hello)
{
    memset(hello, 0, sizeof *hello);
    memcpy(hello->address, "h1:7001", 8);
    memset(hello->heard.bytes, 1, HASH_BYTES);
    memset(hello->cluster.bytes, 3, HASH_BYTES);
    hello->known = true;
    hello->partitions = 16;
    hello->epochs[0] = 1;
    hello->epochs[7] = UINT64_MAX;
    hello->epochs[16] = 300;
    hello->bulk_port = UINT16_MAX;
}

Test(frame, a_hello_of_a_shared_log_comes_out_as_it_went_in)
{
    buffer_t body;
    link_header_t header;
    link_shared_hello_t hello, back;
    unpack_t in;

    framed_shared_hello(&hello);
    buffer_init(&body, 4096);
    link_shared_hello_put(&body, &hello);
    framed(&header, LINK_SHARED_HELLO, 1, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    in = unpack_from(body.bytes, body.size);
    cr_assert(link_shared_hello_next(&in, &back));
    cr_assert_eq(memcmp(&hello, &back, sizeof hello), 0);
    /* Somebody who expects the other kind reads nothing out of it. */
    header.kind = LINK_HELLO;
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT);
    buffer_free(&body);
}

Test(frame, a_hello_of_a_shared_log_is_small_enough_with_all_partitions)
{
    buffer_t body;
    link_shared_hello_t hello, back;
    unpack_t in;

    framed_shared_hello(&hello);
    hello.partitions = BIRTH_PARTITIONS_MAX;
    for (unsigned i = 0; i <= BIRTH_PARTITIONS_MAX; i++)
        hello.epochs[i] = UINT64_MAX - i;
    buffer_init(&body, LINK_BATCH_BYTES);
    link_shared_hello_put(&body, &hello);
    cr_assert(!body.failed);
    in = unpack_from(body.bytes, body.size);
    cr_assert(link_shared_hello_next(&in, &back));
    cr_assert_eq(memcmp(&hello, &back, sizeof hello), 0);
    buffer_free(&body);
}

Test(frame, epochs_that_cannot_be_are_refused)
{
    /* partitions, number of pairs, then partition and epoch of two */
    static const uint64_t rows[][6] = {
        {16, 2, 3, 9, 4, 9},  /* the good one */
        {16, 2, 3, 9, 3, 9},  /* twice */
        {16, 2, 4, 9, 3, 9},  /* not ascending */
        {16, 2, 3, 9, 17, 9}, /* no such partition */
        {16, 2, 3, 0, 4, 9},  /* no epoch */
        {16, 3, 3, 9, 4, 9},  /* one is missing */
        {16, 18, 3, 9, 4, 9}, {0, 2, 3, 9, 4, 9}, {BIRTH_PARTITIONS_MAX + 1, 2, 3, 9, 4, 9},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const hash_t zero = {{0}};
        buffer_t body;
        link_shared_hello_t hello;
        unpack_t in;

        buffer_init(&body, 4096);
        pack_text(&body, "h1:7001", 7);
        pack_blob(&body, zero.bytes, HASH_BYTES);
        pack_bool(&body, true);
        pack_blob(&body, zero.bytes, HASH_BYTES);
        for (size_t k = 0; k < 6; k++)
            pack_u64(&body, rows[i][k]);
        pack_u64(&body, 7401); /* where it gives snapshots */
        in = unpack_from(body.bytes, body.size);
        cr_assert_eq(link_shared_hello_next(&in, &hello), i == 0, "row %zu", i);
        buffer_free(&body);
    }
}

Test(frame, a_body_counts_as_a_whole_or_not_at_all)
{
    enum { COUNT = 20 };
    buffer_t body;
    link_header_t header;

    framed_commands(&body, COUNT);
    framed(&header, LINK_COMMANDS, COUNT, &body);
    for (size_t i = 0; i < body.size; i++) {
        body.bytes[i] ^= 0x10;
        cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT,
                     "byte %zu", i);
        body.bytes[i] ^= 0x10;
    }
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size - 1, NULL), ERR_CORRUPT);
    /* With a right checksum, but another number of items than there are. */
    header.count = COUNT + 1;
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT);
    header.count = COUNT - 1;
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT);
    header.count = COUNT;
    header.kind = LINK_MESSAGES;
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT);
    header.kind = LINK_QUERIES; /* the same items */
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    header.kind = LINK_QUERIES_ANY;
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_NONE);
    buffer_free(&body);
}

Test(frame, a_partition_that_cannot_exist_is_refused)
{
    buffer_t body;
    link_command_t command = {.bytes = "", .partition = BIRTH_PARTITIONS_MAX + 1};
    link_message_t message = {.bytes = "", .partition = BIRTH_PARTITIONS_MAX + 1};
    link_header_t header;

    buffer_init(&body, 4096);
    link_command_put(&body, &command);
    framed(&header, LINK_COMMANDS, 1, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT);
    buffer_reset(&body);
    link_message_put(&body, &message);
    framed(&header, LINK_MESSAGES, 1, &body);
    cr_assert_eq(link_frame_check(&header, body.bytes, body.size, NULL), ERR_CORRUPT);
    buffer_free(&body);
}
