/* serve.h - one request from head to answer
 *
 * Contract   The library's callbacks. serve_request() runs the order of checks of api-resources 1.2
 *            and the handler; serve_error() answers what the library refuses before that.
 * Threads    A worker each.
 * Ownership  Nothing is kept.
 * Units      Nothing to say.
 * Errors     Become answers.
 */
#ifndef FEALTY_SERVE_H
#define FEALTY_SERVE_H

#include "http/call.h"

#define WIRE_BODY_MAX 65536 /* a larger body is sent by a write of its own */

int serve_request(struct mg_connection *connection);
int serve_error(struct mg_connection *connection, int status, const char *message);

#endif
