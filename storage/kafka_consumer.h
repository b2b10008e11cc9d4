/* kafka_consumer.h - private: reading partitions of Kafka, each from an offset that is said
 *
 * Contract   As journal_follow and journal_next say. Each followed partition has a queue of its own in librdkafka and
 *            they are taken from in turn: a follower that reads a long log does not stand in the way of a partition
 *            that waits for its own records. What is held for the caller is bounded; next then says false, and
 *            release() writes the wakeup again.
 * Threads    One, the journal's. Librdkafka's threads only set a mark per partition and write the wakeup.
 * Ownership  The configuration and the figures are borrowed and must outlive it. Records are borrowed until release().
 * Units      Bytes, microseconds.
 * Errors     ERR_INVALID: no such partition or offset. ERR_STATE: librdkafka refuses.
 */
#ifndef FEALTY_KAFKA_CONSUMER_H
#define FEALTY_KAFKA_CONSUMER_H

#include "storage/kafka_client.h"

typedef struct kafka_consumer kafka_consumer_t;

/* config->partitions must be set. */
errcode_t kafka_consumer_new(kafka_consumer_t **self_p, const journal_kafka_config_t *config,
                             kafka_figures_t *figures, err_t *err);
void kafka_consumer_destroy(kafka_consumer_t **self_p);

errcode_t kafka_consumer_follow(kafka_consumer_t *self, uint16_t number, uint64_t offset,
                                err_t *err);
void kafka_consumer_unfollow(kafka_consumer_t *self, uint16_t number);
bool kafka_consumer_next(kafka_consumer_t *self, journal_record_t *out);
/* The records that next returned are not needed any more. */
void kafka_consumer_release(kafka_consumer_t *self);
uint64_t kafka_consumer_behind(kafka_consumer_t *self, uint16_t number);

/* Offset behind the last record, as the broker says now. Any thread. */
errcode_t kafka_consumer_end(const journal_kafka_config_t *config, uint16_t number,
                             int64_t timeout_us, uint64_t *end, err_t *err);
/* One record, by a consumer made for it; waits at most timeout_us. */
errcode_t kafka_consumer_read_once(const journal_kafka_config_t *config, uint16_t number,
                                   uint64_t offset, int64_t timeout_us, buffer_t *out, bool *found,
                                   err_t *err);

#endif
