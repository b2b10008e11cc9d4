/* store.c - opening a data directory, and what all makers of stores have in common */
#include "storage/store.h"

#include "protocol/log.h"
#include "storage/acked.h"
#include "storage/directory.h"
#include "storage/log_rows.h"
#include "storage/store_ops.h"
#include "storage/wal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_WRITE_FAILED 74 /* EX_IOERR of sysexits.h */
#define WAY_OUT           "restore a backup with `fealty restore`, or start with --accept-loss"

static errcode_t open_database(store_t **store, const store_config_t *config, bool existing,
                               err_t *err);
static errcode_t check_wal(const char *path, const store_config_t *config, bool *damaged,
                           err_t *err);
static errcode_t check_acked(store_t *store, const acked_t *acked, const store_config_t *config,
                             err_t *err);
static _Noreturn void end_after_failed_sync(const err_t *err);
static bool inside_lower(const store_cursor_t *self, const void *key, size_t key_bytes);
static bool inside_upper(const store_cursor_t *self, const void *key, size_t key_bytes);

void store_config_default(store_config_t *config)
{
    *config = (store_config_t){
        .cache_bytes = (size_t)256 << 20,
        .memtable_bytes = (size_t)128 << 20,
        .background_jobs = 2,
    };
}

errcode_t store_open(store_t **self_p, const store_config_t *config, err_t *err)
{
    store_t *store = NULL;
    acked_t acked = {0};
    bool acked_found = false;
    bool existing = false;
    int lock_fd = -1;
    struct stat status;
    err_t local;
    errcode_t rc = ERR_NONE;

    if (err == NULL)
        err = &local;
    *self_p = NULL;
    if (config->create && !config->read_only)
        rc = directory_make(config->directory, err);
    else if (stat(config->directory, &status) != 0)
        rc = err_set(err, ERR_STATE, "%.120s holds no ledger: %s", config->directory,
                     strerror(errno));
    if (rc != ERR_NONE)
        goto cleanup;
    rc = directory_read_format(config->directory, &existing, err);
    if (rc != ERR_NONE)
        goto cleanup;
    if (!existing && (!config->create || config->read_only)) {
        rc = err_set(err, ERR_STATE, "%.120s holds no ledger", config->directory);
        goto cleanup;
    }
    if (!config->read_only || config->exclusive) {
        rc = directory_lock(config->directory, &lock_fd, err);
        if (rc != ERR_NONE)
            goto cleanup;
    }
    /* Before the database: a running node may write a newer hint while a tool opens. */
    rc = acked_read(config->directory, &acked, &acked_found, err);
    if (rc != ERR_NONE && config->accept_loss) {
        log_warn("%s; going on without it, because loss was accepted", err->text);
        rc = ERR_NONE;
        acked_found = false;
    }
    if (rc != ERR_NONE)
        goto cleanup;
    rc = open_database(&store, config, existing, err);
    if (rc != ERR_NONE)
        goto cleanup;
    if (!existing) {
        rc = directory_write_format(config->directory, err);
        if (rc != ERR_NONE)
            goto cleanup;
    }
    if (acked_found) {
        rc = check_acked(store, &acked, config, err);
        if (rc != ERR_NONE)
            goto cleanup;
    }
    INVARIANT(store != NULL);
    store->lock_fd = lock_fd;
    lock_fd = -1;
    *self_p = store;
    store = NULL;

cleanup:
    store_destroy(&store);
    if (lock_fd >= 0)
        (void)close(lock_fd);
    return rc;
}

void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    int lock_fd;

    if (self == NULL)
        return;
    *self_p = NULL;
    lock_fd = self->lock_fd;
    self->ops->destroy(self);
    /* Last: the next process may open the database only when this one has let go of it. */
    if (lock_fd >= 0)
        (void)close(lock_fd);
}

errcode_t store_get(store_t *self, const store_snapshot_t *snapshot, family_t family,
                    const void *key, size_t key_bytes, buffer_t *value, bool *found, err_t *err)
{
    INVARIANT((unsigned)family < FAMILY__COUNT);
    INVARIANT(snapshot == NULL || snapshot->store == self);
    *found = false;
    errcode_t rc = self->ops->get(self, snapshot, family, key, key_bytes, value, found, err);
    if (rc == ERR_NONE && value->failed)
        return err_set(err, ERR_TOO_LARGE, "a row does not fit into the reader's %zu bytes",
                       value->max);
    return rc;
}

errcode_t store_write(store_t *self, const batch_part_t *parts, size_t count, bool sync, err_t *err)
{
    err_t local = {0};
    errcode_t rc;

    if (self->read_only)
        return err_set(err, ERR_STATE, "the store was opened for reading only");
    rc = self->ops->write(self, parts, count, sync, &local);
    if (rc == ERR_NONE)
        return ERR_NONE;
    /* A list of rows that cannot be read was not written at all: that is the caller's to hear. */
    if (sync && rc != ERR_CORRUPT)
        end_after_failed_sync(&local);
    return err_set(err, rc, "%s", local.text);
}

store_snapshot_t *store_snapshot_new(store_t *self)
{
    store_snapshot_t *snapshot = self->ops->snapshot_new(self);

    snapshot->store = self;
    return snapshot;
}

