/* test_barriers.c - one barrier serves who waits for it, and nobody who came after it was posted */
#include "cluster/barriers.h"

#include <criterion/criterion.h>
#include <string.h>

#define POSTED_MAX 64
#define PASSED_MAX (BARRIERS_WAITING_MAX + 64)

/* A partition's copy that takes barriers and answers when it is told to. */
typedef struct {
    barriers_t *barriers;
    request_t *posted[POSTED_MAX];
    size_t posted_count;
    errcode_t refusal; /* of posting */
    request_t *passed[PASSED_MAX];
    errcode_t outcome[PASSED_MAX];
    size_t passed_count;
    size_t waited;
} gate_world_t;

static errcode_t gate_post(void *state, request_t *request, err_t *err)
{
    gate_world_t *self = state;
    command_t command;

    cr_assert_eq(command_decode(&command, request->command, request->command_bytes, NULL),
                 ERR_NONE);
    cr_assert_eq(command.kind, COMMAND_BARRIER);
    if (self->refusal != ERR_NONE)
        return err_set(err, self->refusal, NULL);
    request_retain(request);
    self->posted[self->posted_count++] = request;
    return ERR_NONE;
}

static void gate_passed(void *state, request_t *waiting, const err_t *err)
{
    gate_world_t *self = state;

    self->outcome[self->passed_count] = err->code;
    self->passed[self->passed_count++] = waiting;
}

static void gate_begin(gate_world_t *self)
{
    const barriers_config_t config = {self, gate_post, gate_passed};

    memset(self, 0, sizeof *self);
    self->barriers = barriers_new(&config);
}

static request_t *gate_wait(gate_world_t *self, uint16_t partition)
{
    request_t *waiting = request_new(partition, NULL, 0, (int64_t)(1000 + self->waited++));

    cr_assert_eq(barriers_wait(self->barriers, waiting, NULL), ERR_NONE);
    request_release(waiting); /* the barriers hold it */
    return waiting;
}

/* Answers the barrier that was posted as number `at`. */
static void gate_answer(gate_world_t *self, size_t at, errcode_t code)
{
    err_t err = {.code = ERR_NONE};

    if (code != ERR_NONE)
        (void)err_set(&err, code, NULL);
    request_complete(self->posted[at], NULL, 0, &err);
    request_release(self->posted[at]);
    self->posted[at] = NULL;
}

Test(barriers, a_single_reader_waits_for_its_own)
{
    gate_world_t gate;
    request_t *waiting;

    gate_begin(&gate);
    waiting = gate_wait(&gate, 7);
    cr_assert_eq(gate.posted_count, 1);
    cr_assert_eq(gate.posted[0]->partition, 7);
    cr_assert_eq(gate.posted[0]->deadline_us, 1000);
    cr_assert_eq(gate.passed_count, 0);
    gate_answer(&gate, 0, ERR_NONE);
    cr_assert_eq(gate.passed_count, 1);
    cr_assert_eq(gate.passed[0], waiting);
    cr_assert_eq(gate.outcome[0], ERR_NONE);
    barriers_destroy(&gate.barriers);
}

Test(barriers, who_comes_late_is_gathered_for_the_next_one)
{
    enum { EARLY = BARRIERS_UNDER_WAY_MAX, LATE = 10 };
    gate_world_t gate;
    request_t *late[LATE];

    gate_begin(&gate);
    for (int i = 0; i < EARLY; i++)
        (void)gate_wait(&gate, 7);
    for (int i = 0; i < LATE; i++)
        late[i] = gate_wait(&gate, 7);
    cr_assert_eq(gate.posted_count, EARLY);
    (void)gate_wait(&gate, 8); /* another partition is not kept waiting */
    cr_assert_eq(gate.posted_count, EARLY + 1);
    /* The first answer is no answer to those that came after it was posted, but lets their own one go. */
    gate_answer(&gate, 0, ERR_NONE);
    cr_assert_eq(gate.passed_count, 1);
    cr_assert_eq(gate.posted_count, EARLY + 2);
    cr_assert_eq(gate.posted[EARLY + 1]->deadline_us, 1000 + EARLY + LATE - 1); /* the latest */
    gate_answer(&gate, EARLY + 1, ERR_NONE);
    cr_assert_eq(gate.passed_count, 1 + LATE);
    for (int i = 0; i < LATE; i++)
        cr_assert_eq(gate.passed[1 + i], late[i]);
    for (size_t i = 1; i <= EARLY; i++)
        gate_answer(&gate, i, ERR_NONE);
    cr_assert_eq(gate.passed_count, EARLY + LATE + 1);
    cr_assert_eq(gate.posted_count, EARLY + 2);
    barriers_destroy(&gate.barriers);
}

Test(barriers, failures_reach_all_that_waited_for_this_one_only)
{
    gate_world_t gate;

    gate_begin(&gate);
    for (int i = 0; i < BARRIERS_UNDER_WAY_MAX + 2; i++)
        (void)gate_wait(&gate, 7);
    gate_answer(&gate, 0, ERR_UNKNOWN_OUTCOME); /* a barrier that is in doubt harms nobody */
    cr_assert_eq(gate.outcome[0], ERR_NOT_OWNER);
    gate.refusal = ERR_NOT_OWNER; /* from here on nothing can be posted */
    (void)gate_wait(&gate, 7);
    cr_assert_eq(gate.passed_count, 1);
    gate_answer(&gate, 1, ERR_NONE);
    cr_assert_eq(gate.passed_count, 3);
    cr_assert_eq(gate.outcome[1], ERR_NONE);
    cr_assert_eq(gate.outcome[2], ERR_NOT_OWNER); /* the one that came last, at once */
    for (size_t i = 2; i < gate.posted_count; i++)
        gate_answer(&gate, i, ERR_HALTED);
    cr_assert_eq(gate.passed_count, BARRIERS_UNDER_WAY_MAX + 3);
    cr_assert_eq(gate.outcome[gate.passed_count - 1], ERR_HALTED);
    barriers_destroy(&gate.barriers);
}

Test(barriers, too_many_that_wait_are_refused)
{
    static gate_world_t gate;
    request_t *one_more = request_new(7, NULL, 0, 0);

    gate_begin(&gate);
    for (int i = 0; i < BARRIERS_WAITING_MAX; i++)
        (void)gate_wait(&gate, (uint16_t)(7 + i % 2));
    cr_assert_eq(barriers_wait(gate.barriers, one_more, NULL), ERR_OVERLOADED);
    request_release(one_more);
    cr_assert_eq(gate.posted_count, 2 * BARRIERS_UNDER_WAY_MAX);
    for (size_t i = 0; i < gate.posted_count; i++) /* two more come meanwhile */
        gate_answer(&gate, i, ERR_NONE);
    cr_assert_eq(gate.posted_count, 2 * BARRIERS_UNDER_WAY_MAX + 2);
    cr_assert_eq(gate.passed_count, BARRIERS_WAITING_MAX);
    (void)gate_wait(&gate, 7); /* there is room again */
    gate_answer(&gate, gate.posted_count - 1, ERR_NONE);
    barriers_destroy(&gate.barriers);
}
