/* kafka_client.c - the settings of librdkafka, in one table, and its log lines in ours */
#include "storage/kafka_client.h"

#include "protocol/clock.h"
#include "protocol/log.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_BYTES          512
#define QUEUED_KBYTES_ALL     (64 * 1024)
#define QUEUED_KBYTES_MAX     16384
#define QUEUED_KBYTES_MIN     512
#define TOPIC_NAME_CHARS_MAX  249 /* Kafka's */
#define LONGEST_TOPIC_SUFFIX  ".liveness"
#define CLIENT_NAME_BYTES     128
#define SETTINGS_LENGTH_LIMIT 16384
#define SEPARATORS            ", \t\r\n"
/* Levels of log lines, as syslog numbers them. */
#define LEVEL_ERROR   3
#define LEVEL_WARNING 4
#define LEVEL_DEBUG   7

#define P 1u /* producer */
#define C 2u /* consumer */
#define T 4u /* tool */

typedef struct {
    const char *name;
    const char *value;
    unsigned roles;
} setting_t;

/* Each with its reason in docs/kafka.md. */
static const setting_t settings[] = {
    {"socket.nagle.disable", "true", P | C | T},
    {"socket.timeout.ms", "3000", P | C | T},
    {"socket.connection.setup.timeout.ms", "3000", P | C | T},
    {"api.version.request.timeout.ms", "3000", P | C | T},
    {"reconnect.backoff.ms", "50", P | C | T},
    {"reconnect.backoff.max.ms", "1000", P | C | T},
    {"topic.metadata.refresh.interval.ms", "1000", P | C},
    {"topic.metadata.refresh.fast.interval.ms", "100", P | C},
    {"log.connection.close", "false", P | C},
    {"enable.idempotence", "true", P},
    {"acks", "all", P},
    {"linger.ms", "0", P},
    {"message.timeout.ms", "10000", P},
    {"request.timeout.ms", "10000", P},
    {"retry.backoff.ms", "50", P},
    {"message.max.bytes", "1000000", P},
    {"queue.buffering.max.messages", "65536", P},
    {"queue.buffering.max.kbytes", "65536", P},
    {"compression.codec", "lz4", P},
    {"auto.offset.reset", "error", C},
    {"enable.auto.commit", "false", C},
    {"enable.auto.offset.store", "false", C},
    {"fetch.wait.max.ms", "50", C},
    {"fetch.min.bytes", "1", C},
    {"fetch.max.bytes", "16777216", C},
    {"fetch.error.backoff.ms", "50", C},
    {"isolation.level", "read_uncommitted", C},
    {"check.crcs", "true", C},
    {"enable.partition.eof", "true", C},
    {"queued.min.messages", "20000", C},
};

/* What the log's safety rests on, or what would have no effect. */
static const char *const own_settings[] = {
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "client.rack",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "metadata.broker.list",
    "request.required.acks",
    "transactional.id",
};

static errcode_t set_own(rd_kafka_conf_t *conf, kafka_role_t role,
                         const journal_kafka_config_t *config, err_t *err);
static errcode_t set_one(rd_kafka_conf_t *conf, const char *name, const char *value, err_t *err);
static errcode_t set_operators(rd_kafka_conf_t *conf, const char *text, err_t *err);
static bool starts_pair(const char *text);
static errcode_t set_operators_one(rd_kafka_conf_t *conf, char *pair, int ordinal, err_t *err);
static errcode_t check_prefix(const char *prefix, err_t *err);
static void write_log(const rd_kafka_t *client, int level, const char *facility, const char *text);

int64_t kafka_now_us(void)
{
    return clock_boot_us(clock_system());
}

void kafka_heard(kafka_figures_t *figures, int64_t now_us)
{
    atomic_store(&figures->heard_at_us, now_us);
    if (atomic_exchange(&figures->all_down, false))
        log_info("kafka: a broker answers again");
}

void kafka_all_down(kafka_figures_t *figures)
{
    if (!atomic_exchange(&figures->all_down, true))
        log_warn("kafka: no broker can be reached");
}

