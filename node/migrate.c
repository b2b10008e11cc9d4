/* migrate.c - first a look at the whole log, then some partitions at a time */
#include "node/migrate_lane.h"

#include <stdlib.h>

#define LANES_MAX     4
#define KEEP_EVERY_US INT64_C(1000000)
#define SHOW_EVERY_US INT64_C(100000)
#define LOOK_US       INT64_C(60000000)
#define COUNT_SHOW    100000

#define FOUNDED                                                                                    \
    "a node was started on these topics (%s.control is not empty): a migration needs topics that " \
    "no node has used yet, say another --kafka-prefix; if it was started before the migration "    \
    "ended, stop it and begin anew"

static errcode_t stopped(const migrate_config_t *config, err_t *err)
{
    if (!config->stop(config->state))
        return ERR_NONE;
    return err_set(err, ERR_UNREACHABLE, "stopped; the same command goes on from here");
}

/* ---- counting ---- */

static errcode_t count_partition(const migrate_config_t *config, migrate_cursors_t *cursors,
                                 uint16_t partition, buffer_t *scratch,
                                 const migrate_total_t *before, err_t *err)
{
    migrate_total_t *whole = &config->plan->parts[partition].whole;
    migrate_rows_t rows;
    row_write_t row;
    bool found = true;
    errcode_t rc = ERR_NONE;

    *whole = (migrate_total_t){0};
    migrate_rows_open(&rows, config->source, cursors, partition, config->plan->histories, true);
    while (rc == ERR_NONE) {
        rc = migrate_rows_next(&rows, &row, &found, err);
        if (rc != ERR_NONE || !found)
            break;
        hash_t hash = verify_row_hash(&row, scratch);
        whole->rows++;
        whole->bytes += row.key_bytes + row.value_bytes;
        verify_sum_add(&whole->sum, &hash);
        verify_digest_row(&whole->digest, &row, &hash, partition == config->source->partitions);
        if (whole->rows % COUNT_SHOW == 0) {
            config->show(config->state, before->rows + whole->rows, before->bytes + whole->bytes);
            rc = stopped(config, err);
        }
    }
    migrate_rows_close(&rows);
    return rc;
}

errcode_t migrate_count(const migrate_config_t *config, err_t *err)
{
    migrate_total_t before = {0};
    migrate_cursors_t cursors = {0};
    buffer_t scratch;
    errcode_t rc = ERR_NONE;

    buffer_init(&scratch, BATCH_VALUE_BYTES_MAX + 1024);
    for (size_t p = 0; rc == ERR_NONE && p <= config->source->partitions; p++) {
        rc = count_partition(config, &cursors, (uint16_t)p, &scratch, &before, err);
        before.rows += config->plan->parts[p].whole.rows;
        before.bytes += config->plan->parts[p].whole.bytes;
    }
    migrate_cursors_free(&cursors);
    buffer_free(&scratch);
    return rc;
}

/* ---- looking at the log before anything is written ---- */

/* Partitions whose first record is awaited, or their end. */
typedef struct {
    const migrate_config_t *config;
    bool awaited[BIRTH_PARTITIONS_MAX + 1];
    uint64_t offsets[BIRTH_PARTITIONS_MAX + 1];
    size_t count;
} look_t;

static void seen(look_t *self, size_t partition)
{
    self->awaited[partition] = false;
    self->count--;
    journal_unfollow(self->config->journal, (uint16_t)partition);
}

static errcode_t await(look_t *self, size_t partition, uint64_t offset, err_t *err)
{
    self->awaited[partition] = true;
    self->offsets[partition] = offset;
    self->count++;
    return journal_follow(self->config->journal, (uint16_t)partition, offset, err);
}

/* Of a partition of which nothing is confirmed: empty, or begun by an earlier run of this very migration. */
static errcode_t look_at_first(look_t *self, const journal_record_t *record, err_t *err)
{
    const migrate_plan_t *plan = self->config->plan;
    record_header_t header;
    record_reason_t reason;
    const uint8_t *body;

    if (record->bytes == NULL)
        return err_set(err, ERR_STATE,
                       "partition %u of the log does not reach back to its beginning: a migration "
                       "needs new topics, say another --kafka-prefix (%.80s)",
                       record->partition, record->why != NULL ? record->why : "");
    if (record_decode(record->bytes, record->n, &header, &body, &reason) != VERDICT_ACCEPT)
        return lane_foreign(record->partition, record->offset, record_reason_name(reason), err);
    if (!hash_equal(&header.history, &plan->histories[record->partition]))
        return lane_foreign(record->partition, record->offset, "it has another history", err);
    seen(self, record->partition);
    return ERR_NONE;
}

/* Of a partition that is finished: its RELEASE must stand where it stood. */
static errcode_t look_at_last(look_t *self, const journal_record_t *record, err_t *err)
{
    const migrate_part_t *part = &self->config->plan->parts[record->partition];

    if (record->bytes == NULL || !lane_same_record(&part->at, record))
        return err_set(err, ERR_STATE,
                       "the migration was complete, but partition %u of the log does not hold it "
                       "any more: these are not the topics that it was written to",
                       record->partition);
    seen(self, record->partition);
    return ERR_NONE;
}

