/* decimal.c - exact decimals: text, products of any width, one rounding, largest remainder */
#include "protocol/decimal.h"

#include <string.h>

#define INT128_DIGITS   38     /* any number of 38 digits fits in 127 bits */
#define EXPONENT_LIMIT  100000 /* beyond it the value is far out of range either way */
#define FACTORS_MAX     8
#define LIMBS_MAX       12 /* 127 bits x 8 factors of 63 bits = 631 bits, ten limbs */
#define CHUNK_DIGITS    18 /* largest power of ten that is divided by at once */
#define SPLIT_PARTS_MAX (1u << 20)

/* What the discarded part of a division is, compared with one half. */
typedef enum { REST_NONE, REST_BELOW_HALF, REST_HALF, REST_ABOVE_HALF } rest_t;

typedef struct {
    bool negative;
    uint128_t digits; /* without leading and trailing zeros */
    int count;        /* of digits */
    int exponent;     /* value = digits x 10^exponent */
} number_t;

typedef struct {
    uint64_t limb[LIMBS_MAX]; /* little endian */
    size_t count;
} wide_t;

static errcode_t scan(number_t *out, const char *text, size_t bytes, bool exponent, err_t *err);
static uint128_t power_of_ten(int exponent);
static uint128_t magnitude(int128_t value);
static bool rounds_up(rest_t rest, bool odd, rounding_t mode);
static errcode_t to_points(points_t *out, bool negative, uint128_t value, err_t *err);
static void wide_times(wide_t *self, uint64_t factor);
static uint64_t wide_divide(wide_t *self, uint64_t divisor);

errcode_t decimal_parse(decimal_t *out, const char *text, size_t bytes, int precision, int scale,
                        bool exponent, err_t *err)
{
    number_t number;

    INVARIANT(scale >= 0);
    INVARIANT(scale <= DECIMAL_SCALE_MAX);
    INVARIANT(precision >= scale);
    INVARIANT(precision <= INT128_DIGITS);
    errcode_t rc = scan(&number, text, bytes, exponent, err);
    if (rc != ERR_NONE)
        return rc;
    if (number.exponent < -scale)
        return err_set(err, ERR_OUT_OF_RANGE, "at most %d decimals are kept exactly", scale);
    /* Written with all `scale` decimals it must still have no more than `precision` digits. */
    if (number.digits != 0 && number.count + number.exponent > precision - scale)
        return err_set(err, ERR_OUT_OF_RANGE, "at most %d digits before the decimal point fit",
                       precision - scale);
    number.digits *= power_of_ten(number.exponent + scale);
    out->value = number.negative ? -(int128_t)number.digits : (int128_t)number.digits;
    out->scale = (uint8_t)scale;
    return ERR_NONE;
}

size_t decimal_format(const decimal_t *self, char out[DECIMAL_TEXT_MAX])
{
    char reversed[DECIMAL_TEXT_MAX];
    uint128_t left = magnitude(self->value);
    size_t digits = 0;
    size_t at = 0;

    INVARIANT(self->scale <= DECIMAL_SCALE_MAX);
    while (left > 0 || digits <= self->scale) {
        reversed[digits++] = (char)('0' + (int)(left % 10));
        left /= 10;
    }
    if (self->value < 0)
        out[at++] = '-';
    while (digits > 0) {
        if (digits == self->scale)
            out[at++] = '.';
        out[at++] = reversed[--digits];
    }
    out[at] = '\0';
    return at;
}

