/* lines.c - memchr from newline to newline, a short look at each head */
#include "bench/lines.h"

#include <stdlib.h>
#include <string.h>

static void line_judge(lines_t *self);

void lines_reset(lines_t *self)
{
    self->accepted = 0;
    self->refused = 0;
    self->head_bytes = 0;
    self->first_refused[0] = '\0';
}

void lines_feed(lines_t *self, const char *bytes, size_t n)
{
    while (n > 0) {
        const char *newline = memchr(bytes, '\n', n);
        size_t line = newline != NULL ? (size_t)(newline - bytes) : n;
        size_t room = sizeof(self->head) - 1 - self->head_bytes;
        size_t taken = line < room ? line : room;

        memcpy(self->head + self->head_bytes, bytes, taken);
        self->head_bytes += taken;
        if (newline == NULL)
            return;
        line_judge(self);
        bytes += line + 1;
        n -= line + 1;
    }
}

void lines_end(lines_t *self)
{
    line_judge(self);
}

static void line_judge(lines_t *self)
{
    static const char name[] = "\"status\":";

    if (self->head_bytes == 0)
        return;
    self->head[self->head_bytes] = '\0';
    const char *status = strstr(self->head, name);
    long code = status == NULL ? 0 : strtol(status + sizeof(name) - 1, NULL, 10);
    if (code >= 200 && code <= 299)
        self->accepted++;
    else if (self->refused++ == 0)
        memcpy(self->first_refused, self->head, self->head_bytes + 1);
    self->head_bytes = 0;
}
