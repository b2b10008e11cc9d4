/* transport.h - the thread that speaks with the other nodes
 *
 * Contract   Commands, questions, their answers and partition messages are handed over by any thread, batched per peer,
 *            and sent as few frames; what arrives is given to the hooks. A posted request is completed exactly once:
 *            with the answer; with ERR_UNREACHABLE when it was never sent; with ERR_UNKNOWN_OUTCOME when it was sent
 *            and the peer went away, started anew or let the deadline pass (questions: ERR_UNREACHABLE).
 *            Messages are at most once and dropped when the peer is down.
 *            On a shared log (members_is_shared) such ends are ERR_NOT_OWNER instead of ERR_UNREACHABLE, peers are dialled
 *            and hung up at run time, what this node owns is told to all of them as soon as it changes, and a question
 *            goes through the hook `question` first.
 * Threads    transport_post, transport_message, transport_metrics, transport_set_*, transport_ask: any. Hooks post,
 *            deliver, question and changed run on the transport's thread and must not block; query runs on its query
 *            threads.
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
#define TRANSPORT_MESSAGE_BYTES_MAX    ((size_t)16 * 1024 * 1024) /* messages waiting to be sent */
#define TRANSPORT_QUESTIONS_MAX        512 /* from peers, waiting for a query thread */
#define TRANSPORT_QUERY_THREADS        2
#define TRANSPORT_SHARED_QUERY_THREADS 8

typedef struct transport transport_t;

typedef struct {
    void *state;
    /* To the local shard; as router_post. */
    errcode_t (*post)(void *state, request_t *request, err_t *err);
    void (*deliver)(void *state, uint16_t dst, const void *frame, size_t n);
    errcode_t (*query)(void *state, uint16_t partition, const void *query, size_t n,
                       buffer_t *answer, err_t *err);
    /* Shared log: a question of a peer, which is to be given to transport_ask when it may be run, or completed.
     * `any`: any copy that follows the partition may answer. As router_post. */
    errcode_t (*question)(void *state, request_t *question, bool any, err_t *err);
    /* After any change of what members or birthing (NULL on a shared log) say. */
    void (*changed)(void *state, const members_t *members, const birthing_t *birthing);
} transport_hooks_t;

typedef struct {
    const addresses_t *addresses; /* shared log: the own one only */
    const char *keys_directory;   /* NULL: plain text */
    hash_t incarnation;
    uint16_t partitions;
    const clock_source_t *clock;
    members_t *members;   /* the transport's thread only, once it runs */
    birthing_t *birthing; /* likewise; NULL on a shared log */
    transport_hooks_t hooks;
} transport_config_t;

errcode_t transport_open(transport_t **self_p, const transport_config_t *config, err_t *err);
errcode_t transport_start(transport_t *self, err_t *err);
/* Sends what is there, says good-bye, completes all that is outstanding. */
void transport_stop(transport_t *self);
void transport_destroy(transport_t **self_p);

/* kind LINK_COMMANDS, LINK_QUERIES or LINK_QUERIES_ANY. */
errcode_t transport_post(transport_t *self, size_t link, link_kind_t kind, request_t *request,
                         err_t *err);
void transport_message(transport_t *self, size_t link, uint16_t dst, const void *frame, size_t n);
/* To a query thread. As router_post. */
errcode_t transport_ask(transport_t *self, request_t *question, err_t *err);

/* On a shared log: what the log says, see router_setup.h. It takes effect on the transport's thread, soon. */
void transport_set_cluster(transport_t *self, const hash_t *cluster, uint16_t partitions);
void transport_set_members(transport_t *self, const char *const *addresses, size_t count);
void transport_set_owned(transport_t *self, uint16_t partition, uint64_t epoch); /* 0: not owned */

/* Prometheus lines; a metrics source. */
void transport_metrics(void *transport, buffer_t *out);

#endif
