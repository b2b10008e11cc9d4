/* compiler.h - the few compiler extensions this project relies on
 *
 * Contract   Everything beyond C11 + POSIX.1-2008 is spelled here, nowhere else.
 * Threads    Nothing to say: macros only.
 * Ownership  Nothing to say.
 * Units      Nothing to say.
 * Errors     INVARIANT ends the process: only a bug can break one (it stays on in release builds).
 */
#ifndef FEALTY_COMPILER_H
#define FEALTY_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#define UNUSED                           __attribute__((unused))
/* A function that may use these instructions, and whether this processor has them. */
#define TARGET_ISA(name) __attribute__((target(name)))
#define CPU_HAS(name)    (__builtin_cpu_supports(name) != 0)
#define LIKELY(cond)     __builtin_expect(!!(cond), 1)
#define UNLIKELY(cond)   __builtin_expect(!!(cond), 0)
#define COUNT_OF(array)  (sizeof(array) / sizeof((array)[0]))

__extension__ typedef __int128 int128_t;
__extension__ typedef unsigned __int128 uint128_t;

_Noreturn void invariant_failed(const char *file, int line, const char *condition);

#define INVARIANT(cond)                                  \
    do {                                                 \
        if (UNLIKELY(!(cond)))                           \
            invariant_failed(__FILE__, __LINE__, #cond); \
    } while (0)

#endif
