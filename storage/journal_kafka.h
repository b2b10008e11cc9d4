/* journal_kafka.h - the shared log on Apache Kafka: one producer and one consumer for all partitions of a node
 *
 * Contract   A maker of journal.h. Partition p is partition p of topic PREFIX.log, the channels are PREFIX.control and
 *            PREFIX.liveness. journal_kafka_check() compares the topics with the contract (protocol section 8), and
 *            makes those that are missing where it is told to. Librdkafka's settings and why: docs/kafka.md.
 *            A producer that failed for good is made anew by itself; every append it still had is reported as not
 *            delivered. While Kafka is away, append takes what the bounded queue holds, then says ERR_OVERLOADED;
 *            journal_kafka_reachable() tells.
 *            `lost` is said only after the offset was not found for ten seconds, followed again and again: a broker
 *            that comes back from a pause answers for a moment as the leader it was, with a shorter log. Until then
 *            reading breaks off each 100 ms, when journal_next is called: call it at least that often.
 * Threads    As journal.h; journal_kafka_metrics and journal_kafka_reachable: any.
 * Ownership  The configuration's texts are copied. The store is borrowed.
 * Units      Microseconds, bytes.
 * Errors     ERR_UNREACHABLE: no broker answers. ERR_STATE: a topic or broker does not keep the contract; the sentence
 *            says what to change. ERR_INVALID: a setting that librdkafka does not take.
 */
#ifndef FEALTY_JOURNAL_KAFKA_H
#define FEALTY_JOURNAL_KAFKA_H

#include "storage/journal.h"

typedef struct {
    const char *bootstrap; /* HOST:PORT,... */
    const char *prefix;    /* of the topics' names; "fealty" */
    const char *node;      /* this node's name, for the brokers' logs */
    const char *settings;  /* more of librdkafka's (TLS, SASL): KEY=VALUE, ...; may be NULL */
    uint16_t partitions;   /* of customers; PREFIX.log has one more. 0: as the topic has */
    bool create_topics;    /* make the topics that are missing */
    bool single_broker;    /* replication factor 1 will do */
    int wakeup;            /* eventfd, written when there is something to take; -1: none */
    store_t *store;
} journal_kafka_config_t;

/* Asks Kafka, at most timeout_us. *partitions gets the customers' partitions that the log topic has. */
errcode_t journal_kafka_check(const journal_kafka_config_t *config, int64_t timeout_us,
                              uint16_t *partitions, err_t *err);
errcode_t journal_kafka_new(journal_t **self_p, const journal_kafka_config_t *config, err_t *err);

/* false once Kafka has neither acknowledged an append nor answered a fetch for a second while there was one to
 * answer. */
bool journal_kafka_reachable(const journal_t *self);
/* Asks Kafka, on any thread, where the log of a partition ends: the offset behind its last record. */
errcode_t journal_kafka_end(const journal_t *self, uint16_t partition, uint64_t *end, err_t *err);
/* Prometheus lines. */
void journal_kafka_metrics(void *journal, buffer_t *out);
/* For tests: the producer fails for good now, as librdkafka's own error would make it. */
void journal_kafka_break_producer(journal_t *self);

#endif
