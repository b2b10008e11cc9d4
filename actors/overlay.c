/* overlay.c - open addressing over offsets into the record's body */
#include "actors/overlay.h"

#include "protocol/ids.h"

#include <stdlib.h>

#define HASH_SEED UINT64_C(0x51ab77e1)
#define EMPTY     UINT32_MAX

typedef struct {
    uint32_t hash;
    uint32_t at; /* offset in body, or EMPTY */
} place_t;

struct overlay {
    const buffer_t *body;
    place_t *places; /* owned; capacity is a power of two, at most half full */
    uint32_t capacity, count;
};

overlay_t *overlay_new(const buffer_t *body)
{
    overlay_t *self = memory_zalloc(sizeof *self);
    self->body = body;
    self->capacity = 1024;
    self->places = memory_alloc(self->capacity * sizeof *self->places);
    memset(self->places, 0xff, self->capacity * sizeof *self->places);
    return self;
}

void overlay_destroy(overlay_t **self_p)
{
    overlay_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    free(self->places);
    free(self);
}

void overlay_clear(overlay_t *self)
{
    if (self->count == 0)
        return;
    memset(self->places, 0xff, self->capacity * sizeof *self->places);
    self->count = 0;
}

static bool write_at(const overlay_t *self, uint32_t at, row_write_t *out)
{
    size_t position = at;
    bool corrupt = false;
    return batch_next(self->body->bytes, self->body->size, &position, out, &corrupt);
}

static uint32_t hash_of(family_t family, const void *key, size_t key_bytes)
{
    return (uint32_t)hash64(HASH_SEED + (uint64_t)family, key, key_bytes);
}

/* The place that holds the key, or the empty one where it belongs. */
static place_t *locate(const overlay_t *self, uint32_t hash, family_t family, const void *key,
                       size_t key_bytes, row_write_t *out)
{
    for (uint32_t i = hash & (self->capacity - 1);; i = (i + 1) & (self->capacity - 1)) {
        place_t *place = &self->places[i];
        if (place->at == EMPTY)
            return place;
        if (place->hash == hash && write_at(self, place->at, out) && out->family == family &&
            out->key_bytes == key_bytes && memcmp(out->key, key, key_bytes) == 0)
            return place;
    }
}

static void grow(overlay_t *self)
{
    place_t *old = self->places;
    uint32_t old_capacity = self->capacity;
    self->capacity *= 2;
    self->places = memory_alloc(self->capacity * sizeof *self->places);
    memset(self->places, 0xff, self->capacity * sizeof *self->places);
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (old[i].at == EMPTY)
            continue;
        uint32_t j = old[i].hash & (self->capacity - 1);
        while (self->places[j].at != EMPTY)
            j = (j + 1) & (self->capacity - 1);
        self->places[j] = old[i];
    }
    free(old);
}

void overlay_note(overlay_t *self, size_t at)
{
    row_write_t write, found;
    bool read = write_at(self, (uint32_t)at, &write);
    INVARIANT(read);
    if (self->count * 2 >= self->capacity)
        grow(self);
    uint32_t hash = hash_of(write.family, write.key, write.key_bytes);
    place_t *place = locate(self, hash, write.family, write.key, write.key_bytes, &found);
    if (place->at == EMPTY)
        self->count++;
    place->hash = hash;
    place->at = (uint32_t)at;
}

bool overlay_find(const overlay_t *self, family_t family, const void *key, size_t key_bytes,
                  row_write_t *out)
{
    if (self->count == 0)
        return false;
    return locate(self, hash_of(family, key, key_bytes), family, key, key_bytes, out)->at != EMPTY;
}

void overlay_each(const overlay_t *self, family_t family, const void *prefix, size_t prefix_bytes,
                  void (*visit)(void *state, const row_write_t *write), void *state)
{
    for (uint32_t i = 0; i < self->capacity && self->count > 0; i++) {
        row_write_t write;
        if (self->places[i].at == EMPTY || !write_at(self, self->places[i].at, &write))
            continue;
        if (write.family == family && write.key_bytes >= prefix_bytes &&
            memcmp(write.key, prefix, prefix_bytes) == 0)
            visit(state, &write);
    }
}
