/* test_journal_kafka.c - the journal's wiring to librdkafka, on the library's mock cluster; tests/kafka runs it on a
 * real one */
#include "storage/journal_kafka.h"

#include "protocol/clock.h"
#include "storage/kafka_contract.h"

#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PRODUCE_REQUEST 0 /* its number in Kafka's protocol */
#define PATIENCE_US     INT64_C(20000000)
/* The mock holds an empty fetch for the whole time, whatever arrives. */
#define FOR_THE_MOCK "fetch.wait.max.ms=5"
#define SEEN_MAX     2048

TestSuite(journal_kafka, .timeout = 40);

/* A mock cluster, a journal on it, and what came out of that. */
typedef struct {
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *cluster;
    store_t *store;
    journal_t *journal;
    int wakeup;
    journal_kafka_config_t config;
    uint64_t appended;
    uint64_t delivered, undelivered, twice;
    uint8_t reported[SEEN_MAX];
    uint64_t seqs[SEEN_MAX]; /* read back, in order */
    size_t read;
    uint64_t marks[SEEN_MAX];
    size_t mark_count;
    uint16_t channels[SEEN_MAX];
    size_t channel_count;
    size_t broken, lost;
} wired_t;

static void wired_open(wired_t *self, const char *bootstrap, const char *settings)
{
    err_t err;

    self->store = store_memory_new();
    self->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cr_assert_geq(self->wakeup, 0);
    self->config = (journal_kafka_config_t){.bootstrap = bootstrap,
                                            .prefix = "unit",
                                            .node = "unit",
                                            .settings = settings,
                                            .partitions = 2,
                                            .wakeup = self->wakeup,
                                            .store = self->store};
    cr_assert_eq(journal_kafka_new(&self->journal, &self->config, &err), ERR_NONE, "%s", err.text);
}

static wired_t *wired_new(void)
{
    wired_t *self = memory_zalloc(sizeof *self);
    char reason[256];

    self->handle = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, reason, sizeof reason);
    cr_assert(self->handle != NULL, "%s", reason);
    self->cluster = rd_kafka_mock_cluster_new(self->handle, 1);
    cr_assert(self->cluster != NULL);
    cr_assert_eq(rd_kafka_mock_topic_create(self->cluster, "unit.log", 3, 1), 0);
    cr_assert_eq(rd_kafka_mock_topic_create(self->cluster, "unit.control", 1, 1), 0);
    cr_assert_eq(rd_kafka_mock_topic_create(self->cluster, "unit.liveness", 1, 1), 0);
    wired_open(self, rd_kafka_mock_cluster_bootstraps(self->cluster), FOR_THE_MOCK);
    return self;
}

static void wired_destroy(wired_t *self)
{
    journal_destroy(&self->journal);
    store_destroy(&self->store);
    (void)close(self->wakeup);
    if (self->cluster != NULL)
        rd_kafka_mock_cluster_destroy(self->cluster);
    if (self->handle != NULL)
        rd_kafka_destroy(self->handle);
    free(self);
}

static errcode_t wired_append(wired_t *self, uint16_t partition, size_t body_bytes, err_t *err)
{
    static uint8_t body[RECORD_BYTES_MAX];
    record_header_t header = {.kind = RECORD_DECISIONS,
                              .partition = partition,
                              .epoch = 3,
                              .seq = self->appended + 1,
                              .body_bytes = (uint32_t)body_bytes};
    uint8_t bytes[RECORD_HEADER_BYTES];
    errcode_t rc;

    record_encode_header(&header, body, bytes);
    rc = journal_append(self->journal, partition, bytes, body, body_bytes, err);
    self->appended += rc == ERR_NONE;
    return rc;
}

static void wired_append_many(wired_t *self, uint16_t partition, size_t count)
{
    err_t err;

    for (size_t i = 0; i < count; i++)
        cr_assert_eq(wired_append(self, partition, 100, &err), ERR_NONE, "%s", err.text);
}

