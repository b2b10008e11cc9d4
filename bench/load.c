/* load.c - threads, phases, sums */
#include "bench/load.h"

#include "bench/elapsed.h"
#include "bench/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_NS INT64_C(200000000)

typedef struct {
    pthread_t thread;
    bool started;
    worker_t *worker; /* owned */
} seat_t;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number);
static void sleep_until(int64_t at_ns);
static void watch(const load_config_t *config, worker_shared_t *shared, seat_t *seats,
                  usage_t *before, usage_t *after, int64_t *ended_ns);
static uint64_t answers(const seat_t *seats, unsigned count);
static bool all_complete(const load_config_t *config, const worker_shared_t *shared);
static bool add_up(const load_config_t *config, const seat_t *seats, load_result_t *result,
                   problem_t *problem);

bool load_run(const load_config_t *config, load_result_t *result, problem_t *problem)
{
    worker_shared_t shared = {.connections = config->connections,
                              .workers = config->threads,
                              .rate = config->rate,
                              .timeout_ns = (int64_t)(config->timeout_s * 1e9),
                              .workload = config->workload};
    seat_t *seats = calloc(config->threads, sizeof(*seats));
    struct sigaction action = {.sa_handler = on_interrupt};
    struct sigaction action_before;
    usage_t before = {0};
    usage_t after = {0};
    bool done = false;
    int64_t ended_ns = 0;

    memset(result, 0, sizeof(*result));
    if (seats == NULL)
        return problem_set(problem, "no memory for %u threads", config->threads);
    for (unsigned i = 0; i < config->threads; i++)
        if (!worker_new(&seats[i].worker, &shared, i, problem))
            goto cleanup;

    interrupted = 0;
    sigaction(SIGINT, &action, &action_before);
    shared.start_ns = elapsed_ns();
    shared.measure_ns = shared.start_ns + (int64_t)(config->warmup_s * 1e9);
    atomic_store(&shared.stop_ns, config->duration_s > 0.0
                                      ? shared.measure_ns + (int64_t)(config->duration_s * 1e9)
                                      : INT64_MAX);
    bool started = true;
    for (unsigned i = 0; i < config->threads && started; i++) {
        int rc = pthread_create(&seats[i].thread, NULL, worker_run, seats[i].worker);
        seats[i].started = rc == 0;
        if (rc != 0) {
            started = problem_set(problem, "cannot start a thread: %s", strerror(rc));
            atomic_store(&shared.stop_ns, elapsed_ns());
        }
    }
    if (started)
        watch(config, &shared, seats, &before, &after, &ended_ns);
    for (unsigned i = 0; i < config->threads; i++)
        if (seats[i].started)
            pthread_join(seats[i].thread, NULL);
    sigaction(SIGINT, &action_before, NULL);
    if (!started)
        goto cleanup;
    if (atomic_load(&shared.stop_ns) == INT64_MAX)
        ended_ns = elapsed_ns();

    result->interrupted = interrupted != 0;
    result->seconds = (double)(ended_ns - shared.measure_ns) / 1e9;
    if (result->seconds <= 0.0) {
        problem_set(problem, "interrupted before the warm-up was over");
        goto cleanup;
    }
    result->own_cpu = (double)(after.own_ns - before.own_ns) / 1e9 / result->seconds;
    result->server_known = before.server_known && after.server_known;
    result->server_cpu = (double)(after.server_ns - before.server_ns) / 1e9 / result->seconds;
    result->machine_known =
        before.machine_known && after.machine_known && after.machine_ticks > before.machine_ticks;
    if (result->machine_known)
        result->machine_busy = 1.0 - (double)(after.idle_ticks - before.idle_ticks) /
                                         (double)(after.machine_ticks - before.machine_ticks);
    result->disk_known = before.disk_known && after.disk_known;
    result->flushes_per_s = (double)(after.flushes - before.flushes) / result->seconds;
    result->written_per_s = (double)(after.written_bytes - before.written_bytes) / result->seconds;
    done = add_up(config, seats, result, problem);

cleanup:
    for (unsigned i = 0; i < config->threads; i++)
        worker_destroy(&seats[i].worker);
    free(seats);
    return done;
}

void load_result_clear(load_result_t *result)
{
    histogram_destroy(&result->all);
    for (unsigned i = 0; i < OPERATION__COUNT; i++)
        histogram_destroy(&result->by_operation[i]);
}

uint64_t load_errors(const load_result_t *result)
{
    const worker_counts_t *counts = &result->counts;
    uint64_t refused = 0;

    for (unsigned i = 0; i < WORKER_STATUS_MAX; i++)
        if (i < 200 || i > 299)
            refused += counts->statuses[i];
    return refused + counts->timeouts + counts->broken + counts->malformed;
}

/* Sleeps through the phases; samples at the edges; shows progress in between. */
static void watch(const load_config_t *config, worker_shared_t *shared, seat_t *seats,
                  usage_t *before, usage_t *after, int64_t *ended_ns)
{
    bool sampled = false;
    progress_t progress;

    progress_begin(&progress, config->progress, config->expected);
    for (;;) {
        int64_t now = elapsed_ns();
        int64_t stop = atomic_load(&shared->stop_ns);

        if (interrupted && stop > now)
            atomic_store(&shared->stop_ns, stop = now);
        if (!sampled && now >= shared->measure_ns) {
            usage_sample(before, &config->usage);
            sampled = true;
        }
        if (now >= stop || all_complete(config, shared))
            break;
        progress_show(&progress, answers(seats, config->threads),
                      now < shared->measure_ns ? "warming up"
                                               : workload_kind_name(config->workload.kind),
                      stop == INT64_MAX ? -1.0 : (double)(stop - now) / 1e9);
        int64_t wake = now + TICK_NS;
        if (!sampled && wake > shared->measure_ns)
            wake = shared->measure_ns;
        sleep_until(wake < stop ? wake : stop);
    }
    usage_sample(after, &config->usage);
    if (!sampled)
        *before = *after;
    *ended_ns = atomic_load(&shared->stop_ns);
    progress_end(&progress, answers(seats, config->threads));
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at,
                    NULL); /* a signal may end it early: fine */
}

static uint64_t answers(const seat_t *seats, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += worker_answers(seats[i].worker);
    return sum;
}

static bool all_complete(const load_config_t *config, const worker_shared_t *shared)
{
    return config->duration_s <= 0.0 &&
           atomic_load(shared->workload.sequence) >= shared->workload.sequence_end;
}

static bool add_up(const load_config_t *config, const seat_t *seats, load_result_t *result,
                   problem_t *problem)
{
    result->all = histogram_new();
    for (unsigned o = 0; o < OPERATION__COUNT; o++)
        result->by_operation[o] = histogram_new();
    for (unsigned o = 0; o < OPERATION__COUNT; o++)
        if (result->all == NULL || result->by_operation[o] == NULL) {
            load_result_clear(result);
            return problem_set(problem, "no memory for the result");
        }
    for (unsigned i = 0; i < config->threads; i++) {
        worker_counts_add(&result->counts, worker_counts(seats[i].worker));
        for (unsigned o = 0; o < OPERATION__COUNT; o++)
            histogram_merge(result->by_operation[o],
                            worker_latency(seats[i].worker, (operation_t)o));
    }
    for (unsigned o = 0; o < OPERATION__COUNT; o++)
        histogram_merge(result->all, result->by_operation[o]);
    return true;
}
