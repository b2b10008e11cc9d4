/* channel_records.c - heads, genesis, skips, adoptions and heartbeats as bytes
 *
 * Bitmaps are written without their zero bytes at the end: a node that owns nothing stuck writes none of them.
 */
#include "cluster/channel_records.h"

#define HEAD_FIELDS     3
#define FOUNDING_FIELDS (HEAD_FIELDS + 3)
#define SKIP_FIELDS     (HEAD_FIELDS + 4)
#define ADOPTION_FIELDS (HEAD_FIELDS + 11)
#define LIVENESS_FIELDS (HEAD_FIELDS + 11)
#define PLACE_FIELDS    4

static void put_bits(buffer_t *out, const uint8_t *bits);
static void put_places(buffer_t *out, const liveness_t *beat);
static bool take_places(unpack_t *in, liveness_t *beat);
static bool take_bits(unpack_t *in, uint16_t partitions, uint8_t *bits);

bool channel_head_read(channel_head_t *self, const void *bytes, size_t n)
{
    unpack_t in = unpack_from(bytes, n);
    uint32_t fields = unpack_array(&in);

    self->version = unpack_u64(&in);
    self->kind = unpack_u64(&in);
    (void)unpack_fixed(&in, self->cluster.bytes, sizeof self->cluster.bytes);
    return !in.failed && fields >= HEAD_FIELDS && self->version > 0;
}

uint32_t channel_newest(uint64_t kind)
{
    if (kind == CHANNEL_LIVENESS)
        return LIVENESS_VERSION;
    return kind == CHANNEL_VIEW ? VIEW_VERSION : CHANNEL_VERSION;
}

void channel_record_begin(buffer_t *out, uint32_t fields, uint32_t version, channel_kind_t kind,
                          const hash_t *cluster)
{
    pack_array(out, fields);
    pack_u64(out, version);
    pack_u64(out, kind);
    pack_blob(out, cluster->bytes, sizeof cluster->bytes);
}

errcode_t channel_record_open(unpack_t *in, uint32_t fields, uint32_t newest, channel_kind_t kind,
                              hash_t *cluster, err_t *err)
{
    uint32_t count = unpack_array(in);
    uint64_t version = unpack_u64(in);
    uint64_t found = unpack_u64(in);

    (void)unpack_fixed(in, cluster->bytes, sizeof cluster->bytes);
    if (in->failed || version == 0 || found != (uint64_t)kind)
        return err_set(err, ERR_CORRUPT, "these bytes are no record of kind %d", (int)kind);
    if (version > newest)
        return err_set(err, ERR_STATE, "a record has version %llu, this program reads %u",
                       (unsigned long long)version, newest);
    if (count != fields)
        return err_set(err, ERR_CORRUPT, "a record of kind %d has %u fields, not %u", (int)kind,
                       count, fields);
    return ERR_NONE;
}

void founding_encode(const founding_t *self, buffer_t *out)
{
    channel_record_begin(out, FOUNDING_FIELDS, CHANNEL_VERSION, CHANNEL_GENESIS, &self->cluster);
    pack_u64(out, self->partitions);
    pack_u64(out, self->followers);
    pack_u64(out, self->hash_version);
}

errcode_t founding_decode(founding_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t partitions, followers, hash_version;
    errcode_t rc;

    memset(self, 0, sizeof *self);
    rc = channel_record_open(&in, FOUNDING_FIELDS, CHANNEL_VERSION, CHANNEL_GENESIS, &self->cluster,
                             err);
    if (rc != ERR_NONE)
        return rc;
    partitions = unpack_u64(&in);
    followers = unpack_u64(&in);
    hash_version = unpack_u64(&in);
    if (!unpack_done(&in) || partitions == 0 || partitions > VIEW_PARTITIONS_MAX ||
        followers >= VIEW_COPIES_MAX || hash_version == 0 || hash_version > UINT32_MAX)
        return err_set(err, ERR_CORRUPT, "these bytes are no genesis");
    self->partitions = (uint16_t)partitions;
    self->followers = (uint8_t)followers;
    self->hash_version = (uint32_t)hash_version;
    return ERR_NONE;
}

void skip_encode(const skip_t *self, const hash_t *cluster, buffer_t *out)
{
    channel_record_begin(out, SKIP_FIELDS, CHANNEL_VERSION, CHANNEL_SKIP, cluster);
    pack_u64(out, self->partition);
    pack_u64(out, self->offset);
    pack_u64(out, self->crc);
    pack_text(out, self->reason, strlen(self->reason));
}

