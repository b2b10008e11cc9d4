/* test_routes.c - paths to rows: literals, parameters, suffixes, methods */
#include "http/routes.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void nothing(exchange_t *self)
{
    (void)self;
}

static const route_t rows[] = {
    {METHOD_GET, "/", nothing, NULL, 0, 0, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/api/accounts/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL},
    {METHOD_POST, "/api/accounts/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL},
    {METHOD_GET, "/api/accounts/{id}/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL},
    {METHOD_DELETE, "/api/accounts/{id}/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL},
    {METHOD_GET, "/api/accounts/customer/{customer}/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL},
    {METHOD_GET, "/api/accounts/{id}/progress/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL},
    {METHOD_GET, "/api/requests/{key}/", nothing, NULL, 0, 0, FAMILY_SERVICE, NULL},
};

static arena_t arena;

static void tear_down(void)
{
    arena_free(&arena);
}

TestSuite(routes, .fini = tear_down, .timeout = 10);

static routes_t *tree(void)
{
    routes_t *routes = routes_new();

    arena_free(&arena); /* of the look-up before */
    arena_init(&arena, 65536);
    cr_assert_eq(routes_add(routes, rows, COUNT_OF(rows), NULL), ERR_NONE);
    return routes;
}

static const route_t *find(const char *path, method_t method, route_match_t *match)
{
    routes_t *routes = tree();
    text_t segments[ROUTE_SEGMENTS_MAX];
    int count;
    const route_t *row = NULL;
    static char allow[64];

    cr_assert_eq(routes_split(path, segments, &count, &arena, NULL), ERR_NONE);
    if (routes_match(routes, segments, count, match)) {
        row = route_for(match, method);
        snprintf(allow, sizeof allow, "%s", match->allow);
        match->allow = allow;
    }
    routes_destroy(&routes);
    return row;
}

static void is_row(const char *path, method_t method, int row)
{
    route_match_t match;
    const route_t *found = find(path, method, &match);

    if (row < 0)
        cr_assert_null(found, "%s", path);
    else
        cr_assert_eq(found, &rows[row], "%s", path);
}

Test(routes, both_slash_forms_and_the_json_suffix_are_the_same_path)
{
    is_row("/", METHOD_GET, 0);
    is_row("/api/accounts/", METHOD_GET, 1);
    is_row("/api/accounts", METHOD_GET, 1);
    is_row("/api/accounts.json", METHOD_GET, 1);
    is_row("/api/accounts/5.json", METHOD_GET, 3);
    is_row("/api/accounts/5", METHOD_GET, 3);
}

Test(routes, what_is_spelled_differently_is_not_found)
{
    static const char *const paths[] = {"/api",
                                        "/api/Accounts/",
                                        "/api//accounts/",
                                        "//",
                                        "/api/accounts/5/x/",
                                        "/api/accounts/a.b/",
                                        "/api/accounts/.json",
                                        "/api/../api/accounts/",
                                        "/api.json/accounts/",
                                        "/1/2/3/4/5/6/7/8/9/10/11/12/13",
                                        "api/accounts/"};

    for (size_t i = 0; i < COUNT_OF(paths); i++)
        is_row(paths[i], METHOD_GET, -1);
}

Test(routes, a_literal_wins_over_a_parameter_but_gives_way_when_it_leads_nowhere)
{
    route_match_t match;

    cr_assert_eq(find("/api/accounts/customer/abc/", METHOD_GET, &match), &rows[5]);
    cr_assert_eq(match.param_count, 1);
    cr_assert_eq(match.params[0].n, 3);
    cr_assert_eq(find("/api/accounts/customer/", METHOD_GET, &match), &rows[3]);
    cr_assert_eq(match.param_count, 1);
    cr_assert_eq(match.params[0].n, 8);
    /* "progress" is a customer here: the longer literal path was tried first. */
    cr_assert_eq(find("/api/accounts/customer/progress/", METHOD_GET, &match), &rows[5]);
    cr_assert_eq(find("/api/accounts/7/progress/", METHOD_GET, &match), &rows[6]);
    cr_assert_eq(match.param_count, 1);
    cr_assert_eq(*match.params[0].bytes, '7');
}

Test(routes, a_key_is_taken_as_it_is_and_decoded)
{
    route_match_t match;

    cr_assert_eq(find("/api/requests/a.b.json", METHOD_GET, &match), &rows[7]);
    cr_assert_eq(match.params[0].n, 8);
    cr_assert_eq(find("/api/requests/a%2Fb%20c/", METHOD_GET, &match), &rows[7]);
    cr_assert_eq(match.params[0].n, 5);
    cr_assert_eq(memcmp(match.params[0].bytes, "a/b c", 5), 0);
    is_row("/%61pi/accounts/", METHOD_GET, 1);
}

Test(routes, broken_encodings_are_errors_not_guesses)
{
    static const char *const paths[] = {"/api/%",   "/api/%4",     "/api/%zz", "/api/%00",
                                        "/api/%ff", "/api/%c3%28", "/api/\xff"};
    text_t segments[ROUTE_SEGMENTS_MAX];
    int count;

    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        cr_assert_eq(routes_split(paths[i], segments, &count, &arena, NULL), ERR_MALFORMED, "%s",
                     paths[i]);
}

Test(routes, allow_names_what_the_path_has_and_head_is_answered_by_get)
{
    route_match_t match;

    is_row("/api/accounts/", METHOD_HEAD, 1);
    is_row("/api/accounts/", METHOD_POST, 2);
    is_row("/api/accounts/", METHOD_PUT, -1);
    is_row("/api/accounts/", (method_t)0, -1);
    (void)find("/api/accounts/", METHOD_GET, &match);
    cr_assert_str_eq(match.allow, "GET, HEAD, POST, OPTIONS");
    (void)find("/api/accounts/3/", METHOD_GET, &match);
    cr_assert_str_eq(match.allow, "GET, HEAD, DELETE, OPTIONS");
}

Test(routes, two_rows_for_one_path_and_method_are_a_fault)
{
    static const route_t twice[] = {
        {METHOD_GET, "/api/accounts/{other}/", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL}};
    static const route_t broken[] = {
        {METHOD_GET, "no-slash", nothing, NULL, 0, 0, FAMILY_RESOURCE, NULL}};
    routes_t *routes = tree();
    err_t err;

    cr_assert_eq(routes_add(routes, twice, 1, &err), ERR_STATE);
    cr_assert_neq(strstr(err.text, "/api/accounts/{other}/"), NULL);
    cr_assert_eq(routes_add(routes, broken, 1, &err), ERR_STATE);
    routes_destroy(&routes);
}
