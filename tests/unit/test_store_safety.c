/* test_store_safety.c - what is left of a store after its process or its disk failed, and under many threads */
#include "tests/unit/stored.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

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

Test(store_safety, synced_writes_survive_a_process_that_just_ends, .timeout = 60)
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

Test(store_safety, a_failed_synced_write_ends_the_process_with_a_sentence, .timeout = 60)
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

Test(store_safety, threads_write_and_read_at_once, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);

    check_threads(store);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store_memory_safety, threads_write_and_read_at_once, .timeout = 60)
{
    store_t *store = store_memory_new();

    check_threads(store);
    store_destroy(&store);
}

Test(store_memory_safety, a_crash_forgets_what_was_not_synced, .timeout = 60)
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

Test(store_memory_safety, a_copy_lives_on_its_own, .timeout = 60)
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

Test(store_memory_safety, equals_the_store_on_disk_under_random_operations, .timeout = 120)
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
