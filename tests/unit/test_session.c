/* test_session.c - the table of tokens, the throttle, and names of permissions */
#include "http/auth.h"
#include "http/session.h"
#include "http/throttle.h"

#include "protocol/pack.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(session, .timeout = 20);
TestSuite(throttle, .timeout = 20);
TestSuite(permission, .timeout = 10);

#define NOW INT64_C(1000000000)

static hash_t token(unsigned n)
{
    return hash_bytes(&n, sizeof n);
}

static session_state_t state_at(session_table_t *table, unsigned n, int64_t now_us)
{
    http_session_t session;
    hash_t hash = token(n);

    return session_table_find(table, &hash, now_us, &session);
}

static void put(session_table_t *table, unsigned n, int64_t expires_us)
{
    hash_t hash = token(n);
    http_session_t session = {.user = n + 1, .expires_us = expires_us, .created_us = NOW};

    session_table_put(table, &hash, &session, NOW);
}

Test(session, lives_until_its_expiry_and_not_one_microsecond_longer)
{
    session_table_t *table = session_table_new(1000);
    http_session_t session;
    hash_t hash = token(1);

    cr_assert_eq(state_at(table, 1, NOW), SESSION_UNKNOWN);
    put(table, 1, NOW + 10);
    cr_assert_eq(session_table_find(table, &hash, NOW + 9, &session), SESSION_LIVE);
    cr_assert_eq(session.user, 2);
    cr_assert_eq(session.expires_us, NOW + 10);
    cr_assert_eq(state_at(table, 1, NOW + 10), SESSION_UNKNOWN);
    session_table_destroy(&table);
}

Test(session, that_ended_does_not_come_back_by_a_row_read_before)
{
    session_table_t *table = session_table_new(1000);
    hash_t hash = token(1);

    put(table, 1, NOW + 1000000);
    session_table_end(table, &hash, NOW);
    cr_assert_eq(state_at(table, 1, NOW), SESSION_ENDED);
    put(table, 1, NOW + 5000000);
    cr_assert_eq(state_at(table, 1, NOW), SESSION_ENDED);
    /* Neither when the end was heard of before the session. */
    hash = token(2);
    session_table_end(table, &hash, NOW);
    put(table, 2, NOW + 5000000);
    cr_assert_eq(state_at(table, 2, NOW), SESSION_ENDED);
    session_table_destroy(&table);
}

Test(session, is_prolonged_never_shortened)
{
    session_table_t *table = session_table_new(1000);

    put(table, 1, NOW + 1000);
    put(table, 1, NOW + 500);
    cr_assert_eq(state_at(table, 1, NOW + 999), SESSION_LIVE);
    put(table, 1, NOW + 2000);
    cr_assert_eq(state_at(table, 1, NOW + 1999), SESSION_LIVE);
    session_table_destroy(&table);
}

Test(session, table_is_bounded_and_ends_outlive_sessions)
{
    session_table_t *table = session_table_new(512);
    unsigned live = 0;
    hash_t hash = token(0);

    session_table_end(table, &hash, NOW);
    for (unsigned i = 1; i < 20000; i++)
        put(table, i, NOW + 1000000 + i);
    for (unsigned i = 1; i < 20000; i++)
        live += state_at(table, i, NOW) == SESSION_LIVE;
    cr_assert_leq(live, 512);
    cr_assert_geq(live, 400);
    cr_assert_eq(state_at(table, 0, NOW), SESSION_ENDED);
    session_table_destroy(&table);
}

Test(session, is_claimed_for_prolonging_once_per_pause)
{
    session_table_t *table = session_table_new(100);
    hash_t hash = token(1);

    cr_assert_not(session_table_claim(table, &hash, NOW, 60));
    put(table, 1, NOW + 100000);
    cr_assert(session_table_claim(table, &hash, NOW, 60));
    cr_assert_not(session_table_claim(table, &hash, NOW + 59, 60));
    cr_assert(session_table_claim(table, &hash, NOW + 60, 60));
    session_table_destroy(&table);
}

