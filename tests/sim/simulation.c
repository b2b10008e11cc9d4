/* simulation.c - a random workload with deaths and its oracles
 *
 * A job is one command of a client. Its client asks until it gets an answer that is final; what it asks again is the same
 * command under the same key. Edits and deletes of entries carry no key: they say what shall be, so asking again is safe,
 * and an entry has one of them at a time.
 */
#include "tests/sim/simulation.h"

#include "tests/sim/ask.h"
#include "tests/sim/blame.h"
#include "tests/sim/proof.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMBERS_MAX     24
#define JOBS_MAX        700
#define ROUNDS          260
#define PATIENCE_ROUNDS 400
#define REST_STEPS      400000
#define PROOF_EVERY     40
#define RESTART_ODDS    12 /* of a dead node, per round */

typedef struct {
    uint64_t account; /* 0: the enrolment has not been answered yet */
    uuid16_t customer;
    points_t balance; /* by the answers */
} member_t;

typedef struct {
    command_t command;
    char key[24];
    char json[64];
    unsigned member, other; /* whose; the receiver of a transfer */
    size_t ticket;          /* 0: nobody waits for an answer */
    bool final;
    bool changed; /* an entry: by a later job */
    unsigned http;
    buffer_t answer; /* owned; the first final one, without its mark of replay */
    size_t target;   /* job whose entry is edited or deleted, plus 1 */
} job_t;

typedef struct {
    world_t *world;
    uint32_t program, tier;
    member_t members[MEMBERS_MAX];
    unsigned member_count;
    job_t jobs[JOBS_MAX];
    unsigned job_count;
    simulation_report_t *report;
    err_t *err;
    bool failed;
} life_t;

static void fail(life_t *self, const char *format, ...) PRINTF_LIKE(2, 3);

static void fail(life_t *self, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    blame(self->err, &self->failed, format, arguments);
    va_end(arguments);
}

static uint64_t dice(life_t *self, uint64_t sides)
{
    return world_random(self->world) % sides;
}

/* ---- jobs ---- */

static job_t *new_job(life_t *self, command_t command, unsigned member)
{
    job_t *job = &self->jobs[self->job_count++];

    *job = (job_t){.command = command, .member = member};
    buffer_init(&job->answer, 64 * 1024);
    if (command.operation != OPERATION_NONE) {
        snprintf(job->key, sizeof job->key, "job-%u", self->job_count);
        with_key(&job->command, job->key);
    }
    self->report->commands++;
    return job;
}

static void send_job(life_t *self, job_t *job)
{
    job->ticket = ask_later(self->world, job->command);
}

static void enrol(life_t *self)
{
    if (self->member_count == MEMBERS_MAX)
        return;
    unsigned member = self->member_count++;
    member_t *fresh = &self->members[member];
    *fresh = (member_t){.customer = world_customer(self->world, world_random(self->world))};
    command_t command = ask_enrol(&fresh->customer, self->program);
    command.points = dice(self, 2) == 0 ? 0 : (points_t)dice(self, 300);
    send_job(self, new_job(self, command, member));
}

/* A posted entry that nobody changes at the moment; 0: none was found. */
static size_t pick_entry(life_t *self)
{
    for (int attempt = 0; attempt < 10 && self->job_count > 0; attempt++) {
        size_t at = (size_t)dice(self, self->job_count);
        const job_t *job = &self->jobs[at];
        bool posts = job->command.kind == COMMAND_EARN || job->command.kind == COMMAND_BURN ||
                     job->command.kind == COMMAND_ADJUST || job->command.kind == COMMAND_POST_ENTRY;
        if (posts && job->final && !job->changed && job->http < 300)
            return at + 1;
    }
    return 0;
}

static uint64_t entry_of(const job_t *job)
{
    result_t result;
    errcode_t rc = result_decode(&result, job->answer.bytes, job->answer.size, NULL);
    INVARIANT(rc == ERR_NONE);
    return result.entry;
}

static void change_entry(life_t *self, bool deletes)
{
    size_t at = pick_entry(self);
    if (at == 0 || self->job_count == JOBS_MAX)
        return;
    job_t *target = &self->jobs[at - 1];
    uint64_t entry = entry_of(target);
    uint8_t type = (uint8_t)(ENTRY_EARN + dice(self, 3));
    command_t command =
        deletes ? ask_delete(entry) : ask_edit(entry, type, (points_t)dice(self, 150) + 1);
    target->changed = true; /* once */
    job_t *job = new_job(self, command, target->member);
    job->target = at;
    send_job(self, job);
}

