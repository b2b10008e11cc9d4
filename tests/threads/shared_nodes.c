/* shared_nodes.c - routers on a shared log in one process, over real sockets on loopback: owners and members change
 *
 * The log is a table under a mutex that says who owns what and what was applied; the copies of partitions are a thread
 * per node that looks there. So an owner can be deposed before its router knows, as in life. Every write has a number
 * of its own: it must be applied once when it was acknowledged, and never when it was refused. Runs under the thread
 * sanitizer, therefore a plain main: each check that fails ends the program with its line.
 */
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

/* --- what is checked ----------------------------------------------------------------------------- */

static void members_of_a_view_find_each_other(void)
{
    distribute(FIRST);
    EVENTUALLY(all_reach_all(FIRST));
    for (int i = 0; i < FIRST; i++) {
        EVENTUALLY(says(i, "\"status\":\"ready\""));
        CHECK(says(i, "\"troubles\":[]"));
        CHECK(router_partitions(nodes[i].router) == PARTITIONS);
        CHECK(router_home_partition(nodes[i].router) == PARTITIONS);
        for (uint16_t p = 0; p <= PARTITIONS; p++)
            CHECK(strcmp(router_owner_name(nodes[i].router, p), addresses[p % FIRST]) == 0);
    }
    router_send(nodes[0].router, 1, "hello", 5);
    router_send(nodes[1].router, 1, "hello", 5);
    EVENTUALLY(node_delivered(&nodes[1]) == 2);
}

static atomic_bool moving;
static int traffic_among; /* nodes */
static atomic_ulong tried, refused;

static void *write_and_read(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;

    while (atomic_load(&moving)) {
        uint16_t partition = (uint16_t)(rand_r(&seed) % (PARTITIONS + 1));
        int node = rand_r(&seed) % traffic_among;
        unsigned long number, count = 0, before;
        errcode_t rc;
        err_t err;

        (void)atomic_fetch_add(&tried, 1);
        if (rand_r(&seed) % 2 == 0) {
            rc = write_to(node, partition, &number, &err);
            CHECK(was_applied(number) == (rc == ERR_NONE));
        } else {
            before = atomic_load(&acknowledged[partition]);
            rc = read_from(node, partition, READ_LINEARIZABLE, &count, &err);
            CHECK(rc != ERR_NONE || count >= before);
        }
        if (rc != ERR_NONE) {
            CHECK(rc == ERR_UNREACHABLE);
            (void)atomic_fetch_add(&refused, 1);
        }
    }
    return NULL;
}

static void *scatter(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    const query_t query = {.kind = QUERY_SESSION, .token = *row_token()};

    while (atomic_load(&moving)) {
        unsigned long before[PARTITIONS];
        buffer_t answers[PARTITIONS];
        errcode_t rc;
        err_t err;

        for (int p = 0; p < PARTITIONS; p++) {
            before[p] = atomic_load(&acknowledged[p]);
            buffer_init(&answers[p], 1 << 16);
        }
        rc = router_scatter(nodes[rand_r(&seed) % traffic_among].router, &query,
                            wall_now() + PATIENCE_US, answers, &err);
        CHECK(rc == ERR_NONE || rc == ERR_UNREACHABLE);
        for (int p = 0; p < PARTITIONS; p++) {
            CHECK(rc != ERR_NONE || row_in(&answers[p]) >= before[p]);
            buffer_free(&answers[p]);
        }
    }
    return NULL;
}

static void traffic_while_owners_move(int among, int moves)
{
    pthread_t threads[6];
    unsigned seed = 1;
    unsigned long applied = 0, written = 0;

    atomic_store(&moving, true);
    atomic_store(&tried, 0);
    atomic_store(&refused, 0);
    traffic_among = among;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, i == 0 ? scatter : write_and_read,
                             (void *)(uintptr_t)(i + 1)) == 0);
    for (int i = 0; i < moves; i++)
        move((uint16_t)(rand_r(&seed) % (PARTITIONS + 1)), rand_r(&seed) % among,
             rand_r(&seed) % 2 == 0, rand_r(&seed) % 8);
    atomic_store(&moving, false);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    (void)pthread_mutex_lock(&log_lock);
    for (uint16_t p = 0; p <= PARTITIONS; p++) {
        applied += books.applied[p];
        written += atomic_load(&acknowledged[p]);
    }
    (void)pthread_mutex_unlock(&log_lock);
    CHECK(applied == written);
    printf("   %lu requests while %d owners moved, %lu of them refused\n", atomic_load(&tried),
           moves, atomic_load(&refused));
    CHECK(atomic_load(&refused) * 100 <= atomic_load(&tried)); /* hardly anybody noticed */
    EVENTUALLY(all_reach_all(among));
}

