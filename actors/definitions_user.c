/* definitions_user.c - what holds for users beyond their table */
#include "actors/definitions_user.h"

#include <inttypes.h>

#define PERMISSION_BYTES_MAX 100
#define WHOLE_BODY           "non_field_errors"

static bool username_is_good(text_t name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.bytes[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr("@.+-_", c) == NULL))
            return false;
    }
    return name.n > 0;
}

static errcode_t list_users(const definitions_view_t *view, arena_t *arena, uint32_t **out,
                            size_t *count, err_t *err)
{
    *count = view->ids(view->state, RESOURCE_USER, 0, NULL, 0);
    *out = arena_alloc(arena, (*count + 1) * sizeof **out);
    if (*out == NULL)
        return err_set(err, ERR_TOO_LARGE, "the users need more memory than one command may use");
    if (*count > 0)
        INVARIANT(view->ids(view->state, RESOURCE_USER, 0, *out, *count) == *count);
    return ERR_NONE;
}

/* Looks at all users but one, each in memory of its own: there may be more of them than an arena holds. */
typedef struct {
    bool superuser; /* an active one is among them */
    bool same_name;
} others_t;

static errcode_t look_at_users(const definitions_view_t *view, arena_t *arena, uint32_t id,
                               text_t username, others_t *out, err_t *err)
{
    arena_t scratch;
    uint32_t *ids;
    size_t count;
    errcode_t rc = list_users(view, arena, &ids, &count, err);

    *out = (others_t){0};
    if (rc != ERR_NONE)
        return rc;
    arena_init(&scratch, (size_t)4 * 1024 * 1024);
    for (size_t i = 0; i < count; i++) {
        json_t *other;
        text_t text;
        if (ids[i] == id)
            continue;
        arena_reset(&scratch);
        if (!view->json(view->state, RESOURCE_USER, ids[i], &scratch, &text) ||
            json_parse(&other, &scratch, text.bytes, text.n, NULL) != ERR_NONE) {
            rc = err_set(err, ERR_CORRUPT, "user %" PRIu32 " cannot be read", ids[i]);
            break;
        }
        out->superuser |= member_true(other, "is_active") && member_true(other, "is_superuser");
        out->same_name |= text_same(username, member_text(other, "username"));
    }
    arena_free(&scratch);
    return rc;
}

errcode_t user_check(const definitions_view_t *view, arena_t *arena, uint32_t id,
                     const json_t *object, const json_t *stored, err_t *err)
{
    text_t username = member_text(object, "username");
    text_t password = member_text(object, "password");
    const json_t *permissions = json_member(object, "permissions");
    size_t permission_bytes = 0;

    if (!username_is_good(username))
        return err_field(err, ERR_INVALID, "username",
                         "Only letters, digits and @ . + - _ are allowed.");
    for (size_t i = 0; i < password.n; i++)
        if (password.bytes[i] <= ' ' || password.bytes[i] > '~')
            return err_field(err, ERR_INVALID, "password", "This is no hash of a password.");
    if (permissions == NULL || permissions->type != JSON_ARRAY)
        return err_field(err, ERR_INVALID, "permissions", "A list of names is needed.");
    for (const json_t *name = permissions->child; name != NULL; name = name->next) {
        bool good = name->type == JSON_STRING && name->text_bytes > 0 &&
                    name->text_bytes <= PERMISSION_BYTES_MAX;
        for (size_t i = 0; good && i < name->text_bytes; i++)
            good = name->text[i] > ' ' && name->text[i] <= '~';
        if (!good)
            return err_field(err, ERR_INVALID, "permissions", "A list of names is needed.");
        permission_bytes += name->text_bytes + 1;
    }
    if (permission_bytes > sizeof((user_t *)0)->permissions)
        return err_field(err, ERR_INVALID, "permissions",
                         "The names have more than %zu characters in all.",
                         sizeof((user_t *)0)->permissions);
    if (id == 0 && view->ids(view->state, RESOURCE_USER, 0, NULL, 0) >= DEFINITIONS_USERS_MAX)
        return err_field(err, ERR_INVALID, WHOLE_BODY, "There are at most %d users.",
                         DEFINITIONS_USERS_MAX);
    if (stored == NULL || !text_same(username, member_text(stored, "username"))) {
        others_t others;
        errcode_t rc = look_at_users(view, arena, id, username, &others, err);
        if (rc != ERR_NONE)
            return rc;
        if (others.same_name)
            return err_field(err, ERR_INVALID, "username",
                             "A user with that username already exists.");
    }
    bool was =
        stored != NULL && member_true(stored, "is_active") && member_true(stored, "is_superuser");
    bool is = member_true(object, "is_active") && member_true(object, "is_superuser");
    return was && !is ? user_keep_superuser(view, arena, id, "disabled", err) : ERR_NONE;
}

/* Somebody must be able to let others in again. */
errcode_t user_keep_superuser(const definitions_view_t *view, arena_t *arena, uint32_t id,
                              const char *what, err_t *err)
{
    others_t others;
    errcode_t rc = look_at_users(view, arena, id, (text_t){"", 0}, &others, err);

    if (rc != ERR_NONE)
        return rc;
    return others.superuser
               ? ERR_NONE
               : err_set(err, ERR_STATE, "the last active superuser cannot be %s", what);
}
