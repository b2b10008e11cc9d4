/* shared_log.c - Kafka, governor, shard and router of one node, put together */
#include "node/shared_log.h"

#include "cluster/identity.h"
#include "protocol/log.h"
#include "storage/journal_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CHECK_US     INT64_C(5000000)
#define TELL_EVERY   5 /* attempts */
#define POLL_NS      20000000
#define JOIN_TELL_US INT64_C(5000000)

struct shared_log {
    shared_log_setup_t setup;
    journal_kafka_config_t kafka;
    identity_t identity;
    uint16_t partitions;
    int wakeup;                    /* owned */
    journal_t *journal;            /* owned */
    governor_t *governor;          /* owned */
    snapshot_service_t *snapshots; /* owned; NULL: nobody can dial this node */
    router_t *router;              /* borrowed; set by shared_log_attach before the shard starts */
    shards_t *shards;              /* borrowed; likewise */
    shard_governor_t shard_governor;
    router_shared_t router_hooks;
    atomic_uchar *owned; /* owned; by partition */
};

/* ---- hooks of the shard ---- */

static void on_record(void *state, const journal_record_t *record, int64_t wall_us, int64_t boot_us)
{
    governor_on_record(((shared_log_t *)state)->governor, record, wall_us, boot_us);
}

static void on_pass(void *state, int64_t wall_us, int64_t boot_us)
{
    governor_on_pass(((shared_log_t *)state)->governor, wall_us, boot_us);
}

static bool on_stop(void *state, int64_t wall_us, int64_t boot_us)
{
    return governor_on_stop(((shared_log_t *)state)->governor, wall_us, boot_us);
}

static void on_owned(void *state, uint16_t partition, uint64_t epoch)
{
    shared_log_t *self = state;

    atomic_store(&self->owned[partition], epoch > 0);
    router_set_owned(self->router, partition, epoch > 0 ? epoch : UINT64_MAX, epoch > 0);
}

static void on_stored(void *state)
{
    (void)router_stored(((shared_log_t *)state)->router);
}

static bool is_reachable(void *state)
{
    return journal_kafka_reachable(((shared_log_t *)state)->journal);
}

/* ---- hooks of the governor ---- */

static replica_t *find_replica(void *state, uint16_t partition)
{
    return shard_replica(((shared_log_t *)state)->shards->shards[0], partition);
}

static void on_view(void *state, const view_t *view)
{
    shared_log_t *self = state;
    const char *addresses[VIEW_MEMBERS_MAX];
    err_t err = {0};

    if (identity_set_cluster(self->setup.store, &self->identity, &view->cluster, &err) != ERR_NONE)
        log_error("the cluster's id could not be kept: %s", err.text);
    for (size_t i = 0; i < view->member_count; i++)
        addresses[i] = view->members[i].address;
    if (self->snapshots != NULL)
        snapshot_service_set_cluster(self->snapshots, &view->cluster);
    router_set_cluster(self->router, &view->cluster);
    router_set_partitions(self->router, view->partitions);
    router_set_members(self->router, addresses, view->member_count);
    log_info("view %llu: %u members", (unsigned long long)view->number,
             (unsigned)view->member_count);
}

/* Those whose port the router knows: the others have not said hello yet. */
static bool start_fill(void *state, uint16_t partition, const char *const *sources, size_t count,
                       const hash_t *history)
{
    shared_log_t *self = state;
    snapshot_source_t known[SNAPSHOT_SOURCES_MAX];
    size_t known_count = 0;

    for (size_t i = 0; i < count && known_count < SNAPSHOT_SOURCES_MAX; i++) {
        snapshot_source_t *source = &known[known_count];

        source->port = router_bulk_port(self->router, sources[i]);
        if (source->port == 0 || strlen(sources[i]) >= sizeof source->address)
            continue;
        memcpy(source->address, sources[i], strlen(sources[i]) + 1);
        known_count++;
    }
    return snapshot_service_fill(self->snapshots, partition, known, known_count, history);
}

