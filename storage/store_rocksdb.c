/* store_rocksdb.c - the store on disk: one RocksDB database, one column family per family of rows
 *
 * The only file that knows RocksDB. Settings and their reasons: store_settings() and storage/README.md.
 */
#include "protocol/log.h"
#include "storage/directory.h"
#include "storage/row_order.h"
#include "storage/store_ops.h"

#include <inttypes.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS           (FAMILY__COUNT + 1) /* RocksDB insists on one called default; it stays empty */
#define WRITERS_MAX       16                  /* prepared write batches kept for reuse */
#define WRITER_KEPT_BYTES ((size_t)4 << 20)
#define WAL_BYTES_MAX     ((uint64_t)128 << 20)
#define LEVELS            7

enum { RECOVER_TOLERATE_TORN_TAIL = 0, RECOVER_POINT_IN_TIME = 2, RECOVER_SKIP_DAMAGED = 3 };
enum { CHECKSUM_XXH3 = 4, LOG_LEVEL_WARN = 2 };

/* What one write needs; a thread borrows one from the store. */
typedef struct {
    rocksdb_writebatch_t *batch; /* owned */
    row_order_t order;
} writer_t;

typedef struct {
    store_t base;
    rocksdb_t *db;
    rocksdb_options_t *options[COLUMNS]; /* [0] also holds the database's */
    rocksdb_column_family_handle_t *columns[COLUMNS];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read_newest;
    rocksdb_writeoptions_t *write_synced;
    rocksdb_writeoptions_t *write_unsynced;
    size_t memory_configured;
    pthread_mutex_t mutex;          /* protects writers */
    writer_t *writers[WRITERS_MAX]; /* owned */
    size_t writer_count;
} rocksdb_store_t;

typedef struct {
    store_snapshot_t base;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *options;
} rocksdb_view_t;

typedef struct {
    store_cursor_t base;
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *options; /* borrows base.lower and base.upper */
} rocksdb_cursor_t;

/* The skip list of a large memtable costs a cache miss per level, a third of an earn's processor time. Keys are looked up
 * whole and hardly ever scanned: buckets by customer; lots are read an account at a time: buckets by account. The log is written and, while it is in memory, read only by a tool:
 * an array. */
typedef enum { MEMTABLE_SKIP_LIST, MEMTABLE_BUCKETS, MEMTABLE_ARRAY } memtable_t;

/* How rows of a family come and go decides its settings. */
typedef struct {
    const char *name;
    bool random_reads;     /* single rows by whole key: small blocks, memtable filter */
    bool asked_rows_exist; /* a row that is asked for is there, nearly always */
    size_t block_bytes;
    size_t memtable_bytes_max;
    memtable_t memtable;
    int level0_files; /* as many are gathered before they are merged into the next level */
    size_t
        bucket_key_bytes; /* rows that agree in as many first bytes of their keys share a bucket */
} family_settings_t;

static const family_settings_t families[FAMILY__COUNT] = {
    [FAMILY_STATE] = {"state", true, false, 4096, (size_t)64 << 20, MEMTABLE_SKIP_LIST, 4, 0},
    [FAMILY_ENTRY] = {"entry", false, true, 16384, (size_t)32 << 20, MEMTABLE_SKIP_LIST, 16, 0},
    [FAMILY_KEY] = {"key", true, false, 4096, (size_t)64 << 20, MEMTABLE_BUCKETS, 8, 20},
    [FAMILY_OUTBOX] = {"outbox", false, false, 4096, (size_t)16 << 20, MEMTABLE_SKIP_LIST, 4, 0},
    [FAMILY_META] = {"meta", false, false, 4096, (size_t)4 << 20, MEMTABLE_SKIP_LIST, 4, 0},
    [FAMILY_LOG] = {"log", false, true, 16384, (size_t)32 << 20, MEMTABLE_ARRAY, 24, 0},
    [FAMILY_LOT] = {"lot", false, true, 4096, (size_t)32 << 20, MEMTABLE_BUCKETS, 8, 10},
};