Test(session, rows_are_read_defensively)
{
    buffer_t row;
    http_session_t session;

    buffer_init(&row, 1000);
    pack_array(&row, 4);
    pack_u64(&row, 1);
    pack_u64(&row, 7);
    pack_i64(&row, 123);
    pack_i64(&row, 100);
    cr_assert_eq(session_table_read_row(&session, row.bytes, row.size, NULL), ERR_NONE);
    cr_assert_eq(session.user, 7);
    cr_assert_eq(session.expires_us, 123);
    cr_assert_eq(session.created_us, 100);
    for (size_t n = 0; n < row.size; n++)
        cr_assert_eq(session_table_read_row(&session, row.bytes, n, NULL), ERR_CORRUPT);
    row.bytes[1] = 2; /* another version */
    cr_assert_eq(session_table_read_row(&session, row.bytes, row.size, NULL), ERR_CORRUPT);
    buffer_free(&row);
}

static void fill_zero(void *state, void *bytes, size_t n)
{
    (void)state;
    memset(bytes, 7, n);
}

static const random_source_t no_random = {.fill = fill_zero};

Test(throttle, pauses_double_after_the_limit_and_a_good_login_forgets_all)
{
    throttle_t *throttle = throttle_new(3, &no_random);
    int64_t wait, now = NOW;

    for (int i = 0; i < 3; i++)
        cr_assert(throttle_try(throttle, "anna", 4, now, &wait));
    cr_assert_not(throttle_try(throttle, "anna", 4, now, &wait));
    cr_assert_eq(wait, 4000000);
    cr_assert(throttle_try(throttle, "bert", 4, now, &wait));
    now += 4000000;
    cr_assert(throttle_try(throttle, "anna", 4, now, &wait));
    cr_assert_not(throttle_try(throttle, "anna", 4, now + 4000000, &wait));
    cr_assert_eq(wait, 4000000);
    throttle_good(throttle, "anna", 4, true);
    for (int i = 0; i < 3; i++)
        cr_assert(throttle_try(throttle, "anna", 4, now, &wait));
    cr_assert_not(throttle_try(throttle, "anna", 4, now, &wait));
    throttle_destroy(&throttle);
}

Test(throttle, waits_never_longer_than_five_minutes_and_forgets_after_fifteen)
{
    throttle_t *throttle = throttle_new(1, &no_random);
    int64_t wait, now = NOW;

    cr_assert(throttle_try(throttle, "x", 1, now, &wait));
    for (int i = 0; i < 12; i++) {
        cr_assert_not(throttle_try(throttle, "x", 1, now, &wait));
        cr_assert_leq(wait, INT64_C(300000000));
        now += wait;
        cr_assert(throttle_try(throttle, "x", 1, now, &wait));
    }
    now += INT64_C(15) * 60 * 1000000 + 1;
    cr_assert(throttle_try(throttle, "x", 1, now, &wait));
    cr_assert_not(throttle_try(throttle, "x", 1, now, &wait));
    cr_assert_eq(wait, 4000000);
    throttle_destroy(&throttle);
}

Test(throttle, a_try_taken_back_does_not_count_and_many_names_do_not_grow_it)
{
    throttle_t *throttle = throttle_new(2, &no_random);
    int64_t wait;
    char name[16];

    for (int i = 0; i < 10; i++) {
        cr_assert(throttle_try(throttle, "a", 1, NOW, &wait));
        throttle_good(throttle, "a", 1, false);
    }
    for (int i = 0; i < 100000; i++) {
        int n = snprintf(name, sizeof name, "u%d", i);

        cr_assert(throttle_try(throttle, name, (size_t)n, NOW + i, &wait));
    }
    throttle_destroy(&throttle);
}

Test(permission, is_held_by_star_by_name_and_in_three_spellings)
{
    static const struct {
        const char *held, *wanted;
        bool yes;
    } cases[] = {{"*", "a.b", true},
                 {"account.earn", "account.earn", true},
                 {"account.earn", "account:earn", true},
                 {"account.earn", "earn_account", true},
                 {"account:earn", "account.earn", true},
                 {"earn_account", "account.earn", true},
                 {"set_status_account", "account.set_status", true},
                 {"x.y\naccount.earn\nz", "account.earn", true},
                 {"", "account.earn", false},
                 {"account.burn", "account.earn", false},
                 {"account.ear", "account.earn", false},
                 {"account.earn2", "account.earn", false},
                 {"account_earn", "account.earn", false},
                 {"account.*", "account.earn", false},
                 {"account.earn", "", false}};

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_assert_eq(permission_held(cases[i].held, text_of(cases[i].wanted)), cases[i].yes,
                     "%s / %s", cases[i].held, cases[i].wanted);
}
