/* test_idempotency_rules.c - one effect per key and per reference, and the same answer for ever */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>
#include <stdio.h>

static world_t *world;
static uint32_t program;
static uint64_t account;
static uuid16_t customer;

static void set_up(void)
{
    world = world_calm(4);
    program = world_program(world, "");
    customer = customer_in(world, 0, 1);
    account = world_enrol(world, &customer, program, 0);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(idempotency_rules, .init = set_up, .fini = tear_down, .timeout = 60);

/* Encoded answer to a command; an error gives no bytes and its code. */
static errcode_t answer_of(command_t command, buffer_t *out)
{
    err_t err = {0};
    size_t ticket = ask_later(world, command);

    buffer_reset(out);
    for (int i = 0; i < 60000 && !world_answer(world, ticket, &err, NULL); i++)
        world_step(world);
    cr_assert(world_answer(world, ticket, &err, out));
    return err.code;
}

/* The same bytes but for the mark. */
static bool is_replay(const buffer_t *first, const buffer_t *second)
{
    result_t a, b;
    buffer_t again;

    cr_assert_eq(result_decode(&a, first->bytes, first->size, NULL), ERR_NONE);
    cr_assert_eq(result_decode(&b, second->bytes, second->size, NULL), ERR_NONE);
    if (a.replayed != 0 || b.replayed != 1)
        return false;
    b.replayed = 0;
    buffer_init(&again, 1024 * 1024);
    result_encode(&b, &again);
    bool same = again.size == first->size && memcmp(again.bytes, first->bytes, again.size) == 0;
    buffer_free(&again);
    return same;
}

/* Asks twice, with a restart between the second and the third time; all answers must be the first one's. */
static void expect_replays(command_t command, unsigned status)
{
    buffer_t first, later;
    result_t result;

    buffer_init(&first, 1024 * 1024);
    buffer_init(&later, 1024 * 1024);
    cr_assert_eq(answer_of(command, &first), ERR_NONE);
    cr_assert_eq(result_decode(&result, first.bytes, first.size, NULL), ERR_NONE);
    cr_assert_eq(result.status, status, "command %u: %u", command.kind, result.status);
    cr_assert_eq(answer_of(command, &later), ERR_NONE);
    cr_assert(is_replay(&first, &later), "command %u", command.kind);
    world_advance(world, 400 * INT64_C(86400000000));
    world_kill(world, 0);
    cr_assert_eq(world_start(world, 0, NULL), ERR_NONE);
    cr_assert_eq(answer_of(command, &later), ERR_NONE);
    cr_assert(is_replay(&first, &later), "command %u", command.kind);
    buffer_free(&first);
    buffer_free(&later);
}

Test(idempotency_rules, E_2_5a_the_same_key_and_body_has_one_effect)
{
    command_t command = ask_earn(account, "100");

    with_key(&command, "k1");
    expect_replays(command, 200);
    cr_assert_eq(read_balance(world, account), 100);
}

Test(idempotency_rules, E_2_5b_the_same_key_with_another_body_is_a_conflict)
{
    command_t command = ask_earn(account, "100"), other = ask_earn(account, "101");

    with_key(&command, "k1");
    with_key(&other, "k1");
    ask_done(world, command);
    cr_assert(ask_refused(world, other, 409, "idempotency_conflict"));
    cr_assert_eq(read_balance(world, account), 100);
}

Test(idempotency_rules, E_2_5c_a_refusal_is_an_answer_too)
{
    command_t command = ask_burn(account, 500), again = ask_burn(account, 500);

    with_key(&command, "k2");
    with_key(&again, "k3");
    ask_done(world, ask_earn(account, "100"));
    cr_assert(ask_refused(world, command, 400, "insufficient_points"));
    ask_done(world, ask_earn(account, "900"));
    expect_replays(again, 200);
    cr_assert(ask_refused(world, command, 400, "insufficient_points"));
    cr_assert_eq(read_balance(world, account), 500);
}

Test(idempotency_rules, R_2_5_every_kind_of_answer_replays_byte_for_byte)
{
    uuid16_t other = customer_in(world, 1, 1), neighbour = customer_in(world, 0, 500);
    uint64_t far = world_enrol(world, &other, program, 0),
             near = world_enrol(world, &neighbour, program, 0);
    uuid16_t fresh = world_customer(world, 77);
    command_t commands[] = {
        ask_earn(account, "1000"),
        ask_burn(account, 10),
        ask_adjust(account, 5),
        ask_transfer(account, far, 20),
        ask_transfer(account, near, 20),
        ask_post(account, ENTRY_REDEEM, 3),
        ask_status(account, STATUS_DORMANT),
        ask_enrol(&fresh, program),
        ask_earn(account, "0.1"),
        ask_burn(account, 100000),
        ask_adjust(account, -100000),
        ask_transfer(account, far, 100000),
    };

    ask_done(world,
             ask_define(RESOURCE_PROGRAM, program, "{\"end_date\":\"2099-01-01T00:00:00Z\"}"));
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%zu", i);
        with_key(&commands[i], key);
        expect_replays(commands[i],
                       i >= 8 ? 400
                       : commands[i].kind == COMMAND_ENROL || commands[i].kind == COMMAND_POST_ENTRY
                           ? 201
                           : 200);
    }
    cr_assert_eq(read_balance(world, account), 1000 - 10 + 5 - 20 - 20 - 3);
    cr_assert_eq(read_balance(world, far), 20);
    cr_assert_eq(read_balance(world, near), 20);
}

