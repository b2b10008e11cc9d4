/* test_schema.c - bodies against tables: types of api-resources 1.3, flags, all faults at once */
#include "protocol/schema.h"

#include <criterion/criterion.h>
#include <stdio.h>

static arena_t schema_arena;
static buffer_t schema_out, schema_faults;

static void schema_setup(void)
{
    arena_init(&schema_arena, 16u * 1024 * 1024);
    buffer_init(&schema_out, 4u * 1024 * 1024);
    buffer_init(&schema_faults, 4u * 1024 * 1024);
}

static void schema_teardown(void)
{
    arena_free(&schema_arena);
    buffer_free(&schema_out);
    buffer_free(&schema_faults);
}

TestSuite(schema, .init = schema_setup, .fini = schema_teardown, .timeout = 10);

/* Programs and tiers 1 to 5 exist. */
static bool up_to_five(void *state, uint8_t resource, uint64_t id)
{
    (void)state;
    return resource < 64 && id <= 5;
}

/* Runs a check; the result is the normal form, or the faults as shape V. */
static const char *run_check(const schema_table_t *table, schema_mode_t mode, const char *body)
{
    const schema_check_t check = {
        .table = table, .mode = mode, .lookup = up_to_five, .arena = &schema_arena};
    schema_errors_t errors;
    json_t *root;

    cr_assert_eq(json_parse(&root, &schema_arena, body, strlen(body), NULL), ERR_NONE, "%s", body);
    buffer_reset(&schema_out);
    buffer_reset(&schema_faults);
    buffer_t *out = &schema_out;
    if (!schema_check(&check, root, &schema_out, &errors)) {
        out = &schema_faults;
        schema_errors_write(&errors, out);
    }
    buffer_byte(out, '\0');
    return (const char *)out->bytes;
}

#define EXPECT(table, mode, body, expected)                                                  \
    do {                                                                                     \
        const char *actual = run_check(&table, mode, body);                                  \
        cr_assert_str_eq(actual, expected, "%s\n  gives    %s\n  expected %s", body, actual, \
                         expected);                                                          \
    } while (0)

static const schema_field_t probe_fields[] = {
    {.name = "id", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY},
    {.name = "i", .type = SCHEMA_INT},
    {.name = "c", .type = SCHEMA_COUNT},
    {.name = "b", .type = SCHEMA_BIG},
    {.name = "d", .type = SCHEMA_DECIMAL, .size = 6, .scale = 3, .minimum = "-1", .maximum = "100"},
    {.name = "s", .type = SCHEMA_STRING, .size = 5},
    {.name = "e", .type = SCHEMA_STRING, .size = 5, .flags = SCHEMA_BLANK},
    {.name = "t", .type = SCHEMA_TEXT, .flags = SCHEMA_NULLABLE},
    {.name = "y", .type = SCHEMA_BOOL},
    {.name = "dt", .type = SCHEMA_DATETIME, .flags = SCHEMA_NULLABLE},
    {.name = "day", .type = SCHEMA_DATE},
    {.name = "u", .type = SCHEMA_UUID},
    {.name = "j", .type = SCHEMA_JSON, .aliases = (const char *const[]){"jay", "json", NULL}},
    {.name = "url", .type = SCHEMA_URL, .size = 200, .flags = SCHEMA_BLANK},
    {.name = "mail", .type = SCHEMA_EMAIL, .size = 200},
    {.name = "fk", .type = SCHEMA_FOREIGN, .resource = SCHEMA_PROGRAM},
    {.name = "fkn", .type = SCHEMA_FOREIGN, .resource = SCHEMA_PROGRAM, .flags = SCHEMA_NULLABLE},
    {.name = "k", .type = SCHEMA_ENUM, .choices = (const char *const[]){"one", "two", NULL}},
};
static const schema_table_t probe = {
    .name = "probe", .resource = 99, .fields = probe_fields, .count = COUNT_OF(probe_fields)};

