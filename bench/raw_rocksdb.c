/* raw_rocksdb.c - fealty-bench-rocksdb: what the disk and the row store alone cost
 *
 * Writes the rows of an earn - an account replaced, an entry appended, an idempotency key added -
 * and one log row per batch that holds all of them again, as the embedded journal does, in synced
 * batches of 1 to 512 earns, with the settings of storage/. No reading, no deciding, no HTTP: the
 * ratio of a node's rate to this one's is the price of all that. With --fdatasync it measures one
 * plain write of so many bytes and its fdatasync instead.
 *
 *   fealty-bench-rocksdb [--dir DIRECTORY] [--seconds S] [--accounts N] [--sizes 1,8,64]
 *                        [--json FILE]
 *   fealty-bench-rocksdb --fdatasync BYTES [--dir DIRECTORY] [--seconds S] [--json FILE]
 *
 * The directory must not exist or be empty; what was written there is removed at the end.
 */
#include "bench/elapsed.h"
#include "bench/random.h"

#include <rocksdb/c.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLES_MAX (1 << 20)
#define SIZES_MAX   16
#define BATCH_MAX   4096
#define PARTITIONS  16
#define POOL_BYTES  (1 << 20)

/* Bytes of a row, key included (architecture section 2). */
#define ACCOUNT_KEY_BYTES   23
#define ACCOUNT_VALUE_BYTES 157
#define ENTRY_KEY_BYTES     10
#define ENTRY_VALUE_BYTES   140
#define KEY_KEY_BYTES       36
#define KEY_VALUE_BYTES     74
#define EARN_BYTES                                                                   \
    (ACCOUNT_KEY_BYTES + ACCOUNT_VALUE_BYTES + ENTRY_KEY_BYTES + ENTRY_VALUE_BYTES + \
     KEY_KEY_BYTES + KEY_VALUE_BYTES)

typedef enum {
    COLUMN_DEFAULT,
    COLUMN_STATE,
    COLUMN_ENTRY,
    COLUMN_KEY,
    COLUMN_LOG,
    COLUMN__COUNT
} column_t;

typedef struct {
    const char *dir;
    const char *json;
    double seconds;
    uint64_t accounts;
    uint64_t fdatasync_bytes; /* 0 = batches */
    unsigned sizes[SIZES_MAX];
    unsigned size_count;
} arguments_t;

typedef struct {
    rocksdb_t *db;
    rocksdb_cache_t *cache;
    rocksdb_options_t *options[COLUMN__COUNT];
    rocksdb_column_family_handle_t *columns[COLUMN__COUNT];
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    random_t random;
    uint64_t sequences[PARTITIONS];
    uint64_t log_sequence;
    char *pool; /* bytes of values, half of them random: they compress like real ones */
    char *log_value;
} raw_t;

typedef struct {
    double per_second; /* earns, or writes */
    double p50_ms, p99_ms;
} figures_t;

static bool arguments_parse(arguments_t *self, int argc, char **argv);
static bool raw_open(raw_t *self, const arguments_t *arguments);
static void raw_close(raw_t *self);
static bool raw_preload(raw_t *self, uint64_t accounts);
static void add_earn(raw_t *self, rocksdb_writebatch_t *batch, uint64_t accounts);
static bool measure_batches(raw_t *self, unsigned size, const arguments_t *arguments,
                            float *samples, figures_t *out);
static bool measure_fdatasync(const arguments_t *arguments, float *samples, figures_t *out);
static figures_t figures(float *samples, size_t count, uint64_t done, double seconds);
static bool failed(char *message, const char *what);
static bool directory_take(const char *path);
static void directory_remove(const char *path);

