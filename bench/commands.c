/* commands.c - what several commands share, and the small ones */
#include "bench/commands.h"

#include "bench/call.h"
#include "bench/chart.h"
#include "bench/elapsed.h"
#include "bench/pick.h"
#include "bench/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define RESULT_FILE_MAX (1 << 20)

static bool file_read(const char *path, char **text, size_t *bytes, problem_t *problem);

bool server_reach(server_t *self, const options_t *options, problem_t *problem)
{
    self->endpoint_count = options->url_count;
    for (unsigned i = 0; i < options->url_count; i++)
        if (!endpoint_parse(&self->endpoints[i], options->urls[i], problem))
            return false;
    if (options->token != NULL) {
        if (strlen(options->token) >= sizeof(self->token) ||
            strpbrk(options->token, "\r\n") != NULL)
            return problem_set(problem, "the token is no token");
        memcpy(self->token, options->token, strlen(options->token) + 1);
        return true;
    }
    if (options->user == NULL || options->password == NULL)
        return problem_set(problem, "--token, or --user and --password, is needed");
    return call_login(&self->endpoints[0], options->user, options->password, self->token,
                      sizeof(self->token), problem);
}

uint64_t run_number(void)
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number))
        number = random_mix((uint64_t)elapsed_ns() ^ ((uint64_t)getpid() << 40));
    return number;
}

FILE *output_open(const char *path, problem_t *problem)
{
    if (strcmp(path, "-") == 0)
        return stdout;
    FILE *out = fopen(path, "we");
    if (out == NULL)
        problem_set(problem, "cannot write %s: %s", path, strerror(errno));
    return out;
}

bool output_close(FILE **out_p, const char *path, problem_t *problem)
{
    FILE *out = *out_p;

    *out_p = NULL;
    if (out == NULL)
        return true;
    bool failed = fflush(out) != 0 || ferror(out) != 0;
    if (out != stdout && fclose(out) != 0)
        failed = true;
    return !failed || problem_set(problem, "cannot write %s: %s", path, strerror(errno));
}

int command_setup(const options_t *options, problem_t *problem)
{
    static const char program_body[] =
        "{\"name\":\"Load test\",\"description\":\"made by fealty-bench setup\","
        "\"start_date\":\"2020-01-01T00:00:00Z\",\"end_date\":\"2099-12-31T00:00:00Z\"}";
    server_t *server = calloc(1, sizeof(*server));
    call_t *call = calloc(1, sizeof(*call));
    char body[256];
    pick_t program;
    int status = 2;

    if (server == NULL || call == NULL) {
        problem_set(problem, "no memory to set up");
        goto cleanup;
    }
    if (!server_reach(server, options, problem))
        goto cleanup;
    if (!call_make(call, &server->endpoints[0], "POST", "/api/loyalty/v1/loyaltyPrograms/?wait=all",
                   server->token, program_body, problem))
        goto cleanup;
    if (call->status != 201 || !pick_member(call->body, call->body_bytes, "id", &program) ||
        program.bytes > 20) {
        problem_set(problem, "creating a program was answered with %d: %.300s", call->status,
                    call->body);
        goto cleanup;
    }
    char id[24];
    snprintf(id, sizeof(id), "%.*s", (int)program.bytes, program.text);
    snprintf(body, sizeof(body),
             "{\"program\":%s,\"name\":\"Everybody\",\"min_points\":0,\"priority\":1,"
             "\"points_multiplier\":\"1.000\"}",
             id);
    if (!call_make(call, &server->endpoints[0], "POST", "/api/loyalty/v1/loyaltyTiers/?wait=all",
                   server->token, body, problem))
        goto cleanup;
    if (call->status != 201) {
        problem_set(problem, "creating a tier was answered with %d: %.300s", call->status,
                    call->body);
        goto cleanup;
    }
    if (options->shell)
        printf("FEALTY_BENCH_TOKEN=%s\nFEALTY_BENCH_PROGRAM=%s\n", server->token, id);
    else
        printf("program %s is ready. Next:\n"
               "  export FEALTY_BENCH_TOKEN=%s\n"
               "  fealty-bench preload --url %s --program %s --customers 50000\n"
               "  fealty-bench run     --url %s --program %s --customers 50000 --workload mixed\n",
               id, server->token, options->urls[0], id, options->urls[0], id);
    status = 0;

cleanup:
    free(call);
    free(server);
    return status;
}