Test(schema, integers_are_read_as_numbers_and_digit_strings)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":7}", "{\"i\":7}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":\" -7 \"}", "{\"i\":-7}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":100.0}", "{\"i\":100}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":1e2}", "{\"i\":100}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":9007199254740991}", "{\"i\":9007199254740991}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"b\":9223372036854775807}", "{\"b\":9223372036854775807}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":1.5}", "{\"i\":[\"A valid integer is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":true}", "{\"i\":[\"A valid integer is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":\"x\"}", "{\"i\":[\"A valid integer is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":\"\"}", "{\"i\":[\"A valid integer is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":[1]}", "{\"i\":[\"A valid integer is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"i\":9007199254740992}",
           "{\"i\":[\"Ensure this value is less than or equal to 9007199254740991.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"c\":-1}",
           "{\"c\":[\"Ensure this value is greater than or equal to 0.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"b\":9223372036854775808}",
           "{\"b\":[\"Ensure this value is less than or equal to 9223372036854775807.\"]}");
}

Test(schema, decimals_come_out_as_text_with_exactly_their_decimals)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":1.5}", "{\"d\":\"1.500\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":\"1.2500\"}", "{\"d\":\"1.250\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":-1}", "{\"d\":\"-1.000\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":1.2345}",
           "{\"d\":[\"Ensure that there are no more than 3 decimal places.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":1000}",
           "{\"d\":[\"Ensure that there are no more than 3 digits before the decimal point.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":\"1,5\"}", "{\"d\":[\"A valid number is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":false}", "{\"d\":[\"A valid number is required.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":100.001}",
           "{\"d\":[\"Ensure this value is less than or equal to 100.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"d\":-1.001}",
           "{\"d\":[\"Ensure this value is greater than or equal to -1.\"]}");
}

Test(schema, strings_are_trimmed_and_measured_in_code_points)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":\"  ab \\n\"}", "{\"s\":\"ab\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"}",
           "{\"s\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":\"abcdef\"}",
           "{\"s\":[\"Ensure this field has no more than 5 characters.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":\"  \"}", "{\"s\":[\"This field may not be blank.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"e\":\" \"}", "{\"e\":\"\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":\"a\\u0000b\"}",
           "{\"s\":[\"Null characters are not allowed.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":12.5}", "{\"s\":\"12.5\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":true}", "{\"s\":[\"Not a valid string.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":{}}", "{\"s\":[\"Not a valid string.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"s\":null}", "{\"s\":[\"This field may not be null.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"t\":null}", "{\"t\":null}");
}

Test(schema, text_that_is_no_utf8_is_refused)
{
    /* Form bodies and query strings do not pass the JSON reader. */
    static const char *const bad[] = {"\xff",
                                      "a\xc3",
                                      "\xc0\x80",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf0\x80\x80\x80",
                                      "\x80"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        buffer_reset(&schema_out);
        const char *fault =
            schema_check_text(&probe_fields[5], bad[i], strlen(bad[i]), &schema_arena, &schema_out);
        cr_assert_not_null(fault, "case %zu", i);
        cr_assert_str_eq(fault, "The text is not valid UTF-8.");
    }
    cr_assert_null(
        schema_check_text(&probe_fields[5], "\xed\x9f\xbf", 3, &schema_arena, &schema_out));
}

Test(schema, text_has_a_limit_in_bytes)
{
    size_t n = SCHEMA_VALUE_BYTES_MAX + 1;
    char *body = malloc(n + 16);
    cr_assert_not_null(body);
    int head = sprintf(body, "{\"t\":\"");
    memset(body + head, 'x', n);
    strcpy(body + head + n, "\"}");
    cr_assert_str_eq(run_check(&probe, SCHEMA_UPDATE, body),
                     "{\"t\":[\"Ensure this field has no more than 65536 bytes.\"]}");
    strcpy(body + head + n - 1, "\"}");
    cr_assert_null(strstr(run_check(&probe, SCHEMA_UPDATE, body), "Ensure"));
    free(body);
}

