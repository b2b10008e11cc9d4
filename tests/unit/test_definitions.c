/* test_definitions.c - what a change of a program, tier or user does */
#include "actors/definitions.h"

#include "protocol/json.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define BOOK_MAX 2100
#define BOOK_NOW INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */

/* A catalogue of a few rows. */
typedef struct {
    uint8_t resource;
    uint32_t id;
    uint32_t program; /* of a tier */
    bool deleted;
    char *json; /* owned */
} book_row_t;

static book_row_t book[BOOK_MAX];
static size_t book_count;
static arena_t book_arena;
static definitions_outcome_t outcome;
static err_t book_err;

static bool book_json(void *state, uint8_t resource, uint32_t id, arena_t *arena, text_t *out)
{
    (void)state;
    (void)arena;
    for (size_t i = 0; i < book_count; i++)
        if (book[i].resource == resource && book[i].id == id && !book[i].deleted) {
            *out = text_of(book[i].json);
            return true;
        }
    return false;
}

static size_t book_ids(void *state, uint8_t resource, uint32_t parent, uint32_t *out, size_t max)
{
    size_t count = 0;
    (void)state;
    for (size_t i = 0; i < book_count; i++)
        if (book[i].resource == resource && !book[i].deleted &&
            (parent == 0 || book[i].program == parent)) {
            if (count < max)
                out[count] = book[i].id;
            count++;
        }
    return count;
}

static uint32_t book_next(void *state, uint8_t resource)
{
    uint32_t next = 1;
    (void)state;
    for (size_t i = 0; i < book_count; i++)
        if (book[i].resource == resource && book[i].id >= next)
            next = book[i].id + 1;
    return next;
}

static definitions_view_t view = {
    .json = book_json, .ids = book_ids, .next_id = book_next, .changes_bytes_max = 1024 * 1024};

static void book_setup(void)
{
    arena_init(&book_arena, 64u * 1024 * 1024);
    book_count = 0;
    view.changes_bytes_max = 1024 * 1024;
}

static void book_teardown(void)
{
    arena_free(&book_arena);
    for (size_t i = 0; i < book_count; i++)
        free(book[i].json);
}

TestSuite(definitions, .init = book_setup, .fini = book_teardown, .timeout = 20);

static uint32_t program_of(text_t json)
{
    json_t *root;
    cr_assert_eq(json_parse(&root, &book_arena, json.bytes, json.n, NULL), ERR_NONE);
    const json_t *program = json_member(root, "program");
    return program == NULL ? 0 : (uint32_t)strtoul(program->text, NULL, 10);
}

/* Puts the changes into the book, as the partition does. */
static void take(void)
{
    for (uint32_t i = 0; i < outcome.count; i++) {
        const definition_change_t *change = &outcome.items[i];
        size_t at = 0;
        while (at < book_count &&
               (book[at].resource != change->resource || book[at].id != change->id))
            at++;
        if (at == book_count) {
            cr_assert_lt(book_count, BOOK_MAX);
            cr_assert_not(change->deleted);
            book[book_count++] = (book_row_t){.resource = change->resource, .id = change->id};
        }
        book[at].deleted = change->deleted;
        if (change->deleted)
            continue;
        free(book[at].json);
        book[at].json = strndup(change->json.bytes, change->json.n);
        book[at].program = change->resource == RESOURCE_TIER ? program_of(change->json) : 0;
    }
}

static errcode_t define(uint8_t resource, uint32_t id, const char *patch)
{
    book_err = (err_t){0};
    errcode_t rc = definitions_define(&view, resource, id, text_of(patch), BOOK_NOW, &book_arena,
                                      &outcome, &book_err);
    if (rc == ERR_NONE)
        take();
    return rc;
}

static errcode_t undefine(uint8_t resource, uint32_t id)
{
    book_err = (err_t){0};
    errcode_t rc = definitions_undefine(&view, resource, id, &book_arena, &outcome, &book_err);
    if (rc == ERR_NONE)
        take();
    return rc;
}

static const char *wire(void)
{
    return arena_copy(&book_arena, outcome.wire.bytes, outcome.wire.n);
}

static const char *stored(uint8_t resource, uint32_t id)
{
    text_t text = {"", 0};
    return book_json(NULL, resource, id, NULL, &text) ? text.bytes : NULL;
}

