/* test_command.c - commands and results survive the way to bytes and back, and bad bytes are refused */
#include "protocol/command.h"

#include <criterion/criterion.h>

static text_t some_text(const char *text)
{
    return text_of(text);
}

static command_t full_command(void)
{
    command_t command = {
        .kind = COMMAND_TRANSFER,
        .operation = OPERATION_TRANSFER,
        .customer = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .program = UINT32_MAX,
        .account = ID_MAX,
        .entry = 7,
        .key = some_text("key-1"),
        .key_hash = {{9}},
        .body_hash = {{0, 0, 0, 0, 0, 0, 0, 0, 1}},
        .actor = 3,
        .rights = RIGHT_ADJUST | RIGHT_IMPORT,
        .deadline_us = INT64_MAX,
        .effective_us = -1,
        .amount = (int128_t)INT64_MAX * 1000000,
        .points = -POINTS_MAX,
        .description = some_text("caf\xc3\xa9"),
        .metadata = some_text("{\"a\":1}"),
        .reference = some_text("T-9"),
        .to_customer = {{255}},
        .to_account = 12,
        .status = 4,
        .tier = 5,
        .set = SET_BALANCE | SET_TYPE,
        .if_match = 6,
        .entry_type = 10,
        .resource = 3,
        .id = 8,
        .body = some_text("{}"),
        .token = {{1}},
        .user = 77,
        .expires_us = INT64_MIN,
        .message = {"\0\1\2", 3},
    };
    return command;
}

static void check_same_command(const command_t *a, const command_t *b)
{
    static buffer_t first, second;

    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    command_encode(a, &first);
    command_encode(b, &second);
    cr_assert_eq(first.size, second.size);
    cr_assert_eq(memcmp(first.bytes, second.bytes, first.size), 0);
    buffer_free(&first);
    buffer_free(&second);
}

