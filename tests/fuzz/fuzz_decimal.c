/* fuzz_decimal.c - text of numbers, and arithmetic checked against its own definition
 *
 * Oracles: format(parse(x)) parses to the same value and formats the same; rounding modes are ordered
 * and at most one apart; a product divided again is within one of what the definition says; the parts
 * of a split sum to the total.
 */
#include "protocol/decimal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define PARTS_MAX 64

static int64_t magnitude(points_t value)
{
    return value < 0 ? -value : value;
}

static void check_text(const char *text, size_t n, int precision, int scale, bool exponent)
{
    char first[DECIMAL_TEXT_MAX];
    char second[DECIMAL_TEXT_MAX];
    decimal_t value, again;
    points_t points[4];
    errcode_t rc = decimal_parse(&value, text, n, precision, scale, exponent, NULL);

    INVARIANT(rc == ERR_NONE || rc == ERR_INVALID || rc == ERR_OUT_OF_RANGE);
    if (rc != ERR_NONE)
        return;
    INVARIANT(value.scale == scale);
    size_t length = decimal_format(&value, first);
    INVARIANT(length < sizeof first);
    INVARIANT(decimal_parse(&again, first, length, precision, scale, false, NULL) == ERR_NONE);
    INVARIANT(again.value == value.value);
    INVARIANT(decimal_format(&again, second) == length);
    INVARIANT(strcmp(first, second) == 0);
    for (int mode = ROUND_FLOOR; mode <= ROUND_HALF_EVEN; mode++)
        if (decimal_round(&points[mode], &value, (rounding_t)mode, NULL) != ERR_NONE)
            return;
    INVARIANT(magnitude(points[ROUND_CEIL]) - magnitude(points[ROUND_FLOOR]) <= 1);
    INVARIANT(magnitude(points[ROUND_FLOOR]) <= magnitude(points[ROUND_HALF_EVEN]));
    INVARIANT(magnitude(points[ROUND_HALF_EVEN]) <= magnitude(points[ROUND_HALF_UP]));
    INVARIANT(magnitude(points[ROUND_HALF_UP]) <= magnitude(points[ROUND_CEIL]));
}

static void check_product(const uint8_t *bytes)
{
    int64_t a, b, c;
    int128_t floor, ceil;

    memcpy(&a, bytes, 8);
    memcpy(&b, bytes + 8, 8);
    memcpy(&c, bytes + 16, 8);
    if (c <= 0)
        return;
    INVARIANT(decimal_mul_div(&floor, a, b, c, ROUND_FLOOR, NULL) == ERR_NONE);
    INVARIANT(decimal_mul_div(&ceil, a, b, c, ROUND_CEIL, NULL) == ERR_NONE);
    INVARIANT(floor == (int128_t)a * b / c);
    int128_t rest = (int128_t)a * b % c;
    INVARIANT(ceil == floor + (rest > 0) - (rest < 0));
    /* Both factors shifted up by 2^40, the divisor by 2^80 at most: the wide path, the same answer. */
    int128_t shift = (int128_t)1 << 40;
    int128_t wide;
    if (c < INT64_C(1) << 46) {
        INVARIANT(decimal_mul_div(&wide, (int128_t)a * shift, (int128_t)b * shift,
                                  (int128_t)c * shift * shift, ROUND_FLOOR, NULL) == ERR_NONE);
        INVARIANT(wide == floor);
    }
}

static void check_split(const uint8_t *bytes, size_t n)
{
    int64_t weights[PARTS_MAX] = {0};
    points_t parts[PARTS_MAX];
    uint32_t scratch[PARTS_MAX];
    points_t total;
    size_t count = (n - 8) / 8;
    int128_t sum = 0;
    bool valid = true;

    memcpy(&total, bytes, 8);
    count = count > PARTS_MAX ? PARTS_MAX : count;
    for (size_t i = 0; i < count; i++) {
        memcpy(&weights[i], bytes + 8 + 8 * i, 8);
        valid = valid && weights[i] >= 0;
    }
    errcode_t rc = decimal_split(total, weights, count, parts, scratch, NULL);
    INVARIANT((rc == ERR_NONE) == (valid && total != INT64_MIN && (count > 0 || total == 0)));
    if (rc != ERR_NONE)
        return;
    for (size_t i = 0; i < count; i++) {
        INVARIANT(parts[i] == 0 || (parts[i] < 0) == (total < 0));
        sum += parts[i];
    }
    INVARIANT(sum == total || count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check_text((const char *)bytes, n, 38, 18, true);
    check_text((const char *)bytes, n, 10, 2, false);
    check_text((const char *)bytes, n, 16, 0, true);
    if (n >= 24)
        check_product(bytes);
    if (n >= 8)
        check_split(bytes, n);
    return 0;
}