void store_snapshot_destroy(store_t *self, store_snapshot_t **snapshot_p)
{
    if (*snapshot_p == NULL)
        return;
    INVARIANT((*snapshot_p)->store == self);
    self->ops->snapshot_destroy(self, *snapshot_p);
    *snapshot_p = NULL;
}

store_cursor_t *store_cursor_new(store_t *self, const store_snapshot_t *snapshot, family_t family,
                                 const void *lower, size_t lower_bytes, const void *upper,
                                 size_t upper_bytes)
{
    store_cursor_t *cursor;

    INVARIANT((unsigned)family < FAMILY__COUNT);
    INVARIANT(snapshot == NULL || snapshot->store == self);
    INVARIANT(lower_bytes <= BATCH_KEY_BYTES_MAX);
    INVARIANT(upper_bytes <= BATCH_KEY_BYTES_MAX);
    cursor =
        self->ops->cursor_new(self, snapshot, family, lower, lower_bytes, upper, upper_bytes, 0);
    cursor->valid = false;
    return cursor;
}

store_cursor_t *store_cursor_new_within(store_t *self, const store_snapshot_t *snapshot,
                                        family_t family, const void *prefix, size_t prefix_bytes,
                                        const void *from, size_t from_bytes)
{
    uint8_t upper[BATCH_KEY_BYTES_MAX];
    size_t upper_bytes = prefix_bytes;
    store_cursor_t *cursor;

    INVARIANT((unsigned)family < FAMILY__COUNT);
    INVARIANT(snapshot == NULL || snapshot->store == self);
    INVARIANT(prefix_bytes > 0 && prefix_bytes <= from_bytes && from_bytes <= BATCH_KEY_BYTES_MAX);
    INVARIANT(memcmp(prefix, from, prefix_bytes) == 0);
    memcpy(upper, prefix, prefix_bytes);
    while (upper_bytes > 0 && upper[upper_bytes - 1] == 0xff)
        upper_bytes--;
    if (upper_bytes > 0)
        upper[upper_bytes - 1]++;
    cursor = self->ops->cursor_new(self, snapshot, family, from, from_bytes, upper, upper_bytes,
                                   prefix_bytes);
    cursor->valid = false;
    cursor->forward_only = true;
    return cursor;
}

void store_cursor_init(store_cursor_t *self, const store_cursor_ops_t *ops, const void *lower,
                       size_t lower_bytes, const void *upper, size_t upper_bytes)
{
    self->ops = ops;
    self->lower_bytes = lower_bytes;
    self->upper_bytes = upper_bytes;
    if (lower_bytes > 0)
        memcpy(self->lower, lower, lower_bytes);
    if (upper_bytes > 0)
        memcpy(self->upper, upper, upper_bytes);
}

void store_cursor_destroy(store_cursor_t **self_p)
{
    if (*self_p != NULL)
        (*self_p)->ops->destroy(*self_p);
    *self_p = NULL;
}

void store_cursor_first(store_cursor_t *self)
{
    self->ops->seek(self, self->lower, self->lower_bytes);
    self->valid = self->valid && inside_upper(self, NULL, 0);
}

void store_cursor_last(store_cursor_t *self)
{
    INVARIANT(!self->forward_only);
    if (self->upper_bytes > 0)
        self->ops->seek_before(self, self->upper, self->upper_bytes);
    else
        self->ops->last(self);
    self->valid = self->valid && inside_lower(self, NULL, 0);
}

void store_cursor_seek(store_cursor_t *self, const void *key, size_t key_bytes)
{
    if (inside_lower(self, key, key_bytes))
        self->ops->seek(self, key, key_bytes);
    else
        self->ops->seek(self, self->lower, self->lower_bytes);
    self->valid = self->valid && inside_upper(self, NULL, 0);
}

void store_cursor_seek_before(store_cursor_t *self, const void *key, size_t key_bytes)
{
    INVARIANT(!self->forward_only);
    if (inside_upper(self, key, key_bytes))
        self->ops->seek_before(self, key, key_bytes);
    else
        self->ops->seek_before(self, self->upper, self->upper_bytes);
    self->valid = self->valid && inside_lower(self, NULL, 0);
}

bool store_cursor_valid(const store_cursor_t *self)
{
    return self->valid;
}

void store_cursor_next(store_cursor_t *self)
{
    INVARIANT(self->valid);
    self->ops->next(self);
    self->valid = self->valid && inside_upper(self, NULL, 0);
}

void store_cursor_prev(store_cursor_t *self)
{
    INVARIANT(!self->forward_only);
    INVARIANT(self->valid);
    self->ops->prev(self);
    self->valid = self->valid && inside_lower(self, NULL, 0);
}

const uint8_t *store_cursor_key(const store_cursor_t *self, size_t *bytes)
{
    INVARIANT(self->valid);
    return self->ops->key(self, bytes);
}

const uint8_t *store_cursor_value(const store_cursor_t *self, size_t *bytes)
{
    INVARIANT(self->valid);
    return self->ops->value(self, bytes);
}

