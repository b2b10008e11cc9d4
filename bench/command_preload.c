/* command_preload.c - accounts for a load test: over HTTP, or as a file for `fealty import` */
#include "bench/commands.h"
#include "bench/customers.h"
#include "bench/progress.h"
#include "bench/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EMIT_BUFFER_BYTES (1 << 20)
#define EMIT_SHOW_EVERY   16384

static int emit(const options_t *options, problem_t *problem);
static int enrol(const options_t *options, problem_t *problem);

int command_preload(const options_t *options, problem_t *problem)
{
    if (options->argument_count > 0) {
        problem_set(problem, "\"%s\" is no option", options->arguments[0]);
        return 2;
    }
    if (options->program < 1) {
        problem_set(problem, "--program is needed; `fealty-bench setup` makes one");
        return 2;
    }
    return options->emit != NULL ? emit(options, problem) : enrol(options, problem);
}

static int emit(const options_t *options, problem_t *problem)
{
    uint64_t first = (uint64_t)options->first;
    uint64_t count = (uint64_t)options->customers;
    char head[] = "{\"type\":\"account\",\"customer_id\":\"";
    char tail[128];
    char uuid[CUSTOMER_TEXT_BYTES];
    char *buffer = malloc(EMIT_BUFFER_BYTES);
    FILE *out = output_open(options->emit, problem);
    progress_t progress;
    int status = 2;

    if (out == NULL || buffer == NULL)
        goto cleanup;
    setvbuf(out, buffer, _IOFBF, EMIT_BUFFER_BYTES);
    int tail_bytes = snprintf(tail, sizeof(tail), "\",\"program\":%.0f,\"points\":%.0f}\n",
                              options->program, options->points);
    progress_begin(&progress, progress_wanted(), count);
    for (uint64_t i = 0; i < count; i++) {
        customer_uuid(first + i, uuid);
        fwrite(head, 1, sizeof(head) - 1, out);
        fwrite(uuid, 1, sizeof(uuid), out);
        fwrite(tail, 1, (size_t)tail_bytes, out);
        if (i % EMIT_SHOW_EVERY == 0) {
            if (ferror(out))
                break;
            progress_show(&progress, i, "writing", -1.0);
        }
    }
    progress_end(&progress, count);
    status = output_close(&out, options->emit, problem) ? 0 : 2;

cleanup:
    if (out != NULL && out != stdout)
        fclose(out);
    if (out == NULL || out != stdout)
        free(buffer); /* standard output keeps using it until the process ends */
    return status;
}

static int enrol(const options_t *options, problem_t *problem)
{
    atomic_uint_fast64_t sequence;
    server_t *server = calloc(1, sizeof(*server));
    uint64_t first = (uint64_t)options->first;
    uint64_t count = (uint64_t)options->customers;
    load_config_t config = {.connections = (unsigned)options->connections,
                            .threads = (unsigned)options->threads,
                            .timeout_s = options->timeout_s,
                            .progress = progress_wanted(),
                            .expected = count};
    load_result_t result = {0};
    int status = 2;

    if (server == NULL) {
        problem_set(problem, "no memory to preload");
        return status;
    }
    if (config.connections > count)
        config.connections = (unsigned)count;
    if (config.threads > config.connections)
        config.threads = config.connections;
    if (!server_reach(server, options, problem))
        goto cleanup;
    atomic_init(&sequence, first);
    config.workload = (workload_config_t){.kind = WORKLOAD_ENROL,
                                          .endpoints = server->endpoints,
                                          .endpoint_count = server->endpoint_count,
                                          .token = server->token,
                                          .program = (uint64_t)options->program,
                                          .customers = count,
                                          .batch_lines = 1,
                                          .points = (uint64_t)options->points,
                                          .sequence = &sequence,
                                          .sequence_end = first + count,
                                          .run = run_number()};
    if (!load_run(&config, &result, problem))
        goto cleanup;
    report_names_t names = {.label = "preload", .distribution = "each once"};
    report_table(stdout, &config, &result, &names);
    if (options->json != NULL) {
        FILE *out = output_open(options->json, problem);
        if (out == NULL)
            goto cleanup;
        report_json(out, &config, &result, &names);
        if (!output_close(&out, options->json, problem))
            goto cleanup;
    }
    uint64_t there = result.counts.succeeded + result.counts.already_there;
    if (there < count) {
        problem_set(problem,
                    "only %" PRIu64 " of %" PRIu64 " accounts are there%s%s; run it again, it "
                    "continues where it stopped",
                    there, count, result.counts.first_refusal[0] != '\0' ? ": " : "",
                    result.counts.first_refusal);
        goto cleanup;
    }
    status = 0;

cleanup:
    load_result_clear(&result);
    free(server);
    return status;
}
