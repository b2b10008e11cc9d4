/* adoptions.c - a short list in the order of the control channel; nearly always empty */
#include "actors/adoptions.h"

#include "protocol/pack.h"

#include <stdlib.h>

struct adoptions {
    size_t count;
    adoption_t list[ADOPTIONS_MAX];
};

adoptions_t *adoptions_new(void)
{
    return memory_zalloc(sizeof(adoptions_t));
}

void adoptions_destroy(adoptions_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static const adoption_t *find_fresh(const adoptions_t *self, uint16_t partition,
                                    const hash_t *history)
{
    for (size_t i = adoptions_count(self); i-- > 0;) {
        const adoption_t *adoption = &self->list[i];
        if (adoption->partition == partition && hash_equal(&adoption->fresh, history))
            return adoption;
    }
    return NULL;
}

static bool is_zero(const hash_t *history)
{
    return uuid_is_zero((const uuid16_t *)history->bytes);
}

bool adoptions_add(adoptions_t *self, const adoption_t *adoption)
{
    const adoption_t *latest = adoptions_latest(self, adoption->partition);

    if (self->count == ADOPTIONS_MAX || is_zero(&adoption->fresh) || is_zero(&adoption->old) ||
        is_zero(&adoption->image) || hash_equal(&adoption->fresh, &adoption->old) ||
        hash_equal(&adoption->fresh, &adoption->image) ||
        adoptions_replaced(self, adoption->partition, &adoption->fresh) ||
        (latest != NULL && !hash_equal(&latest->fresh, &adoption->old)))
        return false;
    self->list[self->count++] = *adoption;
    return true;
}

const adoption_t *adoptions_latest(const adoptions_t *self, uint16_t partition)
{
    for (size_t i = adoptions_count(self); i-- > 0;) {
        if (self->list[i].partition == partition)
            return &self->list[i];
    }
    return NULL;
}

bool adoptions_replaced(const adoptions_t *self, uint16_t partition, const hash_t *history)
{
    for (size_t i = 0; i < adoptions_count(self); i++) {
        const adoption_t *adoption = &self->list[i];
        if (adoption->partition == partition &&
            (hash_equal(&adoption->old, history) || hash_equal(&adoption->image, history)))
            return true;
    }
    return false;
}

/* Ends: an adoption's image is never of a history that came after it. */
size_t adoptions_between(const adoptions_t *self, uint16_t partition, const hash_t *fresh,
                         const hash_t *older)
{
    const adoption_t *adoption = find_fresh(self, partition, fresh);

    for (size_t steps = 1; adoption != NULL && steps <= ADOPTIONS_MAX; steps++) {
        if (hash_equal(&adoption->image, older))
            return steps;
        adoption = find_fresh(self, partition, &adoption->image);
    }
    return 0;
}

size_t adoptions_count(const adoptions_t *self)
{
    return self != NULL ? self->count : 0;
}

const adoption_t *adoptions_at(const adoptions_t *self, size_t i)
{
    INVARIANT(i < adoptions_count(self));
    return &self->list[i];
}
