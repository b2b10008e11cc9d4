/* shared_clients.c - the clients: they ask, give up waiting, ask elsewhere with the same key, and note every answer */
#include "tests/sim/shared_life.h"

#include "protocol/log.h"
#include "tests/sim/ask.h"
#include "tests/sim/blame.h"

#include <inttypes.h>
#include <stdio.h>

#define PATIENCE_LEAST_US INT64_C(300000)
#define PATIENCE_MOST_US  INT64_C(4000000)
#define AGAIN_MOST_US     INT64_C(400000)
#define DEAF_ODDS         25 /* of an answer: it does not reach its client */
#define TWICE_ODDS        12 /* of a command: it is sent to two nodes at once */
#define NO_KEY_ODDS       3
#define DEADLINE_US       INT64_C(3000000)
#define OPEN_MAX          4 /* attempts of one job on their way */

void life_fail(life_t *self, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    blame(self->err, &self->failed, format, arguments);
    va_end(arguments);
}

static bool chosen(life_t *self, uint64_t odds)
{
    return dice_below(&self->dice, odds) == 0;
}

/* ---- sending ---- */

static void note_call(life_t *self, size_t ticket, call_t call)
{
    INVARIANT(ticket == self->call_count + 1);
    if (self->call_count == self->call_capacity) {
        self->call_capacity = self->call_capacity > 0 ? self->call_capacity * 2 : 512;
        self->calls = memory_realloc(self->calls, self->call_capacity * sizeof *self->calls);
    }
    self->calls[self->call_count++] = call;
}

/* Mostly the owner; now and then one who only believes to be it, or anybody. */
static size_t pick_node(life_t *self, uint16_t partition, bool harmless)
{
    size_t nodes = shared_nodes(self->world);
    size_t owner = shared_owner(self->world, partition);
    size_t any = dice_below(&self->dice, nodes);

    /* What has an effect waits in the log of a node that is cut off, and all refusals behind it: so it gets nothing else. */
    if (self->refusals && !harmless && owner != SIZE_MAX)
        return log_node_is_cut(shared_log(self->world), owner) ? SIZE_MAX : owner;
    if (chosen(self, self->refusals ? 2 : 6))
        for (size_t i = 0; i < nodes; i++) {
            size_t node = (any + i) % nodes;
            if (node != owner && shared_state(self->world, node, partition) == REPLICA_OWNER)
                return node;
        }
    return owner == SIZE_MAX || chosen(self, 12) ? any : owner;
}

static void attempt(life_t *self, job_t *job)
{
    size_t node =
        pick_node(self, job->partition, job->command.kind == COMMAND_BURN && !job_is_keyed(job));
    command_t command = job->command;

    job->again_us =
        shared_now_us(self->world) + dice_span(&self->dice, PATIENCE_LEAST_US, PATIENCE_MOST_US);
    if (job->open >= OPEN_MAX || node == SIZE_MAX)
        return;
    command.deadline_us = self->healing ? 0 : shared_now_us(self->world) + DEADLINE_US;
    size_t ticket = shared_post(self->world, node, job->partition, &command);
    if (ticket == 0) { /* nobody listens there */
        job->again_us = shared_now_us(self->world) + dice_span(&self->dice, 1000, AGAIN_MOST_US);
        return;
    }
    call_t call = {.index = (size_t)(job - self->jobs),
                   .called = ++self->tick,
                   .deaf = !self->healing && chosen(self, DEAF_ODDS)};
    note_call(self, ticket, call);
    if (job->attempts++ == 0)
        job->called = call.called;
    job->open++;
}

static hash_t hash_of_body(command_t command)
{
    buffer_t bytes;

    command.key = (text_t){NULL, 0};
    command.key_hash = (hash_t){{0}};
    command.body_hash = (hash_t){{0}};
    command.deadline_us = 0;
    buffer_init(&bytes, 1024 * 1024);
    command_encode(&command, &bytes);
    hash_t hash = hash_bytes(bytes.bytes, bytes.size);
    buffer_free(&bytes);
    return hash;
}