void kafka_topic_name(char out[KAFKA_TOPIC_NAME_BYTES], const char *prefix, kafka_topic_t topic)
{
    static const char *const suffixes[KAFKA_TOPICS] = {"log", "control", "liveness"};

    (void)snprintf(out, KAFKA_TOPIC_NAME_BYTES, "%s.%s", prefix, suffixes[topic]);
}

errcode_t kafka_client_new(struct rd_kafka_s **client, kafka_role_t role,
                           const journal_kafka_config_t *config, kafka_error_fn on_error,
                           void *state, err_t *err)
{
    char reason[REASON_BYTES] = "";
    rd_kafka_conf_t *conf = NULL;
    errcode_t rc = check_prefix(config->prefix, err);

    *client = NULL;
    if (rc != ERR_NONE)
        return rc;
    conf = rd_kafka_conf_new();
    if (conf == NULL)
        return err_set(err, ERR_INTERNAL, "librdkafka has no room for settings");
    rc = set_own(conf, role, config, err);
    if (rc == ERR_NONE && config->settings != NULL)
        rc = set_operators(conf, config->settings, err);
    if (rc != ERR_NONE)
        goto cleanup;
    rd_kafka_conf_set_log_cb(conf, write_log);
    rd_kafka_conf_set_opaque(conf, state);
    if (role == KAFKA_PRODUCER)
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    else
        rd_kafka_conf_set_error_cb(conf, on_error);
    *client = rd_kafka_new(role == KAFKA_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf,
                           reason, sizeof reason);
    if (*client == NULL)
        rc = err_set(err, ERR_INVALID, "librdkafka does not start with these settings: %s", reason);
    else
        conf = NULL; /* the client's now */

cleanup:
    if (conf != NULL)
        rd_kafka_conf_destroy(conf);
    return rc;
}

errcode_t kafka_log_partitions(const journal_kafka_config_t *config, int64_t timeout_us, int *count,
                               err_t *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    char name[KAFKA_TOPIC_NAME_BYTES];
    rd_kafka_topic_t *topic = NULL;
    rd_kafka_t *client = NULL;
    rd_kafka_resp_err_t code;
    errcode_t rc;

    *count = 0;
    rc = kafka_client_new(&client, KAFKA_TOOL, config, NULL, NULL, err);
    if (rc != ERR_NONE)
        return rc;
    kafka_topic_name(name, config->prefix, KAFKA_LOG);
    topic = rd_kafka_topic_new(client, name, NULL);
    if (topic == NULL) {
        rc = err_set(err, ERR_INVALID, "librdkafka cannot name a topic %s", name);
        goto cleanup;
    }
    code = rd_kafka_metadata(client, 0, topic, &metadata, (int)(timeout_us / 1000));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc = err_set(err, ERR_UNREACHABLE, "no broker of %s answers: %s", config->bootstrap,
                     rd_kafka_err2str(code));
        goto cleanup;
    }
    if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        *count = metadata->topics[0].partition_cnt;

cleanup:
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return rc;
}

static errcode_t set_own(rd_kafka_conf_t *conf, kafka_role_t role,
                         const journal_kafka_config_t *config, err_t *err)
{
    static const unsigned role_bits[] = {
        [KAFKA_PRODUCER] = P, [KAFKA_CONSUMER] = C, [KAFKA_TOOL] = T};
    char text[CLIENT_NAME_BYTES];
    errcode_t rc = set_one(conf, "bootstrap.servers", config->bootstrap, err);

    if (rc != ERR_NONE)
        return rc;
    (void)snprintf(text, sizeof text, "fealty-%s", config->node != NULL ? config->node : "tool");
    rc = set_one(conf, "client.id", text, err);
    for (size_t i = 0; i < COUNT_OF(settings) && rc == ERR_NONE; i++)
        if (settings[i].roles & role_bits[role])
            rc = set_one(conf, settings[i].name, settings[i].value, err);
    if (rc == ERR_NONE && role == KAFKA_CONSUMER) {
        /* A partition's share of what all may have waiting here. */
        int kbytes = QUEUED_KBYTES_ALL / (config->partitions + 1 + 2);

        kbytes = kbytes > QUEUED_KBYTES_MAX ? QUEUED_KBYTES_MAX : kbytes;
        kbytes = kbytes < QUEUED_KBYTES_MIN ? QUEUED_KBYTES_MIN : kbytes;
        (void)snprintf(text, sizeof text, "%d", kbytes);
        rc = set_one(conf, "queued.max.messages.kbytes", text, err);
    }
    return rc;
}

