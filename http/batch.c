/* batch.c - POST /services/points/batch/: lines in, lines out, both streamed
 *
 * The worker reads and posts, a second thread answers in the order of the input. Up to WINDOW lines
 * are under way. Lines of one account keep their order because they go to one partition's mailbox
 * one after the other; the receiver of a transfer is the exception (its credit comes by message
 * from the giver's partition), so a line that touches an account with a transfer to it under way
 * waits for that transfer's answer.
 */
#include "http/batch.h"

#include "actors/crowd.h"
#include "actors/partition.h"
#include "http/batch_input.h"
#include "http/idempotency.h"
#include "http/points_command.h"
#include "http/word.h"

#include <civetweb.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define WINDOW_MAX 1024
#define WINDOW_MIN 16
#define LINE_BYTES_LIKELY \
    64 /* a line is hardly shorter: a body of known length needs no larger window */
/* Lines of one account under way: half of what its partition takes, so that single requests find room beside a batch. */
#define ACCOUNT_LINES_MAX (PARTITION_ACCOUNT_PENDING_MAX / 2)
#define CROWDS            4096
#define LINES_MAX         100000
#define LINE_BYTES_MAX    (1024 * 1024)
#define BODY_BYTES_MAX    (64u * 1024u * 1024u)
#define STREAMS_MAX       128
#define FLUSH_BYTES       (32 * 1024)
#define CHUNK_HEAD_BYTES  10 /* eight hex digits, CR, LF */
#define GRACE_US          200000
#define OPERATIONS        4

static const struct {
    uint8_t operation;
    const char *name;
    const char *permission;
} operations[OPERATIONS] = {{OPERATION_EARN, "earn", "account.earn"},
                            {OPERATION_BURN, "burn", "account.burn"},
                            {OPERATION_TRANSFER, "transfer", "account.transfer"},
                            {OPERATION_ADJUST, "adjust", "account.adjust"}};

/* A line that waits for its answer, or that has one without asking anybody. */
typedef struct {
    uint32_t line;
    request_t *request; /* owned; NULL: refused here */
    uint16_t partition;
    uint16_t crowd; /* plus one; 0: its line is about no account */
    int status;     /* 0: by err; else a D with err's text */
    err_t *err;     /* owned; of a line that was refused here, or whose request could not be sent */
} slot_t;

/* A transfer under way, by who gets the points. */
typedef struct {
    uint32_t slot; /* counted from the first */
    uint16_t partition;
    party_t party;
} receiver_t;

typedef struct {
    call_t *call;
    exchange_t *exchange;
    bool may[OPERATIONS];
    uint32_t rights;
    arena_t arena;         /* reader: of one line */
    buffer_t scratch;      /* reader */
    buffer_t encoded;      /* reader */
    receiver_t *receivers; /* owned, made at the first transfer; reader */
    size_t receiver_count;
    uint16_t crowds
        [CROWDS]; /* reader: lines of slots from `counted` on, by account; some share a number */
    uint32_t counted;      /* reader */
    buffer_t out;          /* writer: a chunk */
    buffer_t body;         /* writer: of one line */
    atomic_uint work;      /* raised: a request was completed */
    pthread_mutex_t mutex; /* protects first, next, done, broken */
    pthread_cond_t more;   /* for the writer: a slot or the end */
    pthread_cond_t room;   /* for the reader: a slot was answered */
    uint32_t first;        /* slots answered so far */
    uint32_t next;         /* slots taken so far */
    bool done;             /* no slot will follow */
    bool broken;           /* the client takes no more */
    uint32_t window;
    slot_t slots[]; /* window */
} batch_t;