errcode_t decimal_mul_div(int128_t *out, int128_t a, int128_t b, int128_t c, rounding_t mode,
                          err_t *err)
{
    uint128_t x = magnitude(a);
    uint128_t y = magnitude(b);
    uint128_t divisor = magnitude(c);
    uint128_t high = 0;
    uint128_t low;
    uint128_t quotient;
    uint128_t rest;
    bool negative = (a < 0) != (b < 0);

    INVARIANT(c > 0);
    if ((x | y) >> 64 == 0) {
        low = x * y;
    } else {
        uint128_t x0 = (uint64_t)x, x1 = x >> 64, y0 = (uint64_t)y, y1 = y >> 64;
        uint128_t middle =
            x1 * y0 + (x0 * y0 >> 64); /* x1 and y1 are below 2^63 or a power of two */
        uint128_t sum = x0 * y1 + (uint64_t)middle;

        low = sum << 64 | (uint64_t)(x0 * y0);
        high = x1 * y1 + (middle >> 64) + (sum >> 64);
    }
    if (high >= divisor)
        return err_set(err, ERR_OUT_OF_RANGE, NULL);
    if (high == 0) {
        quotient = low / divisor;
        rest = low % divisor;
    } else {
        /* Bit by bit: rare, and the rest stays below the divisor, which is below 2^127. */
        rest = high;
        quotient = 0;
        for (int bit = 127; bit >= 0; bit--) {
            rest = rest << 1 | (low >> bit & 1);
            quotient <<= 1;
            if (rest >= divisor) {
                rest -= divisor;
                quotient |= 1;
            }
        }
    }
    rest_t kind = rest == 0                ? REST_NONE
                  : rest < divisor - rest  ? REST_BELOW_HALF
                  : rest == divisor - rest ? REST_HALF
                                           : REST_ABOVE_HALF;
    if (quotient >> 127 != 0)
        return err_set(err, ERR_OUT_OF_RANGE, NULL);
    if (rounds_up(kind, (quotient & 1) != 0, mode))
        quotient++;
    if (quotient >> 127 != 0)
        return err_set(err, ERR_OUT_OF_RANGE, NULL);
    *out = negative ? -(int128_t)quotient : (int128_t)quotient;
    return ERR_NONE;
}

errcode_t decimal_times_ppm(points_t *out, const decimal_t *self, const int64_t *ppm, size_t n,
                            rounding_t mode, err_t *err)
{
    bool negative = self->value < 0;
    uint128_t value = magnitude(self->value);
    wide_t product = {.limb = {(uint64_t)value, (uint64_t)(value >> 64)}, .count = 2};
    int digits = self->scale;
    bool dust = false; /* something was left behind by an earlier division */
    rest_t rest = REST_NONE;

    INVARIANT(n <= FACTORS_MAX);
    INVARIANT(self->scale <= DECIMAL_SCALE_MAX);
    for (size_t i = 0; i < n; i++) {
        negative = negative != (ppm[i] < 0);
        wide_times(&product, ppm[i] < 0 ? 0 - (uint64_t)ppm[i] : (uint64_t)ppm[i]);
        digits += 6;
    }
    while (digits > 0) {
        int now = digits > CHUNK_DIGITS ? CHUNK_DIGITS : digits;
        uint64_t divisor = (uint64_t)power_of_ten(now);
        uint64_t left = wide_divide(&product, divisor);

        /* Only the last division decides on which side of one half the whole rest lies; its divisor
         * is even, so what earlier ones left behind cannot carry it from below one half to it. */
        if (left > divisor / 2 || (left == divisor / 2 && dust))
            rest = REST_ABOVE_HALF;
        else if (left == divisor / 2)
            rest = REST_HALF;
        else
            rest = left > 0 || dust ? REST_BELOW_HALF : REST_NONE;
        dust = dust || left > 0;
        digits -= now;
    }
    for (size_t i = 2; i < product.count; i++)
        if (product.limb[i] != 0)
            return err_set(err, ERR_OUT_OF_RANGE, NULL);
    value = (uint128_t)product.limb[1] << 64 | product.limb[0];
    if (value > (uint128_t)POINTS_MAX)
        return err_set(err, ERR_OUT_OF_RANGE, NULL);
    if (rounds_up(rest, (value & 1) != 0, mode))
        value++;
    return to_points(out, negative, value, err);
}

errcode_t decimal_round(points_t *out, const decimal_t *self, rounding_t mode, err_t *err)
{
    return decimal_times_ppm(out, self, NULL, 0, mode, err);
}

static errcode_t to_points(points_t *out, bool negative, uint128_t value, err_t *err)
{
    if (value > (uint128_t)POINTS_MAX)
        return err_set(err, ERR_OUT_OF_RANGE, NULL);
    *out = negative ? -(points_t)value : (points_t)value;
    return ERR_NONE;
}

