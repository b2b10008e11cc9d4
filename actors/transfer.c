/* transfer.c - codec of the row that a transfer has while its points are on their way */
#include "actors/transfer.h"

#define TRANSFER_VERSION 1
#define TRANSFER_FIELDS  13

void transfer_encode(const transfer_t *self, buffer_t *out)
{
    pack_array(out, TRANSFER_FIELDS);
    pack_u64(out, TRANSFER_VERSION);
    pack_u64(out, self->id);
    pack_u64(out, self->account);
    pack_u64(out, self->entry);
    pack_blob(out, self->customer.bytes, sizeof self->customer.bytes);
    pack_u64(out, self->program);
    pack_i64(out, self->points);
    pack_i64(out, self->balance_after);
    pack_bool(out, self->has_key);
    pack_blob(out, self->key_hash.bytes, sizeof self->key_hash.bytes);
    pack_blob(out, self->body_hash.bytes, sizeof self->body_hash.bytes);
    pack_i64(out, self->held_us);
    pack_u64(out, self->to_partition);
}

errcode_t transfer_decode(transfer_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    if (unpack_array(&in) != TRANSFER_FIELDS || unpack_u64(&in) != TRANSFER_VERSION)
        in.failed = true;
    self->id = unpack_u64(&in);
    self->account = unpack_u64(&in);
    self->entry = unpack_u64(&in);
    unpack_fixed(&in, self->customer.bytes, sizeof self->customer.bytes);
    uint64_t program = unpack_u64(&in);
    self->points = unpack_i64(&in);
    self->balance_after = unpack_i64(&in);
    self->has_key = unpack_bool(&in);
    unpack_fixed(&in, self->key_hash.bytes, sizeof self->key_hash.bytes);
    unpack_fixed(&in, self->body_hash.bytes, sizeof self->body_hash.bytes);
    self->held_us = unpack_i64(&in);
    uint64_t to_partition = unpack_u64(&in);
    if (!unpack_done(&in) || program > UINT32_MAX || to_partition > UINT16_MAX)
        return err_set(err, ERR_CORRUPT, "a transfer's row cannot be read");
    self->program = (uint32_t)program;
    self->to_partition = (uint16_t)to_partition;
    return ERR_NONE;
}
