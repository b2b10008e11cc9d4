/* test_view.c - views: what is one, and where a new one puts partitions */
#include "cluster/channel_records.h"
#include "cluster/view.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t viewed_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void viewed_add(view_t *view, unsigned number, uint32_t weight, const char *rack)
{
    view_member_t *member = &view->members[view->member_count++];

    memset(member, 0, sizeof *member);
    member->node = hash_bytes(&number, sizeof number);
    member->incarnation = hash_bytes(&number, 1);
    (void)snprintf(member->address, sizeof member->address, "10.0.0.%u:7001", number);
    (void)snprintf(member->rack, sizeof member->rack, "%s", rack);
    member->weight = weight;
    member->feature = VIEW_FEATURE_LEVEL;
}

static view_t *viewed_new(uint16_t partitions, uint8_t followers, unsigned members)
{
    view_t *view = calloc(1, sizeof *view);

    cr_assert(view != NULL);
    view->cluster = hash_bytes("cluster", 7);
    view->number = 1;
    view->partitions = partitions;
    view->followers = followers;
    view->feature = VIEW_FEATURE_LEVEL;
    for (unsigned i = 0; i < members; i++)
        viewed_add(view, i + 1, 100, "");
    return view;
}

static view_t *viewed_after(const view_t *before)
{
    view_t *view = malloc(sizeof *view);

    cr_assert(view != NULL);
    *view = *before;
    view->number++;
    return view;
}

static void viewed_remove(view_t *view, size_t member)
{
    memmove(&view->members[member], &view->members[member + 1],
            (view->member_count - member - 1) * sizeof view->members[0]);
    view->member_count--;
}

static void viewed_place(const view_t *before, view_t *next)
{
    err_t err = {0};

    cr_assert_eq(view_place(before, next, &err), ERR_NONE, "%s", err.text);
}

/* Node of a copy; all zero when there is none. */
static hash_t viewed_copy(const view_t *view, size_t partition, size_t rank)
{
    uint8_t copy = view->copies[partition][rank];

    return copy == VIEW_NOBODY ? (hash_t){{0}} : view->members[copy].node;
}

static bool viewed_keeps(const view_t *view, size_t partition, const hash_t *node)
{
    for (size_t i = 0; i < VIEW_COPIES_MAX && view->copies[partition][i] != VIEW_NOBODY; i++) {
        if (hash_equal(&view->members[view->copies[partition][i]].node, node))
            return true;
    }
    return false;
}

typedef struct {
    unsigned owned[VIEW_MEMBERS_MAX];
    unsigned kept[VIEW_MEMBERS_MAX];
} viewed_load_t;

/* Counts, and checks what holds of every placement. */
static viewed_load_t viewed_load(const view_t *view)
{
    viewed_load_t load = {{0}, {0}};
    size_t able = 0, width;

    for (size_t i = 0; i < view->member_count; i++)
        able += view->members[i].weight > 0;
    width = able < view->followers + (size_t)1 ? able : view->followers + (size_t)1;
    for (size_t p = 0; p <= view->partitions; p++) {
        for (size_t i = 0; i < VIEW_COPIES_MAX; i++) {
            uint8_t copy = view->copies[p][i];

            cr_assert_eq(copy != VIEW_NOBODY, i < width, "partition %zu, copy %zu", p, i);
            if (copy == VIEW_NOBODY)
                continue;
            cr_assert_lt(copy, view->member_count);
            cr_assert_gt(view->members[copy].weight, 0);
            for (size_t k = 0; k < i; k++)
                cr_assert_neq(view->copies[p][k], copy);
            if (p < view->partitions) {
                load.owned[copy] += i == 0;
                load.kept[copy]++;
            }
        }
    }
    return load;
}

/* What a node may keep at most by its weight: bounded by one of each partition, so the others take more. */
static void viewed_check_bounds(const view_t *view, const char *what)
{
    viewed_load_t load = viewed_load(view);
    double weights = 0, able = 0, width, left, heavy[VIEW_MEMBERS_MAX] = {0};

    for (size_t i = 0; i < view->member_count; i++) {
        weights += view->members[i].weight;
        able += view->members[i].weight > 0;
    }
    width = able < view->followers + 1 ? able : view->followers + 1;
    for (size_t i = 0; i < view->member_count; i++) {
        double share = view->partitions * (view->members[i].weight / weights);

        cr_assert_lt(load.owned[i], share + 1.0001, "%s: %u members, member %zu owns %u of %f",
                     what, view->member_count, i, load.owned[i], share);
        cr_assert_gt(load.owned[i], share - 1.0001, "%s: %u members, member %zu owns %u of %f",
                     what, view->member_count, i, load.owned[i], share);
    }
    left = view->partitions * width;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < view->member_count; i++) {
            if (heavy[i] > 0 || view->members[i].weight == 0 ||
                left * view->members[i].weight / weights < view->partitions)
                continue;
            heavy[i] = 1;
            again = true;
            left -= view->partitions;
            weights -= view->members[i].weight;
        }
    }
    for (size_t i = 0; i < view->member_count; i++) {
        double share = heavy[i] > 0  ? view->partitions
                       : weights > 0 ? left * view->members[i].weight / weights
                                     : 0;

        cr_assert_lt(load.kept[i], share + 2.0001, "%s: %u members, member %zu keeps %u of %f",
                     what, view->member_count, i, load.kept[i], share);
    }
}

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

