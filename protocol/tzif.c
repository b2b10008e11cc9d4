/* tzif.c - the reader of compiled time zone files
 *
 * A zone becomes two lists of steps: the changes the file lists, and those its rule makes in 400
 * years, after which the Gregorian calendar (and so the rule) repeats, weekdays included. A
 * question is then one binary search. The bytes come from outside: each count, index and character
 * is checked.
 */
#include "protocol/tzif.h"

#include "protocol/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES    44
#define CHANGES_MAX     2000 /* zones have up to about 250 */
#define TYPES_MAX       256
#define NAMES_BYTES_MAX 1024 /* all abbreviations of a zone */
#define RULE_BYTES_MAX  128
#define OFFSET_MAX      (26 * 3600) /* RFC 9636: from -24:59:59 to 25:59:59 */
#define SECONDS_PER_DAY INT64_C(86400)
#define CYCLE_DAYS      INT64_C(146097) /* in 400 years; 20,871 weeks */
#define CYCLE_S         (CYCLE_DAYS * SECONDS_PER_DAY)
#define CYCLE_STEPS_MAX 810 /* two a year, and the first */
#define INSTANT_MAX     (INT64_C(1) << 58)

/* From from_s until the next step begins, clocks are offset_s before UTC. */
typedef struct {
    int64_t from_s;
    int32_t offset_s;
} step_t;

typedef struct {
    step_t *steps; /* owned; ascending, the first begins before all that is asked for */
    size_t count;
    size_t max;
} steps_t;

struct tzif {
    steps_t listed;       /* the first from INT64_MIN */
    steps_t cycle;        /* from 0 = 1970 to CYCLE_S; empty when clocks change no more */
    int64_t cycle_from_s; /* where the cycle takes over */
};

typedef struct {
    int64_t from_s;
    int64_t until_s;
    int64_t offset_s;
} segment_t;

/* ------------------------------------------------------------------ questions */

/* The last step that begins at at_s or before. */
static size_t step_at(const steps_t *self, int64_t at_s)
{
    const step_t *low = self->steps;
    size_t count = self->count;

    while (count > 1) {
        size_t half = count / 2;

        low = low[half].from_s <= at_s ? low + half : low;
        count -= half;
    }
    return (size_t)(low - self->steps);
}

static segment_t segment_at(const tzif_t *self, int64_t at_s)
{
    if (self->cycle.count > 0 && at_s >= self->cycle_from_s) {
        const step_t *steps = self->cycle.steps;
        int64_t within = at_s % CYCLE_S + (at_s % CYCLE_S < 0 ? CYCLE_S : 0);
        int64_t base = at_s - within;
        size_t i = step_at(&self->cycle, within);
        int64_t from_s = base + steps[i].from_s;

        return (segment_t){.from_s = from_s > self->cycle_from_s ? from_s : self->cycle_from_s,
                           .until_s =
                               base + (i + 1 < self->cycle.count ? steps[i + 1].from_s : CYCLE_S),
                           .offset_s = steps[i].offset_s};
    }
    const step_t *steps = self->listed.steps;
    size_t i = step_at(&self->listed, at_s);
    int64_t end_s = self->cycle.count > 0 ? self->cycle_from_s : INT64_MAX;

    return (segment_t){.from_s = steps[i].from_s,
                       .until_s = i + 1 < self->listed.count ? steps[i + 1].from_s : end_s,
                       .offset_s = steps[i].offset_s};
}

static int64_t clamp(int64_t at_s)
{
    return at_s < -INSTANT_MAX ? -INSTANT_MAX : at_s > INSTANT_MAX ? INSTANT_MAX : at_s;
}

int64_t tzif_offset(const tzif_t *self, int64_t at_s)
{
    return segment_at(self, clamp(at_s)).offset_s;
}

int64_t tzif_instant(const tzif_t *self, int64_t local_s, bool *exists)
{
    int64_t local = clamp(local_s);
    /* No clock is so far ahead that it showed this, or more, any earlier. */
    segment_t segment = segment_at(self, local - OFFSET_MAX);
    int64_t at_s;

    for (;;) {
        at_s = local - segment.offset_s;
        if (at_s < segment.until_s)
            break;
        segment = segment_at(self, segment.until_s);
    }
    *exists = at_s >= segment.from_s;
    return *exists ? at_s : segment.from_s;
}

