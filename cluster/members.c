/* members.c - peers, judged again after every change of what they say or of whether they are heard
 *
 * All that follows from the HELLOs (refusals, contests, who is up) is computed afresh by members_judge(); only three things
 * have a memory: which incarnation a peer had last, when a replaced one was heard again, and that this node itself
 * was found contested.
 */
#include "cluster/members_state.h"

#include "protocol/buffer.h"
#include "protocol/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const hash_t hash_zero;

static void judge_alone(members_t *self, peer_t *peer);
static void judge_against_self(members_t *self, peer_t *peer);
static void judge_pair(peer_t *a, peer_t *b);
static bool counts(const peer_t *peer);
static bool twice(const peer_t *peer, int64_t now_us);
static int shared_partition(const uint8_t *a, const uint8_t *b);
static void own_bits(const members_t *self, uint8_t *bits);
static void append_text(buffer_t *out, const char *text);

members_t *members_new(const addresses_t *addresses, const hash_t *incarnation, uint16_t partitions)
{
    members_t *self = memory_zalloc(sizeof *self);

    self->addresses = *addresses;
    self->incarnation = *incarnation;
    self->list = addresses_digest(addresses);
    self->partitions = partitions;
    self->peers = memory_zalloc(addresses->count * sizeof *self->peers);
    self->version = 1;
    return self;
}

void members_destroy(members_t **self_p)
{
    if (*self_p == NULL)
        return;
    for (size_t i = 0; i < (*self_p)->addresses.count; i++)
        free((*self_p)->peers[i].epochs);
    free((*self_p)->peers);
    free((*self_p)->epochs);
    free(*self_p);
    *self_p = NULL;
}

void members_set_birth(members_t *self, const birth_t *birth)
{
    self->birth = *birth;
    self->born = true;
    members_judge(self);
}

void members_own_hello(const members_t *self, size_t link, link_hello_t *hello)
{
    memset(hello, 0, sizeof *hello);
    memcpy(hello->address, self->addresses.text[self->addresses.own], sizeof hello->address);
    /* Whoever is not heard here must know it: his commands would be answered into a void. */
    if (self->peers[link].alive)
        hello->heard = self->peers[link].incarnation;
    hello->list = self->list;
    hello->partitions = self->born ? self->birth.partitions : self->partitions;
    if (!self->born)
        return;
    hello->born = true;
    hello->settled = self->birth.settled;
    hello->cluster = self->birth.cluster;
    hello->node = self->birth.node;
    own_bits(self, hello->owned);
}

size_t members_count(const members_t *self)
{
    return self->addresses.count;
}

size_t members_own(const members_t *self)
{
    return self->addresses.own;
}

bool members_is_peer(const members_t *self, size_t link)
{
    return link != self->addresses.own && self->addresses.text[link][0] != '\0';
}

const char *members_address(const members_t *self, size_t link)
{
    return self->addresses.text[link];
}

size_t members_hello(members_t *self, const hash_t *from, const link_hello_t *hello, int64_t now_us)
{
    size_t link = members_link_of_address(self, hello->address);

    self->now_us = now_us;
    if (hash_equal(from, &self->incarnation))
        return self->addresses.count;
    if (link == self->addresses.count || link == self->addresses.own) {
        members_stranger_said(
            self, now_us,
            link == self->addresses.own
                ? "another process says that it is reached at this node's address %s"
                : "a node at %s, which is not in this node's list of addresses, says hello",
            hello->address);
        return self->addresses.count;
    }
    return members_take_hello(self, link, from, hello, now_us) ? link : self->addresses.count;
}