static void owners_move_under_traffic(void)
{
    traffic_while_owners_move(FIRST, 200);
}

static void a_member_joins_at_run_time(void)
{
    for (size_t i = 0; i < NODES; i++)
        view[i] = addresses[i];
    view_count = NODES;
    node_begin(3); /* it has read the view before the others have */
    EVENTUALLY(says(3, "\"without_owner\":17"));
    CHECK(says(0, "\"troubles\":[]"));
    accept_view(NODES);
    for (uint16_t p = 0; p < 4; p++)
        move(p, 3, p % 2 == 0, 1);
    EVENTUALLY(all_reach_all(NODES));
    EVENTUALLY(says(0, "\"status\":\"ready\""));
    traffic_while_owners_move(NODES, 100);
}

static void a_member_moves_to_another_address(void)
{
    uint64_t epoch;

    for (uint16_t p = 0; p <= PARTITIONS; p++) {
        if (owner_of(p, &epoch) == 3)
            move(p, p % FIRST, true, 0);
    }
    node_end(3);
    (void)snprintf(addresses[3], sizeof addresses[3], "127.0.0.1:%d", free_port());
    node_begin(3);
    accept_view(NODES);
    move(0, 3, true, 0);
    EVENTUALLY(all_reach_all(NODES));
    CHECK(strcmp(router_owner_name(nodes[1].router, 0), addresses[3]) == 0);
}

typedef struct {
    unsigned long number;
    uint16_t partition;
    errcode_t rc;
    int64_t took_us;
} writing_t;

static void *write_one(void *argument)
{
    writing_t *self = argument;
    int64_t began_us = boot_now();
    err_t err;

    self->rc = write_to(0, self->partition, &self->number, &err);
    self->took_us = boot_now() - began_us;
    return NULL;
}

