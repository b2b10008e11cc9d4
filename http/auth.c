/* auth.c - login, logout, me, check-permission, and the token step of every other request */
#include "http/auth.h"

#include "protocol/log.h"
#include "protocol/metrics.h"

#include <errno.h>
#include <sodium.h>

#define LOOKUPS_MAX \
    16 /* look-ups of unknown tokens at a time: made-up tokens must not flood other nodes */
#define HASHING_WAIT_MAX   16 /* password checks that run or wait; more are told to come back */
#define PASSWORD_BYTES_MAX 1024
#define USERNAME_BYTES_MAX 150
#define PROLONG_PAUSE_US   (INT64_C(60) * SECOND_US)

typedef enum { TOKEN_GOOD, TOKEN_BAD, TOKEN_ANSWERED } token_outcome_t;

static void login(exchange_t *self);
static void logout(exchange_t *self);
static void me(exchange_t *self);
static void check_permission(exchange_t *self);
static token_outcome_t token_find(call_t *call, text_t text, hash_t *token,
                                  http_session_t *session);
static token_outcome_t ask(call_t *call, uint16_t partition, const hash_t *token,
                           http_session_t *session);
static void prolong(call_t *call, const http_session_t *session);
static bool password_is(call_t *call, const user_t *user, text_t password, bool *busy);
static bool issue(call_t *call, const user_t *user, char token[SESSION_TOKEN_CHARS + 1]);
static void write_user(exchange_t *self, const user_t *user);
static void write_permissions(exchange_t *self, const user_t *user);
static void error_text(exchange_t *self, int status, const char *text);
static void too_often(exchange_t *self, int64_t wait_us);

