/* fuzz_command.c - any bytes are safe to decode as a command or a result, and what decodes survives a round trip */
#include "protocol/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_command(const uint8_t *bytes, size_t n)
{
    command_t command, back;
    buffer_t first, second;

    if (command_decode(&command, bytes, n, NULL) != ERR_NONE)
        return;
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    command_encode(&command, &first);
    INVARIANT(command_decode(&back, first.bytes, first.size, NULL) == ERR_NONE);
    command_encode(&back, &second);
    INVARIANT(first.size == second.size);
    INVARIANT(memcmp(first.bytes, second.bytes, first.size) == 0);
    buffer_free(&first);
    buffer_free(&second);
}

static void check_result(const uint8_t *bytes, size_t n)
{
    result_t result, back;
    buffer_t first, second;

    if (result_decode(&result, bytes, n, NULL) != ERR_NONE)
        return;
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    result_encode(&result, &first);
    INVARIANT(result_decode(&back, first.bytes, first.size, NULL) == ERR_NONE);
    result_encode(&back, &second);
    INVARIANT(first.size == second.size);
    INVARIANT(memcmp(first.bytes, second.bytes, first.size) == 0);
    buffer_free(&first);
    buffer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check_command(bytes, n);
    check_result(bytes, n);
    return 0;
}
