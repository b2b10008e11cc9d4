/* test_decimal.c - exact decimals, rounding and splits; ids are those of the semantics' examples */
#include "protocol/decimal.h"

#include "protocol/buffer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static decimal_t decimal_of(const char *text, int scale)
{
    decimal_t parsed;

    cr_assert_eq(decimal_parse(&parsed, text, strlen(text), 38, scale, false, NULL), ERR_NONE, "%s",
                 text);
    return parsed;
}

static points_t rounded(const char *text, rounding_t mode)
{
    decimal_t value = decimal_of(text, 4);
    points_t points = -1;

    cr_assert_eq(decimal_round(&points, &value, mode, NULL), ERR_NONE);
    return points;
}

static points_t times(const char *text, int64_t ppm_a, int64_t ppm_b, rounding_t mode)
{
    decimal_t value = decimal_of(text, 6);
    int64_t ppm[] = {ppm_a, ppm_b};
    points_t points = -1;

    cr_assert_eq(decimal_times_ppm(&points, &value, ppm, 2, mode, NULL), ERR_NONE);
    return points;
}

static void expect_modes(const char *text, points_t floor, points_t half_up, points_t half_even,
                         points_t ceil)
{
    cr_assert_eq(rounded(text, ROUND_FLOOR), floor);
    cr_assert_eq(rounded(text, ROUND_HALF_UP), half_up);
    cr_assert_eq(rounded(text, ROUND_HALF_EVEN), half_even);
    cr_assert_eq(rounded(text, ROUND_CEIL), ceil);
}

static errcode_t parse_code(const char *text, int precision, int scale, bool exponent)
{
    decimal_t parsed;

    return decimal_parse(&parsed, text, strlen(text), precision, scale, exponent, NULL);
}

/* ------------------------------------------------------------------ rounding */

Test(decimal, e_1_4a_two_and_a_half, .timeout = 10)
{
    expect_modes("2.50", 2, 3, 2, 3);
}

Test(decimal, e_1_4b_three_and_a_half, .timeout = 10)
{
    expect_modes("3.50", 3, 4, 4, 4);
}

Test(decimal, e_1_4c_modes_act_on_the_magnitude_of_negative_numbers, .timeout = 10)
{
    expect_modes("-2.50", -2, -3, -2, -3);
}

Test(decimal, whole_numbers_are_the_same_in_every_mode, .timeout = 10)
{
    expect_modes("7", 7, 7, 7, 7);
    expect_modes("0", 0, 0, 0, 0);
    expect_modes("-7", -7, -7, -7, -7);
}

Test(decimal, the_smallest_fraction_decides_beside_a_half, .timeout = 10)
{
    expect_modes("2.5001", 2, 3, 3, 3);
    expect_modes("2.4999", 2, 2, 2, 3);
    expect_modes("0.0001", 0, 0, 0, 1);
    expect_modes("-0.5", 0, -1, 0, -1);
}

Test(decimal, e_4_3a_additive_multipliers, .timeout = 10)
{
    cr_assert_eq(times("123.45", 2250000, PPM_ONE, ROUND_FLOOR), 277);
    cr_assert_eq(times("123.45", 2250000, PPM_ONE, ROUND_HALF_UP), 278);
    cr_assert_eq(times("123.45", 2250000, PPM_ONE, ROUND_HALF_EVEN), 278);
    cr_assert_eq(times("123.45", 2250000, PPM_ONE, ROUND_CEIL), 278);
}

Test(decimal, e_4_3b_multiplicative_multipliers_round_once, .timeout = 10)
{
    cr_assert_eq(times("123.45", 1250000, 2000000, ROUND_FLOOR), 308);
    cr_assert_eq(times("123.45", 1250000, 2000000, ROUND_HALF_UP), 309);
    cr_assert_eq(times("123.45", 1250000, 2000000, ROUND_HALF_EVEN), 309);
    cr_assert_eq(times("123.45", 1250000, 2000000, ROUND_CEIL), 309);
}

