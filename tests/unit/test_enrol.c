/* test_enrol.c - accounts come, change and go (api-resources 2.3) */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>

static world_t *world;
static uint32_t program;
static uuid16_t customer;

static void set_up(void)
{
    world = world_calm(4);
    program = world_program(world, "");
    customer = world_customer(world, 1);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(enrol, .init = set_up, .fini = tear_down, .timeout = 60);

Test(enrol, gives_an_id_that_carries_the_slot_of_the_customer)
{
    account_t row;
    uint64_t account = world_enrol(world, &customer, program, 0);

    cr_assert_eq(id_slot(account), slot_of_customer(&customer));
    world_account(world, account, &row);
    cr_assert_eq(row.id, account);
    cr_assert(uuid_equal(&row.customer, &customer));
    cr_assert_eq(row.program, program);
    cr_assert_eq(row.status, STATUS_ACTIVE);
    cr_assert_eq(row.available, 0);
    cr_assert_eq(row.tier, 0);
    cr_assert_eq(row.version, 1);
    cr_assert_eq(row.created_us, row.updated_us);
}

Test(enrol, answers_with_the_account_row)
{
    account_t row;
    result_t result;

    cr_assert_eq(ask(world, ask_enrol(&customer, program), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 201);
    cr_assert_eq(result.renderer, RENDER_ACCOUNT_1);
    cr_assert_eq(account_decode(&row, result.row.bytes, result.row.n, NULL), ERR_NONE);
    cr_assert_eq(row.id, result.account);
    cr_assert_eq(row.version, result.version);
}

Test(enrol, posts_the_opening_balance_as_an_adjustment)
{
    points_t sum = 0;
    account_t row;
    uint64_t account = world_enrol(world, &customer, program, 500);

    cr_assert_eq(read_entries(world, account, &sum), 1);
    cr_assert_eq(sum, 500);
    cr_assert_eq(read_count(world, program, ENTRY_ADJUST), 1);
    world_account(world, account, &row);
    cr_assert_eq(row.earned, 0);
    cr_assert(world_books_hold(world, account, NULL));
}

Test(enrol, ignores_the_opening_balance_of_a_caller_who_may_not_adjust)
{
    result_t result;
    command_t command = ask_enrol(&customer, program);

    command.rights = 0;
    command.points = 500;
    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 201);
    cr_assert_eq(read_balance(world, result.account), 0);
    cr_assert_eq(read_entries(world, result.account, NULL), 0);
}

Test(enrol, happens_once_per_customer_and_program)
{
    err_t err;
    result_t result;
    uint32_t other = world_program(world, "");

    world_enrol(world, &customer, program, 0);
    cr_assert_eq(ask(world, ask_enrol(&customer, program), &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "non_field_errors");
    world_enrol(world, &customer, other, 0);
}

Test(enrol, refuses_what_does_not_exist_or_fit)
{
    err_t err;
    result_t result;
    uint32_t other = world_program(world, "");
    uint32_t tier = world_tier(world, other, "\"name\":\"elsewhere\"");
    command_t command = ask_enrol(&customer, 999);

    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "program");
    command = ask_enrol(&customer, program);
    command.set = SET_TIER;
    command.tier = 999;
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "tier");
    command.tier = tier;
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "tier");
    command = ask_enrol(&customer, program);
    command.points = POINTS_MAX + 1;
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "points_balance");
    command.points = -1;
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    command.points = POINTS_MAX;
    cr_assert_eq(ask_http(world, command), 201);
}

Test(enrol, assigns_the_highest_tier_that_the_balance_reaches_unless_one_is_given)
{
    account_t row;
    uint32_t low = world_tier(world, program, "\"name\":\"low\",\"min_points\":0,\"priority\":1");
    uint32_t high =
        world_tier(world, program, "\"name\":\"high\",\"min_points\":100,\"priority\":2");
    uuid16_t rich = world_customer(world, 2), picked = world_customer(world, 3);
    command_t command = ask_enrol(&picked, program);
    result_t result;

    world_account(world, world_enrol(world, &customer, program, 99), &row);
    cr_assert_eq(row.tier, low);
    world_account(world, world_enrol(world, &rich, program, 100), &row);
    cr_assert_eq(row.tier, high);
    command.set = SET_TIER;
    command.tier = high;
    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    world_account(world, result.account, &row);
    cr_assert_eq(row.tier, high);
}

