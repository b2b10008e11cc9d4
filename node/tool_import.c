/* tool_import.c - `fealty import`: a file of customers and purchases into the books of a stopped node
 *
 * Every line becomes a command like any other, with an idempotency key made from the line (an account needs none: there
 * is one per customer and program), so a second run of the same file changes nothing. The progress file beside the store only saves time after an interruption.
 */
#include "node/tools.h"

#include "node/import_window.h"
#include "node/offline.h"
#include "node/options.h"
#include "protocol/calendar.h"
#include "protocol/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_SOME_REFUSED 3
#define LINE_BYTES_MAX    ((size_t)256 * 1024)
#define CHUNK_BYTES       ((size_t)1024 * 1024)
#define PROGRAMS_MAX      100000
#define NAMES_MAX         1024
#define PATH_BYTES_MAX    4096
#define TERMINAL_EVERY_US 200000
#define QUIET_EVERY_US    5000000
#define PROGRESS_EVERY_US 1000000
#define KEY_TEXT_BYTES    64
#define CDNOW_PROGRAM     "CDNOW"

static const char usage[] =
    "usage: fealty import --data DIR FILE [--format ndjson|csv|cdnow] [--program NAME]\n"
    "\n"
    "Loads customers, opening balances and purchases into the books in DIR while no node runs on "
    "it; an empty\n"
    "or missing DIR becomes the books of a new node. FILE may be `-`: standard input.\n"
    "\n"
    "ndjson (default), one object per line; `program` is a name or an id, --program says it for "
    "lines without:\n"
    "  "
    "{\"type\":\"program\",\"name\":\"Club\",\"start_date\":\"2020-01-01T00:00:00Z\",\"end_date\":"
    "\"2099-12-31T00:00:00Z\"}\n"
    "  "
    "{\"type\":\"account\",\"customer_id\":\"UUID\",\"program\":\"Club\",\"points\":500,\"status\":"
    "\"active\"}\n"
    "  "
    "{\"type\":\"earn\",\"customer_id\":\"UUID\",\"program\":\"Club\",\"amount\":\"19.90\","
    "\"transaction_date\":\"2026-01-31\",\n"
    "   \"reference\":\"T-1\",\"description\":\"Coffee\"}\n"
    "  {\"type\":\"burn\",\"customer_id\":\"UUID\",\"program\":\"Club\",\"points\":100}\n"
    "  {\"type\":\"adjust\",\"customer_id\":\"UUID\",\"program\":\"Club\",\"points\":-20}\n"
    "csv: the same names in a header line, with the column `type` (no programs).\n"
    "cdnow: the CDNOW purchase file, `customer YYYYMMDD cds dollars`; customers and their program "
    "are made.\n"
    "\n"
    "The same file can be imported again: lines that are known change nothing. Two equal lines are "
    "one and the\n"
    "same event; give such lines an `idempotency_key` or a `reference` of their own to tell them "
    "apart.\n"
    "A stopped import goes on where it was. Dates may lie in the past without limit, never in the "
    "future.\n"
    "\n"
    "Exit: 0 all lines taken, 3 some lines refused (the first ten are shown), 1 usage, 2 not "
    "started, 74 disk.\n";

typedef struct {
    uint32_t id;
    size_t n;
    char name[NAMES_MAX];
} program_name_t;

typedef struct {
    const char *data, *path, *default_program;
    import_source_t source;
    import_window_t window;
    offline_t *books;
    uint16_t partitions;
    uint16_t catalogue_partition;
    program_name_t last_program; /* looked up for the line before; mostly the same one */
    /* the file */
    int file;
    bool owns_file, regular;
    uint64_t size, offset, line, resumed_line;
    uint8_t *bytes; /* owned */
    size_t from, until;
    bool at_end;
    /* what is shown and kept */
    bool terminal;
    char progress_path[PATH_BYTES_MAX];
    char progress_new[PATH_BYTES_MAX];
    int64_t started_us, shown_us, kept_us;
    uint64_t shown_line;
} import_t;

static volatile sig_atomic_t interrupted;