int main(int argc, char **argv)
{
    arguments_t arguments;
    raw_t raw = {0};
    figures_t results[SIZES_MAX] = {{0}};
    float *samples = malloc(SAMPLES_MAX * sizeof(*samples));
    FILE *json = NULL;
    unsigned best = 0;
    bool taken = false;
    int status = 1;

    if (!arguments_parse(&arguments, argc, argv))
        goto cleanup;
    if (samples == NULL) {
        fprintf(stderr, "fealty-bench-rocksdb: no memory for the samples\n");
        goto cleanup;
    }
    if (!directory_take(arguments.dir))
        goto cleanup;
    taken = true;
    json = arguments.json != NULL ? fopen(arguments.json, "we") : NULL;
    if (arguments.json != NULL && json == NULL) {
        fprintf(stderr, "fealty-bench-rocksdb: cannot write %s: %s\n", arguments.json,
                strerror(errno));
        goto cleanup;
    }
    if (arguments.fdatasync_bytes > 0) {
        if (!measure_fdatasync(&arguments, samples, &results[0]))
            goto cleanup;
        printf("write of %" PRIu64 " bytes + fdatasync: %.0f /s, p50 %.3f ms, p99 %.3f ms\n",
               arguments.fdatasync_bytes, results[0].per_second, results[0].p50_ms,
               results[0].p99_ms);
        if (json != NULL)
            fprintf(json,
                    "{\"bytes\":%" PRIu64
                    ",\"syncs_per_s\":%.1f,\"p50_ms\":%.4f,\"p99_ms\":%.4f}\n",
                    arguments.fdatasync_bytes, results[0].per_second, results[0].p50_ms,
                    results[0].p99_ms);
        status = 0;
        goto cleanup;
    }
    if (!raw_open(&raw, &arguments) || !raw_preload(&raw, arguments.accounts))
        goto cleanup;
    printf("synced batches, %d bytes of rows per earn, %" PRIu64 " accounts\n\n", EARN_BYTES,
           arguments.accounts);
    printf("  earns in a batch      earns/s   batch p50   batch p99\n");
    for (unsigned i = 0; i < arguments.size_count; i++) {
        if (!measure_batches(&raw, arguments.sizes[i], &arguments, samples, &results[i]))
            goto cleanup;
        printf("  %16u %12.0f %8.3f ms %8.3f ms\n", arguments.sizes[i], results[i].per_second,
               results[i].p50_ms, results[i].p99_ms);
        fflush(stdout);
        if (results[i].per_second > results[best].per_second)
            best = i;
    }
    if (json != NULL) {
        fprintf(json, "{\"best_batch\":%u,\"best_per_s\":%.1f,\"row_bytes\":%d",
                arguments.sizes[best], results[best].per_second, EARN_BYTES);
        for (unsigned i = 0; i < arguments.size_count; i++)
            fprintf(json,
                    ",\"batch_%u_per_s\":%.1f,\"batch_%u_p50_ms\":%.4f,\"batch_%u_p99_ms\":%.4f",
                    arguments.sizes[i], results[i].per_second, arguments.sizes[i],
                    results[i].p50_ms, arguments.sizes[i], results[i].p99_ms);
        fprintf(json, "}\n");
    }
    status = 0;

cleanup:
    raw_close(&raw);
    if (json != NULL && fclose(json) != 0)
        status = 1;
    if (taken)
        directory_remove(arguments.dir);
    free(samples);
    return status;
}

static bool arguments_parse(arguments_t *self, int argc, char **argv)
{
    static const unsigned sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

    *self = (arguments_t){.dir = "fealty-bench-rocksdb.data", .seconds = 2.0, .accounts = 50000};
    memcpy(self->sizes, sizes, sizeof(sizes));
    self->size_count = COUNT_OF(sizes);
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (value == NULL)
            goto usage;
        if (strcmp(argv[i], "--dir") == 0) {
            self->dir = value;
        } else if (strcmp(argv[i], "--json") == 0) {
            self->json = value;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            self->seconds = strtod(value, &end);
            if (*end != '\0' || !(self->seconds >= 0.05 && self->seconds <= 3600.0))
                goto usage;
        } else if (strcmp(argv[i], "--accounts") == 0) {
            self->accounts = strtoull(value, &end, 10);
            if (*end != '\0' || self->accounts == 0 || self->accounts > 1000000000)
                goto usage;
        } else if (strcmp(argv[i], "--fdatasync") == 0) {
            self->fdatasync_bytes = strtoull(value, &end, 10);
            if (*end != '\0' || self->fdatasync_bytes == 0 || self->fdatasync_bytes > POOL_BYTES)
                goto usage;
        } else if (strcmp(argv[i], "--sizes") == 0) {
            self->size_count = 0;
            for (end = (char *)(uintptr_t)value; *end != '\0' && self->size_count < SIZES_MAX;) {
                unsigned long size = strtoul(end, &end, 10);
                if (size == 0 || size > BATCH_MAX || (*end != ',' && *end != '\0'))
                    goto usage;
                self->sizes[self->size_count++] = (unsigned)size;
                end += *end == ',';
            }
            if (*end != '\0' || self->size_count == 0)
                goto usage;
        } else {
            goto usage;
        }
    }
    return true;