static void wired_follow(wired_t *self, uint16_t partition, uint64_t offset)
{
    err_t err;

    cr_assert_eq(journal_follow(self->journal, partition, offset, &err), ERR_NONE, "%s", err.text);
}

static void wired_on_record(wired_t *self, const journal_record_t *record)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;

    if (record->bytes == NULL) {
        cr_assert(record->why != NULL);
        self->broken++;
        self->lost += record->lost;
    } else if (record->partition >= JOURNAL_CONTROL) {
        cr_assert_lt(self->channel_count, SEEN_MAX);
        self->channels[self->channel_count++] = record->partition;
    } else {
        cr_assert_eq(record_decode(record->bytes, record->n, &header, &body, &reason),
                     VERDICT_ACCEPT);
        cr_assert_eq(header.partition, record->partition);
        cr_assert_lt(self->read, SEEN_MAX);
        self->seqs[self->read++] = header.seq;
    }
}

/* One pass as a driver makes it; waits for the wakeup alone. */
static void wired_pass(wired_t *self)
{
    struct pollfd entry = {.fd = self->wakeup, .events = POLLIN};
    journal_record_t record;
    journal_report_t report;
    uint64_t count;
    err_t err;

    if (poll(&entry, 1, 100) > 0)
        cr_assert_eq(read(self->wakeup, &count, sizeof count), (ssize_t)sizeof count);
    while (journal_next(self->journal, &record))
        wired_on_record(self, &record);
    cr_assert_eq(journal_commit(self->journal, NULL, &err), ERR_NONE);
    while (journal_report(self->journal, &report)) {
        self->delivered += report.delivered;
        self->undelivered += !report.delivered;
        if (report.partition >= JOURNAL_CONTROL) {
            self->marks[self->mark_count++] = report.epoch;
            continue;
        }
        cr_assert_eq(report.epoch, 3);
        cr_assert_leq(report.seq, self->appended);
        self->twice += self->reported[report.seq % SEEN_MAX]++;
    }
}