static const store_ops_t ops;
static const store_cursor_ops_t cursor_ops;

static void set_database(rocksdb_options_t *options, const store_config_t *config);
#define BUCKETS 100000

static char *prefix_transform(void *state, const char *key, size_t bytes, size_t *prefix_bytes)
{
    const family_settings_t *family = state;

    *prefix_bytes = bytes < family->bucket_key_bytes ? bytes : family->bucket_key_bytes;
    return (char *)(uintptr_t)key; /* lent, as the interface has it */
}

static unsigned char prefix_in_domain(void *state, const char *key, size_t bytes)
{
    (void)state;
    (void)key;
    (void)bytes;
    return 1;
}

static unsigned char prefix_in_range(void *state, const char *prefix, size_t bytes)
{
    (void)state;
    (void)prefix;
    (void)bytes;
    return 0;
}

static const char *prefix_name(void *state)
{
    return ((const family_settings_t *)state)->bucket_key_bytes == 10 ? "fealty.account"
                                                                      : "fealty.customer";
}

static void prefix_destroy(void *state)
{
    (void)state;
}

static void set_memtable(rocksdb_options_t *options, const family_settings_t *family)
{
    if (family->memtable == MEMTABLE_ARRAY)
        rocksdb_options_set_memtable_vector_rep(options);
    if (family->memtable != MEMTABLE_BUCKETS)
        return;
    /* Iterators lie across prefixes unless they ask for total order: every cursor does that stays not within one. */
    rocksdb_options_set_prefix_extractor(
        options,
        rocksdb_slicetransform_create((void *)(uintptr_t)family, prefix_destroy, prefix_transform,
                                      prefix_in_domain, prefix_in_range, prefix_name));
    rocksdb_options_set_hash_link_list_rep(options, BUCKETS);
}

static void set_family(rocksdb_options_t *options, const family_settings_t *family,
                       const store_config_t *config, rocksdb_cache_t *cache);
static errcode_t open_with_mode(rocksdb_store_t *self, const char *path, bool read_only, int mode,
                                err_t *err);
static void rocks_destroy(store_t *base);
static errcode_t failed(err_t *err, char *message, const char *what);
static void emit_rows(rocksdb_store_t *self, writer_t *writer);
static writer_t *writer_take(rocksdb_store_t *self);
static void writer_give(rocksdb_store_t *self, writer_t *writer);
static void writer_destroy(writer_t *writer);
static uint64_t property_sum(rocksdb_store_t *self, const char *name);
static uint64_t property(rocksdb_store_t *self, const char *name);

errcode_t store_rocksdb_open(store_t **self_p, const char *path, const store_config_t *config,
                             bool existing, bool damaged, err_t *err)
{
    rocksdb_store_t *self = memory_zalloc(sizeof *self);
    int attempts =
        config->read_only ? 3 : 1; /* a running node may drop files between our look and our open */
    errcode_t rc;

    *self_p = NULL;
    self->base = (store_t){.ops = &ops, .read_only = config->read_only, .lock_fd = -1};
    INVARIANT(pthread_mutex_init(&self->mutex, NULL) == 0);
    self->memory_configured = config->cache_bytes + config->memtable_bytes;
    self->cache = rocksdb_cache_create_lru(config->cache_bytes);
    for (size_t i = 0; i < COLUMNS; i++) {
        self->options[i] = rocksdb_options_create();
        set_database(self->options[i], config);
        rocksdb_options_set_create_if_missing(self->options[i], !existing);
        set_family(self->options[i], i == 0 ? &families[FAMILY_META] : &families[i - 1], config,
                   self->cache);
    }
    self->read_newest = rocksdb_readoptions_create();
    self->write_synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(self->write_synced, 1);
    self->write_unsynced = rocksdb_writeoptions_create();

    do {
        rc = open_with_mode(
            self, path, config->read_only,
            damaged || config->refilled ? RECOVER_POINT_IN_TIME : RECOVER_TOLERATE_TORN_TAIL, err);
    } while (rc == ERR_IO && --attempts > 0);
    if (rc == ERR_CORRUPT && config->accept_loss) {
        /* Families whose files are newer than the damage make the strict modes give up. */
        log_warn(
            "%s; opening without what cannot be read, because loss was accepted: run fealty verify",
            err->text);
        rc = open_with_mode(self, path, config->read_only, RECOVER_SKIP_DAMAGED, err);
    }
    if (rc != ERR_NONE) {
        const err_t kept = *err;

        rocks_destroy(&self->base);
        if (rc != ERR_CORRUPT)
            return rc;
        return err_set(
            err, ERR_STATE,
            "%.110s: restore a backup with `fealty restore`, or start with --accept-loss",
            kept.text);
    }
    *self_p = &self->base;
    return ERR_NONE;
}

