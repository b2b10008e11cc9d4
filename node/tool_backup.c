/* tool_backup.c - `fealty backup`: asks running nodes for an image of their books, or takes it itself */
#include "node/tools.h"

#include "node/backup.h"
#include "node/control.h"
#include "node/lists.h"
#include "node/options.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ORDER_TIMEOUT_MS 600000
#define PATH_BYTES_MAX   4000

static const char usage[] =
    "usage: fealty backup [--data DIR] TARGET\n"
    "       fealty backup --cluster DIR1,DIR2,... TARGET\n"
    "\n"
    "Makes the directory TARGET with a consistent image of the books in DIR. The node may be "
    "running: it goes\n"
    "on serving. On the same disk the image takes little room at first; copy it elsewhere to be "
    "safe.\n"
    "With --cluster, the nodes whose data directories are named are held together for the moment "
    "of the\n"
    "image, so that no transfer between them is cut in two; TARGET gets one directory for each.\n"
    "`fealty restore` brings a backup back.\n";

typedef struct {
    const char *data;
    char target[PATH_BYTES_MAX];
    int control;    /* owned; -1: no node runs */
    store_t *store; /* owned; when no node runs */
    birth_t birth;
} source_t;

static errcode_t back_up(const list_t *data, const char *target, bool cluster, err_t *err);
static errcode_t hold(source_t *source, err_t *err);
static errcode_t copy(source_t *source, err_t *err);
static void let_go(source_t *source);

int tool_backup(int argc, char **argv)
{
    const char *data = "data";
    const char *cluster = NULL;
    const char *words[1] = {NULL};
    list_t list = {0};
    err_t err = {0};
    errcode_t rc;
    const option_t options[] = {{.name = "--data", .text = &data},
                                {.name = "--cluster", .text = &cluster}};

    switch (options_parse(argc, argv, options, COUNT_OF(options), words, 1, 1, NULL, usage)) {
    case OPTIONS_HELP: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_GOOD: break;
    }
    list_split(&list, cluster != NULL ? cluster : data, cluster != NULL ? ',' : '\0');
    if (list.count == 0) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    rc = back_up(&list, words[0], cluster != NULL, &err);
    list_free(&list);
    if (rc == ERR_NONE) {
        (void)printf("Backed up to %s.\n", words[0]);
        return 0;
    }
    (void)fprintf(stderr, "fealty backup: %s\n", err.text);
    return rc == ERR_INVALID ? EXIT_USAGE : rc == ERR_IO ? EXIT_IO : EXIT_REFUSED;
}

/* The running node has another working directory than this tool. */
static errcode_t absolute(const char *path, char out[PATH_BYTES_MAX], err_t *err)
{
    char here[PATH_BYTES_MAX] = "";
    int n;

    if (path[0] != '/' && getcwd(here, sizeof here) == NULL)
        return err_set(err, ERR_IO, "cannot tell the working directory: %s", strerror(errno));
    n = snprintf(out, PATH_BYTES_MAX, "%s%s%s", here, path[0] == '/' ? "" : "/", path);
    if (n < 0 || n >= PATH_BYTES_MAX || strchr(path, '\n') != NULL)
        return err_set(err, ERR_INVALID,
                       "the path of the backup is too long, or holds a line break");
    return ERR_NONE;
}

static errcode_t name_targets(source_t *sources, const list_t *data, const char *target,
                              bool cluster, err_t *err)
{
    char root[PATH_BYTES_MAX];
    errcode_t rc = absolute(target, root, err);

    for (size_t i = 0; rc == ERR_NONE && i < data->count; i++) {
        char *path = data->items[i];

        for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
            path[n - 1] = '\0';
        const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
        int n = snprintf(sources[i].target, PATH_BYTES_MAX, "%s%s%s", root, cluster ? "/" : "",
                         cluster ? name : "");
        if (n < 0 || n >= PATH_BYTES_MAX)
            return err_set(err, ERR_INVALID, "the path of the backup is too long");
        for (size_t j = 0; j < i; j++)
            if (strcmp(sources[j].target, sources[i].target) == 0)
                return err_set(err, ERR_INVALID,
                               "two of the directories are called %.60s; rename one", name);
    }
    if (rc == ERR_NONE && cluster && mkdir(root, 0700) != 0 && errno != EEXIST)
        return err_set(err, ERR_IO, "cannot make %.120s: %s", root, strerror(errno));
    return rc;
}

static errcode_t back_up(const list_t *data, const char *target, bool cluster, err_t *err)
{
    source_t *sources = memory_zalloc(data->count * sizeof *sources);
    errcode_t rc = ERR_NONE;

    for (size_t i = 0; i < data->count; i++) {
        sources[i].data = data->items[i];
        sources[i].control = -1;
    }
    rc = name_targets(sources, data, target, cluster, err);
    for (size_t i = 0; rc == ERR_NONE && i < data->count; i++)
        rc = hold(&sources[i], err);
    /* From here to the last image no partition takes a message from another node. */
    for (size_t i = 0; rc == ERR_NONE && cluster && i < data->count; i++)
        if (sources[i].control >= 0)
            rc = control_ask(sources[i].control, "freeze", ORDER_TIMEOUT_MS, NULL, err);
    for (size_t i = 0; rc == ERR_NONE && i < data->count; i++)
        rc = copy(&sources[i], err);
    for (size_t i = 0; i < data->count; i++)
        let_go(&sources[i]);
    free(sources);
    return rc;
}

/* Reaches the node, or takes the directory's lock in its place, so that it cannot start meanwhile. */
static errcode_t hold(source_t *source, err_t *err)
{
    store_config_t config;
    bool found = false;
    errcode_t rc = control_connect(source->data, &source->control, err);

    if (rc != ERR_NONE || source->control >= 0)
        return rc;
    store_config_default(&config);
    config.directory = source->data;
    rc = store_open(&source->store, &config, err);
    if (rc == ERR_NONE)
        rc = genesis_load(source->store, &source->birth, &found, err);
    if (rc == ERR_NONE && !found)
        rc = err_set(err, ERR_STATE, "%.120s holds no books yet", source->data);
    return rc;
}

static errcode_t copy(source_t *source, err_t *err)
{
    char order[PATH_BYTES_MAX + 16];

    if (source->store != NULL)
        return backup_take(source->store, &source->birth, source->target, err);
    (void)snprintf(order, sizeof order, "backup %s", source->target);
    return control_ask(source->control, order, ORDER_TIMEOUT_MS, NULL, err);
}

/* Closing the connection thaws. */
static void let_go(source_t *source)
{
    if (source->control >= 0)
        (void)close(source->control);
    store_destroy(&source->store);
}
