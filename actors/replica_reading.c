/* replica_reading.c - a copy reads its partition's log: what it follows, what it reads again, what a record means for it */
#include "actors/replica_state.h"

#include "protocol/log.h"
#include "protocol/mutant.h"

#define STILL_US INT64_C(1000000) /* without a call: the process stood still */
#define LOOKS    3                /* at bytes that are no record */

/* ---- following ---- */

void replica_follow(replica_t *self, int64_t boot_us)
{
    err_t err = {0};
    uint64_t from = self->found ? replica_position(self)->offset : 0;

    /* The place where a new history begins holds none of its records. */
    self->checking = self->found && replica_unclaimed(self) == NULL;
    self->ended_others = false;
    if (self->checking && MUTANT(NO_REREAD)) {
        self->checking = false;
        from++;
    }
    self->follow_due = journal_follow(self->journal, self->number, from, &err) != ERR_NONE;
    self->follow_at_us = boot_us + REPLICA_FOLLOW_AGAIN_US;
    /* A claim or a round in the log stays what it is: only what was read is in question. */
    if (self->state == REPLICA_CLOSED || self->state == REPLICA_STANDBY ||
        self->state == REPLICA_CHECKING)
        replica_become(self, self->checking ? REPLICA_CHECKING : REPLICA_STANDBY);
}

/* ---- records ---- */

static bool same_record(const position_t *position, const journal_record_t *record)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;

    return record->offset == position->offset &&
           record_decode(record->bytes, record->n, &header, &body, &reason) == VERDICT_ACCEPT &&
           header.epoch == position->epoch && header.crc == position->crc &&
           hash_equal(&header.history, &position->history) &&
           /* A claim carries the seq that its writer had read, which the log may have gone beyond. */
           (header.kind == RECORD_CLAIM || header.seq == position->seq);
}

static void halt_cut(replica_t *self)
{
    partition_halt(self->partition,
                   "the log does not hold the record at offset %llu that was applied here: it was "
                   "cut behind this node's back",
                   (unsigned long long)replica_position(self)->offset);
    self->log_lost = true;
    replica_halted(self);
}

static void read_again(replica_t *self, int64_t boot_us)
{
    self->follow_due = true;
    self->checking = self->found;
    self->follow_at_us = boot_us;
}

/* An owner that stood still may wake up to a log that was cut meanwhile and has grown over the place where it reads on:
 * nothing would break off, and its next record would be taken by itself alone. So it looks at its last record first. */
bool replica_stood_still(replica_t *self, int64_t boot_us)
{
    bool still = self->alive_us != 0 && boot_us - self->alive_us > STILL_US;

    self->alive_us = boot_us;
    if (!still || !replica_deciding(self) || !self->found || MUTANT(NO_REREAD))
        return false;
    read_again(self, boot_us);
    return true;
}

static bool is_no_record(const journal_record_t *record, record_reason_t *reason)
{
    record_header_t header;
    const uint8_t *body;

    return record_decode(record->bytes, record->n, &header, &body, reason) == VERDICT_IGNORE;
}

/* Bytes that are no record may have been spoilt on their way here: they are fetched again. Bad each time, they are
 * bad for everybody, or `seen` will stop this reader. */
static bool look_again(replica_t *self, const journal_record_t *record, int64_t boot_us)
{
    record_reason_t reason;

    if (!is_no_record(record, &reason))
        return false;
    bool last = record->offset + 1 == self->spoilt_seen;
    if (record->offset < self->spoilt_seen && !(last && self->spoilt_looks < LOOKS)) {
        if (record->offset >= self->spoilt_told)
            log_error("partition %u: what the log holds at offset %llu is no record (%s): ignored",
                      self->number, (unsigned long long)record->offset, record_reason_name(reason));
        self->spoilt_told = record->offset + 1;
        return false;
    }
    self->spoilt_looks = last ? self->spoilt_looks + 1 : 1;
    self->spoilt_seen = record->offset + 1;
    read_again(self, boot_us);
    return true;
}

/* The first record after journal_follow: must be the one that was applied last. */
static void end_check(replica_t *self, const journal_record_t *record, int64_t boot_us)
{
    record_reason_t reason;

    self->checking = false;
    if (!same_record(replica_position(self), record)) {
        if (record->offset == replica_position(self)->offset && is_no_record(record, &reason) &&
            ++self->check_looks < LOOKS) {
            read_again(self, boot_us);
            return;
        }
        halt_cut(self);
        return;
    }
    self->check_looks = 0;
    if (self->state == REPLICA_CHECKING)
        replica_become(self, REPLICA_STANDBY);
}

static bool is_own(const buffer_t *sent, const journal_record_t *record)
{
    return sent->size > 0 && sent->size == record->n &&
           memcmp(sent->bytes, record->bytes, record->n) == 0;
}

static void on_claim(replica_t *self, const journal_record_t *record)
{
    if (is_own(&self->claim, record) && self->state == REPLICA_CLAIMING)
        self->claim_read = true;
    else
        replica_other_claimed(self, hash_equal(&replica_position(self)->owner, &self->incarnation));
}

/* An own record came back and does not count. */
static void own_ignored(replica_t *self, const journal_record_t *record, int64_t boot_us)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;
    flight_t flight = partition_flight(self->partition);

    if (is_own(&self->claim, record)) {
        if (!self->claim_read)
            replica_doubt(self, "its claim came too late", boot_us);
        return;
    }
    if (record_decode(record->bytes, record->n, &header, &body, &reason) != VERDICT_ACCEPT ||
        !hash_equal(&header.incarnation, &self->incarnation) || !flight.flying || self->in_doubt ||
        header.kind != RECORD_DECISIONS || header.epoch != flight.epoch ||
        header.epoch != replica_position(self)->epoch ||
        header.seq <= replica_position(self)->seq) /* a copy of one that counts */
        return;
    replica_doubt(self, "the log did not accept its record", boot_us);
}