/* --- moves by hand ------------------------------------------------------------------------------- */

static void viewed_move(const view_t *before, view_t *next, uint16_t partition, size_t member)
{
    const view_move_t move = {.partition = partition, .member = member};
    err_t err = {0};

    cr_assert_eq(view_place_moved(before, next, &move, &err), ERR_NONE, "%s", err.text);
}

/* Everything that was moved is owned where it was put. */
static void viewed_check_moves(const view_t *view)
{
    for (size_t p = 0; p <= view->partitions; p++)
        cr_assert(view->moved[p] == 0 || view->moved[p] - 1 == view->copies[p][0]);
}

Test(view, moves_one_partition_by_hand_and_nothing_else)
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

Test(view, leaves_what_was_moved_by_hand_through_all_later_views)
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

Test(view, forgets_a_move_when_its_member_is_drained_or_gone_or_it_is_moved_again)
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

Test(view, keeps_moves_and_comes_to_an_end_with_any_weights_and_members)
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

static buffer_t viewed_bytes(const view_t *view)
{
    buffer_t bytes;

    buffer_init(&bytes, VIEW_BYTES_MAX);
    view_encode(view, &bytes);
    cr_assert(!bytes.failed);
    return bytes;
}

static errcode_t viewed_decode(const view_t *view)
{
    buffer_t bytes = viewed_bytes(view);
    view_t *back = malloc(sizeof *back);
    errcode_t rc = view_decode(back, bytes.bytes, bytes.size, NULL);

    buffer_free(&bytes);
    free(back);
    return rc;
}

