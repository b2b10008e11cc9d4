/* shared_history.c - every answer explained: by the entries in the books, and by an order of effects per account
 *
 * Each command writes its mark into the description of its entries, so the books tell how often it had its effect, also
 * of those whose client never learned it. Then all effects are known, with the balance behind each, and the only question
 * left is whether they, the reads and the refusals fit between calls and answers.
 */
#include "tests/sim/shared_judge.h"

#include "actors/section.h"
#include "protocol/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NO_EFFECT SIZE_MAX

/* An entry in the books. */
typedef struct {
    uint64_t id, account;
    size_t next;  /* of the same job */
    unsigned job; /* index */
    uint8_t type;
    bool reversed; /* a transfer_out that came back */
    bool old;      /* it was there before the log was cut */
    points_t posted, after;
} effect_t;

typedef struct {
    judge_t *judge;
    life_t *life;
    effect_t *effects; /* owned */
    size_t count, capacity;
    size_t *first; /* owned; by job: its first effect */
    store_t *kept; /* owned; what the cut log kept; NULL: nothing was cut */
} effects_t;

typedef struct {
    linear_op_t *ops; /* owned */
    size_t count, capacity;
} history_t;

/* ---- for people ---- */

static int by_call(const void *a, const void *b)
{
    uint64_t x = ((const linear_op_t *)a)->called, y = ((const linear_op_t *)b)->called;
    return x < y ? -1 : x > y;
}

static void print_history(const history_t *self, unsigned member, const char *why)
{
    static const char *const kinds[] = {"enrol",   "change", "status", "read",
                                        "nothing", "short",  "refused"};

    fprintf(stderr, "history of member %u: %s\n", member, why);
    qsort(self->ops, self->count, sizeof *self->ops, by_call);
    for (size_t i = 0; i < self->count; i++) {
        const linear_op_t *op = &self->ops[i];
        fprintf(stderr, "  %6" PRIu64 " %6" PRId64 " %-8s %+6" PRId64 " -> %s%" PRId64 " %s\n",
                op->called, op->answered == LINEAR_NEVER ? -1 : (int64_t)op->answered,
                kinds[op->kind], op->delta, op->after_known ? "" : "? ", op->after,
                op->name != NULL ? op->name : "");
    }
}

/* Every entry of a partition's log, what became of it, and the commands in it. */
void judge_print_log(life_t *life, uint16_t partition)
{
    log_shared_t *log = shared_log(life->world);
    position_t position = {.epoch = 0};

    for (size_t i = 0; i < log_shared_count(log, partition); i++) {
        const log_entry_t *entry = log_shared_entry(log, partition, i);
        record_header_t header = {.kind = 0};
        record_reason_t reason = REASON_NONE;
        const uint8_t *body = NULL;
        size_t at = 0;
        bool corrupt = false;
        section_t section;
        command_t command;
        verdict_t verdict = record_decode(entry->bytes, entry->n, &header, &body, &reason);
        if (verdict == VERDICT_ACCEPT)
            verdict = record_judge(&position, &header, entry->bytes, entry->n, entry->log_time_us,
                                   &reason);
        fprintf(stderr,
                "%5" PRIu64 " %.6f kind %u epoch %" PRIu64 " seq %" PRIu64 " by %02x%02x %s%s:",
                entry->offset, (double)(entry->landed_us - SHARED_START_US) / 1e6, header.kind,
                header.epoch, header.seq, header.incarnation.bytes[0], header.incarnation.bytes[1],
                record_reason_name(reason), entry->delivered ? "" : ", not confirmed");
        while (body != NULL && section_next(body, header.body_bytes, &at, &section, &corrupt)) {
            if (section.command_bytes == 0 ||
                command_decode(&command, section.command, section.command_bytes, NULL) != ERR_NONE)
                continue;
            if (command.kind >= COMMAND_MESSAGE)
                fprintf(stderr, " %s %" PRIu64 " %s %u",
                        command.kind == COMMAND_ACK ? "ack" : "message", command.entry,
                        command.kind == COMMAND_ACK ? "of" : "from", command.id);
            else
                fprintf(stderr, " %u %.*s", command.kind, (int)command.key.n, command.key.bytes);
        }
        fprintf(stderr, "\n");
    }
}