Test(decimal, e_4_3c_best_multiplier, .timeout = 10)
{
    cr_assert_eq(times("123.45", 2000000, PPM_ONE, ROUND_FLOOR), 246);
    cr_assert_eq(times("123.45", 2000000, PPM_ONE, ROUND_HALF_UP), 247);
    cr_assert_eq(times("123.45", 2000000, PPM_ONE, ROUND_HALF_EVEN), 247);
    cr_assert_eq(times("123.45", 2000000, PPM_ONE, ROUND_CEIL), 247);
}

Test(decimal, e_4_12a_basis_cut_to_whole_units, .timeout = 10)
{
    decimal_t basis = decimal_of("123.45", 2);
    points_t units;

    cr_assert_eq(decimal_round(&units, &basis, ROUND_FLOOR, NULL), ERR_NONE);
    cr_assert_eq(units, 123);
    cr_assert_eq(times("123", 1250000, 2000000, ROUND_FLOOR), 307);
}

Test(decimal, e_4_2a_fixed_bonus_is_added_after_rounding, .timeout = 10)
{
    points_t points = times("123.45", 2250000, PPM_ONE, ROUND_FLOOR);

    cr_assert_eq(points_add(&points, points, 50, NULL), ERR_NONE);
    cr_assert_eq(points, 327);
}

Test(decimal, e_4_2b_a_bonus_added_before_would_round_to_another_even_number, .timeout = 10)
{
    points_t points = rounded("276.5", ROUND_HALF_EVEN);

    cr_assert_eq(points_add(&points, points, 1, NULL), ERR_NONE);
    cr_assert_eq(points, 277);
    cr_assert_eq(rounded("277.5", ROUND_HALF_EVEN), 278);
}

Test(decimal, eight_multipliers_keep_every_digit_before_the_one_rounding, .timeout = 10)
{
    /* 1.000001^8 = 1.000008000028000056000070000056000028000008000001, so 62,500 of it is
     * 62500.50000175...; taking away one part in 10^48 is what must not be lost. */
    int64_t ppm[8] = {1000001, 1000001, 1000001, 1000001, 1000001, 1000001, 1000001, 1000001};
    decimal_t value = decimal_of("62500", 18);
    points_t points;

    cr_assert_eq(decimal_times_ppm(&points, &value, ppm, 8, ROUND_HALF_UP, NULL), ERR_NONE);
    cr_assert_eq(points, 62501);
    cr_assert_eq(decimal_times_ppm(&points, &value, ppm, 8, ROUND_FLOOR, NULL), ERR_NONE);
    cr_assert_eq(points, 62500);
    /* Half and a millionth^8 above it: only the very last digit tells. */
    int64_t tiny[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    value = decimal_of("0.000000000000000001", 18);
    cr_assert_eq(decimal_times_ppm(&points, &value, tiny, 8, ROUND_CEIL, NULL), ERR_NONE);
    cr_assert_eq(points, 1);
    cr_assert_eq(decimal_times_ppm(&points, &value, tiny, 8, ROUND_HALF_UP, NULL), ERR_NONE);
    cr_assert_eq(points, 0);
    value = decimal_of("0.500000000000000001", 18);
    int64_t one[3] = {PPM_ONE, PPM_ONE, PPM_ONE};
    cr_assert_eq(decimal_times_ppm(&points, &value, one, 3, ROUND_HALF_EVEN, NULL), ERR_NONE);
    cr_assert_eq(points, 1);
    value = decimal_of("0.5", 18);
    cr_assert_eq(decimal_times_ppm(&points, &value, one, 3, ROUND_HALF_EVEN, NULL), ERR_NONE);
    cr_assert_eq(points, 0);
}

Test(decimal, points_beyond_the_limit_are_out_of_range, .timeout = 10)
{
    decimal_t value = decimal_of("9007199254740991.4", 1);
    int64_t most[8] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
                       INT64_MAX, INT64_MAX, INT64_MAX, INT64_MIN};
    points_t points;

    cr_assert_eq(decimal_round(&points, &value, ROUND_HALF_UP, NULL), ERR_NONE);
    cr_assert_eq(points, POINTS_MAX);
    cr_assert_eq(decimal_round(&points, &value, ROUND_CEIL, NULL), ERR_OUT_OF_RANGE);
    value.value = -value.value;
    cr_assert_eq(decimal_round(&points, &value, ROUND_CEIL, NULL), ERR_OUT_OF_RANGE);
    value.value = (int128_t)1 << 126;
    cr_assert_eq(decimal_times_ppm(&points, &value, most, 8, ROUND_FLOOR, NULL), ERR_OUT_OF_RANGE);
    value = decimal_of("10", 0);
    cr_assert_eq(decimal_times_ppm(&points, &value, &most[7], 1, ROUND_FLOOR, NULL), ERR_NONE);
    cr_assert_eq(points, INT64_C(-92233720368547));
}

