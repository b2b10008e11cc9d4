/* adopt.h - an image of a partition becomes the beginning of a new history (protocol section 15)
 *
 * Contract   In one synced batch: the stored position gets the new history, its epoch and seq move ADOPTION_AHEAD ahead,
 *            nobody owns it, and the log is read from the adoption's offset on; ids move ahead likewise; every sending
 *            side of a pair notes the number of its next message (pair_out_t, floor), so that a receiver which has seen
 *            more of the old history than the image holds can tell. A row keeps the histories that it came from.
 * Threads    The one that the closed copy belongs to.
 * Ownership  Borrowed arguments.
 * Units      As the rows.
 * Errors     Those of the store; ERR_STATE when no ids are left.
 */
#ifndef FEALTY_ADOPT_H
#define FEALTY_ADOPT_H

#include "actors/adoptions.h"
#include "storage/store.h"

/* *position: as stored; becomes the new one. `skips`: mark of the skips up to the adoption's offset. */
errcode_t adopt_image(store_t *store, uint16_t partitions, const adoption_t *adoption,
                      uint64_t skips, position_t *position, err_t *err);

/* The copy in this store came from a history, by adoptions, at once or over others. */
errcode_t adopt_came_from(store_t *store, uint16_t partition, const hash_t *history,
                          buffer_t *value, bool *came, err_t *err);

/* Adds to a batch: the ids that partition p gives out move `ahead` of all that stand in the store. */
errcode_t adopt_ids_ahead(store_t *store, uint16_t partition, uint64_t ahead, buffer_t *value,
                          buffer_t *batch, err_t *err);

#endif
