/* test_json.c - the strict reader, the writer, and the canonical form */
#include "protocol/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Parses from a copy of exactly the right size, so that a read past the end is seen. */
static errcode_t parse_n(const char *text, size_t n, char *written, size_t written_max, err_t *err)
{
    char *exact = memory_alloc(n);
    json_t *root = NULL;
    arena_t arena;
    errcode_t rc;

    memcpy(exact, text, n);
    arena_init(&arena, 1 << 24);
    rc = json_parse(&root, &arena, exact, n, err);
    if (rc == ERR_NONE && written != NULL) {
        buffer_t out;

        buffer_init(&out, written_max - 1);
        json_write(&out, root);
        cr_assert_not(out.failed);
        memcpy(written, out.bytes, out.size);
        written[out.size] = '\0';
        buffer_free(&out);
    }
    arena_free(&arena);
    free(exact);
    return rc;
}

static void expect_written(const char *in, const char *out)
{
    char written[512];

    cr_assert_eq(parse_n(in, strlen(in), written, sizeof written, NULL), ERR_NONE, "%s", in);
    cr_assert_str_eq(written, out);
}

static void expect_refused(const char *in)
{
    err_t err;

    cr_assert_eq(parse_n(in, strlen(in), NULL, 0, &err), ERR_MALFORMED, "%s", in);
    cr_assert_not_null(strstr(err.text, "line "));
}

static void expect_canonical(const char *in, const json_canonical_t *rules, const char *expected)
{
    json_t *root = NULL;
    arena_t arena;
    buffer_t out;

    arena_init(&arena, 1 << 20);
    buffer_init(&out, 1 << 16);
    cr_assert_eq(json_parse(&root, &arena, in, strlen(in), NULL), ERR_NONE, "%s", in);
    json_write_canonical(&out, root, rules, &arena);
    buffer_byte(&out, 0);
    cr_assert_not(out.failed);
    cr_assert_str_eq((const char *)out.bytes, expected);
    buffer_free(&out);
    arena_free(&arena);
}

/* ------------------------------------------------------------------ reading */

Test(json, every_kind_of_value_is_read_and_written, .timeout = 10)
{
    expect_written("null", "null");
    expect_written(" true ", "true");
    expect_written("\tfalse\r\n", "false");
    expect_written("\"\"", "\"\"");
    expect_written("[ ]", "[]");
    expect_written("{ }", "{}");
    expect_written("[1, 2.50, -3e+7, [ ], { }]", "[1,2.50,-3e+7,[],{}]");
    expect_written("{ \"b\" : 1, \"a\" : { \"c\" : [ null ] } }", "{\"b\":1,\"a\":{\"c\":[null]}}");
}

Test(json, numbers_keep_their_text, .timeout = 10)
{
    static const char *const good[] = {
        "0", "-0", "10", "0.10", "-12.5e-10", "1E5", "123456789012345678901234567890"};

    for (size_t i = 0; i < COUNT_OF(good); i++)
        expect_written(good[i], good[i]);
}

Test(json, numbers_outside_the_grammar_are_refused, .timeout = 10)
{
    static const char *const bad[] = {"01",       "-01",       "00",  "+1",  "1.",   ".5",   "-",
                                      "-.5",      "1.e5",      "1e",  "1e+", "0x10", "1_0",  "NaN",
                                      "Infinity", "-Infinity", "1 2", "1,",  "--1",  "1e5.5"};

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_refused(bad[i]);
}

Test(json, strings_are_decoded, .timeout = 10)
{
    static const char text[] =
        "\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83c\\udf81 \xc3\xa9\"";
    static const char decoded[] =
        "a\"b\\c/d\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\x81 \xc3\xa9";
    json_t *root = NULL;
    arena_t arena;

    arena_init(&arena, 4096);
    cr_assert_eq(json_parse(&root, &arena, text, sizeof text - 1, NULL), ERR_NONE);
    cr_assert_eq(root->text_bytes, sizeof decoded - 1);
    cr_assert_eq(memcmp(root->text, decoded, sizeof decoded - 1), 0);
    cr_assert(json_text_is(root, decoded));
    arena_free(&arena);
}

