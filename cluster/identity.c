/* identity.c - one small META row */
#include "cluster/identity.h"

#include "cluster/genesis.h"
#include "protocol/pack.h"

#include <stdlib.h>

#define IDENTITY_VERSION   1
#define IDENTITY_BYTES_MAX 256

static const uint8_t key[] = {'I'};

static errcode_t store_identity(store_t *store, const identity_t *identity, err_t *err)
{
    buffer_t value, batch;

    buffer_init(&value, IDENTITY_BYTES_MAX);
    buffer_init(&batch, 2 * IDENTITY_BYTES_MAX);
    pack_u64(&value, IDENTITY_VERSION);
    pack_blob(&value, identity->node.bytes, sizeof identity->node.bytes);
    pack_blob(&value, identity->cluster.bytes, sizeof identity->cluster.bytes);
    INVARIANT(!value.failed);
    batch_put(&batch, FAMILY_META, key, sizeof key, value.bytes, value.size);
    const batch_part_t part = {batch.bytes, batch.size};
    errcode_t rc = store_write(store, &part, 1, true, err);
    buffer_free(&batch);
    buffer_free(&value);
    return rc;
}

static errcode_t load_identity(store_t *store, identity_t *identity, bool *found, err_t *err)
{
    buffer_t value;

    memset(identity, 0, sizeof *identity);
    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    errcode_t rc = store_get(store, NULL, FAMILY_META, key, sizeof key, &value, found, err);
    if (rc == ERR_NONE && *found) {
        unpack_t in = unpack_from(value.bytes, value.size);
        uint64_t version = unpack_u64(&in);
        unpack_fixed(&in, identity->node.bytes, sizeof identity->node.bytes);
        unpack_fixed(&in, identity->cluster.bytes, sizeof identity->cluster.bytes);
        if (in.failed || version != IDENTITY_VERSION)
            rc = err_set(err, ERR_CORRUPT, "the node's identity in its data cannot be read");
    }
    buffer_free(&value);
    return rc;
}

errcode_t identity_open(store_t *store, const random_source_t *random, identity_t *identity,
                        err_t *err)
{
    birth_t *birth = memory_alloc(sizeof *birth);
    bool born = false, found = false;
    errcode_t rc = genesis_load(store, birth, &born, err);

    free(birth);
    if (rc == ERR_NONE && born)
        rc = err_set(err, ERR_STATE,
                     "this data directory has its own log (the embedded journal): `fealty migrate` "
                     "moves it into Kafka; start this node on an empty directory");
    if (rc == ERR_NONE)
        rc = load_identity(store, identity, &found, err);
    if (rc != ERR_NONE || found)
        return rc;
    random_fill(random, identity->node.bytes, sizeof identity->node.bytes);
    return store_identity(store, identity, err);
}

errcode_t identity_set_cluster(store_t *store, identity_t *identity, const hash_t *cluster,
                               err_t *err)
{
    if (hash_equal(&identity->cluster, cluster))
        return ERR_NONE;
    identity->cluster = *cluster;
    return store_identity(store, identity, err);
}

errcode_t identity_present(store_t *store, bool *present, err_t *err)
{
    identity_t identity;

    return load_identity(store, &identity, present, err);
}
