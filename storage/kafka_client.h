/* kafka_client.h - private: clients of librdkafka with the journal's settings, and where a partition lies in Kafka
 *
 * Contract   Every client is made here, so settings stand in one table (kafka_client.c; docs/kafka.md says why). An
 *            operator's settings come on top; those that the safety of the log rests on are refused.
 * Threads    kafka_figures_t: its owner writes, any thread reads. on_error: the thread that polls the client.
 * Ownership  The caller destroys what kafka_client_new made. The configuration is read only during the call.
 * Units      Microseconds since boot.
 * Errors     ERR_INVALID: prefix or settings that cannot be used. A setting's value is never repeated: it may be a
 *            password.
 */
#ifndef FEALTY_KAFKA_CLIENT_H
#define FEALTY_KAFKA_CLIENT_H

#include "storage/journal_kafka.h"

#include <stdatomic.h>

struct rd_kafka_s; /* rd_kafka_t */

typedef enum { KAFKA_LOG, KAFKA_CONTROL, KAFKA_LIVENESS, KAFKA_TOPICS } kafka_topic_t;

#define KAFKA_TOPIC_NAME_BYTES 256

typedef enum { KAFKA_PRODUCER, KAFKA_CONSUMER, KAFKA_TOOL } kafka_role_t;

/* What producer and consumer tell of themselves. */
typedef struct {
    atomic_uint_fast64_t produced, delivered, undelivered, outstanding, fetched, producers;
    atomic_int_fast64_t acknowledge_us; /* of the newest record that was acknowledged */
    atomic_int_fast64_t oldest_at_us;   /* when the oldest unanswered append was made; 0: none */
    atomic_int_fast64_t heard_at_us;    /* when a broker last acknowledged or delivered something */
    atomic_bool all_down;               /* librdkafka says so, and nothing was heard since */
} kafka_figures_t;

int64_t kafka_now_us(void);
void kafka_heard(kafka_figures_t *figures, int64_t now_us);
void kafka_all_down(kafka_figures_t *figures);

static inline kafka_topic_t kafka_topic_of(uint16_t number)
{
    return number == JOURNAL_CONTROL    ? KAFKA_CONTROL
           : number == JOURNAL_LIVENESS ? KAFKA_LIVENESS
                                        : KAFKA_LOG;
}
static inline int32_t kafka_partition_of(uint16_t number)
{
    return kafka_topic_of(number) == KAFKA_LOG ? number : 0;
}
void kafka_topic_name(char out[KAFKA_TOPIC_NAME_BYTES], const char *prefix, kafka_topic_t topic);

typedef void (*kafka_error_fn)(struct rd_kafka_s *client, int code, const char *reason,
                               void *state);

/* A producer's errors and reports come as events of its main queue, on_error is not called for it. */
errcode_t kafka_client_new(struct rd_kafka_s **client, kafka_role_t role,
                           const journal_kafka_config_t *config, kafka_error_fn on_error,
                           void *state, err_t *err);

/* How many partitions PREFIX.log has, from the brokers. 0: there is no such topic. */
errcode_t kafka_log_partitions(const journal_kafka_config_t *config, int64_t timeout_us, int *count,
                               err_t *err);

#endif
