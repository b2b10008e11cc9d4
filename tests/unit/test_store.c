/* test_store.c - the store on disk: reopening, refusals, cursors, snapshots, atomic parts; and its twin in memory */
#include "storage/store.h"

#include "tests/unit/scratch.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static store_config_t config_of(const char *directory)
{
    store_config_t config;

    store_config_default(&config);
    config.directory = directory;
    config.cache_bytes = (size_t)8 << 20;
    config.memtable_bytes = (size_t)8 << 20;
    config.create = true;
    return config;
}

static store_t *opened(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store = NULL;
    err_t err;

    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    return store;
}

/* Asserts nothing: a forked child must not, it would run on as a second test. */
static errcode_t try_put(store_t *store, family_t family, const char *key, const char *value,
                         bool sync)
{
    buffer_t batch;
    errcode_t rc;

    buffer_init(&batch, 1 << 20);
    batch_put(&batch, family, key, strlen(key), value, strlen(value));
    batch_part_t part = {batch.bytes, batch.size};
    rc = store_write(store, &part, 1, sync, NULL);
    buffer_free(&batch);
    return rc;
}

static void put(store_t *store, family_t family, const char *key, const char *value, bool sync)
{
    cr_assert_eq(try_put(store, family, key, value, sync), ERR_NONE);
}

static void erase(store_t *store, family_t family, const char *key)
{
    buffer_t batch;

    buffer_init(&batch, 1 << 20);
    batch_delete(&batch, family, key, strlen(key));
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
}

static void expect_row(store_t *store, const store_snapshot_t *snapshot, family_t family,
                       const char *key, const char *value)
{
    buffer_t found_value;
    bool found;

    buffer_init(&found_value, 1 << 20);
    cr_assert_eq(store_get(store, snapshot, family, key, strlen(key), &found_value, &found, NULL),
                 ERR_NONE);
    cr_assert_eq(found, value != NULL, "%s", key);
    if (value != NULL) {
        cr_assert_eq(found_value.size, strlen(value));
        cr_assert_eq(memcmp(found_value.bytes, value, found_value.size), 0);
    }
    buffer_free(&found_value);
}

static void expect_at(const store_cursor_t *cursor, const char *key)
{
    size_t n;
    const uint8_t *found;

    cr_assert_eq(store_cursor_error(cursor, NULL), ERR_NONE);
    cr_assert_eq(store_cursor_valid(cursor), key != NULL, "at %s", key == NULL ? "no row" : key);
    if (key == NULL)
        return;
    found = store_cursor_key(cursor, &n);
    cr_assert(n == strlen(key) && memcmp(found, key, n) == 0, "at %.*s, not %s", (int)n,
              (const char *)found, key);
}

static store_cursor_t *cursor_over(store_t *store, const char *lower, const char *upper)
{
    return store_cursor_new(store, NULL, FAMILY_ENTRY, lower, strlen(lower), upper, strlen(upper));
}

Test(store, rows_are_there_after_it_was_closed_and_opened_again, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);

    for (int family = 0; family < FAMILY__COUNT; family++) {
        char value[32];

        (void)snprintf(value, sizeof value, "value %d", family);
        put(store, (family_t)family, "key", value, false);
    }
    store_destroy(&store);
    cr_assert_null(store);
    store = opened(scratch.path);
    for (int family = 0; family < FAMILY__COUNT; family++) {
        char value[32];

        (void)snprintf(value, sizeof value, "value %d", family);
        expect_row(store, NULL, (family_t)family, "key", value);
        expect_row(store, NULL, (family_t)family, "another", NULL);
    }
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, a_value_is_appended_and_an_empty_one_is_found, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    buffer_t value;
    bool found;

    put(store, FAMILY_STATE, "a", "one", false);
    put(store, FAMILY_STATE, "b", "", false);
    buffer_init(&value, 100);
    buffer_text(&value, "before ");
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, "a", 1, &value, &found, NULL), ERR_NONE);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, "b", 1, &value, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert(value.size == 10 && memcmp(value.bytes, "before one", 10) == 0);
    buffer_free(&value);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, a_row_larger_than_the_readers_buffer_is_an_error_not_a_piece, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    buffer_t value;
    bool found;

    put(store, FAMILY_STATE, "a", "0123456789", false);
    buffer_init(&value, 9);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, "a", 1, &value, &found, NULL), ERR_TOO_LARGE);
    buffer_free(&value);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, a_second_open_is_refused_and_names_the_holder, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    store_config_t config = config_of(scratch.path);
    store_t *second = NULL;
    err_t err;
    char holder[32];

    (void)snprintf(holder, sizeof holder, "process %ld", (long)getpid());
    cr_assert_eq(store_open(&second, &config, &err), ERR_STATE);
    cr_assert_null(second);
    cr_assert(strstr(err.text, holder) != NULL, "%s", err.text);
    store_destroy(&store);
    store = opened(scratch.path);
    store_destroy(&store);
    scratch_remove(&scratch);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[1024];
    FILE *file;

    scratch_join(path, directory, name);
    file = fopen(path, "w");
    cr_assert(file != NULL);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

