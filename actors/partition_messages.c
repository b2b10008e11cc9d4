/* partition_messages.c - messages to and from other partitions: exactly once in effect (protocol section 5) */
#include "actors/decide.h"
#include "actors/partition_parts.h"
#include "protocol/log.h"
#include "protocol/metrics.h"
#include "protocol/mutant.h"

#include <stdio.h>

/* On a shared log a frame that cannot be true first of all means that another node owns this partition meanwhile: it has
 * sent, or applied, what this one does not know of. Only who landed a record after the frame had come was still the
 * owner; when it comes again then, one side was restored. true: nothing is to be concluded yet. */
static bool not_proven(partition_t *self, strange_t *strange, uint64_t n)
{
    if (!self->config.shared || (strange->state == STRANGE_PROVEN && strange->n == n))
        return false;
    if (strange->state == STRANGE_NONE || strange->state == STRANGE_PROVEN || strange->n != n) {
        *strange = (strange_t){.state = STRANGE_SEEN, .n = n};
        self->prove_due = true;
    }
    return true;
}

/* `n` of the frame that shows it. */
static void messages_halt(partition_t *self, bool sending, uint16_t other, uint64_t n,
                          const char *why)
{
    bool *halted = sending ? &self->sending[other].halted : &self->receiving[other].halted;

    if (*halted ||
        not_proven(self, sending ? &self->sending[other].strange : &self->receiving[other].strange,
                   n))
        return;
    *halted = true;
    snprintf(self->trouble, sizeof self->trouble,
             "messages of partition %u %s partition %u are halted: %s", self->config.number,
             sending ? "to" : "from", other, why);
    log_error("%s; one of the two was restored from an older copy: restore both from one backup",
              self->trouble);
}

/* ---- messages ---- */

errcode_t partition_room(const partition_t *self, uint16_t dst, err_t *err)
{
    const sending_t *sending = &self->sending[dst];
    uint64_t waiting = sending->decided.next - 1 - sending->decided.acked;
    uint64_t most = self->config.pair_max != 0 ? self->config.pair_max : MESSAGE_PAIR_MAX;

    if (waiting < most && sending->bytes < MESSAGE_PAIR_BYTES_MAX)
        return ERR_NONE;
    return err_set(err, ERR_UNREACHABLE, "%llu messages to partition %u already wait",
                   (unsigned long long)waiting, dst);
}

void partition_message(partition_t *self, uint16_t dst, const buffer_t *body)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    sending_t *sending = &self->sending[dst];

    INVARIANT(dst <= self->config.partitions);
    INVARIANT(!body->failed);
    uint64_t n = sending->decided.next++;
    sending->bytes += body->size;
    self->unacked++;
    partition_put(self, FAMILY_OUTBOX, key, key_outbox(key, self->config.number, dst, n), body);
    buffer_reset(&self->value);
    self->now->pairs_changed = true;
    pair_out_encode(&sending->decided, &self->value);
    partition_put(self, FAMILY_STATE, key, key_pair_out(key, self->config.number, dst),
                  &self->value);
}

static void put_pair_in(partition_t *self, uint16_t src)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    self->now->pairs_changed = true;
    pair_in_encode(&self->receiving[src].decided, &self->value);
    partition_put(self, FAMILY_STATE, key, key_pair_in(key, self->config.number, src),
                  &self->value);
}

static errcode_t decide_message(partition_t *self, uint16_t src, text_t body, err_t *err)
{
    switch (body_type(body)) {
    case BODY_CREDIT_1: return decide_credit(self, src, body, err);
    case BODY_CREDIT_REPLY_1: return decide_credit_reply(self, body, err);
    case BODY_CATALOGUE_1: return decide_changes(self, body, err);
    case BODY_SESSION_1: return decide_session_message(self, body, err);
    default:
        return err_set(err, ERR_CORRUPT, "its type %u is not known to this version",
                       body_type(body));
    }
}

/* ---- histories that were adopted ---- */

static bool unknown(const hash_t *history)
{
    return uuid_is_zero((const uuid16_t *)history->bytes);
}

/* This partition, as the other one knows it: by its history, or by one that it came from. */
static bool means_this(const partition_t *self, const hash_t *history)
{
    return hash_equal(history, &self->committed.history) ||
           adoptions_between(self->config.adoptions, self->config.number, &self->committed.history,
                             history) > 0;
}