Test(schema, booleans_have_many_spellings)
{
    static const char *const yes[] = {"true",  "1",       "\"true\"", "\"True\"", "\"on\"",
                                      "\"1\"", "\"yes\"", "\"T\"",    "\"y\""};
    static const char *const no[] = {"false", "0",      "\"FALSE\"", "\"off\"",
                                     "\"0\"", "\"No\"", "\"f\"",     "\"n\""};
    char body[64];
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        snprintf(body, sizeof body, "{\"y\":%s}", yes[i]);
        EXPECT(probe, SCHEMA_UPDATE, body, "{\"y\":true}");
    }
    for (size_t i = 0; i < COUNT_OF(no); i++) {
        snprintf(body, sizeof body, "{\"y\":%s}", no[i]);
        EXPECT(probe, SCHEMA_UPDATE, body, "{\"y\":false}");
    }
    EXPECT(probe, SCHEMA_UPDATE, "{\"y\":2}", "{\"y\":[\"Must be a valid boolean.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"y\":\"\"}", "{\"y\":[\"Must be a valid boolean.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"y\":null}", "{\"y\":[\"This field may not be null.\"]}");
}

Test(schema, instants_come_out_in_utc_and_bare_dates_are_refused)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"dt\":\"2026-03-01T10:00:00+05:30\"}",
           "{\"dt\":\"2026-03-01T04:30:00Z\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"dt\":\"2026-03-01T10:00\"}",
           "{\"dt\":\"2026-03-01T10:00:00Z\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"dt\":\"2026-03-01T10:00:00.5Z\"}",
           "{\"dt\":\"2026-03-01T10:00:00.500000Z\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"dt\":null}", "{\"dt\":null}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"dt\":\"\"}", "{\"dt\":null}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"dt\":\"2026-03-01\"}",
           "{\"dt\":[\"Expected a datetime but got a date.\"]}");
    cr_assert_not_null(strstr(run_check(&probe, SCHEMA_UPDATE, "{\"dt\":\"yesterday\"}"),
                              "Datetime has wrong format."));
    cr_assert_not_null(strstr(run_check(&probe, SCHEMA_UPDATE, "{\"dt\":1767225600}"),
                              "Datetime has wrong format."));
    EXPECT(probe, SCHEMA_UPDATE, "{\"day\":\"2026-02-28\"}", "{\"day\":\"2026-02-28\"}");
    cr_assert_not_null(strstr(run_check(&probe, SCHEMA_UPDATE, "{\"day\":\"2026-02-30\"}"),
                              "Date has wrong format."));
}

Test(schema, uuids_come_out_in_lower_case_with_hyphens)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"u\":\"6F1C0F6E-3F0A-4B53-9D0E-0D4F6A8F2B11\"}",
           "{\"u\":\"6f1c0f6e-3f0a-4b53-9d0e-0d4f6a8f2b11\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"u\":\"6f1c0f6e3f0a4b539d0e0d4f6a8f2b11\"}",
           "{\"u\":\"6f1c0f6e-3f0a-4b53-9d0e-0d4f6a8f2b11\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"u\":\"not-one\"}", "{\"u\":[\"Must be a valid UUID.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"u\":5}", "{\"u\":[\"Must be a valid UUID.\"]}");
}

Test(schema, json_is_taken_as_it_is_and_out_of_strings)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"j\":{\"a\":[1,2.50,null]}}", "{\"j\":{\"a\":[1,2.50,null]}}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"j\":\" {\\\"a\\\": 1} \"}", "{\"j\":{\"a\":1}}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"j\":\"[1, 2]\"}", "{\"j\":[1,2]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"j\":\"12\"}", "{\"j\":\"12\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"j\":\"{broken\"}", "{\"j\":\"{broken\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"json\":7}", "{\"j\":7}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"j\":1,\"jay\":2}", "{\"j\":1}");
}

Test(schema, json_in_a_string_is_not_deeper_than_what_can_be_read_again)
{
    char body[256] = "{\"j\":\"";
    memset(body + 6, '[', 63);
    memset(body + 69, ']', 63);
    strcpy(body + 132, "\"}");
    EXPECT(probe, SCHEMA_UPDATE, body, "{\"j\":[\"The value is nested too deeply.\"]}");
}

