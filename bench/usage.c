/* usage.c - reads /proc/PID/stat and the block device's stat */
#include "bench/usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SECTOR_BYTES 512

static bool process_ns(uint64_t pid, int64_t *out);
static bool machine_ticks(uint64_t *all, uint64_t *idle);
static bool disk_counters(const char *directory, uint64_t *flushes, uint64_t *written_bytes);

void usage_sample(usage_t *self, const usage_config_t *config)
{
    struct rusage own;

    memset(self, 0, sizeof(*self));
    if (getrusage(RUSAGE_SELF, &own) == 0)
        self->own_ns = ((int64_t)own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1000000000 +
                       ((int64_t)own.ru_utime.tv_usec + own.ru_stime.tv_usec) * 1000;
    self->server_known = config->pid_count > 0;
    for (unsigned i = 0; i < config->pid_count; i++) {
        int64_t ns = 0;
        if (process_ns(config->pids[i], &ns))
            self->server_ns += ns;
        else
            self->server_known = false;
    }
    self->machine_known = machine_ticks(&self->machine_ticks, &self->idle_ticks);
    self->disk_known =
        config->disk != NULL && disk_counters(config->disk, &self->flushes, &self->written_bytes);
}

/* The name in field 2 may hold blanks and brackets, so fields are counted from its last bracket. */
static bool process_ns(uint64_t pid, int64_t *out)
{
    char path[64];
    char text[1024];
    uint64_t user = 0;
    uint64_t system = 0;

    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *rest = strrchr(text, ')');
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
               &system) != 2)
        return false;
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks <= 0)
        return false;
    *out = (int64_t)((user + system) * (UINT64_C(1000000000) / (uint64_t)ticks));
    return true;
}

/* First line of /proc/stat: user, nice, system, idle, waiting for disk, interrupts, ... of all
 * cores. */
static bool machine_ticks(uint64_t *all, uint64_t *idle)
{
    uint64_t ticks[8] = {0};
    FILE *file = fopen("/proc/stat", "re");

    if (file == NULL)
        return false;
    int fields = fscanf(file,
                        "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                        " %" SCNu64 " %" SCNu64,
                        &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6],
                        &ticks[7]);
    fclose(file);
    if (fields < 5)
        return false;
    *all = 0;
    for (int i = 0; i < fields; i++)
        *all += ticks[i];
    *idle = ticks[3] + ticks[4];
    return true;
}

/* Fields 7 and 16 of the device's stat: sectors written, flushes completed. A partition has no
 * flush count, so the whole device is asked when there is one above it. */
static bool disk_counters(const char *directory, uint64_t *flushes, uint64_t *written_bytes)
{
    struct stat about;
    char path[96];
    uint64_t sectors = 0;
    int fields = 0;

    if (stat(directory, &about) != 0)
        return false;
    for (int parent = 1; parent >= 0; parent--) {
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%sstat", major(about.st_dev),
                 minor(about.st_dev), parent == 1 ? "../" : "");
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        fields = fscanf(
            file, "%*u %*u %*u %*u %*u %*u %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64,
            &sectors, flushes);
        fclose(file);
        if (fields == 2)
            break;
    }
    *written_bytes = sectors * SECTOR_BYTES;
    return fields == 2;
}
