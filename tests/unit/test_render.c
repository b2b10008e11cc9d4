/* test_render.c - golden tests: every byte of the frozen renderers. A change here breaks replays of
 * the past. */
#include "http/exchange.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(render, .timeout = 10);

static const char *shown(const result_t *result, route_family_t family)
{
    static char text[4096];
    buffer_t out;
    catalogue_t *catalogue = catalogue_new();

    buffer_init(&out, sizeof text - 1);
    render_result(result, family, catalogue, &out);
    cr_assert_not(out.failed);
    memcpy(text, out.size > 0 ? (const char *)out.bytes : "", out.size);
    text[out.size] = '\0';
    buffer_free(&out);
    catalogue_destroy(&catalogue);
    return text;
}

Test(render, earn_1)
{
    result_t result = {.renderer = RENDER_EARN_1,
                       .status = 200,
                       .entry = 9007199254740991,
                       .points = 154,
                       .balance_after = 1154,
                       .base_points = 123,
                       .calculated = 154,
                       .multiplier_ppm = 1250000};

    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"success\":true,\"transaction_id\":\"9007199254740991\",\"points\":154,\"balance_"
        "after\":1154,"
        "\"metadata\":{\"base_points\":123,\"calculated_points\":154,\"tier_multiplier\":1.25,"
        "\"rules_applied\":false,\"rules\":[],\"caps\":[],\"clipped_points\":0}}");
    result.old_tier = text_of("Silver");
    result.new_tier = text_of("G\"old");
    result.multiplier_ppm = 1000000;
    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"success\":true,\"transaction_id\":\"9007199254740991\",\"points\":154,\"balance_"
        "after\":1154,"
        "\"metadata\":{\"base_points\":123,\"calculated_points\":154,\"tier_multiplier\":1,"
        "\"rules_applied\":false,\"rules\":[],\"caps\":[],\"clipped_points\":0},"
        "\"tier_change\":{\"old_tier\":\"Silver\",\"new_tier\":\"G\\\"old\"}}");
    result.old_tier = (text_t){NULL, 0};
    cr_assert_neq(
        strstr(shown(&result, FAMILY_SERVICE), "{\"old_tier\":null,\"new_tier\":\"G\\\"old\"}}"),
        NULL);
}

Test(render, multipliers_in_the_shortest_form)
{
    static const struct {
        int64_t ppm;
        const char *text;
    } cases[] = {
        {0, ":0,"},         {1, ":0.000001,"},       {500000, ":0.5,"},         {1000000, ":1,"},
        {1100000, ":1.1,"}, {1000001, ":1.000001,"}, {12345678, ":12.345678,"}, {20000000, ":20,"},
        {1050000, ":1.05,"}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        result_t result = {.renderer = RENDER_EARN_1, .multiplier_ppm = cases[i].ppm};
        char wanted[64];

        snprintf(wanted, sizeof wanted, "\"tier_multiplier\"%s", cases[i].text);
        cr_assert_neq(strstr(shown(&result, FAMILY_SERVICE), wanted), NULL, "%s", wanted);
    }
}

Test(render, burn_1)
{
    result_t result = {.renderer = RENDER_BURN_1,
                       .status = 200,
                       .entry = 12,
                       .points = 90,
                       .balance_after = 10,
                       .cost = 100,
                       .discount = 10};

    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"success\":true,\"transaction_id\":\"12\",\"points\":90,\"balance_after\":10,"
        "\"metadata\":{\"reward_cost\":100,\"actual_cost\":90,\"tier_discount\":10}}");
}

Test(render, adjust_1)
{
    result_t result = {
        .renderer = RENDER_ADJUST_1, .status = 200, .entry = 3, .points = -5, .balance_after = 0};

    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"success\":true,\"transaction_id\":\"3\",\"points\":-5,\"balance_after\":0}");
}

Test(render, transfer_1)
{
    result_t result = {.renderer = RENDER_TRANSFER_1,
                       .status = 200,
                       .transfer = 7,
                       .points = 30,
                       .account = 1,
                       .entry = 8,
                       .balance_after = 70,
                       .to_account = 2,
                       .to_entry = 9,
                       .to_balance_after = 30};

    cr_assert_str_eq(shown(&result, FAMILY_SERVICE),
                     "{\"success\":true,\"transfer_id\":\"7\",\"points\":30,"
                     "\"from\":{\"account_id\":1,\"transaction_id\":\"8\",\"balance_after\":70},"
                     "\"to\":{\"account_id\":2,\"transaction_id\":\"9\",\"balance_after\":30}}");
}

Test(render, refusal_1)
{
    result_t result = {.renderer = RENDER_REFUSAL_1,
                       .status = 400,
                       .code = text_of("account_status"),
                       .error = text_of("the account is not active\nthe program is not open")};

    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"success\":false,\"error\":\"the account is not active\",\"errors\":[\"the account is "
        "not "
        "active\",\"the program is not open\"],\"code\":\"account_status\",\"metadata\":{}}");
    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE),
                     "{\"detail\":\"the account is not active\",\"code\":\"account_status\"}");
    result.required = 100;
    result.error = text_of("Insufficient points");
    result.code = text_of("insufficient_points");
    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"success\":false,\"error\":\"Insufficient points\",\"errors\":[\"Insufficient points\"],"
        "\"code\":\"insufficient_points\",\"metadata\":{\"required\":100,\"available\":0}}");
}

