/* linear.c - the search of linear.h: all ways that the answers so far leave, moved on from answer to answer
 *
 * Nothing happens at a call: an effect is placed as late as the answers allow. At an answer each way in which the call
 * has not had its effect is continued by effects of open calls, in every order, until it has.
 */
#include "tests/sim/linear.h"

#include "protocol/buffer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_EMPTY UINT32_MAX
#define TABLE_SIZE  32768 /* above twice LINEAR_WAYS_MAX */

/* One way: which open calls have had their effect, and the account then. */
typedef struct {
    uint128_t done; /* by slot */
    int64_t balance;
    uint64_t order; /* of the last effect that has one */
    uint8_t status;
    bool exists;
} way_t;

typedef struct {
    way_t *ways; /* owned */
    size_t count, capacity;
    uint32_t *table;                  /* owned: index of a way, open addressing */
    size_t used[LINEAR_WAYS_MAX + 1]; /* places of the table to clear */
} ways_t;

typedef struct {
    const linear_op_t *ops;
    size_t count;
    const linear_op_t *open[LINEAR_OPEN_MAX]; /* by slot; NULL: free */
    ways_t *now, *next;                       /* owned */
} search_t;

typedef struct {
    uint64_t at;
    size_t op;
    bool is_answer;
} tick_t;

/* ---- sets of ways ---- */

static ways_t *ways_new(void)
{
    ways_t *self = memory_zalloc(sizeof *self);

    self->table = memory_alloc(TABLE_SIZE * sizeof *self->table);
    memset(self->table, 0xff, TABLE_SIZE * sizeof *self->table);
    return self;
}

static void ways_free(ways_t *self)
{
    free(self->ways);
    free(self->table);
    free(self);
}

static void ways_clear(ways_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        self->table[self->used[i]] = SLOTS_EMPTY;
    self->count = 0;
}