Test(store, a_newer_format_is_refused_with_a_sentence, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    store_config_t config = config_of(scratch.path);
    err_t err;

    store_destroy(&store);
    write_file(scratch.path, "FORMAT", "fealty store format 2\n");
    cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
    cr_assert(strstr(err.text, "format 2") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "newer program") != NULL, "%s", err.text);
    write_file(scratch.path, "FORMAT", "rubbish");
    cr_assert_eq(store_open(&store, &config, &err), ERR_CORRUPT);
    write_file(scratch.path, "FORMAT", "fealty store format 1\n");
    store = opened(scratch.path);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, an_empty_directory_is_no_ledger_unless_one_is_asked_for, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_config_t config = config_of(scratch.path);
    store_t *store;
    err_t err;

    config.create = false;
    cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
    cr_assert(strstr(err.text, "no ledger") != NULL, "%s", err.text);
    config.create = true;
    config.read_only = true;
    cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
    scratch_remove(&scratch);
    config.create = false;
    cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
    cr_assert(strstr(err.text, "no ledger") != NULL, "%s", err.text);
}

Test(store, missing_parents_are_made, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];
    store_t *store;

    scratch_join(path, scratch.path, "a/b/c/");
    store = opened(path);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, a_database_that_lost_its_files_is_not_taken_for_a_new_one, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    store_config_t config = config_of(scratch.path);
    char path[1024];
    err_t err;

    store_destroy(&store);
    scratch_join(path, scratch.path, "db/CURRENT");
    cr_assert_eq(unlink(path), 0);
    cr_assert_neq(store_open(&store, &config, &err), ERR_NONE);
    scratch_remove(&scratch);
}

Test(store, a_reader_opens_beside_the_holder_and_cannot_write, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    store_config_t config = config_of(scratch.path);
    store_t *reader = NULL;
    err_t err;
    buffer_t batch;

    put(store, FAMILY_STATE, "flushed", "1", true);
    cr_assert_eq(store_flush(store, NULL), ERR_NONE);
    put(store, FAMILY_STATE, "logged", "2", true);
    config.read_only = true;
    config.create = false;
    cr_assert_eq(store_open(&reader, &config, &err), ERR_NONE, "%s", err.text);
    expect_row(reader, NULL, FAMILY_STATE, "flushed", "1");
    expect_row(reader, NULL, FAMILY_STATE, "logged", "2");
    put(store, FAMILY_STATE, "later", "3", true);
    expect_row(reader, NULL, FAMILY_STATE, "later", NULL);
    buffer_init(&batch, 100);
    batch_put(&batch, FAMILY_STATE, "k", 1, "v", 1);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(reader, &part, 1, true, NULL), ERR_STATE);
    cr_assert_eq(store_checkpoint(reader, scratch.path, NULL), ERR_STATE);
    buffer_free(&batch);
    store_destroy(&reader);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, several_parts_are_one_write, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    store_snapshot_t *before = store_snapshot_new(store);
    buffer_t first, second;
    err_t err;

    buffer_init(&first, 100);
    buffer_init(&second, 100);
    batch_put(&first, FAMILY_STATE, "a", 1, "1", 1);
    batch_put(&second, FAMILY_LOG, "b", 1, "2", 1);
    batch_put(&second, FAMILY_STATE, "a", 1, "3", 1); /* the later one of equal keys wins */
    batch_part_t parts[] = {{first.bytes, first.size}, {NULL, 0}, {second.bytes, second.size}};
    cr_assert_eq(store_write(store, parts, 3, true, NULL), ERR_NONE);
    expect_row(store, NULL, FAMILY_STATE, "a", "3");
    expect_row(store, NULL, FAMILY_LOG, "b", "2");
    expect_row(store, before, FAMILY_LOG, "b", NULL);
    store_snapshot_destroy(store, &before);

    /* One part that cannot be read: none of the others is written. */
    buffer_reset(&first);
    batch_put(&first, FAMILY_STATE, "c", 1, "1", 1);
    batch_part_t bad[] = {{first.bytes, first.size}, {"rubbish", 7}};
    cr_assert_eq(store_write(store, bad, 2, true, &err), ERR_CORRUPT);
    expect_row(store, NULL, FAMILY_STATE, "c", NULL);
    buffer_free(&first);
    buffer_free(&second);
    store_destroy(&store);
    scratch_remove(&scratch);
}

