/* test_request.c - a request is answered once, and an asker who gave up is left alone */
#include "actors/request.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

static void *complete_request(void *argument)
{
    request_t *request = argument;

    request_complete(request, "yes", 3, NULL);
    request_release(request);
    return NULL;
}

static void count_call(request_t *request, void *context)
{
    int *calls = context;

    cr_assert_eq(request->result.size, 3); /* the answer is there before the call */
    (*calls)++;
}

Test(request, carries_a_copy_of_its_command)
{
    char command[] = "abc";
    request_t *request = request_new(7, command, 3, 99);

    command[0] = 'x';
    cr_assert_eq(request->partition, 7);
    cr_assert_eq(request->deadline_us, 99);
    cr_assert_eq(request->command_bytes, 3);
    cr_assert_eq(memcmp(request->command, "abc", 3), 0);
    request_release(request);
}

Test(request, stores_the_answer_before_it_says_done)
{
    int calls = 0;
    request_t *request = request_new(0, NULL, 0, 0);

    request->done = count_call;
    request->context = &calls;
    request_complete(request, "yes", 3, NULL);
    cr_assert_eq(calls, 1);
    cr_assert_neq(atomic_load(&request->completed), 0);
    cr_assert_eq(request->err.code, ERR_NONE);
    request_release(request);
}

Test(request, carries_an_error_instead_of_an_answer)
{
    request_t *request = request_new(0, NULL, 0, 0);
    err_t err;

    (void)err_set(&err, ERR_UNREACHABLE, NULL);
    request_complete(request, NULL, 0, &err);
    cr_assert_eq(request->err.code, ERR_UNREACHABLE);
    cr_assert_eq(request->result.size, 0);
    request_release(request);
}

Test(request, with_too_large_an_answer_fails_instead_of_being_cut)
{
    static uint8_t answer[256 * 1024 + 1];
    request_t *request = request_new(0, NULL, 0, 0);

    request_complete(request, answer, sizeof answer, NULL);
    cr_assert_eq(request->err.code, ERR_INTERNAL);
    cr_assert_eq(request->result.size, 0);
    request_release(request);
    request = request_new(0, NULL, 0, 0);
    request_complete(request, answer, sizeof answer - 1, NULL);
    cr_assert_eq(request->err.code, ERR_NONE);
    cr_assert_eq(request->result.size, sizeof answer - 1);
    request_release(request);
}

Test(request, waiter_sees_what_was_done_before_it_waited)
{
    waiter_t waiter;
    request_t *request = request_new(0, NULL, 0, 0);

    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    cr_assert_not(waiter_wait(&waiter, 1, 0));
    cr_assert_not(waiter_wait(&waiter, 1, 1000));
    cr_assert(waiter_wait(&waiter, 0, 0));
    request_complete(request, "yes", 3, NULL);
    cr_assert(waiter_wait(&waiter, 1, 0));
    cr_assert_not(waiter_wait(&waiter, 2, 0));
    request_release(request);
}

Test(request, waiter_wakes_when_others_answer, .timeout = 60)
{
    enum { REQUESTS = 8 };
    request_t *requests[REQUESTS];
    pthread_t threads[REQUESTS];
    waiter_t waiter;

    for (int round = 0; round < 200; round++) {
        waiter_init(&waiter);
        for (int i = 0; i < REQUESTS; i++) {
            requests[i] = request_new(0, "c", 1, 0);
            waiter_watch(&waiter, requests[i]);
            request_retain(requests[i]);
            cr_assert_eq(pthread_create(&threads[i], NULL, complete_request, requests[i]), 0);
        }
        cr_assert(waiter_wait(&waiter, REQUESTS, INT64_C(30000000)));
        for (int i = 0; i < REQUESTS; i++) {
            cr_assert_eq(requests[i]->result.size, 3);
            request_release(requests[i]);
            cr_assert_eq(pthread_join(threads[i], NULL), 0);
        }
    }
}

Test(request, abandoned_ones_never_touch_the_waiter_again, .timeout = 60)
{
    for (int round = 0; round < 2000; round++) {
        waiter_t *waiter =
            memory_alloc(sizeof *waiter); /* freed memory: the address sanitizer would tell */
        request_t *request = request_new(0, "c", 1, 0);
        pthread_t thread;

        waiter_init(waiter);
        waiter_watch(waiter, request);
        request_retain(request);
        cr_assert_eq(pthread_create(&thread, NULL, complete_request, request), 0);
        if (!waiter_wait(waiter, 1, round % 64))
            waiter_abandon(waiter, request);
        free(waiter);
        request_release(request);
        cr_assert_eq(pthread_join(thread, NULL), 0);
    }
}

Test(request, answered_after_it_was_abandoned_calls_nobody)
{
    waiter_t waiter;
    request_t *request = request_new(0, NULL, 0, 0);

    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    waiter_abandon(&waiter, request);
    request_complete(request, "yes", 3, NULL);
    cr_assert_not(waiter_wait(&waiter, 1, 0));
    request_release(request);
}
