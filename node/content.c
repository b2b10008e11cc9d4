/* content.c - definitions from disk into the catalogue, in order */
#include "node/content.h"

#include "actors/message.h"

errcode_t content_load(store_t *store, catalogue_t *catalogue, err_t *err)
{
    static const uint8_t first = 'X';
    static const uint8_t after = 'X' + 1;
    store_cursor_t *cursor = store_cursor_new(store, NULL, FAMILY_META, &first, 1, &after, 1);
    errcode_t rc = ERR_NONE;

    for (store_cursor_first(cursor); rc == ERR_NONE && store_cursor_valid(cursor);
         store_cursor_next(cursor)) {
        size_t bytes;
        const uint8_t *value = store_cursor_value(cursor, &bytes);
        change_t change;

        rc = content_decode(&change, value, bytes, err);
        if (rc == ERR_NONE)
            rc = catalogue_put(catalogue, change.version, change.resource, change.id,
                               change.deleted, change.json, err);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    return rc;
}
