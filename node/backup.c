/* backup.c - takes an image of open books */
#include "node/backup.h"

#include "node/tools.h"
#include "protocol/calendar.h"
#include "storage/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define MANIFEST_MAX (256 * 1024)

static errcode_t check_target(const char *target, err_t *err);
static errcode_t describe(store_t *store, const birth_t *birth, buffer_t *out, err_t *err);
static errcode_t write_file(const char *directory, const char *name, const buffer_t *content,
                            err_t *err);

errcode_t backup_take(store_t *store, const birth_t *birth, const char *target, err_t *err)
{
    buffer_t manifest;
    errcode_t rc;

    buffer_init(&manifest, MANIFEST_MAX);
    rc = check_target(target, err);
    if (rc != ERR_NONE)
        goto cleanup;
    /* What the image holds at least: read before it is taken. */
    rc = describe(store, birth, &manifest, err);
    if (rc != ERR_NONE)
        goto cleanup;
    rc = store_checkpoint(store, target, err);
    if (rc != ERR_NONE)
        goto cleanup;
    rc = write_file(target, "BACKUP", &manifest, err);

cleanup:
    buffer_free(&manifest);
    return rc;
}

static errcode_t check_target(const char *target, err_t *err)
{
    DIR *directory;

    if (target[0] != '/')
        return err_set(err, ERR_INVALID,
                       "the backup's directory must be given with its whole path");
    directory = opendir(target);
    if (directory == NULL)
        return errno == ENOENT
                   ? ERR_NONE
                   : err_set(err, ERR_IO, "cannot use %.140s: %s", target, strerror(errno));
    bool empty = true;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = false;
    (void)closedir(directory);
    return empty ? ERR_NONE
                 : err_set(err, ERR_STATE, "%.140s is not empty; name a new directory", target);
}

static errcode_t describe(store_t *store, const birth_t *birth, buffer_t *out, err_t *err)
{
    char taken[INSTANT_TEXT_MAX + 1] = "";
    uint16_t owned[BIRTH_PARTITIONS_MAX + 1];
    size_t count = birth_owned(birth, birth->node, owned);

    taken[instant_format(clock_wall_us(clock_system()), taken)] = '\0';
    buffer_printf(out, "fealty backup 1\nmade by %s\ntaken %s\nnode %s, %u of %u\npartitions %u\n",
                  FEALTY_VERSION, taken, birth->names[birth->node], birth->node + 1u,
                  (unsigned)birth->node_count, (unsigned)birth->partitions);
    for (size_t i = 0; i < count; i++) {
        position_t position;
        uint64_t ordinal;
        bool found;
        errcode_t rc = journal_embedded_position(store, owned[i], &position, &ordinal, &found, err);

        if (rc != ERR_NONE)
            return rc;
        buffer_printf(out, "partition %u at least record %" PRIu64 "\n", (unsigned)owned[i],
                      found ? position.seq : 0);
    }
    return out->failed ? err_set(err, ERR_TOO_LARGE, "the description does not fit") : ERR_NONE;
}

static errcode_t write_file(const char *directory, const char *name, const buffer_t *content,
                            err_t *err)
{
    char path[4096 + 16];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd;
    size_t at = 0;

    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(err, ERR_INVALID, "the path is too long");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot write %.140s: %s", path, strerror(errno));
    while (at < content->size) {
        ssize_t written = write(fd, content->bytes + at, content->size - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        at += (size_t)written;
    }
    bool good = at == content->size && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 || !good)
        return err_set(err, ERR_IO, "cannot write %.140s: %s", path, strerror(saved));
    return ERR_NONE;
}
