/* pack.c - msgpack through msgpack-c's templates, a reader of its own, and sortable integers
 *
 * The templates write straight into a buffer_t: msgpack-c's ready-made packer calls a function
 * pointer for every few bytes, and this code runs for every record.
 */
#include "protocol/pack.h"

#include <limits.h>
#include <msgpack/sysdep.h>
#include <msgpack/timestamp.h>

#define msgpack_pack_inline_func(name)        static inline int template##name
#define msgpack_pack_inline_func_cint(name)   static inline int template##name
#define msgpack_pack_inline_func_fixint(name) static inline int template_fix##name
#define msgpack_pack_user                     buffer_t *
#define msgpack_pack_append_buffer(user, bytes, n) \
    do {                                           \
        buffer_append(user, bytes, n);             \
        return 0;                                  \
    } while (0)
#include <msgpack/pack_template.h>

/* First bytes of the msgpack forms, as its specification names them. */
enum {
    FORM_FIXINT_LAST = 0x7f,
    FORM_FIXMAP = 0x80,
    FORM_FIXARRAY = 0x90,
    FORM_FIXSTR = 0xa0,
    FORM_FIXSTR_LAST = 0xbf,
    FORM_NIL = 0xc0,
    FORM_NEVER_USED = 0xc1,
    FORM_FALSE = 0xc2,
    FORM_TRUE = 0xc3,
    FORM_BIN8 = 0xc4,
    FORM_BIN16 = 0xc5,
    FORM_BIN32 = 0xc6,
    FORM_EXT8 = 0xc7,
    FORM_EXT16 = 0xc8,
    FORM_EXT32 = 0xc9,
    FORM_FLOAT32 = 0xca,
    FORM_FLOAT64 = 0xcb,
    FORM_UINT8 = 0xcc,
    FORM_UINT16 = 0xcd,
    FORM_UINT32 = 0xce,
    FORM_UINT64 = 0xcf,
    FORM_INT8 = 0xd0,
    FORM_INT16 = 0xd1,
    FORM_INT32 = 0xd2,
    FORM_INT64 = 0xd3,
    FORM_FIXEXT1 = 0xd4,
    FORM_FIXEXT16 = 0xd8,
    FORM_STR8 = 0xd9,
    FORM_STR16 = 0xda,
    FORM_STR32 = 0xdb,
    FORM_ARRAY16 = 0xdc,
    FORM_ARRAY32 = 0xdd,
    FORM_MAP16 = 0xde,
    FORM_MAP32 = 0xdf,
    FORM_NEGATIVE_FIXINT = 0xe0
};

typedef struct {
    bool negative;
    uint64_t bits; /* two's complement when negative */
} integer_t;

static void fail(unpack_t *in);
static uint64_t take_be(unpack_t *in, size_t bytes);
static uint8_t take_form(unpack_t *in);
static integer_t integer_of(unpack_t *in, uint8_t form);
static const uint8_t *take_bytes(unpack_t *in, uint64_t n);
static uint64_t text_length(unpack_t *in, uint8_t form);
static uint64_t blob_length(unpack_t *in, uint8_t form);

void pack_nil(buffer_t *out)
{
    (void)template_nil(out);
}

void pack_bool(buffer_t *out, bool value)
{
    (void)(value ? template_true(out) : template_false(out));
}

void pack_u64(buffer_t *out, uint64_t value)
{
    (void)template_uint64(out, value);
}

void pack_i64(buffer_t *out, int64_t value)
{
    (void)template_int64(out, value);
}

