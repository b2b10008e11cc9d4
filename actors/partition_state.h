/* partition_state.h - the inside of a partition, shared by the files that decide (never included elsewhere)
 *
 * Contract   Decide functions check first and write last: when they refuse, they have written nothing but, maybe, a key
 *            row. Row writes go through partition_put / partition_delete, which put them in the record's body and the
 *            overlay; reads through partition_get, which looks at the cache, the overlay, then the store.
 * Threads    The shard's.
 * Ownership  Scratch buffers belong to the partition and are reused: values in them are good until the next call that
 *            names the same buffer.
 * Units      Points; microseconds UTC.
 * Errors     As each function says.
 */
#ifndef FEALTY_PARTITION_STATE_H
#define FEALTY_PARTITION_STATE_H

#include "actors/crowd.h"
#include "actors/message.h"
#include "actors/overlay.h"
#include "actors/partition.h"
#include "actors/transfer.h"

#define TEXT_BYTES_MAX (32 * 1024) /* description + metadata + reference of one command */

/* A request whose answer waits for the commit of this round. */
typedef struct {
    request_t *request;             /* one reference */
    size_t result_at, result_bytes; /* in self->results */
    uint32_t record;                /* of the round: the last one that it rests on */
    bool begun_before; /* its command stands in an earlier record: whatever comes, it was applied */
    err_t err;
} reply_t;

/* A request that waits for something later: a transfer's end, or a definition in force everywhere. */
typedef struct waiting {
    struct waiting *next;
    request_t *request; /* one reference */
    uint64_t transfer;  /* 0: a definition */
    uint64_t message; /* definition: number that every customer partition must have acknowledged */
    bool everywhere;  /* definition: when the time is over, the answer is what is missing */
    int64_t until_us;
    size_t result_bytes;
    uint8_t *result; /* owned; definition: its answer */
} waiting_t;

/* Shared log: a frame that cannot be true if this node is still the owner; see messages_halt(). */
typedef struct {
    enum { STRANGE_NONE, STRANGE_SEEN, STRANGE_ASKED, STRANGE_PROVEN } state;
    uint64_t n;
} strange_t;

typedef struct {
    pair_out_t decided, committed;
    uint64_t sent;        /* highest number sent since the last resend */
    int64_t resend_at_us; /* 0 = nothing unacknowledged */
    int64_t backoff_us;
    uint64_t bytes; /* of unacknowledged bodies */
    bool halted;
    strange_t strange;
} sending_t;

typedef struct {
    pair_in_t decided, committed;
    bool ack_due; /* answer with what is committed, after this round */
    bool halted;
    strange_t strange;
} receiving_t;

typedef struct {
    uint32_t program, day;
    uint8_t type;
    bool used, dirty;
    counter_t value;
} counting_t;

#define COUNTING_PLACES   4096
#define ROUND_RECORDS_MAX 512

/* A record that was sealed here: its header, and the chain behind it. */
typedef struct {
    record_header_t header;
    uint64_t chain_after;
} known_t;
#define KNOWN_RECORDS 16

/* What is decided together, written together and answered together. */
typedef struct {
    buffer_t body; /* records: room for the header, then sections, see section.h */
    size_t record_at[ROUND_RECORDS_MAX]; /* where each starts in body */
    uint32_t record_count, sealed;       /* records begun; given out */
    uint32_t judged;                     /* records that the log has returned */
    uint32_t accepted;                   /* shared log: of those, by their seq */
    uint64_t epoch, first_seq;           /* shared log: of its records */
    known_t known[KNOWN_RECORDS];        /* the first of them, to be recognised */
    overlay_t *overlay;                  /* owned */
    crowd_t crowd;                       /* commands by account */
    buffer_t results;
    log_place_t place; /* once it flies: in the log, covers all that it says */
    reply_t *replies;  /* owned */
    size_t reply_count, reply_capacity;
    bool answered;            /* its replies have left */
    bool pairs_changed;       /* then `out` and `in` are what its commit makes true */
    pair_out_t *out;          /* owned; by partition number */
    pair_in_t *in;            /* owned */
    size_t changes_bytes;     /* how much of the partition's `changes` is its own or older */
    buffer_t session_changes; /* told when it is committed, before its replies leave */
    bool halted;              /* its log refused it: every reply is an error */
} round_t;

struct partition {
    partition_config_t config;
    partition_state_t state;
    char trouble[256];
    position_t committed; /* what the log has accepted */
    position_t decided;   /* after the records of this round */
    int64_t now_us;       /* time of the decision being made */
    uint64_t next_sequence;
    uint64_t in_force; /* catalogue version of decided state */
    checkpoint_t checkpoint;
    uint64_t records_since_checkpoint;
    bool checkpoint_due, counters_changed;
    counting_t *counting; /* owned; COUNTING_PLACES */
    uint32_t counting_count;
    points_t available; /* sum over accounts, decided */
    uint64_t accounts;

    /* rounds: one is being decided while the one before may be on its way to the disk */
    bool prove_due; /* shared log: the next round gets a record in any case */
    bool has_mail;  /* shared log: a frame or a request has come since the last round was sealed */
    round_t rounds[2];
    round_t *now;       /* being decided */
    round_t *flying;    /* sealed, being committed; NULL when none is */
    size_t decision_at; /* where the decision being made starts in now->body */
    bool claim_due;
    hash_t fresh_history;
    uint32_t next_definition[RESOURCE__END];
    uint64_t
        definition_message; /* number of the catalogue message decided last; 0 = none in this decision */
    buffer_t changes;       /* catalogue: change rows decided, put in the catalogue after commit */

