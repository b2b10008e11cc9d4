/* test_calendar.c - calendar windows, steps, and instants as text; ids are those of the semantics */
#include "protocol/calendar.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t at(const char *text)
{
    int64_t us = 0;

    cr_assert_eq(instant_parse(&us, text, strlen(text), true, NULL), ERR_NONE, "%s", text);
    return us;
}

static const zone_t *zone(const char *name)
{
    const zone_t *found = NULL;

    cr_assert_eq(zone_open(&found, name, NULL), ERR_NONE, "%s", name);
    return found;
}

static void expect_window(const char *zone_name, calendar_unit_t unit, const char *instant,
                          const char *from, const char *until)
{
    window_t window = calendar_window(zone(zone_name), unit, at(instant));
    char text[INSTANT_TEXT_MAX];

    (void)instant_format(window.from_us, text);
    cr_assert_eq(window.from_us, at(from), "%s in %s starts %s", instant, zone_name, text);
    (void)instant_format(window.until_us, text);
    cr_assert_eq(window.until_us, at(until), "%s in %s ends %s", instant, zone_name, text);
}

static void expect_months(const char *zone_name, const char *anchor, int months,
                          const char *expected)
{
    char text[INSTANT_TEXT_MAX];
    int64_t found = calendar_add_months(zone(zone_name), at(anchor), months);

    (void)instant_format(found, text);
    cr_assert_eq(found, at(expected), "%s %+d months is %s", anchor, months, text);
}

static civil_t local(const char *zone_name, const char *instant)
{
    civil_t civil;

    calendar_local(zone(zone_name), at(instant), &civil);
    return civil;
}

/* ------------------------------------------------------------------ days and other units */

Test(calendar, e_1_8a_the_last_second_of_a_day_in_kolkata, .timeout = 10)
{
    civil_t civil = local("Asia/Kolkata", "2026-03-01T18:29:59Z");

    cr_assert_eq(civil.month, 3);
    cr_assert_eq(civil.day, 1);
    cr_assert_eq(civil.hour, 23);
    cr_assert_eq(civil.second, 59);
}

Test(calendar, e_1_8b_the_first_second_of_the_next_day_in_kolkata, .timeout = 10)
{
    civil_t civil = local("Asia/Kolkata", "2026-03-01T18:30:00Z");

    cr_assert_eq(civil.day, 2);
    cr_assert_eq(civil.hour, 0);
}

Test(calendar, e_1_8c_a_day_of_23_hours_in_new_york, .timeout = 10)
{
    expect_window("America/New_York", UNIT_DAY, "2026-03-08T12:00Z", "2026-03-08T05:00Z",
                  "2026-03-09T04:00Z");
}

Test(calendar, e_1_8d_a_day_of_25_hours_in_new_york, .timeout = 10)
{
    expect_window("America/New_York", UNIT_DAY, "2026-11-01T12:00Z", "2026-11-01T04:00Z",
                  "2026-11-02T05:00Z");
}

Test(calendar, e_1_8e_a_day_of_23_hours_in_berlin, .timeout = 10)
{
    expect_window("Europe/Berlin", UNIT_DAY, "2026-03-29T12:00Z", "2026-03-28T23:00Z",
                  "2026-03-29T22:00Z");
}

Test(calendar, e_1_9a_a_day_without_its_midnight_starts_at_one_in_santiago, .timeout = 10)
{
    expect_window("America/Santiago", UNIT_DAY, "2026-09-06T12:00Z", "2026-09-06T04:00Z",
                  "2026-09-07T03:00Z");
    cr_assert_eq(local("America/Santiago", "2026-09-06T04:00Z").hour, 1);
}

Test(calendar, windows_are_half_open, .timeout = 10)
{
    expect_window("UTC", UNIT_DAY, "2026-01-01T23:59:59.999999Z", "2026-01-01T00:00Z",
                  "2026-01-02T00:00Z");
    expect_window("UTC", UNIT_DAY, "2026-01-02T00:00Z", "2026-01-02T00:00Z", "2026-01-03T00:00Z");
    expect_window("America/New_York", UNIT_DAY, "2026-03-09T03:59:59.999999Z", "2026-03-08T05:00Z",
                  "2026-03-09T04:00Z");
    expect_window("America/New_York", UNIT_DAY, "2026-03-09T04:00Z", "2026-03-09T04:00Z",
                  "2026-03-10T04:00Z");
}

