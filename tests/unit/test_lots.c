/* test_lots.c - lots in burn order, on a bare partition: expiry dates come from the caller */
#include "actors/partition_state.h"

#include <criterion/criterion.h>
#include <stdio.h>

static partition_t *partition;
static store_t *store;
static catalogue_t *catalogue;
static row_cache_t *cache;
static account_t account;

static void set_up(void)
{
    store = store_memory_new();
    catalogue = catalogue_new();
    cache = row_cache_new(16, 1024 * 1024);
    partition_config_t config = {
        .number = 0, .partitions = 1, .store = store, .catalogue = catalogue, .cache = cache};
    partition = partition_new(&config);
    cr_assert_eq(partition_load(partition, &(position_t){0}, false, NULL), ERR_NONE);
    account = (account_t){.id = 77};
}

static void tear_down(void)
{
    partition_destroy(&partition);
    row_cache_destroy(&cache);
    catalogue_destroy(&catalogue);
    store_destroy(&store);
}

TestSuite(lots, .init = set_up, .fini = tear_down, .timeout = 60);

/* What a round's commit does: rows go to the store, the overlay is empty again. */
static void commit(void)
{
    batch_part_t part = {partition->now->body.bytes, partition->now->body.size};

    if (part.n > 0)
        cr_assert_eq(store_write(store, &part, 1, true, NULL), ERR_NONE);
    overlay_clear(partition->now->overlay);
    buffer_reset(&partition->now->body);
}

static void add(uint64_t id, points_t points, int64_t activated_us, int64_t expires_us)
{
    lot_t lot = {.id = id,
                 .original = points,
                 .active = points,
                 .activated_us = activated_us,
                 .expires_us = expires_us};

    cr_assert_eq(lots_add(partition, &account, &lot, NULL), ERR_NONE);
    account.available += points;
}

static uint32_t take(points_t points)
{
    uint32_t count = 0;

    cr_assert_eq(lots_take(partition, &account, points, &count, NULL), ERR_NONE);
    account.available -= points;
    return count;
}

static points_t left_of(uint64_t id)
{
    for (uint32_t i = 0; i < account.lot_count; i++)
        if (account.lots[i].id == id)
            return account.lots[i].active;
    return 0;
}

Test(lots, E_3_8a_fefo_of_lots_that_never_expire_is_fifo)
{
    add(1, 100, 10, 0);
    add(2, 200, 20, 0);
    add(3, 300, 30, 0);
    cr_assert_eq(take(240), 2);
    cr_assert_eq(left_of(1), 0);
    cr_assert_eq(left_of(2), 60);
    cr_assert_eq(left_of(3), 300);
}

Test(lots, E_3_8d_a_lot_that_never_expires_goes_last)
{
    add(1, 100, 10, 0);
    add(2, 200, 20, 1000);
    add(3, 300, 30, 2000);
    cr_assert_eq(take(240), 2);
    cr_assert_eq(partition->allocations[0].lot, 2);
    cr_assert_eq(partition->allocations[0].points, 200);
    cr_assert_eq(partition->allocations[1].lot, 3);
    cr_assert_eq(partition->allocations[1].points, 40);
    cr_assert_eq(partition->allocations[1].expires_us, 2000);
    cr_assert_eq(left_of(1), 100);
    cr_assert_eq(left_of(2), 0);
    cr_assert_eq(left_of(3), 260);
}

Test(lots, R_3_8_equal_expiries_go_by_activation_then_by_lot)
{
    add(9, 10, 50, 1000);
    add(4, 10, 60, 1000);
    add(3, 10, 60, 1000);
    add(2, 10, 40, 2000);
    cr_assert_eq(take(35), 4);
    cr_assert_eq(partition->allocations[0].lot, 9);
    cr_assert_eq(partition->allocations[1].lot, 3);
    cr_assert_eq(partition->allocations[2].lot, 4);
    cr_assert_eq(partition->allocations[3].lot, 2);
}

