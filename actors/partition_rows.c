/* partition_rows.c - the body of a round: decisions as sections, row writes in them, and reading them back */
#include "actors/partition_parts.h"
#include "actors/section.h"

#define RECORD_BODY_BYTES (128u * 1024) /* a record is closed once it holds this much */
/* A decision that may be large (a definition, a transfer of thousands of lots) finds a record with no more in it than
 * this, so that both fit into RECORD_BYTES_MAX. */
#define RECORD_BODY_BEFORE_LARGE (16u * 1024)
#define LARGE_COMMAND_BYTES      (8u * 1024)

/* ---- decisions ---- */

/* Where record i ends in body. */
size_t round_record_end(const partition_t *self, uint32_t i)
{
    return i + 1 < self->now->record_count ? self->now->record_at[i + 1] : self->now->body.size;
}

void round_record_begin(partition_t *self)
{
    static const uint8_t room[RECORD_HEADER_BYTES];
    INVARIANT(self->now->record_count < ROUND_RECORDS_MAX);
    self->now->record_at[self->now->record_count++] = self->now->body.size;
    buffer_append(&self->now->body, room, sizeof room);
}

void decision_begin(partition_t *self, const void *command, size_t n, bool may_be_large)
{
    size_t full =
        may_be_large || n >= LARGE_COMMAND_BYTES ? RECORD_BODY_BEFORE_LARGE : RECORD_BODY_BYTES;
    if (self->now->record_count == self->now->sealed ||
        self->now->body.size - self->now->record_at[self->now->record_count - 1] >= full)
        round_record_begin(self);
    self->decision_at = section_begin(&self->now->body, SECTION_DECISION, command, n);
    self->definition_message = 0;
}

static bool decision_wrote(const partition_t *self)
{
    return self->now->body.size > section_writes_at(&self->now->body, self->decision_at);
}

/* Keeps the section when it has effects; a decision without any is not logged. */
void decision_end(partition_t *self)
{
    if (decision_wrote(self))
        section_end(&self->now->body, self->decision_at);
    else
        self->now->body.size = self->decision_at;
}

static void note_record(partition_t *self, size_t from, size_t until)
{
    const uint8_t *body = self->now->body.bytes + from;
    size_t at = 0;
    bool corrupt = false;
    section_t section;

    while (section_next(body, until - from, &at, &section, &corrupt)) {
        size_t writes_at = (size_t)(section.writes - self->now->body.bytes), inner = 0;
        row_write_t write;
        for (size_t start = 0;
             batch_next(section.writes, section.writes_bytes, &inner, &write, &corrupt);
             start = inner)
            overlay_note(self->now->overlay, writes_at + start);
    }
    INVARIANT(!corrupt);
}

/* Takes back the row writes of a decision that failed half way. Rare, so the overlay is simply built again. */
void decision_undo(partition_t *self)
{
    bool wrote = decision_wrote(self);
    self->now->body.size = self->decision_at;
    if (!wrote)
        return;
    overlay_clear(self->now->overlay);
    row_cache_clear(self->config.cache);
    for (uint32_t i = 0; i < self->now->record_count; i++)
        note_record(self, self->now->record_at[i] + RECORD_HEADER_BYTES, round_record_end(self, i));
}

/* ---- rows of the present decision ---- */

static bool is_account_key(family_t family, const uint8_t *key, size_t key_bytes)
{
    return family == FAMILY_STATE && key_bytes > 2 && key[2] == 'A';
}

void partition_put(partition_t *self, family_t family, const void *key, size_t key_bytes,
                   const buffer_t *value)
{
    size_t at = self->now->body.size;

    INVARIANT(!value->failed);
    batch_put(&self->now->body, family, key, key_bytes, value->bytes, value->size);
    INVARIANT(!self->now->body.failed);
    overlay_note(self->now->overlay, at);
    if (is_account_key(family, key, key_bytes))
        row_cache_put(self->config.cache, key, key_bytes, value->bytes, value->size);
}

void partition_delete(partition_t *self, family_t family, const void *key, size_t key_bytes)
{
    size_t at = self->now->body.size;
    batch_delete(&self->now->body, family, key, key_bytes);
    INVARIANT(!self->now->body.failed);
    overlay_note(self->now->overlay, at);
    if (is_account_key(family, key, key_bytes))
        row_cache_remove(self->config.cache, key, key_bytes);
}

errcode_t partition_get(partition_t *self, family_t family, const void *key, size_t key_bytes,
                        buffer_t *value, bool *found, err_t *err)
{
    row_write_t write;
    if (partition_decided(self, family, key, key_bytes, &write)) {
        *found = !write.is_delete;
        buffer_append(value, write.value, write.value_bytes);
        return ERR_NONE;
    }
    return store_get(self->config.store, NULL, family, key, key_bytes, value, found, err);
}

bool partition_decided(const partition_t *self, family_t family, const void *key, size_t key_bytes,
                       row_write_t *out)
{
    return overlay_find(self->now->overlay, family, key, key_bytes, out) ||
           (self->flying != NULL &&
            overlay_find(self->flying->overlay, family, key, key_bytes, out));
}

/* Shows the flying round's rows that the present one has not written again. */
typedef struct {
    const overlay_t *newer;
    void (*visit)(void *state, const row_write_t *write);
    void *state;
} older_t;

static void visit_older(void *state, const row_write_t *write)
{
    const older_t *older = state;
    row_write_t newer;
    if (!overlay_find(older->newer, write->family, write->key, write->key_bytes, &newer))
        older->visit(older->state, write);
}

void partition_decided_each(const partition_t *self, family_t family, const void *prefix,
                            size_t prefix_bytes,
                            void (*visit)(void *state, const row_write_t *write), void *state)
{
    older_t older = {.newer = self->now->overlay, .visit = visit, .state = state};
    if (self->flying != NULL)
        overlay_each(self->flying->overlay, family, prefix, prefix_bytes, visit_older, &older);
    overlay_each(self->now->overlay, family, prefix, prefix_bytes, visit, state);
}

uint64_t partition_new_id(partition_t *self, uint16_t slot)
{
    return id_make(slot, self->next_sequence++);
}
