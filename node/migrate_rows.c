/* migrate_rows.c - goes through the families of a partition; pairs of partitions are rewritten on the way */
#include "node/migrate_rows.h"

#define PAIR_KEY_BYTES 5 /* partition, letter, the other one */

static const family_t families[] = {FAMILY_META, FAMILY_STATE,  FAMILY_ENTRY,
                                    FAMILY_KEY,  FAMILY_OUTBOX, FAMILY_LOT};

store_cursor_t *migrate_cursor_at(migrate_cursors_t *self, store_t *store, family_t family,
                                  const void *key, size_t key_bytes)
{
    if (self->store[family] != store) {
        store_cursor_destroy(&self->cursor[family]);
        self->cursor[family] = store_cursor_new(store, NULL, family, NULL, 0, NULL, 0);
        self->store[family] = store;
    }
    store_cursor_seek(self->cursor[family], key, key_bytes);
    return self->cursor[family];
}

void migrate_cursors_free(migrate_cursors_t *self)
{
    for (size_t i = 0; i < FAMILY__COUNT; i++)
        store_cursor_destroy(&self->cursor[i]);
    *self = (migrate_cursors_t){0};
}

void migrate_rows_open(migrate_rows_t *self, const together_t *together, migrate_cursors_t *cursors,
                       uint16_t partition, const hash_t *histories, bool content)
{
    *self = (migrate_rows_t){.together = together,
                             .cursors = cursors,
                             .histories = histories,
                             .partition = partition,
                             .family = content ? 0 : 1};
    buffer_init(&self->value, BATCH_VALUE_BYTES_MAX);
}

void migrate_rows_close(migrate_rows_t *self)
{
    buffer_free(&self->value);
}

static void begin_family(migrate_rows_t *self)
{
    const together_t *together = self->together;
    store_t *store = together->owner[self->partition];
    family_t family = families[self->family];

    self->prefix_bytes = key_partition(self->prefix, self->partition);
    if (family == FAMILY_META) {
        /* The directory with the definitions' partition has all of it, another one may lag. */
        if (together->owner[together->partitions] != NULL)
            store = together->owner[together->partitions];
        self->prefix_bytes = key_content(self->prefix, 0) - sizeof(uint64_t);
    }
    self->cursor =
        migrate_cursor_at(self->cursors, store, family, self->prefix, self->prefix_bytes);
}

static bool within(const migrate_rows_t *self, const row_write_t *row)
{
    return row->key_bytes >= self->prefix_bytes &&
           memcmp(row->key, self->prefix, self->prefix_bytes) == 0;
}

static bool is_session(const row_write_t *row)
{
    return row->family == FAMILY_STATE && row->key_bytes > 2 && row->key[2] == 'S';
}

static errcode_t rewrite_pair(migrate_rows_t *self, row_write_t *row, err_t *err)
{
    char letter = row->key_bytes == PAIR_KEY_BYTES ? (char)row->key[2] : '\0';
    uint16_t other;
    errcode_t rc;

    if (row->family != FAMILY_STATE || (letter != 'N' && letter != 'O'))
        return ERR_NONE;
    other = be16_get(row->key + 3);
    if (other > self->together->partitions)
        return err_set(err, ERR_CORRUPT, "a pair of partition %u names partition %u",
                       self->partition, other);
    buffer_reset(&self->value);
    if (letter == 'N') {
        pair_in_t in;

        rc = pair_in_decode(&in, row->value, row->value_bytes, err);
        if (rc != ERR_NONE)
            return rc;
        if (!hash_is_zero(&in.peer))
            in.peer = self->histories[other];
        pair_in_encode(&in, &self->value);
    } else {
        pair_out_t out;

        rc = pair_out_decode(&out, row->value, row->value_bytes, err);
        if (rc != ERR_NONE)
            return rc;
        if (!hash_is_zero(&out.peer))
            out.peer = self->histories[other];
        out.peer_epoch = 0;
        pair_out_encode(&out, &self->value);
    }
    row->value = self->value.bytes;
    row->value_bytes = self->value.size;
    return ERR_NONE;
}

errcode_t migrate_rows_next(migrate_rows_t *self, row_write_t *out, bool *found, err_t *err)
{
    *found = false;
    for (; self->family < COUNT_OF(families); self->family++) {
        if (self->cursor == NULL)
            begin_family(self);
        else
            store_cursor_next(self->cursor);
        for (; store_cursor_valid(self->cursor); store_cursor_next(self->cursor)) {
            *out = (row_write_t){.family = families[self->family]};
            out->key = store_cursor_key(self->cursor, &out->key_bytes);
            if (!within(self, out))
                break;
            if (is_session(out))
                continue;
            out->value = store_cursor_value(self->cursor, &out->value_bytes);
            *found = true;
            return self->histories != NULL ? rewrite_pair(self, out, err) : ERR_NONE;
        }
        errcode_t rc = store_cursor_error(self->cursor, err);
        if (rc != ERR_NONE)
            return rc;
        self->cursor = NULL;
    }
    return ERR_NONE;
}
