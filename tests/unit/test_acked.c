/* test_acked.c - the hint of what was acknowledged, and the start that it refuses */
#include "storage/acked.h"

#include "storage/journal.h"
#include "tests/unit/scratch.h"

#include <string.h>

Test(acked, what_was_written_is_read, .timeout = 30)
{
    scratch_t scratch = scratch_new();
    acked_t acked = {.count = 3, .wall_us = -5, .seq = {7, 0, UINT64_MAX}};
    acked_t back;
    bool found;

    cr_assert_eq(acked_read(scratch.path, &back, &found, NULL), ERR_NONE);
    cr_assert_not(found);
    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    cr_assert_eq(acked_read(scratch.path, &back, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(back.count, 3);
    cr_assert_eq(back.wall_us, -5);
    cr_assert(back.seq[0] == 7 && back.seq[1] == 0 && back.seq[2] == UINT64_MAX);
    acked.seq[1] = 9;
    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    cr_assert_eq(acked_read(scratch.path, &back, &found, NULL), ERR_NONE);
    cr_assert_eq(back.seq[1], 9);
    scratch_remove(&scratch);
}

Test(acked, as_many_partitions_as_there_can_be_fit, .timeout = 30)
{
    scratch_t scratch = scratch_new();
    static acked_t acked = {.count = ACKED_PARTITIONS_MAX};
    static acked_t back;
    bool found;

    for (size_t i = 0; i < ACKED_PARTITIONS_MAX; i++)
        acked.seq[i] = i * i;
    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    cr_assert_eq(acked_read(scratch.path, &back, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(memcmp(acked.seq, back.seq, sizeof acked.seq), 0);
    scratch_remove(&scratch);
}

Test(acked, any_changed_or_missing_byte_is_found_and_the_file_named, .timeout = 30)
{
    scratch_t scratch = scratch_new();
    acked_t acked = {.count = 2, .wall_us = 5, .seq = {7, 8}};
    acked_t back;
    char path[1024];
    uint8_t bytes[64];
    ssize_t n;
    err_t err;
    bool found;
    int fd;

    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    scratch_join(path, scratch.path, "ACKED");
    fd = open(path, O_RDWR);
    n = pread(fd, bytes, sizeof bytes, 0);
    cr_assert_eq(n, 24 + 16 + 4);
    for (ssize_t i = 0; i < n; i++) {
        uint8_t changed = bytes[i] ^ 0x10;

        cr_assert_eq(pwrite(fd, &changed, 1, i), 1);
        cr_assert_eq(acked_read(scratch.path, &back, &found, &err), ERR_CORRUPT, "byte %zd", i);
        cr_assert_not(found);
        cr_assert(strstr(err.text, "ACKED") != NULL, "%s", err.text);
        cr_assert_eq(pwrite(fd, &bytes[i], 1, i), 1);
    }
    for (ssize_t cut = 0; cut < n; cut++) {
        cr_assert_eq(ftruncate(fd, cut), 0);
        cr_assert_eq(acked_read(scratch.path, &back, &found, NULL), ERR_CORRUPT, "%zd bytes", cut);
        cr_assert_eq(pwrite(fd, bytes, (size_t)n, 0), n);
    }
    cr_assert_eq(acked_read(scratch.path, &back, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(close(fd), 0);
    scratch_remove(&scratch);
}

static store_config_t config_of(const char *directory)
{
    store_config_t config;

    store_config_default(&config);
    config.directory = directory;
    config.create = true;
    return config;
}

/* A partition 3 whose position was set to seq 41. */
static void make_store(const char *directory)
{
    store_config_t config = config_of(directory);
    position_t position = {.history = {{1}}, .epoch = 5, .seq = 41};
    buffer_t batch;
    store_t *store;
    err_t err;

    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    buffer_init(&batch, 1000);
    cr_assert_eq(journal_embedded_override(store, 3, &position, 1, &batch, &err), ERR_NONE, "%s",
                 err.text);
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, true, NULL), ERR_NONE);
    buffer_free(&batch);
    store_destroy(&store);
}

Test(acked, a_store_shorter_than_what_was_acknowledged_does_not_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_config_t config = config_of(scratch.path);
    acked_t acked = {.count = 4, .seq = {0, 0, 0, 41}};
    store_t *store;
    err_t err;

    make_store(scratch.path);
    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    store_destroy(&store);
    acked.seq[3] = 42;
    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
    cr_assert(strstr(err.text, "partition 3") != NULL && strstr(err.text, "42") != NULL, "%s",
              err.text);
    cr_assert(strstr(err.text, "fealty restore") != NULL &&
                  strstr(err.text, "--accept-loss") != NULL,
              "%s", err.text);
    config.accept_loss = true;
    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(acked, a_log_that_is_gone_altogether_does_not_start, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_config_t config = config_of(scratch.path);
    acked_t acked = {.count = 1, .seq = {1}};
    store_t *store;
    err_t err;

    make_store(scratch.path);
    cr_assert_eq(acked_write(scratch.path, &acked, NULL), ERR_NONE);
    cr_assert_eq(store_open(&store, &config, &err), ERR_STATE);
    cr_assert(strstr(err.text, "partition 0") != NULL, "%s", err.text);
    scratch_remove(&scratch);
}

Test(acked, a_damaged_hint_refuses_the_start_unless_loss_is_accepted, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_config_t config = config_of(scratch.path);
    char path[1024];
    store_t *store;
    err_t err;
    FILE *file;

    make_store(scratch.path);
    scratch_join(path, scratch.path, "ACKED");
    file = fopen(path, "w");
    cr_assert(file != NULL && fputs("rubbish", file) >= 0 && fclose(file) == 0);
    cr_assert_eq(store_open(&store, &config, &err), ERR_CORRUPT);
    config.accept_loss = true;
    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    store_destroy(&store);
    scratch_remove(&scratch);
}
