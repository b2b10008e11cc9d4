/* buffer.c - growing buffers and arenas, both with a maximum */
#include "protocol/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_FIRST_BYTES 256
#define ARENA_FIRST_BYTES  4096
#define ARENA_ALIGN        16

/* The memory handed out follows the header; alignas keeps it on a 16-byte boundary. */
struct arena_block {
    _Alignas(ARENA_ALIGN) arena_block_t *next; /* owned */
    size_t size;                               /* bytes behind the header */
    size_t used;
};

static _Noreturn void memory_is_out(size_t bytes);
static arena_block_t *block_new(size_t bytes);
static void blocks_free(arena_block_t *first);
static arena_block_t *block_for(arena_t *self, size_t bytes);

void buffer_init(buffer_t *self, size_t max)
{
    *self = (buffer_t){.max = max};
}

void buffer_free(buffer_t *self)
{
    free(self->bytes);
    *self = (buffer_t){.max = self->max};
}

bool buffer_reserve(buffer_t *self, size_t more)
{
    size_t capacity;

    if (self->failed)
        return false;
    if (more > self->max || self->size > self->max - more) {
        self->failed = true;
        /* No room counts as left, so that shorter writes after this one are dropped as well. The
         * memory stays; the next reserve after a reset grows it again. */
        self->capacity = self->size;
        return false;
    }
    if (self->capacity - self->size >= more)
        return true;
    capacity = self->capacity < BUFFER_FIRST_BYTES / 2 ? BUFFER_FIRST_BYTES / 2 : self->capacity;
    do {
        capacity = capacity > self->max / 2 ? self->max : capacity * 2;
    } while (capacity < self->size + more);
    self->bytes = memory_realloc(self->bytes, capacity);
    self->capacity = capacity;
    return true;
}

void buffer_printf(buffer_t *self, const char *format, ...)
{
    va_list args;
    size_t room = self->failed ? 0 : self->capacity - self->size;
    char nothing[1];
    char *at = room > 0 ? (char *)self->bytes + self->size : nothing;
    int wanted;

    va_start(args, format);
    wanted = vsnprintf(at, room, format, args);
    va_end(args);
    if (wanted < 0) {
        self->failed = true;
        self->capacity = self->size;
        return;
    }
    if ((size_t)wanted < room) {
        self->size += (size_t)wanted;
        return;
    }
    /* One more byte for the NUL that vsnprintf writes; it is not counted as content. */
    char *text = memory_alloc((size_t)wanted + 1);
    va_start(args, format);
    wanted = vsnprintf(text, (size_t)wanted + 1, format, args);
    va_end(args);
    if (wanted > 0)
        buffer_append(self, text, (size_t)wanted);
    free(text);
}

void arena_init(arena_t *self, size_t max)
{
    *self = (arena_t){.max = max};
}

/* Several blocks become one of the same size: the next round of equal work then needs no malloc. */
void arena_reset(arena_t *self)
{
    if (self->first != NULL && self->first->next != NULL) {
        size_t total = 0;

        for (const arena_block_t *block = self->first; block != NULL; block = block->next)
            total += block->size;
        blocks_free(self->first);
        self->first = block_new(total);
    }
    if (self->first != NULL)
        self->first->used = 0;
    self->current = self->first;
    self->used = 0;
}

void arena_free(arena_t *self)
{
    blocks_free(self->first);
    *self = (arena_t){.max = self->max};
}

void *arena_alloc(arena_t *self, size_t bytes)
{
    arena_block_t *block = self->current;
    size_t rounded;

    if (bytes > self->max)
        return NULL;
    rounded = bytes == 0 ? ARENA_ALIGN : (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (block == NULL || block->size - block->used < rounded) {
        block = block_for(self, rounded);
        if (block == NULL)
            return NULL;
    }
    void *memory = (uint8_t *)(block + 1) + block->used;
    block->used += rounded;
    self->used += rounded;
    return memory;
}

char *arena_copy(arena_t *self, const char *text, size_t bytes)
{
    char *copy = bytes < SIZE_MAX ? arena_alloc(self, bytes + 1) : NULL;

    if (copy == NULL)
        return NULL;
    if (bytes > 0)
        memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

void *memory_alloc(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);

    if (memory == NULL)
        memory_is_out(bytes);
    return memory;
}

void *memory_zalloc(size_t bytes)
{
    void *memory = calloc(1, bytes > 0 ? bytes : 1);

    if (memory == NULL)
        memory_is_out(bytes);
    return memory;
}

void *memory_realloc(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes > 0 ? bytes : 1);

    if (memory == NULL)
        memory_is_out(bytes);
    return memory;
}

static _Noreturn void memory_is_out(size_t bytes)
{
    (void)fprintf(stderr, "out of memory: %zu bytes were asked for and not given\n", bytes);
    (void)fflush(stderr);
    abort();
}

static arena_block_t *block_new(size_t bytes)
{
    arena_block_t *block = memory_alloc(sizeof *block + bytes);

    block->next = NULL;
    block->size = bytes;
    block->used = 0;
    return block;
}

static void blocks_free(arena_block_t *first)
{
    while (first != NULL) {
        arena_block_t *next = first->next;

        free(first);
        first = next;
    }
}

/* A further block behind the current one, twice as large, as far as the maximum leaves room. The
 * rest of the current block stays unused, so all blocks together never exceed the maximum. */
static arena_block_t *block_for(arena_t *self, size_t bytes)
{
    size_t total = 0;
    size_t wanted;

    if (self->current != NULL && self->current == self->first && self->current->used == 0) {
        /* Kept from before the reset and too small for this request: give it back instead. */
        blocks_free(self->first);
        self->first = NULL;
        self->current = NULL;
    }
    for (const arena_block_t *block = self->first; block != NULL; block = block->next)
        total += block->size;
    if (bytes > self->max - total)
        return NULL;
    wanted = self->current == NULL ? ARENA_FIRST_BYTES : self->current->size * 2;
    if (wanted < bytes)
        wanted = bytes;
    if (wanted > self->max - total)
        wanted = self->max - total;
    wanted &= ~(size_t)(ARENA_ALIGN - 1);
    if (wanted < bytes)
        return NULL;
    arena_block_t *block = block_new(wanted);
    if (self->current == NULL)
        self->first = block;
    else
        self->current->next = block;
    self->current = block;
    return block;
}
