/* transport_state.h - what a transport is made of; for the files of the transport only
 *
 * Contract   transport.c runs the thread; transport_shared.c follows what the log says of members and owners.
 * Threads    The transport's, where nothing else is stated.
 * Ownership  Stated at each member.
 * Units      Microseconds of the boot clock.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_TRANSPORT_STATE_H
#define FEALTY_TRANSPORT_STATE_H

#include "cluster/transport.h"

#include "cluster/lane.h"
#include "cluster/questions.h"

#include <pthread.h>

/* A peer that could not be reached for this long is dialled anew. More than a handshake takes. */
#define DIAL_ANEW_US INT64_C(5000000)

/* What other threads said about a shared log. */
typedef struct {
    bool cluster_changed, members_changed, owned_changed;
    hash_t cluster;
    uint16_t partitions;
    size_t count;
    char addresses[ADDRESSES_MAX][ADDRESS_BYTES];
    uint64_t epochs[BIRTH_PARTITIONS_MAX + 1];
} said_t;

struct transport {
    transport_config_t config;
    wire_t *wire; /* owned */
    handover_t handover;
    questions_t *questions; /* owned */
    lane_t *lanes;          /* owned; one per link of the members, that of the own address unused */
    size_t lane_count;
    lane_counters_t counters;
    bool *hello_due;      /* owned; per link: something is new that it has not been told */
    pthread_mutex_t lock; /* guards said and names; nothing is called while it is held */
    said_t said;          /* until the transport's thread comes to it */
    char names[ADDRESSES_MAX][ADDRESS_BYTES]; /* by link, for other threads; "": nobody */
    atomic_bool has_said;
    /* shared log */
    said_t heard;                   /* the thread's copy of said */
    int64_t dial_us[ADDRESSES_MAX]; /* by link, boot clock: when to dial it next */
    uint64_t version;               /* of members, when hooks.changed ran last */
    bool birth_changed;
    bool settled; /* as the peers were told */
    uint64_t beats;
    int64_t tick_us, heartbeat_us; /* boot clock: next ones */
    pthread_t thread;
    bool running;
    atomic_bool stopping;
};

static inline bool transport_is_shared(const transport_t *self)
{
    return self->config.birthing == NULL;
}

/* transport_shared.c. Takes over what others said; true when there was something. */
bool transport_follow_said(transport_t *self);
/* Dials who is a member and is not dialled yet, or has not been reached for a while. */
void transport_dial(transport_t *self, int64_t now_us);
/* Any thread. */
void transport_name(transport_t *self, size_t link, char name[ADDRESS_BYTES]);

#endif
