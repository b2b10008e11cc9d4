/* section.c - writing and reading the sections of a record's body */
#include "actors/section.h"

static void u32_put(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t u32_get(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

size_t section_begin(buffer_t *body, section_kind_t kind, const void *command, size_t command_bytes)
{
    size_t at = body->size;
    uint8_t head[SECTION_HEAD_BYTES] = {(uint8_t)kind};

    u32_put(head + 1, (uint32_t)command_bytes);
    buffer_append(body, head, sizeof head);
    buffer_append(body, command, command_bytes);
    return at;
}

size_t section_writes_at(const buffer_t *body, size_t at)
{
    return at + SECTION_HEAD_BYTES + u32_get(body->bytes + at + 1);
}

void section_end(buffer_t *body, size_t at)
{
    u32_put(body->bytes + at + 5, (uint32_t)(body->size - section_writes_at(body, at)));
}

bool section_next(const uint8_t *body, size_t n, size_t *at, section_t *out, bool *corrupt)
{
    *corrupt = false;
    if (*at == n)
        return false;
    *corrupt = true;
    if (n - *at < SECTION_HEAD_BYTES || body[*at] != SECTION_DECISION)
        return false;
    const uint8_t *head = body + *at;
    size_t command_bytes = u32_get(head + 1), writes_bytes = u32_get(head + 5);
    size_t left = n - *at - SECTION_HEAD_BYTES;
    if (command_bytes > left || writes_bytes > left - command_bytes)
        return false;
    out->kind = head[0];
    out->command = head + SECTION_HEAD_BYTES;
    out->command_bytes = command_bytes;
    out->writes = out->command + command_bytes;
    out->writes_bytes = writes_bytes;
    *at += SECTION_HEAD_BYTES + command_bytes + writes_bytes;
    *corrupt = false;
    return true;
}
