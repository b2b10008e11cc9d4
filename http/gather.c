/* gather.c - pages of accounts and entries: by window of one partition, across all, or sorted as a whole */
#include "http/gather.h"

#include "http/call.h"

#include <stdlib.h>

#define CHUNK_FIRST     100
#define CHUNK_NEXT      2000
#define CHUNK_BYTES_MAX ((size_t)24 * 1024 * 1024)
#define ROWS_BYTES_MAX  ((size_t)64 * 1024 * 1024)
#define KEYS_BYTES_MAX  ((size_t)64 * 1024 * 1024)
#define QUERY_SKIP_MOST 1000000 /* what queries accept */

typedef struct {
    uint64_t id;
    int64_t recorded_us; /* of an entry */
    size_t at, n;        /* its bytes in rows_t */
} row_t;

typedef struct {
    buffer_t bytes;
    row_t *items; /* owned */
    size_t count, capacity;
} rows_t;

/* What one partition answered last. */
typedef struct {
    buffer_t bytes;
    answer_t answer;
    uint32_t limit;   /* that the chunk was asked with: a shorter one is the last */
    uint32_t taken;   /* rows read from the chunk */
    uint64_t last_id; /* of the last row read; 0: none yet */
    uint64_t read;    /* rows read in all chunks */
    row_t head;       /* next row, when has_head; `at` is unused */
    const uint8_t *head_bytes;
    bool has_head;
} source_t;

typedef struct {
    gather_t *job;
    bool entries;
    uint16_t first, count; /* partitions */
    source_t *sources;     /* owned; count of them */
    uint64_t total;
    bool exact;
    rows_t rows;
    list_range_t range;
    bool more;
    bool failed; /* the error is written */
} work_t;

static void open_sources(work_t *self, bool oldest);
static void close_sources(work_t *self);
static void answer_window(work_t *self);
static void answer_sorted(work_t *self, const list_term_t *terms, size_t term_count);
static void account_window(work_t *self, bool descending);
static void merged_window(work_t *self, bool oldest);
static void write_rows(work_t *self, size_t from, size_t count);
static void write_page(work_t *self, size_t from, size_t count);

static void invalid_page(work_t *self)
{
    exchange_detail(self->job->exchange, 404, "Invalid page.");
    self->failed = true;
}

static void too_deep(work_t *self)
{
    exchange_detail(
        self->job->exchange, 400,
        self->entries
            ? "The page lies too deep; narrow the list with created_before, account or customer."
            : "The page lies too deep; narrow the list with program, status, tier or customer.");
    self->failed = true;
}

/* The rows of the page. A total that is not exact says only how many there are at least: then the rows decide. */
static void set_range(work_t *self)
{
    const list_page_t *page = &self->job->page;

    if (self->failed)
        return;
    if (self->exact) {
        if (!list_range(page, self->total, true, &self->range))
            invalid_page(self);
        return;
    }
    if (page->number > LIST_DEPTH_MAX || (page->number - 1) * page->size > LIST_DEPTH_MAX) {
        too_deep(self);
        return;
    }
    self->range = (list_range_t){.total = self->total,
                                 .number = page->number,
                                 .size = page->size,
                                 .offset = (page->number - 1) * page->size,
                                 .count = page->size};
}

/* Rows to fetch: one more than shown tells whether others follow, where the total does not. */
static size_t wanted(const work_t *self)
{
    return self->range.count + (self->exact ? 0u : 1u);
}

static void finish_page(work_t *self)
{
    if (self->failed)
        return;
    if (!self->exact) {
        self->more = self->rows.count > self->range.count;
        if (!self->more)
            self->range.count = (uint32_t)self->rows.count;
        uint64_t known = self->range.offset + self->range.count + self->more;
        if (self->range.total < known || !self->more)
            self->range.total = known;
        self->range.exact = !self->more; /* the end was seen */
        if (self->range.count == 0 && self->range.number > 1) {
            invalid_page(self);
            return;
        }
    }
    write_page(self, 0,
               self->range.count < self->rows.count ? self->range.count : self->rows.count);
}