static fill_state_t poll_fill(void *state)
{
    return snapshot_service_poll(((shared_log_t *)state)->snapshots);
}

static void cancel_fill(void *state)
{
    snapshot_service_cancel(((shared_log_t *)state)->snapshots);
}

static void apply_session(void *state, const hash_t *token, const void *value, size_t n)
{
    const shared_log_setup_t *setup = &((shared_log_t *)state)->setup;

    setup->session(setup->session_state, token, value, n);
}

/* ---- hooks of the router ---- */

static errcode_t post_here(void *state, request_t *request, err_t *err)
{
    return shards_post(((shared_log_t *)state)->shards, request, err);
}

static void deliver_here(void *state, uint16_t dst, const void *frame, size_t n)
{
    shard_deliver(((shared_log_t *)state)->shards->shards[0], dst, frame, n);
}

static bool follows_here(void *state, uint16_t partition)
{
    return governor_follows(((shared_log_t *)state)->governor, partition);
}

static void append_troubles(void *state, buffer_t *out)
{
    shared_log_t *self = state;
    size_t before = out->size;

    governor_troubles(self->governor, out);
    if (!journal_kafka_reachable(self->journal)) {
        buffer_text(out, out->size > before ? "," : "");
        buffer_text(out, "\"Kafka does not answer this node\"");
    }
    buffer_t shard;
    buffer_init(&shard, 64 * 1024);
    shard_troubles(self->shards->shards[0], &shard);
    if (shard.size > 0) {
        buffer_text(out, out->size > before ? "," : "");
        buffer_append(out, shard.bytes, shard.size);
    }
    buffer_free(&shard);
}

/* ---- life ---- */

static errcode_t wait_for_kafka(shared_log_t *self, err_t *err)
{
    const shared_log_setup_t *setup = &self->setup;

    for (unsigned attempts = 0;; attempts++) {
        errcode_t rc = journal_kafka_check(&self->kafka, CHECK_US, &self->partitions, err);
        if (rc != ERR_UNREACHABLE)
            return rc;
        if (attempts % TELL_EVERY == 0)
            log_warn("waiting for Kafka at %s: %s", self->kafka.bootstrap, err->text);
        const struct timespec moment = {.tv_nsec = 200000000};
        (void)nanosleep(&moment, NULL);
        if (setup->stop_wanted(setup->state))
            return err_set(err, ERR_UNREACHABLE, "stopped while waiting for Kafka");
    }
}

static const char *bootstrap_of(const config_t *config)
{
    static const char *const variables[] = {"FEALTY_JOURNAL_BOOTSTRAP",
                                            "LOYALTY_KAFKA_BOOTSTRAP_SERVERS"};

    if (config->kafka_bootstrap[0] != '\0')
        return config->kafka_bootstrap;
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return NULL;
}

static errcode_t open_snapshots(shared_log_t *self, err_t *err)
{
    const config_t *config = self->setup.config;
    snapshot_service_config_t snapshots = {
        .address = config->cluster_listen,
        .port = (uint16_t)config->snapshot_port,
        .keys_directory = config->cluster_keys[0] != '\0' ? config->cluster_keys : NULL,
        .store = self->setup.store,
        .catalogue = self->setup.catalogue,
        .partitions = self->partitions,
        .session = apply_session,
        .state = self};

    random_fill(self->setup.random, &snapshots.first, sizeof snapshots.first);
    return snapshot_service_open(&self->snapshots, &snapshots, err);
}