#define DATES                    "\"start_date\":\"2026-01-01T00:00:00Z\",\"end_date\":\"2027-01-01T00:00:00Z\""
#define FIRST_PROGRAM            "{\"name\":\"Club\"," DATES "}"
#define ASSERT_HAS(text, part)   cr_assert_not_null(strstr(text, part), "%s\n  lacks %s", text, part)
#define ASSERT_LACKS(text, part) cr_assert_null(strstr(text, part), "%s\n  has %s", text, part)
#define ASSERT_REFUSED(call, named)                                                       \
    do {                                                                                  \
        cr_assert_eq(call, ERR_INVALID);                                                  \
        cr_assert_str_eq(book_err.field, named, "%s: %s", book_err.field, book_err.text); \
    } while (0)

Test(definitions, a_new_program_has_all_its_defaults)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE, "%s: %s", book_err.field,
                 book_err.text);
    cr_assert_eq(outcome.id, 1);
    cr_assert_eq(outcome.count, 1);
    cr_assert_str_eq(
        wire(),
        "{\"id\":1,\"name\":\"Club\",\"description\":\"\",\"start_date\":\"2026-01-01T00:00:00Z\","
        "\"end_date\":\"2027-01-01T00:00:00Z\",\"is_active\":true,\"earn_rules\":{},\"burn_rules\":"
        "{},"
        "\"points_expiry_rules\":[],\"earn_caps_config\":[],\"tier_basis\":\"points_balance\","
        "\"tier_downgrade_grace_days\":0,\"min_balance\":0,\"currency\":\"USD\","
        "\"multiplier_mode\":\"multiplicative\",\"time_zone\":\"UTC\",\"max_transaction_amount\":"
        "null,"
        "\"burn_min\":0,\"burn_step\":0,\"burn_max\":null,\"burn_max_per_day\":null,\"engine_"
        "settings\":{},"
        "\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00Z\",\"tiers\":"
        "[]}");
    ASSERT_LACKS(stored(RESOURCE_PROGRAM, 1), "tiers");
}

Test(definitions, what_a_patch_leaves_out_keeps_its_value)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0,
                        "{\"name\":\"Club\",\"min_balance\":5,\"currency\":\"EUR\"," DATES "}"),
                 ERR_NONE);
    cr_assert_eq(define(RESOURCE_PROGRAM, 1, "{\"name\":\"Salon\"}"), ERR_NONE);
    ASSERT_HAS(wire(), "\"name\":\"Salon\"");
    ASSERT_HAS(wire(), "\"min_balance\":5");
    ASSERT_HAS(wire(), "\"currency\":\"EUR\"");
}

Test(definitions, members_of_a_later_version_survive_a_change)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    char *old = book[0].json;
    old[strlen(old) - 1] = '\0';
    cr_assert_gt(asprintf(&book[0].json, "%s,\"later\":{\"x\":1}}", old), 0);
    free(old);
    cr_assert_eq(define(RESOURCE_PROGRAM, 1, "{\"name\":\"Salon\"}"), ERR_NONE);
    ASSERT_HAS(wire(), "\"later\":{\"x\":1}");
}

Test(definitions, rules_that_cross_fields_hold_for_the_merged_object)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"end_date\":\"2025-12-31T23:59:59Z\"}"),
                   "end_date");
    cr_assert_eq(define(RESOURCE_PROGRAM, 1, "{\"end_date\":\"2026-01-01T00:00:00Z\"}"), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"start_date\":\"2026-06-01T00:00:00Z\"}"),
                   "end_date");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"time_zone\":\"Mars/Olympus\"}"), "time_zone");
    cr_assert_eq(define(RESOURCE_PROGRAM, 1, "{\"time_zone\":\"Asia/Kolkata\"}"), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"currency\":\"E1R\"}"), "currency");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"currency\":\"EU\"}"), "currency");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"earn_rules\":{\"a\":1}}"), "earn_rules");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 0, "{\"name\":\"x\"}"), "start_date");
    cr_assert_eq(define(RESOURCE_PROGRAM, 9, "{\"name\":\"x\"}"), ERR_NOT_FOUND);
}

