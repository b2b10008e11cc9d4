/* migrate_plan.c - the plan as a msgpack file with its own hash at the end */
#include "node/migrate_plan.h"

#include "protocol/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PLAN_VERSION    1
#define PLAN_BYTES_MAX  ((size_t)4 * 1024 * 1024)
#define PLAN_PATH_BYTES 4096

static void derive_histories(migrate_plan_t *self)
{
    uint8_t bytes[HASH_BYTES + 2];

    for (uint16_t p = 0; p <= self->partitions; p++) {
        memcpy(bytes, self->id.bytes, HASH_BYTES);
        be16_put(bytes + HASH_BYTES, p);
        self->histories[p] = hash_bytes(bytes, sizeof bytes);
    }
}

void migrate_plan_make(migrate_plan_t *self, const together_t *source, const char *prefix,
                       const random_source_t *random, int64_t wall_us)
{
    size_t n = strlen(prefix);

    INVARIANT(n < MIGRATE_PREFIX_BYTES);
    memset(self, 0, sizeof *self);
    random_fill(random, self->id.bytes, sizeof self->id.bytes);
    memcpy(self->prefix, prefix, n);
    self->cluster = source->cluster;
    self->partitions = source->partitions;
    self->begun_us = wall_us;
    for (size_t p = 0; p <= source->partitions; p++)
        self->parts[p].source = source->position[p];
    derive_histories(self);
}

static bool same_place(const position_t *a, const position_t *b)
{
    return hash_equal(&a->history, &b->history) && a->epoch == b->epoch && a->seq == b->seq &&
           a->chain == b->chain;
}

bool migrate_plan_fits(const migrate_plan_t *self, const together_t *source)
{
    if (!hash_equal(&self->cluster, &source->cluster) || self->partitions != source->partitions)
        return false;
    for (size_t p = 0; p <= source->partitions; p++)
        if (!same_place(&self->parts[p].source, &source->position[p]))
            return false;
    return true;
}

bool migrate_total_equal(const migrate_total_t *a, const migrate_total_t *b)
{
    return a->rows == b->rows && a->bytes == b->bytes && hash_equal(&a->sum, &b->sum) &&
           verify_digest_equal(&a->digest, &b->digest);
}

static void add(migrate_total_t *sum, const migrate_total_t *other)
{
    sum->rows += other->rows;
    sum->bytes += other->bytes;
    verify_sum_add(&sum->sum, &other->sum);
    verify_digest_add(&sum->digest, &other->digest);
}

void migrate_plan_sums(const migrate_plan_t *self, migrate_total_t *whole, migrate_total_t *copied)
{
    *whole = *copied = (migrate_total_t){0};
    for (size_t p = 0; p <= self->partitions; p++) {
        add(whole, &self->parts[p].whole);
        add(copied, &self->parts[p].copied);
    }
}

/* ---- as bytes ---- */

static void put_hash(buffer_t *out, const hash_t *hash)
{
    pack_blob(out, hash->bytes, sizeof hash->bytes);
}

static void get_hash(unpack_t *in, hash_t *hash)
{
    unpack_fixed(in, hash->bytes, sizeof hash->bytes);
}

static void put_position(buffer_t *out, const position_t *position)
{
    put_hash(out, &position->history);
    pack_u64(out, position->epoch);
    put_hash(out, &position->owner);
    pack_u64(out, position->seq);
    pack_u64(out, position->chain);
    pack_i64(out, position->now_us);
    pack_u64(out, position->offset);
    pack_u64(out, position->crc);
}

static void get_position(unpack_t *in, position_t *position)
{
    get_hash(in, &position->history);
    position->epoch = unpack_u64(in);
    get_hash(in, &position->owner);
    position->seq = unpack_u64(in);
    position->chain = unpack_u64(in);
    position->now_us = unpack_i64(in);
    position->offset = unpack_u64(in);
    position->crc = (uint32_t)unpack_u64(in);
}

static void put_total(buffer_t *out, const migrate_total_t *total)
{
    pack_u64(out, total->rows);
    pack_u64(out, total->bytes);
    put_hash(out, &total->sum);
    pack_u64(out, total->digest.accounts);
    pack_u64(out, total->digest.entries);
    pack_u64(out, total->digest.keys);
    pack_u64(out, total->digest.definitions);
    pack_i64(out, total->digest.points);
    put_hash(out, &total->digest.sum);
}

static void get_total(unpack_t *in, migrate_total_t *total)
{
    total->rows = unpack_u64(in);
    total->bytes = unpack_u64(in);
    get_hash(in, &total->sum);
    total->digest.accounts = unpack_u64(in);
    total->digest.entries = unpack_u64(in);
    total->digest.keys = unpack_u64(in);
    total->digest.definitions = unpack_u64(in);
    total->digest.points = unpack_i64(in);
    get_hash(in, &total->digest.sum);
}

