/* report.c - table and JSON */
#include "bench/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define CURVE_NINES           5
#define CURVE_POINTS_PER_NINE 8

static const double percents[] = {50.0, 90.0, 99.0, 99.9, 99.99};

static void print_errors(FILE *out, const load_result_t *result);
static void print_limits(FILE *out, const load_config_t *config, const load_result_t *result);
static void print_latency(FILE *out, const char *name, const histogram_t *latency);
static void print_time(FILE *out, uint64_t ns);
static void json_latency(FILE *out, const histogram_t *latency);
static void json_curve(FILE *out, const histogram_t *latency);
static void json_text(FILE *out, const char *text);

void report_table(FILE *out, const load_config_t *config, const load_result_t *result,
                  const report_names_t *names)
{
    const workload_config_t *workload = &config->workload;
    uint64_t ok = result->counts.succeeded;
    unsigned shown = 0;

    fprintf(out, "\n%s: %s\n", names->label, workload_kind_text(workload->kind));
    fprintf(out, "%u connections, ", config->connections);
    if (config->rate > 0.0)
        fprintf(out, "open loop at %.0f/s (latency counts from the intended time)", config->rate);
    else
        fprintf(out, "closed loop");
    fprintf(out, ", %.1f s after %.1f s of warm-up, %" PRIu64 " customers, %s%s\n\n",
            result->seconds, config->warmup_s, workload->customers, names->distribution,
            result->interrupted ? ", ended early" : "");

    fprintf(out, "  succeeded   %12" PRIu64 "   %12.0f /s\n", ok,
            (double)result->counts.succeeded_inside / result->seconds);
    if (workload->kind == WORKLOAD_BATCH)
        fprintf(out, "  lines       %12" PRIu64 "   %12.0f /s\n", result->counts.lines_accepted,
                (double)result->counts.lines_inside / result->seconds);
    print_errors(out, result);

    fprintf(out, "\n  %-9s %10s %8s %8s %8s %8s %8s %8s %8s\n", "latency", "count", "mean", "p50",
            "p90", "p99", "p99.9", "p99.99", "max");
    print_latency(out, "all", result->all);
    for (unsigned i = 0; i < OPERATION__COUNT; i++)
        shown += histogram_count(result->by_operation[i]) > 0;
    for (unsigned i = 0; i < OPERATION__COUNT && shown > 1; i++)
        if (histogram_count(result->by_operation[i]) > 0)
            print_latency(out, operation_label((operation_t)i), result->by_operation[i]);
    print_limits(out, config, result);
}

