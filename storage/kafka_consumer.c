/* kafka_consumer.c - one consumer for all partitions, without a group, each partition with a queue of its own
 *
 * A partition is started and stopped at an offset (librdkafka's simple consumer). That needs no coordinator and no
 * permission for groups, and its queues are not forwarded into one. What was fetched before a partition was stopped is
 * dropped by librdkafka's version marks; what this file had already taken then, by the partition's generation.
 */
#include "storage/kafka_consumer.h"

#include "protocol/log.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_MAX       4096
#define HELD_BYTES_MAX ((size_t)16 << 20)
#define TAKE_MAX       256
/* "Out of range" is told this long after it came, so that following again and again is no busy loop. */
#define DOUBT_WAIT_US (INT64_C(100) * 1000)
/* And is believed after this long. A broker that was paused, or cut off from the others, takes itself for a partition's
 * leader when it is back, and its log is short: clients that ask it learn of no other leader, until it has caught up. */
#define DOUBT_MAX_US (INT64_C(10) * 1000000)

typedef struct {
    kafka_consumer_t *consumer; /* borrowed */
    rd_kafka_queue_t *queue;    /* owned; NULL until first followed */
    uint64_t next;              /* offset behind what was returned */
    int64_t
        doubt_since_us; /* the offset was said to be out of range, and nothing came since; 0: no */
    int64_t tell_at_us; /* when the caller is told; 0: there is nothing to tell */
    uint32_t generation;
    uint16_t number;
    bool followed;
    bool broken; /* an error was returned: nothing more until it is followed again */
    bool
        known; /* something came since it was followed, so the end that librdkafka knows is new enough */
    atomic_bool ready; /* its queue may hold something */
} part_t;

/* A message that was taken from librdkafka. */
typedef struct {
    rd_kafka_message_t *message; /* owned; NULL when it was dropped */
    part_t *part;
    uint32_t generation;
} kept_t;

struct kafka_consumer {
    const journal_kafka_config_t *config;   /* borrowed */
    kafka_figures_t *figures;               /* borrowed */
    rd_kafka_t *client;                     /* owned */
    rd_kafka_queue_t *main;                 /* owned; errors of no partition */
    rd_kafka_topic_t *topics[KAFKA_TOPICS]; /* owned */
    part_t *parts;                          /* owned; the log's, then the two channels */
    size_t part_count;
    size_t turn;           /* whose queue is looked at first */
    kept_t kept[HELD_MAX]; /* [0, returned) were returned, [returned, count) will be */
    size_t returned;
    size_t count;
    size_t held;       /* of the returned ones, those not dropped */
    size_t held_bytes; /* of all kept */
    size_t untold;     /* partitions with something to tell */
    bool cut;          /* there may be more, which was not taken for want of room */
    atomic_bool woken; /* the wakeup was written since the queues were last looked at */
};

static part_t *part_of(kafka_consumer_t *self, uint16_t number);
static void stop(kafka_consumer_t *self, part_t *part);
static void drop_queued(const part_t *part);
static bool take(kafka_consumer_t *self);
static bool present(kafka_consumer_t *self, const kept_t *kept, journal_record_t *out);
static void doubt(kafka_consumer_t *self, part_t *part, const rd_kafka_message_t *message);
static bool tell_doubt(kafka_consumer_t *self, journal_record_t *out);
static void drop(kafka_consumer_t *self, kept_t *kept);
static void wake(kafka_consumer_t *self);
static void on_ready(rd_kafka_t *client, void *state);
static void on_error(rd_kafka_t *client, int code, const char *reason, void *state);
static errcode_t read_started(rd_kafka_topic_t *topic, int32_t partition, uint64_t offset,
                              int64_t deadline_us, buffer_t *out, bool *found, err_t *err);