static bool same_way(const way_t *a, const way_t *b)
{
    return a->done == b->done && a->order == b->order && a->balance == b->balance &&
           a->status == b->status && a->exists == b->exists;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* false: there are too many. */
static bool ways_add(ways_t *self, const way_t *way)
{
    uint64_t account = (uint64_t)way->balance * 4 + way->status * 2 + way->exists;
    uint64_t hash = mix((uint64_t)way->done ^ mix((uint64_t)(way->done >> 64) ^ mix(account)));
    size_t at = hash % TABLE_SIZE;

    for (; self->table[at] != SLOTS_EMPTY; at = (at + 1) % TABLE_SIZE)
        if (same_way(&self->ways[self->table[at]], way))
            return true;
    if (self->count == LINEAR_WAYS_MAX)
        return false;
    if (self->count == self->capacity) {
        self->capacity = self->capacity > 0 ? self->capacity * 2 : 64;
        self->ways = memory_realloc(self->ways, self->capacity * sizeof *self->ways);
    }
    self->table[at] = (uint32_t)self->count;
    self->used[self->count] = at;
    self->ways[self->count++] = *way;
    return true;
}

/* ---- effects ---- */

static bool changes_nothing(const linear_op_t *op)
{
    return op->kind >= LINEAR_READ;
}

/* What only looks: would it see this? */
static bool sees(const linear_op_t *op, const way_t *way)
{
    bool balance = !op->after_known || way->balance == op->after;

    switch (op->kind) {
    case LINEAR_READ: return way->exists && balance;
    case LINEAR_NOTHING: return !way->exists;
    case LINEAR_SHORT: return way->exists && balance && way->balance < op->least;
    case LINEAR_REFUSED: return way->exists && way->status != 0;
    default: return false;
    }
}

/* Its turn among those whose order is known: none before it is left, and none behind it was taken. */
static bool is_next(const search_t *self, const linear_op_t *op, const way_t *way)
{
    if (op->order == 0)
        return true;
    if (op->order <= way->order)
        return false;
    for (unsigned slot = 0; slot < LINEAR_OPEN_MAX; slot++)
        if (self->open[slot] != NULL && self->open[slot]->order != 0 &&
            self->open[slot]->order < op->order && (way->done & (uint128_t)1 << slot) == 0)
            return false;
    return true;
}

/* The effect of the call in this slot; false: it has had it, or would have answered otherwise. */
static bool take_effect(const search_t *self, unsigned slot, way_t *way)
{
    const linear_op_t *op = self->open[slot];
    uint128_t bit = (uint128_t)1 << slot;

    if (!is_next(self, op, way))
        return false;
    if ((way->done & bit) != 0)
        return false;
    way->done |= bit;
    if (op->order != 0)
        way->order = op->order;
    switch (op->kind) {
    case LINEAR_ENROL:
        if (way->exists)
            return false;
        way->exists = true;
        way->balance = op->delta;
        return true;
    case LINEAR_CHANGE:
        way->balance += op->delta;
        return way->exists && (!op->after_known || way->balance == op->after);
    case LINEAR_STATUS: way->status = op->status; return way->exists;
    default: return sees(op, way);
    }
}

/* Who only looks and sees what it said it saw has looked: later would do no better. */
static void let_look(const search_t *self, way_t *way)
{
    for (unsigned slot = 0; slot < LINEAR_OPEN_MAX; slot++)
        if (self->open[slot] != NULL && changes_nothing(self->open[slot]) &&
            sees(self->open[slot], way))
            way->done |= (uint128_t)1 << slot;
}

/* ---- the search ---- */

static linear_verdict_t on_answer(search_t *self, unsigned slot)
{
    uint128_t bit = (uint128_t)1 << slot;

    ways_clear(self->next);
    /* self->now grows while it is walked. */
    for (size_t i = 0; i < self->now->count; i++) {
        way_t way = self->now->ways[i];
        let_look(self, &way);
        if ((way.done & bit) != 0) {
            way.done &= ~bit;
            if (!ways_add(self->next, &way))
                return LINEAR_UNDECIDED;
            continue;
        }
        for (unsigned k = 0; k < LINEAR_OPEN_MAX; k++) {
            way_t on = way;
            if (self->open[k] == NULL || changes_nothing(self->open[k]) ||
                !take_effect(self, k, &on))
                continue;
            if (!ways_add(self->now, &on))
                return LINEAR_UNDECIDED;
        }
    }
    ways_t *swap = self->now;
    self->now = self->next;
    self->next = swap;
    self->open[slot] = NULL;
    return self->now->count > 0 ? LINEAR_HOLDS : LINEAR_FAILS;
}

static int compare_ticks(const void *a, const void *b)
{
    uint64_t x = ((const tick_t *)a)->at, y = ((const tick_t *)b)->at;
    return x < y ? -1 : x > y;
}

static void describe(const linear_op_t *op, char *why, size_t why_bytes)
{
    snprintf(why, why_bytes,
             "nothing explains the answer to %s (called %" PRIu64 ", answered %" PRIu64
             ", balance %s%" PRId64 ")",
             op->name != NULL ? op->name : "a call", op->called, op->answered,
             op->after_known ? "" : "unknown ", op->after);
}

static linear_verdict_t run(search_t *self, const tick_t *ticks, size_t count, char *why,
                            size_t why_bytes)
{
    uint8_t *slot_of = memory_zalloc(self->count > 0 ? self->count : 1);
    linear_verdict_t verdict = LINEAR_HOLDS;

    for (size_t i = 0; i < count && verdict == LINEAR_HOLDS; i++) {
        const linear_op_t *op = &self->ops[ticks[i].op];
        if (ticks[i].is_answer) {
            verdict = on_answer(self, slot_of[ticks[i].op]);
            if (verdict == LINEAR_FAILS)
                describe(op, why, why_bytes);
            else if (verdict == LINEAR_UNDECIDED)
                snprintf(why, why_bytes, "more than %d ways", LINEAR_WAYS_MAX);
            continue;
        }
        unsigned slot = 0;
        while (slot < LINEAR_OPEN_MAX && self->open[slot] != NULL)
            slot++;
        if (slot == LINEAR_OPEN_MAX) {
            snprintf(why, why_bytes, "more than %d open calls", LINEAR_OPEN_MAX);
            verdict = LINEAR_UNDECIDED;
            continue;
        }
        self->open[slot] = op;
        slot_of[ticks[i].op] = (uint8_t)slot;
    }
    free(slot_of);
    return verdict;
}

linear_verdict_t linear_check(const linear_op_t *ops, size_t count, char *why, size_t why_bytes)
{
    search_t self = {.ops = ops, .count = count, .now = ways_new(), .next = ways_new()};
    tick_t *ticks = memory_alloc((2 * count + 1) * sizeof *ticks);
    size_t n = 0;
    way_t first = {.exists = false};

    for (size_t i = 0; i < count; i++) {
        /* Who only looked and never told has nothing to be proved. */
        if (ops[i].answered == LINEAR_NEVER && changes_nothing(&ops[i]))
            continue;
        ticks[n++] = (tick_t){.at = ops[i].called, .op = i};
        if (ops[i].answered != LINEAR_NEVER)
            ticks[n++] = (tick_t){.at = ops[i].answered, .op = i, .is_answer = true};
    }
    qsort(ticks, n, sizeof *ticks, compare_ticks);
    (void)ways_add(self.now, &first);
    linear_verdict_t verdict = run(&self, ticks, n, why, why_bytes);
    free(ticks);
    ways_free(self.now);
    ways_free(self.next);
    return verdict;
}
