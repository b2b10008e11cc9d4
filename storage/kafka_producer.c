/* kafka_producer.c - one idempotent producer for all partitions, replaced when it fails for good
 *
 * Each append has a small record here, in a list in the order they were made. The list, not librdkafka, is what
 * "exactly once" rests on: when a producer is given up, what stands in it is what has not been reported.
 */
#include "storage/kafka_producer.h"

#include "protocol/log.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#define REASON_BYTES       512
#define QUIET_US           (INT64_C(10) * 1000000) /* a producer that lived so long had a good start */
#define RENEW_BACKOFF_US   (INT64_C(100) * 1000)
#define RENEW_BACKOFF_MAX  (INT64_C(5) * 1000000)
#define UNDELIVERED_SAY_US (INT64_C(1) * 1000000)

typedef struct append {
    struct append *before;
    struct append *after;
    uint16_t number;
    uint64_t epoch;
    uint64_t seq;
    int64_t at_us;
} append_t;

typedef struct {
    append_t *first;
    append_t *last;
} append_list_t;

struct kafka_producer {
    const journal_kafka_config_t *config;   /* borrowed */
    kafka_figures_t *figures;               /* borrowed */
    rd_kafka_t *client;                     /* owned; NULL between two of them */
    rd_kafka_queue_t *queue;                /* owned; reports and errors */
    rd_kafka_topic_t *topics[KAFKA_TOPICS]; /* owned */
    rd_kafka_event_t *event;                /* owned; its reports are being handed out */
    append_list_t outstanding;              /* owned; the client's */
    append_list_t given_up;                 /* owned; of producers that are gone */
    bool broken;                            /* the client takes nothing any more */
    int64_t made_at_us;
    int64_t renew_at_us;
    int64_t backoff_us;
    int64_t said_at_us; /* when a report that says no was last logged */
    uint64_t unsaid;    /* such reports since */
};

static errcode_t open_client(kafka_producer_t *self, err_t *err);
static void close_client(kafka_producer_t *self);
static void give_up(kafka_producer_t *self, int64_t now_us);
static bool ready(kafka_producer_t *self, int64_t now_us);
static void take_event(kafka_producer_t *self, rd_kafka_event_t *event);
static void answer(kafka_producer_t *self, const rd_kafka_message_t *message,
                   journal_report_t *out);
static void say_undelivered(kafka_producer_t *self, const append_t *append,
                            const rd_kafka_message_t *message, int64_t now_us);
static void append_link(append_list_t *list, append_t *append);
static void append_unlink(append_list_t *list, append_t *append);
static void append_list_free(append_list_t *list);
static void note_oldest(kafka_producer_t *self);

errcode_t kafka_producer_new(kafka_producer_t **self_p, const journal_kafka_config_t *config,
                             kafka_figures_t *figures, err_t *err)
{
    kafka_producer_t *self = memory_zalloc(sizeof *self);
    errcode_t rc;

    self->config = config;
    self->figures = figures;
    rc = open_client(self, err);
    if (rc != ERR_NONE)
        kafka_producer_destroy(&self);
    *self_p = self;
    return rc;
}

void kafka_producer_destroy(kafka_producer_t **self_p)
{
    kafka_producer_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    close_client(self);
    append_list_free(&self->outstanding);
    append_list_free(&self->given_up);
    free(self);
}

errcode_t kafka_producer_append(kafka_producer_t *self, uint16_t number, uint64_t epoch,
                                uint64_t seq, const void *head, size_t head_bytes, const void *tail,
                                size_t tail_bytes, err_t *err)
{
    int64_t now_us = kafka_now_us();
    append_t *append;
    uint8_t *payload;
    rd_kafka_resp_err_t code;

    if (head_bytes > RECORD_BYTES_MAX || tail_bytes > RECORD_BYTES_MAX - head_bytes)
        return err_set(err, ERR_TOO_LARGE, "a record of %zu bytes is above the limit of %d",
                       head_bytes + tail_bytes, RECORD_BYTES_MAX);
    if (!ready(self, now_us))
        return err_set(err, ERR_OVERLOADED, "the connection to Kafka is being made anew");
    append = memory_alloc(sizeof *append);
    *append = (append_t){.number = number, .epoch = epoch, .seq = seq, .at_us = now_us};
    payload = memory_alloc(head_bytes + tail_bytes);
    memcpy(payload, head, head_bytes);
    if (tail_bytes > 0)
        memcpy(payload + head_bytes, tail, tail_bytes);
    /* With MSG_F_FREE the payload is librdkafka's once it took it. */
    if (rd_kafka_produce(self->topics[kafka_topic_of(number)], kafka_partition_of(number),
                         RD_KAFKA_MSG_F_FREE, payload, head_bytes + tail_bytes, NULL, 0,
                         append) == 0) {
        append_link(&self->outstanding, append);
        note_oldest(self);
        atomic_fetch_add(&self->figures->produced, 1);
        return ERR_NONE;
    }
    code = rd_kafka_last_error();
    free(payload);
    free(append);
    if (code == RD_KAFKA_RESP_ERR__FATAL)
        self->broken = true; /* replaced by the next report() */
    return err_set(err, ERR_OVERLOADED, "Kafka's producer takes no record now: %s",
                   rd_kafka_err2str(code));
}

