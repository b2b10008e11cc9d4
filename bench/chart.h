/* chart.h - results as pictures: SVG, readable without the table beside it
 *
 * Contract   chart_latency draws latency by percentile for one or several results of report_json:
 *            percentiles spread by their nines, milliseconds on a logarithmic axis, each line
 *            labelled at its end. chart_bars draws named values as horizontal bars.
 * Threads    Any; nothing is shared.
 * Ownership  Borrows everything.
 * Units      Milliseconds; the values of bars are the caller's.
 * Errors     false with a sentence when a text holds no result or the picture cannot be written.
 */
#ifndef FEALTY_BENCH_CHART_H
#define FEALTY_BENCH_CHART_H

#include "bench/problem.h"

#define CHART_SERIES_MAX 8
#define CHART_BARS_MAX   24

typedef struct {
    const char *name; /* for messages */
    const char *text; /* what report_json wrote */
    size_t bytes;
} chart_result_t;

bool chart_latency(const char *path, const chart_result_t *results, unsigned count,
                   problem_t *problem);

typedef struct {
    const char *label;
    double value;
    double target; /* a mark on the bar's scale; 0 = none */
} chart_bar_t;

bool chart_bars(const char *path, const char *title, const chart_bar_t *bars, unsigned count,
                problem_t *problem);

#endif
