/* lists.h - "a,b,c" as words, for the command line
 *
 * Contract   list_split() cuts a text at a separator; empty words are left out. A separator of 0 keeps it whole.
 * Threads    One at a time.
 * Ownership  The list owns its words; list_free() releases them.
 * Units      Nothing to say.
 * Errors     None.
 */
#ifndef FEALTY_LISTS_H
#define FEALTY_LISTS_H

#include "protocol/buffer.h"

#include <stdlib.h>

#define LIST_WORDS_MAX 64

typedef struct {
    size_t count;
    char *items[LIST_WORDS_MAX]; /* owned */
} list_t;

/* Words beyond the maximum are left out. */
static inline void list_split(list_t *self, const char *text, char separator)
{
    const char cut[2] = {separator, '\0'};

    self->count = 0;
    while (*text != '\0' && self->count < LIST_WORDS_MAX) {
        size_t n = separator == '\0' ? strlen(text) : strcspn(text, cut);

        if (n > 0) {
            char *word = memory_alloc(n + 1);
            memcpy(word, text, n);
            word[n] = '\0';
            self->items[self->count++] = word;
        }
        text += n;
        text += *text != '\0';
    }
}

static inline void list_free(list_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    self->count = 0;
}

#endif
