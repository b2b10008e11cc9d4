/* together.h - data directories that are read together: those of all nodes of a cluster, or one alone
 *
 * Contract   together_add() takes the directories one by one; together_whole() says whether they are all of one cluster.
 *            together_pair() proves for messages from one partition to another that what is acknowledged is applied, and
 *            what is applied was sent: acknowledged <= applied < next (protocol section 6); and that both ends know each
 *            other's history. `restore`, `verify` and `migrate` rest on it.
 *            A directory that follows a log in Kafka is taken alone, by together_add_follower(): it holds copies of
 *            partitions, each as far as it had read, so two of them need not be of one moment: together_one_moment().
 * Threads    One.
 * Ownership  The stores are borrowed and must outlive it.
 * Units      Nothing to say.
 * Errors     ERR_STATE: what does not fit, as a sentence; ERR_CORRUPT: a row cannot be read; those of the store.
 */
#ifndef FEALTY_TOGETHER_H
#define FEALTY_TOGETHER_H

#include "actors/message.h"
#include "cluster/genesis.h"
#include "storage/journal.h"

typedef struct {
    size_t count;        /* of directories */
    uint16_t node_count; /* of the cluster */
    uint16_t partitions; /* of customers */
    bool follower;       /* the log is elsewhere; `position` is how far it was applied */
    hash_t cluster;
    store_t *owner[BIRTH_PARTITIONS_MAX + 1]; /* NULL: in none of the directories */
    position_t position[BIRTH_PARTITIONS_MAX + 1];
    uint64_t ordinal[BIRTH_PARTITIONS_MAX + 1];
    bool found[BIRTH_PARTITIONS_MAX + 1]; /* its log is not empty */
} together_t;

/* The history of a peer that was never heard of. */
static inline bool hash_is_zero(const hash_t *hash)
{
    static const hash_t zero;

    return hash_equal(hash, &zero);
}

/* *self starts zeroed. */
errcode_t together_add(together_t *self, store_t *store, const birth_t *birth, err_t *err);
errcode_t together_add_follower(together_t *self, store_t *store, err_t *err);
/* Is every partition at hand? */
bool together_complete(const together_t *self);
/* The same as an error that says what is missing. */
errcode_t together_whole(const together_t *self, err_t *err);

/* Rows of a pair; what is not there yet counts as { next 1 } and { applied 0 }. `value` is scratch. */
errcode_t together_out(const together_t *self, uint16_t src, uint16_t dst, pair_out_t *out,
                       buffer_t *value, err_t *err);
errcode_t together_in(const together_t *self, uint16_t src, uint16_t dst, pair_in_t *in,
                      buffer_t *value, err_t *err);
/* Both ends must be at hand. What each says of messages from src to dst can be true at one and the same moment. */
errcode_t together_one_moment(const together_t *self, uint16_t src, uint16_t dst, buffer_t *value,
                              bool *one, err_t *err);
errcode_t together_pair(const together_t *self, uint16_t src, uint16_t dst, buffer_t *value,
                        err_t *err);

#endif
