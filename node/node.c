/* node.c - the wiring: what is made, in which order, and in which order it is taken down */
#include "node/node.h"

#include "actors/rows.h"
#include "cluster/identity.h"
#include "cluster/router_setup.h"
#include "http/server.h"
#include "node/backup.h"
#include "node/content.h"
#include "node/control.h"
#include "node/heartbeat.h"
#include "node/shared_log.h"
#include "node/tools.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BIRTH_POLL_US    INT64_C(200000)
#define BIRTH_TELL_EVERY 25 /* polls */
#define HTTP_STOP_US     INT64_C(2000000)
#define SHARDS_STOP_US   INT64_C(2000000)
#define DAY_S            86400.0

struct node {
    config_t config;
    steady_clock_t clock;
    hash_t incarnation;
    store_t *store; /* owned, like all below */
    catalogue_t *catalogue;
    shared_log_t *shared; /* NULL: the journal is embedded */
    router_t *router;
    shards_t *shards;
    heartbeat_t *heartbeat;
    control_t *control;
    _Atomic(http_server_t *) http; /* read by partition threads: the session hook */
    bool metrics_registered;
    bool new_books;
    first_start_t first_start;
};

static errcode_t open_books(node_t *self, err_t *err);
static bool on_kafka(const node_t *self);
static errcode_t open_shared_log(node_t *self, bool (*stop_wanted)(void *), void *state,
                                 err_t *err);
static errcode_t open_router(node_t *self, bool (*stop_wanted)(void *), void *state, err_t *err);
static errcode_t start_shards(node_t *self, err_t *err);
static void apply_session(void *state, const hash_t *token, const void *value, size_t n);
static bool owns_definitions(const node_t *self);
static errcode_t start_http(node_t *self, err_t *err);
static errcode_t start_control(node_t *self, err_t *err);
static void write_metrics(void *state, buffer_t *out);

errcode_t node_start(node_t **self_p, const config_t *config, bool (*stop_wanted)(void *state),
                     void *state, err_t *err)
{
    node_t *self = memory_zalloc(sizeof *self);
    errcode_t rc;

    *self_p = self;
    self->config = *config;
    steady_clock_init(&self->clock, clock_system());
    random_fill(random_system(), &self->incarnation, sizeof self->incarnation);
    rc = open_books(self, err);
    if (rc == ERR_NONE && on_kafka(self))
        rc = open_shared_log(self, stop_wanted, state, err);
    if (rc == ERR_NONE)
        rc = open_router(self, stop_wanted, state, err);
    if (rc == ERR_NONE)
        rc = start_shards(self, err);
    if (rc == ERR_NONE)
        rc = first_start_admin(self->router, owns_definitions(self), &self->first_start, err);
    if (rc == ERR_NONE)
        rc = start_http(self, err);
    if (rc == ERR_NONE && self->control == NULL)
        rc = start_control(self, err);
    if (rc != ERR_NONE)
        node_stop(self_p);
    return rc;
}

void node_stop(node_t **self_p)
{
    node_t *self = *self_p;

    if (self == NULL)
        return;
    control_stop(&self->control);
    http_server_t *http = atomic_load(&self->http);
    if (http != NULL)
        http_server_quiet(http, HTTP_STOP_US);
    /* Whoever still waits does so for another node, or for the log: that must not keep what is here from its next owner. */
    if (self->shards != NULL)
        shards_stop(self->shards, SHARDS_STOP_US);
    if (self->shared != NULL)
        shared_log_stop(self->shared);
    heartbeat_stop(&self->heartbeat); /* writes how far the stopped partitions came */
    if (self->router != NULL)
        router_stop(self->router); /* answers whoever still waits */
    if (http != NULL)
        http_server_stop(http);
    if (self->metrics_registered)
        metrics_unregister(write_metrics, self);
    atomic_store(&self->http, NULL);
    http_server_destroy(&http);
    shards_destroy(&self->shards);
    router_destroy(&self->router);
    shared_log_close(&self->shared);
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
    free(self);
    *self_p = NULL;
}

const first_start_t *node_first_start(const node_t *self)
{
    return &self->first_start;
}