/* ------------------------------------------------------------------ lists of steps */

static void steps_allocate(steps_t *self, size_t max)
{
    self->steps = memory_alloc(max * sizeof *self->steps);
    self->count = 0;
    self->max = max;
}

/* Steps come in order, but a later one may undo those that would begin at its time or after it.
 * A step that changes nothing is none. */
static void steps_push(steps_t *self, int64_t from_s, int32_t offset_s)
{
    while (self->count > 0 && self->steps[self->count - 1].from_s >= from_s)
        self->count--;
    if (self->count > 0 && self->steps[self->count - 1].offset_s == offset_s)
        return;
    INVARIANT(self->count < self->max);
    self->steps[self->count++] = (step_t){.from_s = from_s, .offset_s = offset_s};
}

/* ------------------------------------------------------------------ the rule (POSIX TZ string) */

typedef struct {
    const char *at;
    const char *end;
} cursor_t;

typedef enum {
    DAY_WITHOUT_LEAP, /* Jn: 1 to 365, 29 February is never counted */
    DAY_OF_YEAR,      /* n: 0 to 365 */
    DAY_OF_MONTH      /* Mm.w.d: week w's weekday d of month m; week 5 is the last */
} day_kind_t;

typedef struct {
    day_kind_t kind;
    int day; /* or weekday, 0 = Sunday */
    int week;
    int month;
    int32_t time_s; /* local time of that day, from -167 to 167 hours */
} change_t;

typedef struct {
    int32_t standard_s; /* offsets */
    int32_t summer_s;
    bool has_summer;
    change_t start; /* of summer time */
    change_t end;
} rule_t;

static bool take(cursor_t *self, char wanted)
{
    if (self->at == self->end || *self->at != wanted)
        return false;
    self->at++;
    return true;
}

/* Up to so many digits, a value of at most max; -1 otherwise. */
static int take_number(cursor_t *self, int digits, int max)
{
    int value = -1;

    for (; digits > 0 && self->at < self->end && *self->at >= '0' && *self->at <= '9'; digits--)
        value = (value < 0 ? 0 : value) * 10 + (*self->at++ - '0');
    return value <= max ? value : -1;
}

/* Three letters or more, or <letters, digits, signs>. */
static bool take_name(cursor_t *self)
{
    bool quoted = take(self, '<');
    const char *start = self->at;

    for (; self->at < self->end; self->at++) {
        char c = *self->at;
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool other = (c >= '0' && c <= '9') || c == '+' || c == '-';

        if (!letter && !(quoted && other))
            break;
    }
    return self->at - start >= 3 && (!quoted || take(self, '>'));
}

/* [+-]h[:mm[:ss]] */
static bool take_time(cursor_t *self, int hours_max, int32_t *seconds)
{
    bool minus = take(self, '-');
    int minutes = 0;
    int rest = 0;

    if (!minus)
        (void)take(self, '+');
    int hours = take_number(self, hours_max > 99 ? 3 : 2, hours_max);
    if (hours >= 0 && take(self, ':')) {
        minutes = take_number(self, 2, 59);
        if (minutes >= 0 && take(self, ':'))
            rest = take_number(self, 2, 59);
    }
    *seconds = (hours * 3600 + minutes * 60 + rest) * (minus ? -1 : 1);
    return hours >= 0 && minutes >= 0 && rest >= 0;
}

static bool take_change(cursor_t *self, change_t *out)
{
    *out = (change_t){.kind = DAY_OF_YEAR, .time_s = 2 * 3600};
    if (take(self, 'M')) {
        out->kind = DAY_OF_MONTH;
        out->month = take_number(self, 2, 12);
        out->week = take(self, '.') ? take_number(self, 1, 5) : -1;
        out->day = take(self, '.') ? take_number(self, 1, 6) : -1;
        if (out->month < 1 || out->week < 1 || out->day < 0)
            return false;
    } else {
        out->kind = take(self, 'J') ? DAY_WITHOUT_LEAP : DAY_OF_YEAR;
        out->day = take_number(self, 3, 365);
        if (out->day < (out->kind == DAY_WITHOUT_LEAP ? 1 : 0))
            return false;
    }
    return !take(self, '/') || take_time(self, 167, &out->time_s);
}

