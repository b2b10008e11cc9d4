/* test_entries.c - entries posted, edited and deleted by hand (api-resources 2.4) */
#include "tests/sim/ask.h"

#include <criterion/criterion.h>

static world_t *world;
static uint32_t program;
static uint64_t account;

static void set_up(void)
{
    world = world_calm(2);
    program = world_program(world, "");
    uuid16_t customer = world_customer(world, 1);
    account = world_enrol(world, &customer, program, 0);
}

static void tear_down(void)
{
    world_destroy(&world);
}

TestSuite(entries, .init = set_up, .fini = tear_down, .timeout = 60);

/* Balance, sum of visible deltas, sum of all postings and the books say the same. */
static void expect_balance(points_t expected)
{
    points_t sum = 0;
    err_t err = {0};

    cr_assert_eq(read_balance(world, account), expected);
    read_entries(world, account, &sum);
    cr_assert_eq(sum, expected, "visible entries add up to %lld", (long long)sum);
    cr_assert(world_books_hold(world, account, &err), "%s", err.text);
}

static entry_t entry_row(uint64_t id)
{
    entry_t entry;
    buffer_t bytes;

    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    cr_assert(read_entry(world, id, &entry, &bytes));
    buffer_free(&bytes);
    return entry; /* its texts are gone */
}

Test(entries, have_the_sign_of_their_type)
{
    ask_done(world, ask_post(account, ENTRY_EARN, 100));
    expect_balance(100);
    ask_done(world, ask_post(account, ENTRY_REDEEM, 30));
    expect_balance(70);
    ask_done(world, ask_post(account, ENTRY_ADJUST, -20));
    expect_balance(50);
    ask_done(world, ask_post(account, ENTRY_ADJUST, 5));
    expect_balance(55);
}

