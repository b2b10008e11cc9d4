/* journal_kafka.c - the maker of journals on Kafka: hands to the producer, takes from the consumer, writes effects */
#include "storage/journal_kafka.h"

#include "storage/kafka_consumer.h"
#include "storage/kafka_producer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define READ_TIMEOUT_US  INT64_C(2000000)
#define COUNT_TIMEOUT_US INT64_C(5000000)
#define SILENCE_US       INT64_C(1000000)
/* Where the fields of a record's header stand (protocol/record.h: it is frozen). */
#define HEADER_PARTITION_AT 4
#define HEADER_EPOCH_AT     24
#define HEADER_SEQ_AT       48

typedef struct {
    journal_kafka_config_t config; /* texts owned */
    kafka_figures_t figures;
    kafka_producer_t *producer; /* owned */
    kafka_consumer_t *consumer; /* owned */
} kafka_t;

static const journal_ops_t ops;

static char *copy_text(const char *text);
static uint64_t read_u64(const uint8_t *bytes);
static errcode_t count_partitions(journal_kafka_config_t *config, err_t *err);
static void kafka_destroy(void *state);

errcode_t journal_kafka_new(journal_t **self_p, const journal_kafka_config_t *config, err_t *err)
{
    kafka_t *self = memory_zalloc(sizeof *self);
    errcode_t rc;

    *self_p = NULL;
    self->config = *config;
    self->config.bootstrap = copy_text(config->bootstrap);
    self->config.prefix = copy_text(config->prefix);
    self->config.node = copy_text(config->node);
    self->config.settings = copy_text(config->settings);
    rc = count_partitions(&self->config, err);
    if (rc == ERR_NONE)
        rc = kafka_producer_new(&self->producer, &self->config, &self->figures, err);
    if (rc == ERR_NONE)
        rc = kafka_consumer_new(&self->consumer, &self->config, &self->figures, err);
    if (rc != ERR_NONE) {
        kafka_destroy(self);
        return rc;
    }
    *self_p = memory_alloc(sizeof **self_p);
    **self_p = (journal_t){.ops = &ops, .state = self};
    return ERR_NONE;
}

bool journal_kafka_reachable(const journal_t *self)
{
    kafka_figures_t *figures = &((kafka_t *)self->state)->figures;
    int64_t since_us = atomic_load(&figures->oldest_at_us);
    int64_t heard_us = atomic_load(&figures->heard_at_us);

    if (atomic_load(&figures->all_down))
        return false;
    if (since_us == 0)
        return true;
    return kafka_now_us() - (since_us > heard_us ? since_us : heard_us) <= SILENCE_US;
}

errcode_t journal_kafka_end(const journal_t *self, uint16_t partition, uint64_t *end, err_t *err)
{
    return kafka_consumer_end(&((kafka_t *)self->state)->config, partition, READ_TIMEOUT_US, end,
                              err);
}

void journal_kafka_metrics(void *journal, buffer_t *out)
{
    const journal_t *self = journal;
    kafka_figures_t *figures = &((kafka_t *)self->state)->figures;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"appends_total", "counter", "Records given to Kafka", atomic_load(&figures->produced)},
        {"delivered_total", "counter", "Records that Kafka acknowledged",
         atomic_load(&figures->delivered)},
        {"undelivered_total", "counter", "Records that Kafka did not acknowledge",
         atomic_load(&figures->undelivered)},
        {"outstanding", "gauge", "Records that wait for an acknowledgement",
         atomic_load(&figures->outstanding)},
        {"fetched_total", "counter", "Records read from Kafka", atomic_load(&figures->fetched)},
        {"producers_total", "counter", "Producers made; more than 1: one failed for good",
         atomic_load(&figures->producers)},
        {"acknowledge_microseconds", "gauge", "Append to acknowledgement of the newest record",
         (uint64_t)atomic_load(&figures->acknowledge_us)},
        {"reachable", "gauge", "1 while Kafka answers", journal_kafka_reachable(self)},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        buffer_printf(
            out,
            "# HELP fealty_kafka_%s %s\n# TYPE fealty_kafka_%s %s\nfealty_kafka_%s %" PRIu64 "\n",
            rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name, rows[i].value);
}

void journal_kafka_break_producer(journal_t *self)
{
    kafka_producer_break(((kafka_t *)self->state)->producer);
}

