/* import_row.c - NDJSON, CSV and CDNOW lines into rows
 *
 * All formats end in set_field(): a name and a text. So every format knows the same names and gives the same errors.
 */
#include "node/import_row.h"

#include "actors/rows.h"
#include "protocol/calendar.h"
#include "protocol/decimal.h"
#include "protocol/json.h"

#include <stdio.h>

#define LINE_MEMORY_MAX ((size_t)8 * 1024 * 1024)
#define AHEAD_MAX_US    (5 * 60 * SECOND_US)
#define AMOUNT_DIGITS   21
#define AMOUNT_SCALE    6
#define POINTS_DIGITS   16
#define CDNOW_FIELDS    4

/* What a member or column is called, and what becomes of it. Members that `fealty export` writes and that an import
 * cannot set are known and left out, so that an export can be imported. */
#define FIELD_MAP(X)                             \
    X(FIELD_TYPE, "type")                        \
    X(FIELD_CUSTOMER, "customer_id")             \
    X(FIELD_PROGRAM, "program")                  \
    X(FIELD_AMOUNT, "amount")                    \
    X(FIELD_AMOUNT, "transaction_amount")        \
    X(FIELD_POINTS, "points")                    \
    X(FIELD_POINTS, "points_balance")            \
    X(FIELD_STATUS, "status")                    \
    X(FIELD_DATE, "transaction_date")            \
    X(FIELD_REFERENCE, "reference")              \
    X(FIELD_DESCRIPTION, "description")          \
    X(FIELD_KEY, "idempotency_key")              \
    X(FIELD_IGNORED, "id")                       \
    X(FIELD_IGNORED, "program_id")               \
    X(FIELD_IGNORED, "tier")                     \
    X(FIELD_IGNORED, "in_transit")               \
    X(FIELD_IGNORED, "lifetime_points_earned")   \
    X(FIELD_IGNORED, "lifetime_points_redeemed") \
    X(FIELD_IGNORED, "created_at")               \
    X(FIELD_IGNORED, "updated_at")

typedef enum {
    FIELD_TYPE,
    FIELD_CUSTOMER,
    FIELD_PROGRAM,
    FIELD_AMOUNT,
    FIELD_POINTS,
    FIELD_STATUS,
    FIELD_DATE,
    FIELD_REFERENCE,
    FIELD_DESCRIPTION,
    FIELD_KEY,
    FIELD_IGNORED,
    FIELD__COUNT
} field_t;

typedef struct {
    const char *name;
    field_t field;
} field_name_t;

static const field_name_t field_names[] = {
#define X(id, text) {text, id},
    FIELD_MAP(X)
#undef X
};

static const char *const kind_names[IMPORT__KINDS][2] = {
    [IMPORT_PROGRAM] = {"program", "programs"},  [IMPORT_ACCOUNT] = {"account", "accounts"},
    [IMPORT_EARN] = {"earn", "earns"},           [IMPORT_BURN] = {"burn", "burns"},
    [IMPORT_ADJUST] = {"adjust", "adjustments"},
};

static errcode_t line_json(import_source_t *self, const char *line, size_t n, import_row_t *out,
                           err_t *err);
static errcode_t line_csv(import_source_t *self, const char *line, size_t n, import_row_t *out,
                          err_t *err);
static errcode_t line_cdnow(import_source_t *self, const char *line, size_t n, uint64_t number,
                            import_row_t *out, err_t *err);
static errcode_t set_field(import_source_t *self, field_t field, text_t value, import_row_t *out,
                           unsigned *given, err_t *err);
static errcode_t check_row(const import_row_t *row, unsigned given, err_t *err);

const char *import_kind_name(import_kind_t kind, bool plural)
{
    return kind_names[kind][plural ? 1 : 0];
}

void import_source_init(import_source_t *self, import_format_t format, int64_t now_us)
{
    memset(self, 0, sizeof *self);
    self->format = format;
    self->now_us = now_us;
    arena_init(&self->arena, LINE_MEMORY_MAX);
    buffer_init(&self->text, LINE_MEMORY_MAX);
}

