/* rows.h - the rows of the ledger: keys that sort, values that are decoded defensively
 *
 * Contract   Keys are built only here. All start with the partition (u16 big endian), so a partition is one range
 *            per family. Values are msgpack arrays that start with a version.
 *              state   p 'A' customer program     account (with up to 8 open lots)
 *                      p 'I' account-id           customer, program
 *                      p 'Z' account-id           a deleted account whose customer enrolled again
 *                      p 'T' transfer-id          transfer on its way
 *                      p 'N' src / p 'O' dst      pair of partitions, receiving / sending side
 *                      p 'C' program type day     count and sum of entries
 *                      p 'D'                      checkpoint: up to which entry the counters hold; totals
 *                      p 'V'                      version of the catalogue in force
 *                      p 'S' token-hash           session
 *                      p 'F' resource id          newest definition (catalogue partition only)
 *                      p 'H'                      histories that it came from, where its image was adopted
 *              entry   p sequence                 ledger entry
 *              key     p 'K' customer op hash     idempotency key -> answer
 *                      p 'R' account-id op hash   reference -> answer
 *              outbox  p dst n                    message
 *              lot     p account-id order         one open lot from the 9th on, in burn order
 *              meta    'X' version                content of a definition change (node-wide)
 * Threads    Pure.
 * Ownership  Decoded text is borrowed from the value's bytes.
 * Units      Points; microseconds UTC.
 * Errors     ERR_CORRUPT naming the row.
 */
#ifndef FEALTY_ROWS_H
#define FEALTY_ROWS_H

#include "protocol/command.h"
#include "storage/store.h"

/* Every change of an account writes its row twice (row and record), so the row stays small. */
#define ACCOUNT_LOTS_INLINE    8
#define ACCOUNT_RECENT_ENTRIES 32
#define ENTRY_ALLOCATIONS_MAX  2048

/* Account status, semantics section 23. Numbers are format. `inactive` is the old name of suspended. */
#define ACCOUNT_STATUS_MAP(X)           \
    X(STATUS_ACTIVE, 0, "active")       \
    X(STATUS_SUSPENDED, 1, "suspended") \
    X(STATUS_BLOCKED, 2, "blocked")     \
    X(STATUS_DORMANT, 3, "dormant")     \
    X(STATUS_CLOSED, 4, "closed")
typedef enum {
#define X(id, number, name) id = number,
    ACCOUNT_STATUS_MAP(X)
#undef X
} account_status_t;
const char *account_status_name(uint8_t status); /* NULL when unknown */
/* Accepts "inactive" too. false when unknown. */
bool account_status_parse(const char *text, size_t bytes, uint8_t *status);

/* Entry types on the wire, api-resources 2.4. Numbers are format. */
#define ENTRY_TYPE_MAP(X)                    \
    X(ENTRY_EARN, 1, "earn")                 \
    X(ENTRY_REDEEM, 2, "redeem")             \
    X(ENTRY_ADJUST, 3, "adjust")             \
    X(ENTRY_EXPIRE, 4, "expire")             \
    X(ENTRY_TRANSFER_IN, 5, "transfer_in")   \
    X(ENTRY_TRANSFER_OUT, 6, "transfer_out") \
    X(ENTRY_REVERSAL, 7, "reversal")         \
    X(ENTRY_HOLD, 8, "hold")                 \
    X(ENTRY_RELEASE, 9, "release")           \
    X(ENTRY_REPAY, 10, "repay")
typedef enum {
#define X(id, number, name) id = number,
    ENTRY_TYPE_MAP(X)
#undef X
        ENTRY__END
} entry_type_t;
const char *entry_type_name(uint8_t type);
bool entry_type_parse(const char *text, size_t bytes, uint8_t *type);

/* An open lot: only what is left; what became of the rest stands in the entries. */
typedef struct {
    uint64_t id; /* of the entry that issued it */
    points_t original;
    points_t active;
    int64_t activated_us;
    int64_t expires_us; /* 0 = never */
    uint32_t part;      /* several lots of one entry (transfer in): 0, 1, ... */
} lot_t;

