/* store_memory.c - the store as ordered maps in memory, for tests and simulation
 *
 * Each family is a treap whose nodes are never changed, only shared and counted: a snapshot, a copy and the state at
 * the last sync are just another root. Priorities are hashes of the keys, so the same rows make the same tree.
 */
#include "protocol/ids.h"
#include "storage/store_ops.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PRIORITY_SEED 7

typedef struct {
    atomic_size_t shares;
    size_t key_bytes;
    size_t value_bytes;
    uint8_t bytes[]; /* key, value */
} row_t;

typedef struct node {
    atomic_size_t shares;
    uint64_t priority;
    row_t *row;         /* shared */
    struct node *left;  /* shared */
    struct node *right; /* shared */
} node_t;

typedef struct {
    node_t *roots[FAMILY__COUNT]; /* shared */
} image_t;

typedef struct {
    store_t base;
    pthread_mutex_t mutex; /* protects the roots of both images */
    image_t newest;
    image_t synced; /* what a crash leaves */
} memory_store_t;

typedef struct {
    store_snapshot_t base;
    image_t image;
} memory_view_t;

typedef struct {
    store_cursor_t base;
    node_t *root; /* shared: a cursor sees the state of its birth */
    row_t *row;   /* shared; present one */
} memory_cursor_t;

static const store_ops_t ops;
static const store_cursor_ops_t cursor_ops;

static row_t *row_new(const row_write_t *write);
static row_t *row_share(row_t *row);
static void row_drop(row_t *row);
static node_t *node_new(row_t *row, uint64_t priority, node_t *left, node_t *right);
static node_t *node_share(node_t *node);
static void node_drop(node_t *node);
static node_t *node_put(node_t *node, row_t *row, uint64_t priority);
static node_t *node_delete(node_t *node, const void *key, size_t key_bytes);
static node_t *node_merge(node_t *left, node_t *right);
static row_t *find(node_t *node, const void *key, size_t key_bytes);
static row_t *find_from(node_t *node, const void *key, size_t key_bytes, bool or_equal);
static row_t *find_before(node_t *node, const void *key, size_t key_bytes);
static int compare(const void *key, size_t key_bytes, const node_t *node);
static image_t image_share(const image_t *image);
static void image_drop(image_t *image);
static void locked(memory_store_t *self);
static void unlocked(memory_store_t *self);

store_t *store_memory_new(void)
{
    memory_store_t *self = memory_zalloc(sizeof *self);

    self->base = (store_t){.ops = &ops, .lock_fd = -1};
    INVARIANT(pthread_mutex_init(&self->mutex, NULL) == 0);
    return &self->base;
}

void store_memory_crash(store_t *base)
{
    memory_store_t *self = (memory_store_t *)base;
    image_t forgotten;

    INVARIANT(base->ops == &ops);
    locked(self);
    forgotten = self->newest;
    self->newest = image_share(&self->synced);
    unlocked(self);
    image_drop(&forgotten);
}

store_t *store_memory_copy(const store_t *base)
{
    memory_store_t *self = (memory_store_t *)base;
    memory_store_t *copy = (memory_store_t *)store_memory_new();

    INVARIANT(base->ops == &ops);
    locked(self);
    copy->newest = image_share(&self->newest);
    copy->synced = image_share(&self->synced);
    unlocked(self);
    return &copy->base;
}

static errcode_t memory_get(store_t *base, const store_snapshot_t *snapshot, family_t family,
                            const void *key, size_t key_bytes, buffer_t *value, bool *found,
                            err_t *err)
{
    memory_store_t *self = (memory_store_t *)base;
    node_t *root;
    const row_t *row;

    (void)err;
    locked(self);
    root = node_share(snapshot == NULL ? self->newest.roots[family]
                                       : ((const memory_view_t *)snapshot)->image.roots[family]);
    unlocked(self);
    row = find(root, key, key_bytes);
    if (row != NULL) {
        buffer_append(value, row->bytes + row->key_bytes, row->value_bytes);
        *found = true;
    }
    node_drop(root);
    return ERR_NONE;
}

