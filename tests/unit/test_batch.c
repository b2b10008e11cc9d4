/* test_batch.c - lists of row writes: what goes in comes out, and nothing else passes */
#include "storage/batch.h"

#include <criterion/criterion.h>

static size_t count_rows(const uint8_t *bytes, size_t n, bool *corrupt)
{
    row_write_t row;
    size_t at = 0;
    size_t count = 0;

    while (batch_next(bytes, n, &at, &row, corrupt))
        count++;
    return count;
}

Test(batch, the_encoding_is_frozen, .timeout = 10)
{
    static const uint8_t golden[] = {1, FAMILY_KEY,    3, 0, 2, 0, 0, 0, 'a', 'b', 'c', 'd', 'e',
                                     2, FAMILY_OUTBOX, 1, 0, 0, 0, 0, 0, 'f'};
    buffer_t batch;

    cr_assert_eq(FAMILY_KEY, 2);
    cr_assert_eq(FAMILY_OUTBOX, 3);
    buffer_init(&batch, 1000);
    batch_put(&batch, FAMILY_KEY, "abc", 3, "de", 2);
    batch_delete(&batch, FAMILY_OUTBOX, "f", 1);
    cr_assert_eq(batch.size, sizeof golden);
    cr_assert_eq(memcmp(batch.bytes, golden, sizeof golden), 0);
    buffer_free(&batch);
}

Test(batch, rows_come_back_in_order, .timeout = 10)
{
    static uint8_t large[BATCH_VALUE_BYTES_MAX];
    uint8_t key[BATCH_KEY_BYTES_MAX];
    row_write_t row;
    buffer_t batch;
    size_t at = 0;
    bool corrupt;

    memset(large, 'v', sizeof large);
    memset(key, 'k', sizeof key);
    buffer_init(&batch, 4 << 20);
    batch_put(&batch, FAMILY_STATE, "a", 1, NULL, 0);
    batch_put(&batch, FAMILY_LOG, key, sizeof key, large, sizeof large);
    batch_put_start(&batch, FAMILY_META, "m", 1, 4);
    buffer_text(&batch, "meta");
    batch_delete(&batch, FAMILY_ENTRY, "z", 1);

    cr_assert(batch_next(batch.bytes, batch.size, &at, &row, &corrupt));
    cr_assert(!row.is_delete && row.family == FAMILY_STATE && row.key_bytes == 1 &&
              row.value_bytes == 0);
    cr_assert(batch_next(batch.bytes, batch.size, &at, &row, &corrupt));
    cr_assert(row.family == FAMILY_LOG && row.key_bytes == sizeof key &&
              row.value_bytes == sizeof large);
    cr_assert_eq(memcmp(row.value, large, sizeof large), 0);
    cr_assert(batch_next(batch.bytes, batch.size, &at, &row, &corrupt));
    cr_assert(row.family == FAMILY_META && row.value_bytes == 4 &&
              memcmp(row.value, "meta", 4) == 0);
    cr_assert(batch_next(batch.bytes, batch.size, &at, &row, &corrupt));
    cr_assert(row.is_delete && row.family == FAMILY_ENTRY && row.key[0] == 'z');
    cr_assert_not(batch_next(batch.bytes, batch.size, &at, &row, &corrupt));
    cr_assert_not(corrupt);
    buffer_free(&batch);
}

Test(batch, a_row_that_does_not_fit_leaves_no_piece_behind, .timeout = 10)
{
    buffer_t batch;
    size_t size;
    bool corrupt;

    buffer_init(&batch, 64);
    batch_put(&batch, FAMILY_STATE, "key", 3, "value", 5);
    size = batch.size;
    batch_put(&batch, FAMILY_STATE, "key", 3,
              "a value that is longer than what is left of the buffer", 54);
    cr_assert(batch.failed);
    cr_assert_eq(batch.size, size);
    batch_delete(&batch, FAMILY_STATE, "k", 1);
    cr_assert_eq(batch.size, size);
    cr_assert_eq(count_rows(batch.bytes, batch.size, &corrupt), 1);
    cr_assert_not(corrupt);
    buffer_free(&batch);
}

Test(batch, a_list_that_is_cut_anywhere_inside_a_row_is_corrupt, .timeout = 10)
{
    buffer_t batch;

    buffer_init(&batch, 1000);
    batch_put(&batch, FAMILY_STATE, "first", 5, "value", 5);
    size_t first = batch.size;
    batch_put(&batch, FAMILY_STATE, "second", 6, "value", 5);
    for (size_t n = 0; n <= batch.size; n++) {
        uint8_t *copy =
            memory_alloc(n); /* exactly as long, so that a read behind the end is seen */
        bool corrupt;

        memcpy(copy, batch.bytes, n);
        cr_assert_eq(count_rows(copy, n, &corrupt), n < first ? 0 : n < batch.size ? 1 : 2);
        cr_assert_eq(corrupt, n != 0 && n != first && n != batch.size, "at %zu", n);
        free(copy);
    }
    buffer_free(&batch);
}

static void expect_corrupt(size_t at, uint8_t value)
{
    uint8_t row[] = {1, FAMILY_KEY, 3, 0, 2, 0, 0, 0, 'a', 'b', 'c', 'd', 'e'};
    bool corrupt;

    row[at] = value;
    cr_assert_eq(count_rows(row, sizeof row, &corrupt), 0, "byte %zu = %u", at, value);
    cr_assert(corrupt, "byte %zu = %u", at, value);
}

Test(batch, unknown_operations_families_and_lengths_are_corrupt, .timeout = 10)
{
    expect_corrupt(0, 0);
    expect_corrupt(0, 3);
    expect_corrupt(0, 2); /* a delete with a value */
    expect_corrupt(1, FAMILY__COUNT);
    expect_corrupt(1, 255);
    expect_corrupt(2, 0); /* no key */
    expect_corrupt(2, 200);
    expect_corrupt(3, 1);
    expect_corrupt(4, 3);
    expect_corrupt(7, 255);
}

Test(batch, a_start_behind_the_end_is_corrupt, .timeout = 10)
{
    row_write_t row;
    size_t at = 5;
    bool corrupt;

    cr_assert_not(batch_next((const uint8_t *)"abcd", 4, &at, &row, &corrupt));
    cr_assert(corrupt);
}
