/* routes.c - a tree of path segments, built once */
#include "http/routes.h"

#include "http/form.h"

#include <stdlib.h>

#define METHOD_COUNT 7
#define TABLES_MAX   8

typedef struct node node_t;
struct node {
    const char *text; /* literal; borrowed from a pattern; NULL for the root and for a {name} */
    size_t bytes;
    bool verbatim;     /* {key} */
    node_t *sibling;   /* next literal child of the same parent */
    node_t *literals;  /* owned */
    node_t *parameter; /* owned; NULL: none */
    const route_t *rows[METHOD_COUNT];
    char allow[64]; /* "" when no row ends here */
};

struct routes {
    node_t root;
    const route_t *tables[TABLES_MAX];
    size_t counts[TABLES_MAX];
    size_t table_count;
};

static errcode_t add_row(routes_t *self, const route_t *row, err_t *err);
static node_t *child_for(node_t *parent, const char *text, size_t bytes);
static void write_allow(node_t *node);
static void free_children(node_t *node);
static const node_t *match_from(const node_t *node, const text_t *segments, int left,
                                route_match_t *out);

/* Position of a method's bit. */
static int method_at(method_t method)
{
    for (int i = 0; i < METHOD_COUNT; i++) {
        if (method == (method_t)(1 << i))
            return i;
    }
    return -1;
}

routes_t *routes_new(void)
{
    return memory_zalloc(sizeof(routes_t));
}

void routes_destroy(routes_t **self_p)
{
    if (*self_p == NULL)
        return;
    free_children(&(*self_p)->root);
    free(*self_p);
    *self_p = NULL;
}

errcode_t routes_add(routes_t *self, const route_t *rows, size_t count, err_t *err)
{
    INVARIANT(self->table_count < TABLES_MAX);
    for (size_t i = 0; i < count; i++) {
        errcode_t rc = add_row(self, &rows[i], err);

        if (rc != ERR_NONE)
            return rc;
    }
    self->tables[self->table_count] = rows;
    self->counts[self->table_count++] = count;
    return ERR_NONE;
}

errcode_t routes_split(const char *path, text_t segments[ROUTE_SEGMENTS_MAX], int *count,
                       arena_t *arena, err_t *err)
{
    bool decode = strchr(path, '%') != NULL;
    int n = 0;

    *count = -1;
    if (*path != '/')
        return ERR_NONE;
    path++;
    while (*path != '\0') {
        size_t bytes = strcspn(path, "/");

        if (bytes == 0 || n == ROUTE_SEGMENTS_MAX)
            return ERR_NONE;
        segments[n] = (text_t){path, bytes};
        if (decode) {
            errcode_t rc = percent_decode(&segments[n], path, bytes, false, arena, err);

            if (rc != ERR_NONE)
                return rc;
        } else if (!text_is_utf8(path, bytes)) {
            return err_set(err, ERR_MALFORMED, "the path is not UTF-8");
        }
        n++;
        path += bytes;
        if (*path == '/')
            path++;
    }
    *count = n;
    return ERR_NONE;
}

bool routes_match(const routes_t *self, const text_t *segments, int count, route_match_t *out)
{
    const node_t *node;

    *out = (route_match_t){.allow = NULL};
    if (count < 0)
        return false;
    node = match_from(&self->root, segments, count, out);
    if (node == NULL)
        return false;
    out->allow = node->allow;
    out->place = node;
    return true;
}

const route_t *route_for(const route_match_t *match, method_t method)
{
    const node_t *node = match->place;
    int at = method_at(method == METHOD_HEAD ? METHOD_GET : method);

    return at < 0 ? NULL : node->rows[at];
}

void routes_each(const routes_t *self, void (*visit)(void *context, const route_t *row),
                 void *context)
{
    for (size_t table = 0; table < self->table_count; table++) {
        for (size_t i = 0; i < self->counts[table]; i++)
            visit(context, &self->tables[table][i]);
    }
}