void gather_answer(gather_t *self)
{
    work_t work = {.job = self, .entries = self->query.kind == QUERY_ENTRIES, .exact = true};
    list_term_t terms[LIST_TERMS_MAX];
    size_t term_count = list_order_parse(self->table, self->ordering, terms);

    work.first = self->single ? self->partition : 0;
    work.count = self->single ? 1 : router_partitions(self->exchange->router);
    buffer_init(&work.rows.bytes, ROWS_BYTES_MAX);
    if (self->nothing) {
        set_range(&work);
        if (!work.failed)
            write_page(&work, 0, 0);
    } else if (self->single && term_count == 0 && self->search.n == 0) {
        answer_window(&work);
    } else {
        bool by_id = !work.entries && term_count == 1 && strcmp(terms[0].field->name, "id") == 0;
        open_sources(&work, false);
        if (work.failed) {
            /* written */
        } else if (work.exact && work.total <= LIST_SORTED_MAX &&
                   (work.entries || self->search.n > 0 || (term_count > 0 && !by_id))) {
            static const char created[] = "created_at";
            static const char id[] = "id";
            if (term_count == 0 && work.entries) {
                terms[term_count++] =
                    (list_term_t){schema_field(self->table, created, sizeof created - 1), true};
                terms[term_count++] =
                    (list_term_t){schema_field(self->table, id, sizeof id - 1), true};
            }
            answer_sorted(&work, terms, term_count);
        } else if (self->search.n > 0) {
            exchange_detail(
                self->exchange, 400,
                "More than 10000 rows cannot be searched; narrow the list with a filter.");
        } else if (self->single && work.entries) { /* the partition has an order for them */
            if (term_count > 0 && !terms[0].descending)
                self->query.set |= QUERY_OLDEST_FIRST;
            answer_window(&work);
        } else if (work.entries) {
            merged_window(&work, term_count > 0 && !terms[0].descending);
        } else {
            account_window(&work, by_id && terms[0].descending);
        }
    }
    close_sources(&work);
    buffer_free(&work.rows.bytes);
    free(work.rows.items);
}

/* --- rows --- */

static bool row_read(const work_t *self, const void *bytes, size_t n, row_t *out, err_t *err)
{
    if (self->entries) {
        entry_t entry;
        if (entry_decode(&entry, bytes, n, err) != ERR_NONE)
            return false;
        *out = (row_t){.id = entry.id, .recorded_us = entry.recorded_us, .n = n};
    } else {
        account_t account;
        if (account_decode(&account, bytes, n, err) != ERR_NONE)
            return false;
        *out = (row_t){.id = account.id, .n = n};
    }
    return true;
}

static void row_add(work_t *self, row_t row, const uint8_t *bytes)
{
    rows_t *rows = &self->rows;

    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity == 0 ? 128 : rows->capacity * 2;
        rows->items = memory_realloc(rows->items, rows->capacity * sizeof *rows->items);
    }
    row.at = rows->bytes.size;
    buffer_append(&rows->bytes, bytes, row.n);
    if (rows->bytes.failed) {
        exchange_detail(self->job->exchange, 400,
                        "The rows of this list are too large together; narrow it.");
        self->failed = true;
        return;
    }
    rows->items[rows->count++] = row;
}

static void row_write(const work_t *self, const row_t *row, buffer_t *out)
{
    exchange_t *exchange = self->job->exchange;
    const uint8_t *bytes = self->rows.bytes.bytes + row->at;

    /* Rows were decoded before they were kept. */
    if (self->entries) {
        entry_t entry;
        INVARIANT(entry_decode(&entry, bytes, row->n, NULL) == ERR_NONE);
        render_entry(&entry, out);
    } else {
        account_t account;
        INVARIANT(account_decode(&account, bytes, row->n, NULL) == ERR_NONE);
        render_account(&account, router_catalogue(exchange->router), out);
    }
}