static uint16_t partition_for(const life_t *self, const command_t *command)
{
    if (command->kind == COMMAND_DEFINE || command->kind == COMMAND_UNDEFINE)
        return self->partitions;
    if (command->account != 0)
        return partition_of_slot(id_slot(command->account), self->partitions);
    return partition_of_slot(slot_of_customer(&command->customer), self->partitions);
}

/* Adds the key (none: `keyed` false) and sends it for the first time. */
static job_t *send_job(life_t *self, command_t command, unsigned member, bool keyed)
{
    if (self->job_count == LIFE_JOBS_MAX)
        return NULL;
    job_t *job = &self->jobs[self->job_count++];
    *job = (job_t){.command = command, .member = member, .other = member};
    buffer_init(&job->answer, 64 * 1024);
    snprintf(job->mark, sizeof job->mark, "job-%u", self->job_count);
    if (keyed)
        with_key(&job->command, job->mark);
    /* So that the books tell which entries are of this command. */
    if (command.kind == COMMAND_EARN || command.kind == COMMAND_BURN ||
        command.kind == COMMAND_ADJUST || command.kind == COMMAND_TRANSFER)
        job->command.description = text_of(job->mark);
    job->command.body_hash = hash_of_body(job->command);
    job->partition = partition_for(self, &job->command);
    self->report->commands++;
    return job;
}

job_t *life_job(life_t *self, command_t command, unsigned member)
{
    job_t *job = send_job(self, command, member, true);
    if (job != NULL)
        attempt(self, job);
    return job;
}

void life_enrol(life_t *self)
{
    if (self->member_count == LIFE_MEMBERS_MAX)
        return;
    unsigned member = self->member_count++;
    uint64_t number = dice_roll(&self->dice);
    hash_t hash = hash_bytes(&number, sizeof number);
    member_t *fresh = &self->members[member];
    *fresh = (member_t){.account = 0};
    memcpy(fresh->customer.bytes, hash.bytes, sizeof fresh->customer.bytes);
    fresh->partition = partition_of_slot(slot_of_customer(&fresh->customer), self->partitions);
    command_t command = ask_enrol(&fresh->customer, self->program);
    command.points = chosen(self, 3) ? 0 : (points_t)dice_below(&self->dice, 300) + 1;
    (void)life_job(self, command, member);
}

static void define(life_t *self)
{
    job_t *job = send_job(self, ask_define(RESOURCE_TIER, self->tier, "{}"), 0, true);
    if (job == NULL)
        return;
    snprintf(job->json, sizeof job->json, "{\"points_multiplier\":\"%u.%u00\"}",
             (unsigned)dice_below(&self->dice, 3) + 1, (unsigned)dice_below(&self->dice, 10));
    job->command.body = text_of(job->json);
    job->command.body_hash = hash_of_body(job->command);
    attempt(self, job);
}

/* By its id, or as a client does that knows only the customer. */
static void name_account(life_t *self, command_t *command, const member_t *member)
{
    command->account = member->account;
    if (member->account != 0 && !chosen(self, 5))
        return;
    command->account = 0;
    command->customer = member->customer;
    command->program = self->program;
}

static command_t make_transfer(life_t *self, points_t n, unsigned other)
{
    command_t command = ask_transfer(0, 0, n);

    if (self->members[other].account != 0 && !chosen(self, 3))
        command.to_account = self->members[other].account + (chosen(self, 12) ? 100000 : 0);
    else
        command.to_customer = self->members[other].customer;
    return command;
}

