/* pick.h - reads members of a JSON object without building a tree
 *
 * Contract   Finds a member of the outermost object by name and hands out its text as written.
 *            Enough for the few answers the bench tools look into and for their own result files;
 *            not a validating parser.
 * Threads    Pure.
 * Ownership  The value points into the text.
 * Units      Bytes.
 * Errors     false when the member is missing or the text is no object.
 */
#ifndef FEALTY_BENCH_PICK_H
#define FEALTY_BENCH_PICK_H

#include "protocol/compiler.h"

typedef struct {
    const char *text; /* strings without their quotes, escapes left as they are */
    size_t bytes;
    bool quoted;
} pick_t;

bool pick_member(const char *json, size_t n, const char *name, pick_t *value);
/* The next element of an array; *at is the position, 0 to begin with. false behind the last one. */
bool pick_element(const pick_t *array, size_t *at, pick_t *value);
/* false when it is not a number */
bool pick_number(const pick_t *value, double *out);

#endif