void import_source_free(import_source_t *self)
{
    arena_free(&self->arena);
    buffer_free(&self->text);
}

errcode_t import_source_line(import_source_t *self, const char *line, size_t n, uint64_t number,
                             import_row_t *out, err_t *err)
{
    size_t blank = 0;

    memset(out, 0, sizeof *out);
    arena_reset(&self->arena);
    buffer_reset(&self->text);
    while (blank < n && (line[blank] == ' ' || line[blank] == '\t' || line[blank] == '\r'))
        blank++;
    out->skip = blank == n;
    if (out->skip)
        return ERR_NONE;
    switch (self->format) {
    case IMPORT_NDJSON: return line_json(self, line, n, out, err);
    case IMPORT_CSV: return line_csv(self, line, n, out, err);
    case IMPORT_CDNOW: return line_cdnow(self, line, n, number, out, err);
    }
    INVARIANT(false); /* the formats are all named above */
    return ERR_INTERNAL;
}

static bool find_field(const char *name, size_t n, field_t *field)
{
    for (size_t i = 0; i < COUNT_OF(field_names); i++) {
        if (strlen(field_names[i].name) == n && memcmp(field_names[i].name, name, n) == 0) {
            *field = field_names[i].field;
            return true;
        }
    }
    return false;
}

/* ---- NDJSON ---- */

/* The definition as it was written, without what is the import's own. */
static errcode_t program_body(import_source_t *self, const json_t *object, import_row_t *out,
                              err_t *err)
{
    const json_t *name = json_member(object, "name");
    bool first = true;

    if (name == NULL || name->type != JSON_STRING || name->text_bytes == 0)
        return err_set(err, ERR_INVALID, "name: a program needs one");
    buffer_byte(&self->text, '{');
    for (const json_t *member = object->child; member != NULL; member = member->next) {
        if ((member->name_bytes == 4 && memcmp(member->name, "type", 4) == 0) ||
            (member->name_bytes == 2 && memcmp(member->name, "id", 2) == 0))
            continue;
        if (!first)
            buffer_byte(&self->text, ',');
        first = false;
        json_write_string(&self->text, member->name, member->name_bytes);
        buffer_byte(&self->text, ':');
        json_write(&self->text, member);
    }
    buffer_byte(&self->text, '}');
    if (self->text.failed)
        return err_set(err, ERR_INVALID, "the definition is too large");
    out->kind = IMPORT_PROGRAM;
    out->name = (text_t){name->text, name->text_bytes};
    out->body = (text_t){(const char *)self->text.bytes, self->text.size};
    return ERR_NONE;
}

static errcode_t line_json(import_source_t *self, const char *line, size_t n, import_row_t *out,
                           err_t *err)
{
    json_t *object = NULL;
    const json_t *type;
    unsigned given = 0;
    errcode_t rc = json_parse(&object, &self->arena, line, n, err);

    if (rc != ERR_NONE)
        return rc;
    if (object->type != JSON_OBJECT)
        return err_set(err, ERR_INVALID, "a line is one JSON object, this is a %s",
                       json_type_name(object->type));
    type = json_member(object, "type");
    if (type != NULL && json_text_is(type, "program"))
        return program_body(self, object, out, err);
    for (const json_t *member = object->child; member != NULL; member = member->next) {
        field_t field;

        if (!find_field(member->name, member->name_bytes, &field))
            return err_set(err, ERR_INVALID, "%.*s: an import knows no such member",
                           (int)(member->name_bytes > 60 ? 60 : member->name_bytes), member->name);
        if (member->type == JSON_NULL || field == FIELD_IGNORED)
            continue;
        if (member->type != JSON_STRING && member->type != JSON_NUMBER)
            return err_set(err, ERR_INVALID, "%.*s: a text or a number is needed, this is a %s",
                           (int)member->name_bytes, member->name, json_type_name(member->type));
        rc = set_field(self, field, (text_t){member->text, member->text_bytes}, out, &given, err);
        if (rc != ERR_NONE)
            return rc;
    }
    return check_row(out, given, err);
}

/* ---- CSV, RFC 4180 but for line breaks inside quotes ---- */

