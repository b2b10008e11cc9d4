/* test_fills.c - which copies are filled from another node, which from the log, and when */
#include "cluster/fills.h"

#include "storage/image.h"
#include "tests/unit/paper_log.h"

#define FAR     50 /* records from which on a copy is filled */
#define STEP_US INT64_C(50000)

/* One node with its copies, and a filler that does what the test says. */
typedef struct {
    paper_t *paper;
    pen_t *pen; /* the journal's */
    journal_t journal;
    store_t *store;
    catalogue_t *catalogue;
    row_cache_t *cache;
    replica_t *replicas[LOGS];
    fills_t *fills;
    int64_t now_us;
    bool accompanied;    /* by other members */
    size_t source_count; /* of every partition */
    bool knows_way;      /* to the sources */
    unsigned started;
    uint16_t filling;
    fill_state_t state;
    bool cancelled;
    const hash_t *wanted; /* history of the newest copy that was begun; NULL: any */
} copies_node_t;

static replica_t *node_replica(void *state, uint16_t partition)
{
    copies_node_t *self = state;

    return partition < LOGS ? self->replicas[partition] : NULL;
}

static bool node_accompanied(void *state)
{
    return ((copies_node_t *)state)->accompanied;
}

static size_t node_sources(void *state, uint16_t partition, const char *out[FILLS_SOURCES_MAX])
{
    copies_node_t *self = state;

    cr_assert_lt(partition, LOGS);
    for (size_t i = 0; i < self->source_count; i++)
        out[i] = "another";
    return self->source_count;
}

static bool filler_start(void *state, uint16_t partition, const char *const *sources, size_t count,
                         const hash_t *history)
{
    copies_node_t *self = state;

    cr_assert_eq(count, self->source_count);
    cr_assert_str_eq(sources[0], "another");
    cr_assert_neq(self->state, FILL_RUNNING, "two at a time");
    cr_assert_eq(replica_state(self->replicas[partition]), REPLICA_CLOSED);
    if (!self->knows_way)
        return false;
    self->started++;
    self->wanted = history;
    self->filling = partition;
    self->state = FILL_RUNNING;
    self->cancelled = false;
    return true;
}

static fill_state_t filler_poll(void *state)
{
    copies_node_t *self = state;
    fill_state_t was = self->state;

    if (was != FILL_RUNNING)
        self->state = FILL_IDLE;
    return was;
}

static void filler_cancel(void *state)
{
    ((copies_node_t *)state)->cancelled = true;
}

static void send_nothing(void *state, uint16_t dst, const void *frame, size_t n)
{
    (void)state;
    (void)dst;
    (void)frame;
    (void)n;
}

static copies_node_t *node_new(bool with_filler)
{
    copies_node_t *self = memory_zalloc(sizeof *self);
    fills_config_t fills = {.partitions = LOGS - 1,
                            .behind = FAR,
                            .journal = &self->journal,
                            .replica = node_replica,
                            .accompanied = node_accompanied,
                            .sources = node_sources,
                            .state = self};

    self->paper = paper_new();
    self->pen = memory_zalloc(sizeof *self->pen);
    self->pen->paper = self->paper;
    self->journal = (journal_t){.ops = &pen_ops, .state = self->pen};
    self->store = store_memory_new();
    self->catalogue = catalogue_new();
    self->cache = row_cache_new(16, 1 << 16);
    for (uint16_t p = 0; p < LOGS; p++) {
        const partition_config_t config = {.number = p,
                                           .partitions = LOGS - 1,
                                           .store = self->store,
                                           .catalogue = self->catalogue,
                                           .cache = self->cache,
                                           .incarnation = {{1}},
                                           .shared = true,
                                           .send = send_nothing,
                                           .state = self};
        self->replicas[p] = replica_new(&config, &self->journal);
    }
    if (with_filler)
        fills.filler = (filler_t){
            .start = filler_start, .poll = filler_poll, .cancel = filler_cancel, .state = self};
    self->fills = fills_new(&fills);
    self->now_us = 1000000;
    self->source_count = 2;
    self->knows_way = true;
    return self;
}

static void node_free(copies_node_t *self)
{
    fills_destroy(&self->fills);
    for (size_t p = 0; p < LOGS; p++) {
        replica_close(self->replicas[p], self->now_us);
        replica_destroy(&self->replicas[p]);
    }
    row_cache_destroy(&self->cache);
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
    free(self->pen);
    paper_free(self->paper);
    free(self);
}

