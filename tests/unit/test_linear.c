/* test_linear.c - the checker finds the order that explains a history, and sees when there is none */
#include "tests/sim/linear.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(linear, .timeout = 30);

static linear_op_t enrol(uint64_t called, uint64_t answered, int64_t points)
{
    return (linear_op_t){
        .kind = LINEAR_ENROL, .called = called, .answered = answered, .delta = points};
}

static linear_op_t change(uint64_t called, uint64_t answered, int64_t delta, int64_t after)
{
    return (linear_op_t){.kind = LINEAR_CHANGE,
                         .called = called,
                         .answered = answered,
                         .delta = delta,
                         .after = after,
                         .after_known = true};
}

static linear_op_t unknown_change(uint64_t called, int64_t delta)
{
    return (linear_op_t){
        .kind = LINEAR_CHANGE, .called = called, .answered = LINEAR_NEVER, .delta = delta};
}

static linear_op_t look(uint64_t called, uint64_t answered, int64_t balance)
{
    return (linear_op_t){.kind = LINEAR_READ,
                         .called = called,
                         .answered = answered,
                         .after = balance,
                         .after_known = true};
}

static linear_op_t refusal(uint64_t called, uint64_t answered, int64_t balance, int64_t least)
{
    linear_op_t op = look(called, answered, balance);
    op.kind = LINEAR_SHORT;
    op.least = least;
    return op;
}

static linear_verdict_t check(const linear_op_t *ops, size_t count)
{
    char why[256] = "";
    return linear_check(ops, count, why, sizeof why);
}

#define HISTORY(...)                         \
    const linear_op_t ops[] = {__VA_ARGS__}; \
    linear_verdict_t verdict = check(ops, COUNT_OF(ops))

Test(linear, an_empty_history_holds)
{
    cr_assert_eq(check(NULL, 0), LINEAR_HOLDS);
}

Test(linear, calls_one_after_the_other_hold_when_they_add_up)
{
    HISTORY(enrol(1, 2, 100), change(3, 4, 50, 150), change(5, 6, -30, 120), look(7, 8, 120));
    cr_assert_eq(verdict, LINEAR_HOLDS);
}

Test(linear, calls_at_once_hold_in_the_order_that_their_answers_say)
{
    HISTORY(enrol(1, 2, 100), change(3, 10, 50, 120), change(4, 9, -30, 70), look(5, 11, 70));
    cr_assert_eq(verdict, LINEAR_HOLDS);
}

Test(linear, a_stale_read_fails)
{
    HISTORY(enrol(1, 2, 100), change(3, 4, 50, 150), look(5, 6, 100));
    cr_assert_eq(verdict, LINEAR_FAILS);
}

Test(linear, a_read_during_a_change_may_see_either)
{
    HISTORY(enrol(1, 2, 100), change(3, 8, 50, 150), look(4, 5, 100), look(6, 7, 150));
    cr_assert_eq(verdict, LINEAR_HOLDS);
}

Test(linear, reads_must_not_go_back)
{
    HISTORY(enrol(1, 2, 100), change(3, 8, 50, 150), look(4, 5, 150), look(6, 7, 100));
    cr_assert_eq(verdict, LINEAR_FAILS);
}

Test(linear, a_lost_acknowledged_change_fails)
{
    HISTORY(enrol(1, 2, 100), change(3, 4, 50, 150), change(5, 6, 10, 110));
    cr_assert_eq(verdict, LINEAR_FAILS);
}

Test(linear, a_change_that_happened_twice_fails)
{
    HISTORY(enrol(1, 2, 100), change(3, 4, 50, 150), look(5, 6, 200));
    cr_assert_eq(verdict, LINEAR_FAILS);
}

Test(linear, an_unknown_change_may_have_happened)
{
    HISTORY(enrol(1, 2, 100), unknown_change(3, 50), look(4, 5, 150));
    cr_assert_eq(verdict, LINEAR_HOLDS);
}

Test(linear, an_unknown_change_may_never_happen_or_much_later)
{
    HISTORY(enrol(1, 2, 100), unknown_change(3, 50), look(4, 5, 100), look(6, 7, 100));
    cr_assert_eq(verdict, LINEAR_HOLDS);
    const linear_op_t late[] = {enrol(1, 2, 100), unknown_change(3, 50), look(4, 5, 100),
                                look(6, 7, 150)};
    cr_assert_eq(check(late, COUNT_OF(late)), LINEAR_HOLDS);
}

Test(linear, an_unknown_change_does_not_happen_twice_nor_before_its_call)
{
    HISTORY(enrol(1, 2, 100), unknown_change(3, 50), look(4, 5, 150), look(6, 7, 200));
    cr_assert_eq(verdict, LINEAR_FAILS);
    const linear_op_t early[] = {enrol(1, 2, 100), look(3, 4, 150), unknown_change(5, 50)};
    cr_assert_eq(check(early, COUNT_OF(early)), LINEAR_FAILS);
}

