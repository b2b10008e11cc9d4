/* test_rocksdb_assumptions.c - facts about RocksDB that storage/ relies on, tried on the installed library
 *
 * A plain program: prints one line per fact and ends with 1 when one does not hold. Where RocksDB is weaker than a
 * ledger needs, the test pins the weakness: it is the reason why storage/wal.c exists.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <rocksdb/c.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARED_BYTES 1024

enum { MODE_TORN_TAIL = 0, MODE_POINT_IN_TIME = 2 };

static char directory[512];
static int failures;

static void expect(bool holds, const char *fact)
{
    printf("%s  %s\n", holds ? "ok  " : "FAIL", fact);
    failures += !holds;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void fresh(void)
{
    (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(directory, 0700) != 0) {
        perror(directory);
        exit(2);
    }
}

static rocksdb_t *open_database(const char *path, int mode, rocksdb_options_t **options,
                                char **message)
{
    *message = NULL;
    *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(*options, 1);
    rocksdb_options_set_wal_recovery_mode(*options, mode);
    rocksdb_options_set_recycle_log_file_num(*options, 0);
    return rocksdb_open(*options, path, message);
}

/* Each use of RocksDB gets a process of its own, which ends as a killed one would: a child that is forked after the
 * library started its threads would wait for ever for theirs. Returns what the function returned. */
static int in_child(int (*run)(const void *state), const void *state)
{
    int ends[2];
    int result;
    int status;
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0)
        exit(2);
    if (child == 0) {
        result = run(state);
        _exit(write(ends[1], &result, sizeof result) != (ssize_t)sizeof result);
    }
    (void)close(ends[1]);
    if (read(ends[0], &result, sizeof result) != (ssize_t)sizeof result ||
        waitpid(child, &status, 0) != child || status != 0) {
        printf("FAIL  a child ended badly\n");
        exit(2);
    }
    (void)close(ends[0]);
    return result;
}

/* Rows k0000.. in synced writes of their own. */
static int write_rows(const void *state)
{
    const int count = *(const int *)state;
    char value[100];
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *synced = rocksdb_writeoptions_create();
    char *message;
    rocksdb_t *db = open_database(directory, MODE_TORN_TAIL, &options, &message);

    memset(value, 'v', sizeof value);
    rocksdb_writeoptions_set_sync(synced, 1);
    for (int i = 0; i < count && message == NULL; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k%04d", i);
        rocksdb_put(db, synced, key, strlen(key), value, sizeof value, &message);
    }
    return message != NULL;
}

static void write_and_die(int count)
{
    if (in_child(write_rows, &count) != 0)
        exit(2);
}

static bool log_file(char *path, size_t n)
{
    DIR *listing = opendir(directory);
    const struct dirent *entry;
    bool found = false;

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        size_t length = strlen(entry->d_name);

        if (length > 4 && strcmp(entry->d_name + length - 4, ".log") == 0) {
            (void)snprintf(path, n, "%s/%s", directory, entry->d_name);
            found = true;
        }
    }
    if (listing != NULL)
        (void)closedir(listing);
    return found;
}

static off_t log_size(void)
{
    char path[1024];
    struct stat status = {0};

    return log_file(path, sizeof path) && stat(path, &status) == 0 ? status.st_size : 0;
}

static void cut_log(off_t bytes)
{
    char path[1024];

    if (!log_file(path, sizeof path) || truncate(path, log_size() - bytes) != 0)
        exit(2);
}

static void damage_log(off_t at, const void *bytes, size_t n)
{
    char path[1024];
    int fd;

    if (!log_file(path, sizeof path) || (fd = open(path, O_WRONLY)) < 0 ||
        pwrite(fd, bytes, n, at) != (ssize_t)n)
        exit(2);
    (void)close(fd);
}

typedef struct {
    const char *path;
    int mode;
    int count;
} survey_t;

static int count_rows(const void *state)
{
    const survey_t *survey = state;
    rocksdb_options_t *options;
    char *message;
    rocksdb_t *db = open_database(survey->path, survey->mode, &options, &message);
    rocksdb_readoptions_t *read_options = rocksdb_readoptions_create();
    int found = 0;

    if (message != NULL)
        return -1;
    for (int i = 0; i < survey->count && message == NULL; i++) {
        char key[16];
        size_t n;
        char *value;

        (void)snprintf(key, sizeof key, "k%04d", i);
        value = rocksdb_get(db, read_options, key, strlen(key), &n, &message);
        found += value != NULL;
        rocksdb_free(value);
    }
    return message == NULL ? found : -1;
}

/* How many of the rows k0000.. are there, -1 when the database does not open. */
static int surviving(const char *path, int mode, int count)
{
    survey_t survey = {path, mode, count};

    return in_child(count_rows, &survey);
}

static void synced_writes(void)
{
    fresh();
    write_and_die(200);
    expect(surviving(directory, MODE_TORN_TAIL, 200) == 200,
           "synced writes survive a process that ends at once");
}

static void torn_tail(void)
{
    fresh();
    write_and_die(200);
    cut_log(3);
    expect(surviving(directory, MODE_TORN_TAIL, 200) == 199,
           "mode 0 drops a torn last record and nothing else");
}

static void damage_in_the_middle(void)
{
    fresh();
    write_and_die(200);
    damage_log(log_size() / 2, "\xff\x00\xff", 3);
    expect(surviving(directory, MODE_TORN_TAIL, 200) == -1,
           "mode 0 refuses a flipped byte in the middle");
}