Test(json, a_nul_inside_a_string_is_kept, .timeout = 10)
{
    json_t *root = NULL;
    arena_t arena;

    arena_init(&arena, 4096);
    cr_assert_eq(json_parse(&root, &arena, "\"a\\u0000b\"", 10, NULL), ERR_NONE);
    cr_assert_eq(root->text_bytes, 3);
    cr_assert_eq(memcmp(root->text, "a\0b", 3), 0);
    arena_free(&arena);
    expect_written("\"a\\u0000b\"", "\"a\\u0000b\"");
}

Test(json, broken_strings_are_refused, .timeout = 10)
{
    static const char *const bad[] = {"\"",
                                      "\"a",
                                      "\"\\",
                                      "\"\\\"",
                                      "\"\\x\"",
                                      "\"\\u\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\ud800\\ud800\"",
                                      "\"\\ud800x\"",
                                      "\"\\ud83c\\udf8\"",
                                      "\"a\nb\"",
                                      "\"\t\"",
                                      "\"\x1f\"",
                                      "'a'"};

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_refused(bad[i]);
}

Test(json, bytes_that_are_not_utf8_are_refused, .timeout = 10)
{
    static const char *const bad[] = {"\"\x80\"",
                                      "\"\xc3\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xc1\xbf\"",
                                      "\"\xe0\x9f\xbf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf0\x8f\xbf\xbf\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xf5\x80\x80\x80\"",
                                      "\"\xe2\x82\"",
                                      "\"\xe2\x28\xa1\"",
                                      "\"\xff\"",
                                      "{\"\xff\":1}",
                                      "\"\\n\xff\"",
                                      "\xef\xbb\xbf[]"};

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_refused(bad[i]);
    expect_written(
        "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
        "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
}

Test(json, structure_faults_are_refused, .timeout = 10)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "[",
                                      "]",
                                      "{",
                                      "}",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "[1}",
                                      "{1:2}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{\"a\" 1}",
                                      "{,}",
                                      "{\"a\":1 \"b\":2}",
                                      "{\"a\":1]",
                                      "nul",
                                      "nulll",
                                      "tru",
                                      "True",
                                      "[] []",
                                      "{}x",
                                      "// x\n1",
                                      "\v1",
                                      "{a:1}",
                                      "{\"a\":1,,\"b\":2}",
                                      "\xc2\xa0[]"};

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect_refused(bad[i]);
    err_t err;
    cr_assert_eq(parse_n("1\0", 2, NULL, 0, &err), ERR_MALFORMED);
}

Test(json, a_member_given_twice_is_refused_in_small_and_large_objects, .timeout = 10)
{
    char text[4096];

    expect_refused("{\"a\":1,\"b\":2,\"a\":3}");
    expect_refused("{\"a\":1,\"\\u0061\":3}");
    expect_refused("{\"\":1,\"\":3}");
    expect_refused("[{\"x\":{\"a\":1,\"a\":2}}]");
    expect_written("[{\"a\":1},{\"a\":2}]", "[{\"a\":1},{\"a\":2}]");
    for (int count = 14; count < 40; count++) {
        for (int twin = 0; twin < count; twin += 5) {
            int n = snprintf(text, sizeof text, "{");

            for (int i = 0; i < count; i++)
                n += snprintf(text + n, sizeof text - (size_t)n, "\"m%d\":%d,", i, i);
            (void)snprintf(text + n - 1, sizeof text - (size_t)n, "}");
            cr_assert_eq(parse_n(text, strlen(text), NULL, 0, NULL), ERR_NONE);
            (void)snprintf(text + n, sizeof text - (size_t)n, "\"m%d\":0}", twin);
            text[n - 1] = ',';
            cr_assert_eq(parse_n(text, strlen(text), NULL, 0, NULL), ERR_MALFORMED);
        }
    }
}

