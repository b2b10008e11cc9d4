/* lots.c - open lots of an account in burn order: the first 8 in the account's row, the rest in rows of their own
 *
 * Every lot in the row comes before every lot in the rows behind it, so burning reads the account's row alone until its
 * lots are used up. Order is FEFO: expiry, never last; then activation; then lot.
 */
#include "actors/partition_state.h"

#include <stdlib.h>

static int compare_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int lot_compare(const lot_t *a, const lot_t *b)
{
    int order = compare_i64(a->expires_us ? a->expires_us : INT64_MAX,
                            b->expires_us ? b->expires_us : INT64_MAX);
    if (order == 0)
        order = compare_i64(a->activated_us, b->activated_us);
    if (order == 0)
        order = a->id < b->id ? -1 : a->id > b->id;
    if (order == 0)
        order = a->part < b->part ? -1 : a->part > b->part;
    return order;
}

static void overflow_put(partition_t *self, const account_t *account, const lot_t *lot)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_reset(&self->value);
    lot_encode(lot, &self->value);
    partition_put(self, FAMILY_LOT, key, key_lot(key, self->config.number, account->id, lot),
                  &self->value);
}

static void overflow_delete(partition_t *self, const account_t *account, const lot_t *lot)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    partition_delete(self, FAMILY_LOT, key, key_lot(key, self->config.number, account->id, lot));
}

/* The first lots of the rows behind, committed and of this round together. */
typedef struct {
    uint64_t only; /* lots of this entry, 0: of all */
    lot_t lots[ACCOUNT_LOTS_INLINE];
    uint32_t count;
    bool failed;
} gathering_t;

static void gather_one(void *state, const row_write_t *write)
{
    gathering_t *gathering = state;
    lot_t lot;
    if (write->is_delete)
        return;
    if (lot_decode(&lot, write->value, write->value_bytes, NULL) != ERR_NONE) {
        gathering->failed = true;
        return;
    }
    if (gathering->only != 0 && lot.id != gathering->only)
        return;
    uint32_t at = gathering->count;
    while (at > 0 && lot_compare(&lot, &gathering->lots[at - 1]) < 0)
        at--;
    if (at == ACCOUNT_LOTS_INLINE)
        return;
    uint32_t last =
        gathering->count < ACCOUNT_LOTS_INLINE ? gathering->count : ACCOUNT_LOTS_INLINE - 1;
    memmove(&gathering->lots[at + 1], &gathering->lots[at], (last - at) * sizeof lot);
    gathering->lots[at] = lot;
    gathering->count = last + 1;
}

/* `after`, when given, comes before all of them in burn order: spares the search the rows that were used up before it. */
static errcode_t gather(partition_t *self, const account_t *account, uint64_t only,
                        const lot_t *after, gathering_t *out, err_t *err)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX], lower[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_lots_of(prefix, self->config.number, account->id);
    size_t lower_bytes = after != NULL ? key_lot(lower, self->config.number, account->id, after)
                                       : key_lots_of(lower, self->config.number, account->id);

    out->only = only;
    out->count = 0;
    out->failed = false;
    store_cursor_t *cursor = store_cursor_new_within(self->config.store, NULL, FAMILY_LOT, prefix,
                                                     prefix_bytes, lower, lower_bytes);
    for (store_cursor_first(cursor); store_cursor_valid(cursor) && out->count < ACCOUNT_LOTS_INLINE;
         store_cursor_next(cursor)) {
        row_write_t write = {.family = FAMILY_LOT}, newer;
        write.key = store_cursor_key(cursor, &write.key_bytes);
        write.value = store_cursor_value(cursor, &write.value_bytes);
        if (partition_decided(self, FAMILY_LOT, write.key, write.key_bytes, &newer))
            continue; /* written or deleted in this round: comes with the overlay */
        gather_one(out, &write);
    }
    errcode_t rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    if (rc != ERR_NONE)
        return rc;
    partition_decided_each(self, FAMILY_LOT, prefix, prefix_bytes, gather_one, out);
    if (out->failed)
        return err_set(err, ERR_CORRUPT, "a lot of account %llu cannot be read",
                       (unsigned long long)account->id);
    return ERR_NONE;
}

