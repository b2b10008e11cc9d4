/* test_tzif.c - compiled time zone files: what is read from them, and what is refused */
#include "protocol/tzif.h"

#include "protocol/buffer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 1024

typedef struct {
    uint8_t bytes[FILE_MAX];
    size_t n;
} file_t;

static void put(file_t *self, const void *bytes, size_t n)
{
    cr_assert_leq(self->n + n, sizeof self->bytes);
    memcpy(self->bytes + self->n, bytes, n);
    self->n += n;
}

static void put_number(file_t *self, uint64_t value, size_t bytes)
{
    while (bytes-- > 0)
        put(self, &(uint8_t){(uint8_t)(value >> 8 * bytes)}, 1);
}

static void put_header(file_t *self, uint32_t changes, uint32_t types, uint32_t name_bytes)
{
    put(self, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    put_number(self, 0, 4);
    put_number(self, 0, 4);
    put_number(self, 0, 4);
    put_number(self, changes, 4);
    put_number(self, types, 4);
    put_number(self, name_bytes, 4);
}

typedef struct {
    int64_t at_s;
    uint8_t type;
} listed_t;

/* A file with an empty first block; local time type i is offsets[i] before UTC. */
static file_t make_file(const listed_t *changes, uint32_t count, const int32_t *offsets,
                        uint32_t types, const char *rule)
{
    file_t file = {.n = 0};

    put_header(&file, 0, 0, 0);
    put_header(&file, count, types, 4);
    for (uint32_t i = 0; i < count; i++)
        put_number(&file, (uint64_t)changes[i].at_s, 8);
    for (uint32_t i = 0; i < count; i++)
        put_number(&file, changes[i].type, 1);
    for (uint32_t i = 0; i < types; i++) {
        put_number(&file, (uint32_t)offsets[i], 4);
        put_number(&file, 0, 2);
    }
    put(&file, "ABC", 4);
    put(&file, "\n", 1);
    put(&file, rule, strlen(rule));
    put(&file, "\n", 1);
    return file;
}

static file_t file_of_rule(const char *rule)
{
    return make_file(NULL, 0, (int32_t[]){7}, 1, rule);
}

/* A copy of exactly n bytes, so that the address sanitizer sees a read beyond. */
static errcode_t parse(tzif_t **zone, const uint8_t *bytes, size_t n, err_t *err)
{
    uint8_t *copy = memory_alloc(n + 1);

    memcpy(copy + 1, bytes, n);
    errcode_t rc = tzif_parse(zone, copy + 1, n, err);
    free(copy);
    return rc;
}

static tzif_t *zone_of(const file_t *file)
{
    tzif_t *zone = NULL;
    err_t err = {0};

    cr_assert_eq(parse(&zone, file->bytes, file->n, &err), ERR_NONE, "%s", err.text);
    return zone;
}

static int64_t utc(int year, int month, int day, int hour, int minute)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    int64_t last = year - 1;
    int64_t days = last * 365 + last / 4 - last / 100 + last / 400 - 719162 + before[month - 1] +
                   (leap && month > 2) + day - 1;

    return ((days * 24 + hour) * 60 + minute) * 60;
}

static void expect_change(const char *rule, int64_t at_s, int64_t before, int64_t after)
{
    file_t file = file_of_rule(rule);
    tzif_t *zone = zone_of(&file);

    cr_assert_eq(tzif_offset(zone, at_s - 1), before, "%s: %d before", rule,
                 (int)tzif_offset(zone, at_s - 1));
    cr_assert_eq(tzif_offset(zone, at_s), after, "%s: %d after", rule,
                 (int)tzif_offset(zone, at_s));
    tzif_destroy(&zone);
}

/* ------------------------------------------------------------------ rules */

Test(tzif, a_rule_without_summer_time_holds_always, .timeout = 10)
{
    static const struct {
        const char *rule;
        int64_t offset;
    } rows[] = {{"UTC0", 0},        {"CET-1", 3600},
                {"EST5", -18000},   {"<+0530>-5:30", 19800},
                {"<-03>3", -10800}, {"<+1234>-12:34:56", 45296},
                {"ABC+24", -86400}, {"ABCDEFGHIJKL-00:00:01", 1}};

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        file_t file = file_of_rule(rows[i].rule);
        tzif_t *zone = zone_of(&file);

        cr_assert_eq(tzif_offset(zone, 0), rows[i].offset, "%s", rows[i].rule);
        cr_assert_eq(tzif_offset(zone, INT64_MIN), rows[i].offset, "%s", rows[i].rule);
        cr_assert_eq(tzif_offset(zone, INT64_MAX), rows[i].offset, "%s", rows[i].rule);
        tzif_destroy(&zone);
    }
}

