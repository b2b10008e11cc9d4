/* export_rows.h - accounts, entries and definitions as lines of NDJSON or CSV
 *
 * Contract   One line per row, with the member names of the API where it has them. Program lines carry their tiers.
 *            Account and program lines can be read by `fealty import`.
 * Threads    One.
 * Ownership  Lines are appended to the caller's buffer.
 * Units      Points; instants as RFC 3339 text in UTC.
 * Errors     ERR_CORRUPT when a stored definition is no JSON object.
 */
#ifndef FEALTY_EXPORT_ROWS_H
#define FEALTY_EXPORT_ROWS_H

#include "actors/catalogue.h"
#include "actors/rows.h"

typedef enum { EXPORT_NDJSON, EXPORT_CSV } export_format_t;

void export_account_header(buffer_t *out); /* CSV */
void export_account(buffer_t *out, export_format_t format, const account_t *account,
                    const catalogue_t *catalogue);
void export_entry_header(buffer_t *out); /* CSV */
void export_entry(buffer_t *out, export_format_t format, const entry_t *entry,
                  const catalogue_t *catalogue);
errcode_t export_program(buffer_t *out, uint32_t id, const catalogue_t *catalogue, err_t *err);

#endif
