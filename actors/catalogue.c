/* catalogue.c - versions of definitions in memory; what the engine needs is decoded once, on arrival */
#include "actors/catalogue.h"

#include "protocol/decimal.h"
#include "protocol/json.h"

#include <pthread.h>
#include <stdlib.h>

#define DEFINITION_ID_MAX 10000000

/* One version of one definition; older versions hang behind it, for partitions that still decide under them. */
typedef struct definition {
    struct definition *older; /* owned */
    uint64_t version;
    bool deleted;
    char *json; /* owned */
    size_t json_bytes;
    union {
        program_t program;
        tier_t tier;
        user_t user;
    } as;
} definition_t;

typedef struct {
    uint32_t *ids; /* owned */
    uint32_t count, capacity;
} id_list_t;

typedef struct {
    definition_t **by_id; /* owned; index = id */
    uint32_t capacity;
    uint32_t count; /* highest id + 1 */
} table_t;

struct catalogue {
    pthread_rwlock_t lock; /* protects all below */
    uint64_t version;
    table_t tables[RESOURCE__END];
    id_list_t *tiers_of; /* owned; index = program id */
    uint32_t tiers_of_capacity;
};

static errcode_t decode(uint8_t resource, uint32_t id, definition_t *out, err_t *err);

catalogue_t *catalogue_new(void)
{
    catalogue_t *self = memory_zalloc(sizeof *self);
    INVARIANT(pthread_rwlock_init(&self->lock, NULL) == 0);
    return self;
}

static void definition_destroy(definition_t *self)
{
    while (self != NULL) {
        definition_t *older = self->older;
        free(self->json);
        free(self);
        self = older;
    }
}

void catalogue_destroy(catalogue_t **self_p)
{
    catalogue_t *self = *self_p;
    if (self == NULL)
        return;
    *self_p = NULL;
    for (size_t r = 0; r < RESOURCE__END; r++) {
        for (uint32_t i = 0; i < self->tables[r].count; i++)
            definition_destroy(self->tables[r].by_id[i]);
        free(self->tables[r].by_id);
    }
    for (uint32_t i = 0; i < self->tiers_of_capacity; i++)
        free(self->tiers_of[i].ids);
    free(self->tiers_of);
    pthread_rwlock_destroy(&self->lock);
    free(self);
}

/* Grows an array of `size`-byte elements, zeroed, so that index fits. */
static void *grown(void *array, uint32_t *capacity, uint32_t index, size_t size)
{
    if (index < *capacity)
        return array;
    uint32_t wanted = *capacity ? *capacity : 16;
    while (wanted <= index)
        wanted *= 2;
    array = memory_realloc(array, wanted * size);
    memset((uint8_t *)array + *capacity * size, 0, (wanted - *capacity) * size);
    *capacity = wanted;
    return array;
}

static void note_tier(catalogue_t *self, uint32_t program, uint32_t tier)
{
    if (program >= DEFINITION_ID_MAX)
        return;
    self->tiers_of = grown(self->tiers_of, &self->tiers_of_capacity, program, sizeof(id_list_t));
    id_list_t *list = &self->tiers_of[program];
    for (uint32_t i = 0; i < list->count; i++)
        if (list->ids[i] == tier)
            return;
    list->ids = grown(list->ids, &list->capacity, list->count, sizeof(uint32_t));
    list->ids[list->count++] = tier;
}

