/* fuzz_pack.c - any bytes: the cursor stays inside, and agrees with itself and with the writer
 *
 * Oracles: skipping a value and reading it end at the same place; a value that was read, written anew
 * and read again is equal, and not longer than the bytes it came from.
 */
#include "protocol/pack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Copies one value of any kind this project writes; false for the others and for bad input. */
static bool copy_value(unpack_t *in, buffer_t *out, int depth)
{
    unpack_t at = *in;
    const char *text;
    const void *blob;
    size_t length;
    uint32_t count;

    if (unpack_nil(in)) {
        pack_nil(out);
        return true;
    }
    bool flag = unpack_bool(&at);
    if (!at.failed) {
        pack_bool(out, flag);
        *in = at;
        return true;
    }
    at = *in;
    int64_t number = unpack_i64(&at);
    if (!at.failed) {
        pack_i64(out, number);
        *in = at;
        return true;
    }
    at = *in;
    uint64_t natural = unpack_u64(&at);
    if (!at.failed) {
        pack_u64(out, natural);
        *in = at;
        return true;
    }
    at = *in;
    length = unpack_text(&at, &text);
    if (!at.failed) {
        pack_text(out, text, length);
        *in = at;
        return true;
    }
    at = *in;
    length = unpack_blob(&at, &blob);
    if (!at.failed) {
        pack_blob(out, blob, length);
        *in = at;
        return true;
    }
    if (depth == UNPACK_NESTING_MAX)
        return false; /* one level more than unpack_skip follows, empty or not */
    at = *in;
    count = unpack_array(&at);
    if (!at.failed) {
        pack_array(out, count);
    } else {
        at = *in;
        count = unpack_map(&at);
        if (at.failed)
            return false;
        INVARIANT(count <= UINT32_MAX / 2);
        pack_map(out, count);
        count *= 2;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!copy_value(&at, out, depth + 1))
            return false;
    *in = at;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    unpack_t skipped = unpack_from(bytes, n);
    unpack_t read = unpack_from(bytes, n);
    unpack_t wide = unpack_from(bytes, n);
    uint8_t fixed[16];
    buffer_t out;

    unpack_skip(&skipped);
    INVARIANT(skipped.at <= skipped.end);
    buffer_init(&out, n + 64);
    if (copy_value(&read, &out, 0)) {
        unpack_t copied = unpack_from(out.bytes, out.size);
        buffer_t again;

        INVARIANT(!out.failed);
        INVARIANT(!skipped.failed);
        INVARIANT(skipped.at == read.at);
        INVARIANT(out.size <= (size_t)(read.at - bytes));
        buffer_init(&again, n + 64);
        INVARIANT(copy_value(&copied, &again, 0));
        INVARIANT(unpack_done(&copied));
        INVARIANT(again.size == out.size);
        INVARIANT(memcmp(again.bytes, out.bytes, out.size) == 0);
        buffer_free(&again);
    }
    int128_t value = unpack_i128(&wide);
    if (!wide.failed) {
        buffer_reset(&out);
        pack_i128(&out, value);
        unpack_t back = unpack_from(out.bytes, out.size);
        INVARIANT(unpack_i128(&back) == value);
        INVARIANT(unpack_done(&back));
    }
    buffer_free(&out);
    unpack_t blob = unpack_from(bytes, n);
    if (!unpack_fixed(&blob, fixed, sizeof fixed))
        INVARIANT(blob.failed);
    return 0;
}
