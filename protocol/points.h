/* points.h - checked whole points
 *
 * Contract   Points are signed 64-bit integers in the smallest unit. Sums never wrap. One posting
 *            and every balance stay within +-(2^53 - 1), so that JSON readers keep them exact.
 * Threads    Pure.
 * Ownership  Nothing to say.
 * Units      Points; multipliers in ppm (1.25 = 1,250,000).
 * Errors     ERR_OUT_OF_RANGE (`amount_out_of_range`).
 */
#ifndef FEALTY_POINTS_H
#define FEALTY_POINTS_H

#include "protocol/error.h"

typedef int64_t points_t;

#define POINTS_MAX ((points_t)9007199254740991) /* 2^53 - 1 */
#define PPM_ONE    1000000

errcode_t points_add(points_t *sum, points_t a, points_t b, err_t *err);
errcode_t points_sub(points_t *difference, points_t a, points_t b, err_t *err);

#endif