bool members_take_hello(members_t *self, size_t link, const hash_t *from, const link_hello_t *hello,
                        int64_t now_us)
{
    peer_t *peer = &self->peers[link];

    self->now_us = now_us;
    if (peer->known && !hash_equal(from, &peer->incarnation)) {
        if (hash_equal(from, &peer->previous)) {
            (void)members_heard(self, from, &self->incarnation, now_us);
            return false;
        }
        peer->previous = peer->incarnation;
        peer->replaced_us = now_us;
        peer->session++;
        peer->up = false;
        self->version++;
    }
    if (!peer->known || !hash_equal(from, &peer->incarnation))
        log_info("the node at %s says hello", hello->address);
    peer->known = true;
    peer->incarnation = *from;
    peer->hello = *hello;
    peer->heard_us = now_us;
    peer->bye = false;
    peer->confirmed = hash_equal(&hello->heard, &self->incarnation);
    members_judge(self);
    return true;
}

size_t members_heard(members_t *self, const hash_t *from, const hash_t *to, int64_t now_us)
{
    self->now_us = now_us;
    for (size_t i = 0; i < self->addresses.count; i++) {
        peer_t *peer = &self->peers[i];

        if (!peer->known)
            continue;
        if (hash_equal(from, &peer->incarnation)) {
            /* Meant for a process that ran here earlier: its sender will learn from our HELLO. */
            if (!hash_equal(to, &self->incarnation))
                return self->addresses.count;
            peer->heard_us = now_us;
            if (UNLIKELY(!peer->alive || !peer->confirmed)) {
                peer->confirmed = true;
                peer->bye = false;
                members_judge(self);
            }
            return i;
        }
        if (hash_equal(from, &peer->previous)) {
            if (now_us - peer->replaced_us > MEMBERS_REPLACED_US) {
                peer->twice_us = now_us;
                members_judge(self);
            }
            return self->addresses.count;
        }
    }
    return self->addresses.count;
}

void members_bye(members_t *self, size_t link)
{
    self->peers[link].bye = true;
    members_judge(self);
}

void members_sweep(members_t *self, int64_t now_us)
{
    bool changed = false;

    self->now_us = now_us;
    for (size_t i = 0; i < self->addresses.count; i++) {
        peer_t *peer = &self->peers[i];
        bool alive = peer->known && !peer->bye && now_us - peer->heard_us < MEMBERS_ALIVE_US;

        changed |= alive != peer->alive || (peer->twice_us != 0 && !twice(peer, now_us));
    }
    if (changed)
        members_judge(self);
    if (self->stranger[0] != '\0' && now_us - self->stranger_us > MEMBERS_CONTESTED_US) {
        self->stranger[0] = '\0';
        self->version++;
    }
}

bool members_is_up(const members_t *self, size_t link)
{
    return self->peers[link].up;
}

bool members_is_alive(const members_t *self, size_t link)
{
    return self->peers[link].alive;
}

uint64_t members_session(const members_t *self, size_t link)
{
    return self->peers[link].session;
}

hash_t members_incarnation(const members_t *self, size_t link)
{
    return self->peers[link].known ? self->peers[link].incarnation : hash_zero;
}

const link_hello_t *members_last_hello(const members_t *self, size_t link)
{
    return self->peers[link].known ? &self->peers[link].hello : NULL;
}

uint64_t members_version(const members_t *self)
{
    return self->version;
}

owner_kind_t members_owner(const members_t *self, uint16_t partition, size_t *link)
{
    bool own = self->born && partition <= self->birth.partitions &&
               self->birth.owners[partition] == self->birth.node;
    const peer_t *best = NULL;

    if ((self->self_contested[partition / 8] >> partition % 8 & 1) != 0 ||
        (own && self->self_refusal[0] != '\0'))
        return OWNER_CONTESTED;
    if (own)
        return OWNER_SELF;
    for (size_t i = 0; i < self->addresses.count; i++) {
        const peer_t *peer = &self->peers[i];

        if (!peer->known || peer->foreign || !peer->hello.born ||
            !link_hello_owns(&peer->hello, partition))
            continue;
        if (peer->contested)
            return OWNER_CONTESTED;
        /* Of those that are gone, the one that was heard last. */
        if (best == NULL || (peer->alive && !best->alive) ||
            (peer->alive == best->alive && peer->heard_us > best->heard_us)) {
            best = peer;
            *link = i;
        }
    }
    return best != NULL ? OWNER_LINK : OWNER_NONE;
}