static void who_was_with_an_owner_that_dies_does_not_know_but_others_wait_for_the_next(void)
{
    writing_t lost = {.partition = 0}, waiting = {.partition = 0};
    pthread_t thread;

    node_hold(&nodes[3], true);
    CHECK(pthread_create(&thread, NULL, write_one, &lost) == 0);
    EVENTUALLY(node_has(&nodes[3]));
    router_stop(nodes[3].router); /* as near to a crash as one process gets */
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(lost.rc == ERR_UNKNOWN_OUTCOME);
    CHECK(pthread_create(&thread, NULL, write_one, &waiting) == 0);
    EVENTUALLY(metrics_say("fealty_cluster_parked 1\n"));
    claim(0, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(waiting.rc == ERR_NONE);
    node_end(3);
    CHECK(!was_applied(lost.number));
}

static void a_partition_that_nobody_takes_answers_within_a_second(void)
{
    writing_t one = {.partition = 0};
    unsigned long count;
    uint64_t epoch;
    int owner = owner_of(0, &epoch);
    err_t err;

    log_release(0);
    router_set_owned(nodes[owner].router, 0, epoch, false);
    EVENTUALLY(router_owner_name(nodes[0].router, 0)[0] == '\0');
    (void)write_one(&one);
    CHECK(one.rc == ERR_UNREACHABLE);
    CHECK(one.took_us >= 900000 && one.took_us < 5000000);
    CHECK(read_from(2, 0, READ_LINEARIZABLE, &count, &err) == ERR_UNREACHABLE);
    CHECK(strcmp(err.text, "partition 0 has no owner at the moment; it is being taken over") == 0);
    claim(0, owner);
    EVENTUALLY(all_reach_all(FIRST));
}

static void a_member_that_left_is_hung_up(void)
{
    char line[128];
    unsigned long number;
    err_t err;

    node_begin(3);
    accept_view(NODES);
    EVENTUALLY(all_reach_all(NODES));
    (void)snprintf(line, sizeof line, "fealty_cluster_outstanding{node=\"%s\"}", addresses[3]);
    CHECK(metrics_say(line));
    view_count = FIRST; /* the other three accept it; the one that left does not read any more */
    for (int i = 0; i < FIRST; i++)
        router_set_members(nodes[i].router, view, FIRST);
    for (int i = 0; i < FIRST; i++)
        EVENTUALLY(!says(i, addresses[3]));
    EVENTUALLY(says(3, "\"up\":false"));
    EVENTUALLY(!metrics_say(line));
    EVENTUALLY(write_to(3, 0, &number, &err) == ERR_UNREACHABLE);
    for (int i = 0; i < FIRST; i++)
        CHECK(says(i, "\"troubles\":[]")); /* it still says hello: nothing to worry about */
    node_end(3);
}

static void another_cluster_is_refused(void)
{
    hash_t own = cluster;

    memset(&cluster, 8, sizeof cluster);
    view_count = NODES;
    node_begin(3);
    cluster = own;
    accept_view(NODES);
    EVENTUALLY(says(0, "belongs to another cluster"));
    EVENTUALLY(says(3, "belongs to another cluster"));
    claim(0, 3);
    EVENTUALLY(says(3, "\"own\":1"));
    CHECK(says(0, "\"status\":\"degraded\""));
    CHECK(strcmp(router_owner_name(nodes[0].router, 0), addresses[3]) != 0);
    claim(0, 1);
    node_end(3);
    accept_view(FIRST);
    EVENTUALLY(says(0, "\"troubles\":[]"));
    EVENTUALLY(all_reach_all(FIRST));
}

static void a_node_that_keeps_its_partitions_to_itself_is_refused(void)
{
    char list[160];
    store_t *store = store_memory_new();
    router_config_t config = {.store = store,
                              .clock = clock_system(),
                              .random = random_system(),
                              .partitions = PARTITIONS,
                              .listen = addresses[3],
                              .peers = list};
    router_t *router = NULL;
    err_t err;
    buffer_t out;

    (void)snprintf(list, sizeof list, "%s,%s", addresses[3], addresses[0]);
    random_fill(random_system(), &config.incarnation, sizeof config.incarnation);
    EVENTUALLY(router_open(&router, &config, &err) == ERR_NONE);
    CHECK(router_start(router, &err) == ERR_NONE);
    EVENTUALLY(says(0, "keeps its partitions to itself, this one on a shared log"));
    accept_view(NODES); /* now the other one is spoken to as well */
    buffer_init(&out, 1 << 20);
    EVENTUALLY((buffer_reset(&out), (void)router_ready(router, &out), buffer_byte(&out, 0),
                strstr((const char *)out.bytes, "keeps its partitions on a shared log")) != NULL);
    buffer_free(&out);
    CHECK(!router_wait_birth(router, 0));
    router_stop(router);
    router_destroy(&router);
    store_destroy(&store);
    accept_view(FIRST);
    EVENTUALLY(says(0, "\"troubles\":[]"));
}

static void reads_are_as_fresh_as_they_are_asked_to_be(void)
{
    unsigned long number, before, count = 0;
    err_t err;

    claim(0, 0);
    EVENTUALLY(strcmp(router_owner_name(nodes[1].router, 0), addresses[0]) == 0);
    EVENTUALLY(strcmp(router_owner_name(nodes[2].router, 0), addresses[0]) == 0);
    put_row(&nodes[1], 0, 1); /* a copy that is far behind */
    atomic_store(&nodes[1].follows, true);
    CHECK(write_to(1, 0, &number, &err) == ERR_NONE);
    before = node_barriers(&nodes[0]);
    CHECK(read_from(1, 0, READ_ANY, &count, &err) == ERR_NONE && count == 1);
    CHECK(read_from(2, 0, READ_ANY, &count, &err) == ERR_NONE); /* no copy: the owner's, as it is */
    CHECK(count == atomic_load(&acknowledged[0]));
    CHECK(node_barriers(&nodes[0]) == before);
    CHECK(read_from(1, 0, READ_LINEARIZABLE, &count, &err) == ERR_NONE);
    CHECK(count == atomic_load(&acknowledged[0]));
    CHECK(read_from(0, 0, READ_SESSION, &count, &err) == ERR_NONE);
    CHECK(node_barriers(&nodes[0]) == before + 2);
    atomic_store(&nodes[1].follows, false);
}

typedef struct {
    int node;
    unsigned long count;
    errcode_t rc;
} reading_t;

static void *read_fresh(void *argument)
{
    reading_t *self = argument;
    err_t err;

    self->rc = read_from(self->node, 0, READ_LINEARIZABLE, &self->count, &err);
    return NULL;
}

/* The log has another owner and another write, and no router has heard of either. */
static void a_deposed_owner_that_does_not_know_answers_no_read(void)
{
    for (int node = 0; node < FIRST; node += 2) { /* at the owner itself, and elsewhere */
        reading_t reading = {.node = node};
        pthread_t thread;
        uint64_t before, epoch;

        claim(0, 0);
        EVENTUALLY(strcmp(router_owner_name(nodes[2].router, 0), addresses[0]) == 0);
        CHECK(owner_of(0, &before) == 0);
        epoch = log_claim(0, 1);
        (void)pthread_mutex_lock(&log_lock);
        put_row(&nodes[1], 0, ++books.applied[0]);
        (void)pthread_mutex_unlock(&log_lock);
        (void)atomic_fetch_add(&acknowledged[0], 1);
        CHECK(pthread_create(&thread, NULL, read_fresh, &reading) == 0);
        EVENTUALLY(metrics_say("fealty_cluster_parked 1\n"));
        router_set_owned(nodes[1].router, 0, epoch, true);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(reading.rc == ERR_NONE);
        CHECK(reading.count == atomic_load(&acknowledged[0]));
        router_set_owned(nodes[0].router, 0, before, false);
    }
}

static void *read_one(void *argument)
{
    unsigned long *count = argument;
    err_t err;

    CHECK(read_from(1, 0, READ_LINEARIZABLE, count, &err) == ERR_NONE);
    return NULL;
}

static void many_readers_share_a_few_barriers(void)
{
    enum { READERS = 24 };
    pthread_t threads[READERS];
    unsigned long counts[READERS] = {0}, before;
    char line[128];

    move(0, 0, true, 0);
    EVENTUALLY(strcmp(router_owner_name(nodes[1].router, 0), addresses[0]) == 0);
    before = node_barriers(&nodes[0]);
    node_hold(&nodes[0], true);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_one, &counts[i]) == 0);
    (void)snprintf(line, sizeof line, "fealty_cluster_outstanding{node=\"%s\"} %d\n", addresses[0],
                   READERS);
    EVENTUALLY(metrics_say(line));
    EVENTUALLY(node_barriers(&nodes[0]) >= before + 4);
    node_hold(&nodes[0], false);
    for (int i = 0; i < READERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(counts[i] == atomic_load(&acknowledged[0]));
    }
    CHECK(node_barriers(&nodes[0]) - before < READERS / 2);
}