/* The log of a partition grows by so many records. */
static void grow(copies_node_t *self, uint16_t partition, unsigned records)
{
    const uint8_t header[RECORD_HEADER_BYTES] = {0};

    for (unsigned i = 0; i < records; i++)
        paper_write(self->paper, partition, header, "", 0);
}

static void pass_for(copies_node_t *self, int64_t us)
{
    for (int64_t until_us = self->now_us + us; self->now_us < until_us; self->now_us += STEP_US)
        fills_on_pass(self->fills, self->now_us);
}

static bool is_open(const copies_node_t *self, uint16_t partition)
{
    return replica_state(self->replicas[partition]) != REPLICA_CLOSED;
}

static bool stage_is(const copies_node_t *self, uint16_t partition, const char *stage)
{
    const char *now = fills_stage(self->fills, partition);

    return stage == NULL || now == NULL ? stage == now : strcmp(stage, now) == 0;
}

static bool left_half(copies_node_t *self, uint16_t partition)
{
    bool incomplete = false;

    cr_assert_eq(image_incomplete(self->store, partition, &incomplete, NULL), ERR_NONE);
    return incomplete;
}

static void write_position(copies_node_t *self, uint16_t partition, uint64_t offset)
{
    const position_t position = {
        .history = {{1}}, .epoch = 1, .owner = {{2}}, .seq = offset, .offset = offset};
    buffer_t batch;

    buffer_init(&batch, 4096);
    journal_put_position(partition, &position, &batch);
    const batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(self->store, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
}

Test(fills, an_empty_copy_is_filled_from_another_node, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    grow(node, 0, FAR + 1);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, 4 * STEP_US);
    cr_assert_eq(node->started, 1);
    cr_assert_eq(node->filling, 0);
    cr_assert(!is_open(node, 0));
    cr_assert(stage_is(node, 0, "being_filled"));
    /* A wish that comes meanwhile waits. */
    cr_assert(!fills_open(node->fills, 0, node->now_us));
    cr_assert(!fills_open_to_claim(node->fills, 0, node->now_us));
    write_position(node, 0, FAR - 1);
    node->state = FILL_DONE;
    pass_for(node, 4 * STEP_US);
    cr_assert(is_open(node, 0));
    cr_assert(stage_is(node, 0, NULL));
    cr_assert_eq(node->started, 1);
    cr_assert_eq(node->pen->next[0], FAR - 1);
    node_free(node);
}

Test(fills, a_copy_that_is_near_reads_the_log, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    grow(node, 0, FAR + 30);
    write_position(node, 0, 40);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    grow(node, 1, FAR);
    cr_assert(fills_open(node->fills, 1, node->now_us));
    pass_for(node, 40 * STEP_US);
    /* Later it is not looked at any more: a follower that falls behind is not torn down. */
    grow(node, 0, 10 * FAR);
    pass_for(node, 40 * STEP_US);
    cr_assert_eq(node->started, 0);
    cr_assert(is_open(node, 0) && is_open(node, 1));
    node_free(node);
}

Test(fills, a_copy_is_kept_when_nobody_else_has_one, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    node->source_count = 0;
    grow(node, 0, 10 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, FILLS_SOURCE_WAIT_US * 2);
    cr_assert(is_open(node, 0));
    node->source_count = 1;
    pass_for(node, FILLS_SOURCE_WAIT_US);
    cr_assert_eq(node->started, 0);
    node_free(node);
}

Test(fills, sources_that_are_heard_a_little_later_are_still_used, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    node->source_count = 0;
    grow(node, 0, 10 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, FILLS_SOURCE_WAIT_US / 2);
    cr_assert(is_open(node, 0));
    node->source_count = 1;
    pass_for(node, 10 * STEP_US);
    cr_assert_eq(node->started, 1);
    node_free(node);
}

Test(fills, an_empty_copy_reads_nothing_before_it_was_heard_who_has_it, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    node->accompanied = true;
    node->source_count = 0;
    grow(node, 0, 10 * FAR);
    cr_assert(!fills_open(node->fills, 0, node->now_us));
    pass_for(node, 20 * STEP_US);
    cr_assert(!is_open(node, 0));
    cr_assert(stage_is(node, 0, "waiting_to_be_filled"));
    node->source_count = 1;
    pass_for(node, 10 * STEP_US);
    cr_assert_eq(node->started, 1);
    node_free(node);
}