static void define(life_t *self)
{
    job_t *job = new_job(self, ask_define(RESOURCE_TIER, self->tier, "{}"), 0);
    snprintf(job->json, sizeof job->json, "{\"points_multiplier\":\"%u.%u00\"}",
             (unsigned)dice(self, 3) + 1, (unsigned)dice(self, 10));
    job->command.body = text_of(job->json);
    send_job(self, job);
}

static void post_something(life_t *self)
{
    unsigned i = (unsigned)dice(self, self->member_count),
             j = (unsigned)dice(self, self->member_count);
    points_t n = (points_t)dice(self, 120) + 1;
    uint64_t account = self->members[i].account, other = self->members[j].account;
    char amount[24];
    command_t command;

    if (self->job_count == JOBS_MAX)
        return;
    uint64_t what = dice(self, 100);
    if (what < 3) {
        enrol(self);
        return;
    }
    if (what < 6) {
        define(self);
        return;
    }
    if (what < 16) {
        change_entry(self, what < 9);
        return;
    }
    if (account == 0 || other == 0)
        return;
    if (what < 40) {
        snprintf(amount, sizeof amount, "%lld.%02u", (long long)n, (unsigned)dice(self, 100));
        command = ask_earn(account, amount);
    } else if (what < 52) {
        command = ask_burn(account, n);
    } else if (what < 58) {
        command = ask_adjust(account, what % 2 == 0 ? n : -n);
    } else if (what < 62) {
        command = ask_post(account, ENTRY_EARN, n);
    } else if (what < 66) {
        command = ask_status(account, dice(self, 3) == 0 ? STATUS_SUSPENDED : STATUS_ACTIVE);
    } else {
        command = ask_transfer(account, dice(self, 12) == 0 ? other + 100000 : other, n);
        if (dice(self, 3) == 0 && command.to_account == other) {
            command.to_account = 0;
            command.to_customer = self->members[j].customer;
        }
    }
    job_t *job = new_job(self, command, i);
    job->other = j;
    send_job(self, job);
    if (dice(self, 8) == 0)
        (void)ask_later(self->world, job->command); /* an impatient client sends it twice */
}

/* ---- answers ---- */

/* The points that this answer moved, by what it says. */
static void book(life_t *self, job_t *job, const result_t *result)
{
    member_t *member = &self->members[job->member];
    entry_t row;
    account_t account;

    switch (job->command.kind) {
    case COMMAND_ENROL:
        if (account_decode(&account, result->row.bytes, result->row.n, NULL) != ERR_NONE)
            fail(self, "the row of an enrolment cannot be read");
        member->account = result->account;
        member->balance += account.available;
        break;
    case COMMAND_EARN:
    case COMMAND_ADJUST: member->balance += result->points; break;
    case COMMAND_BURN: member->balance -= result->points; break;
    case COMMAND_TRANSFER:
        member->balance -= result->points;
        self->members[job->other].balance += result->points;
        break;
    case COMMAND_POST_ENTRY:
        if (entry_decode(&row, result->row.bytes, result->row.n, NULL) != ERR_NONE)
            fail(self, "the row of an entry cannot be read");
        member->balance += row.delta;
        break;
    default: break;
    }
}

/* What an entry did to the balance by the answer to the job that posted it. */
static points_t posted_by(const job_t *job)
{
    result_t result;
    entry_t row;

    errcode_t rc = result_decode(&result, job->answer.bytes, job->answer.size, NULL);
    INVARIANT(rc == ERR_NONE);
    if (job->command.kind != COMMAND_POST_ENTRY)
        return job->command.kind == COMMAND_BURN ? -result.points : result.points;
    rc = entry_decode(&row, result.row.bytes, result.row.n, NULL);
    INVARIANT(rc == ERR_NONE);
    return row.delta;
}