/* Moves the next lots from the rows behind into the account's row, which has none left. */
static errcode_t refill(partition_t *self, account_t *account, const lot_t *after, err_t *err)
{
    gathering_t gathering;

    INVARIANT(account->lot_count == 0);
    errcode_t rc = gather(self, account, 0, after, &gathering, err);
    if (rc != ERR_NONE)
        return rc;
    if (gathering.count == 0 || gathering.count > account->overflow_lots)
        return err_set(err, ERR_CORRUPT, "account %llu: %llu lots are missing",
                       (unsigned long long)account->id, (unsigned long long)account->overflow_lots);
    for (uint32_t i = 0; i < gathering.count; i++) {
        account->lots[i] = gathering.lots[i];
        overflow_delete(self, account, &gathering.lots[i]);
    }
    account->lot_count = gathering.count;
    account->overflow_lots -= gathering.count;
    return ERR_NONE;
}

errcode_t lots_add(partition_t *self, account_t *account, const lot_t *lot, err_t *err)
{
    INVARIANT(lot->active > 0);
    if (account->lot_count == 0 && account->overflow_lots > 0) {
        errcode_t rc = refill(self, account, NULL, err);
        if (rc != ERR_NONE)
            return rc;
    }
    uint32_t at = account->lot_count;
    while (at > 0 && lot_compare(lot, &account->lots[at - 1]) < 0)
        at--;
    /* Behind the last one in the row, yet maybe before some in the rows behind: it belongs there too. */
    if (at == account->lot_count &&
        (account->overflow_lots > 0 || account->lot_count == ACCOUNT_LOTS_INLINE)) {
        overflow_put(self, account, lot);
        account->overflow_lots++;
        return ERR_NONE;
    }
    if (account->lot_count == ACCOUNT_LOTS_INLINE) {
        overflow_put(self, account, &account->lots[--account->lot_count]);
        account->overflow_lots++;
    }
    memmove(&account->lots[at + 1], &account->lots[at], (account->lot_count - at) * sizeof *lot);
    account->lots[at] = *lot;
    account->lot_count++;
    return ERR_NONE;
}

static void allocate(partition_t *self, const lot_t *lot, points_t points, uint32_t *count)
{
    self->allocations[(*count)++] = (allocation_t){.lot = lot->id,
                                                   .part = lot->part,
                                                   .points = points,
                                                   .original = lot->original,
                                                   .activated_us = lot->activated_us,
                                                   .expires_us = lot->expires_us};
}

static errcode_t take(partition_t *self, account_t *account, points_t left, uint32_t *count,
                      err_t *err)
{
    lot_t last = {0};

    while (left > 0) {
        uint32_t used = 0;
        for (; left > 0 && used < account->lot_count; used++) {
            lot_t *lot = &account->lots[used];
            points_t part = lot->active < left ? lot->active : left;
            if (*count == ENTRY_ALLOCATIONS_MAX)
                return err_set(
                    err, ERR_OUT_OF_RANGE,
                    "this takes points from more than %d lots; spend it in smaller parts",
                    ENTRY_ALLOCATIONS_MAX);
            allocate(self, lot, part, count);
            left -= part;
            lot->active -= part;
            if (lot->active > 0)
                break;
        }
        if (used > 0)
            last = account->lots[used - 1];
        memmove(account->lots, account->lots + used,
                (account->lot_count - used) * sizeof *account->lots);
        account->lot_count -= used;
        if (left > 0) {
            errcode_t rc =
                account->overflow_lots > 0
                    ? refill(self, account, last.id != 0 ? &last : NULL, err)
                    : err_set(err, ERR_CORRUPT, "account %llu: its lots hold less than its balance",
                              (unsigned long long)account->id);
            if (rc != ERR_NONE)
                return rc;
        }
    }
    return ERR_NONE;
}