/* ---- skips ---- */

/* Whoever applied a record that all others ignore has another history than they. It cannot be told from the rows, but
 * from the mark that was stored with them. */
bool replica_made_otherwise(replica_t *self)
{
    const position_t *position = replica_position(self);

    if (!self->found || position->skips == skips_mark(self->skips, self->number, position->offset))
        return false;
    partition_halt(
        self->partition,
        "a record that was read here up to offset %llu is skipped by an operator's word: "
        "this copy differs, `fealty partition rebuild %u` makes it anew",
        (unsigned long long)position->offset, self->number);
    replica_halted(self);
    return true;
}

/* ---- histories ---- */

const adoption_t *replica_unclaimed(const replica_t *self)
{
    const adoption_t *adoption = adoptions_latest(self->adoptions, self->number);
    const position_t *at = replica_position(self);

    return adoption != NULL && self->found && hash_equal(&at->history, &adoption->fresh) &&
                   at->epoch == adoption->epoch + ADOPTION_AHEAD
               ? adoption
               : NULL;
}

bool replica_replaced(replica_t *self)
{
    const adoption_t *adoption = adoptions_latest(self->adoptions, self->number);

    if (adoption == NULL ||
        (self->found && hash_equal(&adoption->fresh, &replica_position(self)->history)))
        return false;
    partition_halt(self->partition, "its history was replaced: another image was adopted");
    replica_halted(self);
    return true;
}

/* The end of all histories but one: of this one's past it says nothing new. Before the first claim of a new history that
 * end must stand in the log; who reads it from there finds the same as all others. */
static bool passes_over(replica_t *self, const journal_record_t *record, int64_t boot_us)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;
    bool mine;

    if (adoptions_count(self->adoptions) == 0 ||
        record_decode(record->bytes, record->n, &header, &body, &reason) != VERDICT_ACCEPT)
        return false;
    mine = self->found && hash_equal(&header.history, &replica_position(self)->history);
    if (header.kind == RECORD_ADOPTED) {
        self->ended_others = self->ended_others || mine;
        return mine || adoptions_replaced(self->adoptions, self->number, &header.history);
    }
    if (header.kind != RECORD_CLAIM || !mine || self->ended_others ||
        replica_unclaimed(self) == NULL)
        return false;
    own_ignored(self, record, boot_us);
    return true;
}

/* ---- records ---- */

static bool is_skipped(const replica_t *self, const journal_record_t *record)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;

    return skips_count(self->skips) > 0 &&
           record_decode(record->bytes, record->n, &header, &body, &reason) != VERDICT_IGNORE &&
           skips_have(self->skips, self->number, record->offset, header.crc);
}

static void note_halt(replica_t *self, const journal_record_t *record)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;

    if (record_decode(record->bytes, record->n, &header, &body, &reason) == VERDICT_IGNORE ||
        header.kind == RECORD_ADOPTED) /* which cannot be skipped: it waits for the adoption */
        return;
    self->halted_by_record = true;
    self->halted_offset = record->offset;
    self->halted_crc = header.crc;
}

void replica_on_record(replica_t *self, const journal_record_t *record, buffer_t *effects,
                       int64_t boot_us)
{
    if (self->state == REPLICA_HALTED || self->state == REPLICA_CLOSED || self->follow_due)
        return;
    if (record->bytes == NULL) {
        if (record->lost && self->found) {
            log_error("partition %u: %s", self->number, record->why);
            halt_cut(self);
            return;
        }
        read_again(self, boot_us);
        return;
    }
    if (replica_stood_still(self, boot_us))
        return;
    if (self->checking) {
        end_check(self, record, boot_us);
        return;
    }
    if (passes_over(self, record, boot_us))
        return;
    if (is_skipped(self, record)) {
        log_warn("partition %u: the record at offset %llu is skipped by an operator's word",
                 self->number, (unsigned long long)record->offset);
        own_ignored(self, record, boot_us);
        return;
    }
    uint64_t epoch_before = replica_position(self)->epoch;
    uint64_t effects_seq_before = replica_position(self)->effects_seq;
    size_t effects_before = effects->size;
    switch (partition_on_record(self->partition, record, effects)) {
    case VERDICT_HALT:
        effects->size = effects_before;
        note_halt(self, record);
        replica_halted(self);
        return;
    case VERDICT_IGNORE:
        if (!look_again(self, record, boot_us))
            own_ignored(self, record, boot_us);
        return;
    case VERDICT_ACCEPT: break;
    }
    self->found = true;
    partition_set_skips(self->partition, skips_mark(self->skips, self->number, record->offset));
    if (replica_position(self)->epoch != epoch_before)
        on_claim(self, record);
    else if (is_own(&self->release, record))
        buffer_reset(&self->release); /* its own RELEASE: settle ends the draining */
    /* Of what answers may name the position is stored at once, of other records when there is time. */
    if (effects->size > effects_before || replica_position(self)->epoch != epoch_before ||
        replica_position(self)->effects_seq != effects_seq_before) {
        journal_put_position(self->number, replica_position(self), effects);
        self->stored = *replica_position(self);
    }
}