/* ---- effects ---- */

static void add_effect(effects_t *self, unsigned job, const entry_t *entry)
{
    uint16_t partition = partition_of_slot(id_slot(entry->id), self->life->partitions);

    if (self->count == self->capacity) {
        self->capacity = self->capacity > 0 ? self->capacity * 2 : 256;
        self->effects = memory_realloc(self->effects, self->capacity * sizeof *self->effects);
    }
    effect_t *effect = &self->effects[self->count];
    *effect = (effect_t){.id = entry->id,
                         .account = entry->account,
                         .next = self->first[job],
                         .job = job,
                         .type = entry->type,
                         .posted = entry->posted,
                         .after = entry->balance_after};
    self->first[job] = self->count++;
    if (self->kept != NULL && partition == self->life->cut.partition) {
        entry_t before;
        buffer_t scratch;
        buffer_init(&scratch, BATCH_VALUE_BYTES_MAX);
        bool found = false;
        errcode_t rc =
            rows_entry(self->kept, NULL, partition, entry->id, &before, &scratch, &found, NULL);
        INVARIANT(rc == ERR_NONE);
        effect->old = found && before.recorded_us == entry->recorded_us &&
                      before.posted == entry->posted && before.account == entry->account;
        buffer_free(&scratch);
    }
}

/* Of the job whose mark it carries. */
static void take_entry(effects_t *self, const entry_t *entry)
{
    char mark[24] = "";

    if (entry->type == ENTRY_REVERSAL) {
        for (size_t i = 0; i < self->count; i++)
            if (self->effects[i].id == entry->related) {
                self->effects[i].reversed = true;
                add_effect(self, self->effects[i].job, entry);
                return;
            }
        life_fail(self->life, "an entry reverses nothing");
        return;
    }
    if (entry->description.n < 4 || entry->description.n >= sizeof mark ||
        memcmp(entry->description.bytes, "job-", 4) != 0)
        return; /* points that an account was opened with */
    memcpy(mark, entry->description.bytes, entry->description.n);
    unsigned long number = strtoul(mark + 4, NULL, 10);
    if (number == 0 || number > self->life->job_count)
        life_fail(self->life, "an entry is of nobody: %s", mark);
    else
        add_effect(self, (unsigned)number - 1, entry);
}

/* Reversals stand behind what they reverse: ids ascend within a partition, and so do keys. */
static void collect_effects(effects_t *self)
{
    store_cursor_t *cursor =
        store_cursor_new(self->judge->books, NULL, FAMILY_ENTRY, NULL, 0, NULL, 0);

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t n;
        entry_t entry;
        const uint8_t *value = store_cursor_value(cursor, &n);
        errcode_t rc = entry_decode(&entry, value, n, NULL);
        INVARIANT(rc == ERR_NONE);
        take_entry(self, &entry);
    }
    store_cursor_destroy(&cursor);
}

/* Called before the log was cut: what it was told then may be lost. */
static bool before_cut(const life_t *life, const job_t *job)
{
    return life->cut.cut && job->partition == life->cut.partition && job->called < life->cut.tick;
}

/* One effect per key, and none of what was refused or not applied. */
static void check_effects(effects_t *self, unsigned number)
{
    life_t *life = self->life;
    const job_t *job = &life->jobs[number];
    unsigned out = 0, back = 0, others = 0;
    bool success = job->answer.size > 0 && job->http < 300;

    if (before_cut(life, job) || job_is_hopeless(life, job))
        return;
    for (size_t i = self->first[number]; i != NO_EFFECT; i = self->effects[i].next) {
        const effect_t *effect = &self->effects[i];
        out += effect->type == ENTRY_TRANSFER_OUT;
        back += effect->type == ENTRY_REVERSAL;
        others += effect->type != ENTRY_TRANSFER_OUT && effect->type != ENTRY_REVERSAL;
    }
    unsigned times = others > out - back ? others : out - back;
    if (job->command.kind == COMMAND_TRANSFER && others != out - back)
        life_fail(life, "%s: points left %u times, came back %u times and arrived %u times",
                  job->mark, out, back, others);
    else if (times > 1)
        life_fail(life, "%s had its effect %u times", job->mark, times);
    else if (times == 1 && !success && !job->unknown)
        life_fail(life, "%s was answered with %u%s and had its effect all the same", job->mark,
                  job->http, job->nothing ? ", not applied," : "");
    else if (times == 0 && success && job->command.description.n > 0)
        life_fail(life, "%s was acknowledged and had no effect", job->mark);
    if (life->failed && log_enabled(LOG_DEBUG))
        judge_print_log(life, job->partition);
}

