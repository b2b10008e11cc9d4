/* proof.c - oracles over the disks of a simulated cluster */
#include "tests/sim/proof.h"

#include "actors/message.h"
#include "actors/transfer.h"
#include "tests/sim/ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef void (*visit_fn)(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                         size_t n);

static bool fails(err_t *err, const char *format, ...) PRINTF_LIKE(2, 3);

static bool fails(err_t *err, const char *format, ...)
{
    va_list arguments;
    char text[sizeof err->text];

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    err_set(err, ERR_CORRUPT, "%s", text);
    return false;
}

static proof_disks_t disks_of(world_t *world)
{
    proof_disks_t disks = {.count = world_nodes(world), .partitions = world_partitions(world)};

    for (uint16_t node = 0; node < disks.count; node++)
        disks.stores[node] = world_store(world, node);
    return disks;
}

static store_t *disk_of(const proof_disks_t *disks, uint16_t partition)
{
    return disks->stores[partition % disks->count];
}

static void each_row(store_t *store, family_t family, visit_fn visit, void *state)
{
    store_cursor_t *cursor = store_cursor_new(store, NULL, family, NULL, 0, NULL, 0);

    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        visit(state, key, key_bytes, value, n);
    }
    errcode_t rc = store_cursor_error(cursor, NULL);
    INVARIANT(rc == ERR_NONE);
    store_cursor_destroy(&cursor);
}

static void each_row_of_all(const proof_disks_t *disks, family_t family, visit_fn visit,
                            void *state)
{
    for (uint16_t i = 0; i < disks->count; i++)
        each_row(disks->stores[i], family, visit, state);
}

static bool get_row(const proof_disks_t *disks, uint16_t partition, family_t family,
                    const uint8_t *key, size_t key_bytes, buffer_t *value)
{
    bool found = false;

    buffer_reset(value);
    errcode_t rc =
        store_get(disk_of(disks, partition), NULL, family, key, key_bytes, value, &found, NULL);
    INVARIANT(rc == ERR_NONE);
    return found;
}

/* ---- pairs ---- */

static bool read_pair(const proof_disks_t *disks, uint16_t src, uint16_t dst, pair_out_t *out,
                      pair_in_t *in)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;

    *out = (pair_out_t){.next = 1};
    *in = (pair_in_t){0};
    buffer_init(&value, 4096);
    bool any = get_row(disks, src, FAMILY_STATE, key, key_pair_out(key, src, dst), &value);
    if (any) {
        errcode_t rc = pair_out_decode(out, value.bytes, value.size, NULL);
        INVARIANT(rc == ERR_NONE);
    }
    if (get_row(disks, dst, FAMILY_STATE, key, key_pair_in(key, dst, src), &value)) {
        errcode_t rc = pair_in_decode(in, value.bytes, value.size, NULL);
        INVARIANT(rc == ERR_NONE);
        any = true;
    }
    buffer_free(&value);
    return any;
}

typedef struct {
    uint64_t *rows; /* per ordered pair */
    uint16_t width;
} outbox_sizes_t;

static void count_message(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                          size_t n)
{
    outbox_sizes_t *sizes = state;
    (void)value;
    (void)n;
    INVARIANT(key_bytes == 12);
    sizes->rows[be16_get(key) * sizes->width + be16_get(key + 2)]++;
}

bool proof_disks_pairs(const proof_disks_t *disks, err_t *err)
{
    uint16_t width = (uint16_t)(disks->partitions + 1);
    outbox_sizes_t sizes = {memory_zalloc((size_t)width * width * sizeof *sizes.rows), width};
    buffer_t value;
    bool good = true;

    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    each_row_of_all(disks, FAMILY_OUTBOX, count_message, &sizes);
    for (uint16_t src = 0; src < width && good; src++)
        for (uint16_t dst = 0; dst < width && good; dst++) {
            pair_out_t out;
            pair_in_t in;
            uint8_t key[BATCH_KEY_BYTES_MAX];
            if (!read_pair(disks, src, dst, &out, &in))
                continue;
            if (out.acked > in.seq || in.seq >= out.next)
                good = fails(err, "pair %u to %u: acknowledged %llu, applied %llu, next %llu", src,
                             dst, (unsigned long long)out.acked, (unsigned long long)in.seq,
                             (unsigned long long)out.next);
            else if (sizes.rows[src * width + dst] != out.next - 1 - out.acked)
                good = fails(
                    err, "pair %u to %u: %llu messages in the outbox, %llu are not acknowledged",
                    src, dst, (unsigned long long)sizes.rows[src * width + dst],
                    (unsigned long long)(out.next - 1 - out.acked));
            for (uint64_t n = out.acked + 1; n < out.next && good; n++)
                if (!get_row(disks, src, FAMILY_OUTBOX, key, key_outbox(key, src, dst, n), &value))
                    good = fails(err, "pair %u to %u: message %llu is missing", src, dst,
                                 (unsigned long long)n);
        }
    buffer_free(&value);
    free(sizes.rows);
    return good;
}

