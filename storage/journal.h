/* journal.h - the ordered, durable log of partitions: one interface, several makers
 *
 * Contract   append queues one encoded record of a partition; next returns records in log order, own ones and
 *            those of others; what next returned and record_judge() accepted is committed once commit()
 *            returned. commit writes the effects of all records returned since the last commit, and the
 *            positions, in one atomic batch. A success of append alone means nothing.
 *            Maker `embedded`: next returns what was appended here; commit puts log rows and effects into ONE
 *            synced batch (group commit over all partitions of the thread). The log row is the stored position.
 *            A shared log (Kafka; the simulator's) holds what several nodes append, so more is to be said:
 *            - Nothing is returned for a partition before journal_follow(partition, offset): then every record from
 *              that offset on, in log order, those of other nodes too. To follow again starts anew there: what was
 *              on its way from before is not returned any more.
 *            - A record with `bytes` NULL says that reading broke off (`why` tells): follow again. `lost`: the log
 *              does not reach back, or not as far, as the offset that was followed.
 *            - journal_report says what became of appends, each exactly once: delivered (acknowledged by all replicas
 *              of the log in sync) or not known to be. A report and the record itself come in any order.
 *            - commit writes the effects unsynced: the log fills what a crash takes. They hold the positions already
 *              (see journal_put_position).
 *            - Channels are two more logs without partitions' records, for views and for heartbeats.
 * Ownership  append copies. A record from next is borrowed until commit.
 * Units      Bytes, microseconds.
 * Errors     ERR_OVERLOADED from append: try later. ERR_IO from commit: embedded ends the process instead.
 */
#ifndef FEALTY_JOURNAL_H
#define FEALTY_JOURNAL_H

#include "protocol/record.h"
#include "storage/store.h"

typedef struct journal journal_t;

typedef struct {
    uint16_t partition; /* or a channel */
    const uint8_t *bytes;
    size_t n;
    uint64_t offset;     /* embedded: the record's ordinal in its partition */
    int64_t log_time_us; /* the journal's time; embedded: at_us of the record */
    bool lost;           /* bytes NULL: what was followed is not there */
    const char *why;     /* bytes NULL: a sentence */
} journal_record_t;

/* Channels of a shared log: numbers that no partition has. */
#define JOURNAL_CONTROL  UINT16_C(0xfffe) /* genesis and views */
#define JOURNAL_LIVENESS UINT16_C(0xffff) /* heartbeats, kept for minutes only */
/* As an offset to follow from: what is appended from now on. */
#define JOURNAL_END UINT64_MAX

/* What became of an append. */
typedef struct {
    uint16_t partition; /* or a channel */
    uint64_t epoch;     /* as in the record's header, or what journal_publish was given */
    uint64_t seq;
    bool delivered;
    uint64_t offset; /* where it lies; UINT64_MAX: not told */
} journal_report_t;

typedef struct {
    errcode_t (*append)(void *state, uint16_t partition, const void *header, const void *body,
                        size_t body_bytes, err_t *err);
    bool (*next)(void *state, journal_record_t *out);
    errcode_t (*commit)(void *state, const buffer_t *effects, err_t *err);
    errcode_t (*position)(void *state, uint16_t partition, position_t *out, bool *found,
                          err_t *err);
    errcode_t (*read)(void *state, uint16_t partition, uint64_t offset, buffer_t *out, bool *found,
                      err_t *err);
    void (*destroy)(void *state);
    /* A shared log only; NULL otherwise. */
    errcode_t (*follow)(void *state, uint16_t partition, uint64_t offset, err_t *err);
    void (*unfollow)(void *state, uint16_t partition);
    bool (*report)(void *state, journal_report_t *out);
    errcode_t (*publish)(void *state, uint16_t channel, uint64_t mark, const void *bytes, size_t n,
                         err_t *err);
    uint64_t (*behind)(void *state, uint16_t partition);
} journal_ops_t;

struct journal {
    const journal_ops_t *ops;
    void *state; /* owned */
};

