/* partition_round.c - a round's way: sealed into records, judged as the log returns them, answered, landed
 *
 * Nothing leaves (no reply, no message, no acknowledgement) before the record that it rests on was accepted by
 * record_judge() and committed by the journal.
 */
#include "actors/partition_parts.h"
#include "actors/section.h"
#include "protocol/metrics.h"
#include "protocol/mutant.h"

#include <stdlib.h>

#define CHECKPOINT_RECORDS 64

/* ---- records ---- */

static void seal_claim(partition_t *self, record_header_t *header)
{
    uint64_t prev = self->decided.epoch;
    for (int i = 0; i < 8; i++)
        buffer_byte(&self->now->body, (uint8_t)(prev >> (8 * i)));
    header->kind = RECORD_CLAIM;
    header->epoch = prev + 1;
    header->seq = self->decided.seq;
    if (prev == 0 && uuid_is_zero((const uuid16_t *)self->decided.history.bytes))
        header->history = self->fresh_history;
}

/* On a shared log no answer leaves on what was decided alone: a refusal or a read waits for a record of its own when
 * its round has no other (protocol section 2). */
static bool needs_barrier(const partition_t *self)
{
    return self->config.shared && self->now->sealed == 0 &&
           (self->prove_due || (self->now->reply_count > 0 && !MUTANT(DENIAL_WITHOUT_BARRIER)));
}

bool partition_seal(partition_t *self, int64_t wall_us, const uint8_t **record, size_t *n)
{
    record_header_t header = {.partition = self->config.number,
                              .kind = RECORD_DECISIONS,
                              .history = self->decided.history,
                              .epoch = self->decided.epoch,
                              .incarnation = self->config.incarnation,
                              .seq = self->decided.seq + 1,
                              .seen = self->committed.seq,
                              .at_us =
                                  wall_us > self->decided.now_us ? wall_us : self->decided.now_us,
                              .chain = self->decided.chain};
    record_reason_t reason;

    if (self->state == PARTITION_HALTED)
        return false;
    if (self->claim_due) {
        self->claim_due = false;
        INVARIANT(self->now->body.size == 0);
        round_record_begin(self);
        seal_claim(self, &header);
    } else {
        if (self->state != PARTITION_OWNER)
            return false;
        if (self->checkpoint_due ||
            (self->now->sealed == 0 && self->now->body.size > 0 && self->counters_changed &&
             self->records_since_checkpoint >= CHECKPOINT_RECORDS)) {
            decision_begin(self, NULL, 0, false);
            ledger_checkpoint(self);
            decision_end(self);
        }
        bool begun = self->now->sealed < self->now->record_count;
        /* Only the last one can be empty: its decision was taken back. */
        bool empty = !begun || round_record_end(self, self->now->sealed) ==
                                   self->now->record_at[self->now->sealed] + RECORD_HEADER_BYTES;
        if (empty && !needs_barrier(self))
            return false;
        if (!begun)
            round_record_begin(self);
        self->records_since_checkpoint++;
    }
    uint8_t *start = self->now->body.bytes + self->now->record_at[self->now->sealed];
    *record = start;
    *n = round_record_end(self, self->now->sealed) - self->now->record_at[self->now->sealed];
    self->now->sealed++;
    header.body_bytes = (uint32_t)(*n - RECORD_HEADER_BYTES);
    record_encode_header(&header, start + RECORD_HEADER_BYTES, start);
    /* What the log will say of it, so that the next record of this round can follow. */
    verdict_t verdict = record_judge(&self->decided, &header, start, *n, header.at_us, &reason);
    INVARIANT(verdict == VERDICT_ACCEPT);
    if (self->now->sealed <= KNOWN_RECORDS)
        self->now->known[self->now->sealed - 1] =
            (known_t){.header = header, .chain_after = self->decided.chain};
    if (self->now->sealed == 1) {
        self->now->epoch = header.epoch;
        self->now->first_seq = header.seq;
    }
    return true;
}

/* Is this the next record that the round sealed? The whole header is compared, crc included; what comes back from a shared
 * log is compared to its last byte, since others judge it by what lies there. Then the bytes here are taken, whose sum
 * needs no second look. */
static const known_t *recognise(partition_t *self, const journal_record_t *record,
                                const uint8_t **body)
{
    round_t *round = self->flying != NULL ? self->flying : self->now;
    uint32_t i = round->judged;

    if (i >= round->sealed || i >= KNOWN_RECORDS)
        return NULL;
    const uint8_t *own = round->body.bytes + round->record_at[i];
    if (record->n != RECORD_HEADER_BYTES + round->known[i].header.body_bytes ||
        memcmp(record->bytes, own, self->config.shared ? record->n : RECORD_HEADER_BYTES) != 0)
        return NULL;
    round->judged++;
    *body = own + RECORD_HEADER_BYTES;
    return &round->known[i];
}

