/* test_account_status.c - what each status allows (semantics section 23), for the operations that exist */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>

static world_t *world;
static uint32_t program;

static void set_up(void)
{
    world = world_calm(4);
    program = world_program(world, "");
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(account_status, .init = set_up, .fini = tear_down, .timeout = 60);

static const struct {
    uint8_t status;
    bool moves; /* earn, burn, transfer in and out; adjustments, edits and deletes always go */
} table[] = {
    {STATUS_ACTIVE, true},   {STATUS_DORMANT, true}, {STATUS_SUSPENDED, false},
    {STATUS_BLOCKED, false}, {STATUS_CLOSED, false},
};

static uint64_t member(uint16_t partition, uint64_t number, uint8_t status)
{
    uuid16_t customer = customer_in(world, partition, number);
    uint64_t account = world_enrol(world, &customer, program, 100);
    if (status != STATUS_ACTIVE)
        ask_done(world, ask_status(account, status));
    return account;
}

Test(account_status, decides_about_earn_and_burn)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        uint64_t account = member(0, 100 * (i + 1), table[i].status);
        if (table[i].moves) {
            ask_done(world, ask_earn(account, "10"));
            ask_done(world, ask_burn(account, 10));
            ask_done(world, ask_post(account, ENTRY_EARN, 10));
            ask_done(world, ask_post(account, ENTRY_REDEEM, 10));
        } else {
            cr_assert(ask_refused(world, ask_earn(account, "10"), 400, "account_status"));
            cr_assert(ask_refused(world, ask_burn(account, 10), 400, "account_status"));
            cr_assert(ask_refused(world, ask_post(account, ENTRY_EARN, 10), 400, "account_status"));
            cr_assert(
                ask_refused(world, ask_post(account, ENTRY_REDEEM, 10), 400, "account_status"));
            cr_assert_eq(read_entries(world, account, NULL), 1); /* the opening alone */
        }
        cr_assert_eq(read_balance(world, account), 100);
    }
}

Test(account_status, allows_adjustments_corrections_and_views_always)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        uint64_t account = member(0, 100 * (i + 1), STATUS_ACTIVE);
        uint64_t earn = ask_done(world, ask_earn(account, "50"));
        uint64_t burn = ask_done(world, ask_burn(account, 20));
        ask_done(world, ask_status(account, table[i].status));
        ask_done(world, ask_adjust(account, 5));
        ask_done(world, ask_adjust(account, -5));
        ask_done(world, ask_post(account, ENTRY_ADJUST, 7));
        ask_done(world, ask_delete(burn)); /* refund of burn */
        ask_done(world, ask_delete(earn)); /* reversal of earn */
        cr_assert_eq(read_balance(world, account), 107);
        cr_assert(world_books_hold(world, account, NULL));
    }
}

Test(account_status, decides_about_both_sides_of_a_transfer)
{
    /* Receiver in the giver's own partition and in another: one record, and messages. */
    for (uint16_t partition = 0; partition < 2; partition++)
        for (size_t i = 0; i < COUNT_OF(table); i++) {
            uint64_t number = 1000 * (i + 1) + 100000u * partition;
            uint64_t active = member(0, number, STATUS_ACTIVE);
            uint64_t other = member(partition, number + 500, table[i].status);
            if (table[i].moves) {
                ask_done(world, ask_transfer(active, other, 10));
                ask_done(world, ask_transfer(other, active, 10));
            } else {
                cr_assert(
                    ask_refused(world, ask_transfer(active, other, 10), 400, "account_status"));
                cr_assert(
                    ask_refused(world, ask_transfer(other, active, 10), 400, "account_status"));
            }
            cr_assert_eq(read_balance(world, active), 100); /* the giver is whole again */
            cr_assert_eq(read_balance(world, other), 100);
            cr_assert(world_books_hold(world, active, NULL));
            cr_assert(world_books_hold(world, other, NULL));
        }
}

Test(account_status, E_23_1a_a_refused_earn_is_kept_with_its_key_and_leaves_no_row)
{
    result_t first, second;
    uint64_t account = member(0, 1, STATUS_SUSPENDED);
    command_t command = ask_earn(account, "100");

    with_key(&command, "k");
    cr_assert_eq(ask(world, command, &first, NULL), ERR_NONE);
    cr_assert(text_is(first.code, "account_status"));
    ask_done(world, ask_status(account, STATUS_ACTIVE));
    cr_assert_eq(ask(world, command, &second, NULL), ERR_NONE);
    cr_assert_eq(second.status, 400);
    cr_assert_eq(second.replayed, 1);
    cr_assert_eq(read_balance(world, account), 100);
    cr_assert_eq(read_entries(world, account, NULL), 1);
}

Test(account_status, may_be_set_at_enrolment)
{
    uuid16_t customer = world_customer(world, 9);
    command_t command = ask_enrol(&customer, program);
    account_t row;
    result_t result;

    command.set = SET_STATUS;
    command.status = STATUS_BLOCKED;
    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 201);
    world_account(world, result.account, &row);
    cr_assert_eq(row.status, STATUS_BLOCKED);
}

Test(account_status, changes_only_the_version_that_was_seen)
{
    uint64_t account = member(0, 1, STATUS_ACTIVE);
    command_t command = ask_status(account, STATUS_DORMANT);
    account_t row;

    world_account(world, account, &row);
    command.if_match = row.version + 1;
    cr_assert_eq(ask_http(world, command), 412);
    command.if_match = row.version;
    cr_assert_eq(ask_http(world, command), 200);
    cr_assert_eq(ask_http(world, command), 412);
}

Test(account_status, of_a_giver_cannot_become_closed_while_points_are_in_transit)
{
    err_t err;
    uint64_t giver = member(0, 1, STATUS_ACTIVE);
    uint64_t receiver = member(1, 1, STATUS_ACTIVE);
    size_t transfer = ask_later(world, ask_transfer(giver, receiver, 30));
    size_t closing = ask_later(world, ask_status(giver, STATUS_CLOSED));
    size_t deletion = ask_later(world, ask_delete_account(giver));

    cr_assert(world_settle(world, 10000));
    cr_assert(world_answer(world, transfer, &err, NULL));
    cr_assert(world_answer(world, closing, &err, NULL));
    cr_assert_eq(err.code, ERR_STATE);
    cr_assert(world_answer(world, deletion, &err, NULL));
    cr_assert_eq(err.code, ERR_STATE);
    ask_done(world, ask_status(giver, STATUS_CLOSED));
    cr_assert_eq(read_balance(world, giver), 70);
    cr_assert_eq(read_balance(world, receiver), 130);
}
