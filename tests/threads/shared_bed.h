/* shared_bed.h - nodes with real routers and sockets on a log that is played: books of who owns what, copies that answer
 *
 * Contract   For one program: it holds the state of the whole play. log_claim and log_release are what the log says; a
 *            node's thread carries out what its router posts and says what is true at that moment. Askers write and read
 *            through any node.
 * Threads    Any; log_lock guards the books.
 * Ownership  The program's.
 * Units      Microseconds.
 * Errors     A check that fails ends the program.
 */
#ifndef FEALTY_SHARED_BED_H
#define FEALTY_SHARED_BED_H

#include "cluster/keys.h"
#include "cluster/router_setup.h"
#include "protocol/metrics.h"
#include "tests/threads/nodes.h"

#include <pthread.h>
#include <string.h>

#define NODES      4
#define FIRST      3 /* nodes that are there from the beginning */
#define PARTITIONS 16
#define WRITES_MAX 1000000
#define NOBODY     (-1)

/* --- the log ------------------------------------------------------------------------------------- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the members below */
static struct {
    int owner[PARTITIONS + 1];
    uint64_t epoch[PARTITIONS + 1];
    unsigned long applied[PARTITIONS + 1];
    bool seen[WRITES_MAX];
} books;
static atomic_ulong acknowledged[PARTITIONS + 1];
static atomic_ulong write_number;

/* --- a node -------------------------------------------------------------------------------------- */

typedef struct {
    int number;
    store_t *store;
    router_t *router;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t posted;
    request_t *first, *last;
    bool holding; /* takes requests and does not answer */
    bool stopping;
    unsigned long barriers;
    unsigned long delivered;
    atomic_bool follows;
} node_t;

static node_t nodes[NODES];
static char addresses[NODES][64];
static const char *view[NODES];
static size_t view_count;
static hash_t cluster = {{7}};
static char keys_root[128];
static bool with_keys;

static const hash_t *row_token(void)
{
    static const hash_t token = {{1, 2, 3}};

    return &token;
}

/* The row that reads see: how many writes were applied. */
static void put_row(node_t *self, uint16_t partition, unsigned long count)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    char value[32];
    int n = snprintf(value, sizeof value, "%lu", count);
    buffer_t batch;
    batch_part_t part;

    buffer_init(&batch, 4096);
    batch_put(&batch, FAMILY_STATE, key, key_session(key, partition, row_token()), value,
              (size_t)n);
    part = (batch_part_t){batch.bytes, batch.size};
    CHECK(store_write(self->store, &part, 1, false, NULL) == ERR_NONE);
    buffer_free(&batch);
}

/* What a copy does with a request; what it says is true at this moment. */
static void carry_out(node_t *self, request_t *request)
{
    uint16_t partition = request->partition;
    err_t err = {.code = ERR_NONE};
    command_t command;
    char text[32], answer[64];
    int n = 0;
    bool barrier;

    barrier =
        command_decode(&command, request->command, request->command_bytes, NULL) == ERR_NONE &&
        command.kind == COMMAND_BARRIER;
    (void)snprintf(text, sizeof text, "%.*s", (int)request->command_bytes,
                   (const char *)request->command);
    (void)pthread_mutex_lock(&log_lock);
    if (books.owner[partition] != self->number) {
        (void)err_set(&err, ERR_NOT_OWNER, NULL);
    } else if (!barrier) {
        unsigned long number = strtoul(text + 1, NULL, 10);

        CHECK(text[0] == 'w' && number < WRITES_MAX);
        CHECK(!books.seen[number]);
        books.seen[number] = true;
        put_row(self, partition, ++books.applied[partition]);
    }
    (void)pthread_mutex_unlock(&log_lock);
    if (!barrier)
        n = snprintf(answer, sizeof answer, "%d:%s", self->number, text);
    request_complete(request, answer, (size_t)n, &err);
    request_release(request);
}

