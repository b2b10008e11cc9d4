/* replica.c - the life of one copy of a partition on a shared log (protocol sections 1 to 3)
 *
 * What is decided here is only who may decide: the log's records are judged by record_judge(), rounds are the
 * partition's. Two things are kept apart: `state` (what this copy is) and `checking` (whether the record that it applied
 * last must be read again before anything else is taken: at the start, before a claim, after reading broke off).
 */
#include "actors/replica_state.h"

#include "actors/adopt.h"
#include "protocol/log.h"
#include "protocol/metrics.h"
#include "protocol/mutant.h"
#include "storage/image.h"

#include <stdlib.h>

#define LARGE_ROUND 32                /* answers */
#define LATE_US     INT64_C(10000000) /* in the log without an answer: doubt */
#define STUCK_US    INT64_C(3000000)
#define POSITION_US \
    INT64_C(1000000)        /* positions over records without effects are stored this often */
#define PENDING_MAX    4096 /* answers that wait */
#define PENDING_BYTES  (8u * 1024 * 1024)
#define CLAIM_AGAIN_US INT64_C(200000)
#define END_OTHERS_US  INT64_C(2000000) /* what is to end other histories is written again */
#define WIPE_ROWS      4096
#define CLAIM_BEHIND_MAX \
    1000 /* records behind, by the journal's hint: a claim from far behind cannot win */

/* ---- states ---- */

static const char *const state_names[] = {
    [REPLICA_CLOSED] = "closed",   [REPLICA_CHECKING] = "checking",
    [REPLICA_STANDBY] = "standby", [REPLICA_CLAIMING] = "claiming",
    [REPLICA_OWNER] = "owner",     [REPLICA_DRAINING] = "draining",
    [REPLICA_HALTED] = "halted"};

#define TO(state) (1u << (state))
static const unsigned allowed[] = {
    [REPLICA_CLOSED] = TO(REPLICA_CHECKING) | TO(REPLICA_STANDBY) | TO(REPLICA_HALTED),
    [REPLICA_CHECKING] = TO(REPLICA_STANDBY) | TO(REPLICA_CLOSED) | TO(REPLICA_HALTED),
    [REPLICA_STANDBY] =
        TO(REPLICA_CLAIMING) | TO(REPLICA_CHECKING) | TO(REPLICA_CLOSED) | TO(REPLICA_HALTED),
    [REPLICA_CLAIMING] = TO(REPLICA_OWNER) | TO(REPLICA_STANDBY) | TO(REPLICA_CHECKING) |
                         TO(REPLICA_CLOSED) | TO(REPLICA_HALTED),
    [REPLICA_OWNER] = TO(REPLICA_DRAINING) | TO(REPLICA_STANDBY) | TO(REPLICA_CHECKING) |
                      TO(REPLICA_CLOSED) | TO(REPLICA_HALTED),
    [REPLICA_DRAINING] =
        TO(REPLICA_STANDBY) | TO(REPLICA_CHECKING) | TO(REPLICA_CLOSED) | TO(REPLICA_HALTED),
    [REPLICA_HALTED] = TO(REPLICA_CLOSED)};

void replica_become(replica_t *self, replica_state_t state)
{
    if (state == self->state)
        return;
    INVARIANT((allowed[self->state] & TO(state)) != 0);
    log_debug("partition %u: %s -> %s, epoch %llu, seq %llu", self->number,
              state_names[self->state], state_names[state],
              (unsigned long long)replica_position(self)->epoch,
              (unsigned long long)replica_position(self)->seq);
    self->state = state;
}

bool replica_deciding(const replica_t *self)
{
    return self->state == REPLICA_OWNER || self->state == REPLICA_DRAINING;
}

void replica_halted(replica_t *self)
{
    partition_step_down(self->partition);
    partition_resolve(self->partition, false, false);
    buffer_reset(&self->claim);
    buffer_reset(&self->release);
    self->in_doubt = false;
    replica_become(self, REPLICA_HALTED);
}

/* ---- histories ---- */

static bool is_image_of(const replica_t *self, const adoption_t *adoption)
{
    const position_t *at = &self->stored;

    return self->found && hash_equal(&adoption->node, &self->node) &&
           hash_equal(&adoption->image, &at->history) && adoption->epoch == at->epoch &&
           adoption->seq == at->seq && adoption->chain == at->chain;
}

