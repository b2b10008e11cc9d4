/* rows.c - values of rows: packed tightly, because an account row is read and written for every earn
 *
 * Ids of one account share their slot and lie close together, and times follow its creation, so both are written as
 * differences. Differences are taken in unsigned arithmetic, which wraps: any 64-bit value survives the way there and
 * back exactly.
 */
#include "actors/rows.h"

#include "protocol/codec.h"

#include <sodium.h>

#define ACCOUNT_VERSION    1
#define ENTRY_VERSION      1
#define KEY_ROW_VERSION    1
#define COUNTER_VERSION    1
#define LOT_VERSION        1
#define PLACE_VERSION      1
#define CHECKPOINT_VERSION 1
#define CANONICAL_VERSION  1

#define ACCOUNT_FIELDS    22
#define LOT_FIELDS        6
#define ALLOCATION_FIELDS 6
#define ENTRY_FIELDS      24
#define CHAIN_BYTES       32
/* Of a canonical posting, before the reference and the allocations: 17 values of at most 18 bytes. */
#define CANONICAL_HEAD_MAX 320

enum { ACCOUNT_DELETED = 1, ACCOUNT_TIER_FIXED = 2 };
enum { ENTRY_HIDDEN = 1 };

static void canonical_head(const entry_t *entry, buffer_t *out);
static errcode_t damaged(const char *row, err_t *err);

static const char *const status_names[] = {
#define X(id, number, name) [number] = name,
    ACCOUNT_STATUS_MAP(X)
#undef X
};
static const char *const type_names[] = {
#define X(id, number, name) [number] = name,
    ENTRY_TYPE_MAP(X)
#undef X
};

static bool find_name(const char *const *names, size_t count, const char *text, size_t bytes,
                      uint8_t *number)
{
    for (size_t i = 0; i < count; i++) {
        if (names[i] != NULL && strlen(names[i]) == bytes && memcmp(names[i], text, bytes) == 0) {
            *number = (uint8_t)i;
            return true;
        }
    }
    return false;
}

const char *account_status_name(uint8_t status)
{
    return status < COUNT_OF(status_names) ? status_names[status] : NULL;
}

bool account_status_parse(const char *text, size_t bytes, uint8_t *status)
{
    static const char old_name[] = "inactive";

    if (bytes == sizeof old_name - 1 && memcmp(text, old_name, bytes) == 0) {
        *status = STATUS_SUSPENDED;
        return true;
    }
    return find_name(status_names, COUNT_OF(status_names), text, bytes, status);
}

const char *entry_type_name(uint8_t type)
{
    return type < COUNT_OF(type_names) ? type_names[type] : NULL;
}

bool entry_type_parse(const char *text, size_t bytes, uint8_t *type)
{
    return find_name(type_names, COUNT_OF(type_names), text, bytes, type);
}

static inline void put_difference(buffer_t *out, uint64_t value, uint64_t base)
{
    pack_i64(out, (int64_t)(value - base));
}

static inline uint64_t get_difference(unpack_t *in, uint64_t base)
{
    return base + (uint64_t)unpack_i64(in);
}

/* Never stays a single byte; an expiry is usually a round distance from the activation, but not always a short one. */
static inline void put_expiry(buffer_t *out, int64_t expires_us, int64_t base_us)
{
    if (expires_us == 0)
        pack_nil(out);
    else
        put_difference(out, (uint64_t)expires_us, (uint64_t)base_us);
}

static inline int64_t get_expiry(unpack_t *in, int64_t base_us)
{
    return unpack_nil(in) ? 0 : (int64_t)get_difference(in, (uint64_t)base_us);
}

static inline void put_lot(buffer_t *out, const lot_t *lot, uint64_t base_id, int64_t base_us)
{
    put_difference(out, lot->id, base_id);
    pack_i64(out, lot->original);
    put_difference(out, (uint64_t)lot->original,
                   (uint64_t)lot->active); /* what is gone: mostly 0 */
    put_difference(out, (uint64_t)lot->activated_us, (uint64_t)base_us);
    put_expiry(out, lot->expires_us, lot->activated_us);
    pack_u64(out, lot->part);
}

