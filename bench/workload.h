/* workload.h - which request comes next, ready to send
 *
 * Contract   A request is a template compiled once, with holes of fixed width for customer, amount
 *            and key: to write one is a copy and a few small patches, so the generator stays cheap
 *            next to the server. Keys are unique over all runs. Customers are drawn from
 *            customers.h by uniform or zipfian choice.
 * Threads    A workload belongs to one worker thread. The shared sequence of an enrolment is
 *            atomic.
 * Ownership  workload_new / workload_destroy; the configuration and endpoints are borrowed for its
 *            life.
 * Units      Requests; lines of a batch; points.
 * Errors     A sentence in the problem.
 */
#ifndef FEALTY_BENCH_WORKLOAD_H
#define FEALTY_BENCH_WORKLOAD_H

#include "bench/endpoint.h"

#include <stdatomic.h>

/*    kind               name        what one request is */
#define WORKLOAD_MAP(X)                                                        \
    X(WORKLOAD_EARN, "earn", "one purchase earns points")                      \
    X(WORKLOAD_BURN, "burn", "points are spent")                               \
    X(WORKLOAD_BALANCE, "balance", "the accounts of a customer are read")      \
    X(WORKLOAD_MIXED, "mixed", "70 % earn, 20 % burn, 10 % balance")           \
    X(WORKLOAD_TRANSFER, "transfer", "points go from one customer to another") \
    X(WORKLOAD_BATCH, "batch", "many earns in one request (--batch-lines)")    \
    X(WORKLOAD_ENROL, "enrol", "an account is opened (used by preload)")

typedef enum {
#define X(kind, name, text) kind,
    WORKLOAD_MAP(X)
#undef X
        WORKLOAD__COUNT
} workload_kind_t;

typedef enum {
    OPERATION_EARN,
    OPERATION_BURN,
    OPERATION_BALANCE,
    OPERATION_TRANSFER,
    OPERATION_BATCH,
    OPERATION_ENROL,
    OPERATION__COUNT
} operation_t;

typedef enum { KEY_IN_BODY, KEY_IN_HEADER, KEY_NONE } key_place_t;

typedef struct {
    workload_kind_t kind;
    const endpoint_t *endpoints;
    unsigned endpoint_count;
    const char *token;
    uint64_t program;
    uint64_t customers;
    double theta; /* 0 = uniform */
    unsigned batch_lines;
    key_place_t keys;
    uint64_t seed;                  /* of the choice of customers */
    uint64_t run;                   /* random: keeps the keys of two runs apart */
    uint64_t points;                /* enrol: opening balance */
    atomic_uint_fast64_t *sequence; /* enrol: next customer */
    uint64_t sequence_end;
} workload_config_t;

typedef struct workload workload_t;

bool workload_new(workload_t **self_p, const workload_config_t *config, unsigned worker,
                  problem_t *problem);
void workload_destroy(workload_t **self_p);
size_t workload_request_max(const workload_t *self);
/* Writes the next request for that endpoint and returns its length; 0 when an enrolment is
 * complete. */
size_t workload_write(workload_t *self, unsigned endpoint, char *out, operation_t *operation);

bool workload_kind_parse(const char *text, workload_kind_t *kind);
const char *workload_kind_name(workload_kind_t kind);
const char *workload_kind_text(workload_kind_t kind);
const char *operation_label(operation_t operation);
/* May be sent again when nobody knows whether it arrived. */
bool operation_repeatable(operation_t operation, key_place_t keys);

#endif
