/* addresses.h - the list of cluster addresses that configuration gives
 *
 * Contract   A list is sorted and free of duplicates, so that every node that was given the same addresses, in any
 *            order, holds the same list. It says where to dial, never who owns what.
 * Threads    Pure; address_resolve asks the system's resolver and may block.
 * Ownership  Values.
 * Units      Nothing to say.
 * Errors     ERR_INVALID with the address at fault; ERR_IO when a host name has no address.
 */
#ifndef FEALTY_ADDRESSES_H
#define FEALTY_ADDRESSES_H

#include "protocol/error.h"
#include "protocol/ids.h"

#define ADDRESSES_MAX 64
#define ADDRESS_BYTES 128 /* HOST:PORT or [IPV6]:PORT, NUL included */

typedef struct {
    size_t count;
    size_t own; /* index of this node's address */
    char text[ADDRESSES_MAX][ADDRESS_BYTES];
} addresses_t;

/* `list` holds addresses separated by commas; `own` must be one of them. */
errcode_t addresses_parse(addresses_t *self, const char *own, const char *list, err_t *err);
/* true when all are numeric addresses of this machine (127.0.0.0/8 or ::1). */
bool addresses_are_loopback(const addresses_t *self);
hash_t addresses_digest(const addresses_t *self);

/* Checks one HOST:PORT. host (may be NULL) gets the host without brackets. */
errcode_t address_check(const char *text, char host[ADDRESS_BYTES], uint16_t *port, err_t *err);
/* The numeric form of the same address ("localhost:7001" -> "127.0.0.1:7001"): what a socket can be bound to. */
errcode_t address_resolve(const char *text, char numeric[ADDRESS_BYTES], err_t *err);

#endif
