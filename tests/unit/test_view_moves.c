/* test_view_moves.c - what an operator moved to a node by hand */
#include "tests/unit/viewed.h"

/* Everything that was moved is owned where it was put. */
static void viewed_check_moves(const view_t *view)
{
    for (size_t p = 0; p <= view->partitions; p++)
        cr_assert(view->moved[p] == 0 || view->moved[p] - 1 == view->copies[p][0]);
}

Test(view_moves, moves_one_partition_by_hand_and_nothing_else)
{
    for (uint8_t followers = 0; followers < VIEW_COPIES_MAX; followers++) {
        view_t *first = viewed_new(16, followers, 5);

        viewed_place(NULL, first);
        for (uint16_t p = 0; p <= 16; p++) {
            for (size_t to = 0; to < 5; to++) {
                view_t *next = viewed_after(first);
                hash_t node = first->members[to].node, owner = viewed_copy(first, p, 0), copy;

                viewed_move(first, next, p, to);
                copy = viewed_copy(next, p, 0);
                cr_assert(hash_equal(&copy, &node));
                cr_assert_eq(next->moved[p], to + 1);
                copy = viewed_copy(next, p, 1);
                /* Its data stay where they are, as a follower. */
                cr_assert(followers == 0 || hash_equal(&node, &owner) || hash_equal(&copy, &owner));
                for (uint16_t other = 0; other <= 16; other++) {
                    if (other == p)
                        continue;
                    cr_assert_eq(memcmp(next->copies[other], first->copies[other],
                                        sizeof next->copies[other]),
                                 0);
                    cr_assert_eq(next->moved[other], 0);
                }
                (void)viewed_load(next);
                free(next);
            }
        }
        free(first);
    }
}

Test(view_moves, leaves_what_was_moved_by_hand_through_all_later_views)
{
    uint64_t random = 11;
    view_t *view = viewed_new(32, 1, 4);
    unsigned number = 100;

    viewed_place(NULL, view);
    for (uint16_t p = 0; p < 12; p++) { /* half as much again as its share is */
        view_t *next = viewed_after(view);

        viewed_move(view, next, p, 0);
        free(view);
        view = next;
    }
    for (int step = 0; step < 60; step++) {
        view_t *next = viewed_after(view);
        hash_t first = view->members[0].node, owner;

        if (next->member_count > 3 && viewed_random(&random) % 2 == 0)
            viewed_remove(next, 1 + viewed_random(&random) % (next->member_count - 1u));
        else if (next->member_count < 9)
            viewed_add(next, number++, 100, "");
        viewed_place(view, next);
        viewed_check_moves(next);
        for (uint16_t p = 0; p < 12; p++) {
            owner = viewed_copy(next, p, 0);
            cr_assert(hash_equal(&owner, &first));
        }
        /* What the others own is even among them. */
        viewed_load_t load = viewed_load(next);
        unsigned fair = next->partitions / next->member_count;
        if (fair < 12) {
            unsigned rest = 20u / (next->member_count - 1u);
            cr_assert_eq(load.owned[0], 12);
            for (size_t i = 1; i < next->member_count; i++)
                cr_assert(load.owned[i] == rest || load.owned[i] == rest + 1);
        }
        free(view);
        view = next;
    }
    free(view);
}

Test(view_moves, forgets_a_move_when_its_member_is_drained_or_gone_or_it_is_moved_again)
{
    view_t *first = viewed_new(16, 1, 4), *second, *third;
    size_t at = 0, other;

    viewed_place(NULL, first);
    while (first->copies[at][0] == 2)
        at++;
    second = viewed_after(first);
    viewed_move(first, second, (uint16_t)at, 2);
    third = viewed_after(second);
    third->members[2].weight = 0;
    viewed_place(second, third);
    cr_assert_eq(third->moved[at], 0);
    cr_assert_neq(third->copies[at][0], 2);
    free(third);
    third = viewed_after(second);
    viewed_remove(third, 2);
    viewed_place(second, third);
    cr_assert_eq(third->moved[at], 0);
    (void)viewed_load(third);
    free(third);
    third = viewed_after(second);
    viewed_remove(third, 0); /* members behind it have other numbers now */
    viewed_place(second, third);
    cr_assert_eq(third->moved[at], 2);
    viewed_check_moves(third);
    free(third);
    third = viewed_after(second);
    other = second->copies[at][1];
    viewed_move(second, third, (uint16_t)at, other);
    cr_assert_eq(third->moved[at], other + 1);
    cr_assert_eq(third->copies[at][0], other);
    cr_assert_eq(third->copies[at][1], 2);
    free(third);
    third = viewed_after(second);
    third->members[1].weight = 0;
    const view_move_t to_drained = {.partition = 3, .member = 1};
    cr_assert_eq(view_place_moved(second, third, &to_drained, NULL), ERR_INVALID);
    free(third);
    free(second);
    free(first);
}

Test(view_moves, keeps_moves_and_comes_to_an_end_with_any_weights_and_members)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t random = seed * 977;
        unsigned number = 100;
        view_t *view = viewed_new((uint16_t)(1 + viewed_random(&random) % 40),
                                  (uint8_t)(viewed_random(&random) % VIEW_COPIES_MAX),
                                  (unsigned)(1 + viewed_random(&random) % 6));

        viewed_place(NULL, view);
        for (int step = 0; step < 40; step++) {
            view_t *next = viewed_after(view);
            uint16_t partition = (uint16_t)(viewed_random(&random) % (view->partitions + 1u));
            size_t member = viewed_random(&random) % view->member_count;

            switch (viewed_random(&random) % 6) {
            case 0:
                if (next->member_count < 9)
                    viewed_add(next, number++, (uint32_t)(viewed_random(&random) % 300), "");
                break;
            case 1:
                if (member > 0)
                    viewed_remove(next, member);
                break;
            case 2:
                next->members[member].weight = /* the first one always takes something */
                    (uint32_t)(viewed_random(&random) % 300) + (member == 0);
                break;
            default:
                if (next->members[member].weight > 0)
                    viewed_move(view, next, partition, member);
                break;
            }
            if (next->moved[partition] == view->moved[partition])
                viewed_place(view, next);
            viewed_check_moves(next);
            (void)viewed_load(next);
            for (size_t p = 0; p <= next->partitions; p++) {
                hash_t was =
                    view->moved[p] != 0 ? view->members[view->moved[p] - 1].node : (hash_t){{0}};
                size_t now = view->moved[p] != 0 ? view_member(next, &was) : SIZE_MAX;

                if (now != SIZE_MAX && next->members[now].weight > 0 && p != partition)
                    cr_assert_eq(next->moved[p], now + 1);
            }
            free(view);
            view = next;
        }
        free(view);
    }
}