Test(json, an_object_of_very_many_members_is_read_in_time, .timeout = 20)
{
    buffer_t text;
    json_t *root = NULL;
    arena_t arena;

    buffer_init(&text, 1 << 24);
    buffer_byte(&text, '{');
    for (int i = 0; i < 200000; i++)
        buffer_printf(&text, "%s\"%d\":0", i > 0 ? "," : "", i);
    buffer_byte(&text, '}');
    arena_init(&arena, 1 << 26);
    cr_assert_eq(json_parse(&root, &arena, (char *)text.bytes, text.size, NULL), ERR_NONE);
    cr_assert_eq(root->count, 200000);
    buffer_t out;
    buffer_init(&out, 1 << 24);
    json_write_canonical(&out, root, NULL, &arena);
    cr_assert_not(out.failed);
    cr_assert_eq(out.size, text.size);
    buffer_free(&out);
    buffer_free(&text);
    arena_free(&arena);
}

Test(json, nesting_is_read_to_64_and_no_deeper, .timeout = 10)
{
    char text[256];

    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    cr_assert_eq(parse_n(text, 128, NULL, 0, NULL), ERR_NONE);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    cr_assert_eq(parse_n(text, 130, NULL, 0, NULL), ERR_MALFORMED);
    buffer_t deep;
    buffer_init(&deep, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buffer_byte(&deep, '[');
    cr_assert_eq(parse_n((const char *)deep.bytes, deep.size, NULL, 0, NULL), ERR_MALFORMED);
    buffer_reset(&deep);
    for (int i = 0; i < 100000; i++)
        buffer_text(&deep, "{\"a\":");
    cr_assert_eq(parse_n((const char *)deep.bytes, deep.size, NULL, 0, NULL), ERR_MALFORMED);
    buffer_free(&deep);
}

Test(json, a_full_arena_is_too_large_and_not_malformed, .timeout = 10)
{
    static const char text[] = "[1,2,{\"a\":\"x\\ny\"},4,5,6,7,8]";
    json_t *root = NULL;
    arena_t arena;
    err_t err;

    for (size_t max = 0; max < 10 * sizeof(json_t) + 16; max += 16) {
        arena_init(&arena, max);
        cr_assert_eq(json_parse(&root, &arena, text, sizeof text - 1, &err), ERR_TOO_LARGE);
        arena_free(&arena);
    }
    arena_init(&arena, 1000);
    cr_assert_eq(json_parse(&root, &arena, text, sizeof text - 1, &err), ERR_NONE);
    arena_free(&arena);
}

Test(json, a_fault_is_given_by_line_and_column_in_characters, .timeout = 10)
{
    err_t err;

    cr_assert_eq(parse_n("{\n  \"a\": 1,\n  \"\xc3\xa9\": x\n}", 23, NULL, 0, &err), ERR_MALFORMED);
    cr_assert_not_null(strstr(err.text, "line 3 column 8"), "%s", err.text);
    cr_assert_eq(parse_n("[1,", 3, NULL, 0, &err), ERR_MALFORMED);
    cr_assert_not_null(strstr(err.text, "line 1 column 4"), "%s", err.text);
}

Test(json, every_prefix_of_a_document_is_refused, .timeout = 10)
{
    static const char text[] =
        "{\"customer\":\"6ba7\\u00e9\xc3\xa9\",\"points\":-12.50e+1,\"on\":[true,false,null,{}]}";

    for (size_t n = 0; n < sizeof text - 1; n++)
        cr_assert_eq(parse_n(text, n, NULL, 0, NULL), ERR_MALFORMED, "%zu bytes", n);
    cr_assert_eq(parse_n(text, sizeof text - 1, NULL, 0, NULL), ERR_NONE);
}

Test(json, members_are_found_by_name, .timeout = 10)
{
    static const char text[] = "{\"points\":100,\"note\":\"x\",\"point\":1,\"o\":{\"note\":2}}";
    json_t *root = NULL;
    arena_t arena;

    arena_init(&arena, 4096);
    cr_assert_eq(json_parse(&root, &arena, text, sizeof text - 1, NULL), ERR_NONE);
    const json_t *points = json_member(root, "points");
    cr_assert_not_null(points);
    cr_assert_eq(points->type, JSON_NUMBER);
    cr_assert_eq(points->text_bytes, 3);
    cr_assert(json_text_is(json_member(root, "note"), "x"));
    cr_assert_not(json_text_is(json_member(root, "note"), "xx"));
    cr_assert_not(json_text_is(points, "100"));
    cr_assert_null(json_member(root, "poin"));
    cr_assert_null(json_member(points, "points"));
    cr_assert_null(json_member(NULL, "points"));
    cr_assert_str_eq(json_type_name(root->type), "dict");
    cr_assert_str_eq(json_type_name(points->type), "number");
    arena_free(&arena);
}

/* ------------------------------------------------------------------ writing */

Test(json, written_strings_are_escaped_and_always_utf8, .timeout = 10)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } rows[] = {{"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
                {"\b\f\n\r\t\x01\x1f\x7f", 8, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
                {"a\0b", 3, "\"a\\u0000b\""},
                {"\xc3\xa9\xff\xc3", 4, "\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\""},
                {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
                {"", 0, "\"\""}};
    buffer_t out;

    buffer_init(&out, 1024);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        buffer_reset(&out);
        json_write_string(&out, rows[i].in, rows[i].n);
        buffer_byte(&out, 0);
        cr_assert_str_eq((const char *)out.bytes, rows[i].out);
    }
    buffer_free(&out);
}

Test(json, integers_are_written_to_both_ends, .timeout = 10)
{
    buffer_t out;

    buffer_init(&out, 1024);
    json_write_i64(&out, INT64_MIN);
    buffer_byte(&out, ' ');
    json_write_i64(&out, 0);
    buffer_byte(&out, ' ');
    json_write_i64(&out, INT64_MAX);
    buffer_byte(&out, 0);
    cr_assert_str_eq((const char *)out.bytes, "-9223372036854775808 0 9223372036854775807");
    buffer_free(&out);
}

/* ------------------------------------------------------------------ canonical form */

Test(json_canonical, numbers_of_one_value_have_one_form, .timeout = 10)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"100", "100"},
                {"100.0", "100"},
                {"1e2", "100"},
                {"1E+2", "100"},
                {"1.00e2", "100"},
                {"10000e-2", "100"},
                {"0.1e3", "100"},
                {"0", "0"},
                {"-0", "0"},
                {"0.000", "0"},
                {"-0e99999999999999999999999", "0"},
                {"12.50", "12.5"},
                {"1250e-2", "12.5"},
                {"-12.5", "-12.5"},
                {"0.05", "0.05"},
                {"5e-2", "0.05"},
                {"0.0500", "0.05"},
                {"0.5e-1", "0.05"},
                {"123.456e1", "1234.56"},
                {"123.456e-1", "12.3456"},
                {"123.456e-3", "0.123456"},
                {"123.456e-4", "0.0123456"},
                {"123.456e3", "123456"},
                {"1.5e0000000000000000000000002", "150"},
                {"1e63", "1000000000000000000000000000000000000000000000000000000000000000"},
                {"1e64", "1e64"},
                {"10e63", "1e64"},
                {"1.50e70", "15e69"},
                {"1e-63", "0.000000000000000000000000000000000000000000000000000000000000001"},
                {"1e-64", "1e-64"},
                {"-0.15e-64", "-15e-66"},
                {"1e99999999999999999999999", "1e99999999999999999999999"}};

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_canonical(rows[i].in, NULL, rows[i].out);
}

