/* verify_digest.c - counting and summing up the rows of the books */
#include "node/verify_digest.h"

#include <inttypes.h>

hash_t verify_row_hash(const row_write_t *row, buffer_t *scratch)
{
    buffer_reset(scratch);
    batch_put(scratch, row->family, row->key, row->key_bytes, row->value, row->value_bytes);
    INVARIANT(!scratch->failed);
    return hash_bytes(scratch->bytes, scratch->size);
}

static uint128_t number_of(const hash_t *hash)
{
    uint128_t number = 0;

    for (size_t i = HASH_BYTES; i > 0; i--)
        number = number << 8 | hash->bytes[i - 1];
    return number;
}

void verify_sum_add(hash_t *sum, const hash_t *other)
{
    uint128_t number = number_of(sum) + number_of(other);

    for (size_t i = 0; i < HASH_BYTES; i++) {
        sum->bytes[i] = (uint8_t)number;
        number >>= 8;
    }
}

/* State rows by the letter behind the partition, see rows.h. */
static bool state_counts(verify_digest_t *self, const row_write_t *row)
{
    account_t account;

    if (row->key_bytes < 3)
        return true;
    switch (row->key[2]) {
    case 'S':
    case 'N':
    case 'O':
    case 'V':
    case 'C':
    case 'H':
    case 'D': return false;
    case 'A':
    case 'Z':
        self->accounts++;
        if (account_decode(&account, row->value, row->value_bytes, NULL) == ERR_NONE)
            self->points += account.available;
        return true;
    default: return true;
    }
}

void verify_digest_row(verify_digest_t *self, const row_write_t *row, const hash_t *hash,
                       bool definitions)
{
    switch (row->family) {
    case FAMILY_STATE:
        if (!state_counts(self, row))
            return;
        break;
    case FAMILY_ENTRY: self->entries++; break;
    case FAMILY_KEY: self->keys++; break;
    case FAMILY_LOT: break;
    case FAMILY_META:
        if (!definitions || row->key_bytes == 0 || row->key[0] != 'X')
            return;
        self->definitions++;
        break;
    case FAMILY_OUTBOX:
    case FAMILY_LOG:
    default: return;
    }
    verify_sum_add(&self->sum, hash);
}

void verify_digest_add(verify_digest_t *self, const verify_digest_t *other)
{
    self->accounts += other->accounts;
    self->entries += other->entries;
    self->keys += other->keys;
    self->definitions += other->definitions;
    self->points += other->points;
    verify_sum_add(&self->sum, &other->sum);
}

bool verify_digest_equal(const verify_digest_t *a, const verify_digest_t *b)
{
    return a->accounts == b->accounts && a->entries == b->entries && a->keys == b->keys &&
           a->definitions == b->definitions && a->points == b->points &&
           hash_equal(&a->sum, &b->sum);
}

errcode_t verify_digest_partition(verify_digest_t *self, const together_t *together,
                                  migrate_cursors_t *cursors, uint16_t partition, buffer_t *scratch,
                                  err_t *err)
{
    bool definitions = partition == together->partitions;
    migrate_rows_t rows;
    row_write_t row;
    bool found = true;
    errcode_t rc = ERR_NONE;

    migrate_rows_open(&rows, together, cursors, partition, NULL, definitions);
    while (rc == ERR_NONE) {
        rc = migrate_rows_next(&rows, &row, &found, err);
        if (rc != ERR_NONE || !found)
            break;
        hash_t hash = verify_row_hash(&row, scratch);
        verify_digest_row(self, &row, &hash, definitions);
    }
    migrate_rows_close(&rows);
    return rc;
}

void verify_digest_head(FILE *out, const char *note)
{
    (void)fprintf(out, "  %-9s %12s %16s %12s %12s  %-32s%s%s\n", "partition", "accounts", "points",
                  "entries", "keys", "digest", note[0] != '\0' ? "  " : "", note);
}

void verify_digest_line(FILE *out, const char *name, const verify_digest_t *self, const char *note)
{
    char digest[2 * HASH_BYTES + 1];

    for (size_t i = 0; i < HASH_BYTES; i++)
        (void)snprintf(digest + 2 * i, 3, "%02x", self->sum.bytes[i]);
    (void)fprintf(out, "  %-9s %12" PRIu64 " %16" PRId64 " %12" PRIu64 " %12" PRIu64 "  %s%s%s\n",
                  name, self->accounts, self->points, self->entries, self->keys, digest,
                  note[0] != '\0' ? "  " : "", note);
}