static inline void get_lot(unpack_t *in, lot_t *lot, uint64_t base_id, int64_t base_us)
{
    lot->id = get_difference(in, base_id);
    lot->original = unpack_i64(in);
    lot->active = (points_t)((uint64_t)lot->original - (uint64_t)unpack_i64(in));
    lot->activated_us = (int64_t)get_difference(in, (uint64_t)base_us);
    lot->expires_us = get_expiry(in, lot->activated_us);
    lot->part = codec_get_u32(in);
}

void account_encode(const account_t *self, buffer_t *out)
{
    unsigned flags =
        (self->deleted ? ACCOUNT_DELETED : 0) | (self->tier_fixed ? ACCOUNT_TIER_FIXED : 0);
    uint64_t id = self->last_entry;

    INVARIANT(self->lot_count <= ACCOUNT_LOTS_INLINE);
    INVARIANT(self->recent_count <= ACCOUNT_RECENT_ENTRIES);
    pack_array(out, ACCOUNT_FIELDS + (self->lot_count > 0 ? 1 : 0));
    pack_u64(out, ACCOUNT_VERSION);
    pack_u64(out, flags);
    pack_u64(out, self->id);
    pack_blob(out, self->customer.bytes, UUID_BYTES);
    pack_u64(out, self->program);
    pack_u64(out, self->tier);
    pack_u64(out, self->status);
    pack_u64(out, self->version);
    pack_i64(out, self->available);
    pack_i64(out, self->pending);
    pack_i64(out, self->held);
    pack_i64(out, self->debt);
    pack_i64(out, self->in_transit);
    pack_i64(out, self->earned);
    pack_i64(out, self->redeemed);
    pack_i64(out, self->created_us);
    put_difference(out, (uint64_t)self->updated_us, (uint64_t)self->created_us);
    pack_u64(out, self->entries);
    put_difference(out, self->last_entry, self->id);
    pack_blob(out, self->chain, CHAIN_BYTES);
    pack_u64(out, self->overflow_lots);
    pack_array(out, self->recent_count);
    for (uint32_t i = 0; i < self->recent_count; i++) {
        put_difference(out, id, self->recent[i]);
        id = self->recent[i];
    }
    if (self->lot_count == 0)
        return;
    pack_array(out, self->lot_count * LOT_FIELDS);
    for (uint32_t i = 0; i < self->lot_count; i++)
        put_lot(out, &self->lots[i], self->id, self->created_us);
}

/* Beyond the counts, recent[] and lots[] are left as they were: clearing 3 KiB costs more than the rest. */
errcode_t account_decode(account_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint32_t fields = unpack_array(&in);
    uint64_t flags;
    uint64_t id;

    self->recent_count = 0;
    self->lot_count = 0;
    if (fields < ACCOUNT_FIELDS || fields > ACCOUNT_FIELDS + 1 ||
        unpack_u64(&in) != ACCOUNT_VERSION)
        return damaged("account", err);
    flags = unpack_u64(&in);
    self->deleted = (flags & ACCOUNT_DELETED) != 0;
    self->tier_fixed = (flags & ACCOUNT_TIER_FIXED) != 0;
    self->id = unpack_u64(&in);
    self->customer = codec_get_uuid(&in);
    self->program = codec_get_u32(&in);
    self->tier = codec_get_u32(&in);
    self->status = codec_get_u8(&in);
    self->version = unpack_u64(&in);
    self->available = unpack_i64(&in);
    self->pending = unpack_i64(&in);
    self->held = unpack_i64(&in);
    self->debt = unpack_i64(&in);
    self->in_transit = unpack_i64(&in);
    self->earned = unpack_i64(&in);
    self->redeemed = unpack_i64(&in);
    self->created_us = unpack_i64(&in);
    self->updated_us = (int64_t)get_difference(&in, (uint64_t)self->created_us);
    self->entries = unpack_u64(&in);
    self->last_entry = get_difference(&in, self->id);
    (void)unpack_fixed(&in, self->chain, CHAIN_BYTES);
    self->overflow_lots = unpack_u64(&in);
    if (in.failed || flags > (ACCOUNT_DELETED | ACCOUNT_TIER_FIXED) ||
        account_status_name(self->status) == NULL)
        return damaged("account", err);

    uint32_t recent = unpack_array(&in);
    if (recent > ACCOUNT_RECENT_ENTRIES)
        return damaged("account", err);
    id = self->last_entry;
    for (uint32_t i = 0; i < recent; i++) {
        id -= (uint64_t)unpack_i64(&in);
        self->recent[i] = id;
    }
    self->recent_count = recent;
    if (fields > ACCOUNT_FIELDS) {
        uint32_t numbers = unpack_array(&in);

        if (numbers == 0 || numbers % LOT_FIELDS != 0 || numbers / LOT_FIELDS > ACCOUNT_LOTS_INLINE)
            return damaged("account", err);
        for (uint32_t i = 0; i < numbers / LOT_FIELDS; i++)
            get_lot(&in, &self->lots[i], self->id, self->created_us);
        self->lot_count = numbers / LOT_FIELDS;
    }
    if (!unpack_done(&in)) {
        self->recent_count = 0;
        self->lot_count = 0;
        return damaged("account", err);
    }
    return ERR_NONE;
}