Test(tzif, a_rule_names_weekdays_of_months, .timeout = 10)
{
    const char *berlin = "CET-1CEST,M3.5.0,M10.5.0/3";

    expect_change(berlin, utc(2080, 3, 31, 1, 0), 3600, 7200);
    expect_change(berlin, utc(2080, 10, 27, 1, 0), 7200, 3600);
    expect_change(berlin, utc(2026, 3, 29, 1, 0), 3600, 7200);
    expect_change("EST5EDT,M3.2.0,M11.1.0", utc(2096, 3, 11, 7, 0), -18000, -14400);
    expect_change("EST5EDT,M3.2.0,M11.1.0", utc(2096, 11, 4, 6, 0), -14400, -18000);
    /* 29 February 2032 is a Sunday. */
    expect_change("AAA0BBB,M2.5.0/0,M10.5.0", utc(2032, 2, 29, 0, 0), 0, 3600);
    expect_change("AAA0BBB,M2.5.0/0,M10.5.0", utc(2033, 2, 27, 0, 0), 0, 3600);
}

Test(tzif, a_rule_south_of_the_equator_spans_the_turn_of_the_year, .timeout = 10)
{
    const char *sydney = "AEST-10AEDT,M10.1.0,M4.1.0/3";

    expect_change(sydney, utc(2050, 4, 2, 16, 0), 39600, 36000);
    expect_change(sydney, utc(2050, 10, 1, 16, 0), 36000, 39600);
    expect_change("IST-1GMT0,M10.5.0,M3.5.0/1", utc(2040, 3, 25, 1, 0), 0, 3600);
    expect_change("IST-1GMT0,M10.5.0,M3.5.0/1", utc(2040, 10, 28, 1, 0), 3600, 0);
}

Test(tzif, a_rule_counts_days_of_the_year, .timeout = 10)
{
    /* J60 is always 1 March; 59 is 29 February in leap years. */
    expect_change("AAA0BBB,J60/0,J300/0", utc(2028, 3, 1, 0, 0), 0, 3600);
    expect_change("AAA0BBB,J60/0,J300/0", utc(2029, 3, 1, 0, 0), 0, 3600);
    expect_change("AAA0BBB,J59/0,J300/0", utc(2028, 2, 28, 0, 0), 0, 3600);
    expect_change("AAA0BBB,59/0,299/0", utc(2028, 2, 29, 0, 0), 0, 3600);
    expect_change("AAA0BBB,59/0,299/0", utc(2029, 3, 1, 0, 0), 0, 3600);
    expect_change("AAA0BBB,J60,J365/1", utc(2029, 12, 31, 0, 0), 3600, 0);
}

Test(tzif, times_of_a_rule_reach_into_other_days, .timeout = 10)
{
    /* 50 hours after the beginning of the Thursday before the last Sunday of March, as in Gaza. */
    expect_change("EET-2EEST,M3.4.4/50,M10.4.4/50", utc(2090, 3, 25, 0, 0), 7200, 10800);
    expect_change("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", utc(2060, 3, 28, 1, 0), -7200, -3600);
    expect_change("AAA0BBB,M1.1.1/-167,M6.1.1/0", utc(2034, 12, 25, 1, 0), 0, 3600);
    expect_change("AAA0BBB0:30,J10/167:59:59,J200/0", utc(2034, 1, 17, 0, 0) - 1, 0, -1800);
    expect_change("AAA0BBB-0:30,J10/167:59:59,J200/0", utc(2034, 1, 17, 0, 0) - 1, 0, 1800);
}

Test(tzif, summer_time_may_last_for_ever, .timeout = 10)
{
    static const char *const rules[] = {"EST5EDT,0/0,J365/25", "EST5EDT,0/0,J365/48",
                                        "XXX3EDT4,0/0,J365/23"};

    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        file_t file = file_of_rule(rules[i]);
        tzif_t *zone = zone_of(&file);

        for (int year = 1900; year < 2500; year++) {
            cr_assert_eq(tzif_offset(zone, utc(year, 1, 1, 4, 0) - 1), -14400);
            cr_assert_eq(tzif_offset(zone, utc(year, 1, 1, 5, 0) - 1), -14400);
            cr_assert_eq(tzif_offset(zone, utc(year, 1, 1, 5, 0)), -14400);
            cr_assert_eq(tzif_offset(zone, utc(year, 7, 1, 5, 0)), -14400);
        }
        tzif_destroy(&zone);
    }
}

