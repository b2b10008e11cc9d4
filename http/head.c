/* head.c - strict reading of request heads; no I/O, no library types */
#include "http/head.h"

#include <ctype.h>
#include <strings.h>

static bool digits(const char *text, int64_t *value);
static bool host_is_plain(const char *host);
static void read_connection(head_t *out, const char *value);
static bool token_is(const char *text, size_t bytes, const char *word);
static method_t method_of(const char *name);

/* Headers that this server acts on; each may appear once. */
typedef enum {
    FIELD_HOST,
    FIELD_LENGTH,
    FIELD_CODING,
    FIELD_CONNECTION,
    FIELD_EXPECT,
    FIELD_AUTHORIZATION,
    FIELD_TYPE,
    FIELD_ACCEPT,
    FIELD_KEY,
    FIELD_IF_MATCH,
    FIELD_ORIGIN,
    FIELD_REQUEST_ID,
    FIELD__COUNT
} field_t;

static const struct {
    const char *name;
    size_t bytes;
    bool may_repeat; /* the first counts */
} known_fields[FIELD__COUNT] = {
    [FIELD_HOST] = {"Host", 4, false},
    [FIELD_LENGTH] = {"Content-Length", 14, false},
    [FIELD_CODING] = {"Transfer-Encoding", 17, false},
    [FIELD_CONNECTION] = {"Connection", 10, false},
    [FIELD_EXPECT] = {"Expect", 6, false},
    [FIELD_AUTHORIZATION] = {"Authorization", 13, false},
    [FIELD_TYPE] = {"Content-Type", 12, false},
    [FIELD_ACCEPT] = {"Accept", 6, true},
    [FIELD_KEY] = {"Idempotency-Key", 15, false},
    [FIELD_IF_MATCH] = {"If-Match", 8, false},
    [FIELD_ORIGIN] = {"Origin", 6, false},
    [FIELD_REQUEST_ID] = {"X-Request-ID", 12, true},
};

int head_read(head_t *out, const char *method, const char *version, const head_field_t *fields,
              size_t count, const char **fault)
{
    const char *found[FIELD__COUNT] = {NULL};

    *out = (head_t){.method = method_of(method),
                    .content_length = -1,
                    .version_1_1 = strcmp(version, "1.1") == 0};
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strlen(fields[i].name);

        /* A list: what several headers say counts together. */
        if (bytes == 10 && strcasecmp(fields[i].name, "X-Position") == 0) {
            if (out->position_count == HEAD_POSITIONS_MAX) {
                *fault = "too many headers X-Position; several positions may stand in one";
                return 400;
            }
            out->positions[out->position_count++] = fields[i].value;
            continue;
        }
        for (int known = 0; known < FIELD__COUNT; known++) {
            if (bytes != known_fields[known].bytes ||
                strcasecmp(fields[i].name, known_fields[known].name) != 0)
                continue;
            if (found[known] != NULL && !known_fields[known].may_repeat) {
                *fault = "a header that may appear once appears twice";
                return 400;
            }
            if (found[known] == NULL)
                found[known] = fields[i].value;
            break;
        }
    }
    if (found[FIELD_LENGTH] != NULL && found[FIELD_CODING] != NULL) {
        *fault = "both Content-Length and Transfer-Encoding are given";
        return 400;
    }
    if (found[FIELD_LENGTH] != NULL && !digits(found[FIELD_LENGTH], &out->content_length)) {
        *fault = "Content-Length is not a number";
        return 400;
    }
    if (found[FIELD_CODING] != NULL) {
        if (strcasecmp(found[FIELD_CODING], "chunked") != 0 || !out->version_1_1) {
            *fault = "only the transfer coding chunked is read";
            return 400;
        }
        out->chunked = true;
    }
    if (found[FIELD_HOST] == NULL && out->version_1_1) {
        *fault = "Host is missing";
        return 400;
    }
    if (found[FIELD_HOST] != NULL && !host_is_plain(found[FIELD_HOST])) {
        *fault = "Host is malformed";
        return 400;
    }
    if (found[FIELD_EXPECT] != NULL) {
        if (strcasecmp(found[FIELD_EXPECT], "100-continue") != 0) {
            *fault = "this expectation cannot be met";
            return 417;
        }
        out->expect_continue = out->version_1_1;
    }
    out->keep_alive = out->version_1_1;
    if (found[FIELD_CONNECTION] != NULL)
        read_connection(out, found[FIELD_CONNECTION]);
    out->host = found[FIELD_HOST];
    out->authorization = found[FIELD_AUTHORIZATION];
    out->content_type = found[FIELD_TYPE];
    out->accept = found[FIELD_ACCEPT];
    out->idempotency_key = found[FIELD_KEY];
    out->if_match = found[FIELD_IF_MATCH];
    out->origin = found[FIELD_ORIGIN];
    out->request_id = found[FIELD_REQUEST_ID];
    return 0;
}

