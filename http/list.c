/* list.c - pages, links, order and search of lists */
#include "http/list.h"

#include "protocol/calendar.h"
#include "protocol/decimal.h"

#include <inttypes.h>
#include <stdlib.h>

#define PAGE_DIGITS_MAX 18
#define LINK_BYTES_MAX  ((size_t)64 * 1024)

/* false when the text is no number of up to 18 digits. */
static bool read_number(text_t text, uint64_t *out)
{
    *out = 0;
    if (text.n == 0 || text.n > PAGE_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    return true;
}

bool list_page_parse(text_t page, text_t size, list_page_t *out)
{
    uint64_t number;

    *out = (list_page_t){.number = 1, .size = LIST_PAGE_DEFAULT, .asked = page.n > 0};
    if (size.n > PAGE_DIGITS_MAX) { /* a very large number is a large number */
        out->size = LIST_PAGE_MAX;
        out->sized = true;
        for (size_t i = 0; i < size.n; i++) {
            if (size.bytes[i] < '0' || size.bytes[i] > '9') {
                out->size = LIST_PAGE_DEFAULT;
                out->sized = false;
            }
        }
    } else if (read_number(size, &number) && number > 0) {
        out->size = number > LIST_PAGE_MAX ? LIST_PAGE_MAX : (uint32_t)number;
        out->sized = true;
    }
    if (page.n == 4 && memcmp(page.bytes, "last", 4) == 0)
        out->number = UINT64_MAX;
    else if (page.n > 0 && (!read_number(page, &out->number) || out->number == 0))
        return false;
    return true;
}

bool list_range(const list_page_t *page, uint64_t total, bool exact, list_range_t *out)
{
    uint64_t pages = total == 0 ? 1 : (total - 1) / page->size + 1;
    uint64_t number = page->number == UINT64_MAX ? pages : page->number;

    *out = (list_range_t){.total = total, .exact = exact, .number = number, .size = page->size};
    if (number > pages)
        return false;
    out->offset = (number - 1) * page->size;
    out->count = total - out->offset < page->size ? (uint32_t)(total - out->offset) : page->size;
    return true;
}

void list_open(buffer_t *out, const char *base_url, const char *path, const char *query,
               const list_range_t *range, bool more)
{
    buffer_printf(out, "{\"count\":%" PRIu64 ",", range->total);
    if (!range->exact)
        buffer_text(out, "\"count_exact\":false,");
    buffer_text(out, "\"next\":");
    if (range->offset + range->count < range->total || more)
        list_link(out, base_url, path, query, range->number + 1);
    else
        buffer_text(out, "null");
    buffer_text(out, ",\"previous\":");
    if (range->number > 1)
        list_link(out, base_url, path, query, range->number - 1);
    else
        buffer_text(out, "null");
    buffer_text(out, ",\"results\":[");
}

void list_close(buffer_t *out)
{
    buffer_text(out, "]}");
}

/* As it was sent, but for bytes that have no place in a URL or in UTF-8 text. */
static void append_raw(buffer_t *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '<' || c == '>' || c == '\\')
            buffer_printf(out, "%%%02X", c);
        else
            buffer_byte(out, c);
    }
}

void list_link(buffer_t *out, const char *base_url, const char *path, const char *query,
               uint64_t page)
{
    buffer_t url;
    char separator = '?';

    buffer_init(&url, LINK_BYTES_MAX);
    append_raw(&url, base_url == NULL ? "" : base_url, base_url == NULL ? 0 : strlen(base_url));
    append_raw(&url, path, strlen(path));
    for (const char *at = query == NULL ? "" : query; *at != '\0';) {
        size_t n = strcspn(at, "&");
        bool is_page =
            (n >= 5 && memcmp(at, "page=", 5) == 0) || (n == 4 && memcmp(at, "page", 4) == 0);
        if (n > 0 && !is_page) {
            buffer_byte(&url, (uint8_t)separator);
            append_raw(&url, at, n);
            separator = '&';
        }
        at += n + (at[n] == '&');
    }
    if (page > 1)
        buffer_printf(&url, "%cpage=%" PRIu64, separator, page);
    if (url.failed)
        buffer_text(out, "null");
    else
        json_write_string(out, (const char *)url.bytes, url.size);
    buffer_free(&url);
}

/* --- order --- */

static bool can_sort(const schema_field_t *field)
{
    return field->type != SCHEMA_JSON && field->type != SCHEMA_NESTED &&
           !(field->flags & SCHEMA_WRITE_ONLY);
}

size_t list_order_parse(const schema_table_t *table, text_t ordering,
                        list_term_t out[LIST_TERMS_MAX])
{
    size_t count = 0;

    for (size_t at = 0; at < ordering.n && count < LIST_TERMS_MAX;) {
        const char *start = ordering.bytes + at;
        const char *comma = memchr(start, ',', ordering.n - at);
        size_t n = comma == NULL ? ordering.n - at : (size_t)(comma - start);
        at += n + 1;
        while (n > 0 && *start == ' ') {
            start++;
            n--;
        }
        while (n > 0 && start[n - 1] == ' ')
            n--;
        bool descending = n > 0 && *start == '-';
        const schema_field_t *field = schema_field(table, start + descending, n - descending);
        if (field != NULL && can_sort(field))
            out[count++] = (list_term_t){field, descending};
    }
    return count;
}