static errcode_t open_with_mode(rocksdb_store_t *self, const char *path, bool read_only, int mode,
                                err_t *err)
{
    const char *names[COLUMNS] = {"default"};
    char *message = NULL;

    for (size_t i = 1; i < COLUMNS; i++)
        names[i] = families[i - 1].name;
    for (size_t i = 0; i < COLUMNS; i++)
        rocksdb_options_set_wal_recovery_mode(self->options[i], mode);
    if (read_only)
        self->db = rocksdb_open_for_read_only_column_families(
            self->options[0], path, COLUMNS, names, (const rocksdb_options_t *const *)self->options,
            self->columns, 0, &message);
    else
        self->db = rocksdb_open_column_families(self->options[0], path, COLUMNS, names,
                                                (const rocksdb_options_t *const *)self->options,
                                                self->columns, &message);
    if (message == NULL)
        return ERR_NONE;
    self->db = NULL;
    memset(self->columns, 0, sizeof self->columns);
    return failed(err, message, "opening the database");
}

/* What holds for the database as a whole. */
static void set_database(rocksdb_options_t *options, const store_config_t *config)
{
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_db_write_buffer_size(options, config->memtable_bytes);
    /* A start replays the log: its size is the time a start takes. */
    rocksdb_options_set_max_total_wal_size(options, WAL_BYTES_MAX);
    /* Recycled log files hold old records behind the new ones; damage could then not be told from age. */
    rocksdb_options_set_recycle_log_file_num(options, 0);
    /* A tool that reads beside a running node opens all files at once, before the node drops them. */
    rocksdb_options_set_max_open_files(options, config->read_only ? -1 : 1024);
    rocksdb_options_set_max_background_jobs(options, config->background_jobs);
    /* Compaction can wait, customers cannot. Flushes keep their priority: a full memtable stops writes. */
    rocksdb_env_t *env = rocksdb_create_default_env();
    rocksdb_env_lower_thread_pool_cpu_priority(env);
    rocksdb_options_set_env(options, env);
    rocksdb_env_destroy(env); /* the default one is the process's and stays */
    rocksdb_options_set_bytes_per_sync(options, (uint64_t)1 << 20);
    /* One thread inserts: batches come from a handful of shard threads, and the plain insert keeps the place of the
     * last one, which makes ascending keys cheap. */
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_enable_pipelined_write(options, 0);
    rocksdb_options_set_unordered_write(options, 0);
    rocksdb_options_set_info_log_level(options, LOG_LEVEL_WARN);
    rocksdb_options_set_max_log_file_size(options, (size_t)8 << 20);
    rocksdb_options_set_keep_log_file_num(options, 4);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options,
                                                     1); /* start-up must not grow with the data */
}

