/* mutant.c - which safety rule is taken away in a build that is made for it */
#include "protocol/mutant.h"

#include <string.h>

#ifdef FEALTY_MUTANTS

static mutant_t chosen = MUTANT_NONE;

static const char *const names[] = {[MUTANT_NONE] = "none",
#define X(id, name) [MUTANT_##id] = (name),
                                    MUTANT_MAP(X)
#undef X
};

bool mutant_is(mutant_t mutant)
{
    return mutant == chosen;
}

bool mutant_choose(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0) {
            chosen = (mutant_t)i;
            return true;
        }
    return false;
}

const char *mutant_name(mutant_t mutant)
{
    return names[mutant];
}

#endif
