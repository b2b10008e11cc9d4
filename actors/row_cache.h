/* row_cache.h - encoded account rows kept in memory, bounded, the least used ones leave first
 *
 * Contract   Holds the newest decided bytes of a row. A row that is missing here is read from the overlay or the store;
 *            a row that is here is never older than either. Actors are "passivated" by leaving this cache: their state
 *            is always on disk.
 * Threads    One shard's.
 * Ownership  The cache owns copies; row_cache_get lends until the next call on the same cache.
 * Units      Rows and bytes.
 * Errors     None: a row that does not fit is simply not kept.
 */
#ifndef FEALTY_ROW_CACHE_H
#define FEALTY_ROW_CACHE_H

#include "protocol/ids.h"

typedef struct row_cache row_cache_t;

row_cache_t *row_cache_new(uint32_t rows_max, size_t bytes_max);
void row_cache_destroy(row_cache_t **self_p);
const uint8_t *row_cache_get(row_cache_t *self, const uint8_t *key, size_t key_bytes, size_t *n);
void row_cache_put(row_cache_t *self, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                   size_t n);
void row_cache_remove(row_cache_t *self, const uint8_t *key, size_t key_bytes);
void row_cache_clear(row_cache_t *self);

#endif
