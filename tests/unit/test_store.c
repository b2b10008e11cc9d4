/* test_store.c - the store on disk: reopening, refusals, snapshots, atomic parts */
#include "tests/unit/stored.h"

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
