/* tool_migrate.c - `fealty migrate`: the books of stopped embedded nodes, into Kafka
 *
 * What is shown and kept, and the order of things; the copying itself is migrate.h.
 */
#include "node/tools.h"

#include "node/migrate.h"
#include "node/options.h"
#include "protocol/log.h"
#include "storage/journal_kafka.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PATH_BYTES_MAX    4096
#define CHECK_US          INT64_C(30000000)
#define WAIT_MS           20
#define TERMINAL_EVERY_US 200000
#define QUIET_EVERY_US    5000000
#define CLOCK_BEHIND_US   INT64_C(60000000)

static const char usage[] =
    "usage: fealty migrate --data DIR --journal kafka --kafka-bootstrap HOST:PORT,... [flags]\n"
    "       fealty migrate --cluster DIR1,DIR2,... --journal kafka ...\n"
    "\n"
    "Copies the books of a stopped node, or of all stopped nodes of a cluster, into the log of a "
    "new "
    "cluster on\n"
    "Kafka: accounts, lots, entries, keys with their answers, references, definitions, users, "
    "transfers and messages\n"
    "on their way. Logins end: users log in again, with their passwords. Nodes are started on it "
    "afterwards, with\n"
    "empty data directories and `--journal kafka`; the old node must not be started again.\n"
    "\n"
    "The directories are locked and only read. What is done is kept in DIR.migration beside it; a "
    "run that was\n"
    "stopped or killed goes on with the same command. No node may run on the topics before the "
    "end.\n"
    "\n"
    "  --kafka-bootstrap      brokers; else FEALTY_JOURNAL_BOOTSTRAP, "
    "LOYALTY_KAFKA_BOOTSTRAP_SERVERS\n"
    "  --kafka-prefix NAME    topics are NAME.log, NAME.control, NAME.liveness (fealty); no node "
    "has used them yet\n"
    "  --kafka-settings ...   more settings of librdkafka, KEY=VALUE separated by commas\n"
    "  --kafka-create-topics  make the topics, with as many partitions as the books have\n"
    "  --single-broker        one copy in Kafka will do\n"
    "  --progress DIR         keep what is done in DIR/migration instead\n"
    "\n"
    "Exit: 0 complete, now or before; 1 usage; 2 refused or stopped; 3 source and copy differ; "
    "74 disk or Kafka.\n";

#define EXIT_DIFFERENT 3

typedef struct {
    const char *data, *cluster, *journal_name, *bootstrap, *prefix, *settings, *progress;
    bool create_topics, single_broker;
    char *cluster_copy; /* owned; cut into the directories */
    const char *directories[BIRTH_NODES_MAX];
    size_t count;
    store_t *stores[BIRTH_NODES_MAX]; /* owned */
    together_t source;
    migrate_plan_t plan;
    bool found, counting;
    char path[PATH_BYTES_MAX];
    journal_kafka_config_t kafka;
    journal_t *journal; /* owned */
    int wakeup;         /* owned */
    migrate_total_t whole;
    uint64_t rows_before, bytes_before, rows, bytes;
    bool terminal, shown;
    int64_t started_us, shown_us;
} migration_t;

static volatile sig_atomic_t interrupted;

static bool read_order(migration_t *self, int argc, char **argv, int *code);
static errcode_t open_source(migration_t *self, err_t *err);
static errcode_t open_plan(migration_t *self, err_t *err);
static errcode_t open_log(migration_t *self, err_t *err);
static errcode_t migrate(migration_t *self, const migrate_config_t *config, err_t *err);
static void report(const migration_t *self);
static void wait_a_moment(void *state);
static errcode_t keep(void *state, err_t *err);
static void show(void *state, uint64_t rows, uint64_t bytes);
static void show_nothing(const migration_t *self);
static bool stop(void *state);

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

int tool_migrate(int argc, char **argv)
{
    migration_t *self = memory_zalloc(sizeof *self);
    err_t err = {0};
    errcode_t rc;
    int code = EXIT_USAGE;

    self->wakeup = -1;
    if (!read_order(self, argc, argv, &code))
        goto cleanup;
    log_configure(LOG_WARN, false);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    self->terminal = isatty(STDERR_FILENO) != 0;
    const migrate_config_t config = {.source = &self->source,
                                     .plan = &self->plan,
                                     .clock = clock_system(),
                                     .random = random_system(),
                                     .wait = wait_a_moment,
                                     .keep = keep,
                                     .show = show,
                                     .stop = stop,
                                     .state = self};
    rc = open_source(self, &err);
    if (rc == ERR_NONE)
        rc = open_plan(self, &err);
    if (rc == ERR_NONE)
        rc = migrate(self, &config, &err);
    show_nothing(self);
    if (rc == ERR_NONE) {
        report(self);
        code = 0;
    } else {
        (void)fprintf(stderr, "fealty migrate: %s\n", err.text);
        code = rc == ERR_IO || (rc == ERR_UNREACHABLE && !interrupted) ? EXIT_IO
               : rc == ERR_CORRUPT                                     ? EXIT_DIFFERENT
                                                                       : EXIT_REFUSED;
    }

cleanup:
    journal_destroy(&self->journal);
    for (size_t i = 0; i < self->count; i++)
        store_destroy(&self->stores[i]);
    if (self->wakeup >= 0)
        (void)close(self->wakeup);
    free(self->cluster_copy);
    free(self);
    return code;
}