static errcode_t look(look_t *self,
                      errcode_t (*each)(look_t *self, const journal_record_t *record, err_t *err),
                      err_t *err)
{
    const migrate_config_t *config = self->config;
    int64_t until_us = clock_boot_us(config->clock) + LOOK_US;
    errcode_t rc = ERR_NONE;
    bool founded = false;

    while (rc == ERR_NONE && self->count > 0) {
        journal_record_t record;

        while (rc == ERR_NONE && journal_next(config->journal, &record)) {
            if (record.partition == JOURNAL_CONTROL)
                founded = founded || record.bytes != NULL;
            else if (record.partition > config->source->partitions ||
                     !self->awaited[record.partition])
                continue;
            else if (record.bytes == NULL && !record.lost) /* reading broke off */
                rc = journal_follow(config->journal, record.partition,
                                    self->offsets[record.partition], err);
            else
                rc = each(self, &record, err);
        }
        if (founded && each == look_at_first)
            return err_set(err, ERR_STATE, FOUNDED, config->plan->prefix);
        if (rc == ERR_NONE)
            rc = journal_commit(config->journal, NULL, err);
        for (size_t p = 0; each == look_at_first && p <= config->source->partitions; p++)
            if (self->awaited[p] && journal_behind(config->journal, (uint16_t)p) == 0)
                seen(self, p);
        if (rc == ERR_NONE)
            rc = stopped(config, err);
        if (rc == ERR_NONE && self->count > 0 && clock_boot_us(config->clock) > until_us)
            rc = err_set(err, ERR_UNREACHABLE, "%zu partitions of the log could not be read",
                         self->count);
        if (rc == ERR_NONE && self->count > 0)
            config->wait(config->state);
    }
    return rc;
}

static errcode_t look_at_control(const migrate_config_t *config, err_t *err)
{
    int64_t until_us = clock_boot_us(config->clock) + LOOK_US;
    journal_record_t record;
    errcode_t rc = journal_follow(config->journal, JOURNAL_CONTROL, 0, err);

    while (rc == ERR_NONE) {
        while (rc == ERR_NONE && journal_next(config->journal, &record)) {
            if (record.partition != JOURNAL_CONTROL)
                continue;
            if (record.bytes != NULL || record.lost)
                return err_set(err, ERR_STATE, FOUNDED, config->plan->prefix);
            rc = journal_follow(config->journal, JOURNAL_CONTROL, 0, err);
        }
        if (rc == ERR_NONE)
            rc = journal_commit(config->journal, NULL, err);
        if (rc == ERR_NONE && journal_behind(config->journal, JOURNAL_CONTROL) == 0)
            return ERR_NONE; /* and it stays followed */
        if (rc == ERR_NONE)
            rc = stopped(config, err);
        if (rc == ERR_NONE && clock_boot_us(config->clock) > until_us)
            rc = err_set(err, ERR_UNREACHABLE, "the control channel could not be read");
        if (rc == ERR_NONE)
            config->wait(config->state);
    }
    return rc;
}

static errcode_t look_for_others(const migrate_config_t *config, err_t *err)
{
    look_t *self = memory_zalloc(sizeof *self);
    errcode_t rc = look_at_control(config, err);

    self->config = config;
    for (size_t p = 0; rc == ERR_NONE && p <= config->source->partitions; p++)
        if (!config->plan->parts[p].begun)
            rc = await(self, p, 0, err);
    if (rc == ERR_NONE)
        rc = look(self, look_at_first, err);
    free(self);
    return rc;
}

errcode_t migrate_confirm(const migrate_config_t *config, err_t *err)
{
    look_t *self = memory_zalloc(sizeof *self);
    errcode_t rc = ERR_NONE;

    self->config = config;
    for (size_t p = 0; rc == ERR_NONE && p <= config->source->partitions; p++)
        rc = await(self, p, config->plan->parts[p].at.offset, err);
    if (rc == ERR_NONE)
        rc = look(self, look_at_last, err);
    free(self);
    return rc;
}

/* ---- copying ---- */

/* The control channel again, when reading it broke off. It stays followed until the end: a node that starts meanwhile
 * writes there first. */
static errcode_t on_control(const migrate_config_t *config, const journal_record_t *record,
                            err_t *err)
{
    if (record->bytes != NULL)
        return err_set(err, ERR_STATE, FOUNDED, config->plan->prefix);
    if (record->lost)
        return err_set(err, ERR_STATE, "the control channel was cut while the migration ran");
    return journal_follow(config->journal, JOURNAL_CONTROL, 0, err);
}

/* Several partitions at a time: while one waits for its claim, others send. */
typedef struct {
    const migrate_config_t *config;
    lane_t *lanes[LANES_MAX]; /* owned; NULL: none */
    migrate_cursors_t cursors[LANES_MAX];
    size_t next; /* partition that no lane has had */
    hash_t incarnation;
    bool heard; /* the last look brought something */
    int64_t keep_at_us, show_at_us;
} copying_t;