Test(calendar, weeks_start_on_monday, .timeout = 10)
{
    expect_window("UTC", UNIT_WEEK, "2026-03-01T10:00Z", "2026-02-23T00:00Z", "2026-03-02T00:00Z");
    expect_window("UTC", UNIT_WEEK, "2026-03-02T00:00Z", "2026-03-02T00:00Z", "2026-03-09T00:00Z");
    expect_window("UTC", UNIT_WEEK, "1969-12-28T10:00Z", "1969-12-22T00:00Z", "1969-12-29T00:00Z");
    /* 167 hours: the week in which the clocks go forward. */
    expect_window("Europe/Berlin", UNIT_WEEK, "2026-03-25T10:00Z", "2026-03-22T23:00Z",
                  "2026-03-29T22:00Z");
}

Test(calendar, months_quarters_halves_and_years, .timeout = 10)
{
    expect_window("UTC", UNIT_MONTH, "2024-02-29T12:00Z", "2024-02-01T00:00Z", "2024-03-01T00:00Z");
    expect_window("UTC", UNIT_MONTH, "2026-12-31T12:00Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z");
    expect_window("UTC", UNIT_QUARTER, "2026-05-05T12:00Z", "2026-04-01T00:00Z",
                  "2026-07-01T00:00Z");
    expect_window("UTC", UNIT_QUARTER, "2026-12-05T12:00Z", "2026-10-01T00:00Z",
                  "2027-01-01T00:00Z");
    expect_window("UTC", UNIT_HALF, "2026-06-30T23:00Z", "2026-01-01T00:00Z", "2026-07-01T00:00Z");
    expect_window("UTC", UNIT_HALF, "2026-07-01T00:00Z", "2026-07-01T00:00Z", "2027-01-01T00:00Z");
    expect_window("UTC", UNIT_YEAR, "2026-07-01T00:00Z", "2026-01-01T00:00Z", "2027-01-01T00:00Z");
    expect_window("America/New_York", UNIT_MONTH, "2026-03-20T00:00Z", "2026-03-01T05:00Z",
                  "2026-04-01T04:00Z");
    expect_window("Asia/Kolkata", UNIT_YEAR, "2026-12-31T18:30Z", "2026-12-31T18:30Z",
                  "2027-12-31T18:30Z");
}

Test(calendar, a_skipped_day_belongs_to_the_one_before, .timeout = 10)
{
    /* Samoa had no 30 December 2011. */
    expect_window("Pacific/Apia", UNIT_DAY, "2011-12-30T09:59Z", "2011-12-29T10:00Z",
                  "2011-12-30T10:00Z");
    expect_window("Pacific/Apia", UNIT_DAY, "2011-12-30T10:00Z", "2011-12-30T10:00Z",
                  "2011-12-31T10:00Z");
}

Test(calendar, a_date_shown_again_after_midnight_belongs_to_the_new_day, .timeout = 10)
{
    /* In St John's clocks went from 00:01 back to 23:01 on 2010-11-07: midnight came twice. */
    expect_window("America/St_Johns", UNIT_DAY, "2010-11-07T02:29Z", "2010-11-06T02:30Z",
                  "2010-11-07T02:30Z");
    expect_window("America/St_Johns", UNIT_DAY, "2010-11-07T03:00Z", "2010-11-07T02:30Z",
                  "2010-11-08T03:30Z");
    cr_assert_eq(local("America/St_Johns", "2010-11-07T03:00Z").day, 6);
}

