/* first_start.c - the first user, and the lines that are printed for a newcomer */
#include "node/first_start.h"

#include "node/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ADMIN_WAIT_US  INT64_C(15000000)
#define ADMIN_ATTEMPTS 50

static errcode_t define_admin(router_t *router, const char *password, err_t *err);

errcode_t first_start_admin(router_t *router, bool owns_definitions, first_start_t *out, err_t *err)
{
    const char *password = getenv("FEALTY_ADMIN_PASSWORD");
    errcode_t rc;

    memset(out, 0, sizeof *out);
    if (!owns_definitions ||
        catalogue_ids(router_catalogue(router), CATALOGUE_NEWEST, RESOURCE_USER, NULL, 0) > 0)
        return ERR_NONE;
    out->given = password != NULL && password[0] != '\0';
    if (!out->given)
        user_random_password(out->password);
    /* On a shared log the definitions may move to another node right now. Whoever began goes on through the new owner:
     * that one was no owner when it looked. */
    for (unsigned attempts = 0;; attempts++) {
        const struct timespec moment = {.tv_nsec = 200000000};

        rc = define_admin(router, out->given ? password : out->password, err);
        if ((rc != ERR_UNREACHABLE && rc != ERR_UNKNOWN_OUTCOME) || attempts == ADMIN_ATTEMPTS)
            break;
        (void)nanosleep(&moment, NULL);
        if (catalogue_ids(router_catalogue(router), CATALOGUE_NEWEST, RESOURCE_USER, NULL, 0) > 0) {
            rc = ERR_NONE;
            break;
        }
    }
    out->made = rc == ERR_NONE;
    return rc;
}

static errcode_t define_admin(router_t *router, const char *password, err_t *err)
{
    user_patch_t patch = {
        .username = "admin", .password = password, .active = 1, .staff = 1, .superuser = 1};
    command_t command = {
        .kind = COMMAND_DEFINE, .operation = OPERATION_DEFINE, .resource = RESOURCE_USER};
    uint16_t partition = router_catalogue_partition(router);
    buffer_t json;
    buffer_t bytes;
    waiter_t waiter;
    request_t *request = NULL;
    result_t result;
    errcode_t rc;

    buffer_init(&json, 16 * 1024);
    buffer_init(&bytes, 64 * 1024);
    rc = user_patch_encode(&patch, &json, err);
    if (rc == ERR_INVALID)
        rc =
            err_set(err, ERR_INVALID, "FEALTY_ADMIN_PASSWORD: a password has %d to 1024 characters",
                    USER_PASSWORD_LEAST);
    if (rc != ERR_NONE)
        goto cleanup;
    command.body = (text_t){(const char *)json.bytes, json.size};
    command.deadline_us = router_now_us(router) + ADMIN_WAIT_US;
    command_encode(&command, &bytes);
    request = request_new(partition, bytes.bytes, bytes.size, command.deadline_us);
    waiter_init(&waiter);
    waiter_watch(&waiter, request);
    rc = router_post(router, request, err);
    if (rc != ERR_NONE)
        goto cleanup;
    if (!waiter_wait(&waiter, 1, ADMIN_WAIT_US)) {
        waiter_abandon(&waiter, request);
        rc = err_set(err, ERR_UNKNOWN_OUTCOME, "the first user was not stored within %d s",
                     (int)(ADMIN_WAIT_US / 1000000));
        goto cleanup;
    }
    rc = request->err.code;
    if (rc != ERR_NONE) {
        *err = request->err;
        goto cleanup;
    }
    rc = result_decode(&result, request->result.bytes, request->result.size, err);
    if (rc == ERR_NONE && result.status >= 300)
        rc = err_set(err, ERR_STATE, "the first user was refused: %.*s", (int)result.error.n,
                     result.error.bytes);

cleanup:
    if (request != NULL)
        request_release(request);
    buffer_free(&bytes);
    buffer_free(&json);
    return rc;
}