/* ---- points ---- */

typedef struct {
    const proof_disks_t *disks;
    points_t available, in_transit; /* of accounts */
    points_t posted;                /* by all entries */
    points_t moved;                 /* by transfers: what is gone minus what came */
    points_t held;                  /* by transfers on their way */
    points_t flying;                /* in messages that were not applied yet */
} sums_t;

static void add_state(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                      size_t n)
{
    sums_t *sums = state;
    account_t account;
    transfer_t transfer;
    errcode_t rc = ERR_NONE;

    INVARIANT(key_bytes > 2);
    if (key[2] == 'A' || key[2] == 'Z') {
        rc = account_decode(&account, value, n, NULL);
        sums->available += account.available;
        sums->in_transit += account.in_transit;
    } else if (key[2] == 'T') {
        rc = transfer_decode(&transfer, value, n, NULL);
        sums->held += transfer.points;
    }
    INVARIANT(rc == ERR_NONE);
}

static bool is_of_transfer(const proof_disks_t *disks, const entry_t *entry)
{
    uint16_t partition = partition_of_slot(id_slot(entry->related), disks->partitions);
    uint8_t key[BATCH_KEY_BYTES_MAX];
    entry_t related;
    buffer_t bytes;

    if (entry->type == ENTRY_TRANSFER_IN || entry->type == ENTRY_TRANSFER_OUT)
        return true;
    if (entry->type != ENTRY_REVERSAL)
        return false;
    buffer_init(&bytes, BATCH_VALUE_BYTES_MAX);
    bool found = get_row(disks, partition, FAMILY_ENTRY, key,
                         key_entry(key, partition, id_sequence(entry->related)), &bytes);
    INVARIANT(found);
    errcode_t rc = entry_decode(&related, bytes.bytes, bytes.size, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&bytes);
    return related.type == ENTRY_TRANSFER_OUT;
}

static void add_entry(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                      size_t n)
{
    sums_t *sums = state;
    entry_t entry;

    (void)key;
    (void)key_bytes;
    errcode_t rc = entry_decode(&entry, value, n, NULL);
    INVARIANT(rc == ERR_NONE);
    sums->posted += entry.posted;
    if (is_of_transfer(sums->disks, &entry))
        sums->moved += entry.posted;
}

static points_t points_of_transfer(const proof_disks_t *disks, uint16_t partition, uint64_t id)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;
    transfer_t transfer;

    buffer_init(&value, 4096);
    bool found =
        get_row(disks, partition, FAMILY_STATE, key, key_transfer(key, partition, id), &value);
    INVARIANT(found); /* only the reply, applied once, ends it */
    errcode_t rc = transfer_decode(&transfer, value.bytes, value.size, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&value);
    return transfer.points;
}

/* A credit or a refusal that its receiver has not applied carries points. */
static void add_message(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                        size_t n)
{
    sums_t *sums = state;
    uint16_t src = be16_get(key), dst = be16_get(key + 2);
    text_t body = {(const char *)value, n};
    pair_out_t out;
    pair_in_t in;
    credit_t credit;
    credit_reply_t reply;
    errcode_t rc = ERR_NONE;

    INVARIANT(key_bytes == 12);
    read_pair(sums->disks, src, dst, &out, &in);
    if (be64_get(key + 4) <= in.seq)
        return;
    if (body_type(body) == BODY_CREDIT_1) {
        rc = credit_decode(&credit, body, NULL);
        sums->flying += credit.points;
    } else if (body_type(body) == BODY_CREDIT_REPLY_1) {
        rc = credit_reply_decode(&reply, body, NULL);
        sums->flying += reply.credited ? 0 : points_of_transfer(sums->disks, dst, reply.transfer);
    }
    INVARIANT(rc == ERR_NONE);
}

static sums_t sums_of(const proof_disks_t *disks)
{
    sums_t sums = {.disks = disks};

    each_row_of_all(disks, FAMILY_STATE, add_state, &sums);
    each_row_of_all(disks, FAMILY_ENTRY, add_entry, &sums);
    each_row_of_all(disks, FAMILY_OUTBOX, add_message, &sums);
    return sums;
}