void pack_i128(buffer_t *out, int128_t value)
{
    uint128_t bits = (uint128_t)value;
    uint8_t bytes[16];

    if (value >= INT64_MIN && value <= INT64_MAX) {
        pack_i64(out, (int64_t)value);
        return;
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
    pack_blob(out, bytes, sizeof bytes);
}

void pack_text(buffer_t *out, const char *text, size_t bytes)
{
    INVARIANT(bytes <= UINT32_MAX);
    (void)template_str(out, bytes);
    buffer_append(out, text, bytes);
}

void pack_blob(buffer_t *out, const void *bytes, size_t n)
{
    INVARIANT(n <= UINT32_MAX);
    (void)template_bin(out, n);
    buffer_append(out, bytes, n);
}

void pack_array(buffer_t *out, uint32_t count)
{
    (void)template_array(out, count);
}

void pack_map(buffer_t *out, uint32_t count)
{
    (void)template_map(out, count);
}

bool unpack_nil(unpack_t *in)
{
    if (in->failed || in->at == in->end || *in->at != FORM_NIL)
        return false;
    in->at++;
    return true;
}

bool unpack_bool(unpack_t *in)
{
    uint8_t form = take_form(in);

    if (form != FORM_TRUE && form != FORM_FALSE)
        fail(in);
    return form == FORM_TRUE;
}

uint64_t unpack_u64(unpack_t *in)
{
    integer_t number = integer_of(in, take_form(in));

    if (number.negative)
        fail(in);
    return in->failed ? 0 : number.bits;
}

int64_t unpack_i64(unpack_t *in)
{
    integer_t number = integer_of(in, take_form(in));

    if (!number.negative && number.bits > INT64_MAX)
        fail(in);
    return in->failed ? 0 : (int64_t)number.bits;
}

int128_t unpack_i128(unpack_t *in)
{
    uint8_t form = take_form(in);
    integer_t number;

    if (form == FORM_BIN8) {
        const uint8_t *bytes;
        uint128_t bits = 0;

        if (take_be(in, 1) != 16)
            fail(in);
        bytes = take_bytes(in, 16);
        for (size_t i = 0; bytes != NULL && i < 16; i++)
            bits |= (uint128_t)bytes[i] << (8 * i);
        return (int128_t)bits;
    }
    number = integer_of(in, form);
    if (in->failed)
        return 0;
    return number.negative ? (int128_t)(int64_t)number.bits : (int128_t)number.bits;
}

size_t unpack_text(unpack_t *in, const char **text)
{
    uint64_t n = text_length(in, take_form(in));

    *text = (const char *)take_bytes(in, n);
    return *text == NULL ? 0 : (size_t)n;
}

size_t unpack_blob(unpack_t *in, const void **bytes)
{
    uint64_t n = blob_length(in, take_form(in));

    *bytes = take_bytes(in, n);
    return *bytes == NULL ? 0 : (size_t)n;
}

bool unpack_fixed(unpack_t *in, void *out, size_t n)
{
    const void *bytes;
    size_t found = unpack_blob(in, &bytes);

    if (found != n)
        fail(in);
    if (in->failed)
        return false;
    memcpy(out, bytes, n);
    return true;
}

uint32_t unpack_array(unpack_t *in)
{
    uint8_t form = take_form(in);
    uint64_t count = 0;

    if (form >= FORM_FIXARRAY && form < FORM_FIXSTR)
        count = form - FORM_FIXARRAY;
    else if (form == FORM_ARRAY16 || form == FORM_ARRAY32)
        count = take_be(in, form == FORM_ARRAY16 ? 2 : 4);
    else
        fail(in);
    /* Every element takes a byte at least: a larger count is a lie that would cost memory. */
    if (count > (size_t)(in->end - in->at))
        fail(in);
    return in->failed ? 0 : (uint32_t)count;
}

uint32_t unpack_map(unpack_t *in)
{
    uint8_t form = take_form(in);
    uint64_t count = 0;

    if (form >= FORM_FIXMAP && form < FORM_FIXARRAY)
        count = form - FORM_FIXMAP;
    else if (form == FORM_MAP16 || form == FORM_MAP32)
        count = take_be(in, form == FORM_MAP16 ? 2 : 4);
    else
        fail(in);
    if (count > (size_t)(in->end - in->at) / 2)
        fail(in);
    return in->failed ? 0 : (uint32_t)count;
}

void unpack_skip(unpack_t *in)
{
    uint64_t left[UNPACK_NESTING_MAX + 1] = {1}; /* values still to come on each level */
    size_t level = 0;

    while (!in->failed) {
        uint8_t form;
        uint64_t inside = 0;
        bool nested = false;

        while (left[level] == 0) {
            if (level == 0)
                return;
            level--;
        }
        left[level]--;
        if (in->at == in->end) {
            fail(in);
            return;
        }
        form = *in->at;
        if ((form >= FORM_FIXMAP && form < FORM_FIXSTR) ||
            (form >= FORM_ARRAY16 && form <= FORM_MAP32)) {
            bool map = form < FORM_FIXARRAY || form == FORM_MAP16 || form == FORM_MAP32;

            inside = map ? (uint64_t)unpack_map(in) * 2 : unpack_array(in);
            nested = true;
        } else {
            in->at++;
            if (form <= FORM_FIXINT_LAST || form >= FORM_NEGATIVE_FIXINT || form == FORM_NIL ||
                form == FORM_FALSE || form == FORM_TRUE)
                continue;
            if ((form >= FORM_FIXSTR && form <= FORM_FIXSTR_LAST) ||
                (form >= FORM_STR8 && form <= FORM_STR32))
                (void)take_bytes(in, text_length(in, form));
            else if (form >= FORM_BIN8 && form <= FORM_BIN32)
                (void)take_bytes(in, blob_length(in, form));
            else if (form >= FORM_EXT8 && form <= FORM_EXT32)
                (void)take_bytes(in, take_be(in, (size_t)1 << (form - FORM_EXT8)) + 1);
            else if (form >= FORM_FIXEXT1 && form <= FORM_FIXEXT16)
                (void)take_bytes(in, (UINT64_C(1) << (form - FORM_FIXEXT1)) + 1);
            else if (form == FORM_FLOAT32 || form == FORM_FLOAT64)
                (void)take_bytes(in, form == FORM_FLOAT32 ? 4 : 8);
            else
                (void)integer_of(in, form);
        }
        if (nested && level == UNPACK_NESTING_MAX)
            fail(in);
        else if (nested)
            left[++level] = inside;
    }
}

void be16_put(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

void be32_put(uint8_t *out, uint32_t value)
{
    be16_put(out, (uint16_t)(value >> 16));
    be16_put(out + 2, (uint16_t)value);
}

void be64_put(uint8_t *out, uint64_t value)
{
    be32_put(out, (uint32_t)(value >> 32));
    be32_put(out + 4, (uint32_t)value);
}

uint16_t be16_get(const uint8_t *in)
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

uint32_t be32_get(const uint8_t *in)
{
    return (uint32_t)be16_get(in) << 16 | be16_get(in + 2);
}

uint64_t be64_get(const uint8_t *in)
{
    return (uint64_t)be32_get(in) << 32 | be32_get(in + 4);
}

/* Nothing is left to read after a failure, so that loops over a cursor end. */
static void fail(unpack_t *in)
{
    in->failed = true;
    in->at = in->end;
}

static uint64_t take_be(unpack_t *in, size_t bytes)
{
    uint64_t value = 0;

    if (in->failed || (size_t)(in->end - in->at) < bytes) {
        fail(in);
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in->at[i];
    in->at += bytes;
    return value;
}

static uint8_t take_form(unpack_t *in)
{
    if (UNLIKELY(in->failed || in->at == in->end)) {
        fail(in);
        return FORM_NEVER_USED;
    }
    return *in->at++;
}

static integer_t integer_of(unpack_t *in, uint8_t form)
{
    integer_t number = {.negative = false, .bits = 0};

    if (form <= FORM_FIXINT_LAST) {
        number.bits = form;
    } else if (form >= FORM_NEGATIVE_FIXINT) {
        number.bits = (uint64_t)(int64_t)(int8_t)form;
        number.negative = true;
    } else if (form >= FORM_UINT8 && form <= FORM_UINT64) {
        number.bits = take_be(in, (size_t)1 << (form - FORM_UINT8));
    } else if (form >= FORM_INT8 && form <= FORM_INT64) {
        uint64_t bits = take_be(in, (size_t)1 << (form - FORM_INT8));
        int64_t value = form == FORM_INT8    ? (int8_t)bits
                        : form == FORM_INT16 ? (int16_t)bits
                        : form == FORM_INT32 ? (int32_t)bits
                                             : (int64_t)bits;

        number.bits = (uint64_t)value;
        number.negative = value < 0;
    } else {
        fail(in);
    }
    return number;
}

static const uint8_t *take_bytes(unpack_t *in, uint64_t n)
{
    const uint8_t *start = in->at;

    if (in->failed || (size_t)(in->end - in->at) < n) {
        fail(in);
        return NULL;
    }
    in->at += n;
    return start;
}

static uint64_t text_length(unpack_t *in, uint8_t form)
{
    if (form >= FORM_FIXSTR && form <= FORM_FIXSTR_LAST)
        return form - FORM_FIXSTR;
    if (form >= FORM_STR8 && form <= FORM_STR32)
        return take_be(in, (size_t)1 << (form - FORM_STR8));
    fail(in);
    return 0;
}

static uint64_t blob_length(unpack_t *in, uint8_t form)
{
    if (form >= FORM_BIN8 && form <= FORM_BIN32)
        return take_be(in, (size_t)1 << (form - FORM_BIN8));
    fail(in);
    return 0;
}
