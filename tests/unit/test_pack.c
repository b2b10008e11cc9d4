/* test_pack.c - what is packed is read back, the shortest form is written, bad input fails safely */
#include "protocol/pack.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const uint64_t unsigned_edges[] = {0,          1,
                                          127,        128,
                                          255,        256,
                                          65535,      65536,
                                          UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                                          INT64_MAX,  (uint64_t)INT64_MAX + 1,
                                          UINT64_MAX};
static const int64_t signed_edges[] = {
    0,         -1,        -32, -33, -128, -129, -32768, -32769, INT32_MIN, (int64_t)INT32_MIN - 1,
    INT64_MIN, INT64_MAX, 127, 128};

static size_t packed_u64(uint64_t value)
{
    buffer_t out;
    size_t n;

    buffer_init(&out, 16);
    pack_u64(&out, value);
    n = out.size;
    buffer_free(&out);
    return n;
}

Test(pack, integers_come_back_equal_in_their_shortest_form, .timeout = 10)
{
    buffer_t out;

    buffer_init(&out, 1024);
    for (size_t i = 0; i < COUNT_OF(unsigned_edges); i++)
        pack_u64(&out, unsigned_edges[i]);
    for (size_t i = 0; i < COUNT_OF(signed_edges); i++)
        pack_i64(&out, signed_edges[i]);
    unpack_t in = unpack_from(out.bytes, out.size);
    for (size_t i = 0; i < COUNT_OF(unsigned_edges); i++)
        cr_assert_eq(unpack_u64(&in), unsigned_edges[i]);
    for (size_t i = 0; i < COUNT_OF(signed_edges); i++)
        cr_assert_eq(unpack_i64(&in), signed_edges[i]);
    cr_assert(unpack_done(&in));
    cr_assert_eq(packed_u64(127), 1);
    cr_assert_eq(packed_u64(128), 2);
    cr_assert_eq(packed_u64(256), 3);
    cr_assert_eq(packed_u64(65536), 5);
    cr_assert_eq(packed_u64(UINT64_C(1) << 32), 9);
    buffer_free(&out);
}

Test(pack, integers_that_do_not_fit_the_reader_fail, .timeout = 10)
{
    buffer_t out;

    buffer_init(&out, 64);
    pack_u64(&out, (uint64_t)INT64_MAX + 1);
    unpack_t in = unpack_from(out.bytes, out.size);
    (void)unpack_i64(&in);
    cr_assert(in.failed);
    buffer_reset(&out);
    pack_i64(&out, -1);
    in = unpack_from(out.bytes, out.size);
    (void)unpack_u64(&in);
    cr_assert(in.failed);
    buffer_free(&out);
}

Test(pack, wide_integers_are_short_when_they_fit_and_blobs_when_not, .timeout = 10)
{
    int128_t wide = ((int128_t)1 << 126) + 12345;
    int128_t values[] = {
        0,    -1,    INT64_MAX, INT64_MIN, (int128_t)INT64_MAX + 1, (int128_t)INT64_MIN - 1,
        wide, -wide, UINT64_MAX};
    buffer_t out;

    buffer_init(&out, 1024);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        size_t before = out.size;

        pack_i128(&out, values[i]);
        cr_assert_eq(out.size - before == 18, values[i] > INT64_MAX || values[i] < INT64_MIN);
    }
    pack_u64(&out, UINT64_MAX); /* a reader takes every integer */
    unpack_t in = unpack_from(out.bytes, out.size);
    for (size_t i = 0; i < COUNT_OF(values); i++)
        cr_assert(unpack_i128(&in) == values[i]);
    cr_assert(unpack_i128(&in) == (int128_t)UINT64_MAX);
    cr_assert(unpack_done(&in));
    buffer_reset(&out);
    pack_blob(&out, "123456789012345", 15);
    in = unpack_from(out.bytes, out.size);
    (void)unpack_i128(&in);
    cr_assert(in.failed);
    buffer_free(&out);
}

