/* routes.h - from a path to the row of the route table
 *
 * Contract   All rows are put into a tree of path segments at start; two rows for the same path and
 *            method are a fault. A literal segment wins over `{name}`. `{name}` takes one segment
 *            without a dot, `{key}` any one segment. The last segment may carry ".json" (not a
 *            `{key}`). With and without a slash at the end is the same path; an empty segment in
 *            the middle is no path.
 * Threads    routes_match: any, once all rows are added.
 * Ownership  Rows are borrowed and must live as long as the tree; matched values are borrowed from
 *            the segments.
 * Units      Nothing to say.
 * Errors     ERR_STATE naming the pattern that is there twice or cannot be read.
 */
#ifndef FEALTY_ROUTES_H
#define FEALTY_ROUTES_H

#include "http/exchange.h"

#define ROUTE_SEGMENTS_MAX 12

typedef struct routes routes_t;

routes_t *routes_new(void);
void routes_destroy(routes_t **self_p);
errcode_t routes_add(routes_t *self, const route_t *rows, size_t count, err_t *err);

/* Splits a raw path ("/a/b/") into segments; decodes them when the path holds a percent sign.
 * *count is -1 for what cannot be any route (empty or too many segments). */
errcode_t routes_split(const char *path, text_t segments[ROUTE_SEGMENTS_MAX], int *count,
                       arena_t *arena, err_t *err);

typedef struct {
    const char *allow; /* value of the Allow header */
    const void *place; /* for route_for */
    text_t params[EXCHANGE_PARAMS_MAX];
    size_t param_count;
} route_match_t;

bool routes_match(const routes_t *self, const text_t *segments, int count, route_match_t *out);
/* The row that answers a method there; HEAD is answered by GET's. NULL: 405. */
const route_t *route_for(const route_match_t *match, method_t method);

/* Calls `visit` for every row, in the order they were added. */
void routes_each(const routes_t *self, void (*visit)(void *context, const route_t *row),
                 void *context);

#endif
