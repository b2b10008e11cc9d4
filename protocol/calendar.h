/* calendar.h - calendar windows in IANA zones, and instants as text
 *
 * Contract   Instants are UTC microseconds, intervals half-open [from, until). Day, week (Monday), month,
 *            quarter, half, year are units of the zone: a day may last 23, 24 or 25 hours. A local time
 *            that does not exist is the first instant that does; one that happens twice is the first.
 *            Months are added from the anchor and clamped to the last day of the target month.
 * Threads    zone_open() and all functions may be called from any thread; a zone_t is immutable and
 *            cached for the life of the process.
 * Ownership  zone_open() lends; never freed by the caller.
 * Units      Microseconds since the Unix epoch.
 * Errors     ERR_INVALID for an unknown zone or malformed text. ERR_IO or ERR_CORRUPT when the file of a
 *            known zone cannot be read or used.
 */
#ifndef FEALTY_CALENDAR_H
#define FEALTY_CALENDAR_H

#include "protocol/error.h"

#define INSTANT_TEXT_MAX 32
#define SECOND_US        INT64_C(1000000)
#define DAY_US           (INT64_C(86400) * SECOND_US)

typedef struct zone zone_t;

typedef enum {
    UNIT_DAY,
    UNIT_WEEK,
    UNIT_MONTH,
    UNIT_QUARTER,
    UNIT_HALF,
    UNIT_YEAR
} calendar_unit_t;

typedef struct {
    int64_t from_us;
    int64_t until_us;
} window_t;

typedef struct {
    int32_t year;
    uint8_t month, day, hour, minute, second;
    int32_t micros;
} civil_t;

errcode_t zone_open(const zone_t **zone, const char *name, err_t *err);
const char *zone_database_version(void); /* */

void calendar_local(const zone_t *zone, int64_t at_us, civil_t *out);
int64_t calendar_instant(const zone_t *zone, const civil_t *local); /* */
window_t calendar_window(const zone_t *zone, calendar_unit_t unit, int64_t at_us);
int64_t calendar_add_months(const zone_t *zone, int64_t anchor_us, int months); /* */
int64_t calendar_add_days(const zone_t *zone, int64_t anchor_us,
                          int days); /* same local time */

/* `YYYY-MM-DDThh:mm[:ss[.ffffff]][Z|+hh:mm]`; naive = UTC; years 0001..9999; a bare date only when
 * allowed (midnight UTC). */
errcode_t instant_parse(int64_t *at_us, const char *text, size_t bytes, bool date_allowed,
                        err_t *err);
/* `YYYY-MM-DDThh:mm:ss[.ffffff]Z`: the fraction only when it is not zero, then six digits. */
size_t instant_format(int64_t at_us, char out[INSTANT_TEXT_MAX]);

#endif
