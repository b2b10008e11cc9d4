/* test_store_cursors.c - cursors of the store on disk and of its twin in memory */
#include "tests/unit/stored.h"

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

Test(store_cursors, a_cursor_stays_inside_its_bounds, .timeout = 60)
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

Test(store_memory_cursors, a_cursor_stays_inside_its_bounds, .timeout = 60)
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

Test(store_cursors, a_cursor_within_a_prefix_sees_its_rows_in_order, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    store_t *store = opened(scratch.path);

    walk_within_prefixes(store);
    store_destroy(&store);
    scratch_remove(&scratch);
}

Test(store_memory_cursors, a_cursor_within_a_prefix_sees_its_rows_in_order, .timeout = 60)
{
    store_t *store = store_memory_new();

    walk_within_prefixes(store);
    store_destroy(&store);
}
