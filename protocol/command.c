/* command.c - commands and results to bytes and back, generated from their field lists */
#include "protocol/codec.h"

static const char *const operation_names[] = {
#define X(id, number, name) [number] = name,
    OPERATION_MAP(X)
#undef X
};

const char *operation_name(uint8_t operation)
{
    return operation < COUNT_OF(operation_names) ? operation_names[operation] : NULL;
}

uint8_t operation_of_name(const char *name, size_t bytes)
{
    for (size_t i = OPERATION_NONE + 1; i < COUNT_OF(operation_names); i++) {
        if (operation_names[i] != NULL && strlen(operation_names[i]) == bytes &&
            memcmp(operation_names[i], name, bytes) == 0)
            return (uint8_t)i;
    }
    return OPERATION_NONE;
}

void command_encode(const command_t *self, buffer_t *out)
{
    CODEC_ENCODE(COMMAND_FIELDS);
}

errcode_t command_decode(command_t *self, const void *bytes, size_t n, err_t *err)
{
    CODEC_DECODE(COMMAND_FIELDS, "command");
    return ERR_NONE;
}

void result_encode(const result_t *self, buffer_t *out)
{
    CODEC_ENCODE(RESULT_FIELDS);
}

errcode_t result_decode(result_t *self, const void *bytes, size_t n, err_t *err)
{
    CODEC_DECODE(RESULT_FIELDS, "result");
    return ERR_NONE;
}
