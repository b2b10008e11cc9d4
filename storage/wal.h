/* wal.h - private: a strict look at RocksDB's write-ahead log before RocksDB replays it
 *
 * Contract   RocksDB's own recovery (mode 0) skips some damage without a word: a zeroed page, a damaged length near
 *            the end of a file, a shortened file that is not the last one. wal_check() reads all log files and tells
 *            apart: whole; a torn tail (the one write that was not finished: nothing was acknowledged from it);
 *            damage in the middle (a later write was begun behind it, or sequence numbers are missing).
 * Threads    One caller, before the database is opened; or while another process appends (then trim nothing).
 * Ownership  Values.
 * Units      Bytes.
 * Errors     ERR_IO. Damage is a result.
 */
#ifndef FEALTY_WAL_H
#define FEALTY_WAL_H

#include "protocol/error.h"

typedef struct {
    bool damaged;    /* in the middle */
    bool torn;       /* at the end of the last file that has content */
    char file[32];   /* name of the file at fault, either way */
    uint64_t offset; /* where its good part ends */
    uint64_t bytes;  /* of that file behind the offset */
    char reason[64];
    uint64_t records; /* good ones, in all files */
} wal_report_t;

errcode_t wal_check(const char *directory, wal_report_t *report, err_t *err);
/* Cuts the torn tail off, so that no replay can trip over it. */
errcode_t wal_trim(const char *directory, const wal_report_t *report, err_t *err);

#endif
