/* scale.c - the chapters of a large cluster's life, and what they cost */
#include "tests/sim/scale.h"

#include "tests/sim/shared_world.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_US    INT64_C(5000)
#define QUIET_US   INT64_C(10000000) /* nothing has moved for so long: the chapter is over */
#define CHAPTER_US INT64_C(300000000)
#define REST_US    INT64_C(60000000)
#define NOBODY     SIZE_MAX

typedef struct {
    shared_world_t *world; /* owned */
    scale_report_t *report;
    err_t *err;
    dice_t dice;
    uint16_t nodes, partitions;
    size_t owner[SCALE_PARTITIONS_MAX + 1];  /* who served it last */
    size_t before[SCALE_PARTITIONS_MAX + 1]; /* when the chapter began */
    int64_t
        alone_us[SCALE_PARTITIONS_MAX + 1]; /* since when nobody has served it; 0: somebody does */
    int64_t gap_us[SCALE_PARTITIONS_MAX + 1]; /* the longest of this chapter */
    int64_t changed_us;
} scale_t;

static const char *const names[SCALE__COUNT] = {
    [SCALE_BORN] = "born",
    [SCALE_AT_REST] = "at rest",
    [SCALE_KILLED] = "one node is killed",
    [SCALE_BACK] = "it is back",
    [SCALE_STOPPED] = "one node is stopped in order",
    [SCALE_BACK_AGAIN] = "it is back",
};

static bool fail(scale_t *self, scale_chapter_t chapter, const char *why)
{
    err_set(self->err, ERR_STATE, "%s: %s", names[chapter], why);
    return false;
}

/* ---- watching ---- */

static size_t server(const scale_t *self, uint16_t partition)
{
    size_t owner = shared_owner(self->world, partition);
    bool serves = owner != NOBODY && shared_state(self->world, owner, partition) == REPLICA_OWNER;

    return serves ? owner : NOBODY;
}

static void watch(scale_t *self)
{
    int64_t now_us = shared_now_us(self->world);

    for (uint16_t p = 0; p <= self->partitions; p++) {
        size_t owner = server(self, p);

        if (owner == NOBODY) {
            if (self->alone_us[p] == 0)
                self->alone_us[p] = now_us;
            continue;
        }
        if (self->alone_us[p] != 0 && now_us - self->alone_us[p] > self->gap_us[p])
            self->gap_us[p] = now_us - self->alone_us[p];
        if (self->alone_us[p] != 0 || owner != self->owner[p])
            self->changed_us = now_us;
        self->alone_us[p] = 0;
        self->owner[p] = owner;
    }
}

static bool all_served(const scale_t *self)
{
    for (uint16_t p = 0; p <= self->partitions; p++)
        if (self->alone_us[p] != 0)
            return false;
    return true;
}

/* ---- counting ---- */

static void count_topic(const scale_t *self, uint16_t topic, uint64_t *records, uint64_t *bytes)
{
    log_shared_t *log = shared_log(self->world);
    size_t count = log_shared_count(log, topic);

    *records += count;
    for (size_t i = 0; i < count; i++)
        *bytes += log_shared_entry(log, topic, i)->n;
}

