/* query_counts.h - filters on entries, and how many pass them without reading all (never included outside queries)
 *
 * Contract   Counter rows hold visible entries with a sequence below the checkpoint's counted_sequence, by program, type
 *            and UTC day of effective_us; entries behind it are few and counted one by one.
 * Threads    One.
 * Ownership  Values.
 * Units      Microseconds UTC, [from, until).
 * Errors     ERR_CORRUPT, ERR_IO.
 */
#ifndef FEALTY_QUERY_COUNTS_H
#define FEALTY_QUERY_COUNTS_H

#include "actors/query_run.h"

typedef struct {
    uint32_t program; /* 0 = all */
    uint8_t type;     /* 0 = all */
    bool hidden;      /* those too */
    const catalogue_t *
        catalogue; /* borrowed; entries of programs that it does not have fall out. NULL: they stay */
    int64_t from_us, until_us;
} entry_filter_t;

static inline bool entry_filter_has_program(const entry_filter_t *filter, uint32_t program)
{
    return filter->catalogue == NULL ||
           catalogue_program(filter->catalogue, CATALOGUE_NEWEST, program) != NULL;
}

/* All but `hidden`. */
static inline bool entry_filter_takes(const entry_filter_t *filter, const entry_t *entry)
{
    return (filter->program == 0 || entry->program == filter->program) &&
           (filter->type == 0 || entry->type == filter->type) &&
           entry->effective_us >= filter->from_us && entry->effective_us < filter->until_us &&
           entry_filter_has_program(filter, entry->program);
}

errcode_t query_checkpoint(query_state_t *self, checkpoint_t *out, err_t *err);

/* Adds up counter rows; the filter's bounds must be whole UTC days. */
errcode_t query_count_rows(query_state_t *self, const entry_filter_t *filter, counter_t *out,
                           err_t *err);

/* Adds up entries from a sequence on: visible ones with their delta, all with what they posted. */
errcode_t query_count_tail(query_state_t *self, uint64_t from_sequence,
                           const entry_filter_t *filter, counter_t *visible, counter_t *all,
                           err_t *err);

#endif
