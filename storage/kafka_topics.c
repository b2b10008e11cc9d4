/* kafka_topics.c - looks at the brokers and topics before the journal is opened, and makes topics that are missing */
#include "storage/kafka_contract.h"

#include "protocol/log.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REASON_BYTES    256
#define BROKERS_MAX     64
#define BROKER_WAIT_US  (INT64_C(3) * 1000000)
#define TOPIC_WAIT_US   (INT64_C(30) * 1000000)
#define LOOK_AGAIN_US   50000
#define ANSWER_GRACE_MS 2000
/* Brokers have known this setting since Kafka 3.7; librdkafka 2.0.2 does not say what version they are. */
#define SETTING_SINCE_3_7 "telemetry.max.bytes"
/* Before it librdkafka put its nonce twice into the last message of SCRAM, which brokers refuse from Kafka 4.0 on. */
#define SCRAM_SOUND_VERSION 0x020601ff

typedef struct {
    int partitions; /* 0: the topic is not there */
    int replicas;
    bool led; /* each partition has a leader */
} layout_t;

typedef struct {
    const journal_kafka_config_t *config; /* borrowed */
    rd_kafka_t *client;                   /* owned */
    rd_kafka_queue_t *queue;              /* owned; answers of the admin calls */
    int64_t deadline_us;
    layout_t topics[KAFKA_TOPICS];
    char names[KAFKA_TOPICS][KAFKA_TOPIC_NAME_BYTES];
    int32_t brokers[BROKERS_MAX];
    size_t broker_count;
    char reason[REASON_BYTES]; /* librdkafka's last words on why there is no connection */
    int refusal;               /* its code, when the operator has to mend it; 0: none */
    char first[sizeof((err_t *)0)->text];
    unsigned violations;
} look_t;

static errcode_t look(look_t *self, err_t *err);
static errcode_t say_refusal(const look_t *self, err_t *err);
static void look_at(look_t *self, const struct rd_kafka_metadata *metadata);
static errcode_t create_missing(look_t *self, err_t *err);
static errcode_t create(look_t *self, rd_kafka_NewTopic_t **topics, size_t count, err_t *err);
static errcode_t new_topic(look_t *self, kafka_topic_t topic, rd_kafka_NewTopic_t **out,
                           err_t *err);
static errcode_t wait_for_topics(look_t *self, err_t *err);
static errcode_t check_topics(look_t *self, err_t *err);
static bool names_unknown_topic(rd_kafka_event_t *event);
static bool wait_a_moment(const look_t *self);
static errcode_t check_topic(look_t *self, kafka_topic_t topic, rd_kafka_event_t *event,
                             err_t *err);
static const rd_kafka_ConfigResource_t *resource_of(rd_kafka_event_t *event, const char *name);
static errcode_t check_brokers(look_t *self, err_t *err);
static void check_broker(look_t *self, int32_t broker, rd_kafka_event_t *event);
static errcode_t describe(look_t *self, rd_kafka_ResourceType_t type, const char *const *names,
                          size_t count, int64_t wait_us, rd_kafka_event_t **event, err_t *err);
static bool any_missing(const look_t *self);
static int left_ms(const look_t *self);
static void on_violation(void *state, const char *sentence);
static void on_error(rd_kafka_t *client, int code, const char *reason, void *state);

errcode_t journal_kafka_check(const journal_kafka_config_t *config, int64_t timeout_us,
                              uint16_t *partitions, err_t *err)
{
    look_t self = {.config = config, .deadline_us = kafka_now_us() + timeout_us};
    errcode_t rc = kafka_client_new(&self.client, KAFKA_TOOL, config, on_error, &self, err);

    *partitions = 0;
    if (rc != ERR_NONE)
        return rc;
    self.queue = rd_kafka_queue_new(self.client);
    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++)
        kafka_topic_name(self.names[topic], config->prefix, topic);
    rc = look(&self, err);
    if (rc == ERR_NONE && any_missing(&self) && config->create_topics)
        rc = create_missing(&self, err);
    if (rc == ERR_NONE)
        rc = check_topics(&self, err);
    if (rc == ERR_NONE)
        rc = check_brokers(&self, err);
    if (rc == ERR_NONE && self.violations > 0)
        rc = err_set(err, ERR_STATE, "%s", self.first);
    if (rc == ERR_NONE)
        *partitions = (uint16_t)(self.topics[KAFKA_LOG].partitions - 1);
    rd_kafka_queue_destroy(self.queue);
    rd_kafka_destroy(self.client);
    return rc;
}

