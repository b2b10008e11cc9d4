/* router.h - any node answers any request: finds the owner, here or elsewhere
 *
 * Contract   router_post takes a command to the partition's owner: the local shard's mailbox, or batched into the next
 *            frame to its node. The answer completes the request. When the owner is not connected: ERR_UNREACHABLE with
 *            the node's name, at once. A request sent to a node that then went away completes with ERR_UNKNOWN_OUTCOME
 *            (its outcome can be asked for by its key), never with a plain failure.
 *            router_query runs a query at the owner and waits. router_scatter runs it at several partitions; one that
 *            cannot answer makes the whole fail, with its node's name: never a partial answer.
 *            On a shared log owners change at run time: a command that was not applied because of that is sent again to
 *            the new owner by itself, and one without an owner waits up to 1 s for it (see router_setup.h).
 * Threads    Any.
 * Ownership  See request.h.
 * Units      Microseconds, wall clock deadlines.
 * Errors     ERR_UNREACHABLE, ERR_OVERLOADED, ERR_UNKNOWN_OUTCOME; those of query.h. READ_SESSION waits up to 2 s for the
 *            copy here before it is ERR_POSITION_AHEAD.
 */
#ifndef FEALTY_ROUTER_H
#define FEALTY_ROUTER_H

#include "actors/query.h"
#include "actors/request.h"

typedef struct router router_t;

/* How fresh an answer must be. The embedded journal has one answer to all: the owner's store is linearizable. */
typedef enum {
    READ_LINEARIZABLE, /* a barrier goes through the owner's log first */
    READ_SESSION, /* a copy that has reached the places in query.after: this node's if it follows the partition, else
                   * the owner's, as READ_LINEARIZABLE. Of several partitions: as READ_LINEARIZABLE */
    READ_ANY /* this node's copy if it follows the partition, else the owner's, without a barrier */
} read_level_t;

uint16_t router_partitions(
    const router_t *self); /* of customers; the catalogue's has this number */
uint16_t router_catalogue_partition(const router_t *self);
bool router_is_shared(const router_t *self); /* the log is shared with other nodes */
/* Lowest partition that this node owns; on a shared log the catalogue's. */
uint16_t router_home_partition(const router_t *self);
uint16_t router_partition_of_customer(const router_t *self, const uuid16_t *customer);
uint16_t router_partition_of_id(const router_t *self, uint64_t id);

errcode_t router_post(router_t *self, request_t *request, err_t *err);
errcode_t router_query(router_t *self, uint16_t partition, const query_t *query,
                       int64_t deadline_us, buffer_t *answer, err_t *err);
/* answers[i] belongs to partition i, i < router_partitions(). */
errcode_t router_scatter(router_t *self, const query_t *query, int64_t deadline_us,
                         buffer_t *answers, err_t *err);
/* The two above are READ_LINEARIZABLE. */
errcode_t router_query_at(router_t *self, uint16_t partition, read_level_t level,
                          const query_t *query, int64_t deadline_us, buffer_t *answer, err_t *err);
errcode_t router_scatter_at(router_t *self, read_level_t level, const query_t *query,
                            int64_t deadline_us, buffer_t *answers, err_t *err);

/* Name of the node that owns a partition, "" when nobody advertises it. Borrowed for the life of the router. */
const char *router_owner_name(const router_t *self, uint16_t partition);
/* true when this node serves; *out gets the JSON body of /readyz (nodes, partitions, troubles). */
bool router_ready(router_t *self, buffer_t *out);
catalogue_t *router_catalogue(router_t *self);
int64_t router_now_us(router_t *self); /* wall */

#endif
