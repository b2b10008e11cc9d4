/* options.c - the table, its parser and its printer */
#include "bench/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef enum { VALUE_TEXT, VALUE_NUMBER, VALUE_URL, VALUE_PID, VALUE_FLAG } value_kind_t;

typedef struct {
    const char *name;
    const char *value; /* shown in the help; NULL for a flag */
    value_kind_t kind;
    unsigned commands;
    size_t at; /* in options_t */
    double low, high;
    bool whole;
    const char *meaning;
} option_t;

#define AT(member) offsetof(options_t, member)
#define SERVER     (COMMAND_RUN | COMMAND_PRELOAD | COMMAND_SETUP)
#define LOAD       (COMMAND_RUN | COMMAND_PRELOAD)

static const option_t options[] = {
    {"url", "URL", VALUE_URL, SERVER, 0, 0, 0, false,
     "where a node listens (http://127.0.0.1:8080); repeat it for several nodes, connections take "
     "turns"},
    {"token", "TOKEN", VALUE_TEXT, SERVER, AT(token), 0, 0, false,
     "token to send; also from FEALTY_BENCH_TOKEN, which other users cannot see in the process "
     "list"},
    {"user", "NAME", VALUE_TEXT, SERVER, AT(user), 0, 0, false,
     "log in as this user when there is no token"},
    {"password", "TEXT", VALUE_TEXT, SERVER, AT(password), 0, 0, false,
     "its password; also from FEALTY_BENCH_PASSWORD"},
    {"workload", "NAME", VALUE_TEXT, COMMAND_RUN, AT(workload), 0, 0, false,
     "earn, burn, balance, mixed, transfer or batch (earn)"},
    {"connections", "N", VALUE_NUMBER, LOAD, AT(connections), 1, 20000, true,
     "keep-alive connections (64); a node serves as many at once as it has http threads"},
    {"duration", "SECONDS", VALUE_NUMBER, COMMAND_RUN, AT(duration_s), 0.1, 864000, false,
     "measured time (10)"},
    {"warmup", "SECONDS", VALUE_NUMBER, COMMAND_RUN, AT(warmup_s), 0, 86400, false,
     "time before that, not measured (3)"},
    {"rate", "N", VALUE_NUMBER, COMMAND_RUN, AT(rate), 0.01, 1e7, false,
     "open loop: start N requests per second, whatever the server does, and count latency from the "
     "moment a "
     "request should have left. Without it: closed loop, each connection waits for its answer"},
    {"customers", "N", VALUE_NUMBER, LOAD, AT(customers), 1, 1e10, true,
     "how many customers take part (50000)"},
    {"distribution", "NAME", VALUE_TEXT, COMMAND_RUN, AT(distribution), 0, 0, false,
     "uniform, or zipfian[:THETA]: few customers buy most (THETA 0.99)"},
    {"program", "ID", VALUE_NUMBER, LOAD, AT(program), 1, 9007199254740991.0, true,
     "loyalty program of the accounts, from setup"},
    {"batch-lines", "N", VALUE_NUMBER, COMMAND_RUN, AT(batch_lines), 1, 100000, true,
     "earns in one request of workload batch (100)"},
    {"keys", "PLACE", VALUE_TEXT, COMMAND_RUN, AT(keys), 0, 0, false,
     "where every write carries its idempotency key: body, header, or none (body)"},
    {"points", "N", VALUE_NUMBER, COMMAND_PRELOAD, AT(points), 0, 9e15, true,
     "opening balance (1000000)"},
    {"first", "N", VALUE_NUMBER, COMMAND_PRELOAD, AT(first), 0, 1e10, true,
     "number of the first customer (0); with --customers, loads a part"},
    {"emit", "FILE", VALUE_TEXT, COMMAND_PRELOAD, AT(emit), 0, 0, false,
     "write the customers as NDJSON for `fealty import` instead of enrolling over HTTP; - is "
     "standard output"},
    {"threads", "N", VALUE_NUMBER, LOAD, AT(threads), 1, 64, true,
     "threads of the generator (1); one is enough for some 100,000 requests per second"},
    {"timeout", "SECONDS", VALUE_NUMBER, LOAD, AT(timeout_s), 0.1, 3600, false,
     "an answer that takes longer is an error (10)"},
    {"seed", "N", VALUE_NUMBER, COMMAND_RUN, AT(seed), 0, 9007199254740991.0, true,
     "of the choice of customers (1); keys differ in every run all the same"},
    {"label", "TEXT", VALUE_TEXT, COMMAND_RUN, AT(label), 0, 0, false,
     "name of the run in table and chart"},
    {"json", "FILE", VALUE_TEXT, LOAD, AT(json), 0, 0, false,
     "write the result as JSON; - is standard output"},
    {"svg", "FILE", VALUE_TEXT, COMMAND_RUN, AT(svg), 0, 0, false, "draw latency by percentile"},
    {"server-pid", "PID", VALUE_PID, COMMAND_RUN, 0, 0, 0, false,
     "a server process on this machine whose processor use to report; may be repeated"},
    {"disk", "DIRECTORY", VALUE_TEXT, COMMAND_RUN, AT(disk), 0, 0, false,
     "report flushes and bytes of the disk below it"},
    {"strict", NULL, VALUE_FLAG, LOAD, AT(strict), 0, 0, false,
     "end with status 1 when any request failed"},
    {"shell", NULL, VALUE_FLAG, COMMAND_SETUP, AT(shell), 0, 0, false,
     "print only lines for the shell: FEALTY_BENCH_TOKEN=..., FEALTY_BENCH_PROGRAM=..."},
    {"title", "TEXT", VALUE_TEXT, COMMAND_BARS, AT(title), 0, 0, false, "title of the picture"},
};

