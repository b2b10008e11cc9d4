/* offline.h - the books of a stopped node, opened by a tool for changes
 *
 * Contract   The same road as in a running node: a command goes to its partition's thread, becomes a record, and is
 *            synced before the answer. Only without HTTP and without other nodes: messages to partitions of other nodes
 *            stay in the outbox until the node runs. An empty or missing directory becomes a single node's books.
 * Threads    One caller; offline_command waits for its answer.
 * Ownership  offline_close frees all. Lent pointers live until then.
 * Units      Nothing to say.
 * Errors     ERR_STATE (a node runs on this directory, ...), ERR_UNREACHABLE when another node owns the partition.
 */
#ifndef FEALTY_OFFLINE_H
#define FEALTY_OFFLINE_H

#include "node/shards.h"

typedef struct offline offline_t;

errcode_t offline_open(offline_t **self_p, const char *data, bool create, err_t *err);
/* The same, made when missing, with rounds of thousands of commands: throughput before latency. */
errcode_t offline_open_for_load(offline_t **self_p, const char *data, err_t *err);
void offline_close(offline_t **self_p);

store_t *offline_store(offline_t *self);
catalogue_t *offline_catalogue(offline_t *self);
const birth_t *offline_birth(const offline_t *self);
shards_t *offline_shards(offline_t *self);

/* Sends the command and waits; *result gets the encoded result_t. A refusal is a result, not an error. */
errcode_t offline_command(offline_t *self, uint16_t partition, command_t *command, buffer_t *result,
                          err_t *err);

#endif
