/* test_view.c - where a new view puts partitions */
#include "tests/unit/viewed.h"

Test(view, gives_the_first_member_everything)
{
    view_t *view = viewed_new(16, 1, 1);

    viewed_place(NULL, view);
    for (size_t p = 0; p <= 16; p++) {
        cr_assert_eq(view->copies[p][0], 0);
        cr_assert_eq(view->copies[p][1], VIEW_NOBODY);
    }
    free(view);
}

Test(view, gives_every_node_its_share_of_owners_and_copies)
{
    static const uint16_t sizes[] = {1, 3, 16, 17, 64, 100, 256};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (uint8_t followers = 0; followers < VIEW_COPIES_MAX; followers++) {
            for (unsigned members = 1; members <= 30; members++) {
                view_t *view = viewed_new(sizes[s], followers, members);

                viewed_place(NULL, view);
                viewed_check_bounds(view, "first");
                free(view);
            }
        }
    }
}

Test(view, gives_shares_by_weight)
{
    uint64_t random = 7;

    for (int round = 0; round < 300; round++) {
        unsigned members = 1 + (unsigned)(viewed_random(&random) % 30);
        view_t *view = viewed_new((uint16_t)(1 + viewed_random(&random) % 128),
                                  (uint8_t)(viewed_random(&random) % VIEW_COPIES_MAX), members);

        for (unsigned i = 0; i < members; i++)
            view->members[i].weight = (uint32_t)(viewed_random(&random) % 400);
        view->members[0].weight++;
        viewed_place(NULL, view);
        viewed_check_bounds(view, "weights");
        free(view);
    }
}

Test(view, takes_the_largest_cluster_and_the_largest_weights)
{
    view_t *view = viewed_new(VIEW_PARTITIONS_MAX, VIEW_COPIES_MAX - 1, VIEW_MEMBERS_MAX);
    view_t *next;

    for (size_t i = 0; i < VIEW_MEMBERS_MAX; i++)
        view->members[i].weight = UINT32_MAX;
    viewed_place(NULL, view);
    viewed_check_bounds(view, "largest");
    next = viewed_after(view);
    viewed_remove(next, 17);
    viewed_place(view, next);
    viewed_check_bounds(next, "largest, one gone");
    free(view);
    free(next);
}

Test(view, moves_nothing_of_equal_members)
{
    for (unsigned members = 1; members <= 30; members++) {
        view_t *view = viewed_new(64, 2, members), *next;

        for (unsigned i = 0; i < members; i++)
            (void)snprintf(view->members[i].rack, VIEW_RACK_BYTES, "r%u", i % 3);
        viewed_place(NULL, view);
        next = viewed_after(view);
        /* A restart of one of them, and another address. */
        next->members[0].incarnation = hash_bytes("again", 5);
        memcpy(next->members[0].address, "10.9.9.9:7001", 14);
        memset(next->copies, 0x77, sizeof next->copies);
        viewed_place(view, next);
        cr_assert_eq(memcmp(view->copies, next->copies, sizeof next->copies), 0);
        free(view);
        free(next);
    }
}

/* Whatever road led to it: once even, computing it again from itself with one weight changed back and forth returns to
 * even shares, and with the same members to the very same. */
Test(view, is_even_after_any_way)
{
    uint64_t random = 11;

    for (int way = 0; way < 40; way++) {
        view_t *view = viewed_new((uint16_t)(1 + viewed_random(&random) % 100),
                                  (uint8_t)(viewed_random(&random) % VIEW_COPIES_MAX), 1);
        unsigned number = 2;

        viewed_place(NULL, view);
        for (int step = 0; step < 40; step++) {
            view_t *next = viewed_after(view);

            switch (viewed_random(&random) % 4) {
            case 0:
            case 1:
                if (next->member_count < 30)
                    viewed_add(next, number++, (uint32_t)(50 + viewed_random(&random) % 200), "");
                break;
            case 2:
                if (next->member_count > 1)
                    viewed_remove(next, viewed_random(&random) % next->member_count);
                break;
            default:
                next->members[viewed_random(&random) % next->member_count].weight =
                    (uint32_t)(1 + viewed_random(&random) % 300);
            }
            viewed_place(view, next);
            viewed_check_bounds(next, "way");
            free(view);
            view = next;
        }
        free(view);
    }
}

