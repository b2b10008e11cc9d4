/* snapshot.h - the rows of one partition, from the store of one node into that of another
 *
 * Contract   The reader takes one snapshot of its store: the stored position of the partition and exactly the rows that
 *            stand at it, as lists of row writes (storage/batch.h) in numbered chunks of at most 256 KiB (a larger row
 *            is a chunk of its own): content of definitions first, since no copy may stand without the definitions it
 *            decides under, then the families state, entry, key, outbox, lot. The ending says how many there were, and a
 *            digest of all chunks and the position.
 *            The loader empties the copy that is there (storage/image.h), takes the chunks in order, and writes nothing
 *            that is not the partition's or a definition; snapshot_loader_end compares count, sizes and digest and only
 *            then stores the position, synced, and takes the marker of an incomplete copy away. After any error the
 *            marker stands: the copy is begun anew by another loader, or emptied.
 *            Frames: head of SNAPSHOT_HEAD_BYTES, big endian: magic u16, version u8, kind u8, partition u16, transfer
 *            u64 (chosen by who asks), number u32, body bytes u32, crc32c u32 of the head before it and the body.
 * Threads    A reader or loader belongs to one thread; it may be another one than that of the replica, which is closed
 *            while its copy is being loaded.
 * Ownership  Configuration is borrowed; a chunk until the next call on its reader.
 * Units      Bytes.
 * Errors     ERR_NOT_FOUND: no complete copy to read. ERR_STATE: what is offered is older than what is here.
 *            ERR_CORRUPT: bytes are not what was sent. Those of the store.
 */
#ifndef FEALTY_SNAPSHOT_H
#define FEALTY_SNAPSHOT_H

#include "actors/catalogue.h"
#include "protocol/record.h"
#include "storage/store.h"

#define SNAPSHOT_HEAD_BYTES  26
#define SNAPSHOT_CHUNK_BYTES ((size_t)256 * 1024)
#define SNAPSHOT_BYTES_MAX   ((size_t)1024 * 1024) /* of a frame: one row larger than a chunk fits */
#define SNAPSHOT_BODY_MAX    512                   /* of all kinds but chunks */
#define SNAPSHOT_WINDOW      8                     /* chunks that were not acknowledged yet */

/* ---- frames ---- */

/* Numbers are format. */
typedef enum {
    SNAPSHOT_ASK = 1,   /* body: the cluster's id */
    SNAPSHOT_BEGIN = 2, /* body: the position that the rows stand at, as it is stored */
    SNAPSHOT_CHUNK = 3, /* number from 1; body: row writes */
    SNAPSHOT_ACK = 4,   /* number: all up to it are loaded; the same again is a sign of life */
    SNAPSHOT_END = 5,   /* number: of the last chunk, plus one; body: how much it was, digest */
    SNAPSHOT_NO = 6,    /* body: why not */
    SNAPSHOT_KIND__END
} snapshot_kind_t;

typedef struct {
    uint8_t kind;
    uint16_t partition;
    uint64_t transfer;
    uint32_t number;
    uint32_t body_bytes;
    uint32_t crc;
} snapshot_head_t;

/* Sets body_bytes and crc. */
void snapshot_head_encode(snapshot_head_t *self, const void *body, size_t n,
                          uint8_t out[SNAPSHOT_HEAD_BYTES]);
/* Also compares the body with length and checksum. */
errcode_t snapshot_head_decode(snapshot_head_t *self, const void *head, size_t head_bytes,
                               const void *body, size_t n, err_t *err);

/* ---- source ---- */

typedef struct snapshot_reader snapshot_reader_t;

errcode_t snapshot_reader_open(snapshot_reader_t **self_p, store_t *store, uint16_t partition,
                               err_t *err);
void snapshot_reader_destroy(snapshot_reader_t **self_p);
const position_t *snapshot_reader_position(const snapshot_reader_t *self);
/* Body of SNAPSHOT_BEGIN. */
void snapshot_reader_begin(const snapshot_reader_t *self, buffer_t *out);
/* The next chunk; *n 0: there is none any more. */
errcode_t snapshot_reader_next(snapshot_reader_t *self, uint32_t *number, const uint8_t **bytes,
                               size_t *n, err_t *err);
/* Body of SNAPSHOT_END, after the last chunk. */
void snapshot_reader_end(const snapshot_reader_t *self, buffer_t *out);
hash_t snapshot_reader_digest(const snapshot_reader_t *self);

/* ---- target ---- */

typedef struct snapshot_loader snapshot_loader_t;

typedef struct {
    store_t *store;
    catalogue_t *catalogue;
    uint16_t partition;
    /* That the copy must have, though another one may be here; zero: the one that is here, if any. */
    hash_t history;
    bool definitions; /* it is their partition */
    /* May be NULL: who is logged in (rows of the catalogue's partition); value NULL: not any more. Told at the end, of the
     * sessions before and after; where that is not reached, all before are over. */
    void (*session)(void *state, const hash_t *token, const void *value, size_t n);
    void *state;
} snapshot_target_t;

/* Takes the body of SNAPSHOT_BEGIN; nothing is written yet. */
errcode_t snapshot_loader_open(snapshot_loader_t **self_p, const snapshot_target_t *target,
                               const void *begin, size_t n, err_t *err);
void snapshot_loader_destroy(snapshot_loader_t **self_p);
/* Empties the copy in steps; *done when it is empty. Before the first chunk. */
errcode_t snapshot_loader_empty(snapshot_loader_t *self, bool *done, err_t *err);
errcode_t snapshot_loader_chunk(snapshot_loader_t *self, uint32_t number, const void *bytes,
                                size_t n, err_t *err);
errcode_t snapshot_loader_end(snapshot_loader_t *self, uint32_t number, const void *bytes, size_t n,
                              err_t *err);
const position_t *snapshot_loader_position(const snapshot_loader_t *self);
/* The copy that was there is being taken away, or gone. */
bool snapshot_loader_has_begun(const snapshot_loader_t *self);
uint64_t snapshot_loader_bytes(const snapshot_loader_t *self);

#endif
