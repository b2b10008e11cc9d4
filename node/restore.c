/* restore.c - images of all nodes become new books: checked, then given new histories, then put in place */
#include "node/backup.h"

#include "actors/adopt.h"
#include "node/together.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX  4096
#define PARTIAL         ".partial"
#define COPY_BYTES      (1024 * 1024)
#define BATCH_BYTES_MAX (64 * 1024 * 1024)

typedef struct {
    char partial[PATH_BYTES_MAX]; /* where the new books are made */
    bool copied;
    store_t *store; /* owned */
    birth_t birth;
} image_t;

typedef struct {
    image_t *images; /* owned */
    size_t count;
    hash_t salt;
    together_t together;
} restore_t;

static errcode_t make_partial(image_t *image, const char *backup, const char *target, err_t *err);
static errcode_t open_images(restore_t *self, err_t *err);
static errcode_t check_pairs(restore_t *self, err_t *err);
static errcode_t renew(restore_t *self, image_t *image, err_t *err);
static errcode_t put_in_place(const image_t *image, const char *target, err_t *err);
static errcode_t copy_tree(const char *from, const char *to, int depth, err_t *err);
static void remove_tree(const char *path, int depth);
static errcode_t sync_path(const char *path, err_t *err);

errcode_t backup_restore(const char *const *backups, const char *const *targets, size_t count,
                         const random_source_t *random, err_t *err)
{
    restore_t *self = memory_zalloc(sizeof *self);
    errcode_t rc = ERR_NONE;

    self->images = memory_zalloc(count * sizeof *self->images);
    self->count = count;
    random_fill(random, &self->salt, sizeof self->salt);
    for (size_t i = 0; rc == ERR_NONE && i < count; i++)
        rc = make_partial(&self->images[i], backups[i], targets[i], err);
    if (rc == ERR_NONE)
        rc = open_images(self, err);
    if (rc == ERR_NONE)
        rc = check_pairs(self, err);
    for (size_t i = 0; rc == ERR_NONE && i < count; i++)
        rc = renew(self, &self->images[i], err);
    for (size_t i = 0; i < count; i++)
        store_destroy(&self->images[i].store);
    for (size_t i = 0; rc == ERR_NONE && i < count; i++)
        rc = put_in_place(&self->images[i], targets[i], err);
    for (size_t i = 0; rc != ERR_NONE && i < count; i++)
        if (self->images[i].copied)
            remove_tree(self->images[i].partial, 0);
    free(self->images);
    free(self);
    return rc;
}

/* ---- the copy ---- */

static errcode_t make_partial(image_t *image, const char *backup, const char *target, err_t *err)
{
    struct stat status;
    char path[PATH_BYTES_MAX + 16];

    (void)snprintf(path, sizeof path, "%.*s/BACKUP", PATH_BYTES_MAX, backup);
    if (stat(path, &status) != 0)
        return err_set(err, ERR_STATE, "%.120s is no backup: it holds no file BACKUP", backup);
    /* An empty directory may stand where the new books go; rename() replaces it. */
    if (rmdir(target) != 0 && errno != ENOENT)
        return err_set(err, ERR_STATE, "%.120s exists already; restore into a new directory",
                       target);
    int n = snprintf(image->partial, sizeof image->partial, "%s" PARTIAL, target);
    if (n < 0 || (size_t)n >= sizeof image->partial)
        return err_set(err, ERR_INVALID, "the path of the new directory is too long");
    if (mkdir(image->partial, 0700) != 0)
        return err_set(err, ERR_IO, "cannot make %.120s: %s", image->partial, strerror(errno));
    image->copied = true;
    return copy_tree(backup, image->partial, 0, err);
}