/* ---- the order ---- */

static const char *bootstrap_of_environment(void)
{
    static const char *const variables[] = {"FEALTY_JOURNAL_BOOTSTRAP",
                                            "LOYALTY_KAFKA_BOOTSTRAP_SERVERS"};

    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);

        if (value != NULL && value[0] != '\0')
            return value;
    }
    return NULL;
}

/* `--cluster DIR1,DIR2`, cut in a copy. */
static bool cut_cluster(migration_t *self)
{
    size_t n = strlen(self->cluster);
    char *rest = NULL;

    self->cluster_copy = memory_alloc(n + 1);
    memcpy(self->cluster_copy, self->cluster, n + 1);
    for (char *word = strtok_r(self->cluster_copy, ",", &rest); word != NULL;
         word = strtok_r(NULL, ",", &rest)) {
        if (self->count == COUNT_OF(self->directories))
            return false;
        self->directories[self->count++] = word;
    }
    return self->count > 0;
}

/* DIR.migration, without slashes at the end of DIR; or PROGRESS/migration. */
static bool place_plan(migration_t *self)
{
    const char *base = self->progress != NULL ? self->progress : self->directories[0];
    size_t bytes = strlen(base);
    int n;

    while (bytes > 1 && base[bytes - 1] == '/')
        bytes--;
    n = snprintf(self->path, sizeof self->path, "%.*s%s", (int)bytes, base,
                 self->progress != NULL ? "/migration" : ".migration");
    return n > 0 && n < (int)sizeof self->path - 8;
}

static bool wrong(const char *sentence)
{
    (void)fprintf(stderr, "fealty migrate: %s\n\n%s", sentence, usage);
    return false;
}

static bool read_order(migration_t *self, int argc, char **argv, int *code)
{
    const option_t options[] = {
        {.name = "--data", .text = &self->data},
        {.name = "--cluster", .text = &self->cluster},
        {.name = "--journal", .text = &self->journal_name},
        {.name = "--kafka-bootstrap", .text = &self->bootstrap},
        {.name = "--kafka-prefix", .text = &self->prefix},
        {.name = "--kafka-settings", .text = &self->settings},
        {.name = "--kafka-create-topics", .on = &self->create_topics},
        {.name = "--single-broker", .on = &self->single_broker},
        {.name = "--progress", .text = &self->progress},
    };

    self->prefix = "fealty";
    switch (options_parse(argc, argv, options, COUNT_OF(options), NULL, 0, 0, NULL, usage)) {
    case OPTIONS_HELP: *code = 0; return false;
    case OPTIONS_WRONG: return false;
    case OPTIONS_GOOD: break;
    }
    if ((self->data == NULL) == (self->cluster == NULL))
        return wrong("it takes either --data DIR or --cluster DIR1,DIR2,...");
    if (self->journal_name == NULL || strcmp(self->journal_name, "kafka") != 0)
        return wrong("say where to: --journal kafka is the only way there is");
    if (self->bootstrap == NULL)
        self->bootstrap = bootstrap_of_environment();
    if (self->bootstrap == NULL)
        return wrong("it needs --kafka-bootstrap HOST:PORT, or the variable "
                     "FEALTY_JOURNAL_BOOTSTRAP");
    if (strlen(self->prefix) >= MIGRATE_PREFIX_BYTES)
        return wrong("the prefix of the topics is too long");
    if (self->data != NULL)
        self->directories[self->count++] = self->data;
    else if (!cut_cluster(self))
        return wrong("--cluster takes the directories of all nodes, separated by commas");
    return place_plan(self) || wrong("the path of the directory is too long");
}

/* ---- the source ---- */