Test(calendar, windows_of_a_zone_follow_each_other_without_gap, .timeout = 60)
{
    static const char *const names[] = {"America/Santiago",    "America/St_Johns", "Pacific/Apia",
                                        "Africa/Cairo",        "Asia/Beirut",      "America/Havana",
                                        "Australia/Lord_Howe", "Asia/Tehran",      "UTC",
                                        "Africa/Casablanca"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        for (calendar_unit_t unit = UNIT_DAY; unit <= UNIT_YEAR; unit++) {
            window_t window = calendar_window(zone(names[i]), unit, at("2009-11-25T10:00Z"));

            while (window.until_us < at("2013-01-01T00:00Z")) {
                window_t last = calendar_window(zone(names[i]), unit, window.until_us - 1);
                window_t next = calendar_window(zone(names[i]), unit, window.until_us);

                cr_assert_eq(last.from_us, window.from_us, "%s", names[i]);
                cr_assert_eq(last.until_us, window.until_us, "%s", names[i]);
                cr_assert_eq(next.from_us, window.until_us, "%s", names[i]);
                cr_assert_gt(next.until_us, next.from_us, "%s", names[i]);
                window = next;
            }
        }
    }
}

/* ------------------------------------------------------------------ local times */

Test(calendar, a_local_time_that_does_not_exist_is_the_first_that_does, .timeout = 10)
{
    civil_t gap = {.year = 2026, .month = 3, .day = 29, .hour = 2, .minute = 30, .micros = 123456};

    cr_assert_eq(calendar_instant(zone("Europe/Berlin"), &gap), at("2026-03-29T01:00Z"));
    gap.minute = 0;
    gap.micros = 0;
    cr_assert_eq(calendar_instant(zone("Europe/Berlin"), &gap), at("2026-03-29T01:00Z"));
    gap.hour = 3;
    cr_assert_eq(calendar_instant(zone("Europe/Berlin"), &gap), at("2026-03-29T01:00Z"));
    gap.hour = 1;
    gap.minute = gap.second = 59;
    gap.micros = 999999;
    cr_assert_eq(calendar_instant(zone("Europe/Berlin"), &gap), at("2026-03-29T00:59:59.999999Z"));
}

Test(calendar, a_local_time_that_happens_twice_is_the_first, .timeout = 10)
{
    civil_t twice = {.year = 2026, .month = 11, .day = 1, .hour = 1, .minute = 30, .micros = 7};

    cr_assert_eq(calendar_instant(zone("America/New_York"), &twice),
                 at("2026-11-01T05:30:00.000007Z"));
}

Test(calendar, local_and_instant_agree_in_every_zone_and_season, .timeout = 60)
{
    static const char *const names[] = {
        "UTC",        "Asia/Kathmandu",      "America/New_York", "Europe/Dublin",
        "Asia/Tokyo", "Australia/Lord_Howe", "Pacific/Chatham",  "Africa/Monrovia"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        for (int64_t us = at("1899-12-31T00:00:00.000001Z"); us < at("2101-01-01");
             us += 97 * DAY_US + 12345678) {
            civil_t civil;
            int64_t back;

            calendar_local(zone(names[i]), us, &civil);
            back = calendar_instant(zone(names[i]), &civil);
            /* Only the second of two equal local times comes back earlier. */
            if (back != us) {
                civil_t again;

                cr_assert_lt(back, us);
                calendar_local(zone(names[i]), back, &again);
                cr_assert_eq(again.hour, civil.hour);
                cr_assert_eq(again.minute, civil.minute);
            }
        }
    }
}

Test(calendar, dates_before_1582_are_gregorian, .timeout = 10)
{
    civil_t civil = local("Europe/Berlin", "1500-02-28T12:00Z");

    cr_assert_eq(civil.month, 2);
    cr_assert_eq(civil.day, 28);
    cr_assert_eq(calendar_instant(zone("Europe/Berlin"), &civil), at("1500-02-28T12:00Z"));
    civil = (civil_t){.year = 1582, .month = 10, .day = 10, .hour = 12};
    int64_t noon = calendar_instant(zone("Africa/Abidjan"), &civil);
    calendar_local(zone("Africa/Abidjan"), noon, &civil);
    cr_assert_eq(civil.day, 10);
    cr_assert_eq(civil.hour, 12);
}

/* ------------------------------------------------------------------ steps */

Test(calendar, e_1_10a_the_end_of_january_plus_a_month, .timeout = 10)
{
    expect_months("UTC", "2026-01-31", 1, "2026-02-28");
}

Test(calendar, e_1_10b_months_are_added_from_the_anchor, .timeout = 10)
{
    expect_months("UTC", "2026-01-31", 3, "2026-04-30");
}

