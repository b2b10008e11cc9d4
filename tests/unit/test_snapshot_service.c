/* test_snapshot_service.c - copies from node to node over real sockets: sources that lie, die, or say nothing */
#include "cluster/snapshot_service.h"

#include "cluster/bulk.h"
#include "cluster/keys.h"
#include "protocol/clock.h"
#include "tests/unit/copies.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#define PARTITIONS  4
#define FETCHED     2
#define PATIENCE_US INT64_C(30000000)

static const hash_t cluster = {{5, 5}};

/* One node's share in it. */
typedef struct {
    store_t *store;
    catalogue_t *catalogue;
    snapshot_service_t *service;
    const char *address;
    snapshot_source_t as_source;
} fetcher_t;

static fetcher_t fetcher_new(const char *address, const char *keys)
{
    fetcher_t self = {
        .store = store_memory_new(), .catalogue = catalogue_new(), .address = address};
    const snapshot_service_config_t config = {.address = address,
                                              .keys_directory = keys,
                                              .store = self.store,
                                              .catalogue = self.catalogue,
                                              .partitions = PARTITIONS,
                                              .first = 1000};
    err_t err = {0};

    cr_assert_eq(snapshot_service_open(&self.service, &config, &err), ERR_NONE, "%s", err.text);
    snapshot_service_set_cluster(self.service, &cluster);
    memcpy(self.as_source.address, address, strlen(address) + 1);
    self.as_source.port = snapshot_service_port(self.service);
    cr_assert_gt(self.as_source.port, 0);
    return self;
}

static void fetcher_free(fetcher_t *self)
{
    snapshot_service_close(&self->service);
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
}

static void fetcher_fill(fetcher_t *self, uint32_t rows, uint64_t seq)
{
    copies_define(self->store, 1);
    copies_write(self->store, FETCHED, 0, rows, 400, seq);
}

static void rest_a_moment(void)
{
    const struct timespec moment = {.tv_nsec = 2000000};

    (void)nanosleep(&moment, NULL);
}

static fill_state_t fetched(fetcher_t *self)
{
    int64_t until_us = clock_boot_us(clock_system()) + PATIENCE_US;
    fill_state_t state = snapshot_service_poll(self->service);

    for (; state == FILL_RUNNING; state = snapshot_service_poll(self->service)) {
        cr_assert_lt(clock_boot_us(clock_system()), until_us);
        rest_a_moment();
    }
    cr_assert_eq(snapshot_service_poll(self->service), FILL_IDLE);
    return state;
}

static fill_state_t fetch(fetcher_t *self, const snapshot_source_t *sources, size_t count)
{
    cr_assert(snapshot_service_fill(self->service, FETCHED, sources, count, NULL));
    cr_assert(!snapshot_service_fill(self->service, FETCHED, sources, count, NULL));
    return fetched(self);
}

static uint64_t figure(snapshot_service_t *service, const char *name)
{
    buffer_t text;
    char line[128];
    unsigned long long value = UINT64_MAX;

    buffer_init(&text, 64 * 1024);
    snapshot_service_metrics(service, &text);
    buffer_byte(&text, '\0');
    cr_assert(!text.failed);
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr((const char *)text.bytes, line);
    cr_assert(at != NULL, "%s", name);
    cr_assert_eq(sscanf(at + strlen(line), "%llu", &value), 1);
    buffer_free(&text);
    return value;
}

static void eventually(snapshot_service_t *service, const char *name, uint64_t value)
{
    int64_t until_us = clock_boot_us(clock_system()) + PATIENCE_US;

    while (figure(service, name) != value) {
        cr_assert_lt(clock_boot_us(clock_system()), until_us, "%s is %llu", name,
                     (unsigned long long)figure(service, name));
        rest_a_moment();
    }
}

