/* nodes.h - what programs with several nodes in one process need: checks, patience, steps, ports, a directory
 *
 * Contract   A check that fails ends the program with its line. EVENTUALLY polls a condition until its patience is over.
 * Threads    Any.
 * Ownership  Nothing is kept.
 * Units      Microseconds.
 * Errors     The program ends.
 */
#ifndef FEALTY_NODES_H
#define FEALTY_NODES_H

#include "protocol/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US INT64_C(20000000)

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

static inline int64_t boot_now(void)
{
    return clock_boot_us(clock_system());
}

static inline int64_t wall_now(void)
{
    return clock_wall_us(clock_system());
}

static inline void rest(void)
{
    (void)poll(NULL, 0, 2);
}

#define EVENTUALLY(condition)                                                          \
    do {                                                                               \
        int64_t until_us = boot_now() + PATIENCE_US;                                   \
        while (!(condition)) {                                                         \
            if (boot_now() >= until_us) {                                              \
                fprintf(stderr, "%s:%d: never: %s\n", __FILE__, __LINE__, #condition); \
                exit(1);                                                               \
            }                                                                          \
            rest();                                                                    \
        }                                                                              \
    } while (0)

/* A port that is free now, below those that the system gives to outgoing connections: a dealer that dials a port where
 * nobody listens yet may otherwise be given that very port, and reach itself. */
static inline int free_port(void)
{
    for (;;) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        uint16_t number;
        int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free;

        CHECK(probe >= 0);
        random_fill(random_system(), &number, sizeof number);
        number = (uint16_t)(10000 + number % 20000);
        at.sin_port = htons(number);
        is_free = bind(probe, (struct sockaddr *)&at, sizeof at) == 0;
        (void)close(probe);
        if (is_free)
            return number;
    }
}

static inline void step(const char *name, void (*check)(void))
{
    int64_t began_us = boot_now();

    check();
    printf("ok %s (%lld ms)\n", name, (long long)((boot_now() - began_us) / 1000));
    (void)fflush(stdout);
}
#define STEP(name) step(#name, name)

/* A new directory where temporary ones belong, and its end. */
static inline void directory_begin(char *path, size_t size)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(path, size, "%s/fealty-XXXXXX", base != NULL ? base : P_tmpdir);

    CHECK(n > 0 && (size_t)n < size && mkdtemp(path) != NULL);
}

static inline void directory_end(const char *path)
{
    char command[512];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    CHECK(system(command) == 0);
}

#endif
