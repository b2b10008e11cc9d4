/* zipf.c - rejection-inversion sampling: invert the integral of x^-theta, reject the little that
 * lies above the bars */
#include "bench/zipf.h"

#include <math.h>

static double height(double theta, double x);
static double area(double theta, double x);
static double area_inverse(double theta, double a);

void zipf_init(zipf_t *self, uint64_t n, double theta)
{
    self->n = n;
    self->theta = theta;
    self->area_first = area(theta, 1.5) - 1.0;
    self->area_all = area(theta, (double)n + 0.5);
    self->shortcut = 2.0 - area_inverse(theta, area(theta, 2.5) - height(theta, 2.0));
}

uint64_t zipf_next(const zipf_t *self, random_t *random)
{
    if (self->theta <= 0.0)
        return random_below(random, self->n);
    for (;;) {
        double a = self->area_all + random_unit(random) * (self->area_first - self->area_all);
        double x = area_inverse(self->theta, a);
        double k = floor(x + 0.5);

        if (k < 1.0)
            k = 1.0;
        else if (k > (double)self->n)
            k = (double)self->n;
        if (k - x <= self->shortcut || a >= area(self->theta, k + 0.5) - height(self->theta, k))
            return (uint64_t)k - 1;
    }
}

static double height(double theta, double x)
{
    return exp(-theta * log(x));
}

/* Integral of x^-theta from 1: (x^(1-theta) - 1) / (1-theta), and log x at theta = 1. Written
 * through expm1, because near theta = 1 the plain formula divides two numbers that have lost all
 * their digits. */
static double area(double theta, double x)
{
    double log_x = log(x);
    double t = (1.0 - theta) * log_x;

    return (fabs(t) > 1e-8 ? expm1(t) / t : 1.0 + t / 2.0) * log_x;
}

static double area_inverse(double theta, double a)
{
    double t = a * (1.0 - theta);

    if (t < -1.0)
        t = -1.0; /* rounding only: the integral never reaches its limit */
    return exp((fabs(t) > 1e-8 ? log1p(t) / t : 1.0 - t / 2.0) * a);
}
