/* snapshot.c - reading, checking and loading the rows of one partition; the frames they travel in */
#include "cluster/snapshot.h"

#include "actors/message.h"
#include "actors/rows.h"
#include "protocol/pack.h"
#include "storage/image.h"
#include "storage/journal.h"

#include <stdlib.h>

#define SNAPSHOT_MAGIC     0xfea2
#define SNAPSHOT_VERSION   1
#define CRC_AT             (SNAPSHOT_HEAD_BYTES - 4)
#define SESSIONS_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define CONTENT_BYTES      9      /* of a key: 'X' version */
#define WIPE_ROWS          100000 /* each step sorts what the memtables hold */

/* What is read, in this order; the rows of META are the content of definitions. */
static const family_t order[] = {FAMILY_META, FAMILY_STATE,  FAMILY_ENTRY,
                                 FAMILY_KEY,  FAMILY_OUTBOX, FAMILY_LOT};

/* How much went by, and its digest: what both sides must agree on. */
typedef struct {
    uint32_t chunks;
    uint64_t rows, bytes;
    hash_t digest; /* over the chunks so far */
} tally_t;

struct snapshot_reader {
    store_t *store;             /* borrowed */
    store_snapshot_t *snapshot; /* owned */
    store_cursor_t *cursor;     /* owned; NULL between families */
    uint16_t partition;
    position_t position;
    size_t family; /* index into order */
    tally_t tally;
    buffer_t chunk;
};

struct snapshot_loader {
    snapshot_target_t target;
    position_t position;
    tally_t tally;
    bool blank; /* there was nothing to take away */
    bool begun, empty;
    bool renewed;      /* it takes the place of a copy of another history */
    uint64_t newest;   /* definition that came */
    buffer_t sessions; /* tokens of those that stood in the copy before */
};

/* ---- frames ---- */

void snapshot_head_encode(snapshot_head_t *self, const void *body, size_t n,
                          uint8_t out[SNAPSHOT_HEAD_BYTES])
{
    self->body_bytes = (uint32_t)n;
    be16_put(out, SNAPSHOT_MAGIC);
    out[2] = SNAPSHOT_VERSION;
    out[3] = self->kind;
    be16_put(out + 4, self->partition);
    be64_put(out + 6, self->transfer);
    be32_put(out + 14, self->number);
    be32_put(out + 18, self->body_bytes);
    self->crc = crc32c(crc32c(0, out, CRC_AT), body, n);
    be32_put(out + CRC_AT, self->crc);
}

errcode_t snapshot_head_decode(snapshot_head_t *self, const void *head, size_t head_bytes,
                               const void *body, size_t n, err_t *err)
{
    const uint8_t *in = head;

    memset(self, 0, sizeof *self);
    if (head_bytes != SNAPSHOT_HEAD_BYTES || be16_get(in) != SNAPSHOT_MAGIC)
        return err_set(err, ERR_CORRUPT, "no frame of a snapshot");
    if (in[2] != SNAPSHOT_VERSION)
        return err_set(err, ERR_CORRUPT, "a snapshot of version %u, this program knows %d", in[2],
                       SNAPSHOT_VERSION);
    self->kind = in[3];
    self->partition = be16_get(in + 4);
    self->transfer = be64_get(in + 6);
    self->number = be32_get(in + 14);
    self->body_bytes = be32_get(in + 18);
    self->crc = be32_get(in + CRC_AT);
    if (self->kind == 0 || self->kind >= SNAPSHOT_KIND__END)
        return err_set(err, ERR_CORRUPT, "a snapshot's frame of unknown kind %u", self->kind);
    if (n != self->body_bytes || crc32c(crc32c(0, in, CRC_AT), body, n) != self->crc)
        return err_set(err, ERR_CORRUPT, "chunk %u of partition %u's snapshot fails its checksum",
                       self->number, self->partition);
    return ERR_NONE;
}

/* ---- what both sides compute ---- */

