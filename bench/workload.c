/* workload.c - compiles request templates and fills their holes
 *
 * In the source text of a template a control character stands for a hole: see HOLE_MAP. All holes
 * have a fixed width, so Content-Length is a constant of the template.
 */
#include "bench/workload.h"

#include "bench/customers.h"
#include "bench/zipf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_TEXT_BYTES    27 /* 12 digits of the run, '-', 2 of the worker, 12 of the counter */
#define AMOUNT_TEXT_BYTES 3
#define HOLES_MAX         6

#define HOLE_CUSTOMER 1
#define HOLE_OTHER    2
#define HOLE_AMOUNT   3
#define HOLE_KEY      4
#define CUSTOMER      "\001"
#define OTHER         "\002"
#define AMOUNT        "\003"
#define KEY           "\004"

typedef struct {
    char *bytes; /* owned */
    size_t n;
    unsigned hole_count;
    struct {
        uint8_t kind;
        uint32_t at;
    } holes[HOLES_MAX];
} template_t;

struct workload {
    const workload_config_t *config;
    template_t *templates; /* owned; [endpoint][operation] */
    template_t batch_line; /* shared by all endpoints */
    size_t request_max;
    zipf_t zipf;
    random_t random;
    uint64_t counter;
    char key_prefix[15];
};

static bool template_compile(template_t *self, const char *source);
static size_t template_write(const template_t *self, workload_t *workload, char *out);
static bool templates_make(workload_t *self, problem_t *problem);
static bool request_source(const workload_t *self, unsigned endpoint, operation_t operation,
                           char *out, size_t room);
static size_t source_width(const char *source);
static uint64_t pick_customer(workload_t *self);

static const char *const kind_names[WORKLOAD__COUNT] = {
#define X(kind, name, text) name,
    WORKLOAD_MAP(X)
#undef X
};
static const char *const kind_texts[WORKLOAD__COUNT] = {
#define X(kind, name, text) text,
    WORKLOAD_MAP(X)
#undef X
};
static const char *const operation_labels[OPERATION__COUNT] = {"earn",     "burn",  "balance",
                                                               "transfer", "batch", "enrol"};

bool workload_new(workload_t **self_p, const workload_config_t *config, unsigned worker,
                  problem_t *problem)
{
    workload_t *self = calloc(1, sizeof(*self));

    *self_p = self;
    if (self == NULL)
        return problem_set(problem, "no memory for a workload");
    self->config = config;
    zipf_init(&self->zipf, config->customers, config->theta);
    self->random.state = random_mix(config->seed + worker * RANDOM_STEP);
    hex_write(config->run, 12, self->key_prefix);
    self->key_prefix[12] = '-';
    hex_write(worker, 2, self->key_prefix + 13);
    if (templates_make(self, problem))
        return true;
    workload_destroy(self_p);
    return false;
}

void workload_destroy(workload_t **self_p)
{
    workload_t *self = *self_p;

    if (self == NULL)
        return;
    if (self->templates != NULL)
        for (unsigned i = 0; i < self->config->endpoint_count * OPERATION__COUNT; i++)
            free(self->templates[i].bytes);
    free(self->templates);
    free(self->batch_line.bytes);
    free(self);
    *self_p = NULL;
}

size_t workload_request_max(const workload_t *self)
{
    return self->request_max;
}

size_t workload_write(workload_t *self, unsigned endpoint, char *out, operation_t *operation)
{
    const template_t *templates = self->templates + endpoint * OPERATION__COUNT;

    switch (self->config->kind) {
    case WORKLOAD_EARN: *operation = OPERATION_EARN; break;
    case WORKLOAD_BURN: *operation = OPERATION_BURN; break;
    case WORKLOAD_BALANCE: *operation = OPERATION_BALANCE; break;
    case WORKLOAD_TRANSFER: *operation = OPERATION_TRANSFER; break;
    case WORKLOAD_BATCH: {
        *operation = OPERATION_BATCH;
        size_t n = template_write(&templates[OPERATION_BATCH], self, out);
        for (unsigned i = 0; i < self->config->batch_lines; i++)
            n += template_write(&self->batch_line, self, out + n);
        return n;
    }
    case WORKLOAD_ENROL: *operation = OPERATION_ENROL; break;
    case WORKLOAD_MIXED:
    default: {
        uint64_t part = random_below(&self->random, 10);
        *operation = part < 7 ? OPERATION_EARN : part < 9 ? OPERATION_BURN : OPERATION_BALANCE;
        break;
    }
    }
    return template_write(&templates[*operation], self, out);
}