bool kafka_producer_report(kafka_producer_t *self, journal_report_t *out)
{
    int64_t now_us = kafka_now_us();

    for (;;) {
        const rd_kafka_message_t *message = NULL;
        append_t *append = self->given_up.first;
        rd_kafka_event_t *event;

        if (append != NULL) {
            *out =
                (journal_report_t){append->number, append->epoch, append->seq, false, UINT64_MAX};
            append_unlink(&self->given_up, append);
            free(append);
            return true;
        }
        if (self->event != NULL) {
            message = rd_kafka_event_message_next(self->event);
            if (message != NULL) {
                answer(self, message, out);
                return true;
            }
            rd_kafka_event_destroy(self->event);
            self->event = NULL;
        }
        if (!ready(self, now_us))
            return false;
        event = rd_kafka_queue_poll(self->queue, 0);
        if (event != NULL)
            take_event(self, event);
        else if (self->broken)
            give_up(self, now_us); /* what it did report has been taken */
        else
            return false;
    }
}

void kafka_producer_break(kafka_producer_t *self)
{
    if (self->client != NULL)
        (void)rd_kafka_test_fatal_error(self->client,
                                        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test");
}

static errcode_t open_client(kafka_producer_t *self, err_t *err)
{
    static const uint64_t one = 1;
    char name[KAFKA_TOPIC_NAME_BYTES];
    errcode_t rc = kafka_client_new(&self->client, KAFKA_PRODUCER, self->config, NULL, NULL, err);

    if (rc != ERR_NONE)
        return rc;
    for (kafka_topic_t topic = KAFKA_LOG; topic < KAFKA_TOPICS; topic++) {
        kafka_topic_name(name, self->config->prefix, topic);
        self->topics[topic] = rd_kafka_topic_new(self->client, name, NULL);
        if (self->topics[topic] == NULL) {
            rc = err_set(err, ERR_INVALID, "librdkafka cannot write to a topic %s: %s", name,
                         rd_kafka_err2str(rd_kafka_last_error()));
            close_client(self);
            return rc;
        }
    }
    self->queue = rd_kafka_queue_get_main(self->client);
    if (self->config->wakeup >= 0)
        rd_kafka_queue_io_event_enable(self->queue, self->config->wakeup, &one, sizeof one);
    self->broken = false;
    self->made_at_us = kafka_now_us();
    atomic_fetch_add(&self->figures->producers, 1);
    return ERR_NONE;
}

static void close_client(kafka_producer_t *self)
{
    if (self->event != NULL)
        rd_kafka_event_destroy(self->event);
    self->event = NULL;
    if (self->queue != NULL) {
        rd_kafka_queue_io_event_enable(self->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(self->queue);
    }
    self->queue = NULL;
    for (size_t i = 0; i < KAFKA_TOPICS; i++) {
        if (self->topics[i] != NULL)
            rd_kafka_topic_destroy(self->topics[i]);
        self->topics[i] = NULL;
    }
    if (self->client != NULL)
        rd_kafka_destroy(self->client);
    self->client = NULL;
}

/* Ends a producer that failed for good. */
static void give_up(kafka_producer_t *self, int64_t now_us)
{
    uint64_t n = 0;

    close_client(self);
    while (self->outstanding.first != NULL) {
        append_t *append = self->outstanding.first;

        append_unlink(&self->outstanding, append);
        append_link(&self->given_up, append);
        n++;
    }
    atomic_fetch_add(&self->figures->undelivered, n);
    note_oldest(self);
    if (now_us - self->made_at_us > QUIET_US)
        self->backoff_us = 0;
    self->renew_at_us = now_us + self->backoff_us;
    self->backoff_us = self->backoff_us == 0 ? RENEW_BACKOFF_US : self->backoff_us * 2;
    if (self->backoff_us > RENEW_BACKOFF_MAX)
        self->backoff_us = RENEW_BACKOFF_MAX;
    log_warn("kafka: the producer is replaced; %" PRIu64 " records it had are not known to be in "
             "the log",
             n);
}

/* Whether there is a client; makes one when it is time to. */
static bool ready(kafka_producer_t *self, int64_t now_us)
{
    err_t err;

    if (self->client != NULL)
        return true;
    if (now_us < self->renew_at_us)
        return false;
    if (open_client(self, &err) == ERR_NONE)
        return true;
    log_error("kafka: %s", err.text);
    self->renew_at_us = now_us + RENEW_BACKOFF_MAX;
    return false;
}

static void take_event(kafka_producer_t *self, rd_kafka_event_t *event)
{
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR: self->event = event; return;
    case RD_KAFKA_EVENT_ERROR:
        if (rd_kafka_event_error_is_fatal(event))
            self->broken = true;
        else if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
            kafka_all_down(self->figures);
        break; /* librdkafka has logged it */
    default: break;
    }
    rd_kafka_event_destroy(event);
}

static void answer(kafka_producer_t *self, const rd_kafka_message_t *message, journal_report_t *out)
{
    append_t *append = message->_private;
    int64_t now_us = kafka_now_us();
    bool delivered = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;

    /* The offset is not told of a batch that the broker had already. */
    *out = (journal_report_t){append->number, append->epoch, append->seq, delivered,
                              delivered && message->offset >= 0 ? (uint64_t)message->offset
                                                                : UINT64_MAX};
    if (delivered) {
        kafka_heard(self->figures, now_us);
        atomic_store(&self->figures->acknowledge_us, now_us - append->at_us);
        atomic_fetch_add(&self->figures->delivered, 1);
    } else {
        atomic_fetch_add(&self->figures->undelivered, 1);
        say_undelivered(self, append, message, now_us);
    }
    append_unlink(&self->outstanding, append);
    note_oldest(self);
    free(append);
}

/* One line a second: a whole queue may time out at once. */
static void say_undelivered(kafka_producer_t *self, const append_t *append,
                            const rd_kafka_message_t *message, int64_t now_us)
{
    char name[KAFKA_TOPIC_NAME_BYTES];

    self->unsaid++;
    if (now_us - self->said_at_us < UNDELIVERED_SAY_US)
        return;
    kafka_topic_name(name, self->config->prefix, kafka_topic_of(append->number));
    log_warn("kafka: %" PRIu64 " records were not acknowledged, the last of them for partition "
             "%d of %s: %s",
             self->unsaid, (int)kafka_partition_of(append->number), name,
             rd_kafka_err2str(message->err));
    self->said_at_us = now_us;
    self->unsaid = 0;
}

static void append_link(append_list_t *list, append_t *append)
{
    append->before = list->last;
    append->after = NULL;
    if (list->last != NULL)
        list->last->after = append;
    else
        list->first = append;
    list->last = append;
}

static void append_unlink(append_list_t *list, append_t *append)
{
    if (append->before != NULL)
        append->before->after = append->after;
    else
        list->first = append->after;
    if (append->after != NULL)
        append->after->before = append->before;
    else
        list->last = append->before;
}

static void append_list_free(append_list_t *list)
{
    append_t *after;

    for (append_t *append = list->first; append != NULL; append = after) {
        after = append->after;
        free(append);
    }
    *list = (append_list_t){NULL, NULL};
}

static void note_oldest(kafka_producer_t *self)
{
    const append_t *oldest = self->outstanding.first;

    atomic_store(&self->figures->oldest_at_us, oldest != NULL ? oldest->at_us : 0);
    atomic_store(&self->figures->outstanding, atomic_load(&self->figures->produced) -
                                                  atomic_load(&self->figures->delivered) -
                                                  atomic_load(&self->figures->undelivered));
}