Test(lots, beyond_the_first_8_stand_in_rows_of_their_own_and_keep_the_order)
{
    /* Added from the last to expire to the first, so that every one pushes another out of the account's row. */
    for (uint64_t i = 0; i < 200; i++)
        add(1000 + i, 10, 1, (int64_t)(5000 - i));
    cr_assert_eq(account.lot_count, ACCOUNT_LOTS_INLINE);
    cr_assert_eq(account.overflow_lots, 200 - ACCOUNT_LOTS_INLINE);
    for (uint64_t i = 0; i < 200; i++) {
        cr_assert_eq(take(10), 1);
        cr_assert_eq(partition->allocations[0].lot, 1199 - i);
    }
    cr_assert_eq(account.lot_count, 0);
    cr_assert_eq(account.overflow_lots, 0);
}

Test(lots, one_burn_may_cross_the_border_of_the_row_several_times)
{
    for (uint64_t i = 0; i < 300; i++)
        add(1 + i, 10, (int64_t)i, 0);
    commit();
    cr_assert_eq(take(2005), 201);
    for (uint32_t i = 0; i < 201; i++) {
        cr_assert_eq(partition->allocations[i].lot, 1 + i);
        cr_assert_eq(partition->allocations[i].points, i < 200 ? 10 : 5);
    }
    cr_assert_eq(left_of(201), 5);
    commit();
    cr_assert_eq(take(995), 100);
    cr_assert_eq(account.lot_count, 0);
    cr_assert_eq(account.overflow_lots, 0);
}

Test(lots, more_than_an_entry_may_name_are_refused)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < ENTRY_ALLOCATIONS_MAX + 1; i++)
        add(1 + i, 1, (int64_t)i, 0);
    cr_assert_eq(lots_take(partition, &account, ENTRY_ALLOCATIONS_MAX + 1, &count, NULL),
                 ERR_OUT_OF_RANGE);
}

Test(lots, that_hold_less_than_the_balance_are_noticed)
{
    uint32_t count = 0;

    add(1, 10, 1, 0);
    cr_assert_eq(lots_take(partition, &account, 11, &count, NULL), ERR_CORRUPT);
}

Test(lots, rows_that_are_missing_are_noticed)
{
    uint32_t count = 0;

    add(1, 10, 1, 0);
    account.overflow_lots = 3;
    cr_assert_eq(lots_take(partition, &account, 20, &count, NULL), ERR_CORRUPT);
}

Test(lots, of_one_entry_go_first_when_it_is_taken_back)
{
    uint32_t count = 0;

    add(1, 100, 10, 0);
    add(2, 50, 20, 0);
    add(3, 100, 30, 0);
    cr_assert_eq(lots_take_from(partition, &account, 2, 80, &count, NULL), ERR_NONE);
    cr_assert_eq(count, 2);
    cr_assert_eq(partition->allocations[0].lot, 2);
    cr_assert_eq(partition->allocations[0].points, 50);
    cr_assert_eq(partition->allocations[1].lot, 1);
    cr_assert_eq(partition->allocations[1].points, 30);
    cr_assert_eq(left_of(1), 70);
    cr_assert_eq(left_of(3), 100);
}

Test(lots, of_one_entry_go_first_also_when_they_stand_behind_the_row)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < 60; i++)
        add(1 + i, 10, (int64_t)i, 0);
    cr_assert_eq(lots_take_from(partition, &account, 30, 4, &count, NULL), ERR_NONE);
    cr_assert_eq(count, 1);
    cr_assert_eq(partition->allocations[0].lot, 30);
    commit();
    cr_assert_eq(lots_take_from(partition, &account, 30, 16, &count, NULL), ERR_NONE);
    cr_assert_eq(count, 2);
    cr_assert_eq(partition->allocations[0].lot, 30);
    cr_assert_eq(partition->allocations[0].points, 6);
    cr_assert_eq(partition->allocations[1].lot, 1);
    cr_assert_eq(partition->allocations[1].points, 10);
    cr_assert_eq(account.lot_count + account.overflow_lots, 58);
    commit();
    cr_assert_eq(take(580), 58); /* all that is left, and none of it twice */
    cr_assert_eq(account.lot_count + account.overflow_lots, 0);
}