Test(enrol, again_after_a_deletion_starts_from_nothing_and_keeps_the_old_books)
{
    points_t sum = 0;
    account_t row;
    uint64_t old = world_enrol(world, &customer, program, 70);

    cr_assert_eq(ask_http(world, ask_delete_account(old)), 204);
    cr_assert_eq(ask_http(world, ask_earn(old, "1")), 404);
    cr_assert_eq(ask_http(world, ask_delete_account(old)), 404);
    uint64_t fresh = world_enrol(world, &customer, program, 0);
    cr_assert_neq(fresh, old);
    cr_assert_eq(read_balance(world, fresh), 0);
    ask_done(world, ask_earn(fresh, "5"));
    cr_assert_eq(ask_http(world, ask_earn(old, "1")), 404);
    world_account(world, old, &row);
    cr_assert(row.deleted);
    cr_assert_eq(row.available, 70);
    cr_assert_eq(read_entries(world, old, &sum), 1);
    cr_assert_eq(sum, 70);
    cr_assert(world_books_hold(world, old, NULL));
    cr_assert(world_books_hold(world, fresh, NULL));
    cr_assert_eq(ask_http(world, ask_delete_account(fresh)), 204);
    uint64_t third = world_enrol(world, &customer, program, 3);
    cr_assert(world_books_hold(world, old, NULL));
    cr_assert(world_books_hold(world, fresh, NULL));
    cr_assert(world_books_hold(world, third, NULL));
}

Test(enrol, never_gives_an_id_twice_even_after_a_restart)
{
    uint64_t seen[64];
    size_t count = 0;

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 4; i++) {
            uuid16_t somebody = customer_in(world, 1, (uint64_t)(round * 1000 + i * 100));
            uint64_t account = world_enrol(world, &somebody, program, 0);
            seen[count++] = id_sequence(account);
            seen[count++] = id_sequence(ask_done(world, ask_earn(account, "1")));
        }
        world_kill(world, 0);
        cr_assert_eq(world_start(world, 0, NULL), ERR_NONE);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(seen[i], seen[j]);
}

Test(enrol, without_any_entry_takes_its_id_for_good_too)
{
    uint64_t last = 0;

    for (uint64_t i = 0; i < 5; i++) {
        uuid16_t somebody = customer_in(world, 1, 100 * i);
        uint64_t sequence = id_sequence(world_enrol(world, &somebody, program, 0));
        cr_assert_gt(sequence, last);
        last = sequence;
        world_kill(world, 0);
        cr_assert_eq(world_start(world, 0, NULL), ERR_NONE);
    }
}

Test(enrol, sets_the_balance_by_an_adjustment_on_update)
{
    account_t row;
    result_t result;
    uint64_t account = world_enrol(world, &customer, program, 100);
    command_t command = {.kind = COMMAND_EDIT_ACCOUNT,
                         .account = account,
                         .set = SET_BALANCE,
                         .points = 130,
                         .rights = RIGHT_ADJUST};

    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 200);
    cr_assert_eq(read_balance(world, account), 130);
    command.points = 30;
    cr_assert_eq(ask_http(world, command), 200);
    cr_assert_eq(read_balance(world, account), 30);
    cr_assert_eq(ask_http(world, command), 200); /* no change, no entry */
    cr_assert_eq(read_entries(world, account, NULL), 3);
    command.points = -1;
    cr_assert_eq(ask_http(world, command), 400);
    command.points = POINTS_MAX + 1;
    cr_assert_eq(ask_http(world, command), 400);
    command.points = 1000;
    command.rights = 0;
    cr_assert_eq(ask_http(world, command), 200); /* ignored without the permission */
    world_account(world, account, &row);
    cr_assert_eq(row.available, 30);
    cr_assert(world_books_hold(world, account, NULL));
}

Test(enrol, fixes_customer_and_program_for_good)
{
    err_t err;
    result_t result;
    uint64_t account = world_enrol(world, &customer, program, 0);
    command_t command = {
        .kind = COMMAND_EDIT_ACCOUNT, .account = account, .set = SET_CUSTOMER | SET_PROGRAM};

    command.customer = customer;
    command.program = program;
    cr_assert_eq(ask_http(world, command), 200);
    command.program = program + 1;
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "program");
    command.program = program;
    command.customer = world_customer(world, 2);
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "customer_id");
}

Test(enrol, edits_tier_and_status_of_the_version_that_was_seen)
{
    account_t row;
    result_t result;
    uint32_t tier = world_tier(world, program, "\"name\":\"top\",\"min_points\":1000");
    uint64_t account = world_enrol(world, &customer, program, 0);
    command_t command = {.kind = COMMAND_EDIT_ACCOUNT,
                         .account = account,
                         .set = SET_TIER | SET_STATUS,
                         .tier = tier,
                         .status = STATUS_SUSPENDED,
                         .if_match = 1};

    cr_assert_eq(ask(world, command, &result, NULL), ERR_NONE);
    cr_assert_eq(result.version, 2);
    world_account(world, account, &row);
    cr_assert_eq(row.tier, tier);
    cr_assert_eq(row.status, STATUS_SUSPENDED);
    cr_assert_eq(ask_http(world, command), 412);
    command.if_match = 0;
    command.tier = 0; /* null */
    command.set = SET_TIER;
    cr_assert_eq(ask_http(world, command), 200);
    world_account(world, account, &row);
    cr_assert_eq(row.tier, 0);
}
