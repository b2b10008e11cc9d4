/* test_pending.c - requests that wait for a peer's answer */
#include "cluster/pending.h"

#include <criterion/criterion.h>

static request_t *awaited(int64_t deadline_us)
{
    return request_new(0, "c", 1, deadline_us);
}

Test(pending, finds_a_request_by_its_id_once)
{
    pending_t *table = pending_new();
    request_t *request = awaited(1);
    uint64_t id = pending_add(table, request, false, 1);
    pending_slot_t slot;

    cr_assert_eq(pending_count(table), 1);
    cr_assert(pending_take(table, id, &slot));
    cr_assert_eq(slot.request, request);
    cr_assert(!pending_take(table, id, &slot));
    cr_assert(!pending_take(table, 12345, &slot));
    cr_assert_eq(pending_count(table), 0);
    request_release(request);
    pending_destroy(&table);
}

Test(pending, does_not_give_a_place_to_the_answer_of_its_former_request)
{
    pending_t *table = pending_new();
    request_t *first = awaited(1), *second = awaited(1);
    uint64_t old_id = pending_add(table, first, false, 1);
    uint64_t new_id;
    pending_slot_t slot;

    cr_assert(pending_take(table, old_id, &slot));
    new_id = pending_add(table, second, false, 1);
    cr_assert_neq(new_id, old_id);
    cr_assert(!pending_take(table, old_id, &slot));
    cr_assert(pending_take(table, new_id, &slot));
    request_release(first);
    request_release(second);
    pending_destroy(&table);
}

Test(pending, gives_out_the_overdue_ones_only)
{
    pending_t *table = pending_new();
    request_t *requests[10];
    uint32_t at = 0;
    pending_slot_t slot;
    int taken = 0;

    for (int i = 0; i < 10; i++) {
        requests[i] = awaited(i * 100);
        (void)pending_add(table, requests[i], i % 2 == 1, 1 + (uint64_t)i / 5);
    }
    while (pending_take_next(table, &at, 399, 0, &slot)) {
        cr_assert_leq(slot.request->deadline_us, 399);
        taken++;
    }
    cr_assert_eq(taken, 4);
    at = 0;
    taken = 0;
    while (pending_take_next(table, &at, INT64_MAX, 1, &slot))
        taken++;
    cr_assert_eq(taken, 1, "the rest of the first frame");
    at = 0;
    while (pending_take_next(table, &at, INT64_MAX, 0, &slot))
        taken++;
    cr_assert_eq(taken, 6);
    cr_assert_eq(pending_count(table), 0);
    for (int i = 0; i < 10; i++)
        request_release(requests[i]);
    pending_destroy(&table);
}

Test(pending, holds_as_many_as_it_says)
{
    pending_t *table = pending_new();
    request_t *request = awaited(1);
    uint32_t at = 0, taken = 0;
    pending_slot_t slot;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PENDING_MAX; i++)
            (void)pending_add(table, request, false, 1);
        cr_assert_eq(pending_count(table), PENDING_MAX);
        at = 0;
        while (pending_take_next(table, &at, INT64_MAX, 0, &slot))
            taken++;
    }
    cr_assert_eq(taken, 3 * PENDING_MAX);
    request_release(request);
    pending_destroy(&table);
}