    /* pairs, by partition number; the catalogue's included */
    sending_t *sending;     /* owned */
    receiving_t *receiving; /* owned */
    size_t unacked;         /* messages, all pairs */
    waiting_t *waiting;     /* owned list */
    size_t waiting_count;

    /* sweep of expired sessions */
    int64_t next_sweep_us;
    hash_t sweep_from; /* token where the next one goes on */

    /* scratch */
    account_t account, other;
    arena_t arena;
    buffer_t row, value, text, keys_row, entry_row, blob;
    allocation_t *allocations; /* owned; ENTRY_ALLOCATIONS_MAX */
};

/* Rows of the present decision. */
void partition_put(partition_t *self, family_t family, const void *key, size_t key_bytes,
                   const buffer_t *value);
void partition_delete(partition_t *self, family_t family, const void *key, size_t key_bytes);
errcode_t partition_get(partition_t *self, family_t family, const void *key, size_t key_bytes,
                        buffer_t *value, bool *found, err_t *err);
/* The same over the rows that are decided and not yet on disk: the newest write of a row. */
bool partition_decided(const partition_t *self, family_t family, const void *key, size_t key_bytes,
                       row_write_t *out);
void partition_decided_each(const partition_t *self, family_t family, const void *prefix,
                            size_t prefix_bytes,
                            void (*visit)(void *state, const row_write_t *write), void *state);
uint64_t partition_new_id(partition_t *self, uint16_t slot);

/* Has the pair room for one more request? Ask before the first row write of a decision. */
errcode_t partition_room(const partition_t *self, uint16_t dst, err_t *err);
/* Sends a message of the present decision; a request's room was checked before; replies always fit. */
void partition_message(partition_t *self, uint16_t dst, const buffer_t *body);

/* Accounts. `found` false: none. The account is decoded into *out. */
errcode_t account_load(partition_t *self, const uuid16_t *customer, uint32_t program,
                       account_t *out, bool *found, err_t *err);
errcode_t account_load_by_id(partition_t *self, uint64_t id, account_t *out, bool *found,
                             err_t *err);
void account_save(partition_t *self, account_t *account);

/* Lots (lots.c). Burn order is FEFO: no program of this version has an expiry rule. */
errcode_t lots_add(partition_t *self, account_t *account, const lot_t *lot, err_t *err);
/* Takes n points in burn order into self->allocations; *count is their number. available >= n is the caller's check. */
errcode_t lots_take(partition_t *self, account_t *account, points_t n, uint32_t *count, err_t *err);
/* The same, but what is left of the lots of entry `first` goes first. */
errcode_t lots_take_from(partition_t *self, account_t *account, uint64_t first, points_t n,
                         uint32_t *count, err_t *err);
/* Gives allocated points back to the lot they came from, never above what it once held; *given says how many. */
errcode_t lots_give_back(partition_t *self, account_t *account, const allocation_t *allocation,
                         points_t *given, err_t *err);

/* Posts one entry (ledger.c): sets id, account, customer, program, prev, recorded_us, balance_after and chain, counts
 * it, moves account->available by entry->posted. The caller has checked that the result is in range. Returns the id. */
uint64_t ledger_post(partition_t *self, account_t *account, entry_t *entry);
/* Writes an entry again after an edit (not the posting part), moving visible counters from the old to the new view. */
void ledger_rewrite(partition_t *self, const entry_t *before, entry_t *entry);
void ledger_count(partition_t *self, uint32_t program, uint8_t type, int64_t effective_us,
                  int64_t entries, points_t sum);
errcode_t ledger_load(partition_t *self, err_t *err);
void ledger_checkpoint(partition_t *self);

/* Decisions. They fill *result (an answer, success or refusal) or return an error that is no answer. */
typedef errcode_t (*decide_fn)(partition_t *self, const command_t *command, result_t *result,
                               err_t *err);
errcode_t decide_account_command(partition_t *self, const command_t *command, result_t *result,
                                 err_t *err);
errcode_t decide_definition(partition_t *self, const command_t *command, result_t *result,
                            err_t *err);
errcode_t decide_session(partition_t *self, const command_t *command, result_t *result, err_t *err);
errcode_t decide_transfer(partition_t *self, const command_t *command, result_t *result,
                          err_t *err);
/* Messages: total, never refused (protocol section 5, rule 6). */
errcode_t decide_credit(partition_t *self, uint16_t src, text_t body, err_t *err);
errcode_t decide_credit_reply(partition_t *self, text_t body, err_t *err);
errcode_t decide_changes(partition_t *self, text_t body, err_t *err);
errcode_t decide_session_message(partition_t *self, text_t body, err_t *err);

/* Refusals: adds one sentence and its code to the result; the first sets status and code. */
void refuse(partition_t *self, result_t *result, errcode_t code, const char *format, ...)
    PRINTF_LIKE(4, 5);
bool refused(const result_t *result);
/* Key row of an account command; final answers only when the result is one that is kept. */
void key_store(partition_t *self, const command_t *command, const account_t *account,
               const result_t *result, uint64_t pending_transfer);

/* A transfer has ended: its waiting requests are answered after this round's commit. */
void partition_answer_transfer(partition_t *self, uint64_t transfer, const void *result, size_t n);

#endif
