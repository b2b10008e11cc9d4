/* keys_tool.c - `fealty keys`: key pairs for all nodes of a cluster, and how to hand them out */
#include "cluster/keys.h"

#include <stdio.h>
#include <string.h>

static const char *option_value(const char *name, char **argv, int *i);
static int usage(FILE *to, int code);

int tool_keys(int argc, char **argv)
{
    const char *out = NULL, *nodes = NULL;
    addresses_t addresses;
    char first[ADDRESS_BYTES];
    size_t bytes;
    err_t err;

    for (int i = 1; i < argc && argv[i] != NULL; i++) {
        const char *value;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return usage(stdout, 0);
        if ((value = option_value("--out", argv, &i)) != NULL)
            out = value;
        else if ((value = option_value("--nodes", argv, &i)) != NULL)
            nodes = value;
        else
            return usage(stderr, 1);
    }
    if (out == NULL || nodes == NULL)
        return usage(stderr, 1);
    /* Any of the addresses will do as the own one: the keys of all are made. */
    nodes += strspn(nodes, ", \t");
    bytes = strcspn(nodes, ", \t");
    if (bytes >= sizeof first)
        bytes = sizeof first - 1;
    memcpy(first, nodes, bytes);
    first[bytes] = '\0';
    if (addresses_parse(&addresses, first, nodes, &err) != ERR_NONE ||
        keys_generate(out, &addresses, &err) != ERR_NONE) {
        (void)fprintf(stderr, "fealty keys: %s\n", err.text);
        return 2;
    }
    (void)printf("Keys for %zu nodes are in %s, one directory per node:\n\n", addresses.count, out);
    for (size_t i = 0; i < addresses.count; i++) {
        char path[KEYS_PATH_BYTES];
        char *name;

        /* The directory is named as the public key's file. */
        if (keys_peer_path(out, addresses.text[i], path, NULL) != ERR_NONE)
            continue;
        name = strrchr(path, '/') + 1;
        (void)printf("  %s/%s  ->  the node at %s\n", out, name, addresses.text[i]);
    }
    (void)printf("\nCopy each directory to its node only, for example\n"
                 "  scp -rp %s/DIRECTORY user@host:/etc/fealty/keys\n"
                 "and start the node with --cluster-keys /etc/fealty/keys. The file `secret`\n"
                 "stays on its node, readable by the node's user alone; delete the copies here\n"
                 "afterwards.\n"
                 "A node that moves to another address keeps its keys: rename its file in the\n"
                 "folder `public` of every node.\n",
                 out);
    return 0;
}

/* The text behind NAME or NAME=, NULL when argv[*i] is something else; *i moves on over a text of its own. */
static const char *option_value(const char *name, char **argv, int *i)
{
    const char *argument = argv[*i];
    size_t n = strlen(name);

    if (strncmp(argument, name, n) != 0)
        return NULL;
    if (argument[n] == '=')
        return argument + n + 1;
    if (argument[n] != '\0' || argv[*i + 1] == NULL) /* argv ends with NULL */
        return NULL;
    ++*i;
    return argv[*i];
}

static int usage(FILE *to, int code)
{
    (void)fprintf(to,
                  "usage: fealty keys --out DIR --nodes HOST:PORT,HOST:PORT,...\n"
                  "Makes one key pair per node of a cluster; --nodes are the cluster addresses.\n");
    return code;
}
