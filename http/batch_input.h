/* batch_input.h - lines out of a body that is still arriving
 *
 * Contract   Hands on each line as soon as its end is there, so that answers can start before the
 *            input ends. The library's read returns only when all bytes asked for came, so it is
 *            asked for what is known to be there, else for one byte. Blank lines are counted and
 *            left out. A line longer than it may be is handed on as bytes NULL.
 * Threads    The worker of the request.
 * Ownership  A line is borrowed during the call.
 * Units      Bytes.
 * Errors     A status: 0 the input ended well; 400 closed or malformed chunks; 408 too slow
 *            (nothing for 5 s, a line longer than 10 s under way); 413 too many lines or bytes.
 *            `line` is then the number to answer under.
 */
#ifndef FEALTY_BATCH_INPUT_H
#define FEALTY_BATCH_INPUT_H

#include "http/call.h"

typedef struct {
    call_t *call;
    uint32_t lines_max;
    size_t line_bytes_max;
    size_t bytes_max;
    bool (*take)(void *context, uint32_t number, text_t line); /* false: stop */
    void *context;
    uint32_t line; /* out: number of the line that comes next */
} batch_input_t;

int batch_input_read(batch_input_t *self, const char **fault);

#endif