/* ------------------------------------------------------------------ mul_div */

Test(decimal, products_wider_than_128_bits_are_exact, .timeout = 10)
{
    int128_t big = (int128_t)1 << 100;
    int128_t out = 0;

    cr_assert_eq(decimal_mul_div(&out, big + 1, big - 1, big, ROUND_FLOOR, NULL), ERR_NONE);
    cr_assert(out == big - 1);
    cr_assert_eq(decimal_mul_div(&out, big + 1, big - 1, big, ROUND_HALF_UP, NULL), ERR_NONE);
    cr_assert(out == big);
    cr_assert_eq(decimal_mul_div(&out, -(big + 1), big - 1, big, ROUND_CEIL, NULL), ERR_NONE);
    cr_assert(out == -big);
    int128_t most = (int128_t)(((uint128_t)1 << 127) - 1);
    cr_assert_eq(decimal_mul_div(&out, most, most, most, ROUND_FLOOR, NULL), ERR_NONE);
    cr_assert(out == most);
    cr_assert_eq(decimal_mul_div(&out, most, 2, 2, ROUND_HALF_EVEN, NULL), ERR_NONE);
    cr_assert(out == most);
}

Test(decimal, a_quotient_that_does_not_fit_is_out_of_range, .timeout = 10)
{
    int128_t most = (int128_t)(((uint128_t)1 << 127) - 1);
    int128_t out = 5;

    cr_assert_eq(decimal_mul_div(&out, most, most, 1, ROUND_FLOOR, NULL), ERR_OUT_OF_RANGE);
    cr_assert_eq(decimal_mul_div(&out, most, 2, 1, ROUND_FLOOR, NULL), ERR_OUT_OF_RANGE);
    cr_assert_eq(decimal_mul_div(&out, most, most, most - 1, ROUND_CEIL, NULL), ERR_OUT_OF_RANGE);
    cr_assert(out == 5);
}

Test(decimal, small_quotients_round_by_mode, .timeout = 10)
{
    static const struct {
        int a, b, c, floor, half_up, half_even, ceil;
    } rows[] = {{7, 1, 2, 3, 4, 4, 4}, {5, 1, 2, 2, 3, 2, 3},  {-5, 1, 2, -2, -3, -2, -3},
                {1, 1, 3, 0, 0, 0, 1}, {2, 1, 3, 0, 1, 1, 1},  {0, 9, 4, 0, 0, 0, 0},
                {6, 2, 4, 3, 3, 3, 3}, {-7, -1, 2, 3, 4, 4, 4}};
    int128_t out;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)decimal_mul_div(&out, rows[i].a, rows[i].b, rows[i].c, ROUND_FLOOR, NULL);
        cr_assert(out == rows[i].floor);
        (void)decimal_mul_div(&out, rows[i].a, rows[i].b, rows[i].c, ROUND_HALF_UP, NULL);
        cr_assert(out == rows[i].half_up);
        (void)decimal_mul_div(&out, rows[i].a, rows[i].b, rows[i].c, ROUND_HALF_EVEN, NULL);
        cr_assert(out == rows[i].half_even);
        (void)decimal_mul_div(&out, rows[i].a, rows[i].b, rows[i].c, ROUND_CEIL, NULL);
        cr_assert(out == rows[i].ceil);
    }
}

