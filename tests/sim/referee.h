/* referee.h - the acceptance rules of protocol section 1, written a second time
 *
 * Contract   Says what every reader of a log must make of a record, from the protocol's text alone: it shares with
 *            record_judge() the types and the two checksums, and nothing else. A life's log is judged by both; where they
 *            differ, one of them is wrong.
 * Threads    Pure.
 * Ownership  Values.
 * Units      Microseconds UTC.
 * Errors     None: any bytes have a verdict.
 */
#ifndef FEALTY_REFEREE_H
#define FEALTY_REFEREE_H

#include "protocol/record.h"

/* On ACCEPT *state has moved on, but for the offset. *body, *body_bytes: what the record holds. */
verdict_t referee_judge(position_t *state, const void *bytes, size_t n, int64_t log_time_us,
                        record_kind_t *kind, const uint8_t **body, size_t *body_bytes);

#endif