Test(fills, an_empty_copy_follows_the_log_soon_when_nobody_has_it_or_it_is_to_be_claimed,
     .timeout = 20)
{
    copies_node_t *node = node_new(true);

    node->accompanied = true;
    node->source_count = 0;
    cr_assert(!fills_open(node->fills, 0, node->now_us));
    cr_assert(!fills_open(node->fills, 1, node->now_us));
    cr_assert(fills_open_to_claim(node->fills, 1, node->now_us));
    cr_assert(is_open(node, 1));
    pass_for(node, 60 * STEP_US);
    cr_assert(is_open(node, 0));
    /* One that holds something follows at once. */
    write_position(node, 2, 40);
    cr_assert(fills_open(node->fills, 2, node->now_us));
    cr_assert(is_open(node, 2));
    node_free(node);
}

Test(fills, one_copy_after_the_other_is_filled, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    for (uint16_t p = 0; p < LOGS; p++) {
        grow(node, p, 2 * FAR);
        cr_assert(fills_open(node->fills, p, node->now_us));
    }
    for (unsigned k = 1; k <= LOGS; k++) {
        pass_for(node, 200 * STEP_US); /* the others wait for as long as it takes */
        cr_assert_eq(node->started, k);
        write_position(node, node->filling, 2 * FAR - 1);
        node->state = FILL_DONE;
    }
    pass_for(node, 10 * STEP_US);
    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert(is_open(node, p) && stage_is(node, p, NULL));
    node_free(node);
}

Test(fills, those_that_wait_follow_the_log_when_the_sources_are_gone, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    for (uint16_t p = 0; p < 2; p++) {
        grow(node, p, 2 * FAR);
        cr_assert(fills_open(node->fills, p, node->now_us));
    }
    pass_for(node, 10 * STEP_US);
    cr_assert_eq(node->filling, 0);
    cr_assert(stage_is(node, 1, "waiting_to_be_filled"));
    node->source_count = 0;
    pass_for(node, 60 * STEP_US);
    cr_assert(is_open(node, 1));
    cr_assert(stage_is(node, 0, "being_filled"));
    node_free(node);
}

Test(fills, one_that_waits_is_opened_when_it_is_to_be_claimed, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    node->knows_way = false;
    grow(node, 0, 2 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, 10 * STEP_US);
    cr_assert(!is_open(node, 0));
    cr_assert(fills_open_to_claim(node->fills, 0, node->now_us));
    cr_assert(is_open(node, 0));
    node->knows_way = true;
    pass_for(node, 40 * STEP_US);
    cr_assert(is_open(node, 0));
    cr_assert_eq(node->started, 0);
    node_free(node);
}

Test(fills, without_a_way_to_the_sources_the_log_is_read, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    node->knows_way = false;
    grow(node, 0, 2 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, 60 * STEP_US);
    cr_assert(is_open(node, 0));
    cr_assert_eq(node->started, 0);
    node_free(node);
}

Test(fills, after_three_that_broke_off_the_log_must_do, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    grow(node, 0, 2 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    for (unsigned k = 1; k <= 3; k++) {
        pass_for(node, 10 * STEP_US);
        cr_assert_eq(node->started, k);
        cr_assert_eq(image_begin(node->store, 0, NULL), ERR_NONE);
        node->state = FILL_BROKEN;
    }
    pass_for(node, 10 * STEP_US);
    cr_assert_eq(node->started, 3);
    cr_assert(!left_half(node, 0));
    cr_assert(is_open(node, 0));
    cr_assert_eq(node->pen->next[0], 0);
    node_free(node);
}

Test(fills, one_that_was_not_touched_is_opened_as_it_was, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    grow(node, 0, 4 * FAR);
    write_position(node, 0, 60);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, 10 * STEP_US);
    cr_assert_eq(node->started, 1);
    node->source_count = 0;
    node->state = FILL_UNTOUCHED;
    pass_for(node, 60 * STEP_US);
    cr_assert(is_open(node, 0));
    cr_assert_eq(node->pen->next[0], 60);
    node_free(node);
}

Test(fills, one_that_was_left_half_waits_for_a_source_then_for_nobody, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert_eq(image_begin(node->store, p, NULL), ERR_NONE);
    node->source_count = 0;
    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert(!fills_open(node->fills, p, node->now_us));
    pass_for(node, FILLS_SOURCE_WAIT_US / 2);
    cr_assert(stage_is(node, 0, "waiting_to_be_filled"));
    node->source_count = 1;
    pass_for(node, 4 * STEP_US);
    cr_assert_eq(node->started, 1);
    node->source_count = 0;
    node->state = FILL_BROKEN;
    pass_for(node, FILLS_SOURCE_WAIT_US);
    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert(is_open(node, p) && !left_half(node, p), "partition %u", p);
    node_free(node);
}