static errcode_t memory_write(store_t *base, const batch_part_t *parts, size_t count, bool sync,
                              err_t *err)
{
    memory_store_t *self = (memory_store_t *)base;
    image_t next;
    image_t before;
    bool corrupt = false;

    locked(self);
    next = image_share(&self->newest);
    for (size_t i = 0; i < count && !corrupt; i++) {
        row_write_t write;
        size_t at = 0;

        while (batch_next(parts[i].bytes, parts[i].n, &at, &write, &corrupt)) {
            node_t *old = next.roots[write.family];

            next.roots[write.family] =
                write.is_delete ? node_delete(old, write.key, write.key_bytes)
                                : node_put(old, row_new(&write),
                                           hash64(PRIORITY_SEED, write.key, write.key_bytes));
            node_drop(old);
        }
    }
    if (corrupt) {
        unlocked(self);
        image_drop(&next);
        return err_set(err, ERR_CORRUPT,
                       "a list of row writes cannot be read; nothing of it was written");
    }
    before = self->newest;
    self->newest = next;
    image_drop(&before);
    if (sync) {
        image_drop(&self->synced);
        self->synced = image_share(&self->newest);
    }
    unlocked(self);
    return ERR_NONE;
}

static store_snapshot_t *memory_snapshot_new(store_t *base)
{
    memory_store_t *self = (memory_store_t *)base;
    memory_view_t *view = memory_zalloc(sizeof *view);

    locked(self);
    view->image = image_share(&self->newest);
    unlocked(self);
    return &view->base;
}

static void memory_snapshot_destroy(store_t *base, store_snapshot_t *snapshot)
{
    memory_view_t *view = (memory_view_t *)snapshot;

    (void)base;
    image_drop(&view->image);
    free(view);
}

static store_cursor_t *memory_cursor_new(store_t *base, const store_snapshot_t *snapshot,
                                         family_t family, const void *lower, size_t lower_bytes,
                                         const void *upper, size_t upper_bytes, size_t prefix_bytes)
{
    memory_store_t *self = (memory_store_t *)base;
    memory_cursor_t *cursor = memory_zalloc(sizeof *cursor);

    (void)prefix_bytes; /* a tree: every order costs the same */
    store_cursor_init(&cursor->base, &cursor_ops, lower, lower_bytes, upper, upper_bytes);
    locked(self);
    cursor->root =
        node_share(snapshot == NULL ? self->newest.roots[family]
                                    : ((const memory_view_t *)snapshot)->image.roots[family]);
    unlocked(self);
    return &cursor->base;
}

static void cursor_move(memory_cursor_t *self, row_t *row)
{
    row_t *old = self->row;

    /* The old row holds the key that the search was made with. */
    self->row = row == NULL ? NULL : row_share(row);
    self->base.valid = row != NULL;
    row_drop(old);
}

static void cursor_last(store_cursor_t *base)
{
    memory_cursor_t *self = (memory_cursor_t *)base;
    node_t *node = self->root;

    while (node != NULL && node->right != NULL)
        node = node->right;
    cursor_move(self, node == NULL ? NULL : node->row);
}

static void cursor_seek(store_cursor_t *base, const void *key, size_t key_bytes)
{
    memory_cursor_t *self = (memory_cursor_t *)base;

    cursor_move(self, find_from(self->root, key, key_bytes, true));
}

static void cursor_seek_before(store_cursor_t *base, const void *key, size_t key_bytes)
{
    memory_cursor_t *self = (memory_cursor_t *)base;

    cursor_move(self, find_before(self->root, key, key_bytes));
}

static void cursor_next(store_cursor_t *base)
{
    memory_cursor_t *self = (memory_cursor_t *)base;

    cursor_move(self, find_from(self->root, self->row->bytes, self->row->key_bytes, false));
}

static void cursor_prev(store_cursor_t *base)
{
    memory_cursor_t *self = (memory_cursor_t *)base;

    cursor_move(self, find_before(self->root, self->row->bytes, self->row->key_bytes));
}