errcode_t catalogue_put(catalogue_t *self, uint64_t version, uint8_t resource, uint32_t id,
                        bool deleted, text_t json, err_t *err)
{
    if (resource == RESOURCE_NONE || resource >= RESOURCE__END || id == 0 ||
        id >= DEFINITION_ID_MAX)
        return err_set(err, ERR_CORRUPT, "definition %u of kind %u is not known to this version",
                       id, resource);
    definition_t *fresh = memory_zalloc(sizeof *fresh);
    fresh->version = version;
    fresh->deleted = deleted;
    fresh->json = memory_alloc(json.n + 1);
    if (json.n > 0)
        memcpy(fresh->json, json.bytes, json.n);
    fresh->json[json.n] = '\0';
    fresh->json_bytes = json.n;
    errcode_t rc = deleted ? ERR_NONE : decode(resource, id, fresh, err);
    if (rc != ERR_NONE) {
        definition_destroy(fresh);
        return rc;
    }
    pthread_rwlock_wrlock(&self->lock);
    if (version <= self->version) {
        definition_destroy(fresh);
    } else if (version != self->version + 1) {
        definition_destroy(fresh);
        rc = err_set(err, ERR_STATE, "definitions jump from version %llu to %llu",
                     (unsigned long long)self->version, (unsigned long long)version);
    } else {
        table_t *table = &self->tables[resource];
        table->by_id = grown(table->by_id, &table->capacity, id, sizeof(definition_t *));
        fresh->older = table->by_id[id];
        table->by_id[id] = fresh;
        if (id >= table->count)
            table->count = id + 1;
        if (resource == RESOURCE_TIER && !deleted)
            note_tier(self, fresh->as.tier.program, id);
        self->version = version;
    }
    pthread_rwlock_unlock(&self->lock);
    return rc;
}

uint64_t catalogue_version(const catalogue_t *self)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    pthread_rwlock_rdlock(lock);
    uint64_t version = self->version;
    pthread_rwlock_unlock(lock);
    return version;
}

/* Caller holds the lock. */
static const definition_t *present(const catalogue_t *self, uint64_t version, uint8_t resource,
                                   uint32_t id)
{
    const table_t *table = &self->tables[resource];
    if (id >= table->count)
        return NULL;
    const definition_t *definition = table->by_id[id];
    while (definition != NULL && definition->version > version)
        definition = definition->older;
    return definition == NULL || definition->deleted ? NULL : definition;
}

static const definition_t *find(const catalogue_t *self, uint64_t version, uint8_t resource,
                                uint32_t id)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    pthread_rwlock_rdlock(lock);
    const definition_t *definition = present(self, version, resource, id);
    pthread_rwlock_unlock(lock);
    return definition;
}

const program_t *catalogue_program(const catalogue_t *self, uint64_t version, uint32_t id)
{
    const definition_t *definition = find(self, version, RESOURCE_PROGRAM, id);
    return definition ? &definition->as.program : NULL;
}

const tier_t *catalogue_tier(const catalogue_t *self, uint64_t version, uint32_t id)
{
    const definition_t *definition = find(self, version, RESOURCE_TIER, id);
    return definition ? &definition->as.tier : NULL;
}

const user_t *catalogue_user(const catalogue_t *self, uint64_t version, uint32_t id)
{
    const definition_t *definition = find(self, version, RESOURCE_USER, id);
    return definition ? &definition->as.user : NULL;
}

const user_t *catalogue_user_by_name(const catalogue_t *self, const char *username, size_t bytes)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    const user_t *found = NULL;
    pthread_rwlock_rdlock(lock);
    for (uint32_t id = 1; id < self->tables[RESOURCE_USER].count && found == NULL; id++) {
        const definition_t *definition = present(self, CATALOGUE_NEWEST, RESOURCE_USER, id);
        if (definition != NULL && strlen(definition->as.user.username) == bytes &&
            memcmp(definition->as.user.username, username, bytes) == 0)
            found = &definition->as.user;
    }
    pthread_rwlock_unlock(lock);
    return found;
}