static errcode_t open_file(import_t *self, err_t *err);
static errcode_t import_all(import_t *self, err_t *err);
static errcode_t import_line(import_t *self, const char *line, size_t n, err_t *err);
static errcode_t find_program(import_t *self, text_t name, uint32_t *id, err_t *err);
static errcode_t define_program(import_t *self, text_t name, text_t body, err_t *err);
static void resume(import_t *self);
static void keep_progress(import_t *self, bool now);
static void show_progress(import_t *self, bool last);
static void report(const import_t *self);

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

int tool_import(int argc, char **argv)
{
    import_t *self = memory_zalloc(sizeof *self);
    const char *words[1] = {NULL};
    const char *format = "ndjson";
    err_t err = {0};
    errcode_t rc = ERR_NONE;
    int code = EXIT_USAGE;
    const option_t options[] = {
        {.name = "--data", .text = &self->data},
        {.name = "--format", .text = &format},
        {.name = "--program", .text = &self->default_program},
    };
    static const char *const formats[] = {
        [IMPORT_NDJSON] = "ndjson", [IMPORT_CSV] = "csv", [IMPORT_CDNOW] = "cdnow"};
    size_t which = 0;

    self->data = "data";
    self->file = -1;
    switch (options_parse(argc, argv, options, COUNT_OF(options), words, 1, 1, NULL, usage)) {
    case OPTIONS_HELP: code = 0; goto cleanup;
    case OPTIONS_WRONG: goto cleanup;
    case OPTIONS_GOOD: break;
    }
    while (which < COUNT_OF(formats) && strcmp(formats[which], format) != 0)
        which++;
    if (which == COUNT_OF(formats)) {
        (void)fprintf(stderr, "fealty import: there is no format %.40s\n\n%s", format, usage);
        goto cleanup;
    }
    self->path = words[0];
    self->terminal = isatty(STDERR_FILENO) != 0;
    import_source_init(&self->source, (import_format_t)which, clock_wall_us(clock_system()));
    rc = open_file(self, &err);
    if (rc == ERR_NONE)
        rc = offline_open_for_load(&self->books, self->data, &err);
    if (rc != ERR_NONE) {
        (void)fprintf(stderr, "fealty import: %s\n", err.text);
        code = rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
        goto cleanup;
    }
    import_window_init(&self->window, offline_shards(self->books));
    rc = import_all(self, &err);
    report(self);
    code = self->window.counts.refused > 0 ? EXIT_SOME_REFUSED : 0;
    if (rc != ERR_NONE) {
        (void)fprintf(stderr, "fealty import: %s\n", err.text);
        code = rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
    } else if (interrupted) {
        (void)fprintf(stderr, "fealty import: stopped; the same command goes on from here\n");
        code = EXIT_REFUSED;
    }
    import_window_free(&self->window);

cleanup:
    offline_close(&self->books);
    import_source_free(&self->source);
    if (self->owns_file)
        (void)close(self->file);
    free(self->bytes);
    free(self);
    return code;
}

