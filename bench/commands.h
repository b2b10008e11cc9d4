/* commands.h - what fealty-bench can do, one function per command
 *
 * Contract   Each takes parsed options, prints its result to standard output and returns the exit
 *            status: 0 done, 1 measured but not clean (with --strict), 2 could not be done.
 * Threads    Called once, from main.
 * Ownership  Borrows the options.
 * Units      Nothing to say.
 * Errors     A sentence in the problem together with status 2.
 */
#ifndef FEALTY_BENCH_COMMANDS_H
#define FEALTY_BENCH_COMMANDS_H

#include "bench/load.h"
#include "bench/options.h"

int command_run(const options_t *options, problem_t *problem);
int command_preload(const options_t *options, problem_t *problem);
int command_setup(const options_t *options, problem_t *problem);
int command_chart(const options_t *options, problem_t *problem);
int command_bars(const options_t *options, problem_t *problem);
int command_pick(const options_t *options, problem_t *problem);

#define TOKEN_BYTES 512

/* What the commands that talk to a server have in common. */
typedef struct {
    endpoint_t endpoints[URLS_MAX];
    unsigned endpoint_count;
    char token[TOKEN_BYTES];
} server_t;

/* Resolves the URLs and logs in unless a token was given. */
bool server_reach(server_t *self, const options_t *options, problem_t *problem);
/* A random number that tells this run from all others. */
uint64_t run_number(void);
/* Opens for writing; "-" is standard output. NULL with a problem. */
FILE *output_open(const char *path, problem_t *problem);
bool output_close(FILE **out_p, const char *path, problem_t *problem);

#endif