errcode_t kafka_consumer_new(kafka_consumer_t **self_p, const journal_kafka_config_t *config,
                             kafka_figures_t *figures, err_t *err)
{
    kafka_consumer_t *self = memory_zalloc(sizeof *self);
    char name[KAFKA_TOPIC_NAME_BYTES];
    errcode_t rc;

    *self_p = NULL;
    self->config = config;
    self->figures = figures;
    self->part_count = (size_t)config->partitions + 1 + 2;
    self->parts = memory_zalloc(self->part_count * sizeof *self->parts);
    for (size_t i = 0; i < self->part_count; i++) {
        part_t *part = &self->parts[i];

        part->consumer = self;
        part->number = i < self->part_count - 2    ? (uint16_t)i
                       : i == self->part_count - 2 ? JOURNAL_CONTROL
                                                   : JOURNAL_LIVENESS;
    }
    rc = kafka_client_new(&self->client, KAFKA_CONSUMER, config, on_error, self, err);
    if (rc != ERR_NONE)
        goto cleanup;
    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++) {
        kafka_topic_name(name, config->prefix, topic);
        self->topics[topic] = rd_kafka_topic_new(self->client, name, NULL);
        if (self->topics[topic] == NULL) {
            rc = err_set(err, ERR_INVALID, "librdkafka cannot read a topic %s: %s", name,
                         rd_kafka_err2str(rd_kafka_last_error()));
            goto cleanup;
        }
    }
    self->main = rd_kafka_queue_get_main(self->client);
    rd_kafka_queue_cb_event_enable(self->main, on_ready, NULL);
    *self_p = self;
    return ERR_NONE;

cleanup:
    kafka_consumer_destroy(&self);
    return rc;
}

void kafka_consumer_destroy(kafka_consumer_t **self_p)
{
    kafka_consumer_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < self->count; i++)
        drop(self, &self->kept[i]);
    for (size_t i = 0; i < self->part_count; i++) {
        part_t *part = &self->parts[i];

        if (part->followed)
            stop(self, part);
        if (part->queue == NULL)
            continue;
        rd_kafka_queue_cb_event_enable(part->queue, NULL, NULL);
        rd_kafka_queue_destroy(part->queue);
    }
    if (self->main != NULL) {
        rd_kafka_queue_cb_event_enable(self->main, NULL, NULL);
        rd_kafka_queue_destroy(self->main);
    }
    for (size_t i = 0; i < KAFKA_TOPICS; i++)
        if (self->topics[i] != NULL)
            rd_kafka_topic_destroy(self->topics[i]);
    if (self->client != NULL)
        rd_kafka_destroy(self->client);
    free(self->parts);
    free(self);
}

errcode_t kafka_consumer_follow(kafka_consumer_t *self, uint16_t number, uint64_t offset,
                                err_t *err)
{
    kafka_topic_t topic = kafka_topic_of(number);
    part_t *part = part_of(self, number);
    char name[KAFKA_TOPIC_NAME_BYTES];

    bool end = offset == JOURNAL_END;
    if (part == NULL || (offset > INT64_MAX && !end))
        return err_set(err, ERR_INVALID, "partition %u has no offset %" PRIu64 " to follow", number,
                       offset);
    kafka_consumer_unfollow(self, number);
    part->next = end ? 0 : offset;
    part->broken = false;
    part->known = false;
    /* A new handle each time: until the topic is known, librdkafka forgets a partition, with its queue, as soon as it
     * is stopped. */
    if (part->queue != NULL)
        rd_kafka_queue_destroy(part->queue);
    kafka_topic_name(name, self->config->prefix, topic);
    part->queue = rd_kafka_queue_get_partition(self->client, name, kafka_partition_of(number));
    if (part->queue == NULL)
        return err_set(err, ERR_STATE, "librdkafka has no queue for partition %d of %s",
                       (int)kafka_partition_of(number), name);
    rd_kafka_queue_cb_event_enable(part->queue, on_ready, part);
    if (rd_kafka_consume_start(self->topics[topic], kafka_partition_of(number),
                               end ? RD_KAFKA_OFFSET_END : (int64_t)offset) != 0)
        return err_set(err, ERR_STATE, "partition %d of %s cannot be followed: %s",
                       (int)kafka_partition_of(number), name,
                       rd_kafka_err2str(rd_kafka_last_error()));
    part->followed = true;
    return ERR_NONE;
}