Test(calendar, e_1_10c_a_leap_day_plus_a_year, .timeout = 10)
{
    expect_months("UTC", "2024-02-29", 12, "2025-02-28");
}

Test(calendar, e_1_10d_the_end_of_august_plus_half_a_year, .timeout = 10)
{
    expect_months("UTC", "2026-08-31", 6, "2027-02-28");
}

Test(calendar, e_1_10e_the_end_of_the_year_plus_two_months, .timeout = 10)
{
    expect_months("UTC", "2025-12-31", 2, "2026-02-28");
}

Test(calendar, months_keep_the_local_time_of_the_zone, .timeout = 10)
{
    expect_months("Europe/Berlin", "2026-01-15T09:00:00.000123Z", 6, "2026-07-15T08:00:00.000123Z");
    expect_months("Europe/Berlin", "2026-02-28T23:30Z", 1,
                  "2026-03-31T22:30Z"); /* 1 March, 00:30 local */
    expect_months("UTC", "2026-03-31", -1, "2026-02-28");
    expect_months("UTC", "2026-01-15", -13, "2024-12-15");
}

Test(calendar, steps_stop_at_the_ends_of_what_can_be_written, .timeout = 10)
{
    expect_months("UTC", "2026-01-15", INT32_MAX, "9999-12-31T23:59:59.999999Z");
    expect_months("UTC", "2026-01-15", INT32_MIN, "0001-01-01T00:00:00Z");
    cr_assert_eq(calendar_add_days(zone("UTC"), at("2026-01-15"), INT32_MAX),
                 at("9999-12-31T23:59:59.999999Z"));
    cr_assert_eq(calendar_add_days(zone("Europe/Berlin"), INT64_MIN, INT32_MIN), at("0001-01-01"));
    window_t window = calendar_window(zone("Europe/Berlin"), UNIT_YEAR, INT64_MAX);
    cr_assert_lt(window.from_us, window.until_us);
    window = calendar_window(zone("Europe/Berlin"), UNIT_WEEK, INT64_MIN);
    cr_assert_lt(window.from_us, window.until_us);
}

Test(calendar, days_keep_the_local_time_over_a_clock_change, .timeout = 10)
{
    const zone_t *berlin = zone("Europe/Berlin");

    cr_assert_eq(calendar_add_days(berlin, at("2026-03-28T12:00Z"), 1), at("2026-03-29T11:00Z"));
    cr_assert_eq(calendar_add_days(berlin, at("2026-03-28T01:30Z"), 1), at("2026-03-29T01:00Z"));
    cr_assert_eq(calendar_add_days(berlin, at("2026-10-25T12:00Z"), -1), at("2026-10-24T11:00Z"));
}

Test(calendar, a_step_of_nothing_does_not_move, .timeout = 10)
{
    int64_t second = at("2026-10-25T01:30Z"); /* the second 02:30 of that night in Berlin */

    cr_assert_eq(calendar_add_days(zone("Europe/Berlin"), second, 0), second);
    cr_assert_eq(calendar_add_months(zone("Europe/Berlin"), second, 0), second);
}

/* ------------------------------------------------------------------ zones */

