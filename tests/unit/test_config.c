/* test_config.c - settings: one table, three places, one order */
#include "node/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static errcode_t load(config_t *config, int argc, const char **argv, err_t *err)
{
    bool help;

    return config_load(config, argc, (char **)(uintptr_t)argv, &help, err);
}

Test(config, defaults_are_those_of_the_table, .timeout = 5)
{
    config_t config;
    err_t err = {0};

    cr_assert_eq(load(&config, 0, NULL, &err), ERR_NONE, "%s", err.text);
    cr_assert_str_eq(config.listen, "127.0.0.1:8080");
    cr_assert_eq(config.partitions, 16);
    cr_assert_not(config.accept_clock);
    cr_assert_str_eq(config.log_format, "text");
}

Test(config, flags_win_over_the_environment_and_that_over_the_file, .timeout = 5)
{
    char path[] = "/tmp/fealty-config-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    config_t config;
    err_t err = {0};
    const char *argv[] = {"--config", path, "--round-commands=100", "--accept-clock"};

    cr_assert_not_null(file);
    (void)fputs("# a comment\n\n  cache-mib = 11\nhttp-threads=12\nround-commands = 13\n", file);
    cr_assert_eq(fclose(file), 0);
    setenv("FEALTY_HTTP_THREADS", "22", 1);
    setenv("FEALTY_ROUND_COMMANDS", "23", 1);
    errcode_t rc = load(&config, 4, argv, &err);
    (void)unlink(path);
    cr_assert_eq(rc, ERR_NONE, "%s", err.text);
    cr_assert_eq(config.cache_mib, 11);
    cr_assert_eq(config.http_threads, 22);
    cr_assert_eq(config.round_commands, 100);
    cr_assert(config.accept_clock);
}

Test(config, a_wrong_setting_is_refused_with_its_name_and_place, .timeout = 5)
{
    static const struct {
        const char *argv[2];
        int argc;
        const char *part;
    } cases[] = {
        {{"--partitions", "0"}, 2, "1 to 1024"},
        {{"--partitions", "16x"}, 2, "--partitions"},
        {{"--partitions", "-1"}, 2, "--partitions"},
        {{"--partitions", "99999999999999999999"}, 2, "--partitions"},
        {{"--log-format=xml", NULL}, 1, "text|json"},
        {{"--log-format=", NULL}, 1, "text|json"},
        {{"--accept-clock=maybe", NULL}, 1, "true or false"},
        {{"--no-such-thing", "1"}, 2, "no-such-thing"},
        {{"stray", NULL}, 1, "stray"},
        {{"--listen", NULL}, 1, "needs a value"},
        {{"--config", "/nonexistent/file"}, 2, "/nonexistent/file"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        config_t config;
        err_t err = {0};

        cr_expect_eq(load(&config, cases[i].argc, (const char **)(uintptr_t)cases[i].argv, &err),
                     ERR_INVALID, "case %zu was taken", i);
        cr_expect_not_null(strstr(err.text, cases[i].part), "case %zu says: %s", i, err.text);
    }
}

Test(config, the_page_in_docs_is_the_one_the_table_makes, .timeout = 5)
{
    buffer_t page;
    FILE *file = fopen("docs/configuration.md", "re");
    char *text;
    size_t n;

    cr_assert_not_null(file, "run the tests from the root of the repository");
    text = calloc(1, 1 << 20);
    n = fread(text, 1, (1 << 20) - 1, file);
    (void)fclose(file);
    buffer_init(&page, 1 << 20);
    config_markdown(&page);
    cr_expect_eq(n, page.size, "run `make docs`");
    cr_expect(n == page.size && memcmp(text, page.bytes, n) == 0, "run `make docs`");
    buffer_free(&page);
    free(text);
}
