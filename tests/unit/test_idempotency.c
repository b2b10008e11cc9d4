/* test_idempotency.c - keys, canonical bodies, and strict numbers of the points service (R-2.5,
 * api-services 3) */
#include "http/idempotency.h"
#include "http/points_command.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(idempotency, .timeout = 10);
TestSuite(points_body, .timeout = 10);

static arena_t arena;
static buffer_t scratch;

static json_t *parsed(const char *text)
{
    json_t *root;
    err_t err;

    if (arena.max == 0) {
        arena_init(&arena, 1u << 24);
        buffer_init(&scratch, 1u << 22);
    }
    cr_assert_eq(json_parse(&root, &arena, text, strlen(text), &err), ERR_NONE, "%s: %s", text,
                 err.text);
    return root;
}

static hash_t hash_of(const char *body)
{
    command_t command = {.kind = 0};
    err_t err;

    cr_assert_eq(idempotency_read(&command, parsed(body), (text_t){NULL, 0}, &points_canonical,
                                  &scratch, &arena, &err),
                 ERR_NONE, "%s", err.text);
    return command.body_hash;
}

static bool same(const char *a, const char *b)
{
    hash_t left = hash_of(a), right = hash_of(b);

    return hash_equal(&left, &right);
}

Test(idempotency, bodies_that_mean_the_same_have_one_hash)
{
    cr_assert(same("{\"transaction_amount\":100,\"program_id\":1}",
                   "{ \"program_id\":1.0, \"transaction_amount\":\"100.00\"}"));
    cr_assert(same("{\"transaction_amount\":100}",
                   "{\"transaction_amount\":1e2,\"idempotency_key\":\"k\"}"));
    cr_assert(same("{\"points\":5}", "{\"reward_cost\":5}"));
    cr_assert(same("{\"x\":{\"b\":1,\"a\":2}}", "{\"x\":{\"a\":2,\"b\":1}}"));
}

Test(idempotency, bodies_that_differ_have_other_hashes)
{
    cr_assert_not(same("{\"transaction_amount\":100}", "{\"transaction_amount\":101}"));
    cr_assert_not(same("{\"points\":5}", "{\"points\":5,\"unknown\":1}"));
    cr_assert_not(same("{\"points\":5}", "{\"points\":5,\"description\":\"\"}"));
    cr_assert_not(same("{\"description\":\"100\"}", "{\"description\":\"100.0\"}"));
}

static errcode_t key_of(const char *body, const char *header, command_t *command, err_t *err)
{
    *command = (command_t){.kind = 0};
    return idempotency_read(command, body != NULL ? parsed(body) : NULL,
                            header != NULL ? text_of(header) : (text_t){NULL, 0}, NULL, &scratch,
                            &arena, err);
}

Test(idempotency, key_comes_from_header_or_body_and_both_must_agree)
{
    command_t command;
    err_t err;

    (void)parsed("{}");
    cr_assert_eq(key_of("{}", NULL, &command, &err), ERR_NONE);
    cr_assert_eq(command.key.n, 0);
    cr_assert_eq(key_of("{\"idempotency_key\":null}", "k1", &command, &err), ERR_NONE);
    cr_assert_eq(command.key.n, 2);
    cr_assert_eq(key_of("{\"idempotency_key\":\"k1\"}", "k1", &command, &err), ERR_NONE);
    cr_assert_eq(key_of("{\"idempotency_key\":\"k2\"}", "k1", &command, &err), ERR_INVALID);
    cr_assert_str_eq(err.field, "idempotency_key");
    cr_assert_eq(key_of(NULL, "k1", &command, &err), ERR_NONE);
}