/* ---- histories ---- */

static void add_op(history_t *self, linear_op_t op)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity > 0 ? self->capacity * 2 : 64;
        self->ops = memory_realloc(self->ops, self->capacity * sizeof *self->ops);
    }
    self->ops[self->count++] = op;
}

static bool code_is(const result_t *result, errcode_t code)
{
    const char *name = err_info(code)->name;
    return result->code.n == strlen(name) && memcmp(result->code.bytes, name, result->code.n) == 0;
}

static void add_refusal(history_t *self, const job_t *job, const result_t *result)
{
    linear_op_t op = {.called = job->effective, .answered = job->answered, .name = job->mark};

    if (code_is(result, ERR_NO_POINTS)) {
        op.kind = LINEAR_SHORT;
        op.after = result->available;
        op.after_known = true;
        op.least = result->required;
    } else if (code_is(result, ERR_ACCOUNT_STATUS) && job->command.kind != COMMAND_TRANSFER) {
        op.kind = LINEAR_REFUSED;
    } else {
        return; /* says nothing about this account */
    }
    add_op(self, op);
}

/* What a job's answer says about the account of its member, beyond its entries. */
static void add_answer(history_t *self, const life_t *life, const job_t *job, uint64_t present)
{
    linear_op_t op = {.called = job->effective, .answered = job->answered, .name = job->mark};
    result_t result;
    account_t account;

    if (job->command.kind == COMMAND_SET_STATUS && job->unknown) {
        op = (linear_op_t){.kind = LINEAR_STATUS, .called = job->called, .answered = LINEAR_NEVER};
        op.status = job->command.status;
        add_op(self, op);
        return;
    }
    if (!job->final || job->nothing || job->unknown || job->command.kind == COMMAND_DEFINE)
        return;
    if (before_cut(life, job) && job->command.kind != COMMAND_ENROL &&
        job->command.kind != COMMAND_SET_STATUS)
        return;
    if (job->answer.size == 0) { /* 404 */
        op.kind = LINEAR_NOTHING;
        /* A customer whose enrolment was lost has another account now: the old number names nothing. */
        if (job->command.kind != COMMAND_TRANSFER &&
            (job->command.account == 0 || job->command.account == present))
            add_op(self, op);
        return;
    }
    errcode_t rc = result_decode(&result, job->answer.bytes, job->answer.size, NULL);
    INVARIANT(rc == ERR_NONE);
    if (result.status >= 300) {
        if (!before_cut(life, job))
            add_refusal(self, job, &result);
        return;
    }
    if (job->command.kind == COMMAND_ENROL) {
        rc = account_decode(&account, result.row.bytes, result.row.n, NULL);
        INVARIANT(rc == ERR_NONE);
        op.kind = LINEAR_ENROL;
        op.delta = account.available;
        add_op(self, op);
    } else if (job->command.kind == COMMAND_SET_STATUS) {
        op.kind = LINEAR_STATUS;
        op.status = job->command.status;
        add_op(self, op);
    }
}

/* An entry on this account: when it can have come about. */
static void add_entry(history_t *self, const life_t *life, const effect_t *effect)
{
    const job_t *job = &life->jobs[effect->job];
    bool success = job->answer.size > 0 && job->http < 300;
    linear_op_t op = {.kind = LINEAR_CHANGE,
                      .called = job->called,
                      .answered = life->tick + 1,
                      .delta = effect->posted,
                      .after = effect->after,
                      .after_known = true,
                      .order = id_sequence(effect->id),
                      .name = job->mark};

    if (before_cut(life, job) || job->unknown || !job->final) {
        /* at any time */
    } else if (success && !effect->reversed && effect->type != ENTRY_REVERSAL) {
        op.called = job->effective;
        op.answered = job->answered;
    } else if (job->http != 404 && !success) {
        op.answered = job->answered; /* kept under its key: it went and came back once */
    }
    add_op(self, op);
}

