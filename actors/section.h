/* section.h - what a record's body is made of
 *
 * Contract   A body is a sequence of sections: u8 kind, u32 LE bytes of command, u32 LE bytes of writes, command, writes.
 *            The command is canonical (protocol/command.h), the writes are its effects with resulting values
 *            (storage/batch.h). Later kinds (events, timers) are skipped by nobody: an unknown kind halts the reader.
 * Threads    Pure.
 * Ownership  Borrowed from the body.
 * Units      Bytes.
 * Errors     section_next sets *corrupt.
 */
#ifndef FEALTY_SECTION_H
#define FEALTY_SECTION_H

#include "protocol/buffer.h"

typedef enum { SECTION_DECISION = 1 } section_kind_t;

#define SECTION_HEAD_BYTES 9

typedef struct {
    uint8_t kind;
    const uint8_t *command;
    size_t command_bytes;
    const uint8_t *writes;
    size_t writes_bytes;
} section_t;

/* Starts a section with its command; returns where it starts. Row writes are appended behind it. */
size_t section_begin(buffer_t *body, section_kind_t kind, const void *command,
                     size_t command_bytes);
/* Closes the section that starts at `at`: everything behind its command is its writes. */
void section_end(buffer_t *body, size_t at);
/* Where its writes start. */
size_t section_writes_at(const buffer_t *body, size_t at);

bool section_next(const uint8_t *body, size_t n, size_t *at, section_t *out, bool *corrupt);

#endif
