/* main.c - lives clusters from seeds: `build/sim --help` tells how
 *
 * Each seed is one life of a cluster, on journals of their own (--embedded) or on a shared log (--shared); a seed that
 * fails is printed, and `--seed` lives it again, bit for bit: both runs end with the same digest. Several processes share
 * the seeds; each tells its parent through a pipe which seed it begins and how that ended, so that one that dies or does
 * not end is a failed seed like any other.
 */
#include "protocol/log.h"
#include "protocol/mutant.h"
#include "tests/sim/scale.h"
#include "tests/sim/shared_run.h"
#include "tests/sim/simulation.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EMBEDDED_DEFAULT 200
#define SHARED_DEFAULT   2000
#define JOBS_MAX         64
#define SEED_SECONDS     120 /* a life that takes longer than this hangs */
#define FAILURES_MAX     20  /* then no more are sought */
#define PROGRESS_SECONDS 10

typedef struct {
    bool shared, embedded;
    bool one, verbose;
    uint64_t seed, first, count;
    unsigned jobs;
    const char *mutant;
    int profile;                /* only lives of this one; -1: all */
    uint64_t nodes, partitions; /* of a large cluster */
} options_t;

/* What a process tells. */
typedef struct {
    enum { NEWS_BEGINS, NEWS_GOOD, NEWS_FAILED, NEWS_NO_MORE } kind;
    uint64_t seed;
    shared_report_t report;
    char text[208];
} news_t;

typedef struct {
    pid_t pid;
    int pipe; /* -1: gone */
    uint64_t next, present;
    bool busy;
} job_t;

typedef struct {
    uint64_t good, failed, commands, claims, halts, undecided;
    uint64_t by_profile[PROFILE__COUNT];
    char caught[256]; /* the first failure */
} sums_t;

/* ---- one life ---- */

static bool live_embedded(uint64_t seed, bool tells)
{
    simulation_report_t report;
    err_t err;
    bool good = simulation_run(seed, &report, &err);

    if (!good)
        printf("seed %" PRIu64 " failed: %s\n  again: build/sim --embedded --seed %" PRIu64 "\n",
               seed, err.text, seed);
    if (tells)
        printf("seed %" PRIu64
               ": %u commands, %u answers lost, %u replays, %u deaths, digest %016" PRIx64 "\n",
               seed, report.commands, report.answers_lost, report.replays, report.deaths,
               report.digest);
    return good;
}

static bool live_shared(uint64_t seed)
{
    shared_report_t report;
    err_t err;
    bool good = shared_run(seed, &report, &err);

    if (!good)
        printf("seed %" PRIu64 " (%s) failed: %s\n", seed, profile_name(report.profile), err.text);
    printf("seed %" PRIu64 ": %s, %u commands, %u questions, %u unknown, %u replays, %u faults, "
           "%u claims, %u halts, %u undecided, %.1f s, digest %016" PRIx64 "\n",
           seed, profile_name(report.profile), report.commands, report.questions, report.unknown,
           report.replays, report.faults, report.claims, report.halts, report.undecided,
           (double)report.virtual_us / 1e6, report.digest);
    return good;
}

/* ---- several processes ---- */

static void tell(int out, const news_t *news)
{
    if (write(out, news, sizeof *news) != (ssize_t)sizeof *news)
        _exit(2);
}

static _Noreturn void work(const options_t *options, uint64_t seed, uint64_t step, int out)
{
    for (; seed < options->first + options->count; seed += step) {
        if (options->profile >= 0 && (int)shared_profile(seed) != options->profile)
            continue;
        news_t news = {.kind = NEWS_BEGINS, .seed = seed};
        err_t err = {0};
        tell(out, &news);
        (void)alarm(SEED_SECONDS);
        news.kind = shared_run(seed, &news.report, &err) ? NEWS_GOOD : NEWS_FAILED;
        (void)snprintf(news.text, sizeof news.text, "%s", err.text);
        tell(out, &news);
    }
    tell(out, &(news_t){.kind = NEWS_NO_MORE, .seed = seed});
    _exit(0);
}

static void start(const options_t *options, job_t *job)
{
    int ends[2];

    job->pipe = -1;
    job->busy = false;
    if (job->next >= options->first + options->count)
        return;
    (void)fflush(stdout);
    if (pipe(ends) != 0 || (job->pid = fork()) < 0) {
        perror("sim");
        exit(2);
    }
    if (job->pid == 0) {
        (void)close(ends[0]);
        work(options, job->next, options->jobs, ends[1]);
    }
    (void)close(ends[1]);
    job->pipe = ends[0];
}