Test(view, moves_few_partitions_when_a_node_joins)
{
    static const uint16_t sizes[] = {16, 64, 100, 256};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (uint8_t followers = 0; followers < VIEW_COPIES_MAX; followers++) {
            view_t *view = viewed_new(sizes[s], followers, 1);

            viewed_place(NULL, view);
            for (unsigned members = 2; members <= 30; members++) {
                view_t *next = viewed_after(view);
                hash_t joined;
                unsigned moved = 0;

                viewed_add(next, members, 100, "");
                joined = next->members[members - 1].node;
                viewed_place(view, next);
                viewed_check_bounds(next, "join");
                for (size_t p = 0; p <= sizes[s]; p++) {
                    hash_t was = viewed_copy(view, p, 0), now = viewed_copy(next, p, 0);

                    /* To the one that joined, or nowhere. */
                    if (!hash_equal(&was, &now)) {
                        cr_assert(hash_equal(&now, &joined));
                        cr_assert_lt(p, sizes[s]);
                        moved++;
                    }
                }
                cr_assert_leq(moved, (sizes[s] + members - 1) / members);
                cr_assert_geq(moved, sizes[s] / members);
                free(view);
                view = next;
            }
            free(view);
        }
    }
}

/* Copies too: what an old member gets that it did not have before is a movement between the others. */
Test(view, moves_few_copies_between_the_others_when_a_node_joins)
{
    unsigned needless = 0, needed = 0;

    for (uint8_t followers = 1; followers < VIEW_COPIES_MAX; followers++) {
        view_t *view = viewed_new(64, followers, followers + 1u);

        viewed_place(NULL, view);
        for (unsigned members = followers + 2u; members <= 30; members++) {
            view_t *next = viewed_after(view);

            viewed_add(next, members, 100, "");
            viewed_place(view, next);
            for (size_t p = 0; p < 64; p++) {
                for (size_t i = 0; i < VIEW_COPIES_MAX && next->copies[p][i] != VIEW_NOBODY; i++) {
                    hash_t node = viewed_copy(next, p, i);

                    if (viewed_keeps(view, p, &node))
                        continue;
                    if (next->copies[p][i] == members - 1)
                        needed++;
                    else
                        needless++;
                }
            }
            free(view);
            view = next;
        }
        free(view);
    }
    /* Evening the copies to the last one costs a few: 8 beside 1,192 here. */
    cr_assert_lt(needless * 50, needed, "%u beside %u", needless, needed);
}

Test(view, moves_only_what_a_node_had_when_it_leaves)
{
    unsigned moved = 0, to_first_follower = 0, to_follower = 0, needless = 0, copied = 0;

    for (uint8_t followers = 1; followers < VIEW_COPIES_MAX; followers++) {
        view_t *view = viewed_new(64, followers, 30);
        uint64_t random = followers;

        viewed_place(NULL, view);
        while (view->member_count > 1) {
            view_t *next = viewed_after(view);
            size_t leaver = viewed_random(&random) % view->member_count;
            hash_t left = view->members[leaver].node;

            viewed_remove(next, leaver);
            viewed_place(view, next);
            viewed_check_bounds(next, "leave");
            for (size_t p = 0; p <= 64; p++) {
                hash_t was = viewed_copy(view, p, 0), now = viewed_copy(next, p, 0);
                hash_t first = viewed_copy(view, p, 1);

                if (!hash_equal(&was, &now)) {
                    cr_assert(hash_equal(&was, &left), "%u members", next->member_count);
                    moved++;
                    to_first_follower += hash_equal(&now, &first);
                    to_follower += viewed_keeps(view, p, &now);
                }
                for (size_t i = 0; i < VIEW_COPIES_MAX && next->copies[p][i] != VIEW_NOBODY; i++) {
                    hash_t node = viewed_copy(next, p, i);

                    if (viewed_keeps(view, p, &node))
                        continue;
                    copied++;
                    needless += !viewed_keeps(view, p, &left);
                }
            }
            free(view);
            view = next;
        }
        free(view);
    }
    cr_log_info("moved %u, first %u, follower %u, copied %u, needless %u", moved, to_first_follower,
                to_follower, copied, needless);
    cr_assert_gt(to_first_follower * 10, moved * 6, "%u of %u", to_first_follower, moved);
    cr_assert_gt(to_follower * 100, moved * 85, "%u of %u", to_follower, moved);
    cr_assert_lt(needless * 20, copied, "%u of %u", needless, copied);
}

Test(view, takes_everything_from_a_drained_member_and_gives_it_back_later)
{
    view_t *view = viewed_new(64, 1, 4), *drained, *again;
    viewed_load_t load;

    viewed_place(NULL, view);
    drained = viewed_after(view);
    drained->members[2].weight = 0;
    viewed_place(view, drained);
    load = viewed_load(drained);
    cr_assert_eq(load.kept[2], 0);
    for (size_t p = 0; p < 64; p++) {
        if (view->copies[p][0] != 2)
            cr_assert_eq(view->copies[p][0], drained->copies[p][0]);
    }
    /* It still follows the catalogue, behind all that have a place. */
    cr_assert_eq(view_rank(drained, 0, 2), SIZE_MAX);
    cr_assert_geq(view_rank(drained, 64, 2), 2);
    cr_assert_lt(view_rank(drained, 64, 2), 4);
    again = viewed_after(drained);
    again->members[2].weight = 100;
    viewed_place(drained, again);
    viewed_check_bounds(again, "again");
    free(view);
    free(drained);
    free(again);
}