static void write_rows(work_t *self, size_t from, size_t count)
{
    buffer_t *out = &self->job->exchange->out;

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_byte(out, ',');
        row_write(self, &self->rows.items[from + i], out);
    }
}

static void write_page(work_t *self, size_t from, size_t count)
{
    exchange_t *exchange = self->job->exchange;

    exchange->status = 200;
    if (self->job->bare) {
        buffer_byte(&exchange->out, '[');
        write_rows(self, from, count);
        buffer_byte(&exchange->out, ']');
    } else {
        list_open(&exchange->out, exchange->base_url, exchange->path, exchange->query, &self->range,
                  self->more);
        write_rows(self, from, count);
        list_close(&exchange->out);
    }
    if (exchange->out.failed) {
        buffer_reset(&exchange->out);
        exchange_detail(exchange, 400,
                        "The rows of this page are too large together; ask for a smaller page.");
    }
}

static void reverse_rows(rows_t *rows)
{
    for (size_t i = 0; i < rows->count / 2; i++) {
        row_t other = rows->items[i];
        rows->items[i] = rows->items[rows->count - 1 - i];
        rows->items[rows->count - 1 - i] = other;
    }
}

/* --- asking --- */

static void fail(work_t *self, const err_t *err, uint16_t partition)
{
    error_outcome(self->job->exchange, err, partition, (text_t){NULL, 0});
    self->failed = true;
}

static void source_decode(work_t *self, uint16_t i)
{
    source_t *source = &self->sources[i];
    err_t err;

    if (answer_decode(&source->answer, source->bytes.bytes, source->bytes.size, &err) != ERR_NONE)
        fail(self, &err, (uint16_t)(self->first + i));
    source->taken = 0;
}

/* One chunk of one partition into its source. */
static void ask(work_t *self, uint16_t i, const query_t *query)
{
    source_t *source = &self->sources[i];
    exchange_t *exchange = self->job->exchange;
    uint16_t partition = (uint16_t)(self->first + i);
    err_t err;

    source->limit = query->limit;
    buffer_reset(&source->bytes);
    if ((self->job->single
             ? exchange_query(exchange, partition, query, &source->bytes, &err)
             : router_query_at(exchange->router, partition, exchange->level, query,
                               exchange->deadline_us, &source->bytes, &err)) != ERR_NONE)
        fail(self, &err, partition);
    else
        source_decode(self, i);
}

/* A scatter does not say which partition it failed at: the first that cannot be asked alone is named. */
static void fail_scatter(work_t *self, const err_t *err)
{
    exchange_t *exchange = self->job->exchange;
    query_t probe = self->job->query;

    probe.limit = 1;
    for (uint16_t i = 0; i < self->count && err->code == ERR_UNREACHABLE; i++) {
        err_t own;
        buffer_reset(&self->sources[i].bytes);
        if (router_query_at(exchange->router, i, exchange->level, &probe, exchange->deadline_us,
                            &self->sources[i].bytes, &own) == ERR_UNREACHABLE) {
            fail(self, &own, i);
            return;
        }
    }
    exchange_error(exchange, err);
    self->failed = true;
}