/* ------------------------------------------------------------------ text */

Test(decimal, text_comes_back_with_all_its_decimals, .timeout = 10)
{
    static const struct {
        const char *in;
        int scale;
        const char *out;
    } rows[] = {
        {"12.5", 2, "12.50"},
        {"12.500000", 2, "12.50"},
        {"0", 0, "0"},
        {"0", 3, "0.000"},
        {"-0", 2, "0.00"},
        {"-0.01", 2, "-0.01"},
        {"100", 0, "100"},
        {"0.000000000000000001", 18, "0.000000000000000001"},
        {"99999999999999999999.999999999999999999", 18, "99999999999999999999.999999999999999999"},
        {"-99999999999999999999999999999999999999", 0, "-99999999999999999999999999999999999999"}};
    char text[DECIMAL_TEXT_MAX];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        decimal_t value = decimal_of(rows[i].in, rows[i].scale);

        cr_assert_eq(value.scale, rows[i].scale);
        cr_assert_eq(decimal_format(&value, text), strlen(rows[i].out));
        cr_assert_str_eq(text, rows[i].out);
    }
}

Test(decimal, the_widest_value_is_written, .timeout = 10)
{
    decimal_t least = {.value = -(int128_t)(((uint128_t)1 << 127) - 1) - 1, .scale = 18};
    char text[DECIMAL_TEXT_MAX];

    cr_assert_eq(decimal_format(&least, text), 41);
    cr_assert_str_eq(text, "-170141183460469231731.687303715884105728");
}

Test(decimal, text_that_is_no_number_is_refused, .timeout = 10)
{
    static const char *const bad[] = {
        "",   "-",    "+1",  " 1",  "1 ",  "1.", ".5",  "01",   "-01", "00",    "1.2.3",   "1,5",
        "1e", "0x10", "NaN", "inf", "--1", "1-", "-.5", "1._5", "1e5", "1.5e3", "\xd9\xa3"};
    static const char *const bad_exponents[] = {"1e", "1e+",  "1e-",  "1e5.",
                                                "e5", "1e 5", "1.e5", "1ee5"};

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(parse_code(bad[i], 20, 6, false), ERR_INVALID, "%s", bad[i]);
    for (size_t i = 0; i < COUNT_OF(bad_exponents); i++)
        cr_assert_eq(parse_code(bad_exponents[i], 20, 6, true), ERR_INVALID, "%s",
                     bad_exponents[i]);
    decimal_t parsed;
    cr_assert_eq(decimal_parse(&parsed, "1\0002", 3, 20, 6, false, NULL), ERR_INVALID);
}

Test(decimal, digits_and_decimals_are_limited, .timeout = 10)
{
    cr_assert_eq(parse_code("999.99", 5, 2, false), ERR_NONE);
    cr_assert_eq(parse_code("1000", 5, 2, false), ERR_OUT_OF_RANGE);
    cr_assert_eq(parse_code("-1000", 5, 2, false), ERR_OUT_OF_RANGE);
    cr_assert_eq(parse_code("0.001", 5, 2, false), ERR_OUT_OF_RANGE);
    cr_assert_eq(parse_code("0.010", 5, 2, false), ERR_NONE);
    cr_assert_eq(parse_code("0.99", 2, 2, false), ERR_NONE);
    cr_assert_eq(parse_code("1", 2, 2, false), ERR_OUT_OF_RANGE);
    cr_assert_eq(parse_code("1000000000000000000000000000000000000001", 38, 0, false),
                 ERR_OUT_OF_RANGE);
}

