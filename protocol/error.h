/* error.h - a code for programs, a sentence for people
 *
 * Contract   One table holds all that the program wants to know about a code: the name on the wire
 *            (`code` beside `error`, semantics section 26), the HTTP status, the body's shape
 *            (api-resources 1.5) and whether a retry can help. Nobody decides these elsewhere.
 * Threads    Functions are pure; an err_t belongs to one thread.
 * Ownership  An err_t is a value; it owns nothing.
 * Units      Nothing to say.
 * Errors     err_set() returns the code it was given, so that a failing function ends in one line.
 */
#ifndef FEALTY_ERROR_H
#define FEALTY_ERROR_H

#include "protocol/compiler.h"

/* Shapes of error bodies, api-resources 1.5. SHAPE_INPUT is V on resources and E on services. */
typedef enum {
    SHAPE_NONE,
    SHAPE_INPUT,  /* malformed field: {"field":["..."]} on resources, {"error":"..."} on services */
    SHAPE_DETAIL, /* {"detail":"..."} */
    SHAPE_REFUSAL, /* {"success":false,"error","errors","code","metadata"} on services, D on resources */
    SHAPE_FAULT /* {"error":"internal error","request_id":"..."} */
} err_shape_t;

/* clang-format off */
/*    code                    wire name                    sentence                                http shape          retry */
#define ERR_MAP(X)                                                                                                     \
    X(ERR_NONE,               "",                          "ok",                                    200, SHAPE_NONE,    false) \
    X(ERR_INVALID,            "invalid",                   "the request is not valid",              400, SHAPE_INPUT,   false) \
    X(ERR_MALFORMED,          "malformed",                 "the body cannot be read",               400, SHAPE_DETAIL,  false) \
    X(ERR_INVALID_AMOUNT,     "invalid_amount",            "an amount above zero is needed",        400, SHAPE_REFUSAL, false) \
    X(ERR_OUT_OF_RANGE,       "amount_out_of_range",       "the number does not fit",               400, SHAPE_REFUSAL, false) \
    X(ERR_NO_POINTS,          "insufficient_points",       "Insufficient points",                   400, SHAPE_REFUSAL, false) \
    X(ERR_ZERO,               "zero",                      "nothing to earn",                       400, SHAPE_REFUSAL, false) \
    X(ERR_ACCOUNT_STATUS,     "account_status",            "the account is not active",             400, SHAPE_REFUSAL, false) \
    X(ERR_PROGRAM_STATUS,     "program_status",            "the program is not open",               400, SHAPE_REFUSAL, false) \
    X(ERR_EFFECTIVE_AT,       "effective_at_out_of_range", "the date is out of range",              400, SHAPE_REFUSAL, false) \
    X(ERR_RECEIVER,           "account_status",            "the receiver cannot take points",       400, SHAPE_REFUSAL, false) \
    X(ERR_OVERDRAW,           "insufficient_points",       "the balance would fall below zero",     400, SHAPE_DETAIL,  false) \
    X(ERR_UNAUTHENTICATED,    "unauthenticated",           "a valid token is needed",               401, SHAPE_DETAIL,  false) \
    X(ERR_FORBIDDEN,          "forbidden",                 "not allowed",                           403, SHAPE_DETAIL,  false) \
    X(ERR_NOT_FOUND,          "not_found",                 "Not found.",                            404, SHAPE_DETAIL,  false) \
    X(ERR_METHOD,             "method",                    "method not allowed",                    405, SHAPE_DETAIL,  false) \
    X(ERR_NOT_ACCEPTABLE,     "not_acceptable",            "only application/json is served",       406, SHAPE_DETAIL,  false) \
    X(ERR_SLOW,               "slow_body",                 "the body came too slowly",              408, SHAPE_DETAIL,  true)  \
    X(ERR_CONFLICT,           "idempotency_conflict",      "this key was used with another body",   409, SHAPE_DETAIL,  false) \
    X(ERR_DUPLICATE,          "duplicate_transaction",     "this reference was used with another body", 409, SHAPE_DETAIL, false) \
    X(ERR_STATE,              "illegal_state",             "the present state does not allow this", 409, SHAPE_DETAIL,  false) \
    X(ERR_IN_PROGRESS,        "in_progress",               "an equal request is still running",     409, SHAPE_DETAIL,  true)  \
    X(ERR_PRECONDITION,       "precondition_failed",       "the object has changed since",          412, SHAPE_DETAIL,  false) \
    X(ERR_TOO_LARGE,          "too_large",                 "the body is too large",                 413, SHAPE_DETAIL,  false) \
    X(ERR_URI_TOO_LONG,       "uri_too_long",              "the address is too long",               414, SHAPE_DETAIL,  false) \
    X(ERR_MEDIA_TYPE,         "media_type",                "this media type is not read here",      415, SHAPE_DETAIL,  false) \
    X(ERR_OVERLOADED,         "overloaded",                "too much at once, try again shortly",   429, SHAPE_DETAIL,  true)  \
    X(ERR_HEADERS_TOO_LARGE,  "headers_too_large",         "the headers are too large",             431, SHAPE_DETAIL,  false) \
    X(ERR_INTERNAL,           "internal",                  "internal error",                        500, SHAPE_FAULT,   true)  \
    X(ERR_CORRUPT,            "corrupt",                   "stored data fails its checks",          500, SHAPE_FAULT,   false) \
    X(ERR_IO,                 "io",                        "disk or network failed",                500, SHAPE_FAULT,   true)  \
    X(ERR_HALTED,             "halted",                    "this partition is halted",              503, SHAPE_DETAIL,  true)  \
    X(ERR_UNREACHABLE,        "unreachable",               "the customer's node cannot be reached", 503, SHAPE_DETAIL,  true)  \
    X(ERR_UNKNOWN_OUTCOME,    "unknown",                   "the outcome is not known yet",          504, SHAPE_DETAIL,  true)  \
    X(ERR_NOT_OWNER,          "unreachable",               "the partition has moved to another node", 503, SHAPE_DETAIL, true) \
    X(ERR_POSITION_LOST,      "position_lost",             "the log does not hold this position: what was seen there may be gone", 409, SHAPE_DETAIL, false) \
    X(ERR_POSITION_AHEAD,     "position_ahead",            "this copy has not reached the position yet", 503, SHAPE_DETAIL, true)
/* clang-format on */

typedef enum {
#define X(code, name, text, http, shape, retry) code,
    ERR_MAP(X)
#undef X
        ERR__COUNT
} errcode_t;

typedef struct {
    errcode_t code;
    char field[48]; /* member at fault, "" when the whole request is meant */
    char text[208];
} err_t;

typedef struct {
    const char *name; /* on the wire */
    const char *text;
    int http;
    err_shape_t shape;
    bool retry;
} err_info_t;

const err_info_t *err_info(errcode_t code);

/* Fills err unless NULL and returns code. A NULL format takes the table's sentence. */
errcode_t err_set(err_t *err, errcode_t code, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same, naming the member at fault. */
errcode_t err_field(err_t *err, errcode_t code, const char *field, const char *format, ...)
    PRINTF_LIKE(4, 5);

#ifdef __clang_analyzer__
/* It does not look into another file: tell it that the given code comes back. */
#define err_set(err, code, ...)          (err_set(err, code, __VA_ARGS__), (code))
#define err_field(err, code, field, ...) (err_field(err, code, field, __VA_ARGS__), (code))
#endif

#endif