static errcode_t open_file(import_t *self, err_t *err)
{
    struct stat about;

    self->owns_file = strcmp(self->path, "-") != 0;
    self->file = self->owns_file ? open(self->path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (self->file < 0) {
        self->owns_file = false;
        return err_set(err, ERR_STATE, "cannot open %.120s: %s", self->path, strerror(errno));
    }
    if (fstat(self->file, &about) != 0)
        return err_set(err, ERR_IO, "cannot read %.120s: %s", self->path, strerror(errno));
    if (S_ISDIR(about.st_mode))
        return err_set(err, ERR_STATE, "%.120s is a directory", self->path);
    self->regular = S_ISREG(about.st_mode) && self->owns_file;
    self->bytes = memory_alloc(LINE_BYTES_MAX + CHUNK_BYTES);
    if (self->regular) {
        char identity[PATH_BYTES_MAX + 64];
        char name[2 * HASH_BYTES + 1];
        hash_t hash;
        int n = snprintf(identity, sizeof identity, "%s\n%lld\n%lld", self->path,
                         (long long)about.st_size, (long long)about.st_mtime);

        self->size = (uint64_t)about.st_size;
        hash = hash_bytes(identity, n < (int)sizeof identity ? (size_t)n : sizeof identity - 1);
        for (size_t i = 0; i < HASH_BYTES; i++)
            (void)snprintf(name + 2 * i, 3, "%02x", hash.bytes[i]);
        n = snprintf(self->progress_path, sizeof self->progress_path, "%s/import-%.16s.progress",
                     self->data, name);
        if (n >= (int)sizeof self->progress_path - 4)
            return err_set(err, ERR_STATE, "the path of the data directory is too long");
        (void)snprintf(self->progress_new, sizeof self->progress_new, "%.*s.new",
                       (int)sizeof self->progress_path - 8, self->progress_path);
    }
    return ERR_NONE;
}

/* Next line without its end; *n is LINE_BYTES_MAX + 1 when it is too long (then it was skipped). */
static errcode_t next_line(import_t *self, const char **line, size_t *n, bool *found, err_t *err)
{
    bool too_long = false;

    for (;;) {
        uint8_t *start = self->bytes + self->from;
        uint8_t *end =
            self->until > self->from ? memchr(start, '\n', self->until - self->from) : NULL;
        ssize_t got;

        if (end == NULL && self->at_end && self->until > self->from)
            end = self->bytes + self->until; /* a last line without an end */
        if (end != NULL) {
            size_t length = (size_t)(end - start);
            bool newline = self->from + length < self->until;

            *line = (const char *)start;
            *n = too_long || length > LINE_BYTES_MAX ? LINE_BYTES_MAX + 1 : length;
            self->from += length + (newline ? 1 : 0);
            self->offset += length + (newline ? 1 : 0);
            self->line++;
            *found = true;
            return ERR_NONE;
        }
        if (self->at_end) {
            *found = too_long;
            *n = LINE_BYTES_MAX + 1;
            self->line += too_long ? 1 : 0;
            return ERR_NONE;
        }
        if (self->until - self->from > LINE_BYTES_MAX) {
            too_long = true;
            self->offset += self->until - self->from;
            self->from = self->until;
        }
        memmove(self->bytes, self->bytes + self->from, self->until - self->from);
        self->until -= self->from;
        self->from = 0;
        do
            got = read(self->file, self->bytes + self->until,
                       LINE_BYTES_MAX + CHUNK_BYTES - self->until);
        while (got < 0 && errno == EINTR && !interrupted);
        if (got < 0 && errno == EINTR) {
            *found = false;
            return ERR_NONE;
        }
        if (got < 0)
            return err_set(err, ERR_IO, "cannot read %.120s: %s", self->path, strerror(errno));
        self->at_end = got == 0;
        self->until += (size_t)got;
    }
}

static errcode_t import_all(import_t *self, err_t *err)
{
    struct sigaction action = {.sa_handler = on_signal};
    const birth_t *birth = offline_birth(self->books);
    errcode_t rc = ERR_NONE;
    bool found = true;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    self->partitions = birth->partitions;
    self->catalogue_partition = birth->partitions;
    self->started_us = self->shown_us = self->kept_us = clock_boot_us(clock_system());
    if (self->source.format == IMPORT_CDNOW && self->default_program == NULL) {
        self->default_program = CDNOW_PROGRAM;
        rc = define_program(
            self, text_of(CDNOW_PROGRAM),
            text_of(
                "{\"name\":\"" CDNOW_PROGRAM "\",\"description\":\"Purchases of the CDNOW study\","
                "\"start_date\":\"1990-01-01T00:00:00Z\",\"end_date\":\"9999-12-31T00:00:00Z\"}"),
            err);
        if (rc != ERR_NONE)
            return rc;
    }
    resume(self);
    while (rc == ERR_NONE && !interrupted) {
        const char *line = NULL;
        size_t n = 0;

        rc = next_line(self, &line, &n, &found, err);
        if (rc != ERR_NONE || !found)
            break;
        rc = import_line(self, line, n, err);
        if ((self->line & 255) == 0) {
            show_progress(self, false);
            keep_progress(self, false);
        }
    }
    if (rc == ERR_NONE)
        rc = import_drain(&self->window, err);
    show_progress(self, true);
    if (rc == ERR_NONE && !interrupted) {
        if (self->regular)
            (void)unlink(self->progress_path);
    } else {
        keep_progress(self, true);
    }
    return rc;
}

/* The definition goes through at once and is waited for: the lines behind it need it. */
static errcode_t define_program(import_t *self, text_t name, text_t body, err_t *err)
{
    command_t command = {.kind = COMMAND_DEFINE,
                         .operation = OPERATION_DEFINE,
                         .resource = RESOURCE_PROGRAM,
                         .body = body,
                         .rights = RIGHT_IMPORT | RIGHT_ADJUST};
    uint32_t id = 0;
    buffer_t answer;
    result_t result;
    errcode_t rc = import_drain(&self->window, err);

    if (rc != ERR_NONE)
        return rc;
    if (find_program(self, name, &id, NULL) == ERR_NONE) {
        self->window.counts.replayed++; /* by its name */
        return ERR_NONE;
    }
    buffer_init(&answer, RECORD_BYTES_MAX);
    rc = offline_command(self->books, self->catalogue_partition, &command, &answer, err);
    if (rc == ERR_NONE)
        rc = result_decode(&result, answer.bytes, answer.size, err);
    if (rc == ERR_NONE && result.status < 300)
        self->window.counts.created[IMPORT_PROGRAM]++;
    else if (rc == ERR_NONE)
        import_refuse(&self->window, self->line, result.error.bytes, result.error.n);
    buffer_free(&answer);
    if (rc == ERR_INVALID || rc == ERR_STATE || rc == ERR_TOO_LARGE) {
        err_t why = err != NULL ? *err : (err_t){0};
        char sentence[sizeof why.field + sizeof why.text + 2];
        int n = snprintf(sentence, sizeof sentence, "%s%s%s", why.field,
                         why.field[0] != '\0' ? ": " : "", why.text);

        import_refuse(&self->window, self->line, sentence, (size_t)n);
        return ERR_NONE;
    }
    return rc;
}

/* 0 for text that is no id. */
static uint32_t number_of(text_t text)
{
    uint32_t number = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.n > 9 || text.bytes[i] < '0' || text.bytes[i] > '9')
            return 0;
        number = number * 10 + (uint32_t)(text.bytes[i] - '0');
    }
    return number;
}