Test(decimal, exponents_are_exact_and_only_read_when_asked_for, .timeout = 10)
{
    decimal_t value;

    cr_assert_eq(decimal_parse(&value, "1.5e3", 5, 20, 2, true, NULL), ERR_NONE);
    cr_assert(value.value == 150000);
    cr_assert_eq(decimal_parse(&value, "15000E-4", 8, 20, 2, true, NULL), ERR_NONE);
    cr_assert(value.value == 150);
    cr_assert_eq(decimal_parse(&value, "-25e+1", 6, 20, 0, true, NULL), ERR_NONE);
    cr_assert(value.value == -250);
    cr_assert_eq(decimal_parse(&value, "0e999999999999", 14, 20, 2, true, NULL), ERR_NONE);
    cr_assert(value.value == 0);
    cr_assert_eq(parse_code("1e999999999999", 20, 2, true), ERR_OUT_OF_RANGE);
    cr_assert_eq(parse_code("1e-999999999999", 20, 2, true), ERR_OUT_OF_RANGE);
    cr_assert_eq(parse_code("1e-3", 20, 2, true), ERR_OUT_OF_RANGE);
}

Test(decimal, a_megabyte_of_digits_is_refused_quickly, .timeout = 10)
{
    size_t n = 1 << 20;
    char *digits = memory_alloc(n);
    decimal_t value;

    memset(digits, '7', n);
    cr_assert_eq(decimal_parse(&value, digits, n, 38, 2, true, NULL), ERR_OUT_OF_RANGE);
    memset(digits, '0', n);
    digits[1] = '.';
    cr_assert_eq(decimal_parse(&value, digits, n, 38, 2, true, NULL), ERR_OUT_OF_RANGE);
    digits[0] = '5';
    cr_assert_eq(decimal_parse(&value, digits, 1000, 38, 2, true, NULL), ERR_NONE);
    cr_assert(value.value == 500);
    free(digits);
}

/* ------------------------------------------------------------------ splits */

static void expect_split(points_t total, const int64_t *weights, const points_t *expected, size_t n)
{
    points_t parts[8];
    uint32_t scratch[8];

    cr_assert_eq(decimal_split(total, weights, n, parts, scratch, NULL), ERR_NONE);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(parts[i], expected[i], "part %zu", i);
}

Test(decimal, e_1_6a_exact_shares, .timeout = 10)
{
    expect_split(240, (int64_t[]){100, 200, 300}, (points_t[]){40, 80, 120}, 3);
}

Test(decimal, e_1_6b_largest_remainder_gets_the_rest, .timeout = 10)
{
    expect_split(100, (int64_t[]){100, 200, 300}, (points_t[]){17, 33, 50}, 3);
}

Test(decimal, e_1_6c_ties_go_to_the_earlier_part, .timeout = 10)
{
    expect_split(100, (int64_t[]){50, 50, 50}, (points_t[]){34, 33, 33}, 3);
    expect_split(101, (int64_t[]){50, 50, 50}, (points_t[]){34, 34, 33}, 3);
}

Test(decimal, e_1_6d_money_in_minor_units, .timeout = 10)
{
    expect_split(1000, (int64_t[]){3333, 3333, 3334}, (points_t[]){333, 333, 334}, 3);
}

Test(decimal, a_split_over_nothing_goes_to_the_first, .timeout = 10)
{
    expect_split(7, (int64_t[]){0, 0, 0}, (points_t[]){7, 0, 0}, 3);
    expect_split(-7, (int64_t[]){0, 0}, (points_t[]){-7, 0}, 2);
}

Test(decimal, a_part_without_weight_gets_nothing, .timeout = 10)
{
    expect_split(10, (int64_t[]){0, 1, 0, 2}, (points_t[]){0, 3, 0, 7}, 4);
}

Test(decimal, a_negative_total_is_split_like_its_magnitude, .timeout = 10)
{
    expect_split(-100, (int64_t[]){100, 200, 300}, (points_t[]){-17, -33, -50}, 3);
}