#define WAIT_FOR(self, condition)                                                             \
    do {                                                                                      \
        int64_t deadline_us = clock_boot_us(clock_system()) + PATIENCE_US;                    \
        while (!(condition)) {                                                                \
            cr_assert_lt(clock_boot_us(clock_system()), deadline_us, "in time: " #condition); \
            wired_pass(self);                                                                 \
        }                                                                                     \
    } while (0)

Test(journal_kafka, gives_back_in_order_what_was_appended_and_reports_each_once)
{
    wired_t *wired = wired_new();

    cr_assert_eq(journal_behind(wired->journal, 1), UINT64_MAX);
    wired_follow(wired, 1, 0);
    wired_append_many(wired, 1, 500);
    WAIT_FOR(wired, wired->read == 500 && wired->delivered == 500);
    for (size_t i = 0; i < 500; i++)
        cr_assert_eq(wired->seqs[i], i + 1);
    cr_assert_eq(wired->undelivered + wired->twice, 0);
    cr_assert_eq(journal_behind(wired->journal, 1), 0);
    cr_assert(journal_kafka_reachable(wired->journal));
    wired_destroy(wired);
}

Test(journal_kafka, returns_nothing_of_a_partition_that_is_not_followed)
{
    wired_t *wired = wired_new();

    wired_append_many(wired, 1, 3);
    WAIT_FOR(wired, wired->delivered == 3);
    wired_follow(wired, 2, 0);
    wired_append_many(wired, 2, 1);
    WAIT_FOR(wired, wired->read == 1);
    cr_assert_eq(wired->seqs[0], 4);
    journal_unfollow(wired->journal, 2);
    wired_append_many(wired, 2, 1);
    wired_follow(wired, 1, 0);
    WAIT_FOR(wired, wired->read == 4 && wired->delivered == 5);
    cr_assert_eq(wired->seqs[3], 3);
    wired_destroy(wired);
}

Test(journal_kafka, forgets_what_was_fetched_when_it_is_followed_again)
{
    wired_t *wired = wired_new();
    int64_t until_us = clock_boot_us(clock_system()) + PATIENCE_US;
    journal_record_t record;

    wired_append_many(wired, 1, 100);
    WAIT_FOR(wired, wired->delivered == 100);
    wired_follow(wired, 1, 50);
    /* One is taken, and with it come others, which wait inside the journal. */
    while (!journal_next(wired->journal, &record))
        cr_assert_lt(clock_boot_us(clock_system()), until_us);
    cr_assert_eq(record.offset, 50);
    wired_follow(wired, 1, 0);
    WAIT_FOR(wired, wired->read == 100);
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(wired->seqs[i], 1 + i);
    wired_destroy(wired);
}

Test(journal_kafka, reads_a_record_again_and_says_when_it_is_not_there)
{
    wired_t *wired = wired_new();
    buffer_t bytes;
    bool found;
    err_t err;

    wired_append_many(wired, 1, 5);
    WAIT_FOR(wired, wired->delivered == 5);
    buffer_init(&bytes, RECORD_BYTES_MAX);
    cr_assert_eq(journal_read(wired->journal, 1, 3, &bytes, &found, &err), ERR_NONE, "%s",
                 err.text);
    cr_assert(found);
    cr_assert_eq(bytes.size, RECORD_HEADER_BYTES + 100);
    cr_assert_eq(journal_read(wired->journal, 1, 77, &bytes, &found, &err), ERR_NONE, "%s",
                 err.text);
    cr_assert(!found);
    buffer_free(&bytes);
    wired_destroy(wired);
}

Test(journal_kafka, carries_channels_with_their_marks)
{
    wired_t *wired = wired_new();
    err_t err;

    wired_follow(wired, JOURNAL_CONTROL, 0);
    cr_assert_eq(journal_publish(wired->journal, JOURNAL_CONTROL, 71, "view", 4, &err), ERR_NONE);
    WAIT_FOR(wired, wired->channel_count == 1 && wired->mark_count == 1);
    wired_follow(wired, JOURNAL_LIVENESS, 0);
    cr_assert_eq(journal_publish(wired->journal, JOURNAL_LIVENESS, 72, "beat", 4, &err), ERR_NONE);
    WAIT_FOR(wired, wired->channel_count == 2 && wired->mark_count == 2);
    cr_assert_eq(wired->channels[0], JOURNAL_CONTROL);
    cr_assert_eq(wired->channels[1], JOURNAL_LIVENESS);
    cr_assert_eq(wired->marks[0], 71);
    cr_assert_eq(wired->marks[1], 72);
    wired_destroy(wired);
}

Test(journal_kafka, doubts_an_offset_that_is_not_there_before_it_calls_it_lost)
{
    wired_t *wired = wired_new();

    wired_append_many(wired, 1, 5);
    WAIT_FOR(wired, wired->delivered == 5);
    wired_follow(wired, 1, 400);
    WAIT_FOR(wired, wired->broken == 1);
    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->delivered == 6);
    cr_assert_eq(wired->read, 0);
    cr_assert_eq(wired->lost, 0);
    wired_follow(wired, 1, 2);
    WAIT_FOR(wired, wired->read == 4);
    cr_assert_eq(wired->seqs[0], 3);
    cr_assert_eq(wired->broken, 1);
    wired_destroy(wired);
}

Test(journal_kafka, reports_what_a_broker_refuses_as_not_delivered)
{
    wired_t *wired = wired_new();

    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->delivered == 1);
    rd_kafka_mock_push_request_errors(wired->cluster, PRODUCE_REQUEST, 1,
                                      RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->undelivered == 1);
    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->delivered == 2);
    cr_assert_eq(wired->twice, 0);
    wired_destroy(wired);
}

