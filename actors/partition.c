/* partition.c - one partition: its life, the commands it takes, the answers it owes */
#include "actors/partition_parts.h"
#include "protocol/log.h"
#include "protocol/metrics.h"
#include "protocol/mutant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES_FULL (2u * 1024 * 1024)
#define WAITING_MAX     65536
#define REPLIES_MAX     65536
#define PATIENCE_US     (2 * INT64_C(1000000)) /* with nodes that are out of reach */
#define ANSWER_US       100000 /* before the deadline, so that the answer arrives in time */
#define NAMED_MAX       8      /* partitions in a sentence */

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
    self->trouble[0] = '\0';
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
    self->now->replies[self->now->reply_count].begun_before = false;
    return &self->now->replies[self->now->reply_count++];
}

/* The last record that was begun: what is decided rests on it and those before. */
static uint32_t rests_on(const partition_t *self)
{
    return self->now->record_count > 0 ? self->now->record_count - 1 : 0;
}

static void reply_result(partition_t *self, request_t *request, const void *result, size_t n)
{
    reply_t *reply = reply_slot(self);
    reply->request = request;
    reply->result_at = self->now->results.size;
    reply->result_bytes = n;
    reply->record = rests_on(self);
    reply->err.code = ERR_NONE;
    buffer_append(&self->now->results, result, n);
    INVARIANT(!self->now->results.failed);
}

static void reply_error(partition_t *self, request_t *request, const err_t *err)
{
    reply_t *reply = reply_slot(self);
    reply->request = request;
    reply->result_bytes = 0;
    reply->record = rests_on(self);
    reply->err = *err;
}

static waiting_t *wait_for(partition_t *self, request_t *request, uint64_t transfer,
                           uint64_t message, int64_t until_us, const void *result, size_t n)
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
    return waiting;
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
    self->now->replies[self->now->reply_count - 1].begun_before = true;
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

/* ---- commands ---- */

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

/* ---- definitions that wait for every partition ---- */

/* The sentence for a definition that is written, while some partitions have not acknowledged `message` yet. */
static void name_missing(const partition_t *self, uint64_t message, uint64_t version, err_t *err)
{
    char names[NAMED_MAX * 8 + 32] = "";
    size_t n = 0;
    unsigned missing = 0;

    for (uint16_t dst = 0; dst < self->config.partitions; dst++) {
        if (self->sending[dst].committed.acked >= message || missing++ >= NAMED_MAX)
            continue;
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%u", missing > 1 ? ", " : "", dst);
    }
    if (missing > NAMED_MAX)
        (void)snprintf(names + n, sizeof names - n, " and %u more", missing - NAMED_MAX);
    err_set(err, ERR_UNKNOWN_OUTCOME,
            "The definition is written with version %llu, GET shows it; it is still on its way to "
            "partition%s %s.",
            (unsigned long long)version, missing == 1 ? "" : "s", names);
}

static bool everywhere(const partition_t *self, uint64_t message)
{
    for (uint16_t dst = 0; dst < self->config.partitions; dst++)
        if (self->sending[dst].committed.acked < message)
            return false;
    return true;
}

/* `?wait=all`; the encoded result stands in self->blob. false: there is nothing to wait for. An answer that is repeated
 * waits for the newest message, which is never older than its own. */
static bool wait_everywhere(partition_t *self, request_t *request, const result_t *result)
{
    uint64_t message = self->definition_message != 0 ? self->definition_message
                                                     : self->sending[0].decided.next - 1;
    err_t err;

    if (result->status >= 300 || everywhere(self, message))
        return false;
    if (self->waiting_count >= WAITING_MAX) {
        name_missing(self, message, result->version, &err);
        reply_error(self, request, &err);
        return true;
    }
    wait_for(self, request, 0, message,
             request->deadline_us != 0 ? request->deadline_us - ANSWER_US : 0, self->blob.bytes,
             self->blob.size)
        ->everywhere = true;
    return true;
}

