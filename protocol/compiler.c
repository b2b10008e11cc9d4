/* compiler.c - what happens when an invariant is broken: one line, then the process ends */
#include "protocol/compiler.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void invariant_failed(const char *file, int line, const char *condition)
{
    /* Nothing but stderr is trusted here: the state that broke may be the logger's. */
    (void)fprintf(stderr, "invariant failed: %s at %s:%d\n", condition, file, line);
    (void)fflush(stderr);
    abort();
}
