/* request.c - reference-counted commands in flight, and a futex that their askers sleep on
 *
 * `completed` of a request is a small state machine, so that an asker who gives up never races with the completer:
 *   WAITING -> ANSWERING -> ANSWERED     the completer took it; `done` runs while ANSWERING
 *   WAITING -> ABANDONED                 the asker took it; `done` is never called
 * request_complete() drops no reference: the completer holds the one it took when the request was posted, and
 * releases it afterwards.
 */
#include "actors/request.h"

#include "protocol/clock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RESULT_BYTES_MAX (256 * 1024) /* a program with its tiers */

enum { STATE_WAITING = 0, STATE_ANSWERED = 1, STATE_ANSWERING = 2, STATE_ABANDONED = 3 };

/* Highest bit of a waiter's word: its thread sleeps, or is about to. Without it a completion costs no system call. */
#define WAITER_SLEEPS (UINT32_C(1) << 31)

static void waiter_done(request_t *request, void *context);
static void word_wait(atomic_uint *word, unsigned expected, int64_t timeout_us);
static void word_wake(atomic_uint *word);

request_t *request_new(uint16_t partition, const void *command, size_t command_bytes,
                       int64_t deadline_us)
{
    request_t *self = memory_alloc(sizeof *self + command_bytes);

    memset(self, 0, sizeof *self);
    self->partition = partition;
    self->deadline_us = deadline_us;
    if (command_bytes > 0)
        memcpy(self + 1, command, command_bytes);
    self->command = (const uint8_t *)(self + 1);
    self->command_bytes = command_bytes;
    buffer_init(&self->result, RESULT_BYTES_MAX);
    atomic_init(&self->refs, 1);
    atomic_init(&self->completed, STATE_WAITING);
    return self;
}

void request_retain(request_t *self)
{
    int before = atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);

    INVARIANT(before > 0);
}

void request_release(request_t *self)
{
    int before;

    if (self == NULL)
        return;
    /* Acquire as well as release: the last one sees all that the others wrote before it frees. */
    before = atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel);
    INVARIANT(before > 0);
    if (before > 1)
        return;
    buffer_free(&self->result);
    free(self);
}

void request_complete(request_t *self, const void *result, size_t n, const err_t *err)
{
    int expected = STATE_WAITING;

    buffer_reset(&self->result);
    if (err != NULL && err->code != ERR_NONE)
        self->err = *err;
    else
        buffer_append(&self->result, result, n);
    if (self->result.failed) {
        buffer_reset(&self->result);
        (void)err_set(&self->err, ERR_INTERNAL, "an answer of %zu bytes does not fit", n);
    }
    if (!atomic_compare_exchange_strong_explicit(&self->completed, &expected, STATE_ANSWERING,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        INVARIANT(expected == STATE_ABANDONED); /* anything else: completed twice */
        return;
    }
    if (self->done != NULL)
        self->done(self, self->context);
    atomic_store_explicit(&self->completed, STATE_ANSWERED, memory_order_release);
}

void waiter_init(waiter_t *self)
{
    atomic_init(&self->completed, 0);
}

void waiter_watch(waiter_t *self, request_t *request)
{
    request->done = waiter_done;
    request->context = self;
}

bool waiter_wait(waiter_t *self, unsigned count, int64_t timeout_us)
{
    int64_t until_us = 0; /* the clock is read only when it comes to waiting */

    for (;;) {
        unsigned word = atomic_load_explicit(&self->completed, memory_order_acquire);
        int64_t now_us;

        if ((word & ~WAITER_SLEEPS) >= count) {
            if ((word & WAITER_SLEEPS) != 0)
                (void)atomic_fetch_and_explicit(&self->completed, ~WAITER_SLEEPS,
                                                memory_order_relaxed);
            return true;
        }
        now_us = clock_boot_us(clock_system());
        if (until_us == 0)
            until_us = timeout_us > INT64_MAX - now_us ? INT64_MAX : now_us + timeout_us;
        if (now_us >= until_us)
            return false;
        if ((word & WAITER_SLEEPS) == 0 &&
            !atomic_compare_exchange_strong_explicit(&self->completed, &word, word | WAITER_SLEEPS,
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        word_wait(&self->completed, word | WAITER_SLEEPS, until_us - now_us);
    }
}

void waiter_abandon(waiter_t *self, request_t *request)
{
    int state = STATE_WAITING;

    (void)self;
    if (atomic_compare_exchange_strong_explicit(&request->completed, &state, STATE_ABANDONED,
                                                memory_order_acq_rel, memory_order_acquire))
        return;
    /* `done` is running on another thread: an increment and perhaps a system call. It must have left the waiter
     * before the waiter's memory goes away. */
    while (state == STATE_ANSWERING) {
        (void)sched_yield();
        state = atomic_load_explicit(&request->completed, memory_order_acquire);
    }
}

/* After the increment the waiter may be gone: from then on only its address is used, for a wake-up that at worst
 * wakes nobody or an unrelated waiter, which looks at its own word and sleeps on. */
static void waiter_done(request_t *request, void *context)
{
    waiter_t *self = context;
    unsigned before = atomic_fetch_add_explicit(&self->completed, 1, memory_order_acq_rel);

    (void)request;
    if ((before & WAITER_SLEEPS) != 0)
        word_wake(&self->completed);
}

/* A relative time-out runs on the monotonic clock; the caller looks at the boot clock again afterwards. */
static void word_wait(atomic_uint *word, unsigned expected, int64_t timeout_us)
{
    int64_t capped_us = timeout_us > INT64_C(60000000) ? INT64_C(60000000) : timeout_us;
    struct timespec timeout = {.tv_sec = (time_t)(capped_us / 1000000),
                               .tv_nsec = (long)(capped_us % 1000000) * 1000};
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &timeout, NULL, 0);

    INVARIANT(rc == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
}

static void word_wake(atomic_uint *word)
{
    /* Its failure means that the word's memory is gone: then nobody waits there. */
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
