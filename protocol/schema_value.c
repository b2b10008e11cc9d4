/* schema_value.c - one value against the type of its field
 *
 * Texts are those that clients of the existing API know (api-resources 1.3).
 */
#include "protocol/schema_value.h"

#include "protocol/calendar.h"
#include "protocol/decimal.h"
#include "protocol/ids.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define MESSAGE_BYTES_MAX 256
#define QUOTED_BYTES_MAX  64 /* of a client's value in a message */
/* Below the reader's limit: stored values are read again inside an object that lies around them. */
#define VALUE_DEPTH_MAX 60

#define TEXT_BLANK      "This field may not be blank."
#define TEXT_NO_STRING  "Not a valid string."
#define TEXT_NO_INTEGER "A valid integer is required."
#define TEXT_NO_NUMBER  "A valid number is required."
#define TEXT_NO_BOOL    "Must be a valid boolean."
#define TEXT_NO_UUID    "Must be a valid UUID."
#define TEXT_NO_DATETIME                                            \
    "Datetime has wrong format. Use one of these formats instead: " \
    "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
#define TEXT_DATE_ONLY "Expected a datetime but got a date."
#define TEXT_NO_DATE   "Date has wrong format. Use one of these formats instead: YYYY-MM-DD."
#define TEXT_NO_URL    "Enter a valid URL."
#define TEXT_NO_EMAIL  "Enter a valid email address."
#define TEXT_NUL       "Null characters are not allowed."
#define TEXT_NO_UTF8   "The text is not valid UTF-8."
#define TEXT_NO_JSON   "Value must be valid JSON."
#define TEXT_DEEP      "The value is nested too deeply."

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

const char *schema_message(arena_t *arena, const char *format, ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    /* The analyzer loses va_start() when it reads several files in one run. */
    int bytes =
        vsnprintf(text, sizeof text, format, arguments); /* NOLINT(clang-analyzer-valist.*) */
    va_end(arguments);
    if (bytes < 0)
        return "Not valid.";
    const char *copy =
        arena_copy(arena, text, (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1);
    return copy == NULL ? "Not valid." : copy;
}

const json_t *schema_value_unwrap(const json_t *value, arena_t *arena)
{
    json_t *parsed = NULL;

    if (value->type != JSON_STRING || value->text_bytes > SCHEMA_VALUE_BYTES_MAX ||
        value->text_bytes == 0 ||
        (value->text[0] != '{' && value->text[0] != '[' && !is_blank(value->text[0])))
        return value;
    if (json_parse(&parsed, arena, value->text, value->text_bytes, NULL) != ERR_NONE)
        return value;
    return parsed->type == JSON_OBJECT || parsed->type == JSON_ARRAY ? parsed : value;
}

typedef struct {
    const char *bytes;
    size_t n;
} span_t;

static span_t trimmed(const json_t *value)
{
    span_t span = {value->text, value->text_bytes};

    while (span.n > 0 && is_blank(span.bytes[0])) {
        span.bytes++;
        span.n--;
    }
    while (span.n > 0 && is_blank(span.bytes[span.n - 1]))
        span.n--;
    return span;
}

/* Code points, or -1 when the bytes are no UTF-8. Form bodies come here unchecked. */
static int64_t code_points(span_t text)
{
    int64_t count = 0;

    for (size_t i = 0; i < text.n; count++) {
        uint8_t lead = (uint8_t)text.bytes[i];
        size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        uint32_t point = more == 0 ? lead : lead & (0x3Fu >> more);
        if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || text.n - i <= more)
            return -1;
        for (size_t k = 1; k <= more; k++) {
            uint8_t next = (uint8_t)text.bytes[i + k];
            if ((next & 0xC0) != 0x80)
                return -1;
            point = point << 6 | (next & 0x3Fu);
        }
        if ((more == 2 && point < 0x800) || (more == 3 && point < 0x10000) || point > 0x10FFFF ||
            (point >= 0xD800 && point <= 0xDFFF))
            return -1;
        i += more + 1;
    }
    return count;
}

/* A client's value as it may stand in a message: cut between code points. */
static const char *quoted(arena_t *arena, span_t text)
{
    size_t n = text.n;

    if (code_points(text) < 0)
        return "";
    if (n > QUOTED_BYTES_MAX) {
        n = QUOTED_BYTES_MAX;
        while (n > 0 && ((uint8_t)text.bytes[n] & 0xC0) == 0x80)
            n--;
    }
    const char *copy = arena_copy(arena, n == 0 ? "" : text.bytes, n);
    return copy == NULL ? "" : copy;
}