static void *copies_main(void *argument)
{
    node_t *self = argument;

    (void)pthread_mutex_lock(&self->lock);
    for (;;) {
        request_t *request;

        while ((self->first == NULL || self->holding) && !self->stopping)
            (void)pthread_cond_wait(&self->posted, &self->lock);
        request = self->first;
        if (request == NULL)
            break;
        self->first = request->next;
        (void)pthread_mutex_unlock(&self->lock);
        carry_out(self, request);
        (void)pthread_mutex_lock(&self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

static errcode_t node_post(void *state, request_t *request, err_t *err)
{
    node_t *self = state;
    command_t command;
    bool stopping;

    (void)pthread_mutex_lock(&self->lock);
    stopping = self->stopping;
    if (!stopping) {
        self->barriers +=
            command_decode(&command, request->command, request->command_bytes, NULL) == ERR_NONE;
        request_retain(request);
        request->next = NULL;
        if (self->first == NULL)
            self->first = request;
        else
            self->last->next = request;
        self->last = request;
        (void)pthread_cond_signal(&self->posted);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return stopping ? err_set(err, ERR_UNREACHABLE, "stopping") : ERR_NONE;
}

static void node_deliver(void *state, uint16_t dst, const void *frame, size_t n)
{
    node_t *self = state;

    CHECK(dst <= PARTITIONS && n == 5 && memcmp(frame, "hello", 5) == 0);
    (void)pthread_mutex_lock(&self->lock);
    self->delivered++;
    (void)pthread_mutex_unlock(&self->lock);
}

static bool node_follows(void *state, uint16_t partition)
{
    node_t *self = state;

    return partition <= PARTITIONS && atomic_load(&self->follows);
}

static void node_troubles(void *state, buffer_t *out)
{
    (void)state;
    (void)out;
}

static void node_hold(node_t *self, bool holding)
{
    (void)pthread_mutex_lock(&self->lock);
    self->holding = holding;
    (void)pthread_cond_signal(&self->posted);
    (void)pthread_mutex_unlock(&self->lock);
}

static bool node_has(node_t *self)
{
    bool has;

    (void)pthread_mutex_lock(&self->lock);
    has = self->first != NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return has;
}

static unsigned long node_barriers(node_t *self)
{
    unsigned long n;

    (void)pthread_mutex_lock(&self->lock);
    n = self->barriers;
    (void)pthread_mutex_unlock(&self->lock);
    return n;
}

static unsigned long node_delivered(node_t *self)
{
    unsigned long n;

    (void)pthread_mutex_lock(&self->lock);
    n = self->delivered;
    (void)pthread_mutex_unlock(&self->lock);
    return n;
}

static void keys_of(const char *address, char path[256])
{
    char name[64];

    (void)snprintf(name, sizeof name, "%s", address);
    *strchr(name, ':') = '_';
    (void)snprintf(path, 256, "%s/%s", keys_root, name);
}

static errcode_t node_open(int i, err_t *err)
{
    const router_shared_t hooks = {&nodes[i], node_post, node_deliver, node_follows, node_troubles};
    char keys[256];
    router_config_t config = {.store = nodes[i].store,
                              .clock = clock_system(),
                              .random = random_system(),
                              .partitions = 8, /* the log knows better */
                              .listen = addresses[i],
                              .shared = &hooks};

    if (with_keys) {
        keys_of(addresses[i], keys);
        config.keys_directory = keys;
    }
    random_fill(random_system(), &config.incarnation, sizeof config.incarnation);
    return router_open(&nodes[i].router, &config, err);
}

static void node_begin(int i)
{
    node_t *self = &nodes[i];
    err_t err = {.code = ERR_NONE};

    memset(self, 0, sizeof *self);
    self->number = i;
    self->store = store_memory_new();
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0);
    CHECK(pthread_cond_init(&self->posted, NULL) == 0);
    EVENTUALLY(node_open(i, &err) == ERR_NONE); /* its forerunner's socket may still be closing */
    CHECK(router_start(self->router, &err) == ERR_NONE);
    CHECK(!router_wait_birth(self->router, 0));
    CHECK(pthread_create(&self->thread, NULL, copies_main, self) == 0);
    self->running = true;
    router_attach(self->router, NULL, 0, NULL);
    router_set_cluster(self->router, &cluster);
    router_set_partitions(self->router, PARTITIONS);
    router_set_members(self->router, view, view_count);
    CHECK(router_wait_birth(self->router, 0));
}

static void node_end(int i)
{
    node_t *self = &nodes[i];

    (void)pthread_mutex_lock(&self->lock);
    self->stopping = true;
    self->holding = false;
    (void)pthread_cond_signal(&self->posted);
    (void)pthread_mutex_unlock(&self->lock);
    CHECK(pthread_join(self->thread, NULL) == 0);
    router_stop(self->router);
    router_destroy(&self->router);
    store_destroy(&self->store);
    (void)pthread_cond_destroy(&self->posted);
    (void)pthread_mutex_destroy(&self->lock);
    self->running = false;
}

/* All that are there learn of the view. */
static void accept_view(size_t count)
{
    for (size_t i = 0; i < count; i++)
        view[i] = addresses[i];
    view_count = count;
    for (int i = 0; i < NODES; i++) {
        if (nodes[i].running)
            router_set_members(nodes[i].router, view, view_count);
    }
}

/* The log gives a partition to a node; what that knows of it is complete then. */
static uint64_t log_claim(uint16_t partition, int node)
{
    uint64_t epoch;

    (void)pthread_mutex_lock(&log_lock);
    put_row(&nodes[node], partition, books.applied[partition]);
    books.owner[partition] = node;
    epoch = ++books.epoch[partition];
    (void)pthread_mutex_unlock(&log_lock);
    return epoch;
}

static int owner_of(uint16_t partition, uint64_t *epoch)
{
    int owner;

    (void)pthread_mutex_lock(&log_lock);
    owner = books.owner[partition];
    *epoch = books.epoch[partition];
    (void)pthread_mutex_unlock(&log_lock);
    return owner;
}

static void log_release(uint16_t partition)
{
    (void)pthread_mutex_lock(&log_lock);
    books.owner[partition] = NOBODY;
    (void)pthread_mutex_unlock(&log_lock);
}

static void claim(uint16_t partition, int node)
{
    router_set_owned(nodes[node].router, partition, log_claim(partition, node), true);
}

/* In order: nobody owns it in between. Or by a claim of the next one, of which the owner hears a little later. */
static void move(uint16_t partition, int to, bool in_order, int pause_ms)
{
    uint64_t epoch, next;
    int from = owner_of(partition, &epoch);

    if (in_order) {
        log_release(partition);
        router_set_owned(nodes[from].router, partition, epoch, false);
        (void)poll(NULL, 0, pause_ms);
        claim(partition, to);
    } else {
        next = log_claim(partition, to);
        (void)poll(NULL, 0, pause_ms);
        router_set_owned(nodes[to].router, partition, next, true);
        (void)poll(NULL, 0, pause_ms);
        if (from != to)
            router_set_owned(nodes[from].router, partition, epoch, false);
    }
}

static void distribute(int among)
{
    for (uint16_t p = 0; p <= PARTITIONS; p++)
        claim(p, p % among);
}

/* --- askers -------------------------------------------------------------------------------------- */

/* *number is the write's; the outcome is its code. */
static errcode_t write_to(int node, uint16_t partition, unsigned long *number, err_t *err)
{
    char command[32], expected[64];
    int n;
    request_t *request;
    waiter_t waiter;
    errcode_t rc;

    *number = atomic_fetch_add(&write_number, 1);
    CHECK(*number < WRITES_MAX);
    n = snprintf(command, sizeof command, "w%lu", *number);
    request = request_new(partition, command, (size_t)n, wall_now() + PATIENCE_US);
    memset(err, 0, sizeof *err);
    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    rc = router_post(nodes[node].router, request, err);
    if (rc == ERR_NONE) {
        CHECK(waiter_wait(&waiter, 1, PATIENCE_US));
        *err = request->err;
        rc = err->code;
    }
    if (rc == ERR_NONE) {
        n = snprintf(expected, sizeof expected, ":%s", command);
        CHECK(request->result.size == (size_t)n + 1);
        CHECK(memcmp(request->result.bytes + 1, expected, (size_t)n) == 0);
        (void)atomic_fetch_add(&acknowledged[partition], 1);
    }
    waiter_abandon(&waiter, request);
    request_release(request);
    return rc;
}

static bool was_applied(unsigned long number)
{
    bool applied;

    (void)pthread_mutex_lock(&log_lock);
    applied = books.seen[number];
    (void)pthread_mutex_unlock(&log_lock);
    return applied;
}

static unsigned long row_in(const buffer_t *bytes)
{
    answer_t answer;
    const void *row = NULL;
    char text[32];
    size_t n;

    CHECK(answer_decode(&answer, bytes->bytes, bytes->size, NULL) == ERR_NONE);
    CHECK(answer.row_count == 1);
    n = unpack_blob(&answer.rows, &row);
    (void)snprintf(text, sizeof text, "%.*s", (int)n, (const char *)row);
    return strtoul(text, NULL, 10);
}

static errcode_t read_from(int node, uint16_t partition, read_level_t level, unsigned long *count,
                           err_t *err)
{
    query_t query = {.kind = QUERY_SESSION, .token = *row_token()};
    buffer_t bytes;
    errcode_t rc;

    memset(err, 0, sizeof *err);
    buffer_init(&bytes, 1 << 16);
    rc = router_query_at(nodes[node].router, partition, level, &query, wall_now() + PATIENCE_US,
                         &bytes, err);
    if (rc == ERR_NONE)
        *count = row_in(&bytes);
    buffer_free(&bytes);
    return rc;
}

static bool writes(int node, uint16_t partition)
{
    unsigned long number;
    err_t err;

    return write_to(node, partition, &number, &err) == ERR_NONE;
}

static bool all_reach_all(int among)
{
    for (int i = 0; i < among; i++) {
        for (uint16_t p = 0; p <= PARTITIONS; p++) {
            if (!writes(i, p))
                return false;
        }
    }
    return true;
}

static bool says(int node, const char *text)
{
    buffer_t out;
    bool found;

    buffer_init(&out, 1 << 20);
    (void)router_ready(nodes[node].router, &out);
    buffer_byte(&out, 0);
    found = strstr((const char *)out.bytes, text) != NULL;
    buffer_free(&out);
    return found;
}

static bool metrics_say(const char *text)
{
    buffer_t out;
    bool found;

    buffer_init(&out, 1 << 20);
    metrics_write(&out);
    buffer_byte(&out, 0);
    found = strstr((const char *)out.bytes, text) != NULL;
    buffer_free(&out);
    return found;
}

#endif
