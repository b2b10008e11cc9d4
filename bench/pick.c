/* pick.c - walks over values, skipping what was not asked for */
#include "bench/pick.h"

#include <stdlib.h>
#include <string.h>

static size_t skip_blanks(const char *json, size_t n, size_t at);
static size_t skip_string(const char *json, size_t n, size_t at);
static size_t skip_value(const char *json, size_t n, size_t at);
static void value_of(const char *json, size_t from, size_t to, pick_t *value);

bool pick_member(const char *json, size_t n, const char *name, pick_t *value)
{
    size_t name_bytes = strlen(name);
    size_t at = skip_blanks(json, n, 0);

    if (at >= n || json[at] != '{')
        return false;
    at = skip_blanks(json, n, at + 1);
    while (at < n && json[at] == '"') {
        size_t name_end = skip_string(json, n, at);
        bool found =
            name_end - at == name_bytes + 2 && memcmp(json + at + 1, name, name_bytes) == 0;

        at = skip_blanks(json, n, name_end);
        if (at >= n || json[at] != ':')
            return false;
        at = skip_blanks(json, n, at + 1);
        size_t end = skip_value(json, n, at);
        if (end == at)
            return false;
        if (found) {
            value_of(json, at, end, value);
            return true;
        }
        at = skip_blanks(json, n, end);
        if (at < n && json[at] == ',')
            at = skip_blanks(json, n, at + 1);
    }
    return false;
}

bool pick_element(const pick_t *array, size_t *at, pick_t *value)
{
    const char *json = array->text;
    size_t n = array->bytes;

    if (*at == 0) {
        if (n < 2 || json[0] != '[')
            return false;
        *at = 1;
    }
    *at = skip_blanks(json, n, *at);
    if (*at < n && json[*at] == ',')
        *at = skip_blanks(json, n, *at + 1);
    if (*at >= n || json[*at] == ']')
        return false;
    size_t end = skip_value(json, n, *at);
    if (end == *at)
        return false;
    value_of(json, *at, end, value);
    *at = end;
    return true;
}

bool pick_number(const pick_t *value, double *out)
{
    char text[64];
    char *end = NULL;

    if (value->quoted || value->bytes == 0 || value->bytes >= sizeof(text))
        return false;
    memcpy(text, value->text, value->bytes);
    text[value->bytes] = '\0';
    *out = strtod(text, &end);
    return *end == '\0';
}

static size_t skip_blanks(const char *json, size_t n, size_t at)
{
    while (at < n && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
        at++;
    return at;
}

static size_t skip_string(const char *json, size_t n, size_t at)
{
    for (at++; at < n && json[at] != '"'; at++)
        if (json[at] == '\\')
            at++;
    return at < n ? at + 1 : n;
}

/* Containers are skipped by counting brackets outside of strings, so depth costs no stack. */
static size_t skip_value(const char *json, size_t n, size_t at)
{
    size_t depth = 0;

    while (at < n) {
        char c = json[at];
        if (c == '"') {
            at = skip_string(json, n, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
            return at;
        } else {
            at++;
            if (depth == 0)
                continue;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return at;
    }
    return at;
}

static void value_of(const char *json, size_t from, size_t to, pick_t *value)
{
    value->quoted = json[from] == '"' && to - from >= 2;
    value->text = value->quoted ? json + from + 1 : json + from;
    value->bytes = value->quoted ? to - from - 2 : to - from;
}
