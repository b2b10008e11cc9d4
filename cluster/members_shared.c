/* members_shared.c - peers of a cluster on a shared log: they come and go, and the highest epoch owns */
#include "cluster/members_state.h"

#include "protocol/log.h"

#include <stdio.h>
#include <stdlib.h>

#define OWN_LINK    0
#define EPOCH_BYTES ((BIRTH_PARTITIONS_MAX + 1) * sizeof(uint64_t))

members_t *members_new_shared(const char *own_address, const hash_t *incarnation,
                              uint16_t partitions)
{
    addresses_t *addresses = memory_zalloc(sizeof *addresses);
    members_t *self;

    INVARIANT(strlen(own_address) < ADDRESS_BYTES);
    addresses->count = ADDRESSES_MAX;
    addresses->own = OWN_LINK;
    memcpy(addresses->text[OWN_LINK], own_address, strlen(own_address) + 1);
    self = members_new(addresses, incarnation, partitions);
    free(addresses);
    self->shared = true;
    self->epochs = memory_zalloc(EPOCH_BYTES);
    return self;
}

bool members_is_shared(const members_t *self)
{
    return self->shared;
}

void members_set_cluster(members_t *self, const hash_t *cluster, uint16_t partitions)
{
    INVARIANT(self->shared);
    INVARIANT(partitions > 0 && partitions <= BIRTH_PARTITIONS_MAX);
    self->born = true; /* in the sense of members_judge: it is known where this node belongs */
    self->birth.settled = true;
    self->birth.cluster = *cluster;
    self->birth.partitions = partitions;
    self->partitions = partitions;
    members_judge(self);
}

size_t members_add(members_t *self, const char *address)
{
    INVARIANT(self->shared);
    if (members_link_of_address(self, address) < self->addresses.count ||
        address_check(address, NULL, NULL, NULL) != ERR_NONE)
        return self->addresses.count;
    for (size_t i = 0; i < self->addresses.count; i++) {
        if (i == OWN_LINK || self->addresses.text[i][0] != '\0')
            continue;
        memcpy(self->addresses.text[i], address, strlen(address) + 1);
        self->peers[i].epochs = memory_zalloc(EPOCH_BYTES);
        self->version++;
        return i;
    }
    return self->addresses.count;
}

/* What was sent to it will not be answered any more, and what comes from it later is not of the next peer here. */
void members_remove(members_t *self, size_t link)
{
    peer_t *peer = &self->peers[link];
    uint64_t session = peer->session + 1;

    INVARIANT(self->shared);
    INVARIANT(members_is_peer(self, link));
    log_info("the node at %s is no member any more", self->addresses.text[link]);
    free(peer->epochs);
    memset(peer, 0, sizeof *peer);
    peer->session = session;
    self->addresses.text[link][0] = '\0';
    members_judge(self);
}

void members_set_owned(members_t *self, uint16_t partition, uint64_t epoch)
{
    INVARIANT(self->shared);
    INVARIANT(partition <= BIRTH_PARTITIONS_MAX);
    if (self->epochs[partition] == epoch)
        return;
    self->epochs[partition] = epoch;
    self->version++;
}

void members_set_bulk_port(members_t *self, uint16_t port)
{
    INVARIANT(self->shared);
    self->bulk_port = port;
}

uint16_t members_bulk_port(const members_t *self, size_t link)
{
    return self->peers[link].bulk_port;
}

void members_set_dialling(members_t *self, size_t link, const char *why)
{
    peer_t *peer = &self->peers[link];

    if (strncmp(peer->dialling, why, sizeof peer->dialling - 1) == 0)
        return;
    (void)snprintf(peer->dialling, sizeof peer->dialling, "%s", why);
    /* Paths may stand in it; the troubles are written into JSON as they are. */
    for (char *at = peer->dialling; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ')
            *at = '\'';
    }
    if (why[0] != '\0')
        log_error("%s", why);
    self->version++;
}

void members_own_shared_hello(const members_t *self, size_t link, link_shared_hello_t *hello)
{
    memset(hello, 0, sizeof *hello);
    memcpy(hello->address, self->addresses.text[OWN_LINK], sizeof hello->address);
    if (self->peers[link].alive)
        hello->heard = self->peers[link].incarnation;
    hello->partitions = self->partitions;
    hello->bulk_port = self->bulk_port;
    if (!self->born)
        return;
    hello->known = true;
    hello->cluster = self->birth.cluster;
    for (uint32_t i = 0; i <= self->partitions; i++)
        hello->epochs[i] = self->epochs[i];
}

