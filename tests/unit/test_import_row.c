/* test_import_row.c - lines of import files: what is read, and what is refused with which sentence */
#include "node/import_row.h"

#include "actors/rows.h"
#include "protocol/calendar.h"

#include <criterion/criterion.h>

#define NOW_US   INT64_C(1772323200000000) /* 2026-03-01 */
#define CUSTOMER "11111111-2222-3333-4444-555555555555"

static import_source_t source;
static import_row_t row;
static err_t why;

static errcode_t read_line(const char *line, uint64_t number)
{
    why = (err_t){0};
    return import_source_line(&source, line, strlen(line), number, &row, &why);
}

static void open_ndjson(void)
{
    import_source_init(&source, IMPORT_NDJSON, NOW_US);
}
static void open_csv(void)
{
    import_source_init(&source, IMPORT_CSV, NOW_US);
}
static void open_cdnow(void)
{
    import_source_init(&source, IMPORT_CDNOW, NOW_US);
}
static void close_source(void)
{
    import_source_free(&source);
}

static void check_refused(const char *line, const char *sentence)
{
    cr_assert_eq(read_line(line, 1) == ERR_NONE, false, "%s", line);
    cr_assert_not_null(strstr(why.text, sentence), "%s: %s", line, why.text);
}

TestSuite(import_ndjson, .init = open_ndjson, .fini = close_source);
TestSuite(import_csv, .init = open_csv, .fini = close_source);
TestSuite(import_cdnow, .init = open_cdnow, .fini = close_source);

Test(import_ndjson, reads_an_earn)
{
    cr_assert_eq(
        read_line("{\"type\":\"earn\",\"customer_id\":\"" CUSTOMER
                  "\",\"program\":\"Club\",\"amount\":\"19.9\",\"transaction_date\":\"2026-01-31\","
                  "\"reference\":\"T-1\",\"description\":\"caf\\u00e9\",\"idempotency_key\":\"k\"}",
                  1),
        ERR_NONE, "%s", why.text);
    cr_assert_eq(row.kind, IMPORT_EARN);
    cr_assert(row.amount == 19900000);
    cr_assert_eq(row.effective_us, INT64_C(1769817600000000));
    cr_assert_eq(row.reference.n, 3);
    cr_assert_eq(row.description.n, 5);
    cr_assert_eq(row.key.n, 1);
    cr_assert_eq(row.program.n, 4);
    cr_assert_eq(row.customer.bytes[0], 0x11);
}

Test(import_ndjson, reads_an_account_as_it_was_exported)
{
    cr_assert_eq(
        read_line(
            "{\"type\":\"account\",\"id\":5,\"customer_id\":\"" CUSTOMER
            "\",\"program\":7,\"program_id\":7,\"tier\":null,\"status\":\"blocked\",\"points\":12,"
            "\"in_transit\":0,\"lifetime_points_earned\":1,\"lifetime_points_redeemed\":2,"
            "\"created_at\":\"x\",\"updated_at\":\"y\"}",
            1),
        ERR_NONE, "%s", why.text);
    cr_assert_eq(row.kind, IMPORT_ACCOUNT);
    cr_assert_eq(row.points, 12);
    cr_assert(row.has_status);
    cr_assert_eq(row.status, STATUS_BLOCKED);
    cr_assert_eq(row.program.n, 1);
}

Test(import_ndjson, hands_a_program_on_without_its_type)
{
    static const char expected[] = "{\"name\":\"Club\",\"min_balance\":5}";

    cr_assert_eq(
        read_line("{\"type\":\"program\",\"id\":3,\"name\":\"Club\",\"min_balance\":5}", 1),
        ERR_NONE);
    cr_assert_eq(row.kind, IMPORT_PROGRAM);
    cr_assert_eq(row.body.n, sizeof expected - 1);
    cr_assert_eq(memcmp(row.body.bytes, expected, row.body.n), 0);
}

