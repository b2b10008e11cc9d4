/* json_canonical.c - one form for all bodies that mean the same
 *
 * Numbers: the value's digits without needless zeros, in plain notation while that takes at most 64
 * digits (leading "0.00" included), else as <digits>e<exponent> with an integer that does not end in
 * zero. -0 is 0. An exponent of more than 15 digits is beyond any arithmetic here: such a number
 * stays as it was written. Equal values have equal forms in all other cases.
 */
#include "protocol/json.h"

#include <inttypes.h>
#include <stdlib.h>

#define PLAIN_DIGITS_MAX    64
#define EXPONENT_DIGITS_MAX 15
#define STACK_MEMBERS_MAX   16

typedef struct {
    const json_t *value;
    const char *name; /* after renaming */
    size_t name_bytes;
} member_t;

static const json_canonical_t no_rules = {.skip = NULL, .alias = NULL, .numeric = NULL};

static void write_object(buffer_t *out, const json_t *object, const json_canonical_t *rules,
                         arena_t *arena);
static void write_number(buffer_t *out, const char *text, size_t bytes);
static bool is_number(const char *text, size_t bytes);

void json_write_canonical(buffer_t *out, const json_t *value, const json_canonical_t *rules,
                          arena_t *arena)
{
    switch (value->type) {
    case JSON_OBJECT: write_object(out, value, rules == NULL ? &no_rules : rules, arena); return;
    case JSON_ARRAY:
        buffer_byte(out, '[');
        for (const json_t *child = value->child; child != NULL; child = child->next) {
            if (child != value->child)
                buffer_byte(out, ',');
            json_write_canonical(out, child, &no_rules, arena);
        }
        buffer_byte(out, ']');
        return;
    case JSON_NUMBER: write_number(out, value->text, value->text_bytes); return;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_STRING: json_write(out, value); return;
    }
}

static int compare_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = common == 0 ? 0 : memcmp(a, b, common);

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* Two members can share a name after renaming; their written names then decide. */
static int compare_members(const void *a, const void *b)
{
    const member_t *left = a;
    const member_t *right = b;
    int order = compare_bytes(left->name, left->name_bytes, right->name, right->name_bytes);

    if (order != 0)
        return order;
    return compare_bytes(left->value->name, left->value->name_bytes, right->value->name,
                         right->value->name_bytes);
}

static bool name_is(const char *name, size_t bytes, const char *text)
{
    return strlen(text) == bytes && memcmp(name, text, bytes) == 0;
}

static bool listed(const char *const *list, const char *name, size_t bytes)
{
    for (; list != NULL && *list != NULL; list++)
        if (name_is(name, bytes, *list))
            return true;
    return false;
}

static void write_object(buffer_t *out, const json_t *object, const json_canonical_t *rules,
                         arena_t *arena)
{
    member_t few[STACK_MEMBERS_MAX];
    member_t *members = few;
    size_t n = 0;

    if (object->count > STACK_MEMBERS_MAX) {
        members = arena_alloc(arena, object->count * sizeof *members);
        if (members == NULL) {
            out->failed = true;
            return;
        }
    }
    for (const json_t *value = object->child; value != NULL; value = value->next) {
        member_t member = {.value = value, .name = value->name, .name_bytes = value->name_bytes};

        for (size_t i = 0; rules->alias != NULL && rules->alias[i][0] != NULL; i++) {
            if (!name_is(value->name, value->name_bytes, rules->alias[i][0]))
                continue;
            member.name = rules->alias[i][1];
            member.name_bytes = strlen(member.name);
            break;
        }
        if (!listed(rules->skip, value->name, value->name_bytes) &&
            !listed(rules->skip, member.name, member.name_bytes))
            members[n++] = member;
    }
    qsort(members, n, sizeof *members, compare_members);
    buffer_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        const json_t *value = members[i].value;

        if (i > 0)
            buffer_byte(out, ',');
        json_write_string(out, members[i].name, members[i].name_bytes);
        buffer_byte(out, ':');
        if (value->type == JSON_STRING && is_number(value->text, value->text_bytes) &&
            (listed(rules->numeric, members[i].name, members[i].name_bytes) ||
             listed(rules->numeric, value->name, value->name_bytes)))
            write_number(out, value->text, value->text_bytes);
        else
            json_write_canonical(out, value, &no_rules, arena);
    }
    buffer_byte(out, '}');
}

/* ------------------------------------------------------------------ numbers */

