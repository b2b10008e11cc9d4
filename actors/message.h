/* message.h - messages between partitions: exactly once in effect (protocol section 5)
 *
 * Contract   Per ordered pair of partitions messages are numbered densely; everything that decides is in the logged
 *            state: sender pair_out_t and the outbox rows, receiver pair_in_t. Frames (DATA, ACK) may be lost, doubled or
 *            reordered at will; they carry the histories of both ends, so that a side restored from an older copy is
 *            noticed and the pair halted. Body types are versions: never read in a new sense.
 * Threads    Pure.
 * Ownership  Decoded texts and lots are borrowed from the bytes.
 * Units      Points; microseconds UTC.
 * Errors     ERR_CORRUPT for bytes that are no frame, row or body.
 */
#ifndef FEALTY_MESSAGE_H
#define FEALTY_MESSAGE_H

#include "actors/rows.h"

#define MESSAGE_WINDOW         256
#define MESSAGE_WINDOW_BYTES   (1024 * 1024)
#define MESSAGE_PAIR_MAX       100000 /* unacknowledged requests of a pair; replies always fit */
#define MESSAGE_PAIR_BYTES_MAX (64u * 1024 * 1024)
#define MESSAGE_RESEND_MIN_US  200000
#define MESSAGE_RESEND_MAX_US  5000000

/* Sending side of a pair, state row p 'O' dst. */
typedef struct {
    uint64_t next;  /* number of the next message, from 1 */
    uint64_t acked; /* all up to here are acknowledged */
    hash_t peer;    /* history of the receiver's log; zero until it first answered */
    uint64_t
        peer_epoch; /* highest epoch of the receiver that acknowledged: tells a late ACK from a restored receiver */
    /* This side was adopted, and the receiver has not answered the new history: the messages from `floor` on are not those
     * of the history before. `older`: the same for all that came before that one; 0: the receiver had answered it. */
    uint64_t floor, older;
} pair_out_t;

/* Receiving side, state row p 'N' src. */
typedef struct {
    uint64_t seq; /* all up to here are applied */
    hash_t peer;  /* history of the sender's log; zero before the first message */
} pair_in_t;

void pair_out_encode(const pair_out_t *self, buffer_t *out);
errcode_t pair_out_decode(pair_out_t *self, const void *bytes, size_t n, err_t *err);
void pair_in_encode(const pair_in_t *self, buffer_t *out);
errcode_t pair_in_decode(pair_in_t *self, const void *bytes, size_t n, err_t *err);

typedef enum { FRAME_DATA = 1, FRAME_ACK = 2 } frame_kind_t;

typedef struct {
    uint8_t kind;
    uint16_t src, dst; /* of the message: an ACK travels from dst to src */
    hash_t src_history;
    hash_t dst_history; /* as the frame's writer knows it; zero: not yet */
    uint64_t epoch;     /* of the frame's writer in its own log */
    uint64_t n;         /* DATA: number; ACK: all up to here are applied */
    uint64_t floor;     /* DATA: of the sending side, see pair_out_t */
    uint64_t older;     /* likewise */
    text_t body;        /* DATA */
} frame_t;

void frame_encode(const frame_t *self, buffer_t *out);
errcode_t frame_decode(frame_t *self, const void *bytes, size_t n, err_t *err);

/* Body types. Numbers are format. */
typedef enum {
    BODY_CREDIT_1 = 1,       /* transfer: giver -> receiver */
    BODY_CREDIT_REPLY_1 = 2, /* receiver -> giver: credited or refused */
    BODY_CATALOGUE_1 = 3,    /* catalogue -> every partition: changes that come into force */
    BODY_SESSION_1 = 4,      /* home partition -> home partitions of other nodes */
    BODY_CONTENT_1 = 5       /* only in the outbox: versions from..to; sent as BODY_CATALOGUE_1 */
} body_type_t;

uint8_t body_type(text_t body); /* 0 when it cannot be read */

typedef struct {
    uint64_t transfer;
    uint64_t from_account;
    uint64_t to_account; /* 0: by customer and program */
    uuid16_t to_customer;
    uint32_t program;
    points_t points;
    uint32_t actor;
    text_t description;
    text_t allocations; /* as in the giver's entry, see allocations_encode() */
    uint32_t allocation_count;
} credit_t;

typedef struct {
    uint64_t transfer;
    bool credited;
    uint64_t to_account, to_entry;
    points_t to_balance_after;
    uint16_t status; /* refusal: HTTP status, code and sentence of the giver's answer */
    text_t code, error;
} credit_reply_t;

typedef struct {
    uint64_t version;
    uint8_t resource;
    bool deleted;
    uint32_t id;
    text_t json;
} change_t;

typedef struct {
    hash_t token;
    uint32_t user; /* 0: the session has ended */
    int64_t expires_us, created_us;
} session_t;

void credit_encode(const credit_t *self, buffer_t *out);
errcode_t credit_decode(credit_t *self, text_t body, err_t *err);
void credit_reply_encode(const credit_reply_t *self, buffer_t *out);
errcode_t credit_reply_decode(credit_reply_t *self, text_t body, err_t *err);
void session_encode(const session_t *self, buffer_t *out);
errcode_t session_decode(session_t *self, text_t body, err_t *err);

/* BODY_CATALOGUE_1: head, then the changes one after the other. */
void changes_encode_head(uint32_t count, buffer_t *out);
void change_encode(const change_t *self, buffer_t *out);
errcode_t changes_decode_head(unpack_t *in, text_t body, uint32_t *count, err_t *err);
errcode_t change_decode(change_t *self, unpack_t *in, err_t *err);
/* BODY_CONTENT_1 keeps the outbox small: the content rows never change, so the same number always has the same body. */
void content_range_encode(uint64_t from, uint64_t to, buffer_t *out);
errcode_t content_range_decode(uint64_t *from, uint64_t *to, text_t body, err_t *err);
/* Content row 'X': one change. */
errcode_t content_decode(change_t *self, const void *bytes, size_t n, err_t *err);

/* Session row 'S': [1, user, expires_us, created_us]. */
void session_row_encode(const session_t *self, buffer_t *out);
errcode_t session_row_decode(session_t *self, const void *bytes, size_t n, err_t *err);

#endif