Test(json_canonical, members_are_sorted_by_bytes_at_every_level, .timeout = 10)
{
    expect_canonical("{ \"b\": 1.0, \"a\": { \"z\": 1, \"y\": [ 2.0, {\"d\":0,\"c\":0} ] }, "
                     "\"ab\": 0, \"B\": \"\\u0041\" }",
                     NULL,
                     "{\"B\":\"A\",\"a\":{\"y\":[2,{\"c\":0,\"d\":0}],\"z\":1},\"ab\":0,\"b\":1}");
}

Test(json_canonical, order_of_more_members_than_fit_on_the_stack, .timeout = 10)
{
    expect_canonical("{\"t\":0,\"s\":0,\"r\":0,\"q\":0,\"p\":0,\"o\":0,\"n\":0,\"m\":0,\"l\":0,"
                     "\"k\":0,\"j\":0,\"i\":0,\"h\":0,"
                     "\"g\":0,\"f\":0,\"e\":0,\"d\":0,\"c\":0,\"b\":0,\"a\":0}",
                     NULL,
                     "{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0,"
                     "\"j\":0,\"k\":0,\"l\":0,\"m\":0,"
                     "\"n\":0,\"o\":0,\"p\":0,\"q\":0,\"r\":0,\"s\":0,\"t\":0}");
}