Test(pack, texts_and_blobs_come_back_at_every_length_class, .timeout = 10)
{
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    static char content[65536];
    buffer_t out;

    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)(i * 31);
    buffer_init(&out, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        pack_text(&out, content, lengths[i]);
        pack_blob(&out, content, lengths[i]);
    }
    unpack_t in = unpack_from(out.bytes, out.size);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        const char *text;
        const void *blob;

        cr_assert_eq(unpack_text(&in, &text), lengths[i]);
        cr_assert_eq(memcmp(text, content, lengths[i]), 0);
        cr_assert_eq(unpack_blob(&in, &blob), lengths[i]);
        cr_assert_eq(memcmp(blob, content, lengths[i]), 0);
    }
    cr_assert(unpack_done(&in));
    buffer_free(&out);
}

Test(pack, kinds_are_not_mixed_up, .timeout = 10)
{
    buffer_t out;
    const char *text;
    const void *blob;

    buffer_init(&out, 64);
    pack_text(&out, "ab", 2);
    unpack_t in = unpack_from(out.bytes, out.size);
    cr_assert_eq(unpack_blob(&in, &blob), 0);
    cr_assert(in.failed);
    in = unpack_from(out.bytes, out.size);
    (void)unpack_bool(&in);
    cr_assert(in.failed);
    in = unpack_from(out.bytes, out.size);
    cr_assert_eq(unpack_array(&in), 0);
    cr_assert(in.failed);
    buffer_reset(&out);
    pack_blob(&out, "ab", 2);
    in = unpack_from(out.bytes, out.size);
    cr_assert_eq(unpack_text(&in, &text), 0);
    cr_assert(in.failed);
    cr_assert_null(text);
    buffer_free(&out);
}

Test(pack, a_nil_is_seen_without_failing, .timeout = 10)
{
    buffer_t out;

    buffer_init(&out, 64);
    pack_nil(&out);
    pack_bool(&out, true);
    pack_bool(&out, false);
    unpack_t in = unpack_from(out.bytes, out.size);
    cr_assert(unpack_nil(&in));
    cr_assert_not(unpack_nil(&in));
    cr_assert(unpack_bool(&in));
    cr_assert_not(unpack_bool(&in));
    cr_assert_not(unpack_nil(&in));
    cr_assert(unpack_done(&in));
    buffer_free(&out);
}

Test(pack, fixed_blobs_must_have_their_length, .timeout = 10)
{
    buffer_t out;
    uint8_t four[4] = {0};

    buffer_init(&out, 64);
    pack_blob(&out, "abcd", 4);
    unpack_t in = unpack_from(out.bytes, out.size);
    cr_assert(unpack_fixed(&in, four, 4));
    cr_assert_eq(memcmp(four, "abcd", 4), 0);
    in = unpack_from(out.bytes, out.size);
    cr_assert_not(unpack_fixed(&in, four, 3));
    cr_assert(in.failed);
    buffer_free(&out);
}

Test(pack, counts_larger_than_the_rest_are_refused, .timeout = 10)
{
    static const uint8_t array32[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2};
    static const uint8_t map16[] = {0xde, 0, 2, 1, 2, 3};
    static const uint8_t array_ok[] = {0xdc, 0, 2, 1, 2};
    unpack_t in = unpack_from(array32, sizeof array32);

    cr_assert_eq(unpack_array(&in), 0);
    cr_assert(in.failed);
    in = unpack_from(map16, sizeof map16);
    cr_assert_eq(unpack_map(&in), 0);
    cr_assert(in.failed);
    in = unpack_from(array_ok, sizeof array_ok);
    cr_assert_eq(unpack_array(&in), 2);
    cr_assert_not(in.failed);
}

Test(pack, once_failed_a_cursor_stays_failed, .timeout = 10)
{
    static const uint8_t two[] = {0xc3, 0x05};
    unpack_t in = unpack_from(two, sizeof two);

    (void)unpack_u64(&in);
    cr_assert(in.failed);
    cr_assert_eq(unpack_u64(&in), 0);
    cr_assert(in.failed);
    cr_assert_not(unpack_done(&in));
}

Test(pack, every_prefix_of_a_record_fails_and_the_whole_does_not, .timeout = 10)
{
    buffer_t out;

    buffer_init(&out, 4096);
    pack_map(&out, 2);
    pack_text(&out, "name", 4);
    pack_array(&out, 3);
    pack_i64(&out, -70000);
    pack_blob(&out, "0123456789", 10);
    pack_i128(&out, (int128_t)1 << 100);
    pack_text(&out, "n", 1);
    pack_nil(&out);
    for (size_t n = 0; n <= out.size; n++) {
        uint8_t *exact = memory_alloc(n); /* so that a read past the end is seen */
        memcpy(exact, out.bytes, n);
        unpack_t in = unpack_from(exact, n);
        unpack_skip(&in);
        cr_assert_eq(unpack_done(&in), n == out.size);
        free(exact);
    }
    buffer_free(&out);
}