/* `name offset [name [offset] , change , change]`; offsets count from UTC to the west. */
static bool rule_parse(rule_t *out, const char *text, size_t n)
{
    cursor_t cursor = {.at = text, .end = text + n};
    int32_t west;

    *out = (rule_t){0};
    if (!take_name(&cursor) || !take_time(&cursor, 24, &west))
        return false;
    out->standard_s = -west;
    if (cursor.at == cursor.end)
        return true;
    out->has_summer = true;
    if (!take_name(&cursor))
        return false;
    out->summer_s = out->standard_s + 3600;
    if (!take(&cursor, ',')) {
        if (!take_time(&cursor, 24, &west) || !take(&cursor, ','))
            return false;
        out->summer_s = -west;
    }
    return take_change(&cursor, &out->start) && take(&cursor, ',') &&
           take_change(&cursor, &out->end) && cursor.at == cursor.end;
}

/* The instant of a change in the year that begins on this day (since 1970-01-01), for clocks that
 * are offset_s before UTC until then. */
static int64_t change_at(const change_t *self, int64_t year_day, bool leap, int32_t offset_s)
{
    static const int16_t month_starts[] = {0,   31,  59,  90,  120, 151, 181,
                                           212, 243, 273, 304, 334, 365};
    int64_t day = year_day + self->day;

    if (self->kind == DAY_WITHOUT_LEAP) {
        day += leap && self->day >= 60 ? 0 : -1; /* 60 is 1 March */
    } else if (self->kind == DAY_OF_MONTH) {
        int64_t first = year_day + month_starts[self->month - 1] + (leap && self->month > 2);
        int64_t next = year_day + month_starts[self->month] + (leap && self->month >= 2);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */

        day = first + (self->day - weekday + 7) % 7 + (self->week - 1) * 7;
        day -= day >= next ? 7 : 0;
    }
    return day * SECONDS_PER_DAY + self->time_s - offset_s;
}

static void cycle_push(steps_t *cycle, int64_t at_s, int32_t offset_s)
{
    if (at_s < CYCLE_S)
        steps_push(cycle, at_s < 0 ? 0 : at_s, offset_s);
}

/* Summer time lasts from its start to the next end, of this year or, south of the equator, the
 * next. When it ends only as the next begins (or later) it lasts for ever. Times may reach a week
 * into other years, so the cycle is begun two years early and ended a year late. */
static void rule_unroll(const rule_t *self, steps_t *cycle)
{
    int64_t year_day = -2 * 365 - 1; /* 1968-01-01 */

    steps_allocate(cycle, CYCLE_STEPS_MAX);
    cycle_push(cycle, 0, self->standard_s);
    for (int year = 1968; year <= 2370; year++) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        bool next_leap = (year + 1) % 4 == 0 && ((year + 1) % 100 != 0 || (year + 1) % 400 == 0);
        int64_t next_day = year_day + (leap ? 366 : 365);
        int64_t start_s = change_at(&self->start, year_day, leap, self->standard_s);
        int64_t end_s = change_at(&self->end, year_day, leap, self->summer_s);

        if (end_s <= start_s)
            end_s = change_at(&self->end, next_day, next_leap, self->summer_s);
        if (end_s > start_s) {
            cycle_push(cycle, start_s, self->summer_s);
            cycle_push(cycle, end_s, self->standard_s);
        }
        year_day = next_day;
    }
}

/* ------------------------------------------------------------------ the file */

/* Counts of a block, in the header's order. */
typedef struct {
    uint32_t ut_marks;
    uint32_t standard_marks;
    uint32_t leap_seconds;
    uint32_t changes;
    uint32_t types;
    uint32_t name_bytes;
} counts_t;

