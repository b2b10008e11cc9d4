/* socket.h - the descriptor of a connection, which the library does not tell
 *
 * Contract   Found by the addresses of both ends among the descriptors of this process. Slow (one
 *            system call per open descriptor): for batch streams and for telling one malformed
 *            request from another, not for every request.
 * Threads    Any, while the connection is open.
 * Ownership  The descriptor is the library's: it may be asked things; reading is for connections
 *            that end anyway.
 * Units      Bytes.
 * Errors     -1 when it is not found.
 */
#ifndef FEALTY_SOCKET_H
#define FEALTY_SOCKET_H

#include <stdint.h>

int socket_find(const char *remote_address, int remote_port, int local_port);
/* Bytes that arrived and were not read yet; 0 when unknown. */
int socket_waiting(int descriptor);
/* Bytes that arrived in the life of the connection; 0 when unknown. */
uint64_t socket_received(int descriptor);
/* Reads and drops what is there, at most `bytes_max`; returns how much. For a connection that is
 * about to end. */
int socket_discard(int descriptor, int bytes_max);

#endif
