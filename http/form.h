/* form.h - percent-encoding, query strings, and flat forms as JSON objects of strings
 *
 * Contract   Strict: a broken %XX, a NUL, bytes that are no UTF-8, or the same name twice in a form
 *            is an error, not a guess. '+' is a blank in queries and forms, itself in paths.
 *            Multipart is read for flat fields only: a part with a file name is refused.
 * Threads    Pure.
 * Ownership  What is decoded lives in the arena.
 * Units      Bytes.
 * Errors     ERR_MALFORMED with a sentence; ERR_TOO_LARGE when the arena is full.
 */
#ifndef FEALTY_FORM_H
#define FEALTY_FORM_H

#include "http/exchange.h"

#define FORM_FIELDS_MAX 256

/* A decoded copy, NUL-terminated behind its n bytes. */
errcode_t percent_decode(text_t *out, const char *text, size_t bytes, bool plus_is_blank,
                         arena_t *arena, err_t *err);

/* First value of a parameter of a raw query string. *found is false when it is absent. */
errcode_t query_parameter(text_t *out, bool *found, const char *query, const char *name,
                          arena_t *arena, err_t *err);

errcode_t form_parse(json_t **root, arena_t *arena, const char *text, size_t bytes, err_t *err);
errcode_t multipart_parse(json_t **root, arena_t *arena, text_t boundary, const char *text,
                          size_t bytes, err_t *err);

bool text_is_utf8(const char *text, size_t bytes);

#endif
