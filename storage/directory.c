/* directory.c - lock, format mark and durable small files of a data directory */
#include "storage/directory.h"

#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME     "LOCK"
#define FORMAT_NAME   "FORMAT"
#define FORMAT_PREFIX "fealty store format "

static long lock_holder(int fd);
static bool write_all(int fd, const void *bytes, size_t n);

bool directory_path(char out[DIRECTORY_PATH_MAX], const char *directory, const char *name)
{
    int n = snprintf(out, DIRECTORY_PATH_MAX, "%s/%s", directory, name);

    return n > 0 && n < DIRECTORY_PATH_MAX;
}

errcode_t directory_make(const char *directory, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    size_t n = strlen(directory);

    if (n == 0 || n >= sizeof path)
        return err_set(err, ERR_IO, "the data directory's path is empty or too long");
    memcpy(path, directory, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char kept = path[i];
        path[i] = '\0';
        if (mkdir(path, 0750) == 0) {
            /* The new name must survive a power cut like what is written below it. */
            char *slash = strrchr(path, '/');
            errcode_t rc;

            if (slash == NULL) {
                rc = directory_sync(".", err);
            } else if (slash == path) {
                rc = directory_sync("/", err);
            } else {
                *slash = '\0';
                rc = directory_sync(path, err);
                *slash = '/';
            }
            if (rc != ERR_NONE)
                return rc;
        } else if (errno != EEXIST) {
            return err_set(err, ERR_IO, "cannot make directory %.120s: %s", path, strerror(errno));
        }
        path[i] = kept;
    }
    return ERR_NONE;
}

errcode_t directory_lock(const char *directory, int *fd, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    char text[24];
    int n;

    *fd = -1;
    if (!directory_path(path, directory, LOCK_NAME))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (*fd < 0)
        return err_set(err, ERR_IO, "cannot open %.120s: %s", path, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        bool held = errno == EWOULDBLOCK;
        long holder = lock_holder(*fd);
        int saved = errno;

        (void)close(*fd);
        *fd = -1;
        if (!held)
            return err_set(err, ERR_IO, "cannot lock %.120s: %s", path, strerror(saved));
        if (holder > 0)
            return err_set(err, ERR_STATE, "%.120s is in use by process %ld; stop it first",
                           directory, holder);
        return err_set(err, ERR_STATE, "%.120s is in use by another process; stop it first",
                       directory);
    }
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, (size_t)n, 0) != n) {
        int saved = errno;

        (void)close(*fd);
        *fd = -1;
        return err_set(err, ERR_IO, "cannot write %.120s: %s", path, strerror(saved));
    }
    return ERR_NONE;
}

bool directory_is_locked(const char *directory, long *holder)
{
    char path[DIRECTORY_PATH_MAX];
    bool locked = false;
    int fd;

    *holder = 0;
    if (!directory_path(path, directory, LOCK_NAME))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        locked = errno == EWOULDBLOCK;
        *holder = lock_holder(fd);
    }
    (void)close(fd);
    return locked;
}

errcode_t directory_read_format(const char *directory, bool *found, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    char text[64];
    char *end;
    ssize_t n;
    int fd;
    long version;

    *found = false;
    if (!directory_path(path, directory, FORMAT_NAME))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE;
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %.120s: %s", path, strerror(errno));
    n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n < 0)
        return err_set(err, ERR_IO, "cannot read %.120s: %s", path, strerror(errno));
    text[n] = '\0';
    if (strncmp(text, FORMAT_PREFIX, strlen(FORMAT_PREFIX)) != 0)
        return err_set(err, ERR_CORRUPT, "%.120s is damaged: it should read '" FORMAT_PREFIX "%d'",
                       path, STORE_FORMAT_VERSION);
    version = strtol(text + strlen(FORMAT_PREFIX), &end, 10);
    if (*end != '\n' || version <= 0)
        return err_set(err, ERR_CORRUPT, "%.120s is damaged: it should read '" FORMAT_PREFIX "%d'",
                       path, STORE_FORMAT_VERSION);
    if (version > STORE_FORMAT_VERSION)
        return err_set(err, ERR_STATE,
                       "%.100s has format %ld, this program knows up to %d; use a newer program",
                       directory, version, STORE_FORMAT_VERSION);
    *found = true;
    return ERR_NONE;
}

errcode_t directory_write_format(const char *directory, err_t *err)
{
    char text[64];
    int n = snprintf(text, sizeof text, FORMAT_PREFIX "%d\n", STORE_FORMAT_VERSION);

    return directory_replace_file(directory, FORMAT_NAME, text, (size_t)n, err);
}

errcode_t directory_replace_file(const char *directory, const char *name, const void *bytes,
                                 size_t n, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    char temporary[DIRECTORY_PATH_MAX];
    char temporary_name[64];
    int fd;
    bool written;

    (void)snprintf(temporary_name, sizeof temporary_name, "%s.new", name);
    if (!directory_path(path, directory, name) ||
        !directory_path(temporary, directory, temporary_name))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot make %.120s: %s", temporary, strerror(errno));
    written = write_all(fd, bytes, n) && fsync(fd) == 0;
    if (close(fd) != 0 || !written)
        return err_set(err, ERR_IO, "cannot write %.120s: %s", temporary, strerror(errno));
    if (rename(temporary, path) != 0)
        return err_set(err, ERR_IO, "cannot rename %.80s to %s: %s", temporary, name,
                       strerror(errno));
    return directory_sync(directory, err);
}

errcode_t directory_sync(const char *directory, err_t *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %.120s: %s", directory, strerror(errno));
    rc = fsync(fd);
    if (rc != 0)
        (void)err_set(err, ERR_IO, "cannot sync %.120s: %s", directory, strerror(errno));
    (void)close(fd);
    return rc == 0 ? ERR_NONE : ERR_IO;
}

/* 0 when the file does not say. */
static long lock_holder(int fd)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long holder;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    holder = strtol(text, NULL, 10);
    return holder > 0 ? holder : 0;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    while (n > 0) {
        ssize_t written = write(fd, at, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        n -= (size_t)written;
    }
    return true;
}
