/* identity.h - which node of which cluster a data directory belongs to, where the log is shared
 *
 * Contract   Written once per directory by a synced write (META 'I'): a node id that it keeps for ever; then, when the
 *            first view was read, the cluster. A directory of the embedded journal (it has a birth record) is refused
 *            here, and one with an identity must not be opened by the embedded journal: identity_present.
 * Threads    As the store.
 * Ownership  Values.
 * Units      Nothing to say.
 * Errors     ERR_STATE with the way out; ERR_CORRUPT; those of the store.
 */
#ifndef FEALTY_IDENTITY_H
#define FEALTY_IDENTITY_H

#include "protocol/clock.h"
#include "protocol/ids.h"
#include "storage/store.h"

typedef struct {
    hash_t node;
    hash_t cluster; /* zero: not known yet */
} identity_t;

errcode_t identity_open(store_t *store, const random_source_t *random, identity_t *identity,
                        err_t *err);
errcode_t identity_set_cluster(store_t *store, identity_t *identity, const hash_t *cluster,
                               err_t *err);
errcode_t identity_present(store_t *store, bool *present, err_t *err);

#endif
