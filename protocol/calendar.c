/* calendar.c - windows and steps of a zone's calendar
 *
 * The system's time zone files say how far a zone is from UTC at an instant (tzif.h). Dates are
 * computed here, in the proleptic Gregorian calendar. UTC needs no file.
 */
#include "protocol/calendar.h"

#include "protocol/buffer.h"
#include "protocol/tzif.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE_NAME_MAX     64
#define VERSION_TEXT_MAX  16
#define DIRECTORY_DEFAULT "/usr/share/zoneinfo"
#define SECONDS_PER_DAY   86400
#define MONTHS_PER_YEAR   12
#define YEARS_STEP_MAX    10000 /* more than between the first year and the last */

struct zone {
    zone_t *next; /* owned */
    tzif_t *file; /* owned; NULL for UTC */
    char name[ZONE_NAME_MAX + 1];
};

/* Zones are put in front, never changed and never removed, so looking for one needs no lock. The
 * lock is for adding: two threads that want the same zone get the same one. */
static pthread_mutex_t zones_lock = PTHREAD_MUTEX_INITIALIZER;
static zone_t *_Atomic zones;

/* Where the database is and its version; set once. */
static pthread_once_t database_once = PTHREAD_ONCE_INIT;
static char *database_directory; /* owned, for the life of the process */
static char database_version[VERSION_TEXT_MAX] = "unknown";

static zone_t *zone_find(const char *name);
static bool zone_name_allowed(const char *name);
static errcode_t zone_file_read(tzif_t **file, const char *name, err_t *err);
static const zone_t *zone_add(tzif_t **file, const char *name);
static void database_prepare(void);
static int64_t offset_us(const zone_t *zone, int64_t at_us);
static int64_t instant_of(const zone_t *zone, int64_t day, int64_t us_of_day);
static int64_t unit_start(calendar_unit_t unit, int64_t day);
static int64_t unit_next(calendar_unit_t unit, int64_t start_day);
static int64_t within_range(int64_t at_us);

/* ------------------------------------------------------------------ dates */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/* Days since 1970-01-01. Years begin in March here, so the leap day is their last; 719,468 days lie
 * between 0000-03-01 and 1970-01-01, 146,097 in 400 years. */