Test(render, detail_1)
{
    result_t result = {.renderer = RENDER_DETAIL_1,
                       .status = 409,
                       .code = text_of("idempotency_conflict"),
                       .error = text_of("this key was used with another body")};

    cr_assert_str_eq(
        shown(&result, FAMILY_SERVICE),
        "{\"detail\":\"this key was used with another body\",\"code\":\"idempotency_conflict\"}");
    result.status = 404;
    result.error = text_of("Not found.");
    result.code = text_of("not_found");
    cr_assert_str_eq(shown(&result, FAMILY_SERVICE), "{\"error\":\"Not found.\"}");
    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE), "{\"detail\":\"Not found.\"}");
}

Test(render, input_1)
{
    result_t result = {.renderer = RENDER_INPUT_1,
                       .status = 400,
                       .field = text_of("program"),
                       .error = text_of("Invalid pk \"9\" - object does not exist.")};

    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE),
                     "{\"program\":[\"Invalid pk \\\"9\\\" - object does not exist.\"]}");
    cr_assert_str_eq(shown(&result, FAMILY_SERVICE),
                     "{\"error\":\"Invalid pk \\\"9\\\" - object does not exist.\"}");
    result.field = (text_t){NULL, 0};
    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE),
                     "{\"non_field_errors\":[\"Invalid pk \\\"9\\\" - object does not exist.\"]}");
}

Test(render, json_1_and_none)
{
    result_t result = {.renderer = RENDER_JSON_1, .status = 201, .json = text_of("{\"id\":1}")};

    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE), "{\"id\":1}");
    result.renderer = RENDER_NONE;
    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE), "");
    result.renderer = 200;
    cr_assert_str_eq(shown(&result, FAMILY_RESOURCE),
                     "{\"detail\":\"this result needs a newer version to be shown\"}");
}

Test(render, account_1)
{
    account_t account = {.id = 621911264460801,
                         .program = 1,
                         .tier = 4,
                         .status = STATUS_SUSPENDED,
                         .version = 3,
                         .available = 40,
                         .pending = 1,
                         .held = 2,
                         .debt = 3,
                         .earned = 100,
                         .redeemed = 60,
                         .created_us = 0,
                         .updated_us = 1500000,
                         .lot_count = 4,
                         .lots = {{.id = 1, .active = 5, .expires_us = 0},
                                  {.id = 2, .active = 7, .expires_us = 2000000},
                                  {.id = 3, .active = 8, .expires_us = 2000000},
                                  {.id = 4, .active = 20, .expires_us = 3000000}}};
    buffer_t row;
    result_t result = {.renderer = RENDER_ACCOUNT_1, .status = 200};

    cr_assert(uuid_parse(&account.customer, "11111111-1111-4111-8111-11111111111A", 36));
    buffer_init(&row, 65536);
    account_encode(&account, &row);
    result.row = (text_t){(const char *)row.bytes, row.size};
    /* Tier 4 is in no catalogue: it reads null. */
    cr_assert_str_eq(
        shown(&result, FAMILY_RESOURCE),
        "{\"id\":621911264460801,\"customer_id\":\"11111111-1111-4111-8111-11111111111a\","
        "\"program\":1,"
        "\"tier\":null,\"status\":\"suspended\",\"points_balance\":40,\"lifetime_points_earned\":"
        "100,"
        "\"lifetime_points_redeemed\":60,\"expiring_points\":15,"
        "\"next_expiry_at\":\"1970-01-01T00:00:02Z\",\"pending_points\":1,\"held_points\":2,"
        "\"debt_points\":3,\"created_at\":\"1970-01-01T00:00:00Z\","
        "\"updated_at\":\"1970-01-01T00:00:01.500000Z\"}");
    buffer_free(&row);
}

Test(render, entry_1)
{
    entry_t entry = {.id = 8,
                     .account = 7,
                     .program = 1,
                     .type = ENTRY_REDEEM,
                     .amount = 20,
                     .delta = -20,
                     .posted = -20,
                     .balance_after = 80,
                     .effective_us = 1000000,
                     .recorded_us = 2000000,
                     .description = text_of("a \"b\""),
                     .metadata = text_of("{\"x\":1}"),
                     .reference = text_of("R1")};
    buffer_t row;
    result_t result = {.renderer = RENDER_ENTRY_1, .status = 200};

    buffer_init(&row, 65536);
    entry_encode(&entry, &row);
    result.row = (text_t){(const char *)row.bytes, row.size};
    cr_assert_str_eq(
        shown(&result, FAMILY_RESOURCE),
        "{\"id\":8,\"account\":7,\"amount\":20,\"transaction_type\":\"redeem\","
        "\"description\":\"a \\\"b\\\"\",\"created_at\":\"1970-01-01T00:00:01Z\","
        "\"recorded_at\":\"1970-01-01T00:00:02Z\",\"metadata\":{\"x\":1},\"delta\":-20,"
        "\"balance_after\":80,\"reference\":\"R1\",\"expires_at\":null}");
    buffer_reset(&row);
    entry.metadata = (text_t){NULL, 0};
    entry.expires_us = 3000000;
    entry_encode(&entry, &row);
    result.row = (text_t){(const char *)row.bytes, row.size};
    cr_assert_neq(strstr(shown(&result, FAMILY_RESOURCE), "\"metadata\":{},"), NULL);
    cr_assert_neq(
        strstr(shown(&result, FAMILY_RESOURCE), "\"expires_at\":\"1970-01-01T00:00:03Z\"}"), NULL);
    buffer_free(&row);
}
