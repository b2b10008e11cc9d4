/* row_order.h - private: brings the rows of a write into an order that a sorted map takes in cheaply
 *
 * Contract   Rows are ordered by family and the first eight bytes of the key; rows that are equal in these keep their
 *            order, so of two writes of one key the later one stays the later one. Not a full sort: neighbours need
 *            only be near each other.
 * Threads    One thread at a time.
 * Ownership  Rows are borrowed from the bytes they were read from.
 * Units      Nothing to say.
 * Errors     None: a caller takes the rows out when it is full.
 */
#ifndef FEALTY_ROW_ORDER_H
#define FEALTY_ROW_ORDER_H

#include "storage/batch.h"

#define ROW_ORDER_MAX 4096

typedef struct {
    uint64_t prefix;
    uint32_t family;
    uint32_t index;
} row_rank_t;

typedef struct {
    row_write_t rows[ROW_ORDER_MAX];
    row_rank_t ranks[ROW_ORDER_MAX];
    size_t count;
} row_order_t;

/* False when there is no room left. */
bool row_order_add(row_order_t *self, const row_write_t *row);
/* After it, the i-th row is rows[ranks[i].index]. */
void row_order_sort(row_order_t *self);

#endif
