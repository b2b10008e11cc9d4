/* shared_nodes.c - routers on a shared log in one process, over real sockets on loopback: owners and members change
 *
 * The log is a table under a mutex that says who owns what and what was applied; the copies of partitions are a thread
 * per node that looks there. So an owner can be deposed before its router knows, as in life. Every write has a number
 * of its own: it must be applied once when it was acknowledged, and never when it was refused. Runs under the thread
 * sanitizer, therefore a plain main: each check that fails ends the program with its line.
 */
#include "tests/threads/shared_bed.h"

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
    CHECK(node_barriers(&nodes[0]) == before + 1);
    /* Who has seen nothing takes what any copy has; where there is none, the owner's is asked in earnest. */
    CHECK(read_from(1, 0, READ_SESSION, &count, &err) == ERR_NONE && count == 1);
    CHECK(node_barriers(&nodes[0]) == before + 1);
    CHECK(read_from(2, 0, READ_SESSION, &count, &err) == ERR_NONE);
    CHECK(count == atomic_load(&acknowledged[0]));
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
    /* The fourth dials too, and is refused: where that happens often enough, ZeroMQ gives up. */
    (void)poll(NULL, 0, 1500);
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