/* Queues header (RECORD_HEADER_BYTES) and body as one record. */
static inline errcode_t journal_append(journal_t *self, uint16_t partition, const void *header,
                                       const void *body, size_t body_bytes, err_t *err)
{
    return self->ops->append(self->state, partition, header, body, body_bytes, err);
}
static inline bool journal_next(journal_t *self, journal_record_t *out)
{
    return self->ops->next(self->state, out);
}
static inline errcode_t journal_commit(journal_t *self, const buffer_t *effects, err_t *err)
{
    return self->ops->commit(self->state, effects, err);
}
/* Last committed position of a partition; *found false when its log is empty. */
static inline errcode_t journal_position(journal_t *self, uint16_t partition, position_t *out,
                                         bool *found, err_t *err)
{
    return self->ops->position(self->state, partition, out, found, err);
}
/* Reads the record at an offset again. */
static inline errcode_t journal_read(journal_t *self, uint16_t partition, uint64_t offset,
                                     buffer_t *out, bool *found, err_t *err)
{
    return self->ops->read(self->state, partition, offset, out, found, err);
}
/* A shared log: what stands behind the interface, see above. The channels are followed like partitions. */
static inline errcode_t journal_follow(journal_t *self, uint16_t partition, uint64_t offset,
                                       err_t *err)
{
    return self->ops->follow(self->state, partition, offset, err);
}
static inline void journal_unfollow(journal_t *self, uint16_t partition)
{
    self->ops->unfollow(self->state, partition);
}
static inline bool journal_report(journal_t *self, journal_report_t *out)
{
    return self->ops->report(self->state, out);
}
/* Appends bytes to a channel; `mark` comes back as the epoch of its report. */
static inline errcode_t journal_publish(journal_t *self, uint16_t channel, uint64_t mark,
                                        const void *bytes, size_t n, err_t *err)
{
    return self->ops->publish(self->state, channel, mark, bytes, n, err);
}
/* About how many records lie in the log behind what next returned: a hint for planning, never for safety.
 * UINT64_MAX: not known. */
static inline uint64_t journal_behind(journal_t *self, uint16_t partition)
{
    return self->ops->behind(self->state, partition);
}
void journal_destroy(journal_t **self_p);

/* The stored position of a follower of a shared log: a row that is written in the same batch as the effects. */
void journal_put_position(uint16_t partition, const position_t *position, buffer_t *batch);
void journal_drop_position(uint16_t partition, buffer_t *batch);
errcode_t journal_stored_position(store_t *store, uint16_t partition, position_t *position,
                                  bool *found, err_t *err);
/* As a snapshot of the store has it (NULL: the newest). */
errcode_t journal_position_at(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                              position_t *position, bool *found, err_t *err);

/* The value of that row; decode returns false for what is none. */
void journal_position_encode(const position_t *position, buffer_t *out);
bool journal_position_decode(position_t *position, const void *bytes, size_t n);

/* The store is borrowed and must outlive the journal. One journal writes a partition at a time.
 * A record that record_judge() does not accept is returned by next like any other, never written, and counted. */
journal_t *journal_embedded_new(store_t *store);

/* The last committed position without a journal. position->offset is the ordinal of its record (from 1); 0 when a
 * restore set the position, then no record stands behind it and journal_read finds none. */
errcode_t journal_embedded_position(store_t *store, uint16_t partition, position_t *position,
                                    uint64_t *next_ordinal, bool *found, err_t *err);

/* Adds to a batch the row that sets a partition's position (restore, adoption): it holds until a record with an
 * ordinal of at least the floor is logged. The floor must be at or above next_ordinal, else ERR_INVALID. */
errcode_t journal_embedded_override(store_t *store, uint16_t partition, const position_t *position,
                                    uint64_t ordinal_floor, buffer_t *batch, err_t *err);

/* Reads a partition's log from an ordinal on: checksums, dense ordinals, and that every record follows from the one
 * before it (record_judge, chain). A new history is followed when it starts with a claim. `each` may be NULL; another
 * answer than ERR_NONE from it ends the scan and is returned. `after` is the position behind the record. */
typedef errcode_t (*journal_scan_fn)(void *state, const record_header_t *header, const void *record,
                                     size_t n, const position_t *after, err_t *err);
errcode_t journal_embedded_scan(store_t *store, const store_snapshot_t *snapshot,
                                uint16_t partition, uint64_t from_ordinal, journal_scan_fn each,
                                void *state, err_t *err);

#endif