void kafka_consumer_unfollow(kafka_consumer_t *self, uint16_t number)
{
    part_t *part = part_of(self, number);

    if (part == NULL || !part->followed)
        return;
    stop(self, part);
    if (part->tell_at_us != 0)
        self->untold--;
    part->tell_at_us = 0;
    part->followed = false;
    part->broken = false;
    part->known = false;
    part->generation++;
}

bool kafka_consumer_next(kafka_consumer_t *self, journal_record_t *out)
{
    for (;;) {
        while (self->returned < self->count) {
            kept_t *kept = &self->kept[self->returned++];

            if (present(self, kept, out)) {
                self->held++;
                return true;
            }
            drop(self, kept);
        }
        if (self->held == 0)
            self->returned = self->count = 0;
        if (!take(self))
            return tell_doubt(self, out);
    }
}

void kafka_consumer_release(kafka_consumer_t *self)
{
    for (size_t i = 0; i < self->returned; i++)
        drop(self, &self->kept[i]);
    self->count -= self->returned;
    memmove(self->kept, self->kept + self->returned, self->count * sizeof self->kept[0]);
    self->returned = 0;
    self->held = 0;
    if (self->cut || self->count > 0)
        wake(self);
    self->cut = false;
}

uint64_t kafka_consumer_behind(kafka_consumer_t *self, uint16_t number)
{
    const part_t *part = part_of(self, number);
    char name[KAFKA_TOPIC_NAME_BYTES];
    int64_t low, high;

    if (part == NULL || !part->followed || part->broken || !part->known)
        return UINT64_MAX;
    kafka_topic_name(name, self->config->prefix, kafka_topic_of(number));
    if (rd_kafka_get_watermark_offsets(self->client, name, kafka_partition_of(number), &low,
                                       &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        return UINT64_MAX;
    return (uint64_t)high > part->next ? (uint64_t)high - part->next : 0;
}

errcode_t kafka_consumer_read_once(const journal_kafka_config_t *config, uint16_t number,
                                   uint64_t offset, int64_t timeout_us, buffer_t *out, bool *found,
                                   err_t *err)
{
    int64_t deadline_us = kafka_now_us() + timeout_us;
    int32_t partition = kafka_partition_of(number);
    char name[KAFKA_TOPIC_NAME_BYTES];
    rd_kafka_topic_t *topic = NULL;
    rd_kafka_t *client = NULL;
    errcode_t rc;

    *found = false;
    if (offset > INT64_MAX)
        return ERR_NONE;
    rc = kafka_client_new(&client, KAFKA_CONSUMER, config, NULL, NULL, err);
    if (rc != ERR_NONE)
        return rc;
    kafka_topic_name(name, config->prefix, kafka_topic_of(number));
    topic = rd_kafka_topic_new(client, name, NULL);
    if (topic == NULL || rd_kafka_consume_start(topic, partition, (int64_t)offset) != 0) {
        rc = err_set(err, ERR_STATE, "partition %d of %s cannot be read: %s", (int)partition, name,
                     rd_kafka_err2str(rd_kafka_last_error()));
        goto cleanup;
    }
    rc = read_started(topic, partition, offset, deadline_us, out, found, err);
    (void)rd_kafka_consume_stop(topic, partition);

cleanup:
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return rc;
}

errcode_t kafka_consumer_end(const journal_kafka_config_t *config, uint16_t number,
                             int64_t timeout_us, uint64_t *end, err_t *err)
{
    int32_t partition = kafka_partition_of(number);
    char name[KAFKA_TOPIC_NAME_BYTES];
    rd_kafka_t *client = NULL;
    int64_t low = 0, high = 0;
    errcode_t rc = kafka_client_new(&client, KAFKA_CONSUMER, config, NULL, NULL, err);

    if (rc != ERR_NONE)
        return rc;
    kafka_topic_name(name, config->prefix, kafka_topic_of(number));
    rd_kafka_resp_err_t failed = rd_kafka_query_watermark_offsets(client, name, partition, &low,
                                                                  &high, (int)(timeout_us / 1000));
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0)
        rc = err_set(err, ERR_UNREACHABLE, "Kafka does not say where partition %d of %s ends: %s",
                     (int)partition, name, rd_kafka_err2str(failed));
    else
        *end = (uint64_t)high;
    rd_kafka_destroy(client);
    return rc;
}

static errcode_t read_started(rd_kafka_topic_t *topic, int32_t partition, uint64_t offset,
                              int64_t deadline_us, buffer_t *out, bool *found, err_t *err)
{
    errcode_t rc = ERR_NONE;
    rd_kafka_message_t *message;
    int64_t left_us = deadline_us - kafka_now_us();

    message = rd_kafka_consume(topic, partition, left_us > 0 ? (int)(left_us / 1000) : 0);
    if (message == NULL)
        return err_set(err, ERR_UNREACHABLE, "partition %d of %s was not read in time",
                       (int)partition, rd_kafka_topic_name(topic));
    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        *found = message->offset == (int64_t)offset;
        if (*found)
            buffer_append(out, message->payload, message->len);
        if (out->failed)
            rc = err_set(err, ERR_TOO_LARGE, "the record at offset %" PRIu64 " has %zu bytes",
                         offset, message->len);
        break;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: break;
    default:
        rc = err_set(err, ERR_STATE, "partition %d of %s cannot be read: %s", (int)partition,
                     rd_kafka_topic_name(topic), rd_kafka_message_errstr(message));
    }
    rd_kafka_message_destroy(message);
    return rc;
}

