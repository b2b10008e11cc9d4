/* scratch.h - a directory of one's own for a test, and a child process
 *
 * Contract   scratch_new makes a directory below TMPDIR; scratch_remove takes it and all below it away.
 *            scratch_child runs a function in a child that ends without cleaning up, as a killed process would, and
 *            returns its exit status (or -signal). Fork before anything opens a store: its threads do not fork.
 * Threads    One.
 * Ownership  Values.
 * Units      Nothing to say.
 * Errors     The test fails.
 */
#ifndef FEALTY_SCRATCH_H
#define FEALTY_SCRATCH_H

#include "protocol/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char path[512];
} scratch_t;

static inline scratch_t scratch_new(void)
{
    scratch_t self;
    const char *base = getenv("TMPDIR");

    (void)snprintf(self.path, sizeof self.path, "%s/fealty-test-XXXXXX",
                   base != NULL ? base : P_tmpdir);
    cr_assert(mkdtemp(self.path) != NULL);
    return self;
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int type,
                                     struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void scratch_remove(const scratch_t *self)
{
    cr_assert_eq(nftw(self->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void scratch_join(char out[1024], const char *directory, const char *name)
{
    (void)snprintf(out, 1024, "%s/%s", directory, name);
}

static inline int scratch_child(int (*run)(const char *directory), const char *directory)
{
    pid_t child = fork();
    int status;

    cr_assert_geq(child, 0);
    if (child == 0) {
        /* An assertion that fails in here does not end the child as it should; this does. */
        (void)alarm(50);
        _exit(run(directory));
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
