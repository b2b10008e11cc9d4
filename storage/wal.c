/* wal.c - reads RocksDB's log files record by record, trusting nothing
 *
 * Format (RocksDB 7, no recycling, no compression; tests/assume pins it): blocks of 32 KiB; a fragment is a
 * masked crc32c over type and payload, u16 length, u8 type (1 whole, 2 first, 3 middle, 4 last), payload.
 * Fragments never cross a block. A record is one write batch: u64 sequence, u32 count, rows. Sequences are dense.
 */
#include "storage/wal.h"

#include "protocol/buffer.h"
#include "protocol/ids.h"
#include "storage/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES           32768
#define FRAGMENT_HEADER_BYTES 7
#define BATCH_HEADER_BYTES    12
#define FILES_MAX             4096

enum { FRAGMENT_ZERO, FRAGMENT_WHOLE, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST };

typedef struct {
    wal_report_t *report;
    bool any; /* a record was met in any file */
    uint64_t next_sequence;
    /* of the present file */
    bool in_record;
    uint64_t record_start;
    size_t head_bytes; /* of the batch's header, gathered over fragments */
    uint8_t head[BATCH_HEADER_BYTES];
    bool searching; /* the good part has ended; is there a later record? */
} scan_t;

static errcode_t list_files(const char *directory, uint64_t *numbers, size_t *count, err_t *err);
static int compare_numbers(const void *a, const void *b);
static errcode_t scan_file(scan_t *scan, const char *directory, const char *name, err_t *err);
static void scan_block(scan_t *scan, const char *name, const uint8_t *block, size_t n,
                       uint64_t base);
static bool take_fragment(scan_t *scan, const char *name, const uint8_t *fragment,
                          size_t payload_bytes, uint8_t type, uint64_t at);
static bool take_record(scan_t *scan, const char *name);
static void good_part_ends(scan_t *scan, const char *name, uint64_t at, const char *reason);
static bool later_record(const scan_t *scan, const uint8_t *block, size_t from, size_t n);
static size_t fragment_at(const uint8_t *block, size_t at, size_t n, uint8_t *type);
static uint64_t le_get(const uint8_t *in, size_t bytes);

errcode_t wal_check(const char *directory, wal_report_t *report, err_t *err)
{
    uint64_t *numbers = memory_alloc(FILES_MAX * sizeof *numbers);
    size_t count = 0;
    scan_t scan = {.report = report};
    errcode_t rc;

    memset(report, 0, sizeof *report);
    rc = list_files(directory, numbers, &count, err);
    for (size_t i = 0; rc == ERR_NONE && i < count && !report->damaged; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "%06" PRIu64 ".log", numbers[i]);
        rc = scan_file(&scan, directory, name, err);
    }
    free(numbers);
    return rc;
}

errcode_t wal_trim(const char *directory, const wal_report_t *report, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    int fd;
    bool done;

    INVARIANT(report->torn);
    if (!directory_path(path, directory, report->file))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %.120s: %s", path, strerror(errno));
    done = ftruncate(fd, (off_t)report->offset) == 0 && fsync(fd) == 0;
    if (!done)
        (void)err_set(err, ERR_IO, "cannot cut the torn end of %.120s: %s", path, strerror(errno));
    (void)close(fd);
    return done ? ERR_NONE : ERR_IO;
}

