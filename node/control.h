/* control.h - a running node takes a few orders from the machine it runs on
 *
 * Contract   DATA/control.sock is a socket that only the node's own user can open. One connection at a time; an order is
 *            one line, its answer some lines and then "ok" or "error: sentence". Orders: `status`, `backup DIRECTORY`,
 *            `freeze`, `thaw`. A connection that ends thaws what it froze, so that a killed tool leaves nothing behind.
 * Threads    The hooks are called on the control's own thread. control_ask: any thread, one per connection.
 * Ownership  Hooks' state is borrowed until control_stop.
 * Units      Milliseconds.
 * Errors     ERR_IO with a sentence. An "error:" answer comes back as ERR_STATE with the node's sentence.
 */
#ifndef FEALTY_CONTROL_H
#define FEALTY_CONTROL_H

#include "protocol/buffer.h"
#include "protocol/error.h"

#define CONTROL_LINE_MAX 4096

typedef struct control control_t;

typedef struct {
    errcode_t (*backup)(void *state, const char *directory, err_t *err);
    errcode_t (*freeze)(void *state, bool frozen, err_t *err);
    void (*status)(void *state, buffer_t *out); /* complete lines */
    /* On a shared log, see shared_log_obey: "status", "drain MEMBER", ...; *out gets complete lines. */
    errcode_t (*cluster)(void *state, const char *words, buffer_t *out, err_t *err);
    void *state;
} control_hooks_t;

errcode_t control_start(control_t **self_p, const char *data, const control_hooks_t *hooks,
                        err_t *err);
void control_stop(control_t **self_p);

/* The other end. *fd is -1 when no node runs on this directory: that is no error. */
errcode_t control_connect(const char *data, int *fd, err_t *err);
/* Sends one order and waits for its answer; `answer` (may be NULL) gets the lines before "ok". */
errcode_t control_ask(int fd, const char *order, int timeout_ms, buffer_t *answer, err_t *err);

#endif
