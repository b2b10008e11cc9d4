/* lines.h - counts what became of the lines of a batch
 *
 * Contract   Fed with the body of an application/x-ndjson answer in pieces of any size, counts the
 *            lines whose "status" is 2xx and those with another one. Looks at the first bytes of a
 *            line only, where the contract puts line and status.
 * Threads    Belongs to one thread.
 * Ownership  A value; lines_reset before each answer.
 * Units      Lines.
 * Errors     A line without a status counts as refused.
 */
#ifndef FEALTY_BENCH_LINES_H
#define FEALTY_BENCH_LINES_H

#include "protocol/compiler.h"

#define LINE_HEAD_BYTES 160

typedef struct {
    uint64_t accepted;
    uint64_t refused;
    size_t head_bytes;
    char head[LINE_HEAD_BYTES];          /* start of the line being read */
    char first_refused[LINE_HEAD_BYTES]; /* start of the first refused line, NUL-terminated */
} lines_t;

void lines_reset(lines_t *self);
void lines_feed(lines_t *self, const char *bytes, size_t n);
/* A last line without a newline counts too. */
void lines_end(lines_t *self);

#endif
