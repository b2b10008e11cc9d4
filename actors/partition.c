/* partition.c - a round of one partition: take commands and frames, seal records, apply what the log accepted
 *
 * The order matters and is the protocol's: nothing leaves (no reply, no message, no acknowledgement) before the record
 * that it rests on was accepted by record_judge() and committed by the journal.
 */
#include "actors/partition_state.h"
#include "actors/section.h"
#include "protocol/log.h"
#include "protocol/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES_MAX    (64u * 1024 * 1024) /* of a round; partition_full() stops far below */
#define BODY_BYTES_FULL   (2u * 1024 * 1024)
#define RECORD_BODY_BYTES (128u * 1024) /* a record is closed once it holds this much */
/* A decision that may be large (a definition, a transfer of thousands of lots) finds a record with no more in it than
 * this, so that both fit into RECORD_BYTES_MAX. */
#define RECORD_BODY_BEFORE_LARGE (16u * 1024)
#define LARGE_COMMAND_BYTES      (8u * 1024)
#define CHECKPOINT_RECORDS       64
#define WAITING_MAX              65536
#define REPLIES_MAX              65536

partition_t *partition_new(const partition_config_t *config)
{
    partition_t *self = memory_zalloc(sizeof *self);
    size_t pairs = (size_t)config->partitions + 1;

    self->config = *config;
    self->state = PARTITION_STANDBY;
    self->counting = memory_zalloc(COUNTING_PLACES * sizeof *self->counting);
    self->sending = memory_zalloc(pairs * sizeof *self->sending);
    self->receiving = memory_zalloc(pairs * sizeof *self->receiving);
    self->allocations = memory_zalloc(ENTRY_ALLOCATIONS_MAX * sizeof *self->allocations);
    for (size_t i = 0; i < COUNT_OF(self->rounds); i++) {
        round_t *round = &self->rounds[i];
        buffer_init(&round->body, BODY_BYTES_MAX);
        buffer_init(&round->results, BODY_BYTES_MAX);
        buffer_init(&round->session_changes, BODY_BYTES_MAX);
        round->overlay = overlay_new(&round->body);
        round->out = memory_zalloc(pairs * sizeof *round->out);
        round->in = memory_zalloc(pairs * sizeof *round->in);
    }
    self->now = &self->rounds[0];
    buffer_init(&self->changes, BODY_BYTES_MAX);
    buffer_init(&self->row, BATCH_VALUE_BYTES_MAX);
    buffer_init(&self->value, BATCH_VALUE_BYTES_MAX);
    buffer_init(&self->text, BATCH_VALUE_BYTES_MAX);
    buffer_init(&self->keys_row, BATCH_VALUE_BYTES_MAX);
    buffer_init(&self->entry_row, BATCH_VALUE_BYTES_MAX);
    buffer_init(&self->blob, BATCH_VALUE_BYTES_MAX);
    arena_init(&self->arena, 16 * 1024 * 1024);
    return self;
}

void partition_destroy(partition_t **self_p)
{
    partition_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    partition_stop(self);
    for (size_t i = 0; i < COUNT_OF(self->rounds); i++) {
        round_t *round = &self->rounds[i];
        overlay_destroy(&round->overlay);
        buffer_free(&round->body);
        buffer_free(&round->results);
        buffer_free(&round->session_changes);
        free(round->replies);
        free(round->out);
        free(round->in);
    }
    arena_free(&self->arena);
    buffer_t *buffers[] = {&self->changes,  &self->row,       &self->value, &self->text,
                           &self->keys_row, &self->entry_row, &self->blob};
    for (size_t i = 0; i < COUNT_OF(buffers); i++)
        buffer_free(buffers[i]);
    free(self->counting);
    free(self->sending);
    free(self->receiving);
    free(self->allocations);
    free(self);
}

partition_state_t partition_state(const partition_t *self)
{
    return self->state;
}
const position_t *partition_position(const partition_t *self)
{
    return &self->committed;
}
const char *partition_trouble(const partition_t *self)
{
    return self->trouble[0] ? self->trouble : NULL;
}
bool partition_idle(const partition_t *self)
{
    return self->unacked == 0 && self->waiting_count == 0;
}
bool partition_full(const partition_t *self)
{
    return self->now->body.size >= BODY_BYTES_FULL || self->now->reply_count >= REPLIES_MAX / 2;
}

