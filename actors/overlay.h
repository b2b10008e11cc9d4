/* overlay.h - what the present round has decided but not yet committed
 *
 * Contract   Row writes of the round by key: the newest one wins. Values stay where they were written, in the record's
 *            body; the overlay remembers their offsets. Cleared when the round is committed or dropped.
 * Threads    One shard's.
 * Ownership  Keys and values are borrowed from `body`, whose bytes may move but never change.
 * Units      Bytes.
 * Errors     None.
 */
#ifndef FEALTY_OVERLAY_H
#define FEALTY_OVERLAY_H

#include "storage/batch.h"

typedef struct overlay overlay_t;

overlay_t *overlay_new(const buffer_t *body);
void overlay_destroy(overlay_t **self_p);
void overlay_clear(overlay_t *self);
/* Remembers the row write that starts at body offset `at`. */
void overlay_note(overlay_t *self, size_t at);
/* false: the round has not touched this row. */
bool overlay_find(const overlay_t *self, family_t family, const void *key, size_t key_bytes,
                  row_write_t *out);
/* All rows of the round whose key starts with prefix: calls `visit` for the newest write of each. */
void overlay_each(const overlay_t *self, family_t family, const void *prefix, size_t prefix_bytes,
                  void (*visit)(void *state, const row_write_t *write), void *state);

#endif
