/* transport.h - the thread that speaks with the other nodes
 *
 * Contract   Commands, questions, their answers and partition messages are handed over by any thread, batched per peer,
 *            and sent as few frames; what arrives is given to the hooks. A posted request is completed exactly once:
 *            with the answer; with ERR_UNREACHABLE when it was never sent; with ERR_UNKNOWN_OUTCOME when it was sent
 *            and the peer went away, started anew or let the deadline pass (questions: ERR_UNREACHABLE).
 *            Messages are at most once and dropped when the peer is down.
 * Threads    transport_post, transport_message, transport_metrics: any. Hooks post, deliver and changed run on the
 *            transport's thread and must not block; query runs on its query threads.
 * Ownership  All of the configuration is borrowed until transport_destroy.
 * Units      Microseconds.
 * Errors     transport_post: ERR_UNREACHABLE when stopping, ERR_OVERLOADED, ERR_TOO_LARGE.
 */
#ifndef FEALTY_TRANSPORT_H
#define FEALTY_TRANSPORT_H

#include "actors/request.h"
#include "cluster/birthing.h"
#include "protocol/clock.h"

#define TRANSPORT_OUTSTANDING_MAX \
    16384 /* requests to a peer without answer; the same number from a peer */
#define TRANSPORT_MESSAGE_BYTES_MAX ((size_t)16 * 1024 * 1024) /* messages waiting to be sent */
#define TRANSPORT_QUESTIONS_MAX     512 /* from peers, waiting for a query thread */
#define TRANSPORT_QUERY_THREADS     2

typedef struct transport transport_t;

typedef struct {
    void *state;
    /* To the local shard; as router_post. */
    errcode_t (*post)(void *state, request_t *request, err_t *err);
    void (*deliver)(void *state, uint16_t dst, const void *frame, size_t n);
    errcode_t (*query)(void *state, uint16_t partition, const void *query, size_t n,
                       buffer_t *answer, err_t *err);
    /* After any change of what members or birthing say. */
    void (*changed)(void *state, const members_t *members, const birthing_t *birthing);
} transport_hooks_t;

typedef struct {
    const addresses_t *addresses;
    const char *keys_directory; /* NULL: plain text */
    hash_t incarnation;
    uint16_t partitions;
    const clock_source_t *clock;
    members_t *members;   /* the transport's thread only, once it runs */
    birthing_t *birthing; /* likewise */
    transport_hooks_t hooks;
} transport_config_t;

errcode_t transport_open(transport_t **self_p, const transport_config_t *config, err_t *err);
errcode_t transport_start(transport_t *self, err_t *err);
/* Sends what is there, says good-bye, completes all that is outstanding. */
void transport_stop(transport_t *self);
void transport_destroy(transport_t **self_p);

/* kind LINK_COMMANDS or LINK_QUERIES. */
errcode_t transport_post(transport_t *self, size_t link, link_kind_t kind, request_t *request,
                         err_t *err);
void transport_message(transport_t *self, size_t link, uint16_t dst, const void *frame, size_t n);
/* Prometheus lines; a metrics source. */
void transport_metrics(void *transport, buffer_t *out);

#endif
