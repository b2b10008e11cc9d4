/* stored.h - stores for tests: opened on disk, rows put, erased and looked for
 *
 * Contract   For the tests of the store; a failed check ends the test, but for try_put.
 * Threads    As the store.
 * Ownership  A store that is returned is destroyed by its test.
 * Units      Nothing to say.
 * Errors     Checks of Criterion.
 */
#ifndef FEALTY_TESTS_STORED_H
#define FEALTY_TESTS_STORED_H

#include "storage/store.h"

#include "tests/unit/scratch.h"

#include <string.h>

static inline store_config_t config_of(const char *directory)
{
    store_config_t config;

    store_config_default(&config);
    config.directory = directory;
    config.cache_bytes = (size_t)8 << 20;
    config.memtable_bytes = (size_t)8 << 20;
    config.create = true;
    return config;
}

static inline store_t *opened(const char *directory)
{
    store_config_t config = config_of(directory);
    store_t *store = NULL;
    err_t err;

    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    return store;
}

/* Asserts nothing: a forked child must not, it would run on as a second test. */
static inline errcode_t try_put(store_t *store, family_t family, const char *key, const char *value,
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

static inline void put(store_t *store, family_t family, const char *key, const char *value,
                       bool sync)
{
    cr_assert_eq(try_put(store, family, key, value, sync), ERR_NONE);
}

static inline void erase(store_t *store, family_t family, const char *key)
{
    buffer_t batch;

    buffer_init(&batch, 1 << 20);
    batch_delete(&batch, family, key, strlen(key));
    batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(store, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
}

static inline void expect_row(store_t *store, const store_snapshot_t *snapshot, family_t family,
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

static inline void expect_at(const store_cursor_t *cursor, const char *key)
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

static inline store_cursor_t *cursor_over(store_t *store, const char *lower, const char *upper)
{
    return store_cursor_new(store, NULL, FAMILY_ENTRY, lower, strlen(lower), upper, strlen(upper));
}

static inline void expect_same_rows(store_t *a, const store_snapshot_t *at_a, store_t *b,
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

#endif
