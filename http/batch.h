/* batch.h - many lines in one request (api-services 3.9)
 *
 * Contract   Routes only; see docs/api.md.
 * Threads    Handlers run on workers.
 * Ownership  Static tables.
 * Units      Nothing to say.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_BATCH_ROUTES_H
#define FEALTY_BATCH_ROUTES_H

#include "http/exchange.h"

extern const route_t batch_routes[];
extern const size_t batch_route_count;

#endif
