/* test_http_body.c - heads, media types, queries, forms: everything that is checked before a
 * handler runs */
#include "http/form.h"
#include "http/head.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(http_head, .timeout = 10);
TestSuite(http_form, .timeout = 10);

static arena_t arena;

static int head_status(const char *version, const head_field_t *fields, size_t count, head_t *head)
{
    const char *fault = NULL;
    int status = head_read(head, "POST", version, fields, count, &fault);

    cr_assert_eq(status == 0, fault == NULL);
    return status;
}

#define STATUS(...)                                                          \
    head_status("1.1", (const head_field_t[]){{"Host", "a:1"}, __VA_ARGS__}, \
                COUNT_OF(((const head_field_t[]){{"Host", "a:1"}, __VA_ARGS__})), &head)

Test(http_head, lengths_that_two_readers_could_understand_differently_are_refused)
{
    head_t head;

    cr_assert_eq(STATUS({"Content-Length", "5"}), 0);
    cr_assert_eq(head.content_length, 5);
    cr_assert_eq(STATUS({"Content-Length", "5"}, {"content-length", "5"}), 400);
    cr_assert_eq(STATUS({"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}), 400);
    cr_assert_eq(STATUS({"Content-Length", "+5"}), 400);
    cr_assert_eq(STATUS({"Content-Length", "-5"}), 400);
    cr_assert_eq(STATUS({"Content-Length", "5 "}), 400);
    cr_assert_eq(STATUS({"Content-Length", ""}), 400);
    cr_assert_eq(STATUS({"Content-Length", "0x5"}), 400);
    cr_assert_eq(STATUS({"Content-Length", "5, 5"}), 400);
    cr_assert_eq(STATUS({"Content-Length", "99999999999999999999"}), 400);
    cr_assert_eq(STATUS({"Transfer-Encoding", "identity"}), 400);
    cr_assert_eq(STATUS({"Transfer-Encoding", "gzip, chunked"}), 400);
    cr_assert_eq(STATUS({"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}), 400);
    cr_assert_eq(STATUS({"Transfer-Encoding", "Chunked"}), 0);
    cr_assert(head.chunked);
    cr_assert_eq(head.content_length, -1);
}

Test(http_head, one_host_is_needed_and_it_is_plain)
{
    head_t head;
    const head_field_t none[] = {{"Accept", "*/*"}};
    const head_field_t quoted[] = {{"Host", "a\"b"}};

    cr_assert_eq(head_status("1.1", none, 1, &head), 400);
    cr_assert_eq(head_status("1.0", none, 1, &head), 0);
    cr_assert_not(head.keep_alive);
    cr_assert_eq(head_status("1.1", quoted, 1, &head), 400);
    cr_assert_eq(STATUS({"Host", "b"}), 400);
    cr_assert_eq(STATUS({"Authorization", "Token a"}, {"Authorization", "Token b"}), 400);
}

Test(http_head, keep_alive_follows_version_and_connection)
{
    head_t head;

    cr_assert_eq(STATUS({"X", "y"}), 0);
    cr_assert(head.keep_alive);
    cr_assert_eq(STATUS({"Connection", "close"}), 0);
    cr_assert_not(head.keep_alive);
    cr_assert_eq(STATUS({"Connection", "Keep-Alive"}), 0);
    cr_assert(head.keep_alive);
    cr_assert_eq(STATUS({"Connection", "keep-alive, close"}), 0);
    cr_assert_not(head.keep_alive);
    cr_assert_eq(STATUS({"Connection", "Upgrade"}), 0);
    cr_assert_not(head.keep_alive);
    cr_assert_eq(STATUS({"Connection", "keep"}), 0);
    cr_assert_not(head.keep_alive);
}

Test(http_head, expectations_other_than_continue_fail)
{
    head_t head;

    cr_assert_eq(STATUS({"Expect", "100-continue"}), 0);
    cr_assert(head.expect_continue);
    cr_assert_eq(STATUS({"Expect", "200-ok"}), 417);
}

/* Parses like the library: NUL over colons, blanks before them, CR and LF; stops at the first line
 * that has no name. */
static size_t library_parse(char *text, size_t bytes, head_field_t *fields)
{
    size_t count = 0;
    char *at = text;

    text[bytes - 1] = '\0';
    while (count < 64) {
        char *name = at;

        while (*at != ':' && *at > 32 && *at < 127)
            at++;
        if (at == name)
            break;
        while (*at == ' ')
            *at++ = '\0';
        *at++ = '\0';
        while (*at == ' ' || *at == '\t')
            at++;
        fields[count++] = (head_field_t){name, at};
        while (*at != '\0' && *at != '\r' && *at != '\n')
            at++;
        if (*at == '\r')
            *at++ = '\0';
        if (*at == '\0')
            break;
        *at++ = '\0';
        if (*at == '\r' || *at == '\n')
            break;
    }
    return count;
}

static int layout_of(const char *head, size_t *bytes)
{
    static char text[70000];
    head_field_t fields[64];
    size_t n = strlen(head), count;
    const char *fault;

    memset(text, 'x', sizeof text);
    memcpy(text, head, n);
    count = library_parse(text, n, fields);
    return head_layout(text, fields, count, bytes, &fault);
}

Test(http_head, layout_finds_what_the_library_drops)
{
    size_t bytes;
    char many[4096] = "", large[20000];

    cr_assert_eq(layout_of("Host: a\r\nX: b\r\n\r\n", &bytes), 0);
    cr_assert_eq(bytes, 17);
    cr_assert_eq(layout_of("Host: a\r\nX:\r\n\r\n", &bytes), 0);
    cr_assert_eq(layout_of("Host: a\r\nX: b\r\n c\r\nContent-Length: 5\r\n\r\n", &bytes), 400);
    cr_assert_eq(layout_of("Host: a\r\nContent-Length : 5\r\n\r\n", &bytes), 400);
    cr_assert_eq(layout_of("Host: a\nX: b\r\n\r\n", &bytes), 400);
    cr_assert_eq(layout_of("Host: a\n\n", &bytes), 400);
    cr_assert_eq(layout_of("Host: a\r\nX: b\n\r\n", &bytes), 400);
    for (int i = 0; i < 70; i++)
        strcat(many, "A: b\r\n");
    strcat(many, "\r\n");
    cr_assert_eq(layout_of(many, &bytes), 431);
    memset(large, 'a', sizeof large - 1);
    memcpy(large, "Host: ", 6);
    memcpy(large + sizeof large - 5, "\r\n\r\n", 5);
    cr_assert_eq(layout_of(large, &bytes), 431);
}

Test(http_head, accept_excludes_or_allows_json)
{
    static const struct {
        const char *accept;
        bool yes;
    } cases[] = {{NULL, true},
                 {"", true},
                 {"*/*", true},
                 {"application/json", true},
                 {"Application/JSON; charset=utf-8", true},
                 {"text/html, application/*;q=0.5", true},
                 {"text/html", false},
                 {"text/*", false},
                 {"application/xml", false},
                 {"application/json;q=0", false},
                 {"application/json;q=0.0, */*", false},
                 {"*/*;q=0", false},
                 {"application/json; q=0.001", true},
                 {"*/*;q=0, application/json", true},
                 {",,;", false},
                 {"application/jsonx", false}};

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_assert_eq(head_accepts(cases[i].accept, "application/json"), cases[i].yes, "%s",
                     cases[i].accept);
}

Test(http_head, media_types_and_their_parameters)
{
    text_t boundary;

    cr_assert_eq(head_media(NULL, &boundary), MEDIA_NONE);
    cr_assert_eq(head_media("application/json", &boundary), MEDIA_JSON);
    cr_assert_eq(head_media("Application/JSON; charset=\"UTF-8\"", &boundary), MEDIA_JSON);
    cr_assert_eq(head_media("application/json; charset=latin1", &boundary), MEDIA_OTHER);
    cr_assert_eq(head_media("text/json", &boundary), MEDIA_OTHER);
    cr_assert_eq(head_media("application/x-ndjson", &boundary), MEDIA_LINES);
    cr_assert_eq(head_media("multipart/form-data; boundary=abc", &boundary), MEDIA_MULTIPART);
    cr_assert_eq(boundary.n, 3);
    cr_assert_eq(head_media("multipart/form-data; boundary=\"a b\"", &boundary), MEDIA_MULTIPART);
    cr_assert_eq(boundary.n, 3);
    cr_assert_eq(head_media("multipart/form-data", &boundary), MEDIA_MULTIPART);
    cr_assert_eq(boundary.n, 0);
}

Test(http_head, request_ids_are_cleaned_and_tokens_found)
{
    char id[8];
    text_t key;

    cr_assert_eq(head_clean_id("ab\r\nc\x01 d\xc3\xa9"
                               "efghij",
                               id, sizeof id),
                 7);
    cr_assert_str_eq(id, "abcdefg");
    cr_assert_eq(head_clean_id(" \t", id, sizeof id), 0);
    cr_assert(head_token("token   abc", &key));
    cr_assert_eq(key.n, 3);
    cr_assert(head_token("Bearer abc", &key));
    cr_assert_not(head_token("Basic abc", &key));
    cr_assert_not(head_token("Token", &key));
    cr_assert_not(head_token("Token ", &key));
    cr_assert_not(head_token(NULL, &key));
}

static errcode_t form_of(const char *text, json_t **root)
{
    if (arena.max == 0)
        arena_init(&arena, 1u << 20);
    return form_parse(root, &arena, text, strlen(text), NULL);
}

Test(http_form, becomes_an_object_of_strings)
{
    json_t *root;

    cr_assert_eq(form_of("a=1&b=x+y%21&c=&d&&e=%C3%A9", &root), ERR_NONE);
    cr_assert_eq(root->type, JSON_OBJECT);
    cr_assert_eq(root->count, 5);
    cr_assert(json_text_is(json_member(root, "a"), "1"));
    cr_assert(json_text_is(json_member(root, "b"), "x y!"));
    cr_assert(json_text_is(json_member(root, "c"), ""));
    cr_assert(json_text_is(json_member(root, "d"), ""));
    cr_assert(json_text_is(json_member(root, "e"), "\xc3\xa9"));
    cr_assert_eq(form_of("", &root), ERR_NONE);
    cr_assert_eq(root->count, 0);
}

Test(http_form, twice_the_same_name_and_broken_bytes_are_errors)
{
    static const char *const bad[] = {"a=1&a=2", "a=%",    "a=%4", "a=%zz",
                                      "a=%00",   "a=\xff", "%ff=1"};
    json_t *root;
    char many[2000] = "";

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_eq(form_of(bad[i], &root), ERR_MALFORMED, "%s", bad[i]);
    for (int i = 0; i <= FORM_FIELDS_MAX; i++) {
        char field[16];

        snprintf(field, sizeof field, "a%d&", i);
        strcat(many, field);
    }
    cr_assert_eq(form_of(many, &root), ERR_MALFORMED);
}

static errcode_t parts_of(const char *text, json_t **root)
{
    if (arena.max == 0)
        arena_init(&arena, 1u << 20);
    return multipart_parse(root, &arena, text_of("B"), text, strlen(text), NULL);
}

Test(http_form, multipart_is_read_for_flat_fields_only)
{
    json_t *root;

    cr_assert_eq(parts_of("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\n"
                          "content-disposition: form-data; name=\"b\"\r\nContent-Type: "
                          "text/plain\r\n\r\n\r\n--B--\r\n",
                          &root),
                 ERR_NONE);
    cr_assert_eq(root->count, 2);
    cr_assert(json_text_is(json_member(root, "a"), "1"));
    cr_assert(json_text_is(json_member(root, "b"), ""));
    cr_assert_eq(parts_of("--B--", &root), ERR_NONE);
    cr_assert_eq(root->count, 0);
    cr_assert_eq(
        parts_of(
            "--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"x\"\r\n\r\n1\r\n--B--",
            &root),
        ERR_MALFORMED);
    cr_assert_eq(parts_of("--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--", &root),
                 ERR_MALFORMED);
    cr_assert_eq(parts_of("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1", &root),
                 ERR_MALFORMED);
    cr_assert_eq(parts_of("--B\r\nX", &root), ERR_MALFORMED);
    cr_assert_eq(parts_of("--B", &root), ERR_MALFORMED);
    cr_assert_eq(parts_of("", &root), ERR_MALFORMED);
}

Test(http_form, query_parameters_are_found_decoded_and_first_one_counts)
{
    text_t value;
    bool found;

    if (arena.max == 0)
        arena_init(&arena, 1u << 20);
    cr_assert_eq(query_parameter(&value, &found, "ab=1&a=x%20y&a=2&c", "a", &arena, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(value.n, 3);
    cr_assert_eq(memcmp(value.bytes, "x y", 4), 0);
    cr_assert_eq(query_parameter(&value, &found, "ab=1&c", "c", &arena, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(value.n, 0);
    cr_assert_eq(query_parameter(&value, &found, "ab=1", "b", &arena, NULL), ERR_NONE);
    cr_assert_not(found);
    cr_assert_eq(query_parameter(&value, &found, NULL, "b", &arena, NULL), ERR_NONE);
    cr_assert_not(found);
    cr_assert_eq(query_parameter(&value, &found, "b=%", "b", &arena, NULL), ERR_MALFORMED);
}

Test(http_form, utf8_is_checked_as_rfc_3629_says)
{
    static const char *const bad[] = {
        "\x80",         "\xc0\xaf",         "\xc1\xbf",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc3",         "\xe2\x82",         "\xf0\x9f\x98",     "\xff"};

    cr_assert(
        text_is_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf", 17));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_not(text_is_utf8(bad[i], strlen(bad[i])), "%zu", i);
}