Test(idempotency_rules, R_2_5_a_definition_replays_too)
{
    command_t command = ask_define(RESOURCE_PROGRAM, 0,
                                   "{\"name\":\"Twice\",\"start_date\":\"2025-01-01T00:00:00Z\","
                                   "\"end_date\":\"2099-01-01T00:00:00Z\"}");
    size_t before =
        catalogue_ids(world_catalogue(world, 0), CATALOGUE_NEWEST, RESOURCE_PROGRAM, NULL, 0);

    with_key(&command, "define-1");
    expect_replays(command, 201);
    cr_assert_eq(
        catalogue_ids(world_catalogue(world, 0), CATALOGUE_NEWEST, RESOURCE_PROGRAM, NULL, 0),
        before + 1);
}

Test(idempotency_rules, R_2_5_the_scope_of_a_key_is_operation_and_customer)
{
    uuid16_t other = customer_in(world, 0, 900);
    uint64_t their = world_enrol(world, &other, program, 0);
    command_t command = ask_earn(account, "100");

    with_key(&command, "k");
    ask_done(world, command);
    command = ask_earn(their, "100");
    with_key(&command, "k");
    ask_done(world, command);
    command = ask_adjust(account, 7);
    with_key(&command, "k");
    ask_done(world, command);
    cr_assert_eq(read_balance(world, account), 107);
    cr_assert_eq(read_balance(world, their), 100);
}

Test(idempotency_rules, R_2_6_what_is_not_found_or_conflicts_takes_no_key)
{
    uint64_t nobody = id_make(slot_of_customer(&customer), 123456);
    command_t command = ask_transfer(account, nobody, 10);
    uuid16_t later = customer_in(world, 1, 1);
    command_t by_customer = ask_transfer(account, 0, 10);

    ask_done(world, ask_earn(account, "100"));
    with_key(&command, "t1");
    cr_assert_eq(ask_http(world, command), 404); /* receiver in the same partition */
    by_customer.to_customer = later;
    with_key(&by_customer, "t2");
    cr_assert_eq(ask_http(world, by_customer), 404); /* receiver in another one */
    cr_assert_eq(read_balance(world, account), 100);
    uint64_t their = world_enrol(world, &later, program, 0);
    cr_assert_eq(ask_http(world, by_customer), 200); /* a retry runs */
    cr_assert_eq(read_balance(world, account), 90);
    cr_assert_eq(read_balance(world, their), 10);
    command = ask_delete_account(account);
    command.operation = OPERATION_STATUS;
    command.if_match = 1;
    with_key(&command, "d1");
    cr_assert_eq(ask_http(world, command), 412);
    command.if_match = 0;
    cr_assert_eq(ask_http(world, command), 204);
}

Test(idempotency_rules, E_2_7a_the_same_reference_under_another_key_posts_once)
{
    command_t first = ask_earn(account, "100"), second = ask_earn(account, "100");
    buffer_t a, b;

    with_reference(&first, "T-9");
    with_reference(&second, "T-9");
    with_key(&first, "k1");
    with_key(&second, "k7");
    buffer_init(&a, 1024 * 1024);
    buffer_init(&b, 1024 * 1024);
    cr_assert_eq(answer_of(first, &a), ERR_NONE);
    cr_assert_eq(answer_of(second, &b), ERR_NONE);
    cr_assert(is_replay(&a, &b));
    cr_assert_eq(read_balance(world, account), 100);
    buffer_free(&a);
    buffer_free(&b);
}

Test(idempotency_rules, E_2_7b_the_same_reference_with_another_body_is_a_duplicate)
{
    command_t first = ask_earn(account, "100"), second = ask_earn(account, "200");

    with_reference(&first, "T-9");
    with_reference(&second, "T-9");
    with_key(&first, "k1");
    with_key(&second, "k7");
    ask_done(world, first);
    cr_assert(ask_refused(world, second, 409, "duplicate_transaction"));
    cr_assert_eq(read_balance(world, account), 100);
}

Test(idempotency_rules, R_2_7_a_reference_is_per_account_and_operation)
{
    uuid16_t other = customer_in(world, 0, 900);
    uint64_t their = world_enrol(world, &other, program, 0);
    command_t commands[] = {ask_earn(account, "10"), ask_burn(account, 5), ask_earn(their, "10"),
                            ask_post(account, ENTRY_EARN, 10)};

    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        with_reference(&commands[i], "T-1");
        ask_done(world, commands[i]);
    }
    cr_assert_eq(read_balance(world, account), 15);
    cr_assert_eq(read_balance(world, their), 10);
}

