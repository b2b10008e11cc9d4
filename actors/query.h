/* query.h - questions about committed state
 *
 * Contract   A query runs against a snapshot of this node's store, for one partition, without the shard's thread.
 *            With the embedded journal that is linearizable: the owner is the only writer and RocksDB shows a batch
 *            only after its sync. Encoded queries and answers travel between nodes; any bytes are safe.
 *            On a shared log any copy may be asked, and `after` names the places that it must have reached.
 * Threads    Any.
 * Ownership  Caller's buffers.
 * Units      Microseconds; counts are bounded (see QUERY_COUNT_EXACT_MAX).
 * Errors     ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO, ERR_INVALID for a query that cannot be read; ERR_POSITION_AHEAD: this
 *            copy has not reached a place of `after` yet; ERR_POSITION_LOST: it never will.
 */
#ifndef FEALTY_QUERY_H
#define FEALTY_QUERY_H

#include "actors/catalogue.h"
#include "actors/rows.h"
#include "protocol/log_place.h"

#define QUERY_COUNT_EXACT_MAX 10000

typedef enum {
    QUERY_ACCOUNT = 1,     /* account */
    QUERY_ACCOUNTS_OF = 2, /* customer, program (0 = all) */
    QUERY_ACCOUNTS =
        3,           /* program, status, tier; after (account id), limit; count of all that match */
    QUERY_ENTRY = 4, /* entry */
    QUERY_ENTRIES =
        5, /* account | customer; program, entry_type, from_us, until_us; skip/limit or before; count */
    QUERY_RECONCILE = 6,  /* account */
    QUERY_REQUEST = 7,    /* key_hash; customer?, operation? */
    QUERY_SESSION = 8,    /* token */
    QUERY_DEFINITION = 9, /* catalogue partition: resource, id -> newest committed JSON */
    QUERY_TOTALS = 10     /* figures of the partition */
} query_kind_t;

/* A filter that is not set has `set` bit 0. */
#define QUERY_BY_CUSTOMER  UINT32_C(1)
#define QUERY_BY_PROGRAM   UINT32_C(2)
#define QUERY_BY_STATUS    UINT32_C(4)
#define QUERY_BY_TIER      UINT32_C(8)
#define QUERY_BY_TYPE      UINT32_C(16)
#define QUERY_BY_ACCOUNT   UINT32_C(32)
#define QUERY_BY_TIME      UINT32_C(64)
#define QUERY_DELETED      UINT32_C(128) /* include deleted ones */
#define QUERY_OLDEST_FIRST UINT32_C(256)
#define QUERY_PLACE        UINT32_C(512) /* the answer is to name a place that covers it */

#define QUERY_FIELDS(X)            \
    X(1, u8, uint8_t, kind)        \
    X(2, u32, uint32_t, set)       \
    X(3, uuid, uuid16_t, customer) \
    X(4, u32, uint32_t, program)   \
    X(5, u64, uint64_t, account)   \
    X(6, u64, uint64_t, entry)     \
    X(7, u8, uint8_t, status)      \
    X(8, u32, uint32_t, tier)      \
    X(9, u8, uint8_t, entry_type)  \
    X(10, i64, int64_t, from_us)   \
    X(11, i64, int64_t, until_us)  \
    X(12, u64, uint64_t, skip)     \
    X(13, u32, uint32_t, limit)    \
    X(14, u8, uint8_t, operation)  \
    X(15, hash, hash_t, key_hash)  \
    X(16, hash, hash_t, token)     \
    X(17, u8, uint8_t, resource)   \
    X(18, u32, uint32_t, id)       \
    X(19, blob, text_t, after) /* places of this partition, LOG_PLACE_BYTES each */

typedef struct {
#define X(number, codec, type, name) type name;
    QUERY_FIELDS(X)
#undef X
} query_t;

void query_encode(const query_t *self, buffer_t *out);
errcode_t query_decode(query_t *self, const void *bytes, size_t n, err_t *err);

/* Answers: msgpack array [count, count_exact, rows: array of blobs]; where a place was asked for, a fourth member: its
 * LOG_PLACE_BYTES. Rows are encoded account_t, entry_t, key_row_t, JSON text or figures, by kind. */
typedef struct {
    uint64_t count;
    bool count_exact;
    uint32_t row_count;
    unpack_t rows;     /* read row_count blobs from it */
    log_place_t place; /* epoch 0: none */
} answer_t;
errcode_t answer_decode(answer_t *self, const void *bytes, size_t n, err_t *err);

/* QUERY_RECONCILE and QUERY_TOTALS answer one row: msgpack array of these figures. */
typedef struct {
    points_t expected; /* sum of postings */
    points_t actual;   /* account row */
    points_t lots;     /* sum of open lots */
    uint64_t entries;
    bool chain_ok;    /* e */
    bool counters_ok; /* earned, redeemed, entry count */
} reconciliation_t;
void reconciliation_encode(const reconciliation_t *self, buffer_t *out);
errcode_t reconciliation_decode(reconciliation_t *self, const void *bytes, size_t n, err_t *err);

typedef struct {
    store_t *store;
    const catalogue_t *catalogue;
    uint16_t partitions; /* of customers */
    bool shared;         /* the log is shared: this copy may be behind it */
} query_context_t;

errcode_t query_run(const query_context_t *context, uint16_t partition, const void *query, size_t n,
                    buffer_t *answer, err_t *err);

#endif