Test(snapshot_service, fills_a_copy_from_another_node, .timeout = 60)
{
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);
    fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);

    fetcher_fill(&source, 6000, 90);
    copies_write(target.store, FETCHED, 3000, 9000, 20, 4);
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_DONE);
    cr_assert(copies_are_equal(source.store, target.store, FETCHED));
    cr_assert(!copies_incomplete(target.store, FETCHED));
    cr_assert_eq(catalogue_version(target.catalogue), 1);
    cr_assert_eq(figure(target.service, "fealty_snapshots_filled_total"), 1);
    /* The source knows at once that it may forget it. */
    eventually(source.service, "fealty_snapshots_sent_total", 1);
    cr_assert_eq(figure(source.service, "fealty_snapshots_sending"), 0);
    cr_assert_eq(figure(source.service, "fealty_snapshot_sent_bytes_total"),
                 figure(target.service, "fealty_snapshot_received_bytes_total"));
    fetcher_free(&target);
    fetcher_free(&source);
}

typedef struct {
    store_t *store;
    atomic_bool stop;
    uint64_t seq;
} busy_t;

static void *write_on(void *argument)
{
    busy_t *busy = argument;

    while (!atomic_load(&busy->stop)) {
        busy->seq++;
        copies_write(busy->store, FETCHED, 0, 30, 400, busy->seq);
    }
    return NULL;
}

Test(snapshot_service, a_source_that_goes_on_writing_gives_one_moment, .timeout = 60)
{
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);
    busy_t busy = {.store = source.store, .seq = 100};
    pthread_t thread;

    fetcher_fill(&source, 3000, 100);
    copies_write(source.store, FETCHED, 0, 30, 400, 100);
    cr_assert_eq(pthread_create(&thread, NULL, write_on, &busy), 0);
    for (int round = 0; round < 5; round++) {
        fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);
        position_t position;
        bool found = false;
        buffer_t value;

        cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_DONE);
        cr_assert_eq(journal_stored_position(target.store, FETCHED, &position, &found, NULL),
                     ERR_NONE);
        cr_assert(found);
        /* Each of the thirty rows, in each family, says the position's number. */
        buffer_init(&value, 4096);
        for (uint32_t i = 0; i < 30; i++) {
            uint8_t key[7] = {0, FETCHED, 'A'};

            be32_put(key + 3, i);
            buffer_reset(&value);
            found = false;
            cr_assert_eq(store_get(target.store, NULL, i % 2 ? FAMILY_STATE : FAMILY_LOT, key,
                                   sizeof key, &value, &found, NULL),
                         ERR_NONE);
            cr_assert(found);
            cr_assert_eq(be64_get(value.bytes), position.seq);
        }
        buffer_free(&value);
        fetcher_free(&target);
    }
    atomic_store(&busy.stop, true);
    (void)pthread_join(thread, NULL);
    fetcher_free(&source);
}

/* A source that is not what it should be: it begins as one, then does its worst. */
typedef enum { SPOILS_A_CHUNK, LEAVES_ONE_OUT, LIES_AT_THE_END, GOES_SILENT, SAYS_NO } worst_t;

typedef struct {
    worst_t worst;
    fetcher_t *has; /* what it would have to send */
    bulk_t *socket;
    snapshot_source_t as_source;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint asked;
} liar_t;

static void liar_send(liar_t *self, const bulk_peer_t *peer, const snapshot_head_t *ask,
                      snapshot_kind_t kind, uint32_t number, const void *body, size_t n, bool spoil)
{
    snapshot_head_t head = {.kind = (uint8_t)kind,
                            .partition = ask->partition,
                            .transfer = ask->transfer,
                            .number = number};
    uint8_t bytes[SNAPSHOT_HEAD_BYTES];
    uint8_t *copy = memory_alloc(n + 1);

    if (n > 0)
        memcpy(copy, body, n);
    snapshot_head_encode(&head, body, n, bytes);
    if (spoil)
        copy[n / 2] ^= 1;
    (void)bulk_send(self->socket, peer, bytes, sizeof bytes, copy, n);
    free(copy);
}

