/* fuzz_instant.c - text of instants, zone names, and calendar windows
 *
 * Oracles: format(parse(x)) parses to the same instant and formats the same; a window holds the
 * instant it was asked for, and its last microsecond has the same window; a local time maps back to
 * the instant it came from or to the earlier one with the same clock reading.
 */
#include "protocol/calendar.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *const names[] = {"UTC",
                                    "America/New_York",
                                    "Europe/Berlin",
                                    "America/Santiago",
                                    "Pacific/Apia",
                                    "America/St_Johns",
                                    "Africa/Casablanca",
                                    "Australia/Lord_Howe",
                                    "Asia/Kathmandu",
                                    "America/Havana"};

static void check_text(int64_t at_us)
{
    char text[INSTANT_TEXT_MAX];
    char again[INSTANT_TEXT_MAX];
    int64_t back;
    size_t length = instant_format(at_us, text);

    INVARIANT(length < sizeof text);
    INVARIANT(instant_parse(&back, text, length, false, NULL) == ERR_NONE);
    INVARIANT(back == at_us);
    INVARIANT(instant_format(back, again) == length);
    INVARIANT(strcmp(text, again) == 0);
}

static void check_calendar(int64_t at_us, const char *name, calendar_unit_t unit)
{
    const zone_t *zone;
    civil_t civil, same;

    INVARIANT(zone_open(&zone, name, NULL) == ERR_NONE);
    window_t window = calendar_window(zone, unit, at_us);
    INVARIANT(window.from_us <= at_us);
    INVARIANT(at_us < window.until_us);
    /* Windows at the very ends reach beyond what can be asked about. */
    if (window.until_us - 1 < INT64_C(253402300800000000)) {
        window_t last = calendar_window(zone, unit, window.until_us - 1);

        INVARIANT(last.from_us == window.from_us);
        INVARIANT(last.until_us == window.until_us);
    }
    calendar_local(zone, at_us, &civil);
    int64_t back = calendar_instant(zone, &civil);
    INVARIANT(back <= at_us);
    calendar_local(zone, back, &same);
    INVARIANT(same.day == civil.day);
    INVARIANT(same.hour == civil.hour);
    INVARIANT(same.minute == civil.minute);
    INVARIANT(same.micros == civil.micros);
    (void)calendar_add_months(zone, at_us, (int)(at_us % 5000));
    (void)calendar_add_days(zone, at_us, (int)(at_us % 500000));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const zone_t *zone;
    char name[40];
    int64_t at_us = 0;

    if (n < 2)
        return 0;
    const char *zone_name = names[bytes[0] % COUNT_OF(names)];
    calendar_unit_t unit = (calendar_unit_t)(bytes[1] % (UNIT_YEAR + 1));
    bytes += 2;
    n -= 2;
    bool parsed = instant_parse(&at_us, (const char *)bytes, n, true, NULL) == ERR_NONE;
    if (!parsed && n >= 8) {
        /* Raw numbers reach the calendar far more often than valid text does. */
        memcpy(&at_us, bytes, 8);
        at_us %= INT64_C(60000000000000000);
        parsed = true;
    }
    if (parsed) {
        check_text(at_us);
        check_calendar(at_us, zone_name, unit);
    }
    size_t length = n < sizeof name ? n : sizeof name - 1;
    memcpy(name, bytes, length);
    name[length] = '\0';
    if (zone_open(&zone, name, NULL) == ERR_NONE)
        check_calendar(at_us, name, unit);
    return 0;
}