Test(calendar, only_names_of_the_iana_list_are_zones, .timeout = 10)
{
    static const char *const good[] = {"UTC",
                                       "Etc/UTC",
                                       "Etc/GMT+3",
                                       "GMT",
                                       "EST5EDT",
                                       "Asia/Calcutta",
                                       "America/Argentina/Buenos_Aires",
                                       "Europe/Kyiv",
                                       "US/Pacific"};
    static const char *const bad[] = {
        "",
        "Mars/Olympus",
        "europe/berlin",
        "GMT+3",
        "GMT+03:00",
        "GMT-3",
        "UTC+1",
        "PST",
        "IST",
        "BST",
        "Etc/Unknown",
        "SystemV/PST8",
        "Europe/Berlin ",
        "+01:00",
        "\xff\xfe",
        "Etc/GMT+99",
        "A/very/long/name/that/no/zone/of/the/database/has/or/ever/will/have"};
    const zone_t *found;
    err_t err;

    for (size_t i = 0; i < COUNT_OF(good); i++)
        cr_assert_eq(zone_open(&found, good[i], NULL), ERR_NONE, "%s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(zone_open(&found, bad[i], &err), ERR_INVALID, "%s", bad[i]);
}

Test(calendar, a_zone_is_opened_once, .timeout = 10)
{
    cr_assert_eq(zone("Europe/Berlin"), zone("Europe/Berlin"));
    cr_assert_neq(zone("Europe/Berlin"), zone("Europe/Paris"));
}

Test(calendar, the_database_has_a_version, .timeout = 10)
{
    cr_assert_eq(strlen(zone_database_version()), 5); /* such as 2025a */
    cr_assert_eq(strncmp(zone_database_version(), "20", 2), 0);
}

Test(calendar, rules_are_those_of_the_present_database, .timeout = 10)
{
    /* The city left the time of Chihuahua in November 2022 for that of its neighbour El Paso. */
    cr_assert_eq(local("America/Ciudad_Juarez", "2026-01-15T12:00Z").hour, 5);
    cr_assert_eq(local("America/Ciudad_Juarez", "2026-07-15T12:00Z").hour, 6);
    /* Egypt has summer time again since 2023: in 2026 from 24 April to 29 October. */
    cr_assert_eq(local("Africa/Cairo", "2026-04-23T21:59:59Z").hour, 23);
    cr_assert_eq(local("Africa/Cairo", "2026-04-23T22:00Z").hour, 1);
    cr_assert_eq(local("Africa/Cairo", "2026-07-15T12:00Z").hour, 15);
    cr_assert_eq(local("Africa/Cairo", "2026-10-29T21:00Z").hour, 23);
    expect_window("Africa/Cairo", UNIT_DAY, "2026-04-24T12:00Z", "2026-04-23T22:00Z",
                  "2026-04-24T21:00Z");
    expect_window("Africa/Cairo", UNIT_DAY, "2026-10-29T12:00Z", "2026-10-28T21:00Z",
                  "2026-10-29T22:00Z");
}

Test(calendar, rules_go_on_after_the_last_change_that_is_listed, .timeout = 10)
{
    expect_window("Europe/Berlin", UNIT_DAY, "2080-03-31T12:00Z", "2080-03-30T23:00Z",
                  "2080-03-31T22:00Z");
    expect_window("Europe/Berlin", UNIT_DAY, "2080-10-27T12:00Z", "2080-10-26T22:00Z",
                  "2080-10-27T23:00Z");
    expect_months("Europe/Berlin", "2080-01-15T09:00Z", 6, "2080-07-15T08:00Z");
    expect_window("Australia/Sydney", UNIT_MONTH, "2095-10-15T12:00Z", "2095-09-30T14:00Z",
                  "2095-10-31T13:00Z");
    cr_assert_eq(local("America/New_York", "9998-07-01T12:00Z").hour, 8);
}

Test(calendar, names_never_leave_the_directory_of_the_database, .timeout = 10)
{
    static const char *const bad[] = {"../zoneinfo/UTC",
                                      "Europe/../UTC",
                                      "Europe/../../zoneinfo/UTC",
                                      "/usr/share/zoneinfo/Europe/Berlin",
                                      "./Europe/Berlin",
                                      "Europe//Berlin",
                                      "Europe/Berlin/",
                                      "/Europe/Berlin",
                                      "Europe",
                                      "America/Argentina",
                                      "Europe/.",
                                      "Europe\\Berlin",
                                      "localtime",
                                      "posixrules",
                                      "posix/Europe/Berlin",
                                      "right/Europe/Berlin",
                                      "tzdata.zi",
                                      "zone.tab"};
    const zone_t *found;
    char name[66] = "Europe/Berlin";

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(zone_open(&found, bad[i], NULL), ERR_INVALID, "%s", bad[i]);
    for (int byte = 1; byte < 256; byte++) {
        name[6] = (char)byte;
        cr_assert_eq(zone_open(&found, name, NULL), byte == '/' ? ERR_NONE : ERR_INVALID, "%d",
                     byte);
    }
    for (size_t n = 60; n < sizeof name; n++) {
        memset(name, 'A', n);
        name[n] = '\0';
        cr_assert_eq(zone_open(&found, name, NULL), ERR_INVALID);
    }
}

static void put_file(const char *directory, const char *name, const void *bytes, size_t n)
{
    char path[96];
    FILE *out;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(bytes, 1, n, out), n);
    cr_assert_eq(fclose(out), 0);
}

