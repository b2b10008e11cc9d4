/* tzif.h - compiled time zone files (TZif, RFC 9636): how far local clocks are from UTC, and when
 *
 * Contract   Reads versions 2 and later: the block of 64-bit times, and the rule at the end of the
 *            file (a POSIX TZ string) for instants from the last listed change on. Files with leap
 *            seconds are refused: instants here are POSIX time. Only offsets are kept, no names.
 * Threads    A tzif_t is immutable; any thread may use it.
 * Ownership  tzif_parse() and tzif_read() give; tzif_destroy() takes, accepts NULL. Bytes are not
 *            kept.
 * Units      Seconds since the Unix epoch; a local time is the seconds that UTC would have counted
 *            when it showed the same. Offsets are seconds east of UTC, less than 26 hours. What is
 *            beyond 2^58 seconds is taken for 2^58.
 * Errors     ERR_NOT_FOUND: no such file. ERR_IO: it cannot be read. ERR_CORRUPT: its bytes are no
 *            zone.
 */
#ifndef FEALTY_TZIF_H
#define FEALTY_TZIF_H

#include "protocol/error.h"

#define TZIF_BYTES_MAX ((size_t)64 * 1024) /* the largest in use have about 5,000 */

typedef struct tzif tzif_t;

errcode_t tzif_parse(tzif_t **self_p, const uint8_t *bytes, size_t n, err_t *err);
errcode_t tzif_read(tzif_t **self_p, const char *path, err_t *err);
void tzif_destroy(tzif_t **self_p);

int64_t tzif_offset(const tzif_t *self, int64_t at_s);

/* The first instant at which local clocks show local_s or more. They show exactly local_s then,
 * unless clocks skipped it: exists is false and the answer is the moment they did. */
int64_t tzif_instant(const tzif_t *self, int64_t local_s, bool *exists);

#endif