static void set_family(rocksdb_options_t *options, const family_settings_t *family,
                       const store_config_t *config, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    int compression[LEVELS] = {rocksdb_no_compression};
    size_t memtable_bytes = config->memtable_bytes / 2;

    /* Files of level 0 are rewritten within seconds or minutes; everything below is compressed. */
    for (size_t i = 1; i < LEVELS; i++)
        compression[i] = rocksdb_lz4_compression;
    rocksdb_options_set_compression_per_level(options, compression, LEVELS);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_write_buffer_size(options, memtable_bytes < family->memtable_bytes_max
                                                       ? memtable_bytes
                                                       : family->memtable_bytes_max);
    /* A merge rewrites the whole next level: each file spans all partitions. The more files it takes at once, the less
     * often; rows that are looked up one by one pay with a filter per file. */
    rocksdb_options_set_level0_file_num_compaction_trigger(options, family->level0_files);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, 20 + 2 * family->level0_files);
    rocksdb_options_set_level0_stop_writes_trigger(options, 36 + 3 * family->level0_files);
    if (family->random_reads) {
        /* Most keys asked for are new: the filter saves the search through the memtable's skip list. */
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02);
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
        rocksdb_block_based_options_set_data_block_index_type(
            table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    }
    /* Who asks for an entry or a record has its number and finds it: a filter of the last level, by far the largest,
     * would only say yes. */
    rocksdb_options_set_optimize_filters_for_hits(options, family->asked_rows_exist);
    set_memtable(options, family);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(table, 1);
    /* Filters of 10 billion keys need 12 GB: they live in pieces in the cache like any other block. */
    rocksdb_block_based_options_set_index_type(
        table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(table, 1);
    rocksdb_block_based_options_set_metadata_block_size(table, 4096);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, family->block_bytes);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_checksum(table, CHECKSUM_XXH3);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

static void rocks_destroy(store_t *base)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;

    if (self->db != NULL) {
        rocksdb_cancel_all_background_work(self->db, 1);
        for (size_t i = 0; i < COLUMNS; i++)
            rocksdb_column_family_handle_destroy(self->columns[i]);
        rocksdb_close(self->db);
    }
    for (size_t i = 0; i < self->writer_count; i++)
        writer_destroy(self->writers[i]);
    rocksdb_writeoptions_destroy(self->write_unsynced);
    rocksdb_writeoptions_destroy(self->write_synced);
    rocksdb_readoptions_destroy(self->read_newest);
    for (size_t i = 0; i < COLUMNS; i++)
        rocksdb_options_destroy(self->options[i]);
    rocksdb_cache_destroy(self->cache);
    INVARIANT(pthread_mutex_destroy(&self->mutex) == 0);
    free(self);
}

static errcode_t rocks_get(store_t *base, const store_snapshot_t *snapshot, family_t family,
                           const void *key, size_t key_bytes, buffer_t *value, bool *found,
                           err_t *err)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;
    const rocksdb_readoptions_t *options =
        snapshot == NULL ? self->read_newest : ((const rocksdb_view_t *)snapshot)->options;
    char *message = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        self->db, options, self->columns[family + 1], key, key_bytes, &message);

    if (message != NULL)
        return failed(err, message, "reading a row");
    if (slice != NULL) {
        size_t n;
        const char *bytes = rocksdb_pinnableslice_value(slice, &n);

        buffer_append(value, bytes, n);
        *found = true;
        rocksdb_pinnableslice_destroy(slice);
    }
    return ERR_NONE;
}

static errcode_t rocks_write(store_t *base, const batch_part_t *parts, size_t count, bool sync,
                             err_t *err)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;
    writer_t *writer = writer_take(self);
    char *message = NULL;
    bool corrupt = false;

    for (size_t i = 0; i < count && !corrupt; i++) {
        row_write_t row;
        size_t at = 0;

        while (batch_next(parts[i].bytes, parts[i].n, &at, &row, &corrupt)) {
            if (!row_order_add(&writer->order, &row)) {
                emit_rows(self, writer);
                INVARIANT(row_order_add(&writer->order, &row));
            }
        }
    }
    if (!corrupt) {
        emit_rows(self, writer);
        rocksdb_write(self->db, sync ? self->write_synced : self->write_unsynced, writer->batch,
                      &message);
    }
    writer_give(self, writer);
    if (corrupt)
        return err_set(err, ERR_CORRUPT,
                       "a list of row writes cannot be read; nothing of it was written");
    return message == NULL ? ERR_NONE : failed(err, message, "writing rows");
}