static void failed(const options_t *options, sums_t *sums, uint64_t seed, const char *profile,
                   const char *why)
{
    sums->failed++;
    if (sums->caught[0] == '\0')
        (void)snprintf(sums->caught, sizeof sums->caught, "seed %" PRIu64 " (%s): %s", seed,
                       profile, why);
    if (options->mutant == NULL)
        printf("seed %" PRIu64 " (%s) failed: %s\n  again: build/sim --shared --seed %" PRIu64
               " -v\n",
               seed, profile, why, seed);
}

/* false: the process is gone, and another was started in its place if seeds are left. */
static void listen(const options_t *options, sums_t *sums, job_t *job)
{
    news_t news;
    ssize_t n = read(job->pipe, &news, sizeof news);
    int status;

    if (n == (ssize_t)sizeof news) {
        job->present = news.seed;
        job->busy = news.kind == NEWS_BEGINS;
        job->next = news.seed + options->jobs;
        if (news.kind == NEWS_BEGINS || news.kind == NEWS_NO_MORE)
            return;
        sums->commands += news.report.commands;
        sums->claims += news.report.claims;
        sums->halts += news.report.halts;
        sums->undecided += news.report.undecided;
        sums->by_profile[news.report.profile]++;
        if (news.kind == NEWS_GOOD)
            sums->good++;
        else
            failed(options, sums, news.seed, profile_name(news.report.profile), news.text);
        return;
    }
    (void)close(job->pipe);
    (void)waitpid(job->pid, &status, 0);
    if (job->busy)
        failed(options, sums, job->present, profile_name(shared_profile(job->present)),
               WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "it does not end"
                                                                  : "an invariant broke");
    start(options, job);
}

static void stop_all(const options_t *options, job_t *jobs)
{
    for (unsigned i = 0; i < options->jobs; i++)
        if (jobs[i].pipe >= 0) {
            (void)kill(jobs[i].pid, SIGKILL);
            (void)close(jobs[i].pipe);
            (void)waitpid(jobs[i].pid, NULL, 0);
        }
}

static sums_t live_many(const options_t *options)
{
    job_t jobs[JOBS_MAX] = {{0}};
    sums_t sums = {0};
    time_t said = time(NULL);
    uint64_t enough = options->mutant != NULL ? 1 : FAILURES_MAX;

    for (unsigned i = 0; i < options->jobs; i++) {
        jobs[i].next = options->first + i;
        start(options, &jobs[i]);
    }
    while (sums.failed < enough) {
        struct pollfd polled[JOBS_MAX];
        unsigned open = 0;
        for (unsigned i = 0; i < options->jobs; i++) {
            polled[i] = (struct pollfd){.fd = jobs[i].pipe, .events = POLLIN};
            open += jobs[i].pipe >= 0;
        }
        if (open == 0)
            break;
        if (poll(polled, options->jobs, 1000) < 0 && errno != EINTR)
            break;
        for (unsigned i = 0; i < options->jobs; i++)
            if (jobs[i].pipe >= 0 && (polled[i].revents & (POLLIN | POLLHUP)) != 0)
                listen(options, &sums, &jobs[i]);
        if (time(NULL) - said >= PROGRESS_SECONDS) {
            said = time(NULL);
            printf("  %" PRIu64 " of %" PRIu64 " lives, %" PRIu64 " failed\n",
                   sums.good + sums.failed, options->count, sums.failed);
            (void)fflush(stdout);
        }
    }
    stop_all(options, jobs);
    return sums;
}

/* ---- the program ---- */

static bool number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static int usage(void)
{
    fprintf(stderr, "usage: sim [--embedded | --shared] [--seeds N] [--first SEED] [--jobs N]\n"
                    "           [--profile NAME]   (only shared lives of that kind)\n"
                    "       sim [--embedded | --shared] --seed SEED [-v]\n"
                    "       sim --mutant NAME [--seeds N]   (a build with mutants)\n"
                    "       sim --scale NODES [--partitions N] [--seed SEED]   (a large cluster "
                    "without load)\n");
    return 2;
}