static bool take_value(options_t *self, const option_t *option, const char *value,
                       problem_t *problem);
static bool take_number(const option_t *option, const char *value, double *out, problem_t *problem);
static void print_wrapped(FILE *out, const char *text, unsigned indent, unsigned width);

void options_default(options_t *self)
{
    *self = (options_t){.workload = "earn",
                        .distribution = "uniform",
                        .keys = "body",
                        .title = "Results",
                        .token = getenv("FEALTY_BENCH_TOKEN"),
                        .password = getenv("FEALTY_BENCH_PASSWORD"),
                        .connections = 64,
                        .threads = 1,
                        .duration_s = 10,
                        .warmup_s = 3,
                        .timeout_s = 10,
                        .customers = 50000,
                        .points = 1000000,
                        .batch_lines = 100,
                        .seed = 1};
}

bool options_read(options_t *self, command_t command, int argc, char **argv, problem_t *problem)
{
    for (int i = 0; i < argc; i++) {
        const option_t *found = NULL;
        const char *name = argv[i] + 2;

        if (strncmp(argv[i], "--", 2) != 0) {
            if (self->argument_count == ARGUMENTS_MAX)
                return problem_set(problem, "more than %d arguments", ARGUMENTS_MAX);
            self->arguments[self->argument_count++] = argv[i];
            continue;
        }
        size_t bytes = strcspn(name, "=");
        for (size_t o = 0; o < COUNT_OF(options) && found == NULL; o++)
            if ((options[o].commands & command) != 0 && strlen(options[o].name) == bytes &&
                strncmp(options[o].name, name, bytes) == 0)
                found = &options[o];
        if (found == NULL)
            return problem_set(problem, "there is no option --%.*s here", (int)bytes, name);
        const char *value = name[bytes] == '=' ? name + bytes + 1 : NULL;
        if (found->kind != VALUE_FLAG && value == NULL) {
            if (i + 1 == argc)
                return problem_set(problem, "--%s needs a value", found->name);
            value = argv[++i];
        }
        if (!take_value(self, found, value, problem))
            return false;
    }
    if (self->url_count == 0)
        self->urls[self->url_count++] = "http://127.0.0.1:8080";
    return true;
}

void options_help(FILE *out, command_t command)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        char head[48];

        if ((options[i].commands & command) == 0)
            continue;
        snprintf(head, sizeof(head), "--%s %s", options[i].name,
                 options[i].value != NULL ? options[i].value : "");
        fprintf(out, "  %-22s ", head);
        print_wrapped(out, options[i].meaning, 25, 72);
    }
}

static bool take_value(options_t *self, const option_t *option, const char *value,
                       problem_t *problem)
{
    char *place = (char *)self + option->at;
    double number = 0.0;

    switch (option->kind) {
    case VALUE_TEXT: memcpy(place, &value, sizeof(value)); return true;
    case VALUE_NUMBER:
        if (!take_number(option, value, &number, problem))
            return false;
        memcpy(place, &number, sizeof(number));
        return true;
    case VALUE_URL:
        if (self->url_count == URLS_MAX)
            return problem_set(problem, "--url can be given %d times", URLS_MAX);
        self->urls[self->url_count++] = value;
        return true;
    case VALUE_PID: {
        const option_t pid = {.name = option->name, .low = 1, .high = 4194304, .whole = true};
        if (self->pid_count == USAGE_PIDS_MAX)
            return problem_set(problem, "--%s can be given %d times", option->name, USAGE_PIDS_MAX);
        if (!take_number(&pid, value, &number, problem))
            return false;
        self->pids[self->pid_count++] = (uint64_t)number;
        return true;
    }
    case VALUE_FLAG:
    default:
        if (value != NULL)
            return problem_set(problem, "--%s takes no value", option->name);
        *(bool *)place = true;
        return true;
    }
}

static bool take_number(const option_t *option, const char *value, double *out, problem_t *problem)
{
    char *end = NULL;

    errno = 0;
    *out = strtod(value, &end);
    if (end == value || *end != '\0' || errno != 0 ||
        !(*out >= option->low && *out <= option->high) ||
        (option->whole && *out != (double)(uint64_t)*out))
        return problem_set(problem, "--%s must be %s from %.15g to %.15g, not \"%s\"", option->name,
                           option->whole ? "a whole number" : "a number", option->low, option->high,
                           value);
    return true;
}

static void print_wrapped(FILE *out, const char *text, unsigned indent, unsigned width)
{
    while (strlen(text) > width) {
        size_t cut = width;
        while (cut > 0 && text[cut] != ' ')
            cut--;
        if (cut == 0)
            cut = width;
        fprintf(out, "%.*s\n%*s", (int)cut, text, indent, "");
        text += cut + (text[cut] == ' ');
    }
    fprintf(out, "%s\n", text);
}