Test(fills, without_a_filler_all_is_read_from_the_log, .timeout = 20)
{
    copies_node_t *node = node_new(false);

    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert_eq(image_begin(node->store, p, NULL), ERR_NONE);
    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert(!fills_open(node->fills, p, node->now_us));
    pass_for(node, 20 * STEP_US);
    for (uint16_t p = 0; p < LOGS; p++)
        cr_assert(is_open(node, p) && !left_half(node, p));
    node_free(node);
}

Test(fills, one_that_is_not_wanted_any_more_is_left_where_it_is, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    grow(node, 0, 2 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, 10 * STEP_US);
    fills_close(node->fills, 0, node->now_us);
    cr_assert(node->cancelled);
    cr_assert_eq(image_begin(node->store, 0, NULL), ERR_NONE);
    node->state = FILL_BROKEN;
    pass_for(node, 60 * STEP_US);
    cr_assert(!is_open(node, 0));
    cr_assert(left_half(node, 0));
    /* Wanted again: as at a start. */
    cr_assert(!fills_open(node->fills, 0, node->now_us));
    pass_for(node, 10 * STEP_US);
    cr_assert_eq(node->started, 2);
    node_free(node);
}

Test(fills, an_operator_has_a_copy_made_anew, .timeout = 20)
{
    copies_node_t *node = node_new(true);
    uint8_t key[8] = {0, 0, 'A'};
    buffer_t batch;
    err_t err = {0};

    /* More rows than one step takes. */
    buffer_init(&batch, 1 << 24);
    for (uint32_t i = 0; i < 10000; i++) {
        memcpy(key + 4, &i, sizeof i);
        batch_put(&batch, FAMILY_STATE, key, sizeof key, "", 0);
    }
    const batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(node->store, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    pass_for(node, 10 * STEP_US);
    fills_rebuild(node->fills, 0, node->now_us, &err);
    cr_assert_eq(err.code, ERR_NONE);
    cr_assert(left_half(node, 0));
    fills_rebuild(node->fills, 0, node->now_us, &err);
    cr_assert_eq(err.code, ERR_IN_PROGRESS);
    pass_for(node, 4 * STEP_US);
    cr_assert_eq(node->started, 1);
    node_free(node);
}

Test(fills, a_node_that_stops_begins_nothing, .timeout = 20)
{
    copies_node_t *node = node_new(true);

    grow(node, 0, 2 * FAR);
    cr_assert(fills_open(node->fills, 0, node->now_us));
    fills_stop(node->fills);
    pass_for(node, 40 * STEP_US);
    cr_assert_eq(node->started, 0);
    cr_assert(node->cancelled);
    node_free(node);
}

/* The log does not hold the beginning of a history that was adopted, and what is here is all that there is until a source
 * has begun. */
Test(fills, a_copy_of_a_history_that_was_replaced_waits_for_a_source_and_never_reads_the_log,
     .timeout = 20)
{
    const adoption_t adoption = {
        .old = {{1}}, .image = {{1}}, .fresh = {{5}}, .node = {{6}}, .epoch = 1};
    const hash_t here = {{7}};

    for (int blank = 0; blank < 2; blank++) {
        copies_node_t *node = node_new(true);
        adoptions_t *list = adoptions_new();
        position_t position;
        bool found;

        cr_assert(adoptions_add(list, &adoption));
        replica_set_adoptions(node->replicas[0], list, &here);
        grow(node, 0, FAR);
        if (!blank)
            write_position(node, 0, 40);
        node->source_count = 0;
        cr_assert(!fills_open(node->fills, 0, node->now_us));
        cr_assert(!fills_open_to_claim(node->fills, 0, node->now_us));
        pass_for(node, 10 * FILLS_SOURCE_WAIT_US);
        cr_assert(!is_open(node, 0));
        cr_assert(stage_is(node, 0, "waiting_to_be_filled"));
        cr_assert(!left_half(node, 0));
        cr_assert_eq(journal_stored_position(node->store, 0, &position, &found, NULL), ERR_NONE);
        cr_assert_eq(found, !blank);
        node->source_count = 1;
        /* Sources that break off, more often than for other copies: still nothing else will do. */
        for (unsigned k = 1; k <= 6; k++) {
            pass_for(node, 100 * STEP_US);
            cr_assert_eq(node->started, k);
            cr_assert(hash_equal(node->wanted, &adoption.fresh));
            node->state = FILL_UNTOUCHED;
        }
        pass_for(node, 100 * STEP_US);
        cr_assert(!is_open(node, 0));
        adoptions_destroy(&list);
        node_free(node);
    }
}