const route_t auth_routes[] = {
    {METHOD_POST, "/api/auth/login/", login, NULL, 16 * 1024, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_POST, "/api/auth/logout/", logout, NULL, 16 * 1024, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/api/auth/me/", me, NULL, 0, 0, FAMILY_SERVICE, NULL},
    {METHOD_POST, "/api/auth/check-permission/", check_permission, NULL, 16 * 1024, 0,
     FAMILY_SERVICE, NULL},
};
const size_t auth_route_count = COUNT_OF(auth_routes);

bool auth_check(call_t *call)
{
    exchange_t *self = &call->exchange;
    text_t text;
    http_session_t session;

    if (!head_token(call->head.authorization, &text)) {
        exchange_detail(self, 401, "Authentication credentials were not provided.");
        return false;
    }
    switch (token_find(call, text, &self->token, &session)) {
    case TOKEN_ANSWERED: return false;
    case TOKEN_BAD: exchange_detail(self, 401, "Invalid token."); return false;
    case TOKEN_GOOD: break;
    }
    self->user_row = catalogue_user(router_catalogue(self->router), CATALOGUE_NEWEST, session.user);
    if (self->user_row == NULL || !self->user_row->active) {
        exchange_detail(self, 401, "User inactive or deleted.");
        return false;
    }
    self->user = session.user;
    self->superuser = self->user_row->superuser;
    prolong(call, &session);
    return true;
}

static bool same_permission(text_t held, text_t wanted)
{
    for (int swap = 0; swap < 2; swap++) {
        /* Split a at its separator and compare with both other spellings of it. */
        text_t a = swap ? wanted : held, b = swap ? held : wanted;
        const char *dot = memchr(a.bytes, '.', a.n);
        size_t first, second;

        if (dot == NULL)
            dot = memchr(a.bytes, ':', a.n);
        if (dot == NULL || b.n != a.n)
            continue;
        first = (size_t)(dot - a.bytes);
        second = a.n - first - 1;
        if (memcmp(a.bytes, b.bytes, first) == 0 &&
            (b.bytes[first] == '.' || b.bytes[first] == ':') &&
            memcmp(dot + 1, b.bytes + first + 1, second) == 0)
            return true;
        if (memcmp(dot + 1, b.bytes, second) == 0 && b.bytes[second] == '_' &&
            memcmp(a.bytes, b.bytes + second + 1, first) == 0)
            return true;
    }
    return held.n == wanted.n && memcmp(held.bytes, wanted.bytes, held.n) == 0;
}

bool permission_held(const char *held, text_t wanted)
{
    while (*held != '\0') {
        size_t n = strcspn(held, "\n");

        if ((n == 1 && *held == '*') ||
            (n > 0 && wanted.n > 0 && same_permission((text_t){held, n}, wanted)))
            return true;
        held += n;
        if (*held == '\n')
            held++;
    }
    return false;
}

static void login(exchange_t *self)
{
    call_t *call = call_of(self);
    const json_t *username = body_member(self, "username");
    const json_t *password = body_member(self, "password");
    int64_t now = clock_boot_us(call->server->config.clock);
    int64_t wait_us;
    const user_t *user;
    bool busy = false;
    char token[SESSION_TOKEN_CHARS + 1];

    if (username == NULL || password == NULL || username->type != JSON_STRING ||
        password->type != JSON_STRING || username->text_bytes == 0 || password->text_bytes == 0) {
        error_text(self, 400, "username and password are required");
        return;
    }
    if (username->text_bytes > USERNAME_BYTES_MAX || password->text_bytes > PASSWORD_BYTES_MAX) {
        error_text(self, 401, "Invalid credentials");
        return;
    }
    if (!throttle_try(call->server->throttle_user, username->text, username->text_bytes, now,
                      &wait_us)) {
        too_often(self, wait_us);
        return;
    }
    if (!throttle_try(call->server->throttle_address, call->address, strlen(call->address), now,
                      &wait_us)) {
        throttle_good(call->server->throttle_user, username->text, username->text_bytes, false);
        too_often(self, wait_us);
        return;
    }
    user = catalogue_user_by_name(router_catalogue(self->router), username->text,
                                  username->text_bytes);
    if (!password_is(call, user, (text_t){password->text, password->text_bytes}, &busy)) {
        if (busy) {
            throttle_good(call->server->throttle_user, username->text, username->text_bytes, false);
            throttle_good(call->server->throttle_address, call->address, strlen(call->address),
                          false);
            too_often(self, SECOND_US);
            return;
        }
        metric_add(METRIC_LOGIN_FAILURES, 1);
        error_text(self, 401, "Invalid credentials");
        return;
    }
    throttle_good(call->server->throttle_user, username->text, username->text_bytes, true);
    throttle_good(call->server->throttle_address, call->address, strlen(call->address), false);
    if (!user->active) {
        error_text(self, 403, "User account is disabled");
        return;
    }
    if (!issue(call, user, token))
        return;
    self->status = 200;
    buffer_text(&self->out, "{\"token\":\"");
    buffer_text(&self->out, token);
    buffer_text(&self->out, "\",\"user\":");
    write_user(self, user);
    buffer_text(&self->out, ",\"permissions\":");
    write_permissions(self, user);
    buffer_byte(&self->out, '}');
    sodium_memzero(token, sizeof token);
}

/* Always 200: whoever logs out wants to be without a token, and is. */
static void logout(exchange_t *self)
{
    call_t *call = call_of(self);
    text_t text;
    hash_t token;
    http_session_t session;
    token_outcome_t found = TOKEN_BAD;

    if (head_token(call->head.authorization, &text))
        found = token_find(call, text, &token, &session);
    if (found == TOKEN_GOOD) {
        command_t command = {.kind = COMMAND_SESSION_END, .token = token, .user = session.user};
        result_t result;

        /* On this node the token is dead from here on, whatever becomes of the command. */
        session_table_end(call->server->sessions, &token, router_now_us(self->router));
        if (!exchange_command(self, &command, router_home_partition(self->router), &result))
            log_write(LOG_WARN, self->request_id,
                      "the end of a session is not committed yet (status %d)", self->status);
    }
    call_reset_answer(call);
    self->status = 200;
    buffer_text(&self->out, "{\"message\":\"Logged out\"}");
}

static void me(exchange_t *self)
{
    self->status = 200;
    buffer_text(&self->out, "{\"user\":");
    write_user(self, self->user_row);
    buffer_text(&self->out, ",\"permissions\":");
    write_permissions(self, self->user_row);
    buffer_byte(&self->out, '}');
}

static void check_permission(exchange_t *self)
{
    const json_t *permission = body_member(self, "permission");

    if (permission == NULL || permission->type != JSON_STRING || permission->text_bytes == 0) {
        error_text(self, 400, "permission is required");
        return;
    }
    self->status = 200;
    buffer_text(&self->out, "{\"has_permission\":");
    buffer_text(&self->out, self->superuser || permission_held(self->user_row->permissions,
                                                               (text_t){permission->text,
                                                                        permission->text_bytes})
                                ? "true"
                                : "false");
    buffer_text(&self->out, ",\"permission\":");
    json_write_string(&self->out, permission->text, permission->text_bytes);
    buffer_byte(&self->out, '}');
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static token_outcome_t token_find(call_t *call, text_t text, hash_t *token, http_session_t *session)
{
    exchange_t *self = &call->exchange;
    int64_t now = router_now_us(self->router);
    uint16_t home, issuer = 0;
    token_outcome_t outcome;
    err_t err;

    if (text.n != SESSION_TOKEN_CHARS)
        return TOKEN_BAD;
    for (size_t i = 0; i < text.n; i++) {
        int digit = hex_digit(text.bytes[i]);

        if (digit < 0)
            return TOKEN_BAD;
        if (i < 4)
            issuer = (uint16_t)(issuer << 4 | digit);
    }
    *token = hash_bytes(text.bytes, text.n);
    switch (session_table_find(call->server->sessions, token, now, session)) {
    case SESSION_LIVE: return TOKEN_GOOD;
    case SESSION_ENDED: return TOKEN_BAD;
    case SESSION_UNKNOWN: break;
    }
    if (issuer > router_catalogue_partition(self->router))
        return TOKEN_BAD;
    if (atomic_fetch_add(&call->server->lookups, 1) >= LOOKUPS_MAX) {
        atomic_fetch_sub(&call->server->lookups, 1);
        err_set(&err, ERR_OVERLOADED, NULL);
        exchange_error(self, &err);
        return TOKEN_ANSWERED;
    }
    home = router_home_partition(self->router);
    outcome = ask(call, home, token, session);
    if (outcome == TOKEN_BAD && issuer != home)
        outcome = ask(call, issuer, token, session);
    atomic_fetch_sub(&call->server->lookups, 1);
    if (outcome != TOKEN_GOOD)
        return outcome;
    session_table_put(call->server->sessions, token, session, now);
    /* Once more: an end that arrived while we asked has left its mark. */
    return session_table_find(call->server->sessions, token, now, session) == SESSION_LIVE
               ? TOKEN_GOOD
               : TOKEN_BAD;
}

static token_outcome_t ask(call_t *call, uint16_t partition, const hash_t *token,
                           http_session_t *session)
{
    exchange_t *self = &call->exchange;
    query_t query = {.kind = QUERY_SESSION, .token = *token};
    buffer_t *answer_bytes = &call->worker->answer;
    answer_t answer;
    const void *row;
    size_t n;
    err_t err;
    errcode_t rc;

    buffer_reset(answer_bytes);
    rc = router_query(self->router, partition, &query, self->deadline_us, answer_bytes, &err);
    if (rc == ERR_NOT_FOUND)
        return TOKEN_BAD;
    if (rc == ERR_NONE)
        rc = answer_decode(&answer, answer_bytes->bytes, answer_bytes->size, &err);
    if (rc != ERR_NONE) {
        /* Neither yes nor no: without the issuer's word the token may be good. */
        error_outcome(self, &err, partition, (text_t){NULL, 0});
        return TOKEN_ANSWERED;
    }
    if (answer.row_count == 0)
        return TOKEN_BAD;
    n = unpack_blob(&answer.rows, &row);
    if (answer.rows.failed || session_table_read_row(session, row, n, &err) != ERR_NONE) {
        err_set(&err, ERR_CORRUPT, "a session row cannot be read");
        exchange_error(self, &err);
        return TOKEN_ANSWERED;
    }
    return session->expires_us > router_now_us(self->router) ? TOKEN_GOOD : TOKEN_BAD;
}

/* Sliding expiry: once an eighth of the life is used up, at most once a minute, and without waiting
 * for it. The command carries if_match = 1: prolong only what is there, or a logout elsewhere would
 * be undone. */
static void prolong(call_t *call, const http_session_t *session)
{
    exchange_t *self = &call->exchange;
    int64_t now = router_now_us(self->router);
    int64_t ttl = call->server->config.token_ttl_us;
    command_t command = {.kind = COMMAND_SESSION_PUT,
                         .token = self->token,
                         .user = session->user,
                         .actor = session->user,
                         .expires_us = now + ttl,
                         .deadline_us = self->deadline_us,
                         .if_match = 1};
    buffer_t *encoded = &call->worker->scratch;
    request_t *request;

    if (session->expires_us - now >= ttl - ttl / 8 ||
        !session_table_claim(call->server->sessions, &self->token, now, PROLONG_PAUSE_US))
        return;
    buffer_reset(encoded);
    command_encode(&command, encoded);
    request = request_new(router_home_partition(self->router), encoded->bytes, encoded->size,
                          self->deadline_us);
    /* A failure only means that the session is not prolonged this time. */
    (void)router_post(self->router, request, NULL);
    request_release(request);
}

static bool password_is(call_t *call, const user_t *user, text_t password, bool *busy)
{
    /* The cost is that of node/users.c: an unknown name takes as long as a wrong password. No text
     * is known for it. */
    static const char nobody[crypto_pwhash_STRBYTES] =
        "$argon2id$v=19$m=19456,t=2,p=1$hHg4H8UXc72vKgiWRsIj4Q$"
        "YmVy7aFaLGbxPkC2cZj1+I+dCJ4Znxuvkb679zNSiSA";
    bool known = user != NULL && user->password[0] != '\0';
    int outcome;

    if (atomic_fetch_add(&call->server->hashing, 1) >= HASHING_WAIT_MAX) {
        atomic_fetch_sub(&call->server->hashing, 1);
        *busy = true;
        return false;
    }
    while (sem_wait(&call->server->password_gate) != 0)
        INVARIANT(errno == EINTR);
    outcome = crypto_pwhash_str_verify(known ? user->password : nobody, password.bytes, password.n);
    INVARIANT(sem_post(&call->server->password_gate) == 0);
    atomic_fetch_sub(&call->server->hashing, 1);
    return known && outcome == 0;
}

static bool issue(call_t *call, const user_t *user, char token[SESSION_TOKEN_CHARS + 1])
{
    exchange_t *self = &call->exchange;
    uint16_t home = router_home_partition(self->router);
    uint8_t bytes[SESSION_TOKEN_CHARS / 2];
    int64_t now = router_now_us(self->router);
    command_t command = {.kind = COMMAND_SESSION_PUT, .user = user->id};
    http_session_t session = {.user = user->id, .created_us = now};
    result_t result;

    random_fill(call->server->config.random, bytes, sizeof bytes);
    be16_put(bytes, home);
    sodium_bin2hex(token, SESSION_TOKEN_CHARS + 1, bytes, sizeof bytes);
    session.expires_us = now + call->server->config.token_ttl_us;
    command.token = hash_bytes(token, SESSION_TOKEN_CHARS);
    command.expires_us = session.expires_us;
    self->user = user->id;
    if (!exchange_command(self, &command, home, &result))
        return false;
    if (result.status >= 300) {
        exchange_result(self, &result);
        return false;
    }
    session_table_put(call->server->sessions, &command.token, &session, now);
    return true;
}

static void write_user(exchange_t *self, const user_t *user)
{
    static const char *const names[] = {"email", "first_name", "last_name"};
    buffer_t *stored = &call_of(self)->worker->answer;
    buffer_t *out = &self->out;
    json_t *object = NULL;
    uint64_t version;

    buffer_reset(stored);
    if (!catalogue_json(router_catalogue(self->router), CATALOGUE_NEWEST, RESOURCE_USER, user->id,
                        stored, &version) ||
        json_parse(&object, self->arena, (const char *)stored->bytes, stored->size, NULL) !=
            ERR_NONE)
        object = NULL;
    buffer_text(out, "{\"id\":");
    json_write_i64(out, user->id);
    buffer_text(out, ",\"username\":");
    json_write_string(out, user->username, strlen(user->username));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const json_t *member = object != NULL ? json_member(object, names[i]) : NULL;
        bool text = member != NULL && member->type == JSON_STRING;

        buffer_byte(out, ',');
        json_write_string(out, names[i], strlen(names[i]));
        buffer_byte(out, ':');
        json_write_string(out, text ? member->text : "", text ? member->text_bytes : 0);
    }
    buffer_text(out, user->staff ? ",\"is_staff\":true" : ",\"is_staff\":false");
    buffer_text(out, user->superuser ? ",\"is_superuser\":true}" : ",\"is_superuser\":false}");
}

static void write_permissions(exchange_t *self, const user_t *user)
{
    const char *at = user->permissions;
    bool first = true;

    if (user->superuser) {
        buffer_text(&self->out, "[\"*\"]");
        return;
    }
    buffer_byte(&self->out, '[');
    while (*at != '\0') {
        size_t n = strcspn(at, "\n");

        if (n > 0) {
            if (!first)
                buffer_byte(&self->out, ',');
            first = false;
            json_write_string(&self->out, at, n);
        }
        at += n;
        if (*at == '\n')
            at++;
    }
    buffer_byte(&self->out, ']');
}

static void error_text(exchange_t *self, int status, const char *text)
{
    call_reset_answer(call_of(self));
    self->status = status;
    buffer_text(&self->out, "{\"error\":");
    json_write_string(&self->out, text, strlen(text));
    buffer_byte(&self->out, '}');
}

static void too_often(exchange_t *self, int64_t wait_us)
{
    call_reset_answer(call_of(self));
    self->status = 429;
    buffer_text(&self->out, "{\"detail\":\"Too many attempts, try again later.\"}");
    buffer_printf(&self->headers, "Retry-After: %lld\r\n",
                  (long long)((wait_us + SECOND_US - 1) / SECOND_US));
}