static store_snapshot_t *rocks_snapshot_new(store_t *base)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;
    rocksdb_view_t *view = memory_zalloc(sizeof *view);

    view->snapshot = rocksdb_create_snapshot(self->db);
    view->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(view->options, view->snapshot);
    return &view->base;
}

static void rocks_snapshot_destroy(store_t *base, store_snapshot_t *snapshot)
{
    rocksdb_view_t *view = (rocksdb_view_t *)snapshot;

    rocksdb_readoptions_destroy(view->options);
    rocksdb_release_snapshot(((rocksdb_store_t *)base)->db, view->snapshot);
    free(view);
}

static store_cursor_t *rocks_cursor_new(store_t *base, const store_snapshot_t *snapshot,
                                        family_t family, const void *lower, size_t lower_bytes,
                                        const void *upper, size_t upper_bytes, size_t prefix_bytes)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;
    rocksdb_cursor_t *cursor = memory_zalloc(sizeof *cursor);

    store_cursor_init(&cursor->base, &cursor_ops, lower, lower_bytes, upper, upper_bytes);
    cursor->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(cursor->options,
                                             families[family].bucket_key_bytes == 0 ||
                                                 prefix_bytes < families[family].bucket_key_bytes);
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(cursor->options,
                                         ((const rocksdb_view_t *)snapshot)->snapshot);
    /* Bounds let RocksDB stop before it reads blocks and tombstones that nobody wants. */
    if (lower_bytes > 0)
        rocksdb_readoptions_set_iterate_lower_bound(cursor->options,
                                                    (const char *)cursor->base.lower, lower_bytes);
    if (upper_bytes > 0)
        rocksdb_readoptions_set_iterate_upper_bound(cursor->options,
                                                    (const char *)cursor->base.upper, upper_bytes);
    cursor->iterator =
        rocksdb_create_iterator_cf(self->db, cursor->options, self->columns[family + 1]);
    return &cursor->base;
}

static void cursor_settle(rocksdb_cursor_t *self)
{
    self->base.valid = rocksdb_iter_valid(self->iterator) != 0;
}

static void cursor_last(store_cursor_t *base)
{
    rocksdb_cursor_t *self = (rocksdb_cursor_t *)base;

    rocksdb_iter_seek_to_last(self->iterator);
    cursor_settle(self);
}

static void cursor_seek(store_cursor_t *base, const void *key, size_t key_bytes)
{
    rocksdb_cursor_t *self = (rocksdb_cursor_t *)base;

    rocksdb_iter_seek(self->iterator, key, key_bytes);
    cursor_settle(self);
}

static void cursor_seek_before(store_cursor_t *base, const void *key, size_t key_bytes)
{
    rocksdb_cursor_t *self = (rocksdb_cursor_t *)base;

    rocksdb_iter_seek_for_prev(self->iterator, key, key_bytes);
    cursor_settle(self);
    if (self->base.valid) {
        size_t n;
        const char *found = rocksdb_iter_key(self->iterator, &n);

        if (store_key_compare(found, n, key, key_bytes) >= 0) {
            rocksdb_iter_prev(self->iterator);
            cursor_settle(self);
        }
    }
}

static void cursor_next(store_cursor_t *base)
{
    rocksdb_cursor_t *self = (rocksdb_cursor_t *)base;

    rocksdb_iter_next(self->iterator);
    cursor_settle(self);
}

static void cursor_prev(store_cursor_t *base)
{
    rocksdb_cursor_t *self = (rocksdb_cursor_t *)base;

    rocksdb_iter_prev(self->iterator);
    cursor_settle(self);
}

static const uint8_t *cursor_key(const store_cursor_t *base, size_t *bytes)
{
    return (const uint8_t *)rocksdb_iter_key(((const rocksdb_cursor_t *)base)->iterator, bytes);
}

static const uint8_t *cursor_value(const store_cursor_t *base, size_t *bytes)
{
    return (const uint8_t *)rocksdb_iter_value(((const rocksdb_cursor_t *)base)->iterator, bytes);
}