Test(decimal, remainders_that_differ_in_their_last_bit_are_told_apart, .timeout = 10)
{
    /* The sum of the weights has 65 bits, so leading 63 bits alone cannot order the remainders. */
    int64_t weights[] = {INT64_MAX - 1, INT64_MAX, INT64_MAX, 4};
    points_t parts[4];
    uint32_t scratch[4];

    cr_assert_eq(decimal_split(1, weights, 4, parts, scratch, NULL), ERR_NONE);
    cr_assert_eq(parts[0], 0);
    cr_assert_eq(parts[1], 1);
    cr_assert_eq(parts[2], 0);
}

Test(decimal, splits_that_cannot_be_are_refused, .timeout = 10)
{
    points_t parts[2];
    uint32_t scratch[2];

    cr_assert_eq(decimal_split(5, (int64_t[]){3, -1}, 2, parts, scratch, NULL), ERR_INVALID);
    cr_assert_eq(decimal_split(5, NULL, 0, NULL, NULL, NULL), ERR_INVALID);
    cr_assert_eq(decimal_split(0, NULL, 0, NULL, NULL, NULL), ERR_NONE);
    cr_assert_eq(decimal_split(INT64_MIN, (int64_t[]){1, 1}, 2, parts, scratch, NULL),
                 ERR_OUT_OF_RANGE);
    cr_assert_eq(decimal_split(5, (int64_t[]){1}, (1u << 20) + 1, parts, scratch, NULL),
                 ERR_OUT_OF_RANGE);
}

/* Property 10: parts sum to the total, each is less than one away from its exact share, and no part
 * that got a unit has a smaller remainder than one that did not. */
Test(decimal, random_splits_keep_their_properties, .timeout = 60)
{
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    int64_t weights[40];
    points_t parts[40];
    uint32_t scratch[40];

    for (int round = 0; round < 20000; round++) {
        size_t n;
        int128_t sum = 0;
        points_t total, left;

        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        n = 1 + (seed >> 33) % COUNT_OF(weights);
        total = (points_t)(seed >> 11) % 100000;
        for (size_t i = 0; i < n; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            weights[i] = (int64_t)(seed >> 40) % 50;
            sum += weights[i];
        }
        cr_assert_eq(decimal_split(total, weights, n, parts, scratch, NULL), ERR_NONE);
        left = total;
        for (size_t i = 0; i < n; i++)
            left -= parts[i];
        cr_assert_eq(left, 0, "round %d", round);
        for (size_t i = 0; sum > 0 && i < n; i++) {
            int128_t rest = (int128_t)total * weights[i] - (int128_t)parts[i] * sum;

            cr_assert(rest > -sum && rest < sum, "round %d part %zu", round, i);
            for (size_t k = 0; k < n; k++) {
                int128_t other = (int128_t)total * weights[k] - (int128_t)parts[k] * sum;

                /* rest < 0: i was rounded up from rest + sum; other >= 0: k was not. */
                if (rest < 0 && other > 0)
                    cr_assert(rest + sum > other || (rest + sum == other && i < k), "round %d",
                              round);
            }
        }
    }
}

Test(decimal, a_million_parts_are_split_in_time, .timeout = 60)
{
    size_t n = 1u << 20;
    int64_t *weights = memory_alloc(n * sizeof *weights);
    points_t *parts = memory_alloc(n * sizeof *parts);
    uint32_t *scratch = memory_alloc(n * sizeof *scratch);
    points_t sum = 0;

    for (size_t i = 0; i < n; i++)
        weights[i] = (int64_t)((i * 2654435761u) % 1000003);
    cr_assert_eq(decimal_split(POINTS_MAX, weights, n, parts, scratch, NULL), ERR_NONE);
    for (size_t i = 0; i < n; i++)
        sum += parts[i];
    cr_assert_eq(sum, POINTS_MAX);
    free(weights);
    free(parts);
    free(scratch);
}