errcode_t shared_log_open(shared_log_t **self_p, const shared_log_setup_t *setup, err_t *err)
{
    const config_t *config = setup->config;
    shared_log_t *self = memory_zalloc(sizeof *self);
    errcode_t rc;

    *self_p = self;
    self->setup = *setup;
    self->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wakeup < 0)
        return err_set(err, ERR_IO, "an event descriptor could not be made");
    self->kafka = (journal_kafka_config_t){
        .bootstrap = bootstrap_of(config),
        .prefix = config->kafka_prefix,
        .node = config->cluster_listen[0] != '\0' ? config->cluster_listen : "fealty",
        .settings = config->kafka_settings,
        .partitions = config->kafka_create_topics ? (uint16_t)config->partitions : 0,
        .create_topics = config->kafka_create_topics,
        .single_broker = config->single_broker,
        .wakeup = self->wakeup,
        .store = setup->store,
    };
    if (self->kafka.bootstrap == NULL)
        return err_set(err, ERR_INVALID,
                       "--journal kafka needs --kafka-bootstrap HOST:PORT, or the variable "
                       "FEALTY_JOURNAL_BOOTSTRAP");
    rc = identity_open(setup->store, setup->random, &self->identity, err);
    if (rc == ERR_NONE)
        rc = wait_for_kafka(self, err);
    if (rc == ERR_NONE) {
        self->kafka.partitions = self->partitions;
        rc = journal_kafka_new(&self->journal, &self->kafka, err);
    }
    if (rc != ERR_NONE)
        return rc;
    self->owned = memory_zalloc(((size_t)self->partitions + 1) * sizeof *self->owned);
    if (config->cluster_listen[0] != '\0')
        rc = open_snapshots(self, err);
    if (rc != ERR_NONE)
        return rc;
    const filler_t filler = {
        .start = start_fill, .poll = poll_fill, .cancel = cancel_fill, .state = self};
    const governor_config_t governor = {
        .node = self->identity.node,
        .incarnation = setup->incarnation,
        .cluster = self->identity.cluster,
        .address = config->cluster_listen,
        .rack = config->rack,
        .partitions = self->partitions,
        .followers = (uint8_t)config->replicas,
        .journal = self->journal,
        .random = setup->random,
        .snapshot_behind = config->snapshot_behind,
        .filler = self->snapshots != NULL ? filler : (filler_t){.start = NULL},
        .replica = find_replica,
        .view = on_view,
        .state = self};
    self->governor = governor_new(&governor);
    self->shard_governor = (shard_governor_t){.wakeup = self->wakeup,
                                              .on_record = on_record,
                                              .on_pass = on_pass,
                                              .on_stop = on_stop,
                                              .owned = on_owned,
                                              .stored = on_stored,
                                              .reachable = is_reachable,
                                              .state = self};
    self->router_hooks = (router_shared_t){.state = self,
                                           .post = post_here,
                                           .deliver = deliver_here,
                                           .follows = follows_here,
                                           .troubles = append_troubles};
    return ERR_NONE;
}

void shared_log_stop(shared_log_t *self)
{
    if (self->snapshots != NULL)
        snapshot_service_stop(self->snapshots);
}

void shared_log_close(shared_log_t **self_p)
{
    shared_log_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    snapshot_service_close(&self->snapshots);
    governor_destroy(&self->governor);
    journal_destroy(&self->journal);
    if (self->wakeup >= 0)
        (void)close(self->wakeup);
    free(self->owned);
    free(self);
}

const router_shared_t *shared_log_router(shared_log_t *self)
{
    return &self->router_hooks;
}

const shard_governor_t *shared_log_governor(shared_log_t *self)
{
    return &self->shard_governor;
}

journal_t *shared_log_journal(shared_log_t *self)
{
    return self->journal;
}

uint16_t shared_log_partitions(const shared_log_t *self)
{
    return self->partitions;
}

uint16_t shared_log_bulk_port(const shared_log_t *self)
{
    return self->snapshots != NULL ? snapshot_service_port(self->snapshots) : 0;
}

void shared_log_attach(shared_log_t *self, router_t *router, shards_t *shards)
{
    self->router = router;
    self->shards = shards;
    router_attach(router, NULL, 0, NULL);
}

/* A login is checked with the definitions that were read here: before there is a user, nobody could log in. Who owns them
 * makes the first one. */
static bool knows_users(const shared_log_t *self)
{
    return shared_log_owns(self, self->partitions) ||
           catalogue_ids(router_catalogue(self->router), CATALOGUE_NEWEST, RESOURCE_USER, NULL, 0) >
               0;
}

