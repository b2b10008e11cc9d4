/* session.c - a set-associative table of sessions */
#include "http/session.h"

#include "protocol/pack.h"

#include <pthread.h>
#include <stdlib.h>

#define STRIPES 64
#define WAYS    8
#define ENDED_KEPT_US \
    (INT64_C(15) * 60 * 1000000) /* far longer than a look-up or a message can be under way */

typedef struct {
    hash_t token;
    http_session_t session;
    int64_t claimed_us;
    session_state_t state; /* SESSION_UNKNOWN: free */
} place_t;

struct session_table {
    pthread_rwlock_t locks[STRIPES]; /* lock i protects all buckets with number % STRIPES == i */
    size_t buckets;                  /* power of two */
    place_t *places;                 /* owned; buckets * WAYS */
};

static place_t *bucket_of(session_table_t *self, const hash_t *token, pthread_rwlock_t **lock);
static place_t *place_of(place_t *bucket, const hash_t *token);
static place_t *place_to_take(place_t *bucket, int64_t now_us);

session_table_t *session_table_new(size_t sessions_max)
{
    session_table_t *self = memory_zalloc(sizeof *self);

    self->buckets = STRIPES;
    while (self->buckets * WAYS < sessions_max)
        self->buckets *= 2;
    self->places = memory_zalloc(self->buckets * WAYS * sizeof *self->places);
    for (int i = 0; i < STRIPES; i++)
        INVARIANT(pthread_rwlock_init(&self->locks[i], NULL) == 0);
    return self;
}

void session_table_destroy(session_table_t **self_p)
{
    session_table_t *self = *self_p;

    if (self == NULL)
        return;
    for (int i = 0; i < STRIPES; i++)
        pthread_rwlock_destroy(&self->locks[i]);
    free(self->places);
    free(self);
    *self_p = NULL;
}

session_state_t session_table_find(session_table_t *self, const hash_t *token, int64_t now_us,
                                   http_session_t *out)
{
    pthread_rwlock_t *lock;
    place_t *bucket = bucket_of(self, token, &lock);
    session_state_t state = SESSION_UNKNOWN;
    const place_t *place;

    pthread_rwlock_rdlock(lock);
    place = place_of(bucket, token);
    if (place != NULL && (place->state == SESSION_ENDED || now_us < place->session.expires_us)) {
        state = place->state;
        *out = place->session;
    }
    pthread_rwlock_unlock(lock);
    return state;
}

void session_table_put(session_table_t *self, const hash_t *token, const http_session_t *session,
                       int64_t now_us)
{
    pthread_rwlock_t *lock;
    place_t *bucket = bucket_of(self, token, &lock);
    place_t *place;

    pthread_rwlock_wrlock(lock);
    place = place_of(bucket, token);
    if (place == NULL) {
        place = place_to_take(bucket, now_us);
        *place = (place_t){.token = *token, .session = *session, .state = SESSION_LIVE};
    } else if (place->state == SESSION_LIVE && session->expires_us > place->session.expires_us) {
        place->session = *session;
    }
    pthread_rwlock_unlock(lock);
}

void session_table_end(session_table_t *self, const hash_t *token, int64_t now_us)
{
    pthread_rwlock_t *lock;
    place_t *bucket = bucket_of(self, token, &lock);
    place_t *place;

    pthread_rwlock_wrlock(lock);
    place = place_of(bucket, token);
    if (place == NULL)
        place = place_to_take(bucket, now_us);
    *place = (place_t){
        .token = *token, .session = {.expires_us = now_us + ENDED_KEPT_US}, .state = SESSION_ENDED};
    pthread_rwlock_unlock(lock);
}

bool session_table_claim(session_table_t *self, const hash_t *token, int64_t now_us,
                         int64_t pause_us)
{
    pthread_rwlock_t *lock;
    place_t *bucket = bucket_of(self, token, &lock);
    place_t *place;
    bool mine = false;

    pthread_rwlock_wrlock(lock);
    place = place_of(bucket, token);
    if (place != NULL && place->state == SESSION_LIVE && now_us - place->claimed_us >= pause_us) {
        place->claimed_us = now_us;
        mine = true;
    }
    pthread_rwlock_unlock(lock);
    return mine;
}

errcode_t session_table_read_row(http_session_t *out, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint32_t count = unpack_array(&in);
    uint64_t version = unpack_u64(&in);
    uint64_t user = unpack_u64(&in);

    out->expires_us = unpack_i64(&in);
    out->created_us = unpack_i64(&in);
    if (!unpack_done(&in) || count != 4 || version != 1 || user == 0 || user > UINT32_MAX)
        return err_set(err, ERR_CORRUPT, "a session row of %zu bytes cannot be read", n);
    out->user = (uint32_t)user;
    return ERR_NONE;
}

static place_t *bucket_of(session_table_t *self, const hash_t *token, pthread_rwlock_t **lock)
{
    uint64_t n;
    size_t bucket;

    memcpy(&n, token->bytes, sizeof n);
    bucket = (size_t)n & (self->buckets - 1);
    *lock = &self->locks[bucket % STRIPES];
    return &self->places[bucket * WAYS];
}

static place_t *place_of(place_t *bucket, const hash_t *token)
{
    for (int i = 0; i < WAYS; i++) {
        if (bucket[i].state != SESSION_UNKNOWN && hash_equal(&bucket[i].token, token))
            return &bucket[i];
    }
    return NULL;
}

/* Free, then past its time, then the live one that ends first, then the oldest mark. */
static place_t *place_to_take(place_t *bucket, int64_t now_us)
{
    place_t *best = NULL;

    for (int i = 0; i < WAYS; i++) {
        if (bucket[i].state == SESSION_UNKNOWN || bucket[i].session.expires_us <= now_us)
            return &bucket[i];
        if (best == NULL || bucket[i].state < best->state ||
            (bucket[i].state == best->state &&
             bucket[i].session.expires_us < best->session.expires_us))
            best = &bucket[i];
    }
    return best;
}