Test(entries, answer_with_the_row)
{
    result_t result;
    entry_t entry;

    cr_assert_eq(ask(world, ask_post(account, ENTRY_REDEEM, 1), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 400); /* nothing to spend: D */
    cr_assert_eq(result.renderer, RENDER_DETAIL_1);
    cr_assert_eq(ask(world, ask_post(account, ENTRY_EARN, 9), &result, NULL), ERR_NONE);
    cr_assert_eq(result.status, 201);
    cr_assert_eq(result.renderer, RENDER_ENTRY_1);
    cr_assert_eq(entry_decode(&entry, result.row.bytes, result.row.n, NULL), ERR_NONE);
    cr_assert_eq(entry.id, result.entry);
    cr_assert_eq(entry.balance_after, 9);
}

Test(entries, need_an_amount_that_fits_their_type)
{
    static const struct {
        uint8_t type;
        points_t amount;
    } bad[] = {
        {ENTRY_EARN, 0},           {ENTRY_EARN, -1},
        {ENTRY_REDEEM, 0},         {ENTRY_REDEEM, -1},
        {ENTRY_ADJUST, 0},         {ENTRY_EARN, INT64_MAX},
        {ENTRY_ADJUST, INT64_MIN}, {ENTRY_EARN, POINTS_MAX + 1},
        {ENTRY_TRANSFER_IN, 1},    {ENTRY_REVERSAL, 1},
        {ENTRY_EXPIRE, 1},         {0, 1},
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        err_t err;
        result_t result;
        cr_assert_eq(ask(world, ask_post(account, bad[i].type, bad[i].amount), &result, &err),
                     ERR_INVALID, "%zu", i);
        cr_assert_str_eq(err.field, bad[i].type >= ENTRY_EARN && bad[i].type <= ENTRY_ADJUST
                                        ? "amount"
                                        : "transaction_type");
    }
    cr_assert(ask_refused(world, ask_post(account, ENTRY_ADJUST, -1), 400, "insufficient_points"));
    expect_balance(0);
}

Test(entries, raw_earns_run_no_rules_but_count_for_life_and_tier)
{
    account_t row;
    uint32_t tier = world_tier(world, program,
                               "\"name\":\"T\",\"min_points\":50,\"points_multiplier\":\"2.000\"");

    ask_done(world, ask_post(account, ENTRY_EARN, 60));
    ask_done(world, ask_post(account, ENTRY_EARN, 60));
    world_account(world, account, &row);
    cr_assert_eq(row.available, 120); /* no multiplier */
    cr_assert_eq(row.earned, 120);
    cr_assert_eq(row.tier, tier);
    ask_done(world, ask_post(account, ENTRY_REDEEM, 20));
    world_account(world, account, &row);
    cr_assert_eq(row.redeemed, 20);
}

Test(entries, an_edited_amount_shows_on_the_row_and_posts_the_difference_hidden)
{
    account_t row;
    uint64_t earn = ask_done(world, ask_post(account, ENTRY_EARN, 100));

    ask_done(world, ask_edit(earn, 0, 150));
    expect_balance(150);
    entry_t entry = entry_row(earn);
    cr_assert_eq(entry.amount, 150);
    cr_assert_eq(entry.delta, 150);
    cr_assert_eq(entry.posted, 100); /* the posting never changes */
    cr_assert_eq(entry.version, 2);
    cr_assert_eq(read_entries(world, account, NULL), 1);
    world_account(world, account, &row);
    cr_assert_eq(row.entries, 2);
    cr_assert_eq(row.earned, 150);
    ask_done(world, ask_edit(earn, 0, 20));
    expect_balance(20);
    world_account(world, account, &row);
    cr_assert_eq(row.earned, 20);
    cr_assert_eq(read_count(world, program, 0), 1);
}

Test(entries, an_edited_type_turns_the_sign)
{
    account_t row;

    ask_done(world, ask_post(account, ENTRY_EARN, 100));
    uint64_t entry = ask_done(world, ask_post(account, ENTRY_EARN, 40));
    ask_done(world, ask_edit(entry, ENTRY_REDEEM, 40));
    expect_balance(60);
    world_account(world, account, &row);
    cr_assert_eq(row.earned, 100);
    cr_assert_eq(row.redeemed, 40);
    cr_assert_eq(read_count(world, program, ENTRY_EARN), 1);
    cr_assert_eq(read_count(world, program, ENTRY_REDEEM), 1);
    ask_done(world, ask_edit(entry, ENTRY_ADJUST, 40));
    expect_balance(140);
    world_account(world, account, &row);
    cr_assert_eq(row.redeemed, 0);
    ask_done(world, ask_edit(entry, ENTRY_EARN, 40)); /* no points move, the figures do */
    expect_balance(140);
    world_account(world, account, &row);
    cr_assert_eq(row.earned, 140);
}

Test(entries, an_edit_that_would_overdraw_is_refused)
{
    uint64_t earn = ask_done(world, ask_post(account, ENTRY_EARN, 100));

    ask_done(world, ask_post(account, ENTRY_REDEEM, 80));
    cr_assert(ask_refused(world, ask_edit(earn, 0, 79), 400, "insufficient_points"));
    cr_assert(ask_refused(world, ask_edit(earn, ENTRY_REDEEM, 100), 400, "insufficient_points"));
    expect_balance(20);
    cr_assert_eq(entry_row(earn).version, 1);
    ask_done(world, ask_edit(earn, 0, 80));
    expect_balance(0);
}

Test(entries, an_edit_beyond_the_largest_balance_is_refused)
{
    uint64_t earn = ask_done(world, ask_post(account, ENTRY_EARN, 100));

    ask_done(world, ask_post(account, ENTRY_ADJUST, POINTS_MAX - 100));
    cr_assert(ask_refused(world, ask_edit(earn, 0, 101), 400, "amount_out_of_range"));
    cr_assert(ask_refused(world, ask_edit(earn, 0, POINTS_MAX), 400, "amount_out_of_range"));
    expect_balance(POINTS_MAX);
}

Test(entries, texts_are_edited_in_place)
{
    entry_t entry;
    buffer_t bytes;
    account_t before, after;
    uint64_t id = ask_done(world, ask_post(account, ENTRY_EARN, 100));
    command_t command = {.kind = COMMAND_EDIT_ENTRY,
                         .entry = id,
                         .set = SET_DESCRIPTION | SET_METADATA,
                         .description = text_of("new"),
                         .metadata = text_of("{\"a\":1}")};

    world_account(world, account, &before);
    ask_done(world, command);
    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    cr_assert(read_entry(world, id, &entry, &bytes));
    cr_assert(text_is(entry.description, "new"));
    cr_assert(text_is(entry.metadata, "{\"a\":1}"));
    buffer_free(&bytes);
    world_account(world, account, &after);
    cr_assert_eq(after.entries, before.entries);
    cr_assert_eq(read_entries(world, account, NULL), 1);
    expect_balance(100);
}

Test(entries, an_edit_of_an_old_version_is_412)
{
    uint64_t id = ask_done(world, ask_post(account, ENTRY_EARN, 100));
    command_t command = ask_edit(id, 0, 90);

    command.if_match = 7;
    cr_assert_eq(ask_http(world, command), 412);
    command.if_match = 1;
    cr_assert_eq(ask_http(world, command), 200);
    cr_assert_eq(ask_http(world, command), 412);
    command = ask_delete(id);
    command.if_match = 1;
    cr_assert_eq(ask_http(world, command), 412);
    command.if_match = 2;
    cr_assert_eq(ask_http(world, command), 204);
}

Test(entries, the_account_of_an_entry_is_fixed)
{
    err_t err;
    result_t result;
    uint64_t id = ask_done(world, ask_post(account, ENTRY_EARN, 100));
    command_t command = ask_edit(id, 0, 90);

    command.set |= SET_ACCOUNT;
    command.to_account = account + 1;
    cr_assert_eq(ask(world, command, &result, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "account");
    command.to_account = account;
    cr_assert_eq(ask_http(world, command), 200);
}

Test(entries, a_delete_posts_a_hidden_reversal_and_hides_the_row)
{
    account_t row;
    uint64_t kept = ask_done(world, ask_post(account, ENTRY_EARN, 10));
    uint64_t earn = ask_done(world, ask_post(account, ENTRY_EARN, 100));

    cr_assert_eq(ask_http(world, ask_delete(earn)), 204);
    expect_balance(10);
    cr_assert_eq(read_entries(world, account, NULL), 1);
    cr_assert(entry_row(earn).hidden);
    cr_assert_eq(entry_row(earn).posted, 100);
    world_account(world, account, &row);
    cr_assert_eq(row.entries, 3);
    cr_assert_eq(row.earned, 10);
    entry_t reversal = entry_row(row.last_entry);
    cr_assert_eq(reversal.type, ENTRY_REVERSAL);
    cr_assert(reversal.hidden);
    cr_assert_eq(reversal.related, earn);
    cr_assert_eq(reversal.posted, -100);
    cr_assert_eq(ask_http(world, ask_delete(earn)), 404);
    cr_assert_eq(ask_http(world, ask_edit(earn, 0, 5)), 404);
    cr_assert_eq(ask_http(world, ask_delete(row.last_entry)), 404); /* the reversal itself */
    cr_assert_eq(ask_http(world, ask_delete(kept + 1000)), 404);
}

Test(entries, a_delete_that_would_overdraw_is_refused)
{
    uint64_t earn = ask_done(world, ask_post(account, ENTRY_EARN, 100));

    ask_done(world, ask_post(account, ENTRY_REDEEM, 1));
    cr_assert(ask_refused(world, ask_delete(earn), 400, "insufficient_points"));
    expect_balance(99);
    cr_assert(!entry_row(earn).hidden);
}

Test(entries, a_deleted_burn_gives_the_points_back_to_their_lots)
{
    account_t before, after;

    for (int i = 0; i < 4; i++)
        ask_done(world, ask_earn(account, "100"));
    world_account(world, account, &before);
    uint64_t burn = ask_done(world, ask_burn(account, 250));
    ask_done(world, ask_delete(burn));
    world_account(world, account, &after);
    cr_assert(same_lots(&after, &before)); /* semantics 25, property 6 */
    cr_assert_eq(after.redeemed, 0);
    expect_balance(400);
}

Test(entries, an_edited_burn_gives_back_only_the_difference)
{
    account_t row;
    uint64_t a = ask_done(world, ask_earn(account, "100"));

    ask_done(world, ask_earn(account, "100"));
    uint64_t burn = ask_done(world, ask_burn(account, 150));
    ask_done(world, ask_edit(burn, 0, 60));
    expect_balance(140);
    world_account(world, account, &row);
    cr_assert_eq(row.lots[0].id, a);
    cr_assert_eq(row.redeemed, 60);
    ask_done(world, ask_edit(burn, 0, 200));
    expect_balance(0);
    ask_done(world, ask_edit(burn, 0, 1));
    expect_balance(199);
    ask_done(world, ask_delete(burn));
    expect_balance(200);
}

Test(entries, a_deleted_earn_takes_its_own_lot_first)
{
    account_t row;

    ask_done(world, ask_earn(account, "10"));
    uint64_t second = ask_done(world, ask_earn(account, "20"));
    ask_done(world, ask_earn(account, "30"));
    ask_done(world, ask_delete(second));
    world_account(world, account, &row);
    cr_assert_eq(row.lot_count, 2);
    cr_assert_eq(row.lots[0].active, 10);
    cr_assert_eq(row.lots[1].active, 30);
}

Test(entries, of_transfers_can_neither_change_amount_nor_go)
{
    uuid16_t customer = world_customer(world, 2);
    uint64_t their = world_enrol(world, &customer, program, 0);
    result_t result;

    ask_done(world, ask_earn(account, "100"));
    cr_assert_eq(ask(world, ask_transfer(account, their, 40), &result, NULL), ERR_NONE);
    cr_assert_eq(ask_http(world, ask_edit(result.entry, 0, 5)), 409);
    cr_assert_eq(ask_http(world, ask_delete(result.entry)), 409);
    cr_assert_eq(ask_http(world, ask_edit(result.to_entry, ENTRY_EARN, 5)), 409);
    cr_assert_eq(ask_http(world, ask_delete(result.to_entry)), 409);
    command_t command = {.kind = COMMAND_EDIT_ENTRY,
                         .entry = result.entry,
                         .set = SET_DESCRIPTION,
                         .description = text_of("for the party")};
    cr_assert_eq(ask_http(world, command), 200);
    expect_balance(60);
}

Test(entries, of_a_deleted_account_are_out_of_reach)
{
    uint64_t earn = ask_done(world, ask_post(account, ENTRY_EARN, 100));

    cr_assert_eq(ask_http(world, ask_delete_account(account)), 204);
    cr_assert_eq(ask_http(world, ask_edit(earn, 0, 5)), 404);
    cr_assert_eq(ask_http(world, ask_delete(earn)), 404);
}

Test(entries, texts_beyond_their_limit_are_refused)
{
    static char text[33 * 1024];
    command_t command = ask_post(account, ENTRY_EARN, 1);

    memset(text, 'x', sizeof text);
    command.metadata = (text_t){text, sizeof text};
    cr_assert_eq(ask_http(world, command), 400);
    command.metadata.n = 31 * 1024;
    cr_assert_eq(ask_http(world, command), 201);
    expect_balance(1);
}