/* More rows than are brought into order at once, each key several times. */
static void check_order_of_equal_keys(store_t *store)
{
    buffer_t batch;

    buffer_init(&batch, 16 << 20);
    for (int i = 0; i < 12000; i++) {
        char key[24];

        (void)snprintf(key, sizeof key, "the same start %02d", i * 7 % 50);
        if (i % 11 == 0)
            batch_delete(&batch, (family_t)(i % 2), key, strlen(key));
        else
            batch_put(&batch, (family_t)(i % 2), key, strlen(key), &i, sizeof i);
    }
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
}

static void expect_same_rows(store_t *a, const store_snapshot_t *at_a, store_t *b,
                             const store_snapshot_t *at_b, family_t family, bool backward);

Test(store, of_several_writes_of_one_key_in_a_batch_the_last_one_counts, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *disk = opened(scratch.path);
    store_t *memory = store_memory_new(); /* which takes the rows one by one */

    check_order_of_equal_keys(disk);
    check_order_of_equal_keys(memory);
    expect_same_rows(disk, NULL, memory, NULL, (family_t)0, false);
    expect_same_rows(disk, NULL, memory, NULL, (family_t)1, false);
    store_destroy(&memory);
    store_destroy(&disk);
    scratch_remove(&scratch);
}

Test(store, a_snapshot_does_not_see_later_writes, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    store_snapshot_t *snapshot;
    store_cursor_t *cursor;

    put(store, FAMILY_ENTRY, "a", "old", false);
    put(store, FAMILY_ENTRY, "b", "old", false);
    snapshot = store_snapshot_new(store);
    put(store, FAMILY_ENTRY, "a", "new", false);
    erase(store, FAMILY_ENTRY, "b");
    put(store, FAMILY_ENTRY, "c", "new", false);
    expect_row(store, snapshot, FAMILY_ENTRY, "a", "old");
    expect_row(store, snapshot, FAMILY_ENTRY, "b", "old");
    expect_row(store, snapshot, FAMILY_ENTRY, "c", NULL);
    expect_row(store, NULL, FAMILY_ENTRY, "a", "new");
    expect_row(store, NULL, FAMILY_ENTRY, "b", NULL);
    cursor = store_cursor_new(store, snapshot, FAMILY_ENTRY, NULL, 0, NULL, 0);
    store_cursor_last(cursor);
    expect_at(cursor, "b");
    store_cursor_destroy(&cursor);
    store_snapshot_destroy(store, &snapshot);
    cr_assert_null(snapshot);
    store_destroy(&store);
    scratch_remove(&scratch);
}