typedef struct {
    uint64_t id;
    uuid16_t customer;
    uint32_t program;
    uint32_t tier; /* 0 = none */
    uint8_t status;
    bool deleted;
    bool tier_fixed;  /* set by hand */
    uint64_t version; /* of the row; ETag */
    points_t available, pending, held, debt, in_transit;
    points_t earned, redeemed; /* lifetime */
    int64_t created_us, updated_us;
    uint64_t entries;       /* count, deleted ones too */
    uint64_t last_entry;    /* id; 0 = none */
    uint8_t chain[32];      /* h_n over all postings */
    uint64_t overflow_lots; /* in rows of their own */
    uint32_t recent_count;
    uint64_t recent[ACCOUNT_RECENT_ENTRIES]; /* newest first */
    uint32_t lot_count;
    lot_t lots[ACCOUNT_LOTS_INLINE]; /* burn order */
} account_t;

typedef struct {
    uint64_t lot; /* lot id */
    uint32_t part;
    points_t points;
    points_t original; /* of the lot */
    int64_t activated_us, expires_us;
} allocation_t;

typedef struct {
    uint64_t id;
    uint64_t account;
    uuid16_t customer;
    uint32_t program;
    uint8_t type;
    bool hidden;     /* deleted, or the reversal of a deleted one, or a correction */
    points_t amount; /* as shown: magnitude, signed for adjust and reversal */
    points_t delta;  /* as shown */
    points_t posted; /* what this entry did to `available`; never edited: the posting */
    points_t balance_after;
    int64_t effective_us, recorded_us;
    int64_t expires_us; /* 0 = null */
    uint64_t prev;      /* entry before it of the same account */
    uint64_t
        related; /* entry that this one reverses or corrects; transfer: the other side's account */
    uint64_t version;
    uint32_t actor;
    points_t base_points;
    int64_t multiplier_ppm;
    text_t description, metadata, reference;
    uint32_t allocation_count;
    const uint8_t *allocations; /* encoded; entry_allocation() reads them */
    size_t allocations_bytes;
} entry_t;

void account_encode(const account_t *self, buffer_t *out);
errcode_t account_decode(account_t *self, const void *bytes, size_t n, err_t *err);
void entry_encode(const entry_t *self, buffer_t *out);
errcode_t entry_decode(entry_t *self, const void *bytes, size_t n, err_t *err);
void allocations_encode(const allocation_t *allocations, uint32_t count, buffer_t *out);
/* Reads all allocations of an entry into out[max]; returns the count or -1 when damaged. */
int entry_allocations(const entry_t *self, allocation_t *out, uint32_t max);

/* The canonical posting of: what must never change about an entry; appended to *out. */
void posting_canonical(const entry_t *entry, buffer_t *out);
/* chain = SHA-256(chain || canonical) */
void posting_chain(uint8_t chain[32], const entry_t *entry);

typedef struct {
    uint8_t state; /* KEY_PENDING, KEY_FINAL */
    uint8_t operation;
    hash_t body_hash;
    uint64_t account;
    uuid16_t customer;
    int64_t recorded_us;
    text_t result;     /* encoded result_t; empty while pending */
    uint64_t transfer; /* of a pending one */
    text_t key;        /* as sent */
} key_row_t;
#define KEY_PENDING 1
#define KEY_FINAL   2
void key_row_encode(const key_row_t *self, buffer_t *out);
errcode_t key_row_decode(key_row_t *self, const void *bytes, size_t n, err_t *err);

/* Count and sum of visible entries by program, type and UTC day of effective_us (counter_day). */
typedef struct {
    uint64_t count;
    points_t sum;
} counter_t;
void counter_encode(const counter_t *self, buffer_t *out);
errcode_t counter_decode(counter_t *self, const void *bytes, size_t n, err_t *err);