static errcode_t look(look_t *self, err_t *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    /* All topics: to ask for one by name may make it, as the brokers are set. */
    rd_kafka_resp_err_t code = rd_kafka_metadata(self->client, 1, NULL, &metadata, left_ms(self));

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)rd_kafka_poll(self->client, 0);
        if (self->refusal != 0)
            return say_refusal(self, err);
        return err_set(err, ERR_UNREACHABLE, "no broker of %.60s answers: %s",
                       self->config->bootstrap,
                       self->reason[0] != '\0' ? self->reason : rd_kafka_err2str(code));
    }
    look_at(self, metadata);
    rd_kafka_metadata_destroy(metadata);
    return ERR_NONE;
}

/* Waiting does not mend these, mostly; but brokers that have just been started may not know their users yet, and
 * certificates are changed while nodes run. So it is said what to look at, and asked again like a broker that is away. */
static errcode_t say_refusal(const look_t *self, err_t *err)
{
    const char *settings = self->config->settings != NULL ? self->config->settings : "";

    if (self->refusal == RD_KAFKA_RESP_ERR__AUTHENTICATION && strstr(settings, "SCRAM-") != NULL &&
        rd_kafka_version() < SCRAM_SOUND_VERSION)
        return err_set(err, ERR_UNREACHABLE,
                       "the brokers do not accept this node's user: look at sasl.username and "
                       "sasl.password in --kafka-settings; SCRAM with Kafka 4 needs librdkafka "
                       "2.6.1, this is %s: PLAIN over TLS will do",
                       rd_kafka_version_str());
    if (self->refusal == RD_KAFKA_RESP_ERR__AUTHENTICATION)
        return err_set(err, ERR_UNREACHABLE,
                       "the brokers do not accept this node's user: look at sasl.mechanisms, "
                       "sasl.username and sasl.password in --kafka-settings");
    return err_set(err, ERR_UNREACHABLE,
                   "TLS with the brokers fails: does ssl.ca.location in --kafka-settings name the "
                   "authority of their certificate, and the certificate this address?");
}

static void look_at(look_t *self, const struct rd_kafka_metadata *metadata)
{
    memset(self->topics, 0, sizeof self->topics);
    self->broker_count = 0;
    for (int i = 0; i < metadata->broker_cnt && self->broker_count < BROKERS_MAX; i++)
        self->brokers[self->broker_count++] = metadata->brokers[i].id;
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *found = &metadata->topics[i];

        for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++) {
            layout_t *layout = &self->topics[topic];

            if (strcmp(found->topic, self->names[topic]) != 0 || found->partition_cnt == 0)
                continue;
            *layout = (layout_t){.partitions = found->partition_cnt,
                                 .replicas = found->partitions[0].replica_cnt,
                                 .led = true};
            for (int k = 0; k < found->partition_cnt; k++) {
                if (found->partitions[k].replica_cnt < layout->replicas)
                    layout->replicas = found->partitions[k].replica_cnt;
                layout->led = layout->led && found->partitions[k].leader >= 0;
            }
        }
    }
}

