/* snapshot_service_state.h - what the two threads of the snapshot service share; for its files only
 *
 * Contract   snapshot_service.c fills, snapshot_send.c sends.
 * Threads    Stated at each member.
 * Ownership  Stated at each member.
 * Units      Bytes.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_SNAPSHOT_SERVICE_STATE_H
#define FEALTY_SNAPSHOT_SERVICE_STATE_H

#include "cluster/bulk.h"
#include "cluster/snapshot_service.h"

#include <pthread.h>
#include <stdatomic.h>

struct snapshot_service {
    snapshot_service_config_t config;
    uint16_t port;
    bulk_t *listener;             /* owned; the sending thread's */
    int wakeup_fill, wakeup_send; /* owned */
    pthread_t filling, sending;
    bool fills, sends; /* these threads run */
    atomic_bool stopping, cancelled;

    pthread_mutex_t lock; /* guards the next four */
    pthread_cond_t asked;
    bool cluster_known;
    hash_t cluster;
    fill_state_t state;

    /* written under the lock before a fill, read by the filling thread during it */
    uint16_t partition;
    hash_t history; /* that the copy must have; zero: see filler_t */
    size_t source_count;
    snapshot_source_t sources[SNAPSHOT_SOURCES_MAX];
    uint64_t transfer; /* the filling thread's: number of the next one */

    atomic_uint_fast64_t filled, broken, sent, received_bytes, sent_bytes, sending_now, filling_now;
};

/* false: not known yet. */
bool snapshot_cluster(snapshot_service_t *self, hash_t *cluster);
/* The sending thread; argument: the service. */
void *snapshot_send_main(void *argument);

#endif