Test(pack, skip_passes_every_form, .timeout = 10)
{
    static const struct {
        uint8_t bytes[24];
        size_t n;
    } forms[] = {{{0x7f}, 1},
                 {{0xff}, 1},
                 {{0xc0}, 1},
                 {{0xc2}, 1},
                 {{0xa2, 'a', 'b'}, 3},
                 {{0xd9, 1, 'a'}, 3},
                 {{0xda, 0, 1, 'a'}, 4},
                 {{0xdb, 0, 0, 0, 1, 'a'}, 6},
                 {{0xc4, 1, 'a'}, 3},
                 {{0xc5, 0, 1, 'a'}, 4},
                 {{0xc6, 0, 0, 0, 1, 'a'}, 6},
                 {{0xc7, 1, 9, 'a'}, 4},
                 {{0xc8, 0, 1, 9, 'a'}, 5},
                 {{0xc9, 0, 0, 0, 1, 9, 'a'}, 7},
                 {{0xca, 0, 0, 0, 0}, 5},
                 {{0xcb}, 9},
                 {{0xcc, 1}, 2},
                 {{0xcf}, 9},
                 {{0xd0, 1}, 2},
                 {{0xd3}, 9},
                 {{0xd4}, 3},
                 {{0xd5}, 4},
                 {{0xd6}, 6},
                 {{0xd7}, 10},
                 {{0xd8}, 18},
                 {{0x92, 1, 0x91, 2}, 4},
                 {{0x81, 1, 0x80}, 3},
                 {{0xdd, 0, 0, 0, 1, 1}, 6},
                 {{0xdf, 0, 0, 0, 1, 1, 2}, 7}};

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        unpack_t in = unpack_from(forms[i].bytes, forms[i].n);

        unpack_skip(&in);
        cr_assert(unpack_done(&in), "form %02x", forms[i].bytes[0]);
        in = unpack_from(forms[i].bytes, forms[i].n - 1);
        unpack_skip(&in);
        cr_assert_not(unpack_done(&in), "form %02x cut short", forms[i].bytes[0]);
    }
    static const uint8_t never_used[] = {0xc1};
    unpack_t in = unpack_from(never_used, 1);
    unpack_skip(&in);
    cr_assert(in.failed);
}

Test(pack, skip_bounds_nesting, .timeout = 10)
{
    uint8_t nested[66];

    memset(nested, 0x91, sizeof nested);
    nested[64] = 0x01;
    unpack_t in = unpack_from(nested, 65); /* 64 arrays around a number */
    unpack_skip(&in);
    cr_assert(unpack_done(&in));
    nested[64] = 0x91;
    nested[65] = 0x01;
    in = unpack_from(nested, 66);
    unpack_skip(&in);
    cr_assert(in.failed);
}

Test(pack, fixed_integers_sort_like_their_numbers, .timeout = 10)
{
    uint8_t a[8], b[8];

    be64_put(a, UINT64_C(0x0102030405060708));
    cr_assert_eq(memcmp(a, "\1\2\3\4\5\6\7\10", 8), 0);
    cr_assert_eq(be64_get(a), UINT64_C(0x0102030405060708));
    be64_put(b, UINT64_C(0x0102030405060800));
    cr_assert_lt(memcmp(a, b, 8), 0);
    be32_put(a, UINT32_C(0xfffefdfc));
    cr_assert_eq(be32_get(a), UINT32_C(0xfffefdfc));
    cr_assert_eq(a[0], 0xff);
    be16_put(a, 0xff01);
    cr_assert_eq(be16_get(a), 0xff01);
    cr_assert_eq(a[0], 0xff);
}

Test(pack, a_full_buffer_fails_without_writing_past_it, .timeout = 10)
{
    buffer_t out;

    buffer_init(&out, 4);
    pack_u64(&out, UINT64_MAX);
    cr_assert(out.failed);
    cr_assert_eq(out.size, 0);
    buffer_free(&out);
}