errcode_t shared_log_wait_joined(shared_log_t *self, err_t *err)
{
    const clock_source_t *clock = clock_system();
    int64_t tell_us = clock_boot_us(clock) + JOIN_TELL_US;

    while (!governor_joined(self->governor) ||
           router_owner_name(self->router, self->partitions)[0] == '\0' || !knows_users(self)) {
        const struct timespec moment = {.tv_nsec = POLL_NS};

        if (self->setup.stop_wanted(self->setup.state))
            return err_set(err, ERR_UNREACHABLE, "stopped while joining the cluster");
        if (clock_boot_us(clock) > tell_us) {
            buffer_t why;
            tell_us = clock_boot_us(clock) + JOIN_TELL_US;
            buffer_init(&why, 64 * 1024);
            append_troubles(self, &why);
            log_info("%s: waiting for %s%s%.*s",
                     governor_joined(self->governor) ? "joined" : "joining the cluster",
                     governor_joined(self->governor) ? "an owner of the definitions" : "the view",
                     why.size > 0 ? ": " : "", (int)why.size, (const char *)why.bytes);
            buffer_free(&why);
        }
        (void)nanosleep(&moment, NULL);
    }
    return ERR_NONE;
}

bool shared_log_owns(const shared_log_t *self, uint16_t partition)
{
    return partition <= self->partitions && atomic_load(&self->owned[partition]) != 0;
}

/* "NUMBER HISTORY REASON": the new history is read from where the log ends now, which is asked here, not on the partitions' thread. */
static errcode_t adopt(shared_log_t *self, const char *about, buffer_t *out, err_t *err)
{
    char words[512];
    char *rest = NULL;
    unsigned long number = strtoul(about, &rest, 10);
    uint64_t end = 0;
    errcode_t rc = ERR_NONE;

    if (about[0] < '0' || about[0] > '9' || *rest != ' ' || number > self->partitions)
        return err_set(err, ERR_NOT_FOUND, "partitions are numbered 0 to %u", self->partitions);
    rc = journal_kafka_end(self->journal, (uint16_t)number, &end, err);
    if (rc != ERR_NONE)
        return rc;
    int n = snprintf(words, sizeof words, "%lu %llu%s", number, (unsigned long long)end, rest);
    if (n < 0 || (size_t)n >= sizeof words)
        return err_set(err, ERR_INVALID, "that is too long");
    return governor_ask(self->governor, GOVERNOR_ADOPT, words, out, err);
}

errcode_t shared_log_obey(shared_log_t *self, const char *words, buffer_t *out, err_t *err)
{
    static const struct {
        const char *word;
        governor_word_t means;
    } table[] = {{"drain ", GOVERNOR_DRAIN},
                 {"admit ", GOVERNOR_ADMIT},
                 {"forget ", GOVERNOR_FORGET},
                 {"move ", GOVERNOR_MOVE},
                 {"holder ", GOVERNOR_HOLDER},
                 {"partition status", GOVERNOR_PARTITIONS},
                 {"partition resume ", GOVERNOR_RESUME},
                 {"partition skip ", GOVERNOR_SKIP},
                 {"partition adopt ", GOVERNOR_ADOPT},
                 {"partition rebuild ", GOVERNOR_REBUILD}};

    if (strcmp(words, "status") == 0) {
        shared_log_status(self, out);
        buffer_byte(out, '\n');
        return ERR_NONE;
    }
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        size_t n = strlen(table[i].word);
        if (strncmp(words, table[i].word, n) != 0)
            continue;
        return table[i].means == GOVERNOR_ADOPT
                   ? adopt(self, words + n, out, err)
                   : governor_ask(self->governor, table[i].means, words + n, out, err);
    }
    return err_set(err, ERR_INVALID, "this node does not know the word: %s", words);
}

void shared_log_status(void *state, buffer_t *out)
{
    governor_status(((shared_log_t *)state)->governor, out);
}

void shared_log_metrics(shared_log_t *self, buffer_t *out)
{
    journal_kafka_metrics(self->journal, out);
    if (self->snapshots != NULL)
        snapshot_service_metrics(self->snapshots, out);
}
