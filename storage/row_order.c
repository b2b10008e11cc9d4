/* row_order.c - rows of one write, sorted by where they go
 *
 * A round's rows arrive in the order of the requests, all over the key space. Inserted like that, each one walks the
 * memtable's skip list from the top through cold memory; sorted, it starts beside its neighbour. Measured with rounds
 * of 256 earns (768 rows) on a table of a million accounts: 8 to 12 % of the writing thread's time.
 */
#include "storage/row_order.h"

#include <stdlib.h>

static int compare_ranks(const void *a, const void *b);

bool row_order_add(row_order_t *self, const row_write_t *row)
{
    uint64_t prefix = 0;

    if (self->count == ROW_ORDER_MAX)
        return false;
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix = prefix << 8 | (i < row->key_bytes ? row->key[i] : 0);
    self->rows[self->count] = *row;
    self->ranks[self->count] = (row_rank_t){
        .prefix = prefix, .family = (uint32_t)row->family, .index = (uint32_t)self->count};
    self->count++;
    return true;
}

void row_order_sort(row_order_t *self)
{
    if (self->count > 1)
        qsort(self->ranks, self->count, sizeof self->ranks[0], compare_ranks);
}

static int compare_ranks(const void *a, const void *b)
{
    const row_rank_t *left = a;
    const row_rank_t *right = b;

    if (left->family != right->family)
        return left->family < right->family ? -1 : 1;
    if (left->prefix != right->prefix)
        return left->prefix < right->prefix ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}