static bool rounds_up(rest_t rest, bool odd, rounding_t mode)
{
    switch (mode) {
    case ROUND_FLOOR: return false;
    case ROUND_CEIL: return rest != REST_NONE;
    case ROUND_HALF_UP: return rest >= REST_HALF;
    case ROUND_HALF_EVEN: return rest == REST_ABOVE_HALF || (rest == REST_HALF && odd);
    }
    invariant_failed(__FILE__, __LINE__, "the rounding mode exists");
}

/* ------------------------------------------------------------------ text */

/* Grammar: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static errcode_t scan(number_t *out, const char *text, size_t bytes, bool exponent, err_t *err)
{
    size_t at = 0;
    size_t start;
    int zeros = 0;    /* seen since the last digit that counts */
    int decimals = 0; /* digits behind the point, the zeros included */
    int power = 0;
    bool point = false;
    bool too_long = false;

    *out = (number_t){.negative = bytes > 0 && text[0] == '-'};
    at = out->negative ? 1 : 0;
    start = at;
    for (; at < bytes; at++) {
        char c = text[at];

        if (c == '.' && !point && at > start) {
            point = true;
            start = at + 1;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        if (!point && at == start + 1 && text[start] == '0')
            return err_set(err, ERR_INVALID, "a number has no leading zeros");
        if (decimals >= EXPONENT_LIMIT || zeros >= EXPONENT_LIMIT)
            return err_set(err, ERR_OUT_OF_RANGE, "the number has too many digits");
        decimals += point ? 1 : 0;
        if (c == '0') {
            zeros += out->digits != 0 ? 1 : 0;
            continue;
        }
        if (out->digits != 0 && out->count + zeros + 1 > INT128_DIGITS) {
            too_long = true; /* still has to be a number to be called out of range */
            continue;
        }
        out->digits = out->digits * power_of_ten(zeros + 1) + (unsigned)(c - '0');
        out->count += zeros + 1;
        zeros = 0;
    }
    if (at == start)
        return err_set(err, ERR_INVALID, "a decimal number is needed");
    if (exponent && at < bytes && (text[at] == 'e' || text[at] == 'E')) {
        bool minus = ++at < bytes && text[at] == '-';

        at += at < bytes && (text[at] == '-' || text[at] == '+') ? 1 : 0;
        start = at;
        for (; at < bytes && text[at] >= '0' && text[at] <= '9'; at++)
            power = power > EXPONENT_LIMIT ? power : power * 10 + (text[at] - '0');
        if (at == start)
            return err_set(err, ERR_INVALID, "the exponent has no digits");
        power = minus ? -power : power;
    }
    if (at != bytes)
        return err_set(err, ERR_INVALID, "a decimal number is needed");
    if (too_long)
        return err_set(err, ERR_OUT_OF_RANGE, "the number has too many digits");
    /* Every digit that counts lies left of `zeros` further ones. Zero has no exponent. */
    out->exponent = out->digits == 0 ? 0 : power + zeros - decimals;
    return ERR_NONE;
}

static uint128_t power_of_ten(int exponent)
{
    uint128_t power = 1;

    INVARIANT(exponent >= 0);
    INVARIANT(exponent <= INT128_DIGITS);
    for (int i = 0; i < exponent; i++)
        power *= 10;
    return power;
}

static uint128_t magnitude(int128_t value)
{
    return value < 0 ? 0 - (uint128_t)value : (uint128_t)value;
}

/* ------------------------------------------------------------------ wide products */