/* Where the parts of a block begin. */
typedef struct {
    const uint8_t *times;
    const uint8_t *kinds;
    const uint8_t *types;
    const uint8_t *names;
    const uint8_t *marks;
    const uint8_t *end;
} block_t;

static uint32_t number_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t number_64(const uint8_t *at)
{
    return (int64_t)((uint64_t)number_32(at) << 32 | number_32(at + 4));
}

/* A header of version 2 or later. Version 1 has no rule and ends in 2038. */
static bool header_read(counts_t *out, const uint8_t *at, size_t n)
{
    if (n < HEADER_BYTES || memcmp(at, "TZif", 4) != 0 || at[4] < '2')
        return false;
    *out = (counts_t){.ut_marks = number_32(at + 20),
                      .standard_marks = number_32(at + 24),
                      .leap_seconds = number_32(at + 28),
                      .changes = number_32(at + 32),
                      .types = number_32(at + 36),
                      .name_bytes = number_32(at + 40)};
    return true;
}

static uint64_t block_bytes(const counts_t *self, unsigned time_bytes)
{
    return (uint64_t)self->changes * (time_bytes + 1) + (uint64_t)self->types * 6 +
           self->name_bytes + (uint64_t)self->leap_seconds * (time_bytes + 4) +
           self->standard_marks + self->ut_marks;
}

/* What is wrong with the counts of the block that is used; NULL for nothing. */
static const char *counts_problem(const counts_t *self)
{
    if (self->leap_seconds != 0)
        return "it counts leap seconds";
    if (self->changes > CHANGES_MAX)
        return "it lists too many changes";
    if (self->types < 1 || self->types > TYPES_MAX)
        return "its number of local time types is out of range";
    if (self->name_bytes < 1 || self->name_bytes > NAMES_BYTES_MAX)
        return "its abbreviations are out of range";
    if ((self->standard_marks != 0 && self->standard_marks != self->types) ||
        (self->ut_marks != 0 && self->ut_marks != self->types))
        return "its marks do not fit its local time types";
    return NULL;
}

static int32_t type_offset(const block_t *self, size_t type)
{
    return (int32_t)number_32(self->types + 6 * type);
}

static const char *types_problem(const block_t *self, const counts_t *counts)
{
    if (self->names[counts->name_bytes - 1] != '\0')
        return "its abbreviations do not end";
    for (size_t i = 0; i < counts->types; i++) {
        const uint8_t *type = self->types + 6 * i;

        if (type_offset(self, i) <= -OFFSET_MAX || type_offset(self, i) >= OFFSET_MAX)
            return "an offset from UTC is out of range";
        if (type[4] > 1 || type[5] >= counts->name_bytes)
            return "a local time type is malformed";
    }
    for (const uint8_t *mark = self->marks; mark < self->end; mark++)
        if (*mark > 1)
            return "a mark is neither 0 nor 1";
    return NULL;
}

static const char *changes_problem(const block_t *self, const counts_t *counts)
{
    for (size_t i = 0; i < counts->changes; i++) {
        if (self->kinds[i] >= counts->types)
            return "a change leads to a local time type that is not there";
        if (i > 0 && number_64(self->times + 8 * i) <= number_64(self->times + 8 * (i - 1)))
            return "its changes are not in order";
    }
    return NULL;
}

/* `\n` rule `\n`. Later versions of the format may append to that. */
static const char *rule_problem(rule_t *rule, bool *has_rule, const uint8_t *at, size_t n)
{
    const uint8_t *end = n < 2 ? NULL : memchr(at + 1, '\n', n - 1);

    if (end == NULL || *at != '\n')
        return "its rule for later times is cut short";
    size_t length = (size_t)(end - at - 1);
    *has_rule = length > 0;
    if (length > RULE_BYTES_MAX || (length > 0 && !rule_parse(rule, (const char *)at + 1, length)))
        return "its rule for later times is malformed";
    return NULL;
}