Test(lots, get_back_what_was_taken_and_never_more_than_they_held)
{
    points_t given = 0;

    add(1, 100, 10, 0);
    add(2, 50, 20, 0);
    cr_assert_eq(take(120), 2);
    allocation_t first = partition->allocations[0], second = partition->allocations[1];
    cr_assert_eq(lots_give_back(partition, &account, &first, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 100);
    cr_assert_eq(account.lots[0].id, 1); /* in its old place */
    cr_assert_eq(lots_give_back(partition, &account, &second, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 20);
    cr_assert_eq(left_of(2), 50);
    cr_assert_eq(lots_give_back(partition, &account, &second, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 0);
    cr_assert_eq(lots_give_back(partition, &account, &first, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 0);
}

Test(lots, get_back_points_in_a_row_of_their_own_too)
{
    points_t given = 0;

    for (uint64_t i = 0; i < 100; i++)
        add(1 + i, 10, (int64_t)i, 0);
    commit();
    allocation_t behind = {.lot = 90, .points = 4, .original = 10, .activated_us = 89};
    cr_assert_eq(lots_give_back(partition, &account, &behind, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 0); /* it is full */
    behind.lot = 500;       /* used up long ago */
    behind.activated_us = 95;
    cr_assert_eq(lots_give_back(partition, &account, &behind, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 4);
    cr_assert_eq(account.overflow_lots, 101 - ACCOUNT_LOTS_INLINE);
    cr_assert_eq(lots_give_back(partition, &account, &behind, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 4);
    cr_assert_eq(lots_give_back(partition, &account, &behind, &given, NULL), ERR_NONE);
    cr_assert_eq(given, 2);
    cr_assert_eq(account.overflow_lots, 101 - ACCOUNT_LOTS_INLINE);
}

/* ---- against a plain array ---- */

#define MODEL_LOTS 600

static lot_t model[MODEL_LOTS];
static uint32_t model_count;

static bool goes_before(const lot_t *a, const lot_t *b)
{
    int64_t x = a->expires_us ? a->expires_us : INT64_MAX,
            y = b->expires_us ? b->expires_us : INT64_MAX;
    if (x != y)
        return x < y;
    return a->activated_us != b->activated_us ? a->activated_us < b->activated_us : a->id < b->id;
}

static void model_add(const lot_t *lot)
{
    uint32_t at = model_count++;
    while (at > 0 && goes_before(lot, &model[at - 1])) {
        model[at] = model[at - 1];
        at--;
    }
    model[at] = *lot;
}

static void random_sequence(uint64_t seed)
{
    uint64_t state = seed, next_id = 1;

    account = (account_t){.id = 1000 + seed};
    model_count = 0;
    for (int step = 0; step < 600; step++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t dice = state >> 33;
        if (dice % 5 == 0)
            commit();
        if (dice % 100 < 60 && model_count < MODEL_LOTS) {
            lot_t lot = {.id = next_id++,
                         .original = (points_t)(1 + dice % 17),
                         .activated_us = (int64_t)(dice % 7),
                         .expires_us = (int64_t)(dice % 11 * (dice % 3))};
            lot.active = lot.original;
            cr_assert_eq(lots_add(partition, &account, &lot, NULL), ERR_NONE);
            account.available += lot.active;
            model_add(&lot);
            continue;
        }
        points_t wanted = (points_t)((dice >> 8) % 400);
        wanted = wanted > account.available ? account.available : wanted;
        uint32_t count = take(wanted), used = 0;
        for (uint32_t i = 0; i < count; i++) {
            lot_t *lot = &model[used];
            points_t part = lot->active < wanted ? lot->active : wanted;
            cr_assert_eq(partition->allocations[i].lot, lot->id, "seed %llu step %d",
                         (unsigned long long)seed, step);
            cr_assert_eq(partition->allocations[i].points, part);
            lot->active -= part;
            wanted -= part;
            used += lot->active == 0;
        }
        cr_assert_eq(wanted, 0);
        memmove(model, model + used, (model_count - used) * sizeof *model);
        model_count -= used;
        cr_assert_eq(account.lot_count + account.overflow_lots, model_count);
    }
}

Test(lots, any_sequence_takes_them_in_the_order_of_a_sorted_list)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        random_sequence(seed);
}