static errcode_t cursor_error(const store_cursor_t *base, err_t *err)
{
    char *message = NULL;

    rocksdb_iter_get_error(((const rocksdb_cursor_t *)base)->iterator, &message);
    return message == NULL ? ERR_NONE : failed(err, message, "reading rows");
}

static void cursor_destroy(store_cursor_t *base)
{
    rocksdb_cursor_t *self = (rocksdb_cursor_t *)base;

    rocksdb_iter_destroy(self->iterator);
    rocksdb_readoptions_destroy(self->options);
    free(self);
}

static errcode_t rocks_checkpoint(store_t *base, const char *directory, err_t *err)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;
    char path[DIRECTORY_PATH_MAX];
    char *message = NULL;
    rocksdb_checkpoint_t *checkpoint;

    if (!directory_path(path, directory, "db"))
        return err_set(err, ERR_IO, "the checkpoint's path is too long");
    checkpoint = rocksdb_checkpoint_object_create(self->db, &message);
    if (message == NULL)
        rocksdb_checkpoint_create(checkpoint, path, 0,
                                  &message); /* 0: memtables first, so no log is copied */
    if (checkpoint != NULL)
        rocksdb_checkpoint_object_destroy(checkpoint);
    return message == NULL ? ERR_NONE : failed(err, message, "making a checkpoint");
}

static errcode_t rocks_flush(store_t *base, err_t *err)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *message = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    for (size_t i = 0; i < COLUMNS && message == NULL; i++)
        rocksdb_flush_cf(self->db, options, self->columns[i], &message);
    rocksdb_flushoptions_destroy(options);
    return message == NULL ? ERR_NONE : failed(err, message, "flushing memtables");
}

static void rocks_compact(store_t *base)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;

    for (size_t i = 0; i < COLUMNS; i++)
        rocksdb_compact_range_cf(self->db, self->columns[i], NULL, 0, NULL, 0);
}

static void rocks_metrics(store_t *base, buffer_t *out)
{
    static const struct {
        const char *property;
        const char *name;
        const char *help;
        bool per_family;
    } lines[] = {
        {"rocksdb.cur-size-all-mem-tables", "fealty_store_memtable_bytes", "Memory of memtables",
         true},
        {"rocksdb.block-cache-usage", "fealty_store_cache_bytes", "Memory of the block cache",
         false},
        {"rocksdb.block-cache-pinned-usage", "fealty_store_cache_pinned_bytes",
         "Part of the cache in use", false},
        {"rocksdb.estimate-table-readers-mem", "fealty_store_readers_bytes", "Memory of open files",
         true},
        {"rocksdb.total-sst-files-size", "fealty_store_files_bytes", "Size of all table files",
         true},
        {"rocksdb.estimate-pending-compaction-bytes", "fealty_store_pending_compaction_bytes",
         "Bytes that compaction should rewrite", true},
        {"rocksdb.num-running-compactions", "fealty_store_running_compactions",
         "Compactions running", false},
        {"rocksdb.num-running-flushes", "fealty_store_running_flushes", "Flushes running", false},
        {"rocksdb.is-write-stopped", "fealty_store_write_stopped",
         "1 while writes wait for compaction", false},
        {"rocksdb.actual-delayed-write-rate", "fealty_store_delayed_write_rate_bytes",
         "Bytes per second allowed while writes are slowed down, 0 otherwise", false},
        {"rocksdb.background-errors", "fealty_store_background_errors",
         "Failed flushes and compactions", false},
    };
    rocksdb_store_t *self = (rocksdb_store_t *)base;

    for (size_t i = 0; i < COUNT_OF(lines); i++)
        buffer_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", lines[i].name,
                      lines[i].help, lines[i].name, lines[i].name,
                      lines[i].per_family ? property_sum(self, lines[i].property)
                                          : property(self, lines[i].property));
}

