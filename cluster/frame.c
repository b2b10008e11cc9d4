/* frame.c - codec of the frames between nodes; trusts no byte */
#include "cluster/frame.h"

#define LINK_MAGIC 0xfea1
/* In the place of ERR_NONE: the bytes are followed by a place. No error code has this number. */
#define RESULT_WITH_PLACE 1000

static bool command_skip(unpack_t *in);
static bool result_skip(unpack_t *in);
static bool message_skip(unpack_t *in);
static bool hello_skip(unpack_t *in);
static bool shared_hello_skip(unpack_t *in);
static bool address_next(unpack_t *in, char address[ADDRESS_BYTES]);
static bool blob_skip(unpack_t *in);
static bool nothing_skip(unpack_t *in);
static void text_copy(char *out, size_t room, const char *text, size_t n);

/* How to step over one item of a kind, and how many a frame holds (0: any number above none). */
static const struct {
    bool (*skip)(unpack_t *in);
    uint32_t count;
} kinds[LINK_KIND__END] = {
    [LINK_HELLO] = {hello_skip, 1},         [LINK_HEARTBEAT] = {nothing_skip, 1},
    [LINK_BYE] = {nothing_skip, 1},         [LINK_COMMANDS] = {command_skip, 0},
    [LINK_RESULTS] = {result_skip, 0},      [LINK_MESSAGES] = {message_skip, 0},
    [LINK_QUERIES] = {command_skip, 0},     [LINK_GENESIS] = {blob_skip, 1},
    [LINK_GENESIS_ACK] = {blob_skip, 1},    [LINK_SHARED_HELLO] = {shared_hello_skip, 1},
    [LINK_QUERIES_ANY] = {command_skip, 0},
};

void link_header_encode(const link_header_t *self, uint8_t out[LINK_HEADER_BYTES])
{
    be16_put(out, LINK_MAGIC);
    out[2] = LINK_VERSION;
    out[3] = self->kind;
    memcpy(out + 4, self->from.bytes, HASH_BYTES);
    memcpy(out + 20, self->to.bytes, HASH_BYTES);
    be32_put(out + 36, self->count);
    be32_put(out + 40, self->body_bytes);
    be32_put(out + 44, self->crc);
}

errcode_t link_header_decode(link_header_t *self, const void *bytes, size_t n, err_t *err)
{
    const uint8_t *in = bytes;

    memset(self, 0, sizeof *self);
    if (n != LINK_HEADER_BYTES || be16_get(in) != LINK_MAGIC)
        return err_set(err, ERR_CORRUPT, "no header of a frame between nodes");
    if (in[2] != LINK_VERSION)
        return err_set(err, ERR_CORRUPT, "a frame of version %u, this program speaks %d", in[2],
                       LINK_VERSION);
    self->kind = in[3];
    memcpy(self->from.bytes, in + 4, HASH_BYTES);
    memcpy(self->to.bytes, in + 20, HASH_BYTES);
    self->count = be32_get(in + 36);
    self->body_bytes = be32_get(in + 40);
    self->crc = be32_get(in + 44);
    if (self->kind == 0 || self->kind >= LINK_KIND__END)
        return err_set(err, ERR_CORRUPT, "a frame of unknown kind %u", self->kind);
    if (self->count == 0 ||
        (kinds[self->kind].count != 0 && self->count != kinds[self->kind].count))
        return err_set(err, ERR_CORRUPT, "a frame of kind %u with %u items", self->kind,
                       self->count);
    return ERR_NONE;
}

errcode_t link_frame_check(const link_header_t *header, const void *body, size_t n, err_t *err)
{
    unpack_t in = unpack_from(body, n);

    if (n != header->body_bytes || n > LINK_BODY_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "a frame body of %zu bytes instead of %u", n,
                       header->body_bytes);
    if (crc32c(0, body, n) != header->crc)
        return err_set(err, ERR_CORRUPT, "a frame body fails its checksum");
    for (uint32_t i = 0; i < header->count; i++) {
        if (!kinds[header->kind].skip(&in))
            return err_set(err, ERR_CORRUPT, "item %u of a frame of kind %u cannot be read", i,
                           header->kind);
    }
    if (!unpack_done(&in))
        return err_set(err, ERR_CORRUPT, "a frame of kind %u has bytes behind its items",
                       header->kind);
    return ERR_NONE;
}