static void damage_and_point_in_time(void)
{
    int found;

    fresh();
    write_and_die(200);
    damage_log(log_size() / 2, "\xff\x00\xff", 3);
    found = surviving(directory, MODE_POINT_IN_TIME, 200);
    expect(found > 50 && found < 150,
           "mode 2 opens after damage and silently drops what stands behind it");
}

/* Where the n-th record of the log starts; each is one fragment here. */
static off_t record_start(int n)
{
    char path[1024];
    uint8_t header[7];
    off_t at = 0;
    int fd;

    if (!log_file(path, sizeof path) || (fd = open(path, O_RDONLY)) < 0)
        exit(2);
    for (int i = 0; i < n; i++) {
        if (pread(fd, header, sizeof header, at) != (ssize_t)sizeof header)
            exit(2);
        at += 7 + header[4] + 256 * header[5];
    }
    (void)close(fd);
    return at;
}

static void zeroes(void)
{
    static const char zero[1000];

    fresh();
    write_and_die(200);
    damage_log(record_start(100), zero, sizeof zero);
    expect(surviving(directory, MODE_TORN_TAIL, 200) == 100,
           "weakness: mode 0 silently skips zeroes and what follows them in a block");
}

static void damaged_length(void)
{
    static const uint8_t length[2] = {0xff, 0x7f};

    fresh();
    write_and_die(200);
    damage_log(record_start(100) + 4, length, sizeof length);
    expect(surviving(directory, MODE_TORN_TAIL, 200) == 100,
           "weakness: mode 0 takes a damaged length near the end for a torn tail");
}

/* Two column families, so that the flush of one leaves a log file behind that the other still needs. */
static rocksdb_t *open_two(rocksdb_column_family_handle_t **columns, char **message)
{
    static const char *const names[] = {"default", "b"};
    rocksdb_options_t *options = rocksdb_options_create();
    const rocksdb_options_t *each[] = {options, options};
    rocksdb_t *db;

    *message = NULL;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_wal_recovery_mode(options, MODE_TORN_TAIL);
    db = rocksdb_open_column_families(options, directory, 2, names, each, columns, message);
    rocksdb_options_destroy(options);
    return db;
}

static bool put_row(rocksdb_t *db, rocksdb_column_family_handle_t *column, int i)
{
    rocksdb_writeoptions_t *synced = rocksdb_writeoptions_create();
    char *message = NULL;
    char key[16];

    rocksdb_writeoptions_set_sync(synced, 1);
    (void)snprintf(key, sizeof key, "k%04d", i);
    rocksdb_put_cf(db, synced, column, key, strlen(key), "value", 5, &message);
    rocksdb_writeoptions_destroy(synced);
    return message == NULL;
}

static int write_two_files(const void *state)
{
    rocksdb_column_family_handle_t *columns[2];
    rocksdb_flushoptions_t *wait = rocksdb_flushoptions_create();
    char *first = (char *)(uintptr_t)state; /* shared memory */
    char *message;
    rocksdb_t *db = open_two(columns, &message);

    if (message != NULL || !put_row(db, columns[0], 9999) || !log_file(first, SHARED_BYTES))
        return 1;
    for (int i = 0; i < 100; i++)
        if (!put_row(db, columns[1], i))
            return 1;
    rocksdb_flush_cf(db, wait, columns[0], &message);
    for (int i = 100; i < 200; i++)
        if (message != NULL || !put_row(db, columns[1], i))
            return 1;
    return 0;
}

static int count_two(const void *state)
{
    rocksdb_column_family_handle_t *columns[2];
    rocksdb_readoptions_t *read_options = rocksdb_readoptions_create();
    char *message;
    rocksdb_t *db = open_two(columns, &message);
    int found = 0;

    (void)state;
    for (int i = 0; i < 200 && message == NULL; i++) {
        char key[16];
        size_t n;
        char *value;

        (void)snprintf(key, sizeof key, "k%04d", i);
        value = rocksdb_get_cf(db, read_options, columns[1], key, strlen(key), &n, &message);
        found += value != NULL;
        rocksdb_free(value);
    }
    return message == NULL ? found : -1;
}

static void shortened_earlier_file(void)
{
    char *first =
        mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct stat status;

    fresh();
    if (first == MAP_FAILED || in_child(write_two_files, first) != 0)
        exit(2);
    if (stat(first, &status) != 0 || truncate(first, status.st_size - 3) != 0)
        exit(2);
    expect(in_child(count_two, NULL) == 199,
           "weakness: mode 0 takes a shortened file for a torn tail although a later file follows");
    (void)munmap(first, SHARED_BYTES);
}

static int make_checkpoint(const void *state)
{
    rocksdb_options_t *options;
    char *message;
    rocksdb_t *db = open_database(directory, MODE_TORN_TAIL, &options, &message);
    rocksdb_checkpoint_t *maker =
        message == NULL ? rocksdb_checkpoint_object_create(db, &message) : NULL;

    if (maker != NULL)
        rocksdb_checkpoint_create(maker, state, 0, &message);
    return message != NULL;
}

static void checkpoint(void)
{
    char copy[600];

    fresh();
    write_and_die(200);
    (void)snprintf(copy, sizeof copy, "%s/copy", directory);
    expect(in_child(make_checkpoint, copy) == 0 && surviving(copy, MODE_TORN_TAIL, 200) == 200,
           "a checkpoint of an open database opens as a database of its own");
}

int main(void)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(directory, sizeof directory, "%s/fealty-assume-XXXXXX",
                   base != NULL ? base : P_tmpdir);
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 2;
    }
    synced_writes();
    torn_tail();
    damage_in_the_middle();
    damage_and_point_in_time();
    zeroes();
    damaged_length();
    shortened_earlier_file();
    checkpoint();
    (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failures > 0;
}
