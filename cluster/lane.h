/* lane.h - the way out to one peer: what waits to be sent, and what was sent and waits for an answer
 *
 * Contract   Items of one kind leave in the order in which they came, as many per frame as fit. A request that was sent
 *            stands in the table of pending ones until its answer, its deadline or the loss of the peer; each request
 *            that a lane takes is completed exactly once.
 * Threads    The transport's; `outstanding` and the counters also others'.
 * Ownership  An item given to lane_add or lane_refuse is the lane's, with its reference of the request.
 * Units      Bytes; deadlines in UTC microseconds.
 * Errors     What requests are completed with: see transport.h.
 */
#ifndef FEALTY_LANE_H
#define FEALTY_LANE_H

#include "cluster/handover.h"
#include "cluster/pending.h"
#include "cluster/wire.h"

/* One thing on its way out, from the handover to the frame. */
typedef struct {
    handover_entry_t entry; /* first: the handover knows only this */
    void *owner;            /* borrowed; the transport */
    size_t link;
    uint64_t session;   /* of a result: the peer's session that asked */
    uint64_t id;        /* of a result: the asker's */
    request_t *request; /* owned reference; NULL for a message */
    uint16_t partition; /* of a message */
    uint8_t kind;
    size_t n;        /* of a message */
    uint8_t bytes[]; /* of a message */
} item_t;

typedef struct {
    item_t *first;
    item_t *last;
} item_list_t;

/* Shared by the lanes of a transport. */
typedef struct {
    atomic_size_t message_bytes; /* of messages that wait to be sent */
    atomic_uint_fast64_t frames_sent, frames_received, items_sent, messages_dropped;
} lane_counters_t;

typedef struct {
    wire_t *wire; /* borrowed */
    size_t link;
    const char *address;               /* borrowed */
    hash_t from;                       /* own incarnation */
    hash_t to;                         /* the peer's, zero: not known */
    lane_counters_t *counters;         /* borrowed */
    item_list_t lists[LINK_KIND__END]; /* COMMANDS, RESULTS, MESSAGES, QUERIES, QUERIES_ANY */
    pending_t *pending;                /* owned */
    buffer_t body;                     /* of the frame being made */
    uint64_t batch;                    /* number of that frame */
    uint64_t session;                  /* what was sent under; see members_session */
    uint32_t inbound;                  /* the peer's requests that are being answered here */
    errcode_t
        not_sent; /* what a request is completed with that this peer did not get, or a question that it lost */
    bool blocked;            /* something waits and the socket does not take it */
    atomic_uint outstanding; /* our requests to it, from transport_post to completion */
} lane_t;

/* not_sent stands at ERR_UNREACHABLE; on a shared log it is ERR_NOT_OWNER: somebody else may take over. */
void lane_init(lane_t *self, wire_t *wire, size_t link, const char *address, const hash_t *from,
               lane_counters_t *counters);
/* All must have been sent, refused or lost. */
void lane_free(lane_t *self);

void lane_add(lane_t *self, item_t *item);
/* Sends what waits while the socket takes it; true when something was sent. */
bool lane_send_waiting(lane_t *self);
/* One frame with what lane->body holds. */
bool lane_send(lane_t *self, link_kind_t kind, uint32_t count);
void lane_send_blob(lane_t *self, link_kind_t kind, const void *bytes, size_t n);
void lane_send_nothing(lane_t *self, link_kind_t kind);

/* A checked frame of results from the peer. */
void lane_take_results(lane_t *self, const link_header_t *header, const wire_frame_t *frame);
/* Gives up what is overdue. */
void lane_expire(lane_t *self, int64_t wall_us);
/* Nothing sent so far will be answered; what waits is not sent. `why` completes "the node at X ...". */
void lane_lose(lane_t *self, const char *why);
/* An item that cannot be sent. */
void lane_refuse(lane_t *self, item_t *item);
void item_free(item_t *item, lane_counters_t *counters);

#endif