static void tally_chunk(tally_t *self, const void *bytes, size_t n)
{
    uint8_t both[2 * HASH_BYTES];
    hash_t chunk = hash_bytes(bytes, n);

    memcpy(both, self->digest.bytes, HASH_BYTES);
    memcpy(both + HASH_BYTES, chunk.bytes, HASH_BYTES);
    self->digest = hash_bytes(both, sizeof both);
    self->chunks++;
    self->bytes += n;
}

/* Of all chunks and the position. */
static hash_t tally_digest(const tally_t *self, const position_t *position)
{
    buffer_t whole;
    hash_t digest;

    buffer_init(&whole, SNAPSHOT_BODY_MAX);
    buffer_append(&whole, self->digest.bytes, HASH_BYTES);
    journal_position_encode(position, &whole);
    INVARIANT(!whole.failed);
    digest = hash_bytes(whole.bytes, whole.size);
    buffer_free(&whole);
    return digest;
}

/* ---- source ---- */

errcode_t snapshot_reader_open(snapshot_reader_t **self_p, store_t *store, uint16_t partition,
                               err_t *err)
{
    snapshot_reader_t *self = memory_zalloc(sizeof *self);
    bool found = false;
    errcode_t rc;

    self->store = store;
    self->partition = partition;
    buffer_init(&self->chunk, SNAPSHOT_BYTES_MAX);
    self->snapshot = store_snapshot_new(store);
    /* A copy that is being filled has no position. */
    rc = journal_position_at(store, self->snapshot, partition, &self->position, &found, err);
    if (rc == ERR_NONE && !found)
        rc = err_set(err, ERR_NOT_FOUND, "there is no complete copy of partition %u here",
                     partition);
    if (rc != ERR_NONE)
        snapshot_reader_destroy(&self);
    *self_p = self;
    return rc;
}

void snapshot_reader_destroy(snapshot_reader_t **self_p)
{
    snapshot_reader_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    store_cursor_destroy(&self->cursor);
    store_snapshot_destroy(self->store, &self->snapshot);
    buffer_free(&self->chunk);
    free(self);
}

const position_t *snapshot_reader_position(const snapshot_reader_t *self)
{
    return &self->position;
}

void snapshot_reader_begin(const snapshot_reader_t *self, buffer_t *out)
{
    journal_position_encode(&self->position, out);
}

