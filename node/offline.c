/* offline.c - store, definitions and partition threads, without HTTP and without peers */
#include "node/offline.h"

#include "node/content.h"

#include <stdlib.h>

#define PARTITIONS_DEFAULT  16
#define COMMAND_WAIT_US     INT64_C(30000000)
#define STOP_WAIT_US        INT64_C(10000000)
#define LOAD_ROUND_COMMANDS 4096

struct offline {
    store_t *store;         /* owned */
    catalogue_t *catalogue; /* owned */
    shards_t *shards;       /* owned */
    char *data;             /* owned */
    birth_t birth;
};

static void send_nowhere(void *state, uint16_t dst, const void *frame, size_t n);
static void session_nowhere(void *state, const hash_t *token, const void *value, size_t n);

static errcode_t open_books(offline_t **self_p, const char *data, bool create,
                            uint32_t round_commands, err_t *err)
{
    offline_t *self = memory_zalloc(sizeof *self);
    store_config_t config;
    bool found = false;
    errcode_t rc;

    *self_p = self;
    self->data = memory_alloc(strlen(data) + 1);
    memcpy(self->data, data, strlen(data) + 1);
    store_config_default(&config);
    config.directory = data;
    config.create = create;
    rc = store_open(&self->store, &config, err);
    if (rc != ERR_NONE)
        goto failed;
    rc = genesis_load(self->store, &self->birth, &found, err);
    if (rc != ERR_NONE)
        goto failed;
    if (!found) {
        rc = genesis_single(self->store, random_system(), PARTITIONS_DEFAULT, &self->birth, err);
        if (rc != ERR_NONE)
            goto failed;
    }
    if (!self->birth.settled) {
        rc = err_set(
            err, ERR_STATE,
            "the first start of this cluster has not come to its end; start all nodes once");
        goto failed;
    }
    self->catalogue = catalogue_new();
    rc = content_load(self->store, self->catalogue, err);
    if (rc != ERR_NONE)
        goto failed;

    shards_setup_t setup = {
        .store = self->store,
        .catalogue = self->catalogue,
        .clock = clock_system(),
        .random = random_system(),
        .birth = &self->birth,
        .hooks = {.send = send_nowhere, .session = session_nowhere, .state = self},
        .threads = 1,
        .round_commands = round_commands,
    };
    random_fill(setup.random, &setup.incarnation, sizeof setup.incarnation);
    self->shards = shards_new(&setup);
    rc = shards_start(self->shards, err);
    if (rc == ERR_NONE)
        return ERR_NONE;

failed:
    offline_close(self_p);
    return rc;
}

errcode_t offline_open(offline_t **self_p, const char *data, bool create, err_t *err)
{
    return open_books(self_p, data, create, 0, err);
}

errcode_t offline_open_for_load(offline_t **self_p, const char *data, err_t *err)
{
    return open_books(self_p, data, true, LOAD_ROUND_COMMANDS, err);
}

void offline_close(offline_t **self_p)
{
    offline_t *self = *self_p;

    if (self == NULL)
        return;
    if (self->shards != NULL) {
        acked_t *acked = memory_alloc(sizeof *acked);

        shards_stop(self->shards, STOP_WAIT_US);
        shards_acked(self->shards, clock_wall_us(clock_system()), acked);
        /* Only a hint: when it cannot be written, the older one stands and promises less. */
        (void)acked_write(self->data, acked, NULL);
        free(acked);
        shards_destroy(&self->shards);
    }
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
    free(self->data);
    free(self);
    *self_p = NULL;
}

store_t *offline_store(offline_t *self)
{
    return self->store;
}

catalogue_t *offline_catalogue(offline_t *self)
{
    return self->catalogue;
}

const birth_t *offline_birth(const offline_t *self)
{
    return &self->birth;
}

shards_t *offline_shards(offline_t *self)
{
    return self->shards;
}

errcode_t offline_command(offline_t *self, uint16_t partition, command_t *command, buffer_t *result,
                          err_t *err)
{
    buffer_t bytes;
    waiter_t waiter;
    request_t *request;
    errcode_t rc;

    command->deadline_us = clock_wall_us(clock_system()) + COMMAND_WAIT_US;
    buffer_init(&bytes, RECORD_BYTES_MAX);
    command_encode(command, &bytes);
    request = request_new(partition, bytes.bytes, bytes.size, command->deadline_us);
    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    rc = shards_post(self->shards, request, err);
    if (rc == ERR_NONE) {
        if (!waiter_wait(&waiter, 1, COMMAND_WAIT_US)) {
            waiter_abandon(&waiter, request);
            rc = err_set(err, ERR_UNKNOWN_OUTCOME, "no answer within %d s",
                         (int)(COMMAND_WAIT_US / 1000000));
        } else if (request->err.code != ERR_NONE) {
            if (err != NULL)
                *err = request->err;
            rc = request->err.code;
        } else {
            buffer_append(result, request->result.bytes, request->result.size);
        }
    }
    request_release(request);
    buffer_free(&bytes);
    return rc;
}

static void send_nowhere(void *state, uint16_t dst, const void *frame, size_t n)
{
    (void)state;
    (void)dst;
    (void)frame;
    (void)n;
}

static void session_nowhere(void *state, const hash_t *token, const void *value, size_t n)
{
    (void)state;
    (void)token;
    (void)value;
    (void)n;
}
