/* session_decide.c - sessions: kept in the home partition of the node that got the login, told to all other nodes
 *
 * Login needs no other node: the row is local, the others learn it by message, also those that are down now.
 */
#include "actors/decide.h"

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