Test(tzif, the_calendar_of_a_rule_repeats_after_400_years, .timeout = 10)
{
    file_t file = file_of_rule("CET-1CEST,M3.5.0,M10.5.0/3");
    tzif_t *zone = zone_of(&file);

    for (int64_t at_s = utc(1950, 1, 1, 0, 0); at_s < utc(2400, 1, 1, 0, 0); at_s += 100003)
        cr_assert_eq(tzif_offset(zone, at_s), tzif_offset(zone, at_s + INT64_C(12622780800)));
    tzif_destroy(&zone);
    expect_change("CET-1CEST,M3.5.0,M10.5.0/3", utc(9999, 3, 28, 1, 0), 3600, 7200);
}

Test(tzif, a_malformed_rule_is_refused, .timeout = 10)
{
    static const char *const bad[] = {"AB0",
                                      "A1C0",
                                      "<AB>0",
                                      "<ABC0",
                                      "<A C>0",
                                      "ABC",
                                      "ABC25",
                                      "ABC001",
                                      "ABC-",
                                      "ABC+-1",
                                      "ABC1:",
                                      "ABC1:60",
                                      "ABC1:2:",
                                      "ABC1:02:60",
                                      "ABC1 ",
                                      "ABC1DEF",
                                      "ABC1DEF2",
                                      "ABC1DEF,",
                                      "ABC1DEF,M3.5.0",
                                      "ABC1DEF,M3.5.0,",
                                      "ABC1DEF,M3.5.0,M10.5",
                                      "ABC1DEF,M3.5.0,M10.5.0,",
                                      "ABC1DEF,M13.5.0,M10.5.0",
                                      "ABC1DEF,M0.5.0,M10.5.0",
                                      "ABC1DEF,M3.0.0,M10.5.0",
                                      "ABC1DEF,M3.6.0,M10.5.0",
                                      "ABC1DEF,M3.5.7,M10.5.0",
                                      "ABC1DEF,M3.5.0/168,M10.5.0",
                                      "ABC1DEF,M3.5.0/-168,M10.5.0",
                                      "ABC1DEF,M3.5.0/,M10.5.0",
                                      "ABC1DEF,J0,J365",
                                      "ABC1DEF,J1,J366",
                                      "ABC1DEF,1,366",
                                      "ABC1DEF,0001,3",
                                      "ABC1DEF,X1,3"};
    err_t err;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        file_t file = file_of_rule(bad[i]);
        tzif_t *zone = NULL;

        cr_assert_eq(parse(&zone, file.bytes, file.n, &err), ERR_CORRUPT, "%s", bad[i]);
        cr_assert_null(zone);
    }
}

/* ------------------------------------------------------------------ listed changes */

Test(tzif, listed_changes_hold_until_the_rule_takes_over, .timeout = 10)
{
    listed_t changes[] = {{-1000, 1}, {0, 2}, {5000000, 1}};
    int32_t offsets[] = {-1172, 3600, 7200};
    file_t file = make_file(changes, 3, offsets, 3, "ABC-3");
    tzif_t *zone = zone_of(&file);

    cr_assert_eq(tzif_offset(zone, INT64_MIN), -1172);
    cr_assert_eq(tzif_offset(zone, -1001), -1172);
    cr_assert_eq(tzif_offset(zone, -1000), 3600);
    cr_assert_eq(tzif_offset(zone, -1), 3600);
    cr_assert_eq(tzif_offset(zone, 0), 7200);
    cr_assert_eq(tzif_offset(zone, 4999999), 7200);
    cr_assert_eq(tzif_offset(zone, 5000000), 10800);
    tzif_destroy(&zone);
}

Test(tzif, without_a_rule_the_last_change_holds, .timeout = 10)
{
    listed_t changes[] = {{0, 1}, {1000, 0}};
    int32_t offsets[] = {60, 120};
    file_t file = make_file(changes, 2, offsets, 2, "");
    tzif_t *zone = zone_of(&file);

    cr_assert_eq(tzif_offset(zone, 999), 120);
    cr_assert_eq(tzif_offset(zone, 1000), 60);
    cr_assert_eq(tzif_offset(zone, INT64_MAX), 60);
    tzif_destroy(&zone);
    file = make_file(NULL, 0, offsets, 1, "");
    zone = zone_of(&file);
    cr_assert_eq(tzif_offset(zone, 0), 60);
    tzif_destroy(&zone);
}