Test(journal_kafka, replaces_a_producer_that_failed_for_good_and_reports_each_append_once)
{
    wired_t *wired = wired_new();
    buffer_t text;
    err_t err;

    wired_follow(wired, 1, 0);
    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->delivered == 1);
    rd_kafka_mock_broker_set_down(wired->cluster, 1);
    wired_append_many(wired, 1, 300);
    journal_kafka_break_producer(wired->journal);
    cr_assert_eq(wired_append(wired, 1, 100, &err), ERR_OVERLOADED);
    WAIT_FOR(wired, wired->delivered + wired->undelivered == 301);
    cr_assert_eq(wired->delivered, 1);
    cr_assert_eq(wired->twice, 0);
    rd_kafka_mock_broker_set_up(wired->cluster, 1);
    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->delivered == 2 && wired->read >= 2);
    cr_assert_eq(wired->seqs[wired->read - 1], wired->appended);
    buffer_init(&text, 65536);
    journal_kafka_metrics(wired->journal, &text);
    buffer_byte(&text, 0);
    cr_assert(strstr((const char *)text.bytes, "fealty_kafka_producers_total 2\n") != NULL);
    cr_assert(strstr((const char *)text.bytes, "fealty_kafka_undelivered_total 300\n") != NULL);
    buffer_free(&text);
    wired_destroy(wired);
}

Test(journal_kafka, takes_what_its_queue_holds_while_kafka_is_away_and_says_so_within_seconds)
{
    wired_t *wired = memory_zalloc(sizeof *wired);
    uint64_t taken;
    err_t err;

    wired_open(wired, "127.0.0.1:1", "queue.buffering.max.kbytes=1024 message.timeout.ms=1500");
    while (wired_append(wired, 1, 16384, &err) == ERR_NONE)
        cr_assert_lt(wired->appended, 100);
    cr_assert_eq(err.code, ERR_OVERLOADED);
    taken = wired->appended;
    cr_assert_geq(taken, 50);
    WAIT_FOR(wired, !journal_kafka_reachable(wired->journal));
    WAIT_FOR(wired, wired->undelivered == taken);
    cr_assert_eq(wired->twice, 0);
    cr_assert_eq(wired_append(wired, 1, 16384, &err), ERR_NONE, "%s", err.text);
    wired_destroy(wired);
}

Test(journal_kafka, notices_that_kafka_is_silent)
{
    wired_t *wired = wired_new();
    int64_t began_us;

    wired_append_many(wired, 1, 1);
    WAIT_FOR(wired, wired->delivered == 1);
    rd_kafka_mock_broker_set_rtt(wired->cluster, 1, 2500);
    began_us = clock_boot_us(clock_system());
    wired_append_many(wired, 1, 1);
    cr_assert(journal_kafka_reachable(wired->journal));
    WAIT_FOR(wired, !journal_kafka_reachable(wired->journal));
    cr_assert_geq(clock_boot_us(clock_system()) - began_us, 1000000);
    WAIT_FOR(wired, wired->delivered == 2);
    cr_assert(journal_kafka_reachable(wired->journal));
    wired_destroy(wired);
}

