/* clock.c - loaded before the C library: shifts the wall clock by the seconds that a file holds
 *
 * FEALTY_TEST_CLOCK names the file (a number as text); it is read again at each call, so a test can set the clock of a
 * running process. Time since boot is left alone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, id, out);

    if (rc == 0 && id == CLOCK_REALTIME) {
        static const char *path;
        char               text[32] = "";
        ssize_t            n = 0;

        if (path == NULL)
            path = getenv("FEALTY_TEST_CLOCK");
        int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            n = read(fd, text, sizeof text - 1);
            (void)close(fd);
        }
        if (n > 0)
            out->tv_sec += strtoll(text, NULL, 10);
    }
    return rc;
}