/* First rows and counts of all partitions. */
static void open_sources(work_t *self, bool oldest)
{
    exchange_t *exchange = self->job->exchange;
    query_t query = self->job->query;
    err_t err;

    close_sources(self);
    self->sources = memory_zalloc(self->count * sizeof *self->sources);
    for (uint16_t i = 0; i < self->count; i++)
        buffer_init(&self->sources[i].bytes, CHUNK_BYTES_MAX);
    query.limit = CHUNK_FIRST;
    if (oldest)
        query.set |= QUERY_OLDEST_FIRST;
    if (self->job->single) {
        ask(self, 0, &query);
    } else {
        buffer_t *answers = memory_zalloc(self->count * sizeof *answers);
        for (uint16_t i = 0; i < self->count; i++)
            buffer_init(&answers[i], CHUNK_BYTES_MAX);
        errcode_t rc = router_scatter_at(exchange->router, exchange->level, &query,
                                         exchange->deadline_us, answers, &err);
        for (uint16_t i = 0; i < self->count; i++) {
            self->sources[i].bytes = answers[i];
            self->sources[i].limit = CHUNK_FIRST;
            if (rc == ERR_NONE && !self->failed)
                source_decode(self, i);
        }
        free(answers);
        if (rc != ERR_NONE)
            fail_scatter(self, &err);
    }
    self->total = 0;
    self->exact = true;
    for (uint16_t i = 0; i < self->count && !self->failed; i++) {
        self->total += self->sources[i].answer.count;
        self->exact = self->exact && self->sources[i].answer.count_exact;
    }
}

static void close_sources(work_t *self)
{
    for (uint16_t i = 0; self->sources != NULL && i < self->count; i++)
        buffer_free(&self->sources[i].bytes);
    free(self->sources);
    self->sources = NULL;
}

/* Next row of a partition: out of its chunk, or of a further one. Sets has_head. */
static void advance(work_t *self, uint16_t i, bool oldest)
{
    source_t *source = &self->sources[i];
    const void *bytes = NULL;
    err_t err;

    source->has_head = false;
    if (source->taken == source->answer.row_count) {
        query_t query = self->job->query;
        /* Of an account or a customer the list is counted off; else it goes on behind the last row. */
        bool by_skip = (query.set & (QUERY_BY_CUSTOMER | QUERY_BY_ACCOUNT)) != 0 ||
                       query.kind == QUERY_ACCOUNTS_OF;
        if (source->answer.row_count < source->limit)
            return;
        query.limit = CHUNK_NEXT;
        if (oldest)
            query.set |= QUERY_OLDEST_FIRST;
        if (by_skip)
            query.skip = source->read;
        else if (self->entries)
            query.entry = source->last_id;
        else
            query.account = source->last_id;
        ask(self, i, &query);
        if (self->failed || source->answer.row_count == 0)
            return;
    }
    size_t n = unpack_blob(&source->answer.rows, &bytes);
    if (source->answer.rows.failed) {
        err_set(&err, ERR_CORRUPT, "a row of an answer cannot be read");
        fail(self, &err, (uint16_t)(self->first + i));
        return;
    }
    if (!row_read(self, bytes, n, &source->head, &err)) {
        fail(self, &err, (uint16_t)(self->first + i));
        return;
    }
    source->head_bytes = bytes;
    source->has_head = true;
    source->taken++;
    source->read++;
    source->last_id = source->head.id;
}

/* --- one partition, its own order --- */

static void answer_window(work_t *self)
{
    gather_t *job = self->job;
    query_t query = job->query;

    close_sources(self);
    self->sources = memory_zalloc(sizeof *self->sources);
    buffer_init(&self->sources->bytes, CHUNK_BYTES_MAX);
    if (job->bare) {
        size_t most = job->page.sized ? job->page.size : LIST_SORTED_MAX;

        query.limit = job->page.sized ? job->page.size : CHUNK_NEXT;
        ask(self, 0, &query);
        while (!self->failed && self->rows.count < most) {
            advance(self, 0, false);
            if (self->failed || !self->sources->has_head)
                break;
            row_add(self, self->sources->head, self->sources->head_bytes);
        }
        if (!self->failed)
            write_page(self, 0, self->rows.count);
        return;
    }
    if (job->page.number == UINT64_MAX) { /* how far is the last one? */
        query.limit = 1;
        ask(self, 0, &query);
        if (self->failed)
            return;
        job->page.number = self->sources->answer.count == 0
                               ? 1
                               : (self->sources->answer.count - 1) / job->page.size + 1;
    }
    if (job->page.number > (uint64_t)INT32_MAX ||
        (job->page.number - 1) * job->page.size > QUERY_SKIP_MOST) {
        invalid_page(self); /* further than any list of a customer is looked at */
        return;
    }
    query.limit = job->page.size + 1; /* one more tells whether others follow */
    query.skip = (job->page.number - 1) * job->page.size;
    ask(self, 0, &query);
    if (self->failed)
        return;
    self->total = self->sources->answer.count;
    self->exact = self->sources->answer.count_exact;
    set_range(self);
    for (uint32_t i = 0;
         i < self->sources->answer.row_count && !self->failed && self->rows.count < wanted(self);
         i++) {
        advance(self, 0, false);
        if (!self->failed && self->sources->has_head)
            row_add(self, self->sources->head, self->sources->head_bytes);
    }
    finish_page(self);
}