int head_layout(const char *start, const head_field_t *fields, size_t count, size_t *head_bytes,
                const char **fault)
{
    const char *line_end = NULL;

    *head_bytes = 0;
    if (count > HEAD_FIELDS_MAX) {
        *fault = "too many headers";
        return 431;
    }
    *fault = "the headers are malformed";
    for (size_t i = 0; i < count; i++) {
        const char *name_end = fields[i].name + strlen(fields[i].name);

        /* The parser puts NUL over the colon and over every blank before it, and over CR and LF. */
        if (line_end != NULL && fields[i].name != line_end + 2)
            return 400;
        if (fields[i].value != name_end + 1 && name_end[1] == '\0')
            return 400;
        line_end = fields[i].value + strlen(fields[i].value);
        if (line_end + 4 - start > HEAD_BYTES_MAX) {
            *fault = "the headers are too large";
            return 431;
        }
    }
    /* After the last line: NUL NUL (its CR LF), CR, NUL (the last LF). Anything else is a line that
     * was dropped. */
    if (line_end != NULL) {
        if (line_end[1] != '\0' || line_end[2] != '\r' || line_end[3] != '\0')
            return 400;
        *head_bytes = (size_t)(line_end + 4 - start);
    }
    return 0;
}

bool head_accepts(const char *accept, const char *type)
{
    const char *slash = strchr(type, '/');
    int best = -1; /* how specific the best match was */
    bool allowed = false;

    if (accept == NULL || *accept == '\0')
        return true;
    while (*accept != '\0') {
        size_t item = strcspn(accept, ",");
        size_t name_at = strspn(accept, " \t");
        size_t name = name_at < item ? strcspn(accept + name_at, "; \t,") : 0;
        int specific = -1;
        bool zero = false;

        if (token_is(accept + name_at, name, type))
            specific = 2;
        else if (name == (size_t)(slash - type) + 2 &&
                 strncasecmp(accept + name_at, type, name - 1) == 0 &&
                 accept[name_at + name - 1] == '*')
            specific = 1;
        else if (token_is(accept + name_at, name, "*/*"))
            specific = 0;
        for (size_t i = name_at + name; i + 3 <= item; i++) {
            if ((accept[i] == ';' || accept[i] == ' ') &&
                (accept[i + 1] == 'q' || accept[i + 1] == 'Q') && accept[i + 2] == '=') {
                size_t value = i + 3;

                zero = value < item && accept[value] == '0';
                for (value++; zero && value < item && accept[value] != ';' && accept[value] != ' ';
                     value++)
                    zero = accept[value] == '.' || accept[value] == '0';
            }
        }
        if (specific > best) {
            best = specific;
            allowed = !zero;
        }
        accept += item;
        if (*accept == ',')
            accept++;
    }
    return best >= 0 && allowed;
}