/* The pure judgement of protocol section 1. */
static verdict_t judge(partition_t *self, const journal_record_t *record, record_header_t *header,
                       const uint8_t **body, record_reason_t *reason)
{
    const known_t *known = recognise(self, record, body);

    if (known != NULL) {
        *header = known->header;
        return record_judge_own(&self->committed, header, *body - RECORD_HEADER_BYTES, record->n,
                                known->chain_after, record->log_time_us, reason);
    }
    verdict_t verdict = record_decode(record->bytes, record->n, header, body, reason);
    return verdict != VERDICT_ACCEPT ? verdict
                                     : record_judge(&self->committed, header, record->bytes,
                                                    record->n, record->log_time_us, reason);
}

/* Own records are accepted in the order of their seq. */
static void flight_accepted(partition_t *self, const record_header_t *header, bool own)
{
    round_t *round = self->flying;

    if (round == NULL || !own || header->epoch != round->epoch || header->seq < round->first_seq ||
        header->seq - round->first_seq >= round->sealed)
        return;
    round->accepted = (uint32_t)(header->seq - round->first_seq) + 1;
}

verdict_t partition_on_record(partition_t *self, const journal_record_t *record, buffer_t *effects)
{
    record_header_t header;
    record_reason_t reason = REASON_NONE;
    const uint8_t *body = NULL;

    verdict_t verdict = judge(self, record, &header, &body, &reason);
    if (verdict == VERDICT_HALT)
        partition_halt(self, "%s", record_reason_name(reason));
    if (verdict == VERDICT_IGNORE)
        metric_add(METRIC_RECORDS_IGNORED, 1);
    if (verdict != VERDICT_ACCEPT)
        return verdict;
    self->committed.offset = record->offset;
    bool own = hash_equal(&header.incarnation, &self->config.incarnation);
    if (header.kind == RECORD_CLAIM) {
        if (!self->config.shared)
            self->state = own ? PARTITION_OWNER : PARTITION_STANDBY;
        return verdict;
    }
    if (header.kind != RECORD_DECISIONS)
        return verdict;
    size_t at = 0, from = effects->size;
    bool corrupt = false;
    section_t section;
    while (section_next(body, header.body_bytes, &at, &section, &corrupt))
        buffer_append(effects, section.writes, section.writes_bytes);
    if (corrupt) {
        partition_halt(self, "a record holds a section that this version does not know");
        return VERDICT_HALT;
    }
    if (self->config.shared) {
        flight_accepted(self, &header, own);
        partition_tell(self, effects->bytes + from, effects->size - from);
    }
    metric_add(METRIC_RECORDS, 1);
    return self->state == PARTITION_HALTED ? VERDICT_HALT : verdict;
}

/* ---- after the commit ---- */

static void publish_changes(partition_t *self, size_t bytes)
{
    unpack_t in = unpack_from(self->changes.bytes, bytes);
    while (in.at < in.end) {
        change_t change;
        err_t err = {0};
        if (change_decode(&change, &in, &err) != ERR_NONE ||
            catalogue_put(self->config.catalogue, change.version, change.resource, change.id,
                          change.deleted, change.json, &err) != ERR_NONE) {
            partition_halt(self, "%s", err.text);
            return;
        }
    }
    self->changes.size -= bytes;
    if (self->changes.size > 0)
        memmove(self->changes.bytes, self->changes.bytes + bytes, self->changes.size);
}

static void publish_sessions(const partition_t *self, const round_t *round)
{
    unpack_t in = unpack_from(round->session_changes.bytes, round->session_changes.size);
    while (in.at < in.end) {
        hash_t token = {{0}};
        const void *value = NULL;
        unpack_fixed(&in, token.bytes, sizeof token.bytes);
        size_t n = unpack_blob(&in, &value);
        INVARIANT(!in.failed);
        if (self->config.session != NULL)
            self->config.session(self->config.state, &token, n > 0 ? value : NULL, n);
    }
}

static void answer_definitions(partition_t *self)
{
    uint64_t everywhere = UINT64_MAX;
    for (uint16_t dst = 0; dst < self->config.partitions; dst++)
        if (self->sending[dst].committed.acked < everywhere)
            everywhere = self->sending[dst].committed.acked;
    for (waiting_t **link = &self->waiting; *link != NULL;)
        if ((*link)->transfer == 0 && (*link)->message <= everywhere) {
            waiting_t *waiting = *link;
            *link = waiting->next;
            self->waiting_count--;
            request_complete(waiting->request, waiting->result, waiting->result_bytes, NULL);
            request_release(waiting->request);
            free(waiting->result);
            free(waiting);
        } else {
            link = &(*link)->next;
        }
}

