/* json.c - one pass over the text builds a tree in an arena; numbers stay text
 *
 * The writers are in the second half; the canonical form is in json_canonical.c.
 */
#include "protocol/json.h"

#include <inttypes.h>
#include <stdlib.h>

/* Up to here new members are compared with all before them, above it names are sorted once: a body
 * with very many members must not cost the square of their number. */
#define LINEAR_MEMBERS_MAX 16

typedef struct {
    const char *start;
    const char *at;
    const char *end;
    arena_t *arena;
    err_t *err;
    errcode_t rc; /* stays at the first fault */
} reader_t;

static bool read_value(reader_t *in, json_t *value, int depth);
static bool read_array(reader_t *in, json_t *array, int depth);
static bool read_object(reader_t *in, json_t *object, int depth);
static bool read_literal(reader_t *in, json_t *value, const char *word, json_type_t type);
static bool read_number(reader_t *in, json_t *value);
static bool read_string(reader_t *in, const char **text, uint32_t *bytes);
static bool fault(reader_t *in, const char *at, const char *what);

/* What ends the quick walk over a string: a quote, a backslash, a control, anything not ASCII. */
static inline bool is_special(char c)
{
    return (unsigned char)(c - 0x20) >= 0x60 || c == '"' || c == '\\';
}

static inline bool is_digit(const reader_t *in, const char *at)
{
    return at < in->end && *at >= '0' && *at <= '9';
}

static inline void skip_blanks(reader_t *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t'))
        in->at++;
}

errcode_t json_parse(json_t **root, arena_t *arena, const char *text, size_t bytes, err_t *err)
{
    reader_t in = {.start = text, .at = text, .end = text + bytes, .arena = arena, .err = err};
    json_t *value;

    if (bytes > UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, NULL);
    value = arena_alloc(arena, sizeof *value);
    if (value == NULL)
        return err_set(err, ERR_TOO_LARGE, NULL);
    *value = (json_t){.type = JSON_NULL};
    skip_blanks(&in);
    if (!read_value(&in, value, 0))
        return in.rc;
    skip_blanks(&in);
    if (in.at != in.end) {
        (void)fault(&in, in.at, "nothing may follow the value");
        return in.rc;
    }
    *root = value;
    return ERR_NONE;
}

/* Nesting is bounded, so recursion is. */
static bool read_value(reader_t *in, json_t *value, int depth)
{
    if (in->at == in->end)
        return fault(in, in->at, "a value is missing");
    switch (*in->at) {
    case '{': return read_object(in, value, depth + 1);
    case '[': return read_array(in, value, depth + 1);
    case '"': value->type = JSON_STRING; return read_string(in, &value->text, &value->text_bytes);
    case 't': return read_literal(in, value, "true", JSON_TRUE);
    case 'f': return read_literal(in, value, "false", JSON_FALSE);
    case 'n': return read_literal(in, value, "null", JSON_NULL);
    default: return read_number(in, value);
    }
}

static json_t *append_child(reader_t *in, json_t *parent, json_t *last)
{
    json_t *child = arena_alloc(in->arena, sizeof *child);

    if (child == NULL) {
        in->rc = err_set(in->err, ERR_TOO_LARGE, NULL);
        return NULL;
    }
    *child = (json_t){.type = JSON_NULL};
    if (last == NULL)
        parent->child = child;
    else
        last->next = child;
    parent->count++;
    return child;
}

static bool read_array(reader_t *in, json_t *array, int depth)
{
    json_t *last = NULL;

    if (depth > JSON_DEPTH_MAX)
        return fault(in, in->at, "nested too deeply");
    array->type = JSON_ARRAY;
    in->at++;
    skip_blanks(in);
    if (in->at < in->end && *in->at == ']') {
        in->at++;
        return true;
    }
    for (;;) {
        last = append_child(in, array, last);
        if (last == NULL || !read_value(in, last, depth))
            return false;
        skip_blanks(in);
        if (in->at < in->end && *in->at == ',') {
            in->at++;
            skip_blanks(in);
            continue;
        }
        if (in->at < in->end && *in->at == ']') {
            in->at++;
            return true;
        }
        return fault(in, in->at, "a comma or ] is missing");
    }
}