Test(definitions, a_tier_needs_its_program_and_a_name_of_its_own)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_TIER, 0, "{\"program\":7,\"name\":\"Gold\"}"), "program");
    cr_assert_str_eq(book_err.text, "Invalid pk \"7\" - object does not exist.");
    cr_assert_eq(
        define(RESOURCE_TIER, 0, "{\"program\":1,\"name\":\"Gold\",\"points_multiplier\":1.5}"),
        ERR_NONE);
    cr_assert_str_eq(
        wire(), "{\"id\":1,\"program\":1,\"name\":\"Gold\",\"description\":\"\",\"min_points\":0,"
                "\"benefits\":\"\",\"priority\":0,\"points_multiplier\":\"1.500\","
                "\"redemption_discount\":\"0.0000\",\"benefit_items\":[],"
                "\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00Z\"}");
    ASSERT_REFUSED(define(RESOURCE_TIER, 0, "{\"program\":1,\"name\":\" Gold \"}"),
                   "non_field_errors");
    cr_assert_str_eq(book_err.text, "The fields program, name must make a unique set.");
    cr_assert_eq(define(RESOURCE_TIER, 0, "{\"program\":2,\"name\":\"Gold\"}"), ERR_NONE);
    cr_assert_eq(define(RESOURCE_TIER, 0, "{\"program\":1,\"name\":\"Silver\"}"), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_TIER, 3, "{\"name\":\"Gold\"}"), "non_field_errors");
    cr_assert_eq(define(RESOURCE_TIER, 3, "{\"name\":\"Silver\",\"priority\":2}"), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_TIER, 3, "{\"program\":2}"), "program");
    ASSERT_REFUSED(define(RESOURCE_TIER, 3, "{\"redemption_discount\":\"1.0001\"}"),
                   "redemption_discount");
}

Test(definitions, a_program_is_created_with_its_tiers)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0,
                        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"Gold\",\"priority\":2},"
                        "{\"id\":99,\"name\":\"Base\",\"priority\":1}]," DATES "}"),
                 ERR_NONE, "%s: %s", book_err.field, book_err.text);
    cr_assert_eq(outcome.count, 3);
    cr_assert_eq(outcome.items[0].resource, RESOURCE_PROGRAM);
    ASSERT_HAS(stored(RESOURCE_TIER, 1), "\"program\":1,\"name\":\"Gold\"");
    ASSERT_HAS(stored(RESOURCE_TIER, 2), "\"program\":1,\"name\":\"Base\"");
    /* ordered by priority */
    cr_assert_lt(strstr(wire(), "Base") - wire(), strstr(wire(), "Gold") - wire());
}

Test(definitions, nested_tiers_are_updated_created_and_deleted)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0,
                        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"A\",\"min_points\":7},{\"name\":"
                        "\"B\"},{\"name\":\"C\"}]," DATES "}"),
                 ERR_NONE);
    cr_assert_eq(define(RESOURCE_PROGRAM, 1,
                        "{\"tiers\":[{\"id\":1,\"name\":\"AA\"},{\"id\":3},{\"name\":\"B\"}]}"),
                 ERR_NONE, "%s: %s", book_err.field, book_err.text);
    ASSERT_HAS(stored(RESOURCE_TIER, 1), "\"name\":\"AA\",\"description\":\"\",\"min_points\":7");
    cr_assert_null(stored(RESOURCE_TIER, 2));
    ASSERT_HAS(stored(RESOURCE_TIER, 4), "\"name\":\"B\"");
    /* program, tier 1, new tier 4, deleted tier 2; tier 3 did not change */
    cr_assert_eq(outcome.count, 4);
    ASSERT_HAS(wire(), "\"id\":3,\"program\":1,\"name\":\"C\"");

    cr_assert_eq(define(RESOURCE_PROGRAM, 1, "{\"name\":\"Salon\"}"), ERR_NONE);
    cr_assert_eq(outcome.count, 1);
    ASSERT_HAS(wire(), "\"name\":\"AA\"");
    cr_assert_eq(define(RESOURCE_PROGRAM, 1, "{\"tiers\":[]}"), ERR_NONE);
    cr_assert_eq(book_ids(NULL, RESOURCE_TIER, 1, NULL, 0), 0);
    ASSERT_HAS(wire(), "\"tiers\":[]");
}

Test(definitions, names_may_be_swapped_in_one_write)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0,
                        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"A\"},{\"name\":\"B\"}]," DATES
                        "}"),
                 ERR_NONE);
    cr_assert_eq(define(RESOURCE_PROGRAM, 1,
                        "{\"tiers\":[{\"id\":1,\"name\":\"B\"},{\"id\":2,\"name\":\"A\"}]}"),
                 ERR_NONE);
    ASSERT_HAS(stored(RESOURCE_TIER, 1), "\"name\":\"B\"");
}

Test(definitions, a_fault_in_nested_tiers_changes_nothing)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0,
                        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"A\"},{\"name\":\"B\"}]," DATES
                        "}"),
                 ERR_NONE);
    cr_assert_eq(
        define(RESOURCE_PROGRAM, 0, "{\"name\":\"Other\",\"tiers\":[{\"name\":\"X\"}]," DATES "}"),
        ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"tiers\":[{\"id\":1},{\"name\":\"A\"}]}"),
                   "tiers");
    cr_assert_str_eq(book_err.text, "The fields program, name must make a unique set.");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"tiers\":[{\"id\":3}]}"),
                   "tiers"); /* of another program */
    cr_assert_str_eq(book_err.text, "Invalid pk \"3\" - object does not exist.");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"tiers\":[{\"id\":1},{\"id\":1}]}"), "tiers");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"tiers\":[{\"id\":0}]}"), "tiers");
    ASSERT_REFUSED(define(RESOURCE_PROGRAM, 1, "{\"tiers\":[{\"id\":1},{\"min_points\":1}]}"),
                   "tiers");
    cr_assert_str_eq(book_err.text, "1.name: This field is required.");
    cr_assert_eq(book_count, 5);
}