static void check_cursor(store_t *store)
{
    static const char *const keys[] = {"a", "b", "ba", "c", "d", "e"};
    store_cursor_t *cursor;

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        put(store, FAMILY_ENTRY, keys[i], keys[i], false);
    cursor = cursor_over(store, "b", "d");
    cr_assert_not(store_cursor_valid(cursor)); /* starts nowhere */
    store_cursor_first(cursor);
    expect_at(cursor, "b");
    store_cursor_prev(cursor);
    expect_at(cursor, NULL); /* "a" is outside */
    store_cursor_last(cursor);
    expect_at(cursor, "c");
    store_cursor_next(cursor);
    expect_at(cursor, NULL); /* the upper bound itself is outside */
    store_cursor_seek(cursor, "a", 1);
    expect_at(cursor, "b");
    store_cursor_seek(cursor, "b", 1);
    expect_at(cursor, "b");
    store_cursor_seek(cursor, "b0", 2);
    expect_at(cursor, "ba");
    store_cursor_next(cursor);
    expect_at(cursor, "c");
    store_cursor_seek(cursor, "cc", 2);
    expect_at(cursor, NULL);
    store_cursor_seek(cursor, "z", 1);
    expect_at(cursor, NULL);
    store_cursor_seek_before(cursor, "z", 1);
    expect_at(cursor, "c");
    store_cursor_seek_before(cursor, "c", 1);
    expect_at(cursor, "ba");
    store_cursor_prev(cursor);
    expect_at(cursor, "b");
    store_cursor_seek_before(cursor, "b", 1);
    expect_at(cursor, NULL);
    store_cursor_seek_before(cursor, "a", 1);
    expect_at(cursor, NULL);
    store_cursor_destroy(&cursor);

    cursor = cursor_over(store, "", "");
    store_cursor_last(cursor);
    expect_at(cursor, "e");
    store_cursor_first(cursor);
    expect_at(cursor, "a");
    store_cursor_destroy(&cursor);

    cursor = cursor_over(store, "f", "g");
    store_cursor_first(cursor);
    expect_at(cursor, NULL);
    store_cursor_last(cursor);
    expect_at(cursor, NULL);
    store_cursor_destroy(&cursor);
    cr_assert_null(cursor);
}

Test(store, a_cursor_stays_inside_its_bounds, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);

    check_cursor(store);
    cr_assert_eq(store_flush(store, NULL), ERR_NONE);
    store_compact(store);
    check_cursor(store); /* the same from files */
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store_memory, a_cursor_stays_inside_its_bounds, .timeout = 60)
{
    store_t *store = store_memory_new();

    check_cursor(store);
    store_destroy(&store);
}

/* ---- cursors within one prefix ---- */

static void expect_lots(store_t *store, const char *prefix, const char *from, const char *expected)
{
    store_cursor_t *cursor = store_cursor_new_within(store, NULL, FAMILY_LOT, prefix,
                                                     strlen(prefix), from, strlen(from));
    char seen[256] = "";

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t n;
        const uint8_t *key = store_cursor_key(cursor, &n);

        strncat(seen, (const char *)key + strlen(prefix), n - strlen(prefix));
        strcat(seen, " ");
    }
    cr_assert_eq(store_cursor_error(cursor, NULL), ERR_NONE);
    cr_assert_str_eq(seen, expected);
    store_cursor_destroy(&cursor);
}

/* Keys of a lot begin with ten bytes that name the account. */
static void walk_within_prefixes(store_t *store)
{
    char key[32];

    for (int account = 0; account < 300; account++)
        for (int lot = 3; lot > 0; lot--) {
            snprintf(key, sizeof key, "00account%d%d", account % 10, lot);
            if (account < 10)
                put(store, FAMILY_LOT, key, "x", false);
            snprintf(key, sizeof key, "%010d%d", account, lot);
            put(store, FAMILY_LOT, key, "x", false);
        }
    erase(store, FAMILY_LOT, "00account52");
    expect_lots(store, "00account5", "00account5", "1 3 ");
    expect_lots(store, "00account5", "00account52", "3 ");
    expect_lots(store, "00account4", "00account4", "1 2 3 ");
    expect_lots(store, "00accountx", "00accountx", "");
    expect_lots(store, "00acco", "00account90",
                "unt91 unt92 unt93 "); /* shorter than a bucket's key */
    cr_assert_eq(store_flush(store, NULL), ERR_NONE);
    put(store, FAMILY_LOT, "00account44", "x", false);
    put(store, FAMILY_LOT, "00account40", "x", false);
    expect_lots(store, "00account4", "00account4", "0 1 2 3 4 "); /* files and memory together */
    expect_lots(store, "00account5", "00account5", "1 3 ");
}

