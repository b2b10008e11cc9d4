/* snapshot_service.h - gives snapshots of this node's copies to peers, and fills a copy here from one of them
 *
 * Contract   Two threads: one sends (at most SNAPSHOT_SENDING_MAX at a time, who asks beyond that is told to ask somebody
 *            else), one fills one copy at a time. A chunk is acknowledged when it is written; at most SNAPSHOT_WINDOW are
 *            on their way. A source that says nothing for 5 s is given up, and the next one is asked, from the start.
 *            The copy that is there is not touched before a source has begun to send something newer.
 *            While a copy is filled its replica must be closed and nobody else may write its rows.
 * Threads    snapshot_service_fill, _poll and _cancel: one, the governor's. The rest: any.
 * Ownership  store, catalogue and texts are borrowed until snapshot_service_close; sources are copied.
 * Units      Bytes, microseconds.
 * Errors     Of opening: as bulk.h. What goes wrong with a source is logged.
 */
#ifndef FEALTY_SNAPSHOT_SERVICE_H
#define FEALTY_SNAPSHOT_SERVICE_H

#include "cluster/addresses.h"
#include "cluster/fills.h"
#include "cluster/snapshot.h"

#define SNAPSHOT_SENDING_MAX 2
#define SNAPSHOT_SOURCES_MAX 8

typedef struct snapshot_service snapshot_service_t;

typedef struct {
    const char *address;        /* of this node, as its peers dial it */
    uint16_t port;              /* for snapshots; 0: any free one */
    const char *keys_directory; /* NULL: plain text */
    store_t *store;
    catalogue_t *catalogue;
    uint16_t partitions; /* of customers */
    uint64_t
        first; /* number of the first transfer asked for: random, so that no two nodes' are the same */
    /* See snapshot_target_t; called for the catalogue's partition only. */
    void (*session)(void *state, const hash_t *token, const void *value, size_t n);
    void *state;
} snapshot_service_config_t;

typedef struct {
    char address[ADDRESS_BYTES];
    uint16_t port;
} snapshot_source_t;

errcode_t snapshot_service_open(snapshot_service_t **self_p,
                                const snapshot_service_config_t *config, err_t *err);
/* Ends what is under way, and the threads; a copy that was being filled keeps its marker. The rest may still be called. */
void snapshot_service_stop(snapshot_service_t *self);
void snapshot_service_close(snapshot_service_t **self_p);
uint16_t snapshot_service_port(const snapshot_service_t *self);
/* Nothing is given or asked before it is known; never to or from another cluster. */
void snapshot_service_set_cluster(snapshot_service_t *self, const hash_t *cluster);

/* Begins to fill a copy; false: another one is being filled, or there is no source. `history`: see filler_t. */
bool snapshot_service_fill(snapshot_service_t *self, uint16_t partition,
                           const snapshot_source_t *sources, size_t count, const hash_t *history);
/* FILL_DONE, FILL_UNTOUCHED and FILL_BROKEN are said once. */
fill_state_t snapshot_service_poll(snapshot_service_t *self);
void snapshot_service_cancel(snapshot_service_t *self);

/* Prometheus lines. */
void snapshot_service_metrics(snapshot_service_t *self, buffer_t *out);

#endif