static errcode_t set_one(rd_kafka_conf_t *conf, const char *name, const char *value, err_t *err)
{
    char reason[REASON_BYTES] = "";

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return ERR_NONE;
    return err_set(err, ERR_INVALID, "librdkafka does not take %s=%s: %s", name, value, reason);
}

/* KEY=VALUE, separated by commas or spaces. A value may hold commas, where no KEY= follows one. */
static errcode_t set_operators(rd_kafka_conf_t *conf, const char *text, err_t *err)
{
    size_t length = strlen(text);
    errcode_t rc = ERR_NONE;
    char *copy, *at;

    if (length > SETTINGS_LENGTH_LIMIT)
        return err_set(err, ERR_INVALID, "more than %d characters of Kafka settings",
                       SETTINGS_LENGTH_LIMIT);
    copy = memory_alloc(length + 1);
    memcpy(copy, text, length + 1);
    at = copy + strspn(copy, SEPARATORS);
    for (int ordinal = 1; *at != '\0' && rc == ERR_NONE; ordinal++) {
        char *end = at + strcspn(at, SEPARATORS);

        while (*end == ',' && end[1] != '\0' && !starts_pair(end + 1))
            end += 1 + strcspn(end + 1, SEPARATORS);
        if (*end != '\0')
            *end++ = '\0';
        rc = set_operators_one(conf, at, ordinal, err);
        at = end + strspn(end, SEPARATORS);
    }
    free(copy);
    return rc;
}

static bool starts_pair(const char *text)
{
    size_t n = strcspn(text, SEPARATORS);

    return n == 0 || memchr(text, '=', n) != NULL;
}

static errcode_t set_operators_one(rd_kafka_conf_t *conf, char *pair, int ordinal, err_t *err)
{
    char *equals = strchr(pair, '=');
    char reason[REASON_BYTES];

    if (equals == NULL || equals == pair)
        return err_set(err, ERR_INVALID, "Kafka setting number %d is not KEY=VALUE", ordinal);
    *equals = '\0';
    for (size_t i = 0; i < COUNT_OF(own_settings); i++)
        if (strcmp(pair, own_settings[i]) == 0)
            return err_set(err, ERR_INVALID, "Kafka setting %s is the journal's own, leave it out",
                           pair);
    switch (rd_kafka_conf_set(conf, pair, equals + 1, reason, sizeof reason)) {
    case RD_KAFKA_CONF_OK: return ERR_NONE;
    case RD_KAFKA_CONF_UNKNOWN:
        return err_set(err, ERR_INVALID, "librdkafka knows no setting %.100s", pair);
    case RD_KAFKA_CONF_INVALID: break;
    }
    return err_set(err, ERR_INVALID, "librdkafka does not take this value for %.100s", pair);
}

static errcode_t check_prefix(const char *prefix, err_t *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(prefix);

    if (n == 0 || n + strlen(LONGEST_TOPIC_SUFFIX) > TOPIC_NAME_CHARS_MAX ||
        strspn(prefix, allowed) != n)
        return err_set(err, ERR_INVALID,
                       "the prefix of Kafka topics must be 1 to %zu letters, digits or any of ._-",
                       TOPIC_NAME_CHARS_MAX - strlen(LONGEST_TOPIC_SUFFIX));
    return ERR_NONE;
}

/* From librdkafka's threads. */
static void write_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    log_level_t ours = level <= LEVEL_ERROR     ? LOG_ERROR
                       : level == LEVEL_WARNING ? LOG_WARN
                       : level == LEVEL_DEBUG   ? LOG_DEBUG
                                                : LOG_INFO;

    /* "Terminating with records in the queue": who ended it knows, and has said what became of them. */
    if (strcmp(facility, "TERMINATE") == 0)
        ours = LOG_DEBUG;
    log_write(ours, NULL, "kafka: %s: %s: %s", rd_kafka_name(client), facility, text);
}