static inline void put_free(buffer_t *out, text_t text)
{
    if (text.n == 0)
        pack_nil(out);
    else
        codec_put_free(out, text);
}

static inline text_t get_free(unpack_t *in)
{
    return unpack_nil(in) ? (text_t){NULL, 0} : codec_get_free(in);
}

void entry_encode(const entry_t *self, buffer_t *out)
{
    INVARIANT(self->allocation_count <= ENTRY_ALLOCATIONS_MAX);
    pack_array(out, ENTRY_FIELDS);
    pack_u64(out, ENTRY_VERSION);
    pack_u64(out, self->hidden ? ENTRY_HIDDEN : 0);
    pack_u64(out, self->id);
    put_difference(out, self->id, self->account);
    pack_blob(out, self->customer.bytes, UUID_BYTES);
    pack_u64(out, self->program);
    pack_u64(out, self->type);
    pack_i64(out, self->amount);
    pack_i64(out, self->delta);
    pack_i64(out, self->posted);
    pack_i64(out, self->balance_after);
    pack_i64(out, self->recorded_us);
    put_difference(out, (uint64_t)self->effective_us, (uint64_t)self->recorded_us);
    put_expiry(out, self->expires_us, self->effective_us);
    put_difference(out, self->id, self->prev);
    pack_u64(out, self->related);
    pack_u64(out, self->version);
    pack_u64(out, self->actor);
    pack_i64(out, self->base_points);
    pack_i64(out, self->multiplier_ppm);
    put_free(out, self->description);
    put_free(out, self->metadata);
    put_free(out, self->reference);
    if (self->allocation_count == 0) {
        pack_nil(out);
        return;
    }
    pack_array(out, 2);
    pack_u64(out, self->allocation_count);
    pack_blob(out, self->allocations, self->allocations_bytes);
}