static void drop_file(const char *directory, const char *name)
{
    char path[96];

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    cr_assert_eq(unlink(path), 0);
}

/* Each test is a process of its own, so the database of the others stays what it is. */
Test(calendar, the_database_may_be_elsewhere, .timeout = 10)
{
    /* No changes, one local time type (45 minutes), one empty abbreviation, a rule. */
    static const char header[44] = "TZif2";
    static const char second[44] = {'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 1};
    static const char rest[] = "\0\0\x0a\x8c\0\0\0\n<+0045>-0:45\n";
    char directory[] = "/tmp/calendar.XXXXXX";
    char bytes[44 + 44 + sizeof rest - 1];
    const zone_t *found = NULL;
    err_t err = {0};

    cr_assert_not_null(mkdtemp(directory));
    memcpy(bytes, header, 44);
    memcpy(bytes + 44, second, 44);
    memcpy(bytes + 88, rest, sizeof rest - 1);
    put_file(directory, "Moon", bytes, sizeof bytes);
    put_file(directory, "Mars", bytes, sizeof bytes - 1);
    put_file(directory, "tzdata.zi", "# version 1234x-moon\nR", 22);
    cr_assert_eq(setenv("TZDIR", directory, 1), 0);
    cr_assert_str_eq(zone_database_version(), "1234x-moon");
    cr_assert_eq(local("Moon", "2026-01-01T00:00Z").minute, 45);
    cr_assert_eq(zone_open(&found, "Europe/Berlin", NULL), ERR_INVALID);
    cr_assert_eq(zone_open(&found, "Mars", &err), ERR_CORRUPT);
    cr_assert_eq(zone_open(&found, "UTC", NULL), ERR_NONE);
    drop_file(directory, "Moon");
    drop_file(directory, "Mars");
    drop_file(directory, "tzdata.zi");
    cr_assert_eq(rmdir(directory), 0);
    /* What was opened stays open. */
    cr_assert_eq(local("Moon", "2026-01-01T00:00Z").minute, 45);
}

Test(calendar, a_database_without_its_text_has_no_known_version, .timeout = 10)
{
    char directory[] = "/tmp/calendar.XXXXXX";

    cr_assert_not_null(mkdtemp(directory));
    put_file(directory, "tzdata.zi", "# version 2026f with much behind it\n", 36);
    cr_assert_eq(setenv("TZDIR", directory, 1), 0);
    cr_assert_str_eq(zone_database_version(), "unknown");
    drop_file(directory, "tzdata.zi");
    cr_assert_eq(rmdir(directory), 0);
}

static void *use_many_zones(void *state)
{
    static const char *const names[] = {"Europe/Berlin", "America/New_York", "Asia/Kolkata",
                                        "Asia/Tokyo",    "America/Santiago", "Australia/Sydney"};
    intptr_t *wrong = state;

    for (int i = 0; i < 3000; i++) {
        const zone_t *found;
        int64_t us = at("2026-03-01T12:00Z") + (int64_t)i * 3600 * SECOND_US;
        civil_t civil;

        if (zone_open(&found, names[i % 6], NULL) != ERR_NONE)
            ++*wrong;
        calendar_local(found, us, &civil);
        if (calendar_window(found, UNIT_DAY, us).from_us > us ||
            calendar_instant(found, &civil) > us)
            ++*wrong;
    }
    return NULL;
}

Test(calendar, threads_do_not_disturb_each_other, .timeout = 60)
{
    pthread_t threads[4];
    intptr_t wrong[4] = {0};

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, use_many_zones, &wrong[i]), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert_eq(wrong[i], 0);
    }
}

/* ------------------------------------------------------------------ text */

