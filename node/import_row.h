/* import_row.h - lines of an import file, read into one shape
 *
 * Contract   import_source_line() reads one line (without its end) of NDJSON, CSV or the CDNOW purchase file. A CSV
 *            file's first line is its header. `skip` is set for lines that say nothing: blank ones and the header.
 * Threads    One.
 * Ownership  Texts of a row are good until the next line.
 * Units      Amounts with 6 decimals; microseconds UTC.
 * Errors     ERR_INVALID with a sentence that names the member; ERR_MALFORMED for text that is no JSON.
 */
#ifndef FEALTY_IMPORT_ROW_H
#define FEALTY_IMPORT_ROW_H

#include "protocol/command.h"

typedef enum { IMPORT_NDJSON, IMPORT_CSV, IMPORT_CDNOW } import_format_t;

typedef enum {
    IMPORT_PROGRAM,
    IMPORT_ACCOUNT,
    IMPORT_EARN,
    IMPORT_BURN,
    IMPORT_ADJUST,
    IMPORT__KINDS
} import_kind_t;

typedef struct {
    import_kind_t kind;
    bool skip;
    bool enrol;   /* the customer may be new: enrol first (CDNOW names no accounts) */
    bool nothing; /* an amount of zero, which earns nothing */
    uuid16_t customer;
    text_t program; /* name or id; empty: the one named on the command line */
    int128_t amount;
    points_t points;
    bool has_status;
    uint8_t status;
    int64_t effective_us; /* 0 = now */
    text_t reference, description;
    text_t key;  /* explicit idempotency key; empty: derived from the line */
    text_t name; /* of a program */
    text_t body; /* of a program: its definition as JSON */
} import_row_t;

#define IMPORT_COLUMNS_MAX 32

typedef struct {
    import_format_t format;
    int64_t now_us; /* dates beyond it are refused */
    arena_t arena;
    buffer_t text;
    bool header_read;
    size_t columns;
    int column[IMPORT_COLUMNS_MAX]; /* field of each CSV column, -1 = ignored */
    uint64_t last_customer;         /* CDNOW: of the line before */
} import_source_t;

void import_source_init(import_source_t *self, import_format_t format, int64_t now_us);
void import_source_free(import_source_t *self);
errcode_t import_source_line(import_source_t *self, const char *line, size_t n, uint64_t number,
                             import_row_t *out, err_t *err);
const char *import_kind_name(import_kind_t kind, bool plural);

#endif