static void run_batch(exchange_t *self);
static void read_lines(batch_t *self);
static bool take_line(void *batch, uint32_t number, text_t line);
static bool post_line(batch_t *self, slot_t *slot, text_t line);
static bool read_command(batch_t *self, slot_t *slot, text_t line, command_t *command);
static void wait_for_transfers(batch_t *self, const party_t *party, uint16_t partition);
static void wait_for_crowd(batch_t *self, slot_t *slot, const command_t *command);
static void count_answered(batch_t *self, uint32_t answered);
static void refuse(slot_t *slot, int status, const char *text);
static err_t *slot_error(slot_t *slot);
static slot_t *slot_take(batch_t *self, uint32_t line);
static void slot_publish(batch_t *self);
static void wait_for_room(batch_t *self);
static bool is_broken(batch_t *self);
static void on_complete(request_t *request, void *context);
static void *write_answers(void *batch);
static void wait_for_answer(batch_t *self, slot_t *slot);
static void answer_line(batch_t *self, slot_t *slot);
static void flush(batch_t *self);

const route_t batch_routes[] = {
    {METHOD_POST, "/api/loyalty/v1/services/points/batch/", run_batch, NULL, BODY_BYTES_MAX,
     ROUTE_STREAM | ROUTE_NO_DEADLINE, FAMILY_SERVICE, NULL},
    {METHOD_POST, "/api/loyalty/v1/points/batch/", run_batch, NULL, BODY_BYTES_MAX,
     ROUTE_STREAM | ROUTE_NO_DEADLINE, FAMILY_SERVICE, NULL},
};
const size_t batch_route_count = COUNT_OF(batch_routes);

static uint32_t window_for(const call_t *call)
{
    int64_t lines = call->head.content_length / LINE_BYTES_LIKELY;

    if (call->head.chunked || lines > WINDOW_MAX)
        return WINDOW_MAX;
    return lines < WINDOW_MIN ? WINDOW_MIN : (uint32_t)lines;
}

static void run_batch(exchange_t *self)
{
    call_t *call = call_of(self);
    http_server_t *server = call->server;
    batch_t *batch = NULL;
    pthread_t writer;
    uint32_t window;
    err_t err;

    if (call->head.content_length > (int64_t)BODY_BYTES_MAX) {
        exchange_detail(self, 413, "the body is too large");
        return;
    }
    if (atomic_fetch_add(&server->streams, 1) >= STREAMS_MAX) {
        err_set(&err, ERR_OVERLOADED, "%d batches are running already", STREAMS_MAX);
        exchange_error(self, &err);
        goto leave;
    }
    window = window_for(call);
    batch = memory_zalloc(sizeof *batch + window * sizeof batch->slots[0]);
    batch->window = window;
    batch->call = call;
    batch->exchange = self;
    for (int i = 0; i < OPERATIONS; i++)
        batch->may[i] = exchange_may(self, operations[i].permission);
    batch->rights = exchange_rights(self);
    arena_init(&batch->arena, 32 * LINE_BYTES_MAX);
    buffer_init(&batch->scratch, 4 * LINE_BYTES_MAX);
    buffer_init(&batch->encoded, 4 * LINE_BYTES_MAX);
    buffer_init(&batch->out, 4 * LINE_BYTES_MAX);
    buffer_init(&batch->body, LINE_BYTES_MAX);
    INVARIANT(pthread_mutex_init(&batch->mutex, NULL) == 0);
    INVARIANT(pthread_cond_init(&batch->more, NULL) == 0);
    INVARIANT(pthread_cond_init(&batch->room, NULL) == 0);
    if (pthread_create(&writer, NULL, write_answers, batch) != 0) {
        err_set(&err, ERR_OVERLOADED, "no thread for the answers");
        exchange_error(self, &err);
        goto free_batch;
    }
    read_lines(batch);
    pthread_join(writer, NULL);
    self->answered = true;
    if (batch->broken || !call->body_done)
        call->close = true;

free_batch:
    pthread_cond_destroy(&batch->room);
    pthread_cond_destroy(&batch->more);
    pthread_mutex_destroy(&batch->mutex);
    buffer_free(&batch->body);
    buffer_free(&batch->out);
    buffer_free(&batch->encoded);
    buffer_free(&batch->scratch);
    arena_free(&batch->arena);
    free(batch->receivers);
    free(batch);
leave:
    atomic_fetch_sub(&server->streams, 1);
}