Test(calendar, instants_are_written_with_a_fraction_only_when_there_is_one, .timeout = 10)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"2026-11-25T01:02:03Z", "2026-11-25T01:02:03Z"},
                {"2026-11-25T01:02Z", "2026-11-25T01:02:00Z"},
                {"2026-11-25T01:02", "2026-11-25T01:02:00Z"},
                {"2026-11-25T01:02:03.5Z", "2026-11-25T01:02:03.500000Z"},
                {"2026-11-25T01:02:03.000000Z", "2026-11-25T01:02:03Z"},
                {"2026-11-25T01:02:03.000001", "2026-11-25T01:02:03.000001Z"},
                {"2026-11-25T01:02:03.123456+05:30", "2026-11-24T19:32:03.123456Z"},
                {"2026-11-25T23:02:03-02:00", "2026-11-26T01:02:03Z"},
                {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
                {"0001-01-01T00:00Z", "0001-01-01T00:00:00Z"},
                {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
                {"2024-02-29T00:00Z", "2024-02-29T00:00:00Z"}};
    char text[INSTANT_TEXT_MAX];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us;

        cr_assert_eq(instant_parse(&us, rows[i].in, strlen(rows[i].in), false, NULL), ERR_NONE,
                     "%s", rows[i].in);
        cr_assert_eq(instant_format(us, text), strlen(rows[i].out));
        cr_assert_str_eq(text, rows[i].out);
    }
    cr_assert_eq(at("1970-01-01T00:00Z"), 0);
    cr_assert_eq(at("2026-11-25T01:02:03Z"), INT64_C(1795568523000000));
}

Test(calendar, text_that_is_no_instant_is_refused, .timeout = 10)
{
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-11",
                                      "2026-11-25",
                                      "2026-11-25T",
                                      "2026-11-25T01",
                                      "2026-11-25T01:",
                                      "2026-11-25T01:02:",
                                      "2026-11-25T01:02:03.",
                                      "2026-11-25T01:02:03.1234567Z",
                                      "2026-11-25T01:02.5Z",
                                      "2026-11-25T24:00Z",
                                      "2026-11-25T23:60Z",
                                      "2026-11-25T23:59:60Z",
                                      "2026-13-25T01:02Z",
                                      "2026-00-25T01:02Z",
                                      "2026-02-29T01:02Z",
                                      "2100-02-29T01:02Z",
                                      "2026-11-00T01:02Z",
                                      "0000-11-25T01:02Z",
                                      "02026-11-25T01:02Z",
                                      "-2026-11-25T01:02Z",
                                      "2026-11-25 01:02Z",
                                      "2026-11-25t01:02Z",
                                      "2026-11-25T01:02z",
                                      "2026-11-25T01:02ZZ",
                                      "2026-11-25T01:02+5:30",
                                      "2026-11-25T01:02+0530",
                                      "2026-11-25T01:02+05",
                                      "2026-11-25T01:02+24:00",
                                      "2026-11-25T01:02+05:60",
                                      "2026-11-25T01:02Z ",
                                      " 2026-11-25T01:02Z",
                                      "20261125T010203Z",
                                      "0001-01-01T00:00+00:01",
                                      "9999-12-31T23:59-00:01"};
    int64_t us;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(instant_parse(&us, bad[i], strlen(bad[i]), false, NULL), ERR_INVALID, "%s",
                     bad[i]);
}

Test(calendar, a_bare_date_is_midnight_where_it_is_allowed, .timeout = 10)
{
    int64_t us;

    cr_assert_eq(instant_parse(&us, "2026-11-25", 10, true, NULL), ERR_NONE);
    cr_assert_eq(us, at("2026-11-25T00:00Z"));
    cr_assert_eq(instant_parse(&us, "2026-11-25", 10, false, NULL), ERR_INVALID);
    cr_assert_eq(instant_parse(&us, "2026-11-25T", 11, true, NULL), ERR_INVALID);
}

Test(calendar, instants_out_of_range_are_written_as_the_nearest_in_range, .timeout = 10)
{
    char text[INSTANT_TEXT_MAX];

    cr_assert_eq(instant_format(INT64_MAX, text), 27);
    cr_assert_str_eq(text, "9999-12-31T23:59:59.999999Z");
    (void)instant_format(INT64_MIN, text);
    cr_assert_str_eq(text, "0001-01-01T00:00:00Z");
}
