/* idempotency.h - the key of a request and the hash of what it asks for
 *
 * Contract   The key comes from the header or the body's idempotency_key; two different ones are
 *            refused. The body's hash is that of its canonical form without the key: order of
 *            members, blanks, and the way a number is written do not count. A request
 *            without a body has the hash of no bytes.
 * Threads    Pure.
 * Ownership  command->key is borrowed from header or body. `scratch` is overwritten.
 * Units      Bytes.
 * Errors     ERR_INVALID for the field idempotency_key; ERR_TOO_LARGE.
 */
#ifndef FEALTY_IDEMPOTENCY_H
#define FEALTY_IDEMPOTENCY_H

#include "http/exchange.h"

#define IDEMPOTENCY_KEY_BYTES_MAX 255

/* `rules` may be NULL; its skip list must name idempotency_key when it has one. */
errcode_t idempotency_read(command_t *command, const json_t *body, text_t header,
                           const json_canonical_t *rules, buffer_t *scratch, arena_t *arena,
                           err_t *err);

#endif
