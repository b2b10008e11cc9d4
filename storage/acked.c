/* acked.c - the hint file ACKED: little endian, one checksum over all of it */
#include "storage/acked.h"

#include "protocol/buffer.h"
#include "protocol/ids.h"
#include "storage/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACKED_NAME    "ACKED"
#define ACKED_WAY_OUT "delete it to start without this check (--accept-loss does the same)"

/* "FACK", u32 version, u32 count, u32 zero, i64 wall_us, u64 per partition, u32 crc32c of all before. */
static const uint8_t magic[4] = {'F', 'A', 'C', 'K'};
#define ACKED_VERSION    1
#define ACKED_HEAD_BYTES 24
#define ACKED_BYTES_MAX  (ACKED_HEAD_BYTES + 8 * ACKED_PARTITIONS_MAX + 4)

static void le_put(uint8_t *out, uint64_t value, size_t bytes);
static uint64_t le_get(const uint8_t *in, size_t bytes);
static errcode_t read_file(const char *path, uint8_t *bytes, size_t max, size_t *n, bool *found,
                           err_t *err);

errcode_t acked_write(const char *directory, const acked_t *acked, err_t *err)
{
    uint8_t bytes[ACKED_BYTES_MAX] = {0};
    size_t n = ACKED_HEAD_BYTES + 8 * (size_t)acked->count;

    INVARIANT(acked->count <= ACKED_PARTITIONS_MAX);
    memcpy(bytes, magic, sizeof magic);
    le_put(bytes + 4, ACKED_VERSION, 4);
    le_put(bytes + 8, acked->count, 4);
    le_put(bytes + 16, (uint64_t)acked->wall_us, 8);
    for (size_t i = 0; i < acked->count; i++)
        le_put(bytes + ACKED_HEAD_BYTES + 8 * i, acked->seq[i], 8);
    le_put(bytes + n, crc32c(0, bytes, n), 4);
    return directory_replace_file(directory, ACKED_NAME, bytes, n + 4, err);
}

errcode_t acked_read(const char *directory, acked_t *acked, bool *found, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    uint8_t bytes[ACKED_BYTES_MAX + 1];
    uint64_t count;
    size_t n = 0;
    errcode_t rc;

    memset(acked, 0, sizeof *acked);
    *found = false;
    if (!directory_path(path, directory, ACKED_NAME))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    rc = read_file(path, bytes, sizeof bytes, &n, found, err);
    if (rc != ERR_NONE || !*found)
        return rc;
    *found = false;
    count = n >= ACKED_HEAD_BYTES + 4 ? le_get(bytes + 8, 4) : 0;
    if (n < ACKED_HEAD_BYTES + 4 || memcmp(bytes, magic, sizeof magic) != 0 ||
        count > ACKED_PARTITIONS_MAX || n != ACKED_HEAD_BYTES + 8 * count + 4 ||
        crc32c(0, bytes, n - 4) != le_get(bytes + n - 4, 4))
        return err_set(err, ERR_CORRUPT, "%.80s is damaged: " ACKED_WAY_OUT, path);
    if (le_get(bytes + 4, 4) != ACKED_VERSION)
        return err_set(err, ERR_STATE, "%.80s was written by a newer program; use that one", path);
    acked->count = (uint32_t)count;
    acked->wall_us = (int64_t)le_get(bytes + 16, 8);
    for (size_t i = 0; i < count; i++)
        acked->seq[i] = le_get(bytes + ACKED_HEAD_BYTES + 8 * i, 8);
    *found = true;
    return ERR_NONE;
}

static errcode_t read_file(const char *path, uint8_t *bytes, size_t max, size_t *n, bool *found,
                           err_t *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    *n = 0;
    *found = false;
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE;
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %.120s: %s", path, strerror(errno));
    while (*n < max && got != 0) {
        got = read(fd, bytes + *n, max - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)err_set(err, ERR_IO, "cannot read %.120s: %s", path, strerror(errno));
            (void)close(fd);
            return ERR_IO;
        }
        *n += (size_t)got;
    }
    (void)close(fd);
    *found = true;
    return ERR_NONE;
}

static void le_put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t le_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}
