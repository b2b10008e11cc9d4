/* test_zipf.c - the choice of customers follows the law it promises, and customers are who they
 * should be */
#include "bench/customers.c"
/* With its source: the programs under bench/ are not part of what the unit tests link. */
#include "bench/zipf.c"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define DRAWS 400000

/* Every rank's frequency must lie within five standard deviations of the law. */
static void check_law(uint64_t n, double theta)
{
    static uint64_t seen[1000];
    random_t random = {11};
    zipf_t zipf;
    double sum = 0.0;

    memset(seen, 0, sizeof(seen));
    zipf_init(&zipf, n, theta);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t k = zipf_next(&zipf, &random);
        cr_assert(k < n, "drew %llu of %llu", (unsigned long long)k, (unsigned long long)n);
        seen[k]++;
    }
    for (uint64_t k = 0; k < n; k++)
        sum += pow((double)(k + 1), -theta);
    for (uint64_t k = 0; k < n; k++) {
        double p = pow((double)(k + 1), -theta) / sum;
        double expected = p * DRAWS;
        double deviation = sqrt(DRAWS * p * (1.0 - p));
        cr_assert(fabs((double)seen[k] - expected) <= 5.0 * deviation + 1.0,
                  "n %llu, theta %g: rank %llu came %llu times, not about %.1f",
                  (unsigned long long)n, theta, (unsigned long long)k, (unsigned long long)seen[k],
                  expected);
    }
}

Test(bench_zipf, follows_the_law_at_the_usual_skew, .timeout = 20)
{
    check_law(1000, 0.99);
}

Test(bench_zipf, follows_the_law_at_exactly_one, .timeout = 20)
{
    check_law(1000, 1.0);
}

Test(bench_zipf, follows_the_law_when_flat_and_when_steep, .timeout = 20)
{
    check_law(500, 0.3);
    check_law(1000, 2.5);
}

Test(bench_zipf, is_uniform_at_theta_zero, .timeout = 20)
{
    check_law(1000, 0.0);
}

Test(bench_zipf, draws_the_only_customer_when_there_is_one, .timeout = 20)
{
    random_t random = {5};
    zipf_t zipf;

    zipf_init(&zipf, 1, 0.99);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(zipf_next(&zipf, &random), 0);
}

Test(bench_zipf, stays_in_range_with_billions_and_reaches_far, .timeout = 20)
{
    const uint64_t n = UINT64_C(10000000000);
    random_t random = {5};
    zipf_t zipf;
    uint64_t largest = 0;

    zipf_init(&zipf, n, 0.9);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t k = zipf_next(&zipf, &random);
        cr_assert(k < n);
        largest = k > largest ? k : largest;
    }
    cr_assert(largest > n / 2, "the largest of 100,000 draws was %llu",
              (unsigned long long)largest);
}

Test(bench_zipf, repeats_itself_from_the_same_seed, .timeout = 20)
{
    random_t a = {99};
    random_t b = {99};
    zipf_t zipf;

    zipf_init(&zipf, 5000000, 0.99);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(zipf_next(&zipf, &a), zipf_next(&zipf, &b));
}

/* Preloaded files outlive a build: a changed function would aim the load at accounts that are not
 * there. */
Test(bench_customers, have_the_same_uuid_for_ever, .timeout = 10)
{
    char text[CUSTOMER_TEXT_BYTES + 1] = "";

    customer_uuid(0, text);
    cr_assert_str_eq(text, "5692161d-100b-45e5-9758-35de1c9756ce");
    customer_uuid(4999999, text);
    cr_assert_str_eq(text, "4277e053-59ae-49b3-bd4e-6986cb8d7488");
}

Test(bench_customers, are_random_uuids_of_rfc_4122_and_all_different, .timeout = 20)
{
    char before[CUSTOMER_TEXT_BYTES] = "";
    char text[CUSTOMER_TEXT_BYTES];

    for (uint64_t i = 0; i < 100000; i++) {
        customer_uuid(i, text);
        cr_assert_eq(text[14], '4');
        cr_assert(strchr("89ab", text[19]) != NULL);
        for (unsigned c = 0; c < CUSTOMER_TEXT_BYTES; c++) {
            bool hyphen = c == 8 || c == 13 || c == 18 || c == 23;
            cr_assert(hyphen ? text[c] == '-' : strchr("0123456789abcdef", text[c]) != NULL);
        }
        cr_assert(memcmp(before, text, sizeof(text)) != 0);
        memcpy(before, text, sizeof(text));
    }
}
