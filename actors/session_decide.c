/* session_decide.c - sessions: kept in the home partition of the node that got the login, told to all other nodes
 *
 * Login needs no other node: the row is local, the others learn it by message, also those that are down now.
 */
#include "actors/decide.h"
#include "actors/partition_parts.h"
#include "protocol/calendar.h"

#define SWEEP_EVERY_US  (60 * SECOND_US)
#define SWEEP_ROWS_MAX  500
#define EXPIRED_KEPT_US DAY_US /* clocks and renewals under way are long settled then */

static void write_session(partition_t *self, const session_t *session)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_session(key, self->config.number, &session->token);

    buffer_reset(&self->value);
    if (session->user == 0) {
        partition_delete(self, FAMILY_STATE, key, key_bytes);
    } else {
        session_row_encode(session, &self->value);
        partition_put(self, FAMILY_STATE, key, key_bytes, &self->value);
    }
    pack_blob(&self->now->session_changes, session->token.bytes, sizeof session->token.bytes);
    pack_blob(&self->now->session_changes, self->value.bytes,
              session->user == 0 ? 0 : self->value.size);
    INVARIANT(!self->now->session_changes.failed);
}

errcode_t decide_session(partition_t *self, const command_t *command, result_t *result, err_t *err)
{
    session_t session = {.token = command->token, .created_us = self->now_us};

    if (command->kind == COMMAND_SESSION_PUT) {
        if (command->user == 0)
            return err_set(err, ERR_INVALID, "a session belongs to a user");
        session.user = command->user;
        session.expires_us = command->expires_us;
    }
    if (command->if_match != 0) { /* a renewal: it must not bring back what a logout has ended */
        uint8_t key[BATCH_KEY_BYTES_MAX];
        bool found = false;
        buffer_reset(&self->value);
        errcode_t rc = partition_get(self, FAMILY_STATE, key,
                                     key_session(key, self->config.number, &session.token),
                                     &self->value, &found, err);
        if (rc != ERR_NONE || !found)
            return rc != ERR_NONE ? rc : err_set(err, ERR_NOT_FOUND, "the session has ended");
    }
    for (size_t i = 0; i < self->config.home_count; i++) {
        errcode_t rc = partition_room(self, self->config.homes[i], err);
        if (rc != ERR_NONE)
            return rc;
    }
    write_session(self, &session);
    buffer_reset(&self->blob);
    session_encode(&session, &self->blob);
    for (size_t i = 0; i < self->config.home_count; i++)
        partition_message(self, self->config.homes[i], &self->blob);
    result->status = 200;
    result->renderer = RENDER_NONE;
    result->recorded_us = self->now_us;
    return ERR_NONE;
}

errcode_t decide_session_message(partition_t *self, text_t body, err_t *err)
{
    session_t session;
    errcode_t rc = session_decode(&session, body, err);
    if (rc == ERR_NONE)
        write_session(self, &session);
    return rc;
}

/* Collects tokens of expired rows behind self->sweep_from, which moves on; 0 when there are none. */
static size_t expired_tokens(partition_t *self, hash_t *tokens)
{
    uint8_t lower[BATCH_KEY_BYTES_MAX], prefix[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    size_t lower_bytes = key_session(lower, self->config.number, &self->sweep_from);
    size_t prefix_bytes = key_tag(prefix, self->config.number, 'S');
    size_t upper_bytes = key_after_prefix(upper, prefix, prefix_bytes);
    size_t found = 0, looked_at = 0;
    store_cursor_t *cursor = store_cursor_new(self->config.store, NULL, FAMILY_STATE, lower,
                                              lower_bytes, upper, upper_bytes);

    self->sweep_from = (hash_t){{0}};
    for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
        session_t session;
        size_t key_bytes, n;
        const uint8_t *key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value = store_cursor_value(cursor, &n);
        if (key_bytes != prefix_bytes + HASH_BYTES)
            continue;
        memcpy(session.token.bytes, key + prefix_bytes, HASH_BYTES);
        if (++looked_at > SWEEP_ROWS_MAX) {
            self->sweep_from = session.token;
            break;
        }
        hash_t token = session.token;
        if (session_row_decode(&session, value, n, NULL) == ERR_NONE &&
            session.expires_us < self->now_us - EXPIRED_KEPT_US)
            tokens[found++] = token;
    }
    store_cursor_destroy(&cursor);
    return found;
}

void sessions_sweep(partition_t *self, int64_t wall_us)
{
    hash_t tokens[SWEEP_ROWS_MAX];

    if (wall_us < self->next_sweep_us || partition_full(self))
        return;
    self->next_sweep_us = wall_us + SWEEP_EVERY_US;
    self->now_us = wall_us > self->decided.now_us ? wall_us : self->decided.now_us;
    size_t count = expired_tokens(self, tokens);
    if (count == 0)
        return;
    decision_begin(self, NULL, 0, false);
    for (size_t i = 0; i < count; i++) {
        uint8_t key[BATCH_KEY_BYTES_MAX];
        row_write_t newer;
        /* Written again in a round that is not on disk yet: not ours to end. */
        if (partition_decided(self, FAMILY_STATE, key,
                              key_session(key, self->config.number, &tokens[i]), &newer))
            continue;
        write_session(self, &(session_t){.token = tokens[i]});
    }
    decision_end(self);
}
