/* schema.h - resources as tables of fields, and the check of a body against one
 *
 * Contract   One table says all about a resource: names, types, flags, defaults, choices, relations, meaning. The check
 *            finds every failing field at once and writes the known, writable members in wire form: numbers as
 *            integers, decimals as text with exactly their decimals, instants in UTC, ids in lower case, text
 *            trimmed. It fills in no defaults; unknown and read-only members are dropped. A feature whose engine is
 *            not in this build is refused by name (SCHEMA_LATER), never stored and ignored.
 * Threads    Pure; tables are constant.
 * Ownership  Messages live in the arena or are constant. Tables live as long as the process.
 * Units      Text lengths in code points, SCHEMA_VALUE_BYTES_MAX in bytes.
 * Errors     schema_check() returns false with at least one entry in *errors; schema_errors_write() is shape V of
 *            api-resources 1.5.
 */
#ifndef FEALTY_SCHEMA_H
#define FEALTY_SCHEMA_H

#include "protocol/json.h"

#define SCHEMA_ERRORS_MAX 64
#define SCHEMA_NESTED_MAX 1000
/* Of one text or JSON value, so that a row with two of them, its command and its stored answer fit into one record. */
#define SCHEMA_VALUE_BYTES_MAX 65536

/* Numbers of resources. The definitions (below 64) are format: they stand in commands and rows. */
typedef enum {
    SCHEMA_PROGRAM = 1,
    SCHEMA_TIER = 2,
    SCHEMA_USER = 3,
    SCHEMA_ACCOUNT = 64,
    SCHEMA_TRANSACTION = 65
} schema_resource_t;

/* Types of api-resources 1.3. */
typedef enum {
    SCHEMA_INT,     /* within +-(2^53 - 1) */
    SCHEMA_COUNT,   /* int+: the same from 0 */
    SCHEMA_BIG,     /* 64 bits */
    SCHEMA_DECIMAL, /* dec(size, scale) */
    SCHEMA_STRING,  /* str(size) */
    SCHEMA_TEXT,
    SCHEMA_BOOL,
    SCHEMA_DATETIME,
    SCHEMA_DATE,
    SCHEMA_UUID,
    SCHEMA_JSON,
    SCHEMA_URL,
    SCHEMA_EMAIL,
    SCHEMA_FOREIGN, /* id of `resource` */
    SCHEMA_ENUM,
    SCHEMA_NESTED /* list of objects of `nested` */
} schema_type_t;

#define SCHEMA_REQUIRED   UINT32_C(1)   /* R: on create and replace */
#define SCHEMA_READ_ONLY  UINT32_C(2)   /* RO: ignored when sent */
#define SCHEMA_NULLABLE   UINT32_C(4)   /* N */
#define SCHEMA_BLANK      UINT32_C(8)   /* B */
#define SCHEMA_WRITE_ONLY UINT32_C(16)  /* W */
#define SCHEMA_LATER      UINT32_C(32)  /* only the default is accepted until its engine is there */
#define SCHEMA_FILTER     UINT32_C(64)  /* exact filter of lists */
#define SCHEMA_SEARCH     UINT32_C(128) /* ?search= looks here */
#define SCHEMA_PARENT     UINT32_C(256) /* of a nested object: implied by the one around it */

typedef struct schema_table schema_table_t;

typedef struct {
    const char *name;
    schema_type_t type;
    uint16_t size; /* code points; of a decimal: digits in all */
    uint8_t scale;
    uint8_t resource; /* SCHEMA_FOREIGN */
    uint32_t flags;
    const char *initial;           /* default as JSON text; NULL: none, null when nullable */
    const char *const *choices;    /* ends in NULL */
    const char *const *aliases;    /* other spellings that are read, ends in NULL; or NULL */
    const char *minimum, *maximum; /* of decimals, inclusive; or NULL */
    const schema_table_t *nested;
    const char *meaning; /* a sentence, for the API reference and forms */
} schema_field_t;

struct schema_table {
    const char *name; /* singular, as in permissions: "program" */
    const char *path; /* last segment of its URL: "loyaltyPrograms"; NULL: has none */
    const char *meaning;
    uint8_t resource;
    const schema_field_t *fields; /* in the order of the wire form; "id" first */
    size_t count;
};

extern const schema_table_t schema_programs, schema_tiers, schema_users, schema_accounts,
    schema_transactions;

const schema_table_t *schema_of(uint8_t resource); /* NULL when unknown */
const schema_field_t *schema_field(const schema_table_t *table, const char *name,
                                   size_t bytes); /* no aliases */

typedef struct {
    const char *field;  /* "non_field_errors": the whole body */
    int32_t index;      /* element of a nested list; -1: none */
    const char *member; /* member inside the field; NULL: none */
    const char *message;
} schema_error_t;

typedef struct {
    uint32_t count;
    schema_error_t items[SCHEMA_ERRORS_MAX]; /* further ones are dropped */
} schema_errors_t;

void schema_errors_add(schema_errors_t *self, const char *field, const char *message);
/* {"field":["..."],"tiers":[{},{"name":["..."]}]} */
void schema_errors_write(const schema_errors_t *self, buffer_t *out);

typedef enum { SCHEMA_CREATE, SCHEMA_REPLACE, SCHEMA_UPDATE } schema_mode_t;

/* Whether a row exists. NULL: every id is taken as existing. */
typedef bool (*schema_lookup_fn)(void *state, uint8_t resource, uint64_t id);

typedef struct {
    const schema_table_t *table;
    schema_mode_t mode;
    schema_lookup_fn lookup;
    void *state; /* of lookup */
    arena_t *arena;
} schema_check_t;

/* Appends the normalised object to *out. */
bool schema_check(const schema_check_t *check, const json_t *body, buffer_t *out,
                  schema_errors_t *errors);

/* Rules of the canonical body that follow from the table: aliases, numeric fields, idempotency_key left out.
 * Lives in the arena. */
json_canonical_t schema_canonical(const schema_table_t *table, arena_t *arena);

/* One value of a type as it comes in a query string. NULL when good, else the message. *out gets the wire form as JSON. */
const char *schema_check_text(const schema_field_t *field, const char *text, size_t bytes,
                              arena_t *arena, buffer_t *out);

#endif
