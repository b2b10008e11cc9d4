/* log_shared.h - one log that all nodes of a simulated cluster share, and its makers of journals
 *
 * Contract   What Kafka is to real nodes: a log per partition and the two channels. Appends take time, may be lost, may
 *            land twice, late, damaged, or under a report that says otherwise; readers get records later still, each at
 *            his own pace, and reading may break off. A node can be cut off; what it had on the way when it was killed
 *            or paused may land long afterwards. The log itself may lose its end and grow again over the same offsets.
 *            All of it from one seed: the same calls give the same log.
 * Threads    One.
 * Ownership  The log must outlive its journals. Records handed out stay readable as long as the log lives.
 * Units      Virtual microseconds; ppm.
 * Errors     Those of journal.h.
 */
#ifndef FEALTY_LOG_SHARED_H
#define FEALTY_LOG_SHARED_H

#include "storage/journal.h"

#define LOG_NODES_MAX  32
#define LOG_TOPICS_MAX 260 /* partitions, the catalogue's, two channels */

typedef struct log_shared log_shared_t;

/* May be changed at any time; all zero: a log that works, at once. */
typedef struct {
    int64_t append_min_us, append_max_us; /* from append until it lands */
    int64_t report_max_us;                /* from there to its report */
    int64_t read_max_us;                  /* from there until a reader may have it */
    int64_t slow_max_us;                  /* the longest that anything slow takes */
    uint32_t slow_ppm;                    /* appends that take long */
    uint32_t late_ppm;                    /* reports that take long */
    uint32_t lost_ppm;                    /* never lands, and its report says so */
    uint32_t doubt_ppm;                   /* lands, but its report says that this is not known */
    uint32_t double_ppm;                  /* lands twice, the same bytes */
    uint32_t overtake_ppm;                /* does not wait for what its producer appended before */
    uint32_t break_ppm;                   /* reading breaks off, per record */
    /* The next three in partitions only: records of the channels carry no sum of their own. */
    uint32_t torn_ppm;   /* the first bytes of it land before it */
    uint32_t spoilt_ppm; /* lands with a wrong bit, for everybody and for ever */
    uint32_t blink_ppm;  /* a reader gets it with a wrong bit, once */
    uint32_t gap_ppm;    /* offsets that hold nothing stand before it */
    uint32_t full_ppm;   /* append says ERR_OVERLOADED */
} log_faults_t;

typedef struct {
    const uint8_t *bytes; /* borrowed from the log */
    size_t n;
    uint64_t offset;
    int64_t landed_us;
    int64_t log_time_us;
    bool delivered; /* a report has said so */
} log_entry_t;

log_shared_t *log_shared_new(uint64_t seed, uint16_t partitions);
void log_shared_destroy(log_shared_t **self_p);
log_faults_t *log_shared_faults(log_shared_t *self);
/* The log's clock minus virtual time, from now on. */
void log_shared_set_clock(log_shared_t *self, int64_t off_us);
/* Time goes on: what is due lands and is reported. */
void log_shared_advance(log_shared_t *self, int64_t now_us);
int64_t log_shared_next_us(log_shared_t *self); /* when advance has something to do; INT64_MAX */

/* A partition, or JOURNAL_CONTROL, JOURNAL_LIVENESS. */
size_t log_shared_count(const log_shared_t *self, uint16_t topic);
const log_entry_t *log_shared_entry(const log_shared_t *self, uint16_t topic, size_t i);
uint64_t log_shared_end(const log_shared_t *self, uint16_t topic);
/* How many of its entries stand before the first one behind which nothing was reported as delivered: all that an
 * orderly change of leaders keeps. */
size_t log_shared_safe(const log_shared_t *self, uint16_t topic);
/* Something lands that no node's journal appended. */
void log_shared_intrude(log_shared_t *self, uint16_t topic, const void *bytes, size_t n);
/* How many stand before the first one that no reader has got. */
size_t log_shared_read(const log_shared_t *self, uint16_t topic);
/* The log forgets all but its first `count` entries and goes on at the offset of the first that is gone. */
void log_shared_truncate(log_shared_t *self, uint16_t topic, size_t count);

/* One per process of a node; the one before must be gone. `store` is borrowed. */
journal_t *log_journal_new(log_shared_t *self, size_t node, store_t *store);
/* When journal_next or journal_report has something to give; INT64_MAX. */
int64_t log_journal_next_us(journal_t *journal);
/* Neither appends nor records nor reports come through; afterwards all do that were not given up. */
void log_node_cut(log_shared_t *self, size_t node, bool cut);
bool log_node_is_cut(const log_shared_t *self, size_t node);
/* The process stands still: what has not left it yet leaves when it goes on. */
void log_node_pause(log_shared_t *self, size_t node, bool paused);

#endif