void partition_halt(partition_t *self, const char *format, ...)
{
    va_list arguments;
    char why[200];

    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    self->state = PARTITION_HALTED;
    snprintf(self->trouble, sizeof self->trouble, "partition %u is halted: %s", self->config.number,
             why);
    log_error("%s; it answers 503 until the cause is gone and the node is started again",
              self->trouble);
}

static void halt_pair(partition_t *self, bool sending, uint16_t other, const char *why)
{
    bool *halted = sending ? &self->sending[other].halted : &self->receiving[other].halted;
    if (*halted)
        return;
    *halted = true;
    snprintf(self->trouble, sizeof self->trouble,
             "messages of partition %u %s partition %u are halted: %s", self->config.number,
             sending ? "to" : "from", other, why);
    log_error("%s; one of the two was restored from an older copy: restore both from one backup",
              self->trouble);
}

/* ---- rows of the present decision ---- */

static bool is_account_key(family_t family, const uint8_t *key, size_t key_bytes)
{
    return family == FAMILY_STATE && key_bytes > 2 && key[2] == 'A';
}

void partition_put(partition_t *self, family_t family, const void *key, size_t key_bytes,
                   const buffer_t *value)
{
    size_t at = self->now->body.size;

    INVARIANT(!value->failed);
    batch_put(&self->now->body, family, key, key_bytes, value->bytes, value->size);
    INVARIANT(!self->now->body.failed);
    overlay_note(self->now->overlay, at);
    if (is_account_key(family, key, key_bytes))
        row_cache_put(self->config.cache, key, key_bytes, value->bytes, value->size);
}

void partition_delete(partition_t *self, family_t family, const void *key, size_t key_bytes)
{
    size_t at = self->now->body.size;
    batch_delete(&self->now->body, family, key, key_bytes);
    INVARIANT(!self->now->body.failed);
    overlay_note(self->now->overlay, at);
    if (is_account_key(family, key, key_bytes))
        row_cache_remove(self->config.cache, key, key_bytes);
}

errcode_t partition_get(partition_t *self, family_t family, const void *key, size_t key_bytes,
                        buffer_t *value, bool *found, err_t *err)
{
    row_write_t write;
    if (partition_decided(self, family, key, key_bytes, &write)) {
        *found = !write.is_delete;
        buffer_append(value, write.value, write.value_bytes);
        return ERR_NONE;
    }
    return store_get(self->config.store, NULL, family, key, key_bytes, value, found, err);
}

bool partition_decided(const partition_t *self, family_t family, const void *key, size_t key_bytes,
                       row_write_t *out)
{
    return overlay_find(self->now->overlay, family, key, key_bytes, out) ||
           (self->flying != NULL &&
            overlay_find(self->flying->overlay, family, key, key_bytes, out));
}

/* Shows the flying round's rows that the present one has not written again. */
typedef struct {
    const overlay_t *newer;
    void (*visit)(void *state, const row_write_t *write);
    void *state;
} older_t;

static void visit_older(void *state, const row_write_t *write)
{
    const older_t *older = state;
    row_write_t newer;
    if (!overlay_find(older->newer, write->family, write->key, write->key_bytes, &newer))
        older->visit(older->state, write);
}

void partition_decided_each(const partition_t *self, family_t family, const void *prefix,
                            size_t prefix_bytes,
                            void (*visit)(void *state, const row_write_t *write), void *state)
{
    older_t older = {.newer = self->now->overlay, .visit = visit, .state = state};
    if (self->flying != NULL)
        overlay_each(self->flying->overlay, family, prefix, prefix_bytes, visit_older, &older);
    overlay_each(self->now->overlay, family, prefix, prefix_bytes, visit, state);
}

uint64_t partition_new_id(partition_t *self, uint16_t slot)
{
    return id_make(slot, self->next_sequence++);
}

/* ---- load and claim ---- */

static errcode_t load_pair(partition_t *self, char tag, const uint8_t *key, size_t key_bytes,
                           const uint8_t *value, size_t n, err_t *err)
{
    if (key_bytes != 5 || be16_get(key + 3) > self->config.partitions)
        return err_set(err, ERR_CORRUPT, "partition %u: a pair names no partition",
                       self->config.number);
    uint16_t other = be16_get(key + 3);
    if (tag == 'N') {
        receiving_t *receiving = &self->receiving[other];
        errcode_t rc = pair_in_decode(&receiving->decided, value, n, err);
        receiving->committed = receiving->decided;
        return rc;
    }
    sending_t *sending = &self->sending[other];
    errcode_t rc = pair_out_decode(&sending->decided, value, n, err);
    sending->committed = sending->decided;
    sending->sent = sending->decided.acked;
    self->unacked += sending->decided.next - 1 - sending->decided.acked;
    return rc;
}