void report_json(FILE *out, const load_config_t *config, const load_result_t *result,
                 const report_names_t *names)
{
    const worker_counts_t *counts = &result->counts;
    bool batch = config->workload.kind == WORKLOAD_BATCH;
    const char *comma = "";

    fprintf(out, "{\"label\":");
    json_text(out, names->label);
    fprintf(
        out,
        ",\"workload\":\"%s\",\"connections\":%u,\"threads\":%u,\"loop\":\"%s\",\"rate_wanted\":",
        workload_kind_name(config->workload.kind), config->connections, config->threads,
        config->rate > 0.0 ? "open" : "closed");
    if (config->rate > 0.0)
        fprintf(out, "%.3f", config->rate);
    else
        fprintf(out, "null");
    fprintf(out, ",\"customers\":%" PRIu64 ",\"distribution\":", config->workload.customers);
    json_text(out, names->distribution);
    fprintf(out, ",\"batch_lines\":%u,\"warmup_s\":%.3f,\"duration_s\":%.3f",
            batch ? config->workload.batch_lines : 1, config->warmup_s, result->seconds);
    fprintf(out,
            ",\"succeeded\":%" PRIu64 ",\"rate\":%.1f,\"operations\":%" PRIu64
            ",\"operations_per_s\":%.1f",
            counts->succeeded, (double)counts->succeeded_inside / result->seconds,
            batch ? counts->lines_accepted : counts->succeeded,
            (double)(batch ? counts->lines_inside : counts->succeeded_inside) / result->seconds);
    fprintf(out, ",\"error_count\":%" PRIu64 ",\"statuses\":{", load_errors(result));
    for (unsigned i = 0; i < WORKER_STATUS_MAX; i++)
        if (counts->statuses[i] > 0) {
            fprintf(out, "%s\"%u\":%" PRIu64, comma, i, counts->statuses[i]);
            comma = ",";
        }
    fprintf(out,
            "},\"lines_refused\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"broken\":%" PRIu64
            ",\"malformed\":%" PRIu64 ",\"reopened\":%" PRIu64 ",\"unsent\":%" PRIu64
            ",\"behind_ms\":%.3f",
            counts->lines_refused, counts->timeouts, counts->broken, counts->malformed,
            counts->reopened, counts->unsent, (double)counts->behind_ns / 1e6);
    fprintf(out,
            ",\"generator_cpu_percent\":%.1f,\"server_cpu_percent\":", result->own_cpu * 100.0);
    if (result->server_known)
        fprintf(out, "%.1f", result->server_cpu * 100.0);
    else
        fprintf(out, "null");
    if (result->machine_known)
        fprintf(out, ",\"machine_busy_percent\":%.1f", result->machine_busy * 100.0);
    else
        fprintf(out, ",\"machine_busy_percent\":null");
    if (result->disk_known)
        fprintf(out, ",\"disk_flushes_per_s\":%.1f,\"disk_written_mb_per_s\":%.3f",
                result->flushes_per_s, result->written_per_s / 1e6);
    else
        fprintf(out, ",\"disk_flushes_per_s\":null,\"disk_written_mb_per_s\":null");
    fputc(',', out);
    json_latency(out, result->all);
    fprintf(out, ",\"by_operation\":{");
    comma = "";
    for (unsigned i = 0; i < OPERATION__COUNT; i++)
        if (histogram_count(result->by_operation[i]) > 0) {
            fprintf(out, "%s\"%s\":{\"count\":%" PRIu64 ",", comma, operation_label((operation_t)i),
                    histogram_count(result->by_operation[i]));
            json_latency(out, result->by_operation[i]);
            fputc('}', out);
            comma = ",";
        }
    fprintf(out, "},\"curve\":");
    json_curve(out, result->all);
    fprintf(out, "}\n");
}

static void print_errors(FILE *out, const load_result_t *result)
{
    const worker_counts_t *counts = &result->counts;
    uint64_t errors = load_errors(result);

    if (counts->already_there > 0)
        fprintf(out, "  already there %10" PRIu64 "\n", counts->already_there);
    fprintf(out, "  errors      %12" PRIu64, errors);
    for (unsigned i = 0; i < WORKER_STATUS_MAX; i++)
        if (counts->statuses[i] > 0 && (i < 200 || i > 299))
            fprintf(out, "   status %u: %" PRIu64, i, counts->statuses[i]);
    if (counts->timeouts > 0)
        fprintf(out, "   no answer in time: %" PRIu64, counts->timeouts);
    if (counts->broken > 0)
        fprintf(out, "   connection lost: %" PRIu64, counts->broken);
    if (counts->malformed > 0)
        fprintf(out, "   not HTTP: %" PRIu64, counts->malformed);
    fputc('\n', out);
    if (counts->lines_refused > 0)
        fprintf(out, "  lines refused %10" PRIu64 "\n", counts->lines_refused);
    if (counts->reopened > 0)
        fprintf(out, "  connections opened again: %" PRIu64 "\n", counts->reopened);
    if (counts->first_refusal[0] != '\0' && (errors > 0 || counts->lines_refused > 0))
        fprintf(out, "  first of them: %s\n", counts->first_refusal);
}