list_key_t list_key(const schema_field_t *field, const json_t *value, arena_t *copy)
{
    list_key_t key = {.text = {"", 0}};
    decimal_t number;
    int64_t at_us;

    if (value == NULL || value->type == JSON_NULL)
        return (list_key_t){.null = true, .text = {"", 0}};
    switch (field->type) {
    case SCHEMA_BOOL: key.number = value->type == JSON_TRUE; return key;
    case SCHEMA_INT:
    case SCHEMA_COUNT:
    case SCHEMA_BIG:
    case SCHEMA_FOREIGN:
    case SCHEMA_DECIMAL:
        if ((value->type == JSON_NUMBER || value->type == JSON_STRING) &&
            decimal_parse(&number, value->text, value->text_bytes, 38, DECIMAL_SCALE_MAX, true,
                          NULL) == ERR_NONE)
            key.number = number.value;
        return key;
    case SCHEMA_DATETIME:
        if (value->type == JSON_STRING &&
            instant_parse(&at_us, value->text, value->text_bytes, true, NULL) == ERR_NONE)
            key.number = at_us;
        return key;
    default: break;
    }
    if (value->type == JSON_STRING && value->text_bytes > 0) {
        const char *text =
            copy == NULL ? value->text : arena_copy(copy, value->text, value->text_bytes);
        if (text != NULL)
            key.text = (text_t){text, value->text_bytes};
    }
    return key;
}

typedef struct {
    const list_term_t *terms;
    size_t count;
} order_t;

static int compare_keys(const list_key_t *a, const list_key_t *b)
{
    if (a->null || b->null)
        return (int)a->null - (int)b->null;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    size_t common = a->text.n < b->text.n ? a->text.n : b->text.n;
    int order = common == 0 ? 0 : memcmp(a->text.bytes, b->text.bytes, common);
    return order != 0 ? order : (a->text.n > b->text.n) - (a->text.n < b->text.n);
}

static int compare_rows(const void *a, const void *b, void *context)
{
    const list_row_t *x = a;
    const list_row_t *y = b;
    const order_t *order = context;
    bool descending = order->count > 0 && order->terms[order->count - 1].descending;

    for (size_t i = 0; i < order->count; i++) {
        int result = compare_keys(&x->keys[i], &y->keys[i]);
        if (result != 0)
            return order->terms[i].descending ? -result : result;
    }
    int result = (x->id > y->id) - (x->id < y->id);
    return descending ? -result : result;
}

void list_sort(list_row_t *rows, size_t count, const list_term_t *terms, size_t term_count)
{
    order_t order = {terms, term_count};

    if (count > 1)
        qsort_r(rows, count, sizeof *rows, compare_rows, &order);
}

/* --- search --- */

/* The code point at *at, in lower case; invalid bytes stand for themselves. Moves *at on. */
static uint32_t next_lower(const char **at, const char *end)
{
    const uint8_t *byte = (const uint8_t *)*at;
    size_t left = (size_t)(end - *at);
    size_t more = byte[0] >= 0xF0 ? 3 : byte[0] >= 0xE0 ? 2 : byte[0] >= 0xC2 ? 1 : 0;
    uint32_t point = byte[0];

    if (more < left && more > 0) {
        point &= 0x3Fu >> more;
        for (size_t i = 1; i <= more; i++)
            point = point << 6 | (byte[i] & 0x3Fu);
        *at += more + 1;
    } else {
        *at += 1;
    }
    if ((point >= 'A' && point <= 'Z') || (point >= 0xC0 && point <= 0xDE && point != 0xD7) ||
        (point >= 0x391 && point <= 0x3A9) || (point >= 0x410 && point <= 0x42F))
        return point + 32;
    if (point >= 0x400 && point <= 0x40F)
        return point + 80;
    bool even_is_upper = (point >= 0x100 && point <= 0x137) || (point >= 0x14A && point <= 0x177) ||
                         (point >= 0x460 && point <= 0x481) || (point >= 0x48A && point <= 0x4BF) ||
                         (point >= 0x1E00 && point <= 0x1E95) ||
                         (point >= 0x1EA0 && point <= 0x1EFF);
    bool odd_is_upper = (point >= 0x139 && point <= 0x148) || (point >= 0x179 && point <= 0x17E);
    if ((even_is_upper && point % 2 == 0) || (odd_is_upper && point % 2 == 1))
        return point + 1;
    return point;
}

bool list_contains(text_t text, text_t needle)
{
    const char *end = text.bytes + text.n;
    const char *needle_end = needle.bytes + needle.n;

    if (needle.n == 0)
        return true;
    for (const char *start = text.bytes; start < end;) {
        const char *at = start;
        const char *wanted = needle.bytes;
        while (at < end && wanted < needle_end) {
            const char *next_at = at;
            const char *next_wanted = wanted;
            if (next_lower(&next_at, end) != next_lower(&next_wanted, needle_end))
                break;
            at = next_at;
            wanted = next_wanted;
        }
        if (wanted == needle_end)
            return true;
        (void)next_lower(&start, end);
    }
    return false;
}
