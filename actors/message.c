/* message.c - codecs of pair rows, frames and message bodies */
#include "actors/message.h"

#define PAIR_VERSION        1
#define PAIR_VERSION_FLOOR  2 /* a sending side with a floor */
#define SESSION_ROW_VERSION 1

static hash_t unpack_hash(unpack_t *in)
{
    hash_t hash = {{0}};
    unpack_fixed(in, hash.bytes, sizeof hash.bytes);
    return hash;
}

static text_t unpack_blob_text(unpack_t *in)
{
    const void *bytes = NULL;
    size_t n = unpack_blob(in, &bytes);
    return (text_t){bytes, n};
}

static text_t unpack_string(unpack_t *in)
{
    const char *bytes = NULL;
    size_t n = unpack_text(in, &bytes);
    return (text_t){bytes, n};
}

static uint32_t unpack_u32(unpack_t *in)
{
    uint64_t value = unpack_u64(in);
    if (value > UINT32_MAX)
        in->failed = true;
    return (uint32_t)value;
}

static errcode_t checked(const unpack_t *in, const char *what, err_t *err)
{
    return unpack_done(in) ? ERR_NONE : err_set(err, ERR_CORRUPT, "%s cannot be read", what);
}

/* Opens an array of exactly `count` elements whose first is `version`. */
static unpack_t open_array(const void *bytes, size_t n, uint32_t count, uint64_t version)
{
    unpack_t in = unpack_from(bytes, n);
    if (unpack_array(&in) != count || unpack_u64(&in) != version)
        in.failed = true;
    return in;
}

/* ---- pairs ---- */

void pair_out_encode(const pair_out_t *self, buffer_t *out)
{
    pack_array(out, self->floor != 0 ? 7 : 5);
    pack_u64(out, self->floor != 0 ? PAIR_VERSION_FLOOR : PAIR_VERSION);
    pack_u64(out, self->next);
    pack_u64(out, self->acked);
    pack_blob(out, self->peer.bytes, sizeof self->peer.bytes);
    pack_u64(out, self->peer_epoch);
    if (self->floor != 0) {
        pack_u64(out, self->floor);
        pack_u64(out, self->older);
    }
}

errcode_t pair_out_decode(pair_out_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    bool floor = unpack_array(&in) == 7;
    in =
        floor ? open_array(bytes, n, 7, PAIR_VERSION_FLOOR) : open_array(bytes, n, 5, PAIR_VERSION);
    self->next = unpack_u64(&in);
    self->acked = unpack_u64(&in);
    self->peer = unpack_hash(&in);
    self->peer_epoch = unpack_u64(&in);
    self->floor = floor ? unpack_u64(&in) : 0;
    self->older = floor ? unpack_u64(&in) : 0;
    if (self->next == 0 || self->acked >= self->next || (floor && self->floor == 0) ||
        self->floor > self->next || self->older > self->floor)
        in.failed = true;
    return checked(&in, "the sending side of a pair", err);
}

void pair_in_encode(const pair_in_t *self, buffer_t *out)
{
    pack_array(out, 3);
    pack_u64(out, PAIR_VERSION);
    pack_u64(out, self->seq);
    pack_blob(out, self->peer.bytes, sizeof self->peer.bytes);
}

errcode_t pair_in_decode(pair_in_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = open_array(bytes, n, 3, PAIR_VERSION);
    self->seq = unpack_u64(&in);
    self->peer = unpack_hash(&in);
    return checked(&in, "the receiving side of a pair", err);
}

/* ---- frames ---- */

void frame_encode(const frame_t *self, buffer_t *out)
{
    pack_array(out, self->floor != 0 ? 10 : 8);
    pack_u64(out, self->kind);
    pack_u64(out, self->src);
    pack_u64(out, self->dst);
    pack_blob(out, self->src_history.bytes, sizeof self->src_history.bytes);
    pack_blob(out, self->dst_history.bytes, sizeof self->dst_history.bytes);
    pack_u64(out, self->epoch);
    pack_u64(out, self->n);
    pack_blob(out, self->body.bytes, self->body.n);
    if (self->floor != 0) {
        pack_u64(out, self->floor);
        pack_u64(out, self->older);
    }
}