/* By name, or by number. */
static errcode_t find_program(import_t *self, text_t name, uint32_t *id, err_t *err)
{
    const catalogue_t *catalogue = offline_catalogue(self->books);
    uint32_t number = number_of(name);
    uint32_t *ids;
    size_t count;

    if (name.n == 0)
        return err_set(err, ERR_INVALID, "program: it is empty");
    if (self->last_program.id != 0 && self->last_program.n == name.n &&
        memcmp(self->last_program.name, name.bytes, name.n) == 0) {
        *id = self->last_program.id;
        return ERR_NONE;
    }
    *id = 0;
    ids = memory_alloc(PROGRAMS_MAX * sizeof *ids);
    count = catalogue_ids(catalogue, CATALOGUE_NEWEST, RESOURCE_PROGRAM, ids, PROGRAMS_MAX);
    for (size_t i = 0; i < count && i < PROGRAMS_MAX; i++) {
        const program_t *program = catalogue_program(catalogue, CATALOGUE_NEWEST, ids[i]);

        if (program == NULL)
            continue;
        if (strlen(program->name) == name.n && memcmp(program->name, name.bytes, name.n) == 0) {
            *id = ids[i]; /* a name goes before a number */
            break;
        }
        if (ids[i] == number)
            *id = number;
    }
    free(ids);
    if (*id == 0)
        return err_set(err, ERR_INVALID,
                       "program: there is no %.*s; define it in a line before, or over the API",
                       (int)(name.n > 80 ? 80 : name.n), name.bytes);
    if (name.n < sizeof self->last_program.name) {
        self->last_program.id = *id;
        self->last_program.n = name.n;
        memcpy(self->last_program.name, name.bytes, name.n);
    }
    return ERR_NONE;
}

/* The key of a line that has none: a hash of its bytes. */
static text_t key_of_line(char out[KEY_TEXT_BYTES], const hash_t *hash)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = sizeof "import:" - 1;

    memcpy(out, "import:", at);
    for (size_t i = 0; i < HASH_BYTES; i++) {
        out[at++] = digits[hash->bytes[i] >> 4];
        out[at++] = digits[hash->bytes[i] & 15];
    }
    return (text_t){out, at};
}