/* The stored copy is of the history that its partition has, or becomes it now, or is of no use. */
static errcode_t renew(replica_t *self, err_t *err)
{
    const adoption_t *adoption = adoptions_latest(self->adoptions, self->number);

    self->wants = false;
    if (adoption == NULL || (self->found && hash_equal(&adoption->fresh, &self->stored.history)))
        return ERR_NONE;
    if (is_image_of(self, adoption)) {
        uint64_t skips = skips_mark(self->skips, self->number, adoption->offset);
        errcode_t rc =
            adopt_image(self->store, self->partitions, adoption, skips, &self->stored, err);
        if (rc == ERR_NONE)
            log_warn("partition %u: the image of this node is its new history from epoch %llu on",
                     self->number, (unsigned long long)self->stored.epoch);
        return rc;
    }
    self->wants = true;
    return err_set(err, ERR_STATE,
                   "partition %u has another history than the copy here: it was adopted",
                   self->number);
}

errcode_t replica_open(replica_t *self, err_t *err)
{
    bool incomplete = false;

    if (self->state != REPLICA_CLOSED)
        return ERR_NONE;
    errcode_t rc = image_incomplete(self->store, self->number, &incomplete, err);
    if (rc == ERR_NONE)
        rc = journal_stored_position(self->store, self->number, &self->stored, &self->found, err);
    if (rc == ERR_NONE)
        rc = renew(self, err);
    if (rc == ERR_NONE && incomplete)
        return err_set(err, ERR_STATE, "the rows of partition %u are being filled anew",
                       self->number);
    if (rc == ERR_NONE)
        rc = partition_load(self->partition, &self->stored, self->found, err);
    self->alive_us = 0;
    if (rc != ERR_NONE)
        return rc;
    self->halted_by_record = self->log_lost = false;
    if (!replica_made_otherwise(self))
        replica_follow(self, 0);
    return ERR_NONE;
}

bool replica_wipe(replica_t *self, bool begin, err_t *err)
{
    bool done = false;

    INVARIANT(self->state == REPLICA_CLOSED);
    errcode_t rc = begin ? image_begin(self->store, self->number, err) : ERR_NONE;
    if (rc == ERR_NONE)
        rc = image_wipe(self->store, self->number, WIPE_ROWS, &done, err);
    if (rc == ERR_NONE && done)
        rc = image_end(self->store, self->number, NULL, err);
    return rc == ERR_NONE && done;
}

void replica_close(replica_t *self, int64_t boot_us)
{
    (void)boot_us;
    if (self->state == REPLICA_CLOSED)
        return;
    partition_step_down(self->partition);
    partition_resolve(self->partition, false, false);
    journal_unfollow(self->journal, self->number);
    buffer_reset(&self->claim);
    buffer_reset(&self->release);
    self->in_doubt = self->wanted = self->checking = self->follow_due = false;
    replica_become(self, REPLICA_CLOSED);
}

void replica_set_skips(replica_t *self, const skips_t *skips)
{
    self->skips = skips;
}

void replica_skips_grew(replica_t *self)
{
    if (self->state != REPLICA_CLOSED && self->state != REPLICA_HALTED)
        (void)replica_made_otherwise(self);
}

void replica_set_adoptions(replica_t *self, const adoptions_t *adoptions, const hash_t *node)
{
    self->adoptions = adoptions;
    self->node = *node;
    partition_set_adoptions(self->partition, adoptions);
}

void replica_adopted(replica_t *self, uint16_t partition)
{
    partition_adopted(self->partition, partition);
    if (partition == self->number && self->state != REPLICA_CLOSED && self->state != REPLICA_HALTED)
        (void)replica_replaced(self);
}

const hash_t *replica_wants_history(const replica_t *self)
{
    const adoption_t *adoption = adoptions_latest(self->adoptions, self->number);

    return self->state == REPLICA_CLOSED && self->wants && adoption != NULL ? &adoption->fresh
                                                                            : NULL;
}

bool replica_lost_its_log(const replica_t *self)
{
    return self->state == REPLICA_HALTED && (self->log_lost || self->halted_by_record);
}

bool replica_stored(const replica_t *self, position_t *position)
{
    *position = self->stored;
    return self->found && (self->state != REPLICA_CLOSED || self->wants);
}

