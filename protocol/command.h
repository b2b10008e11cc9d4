/* command.h - what an actor is asked to do, and what it answers
 *
 * Contract   A command is one struct whose fields are listed once; struct, encoder and decoder come from the list.
 *            Encoded as a msgpack map {field number: value}; fields at their zero value are left out. The same bytes
 *            travel between nodes and stand in the log. Numbers are never reused or read in a new sense.
 *            A result is what the actor decided, compact: it is stored with the idempotency key, and rendered to JSON
 *            by a frozen, numbered renderer, so a replay is the original answer byte for byte.
 * Threads    Pure.
 * Ownership  Decoded text and blobs are borrowed from the encoded bytes.
 * Units      Amounts: decimal with 6 decimals as a 128-bit integer. Times: microseconds UTC.
 * Errors     ERR_CORRUPT for bytes that are no command or result (any bytes are safe to decode).
 */
#ifndef FEALTY_COMMAND_H
#define FEALTY_COMMAND_H

#include "protocol/error.h"
#include "protocol/ids.h"
#include "protocol/pack.h"
#include "protocol/points.h"

typedef struct {
    const char *bytes; /* borrowed; not NUL-terminated */
    size_t n;
} text_t;

static inline text_t text_of(const char *text)
{
    return (text_t){text, text ? strlen(text) : 0};
}

/* Command kinds. Numbers are format. */
/* clang-format off */
typedef enum {
    COMMAND_NONE = 0,
    COMMAND_ENROL = 1,         /* POST /loyaltyAccounts/: customer, program, tier?, status?, points (opening) */
    COMMAND_EARN = 2,          /* 3.1: amount; effective_us, description, metadata, reference */
    COMMAND_BURN = 3,          /* 3.3: points = cost before discount */
    COMMAND_ADJUST = 4,        /* 3.9 adjust: points signed */
    COMMAND_TRANSFER = 5,      /* 3.7: giver = account|customer+program, to_account|to_customer */
    COMMAND_POST_ENTRY = 6,    /* POST /loyaltyTransactions/: account, points, entry_type */
    COMMAND_EDIT_ENTRY = 7,    /* PUT/PATCH: entry, set bits, points, entry_type, description, metadata */
    COMMAND_DELETE_ENTRY = 8,  /* DELETE: entry */
    COMMAND_EDIT_ACCOUNT = 9,  /* PUT/PATCH: account, set bits, tier, status, points = new balance */
    COMMAND_DELETE_ACCOUNT = 10,
    COMMAND_SET_STATUS = 11,   /* account, status, description = reason */
    COMMAND_DEFINE = 12,       /* catalogue partition: resource, id (0 = create), body = checked members, as JSON */
    COMMAND_UNDEFINE = 13,     /* catalogue partition: resource, id */
    COMMAND_SESSION_PUT = 14,  /* a node's home partition: token (hash), user, expires_us */
    COMMAND_SESSION_END = 15,  /* token */
    COMMAND_MESSAGE = 16,      /* internal: from another partition, see actors/message.h */
    COMMAND_ACK = 17,          /* internal */
    COMMAND_REPAIR = 18,       /* POST reconcile {repair:true}: rebuilds the counters of an account from its ledger */
    COMMAND_BARRIER = 19,      /* internal, never logged: answered once everything before it is committed */
    COMMAND_RENEW = 20         /* internal: partition `id`, whose history was adopted, is known by its new one from here on */
} command_kind_t;
/* clang-format on */

/* Scope of an idempotency key: operation, customer, key. Numbers are format. */
/* clang-format off */
#define OPERATION_MAP(X)                       \
    X(OPERATION_NONE, 0, "")                   \
    X(OPERATION_EARN, 1, "earn")               \
    X(OPERATION_BURN, 2, "burn")               \
    X(OPERATION_ADJUST, 3, "adjust")           \
    X(OPERATION_TRANSFER, 4, "transfer")       \
    X(OPERATION_ENROL, 5, "enrol")             \
    X(OPERATION_ENTRY, 6, "transaction")       \
    X(OPERATION_STATUS, 7, "set_status")       \
    X(OPERATION_DEFINE, 8, "define")
/* clang-format on */
typedef enum {
#define X(id, number, name) id = number,
    OPERATION_MAP(X)
#undef X
} operation_t;
const char *operation_name(uint8_t operation);             /* NULL when unknown */
uint8_t operation_of_name(const char *name, size_t bytes); /* OPERATION_NONE when unknown */

/* What the caller may do beyond the route's own permission. */
#define RIGHT_ADJUST     UINT32_C(1) /* account.adjust */
#define RIGHT_SET_STATUS UINT32_C(2) /* account.set_status */
#define RIGHT_IMPORT     UINT32_C(4) /* no limit on effective_us */

/* Which optional members a PUT/PATCH or create carried. */
#define SET_TIER        UINT32_C(1)
#define SET_STATUS      UINT32_C(2)
#define SET_BALANCE     UINT32_C(4)
#define SET_AMOUNT      UINT32_C(8)
#define SET_TYPE        UINT32_C(16)
#define SET_DESCRIPTION UINT32_C(32)
#define SET_METADATA    UINT32_C(64)
#define SET_CUSTOMER    UINT32_C(128) /* given again on PUT: must equal the stored one */
#define SET_PROGRAM     UINT32_C(256)
#define SET_ACCOUNT     UINT32_C(512)
#define SET_REFERENCE   UINT32_C(1024)
#define SET_WAIT_ALL    UINT32_C(2048) /* definition: answer only when every partition has it */

