/* tool_export.c - `fealty export`: definitions, accounts and entries from the disk, as lines */
#include "node/tools.h"

#include "cluster/genesis.h"
#include "node/content.h"
#include "node/export_rows.h"
#include "node/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES_MAX   ((size_t)32 * 1024 * 1024)
#define OUT_BYTES_FLUSH ((size_t)1024 * 1024)
#define PROGRAMS_MAX    100000

static const char usage[] =
    "usage: fealty export --data DIR [--what accounts|transactions|programs|all] [--format "
    "ndjson|csv]\n"
    "                     [--deleted] [FILE|-]\n"
    "\n"
    "Writes what the books in DIR hold to FILE or standard output, one object per line. It reads "
    "the disk as it\n"
    "is at the start; a node may run on it. In a cluster, each node's directory holds its own "
    "customers.\n"
    "  accounts      (default) one line per account with its balance\n"
    "  transactions  one line per ledger entry, oldest first within a partition\n"
    "  programs      the programs with their tiers\n"
    "  all           programs, then accounts, then transactions; ndjson only\n"
    "--deleted adds deleted accounts, and entries that were deleted or that correct others.\n"
    "Lines of programs and accounts can be read by `fealty import`.\n";

typedef struct {
    const char *data, *path;
    export_format_t format;
    bool deleted;
    store_t *store;         /* owned */
    catalogue_t *catalogue; /* owned */
    birth_t birth;
    uint16_t owned[BIRTH_PARTITIONS_MAX + 1];
    size_t owned_count;
    int file;
    buffer_t out;
    uint64_t lines;
} export_t;

typedef errcode_t (*row_fn)(export_t *self, const uint8_t *value, size_t n, err_t *err);

static errcode_t open_books(export_t *self, err_t *err);
static errcode_t export_all(export_t *self, const char *what, err_t *err);

int tool_export(int argc, char **argv)
{
    export_t *self = memory_zalloc(sizeof *self);
    const char *words[1] = {NULL};
    const char *what = "accounts", *format = "ndjson";
    err_t err = {0};
    errcode_t rc = ERR_NONE;
    int code = EXIT_USAGE;
    const option_t options[] = {
        {.name = "--data", .text = &self->data},
        {.name = "--what", .text = &what},
        {.name = "--format", .text = &format},
        {.name = "--deleted", .on = &self->deleted},
    };
    bool csv, known;

    self->data = "data";
    self->file = -1;
    switch (options_parse(argc, argv, options, COUNT_OF(options), words, 0, 1, NULL, usage)) {
    case OPTIONS_HELP: free(self); return 0;
    case OPTIONS_WRONG: free(self); return EXIT_USAGE;
    case OPTIONS_GOOD: break;
    }
    csv = strcmp(format, "csv") == 0;
    known = (csv || strcmp(format, "ndjson") == 0) &&
            (strcmp(what, "accounts") == 0 || strcmp(what, "transactions") == 0 ||
             (!csv && (strcmp(what, "programs") == 0 || strcmp(what, "all") == 0)));
    if (!known) {
        (void)fputs(usage, stderr);
        free(self);
        return EXIT_USAGE;
    }
    self->format = csv ? EXPORT_CSV : EXPORT_NDJSON;
    self->path = words[0] != NULL ? words[0] : "-";
    buffer_init(&self->out, OUT_BYTES_MAX);
    rc = open_books(self, &err);
    if (rc == ERR_NONE)
        rc = export_all(self, what, &err);
    if (rc == ERR_NONE) {
        (void)fprintf(stderr, "%llu line%s written\n", (unsigned long long)self->lines,
                      self->lines == 1 ? "" : "s");
        code = 0;
    } else {
        (void)fprintf(stderr, "fealty export: %s\n", err.text);
        code = rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
    }
    if (self->file > STDERR_FILENO)
        (void)close(self->file);
    buffer_free(&self->out);
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
    free(self);
    return code;
}

