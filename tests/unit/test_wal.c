/* test_wal.c - damage of the write-ahead log: a torn tail is cut off, anything else refuses the start */
#include "storage/wal.h"

#include "storage/store.h"
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <string.h>

#define ROWS 400 /* about 60 KiB of log: two blocks */

static store_config_t config_of(const char *directory)
{
    store_config_t config;

    store_config_default(&config);
    config.directory = directory;
    config.cache_bytes = (size_t)8 << 20;
    config.memtable_bytes = (size_t)64 << 20;
    config.create = true;
    return config;
}

static bool put_row(store_t *store, family_t family, int i, size_t value_bytes)
{
    static uint8_t value[300000];
    buffer_t batch;
    char key[16];
    errcode_t rc;

    (void)snprintf(key, sizeof key, "k%04d", i);
    memset(value, i, value_bytes);
    buffer_init(&batch, 1 << 20);
    batch_put(&batch, family, key, strlen(key), value, value_bytes);
    batch_part_t part = {batch.bytes, batch.size};
    rc = store_write(store, &part, 1, true, NULL);
    buffer_free(&batch);
    return rc == ERR_NONE;
}

static int write_rows(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store;

    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 1;
    for (int i = 0; i < ROWS; i++)
        if (!put_row(store, FAMILY_STATE, i, 100))
            return 1;
    return 0;
}

/* The last write spans several blocks. */
static int write_rows_and_a_large_one(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store;

    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 1;
    for (int i = 0; i < ROWS; i++)
        if (!put_row(store, FAMILY_STATE, i, i == ROWS - 1 ? 200000 : 100))
            return 1;
    return 0;
}

/* A flush of one family starts a second log file while the first is still needed. */
static int write_two_files(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store;

    config.memtable_bytes = (size_t)8 << 20; /* META's share is reached by 4 MiB */
    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 1;
    for (int i = 0; i < ROWS / 2; i++)
        if (!put_row(store, FAMILY_STATE, i, 100))
            return 1;
    for (int i = 0; i < 20; i++)
        if (!put_row(store, FAMILY_META, i, 250000))
            return 1;
    for (int i = ROWS / 2; i < ROWS; i++)
        if (!put_row(store, FAMILY_STATE, i, 100))
            return 1;
    return 0;
}

static void database_path(char out[1024], const scratch_t *scratch)
{
    scratch_join(out, scratch->path, "db");
}

static wal_report_t checked(const scratch_t *scratch)
{
    wal_report_t report;
    char path[1024];
    err_t err;

    database_path(path, scratch);
    cr_assert_eq(wal_check(path, &report, &err), ERR_NONE, "%s", err.text);
    return report;
}

/* Path of the first log file, in order; the number of files that have content. */
static int log_files(const scratch_t *scratch, char first[1024])
{
    char path[1024];
    char name[256] = "";
    DIR *listing;
    const struct dirent *entry;
    int count = 0;

    database_path(path, scratch);
    listing = opendir(path);
    cr_assert(listing != NULL);
    while ((entry = readdir(listing)) != NULL) {
        size_t n = strlen(entry->d_name);

        if (n < 5 || strcmp(entry->d_name + n - 4, ".log") != 0)
            continue;
        count++;
        if (name[0] == '\0' || strcmp(entry->d_name, name) < 0)
            (void)snprintf(name, sizeof name, "%s", entry->d_name);
    }
    cr_assert_eq(closedir(listing), 0);
    cr_assert_gt(count, 0);
    cr_assert_lt(snprintf(first, 1024, "%s/%s", path, name), 1024);
    return count;
}

static off_t size_of(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0);
    return status.st_size;
}

static void overwrite(const char *path, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);

    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
    cr_assert_eq(close(fd), 0);
}

