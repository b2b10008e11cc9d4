/* kafka_contract.c - the table of what topics must be like, and the sentences for those that are not */
#include "storage/kafka_contract.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS              3
#define ADDRESS_BYTES         80
#define SENTENCE_BYTES        512
#define MIN_INSYNC            "min.insync.replicas"
#define PARTITIONS_OF_CHANNEL 1

typedef enum {
    RULE_IS,
    RULE_AT_LEAST,
    RULE_FREE /* given to new topics, any value will do */
} rule_t;

typedef struct {
    const char *name;
    rule_t rule;
    const char *wanted[KAFKA_TOPICS]; /* NULL: not for this topic */
    const char *wanted_single;        /* with one broker; NULL: the same */
} row_t;

static const row_t rows[] = {
    {MIN_INSYNC, RULE_AT_LEAST, {"2", "2", "2"}, "1"},
    {"unclean.leader.election.enable", RULE_IS, {"false", "false", "false"}, NULL},
    {"cleanup.policy", RULE_IS, {"delete", "delete", "delete"}, NULL},
    {"retention.ms", RULE_IS, {"-1", "-1", "600000"}, NULL},
    {"retention.bytes", RULE_IS, {"-1", "-1", "-1"}, NULL},
    {"message.timestamp.type", RULE_IS, {"LogAppendTime", "LogAppendTime", "LogAppendTime"}, NULL},
    /* A batch of the producer, whose message.max.bytes is smaller by its header. */
    {"max.message.bytes", RULE_AT_LEAST, {"1048588", "1048588", "1048588"}, NULL},
    /* Only whole segments are deleted. */
    {"segment.ms", RULE_FREE, {NULL, NULL, "300000"}, NULL},
    {"segment.bytes", RULE_FREE, {NULL, NULL, "16777216"}, NULL},
};

typedef struct {
    kafka_violation_fn each;
    void *state;
    char broker[ADDRESS_BYTES];
    const kafka_topic_facts_t *facts;
} report_t;

static const char *wanted_of(const row_t *row, const journal_kafka_config_t *config,
                             kafka_topic_t topic);
static void first_broker(char out[ADDRESS_BYTES], const char *bootstrap);
static void check_shape(const report_t *report, const journal_kafka_config_t *config);
static void check_row(const report_t *report, const row_t *row, const char *wanted);
static void check_room_for_loss(const report_t *report);
static const char *found_value(const kafka_topic_facts_t *facts, const char *name);
static void say(const report_t *report, const char *format, ...) PRINTF_LIKE(2, 3);

int kafka_contract_partitions(const journal_kafka_config_t *config, kafka_topic_t topic)
{
    /* One more than customers have: the catalogue's. */
    return topic == KAFKA_LOG ? config->partitions + 1 : PARTITIONS_OF_CHANNEL;
}

int kafka_contract_replicas(const journal_kafka_config_t *config)
{
    return config->single_broker ? 1 : REPLICAS;
}

size_t kafka_contract_settings(const journal_kafka_config_t *config, kafka_topic_t topic,
                               kafka_setting_t out[KAFKA_CONTRACT_SETTINGS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *wanted = wanted_of(&rows[i], config, topic);

        if (wanted != NULL && n < KAFKA_CONTRACT_SETTINGS_MAX)
            out[n++] = (kafka_setting_t){rows[i].name, wanted};
    }
    return n;
}

void kafka_contract_check(const journal_kafka_config_t *config, const kafka_topic_facts_t *facts,
                          kafka_violation_fn violation, void *state)
{
    report_t report = {.each = violation, .state = state, .facts = facts};

    first_broker(report.broker, config->bootstrap);
    check_shape(&report, config);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *wanted = wanted_of(&rows[i], config, facts->topic);

        if (wanted != NULL && rows[i].rule != RULE_FREE)
            check_row(&report, &rows[i], wanted);
    }
    if (!config->single_broker)
        check_room_for_loss(&report);
}

void kafka_contract_missing(const journal_kafka_config_t *config, kafka_topic_t topic,
                            kafka_violation_fn violation, void *state)
{
    char name[KAFKA_TOPIC_NAME_BYTES];
    kafka_topic_facts_t facts = {.topic = topic, .name = name};
    report_t report = {.each = violation, .state = state, .facts = &facts};

    kafka_topic_name(name, config->prefix, topic);
    say(&report,
        "topic %s is not there; start once with --kafka-create-topics to have it made with all "
        "settings",
        name);
}