static void liar_answer(liar_t *self, const bulk_peer_t *peer, const snapshot_head_t *ask)
{
    snapshot_reader_t *reader;
    buffer_t body;
    uint32_t number;
    const uint8_t *bytes;
    size_t n = 1;

    buffer_init(&body, SNAPSHOT_BODY_MAX);
    if (snapshot_reader_open(&reader, self->has->store, ask->partition, NULL) != ERR_NONE)
        abort();
    if (self->worst == SAYS_NO) {
        liar_send(self, peer, ask, SNAPSHOT_NO, 0, "not now", 7, false);
        n = 0;
    } else {
        snapshot_reader_begin(reader, &body);
        liar_send(self, peer, ask, SNAPSHOT_BEGIN, 0, body.bytes, body.size, false);
    }
    while (n > 0) {
        if (snapshot_reader_next(reader, &number, &bytes, &n, NULL) != ERR_NONE)
            abort();
        if (self->worst == GOES_SILENT && number == 3)
            break;
        if (n > 0 && !(self->worst == LEAVES_ONE_OUT && number == 3))
            liar_send(self, peer, ask, SNAPSHOT_CHUNK, number, bytes, n,
                      self->worst == SPOILS_A_CHUNK && number == 3);
    }
    if (n == 0 && self->worst != SAYS_NO) {
        buffer_reset(&body);
        snapshot_reader_end(reader, &body);
        body.bytes[body.size - 1] ^= 1;
        liar_send(self, peer, ask, SNAPSHOT_END, number + 1, body.bytes, body.size, false);
    }
    snapshot_reader_destroy(&reader);
    buffer_free(&body);
}

static void *liar_main(void *argument)
{
    liar_t *self = argument;
    bulk_frame_t frame;
    snapshot_head_t head;

    while (!atomic_load(&self->stop)) {
        while (bulk_receive(self->socket, &frame)) {
            if (snapshot_head_decode(&head, frame.head, frame.head_bytes, frame.body,
                                     frame.body_bytes, NULL) != ERR_NONE)
                abort();
            if (head.kind == SNAPSHOT_ASK) {
                const bulk_peer_t peer = frame.peer;
                liar_answer(self, &peer, &head);
                atomic_fetch_add(&self->asked, 1);
            }
        }
        bulk_wait(self->socket, 0, false, 5);
    }
    return NULL;
}

static void liar_start(liar_t *self, fetcher_t *has, worst_t worst)
{
    static const char address[] = "127.0.0.1:7409";

    memset(self, 0, sizeof *self);
    self->worst = worst;
    self->has = has;
    memcpy(self->as_source.address, address, sizeof address);
    cr_assert_eq(bulk_listen(&self->socket, address, 0, NULL, &self->as_source.port, NULL),
                 ERR_NONE);
    cr_assert_eq(pthread_create(&self->thread, NULL, liar_main, self), 0);
}

static void liar_end(liar_t *self)
{
    atomic_store(&self->stop, true);
    (void)pthread_join(self->thread, NULL);
    bulk_close(&self->socket);
}

static void goes_on_with_another(worst_t worst)
{
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);
    fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);
    snapshot_source_t both[2];
    liar_t liar;

    fetcher_fill(&source, 900, 90);
    copies_write(target.store, FETCHED, 0, 50, 20, 4);
    liar_start(&liar, &source, worst);
    both[0] = liar.as_source;
    both[1] = source.as_source;
    cr_assert_eq(fetch(&target, both, 2), FILL_DONE);
    cr_assert_eq(atomic_load(&liar.asked), 1);
    cr_assert(copies_are_equal(source.store, target.store, FETCHED));
    cr_assert_eq(figure(target.service, "fealty_snapshots_broken_total"), 1);
    liar_end(&liar);
    fetcher_free(&target);
    fetcher_free(&source);
}

Test(snapshot_service, after_a_spoilt_chunk_another_source_fills_it, .timeout = 60)
{
    goes_on_with_another(SPOILS_A_CHUNK);
}

