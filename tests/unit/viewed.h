/* viewed.h - views for tests: made, changed, placed, and what holds of every placement
 *
 * Contract   For the tests of views; a failed check ends the test.
 * Threads    One.
 * Ownership  A view that is returned is freed by its test.
 * Units      Nothing to say.
 * Errors     Checks of Criterion.
 */
#ifndef FEALTY_TESTS_VIEWED_H
#define FEALTY_TESTS_VIEWED_H

#include "cluster/view.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t viewed_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static inline void viewed_add(view_t *view, unsigned number, uint32_t weight, const char *rack)
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

static inline view_t *viewed_new(uint16_t partitions, uint8_t followers, unsigned members)
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

static inline view_t *viewed_after(const view_t *before)
{
    view_t *view = malloc(sizeof *view);

    cr_assert(view != NULL);
    *view = *before;
    view->number++;
    return view;
}

static inline void viewed_remove(view_t *view, size_t member)
{
    memmove(&view->members[member], &view->members[member + 1],
            (view->member_count - member - 1) * sizeof view->members[0]);
    view->member_count--;
}

static inline void viewed_place(const view_t *before, view_t *next)
{
    err_t err = {0};

    cr_assert_eq(view_place(before, next, &err), ERR_NONE, "%s", err.text);
}

/* Node of a copy; all zero when there is none. */
static inline hash_t viewed_copy(const view_t *view, size_t partition, size_t rank)
{
    uint8_t copy = view->copies[partition][rank];

    return copy == VIEW_NOBODY ? (hash_t){{0}} : view->members[copy].node;
}

static inline bool viewed_keeps(const view_t *view, size_t partition, const hash_t *node)
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
static inline viewed_load_t viewed_load(const view_t *view)
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
static inline void viewed_check_bounds(const view_t *view, const char *what)
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

static inline void viewed_move(const view_t *before, view_t *next, uint16_t partition,
                               size_t member)
{
    const view_move_t move = {.partition = partition, .member = member};
    err_t err = {0};

    cr_assert_eq(view_place_moved(before, next, &move, &err), ERR_NONE, "%s", err.text);
}

#endif