static const char *check_integer(const schema_check_t *check, const schema_field_t *field,
                                 const json_t *value, buffer_t *out)
{
    bool is_big = field->type == SCHEMA_BIG;
    int128_t least = field->type == SCHEMA_COUNT ? 0 : is_big ? INT64_MIN : -(int128_t)POINTS_MAX;
    int128_t most = is_big ? INT64_MAX : (int128_t)POINTS_MAX;
    decimal_t number;

    if (value->type != JSON_NUMBER && value->type != JSON_STRING)
        return TEXT_NO_INTEGER;
    span_t text = trimmed(value);
    if (decimal_parse(&number, text.bytes, text.n, 38, 0, value->type == JSON_NUMBER, NULL) !=
        ERR_NONE)
        return TEXT_NO_INTEGER;
    if (number.value < least)
        return schema_message(check->arena,
                              "Ensure this value is greater than or equal to %" PRId64 ".",
                              (int64_t)least);
    if (number.value > most)
        return schema_message(
            check->arena, "Ensure this value is less than or equal to %" PRId64 ".", (int64_t)most);
    json_write_i64(out, (int64_t)number.value);
    return NULL;
}

static const char *check_decimal(const schema_check_t *check, const schema_field_t *field,
                                 const json_t *value, buffer_t *out)
{
    decimal_t number, bound;
    char text_out[DECIMAL_TEXT_MAX];

    if (value->type != JSON_NUMBER && value->type != JSON_STRING)
        return TEXT_NO_NUMBER;
    span_t text = trimmed(value);
    bool exponent = value->type == JSON_NUMBER;
    errcode_t rc =
        decimal_parse(&number, text.bytes, text.n, field->size, field->scale, exponent, NULL);
    if (rc == ERR_INVALID)
        return TEXT_NO_NUMBER;
    if (rc != ERR_NONE) {
        if (decimal_parse(&number, text.bytes, text.n, 38, field->scale, exponent, NULL) ==
            ERR_NONE)
            return schema_message(
                check->arena,
                "Ensure that there are no more than %d digits before the decimal point.",
                field->size - field->scale);
        if (decimal_parse(&number, text.bytes, text.n, 38, DECIMAL_SCALE_MAX, exponent, NULL) ==
            ERR_NONE)
            return schema_message(check->arena,
                                  "Ensure that there are no more than %d decimal places.",
                                  field->scale);
        return schema_message(
            check->arena, "Ensure that there are no more than %d digits in total.", field->size);
    }
    if (field->minimum != NULL) {
        INVARIANT(decimal_parse(&bound, field->minimum, strlen(field->minimum), 38, field->scale,
                                false, NULL) == ERR_NONE);
        if (number.value < bound.value)
            return schema_message(check->arena, "Ensure this value is greater than or equal to %s.",
                                  field->minimum);
    }
    if (field->maximum != NULL) {
        INVARIANT(decimal_parse(&bound, field->maximum, strlen(field->maximum), 38, field->scale,
                                false, NULL) == ERR_NONE);
        if (number.value > bound.value)
            return schema_message(check->arena, "Ensure this value is less than or equal to %s.",
                                  field->maximum);
    }
    json_write_string(out, text_out, decimal_format(&number, text_out));
    return NULL;
}

static bool is_url(span_t text)
{
    static const char *const schemes[] = {"http://", "https://", "ftp://", "ftps://"};
    size_t start = 0;

    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (text.n > n && memcmp(text.bytes, schemes[i], n) == 0)
            start = n;
    }
    if (start == 0)
        return false;
    char c = text.bytes[start];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '['))
        return false;
    for (size_t i = start; i < text.n; i++)
        if ((uint8_t)text.bytes[i] <= ' ' || strchr("<>\"\\^`{|}\x7f", text.bytes[i]) != NULL)
            return false;
    return true;
}

