/* rows_keys.c - keys of rows: big endian, so that byte order is the order that scans need */
#include "actors/rows.h"

_Static_assert(BATCH_KEY_BYTES_MAX >= 2 + 1 + 8 + 8 + 8 + 8 + 4,
               "the longest key, a lot's, must fit");

typedef struct {
    uint8_t *bytes; /* borrowed: the caller's key */
    size_t n;
} writer_t;

static inline writer_t key_of(uint8_t *out, uint16_t partition)
{
    be16_put(out, partition);
    return (writer_t){out, 2};
}

static inline void put_tag(writer_t *key, char tag)
{
    key->bytes[key->n++] = (uint8_t)tag;
}

static inline void put_u16(writer_t *key, uint16_t value)
{
    be16_put(key->bytes + key->n, value);
    key->n += 2;
}

static inline void put_u32(writer_t *key, uint32_t value)
{
    be32_put(key->bytes + key->n, value);
    key->n += 4;
}

static inline void put_u64(writer_t *key, uint64_t value)
{
    be64_put(key->bytes + key->n, value);
    key->n += 8;
}

static inline void put_bytes(writer_t *key, const void *bytes, size_t n)
{
    memcpy(key->bytes + key->n, bytes, n);
    key->n += n;
}

/* With the sign bit turned over, negative instants sort before positive ones. */
static inline void put_instant(writer_t *key, int64_t at_us)
{
    put_u64(key, (uint64_t)at_us ^ UINT64_C(1) << 63);
}

size_t key_account(uint8_t *out, uint16_t partition, const uuid16_t *customer, uint32_t program)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'A');
    put_bytes(&key, customer->bytes, UUID_BYTES);
    put_u32(&key, program);
    return key.n;
}

size_t key_accounts_of(uint8_t *out, uint16_t partition, const uuid16_t *customer)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'A');
    put_bytes(&key, customer->bytes, UUID_BYTES);
    return key.n;
}

size_t key_account_id(uint8_t *out, uint16_t partition, uint64_t account)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'I');
    put_u64(&key, account);
    return key.n;
}

size_t key_retired(uint8_t *out, uint16_t partition, uint64_t account)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'Z');
    put_u64(&key, account);
    return key.n;
}

/* FEFO, R-3.8: expiry first with never last, then activation, then the lot's own order. */
size_t key_lot(uint8_t *out, uint16_t partition, uint64_t account, const lot_t *lot)
{
    writer_t key = key_of(out, partition);

    put_u64(&key, account);
    put_instant(&key, lot->expires_us == 0 ? INT64_MAX : lot->expires_us);
    put_instant(&key, lot->activated_us);
    put_u64(&key, lot->id);
    put_u32(&key, lot->part);
    return key.n;
}

size_t key_lots_of(uint8_t *out, uint16_t partition, uint64_t account)
{
    writer_t key = key_of(out, partition);

    put_u64(&key, account);
    return key.n;
}

size_t key_transfer(uint8_t *out, uint16_t partition, uint64_t transfer)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'T');
    put_u64(&key, transfer);
    return key.n;
}

size_t key_pair_in(uint8_t *out, uint16_t partition, uint16_t src)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'N');
    put_u16(&key, src);
    return key.n;
}

size_t key_pair_out(uint8_t *out, uint16_t partition, uint16_t dst)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'O');
    put_u16(&key, dst);
    return key.n;
}

uint32_t counter_day(int64_t at_us)
{
    int64_t day_us = INT64_C(86400) * 1000000;
    int64_t day = at_us / day_us - (at_us % day_us < 0);

    return (uint32_t)(day + INT64_C(0x40000000));
}

size_t key_counter(uint8_t *out, uint16_t partition, uint32_t program, uint8_t type, uint32_t day)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'C');
    put_u32(&key, program);
    key.bytes[key.n++] = type;
    put_u32(&key, day);
    return key.n;
}

size_t key_checkpoint(uint8_t *out, uint16_t partition)
{
    return key_tag(out, partition, 'D');
}

size_t key_ancestors(uint8_t *out, uint16_t partition)
{
    return key_tag(out, partition, 'H');
}

size_t key_in_force(uint8_t *out, uint16_t partition)
{
    return key_tag(out, partition, 'V');
}

size_t key_session(uint8_t *out, uint16_t partition, const hash_t *token)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'S');
    put_bytes(&key, token->bytes, HASH_BYTES);
    return key.n;
}

size_t key_definition(uint8_t *out, uint16_t partition, uint8_t resource, uint32_t id)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'F');
    key.bytes[key.n++] = resource;
    put_u32(&key, id);
    return key.n;
}

size_t key_entry(uint8_t *out, uint16_t partition, uint64_t sequence)
{
    writer_t key = key_of(out, partition);

    put_u64(&key, sequence);
    return key.n;
}

size_t key_idempotency(uint8_t *out, uint16_t partition, const uuid16_t *customer,
                       uint8_t operation, const hash_t *hash)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'K');
    put_bytes(&key, customer->bytes, UUID_BYTES);
    key.bytes[key.n++] = operation;
    put_bytes(&key, hash->bytes, HASH_BYTES);
    return key.n;
}

size_t key_reference(uint8_t *out, uint16_t partition, uint64_t account, uint8_t operation,
                     const hash_t *hash)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, 'R');
    put_u64(&key, account);
    key.bytes[key.n++] = operation;
    put_bytes(&key, hash->bytes, HASH_BYTES);
    return key.n;
}

size_t key_outbox(uint8_t *out, uint16_t partition, uint16_t dst, uint64_t n)
{
    writer_t key = key_of(out, partition);

    put_u16(&key, dst);
    put_u64(&key, n);
    return key.n;
}

size_t key_content(uint8_t *out, uint64_t version)
{
    writer_t key = {out, 0};

    put_tag(&key, 'X');
    put_u64(&key, version);
    return key.n;
}

size_t key_tag(uint8_t *out, uint16_t partition, char tag)
{
    writer_t key = key_of(out, partition);

    put_tag(&key, tag);
    return key.n;
}

size_t key_partition(uint8_t *out, uint16_t partition)
{
    return key_of(out, partition).n;
}

/* The prefix plus one, read as a number; trailing 0xff bytes carry over and go. Nothing is above a prefix of 0xff
 * bytes alone: length 0 means no bound. */
size_t key_after_prefix(uint8_t *out, const uint8_t *prefix, size_t bytes)
{
    INVARIANT(bytes <= BATCH_KEY_BYTES_MAX);
    while (bytes > 0 && prefix[bytes - 1] == 0xff)
        bytes--;
    if (bytes == 0)
        return 0;
    memmove(out, prefix, bytes);
    out[bytes - 1]++;
    return bytes;
}