static errcode_t open_directory(migration_t *self, size_t i, err_t *err)
{
    birth_t *birth = memory_zalloc(sizeof *birth);
    store_config_t config;
    bool found = false;
    errcode_t rc;

    store_config_default(&config);
    config.directory = self->directories[i];
    config.read_only = config.exclusive = true;
    rc = store_open(&self->stores[i], &config, err);
    if (rc == ERR_NONE)
        rc = genesis_load(self->stores[i], birth, &found, err);
    if (rc == ERR_NONE && (!found || !birth->settled))
        rc = err_set(err, ERR_STATE,
                     "%.120s holds no books with a log of their own: no node has come to serve "
                     "there, or its log is in Kafka already",
                     self->directories[i]);
    if (rc == ERR_NONE)
        rc = together_add(&self->source, self->stores[i], birth, err);
    free(birth);
    return rc;
}

/* What would stand in the way of the new log. */
static errcode_t check_source(migration_t *self, err_t *err)
{
    int64_t wall_us = clock_wall_us(clock_system());
    errcode_t rc = together_whole(&self->source, err);
    buffer_t value;

    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (size_t src = 0; rc == ERR_NONE && src <= self->source.partitions; src++) {
        if (self->source.position[src].now_us - CLOCK_BEHIND_US > wall_us)
            rc = err_set(err, ERR_STATE,
                         "this machine's clock is behind the newest record of partition %zu: set "
                         "it first",
                         src);
        for (size_t dst = 0; rc == ERR_NONE && dst <= self->source.partitions; dst++)
            rc = together_pair(&self->source, (uint16_t)src, (uint16_t)dst, &value, err);
    }
    buffer_free(&value);
    return rc;
}

static errcode_t open_source(migration_t *self, err_t *err)
{
    errcode_t rc = ERR_NONE;

    for (size_t i = 0; rc == ERR_NONE && i < self->count; i++)
        rc = open_directory(self, i, err);
    return rc == ERR_NONE ? check_source(self, err) : rc;
}

static errcode_t open_plan(migration_t *self, err_t *err)
{
    errcode_t rc = migrate_plan_load(&self->plan, self->path, &self->found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!self->found) {
        migrate_plan_make(&self->plan, &self->source, self->prefix, random_system(),
                          clock_wall_us(clock_system()));
        return ERR_NONE;
    }
    if (strcmp(self->plan.prefix, self->prefix) != 0)
        return err_set(err, ERR_STATE,
                       "%.120s says that these books go into topics %.60s.*: give that prefix, or "
                       "remove the file to begin anew",
                       self->path, self->plan.prefix);
    if (!migrate_plan_fits(&self->plan, &self->source))
        return err_set(err, ERR_STATE,
                       "the books have been written to since their migration began: remove %.120s "
                       "and begin anew with topics of another --kafka-prefix",
                       self->path);
    return ERR_NONE;
}

/* ---- the way ---- */

static errcode_t open_log(migration_t *self, err_t *err)
{
    uint16_t partitions = 0;
    errcode_t rc;

    self->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wakeup < 0)
        return err_set(err, ERR_IO, "an event descriptor could not be made: %s", strerror(errno));
    self->kafka = (journal_kafka_config_t){.bootstrap = self->bootstrap,
                                           .prefix = self->prefix,
                                           .node = "migrate",
                                           .settings = self->settings,
                                           .partitions = self->source.partitions,
                                           .create_topics = self->create_topics,
                                           .single_broker = self->single_broker,
                                           .wakeup = self->wakeup};
    rc = journal_kafka_check(&self->kafka, CHECK_US, &partitions, err);
    if (rc == ERR_NONE && partitions != self->source.partitions)
        rc = err_set(err, ERR_STATE,
                     "topic %.60s.log has %u partitions, must have %u; use another --kafka-prefix",
                     self->prefix, partitions + 1u, self->source.partitions + 1u);
    return rc == ERR_NONE ? journal_kafka_new(&self->journal, &self->kafka, err) : rc;
}

static errcode_t count(migration_t *self, const migrate_config_t *config, err_t *err)
{
    errcode_t rc;

    self->counting = true;
    self->started_us = clock_boot_us(clock_system());
    rc = migrate_count(config, err);
    self->counting = false;
    show_nothing(self);
    return rc;
}