/* The other one, as it is known here: now, or before its image was adopted. */
static bool comes_from(const partition_t *self, uint16_t other, const hash_t *fresh,
                       const hash_t *known)
{
    return hash_equal(fresh, known) ||
           adoptions_between(self->config.adoptions, other, fresh, known) > 0;
}

/* From this record on the sending partition is known by its new history: its ACKs say so. */
static void renew_sender(partition_t *self, const frame_t *frame)
{
    command_t command = {.kind = COMMAND_RENEW, .id = frame->src};

    buffer_reset(&self->blob);
    command_encode(&command, &self->blob);
    decision_begin(self, self->blob.bytes, self->blob.size, false);
    self->receiving[frame->src].decided.peer = frame->src_history;
    put_pair_in(self, frame->src);
    decision_end(self);
}

void partition_adopted(partition_t *self, uint16_t other)
{
    bool any = false;

    self->sending[other].halted = self->receiving[other].halted = false;
    self->sending[other].strange = self->receiving[other].strange = (strange_t){STRANGE_NONE, 0};
    for (uint32_t i = 0; i <= self->config.partitions; i++)
        any = any || self->sending[i].halted || self->receiving[i].halted;
    if (!any && self->state != PARTITION_HALTED)
        self->trouble[0] = '\0';
}

/* What is on its way from before: nobody of that history can send anything any more that counts. */
static bool is_of_the_past(const partition_t *self, const frame_t *frame)
{
    bool data = frame->kind == FRAME_DATA;

    return adoptions_replaced(self->config.adoptions, data ? frame->src : frame->dst,
                              data ? &frame->src_history : &frame->dst_history);
}

/* ---- frames ---- */

static void on_data(partition_t *self, const frame_t *frame)
{
    receiving_t *receiving = &self->receiving[frame->src];
    pair_in_t before = receiving->decided;
    err_t err = {0};

    if (receiving->halted)
        return;
    if (!MUTANT(NO_PAIR_HISTORY) && !unknown(&frame->dst_history) &&
        !means_this(self, &frame->dst_history)) {
        messages_halt(self, false, frame->src, frame->n,
                      "it knows this partition by another history");
        return;
    }
    if (!MUTANT(NO_PAIR_HISTORY) && before.seq > 0 &&
        !hash_equal(&before.peer, &frame->src_history)) {
        size_t between = adoptions_between(self->config.adoptions, frame->src, &frame->src_history,
                                           &before.peer);
        if (between == 0) {
            messages_halt(self, false, frame->src, frame->n, "it has another history than before");
            return;
        }
        /* The same numbers stand for other messages now: what was applied here must all be older than that. */
        if ((between == 1 ? frame->floor : frame->older) <= before.seq) {
            messages_halt(self, false, frame->src, frame->n,
                          "its history was adopted, and lacks messages that were applied here");
            return;
        }
        renew_sender(self, frame);
        before = receiving->decided;
    }
    receiving->ack_due = true;
    if (MUTANT(REPLY_COUNTED) && body_type(frame->body) == BODY_CREDIT_1 &&
        partition_room(self, frame->src, &err) != ERR_NONE)
        return;
    if (frame->n != before.seq + 1)
        return; /* seen already, or one before it is missing: the acknowledgement says where we stand */
    command_t command = {
        .kind = COMMAND_MESSAGE, .id = frame->src, .entry = frame->n, .message = frame->body};
    buffer_reset(&self->blob);
    command_encode(&command, &self->blob);
    decision_begin(self, self->blob.bytes, self->blob.size, false);
    receiving->decided.seq = frame->n;
    receiving->decided.peer = frame->src_history;
    put_pair_in(self, frame->src);
    buffer_reset(&self->text);
    if (decide_message(self, frame->src, frame->body, &err) != ERR_NONE) {
        decision_undo(self);
        receiving->decided = before;
        messages_halt(self, false, frame->src, frame->n, err.text);
        return;
    }
    decision_end(self);
    metric_add(METRIC_MESSAGES_APPLIED, 1);
}

