/* test_points.c - checked sums of points, and how errors are filled */
#include "protocol/points.h"

#include <criterion/criterion.h>
#include <string.h>

Test(points, sums_inside_the_limits_are_exact, .timeout = 10)
{
    points_t sum = 0;

    cr_assert_eq(points_add(&sum, POINTS_MAX - 1, 1, NULL), ERR_NONE);
    cr_assert_eq(sum, POINTS_MAX);
    cr_assert_eq(points_sub(&sum, -POINTS_MAX + 1, 1, NULL), ERR_NONE);
    cr_assert_eq(sum, -POINTS_MAX);
    cr_assert_eq(points_sub(&sum, 40, 70, NULL), ERR_NONE);
    cr_assert_eq(sum, -30);
}

Test(points, a_sum_beyond_two_to_the_53_is_refused_and_leaves_the_target, .timeout = 10)
{
    points_t sum = 7;
    err_t err;

    cr_assert_eq(points_add(&sum, POINTS_MAX, 1, &err), ERR_OUT_OF_RANGE);
    cr_assert_eq(err.code, ERR_OUT_OF_RANGE);
    cr_assert_eq(points_sub(&sum, -POINTS_MAX, 1, &err), ERR_OUT_OF_RANGE);
    cr_assert_eq(sum, 7);
}

Test(points, sums_of_the_widest_integers_do_not_wrap, .timeout = 10)
{
    points_t sum = 7;

    cr_assert_eq(points_add(&sum, INT64_MAX, INT64_MAX, NULL), ERR_OUT_OF_RANGE);
    cr_assert_eq(points_add(&sum, INT64_MIN, INT64_MIN, NULL), ERR_OUT_OF_RANGE);
    cr_assert_eq(points_sub(&sum, INT64_MIN, INT64_MAX, NULL), ERR_OUT_OF_RANGE);
    cr_assert_eq(points_sub(&sum, INT64_MIN, INT64_MIN, NULL), ERR_NONE);
    cr_assert_eq(sum, 0);
}

Test(error, set_returns_the_code_and_formats_the_text, .timeout = 10)
{
    err_t err;

    cr_assert_eq(err_set(&err, ERR_NO_POINTS, "needs %d points, has %d", 500, 100), ERR_NO_POINTS);
    cr_assert_eq(err.code, ERR_NO_POINTS);
    cr_assert_str_eq(err.text, "needs 500 points, has 100");
    cr_assert_str_eq(err.field, "");
}

Test(error, without_a_format_the_tables_sentence_is_taken, .timeout = 10)
{
    err_t err;

    cr_assert_eq(err_set(&err, ERR_NOT_FOUND, NULL), ERR_NOT_FOUND);
    cr_assert_str_eq(err.text, err_info(ERR_NOT_FOUND)->text);
}

Test(error, field_names_the_member_and_a_later_set_clears_it, .timeout = 10)
{
    err_t err;

    cr_assert_eq(err_field(&err, ERR_INVALID, "points", "%s is needed", "a number"), ERR_INVALID);
    cr_assert_str_eq(err.field, "points");
    cr_assert_str_eq(err.text, "a number is needed");
    cr_assert_eq(err_set(&err, ERR_INVALID, "whole request"), ERR_INVALID);
    cr_assert_str_eq(err.field, "");
}

Test(error, a_missing_err_is_accepted, .timeout = 10)
{
    cr_assert_eq(err_set(NULL, ERR_IO, "disk %d", 3), ERR_IO);
    cr_assert_eq(err_field(NULL, ERR_INVALID, "x", NULL), ERR_INVALID);
}

Test(error, a_text_that_is_too_long_is_cut_between_characters, .timeout = 10)
{
    char padded[512];
    err_t err;

    /* Four-byte characters at every alignment against the end of the buffer. */
    for (size_t shift = 0; shift < 4; shift++) {
        memset(padded, 'a', sizeof padded);
        for (size_t i = shift; i + 4 < sizeof padded; i += 4)
            memcpy(padded + i, "\xf0\x9f\x8e\x81", 4);
        padded[sizeof padded - 1] = '\0';
        (void)err_field(&err, ERR_INVALID, padded, "%s", padded);
        cr_assert_eq((strlen(err.text) - shift) % 4, 0);
        cr_assert_gt(strlen(err.text), sizeof err.text - 5);
        cr_assert_eq((strlen(err.field) - shift) % 4, 0);
    }
    memset(padded, 'b', 300);
    padded[300] = '\0';
    (void)err_set(&err, ERR_INVALID, "%s", padded);
    cr_assert_eq(strlen(err.text), sizeof err.text - 1);
}

Test(error, every_code_has_a_complete_row, .timeout = 10)
{
    for (int code = 0; code < ERR__COUNT; code++) {
        const err_info_t *info = err_info((errcode_t)code);

        cr_assert_eq(code == ERR_NONE, strlen(info->name) == 0);
        cr_assert_gt(strlen(info->text), 0);
        cr_assert(info->http >= 200 && info->http < 600);
        cr_assert_eq(code == ERR_NONE, info->http == 200);
        cr_assert_eq(info->shape == SHAPE_NONE, code == ERR_NONE);
    }
}

Test(error, refusals_have_the_names_of_the_semantics, .timeout = 10)
{
    cr_assert_str_eq(err_info(ERR_NO_POINTS)->name, "insufficient_points");
    cr_assert_str_eq(err_info(ERR_INVALID_AMOUNT)->name, "invalid_amount");
    cr_assert_str_eq(err_info(ERR_OUT_OF_RANGE)->name, "amount_out_of_range");
    cr_assert_str_eq(err_info(ERR_CONFLICT)->name, "idempotency_conflict");
    cr_assert_eq(err_info(ERR_CONFLICT)->http, 409);
    cr_assert(err_info(ERR_OVERLOADED)->retry);
    cr_assert_not(err_info(ERR_NO_POINTS)->retry);
}
