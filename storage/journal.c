/* journal.c - what all makers of journals share */
#include "storage/journal.h"

#include <stdlib.h>

void journal_destroy(journal_t **self_p)
{
    journal_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    self->ops->destroy(self->state);
    free(self);
}