static void open_family(snapshot_reader_t *self)
{
    uint8_t lower[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    size_t lower_bytes, upper_bytes;

    if (order[self->family] == FAMILY_META) {
        lower_bytes = key_content(lower, 0);
        upper_bytes = 1;
        upper[0] = (uint8_t)(lower[0] + 1);
    } else {
        lower_bytes = key_partition(lower, self->partition);
        upper_bytes = key_after_prefix(upper, lower, lower_bytes);
    }
    self->cursor = store_cursor_new(self->store, self->snapshot, order[self->family], lower,
                                    lower_bytes, upper, upper_bytes);
    store_cursor_first(self->cursor);
}

errcode_t snapshot_reader_next(snapshot_reader_t *self, uint32_t *number, const uint8_t **bytes,
                               size_t *n, err_t *err)
{
    bool full = false;

    buffer_reset(&self->chunk);
    while (!full && self->family < COUNT_OF(order)) {
        if (self->cursor == NULL)
            open_family(self);
        while (store_cursor_valid(self->cursor)) {
            size_t key_bytes, value_bytes;
            const uint8_t *key = store_cursor_key(self->cursor, &key_bytes);
            const uint8_t *value = store_cursor_value(self->cursor, &value_bytes);

            full = self->chunk.size > 0 &&
                   self->chunk.size + key_bytes + value_bytes + 8 > SNAPSHOT_CHUNK_BYTES;
            if (full)
                break;
            batch_put(&self->chunk, order[self->family], key, key_bytes, value, value_bytes);
            self->tally.rows++;
            store_cursor_next(self->cursor);
        }
        if (full)
            break;
        errcode_t rc = store_cursor_error(self->cursor, err);
        store_cursor_destroy(&self->cursor);
        if (rc != ERR_NONE)
            return rc;
        self->family++;
    }
    if (self->chunk.failed)
        return err_set(err, ERR_TOO_LARGE, "a row of partition %u does not fit into a chunk",
                       self->partition);
    *n = self->chunk.size;
    *bytes = self->chunk.bytes;
    if (*n > 0)
        tally_chunk(&self->tally, self->chunk.bytes, self->chunk.size);
    *number = self->tally.chunks;
    return ERR_NONE;
}

void snapshot_reader_end(const snapshot_reader_t *self, buffer_t *out)
{
    hash_t digest = tally_digest(&self->tally, &self->position);

    pack_u64(out, self->tally.rows);
    pack_u64(out, self->tally.bytes);
    pack_blob(out, digest.bytes, HASH_BYTES);
}

hash_t snapshot_reader_digest(const snapshot_reader_t *self)
{
    return tally_digest(&self->tally, &self->position);
}

/* ---- target ---- */

errcode_t snapshot_loader_open(snapshot_loader_t **self_p, const snapshot_target_t *target,
                               const void *begin, size_t n, err_t *err)
{
    snapshot_loader_t *self = memory_zalloc(sizeof *self);
    position_t here;
    bool found = false;
    bool incomplete = false;
    errcode_t rc;

    self->target = *target;
    buffer_init(&self->sessions, SESSIONS_BYTES_MAX);
    if (!journal_position_decode(&self->position, begin, n))
        rc = err_set(err, ERR_CORRUPT, "the beginning of a snapshot cannot be read");
    else
        rc = journal_stored_position(target->store, target->partition, &here, &found, err);
    if (rc == ERR_NONE)
        rc = image_incomplete(target->store, target->partition, &incomplete, err);
    /* Rows are written with a position, or behind the marker. */
    self->blank = !found && !incomplete;
    /* What is here would be lost for nothing, or the log is not the one that is followed here. */
    self->renewed = !uuid_is_zero((const uuid16_t *)target->history.bytes);
    if (rc == ERR_NONE && self->renewed && !hash_equal(&target->history, &self->position.history))
        rc = err_set(err, ERR_STATE,
                     "the snapshot of partition %u is not of the history that was adopted",
                     target->partition);
    if (rc == ERR_NONE && found && !self->renewed &&
        (!hash_equal(&here.history, &self->position.history) ||
         here.offset > self->position.offset))
        rc = err_set(err, ERR_STATE,
                     "the snapshot of partition %u stands at offset %llu%s, the copy here at %llu",
                     target->partition, (unsigned long long)self->position.offset,
                     hash_equal(&here.history, &self->position.history) ? "" : " of another log",
                     (unsigned long long)here.offset);
    if (rc != ERR_NONE)
        snapshot_loader_destroy(&self);
    *self_p = self;
    return rc;
}

/* Of the sessions that stood in the copy before, those are over that do not stand in this one; `whole` false: that cannot
 * be told, so all are. Whoever logged out behind the old copy must not stay logged in: the log of that is not read. */
static void end_sessions(snapshot_loader_t *self, bool whole)
{
    const snapshot_target_t *target = &self->target;
    buffer_t value;

    if (target->session == NULL)
        return;
    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (size_t at = 0; at + sizeof(hash_t) <= self->sessions.size; at += sizeof(hash_t)) {
        uint8_t key[BATCH_KEY_BYTES_MAX];
        hash_t token;
        bool found = false;

        memcpy(&token, self->sessions.bytes + at, sizeof token);
        buffer_reset(&value);
        if (!whole || store_get(target->store, NULL, FAMILY_STATE, key,
                                key_session(key, target->partition, &token), &value, &found,
                                NULL) != ERR_NONE)
            found = false;
        if (!found)
            target->session(target->state, &token, NULL, 0);
    }
    buffer_reset(&self->sessions);
    buffer_free(&value);
}

void snapshot_loader_destroy(snapshot_loader_t **self_p)
{
    snapshot_loader_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    end_sessions(self, false); /* none are left of a copy that is whole */
    buffer_free(&self->sessions);
    free(self);
}

/* Visits the sessions that stand in this store: tells them, or keeps their tokens. */
static errcode_t each_session(snapshot_loader_t *self, bool tell, err_t *err)
{
    const snapshot_target_t *target = &self->target;
    uint8_t lower[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    size_t n = key_tag(lower, target->partition, 'S');
    size_t m = key_after_prefix(upper, lower, n);
    store_cursor_t *cursor;
    errcode_t rc;

    if (target->session == NULL)
        return ERR_NONE;
    cursor = store_cursor_new(target->store, NULL, FAMILY_STATE, lower, n, upper, m);
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        size_t key_bytes, value_bytes;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &value_bytes);
        hash_t token;

        if (key_bytes != n + sizeof token)
            continue;
        memcpy(&token, key + n, sizeof token);
        if (tell)
            target->session(target->state, &token, value, value_bytes);
        else
            buffer_append(&self->sessions, token.bytes, sizeof token);
    }
    rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (rc == ERR_NONE && self->sessions.failed)
        rc = err_set(err, ERR_TOO_LARGE, "partition %u holds too many sessions to be filled anew",
                     target->partition);
    return rc;
}