static int64_t day_of(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = year - (month <= 2 ? 1 : 0);
    int64_t era = floor_div(shifted, 400);
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_of(int64_t day_number, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t shifted = day_number + 719468;
    int64_t era = floor_div(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;

    *day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    *month = shifted_month + (shifted_month < 10 ? 3 : -9);
    *year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* ------------------------------------------------------------------ zones */

errcode_t zone_open(const zone_t **zone, const char *name, err_t *err)
{
    bool utc = strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0;
    const zone_t *found = zone_find(name);
    tzif_t *file = NULL;

    if (found == NULL) {
        errcode_t rc = utc ? ERR_NONE : zone_file_read(&file, name, err);

        if (rc != ERR_NONE)
            return rc;
        found = zone_add(&file, name);
        tzif_destroy(&file); /* when another thread was faster */
    }
    *zone = found;
    return ERR_NONE;
}

const char *zone_database_version(void)
{
    INVARIANT(pthread_once(&database_once, database_prepare) == 0);
    return database_version;
}

static zone_t *zone_find(const char *name)
{
    zone_t *zone = atomic_load_explicit(&zones, memory_order_acquire);

    while (zone != NULL && strcmp(zone->name, name) != 0)
        zone = zone->next;
    return zone;
}

static const zone_t *zone_add(tzif_t **file, const char *name)
{
    zone_t *zone;

    INVARIANT(pthread_mutex_lock(&zones_lock) == 0);
    zone = zone_find(name);
    if (zone == NULL) {
        zone = memory_zalloc(sizeof *zone);
        zone->file = *file;
        *file = NULL;
        memcpy(zone->name, name, strlen(name) + 1);
        zone->next = atomic_load_explicit(&zones, memory_order_relaxed);
        atomic_store_explicit(&zones, zone, memory_order_release);
    }
    INVARIANT(pthread_mutex_unlock(&zones_lock) == 0);
    return zone;
}

/* The name becomes part of a path. Names of the IANA list begin with a capital; what else lies in
 * the directory (the host's own zone, tables, a second database with leap seconds) does not. */
static bool zone_name_allowed(const char *name)
{
    size_t n = strnlen(name, ZONE_NAME_MAX + 1);

    if (n < 1 || n > ZONE_NAME_MAX || name[0] < 'A' || name[0] > 'Z')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '_';
        bool slash = c == '/' && name[i + 1] != '/' && name[i + 1] != '\0';

        if (!letter && !other && !slash)
            return false;
    }
    return true;
}

/* The path of a file of the database, to be freed. */
static char *database_path(const char *name)
{
    size_t bytes = strlen(database_directory) + 1 + strlen(name) + 1;
    char *path = memory_alloc(bytes);

    (void)snprintf(path, bytes, "%s/%s", database_directory, name);
    return path;
}

static errcode_t zone_file_read(tzif_t **file, const char *name, err_t *err)
{
    errcode_t rc = ERR_NOT_FOUND;

    if (zone_name_allowed(name)) {
        INVARIANT(pthread_once(&database_once, database_prepare) == 0);
        char *path = database_path(name);
        rc = tzif_read(file, path, err);
        free(path);
    }
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_INVALID, "\"%.*s\" is no IANA time zone", ZONE_NAME_MAX, name);
    return rc;
}

/* The database in text form begins with a line like `# version 2026f`. */
static void database_version_read(void)
{
    char *path = database_path("tzdata.zi");
    FILE *file = fopen(path, "re");
    char text[VERSION_TEXT_MAX];
    char end;

    if (file != NULL) {
        if (fscanf(file, "# version %15[0-9A-Za-z.-]%c", text, &end) == 2 && end == '\n')
            memcpy(database_version, text, sizeof text);
        (void)fclose(file); /* was only read */
    }
    free(path);
}

static void database_prepare(void)
{
    const char *directory = getenv("TZDIR");

    if (directory == NULL || directory[0] == '\0')
        directory = DIRECTORY_DEFAULT;
    database_directory = memory_alloc(strlen(directory) + 1);
    memcpy(database_directory, directory, strlen(directory) + 1);
    database_version_read();
}

static int64_t offset_us(const zone_t *zone, int64_t at_us)
{
    if (zone->file == NULL)
        return 0;
    return tzif_offset(zone->file, floor_div(at_us, SECOND_US)) * SECOND_US;
}

/* The instant of a local time given as day number and microsecond of that day. */
static int64_t instant_of(const zone_t *zone, int64_t day, int64_t us_of_day)
{
    int64_t local_s = day * SECONDS_PER_DAY + us_of_day / SECOND_US;
    bool exists;

    if (zone->file == NULL)
        return day * DAY_US + us_of_day;
    int64_t at_s = tzif_instant(zone->file, local_s, &exists);
    /* In a gap the answer is the gap's end, to the microsecond. */
    return at_s * SECOND_US + (exists ? us_of_day % SECOND_US : 0);
}

/* ------------------------------------------------------------------ windows and steps */

/* Years 0001 to 9999 are what texts can name; everything is kept in there, so nothing can wrap. */
static int64_t within_range(int64_t at_us)
{
    int64_t first = day_of(1, 1, 1) * DAY_US;
    int64_t last = day_of(10000, 1, 1) * DAY_US - 1;

    return at_us < first ? first : at_us > last ? last : at_us;
}

static void split_local(const zone_t *zone, int64_t at_us, int64_t *day, int64_t *us_of_day)
{
    int64_t local_us = at_us + offset_us(zone, at_us);

    *day = floor_div(local_us, DAY_US);
    *us_of_day = local_us - *day * DAY_US;
}

void calendar_local(const zone_t *zone, int64_t at_us, civil_t *out)
{
    int64_t day, us, year, month, day_of_month;

    split_local(zone, within_range(at_us), &day, &us);
    date_of(day, &year, &month, &day_of_month);
    *out = (civil_t){.year = (int32_t)year,
                     .month = (uint8_t)month,
                     .day = (uint8_t)day_of_month,
                     .hour = (uint8_t)(us / (3600 * SECOND_US)),
                     .minute = (uint8_t)(us / (60 * SECOND_US) % 60),
                     .second = (uint8_t)(us / SECOND_US % 60),
                     .micros = (int32_t)(us % SECOND_US)};
}

int64_t calendar_instant(const zone_t *zone, const civil_t *local)
{
    int64_t seconds = local->hour * 3600 + local->minute * 60 + local->second;

    INVARIANT(local->month >= 1);
    INVARIANT(local->month <= MONTHS_PER_YEAR);
    INVARIANT(local->day >= 1);
    INVARIANT(local->day <= days_in_month(local->year, local->month));
    INVARIANT(seconds < SECONDS_PER_DAY);
    INVARIANT(local->micros >= 0);
    INVARIANT(local->micros < SECOND_US);
    int64_t day = day_of(local->year, local->month, local->day);
    int64_t first = day_of(1, 1, 1) - 1;
    int64_t last = day_of(10000, 1, 1);
    day = day < first ? first : day > last ? last : day;
    return within_range(instant_of(zone, day, seconds * SECOND_US + local->micros));
}

window_t calendar_window(const zone_t *zone, calendar_unit_t unit, int64_t at_us)
{
    int64_t at = within_range(at_us);
    int64_t day, us, start, next;
    window_t window;

    split_local(zone, at, &day, &us);
    start = unit_start(unit, day);
    next = unit_next(unit, start);
    window.from_us = instant_of(zone, start, 0);
    window.until_us = instant_of(zone, next, 0);
    /* Clocks that are set back across midnight show the old date again after the new one began
     * (St John's until 2011): such an instant belongs to the window that has begun. */
    while (at >= window.until_us) {
        next = unit_next(unit, next);
        window.from_us = window.until_us;
        window.until_us = instant_of(zone, next, 0);
    }
    return window;
}

int64_t calendar_add_months(const zone_t *zone, int64_t anchor_us, int months)
{
    int64_t day, us, year, month, day_of_month, count, length;

    if (months == 0)
        return within_range(anchor_us); /* also in the second of two equal local times */
    split_local(zone, within_range(anchor_us), &day, &us);
    date_of(day, &year, &month, &day_of_month);
    count = year * MONTHS_PER_YEAR + month - 1 + months;
    if (count < 0)
        return within_range(INT64_MIN);
    if (count >= YEARS_STEP_MAX * MONTHS_PER_YEAR + MONTHS_PER_YEAR)
        return within_range(INT64_MAX);
    year = count / MONTHS_PER_YEAR;
    month = count % MONTHS_PER_YEAR + 1;
    length = days_in_month(year, month);
    day_of_month = day_of_month > length ? length : day_of_month;
    return within_range(instant_of(zone, day_of(year, month, day_of_month), us));
}

int64_t calendar_add_days(const zone_t *zone, int64_t anchor_us, int days)
{
    int64_t day, us;
    int64_t first = day_of(1, 1, 1) - 1;
    int64_t last = day_of(10000, 1, 1);

    if (days == 0)
        return within_range(anchor_us);
    split_local(zone, within_range(anchor_us), &day, &us);
    day += days;
    if (day < first || day > last)
        return within_range(days < 0 ? INT64_MIN : INT64_MAX);
    return within_range(instant_of(zone, day, us));
}

static int64_t unit_start(calendar_unit_t unit, int64_t day)
{
    int64_t year, month, day_of_month;

    if (unit == UNIT_DAY)
        return day;
    if (unit == UNIT_WEEK)
        return floor_div(day + 3, 7) * 7 - 3; /* 1970-01-01 was a Thursday */
    date_of(day, &year, &month, &day_of_month);
    if (unit == UNIT_QUARTER)
        month = (month - 1) / 3 * 3 + 1;
    else if (unit == UNIT_HALF)
        month = (month - 1) / 6 * 6 + 1;
    else if (unit == UNIT_YEAR)
        month = 1;
    return day_of(year, month, 1);
}

static int64_t unit_next(calendar_unit_t unit, int64_t start_day)
{
    static const int8_t months[] = {
        [UNIT_MONTH] = 1, [UNIT_QUARTER] = 3, [UNIT_HALF] = 6, [UNIT_YEAR] = 12};
    int64_t year, month, day_of_month;

    INVARIANT((unsigned)unit < COUNT_OF(months));
    if (unit == UNIT_DAY || unit == UNIT_WEEK)
        return start_day + (unit == UNIT_DAY ? 1 : 7);
    date_of(start_day, &year, &month, &day_of_month);
    month += months[unit];
    return month > MONTHS_PER_YEAR ? day_of(year + 1, month - MONTHS_PER_YEAR, 1)
                                   : day_of(year, month, 1);
}

/* ------------------------------------------------------------------ text */

/* Exactly `digits` digits at *at; -1 and no move otherwise. */
static int take_number(const char *text, size_t bytes, size_t *at, size_t digits)
{
    int value = 0;

    if (bytes - *at < digits)
        return -1;
    for (size_t i = 0; i < digits; i++) {
        char c = text[*at + i];

        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *at += digits;
    return value;
}

static bool take_char(const char *text, size_t bytes, size_t *at, char wanted)
{
    if (*at >= bytes || text[*at] != wanted)
        return false;
    ++*at;
    return true;
}

/* `hh:mm` within a day. */
static bool take_hour_minute(const char *text, size_t bytes, size_t *at, int *minutes)
{
    int hour = take_number(text, bytes, at, 2);
    bool colon = take_char(text, bytes, at, ':');
    int minute = colon ? take_number(text, bytes, at, 2) : -1;

    *minutes = hour * 60 + minute;
    return hour >= 0 && hour < 24 && minute >= 0 && minute < 60;
}

/* `[:ss[.f to .ffffff]]` */
static bool take_seconds(const char *text, size_t bytes, size_t *at, int64_t *us)
{
    int64_t unit = SECOND_US;
    int second;
    int digit;

    *us = 0;
    if (!take_char(text, bytes, at, ':'))
        return true;
    second = take_number(text, bytes, at, 2);
    if (second < 0 || second > 59)
        return false;
    *us = second * SECOND_US;
    if (!take_char(text, bytes, at, '.'))
        return true;
    while (unit > 1 && (digit = take_number(text, bytes, at, 1)) >= 0) {
        unit /= 10;
        *us += digit * unit;
    }
    return unit < SECOND_US;
}

static bool take_offset(const char *text, size_t bytes, size_t *at, int *minutes)
{
    *minutes = 0;
    if (*at == bytes || take_char(text, bytes, at, 'Z'))
        return true;
    bool minus = take_char(text, bytes, at, '-');
    if (!minus && !take_char(text, bytes, at, '+'))
        return false;
    if (!take_hour_minute(text, bytes, at, minutes))
        return false;
    *minutes = minus ? -*minutes : *minutes;
    return true;
}

errcode_t instant_parse(int64_t *at_us, const char *text, size_t bytes, bool date_allowed,
                        err_t *err)
{
    size_t at = 0;
    int year = take_number(text, bytes, &at, 4);
    int month = take_char(text, bytes, &at, '-') ? take_number(text, bytes, &at, 2) : -1;
    int day = take_char(text, bytes, &at, '-') ? take_number(text, bytes, &at, 2) : -1;
    int minutes = 0;
    int offset = 0;
    int64_t us = 0;
    int64_t result;

    if (year < 1 || month < 1 || month > MONTHS_PER_YEAR || day < 1 ||
        day > days_in_month(year, month))
        return err_set(err, ERR_INVALID, "a date as YYYY-MM-DD is needed");
    if (at < bytes || !date_allowed) {
        if (!take_char(text, bytes, &at, 'T') || !take_hour_minute(text, bytes, &at, &minutes) ||
            !take_seconds(text, bytes, &at, &us) || !take_offset(text, bytes, &at, &offset) ||
            at != bytes)
            return err_set(
                err, ERR_INVALID,
                "a date and time as YYYY-MM-DDThh:mm[:ss[.ffffff]][Z or +hh:mm] is needed");
    }
    result = day_of(year, month, day) * DAY_US + (int64_t)(minutes - offset) * 60 * SECOND_US + us;
    if (result != within_range(result))
        return err_set(err, ERR_INVALID, "the instant is outside the years 0001 to 9999");
    *at_us = result;
    return ERR_NONE;
}

static char *put_number(char *out, int64_t value, int digits)
{
    for (int i = digits; i-- > 0; value /= 10)
        out[i] = (char)('0' + (int)(value % 10));
    return out + digits;
}

size_t instant_format(int64_t at_us, char out[INSTANT_TEXT_MAX])
{
    int64_t at = within_range(at_us);
    int64_t day_number = floor_div(at, DAY_US);
    int64_t us = at - day_number * DAY_US;
    int64_t year, month, day;
    char *end = out;

    date_of(day_number, &year, &month, &day);
    end = put_number(end, year, 4);
    *end++ = '-';
    end = put_number(end, month, 2);
    *end++ = '-';
    end = put_number(end, day, 2);
    *end++ = 'T';
    end = put_number(end, us / (3600 * SECOND_US), 2);
    *end++ = ':';
    end = put_number(end, us / (60 * SECOND_US) % 60, 2);
    *end++ = ':';
    end = put_number(end, us / SECOND_US % 60, 2);
    if (us % SECOND_US != 0) {
        *end++ = '.';
        end = put_number(end, us % SECOND_US, 6);
    }
    *end++ = 'Z';
    *end = '\0';
    return (size_t)(end - out);
}