static errcode_t add_row(routes_t *self, const route_t *row, err_t *err)
{
    node_t *node = &self->root;
    const char *at = row->pattern;
    int method = method_at(row->method);
    int params = 0, depth = 0;

    if (*at != '/' || method < 0 || row->handler == NULL)
        return err_set(err, ERR_STATE, "route %s is not complete", row->pattern);
    at++;
    while (*at != '\0') {
        size_t bytes = strcspn(at, "/");

        if (bytes == 0 || ++depth > ROUTE_SEGMENTS_MAX)
            return err_set(err, ERR_STATE, "route %s has an empty or too many segments",
                           row->pattern);
        if (*at == '{' && ++params > EXCHANGE_PARAMS_MAX)
            return err_set(err, ERR_STATE, "route %s has too many parameters", row->pattern);
        node = child_for(node, at, bytes);
        at += bytes;
        if (*at == '/')
            at++;
    }
    if (node->rows[method] != NULL)
        return err_set(err, ERR_STATE, "route %s is there twice for one method", row->pattern);
    node->rows[method] = row;
    write_allow(node);
    return ERR_NONE;
}

static node_t *child_for(node_t *parent, const char *text, size_t bytes)
{
    node_t *node;

    if (*text == '{') {
        if (parent->parameter == NULL)
            parent->parameter = memory_zalloc(sizeof *node);
        if (bytes == 5 && memcmp(text, "{key}", 5) == 0)
            parent->parameter->verbatim = true;
        return parent->parameter;
    }
    for (node = parent->literals; node != NULL; node = node->sibling) {
        if (node->bytes == bytes && memcmp(node->text, text, bytes) == 0)
            return node;
    }
    node = memory_zalloc(sizeof *node);
    node->text = text;
    node->bytes = bytes;
    node->sibling = parent->literals;
    parent->literals = node;
    return node;
}

static void write_allow(node_t *node)
{
    static const char *const names[METHOD_COUNT] = {"GET",   "HEAD",   "POST",   "PUT",
                                                    "PATCH", "DELETE", "OPTIONS"};
    size_t n = 0;

    for (int i = 0; i < METHOD_COUNT; i++) {
        bool served =
            node->rows[i] != NULL || names[i][0] == 'O' || (i == 1 && node->rows[0] != NULL);
        size_t bytes = strlen(names[i]);

        if (!served)
            continue;
        if (n > 0) {
            memcpy(node->allow + n, ", ", 2);
            n += 2;
        }
        memcpy(node->allow + n, names[i], bytes + 1);
        n += bytes;
    }
}

static void free_children(node_t *node)
{
    node_t *next;

    for (node_t *child = node->literals; child != NULL; child = next) {
        next = child->sibling;
        free_children(child);
        free(child);
    }
    if (node->parameter != NULL) {
        free_children(node->parameter);
        free(node->parameter);
    }
}

static bool literal_is(const node_t *node, const text_t *segment, size_t bytes)
{
    return node->bytes == bytes && memcmp(node->text, segment->bytes, bytes) == 0;
}

static const node_t *match_from(const node_t *node, const text_t *segments, int left,
                                route_match_t *out)
{
    size_t plain, kept = out->param_count;
    const node_t *found;

    if (left == 0)
        return node->allow[0] != '\0' ? node : NULL;
    plain = segments->n;
    if (left == 1 && plain > 5 && memcmp(segments->bytes + plain - 5, ".json", 5) == 0)
        plain -= 5;
    for (const node_t *child = node->literals; child != NULL; child = child->sibling) {
        if (!literal_is(child, segments, segments->n) && !literal_is(child, segments, plain))
            continue;
        found = match_from(child, segments + 1, left - 1, out);
        if (found != NULL)
            return found;
        break;
    }
    if (node->parameter == NULL)
        return NULL;
    if (node->parameter->verbatim)
        plain = segments->n;
    else if (memchr(segments->bytes, '.', plain) != NULL)
        return NULL;
    out->params[out->param_count++] = (text_t){segments->bytes, plain};
    found = match_from(node->parameter, segments + 1, left - 1, out);
    if (found == NULL)
        out->param_count = kept;
    return found;
}