bool workload_kind_parse(const char *text, workload_kind_t *kind)
{
    for (unsigned i = 0; i < WORKLOAD__COUNT; i++)
        if (strcmp(text, kind_names[i]) == 0) {
            *kind = (workload_kind_t)i;
            return true;
        }
    return false;
}

const char *workload_kind_name(workload_kind_t kind)
{
    return kind_names[kind];
}

const char *workload_kind_text(workload_kind_t kind)
{
    return kind_texts[kind];
}

const char *operation_label(operation_t operation)
{
    return operation_labels[operation];
}

bool operation_repeatable(operation_t operation, key_place_t keys)
{
    /* A second enrolment of the same customer is refused by the server, so it repeats safely
     * too. */
    return keys != KEY_NONE || operation == OPERATION_BALANCE || operation == OPERATION_ENROL;
}

static bool templates_make(workload_t *self, problem_t *problem)
{
    const workload_config_t *config = self->config;
    char source[4096];

    self->templates = calloc((size_t)config->endpoint_count * OPERATION__COUNT, sizeof(template_t));
    if (self->templates == NULL)
        return problem_set(problem, "no memory for the request templates");
    snprintf(source, sizeof(source),
             "{\"operation\":\"earn\",\"customer_id\":\"" CUSTOMER "\",\"program_id\":%" PRIu64
             ",\"transaction_amount\":" AMOUNT "%s}\n",
             config->program, config->keys == KEY_NONE ? "" : ",\"idempotency_key\":\"" KEY "\"");
    if (!template_compile(&self->batch_line, source))
        return problem_set(problem, "no memory for the request templates");

    for (unsigned e = 0; e < config->endpoint_count; e++)
        for (unsigned o = 0; o < OPERATION__COUNT; o++) {
            template_t *made = &self->templates[e * OPERATION__COUNT + o];
            if (!request_source(self, e, (operation_t)o, source, sizeof(source)))
                return problem_set(problem, "token or URL is too long");
            if (!template_compile(made, source))
                return problem_set(problem, "no memory for the request templates");
            size_t n =
                made->n + (o == OPERATION_BATCH ? self->batch_line.n * config->batch_lines : 0);
            if (config->kind != WORKLOAD_BATCH && o == OPERATION_BATCH)
                continue;
            if (n > self->request_max)
                self->request_max = n;
        }
    return true;
}

/* The request as text with holes. */
static bool request_source(const workload_t *self, unsigned endpoint, operation_t operation,
                           char *out, size_t room)
{
    static const char *const paths[OPERATION__COUNT] = {"/services/points/earn/",
                                                        "/services/points/burn/",
                                                        "/loyaltyAccounts/customer/" CUSTOMER "/",
                                                        "/services/points/transfer/",
                                                        "/services/points/batch/",
                                                        "/loyaltyAccounts/"};
    const workload_config_t *config = self->config;
    const endpoint_t *node = &config->endpoints[endpoint];
    bool keyed = operation != OPERATION_BALANCE && operation != OPERATION_ENROL &&
                 operation != OPERATION_BATCH;
    const char *key =
        keyed && config->keys == KEY_IN_BODY ? ",\"idempotency_key\":\"" KEY "\"" : "";
    const char *key_header =
        keyed && config->keys == KEY_IN_HEADER ? "Idempotency-Key: " KEY "\r\n" : "";
    char body[512] = "";
    char length[64] = "";
    size_t body_bytes = 0;

    switch (operation) {
    case OPERATION_EARN:
        snprintf(body, sizeof(body),
                 "{\"customer_id\":\"" CUSTOMER "\",\"program_id\":%" PRIu64
                 ",\"transaction_amount\":" AMOUNT "%s}",
                 config->program, key);
        break;
    case OPERATION_BURN:
        snprintf(body, sizeof(body),
                 "{\"customer_id\":\"" CUSTOMER "\",\"program_id\":%" PRIu64
                 ",\"reward_cost\":" AMOUNT "%s}",
                 config->program, key);
        break;
    case OPERATION_TRANSFER:
        snprintf(body, sizeof(body),
                 "{\"from_customer_id\":\"" CUSTOMER "\",\"to_customer_id\":\"" OTHER
                 "\",\"program_id\":%" PRIu64 ",\"points\":" AMOUNT "%s}",
                 config->program, key);
        break;
    case OPERATION_ENROL:
        snprintf(body, sizeof(body),
                 "{\"customer_id\":\"" CUSTOMER "\",\"program\":%" PRIu64
                 ",\"points_balance\":%" PRIu64 "}",
                 config->program, config->points);
        break;
    case OPERATION_BALANCE:
    case OPERATION_BATCH:
    default: break;
    }
    body_bytes = operation == OPERATION_BATCH ? self->batch_line.n * config->batch_lines
                                              : source_width(body);
    if (operation != OPERATION_BALANCE)
        snprintf(length, sizeof(length), "Content-Type: application/%s\r\nContent-Length: %zu\r\n",
                 operation == OPERATION_BATCH ? "x-ndjson" : "json", body_bytes);
    int n = snprintf(
        out, room,
        "%s %s/api/loyalty/v1%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Token %s\r\n%s%s\r\n%s",
        operation == OPERATION_BALANCE ? "GET" : "POST", node->prefix, paths[operation], node->host,
        config->token, key_header, length, body);
    return n > 0 && (size_t)n < room;
}

