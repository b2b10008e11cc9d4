/* birthing.c - agreement of a new cluster's nodes on their birth record */
#include "cluster/birthing.h"

#include "protocol/log.h"

#include <stdio.h>

static bool all_are_empty(const birthing_t *self, const members_t *members);
static bool same_cluster(const birthing_t *self, const link_hello_t *hello);
static void store_birth(birthing_t *self, members_t *members, const birth_t *birth);
static bool names_are_addresses(const birth_t *birth, const addresses_t *addresses);
static void fail(birthing_t *self, const err_t *err);

errcode_t birthing_open(birthing_t *self, store_t *store, const random_source_t *random,
                        const addresses_t *addresses, uint16_t partitions, err_t *err)
{
    memset(self, 0, sizeof *self);
    self->store = store;
    self->random = random;
    self->addresses = addresses;
    self->partitions = partitions;
    return genesis_load(store, &self->birth, &self->born, err);
}

void birthing_step(birthing_t *self, members_t *members, bool offer[ADDRESSES_MAX])
{
    bool first = self->addresses->own == 0;
    bool all_stored = true, settled_elsewhere = false;
    birth_t birth;
    err_t err;

    memset(offer, 0, ADDRESSES_MAX * sizeof *offer);
    if (birthing_done(self))
        return;
    if (!self->born) {
        if (!first || !all_are_empty(self, members))
            return;
        if (genesis_cluster(self->addresses, self->random, self->partitions, &birth, &err) !=
            ERR_NONE) {
            fail(self, &err);
            return;
        }
        log_info("all %zu nodes are here: the cluster begins", self->addresses->count);
        store_birth(self, members, &birth);
        if (!self->born)
            return;
    }
    for (size_t link = 0; link < self->addresses->count; link++) {
        const link_hello_t *hello = members_last_hello(members, link);

        if (link == self->addresses->own)
            continue;
        if (hello == NULL || !members_is_alive(members, link)) {
            all_stored = false;
        } else if (!same_cluster(self, hello)) {
            all_stored = false;
            offer[link] = first && !hello->born;
        } else if (hello->settled) {
            settled_elsewhere = true;
        }
    }
    if ((first && all_stored) || settled_elsewhere) {
        birth = self->birth;
        birth.settled = true;
        store_birth(self, members, &birth);
        memset(offer, 0, ADDRESSES_MAX * sizeof *offer);
    }
}

bool birthing_take(birthing_t *self, members_t *members, size_t link, const void *bytes, size_t n)
{
    birth_t birth;
    err_t err;

    if (birth_decode(&birth, bytes, n, &err) != ERR_NONE) {
        fail(self, &err);
        return false;
    }
    if (self->born)
        return hash_equal(&birth.cluster, &self->birth.cluster);
    /* Only the node with the lowest address of the same list may begin a cluster. */
    if (link != 0 || birth.settled || birth.partitions != self->partitions ||
        !names_are_addresses(&birth, self->addresses)) {
        (void)err_set(&err, ERR_STATE,
                      "the node at %s offers a birth that does not fit this node's configuration",
                      self->addresses->text[link]);
        fail(self, &err);
        return false;
    }
    birth.node = (uint16_t)self->addresses->own;
    store_birth(self, members, &birth);
    return self->born;
}

void birthing_troubles(const birthing_t *self, const members_t *members, buffer_t *out)
{
    if (self->trouble[0] != '\0')
        buffer_printf(out, "%s\"%s\"", out->size > 0 ? "," : "", self->trouble);
    if (birthing_done(self))
        return;
    for (size_t link = 0; link < self->addresses->count; link++) {
        if (link != self->addresses->own && !members_is_alive(members, link))
            buffer_printf(out,
                          "%s\"the cluster begins when all its nodes are here: the node at %s is "
                          "not\"",
                          out->size > 0 ? "," : "", self->addresses->text[link]);
    }
}

static bool all_are_empty(const birthing_t *self, const members_t *members)
{
    hash_t list = addresses_digest(self->addresses);

    for (size_t link = 0; link < self->addresses->count; link++) {
        const link_hello_t *hello = members_last_hello(members, link);

        if (link == self->addresses->own)
            continue;
        if (hello == NULL || !members_is_alive(members, link) || hello->born ||
            hello->partitions != self->partitions || !hash_equal(&hello->list, &list))
            return false;
    }
    return true;
}

static bool same_cluster(const birthing_t *self, const link_hello_t *hello)
{
    return hello->born && hash_equal(&hello->cluster, &self->birth.cluster);
}

static void store_birth(birthing_t *self, members_t *members, const birth_t *birth)
{
    err_t err;

    if (genesis_store(self->store, birth, &err) != ERR_NONE) {
        fail(self, &err);
        return;
    }
    self->birth = *birth;
    self->born = true;
    self->trouble[0] = '\0';
    log_info(birth->settled ? "this node is number %u of %u: its birth is settled"
                            : "this node is number %u of %u: its birth is stored",
             birth->node, birth->node_count);
    members_set_birth(members, birth);
}

static bool names_are_addresses(const birth_t *birth, const addresses_t *addresses)
{
    if (birth->node_count != addresses->count)
        return false;
    for (size_t i = 0; i < addresses->count; i++) {
        if (strcmp(birth->names[i], addresses->text[i]) != 0)
            return false;
    }
    return true;
}

/* Store errors may quote paths; what JSON would have to escape becomes an apostrophe. */
static void fail(birthing_t *self, const err_t *err)
{
    char before[sizeof self->trouble];

    memcpy(before, self->trouble, sizeof before);
    (void)snprintf(self->trouble, sizeof self->trouble, "%s", err->text);
    for (char *at = self->trouble; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ')
            *at = '\'';
    }
    if (strcmp(before, self->trouble) != 0)
        log_error("%s", self->trouble);
}
