/* test_control.c - orders to a running node by its socket */
#include "node/control.h"
#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    atomic_int frozen;
    char target[64];
} kept_t;

static errcode_t take_backup(void *state, const char *directory, err_t *err)
{
    kept_t *kept = state;

    if (strcmp(directory, "/full disk") == 0)
        return err_set(err, ERR_IO, "no room on /full disk");
    (void)snprintf(kept->target, sizeof kept->target, "%s", directory);
    return ERR_NONE;
}

static errcode_t freeze(void *state, bool frozen, err_t *err)
{
    (void)err;
    atomic_store(&((kept_t *)state)->frozen, frozen);
    return ERR_NONE;
}

static void status(void *state, buffer_t *out)
{
    (void)state;
    buffer_text(out, "first\nsecond\n");
}

static control_t *start(const char *directory, kept_t *kept)
{
    const control_hooks_t hooks = {
        .backup = take_backup, .freeze = freeze, .status = status, .state = kept};
    control_t *control = NULL;
    err_t err = {0};

    cr_assert_eq(control_start(&control, directory, &hooks, &err), ERR_NONE, "%s", err.text);
    return control;
}

static int reach(const char *directory)
{
    int fd = -1;
    err_t err = {0};

    cr_assert_eq(control_connect(directory, &fd, &err), ERR_NONE, "%s", err.text);
    cr_assert_geq(fd, 0);
    return fd;
}

Test(control, answers_orders_and_passes_the_sentence_of_a_failure_on, .timeout = 20)
{
    scratch_t scratch = scratch_new();
    kept_t kept = {0};
    control_t *control;
    buffer_t answer;
    err_t err = {0};

    control = start(scratch.path, &kept);
    int fd = reach(scratch.path);
    buffer_init(&answer, 4096);
    cr_assert_eq(control_ask(fd, "status", 5000, &answer, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(answer.size, strlen("first\nsecond\n"));
    cr_assert_eq(control_ask(fd, "backup /somewhere/with blanks", 5000, NULL, &err), ERR_NONE, "%s",
                 err.text);
    cr_assert_str_eq(kept.target, "/somewhere/with blanks");
    cr_assert_eq(control_ask(fd, "backup /full disk", 5000, NULL, &err), ERR_STATE);
    cr_assert_str_eq(err.text, "no room on /full disk");
    cr_assert_eq(control_ask(fd, "dance", 5000, NULL, &err), ERR_STATE);
    (void)close(fd);
    buffer_free(&answer);
    control_stop(&control);
    scratch_remove(&scratch);
}

Test(control, a_connection_that_ends_thaws_what_it_froze, .timeout = 20)
{
    scratch_t scratch = scratch_new();
    kept_t kept = {0};
    control_t *control;
    err_t err = {0};

    control = start(scratch.path, &kept);
    int fd = reach(scratch.path);
    cr_assert_eq(control_ask(fd, "freeze", 5000, NULL, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(atomic_load(&kept.frozen), 1);
    (void)close(fd);
    for (int i = 0; i < 2000 && atomic_load(&kept.frozen) != 0; i++) {
        const struct timespec moment = {.tv_nsec = 5000000};
        (void)nanosleep(&moment, NULL);
    }
    cr_assert_eq(atomic_load(&kept.frozen), 0);
    control_stop(&control);
    scratch_remove(&scratch);
}

Test(control, endless_lines_and_silence_do_not_hold_it_up, .timeout = 20)
{
    scratch_t scratch = scratch_new();
    kept_t kept = {0};
    control_t *control;
    char noise[CONTROL_LINE_MAX * 2];
    char byte;
    err_t err = {0};

    control = start(scratch.path, &kept);
    int fd = reach(scratch.path);
    memset(noise, 'x', sizeof noise);
    (void)!write(fd, noise, sizeof noise);
    struct pollfd closed = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&closed, 1, 10000), 1, "a line without an end is cut off");
    cr_assert_leq(read(fd, &byte, 1), 0);
    (void)close(fd);
    fd = reach(scratch.path);
    cr_assert_eq(control_ask(fd, "thaw", 5000, NULL, &err), ERR_NONE, "%s", err.text);
    control_stop(&control); /* while a silent connection is open */
    (void)close(fd);
    scratch_remove(&scratch);
}

Test(control, nobody_at_home_is_no_error_and_a_stale_socket_is_replaced, .timeout = 20)
{
    scratch_t scratch = scratch_new();
    kept_t kept = {0};
    control_t *control;
    int fd = 0;
    err_t err = {0};

    cr_assert_eq(control_connect(scratch.path, &fd, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(fd, -1);
    control = start(scratch.path, &kept);
    control_stop(&control);
    cr_assert_eq(control_connect(scratch.path, &fd, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(fd, -1);
    cr_assert_eq(control_connect("/nonexistent/directory", &fd, &err), ERR_IO);
    scratch_remove(&scratch);
}