static void on_ack(partition_t *self, const frame_t *frame)
{
    sending_t *sending = &self->sending[frame->dst];
    pair_out_t fresh = sending->decided;

    if (sending->halted)
        return;
    if (!MUTANT(NO_PAIR_HISTORY) && !hash_equal(&frame->src_history, &self->committed.history)) {
        /* Said of the messages of before the adoption, not of these: it learns of them with the next one. */
        if (!means_this(self, &frame->src_history))
            messages_halt(self, true, frame->dst, frame->n,
                          "it knows this partition by another history");
        return;
    }
    if (!MUTANT(NO_PAIR_HISTORY) && !unknown(&fresh.peer) &&
        !comes_from(self, frame->dst, &frame->dst_history, &fresh.peer)) {
        messages_halt(self, true, frame->dst, frame->n, "it has another history than before");
        return;
    }
    if (frame->n >= fresh.next) {
        messages_halt(self, true, frame->dst, frame->n,
                      "it acknowledges messages that were never sent");
        return;
    }
    if (frame->n < fresh.acked) {
        /* One process's acknowledgements never go back, so from the same or an older epoch it is only late. */
        if (frame->epoch > fresh.peer_epoch)
            messages_halt(self, true, frame->dst, frame->n,
                          "it has forgotten messages that it had acknowledged");
        return;
    }
    if (frame->n == fresh.acked && hash_equal(&fresh.peer, &frame->dst_history) &&
        fresh.floor == 0 && frame->epoch <= fresh.peer_epoch)
        return;
    command_t command = {.kind = COMMAND_ACK, .id = frame->dst, .entry = frame->n};
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->blob);
    command_encode(&command, &self->blob);
    decision_begin(self, self->blob.bytes, self->blob.size, false);
    for (uint64_t n = fresh.acked + 1; n <= frame->n; n++)
        partition_delete(self, FAMILY_OUTBOX, key,
                         key_outbox(key, self->config.number, frame->dst, n));
    self->unacked -= frame->n - fresh.acked;
    fresh.acked = frame->n;
    fresh.floor = fresh.older = 0; /* it speaks of this history */
    fresh.peer = frame->dst_history;
    fresh.peer_epoch = frame->epoch > fresh.peer_epoch ? frame->epoch : fresh.peer_epoch;
    if (fresh.acked + 1 == fresh.next)
        sending->bytes = 0;
    sending->decided = fresh;
    sending->backoff_us = MESSAGE_RESEND_MIN_US;
    buffer_reset(&self->value);
    self->now->pairs_changed = true;
    pair_out_encode(&fresh, &self->value);
    partition_put(self, FAMILY_STATE, key, key_pair_out(key, self->config.number, frame->dst),
                  &self->value);
    decision_end(self);
}

void partition_on_frame(partition_t *self, const void *bytes, size_t n, int64_t wall_us)
{
    frame_t frame;

    if (self->state != PARTITION_OWNER || partition_full(self))
        return; /* it comes again */
    self->has_mail = true;
    self->now_us = wall_us > self->decided.now_us ? wall_us : self->decided.now_us;
    if (frame_decode(&frame, bytes, n, NULL) != ERR_NONE || frame.src > self->config.partitions ||
        frame.dst > self->config.partitions ||
        self->config.number != (frame.kind == FRAME_DATA ? frame.dst : frame.src)) {
        metric_add(METRIC_FRAMES_DROPPED, 1);
        return;
    }
    if (is_of_the_past(self, &frame))
        return;
    if (frame.kind == FRAME_DATA)
        on_data(self, &frame);
    else
        on_ack(self, &frame);
}

/* The outbox holds a range of versions; the message carries their content. */
static errcode_t expand_content(partition_t *self, text_t stored, buffer_t *out, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint64_t from, to;

    errcode_t rc = content_range_decode(&from, &to, stored, err);
    if (rc != ERR_NONE)
        return rc;
    changes_encode_head((uint32_t)(to - from + 1), out);
    for (uint64_t version = from; version <= to; version++) {
        bool found = false;
        rc = store_get(self->config.store, NULL, FAMILY_META, key, key_content(key, version), out,
                       &found, err);
        if (rc != ERR_NONE)
            return rc;
        if (!found)
            return err_set(err, ERR_CORRUPT, "catalogue version %llu is missing",
                           (unsigned long long)version);
    }
    return ERR_NONE;
}