usage:
    fprintf(stderr, "usage: fealty-bench-rocksdb [--dir DIRECTORY] [--seconds S] [--accounts N] "
                    "[--sizes 1,8,64] "
                    "[--json FILE]\n       fealty-bench-rocksdb --fdatasync BYTES [--dir "
                    "DIRECTORY] [--seconds S] "
                    "[--json FILE]\n");
    return false;
}

/* The settings of storage/ as far as they touch writing. */
static bool raw_open(raw_t *self, const arguments_t *arguments)
{
    static const char *const names[COLUMN__COUNT] = {"default", "state", "entry", "key", "log"};
    char *message = NULL;

    self->random.state = 1;
    self->pool = malloc(POOL_BYTES);
    self->log_value = malloc((size_t)BATCH_MAX * EARN_BYTES);
    if (self->pool == NULL || self->log_value == NULL)
        return failed(NULL, "no memory for the values");
    for (size_t i = 0; i < POOL_BYTES; i += 8) {
        uint64_t word = random_next(&self->random) & UINT64_C(0x00FF00FF00FF00FF);
        memcpy(self->pool + i, &word, 8);
    }
    self->cache = rocksdb_cache_create_lru((size_t)256 << 20);
    for (unsigned i = 0; i < COLUMN__COUNT; i++) {
        rocksdb_options_t *options = rocksdb_options_create();
        rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

        self->options[i] = options;
        rocksdb_options_set_create_if_missing(options, 1);
        rocksdb_options_set_create_missing_column_families(options, 1);
        rocksdb_options_set_error_if_exists(options, 1);
        rocksdb_options_set_write_buffer_size(options, (size_t)32 << 20);
        rocksdb_options_set_db_write_buffer_size(options, (size_t)64 << 20);
        rocksdb_options_set_max_total_wal_size(options, (uint64_t)128 << 20);
        rocksdb_options_set_max_background_jobs(options, 2);
        rocksdb_options_set_bytes_per_sync(options, (uint64_t)1 << 20);
        rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
        rocksdb_options_set_enable_pipelined_write(options, 0);
        rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
        rocksdb_options_set_compression(options, rocksdb_lz4_compression);
        rocksdb_options_set_stats_dump_period_sec(options, 0);
        rocksdb_options_set_info_log_level(options, 2);
        rocksdb_block_based_options_set_filter_policy(table,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
        rocksdb_block_based_options_set_block_cache(table, self->cache);
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
        rocksdb_block_based_options_set_format_version(table, 5);
        rocksdb_options_set_block_based_table_factory(options, table);
        rocksdb_block_based_options_destroy(table);
    }
    self->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(self->synced, 1);
    self->unsynced = rocksdb_writeoptions_create();
    self->db = rocksdb_open_column_families(self->options[0], arguments->dir, COLUMN__COUNT, names,
                                            (const rocksdb_options_t *const *)self->options,
                                            self->columns, &message);
    if (message != NULL) {
        self->db = NULL;
        return failed(message, "cannot open the database");
    }
    return true;
}

static void raw_close(raw_t *self)
{
    if (self->db != NULL) {
        rocksdb_cancel_all_background_work(self->db, 1);
        for (unsigned i = 0; i < COLUMN__COUNT; i++)
            rocksdb_column_family_handle_destroy(self->columns[i]);
        rocksdb_close(self->db);
    }
    for (unsigned i = 0; i < COLUMN__COUNT; i++)
        if (self->options[i] != NULL)
            rocksdb_options_destroy(self->options[i]);
    if (self->synced != NULL)
        rocksdb_writeoptions_destroy(self->synced);
    if (self->unsynced != NULL)
        rocksdb_writeoptions_destroy(self->unsynced);
    if (self->cache != NULL)
        rocksdb_cache_destroy(self->cache);
    free(self->pool);
    free(self->log_value);
}

/* Partition, then what the row is, then the customer: numbers big endian, as keys sort. */
static void put_number(char *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        out[i - 1] = (char)(value & 0xFF);
        value >>= 8;
    }
}

