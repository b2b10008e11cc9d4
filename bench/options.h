/* options.h - the command line, declared in one table
 *
 * Contract   One row per option: name, value, meaning, and the commands that take it; the help text
 *            is printed from the same rows. `--name value` and `--name=value` are the same. Numbers
 *            are checked here.
 * Threads    Belongs to main.
 * Ownership  Texts point into argv or the environment.
 * Units      Stated per option.
 * Errors     A sentence that names the option.
 */
#ifndef FEALTY_BENCH_OPTIONS_H
#define FEALTY_BENCH_OPTIONS_H

#include "bench/problem.h"
#include "bench/usage.h"

#include <stdio.h>

#define URLS_MAX      16
#define ARGUMENTS_MAX 64

typedef enum {
    COMMAND_RUN = 1,
    COMMAND_PRELOAD = 2,
    COMMAND_SETUP = 4,
    COMMAND_CHART = 8,
    COMMAND_BARS = 16,
    COMMAND_PICK = 32
} command_t;

typedef struct {
    const char *urls[URLS_MAX];
    unsigned url_count;
    const char *token;
    const char *user;
    const char *password;
    const char *workload;
    const char *distribution;
    const char *keys;
    const char *label;
    const char *json;
    const char *svg;
    const char *emit;
    const char *disk;
    const char *title;
    double connections;
    double threads;
    double duration_s;
    double warmup_s;
    double rate;
    double timeout_s;
    double customers;
    double first;
    double points;
    double program;
    double batch_lines;
    double seed;
    uint64_t pids[USAGE_PIDS_MAX];
    unsigned pid_count;
    bool shell;
    bool strict;
    const char *arguments[ARGUMENTS_MAX]; /* what is no option */
    unsigned argument_count;
} options_t;

void options_default(options_t *self);
bool options_read(options_t *self, command_t command, int argc, char **argv, problem_t *problem);
void options_help(FILE *out, command_t command);

#endif
