/* import_window.h - commands of an import on their way: thousands at once, answers read in the order of the file
 *
 * Contract   import_post() hands a command to its partition and returns at once, unless the window is full; then it
 *            waits for the oldest answer. Commands of one customer keep their order, because they go to one partition's
 *            queue. import_drain() waits for all answers. Everything up to `done_offset` of the file is on disk.
 * Threads    One.
 * Ownership  shards is borrowed. Texts are copied.
 * Units      Bytes, lines from 1.
 * Errors     A refused line is counted and, the first IMPORT_REFUSALS_SHOWN, kept with its reason. What stops the whole
 *            import (a halted partition, a full disk) is returned and kept in `fatal`.
 */
#ifndef FEALTY_IMPORT_WINDOW_H
#define FEALTY_IMPORT_WINDOW_H

#include "node/import_row.h"
#include "node/shards.h"

#define IMPORT_WINDOW         8192
#define IMPORT_REFUSALS_SHOWN 10

typedef struct {
    uint64_t created[IMPORT__KINDS];
    uint64_t replayed; /* known from an earlier run */
    uint64_t nothing;  /* amounts that earn no points */
    uint64_t refused;
    points_t points_in, points_out;
} import_counts_t;

typedef struct {
    uint64_t line;
    char why[200];
} import_refusal_t;

typedef struct {
    request_t *request; /* one reference */
    waiter_t waiter;
    uint64_t line, offset_after;
    import_kind_t kind;
    points_t points;
    bool
        quiet; /* an enrolment that the line did not ask for: not counted when the account is there */
} import_slot_t;

typedef struct {
    shards_t *shards;
    import_slot_t *slots; /* owned; IMPORT_WINDOW */
    uint64_t head, tail;
    buffer_t bytes;
    import_counts_t counts;
    import_refusal_t refusals[IMPORT_REFUSALS_SHOWN];
    uint64_t done_offset, done_line;
    err_t fatal;
} import_window_t;

void import_window_init(import_window_t *self, shards_t *shards);
void import_window_free(import_window_t *self);
errcode_t import_post(import_window_t *self, const command_t *command, uint16_t partition,
                      const import_slot_t *what, err_t *err);
errcode_t import_drain(import_window_t *self, err_t *err);
void import_refuse(import_window_t *self, uint64_t line, const char *why, size_t n);

#endif
