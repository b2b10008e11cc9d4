/* pending.c - table of places with a list of free ones */
#include "cluster/pending.h"

#include <stdlib.h>

#define PLACE_MASK ((uint64_t)PENDING_MAX - 1)
#define NO_PLACE   UINT32_MAX

struct pending {
    uint32_t count;
    uint32_t top; /* places below were used at least once */
    uint32_t free;
    pending_slot_t slots[PENDING_MAX];
};

static void release(pending_t *self, uint32_t place, pending_slot_t *taken);

pending_t *pending_new(void)
{
    pending_t *self = memory_zalloc(sizeof *self);

    self->free = NO_PLACE;
    return self;
}

void pending_destroy(pending_t **self_p)
{
    if (*self_p == NULL)
        return;
    INVARIANT((*self_p)->count == 0);
    free(*self_p);
    *self_p = NULL;
}

uint32_t pending_count(const pending_t *self)
{
    return self->count;
}

uint64_t pending_add(pending_t *self, request_t *request, bool query, uint64_t batch)
{
    uint32_t place = self->free;
    pending_slot_t *slot;

    INVARIANT(self->count < PENDING_MAX);
    if (place == NO_PLACE)
        place = self->top++;
    else
        self->free = self->slots[place].next_free;
    slot = &self->slots[place];
    slot->request = request;
    slot->query = query;
    slot->batch = batch;
    slot->uses++;
    self->count++;
    return slot->uses * PENDING_MAX + place;
}

bool pending_take(pending_t *self, uint64_t id, pending_slot_t *taken)
{
    uint32_t place = (uint32_t)(id & PLACE_MASK);

    if (self->slots[place].request == NULL || self->slots[place].uses != id / PENDING_MAX)
        return false;
    release(self, place, taken);
    return true;
}

bool pending_take_next(pending_t *self, uint32_t *at, int64_t now_us, uint64_t batch,
                       pending_slot_t *taken)
{
    for (; self->count > 0 && *at < self->top; (*at)++) {
        const pending_slot_t *slot = &self->slots[*at];

        if (slot->request == NULL || (batch != 0 && slot->batch != batch) ||
            (now_us != INT64_MAX && slot->request->deadline_us > now_us))
            continue;
        release(self, (*at)++, taken);
        return true;
    }
    return false;
}

static void release(pending_t *self, uint32_t place, pending_slot_t *taken)
{
    pending_slot_t *slot = &self->slots[place];

    *taken = *slot;
    slot->request = NULL;
    slot->next_free = self->free;
    self->free = place;
    self->count--;
}
