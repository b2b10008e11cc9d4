/* metrics.c - one counter per row of the table, and further text from registered sources */
#include "protocol/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define SOURCES_MAX      16
#define CACHE_LINE_BYTES 64

/* A cache line each: the counters of one request are bumped by different threads. */
typedef struct {
    _Alignas(CACHE_LINE_BYTES) atomic_uint_fast64_t value;
} counter_t;

typedef struct {
    metrics_source_fn write;
    void *state; /* borrowed until unregistered */
} source_t;

static counter_t counters[METRIC__COUNT];

/* Protects sources and source_count. It is held while sources run, so that after
 * metrics_unregister() returned no call is under way; a source must not register or unregister. */
static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;
static source_t sources[SOURCES_MAX];
static size_t source_count;

void metric_add(metric_id_t id, uint64_t n)
{
    INVARIANT((unsigned)id < METRIC__COUNT);
    atomic_fetch_add_explicit(&counters[id].value, n, memory_order_relaxed);
}

uint64_t metric_get(metric_id_t id)
{
    INVARIANT((unsigned)id < METRIC__COUNT);
    return atomic_load_explicit(&counters[id].value, memory_order_relaxed);
}

void metrics_register(metrics_source_fn source, void *state)
{
    INVARIANT(pthread_mutex_lock(&sources_lock) == 0);
    INVARIANT(source_count < SOURCES_MAX);
    sources[source_count] = (source_t){.write = source, .state = state};
    source_count++;
    INVARIANT(pthread_mutex_unlock(&sources_lock) == 0);
}

void metrics_unregister(metrics_source_fn source, void *state)
{
    INVARIANT(pthread_mutex_lock(&sources_lock) == 0);
    for (size_t i = 0; i < source_count; i++) {
        if (sources[i].write != source || sources[i].state != state)
            continue;
        memmove(&sources[i], &sources[i + 1], (source_count - i - 1) * sizeof sources[0]);
        source_count--;
        break;
    }
    INVARIANT(pthread_mutex_unlock(&sources_lock) == 0);
}

void metrics_write(buffer_t *out)
{
    static const struct {
        const char *name, *type, *help;
    } rows[METRIC__COUNT] = {
#define X(id, metric_name, metric_type, metric_help) [id] = {metric_name, metric_type, metric_help},
        METRIC_MAP(X)
#undef X
    };

    for (size_t i = 0; i < METRIC__COUNT; i++)
        buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", rows[i].name,
                      rows[i].help, rows[i].name, rows[i].type, rows[i].name,
                      metric_get((metric_id_t)i));
    INVARIANT(pthread_mutex_lock(&sources_lock) == 0);
    for (size_t i = 0; i < source_count; i++)
        sources[i].write(sources[i].state, out);
    INVARIANT(pthread_mutex_unlock(&sources_lock) == 0);
}