static bool send_one(partition_t *self, uint16_t dst, uint64_t n, size_t *bytes)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    err_t err = {0};

    buffer_reset(&self->row);
    errcode_t rc =
        store_get(self->config.store, NULL, FAMILY_OUTBOX, key,
                  key_outbox(key, self->config.number, dst, n), &self->row, &found, &err);
    text_t body = {(const char *)self->row.bytes, self->row.size};
    if (rc == ERR_NONE && found && body_type(body) == BODY_CONTENT_1) {
        buffer_reset(&self->entry_row);
        rc = expand_content(self, body, &self->entry_row, &err);
        body = (text_t){(const char *)self->entry_row.bytes, self->entry_row.size};
    }
    if (rc != ERR_NONE || !found) {
        partition_halt(self, "message %llu to partition %u is missing from the outbox",
                       (unsigned long long)n, dst);
        return false;
    }
    frame_t frame = {.kind = FRAME_DATA,
                     .src = self->config.number,
                     .dst = dst,
                     .src_history = self->committed.history,
                     .dst_history = self->sending[dst].committed.peer,
                     .epoch = self->committed.epoch,
                     .n = n,
                     .floor = self->sending[dst].committed.floor,
                     .older = self->sending[dst].committed.older,
                     .body = body};
    buffer_reset(&self->blob);
    frame_encode(&frame, &self->blob);
    self->config.send(self->config.state, dst, self->blob.bytes, self->blob.size);
    metric_add(METRIC_MESSAGES_SENT, 1);
    *bytes += self->blob.size;
    return true;
}

/* Sends committed messages that were not sent yet, within the window. */
void messages_pump(partition_t *self, uint16_t dst, int64_t wall_us)
{
    sending_t *sending = &self->sending[dst];
    size_t bytes = 0;

    if (sending->halted)
        return;
    /* What the receiver has acknowledged needs no other copy, and on a shared log its row may be gone already: the
     * effects of a round are stored before it lands. */
    if (sending->sent < sending->decided.acked)
        sending->sent = sending->decided.acked;
    while (sending->sent + 1 < sending->committed.next &&
           sending->sent < sending->decided.acked + MESSAGE_WINDOW &&
           bytes < MESSAGE_WINDOW_BYTES) {
        if (!send_one(self, dst, sending->sent + 1, &bytes))
            return;
        sending->sent++;
    }
    if (sending->committed.acked + 1 == sending->committed.next) {
        sending->resend_at_us = 0;
        sending->backoff_us = MESSAGE_RESEND_MIN_US;
    } else if (sending->resend_at_us == 0) {
        sending->backoff_us = MESSAGE_RESEND_MIN_US;
        sending->resend_at_us = wall_us + sending->backoff_us;
    }
}

void messages_ack(partition_t *self, uint16_t src)
{
    receiving_t *receiving = &self->receiving[src];
    frame_t frame = {.kind = FRAME_ACK,
                     .src = src,
                     .dst = self->config.number,
                     .src_history = receiving->committed.peer,
                     .dst_history = self->committed.history,
                     .epoch = self->committed.epoch,
                     .n = receiving->committed.seq};
    receiving->ack_due = false;
    if (receiving->committed.seq == 0)
        return; /* nothing applied yet: there is nothing to say, and no history to say it to */
    buffer_reset(&self->blob);
    frame_encode(&frame, &self->blob);
    self->config.send(self->config.state, src, self->blob.bytes, self->blob.size);
}

void messages_resend(partition_t *self, int64_t wall_us)
{
    for (uint16_t dst = 0; dst <= self->config.partitions; dst++) {
        sending_t *sending = &self->sending[dst];
        if (sending->committed.acked + 1 < sending->committed.next && sending->resend_at_us == 0)
            messages_pump(self, dst, wall_us); /* first thing after a start */
        if (sending->resend_at_us == 0 || wall_us < sending->resend_at_us)
            continue;
        sending->sent = sending->committed.acked;
        sending->backoff_us = sending->backoff_us * 2 > MESSAGE_RESEND_MAX_US
                                  ? MESSAGE_RESEND_MAX_US
                                  : sending->backoff_us * 2;
        sending->resend_at_us = wall_us + sending->backoff_us;
        messages_pump(self, dst, wall_us);
    }
}