/* Where the n-th record starts; records are single pieces in the first block. */
static off_t record_start(const char *path, int n)
{
    uint8_t header[7];
    off_t at = 0;
    int fd = open(path, O_RDONLY);

    cr_assert_geq(fd, 0);
    for (int i = 0; i < n; i++) {
        cr_assert_eq(pread(fd, header, sizeof header, at), (ssize_t)sizeof header);
        at += 7 + header[4] + 256 * header[5];
    }
    cr_assert_eq(close(fd), 0);
    return at;
}

static int rows_left(store_t *store)
{
    int count = 0;

    for (int i = 0; i < ROWS; i++) {
        buffer_t value;
        char key[16];
        bool found;

        (void)snprintf(key, sizeof key, "k%04d", i);
        buffer_init(&value, 1 << 20);
        cr_assert_eq(store_get(store, NULL, FAMILY_STATE, key, strlen(key), &value, &found, NULL),
                     ERR_NONE);
        count += found;
        buffer_free(&value);
    }
    return count;
}

static void expect_open(const scratch_t *scratch, int rows)
{
    store_config_t config = config_of(scratch->path);
    store_t *store;
    err_t err;

    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(rows_left(store), rows);
    store_destroy(&store);
}

static void expect_refusal(const scratch_t *scratch)
{
    store_config_t config = config_of(scratch->path);
    store_t *store;
    err_t err;

    cr_assert(checked(scratch).damaged);
    for (int again = 0; again < 2; again++) { /* refusing changes nothing */
        cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
        cr_assert(strstr(err.text, "damaged") != NULL, "%s", err.text);
        cr_assert(strstr(err.text, "fealty restore") != NULL, "%s", err.text);
        cr_assert(strstr(err.text, "--accept-loss") != NULL, "%s", err.text);
    }
}

static void expect_open_with_loss(const scratch_t *scratch, int least, int most)
{
    store_config_t config = config_of(scratch->path);
    store_t *store;
    err_t err;
    int rows;

    config.accept_loss = true;
    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    rows = rows_left(store);
    cr_assert(rows >= least && rows <= most, "%d rows", rows);
    store_destroy(&store);
    expect_open(scratch, rows); /* and from then on without being asked */
}

Test(wal, a_whole_log_is_read_to_its_end, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    wal_report_t report;

    cr_assert_eq(scratch_child(write_rows, scratch.path), 0);
    report = checked(&scratch);
    cr_assert_not(report.damaged);
    cr_assert_not(report.torn);
    cr_assert_eq(report.records, ROWS);
    expect_open(&scratch, ROWS);
    cr_assert_not(checked(&scratch).damaged);
    scratch_remove(&scratch);
}

Test(wal, several_files_are_one_sequence, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char first[1024];
    wal_report_t report;

    cr_assert_eq(scratch_child(write_two_files, scratch.path), 0);
    cr_assert_geq(log_files(&scratch, first), 2);
    report = checked(&scratch);
    cr_assert_not(report.damaged);
    cr_assert_not(report.torn);
    cr_assert_eq(report.records, ROWS + 20);
    expect_open(&scratch, ROWS);
    scratch_remove(&scratch);
}

Test(wal, a_tail_torn_at_any_byte_of_the_last_record_loses_only_that, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];
    wal_report_t report;
    off_t whole;

    cr_assert_eq(scratch_child(write_rows, scratch.path), 0);
    (void)log_files(&scratch, path);
    whole = size_of(path);
    for (off_t cut = 1; cut < 100; cut += 7) {
        cr_assert_eq(truncate(path, whole - cut), 0);
        report = checked(&scratch);
        cr_assert(report.torn && !report.damaged, "cut by %d", (int)cut);
        cr_assert_eq(report.records, ROWS - 1);
        cr_assert_eq(report.offset + report.bytes, (uint64_t)(whole - cut));
    }
    expect_open(&scratch, ROWS - 1);
    scratch_remove(&scratch);
}

