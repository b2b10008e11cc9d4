/* store.h - rows on disk: six families of ordered keys, written in atomic batches
 *
 * Contract   store_write(sync) returns only when the batch is on stable storage. After a failed sync the
 *            process ends with a plain sentence: dirty pages may be gone, so a retry would lie. One process
 *            per directory (lock). A directory of a newer format is refused. Two makers: RocksDB, and an
 *            ordered map in memory for tests and simulation that can forget unsynced writes.
 * Threads    store_get, cursors and snapshots: any thread. store_write: any thread, writes are serialised.
 * Ownership  Values are appended to the caller's buffer. Keys and values of a cursor are borrowed until it moves.
 * Units      Bytes.
 * Errors     ERR_IO, ERR_CORRUPT with a sentence and the way out; store_open also ERR_STATE (locked, newer
 *            format, damage, shorter than what was acknowledged).
 */
#ifndef FEALTY_STORE_H
#define FEALTY_STORE_H

#include "protocol/error.h"
#include "storage/batch.h"

#define STORE_FORMAT_VERSION 1

typedef struct store store_t;
typedef struct store_snapshot store_snapshot_t;
typedef struct store_cursor store_cursor_t;

typedef struct {
    const char *directory;
    size_t cache_bytes;    /* block cache shared by all families; default 256 MiB */
    size_t memtable_bytes; /* all memtables together; default 128 MiB */
    int background_jobs;   /* default 2 */
    bool create;           /* make the directory when it is missing */
    bool read_only;        /* for tools: no lock against another reader, no writes */
    bool exclusive;        /* read_only, but locked against a node that would write meanwhile */
    bool accept_loss;      /* start although damage or a short log would refuse it */
    bool
        refilled; /* a shared log fills what a crash took: any whole prefix of the writes will do */
} store_config_t;

void store_config_default(store_config_t *config);
errcode_t store_open(store_t **self_p, const store_config_t *config, err_t *err);
void store_destroy(store_t **self_p);

/* An ordered map in memory. store_memory_crash() forgets all writes after the last synced one. */
store_t *store_memory_new(void);
void store_memory_crash(store_t *self);
/* A store of one's own directory-less copy: used to model restores from older images. */
store_t *store_memory_copy(const store_t *self);

/* Appends the value to *value and sets *found. A missing row is no error. snapshot may be NULL (newest). */
errcode_t store_get(store_t *self, const store_snapshot_t *snapshot, family_t family,
                    const void *key, size_t key_bytes, buffer_t *value, bool *found, err_t *err);

/* Writes all rows of the encoded batch(es) at once. Several parts are one atomic write. */
typedef struct {
    const void *bytes;
    size_t n;
} batch_part_t;
errcode_t store_write(store_t *self, const batch_part_t *parts, size_t count, bool sync,
                      err_t *err);

store_snapshot_t *store_snapshot_new(store_t *self);
void store_snapshot_destroy(store_t *self, store_snapshot_t **snapshot_p);

/* Keys in [lower, upper); an empty upper means no bound. Starts invalid: seek first. `snapshot` may be NULL. */
store_cursor_t *store_cursor_new(store_t *self, const store_snapshot_t *snapshot, family_t family,
                                 const void *lower, size_t lower_bytes, const void *upper,
                                 size_t upper_bytes);
/* Keys from `from` on that begin with `prefix`. Goes forward only (first, seek, next), which makes it cheap in families
 * whose rows stand in buckets while they are in memory. */
store_cursor_t *store_cursor_new_within(store_t *self, const store_snapshot_t *snapshot,
                                        family_t family, const void *prefix, size_t prefix_bytes,
                                        const void *from, size_t from_bytes);
void store_cursor_destroy(store_cursor_t **self_p);
void store_cursor_first(store_cursor_t *self);
void store_cursor_last(store_cursor_t *self);
void store_cursor_seek(store_cursor_t *self, const void *key, size_t key_bytes); /* first >= key */
void store_cursor_seek_before(store_cursor_t *self, const void *key,
                              size_t key_bytes); /* last < key */
bool store_cursor_valid(const store_cursor_t *self);
void store_cursor_next(store_cursor_t *self);
void store_cursor_prev(store_cursor_t *self);
const uint8_t *store_cursor_key(const store_cursor_t *self, size_t *bytes);
const uint8_t *store_cursor_value(const store_cursor_t *self, size_t *bytes);
errcode_t store_cursor_error(const store_cursor_t *self, err_t *err); /* check after every loop */

/* Copies a consistent image of the open store into a new directory (hard links where possible). */
errcode_t store_checkpoint(store_t *self, const char *directory, err_t *err);

/* Flush of memtables; compaction of everything (tools after a bulk load). */
errcode_t store_flush(store_t *self, err_t *err);
void store_compact(store_t *self);
/* Prometheus lines: memory, files, stalls. */
void store_metrics(void *store, buffer_t *out);
/* Sum of what RocksDB may use in memory, for the documentation and /metrics. */
size_t store_memory_bytes(store_t *self);

#endif
