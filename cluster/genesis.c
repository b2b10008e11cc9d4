/* genesis.c - the birth record: computed once, stored for ever */
#include "cluster/genesis.h"

#include "cluster/placement.h"
#include "protocol/pack.h"

#define BIRTH_FORMAT 1
#define BIRTH_FIELDS 8

static const char birth_key[] = {'G'};

static errcode_t corrupt(err_t *err);

errcode_t genesis_load(store_t *store, birth_t *birth, bool *found, err_t *err)
{
    buffer_t bytes;
    errcode_t rc;

    *found = false;
    buffer_init(&bytes, BIRTH_BYTES_MAX);
    rc = store_get(store, NULL, FAMILY_META, birth_key, sizeof birth_key, &bytes, found, err);
    if (rc == ERR_NONE && *found)
        rc = birth_decode(birth, bytes.bytes, bytes.failed ? 0 : bytes.size, err);
    buffer_free(&bytes);
    return rc;
}

errcode_t genesis_store(store_t *store, const birth_t *birth, err_t *err)
{
    buffer_t value, batch;
    batch_part_t part;
    errcode_t rc;

    buffer_init(&value, BIRTH_BYTES_MAX);
    buffer_init(&batch, (size_t)2 * BIRTH_BYTES_MAX);
    birth_encode(birth, &value);
    INVARIANT(!value.failed);
    batch_put(&batch, FAMILY_META, birth_key, sizeof birth_key, value.bytes, value.size);
    INVARIANT(!batch.failed);
    part = (batch_part_t){batch.bytes, batch.size};
    rc = store_write(store, &part, 1, true, err);
    buffer_free(&batch);
    buffer_free(&value);
    return rc;
}

errcode_t genesis_single(store_t *store, const random_source_t *random, uint16_t partitions,
                         birth_t *birth, err_t *err)
{
    if (partitions == 0 || partitions > BIRTH_PARTITIONS_MAX)
        return err_set(err, ERR_INVALID, "1 to %d partitions are possible, not %u",
                       BIRTH_PARTITIONS_MAX, partitions);
    memset(birth, 0, sizeof *birth);
    random_fill(random, birth->cluster.bytes, sizeof birth->cluster.bytes);
    birth->partitions = partitions;
    birth->node_count = 1;
    birth->settled = true;
    memcpy(birth->names[0], BIRTH_NAME_SINGLE, sizeof BIRTH_NAME_SINGLE);
    return genesis_store(store, birth, err);
}

errcode_t genesis_cluster(const addresses_t *addresses, const random_source_t *random,
                          uint16_t partitions, birth_t *birth, err_t *err)
{
    const char *names[ADDRESSES_MAX];

    if (partitions == 0 || partitions > BIRTH_PARTITIONS_MAX)
        return err_set(err, ERR_INVALID, "1 to %d partitions are possible, not %u",
                       BIRTH_PARTITIONS_MAX, partitions);
    memset(birth, 0, sizeof *birth);
    for (size_t i = 0; i < addresses->count; i++) {
        memcpy(birth->names[i], addresses->text[i], sizeof birth->names[i]);
        names[i] = birth->names[i];
    }
    random_fill(random, birth->cluster.bytes, sizeof birth->cluster.bytes);
    birth->partitions = partitions;
    birth->node = (uint16_t)addresses->own;
    birth->node_count = (uint16_t)addresses->count;
    return placement_compute(names, addresses->count, partitions, birth->owners, err);
}

size_t birth_owned(const birth_t *birth, uint16_t node, uint16_t *partitions)
{
    size_t count = 0;

    for (uint32_t i = 0; i <= birth->partitions; i++) {
        if (birth->owners[i] == node)
            partitions[count++] = (uint16_t)i;
    }
    return count;
}

size_t birth_homes(const birth_t *birth, uint16_t *homes)
{
    size_t count = 0;

    for (uint16_t node = 0; node < birth->node_count; node++) {
        for (uint32_t i = 0; i <= birth->partitions && node != birth->node; i++) {
            if (birth->owners[i] == node) {
                homes[count++] = (uint16_t)i;
                break;
            }
        }
    }
    return count;
}

void birth_encode(const birth_t *birth, buffer_t *out)
{
    pack_array(out, BIRTH_FIELDS);
    pack_u64(out, BIRTH_FORMAT);
    pack_blob(out, birth->cluster.bytes, sizeof birth->cluster.bytes);
    pack_u64(out, birth->partitions);
    pack_u64(out, birth->node);
    pack_u64(out, birth->node_count);
    pack_bool(out, birth->settled);
    pack_array(out, birth->node_count);
    for (uint16_t i = 0; i < birth->node_count; i++)
        pack_text(out, birth->names[i], strlen(birth->names[i]));
    pack_blob(out, birth->owners, (size_t)birth->partitions + 1);
}

errcode_t birth_decode(birth_t *birth, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint32_t fields = unpack_array(&in);
    uint64_t format = unpack_u64(&in);
    uint64_t partitions, node, node_count;

    memset(birth, 0, sizeof *birth);
    if (in.failed || format == 0)
        return corrupt(err);
    if (format > BIRTH_FORMAT)
        return err_set(err, ERR_STATE, "the birth record has format %llu, this program reads %d",
                       (unsigned long long)format, BIRTH_FORMAT);
    if (fields != BIRTH_FIELDS)
        return corrupt(err);
    (void)unpack_fixed(&in, birth->cluster.bytes, sizeof birth->cluster.bytes);
    partitions = unpack_u64(&in);
    node = unpack_u64(&in);
    node_count = unpack_u64(&in);
    birth->settled = unpack_bool(&in);
    if (in.failed || partitions == 0 || partitions > BIRTH_PARTITIONS_MAX || node_count == 0 ||
        node_count > BIRTH_NODES_MAX || node >= node_count || unpack_array(&in) != node_count)
        return corrupt(err);
    birth->partitions = (uint16_t)partitions;
    birth->node = (uint16_t)node;
    birth->node_count = (uint16_t)node_count;
    for (uint64_t i = 0; i < node_count; i++) {
        const char *name = NULL;
        size_t name_bytes = unpack_text(&in, &name);

        if (in.failed || name_bytes == 0 || name_bytes >= ADDRESS_BYTES)
            return corrupt(err);
        memcpy(birth->names[i], name, name_bytes);
        /* Names are printed, and dialled: nothing but an address or the word for a single node. */
        if (strlen(birth->names[i]) != name_bytes ||
            (strcmp(birth->names[i], BIRTH_NAME_SINGLE) != 0 &&
             address_check(birth->names[i], NULL, NULL, NULL) != ERR_NONE))
            return corrupt(err);
    }
    (void)unpack_fixed(&in, birth->owners, (size_t)partitions + 1);
    if (!unpack_done(&in))
        return corrupt(err);
    for (uint64_t i = 0; i <= partitions; i++) {
        if (birth->owners[i] >= node_count)
            return corrupt(err);
    }
    return ERR_NONE;
}

static errcode_t corrupt(err_t *err)
{
    return err_set(err, ERR_CORRUPT, "these bytes are no birth record");
}
