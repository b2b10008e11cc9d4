/* definitions.h - what a change of a program, tier or user does: pure decisions of the catalogue's partition
 *
 * Contract   definitions_define() checks the patch against the resource's table and against what is defined now,
 *            merges it into the stored object (what a patch leaves out keeps its value, on create it gets its default)
 *            and lists all resulting changes: the object first, then the tiers that go with it. All or nothing.
 *            Programs are stored without their tiers; the wire form shows them.
 *            The same view, patch and time give the same bytes.
 * Threads    Pure.
 * Ownership  Everything returned lives in the arena. View functions may lend texts until the call returns.
 * Units      Microseconds UTC.
 * Errors     ERR_INVALID with the field at fault (nested tiers: "tiers"), ERR_NOT_FOUND, ERR_STATE (the last active
 *            superuser), ERR_TOO_LARGE (changes do not fit into one record, or the arena is full).
 */
#ifndef FEALTY_DEFINITIONS_H
#define FEALTY_DEFINITIONS_H

#include "actors/catalogue.h"

#define DEFINITIONS_TIERS_MAX 1000 /* of a program */
#define DEFINITIONS_USERS_MAX 10000

/* What is defined now, as the partition sees it: committed rows and those decided before in this round. */
typedef struct {
    /* Stored JSON of a definition; false when there is none. */
    bool (*json)(void *state, uint8_t resource, uint32_t id, arena_t *arena, text_t *out);
    /* Ids of present definitions, ascending; of tiers only those of program `parent` (0: of all). Returns how many there
     * are and fills up to max. */
    size_t (*ids)(void *state, uint8_t resource, uint32_t parent, uint32_t *out, size_t max);
    /* Smallest id of the resource that was never used; those above it are free too. */
    uint32_t (*next_id)(void *state, uint8_t resource);
    void *state;
    size_t changes_bytes_max; /* JSON of all changes of one command; 0: 128 KiB */
} definitions_view_t;

typedef struct {
    uint8_t resource;
    uint32_t id;
    bool deleted;
    text_t json; /* stored form; empty when deleted */
} definition_change_t;

typedef struct {
    definition_change_t *items;
    uint32_t count;
    uint32_t id; /* of the object that was asked for */
    text_t wire; /* its answer; empty when deleted */
} definitions_outcome_t;

/* id 0 creates. */
errcode_t definitions_define(const definitions_view_t *view, uint8_t resource, uint32_t id,
                             text_t patch, int64_t now_us, arena_t *arena,
                             definitions_outcome_t *outcome, err_t *err);
errcode_t definitions_undefine(const definitions_view_t *view, uint8_t resource, uint32_t id,
                               arena_t *arena, definitions_outcome_t *outcome, err_t *err);

/* Wire form of a stored object, appended to *out. `tiers`: stored forms of a program's tiers in order of display, else
 * count 0. ERR_CORRUPT when the stored text is no object. */
errcode_t definitions_render(uint8_t resource, text_t json, const text_t *tiers, size_t tier_count,
                             arena_t *arena, buffer_t *out, err_t *err);

#endif