static errcode_t open_books(export_t *self, err_t *err)
{
    store_config_t config;
    bool found = false;
    errcode_t rc;

    store_config_default(&config);
    config.directory = self->data;
    config.read_only = true;
    rc = store_open(&self->store, &config, err);
    if (rc == ERR_NONE)
        rc = genesis_load(self->store, &self->birth, &found, err);
    if (rc == ERR_NONE && !found)
        rc =
            err_set(err, ERR_STATE, "%.120s holds no books: no node has started there", self->data);
    if (rc != ERR_NONE)
        return rc;
    self->owned_count = birth_owned(&self->birth, self->birth.node, self->owned);
    self->catalogue = catalogue_new();
    rc = content_load(self->store, self->catalogue, err);
    if (rc != ERR_NONE)
        return rc;
    self->file = STDOUT_FILENO;
    if (strcmp(self->path, "-") == 0)
        return ERR_NONE;
    self->file = open(self->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    return self->file >= 0
               ? ERR_NONE
               : err_set(err, ERR_IO, "cannot write %.120s: %s", self->path, strerror(errno));
}

static errcode_t flush(export_t *self, bool last, err_t *err)
{
    size_t at = 0;

    if (self->out.failed)
        return err_set(err, ERR_TOO_LARGE, "one line is larger than %zu bytes", OUT_BYTES_MAX);
    if (!last && self->out.size < OUT_BYTES_FLUSH)
        return ERR_NONE;
    while (at < self->out.size) {
        ssize_t written = write(self->file, self->out.bytes + at, self->out.size - at);

        if (written < 0 && errno != EINTR)
            return err_set(err, ERR_IO, "cannot write %.120s: %s", self->path, strerror(errno));
        at += written > 0 ? (size_t)written : 0;
    }
    buffer_reset(&self->out);
    return ERR_NONE;
}

static errcode_t each_row(export_t *self, family_t family, const uint8_t *prefix,
                          size_t prefix_bytes, row_fn row, err_t *err)
{
    uint8_t upper[BATCH_KEY_BYTES_MAX];
    size_t upper_bytes = key_after_prefix(upper, prefix, prefix_bytes);
    store_cursor_t *cursor =
        store_cursor_new(self->store, NULL, family, prefix, prefix_bytes, upper, upper_bytes);
    errcode_t rc = ERR_NONE;

    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *value = store_cursor_value(cursor, &n);

        rc = row(self, value, n, err);
        if (rc == ERR_NONE)
            rc = flush(self, false, err);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

static errcode_t account_row(export_t *self, const uint8_t *value, size_t n, err_t *err)
{
    account_t account;
    errcode_t rc = account_decode(&account, value, n, err);

    if (rc != ERR_NONE || (account.deleted && !self->deleted))
        return rc;
    export_account(&self->out, self->format, &account, self->catalogue);
    self->lines++;
    return ERR_NONE;
}

static errcode_t entry_row(export_t *self, const uint8_t *value, size_t n, err_t *err)
{
    entry_t entry;
    errcode_t rc = entry_decode(&entry, value, n, err);

    if (rc != ERR_NONE || (entry.hidden && !self->deleted))
        return rc;
    export_entry(&self->out, self->format, &entry, self->catalogue);
    self->lines++;
    return ERR_NONE;
}

static errcode_t export_programs(export_t *self, err_t *err)
{
    uint32_t *ids = memory_alloc(PROGRAMS_MAX * sizeof *ids);
    size_t count =
        catalogue_ids(self->catalogue, CATALOGUE_NEWEST, RESOURCE_PROGRAM, ids, PROGRAMS_MAX);
    errcode_t rc = ERR_NONE;

    for (size_t i = 0; i < count && i < PROGRAMS_MAX && rc == ERR_NONE; i++) {
        rc = export_program(&self->out, ids[i], self->catalogue, err);
        self->lines++;
        if (rc == ERR_NONE)
            rc = flush(self, false, err);
    }
    free(ids);
    return rc;
}

static errcode_t export_all(export_t *self, const char *what, err_t *err)
{
    bool all = strcmp(what, "all") == 0;
    bool accounts = all || strcmp(what, "accounts") == 0;
    bool transactions = all || strcmp(what, "transactions") == 0;
    uint8_t prefix[BATCH_KEY_BYTES_MAX];
    errcode_t rc = ERR_NONE;

    if (self->format == EXPORT_CSV && accounts)
        export_account_header(&self->out);
    if (self->format == EXPORT_CSV && transactions)
        export_entry_header(&self->out);
    if (all || strcmp(what, "programs") == 0)
        rc = export_programs(self, err);
    for (size_t i = 0; i < self->owned_count && accounts && rc == ERR_NONE; i++) {
        rc = each_row(self, FAMILY_STATE, prefix, key_tag(prefix, self->owned[i], 'A'), account_row,
                      err);
        if (rc == ERR_NONE && self->deleted) /* rows that moved aside, see key_retired() */
            rc = each_row(self, FAMILY_STATE, prefix, key_tag(prefix, self->owned[i], 'Z'),
                          account_row, err);
    }
    for (size_t i = 0; i < self->owned_count && transactions && rc == ERR_NONE; i++)
        rc = each_row(self, FAMILY_ENTRY, prefix, key_partition(prefix, self->owned[i]), entry_row,
                      err);
    return rc == ERR_NONE ? flush(self, true, err) : rc;
}
