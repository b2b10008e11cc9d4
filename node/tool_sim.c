/* tool_sim.c - `fealty sim`: runs the simulator that stands beside this program
 *
 * Whole clusters on one thread are no part of the program that keeps points: `make sim` builds them from the same sources.
 */
#include "node/tools.h"

#include "node/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

int tool_sim(int argc, char **argv)
{
    static const char *const names[] = {"fealty-sim", "sim"};
    char path[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    char *slash;

    (void)argc;
    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    for (size_t i = 0; slash != NULL && i < COUNT_OF(names); i++) {
        (void)snprintf(slash + 1, sizeof path - (size_t)(slash + 1 - path), "%s", names[i]);
        (void)execv(path, argv); /* returns only when it failed */
        if (errno != ENOENT)
            break;
    }
    (void)fprintf(stderr, "fealty sim: the simulator is not beside this program: `make build/sim` "
                          "builds it, `make sim SEEDS=1000` runs it\n");
    return EXIT_REFUSED;
}