void life_something(life_t *self)
{
    unsigned i = (unsigned)dice_below(&self->dice, self->member_count),
             k = (unsigned)dice_below(&self->dice, self->member_count);
    points_t n = (points_t)dice_below(&self->dice, 120) + 1;
    uint64_t what = dice_below(&self->dice, 100);
    command_t command;
    char amount[32];
    bool keyed = true;

    if (what < 2) {
        life_enrol(self);
        return;
    }
    if (what < 4) {
        define(self);
        return;
    }
    if (what < (self->refusals ? 10 : 24)) {
        life_look(self, i);
        return;
    }
    if (what < 46) {
        snprintf(amount, sizeof amount, "%" PRId64 ".%02u", n,
                 (unsigned)dice_below(&self->dice, 100));
        command = ask_earn(0, amount);
    } else if (what < 66) {
        keyed = !chosen(self, self->refusals ? 1 : NO_KEY_ODDS);
        command = ask_burn(0, self->refusals ? n * 10 : n * 2);
    } else if (what < 76) {
        command = ask_adjust(0, what % 2 == 0 ? n : -n);
        keyed = !chosen(self, NO_KEY_ODDS);
    } else if (what < 79) {
        command = ask_status(0, chosen(self, 2) ? STATUS_SUSPENDED : STATUS_ACTIVE);
    } else {
        if (!self->transfers || i == k)
            return;
        command = make_transfer(self, n, k);
    }
    name_account(self, &command, &self->members[i]);
    job_t *job = send_job(self, command, i, keyed);
    if (job == NULL)
        return;
    job->other = k;
    attempt(self, job);
    if (keyed && chosen(self, TWICE_ODDS))
        attempt(self, job);
}

void life_look(life_t *self, unsigned number)
{
    const member_t *member = &self->members[number];
    query_t query = {
        .kind = QUERY_ACCOUNTS_OF, .customer = member->customer, .program = self->program};

    size_t ticket = shared_ask(self->world, pick_node(self, member->partition, true),
                               member->partition, &query);
    if (ticket == 0)
        return;
    if (self->question_count == self->question_capacity) {
        self->question_capacity = self->question_capacity > 0 ? self->question_capacity * 2 : 256;
        self->questions =
            memory_realloc(self->questions, self->question_capacity * sizeof *self->questions);
    }
    self->questions[self->question_count] = (question_t){.member = number, .called = ++self->tick};
    note_call(self, ticket,
              (call_t){.is_question = true,
                       .index = self->question_count++,
                       .called = self->tick,
                       .deaf = false});
    self->report->questions++;
}

/* ---- answers ---- */

/* The one account in an answer to QUERY_ACCOUNTS_OF. */
static bool account_in(const void *bytes, size_t n, account_t *out)
{
    answer_t answer;
    const void *row = NULL;

    errcode_t rc = answer_decode(&answer, bytes, n, NULL);
    INVARIANT(rc == ERR_NONE);
    if (answer.row_count == 0)
        return false;
    size_t row_bytes = unpack_blob(&answer.rows, &row);
    rc = account_decode(out, row, row_bytes, NULL);
    INVARIANT(rc == ERR_NONE);
    return true;
}

static void answer_question(life_t *self, const call_t *call, const err_t *err, const void *result,
                            size_t n)
{
    question_t *question = &self->questions[call->index];
    account_t account;

    if (err->code != ERR_NONE) {
        if (err->code == ERR_CORRUPT || err->code == ERR_INTERNAL || err->code == ERR_IO)
            life_fail(self, "a question was answered: %s", err->text);
        return;
    }
    question->answered = ++self->tick;
    question->exists = account_in(result, n, &account);
    if (question->exists)
        question->balance = account.available;
}

/* What this client has seen: from now on it wants to see at least that. */
static void note_session(life_t *self, const job_t *job, const log_place_t *place)
{
    member_t *member = &self->members[job->member];

    if (job->partition != member->partition)
        return;
    if (place->epoch == 0)
        life_fail(self, "the answer to %s names no place in the log", job->mark);
    if (job->http < 300 &&
        (job->command.kind == COMMAND_EARN || job->command.kind == COMMAND_BURN ||
         job->command.kind == COMMAND_ADJUST))
        member->own_entries++;
    if ((place->epoch > member->seen.epoch ||
         (place->epoch == member->seen.epoch && place->seq > member->seen.seq)))
        member->seen = *place;
}