/* What kept the figure from being higher, as far as it can be seen from here. */
static void print_limits(FILE *out, const load_config_t *config, const load_result_t *result)
{
    const worker_counts_t *counts = &result->counts;

    fprintf(out, "\n  used: generator %.0f %% of a core", result->own_cpu * 100.0);
    if (result->server_known)
        fprintf(out, ", server %.0f %%", result->server_cpu * 100.0);
    if (result->machine_known)
        fprintf(out, ", this machine %.0f %% of all its cores", result->machine_busy * 100.0);
    if (result->disk_known)
        fprintf(out, ", disk %.0f flushes/s and %.1f MB/s", result->flushes_per_s,
                result->written_per_s / 1e6);
    fputc('\n', out);
    if (result->own_cpu > 0.9 * config->threads)
        fprintf(
            out,
            "  note: the generator was busy all the time; more --threads, or a second machine, may "
            "show a higher rate\n");
    if (counts->unsent > 0)
        fprintf(out,
                "  note: %" PRIu64
                " requests were never sent, so their wait is missing above: the server "
                "could not keep up with this rate\n",
                counts->unsent);
    else if (counts->behind_ns > 100000000)
        fprintf(out,
                "  note: requests left up to %.0f ms late; that wait is part of the latencies\n",
                (double)counts->behind_ns / 1e6);
}

static void print_latency(FILE *out, const char *name, const histogram_t *latency)
{
    fprintf(out, "  %-9s %10" PRIu64, name, histogram_count(latency));
    print_time(out, (uint64_t)histogram_mean(latency));
    for (size_t i = 0; i < COUNT_OF(percents); i++)
        print_time(out, histogram_percentile(latency, percents[i]));
    print_time(out, histogram_max(latency));
    fputc('\n', out);
}

/* Three digits and a unit: 843us, 1.24ms, 15.2ms, 1.09s */
static void print_time(FILE *out, uint64_t ns)
{
    static const struct {
        double limit;
        double unit;
        const char *name;
        int decimals;
    } scales[] = {{1e6, 1e3, "us", 0},
                  {1e7, 1e6, "ms", 2},
                  {1e8, 1e6, "ms", 1},
                  {1e9, 1e6, "ms", 0},
                  {1e18, 1e9, "s", 2}};
    char text[32];
    size_t i = 0;

    while (i + 1 < COUNT_OF(scales) && (double)ns >= scales[i].limit)
        i++;
    snprintf(text, sizeof(text), "%.*f%s", scales[i].decimals, (double)ns / scales[i].unit,
             scales[i].name);
    fprintf(out, " %8s", text);
}

static void json_latency(FILE *out, const histogram_t *latency)
{
    static const char *const names[] = {"p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "p99_99_ms"};

    fprintf(out, "\"mean_ms\":%.4f", histogram_mean(latency) / 1e6);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        fprintf(out, ",\"%s\":%.4f", names[i],
                (double)histogram_percentile(latency, percents[i]) / 1e6);
    fprintf(out, ",\"max_ms\":%.4f", (double)histogram_max(latency) / 1e6);
}

/* From the median on, evenly over the nines, up to the last percentile that at least one request
 * stands behind. */
static void json_curve(FILE *out, const histogram_t *latency)
{
    double count = (double)histogram_count(latency);
    double beyond = 0.5; /* share of requests that take longer */

    fputc('[', out);
    for (unsigned i = 3; count > 0.0; i++) {
        double percent = 100.0 * (1.0 - beyond);

        fprintf(out, "%s[%.5f,%.4f]", i > 3 ? "," : "", percent,
                (double)histogram_percentile(latency, percent) / 1e6);
        if (i > CURVE_NINES * CURVE_POINTS_PER_NINE || beyond * count <= 1.0)
            break;
        beyond = fmax(pow(10.0, -(double)i / CURVE_POINTS_PER_NINE), 1.0 / count);
    }
    fputc(']', out);
}

static void json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}