/* what the same request may look like. */
Test(json_canonical, aliases_keys_and_number_texts_do_not_make_another_request, .timeout = 10)
{
    static const char *const skip[] = {"idempotency_key", NULL};
    static const char *const alias[][2] = {{"reward_cost", "points"}, {NULL, NULL}};
    static const char *const numeric[] = {"points", NULL};
    json_canonical_t rules = {.skip = skip, .alias = alias, .numeric = numeric};
    static const char expected[] = "{\"customer_id\":\"c\",\"note\":\"100\",\"points\":100}";

    expect_canonical("{\"customer_id\":\"c\",\"points\":100,\"note\":\"100\"}", &rules, expected);
    expect_canonical(
        "{\"points\":\"100.00\",\"note\":\"100\",\"customer_id\":\"c\",\"idempotency_key\":\"k1\"}",
        &rules, expected);
    expect_canonical("{\"note\":\"100\",\"reward_cost\":1e2,\"customer_id\":\"c\"}", &rules,
                     expected);
    expect_canonical("{\"note\":\"100\",\"reward_cost\":\"1e2\",\"customer_id\":\"c\"}", &rules,
                     expected);
}

Test(json_canonical, rules_apply_to_the_top_object_only, .timeout = 10)
{
    static const char *const skip[] = {"idempotency_key", NULL};
    static const char *const alias[][2] = {{"reward_cost", "points"}, {NULL, NULL}};
    static const char *const numeric[] = {"points", NULL};
    json_canonical_t rules = {.skip = skip, .alias = alias, .numeric = numeric};
    static const char nested[] =
        "{\"a\":{\"idempotency_key\":1,\"points\":\"100.0\",\"reward_cost\":1}}";

    expect_canonical(nested, &rules, nested);
    expect_canonical("{\"a\":[{\"points\":\"1.0\"}]}", &rules, "{\"a\":[{\"points\":\"1.0\"}]}");
}

Test(json_canonical, strings_that_hold_no_number_stay_strings, .timeout = 10)
{
    static const char *const numeric[] = {"points", NULL};
    json_canonical_t rules = {.skip = NULL, .alias = NULL, .numeric = numeric};
    static const char *const texts[] = {"", "abc", "+1", "1.", ".5", " 1", "1 ", "1e", "0x1", "-"};
    char body[64];

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        (void)snprintf(body, sizeof body, "{\"points\":\"%s\"}", texts[i]);
        expect_canonical(body, &rules, body);
    }
}

Test(json_canonical, two_members_renamed_to_one_have_a_fixed_order, .timeout = 10)
{
    static const char *const alias[][2] = {{"reward_cost", "points"}, {NULL, NULL}};
    json_canonical_t rules = {.skip = NULL, .alias = alias, .numeric = NULL};

    expect_canonical("{\"points\":1,\"reward_cost\":2}", &rules, "{\"points\":1,\"points\":2}");
    expect_canonical("{\"reward_cost\":2,\"points\":1}", &rules, "{\"points\":1,\"points\":2}");
}

Test(json_canonical, a_full_arena_fails_the_output, .timeout = 10)
{
    buffer_t text;
    json_t *root = NULL;
    arena_t arena;
    arena_t full;
    buffer_t out;

    buffer_init(&text, 4096);
    buffer_byte(&text, '{');
    for (int i = 0; i < 30; i++)
        buffer_printf(&text, "%s\"%d\":0", i > 0 ? "," : "", i);
    buffer_byte(&text, '}');
    arena_init(&arena, 1 << 16);
    arena_init(&full, 16);
    buffer_init(&out, 4096);
    cr_assert_eq(json_parse(&root, &arena, (char *)text.bytes, text.size, NULL), ERR_NONE);
    json_write_canonical(&out, root, NULL, &full);
    cr_assert(out.failed);
    buffer_free(&text);
    buffer_free(&out);
    arena_free(&arena);
    arena_free(&full);
}