static errcode_t create_missing(look_t *self, err_t *err)
{
    rd_kafka_NewTopic_t *topics[KAFKA_TOPICS];
    size_t count = 0;
    errcode_t rc = ERR_NONE;

    if (self->topics[KAFKA_LOG].partitions == 0 && self->config->partitions == 0)
        return err_set(err, ERR_INVALID, "to make topic %.80s the number of partitions is needed",
                       self->names[KAFKA_LOG]);
    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS && rc == ERR_NONE; topic++) {
        if (self->topics[topic].partitions > 0)
            continue;
        rc = new_topic(self, topic, &topics[count], err);
        if (rc == ERR_NONE)
            count++;
    }
    if (rc == ERR_NONE)
        rc = create(self, topics, count, err);
    rd_kafka_NewTopic_destroy_array(topics, count);
    return rc == ERR_NONE ? wait_for_topics(self, err) : rc;
}

static errcode_t new_topic(look_t *self, kafka_topic_t topic, rd_kafka_NewTopic_t **out, err_t *err)
{
    kafka_setting_t settings[KAFKA_CONTRACT_SETTINGS_MAX];
    size_t count = kafka_contract_settings(self->config, topic, settings);
    char reason[REASON_BYTES] = "";

    *out = rd_kafka_NewTopic_new(self->names[topic], kafka_contract_partitions(self->config, topic),
                                 kafka_contract_replicas(self->config), reason, sizeof reason);
    if (*out == NULL)
        return err_set(err, ERR_INVALID, "topic %.80s cannot be made: %s", self->names[topic],
                       reason);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code =
            rd_kafka_NewTopic_set_config(*out, settings[i].name, settings[i].value);

        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        rd_kafka_NewTopic_destroy(*out);
        return err_set(err, ERR_INVALID, "topic %.80s cannot be made with %s: %s",
                       self->names[topic], settings[i].name, rd_kafka_err2str(code));
    }
    return ERR_NONE;
}

static errcode_t create(look_t *self, rd_kafka_NewTopic_t **topics, size_t count, err_t *err)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(self->client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    const rd_kafka_topic_result_t **results = NULL;
    rd_kafka_event_t *event;
    char reason[REASON_BYTES];
    size_t result_count = 0;
    errcode_t rc = ERR_NONE;

    if (rd_kafka_AdminOptions_set_request_timeout(options, left_ms(self), reason, sizeof reason) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_AdminOptions_set_operation_timeout(options, left_ms(self), reason,
                                                    sizeof reason) != RD_KAFKA_RESP_ERR_NO_ERROR)
        log_warn("kafka: %s", reason);
    rd_kafka_CreateTopics(self->client, topics, count, options, self->queue);
    rd_kafka_AdminOptions_destroy(options);
    event = rd_kafka_queue_poll(self->queue, left_ms(self));
    if (event == NULL)
        return err_set(err, ERR_UNREACHABLE, "Kafka did not make topics in time");
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        rc =
            err_set(err, ERR_STATE, "Kafka made no topics: %s", rd_kafka_event_error_string(event));
    else
        results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event),
                                                      &result_count);
    for (size_t i = 0; i < result_count && rc == ERR_NONE; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);

        /* Another node was faster: what it made is checked like any other. */
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            log_info("kafka: topic %s was made", rd_kafka_topic_result_name(results[i]));
            continue;
        }
        if (code == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR)
            rc = err_set(err, ERR_STATE,
                         "topic %.60s needs %d copies and Kafka has fewer brokers: start more, or, "
                         "to try things out, give --single-broker",
                         rd_kafka_topic_result_name(results[i]),
                         kafka_contract_replicas(self->config));
        else
            rc = err_set(err, ERR_STATE, "Kafka did not make topic %.60s: %s",
                         rd_kafka_topic_result_name(results[i]),
                         rd_kafka_topic_result_error_string(results[i]) != NULL
                             ? rd_kafka_topic_result_error_string(results[i])
                             : rd_kafka_err2str(code));
    }
    rd_kafka_event_destroy(event);
    return rc;
}

