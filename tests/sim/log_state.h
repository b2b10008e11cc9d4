/* log_state.h - the inside of the simulated log, shared by its two files (never included elsewhere)
 *
 * Contract   log_shared.c is the broker: it lands, reports, forgets. log_journal.c is the client in a node.
 * Threads    One.
 * Ownership  Bytes of records live in `kept` until the log is destroyed: what was lent stays readable.
 * Units      Virtual microseconds.
 * Errors     As log_shared.h.
 */
#ifndef FEALTY_LOG_STATE_H
#define FEALTY_LOG_STATE_H

#include "tests/sim/dice.h"
#include "tests/sim/log_shared.h"

#define LOG_REPORTS_MAX 1024
#define LOG_FLIGHTS_MAX 512 /* of one node: then append says ERR_OVERLOADED */
#define LOG_GIVE_UP_US  INT64_C(3000000)

/* One append on its way. */
typedef struct {
    uint16_t topic;
    uint8_t node;
    uint64_t process; /* which of the node's journals appended it */
    const uint8_t *bytes;
    size_t n;
    uint64_t epoch, seq; /* for its report */
    int64_t give_up_us;  /* held back: when its report says that it was given up; 0: never */
} append_t;

typedef enum { EVENT_LAND, EVENT_LAND_AGAIN, EVENT_REPORT } event_kind_t;

typedef struct {
    int64_t at_us;
    uint64_t order; /* ties go by the order of making */
    event_kind_t kind;
    append_t flight;
    bool delivered;                  /* report */
    uint64_t entry_offset, entry_id; /* report: which entry; id 0: none */
} event_t;

typedef struct {
    log_entry_t entry;
    uint64_t id; /* of this landing: offsets are used again */
} landed_t;

typedef struct {
    landed_t *entries; /* owned */
    size_t count, capacity;
    uint64_t end;      /* next offset */
    uint64_t read_end; /* behind the last record that any reader got */
} topic_t;

typedef struct log_journal log_journal_t;

typedef struct {
    bool cut, paused;
    uint64_t process;
    log_journal_t *journal; /* borrowed; NULL: no process */
    append_t *held;         /* owned: appends that have not left */
    size_t held_count, held_capacity;
    size_t flying;                        /* of the present process: appended and not reported */
    int64_t last_land_us[LOG_TOPICS_MAX]; /* keeps the order of one producer */
} log_node_t;

struct log_shared {
    dice_t dice;
    log_faults_t faults;
    uint16_t partitions;
    int64_t now_us, clock_off_us;
    uint64_t order, ids;
    topic_t topics[LOG_TOPICS_MAX];
    log_node_t nodes[LOG_NODES_MAX];
    event_t *events; /* owned; a heap, earliest first */
    size_t event_count, event_capacity;
    void **kept; /* owned, each too */
    size_t kept_count, kept_capacity;
};

/* Where a reader stands in one topic. */
typedef struct {
    bool follows;
    uint64_t offset;  /* of the next record */
    bool ready_known; /* ready_us is that of the record at `ready_id` */
    uint64_t ready_id;
    int64_t ready_us;  /* when the next record may be had; never before the last one's */
    int64_t notice_us; /* 0, or when it learns that its offset is not there */
} reader_t;

struct log_journal {
    log_shared_t *log;
    store_t *store; /* borrowed */
    size_t node;
    uint64_t process;
    reader_t readers[LOG_TOPICS_MAX];
    size_t turn; /* the topic to look at first */
    journal_report_t reports[LOG_REPORTS_MAX];
    size_t report_head, report_tail;
};

size_t log_topic(const log_shared_t *self, uint16_t number); /* index of a partition or channel */
uint16_t log_topic_number(const log_shared_t *self, size_t topic);
uint8_t *log_keep(log_shared_t *self, const void *bytes, size_t n);
/* Index of the first entry at or behind an offset. */
size_t log_find(const topic_t *topic, uint64_t offset);
/* An append leaves the node, or waits until it can. */
void log_send(log_shared_t *self, const append_t *flight);
void log_hold(log_shared_t *self, append_t flight);
/* Puts a report into the journal of the process that appended, if it still lives. */
void log_tell(log_shared_t *self, const append_t *flight, bool delivered, uint64_t offset);

#endif