/* Without a reason, or with one that cannot be printed, it is none: one rule for who writes and who reads it. */
static bool take_reason(unpack_t *in, char *out, size_t size)
{
    const char *text = NULL;
    size_t length = unpack_text(in, &text);
    bool good = !in->failed && length > 0 && length < size;

    for (size_t i = 0; good && i < length; i++)
        good = text[i] >= ' ' && text[i] <= '~';
    if (good)
        memcpy(out, text, length);
    return good;
}

errcode_t skip_decode(skip_t *self, hash_t *cluster, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t partition, crc;
    errcode_t rc;

    memset(self, 0, sizeof *self);
    rc = channel_record_open(&in, SKIP_FIELDS, CHANNEL_VERSION, CHANNEL_SKIP, cluster, err);
    if (rc != ERR_NONE)
        return rc;
    partition = unpack_u64(&in);
    self->offset = unpack_u64(&in);
    crc = unpack_u64(&in);
    if (!take_reason(&in, self->reason, sizeof self->reason) || !unpack_done(&in) ||
        partition > VIEW_PARTITIONS_MAX || crc > UINT32_MAX)
        return err_set(err, ERR_CORRUPT, "these bytes are no skip");
    self->partition = (uint16_t)partition;
    self->crc = (uint32_t)crc;
    return ERR_NONE;
}

void adoption_encode(const adoption_t *self, const hash_t *cluster, buffer_t *out)
{
    channel_record_begin(out, ADOPTION_FIELDS, CHANNEL_VERSION, CHANNEL_ADOPTION, cluster);
    pack_u64(out, self->partition);
    pack_blob(out, self->old.bytes, sizeof self->old.bytes);
    pack_blob(out, self->image.bytes, sizeof self->image.bytes);
    pack_blob(out, self->fresh.bytes, sizeof self->fresh.bytes);
    pack_blob(out, self->node.bytes, sizeof self->node.bytes);
    pack_u64(out, self->epoch);
    pack_u64(out, self->seq);
    pack_u64(out, self->chain);
    pack_u64(out, self->offset);
    pack_i64(out, self->at_us);
    pack_text(out, self->reason, strlen(self->reason));
}

errcode_t adoption_decode(adoption_t *self, hash_t *cluster, const void *bytes, size_t n,
                          err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t partition;
    errcode_t rc;

    memset(self, 0, sizeof *self);
    rc = channel_record_open(&in, ADOPTION_FIELDS, CHANNEL_VERSION, CHANNEL_ADOPTION, cluster, err);
    if (rc != ERR_NONE)
        return rc;
    partition = unpack_u64(&in);
    hash_t *const hashes[] = {&self->old, &self->image, &self->fresh, &self->node};
    for (size_t i = 0; i < COUNT_OF(hashes); i++)
        (void)unpack_fixed(&in, hashes[i]->bytes, sizeof hashes[i]->bytes);
    self->epoch = unpack_u64(&in);
    self->seq = unpack_u64(&in);
    self->chain = unpack_u64(&in);
    self->offset = unpack_u64(&in);
    self->at_us = unpack_i64(&in);
    if (!take_reason(&in, self->reason, sizeof self->reason) || !unpack_done(&in) ||
        partition > VIEW_PARTITIONS_MAX || self->epoch == 0 || self->epoch > UINT64_MAX / 2 ||
        self->seq > UINT64_MAX / 2 || self->offset == UINT64_MAX)
        return err_set(err, ERR_CORRUPT, "these bytes are no adoption");
    self->partition = (uint16_t)partition;
    return ERR_NONE;
}

void liveness_encode(const liveness_t *self, buffer_t *out)
{
    uint32_t owned = 0;

    channel_record_begin(out, self->place_count > 0 ? LIVENESS_FIELDS + 1 : LIVENESS_FIELDS,
                         self->place_count > 0 ? LIVENESS_VERSION : CHANNEL_VERSION,
                         CHANNEL_LIVENESS, &self->cluster);
    pack_blob(out, self->node.bytes, sizeof self->node.bytes);
    pack_blob(out, self->incarnation.bytes, sizeof self->incarnation.bytes);
    pack_u64(out, self->number);
    pack_u64(out, self->view);
    pack_i64(out, self->wall_us);
    pack_bool(out, self->stopping);
    pack_u64(out, self->partitions);
    put_bits(out, self->owned);
    put_bits(out, self->stuck);
    put_bits(out, self->ready);
    for (uint32_t p = 0; p <= self->partitions; p++)
        owned += channel_bit(self->owned, (uint16_t)p);
    pack_array(out, owned);
    for (uint32_t p = 0; p <= self->partitions; p++) {
        if (channel_bit(self->owned, (uint16_t)p))
            pack_u64(out, self->epochs[p]);
    }
    if (self->place_count > 0)
        put_places(out, self);
}

