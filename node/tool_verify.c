/* tool_verify.c - `fealty verify`: the books of a directory, proved from the disk */
#include "node/tools.h"

#include "cluster/identity.h"
#include "node/options.h"
#include "node/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_BOOKS_WRONG 3

static const char usage[] = "usage: fealty verify [--data DIR]\n"
                            "       fealty verify --cluster DIR1 DIR2 ...\n"
                            "\n"
                            "Proves the books in DIR from the disk and writes nothing: the log "
                            "(checksums, sequence, running hash), every\n"
                            "account from its entries (hash chain, balance, lots, lifetime "
                            "totals), every entry's place, the counters,\n"
                            "the keys, the transfers on their way, and the messages between "
                            "partitions. Best on the directory of a\n"
                            "stopped node or on a backup; while a node runs it proves the moment "
                            "at which it opened the disk.\n"
                            "\n"
                            "The directory of a node whose log is in Kafka holds no log: there it "
                            "proves the copies of partitions that\n"
                            "the node follows, and says how far each had read. Copies of different "
                            "moments are not compared.\n"
                            "\n"
                            "At the end stand accounts, points, entries and keys of each "
                            "partition, with a digest of its rows: books and\n"
                            "what `fealty migrate` made of them, or two copies that have read as "
                            "far, give the same.\n"
                            "\n"
                            "--cluster proves the directories of all nodes and what is between "
                            "them: for every two partitions, that\n"
                            "acknowledged messages are applied and applied ones were sent, and "
                            "that every point on its way is in one\n"
                            "message. The nodes must be stopped, or it must be what `fealty "
                            "backup --cluster` made.\n"
                            "\n"
                            "Exit: 0 the books hold, 3 they do not (the first ten faults are "
                            "shown), 1 usage, 2 cannot open, or not\n"
                            "all directories of one cluster, 74 disk.\n";

typedef struct {
    const char *directories[BIRTH_NODES_MAX];
    size_t count;
    bool cluster;
    store_t *stores[BIRTH_NODES_MAX]; /* owned */
    together_t together;
    verify_t books;
} proof_t;

static bool read_order(proof_t *self, int argc, char **argv, int *code);
static errcode_t open_directory(proof_t *self, size_t i, err_t *err);
static errcode_t prove(proof_t *self, err_t *err);
static int report(const verify_t *books);

int tool_verify(int argc, char **argv)
{
    proof_t *self = memory_zalloc(sizeof *self);
    err_t err = {0};
    errcode_t rc = ERR_NONE;
    int code = EXIT_USAGE;

    if (!read_order(self, argc, argv, &code))
        goto cleanup;
    for (size_t i = 0; rc == ERR_NONE && i < self->count; i++)
        rc = open_directory(self, i, &err);
    if (rc == ERR_NONE && self->cluster)
        rc = together_whole(&self->together, &err);
    if (rc == ERR_NONE)
        rc = prove(self, &err);
    if (rc == ERR_NONE) {
        code = report(&self->books);
    } else {
        (void)fprintf(stderr, "fealty verify: %s\n", err.text);
        code = rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
    }

cleanup:
    verify_free(&self->books);
    for (size_t i = 0; i < self->count; i++)
        store_destroy(&self->stores[i]);
    free(self);
    return code;
}

static bool read_order(proof_t *self, int argc, char **argv, int *code)
{
    const char *data = NULL;
    const option_t options[] = {{.name = "--data", .text = &data},
                                {.name = "--cluster", .on = &self->cluster}};

    switch (options_parse(argc, argv, options, COUNT_OF(options), self->directories, 0,
                          COUNT_OF(self->directories), &self->count, usage)) {
    case OPTIONS_HELP: *code = 0; return false;
    case OPTIONS_WRONG: return false;
    case OPTIONS_GOOD: break;
    }
    if (self->cluster ? data != NULL || self->count == 0 : self->count > 0) {
        (void)fprintf(stderr,
                      "fealty verify: --cluster takes the directories of all nodes as words, "
                      "otherwise it is --data DIR.\n\n%s",
                      usage);
        return false;
    }
    if (!self->cluster)
        self->directories[self->count++] = data != NULL ? data : "data";
    return true;
}

/* What a crash took from a directory that follows a log in Kafka comes from there again, so any whole prefix of what was
 * written is good. */
static errcode_t open_store(proof_t *self, size_t i, bool *follower, err_t *err)
{
    store_config_t config;
    err_t why = {0};
    errcode_t rc;

    store_config_default(&config);
    config.directory = self->directories[i];
    config.read_only = true;
    rc = store_open(&self->stores[i], &config, &why);
    if (rc == ERR_CORRUPT || rc == ERR_STATE) {
        config.refilled = true;
        if (store_open(&self->stores[i], &config, NULL) == ERR_NONE &&
            identity_present(self->stores[i], follower, NULL) == ERR_NONE && *follower)
            return ERR_NONE;
        store_destroy(&self->stores[i]);
    }
    if (rc == ERR_NONE)
        rc = identity_present(self->stores[i], follower, &why);
    if (rc != ERR_NONE && err != NULL)
        *err = why;
    return rc;
}