static unsigned put_account_key(char *out, uint64_t customer)
{
    uint64_t high = random_mix(2 * customer + 1);
    unsigned partition = (unsigned)(random_mix(high) % PARTITIONS);

    put_number(out, partition, 2);
    out[2] = 'A';
    put_number(out + 3, high, 8);
    put_number(out + 11, random_mix(2 * customer + 2), 8);
    put_number(out + 19, 1, 4);
    return partition;
}

static const char *value_from_pool(raw_t *self, size_t bytes)
{
    return self->pool + random_below(&self->random, POOL_BYTES - bytes);
}

static bool raw_preload(raw_t *self, uint64_t accounts)
{
    char *message = NULL;

    for (uint64_t next = 0; next < accounts && message == NULL;) {
        rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
        for (unsigned i = 0; i < 1000 && next < accounts; i++, next++) {
            char key[ACCOUNT_KEY_BYTES];
            put_account_key(key, next);
            rocksdb_writebatch_put_cf(batch, self->columns[COLUMN_STATE], key, sizeof(key),
                                      value_from_pool(self, ACCOUNT_VALUE_BYTES),
                                      ACCOUNT_VALUE_BYTES);
        }
        rocksdb_write(self->db, self->unsynced, batch, &message);
        rocksdb_writebatch_destroy(batch);
    }
    return message == NULL || failed(message, "cannot write the accounts");
}

static void add_earn(raw_t *self, rocksdb_writebatch_t *batch, uint64_t accounts)
{
    char account[ACCOUNT_KEY_BYTES];
    char entry[ENTRY_KEY_BYTES];
    char key[KEY_KEY_BYTES];
    unsigned partition = put_account_key(account, random_below(&self->random, accounts));

    put_number(entry, partition, 2);
    put_number(entry + 2, ++self->sequences[partition], 8);
    put_number(key, partition, 2);
    key[2] = 'K';
    memcpy(key + 3, account + 3, 16);
    key[19] = 1;
    put_number(key + 20, random_next(&self->random), 8);
    put_number(key + 28, random_next(&self->random), 8);
    rocksdb_writebatch_put_cf(batch, self->columns[COLUMN_STATE], account, sizeof(account),
                              value_from_pool(self, ACCOUNT_VALUE_BYTES), ACCOUNT_VALUE_BYTES);
    rocksdb_writebatch_put_cf(batch, self->columns[COLUMN_ENTRY], entry, sizeof(entry),
                              value_from_pool(self, ENTRY_VALUE_BYTES), ENTRY_VALUE_BYTES);
    rocksdb_writebatch_put_cf(batch, self->columns[COLUMN_KEY], key, sizeof(key),
                              value_from_pool(self, KEY_VALUE_BYTES), KEY_VALUE_BYTES);
}

