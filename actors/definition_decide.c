/* definition_decide.c - the catalogue's partition decides definitions; every other partition puts them in force
 *
 * Versions are dense. The content row of a version never changes, so all partitions of a node may write the same row; the
 * version in force is each partition's own state and comes by message, so its log says from where on it holds.
 */
#include "actors/decide.h"
#include "actors/definitions.h"
#include "protocol/json.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHANGES_BYTES_MAX \
    (96u * 1024) /* twice in a record, with the command and the answer beside it */

/* ---- what is defined now: committed content, then the changes of this round ---- */

static bool view_json(void *state, uint8_t resource, uint32_t id, arena_t *arena, text_t *out)
{
    partition_t *self = state;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;

    buffer_reset(&self->keys_row);
    if (partition_get(self, FAMILY_STATE, key,
                      key_definition(key, self->config.number, resource, id), &self->keys_row,
                      &found, NULL) != ERR_NONE ||
        !found)
        return false;
    out->bytes = arena_copy(arena, (const char *)self->keys_row.bytes, self->keys_row.size);
    out->n = self->keys_row.size;
    return out->bytes != NULL;
}

typedef struct {
    uint32_t *ids;
    size_t count, max;
} id_set_t;

static void set_add(id_set_t *set, uint32_t id)
{
    size_t at = set->count < set->max ? set->count : set->max;
    while (at > 0 && set->ids[at - 1] > id)
        at--;
    if (at > 0 && set->ids[at - 1] == id)
        return;
    if (set->count < set->max) {
        memmove(set->ids + at + 1, set->ids + at, (set->count - at) * sizeof *set->ids);
        set->ids[at] = id;
    }
    set->count++;
}

static void set_remove(id_set_t *set, uint32_t id)
{
    for (size_t i = 0; i < set->count && i < set->max; i++)
        if (set->ids[i] == id) {
            memmove(set->ids + i, set->ids + i + 1, (set->count - i - 1) * sizeof *set->ids);
            set->count--;
            return;
        }
}

static uint32_t parent_of(partition_t *self, text_t json)
{
    json_t *root = NULL;
    decimal_t number = {0};
    arena_t arena;

    (void)self;
    arena_init(&arena, 1024 * 1024);
    const json_t *program = json_parse(&root, &arena, json.bytes, json.n, NULL) == ERR_NONE
                                ? json_member(root, "program")
                                : NULL;
    if (program != NULL && program->type == JSON_NUMBER)
        (void)decimal_parse(&number, program->text, program->text_bytes, 10, 0, false, NULL);
    arena_free(&arena);
    return (uint32_t)number.value;
}

/* What is committed of a resource: of tiers only those of `parent` unless that is 0. */
static size_t committed_ids(partition_t *self, uint8_t resource, uint32_t parent, uint32_t *out,
                            size_t max)
{
    const tier_t *tiers[DEFINITIONS_TIERS_MAX];

    if (resource != RESOURCE_TIER || parent == 0)
        return catalogue_ids(self->config.catalogue, CATALOGUE_NEWEST, resource, out, max);
    size_t count =
        catalogue_tiers(self->config.catalogue, CATALOGUE_NEWEST, parent, tiers, COUNT_OF(tiers));
    for (size_t i = 0; i < count && i < max; i++)
        out[i] = tiers[i]->id;
    return count;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t *first = a, *second = b;
    return (*first > *second) - (*first < *second);
}

static size_t view_ids(void *state, uint8_t resource, uint32_t parent, uint32_t *out, size_t max)
{
    partition_t *self = state;
    unpack_t in = unpack_from(self->changes.bytes, self->changes.size);
    change_t change;
    size_t committed = committed_ids(self, resource, parent, NULL, 0), changes = 0;

    while (in.at < in.end && change_decode(&change, &in, NULL) == ERR_NONE)
        changes++;
    /* A set of all, even when only their number is asked for: what was changed in this round must not count twice. */
    id_set_t set = {.ids = memory_alloc((committed + changes + 1) * sizeof *set.ids),
                    .max = committed + changes};
    set.count = committed_ids(self, resource, parent, set.ids, set.max);
    qsort(set.ids, set.count, sizeof *set.ids, ascending); /* tiers come in order of display */
    in = unpack_from(self->changes.bytes, self->changes.size);
    while (in.at < in.end && change_decode(&change, &in, NULL) == ERR_NONE) {
        if (change.resource != resource)
            continue;
        if (change.deleted)
            set_remove(&set, change.id);
        else if (parent == 0 || parent_of(self, change.json) == parent)
            set_add(&set, change.id);
    }
    size_t count = set.count;
    if (max > 0)
        memcpy(out, set.ids, (count < max ? count : max) * sizeof *out);
    free(set.ids);
    return count;
}

static uint32_t view_next_id(void *state, uint8_t resource)
{
    partition_t *self = state;
    uint32_t next = catalogue_next_id(self->config.catalogue, resource);
    if (self->next_definition[resource] < next)
        self->next_definition[resource] = next;
    return self->next_definition[resource];
}

/* ---- decisions ---- */

static errcode_t check_version(partition_t *self, const command_t *command, err_t *err)
{
    uint64_t version = 0;

    if (command->id == 0 || command->if_match == 0)
        return ERR_NONE;
    buffer_reset(&self->entry_row);
    if (!catalogue_json(self->config.catalogue, CATALOGUE_NEWEST, command->resource, command->id,
                        &self->entry_row, &version))
        return err_set(err, ERR_NOT_FOUND, "Not found.");
    return version == command->if_match
               ? ERR_NONE
               : err_set(err, ERR_PRECONDITION,
                         "The definition has changed since; its ETag is now \"%" PRIu64 "\".",
                         version);
}

