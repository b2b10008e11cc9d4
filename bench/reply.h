/* reply.h - reads HTTP/1.1 answers as they trickle in
 *
 * Contract   Fed with received bytes in pieces of any size; understands Content-Length, chunked
 *            bodies, bodies that end with the connection, interim 1xx answers, and answers without
 *            a body. Costs one search and one pass over the header lines when an answer arrives in
 *            one piece, which is the usual case.
 * Threads    Belongs to one thread.
 * Ownership  A value of fixed size. The sink's bytes are borrowed for the call.
 * Units      Bytes.
 * Errors     REPLY_BAD for anything that is not HTTP/1.x, or a header block above REPLY_HEAD_MAX.
 */
#ifndef FEALTY_BENCH_REPLY_H
#define FEALTY_BENCH_REPLY_H

#include "protocol/compiler.h"

#define REPLY_HEAD_MAX 8192

typedef enum { REPLY_MORE, REPLY_DONE, REPLY_BAD } reply_result_t;

typedef enum {
    REPLY_HEAD,
    REPLY_LENGTH,      /* body of known length */
    REPLY_CHUNK_SIZE,  /* line with the size of a chunk */
    REPLY_CHUNK,       /* bytes of a chunk */
    REPLY_CHUNK_END,   /* line end behind a chunk */
    REPLY_TRAILER,     /* lines behind the last chunk */
    REPLY_UNTIL_CLOSE, /* body ends with the connection */
    REPLY_COMPLETE
} reply_state_t;

typedef void reply_sink_t(void *context, const char *bytes, size_t n);

typedef struct {
    reply_state_t state;
    int status;
    bool close;         /* the server ends the connection behind this answer */
    bool started;       /* at least one byte has arrived */
    bool digit_seen;    /* in the present chunk size line */
    bool extension;     /* the chunk size line is past its digits */
    uint64_t left;      /* of the body or the chunk */
    size_t line_bytes;  /* of the present chunk or trailer line */
    reply_sink_t *sink; /* gets the body; NULL = nobody wants it */
    void *context;
    size_t head_bytes;
    char head[REPLY_HEAD_MAX]; /* only used when the header block comes in pieces */
} reply_t;

void reply_reset(reply_t *self, reply_sink_t *sink, void *context);
/* *used = bytes taken; fewer than n only behind the end of the answer. */
reply_result_t reply_feed(reply_t *self, const char *bytes, size_t n, size_t *used);
/* The connection has ended. REPLY_DONE when that is a proper end of the answer. */
reply_result_t reply_eof(reply_t *self);

#endif