errcode_t entry_decode(entry_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t flags;
    const void *allocations = NULL;

    if (unpack_array(&in) != ENTRY_FIELDS || unpack_u64(&in) != ENTRY_VERSION)
        return damaged("entry", err);
    flags = unpack_u64(&in);
    self->hidden = (flags & ENTRY_HIDDEN) != 0;
    self->id = unpack_u64(&in);
    self->account = self->id - (uint64_t)unpack_i64(&in);
    self->customer = codec_get_uuid(&in);
    self->program = codec_get_u32(&in);
    self->type = codec_get_u8(&in);
    self->amount = unpack_i64(&in);
    self->delta = unpack_i64(&in);
    self->posted = unpack_i64(&in);
    self->balance_after = unpack_i64(&in);
    self->recorded_us = unpack_i64(&in);
    self->effective_us = (int64_t)get_difference(&in, (uint64_t)self->recorded_us);
    self->expires_us = get_expiry(&in, self->effective_us);
    self->prev = self->id - (uint64_t)unpack_i64(&in);
    self->related = unpack_u64(&in);
    self->version = unpack_u64(&in);
    self->actor = codec_get_u32(&in);
    self->base_points = unpack_i64(&in);
    self->multiplier_ppm = unpack_i64(&in);
    self->description = get_free(&in);
    self->metadata = get_free(&in);
    self->reference = get_free(&in);
    self->allocation_count = 0;
    self->allocations = NULL;
    self->allocations_bytes = 0;
    if (!unpack_nil(&in)) {
        if (unpack_array(&in) != 2)
            return damaged("entry", err);
        self->allocation_count = codec_get_u32(&in);
        self->allocations_bytes = unpack_blob(&in, &allocations);
        self->allocations = allocations;
        if (self->allocation_count == 0 || self->allocation_count > ENTRY_ALLOCATIONS_MAX)
            return damaged("entry", err);
    }
    if (!unpack_done(&in) || flags > ENTRY_HIDDEN || entry_type_name(self->type) == NULL)
        return damaged("entry", err);
    return ERR_NONE;
}

/* Flat numbers without a count of their own: the entry carries it. */
void allocations_encode(const allocation_t *allocations, uint32_t count, buffer_t *out)
{
    uint64_t lot = 0;

    for (uint32_t i = 0; i < count; i++) {
        const allocation_t *one = &allocations[i];

        put_difference(out, one->lot, lot);
        pack_u64(out, one->part);
        pack_i64(out, one->points);
        put_difference(out, (uint64_t)one->original, (uint64_t)one->points);
        pack_i64(out, one->activated_us);
        put_expiry(out, one->expires_us, one->activated_us);
        lot = one->lot;
    }
}

int entry_allocations(const entry_t *self, allocation_t *out, uint32_t max)
{
    unpack_t in = unpack_from(self->allocations, self->allocations_bytes);
    uint64_t lot = 0;

    if (self->allocation_count > max || self->allocation_count > ENTRY_ALLOCATIONS_MAX)
        return -1;
    for (uint32_t i = 0; i < self->allocation_count && !in.failed; i++) {
        allocation_t *one = &out[i];

        lot = get_difference(&in, lot);
        one->lot = lot;
        one->part = codec_get_u32(&in);
        one->points = unpack_i64(&in);
        one->original = (points_t)get_difference(&in, (uint64_t)one->points);
        one->activated_us = unpack_i64(&in);
        one->expires_us = get_expiry(&in, one->activated_us);
    }
    return unpack_done(&in) ? (int)self->allocation_count : -1;
}

void posting_canonical(const entry_t *entry, buffer_t *out)
{
    canonical_head(entry, out);
    buffer_append(out, entry->reference.bytes, entry->reference.n);
    buffer_append(out, entry->allocations, entry->allocations_bytes);
}

/* Hashes the same bytes as posting_canonical() without gathering them: no allocation in apply. */
void posting_chain(uint8_t chain[CHAIN_BYTES], const entry_t *entry)
{
    uint8_t memory[CANONICAL_HEAD_MAX];
    buffer_t head = {.bytes = memory, .capacity = sizeof memory, .max = sizeof memory};
    crypto_hash_sha256_state state;
    int rc;

    canonical_head(entry, &head);
    INVARIANT(!head.failed);
    rc = crypto_hash_sha256_init(&state);
    rc |= crypto_hash_sha256_update(&state, chain, CHAIN_BYTES);
    rc |= crypto_hash_sha256_update(&state, head.bytes, head.size);
    if (entry->reference.n > 0)
        rc |= crypto_hash_sha256_update(&state, (const uint8_t *)entry->reference.bytes,
                                        entry->reference.n);
    if (entry->allocations_bytes > 0)
        rc |= crypto_hash_sha256_update(&state, entry->allocations, entry->allocations_bytes);
    rc |= crypto_hash_sha256_final(&state, chain);
    INVARIANT(rc == 0); /* libsodium's SHA-256 cannot fail */
}

