/* transfer.h - points on their way from one customer to another (protocol section 5, semantics section 6)
 *
 * Contract   TransferHeld (giver: available -> in transit, allocation recorded, credit sent) -> TransferCredited or
 *            TransferRefused (receiver: one record with the message's number and the reply) -> TransferSettled or
 *            TransferReversed (giver). Never reversed on a time-out, only on the receiver's explicit refusal. Between
 *            customers of one partition it is one record.
 * Threads    Pure codec.
 * Ownership  Decoded texts are borrowed.
 * Units      Points; microseconds UTC.
 * Errors     ERR_CORRUPT.
 */
#ifndef FEALTY_TRANSFER_H
#define FEALTY_TRANSFER_H

#include "actors/rows.h"

/* Giver's side while the points are on their way: state row p 'T' transfer. */
typedef struct {
    uint64_t id;
    uint64_t account, entry; /* giver's account and transfer_out entry */
    uuid16_t customer;
    uint32_t program;
    points_t points;
    points_t balance_after; /* of the giver, right after the hold */
    bool has_key;
    hash_t key_hash, body_hash;
    int64_t held_us;
    uint16_t to_partition;
} transfer_t;

void transfer_encode(const transfer_t *self, buffer_t *out);
errcode_t transfer_decode(transfer_t *self, const void *bytes, size_t n, err_t *err);

#endif
