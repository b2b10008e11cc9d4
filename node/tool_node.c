/* tool_node.c - `fealty node`: runs a node until it is told to stop */
#include "node/tools.h"

#include "node/node.h"
#include "node/options.h"
#include "protocol/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STOP_TOO_LONG_S 5
#define EXIT_SLOW_STOP  75

static void block_signals(sigset_t *set);
static bool signal_waits(void *state);
static int wait_for_signal(const sigset_t *set);
static void expect_the_end(void);
static errcode_t configure(config_t *config, int argc, char **argv, bool *help, err_t *err);
static void greet(const node_t *node, const config_t *config);
static int exit_code(errcode_t code);
static void show_help(void);

int tool_node(int argc, char **argv)
{
    config_t config;
    node_t *node = NULL;
    sigset_t signals;
    bool help = false;
    err_t err = {0};
    errcode_t rc = configure(&config, argc - 1, argv + 1, &help, &err);

    if (rc == ERR_NONE && help) {
        show_help();
        return 0;
    }
    if (rc != ERR_NONE) {
        (void)fprintf(stderr, "fealty node: %s\n", err.text);
        return EXIT_USAGE;
    }
    /* Before any thread is made: all inherit it, and only this one takes signals. */
    block_signals(&signals);
    rc = node_start(&node, &config, signal_waits, &signals, &err);
    if (rc != ERR_NONE) {
        (void)fprintf(stderr, "fealty node: %s\n", err.text);
        return exit_code(rc);
    }
    greet(node, &config);
    log_info("signal %s: stopping", strsignal(wait_for_signal(&signals)));
    expect_the_end();
    node_stop(&node);
    log_info("stopped");
    return 0;
}

static errcode_t configure(config_t *config, int argc, char **argv, bool *help, err_t *err)
{
    errcode_t rc = config_load(config, argc, argv, help, err);

    if (rc != ERR_NONE)
        return rc;
    static const char *const levels[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
    for (size_t i = 0; i < COUNT_OF(levels); i++)
        if (strcmp(config->log_level, levels[i]) == 0)
            log_configure((log_level_t)i, strcmp(config->log_format, "json") == 0);
    /* The books hold password hashes and what customers did: nobody else's business. */
    (void)umask(077);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return ERR_NONE;
}

static void greet(const node_t *node, const config_t *config)
{
    char listen[CONFIG_TEXT_MAX + 16];
    buffer_t text;
    char *colon;

    /* The port that was taken: port 0 asks for any. */
    (void)snprintf(listen, sizeof listen, "%s", config->listen);
    colon = strrchr(listen, ':');
    if (colon == NULL || colon == listen)
        (void)snprintf(listen, sizeof listen, "127.0.0.1:%d", node_port(node));
    else
        (void)snprintf(colon + 1, 8, "%d", node_port(node));
    buffer_init(&text, 64 * 1024);
    first_start_greeting(node_first_start(node), listen, config->data, node_has_new_books(node),
                         &text);
    (void)fwrite(text.bytes, 1, text.size, stdout);
    (void)fflush(stdout);
    buffer_free(&text);
}

static int exit_code(errcode_t code)
{
    switch (code) {
    case ERR_INVALID: return EXIT_USAGE;
    case ERR_IO: return EXIT_IO;
    default: return EXIT_REFUSED;
    }
}

static void show_help(void)
{
    buffer_t text;

    buffer_init(&text, 64 * 1024);
    buffer_text(&text, "usage: fealty node [flags]\n"
                       "\n"
                       "Runs a node until SIGTERM or SIGINT; a second signal ends it at once. The "
                       "first start makes the data\n"
                       "directory and the user `admin`, with the password of FEALTY_ADMIN_PASSWORD "
                       "or a random one that is\n"
                       "printed once. Every flag is also a variable (--cache-mib is "
                       "FEALTY_CACHE_MIB) and a line of the file\n"
                       "named by --config FILE (`cache-mib = 256`). Flags win over variables, "
                       "variables over the file.\n"
                       "\n"
                       "Exit codes: 0 stopped, 1 wrong flag or setting, 2 start refused (the "
                       "sentence says the way out),\n"
                       "74 disk or network failed, 75 did not stop in time.\n");
    config_help(&text);
    (void)fwrite(text.bytes, 1, text.size, stdout);
    buffer_free(&text);
}

/* ---- signals ---- */

static void block_signals(sigset_t *set)
{
    (void)signal(SIGPIPE, SIG_IGN);
    INVARIANT(sigemptyset(set) == 0);
    INVARIANT(sigaddset(set, SIGTERM) == 0);
    INVARIANT(sigaddset(set, SIGINT) == 0);
    INVARIANT(pthread_sigmask(SIG_BLOCK, set, NULL) == 0);
}

static bool signal_waits(void *state)
{
    const struct timespec now = {0};

    return sigtimedwait(state, NULL, &now) > 0;
}

static int wait_for_signal(const sigset_t *set)
{
    int number = 0;
    int rc;

    do
        rc = sigwait(set, &number);
    while (rc == EINTR);
    INVARIANT(rc == 0);
    return number;
}

static void too_long(int number)
{
    static const char sentence[] =
        "fealty: stopping takes too long; the process ends now. What was answered is safe.\n";

    (void)number;
    if (write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0)
        _exit(EXIT_SLOW_STOP);
    _exit(EXIT_SLOW_STOP);
}

/* A second signal ends the process at once, and so does a stop that hangs: every answer given is on disk already. */
static void expect_the_end(void)
{
    struct sigaction alarmed = {.sa_handler = too_long};
    sigset_t again;

    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    INVARIANT(sigaction(SIGALRM, &alarmed, NULL) == 0);
    INVARIANT(sigemptyset(&again) == 0);
    INVARIANT(sigaddset(&again, SIGTERM) == 0);
    INVARIANT(sigaddset(&again, SIGINT) == 0);
    INVARIANT(pthread_sigmask(SIG_UNBLOCK, &again, NULL) == 0);
    (void)alarm(STOP_TOO_LONG_S);
}