void key_row_encode(const key_row_t *self, buffer_t *out)
{
    pack_array(out, 10);
    pack_u64(out, KEY_ROW_VERSION);
    pack_u64(out, self->state);
    pack_u64(out, self->operation);
    pack_blob(out, self->body_hash.bytes, HASH_BYTES);
    pack_u64(out, self->account);
    if (uuid_is_zero(&self->customer)) /* it stands in the row's own key */
        pack_nil(out);
    else
        pack_blob(out, self->customer.bytes, UUID_BYTES);
    pack_i64(out, self->recorded_us);
    pack_blob(out, self->result.bytes, self->result.n);
    pack_u64(out, self->transfer);
    pack_text(out, self->key.bytes, self->key.n);
}

errcode_t key_row_decode(key_row_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);

    if (unpack_array(&in) != 10 || unpack_u64(&in) != KEY_ROW_VERSION)
        return damaged("key", err);
    self->state = codec_get_u8(&in);
    self->operation = codec_get_u8(&in);
    self->body_hash = codec_get_hash(&in);
    self->account = unpack_u64(&in);
    self->customer = unpack_nil(&in) ? (uuid16_t){{0}} : codec_get_uuid(&in);
    self->recorded_us = unpack_i64(&in);
    self->result = codec_get_blob(&in);
    self->transfer = unpack_u64(&in);
    self->key = codec_get_text(&in);
    if (!unpack_done(&in) || (self->state != KEY_PENDING && self->state != KEY_FINAL))
        return damaged("key", err);
    return ERR_NONE;
}

void counter_encode(const counter_t *self, buffer_t *out)
{
    pack_array(out, 3);
    pack_u64(out, COUNTER_VERSION);
    pack_u64(out, self->count);
    pack_i64(out, self->sum);
}

errcode_t counter_decode(counter_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);

    if (unpack_array(&in) != 3 || unpack_u64(&in) != COUNTER_VERSION)
        return damaged("counter", err);
    self->count = unpack_u64(&in);
    self->sum = unpack_i64(&in);
    return unpack_done(&in) ? ERR_NONE : damaged("counter", err);
}

void lot_encode(const lot_t *self, buffer_t *out)
{
    pack_array(out, 1 + LOT_FIELDS);
    pack_u64(out, LOT_VERSION);
    put_lot(out, self, 0, 0);
}

errcode_t lot_decode(lot_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);

    if (unpack_array(&in) != 1 + LOT_FIELDS || unpack_u64(&in) != LOT_VERSION)
        return damaged("lot", err);
    get_lot(&in, self, 0, 0);
    return unpack_done(&in) ? ERR_NONE : damaged("lot", err);
}

void account_place_encode(const uuid16_t *customer, uint32_t program, buffer_t *out)
{
    pack_array(out, 3);
    pack_u64(out, PLACE_VERSION);
    pack_blob(out, customer->bytes, UUID_BYTES);
    pack_u64(out, program);
}

errcode_t account_place_decode(uuid16_t *customer, uint32_t *program, const void *bytes, size_t n,
                               err_t *err)
{
    unpack_t in = unpack_from(bytes, n);

    if (unpack_array(&in) != 3 || unpack_u64(&in) != PLACE_VERSION)
        return damaged("account id", err);
    *customer = codec_get_uuid(&in);
    *program = codec_get_u32(&in);
    return unpack_done(&in) ? ERR_NONE : damaged("account id", err);
}

void checkpoint_encode(const checkpoint_t *self, buffer_t *out)
{
    pack_array(out, 5);
    pack_u64(out, CHECKPOINT_VERSION);
    pack_u64(out, self->next_sequence);
    pack_u64(out, self->counted_sequence);
    pack_u64(out, self->accounts);
    pack_i64(out, self->available);
}

