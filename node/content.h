/* content.h - brings the definitions that a store holds into memory
 *
 * Contract   content_load() puts every change of META rows 'X' into the catalogue, in order of their versions. Called
 *            before the shards start.
 * Threads    One caller, before others use the catalogue.
 * Ownership  Borrowed arguments.
 * Units      Nothing to say.
 * Errors     ERR_CORRUPT naming the row; those of the store.
 */
#ifndef FEALTY_CONTENT_H
#define FEALTY_CONTENT_H

#include "actors/catalogue.h"
#include "storage/store.h"

errcode_t content_load(store_t *store, catalogue_t *catalogue, err_t *err);

#endif
