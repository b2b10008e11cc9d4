/* requests.h - what became of a request (api-services 3.10)
 *
 * Contract   Routes only; see docs/api.md.
 * Threads    Handlers run on workers.
 * Ownership  Static tables.
 * Units      Nothing to say.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_REQUESTS_ROUTES_H
#define FEALTY_REQUESTS_ROUTES_H

#include "http/exchange.h"

extern const route_t requests_routes[];
extern const size_t requests_route_count;

#endif