bool node_has_new_books(const node_t *self)
{
    return self->new_books;
}

int node_port(const node_t *self)
{
    return http_server_port(atomic_load(&self->http));
}

/* ---- start, step by step ---- */

static errcode_t open_books(node_t *self, err_t *err)
{
    store_config_t config;
    errcode_t rc;

    store_config_default(&config);
    config.directory = self->config.data;
    config.cache_bytes = (size_t)self->config.cache_mib << 20;
    config.memtable_bytes = (size_t)self->config.memtable_mib << 20;
    config.background_jobs = (int)self->config.background_jobs;
    config.create = true;
    config.accept_loss = self->config.accept_loss;
    config.refilled = on_kafka(self);
    rc = store_open(&self->store, &config, err);
    if (rc != ERR_NONE)
        return rc;
    if (!on_kafka(self)) {
        bool shared = false;
        rc = identity_present(self->store, &shared, err);
        if (rc == ERR_NONE && shared)
            rc = err_set(err, ERR_STATE,
                         "this data directory follows a log in Kafka: start it with --journal "
                         "kafka");
        if (rc != ERR_NONE)
            return rc;
    }
    self->catalogue = catalogue_new();
    rc = content_load(self->store, self->catalogue, err);
    self->new_books = catalogue_version(self->catalogue) == 0;
    return rc;
}

static bool on_kafka(const node_t *self)
{
    return strcmp(self->config.journal, "kafka") == 0;
}

