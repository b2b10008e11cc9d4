/* points.h - earn, burn, transfer, reconcile (api-services 3.1, 3.3, 3.6, 3.7) under all their
 * paths
 *
 * Contract   Routes only; see docs/api.md.
 * Threads    Handlers run on workers.
 * Ownership  Static tables.
 * Units      Points.
 * Errors     Shapes E and S.
 */
#ifndef FEALTY_POINTS_ROUTES_H
#define FEALTY_POINTS_ROUTES_H

#include "http/exchange.h"

extern const route_t points_routes[];
extern const size_t points_route_count;

#endif