static lane_t *lane_of(const copying_t *self, uint16_t partition)
{
    for (size_t i = 0; i < LANES_MAX; i++)
        if (self->lanes[i] != NULL && self->lanes[i]->number == partition)
            return self->lanes[i];
    return NULL;
}

static errcode_t take_news(copying_t *self, err_t *err)
{
    journal_t *journal = self->config->journal;
    journal_record_t record;
    journal_report_t report;
    errcode_t rc = ERR_NONE;
    lane_t *lane;

    self->heard = false;
    while (rc == ERR_NONE && journal_next(journal, &record)) {
        self->heard = self->heard || record.bytes != NULL;
        lane = lane_of(self, record.partition);
        if (record.partition == JOURNAL_CONTROL)
            rc = on_control(self->config, &record, err);
        else if (lane != NULL)
            rc = lane_on_record(lane, &record, err);
    }
    while (rc == ERR_NONE && journal_report(journal, &report)) {
        self->heard = true;
        lane = lane_of(self, report.partition);
        if (lane != NULL)
            rc = lane_on_report(lane, &report, err);
    }
    return rc == ERR_NONE ? journal_commit(journal, NULL, err) : rc;
}

static void end_lane(copying_t *self, size_t i)
{
    if (self->lanes[i] == NULL)
        return;
    lane_close(self->lanes[i]);
    free(self->lanes[i]);
    self->lanes[i] = NULL;
}

/* Gives every free lane a partition that is not done; false: none is left, and no lane is at work. */
static bool fill_lanes(copying_t *self)
{
    migrate_plan_t *plan = self->config->plan;
    bool any = false;

    for (size_t i = 0; i < LANES_MAX; i++) {
        while (self->lanes[i] == NULL && self->next <= plan->partitions) {
            size_t partition = self->next++;

            if (plan->parts[partition].done)
                continue;
            self->lanes[i] = memory_alloc(sizeof *self->lanes[i]);
            lane_open(self->lanes[i], self->config, &self->cursors[i], (uint16_t)partition,
                      &self->incarnation);
        }
        any = any || self->lanes[i] != NULL;
    }
    return any;
}

static errcode_t write_lanes(copying_t *self, bool *ended, err_t *err)
{
    errcode_t rc = ERR_NONE;

    *ended = false;
    for (size_t i = 0; rc == ERR_NONE && i < LANES_MAX; i++) {
        if (self->lanes[i] == NULL)
            continue;
        rc = lane_write(self->lanes[i], err);
        if (rc == ERR_NONE && self->lanes[i]->stage == LANE_DONE) {
            end_lane(self, i);
            *ended = true;
        }
    }
    return rc;
}

static void show(copying_t *self)
{
    const migrate_config_t *config = self->config;
    int64_t now_us = clock_boot_us(config->clock);
    uint64_t rows = 0, bytes = 0;

    if (now_us < self->show_at_us)
        return;
    self->show_at_us = now_us + SHOW_EVERY_US;
    for (size_t p = 0; p <= config->plan->partitions; p++) {
        const lane_t *lane = lane_of(self, (uint16_t)p);
        const migrate_total_t *total = lane != NULL && lane->stage > LANE_PAUSED
                                           ? &lane->taken
                                           : &config->plan->parts[p].copied;

        rows += total->rows;
        bytes += total->bytes;
    }
    config->show(config->state, rows, bytes);
}

static errcode_t copy_all(copying_t *self, err_t *err)
{
    const migrate_config_t *config = self->config;
    errcode_t rc = ERR_NONE;
    bool ended = false;

    while (rc == ERR_NONE && fill_lanes(self)) {
        rc = take_news(self, err);
        if (rc == ERR_NONE)
            rc = write_lanes(self, &ended, err);
        if (rc != ERR_NONE)
            break;
        show(self);
        if (ended || clock_boot_us(config->clock) >= self->keep_at_us) {
            rc = config->keep(config->state, err);
            self->keep_at_us = clock_boot_us(config->clock) + KEEP_EVERY_US;
        }
        if (rc == ERR_NONE)
            rc = stopped(config, err);
        if (rc == ERR_NONE && !self->heard && !ended)
            config->wait(config->state);
    }
    return rc;
}

errcode_t migrate_run(const migrate_config_t *config, err_t *err)
{
    copying_t *self = memory_zalloc(sizeof *self);
    errcode_t rc = look_for_others(config, err);

    self->config = config;
    random_fill(config->random, &self->incarnation, sizeof self->incarnation);
    if (rc == ERR_NONE)
        rc = copy_all(self, err);
    if (rc == ERR_NONE) {
        config->plan->ended_us = clock_wall_us(config->clock);
        rc = config->keep(config->state, err);
    }
    for (size_t i = 0; i < LANES_MAX; i++) {
        end_lane(self, i);
        migrate_cursors_free(&self->cursors[i]);
    }
    free(self);
    return rc;
}
