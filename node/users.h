/* users.h - users as definitions: the JSON that a define command carries, and passwords
 *
 * Contract   A password is kept only as libsodium's argon2id string. user_patch() writes the members that are given;
 *            what it leaves out keeps its value.
 * Threads    Pure, but for the randomness of salts.
 * Ownership  Caller's buffers; texts are borrowed for the call.
 * Units      Nothing to say.
 * Errors     ERR_INVALID with a sentence about the name or password; ERR_INTERNAL when there is no memory to hash.
 */
#ifndef FEALTY_USERS_H
#define FEALTY_USERS_H

#include "actors/catalogue.h"

#define USER_PASSWORD_BYTES        160
#define USER_PASSWORD_LEAST        8
#define USER_PASSWORD_RANDOM_BYTES 21 /* 20 characters and NUL */

typedef struct {
    const char *username;    /* NULL: not given; so for all texts */
    const char *password;    /* as typed */
    const char *permissions; /* names separated by commas; "" = none */
    int active;              /* -1: not given */
    int staff;
    int superuser;
} user_patch_t;

void user_random_password(char out[USER_PASSWORD_RANDOM_BYTES]);
errcode_t user_patch_encode(const user_patch_t *patch, buffer_t *json, err_t *err);

#endif