static void encode(const migrate_plan_t *self, buffer_t *out)
{
    hash_t hash;

    pack_u64(out, PLAN_VERSION);
    put_hash(out, &self->id);
    put_hash(out, &self->cluster);
    pack_text(out, self->prefix, strlen(self->prefix));
    pack_i64(out, self->begun_us);
    pack_i64(out, self->ended_us);
    pack_u64(out, self->partitions);
    for (size_t p = 0; p <= self->partitions; p++) {
        const migrate_part_t *part = &self->parts[p];

        put_position(out, &part->source);
        put_total(out, &part->whole);
        pack_bool(out, part->begun);
        put_position(out, &part->at);
        put_total(out, &part->copied);
        pack_bool(out, part->done);
    }
    hash = hash_bytes(out->bytes, out->size);
    buffer_append(out, hash.bytes, sizeof hash.bytes);
    INVARIANT(!out->failed);
}

static errcode_t decode(migrate_plan_t *self, const buffer_t *bytes, const char *path, err_t *err)
{
    size_t n = bytes->size < HASH_BYTES ? 0 : bytes->size - HASH_BYTES;
    unpack_t in = unpack_from(bytes->bytes, n);
    hash_t hash = hash_bytes(bytes->bytes, n);
    uint64_t version = unpack_u64(&in);
    const char *prefix = NULL;
    uint64_t partitions;

    if (n == 0 || memcmp(hash.bytes, bytes->bytes + n, HASH_BYTES) != 0)
        return err_set(err, ERR_CORRUPT,
                       "%.120s is no file of a migration, or damaged: begin again with topics of "
                       "another --kafka-prefix, and without this file",
                       path);
    if (version > PLAN_VERSION)
        return err_set(err, ERR_STATE, "%.120s was written by a newer program; use that one", path);
    memset(self, 0, sizeof *self);
    get_hash(&in, &self->id);
    get_hash(&in, &self->cluster);
    n = unpack_text(&in, &prefix);
    if (!in.failed && n < MIGRATE_PREFIX_BYTES && n > 0)
        memcpy(self->prefix, prefix, n);
    self->begun_us = unpack_i64(&in);
    self->ended_us = unpack_i64(&in);
    partitions = unpack_u64(&in);
    if (in.failed || n >= MIGRATE_PREFIX_BYTES || partitions > BIRTH_PARTITIONS_MAX)
        return err_set(err, ERR_CORRUPT, "%.120s cannot be read", path);
    self->partitions = (uint16_t)partitions;
    for (size_t p = 0; p <= partitions; p++) {
        migrate_part_t *part = &self->parts[p];

        get_position(&in, &part->source);
        get_total(&in, &part->whole);
        part->begun = unpack_bool(&in);
        get_position(&in, &part->at);
        get_total(&in, &part->copied);
        part->done = unpack_bool(&in);
    }
    if (in.failed)
        return err_set(err, ERR_CORRUPT, "%.120s cannot be read", path);
    derive_histories(self);
    return ERR_NONE;
}

/* ---- the file ---- */

errcode_t migrate_plan_load(migrate_plan_t *self, const char *path, bool *found, err_t *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    errcode_t rc = ERR_NONE;
    uint8_t chunk[4096];
    buffer_t bytes;

    *found = false;
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE;
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %.120s: %s", path, strerror(errno));
    buffer_init(&bytes, PLAN_BYTES_MAX);
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_set(err, ERR_IO, "cannot read %.120s: %s", path, strerror(errno));
        if (n <= 0)
            break;
        buffer_append(&bytes, chunk, (size_t)n);
    }
    (void)close(fd);
    if (rc == ERR_NONE)
        rc = decode(self, &bytes, path, err);
    buffer_free(&bytes);
    *found = rc == ERR_NONE;
    return rc;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

/* The new name must survive a power cut. */
static errcode_t sync_parent(const char *path, err_t *err)
{
    char parent[PLAN_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    int fd;
    bool good;

    if (n == 0) {
        parent[0] = slash == NULL ? '.' : '/';
        n = 1;
    } else {
        memcpy(parent, path, n);
    }
    parent[n] = '\0';
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = fd >= 0 && fsync(fd) == 0;
    if (!good)
        (void)err_set(err, ERR_IO, "cannot sync %.120s: %s", parent, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return good ? ERR_NONE : ERR_IO;
}

errcode_t migrate_plan_store(const migrate_plan_t *self, const char *path, err_t *err)
{
    char fresh[PLAN_PATH_BYTES];
    errcode_t rc = ERR_NONE;
    size_t n = strlen(path);
    buffer_t bytes;
    int fd;

    if (n + sizeof ".new" > sizeof fresh)
        return err_set(err, ERR_INVALID, "the path of the migration's file is too long");
    memcpy(fresh, path, n);
    memcpy(fresh + n, ".new", sizeof ".new");
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot make %.120s: %s", fresh, strerror(errno));
    buffer_init(&bytes, PLAN_BYTES_MAX);
    encode(self, &bytes);
    if (!write_all(fd, bytes.bytes, bytes.size) || fsync(fd) != 0)
        rc = err_set(err, ERR_IO, "cannot write %.120s: %s", fresh, strerror(errno));
    buffer_free(&bytes);
    if (close(fd) != 0 && rc == ERR_NONE)
        rc = err_set(err, ERR_IO, "cannot write %.120s: %s", fresh, strerror(errno));
    if (rc == ERR_NONE && rename(fresh, path) != 0)
        rc = err_set(err, ERR_IO, "cannot rename %.120s: %s", fresh, strerror(errno));
    return rc == ERR_NONE ? sync_parent(path, err) : rc;
}