errcode_t snapshot_loader_empty(snapshot_loader_t *self, bool *done, err_t *err)
{
    errcode_t rc = ERR_NONE;

    *done = false;
    if (!self->begun) {
        rc = each_session(self, false, err);
        if (rc != ERR_NONE)
            return rc;
        self->begun = true;
        rc = image_begin(self->target.store, self->target.partition, err);
        /* A cursor over keys or lots sorts all of them that are in memory: here they are none of it then. */
        if (rc == ERR_NONE && !self->blank)
            rc = store_flush(self->target.store, err);
    }
    if (self->blank)
        *done = rc == ERR_NONE;
    else if (rc == ERR_NONE)
        rc = image_wipe(self->target.store, self->target.partition, WIPE_ROWS, done, err);
    self->empty = rc == ERR_NONE && *done;
    return rc;
}

/* A version's content never changes, but where the partition of definitions lost its log and was adopted: what this node
 * alone has seen of the lost versions must not stand beside the new ones. */
static errcode_t check_content(snapshot_loader_t *self, const row_write_t *write, err_t *err)
{
    uint64_t version = be64_get(write->key + 1);
    bool found = false;
    buffer_t here;
    errcode_t rc;

    if (version > self->newest)
        self->newest = version;
    buffer_init(&here, BATCH_VALUE_BYTES_MAX);
    rc = store_get(self->target.store, NULL, FAMILY_META, write->key, write->key_bytes, &here,
                   &found, err);
    if (rc == ERR_NONE && found &&
        (here.size != write->value_bytes || memcmp(here.bytes, write->value, here.size) != 0))
        rc = err_set(err, ERR_STATE,
                     "definition version %llu is another one here: it is of a history that was "
                     "replaced; start this node from an empty directory",
                     (unsigned long long)version);
    buffer_free(&here);
    return rc;
}

/* A row that belongs to the partition, or the content of a definition. */
static bool row_belongs(const snapshot_loader_t *self, const row_write_t *write)
{
    if (write->is_delete)
        return false;
    if (write->family == FAMILY_META)
        return write->key_bytes == CONTENT_BYTES && write->key[0] == 'X';
    return write->family != FAMILY_LOG && write->key_bytes > sizeof(uint16_t) &&
           be16_get(write->key) == self->target.partition;
}