static errcode_t load_pairs(partition_t *self, char tag, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_tag(prefix, self->config.number, tag);
    size_t upper_bytes = key_after_prefix(upper, prefix, prefix_bytes);
    errcode_t rc = ERR_NONE;

    store_cursor_t *cursor = store_cursor_new(self->config.store, NULL, FAMILY_STATE, prefix,
                                              prefix_bytes, upper, upper_bytes);
    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        rc = load_pair(self, tag, key, key_bytes, value, n, err);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}

errcode_t partition_load(partition_t *self, const position_t *position, bool found, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool in_force_found = false;

    self->committed = found ? *position : (position_t){0};
    self->decided = self->committed;
    self->unacked = 0;
    for (size_t i = 0; i <= self->config.partitions; i++) {
        self->sending[i] = (sending_t){.decided = {.next = 1}, .committed = {.next = 1}};
        self->receiving[i] = (receiving_t){.ack_due = false};
    }
    errcode_t rc = load_pairs(self, 'N', err);
    if (rc == ERR_NONE)
        rc = load_pairs(self, 'O', err);
    if (rc == ERR_NONE)
        rc = ledger_load(self, err);
    if (rc != ERR_NONE)
        return rc;
    buffer_reset(&self->value);
    rc = store_get(self->config.store, NULL, FAMILY_STATE, key,
                   key_in_force(key, self->config.number), &self->value, &in_force_found, err);
    if (rc != ERR_NONE)
        return rc;
    unpack_t in = unpack_from(self->value.bytes, self->value.size);
    self->in_force = in_force_found ? unpack_u64(&in) : 0;
    if (in.failed || self->in_force > catalogue_version(self->config.catalogue))
        return err_set(
            err, ERR_CORRUPT,
            "partition %u decides under catalogue version %llu, whose content is not in this store",
            self->config.number, (unsigned long long)self->in_force);
    self->state = PARTITION_STANDBY;
    return ERR_NONE;
}

void partition_claim(partition_t *self, const hash_t *fresh_history)
{
    INVARIANT(self->state == PARTITION_STANDBY);
    self->state = PARTITION_CLAIMING;
    self->claim_due = true;
    self->fresh_history = *fresh_history;
}

/* ---- replies ---- */

static reply_t *reply_slot(partition_t *self)
{
    if (self->now->reply_count == self->now->reply_capacity) {
        self->now->reply_capacity = self->now->reply_capacity ? self->now->reply_capacity * 2 : 64;
        self->now->replies = memory_realloc(self->now->replies,
                                            self->now->reply_capacity * sizeof *self->now->replies);
    }
    return &self->now->replies[self->now->reply_count++];
}

static void reply_result(partition_t *self, request_t *request, const void *result, size_t n)
{
    reply_t *reply = reply_slot(self);
    reply->request = request;
    reply->result_at = self->now->results.size;
    reply->result_bytes = n;
    reply->err.code = ERR_NONE;
    buffer_append(&self->now->results, result, n);
    INVARIANT(!self->now->results.failed);
}

static void reply_error(partition_t *self, request_t *request, const err_t *err)
{
    reply_t *reply = reply_slot(self);
    reply->request = request;
    reply->result_bytes = 0;
    reply->err = *err;
}

static void wait_for(partition_t *self, request_t *request, uint64_t transfer, uint64_t message,
                     int64_t until_us, const void *result, size_t n)
{
    waiting_t *waiting = memory_zalloc(sizeof *waiting);
    waiting->request = request;
    waiting->transfer = transfer;
    waiting->message = message;
    waiting->until_us = until_us;
    if (n > 0) {
        waiting->result = memory_alloc(n);
        waiting->result_bytes = n;
        memcpy(waiting->result, result, n);
    }
    waiting->next = self->waiting;
    self->waiting = waiting;
    self->waiting_count++;
}

