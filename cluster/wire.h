/* wire.h - the sockets between nodes: one ROUTER that receives, one DEALER per peer that sends
 *
 * Contract   At most once: a frame that wire_send took may be lost with its connection, whoever needs more asks for an
 *            answer. A frame is two parts, header and body. Nothing blocks but wire_wait.
 * Threads    wire_open and wire_destroy may run on another thread than the rest, with a full barrier between. Making
 *            and destroying wires is serialised inside; the first one starts the authenticator, the last one stops it.
 * Ownership  A received frame is borrowed until the next wire_receive.
 * Units      Milliseconds, bytes.
 * Errors     ERR_IO with the address; ERR_STATE when keys are needed and missing.
 */
#ifndef FEALTY_WIRE_H
#define FEALTY_WIRE_H

#include "cluster/frame.h"

typedef struct wire wire_t;

typedef struct {
    const void *header;
    size_t header_bytes;
    const void *body;
    size_t body_bytes;
} wire_frame_t;

/* Dials all addresses but the own one. keys_directory NULL: plain text, for loopback. wakeup is a descriptor that wire_wait watches too. */
errcode_t wire_open(wire_t **self_p, const addresses_t *addresses, const char *keys_directory,
                    const hash_t *incarnation, int wakeup, err_t *err);
/* Gives frames that were sent up to linger_ms to leave. */
void wire_destroy(wire_t **self_p, int linger_ms);

/* One more peer, on a link that has none; the address is no other peer's. ERR_STATE: it needs a key that is not there. */
errcode_t wire_dial(wire_t *self, size_t link, const char *address, err_t *err);
/* Harmless when it was not dialled. Frames that have not left yet are lost. */
void wire_hang_up(wire_t *self, size_t link);

/* The connection to a peer stands and its queue has room. */
bool wire_can_send(wire_t *self, size_t link);
bool wire_send(wire_t *self, size_t link, const void *header, size_t header_bytes, const void *body,
               size_t body_bytes);
/* The next frame that has arrived; false: none at the moment. Malformed ones are dropped and counted. */
bool wire_receive(wire_t *self, wire_frame_t *frame);
/* Until a frame arrives, the wakeup descriptor can be read, one of the `blocked` links (may be NULL) can send, or the
 * time is over. */
void wire_wait(wire_t *self, const bool *blocked, int timeout_ms);

/* What all sockets of a process share: its signals are kept, the authenticator runs while there are keys. Every enter that
 * succeeded needs its leave, after the sockets are gone. Any thread. */
#define WIRE_ZAP_DOMAIN "fealty"
errcode_t wire_process_enter(const char *keys_directory, err_t *err);
void wire_process_leave(void);

#endif
