/* adoptions.h - partitions whose log was lost, and which node's image became their new history (protocol section 15)
 *
 * Contract   An adoption names a partition, the history that held until then (`old`), that of the image which is adopted
 *            (`image`, mostly the same), the new one, and where the image stands. The control channel holds them in one
 *            order; one counts when `old` is what the one before it made (or it is the partition's first), so every node
 *            that has read the same part of it has the same list. The newest of a partition says which history it has:
 *            records, copies and frames of all others are of the past.
 *            A history descends from another one along `image`: what stands in both up to the place where the image was
 *            taken is the same.
 * Threads    That of the replicas.
 * Ownership  A value of up to a megabyte, owned by who made it.
 * Units      Offsets of the log; microseconds UTC.
 * Errors     None. NULL stands for no adoptions where a list is const.
 */
#ifndef FEALTY_ADOPTIONS_H
#define FEALTY_ADOPTIONS_H

#include "protocol/record.h"

#define ADOPTIONS_MAX         2048 /* of all partitions, for ever */
#define ADOPTION_REASON_BYTES 201
/* Epoch, seq and ids move ahead by this: what others may have seen of the lost records stays behind it. */
#define ADOPTION_AHEAD (UINT64_C(1) << 20)

typedef struct {
    uint16_t partition;
    hash_t old;                 /* the partition's history until now */
    hash_t image;               /* history of the image */
    hash_t fresh;               /* random; the partition's history from now on */
    hash_t node;                /* whose image it is */
    uint64_t epoch, seq, chain; /* where the image stands */
    uint64_t
        offset; /* from which on the log is read: records of the new history count nowhere before it */
    int64_t at_us;
    char reason[ADOPTION_REASON_BYTES]; /* for people; printable ASCII */
} adoption_t;

typedef struct adoptions adoptions_t;

adoptions_t *adoptions_new(void);
void adoptions_destroy(adoptions_t **self_p);
/* false: it does not count, or there is no room. */
bool adoptions_add(adoptions_t *self, const adoption_t *adoption);
/* NULL: the partition has the history of its log. */
const adoption_t *adoptions_latest(const adoptions_t *self, uint16_t partition);
/* The history is one that the partition had, and has no more. */
bool adoptions_replaced(const adoptions_t *self, uint16_t partition, const hash_t *history);
/* How many adoptions lie between two histories of which one came from an image of the other, at once (1) or over others.
 * 0: it did not. */
size_t adoptions_between(const adoptions_t *self, uint16_t partition, const hash_t *fresh,
                         const hash_t *older);
size_t adoptions_count(const adoptions_t *self);
const adoption_t *adoptions_at(const adoptions_t *self, size_t i);

#endif
