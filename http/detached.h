/* detached.h - answers that are sent by another thread, so that a request costs its worker one task
 * switch, not two
 *
 * Contract   exchange_finish() posts a command whose result is the whole answer. On a connection
 *            that has shown that it lives on, it does not wait: the worker goes back to the
 *            library, which waits for the next request, and the sender thread renders and sends
 *            when the command is completed, or a 504 past its deadline; with few requests under way
 *            the thread that completes it does that itself. Until then the worker
 *            neither handles a further request of this connection (detached_wait) nor lets it be
 *            closed (detached_connection_close); so the descriptor stays valid while the sender may
 *            use it. The sender never blocks on a client: what a socket does not take at once is
 *            left to the worker.
 * Threads    exchange_finish, detached_wait, detached_connection*: the worker. Completion: any; its
 *            caller holds a reference to the request. One sender thread.
 * Ownership  detached_t is part of the worker; a request under way is owned by it.
 * Units      Microseconds.
 * Errors     As exchange_command(): the answer is written.
 */
#ifndef FEALTY_DETACHED_H
#define FEALTY_DETACHED_H

#include "http/call.h"

errcode_t sender_start(sender_t **self_p, http_server_t *server, err_t *err);
void sender_stop(sender_t **self_p); /* when no worker is left */

void detached_enter(worker_t *worker); /* at start and end of a worker's thread */
void detached_leave(worker_t *worker);

/* Library callbacks. */
int detached_connection(const struct mg_connection *connection, void **data);
void detached_connection_close(const struct mg_connection *connection);

/* Before anything else is done on a connection. */
void detached_wait(worker_t *worker, struct mg_connection *connection);

#endif
