/* metrics.h - counters, gauges and histograms, printed as Prometheus text
 *
 * Contract   All metrics are declared in one table (METRIC_MAP), so the list is complete in /metrics from the
 *            start. Counters only grow. A gauge may also be a callback registered at start.
 * Threads    Any; relaxed atomics.
 * Ownership  Global, fixed size.
 * Units      In the name (_total, _seconds, _bytes).
 * Errors     None.
 */
#ifndef FEALTY_METRICS_H
#define FEALTY_METRICS_H

#include "protocol/buffer.h"

/* clang-format off */
/*    id                          name                                       type       help */
#define METRIC_MAP(X)                                                                                              \
    X(METRIC_HTTP_REQUESTS,       "fealty_http_requests_total",              "counter", "Requests answered")           \
    X(METRIC_HTTP_2XX,            "fealty_http_responses_2xx_total",         "counter", "Answers with status 2xx")     \
    X(METRIC_HTTP_4XX,            "fealty_http_responses_4xx_total",         "counter", "Answers with status 4xx")     \
    X(METRIC_HTTP_5XX,            "fealty_http_responses_5xx_total",         "counter", "Answers with status 5xx")     \
    X(METRIC_COMMANDS,            "fealty_commands_total",                   "counter", "Commands decided")            \
    X(METRIC_REFUSALS,            "fealty_refusals_total",                   "counter", "Commands refused by a business rule") \
    X(METRIC_REPLAYS,             "fealty_replays_total",                    "counter", "Commands answered from a known key or reference") \
    X(METRIC_RECORDS,             "fealty_records_total",                    "counter", "Records appended to the log") \
    X(METRIC_ROUNDS,              "fealty_rounds_total",                     "counter", "Synced batches written")      \
    X(METRIC_ROUND_COMMANDS,      "fealty_round_commands_total",             "counter", "Commands in synced batches")  \
    X(METRIC_SYNC_MICROSECONDS,   "fealty_sync_microseconds_total",          "counter", "Time spent writing synced batches") \
    X(METRIC_RECORDS_IGNORED,     "fealty_records_ignored_total",            "counter", "Records not accepted")        \
    X(METRIC_STEPS_DOWN,          "fealty_steps_down_total",                 "counter", "Times a partition's owner doubted its own writes and claimed again") \
    X(METRIC_OVERLOADED,          "fealty_overloaded_total",                 "counter", "Requests refused because a queue was full") \
    X(METRIC_MESSAGES_SENT,       "fealty_messages_sent_total",              "counter", "Messages between partitions sent, resends included") \
    X(METRIC_MESSAGES_APPLIED,    "fealty_messages_applied_total",           "counter", "Messages between partitions applied") \
    X(METRIC_FRAMES_DROPPED,      "fealty_frames_dropped_total",             "counter", "Frames from other nodes that could not be read") \
    X(METRIC_ACCOUNT_CACHE_HITS,  "fealty_account_cache_hits_total",         "counter", "Accounts found in memory")    \
    X(METRIC_ACCOUNT_CACHE_MISSES,"fealty_account_cache_misses_total",       "counter", "Accounts read from disk")     \
    X(METRIC_LOG_LINES_LOST,      "fealty_log_lines_lost_total",             "counter", "Log lines that could not be written") \
    X(METRIC_LOGIN_FAILURES,      "fealty_login_failures_total",             "counter", "Logins refused")
/* clang-format on */

typedef enum {
#define X(id, name, type, help) id,
    METRIC_MAP(X)
#undef X
        METRIC__COUNT
} metric_id_t;

void metric_add(metric_id_t id, uint64_t n);
uint64_t metric_get(metric_id_t id);

/* Further text: called when /metrics is asked for; writes complete Prometheus lines. At most 16. */
typedef void (*metrics_source_fn)(void *state, buffer_t *out);
void metrics_register(metrics_source_fn source, void *state);
void metrics_unregister(metrics_source_fn source, void *state);
void metrics_write(buffer_t *out);

#endif