Test(view, survives_being_written_and_read)
{
    for (unsigned members = 1; members <= VIEW_MEMBERS_MAX; members += 9) {
        view_t *view = viewed_new(VIEW_PARTITIONS_MAX, 3, members);
        view_t *back = malloc(sizeof *back);
        buffer_t bytes;

        memset(view->members[0].rack, 'r', VIEW_RACK_BYTES - 1);
        viewed_place(NULL, view);
        bytes = viewed_bytes(view);
        cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
        cr_assert_eq(memcmp(view, back, sizeof *view), 0);
        for (size_t n = 0; n < bytes.size; n += 1 + n / 64)
            cr_assert_eq(view_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
        buffer_free(&bytes);
        free(view);
        free(back);
    }
}

Test(view, survives_with_its_moves_and_is_none_with_moves_that_cannot_be)
{
    view_t *first = viewed_new(16, 1, 3), *view = viewed_after(first), *back = malloc(sizeof *back);
    buffer_t bytes;

    viewed_place(NULL, first);
    *view = *first;
    viewed_move(first, view, 5, 2);
    bytes = viewed_bytes(view);
    cr_assert_eq(bytes.bytes[1], VIEW_VERSION); /* who cannot read it must know that it is newer */
    cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(memcmp(view, back, sizeof *view), 0);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(view_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
    bytes.bytes[bytes.size - 17 + 5] = 0; /* of a view without moves there are no two forms */
    cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
    view->moved[5] = 2;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->moved[5] = 3;
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->feature = VIEW_FEATURE_MOVES - 1;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(first);
    free(view);
    free(back);
}

Test(view, is_none_without_members_or_with_a_partition_that_nobody_owns)
{
    view_t *view = viewed_new(16, 1, 3);

    viewed_place(NULL, view);
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->copies[16][0] = VIEW_NOBODY;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[16][1] = VIEW_NOBODY;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[16][0] = 1;
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->copies[5][1] = view->copies[5][0];
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[5][1] = 3;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[5][1] = VIEW_NOBODY;
    view->copies[5][2] = 2;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    view->copies[5][2] = VIEW_NOBODY;
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    view->members[1].node = view->members[0].node;
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(view);

    view = viewed_new(16, 1, 0);
    memset(view->copies, VIEW_NOBODY, sizeof view->copies);
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(view);
}

Test(view, is_none_with_a_member_that_cannot_be_dialled_or_printed)
{
    view_t *view = viewed_new(16, 1, 3);

    viewed_place(NULL, view);
    memcpy(view->members[1].address, "nowhere", 8);
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    memcpy(view->members[1].address, "[::1]:70", 9);
    cr_assert_eq(viewed_decode(view), ERR_NONE);
    memcpy(view->members[1].rack, "a\nb", 4);
    cr_assert_eq(viewed_decode(view), ERR_CORRUPT);
    free(view);
}

Test(view, tells_a_newer_version_from_garbage)
{
    view_t *view = viewed_new(16, 1, 1), *back = malloc(sizeof *back);
    channel_head_t head;
    buffer_t bytes;

    viewed_place(NULL, view);
    bytes = viewed_bytes(view);
    cr_assert_eq(bytes.bytes[1], 1); /* without moves every build reads it */
    bytes.bytes[1] = VIEW_VERSION + 1;
    cr_assert_eq(view_decode(back, bytes.bytes, bytes.size, NULL), ERR_STATE);
    cr_assert(channel_head_read(&head, bytes.bytes, bytes.size));
    cr_assert_eq(head.version, VIEW_VERSION + 1);
    cr_assert_eq(head.kind, CHANNEL_VIEW);
    cr_assert(hash_equal(&head.cluster, &view->cluster));
    cr_assert(!channel_head_read(&head, "no record at all", 16));
    buffer_free(&bytes);
    free(view);
    free(back);
}

Test(view, has_a_genesis_that_survives_being_written_and_read)
{
    founding_t founding = {hash_bytes("cluster", 7), 64, 1, CHANNEL_HASH_VERSION}, back;
    buffer_t bytes;

    buffer_init(&bytes, CHANNEL_GENESIS_BYTES_MAX);
    founding_encode(&founding, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(founding_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert(hash_equal(&founding.cluster, &back.cluster));
    cr_assert_eq(back.partitions, 64);
    cr_assert_eq(back.followers, 1);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(founding_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT);
    founding.partitions = VIEW_PARTITIONS_MAX + 1;
    buffer_reset(&bytes);
    founding_encode(&founding, &bytes);
    cr_assert_eq(founding_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    founding.partitions = 64;
    founding.followers = VIEW_COPIES_MAX;
    buffer_reset(&bytes);
    founding_encode(&founding, &bytes);
    cr_assert_eq(founding_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
}

static liveness_t *viewed_beat(uint16_t partitions)
{
    liveness_t *beat = calloc(1, sizeof *beat);

    cr_assert(beat != NULL);
    beat->cluster = hash_bytes("cluster", 7);
    beat->node = hash_bytes("node", 4);
    beat->incarnation = hash_bytes("process", 7);
    beat->number = 12;
    beat->view = 3;
    beat->wall_us = INT64_C(1700000000000000);
    beat->partitions = partitions;
    return beat;
}

Test(view, has_heartbeats_that_survive_being_written_and_read)
{
    liveness_t *beat = viewed_beat(VIEW_PARTITIONS_MAX), *back = malloc(sizeof *back);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    for (uint16_t p = 0; p <= VIEW_PARTITIONS_MAX; p++) {
        channel_bit_set(beat->owned, p);
        channel_bit_set(beat->stuck, p);
        channel_bit_set(beat->ready, p);
        beat->epochs[p] = UINT64_MAX - p;
    }
    beat->stopping = true;
    liveness_encode(beat, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert_eq(memcmp(beat, back, sizeof *beat), 0);
    for (size_t n = 0; n < bytes.size; n += 1 + n / 32)
        cr_assert_eq(liveness_decode(back, bytes.bytes, n, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
    free(beat);
    free(back);
}

/* 30 nodes, 1,024 partitions, one follower: what one of them says each second. */
Test(view, has_heartbeats_that_stay_small)
{
    liveness_t *beat = viewed_beat(VIEW_PARTITIONS_MAX);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    for (uint16_t p = 0; p < VIEW_PARTITIONS_MAX; p++) {
        if (p % 30 == 7) {
            channel_bit_set(beat->owned, p);
            beat->epochs[p] = 40;
        }
        if (p % 30 == 8)
            channel_bit_set(beat->ready, p);
    }
    liveness_encode(beat, &bytes);
    cr_assert_lt(bytes.size, 450, "%zu bytes", bytes.size);
    buffer_free(&bytes);
    free(beat);
}

Test(view, has_heartbeats_that_name_no_partition_that_does_not_exist)
{
    liveness_t *beat = viewed_beat(16), *back = malloc(sizeof *back);
    buffer_t bytes;

    buffer_init(&bytes, LIVENESS_BYTES_MAX);
    channel_bit_set(beat->ready, 16);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    channel_bit_set(beat->ready, 17);
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    /* Owned, but with no epoch. */
    memset(beat->ready, 0, sizeof beat->ready);
    channel_bit_set(beat->owned, 3);
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    beat->epochs[3] = 1;
    buffer_reset(&bytes);
    liveness_encode(beat, &bytes);
    cr_assert_eq(liveness_decode(back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    buffer_free(&bytes);
    free(beat);
    free(back);
}