Test(store, a_cursor_within_a_prefix_sees_its_rows_in_order, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);

    walk_within_prefixes(store);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store_memory, a_cursor_within_a_prefix_sees_its_rows_in_order, .timeout = 60)
{
    store_t *store = store_memory_new();

    walk_within_prefixes(store);
    store_destroy(&store);
}

Test(store, a_checkpoint_opens_as_a_store_of_its_own, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    char path[1024];
    store_t *copy;

    put(store, FAMILY_STATE, "before", "1", false);
    scratch_join(path, scratch.path, "copies/today");
    cr_assert_eq(store_checkpoint(store, path, NULL), ERR_NONE);
    put(store, FAMILY_STATE, "after", "2", false);
    copy = opened(path);
    expect_row(copy, NULL, FAMILY_STATE, "before", "1");
    expect_row(copy, NULL, FAMILY_STATE, "after", NULL);
    put(copy, FAMILY_STATE, "own", "3", true);
    expect_row(store, NULL, FAMILY_STATE, "own", NULL);
    store_destroy(&copy);
    cr_assert_neq(store_checkpoint(store, path, NULL), ERR_NONE); /* never over another one */
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store, metrics_name_memory_files_and_stalls, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);
    buffer_t text;

    put(store, FAMILY_STATE, "key", "value", true);
    buffer_init(&text, 1 << 16);
    store_metrics(store, &text);
    buffer_byte(&text, 0);
    cr_assert_not(text.failed);
    cr_assert(strstr((char *)text.bytes, "\nfealty_store_memtable_bytes ") != NULL);
    cr_assert(strstr((char *)text.bytes, "\nfealty_store_write_stopped 0\n") != NULL);
    cr_assert_geq(store_memory_bytes(store), (size_t)16 << 20);
    buffer_free(&text);
    store_destroy(&store);
    scratch_remove(&scratch);
}

#define SYNCED_ROWS 300

static int write_synced_rows(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store;

    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 1;
    for (int i = 0; i < SYNCED_ROWS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k%04d", i);
        if (try_put(store, FAMILY_STATE, key, key, true) != ERR_NONE)
            return 2;
    }
    return 0; /* and ends without closing the store */
}

Test(store, synced_writes_survive_a_process_that_just_ends, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store;

    cr_assert_eq(scratch_child(write_synced_rows, scratch.path), 0);
    store = opened(scratch.path);
    for (int i = 0; i < SYNCED_ROWS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k%04d", i);
        expect_row(store, NULL, FAMILY_STATE, key, key);
    }
    store_destroy(&store);
    scratch_remove(&scratch);
}

/* The disk is full: files may not grow past a few kilobytes. */
static int write_until_the_disk_is_full(const char *directory)
{
    store_config_t config = config_of(directory);
    static char value[4096];
    struct rlimit limit = {65536, 65536};
    char path[1024];
    store_t *store;

    scratch_join(path, directory, "stderr");
    if (freopen(path, "w", stderr) == NULL)
        return 1;
    if (store_open(&store, &config, NULL) != ERR_NONE)
        return 2;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 3;
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 1000; i++)
        if (try_put(store, FAMILY_STATE, "key", value, true) != ERR_NONE)
            return 5;
    return 4;
}

Test(store, a_failed_synced_write_ends_the_process_with_a_sentence, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    char path[1024];
    char text[1024] = "";
    FILE *file;

    cr_assert_eq(scratch_child(write_until_the_disk_is_full, scratch.path), 74);
    scratch_join(path, scratch.path, "stderr");
    file = fopen(path, "r");
    cr_assert(file != NULL);
    cr_assert(fgets(text, sizeof text, file) != NULL);
    cr_assert_eq(fclose(file), 0);
    cr_assert(strstr(text, "writing to disk failed") != NULL, "%s", text);
    cr_assert(strstr(text, "Check the disk") != NULL, "%s", text);
    scratch_remove(&scratch);
}

#define THREADS         4
#define ROWS_PER_THREAD 100