Test(view, puts_followers_on_other_racks)
{
    for (uint8_t followers = 1; followers < 3; followers++) {
        for (unsigned racks = followers + 1u; racks <= 5; racks++) {
            for (unsigned each = 1; each <= 5; each++) {
                view_t *view = viewed_new(64, followers, racks * each);

                for (unsigned i = 0; i < racks * each; i++)
                    (void)snprintf(view->members[i].rack, VIEW_RACK_BYTES, "rack %u", i % racks);
                viewed_place(NULL, view);
                viewed_check_bounds(view, "racks");
                for (size_t p = 0; p <= 64; p++) {
                    for (size_t i = 1; i <= followers; i++) {
                        for (size_t k = 0; k < i; k++)
                            cr_assert_str_neq(view->members[view->copies[p][i]].rack,
                                              view->members[view->copies[p][k]].rack,
                                              "%u racks of %u, partition %zu", racks, each, p);
                    }
                }
                free(view);
            }
        }
    }
}

Test(view, keeps_racks_apart_while_nodes_come_and_go)
{
    uint64_t random = 23;
    view_t *view = viewed_new(64, 1, 0);
    unsigned number = 1, clashing = 0, seen = 0;

    for (unsigned i = 0; i < 9; i++, number++) {
        char rack[8];

        (void)snprintf(rack, sizeof rack, "r%u", i % 3);
        viewed_add(view, number, 100, rack);
    }
    viewed_place(NULL, view);
    for (int step = 0; step < 200; step++) {
        view_t *next = viewed_after(view);
        size_t gone = viewed_random(&random) % next->member_count;
        char rack[VIEW_RACK_BYTES];

        /* One goes, then another one comes in its rack. */
        memcpy(rack, next->members[gone].rack, sizeof rack);
        if (step % 2 == 0) {
            viewed_remove(next, gone);
        } else {
            static const char *const names[] = {"r0", "r1", "r2"};
            unsigned count[3] = {0};
            unsigned fewest = 0;

            for (size_t i = 0; i < next->member_count; i++)
                count[next->members[i].rack[1] - '0']++;
            for (unsigned i = 1; i < 3; i++)
                fewest = count[i] < count[fewest] ? i : fewest;
            viewed_add(next, number++, 100, names[fewest]);
        }
        viewed_place(view, next);
        viewed_check_bounds(next, "racks on the way");
        for (size_t p = 0; p < 64; p++) {
            seen++;
            clashing += strcmp(next->members[next->copies[p][0]].rack,
                               next->members[next->copies[p][1]].rack) == 0;
        }
        free(view);
        view = next;
    }
    cr_assert_lt(clashing * 100, seen, "%u of %u", clashing, seen);
    free(view);
}

Test(view, keeps_its_bounds_where_racks_are_too_uneven_for_them)
{
    view_t *view = viewed_new(64, 1, 6);

    for (size_t i = 0; i < 6; i++)
        memcpy(view->members[i].rack, i == 0 ? "a" : "b", 2);
    viewed_place(NULL, view);
    viewed_check_bounds(view, "uneven racks");
    free(view);
}

Test(view, refuses_to_place_what_cannot_be_placed)
{
    view_t *view = viewed_new(16, 1, 0), *other = viewed_new(17, 1, 2);

    cr_assert_eq(view_place(NULL, view, NULL), ERR_INVALID);
    viewed_add(view, 1, 0, "");
    viewed_add(view, 2, 0, "");
    cr_assert_eq(view_place(NULL, view, NULL), ERR_INVALID);
    view->members[0].weight = 1;
    viewed_place(NULL, view);
    cr_assert_eq(view_place(view, other, NULL), ERR_INVALID);
    free(view);
    free(other);
}

Test(view, ranks_the_owner_the_followers_and_for_the_catalogue_everybody)
{
    view_t *view = viewed_new(16, 1, 5);
    bool taken[5] = {false};

    viewed_place(NULL, view);
    cr_assert_eq(view_rank(view, 3, view->copies[3][0]), 0);
    cr_assert_eq(view_rank(view, 3, view->copies[3][1]), 1);
    for (size_t i = 0; i < 5; i++) {
        size_t rank = view_rank(view, 16, i);

        cr_assert_lt(rank, 5);
        cr_assert(!taken[rank]);
        taken[rank] = true;
        if (view->copies[3][0] != i && view->copies[3][1] != i)
            cr_assert_eq(view_rank(view, 3, i), SIZE_MAX);
    }
    cr_assert_eq(view_rank(view, 16, 5), SIZE_MAX);
    free(view);
}
