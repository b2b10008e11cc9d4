/* store_ops.h - private: what a maker of stores provides to store.c
 *
 * Contract   store.c owns everything that all makers share: bounds of cursors, checks of arguments, the directory,
 *            the decision what a failed synced write means. A maker embeds store_t, store_cursor_t and
 *            store_snapshot_t as first members of its own structs.
 * Threads    As in store.h.
 * Ownership  destroy frees the whole struct.
 * Units      Bytes.
 * Errors     As in store.h.
 */
#ifndef FEALTY_STORE_OPS_H
#define FEALTY_STORE_OPS_H

#include "storage/store.h"

typedef struct {
    errcode_t (*get)(store_t *self, const store_snapshot_t *snapshot, family_t family,
                     const void *key, size_t key_bytes, buffer_t *value, bool *found, err_t *err);
    errcode_t (*write)(store_t *self, const batch_part_t *parts, size_t count, bool sync,
                       err_t *err);
    store_snapshot_t *(*snapshot_new)(store_t *self);
    void (*snapshot_destroy)(store_t *self, store_snapshot_t *snapshot);
    store_cursor_t *(*cursor_new)(store_t *self, const store_snapshot_t *snapshot, family_t family,
                                  const void *lower, size_t lower_bytes, const void *upper,
                                  size_t upper_bytes, size_t prefix_bytes);
    errcode_t (*checkpoint)(store_t *self, const char *directory, err_t *err);
    errcode_t (*flush)(store_t *self, err_t *err);
    void (*compact)(store_t *self);
    void (*metrics)(store_t *self, buffer_t *out);
    size_t (*memory_bytes)(store_t *self);
    void (*destroy)(store_t *self);
} store_ops_t;

struct store {
    const store_ops_t *ops;
    bool read_only;
    int lock_fd; /* owned; -1 when no directory is held */
};

struct store_snapshot {
    store_t *store; /* borrowed */
};

/* A maker sets valid after each move. store.c checks the bounds itself, before and after; a maker may use them to
 * end early. */
typedef struct {
    void (*last)(store_cursor_t *self);
    void (*seek)(store_cursor_t *self, const void *key, size_t key_bytes);
    void (*seek_before)(store_cursor_t *self, const void *key, size_t key_bytes);
    void (*next)(store_cursor_t *self);
    void (*prev)(store_cursor_t *self);
    const uint8_t *(*key)(const store_cursor_t *self, size_t *bytes);
    const uint8_t *(*value)(const store_cursor_t *self, size_t *bytes);
    errcode_t (*error)(const store_cursor_t *self, err_t *err);
    void (*destroy)(store_cursor_t *self);
} store_cursor_ops_t;

struct store_cursor {
    const store_cursor_ops_t *ops;
    bool valid;
    bool forward_only;
    size_t lower_bytes, upper_bytes;
    uint8_t lower[BATCH_KEY_BYTES_MAX];
    uint8_t upper[BATCH_KEY_BYTES_MAX]; /* upper_bytes 0: no bound */
};

void store_cursor_init(store_cursor_t *self, const store_cursor_ops_t *ops, const void *lower,
                       size_t lower_bytes, const void *upper, size_t upper_bytes);

/* Bytes as unsigned, shorter first: the order of all makers. */
int store_key_compare(const void *a, size_t a_bytes, const void *b, size_t b_bytes);

/* Opens the database in a directory. `existing`: it must be there already. `damaged`: its write-ahead log is damaged and
 * the loss was accepted: keep what stands before the damage. err is never NULL. */
errcode_t store_rocksdb_open(store_t **self_p, const char *path, const store_config_t *config,
                             bool existing, bool damaged, err_t *err);

#endif