Test(schema, addresses_are_checked)
{
    static const char *const good_urls[] = {"http://a", "https://example.org:8080/x?y=1#z",
                                            "ftp://1.2.3.4/"};
    static const char *const bad_urls[] = {"example.org", "javascript:alert(1)", "http://",
                                           "http:// a",   "http://a b",          "http://<a>"};
    static const char *const good_mails[] = {"a@b.cd", "first.last+tag@mail-1.example.org"};
    static const char *const bad_mails[] = {"a",        "a@b",     "@b.cd",   "a@.cd",   "a@b.",
                                            "a b@c.de", "a@b-.cd", "a@b..cd", "a@b@c.de"};
    char body[128];
    for (size_t i = 0; i < COUNT_OF(good_urls); i++) {
        snprintf(body, sizeof body, "{\"url\":\"%s\"}", good_urls[i]);
        EXPECT(probe, SCHEMA_UPDATE, body, body);
    }
    for (size_t i = 0; i < COUNT_OF(bad_urls); i++) {
        snprintf(body, sizeof body, "{\"url\":\"%s\"}", bad_urls[i]);
        EXPECT(probe, SCHEMA_UPDATE, body, "{\"url\":[\"Enter a valid URL.\"]}");
    }
    for (size_t i = 0; i < COUNT_OF(good_mails); i++) {
        snprintf(body, sizeof body, "{\"mail\":\"%s\"}", good_mails[i]);
        EXPECT(probe, SCHEMA_UPDATE, body, body);
    }
    for (size_t i = 0; i < COUNT_OF(bad_mails); i++) {
        snprintf(body, sizeof body, "{\"mail\":\"%s\"}", bad_mails[i]);
        EXPECT(probe, SCHEMA_UPDATE, body, "{\"mail\":[\"Enter a valid email address.\"]}");
    }
    EXPECT(probe, SCHEMA_UPDATE, "{\"url\":\"\"}", "{\"url\":\"\"}");
}

Test(schema, relations_must_exist)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":3}", "{\"fk\":3}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":\"3\"}", "{\"fk\":3}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":9}",
           "{\"fk\":[\"Invalid pk \\\"9\\\" - object does not exist.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":-1}",
           "{\"fk\":[\"Invalid pk \\\"-1\\\" - object does not exist.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":\"abc\"}",
           "{\"fk\":[\"Incorrect type. Expected pk value, received str.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":[3]}",
           "{\"fk\":[\"Incorrect type. Expected pk value, received list.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":true}",
           "{\"fk\":[\"Incorrect type. Expected pk value, received bool.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fk\":\"\"}", "{\"fk\":[\"This field may not be null.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fkn\":\"\"}", "{\"fkn\":null}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"fkn\":null}", "{\"fkn\":null}");
}

Test(schema, choices_are_exact)
{
    EXPECT(probe, SCHEMA_UPDATE, "{\"k\":\"two\"}", "{\"k\":\"two\"}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"k\":\"Two\"}",
           "{\"k\":[\"\\\"Two\\\" is not a valid choice.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"k\":\"\"}", "{\"k\":[\"\\\"\\\" is not a valid choice.\"]}");
    EXPECT(probe, SCHEMA_UPDATE, "{\"k\":1}", "{\"k\":[\"\\\"1\\\" is not a valid choice.\"]}");
}

Test(schema, all_failing_fields_are_named_at_once)
{
    EXPECT(schema_tiers, SCHEMA_CREATE, "{\"min_points\":-1,\"redemption_discount\":\"1.5\"}",
           "{\"program\":[\"This field is required.\"],\"name\":[\"This field is required.\"],"
           "\"min_points\":[\"Ensure this value is greater than or equal to 0.\"],"
           "\"redemption_discount\":[\"Ensure this value is less than or equal to 1.\"]}");
}

Test(schema, required_fields_are_needed_on_create_and_replace_but_not_on_update)
{
    EXPECT(schema_tiers, SCHEMA_REPLACE, "{\"name\":\"Gold\"}",
           "{\"program\":[\"This field is required.\"]}");
    EXPECT(schema_tiers, SCHEMA_UPDATE, "{\"name\":\"Gold\"}", "{\"name\":\"Gold\"}");
}

Test(schema, unknown_and_read_only_members_are_dropped)
{
    EXPECT(schema_tiers, SCHEMA_UPDATE,
           "{\"id\":\"x\",\"created_at\":5,\"colour\":\"red\",\"priority\":2}", "{\"priority\":2}");
}