static void book_change(life_t *self, job_t *job)
{
    const job_t *target = &self->jobs[job->target - 1];
    points_t after = 0;

    /* A delete that is asked again after it was done finds nothing. */
    if (job->http >= 300 && !(job->http == 404 && job->command.kind == COMMAND_DELETE_ENTRY))
        return;
    if (job->command.kind == COMMAND_EDIT_ENTRY)
        after =
            job->command.entry_type == ENTRY_REDEEM ? -job->command.points : job->command.points;
    self->members[job->member].balance += after - posted_by(target);
}

/* Keeps the first answer; a later one must be its replay. */
static void take_answer(life_t *self, job_t *job, buffer_t *bytes)
{
    result_t result;

    if (result_decode(&result, bytes->bytes, bytes->size, NULL) != ERR_NONE) {
        fail(self, "an answer cannot be read");
        return;
    }
    bool replayed = result.replayed != 0;
    if (replayed) {
        result.replayed = 0;
        self->report->replays++;
    }
    if (!job->final) {
        result_encode(&result, &job->answer);
        job->final = true;
        job->http = result.status;
        if (job->target != 0)
            book_change(self, job);
        else if (job->http < 300)
            book(self, job, &result);
        return;
    }
    if (job->http == 404 && result.status == 404)
        return; /* not kept: it ran again and found nothing again */
    buffer_reset(bytes);
    result_encode(&result, bytes);
    if (bytes->size != job->answer.size ||
        memcmp(bytes->bytes, job->answer.bytes, bytes->size) != 0)
        fail(self, "%s was answered with %u, later otherwise with %u", job->key, job->http,
             result.status);
    if (!replayed)
        fail(self, "%s ran twice", job->key);
}

/* Is this error what the command came to, or does nobody know yet? */
static bool is_final_error(errcode_t code)
{
    return code != ERR_UNKNOWN_OUTCOME && code != ERR_UNREACHABLE && code != ERR_OVERLOADED &&
           code != ERR_HALTED;
}

/* true when the job has no ticket any more. */
static bool collect(life_t *self, job_t *job)
{
    buffer_t bytes;
    err_t err = {0};

    if (job->ticket == 0)
        return true;
    buffer_init(&bytes, 256 * 1024);
    bool answered = world_answer(self->world, job->ticket, &err, &bytes);
    if (answered) {
        job->ticket = 0;
        if (err.code == ERR_NONE) {
            take_answer(self, job, &bytes);
        } else if (!is_final_error(err.code)) {
            self->report->answers_lost++;
        } else if (!job->final) {
            job->final = true;
            job->http = (unsigned)err_info(err.code)->http;
            if (job->target != 0)
                book_change(self, job);
            else if (err.code == ERR_CORRUPT || err.code == ERR_IO || err.code == ERR_INTERNAL)
                fail(self, "%s: %s", job->key, err.text);
        }
    }
    buffer_free(&bytes);
    return answered;
}

/* Asks again what is not known, and now and then what is: the answer must still be there. */
static void ask_again(life_t *self)
{
    for (unsigned i = 0; i < self->job_count; i++) {
        job_t *job = &self->jobs[i];
        if (!collect(self, job))
            continue;
        if (!job->final && dice(self, 6) == 0)
            send_job(self, job);
    }
    if (self->job_count == 0)
        return;
    job_t *job = &self->jobs[dice(self, self->job_count)];
    if (job->final && job->http != 404 && job->ticket == 0 && job->answer.size > 0 &&
        job->key[0] != '\0')
        send_job(self, job);
}

/* ---- the life ---- */

static bool prove(life_t *self, bool (*proof)(world_t *, err_t *))
{
    if (!self->failed && !proof(self->world, self->err))
        self->failed = true;
    return !self->failed;
}

static void live(life_t *self)
{
    static const world_crash_t deaths[] = {CRASH_BEFORE_COMMIT, CRASH_AFTER_COMMIT,
                                           CRASH_AFTER_REPLIES};

    for (int round = 0; round < ROUNDS && !self->failed; round++) {
        for (uint64_t i = dice(self, 4); i > 0; i--)
            post_something(self);
        world_step(self->world);
        ask_again(self);
        for (uint16_t node = 0; node < world_nodes(self->world); node++) {
            bool up = world_is_up(self->world, node);
            if (up && dice(self, 40) == 0) {
                world_crash_next(self->world, node, deaths[dice(self, COUNT_OF(deaths))]);
                self->report->deaths++;
            } else if (up && dice(self, 200) == 0) {
                world_kill(self->world, node);
                self->report->deaths++;
            } else if (!up && dice(self, RESTART_ODDS) == 0 &&
                       world_start(self->world, node, self->err) != ERR_NONE) {
                self->failed = true;
            }
        }
        if (round % PROOF_EVERY == 0) {
            prove(self, proof_pairs);
            prove(self, proof_points);
        }
    }
}

