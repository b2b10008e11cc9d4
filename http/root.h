/* root.h - service info, probes, metrics, API index
 *
 * Contract   Routes only; see docs/api.md.
 * Threads    Handlers run on workers.
 * Ownership  Static tables.
 * Units      Nothing to say.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_ROOT_ROUTES_H
#define FEALTY_ROOT_ROUTES_H

#include "http/exchange.h"

extern const route_t root_routes[];
extern const size_t root_route_count;

#endif
