/* main.c - one binary, one table of what it can do */
#include "cluster/keys.h"
#include "node/config.h"
#include "node/options.h"
#include "node/tools.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *meaning;
} command_row_t;

static int tool_help(int argc, char **argv);

static const command_row_t commands[] = {
    {"node", tool_node, "run a node; the first start makes everything it needs"},
    {"import", tool_import, "load customers, opening balances and purchases from CSV or NDJSON"},
    {"export", tool_export, "write accounts and entries as CSV or NDJSON"},
    {"backup", tool_backup, "copy the books of a running or stopped node"},
    {"restore", tool_restore, "make new books from a backup"},
    {"verify", tool_verify, "prove from disk that the books hold"},
    {"migrate", tool_migrate, "copy the books of stopped nodes into a new cluster on Kafka"},
    {"cluster", tool_cluster, "show the members of a cluster on Kafka, drain or forget one"},
    {"partition", tool_partition, "look after the copies of partitions of a node on Kafka"},
    {"keys", tool_keys, "make the keys with which the nodes of a cluster know each other"},
    {"user", tool_user, "add users, set passwords, list and disable, without the API"},
    {"sim", tool_sim, "whole clusters on one thread, from seeds: what proves the protocol"},
    {"version", tool_version, "print the version"},
    {"help", tool_help, "this text; `fealty COMMAND --help` says more"},
};

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)tool_help(0, NULL);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return tool_help(argc - 1, argv + 1);
    if (strcmp(argv[1], "--version") == 0)
        return tool_version(argc - 1, argv + 1);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    (void)fprintf(stderr, "fealty: there is no command \"%.60s\"; `fealty help` lists all\n",
                  argv[1]);
    return EXIT_USAGE;
}

static int tool_help(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--markdown") == 0) {
        buffer_t page;

        buffer_init(&page, 1024 * 1024);
        config_markdown(&page);
        (void)fwrite(page.bytes, 1, page.size, stdout);
        buffer_free(&page);
        return 0;
    }
    (void)printf("Fealty %s keeps loyalty points: customers earn, spend and pass them on, and the "
                 "books always agree.\n\n"
                 "usage: fealty COMMAND [flags]\n\n",
                 FEALTY_VERSION);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        (void)printf("  %-8s %s\n", commands[i].name, commands[i].meaning);
    (void)printf("\nStart here: fealty node --data data --listen 127.0.0.1:8080\n");
    return 0;
}
