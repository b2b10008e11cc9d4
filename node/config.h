/* config.h - every setting of a node: declared once, read from flags, environment and a file
 *
 * Contract   CONFIG_FIELDS is the only list. Struct, defaults, --help and docs/configuration.md come from it. A setting
 *            called `cache-mib` is the flag --cache-mib, the variable FEALTY_CACHE_MIB and the line `cache-mib = 256`
 *            of the file named by --config. Flags win over the environment, the environment over the file, the file
 *            over the default.
 * Threads    Read once at start; a config_t does not change afterwards.
 * Ownership  A config_t is a value and owns all its text.
 * Units      In the name.
 * Errors     ERR_INVALID naming the setting, where it was given, and what is allowed.
 */
#ifndef FEALTY_CONFIG_H
#define FEALTY_CONFIG_H

#include "protocol/buffer.h"
#include "protocol/error.h"

#define CONFIG_TEXT_MAX 4096

/* TEXT(name, default, meaning)  NUMBER(name, default, least, most, meaning)  SWITCH(name, meaning): off unless given
 * CHOICE(name, default, "a|b", meaning)  PART(title): a heading for people */
/* clang-format off */
#define CONFIG_FIELDS(PART, TEXT, NUMBER, SWITCH, CHOICE)                                                              \
    PART("Where")                                                                                                      \
    TEXT(data, "data", "Directory that holds everything this node keeps. Made when it is missing.")                    \
    TEXT(listen, "127.0.0.1:8080", "Address and port of the HTTP service. 0.0.0.0:8080 serves all interfaces.")        \
    PART("Partitions")                                                                                                 \
    NUMBER(partitions, 16, 1, 1024,                                                                                    \
           "How many partitions the customers are divided into. Counts at the first start only; stored for ever.")     \
    NUMBER(partition_threads, 1, 1, 64,                                                                                \
           "Threads that decide and write. One makes the largest batches and is fastest on a few cores.")              \
    NUMBER(round_commands, 256, 1, 4096, "Most commands in one synced write.")                                         \
    NUMBER(mailbox_commands, 16384, 16, 1048576,                                                                       \
           "Most commands waiting for a partition thread; above it requests are answered 429.")                        \
    PART("Several nodes")                                                                                              \
    TEXT(cluster_listen, "",                                                                                           \
         "Address and port for the other nodes, such as 10.0.0.1:7400; the node's name. Empty: alone, not on Kafka.")  \
    TEXT(cluster_peers, "",                                                                                            \
         "All nodes' addresses, this one's too, separated by commas. They say where to dial, never who owns what.")    \
    TEXT(cluster_keys, "",                                                                                             \
         "This node's directory made by `fealty keys`. Needed unless all addresses are on loopback.")                  \
    PART("Kafka")                                                                                                      \
    CHOICE(journal, "embedded", "embedded|kafka",                                                                      \
           "Where the log of changes is: in the data directory, or in Apache Kafka, shared with other nodes.")         \
    TEXT(kafka_bootstrap, "",                                                                                          \
         "Brokers to ask first, HOST:PORT separated by commas. Else FEALTY_JOURNAL_BOOTSTRAP, "                        \
         "LOYALTY_KAFKA_BOOTSTRAP_SERVERS.")                                                                           \
    TEXT(kafka_prefix, "fealty", "Topics are PREFIX.log, PREFIX.control and PREFIX.liveness: one prefix, one cluster.") \
    TEXT(kafka_settings, "", "More settings of librdkafka, KEY=VALUE separated by commas: TLS, SASL.")                 \
    SWITCH(kafka_create_topics, "Make the topics that are missing, with the settings they need.")                      \
    SWITCH(single_broker, "One copy in Kafka is enough: for trying things out, never for money.")                      \
    NUMBER(replicas, 1, 0, 3,                                                                                          \
           "Nodes that follow each partition besides its owner. Counts when the cluster is made.")                     \
    NUMBER(snapshot_port, 0, 0, 65535,                                                                                 \
           "Port beside cluster_listen where other nodes fetch whole copies. 0: any free one, which they are told.")   \
    NUMBER(snapshot_behind, 20000, 1, 1000000000,                                                                      \
           "A copy more records behind is emptied and filled from another node instead of from the log.")              \
    TEXT(rack, "", "Where this node stands; an owner and its followers are put on different racks.")                   \
    PART("Memory")                                                                                                     \
    NUMBER(cache_mib, 256, 8, 1048576, "Cache for blocks read from disk, shared by all kinds of rows.")                \
    NUMBER(memtable_mib, 128, 8, 65536, "Newest rows, held in memory until they are written out in order.")             \
    NUMBER(cache_accounts, 65536, 1024, 16777216, "Accounts kept decoded by all partition threads together.")             \
    NUMBER(background_jobs, 2, 1, 64, "Threads that merge files on disk.")                                             \
    PART("Requests")                                                                                                   \
    NUMBER(http_threads, 136, 2, 4096, "Connections that can be open at once; each holds a thread.")                   \
    NUMBER(request_timeout_ms, 10000, 100, 600000,                                                                     \
           "How long a request may take. A change whose outcome is not known by then is answered 504 with its key.")   \
    NUMBER(session_hours, 24, 1, 8760, "A login lasts so long after its last use.")                                    \
    TEXT(cors_origins, "http://localhost:5173,http://127.0.0.1:5173",                                                  \
         "Web pages of these origins may call the API, separated by commas.")                                          \
    PART("Log")                                                                                                        \
    CHOICE(log_level, "info", "debug|info|warn|error", "Least important lines that are still written.")                \
    CHOICE(log_format, "text", "text|json", "For people, or one JSON object a line.")                                  \
    PART("After an accident")                                                                                          \
    SWITCH(accept_clock, "Start although the clock is behind the books, or more than 31 days ahead of them.")          \
    SWITCH(accept_loss, "Start although the log is damaged or shorter than what was acknowledged: the rest is lost.")
/* clang-format on */

#define CONFIG_STRUCT_PART(title)
#define CONFIG_STRUCT_TEXT(name, standard, meaning)                char name[CONFIG_TEXT_MAX];
#define CONFIG_STRUCT_NUMBER(name, standard, least, most, meaning) uint32_t name;
#define CONFIG_STRUCT_SWITCH(name, meaning)                        bool name;
#define CONFIG_STRUCT_CHOICE(name, standard, choices, meaning)     char name[16];
typedef struct {
    CONFIG_FIELDS(CONFIG_STRUCT_PART, CONFIG_STRUCT_TEXT, CONFIG_STRUCT_NUMBER,
                  CONFIG_STRUCT_SWITCH, CONFIG_STRUCT_CHOICE)
} config_t;

void config_default(config_t *self);

/* Reads file, environment and flags (argv[0] is the first flag). Words that are no flags are errors. *help is set when
 * --help was among them. */
errcode_t config_load(config_t *self, int argc, char **argv, bool *help, err_t *err);

/* One setting by its key, as a flag gives it; `where` names the place for the error's sentence. */
errcode_t config_set(config_t *self, const char *key, const char *value, const char *where,
                     err_t *err);

void config_help(buffer_t *out);     /* for --help */
void config_markdown(buffer_t *out); /* docs/configuration.md */

#endif