void link_command_put(buffer_t *out, const link_command_t *item)
{
    pack_u64(out, item->id);
    pack_u64(out, item->partition);
    pack_i64(out, item->deadline_us);
    pack_blob(out, item->bytes, item->n);
}

bool link_command_next(unpack_t *in, link_command_t *item)
{
    uint64_t partition;

    item->id = unpack_u64(in);
    partition = unpack_u64(in);
    item->deadline_us = unpack_i64(in);
    item->n = unpack_blob(in, &item->bytes);
    item->partition = (uint16_t)partition;
    return !in->failed && partition <= BIRTH_PARTITIONS_MAX;
}

void link_result_put(buffer_t *out, uint64_t id, const err_t *err, const void *bytes, size_t n,
                     const log_place_t *place)
{
    pack_u64(out, id);
    if (err == NULL || err->code == ERR_NONE) {
        bool placed = place != NULL && place->epoch != 0;

        pack_u64(out, placed ? RESULT_WITH_PLACE : ERR_NONE);
        pack_blob(out, bytes, n);
        if (placed) {
            uint8_t room[LOG_PLACE_BYTES];

            log_place_pack(place, room);
            pack_blob(out, room, sizeof room);
        }
    } else {
        pack_u64(out, err->code);
        pack_text(out, err->field, strnlen(err->field, sizeof err->field));
        pack_text(out, err->text, strnlen(err->text, sizeof err->text));
    }
}

bool link_result_next(unpack_t *in, link_result_t *item)
{
    uint64_t code;

    item->id = unpack_u64(in);
    code = unpack_u64(in);
    item->bytes = NULL;
    item->n = 0;
    item->err.field[0] = '\0';
    item->err.text[0] = '\0';
    item->place = (log_place_t){.epoch = 0};
    if (code == ERR_NONE || code == RESULT_WITH_PLACE) {
        uint8_t room[LOG_PLACE_BYTES] = {0};

        item->err.code = ERR_NONE;
        item->n = unpack_blob(in, &item->bytes);
        if (code == RESULT_WITH_PLACE && unpack_fixed(in, room, sizeof room))
            item->place = log_place_unpack(room);
    } else {
        const char *field = NULL, *text = NULL;
        size_t field_bytes = unpack_text(in, &field);
        size_t text_bytes = unpack_text(in, &text);

        /* A code that a later release added still is an error here. */
        item->err.code = code < ERR__COUNT ? (errcode_t)code : ERR_INTERNAL;
        if (!in->failed) {
            text_copy(item->err.field, sizeof item->err.field, field, field_bytes);
            text_copy(item->err.text, sizeof item->err.text, text, text_bytes);
        }
    }
    return !in->failed;
}

void link_message_put(buffer_t *out, const link_message_t *item)
{
    pack_u64(out, item->partition);
    pack_blob(out, item->bytes, item->n);
}

bool link_message_next(unpack_t *in, link_message_t *item)
{
    uint64_t partition = unpack_u64(in);

    item->n = unpack_blob(in, &item->bytes);
    item->partition = (uint16_t)partition;
    return !in->failed && partition <= BIRTH_PARTITIONS_MAX;
}

void link_hello_put(buffer_t *out, const link_hello_t *hello)
{
    pack_text(out, hello->address, strlen(hello->address));
    pack_blob(out, hello->heard.bytes, HASH_BYTES);
    pack_blob(out, hello->list.bytes, HASH_BYTES);
    pack_bool(out, hello->born);
    pack_bool(out, hello->settled);
    pack_blob(out, hello->cluster.bytes, HASH_BYTES);
    pack_u64(out, hello->node);
    pack_u64(out, hello->partitions);
    pack_blob(out, hello->owned, (size_t)(hello->partitions + 8) / 8);
}

