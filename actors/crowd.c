/* crowd.c - a small open hash table that is emptied by counting up */
#include "actors/crowd.h"

#define PROBES 8

uint64_t crowd_key(const command_t *command)
{
    uint64_t halves[2];

    if (command->account != 0)
        return command->account;
    if (uuid_is_zero(&command->customer))
        return 0;
    /* Not kept anywhere, so it may mix as it likes; above the ids, which are below 2^53. */
    memcpy(halves, command->customer.bytes, sizeof halves);
    return (halves[0] * UINT64_C(0x9e3779b97f4a7c15) ^ halves[1] ^
            command->program * UINT64_C(0xbf58476d1ce4e5b9)) |
           UINT64_C(1) << 63;
}

static size_t place_of_key(uint64_t key)
{
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 54);
}
_Static_assert(CROWD_PLACES == 1 << 10, "ten bits of a product choose the place");

/* Its place, or the first empty one; NULL: neither is near. Within a life places are only taken, never left. */
static const crowd_place_t *look(const crowd_t *self, uint64_t key)
{
    for (size_t i = 0; i < PROBES; i++) {
        const crowd_place_t *place = &self->places[(place_of_key(key) + i) & (CROWD_PLACES - 1)];
        if (place->life != self->life || place->count == 0 || place->key == key)
            return place;
    }
    return NULL;
}

uint32_t crowd_count(const crowd_t *self, uint64_t key)
{
    const crowd_place_t *place = look(self, key);

    return place != NULL && place->life == self->life ? place->count : 0;
}

void crowd_add(crowd_t *self, uint64_t key)
{
    crowd_place_t *place = (crowd_place_t *)(uintptr_t)look(self, key);

    if (place == NULL)
        return;
    if (place->life != self->life)
        *place = (crowd_place_t){.key = key, .life = self->life};
    place->key = key;
    place->count++;
}

void crowd_clear(crowd_t *self)
{
    if (++self->life == 0) /* once in four thousand million rounds old marks would look new */
        memset(self, 0, sizeof *self);
}