errcode_t replica_sync(replica_t *self, err_t *err)
{
    position_t position;
    bool found = false;
    buffer_t batch;
    errcode_t rc = journal_stored_position(self->store, self->number, &position, &found, err);

    if (rc != ERR_NONE || !found)
        return rc != ERR_NONE ? rc : err_set(err, ERR_STATE, "the copy here is empty");
    self->stored = position;
    buffer_init(&batch, 1024);
    journal_put_position(self->number, &position, &batch);
    const batch_part_t part = {batch.bytes, batch.size};
    rc = store_write(self->store, &part, 1, true, err);
    buffer_free(&batch);
    return rc;
}

/* ---- doubt and deposition ---- */

void replica_doubt(replica_t *self, const char *why, int64_t boot_us)
{
    if (self->state != REPLICA_CLAIMING && !replica_deciding(self))
        return;
    log_warn("partition %u steps down: %s", self->number, why);
    metric_add(METRIC_STEPS_DOWN, 1);
    self->doubts++;
    self->wanted = self->wanted && self->state != REPLICA_DRAINING;
    partition_step_down(self->partition);
    self->in_doubt = partition_flight(self->partition).flying;
    buffer_reset(&self->claim);
    buffer_reset(&self->release);
    replica_become(self, REPLICA_STANDBY);
    self->claim_at_us = boot_us + CLAIM_AGAIN_US;
}

void replica_other_claimed(replica_t *self, bool own)
{
    if (self->state == REPLICA_CLAIMING || replica_deciding(self)) {
        log_info("partition %u was claimed by %s", self->number,
                 own ? "an earlier claim of this process" : "another process");
        partition_step_down(self->partition);
        replica_become(self, REPLICA_STANDBY);
    }
    buffer_reset(&self->claim);
    buffer_reset(&self->release);
    /* Whether it is claimed back is not for the deposed one to say: two healthy nodes would duel. */
    if (!own && !MUTANT(CLAIM_BACK))
        self->wanted = false;
    self->deposed = true;
}

/* ---- claiming ---- */

void replica_claim(replica_t *self, const hash_t *fresh_history, int64_t boot_us)
{
    if (self->wanted || self->state == REPLICA_HALTED || self->state == REPLICA_CLOSED)
        return;
    self->wanted = true;
    self->fresh_history = *fresh_history;
    if (self->claim_at_us < boot_us)
        self->claim_at_us = boot_us;
}

void replica_release(replica_t *self)
{
    self->wanted = false;
    if (self->state == REPLICA_OWNER)
        replica_become(self, REPLICA_DRAINING);
}

void replica_set_clock_agrees(replica_t *self, bool agrees)
{
    self->clock_agrees = agrees;
}

/* The last applied record is read again first; the claim follows when that matches (end_check). */
static void begin_claim(replica_t *self, int64_t boot_us)
{
    if (!self->wanted || self->state != REPLICA_STANDBY || self->checking || self->follow_due ||
        !self->clock_agrees || boot_us < self->claim_at_us || self->deposed ||
        journal_behind(self->journal, self->number) > CLAIM_BEHIND_MAX)
        return;
    self->claim_read = self->claim_delivered = false;
    self->flight_at_us = boot_us;
    self->end_others_at_us = boot_us;
    replica_become(self, REPLICA_CLAIMING);
    if (self->found && !MUTANT(NO_REREAD) && replica_unclaimed(self) == NULL) {
        err_t err = {0};
        self->checking = true;
        self->follow_due = journal_follow(self->journal, self->number,
                                          replica_position(self)->offset, &err) != ERR_NONE;
        self->follow_at_us = boot_us + REPLICA_FOLLOW_AGAIN_US;
    }
}

/* Before the first claim of a new history. true: it waits for that to be read. */
static bool end_others(replica_t *self, int64_t wall_us, int64_t boot_us)
{
    const adoption_t *adoption = replica_unclaimed(self);
    err_t err = {0};

    if (adoption == NULL || self->ended_others)
        return false;
    if (boot_us < self->end_others_at_us)
        return true;
    self->end_others_at_us = boot_us + END_OTHERS_US;
    partition_seal_adopted(self->partition, &adoption->old, wall_us, &self->adopted);
    if (journal_append(self->journal, self->number, self->adopted.bytes,
                       self->adopted.bytes + RECORD_HEADER_BYTES,
                       self->adopted.size - RECORD_HEADER_BYTES, &err) != ERR_NONE)
        log_debug("partition %u: %s", self->number, err.text);
    return true;
}