/* Value of a row of the family lot. */
void lot_encode(const lot_t *self, buffer_t *out);
errcode_t lot_decode(lot_t *self, const void *bytes, size_t n, err_t *err);

/* Value of an 'I' row: where the account with this id stands. */
void account_place_encode(const uuid16_t *customer, uint32_t program, buffer_t *out);
errcode_t account_place_decode(uuid16_t *customer, uint32_t *program, const void *bytes, size_t n,
                               err_t *err);

typedef struct {
    uint64_t next_sequence;    /* ids; never goes back */
    uint64_t counted_sequence; /* entries with a sequence below this are in the 'C' rows */
    uint64_t accounts;         /* not deleted */
    points_t available;        /* sum over the partition, at counted_sequence */
} checkpoint_t;
void checkpoint_encode(const checkpoint_t *self, buffer_t *out);
errcode_t checkpoint_decode(checkpoint_t *self, const void *bytes, size_t n, err_t *err);

/* Keys. Each returns the length; out has BATCH_KEY_BYTES_MAX bytes. */
size_t key_account(uint8_t *out, uint16_t partition, const uuid16_t *customer, uint32_t program);
size_t key_accounts_of(uint8_t *out, uint16_t partition, const uuid16_t *customer); /* prefix */
size_t key_account_id(uint8_t *out, uint16_t partition, uint64_t account);
size_t key_retired(uint8_t *out, uint16_t partition, uint64_t account);
size_t key_lot(uint8_t *out, uint16_t partition, uint64_t account, const lot_t *lot);
size_t key_lots_of(uint8_t *out, uint16_t partition, uint64_t account); /* prefix */
size_t key_transfer(uint8_t *out, uint16_t partition, uint64_t transfer);
size_t key_pair_in(uint8_t *out, uint16_t partition, uint16_t src);
size_t key_pair_out(uint8_t *out, uint16_t partition, uint16_t dst);
/* UTC day as it stands in counter keys: days before 1970 sort before those after. */
uint32_t counter_day(int64_t at_us);
size_t key_counter(uint8_t *out, uint16_t partition, uint32_t program, uint8_t type, uint32_t day);
size_t key_checkpoint(uint8_t *out, uint16_t partition);
size_t key_in_force(uint8_t *out, uint16_t partition);
size_t key_ancestors(uint8_t *out, uint16_t partition);
size_t key_session(uint8_t *out, uint16_t partition, const hash_t *token);
size_t key_definition(uint8_t *out, uint16_t partition, uint8_t resource, uint32_t id);
size_t key_entry(uint8_t *out, uint16_t partition, uint64_t sequence);
size_t key_idempotency(uint8_t *out, uint16_t partition, const uuid16_t *customer,
                       uint8_t operation, const hash_t *hash);
size_t key_reference(uint8_t *out, uint16_t partition, uint64_t account, uint8_t operation,
                     const hash_t *hash);
size_t key_outbox(uint8_t *out, uint16_t partition, uint16_t dst, uint64_t n);
size_t key_content(uint8_t *out, uint64_t version);
size_t key_tag(uint8_t *out, uint16_t partition, char tag); /* prefix of one kind of state row */
size_t key_partition(uint8_t *out, uint16_t partition); /* prefix of a partition in any family */
/* Smallest key above all keys with this prefix; returns its length. */
size_t key_after_prefix(uint8_t *out, const uint8_t *prefix, size_t bytes);

/* Readers used by decide (through the shard's cache) and by queries. `scratch` receives the bytes. */
errcode_t rows_account(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                       const uuid16_t *customer, uint32_t program, account_t *out,
                       buffer_t *scratch, bool *found, err_t *err);
errcode_t rows_account_by_id(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                             uint64_t account, account_t *out, buffer_t *scratch, bool *found,
                             err_t *err);
errcode_t rows_entry(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                     uint64_t entry, entry_t *out, buffer_t *scratch, bool *found, err_t *err);

#endif
