/* load.h - one measurement: warm up, measure, drain
 *
 * Contract   Opens all connections, starts the workers together, samples processor and disk use at
 *            both edges of the window, waits for the answers still outstanding, adds everything up.
 *            With duration 0 it runs until the workload is complete (preload). Ctrl-C ends the
 *            window early; what was measured counts.
 * Threads    Call from one thread; starts the workers and joins them.
 * Ownership  The result owns its histograms: load_result_clear.
 * Units      Seconds, requests per second, nanoseconds in histograms.
 * Errors     false with a sentence when it could not start. Refused requests are results, not
 *            errors.
 */
#ifndef FEALTY_BENCH_LOAD_H
#define FEALTY_BENCH_LOAD_H

#include "bench/usage.h"
#include "bench/worker.h"

typedef struct {
    unsigned connections;
    unsigned threads;
    double rate; /* 0 = closed loop */
    double warmup_s;
    double duration_s; /* 0 = until the workload is complete */
    double timeout_s;
    workload_config_t workload;
    usage_config_t usage;
    bool progress;     /* a line on standard error that keeps changing */
    uint64_t expected; /* answers of the whole run, for the time left; 0 = unknown */
} load_config_t;

typedef struct {
    double seconds; /* length of the measured window */
    bool interrupted;
    worker_counts_t counts;
    histogram_t *all;                            /* owned */
    histogram_t *by_operation[OPERATION__COUNT]; /* owned */
    double own_cpu;                              /* cores used, 1.0 = one core */
    double server_cpu;
    bool server_known;
    double machine_busy; /* share of all cores that were not idle, whoever used them */
    bool machine_known;
    double flushes_per_s;
    double written_per_s; /* bytes */
    bool disk_known;
} load_result_t;

bool load_run(const load_config_t *config, load_result_t *result, problem_t *problem);
void load_result_clear(load_result_t *result);

/* Answers that are no success, lost and late ones included; what was already there is none. */
uint64_t load_errors(const load_result_t *result);

#endif
