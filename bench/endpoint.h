/* endpoint.h - where a node listens
 *
 * Contract   Parses http://HOST:PORT[/PREFIX], resolves the name once, opens TCP connections to it.
 * Threads    Read-only after endpoint_parse.
 * Ownership  A value of fixed size.
 * Units      Seconds for time limits.
 * Errors     A sentence in the problem.
 */
#ifndef FEALTY_BENCH_ENDPOINT_H
#define FEALTY_BENCH_ENDPOINT_H

#include "bench/problem.h"

#include <sys/socket.h>

typedef struct {
    char url[256];    /* as given, for messages */
    char host[200];   /* HOST:PORT, for the Host header */
    char prefix[128]; /* path in front of every request, "" or "/x" */
    struct sockaddr_storage address;
    socklen_t address_bytes;
} endpoint_t;

bool endpoint_parse(endpoint_t *self, const char *url, problem_t *problem);
/* A connected non-blocking socket; waits up to the time limit. -1 with a problem. */
int endpoint_connect(const endpoint_t *self, double limit_s, problem_t *problem);
/* Begins to connect and returns at once; -1 when even that failed. Writable = decided, see
 * endpoint_connected. */
int endpoint_connect_start(const endpoint_t *self);
bool endpoint_connected(int fd);

#endif