static errcode_t open_shared_log(node_t *self, bool (*stop_wanted)(void *), void *state, err_t *err)
{
    const shared_log_setup_t setup = {.config = &self->config,
                                      .store = self->store,
                                      .catalogue = self->catalogue,
                                      .session = apply_session,
                                      .session_state = self,
                                      .incarnation = self->incarnation,
                                      .random = random_system(),
                                      .stop_wanted = stop_wanted,
                                      .state = state};

    if (self->config.cluster_listen[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "--journal kafka needs --cluster-listen HOST:PORT, where the other nodes "
                       "reach this one: it is its name in the cluster, also while it is alone");
    if (self->config.cluster_peers[0] != '\0')
        return err_set(err, ERR_INVALID,
                       "--cluster-peers is for the embedded journal: on Kafka the members are in "
                       "the log");
    return shared_log_open(&self->shared, &setup, err);
}

static bool owns_definitions(const node_t *self)
{
    return self->shared != NULL ? shared_log_owns(self->shared, shared_log_partitions(self->shared))
                                : self->shards->owns[self->shards->partitions];
}

static errcode_t open_router(node_t *self, bool (*stop_wanted)(void *), void *state, err_t *err)
{
    const router_config_t config = {
        .store = self->store,
        .catalogue = self->catalogue,
        .clock = &self->clock.clock,
        .random = random_system(),
        .incarnation = self->incarnation,
        .partitions = self->shared != NULL ? shared_log_partitions(self->shared)
                                           : (uint16_t)self->config.partitions,
        .shared = self->shared != NULL ? shared_log_router(self->shared) : NULL,
        .listen = self->config.cluster_listen,
        .peers = self->config.cluster_peers,
        .keys_directory = self->config.cluster_keys,
        .bulk_port = self->shared != NULL ? shared_log_bulk_port(self->shared) : 0,
    };
    errcode_t rc = router_open(&self->router, &config, err);

    if (rc == ERR_NONE)
        rc = router_start(self->router, err);
    for (unsigned polls = 0;
         rc == ERR_NONE && self->shared == NULL && !router_wait_birth(self->router, BIRTH_POLL_US);
         polls++) {
        if (stop_wanted(state))
            return err_set(err, ERR_UNREACHABLE,
                           "stopped while waiting for the other nodes of a first start");
        if (polls % BIRTH_TELL_EVERY == 0) {
            buffer_t why;

            buffer_init(&why, 64 * 1024);
            (void)router_ready(self->router, &why);
            log_info("first start of a cluster: waiting for all nodes: %.*s", (int)why.size,
                     (const char *)why.bytes);
            buffer_free(&why);
        }
    }
    return rc;
}

static errcode_t check_clock(node_t *self, err_t *err)
{
    int64_t newest_us;
    errcode_t rc = shards_newest_us(self->shards, &newest_us, err);

    if (rc != ERR_NONE)
        return rc;
    int64_t off_us = steady_clock_start_check(clock_wall_us(&self->clock.clock), newest_us);
    if (off_us == 0)
        return ERR_NONE;
    char sentence[160];
    if (off_us < 0)
        (void)snprintf(sentence, sizeof sentence,
                       "the clock is %.1f s behind the newest record of the books",
                       -(double)off_us / 1e6);
    else
        (void)snprintf(sentence, sizeof sentence,
                       "the clock is %.1f days ahead of the newest record of the books",
                       (double)off_us / 1e6 / DAY_S);
    if (!self->config.accept_clock)
        return err_set(err, ERR_STATE, "%s: set it right, or start with --accept-clock", sentence);
    log_warn("%s; going on because the clock is accepted", sentence);
    return ERR_NONE;
}

static void send_frame(void *state, uint16_t dst, const void *frame, size_t n)
{
    router_send(((node_t *)state)->router, dst, frame, n);
}

static void apply_session(void *state, const hash_t *token, const void *value, size_t n)
{
    http_session_applied(atomic_load(&((node_t *)state)->http), token, value, n);
}

static errcode_t start_shards(node_t *self, err_t *err)
{
    const shards_setup_t setup = {
        .store = self->store,
        .catalogue = self->catalogue,
        .clock = &self->clock.clock,
        .random = random_system(),
        .birth = self->shared == NULL ? router_birth(self->router) : NULL,
        .hooks = {.send = send_frame, .session = apply_session, .state = self},
        .incarnation = self->incarnation,
        .threads = self->config.partition_threads,
        .mailbox_commands = self->config.mailbox_commands,
        .round_commands = self->config.round_commands,
        .cache_accounts = self->config.cache_accounts,
        .account_max = PARTITION_ACCOUNT_PENDING_MAX,
        .shared = self->shared != NULL ? shared_log_governor(self->shared) : NULL,
        .journal = self->shared != NULL ? shared_log_journal(self->shared) : NULL,
        .partitions = self->shared != NULL ? shared_log_partitions(self->shared) : 0,
    };
    errcode_t rc;

    if (self->shared != NULL) {
        self->shards = shards_new(&setup);
        shared_log_attach(self->shared, self->router, self->shards);
        rc = shards_start(self->shards, err);
        /* Without an owner of the definitions a node waits here, maybe for an operator's word. */
        if (rc == ERR_NONE)
            rc = start_control(self, err);
        return rc != ERR_NONE ? rc : shared_log_wait_joined(self->shared, err);
    }
    if (setup.birth->partitions != self->config.partitions && !self->new_books)
        log_debug("this store has %u partitions for ever; the setting `partitions` counts at the "
                  "first start only",
                  (unsigned)setup.birth->partitions);
    self->shards = shards_new(&setup);
    rc = check_clock(self, err);
    if (rc != ERR_NONE)
        return rc;
    rc = shards_start(self->shards, err);
    if (rc != ERR_NONE)
        return rc;
    router_attach(self->router, self->shards->shards, self->shards->count, self->shards->shard_of);
    return heartbeat_start(&self->heartbeat, self->config.data, self->shards, &self->clock, err);
}

/* Logins of before: those that are live need no look-up. */
static errcode_t load_sessions(node_t *self, http_server_t *http, err_t *err)
{
    errcode_t rc = ERR_NONE;

    for (size_t i = 0; rc == ERR_NONE && i < self->shards->owned_count; i++) {
        uint8_t lower[BATCH_KEY_BYTES_MAX];
        uint8_t upper[BATCH_KEY_BYTES_MAX];
        size_t n = key_tag(lower, self->shards->owned[i], 'S');
        size_t m = key_after_prefix(upper, lower, n);
        store_cursor_t *cursor =
            store_cursor_new(self->store, NULL, FAMILY_STATE, lower, n, upper, m);

        for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
            size_t key_bytes;
            size_t value_bytes;
            const uint8_t *key = store_cursor_key(cursor, &key_bytes);
            const uint8_t *value = store_cursor_value(cursor, &value_bytes);
            hash_t token;

            if (key_bytes != n + sizeof token)
                continue;
            memcpy(&token, key + n, sizeof token);
            http_session_applied(http, &token, value, value_bytes);
        }
        rc = store_cursor_error(cursor, err);
        store_cursor_destroy(&cursor);
    }
    return rc;
}