Test(definitions, a_deleted_program_takes_its_tiers_along)
{
    cr_assert_eq(define(RESOURCE_PROGRAM, 0,
                        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"A\"},{\"name\":\"B\"}]," DATES
                        "}"),
                 ERR_NONE);
    cr_assert_eq(
        define(RESOURCE_PROGRAM, 0, "{\"name\":\"Other\",\"tiers\":[{\"name\":\"A\"}]," DATES "}"),
        ERR_NONE);
    cr_assert_eq(undefine(RESOURCE_PROGRAM, 1), ERR_NONE);
    cr_assert_eq(outcome.count, 3);
    cr_assert(outcome.items[0].deleted);
    cr_assert_eq(outcome.items[0].resource, RESOURCE_PROGRAM);
    cr_assert_eq(book_ids(NULL, RESOURCE_TIER, 0, NULL, 0), 1);
    cr_assert_eq(undefine(RESOURCE_PROGRAM, 1), ERR_NOT_FOUND);
    cr_assert_eq(undefine(RESOURCE_TIER, 3), ERR_NONE);
    cr_assert_eq(book_ids(NULL, RESOURCE_TIER, 0, NULL, 0), 0);
    /* ids are never used again */
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    cr_assert_eq(outcome.id, 3);
}

Test(definitions, a_change_that_does_not_fit_into_a_record_is_refused)
{
    view.changes_bytes_max = 1500;
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    cr_assert_eq(
        define(RESOURCE_PROGRAM, 1,
               "{\"tiers\":[{\"name\":\"A\"},{\"name\":\"B\"},{\"name\":\"C\"},{\"name\":\"D\"}]}"),
        ERR_TOO_LARGE);
    cr_assert_eq(book_count, 1);
}

Test(definitions, a_program_has_at_most_a_thousand_tiers)
{
    buffer_t body;
    buffer_init(&body, 65536);
    buffer_text(&body, "{\"tiers\":[");
    for (int i = 0; i < DEFINITIONS_TIERS_MAX; i++)
        buffer_printf(&body, "%s{\"name\":\"T%d\"}", i == 0 ? "" : ",", i);
    buffer_text(&body, "]}");
    buffer_byte(&body, '\0');
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, FIRST_PROGRAM), ERR_NONE);
    cr_assert_eq(define(RESOURCE_PROGRAM, 1, (const char *)body.bytes), ERR_NONE, "%s: %s",
                 book_err.field, book_err.text);
    cr_assert_eq(outcome.count, DEFINITIONS_TIERS_MAX + 1);
    ASSERT_REFUSED(define(RESOURCE_TIER, 0, "{\"program\":1,\"name\":\"one more\"}"),
                   "non_field_errors");
    buffer_free(&body);
}

Test(definitions, the_same_input_gives_the_same_bytes)
{
    const char *patch =
        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"A\"},{\"name\":\"B\",\"min_points\":5}]," DATES
        "}";
    definitions_outcome_t first;
    cr_assert_eq(definitions_define(&view, RESOURCE_PROGRAM, 0, text_of(patch), BOOK_NOW,
                                    &book_arena, &first, NULL),
                 ERR_NONE);
    cr_assert_eq(definitions_define(&view, RESOURCE_PROGRAM, 0, text_of(patch), BOOK_NOW,
                                    &book_arena, &outcome, NULL),
                 ERR_NONE);
    cr_assert_eq(first.count, outcome.count);
    for (uint32_t i = 0; i < first.count; i++) {
        cr_assert_eq(first.items[i].json.n, outcome.items[i].json.n);
        cr_assert_eq(
            memcmp(first.items[i].json.bytes, outcome.items[i].json.bytes, first.items[i].json.n),
            0);
    }
    cr_assert_eq(first.wire.n, outcome.wire.n);
    cr_assert_eq(memcmp(first.wire.bytes, outcome.wire.bytes, first.wire.n), 0);
}