Test(schema, a_body_that_is_no_object_is_refused)
{
    EXPECT(schema_tiers, SCHEMA_UPDATE, "[1]",
           "{\"non_field_errors\":[\"Invalid data. Expected a dictionary, but got list.\"]}");
    EXPECT(schema_tiers, SCHEMA_UPDATE, "\"x\"",
           "{\"non_field_errors\":[\"Invalid data. Expected a dictionary, but got str.\"]}");
}

Test(schema, features_of_later_engines_are_refused_by_name)
{
    static const char *const bad[][2] = {
        {"earn_rules", "{\"a\":1}"},
        {"burn_rules", "[1]"},
        {"points_expiry_rules", "[{}]"},
        {"earn_caps_config", "[{\"cap_type\":\"daily\"}]"},
        {"earn_caps", "[{\"cap_type\":1}]"},
        {"tier_basis", "\"spend\""},
        {"max_transaction_amount", "\"5.00\""},
        {"burn_min", "5"},
        {"burn_step", "10"},
        {"burn_max", "100"},
        {"burn_max_per_day", "0"},
        {"earn_rules", "\"{\\\"a\\\": 1}\""},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char body[128], start[64];
        snprintf(body, sizeof body, "{\"%s\":%s}", bad[i][0], bad[i][1]);
        snprintf(start, sizeof start, "{\"%s\":[\"This part of the engine is not in this build",
                 bad[i][0]);
        const char *got = run_check(&schema_programs, SCHEMA_UPDATE, body);
        cr_assert_eq(strncmp(got, start, strlen(start)), 0, "%s gives %s", body, got);
    }
    EXPECT(schema_programs, SCHEMA_UPDATE, "{\"engine_settings\":{\"rounding\":\"ceil\",\"x\":1}}",
           "{\"engine_settings\":{\"rounding\":[\"This part of the engine is not in this build.\"],"
           "\"x\":[\"This part of the engine is not in this build.\"]}}");
    EXPECT(schema_tiers, SCHEMA_UPDATE, "{\"benefit_items\":[{\"code\":\"a\"}]}",
           "{\"benefit_items\":[\"This part of the engine is not in this build: only [] is "
           "accepted.\"]}");
    EXPECT(schema_programs, SCHEMA_UPDATE, "{\"tier_basis\":\"luck\"}",
           "{\"tier_basis\":[\"\\\"luck\\\" is not a valid choice.\"]}");
}

Test(schema, defaults_of_later_features_are_accepted)
{
    EXPECT(
        schema_programs, SCHEMA_UPDATE,
        "{\"earn_rules\":{},\"burn_rules\":[],\"points_expiry_rules\":[],\"earn_caps\":\"[]\","
        "\"tier_basis\":\"points_balance\",\"max_transaction_amount\":null,\"burn_min\":0,\"burn_"
        "step\":\"0\","
        "\"burn_max\":null,\"burn_max_per_day\":null,\"engine_settings\":null}",
        "{\"earn_rules\":{},\"burn_rules\":{},\"points_expiry_rules\":[],\"earn_caps_config\":[],"
        "\"tier_basis\":\"points_balance\",\"max_transaction_amount\":null,\"burn_min\":0,\"burn_"
        "step\":0,"
        "\"burn_max\":null,\"burn_max_per_day\":null,\"engine_settings\":{}}");
    EXPECT(schema_programs, SCHEMA_UPDATE, "{\"earn_rules\":null}",
           "{\"earn_rules\":[\"This field may not be null.\"]}");
}