/* Takes one field off the line; a quoted one is copied without its quotes. */
static errcode_t take_csv(import_source_t *self, const char **at, const char *end, text_t *out,
                          bool *more, err_t *err)
{
    const char *p = *at;

    if (p < end && *p == '"') {
        char *copy = arena_alloc(&self->arena, (size_t)(end - p));
        size_t size = 0;

        if (copy == NULL)
            return err_set(err, ERR_INVALID, "the line is too long");
        for (p++;; p++) {
            if (p == end)
                return err_set(err, ERR_INVALID, "a quote is opened and not closed on this line");
            if (*p == '"' && p + 1 < end && p[1] == '"')
                p++;
            else if (*p == '"')
                break;
            copy[size++] = *p;
        }
        p++;
        if (p < end && *p != ',')
            return err_set(err, ERR_INVALID, "text follows a closing quote");
        *out = (text_t){copy, size};
    } else {
        const char *comma = memchr(p, ',', (size_t)(end - p));

        *out = (text_t){p, (size_t)((comma != NULL ? comma : end) - p)};
        p += out->n;
    }
    *more = p < end;
    *at = *more ? p + 1 : end;
    return ERR_NONE;
}

static errcode_t csv_header(import_source_t *self, const char *line, const char *end, err_t *err)
{
    bool more = true;
    bool typed = false;

    if (end - line >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3; /* byte order mark, as spreadsheets write it */
    for (self->columns = 0; more; self->columns++) {
        text_t name = {NULL, 0};
        field_t field;
        errcode_t rc;

        if (self->columns == IMPORT_COLUMNS_MAX)
            return err_set(err, ERR_INVALID, "the header has more than %d columns",
                           IMPORT_COLUMNS_MAX);
        rc = take_csv(self, &line, end, &name, &more, err);
        if (rc != ERR_NONE)
            return rc;
        if (name.n == 0 || !find_field(name.bytes, name.n, &field))
            return err_set(err, ERR_INVALID, "%.*s: an import knows no such column",
                           (int)(name.n > 60 ? 60 : name.n), name.bytes);
        self->column[self->columns] = (int)field;
        typed = typed || field == FIELD_TYPE;
    }
    if (!typed)
        return err_set(err, ERR_INVALID, "type: the header must have this column");
    self->header_read = true;
    return ERR_NONE;
}

static errcode_t line_csv(import_source_t *self, const char *line, size_t n, import_row_t *out,
                          err_t *err)
{
    const char *end = line + n;
    unsigned given = 0;
    bool more = true;
    size_t column = 0;

    if (n > 0 && end[-1] == '\r')
        end--;
    if (!self->header_read) {
        out->skip = true;
        return csv_header(self, line, end, err);
    }
    for (; more; column++) {
        text_t value = {NULL, 0};
        errcode_t rc;

        if (column == self->columns)
            return err_set(err, ERR_INVALID, "the line has more than the %zu columns of the header",
                           self->columns);
        rc = take_csv(self, &line, end, &value, &more, err);
        if (rc == ERR_NONE && value.n > 0 && self->column[column] != FIELD_IGNORED)
            rc = set_field(self, (field_t)self->column[column], value, out, &given, err);
        if (rc != ERR_NONE)
            return rc;
    }
    if (column < self->columns)
        return err_set(err, ERR_INVALID, "the line has %zu columns, the header %zu", column,
                       self->columns);
    return check_row(out, given, err);
}

/* ---- CDNOW: customer, YYYYMMDD, number of CDs, dollars ---- */

/* The file numbers its customers; here they are UUIDs (version 8: of one's own making), the same in every run. */
static uuid16_t customer_of_number(uint64_t number)
{
    char text[40];
    int n = snprintf(text, sizeof text, "cdnow:%llu", (unsigned long long)number);
    hash_t hash = hash_bytes(text, (size_t)n);
    uuid16_t customer;

    memcpy(customer.bytes, hash.bytes, UUID_BYTES);
    customer.bytes[6] = (uint8_t)(0x80 | (customer.bytes[6] & 0x0f));
    customer.bytes[8] = (uint8_t)(0x80 | (customer.bytes[8] & 0x3f));
    return customer;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static errcode_t line_cdnow(import_source_t *self, const char *line, size_t n, uint64_t number,
                            import_row_t *out, err_t *err)
{
    text_t fields[CDNOW_FIELDS] = {{NULL, 0}};
    char date[11];
    decimal_t customer;
    unsigned given = 0;
    size_t count = 0, at = 0;
    errcode_t rc;

    for (;;) {
        size_t start;

        while (at < n && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r'))
            at++;
        if (at == n)
            break;
        start = at;
        while (at < n && line[at] != ' ' && line[at] != '\t' && line[at] != '\r')
            at++;
        if (count < CDNOW_FIELDS)
            fields[count] = (text_t){line + start, at - start};
        count++;
    }
    if (count != CDNOW_FIELDS)
        return err_set(err, ERR_INVALID,
                       "a line has four fields (customer, YYYYMMDD, CDs, dollars), this has %zu",
                       count);
    /* The first line may name the columns. */
    if (number == 1 && !is_digit(fields[0].bytes[0]) && !is_digit(fields[1].bytes[0])) {
        out->skip = true;
        return ERR_NONE;
    }
    /* Leading zeros are usual in this file, so the digits are read one by one. */
    customer = (decimal_t){0};
    for (size_t i = 0; i < fields[0].n; i++) {
        if (!is_digit(fields[0].bytes[i]) || fields[0].n > 18)
            return err_set(err, ERR_INVALID, "customer: a number is needed");
        customer.value = customer.value * 10 + (fields[0].bytes[i] - '0');
    }
    if (fields[1].n != 8)
        return err_set(err, ERR_INVALID, "date: YYYYMMDD is needed");
    (void)snprintf(date, sizeof date, "%.4s-%.2s-%.2s", fields[1].bytes, fields[1].bytes + 4,
                   fields[1].bytes + 6);
    rc = set_field(self, FIELD_DATE, text_of(date), out, &given, err);
    if (rc == ERR_NONE)
        rc = set_field(self, FIELD_AMOUNT, fields[3], out, &given, err);
    if (rc != ERR_NONE)
        return rc;
    buffer_printf(&self->text, "cdnow:%llu", (unsigned long long)number);
    out->reference = (text_t){(const char *)self->text.bytes, self->text.size};
    out->key = out->reference;
    out->kind = IMPORT_EARN;
    out->customer = customer_of_number((uint64_t)customer.value);
    out->enrol = self->last_customer != (uint64_t)customer.value + 1;
    out->nothing = out->amount == 0;
    self->last_customer = (uint64_t)customer.value + 1;
    return ERR_NONE;
}

/* ---- one member or column ---- */

static errcode_t set_kind(text_t value, import_row_t *out, err_t *err)
{
    for (import_kind_t kind = IMPORT_PROGRAM; kind < IMPORT__KINDS; kind++) {
        if (strlen(kind_names[kind][0]) == value.n &&
            memcmp(kind_names[kind][0], value.bytes, value.n) == 0) {
            out->kind = kind;
            return kind == IMPORT_PROGRAM
                       ? err_set(err, ERR_INVALID, "type: programs are imported from NDJSON only")
                       : ERR_NONE;
        }
    }
    return err_set(err, ERR_INVALID, "type: program, account, earn, burn or adjust is needed");
}

static errcode_t set_field(import_source_t *self, field_t field, text_t value, import_row_t *out,
                           unsigned *given, err_t *err)
{
    decimal_t number;

    if ((*given & (1u << field)) != 0)
        return err_set(err, ERR_INVALID, "a value is given twice, under two names");
    *given |= 1u << field;
    switch (field) {
    case FIELD_TYPE: return set_kind(value, out, err);
    case FIELD_CUSTOMER:
        return uuid_parse(&out->customer, value.bytes, value.n)
                   ? ERR_NONE
                   : err_set(err, ERR_INVALID, "customer_id: no UUID");
    case FIELD_PROGRAM: out->program = value; return ERR_NONE;
    case FIELD_AMOUNT:
        if (decimal_parse(&number, value.bytes, value.n, AMOUNT_DIGITS, AMOUNT_SCALE, true, NULL) !=
            ERR_NONE)
            return err_set(err, ERR_INVALID,
                           "amount: a number of at most 15 digits and 6 decimals is needed");
        out->amount = number.value;
        return ERR_NONE;
    case FIELD_POINTS:
        if (decimal_parse(&number, value.bytes, value.n, POINTS_DIGITS, 0, true, NULL) !=
                ERR_NONE ||
            number.value > POINTS_MAX || number.value < -POINTS_MAX)
            return err_set(err, ERR_INVALID, "points: a whole number is needed");
        out->points = (points_t)number.value;
        return ERR_NONE;
    case FIELD_STATUS:
        out->has_status = true;
        return account_status_parse(value.bytes, value.n, &out->status)
                   ? ERR_NONE
                   : err_set(err, ERR_INVALID,
                             "status: active, suspended, blocked, dormant or closed is needed");
    case FIELD_DATE:
        if (instant_parse(&out->effective_us, value.bytes, value.n, true, NULL) != ERR_NONE)
            return err_set(err, ERR_INVALID, "transaction_date: a date or an instant is needed");
        if (out->effective_us > self->now_us + AHEAD_MAX_US)
            return err_set(err, ERR_INVALID, "transaction_date: it lies in the future");
        if (out->effective_us == 0)
            out->effective_us = 1; /* 0 means now; the first microsecond of 1970 is near enough */
        return ERR_NONE;
    case FIELD_REFERENCE:
        out->reference = value;
        return value.n <= 255 ? ERR_NONE
                              : err_set(err, ERR_INVALID, "reference: at most 255 bytes");
    case FIELD_DESCRIPTION: out->description = value; return ERR_NONE;
    case FIELD_KEY:
        out->key = value;
        return value.n <= 255 ? ERR_NONE
                              : err_set(err, ERR_INVALID, "idempotency_key: at most 255 bytes");
    case FIELD_IGNORED:
    case FIELD__COUNT: break;
    }
    return ERR_NONE;
}

/* Which members a kind needs and which it cannot have: what would be dropped silently is refused. */
static errcode_t check_row(const import_row_t *row, unsigned given, err_t *err)
{
    static const struct {
        unsigned needs, may;
    } rules[IMPORT__KINDS] = {
        [IMPORT_ACCOUNT] = {0, 1u << FIELD_POINTS | 1u << FIELD_STATUS},
        [IMPORT_EARN] = {1u << FIELD_AMOUNT,
                         1u << FIELD_DATE | 1u << FIELD_REFERENCE | 1u << FIELD_DESCRIPTION},
        [IMPORT_BURN] = {1u << FIELD_POINTS, 1u << FIELD_REFERENCE | 1u << FIELD_DESCRIPTION},
        [IMPORT_ADJUST] = {1u << FIELD_POINTS,
                           1u << FIELD_DATE | 1u << FIELD_REFERENCE | 1u << FIELD_DESCRIPTION},
    };
    unsigned common =
        1u << FIELD_TYPE | 1u << FIELD_CUSTOMER | 1u << FIELD_PROGRAM | 1u << FIELD_KEY;
    unsigned missing, extra;

    if ((given & 1u << FIELD_TYPE) == 0)
        return err_set(err, ERR_INVALID,
                       "type: it says what the line is: program, account, earn, burn or adjust");
    missing = (rules[row->kind].needs | 1u << FIELD_CUSTOMER) & ~given;
    extra = given & ~(common | rules[row->kind].needs | rules[row->kind].may);
    for (size_t i = 0; i < COUNT_OF(field_names); i++) {
        unsigned bit = 1u << field_names[i].field;

        if ((missing & bit) != 0)
            return err_set(err, ERR_INVALID, "%s: missing", field_names[i].name);
        if ((extra & bit) != 0)
            return err_set(err, ERR_INVALID, "%s: a line of type %s cannot have it",
                           field_names[i].name, kind_names[row->kind][0]);
    }
    return ERR_NONE;
}