Test(wal, zeroes_behind_the_end_are_no_damage, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_rows, scratch.path), 0);
    (void)log_files(&scratch, path);
    cr_assert_eq(truncate(path, size_of(path) + 100000), 0);
    cr_assert(checked(&scratch).torn);
    expect_open(&scratch, ROWS);
    scratch_remove(&scratch);
}

/* Pages of one unfinished write reach the disk in any order; RocksDB alone would refuse such a log. */
Test(wal, an_unfinished_write_with_a_hole_in_it_is_cut_off, .timeout = 60)
{
    static const uint8_t zero[8192];
    scratch_t scratch = scratch_new();
    char path[1024];
    wal_report_t report;

    cr_assert_eq(scratch_child(write_rows_and_a_large_one, scratch.path), 0);
    (void)log_files(&scratch, path);
    overwrite(path, size_of(path) - 100000, zero, sizeof zero);
    report = checked(&scratch);
    cr_assert(report.torn);
    cr_assert_not(report.damaged);
    expect_open(&scratch, ROWS - 1);
    scratch_remove(&scratch);
}

Test(wal, a_flipped_bit_in_the_middle_refuses_the_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_rows, scratch.path), 0);
    (void)log_files(&scratch, path);
    overwrite(path, record_start(path, 100) + 30, "\xff\x01", 2);
    expect_refusal(&scratch);
    expect_open_with_loss(&scratch, 100, 100);
    scratch_remove(&scratch);
}

Test(wal, a_damaged_length_near_the_end_refuses_the_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_rows, scratch.path), 0);
    (void)log_files(&scratch, path);
    /* The length reaches past the block; RocksDB notices this one. */
    overwrite(path, record_start(path, 10) + 4, "\xff\x7f", 2);
    expect_refusal(&scratch);
    expect_open_with_loss(&scratch, 10, 10);
    scratch_remove(&scratch);
}

static int write_few_rows(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store;

    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 1;
    for (int i = 0; i < 100; i++)
        if (!put_row(store, FAMILY_STATE, i, 100))
            return 1;
    return 0;
}

Test(wal, a_damaged_length_in_the_last_block_refuses_the_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_few_rows, scratch.path), 0);
    (void)log_files(&scratch, path);
    overwrite(path, record_start(path, 50) + 4, "\xff\x7f", 2);
    expect_refusal(&scratch);
    expect_open_with_loss(&scratch, 50, 50);
    scratch_remove(&scratch);
}

Test(wal, zeroes_in_the_middle_refuse_the_start, .timeout = 60)
{
    static const uint8_t zero[1000];
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_few_rows, scratch.path), 0);
    (void)log_files(&scratch, path);
    overwrite(path, record_start(path, 50), zero, sizeof zero);
    expect_refusal(&scratch);
    expect_open_with_loss(&scratch, 50, 50);
    scratch_remove(&scratch);
}

Test(wal, a_shortened_earlier_file_refuses_the_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_two_files, scratch.path), 0);
    cr_assert_geq(log_files(&scratch, path), 2);
    cr_assert_eq(truncate(path, size_of(path) - 3), 0);
    expect_refusal(&scratch);
    scratch_remove(&scratch);
}

Test(wal, an_earlier_file_cut_between_two_records_refuses_the_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_two_files, scratch.path), 0);
    cr_assert_geq(log_files(&scratch, path), 2);
    cr_assert_eq(truncate(path, record_start(path, 50)), 0);
    expect_refusal(&scratch);
    scratch_remove(&scratch);
}

/* A family whose files are newer than the damage makes RocksDB's point-in-time mode give up; accepting the loss must
 * work all the same. */
Test(wal, loss_can_be_accepted_when_files_are_newer_than_the_damage, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];

    cr_assert_eq(scratch_child(write_two_files, scratch.path), 0);
    cr_assert_geq(log_files(&scratch, path), 2);
    overwrite(path, record_start(path, 50) + 30, "\xff\x01", 2);
    expect_refusal(&scratch);
    expect_open_with_loss(&scratch, 50, ROWS - 1);
    scratch_remove(&scratch);
}