typedef struct {
    store_t *store;
    char name;
} thread_t;

static void *write_and_read(void *state)
{
    const thread_t *self = state;

    for (int i = 0; i < ROWS_PER_THREAD; i++) {
        store_snapshot_t *snapshot = store_snapshot_new(self->store);
        char key[16];

        (void)snprintf(key, sizeof key, "%c%04d", self->name, i);
        put(self->store, FAMILY_STATE, key, key, true);
        expect_row(self->store, NULL, FAMILY_STATE, key, key);
        expect_row(self->store, snapshot, FAMILY_STATE, key, NULL);
        store_snapshot_destroy(self->store, &snapshot);
    }
    return NULL;
}

static void check_threads(store_t *store)
{
    pthread_t threads[THREADS];
    thread_t states[THREADS];
    store_cursor_t *cursor;
    int count = 0;

    for (int i = 0; i < THREADS; i++) {
        states[i] = (thread_t){store, (char)('a' + i)};
        cr_assert_eq(pthread_create(&threads[i], NULL, write_and_read, &states[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cursor = store_cursor_new(store, NULL, FAMILY_STATE, NULL, 0, NULL, 0);
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor))
        count++;
    cr_assert_eq(count, THREADS * ROWS_PER_THREAD);
    store_cursor_destroy(&cursor);
}

Test(store, threads_write_and_read_at_once, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);

    check_threads(store);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store_memory, threads_write_and_read_at_once, .timeout = 60)
{
    store_t *store = store_memory_new();

    check_threads(store);
    store_destroy(&store);
}

Test(store_memory, a_crash_forgets_what_was_not_synced, .timeout = 60)
{
    store_t *store = store_memory_new();

    put(store, FAMILY_STATE, "a", "1", true);
    put(store, FAMILY_STATE, "a", "2", false);
    put(store, FAMILY_KEY, "b", "2", false);
    store_memory_crash(store);
    expect_row(store, NULL, FAMILY_STATE, "a", "1");
    expect_row(store, NULL, FAMILY_KEY, "b", NULL);
    put(store, FAMILY_STATE, "c", "3", false);
    put(store, FAMILY_STATE, "d", "4", true); /* syncs what came before, too */
    store_memory_crash(store);
    expect_row(store, NULL, FAMILY_STATE, "c", "3");
    expect_row(store, NULL, FAMILY_STATE, "d", "4");
    store_destroy(&store);
}

Test(store_memory, a_copy_lives_on_its_own, .timeout = 60)
{
    store_t *store = store_memory_new();
    store_t *copy;

    put(store, FAMILY_STATE, "a", "1", true);
    copy = store_memory_copy(store);
    put(store, FAMILY_STATE, "a", "2", true);
    put(copy, FAMILY_STATE, "b", "3", true);
    expect_row(copy, NULL, FAMILY_STATE, "a", "1");
    expect_row(store, NULL, FAMILY_STATE, "b", NULL);
    store_destroy(&store);
    expect_row(copy, NULL, FAMILY_STATE, "a", "1");
    store_destroy(&copy);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void expect_same_rows(store_t *a, const store_snapshot_t *at_a, store_t *b,
                             const store_snapshot_t *at_b, family_t family, bool backward)
{
    store_cursor_t *left = store_cursor_new(a, at_a, family, NULL, 0, NULL, 0);
    store_cursor_t *right = store_cursor_new(b, at_b, family, NULL, 0, NULL, 0);
    void (*start)(store_cursor_t *) = backward ? store_cursor_last : store_cursor_first;
    void (*step)(store_cursor_t *) = backward ? store_cursor_prev : store_cursor_next;

    start(left);
    start(right);
    while (store_cursor_valid(left) && store_cursor_valid(right)) {
        size_t n, m;
        const uint8_t *x = store_cursor_key(left, &n);
        const uint8_t *y = store_cursor_key(right, &m);

        cr_assert(n == m && memcmp(x, y, n) == 0);
        x = store_cursor_value(left, &n);
        y = store_cursor_value(right, &m);
        cr_assert(n == m && memcmp(x, y, n) == 0);
        step(left);
        step(right);
    }
    cr_assert_eq(store_cursor_valid(left), store_cursor_valid(right));
    store_cursor_destroy(&left);
    store_cursor_destroy(&right);
}

static void expect_same_place(store_t *a, store_t *b, family_t family, const uint8_t *key, size_t n,
                              bool before)
{
    store_cursor_t *cursors[] = {store_cursor_new(a, NULL, family, "\x10", 1, "\xe0", 1),
                                 store_cursor_new(b, NULL, family, "\x10", 1, "\xe0", 1)};
    const uint8_t *found[2];
    size_t bytes[2];

    for (size_t i = 0; i < 2; i++)
        (before ? store_cursor_seek_before : store_cursor_seek)(cursors[i], key, n);
    cr_assert_eq(store_cursor_valid(cursors[0]), store_cursor_valid(cursors[1]));
    if (store_cursor_valid(cursors[0])) {
        for (size_t i = 0; i < 2; i++)
            found[i] = store_cursor_key(cursors[i], &bytes[i]);
        cr_assert(bytes[0] == bytes[1] && memcmp(found[0], found[1], bytes[0]) == 0);
    }
    for (size_t i = 0; i < 2; i++)
        store_cursor_destroy(&cursors[i]);
}

Test(store_memory, equals_the_store_on_disk_under_random_operations, .timeout = 120)
{
    const char *given = getenv("FEALTY_SEED");
    uint64_t seed =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 2654435761u + 1;
    uint64_t random = seed == 0 ? 1 : seed;
    scratch_t scratch = scratch_new();
    store_t *disk = opened(scratch.path);
    store_t *memory = store_memory_new();
    store_snapshot_t *at_disk = NULL;
    store_snapshot_t *at_memory = NULL;
    buffer_t batch;

    printf("FEALTY_SEED=%llu\n", (unsigned long long)seed);
    buffer_init(&batch, 1 << 20);
    for (int step = 0; step < 3000; step++) {
        uint64_t dice = next_random(&random) % 100;
        family_t family = (family_t)(next_random(&random) % FAMILY__COUNT);
        uint8_t key[4];
        size_t key_bytes = 1 + next_random(&random) % sizeof key;

        for (size_t i = 0; i < key_bytes; i++)
            key[i] = (uint8_t)(next_random(&random) % 3 * 0x60);
        if (dice < 70) {
            size_t rows = 1 + next_random(&random) % 4;

            buffer_reset(&batch);
            for (size_t i = 0; i < rows; i++) {
                uint64_t value = next_random(&random);

                key[0] = (uint8_t)(next_random(&random) % 256);
                if (value % 3 == 0)
                    batch_delete(&batch, family, key, key_bytes);
                else
                    batch_put(&batch, family, key, key_bytes, &value, value % 9);
            }
            batch_part_t part = {batch.bytes, batch.size};
            cr_assert_eq(store_write(disk, &part, 1, false, NULL), ERR_NONE);
            cr_assert_eq(store_write(memory, &part, 1, false, NULL), ERR_NONE);
        } else if (dice < 90) {
            expect_same_place(disk, memory, family, key, key_bytes, dice % 2 == 0);
        } else if (dice < 93 && at_disk == NULL) {
            at_disk = store_snapshot_new(disk);
            at_memory = store_snapshot_new(memory);
        } else if (dice < 95 && at_disk != NULL) {
            expect_same_rows(disk, at_disk, memory, at_memory, family, dice % 2 == 0);
            store_snapshot_destroy(disk, &at_disk);
            store_snapshot_destroy(memory, &at_memory);
        } else if (dice == 98) {
            cr_assert_eq(store_flush(disk, NULL), ERR_NONE);
        } else {
            expect_same_rows(disk, NULL, memory, NULL, family, dice % 2 == 0);
        }
    }
    for (int family = 0; family < FAMILY__COUNT; family++)
        expect_same_rows(disk, NULL, memory, NULL, (family_t)family, false);
    store_snapshot_destroy(disk, &at_disk);
    store_snapshot_destroy(memory, &at_memory);
    buffer_free(&batch);
    store_destroy(&memory);
    store_destroy(&disk);
    scratch_remove(&scratch);
}
