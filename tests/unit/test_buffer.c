/* test_buffer.c - buffers and arenas keep their maximum */
#include "protocol/buffer.h"

#include <criterion/criterion.h>

Test(buffer, grows_to_its_maximum_and_keeps_what_was_written, .timeout = 10)
{
    buffer_t buffer;

    buffer_init(&buffer, 100000);
    for (int i = 0; i < 100000; i++)
        buffer_byte(&buffer, (uint8_t)i);
    cr_assert_not(buffer.failed);
    cr_assert_eq(buffer.size, 100000);
    cr_assert_leq(buffer.capacity, 100000);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(buffer.bytes[i], (uint8_t)i);
    buffer_free(&buffer);
}

Test(buffer, a_write_past_the_maximum_fails_and_later_ones_are_dropped, .timeout = 10)
{
    buffer_t buffer;

    buffer_init(&buffer, 8);
    buffer_text(&buffer, "abcdef");
    buffer_text(&buffer, "ghi");
    cr_assert(buffer.failed);
    cr_assert_eq(buffer.size, 6);
    buffer_byte(&buffer, 'x'); /* would fit, but stands behind a hole */
    buffer_printf(&buffer, "y");
    cr_assert_eq(buffer.size, 6);
    cr_assert(buffer.failed);
    buffer_reset(&buffer);
    buffer_text(&buffer, "12345678");
    cr_assert_not(buffer.failed);
    cr_assert_eq(memcmp(buffer.bytes, "12345678", 8), 0);
    buffer_free(&buffer);
}

Test(buffer, a_reservation_that_would_wrap_is_refused, .timeout = 10)
{
    buffer_t buffer;

    buffer_init(&buffer, SIZE_MAX);
    buffer_text(&buffer, "abc");
    cr_assert_not(buffer_reserve(&buffer, SIZE_MAX - 1));
    cr_assert(buffer.failed);
    buffer_free(&buffer);
}

Test(buffer, printf_writes_texts_of_any_length, .timeout = 10)
{
    buffer_t buffer;

    buffer_init(&buffer, 1000);
    buffer_printf(&buffer, "%s=%d;", "first", 1);
    buffer_printf(&buffer, "%0300d", 7);
    buffer_printf(&buffer, "%s", "");
    cr_assert_eq(buffer.size, 8 + 300);
    cr_assert_eq(memcmp(buffer.bytes, "first=1;000", 11), 0);
    cr_assert_eq(buffer.bytes[307], '7');
    buffer_printf(&buffer, "%01000d", 7);
    cr_assert(buffer.failed);
    buffer_free(&buffer);
}

Test(buffer, printf_fills_the_last_byte_of_the_maximum, .timeout = 10)
{
    buffer_t buffer;

    buffer_init(&buffer, 5);
    buffer_printf(&buffer, "%s", "12345");
    cr_assert_not(buffer.failed);
    cr_assert_eq(buffer.size, 5);
    cr_assert_eq(memcmp(buffer.bytes, "12345", 5), 0);
    buffer_free(&buffer);
}

Test(buffer, is_usable_after_free, .timeout = 10)
{
    buffer_t buffer;

    buffer_init(&buffer, 16);
    buffer_text(&buffer, "abc");
    buffer_free(&buffer);
    cr_assert_eq(buffer.size, 0);
    buffer_text(&buffer, "def");
    cr_assert_eq(buffer.size, 3);
    buffer_free(&buffer);
    buffer_free(&buffer);
}

Test(arena, memory_is_aligned_and_does_not_overlap, .timeout = 10)
{
    uint8_t *parts[200];
    arena_t arena;

    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(parts); i++) {
            parts[i] = arena_alloc(&arena, i);
            cr_assert_not_null(parts[i]);
            cr_assert_eq((uintptr_t)parts[i] % 16, 0);
            memset(parts[i], (int)i, i);
        }
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            for (size_t k = 0; k < i; k++)
                cr_assert_eq(parts[i][k], (uint8_t)i);
        arena_reset(&arena);
        cr_assert_eq(arena.used, 0);
    }
    arena_free(&arena);
}

Test(arena, gives_nothing_past_its_maximum, .timeout = 10)
{
    arena_t arena;
    size_t given = 0;

    arena_init(&arena, 10000);
    cr_assert_null(arena_alloc(&arena, 10001));
    cr_assert_null(arena_alloc(&arena, SIZE_MAX));
    cr_assert_null(arena_copy(&arena, "", SIZE_MAX));
    while (arena_alloc(&arena, 16) != NULL)
        given += 16;
    cr_assert_eq(given, 10000);
    cr_assert_eq(arena.used, given);
    arena_reset(&arena);
    cr_assert_not_null(arena_alloc(&arena, 9000));
    cr_assert_null(arena_alloc(&arena, 9000));
    arena_free(&arena);
}

Test(arena, a_large_request_after_many_small_rounds_still_fits, .timeout = 10)
{
    arena_t arena;

    arena_init(&arena, 100000);
    for (int round = 0; round < 10; round++) {
        cr_assert_not_null(arena_alloc(&arena, 100));
        arena_reset(&arena);
    }
    cr_assert_not_null(arena_alloc(&arena, 100000));
    arena_free(&arena);
}

Test(arena, copies_are_terminated, .timeout = 10)
{
    arena_t arena;

    arena_init(&arena, 1000);
    cr_assert_str_eq(arena_copy(&arena, "points and more", 6), "points");
    cr_assert_str_eq(arena_copy(&arena, NULL, 0), "");
    arena_free(&arena);
}