void members_troubles(const members_t *self, buffer_t *out)
{
    append_text(out, self->self_refusal);
    append_text(out, self->stranger);
    for (size_t i = 0; i < self->addresses.count; i++)
        append_text(out, self->peers[i].refusal);
    for (size_t i = 0; i < self->addresses.count; i++)
        append_text(out, self->peers[i].dialling);
}

size_t members_link_of_address(const members_t *self, const char *address)
{
    size_t i = 0;

    while (i < self->addresses.count && strcmp(self->addresses.text[i], address) != 0)
        i++;
    return i;
}

void members_judge(members_t *self)
{
    int64_t now_us = self->now_us;
    bool was_up[ADDRESSES_MAX];
    char was_self[TROUBLE_BYTES];
    static const char *const none = "";

    memcpy(was_self, self->self_refusal, sizeof was_self);
    for (size_t i = 0; i < self->addresses.count; i++) {
        peer_t *peer = &self->peers[i];

        was_up[i] = peer->up;
        peer->alive = peer->known && !peer->bye && now_us - peer->heard_us < MEMBERS_ALIVE_US;
        peer->contested = false;
        peer->foreign = false;
    }
    for (size_t i = 0; i < self->addresses.count; i++) {
        peer_t *peer = &self->peers[i];
        char before[TROUBLE_BYTES];

        memcpy(before, peer->refusal, sizeof before);
        peer->refusal[0] = '\0';
        if (peer->known && self->shared)
            members_judge_shared(self, peer);
        else if (peer->known)
            judge_alone(self, peer);
        if (twice(peer, now_us))
            members_refuse(peer, true, "two processes are alive that say they are the node at %s",
                           peer->hello.address);
        else
            peer->twice_us = 0;
        if (counts(peer) && !self->shared)
            judge_against_self(self, peer);
        for (size_t k = 0; !self->shared && k < self->addresses.count; k++) {
            if (k != i && self->peers[k].known && counts(peer) && counts(&self->peers[k]))
                judge_pair(peer, &self->peers[k]);
        }
        if (!peer->alive && !peer->contested)
            peer->refusal[0] = '\0';
        if (peer->refusal[0] != '\0' && strcmp(before, peer->refusal) != 0)
            log_error("%s", peer->refusal);
    }
    for (size_t i = 0; i < self->addresses.count; i++) {
        peer_t *peer = &self->peers[i];

        peer->up = peer->alive && peer->confirmed && peer->refusal[0] == '\0' && self->born &&
                   self->birth.settled && peer->hello.born && peer->hello.settled;
        if (was_up[i] && !peer->up)
            peer->session++;
        if (was_up[i] != peer->up)
            log_info("the node at %s is %s%s", peer->hello.address, peer->up ? "up" : "not reached",
                     peer->bye ? ": it stopped in order" : none);
    }
    if (strcmp(was_self, self->self_refusal) != 0)
        log_error("%s", self->self_refusal);
    self->version++;
}

/* What its HELLO says, against what this node knows of its cluster. */
static void judge_alone(members_t *self, peer_t *peer)
{
    const link_hello_t *hello = &peer->hello;

    if (self->born && hello->born) {
        peer->foreign = !hash_equal(&hello->cluster, &self->birth.cluster) ||
                        hello->partitions != self->birth.partitions ||
                        hello->node >= self->birth.node_count;
        if (peer->foreign)
            members_refuse(
                peer, false,
                "the node at %s belongs to another cluster than this node's store: one of the "
                "two has the wrong data directory or address list",
                hello->address);
    } else if (self->born) {
        peer->foreign = true;
        if (self->birth.settled)
            members_refuse(
                peer, false,
                "the store of the node at %s is empty although its cluster exists: start it on "
                "its data directory, or restore that",
                hello->address);
    } else if (hello->born) {
        peer->foreign = true;
        if (hello->settled)
            members_refuse(
                peer, false,
                "this node's store is empty but the node at %s belongs to a cluster already: "
                "start on this node's data directory, or restore it",
                hello->address);
    } else {
        peer->foreign = true;
        if (!hash_equal(&hello->list, &self->list))
            members_refuse(peer, false,
                           "the node at %s was started with another list of cluster addresses",
                           hello->address);
        else if (hello->partitions != self->partitions)
            members_refuse(peer, false,
                           "the node at %s is configured for %u partitions, this node for %u",
                           hello->address, hello->partitions, self->partitions);
    }
}