static part_t *part_of(kafka_consumer_t *self, uint16_t number)
{
    switch (kafka_topic_of(number)) {
    case KAFKA_CONTROL: return &self->parts[self->part_count - 2];
    case KAFKA_LIVENESS: return &self->parts[self->part_count - 1];
    default: return number < self->part_count - 2 ? &self->parts[number] : NULL;
    }
}

static void stop(kafka_consumer_t *self, part_t *part)
{
    if (rd_kafka_consume_stop(self->topics[kafka_topic_of(part->number)],
                              kafka_partition_of(part->number)) != 0)
        log_warn("kafka: partition %d of %s did not stop: %s",
                 (int)kafka_partition_of(part->number),
                 rd_kafka_topic_name(self->topics[kafka_topic_of(part->number)]),
                 rd_kafka_err2str(rd_kafka_last_error()));
    drop_queued(part);
}

/* Librdkafka keeps what it fetched until somebody asks, and then drops what is outdated. */
static void drop_queued(const part_t *part)
{
    rd_kafka_message_t *messages[TAKE_MAX];
    ssize_t n;

    do {
        n = rd_kafka_consume_batch_queue(part->queue, 0, messages, TAKE_MAX);
        for (ssize_t i = 0; i < n; i++)
            rd_kafka_message_destroy(messages[i]);
    } while (n > 0);
}

/* Takes some messages of one partition from librdkafka; false: there are none, or there is no room. */
static bool take(kafka_consumer_t *self)
{
    rd_kafka_message_t *messages[TAKE_MAX];
    size_t room = HELD_MAX - self->count;

    if (room == 0 || self->held_bytes >= HELD_BYTES_MAX) {
        self->cut = true;
        return false;
    }
    /* Before the marks are looked at: who sets one after that writes the wakeup. */
    atomic_store(&self->woken, false);
    (void)rd_kafka_poll(self->client, 0);
    for (size_t i = 0; i < self->part_count; i++) {
        size_t at = (self->turn + i) % self->part_count;
        part_t *part = &self->parts[at];
        ssize_t n;

        if (!atomic_exchange(&part->ready, false) || part->queue == NULL)
            continue;
        n = rd_kafka_consume_batch_queue(part->queue, 0, messages,
                                         room < TAKE_MAX ? room : TAKE_MAX);
        if (n <= 0)
            continue;
        atomic_store(&part->ready, true); /* no mark is set while a queue is not empty */
        for (ssize_t k = 0; k < n; k++) {
            self->kept[self->count++] = (kept_t){messages[k], part, part->generation};
            self->held_bytes += messages[k]->len;
        }
        self->turn = at + 1;
        kafka_heard(self->figures, kafka_now_us());
        return true;
    }
    return false;
}

