/* directory.h - private: a data directory: who holds it, which format it has
 *
 * Contract   DIR/LOCK is held (flock) by one process, whose number it contains. DIR/FORMAT says "fealty store
 *            format N" and is written last when a store is made, so that its presence means: complete.
 * Threads    One caller at a time.
 * Ownership  directory_lock returns a descriptor that the caller closes; closing it releases the lock.
 * Units      Nothing to say.
 * Errors     ERR_STATE (held by another process, newer format), ERR_CORRUPT (FORMAT cannot be read), ERR_IO.
 */
#ifndef FEALTY_DIRECTORY_H
#define FEALTY_DIRECTORY_H

#include "protocol/error.h"

#define DIRECTORY_PATH_MAX 1024

/* Joins; false when the path is too long. */
bool directory_path(char out[DIRECTORY_PATH_MAX], const char *directory, const char *name);
/* Makes the directory and its missing parents. */
errcode_t directory_make(const char *directory, err_t *err);
errcode_t directory_lock(const char *directory, int *fd, err_t *err);
/* Whether some process holds the lock; holder 0 when unknown. */
bool directory_is_locked(const char *directory, long *holder);
errcode_t directory_read_format(const char *directory, bool *found, err_t *err);
errcode_t directory_write_format(const char *directory, err_t *err);
/* Replaces a file so that a reader sees the old or the new content, also after a power cut. */
errcode_t directory_replace_file(const char *directory, const char *name, const void *bytes,
                                 size_t n, err_t *err);
errcode_t directory_sync(const char *directory, err_t *err);

#endif
