/* log_place.h - a place in one partition's log, as clients carry it: X-Position
 *
 * Contract   An answer names a place that covers what it says: who has applied the partition's log up to there has seen
 *            all of it. log_place_judge() is a pure function of where a copy stands and the place. On the wire it is
 *            `partition:history:epoch:seq`, the history as 32 hex digits; several stand in one text, with commas between.
 *            Between nodes the places of one partition are LOG_PLACE_BYTES each, one after the other.
 * Threads    Pure.
 * Ownership  Values.
 * Units      Nothing to say.
 * Errors     ERR_INVALID for a text that is none.
 */
#ifndef FEALTY_LOG_PLACE_H
#define FEALTY_LOG_PLACE_H

#include "protocol/command.h"
#include "protocol/record.h"

#define LOG_PLACES_MAX       64 /* in the headers of one request */
#define LOG_PLACE_BYTES      32
#define LOG_PLACE_TEXT_BYTES 96 /* with the NUL */

typedef struct {
    hash_t history;
    uint64_t epoch; /* 0: none */
    uint64_t seq;
} log_place_t;

/* One that a client gave. */
typedef struct {
    uint16_t partition;
    log_place_t place;
} named_log_place_t;

typedef enum {
    LOG_PLACE_REACHED, /* applied */
    LOG_PLACE_AHEAD,   /* it may still come */
    LOG_PLACE_LOST     /* it will never be reached: it belongs to no log that this copy knows */
} log_place_verdict_t;

/* What an answer from there names: the last record that has effects. Copies store those with their position at once, the
 * position over others when there is time. */
log_place_t log_place_of(const position_t *position);
log_place_verdict_t log_place_judge(const position_t *at, const log_place_t *place);

void log_place_format(uint16_t partition, const log_place_t *place, char out[LOG_PLACE_TEXT_BYTES]);
/* Adds the places of a text to list[0 .. LOG_PLACES_MAX). Blanks around a place do not count, and no place at all is wrong. */
errcode_t log_place_list_read(named_log_place_t *list, size_t *count, const char *text, err_t *err);

void log_place_pack(const log_place_t *place, uint8_t out[LOG_PLACE_BYTES]);
log_place_t log_place_unpack(const uint8_t in[LOG_PLACE_BYTES]);

#endif