static errcode_t post(import_t *self, const import_row_t *row, import_kind_t kind, uint32_t program,
                      text_t key, const hash_t *body_hash, bool quiet, err_t *err)
{
    static const struct {
        uint8_t kind, operation;
    } kinds[IMPORT__KINDS] = {
        [IMPORT_ACCOUNT] = {COMMAND_ENROL, OPERATION_ENROL},
        [IMPORT_EARN] = {COMMAND_EARN, OPERATION_EARN},
        [IMPORT_BURN] = {COMMAND_BURN, OPERATION_BURN},
        [IMPORT_ADJUST] = {COMMAND_ADJUST, OPERATION_ADJUST},
    };
    command_t command = {.kind = kinds[kind].kind,
                         .operation = kinds[kind].operation,
                         .customer = row->customer,
                         .program = program,
                         .key = key,
                         .body_hash = *body_hash,
                         .rights = RIGHT_IMPORT | RIGHT_ADJUST};
    import_slot_t what = {.line = self->line,
                          .offset_after = self->offset,
                          .kind = kind,
                          .points = row->points,
                          .quiet = quiet};

    if (key.n > 0)
        command.key_hash = hash_bytes(key.bytes, key.n);
    if (kind == IMPORT_ACCOUNT) {
        command.points = quiet ? 0 : row->points;
        what.points = command.points;
        command.status = row->status;
        command.set = row->has_status ? SET_STATUS : 0;
    } else {
        command.amount = row->amount;
        command.points = row->points;
        command.effective_us = row->effective_us;
        command.description = row->description;
        command.reference = row->reference;
    }
    return import_post(&self->window, &command,
                       partition_of_slot(slot_of_customer(&row->customer), self->partitions), &what,
                       err);
}

static errcode_t import_line(import_t *self, const char *line, size_t n, err_t *err)
{
    import_row_t row;
    err_t why;
    hash_t hash;
    char key[KEY_TEXT_BYTES];
    uint32_t program = 0;
    errcode_t rc;

    if (n > LINE_BYTES_MAX) {
        import_refuse(&self->window, self->line, "the line is too long",
                      sizeof "the line is too long" - 1);
        return ERR_NONE;
    }
    why = (err_t){0};
    rc = import_source_line(&self->source, line, n, self->line, &row, &why);
    if (rc != ERR_NONE && self->source.format == IMPORT_CSV && !self->source.header_read)
        return err_set(err, ERR_INVALID, "the first line is no header: %.150s",
                       why.text); /* nothing can follow */
    if (rc == ERR_NONE && row.skip)
        return ERR_NONE;
    if (rc == ERR_NONE && row.kind == IMPORT_PROGRAM)
        return define_program(self, row.name, row.body, err);
    if (rc == ERR_NONE && row.program.n == 0 && self->default_program == NULL)
        rc = err_set(&why, ERR_INVALID, "program: missing; give it in the line or with --program");
    if (rc == ERR_NONE)
        rc = find_program(self, row.program.n > 0 ? row.program : text_of(self->default_program),
                          &program, &why);
    if (rc != ERR_NONE) {
        import_refuse(&self->window, self->line, why.text, strlen(why.text));
        return ERR_NONE;
    }
    hash = hash_bytes(line, n);
    /* An account is known by its customer and program: without a key of the line's own it needs none, and millions of
     * key rows are saved. */
    if (row.enrol) {
        rc = post(self, &row, IMPORT_ACCOUNT, program, (text_t){NULL, 0}, &hash, true, err);
        if (rc != ERR_NONE)
            return rc;
    }
    if (row.nothing) {
        self->window.counts.nothing++;
        return ERR_NONE;
    }
    if (row.key.n == 0 && row.kind != IMPORT_ACCOUNT)
        row.key = key_of_line(key, &hash);
    return post(self, &row, row.kind, program, row.key, &hash, false, err);
}

/* Only a hint: without it, or with a wrong one, known lines are replayed. */
static void resume(import_t *self)
{
    char text[64] = "";
    char *rest = text;
    uint64_t offset, line;
    FILE *file;
    bool got;

    if (!self->regular || self->source.format == IMPORT_CSV) /* CSV needs its header */
        return;
    file = fopen(self->progress_path, "re");
    if (file == NULL)
        return;
    got = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    offset = strtoull(text, &rest, 10);
    line = strtoull(rest, NULL, 10);
    if (!got || offset == 0 || offset > self->size ||
        lseek(self->file, (off_t)offset, SEEK_SET) != (off_t)offset)
        return;
    self->offset = offset;
    self->line = self->resumed_line = self->shown_line = line;
    self->window.done_offset = offset;
    self->window.done_line = line;
    (void)fprintf(stderr, "going on behind line %" PRIu64 "\n", line);
}