/* ---- reading ---- */

static void read_lines(batch_t *self)
{
    batch_input_t input = {.call = self->call,
                           .lines_max = LINES_MAX,
                           .line_bytes_max = LINE_BYTES_MAX,
                           .bytes_max = BODY_BYTES_MAX,
                           .take = take_line,
                           .context = self};
    const char *fault = NULL;
    int status;

    body_continue(self->call);
    status = batch_input_read(&input, &fault);
    if (status != 0) {
        slot_t *slot = slot_take(self, input.line);

        if (slot != NULL) {
            refuse(slot, status, fault);
            slot_publish(self);
        }
    }
    pthread_mutex_lock(&self->mutex);
    self->done = true;
    pthread_cond_signal(&self->more);
    pthread_mutex_unlock(&self->mutex);
}

/* From batch_input: one line that is not blank. line.bytes NULL: it was longer than a line may be.
 * */
static bool take_line(void *batch, uint32_t number, text_t line)
{
    batch_t *self = batch;
    slot_t *slot = slot_take(self, number);

    if (slot == NULL)
        return false;
    arena_reset(&self->arena);
    if (line.bytes == NULL)
        refuse(slot, 413, "the line is too long");
    else if (!post_line(self, slot, line))
        INVARIANT(slot->request == NULL);
    slot_publish(self);
    return true;
}

static bool post_line(batch_t *self, slot_t *slot, text_t line)
{
    exchange_t *exchange = self->exchange;
    command_t command;
    int64_t until;
    err_t err;

    if (!read_command(self, slot, line, &command))
        return false;
    wait_for_crowd(self, slot, &command);
    until = router_now_us(exchange->router) + self->call->server->config.request_deadline_us;
    command.actor = exchange->user;
    command.rights = self->rights;
    command.deadline_us = until;
    buffer_reset(&self->encoded);
    command_encode(&command, &self->encoded);
    if (self->encoded.failed) {
        err_set(slot_error(slot), ERR_TOO_LARGE, NULL);
        return false;
    }
    slot->request = request_new(slot->partition, self->encoded.bytes, self->encoded.size, until);
    slot->request->done = on_complete;
    slot->request->context = self;
    while (router_post(exchange->router, slot->request, &err) != ERR_NONE) {
        if (err.code == ERR_OVERLOADED && router_now_us(exchange->router) < until &&
            !is_broken(self)) {
            /* The mailbox is full, with our own lines as likely as not: let some be answered first.
             * */
            wait_for_room(self);
            continue;
        }
        request_release(slot->request);
        slot->request = NULL;
        *slot_error(slot) = err;
        return false;
    }
    if (command.operation == OPERATION_TRANSFER) {
        receiver_t *receiver;

        if (self->receivers == NULL)
            self->receivers = memory_alloc(self->window * sizeof *self->receivers);
        receiver = &self->receivers[self->receiver_count++];
        *receiver = (receiver_t){.slot = self->next,
                                 .party = {.found = true,
                                           .account = command.to_account,
                                           .customer = command.to_customer}};
        receiver->partition =
            command.to_account != 0
                ? router_partition_of_id(exchange->router, command.to_account)
                : router_partition_of_customer(exchange->router, &command.to_customer);
    }
    return true;
}