bool link_hello_next(unpack_t *in, link_hello_t *hello)
{
    uint64_t node, partitions;

    memset(hello, 0, sizeof *hello);
    if (!address_next(in, hello->address))
        return false;
    (void)unpack_fixed(in, hello->heard.bytes, HASH_BYTES);
    (void)unpack_fixed(in, hello->list.bytes, HASH_BYTES);
    hello->born = unpack_bool(in);
    hello->settled = unpack_bool(in);
    (void)unpack_fixed(in, hello->cluster.bytes, HASH_BYTES);
    node = unpack_u64(in);
    partitions = unpack_u64(in);
    if (in->failed || node >= BIRTH_NODES_MAX || partitions == 0 ||
        partitions > BIRTH_PARTITIONS_MAX)
        return false;
    hello->node = (uint16_t)node;
    hello->partitions = (uint16_t)partitions;
    return unpack_fixed(in, hello->owned, (size_t)(partitions + 8) / 8);
}

void link_shared_hello_put(buffer_t *out, const link_shared_hello_t *hello)
{
    uint32_t owned = 0;

    for (uint32_t i = 0; i <= hello->partitions; i++)
        owned += hello->epochs[i] != 0;
    pack_text(out, hello->address, strlen(hello->address));
    pack_blob(out, hello->heard.bytes, HASH_BYTES);
    pack_bool(out, hello->known);
    pack_blob(out, hello->cluster.bytes, HASH_BYTES);
    pack_u64(out, hello->partitions);
    pack_u64(out, owned);
    for (uint32_t i = 0; i <= hello->partitions; i++) {
        if (hello->epochs[i] == 0)
            continue;
        pack_u64(out, i);
        pack_u64(out, hello->epochs[i]);
    }
    pack_u64(out, hello->bulk_port);
}

bool link_shared_hello_next(unpack_t *in, link_shared_hello_t *hello)
{
    uint64_t partitions, owned, port, last = 0;

    memset(hello, 0, sizeof *hello);
    if (!address_next(in, hello->address))
        return false;
    (void)unpack_fixed(in, hello->heard.bytes, HASH_BYTES);
    hello->known = unpack_bool(in);
    (void)unpack_fixed(in, hello->cluster.bytes, HASH_BYTES);
    partitions = unpack_u64(in);
    owned = unpack_u64(in);
    if (in->failed || partitions == 0 || partitions > BIRTH_PARTITIONS_MAX ||
        owned > partitions + 1)
        return false;
    hello->partitions = (uint16_t)partitions;
    for (uint64_t i = 0; i < owned; i++) {
        uint64_t partition = unpack_u64(in);
        uint64_t epoch = unpack_u64(in);

        if (in->failed || partition > partitions || epoch == 0 || (i > 0 && partition <= last))
            return false;
        hello->epochs[partition] = epoch;
        last = partition;
    }
    port = unpack_u64(in);
    hello->bulk_port = (uint16_t)port;
    return !in->failed && port <= UINT16_MAX;
}

static bool command_skip(unpack_t *in)
{
    link_command_t item;

    return link_command_next(in, &item);
}

static bool result_skip(unpack_t *in)
{
    link_result_t item;

    return link_result_next(in, &item);
}

static bool message_skip(unpack_t *in)
{
    link_message_t item;

    return link_message_next(in, &item);
}

static bool hello_skip(unpack_t *in)
{
    link_hello_t hello;

    return link_hello_next(in, &hello);
}

static bool shared_hello_skip(unpack_t *in)
{
    link_shared_hello_t hello;

    return link_shared_hello_next(in, &hello);
}

/* Of a HELLO: one that could be dialled. */
static bool address_next(unpack_t *in, char address[ADDRESS_BYTES])
{
    const char *text = NULL;
    size_t bytes = unpack_text(in, &text);

    if (in->failed || bytes == 0 || bytes >= ADDRESS_BYTES)
        return false;
    memcpy(address, text, bytes);
    address[bytes] = '\0';
    return strlen(address) == bytes && address_check(address, NULL, NULL, NULL) == ERR_NONE;
}

static bool blob_skip(unpack_t *in)
{
    const void *bytes = NULL;

    (void)unpack_blob(in, &bytes);
    return !in->failed;
}

/* Heartbeats carry all they say in the header. */
static bool nothing_skip(unpack_t *in)
{
    return unpack_nil(in);
}

/* Cuts to the room there is; a NUL inside ends the text early. */
static void text_copy(char *out, size_t room, const char *text, size_t n)
{
    size_t bytes = n < room ? n : room - 1;

    if (bytes > 0)
        memcpy(out, text, bytes);
    out[bytes] = '\0';
}