/* All from the beginning of time. */
static scale_row_t count(const scale_t *self)
{
    scale_row_t row = {.letters = shared_net(self->world)->order};

    for (uint16_t p = 0; p <= self->partitions; p++)
        count_topic(self, p, &row.log_records, &row.log_bytes);
    count_topic(self, JOURNAL_CONTROL, &row.views, &row.view_bytes);
    count_topic(self, JOURNAL_LIVENESS, &row.heartbeats, &row.heartbeat_bytes);
    return row;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void sum_up(scale_t *self, scale_row_t *row, const scale_row_t *since)
{
    int64_t gaps[SCALE_PARTITIONS_MAX + 1];
    unsigned owned[SCALE_NODES_MAX] = {0};
    scale_row_t now = count(self);

    row->log_records = now.log_records - since->log_records;
    row->log_bytes = now.log_bytes - since->log_bytes;
    row->views = now.views - since->views;
    row->view_bytes = now.view_bytes - since->view_bytes;
    row->heartbeats = now.heartbeats - since->heartbeats;
    row->heartbeat_bytes = now.heartbeat_bytes - since->heartbeat_bytes;
    row->letters = now.letters - since->letters;
    for (uint16_t p = 0; p <= self->partitions; p++) {
        row->moved += self->owner[p] != self->before[p];
        owned[self->owner[p]]++;
        if (self->gap_us[p] > 0)
            gaps[row->gaps++] = self->gap_us[p];
    }
    qsort(gaps, row->gaps, sizeof gaps[0], by_size);
    if (row->gaps > 0) {
        row->gap_usual_us = gaps[row->gaps / 2];
        row->gap_most_us = gaps[row->gaps - 1];
    }
    row->least = UINT32_MAX;
    for (size_t i = 0; i < self->nodes; i++) {
        if (!shared_node(self->world, i)->up)
            continue;
        row->least = owned[i] < row->least ? owned[i] : row->least;
        row->most = owned[i] > row->most ? owned[i] : row->most;
    }
}

/* ---- chapters ---- */

static bool chapter(scale_t *self, scale_chapter_t chapter, void (*begin)(scale_t *))
{
    scale_row_t *row = &self->report->rows[chapter];
    scale_row_t since = count(self);
    int64_t began_us = shared_now_us(self->world);
    int64_t least_us = chapter == SCALE_AT_REST ? REST_US : QUIET_US;

    row->name = names[chapter];
    memcpy(self->before, self->owner, sizeof self->before);
    memset(self->gap_us, 0, sizeof self->gap_us);
    self->changed_us = began_us;
    if (begin != NULL)
        begin(self);
    watch(self);
    while (!all_served(self) || shared_now_us(self->world) - self->changed_us < least_us) {
        if (shared_now_us(self->world) - began_us > CHAPTER_US)
            return fail(self, chapter, "the partitions do not come to rest");
        shared_run_for(self->world, STEP_US);
        watch(self);
    }
    row->took_us = chapter == SCALE_AT_REST ? shared_now_us(self->world) - began_us
                                            : self->changed_us - began_us;
    sum_up(self, row, &since);
    return true;
}

static void start_all(scale_t *self)
{
    for (size_t i = 0; i < self->nodes; i++) {
        shared_start(self->world, i);
        shared_run_for(self->world, (int64_t)dice_below(&self->dice, 300000));
    }
}

static void kill_one(scale_t *self)
{
    shared_kill(self->world, self->nodes / 2);
}

static void stop_one(scale_t *self)
{
    shared_stop(self->world, self->nodes / 2);
}

static void start_again(scale_t *self)
{
    shared_start(self->world, self->nodes / 2);
}

bool scale_run(uint64_t seed, uint16_t nodes, uint16_t partitions, uint8_t followers,
               scale_report_t *report, err_t *err)
{
    scale_t *self = memory_zalloc(sizeof *self);
    shared_config_t config = {
        .seed = seed, .nodes = nodes, .partitions = partitions, .followers = followers};

    INVARIANT(nodes >= 2 && nodes <= SCALE_NODES_MAX && partitions <= SCALE_PARTITIONS_MAX);
    memset(report, 0, sizeof *report);
    memset(err, 0, sizeof *err);
    self->report = report;
    self->err = err;
    self->dice.state = seed;
    self->nodes = nodes;
    self->partitions = partitions;
    self->world = shared_world_new(&config);
    /* Brokers in one region: 1 to 3 ms until all replicas have it, a little more until it is read. */
    *log_shared_faults(shared_log(self->world)) = (log_faults_t){
        .append_min_us = 1000, .append_max_us = 3000, .report_max_us = 500, .read_max_us = 1000};
    shared_net(self->world)->faults = (net_faults_t){.delay_max_us = 500};
    bool good = chapter(self, SCALE_BORN, start_all) && chapter(self, SCALE_AT_REST, NULL) &&
                chapter(self, SCALE_KILLED, kill_one) && chapter(self, SCALE_BACK, start_again) &&
                chapter(self, SCALE_STOPPED, stop_one) &&
                chapter(self, SCALE_BACK_AGAIN, start_again);
    for (uint16_t p = 0; good && p <= partitions; p++)
        report->digest =
            report->digest * 31 + shared_position(self->world, self->owner[p], p)->chain;
    shared_world_destroy(&self->world);
    free(self);
    return good;
}

static void print_amount(uint64_t records, uint64_t bytes)
{
    printf(" %6llu /%8.1f", (unsigned long long)records, (double)bytes / 1e3);
}

void scale_print(const scale_report_t *report, uint16_t nodes, uint16_t partitions)
{
    printf("%u nodes, %u partitions and the catalogue's, no load, virtual time\n\n", nodes,
           partitions);
    printf("%-30s %8s %6s   %-22s %-8s %s\n%-30s %8s %6s   %-22s %-8s %16s %16s %16s\n", "", "took",
           "moved", "without an owner", "owned by", "records / KB of the log", "", "s", "",
           "usual, longest (ms)", "one node", "partitions", "views", "heartbeats");
    for (int i = 0; i < SCALE__COUNT; i++) {
        const scale_row_t *row = &report->rows[i];
        printf("%-30s %8.2f %6u   %3u: %6.0f, %6.0f    %3u-%-3u ", row->name,
               (double)row->took_us / 1e6, row->moved, row->gaps, (double)row->gap_usual_us / 1e3,
               (double)row->gap_most_us / 1e3, row->least, row->most);
        print_amount(row->log_records, row->log_bytes);
        print_amount(row->views, row->view_bytes);
        print_amount(row->heartbeats, row->heartbeat_bytes);
        printf("\n");
    }
}
