/* backup.h - copies of the books: taken from an open store, and made into new books
 *
 * Contract   backup_take() makes a directory with a consistent image and a file BACKUP that says what it is. The store
 *            stays open and may be written meanwhile. backup_restore() copies images into new data directories and gives
 *            every partition a new history, with its record and id counters RESTORE_AHEAD ahead, so that nothing that is
 *            still on its way from the time after the backup can be taken for something of now (protocol section 6).
 *            All nodes of a cluster are restored by one call. It refuses unless for every pair of partitions
 *            acknowledged <= applied < next. A target appears complete or not at all.
 * Threads    backup_take: any. backup_restore: a tool.
 * Ownership  Everything is borrowed.
 * Units      Nothing to say.
 * Errors     ERR_STATE with what does not fit; ERR_IO; those of the store.
 */
#ifndef FEALTY_BACKUP_H
#define FEALTY_BACKUP_H

#include "cluster/genesis.h"
#include "storage/store.h"

#define RESTORE_AHEAD (UINT64_C(1) << 20)

/* `target` must not exist, or be an empty directory. */
errcode_t backup_take(store_t *store, const birth_t *birth, const char *target, err_t *err);

errcode_t backup_restore(const char *const *backups, const char *const *targets, size_t count,
                         const random_source_t *random, err_t *err);

#endif
