/* fuzz_frame.c - any bytes are safe to read as a frame between nodes, and what reads survives a round trip
 *
 * The first byte chooses the kind, so that bodies are reached without guessing a checksum; the rest is the body. It is
 * also read as a whole frame with a header of its own, and as a birth record.
 */
#include "cluster/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static buffer_t again;

static void same(const uint8_t *from, const unpack_t *to)
{
    unpack_t in = unpack_from(again.bytes, again.size);

    INVARIANT(!again.failed);
    unpack_skip(&in); /* what was written anew can at least be stepped over */
    INVARIANT(!in.failed);
    INVARIANT(from <= to->at);
    /* The writer uses the shortest forms, so it never needs more than what was read. */
    INVARIANT(again.size <= (size_t)(to->at - from));
}

static bool read_item(uint8_t kind, unpack_t *in)
{
    const uint8_t *from = in->at;
    link_command_t command, command_back;
    link_result_t result;
    link_message_t message;
    link_hello_t hello, hello_back;
    link_shared_hello_t shared, shared_back;
    unpack_t back;

    buffer_reset(&again);
    switch (kind) {
    case LINK_COMMANDS:
    case LINK_QUERIES:
    case LINK_QUERIES_ANY:
        if (!link_command_next(in, &command))
            return false;
        link_command_put(&again, &command);
        same(from, in);
        back = unpack_from(again.bytes, again.size);
        INVARIANT(link_command_next(&back, &command_back));
        INVARIANT(command_back.id == command.id && command_back.n == command.n);
        INVARIANT(command_back.deadline_us == command.deadline_us);
        INVARIANT(command_back.partition == command.partition);
        return true;
    case LINK_RESULTS:
        if (!link_result_next(in, &result))
            return false;
        link_result_put(&again, result.id, &result.err, result.bytes, result.n, &result.place);
        back = unpack_from(again.bytes, again.size);
        INVARIANT(link_result_next(&back, &result));
        return true;
    case LINK_MESSAGES:
        if (!link_message_next(in, &message))
            return false;
        link_message_put(&again, &message);
        same(from, in);
        return true;
    case LINK_HELLO:
        if (!link_hello_next(in, &hello))
            return false;
        link_hello_put(&again, &hello);
        same(from, in);
        back = unpack_from(again.bytes, again.size);
        INVARIANT(link_hello_next(&back, &hello_back));
        INVARIANT(memcmp(&hello, &hello_back, sizeof hello) == 0);
        return true;
    case LINK_SHARED_HELLO:
        if (!link_shared_hello_next(in, &shared))
            return false;
        link_shared_hello_put(&again, &shared);
        same(from, in);
        back = unpack_from(again.bytes, again.size);
        INVARIANT(link_shared_hello_next(&back, &shared_back));
        INVARIANT(unpack_done(&back));
        INVARIANT(memcmp(&shared, &shared_back, sizeof shared) == 0);
        return true;
    default: return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static birth_t birth, birth_back;
    link_header_t header;
    unpack_t in;
    uint32_t count = 0;
    bool good = true;

    if (again.max == 0)
        buffer_init(&again, LINK_BODY_BYTES_MAX);
    if (n == 0)
        return 0;

    header = (link_header_t){.kind = (uint8_t)(1 + bytes[0] % (LINK_KIND__END - 1)),
                             .body_bytes = (uint32_t)(n - 1),
                             .crc = crc32c(0, bytes + 1, n - 1)};
    in = unpack_from(bytes + 1, n - 1);
    while (good && !unpack_done(&in)) {
        good = read_item(header.kind, &in);
        count += good;
    }
    /* The check of the whole agrees with reading item by item. */
    if (count > 0 && good) {
        header.count = count;
        INVARIANT(link_frame_check(&header, bytes + 1, n - 1, NULL) == ERR_NONE);
        header.count = count + 1;
        INVARIANT(link_frame_check(&header, bytes + 1, n - 1, NULL) == ERR_CORRUPT);
    }

    if (n >= LINK_HEADER_BYTES &&
        link_header_decode(&header, bytes, LINK_HEADER_BYTES, NULL) == ERR_NONE)
        (void)link_frame_check(&header, bytes + LINK_HEADER_BYTES, n - LINK_HEADER_BYTES, NULL);

    if (birth_decode(&birth, bytes + 1, n - 1, NULL) == ERR_NONE) {
        buffer_reset(&again);
        birth_encode(&birth, &again);
        INVARIANT(birth_decode(&birth_back, again.bytes, again.size, NULL) == ERR_NONE);
        INVARIANT(memcmp(&birth, &birth_back, sizeof birth) == 0);
    }
    return 0;
}
