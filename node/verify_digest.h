/* verify_digest.h - what two copies of the same books have in common, in a few numbers
 *
 * Contract   Counts and a digest over the rows that belong to the books themselves: accounts, entries, lots, keys,
 *            transfers on their way, definitions. Left out is what a copy has of its own or writes when it has time:
 *            sessions, pairs of partitions, outboxes, which definitions are in force there, counters with their checkpoint,
 *            positions, the log. So a directory, what `fealty migrate` made of it, and each copy on a node give the same.
 *            The digest is the sum, modulo 2^128, of a hash per row (BLAKE2b over family, key and value): the order does
 *            not matter, and the digests of partitions add up to that of all. It finds what went wrong, it is no proof
 *            against somebody who may choose rows: the chains in the accounts are.
 * Threads    Pure, but for verify_digest_partition, which reads.
 * Ownership  Values. `scratch` is the caller's.
 * Units      Points.
 * Errors     Those of the store. A row that cannot be read counts by its bytes: the proof names it.
 */
#ifndef FEALTY_VERIFY_DIGEST_H
#define FEALTY_VERIFY_DIGEST_H

#include "node/migrate_rows.h"

#include <stdio.h>

typedef struct {
    uint64_t accounts, entries, keys, definitions;
    points_t points; /* available */
    hash_t sum;
} verify_digest_t;

hash_t verify_row_hash(const row_write_t *row, buffer_t *scratch);
void verify_sum_add(hash_t *sum, const hash_t *other);

/* `hash` is the row's. The content of definitions counts in the definitions' own partition only. */
void verify_digest_row(verify_digest_t *self, const row_write_t *row, const hash_t *hash,
                       bool definitions);
void verify_digest_add(verify_digest_t *self, const verify_digest_t *other);
bool verify_digest_equal(const verify_digest_t *a, const verify_digest_t *b);

errcode_t verify_digest_partition(verify_digest_t *self, const together_t *together,
                                  migrate_cursors_t *cursors, uint16_t partition, buffer_t *scratch,
                                  err_t *err);

/* A table for people: the head, a line per partition, a last one. `note` may be "". */
void verify_digest_head(FILE *out, const char *note);
void verify_digest_line(FILE *out, const char *name, const verify_digest_t *self, const char *note);

#endif
