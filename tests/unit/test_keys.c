/* test_keys.c - key files of the nodes: complete, private, never overwritten */
#include "cluster/keys.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char root[64];
    char own[128];
    addresses_t addresses;
} keyed_t;

static void keyed_begin(keyed_t *self)
{
    (void)snprintf(self->root, sizeof self->root, "/tmp/fealty-test-keys-XXXXXX");
    cr_assert(mkdtemp(self->root) != NULL);
    (void)snprintf(self->own, sizeof self->own, "%s/h1_7001", self->root);
    cr_assert_eq(addresses_parse(&self->addresses, "h1:7001", "h1:7001,h2:7001", NULL), ERR_NONE);
}

static void keyed_end(keyed_t *self)
{
    char command[96];

    (void)snprintf(command, sizeof command, "rm -rf %s", self->root);
    cr_assert_eq(system(command), 0);
}

Test(keys, of_a_node_are_its_own_secret_and_everybodys_public_ones)
{
    keyed_t keyed;
    char path[KEYS_PATH_BYTES];
    struct stat file;

    keyed_begin(&keyed);
    cr_assert_eq(keys_generate(keyed.root, &keyed.addresses, NULL), ERR_NONE);
    cr_assert_eq(keys_check(keyed.own, &keyed.addresses, NULL), ERR_NONE);
    cr_assert_eq(keys_secret_path(keyed.own, path, NULL), ERR_NONE);
    cr_assert_eq(stat(path, &file), 0);
    cr_assert_eq(file.st_mode & 0777, 0600);
    cr_assert_eq(keys_peer_path(keyed.own, "h2:7001", path, NULL), ERR_NONE);
    cr_assert_str_eq(strrchr(path, '/'), "/h2_7001");
    keyed_end(&keyed);
}

Test(keys, are_never_overwritten)
{
    keyed_t keyed;
    err_t err;

    keyed_begin(&keyed);
    cr_assert_eq(keys_generate(keyed.root, &keyed.addresses, &err), ERR_NONE);
    cr_assert_eq(keys_generate(keyed.root, &keyed.addresses, &err), ERR_STATE);
    cr_assert(strstr(err.text, "h1_7001") != NULL);
    keyed_end(&keyed);
}

Test(keys, that_others_can_read_or_that_are_missing_are_refused)
{
    keyed_t keyed;
    char path[KEYS_PATH_BYTES];
    err_t err;

    keyed_begin(&keyed);
    cr_assert_eq(keys_generate(keyed.root, &keyed.addresses, &err), ERR_NONE);
    cr_assert_eq(keys_secret_path(keyed.own, path, NULL), ERR_NONE);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(keys_check(keyed.own, &keyed.addresses, &err), ERR_STATE);
    cr_assert(strstr(err.text, "chmod 600") != NULL);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(keys_peer_path(keyed.own, "h2:7001", path, NULL), ERR_NONE);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(keys_check(keyed.own, &keyed.addresses, &err), ERR_STATE);
    cr_assert(strstr(err.text, "h2:7001") != NULL);
    cr_assert_eq(keys_check(keyed.root, &keyed.addresses, &err), ERR_STATE);
    cr_assert(strstr(err.text, "fealty keys") != NULL);
    keyed_end(&keyed);
}

Test(keys, paths_that_czmq_would_cut_are_refused)
{
    char deep[2 * KEYS_PATH_BYTES];
    char path[KEYS_PATH_BYTES];

    memset(deep, 'd', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    cr_assert_eq(keys_secret_path(deep, path, NULL), ERR_INVALID);
    cr_assert_eq(keys_peer_path(deep, "h1:7001", path, NULL), ERR_INVALID);
}

Test(keys, tool_says_how_it_is_used)
{
    char *nothing[] = {(char *)"keys", NULL};
    char *half[] = {(char *)"keys", (char *)"--out", (char *)"x", NULL};
    char *bare[] = {(char *)"keys", (char *)"--out", NULL};

    cr_assert_eq(tool_keys(1, nothing), 1);
    cr_assert_eq(tool_keys(3, half), 1);
    cr_assert_eq(tool_keys(2, bare), 1);
}
