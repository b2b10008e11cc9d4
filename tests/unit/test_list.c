/* test_list.c - pages, links, order and search of lists (api-resources 1.4) */
#include "http/list.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(list, .timeout = 10);

static list_page_t page_of(const char *page, const char *size)
{
    list_page_t out;
    cr_assert(list_page_parse(text_of(page), text_of(size), &out), "page=%s", page);
    return out;
}

Test(list, page_sizes_are_1_to_1000_and_100_when_they_make_no_sense)
{
    static const struct {
        const char *text;
        uint32_t size;
    } cases[] = {{"", 100},
                 {"1", 1},
                 {"25", 25},
                 {"1000", 1000},
                 {"1001", 1000},
                 {"0", 100},
                 {"abc", 100},
                 {"-5", 100},
                 {"5.5", 100},
                 {"99999999999999999999999", 1000},
                 {"9999999999999999999999x", 100}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_assert_eq(page_of("", cases[i].text).size, cases[i].size, "page_size=%s", cases[i].text);
}

Test(list, page_zero_and_what_is_no_number_do_not_exist)
{
    static const char *const bad[] = {"0", "-1", "x", "1.5", "Last", "9999999999999999999999"};
    list_page_t page;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_not(list_page_parse(text_of(bad[i]), text_of(""), &page), "%s", bad[i]);
    cr_assert_eq(page_of("", "").number, 1);
    cr_assert_not(page_of("", "").asked);
    cr_assert(page_of("7", "").asked);
    cr_assert_eq(page_of("7", "").number, 7);
}

static bool range_of(const char *page, const char *size, uint64_t total, list_range_t *out)
{
    list_page_t asked = page_of(page, size);
    return list_range(&asked, total, true, out);
}

Test(list, a_page_holds_what_is_left_and_none_lies_behind_the_end)
{
    list_range_t range;
    cr_assert(range_of("1", "10", 25, &range));
    cr_assert_eq(range.offset, 0);
    cr_assert_eq(range.count, 10);
    cr_assert(range_of("3", "10", 25, &range));
    cr_assert_eq(range.offset, 20);
    cr_assert_eq(range.count, 5);
    cr_assert_not(range_of("4", "10", 25, &range));
    cr_assert(range_of("last", "10", 25, &range));
    cr_assert_eq(range.number, 3);
    cr_assert(range_of("last", "10", 20, &range));
    cr_assert_eq(range.number, 2);
    cr_assert_eq(range.count, 10);
    cr_assert_not(range_of("3", "10", 20, &range));
    cr_assert_not(range_of("999999999999999999", "1000", 25, &range));
}

Test(list, page_1_of_an_empty_list_exists)
{
    list_range_t range;
    cr_assert(range_of("1", "", 0, &range));
    cr_assert_eq(range.count, 0);
    cr_assert(range_of("last", "", 0, &range));
    cr_assert_eq(range.number, 1);
    cr_assert_not(range_of("2", "", 0, &range));
}

static const char *link_text(const char *query, uint64_t page)
{
    static char text[4096];
    buffer_t out;
    buffer_init(&out, sizeof text - 1);
    list_link(&out, "http://host:80", "/r/", query, page);
    memcpy(text, out.bytes, out.size);
    text[out.size] = '\0';
    buffer_free(&out);
    return text;
}

Test(list, links_keep_the_other_parameters)
{
    cr_assert_str_eq(link_text(NULL, 2), "\"http://host:80/r/?page=2\"");
    cr_assert_str_eq(link_text("page=1", 2), "\"http://host:80/r/?page=2\"");
    cr_assert_str_eq(link_text("a=1&page=3&page_size=5", 2),
                     "\"http://host:80/r/?a=1&page_size=5&page=2\"");
    cr_assert_str_eq(link_text("page=9&b=x%20y", 4), "\"http://host:80/r/?b=x%20y&page=4\"");
    cr_assert_str_eq(link_text("page=2", 1), "\"http://host:80/r/\"");
    cr_assert_str_eq(link_text("page=2&a=1&", 1), "\"http://host:80/r/?a=1\"");
    cr_assert_str_eq(link_text("&&page&a", 3), "\"http://host:80/r/?a&page=3\"");
    cr_assert_str_eq(link_text("mypage=4", 3), "\"http://host:80/r/?mypage=4&page=3\"");
}

Test(list, links_are_clean_text_whatever_was_sent)
{
    cr_assert_str_eq(link_text("a=\"<\xff\x01\xc3\xa4>", 2),
                     "\"http://host:80/r/?a=%22%3C%FF%01%C3%A4%3E&page=2\"");
}

Test(list, a_link_that_is_too_long_is_left_out)
{
    char *query = malloc(100001);
    cr_assert_not_null(query);
    memset(query, 'a', 100000);
    query[100000] = '\0';
    cr_assert_str_eq(link_text(query, 2), "null");
    free(query);
}

static const char *envelope(const list_range_t *range, bool more)
{
    static char text[4096];
    buffer_t out;
    buffer_init(&out, sizeof text - 1);
    list_open(&out, "http://h", "/r/", "", range, more);
    list_close(&out);
    memcpy(text, out.bytes, out.size);
    text[out.size] = '\0';
    buffer_free(&out);
    return text;
}

Test(list, the_envelope_has_links_where_there_are_pages)
{
    list_range_t range;
    cr_assert(range_of("1", "10", 25, &range));
    cr_assert_str_eq(
        envelope(&range, false),
        "{\"count\":25,\"next\":\"http://h/r/?page=2\",\"previous\":null,\"results\":[]}");
    cr_assert(range_of("2", "10", 25, &range));
    cr_assert_str_eq(envelope(&range, false),
                     "{\"count\":25,\"next\":\"http://h/r/?page=3\",\"previous\":\"http://h/r/"
                     "\",\"results\":[]}");
    cr_assert(range_of("3", "10", 25, &range));
    cr_assert_str_eq(
        envelope(&range, false),
        "{\"count\":25,\"next\":null,\"previous\":\"http://h/r/?page=2\",\"results\":[]}");
    range.exact = false;
    cr_assert_str_eq(envelope(&range, true),
                     "{\"count\":25,\"count_exact\":false,\"next\":\"http://h/r/?page=4\","
                     "\"previous\":\"http://h/r/?page=2\",\"results\":[]}");
}

Test(list, unknown_and_unsortable_names_in_ordering_are_ignored)
{
    list_term_t terms[LIST_TERMS_MAX];
    cr_assert_eq(list_order_parse(&schema_programs, text_of("-name, id"), terms), 2);
    cr_assert_str_eq(terms[0].field->name, "name");
    cr_assert(terms[0].descending);
    cr_assert_str_eq(terms[1].field->name, "id");
    cr_assert_not(terms[1].descending);
    cr_assert_eq(
        list_order_parse(&schema_programs, text_of("colour,--name,tiers,earn_rules,,-"), terms), 0);
    cr_assert_eq(list_order_parse(&schema_users, text_of("password"), terms), 0);
    cr_assert_eq(list_order_parse(&schema_programs, text_of(""), terms), 0);
    cr_assert_eq(list_order_parse(&schema_programs, text_of("id,id,id,id,id,id,id"), terms),
                 LIST_TERMS_MAX);
}

/* Ids of rows in their order after a sort. */
static const char *sorted(const schema_table_t *table, const char *ordering, const char *objects)
{
    static char text[256];
    list_term_t terms[LIST_TERMS_MAX];
    list_row_t rows[16];
    size_t count = 0, at = 0;
    arena_t arena;
    json_t *list;

    arena_init(&arena, 1024 * 1024);
    cr_assert_eq(json_parse(&list, &arena, objects, strlen(objects), NULL), ERR_NONE);
    size_t term_count = list_order_parse(table, text_of(ordering), terms);
    for (const json_t *object = list->child; object != NULL; object = object->next, count++) {
        rows[count] = (list_row_t){.id = strtoul(json_member(object, "id")->text, NULL, 10)};
        for (size_t k = 0; k < term_count; k++)
            rows[count].keys[k] =
                list_key(terms[k].field, json_member(object, terms[k].field->name), &arena);
    }
    list_sort(rows, count, terms, term_count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at +=
            (size_t)snprintf(text + at, sizeof text - at, "%llu ", (unsigned long long)rows[i].id);
    arena_free(&arena);
    return text;
}

Test(list, rows_are_sorted_by_value_and_then_by_id)
{
    const char *tiers =
        "[{\"id\":1,\"priority\":10,\"min_points\":5},{\"id\":2,\"priority\":9,\"min_points\":7},"
        "{\"id\":3,\"priority\":10,\"min_points\":1},{\"id\":4,\"priority\":9,\"min_points\":7}]";
    cr_assert_str_eq(sorted(&schema_tiers, "priority,min_points", tiers), "2 4 3 1 ");
    cr_assert_str_eq(sorted(&schema_tiers, "-priority,min_points", tiers), "3 1 2 4 ");
    cr_assert_str_eq(sorted(&schema_tiers, "-priority", tiers), "3 1 4 2 ");
    cr_assert_str_eq(sorted(&schema_tiers, "", tiers), "1 2 3 4 ");
    cr_assert_str_eq(sorted(&schema_tiers, "-id", tiers), "4 3 2 1 ");
}

Test(list, decimals_instants_and_text_are_compared_as_what_they_are)
{
    cr_assert_str_eq(sorted(&schema_tiers, "points_multiplier",
                            "[{\"id\":1,\"points_multiplier\":\"10.000\"},{\"id\":2,\"points_"
                            "multiplier\":\"9.500\"}]"),
                     "2 1 ");
    /* as text "…00.5Z" would come before "…00Z" */
    cr_assert_str_eq(sorted(&schema_programs, "start_date",
                            "[{\"id\":1,\"start_date\":\"2026-01-01T00:00:00.500000Z\"},"
                            "{\"id\":2,\"start_date\":\"2026-01-01T00:00:00Z\"}]"),
                     "2 1 ");
    cr_assert_str_eq(
        sorted(&schema_programs, "-name",
               "[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"ab\"},{\"id\":3,\"name\":\"\"}]"),
        "2 1 3 ");
    cr_assert_str_eq(sorted(&schema_programs, "is_active",
                            "[{\"id\":1,\"is_active\":true},{\"id\":2,\"is_active\":false}]"),
                     "2 1 ");
}

Test(list, null_sorts_behind_all_values)
{
    const char *rows =
        "[{\"id\":1,\"burn_max\":null},{\"id\":2,\"burn_max\":5},{\"id\":3,\"burn_max\":0}]";
    cr_assert_str_eq(sorted(&schema_programs, "burn_max", rows), "3 2 1 ");
    cr_assert_str_eq(sorted(&schema_programs, "-burn_max", rows), "1 2 3 ");
}

Test(list, search_does_not_look_at_case)
{
    static const struct {
        const char *text, *needle;
        bool found;
    } cases[] = {
        {"Gold Club", "gold", true},
        {"Gold Club", "CLUB", true},
        {"Gold Club", "d c", true},
        {"Gold Club", "silver", false},
        {"Gold", "Golden", false},
        {"", "", true},
        {"", "a", false},
        {"aab", "ab", true},
        {"\xc3\x84pfel", "\xc3\xa4PFEL", true},
        {"\xce\x91\xce\xb8\xce\xae\xce\xbd\xce\xb1", "\xce\xb1\xce\x98", true},
        {"\xd0\x9c\xd0\x9e\xd0\xa1\xd0\x9a\xd0\x92\xd0\x90", "\xd0\xbc\xd0\xbe\xd1\x81\xd0\xba",
         true},
        {"\xc5\xbd", "\xc5\xbe", true},
        {"\xc3\x97", "\xc3\xb7", false},
        {"a\xc3", "\xc3", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_assert_eq(list_contains(text_of(cases[i].text), text_of(cases[i].needle)),
                     cases[i].found, "%s in %s", cases[i].needle, cases[i].text);
}