size_t members_shared_hello(members_t *self, const hash_t *from, const link_shared_hello_t *hello,
                            int64_t now_us)
{
    size_t link = members_link_of_address(self, hello->address);
    link_hello_t *as_peer;
    peer_t *peer;
    bool news, taken = true;

    INVARIANT(self->shared);
    self->now_us = now_us;
    if (hash_equal(from, &self->incarnation))
        return self->addresses.count;
    if (link == OWN_LINK) {
        members_stranger_said(self, now_us,
                              "another process says that it is reached at this node's address %s",
                              hello->address);
        return self->addresses.count;
    }
    if (link == self->addresses.count) {
        /* Of the own cluster: it has read a view that this node will read yet. */
        if (self->born && hello->known && !hash_equal(&hello->cluster, &self->birth.cluster))
            members_stranger_said(self, now_us,
                                  "a node at %s, which belongs to another cluster, says hello",
                                  hello->address);
        return self->addresses.count;
    }
    as_peer = memory_zalloc(sizeof *as_peer);
    memcpy(as_peer->address, hello->address, sizeof as_peer->address);
    as_peer->heard = hello->heard;
    as_peer->born = hello->known;
    as_peer->settled = hello->known;
    as_peer->cluster = hello->cluster;
    as_peer->partitions = hello->partitions;
    for (uint32_t i = 0; i <= hello->partitions; i++) {
        if (hello->epochs[i] != 0)
            as_peer->owned[i / 8] = (uint8_t)(as_peer->owned[i / 8] | 1 << i % 8);
    }
    peer = &self->peers[link];
    news = !peer->up || !hash_equal(from, &peer->incarnation) ||
           !hash_equal(&hello->heard, &peer->hello.heard) || hello->known != peer->hello.born ||
           !hash_equal(&hello->cluster, &peer->hello.cluster) ||
           hello->partitions != peer->hello.partitions || hello->bulk_port != peer->bulk_port ||
           memcmp(peer->epochs, hello->epochs, EPOCH_BYTES) != 0;
    /* Most say what the one before said: then nothing follows from it but that the peer is there. */
    peer->heard_us = news ? peer->heard_us : now_us;
    if (news)
        taken = members_take_hello(self, link, from, as_peer, now_us);
    if (news && taken) {
        memcpy(peer->epochs, hello->epochs, EPOCH_BYTES);
        peer->bulk_port = hello->bulk_port;
    }
    free(as_peer);
    return taken ? link : self->addresses.count;
}

void members_misfit(members_t *self, const char *address, int64_t now_us)
{
    members_stranger_said(
        self, now_us,
        self->shared ? "the node at %s keeps its partitions to itself, this one on a shared log"
                     : "the node at %s keeps its partitions on a shared log, this one to itself",
        address);
}

void members_best(const members_t *self, members_best_t *best)
{
    memset(best, 0, sizeof *best);
    for (size_t i = 0; i < self->addresses.count; i++) {
        const peer_t *peer = &self->peers[i];

        if (!peer->known || peer->foreign || peer->bye)
            continue;
        for (uint32_t k = 0; k <= peer->hello.partitions; k++) {
            uint64_t epoch = peer->epochs[k];
            bool best_up = best->epochs[k] != 0 && self->peers[best->links[k]].up;

            if (epoch == 0 || peer->up < best_up ||
                (peer->up == best_up && epoch <= best->epochs[k]))
                continue;
            best->epochs[k] = epoch;
            best->links[k] = (uint8_t)i;
        }
    }
}

/* A peer that has not read a view yet is neither up nor a trouble: it will. */
void members_judge_shared(members_t *self, peer_t *peer)
{
    const link_hello_t *hello = &peer->hello;

    peer->foreign =
        !self->born || !hello->born || !hash_equal(&hello->cluster, &self->birth.cluster);
    if (peer->foreign && self->born && hello->born)
        members_refuse(peer, false,
                       "the node at %s belongs to another cluster than this node: one of the two "
                       "reads another log",
                       hello->address);
}
