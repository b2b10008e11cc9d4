/* decimal.h - exact decimal numbers
 *
 * Contract   value / 10^scale, 128 bits wide; products are formed in 256 bits, so nothing is lost
 *            before the one rounding. Text in, text out; never binary floating point.
 * Threads    Pure.
 * Ownership  Values; the caller owns all buffers.
 * Units      scale = number of decimals, 0..18.
 * Errors     ERR_INVALID for text that is no number, ERR_OUT_OF_RANGE when it does not fit.
 */
#ifndef FEALTY_DECIMAL_H
#define FEALTY_DECIMAL_H

#include "protocol/points.h"

#define DECIMAL_SCALE_MAX 18
#define DECIMAL_TEXT_MAX  48

typedef struct {
    int128_t value;
    uint8_t scale;
} decimal_t;

/* modes act on the magnitude, then the sign is put back. */
typedef enum { ROUND_FLOOR, ROUND_CEIL, ROUND_HALF_UP, ROUND_HALF_EVEN } rounding_t;

/* dec(p,s) of the contract: at most precision digits in all, at most scale decimals (trailing zeros
 * are not counted). The result has exactly `scale` decimals. `exponent` allows "1.5e3" (JSON numbers).
 * Sign '-' is accepted; '+', blanks, "1.", ".5", "01" and "" are not. */
errcode_t decimal_parse(decimal_t *out, const char *text, size_t bytes, int precision, int scale,
                        bool exponent, err_t *err);

/* Writes exactly out->scale decimals, NUL-terminated; returns the length. */
size_t decimal_format(const decimal_t *self, char out[DECIMAL_TEXT_MAX]);

/* Exact: a * b / c rounded once, the product in 256 bits. c > 0. */
errcode_t decimal_mul_div(int128_t *out, int128_t a, int128_t b, int128_t c, rounding_t mode,
                          err_t *err);

/* self x ppm_1/10^6 x ... x ppm_n/10^6, rounded once to whole points. n <= 8. */
errcode_t decimal_times_ppm(points_t *out, const decimal_t *self, const int64_t *ppm, size_t n,
                            rounding_t mode, err_t *err);

/* Whole points of self under a rounding mode. */
errcode_t decimal_round(points_t *out, const decimal_t *self, rounding_t mode, err_t *err);

/* parts sum to total; ties to the earlier part; all weights zero: everything to the first.
 * Weights are >= 0. total may be negative (the magnitude is split). n <= 1,048,576. Uses `scratch`
 * of n entries as its only memory. */
errcode_t decimal_split(points_t total, const int64_t *weights, size_t n, points_t *parts,
                        uint32_t *scratch, err_t *err);

#endif