static const uint8_t *cursor_key(const store_cursor_t *base, size_t *bytes)
{
    const row_t *row = ((const memory_cursor_t *)base)->row;

    *bytes = row->key_bytes;
    return row->bytes;
}

static const uint8_t *cursor_value(const store_cursor_t *base, size_t *bytes)
{
    const row_t *row = ((const memory_cursor_t *)base)->row;

    *bytes = row->value_bytes;
    return row->bytes + row->key_bytes;
}

static errcode_t cursor_error(const store_cursor_t *base, err_t *err)
{
    (void)base;
    (void)err;
    return ERR_NONE;
}

static void cursor_destroy(store_cursor_t *base)
{
    memory_cursor_t *self = (memory_cursor_t *)base;

    row_drop(self->row);
    node_drop(self->root);
    free(self);
}

static errcode_t memory_checkpoint(store_t *base, const char *directory, err_t *err)
{
    (void)base;
    return err_set(err, ERR_STATE, "a store in memory has no files to copy to %.100s", directory);
}

static errcode_t memory_flush(store_t *base, err_t *err)
{
    memory_store_t *self = (memory_store_t *)base;

    (void)err;
    locked(self);
    image_drop(&self->synced);
    self->synced = image_share(&self->newest);
    unlocked(self);
    return ERR_NONE;
}

static void memory_compact(store_t *base)
{
    (void)base;
}

static size_t rows_bytes(const node_t *node)
{
    if (node == NULL)
        return 0;
    return sizeof *node + sizeof *node->row + node->row->key_bytes + node->row->value_bytes +
           rows_bytes(node->left) + rows_bytes(node->right);
}

static size_t memory_bytes(store_t *base)
{
    memory_store_t *self = (memory_store_t *)base;
    image_t image;
    size_t sum = 0;

    locked(self);
    image = image_share(&self->newest);
    unlocked(self);
    for (size_t i = 0; i < FAMILY__COUNT; i++)
        sum += rows_bytes(image.roots[i]);
    image_drop(&image);
    return sum;
}

static void memory_metrics(store_t *base, buffer_t *out)
{
    buffer_printf(
        out,
        "# HELP fealty_store_rows_bytes Memory of all rows\n# TYPE fealty_store_rows_bytes gauge\n"
        "fealty_store_rows_bytes %zu\n",
        memory_bytes(base));
}

static void memory_destroy(store_t *base)
{
    memory_store_t *self = (memory_store_t *)base;

    image_drop(&self->newest);
    image_drop(&self->synced);
    INVARIANT(pthread_mutex_destroy(&self->mutex) == 0);
    free(self);
}

/* Returns a tree that holds the row, in place of one with the same key. The node at the top is always a new one that
 * nobody else has seen, so that a rotation may change it. Takes over the row. */
static node_t *node_put(node_t *node, row_t *row, uint64_t priority)
{
    int order;

    if (node == NULL)
        return node_new(row, priority, NULL, NULL);
    order = compare(row->bytes, row->key_bytes, node);
    if (order == 0)
        return node_new(row, priority, node_share(node->left), node_share(node->right));
    if (order < 0) {
        node_t *left = node_put(node->left, row, priority);

        if (left->priority <= node->priority)
            return node_new(row_share(node->row), node->priority, left, node_share(node->right));
        left->right =
            node_new(row_share(node->row), node->priority, left->right, node_share(node->right));
        return left;
    }
    node_t *right = node_put(node->right, row, priority);

    if (right->priority <= node->priority)
        return node_new(row_share(node->row), node->priority, node_share(node->left), right);
    right->left =
        node_new(row_share(node->row), node->priority, node_share(node->left), right->left);
    return right;
}

static node_t *node_delete(node_t *node, const void *key, size_t key_bytes)
{
    int order;

    if (node == NULL)
        return NULL;
    order = compare(key, key_bytes, node);
    if (order == 0)
        return node_merge(node->left, node->right);
    return node_new(row_share(node->row), node->priority,
                    order < 0 ? node_delete(node->left, key, key_bytes) : node_share(node->left),
                    order < 0 ? node_share(node->right) : node_delete(node->right, key, key_bytes));
}