errcode_t checkpoint_decode(checkpoint_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);

    if (unpack_array(&in) != 5 || unpack_u64(&in) != CHECKPOINT_VERSION)
        return damaged("checkpoint", err);
    self->next_sequence = unpack_u64(&in);
    self->counted_sequence = unpack_u64(&in);
    self->accounts = unpack_u64(&in);
    self->available = unpack_i64(&in);
    return unpack_done(&in) ? ERR_NONE : damaged("checkpoint", err);
}

errcode_t rows_account(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                       const uuid16_t *customer, uint32_t program, account_t *out,
                       buffer_t *scratch, bool *found, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_account(key, partition, customer, program);
    errcode_t rc;

    buffer_reset(scratch);
    rc = store_get(store, snapshot, FAMILY_STATE, key, key_bytes, scratch, found, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    return account_decode(out, scratch->bytes, scratch->size, err);
}

errcode_t rows_account_by_id(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                             uint64_t account, account_t *out, buffer_t *scratch, bool *found,
                             err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_account_id(key, partition, account);
    uuid16_t customer = {{0}};
    uint32_t program = 0;
    errcode_t rc;

    buffer_reset(scratch);
    rc = store_get(store, snapshot, FAMILY_STATE, key, key_bytes, scratch, found, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    rc = account_place_decode(&customer, &program, scratch->bytes, scratch->size, err);
    if (rc != ERR_NONE)
        return rc;
    rc = rows_account(store, snapshot, partition, &customer, program, out, scratch, found, err);
    if (rc != ERR_NONE || (*found && out->id == account))
        return rc;
    /* Its customer enrolled again after it was deleted: the old row moved aside. */
    buffer_reset(scratch);
    rc = store_get(store, snapshot, FAMILY_STATE, key, key_retired(key, partition, account),
                   scratch, found, err);
    if (rc == ERR_NONE && *found)
        rc = account_decode(out, scratch->bytes, scratch->size, err);
    if (rc == ERR_NONE && (!*found || out->id != account))
        return err_set(err, ERR_CORRUPT, "account %llu: its id leads to %s",
                       (unsigned long long)account, *found ? "another account" : "no account");
    return rc;
}

/* Only the sequence of an id is in the key: an id with another slot names no entry. */
errcode_t rows_entry(store_t *store, const store_snapshot_t *snapshot, uint16_t partition,
                     uint64_t entry, entry_t *out, buffer_t *scratch, bool *found, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_entry(key, partition, id_sequence(entry));
    errcode_t rc;

    buffer_reset(scratch);
    rc = store_get(store, snapshot, FAMILY_ENTRY, key, key_bytes, scratch, found, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    rc = entry_decode(out, scratch->bytes, scratch->size, err);
    if (rc != ERR_NONE)
        return rc;
    if (id_sequence(out->id) != id_sequence(entry))
        return err_set(err, ERR_CORRUPT, "entry %llu: its row holds entry %llu",
                       (unsigned long long)entry, (unsigned long long)out->id);
    *found = out->id == entry;
    return ERR_NONE;
}

/* All numbers first, with the lengths of what follows them, so that no two postings have the same bytes. Left out is
 * what may be edited or erased: hidden, type, amount, delta, description, metadata, version. */
static void canonical_head(const entry_t *entry, buffer_t *out)
{
    pack_array(out, 15);
    pack_u64(out, CANONICAL_VERSION);
    pack_u64(out, entry->id);
    pack_u64(out, entry->account);
    pack_blob(out, entry->customer.bytes, UUID_BYTES);
    pack_u64(out, entry->program);
    pack_i64(out, entry->posted);
    pack_i64(out, entry->balance_after);
    pack_i64(out, entry->effective_us);
    pack_i64(out, entry->recorded_us);
    pack_i64(out, entry->expires_us);
    pack_u64(out, entry->prev);
    pack_u64(out, entry->related);
    pack_u64(out, entry->reference.n);
    pack_u64(out, entry->allocation_count);
    pack_u64(out, entry->allocations_bytes);
}

static errcode_t damaged(const char *row, err_t *err)
{
    return err_set(err, ERR_CORRUPT, "a stored %s row fails its checks", row);
}