Test(journal_kafka, writes_effects_when_it_commits)
{
    wired_t *wired = memory_zalloc(sizeof *wired);
    position_t position = {.epoch = 4, .seq = 9, .offset = 17};
    position_t found_position;
    buffer_t effects;
    bool found;
    err_t err;

    wired_open(wired, "127.0.0.1:1", NULL);
    buffer_init(&effects, 65536);
    journal_put_position(1, &position, &effects);
    cr_assert_eq(journal_commit(wired->journal, &effects, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(journal_position(wired->journal, 1, &found_position, &found, &err), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(found_position.seq, 9);
    cr_assert_eq(found_position.offset, 17);
    effects.failed = true;
    cr_assert_eq(journal_commit(wired->journal, &effects, &err), ERR_TOO_LARGE);
    buffer_free(&effects);
    wired_destroy(wired);
}

static errcode_t with_settings(const char *prefix, const char *settings, err_t *err)
{
    journal_kafka_config_t config = {.bootstrap = "127.0.0.1:1",
                                     .prefix = prefix,
                                     .node = "unit",
                                     .settings = settings,
                                     .partitions = 2,
                                     .wakeup = -1};
    journal_t *journal = NULL;
    errcode_t rc = journal_kafka_new(&journal, &config, err);

    journal_destroy(&journal);
    return rc;
}

Test(journal_kafka, takes_settings_of_an_operator_but_not_those_that_safety_rests_on)
{
    err_t err;

    cr_assert_eq(with_settings("unit", "linger.ms=2, compression.codec=none\n", &err), ERR_NONE);
    cr_assert_eq(with_settings("unit", "debug=msg,topic linger.ms=1,", &err), ERR_NONE, "%s",
                 err.text);
    cr_assert_eq(with_settings("unit", "debug=msg,nothing", &err), ERR_INVALID);
    cr_assert_eq(with_settings("unit", "acks=1", &err), ERR_INVALID);
    cr_assert(strstr(err.text, "acks is the journal's own") != NULL, "%s", err.text);
    cr_assert_eq(with_settings("unit", "auto.offset.reset=latest", &err), ERR_INVALID);
    cr_assert_eq(with_settings("unit", "linger.ms", &err), ERR_INVALID);
    cr_assert_eq(with_settings("unit", "no.such.thing=1", &err), ERR_INVALID);
    cr_assert(strstr(err.text, "no.such.thing") != NULL);
    cr_assert_eq(with_settings("unit", "security.protocol=secret", &err), ERR_INVALID);
    cr_assert(strstr(err.text, "secret") == NULL, "%s", err.text);
    cr_assert_eq(with_settings("unit/2", NULL, &err), ERR_INVALID);
    cr_assert_eq(with_settings("", NULL, &err), ERR_INVALID);
}

Test(journal_kafka, says_that_no_broker_answers)
{
    journal_kafka_config_t config = {.bootstrap = "127.0.0.1:1", .prefix = "unit", .wakeup = -1};
    uint16_t partitions;
    err_t err;

    cr_assert_eq(journal_kafka_check(&config, 300000, &partitions, &err), ERR_UNREACHABLE);
    cr_assert(strstr(err.text, "no broker of 127.0.0.1:1 answers") != NULL, "%s", err.text);
    cr_assert_eq(partitions, 0);
}

/* --- the contract of topics ---------------------------------------------------------------------- */

typedef struct {
    char text[16][512];
    size_t count;
} sentences_t;

static void keep_sentence(void *state, const char *sentence)
{
    sentences_t *self = state;

    cr_assert_lt(self->count, 16);
    (void)snprintf(self->text[self->count++], sizeof self->text[0], "%s", sentence);
}

static const journal_kafka_config_t contract_config = {
    .bootstrap = "one:9092,two:9092", .prefix = "f", .partitions = 16};

static kafka_topic_facts_t good_facts(kafka_topic_t topic, kafka_setting_t *settings)
{
    return (kafka_topic_facts_t){
        .topic = topic,
        .name = topic == KAFKA_LOG ? "f.log" : "f.liveness",
        .partitions = kafka_contract_partitions(&contract_config, topic),
        .replicas = 3,
        .settings = settings,
        .setting_count = kafka_contract_settings(&contract_config, topic, settings),
    };
}

static void set_value(kafka_topic_facts_t *facts, kafka_setting_t *settings, const char *name,
                      const char *value)
{
    for (size_t i = 0; i < facts->setting_count; i++)
        if (strcmp(settings[i].name, name) == 0) {
            settings[i].value = value;
            return;
        }
    cr_assert_fail("no setting %s", name);
}

Test(journal_kafka, finds_nothing_wrong_with_topics_of_its_own_making)
{
    kafka_setting_t settings[KAFKA_CONTRACT_SETTINGS_MAX];
    sentences_t sentences = {.count = 0};

    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++) {
        kafka_topic_facts_t facts = good_facts(topic, settings);

        kafka_contract_check(&contract_config, &facts, keep_sentence, &sentences);
    }
    cr_assert_eq(sentences.count, 0, "%s", sentences.text[0]);
}

Test(journal_kafka, has_a_sentence_for_each_setting_of_a_topic_that_is_not_kept)
{
    static const struct {
        const char *name, *value, *sentence;
    } cases[] = {
        {"retention.ms", "604800000",
         "topic f.log: retention.ms is 604800000, must be -1: kafka-configs.sh --bootstrap-server "
         "one:9092 --alter --topic f.log --add-config retention.ms=-1"},
        {"min.insync.replicas", "1", "min.insync.replicas is 1, must be at least 2"},
        {"min.insync.replicas", "3", "min.insync.replicas is 3 of 3 replicas, must be fewer"},
        {"unclean.leader.election.enable", "true", "must be false"},
        {"cleanup.policy", "compact", "cleanup.policy is compact, must be delete"},
        {"retention.bytes", "1073741824", "must be -1"},
        {"message.timestamp.type", "CreateTime", "must be LogAppendTime"},
        {"max.message.bytes", "100000", "must be at least 1048588"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        kafka_setting_t settings[KAFKA_CONTRACT_SETTINGS_MAX];
        kafka_topic_facts_t facts = good_facts(KAFKA_LOG, settings);
        sentences_t sentences = {.count = 0};

        set_value(&facts, settings, cases[i].name, cases[i].value);
        kafka_contract_check(&contract_config, &facts, keep_sentence, &sentences);
        cr_assert_eq(sentences.count, 1, "%s", cases[i].name);
        cr_assert(strstr(sentences.text[0], cases[i].sentence) != NULL, "%s", sentences.text[0]);
    }
}

Test(journal_kafka, has_a_sentence_for_the_shape_of_topics)
{
    kafka_setting_t settings[KAFKA_CONTRACT_SETTINGS_MAX];
    kafka_topic_facts_t facts = good_facts(KAFKA_LOG, settings);
    journal_kafka_config_t single = contract_config;
    sentences_t sentences = {.count = 0};

    facts.partitions = 9;
    facts.replicas = 1;
    kafka_contract_check(&contract_config, &facts, keep_sentence, &sentences);
    cr_assert_eq(sentences.count, 2);
    cr_assert(strstr(sentences.text[0], "topic f.log has 9 partitions, must have 17") != NULL, "%s",
              sentences.text[0]);
    cr_assert(strstr(sentences.text[1], "replication factor of 1, must be 3") != NULL, "%s",
              sentences.text[1]);

    sentences.count = 0;
    facts = good_facts(KAFKA_LIVENESS, settings);
    facts.partitions = 2;
    facts.setting_count = 0;
    kafka_contract_check(&contract_config, &facts, keep_sentence, &sentences);
    cr_assert(strstr(sentences.text[0], "topic f.liveness has 2 partitions, must have 1") != NULL);
    cr_assert(strstr(sentences.text[1], "do not tell min.insync.replicas") != NULL, "%s",
              sentences.text[1]);

    sentences.count = 0;
    single.single_broker = true;
    single.partitions = 0;
    facts = good_facts(KAFKA_LOG, settings);
    facts.replicas = 1;
    set_value(&facts, settings, "min.insync.replicas", "1");
    kafka_contract_check(&single, &facts, keep_sentence, &sentences);
    cr_assert_eq(sentences.count, 0, "%s", sentences.text[0]);

    kafka_contract_missing(&contract_config, KAFKA_CONTROL, keep_sentence, &sentences);
    cr_assert(strstr(sentences.text[0], "topic f.control is not there") != NULL);
}
