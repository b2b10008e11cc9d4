/* resources.h - the resources of the ledger on the wire (api-resources 2.1 to 2.4)
 *
 * Contract   resource_routes is put into the route table at start. The functions below are what the files of the
 *            resources share.
 * Threads    Handlers run on the exchange's thread.
 * Ownership  What is returned lives in the exchange's arena.
 * Units      Microseconds.
 * Errors     Functions that return false or NULL have written the error answer.
 */
#ifndef FEALTY_RESOURCES_H
#define FEALTY_RESOURCES_H

#include "http/exchange.h"
#include "http/list.h"

extern const route_t resource_routes[];
extern const size_t resource_route_count;

/* Number in the path; what is no id of anything is 404. */
bool resource_id(exchange_t *self, uint64_t max, uint64_t *out);
/* If-Match: sets command->if_match. What no ETag of ours can be is 412. */
bool resource_if_match(exchange_t *self, command_t *command);
/* The body checked against a table, in normal form; its text in *text unless NULL. */
const json_t *resource_check(exchange_t *self, const schema_table_t *table, schema_mode_t mode,
                             text_t *text);
/* What the method means for the schema. */
schema_mode_t resource_mode(const exchange_t *self);
/* page, page_size; 404 for a page that cannot exist. */
bool resource_page(exchange_t *self, list_page_t *out);
void resource_errors(exchange_t *self, const schema_errors_t *errors);
/* One field, one message: V. */
void resource_fault(exchange_t *self, const char *field, const char *message);
/* Sends and answers. */
void resource_send(exchange_t *self, command_t *command, uint16_t partition);
/* Asks one partition for one row: account or entry. The row lives in the arena. */
bool resource_row(exchange_t *self, uint16_t partition, const query_t *query, text_t *row);
void resource_etag(exchange_t *self, uint64_t version);

/* Members of a normal form. Absent and null: 0, n 0, false. */
bool resource_has(const json_t *object, const char *name);
int64_t resource_number(const json_t *object, const char *name);
text_t resource_text(const json_t *object, const char *name);
uuid16_t resource_uuid(const json_t *object, const char *name);

typedef enum { FILTER_NONE, FILTER_SET, FILTER_NOTHING, FILTER_WRONG } filter_state_t;
/* Query parameters as filters. FILTER_WRONG: the error is written; FILTER_NOTHING: no row can have this value. */
filter_state_t resource_filter_id(exchange_t *self, const char *name, uint64_t max, uint64_t *out);
filter_state_t resource_filter_bool(exchange_t *self, const char *name, bool *out);
filter_state_t resource_filter_uuid(exchange_t *self, const char *name, uuid16_t *out);
filter_state_t resource_filter_time(exchange_t *self, const char *name, int64_t *out_us);

/* Handlers of accounts.c. */
void serve_accounts(exchange_t *self);
void serve_account(exchange_t *self);
void create_account(exchange_t *self);
void change_account(exchange_t *self);
void delete_account(exchange_t *self);
void serve_accounts_of_customer(exchange_t *self);
void serve_tier_progress(exchange_t *self);
void set_account_status(exchange_t *self);

/* Handlers of transactions.c. */
void serve_transactions(exchange_t *self);
void serve_transaction(exchange_t *self);
void create_transaction(exchange_t *self);
void change_transaction(exchange_t *self);
void delete_transaction(exchange_t *self);
void serve_transactions_of_customer(exchange_t *self);

#endif