/* Unlinks *link and hands its request to the replies of this round. */
static void answer_waiting(partition_t *self, waiting_t **link, const void *result, size_t n,
                           const err_t *err)
{
    waiting_t *waiting = *link;
    *link = waiting->next;
    self->waiting_count--;
    if (err != NULL)
        reply_error(self, waiting->request, err);
    else
        reply_result(self, waiting->request, result, n);
    free(waiting->result);
    free(waiting);
}

void partition_answer_transfer(partition_t *self, uint64_t transfer, const void *result, size_t n)
{
    for (waiting_t **link = &self->waiting; *link != NULL;)
        if ((*link)->transfer == transfer)
            answer_waiting(self, link, result, n, NULL);
        else
            link = &(*link)->next;
}

void partition_stop(partition_t *self)
{
    err_t err;
    err_set(&err, ERR_UNKNOWN_OUTCOME,
            "the node is stopping; ask for the outcome with the idempotency key");
    partition_drop(self, &err);
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

/* ---- decisions ---- */

/* Where record i ends in body. */
static size_t record_end(const partition_t *self, uint32_t i)
{
    return i + 1 < self->now->record_count ? self->now->record_at[i + 1] : self->now->body.size;
}

static void record_begin(partition_t *self)
{
    static const uint8_t room[RECORD_HEADER_BYTES];
    INVARIANT(self->now->record_count < ROUND_RECORDS_MAX);
    self->now->record_at[self->now->record_count++] = self->now->body.size;
    buffer_append(&self->now->body, room, sizeof room);
}

static void decision_begin(partition_t *self, const void *command, size_t n, bool may_be_large)
{
    size_t full =
        may_be_large || n >= LARGE_COMMAND_BYTES ? RECORD_BODY_BEFORE_LARGE : RECORD_BODY_BYTES;
    if (self->now->record_count == self->now->sealed ||
        self->now->body.size - self->now->record_at[self->now->record_count - 1] >= full)
        record_begin(self);
    self->decision_at = section_begin(&self->now->body, SECTION_DECISION, command, n);
    self->definition_message = 0;
}

static bool decision_wrote(const partition_t *self)
{
    return self->now->body.size > section_writes_at(&self->now->body, self->decision_at);
}

/* Keeps the section when it has effects; a decision without any is not logged. */
static void decision_end(partition_t *self)
{
    if (decision_wrote(self))
        section_end(&self->now->body, self->decision_at);
    else
        self->now->body.size = self->decision_at;
}

static void note_record(partition_t *self, size_t from, size_t until)
{
    const uint8_t *body = self->now->body.bytes + from;
    size_t at = 0;
    bool corrupt = false;
    section_t section;

    while (section_next(body, until - from, &at, &section, &corrupt)) {
        size_t writes_at = (size_t)(section.writes - self->now->body.bytes), inner = 0;
        row_write_t write;
        for (size_t start = 0;
             batch_next(section.writes, section.writes_bytes, &inner, &write, &corrupt);
             start = inner)
            overlay_note(self->now->overlay, writes_at + start);
    }
    INVARIANT(!corrupt);
}

/* Takes back the row writes of a decision that failed half way. Rare, so the overlay is simply built again. */
static void decision_undo(partition_t *self)
{
    bool wrote = decision_wrote(self);
    self->now->body.size = self->decision_at;
    if (!wrote)
        return;
    overlay_clear(self->now->overlay);
    row_cache_clear(self->config.cache);
    for (uint32_t i = 0; i < self->now->record_count; i++)
        note_record(self, self->now->record_at[i] + RECORD_HEADER_BYTES, record_end(self, i));
}

static errcode_t decide(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    switch (command->kind) {
    case COMMAND_ENROL:
    case COMMAND_EARN:
    case COMMAND_BURN:
    case COMMAND_ADJUST:
    case COMMAND_TRANSFER:
    case COMMAND_POST_ENTRY:
    case COMMAND_EDIT_ENTRY:
    case COMMAND_DELETE_ENTRY:
    case COMMAND_EDIT_ACCOUNT:
    case COMMAND_DELETE_ACCOUNT:
    case COMMAND_SET_STATUS:
    case COMMAND_REPAIR:
        if (self->config.number == self->config.partitions)
            return err_set(err, ERR_INTERNAL, "an account's command came to the catalogue");
        return decide_account_command(self, command, result, err);
    case COMMAND_DEFINE:
    case COMMAND_UNDEFINE:
        if (self->config.number != self->config.partitions)
            return err_set(err, ERR_INTERNAL, "a definition came to a customers' partition");
        return decide_definition(self, command, result, err);
    case COMMAND_SESSION_PUT:
    case COMMAND_SESSION_END: return decide_session(self, command, result, err);
    default: /* messages and acknowledgements come as frames, never as requests */
        return err_set(err, ERR_INVALID, "command kind %u is not known", command->kind);
    }
}

void partition_on_command(partition_t *self, request_t *request, int64_t wall_us)
{
    command_t command;
    result_t result = {0};
    err_t err = {0};

    request_retain(request);
    self->now_us = wall_us > self->decided.now_us ? wall_us : self->decided.now_us;
    if (self->state != PARTITION_OWNER) {
        err_set(&err, self->state == PARTITION_HALTED ? ERR_HALTED : ERR_UNREACHABLE, "%s",
                self->trouble[0] ? self->trouble : "this partition is starting");
        reply_error(self, request, &err);
        return;
    }
    if (request->deadline_us != 0 && wall_us > request->deadline_us) {
        err_set(&err, ERR_OVERLOADED, "the request waited past its deadline and was not run");
        reply_error(self, request, &err);
        return;
    }
    if (command_decode(&command, request->command, request->command_bytes, &err) != ERR_NONE) {
        reply_error(self, request, &err);
        return;
    }
    metric_add(METRIC_COMMANDS, 1);
    buffer_reset(&self->text);
    decision_begin(self, request->command, request->command_bytes,
                   command.kind == COMMAND_TRANSFER || command.kind == COMMAND_DEFINE ||
                       command.kind == COMMAND_UNDEFINE);
    errcode_t rc = decide(self, &command, &result, &err);
    if (rc != ERR_NONE) {
        decision_undo(self);
        if (rc == ERR_CORRUPT || rc == ERR_IO)
            log_error("partition %u: %s", self->config.number, err.text);
        reply_error(self, request, &err);
        return;
    }
    decision_end(self);
    if (result.status == 0) { /* a transfer on its way */
        if (self->waiting_count >= WAITING_MAX) {
            err_set(&err, ERR_UNKNOWN_OUTCOME,
                    "too many transfers wait; ask for the outcome with the idempotency key");
            reply_error(self, request, &err);
            return;
        }
        wait_for(self, request, result.transfer, 0, request->deadline_us, NULL, 0);
        return;
    }
    buffer_reset(&self->blob);
    result_encode(&result, &self->blob);
    INVARIANT(!self->blob.failed);
    if (self->definition_message != 0 && self->waiting_count < WAITING_MAX) {
        /* A moment of patience lets the next request, at any node, already find the definition. */
        wait_for(self, request, 0, self->definition_message, wall_us + 2 * INT64_C(1000000),
                 self->blob.bytes, self->blob.size);
        return;
    }
    reply_result(self, request, self->blob.bytes, self->blob.size);
}

/* ---- messages ---- */

errcode_t partition_room(const partition_t *self, uint16_t dst, err_t *err)
{
    const sending_t *sending = &self->sending[dst];
    uint64_t waiting = sending->decided.next - 1 - sending->decided.acked;

    if (waiting < MESSAGE_PAIR_MAX && sending->bytes < MESSAGE_PAIR_BYTES_MAX)
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

static void on_data(partition_t *self, const frame_t *frame)
{
    receiving_t *receiving = &self->receiving[frame->src];
    pair_in_t before = receiving->decided;
    err_t err = {0};

    if (receiving->halted)
        return;
    if (!uuid_is_zero((const uuid16_t *)frame->dst_history.bytes) &&
        !hash_equal(&frame->dst_history, &self->committed.history)) {
        halt_pair(self, false, frame->src, "it knows this partition by another history");
        return;
    }
    if (before.seq > 0 && !hash_equal(&before.peer, &frame->src_history)) {
        halt_pair(self, false, frame->src, "it has another history than before");
        return;
    }
    receiving->ack_due = true;
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
        halt_pair(self, false, frame->src, err.text);
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
    if (!hash_equal(&frame->src_history, &self->committed.history)) {
        halt_pair(self, true, frame->dst, "it knows this partition by another history");
        return;
    }
    if (!uuid_is_zero((const uuid16_t *)fresh.peer.bytes) &&
        !hash_equal(&fresh.peer, &frame->dst_history)) {
        halt_pair(self, true, frame->dst, "it has another history than before");
        return;
    }
    if (frame->n >= fresh.next) {
        halt_pair(self, true, frame->dst, "it acknowledges messages that were never sent");
        return;
    }
    if (frame->n < fresh.acked) {
        /* One process's acknowledgements never go back, so from the same or an older epoch it is only late. */
        if (frame->epoch > fresh.peer_epoch)
            halt_pair(self, true, frame->dst, "it has forgotten messages that it had acknowledged");
        return;
    }
    if (frame->n == fresh.acked && !uuid_is_zero((const uuid16_t *)fresh.peer.bytes) &&
        frame->epoch <= fresh.peer_epoch)
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
    self->now_us = wall_us > self->decided.now_us ? wall_us : self->decided.now_us;
    if (frame_decode(&frame, bytes, n, NULL) != ERR_NONE || frame.src > self->config.partitions ||
        frame.dst > self->config.partitions ||
        self->config.number != (frame.kind == FRAME_DATA ? frame.dst : frame.src)) {
        metric_add(METRIC_FRAMES_DROPPED, 1);
        return;
    }
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
                     .body = body};
    buffer_reset(&self->blob);
    frame_encode(&frame, &self->blob);
    self->config.send(self->config.state, dst, self->blob.bytes, self->blob.size);
    metric_add(METRIC_MESSAGES_SENT, 1);
    *bytes += self->blob.size;
    return true;
}

/* Sends committed messages that were not sent yet, within the window. */
static void pump(partition_t *self, uint16_t dst, int64_t wall_us)
{
    sending_t *sending = &self->sending[dst];
    size_t bytes = 0;

    if (sending->halted)
        return;
    if (sending->sent < sending->committed.acked)
        sending->sent = sending->committed.acked;
    while (sending->sent + 1 < sending->committed.next &&
           sending->sent < sending->committed.acked + MESSAGE_WINDOW &&
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

static void send_ack(partition_t *self, uint16_t src)
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

void partition_on_tick(partition_t *self, int64_t wall_us)
{
    err_t err;

    if (self->state != PARTITION_OWNER)
        return;
    for (uint16_t dst = 0; dst <= self->config.partitions; dst++) {
        sending_t *sending = &self->sending[dst];
        if (sending->committed.acked + 1 < sending->committed.next && sending->resend_at_us == 0)
            pump(self, dst, wall_us); /* first thing after a start */
        if (sending->resend_at_us == 0 || wall_us < sending->resend_at_us)
            continue;
        sending->sent = sending->committed.acked;
        sending->backoff_us = sending->backoff_us * 2 > MESSAGE_RESEND_MAX_US
                                  ? MESSAGE_RESEND_MAX_US
                                  : sending->backoff_us * 2;
        sending->resend_at_us = wall_us + sending->backoff_us;
        pump(self, dst, wall_us);
    }
    err_set(&err, ERR_UNKNOWN_OUTCOME,
            "the transfer has not ended yet; ask for it with the idempotency key");
    for (waiting_t **link = &self->waiting; *link != NULL;) {
        waiting_t *waiting = *link;
        if (waiting->until_us == 0 || wall_us < waiting->until_us)
            link = &waiting->next;
        else if (waiting->transfer != 0)
            answer_waiting(self, link, NULL, 0, &err);
        else /* some partition is out of reach: the definition stands all the same */
            answer_waiting(self, link, waiting->result, waiting->result_bytes, NULL);
    }
    if (self->counters_changed && self->now->body.size == 0)
        self->checkpoint_due = true; /* a quiet moment */
}

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
        record_begin(self);
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
        if (self->now->sealed == self->now->record_count ||
            record_end(self, self->now->sealed) ==
                self->now->record_at[self->now->sealed] + RECORD_HEADER_BYTES)
            return false; /* only the last one can be empty: its decision was taken back */
        self->records_since_checkpoint++;
    }
    uint8_t *start = self->now->body.bytes + self->now->record_at[self->now->sealed];
    *record = start;
    *n = record_end(self, self->now->sealed) - self->now->record_at[self->now->sealed];
    self->now->sealed++;
    header.body_bytes = (uint32_t)(*n - RECORD_HEADER_BYTES);
    record_encode_header(&header, start + RECORD_HEADER_BYTES, start);
    /* What the log will say of it, so that the next record of this round can follow. */
    verdict_t verdict = record_judge(&self->decided, &header, start, *n, header.at_us, &reason);
    INVARIANT(verdict == VERDICT_ACCEPT);
    return true;
}

verdict_t partition_on_record(partition_t *self, const journal_record_t *record, buffer_t *effects)
{
    record_header_t header;
    record_reason_t reason = REASON_NONE;
    const uint8_t *body = NULL;

    verdict_t verdict = record_decode(record->bytes, record->n, &header, &body, &reason);
    if (verdict == VERDICT_ACCEPT)
        verdict = record_judge(&self->committed, &header, record->bytes, record->n,
                               record->log_time_us, &reason);
    if (verdict == VERDICT_HALT)
        partition_halt(self, "%s", record_reason_name(reason));
    if (verdict == VERDICT_IGNORE)
        metric_add(METRIC_RECORDS_IGNORED, 1);
    if (verdict != VERDICT_ACCEPT)
        return verdict;
    self->committed.offset = record->offset;
    if (header.kind == RECORD_CLAIM) {
        bool own = hash_equal(&header.incarnation, &self->config.incarnation);
        self->state = own ? PARTITION_OWNER : PARTITION_STANDBY;
        return verdict;
    }
    if (header.kind != RECORD_DECISIONS)
        return verdict;
    size_t at = 0;
    bool corrupt = false;
    section_t section;
    while (section_next(body, header.body_bytes, &at, &section, &corrupt))
        buffer_append(effects, section.writes, section.writes_bytes);
    if (corrupt) {
        partition_halt(self, "a record holds a section that this version does not know");
        return VERDICT_HALT;
    }
    metric_add(METRIC_RECORDS, 1);
    return verdict;
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

static void round_clear(round_t *round)
{
    overlay_clear(round->overlay);
    buffer_reset(&round->body);
    buffer_reset(&round->results);
    buffer_reset(&round->session_changes);
    round->record_count = 0;
    round->sealed = 0;
    round->reply_count = 0;
    round->answered = false;
    round->pairs_changed = false;
    round->halted = false;
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
    if (round->pairs_changed)
        for (uint16_t i = 0; i <= self->config.partitions; i++) {
            round->out[i] = self->sending[i].decided;
            round->in[i] = self->receiving[i].decided;
        }
    self->flying = round;
    self->now = round == &self->rounds[0] ? &self->rounds[1] : &self->rounds[0];
}

static void answer_round(round_t *round, const err_t *why)
{
    for (size_t i = 0; i < round->reply_count; i++) {
        reply_t *reply = &round->replies[i];
        if (why != NULL || reply->err.code != ERR_NONE)
            request_complete(reply->request, NULL, 0, why != NULL ? why : &reply->err);
        else
            request_complete(reply->request, round->results.bytes + reply->result_at,
                             reply->result_bytes, NULL);
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
        answer_round(round, &err);
        return;
    }
    publish_sessions(self, round);
    answer_round(round, NULL);
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
    }
    round_clear(round);
    self->flying = NULL;
    if (self->state != PARTITION_OWNER)
        return;
    for (uint16_t i = 0; i <= self->config.partitions; i++) {
        if (self->receiving[i].ack_due) {
            send_ack(self, i);
            /* What the round being decided applies is acknowledged after its own commit. */
            self->receiving[i].ack_due =
                self->receiving[i].committed.seq != self->receiving[i].decided.seq;
        }
        if (wrote && self->sending[i].committed.acked + 1 <= self->sending[i].committed.next)
            pump(self, i, wall_us);
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
        answer_round(&self->rounds[i], why);
        round_clear(&self->rounds[i]);
    }
    self->flying = NULL;
    buffer_reset(&self->changes);
    row_cache_clear(self->config.cache);
}

void partition_metrics(const partition_t *self, buffer_t *out)
{
    buffer_printf(out,
                  "fealty_partition_available_points{partition=\"%u\"} %lld\n"
                  "fealty_partition_accounts{partition=\"%u\"} %llu\n"
                  "fealty_partition_log_seq{partition=\"%u\"} %llu\n"
                  "fealty_partition_unacknowledged_messages{partition=\"%u\"} %zu\n"
                  "fealty_partition_catalogue_version{partition=\"%u\"} %llu\n",
                  self->config.number, (long long)self->available, self->config.number,
                  (unsigned long long)self->accounts, self->config.number,
                  (unsigned long long)self->committed.seq, self->config.number, self->unacked,
                  self->config.number, (unsigned long long)self->in_force);
}