/* codecs: u8 u16 u32 u64 i64 i128 uuid hash text free blob. `free` is free text: a field class of its own,
 * [key number, bytes], key 0 = plain (protocol section 1), so that it can be erased by destroying a key. */
/* clang-format off */
#define COMMAND_FIELDS(X)             \
    X(1, u8, uint8_t, kind)           \
    X(2, u8, uint8_t, operation)      \
    X(3, uuid, uuid16_t, customer)    \
    X(4, u32, uint32_t, program)      \
    X(5, u64, uint64_t, account)      \
    X(6, u64, uint64_t, entry)        \
    X(7, text, text_t, key)           \
    X(8, hash, hash_t, key_hash)      \
    X(9, hash, hash_t, body_hash)     \
    X(10, u32, uint32_t, actor)       \
    X(11, u32, uint32_t, rights)      \
    X(12, i64, int64_t, deadline_us)  \
    X(13, i64, int64_t, effective_us) \
    X(14, i128, int128_t, amount)     \
    X(15, i64, points_t, points)      \
    X(16, free, text_t, description)  \
    X(17, free, text_t, metadata)     \
    X(18, free, text_t, reference)    \
    X(19, uuid, uuid16_t, to_customer) \
    X(20, u64, uint64_t, to_account)  \
    X(21, u8, uint8_t, status)        \
    X(22, u32, uint32_t, tier)        \
    X(23, u32, uint32_t, set)         \
    X(24, u64, uint64_t, if_match)    \
    X(25, u8, uint8_t, entry_type)    \
    X(26, u8, uint8_t, resource)      \
    X(27, u32, uint32_t, id)          \
    X(28, text, text_t, body)         \
    X(29, hash, hash_t, token)        \
    X(30, u32, uint32_t, user)        \
    X(31, i64, int64_t, expires_us)   \
    X(32, blob, text_t, message)
/* clang-format on */

typedef struct {
#define X(number, codec, type, name) type name;
    COMMAND_FIELDS(X)
#undef X
} command_t;

void command_encode(const command_t *self, buffer_t *out);
errcode_t command_decode(command_t *self, const void *bytes, size_t n, err_t *err);

/* Renderers: frozen. A new wire shape is a new number; old numbers are kept for ever (golden tests). */
typedef enum {
    RENDER_NONE = 0, /* no body (204) */
    RENDER_EARN_1 = 1,
    RENDER_BURN_1 = 2,
    RENDER_ADJUST_1 = 3,
    RENDER_TRANSFER_1 = 4,
    RENDER_REFUSAL_1 = 5, /* S */
    RENDER_DETAIL_1 = 6,  /* D: {"detail", "code"?} */
    RENDER_ACCOUNT_1 = 7, /* account row */
    RENDER_ENTRY_1 = 8,   /* entry row */
    RENDER_JSON_1 = 9,    /* json as it stands (definitions) */
    RENDER_INPUT_1 = 10   /* V on resources, E on services: field + error */
} renderer_t;

/* clang-format off */
#define RESULT_FIELDS(X)                 \
    X(1, u16, uint16_t, status)          \
    X(2, u8, uint8_t, renderer)          \
    X(3, text, text_t, code)             \
    X(4, text, text_t, error)  /* several texts are separated by '\n' */ \
    X(5, text, text_t, field)            \
    X(6, u64, uint64_t, account)         \
    X(7, u64, uint64_t, entry)           \
    X(8, i64, points_t, points)          \
    X(9, i64, points_t, balance_after)   \
    X(10, i64, points_t, base_points)    \
    X(11, i64, points_t, calculated)     \
    X(12, i64, int64_t, multiplier_ppm)  \
    X(13, i64, points_t, cost)           \
    X(14, i64, points_t, discount)       \
    X(15, text, text_t, old_tier)        \
    X(16, text, text_t, new_tier) /* both empty: no change */ \
    X(17, u64, uint64_t, transfer)       \
    X(18, u64, uint64_t, to_account)     \
    X(19, u64, uint64_t, to_entry)       \
    X(20, i64, points_t, to_balance_after) \
    X(21, i64, points_t, required)       \
    X(22, i64, points_t, available)      \
    X(23, blob, text_t, row) /* encoded account_t or entry_t, see actors/rows.h */ \
    X(24, text, text_t, json)            \
    X(25, u64, uint64_t, version) /* for ETag */ \
    X(26, i64, int64_t, recorded_us)     \
    X(27, u8, uint8_t, replayed) /* set on the way out, never stored */
/* clang-format on */

typedef struct {
#define X(number, codec, type, name) type name;
    RESULT_FIELDS(X)
#undef X
} result_t;

void result_encode(const result_t *self, buffer_t *out);
errcode_t result_decode(result_t *self, const void *bytes, size_t n, err_t *err);

#endif
