/* throttle.c - failed logins by name, in a table of fixed size */
#include "http/throttle.h"

#include "protocol/buffer.h"
#include "protocol/ids.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS        1024
#define WAYS           4
#define FORGET_US      (INT64_C(15) * 60 * 1000000)
#define PAUSE_FIRST_US (INT64_C(4) * 1000000)
#define PAUSE_MAX_US   (INT64_C(300) * 1000000)

typedef struct {
    uint64_t name; /* keyed hash; 0 = free */
    uint32_t failures;
    int64_t last_us;
} place_t;

struct throttle {
    pthread_mutex_t mutex; /* protects places */
    uint64_t seed;         /* so that nobody can aim at a bucket */
    uint32_t limit;
    place_t places[BUCKETS][WAYS];
};

static place_t *find(throttle_t *self, uint64_t name);

throttle_t *throttle_new(uint32_t limit, const random_source_t *random)
{
    throttle_t *self = memory_zalloc(sizeof *self);

    self->limit = limit;
    random_fill(random, &self->seed, sizeof self->seed);
    INVARIANT(pthread_mutex_init(&self->mutex, NULL) == 0);
    return self;
}

void throttle_destroy(throttle_t **self_p)
{
    if (*self_p == NULL)
        return;
    pthread_mutex_destroy(&(*self_p)->mutex);
    free(*self_p);
    *self_p = NULL;
}

bool throttle_try(throttle_t *self, const void *name, size_t bytes, int64_t now_us,
                  int64_t *wait_us)
{
    uint64_t hash = hash64(self->seed, name, bytes) | 1;
    place_t *place;
    bool go = true;

    *wait_us = 0;
    pthread_mutex_lock(&self->mutex);
    place = find(self, hash);
    if (place->name != hash || now_us - place->last_us > FORGET_US)
        *place = (place_t){.name = hash};
    if (place->failures >= self->limit) {
        uint32_t beyond = place->failures - self->limit;
        int64_t pause = beyond > 6 ? PAUSE_MAX_US : PAUSE_FIRST_US << beyond;

        if (pause > PAUSE_MAX_US)
            pause = PAUSE_MAX_US;
        if (place->last_us + pause > now_us) {
            *wait_us = place->last_us + pause - now_us;
            go = false;
        }
    }
    if (go) {
        place->failures++;
        place->last_us = now_us;
    }
    pthread_mutex_unlock(&self->mutex);
    return go;
}

void throttle_good(throttle_t *self, const void *name, size_t bytes, bool all)
{
    uint64_t hash = hash64(self->seed, name, bytes) | 1;
    place_t *place;

    pthread_mutex_lock(&self->mutex);
    place = find(self, hash);
    if (place->name == hash && place->failures > 0)
        place->failures = all ? 0 : place->failures - 1;
    pthread_mutex_unlock(&self->mutex);
}

/* The place of a name, or the one it may take: free or quiet longest. */
static place_t *find(throttle_t *self, uint64_t name)
{
    place_t *bucket = self->places[(name >> 1) % BUCKETS];
    place_t *best = &bucket[0];

    for (int i = 0; i < WAYS; i++) {
        if (bucket[i].name == name)
            return &bucket[i];
        if (bucket[i].name == 0 ? best->name != 0
                                : best->name != 0 && bucket[i].last_us < best->last_us)
            best = &bucket[i];
    }
    return best;
}