static bool is_email(span_t text)
{
    const char *at = text.n == 0 ? NULL : memchr(text.bytes, '@', text.n);
    size_t label = 0;
    bool dotted = false;

    if (at == NULL || at == text.bytes || at - text.bytes > 64)
        return false;
    for (const char *c = text.bytes; c < at; c++)
        if ((uint8_t)*c <= ' ' || strchr("()<>,;:\\\"[]\x7f", *c) != NULL)
            return false;
    for (const char *c = at + 1; c < text.bytes + text.n; c++) {
        bool letter = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                      (*c >= 'A' && *c <= 'Z') || (uint8_t)*c >= 0x80;
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return false;
            dotted = true;
            label = 0;
        } else if (letter || (*c == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
    return dotted && label > 0 && text.bytes[text.n - 1] != '-';
}

static const char *check_string(const schema_check_t *check, const schema_field_t *field,
                                const json_t *value, buffer_t *out)
{
    /* Numbers are read as text, as the existing API does; true and lists are mistakes. */
    if (value->type != JSON_STRING && value->type != JSON_NUMBER)
        return TEXT_NO_STRING;
    span_t text = trimmed(value);
    if (text.n > 0 && memchr(text.bytes, '\0', text.n) != NULL)
        return TEXT_NUL;
    int64_t length = code_points(text);
    if (length < 0)
        return TEXT_NO_UTF8;
    if (length == 0 && !(field->flags & SCHEMA_BLANK))
        return TEXT_BLANK;
    if (field->size > 0 && length > field->size)
        return schema_message(check->arena, "Ensure this field has no more than %u characters.",
                              (unsigned)field->size);
    if (text.n > SCHEMA_VALUE_BYTES_MAX)
        return schema_message(check->arena, "Ensure this field has no more than %d bytes.",
                              SCHEMA_VALUE_BYTES_MAX);
    if (field->type == SCHEMA_URL && length > 0 && !is_url(text))
        return TEXT_NO_URL;
    if (field->type == SCHEMA_EMAIL && length > 0 && !is_email(text))
        return TEXT_NO_EMAIL;
    json_write_string(out, text.n == 0 ? "" : text.bytes, text.n);
    return NULL;
}

static bool word_is(span_t text, const char *word)
{
    size_t n = strlen(word);

    if (n != text.n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text.bytes[i];
        if ((c >= 'A' && c <= 'Z' ? (char)(c + 32) : c) != word[i])
            return false;
    }
    return true;
}

static const char *check_bool(const json_t *value, buffer_t *out)
{
    static const char *const yes[] = {"true", "1", "on", "yes", "t", "y"};
    static const char *const no[] = {"false", "0", "off", "no", "f", "n"};

    if (value->type == JSON_TRUE || value->type == JSON_FALSE) {
        buffer_text(out, value->type == JSON_TRUE ? "true" : "false");
        return NULL;
    }
    if (value->type != JSON_STRING && value->type != JSON_NUMBER)
        return TEXT_NO_BOOL;
    span_t text = trimmed(value);
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        if (word_is(text, yes[i])) {
            buffer_text(out, "true");
            return NULL;
        }
        if (word_is(text, no[i])) {
            buffer_text(out, "false");
            return NULL;
        }
    }
    return TEXT_NO_BOOL;
}

static const char *check_time(const schema_field_t *field, const json_t *value, buffer_t *out)
{
    bool is_date = field->type == SCHEMA_DATE;
    char text_out[INSTANT_TEXT_MAX];
    int64_t at_us;

    if (value->type != JSON_STRING)
        return is_date ? TEXT_NO_DATE : TEXT_NO_DATETIME;
    span_t text = trimmed(value);
    if (is_date) {
        if (text.n != 10 || instant_parse(&at_us, text.bytes, text.n, true, NULL) != ERR_NONE)
            return TEXT_NO_DATE;
        json_write_string(out, text.bytes, text.n);
        return NULL;
    }
    if (instant_parse(&at_us, text.bytes, text.n, false, NULL) != ERR_NONE)
        return instant_parse(&at_us, text.bytes, text.n, true, NULL) == ERR_NONE ? TEXT_DATE_ONLY
                                                                                 : TEXT_NO_DATETIME;
    json_write_string(out, text_out, instant_format(at_us, text_out));
    return NULL;
}

static const char *check_uuid(const json_t *value, buffer_t *out)
{
    char text_out[UUID_TEXT_BYTES + 1];
    uuid16_t uuid;

    if (value->type != JSON_STRING)
        return TEXT_NO_UUID;
    span_t text = trimmed(value);
    if (!uuid_parse(&uuid, text.bytes, text.n))
        return TEXT_NO_UUID;
    uuid_format(&uuid, text_out);
    json_write_string(out, text_out, UUID_TEXT_BYTES);
    return NULL;
}

static const char *check_foreign(const schema_check_t *check, const schema_field_t *field,
                                 const json_t *value, buffer_t *out)
{
    decimal_t number;
    span_t text = {"", 0};
    bool good = value->type == JSON_NUMBER || value->type == JSON_STRING;

    if (good) {
        text = trimmed(value);
        good = decimal_parse(&number, text.bytes, text.n, 38, 0, value->type == JSON_NUMBER,
                             NULL) == ERR_NONE;
    }
    if (!good)
        return schema_message(check->arena, "Incorrect type. Expected pk value, received %s.",
                              value->type == JSON_NUMBER ? "float" : json_type_name(value->type));
    if (number.value <= 0 || number.value > (int128_t)POINTS_MAX ||
        (check->lookup != NULL &&
         !check->lookup(check->state, field->resource, (uint64_t)number.value)))
        return schema_message(check->arena, "Invalid pk \"%s\" - object does not exist.",
                              quoted(check->arena, text));
    json_write_i64(out, (int64_t)number.value);
    return NULL;
}

static const char *check_enum(const schema_check_t *check, const schema_field_t *field,
                              const json_t *value, buffer_t *out)
{
    span_t text = {"", 0};

    if (value->type == JSON_STRING || value->type == JSON_NUMBER)
        text = trimmed(value);
    else
        text = (span_t){json_type_name(value->type), strlen(json_type_name(value->type))};
    for (size_t i = 0; value->type == JSON_STRING && field->choices[i] != NULL; i++) {
        const char *choice = field->choices[i];
        if (strlen(choice) == text.n && memcmp(choice, text.bytes, text.n) == 0) {
            json_write_string(out, choice, text.n);
            return NULL;
        }
    }
    return schema_message(check->arena, "\"%s\" is not a valid choice.",
                          quoted(check->arena, text));
}

/* Recursion is bounded by the reader's limit. */
static int depth_of(const json_t *value)
{
    int deepest = 0;

    if (value->type != JSON_OBJECT && value->type != JSON_ARRAY)
        return 0;
    for (const json_t *child = value->child; child != NULL; child = child->next) {
        int depth = depth_of(child);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + 1;
}

static bool all_utf8(const json_t *value)
{
    if (value->type == JSON_STRING && code_points((span_t){value->text, value->text_bytes}) < 0)
        return false;
    if (value->type == JSON_OBJECT || value->type == JSON_ARRAY)
        for (const json_t *child = value->child; child != NULL; child = child->next)
            if (!all_utf8(child))
                return false;
    return true;
}

static const char *check_json(const schema_check_t *check, const json_t *value, buffer_t *out)
{
    size_t start = out->size;

    value = schema_value_unwrap(value, check->arena);
    if (depth_of(value) > VALUE_DEPTH_MAX)
        return TEXT_DEEP;
    if (!all_utf8(value))
        return TEXT_NO_JSON;
    json_write(out, value);
    if (out->size - start > SCHEMA_VALUE_BYTES_MAX)
        return schema_message(check->arena, "Ensure this field has no more than %d bytes.",
                              SCHEMA_VALUE_BYTES_MAX);
    return NULL;
}

const char *schema_value_check(const schema_check_t *check, const schema_field_t *field,
                               const json_t *value, buffer_t *out)
{
    bool is_text = field->type == SCHEMA_STRING || field->type == SCHEMA_TEXT ||
                   field->type == SCHEMA_URL || field->type == SCHEMA_EMAIL;
    bool is_null = value->type == JSON_NULL;

    /* Forms cannot say null: they send nothing. */
    if (!is_null && (field->flags & SCHEMA_NULLABLE) && !is_text && value->type == JSON_STRING)
        is_null = trimmed(value).n == 0;
    if (is_null) {
        if (!(field->flags & SCHEMA_NULLABLE))
            return SCHEMA_TEXT_NULL;
        buffer_text(out, "null");
        return NULL;
    }
    /* "" is null for a relation also where null is not allowed. */
    if (field->type == SCHEMA_FOREIGN && value->type == JSON_STRING && trimmed(value).n == 0)
        return SCHEMA_TEXT_NULL;
    switch (field->type) {
    case SCHEMA_INT:
    case SCHEMA_COUNT:
    case SCHEMA_BIG: return check_integer(check, field, value, out);
    case SCHEMA_DECIMAL: return check_decimal(check, field, value, out);
    case SCHEMA_STRING:
    case SCHEMA_TEXT:
    case SCHEMA_URL:
    case SCHEMA_EMAIL: return check_string(check, field, value, out);
    case SCHEMA_BOOL: return check_bool(value, out);
    case SCHEMA_DATETIME:
    case SCHEMA_DATE: return check_time(field, value, out);
    case SCHEMA_UUID: return check_uuid(value, out);
    case SCHEMA_JSON: return check_json(check, value, out);
    case SCHEMA_FOREIGN: return check_foreign(check, field, value, out);
    case SCHEMA_ENUM: return check_enum(check, field, value, out);
    case SCHEMA_NESTED: break;
    }
    INVARIANT(field->type != SCHEMA_NESTED); /* walk_nested() does these */
    return TEXT_NO_JSON;
}