void round_clear(round_t *round)
{
    overlay_clear(round->overlay);
    crowd_clear(&round->crowd);
    buffer_reset(&round->body);
    buffer_reset(&round->results);
    buffer_reset(&round->session_changes);
    round->record_count = 0;
    round->sealed = 0;
    round->judged = 0;
    round->accepted = 0;
    round->reply_count = 0;
    round->answered = false;
    round->pairs_changed = false;
    round->halted = false;
}

/* Strange frames that came before this round was sealed. */
static void move_strange(partition_t *self, int from, int to)
{
    for (uint16_t i = 0; i <= self->config.partitions; i++) {
        if ((int)self->sending[i].strange.state == from)
            self->sending[i].strange.state = to;
        if ((int)self->receiving[i].strange.state == from)
            self->receiving[i].strange.state = to;
    }
}

void partition_fly(partition_t *self)
{
    round_t *round = self->now;

    INVARIANT(self->flying == NULL);
    INVARIANT(round->sealed == round->record_count ||
              round->body.size == round->record_at[round->sealed] + RECORD_HEADER_BYTES ||
              self->state == PARTITION_HALTED);
    round->halted = self->state == PARTITION_HALTED;
    round->changes_bytes = self->changes.size;
    round->place = log_place_of(&self->decided);
    if (round->pairs_changed)
        for (uint16_t i = 0; i <= self->config.partitions; i++) {
            round->out[i] = self->sending[i].decided;
            round->in[i] = self->receiving[i].decided;
        }
    self->has_mail = false;
    if (self->prove_due && round->sealed > 0) {
        self->prove_due = false;
        move_strange(self, STRANGE_SEEN, STRANGE_ASKED);
    }
    self->flying = round;
    self->now = round == &self->rounds[0] ? &self->rounds[1] : &self->rounds[0];
}

void round_answer(round_t *round, const err_t *why)
{
    err_t unknown;

    err_set(&unknown, ERR_UNKNOWN_OUTCOME,
            "the partition moved before the outcome was known; ask with the idempotency key");
    for (size_t i = 0; i < round->reply_count; i++) {
        reply_t *reply = &round->replies[i];
        if (why != NULL && reply->begun_before)
            request_complete(reply->request, NULL, 0, &unknown);
        else if (why != NULL || reply->err.code != ERR_NONE)
            request_complete(reply->request, NULL, 0, why != NULL ? why : &reply->err);
        else {
            reply->request->place = round->place;
            request_complete(reply->request, round->results.bytes + reply->result_at,
                             reply->result_bytes, NULL);
        }
        request_release(reply->request);
    }
    round->reply_count = 0;
    round->answered = true;
}

void partition_answer(partition_t *self)
{
    round_t *round = self->flying;
    err_t err;

    if (round->halted) {
        err_set(&err, ERR_HALTED, "partition %u is halted", self->config.number);
        round_answer(round, &err);
        return;
    }
    if (!self->config.shared) /* there they were told when the record was accepted */
        publish_sessions(self, round);
    round_answer(round, NULL);
}

void partition_landed(partition_t *self, int64_t wall_us)
{
    round_t *round = self->flying;
    bool wrote = round->sealed > 0 && !round->halted;

    INVARIANT(round->answered);
    if (wrote) {
        if (round->pairs_changed)
            for (uint16_t i = 0; i <= self->config.partitions; i++) {
                self->sending[i].committed = round->out[i];
                self->receiving[i].committed = round->in[i];
            }
        publish_changes(self, round->changes_bytes);
        if (self->config.shared)
            move_strange(self, STRANGE_ASKED, STRANGE_PROVEN);
    }
    round_clear(round);
    self->flying = NULL;
    if (self->state != PARTITION_OWNER)
        return;
    for (uint16_t i = 0; i <= self->config.partitions; i++) {
        if (self->receiving[i].ack_due) {
            messages_ack(self, i);
            /* What the round being decided applies is acknowledged after its own commit. */
            self->receiving[i].ack_due =
                self->receiving[i].committed.seq != self->receiving[i].decided.seq ||
                !hash_equal(&self->receiving[i].committed.peer, &self->receiving[i].decided.peer);
        }
        if (wrote && self->sending[i].committed.acked + 1 <= self->sending[i].committed.next)
            messages_pump(self, i, wall_us);
    }
    if (wrote && self->config.number == self->config.partitions && self->waiting != NULL)
        answer_definitions(self);
}

void partition_committed(partition_t *self, int64_t wall_us)
{
    partition_fly(self);
    partition_answer(self);
    partition_landed(self, wall_us);
}

void partition_drop(partition_t *self, const err_t *why)
{
    for (size_t i = 0; i < COUNT_OF(self->rounds); i++) {
        round_answer(&self->rounds[i], why);
        round_clear(&self->rounds[i]);
    }
    self->flying = NULL;
    buffer_reset(&self->changes);
    row_cache_clear(self->config.cache);
}