/* Everything up to the command; false: slot->err or slot->status says why not. */
static bool read_command(batch_t *self, slot_t *slot, text_t line, command_t *command)
{
    router_t *router = self->exchange->router;
    json_t *body;
    const json_t *name;
    party_t party;
    size_t i;
    err_t err;

    if (json_parse(&body, &self->arena, line.bytes, line.n, &err) != ERR_NONE) {
        err.code = ERR_INVALID; /* here it is E */
        *slot_error(slot) = err;
        return false;
    }
    if (body->type != JSON_OBJECT) {
        err_set(slot_error(slot), ERR_INVALID, "a line must be an object");
        return false;
    }
    name = json_member(body, "operation");
    for (i = 0; i < OPERATIONS && (name == NULL || !json_text_is(name, operations[i].name)); i++)
        ;
    if (i == OPERATIONS) {
        err_field(slot_error(slot), ERR_INVALID, "operation",
                  "one of earn, burn, transfer, adjust is required");
        return false;
    }
    if (!self->may[i]) {
        refuse(slot, 403, "You do not have permission to perform this action.");
        return false;
    }
    if (points_command(command, &slot->partition, operations[i].operation, body, router,
                       &self->arena, &err) != ERR_NONE ||
        idempotency_read(command, body, (text_t){NULL, 0}, &points_line_canonical, &self->scratch,
                         &self->arena, &err) != ERR_NONE) {
        *slot_error(slot) = err;
        return false;
    }
    party = (party_t){.found = true, .account = command->account, .customer = command->customer};
    wait_for_transfers(self, &party, slot->partition);
    if (command->operation == OPERATION_TRANSFER) {
        party = (party_t){
            .found = true, .account = command->to_account, .customer = command->to_customer};
        wait_for_transfers(self, &party,
                           party.account != 0
                               ? router_partition_of_id(router, party.account)
                               : router_partition_of_customer(router, &party.customer));
    }
    return true;
}

/* The same account can be named by its id or its customer; which belongs to which is not known
 * here, so different ways of naming count as the same account when the partition is the same. */
static bool may_be_same(const party_t *a, const party_t *b)
{
    if (a->account != 0 && b->account != 0)
        return a->account == b->account;
    if (a->account == 0 && b->account == 0)
        return uuid_equal(&a->customer, &b->customer);
    return true;
}

static void wait_for_transfers(batch_t *self, const party_t *party, uint16_t partition)
{
    uint32_t answered;
    size_t kept = 0;

    if (self->receiver_count == 0)
        return;
    pthread_mutex_lock(&self->mutex);
    for (size_t i = 0; i < self->receiver_count; i++) {
        const receiver_t *receiver = &self->receivers[i];

        if (receiver->partition != partition || !may_be_same(&receiver->party, party))
            continue;
        while (self->first <= receiver->slot)
            pthread_cond_wait(&self->room, &self->mutex);
    }
    answered = self->first;
    pthread_mutex_unlock(&self->mutex);
    for (size_t i = 0; i < self->receiver_count; i++) {
        if (self->receivers[i].slot >= answered)
            self->receivers[kept++] = self->receivers[i];
    }
    self->receiver_count = kept;
}

/* A partition refuses more than so many waiting commands of one account; lines of a batch wait here instead. That two
 * accounts may share a number only makes one wait for the other. */
static void wait_for_crowd(batch_t *self, slot_t *slot, const command_t *command)
{
    uint16_t crowd = (uint16_t)(crowd_key(command) * UINT64_C(0x9e3779b97f4a7c15) >> 52);

    if (self->crowds[crowd] >= ACCOUNT_LINES_MAX) {
        uint32_t answered;

        do {
            pthread_mutex_lock(&self->mutex);
            while (self->first == self->counted)
                pthread_cond_wait(&self->room, &self->mutex);
            answered = self->first;
            pthread_mutex_unlock(&self->mutex);
            count_answered(self, answered);
        } while (self->crowds[crowd] >= ACCOUNT_LINES_MAX);
    }
    self->crowds[crowd]++;
    slot->crowd = (uint16_t)(crowd + 1);
}

static void count_answered(batch_t *self, uint32_t answered)
{
    for (; self->counted != answered; self->counted++) {
        const slot_t *slot = &self->slots[self->counted % self->window];

        if (slot->crowd != 0)
            self->crowds[slot->crowd - 1]--;
    }
}

