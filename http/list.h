/* list.h - lists on the wire: pages, envelope, ordering, search (api-resources 1.4)
 *
 * Contract   Pages are numbered from 1; `last` is the last one. A page size above 1,000 is 1,000; 0 and what is no number
 *            is 100. Page 1 of an empty list exists; page 0 and pages behind the end do not. Links are absolute and keep
 *            all other parameters as they were sent. Unknown names in `ordering` are ignored.
 * Threads    Pure.
 * Ownership  Keys borrow text from the row or from the arena they were made in.
 * Units      Rows.
 * Errors     false: there is no such page.
 */
#ifndef FEALTY_LIST_H
#define FEALTY_LIST_H

#include "protocol/command.h"
#include "protocol/schema.h"

#define LIST_PAGE_DEFAULT 100
#define LIST_PAGE_MAX     1000
#define LIST_TERMS_MAX    4

typedef struct {
    uint64_t number; /* from 1; UINT64_MAX: the last one */
    uint32_t size;
    bool asked; /* `page` was given */
    bool sized; /* `page_size` was given and is a size */
} list_page_t;

/* Texts with n 0 were not sent. */
bool list_page_parse(text_t page, text_t size, list_page_t *out);

typedef struct {
    uint64_t total;
    bool exact;      /* total is the number of rows, not only so many that are known of */
    uint64_t number; /* of the page shown */
    uint64_t offset; /* rows before it */
    uint32_t count;  /* rows on it */
    uint32_t size;
} list_range_t;

/* Rows of a page. With a total that is not exact, a page behind it is refused too. */
bool list_range(const list_page_t *page, uint64_t total, bool exact, list_range_t *out);

/* {"count":…,"next":…,"previous":…,"results":[ and its end. `more`: rows follow although the total does not say so. */
void list_open(buffer_t *out, const char *base_url, const char *path, const char *query,
               const list_range_t *range, bool more);
void list_close(buffer_t *out);
/* Absolute URL of another page, as a JSON string; page 1 has no `page` parameter. */
void list_link(buffer_t *out, const char *base_url, const char *path, const char *query,
               uint64_t page);

typedef struct {
    const schema_field_t *field;
    bool descending;
} list_term_t;

/* Terms of "a,-b"; at most LIST_TERMS_MAX, of scalar fields that can be read. Returns how many. */
size_t list_order_parse(const schema_table_t *table, text_t ordering,
                        list_term_t out[LIST_TERMS_MAX]);

/* One value to sort by. */
typedef struct {
    bool null;       /* sorts behind all others, ascending */
    int128_t number; /* numbers, booleans and instants */
    text_t text;     /* all else */
} list_key_t;

/* Key of a field's value in wire form; NULL is null. Text that does not live in the arena is copied when `copy`. */
list_key_t list_key(const schema_field_t *field, const json_t *value, arena_t *copy);

typedef struct {
    uint64_t id;
    size_t place; /* the caller's */
    list_key_t keys[LIST_TERMS_MAX];
} list_row_t;

/* Sorts by the terms, then by id in the direction of the last term. */
void list_sort(list_row_t *rows, size_t count, const list_term_t *terms, size_t term_count);

/* Case-insensitive: Latin, Greek and Cyrillic letters. An empty needle is in everything. */
bool list_contains(text_t text, text_t needle);

#endif