/* An address that a browser on this machine can open. */
static void url_of(const char *listen, char *out, size_t size)
{
    const char *colon = strrchr(listen, ':');

    if (colon == NULL)
        (void)snprintf(out, size, "http://127.0.0.1:%s", listen);
    else if (strncmp(listen, "0.0.0.0:", 8) == 0)
        (void)snprintf(out, size, "http://127.0.0.1%s", colon);
    else
        (void)snprintf(out, size, "http://%s", listen);
}

static void write_lines(buffer_t *out, const char *url, const char *password)
{
    static const char *const lines[] = {
        "curl -w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"name\":\"Points\",\"start_date\":\"2020-01-01T00:00:00Z\","
        "\"end_date\":\"2099-01-01T00:00:00Z\"}' $API/loyaltyPrograms/ --next "
        "-w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"customer_id\":\"11111111-1111-4111-8111-111111111111\",\"program\":1}' "
        "$API/loyaltyAccounts/ --next "
        "-w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"customer_id\":\"22222222-2222-4222-8222-222222222222\",\"program\":1}' "
        "$API/loyaltyAccounts/",
        "curl -w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"customer_id\":\"11111111-1111-4111-8111-111111111111\","
        "\"program_id\":1,\"transaction_amount\":\"120.50\",\"idempotency_key\":\"first-earn\"}' "
        "$API/services/points/earn/",
        "curl -w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"customer_id\":\"11111111-1111-4111-8111-111111111111\","
        "\"program_id\":1,\"reward_cost\":20,\"idempotency_key\":\"first-burn\"}' "
        "$API/services/points/burn/",
        "curl -w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"from_customer_id\":\"11111111-1111-4111-8111-111111111111\","
        "\"to_customer_id\":\"22222222-2222-4222-8222-222222222222\",\"program_id\":1,\"points\":"
        "30,"
        "\"idempotency_key\":\"first-transfer\"}' $API/services/points/transfer/",
        "curl -w '\\n' -sS -H \"$AUTH\" --json "
        "'{\"customer_id\":\"11111111-1111-4111-8111-111111111111\","
        "\"program_id\":1}' $API/services/points/reconcile/",
    };
    static const char *const meanings[] = {"a program, and two customers in it",
                                           "one earns 120 points", "spends 20",
                                           "gives 30 to the other", "and the books agree"};

    buffer_printf(out, "Log in (once):\n\n  export API=%s/api/loyalty/v1\n", url);
    buffer_printf(out,
                  "  export AUTH=\"Authorization: Token $(curl -sS --json "
                  "'{\"username\":\"admin\",\"password\":\"'\"%s\"'\"}' "
                  "%s/api/auth/login/ | sed 's/.*\"token\": *\"\\([0-9a-f]*\\)\".*/\\1/')\"\n\n",
                  password, url);
    buffer_text(out, "Then paste these five lines:\n\n");
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        buffer_printf(out, "  # %zu. %s\n  %s\n", i + 1, meanings[i], lines[i]);
    buffer_text(out, "\n");
}

void first_start_greeting(const first_start_t *self, const char *listen, const char *data,
                          bool new_books, buffer_t *out)
{
    char url[320];

    url_of(listen, url, sizeof url);
    buffer_printf(out, "\nFealty %s serves %s/ from the directory %s\n\n", FEALTY_VERSION, url,
                  data);
    if (self->made && !self->given)
        buffer_printf(out,
                      "The first user is `admin`, password `%s`.\nIt is shown this once; `fealty "
                      "user passwd admin` "
                      "sets another one.\n\n",
                      self->password);
    else if (self->made)
        buffer_text(out,
                    "The first user is `admin`, with the password of FEALTY_ADMIN_PASSWORD.\n\n");
    else if (new_books)
        buffer_text(
            out,
            "The user `admin` was made by the node that keeps the definitions; its password stands "
            "in that node's output.\n\n");
    if (!new_books)
        return;
    buffer_printf(
        out,
        "Where to click: %s/ says what is served, %s/readyz whether it serves, %s/metrics how "
        "much.\n"
        "What to read:   docs/first-steps.md, docs/api.md. There is no web console yet.\n\n",
        url, url, url);
    if (self->made)
        write_lines(out, url, self->given ? "$FEALTY_ADMIN_PASSWORD" : self->password);
}
