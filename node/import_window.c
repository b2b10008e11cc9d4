/* import_window.c - posts commands and reads their answers in order */
#include "node/import_window.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_WAIT_US INT64_C(120000000)

static errcode_t take_oldest(import_window_t *self, int64_t timeout_us, bool *taken, err_t *err);
static errcode_t count_answer(import_window_t *self, const import_slot_t *slot, err_t *err);

void import_window_init(import_window_t *self, shards_t *shards)
{
    memset(self, 0, sizeof *self);
    self->shards = shards;
    self->slots = memory_zalloc(IMPORT_WINDOW * sizeof *self->slots);
    buffer_init(&self->bytes, RECORD_BYTES_MAX);
}

void import_window_free(import_window_t *self)
{
    while (self->head < self->tail) {
        import_slot_t *slot = &self->slots[self->head++ % IMPORT_WINDOW];

        waiter_abandon(&slot->waiter, slot->request);
        request_release(slot->request);
    }
    free(self->slots);
    buffer_free(&self->bytes);
}

errcode_t import_post(import_window_t *self, const command_t *command, uint16_t partition,
                      const import_slot_t *what, err_t *err)
{
    bool taken = true;
    import_slot_t *slot;
    errcode_t rc = ERR_NONE;

    if (self->tail - self->head == IMPORT_WINDOW) {
        rc = take_oldest(self, ANSWER_WAIT_US, &taken, err);
        /* One round answers thousands: take all of them before the next wait. */
        while (rc == ERR_NONE && taken && self->head < self->tail)
            rc = take_oldest(self, 0, &taken, err);
        if (rc != ERR_NONE)
            return rc;
    }
    slot = &self->slots[self->tail % IMPORT_WINDOW];
    *slot = *what;
    buffer_reset(&self->bytes);
    command_encode(command, &self->bytes);
    if (self->bytes.failed) {
        import_refuse(self, what->line, "the line is too large",
                      sizeof "the line is too large" - 1);
        return ERR_NONE;
    }
    slot->request = request_new(partition, self->bytes.bytes, self->bytes.size, 0);
    waiter_init(&slot->waiter);
    waiter_watch(&slot->waiter, slot->request);
    for (;;) {
        rc = shards_post(self->shards, slot->request, &self->fatal);
        if (rc != ERR_OVERLOADED || self->head == self->tail)
            break;
        rc = take_oldest(self, ANSWER_WAIT_US, &taken, &self->fatal);
        if (rc != ERR_NONE)
            break;
    }
    if (rc == ERR_NONE) {
        self->tail++;
        return ERR_NONE;
    }
    request_release(slot->request);
    if (rc == ERR_UNREACHABLE) {
        /* Another node keeps this customer; its node imports the same file. */
        import_refuse(self, what->line, self->fatal.text, strlen(self->fatal.text));
        self->fatal = (err_t){0};
        return ERR_NONE;
    }
    return err_set(err, rc, "line %llu: %.180s", (unsigned long long)what->line, self->fatal.text);
}

errcode_t import_drain(import_window_t *self, err_t *err)
{
    errcode_t rc = ERR_NONE;
    bool taken = true;

    while (rc == ERR_NONE && self->head < self->tail)
        rc = take_oldest(self, ANSWER_WAIT_US, &taken, err);
    return rc;
}

/* Kept by line: a line that the reader refuses is met long before the answers to those in front of it. */
void import_refuse(import_window_t *self, uint64_t line, const char *why, size_t n)
{
    uint64_t kept =
        self->counts.refused < IMPORT_REFUSALS_SHOWN ? self->counts.refused : IMPORT_REFUSALS_SHOWN;
    uint64_t at = kept;

    self->counts.refused++;
    while (at > 0 && self->refusals[at - 1].line > line)
        at--;
    if (at == IMPORT_REFUSALS_SHOWN)
        return;
    if (kept == IMPORT_REFUSALS_SHOWN)
        kept--;
    memmove(&self->refusals[at + 1], &self->refusals[at], (kept - at) * sizeof self->refusals[0]);
    self->refusals[at].line = line;
    (void)snprintf(self->refusals[at].why, sizeof self->refusals[at].why, "%.*s",
                   (int)(n < 190 ? n : 190), why);
}

static errcode_t take_oldest(import_window_t *self, int64_t timeout_us, bool *taken, err_t *err)
{
    import_slot_t *slot = &self->slots[self->head % IMPORT_WINDOW];
    errcode_t rc;

    *taken = waiter_wait(&slot->waiter, 1, timeout_us);
    if (!*taken && timeout_us == 0)
        return ERR_NONE;
    if (!*taken) {
        rc = err_set(&self->fatal, ERR_UNKNOWN_OUTCOME, "line %llu: no answer within %d s",
                     (unsigned long long)slot->line, (int)(ANSWER_WAIT_US / 1000000));
        if (err != NULL)
            *err = self->fatal;
        return rc;
    }
    rc = count_answer(self, slot, err);
    if (rc == ERR_NONE && !slot->quiet) { /* a quiet one is followed by its line's own command */
        self->done_offset = slot->offset_after;
        self->done_line = slot->line;
    }
    request_release(slot->request);
    self->head++;
    return rc;
}

/* What a line did wrong is the line's affair; what the node cannot do ends the import. */
static bool stops_import(errcode_t code)
{
    return code == ERR_IO || code == ERR_CORRUPT || code == ERR_HALTED || code == ERR_INTERNAL ||
           code == ERR_UNKNOWN_OUTCOME || code == ERR_UNREACHABLE || code == ERR_OVERLOADED;
}

static void count_success(import_window_t *self, const import_slot_t *slot, const result_t *result)
{
    import_counts_t *counts = &self->counts;
    points_t points = slot->kind == IMPORT_ACCOUNT ? slot->points : result->points;

    counts->created[slot->kind]++;
    if (slot->kind == IMPORT_BURN)
        counts->points_out += points;
    else if (points >= 0)
        counts->points_in += points;
    else
        counts->points_out -= points;
}

static errcode_t count_answer(import_window_t *self, const import_slot_t *slot, err_t *err)
{
    const err_t *failure = &slot->request->err;
    result_t result;
    errcode_t rc;

    if (failure->code != ERR_NONE) {
        /* The account is there: by an earlier run without this key, or by the API. */
        if (slot->kind == IMPORT_ACCOUNT && failure->code == ERR_INVALID &&
            strcmp(failure->field, "non_field_errors") == 0) {
            self->counts.replayed += slot->quiet ? 0 : 1;
            return ERR_NONE;
        }
        if (stops_import(failure->code)) {
            self->fatal = *failure;
            return err_set(err, failure->code, "line %llu: %s", (unsigned long long)slot->line,
                           failure->text);
        }
        char sentence[sizeof failure->field + sizeof failure->text + 2];
        int n = snprintf(sentence, sizeof sentence, "%s%s%s", failure->field,
                         failure->field[0] != '\0' ? ": " : "", failure->text);

        import_refuse(self, slot->line, sentence, (size_t)n);
        return ERR_NONE;
    }
    rc = result_decode(&result, slot->request->result.bytes, slot->request->result.size, err);
    if (rc != ERR_NONE)
        return rc;
    if (result.status >= 300) {
        if (result.code.n == 4 && memcmp(result.code.bytes, "zero", 4) == 0)
            self->counts.nothing++;
        else
            import_refuse(self, slot->line, result.error.bytes, result.error.n);
    } else if (result.replayed) {
        self->counts.replayed += slot->quiet ? 0 : 1;
    } else {
        count_success(self, slot, &result);
    }
    return ERR_NONE;
}
