/* buffer.h - bounded growing bytes, and an arena that is reset per request or batch
 *
 * Contract   A buffer grows by doubling up to its maximum; past it `failed` is set and stays set, writes
 *            are dropped, and the owner checks once at the end. An arena hands out memory until reset; it
 *            keeps its largest blocks, up to its maximum.
 * Threads    One thread at a time.
 * Ownership  The struct owns its memory; buffer_free / arena_free release it and leave a usable empty one.
 * Units      Bytes.
 * Errors     buffer.failed; arena_alloc returns NULL past the maximum. Running out of memory ends the process.
 */
#ifndef FEALTY_BUFFER_H
#define FEALTY_BUFFER_H

#include "protocol/compiler.h"

#include <string.h>

typedef struct {
    uint8_t *bytes; /* owned */
    size_t size;
    size_t capacity;
    size_t max;
    bool failed;
} buffer_t;

void buffer_init(buffer_t *self, size_t max);
void buffer_free(buffer_t *self);
bool buffer_reserve(buffer_t *self,
                    size_t more); /* room for `more` further bytes; false sets failed */
void buffer_printf(buffer_t *self, const char *format, ...) PRINTF_LIKE(2, 3);

static inline void buffer_reset(buffer_t *self)
{
    self->size = 0;
    self->failed = false;
}
static inline void buffer_append(buffer_t *self, const void *bytes, size_t n)
{
    if (UNLIKELY(self->capacity - self->size < n) && !buffer_reserve(self, n))
        return;
    if (n > 0)
        memcpy(self->bytes + self->size, bytes, n);
    self->size += n;
}
static inline void buffer_byte(buffer_t *self, uint8_t byte)
{
    buffer_append(self, &byte, 1);
}
static inline void buffer_text(buffer_t *self, const char *text)
{
    buffer_append(self, text, strlen(text));
}

typedef struct arena_block arena_block_t;
typedef struct {
    arena_block_t *first; /* owned */
    arena_block_t *current;
    size_t used; /* in all blocks */
    size_t max;
} arena_t;

void arena_init(arena_t *self, size_t max);
void arena_reset(arena_t *self);
void arena_free(arena_t *self);
void *arena_alloc(arena_t *self, size_t bytes);                  /* aligned to 16 */
char *arena_copy(arena_t *self, const char *text, size_t bytes); /* NUL-terminated copy */

/* malloc that ends the process with a sentence when there is no memory. */
void *memory_alloc(size_t bytes);
void *memory_zalloc(size_t bytes);
void *memory_realloc(void *old, size_t bytes);

#endif