/* --- all rows, sorted --- */

static bool found_by(const schema_table_t *table, const json_t *object, text_t search)
{
    bool searchable = false;

    for (size_t i = 0; i < table->count; i++) {
        if (!(table->fields[i].flags & SCHEMA_SEARCH))
            continue;
        const json_t *value = json_member(object, table->fields[i].name);
        searchable = true;
        if (value != NULL && value->type == JSON_STRING &&
            list_contains((text_t){value->text, value->text_bytes}, search))
            return true;
    }
    return !searchable; /* a resource without names is not searched */
}

static void answer_sorted(work_t *self, const list_term_t *terms, size_t term_count)
{
    list_row_t *sorted = NULL;
    size_t count = 0;
    arena_t keys, scratch;
    buffer_t text;

    arena_init(&keys, KEYS_BYTES_MAX);
    arena_init(&scratch, KEYS_BYTES_MAX);
    buffer_init(&text, CHUNK_BYTES_MAX);
    for (uint16_t i = 0; i < self->count && !self->failed; i++) {
        for (;;) {
            advance(self, i, false);
            if (self->failed || !self->sources[i].has_head ||
                self->rows.count > (size_t)2 * LIST_SORTED_MAX)
                break;
            row_add(self, self->sources[i].head, self->sources[i].head_bytes);
            if (self->failed)
                break;
        }
    }
    if (self->failed)
        goto cleanup;
    sorted = memory_alloc((self->rows.count + 1) * sizeof *sorted);
    for (size_t i = 0; i < self->rows.count; i++) {
        json_t *object;
        arena_reset(&scratch);
        buffer_reset(&text);
        row_write(self, &self->rows.items[i], &text);
        if (text.failed ||
            json_parse(&object, &scratch, (const char *)text.bytes, text.size, NULL) != ERR_NONE) {
            err_t err;
            err_set(&err, ERR_INTERNAL, "row %llu cannot be shown",
                    (unsigned long long)self->rows.items[i].id);
            exchange_error(self->job->exchange, &err);
            self->failed = true;
            goto cleanup;
        }
        if (self->job->search.n > 0 && !found_by(self->job->table, object, self->job->search))
            continue;
        list_row_t *row = &sorted[count++];
        *row = (list_row_t){.id = self->rows.items[i].id, .place = i};
        for (size_t k = 0; k < term_count; k++)
            row->keys[k] =
                list_key(terms[k].field, json_member(object, terms[k].field->name), &keys);
    }
    list_sort(sorted, count, terms, term_count);
    self->total = count;
    self->exact = true;
    set_range(self);
    if (self->failed)
        goto cleanup;
    /* The page's rows in their order. */
    row_t *items = memory_alloc((self->range.count + 1) * sizeof *items);
    for (uint32_t i = 0; i < self->range.count; i++)
        items[i] = self->rows.items[sorted[self->range.offset + i].place];
    free(self->rows.items);
    self->rows.items = items;
    self->rows.count = self->rows.capacity = self->range.count;
    write_page(self, 0, self->range.count);
cleanup:
    free(sorted);
    buffer_free(&text);
    arena_free(&scratch);
    arena_free(&keys);
}