/* Brokers hear of new topics one after the other. */
static errcode_t wait_for_topics(look_t *self, err_t *err)
{
    for (;;) {
        errcode_t rc = look(self, err);
        bool led = true;

        if (rc != ERR_NONE)
            return rc;
        for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++)
            led = led && self->topics[topic].led;
        if (led)
            return ERR_NONE;
        if (!wait_a_moment(self))
            return err_set(err, ERR_UNREACHABLE, "the new topics have no leaders yet");
    }
}

static errcode_t check_topics(look_t *self, err_t *err)
{
    const char *names[KAFKA_TOPICS];
    rd_kafka_event_t *event = NULL;
    size_t count = 0;
    errcode_t rc;

    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++) {
        if (self->topics[topic].partitions > 0)
            names[count++] = self->names[topic];
        else
            kafka_contract_missing(self->config, topic, on_violation, self);
    }
    if (count == 0)
        return ERR_NONE;
    do {
        if (event != NULL)
            rd_kafka_event_destroy(event);
        rc = describe(self, RD_KAFKA_RESOURCE_TOPIC, names, count, TOPIC_WAIT_US, &event, err);
    } while (rc == ERR_NONE && names_unknown_topic(event) && wait_a_moment(self));
    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS && rc == ERR_NONE; topic++)
        if (self->topics[topic].partitions > 0)
            rc = check_topic(self, topic, event, err);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return rc;
}

/* The broker that was asked has not heard of a topic that another one has listed. */
static bool names_unknown_topic(rd_kafka_event_t *event)
{
    size_t count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);

    for (size_t i = 0; i < count; i++)
        if (rd_kafka_ConfigResource_error(resources[i]) == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return true;
    return false;
}

static bool wait_a_moment(const look_t *self)
{
    if (kafka_now_us() >= self->deadline_us)
        return false;
    (void)usleep(LOOK_AGAIN_US);
    return true;
}

static errcode_t check_topic(look_t *self, kafka_topic_t topic, rd_kafka_event_t *event, err_t *err)
{
    const rd_kafka_ConfigResource_t *resource = resource_of(event, self->names[topic]);
    kafka_setting_t settings[KAFKA_CONTRACT_SETTINGS_MAX];
    kafka_setting_t wanted[KAFKA_CONTRACT_SETTINGS_MAX];
    const rd_kafka_ConfigEntry_t **entries;
    kafka_topic_facts_t facts = {.topic = topic,
                                 .name = self->names[topic],
                                 .partitions = self->topics[topic].partitions,
                                 .replicas = self->topics[topic].replicas,
                                 .settings = settings};
    size_t wanted_count = kafka_contract_settings(self->config, topic, wanted);
    size_t count;

    if (resource == NULL || rd_kafka_ConfigResource_error(resource) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return err_set(err, ERR_STATE, "Kafka does not tell the settings of topic %.60s: %s",
                       self->names[topic],
                       resource != NULL ? rd_kafka_ConfigResource_error_string(resource)
                                        : "no answer");
    entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);

        for (size_t k = 0; k < wanted_count && value != NULL; k++)
            if (strcmp(name, wanted[k].name) == 0 &&
                facts.setting_count < KAFKA_CONTRACT_SETTINGS_MAX)
                settings[facts.setting_count++] = (kafka_setting_t){name, value};
    }
    kafka_contract_check(self->config, &facts, on_violation, self);
    return ERR_NONE;
}

static const rd_kafka_ConfigResource_t *resource_of(rd_kafka_event_t *event, const char *name)
{
    size_t count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigResource_name(resources[i]), name) == 0)
            return resources[i];
    return NULL;
}