/* Display order, api-resources 2.2. */
static int tier_order(const void *a, const void *b)
{
    const tier_t *x = *(const tier_t *const *)a;
    const tier_t *y = *(const tier_t *const *)b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    if (x->min_points != y->min_points)
        return x->min_points < y->min_points ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

size_t catalogue_tiers(const catalogue_t *self, uint64_t version, uint32_t program,
                       const tier_t **out, size_t max)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    size_t count = 0;
    pthread_rwlock_rdlock(lock);
    if (program < self->tiers_of_capacity) {
        const id_list_t *list = &self->tiers_of[program];
        for (uint32_t i = 0; i < list->count && count < max; i++) {
            const definition_t *definition = present(self, version, RESOURCE_TIER, list->ids[i]);
            if (definition != NULL && definition->as.tier.program == program)
                out[count++] = &definition->as.tier;
        }
    }
    pthread_rwlock_unlock(lock);
    qsort(out, count, sizeof *out, tier_order);
    return count;
}

const tier_t *catalogue_tier_for(const catalogue_t *self, uint64_t version, uint32_t program,
                                 points_t value)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    const tier_t *best = NULL;
    pthread_rwlock_rdlock(lock);
    if (program < self->tiers_of_capacity) {
        const id_list_t *list = &self->tiers_of[program];
        for (uint32_t i = 0; i < list->count; i++) {
            const definition_t *definition = present(self, version, RESOURCE_TIER, list->ids[i]);
            if (definition == NULL || definition->as.tier.program != program)
                continue;
            const tier_t *tier = &definition->as.tier;
            if (tier->min_points > value)
                continue;
            if (best == NULL || tier->min_points > best->min_points ||
                (tier->min_points == best->min_points && tier->priority > best->priority))
                best = tier;
        }
    }
    pthread_rwlock_unlock(lock);
    return best;
}

bool catalogue_json(const catalogue_t *self, uint64_t version, uint8_t resource, uint32_t id,
                    buffer_t *out, uint64_t *changed_at_version)
{
    const definition_t *definition =
        resource < RESOURCE__END ? find(self, version, resource, id) : NULL;
    if (definition == NULL)
        return false;
    buffer_append(out, definition->json, definition->json_bytes);
    if (changed_at_version != NULL)
        *changed_at_version = definition->version;
    return true;
}

size_t catalogue_ids(const catalogue_t *self, uint64_t version, uint8_t resource, uint32_t *out,
                     size_t max)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    size_t count = 0;
    pthread_rwlock_rdlock(lock);
    for (uint32_t id = 1; resource < RESOURCE__END && id < self->tables[resource].count; id++) {
        if (present(self, version, resource, id) == NULL)
            continue;
        if (count < max)
            out[count] = id;
        count++;
    }
    pthread_rwlock_unlock(lock);
    return count;
}

uint32_t catalogue_next_id(const catalogue_t *self, uint8_t resource)
{
    pthread_rwlock_t *lock = (pthread_rwlock_t *)&self->lock;
    pthread_rwlock_rdlock(lock);
    uint32_t count = resource < RESOURCE__END ? self->tables[resource].count : 0;
    pthread_rwlock_unlock(lock);
    return count > 0 ? count : 1;
}

/* ---- from the wire object to what the engine reads ---- */

static void copy_text(char *out, size_t size, const json_t *value)
{
    size_t n = value != NULL && value->type == JSON_STRING ? value->text_bytes : 0;
    if (n > size - 1)
        n = size - 1;
    if (n > 0)
        memcpy(out, value->text, n);
    out[n] = '\0';
}

static int64_t integer_of(const json_t *value, int64_t otherwise)
{
    decimal_t number;
    if (value == NULL || (value->type != JSON_NUMBER && value->type != JSON_STRING) ||
        decimal_parse(&number, value->text, value->text_bytes, 19, 0, true, NULL) != ERR_NONE)
        return otherwise;
    return (int64_t)number.value;
}

static int64_t ppm_of(const json_t *value, int64_t otherwise)
{
    decimal_t number;
    if (value == NULL || (value->type != JSON_NUMBER && value->type != JSON_STRING) ||
        decimal_parse(&number, value->text, value->text_bytes, 18, 6, true, NULL) != ERR_NONE)
        return otherwise;
    return (int64_t)number.value;
}

