/* record.h - the record of a partition's log: header, acceptance, HALT (protocol section 1)
 *
 * Contract   The header is frozen: a ledger's log is never rewritten. record_judge() is the pure function
 *            that every reader of a log runs on every record: all readers of one log agree. A body is a
 *            sequence of decisions; see actors/section.h.
 * Threads    Pure.
 * Ownership  Decoded headers are values; bodies are borrowed from the input.
 * Units      Microseconds UTC; sizes in bytes.
 * Errors     record_decode() reports why bytes are no record; record_judge() gives a verdict and a reason.
 */
#ifndef FEALTY_RECORD_H
#define FEALTY_RECORD_H

#include "protocol/error.h"
#include "protocol/ids.h"

#define RECORD_MAGIC              0xFEA1
#define RECORD_VERSION            1
#define RECORD_HEADER_BYTES       88
#define RECORD_BYTES_MAX          (512 * 1024)
#define RECORD_CLOCK_AHEAD_MAX_US (INT64_C(60) * 1000000)

typedef enum {
    RECORD_CLAIM = 1,   /* body: u64 LE prev epoch */
    RECORD_RELEASE = 2, /* no body */
    RECORD_DECISIONS = 3,
    RECORD_TIME_RESET = 4, /* body: i64 LE new now_us; may lower the partition's time */
    RECORD_ADOPTED =
        5 /* body: the history before `history`, which counts from here on; changes nothing in it, and ends
                          all others (protocol section 15) */
} record_kind_t;

typedef struct {
    uint8_t kind;
    uint16_t partition;
    uint16_t flags;
    hash_t history; /* identity of this partition's log */
    uint64_t epoch;
    hash_t incarnation; /* which process wrote it */
    uint64_t seq;       /* a claim does not advance it: it carries the seq it saw */
    uint64_t seen;      /* highest seq its writer had read back */
    int64_t at_us;
    uint64_t chain; /* running hash before this record */
    uint32_t body_bytes;
    uint32_t crc; /* crc32c of header (this field zero) and body */
} record_header_t;

/* Epochs whose ends a position remembers. */
#define POSITION_ENDS 4

/* Where a reader of one partition's log stands. Stored in the same batch as the effects. */
typedef struct {
    hash_t history;
    uint64_t epoch;
    hash_t owner; /* all zero: nobody, only a claim is accepted next */
    uint64_t seq;
    uint64_t chain;
    int64_t now_us;
    uint64_t offset; /* of the journal */
    uint32_t crc;    /* of the last accepted record */
    uint64_t skips;  /* a shared log: mark of the records up to there that an operator's word made
                        nothing (actors/skips.h); 0: none */
    /* seq at which the claims of epoch, epoch - 1, ... were accepted: the ends of the epochs before them. For clients'
     * places (log_place.h) only, so a journal that has no use for them leaves them out. */
    uint64_t ends[POSITION_ENDS];
    /* Of the last claim or record with a body: who has read up to there has seen all that there is to see. */
    uint64_t effects_epoch, effects_seq;
} position_t;

typedef enum { VERDICT_ACCEPT, VERDICT_IGNORE, VERDICT_HALT } verdict_t;

/* clang-format off */
#define RECORD_REASON_MAP(X)                                                       \
    X(REASON_NONE, "none")                                                         \
    X(REASON_BAD_MAGIC, "bad_magic")                                               \
    X(REASON_BAD_CRC, "bad_crc")                                                   \
    X(REASON_OTHER_HISTORY, "other_history")                                       \
    X(REASON_STALE_EPOCH, "stale_epoch")                                           \
    X(REASON_NOT_OWNER, "not_owner")                                               \
    X(REASON_DUPLICATE, "duplicate")                                               \
    X(REASON_GAP, "gap")                                                           \
    X(REASON_CLOCK, "clock")                                                       \
    X(REASON_UNKNOWN_VERSION, "unknown_version")     /* HALT */                    \
    X(REASON_CUT_CLAIM, "claim_refers_to_unseen_epoch") /* HALT */                 \
    X(REASON_CUT_EPOCH, "record_of_unseen_epoch")    /* HALT */                    \
    X(REASON_CUT_SEEN, "writer_saw_more")            /* HALT */                    \
    X(REASON_CHAIN, "chain_mismatch")                /* HALT */                    \
    X(REASON_ADOPTED, "another_history_was_adopted") /* HALT, but in that history */
/* clang-format on */

typedef enum {
#define X(id, name) id,
    RECORD_REASON_MAP(X)
#undef X
        REASON__COUNT
} record_reason_t;

const char *record_reason_name(record_reason_t reason);

/* Writes the header with crc over header and body to out[RECORD_HEADER_BYTES]; header->body_bytes and ->crc
 * are set. The body is not copied. */
void record_encode_header(record_header_t *header, const void *body,
                          uint8_t out[RECORD_HEADER_BYTES]);

/* VERDICT_ACCEPT: header and *body (borrowed) are set. Otherwise IGNORE or HALT with a reason. */
verdict_t record_decode(const void *bytes, size_t n, record_header_t *header, const uint8_t **body,
                        record_reason_t *reason);

/* The acceptance function. `log_time_us` is the journal's own time of the record (broker time; for the
 * embedded journal the record's at_us). On ACCEPT *state has moved on: epoch/owner/seq/chain/now_us/crc.
 * `bytes` is the whole encoded record (header and body), for the chain. */
verdict_t record_judge(position_t *state, const record_header_t *header, const void *bytes,
                       size_t n, int64_t log_time_us, record_reason_t *reason);

/* The same for a record that this process sealed itself and recognises by its whole header, crc included: it knows the
 * chain behind it (`chain_after`) and need not hash the bytes again. */
verdict_t record_judge_own(position_t *state, const record_header_t *header, const void *bytes,
                           size_t n, uint64_t chain_after, int64_t log_time_us,
                           record_reason_t *reason);

#endif
