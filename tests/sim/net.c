/* net.c - letters on their way, earliest first */
#include "tests/sim/net.h"

#include "protocol/buffer.h"

#include <stdlib.h>

static bool earlier(const letter_t *a, const letter_t *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void push(net_t *self, letter_t letter)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity > 0 ? self->capacity * 2 : 64;
        self->letters = memory_realloc(self->letters, self->capacity * sizeof *self->letters);
    }
    size_t i = self->count++;
    while (i > 0 && earlier(&letter, &self->letters[(i - 1) / 2])) {
        self->letters[i] = self->letters[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    self->letters[i] = letter;
}

static void fly(net_t *self, int64_t now_us, const letter_t *letter, const void *bytes)
{
    letter_t copy = *letter;

    copy.at_us = now_us + dice_span(&self->dice, 50, self->faults.delay_max_us);
    if (dice_chance(&self->dice, self->faults.slow_ppm))
        copy.at_us += dice_span(&self->dice, 0, self->faults.slow_max_us);
    copy.order = ++self->order;
    copy.bytes = memory_alloc(copy.n > 0 ? copy.n : 1);
    memcpy(copy.bytes, bytes, copy.n);
    push(self, copy);
}

void net_send(net_t *self, int64_t now_us, size_t from, size_t to, uint16_t partition,
              const void *bytes, size_t n)
{
    letter_t letter = {.from = from, .to = to, .partition = partition, .n = n};

    if (from != to && (self->cut[from][to] || dice_chance(&self->dice, self->faults.drop_ppm)))
        return;
    fly(self, now_us, &letter, bytes);
    if (dice_chance(&self->dice, self->faults.double_ppm))
        fly(self, now_us, &letter, bytes);
}

bool net_take(net_t *self, int64_t now_us, letter_t *out)
{
    if (self->count == 0 || self->letters[0].at_us > now_us)
        return false;
    *out = self->letters[0];
    letter_t last = self->letters[--self->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= self->count)
            break;
        if (child + 1 < self->count && earlier(&self->letters[child + 1], &self->letters[child]))
            child++;
        if (!earlier(&self->letters[child], &last))
            break;
        self->letters[i] = self->letters[child];
        i = child;
    }
    if (self->count > 0)
        self->letters[i] = last;
    return true;
}

int64_t net_next_us(const net_t *self)
{
    return self->count > 0 ? self->letters[0].at_us : INT64_MAX;
}

void net_init(net_t *self, uint64_t seed)
{
    *self = (net_t){.dice.state = seed, .faults.delay_max_us = 1000};
}

void net_free(net_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->letters[i].bytes);
    free(self->letters);
}