static void keep_progress(import_t *self, bool now)
{
    int64_t now_us = clock_boot_us(clock_system());
    FILE *file;

    if (!self->regular || self->window.done_offset == 0 ||
        (!now && now_us - self->kept_us < PROGRESS_EVERY_US))
        return;
    self->kept_us = now_us;
    file = fopen(self->progress_new, "we");
    if (file == NULL)
        return;
    int written = fprintf(file, "%" PRIu64 " %" PRIu64 "\n", self->window.done_offset,
                          self->window.done_line);
    if (fclose(file) == 0 && written > 0)
        (void)rename(self->progress_new, self->progress_path);
}

static void show_progress(import_t *self, bool last)
{
    int64_t now_us = clock_boot_us(clock_system());
    int64_t every_us = self->terminal ? TERMINAL_EVERY_US : QUIET_EVERY_US;
    double seconds = (double)(now_us - self->shown_us) / 1e6;
    double overall = (double)(now_us - self->started_us) / 1e6;
    uint64_t lines = self->line - self->resumed_line;

    if (last && self->terminal)
        (void)fputs("\r\033[K", stderr);
    if (last || now_us - self->shown_us < every_us)
        return;
    (void)fprintf(stderr, "%s%" PRIu64 " lines, %.0f a second", self->terminal ? "\r\033[K" : "",
                  self->line, (double)(self->line - self->shown_line) / seconds);
    if (self->regular && self->offset > 0 && lines > 0) {
        double left = (double)(self->size - self->offset) /
                      ((double)self->offset / (double)self->line) / ((double)lines / overall);

        (void)fprintf(stderr, ", %.0f%%, %.0f s left",
                      100.0 * (double)self->offset / (double)self->size, left);
    }
    if (self->window.counts.refused > 0)
        (void)fprintf(stderr, ", %" PRIu64 " refused", self->window.counts.refused);
    if (!self->terminal)
        (void)fputc('\n', stderr);
    (void)fflush(stderr);
    self->shown_us = now_us;
    self->shown_line = self->line;
}

static void report(const import_t *self)
{
    const import_counts_t *counts = &self->window.counts;
    double seconds = (double)(clock_boot_us(clock_system()) - self->started_us) / 1e6;
    uint64_t lines = self->line - self->resumed_line;

    (void)printf("%" PRIu64 " lines in %.1f s (%.0f a second)\n", lines, seconds,
                 (double)lines / (seconds > 0 ? seconds : 1));
    (void)printf("  created   ");
    for (import_kind_t kind = IMPORT_PROGRAM; kind < IMPORT__KINDS; kind++)
        (void)printf("%s%" PRIu64 " %s", kind == IMPORT_PROGRAM ? "" : ", ", counts->created[kind],
                     import_kind_name(kind, counts->created[kind] != 1));
    (void)printf("\n  replayed  %" PRIu64 " (known before; nothing changed)\n", counts->replayed);
    (void)printf("  nothing   %" PRIu64 " (amounts that earn no points)\n", counts->nothing);
    (void)printf("  refused   %" PRIu64 "\n", counts->refused);
    (void)printf("  points    %" PRId64 " in, %" PRId64 " out\n", counts->points_in,
                 counts->points_out);
    for (uint64_t i = 0; i < counts->refused && i < IMPORT_REFUSALS_SHOWN; i++) {
        const import_refusal_t *refusal = &self->window.refusals[i];

        (void)printf("  line %" PRIu64 ": ", refusal->line);
        for (const char *at = refusal->why; *at != '\0'; at++)
            (void)putchar(*at == '\n' ? ' ' : *at);
        (void)putchar('\n');
    }
    if (counts->refused > IMPORT_REFUSALS_SHOWN)
        (void)printf("  ... and %" PRIu64 " more\n", counts->refused - IMPORT_REFUSALS_SHOWN);
    (void)fflush(stdout);
}
