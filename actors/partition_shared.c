/* partition_shared.c - what a partition does only on a log that it shares with other nodes
 *
 * There the log decides who owns it, a round may turn out never to have happened, and records of other processes are
 * applied too.
 */
#include "actors/partition_parts.h"

#include <stdlib.h>

/* ---- records that belong to no round ---- */

static void seal_alone(record_header_t *header, const void *body, size_t n, buffer_t *record)
{
    uint8_t room[RECORD_HEADER_BYTES];

    header->body_bytes = (uint32_t)n;
    record_encode_header(header, body, room);
    buffer_reset(record);
    buffer_append(record, room, sizeof room);
    buffer_append(record, body, n);
    INVARIANT(!record->failed);
}

static record_header_t header_alone(const partition_t *self, record_kind_t kind, int64_t wall_us)
{
    const position_t *at = &self->committed;

    return (record_header_t){.partition = self->config.number,
                             .kind = (uint8_t)kind,
                             .history = at->history,
                             .epoch = at->epoch,
                             .incarnation = self->config.incarnation,
                             .seq = at->seq,
                             .seen = at->seq,
                             .at_us = wall_us > at->now_us ? wall_us : at->now_us,
                             .chain = at->chain};
}

void partition_seal_claim(partition_t *self, const hash_t *fresh_history, int64_t wall_us,
                          buffer_t *record)
{
    record_header_t header = header_alone(self, RECORD_CLAIM, wall_us);
    uint8_t previous[8];

    for (int i = 0; i < 8; i++)
        previous[i] = (uint8_t)(header.epoch >> (8 * i));
    /* A claim does not say more than the claimer's own time: a follower may have read one that is ahead. */
    header.at_us = wall_us;
    if (header.epoch == 0 && uuid_is_zero((const uuid16_t *)header.history.bytes))
        header.history = *fresh_history;
    header.epoch++;
    seal_alone(&header, previous, sizeof previous, record);
}

void partition_seal_release(partition_t *self, int64_t wall_us, buffer_t *record)
{
    record_header_t header = header_alone(self, RECORD_RELEASE, wall_us);

    INVARIANT(self->flying == NULL);
    seal_alone(&header, "", 0, record);
}

void partition_seal_adopted(partition_t *self, const hash_t *old, int64_t wall_us, buffer_t *record)
{
    record_header_t header = header_alone(self, RECORD_ADOPTED, wall_us);

    seal_alone(&header, old->bytes, sizeof old->bytes, record);
}

void partition_set_adoptions(partition_t *self, const adoptions_t *adoptions)
{
    self->config.adoptions = adoptions;
}

void partition_set_skips(partition_t *self, uint64_t mark)
{
    self->committed.skips = mark;
}

/* ---- ownership ---- */

errcode_t partition_own(partition_t *self, err_t *err)
{
    INVARIANT(self->flying == NULL && self->now->reply_count == 0);
    position_t position = self->committed;

    row_cache_clear(self->config.cache);
    round_clear(self->now);
    buffer_reset(&self->changes);
    memset(self->next_definition, 0, sizeof self->next_definition);
    self->counters_changed = false;
    self->checkpoint_due = false;
    self->counting_count = 0;
    self->prove_due = false;
    errcode_t rc = partition_load(self, &position, true, err);
    if (rc == ERR_NONE)
        self->state = PARTITION_OWNER;
    return rc;
}

static void answer_all_waiting(partition_t *self)
{
    err_t err;

    err_set(&err, ERR_UNKNOWN_OUTCOME,
            "the partition moved before the outcome was known; ask with the idempotency key");
    while (self->waiting != NULL) {
        waiting_t *waiting = self->waiting;
        self->waiting = waiting->next;
        request_complete(waiting->request, NULL, 0, &err);
        request_release(waiting->request);
        free(waiting->result);
        free(waiting);
    }
    self->waiting_count = 0;
}

void partition_step_down(partition_t *self)
{
    err_t err;

    if (self->state != PARTITION_HALTED)
        self->state = PARTITION_STANDBY;
    err_set(&err, ERR_NOT_OWNER,
            "partition %u is being taken over; this was not applied, ask again",
            self->config.number);
    round_answer(self->now, &err);
    round_clear(self->now);
    answer_all_waiting(self);
    buffer_reset(&self->changes);
    row_cache_clear(self->config.cache);
}