/* From here on this node cannot know which of the two is the true one, so it stays out until somebody looked. */
static void judge_against_self(members_t *self, peer_t *peer)
{
    uint8_t own[sizeof self->self_contested];
    int shared;

    if (!self->born)
        return;
    own_bits(self, own);
    shared = shared_partition(own, peer->hello.owned);
    if (peer->hello.node == self->birth.node) {
        members_refuse(peer, true, "the node at %s runs on a copy of this node's store (node %u)",
                       peer->hello.address, peer->hello.node);
        (void)snprintf(
            self->self_refusal, sizeof self->self_refusal,
            "this node and the one at %s run on copies of one store (node %u): this node "
            "serves nothing until one of them is stopped and this one started again",
            peer->hello.address, self->birth.node);
    } else if (shared >= 0) {
        members_refuse(peer, true, "the node at %s advertises partition %d, which this node owns",
                       peer->hello.address, shared);
        for (size_t i = 0; i < sizeof own; i++)
            self->self_contested[i] |= own[i] & peer->hello.owned[i];
    }
}

static void judge_pair(peer_t *a, peer_t *b)
{
    int shared = shared_partition(a->hello.owned, b->hello.owned);

    if (a->hello.node == b->hello.node)
        members_refuse(a, true, "the nodes at %s and %s both say that they are node %u",
                       a->hello.address, b->hello.address, a->hello.node);
    else if (shared >= 0)
        members_refuse(a, true, "the nodes at %s and %s both advertise partition %d",
                       a->hello.address, b->hello.address, shared);
}

/* Alive and of this cluster: what it claims is a claim. */
static bool counts(const peer_t *peer)
{
    return peer->known && peer->alive && !peer->foreign && peer->hello.born;
}

static bool twice(const peer_t *peer, int64_t now_us)
{
    return peer->twice_us != 0 && now_us - peer->twice_us < MEMBERS_CONTESTED_US;
}

static int shared_partition(const uint8_t *a, const uint8_t *b)
{
    for (int i = 0; i <= BIRTH_PARTITIONS_MAX; i++) {
        if ((a[i / 8] & b[i / 8] & (1 << i % 8)) != 0)
            return i;
    }
    return -1;
}

static void own_bits(const members_t *self, uint8_t *bits)
{
    memset(bits, 0, sizeof self->self_contested);
    for (unsigned i = 0; i <= self->birth.partitions; i++) {
        if (self->birth.owners[i] == self->birth.node)
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1 << i % 8);
    }
}

/* The first reason stands. */
void members_refuse(peer_t *peer, bool contested, const char *format, ...)
{
    va_list args;

    peer->contested |= contested;
    if (peer->refusal[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(peer->refusal, sizeof peer->refusal, format, args);
    va_end(args);
}

void members_stranger_said(members_t *self, int64_t now_us, const char *format, ...)
{
    char before[TROUBLE_BYTES];
    va_list args;

    memcpy(before, self->stranger, sizeof before);
    va_start(args, format);
    (void)vsnprintf(self->stranger, sizeof self->stranger, format, args);
    va_end(args);
    self->stranger_us = now_us;
    if (strcmp(before, self->stranger) != 0) {
        log_error("%s", self->stranger);
        self->version++;
    }
}

/* Texts hold addresses and numbers only, nothing that JSON would have to escape. */
static void append_text(buffer_t *out, const char *text)
{
    if (text[0] == '\0')
        return;
    buffer_printf(out, "%s\"%s\"", out->size > 0 ? "," : "", text);
}