static size_t hole_width(unsigned char c)
{
    static const uint8_t widths[] = {0, CUSTOMER_TEXT_BYTES, CUSTOMER_TEXT_BYTES, AMOUNT_TEXT_BYTES,
                                     KEY_TEXT_BYTES};

    return c < sizeof(widths) ? widths[c] : 0;
}

static size_t source_width(const char *source)
{
    size_t n = 0;

    for (; *source != '\0'; source++) {
        size_t hole = hole_width((unsigned char)*source);
        n += hole > 0 ? hole : 1;
    }
    return n;
}

static bool template_compile(template_t *self, const char *source)
{
    self->n = 0;
    self->hole_count = 0;
    self->bytes = malloc(source_width(source) + 1);
    if (self->bytes == NULL)
        return false;
    for (; *source != '\0'; source++) {
        size_t hole = hole_width((unsigned char)*source);
        if (hole == 0) {
            self->bytes[self->n++] = *source;
            continue;
        }
        self->holes[self->hole_count].kind = (uint8_t)*source;
        self->holes[self->hole_count].at = (uint32_t)self->n;
        self->hole_count++;
        memset(self->bytes + self->n, '?', hole);
        self->n += hole;
    }
    return true;
}

static size_t template_write(const template_t *self, workload_t *workload, char *out)
{
    uint64_t customer = 0;

    if (workload->config->kind == WORKLOAD_ENROL) {
        customer = atomic_fetch_add_explicit(workload->config->sequence, 1, memory_order_relaxed);
        if (customer >= workload->config->sequence_end)
            return 0;
    } else if (self->hole_count > 0) {
        customer = pick_customer(workload);
    }
    memcpy(out, self->bytes, self->n);
    for (unsigned i = 0; i < self->hole_count; i++) {
        char *hole = out + self->holes[i].at;
        switch (self->holes[i].kind) {
        case HOLE_CUSTOMER: customer_uuid(customer, hole); break;
        case HOLE_OTHER: { /* anybody else: a transfer to oneself is refused */
            uint64_t other = workload->config->customers > 1 ? pick_customer(workload) : customer;
            if (other == customer)
                other = (customer + 1) % workload->config->customers;
            customer_uuid(other, hole);
            break;
        }
        case HOLE_AMOUNT: {
            uint64_t amount = 100 + random_below(&workload->random, 900);
            hole[0] = (char)('0' + amount / 100);
            hole[1] = (char)('0' + amount / 10 % 10);
            hole[2] = (char)('0' + amount % 10);
            break;
        }
        case HOLE_KEY:
        default:
            memcpy(hole, workload->key_prefix, sizeof(workload->key_prefix));
            hex_write(workload->counter++, 12, hole + sizeof(workload->key_prefix));
            break;
        }
    }
    return self->n;
}

static uint64_t pick_customer(workload_t *self)
{
    return zipf_next(&self->zipf, &self->random);
}