static errcode_t start_http(node_t *self, err_t *err)
{
    http_config_t config;
    http_server_t *http = NULL;
    errcode_t rc;

    http_config_default(&config);
    config.router = self->router;
    config.listen = self->config.listen;
    config.threads = (int)self->config.http_threads;
    config.cors_origins = self->config.cors_origins;
    config.token_ttl_us = (int64_t)self->config.session_hours * 3600 * 1000000;
    config.request_deadline_us = (int64_t)self->config.request_timeout_ms * 1000;
    config.version = FEALTY_VERSION;
    if (self->shared != NULL) {
        config.cluster_status = shared_log_status;
        config.cluster = self->shared;
    }
    config.clock = &self->clock.clock;
    config.random = random_system();
    metrics_register(write_metrics, self);
    self->metrics_registered = true;
    rc = http_server_start(&http, &config, err);
    if (rc != ERR_NONE)
        return rc;
    atomic_store(&self->http, http);
    return load_sessions(self, http, err);
}

/* ---- control ---- */

static errcode_t control_backup(void *state, const char *directory, err_t *err)
{
    node_t *self = state;
    errcode_t rc;

    if (self->shared != NULL)
        return err_set(err, ERR_STATE,
                       "the log in Kafka is the audit trail and the backup of this node: an empty "
                       "node fills itself from it");
    log_info("backup to %s", directory);
    rc = backup_take(self->store, router_birth(self->router), directory, err);
    if (rc == ERR_NONE)
        log_info("the backup %s is complete", directory);
    return rc;
}

static errcode_t control_freeze(void *state, bool frozen, err_t *err)
{
    node_t *self = state;

    if (self->shared != NULL)
        return err_set(err, ERR_STATE, "there is nothing to freeze on a log in Kafka");
    shards_freeze(self->shards, frozen);
    return ERR_NONE;
}

static void control_status(void *state, buffer_t *out)
{
    node_t *self = state;

    const http_server_t *http = atomic_load(&self->http);

    buffer_printf(out, "version %s\nport %d\n", FEALTY_VERSION,
                  http != NULL ? http_server_port(http) : 0);
    (void)router_ready(self->router, out);
    buffer_byte(out, '\n');
}

static errcode_t control_cluster(void *state, const char *words, buffer_t *out, err_t *err)
{
    node_t *self = state;

    if (self->shared == NULL)
        return err_set(err, ERR_STATE,
                       "this node's journal is embedded: its placement is fixed, /readyz shows it");
    return shared_log_obey(self->shared, words, out, err);
}

static errcode_t start_control(node_t *self, err_t *err)
{
    const control_hooks_t hooks = {.backup = control_backup,
                                   .freeze = control_freeze,
                                   .status = control_status,
                                   .cluster = control_cluster,
                                   .state = self};

    return control_start(&self->control, self->config.data, &hooks, err);
}

/* ---- metrics ---- */

static void write_metrics(void *state, buffer_t *out)
{
    node_t *self = state;

    store_metrics(self->store, out);
    if (self->shared != NULL)
        shared_log_metrics(self->shared, out);
    for (size_t i = 0; i < self->shards->count; i++)
        shard_metrics(self->shards->shards[i], out);
    buffer_printf(out,
                  "# HELP fealty_clock_jump_seconds How far the wall clock was set since the "
                  "start; 0 when it was not\n"
                  "# TYPE fealty_clock_jump_seconds gauge\nfealty_clock_jump_seconds %.3f\n",
                  (double)steady_clock_alarm(&self->clock) / 1e6);
}