static void write_claim(replica_t *self, int64_t wall_us, int64_t boot_us)
{
    err_t err = {0};

    if (self->state != REPLICA_CLAIMING || self->checking || self->follow_due ||
        self->claim.size > 0)
        return;
    if (!self->clock_agrees) {
        replica_doubt(self, "this node's clock and the log's differ", boot_us);
        return;
    }
    if (end_others(self, wall_us, boot_us))
        return;
    partition_seal_claim(self->partition, &self->fresh_history, wall_us, &self->claim);
    self->claim_epoch = replica_position(self)->epoch + 1;
    self->claim_read = self->claim_delivered = false;
    self->flight_at_us = boot_us;
    self->claims++;
    if (journal_append(self->journal, self->number, self->claim.bytes,
                       self->claim.bytes + RECORD_HEADER_BYTES,
                       self->claim.size - RECORD_HEADER_BYTES, &err) != ERR_NONE)
        replica_doubt(self, err.text, boot_us);
}

/* What was read when a record was appended stands before it in one log. */
static void note_append(replica_t *self, int64_t boot_us)
{
    self->flight_at_us = boot_us;
    self->append_floor = self->found ? replica_position(self)->offset + 1 : 0;
}

void replica_on_report(replica_t *self, const journal_report_t *report, int64_t boot_us)
{
    flight_t flight = partition_flight(self->partition);

    if (report->delivered && report->offset < self->append_floor && replica_deciding(self) &&
        flight.flying && report->epoch == flight.epoch && report->seq <= flight.last_seq &&
        flight.last_seq - report->seq < flight.records) {
        partition_halt(
            self->partition,
            "its record was put at offset %llu, before what was read here up to %llu: the "
            "log was cut behind this node's back",
            (unsigned long long)report->offset, (unsigned long long)self->append_floor - 1);
        self->log_lost = true;
        replica_halted(self);
        return;
    }

    if (self->claim.size > 0 && report->epoch == self->claim_epoch &&
        self->state == REPLICA_CLAIMING) {
        if (report->delivered)
            self->claim_delivered = true;
        else if (!self->claim_read)
            replica_doubt(self, "the log did not confirm its claim", boot_us);
        else /* it counts, but who knows on how many brokers: the next one covers it */
            replica_doubt(self, "the log did not confirm its claim, which was read", boot_us);
        return;
    }
    if (report->delivered) {
        if (report->epoch > self->delivered_epoch) {
            self->delivered_epoch = report->epoch;
            self->delivered_seq = 0;
        }
        if (report->epoch == self->delivered_epoch && report->seq > self->delivered_seq)
            self->delivered_seq = report->seq;
        if (MUTANT(ACK_ON_REPORT) && flight.flying && report->epoch == flight.epoch &&
            report->seq == flight.last_seq)
            partition_answer(self->partition);
        return;
    }
    if (replica_deciding(self) && report->epoch == replica_position(self)->epoch)
        replica_doubt(self, "the log did not confirm its record", boot_us);
}

/* ---- after the effects are stored ---- */

static bool flight_delivered(const replica_t *self, const flight_t *flight)
{
    return self->delivered_epoch == flight->epoch && self->delivered_seq >= flight->last_seq;
}

static void win(replica_t *self)
{
    err_t err = {0};

    /* A claim that is on all replicas of the log has everything before it there, too. */
    partition_resolve(self->partition, true, true);
    self->in_doubt = false;
    buffer_reset(&self->claim);
    self->claim_read = self->claim_delivered = false;
    INVARIANT(hash_equal(&replica_position(self)->owner, &self->incarnation));
    if (partition_own(self->partition, &err) != ERR_NONE) {
        log_error("partition %u: %s", self->number, err.text);
        partition_halt(self->partition, "%s", err.text);
        replica_halted(self);
        return;
    }
    self->delivered_epoch = self->claim_epoch;
    self->delivered_seq = replica_position(self)->seq;
    replica_become(self, REPLICA_OWNER);
    log_info("partition %u is owned here, epoch %llu", self->number,
             (unsigned long long)self->claim_epoch);
}

int64_t replica_settle(replica_t *self, int64_t wall_us, int64_t boot_us)
{
    flight_t flight = partition_flight(self->partition);
    int64_t took_us = 0;

    if (self->deposed) {
        self->deposed = false;
        partition_resolve(self->partition, flight.flying && flight_delivered(self, &flight), false);
        self->in_doubt = false;
    }
    if (self->state == REPLICA_CLAIMING && self->claim.size > 0 && self->claim_read &&
        self->claim_delivered)
        win(self);
    if (!replica_deciding(self))
        return 0;
    flight = partition_flight(self->partition);
    if (flight.flying && flight.accepted == flight.records && flight_delivered(self, &flight)) {
        partition_answer(self->partition);
        partition_landed(self->partition, wall_us);
        took_us = boot_us - self->flight_at_us;
    }
    if (self->state == REPLICA_DRAINING && replica_owned_by_nobody(self)) {
        partition_step_down(self->partition);
        replica_become(self, REPLICA_STANDBY);
        log_info("partition %u is released", self->number);
    }
    return took_us;
}

