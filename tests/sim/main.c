/* main.c - runs simulations: `build/sim`, `build/sim --runs N`, `build/sim --seed N`
 *
 * Each seed is one life of a cluster; a seed that fails is printed, and `--seed` lives it again, bit for bit: both runs
 * end with the same digest of all disks.
 */
#include "tests/sim/simulation.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_DEFAULT 200

static volatile uint64_t seed_of_now;

/* An invariant that breaks ends the process: say which seed it was. Only calls that a signal handler may make. */
static void on_abort(int signal_number)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t seed = seed_of_now;
    ssize_t written;

    (void)signal_number;
    digits[--at] = '\n';
    do
        digits[--at] = (char)('0' + seed % 10);
    while ((seed /= 10) > 0);
    written = write(STDERR_FILENO, "failed: build/sim --seed ", 25);
    written += write(STDERR_FILENO, digits + at, sizeof digits - at);
    _exit(written > 0 ? 1 : 2);
}

static bool run(uint64_t seed, bool tells)
{
    simulation_report_t report;
    err_t err;

    seed_of_now = seed;
    bool good = simulation_run(seed, &report, &err);
    if (!good)
        printf("seed %" PRIu64 " failed: %s\n  again: build/sim --seed %" PRIu64 "\n", seed,
               err.text, seed);
    if (tells)
        printf("seed %" PRIu64
               ": %u commands, %u answers lost, %u replays, %u deaths, digest %016" PRIx64 "\n",
               seed, report.commands, report.answers_lost, report.replays, report.deaths,
               report.digest);
    return good;
}

static bool number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

int main(int argc, char **argv)
{
    uint64_t runs = RUNS_DEFAULT, seed = 0, failed = 0;
    bool one = false;

    for (int i = 1; i < argc; i += 2) {
        bool is_seed = strcmp(argv[i], "--seed") == 0;
        if ((!is_seed && strcmp(argv[i], "--runs") != 0) || i + 1 == argc ||
            !number(argv[i + 1], is_seed ? &seed : &runs)) {
            fprintf(stderr, "usage: sim [--seed N] [--runs N]\n");
            return 2;
        }
        one = one || is_seed;
    }
    signal(SIGABRT, on_abort);
    if (one)
        return run(seed, true) ? 0 : 1;
    for (seed = 1; seed <= runs; seed++)
        failed += !run(seed, false);
    printf("%" PRIu64 " lives, %" PRIu64 " failed\n", runs, failed);
    return failed == 0 ? 0 : 1;
}