static errcode_t migrate(migration_t *self, const migrate_config_t *config, err_t *err)
{
    migrate_config_t whole = *config;
    migrate_total_t copied;
    bool complete = self->plan.ended_us != 0;
    errcode_t rc = ERR_NONE;

    /* Kafka first: who has it wrong is told at once, and nothing is begun. */
    rc = open_log(self, err);
    whole.journal = self->journal;
    if (rc == ERR_NONE && !self->found)
        rc = count(self, &whole, err);
    if (rc == ERR_NONE && !self->found)
        rc = keep(self, err);
    if (rc != ERR_NONE)
        return rc;
    migrate_plan_sums(&self->plan, &self->whole, &copied);
    self->rows_before = self->rows = copied.rows;
    self->bytes_before = self->bytes = copied.bytes;
    self->started_us = self->shown_us = clock_boot_us(clock_system());
    if (complete) {
        rc = migrate_confirm(&whole, err);
        if (rc == ERR_NONE)
            (void)puts(
                "This migration was complete before; the log holds it, nothing was changed.");
        return rc;
    }
    if (copied.rows > 0)
        (void)fprintf(stderr, "going on behind row %" PRIu64 " of %" PRIu64 "\n", copied.rows,
                      self->whole.rows);
    rc = migrate_run(&whole, err);
    if (rc != ERR_NONE) {
        (void)keep(self, NULL); /* the error before it is what counts */
        return rc;
    }
    int64_t us = clock_boot_us(clock_system()) - self->started_us;
    double seconds = us > 0 ? (double)us / 1e6 : 1;
    (void)printf("The migration is complete: %" PRIu64 " rows, %.1f MB; in this run %" PRIu64
                 " rows in %.1f s, %.0f rows and %.1f MB a second.\n",
                 self->whole.rows, (double)self->whole.bytes / 1e6,
                 self->whole.rows - self->rows_before, seconds,
                 (double)(self->whole.rows - self->rows_before) / seconds,
                 (double)(self->whole.bytes - self->bytes_before) / 1e6 / seconds);
    return ERR_NONE;
}

/* What was read back from the log; it was compared with the source. */
static void report(const migration_t *self)
{
    const migrate_plan_t *plan = &self->plan;
    migrate_total_t whole, copied;
    char name[16];

    migrate_plan_sums(plan, &whole, &copied);
    (void)printf("  topics      %s.*, %u partitions\n  definitions %" PRIu64 "\n", plan->prefix,
                 plan->partitions + 1u, copied.digest.definitions);
    verify_digest_head(stdout, "");
    for (size_t p = 0; p <= plan->partitions; p++) {
        (void)snprintf(name, sizeof name, "%zu", p);
        verify_digest_line(stdout, name, &plan->parts[p].copied.digest, "");
    }
    verify_digest_line(stdout, "all", &copied.digest, "");
    (void)puts("Start nodes with `--journal kafka` and empty data directories. The old node must "
               "not be started again: it would\n"
               "serve books that go on elsewhere.");
    (void)fflush(stdout);
}

/* ---- hooks ---- */

static void wait_a_moment(void *state)
{
    migration_t *self = state;
    struct pollfd wakeup = {.fd = self->wakeup, .events = POLLIN};
    eventfd_t value;

    (void)poll(&wakeup, 1, WAIT_MS);
    (void)eventfd_read(self->wakeup, &value); /* the descriptor does not block */
}

static errcode_t keep(void *state, err_t *err)
{
    migration_t *self = state;

    return migrate_plan_store(&self->plan, self->path, err);
}

static void show(void *state, uint64_t rows, uint64_t bytes)
{
    migration_t *self = state;
    int64_t now_us = clock_boot_us(clock_system());
    double seconds = (double)(now_us - self->shown_us) / 1e6;
    double overall = (double)(now_us - self->started_us) / 1e6;

    if (now_us - self->shown_us < (self->terminal ? TERMINAL_EVERY_US : QUIET_EVERY_US))
        return;
    if (self->terminal)
        (void)fputs("\r\033[K", stderr);
    if (self->counting) {
        (void)fprintf(stderr, "counting: %" PRIu64 " rows, %.0f MB", rows, (double)bytes / 1e6);
    } else {
        /* After a doubt it goes on from a smaller number. */
        double done = (double)bytes - (double)self->bytes_before;

        (void)fprintf(stderr, "%" PRIu64 " rows, %.0f a second, %.1f MB/s", rows,
                      ((double)rows - (double)self->rows) / seconds,
                      ((double)bytes - (double)self->bytes) / 1e6 / seconds);
        if (self->whole.bytes > 0 && done > 0)
            (void)fprintf(stderr, ", %.0f%%, %.0f s left",
                          100.0 * (double)bytes / (double)self->whole.bytes,
                          (double)(self->whole.bytes - bytes) / done * overall);
        self->rows = rows;
        self->bytes = bytes;
    }
    if (!self->terminal)
        (void)fputc('\n', stderr);
    (void)fflush(stderr);
    self->shown = true;
    self->shown_us = now_us;
}

static void show_nothing(const migration_t *self)
{
    if (self->shown && self->terminal)
        (void)fputs("\r\033[K", stderr);
}

static bool stop(void *state)
{
    (void)state;
    return interrupted != 0;
}
