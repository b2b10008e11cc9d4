/* row_cache.c - chained hash table with a clock hand over a fixed array of places */
#include "actors/row_cache.h"

#include "protocol/buffer.h"

#include <stdlib.h>

#define KEY_BYTES_MAX 32
#define HASH_SEED     UINT64_C(0x9d5f1ac3)
#define NOWHERE       UINT32_MAX

typedef struct {
    uint8_t *value; /* owned; NULL: the place is free */
    uint32_t value_bytes, value_capacity;
    uint32_t next; /* in its bucket's chain, or in the list of free places */
    uint32_t hash;
    uint8_t key[KEY_BYTES_MAX];
    uint8_t key_bytes;
    bool used; /* since the hand last passed */
} place_t;

struct row_cache {
    place_t *places;   /* owned */
    uint32_t *buckets; /* owned; power of two */
    uint32_t bucket_mask, rows_max, hand, free;
    size_t bytes, bytes_max;
};

row_cache_t *row_cache_new(uint32_t rows_max, size_t bytes_max)
{
    row_cache_t *self = memory_zalloc(sizeof *self);
    uint32_t buckets = 1024;

    INVARIANT(rows_max > 0);
    while (buckets < rows_max)
        buckets *= 2;
    self->rows_max = rows_max;
    self->bytes_max = bytes_max;
    self->bucket_mask = buckets - 1;
    self->buckets = memory_alloc(buckets * sizeof *self->buckets);
    self->places = memory_zalloc(rows_max * sizeof *self->places);
    row_cache_clear(self);
    return self;
}

void row_cache_destroy(row_cache_t **self_p)
{
    row_cache_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    for (uint32_t i = 0; i < self->rows_max; i++)
        free(self->places[i].value);
    free(self->places);
    free(self->buckets);
    free(self);
}

void row_cache_clear(row_cache_t *self)
{
    memset(self->buckets, 0xff, ((size_t)self->bucket_mask + 1) * sizeof *self->buckets);
    for (uint32_t i = 0; i < self->rows_max; i++) {
        free(self->places[i].value);
        self->places[i].value = NULL;
        self->places[i].next = i + 1 < self->rows_max ? i + 1 : NOWHERE;
    }
    self->free = 0;
    self->bytes = 0;
}

static uint32_t find(const row_cache_t *self, uint32_t hash, const uint8_t *key, size_t key_bytes)
{
    uint32_t at = self->buckets[hash & self->bucket_mask];
    while (at != NOWHERE) {
        const place_t *place = &self->places[at];
        if (place->hash == hash && place->key_bytes == key_bytes &&
            memcmp(place->key, key, key_bytes) == 0)
            return at;
        at = place->next;
    }
    return NOWHERE;
}

static void release(row_cache_t *self, uint32_t at)
{
    place_t *place = &self->places[at];
    uint32_t *link = &self->buckets[place->hash & self->bucket_mask];
    while (*link != at)
        link = &self->places[*link].next;
    *link = place->next;
    self->bytes -= place->value_capacity;
    free(place->value);
    place->value = NULL;
    place->next = self->free;
    self->free = at;
}

/* Moves the hand to a row that was not used since it last passed, and frees its place. */
static void evict_one(row_cache_t *self)
{
    for (;;) {
        uint32_t at = self->hand;
        self->hand = at + 1 < self->rows_max ? at + 1 : 0;
        place_t *place = &self->places[at];
        if (place->value == NULL)
            continue;
        if (!place->used) {
            release(self, at);
            return;
        }
        place->used = false;
    }
}

const uint8_t *row_cache_get(row_cache_t *self, const uint8_t *key, size_t key_bytes, size_t *n)
{
    uint32_t hash = (uint32_t)hash64(HASH_SEED, key, key_bytes);
    uint32_t at = find(self, hash, key, key_bytes);
    if (at == NOWHERE)
        return NULL;
    self->places[at].used = true;
    *n = self->places[at].value_bytes;
    return self->places[at].value;
}

void row_cache_put(row_cache_t *self, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                   size_t n)
{
    INVARIANT(key_bytes <= KEY_BYTES_MAX);
    uint32_t hash = (uint32_t)hash64(HASH_SEED, key, key_bytes);
    uint32_t at = find(self, hash, key, key_bytes);
    if (n > self->bytes_max / 8) { /* one giant must not empty the cache */
        if (at != NOWHERE)
            release(self, at);
        return;
    }
    if (at == NOWHERE) {
        if (self->free == NOWHERE)
            evict_one(self);
        at = self->free;
        place_t *fresh = &self->places[at];
        self->free = fresh->next;
        fresh->hash = hash;
        fresh->key_bytes = (uint8_t)key_bytes;
        memcpy(fresh->key, key, key_bytes);
        fresh->value_capacity = 0;
        fresh->value = NULL;
        fresh->next = self->buckets[hash & self->bucket_mask];
        self->buckets[hash & self->bucket_mask] = at;
    }
    place_t *place = &self->places[at];
    if (place->value == NULL || place->value_capacity < n) {
        uint32_t capacity = (uint32_t)((n + n / 4 + 63) & ~(size_t)63);
        self->bytes += capacity - place->value_capacity;
        place->value = memory_realloc(place->value, capacity);
        place->value_capacity = capacity;
    }
    memcpy(place->value, value, n);
    place->value_bytes = (uint32_t)n;
    place->used = true;
    while (self->bytes > self->bytes_max)
        evict_one(self);
}

void row_cache_remove(row_cache_t *self, const uint8_t *key, size_t key_bytes)
{
    uint32_t at = find(self, (uint32_t)hash64(HASH_SEED, key, key_bytes), key, key_bytes);
    if (at != NOWHERE)
        release(self, at);
}
