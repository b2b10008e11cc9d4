/* tool_verify.c - `fealty verify`: the books of a directory, proved from the disk */
#include "node/tools.h"

#include "node/options.h"
#include "node/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_BOOKS_WRONG 3

static const char usage[] = "usage: fealty verify [--data DIR]\n"
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
                            "Exit: 0 the books hold, 3 they do not (the first ten faults are "
                            "shown), 1 usage, 2 cannot open, 74 disk.\n";

static errcode_t prove(verify_t *books, store_t *store, birth_t *birth, err_t *err);
static int report(const verify_t *books, const birth_t *birth);

int tool_verify(int argc, char **argv)
{
    const char *data = "data";
    verify_t *books = memory_zalloc(sizeof *books);
    birth_t *birth = memory_zalloc(sizeof *birth);
    store_t *store = NULL;
    store_config_t config;
    err_t err = {0};
    errcode_t rc = ERR_NONE;
    int code = EXIT_USAGE;
    const option_t options[] = {{.name = "--data", .text = &data}};

    switch (options_parse(argc, argv, options, COUNT_OF(options), NULL, 0, 0, NULL, usage)) {
    case OPTIONS_HELP: code = 0; goto cleanup;
    case OPTIONS_WRONG: goto cleanup;
    case OPTIONS_GOOD: break;
    }
    store_config_default(&config);
    config.directory = data;
    config.read_only = true;
    rc = store_open(&store, &config, &err);
    if (rc == ERR_NONE) {
        bool found = false;

        rc = genesis_load(store, birth, &found, &err);
        if (rc == ERR_NONE && !found)
            rc = err_set(&err, ERR_STATE, "%.120s holds no books: no node has started there", data);
    }
    if (rc == ERR_NONE)
        rc = prove(books, store, birth, &err);
    if (rc == ERR_NONE) {
        code = report(books, birth);
    } else {
        (void)fprintf(stderr, "fealty verify: %s\n", err.text);
        code = rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
    }

cleanup:
    verify_free(books);
    store_destroy(&store);
    free(books);
    free(birth);
    return code;
}

static errcode_t prove(verify_t *books, store_t *store, birth_t *birth, err_t *err)
{
    bool terminal = isatty(STDERR_FILENO) != 0;
    errcode_t rc = ERR_NONE;

    verify_init(books, store, birth);
    for (uint16_t partition = 0; partition <= birth->partitions && rc == ERR_NONE; partition++) {
        if (!books->owned[partition])
            continue;
        if (terminal)
            (void)fprintf(stderr, "\rpartition %u of %u, %" PRIu64 " accounts ", partition,
                          birth->partitions, books->accounts);
        rc = verify_partition(books, partition, err);
    }
    if (terminal)
        (void)fputs("\r\033[K", stderr);
    if (rc == ERR_NONE)
        rc = verify_pairs(books, err);
    if (rc == ERR_NONE)
        verify_whole(books);
    return rc;
}

static int report(const verify_t *books, const birth_t *birth)
{
    size_t owned = 0;

    for (uint16_t partition = 0; partition <= birth->partitions; partition++)
        owned += books->owned[partition] ? 1 : 0;
    if (books->wrong == 0)
        (void)puts("The books hold.");
    else
        (void)printf("THE BOOKS DO NOT HOLD: %" PRIu64 " fault%s.\n", books->wrong,
                     books->wrong == 1 ? "" : "s");
    for (uint64_t i = 0; i < books->wrong && i < VERIFY_SHOWN; i++)
        (void)printf("  %s\n", books->shown[i]);
    if (books->wrong > VERIFY_SHOWN)
        (void)printf("  ... and %" PRIu64 " more\n", books->wrong - VERIFY_SHOWN);
    (void)printf("  partitions  %zu of %u, %" PRIu64 " log records, %" PRIu64 " messages\n", owned,
                 (unsigned)birth->partitions + 1, books->records, books->messages);
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
    return books->wrong == 0 ? 0 : EXIT_BOOKS_WRONG;
}