errcode_t frame_decode(frame_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint32_t count = unpack_array(&in);
    uint64_t kind = unpack_u64(&in), src = unpack_u64(&in), dst = unpack_u64(&in);
    if ((count != 8 && count != 10) || (kind != FRAME_DATA && kind != FRAME_ACK) ||
        src > UINT16_MAX || dst > UINT16_MAX)
        in.failed = true;
    self->kind = (uint8_t)kind;
    self->src = (uint16_t)src;
    self->dst = (uint16_t)dst;
    self->src_history = unpack_hash(&in);
    self->dst_history = unpack_hash(&in);
    self->epoch = unpack_u64(&in);
    self->n = unpack_u64(&in);
    self->body = unpack_blob_text(&in);
    self->floor = count == 10 ? unpack_u64(&in) : 0;
    self->older = count == 10 ? unpack_u64(&in) : 0;
    if (count == 10 && (self->floor == 0 || self->older > self->floor))
        in.failed = true;
    return checked(&in, "a frame between partitions", err);
}

/* ---- bodies ---- */

uint8_t body_type(text_t body)
{
    unpack_t in = unpack_from(body.bytes, body.n);
    unpack_array(&in);
    uint64_t type = unpack_u64(&in);
    return in.failed || type > UINT8_MAX ? 0 : (uint8_t)type;
}

void credit_encode(const credit_t *self, buffer_t *out)
{
    pack_array(out, 11);
    pack_u64(out, BODY_CREDIT_1);
    pack_u64(out, self->transfer);
    pack_u64(out, self->from_account);
    pack_u64(out, self->to_account);
    pack_blob(out, self->to_customer.bytes, sizeof self->to_customer.bytes);
    pack_u64(out, self->program);
    pack_i64(out, self->points);
    pack_u64(out, self->actor);
    pack_text(out, self->description.bytes, self->description.n);
    pack_u64(out, self->allocation_count);
    pack_blob(out, self->allocations.bytes, self->allocations.n);
}

errcode_t credit_decode(credit_t *self, text_t body, err_t *err)
{
    unpack_t in = open_array(body.bytes, body.n, 11, BODY_CREDIT_1);
    self->transfer = unpack_u64(&in);
    self->from_account = unpack_u64(&in);
    self->to_account = unpack_u64(&in);
    unpack_fixed(&in, self->to_customer.bytes, sizeof self->to_customer.bytes);
    self->program = unpack_u32(&in);
    self->points = unpack_i64(&in);
    self->actor = unpack_u32(&in);
    self->description = unpack_string(&in);
    self->allocation_count = unpack_u32(&in);
    self->allocations = unpack_blob_text(&in);
    return checked(&in, "a transfer's credit", err);
}

void credit_reply_encode(const credit_reply_t *self, buffer_t *out)
{
    pack_array(out, 9);
    pack_u64(out, BODY_CREDIT_REPLY_1);
    pack_u64(out, self->transfer);
    pack_bool(out, self->credited);
    pack_u64(out, self->to_account);
    pack_u64(out, self->to_entry);
    pack_i64(out, self->to_balance_after);
    pack_u64(out, self->status);
    pack_text(out, self->code.bytes, self->code.n);
    pack_text(out, self->error.bytes, self->error.n);
}