static int compare_names(const json_t *a, const json_t *b)
{
    uint32_t common = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    int order = common == 0 ? 0 : memcmp(a->name, b->name, common);

    return order != 0 ? order : (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
}

static int compare_members(const void *a, const void *b)
{
    return compare_names(*(const json_t *const *)a, *(const json_t *const *)b);
}

static bool name_is_new(const json_t *object, const json_t *member)
{
    for (const json_t *other = object->child; other != member; other = other->next)
        if (other->name_bytes == member->name_bytes &&
            memcmp(other->name, member->name, member->name_bytes) == 0)
            return false;
    return true;
}

static bool names_are_distinct(reader_t *in, const json_t *object, const char *opened_at)
{
    size_t each = sizeof(json_t *); /* NOLINT(bugprone-sizeof-expression): pointers are sorted */
    const json_t **sorted = arena_alloc(in->arena, object->count * each);
    size_t n = 0;

    if (sorted == NULL) {
        in->rc = err_set(in->err, ERR_TOO_LARGE, NULL);
        return false;
    }
    for (const json_t *member = object->child; member != NULL; member = member->next)
        sorted[n++] = member;
    qsort(sorted, n, each, compare_members);
    for (size_t i = 1; i < n; i++)
        if (compare_names(sorted[i - 1], sorted[i]) == 0)
            return fault(in, opened_at, "a member of this object is given twice");
    return true;
}

static bool read_object(reader_t *in, json_t *object, int depth)
{
    const char *opened_at = in->at;
    json_t *last = NULL;

    if (depth > JSON_DEPTH_MAX)
        return fault(in, in->at, "nested too deeply");
    object->type = JSON_OBJECT;
    in->at++;
    skip_blanks(in);
    if (in->at < in->end && *in->at == '}') {
        in->at++;
        return true;
    }
    for (;;) {
        const char *name_at = in->at;

        if (in->at == in->end || *in->at != '"')
            return fault(in, in->at, "a member name in quotes is missing");
        last = append_child(in, object, last);
        if (last == NULL || !read_string(in, &last->name, &last->name_bytes))
            return false;
        if (object->count <= LINEAR_MEMBERS_MAX && !name_is_new(object, last))
            return fault(in, name_at, "this member is given twice");
        skip_blanks(in);
        if (in->at == in->end || *in->at != ':')
            return fault(in, in->at, "a colon is missing");
        in->at++;
        skip_blanks(in);
        if (!read_value(in, last, depth))
            return false;
        skip_blanks(in);
        if (in->at < in->end && *in->at == ',') {
            in->at++;
            skip_blanks(in);
            continue;
        }
        if (in->at == in->end || *in->at != '}')
            return fault(in, in->at, "a comma or } is missing");
        in->at++;
        return object->count <= LINEAR_MEMBERS_MAX || names_are_distinct(in, object, opened_at);
    }
}

static bool read_literal(reader_t *in, json_t *value, const char *word, json_type_t type)
{
    size_t n = strlen(word);

    if ((size_t)(in->end - in->at) < n || memcmp(in->at, word, n) != 0)
        return fault(in, in->at, "a value is missing");
    value->type = type;
    in->at += n;
    return true;
}

static bool read_number(reader_t *in, json_t *value)
{
    const char *start = in->at;
    const char *at = start;

    if (*at == '-')
        at++;
    if (!is_digit(in, at))
        return fault(in, start, at == start ? "a value is missing" : "a number needs a digit");
    if (*at == '0')
        at++;
    else
        while (is_digit(in, at))
            at++;
    if (is_digit(in, at))
        return fault(in, start, "a number has no leading zeros");
    if (at < in->end && *at == '.') {
        at++;
        if (!is_digit(in, at))
            return fault(in, at, "a digit must follow the point");
        while (is_digit(in, at))
            at++;
    }
    if (at < in->end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < in->end && (*at == '+' || *at == '-'))
            at++;
        if (!is_digit(in, at))
            return fault(in, at, "the exponent needs a digit");
        while (is_digit(in, at))
            at++;
    }
    value->type = JSON_NUMBER;
    value->text = start;
    value->text_bytes = (uint32_t)(at - start);
    in->at = at;
    return true;
}