static size_t digits_at(const char *text, size_t bytes, size_t at)
{
    size_t n = 0;

    while (at + n < bytes && text[at + n] >= '0' && text[at + n] <= '9')
        n++;
    return n;
}

/* The grammar of RFC 8259, and leading zeros, which texts for decimals may have. */
static bool is_number(const char *text, size_t bytes)
{
    size_t at = bytes > 0 && text[0] == '-' ? 1 : 0;
    size_t n = digits_at(text, bytes, at);

    if (n == 0)
        return false;
    at += n;
    if (at < bytes && text[at] == '.') {
        n = digits_at(text, bytes, at + 1);
        if (n == 0)
            return false;
        at += 1 + n;
    }
    if (at < bytes && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (at < bytes && (text[at] == '+' || text[at] == '-'))
            at++;
        n = digits_at(text, bytes, at);
        if (n == 0)
            return false;
        at += n;
    }
    return at == bytes;
}

/* The digits [from, until) of a mantissa whose point, if any, stands at index `point`. */
static void append_digits(buffer_t *out, const char *text, size_t from, size_t until, size_t point)
{
    if (from < point && point < until) {
        buffer_append(out, text + from, point - from);
        from = point + 1;
    }
    if (from < until)
        buffer_append(out, text + from, until - from);
}

static void append_zeros(buffer_t *out, int64_t n)
{
    static const char zeros[PLAIN_DIGITS_MAX + 1] =
        "0000000000000000000000000000000000000000000000000000000000000000";

    INVARIANT(n <= PLAIN_DIGITS_MAX);
    if (n > 0)
        buffer_append(out, zeros, (size_t)n);
}

static void write_number(buffer_t *out, const char *text, size_t bytes)
{
    bool negative = text[0] == '-';
    size_t from = negative ? 1 : 0;
    size_t until = from;     /* end of the mantissa */
    size_t point = SIZE_MAX; /* index of the point */
    size_t mantissa_end;
    int64_t exponent = 0;
    bool exponent_fits = true;

    for (; until < bytes && text[until] != 'e' && text[until] != 'E'; until++)
        if (text[until] == '.')
            point = until;
    mantissa_end = until;
    if (until < bytes) {
        size_t at = until + 1;
        bool minus = text[at] == '-';

        at += text[at] == '-' || text[at] == '+' ? 1 : 0;
        while (at < bytes && text[at] == '0')
            at++;
        exponent_fits = bytes - at <= EXPONENT_DIGITS_MAX;
        for (; exponent_fits && at < bytes; at++)
            exponent = exponent * 10 + (text[at] - '0');
        exponent = minus ? -exponent : exponent;
    }
    /* Outer zeros go; the point counts as one of them. */
    while (from < until && (text[from] == '0' || from == point))
        from++;
    if (from == until) {
        buffer_byte(out, '0');
        return;
    }
    while (text[until - 1] == '0' || until - 1 == point)
        until--;
    if (!exponent_fits) {
        buffer_append(out, text, bytes);
        return;
    }
    int64_t digits = (int64_t)(until - from) - (from < point && point < until ? 1 : 0);
    /* Value = digits as an integer x 10^exponent from here on. */
    if (point != SIZE_MAX && until > point)
        exponent -= (int64_t)(until - point - 1);
    else
        exponent += (int64_t)((point < mantissa_end ? point : mantissa_end) - until);
    if (negative)
        buffer_byte(out, '-');
    if (exponent >= 0 && digits + exponent <= PLAIN_DIGITS_MAX) {
        append_digits(out, text, from, until, point);
        append_zeros(out, exponent);
    } else if (exponent < 0 && -exponent < digits && digits <= PLAIN_DIGITS_MAX) {
        /* The new point falls inside the digits: find where, stepping over the old one. */
        size_t split = until;

        for (int64_t left = -exponent; left > 0;) {
            split--;
            if (split != point)
                left--;
        }
        append_digits(out, text, from, split, point);
        buffer_byte(out, '.');
        append_digits(out, text, split, until, point);
    } else if (exponent < 0 && digits <= -exponent && 1 - exponent <= PLAIN_DIGITS_MAX) {
        buffer_append(out, "0.", 2);
        append_zeros(out, -exponent - digits);
        append_digits(out, text, from, until, point);
    } else {
        append_digits(out, text, from, until, point);
        buffer_printf(out, "e%" PRId64, exponent);
    }
}