errcode_t credit_reply_decode(credit_reply_t *self, text_t body, err_t *err)
{
    unpack_t in = open_array(body.bytes, body.n, 9, BODY_CREDIT_REPLY_1);
    self->transfer = unpack_u64(&in);
    self->credited = unpack_bool(&in);
    self->to_account = unpack_u64(&in);
    self->to_entry = unpack_u64(&in);
    self->to_balance_after = unpack_i64(&in);
    uint64_t status = unpack_u64(&in);
    if (status > 599)
        in.failed = true;
    self->status = (uint16_t)status;
    self->code = unpack_string(&in);
    self->error = unpack_string(&in);
    return checked(&in, "a transfer's reply", err);
}

void session_encode(const session_t *self, buffer_t *out)
{
    pack_array(out, 5);
    pack_u64(out, BODY_SESSION_1);
    pack_blob(out, self->token.bytes, sizeof self->token.bytes);
    pack_u64(out, self->user);
    pack_i64(out, self->expires_us);
    pack_i64(out, self->created_us);
}

errcode_t session_decode(session_t *self, text_t body, err_t *err)
{
    unpack_t in = open_array(body.bytes, body.n, 5, BODY_SESSION_1);
    self->token = unpack_hash(&in);
    self->user = unpack_u32(&in);
    self->expires_us = unpack_i64(&in);
    self->created_us = unpack_i64(&in);
    return checked(&in, "a session", err);
}

void changes_encode_head(uint32_t count, buffer_t *out)
{
    pack_array(out, count + 1);
    pack_u64(out, BODY_CATALOGUE_1);
}

void change_encode(const change_t *self, buffer_t *out)
{
    pack_array(out, 5);
    pack_u64(out, self->version);
    pack_u64(out, self->resource);
    pack_bool(out, self->deleted);
    pack_u64(out, self->id);
    pack_text(out, self->json.bytes, self->json.n);
}

errcode_t changes_decode_head(unpack_t *in, text_t body, uint32_t *count, err_t *err)
{
    *in = unpack_from(body.bytes, body.n);
    uint32_t elements = unpack_array(in);
    if (elements == 0 || unpack_u64(in) != BODY_CATALOGUE_1 || in->failed)
        return err_set(err, ERR_CORRUPT, "a catalogue change cannot be read");
    *count = elements - 1;
    return ERR_NONE;
}

errcode_t change_decode(change_t *self, unpack_t *in, err_t *err)
{
    if (unpack_array(in) != 5)
        in->failed = true;
    self->version = unpack_u64(in);
    uint64_t resource = unpack_u64(in);
    self->deleted = unpack_bool(in);
    self->id = unpack_u32(in);
    self->json = unpack_string(in);
    if (resource > UINT8_MAX)
        in->failed = true;
    self->resource = (uint8_t)resource;
    return in->failed ? err_set(err, ERR_CORRUPT, "a catalogue change cannot be read") : ERR_NONE;
}

void content_range_encode(uint64_t from, uint64_t to, buffer_t *out)
{
    pack_array(out, 3);
    pack_u64(out, BODY_CONTENT_1);
    pack_u64(out, from);
    pack_u64(out, to);
}

errcode_t content_range_decode(uint64_t *from, uint64_t *to, text_t body, err_t *err)
{
    unpack_t in = open_array(body.bytes, body.n, 3, BODY_CONTENT_1);
    *from = unpack_u64(&in);
    *to = unpack_u64(&in);
    return checked(&in, "a range of catalogue versions", err);
}

errcode_t content_decode(change_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    errcode_t rc = change_decode(self, &in, err);
    return rc != ERR_NONE ? rc : checked(&in, "a definition", err);
}

void session_row_encode(const session_t *self, buffer_t *out)
{
    pack_array(out, 4);
    pack_u64(out, SESSION_ROW_VERSION);
    pack_u64(out, self->user);
    pack_i64(out, self->expires_us);
    pack_i64(out, self->created_us);
}

errcode_t session_row_decode(session_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = open_array(bytes, n, 4, SESSION_ROW_VERSION);
    self->user = unpack_u32(&in);
    self->expires_us = unpack_i64(&in);
    self->created_us = unpack_i64(&in);
    return checked(&in, "a session row", err);
}
