/* report.h - a measurement as a table for people and as JSON for programs
 *
 * Contract   report_table explains itself; report_json writes one object on one line, whose members
 *            are documented in docs/benchmarking.md and read back by the chart.
 * Threads    Any; nothing is shared.
 * Ownership  Borrows everything.
 * Units      Milliseconds with decimals, requests per second, per cent of one core.
 * Errors     Writing errors show in ferror() of the stream.
 */
#ifndef FEALTY_BENCH_REPORT_H
#define FEALTY_BENCH_REPORT_H

#include "bench/load.h"

#include <stdio.h>

typedef struct {
    const char *label;
    const char *distribution; /* as given on the command line */
} report_names_t;

void report_table(FILE *out, const load_config_t *config, const load_result_t *result,
                  const report_names_t *names);
void report_json(FILE *out, const load_config_t *config, const load_result_t *result,
                 const report_names_t *names);

#endif