/* ---- writing ---- */

static void write_round(replica_t *self, int64_t wall_us, int64_t boot_us)
{
    const uint8_t *record;
    size_t n;
    err_t err = {0};
    bool good = true;
    uint32_t records = 0;

    if (!partition_has_round(self->partition))
        return;
    while (partition_seal(self->partition, wall_us, &record, &n)) {
        records++;
        /* After one that was not taken the later ones could not count. */
        good = good &&
               journal_append(self->journal, self->number, record, record + RECORD_HEADER_BYTES,
                              n - RECORD_HEADER_BYTES, &err) == ERR_NONE;
    }
    partition_fly(self->partition);
    if (records == 0) { /* acknowledgements only, or nothing */
        partition_answer(self->partition);
        partition_landed(self->partition, wall_us);
        return;
    }
    metric_add(METRIC_ROUNDS, 1);
    note_append(self, boot_us);
    if (!good)
        replica_doubt(self, err.text, boot_us);
}

static void write_release(replica_t *self, int64_t wall_us, int64_t boot_us)
{
    err_t err = {0};

    if (self->release.size > 0 || partition_flight(self->partition).flying ||
        partition_has_round(self->partition) || replica_owned_by_nobody(self))
        return;
    partition_seal_release(self->partition, wall_us, &self->release);
    self->flight_at_us = boot_us;
    if (journal_append(self->journal, self->number, self->release.bytes,
                       self->release.bytes + RECORD_HEADER_BYTES, 0, &err) != ERR_NONE)
        replica_doubt(self, err.text, boot_us);
}

bool replica_write(replica_t *self, bool round, int64_t wall_us, int64_t boot_us)
{
    bool flew = partition_flight(self->partition).flying;

    if (self->state == REPLICA_HALTED || self->state == REPLICA_CLOSED)
        return false;
    if (self->follow_due && boot_us >= self->follow_at_us)
        replica_follow(self, boot_us);
    begin_claim(self, boot_us);
    write_claim(self, wall_us, boot_us);
    if (round && replica_deciding(self) && !partition_flight(self->partition).flying)
        write_round(self, wall_us, boot_us);
    if (self->state == REPLICA_DRAINING)
        write_release(self, wall_us, boot_us);
    return !flew && partition_flight(self->partition).flying;
}

bool replica_flies(const replica_t *self, int64_t since_us)
{
    return partition_flight(self->partition).flying && self->flight_at_us >= since_us;
}

bool replica_has_round(const replica_t *self)
{
    return replica_deciding(self) && !partition_flight(self->partition).flying &&
           partition_has_round(self->partition);
}

bool replica_has_large_round(const replica_t *self)
{
    return replica_has_round(self) && partition_pending(self->partition) >= LARGE_ROUND;
}

/* For something of its own in the log. */
static bool is_waiting(const replica_t *self)
{
    return self->claim.size > 0 || self->release.size > 0 ||
           (self->state == REPLICA_CLAIMING && replica_unclaimed(self) != NULL) ||
           partition_flight(self->partition).flying;
}

void replica_on_tick(replica_t *self, int64_t wall_us, int64_t boot_us)
{
    (void)replica_stood_still(self, boot_us);
    partition_give_up_late(self->partition, wall_us);
    if (replica_deciding(self))
        partition_on_tick(self->partition, wall_us);
    if (is_waiting(self) && boot_us - self->flight_at_us > LATE_US)
        replica_doubt(self, "the log did not answer for 10 s", boot_us);
}

bool replica_position_due(replica_t *self, buffer_t *effects, int64_t boot_us)
{
    /* What halted it may have moved the position before it could be applied: that must not be stored. */
    if (!self->found || self->state == REPLICA_HALTED || boot_us < self->position_at_us ||
        self->stored.offset == replica_position(self)->offset)
        return false;
    self->position_at_us = boot_us + POSITION_US;
    self->stored = *replica_position(self);
    journal_put_position(self->number, &self->stored, effects);
    return true;
}