Test(tzif, the_first_block_is_passed_over, .timeout = 10)
{
    file_t file = {.n = 0};
    file_t second = file_of_rule("ABC-3");

    put_header(&file, 2, 1, 4);
    put(&file, "\0\0\0\1\0\0\0\2\0\0", 10); /* two times, two types */
    put(&file, "\x7f\xff\xff\xff\0\0", 6);
    put(&file, "XYZ", 4);
    put(&file, second.bytes + 44, second.n - 44);
    put(&file, "what later versions append", 26);
    tzif_t *zone = zone_of(&file);
    cr_assert_eq(tzif_offset(zone, 0), 10800);
    tzif_destroy(&zone);
}

/* ------------------------------------------------------------------ local times */

Test(tzif, local_times_in_a_gap_and_in_an_overlap, .timeout = 10)
{
    listed_t changes[] = {{100000, 1}, {200000, 0}};
    int32_t offsets[] = {0, 3600};
    file_t file = make_file(changes, 2, offsets, 2, "ABC0");
    tzif_t *zone = zone_of(&file);
    bool exists;

    cr_assert_eq(tzif_instant(zone, 99999, &exists), 99999);
    cr_assert(exists);
    cr_assert_eq(tzif_instant(zone, 100000, &exists), 100000);
    cr_assert_not(exists);
    cr_assert_eq(tzif_instant(zone, 103599, &exists), 100000);
    cr_assert_not(exists);
    cr_assert_eq(tzif_instant(zone, 103600, &exists), 100000);
    cr_assert(exists);
    cr_assert_eq(tzif_instant(zone, 200000, &exists), 196400);
    cr_assert(exists);
    cr_assert_eq(tzif_instant(zone, 203599, &exists), 199999);
    cr_assert(exists);
    cr_assert_eq(tzif_instant(zone, 203600, &exists), 203600);
    cr_assert(exists);
    tzif_destroy(&zone);
}

Test(tzif, local_times_beyond_all_time_do_not_wrap, .timeout = 10)
{
    static const char *const rules[] = {"ABC-24", "ABC24", "CET-1CEST,M3.5.0,M10.5.0/3", ""};
    static const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, INT64_MAX - 1, INT64_MAX};
    bool exists;

    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        file_t file = file_of_rule(rules[i]);
        tzif_t *zone = zone_of(&file);

        for (size_t j = 0; j < COUNT_OF(ends); j++) {
            int64_t at_s = tzif_instant(zone, ends[j], &exists);

            cr_assert_eq(at_s < 0, ends[j] < 0);
            cr_assert(exists);
        }
        tzif_destroy(&zone);
    }
}

/* ------------------------------------------------------------------ bytes that are no zone */

Test(tzif, a_file_cut_short_anywhere_is_refused, .timeout = 10)
{
    listed_t changes[] = {{0, 1}, {1000, 0}};
    int32_t offsets[] = {60, 120};
    file_t file = make_file(changes, 2, offsets, 2, "CET-1CEST,M3.5.0,M10.5.0/3");

    for (size_t n = 0; n < file.n; n++) {
        tzif_t *zone = NULL;

        cr_assert_eq(parse(&zone, file.bytes, n, NULL), ERR_CORRUPT, "%zu", n);
        cr_assert_null(zone);
    }
}

/* One byte of a good file is changed. */
static void expect_refused(file_t file, size_t at, uint8_t value, const char *what)
{
    tzif_t *zone = NULL;
    err_t err = {0};

    file.bytes[at] = value;
    cr_assert_eq(parse(&zone, file.bytes, file.n, &err), ERR_CORRUPT, "%s", what);
    cr_assert_not_null(strstr(err.text, what), "%s: %s", what, err.text);
}