static errcode_t open_directory(proof_t *self, size_t i, err_t *err)
{
    birth_t *birth = memory_zalloc(sizeof *birth);
    bool follower = false, found = false;
    errcode_t rc = open_store(self, i, &follower, err);

    if (rc == ERR_NONE && !follower)
        rc = genesis_load(self->stores[i], birth, &found, err);
    if (rc == ERR_NONE && !follower && !found)
        rc = err_set(err, ERR_STATE, "%.120s holds no books: no node has started there",
                     self->directories[i]);
    if (rc == ERR_NONE && follower && self->cluster)
        rc = err_set(err, ERR_STATE,
                     "%.120s follows a log in Kafka: such directories are proved one by one, with "
                     "--data",
                     self->directories[i]);
    if (rc == ERR_NONE)
        rc = follower ? together_add_follower(&self->together, self->stores[i], err)
                      : together_add(&self->together, self->stores[i], birth, err);
    free(birth);
    return rc;
}

static errcode_t prove(proof_t *self, err_t *err)
{
    verify_t *books = &self->books;
    bool terminal = isatty(STDERR_FILENO) != 0;
    errcode_t rc = ERR_NONE;

    verify_init(books, &self->together);
    for (uint16_t partition = 0; partition <= books->partitions && rc == ERR_NONE; partition++) {
        if (self->together.owner[partition] == NULL)
            continue;
        if (terminal)
            (void)fprintf(stderr, "\rpartition %u of %u, %" PRIu64 " accounts ", partition,
                          books->partitions, books->accounts);
        rc = verify_partition(books, partition, err);
    }
    if (terminal)
        (void)fputs("\r\033[K", stderr);
    if (rc == ERR_NONE)
        rc = verify_pairs(books, err);
    if (rc == ERR_NONE)
        rc = verify_transit(books, err);
    if (rc == ERR_NONE)
        verify_whole(books);
    return rc;
}

/* What two copies have in common, partition by partition. */
static void table(const verify_t *books)
{
    const together_t *together = books->together;
    verify_digest_t all = {0};
    char name[16], note[64] = "";

    (void)printf("  definitions %" PRIu64 "\n", books->digests[books->partitions].definitions);
    verify_digest_head(stdout, together->follower ? "read up to" : "");
    for (size_t p = 0; p <= books->partitions; p++) {
        if (together->owner[p] == NULL)
            continue;
        (void)snprintf(name, sizeof name, "%zu", p);
        if (together->follower)
            (void)snprintf(note, sizeof note, "epoch %" PRIu64 " seq %" PRIu64,
                           together->position[p].epoch, together->position[p].seq);
        verify_digest_line(stdout, name, &books->digests[p], note);
        verify_digest_add(&all, &books->digests[p]);
    }
    verify_digest_line(stdout, "all", &all, "");
}

static int report(const verify_t *books)
{
    size_t owned = 0;

    for (size_t partition = 0; partition <= books->partitions; partition++)
        owned += books->together->owner[partition] != NULL ? 1 : 0;
    if (books->wrong == 0)
        (void)puts("The books hold.");
    else
        (void)printf("THE BOOKS DO NOT HOLD: %" PRIu64 " fault%s.\n", books->wrong,
                     books->wrong == 1 ? "" : "s");
    for (uint64_t i = 0; i < books->wrong && i < VERIFY_SHOWN; i++)
        (void)printf("  %s\n", books->shown[i]);
    if (books->wrong > VERIFY_SHOWN)
        (void)printf("  ... and %" PRIu64 " more\n", books->wrong - VERIFY_SHOWN);
    (void)printf("  partitions  %zu of %u, ", owned, (unsigned)books->partitions + 1);
    if (books->together->follower)
        (void)printf("their log is in Kafka, %" PRIu64 " messages", books->messages);
    else
        (void)printf("%" PRIu64 " log records, %" PRIu64 " messages", books->records,
                     books->messages);
    if (books->apart > 0)
        (void)printf(", %" PRIu64 " pairs of copies of different moments", books->apart);
    (void)putchar('\n');
    (void)printf("  accounts    %" PRIu64 ", of them %" PRIu64 " deleted\n", books->accounts,
                 books->deleted);
    (void)printf("  entries     %" PRIu64 "\n", books->entries);
    (void)printf("  keys        %" PRIu64 "\n", books->keys);
    (void)printf("  points      %" PRId64 " available, %" PRId64 " in transit by %" PRIu64
                 " transfers\n",
                 books->available, books->in_transit, books->transfers);
    for (int type = ENTRY_EARN; type < ENTRY__END; type++) {
        if (books->by_type[type] != 0)
            (void)printf("  %-11s %" PRId64 "\n", entry_type_name((uint8_t)type),
                         books->by_type[type]);
    }
    table(books);
    return books->wrong == 0 ? 0 : EXIT_BOOKS_WRONG;
}