/* ---- mail ---- */

static bool is_barrier(const request_t *request)
{
    command_t command;

    return command_decode(&command, request->command, request->command_bytes, NULL) == ERR_NONE &&
           command.kind == COMMAND_BARRIER;
}

void replica_on_command(replica_t *self, request_t *request, int64_t wall_us)
{
    err_t err = {0};

    if (self->state != REPLICA_OWNER) {
        if (self->state == REPLICA_HALTED)
            err_set(&err, ERR_HALTED, "%s", replica_trouble(self));
        else
            err_set(&err, ERR_NOT_OWNER, "partition %u is not owned here; ask again", self->number);
    } else if (partition_full(self->partition) ||
               partition_pending(self->partition) >= PENDING_MAX ||
               partition_pending_bytes(self->partition) >= PENDING_BYTES) {
        err_set(&err, ERR_OVERLOADED, "%zu requests already wait for partition %u",
                partition_pending(self->partition), self->number);
    } else if (MUTANT(LOCAL_READS) && is_barrier(request)) {
        request_complete(request, NULL, 0, NULL);
        return;
    } else {
        partition_on_command(self->partition, request, wall_us);
        return;
    }
    request_complete(request, NULL, 0, &err);
}

void replica_on_frame(replica_t *self, const void *frame, size_t n, int64_t wall_us)
{
    if (self->state == REPLICA_OWNER)
        partition_on_frame(self->partition, frame, n, wall_us);
}

/* ---- life ---- */

replica_t *replica_new(const partition_config_t *partition, journal_t *journal)
{
    replica_t *self = memory_zalloc(sizeof *self);
    partition_config_t config = *partition;

    config.shared = true;
    self->partition = partition_new(&config);
    self->journal = journal;
    self->number = partition->number;
    self->incarnation = partition->incarnation;
    self->store = partition->store;
    self->clock_agrees = true;
    buffer_init(&self->claim, RECORD_HEADER_BYTES + 16);
    buffer_init(&self->release, RECORD_HEADER_BYTES + 16);
    buffer_init(&self->adopted, RECORD_HEADER_BYTES + HASH_BYTES);
    self->partitions = partition->partitions;
    return self;
}

void replica_destroy(replica_t **self_p)
{
    replica_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    partition_destroy(&self->partition);
    buffer_free(&self->claim);
    buffer_free(&self->release);
    buffer_free(&self->adopted);
    free(self);
}

/* ---- looking at it ---- */

replica_state_t replica_state(const replica_t *self)
{
    return self->state;
}

const char *replica_state_name(replica_state_t state)
{
    return state_names[state];
}

const position_t *replica_position(const replica_t *self)
{
    return partition_position(self->partition);
}

bool replica_owned_by_nobody(const replica_t *self)
{
    static const hash_t nobody;

    return hash_equal(&replica_position(self)->owner, &nobody);
}

bool replica_stuck(const replica_t *self, int64_t boot_us)
{
    return self->state == REPLICA_HALTED ||
           ((is_waiting(self) || self->state == REPLICA_CLAIMING) &&
            boot_us - self->flight_at_us > STUCK_US);
}

bool replica_idle(const replica_t *self)
{
    return !is_waiting(self) && !partition_has_round(self->partition) &&
           partition_idle(self->partition);
}

const char *replica_trouble(const replica_t *self)
{
    return partition_trouble(self->partition);
}

bool replica_halted_at(const replica_t *self, uint64_t *offset, uint32_t *crc)
{
    *offset = self->halted_offset;
    *crc = self->halted_crc;
    return self->state == REPLICA_HALTED && self->halted_by_record;
}

uint16_t replica_number(const replica_t *self)
{
    return self->number;
}

void replica_metrics(const replica_t *self, buffer_t *out)
{
    buffer_printf(out,
                  "fealty_replica_state{partition=\"%u\",state=\"%s\"} 1\n"
                  "fealty_replica_epoch{partition=\"%u\"} %llu\n"
                  "fealty_replica_claims_total{partition=\"%u\"} %llu\n"
                  "fealty_replica_doubts_total{partition=\"%u\"} %llu\n",
                  self->number, state_names[self->state], self->number,
                  (unsigned long long)replica_position(self)->epoch, self->number,
                  (unsigned long long)self->claims, self->number, (unsigned long long)self->doubts);
    if (replica_deciding(self))
        partition_metrics(self->partition, out);
}
