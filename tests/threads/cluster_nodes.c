/* cluster_nodes.c - three routers with their transports in one process, over real sockets on loopback
 *
 * The shards are small stand-ins: a thread that answers each command with "node:partition:" and the command's bytes, or
 * holds it back when told so. Everything else is the real thing, with and without CURVE. Runs under the thread
 * sanitizer, therefore a plain main: each check that fails ends the program with its line.
 */
#include "actors/shard.h"
#include "cluster/keys.h"
#include "cluster/router_setup.h"
#include "tests/threads/nodes.h"

#include <pthread.h>
#include <string.h>

#define NODES      3
#define PARTITIONS 16

/* --- stand-in for a shard -------------------------------------------------------------------------- */

struct shard {
    int node;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    request_t *first, *last;
    bool holding; /* takes commands and does not answer */
    bool stopping;
    unsigned long delivered; /* messages */
    uint16_t delivered_to;
};

static void *shard_main(void *argument)
{
    shard_t *self = argument;

    (void)pthread_mutex_lock(&self->lock);
    for (;;) {
        request_t *request;
        char answer[256];
        int n;

        while ((self->first == NULL || self->holding) && !self->stopping)
            (void)pthread_cond_wait(&self->posted, &self->lock);
        request = self->first;
        if (request == NULL)
            break;
        self->first = request->next;
        (void)pthread_mutex_unlock(&self->lock);
        n = snprintf(answer, sizeof answer, "%d:%u:%.*s", self->node, request->partition,
                     (int)request->command_bytes, (const char *)request->command);
        request_complete(request, answer, (size_t)n, NULL);
        request_release(request);
        (void)pthread_mutex_lock(&self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

errcode_t shard_post(shard_t *self, request_t *request, err_t *err)
{
    bool stopping;

    (void)pthread_mutex_lock(&self->lock);
    stopping = self->stopping;
    if (!stopping) {
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

void shard_deliver(shard_t *self, uint16_t dst, const void *frame, size_t n)
{
    (void)pthread_mutex_lock(&self->lock);
    CHECK(n == 5 && memcmp(frame, "hello", 5) == 0);
    self->delivered++;
    self->delivered_to = dst;
    (void)pthread_mutex_unlock(&self->lock);
}

bool shard_ready(const shard_t *self)
{
    return self != NULL;
}

void shard_troubles(shard_t *self, buffer_t *out)
{
    (void)self;
    (void)out;
}

static shard_t *stand_in_new(int node)
{
    shard_t *self = calloc(1, sizeof *self);

    CHECK(self != NULL);
    self->node = node;
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0);
    CHECK(pthread_cond_init(&self->posted, NULL) == 0);
    CHECK(pthread_create(&self->thread, NULL, shard_main, self) == 0);
    return self;
}

static void stand_in_hold(shard_t *self, bool holding)
{
    (void)pthread_mutex_lock(&self->lock);
    self->holding = holding;
    (void)pthread_cond_signal(&self->posted);
    (void)pthread_mutex_unlock(&self->lock);
}

static bool stand_in_has(shard_t *self)
{
    bool has;

    (void)pthread_mutex_lock(&self->lock);
    has = self->first != NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return has;
}

static void stand_in_stop(shard_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->stopping = true;
    (void)pthread_cond_signal(&self->posted);
    (void)pthread_mutex_unlock(&self->lock);
    CHECK(pthread_join(self->thread, NULL) == 0);
}

static void stand_in_destroy(shard_t *self)
{
    (void)pthread_cond_destroy(&self->posted);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

/* --- a node ---------------------------------------------------------------------------------------- */

typedef struct {
    store_t *store; /* survives stops */
    router_t *router;
    shard_t *shards[2];
} node_t;

static node_t nodes[NODES];
static char addresses[NODES][64];
static char peers[256];
static char keys_root[128];
static bool with_keys;

static int compare_addresses(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void choose_addresses(void)
{
    for (int i = 0; i < NODES; i++)
        (void)snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%d", free_port());
    /* In the list's order, so that a node's number here is its number in the birth record. */
    qsort(addresses, NODES, sizeof addresses[0], compare_addresses);
    (void)snprintf(peers, sizeof peers, "%s,%s,%s", addresses[2], addresses[0], addresses[1]);
}

static errcode_t node_open(int i, store_t *store, const char *list, err_t *err)
{
    char keys[256];
    router_config_t config = {.store = store,
                              .clock = clock_system(),
                              .random = random_system(),
                              .partitions = PARTITIONS,
                              .listen = addresses[i],
                              .peers = list};

    if (with_keys) {
        char name[64];

        (void)snprintf(name, sizeof name, "%s", addresses[i]);
        *strchr(name, ':') = '_';
        (void)snprintf(keys, sizeof keys, "%s/%s", keys_root, name);
        config.keys_directory = keys;
    }
    random_fill(random_system(), &config.incarnation, sizeof config.incarnation);
    return router_open(&nodes[i].router, &config, err);
}

static void node_begin(int i, const char *list)
{
    err_t err = {.code = ERR_NONE};

    if (nodes[i].store == NULL)
        nodes[i].store = store_memory_new();
    /* ZeroMQ closes the listening socket of the router before this one when it comes to it. */
    EVENTUALLY(node_open(i, nodes[i].store, list, &err) == ERR_NONE);
    CHECK(router_start(nodes[i].router, &err) == ERR_NONE);
}

static void node_serve(int i)
{
    uint16_t shard_of[PARTITIONS + 1];
    bool settled = false;

    for (int64_t until_us = boot_now() + PATIENCE_US; !settled && boot_now() < until_us;)
        settled = router_wait_birth(nodes[i].router, 100000);
    CHECK(settled);
    for (int k = 0; k < 2; k++)
        nodes[i].shards[k] = stand_in_new(i);
    for (uint16_t p = 0; p <= PARTITIONS; p++)
        shard_of[p] = p % 2;
    router_attach(nodes[i].router, nodes[i].shards, 2, shard_of);
}

static void node_stop(int i)
{
    for (int k = 0; k < 2; k++) {
        if (nodes[i].shards[k] != NULL)
            stand_in_stop(nodes[i].shards[k]);
    }
    router_stop(nodes[i].router);
    router_destroy(&nodes[i].router);
    for (int k = 0; k < 2; k++) {
        if (nodes[i].shards[k] != NULL)
            stand_in_destroy(nodes[i].shards[k]);
        nodes[i].shards[k] = NULL;
    }
}

static void cluster_begin(void)
{
    for (int i = 0; i < NODES; i++)
        node_begin(i, peers);
    for (int i = 0; i < NODES; i++)
        node_serve(i);
}

static void cluster_end(void)
{
    for (int i = 0; i < NODES; i++) {
        if (nodes[i].router != NULL)
            node_stop(i);
        store_destroy(&nodes[i].store);
    }
}

static int owner_of(uint16_t partition)
{
    return router_birth(nodes[0].router)->owners[partition];
}

static uint16_t partition_of_node(int node)
{
    uint16_t partition = 0;

    while (owner_of(partition) != node)
        partition++;
    return partition;
}

static errcode_t ask_within(int node, uint16_t partition, const char *command, char answer[256],
                            err_t *err, int64_t timeout_us)
{
    request_t *request = request_new(partition, command, strlen(command), wall_now() + timeout_us);
    waiter_t waiter;
    errcode_t rc;

    err->code = ERR_NONE;
    err->text[0] = '\0';
    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    rc = router_post(nodes[node].router, request, err);
    if (rc == ERR_NONE) {
        CHECK(waiter_wait(&waiter, 1, PATIENCE_US));
        *err = request->err;
        rc = request->err.code;
        (void)snprintf(answer, 256, "%.*s", (int)request->result.size,
                       request->result.size > 0 ? (const char *)request->result.bytes : "");
    }
    waiter_abandon(&waiter, request);
    request_release(request);
    return rc;
}

static errcode_t ask(int node, uint16_t partition, const char *command, char answer[256],
                     err_t *err)
{
    return ask_within(node, partition, command, answer, err, PATIENCE_US);
}

static bool answers(int node, uint16_t partition)
{
    char answer[256], expected[256];
    err_t err;

    if (ask(node, partition, "x", answer, &err) != ERR_NONE)
        return false;
    (void)snprintf(expected, sizeof expected, "%d:%u:x", owner_of(partition), partition);
    CHECK(strcmp(answer, expected) == 0);
    return true;
}

static bool ready_says(int node, const char *text, bool *ready)
{
    buffer_t out;
    bool found;

    buffer_init(&out, 1 << 20);
    *ready = router_ready(nodes[node].router, &out);
    buffer_byte(&out, 0);
    found = strstr((const char *)out.bytes, text) != NULL;
    buffer_free(&out);
    return found;
}

static bool says(int node, const char *text)
{
    bool ready;

    return ready_says(node, text, &ready);
}

static bool all_reach_all(void)
{
    for (int i = 0; i < NODES; i++) {
        for (int k = 0; k < NODES; k++) {
            if (!answers(i, partition_of_node(k)))
                return false;
        }
    }
    return true;
}

/* --- what is checked ------------------------------------------------------------------------------- */

static void any_node_answers_for_any_partition(void)
{
    EVENTUALLY(all_reach_all());
    for (int i = 0; i < NODES; i++) {
        bool ready;

        for (uint16_t p = 0; p <= PARTITIONS; p++)
            CHECK(answers(i, p));
        CHECK(ready_says(i, "\"status\":\"ready\"", &ready));
        CHECK(ready);
        CHECK(says(i, "\"troubles\":[]"));
        CHECK(says(i, addresses[i]));
        CHECK(router_partitions(nodes[i].router) == PARTITIONS);
        CHECK(owner_of(router_home_partition(nodes[i].router)) == i);
        for (uint16_t p = 0; p <= PARTITIONS; p++)
            CHECK(strcmp(router_owner_name(nodes[i].router, p), addresses[owner_of(p)]) == 0);
    }
}

static void *many_requests(void *argument)
{
    unsigned long number = (unsigned long)(uintptr_t)argument;
    enum { AT_ONCE = 16, ROUNDS = 60 };

    for (unsigned long round = 0; round < ROUNDS; round++) {
        request_t *requests[AT_ONCE];
        waiter_t waiter;

        waiter_init(&waiter);
        for (unsigned long i = 0; i < AT_ONCE; i++) {
            char command[64];
            uint16_t partition = (uint16_t)((number + round + i) % (PARTITIONS + 1));
            int n = snprintf(command, sizeof command, "%lu-%lu-%lu", number, round, i);

            requests[i] = request_new(partition, command, (size_t)n, wall_now() + PATIENCE_US);
            waiter_watch(&waiter, requests[i]);
            CHECK(router_post(nodes[number % NODES].router, requests[i], NULL) == ERR_NONE);
        }
        CHECK(waiter_wait(&waiter, AT_ONCE, PATIENCE_US));
        for (unsigned long i = 0; i < AT_ONCE; i++) {
            char expected[128];
            int n = snprintf(expected, sizeof expected, "%d:%u:%lu-%lu-%lu",
                             owner_of(requests[i]->partition), requests[i]->partition, number,
                             round, i);

            CHECK(requests[i]->err.code == ERR_NONE);
            CHECK(requests[i]->result.size == (size_t)n);
            CHECK(memcmp(requests[i]->result.bytes, expected, (size_t)n) == 0);
            waiter_abandon(&waiter, requests[i]);
            request_release(requests[i]);
        }
    }
    return NULL;
}

static void answers_are_not_mixed_up_under_load(void)
{
    pthread_t threads[6];

    for (uintptr_t i = 0; i < COUNT_OF(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, many_requests, (void *)i) == 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static unsigned long delivered(shard_t *shard, uint16_t *to)
{
    unsigned long n;

    (void)pthread_mutex_lock(&shard->lock);
    n = shard->delivered;
    *to = shard->delivered_to;
    (void)pthread_mutex_unlock(&shard->lock);
    return n;
}

static void messages_reach_the_shard_of_their_partition(void)
{
    for (int k = 0; k < NODES; k++) {
        uint16_t partition = partition_of_node(k);
        shard_t *shard = nodes[k].shards[partition % 2];
        uint16_t to = 0;

        router_send(nodes[0].router, partition, "hello", 5);
        EVENTUALLY(delivered(shard, &to) == 1);
        CHECK(to == partition);
    }
}

static void put_session(int node, uint16_t partition, const hash_t *token)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t batch;
    batch_part_t part;
    char value[32];
    int n = snprintf(value, sizeof value, "session of %u", partition);

    buffer_init(&batch, 4096);
    batch_put(&batch, FAMILY_STATE, key, key_session(key, partition, token), value, (size_t)n);
    part = (batch_part_t){batch.bytes, batch.size};
    CHECK(store_write(nodes[node].store, &part, 1, true, NULL) == ERR_NONE);
    buffer_free(&batch);
}

static void check_session(const buffer_t *bytes, uint16_t partition)
{
    answer_t answer;
    char expected[32];
    const void *row = NULL;
    int n = snprintf(expected, sizeof expected, "session of %u", partition);

    CHECK(answer_decode(&answer, bytes->bytes, bytes->size, NULL) == ERR_NONE);
    CHECK(answer.row_count == 1);
    CHECK(unpack_blob(&answer.rows, &row) == (size_t)n);
    CHECK(memcmp(row, expected, (size_t)n) == 0);
}

static void questions_are_answered_by_the_owner(void)
{
    query_t query = {.kind = QUERY_SESSION};
    buffer_t answers_of[PARTITIONS];
    err_t err;

    memset(query.token.bytes, 7, sizeof query.token.bytes);
    for (uint16_t p = 0; p < PARTITIONS; p++)
        put_session(owner_of(p), p, &query.token);
    for (int i = 0; i < NODES; i++) {
        for (uint16_t p = 0; p < PARTITIONS; p++) {
            buffer_init(&answers_of[p], 1 << 20);
            CHECK(router_query(nodes[i].router, p, &query, wall_now() + PATIENCE_US, &answers_of[p],
                               &err) == ERR_NONE);
            check_session(&answers_of[p], p);
            buffer_reset(&answers_of[p]);
        }
        CHECK(router_scatter(nodes[i].router, &query, wall_now() + PATIENCE_US, answers_of, &err) ==
              ERR_NONE);
        for (uint16_t p = 0; p < PARTITIONS; p++) {
            check_session(&answers_of[p], p);
            buffer_free(&answers_of[p]);
        }
    }
    /* What the owner refuses is refused here with the owner's words. */
    query.kind = 99;
    buffer_init(&answers_of[0], 1 << 20);
    CHECK(router_query(nodes[0].router, partition_of_node(1), &query, wall_now() + PATIENCE_US,
                       &answers_of[0], &err) == ERR_INVALID);
    buffer_free(&answers_of[0]);
}

static void a_late_answer_is_an_unknown_outcome(void)
{
    uint16_t partition = partition_of_node(1);
    char answer[256];
    err_t err;

    stand_in_hold(nodes[1].shards[partition % 2], true);
    CHECK(ask_within(0, partition, "x", answer, &err, 50000) == ERR_UNKNOWN_OUTCOME);
    stand_in_hold(nodes[1].shards[partition % 2], false);
    CHECK(answers(0, partition)); /* the late one, on its way before this, finds nobody */
}

typedef struct {
    uint16_t partition;
    errcode_t rc;
} waiting_t;

static void *wait_for_outcome(void *argument)
{
    waiting_t *self = argument;
    char answer[256];
    err_t err;

    self->rc = ask(0, self->partition, "x", answer, &err);
    return NULL;
}

static void a_node_that_stops_takes_only_its_own_partitions_along(void)
{
    waiting_t waiting = {.partition = partition_of_node(2)};
    shard_t *shard = nodes[2].shards[waiting.partition % 2];
    query_t query = {.kind = QUERY_SESSION};
    buffer_t none[PARTITIONS];
    char answer[256];
    pthread_t thread;
    err_t err;
    bool ready;

    /* One command is at the node and gets no answer. The router stops first: as near to a crash as one process gets. */
    stand_in_hold(shard, true);
    CHECK(pthread_create(&thread, NULL, wait_for_outcome, &waiting) == 0);
    EVENTUALLY(stand_in_has(shard));
    router_stop(nodes[2].router);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(waiting.rc == ERR_UNKNOWN_OUTCOME);
    node_stop(2);

    for (uint16_t p = 0; p <= PARTITIONS; p++) {
        if (owner_of(p) != 2) {
            CHECK(answers(0, p));
            continue;
        }
        CHECK(ask(0, p, "x", answer, &err) == ERR_UNREACHABLE);
        CHECK(strstr(err.text, addresses[2]) != NULL);
    }
    for (uint16_t p = 0; p < PARTITIONS; p++)
        buffer_init(&none[p], 1 << 20);
    CHECK(router_scatter(nodes[0].router, &query, wall_now() + PATIENCE_US, none, &err) ==
          ERR_UNREACHABLE);
    CHECK(strstr(err.text, addresses[2]) != NULL);
    for (uint16_t p = 0; p < PARTITIONS; p++)
        buffer_free(&none[p]);
    router_send(nodes[0].router, waiting.partition, "hello", 5); /* dropped without harm */
    CHECK(ready_says(0, "\"status\":\"degraded\"", &ready));
    CHECK(ready);
}

static void it_comes_back_with_what_it_had(void)
{
    node_begin(2, peers);
    node_serve(2);
    EVENTUALLY(all_reach_all());
    EVENTUALLY(says(0, "\"status\":\"ready\""));
    questions_are_answered_by_the_owner();
}

static void a_node_that_was_left_out_of_a_list_keeps_its_partitions(void)
{
    char two[160], answer[256];
    err_t err;

    (void)snprintf(two, sizeof two, "%s,%s", addresses[0], addresses[1]);
    node_stop(0);
    node_begin(0, two);
    node_serve(0);
    for (uint16_t p = 0; p <= PARTITIONS; p++) {
        if (owner_of(p) != 2) {
            EVENTUALLY(answers(0, p));
            continue;
        }
        CHECK(ask(0, p, "x", answer, &err) == ERR_UNREACHABLE);
        CHECK(strstr(err.text, addresses[2]) != NULL);
    }
    EVENTUALLY(says(0, "which is not in this node's list of addresses"));
    node_stop(0);
    node_begin(0, peers);
    node_serve(0);
    EVENTUALLY(all_reach_all());
}

static void an_empty_store_is_no_member(void)
{
    store_t *full = nodes[2].store;
    char answer[256];
    err_t err;

    node_stop(2);
    nodes[2].store = NULL;
    node_begin(2, peers);
    EVENTUALLY(says(0, "is empty although its cluster exists"));
    EVENTUALLY(says(2, "this node's store is empty but"));
    CHECK(!router_wait_birth(nodes[2].router, 300000));
    CHECK(ask(0, partition_of_node(2), "x", answer, &err) == ERR_UNREACHABLE);
    CHECK(ask(2, partition_of_node(2), "x", answer, &err) == ERR_UNREACHABLE);
    node_stop(2);
    store_destroy(&nodes[2].store);
    nodes[2].store = full;
    node_begin(2, peers);
    node_serve(2);
    EVENTUALLY(all_reach_all());
}

static bool is_halted(int node, uint16_t partition)
{
    char answer[256];
    err_t err;

    return ask(node, partition, "x", answer, &err) == ERR_HALTED;
}

static void two_copies_of_one_store_both_stop(void)
{
    store_t *own = nodes[2].store;
    uint16_t contested = partition_of_node(1);

    node_stop(2);
    nodes[2].store = store_memory_copy(nodes[1].store); /* node 1 twice, at two addresses */
    node_begin(2, peers);
    node_serve(2);
    EVENTUALLY(is_halted(1, contested));
    EVENTUALLY(is_halted(2, contested));
    EVENTUALLY(is_halted(0, contested));
    EVENTUALLY(says(0, "both say that they are node 1"));
    EVENTUALLY(says(1, "run on copies of one store"));
    CHECK(answers(0, partition_of_node(0)));
    /* The others see no contest any more when one of the two is gone; the one that saw its double stays out. */
    node_stop(2);
    store_destroy(&nodes[2].store);
    EVENTUALLY(!says(0, "both say that they are node 1"));
    CHECK(is_halted(1, contested));
    CHECK(is_halted(0, contested));
    node_stop(1);
    node_begin(1, peers);
    node_serve(1);
    nodes[2].store = own;
    node_begin(2, peers);
    node_serve(2);
    EVENTUALLY(all_reach_all());
}

static void a_node_that_dies_before_the_settling_takes_it_up_again(void)
{
    birth_t birth;
    bool found = false;

    /* Node 0 alone has stored the birth: as after a crash between its write and the first answer. */
    for (int i = 0; i < NODES; i++)
        nodes[i].store = store_memory_new();
    {
        addresses_t list;

        CHECK(addresses_parse(&list, addresses[0], peers, NULL) == ERR_NONE);
        CHECK(genesis_cluster(&list, random_system(), PARTITIONS, &birth, NULL) == ERR_NONE);
        CHECK(genesis_store(nodes[0].store, &birth, NULL) == ERR_NONE);
    }
    node_begin(0, peers);
    node_begin(1, peers);
    EVENTUALLY(genesis_load(nodes[1].store, &birth, &found, NULL) == ERR_NONE && found);
    CHECK(!birth.settled);
    CHECK(!router_wait_birth(nodes[0].router, 100000));
    EVENTUALLY(says(0, addresses[2])); /* it says who is missing */
    node_begin(2, peers);
    for (int i = 0; i < NODES; i++)
        node_serve(i);
    EVENTUALLY(all_reach_all());
    CHECK(hash_equal(&router_birth(nodes[2].router)->cluster, &birth.cluster));
    cluster_end();
}

static void a_store_is_used_only_the_way_it_was_born(void)
{
    store_t *single = store_memory_new();
    store_t *empty = store_memory_new();
    router_config_t config = {.store = single,
                              .clock = clock_system(),
                              .random = random_system(),
                              .partitions = PARTITIONS};
    router_t *router = NULL;
    err_t err;

    CHECK(router_open(&router, &config, &err) == ERR_NONE);
    CHECK(router_start(router, &err) == ERR_NONE);
    CHECK(router_wait_birth(router, 0));
    CHECK(router_birth(router)->node_count == 1);
    CHECK(strcmp(router_owner_name(router, 0), "local") == 0);
    router_destroy(&router);

    config.listen = addresses[0];
    config.peers = peers;
    CHECK(router_open(&router, &config, &err) == ERR_STATE);
    CHECK(router == NULL);
    config.store = empty;
    config.listen = "192.0.2.1:7001";
    config.peers = "192.0.2.1:7001,192.0.2.2:7001";
    CHECK(router_open(&router, &config, &err) == ERR_STATE);
    CHECK(strstr(err.text, "fealty keys") != NULL);
    config.listen = addresses[0];
    config.peers = addresses[1];
    CHECK(router_open(&router, &config, &err) == ERR_INVALID);
    store_destroy(&single);
    store_destroy(&empty);
}

static void a_clusters_store_does_not_start_alone(void)
{
    router_config_t config = {.store = nodes[0].store,
                              .clock = clock_system(),
                              .random = random_system(),
                              .partitions = PARTITIONS};
    router_t *router = NULL;
    err_t err;

    CHECK(router_open(&router, &config, &err) == ERR_STATE);
    CHECK(strstr(err.text, addresses[0]) != NULL);
}

/* A node whose keys the others do not know is nobody to them. */
static void a_stranger_with_other_keys_is_not_heard(void)
{
    char true_root[sizeof keys_root];
    addresses_t list;
    err_t err;

    memcpy(true_root, keys_root, sizeof true_root);
    node_stop(2);
    (void)snprintf(keys_root, sizeof keys_root, "%.100s/false", true_root);
    CHECK(addresses_parse(&list, addresses[0], peers, NULL) == ERR_NONE);
    CHECK(keys_generate(keys_root, &list, &err) == ERR_NONE);
    CHECK(keys_generate(keys_root, &list, &err) == ERR_STATE);
    node_begin(2, peers);
    node_serve(2); /* it has its birth; it just is alone */
    for (int64_t until_us = boot_now() + 1500000; boot_now() < until_us; rest())
        CHECK(!answers(2, partition_of_node(0)));
    CHECK(!answers(0, partition_of_node(2)));
    node_stop(2);
    memcpy(keys_root, true_root, sizeof keys_root);
    node_begin(2, peers);
    node_serve(2);
    EVENTUALLY(all_reach_all());
}

int main(void)
{
    addresses_t list;
    err_t err;

    choose_addresses();
    STEP(a_store_is_used_only_the_way_it_was_born);
    cluster_begin();
    STEP(any_node_answers_for_any_partition);
    STEP(answers_are_not_mixed_up_under_load);
    STEP(messages_reach_the_shard_of_their_partition);
    STEP(questions_are_answered_by_the_owner);
    STEP(a_late_answer_is_an_unknown_outcome);
    STEP(a_node_that_stops_takes_only_its_own_partitions_along);
    STEP(it_comes_back_with_what_it_had);
    STEP(a_node_that_was_left_out_of_a_list_keeps_its_partitions);
    STEP(an_empty_store_is_no_member);
    STEP(two_copies_of_one_store_both_stop);
    STEP(a_clusters_store_does_not_start_alone);
    cluster_end();
    STEP(a_node_that_dies_before_the_settling_takes_it_up_again);

    /* The same with CURVE. */
    directory_begin(keys_root, sizeof keys_root);
    CHECK(addresses_parse(&list, addresses[0], peers, NULL) == ERR_NONE);
    CHECK(keys_generate(keys_root, &list, &err) == ERR_NONE);
    with_keys = true;
    cluster_begin();
    STEP(any_node_answers_for_any_partition);
    STEP(answers_are_not_mixed_up_under_load);
    STEP(a_stranger_with_other_keys_is_not_heard);
    cluster_end();
    directory_end(keys_root);
    return 0;
}
