/* test_genesis.c - birth records: made once, read back exactly, refused when damaged */
#include "cluster/genesis.h"

#include "protocol/pack.h"

#include <criterion/criterion.h>
#include <string.h>

static void born_fill(void *state, void *bytes, size_t n)
{
    memset(bytes, *(int *)state, n);
    ++*(int *)state;
}

static void born_cluster(birth_t *birth, const char *own)
{
    int state = 1;
    const random_source_t random = {born_fill, &state};
    addresses_t addresses;

    cr_assert_eq(addresses_parse(&addresses, own, "h1:7001,h2:7001,h3:7001", NULL), ERR_NONE);
    cr_assert_eq(genesis_cluster(&addresses, &random, 16, birth, NULL), ERR_NONE);
}

static bool born_equal(const birth_t *a, const birth_t *b)
{
    bool same = hash_equal(&a->cluster, &b->cluster) && a->partitions == b->partitions &&
                a->node == b->node && a->node_count == b->node_count && a->settled == b->settled &&
                memcmp(a->owners, b->owners, (size_t)a->partitions + 1) == 0;

    for (int i = 0; same && i < a->node_count; i++)
        same = strcmp(a->names[i], b->names[i]) == 0;
    return same;
}

Test(genesis, of_a_single_node_owns_everything_and_is_stored)
{
    store_t *store = store_memory_new();
    int state = 5;
    const random_source_t random = {born_fill, &state};
    birth_t birth, back;
    uint16_t owned[17];
    uint16_t homes[BIRTH_NODES_MAX];
    bool found = true;

    cr_assert_eq(genesis_load(store, &back, &found, NULL), ERR_NONE);
    cr_assert(!found);
    cr_assert_eq(genesis_single(store, &random, 16, &birth, NULL), ERR_NONE);
    store_memory_crash(store); /* it was synced */
    cr_assert_eq(genesis_load(store, &back, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert(born_equal(&birth, &back));
    cr_assert(back.settled);
    cr_assert_str_eq(back.names[0], "local");
    cr_assert_eq(back.cluster.bytes[0], 5);
    cr_assert_eq(birth_owned(&back, 0, owned), 17);
    cr_assert_eq(owned[16], 16);
    cr_assert_eq(birth_homes(&back, homes), 0);
    store_destroy(&store);
}

Test(genesis, of_a_cluster_is_the_same_seen_from_every_node_but_for_its_number)
{
    birth_t one, other;

    born_cluster(&one, "h1:7001");
    born_cluster(&other, "h3:7001");
    cr_assert_eq(one.node, 0);
    cr_assert_eq(other.node, 2);
    cr_assert(!one.settled);
    other.node = 0;
    cr_assert(born_equal(&one, &other));
}

Test(genesis, gives_every_partition_to_exactly_one_node)
{
    birth_t birth;
    uint16_t owned[17], homes[BIRTH_NODES_MAX];
    int times[17] = {0};

    born_cluster(&birth, "h2:7001");
    for (uint16_t node = 0; node < 3; node++) {
        size_t count = birth_owned(&birth, node, owned);

        for (size_t i = 0; i < count; i++) {
            times[owned[i]]++;
            cr_assert(i == 0 || owned[i - 1] < owned[i]);
        }
    }
    for (int p = 0; p < 17; p++)
        cr_assert_eq(times[p], 1);
    cr_assert_eq(birth_homes(&birth, homes), 2);
    (void)birth_owned(&birth, 0, owned);
    cr_assert_eq(homes[0], owned[0]);
    (void)birth_owned(&birth, 2, owned);
    cr_assert_eq(homes[1], owned[0]);
}

Test(genesis, is_rewritten_only_to_settle_it)
{
    store_t *store = store_memory_new();
    birth_t birth, back;
    bool found = false;

    born_cluster(&birth, "h2:7001");
    cr_assert_eq(genesis_store(store, &birth, NULL), ERR_NONE);
    birth.settled = true;
    cr_assert_eq(genesis_store(store, &birth, NULL), ERR_NONE);
    cr_assert_eq(genesis_load(store, &back, &found, NULL), ERR_NONE);
    cr_assert(found && born_equal(&birth, &back));
    store_destroy(&store);
}

Test(genesis, needs_a_number_of_partitions_that_is_possible)
{
    store_t *store = store_memory_new();
    int state = 1;
    const random_source_t random = {born_fill, &state};
    birth_t birth;

    cr_assert_eq(genesis_single(store, &random, 0, &birth, NULL), ERR_INVALID);
    cr_assert_eq(genesis_single(store, &random, BIRTH_PARTITIONS_MAX + 1, &birth, NULL),
                 ERR_INVALID);
    cr_assert_eq(genesis_single(store, &random, BIRTH_PARTITIONS_MAX, &birth, NULL), ERR_NONE);
    store_destroy(&store);
}

Test(birth, of_the_largest_cluster_fits)
{
    birth_t birth = {.partitions = BIRTH_PARTITIONS_MAX, .node_count = BIRTH_NODES_MAX};
    birth_t back;
    buffer_t bytes;

    for (int i = 0; i < BIRTH_NODES_MAX; i++) {
        memset(birth.names[i], 'a', ADDRESS_BYTES - 1);
        memcpy(birth.names[i] + ADDRESS_BYTES - 6, ":7001", 6);
    }
    for (int i = 0; i <= BIRTH_PARTITIONS_MAX; i++)
        birth.owners[i] = (uint8_t)(i % BIRTH_NODES_MAX);
    buffer_init(&bytes, BIRTH_BYTES_MAX);
    birth_encode(&birth, &bytes);
    cr_assert(!bytes.failed);
    cr_assert_eq(birth_decode(&back, bytes.bytes, bytes.size, NULL), ERR_NONE);
    cr_assert(born_equal(&birth, &back));
    buffer_free(&bytes);
}

Test(birth, that_is_cut_short_or_too_long_is_refused)
{
    birth_t birth, back;
    buffer_t bytes;

    born_cluster(&birth, "h2:7001");
    buffer_init(&bytes, BIRTH_BYTES_MAX);
    birth_encode(&birth, &bytes);
    for (size_t n = 0; n < bytes.size; n++)
        cr_assert_eq(birth_decode(&back, bytes.bytes, n, NULL), ERR_CORRUPT, "%zu bytes", n);
    buffer_byte(&bytes, 0);
    cr_assert_eq(birth_decode(&back, bytes.bytes, bytes.size, NULL), ERR_CORRUPT);
    buffer_free(&bytes);
}

static errcode_t born_refused(const birth_t *birth)
{
    birth_t back;
    buffer_t bytes;
    errcode_t rc;

    buffer_init(&bytes, BIRTH_BYTES_MAX);
    birth_encode(birth, &bytes);
    rc = birth_decode(&back, bytes.bytes, bytes.size, NULL);
    buffer_free(&bytes);
    return rc;
}

Test(birth, that_contradicts_itself_is_refused)
{
    birth_t birth;

    born_cluster(&birth, "h2:7001");
    cr_assert_eq(born_refused(&birth), ERR_NONE);
    birth.node = 3;
    cr_assert_eq(born_refused(&birth), ERR_CORRUPT);
    birth.node = 1;
    birth.owners[16] = 3;
    cr_assert_eq(born_refused(&birth), ERR_CORRUPT);
    birth.owners[16] = 0;
    memcpy(birth.names[0], "h\"1:7", 6);
    cr_assert_eq(born_refused(&birth), ERR_CORRUPT);
}

Test(birth, of_a_newer_format_is_refused_with_a_sentence)
{
    birth_t birth;
    buffer_t bytes;
    err_t err;

    buffer_init(&bytes, BIRTH_BYTES_MAX);
    pack_array(&bytes, 9);
    pack_u64(&bytes, 2);
    for (int i = 1; i < 9; i++)
        pack_nil(&bytes);
    cr_assert_eq(birth_decode(&birth, bytes.bytes, bytes.size, &err), ERR_STATE);
    cr_assert(strstr(err.text, "format 2") != NULL);
    buffer_free(&bytes);
}
