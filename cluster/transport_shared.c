/* transport_shared.c - on a shared log: members that come and go, and what this node owns, told to all */
#include "cluster/transport_state.h"

#define DIAL_AGAIN_US INT64_C(1000000)

static void unlock_and_wake(transport_t *self);
static void follow_addresses(transport_t *self);
static bool is_listed(const said_t *said, const char *address);
static void rename_link(transport_t *self, size_t link);

errcode_t transport_ask(transport_t *self, request_t *question, err_t *err)
{
    return questions_post(self->questions, question, err);
}

void transport_set_cluster(transport_t *self, const hash_t *cluster, uint16_t partitions)
{
    (void)pthread_mutex_lock(&self->lock);
    self->said.cluster = *cluster;
    self->said.partitions = partitions;
    self->said.cluster_changed = true;
    unlock_and_wake(self);
}

void transport_set_members(transport_t *self, const char *const *addresses, size_t count)
{
    said_t *said = &self->said;

    INVARIANT(count <= ADDRESSES_MAX);
    (void)pthread_mutex_lock(&self->lock);
    said->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (strlen(addresses[i]) < ADDRESS_BYTES)
            memcpy(said->addresses[said->count++], addresses[i], strlen(addresses[i]) + 1);
    }
    said->members_changed = true;
    unlock_and_wake(self);
}

void transport_set_owned(transport_t *self, uint16_t partition, uint64_t epoch)
{
    (void)pthread_mutex_lock(&self->lock);
    self->said.epochs[partition] = epoch;
    self->said.owned_changed = true;
    unlock_and_wake(self);
}

bool transport_follow_said(transport_t *self)
{
    members_t *members = self->config.members;
    said_t *heard = &self->heard;

    if (!atomic_exchange(&self->has_said, false))
        return false;
    (void)pthread_mutex_lock(&self->lock);
    *heard = self->said;
    self->said.cluster_changed = self->said.members_changed = self->said.owned_changed = false;
    (void)pthread_mutex_unlock(&self->lock);
    if (heard->cluster_changed)
        members_set_cluster(members, &heard->cluster, heard->partitions);
    if (heard->members_changed)
        follow_addresses(self);
    for (uint32_t i = 0; heard->owned_changed && i <= BIRTH_PARTITIONS_MAX; i++)
        members_set_owned(members, (uint16_t)i, heard->epochs[i]);
    for (size_t i = 0; i < self->lane_count; i++)
        self->hello_due[i] = members_is_peer(members, i);
    transport_dial(self, clock_boot_us(self->config.clock));
    return true;
}

void transport_dial(transport_t *self, int64_t now_us)
{
    members_t *members = self->config.members;

    for (size_t i = 0; i < self->lane_count; i++) {
        err_t err = {.code = ERR_NONE};

        if (!members_is_peer(members, i))
            continue;
        if (members_is_up(members, i) || wire_can_send(self->wire, i))
            self->dial_us[i] = now_us + DIAL_ANEW_US;
        if (now_us < self->dial_us[i])
            continue;
        /* ZeroMQ does not try again where a key was once refused; and a key may be put here or there later. */
        wire_hang_up(self->wire, i);
        if (wire_dial(self->wire, i, members_address(members, i), &err) == ERR_NONE)
            self->dial_us[i] = now_us + DIAL_ANEW_US;
        else
            self->dial_us[i] = now_us + DIAL_AGAIN_US;
        members_set_dialling(members, i, err.text);
    }
}

void transport_name(transport_t *self, size_t link, char name[ADDRESS_BYTES])
{
    (void)pthread_mutex_lock(&self->lock);
    memcpy(name, self->names[link], ADDRESS_BYTES);
    (void)pthread_mutex_unlock(&self->lock);
}

static void unlock_and_wake(transport_t *self)
{
    (void)pthread_mutex_unlock(&self->lock);
    atomic_store(&self->has_said, true);
    handover_wake(&self->handover);
}

static void follow_addresses(transport_t *self)
{
    members_t *members = self->config.members;
    const said_t *heard = &self->heard;

    for (size_t i = 0; i < self->lane_count; i++) {
        if (!members_is_peer(members, i) || is_listed(heard, members_address(members, i)))
            continue;
        lane_lose(&self->lanes[i], "left the cluster before it answered");
        wire_hang_up(self->wire, i);
        members_remove(members, i);
        rename_link(self, i);
    }
    for (size_t i = 0; i < heard->count; i++) {
        size_t link = members_add(members, heard->addresses[i]);

        if (link == self->lane_count)
            continue; /* known, this node itself, or one that cannot be dialled */
        self->dial_us[link] = 0;
        rename_link(self, link);
    }
}

static bool is_listed(const said_t *said, const char *address)
{
    for (size_t i = 0; i < said->count; i++) {
        if (strcmp(said->addresses[i], address) == 0)
            return true;
    }
    return false;
}

static void rename_link(transport_t *self, size_t link)
{
    (void)pthread_mutex_lock(&self->lock);
    memcpy(self->names[link], members_address(self->config.members, link), ADDRESS_BYTES);
    (void)pthread_mutex_unlock(&self->lock);
}
