/* worker.h - one thread that drives many connections
 *
 * Contract   Closed loop: every connection sends its next request when the answer to the last one
 *            is there. Open loop: requests have intended times, one every 1/rate seconds; each goes
 *            out on the next free connection, and its latency counts from the intended time, so
 *            waiting behind a slow server is part of the figure (no coordinated omission). Only
 *            requests that begin inside the measured window are counted, and all of those, also
 *            when their answers come after its end.
 * Threads    worker_run is the thread's function. Times in worker_shared_t are set before the
 *            barrier; only stop_ns changes later, to end early.
 * Ownership  worker_new / worker_destroy; shared and endpoints are borrowed.
 * Units      CLOCK_MONOTONIC nanoseconds.
 * Errors     Connecting at the start: worker_new fails with a sentence. Later failures are counted,
 *            and the connection is opened again.
 */
#ifndef FEALTY_BENCH_WORKER_H
#define FEALTY_BENCH_WORKER_H

#include "bench/histogram.h"
#include "bench/workload.h"

#include <stdatomic.h>

#define WORKER_STATUS_MAX    600
#define WORKER_REFUSAL_BYTES 320

typedef struct {
    unsigned connections; /* of all workers */
    unsigned workers;
    double rate; /* of all workers, per second; 0 = closed loop */
    int64_t timeout_ns;
    int64_t start_ns;
    int64_t measure_ns;          /* warm-up ends */
    atomic_int_fast64_t stop_ns; /* INT64_MAX: runs until the workload is complete */
    workload_config_t workload;
} worker_shared_t;

/* What one worker saw; sums of several are built with worker_counts_add. */
typedef struct {
    uint64_t statuses
        [WORKER_STATUS_MAX]; /* answers by status, in the window; without the already there */
    uint64_t succeeded;      /* 2xx */
    /* 2xx whose answer came inside the window: the rate. An overloaded open loop answers requests
     * that were due long before. */
    uint64_t succeeded_inside;
    uint64_t already_there;  /* enrolments of customers who have the account */
    uint64_t lines_accepted; /* of batches */
    uint64_t lines_refused;
    uint64_t lines_inside; /* accepted, answer inside the window */
    uint64_t timeouts;
    uint64_t broken;    /* connection lost with the answer outstanding */
    uint64_t malformed; /* answers that are not HTTP */
    uint64_t reopened;  /* connections, also idle ones that the server closed */
    uint64_t unsent;    /* open loop: intended inside the window, never sent */
    int64_t behind_ns;  /* open loop: worst delay between intended and sent */
    char first_refusal[WORKER_REFUSAL_BYTES];
} worker_counts_t;

typedef struct worker worker_t;

bool worker_new(worker_t **self_p, worker_shared_t *shared, unsigned index, problem_t *problem);
void worker_destroy(worker_t **self_p);
void *worker_run(void *self);

/* After the thread has ended. */
const worker_counts_t *worker_counts(const worker_t *self);
const histogram_t *worker_latency(const worker_t *self, operation_t operation);
/* Any time: answers so far, for the progress line. */
uint64_t worker_answers(const worker_t *self);

void worker_counts_add(worker_counts_t *sum, const worker_counts_t *part);

#endif