static void start_all(life_t *self)
{
    for (uint16_t node = 0; node < world_nodes(self->world); node++)
        if (!world_is_up(self->world, node) &&
            world_start(self->world, node, self->err) != ERR_NONE)
            self->failed = true;
}

/* Nobody dies any more but who was told to before; clients ask until all is known. */
static void come_to_rest(life_t *self)
{
    bool known = false;

    for (int round = 0; round < PATIENCE_ROUNDS && !known && !self->failed; round++) {
        start_all(self);
        for (int i = 0; i < 50; i++)
            world_step(self->world);
        known = true;
        for (unsigned i = 0; i < self->job_count; i++) {
            job_t *job = &self->jobs[i];
            if (collect(self, job) && !job->final)
                send_job(self, job);
            known = known && job->final && job->ticket == 0;
        }
    }
    if (!known)
        fail(self, "some commands never came to an answer");
    start_all(self);
    if (!self->failed && !world_settle(self->world, REST_STEPS))
        fail(self, "messages stand still");
}

/* Every acknowledged answer is asked for once more. */
static void replay_all(life_t *self)
{
    for (unsigned i = 0; i < self->job_count && !self->failed; i++)
        if (self->jobs[i].answer.size > 0 && self->jobs[i].key[0] != '\0' &&
            self->jobs[i].http != 404)
            send_job(self, &self->jobs[i]);
    for (int i = 0; i < 200 && !self->failed; i++)
        world_step(self->world);
    for (unsigned i = 0; i < self->job_count && !self->failed; i++)
        if (!collect(self, &self->jobs[i]))
            fail(self, "%s has no answer any more", self->jobs[i].key);
}

static void judge(life_t *self)
{
    prove(self, proof_pairs);
    prove(self, proof_points);
    prove(self, proof_quiet);
    prove(self, proof_counts);
    for (unsigned i = 0; i < self->member_count && !self->failed; i++) {
        const member_t *member = &self->members[i];
        if (member->account == 0)
            fail(self, "member %u was never enrolled", i);
        else if (!world_books_hold(self->world, member->account, self->err))
            self->failed = true;
        else if (read_balance(self->world, member->account) != member->balance)
            fail(self, "member %u has %lld points, the answers add up to %lld", i,
                 (long long)read_balance(self->world, member->account), (long long)member->balance);
    }
}

bool simulation_run(uint64_t seed, simulation_report_t *report, err_t *err)
{
    life_t *self = memory_zalloc(sizeof *self);
    uint16_t nodes = (uint16_t)(2 + seed % 2);
    world_config_t config = {.seed = seed,
                             .nodes = nodes,
                             .partitions = (uint16_t)(4 + seed / 2 % 3),
                             .drop_ppm = 100000,
                             .double_ppm = 100000,
                             .delay_max_us = 6000,
                             .ahead = seed / 6 % 2 != 0};

    memset(report, 0, sizeof *report);
    memset(err, 0, sizeof *err);
    self->report = report;
    self->err = err;
    self->world = world_new(&config);
    self->program = world_program(self->world, "");
    self->tier = world_tier(self->world, self->program, "\"name\":\"Silver\",\"min_points\":100");
    /* Its answer does not wait for ever for lost frames; nobody can enrol where it is not known. */
    if (!world_settle(self->world, REST_STEPS))
        fail(self, "the first definitions stand still");
    for (int i = 0; i < 8; i++)
        enrol(self);
    live(self);
    come_to_rest(self);
    if (!self->failed)
        judge(self);
    if (!self->failed)
        replay_all(self);
    if (!self->failed)
        judge(self);
    report->digest = proof_digest(self->world);
    bool good = !self->failed;
    for (unsigned i = 0; i < self->job_count; i++)
        buffer_free(&self->jobs[i].answer);
    world_destroy(&self->world);
    free(self);
    return good;
}