errcode_t store_cursor_error(const store_cursor_t *self, err_t *err)
{
    return self->ops->error(self, err);
}

errcode_t store_checkpoint(store_t *self, const char *directory, err_t *err)
{
    errcode_t rc;

    if (self->read_only)
        return err_set(err, ERR_STATE, "a store opened for reading only makes no checkpoint");
    rc = directory_make(directory, err);
    if (rc != ERR_NONE)
        return rc;
    rc = self->ops->checkpoint(self, directory, err);
    if (rc != ERR_NONE)
        return rc;
    /* Last: a directory without it is no complete copy. */
    return directory_write_format(directory, err);
}

errcode_t store_flush(store_t *self, err_t *err)
{
    return self->read_only ? ERR_NONE : self->ops->flush(self, err);
}

void store_compact(store_t *self)
{
    if (!self->read_only)
        self->ops->compact(self);
}

void store_metrics(void *store, buffer_t *out)
{
    store_t *self = store;

    self->ops->metrics(self, out);
}

size_t store_memory_bytes(store_t *self)
{
    return self->ops->memory_bytes(self);
}

int store_key_compare(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    size_t shared = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = shared > 0 ? memcmp(a, b, shared) : 0;

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static errcode_t open_database(store_t **store, const store_config_t *config, bool existing,
                               err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    bool damaged = false;
    errcode_t rc;

    if (!directory_path(path, config->directory, "db"))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    if (existing && !config->refilled) {
        rc = check_wal(path, config, &damaged, err);
        if (rc != ERR_NONE)
            return rc;
    }
    return store_rocksdb_open(store, path, config, existing, damaged, err);
}

static errcode_t check_wal(const char *path, const store_config_t *config, bool *damaged,
                           err_t *err)
{
    wal_report_t report;
    errcode_t rc = wal_check(path, &report, err);

    if (rc != ERR_NONE)
        return rc;
    *damaged = report.damaged;
    if (report.damaged && !config->accept_loss)
        return err_set(err, ERR_STATE,
                       "the write-ahead log is damaged (%s, byte %" PRIu64 ": %s): " WAY_OUT,
                       report.file, report.offset, report.reason);
    if (report.damaged)
        log_warn("the write-ahead log is damaged (%s, byte %" PRIu64
                 ": %s); what was written after that is lost, because loss was accepted",
                 report.file, report.offset, report.reason);
    if (report.torn && report.bytes > 0 && !config->read_only) {
        log_info("cutting %" PRIu64 " bytes of an unfinished write off %s", report.bytes,
                 report.file);
        return wal_trim(path, &report, err);
    }
    return ERR_NONE;
}

/* Damage of the very last record looks like a torn write, and a file may be gone as a whole: the hint beside the
 * store tells. */
static errcode_t check_acked(store_t *store, const acked_t *acked, const store_config_t *config,
                             err_t *err)
{
    for (uint32_t i = 0; i < acked->count; i++) {
        position_t position;
        uint64_t next_ordinal;
        bool found;
        errcode_t rc;

        if (acked->seq[i] == 0)
            continue;
        rc = log_rows_position(store, (uint16_t)i, &position, &next_ordinal, &found, err);
        if (rc != ERR_NONE)
            return rc;
        if (!found)
            position.seq = 0;
        if (position.seq >= acked->seq[i])
            continue;
        if (!config->accept_loss)
            return err_set(err, ERR_STATE,
                           "partition %" PRIu32 " ends at record %" PRIu64 ", but %" PRIu64
                           " was acknowledged: " WAY_OUT,
                           i, position.seq, acked->seq[i]);
        log_warn("partition %" PRIu32 " ends at record %" PRIu64 ", but %" PRIu64
                 " was acknowledged; going on because loss was accepted",
                 i, position.seq, acked->seq[i]);
    }
    return ERR_NONE;
}

/* Pages that could not be written may have been dropped by the kernel: a second fsync would report success for
 * changes that are gone. Only a restart, which reads what is really there, can tell. */
static _Noreturn void end_after_failed_sync(const err_t *err)
{
    char text[512];
    int n =
        snprintf(text, sizeof text,
                 "fealty: writing to disk failed (%s); the process ends now, nothing unwritten was "
                 "acknowledged. Check the disk (full? broken?) and start again.\n",
                 err->text);

    if (n > (int)sizeof text - 1)
        n = (int)sizeof text - 1;
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(EXIT_WRITE_FAILED);
    _exit(EXIT_WRITE_FAILED);
}

/* key NULL: the cursor's present one. */
static bool inside_lower(const store_cursor_t *self, const void *key, size_t key_bytes)
{
    if (self->lower_bytes == 0)
        return true;
    if (key == NULL)
        key = self->ops->key(self, &key_bytes);
    return store_key_compare(key, key_bytes, self->lower, self->lower_bytes) >= 0;
}

static bool inside_upper(const store_cursor_t *self, const void *key, size_t key_bytes)
{
    if (self->upper_bytes == 0)
        return true;
    if (key == NULL)
        key = self->ops->key(self, &key_bytes);
    return store_key_compare(key, key_bytes, self->upper, self->upper_bytes) < 0;
}