static const char *wanted_of(const row_t *row, const journal_kafka_config_t *config,
                             kafka_topic_t topic)
{
    if (row->wanted[topic] == NULL)
        return NULL;
    return config->single_broker && row->wanted_single != NULL ? row->wanted_single
                                                               : row->wanted[topic];
}

/* One address is enough for a command line. */
static void first_broker(char out[ADDRESS_BYTES], const char *bootstrap)
{
    size_t n = strcspn(bootstrap, ",");

    (void)snprintf(out, ADDRESS_BYTES, "%.*s", (int)(n < ADDRESS_BYTES ? n : ADDRESS_BYTES - 1),
                   bootstrap);
}

static void check_shape(const report_t *report, const journal_kafka_config_t *config)
{
    const kafka_topic_facts_t *facts = report->facts;
    int wanted = kafka_contract_partitions(config, facts->topic);

    if (facts->topic != KAFKA_LOG && facts->partitions != PARTITIONS_OF_CHANNEL)
        say(report,
            "topic %s has %d partitions, must have 1; they cannot be taken away: use another "
            "--kafka-prefix",
            facts->name, facts->partitions);
    else if (facts->topic == KAFKA_LOG && config->partitions > 0 && facts->partitions != wanted)
        say(report,
            "topic %s has %d partitions, must have %d (one for each of %u and the catalogue's); "
            "use "
            "another --kafka-prefix",
            facts->name, facts->partitions, wanted, config->partitions);
    else if (facts->topic == KAFKA_LOG &&
             (facts->partitions < 2 || facts->partitions - 1 >= JOURNAL_CONTROL))
        say(report, "topic %s has %d partitions, must have 2 to %d; use another --kafka-prefix",
            facts->name, facts->partitions, JOURNAL_CONTROL);
    if (facts->replicas < kafka_contract_replicas(config))
        say(report,
            "topic %s has a replication factor of %d, must be %d; change it with "
            "kafka-reassign-partitions.sh --bootstrap-server %s, or say --single-broker",
            facts->name, facts->replicas, kafka_contract_replicas(config), report->broker);
}

static void check_row(const report_t *report, const row_t *row, const char *wanted)
{
    const char *found = found_value(report->facts, row->name);
    const char *how = row->rule == RULE_AT_LEAST ? "at least " : "";
    bool kept;

    if (found == NULL) {
        say(report,
            "topic %s: the brokers do not tell %s, which must be %s%s; allow this user to describe "
            "the topic's settings",
            report->facts->name, row->name, how, wanted);
        return;
    }
    if (row->rule == RULE_AT_LEAST)
        kept = strtoll(found, NULL, 10) >= strtoll(wanted, NULL, 10);
    else
        kept = strcmp(found, wanted) == 0;
    if (!kept)
        say(report,
            "topic %s: %s is %s, must be %s%s: kafka-configs.sh --bootstrap-server %s --alter "
            "--topic %s --add-config %s=%s",
            report->facts->name, row->name, found, how, wanted, report->broker, report->facts->name,
            row->name, wanted);
}

/* With as many replicas asked to answer as there are, one that is down stops all writes. */
static void check_room_for_loss(const report_t *report)
{
    const char *found = found_value(report->facts, MIN_INSYNC);
    int replicas = report->facts->replicas;

    if (found != NULL && replicas >= REPLICAS && strtoll(found, NULL, 10) >= replicas)
        say(report,
            "topic %s: %s is %s of %d replicas, must be fewer: kafka-configs.sh --bootstrap-server "
            "%s --alter --topic %s --add-config %s=2",
            report->facts->name, MIN_INSYNC, found, replicas, report->broker, report->facts->name,
            MIN_INSYNC);
}

static const char *found_value(const kafka_topic_facts_t *facts, const char *name)
{
    for (size_t i = 0; i < facts->setting_count; i++)
        if (strcmp(facts->settings[i].name, name) == 0)
            return facts->settings[i].value;
    return NULL;
}

static void say(const report_t *report, const char *format, ...)
{
    char sentence[SENTENCE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    report->each(report->state, sentence);
}
