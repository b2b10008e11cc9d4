/* word.h - a flag that one thread sleeps on and any thread raises, with one system call per sleep
 * at most
 *
 * Contract   word_raise() wakes only when the flag was down, so a burst of completions costs one
 *            wake-up. The sleeper lowers the flag, looks for work, and sleeps only while the flag
 *            is still down.
 * Threads    One sleeper; any raiser.
 * Ownership  The word is the caller's.
 * Units      Microseconds.
 * Errors     None.
 */
#ifndef FEALTY_WORD_H
#define FEALTY_WORD_H

#include "protocol/compiler.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline void word_sleep(atomic_uint *word, unsigned expected, int64_t timeout_us)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_us / 1000000),
                               .tv_nsec = (long)(timeout_us % 1000000) * 1000};
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &timeout, NULL, 0);

    INVARIANT(rc == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
}

/* The word may be gone already when its sleeper saw the change by itself: then nobody is woken. */
static inline void word_wake(atomic_uint *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline void word_raise(atomic_uint *word)
{
    if (atomic_exchange(word, 1) == 0)
        word_wake(word);
}

static inline void word_lower(atomic_uint *word)
{
    atomic_store(word, 0);
}

#endif