static tzif_t *tzif_build(const block_t *block, const counts_t *counts, const rule_t *rule)
{
    tzif_t *self = memory_zalloc(sizeof *self);

    self->cycle_from_s = INT64_MIN;
    steps_allocate(&self->listed, (size_t)counts->changes + 2);
    steps_push(&self->listed, INT64_MIN, type_offset(block, 0));
    for (size_t i = 0; i < counts->changes; i++) {
        self->cycle_from_s = number_64(block->times + 8 * i);
        steps_push(&self->listed, self->cycle_from_s, type_offset(block, block->kinds[i]));
    }
    if (rule != NULL && rule->has_summer)
        rule_unroll(rule, &self->cycle);
    else if (rule != NULL)
        steps_push(&self->listed, self->cycle_from_s, rule->standard_s);
    return self;
}

errcode_t tzif_parse(tzif_t **self_p, const uint8_t *bytes, size_t n, err_t *err)
{
    const char *problem = NULL;
    bool has_rule = false;
    counts_t counts;
    block_t block;
    rule_t rule;

    if (n > TZIF_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "the time zone file is too large");
    if (!header_read(&counts, bytes, n))
        return err_set(err, ERR_CORRUPT, "this is no time zone file of version 2 or later");
    /* The first block has 32-bit times, for old readers. */
    if (block_bytes(&counts, 4) > n - HEADER_BYTES)
        return err_set(err, ERR_CORRUPT, "the time zone file is cut short");
    size_t skipped = HEADER_BYTES + (size_t)block_bytes(&counts, 4);
    bytes += skipped;
    n -= skipped;
    if (!header_read(&counts, bytes, n) || block_bytes(&counts, 8) > n - HEADER_BYTES)
        return err_set(err, ERR_CORRUPT, "the time zone file is cut short");
    problem = counts_problem(&counts);
    if (problem != NULL)
        return err_set(err, ERR_CORRUPT, "the time zone file cannot be used: %s", problem);
    block.times = bytes + HEADER_BYTES;
    block.kinds = block.times + (size_t)counts.changes * 8;
    block.types = block.kinds + counts.changes;
    block.names = block.types + (size_t)counts.types * 6;
    block.marks = block.names + counts.name_bytes;
    block.end = block.marks + counts.standard_marks + counts.ut_marks;
    problem = types_problem(&block, &counts);
    if (problem == NULL)
        problem = changes_problem(&block, &counts);
    if (problem == NULL)
        problem = rule_problem(&rule, &has_rule, block.end, n - (size_t)(block.end - bytes));
    if (problem != NULL)
        return err_set(err, ERR_CORRUPT, "the time zone file cannot be used: %s", problem);
    *self_p = tzif_build(&block, &counts, has_rule ? &rule : NULL);
    return ERR_NONE;
}

void tzif_destroy(tzif_t **self_p)
{
    tzif_t *self = *self_p;

    if (self == NULL)
        return;
    free(self->listed.steps);
    free(self->cycle.steps);
    free(self);
    *self_p = NULL;
}

static errcode_t read_all(int file, uint8_t *bytes, size_t max, size_t *n, err_t *err)
{
    *n = 0;
    while (*n < max) {
        ssize_t got = read(file, bytes + *n, max - *n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, "a time zone file cannot be read: %s", strerror(errno));
        if (got == 0)
            break;
        *n += (size_t)got;
    }
    return ERR_NONE;
}

errcode_t tzif_read(tzif_t **self_p, const char *path, err_t *err)
{
    uint8_t *bytes = NULL;
    struct stat status;
    size_t n;
    errcode_t rc;
    /* Opening a pipe would wait for a writer. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0) {
        bool none = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP;

        return err_set(err, none ? ERR_NOT_FOUND : ERR_IO, "%s cannot be opened: %s", path,
                       strerror(errno));
    }
    if (fstat(file, &status) != 0) {
        rc = err_set(err, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
        goto cleanup;
    }
    if (!S_ISREG(status.st_mode)) {
        rc = err_set(err, ERR_NOT_FOUND, "%s is no file", path);
        goto cleanup;
    }
    bytes = memory_alloc(TZIF_BYTES_MAX + 1);
    rc = read_all(file, bytes, TZIF_BYTES_MAX + 1, &n, err);
    if (rc == ERR_NONE)
        rc = tzif_parse(self_p, bytes, n, err);

cleanup:
    free(bytes);
    (void)close(file);
    return rc;
}