Test(tzif, each_count_index_and_mark_is_checked, .timeout = 10)
{
    listed_t changes[] = {{0, 1}, {200, 0}};
    int32_t offsets[] = {60, 120};
    file_t file = make_file(changes, 2, offsets, 2, "ABC0");
    size_t header = 44;
    size_t times = 88;
    size_t kinds = times + 16;
    size_t types = kinds + 2;
    size_t names = types + 12;

    expect_refused(file, 0, 't', "no time zone file");
    expect_refused(file, 4, '\0', "version 2");
    expect_refused(file, 4, '1', "version 2");
    expect_refused(file, header + 4, '1', "cut short");
    for (size_t count = 20; count < 44; count += 4) {
        expect_refused(file, count, 0xff, "cut short");
        expect_refused(file, header + count, 0xff, "cut short");
    }
    expect_refused(file, times + 7, 200, "not in order");
    expect_refused(file, times + 8, 0x80, "not in order");
    expect_refused(file, kinds, 2, "not there");
    expect_refused(file, types, 0x7f, "offset");
    expect_refused(file, types + 6, 0x80, "offset");
    expect_refused(file, types + 4, 2, "malformed");
    expect_refused(file, types + 5, 4, "malformed");
    expect_refused(file, names + 3, 'D', "do not end");
    expect_refused(file, names + 4, 'D', "cut short");
    expect_refused(file, names + 6, '\0', "rule for later times is malformed");
    file.bytes[header + 20 + 11] = 1; /* a leap second of 12 bytes, taken from what follows */
    put(&file, "            ", 12);
    expect_refused(file, 0, 'T', "leap seconds");
}

Test(tzif, files_have_bounds, .timeout = 10)
{
    uint8_t *bytes = memory_zalloc(TZIF_BYTES_MAX + 1);
    file_t file = file_of_rule("UTC0");
    tzif_t *zone = NULL;

    /* What follows the rule may be anything, up to the bound. */
    memcpy(bytes, file.bytes, file.n);
    cr_assert_eq(tzif_parse(&zone, bytes, TZIF_BYTES_MAX, NULL), ERR_NONE);
    tzif_destroy(&zone);
    cr_assert_eq(tzif_parse(&zone, bytes, TZIF_BYTES_MAX + 1, NULL), ERR_CORRUPT);
    /* 2,001 changes and no more than one too many types. */
    bytes[44 + 34] = 2001 >> 8;
    bytes[44 + 35] = 2001 & 0xff;
    cr_assert_eq(tzif_parse(&zone, bytes, TZIF_BYTES_MAX, NULL), ERR_CORRUPT);
    bytes[44 + 34] = bytes[44 + 35] = 0;
    bytes[44 + 38] = 1;
    cr_assert_eq(tzif_parse(&zone, bytes, TZIF_BYTES_MAX, NULL), ERR_CORRUPT);
    bytes[44 + 38] = bytes[44 + 39] = 0;
    cr_assert_eq(tzif_parse(&zone, bytes, TZIF_BYTES_MAX, NULL), ERR_CORRUPT);
    free(bytes);
}

/* ------------------------------------------------------------------ files */

Test(tzif, files_are_read_and_what_is_none_is_not_found, .timeout = 10)
{
    char directory[] = "/tmp/tzif.XXXXXX";
    char path[64];
    file_t good = file_of_rule("ABC-3");
    tzif_t *zone = NULL;
    FILE *out;

    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(tzif_read(&zone, directory, NULL), ERR_NOT_FOUND);
    (void)snprintf(path, sizeof path, "%s/zone", directory);
    cr_assert_eq(tzif_read(&zone, path, NULL), ERR_NOT_FOUND);
    cr_assert_eq(mkfifo(path, 0600), 0); /* must not wait for a writer */
    cr_assert_eq(tzif_read(&zone, path, NULL), ERR_NOT_FOUND);
    cr_assert_eq(unlink(path), 0);
    out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(good.bytes, 1, good.n, out), good.n);
    cr_assert_eq(fflush(out), 0);
    cr_assert_eq(tzif_read(&zone, path, NULL), ERR_NONE);
    cr_assert_eq(tzif_offset(zone, 0), 10800);
    tzif_destroy(&zone);
    cr_assert_null(zone);
    tzif_destroy(&zone);
    cr_assert_eq(ftruncate(fileno(out), (off_t)TZIF_BYTES_MAX + 1), 0);
    cr_assert_eq(tzif_read(&zone, path, NULL), ERR_CORRUPT);
    cr_assert_eq(ftruncate(fileno(out), 0), 0);
    cr_assert_eq(tzif_read(&zone, path, NULL), ERR_CORRUPT);
    cr_assert_eq(fclose(out), 0);
    (void)snprintf(path, sizeof path, "%s/zone/zone", directory);
    cr_assert_eq(tzif_read(&zone, path, NULL), ERR_NOT_FOUND);
    (void)snprintf(path, sizeof path, "%s/zone", directory);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(directory), 0);
}