static void refuse(slot_t *slot, int status, const char *text)
{
    slot->status = status;
    err_set(slot_error(slot), ERR_INVALID, "%s", text);
}

static err_t *slot_error(slot_t *slot)
{
    if (slot->err == NULL)
        slot->err = memory_zalloc(sizeof *slot->err);
    return slot->err;
}

/* ---- the window ---- */

/* NULL: the client is gone. Only the reader takes, so the slot is its own until it is published. */
static slot_t *slot_take(batch_t *self, uint32_t line)
{
    slot_t *slot = &self->slots[self->next % self->window];
    uint32_t answered;
    bool broken;

    pthread_mutex_lock(&self->mutex);
    while (self->next - self->first == self->window)
        pthread_cond_wait(&self->room, &self->mutex);
    broken = self->broken;
    answered = self->first;
    pthread_mutex_unlock(&self->mutex);
    if (broken)
        return NULL;
    count_answered(self, answered); /* this slot's last line is one of them */
    *slot = (slot_t){.line = line};
    return slot;
}

static void slot_publish(batch_t *self)
{
    pthread_mutex_lock(&self->mutex);
    self->next++;
    pthread_cond_signal(&self->more);
    pthread_mutex_unlock(&self->mutex);
}

static void wait_for_room(batch_t *self)
{
    struct timespec until;

    INVARIANT(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_nsec += 5000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&self->mutex);
    (void)pthread_cond_timedwait(&self->room, &self->mutex, &until);
    pthread_mutex_unlock(&self->mutex);
}

static bool is_broken(batch_t *self)
{
    bool broken;

    pthread_mutex_lock(&self->mutex);
    broken = self->broken;
    pthread_mutex_unlock(&self->mutex);
    return broken;
}

/* ---- answering ---- */

static void set_broken(batch_t *self)
{
    pthread_mutex_lock(&self->mutex);
    self->broken = true;
    pthread_cond_signal(&self->room);
    pthread_mutex_unlock(&self->mutex);
}

static void *write_answers(void *batch)
{
    batch_t *self = batch;
    exchange_t *exchange = self->exchange;
    buffer_t head;

    (void)pthread_setname_np(pthread_self(), "http-batch");
    exchange->status = 200;
    exchange->content_type = "application/x-ndjson";
    buffer_init(&head, 64 * 1024);
    reply_head(self->call, &head, -1);
    if (mg_write(exchange->connection, head.bytes, head.size) != (int)head.size)
        set_broken(self);
    buffer_free(&head);

    for (;;) {
        slot_t *slot;
        bool any;

        pthread_mutex_lock(&self->mutex);
        any = self->first != self->next;
        if (!any && !self->done && self->out.size == 0) {
            pthread_cond_wait(&self->more, &self->mutex);
            pthread_mutex_unlock(&self->mutex);
            continue;
        }
        pthread_mutex_unlock(&self->mutex);
        if (!any) {
            flush(self);
            pthread_mutex_lock(&self->mutex);
            any = self->first != self->next || !self->done;
            pthread_mutex_unlock(&self->mutex);
            if (any)
                continue;
            break;
        }
        slot = &self->slots[self->first % self->window];
        wait_for_answer(self, slot);
        answer_line(self, slot);
        pthread_mutex_lock(&self->mutex);
        self->first++;
        pthread_cond_signal(&self->room);
        pthread_mutex_unlock(&self->mutex);
        if (self->out.size >= FLUSH_BYTES)
            flush(self);
    }
    if (!is_broken(self) && self->call->head.version_1_1 &&
        mg_write(exchange->connection, "0\r\n\r\n", 5) != 5)
        set_broken(self);
    return NULL;
}

/* The batch lives until answered() of all its requests was true or they were abandoned: either way
 * this has returned. */
static void on_complete(request_t *request, void *context)
{
    batch_t *self = context;

    (void)request;
    word_raise(&self->work);
}