points_t proof_total(world_t *world)
{
    proof_disks_t disks = disks_of(world);
    sums_t sums = sums_of(&disks);
    return sums.available + sums.flying;
}

points_t proof_owned(world_t *world)
{
    proof_disks_t disks = disks_of(world);
    sums_t sums = sums_of(&disks);
    return sums.available + sums.in_transit;
}

bool proof_disks_points(const proof_disks_t *disks, err_t *err)
{
    sums_t sums = sums_of(disks);

    if (sums.posted != sums.available)
        return fails(err, "entries add up to %lld, balances to %lld", (long long)sums.posted,
                     (long long)sums.available);
    if (sums.moved + sums.flying != 0)
        return fails(err, "transfers: %lld points are gone from givers and %lld are in flight",
                     (long long)-sums.moved, (long long)sums.flying);
    if (sums.in_transit != sums.held)
        return fails(err, "accounts have %lld points in transit, transfers on their way hold %lld",
                     (long long)sums.in_transit, (long long)sums.held);
    return true;
}

/* ---- counters ---- */

#define PROGRAMS_MAX 16

typedef struct {
    uint64_t count[PROGRAMS_MAX][ENTRY__END];
} recount_t;

static void count_entry(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                        size_t n)
{
    recount_t *recount = state;
    entry_t entry;

    (void)key;
    (void)key_bytes;
    errcode_t rc = entry_decode(&entry, value, n, NULL);
    INVARIANT(rc == ERR_NONE);
    INVARIANT(entry.program < PROGRAMS_MAX);
    if (!entry.hidden)
        recount->count[entry.program][entry.type]++;
}

bool proof_counts(world_t *world, err_t *err)
{
    proof_disks_t disks = disks_of(world);
    recount_t recount = {0};

    each_row_of_all(&disks, FAMILY_ENTRY, count_entry, &recount);
    for (uint32_t program = 1; program < PROGRAMS_MAX; program++)
        for (uint8_t type = ENTRY_EARN; type < ENTRY__END; type++) {
            uint64_t counted = read_count(world, program, type);
            if (counted != recount.count[program][type])
                return fails(err,
                             "program %u: %llu entries of type %u are there, counters say %llu",
                             program, (unsigned long long)recount.count[program][type], type,
                             (unsigned long long)counted);
        }
    return true;
}

/* ---- the end ---- */

bool proof_disks_rest(const proof_disks_t *disks, err_t *err)
{
    sums_t sums = sums_of(disks);

    for (uint16_t p = 0; p <= disks->partitions; p++)
        for (uint16_t dst = 0; dst <= disks->partitions; dst++) {
            pair_out_t out;
            pair_in_t in;
            if (read_pair(disks, p, dst, &out, &in) &&
                (out.acked + 1 != out.next || in.seq != out.acked))
                return fails(err, "pair %u to %u is not at rest", p, dst);
        }
    if (sums.held != 0 || sums.flying != 0)
        return fails(err, "%lld points are held, %lld in flight", (long long)sums.held,
                     (long long)sums.flying);
    return true;
}

bool proof_quiet(world_t *world, err_t *err)
{
    proof_disks_t disks = disks_of(world);

    for (uint16_t p = 0; p <= world_partitions(world); p++) {
        if (!world_is_up(world, world_node_of(world, p)))
            return fails(err, "the node of partition %u is down", p);
        if (world_trouble(world, p) != NULL)
            return fails(err, "%s", world_trouble(world, p));
    }
    return proof_disks_rest(&disks, err);
}

bool proof_pairs(world_t *world, err_t *err)
{
    proof_disks_t disks = disks_of(world);
    return proof_disks_pairs(&disks, err);
}

bool proof_points(world_t *world, err_t *err)
{
    proof_disks_t disks = disks_of(world);
    return proof_disks_points(&disks, err);
}

static void digest_row(void *state, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                       size_t n)
{
    uint64_t *digest = state;
    *digest = hash64(*digest, key, key_bytes);
    *digest = hash64(*digest, value, n);
}

uint64_t proof_disks_digest(const proof_disks_t *disks)
{
    uint64_t digest = 1;

    for (int family = 0; family < FAMILY__COUNT; family++)
        each_row_of_all(disks, (family_t)family, digest_row, &digest);
    return digest;
}

uint64_t proof_digest(world_t *world)
{
    proof_disks_t disks = disks_of(world);
    return proof_disks_digest(&disks);
}
