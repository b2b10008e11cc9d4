/* json.h - a strict JSON reader that keeps numbers as text, and a writer
 *
 * Contract   Reads RFC 8259 exactly: valid UTF-8, no duplicate members, nesting up to 64, nothing after the
 *            value. Numbers stay text, because amounts are exact decimals and every JSON library at hand
 *            turns them into doubles (jansson too). Strings are decoded; NUL inside one is kept (the schema
 *            refuses it). The writer escapes what RFC 8259 asks for and writes members in the order given.
 * Threads    Pure; a tree belongs to its arena's thread.
 * Ownership  The tree lives in the arena; raw text of numbers and unescaped strings may point into the input,
 *            which must live as long as the tree.
 * Units      Bytes.
 * Errors     ERR_MALFORMED with line and column of the fault; ERR_TOO_LARGE when the arena is full.
 */
#ifndef FEALTY_JSON_H
#define FEALTY_JSON_H

#include "protocol/buffer.h"
#include "protocol/error.h"

#define JSON_DEPTH_MAX 64

typedef enum {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_type_t;

typedef struct json {
    json_type_t type;
    uint32_t count;      /* elements or members */
    uint32_t text_bytes; /* of a number's or string's text */
    uint32_t name_bytes;
    const char *text;   /* number: as written; string: decoded; not NUL-terminated */
    const char *name;   /* decoded member name, NULL outside objects; not NUL-terminated */
    struct json *child; /* first element or member */
    struct json *next;  /* next sibling */
} json_t;

errcode_t json_parse(json_t **root, arena_t *arena, const char *text, size_t bytes, err_t *err);

/* Member by name, NULL when absent or when object is no object. */
const json_t *json_member(const json_t *object, const char *name);
bool json_text_is(const json_t *string, const char *text);
const char *json_type_name(json_type_t type); /* "null", "bool", "number", "str", "list", "dict" */

/* The shortest form of the same value (members in order). */
void json_write(buffer_t *out, const json_t *value);
void json_write_string(buffer_t *out, const char *text, size_t bytes); /* with quotes */
void json_write_i64(buffer_t *out, int64_t value);

/* Canonical form, R-2.5: members sorted by name (bytes), numbers normalised (100 = 100.0 = 1e2 -> 100),
 * no blanks. `skip` members of the top object are left out (NULL-terminated list or NULL); a top-level member
 * named in alias[i][0] is treated as alias[i][1] (NULL-terminated pairs or NULL); top-level strings of members
 * in `numeric` (NULL-terminated or NULL) that hold a number are normalised like numbers. */
typedef struct {
    const char *const *skip;
    const char *const (*alias)[2];
    const char *const *numeric;
} json_canonical_t;
void json_write_canonical(buffer_t *out, const json_t *value, const json_canonical_t *rules,
                          arena_t *arena);

#endif