/* `completed` of a request: 1 once it is answered, 2 while it is being answered. */
static bool answered(const request_t *request)
{
    int state = atomic_load_explicit(&request->completed, memory_order_acquire);

    while (state == 2) {
        (void)sched_yield();
        state = atomic_load_explicit(&request->completed, memory_order_acquire);
    }
    return state == 1;
}

static void wait_for_answer(batch_t *self, slot_t *slot)
{
    if (slot->request == NULL)
        return;
    if (!answered(slot->request))
        flush(self);
    for (;;) {
        int64_t left;

        word_lower(&self->work);
        if (answered(slot->request))
            return;
        left = slot->request->deadline_us + GRACE_US - router_now_us(self->exchange->router);
        if (left <= 0)
            break;
        word_sleep(&self->work, 0, left);
    }
    /* After this its completion does nothing, or it is done. */
    waiter_abandon(NULL, slot->request);
    if (!answered(slot->request))
        err_set(&slot->request->err, ERR_UNKNOWN_OUTCOME, NULL);
}

static void answer_line(batch_t *self, slot_t *slot)
{
    exchange_t *exchange = self->exchange;
    buffer_t *body = &self->body;
    int status = slot->status;
    text_t key = {NULL, 0};
    command_t command;
    result_t result = {.status = 0};
    err_t err;

    buffer_reset(body);
    err.code = ERR_NONE;
    if (slot->err != NULL)
        err = *slot->err;
    else if (slot->request->err.code != ERR_NONE)
        err = slot->request->err;
    else
        (void)result_decode(&result, slot->request->result.bytes, slot->request->result.size, &err);
    if (status != 0) {
        buffer_text(body, "{\"detail\":");
        json_write_string(body, err.text, strlen(err.text));
        buffer_byte(body, '}');
    } else if (err.code != ERR_NONE) {
        if (slot->request != NULL && command_decode(&command, slot->request->command,
                                                    slot->request->command_bytes, NULL) == ERR_NONE)
            key = command.key;
        status =
            error_body(&err, FAMILY_SERVICE, router_owner_name(exchange->router, slot->partition),
                       key, exchange->request_id, body);
    } else {
        render_result(&result, FAMILY_SERVICE, router_catalogue(exchange->router), body);
        status = result.status;
    }
    if (self->out.size == 0)
        buffer_append(&self->out, "00000000\r\n", CHUNK_HEAD_BYTES);
    buffer_text(&self->out, "{\"line\":");
    json_write_i64(&self->out, slot->line);
    buffer_text(&self->out, ",\"status\":");
    json_write_i64(&self->out, status);
    if (body->size > 2) {
        buffer_byte(&self->out, ',');
        buffer_append(&self->out, body->bytes + 1, body->size - 1);
    } else {
        buffer_byte(&self->out, '}');
    }
    buffer_byte(&self->out, '\n');
    request_release(slot->request);
    slot->request = NULL;
    free(slot->err);
    slot->err = NULL;
}

static void flush(batch_t *self)
{
    static const char digits[] = "0123456789abcdef";
    struct mg_connection *connection = self->exchange->connection;
    const uint8_t *from;
    size_t bytes = self->out.size, payload;

    if (bytes == 0)
        return;
    payload = bytes - CHUNK_HEAD_BYTES;
    if (self->call->head.version_1_1) {
        for (int i = 7; i >= 0; i--, payload >>= 4)
            self->out.bytes[i] = (uint8_t)digits[payload & 15];
        buffer_text(&self->out, "\r\n"); /* may move the bytes */
        from = self->out.bytes;
        bytes += 2;
    } else {
        from = self->out.bytes + CHUNK_HEAD_BYTES;
        bytes = payload;
    }
    INVARIANT(!self->out.failed);
    if (!is_broken(self) && mg_write(connection, from, bytes) != (int)bytes)
        set_broken(self);
    buffer_reset(&self->out);
}
