/* definitions_user.h - what holds for users beyond their table; part of definitions (never included elsewhere)
 *
 * Contract   A name of letters, digits and @ . + - _ that no other user has; permissions as short names; and always one
 *            active superuser, who can let others in again.
 * Threads    Pure.
 * Ownership  See definitions.h.
 * Units      Nothing to say.
 * Errors     ERR_INVALID with the field, ERR_STATE for the last active superuser, ERR_CORRUPT, ERR_TOO_LARGE.
 */
#ifndef FEALTY_DEFINITIONS_USER_H
#define FEALTY_DEFINITIONS_USER_H

#include "actors/definitions.h"
#include "protocol/json.h"

/* id 0 and stored NULL: a new user. */
errcode_t user_check(const definitions_view_t *view, arena_t *arena, uint32_t id,
                     const json_t *object, const json_t *stored, err_t *err);
/* ERR_STATE unless somebody else is an active superuser. */
errcode_t user_keep_superuser(const definitions_view_t *view, arena_t *arena, uint32_t id,
                              const char *what, err_t *err);

static inline bool text_same(text_t a, text_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.bytes, b.bytes, a.n) == 0);
}

static inline text_t member_text(const json_t *object, const char *name)
{
    const json_t *member = json_member(object, name);

    return member != NULL && member->type == JSON_STRING
               ? (text_t){member->text, member->text_bytes}
               : (text_t){"", 0};
}

static inline bool member_true(const json_t *object, const char *name)
{
    const json_t *member = json_member(object, name);

    return member != NULL && member->type == JSON_TRUE;
}

#endif