static errcode_t kafka_append(void *state, uint16_t partition, const void *header, const void *body,
                              size_t body_bytes, err_t *err)
{
    kafka_t *self = state;
    const uint8_t *bytes = header;

    INVARIANT(partition <= self->config.partitions);
    /* Only a bug mixes them up, and then every reader would ignore the record. */
    INVARIANT(bytes[HEADER_PARTITION_AT] == (uint8_t)partition);
    INVARIANT(bytes[HEADER_PARTITION_AT + 1] == (uint8_t)(partition >> 8));
    return kafka_producer_append(self->producer, partition, read_u64(bytes + HEADER_EPOCH_AT),
                                 read_u64(bytes + HEADER_SEQ_AT), header, RECORD_HEADER_BYTES, body,
                                 body_bytes, err);
}

static bool kafka_next(void *state, journal_record_t *out)
{
    return kafka_consumer_next(((kafka_t *)state)->consumer, out);
}

static errcode_t kafka_commit(void *state, const buffer_t *effects, err_t *err)
{
    kafka_t *self = state;
    errcode_t rc = ERR_NONE;

    if (effects != NULL && effects->failed)
        return err_set(err, ERR_TOO_LARGE, "the effects of a round are above %zu bytes",
                       effects->max);
    /* Not synced: after a crash the log is read again from the position that is found then. */
    if (effects != NULL && effects->size > 0) {
        batch_part_t part = {effects->bytes, effects->size};

        rc = store_write(self->config.store, &part, 1, false, err);
    }
    if (rc == ERR_NONE)
        kafka_consumer_release(self->consumer);
    return rc;
}

static errcode_t kafka_position(void *state, uint16_t partition, position_t *out, bool *found,
                                err_t *err)
{
    return journal_stored_position(((kafka_t *)state)->config.store, partition, out, found, err);
}

static errcode_t kafka_read(void *state, uint16_t partition, uint64_t offset, buffer_t *out,
                            bool *found, err_t *err)
{
    return kafka_consumer_read_once(&((kafka_t *)state)->config, partition, offset, READ_TIMEOUT_US,
                                    out, found, err);
}

static errcode_t kafka_follow(void *state, uint16_t partition, uint64_t offset, err_t *err)
{
    return kafka_consumer_follow(((kafka_t *)state)->consumer, partition, offset, err);
}

static void kafka_unfollow(void *state, uint16_t partition)
{
    kafka_consumer_unfollow(((kafka_t *)state)->consumer, partition);
}

static bool kafka_report(void *state, journal_report_t *out)
{
    return kafka_producer_report(((kafka_t *)state)->producer, out);
}

static errcode_t kafka_publish(void *state, uint16_t channel, uint64_t mark, const void *bytes,
                               size_t n, err_t *err)
{
    INVARIANT(channel == JOURNAL_CONTROL || channel == JOURNAL_LIVENESS);
    return kafka_producer_append(((kafka_t *)state)->producer, channel, mark, 0, bytes, n, NULL, 0,
                                 err);
}

static uint64_t kafka_behind(void *state, uint16_t partition)
{
    return kafka_consumer_behind(((kafka_t *)state)->consumer, partition);
}

static void kafka_destroy(void *state)
{
    kafka_t *self = state;

    kafka_producer_destroy(&self->producer);
    kafka_consumer_destroy(&self->consumer);
    free((char *)self->config.bootstrap);
    free((char *)self->config.prefix);
    free((char *)self->config.node);
    free((char *)self->config.settings);
    free(self);
}

static errcode_t count_partitions(journal_kafka_config_t *config, err_t *err)
{
    int count;
    errcode_t rc;

    if (config->partitions > 0)
        return ERR_NONE;
    rc = kafka_log_partitions(config, COUNT_TIMEOUT_US, &count, err);
    if (rc != ERR_NONE)
        return rc;
    if (count < 2 || count - 1 >= JOURNAL_CONTROL)
        return err_set(err, ERR_STATE, "topic %s.log has %d partitions, which is no log of ours",
                       config->prefix, count);
    config->partitions = (uint16_t)(count - 1);
    return ERR_NONE;
}

static char *copy_text(const char *text)
{
    char *copy = NULL;

    if (text != NULL) {
        copy = memory_alloc(strlen(text) + 1);
        memcpy(copy, text, strlen(text) + 1);
    }
    return copy;
}

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (size_t i = 8; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static const journal_ops_t ops = {
    .append = kafka_append,
    .next = kafka_next,
    .commit = kafka_commit,
    .position = kafka_position,
    .read = kafka_read,
    .destroy = kafka_destroy,
    .follow = kafka_follow,
    .unfollow = kafka_unfollow,
    .report = kafka_report,
    .publish = kafka_publish,
    .behind = kafka_behind,
};
