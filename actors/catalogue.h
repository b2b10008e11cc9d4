/* catalogue.h - the definitions a node knows, in versions
 *
 * Contract   Changes are numbered densely; catalogue_put() takes version = newest + 1 (others: known already, or a
 *            gap, refused). A partition decides under the version that its own log put in force, so look-ups name a
 *            version; CATALOGUE_NEWEST looks at the newest content of this node (validation, listing, login).
 *            A definition's full wire object is kept as JSON text; what the engine needs is decoded once.
 * Threads    Any; a read-write lock inside. Returned structs are immutable.
 *            Definitions change rarely, by hand; all their versions since genesis stay in memory.
 * Ownership  The catalogue owns all; borrowed pointers are valid as long as it lives.
 * Units      ppm for multipliers and discounts.
 * Errors     ERR_NOT_FOUND, ERR_STATE (gap), ERR_CORRUPT.
 */
#ifndef FEALTY_CATALOGUE_H
#define FEALTY_CATALOGUE_H

#include "protocol/calendar.h"
#include "protocol/command.h"

#define CATALOGUE_NEWEST UINT64_MAX

/* Numbers are format. */
typedef enum {
    RESOURCE_NONE = 0,
    RESOURCE_PROGRAM = 1,
    RESOURCE_TIER = 2,
    RESOURCE_USER = 3,
    RESOURCE__END
} resource_kind_t;

typedef struct {
    uint32_t id;
    bool active;
    int64_t start_us,
        end_us; /* INT64_MIN / INT64_MAX when not given (they are required on create) */
    points_t min_balance;
    uint8_t
        multiplier_mode; /* 0 multiplicative, 1 additive, 2 best; the same with the tier alone */
    const zone_t *zone;
    char name[256 * 4];
} program_t;

typedef struct {
    uint32_t id;
    uint32_t program;
    points_t min_points;
    int64_t priority;
    int64_t multiplier_ppm;
    int64_t discount_ppm;
    char name[100 * 4 + 1];
} tier_t;

typedef struct {
    uint32_t id;
    bool active, staff, superuser;
    char username[151];
    char password[160];     /* libsodium's argon2id string; empty: no login */
    char permissions[2048]; /* names separated by '\n' */
} user_t;

typedef struct catalogue catalogue_t;

catalogue_t *catalogue_new(void);
void catalogue_destroy(catalogue_t **self_p);

/* One change: the resource's full JSON object (with id), or a deletion. Idempotent for known versions. */
errcode_t catalogue_put(catalogue_t *self, uint64_t version, uint8_t resource, uint32_t id,
                        bool deleted, text_t json, err_t *err);
uint64_t catalogue_version(const catalogue_t *self); /* newest */

/* Engine views at a version; NULL when absent or deleted at it. */
const program_t *catalogue_program(const catalogue_t *self, uint64_t version, uint32_t id);
const tier_t *catalogue_tier(const catalogue_t *self, uint64_t version, uint32_t id);
const user_t *catalogue_user(const catalogue_t *self, uint64_t version, uint32_t id);
const user_t *catalogue_user_by_name(const catalogue_t *self, const char *username, size_t bytes);

/* Highest tier (by min_points, then priority) of a program that `value` reaches; NULL when none. Tiers are given in
 * order `priority, min_points` by catalogue_tiers(): copies up to max pointers, returns the count. */
const tier_t *catalogue_tier_for(const catalogue_t *self, uint64_t version, uint32_t program,
                                 points_t value);
size_t catalogue_tiers(const catalogue_t *self, uint64_t version, uint32_t program,
                       const tier_t **out, size_t max);

/* The wire object of a definition, appended to out. false when absent. */
bool catalogue_json(const catalogue_t *self, uint64_t version, uint8_t resource, uint32_t id,
                    buffer_t *out, uint64_t *changed_at_version);

/* Ids of all present definitions of a resource, ascending; returns the count (all of them), fills up to max. */
size_t catalogue_ids(const catalogue_t *self, uint64_t version, uint8_t resource, uint32_t *out,
                     size_t max);

/* Smallest id of a resource that was never used, deleted ones included. */
uint32_t catalogue_next_id(const catalogue_t *self, uint8_t resource);

#endif
