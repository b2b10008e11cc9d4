/* command_run.c - from options to a measurement to table, JSON and chart */
#include "bench/chart.h"
#include "bench/commands.h"
#include "bench/progress.h"
#include "bench/report.h"

#include <stdlib.h>
#include <string.h>

static bool workload_from(const options_t *options, const server_t *server,
                          workload_config_t *workload, problem_t *problem);
static bool theta_parse(const char *text, double *theta, problem_t *problem);
static bool write_files(const options_t *options, const load_config_t *config,
                        const load_result_t *result, const report_names_t *names,
                        problem_t *problem);

int command_run(const options_t *options, problem_t *problem)
{
    server_t *server = calloc(1, sizeof(*server));
    load_config_t config = {.connections = (unsigned)options->connections,
                            .threads = (unsigned)options->threads,
                            .rate = options->rate,
                            .warmup_s = options->warmup_s,
                            .duration_s = options->duration_s,
                            .timeout_s = options->timeout_s,
                            .usage = {.pid_count = options->pid_count, .disk = options->disk},
                            .progress = progress_wanted()};
    load_result_t result = {0};
    int status = 2;

    if (server == NULL) {
        problem_set(problem, "no memory to run");
        return status;
    }
    if (options->argument_count > 0) {
        problem_set(problem, "\"%s\" is no option", options->arguments[0]);
        goto cleanup;
    }
    if (config.threads > config.connections)
        config.threads = config.connections;
    memcpy(config.usage.pids, options->pids, sizeof(config.usage.pids));
    if (!workload_from(options, server, &config.workload, problem) ||
        !server_reach(server, options, problem))
        goto cleanup;
    config.workload.endpoint_count = server->endpoint_count;
    if (!load_run(&config, &result, problem))
        goto cleanup;

    report_names_t names = {
        .label = options->label != NULL ? options->label : workload_kind_name(config.workload.kind),
        .distribution = options->distribution};
    if (options->json == NULL || strcmp(options->json, "-") != 0)
        report_table(stdout, &config, &result, &names);
    if (!write_files(options, &config, &result, &names, problem))
        goto cleanup;
    status =
        options->strict && (load_errors(&result) > 0 || result.counts.lines_refused > 0) ? 1 : 0;

cleanup:
    load_result_clear(&result);
    free(server);
    return status;
}

static bool workload_from(const options_t *options, const server_t *server,
                          workload_config_t *workload, problem_t *problem)
{
    static const char *const places[] = {
        [KEY_IN_BODY] = "body", [KEY_IN_HEADER] = "header", [KEY_NONE] = "none"};
    unsigned place = 0;

    *workload = (workload_config_t){.endpoints = server->endpoints,
                                    .token = server->token,
                                    .program = (uint64_t)options->program,
                                    .customers = (uint64_t)options->customers,
                                    .batch_lines = (unsigned)options->batch_lines,
                                    .seed = (uint64_t)options->seed,
                                    .run = run_number()};
    if (!workload_kind_parse(options->workload, &workload->kind) ||
        workload->kind == WORKLOAD_ENROL)
        return problem_set(
            problem, "there is no workload \"%s\": earn, burn, balance, mixed, transfer, batch",
            options->workload);
    if (workload->program == 0 && workload->kind != WORKLOAD_BALANCE)
        return problem_set(problem, "--program is needed; `fealty-bench setup` makes one");
    while (place < COUNT_OF(places) && strcmp(options->keys, places[place]) != 0)
        place++;
    if (place == COUNT_OF(places))
        return problem_set(problem, "--keys must be body, header or none, not \"%s\"",
                           options->keys);
    workload->keys = (key_place_t)place;
    return theta_parse(options->distribution, &workload->theta, problem);
}

static bool theta_parse(const char *text, double *theta, problem_t *problem)
{
    char *end = NULL;

    *theta = 0.0;
    if (strcmp(text, "uniform") == 0)
        return true;
    if (strcmp(text, "zipfian") == 0) {
        *theta = 0.99;
        return true;
    }
    if (strncmp(text, "zipfian:", 8) == 0) {
        *theta = strtod(text + 8, &end);
        if (end != text + 8 && *end == '\0' && *theta > 0.0 && *theta <= 10.0)
            return true;
    }
    return problem_set(
        problem, "--distribution must be uniform or zipfian:THETA with THETA up to 10, not \"%s\"",
        text);
}

static bool write_files(const options_t *options, const load_config_t *config,
                        const load_result_t *result, const report_names_t *names,
                        problem_t *problem)
{
    chart_result_t drawn = {.name = "this run"};
    char *text = NULL; /* owned */
    FILE *out = NULL;
    bool done = false;

    if (options->json != NULL) {
        out = output_open(options->json, problem);
        if (out == NULL)
            return false;
        report_json(out, config, result, names);
        if (!output_close(&out, options->json, problem))
            return false;
    }
    if (options->svg == NULL)
        return true;
    out = open_memstream(&text, &drawn.bytes);
    if (out == NULL)
        return problem_set(problem, "no memory for the chart");
    report_json(out, config, result, names);
    if (output_close(&out, "the chart's data", problem)) {
        drawn.text = text;
        done = chart_latency(options->svg, &drawn, 1, problem);
    }
    free(text);
    return done;
}