static errcode_t copy_file(const char *from, const char *to, err_t *err)
{
    char *bytes = memory_alloc(COPY_BYTES);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    errcode_t rc = ERR_NONE;

    if (in < 0 || out < 0)
        rc = err_set(err, ERR_IO, "cannot copy %.120s: %s", from, strerror(errno));
    while (rc == ERR_NONE) {
        ssize_t n = read(in, bytes, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_set(err, ERR_IO, "cannot read %.120s: %s", from, strerror(errno));
        if (n <= 0)
            break;
        for (ssize_t at = 0; rc == ERR_NONE && at < n;) {
            ssize_t written = write(out, bytes + at, (size_t)(n - at));
            if (written > 0)
                at += written;
            else if (written == 0 || errno != EINTR)
                rc = err_set(err, ERR_IO, "cannot write %.120s: %s", to, strerror(errno));
        }
    }
    if (rc == ERR_NONE && fsync(out) != 0)
        rc = err_set(err, ERR_IO, "cannot write %.120s: %s", to, strerror(errno));
    if (in >= 0)
        (void)close(in);
    if (out >= 0 && close(out) != 0 && rc == ERR_NONE)
        rc = err_set(err, ERR_IO, "cannot write %.120s: %s", to, strerror(errno));
    free(bytes);
    return rc;
}

static bool wanted(const char *name)
{
    static const char *const left[] = {".", "..", "LOCK", "ACKED", "BACKUP"};

    for (size_t i = 0; i < COUNT_OF(left); i++)
        if (strcmp(name, left[i]) == 0)
            return false;
    return true;
}

static errcode_t copy_tree(const char *from, const char *to, int depth, err_t *err)
{
    DIR *directory = opendir(from);
    errcode_t rc = ERR_NONE;

    if (directory == NULL)
        return err_set(err, ERR_IO, "cannot read %.120s: %s", from, strerror(errno));
    for (const struct dirent *entry = readdir(directory); rc == ERR_NONE && entry != NULL;
         entry = readdir(directory)) {
        char source[PATH_BYTES_MAX];
        char goal[PATH_BYTES_MAX];
        struct stat status;

        /* Inside the database every file counts, LOCK too. */
        if (depth == 0 ? !wanted(entry->d_name) : entry->d_name[0] == '.')
            continue;
        int n = snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        int m = snprintf(goal, sizeof goal, "%s/%s", to, entry->d_name);
        if (n < 0 || m < 0 || (size_t)n >= sizeof source || (size_t)m >= sizeof goal)
            rc = err_set(err, ERR_INVALID, "a path below %.120s is too long", from);
        else if (stat(source, &status) != 0)
            rc = err_set(err, ERR_IO, "cannot read %.120s: %s", source, strerror(errno));
        else if (S_ISREG(status.st_mode))
            rc = copy_file(source, goal, err);
        else if (!S_ISDIR(status.st_mode) || depth > 1)
            rc = err_set(err, ERR_STATE, "%.120s does not belong into a backup", source);
        else if (mkdir(goal, 0700) != 0)
            rc = err_set(err, ERR_IO, "cannot make %.120s: %s", goal, strerror(errno));
        else
            rc = copy_tree(source, goal, depth + 1, err);
    }
    (void)closedir(directory);
    return rc == ERR_NONE ? sync_path(to, err) : rc;
}

static void remove_tree(const char *path, int depth)
{
    DIR *directory = opendir(path);

    for (const struct dirent *entry = directory ? readdir(directory) : NULL; entry != NULL;
         entry = readdir(directory)) {
        char child[PATH_BYTES_MAX];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int n = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof child)
            continue;
        if (unlink(child) != 0 && depth < 4)
            remove_tree(child, depth + 1);
    }
    if (directory != NULL)
        (void)closedir(directory);
    (void)rmdir(path);
}

