/* main.c - fealty-bench: picks the command, prints help and problems */
#include "bench/commands.h"
#include "bench/workload.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    command_t flag;
    int (*run)(const options_t *options, problem_t *problem);
    const char *usage;
    const char *meaning;
} row_t;

static const row_t rows[] = {
    {"setup", COMMAND_SETUP, command_setup, "",
     "make a program and a tier to test with, print their id"},
    {"preload", COMMAND_PRELOAD, command_preload, "",
     "open accounts, over HTTP or into a file for import"},
    {"run", COMMAND_RUN, command_run, "", "measure"},
    {"chart", COMMAND_CHART, command_chart, "OUT.svg RESULT.json...",
     "draw the latencies of several results into one picture"},
    {"bars", COMMAND_BARS, command_bars, "OUT.svg NAME=VALUE[/TARGET]...", "draw values as bars"},
    {"pick", COMMAND_PICK, command_pick, "RESULT.json MEMBER...", "print members of a result"},
};

static void print_overview(FILE *out);
static void print_command(FILE *out, const row_t *row);
static const row_t *row_of(const char *name);

int main(int argc, char **argv)
{
    options_t options;
    problem_t problem = {""};

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        const row_t *row = argc > 2 ? row_of(argv[2]) : NULL;
        if (row != NULL)
            print_command(stdout, row);
        else
            print_overview(stdout);
        return argc < 2 ? 2 : 0;
    }
    const row_t *row = row_of(argv[1]);
    if (row == NULL) {
        fprintf(stderr, "fealty-bench: there is no command \"%s\"; see fealty-bench help\n",
                argv[1]);
        return 2;
    }
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_command(stdout, row);
            return 0;
        }
    options_default(&options);
    if (!options_read(&options, row->flag, argc - 2, argv + 2, &problem)) {
        fprintf(stderr, "fealty-bench %s: %s; see fealty-bench help %s\n", row->name, problem.text,
                row->name);
        return 2;
    }
    int status = row->run(&options, &problem);
    if (status == 2)
        fprintf(stderr, "fealty-bench %s: %s\n", row->name, problem.text);
    return status;
}

static void print_overview(FILE *out)
{
    fprintf(out,
            "fealty-bench - how fast is this deployment, and how long do its customers wait?\n\n"
            "  fealty-bench COMMAND [OPTIONS]     fealty-bench help COMMAND\n\n");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        fprintf(out, "  %-9s %s\n", rows[i].name, rows[i].meaning);
    fprintf(
        out,
        "\nThe first five minutes:\n\n"
        "  fealty-bench setup --url http://127.0.0.1:8080 --user admin --password SECRET\n"
        "      prints a token and a program id; put them into the next two\n"
        "  fealty-bench preload --program 1 --customers 50000\n"
        "      opens the accounts that the load will use\n"
        "  fealty-bench run --program 1 --workload mixed --connections 64 --duration 10\n"
        "      as fast as 64 connections can: the highest rate (closed loop)\n"
        "  fealty-bench run --program 1 --workload mixed --rate 5000 --svg latency.svg\n"
        "      5,000 requests per second whatever happens: what customers feel (open loop)\n\n"
        "Millions of accounts: fealty-bench preload --emit customers.ndjson, then fealty import.\n"
        "Workloads:\n\n");
    for (unsigned i = 0; i < WORKLOAD__COUNT; i++)
        fprintf(out, "  %-9s %s\n", workload_kind_name((workload_kind_t)i),
                workload_kind_text((workload_kind_t)i));
    fprintf(out, "\nA test program only: it writes points. Aim it at a deployment that may be "
                 "thrown away.\n");
}

static void print_command(FILE *out, const row_t *row)
{
    fprintf(out, "fealty-bench %s [OPTIONS] %s\n%s\n\n", row->name, row->usage, row->meaning);
    options_help(out, row->flag);
}

static const row_t *row_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}