static void answer_missing(partition_t *self, waiting_t **link)
{
    result_t result = {0};
    err_t err;

    INVARIANT(result_decode(&result, (*link)->result, (*link)->result_bytes, NULL) == ERR_NONE);
    name_missing(self, (*link)->message, result.version, &err);
    answer_waiting(self, link, NULL, 0, &err);
}

/* Counts the command, unless enough of its account wait already. */
static bool is_crowded(partition_t *self, const command_t *command, err_t *err)
{
    uint64_t key = crowd_key(command);

    if (key == 0)
        return false;
    if (crowd_count(&self->now->crowd, key) +
            (self->flying != NULL ? crowd_count(&self->flying->crowd, key) : 0) >=
        self->config.account_max) {
        metric_add(METRIC_OVERLOADED, 1);
        err_set(err, ERR_OVERLOADED,
                "%u requests of this account wait already; nothing was written, ask again",
                self->config.account_max);
        return true;
    }
    crowd_add(&self->now->crowd, key);
    return false;
}

void partition_on_command(partition_t *self, request_t *request, int64_t wall_us)
{
    command_t command;
    result_t result = {0};
    err_t err = {0};

    request_retain(request);
    self->has_mail = true;
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
    if (command.kind == COMMAND_BARRIER) {
        reply_result(self, request, NULL, 0);
        return;
    }
    if (self->config.account_max > 0 && is_crowded(self, &command, &err)) {
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
        (void)wait_for(self, request, result.transfer, 0, request->deadline_us, NULL, 0);
        return;
    }
    buffer_reset(&self->blob);
    result_encode(&result, &self->blob);
    INVARIANT(!self->blob.failed);
    if ((command.set & SET_WAIT_ALL) != 0 && self->config.number == self->config.partitions &&
        wait_everywhere(self, request, &result))
        return;
    if (self->definition_message != 0 && self->waiting_count < WAITING_MAX) {
        /* A moment of patience lets the next request, at any node, already find the definition. */
        (void)wait_for(self, request, 0, self->definition_message, wall_us + PATIENCE_US,
                       self->blob.bytes, self->blob.size);
        return;
    }
    reply_result(self, request, self->blob.bytes, self->blob.size);
}

/* What must never happen: only the other side's refusal reverses a transfer. */
static void reverse_late(partition_t *self, uint64_t transfer)
{
    const credit_reply_t reply = {.transfer = transfer,
                                  .status = 504,
                                  .code = text_of("timeout"),
                                  .error = text_of("It took too long.")};
    err_t err;

    buffer_reset(&self->row);
    credit_reply_encode(&reply, &self->row);
    decision_begin(self, NULL, 0, false);
    if (decide_credit_reply(self, (text_t){(const char *)self->row.bytes, self->row.size}, &err) ==
        ERR_NONE)
        decision_end(self);
    else
        decision_undo(self);
}

void partition_on_tick(partition_t *self, int64_t wall_us)
{
    err_t err;

    if (self->state != PARTITION_OWNER)
        return;
    messages_resend(self, wall_us);
    sessions_sweep(self, wall_us);
    err_set(&err, ERR_UNKNOWN_OUTCOME,
            "the transfer has not ended yet; ask for it with the idempotency key");
    for (waiting_t **link = &self->waiting; *link != NULL;) {
        waiting_t *waiting = *link;
        if (waiting->until_us == 0 || wall_us < waiting->until_us) {
            link = &waiting->next;
            continue;
        }
        if (MUTANT(REVERSE_ON_TIMEOUT) && waiting->transfer != 0) {
            reverse_late(self, waiting->transfer);
            return;
        }
        if (waiting->transfer != 0)
            answer_waiting(self, link, NULL, 0, &err);
        else if (waiting->everywhere)
            answer_missing(self, link);
        else /* some partition is out of reach: the definition stands all the same */
            answer_waiting(self, link, waiting->result, waiting->result_bytes, NULL);
    }
    if (self->counters_changed && self->now->body.size == 0)
        self->checkpoint_due = true; /* a quiet moment */
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