static errcode_t list_files(const char *directory, uint64_t *numbers, size_t *count, err_t *err)
{
    DIR *listing = opendir(directory);
    const struct dirent *entry;

    if (listing == NULL)
        return err_set(err, ERR_IO, "cannot read directory %.120s: %s", directory, strerror(errno));
    while (errno = 0, (entry = readdir(listing)) != NULL) {
        char *end;
        uint64_t number = strtoull(entry->d_name, &end, 10);

        if (end == entry->d_name || strcmp(end, ".log") != 0)
            continue;
        if (*count == FILES_MAX) {
            (void)closedir(listing);
            return err_set(err, ERR_IO, "%.120s holds more than %d log files", directory,
                           FILES_MAX);
        }
        numbers[(*count)++] = number;
    }
    if (errno != 0) {
        int saved = errno;

        (void)closedir(listing);
        return err_set(err, ERR_IO, "cannot read directory %.120s: %s", directory, strerror(saved));
    }
    (void)closedir(listing);
    qsort(numbers, *count, sizeof *numbers, compare_numbers);
    return ERR_NONE;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static errcode_t scan_file(scan_t *scan, const char *directory, const char *name, err_t *err)
{
    char path[DIRECTORY_PATH_MAX];
    uint8_t *block = NULL;
    struct stat status;
    uint64_t at = 0;
    errcode_t rc = ERR_NONE;
    int fd = -1;

    if (!directory_path(path, directory, name))
        return err_set(err, ERR_IO, "the data directory's path is too long");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE; /* a running node has just dropped it */
    if (fd < 0 || fstat(fd, &status) != 0) {
        rc = err_set(err, ERR_IO, "cannot open %.120s: %s", path, strerror(errno));
        goto cleanup;
    }
    block = memory_alloc(BLOCK_BYTES);
    scan->in_record = false;
    scan->searching = false;
    /* The size is taken once: below it a running writer changes nothing any more. */
    while (at < (uint64_t)status.st_size && !scan->report->damaged) {
        uint64_t left = (uint64_t)status.st_size - at;
        size_t wanted = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        size_t have = 0;

        while (have < wanted) {
            ssize_t n = pread(fd, block + have, wanted - have, (off_t)(at + have));

            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0) {
                rc = err_set(err, ERR_IO, "cannot read %.120s: %s", path,
                             n < 0 ? strerror(errno) : "it became shorter");
                goto cleanup;
            }
            have += (size_t)n;
        }
        scan_block(scan, name, block, have, at);
        at += have;
    }
    if (scan->in_record && !scan->searching)
        good_part_ends(scan, name, scan->record_start, "the last record is cut short");
    if (scan->report->torn && strcmp(scan->report->file, name) == 0)
        scan->report->bytes = (uint64_t)status.st_size - scan->report->offset;

cleanup:
    free(block);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static void scan_block(scan_t *scan, const char *name, const uint8_t *block, size_t n,
                       uint64_t base)
{
    size_t at = 0;

    while (!scan->searching && n - at >= FRAGMENT_HEADER_BYTES) {
        uint8_t type;
        size_t bytes = fragment_at(block, at, n, &type);

        if (bytes == 0) {
            good_part_ends(scan, name, scan->in_record ? scan->record_start : base + at,
                           "a record fails its checksum");
            break;
        }
        if (!take_fragment(scan, name, block + at, bytes - FRAGMENT_HEADER_BYTES, type, base + at))
            break;
        at += bytes;
    }
    if (scan->report->damaged)
        return;
    if (!scan->searching && n < BLOCK_BYTES && at < n)
        good_part_ends(scan, name, scan->in_record ? scan->record_start : base + at,
                       "the last record is cut short");
    if (scan->searching && later_record(scan, block, at, n)) {
        scan->report->damaged = true;
        scan->report->torn = false;
    }
}

/* False when the good part ends here. */
static bool take_fragment(scan_t *scan, const char *name, const uint8_t *fragment,
                          size_t payload_bytes, uint8_t type, uint64_t at)
{
    bool starts = type == FRAGMENT_WHOLE || type == FRAGMENT_FIRST;
    bool goes_on = type == FRAGMENT_MIDDLE || type == FRAGMENT_LAST;
    size_t more = payload_bytes;

    if (!starts && !goes_on)
        return true; /* whole, of a kind that carries no rows */
    if (starts == scan->in_record) {
        good_part_ends(scan, name, scan->in_record ? scan->record_start : at,
                       "a piece of a record is missing");
        return false;
    }
    if (starts) {
        scan->record_start = at;
        scan->head_bytes = 0;
    }
    if (more > BATCH_HEADER_BYTES - scan->head_bytes)
        more = BATCH_HEADER_BYTES - scan->head_bytes;
    memcpy(scan->head + scan->head_bytes, fragment + FRAGMENT_HEADER_BYTES, more);
    scan->head_bytes += more;
    scan->in_record = type == FRAGMENT_FIRST || type == FRAGMENT_MIDDLE;
    return scan->in_record || take_record(scan, name);
}

static bool take_record(scan_t *scan, const char *name)
{
    uint64_t sequence = le_get(scan->head, 8);
    uint64_t count = le_get(scan->head + 8, 4);

    if (scan->head_bytes < BATCH_HEADER_BYTES) {
        good_part_ends(scan, name, scan->record_start, "a record is too short");
        return false;
    }
    if (scan->any && sequence != scan->next_sequence) {
        /* Reported where the good part ended, when that was in an earlier file. */
        if (!scan->report->torn)
            good_part_ends(scan, name, scan->record_start, "records are missing before this one");
        scan->report->torn = false;
        scan->report->damaged = true;
        return false;
    }
    /* An earlier file's torn end lost nothing: this record follows the last good one. */
    scan->report->torn = false;
    scan->any = true;
    scan->next_sequence = sequence + count;
    scan->report->records++;
    return true;
}

static void good_part_ends(scan_t *scan, const char *name, uint64_t at, const char *reason)
{
    wal_report_t *report = scan->report;

    scan->searching = true;
    scan->in_record = false;
    if (report->torn)
        return; /* the earlier place is the one to name */
    report->torn = true;
    report->offset = at;
    report->bytes = 0;
    (void)snprintf(report->file, sizeof report->file, "%s", name);
    (void)snprintf(report->reason, sizeof report->reason, "%s", reason);
}

/* A batch is begun only when the one before it is in the file, and synced when that was asked for. So the start
 * of a record behind the bad place proves that something finished was damaged; a middle or last piece does not:
 * the pages of one unfinished write reach the disk in any order. */
static bool later_record(const scan_t *scan, const uint8_t *block, size_t from, size_t n)
{
    for (size_t at = from; at + FRAGMENT_HEADER_BYTES + BATCH_HEADER_BYTES <= n; at++) {
        uint8_t type = block[at + 6];
        const uint8_t *payload = block + at + FRAGMENT_HEADER_BYTES;
        size_t bytes;

        if (type != FRAGMENT_WHOLE && type != FRAGMENT_FIRST)
            continue;
        bytes = fragment_at(block, at, n, &type);
        if (bytes >= FRAGMENT_HEADER_BYTES + BATCH_HEADER_BYTES &&
            (!scan->any || le_get(payload, 8) >= scan->next_sequence))
            return true;
    }
    return false;
}

/* Size of the whole fragment at a place, 0 when there is none. */
static size_t fragment_at(const uint8_t *block, size_t at, size_t n, uint8_t *type)
{
    const uint8_t *header = block + at;
    size_t payload_bytes = (size_t)le_get(header + 4, 2);
    uint32_t masked = (uint32_t)le_get(header, 4);
    uint32_t crc;

    *type = header[6];
    if (*type == FRAGMENT_ZERO || payload_bytes > n - at - FRAGMENT_HEADER_BYTES)
        return 0;
    crc = crc32c(0, header + 6, 1 + payload_bytes);
    if ((uint32_t)((crc >> 15 | crc << 17) + UINT32_C(0xa282ead8)) != masked)
        return 0;
    return FRAGMENT_HEADER_BYTES + payload_bytes;
}

static uint64_t le_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}