/* A 404 is not kept under the key: while another attempt may still run, it says nothing. */
static bool says_it_all(const life_t *self, const job_t *job)
{
    return job->open == 0 && (!job->doubtful || self->healing);
}

/* The first answer is kept, and every later one must be its replay. */
static void take_result(life_t *self, job_t *job, const call_t *call, const void *bytes, size_t n,
                        const log_place_t *place)
{
    result_t result;
    buffer_t plain;

    if (result_decode(&result, bytes, n, NULL) != ERR_NONE) {
        life_fail(self, "an answer cannot be read");
        return;
    }
    bool replayed = result.replayed != 0;
    result.replayed = 0;
    self->report->replays += replayed;
    /* The log has lost what it had confirmed: that may run again, and come to another answer. */
    bool lost =
        self->cut.cut && job->partition == self->cut.partition && job->called < self->cut.tick;
    /* A transfer that another attempt began is answered to both. */
    if (!replayed && !lost && job->command.kind != COMMAND_TRANSFER && job_is_keyed(job) &&
        job->ran++ > 0)
        life_fail(self, "%s (command %u, answered with %u) ran twice", job->mark, job->command.kind,
                  job->http);
    if (!job->final && result.status == 404 && !says_it_all(self, job))
        return;
    if (!job->final) {
        result_encode(&result, &job->answer);
        job->final = true;
        job->http = result.status;
        job->answered = ++self->tick;
        job->effective =
            replayed || job->command.kind == COMMAND_TRANSFER ? job->called : call->called;
        if (job->command.kind == COMMAND_ENROL && result.status < 300)
            self->members[job->member].account = result.account;
        note_session(self, job, place);
        return;
    }
    if (!job_is_keyed(job) || job->http == 404 || lost)
        return;
    buffer_init(&plain, 64 * 1024);
    result_encode(&result, &plain);
    if (plain.size != job->answer.size || memcmp(plain.bytes, job->answer.bytes, plain.size) != 0)
        life_fail(self, "%s (command %u) was answered with %u, later with %u", job->mark,
                  job->command.kind, job->http, result.status);
    buffer_free(&plain);
}

static void take_error(life_t *self, job_t *job, const call_t *call, const err_t *err)
{
    bool keyed = job_is_keyed(job);

    if (self->healing)
        log_debug("%s, command %u for partition %u: %s", job->mark, job->command.kind,
                  job->partition, err->text);
    switch (err->code) {
    case ERR_UNREACHABLE:
    case ERR_NOT_OWNER:
    case ERR_OVERLOADED: /* it was not applied */
        if (!keyed && !job->final)
            job->final = job->nothing = true;
        break;
    case ERR_UNKNOWN_OUTCOME:
    case ERR_HALTED:
        self->report->unknown++;
        job->doubtful = true;
        if (!keyed && !job->final)
            job->final = job->unknown = true;
        break;
    case ERR_NOT_FOUND:
        if (job->final || !says_it_all(self, job))
            break;
        job->final = true;
        job->http = 404;
        job->answered = ++self->tick;
        job->effective = call->called;
        break;
    default: life_fail(self, "%s: %s", job->mark, err->text);
    }
    int64_t again_us = shared_now_us(self->world) + dice_span(&self->dice, 1000, AGAIN_MOST_US);
    if (again_us < job->again_us)
        job->again_us = again_us;
}

