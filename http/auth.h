/* auth.h - who is calling and what that user may do
 *
 * Contract   A token is 40 hex digits; its first two bytes name the home partition of the node that
 *            issued it. Only its hash is kept. Order of look-up: this node's table, this node's
 *            home partition, the issuer's. A token is prolonged while it is used. The user behind
 *            it must be there and active on every request.
 * Threads    Any worker.
 * Ownership  Nothing is kept.
 * Units      Nothing to say.
 * Errors     The answer is written: 401 D, 403 D, 429 D, 503 D.
 */
#ifndef FEALTY_AUTH_H
#define FEALTY_AUTH_H

#include "http/call.h"

extern const route_t auth_routes[];
extern const size_t auth_route_count;

/* Fills user, superuser, user_row, token of the exchange. False: the answer is written. */
bool auth_check(call_t *call);

/* `held`: names separated by line feeds. True for "*", the same name, or the same resource and
 * action written as resource.action, resource:action or action_resource on either side. */
bool permission_held(const char *held, text_t wanted);

#endif