Test(idempotency, key_that_is_empty_too_long_or_no_text_is_refused)
{
    command_t command;
    err_t err;
    char longest[257];

    (void)parsed("{}");
    cr_assert_eq(key_of("{\"idempotency_key\":\"\"}", NULL, &command, &err), ERR_INVALID);
    cr_assert_eq(key_of("{\"idempotency_key\":5}", NULL, &command, &err), ERR_INVALID);
    cr_assert_eq(key_of("{\"idempotency_key\":\"a\\u0000b\"}", NULL, &command, &err), ERR_INVALID);
    cr_assert_eq(key_of("{}", "", &command, &err), ERR_INVALID);
    cr_assert_eq(key_of("{}", "a\xff", &command, &err), ERR_INVALID);
    memset(longest, 'k', 256);
    longest[256] = '\0';
    cr_assert_eq(key_of("{}", longest, &command, &err), ERR_INVALID);
    longest[255] = '\0';
    cr_assert_eq(key_of("{}", longest, &command, &err), ERR_NONE);
}

static errcode_t integer_of(const char *text, int64_t *value)
{
    char body[128];
    bool given;
    err_t err;

    snprintf(body, sizeof body, "{\"n\":%s}", text);
    return integer_read(value, &given, parsed(body), "n", &err);
}

Test(points_body, integers_may_be_written_as_5_or_5_0_but_never_5_5)
{
    static const char *const good[] = {"5", "5.0", "5e0", "50e-1", "\"5\"", "\"5.0\""};
    static const char *const bad[] = {"5.5",
                                      "\"5.5\"",
                                      "\"\"",
                                      "\"x\"",
                                      "true",
                                      "[]",
                                      "{}",
                                      "\"+5\"",
                                      "\" 5\"",
                                      "\"5e0\"",
                                      "1e400",
                                      "9007199254740992",
                                      "-9007199254740992",
                                      "99999999999999999999999999"};
    int64_t value;

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        cr_assert_eq(integer_of(good[i], &value), ERR_NONE, "%s", good[i]);
        cr_assert_eq(value, 5);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(integer_of(bad[i], &value), ERR_INVALID, "%s", bad[i]);
    cr_assert_eq(integer_of("9007199254740991", &value), ERR_NONE);
    cr_assert_eq(value, POINTS_MAX);
}

static errcode_t party_of(const char *body, party_t *party)
{
    err_t err;

    return party_read(party, parsed(body), PARTY_SELF, &err);
}

Test(points_body, an_account_is_named_by_id_or_customer_not_both)
{
    party_t party;

    cr_assert_eq(party_of("{\"account_id\":12}", &party), ERR_NONE);
    cr_assert_eq(party.account, 12);
    cr_assert_eq(party_of("{\"customer_id\":\"11111111-1111-4111-8111-111111111111\"}", &party),
                 ERR_NONE);
    cr_assert(party.found);
    cr_assert_eq(party.account, 0);
    cr_assert_eq(party_of("{}", &party), ERR_NONE);
    cr_assert_not(party.found);
    cr_assert_eq(party_of("{\"customer_id\":\"1111\"}", &party), ERR_INVALID);
    cr_assert_eq(party_of("{\"customer_id\":5}", &party), ERR_INVALID);
    cr_assert_eq(party_of("{\"account_id\":0}", &party), ERR_NOT_FOUND);
    cr_assert_eq(party_of("{\"account_id\":\"abc\"}", &party), ERR_INVALID);
    cr_assert_eq(
        party_of("{\"account_id\":1,\"customer_id\":\"11111111-1111-4111-8111-111111111111\"}",
                 &party),
        ERR_INVALID);
}

Test(points_body, ids_in_paths_are_digits_below_2_to_53)
{
    uint64_t id;

    cr_assert(id_read(&id, text_of("1")));
    cr_assert(id_read(&id, text_of("9007199254740991")));
    cr_assert_eq(id, ID_MAX);
    cr_assert_not(id_read(&id, text_of("9007199254740992")));
    cr_assert_not(id_read(&id, text_of("0")));
    cr_assert_not(id_read(&id, text_of("")));
    cr_assert_not(id_read(&id, text_of("-1")));
    cr_assert_not(id_read(&id, text_of("1x")));
    cr_assert_not(id_read(&id, text_of("99999999999999999")));
}