static void wide_times(wide_t *self, uint64_t factor)
{
    uint64_t carry = 0;

    INVARIANT(self->count < LIMBS_MAX);
    for (size_t i = 0; i < self->count; i++) {
        uint128_t product = (uint128_t)self->limb[i] * factor + carry;

        self->limb[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
    if (carry > 0)
        self->limb[self->count++] = carry;
}

static uint64_t wide_divide(wide_t *self, uint64_t divisor)
{
    uint64_t rest = 0;

    for (size_t i = self->count; i-- > 0;) {
        uint128_t part = (uint128_t)rest << 64 | self->limb[i];

        if (rest == 0 && self->limb[i] < divisor) {
            rest = self->limb[i];
            self->limb[i] = 0;
        } else if (rest == 0) {
            rest = self->limb[i] % divisor;
            self->limb[i] /= divisor;
        } else {
            self->limb[i] = (uint64_t)(part / divisor);
            rest = (uint64_t)(part % divisor);
        }
    }
    while (self->count > 2 && self->limb[self->count - 1] == 0)
        self->count--;
    return rest;
}

/* ------------------------------------------------------------------ largest remainder */

typedef struct {
    uint128_t total; /* magnitude */
    uint128_t sum;   /* of the weights, > 0 */
    const int64_t *weights;
    const int64_t *keys; /* leading 63 bits of each part's remainder */
    bool exact;          /* the keys are the whole remainders */
} split_t;

static uint128_t remainder_of(const split_t *self, uint32_t part)
{
    return self->total * (uint128_t)self->weights[part] % self->sum;
}

/* Whether part a is served before part b. */
static bool served_before(const split_t *self, uint32_t a, uint32_t b)
{
    if (self->keys[a] != self->keys[b])
        return self->keys[a] > self->keys[b];
    if (!self->exact) {
        uint128_t rest_a = remainder_of(self, a);
        uint128_t rest_b = remainder_of(self, b);

        if (rest_a != rest_b)
            return rest_a > rest_b;
    }
    return a < b;
}

static void sift_down(const split_t *self, uint32_t *heap, size_t n, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        uint32_t moved;

        if (child >= n)
            return;
        if (child + 1 < n && served_before(self, heap[child + 1], heap[child]))
            child++;
        if (!served_before(self, heap[child], heap[at]))
            return;
        moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

errcode_t decimal_split(points_t total, const int64_t *weights, size_t n, points_t *parts,
                        uint32_t *scratch, err_t *err)
{
    split_t split = {.total = total < 0 ? 0 - (uint64_t)total : (uint64_t)total,
                     .weights = weights,
                     .keys = parts};
    uint128_t given = 0;
    int shift = 0;

    if (n > SPLIT_PARTS_MAX)
        return err_set(err, ERR_OUT_OF_RANGE, "a split into %zu parts is too large", n);
    if (total == INT64_MIN)
        return err_set(err, ERR_OUT_OF_RANGE, NULL);
    if (n == 0)
        return total == 0 ? ERR_NONE
                          : err_set(err, ERR_INVALID, "there are no parts to split over");
    for (size_t i = 0; i < n; i++) {
        if (weights[i] < 0)
            return err_set(err, ERR_INVALID, "weight %zu is below zero", i);
        split.sum += (uint64_t)weights[i];
    }
    if (split.sum == 0) {
        memset(parts, 0, n * sizeof parts[0]);
        parts[0] = total;
        return ERR_NONE;
    }
    /* While it is not known who gets the extra units, parts[] holds the remainders' leading bits:
     * computing each remainder once keeps a million parts in time without further memory. */
    while (split.sum >> shift >> 63 != 0)
        shift++;
    split.exact = shift == 0;
    for (size_t i = 0; i < n; i++) {
        uint128_t product = split.total * (uint64_t)weights[i];

        given += product / split.sum;
        parts[i] = (int64_t)(product % split.sum >> shift);
        scratch[i] = (uint32_t)i;
    }
    size_t extra = (size_t)(split.total - given); /* below n: each part misses less than one */
    for (size_t i = n / 2; extra > 0 && i-- > 0;)
        sift_down(&split, scratch, n, i);
    for (size_t i = 0; i < extra; i++) {
        uint32_t first = scratch[0];

        scratch[0] = scratch[n - 1 - i];
        scratch[n - 1 - i] = first;
        sift_down(&split, scratch, n - 1 - i, 0);
    }
    for (size_t i = 0; i < n; i++)
        parts[i] = (int64_t)(split.total * (uint64_t)weights[i] / split.sum);
    for (size_t i = 0; i < extra; i++)
        parts[scratch[n - 1 - i]]++;
    for (size_t i = 0; total < 0 && i < n; i++)
        parts[i] = -parts[i];
    return ERR_NONE;
}