Test(schema, nested_tiers_are_checked_like_tiers)
{
    EXPECT(schema_programs, SCHEMA_UPDATE,
           "{\"tiers\":[{\"id\":4,\"priority\":\"2\"},{\"name\":\"Gold\",\"program\":77}]}",
           "{\"tiers\":[{\"id\":4,\"priority\":2},{\"name\":\"Gold\"}]}");
    EXPECT(schema_programs, SCHEMA_UPDATE,
           "{\"tiers\":[{\"name\":\"Gold\"},{\"min_points\":-5},7]}",
           "{\"tiers\":[{},{\"name\":[\"This field is required.\"],"
           "\"min_points\":[\"Ensure this value is greater than or equal to 0.\"]},"
           "{\"non_field_errors\":[\"Invalid data. Expected a dictionary, but got number.\"]}]}");
    EXPECT(schema_programs, SCHEMA_UPDATE, "{\"tiers\":{}}",
           "{\"tiers\":{\"non_field_errors\":[\"Expected a list of items but got type "
           "\\\"dict\\\".\"]}}");
    EXPECT(schema_programs, SCHEMA_UPDATE, "{\"tiers\":null}",
           "{\"tiers\":[\"This field may not be null.\"]}");
    EXPECT(schema_programs, SCHEMA_UPDATE, "{\"tiers\":[]}", "{\"tiers\":[]}");
}

Test(schema, more_faults_than_are_kept_do_no_harm)
{
    buffer_t body;
    buffer_init(&body, 65536);
    buffer_text(&body, "{\"tiers\":[{}");
    for (int i = 0; i < 999; i++)
        buffer_text(&body, ",{}");
    buffer_text(&body, "]}");
    buffer_byte(&body, '\0');
    const char *got = run_check(&schema_programs, SCHEMA_UPDATE, (const char *)body.bytes);
    cr_assert_eq(strncmp(got, "{\"tiers\":[{\"name\":", 18), 0, "%s", got);
    body.size -= 3;
    buffer_text(&body, ",{}]}");
    buffer_byte(&body, '\0');
    EXPECT(schema_programs, SCHEMA_UPDATE, (const char *)body.bytes,
           "{\"tiers\":{\"non_field_errors\":[\"Ensure this list has no more than 1000 "
           "elements.\"]}}");
    buffer_free(&body);
}

Test(schema, the_canonical_rules_follow_from_the_table)
{
    json_canonical_t rules = schema_canonical(&schema_programs, &schema_arena);
    const char *text =
        "{\"idempotency_key\":\"k\",\"earn_caps\":[],\"min_balance\":\"10.0\",\"name\":\"5.0\"}";
    json_t *body;
    cr_assert_eq(json_parse(&body, &schema_arena, text, strlen(text), NULL), ERR_NONE);
    json_write_canonical(&schema_out, body, &rules, &schema_arena);
    buffer_byte(&schema_out, '\0');
    const char *got = (const char *)schema_out.bytes;
    cr_assert_not_null(strstr(got, "\"earn_caps_config\":[]"), "%s", got);
    cr_assert_not_null(strstr(got, "\"name\":\"5.0\""), "%s", got);
    cr_assert_null(strstr(got, "idempotency_key"), "%s", got);
    cr_assert_null(strstr(got, "10.0"), "%s", got);
}

Test(schema, every_table_is_complete)
{
    static const schema_table_t *const tables[] = {&schema_programs, &schema_tiers, &schema_users,
                                                   &schema_accounts, &schema_transactions};
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        const schema_table_t *table = tables[t];
        cr_assert_eq(schema_of(table->resource), table);
        cr_assert_str_eq(table->fields[0].name, "id");
        for (size_t i = 0; i < table->count; i++) {
            const schema_field_t *field = &table->fields[i];
            json_t *value;
            cr_assert_not_null(field->meaning, "%s.%s", table->name, field->name);
            cr_assert_eq(schema_field(table, field->name, strlen(field->name)), field);
            cr_assert((field->type == SCHEMA_ENUM) == (field->choices != NULL), "%s", field->name);
            cr_assert((field->type == SCHEMA_FOREIGN) == (field->resource != 0), "%s", field->name);
            if (field->initial != NULL)
                cr_assert_eq(
                    json_parse(&value, &schema_arena, field->initial, strlen(field->initial), NULL),
                    ERR_NONE, "%s", field->name);
            /* Every optional field says what it is when nothing was sent. */
            if (!(field->flags & (SCHEMA_REQUIRED | SCHEMA_READ_ONLY)) &&
                field->type != SCHEMA_NESTED)
                cr_assert(field->initial != NULL || (field->flags & SCHEMA_NULLABLE), "%s.%s",
                          table->name, field->name);
        }
    }
    cr_assert_null(schema_of(0));
    cr_assert_null(schema_of(200));
}
