/* frame.h - what travels between nodes: a fixed header and a body of items
 *
 * Contract   Header, big endian: magic u16, version u8, kind u8, sender's and receiver's incarnation (16 bytes each),
 *            item count u32, body bytes u32, crc32c of the body u32. The body is that many items, each a run of
 *            msgpack values. link_frame_check() looks at the whole body before anything in it is acted on, so a
 *            frame counts as a whole or not at all. Any bytes are safe to read.
 * Threads    Pure.
 * Ownership  Bytes read are borrowed from the frame.
 * Units      Deadlines are UTC microseconds, absolute.
 * Errors     ERR_CORRUPT.
 */
#ifndef FEALTY_FRAME_H
#define FEALTY_FRAME_H

#include "cluster/genesis.h"
#include "protocol/log_place.h"
#include "protocol/pack.h"

#define LINK_HEADER_BYTES   48
#define LINK_VERSION        1
#define LINK_BODY_BYTES_MAX ((size_t)4 * 1024 * 1024) /* also the sockets' maxmsgsize */
#define LINK_ITEM_BYTES_MAX \
    (LINK_BODY_BYTES_MAX - 1024) /* payload of one item: command, result, query, answer */
#define LINK_BATCH_BYTES ((size_t)256 * 1024) /* a frame is sent when its body has grown to this */

/* Numbers are format. */
typedef enum {
    LINK_HELLO = 1, /* who I am and what I own; also the answer to one */
    LINK_HEARTBEAT = 2,
    LINK_BYE = 3, /* the sender is stopping in order */
    LINK_COMMANDS = 4,
    LINK_RESULTS = 5,  /* answers to COMMANDS and QUERIES */
    LINK_MESSAGES = 6, /* frames between partitions, see actors/message.h */
    LINK_QUERIES = 7,
    LINK_GENESIS = 8,     /* a birth record to be stored */
    LINK_GENESIS_ACK = 9, /* it is stored; body: cluster id */
    LINK_SHARED_HELLO =
        10,                /* HELLO of a node on a shared log; a program that knows none drops it */
    LINK_QUERIES_ANY = 11, /* QUERIES that need no barrier: any copy of the partition may answer */
    LINK_KIND__END
} link_kind_t;

typedef struct {
    uint8_t kind;
    hash_t from;
    hash_t to; /* zero: not known yet */
    uint32_t count;
    uint32_t body_bytes;
    uint32_t crc;
} link_header_t;

void link_header_encode(const link_header_t *self, uint8_t out[LINK_HEADER_BYTES]);
errcode_t link_header_decode(link_header_t *self, const void *bytes, size_t n, err_t *err);
/* Length, checksum and every item of the body. */
errcode_t link_frame_check(const link_header_t *header, const void *body, size_t n, err_t *err);

/* COMMANDS, QUERIES and QUERIES_ANY. */
typedef struct {
    uint64_t id; /* the sender's; comes back with the result */
    uint16_t partition;
    int64_t deadline_us;
    const void *bytes;
    size_t n;
} link_command_t;
void link_command_put(buffer_t *out, const link_command_t *item);
bool link_command_next(unpack_t *in, link_command_t *item);

/* RESULTS: either bytes, and maybe where they stand in the partition's log, or an error. */
typedef struct {
    uint64_t id;
    err_t err; /* code ERR_NONE: bytes hold */
    const void *bytes;
    size_t n;
    log_place_t place; /* epoch 0: none */
} link_result_t;
void link_result_put(buffer_t *out, uint64_t id, const err_t *err, const void *bytes, size_t n,
                     const log_place_t *place);
bool link_result_next(unpack_t *in, link_result_t *item);

/* MESSAGES. */
typedef struct {
    uint16_t partition; /* of the receiver */
    const void *bytes;
    size_t n;
} link_message_t;
void link_message_put(buffer_t *out, const link_message_t *item);
bool link_message_next(unpack_t *in, link_message_t *item);

/* HELLO, one item. */
typedef struct {
    char address[ADDRESS_BYTES]; /* where the sender can be dialled */
    hash_t heard; /* the receiver's incarnation while the sender hears it, else zero */
    hash_t list;  /* digest of the sender's address list; compared at genesis only */
    bool born;    /* has a birth record; the members below come from it */
    bool settled;
    hash_t cluster;
    uint16_t node;
    uint16_t partitions;                           /* without a birth: what it is configured for */
    uint8_t owned[(BIRTH_PARTITIONS_MAX + 8) / 8]; /* bit per partition, 0..partitions */
} link_hello_t;
void link_hello_put(buffer_t *out, const link_hello_t *hello);
bool link_hello_next(unpack_t *in, link_hello_t *hello);

/* SHARED_HELLO, one item. */
typedef struct {
    char address[ADDRESS_BYTES]; /* where the sender can be dialled */
    hash_t heard; /* the receiver's incarnation while the sender hears it, else zero */
    bool known;   /* the sender has read a view; the members below come from there */
    hash_t cluster;
    uint16_t partitions;
    uint64_t epochs[BIRTH_PARTITIONS_MAX + 1]; /* in which it owns a partition; 0: it does not */
    uint16_t bulk_port; /* beside that address: where it gives snapshots; 0: it gives none */
} link_shared_hello_t;
/* Only owned partitions are written, ascending. */
void link_shared_hello_put(buffer_t *out, const link_shared_hello_t *hello);
bool link_shared_hello_next(unpack_t *in, link_shared_hello_t *hello);

static inline bool link_hello_owns(const link_hello_t *hello, uint16_t partition)
{
    return partition <= hello->partitions &&
           (hello->owned[partition / 8] >> partition % 8 & 1) != 0;
}

#endif