media_t head_media(const char *content_type, text_t *boundary)
{
    static const struct {
        const char *name;
        media_t media;
    } types[] = {{"application/json", MEDIA_JSON},
                 {"application/x-www-form-urlencoded", MEDIA_FORM},
                 {"multipart/form-data", MEDIA_MULTIPART},
                 {"application/x-ndjson", MEDIA_LINES}};
    media_t media = MEDIA_OTHER;
    size_t bytes;
    const char *at;

    *boundary = (text_t){NULL, 0};
    if (content_type == NULL)
        return MEDIA_NONE;
    bytes = strcspn(content_type, "; \t");
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (token_is(content_type, bytes, types[i].name))
            media = types[i].media;
    }
    for (at = strchr(content_type, ';'); at != NULL; at = strchr(at, ';')) {
        at++;
        at += strspn(at, " \t");
        if (strncasecmp(at, "charset=", 8) == 0) {
            size_t quote = at[8] == '"' ? 1 : 0;
            size_t value = strcspn(at + 8 + quote, "\"; \t");

            if (!token_is(at + 8 + quote, value, "utf-8") &&
                !token_is(at + 8 + quote, value, "utf8"))
                media = MEDIA_OTHER;
        } else if (media == MEDIA_MULTIPART && strncasecmp(at, "boundary=", 9) == 0) {
            size_t quote = at[9] == '"' ? 1 : 0;
            size_t value = strcspn(at + 9 + quote, quote ? "\"" : "; \t");

            if (value >= 1 && value <= 70)
                *boundary = (text_t){at + 9 + quote, value};
        }
    }
    return media;
}

size_t head_clean_id(const char *text, char *out, size_t out_bytes)
{
    size_t n = 0;

    for (; text != NULL && *text != '\0' && n + 1 < out_bytes; text++) {
        if (*text > ' ' && *text < 127)
            out[n++] = *text;
    }
    out[n] = '\0';
    return n;
}

bool head_token(const char *authorization, text_t *key)
{
    size_t scheme;

    if (authorization == NULL)
        return false;
    scheme = strcspn(authorization, " ");
    if (!token_is(authorization, scheme, "token") && !token_is(authorization, scheme, "bearer"))
        return false;
    authorization += scheme;
    authorization += strspn(authorization, " ");
    *key = (text_t){authorization, strcspn(authorization, " \t")};
    return key->n > 0;
}

/* Digits only: "+5", "5 ", "0x5" and "5, 5" are read differently by different servers. */
static bool digits(const char *text, int64_t *value)
{
    int64_t n = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (*text - '0');
    }
    *value = n;
    return true;
}

/* It goes back to the client inside links. */
static bool host_is_plain(const char *host)
{
    size_t n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]");

    return n > 0 && n <= 255 && host[n] == '\0';
}

/* The library keeps a connection with a Connection header only when it names keep-alive; agree with
 * it. */
static void read_connection(head_t *out, const char *value)
{
    bool keep = false, close = false;

    while (*value != '\0') {
        size_t item;

        value += strspn(value, ", \t");
        item = strcspn(value, ", \t");
        keep = keep || token_is(value, item, "keep-alive");
        close = close || token_is(value, item, "close");
        value += item;
    }
    out->keep_alive = keep && !close;
}

static bool token_is(const char *text, size_t bytes, const char *word)
{
    return strlen(word) == bytes && strncasecmp(text, word, bytes) == 0;
}

static method_t method_of(const char *name)
{
    static const struct {
        const char *name;
        method_t method;
    } methods[] = {{"POST", METHOD_POST},      {"GET", METHOD_GET},       {"PATCH", METHOD_PATCH},
                   {"PUT", METHOD_PUT},        {"DELETE", METHOD_DELETE}, {"HEAD", METHOD_HEAD},
                   {"OPTIONS", METHOD_OPTIONS}};

    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        if (strcmp(name, methods[i].name) == 0)
            return methods[i].method;
    }
    return (method_t)0;
}
