/* kafka_contract.h - private: what the journal asks of its topics (protocol section 8), as a table
 *
 * Contract   The same table makes topics and checks them. Every violation becomes one sentence that names topic,
 *            setting, what was found, what is wanted, and what changes it.
 * Threads    Pure.
 * Ownership  Nothing is kept; a sentence is borrowed during the call.
 * Units      As Kafka's settings: milliseconds, bytes.
 * Errors     None.
 */
#ifndef FEALTY_KAFKA_CONTRACT_H
#define FEALTY_KAFKA_CONTRACT_H

#include "storage/kafka_client.h"

#define KAFKA_CONTRACT_SETTINGS_MAX 16

typedef struct {
    const char *name;
    const char *value;
} kafka_setting_t;

typedef struct {
    kafka_topic_t topic;
    const char *name;
    int partitions;
    int replicas; /* of the partition that has the fewest */
    const kafka_setting_t *settings;
    size_t setting_count;
} kafka_topic_facts_t;

typedef void (*kafka_violation_fn)(void *state, const char *sentence);

/* As the configuration says: how many partitions and replicas a topic is made with, and its settings. */
int kafka_contract_partitions(const journal_kafka_config_t *config, kafka_topic_t topic);
int kafka_contract_replicas(const journal_kafka_config_t *config);
size_t kafka_contract_settings(const journal_kafka_config_t *config, kafka_topic_t topic,
                               kafka_setting_t out[KAFKA_CONTRACT_SETTINGS_MAX]);

void kafka_contract_check(const journal_kafka_config_t *config, const kafka_topic_facts_t *facts,
                          kafka_violation_fn violation, void *state);
void kafka_contract_missing(const journal_kafka_config_t *config, kafka_topic_t topic,
                            kafka_violation_fn violation, void *state);

#endif