/* ------------------------------------------------------------------ strings */

/* Length of the valid UTF-8 sequence at `at`, 0 when there is none (overlong forms, surrogates and
 * everything above U+10FFFF are none). */
static size_t utf8_length(const char *text, const char *end)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t n;

    if (left == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        n = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        n = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (at[0] == 0xe0)
        low = 0xa0;
    else if (at[0] == 0xed)
        high = 0x9f;
    else if (at[0] == 0xf0)
        low = 0x90;
    else if (at[0] == 0xf4)
        high = 0x8f;
    if (left < n || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* The four hexadecimal digits of \uXXXX, or -1. */
static int hex4(const char *at, const char *end)
{
    int value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];

        if (c >= '0' && c <= '9')
            value = value << 4 | (c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            value = value << 4 | (c - 'A' + 10);
        else
            return -1;
    }
    return value;
}

static size_t utf8_put(char *out, int code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The cursor stands behind the backslash. Writes at most as many bytes as the escape has. */
static size_t read_escape(reader_t *in, char *out)
{
    static const char plain[][2] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                                    {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
    const char *escape_at = in->at - 1;

    if (in->at < in->end && *in->at == 'u') {
        const char *next = in->at + 5; /* only looked at when the four digits are there */
        int code = hex4(in->at + 1, in->end);

        if (code >= 0xd800 && code <= 0xdbff) {
            /* Half a character; the other half has to follow at once. */
            int low = in->end - next >= 6 && next[0] == '\\' && next[1] == 'u'
                          ? hex4(next + 2, in->end)
                          : -1;

            next += 6;
            code = low >= 0xdc00 && low <= 0xdfff
                       ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                       : -1;
        } else if (code >= 0xdc00 && code <= 0xdfff) {
            code = -1;
        }
        if (code >= 0) {
            in->at = next;
            return utf8_put(out, code);
        }
    } else if (in->at < in->end) {
        for (size_t i = 0; i < COUNT_OF(plain); i++) {
            if (plain[i][0] != *in->at)
                continue;
            *out = plain[i][1];
            in->at++;
            return 1;
        }
    }
    (void)fault(in, escape_at, "this escape means no character");
    return 0;
}

/* Without escapes the text is lent from the input; with them it is decoded into the arena. */
static bool read_string(reader_t *in, const char **text, uint32_t *bytes)
{
    const char *start = in->at + 1;
    char *decoded = NULL;
    size_t n = 0;

    in->at = start;
    for (;;) {
        const char *run = in->at;
        size_t width;

        while (in->at < in->end && !is_special(*in->at))
            in->at++;
        while (in->at < in->end && (unsigned char)*in->at >= 0x80) {
            width = utf8_length(in->at, in->end);
            if (width == 0)
                return fault(in, in->at, "this is not UTF-8");
            in->at += width;
        }
        if (decoded != NULL && in->at > run) {
            memcpy(decoded + n, run, (size_t)(in->at - run));
            n += (size_t)(in->at - run);
        }
        if (in->at == in->end)
            return fault(in, start - 1, "this string does not end");
        if (*in->at == '"')
            break;
        if ((unsigned char)*in->at < 0x20)
            return fault(in, in->at, "control characters must be escaped");
        if (*in->at != '\\')
            continue;
        if (decoded == NULL) {
            /* The decoded text is shorter than what is left up to the closing quote. */
            const char *quote = in->at;

            while (quote < in->end && *quote != '"')
                quote += *quote == '\\' && quote + 1 < in->end ? 2 : 1;
            decoded = arena_alloc(in->arena, (size_t)(quote - start));
            if (decoded == NULL) {
                in->rc = err_set(in->err, ERR_TOO_LARGE, NULL);
                return false;
            }
            n = (size_t)(in->at - start);
            memcpy(decoded, start, n);
        }
        in->at++;
        width = read_escape(in, decoded + n);
        if (width == 0)
            return false;
        n += width;
    }
    *text = decoded != NULL ? decoded : start;
    *bytes = decoded != NULL ? (uint32_t)n : (uint32_t)(in->at - start);
    in->at++;
    return true;
}

/* Line and column count from 1; a column is a character, not a byte. */
static bool fault(reader_t *in, const char *at, const char *what)
{
    size_t line = 1;
    size_t column = 1;

    for (const char *before = in->start; before < at && before < in->end; before++) {
        if (*before == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*before & 0xc0) != 0x80) {
            column++;
        }
    }
    in->rc = err_set(in->err, ERR_MALFORMED, "JSON, line %zu column %zu: %s", line, column, what);
    return false;
}

/* ------------------------------------------------------------------ looking at a tree */

const json_t *json_member(const json_t *object, const char *name)
{
    size_t n = strlen(name);

    if (object == NULL || object->type != JSON_OBJECT)
        return NULL;
    for (const json_t *member = object->child; member != NULL; member = member->next)
        if (member->name_bytes == n && memcmp(member->name, name, n) == 0)
            return member;
    return NULL;
}

bool json_text_is(const json_t *string, const char *text)
{
    size_t n = strlen(text);

    return string != NULL && string->type == JSON_STRING && string->text_bytes == n &&
           memcmp(string->text, text, n) == 0;
}

const char *json_type_name(json_type_t type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",     [JSON_FALSE] = "bool", [JSON_TRUE] = "bool",
        [JSON_NUMBER] = "number", [JSON_STRING] = "str", [JSON_ARRAY] = "list",
        [JSON_OBJECT] = "dict"};

    INVARIANT((unsigned)type < COUNT_OF(names));
    return names[type];
}

/* ------------------------------------------------------------------ writing */

void json_write(buffer_t *out, const json_t *value)
{
    bool object = value->type == JSON_OBJECT;

    switch (value->type) {
    case JSON_NULL: buffer_append(out, "null", 4); return;
    case JSON_FALSE: buffer_append(out, "false", 5); return;
    case JSON_TRUE: buffer_append(out, "true", 4); return;
    case JSON_NUMBER: buffer_append(out, value->text, value->text_bytes); return;
    case JSON_STRING: json_write_string(out, value->text, value->text_bytes); return;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buffer_byte(out, object ? '{' : '[');
        for (const json_t *child = value->child; child != NULL; child = child->next) {
            if (child != value->child)
                buffer_byte(out, ',');
            if (object) {
                json_write_string(out, child->name, child->name_bytes);
                buffer_byte(out, ':');
            }
            json_write(out, child);
        }
        buffer_byte(out, object ? '}' : ']');
        return;
    }
}

/* Texts of our own (messages, log lines) may hold any bytes; what is not UTF-8 becomes U+FFFD, so
 * that the output is JSON whatever went in. */
void json_write_string(buffer_t *out, const char *text, size_t bytes)
{
    static const char short_form[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    const char *at = text;
    const char *end = text + bytes;

    buffer_byte(out, '"');
    while (at < end) {
        const char *run = at;
        size_t width;

        while (at < end && !is_special(*at))
            at++;
        while (at < end && (unsigned char)*at >= 0x80 && (width = utf8_length(at, end)) > 0)
            at += width;
        buffer_append(out, run, (size_t)(at - run));
        if (at == end)
            break;
        unsigned char c = (unsigned char)*at;
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\')
            continue;
        at++;
        if (c >= 0x80) {
            buffer_append(out, "\xef\xbf\xbd", 3);
        } else if (c >= 0x20 || short_form[c] != 0) {
            char escape[2] = {'\\', c >= 0x20 ? (char)c : short_form[c]};

            buffer_append(out, escape, 2);
        } else {
            static const char digits[] = "0123456789abcdef";
            char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

            buffer_append(out, escape, 6);
        }
    }
    buffer_byte(out, '"');
}

void json_write_i64(buffer_t *out, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        digits[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
    } while (left > 0);
    if (value < 0)
        digits[--at] = '-';
    buffer_append(out, digits + at, sizeof digits - at);
}