void partition_resolve(partition_t *self, bool covered, bool claim_covered)
{
    round_t *round = self->flying;
    err_t unknown, refused;

    if (round == NULL)
        return;
    err_set(&unknown, ERR_UNKNOWN_OUTCOME,
            "partition %u was taken over meanwhile; ask for the outcome with the idempotency key",
            self->config.number);
    err_set(&refused, ERR_NOT_OWNER,
            "partition %u is being taken over; this was not applied, ask again",
            self->config.number);
    for (size_t i = 0; i < round->reply_count; i++) {
        reply_t *reply = &round->replies[i];
        const err_t *why = &unknown;
        if (reply->record >= round->accepted)
            why = claim_covered && !reply->begun_before ? &refused : &unknown;
        else if (covered)
            why = NULL;
        if (why == NULL && reply->err.code != ERR_NONE)
            why = &reply->err;
        /* What was decided after it may not be in the log; what is, up to the claim that settles it, is read already. */
        if (why == NULL)
            reply->request->place = log_place_of(&self->committed);
        request_complete(reply->request,
                         why == NULL ? round->results.bytes + reply->result_at : NULL,
                         why == NULL ? reply->result_bytes : 0, why);
        request_release(reply->request);
    }
    round->reply_count = 0;
    round_clear(round);
    self->flying = NULL;
}

/* ---- what the driver looks at ---- */

flight_t partition_flight(const partition_t *self)
{
    const round_t *round = self->flying;

    if (round == NULL)
        return (flight_t){.flying = false};
    return (flight_t){.flying = true,
                      .records = round->sealed,
                      .accepted = round->accepted,
                      .epoch = round->epoch,
                      .last_seq = round->first_seq + round->sealed - 1};
}

void partition_give_up_late(partition_t *self, int64_t wall_us)
{
    round_t *round = self->flying;
    size_t kept = 0;
    err_t err;

    if (round == NULL)
        return;
    err_set(&err, ERR_UNKNOWN_OUTCOME,
            "the log did not answer in time; ask for the outcome with the idempotency key");
    for (size_t i = 0; i < round->reply_count; i++) {
        reply_t *reply = &round->replies[i];
        if (reply->request->deadline_us != 0 && wall_us > reply->request->deadline_us) {
            request_complete(reply->request, NULL, 0, &err);
            request_release(reply->request);
        } else {
            round->replies[kept++] = *reply;
        }
    }
    round->reply_count = kept;
}

size_t partition_pending(const partition_t *self)
{
    return self->now->reply_count + (self->flying != NULL ? self->flying->reply_count : 0) +
           self->waiting_count;
}

size_t partition_pending_bytes(const partition_t *self)
{
    return self->now->body.size + (self->flying != NULL ? self->flying->body.size : 0);
}

bool partition_has_round(const partition_t *self)
{
    return self->now->reply_count > 0 || self->now->record_count > 0 || self->has_mail ||
           self->checkpoint_due || self->prove_due;
}

/* ---- telling what others wrote ---- */

static void tell_content(partition_t *self, const row_write_t *write)
{
    change_t change;
    err_t err = {0};

    if (content_decode(&change, write->value, write->value_bytes, &err) != ERR_NONE ||
        catalogue_put(self->config.catalogue, change.version, change.resource, change.id,
                      change.deleted, change.json, &err) != ERR_NONE)
        partition_halt(self, "%s", err.text);
}

void partition_tell(partition_t *self, const uint8_t *writes, size_t n)
{
    uint8_t session[BATCH_KEY_BYTES_MAX], content[BATCH_KEY_BYTES_MAX];
    size_t session_bytes = key_tag(session, self->config.number, 'S');
    size_t content_bytes = key_content(content, 1);
    size_t at = 0;
    bool corrupt = false;
    row_write_t write;

    while (batch_next(writes, n, &at, &write, &corrupt)) {
        if (write.family == FAMILY_META && !write.is_delete && write.key_bytes == content_bytes &&
            write.key[0] == content[0]) {
            tell_content(self, &write);
        } else if (write.family == FAMILY_STATE && self->config.session != NULL &&
                   write.key_bytes == session_bytes + HASH_BYTES &&
                   memcmp(write.key, session, session_bytes) == 0) {
            hash_t token;
            memcpy(token.bytes, write.key + session_bytes, sizeof token.bytes);
            self->config.session(self->config.state, &token, write.is_delete ? NULL : write.value,
                                 write.is_delete ? 0 : write.value_bytes);
        }
    }
    if (corrupt)
        partition_halt(self, "a record holds row writes that this version does not know");
}