Test(idempotency_rules, R_2_7_a_reference_stays_taken_after_the_entry_was_deleted)
{
    command_t command = ask_post(account, ENTRY_EARN, 10);

    with_reference(&command, "T-1");
    uint64_t entry = ask_done(world, command);
    ask_done(world, ask_delete(entry));
    cr_assert_eq(ask_done(world, command), entry); /* the original answer */
    cr_assert_eq(read_balance(world, account), 0);
    command.points = 11;
    cr_assert(ask_refused(world, command, 409, "duplicate_transaction"));
}

Test(idempotency_rules, R_2_7_a_refusal_does_not_take_the_reference)
{
    command_t command = ask_burn(account, 50);

    with_reference(&command, "T-1");
    cr_assert(ask_refused(world, command, 400, "insufficient_points"));
    ask_done(world, ask_earn(account, "100"));
    ask_done(world, command);
    cr_assert_eq(read_balance(world, account), 50);
}

Test(idempotency_rules, E_2_8a_64_copies_in_flight_together_have_one_effect)
{
    command_t command = ask_earn(account, "100");
    size_t tickets[64];
    buffer_t answers[64];
    size_t originals = 0;

    with_key(&command, "k1");
    for (size_t i = 0; i < COUNT_OF(tickets); i++)
        tickets[i] = ask_later(world, command);
    cr_assert(world_settle(world, 1000));
    for (size_t i = 0; i < COUNT_OF(tickets); i++) {
        err_t err;
        buffer_init(&answers[i], 1024 * 1024);
        cr_assert(world_answer(world, tickets[i], &err, &answers[i]));
        cr_assert_eq(err.code, ERR_NONE);
    }
    for (size_t i = 0; i < COUNT_OF(tickets); i++) {
        result_t result;
        cr_assert_eq(result_decode(&result, answers[i].bytes, answers[i].size, NULL), ERR_NONE);
        originals += result.replayed == 0;
        if (i > 0)
            cr_assert(is_replay(&answers[0], &answers[i]));
    }
    cr_assert_eq(originals, 1);
    cr_assert_eq(read_balance(world, account), 100);
    cr_assert_eq(read_entries(world, account, NULL), 1);
    for (size_t i = 0; i < COUNT_OF(tickets); i++)
        buffer_free(&answers[i]);
}

Test(idempotency_rules, R_2_8_copies_of_a_transfer_on_its_way_wait_and_get_the_same_answer)
{
    uuid16_t other = customer_in(world, 1, 1);
    uint64_t their = world_enrol(world, &other, program, 0);
    command_t command = ask_transfer(account, their, 30),
              conflict = ask_transfer(account, their, 31);
    size_t tickets[16];
    result_t first, later;

    ask_done(world, ask_earn(account, "100"));
    with_key(&command, "t");
    with_key(&conflict, "t");
    for (size_t i = 0; i < 8; i++)
        tickets[i] = ask_later(world, command);
    world_step(world); /* the points are on their way now */
    size_t other_body = ask_later(world, conflict);
    for (size_t i = 8; i < 16; i++)
        tickets[i] = ask_later(world, command);
    cr_assert(world_settle(world, 10000));
    for (size_t i = 0; i < COUNT_OF(tickets); i++) {
        err_t err;
        buffer_t answer;
        buffer_init(&answer, 1024 * 1024);
        cr_assert(world_answer(world, tickets[i], &err, &answer));
        cr_assert_eq(err.code, ERR_NONE);
        cr_assert_eq(result_decode(&later, answer.bytes, answer.size, NULL), ERR_NONE);
        if (i == 0)
            first = later;
        cr_assert_eq(later.status, 200);
        cr_assert_eq(later.transfer, first.transfer);
        cr_assert_eq(later.to_entry, first.to_entry);
        buffer_free(&answer);
    }
    err_t err;
    buffer_t answer;
    buffer_init(&answer, 1024 * 1024);
    cr_assert(world_answer(world, other_body, &err, &answer));
    cr_assert_eq(result_decode(&later, answer.bytes, answer.size, NULL), ERR_NONE);
    cr_assert_eq(later.status, 409);
    buffer_free(&answer);
    cr_assert_eq(read_balance(world, account), 70);
    cr_assert_eq(read_balance(world, their), 30);
}

Test(idempotency_rules, a_command_past_its_deadline_is_not_run)
{
    err_t err;
    result_t result;
    command_t command = ask_earn(account, "1");

    with_key(&command, "late");
    command.deadline_us = world_now_us(world) - 1;
    cr_assert_eq(ask(world, command, &result, &err), ERR_OVERLOADED);
    cr_assert_eq(read_balance(world, account), 0);
}
