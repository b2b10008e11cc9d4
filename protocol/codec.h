/* codec.h - one encoder, decoder and "is set" test per field type of commands, results and queries
 *
 * Contract   A message is a msgpack map {field number: value}; fields at their zero value are left out. Field lists
 *            (X-macros) name one of the codecs below; the functions are generated from the list, so that struct,
 *            encoder and decoder cannot disagree.
 * Threads    Pure.
 * Ownership  Decoded text and blobs are borrowed from the input.
 * Units      Bytes.
 * Errors     unpack_t.failed: also for a number that does not fit its field.
 */
#ifndef FEALTY_CODEC_H
#define FEALTY_CODEC_H

#include "protocol/command.h"

#define CODEC_PLAIN_KEY 0 /* key number of free text that is not encrypted */

static inline bool codec_set_u8(uint8_t value)
{
    return value != 0;
}
static inline bool codec_set_u16(uint16_t value)
{
    return value != 0;
}
static inline bool codec_set_u32(uint32_t value)
{
    return value != 0;
}
static inline bool codec_set_u64(uint64_t value)
{
    return value != 0;
}
static inline bool codec_set_i64(int64_t value)
{
    return value != 0;
}
static inline bool codec_set_i128(int128_t value)
{
    return value != 0;
}
static inline bool codec_set_text(text_t value)
{
    return value.n != 0;
}
static inline bool codec_set_free(text_t value)
{
    return value.n != 0;
}
static inline bool codec_set_blob(text_t value)
{
    return value.n != 0;
}
static inline bool codec_set_16(const uint8_t bytes[16])
{
    uint64_t halves[2];

    memcpy(halves, bytes, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}
static inline bool codec_set_uuid(uuid16_t value)
{
    return codec_set_16(value.bytes);
}
static inline bool codec_set_hash(hash_t value)
{
    return codec_set_16(value.bytes);
}

static inline void codec_put_u8(buffer_t *out, uint8_t value)
{
    pack_u64(out, value);
}
static inline void codec_put_u16(buffer_t *out, uint16_t value)
{
    pack_u64(out, value);
}
static inline void codec_put_u32(buffer_t *out, uint32_t value)
{
    pack_u64(out, value);
}
static inline void codec_put_u64(buffer_t *out, uint64_t value)
{
    pack_u64(out, value);
}
static inline void codec_put_i64(buffer_t *out, int64_t value)
{
    pack_i64(out, value);
}
static inline void codec_put_i128(buffer_t *out, int128_t value)
{
    pack_i128(out, value);
}
static inline void codec_put_uuid(buffer_t *out, uuid16_t value)
{
    pack_blob(out, value.bytes, UUID_BYTES);
}
static inline void codec_put_hash(buffer_t *out, hash_t value)
{
    pack_blob(out, value.bytes, HASH_BYTES);
}
static inline void codec_put_text(buffer_t *out, text_t value)
{
    pack_text(out, value.bytes, value.n);
}
static inline void codec_put_blob(buffer_t *out, text_t value)
{
    pack_blob(out, value.bytes, value.n);
}
static inline void codec_put_free(buffer_t *out, text_t value)
{
    pack_array(out, 2);
    pack_u64(out, CODEC_PLAIN_KEY);
    pack_text(out, value.bytes, value.n);
}

static inline void codec_fail(unpack_t *in)
{
    in->failed = true;
    in->at = in->end;
}
static inline uint64_t codec_get_unsigned(unpack_t *in, uint64_t max)
{
    uint64_t value = unpack_u64(in);

    if (UNLIKELY(value > max)) {
        codec_fail(in);
        return 0;
    }
    return value;
}
static inline uint8_t codec_get_u8(unpack_t *in)
{
    return (uint8_t)codec_get_unsigned(in, UINT8_MAX);
}
static inline uint16_t codec_get_u16(unpack_t *in)
{
    return (uint16_t)codec_get_unsigned(in, UINT16_MAX);
}
static inline uint32_t codec_get_u32(unpack_t *in)
{
    return (uint32_t)codec_get_unsigned(in, UINT32_MAX);
}
static inline uint64_t codec_get_u64(unpack_t *in)
{
    return unpack_u64(in);
}
static inline int64_t codec_get_i64(unpack_t *in)
{
    return unpack_i64(in);
}
static inline int128_t codec_get_i128(unpack_t *in)
{
    return unpack_i128(in);
}
static inline uuid16_t codec_get_uuid(unpack_t *in)
{
    uuid16_t value = {{0}};

    (void)unpack_fixed(in, value.bytes, UUID_BYTES);
    return value;
}
static inline hash_t codec_get_hash(unpack_t *in)
{
    hash_t value = {{0}};

    (void)unpack_fixed(in, value.bytes, HASH_BYTES);
    return value;
}
static inline text_t codec_get_text(unpack_t *in)
{
    text_t value = {NULL, 0};

    value.n = unpack_text(in, &value.bytes);
    return value;
}
static inline text_t codec_get_blob(unpack_t *in)
{
    const void *bytes = NULL;
    size_t n = unpack_blob(in, &bytes);

    return (text_t){bytes, n};
}
/* Text under a key that this version cannot open is an error, never an empty text. */
static inline text_t codec_get_free(unpack_t *in)
{
    if (unpack_array(in) != 2 || unpack_u64(in) != CODEC_PLAIN_KEY)
        codec_fail(in);
    return codec_get_text(in);
}

/* Bodies of an encoder and a decoder over a field list of at most 32 fields numbered from 1. */
#define CODEC_PRESENT(number, codec, type, name) \
    present |= (uint32_t)codec_set_##codec(self->name) << ((number)-1);
#define CODEC_PUT(number, codec, type, name)              \
    if ((present & (UINT32_C(1) << ((number)-1))) != 0) { \
        pack_u64(out, (number));                          \
        codec_put_##codec(out, self->name);               \
    }
#define CODEC_GET(number, codec, type, name) \
    case (number):                           \
        self->name = codec_get_##codec(&in); \
        break;

#define CODEC_ENCODE(FIELDS)                                  \
    do {                                                      \
        uint32_t present = 0;                                 \
        FIELDS(CODEC_PRESENT)                                 \
        pack_map(out, (uint32_t)__builtin_popcount(present)); \
        FIELDS(CODEC_PUT)                                     \
    } while (0)

/* An unknown number may carry meaning that must not be dropped, so it is refused, and so is a number given twice. */
#define CODEC_DECODE(FIELDS, what)                                                              \
    do {                                                                                        \
        unpack_t in = unpack_from(bytes, n);                                                    \
        uint32_t count = unpack_map(&in);                                                       \
        uint32_t seen = 0;                                                                      \
        memset(self, 0, sizeof *self);                                                          \
        for (uint32_t i = 0; i < count && !in.failed; i++) {                                    \
            uint64_t number = unpack_u64(&in);                                                  \
            if (number < 1 || number > 32 || (seen & (UINT32_C(1) << (number - 1))) != 0)       \
                return err_set(err, ERR_CORRUPT, what ": field %llu is unknown or given twice", \
                               (unsigned long long)number);                                     \
            seen |= UINT32_C(1) << (number - 1);                                                \
            switch (number) {                                                                   \
                FIELDS(CODEC_GET)                                                               \
            default:                                                                            \
                return err_set(err, ERR_CORRUPT, what ": field %llu is unknown",                \
                               (unsigned long long)number);                                     \
            }                                                                                   \
            if (UNLIKELY(in.failed))                                                            \
                return err_set(err, ERR_CORRUPT, what ": field %llu cannot be read",            \
                               (unsigned long long)number);                                     \
        }                                                                                       \
        if (!unpack_done(&in))                                                                  \
            return err_set(err, ERR_CORRUPT, what ": cut short or followed by other bytes");    \
    } while (0)

#endif