Test(snapshot_service, after_a_missing_chunk_another_source_fills_it, .timeout = 60)
{
    goes_on_with_another(LEAVES_ONE_OUT);
}

Test(snapshot_service, after_a_wrong_digest_another_source_fills_it, .timeout = 60)
{
    goes_on_with_another(LIES_AT_THE_END);
}

Test(snapshot_service, after_a_source_that_says_no_another_one_is_asked, .timeout = 60)
{
    goes_on_with_another(SAYS_NO);
}

Test(snapshot_service, after_a_source_that_goes_silent_another_one_is_asked, .timeout = 60)
{
    goes_on_with_another(GOES_SILENT);
}

Test(snapshot_service, without_a_source_left_the_copy_stays_marked, .timeout = 60)
{
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);
    fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);
    liar_t liar;

    fetcher_fill(&source, 900, 90);
    liar_start(&liar, &source, SPOILS_A_CHUNK);
    cr_assert_eq(fetch(&target, &liar.as_source, 1), FILL_BROKEN);
    cr_assert(copies_incomplete(target.store, FETCHED));
    /* The next one makes it whole. */
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_DONE);
    cr_assert(copies_are_equal(source.store, target.store, FETCHED));
    liar_end(&liar);
    fetcher_free(&target);
    fetcher_free(&source);
}

/* Somebody listens there and never says a word. */
static uint16_t mute_port(int *listener)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;

    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(*listener, 0);
    cr_assert_eq(bind(*listener, (struct sockaddr *)&at, n), 0);
    cr_assert_eq(listen(*listener, 4), 0);
    cr_assert_eq(getsockname(*listener, (struct sockaddr *)&at, &n), 0);
    return ntohs(at.sin_port);
}

Test(snapshot_service, a_copy_is_not_touched_when_nobody_has_a_newer_one, .timeout = 60)
{
    static const hash_t other = {{6}};
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);
    fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);
    snapshot_source_t nobody = source.as_source;
    store_t *before;
    int hole;

    copies_write(target.store, FETCHED, 0, 50, 20, 91);
    before = store_memory_copy(target.store);
    /* None at all, an older one, one of another cluster, a port where nobody speaks. */
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_UNTOUCHED);
    fetcher_fill(&source, 10, 90);
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_UNTOUCHED);
    fetcher_fill(&source, 10, 95);
    snapshot_service_set_cluster(source.service, &other);
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_UNTOUCHED);
    nobody.port = mute_port(&hole);
    cr_assert_eq(fetch(&target, &nobody, 1), FILL_UNTOUCHED);
    (void)close(hole);
    cr_assert(copies_are_equal(before, target.store, FETCHED));
    cr_assert_not(snapshot_service_fill(target.service, FETCHED, NULL, 0, NULL));
    store_destroy(&before);
    fetcher_free(&target);
    fetcher_free(&source);
}

Test(snapshot_service, sends_to_two_at_a_time_and_sends_a_third_away, .timeout = 60)
{
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);
    fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);
    bulk_t *askers[2] = {NULL, NULL};
    bulk_frame_t frame;

    fetcher_fill(&source, 3000, 90);
    for (size_t i = 0; i < 2; i++) {
        snapshot_head_t head = {.kind = SNAPSHOT_ASK, .partition = FETCHED, .transfer = i};
        uint8_t bytes[SNAPSHOT_HEAD_BYTES];

        cr_assert_eq(bulk_dial(&askers[i], source.address, source.as_source.port, NULL, NULL),
                     ERR_NONE);
        snapshot_head_encode(&head, cluster.bytes, sizeof cluster.bytes, bytes);
        while (
            !bulk_send(askers[i], NULL, bytes, sizeof bytes, cluster.bytes, sizeof cluster.bytes))
            rest_a_moment();
        while (!bulk_receive(askers[i], &frame))
            rest_a_moment();
        cr_assert_eq(snapshot_head_decode(&head, frame.head, frame.head_bytes, frame.body,
                                          frame.body_bytes, NULL),
                     ERR_NONE);
        cr_assert_eq(head.kind, SNAPSHOT_BEGIN);
    }
    cr_assert_eq(figure(source.service, "fealty_snapshots_sending"), 2);
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_UNTOUCHED);
    /* Whoever went away without a word is noticed, and its place is free again. */
    bulk_close(&askers[0]);
    eventually(source.service, "fealty_snapshots_sending", 1);
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_DONE);
    bulk_close(&askers[1]);
    fetcher_free(&target);
    fetcher_free(&source);
}