static errcode_t take_content(const snapshot_loader_t *self, const void *bytes, size_t n,
                              err_t *err)
{
    row_write_t write;
    size_t at = 0;
    bool corrupt = false;
    errcode_t rc = ERR_NONE;

    while (rc == ERR_NONE && batch_next(bytes, n, &at, &write, &corrupt)) {
        change_t change;

        if (write.family != FAMILY_META)
            continue;
        rc = content_decode(&change, write.value, write.value_bytes, err);
        if (rc == ERR_NONE)
            rc = catalogue_put(self->target.catalogue, change.version, change.resource, change.id,
                               change.deleted, change.json, err);
    }
    return rc;
}

errcode_t snapshot_loader_chunk(snapshot_loader_t *self, uint32_t number, const void *bytes,
                                size_t n, err_t *err)
{
    const batch_part_t part = {bytes, n};
    row_write_t write;
    uint64_t rows = 0;
    size_t at = 0;
    bool corrupt = false, content = false, strange = false;
    errcode_t rc = ERR_NONE;

    INVARIANT(self->empty);
    if (number != self->tally.chunks + 1)
        return err_set(err, ERR_CORRUPT, "chunk %u of partition %u's snapshot comes after chunk %u",
                       number, self->target.partition, self->tally.chunks);
    while (batch_next(bytes, n, &at, &write, &corrupt)) {
        strange = strange || !row_belongs(self, &write);
        content = content || write.family == FAMILY_META;
        if (!strange && rc == ERR_NONE && write.family == FAMILY_META)
            rc = check_content(self, &write, err);
        rows++;
    }
    if (corrupt || strange || rows == 0)
        return err_set(err, ERR_CORRUPT,
                       "chunk %u holds what is no row of partition %u: nothing of it is taken",
                       number, self->target.partition);
    if (rc != ERR_NONE)
        return rc;
    tally_chunk(&self->tally, bytes, n);
    self->tally.rows += rows;
    rc = store_write(self->target.store, &part, 1, false, err);
    /* In memory only what is stored: a take-over may rest on it. */
    if (rc == ERR_NONE && content)
        rc = take_content(self, bytes, n, err);
    return rc;
}

errcode_t snapshot_loader_end(snapshot_loader_t *self, uint32_t number, const void *bytes, size_t n,
                              err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint64_t rows = unpack_u64(&in);
    uint64_t sent = unpack_u64(&in);
    hash_t digest = {{0}}, own = tally_digest(&self->tally, &self->position);
    errcode_t rc;

    INVARIANT(self->empty);
    (void)unpack_fixed(&in, digest.bytes, sizeof digest.bytes);
    if (!unpack_done(&in) || number != self->tally.chunks + 1 || rows != self->tally.rows ||
        sent != self->tally.bytes || !hash_equal(&digest, &own))
        return err_set(err, ERR_CORRUPT,
                       "partition %u's snapshot is not what was read: %llu of %llu rows, digests "
                       "%s",
                       self->target.partition, (unsigned long long)self->tally.rows,
                       (unsigned long long)rows, hash_equal(&digest, &own) ? "equal" : "differ");
    if (self->renewed && self->target.definitions &&
        catalogue_version(self->target.catalogue) > self->newest)
        return err_set(err, ERR_STATE,
                       "definitions up to version %llu are here, the history that was adopted has "
                       "%llu: start this node from an empty directory",
                       (unsigned long long)catalogue_version(self->target.catalogue),
                       (unsigned long long)self->newest);
    rc = image_end(self->target.store, self->target.partition, &self->position, err);
    if (rc != ERR_NONE)
        return rc;
    end_sessions(self, true);
    return each_session(self, true, err);
}

const position_t *snapshot_loader_position(const snapshot_loader_t *self)
{
    return &self->position;
}

bool snapshot_loader_has_begun(const snapshot_loader_t *self)
{
    return self->begun;
}

uint64_t snapshot_loader_bytes(const snapshot_loader_t *self)
{
    return self->tally.bytes;
}