void life_answered(void *state, size_t ticket, const err_t *err, const void *result, size_t n,
                   const log_place_t *place)
{
    life_t *self = state;

    if (self->over)
        return;
    const call_t *call = &self->calls[ticket - 1];
    if (call->is_question) {
        answer_question(self, call, err, result, n);
        return;
    }
    job_t *job = &self->jobs[call->index];
    INVARIANT(job->open > 0);
    job->open--;
    if (call->deaf) { /* the client hears nothing, which is all that it hears */
        err_t silence = {.code = ERR_UNKNOWN_OUTCOME};
        take_error(self, job, call, &silence);
    } else if (err->code == ERR_NONE) {
        take_result(self, job, call, result, n, place);
    } else {
        take_error(self, job, call, err);
    }
}

void life_ask_again(life_t *self)
{
    int64_t now_us = shared_now_us(self->world);

    for (unsigned i = 0; i < self->job_count; i++) {
        job_t *job = &self->jobs[i];
        if (job->final || now_us < job->again_us)
            continue;
        if (job_is_keyed(job) || job->attempts == 0)
            attempt(self, job);
        else if (job->open == 0)
            job->final = job->unknown = true;
    }
    /* Now and then one asks for what it knows. */
    if (self->job_count == 0 || !chosen(self, 8))
        return;
    job_t *job = &self->jobs[dice_below(&self->dice, self->job_count)];
    if (job->final && job_is_keyed(job) && job->http != 404 && job->open == 0)
        attempt(self, job);
}

bool life_all_known(const life_t *self)
{
    for (unsigned i = 0; i < self->job_count; i++)
        if ((!self->jobs[i].final || self->jobs[i].open > 0) &&
            !job_is_hopeless(self, &self->jobs[i]))
            return false;
    return true;
}

/* ---- sessions ---- */

/* A client asks any copy, with what it has seen: its answer never goes back behind that. */
void life_session(life_t *self, unsigned number)
{
    member_t *member = &self->members[number];
    size_t node = dice_below(&self->dice, shared_nodes(self->world));
    replica_state_t state = shared_state(self->world, node, member->partition);
    uint8_t after[LOG_PLACE_BYTES];
    query_t query = {.kind = QUERY_ACCOUNTS_OF,
                     .set = QUERY_PLACE,
                     .customer = member->customer,
                     .program = self->program,
                     .after = {(const char *)after, sizeof after}};
    buffer_t bytes;
    answer_t answer;
    account_t account = {0};
    err_t err = {0};

    if (member->seen.epoch == 0 || self->halts_allowed || state == REPLICA_CLOSED ||
        state == REPLICA_HALTED || shared_node(self->world, node)->paused)
        return;
    log_place_pack(&member->seen, after);
    buffer_init(&bytes, 4 * 1024 * 1024);
    errcode_t rc = shared_query(self->world, node, member->partition, &query, &bytes, &err);
    if (rc == ERR_NONE) {
        bool found = account_in(bytes.bytes, bytes.size, &account);
        if (found ? account.entries < member->own_entries : member->own_entries > 0)
            life_fail(self,
                      "the session of member %u does not see its own writes: %" PRIu64
                      " entries, it made %" PRIu64,
                      number, account.entries, member->own_entries);
        if (found ? account.entries < member->seen_entries : member->seen_entries > 0)
            life_fail(self,
                      "the session of member %u went back: %" PRIu64 " entries after %" PRIu64,
                      number, account.entries, member->seen_entries);
        member->seen_entries = account.entries;
        rc = answer_decode(&answer, bytes.bytes, bytes.size, NULL);
        INVARIANT(rc == ERR_NONE);
        member->seen = answer.place;
    } else if (rc == ERR_POSITION_LOST &&
               adoptions_replaced(self->adoptions, member->partition, &member->seen.history)) {
        member->seen.epoch =
            0; /* told so: it begins anew, and must find what it saw all the same */
    } else if (rc != ERR_POSITION_AHEAD) { /* else it waits, or asks elsewhere */
        life_fail(self, "the session of member %u was refused: %s", number, err.text);
    }
    buffer_free(&bytes);
}