static size_t rocks_memory_bytes(store_t *base)
{
    rocksdb_store_t *self = (rocksdb_store_t *)base;

    return self->memory_configured +
           (size_t)property_sum(self, "rocksdb.estimate-table-readers-mem");
}

/* Takes RocksDB's message apart, frees it, and says it in one sentence. */
static errcode_t failed(err_t *err, char *message, const char *what)
{
    errcode_t code =
        strncmp(message, "Corruption", strlen("Corruption")) == 0 ? ERR_CORRUPT : ERR_IO;

    (void)err_set(err, code, "%s failed: %.150s", what, message);
    rocksdb_free(message);
    return code;
}

static void emit_rows(rocksdb_store_t *self, writer_t *writer)
{
    row_order_t *order = &writer->order;

    row_order_sort(order);
    for (size_t i = 0; i < order->count; i++) {
        const row_write_t *row = &order->rows[order->ranks[i].index];
        rocksdb_column_family_handle_t *column = self->columns[row->family + 1];

        if (row->is_delete)
            rocksdb_writebatch_delete_cf(writer->batch, column, (const char *)row->key,
                                         row->key_bytes);
        else
            rocksdb_writebatch_put_cf(writer->batch, column, (const char *)row->key, row->key_bytes,
                                      (const char *)row->value, row->value_bytes);
    }
    order->count = 0;
}

/* Several shard threads may write at once; RocksDB lets one of them sync for all. Each needs a batch of its own. */
static writer_t *writer_take(rocksdb_store_t *self)
{
    writer_t *writer = NULL;

    INVARIANT(pthread_mutex_lock(&self->mutex) == 0);
    if (self->writer_count > 0)
        writer = self->writers[--self->writer_count];
    INVARIANT(pthread_mutex_unlock(&self->mutex) == 0);
    if (writer == NULL) {
        writer = memory_alloc(sizeof *writer);
        writer->batch = rocksdb_writebatch_create();
        writer->order.count = 0;
    }
    return writer;
}

static void writer_give(rocksdb_store_t *self, writer_t *writer)
{
    size_t bytes;

    (void)rocksdb_writebatch_data(writer->batch, &bytes);
    rocksdb_writebatch_clear(writer->batch);
    writer->order.count = 0;
    INVARIANT(pthread_mutex_lock(&self->mutex) == 0);
    if (self->writer_count < WRITERS_MAX && bytes <= WRITER_KEPT_BYTES) {
        self->writers[self->writer_count++] = writer;
        writer = NULL;
    }
    INVARIANT(pthread_mutex_unlock(&self->mutex) == 0);
    writer_destroy(writer);
}

static void writer_destroy(writer_t *writer)
{
    if (writer == NULL)
        return;
    rocksdb_writebatch_destroy(writer->batch);
    free(writer);
}

static uint64_t property_sum(rocksdb_store_t *self, const char *name)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < COLUMNS; i++) {
        uint64_t value;

        if (rocksdb_property_int_cf(self->db, self->columns[i], name, &value) == 0)
            sum += value;
    }
    return sum;
}

static uint64_t property(rocksdb_store_t *self, const char *name)
{
    uint64_t value;

    return rocksdb_property_int_cf(self->db, self->columns[1], name, &value) == 0 ? value : 0;
}

static const store_ops_t ops = {
    .get = rocks_get,
    .write = rocks_write,
    .snapshot_new = rocks_snapshot_new,
    .snapshot_destroy = rocks_snapshot_destroy,
    .cursor_new = rocks_cursor_new,
    .checkpoint = rocks_checkpoint,
    .flush = rocks_flush,
    .compact = rocks_compact,
    .metrics = rocks_metrics,
    .memory_bytes = rocks_memory_bytes,
    .destroy = rocks_destroy,
};

static const store_cursor_ops_t cursor_ops = {
    .last = cursor_last,
    .seek = cursor_seek,
    .seek_before = cursor_seek_before,
    .next = cursor_next,
    .prev = cursor_prev,
    .key = cursor_key,
    .value = cursor_value,
    .error = cursor_error,
    .destroy = cursor_destroy,
};
