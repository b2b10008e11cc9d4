/* tool_restore.c - `fealty restore`: a backup becomes a data directory */
#include "node/tools.h"

#include "node/backup.h"
#include "node/lists.h"
#include "node/options.h"

#include <stdio.h>

static const char usage[] =
    "usage: fealty restore BACKUP DIR\n"
    "       fealty restore --cluster BACKUP1,BACKUP2,... DIR1,DIR2,...\n"
    "\n"
    "Makes the data directory DIR, which must not exist, from what `fealty backup` made. Every "
    "partition gets\n"
    "a new history, and its counters move ahead, so that ids given out after the backup are not "
    "given out\n"
    "again. What happened after the backup is gone; the backup itself stays as it is.\n"
    "The nodes of a cluster are restored together. Their keys (`cluster-keys`) are not part of a "
    "backup.\n";

int tool_restore(int argc, char **argv)
{
    const char *words[2] = {NULL, NULL};
    bool cluster = false;
    list_t backups = {0};
    list_t targets = {0};
    err_t err = {0};
    errcode_t rc;
    const option_t options[] = {{.name = "--cluster", .on = &cluster}};

    switch (options_parse(argc, argv, options, COUNT_OF(options), words, 2, 2, NULL, usage)) {
    case OPTIONS_HELP: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_GOOD: break;
    }
    list_split(&backups, words[0], cluster ? ',' : '\0');
    list_split(&targets, words[1], cluster ? ',' : '\0');
    if (backups.count == 0 || backups.count != targets.count) {
        (void)fprintf(stderr, "fealty restore: every backup needs one directory.\n\n%s", usage);
        rc = ERR_INVALID;
    } else {
        rc = backup_restore((const char *const *)backups.items, (const char *const *)targets.items,
                            backups.count, random_system(), &err);
        if (rc != ERR_NONE)
            (void)fprintf(stderr, "fealty restore: %s\n", err.text);
    }
    for (size_t i = 0; rc == ERR_NONE && i < targets.count; i++)
        (void)printf("Restored %s. Check it with `fealty verify --data %s`, start it with `fealty "
                     "node --data %s`.\n",
                     targets.items[i], targets.items[i], targets.items[i]);
    list_free(&backups);
    list_free(&targets);
    return rc == ERR_NONE      ? 0
           : rc == ERR_INVALID ? EXIT_USAGE
           : rc == ERR_IO      ? EXIT_IO
                               : EXIT_REFUSED;
}
