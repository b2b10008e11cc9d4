/* head.h - what a request's head says, checked before anything believes it
 *
 * Contract   head_read() looks at every header once and refuses what two readers could understand
 *            differently: both lengths, two lengths, a length that is not plain digits, unknown
 *            transfer codings, two hosts or tokens. head_layout() compares the parsed fields with
 *            the bytes they came from, because the library below us silently stops at a folded line
 *            and at the 64th field: what follows would be read as the next request. Both are pure
 *            and are fuzzed.
 * Threads    Pure.
 * Ownership  Texts are borrowed from the request's buffer, which lives until the reply is sent.
 * Units      Bytes.
 * Errors     An HTTP status (400, 417, 431), 0 when all is well, and a sentence. After any of them
 *            the connection must close: where the next request starts is not known.
 */
#ifndef FEALTY_HEAD_H
#define FEALTY_HEAD_H

#include "http/exchange.h"

#define HEAD_FIELDS_MAX \
    63 /* one less than the library keeps: a 64th may be followed by lost ones */
#define HEAD_BYTES_MAX        (16 * 1024)
#define HEAD_TARGET_BYTES_MAX (8 * 1024)
#define HEAD_POSITIONS_MAX    8 /* headers X-Position of one request */

typedef struct {
    const char *name;
    const char *value;
} head_field_t;

typedef struct {
    method_t method; /* 0: one that no route has */
    bool version_1_1;
    bool keep_alive; /* what version and Connection ask for */
    bool chunked;
    bool expect_continue;
    int64_t content_length; /* -1: not given */
    const char *host;       /* the rest: NULL when absent */
    const char *authorization;
    const char *content_type;
    const char *accept;
    const char *idempotency_key;
    const char *if_match;
    const char *origin;
    const char *request_id;
    const char *positions[HEAD_POSITIONS_MAX];
    size_t position_count;
} head_t;

int head_read(head_t *out, const char *method, const char *version, const head_field_t *fields,
              size_t count, const char **fault);

/* Where the fields stand in one buffer that starts at `start`: each name right after the end of the
 * line before, no blank before a colon, the empty line after the last. Returns 0 and the bytes of
 * the whole head, or a status. */
int head_layout(const char *start, const head_field_t *fields, size_t count, size_t *head_bytes,
                const char **fault);

/* Accept: true when `type` ("application/json") may be sent; a NULL header allows all. */
bool head_accepts(const char *accept, const char *type);

typedef enum {
    MEDIA_NONE,
    MEDIA_JSON,
    MEDIA_FORM,
    MEDIA_MULTIPART,
    MEDIA_LINES,
    MEDIA_OTHER
} media_t;

/* Kind of a Content-Type; NULL is MEDIA_NONE. A charset other than UTF-8 is MEDIA_OTHER. *boundary
 * is set for multipart only (n 0 when it is missing or too long). */
media_t head_media(const char *content_type, text_t *boundary);

/* Copies the printable ASCII of a client's request id, at most out_bytes - 1 of it; returns the
 * length. */
size_t head_clean_id(const char *text, char *out, size_t out_bytes);

/* The key of "Token <key>" or "Bearer <key>"; false when there is none. */
bool head_token(const char *authorization, text_t *key);

#endif
