/* test_users.c - what a define command says about a user */
#include "node/users.h"

#include "protocol/json.h"

#include <criterion/criterion.h>
#include <sodium.h>

static json_t *patch_of(const user_patch_t *patch, arena_t *arena, buffer_t *text)
{
    json_t *json = NULL;
    err_t err = {0};
    errcode_t rc = user_patch_encode(patch, text, &err);

    cr_assert_eq(rc, ERR_NONE, "%s", err.text);
    cr_assert_eq(json_parse(&json, arena, (const char *)text->bytes, text->size, &err), ERR_NONE,
                 "%s", err.text);
    return json;
}

Test(users, a_patch_says_only_what_is_given, .timeout = 20)
{
    arena_t arena;
    buffer_t text;
    user_patch_t patch = {
        .permissions = "account.view,,account.earn", .active = 0, .staff = -1, .superuser = -1};

    arena_init(&arena, 1 << 16);
    buffer_init(&text, 1 << 16);
    const json_t *json = patch_of(&patch, &arena, &text);
    cr_assert_eq(json->count, 2);
    const json_t *names = json_member(json, "permissions");
    cr_assert_eq(names->count, 2);
    cr_assert(json_text_is(names->child, "account.view"));
    cr_assert(json_text_is(names->child->next, "account.earn"));
    cr_assert_eq(json_member(json, "is_active")->type, JSON_FALSE);
    buffer_free(&text);
    arena_free(&arena);
}

Test(users, a_password_is_kept_as_argon2id_and_can_be_verified, .timeout = 20)
{
    arena_t arena;
    buffer_t text;
    char hash[crypto_pwhash_STRBYTES] = {0};
    user_patch_t patch = {
        .username = "anna", .password = "correct horse", .active = 1, .staff = 1, .superuser = 1};

    arena_init(&arena, 1 << 16);
    buffer_init(&text, 1 << 16);
    const json_t *password = json_member(patch_of(&patch, &arena, &text), "password");
    cr_assert(password->text_bytes < sizeof hash);
    memcpy(hash, password->text, password->text_bytes);
    cr_assert_eq(strncmp(hash, "$argon2id$", 10), 0);
    cr_assert_eq(crypto_pwhash_str_verify(hash, "correct horse", 13), 0);
    cr_assert_neq(crypto_pwhash_str_verify(hash, "correct horsf", 13), 0);
    buffer_free(&text);
    arena_free(&arena);
}

Test(users, bad_names_and_short_passwords_are_refused_with_the_field, .timeout = 20)
{
    static const struct {
        user_patch_t patch;
        const char *field;
    } cases[] = {
        {{.username = "", .active = -1, .staff = -1, .superuser = -1}, "username"},
        {{.username = "an na", .active = -1, .staff = -1, .superuser = -1}, "username"},
        {{.username = "a\n", .active = -1, .staff = -1, .superuser = -1}, "username"},
        {{.password = "1234567", .active = -1, .staff = -1, .superuser = -1}, "password"},
        {{.permissions = "a, b", .active = -1, .staff = -1, .superuser = -1}, "permissions"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buffer_t text;
        err_t err = {0};

        buffer_init(&text, 1 << 16);
        cr_expect_eq(user_patch_encode(&cases[i].patch, &text, &err), ERR_INVALID, "case %zu", i);
        cr_expect_str_eq(err.field, cases[i].field);
        buffer_free(&text);
    }
}

Test(users, random_passwords_differ_and_hold_no_mistakable_signs, .timeout = 20)
{
    char a[USER_PASSWORD_RANDOM_BYTES];
    char b[USER_PASSWORD_RANDOM_BYTES];

    user_random_password(a);
    user_random_password(b);
    cr_assert_eq(strlen(a), USER_PASSWORD_RANDOM_BYTES - 1);
    cr_assert_str_neq(a, b);
    cr_assert_eq(strcspn(a, "lo01 "), strlen(a));
}