/* The key of the fourth node comes after that node. */
static void a_member_whose_key_is_missing_is_dialled_when_it_is_there(void)
{
    char own[256], path[KEYS_PATH_BYTES], aside[KEYS_PATH_BYTES + 8];

    keys_of(addresses[0], own);
    CHECK(keys_peer_path(own, addresses[3], path, NULL) == ERR_NONE);
    (void)snprintf(aside, sizeof aside, "%s/aside", keys_root);
    CHECK(rename(path, aside) == 0);
    for (size_t i = 0; i < NODES; i++)
        view[i] = addresses[i];
    view_count = FIRST;
    for (int i = 0; i < FIRST; i++)
        node_begin(i);
    distribute(FIRST);
    EVENTUALLY(all_reach_all(FIRST));
    view_count = NODES;
    node_begin(3);
    accept_view(NODES);
    EVENTUALLY(says(0, "there is no public key of the node at"));
    claim(0, 3);
    CHECK(strcmp(router_owner_name(nodes[0].router, 0), addresses[3]) != 0);
    CHECK(rename(aside, path) == 0);
    EVENTUALLY(all_reach_all(NODES));
    EVENTUALLY(says(0, "\"troubles\":[]"));
    for (int i = 0; i < NODES; i++)
        node_end(i);
}

int main(void)
{
    char all[4 * sizeof addresses[0]];
    addresses_t list;
    err_t err;

    for (int i = 0; i < NODES; i++) {
        (void)snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%d", free_port());
        view[i] = addresses[i];
    }
    view_count = FIRST;
    for (int i = 0; i < FIRST; i++)
        node_begin(i);
    STEP(members_of_a_view_find_each_other);
    STEP(owners_move_under_traffic);
    STEP(a_member_joins_at_run_time);
    STEP(a_member_moves_to_another_address);
    STEP(who_was_with_an_owner_that_dies_does_not_know_but_others_wait_for_the_next);
    STEP(a_partition_that_nobody_takes_answers_within_a_second);
    STEP(a_member_that_left_is_hung_up);
    STEP(another_cluster_is_refused);
    STEP(a_node_that_keeps_its_partitions_to_itself_is_refused);
    STEP(reads_are_as_fresh_as_they_are_asked_to_be);
    STEP(a_deposed_owner_that_does_not_know_answers_no_read);
    STEP(many_readers_share_a_few_barriers);
    for (int i = 0; i < FIRST; i++)
        node_end(i);

    directory_begin(keys_root, sizeof keys_root);
    (void)snprintf(all, sizeof all, "%s,%s,%s,%s", addresses[0], addresses[1], addresses[2],
                   addresses[3]);
    CHECK(addresses_parse(&list, addresses[0], all, NULL) == ERR_NONE);
    CHECK(keys_generate(keys_root, &list, &err) == ERR_NONE);
    with_keys = true;
    STEP(a_member_whose_key_is_missing_is_dialled_when_it_is_there);
    directory_end(keys_root);
    return 0;
}
