/* points_command.h - from the body of a points call to a command
 *
 * Contract   The same reading for the single calls and for a line of a batch: what is malformed is
 *            ERR_INVALID with the member (E on the wire) and never reaches an account; what is a
 *            matter of rules is left to the account. Numbers as in api-services 3: an amount is a
 *            JSON number (exponent allowed) or a string of digits with up to six decimals; an
 *            integer may be written 5, 5.0 or "5".
 * Threads    Pure.
 * Ownership  Texts of the command are borrowed from body and arena.
 * Units      Amounts in millionths.
 * Errors     ERR_INVALID, ERR_INVALID_AMOUNT (an amount above zero is needed), ERR_NOT_FOUND (an id
 *            nobody can have), ERR_TOO_LARGE.
 */
#ifndef FEALTY_POINTS_COMMAND_H
#define FEALTY_POINTS_COMMAND_H

#include "http/exchange.h"

#define POINTS_TEXT_BYTES_MAX      4096 /* description */
#define POINTS_REFERENCE_CHARS_MAX 255
#define POINTS_CONTEXT_BYTES_MAX   65536 /* metadata */

/* Fills kind, operation and what the body says, but not key, hashes, actor and rights. *partition
 * is the owner of the account that acts (for a transfer the giver). */
errcode_t points_command(command_t *out, uint16_t *partition, uint8_t operation, const json_t *body,
                         router_t *router, arena_t *arena, err_t *err);

/* How bodies of these calls are compared. */
extern const json_canonical_t points_canonical;
/* The same for a line of a batch, whose `operation` says what the path says elsewhere. */
extern const json_canonical_t points_line_canonical;

/* Who: by account or by customer. `found` is false when neither is there. */
typedef struct {
    bool found;
    uint64_t account; /* 0: by customer */
    uuid16_t customer;
} party_t;
typedef enum {
    PARTY_SELF,
    PARTY_FROM,
    PARTY_TO
} party_role_t; /* customer_id, from_customer_id, to_customer_id ... */
errcode_t party_read(party_t *out, const json_t *body, party_role_t role, err_t *err);

/* An integer member: *given false when absent or null. */
errcode_t integer_read(int64_t *out, bool *given, const json_t *body, const char *name, err_t *err);
/* An id in a path: digits, 1 to 2^53 - 1. */
bool id_read(uint64_t *out, text_t text);

#endif