Test(definitions, a_user_never_shows_the_password)
{
    cr_assert_eq(
        define(RESOURCE_USER, 0,
               "{\"username\":\"admin\",\"password\":\"$argon2id$v=19$x\",\"is_superuser\":true,"
               "\"permissions\":[\"account.view\"]}"),
        ERR_NONE, "%s: %s", book_err.field, book_err.text);
    ASSERT_HAS(stored(RESOURCE_USER, 1), "\"password\":\"$argon2id$v=19$x\"");
    ASSERT_LACKS(wire(), "password");
    ASSERT_LACKS(wire(), "argon2id");
    ASSERT_HAS(wire(), "\"permissions\":[\"account.view\"]");
    cr_assert_eq(define(RESOURCE_USER, 1, "{\"email\":\"a@b.cd\"}"), ERR_NONE);
    ASSERT_HAS(stored(RESOURCE_USER, 1), "argon2id");
}

Test(definitions, usernames_and_permissions_are_checked)
{
    char long_list[4096] = "{\"username\":\"u\",\"permissions\":[\"p\"";
    cr_assert_eq(define(RESOURCE_USER, 0, "{\"username\":\"admin\",\"is_superuser\":true}"),
                 ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"admin\"}"), "username");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"a b\"}"), "username");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"\xc3\xa4\"}"), "username");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"u\",\"permissions\":{}}"),
                   "permissions");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"u\",\"permissions\":[1]}"),
                   "permissions");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"u\",\"permissions\":[\"a\\nb\"]}"),
                   "permissions");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, "{\"username\":\"u\",\"password\":\"a b\"}"),
                   "password");
    for (int i = 0; i < 25; i++) {
        char name[128];
        snprintf(name, sizeof name, ",\"%090d\"", i);
        strcat(long_list, name);
    }
    strcat(long_list, "]}");
    ASSERT_REFUSED(define(RESOURCE_USER, 0, long_list), "permissions");
    cr_assert_eq(define(RESOURCE_USER, 0, "{\"username\":\"bob\"}"), ERR_NONE);
    ASSERT_REFUSED(define(RESOURCE_USER, 2, "{\"username\":\"admin\"}"), "username");
}

Test(definitions, somebody_can_always_let_others_in)
{
    cr_assert_eq(define(RESOURCE_USER, 0, "{\"username\":\"admin\",\"is_superuser\":true}"),
                 ERR_NONE);
    cr_assert_eq(define(RESOURCE_USER, 0, "{\"username\":\"bob\"}"), ERR_NONE);
    cr_assert_eq(define(RESOURCE_USER, 0,
                        "{\"username\":\"eve\",\"is_superuser\":true,\"is_active\":false}"),
                 ERR_NONE);
    cr_assert_eq(define(RESOURCE_USER, 1, "{\"is_active\":false}"), ERR_STATE);
    cr_assert_eq(define(RESOURCE_USER, 1, "{\"is_superuser\":false}"), ERR_STATE);
    cr_assert_eq(undefine(RESOURCE_USER, 1), ERR_STATE);
    cr_assert_eq(undefine(RESOURCE_USER, 3), ERR_NONE);
    cr_assert_eq(define(RESOURCE_USER, 2, "{\"is_superuser\":true}"), ERR_NONE);
    cr_assert_eq(undefine(RESOURCE_USER, 1), ERR_NONE);
    cr_assert_eq(undefine(RESOURCE_USER, 2), ERR_STATE);
}

Test(definitions, kinds_that_are_not_known_are_refused)
{
    cr_assert_eq(define(RESOURCE_NONE, 0, "{}"), ERR_INVALID);
    cr_assert_eq(define(64, 0, "{}"), ERR_INVALID);
    cr_assert_eq(undefine(64, 1), ERR_INVALID);
    cr_assert_eq(define(RESOURCE_PROGRAM, 0, "{broken"), ERR_MALFORMED);
}

Test(definitions, a_full_arena_is_an_error_not_a_crash)
{
    const char *patch =
        "{\"name\":\"Club\",\"tiers\":[{\"name\":\"A\"},{\"name\":\"B\",\"min_points\":5}]," DATES
        "}";
    bool made = false;
    for (size_t max = 64; max < 256 * 1024 && !made; max += 512) {
        arena_t small;
        arena_init(&small, max);
        errcode_t rc = definitions_define(&view, RESOURCE_PROGRAM, 0, text_of(patch), BOOK_NOW,
                                          &small, &outcome, NULL);
        /* A message that found no room may be a shorter one, but nothing is half done. */
        cr_assert(rc == ERR_NONE || rc == ERR_TOO_LARGE, "code %d with %zu bytes", (int)rc, max);
        made = rc == ERR_NONE;
        arena_free(&small);
    }
    cr_assert(made);
}