static bool truth_of(const json_t *value, bool otherwise)
{
    return value == NULL ? otherwise : value->type == JSON_TRUE;
}

static int64_t instant_of(const json_t *value, int64_t otherwise)
{
    int64_t at_us;
    if (value == NULL || value->type != JSON_STRING ||
        instant_parse(&at_us, value->text, value->text_bytes, true, NULL) != ERR_NONE)
        return otherwise;
    return at_us;
}

static errcode_t decode_program(program_t *out, uint32_t id, const json_t *json, err_t *err)
{
    const json_t *mode = json_member(json, "multiplier_mode");
    char zone[65];

    out->id = id;
    out->active = truth_of(json_member(json, "is_active"), true);
    out->start_us = instant_of(json_member(json, "start_date"), INT64_MIN);
    out->end_us = instant_of(json_member(json, "end_date"), INT64_MAX);
    out->min_balance = integer_of(json_member(json, "min_balance"), 0);
    out->multiplier_mode = json_text_is(mode, "additive") ? 1 : json_text_is(mode, "best") ? 2 : 0;
    copy_text(out->name, sizeof out->name, json_member(json, "name"));
    copy_text(zone, sizeof zone, json_member(json, "time_zone"));
    return zone_open(&out->zone, zone[0] ? zone : "UTC", err);
}

static void decode_tier(tier_t *out, uint32_t id, const json_t *json)
{
    out->id = id;
    out->program = (uint32_t)integer_of(json_member(json, "program"), 0);
    out->min_points = integer_of(json_member(json, "min_points"), 0);
    out->priority = integer_of(json_member(json, "priority"), 0);
    out->multiplier_ppm = ppm_of(json_member(json, "points_multiplier"), PPM_ONE);
    out->discount_ppm = ppm_of(json_member(json, "redemption_discount"), 0);
    copy_text(out->name, sizeof out->name, json_member(json, "name"));
}

static void decode_user(user_t *out, uint32_t id, const json_t *json)
{
    const json_t *permissions = json_member(json, "permissions");
    size_t used = 0;

    out->id = id;
    out->active = truth_of(json_member(json, "is_active"), true);
    out->staff = truth_of(json_member(json, "is_staff"), false);
    out->superuser = truth_of(json_member(json, "is_superuser"), false);
    copy_text(out->username, sizeof out->username, json_member(json, "username"));
    copy_text(out->password, sizeof out->password, json_member(json, "password"));
    if (permissions == NULL || permissions->type != JSON_ARRAY)
        return;
    for (const json_t *name = permissions->child; name != NULL; name = name->next) {
        if (name->type != JSON_STRING || used + name->text_bytes + 2 > sizeof out->permissions)
            continue;
        if (used > 0)
            out->permissions[used++] = '\n';
        memcpy(out->permissions + used, name->text, name->text_bytes);
        used += name->text_bytes;
    }
    out->permissions[used] = '\0';
}

static errcode_t decode(uint8_t resource, uint32_t id, definition_t *out, err_t *err)
{
    arena_t arena;
    json_t *json = NULL;

    arena_init(&arena, 4 * 1024 * 1024);
    errcode_t rc = json_parse(&json, &arena, out->json, out->json_bytes, err);
    if (rc == ERR_NONE && json->type != JSON_OBJECT)
        rc = err_set(err, ERR_CORRUPT, "definition %u is not a JSON object", id);
    if (rc == ERR_NONE) {
        switch (resource) {
        case RESOURCE_PROGRAM: rc = decode_program(&out->as.program, id, json, err); break;
        case RESOURCE_TIER: decode_tier(&out->as.tier, id, json); break;
        case RESOURCE_USER: decode_user(&out->as.user, id, json); break;
        default: INVARIANT(!"resource was checked by catalogue_put");
        }
    }
    arena_free(&arena);
    return rc;
}
