/* scale.h - a cluster larger than any desk: how it is born, rests, and loses and gains nodes, in virtual time
 *
 * Contract   Real replicas, governors and views of as many nodes and partitions as wanted on the simulated log, without
 *            load: born, at rest, one node killed, started again, stopped in order, and started again. Each chapter ends
 *            when every partition is owned and nothing has moved for a while. The same seed gives the same report.
 * Threads    One.
 * Ownership  Nothing to say.
 * Units      Virtual microseconds; bytes and records of the log (one copy, before compression).
 * Errors     false and a sentence: a chapter that does not come to its end.
 */
#ifndef FEALTY_SCALE_H
#define FEALTY_SCALE_H

#include "protocol/error.h"

#define SCALE_NODES_MAX      32
#define SCALE_PARTITIONS_MAX 256

typedef enum {
    SCALE_BORN,
    SCALE_AT_REST,
    SCALE_KILLED,
    SCALE_BACK,
    SCALE_STOPPED,
    SCALE_BACK_AGAIN,
    SCALE__COUNT
} scale_chapter_t;

typedef struct {
    const char *name;
    int64_t took_us;      /* until the last change of an owner, or the length of the rest */
    unsigned moved;       /* partitions that have another owner than before */
    int64_t gap_usual_us; /* without an owner: the middle one of those that were */
    int64_t gap_most_us;  /* and the longest */
    unsigned gaps;        /* how many were */
    unsigned least, most; /* partitions owned by a node, at the end */
    uint64_t log_records, log_bytes; /* partitions: claims, releases and what else */
    uint64_t views, view_bytes;      /* of the channel control */
    uint64_t heartbeats, heartbeat_bytes;
    uint64_t letters; /* frames between partitions */
} scale_row_t;

typedef struct {
    scale_row_t rows[SCALE__COUNT];
    uint64_t digest;
} scale_report_t;

bool scale_run(uint64_t seed, uint16_t nodes, uint16_t partitions, uint8_t followers,
               scale_report_t *report, err_t *err);
/* A table for people. */
void scale_print(const scale_report_t *report, uint16_t nodes, uint16_t partitions);

#endif
