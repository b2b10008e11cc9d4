/* first_start.h - what happens once: the first user, and words for a newcomer
 *
 * Contract   first_start_admin() makes the superuser `admin` when there is no user at all and this node keeps the
 *            definitions, by the same road as any other definition. The password is that of FEALTY_ADMIN_PASSWORD, else a
 *            random one. It is handed out once and stored only as a hash.
 * Threads    The thread that starts the node, when the partitions are ready.
 * Ownership  Everything is borrowed.
 * Units      Nothing to say.
 * Errors     ERR_INVALID for a password that is too short; those of the router; ERR_STATE for a refusal.
 */
#ifndef FEALTY_FIRST_START_H
#define FEALTY_FIRST_START_H

#include "cluster/router.h"
#include "node/users.h"

typedef struct {
    bool made;                                 /* now, by this call */
    bool given;                                /* the password came from the environment */
    char password[USER_PASSWORD_RANDOM_BYTES]; /* of a random one */
} first_start_t;

errcode_t first_start_admin(router_t *router, bool owns_definitions, first_start_t *out,
                            err_t *err);

/* Where to go and what to paste. `listen` as in the configuration. */
void first_start_greeting(const first_start_t *self, const char *listen, const char *data,
                          bool new_books, buffer_t *out);

#endif