Test(import_ndjson, refuses_what_it_would_have_to_drop)
{
    check_refused("{\"type\":\"earn\",\"customer_id\":\"" CUSTOMER "\"}", "amount: missing");
    check_refused("{\"type\":\"earn\",\"amount\":1}", "customer_id: missing");
    check_refused("{\"customer_id\":\"" CUSTOMER "\"}", "type:");
    check_refused("{\"type\":\"burn\",\"customer_id\":\"" CUSTOMER
                  "\",\"points\":1,\"transaction_date\":\"2026-01-01\"}",
                  "transaction_date: a line of type burn cannot have it");
    check_refused("{\"type\":\"burn\",\"customer_id\":\"" CUSTOMER "\",\"points\":1,\"pionts\":2}",
                  "pionts");
    check_refused("{\"type\":\"burn\",\"customer_id\":\"" CUSTOMER "\",\"points\":1.5}", "points:");
    check_refused("{\"type\":\"burn\",\"customer_id\":\"" CUSTOMER
                  "\",\"points\":99999999999999999}",
                  "points:");
    check_refused("{\"type\":\"earn\",\"customer_id\":\"" CUSTOMER
                  "\",\"amount\":1,\"transaction_amount\":2}",
                  "twice");
    check_refused("{\"type\":\"earn\",\"customer_id\":\"" CUSTOMER
                  "\",\"amount\":1,\"transaction_date\":\"2026-03-02\"}",
                  "future");
    check_refused("{\"type\":\"earn\",\"customer_id\":\"nobody\",\"amount\":1}",
                  "customer_id: no UUID");
    check_refused("{\"type\":\"earn\",\"customer_id\":\"" CUSTOMER "\",\"amount\":[1]}", "amount:");
    check_refused("{\"type\":\"gift\"}", "type:");
    check_refused("{\"type\":\"program\"}", "name:");
    check_refused("[]", "list");
    check_refused("{", "JSON");
}

Test(import_ndjson, skips_blank_lines)
{
    cr_assert_eq(read_line(" \t\r", 1), ERR_NONE);
    cr_assert(row.skip);
    cr_assert_eq(read_line("", 1), ERR_NONE);
    cr_assert(row.skip);
}

Test(import_csv, reads_lines_by_their_header)
{
    cr_assert_eq(read_line("\xef\xbb\xbftype,customer_id,points,description,program\r", 1),
                 ERR_NONE, "%s", why.text);
    cr_assert(row.skip);
    cr_assert_eq(read_line("adjust," CUSTOMER ",-5,\"said \"\"no\"\", twice\",Club\r", 2), ERR_NONE,
                 "%s", why.text);
    cr_assert_eq(row.kind, IMPORT_ADJUST);
    cr_assert_eq(row.points, -5);
    cr_assert_eq(row.description.n, 16);
    cr_assert_eq(memcmp(row.description.bytes, "said \"no\", twice", 16), 0);
    cr_assert_eq(row.program.n, 4);
    cr_assert_eq(read_line("account," CUSTOMER ",,,", 3), ERR_NONE,
                 "empty fields are not given: %s", why.text);
    cr_assert_eq(row.points, 0);
}

Test(import_csv, refuses_headers_and_lines_that_do_not_fit)
{
    check_refused("customer_id,points", "type:");
    check_refused("type,colour", "colour");
    cr_assert_eq(read_line("type,customer_id,points", 1), ERR_NONE);
    check_refused("burn," CUSTOMER, "2 columns");
    check_refused("burn," CUSTOMER ",1,2", "more than the 3 columns");
    check_refused("burn," CUSTOMER ",\"1", "quote");
    check_refused("burn," CUSTOMER ",\"1\"2", "closing quote");
    check_refused("program,,", "NDJSON only");
}

Test(import_cdnow, skips_a_first_line_that_names_the_columns)
{
    static const char header[] = " customer_id  date number_of_cds  dollar_value";

    cr_assert_eq(import_source_line(&source, header, sizeof header - 1, 1, &row, NULL), ERR_NONE);
    cr_assert(row.skip);
    cr_assert_eq(import_source_line(&source, header, sizeof header - 1, 2, &row, NULL),
                 ERR_INVALID);
}

Test(import_cdnow, makes_customers_and_references)
{
    uuid16_t first;

    cr_assert_eq(read_line(" 00004 19970101  2   29.33", 11), ERR_NONE, "%s", why.text);
    first = row.customer;
    cr_assert_eq(row.kind, IMPORT_EARN);
    cr_assert(row.enrol);
    cr_assert(row.amount == 29330000);
    cr_assert_eq(row.effective_us, INT64_C(852076800000000));
    cr_assert_eq(row.reference.n, 8);
    cr_assert_eq(memcmp(row.reference.bytes, "cdnow:11", 8), 0);
    cr_assert_eq(row.customer.bytes[6] >> 4, 8, "a UUID of one's own making is of version 8");
    cr_assert_eq(read_line("4 19970118 2 0.00\r", 12), ERR_NONE);
    cr_assert(uuid_equal(&row.customer, &first), "leading zeros do not matter");
    cr_assert_not(row.enrol);
    cr_assert(row.nothing);
    cr_assert_eq(read_line("5 19970118 2 1.00", 13), ERR_NONE);
    cr_assert(row.enrol);
    cr_assert_not(uuid_equal(&row.customer, &first));
    check_refused("5 19970118 2", "four fields");
    check_refused("5 19970118 2 1.00 x", "four fields");
    check_refused("x 19970118 2 1.00", "customer");
    check_refused("5 1997 2 1.00", "YYYYMMDD");
    check_refused("5 19971318 2 1.00", "transaction_date");
}