errcode_t lots_take(partition_t *self, account_t *account, points_t n, uint32_t *count, err_t *err)
{
    *count = 0;
    return take(self, account, n, count, err);
}

/* What stands of `first` in the rows behind goes next; *left is what it did not cover. */
static errcode_t take_from_behind(partition_t *self, account_t *account, uint64_t first,
                                  points_t *left, uint32_t *count, err_t *err)
{
    gathering_t gathering;

    do {
        errcode_t rc = gather(self, account, first, NULL, &gathering, err);
        if (rc != ERR_NONE)
            return rc;
        for (uint32_t i = 0; i<gathering.count && * left> 0; i++) {
            lot_t *lot = &gathering.lots[i];
            points_t part = lot->active < *left ? lot->active : *left;
            if (*count == ENTRY_ALLOCATIONS_MAX)
                return err_set(
                    err, ERR_OUT_OF_RANGE,
                    "this takes points from more than %d lots; take them in smaller parts",
                    ENTRY_ALLOCATIONS_MAX);
            allocate(self, lot, part, count);
            *left -= part;
            lot->active -= part;
            if (lot->active > 0) {
                overflow_put(self, account, lot);
            } else {
                overflow_delete(self, account, lot);
                account->overflow_lots--;
            }
        }
    } while (*left > 0 && gathering.count > 0 && account->overflow_lots > 0);
    return ERR_NONE;
}

errcode_t lots_take_from(partition_t *self, account_t *account, uint64_t first, points_t n,
                         uint32_t *count, err_t *err)
{
    points_t left = n;

    *count = 0;
    for (uint32_t i = 0; i < account->lot_count && left > 0;) {
        lot_t *lot = &account->lots[i];
        if (lot->id != first) {
            i++;
            continue;
        }
        points_t part = lot->active < left ? lot->active : left;
        allocate(self, lot, part, count);
        left -= part;
        lot->active -= part;
        if (lot->active > 0)
            break;
        memmove(lot, lot + 1, (account->lot_count - i - 1) * sizeof *lot);
        account->lot_count--;
    }
    if (left > 0 && account->overflow_lots > 0) {
        errcode_t rc = take_from_behind(self, account, first, &left, count, err);
        if (rc != ERR_NONE)
            return rc;
    }
    return take(self, account, left, count, err);
}

/* Adds to an open lot what it has room for. */
static points_t add_up_to(lot_t *lot, points_t points)
{
    points_t room = lot->original - lot->active;
    points_t given = points < room ? points : room;
    lot->active += given;
    return given;
}

errcode_t lots_give_back(partition_t *self, account_t *account, const allocation_t *allocation,
                         points_t *given, err_t *err)
{
    lot_t lot = {.id = allocation->lot,
                 .part = allocation->part,
                 .original = allocation->original,
                 .activated_us = allocation->activated_us,
                 .expires_us = allocation->expires_us};
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;

    for (uint32_t i = 0; i < account->lot_count; i++)
        if (lot_compare(&account->lots[i], &lot) == 0) {
            *given = add_up_to(&account->lots[i], allocation->points);
            return ERR_NONE;
        }
    if (account->overflow_lots > 0) {
        lot_t open;
        buffer_reset(&self->value);
        errcode_t rc = partition_get(self, FAMILY_LOT, key,
                                     key_lot(key, self->config.number, account->id, &lot),
                                     &self->value, &found, err);
        if (rc == ERR_NONE && found)
            rc = lot_decode(&open, self->value.bytes, self->value.size, err);
        if (rc != ERR_NONE)
            return rc;
        if (found) {
            *given = add_up_to(&open, allocation->points);
            overflow_put(self, account, &open);
            return ERR_NONE;
        }
    }
    *given = add_up_to(&lot, allocation->points);
    return *given > 0 ? lots_add(self, account, &lot, err) : ERR_NONE;
}
