/* kafka_producer.h - private: appends to Kafka, and what became of each
 *
 * Contract   Every append that was taken is reported exactly once. A producer that failed for good is replaced by a
 *            new one; what it still had is reported as not delivered.
 * Threads    One, the journal's.
 * Ownership  The configuration and the figures are borrowed and must outlive it. append copies.
 * Units      Microseconds, bytes.
 * Errors     ERR_TOO_LARGE: never. ERR_OVERLOADED: try later.
 */
#ifndef FEALTY_KAFKA_PRODUCER_H
#define FEALTY_KAFKA_PRODUCER_H

#include "storage/kafka_client.h"

typedef struct kafka_producer kafka_producer_t;

errcode_t kafka_producer_new(kafka_producer_t **self_p, const journal_kafka_config_t *config,
                             kafka_figures_t *figures, err_t *err);
void kafka_producer_destroy(kafka_producer_t **self_p);

/* `epoch` and `seq` come back in the report. `tail` may be NULL when tail_bytes is 0. */
errcode_t kafka_producer_append(kafka_producer_t *self, uint16_t number, uint64_t epoch,
                                uint64_t seq, const void *head, size_t head_bytes, const void *tail,
                                size_t tail_bytes, err_t *err);
bool kafka_producer_report(kafka_producer_t *self, journal_report_t *out);
/* As if librdkafka had found an error that it cannot get over. */
void kafka_producer_break(kafka_producer_t *self);

#endif
