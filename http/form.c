/* form.c - decoding of what arrives percent-encoded or in parts */
#include "http/form.h"

#include <strings.h>

static int hex(char c);
static json_t *object_new(arena_t *arena, err_t *err);
static errcode_t object_add(json_t *object, json_t **last, arena_t *arena, text_t name,
                            text_t value, err_t *err);
static errcode_t part_name(text_t *name, text_t head, arena_t *arena, err_t *err);
static text_t line_of(const char **at, const char *end);
static const char *find(const char *at, const char *end, const char *what, size_t bytes);

errcode_t percent_decode(text_t *out, const char *text, size_t bytes, bool plus_is_blank,
                         arena_t *arena, err_t *err)
{
    char *decoded = arena_alloc(arena, bytes + 1);
    size_t n = 0;

    if (decoded == NULL)
        return err_set(err, ERR_TOO_LARGE, NULL);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '%') {
            int high = bytes - i > 2 ? hex(text[i + 1]) : -1;

            if (high < 0 || hex(text[i + 2]) < 0)
                return err_set(err, ERR_MALFORMED,
                               "a percent sign is not followed by two hex digits");
            decoded[n++] = (char)(high * 16 + hex(text[i + 2]));
            i += 2;
        } else {
            decoded[n++] = plus_is_blank && text[i] == '+' ? ' ' : text[i];
        }
        if (decoded[n - 1] == '\0')
            return err_set(err, ERR_MALFORMED, "NUL is not allowed");
    }
    decoded[n] = '\0';
    if (!text_is_utf8(decoded, n))
        return err_set(err, ERR_MALFORMED, "the bytes are not UTF-8");
    *out = (text_t){decoded, n};
    return ERR_NONE;
}

errcode_t query_parameter(text_t *out, bool *found, const char *query, const char *name,
                          arena_t *arena, err_t *err)
{
    size_t name_bytes = strlen(name);

    *found = false;
    while (query != NULL && *query != '\0') {
        size_t item = strcspn(query, "&");
        size_t key = strcspn(query, "=&");

        /* Names that are asked for never need encoding, so an encoded name is another one. */
        if (key == name_bytes && memcmp(query, name, name_bytes) == 0) {
            size_t value_at = key < item ? key + 1 : key;

            *found = true;
            return percent_decode(out, query + value_at, item - value_at, true, arena, err);
        }
        query += item;
        if (*query == '&')
            query++;
    }
    return ERR_NONE;
}

errcode_t form_parse(json_t **root, arena_t *arena, const char *text, size_t bytes, err_t *err)
{
    const char *at = text, *end = text + bytes;
    json_t *last = NULL;

    *root = object_new(arena, err);
    if (*root == NULL)
        return ERR_TOO_LARGE;
    while (at < end) {
        const char *item_end = memchr(at, '&', (size_t)(end - at));
        const char *equals;
        text_t name, value;
        errcode_t rc;

        if (item_end == NULL)
            item_end = end;
        if (item_end == at) {
            at++;
            continue;
        }
        equals = memchr(at, '=', (size_t)(item_end - at));
        if (equals == NULL)
            equals = item_end;
        rc = percent_decode(&name, at, (size_t)(equals - at), true, arena, err);
        if (rc == ERR_NONE) {
            const char *value_at = equals < item_end ? equals + 1 : item_end;

            rc = percent_decode(&value, value_at, (size_t)(item_end - value_at), true, arena, err);
        }
        if (rc == ERR_NONE)
            rc = object_add(*root, &last, arena, name, value, err);
        if (rc != ERR_NONE)
            return rc;
        at = item_end < end ? item_end + 1 : end;
    }
    return ERR_NONE;
}

errcode_t multipart_parse(json_t **root, arena_t *arena, text_t boundary, const char *text,
                          size_t bytes, err_t *err)
{
    const char *end = text + bytes;
    const char *at;
    char *delimiter;
    size_t delimiter_bytes = boundary.n + 4;
    json_t *last = NULL;

    *root = object_new(arena, err);
    if (*root == NULL)
        return ERR_TOO_LARGE;
    if (boundary.n == 0)
        return err_set(err, ERR_MALFORMED, "multipart without a boundary");
    delimiter = arena_alloc(arena, delimiter_bytes);
    if (delimiter == NULL)
        return err_set(err, ERR_TOO_LARGE, NULL);
    memcpy(delimiter, "\r\n--", 4);
    memcpy(delimiter + 4, boundary.bytes, boundary.n);

    /* The first delimiter has no line before it. */
    if (bytes < delimiter_bytes - 2 || memcmp(text, delimiter + 2, delimiter_bytes - 2) != 0)
        return err_set(err, ERR_MALFORMED, "multipart does not start with its boundary");
    at = text + delimiter_bytes - 2;
    for (;;) {
        const char *head, *value, *value_end;
        text_t name, part_text;
        errcode_t rc;

        if (end - at >= 2 && at[0] == '-' && at[1] == '-')
            return ERR_NONE;
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return err_set(err, ERR_MALFORMED, "multipart is cut short");
        head = at + 2;
        value = find(head, end, "\r\n\r\n", 4);
        if (value == NULL)
            return err_set(err, ERR_MALFORMED, "multipart is cut short");
        value_end = find(value + 4, end, delimiter, delimiter_bytes);
        if (value_end == NULL)
            return err_set(err, ERR_MALFORMED, "multipart is cut short");
        rc = part_name(&name, (text_t){head, (size_t)(value + 2 - head)}, arena, err);
        part_text = (text_t){value + 4, (size_t)(value_end - value - 4)};
        if (rc == ERR_NONE && (memchr(part_text.bytes, '\0', part_text.n) != NULL ||
                               !text_is_utf8(part_text.bytes, part_text.n)))
            rc = err_set(err, ERR_MALFORMED, "a field is not UTF-8 text");
        if (rc == ERR_NONE)
            rc = object_add(*root, &last, arena, name, part_text, err);
        if (rc != ERR_NONE)
            return rc;
        at = value_end + delimiter_bytes;
    }
}

