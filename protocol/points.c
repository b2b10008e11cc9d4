/* points.c - sums of points that never wrap and stay within what JSON readers keep exact */
#include "protocol/points.h"

#include <inttypes.h>

static errcode_t within_limits(points_t *out, int128_t exact, err_t *err);

errcode_t points_add(points_t *sum, points_t a, points_t b, err_t *err)
{
    return within_limits(sum, (int128_t)a + b, err);
}

errcode_t points_sub(points_t *difference, points_t a, points_t b, err_t *err)
{
    return within_limits(difference, (int128_t)a - b, err);
}

static errcode_t within_limits(points_t *out, int128_t exact, err_t *err)
{
    if (exact > POINTS_MAX || exact < -POINTS_MAX)
        return err_set(err, ERR_OUT_OF_RANGE, "points would leave +-%" PRId64, POINTS_MAX);
    *out = (points_t)exact;
    return ERR_NONE;
}