/* Whether a message is to be returned, and as what. */
static bool present(kafka_consumer_t *self, const kept_t *kept, journal_record_t *out)
{
    const rd_kafka_message_t *message = kept->message;
    rd_kafka_timestamp_type_t type;
    part_t *part = kept->part;

    if (kept->generation != part->generation || !part->followed || part->broken)
        return false;
    *out = (journal_record_t){.partition = part->number, .offset = (uint64_t)message->offset};
    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        part->known = true;
        part->doubt_since_us = 0;
        if (message->offset < 0 || (uint64_t)message->offset < part->next)
            return false;
        part->next = (uint64_t)message->offset + 1;
        /* An empty record is one that somebody else wrote; it must not look like an error. */
        out->bytes = message->payload != NULL ? message->payload : (const uint8_t *)"";
        out->n = message->len;
        out->log_time_us = rd_kafka_message_timestamp(message, &type) * 1000;
        atomic_fetch_add(&self->figures->fetched, 1);
        return true;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        part->known = true;
        part->doubt_since_us = 0;
        return false;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: doubt(self, part, message); return false;
    default:
        part->broken = true;
        out->offset = part->next;
        out->why = rd_kafka_message_errstr(message);
        return true;
    }
}

/* The partition is stopped at an offset that its broker does not have. */
static void doubt(kafka_consumer_t *self, part_t *part, const rd_kafka_message_t *message)
{
    int64_t now_us = kafka_now_us();

    /* One of another offset is a late answer to an earlier follow: it has stopped this one as well, but says nothing
     * of what this one wants. */
    if (part->doubt_since_us == 0 && message->offset >= 0 &&
        (uint64_t)message->offset == part->next) {
        part->doubt_since_us = now_us;
        log_warn("kafka: partition %d of %s: %s", (int)kafka_partition_of(part->number),
                 rd_kafka_topic_name(self->topics[kafka_topic_of(part->number)]),
                 rd_kafka_message_errstr(message));
    }
    part->broken = true;
    part->tell_at_us = now_us + DOUBT_WAIT_US;
    self->untold++;
}

static bool tell_doubt(kafka_consumer_t *self, journal_record_t *out)
{
    int64_t now_us = self->untold > 0 ? kafka_now_us() : 0;

    for (size_t i = 0; self->untold > 0 && i < self->part_count; i++) {
        part_t *part = &self->parts[i];

        if (part->tell_at_us == 0 || part->tell_at_us > now_us)
            continue;
        part->tell_at_us = 0;
        self->untold--;
        *out = (journal_record_t){
            .partition = part->number,
            .offset = part->next,
            .lost = part->doubt_since_us != 0 && now_us - part->doubt_since_us >= DOUBT_MAX_US,
        };
        out->why = out->lost ? "the log does not hold the offset" : "the offset was not found";
        return true;
    }
    return false;
}

static void drop(kafka_consumer_t *self, kept_t *kept)
{
    if (kept->message == NULL)
        return;
    self->held_bytes -= kept->message->len;
    rd_kafka_message_destroy(kept->message);
    kept->message = NULL;
}

static void wake(kafka_consumer_t *self)
{
    static const uint64_t one = 1;

    if (atomic_exchange(&self->woken, true) || self->config->wakeup < 0)
        return;
    /* It fails only when the counter is at its end, and then it is written anyway. */
    if (write(self->config->wakeup, &one, sizeof one) != (ssize_t)sizeof one)
        atomic_store(&self->woken, false);
}

/* From librdkafka's threads, with the queue locked. */
static void on_ready(rd_kafka_t *client, void *state)
{
    part_t *part = state;

    if (part == NULL) {
        wake(rd_kafka_opaque(client));
        return;
    }
    atomic_store(&part->ready, true);
    wake(part->consumer);
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *state)
{
    kafka_consumer_t *self = state;

    (void)client;
    (void)reason; /* librdkafka has logged it */
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        kafka_all_down(self->figures);
}
