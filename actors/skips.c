/* skips.c - a short sorted list: it is looked at for every record, and nearly always empty */
#include "actors/skips.h"

#include "protocol/ids.h"
#include "protocol/pack.h"

#include <stdlib.h>

#define MARK_SEED UINT64_C(0x736b6970) /* of hash64 */

struct skips {
    size_t count;
    skip_t list[SKIPS_MAX];
};

skips_t *skips_new(void)
{
    return memory_zalloc(sizeof(skips_t));
}

void skips_destroy(skips_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static int compare(const skip_t *a, const skip_t *b)
{
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->crc > b->crc) - (a->crc < b->crc);
}

bool skips_add(skips_t *self, const skip_t *skip)
{
    size_t at = 0;

    while (at < self->count && compare(&self->list[at], skip) < 0)
        at++;
    if (self->count == SKIPS_MAX || (at < self->count && compare(&self->list[at], skip) == 0))
        return false;
    memmove(&self->list[at + 1], &self->list[at], (self->count - at) * sizeof self->list[0]);
    self->list[at] = *skip;
    self->count++;
    return true;
}

bool skips_have(const skips_t *self, uint16_t partition, uint64_t offset, uint32_t crc)
{
    const skip_t wanted = {.partition = partition, .offset = offset, .crc = crc};

    for (size_t i = 0; i < skips_count(self); i++) {
        if (compare(&self->list[i], &wanted) == 0)
            return true;
    }
    return false;
}

uint64_t skips_mark(const skips_t *self, uint16_t partition, uint64_t offset)
{
    uint64_t mark = 0;

    for (size_t i = 0; i < skips_count(self); i++) {
        uint8_t bytes[20];

        if (self->list[i].partition != partition || self->list[i].offset > offset)
            continue;
        be64_put(bytes, mark);
        be64_put(bytes + 8, self->list[i].offset);
        be32_put(bytes + 16, self->list[i].crc);
        mark = hash64(MARK_SEED, bytes, sizeof bytes);
    }
    return mark;
}

size_t skips_count(const skips_t *self)
{
    return self != NULL ? self->count : 0;
}

const skip_t *skips_at(const skips_t *self, size_t i)
{
    INVARIANT(i < skips_count(self));
    return &self->list[i];
}