static bool parse(options_t *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        uint64_t value = 0;
        if (strcmp(argv[i], "--shared") == 0) {
            options->shared = true;
        } else if (strcmp(argv[i], "--embedded") == 0) {
            options->embedded = true;
        } else if (strcmp(argv[i], "-v") == 0) {
            options->verbose = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--mutant") == 0) {
            options->mutant = argv[++i];
        } else if (strcmp(argv[i], "--profile") == 0) {
            for (int p = 0; p < PROFILE__COUNT; p++)
                if (strcmp(argv[i + 1], profile_name((profile_t)p)) == 0)
                    options->profile = p;
            if (options->profile < 0)
                return false;
            i++;
        } else if (!number(argv[i + 1], &value)) {
            return false;
        } else if (strcmp(argv[i], "--seed") == 0) {
            options->seed = value;
            options->one = true;
            i++;
        } else if (strcmp(argv[i], "--scale") == 0 && value >= 2 && value <= SCALE_NODES_MAX) {
            options->nodes = value;
            i++;
        } else if (strcmp(argv[i], "--partitions") == 0 && value >= 1 &&
                   value <= SCALE_PARTITIONS_MAX) {
            options->partitions = value;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0 || strcmp(argv[i], "--runs") == 0) {
            options->count = value;
            i++;
        } else if (strcmp(argv[i], "--first") == 0) {
            options->first = value;
            i++;
        } else if (strcmp(argv[i], "--jobs") == 0 && value >= 1 && value <= JOBS_MAX) {
            options->jobs = (unsigned)value;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

static bool choose_mutant(const char *name)
{
#ifdef FEALTY_MUTANTS
    if (mutant_choose(name))
        return true;
    fprintf(stderr, "there is no mutant %s\n", name);
#else
    fprintf(stderr, "this build has no mutants, so none is %s\n", name);
#endif
    return false;
}

static bool run_embedded(const options_t *options)
{
    uint64_t count = options->count > 0 ? options->count : EMBEDDED_DEFAULT, bad = 0;

    for (uint64_t seed = options->first; seed < options->first + count; seed++)
        bad += !live_embedded(seed, false);
    printf("%" PRIu64 " lives on journals of their own, %" PRIu64 " failed\n", count, bad);
    return bad == 0;
}

static bool run_shared(options_t *options)
{
    struct timespec from, until;

    if (options->count == 0)
        options->count = SHARED_DEFAULT;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    sums_t sums = live_many(options);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    double seconds =
        (double)(until.tv_sec - from.tv_sec) + (double)(until.tv_nsec - from.tv_nsec) / 1e9;
    if (options->mutant != NULL) {
        if (sums.failed > 0)
            printf("mutant %s was caught after %" PRIu64 " lives: %s\n", options->mutant,
                   sums.good + sums.failed, sums.caught);
        else
            printf("mutant %s lives on after %" PRIu64 " lives\n", options->mutant, sums.good);
        return sums.failed > 0;
    }
    for (int p = 0; p < PROFILE__COUNT; p++)
        printf("%s%s %" PRIu64, p > 0 ? ", " : "  ", profile_name((profile_t)p),
               sums.by_profile[p]);
    printf("\n");
    printf("%" PRIu64 " lives on a shared log, %" PRIu64 " failed; %" PRIu64 " commands, %" PRIu64
           " claims, %" PRIu64 " halts, %" PRIu64 " accounts undecided; %.1f s\n",
           sums.good + sums.failed, sums.failed, sums.commands, sums.claims, sums.halts,
           sums.undecided, seconds);
    return sums.failed == 0;
}

static bool run_scale(const options_t *options)
{
    scale_report_t report;
    err_t err;
    bool good = scale_run(options->seed, (uint16_t)options->nodes, (uint16_t)options->partitions, 1,
                          &report, &err);

    if (good)
        scale_print(&report, (uint16_t)options->nodes, (uint16_t)options->partitions);
    else
        printf("seed %" PRIu64 ": %s\n", options->seed, err.text);
    return good;
}

int main(int argc, char **argv)
{
    options_t options = {.first = 1, .jobs = 2, .profile = -1, .partitions = 256};

    if (!parse(&options, argc, argv))
        return usage();
    if (options.mutant != NULL && !choose_mutant(options.mutant))
        return 2;
    /* What nodes say about their faults is not for the reader of a thousand lives. */
    log_configure(options.verbose ? LOG_DEBUG : (log_level_t)(LOG_ERROR + 1), false);
    if (options.nodes > 0)
        return run_scale(&options) ? 0 : 1;
    if (options.one)
        return (options.embedded ? live_embedded(options.seed, true) : live_shared(options.seed))
                   ? 0
                   : 1;
    bool good = true;
    if (!options.shared && options.mutant == NULL)
        good = run_embedded(&options);
    if (!options.embedded)
        good = run_shared(&options) && good;
    return good ? 0 : 1;
}
