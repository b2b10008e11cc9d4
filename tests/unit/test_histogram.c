/* test_histogram.c - percentiles stay within one per cent, whatever is recorded */
/* With its source: the programs under bench/ are not part of what the unit tests link. */
#include "bench/histogram.c"

#include "bench/random.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define VALUES 20000

static int compare_values(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

Test(bench_histogram, gives_back_a_single_value_within_one_per_cent, .timeout = 10)
{
    random_t random = {7};

    for (unsigned i = 0; i < 2000; i++) {
        histogram_t *histogram = histogram_new();
        uint64_t value = random_next(&random) >> (21 + random_below(&random, 43));
        histogram_record(histogram, value);
        histogram_record(histogram,
                         HISTOGRAM_VALUE_MAX); /* else the maximum would hide the bucket's width */
        uint64_t seen = histogram_percentile(histogram, 50.0);
        cr_assert(seen >= value, "%llu came back as %llu", (unsigned long long)value,
                  (unsigned long long)seen);
        cr_assert((double)(seen - value) <= 0.01 * (double)value, "%llu came back as %llu",
                  (unsigned long long)value, (unsigned long long)seen);
        histogram_destroy(&histogram);
        cr_assert_null(histogram);
    }
}

Test(bench_histogram, keeps_values_below_256_exact, .timeout = 10)
{
    for (uint64_t value = 0; value < 256; value++) {
        histogram_t *histogram = histogram_new();
        histogram_record(histogram, value);
        histogram_record(histogram, 100000);
        cr_assert_eq(histogram_percentile(histogram, 50.0), value);
        histogram_destroy(&histogram);
    }
}

Test(bench_histogram, agrees_with_sorting_all_values, .timeout = 10)
{
    static const double percents[] = {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0};
    static uint64_t values[VALUES];
    histogram_t *histogram = histogram_new();
    random_t random = {42};

    for (size_t i = 0; i < VALUES; i++) {
        values[i] = 50000 + random_below(&random, 1U << random_below(&random, 30));
        histogram_record(histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), compare_values);
    for (size_t i = 0; i < COUNT_OF(percents); i++) {
        double wanted = percents[i] / 100.0 * VALUES;
        size_t rank = wanted < 1.0 ? 1 : (size_t)(wanted + 0.999999);
        uint64_t truth = values[rank - 1];
        uint64_t seen = histogram_percentile(histogram, percents[i]);
        cr_assert(seen >= truth && (double)(seen - truth) <= 0.01 * (double)truth,
                  "p%g is %llu, seen as %llu", percents[i], (unsigned long long)truth,
                  (unsigned long long)seen);
    }
    histogram_destroy(&histogram);
}

Test(bench_histogram, takes_the_rank_that_the_percentile_names, .timeout = 10)
{
    histogram_t *histogram = histogram_new();

    for (uint64_t i = 0; i < 999; i++)
        histogram_record(histogram, 100);
    histogram_record(histogram, 200);
    cr_assert_eq(histogram_percentile(histogram, 99.9), 100, "999 of 1,000 are 99.9 %%");
    cr_assert_eq(histogram_percentile(histogram, 99.91), 200);
    histogram_destroy(&histogram);
}

Test(bench_histogram, never_reports_more_than_the_largest_value, .timeout = 10)
{
    histogram_t *histogram = histogram_new();

    histogram_record(histogram, 1000001);
    cr_assert_eq(histogram_percentile(histogram, 99.99), 1000001);
    cr_assert_eq(histogram_max(histogram), 1000001);
    histogram_destroy(&histogram);
}

Test(bench_histogram, counts_values_beyond_its_range_as_the_largest, .timeout = 10)
{
    histogram_t *histogram = histogram_new();

    histogram_record(histogram, UINT64_MAX);
    cr_assert_eq(histogram_count(histogram), 1);
    cr_assert_eq(histogram_max(histogram), HISTOGRAM_VALUE_MAX);
    cr_assert_eq(histogram_percentile(histogram, 50.0), HISTOGRAM_VALUE_MAX);
    histogram_destroy(&histogram);
}

Test(bench_histogram, adds_up_two_of_them_as_if_recorded_in_one, .timeout = 10)
{
    histogram_t *parts[2] = {histogram_new(), histogram_new()};
    histogram_t *whole = histogram_new();
    random_t random = {3};

    for (unsigned i = 0; i < 10000; i++) {
        uint64_t value = random_below(&random, 10000000);
        histogram_record(parts[i % 2], value);
        histogram_record(whole, value);
    }
    histogram_merge(parts[0], parts[1]);
    cr_assert_eq(histogram_count(parts[0]), histogram_count(whole));
    cr_assert_eq(histogram_max(parts[0]), histogram_max(whole));
    cr_assert_float_eq(histogram_mean(parts[0]), histogram_mean(whole), 1e-6);
    for (double percent = 0.0; percent <= 100.0; percent += 0.25)
        cr_assert_eq(histogram_percentile(parts[0], percent), histogram_percentile(whole, percent));
    histogram_destroy(&parts[0]);
    histogram_destroy(&parts[1]);
    histogram_destroy(&whole);
}

Test(bench_histogram, is_all_zero_when_nothing_was_recorded, .timeout = 10)
{
    histogram_t *histogram = histogram_new();

    cr_assert_eq(histogram_percentile(histogram, 99.0), 0);
    cr_assert_eq(histogram_max(histogram), 0);
    cr_assert_float_eq(histogram_mean(histogram), 0.0, 1e-12);
    histogram_destroy(&histogram);
}