Test(snapshot_service, can_be_taken_back_and_stopped_at_any_moment, .timeout = 60)
{
    fetcher_t source = fetcher_new("127.0.0.1:7401", NULL);

    fetcher_fill(&source, 4000, 90);
    for (int round = 0; round < 12; round++) {
        fetcher_t target = fetcher_new("127.0.0.1:7402", NULL);
        fill_state_t state;

        cr_assert(snapshot_service_fill(target.service, FETCHED, &source.as_source, 1, NULL));
        for (int i = 0; i < round; i++)
            rest_a_moment();
        if (round % 2 == 0) {
            snapshot_service_cancel(target.service);
            state = fetched(&target);
            cr_assert(state == FILL_DONE || state == FILL_BROKEN || state == FILL_UNTOUCHED);
            cr_assert_eq(copies_incomplete(target.store, FETCHED), state == FILL_BROKEN);
        }
        fetcher_free(&target);
    }
    eventually(source.service, "fealty_snapshots_sending", 0);
    fetcher_free(&source);
}

Test(snapshot_service, with_keys_only_the_clusters_nodes_get_anything, .timeout = 60)
{
    scratch_t scratch = scratch_new();
    addresses_t addresses;
    char one[1024], two[1024], root[1024], strange[1024], other_root[1024];

    cr_assert_eq(
        addresses_parse(&addresses, "127.0.0.1:7401", "127.0.0.1:7401,127.0.0.1:7402", NULL),
        ERR_NONE);
    scratch_join(root, scratch.path, "keys");
    scratch_join(other_root, scratch.path, "others");
    cr_assert_eq(keys_generate(root, &addresses, NULL), ERR_NONE);
    cr_assert_eq(keys_generate(other_root, &addresses, NULL), ERR_NONE);
    scratch_join(one, scratch.path, "keys/127.0.0.1_7401");
    scratch_join(two, scratch.path, "keys/127.0.0.1_7402");
    scratch_join(strange, scratch.path, "others/127.0.0.1_7402");
    fetcher_t source = fetcher_new("127.0.0.1:7401", one);
    fetcher_t target = fetcher_new("127.0.0.1:7402", two);
    fetcher_fill(&source, 900, 90);
    cr_assert_eq(fetch(&target, &source.as_source, 1), FILL_DONE);
    cr_assert(copies_are_equal(source.store, target.store, FETCHED));
    fetcher_t stranger = fetcher_new("127.0.0.1:7402", strange);
    cr_assert_eq(fetch(&stranger, &source.as_source, 1), FILL_UNTOUCHED);
    fetcher_t plain = fetcher_new("127.0.0.1:7402", NULL);
    cr_assert_eq(fetch(&plain, &source.as_source, 1), FILL_UNTOUCHED);
    fetcher_free(&plain);
    fetcher_free(&stranger);
    fetcher_free(&target);
    fetcher_free(&source);
    scratch_remove(&scratch);
}

Test(snapshot_service, outside_of_loopback_needs_keys, .timeout = 20)
{
    const snapshot_service_config_t config = {.address = "192.0.2.1:7400"};
    snapshot_service_t *service = NULL;
    err_t err = {0};

    cr_assert_eq(snapshot_service_open(&service, &config, &err), ERR_STATE);
    cr_assert_null(service);
    cr_assert(strstr(err.text, "keys") != NULL);
}
