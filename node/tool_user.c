/* tool_user.c - `fealty user`: who may log in, when the API cannot be used to say so */
#include "node/tools.h"

#include "node/offline.h"
#include "node/options.h"
#include "node/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define USERS_SHOWN_MAX   100000
#define PASSWORD_LINE_MAX 1100

static const char usage[] =
    "usage: fealty user add NAME     --data DIR [--superuser] [--permissions a,b]\n"
    "       fealty user passwd NAME  --data DIR\n"
    "       fealty user permit NAME  --data DIR --permissions a,b\n"
    "       fealty user disable NAME --data DIR\n"
    "       fealty user enable NAME  --data DIR\n"
    "       fealty user list         --data DIR\n"
    "\n"
    "Works on the directory of a stopped node; in a cluster, of the node that keeps the "
    "definitions.\n"
    "The password is asked for; when standard input is no terminal, its first line is taken.\n"
    "\n"
    "Permissions are names such as account.view, account.earn, account.burn, account.transfer,\n"
    "account.adjust, account.reconcile, program.create, request.view; `*` is all of them.\n"
    "A superuser needs none.\n";

typedef struct {
    const char *data;
    const char *permissions;
    bool superuser;
    const char *action;
    const char *name; /* NULL for list */
} wish_t;

static errcode_t list(offline_t *books);
static errcode_t change(offline_t *books, const wish_t *wish, err_t *err);
static errcode_t read_password(char out[PASSWORD_LINE_MAX], err_t *err);

static bool known(const wish_t *wish)
{
    static const char *const actions[] = {"add", "passwd", "permit", "disable", "enable"};

    if (strcmp(wish->action, "list") == 0)
        return wish->name == NULL;
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(wish->action, actions[i]) == 0)
            return wish->name != NULL &&
                   (strcmp(wish->action, "permit") != 0 || wish->permissions != NULL);
    return false;
}

int tool_user(int argc, char **argv)
{
    wish_t wish = {.data = "data"};
    const char *words[2] = {NULL, NULL};
    offline_t *books = NULL;
    err_t err = {0};
    errcode_t rc;
    const option_t options[] = {
        {.name = "--data", .text = &wish.data},
        {.name = "--permissions", .text = &wish.permissions},
        {.name = "--superuser", .on = &wish.superuser},
    };

    switch (options_parse(argc, argv, options, COUNT_OF(options), words, 1, 2, NULL, usage)) {
    case OPTIONS_HELP: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_GOOD: break;
    }
    wish.action = words[0];
    wish.name = words[1];
    if (!known(&wish)) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    rc = offline_open(&books, wish.data, false, &err);
    if (rc == ERR_NONE)
        rc = wish.name == NULL ? list(books) : change(books, &wish, &err);
    offline_close(&books);
    if (rc == ERR_NONE)
        return 0;
    (void)fprintf(stderr, "fealty user: %s\n", err.text);
    return rc == ERR_INVALID ? EXIT_USAGE : rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
}

static errcode_t list(offline_t *books)
{
    const catalogue_t *catalogue = offline_catalogue(books);
    uint32_t *ids = memory_alloc(USERS_SHOWN_MAX * sizeof *ids);
    size_t count = catalogue_ids(catalogue, CATALOGUE_NEWEST, RESOURCE_USER, ids, USERS_SHOWN_MAX);

    for (size_t i = 0; i < count && i < USERS_SHOWN_MAX; i++) {
        const user_t *user = catalogue_user(catalogue, CATALOGUE_NEWEST, ids[i]);

        (void)printf("%-6u %-24s %-9s %s", ids[i], user->username,
                     user->active ? "active" : "disabled", user->superuser ? "superuser" : "");
        for (const char *at = user->permissions; *at != '\0'; at++)
            (void)putchar(*at == '\n' ? ',' : *at);
        (void)putchar('\n');
    }
    free(ids);
    return ERR_NONE;
}

/* The present row by its name; an unknown name is an error but for `add`, where a known one is. */
static errcode_t find(const catalogue_t *catalogue, const wish_t *wish, uint32_t *id, err_t *err)
{
    const user_t *user = catalogue_user_by_name(catalogue, wish->name, strlen(wish->name));
    bool adds = strcmp(wish->action, "add") == 0;

    if (adds && user != NULL)
        return err_set(err, ERR_STATE, "there is a user %.100s already", wish->name);
    if (!adds && user == NULL)
        return err_set(err, ERR_NOT_FOUND, "there is no user %.100s; `fealty user list` shows all",
                       wish->name);
    *id = user != NULL ? user->id : 0;
    return ERR_NONE;
}

static errcode_t change(offline_t *books, const wish_t *wish, err_t *err)
{
    bool adds = strcmp(wish->action, "add") == 0;
    char password[PASSWORD_LINE_MAX] = "";
    user_patch_t patch = {
        .active = -1, .staff = -1, .superuser = -1, .permissions = wish->permissions};
    const birth_t *birth = offline_birth(books);
    command_t command = {
        .kind = COMMAND_DEFINE, .operation = OPERATION_DEFINE, .resource = RESOURCE_USER};
    buffer_t json;
    buffer_t answer;
    result_t result;
    errcode_t rc;

    buffer_init(&json, 64 * 1024);
    buffer_init(&answer, RECORD_BYTES_MAX);
    rc = find(offline_catalogue(books), wish, &command.id, err);
    if (rc != ERR_NONE)
        goto cleanup;
    if (birth->owners[birth->partitions] != birth->node) {
        rc = err_set(err, ERR_UNREACHABLE,
                     "the definitions are kept by the node %.100s: run this there",
                     birth->names[birth->owners[birth->partitions]]);
        goto cleanup;
    }
    if (adds || strcmp(wish->action, "passwd") == 0) {
        rc = read_password(password, err);
        if (rc != ERR_NONE)
            goto cleanup;
        patch.password = password;
    }
    if (adds) {
        patch.username = wish->name;
        patch.staff = patch.superuser = wish->superuser;
    }
    if (adds || strcmp(wish->action, "enable") == 0)
        patch.active = 1;
    if (strcmp(wish->action, "disable") == 0)
        patch.active = 0;
    rc = user_patch_encode(&patch, &json, err);
    if (rc != ERR_NONE)
        goto cleanup;
    command.body = (text_t){(const char *)json.bytes, json.size};
    rc = offline_command(books, birth->partitions, &command, &answer, err);
    if (rc != ERR_NONE)
        goto cleanup;
    rc = result_decode(&result, answer.bytes, answer.size, err);
    if (rc != ERR_NONE)
        goto cleanup;
    if (result.status >= 300)
        rc = err_set(err, ERR_STATE, "refused: %.*s %.*s", (int)result.field.n, result.field.bytes,
                     (int)result.error.n, result.error.bytes);

cleanup:
    explicit_bzero(password, sizeof password);
    buffer_free(&answer);
    buffer_free(&json);
    return rc;
}

static errcode_t read_password(char out[PASSWORD_LINE_MAX], err_t *err)
{
    struct termios before;
    bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
    bool got;

    if (terminal) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        (void)fputs("Password: ", stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    got = fgets(out, PASSWORD_LINE_MAX, stdin) != NULL;
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void)fputc('\n', stderr);
    }
    if (!got)
        return err_field(err, ERR_INVALID, "password", "a password is needed on standard input");
    out[strcspn(out, "\r\n")] = '\0';
    return ERR_NONE;
}