static bool measure_batches(raw_t *self, unsigned size, const arguments_t *arguments,
                            float *samples, figures_t *out)
{
    int64_t began = elapsed_ns();
    int64_t end = began + (int64_t)(arguments->seconds * 1e9);
    int64_t now = began;
    uint64_t batches = 0;
    char *message = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();

    while (now < end && message == NULL) {
        char log_key[10];
        size_t log_bytes = 0;

        rocksdb_writebatch_clear(batch);
        for (unsigned i = 0; i < size; i++) {
            add_earn(self, batch, arguments->accounts);
            memcpy(self->log_value + log_bytes, value_from_pool(self, EARN_BYTES), EARN_BYTES);
            log_bytes += EARN_BYTES;
        }
        put_number(log_key, 0, 2);
        put_number(log_key + 2, ++self->log_sequence, 8);
        rocksdb_writebatch_put_cf(batch, self->columns[COLUMN_LOG], log_key, sizeof(log_key),
                                  self->log_value, log_bytes);
        rocksdb_write(self->db, self->synced, batch, &message);
        int64_t done = elapsed_ns();
        samples[batches % SAMPLES_MAX] = (float)(done - now); /* building the batch is part of it */
        batches++;
        now = done;
    }
    rocksdb_writebatch_destroy(batch);
    if (message != NULL)
        return failed(message, "cannot write");
    *out = figures(samples, batches < SAMPLES_MAX ? (size_t)batches : SAMPLES_MAX, batches * size,
                   (double)(now - began) / 1e9);
    return true;
}

static bool measure_fdatasync(const arguments_t *arguments, float *samples, figures_t *out)
{
    char path[4096];
    char *bytes = calloc(1, arguments->fdatasync_bytes);
    random_t random = {1};
    uint64_t count = 0;
    bool good = bytes != NULL;

    snprintf(path, sizeof(path), "%s/fdatasync.bin", arguments->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || !good) {
        fprintf(stderr, "fealty-bench-rocksdb: cannot write %s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        free(bytes);
        return false;
    }
    for (uint64_t i = 0; i < arguments->fdatasync_bytes; i++)
        bytes[i] = (char)random_next(&random);
    int64_t began = elapsed_ns();
    int64_t end = began + (int64_t)(arguments->seconds * 1e9);
    int64_t now = began;
    while (now < end && good) {
        good =
            write(fd, bytes, arguments->fdatasync_bytes) == (ssize_t)arguments->fdatasync_bytes &&
            fdatasync(fd) == 0;
        int64_t done = elapsed_ns();
        samples[count++ % SAMPLES_MAX] = (float)(done - now);
        now = done;
    }
    if (!good)
        fprintf(stderr, "fealty-bench-rocksdb: writing %s failed: %s\n", path, strerror(errno));
    else
        *out = figures(samples, count < SAMPLES_MAX ? (size_t)count : SAMPLES_MAX, count,
                       (double)(now - began) / 1e9);
    close(fd);
    unlink(path);
    free(bytes);
    return good;
}

static int compare_floats(const void *left, const void *right)
{
    float a = *(const float *)left;
    float b = *(const float *)right;

    return (a > b) - (a < b);
}

static figures_t figures(float *samples, size_t count, uint64_t done, double seconds)
{
    figures_t self = {.per_second = (double)done / seconds};

    qsort(samples, count, sizeof(*samples), compare_floats);
    self.p50_ms = (double)samples[(count - 1) / 2] / 1e6;
    self.p99_ms = (double)samples[(count - 1) * 99 / 100] / 1e6;
    return self;
}

static bool failed(char *message, const char *what)
{
    fprintf(stderr, "fealty-bench-rocksdb: %s%s%s\n", what, message != NULL ? ": " : "",
            message != NULL ? message : "");
    if (message != NULL)
        rocksdb_free(message);
    return false;
}

/* Made here, or empty: so that everything found in it at the end is ours to remove. */
static bool directory_take(const char *path)
{
    DIR *dir = NULL;
    struct dirent *entry;
    bool empty = true;

    if (mkdir(path, 0700) != 0 && (errno != EEXIST || (dir = opendir(path)) == NULL)) {
        fprintf(stderr, "fealty-bench-rocksdb: cannot make %s: %s\n", path, strerror(errno));
        return false;
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = false;
    if (dir != NULL)
        closedir(dir);
    if (!empty)
        fprintf(stderr, "fealty-bench-rocksdb: %s is not empty\n", path);
    return empty;
}

/* One level deep, which is all that RocksDB makes. */
static void directory_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(path);
}
