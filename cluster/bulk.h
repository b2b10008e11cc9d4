/* bulk.h - the second pair of sockets between nodes: snapshots, so that they never stand before a command
 *
 * Contract   One ROUTER that listens on a port of its own beside the cluster address, one DEALER for each transfer that
 *            this node asks for; the same keys as the first pair (wire.h). At most once, like there. A frame is a head
 *            and a body. Nothing blocks but bulk_wait.
 * Threads    A socket belongs to one thread; opening may run on another one, with a full barrier between.
 * Ownership  A received frame is borrowed until the next bulk_receive.
 * Units      Milliseconds, bytes.
 * Errors     ERR_IO with the address; ERR_STATE when keys are needed and missing.
 */
#ifndef FEALTY_BULK_H
#define FEALTY_BULK_H

#include "cluster/addresses.h"

typedef struct bulk bulk_t;

/* Who sent a frame to a socket that listens: an answer goes there. */
typedef struct {
    uint8_t bytes[32];
    size_t n;
} bulk_peer_t;

typedef struct {
    bulk_peer_t peer; /* of a socket that listens */
    const void *head;
    size_t head_bytes;
    const void *body;
    size_t body_bytes;
} bulk_frame_t;

/* port 0: any free one; *bound gets it. */
errcode_t bulk_listen(bulk_t **self_p, const char *address, uint16_t port,
                      const char *keys_directory, uint16_t *bound, err_t *err);
errcode_t bulk_dial(bulk_t **self_p, const char *address, uint16_t port, const char *keys_directory,
                    err_t *err);
void bulk_close(bulk_t **self_p);

/* peer: of a socket that listens, else NULL. false: nobody is there, or its queue is full. */
bool bulk_send(bulk_t *self, const bulk_peer_t *peer, const void *head, size_t head_bytes,
               const void *body, size_t body_bytes);
bool bulk_receive(bulk_t *self, bulk_frame_t *frame);
/* Until a frame is there, `wakeup` can be read, or (to_send) the connection stands, or the time is over. */
void bulk_wait(bulk_t *self, int wakeup, bool to_send, int timeout_ms);

#endif
