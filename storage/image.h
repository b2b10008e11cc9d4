/* image.h - the rows of one partition as a whole: to empty them, to fill them anew, and to say when that is done
 *
 * Contract   A partition's rows are those of all families but META whose key begins with its number. While they are
 *            incomplete a marker stands in META 'L' and the stored position is gone: image_begin writes both in one
 *            synced batch, image_wipe deletes rows in steps, image_end puts the position (or none: an empty log's) and
 *            takes the marker away, synced, after everything that was loaded before it. A process that dies in between
 *            finds the marker and starts again with image_wipe.
 * Threads    As the store; one caller per partition.
 * Ownership  Borrowed arguments.
 * Units      Rows.
 * Errors     Those of the store.
 */
#ifndef FEALTY_IMAGE_H
#define FEALTY_IMAGE_H

#include "protocol/record.h"
#include "storage/store.h"

errcode_t image_incomplete(store_t *store, uint16_t partition, bool *incomplete, err_t *err);
errcode_t image_begin(store_t *store, uint16_t partition, err_t *err);
/* Deletes at most rows_max rows; *done once none is left. */
errcode_t image_wipe(store_t *store, uint16_t partition, size_t rows_max, bool *done, err_t *err);
/* `position` NULL: the partition is empty, its log is followed from its first record on. */
errcode_t image_end(store_t *store, uint16_t partition, const position_t *position, err_t *err);

#endif