Test(linear, a_refusal_that_rests_on_old_points_fails)
{
    HISTORY(enrol(1, 2, 0), change(3, 4, 100, 100), refusal(5, 6, 0, 50));
    cr_assert_eq(verdict, LINEAR_FAILS);
    const linear_op_t good[] = {enrol(1, 2, 0), change(3, 6, 100, 100), refusal(4, 5, 0, 50)};
    cr_assert_eq(check(good, COUNT_OF(good)), LINEAR_HOLDS);
}

Test(linear, a_refusal_though_there_were_points_enough_fails)
{
    HISTORY(enrol(1, 2, 100), refusal(3, 4, 100, 50));
    cr_assert_eq(verdict, LINEAR_FAILS);
}

Test(linear, what_is_not_there_yet_may_be_missing_and_not_afterwards)
{
    linear_op_t nothing = {.kind = LINEAR_NOTHING, .called = 2, .answered = 3};
    const linear_op_t good[] = {enrol(1, 4, 10), nothing};
    cr_assert_eq(check(good, COUNT_OF(good)), LINEAR_HOLDS);
    nothing.called = 5;
    nothing.answered = 6;
    const linear_op_t bad[] = {enrol(1, 4, 10), nothing};
    cr_assert_eq(check(bad, COUNT_OF(bad)), LINEAR_FAILS);
}

Test(linear, nobody_is_enrolled_twice)
{
    HISTORY(enrol(1, 2, 10), enrol(3, 4, 10));
    cr_assert_eq(verdict, LINEAR_FAILS);
}

Test(linear, effects_come_in_the_order_that_is_known)
{
    linear_op_t a = change(3, 8, 50, 150), b = change(4, 9, 50, 200);
    a.order = 1;
    b.order = 2;
    const linear_op_t good[] = {enrol(1, 2, 100), a, b};
    cr_assert_eq(check(good, COUNT_OF(good)), LINEAR_HOLDS);
    a.after_known = b.after_known = false; /* balances alone would allow both */
    a.order = 3;
    const linear_op_t turned[] = {enrol(1, 2, 100), a, b, look(5, 6, 150)};
    cr_assert_eq(check(turned, COUNT_OF(turned)), LINEAR_HOLDS);
    a.called = 3;
    a.answered = 4;
    b.called = 5;
    b.answered = 6;
    const linear_op_t bad[] = {enrol(1, 2, 100), a, b};
    cr_assert_eq(check(bad, COUNT_OF(bad)), LINEAR_FAILS);
}

Test(linear, a_refusal_by_status_needs_the_status)
{
    linear_op_t suspend = {.kind = LINEAR_STATUS, .called = 3, .answered = 4, .status = 1};
    linear_op_t refused = {.kind = LINEAR_REFUSED, .called = 5, .answered = 6};
    const linear_op_t good[] = {enrol(1, 2, 0), suspend, refused};
    cr_assert_eq(check(good, COUNT_OF(good)), LINEAR_HOLDS);
    const linear_op_t bad[] = {enrol(1, 2, 0), refused};
    cr_assert_eq(check(bad, COUNT_OF(bad)), LINEAR_FAILS);
}

Test(linear, too_many_open_calls_are_not_decided)
{
    linear_op_t ops[LINEAR_OPEN_MAX + 2];
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        ops[i] = unknown_change(i + 1, 1);
    cr_assert_eq(check(ops, COUNT_OF(ops)), LINEAR_UNDECIDED);
}

/* ---- random histories of a real account, then one answer bent ---- */

#define CALLS 60

static uint64_t roll(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Each call has its effect somewhere between its call and its answer. Returns how many were made. */
static size_t play(uint64_t seed, linear_op_t ops[CALLS])
{
    uint64_t state = seed, tick = 1;
    int64_t balance = 500;
    size_t count = 1, open[8], opened = 0;
    bool done[CALLS] = {false};

    ops[0] = enrol(tick, tick + 1, balance);
    tick += 2;
    while (count < CALLS || opened > 0) {
        if (opened < COUNT_OF(open) && count < CALLS && roll(&state) % 2 == 0) {
            ops[count] = roll(&state) % 2 == 0
                             ? look(tick++, LINEAR_NEVER, 0)
                             : change(tick++, LINEAR_NEVER, (int64_t)(roll(&state) % 90) - 45, 0);
            open[opened++] = count++;
        } else if (opened > 0) {
            size_t at = roll(&state) % opened, op = open[at];
            if (!done[op]) {
                balance += ops[op].kind == LINEAR_CHANGE ? ops[op].delta : 0;
                ops[op].after = balance;
                done[op] = true;
            } else {
                ops[op].answered = tick++;
                open[at] = open[--opened];
            }
        }
    }
    return count;
}

Test(linear, what_a_real_account_answered_always_holds)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        linear_op_t ops[CALLS];
        size_t count = play(seed, ops);
        cr_assert_eq(check(ops, count), LINEAR_HOLDS, "seed %llu", (unsigned long long)seed);
    }
}

Test(linear, one_bent_answer_is_found)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        linear_op_t ops[CALLS];
        size_t count = play(seed, ops);
        /* A balance that the account never had. */
        ops[1 + seed % (count - 1)].after += 1000000;
        cr_assert_eq(check(ops, count), LINEAR_FAILS, "seed %llu", (unsigned long long)seed);
    }
}
