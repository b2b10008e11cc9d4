/* pack.h - msgpack, written to a buffer and read by a cursor that trusts nothing
 *
 * Contract   Writes the shortest msgpack form (msgpack-c's templates). The reader allocates nothing, checks
 *            every length against the end, and once failed stays failed, so callers check at the end.
 * Threads    Pure.
 * Ownership  Strings and blobs read are borrowed from the input.
 * Units      Bytes.
 * Errors     unpack_t.failed.
 */
#ifndef FEALTY_PACK_H
#define FEALTY_PACK_H

#include "protocol/buffer.h"

void pack_nil(buffer_t *out);
void pack_bool(buffer_t *out, bool value);
void pack_u64(buffer_t *out, uint64_t value);
void pack_i64(buffer_t *out, int64_t value);
void pack_i128(buffer_t *out,
               int128_t value); /* 16 bytes little endian as bin; short forms as i64 */
void pack_text(buffer_t *out, const char *text, size_t bytes);
void pack_blob(buffer_t *out, const void *bytes, size_t n);
void pack_array(buffer_t *out, uint32_t count);
void pack_map(buffer_t *out, uint32_t count);

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} unpack_t;

static inline unpack_t unpack_from(const void *bytes, size_t n)
{
    return (unpack_t){
        .at = bytes, .end = n > 0 ? (const uint8_t *)bytes + n : bytes, .failed = false};
}
bool unpack_nil(unpack_t *in); /* true, and one step on, only when a nil is next; never fails */
bool unpack_bool(unpack_t *in);
uint64_t unpack_u64(unpack_t *in);
int64_t unpack_i64(unpack_t *in);
int128_t unpack_i128(unpack_t *in);
size_t unpack_text(unpack_t *in, const char **text);
size_t unpack_blob(unpack_t *in, const void **bytes);
bool unpack_fixed(unpack_t *in, void *out, size_t n); /* a blob of exactly n bytes, copied */
uint32_t unpack_array(unpack_t *in); /* count; never more than the remaining bytes */
uint32_t unpack_map(unpack_t *in);
/* Passes one value of any kind; more than UNPACK_NESTING_MAX arrays and maps in each other fail. */
#define UNPACK_NESTING_MAX 64
void unpack_skip(unpack_t *in);
static inline bool unpack_done(const unpack_t *in)
{
    return !in->failed && in->at == in->end;
}

/* Big-endian fixed integers, for keys that must sort. */
void be16_put(uint8_t *out, uint16_t value);
void be32_put(uint8_t *out, uint32_t value);
void be64_put(uint8_t *out, uint64_t value);
uint16_t be16_get(const uint8_t *in);
uint32_t be32_get(const uint8_t *in);
uint64_t be64_get(const uint8_t *in);

#endif