int command_chart(const options_t *options, problem_t *problem)
{
    chart_result_t results[CHART_SERIES_MAX] = {{0}};
    char *texts[CHART_SERIES_MAX] = {NULL}; /* owned */
    unsigned count = 0;
    int status = 2;

    if (options->argument_count < 2 || options->argument_count - 1 > CHART_SERIES_MAX) {
        problem_set(problem, "usage: fealty-bench chart OUT.svg RESULT.json... (up to %d)",
                    CHART_SERIES_MAX);
        return status;
    }
    for (; count < options->argument_count - 1; count++) {
        chart_result_t *result = &results[count];
        result->name = options->arguments[count + 1];
        if (!file_read(result->name, &texts[count], &result->bytes, problem))
            goto cleanup;
        result->text = texts[count];
    }
    status = chart_latency(options->arguments[0], results, count, problem) ? 0 : 2;

cleanup:
    for (unsigned i = 0; i < CHART_SERIES_MAX; i++)
        free(texts[i]);
    return status;
}

/* Each argument is NAME=VALUE or NAME=VALUE/TARGET. */
int command_bars(const options_t *options, problem_t *problem)
{
    chart_bar_t bars[CHART_BARS_MAX];
    char names[CHART_BARS_MAX][96];
    unsigned count = 0;

    if (options->argument_count < 2) {
        problem_set(problem, "usage: fealty-bench bars OUT.svg NAME=VALUE[/TARGET]...");
        return 2;
    }
    for (unsigned i = 1; i < options->argument_count && count < CHART_BARS_MAX; i++, count++) {
        const char *text = options->arguments[i];
        const char *equals = strrchr(text, '=');
        char *end = NULL;

        bars[count] = (chart_bar_t){.label = names[count]};
        if (equals != NULL) {
            snprintf(names[count], sizeof(names[count]), "%.*s", (int)(equals - text), text);
            bars[count].value = strtod(equals + 1, &end);
            if (end != equals + 1 && *end == '/')
                bars[count].target = strtod(end + 1, &end);
        }
        if (equals == NULL || end == equals + 1 || *end != '\0') {
            problem_set(problem, "\"%s\" is not NAME=VALUE or NAME=VALUE/TARGET", text);
            return 2;
        }
    }
    return chart_bars(options->arguments[0], options->title, bars, count, problem) ? 0 : 2;
}

/* Prints members of a result file, one per line: scripts need no JSON tool. A missing one prints
 * null. */
int command_pick(const options_t *options, problem_t *problem)
{
    if (options->argument_count < 2) {
        problem_set(problem, "usage: fealty-bench pick RESULT.json MEMBER...");
        return 2;
    }
    char *text = NULL;
    size_t n = 0;
    if (!file_read(options->arguments[0], &text, &n, problem))
        return 2;
    for (unsigned i = 1; i < options->argument_count; i++) {
        pick_t value;
        if (pick_member(text, n, options->arguments[i], &value))
            printf("%.*s\n", (int)value.bytes, value.text);
        else
            printf("null\n");
    }
    free(text);
    return 0;
}

static bool file_read(const char *path, char **text, size_t *bytes, problem_t *problem)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return problem_set(problem, "cannot read %s: %s", path, strerror(errno));
    *text = malloc(RESULT_FILE_MAX);
    *bytes = *text != NULL ? fread(*text, 1, RESULT_FILE_MAX, file) : 0;
    fclose(file);
    return *text != NULL || problem_set(problem, "no memory to read %s", path);
}