/* --- accounts by id: partition after partition, as ids ascend with partitions --- */

static void account_window(work_t *self, bool descending)
{
    query_t query = self->job->query;

    /* Without a filter the count is that of the partition's checkpoint, which every enrolment brings up to date; with
     * one it stops at QUERY_COUNT_EXACT_MAX, and only the partition can tell what lies behind. */
    bool trusted =
        self->exact || !(query.set & (QUERY_BY_PROGRAM | QUERY_BY_STATUS | QUERY_BY_TIER));
    bool exact = self->exact;
    if (!trusted && (descending || self->job->page.number == UINT64_MAX)) {
        too_deep(self);
        return;
    }
    self->exact = trusted;
    set_range(self);
    if (self->failed)
        return;
    uint64_t skip =
        descending ? self->total - self->range.offset - self->range.count : self->range.offset;
    for (uint16_t i = 0; i < self->count && self->rows.count < wanted(self); i++) {
        source_t *source = &self->sources[i];
        uint64_t here = source->answer.count;
        uint64_t want = wanted(self) - self->rows.count;
        bool known = trusted || source->answer.count_exact;
        bool asked = false;
        if (known && skip >= here) {
            skip -= here;
            continue;
        }
        if (skip + want > source->answer.row_count && source->answer.row_count < here) {
            query.skip = skip;
            query.limit = (uint32_t)want;
            ask(self, i, &query);
            asked = true;
        }
        uint64_t drop = asked ? 0 : skip;
        for (uint32_t k = 0;
             !self->failed && k < source->answer.row_count && self->rows.count < wanted(self);
             k++) {
            advance(self, i, false);
            if (self->failed)
                return;
            if (k >= drop)
                row_add(self, source->head, source->head_bytes);
        }
        if (self->failed)
            return;
        /* A partition that did not fill the page was counted to its end. */
        if (!asked || source->answer.row_count == want || source->answer.count >= skip)
            skip = 0;
        else
            skip -= source->answer.count;
    }
    if (descending)
        reverse_rows(&self->rows);
    self->range.exact = exact;
    finish_page(self);
}

/* --- entries of all partitions by the instant of recording --- */

/* In each partition entries lie in this order, so the merge is exact; backdated ones stand where they were recorded. */
static bool goes_first(const row_t *a, const row_t *b, bool oldest)
{
    if (a->recorded_us != b->recorded_us)
        return (a->recorded_us < b->recorded_us) == oldest;
    return (a->id < b->id) == oldest;
}

static void merged_window(work_t *self, bool oldest)
{
    if (!self->exact && self->job->page.number == UINT64_MAX) {
        too_deep(self);
        return;
    }
    set_range(self);
    if (self->failed)
        return;
    uint64_t skip = self->range.offset;
    bool from_end = self->exact && self->total - self->range.offset < self->range.offset;
    if (from_end)
        skip = self->total - self->range.offset - self->range.count;
    if (skip > LIST_DEPTH_MAX) {
        too_deep(self);
        return;
    }
    bool direction = oldest != from_end;
    bool exact = self->exact;
    if (direction) {
        open_sources(self, true); /* the first rows at hand are the newest */
        self->exact = exact;
    }
    if (self->failed)
        return;
    for (uint16_t i = 0; i < self->count && !self->failed; i++)
        advance(self, i, direction);
    while (!self->failed && self->rows.count < wanted(self)) {
        source_t *best = NULL;
        for (uint16_t i = 0; i < self->count; i++) {
            source_t *source = &self->sources[i];
            if (source->has_head &&
                (best == NULL || goes_first(&source->head, &best->head, direction)))
                best = source;
        }
        if (best == NULL)
            break;
        if (skip > 0)
            skip--;
        else
            row_add(self, best->head, best->head_bytes);
        if (!self->failed)
            advance(self, (uint16_t)(best - self->sources), direction);
    }
    if (!self->failed && from_end)
        reverse_rows(&self->rows);
    finish_page(self);
}