bool text_is_utf8(const char *text, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)text, *end;

    if (bytes == 0)
        return true;
    end = at + bytes;
    while (at < end) {
        uint32_t point;
        int more;

        if (*at < 0x80) {
            at++;
            continue;
        }
        if (*at >= 0xc2 && *at <= 0xdf) {
            more = 1;
            point = *at & 0x1fu;
        } else if (*at >= 0xe0 && *at <= 0xef) {
            more = 2;
            point = *at & 0x0fu;
        } else if (*at >= 0xf0 && *at <= 0xf4) {
            more = 3;
            point = *at & 0x07u;
        } else {
            return false;
        }
        if (end - at <= more)
            return false;
        for (int i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (at[i] & 0x3fu);
        }
        if ((more == 2 && point < 0x800) || (more == 3 && point < 0x10000) || point > 0x10ffff ||
            (point >= 0xd800 && point <= 0xdfff))
            return false;
        at += more + 1;
    }
    return true;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static json_t *object_new(arena_t *arena, err_t *err)
{
    json_t *object = arena_alloc(arena, sizeof *object);

    if (object == NULL)
        err_set(err, ERR_TOO_LARGE, NULL);
    else
        *object = (json_t){.type = JSON_OBJECT};
    return object;
}

static errcode_t object_add(json_t *object, json_t **last, arena_t *arena, text_t name,
                            text_t value, err_t *err)
{
    json_t *member;

    if (object->count >= FORM_FIELDS_MAX)
        return err_set(err, ERR_MALFORMED, "more than %d fields", FORM_FIELDS_MAX);
    for (member = object->child; member != NULL; member = member->next) {
        if (member->name_bytes == name.n && memcmp(member->name, name.bytes, name.n) == 0)
            return err_set(err, ERR_MALFORMED, "a field is given twice");
    }
    member = arena_alloc(arena, sizeof *member);
    if (member == NULL)
        return err_set(err, ERR_TOO_LARGE, NULL);
    *member = (json_t){.type = JSON_STRING,
                       .text_bytes = (uint32_t)value.n,
                       .name_bytes = (uint32_t)name.n,
                       .text = value.bytes,
                       .name = name.bytes};
    if (*last == NULL)
        object->child = member;
    else
        (*last)->next = member;
    *last = member;
    object->count++;
    return ERR_NONE;
}

/* The name parameter of Content-Disposition: form-data; name="..." */
static errcode_t part_name(text_t *name, text_t head, arena_t *arena, err_t *err)
{
    static const char wanted[] = "content-disposition:";
    const char *at = head.bytes, *end = head.bytes + head.n;

    while (at < end) {
        text_t line = line_of(&at, end);
        const char *value, *quote;

        if (line.n < sizeof wanted - 1 || strncasecmp(line.bytes, wanted, sizeof wanted - 1) != 0)
            continue;
        if (find(line.bytes, line.bytes + line.n, "filename", 8) != NULL)
            return err_set(err, ERR_MALFORMED, "files are not read here");
        value = find(line.bytes, line.bytes + line.n, " name=\"", 7);
        if (value == NULL)
            value = find(line.bytes, line.bytes + line.n, ";name=\"", 7);
        if (value == NULL)
            break;
        value += 7;
        quote = memchr(value, '"', (size_t)(line.bytes + line.n - value));
        if (quote == NULL)
            break;
        return percent_decode(name, value, (size_t)(quote - value), false, arena, err);
    }
    return err_set(err, ERR_MALFORMED, "a part without a name");
}

static text_t line_of(const char **at, const char *end)
{
    const char *start = *at;
    const char *line_end = find(start, end, "\r\n", 2);

    if (line_end == NULL)
        line_end = end;
    *at = line_end < end ? line_end + 2 : end;
    return (text_t){start, (size_t)(line_end - start)};
}

static const char *find(const char *at, const char *end, const char *what, size_t bytes)
{
    return memmem(at, (size_t)(end - at), what, bytes);
}
