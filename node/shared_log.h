/* shared_log.h - a node's part in a cluster on Kafka: journal, governor, and what they tell the router
 *
 * Contract   shared_log_open() waits until Kafka answers and its topics keep the contract; `stop_wanted` ends the
 *            waiting. Then its governor is given to the shard, its hooks to the router. Order of a start:
 *            shared_log_open, router_open with shared_log_router(), shards_new with shared_log_governor() and
 *            shared_log_journal(), shared_log_attach, shards_start, shared_log_wait_joined. Order of a stop: shards_stop,
 *            shared_log_stop, router_stop, shards_destroy, router_destroy, shared_log_close.
 * Threads    One makes and ends it; the hooks run on threads of the shard and the router.
 * Ownership  Everything in the setup is borrowed until shared_log_close.
 * Units      Microseconds.
 * Errors     ERR_STATE: topics or data do not fit, with the way out; ERR_INVALID: settings.
 */
#ifndef FEALTY_SHARED_LOG_H
#define FEALTY_SHARED_LOG_H

#include "cluster/governor.h"
#include "cluster/router_setup.h"
#include "cluster/snapshot_service.h"
#include "node/config.h"
#include "node/shards.h"

typedef struct shared_log shared_log_t;

typedef struct {
    const config_t *config;
    store_t *store;
    catalogue_t *catalogue;
    /* Who is logged in, after the catalogue's partition was filled; as in shard_hooks_t. */
    void (*session)(void *state, const hash_t *token, const void *value, size_t n);
    void *session_state;
    hash_t incarnation;
    const random_source_t *random;
    bool (*stop_wanted)(void *state);
    void *state;
} shared_log_setup_t;

errcode_t shared_log_open(shared_log_t **self_p, const shared_log_setup_t *setup, err_t *err);
/* No hook is called any more from threads of its own. */
void shared_log_stop(shared_log_t *self);
void shared_log_close(shared_log_t **self_p);

const router_shared_t *shared_log_router(shared_log_t *self);
const shard_governor_t *shared_log_governor(shared_log_t *self);
journal_t *shared_log_journal(shared_log_t *self);
uint16_t shared_log_partitions(const shared_log_t *self);
/* Where this node gives snapshots; 0: nowhere. */
uint16_t shared_log_bulk_port(const shared_log_t *self);
void shared_log_attach(shared_log_t *self, router_t *router, shards_t *shards);
/* Until this process is in the view and somebody owns the definitions. */
errcode_t shared_log_wait_joined(shared_log_t *self, err_t *err);
bool shared_log_owns(const shared_log_t *self, uint16_t partition);
/* An operator's words: "status", "drain|admit|forget MEMBER", "partition status", "partition resume|rebuild NUMBER". *out
 * gets lines to show. */
errcode_t shared_log_obey(shared_log_t *self, const char *words, buffer_t *out, err_t *err);
void shared_log_status(void *shared_log, buffer_t *out); /* JSON of GET /cluster/ */
void shared_log_metrics(shared_log_t *self, buffer_t *out);

#endif
