/* test_metrics.c - counters, sources and log lines */
#include "protocol/clock.h"
#include "protocol/json.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>

static void write_gauge(void *state, buffer_t *out)
{
    buffer_printf(out, "fealty_test_gauge %d\n", *(int *)state);
}

static bool metrics_contain(const char *text)
{
    buffer_t out;
    bool found;

    buffer_init(&out, 1 << 20);
    metrics_write(&out);
    buffer_byte(&out, 0);
    cr_assert_not(out.failed);
    found = strstr((const char *)out.bytes, text) != NULL;
    buffer_free(&out);
    return found;
}

Test(metrics, every_counter_is_listed_from_the_start, .timeout = 10)
{
#define X(id, name, type, help)                               \
    cr_assert(metrics_contain("# HELP " name " " help "\n")); \
    cr_assert(metrics_contain("# TYPE " name " " type "\n" name " 0\n"));
    METRIC_MAP(X)
#undef X
}

Test(metrics, counters_add_up, .timeout = 10)
{
    metric_add(METRIC_COMMANDS, 2);
    metric_add(METRIC_COMMANDS, 40);
    cr_assert_eq(metric_get(METRIC_COMMANDS), 42);
    cr_assert_eq(metric_get(METRIC_REFUSALS), 0);
    cr_assert(metrics_contain("\nfealty_commands_total 42\n"));
}

Test(metrics, sources_are_asked_until_they_are_removed, .timeout = 10)
{
    int first = 11;
    int second = 22;

    metrics_register(write_gauge, &first);
    metrics_register(write_gauge, &second);
    cr_assert(metrics_contain("fealty_test_gauge 11\n"));
    cr_assert(metrics_contain("fealty_test_gauge 22\n"));
    metrics_unregister(write_gauge, &first);
    cr_assert_not(metrics_contain("fealty_test_gauge 11\n"));
    cr_assert(metrics_contain("fealty_test_gauge 22\n"));
    metrics_unregister(write_gauge, &second);
    metrics_unregister(write_gauge, &second);
    cr_assert_not(metrics_contain("fealty_test_gauge"));
}

static size_t read_line(char *line, size_t max)
{
    FILE *lines = cr_get_redirected_stderr();

    cr_assert_not_null(fgets(line, (int)max, lines));
    return strlen(line);
}

Test(log, a_plain_line_has_time_level_and_text, .timeout = 10, .init = cr_redirect_stderr)
{
    char line[256];

    log_configure(LOG_INFO, false);
    log_debug("not written");
    log_info("%d accounts\nforged line", 3);
    log_write(LOG_ERROR, "r-1", "disk is full");
    (void)read_line(line, sizeof line);
    cr_assert_eq(line[4], '-');
    cr_assert_eq(line[10], 'T');
    cr_assert_eq(line[19], '.');
    cr_assert_str_eq(line + 23, "Z info  3 accounts\\x0aforged line\n");
    (void)read_line(line, sizeof line);
    cr_assert_str_eq(line + 23, "Z error disk is full request=r-1\n");
}

Test(log, a_json_line_is_json, .timeout = 10, .init = cr_redirect_stderr)
{
    char line[256];
    json_t *root = NULL;
    arena_t arena;

    log_configure(LOG_DEBUG, true);
    log_write(LOG_WARN, "r\"1", "quote \" and \x01 and \xff");
    size_t n = read_line(line, sizeof line);
    arena_init(&arena, 4096);
    cr_assert_eq(json_parse(&root, &arena, line, n, NULL), ERR_NONE, "%s", line);
    cr_assert(json_text_is(json_member(root, "level"), "warn"));
    cr_assert(json_text_is(json_member(root, "request_id"), "r\"1"));
    cr_assert(json_text_is(json_member(root, "text"), "quote \" and \x01 and \xef\xbf\xbd"));
    cr_assert_not_null(json_member(root, "at"));
    arena_free(&arena);
}

Test(log, a_line_that_cannot_be_written_is_counted, .timeout = 10)
{
    fclose(stderr);
    log_configure(LOG_INFO, false);
    log_info("nobody hears this");
    cr_assert_eq(metric_get(METRIC_LOG_LINES_LOST), 1);
}

Test(clock, the_real_clocks_move_forward_and_random_bytes_differ, .timeout = 10)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    int64_t boot = clock_boot_us(clock_system());

    cr_assert_geq(clock_boot_us(clock_system()), boot);
    cr_assert_gt(clock_wall_us(clock_system()), INT64_C(1500000000000000));
    random_fill(random_system(), a, sizeof a);
    random_fill(random_system(), b, sizeof b);
    cr_assert_neq(memcmp(a, b, sizeof a), 0);
}