static node_t *node_merge(node_t *left, node_t *right)
{
    if (left == NULL)
        return node_share(right);
    if (right == NULL)
        return node_share(left);
    if (left->priority > right->priority)
        return node_new(row_share(left->row), left->priority, node_share(left->left),
                        node_merge(left->right, right));
    return node_new(row_share(right->row), right->priority, node_merge(left, right->left),
                    node_share(right->right));
}

static row_t *find(node_t *node, const void *key, size_t key_bytes)
{
    while (node != NULL) {
        int order = compare(key, key_bytes, node);

        if (order == 0)
            return node->row;
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

/* First row >= key, or > key. */
static row_t *find_from(node_t *node, const void *key, size_t key_bytes, bool or_equal)
{
    row_t *best = NULL;

    while (node != NULL) {
        int order = compare(key, key_bytes, node);

        if (order < 0 || (order == 0 && or_equal)) {
            best = node->row;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

static row_t *find_before(node_t *node, const void *key, size_t key_bytes)
{
    row_t *best = NULL;

    while (node != NULL) {
        if (compare(key, key_bytes, node) > 0) {
            best = node->row;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

static int compare(const void *key, size_t key_bytes, const node_t *node)
{
    return store_key_compare(key, key_bytes, node->row->bytes, node->row->key_bytes);
}

static row_t *row_new(const row_write_t *write)
{
    row_t *row = memory_alloc(sizeof *row + write->key_bytes + write->value_bytes);

    atomic_init(&row->shares, 1);
    row->key_bytes = write->key_bytes;
    row->value_bytes = write->value_bytes;
    memcpy(row->bytes, write->key, write->key_bytes);
    if (write->value_bytes > 0)
        memcpy(row->bytes + write->key_bytes, write->value, write->value_bytes);
    return row;
}

static row_t *row_share(row_t *row)
{
    (void)atomic_fetch_add_explicit(&row->shares, 1, memory_order_relaxed);
    return row;
}

static void row_drop(row_t *row)
{
    if (row != NULL && atomic_fetch_sub_explicit(&row->shares, 1, memory_order_acq_rel) == 1)
        free(row);
}

/* Takes over all three. */
static node_t *node_new(row_t *row, uint64_t priority, node_t *left, node_t *right)
{
    node_t *node = memory_alloc(sizeof *node);

    atomic_init(&node->shares, 1);
    node->priority = priority;
    node->row = row;
    node->left = left;
    node->right = right;
    return node;
}

static node_t *node_share(node_t *node)
{
    if (node != NULL)
        (void)atomic_fetch_add_explicit(&node->shares, 1, memory_order_relaxed);
    return node;
}

static void node_drop(node_t *node)
{
    if (node == NULL || atomic_fetch_sub_explicit(&node->shares, 1, memory_order_acq_rel) != 1)
        return;
    node_drop(node->left);
    node_drop(node->right);
    row_drop(node->row);
    free(node);
}

static image_t image_share(const image_t *image)
{
    image_t shared;

    for (size_t i = 0; i < FAMILY__COUNT; i++)
        shared.roots[i] = node_share(image->roots[i]);
    return shared;
}

static void image_drop(image_t *image)
{
    for (size_t i = 0; i < FAMILY__COUNT; i++) {
        node_drop(image->roots[i]);
        image->roots[i] = NULL;
    }
}

static void locked(memory_store_t *self)
{
    INVARIANT(pthread_mutex_lock(&self->mutex) == 0);
}

static void unlocked(memory_store_t *self)
{
    INVARIANT(pthread_mutex_unlock(&self->mutex) == 0);
}

static const store_ops_t ops = {
    .get = memory_get,
    .write = memory_write,
    .snapshot_new = memory_snapshot_new,
    .snapshot_destroy = memory_snapshot_destroy,
    .cursor_new = memory_cursor_new,
    .checkpoint = memory_checkpoint,
    .flush = memory_flush,
    .compact = memory_compact,
    .metrics = memory_metrics,
    .memory_bytes = memory_bytes,
    .destroy = memory_destroy,
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