/* A broker that does not answer now is no reason not to start: the others have the topics. */
static errcode_t check_brokers(look_t *self, err_t *err)
{
    size_t told = 0;

    for (size_t i = 0; i < self->broker_count; i++) {
        rd_kafka_event_t *event = NULL;
        char number[16];
        const char *name = number;
        err_t why;

        (void)snprintf(number, sizeof number, "%" PRId32, self->brokers[i]);
        if (describe(self, RD_KAFKA_RESOURCE_BROKER, &name, 1, BROKER_WAIT_US, &event, &why) ==
            ERR_NONE) {
            check_broker(self, self->brokers[i], event);
            told++;
        } else {
            log_warn("kafka: whether broker %s is Kafka 3.7 or newer is not known: %s", number,
                     why.text);
        }
        if (event != NULL)
            rd_kafka_event_destroy(event);
    }
    if (told == 0 && self->broker_count > 0 && kafka_now_us() >= self->deadline_us)
        return err_set(err, ERR_UNREACHABLE, "no broker of %.60s told its settings in time",
                       self->config->bootstrap);
    return ERR_NONE;
}

static void check_broker(look_t *self, int32_t broker, rd_kafka_event_t *event)
{
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    char sentence[sizeof self->first];
    size_t count;

    resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_warn("kafka: whether broker %" PRId32 " is Kafka 3.7 or newer is not known: %s", broker,
                 count == 1 ? rd_kafka_ConfigResource_error_string(resources[0]) : "no answer");
        return;
    }
    entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), SETTING_SINCE_3_7) == 0)
            return;
    (void)snprintf(sentence, sizeof sentence,
                   "broker %" PRId32 " is older than Kafka 3.7 (it does not know the setting "
                   "%s); upgrade it",
                   broker, SETTING_SINCE_3_7);
    on_violation(self, sentence);
}

/* Asks for the settings of topics, or of one broker. The event is the caller's. */
static errcode_t describe(look_t *self, rd_kafka_ResourceType_t type, const char *const *names,
                          size_t count, int64_t wait_us, rd_kafka_event_t **event, err_t *err)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(self->client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *resources[KAFKA_TOPICS];
    int ms = left_ms(self);
    char reason[REASON_BYTES];
    errcode_t rc = ERR_NONE;

    if (ms > wait_us / 1000)
        ms = (int)(wait_us / 1000);
    INVARIANT(count <= KAFKA_TOPICS);
    if (rd_kafka_AdminOptions_set_request_timeout(options, ms, reason, sizeof reason) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        log_warn("kafka: %s", reason);
    for (size_t i = 0; i < count; i++)
        resources[i] = rd_kafka_ConfigResource_new(type, names[i]);
    rd_kafka_DescribeConfigs(self->client, resources, count, options, self->queue);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    rd_kafka_AdminOptions_destroy(options);
    /* It answers by itself when the time is over. */
    *event = rd_kafka_queue_poll(self->queue, ms + ANSWER_GRACE_MS);
    if (*event == NULL)
        rc = err_set(err, ERR_UNREACHABLE, "no answer");
    else if (rd_kafka_event_error(*event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        rc = err_set(err,
                     rd_kafka_event_error(*event) == RD_KAFKA_RESP_ERR__TIMED_OUT ? ERR_UNREACHABLE
                                                                                  : ERR_STATE,
                     "Kafka does not tell its settings: %s", rd_kafka_event_error_string(*event));
    return rc;
}

static bool any_missing(const look_t *self)
{
    for (size_t i = 0; i < KAFKA_TOPICS; i++)
        if (self->topics[i].partitions == 0)
            return true;
    return false;
}

static int left_ms(const look_t *self)
{
    int64_t left_us = self->deadline_us - kafka_now_us();

    return left_us > 1000 ? (int)(left_us / 1000) : 1;
}

/* All are logged; the first one is what the caller says. */
static void on_violation(void *state, const char *sentence)
{
    look_t *self = state;

    log_error("kafka: %s", sentence);
    if (self->violations++ == 0)
        (void)snprintf(self->first, sizeof self->first, "%.*s", (int)sizeof self->first - 1,
                       sentence);
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *state)
{
    look_t *self = state;

    (void)client;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL)
        self->refusal = code;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        (void)snprintf(self->reason, sizeof self->reason, "%s", reason);
}