Test(command, comes_back_with_every_field)
{
    command_t command = full_command();
    command_t back;
    buffer_t bytes;
    err_t err = {0};

    buffer_init(&bytes, 1 << 16);
    command_encode(&command, &bytes);
    cr_assert_eq(command_decode(&back, bytes.bytes, bytes.size, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(back.kind, COMMAND_TRANSFER);
    cr_assert(uuid_equal(&back.customer, &command.customer));
    cr_assert(uuid_equal(&back.to_customer, &command.to_customer));
    cr_assert_eq(back.account, ID_MAX);
    cr_assert(back.amount == command.amount);
    cr_assert_eq(back.points, -POINTS_MAX);
    cr_assert_eq(back.expires_us, INT64_MIN);
    cr_assert_eq(back.deadline_us, INT64_MAX);
    cr_assert_eq(back.effective_us, -1);
    cr_assert_eq(back.description.n, 5);
    cr_assert_eq(memcmp(back.description.bytes, "caf\xc3\xa9", 5), 0);
    cr_assert_eq(back.message.n, 3);
    cr_assert_eq(memcmp(back.message.bytes, "\0\1\2", 3), 0);
    cr_assert(hash_equal(&back.body_hash, &command.body_hash));
    check_same_command(&command, &back);
    buffer_free(&bytes);
}

Test(command, without_fields_is_one_byte)
{
    command_t command = {0};
    command_t back = full_command();
    buffer_t bytes;

    buffer_init(&bytes, 1 << 16);
    command_encode(&command, &bytes);
    cr_assert_eq(bytes.size, 1);
    cr_assert_eq(command_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    check_same_command(&command, &back);
    buffer_free(&bytes);
}

Test(command, has_bytes_that_never_change)
{
    command_t command = {.kind = COMMAND_EARN, .program = 300, .reference = some_text("T")};
    static const uint8_t expected[] = {0x83, 1, 2, 4, 0xcd, 1, 0x2c, 18, 0x92, 0, 0xa1, 'T'};
    buffer_t bytes;

    buffer_init(&bytes, 1 << 16);
    command_encode(&command, &bytes);
    cr_assert_eq(bytes.size, sizeof expected);
    cr_assert_eq(memcmp(bytes.bytes, expected, sizeof expected), 0);
    buffer_free(&bytes);
}

Test(command, cut_short_anywhere_is_corrupt)
{
    command_t command = full_command();
    command_t back;
    buffer_t bytes;

    buffer_init(&bytes, 1 << 16);
    command_encode(&command, &bytes);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(command_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT, "cut at %zu", n);
    buffer_byte(&bytes, 0);
    cr_assert_eq(command_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
}

Test(command, with_an_unknown_or_repeated_field_is_corrupt)
{
    static const uint8_t unknown[] = {0x81, 33, 1};
    static const uint8_t zero[] = {0x81, 0, 1};
    static const uint8_t repeated[] = {0x82, 4, 1, 4, 1};
    command_t back;

    cr_assert_eq(command_decode(&back, unknown, sizeof unknown, NULL), ERR_CORRUPT);
    cr_assert_eq(command_decode(&back, zero, sizeof zero, NULL), ERR_CORRUPT);
    cr_assert_eq(command_decode(&back, repeated, sizeof repeated, NULL), ERR_CORRUPT);
}

Test(command, with_a_number_too_large_for_its_field_is_corrupt)
{
    static const uint8_t kind[] = {0x81, 1, 0xcd, 1, 0};
    static const uint8_t program[] = {0x81, 4, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0};
    static const uint8_t negative[] = {0x81, 5, 0xff};
    command_t back;

    cr_assert_eq(command_decode(&back, kind, sizeof kind, NULL), ERR_CORRUPT);
    cr_assert_eq(command_decode(&back, program, sizeof program, NULL), ERR_CORRUPT);
    cr_assert_eq(command_decode(&back, negative, sizeof negative, NULL), ERR_CORRUPT);
}

Test(command, with_free_text_under_an_unknown_key_is_corrupt)
{
    static const uint8_t sealed[] = {0x81, 16, 0x92, 1, 0xa1, 'x'};
    static const uint8_t bare[] = {0x81, 16, 0xa1, 'x'};
    command_t back;

    cr_assert_eq(command_decode(&back, sealed, sizeof sealed, NULL), ERR_CORRUPT);
    cr_assert_eq(command_decode(&back, bare, sizeof bare, NULL), ERR_CORRUPT);
}

Test(command, operations_have_names_both_ways)
{
    for (uint8_t operation = OPERATION_EARN; operation <= OPERATION_DEFINE; operation++) {
        const char *name = operation_name(operation);

        cr_assert_not_null(name);
        cr_assert_eq(operation_of_name(name, strlen(name)), operation);
    }
    cr_assert_null(operation_name(OPERATION_DEFINE + 1));
    cr_assert_null(operation_name(255));
    cr_assert_eq(operation_of_name("earnings", 8), OPERATION_NONE);
    cr_assert_eq(operation_of_name("", 0), OPERATION_NONE);
}

Test(result, comes_back_with_every_field)
{
    result_t result = {
        .status = 400,
        .renderer = RENDER_REFUSAL_1,
        .code = some_text("insufficient_points"),
        .error = some_text("Insufficient points\nsecond"),
        .field = some_text("points"),
        .account = 1,
        .entry = 2,
        .points = -3,
        .balance_after = 4,
        .base_points = 5,
        .calculated = 6,
        .multiplier_ppm = 1250000,
        .cost = 7,
        .discount = 8,
        .old_tier = some_text("Silver"),
        .new_tier = some_text("Gold"),
        .transfer = 9,
        .to_account = 10,
        .to_entry = 11,
        .to_balance_after = 12,
        .required = 13,
        .available = 14,
        .row = {"\x90", 1},
        .json = some_text("{\"id\":1}"),
        .version = 15,
        .recorded_us = 16,
        .replayed = 1,
    };
    result_t back;
    buffer_t bytes, again;
    err_t err = {0};

    buffer_init(&bytes, 1 << 16);
    buffer_init(&again, 1 << 16);
    result_encode(&result, &bytes);
    cr_assert_eq(result_decode(&back, bytes.bytes, bytes.size, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(back.status, 400);
    cr_assert_eq(back.points, -3);
    cr_assert_eq(back.new_tier.n, 4);
    cr_assert_eq(back.replayed, 1);
    result_encode(&back, &again);
    cr_assert_eq(again.size, bytes.size);
    cr_assert_eq(memcmp(again.bytes, bytes.bytes, bytes.size), 0);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(result_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
    buffer_free(&again);
}

Test(result, with_a_field_of_a_later_version_is_corrupt)
{
    static const uint8_t later[] = {0x81, 28, 1};
    result_t back;

    cr_assert_eq(result_decode(&back, later, sizeof later, NULL), ERR_CORRUPT);
}