errcode_t liveness_decode(liveness_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t partitions;
    uint32_t count, owned = 0;
    errcode_t rc;

    memset(self, 0, sizeof *self);
    channel_head_t head;
    bool placed = channel_head_read(&head, bytes, n) && head.version == LIVENESS_VERSION;
    rc = channel_record_open(&in, placed ? LIVENESS_FIELDS + 1 : LIVENESS_FIELDS, LIVENESS_VERSION,
                             CHANNEL_LIVENESS, &self->cluster, err);
    if (rc != ERR_NONE)
        return rc;
    (void)unpack_fixed(&in, self->node.bytes, sizeof self->node.bytes);
    (void)unpack_fixed(&in, self->incarnation.bytes, sizeof self->incarnation.bytes);
    self->number = unpack_u64(&in);
    self->view = unpack_u64(&in);
    self->wall_us = unpack_i64(&in);
    self->stopping = unpack_bool(&in);
    partitions = unpack_u64(&in);
    if (in.failed || self->number == 0 || partitions == 0 || partitions > VIEW_PARTITIONS_MAX)
        goto corrupt;
    self->partitions = (uint16_t)partitions;
    if (!take_bits(&in, self->partitions, self->owned) ||
        !take_bits(&in, self->partitions, self->stuck) ||
        !take_bits(&in, self->partitions, self->ready))
        goto corrupt;
    count = unpack_array(&in);
    for (uint32_t p = 0; p <= partitions; p++) {
        if (!channel_bit(self->owned, (uint16_t)p))
            continue;
        owned++;
        self->epochs[p] = unpack_u64(&in);
        if (in.failed || self->epochs[p] == 0)
            goto corrupt;
    }
    if (placed && !take_places(&in, self))
        goto corrupt;
    if (!unpack_done(&in) || count != owned)
        goto corrupt;
    return ERR_NONE;

corrupt:
    memset(self, 0, sizeof *self);
    return err_set(err, ERR_CORRUPT, "these bytes are no heartbeat");
}

static void put_places(buffer_t *out, const liveness_t *beat)
{
    pack_array(out, beat->place_count * PLACE_FIELDS);
    for (uint32_t i = 0; i < beat->place_count; i++) {
        pack_u64(out, beat->places[i].partition);
        pack_u64(out, beat->places[i].history);
        pack_u64(out, beat->places[i].epoch);
        pack_u64(out, beat->places[i].seq);
    }
}

static bool take_places(unpack_t *in, liveness_t *beat)
{
    uint32_t count = unpack_array(in);

    if (in->failed || count == 0 || count % PLACE_FIELDS != 0 ||
        count / PLACE_FIELDS > (uint32_t)beat->partitions + 1)
        return false;
    beat->place_count = count / PLACE_FIELDS;
    for (uint32_t i = 0; i < beat->place_count; i++) {
        uint64_t partition = unpack_u64(in);

        if (in->failed || partition > beat->partitions ||
            (i > 0 && partition <= beat->places[i - 1].partition))
            return false;
        beat->places[i].partition = (uint16_t)partition;
        beat->places[i].history = unpack_u64(in);
        beat->places[i].epoch = unpack_u64(in);
        beat->places[i].seq = unpack_u64(in);
    }
    return !in->failed;
}

static void put_bits(buffer_t *out, const uint8_t *bits)
{
    size_t n = CHANNEL_BITMAP_BYTES;

    while (n > 0 && bits[n - 1] == 0)
        n--;
    pack_blob(out, bits, n);
}

/* Bits of partitions that do not exist are refused: they would be read as something one day. */
static bool take_bits(unpack_t *in, uint16_t partitions, uint8_t *bits)
{
    const void *bytes = NULL;
    size_t n = unpack_blob(in, &bytes);

    if (in->failed || n > CHANNEL_BITMAP_BYTES)
        return false;
    if (n > 0)
        memcpy(bits, bytes, n);
    for (size_t p = (size_t)partitions + 1; p < CHANNEL_BITMAP_BYTES * (size_t)8; p++) {
        if (channel_bit(bits, (uint16_t)p))
            return false;
    }
    return true;
}