static void put_in_force(partition_t *self)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    pack_u64(&self->value, self->in_force);
    partition_put(self, FAMILY_STATE, key, key_in_force(key, self->config.number), &self->value);
}

static void put_content(partition_t *self, const change_t *change)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    change_encode(change, &self->value);
    partition_put(self, FAMILY_META, key, key_content(key, change->version), &self->value);
}

/* Writes one change with the next version. */
static void write_change(partition_t *self, const definition_change_t *item)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_definition(key, self->config.number, item->resource, item->id);
    change_t change = {.version = ++self->in_force,
                       .resource = item->resource,
                       .deleted = item->deleted,
                       .id = item->id,
                       .json = item->json};

    put_content(self, &change);
    change_encode(&change, &self->changes);
    INVARIANT(!self->changes.failed);
    if (item->deleted) {
        partition_delete(self, FAMILY_STATE, key, key_bytes);
    } else {
        buffer_reset(&self->value);
        buffer_append(&self->value, item->json.bytes, item->json.n);
        partition_put(self, FAMILY_STATE, key, key_bytes, &self->value);
        if (self->next_definition[item->resource] <= item->id)
            self->next_definition[item->resource] = item->id + 1;
    }
}

static void tell_partitions(partition_t *self, uint64_t from)
{
    buffer_reset(&self->blob);
    content_range_encode(from, self->in_force, &self->blob);
    for (uint16_t dst = 0; dst < self->config.partitions; dst++)
        partition_message(self, dst, &self->blob);
    /* Only catalogue messages leave this partition, so all its pairs count alike. */
    self->definition_message = self->sending[0].decided.next - 1;
}

errcode_t decide_definition(partition_t *self, const command_t *command, result_t *result,
                            err_t *err)
{
    definitions_view_t view = {.json = view_json,
                               .ids = view_ids,
                               .next_id = view_next_id,
                               .state = self,
                               .changes_bytes_max = CHANGES_BYTES_MAX};
    definitions_outcome_t outcome = {0};
    static const uuid16_t tenant;
    bool known = false;
    uint64_t before = self->in_force;

    if (command->body.n > CHANGES_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, "A definition may have %u bytes.", CHANGES_BYTES_MAX);
    errcode_t rc = answer_known(self, command, &tenant, 0, result, &known, err);
    if (rc != ERR_NONE || known)
        return rc;
    rc = check_version(self, command, err);
    for (uint16_t dst = 0; dst < self->config.partitions && rc == ERR_NONE; dst++)
        rc = partition_room(self, dst, err);
    if (rc != ERR_NONE)
        return rc;
    arena_reset(&self->arena);
    rc = command->kind == COMMAND_DEFINE
             ? definitions_define(&view, command->resource, command->id, command->body,
                                  self->now_us, &self->arena, &outcome, err)
             : definitions_undefine(&view, command->resource, command->id, &self->arena, &outcome,
                                    err);
    if (rc == ERR_NONE && outcome.wire.n > CHANGES_BYTES_MAX)
        rc = err_set(err, ERR_TOO_LARGE, "A program and its tiers may have %u bytes in one answer.",
                     CHANGES_BYTES_MAX);
    if (rc != ERR_NONE)
        return rc;
    for (uint32_t i = 0; i < outcome.count; i++)
        write_change(self, &outcome.items[i]);
    if (self->in_force > before) {
        put_in_force(self);
        tell_partitions(self, before + 1);
    }
    *result =
        (result_t){.status = command->kind == COMMAND_UNDEFINE ? 204
                             : command->id == 0                ? 201
                                                               : 200,
                   .renderer = command->kind == COMMAND_UNDEFINE ? RENDER_NONE : RENDER_JSON_1,
                   .json = outcome.wire,
                   .version = before + 1,
                   .recorded_us = self->now_us};
    self->account = (account_t){.id = 0};
    key_store(self, command, &self->account, result, 0);
    return ERR_NONE;
}

/* BODY_CATALOGUE_1: the versions come into force here. */
errcode_t decide_changes(partition_t *self, text_t body, err_t *err)
{
    unpack_t in;
    uint32_t count = 0;
    uint64_t before = self->in_force;

    errcode_t rc = changes_decode_head(&in, body, &count, err);
    for (uint32_t i = 0; i < count && rc == ERR_NONE; i++) {
        change_t change;
        rc = change_decode(&change, &in, err);
        if (rc == ERR_NONE && change.version != self->in_force + 1)
            rc = err_set(err, ERR_CORRUPT, "catalogue version %" PRIu64 " follows %" PRIu64,
                         change.version, self->in_force);
        /* Content is the same for everybody and never changes: the node may know it before this record is committed. */
        if (rc == ERR_NONE)
            rc = catalogue_put(self->config.catalogue, change.version, change.resource, change.id,
                               change.deleted, change.json, err);
        if (rc != ERR_NONE) {
            self->in_force = before; /* nothing of this message holds */
            return rc;
        }
        put_content(self, &change);
        self->in_force = change.version;
    }
    if (rc == ERR_NONE)
        put_in_force(self);
    return rc;
}
