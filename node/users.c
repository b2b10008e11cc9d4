/* users.c - users as JSON, passwords as argon2id */
#include "node/users.h"

#include "protocol/clock.h"
#include "protocol/json.h"

#include <sodium.h>

/* 19 MiB and two passes: what a login costs, whoever logs in. */
#define PASSWORD_PASSES       2
#define PASSWORD_MEMORY_BYTES ((size_t)19 * 1024 * 1024)
#define USERNAME_BYTES_MAX    150
#define PERMISSION_BYTES_MAX  100

void user_random_password(char out[USER_PASSWORD_RANDOM_BYTES])
{
    /* 32 signs that nobody mistakes for one another: 5 bits each, 100 bits in all. */
    static const char signs[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[USER_PASSWORD_RANDOM_BYTES - 1];

    random_fill(random_system(), random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        out[i] = signs[random[i] & 31];
    out[sizeof random] = '\0';
    sodium_memzero(random, sizeof random);
}

static errcode_t check_username(const char *name, err_t *err)
{
    size_t n = strlen(name);

    if (n == 0 || n > USERNAME_BYTES_MAX)
        return err_field(err, ERR_INVALID, "username", "a user name has 1 to %d bytes",
                         USERNAME_BYTES_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
            return err_field(err, ERR_INVALID, "username",
                             "a user name holds no blanks and no control characters");
    return ERR_NONE;
}

static errcode_t write_password(const char *password, buffer_t *json, err_t *err)
{
    char hash[crypto_pwhash_STRBYTES];

    _Static_assert(crypto_pwhash_STRBYTES <= USER_PASSWORD_BYTES,
                   "the row has room for libsodium's string");
    if (strlen(password) < USER_PASSWORD_LEAST)
        return err_field(err, ERR_INVALID, "password", "a password has at least %d characters",
                         USER_PASSWORD_LEAST);
    if (strlen(password) > 1024)
        return err_field(err, ERR_INVALID, "password", "a password has at most 1024 bytes");
    INVARIANT(sodium_init() >= 0);
    if (crypto_pwhash_str_alg(hash, password, strlen(password), PASSWORD_PASSES,
                              PASSWORD_MEMORY_BYTES, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return err_set(err, ERR_INTERNAL,
                       "there is no memory to hash the password (19 MiB are needed)");
    buffer_text(json, ",\"password\":");
    json_write_string(json, hash, strlen(hash));
    sodium_memzero(hash, sizeof hash);
    return ERR_NONE;
}

static errcode_t write_permissions(const char *names, buffer_t *json, err_t *err)
{
    bool first = true;

    buffer_text(json, ",\"permissions\":[");
    while (*names != '\0') {
        size_t n = strcspn(names, ",");

        if (n > PERMISSION_BYTES_MAX)
            return err_field(err, ERR_INVALID, "permissions",
                             "\"%.40s...\" is too long for a permission", names);
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)names[i] <= ' ')
                return err_field(err, ERR_INVALID, "permissions",
                                 "names of permissions are separated by commas alone");
        if (n > 0) {
            if (!first)
                buffer_byte(json, ',');
            json_write_string(json, names, n);
            first = false;
        }
        names += n;
        names += *names == ',';
    }
    buffer_byte(json, ']');
    return ERR_NONE;
}

static void write_flag(const char *name, int value, buffer_t *json)
{
    if (value >= 0)
        buffer_printf(json, ",\"%s\":%s", name, value ? "true" : "false");
}

errcode_t user_patch_encode(const user_patch_t *patch, buffer_t *json, err_t *err)
{
    size_t start = json->size;
    errcode_t rc = ERR_NONE;

    buffer_byte(json, '{');
    if (patch->username != NULL) {
        rc = check_username(patch->username, err);
        if (rc != ERR_NONE)
            return rc;
        buffer_text(json, ",\"username\":");
        json_write_string(json, patch->username, strlen(patch->username));
    }
    if (patch->password != NULL) {
        rc = write_password(patch->password, json, err);
        if (rc != ERR_NONE)
            return rc;
    }
    if (patch->permissions != NULL) {
        rc = write_permissions(patch->permissions, json, err);
        if (rc != ERR_NONE)
            return rc;
    }
    write_flag("is_active", patch->active, json);
    write_flag("is_staff", patch->staff, json);
    write_flag("is_superuser", patch->superuser, json);
    buffer_byte(json, '}');
    if (json->failed)
        return err_set(err, ERR_TOO_LARGE, "the user does not fit");
    /* Every member was written with a comma before it. */
    if (json->bytes[start + 1] == ',') {
        memmove(json->bytes + start + 1, json->bytes + start + 2, json->size - start - 2);
        json->size--;
    }
    return ERR_NONE;
}