/* The log has lost what it had confirmed: what is answered from then on must fit what it kept. */
static void begin_at_cut(const effects_t *self, const member_t *member, history_t *history)
{
    uint64_t tick = self->life->cut.tick;
    account_t account;
    bool found = judge_account(self->judge, self->kept, member, &account);
    size_t kept = 0;

    for (size_t i = 0; i < history->count; i++) {
        linear_op_t op = history->ops[i];
        bool early = op.called < tick;
        if (early && (op.kind >= LINEAR_READ || (op.kind == LINEAR_ENROL && found)))
            continue;
        if (early && op.kind != LINEAR_CHANGE)
            op.answered = LINEAR_NEVER;
        history->ops[kept++] = op;
    }
    history->count = kept;
    if (!found)
        return;
    add_op(history, (linear_op_t){.kind = LINEAR_ENROL,
                                  .called = 0,
                                  .answered = 1,
                                  .delta = account.available,
                                  .name = "the state at the cut"});
    add_op(history, (linear_op_t){.kind = LINEAR_STATUS,
                                  .called = 2,
                                  .answered = 3,
                                  .status = account.status,
                                  .name = "the status at the cut"});
}

/* ---- all of it ---- */

static void check_member(const effects_t *self, unsigned number)
{
    life_t *life = self->life;
    const member_t *member = &life->members[number];
    history_t history = {.ops = NULL};
    account_t account;
    char why[160] = "";

    if (life->broken[member->partition])
        return;
    bool exists = judge_account(self->judge, self->judge->books, member, &account);
    for (unsigned i = 0; i < life->job_count; i++)
        if (life->jobs[i].member == number)
            add_answer(&history, life, &life->jobs[i], exists ? account.id : 0);
    for (size_t i = 0; i < self->count && exists; i++)
        if (self->effects[i].account == account.id && !self->effects[i].old)
            add_entry(&history, life, &self->effects[i]);
    for (size_t i = 0; i < life->question_count; i++) {
        const question_t *question = &life->questions[i];
        if (question->member == number && question->answered != 0)
            add_op(&history, (linear_op_t){.kind = question->exists ? LINEAR_READ : LINEAR_NOTHING,
                                           .called = question->called,
                                           .answered = question->answered,
                                           .after = question->balance,
                                           .after_known = question->exists,
                                           .name = "a question"});
    }
    if (life->cut.cut && member->partition == life->cut.partition)
        begin_at_cut(self, member, &history);
    linear_verdict_t verdict = linear_check(history.ops, history.count, why, sizeof why);
    if (verdict == LINEAR_FAILS)
        life_fail(life, "member %u: %s", number, why);
    life->report->undecided += verdict == LINEAR_UNDECIDED;
    if (verdict != LINEAR_HOLDS && log_enabled(LOG_DEBUG)) {
        print_history(&history, number, why);
        judge_print_log(life, member->partition);
    }
    free(history.ops);
}

void judge_histories(judge_t *judge)
{
    life_t *life = judge->life;
    effects_t self = {.judge = judge, .life = life};
    told_t told;

    self.first = memory_alloc((life->job_count + 1) * sizeof *self.first);
    for (unsigned i = 0; i <= life->job_count; i++)
        self.first[i] = NO_EFFECT;
    if (life->cut.cut) {
        self.kept = store_memory_new();
        judge_replay(judge, self.kept, life->cut.partition, life->cut.kept, &told);
    }
    collect_effects(&self);
    for (unsigned i = 0; i < life->job_count && !life->failed; i++)
        check_effects(&self, i);
    for (unsigned i = 0; i < life->member_count && !life->failed; i++)
        check_member(&self, i);
    store_destroy(&self.kept);
    free(self.effects);
    free(self.first);
}