static errcode_t sync_path(const char *path, err_t *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0) {
        errcode_t rc = err_set(err, ERR_IO, "cannot sync %.120s: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    (void)close(fd);
    return ERR_NONE;
}

static errcode_t put_in_place(const image_t *image, const char *target, err_t *err)
{
    char parent[PATH_BYTES_MAX];
    char *slash;

    if (rename(image->partial, target) != 0)
        return err_set(err, ERR_IO, "cannot rename %.120s: %s", image->partial, strerror(errno));
    (void)snprintf(parent, sizeof parent, "%s", target);
    slash = strrchr(parent, '/');
    if (slash == NULL)
        (void)snprintf(parent, sizeof parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    return sync_path(parent, err);
}

/* ---- do they belong together ---- */

static errcode_t open_image(restore_t *self, image_t *image, err_t *err)
{
    store_config_t config;
    bool found = false;
    errcode_t rc;

    store_config_default(&config);
    config.directory = image->partial;
    rc = store_open(&image->store, &config, err);
    if (rc == ERR_NONE)
        rc = genesis_load(image->store, &image->birth, &found, err);
    if (rc == ERR_NONE && (!found || !image->birth.settled))
        rc = err_set(err, ERR_STATE,
                     "the backup holds no books yet: its node had not come to serve");
    if (rc != ERR_NONE)
        return rc;

    return together_add(&self->together, image->store, &image->birth, err);
}

static errcode_t open_images(restore_t *self, err_t *err)
{
    for (size_t i = 0; i < self->count; i++) {
        errcode_t rc = open_image(self, &self->images[i], err);
        if (rc != ERR_NONE)
            return rc;
    }
    return together_whole(&self->together, err);
}

static errcode_t check_pairs(restore_t *self, err_t *err)
{
    const together_t *together = &self->together;
    buffer_t value;
    errcode_t rc = ERR_NONE;

    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (size_t src = 0; rc == ERR_NONE && src <= together->partitions; src++)
        for (size_t dst = 0; rc == ERR_NONE && dst <= together->partitions; dst++)
            rc = together_pair(together, (uint16_t)src, (uint16_t)dst, &value, err);
    buffer_free(&value);
    return rc;
}

/* ---- new histories ---- */

/* The same answer for every image of this restore: both ends of a pair learn the other's new history. */
static hash_t renewed(const restore_t *self, const hash_t *history)
{
    uint8_t both[2 * HASH_BYTES];

    memcpy(both, history->bytes, HASH_BYTES);
    memcpy(both + HASH_BYTES, self->salt.bytes, HASH_BYTES);
    return hash_bytes(both, sizeof both);
}

static errcode_t renew_pairs(restore_t *self, uint16_t p, buffer_t *value, buffer_t *batch,
                             err_t *err)
{
    const together_t *together = &self->together;
    uint8_t key[BATCH_KEY_BYTES_MAX];

    for (size_t i = 0; i <= together->partitions; i++) {
        uint16_t other = (uint16_t)i;
        pair_out_t out;
        pair_in_t in;
        errcode_t rc = together_out(together, p, other, &out, value, err);

        if (rc == ERR_NONE)
            rc = together_in(together, other, p, &in, value, err);
        if (rc != ERR_NONE)
            return rc;
        if (!hash_is_zero(&out.peer)) {
            out.peer = renewed(self, &out.peer);
            buffer_reset(value);
            pair_out_encode(&out, value);
            batch_put(batch, FAMILY_STATE, key, key_pair_out(key, p, other), value->bytes,
                      value->size);
        }
        if (!hash_is_zero(&in.peer)) {
            in.peer = renewed(self, &in.peer);
            buffer_reset(value);
            pair_in_encode(&in, value);
            batch_put(batch, FAMILY_STATE, key, key_pair_in(key, p, other), value->bytes,
                      value->size);
        }
    }
    return ERR_NONE;
}

static errcode_t renew(restore_t *self, image_t *image, err_t *err)
{
    const together_t *together = &self->together;
    buffer_t batch;
    buffer_t value;
    errcode_t rc = ERR_NONE;

    buffer_init(&batch, BATCH_BYTES_MAX);
    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (size_t i = 0; rc == ERR_NONE && i <= together->partitions; i++) {
        uint16_t p = (uint16_t)i;

        if (together->owner[p] != image->store)
            continue;
        rc = renew_pairs(self, p, &value, &batch, err);
        if (rc == ERR_NONE)
            rc = adopt_ids_ahead(image->store, p, RESTORE_AHEAD, &value, &batch, err);
        if (rc != ERR_NONE || !together->found[p])
            continue; /* an empty log gets its history with its first claim */
        position_t position = together->position[p];
        position.history = renewed(self, &position.history);
        position.owner = (hash_t){{0}};
        position.seq += RESTORE_AHEAD;
        position.offset = 0;
        position.crc = 0;
        rc = journal_embedded_override(image->store, p, &position, together->ordinal[p], &batch,
                                       err);
    }
    if (rc == ERR_NONE && batch.failed)
        rc = err_set(err, ERR_TOO_LARGE, "the new positions do not fit into one write");
    if (rc == ERR_NONE) {
        const batch_part_t part = {batch.bytes, batch.size};
        rc = store_write(image->store, &part, 1, true, err);
    }
    buffer_free(&value);
    buffer_free(&batch);
    return rc;
}
