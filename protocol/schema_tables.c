/* schema_tables.c - the resources of the ledger, api-resources 2.1 to 2.4, and users
 *
 * A row per field, in the order of the wire form. Fields whose engine is not in this build are SCHEMA_LATER: they are
 * shown with their default and refuse any other value.
 */
#include "protocol/schema.h"

#define FIELDS(array) .fields = (array), .count = COUNT_OF(array)
#define CHOICES(...) ((const char *const[]){__VA_ARGS__, NULL})

#define ID_FIELD                                                                                   \
    {                                                                                              \
        .name = "id", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY,                               \
        .meaning = "Number of the object, given by the server and never used again."               \
    }
#define CREATED_FIELD                                                                              \
    {                                                                                              \
        .name = "created_at", .type = SCHEMA_DATETIME, .flags = SCHEMA_READ_ONLY,                  \
        .meaning = "When the object was created."                                                  \
    }
#define UPDATED_FIELD                                                                              \
    {                                                                                              \
        .name = "updated_at", .type = SCHEMA_DATETIME, .flags = SCHEMA_READ_ONLY,                  \
        .meaning = "When the object was last changed."                                             \
    }

static const schema_field_t program_fields[] = {
    ID_FIELD,
    {.name = "name", .type = SCHEMA_STRING, .size = 255,
     .flags = SCHEMA_REQUIRED | SCHEMA_FILTER | SCHEMA_SEARCH, .meaning = "Name of the program."},
    {.name = "description", .type = SCHEMA_TEXT, .flags = SCHEMA_BLANK | SCHEMA_SEARCH, .initial = "\"\"",
     .meaning = "What the program is about."},
    {.name = "start_date", .type = SCHEMA_DATETIME, .flags = SCHEMA_REQUIRED,
     .meaning = "First instant at which the program is open."},
    {.name = "end_date", .type = SCHEMA_DATETIME, .flags = SCHEMA_REQUIRED,
     .meaning = "Instant from which the program is over; not before start_date."},
    {.name = "is_active", .type = SCHEMA_BOOL, .flags = SCHEMA_FILTER, .initial = "true",
     .meaning = "Whether points can be earned and spent."},
    {.name = "tiers", .type = SCHEMA_NESTED, .nested = &schema_tiers,
     .meaning = "Tiers by priority, then min_points. When sent, they replace all tiers of the program: "
                "with an id updated, without one created, not listed deleted."},
    {.name = "earn_rules", .type = SCHEMA_JSON, .flags = SCHEMA_LATER, .initial = "{}",
     .meaning = "Rules of earning, JSONLogic or a table of rules."},
    {.name = "burn_rules", .type = SCHEMA_JSON, .flags = SCHEMA_LATER, .initial = "{}",
     .meaning = "Rules of spending."},
    {.name = "points_expiry_rules", .type = SCHEMA_JSON, .flags = SCHEMA_LATER, .initial = "[]",
     .meaning = "When points lapse."},
    {.name = "earn_caps_config", .type = SCHEMA_JSON, .flags = SCHEMA_LATER, .initial = "[]",
     .aliases = CHOICES("earn_caps"), .meaning = "Limits of what can be earned in a period."},
    {.name = "tier_basis", .type = SCHEMA_ENUM, .flags = SCHEMA_LATER, .initial = "\"points_balance\"",
     .choices = CHOICES("points_balance", "lifetime_points", "qualifying_points", "spend", "transaction_count",
                        "membership_days", "custom"),
     .meaning = "What the threshold of a tier is compared with."},
    {.name = "tier_downgrade_grace_days", .type = SCHEMA_COUNT, .initial = "0",
     .meaning = "Days before an automatic downgrade takes effect."},
    {.name = "min_balance", .type = SCHEMA_COUNT, .initial = "0",
     .meaning = "Points that spending must leave on the account."},
    {.name = "currency", .type = SCHEMA_STRING, .size = 3, .initial = "\"USD\"",
     .meaning = "Currency of amounts, three letters."},
    {.name = "multiplier_mode", .type = SCHEMA_ENUM, .initial = "\"multiplicative\"",
     .choices = CHOICES("multiplicative", "additive", "best"),
     .meaning = "How the multipliers of tier and rules combine."},
    {.name = "time_zone", .type = SCHEMA_STRING, .size = 64, .initial = "\"UTC\"",
     .meaning = "IANA zone of all days, weeks and months of the program."},
    {.name = "max_transaction_amount", .type = SCHEMA_DECIMAL, .size = 21, .scale = 6,
     .flags = SCHEMA_NULLABLE | SCHEMA_LATER, .meaning = "Largest amount of one earn."},
    {.name = "burn_min", .type = SCHEMA_COUNT, .flags = SCHEMA_LATER, .initial = "0",
     .meaning = "Smallest cost of spending."},
    {.name = "burn_step", .type = SCHEMA_COUNT, .flags = SCHEMA_LATER, .initial = "0",
     .meaning = "The cost of spending is a multiple of it; 0 and 1: any."},
    {.name = "burn_max", .type = SCHEMA_COUNT, .flags = SCHEMA_NULLABLE | SCHEMA_LATER,
     .meaning = "Largest cost of spending once; not below burn_min."},
    {.name = "burn_max_per_day", .type = SCHEMA_COUNT, .flags = SCHEMA_NULLABLE | SCHEMA_LATER,
     .meaning = "Most points that an account spends in a local day."},
    {.name = "engine_settings", .type = SCHEMA_JSON, .flags = SCHEMA_NULLABLE | SCHEMA_LATER, .initial = "{}",
     .meaning = "Settings of the engine by key."},
    CREATED_FIELD,
    UPDATED_FIELD,
};

static const schema_field_t tier_fields[] = {
    ID_FIELD,
    {.name = "program", .type = SCHEMA_FOREIGN, .resource = SCHEMA_PROGRAM,
     .flags = SCHEMA_REQUIRED | SCHEMA_FILTER | SCHEMA_PARENT,
     .meaning = "Program of the tier; it stays with it for good."},
    {.name = "name", .type = SCHEMA_STRING, .size = 100, .flags = SCHEMA_REQUIRED | SCHEMA_SEARCH,
     .meaning = "Name of the tier, once in a program."},
    {.name = "description", .type = SCHEMA_TEXT, .flags = SCHEMA_BLANK | SCHEMA_SEARCH, .initial = "\"\"",
     .meaning = "What the tier is about."},
    {.name = "min_points", .type = SCHEMA_COUNT, .initial = "0",
     .meaning = "Points from which on, inclusive, an account has the tier."},
    {.name = "benefits", .type = SCHEMA_TEXT, .flags = SCHEMA_BLANK, .initial = "\"\"",
     .meaning = "Benefits in words, or JSON as text."},
    {.name = "priority", .type = SCHEMA_COUNT, .initial = "0",
     .meaning = "Rank: a larger number is a better tier."},
    {.name = "points_multiplier", .type = SCHEMA_DECIMAL, .size = 6, .scale = 3, .initial = "\"1.000\"",
     .minimum = "0", .meaning = "Factor on points earned."},
    {.name = "redemption_discount", .type = SCHEMA_DECIMAL, .size = 5, .scale = 4, .initial = "\"0.0000\"",
     .minimum = "0", .maximum = "1", .meaning = "Share of the cost, 0 to 1, that spending saves."},
    {.name = "benefit_items", .type = SCHEMA_JSON, .flags = SCHEMA_LATER, .initial = "[]",
     .meaning = "Benefits that the engine grants."},
    CREATED_FIELD,
    UPDATED_FIELD,
};

static const schema_field_t user_fields[] = {
    ID_FIELD,
    {.name = "username", .type = SCHEMA_STRING, .size = 150,
     .flags = SCHEMA_REQUIRED | SCHEMA_FILTER | SCHEMA_SEARCH,
     .meaning = "Name to log in with: letters, digits and @ . + - _"},
    {.name = "password", .type = SCHEMA_STRING, .size = 159, .flags = SCHEMA_WRITE_ONLY | SCHEMA_BLANK,
     .initial = "\"\"", .meaning = "Hash of the password; empty: no login."},
    {.name = "email", .type = SCHEMA_EMAIL, .size = 254, .flags = SCHEMA_BLANK, .initial = "\"\"",
     .meaning = "Address for mail."},
    {.name = "first_name", .type = SCHEMA_STRING, .size = 150, .flags = SCHEMA_BLANK, .initial = "\"\"",
     .meaning = "Given name."},
    {.name = "last_name", .type = SCHEMA_STRING, .size = 150, .flags = SCHEMA_BLANK, .initial = "\"\"",
     .meaning = "Family name."},
    {.name = "is_active", .type = SCHEMA_BOOL, .flags = SCHEMA_FILTER, .initial = "true",
     .meaning = "Whether the user can log in."},
    {.name = "is_staff", .type = SCHEMA_BOOL, .initial = "false", .meaning = "Whether the user is of the staff."},
    {.name = "is_superuser", .type = SCHEMA_BOOL, .initial = "false", .meaning = "May do everything."},
    {.name = "permissions", .type = SCHEMA_JSON, .initial = "[]",
     .meaning = "Names of permissions, such as account.earn."},
    CREATED_FIELD,
    UPDATED_FIELD,
};

static const schema_field_t account_fields[] = {
    ID_FIELD,
    {.name = "customer_id", .type = SCHEMA_UUID, .flags = SCHEMA_REQUIRED | SCHEMA_FILTER,
     .meaning = "Customer; one account in each program, and it stays with it for good."},
    {.name = "program", .type = SCHEMA_FOREIGN, .resource = SCHEMA_PROGRAM, .flags = SCHEMA_REQUIRED | SCHEMA_FILTER,
     .meaning = "Program of the account."},
    {.name = "tier", .type = SCHEMA_FOREIGN, .resource = SCHEMA_TIER, .flags = SCHEMA_NULLABLE | SCHEMA_FILTER,
     .meaning = "Tier, of the same program; set by the engine unless set by hand."},
    {.name = "status", .type = SCHEMA_ENUM, .flags = SCHEMA_FILTER, .initial = "\"active\"",
     .choices = CHOICES("active", "inactive", "suspended", "blocked", "dormant", "closed"),
     .meaning = "What the account may do; inactive is the old name of suspended."},
    {.name = "points_balance", .type = SCHEMA_COUNT, .initial = "0",
     .meaning = "Points that can be spent. Writing it posts the difference as an adjustment."},
    {.name = "lifetime_points_earned", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY, .initial = "0",
     .meaning = "Sum of all points earned."},
    {.name = "lifetime_points_redeemed", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY, .initial = "0",
     .meaning = "Sum of all points spent."},
    {.name = "expiring_points", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
     .meaning = "Points that lapse next."},
    {.name = "next_expiry_at", .type = SCHEMA_DATETIME, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
     .meaning = "When they lapse."},
    {.name = "pending_points", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY, .initial = "0",
     .meaning = "Points earned that cannot be spent yet."},
    {.name = "held_points", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY, .initial = "0",
     .meaning = "Points reserved."},
    {.name = "debt_points", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY, .initial = "0",
     .meaning = "Points owed."},
    CREATED_FIELD,
    UPDATED_FIELD,
};

static const schema_field_t transaction_fields[] = {
    ID_FIELD,
    {.name = "account", .type = SCHEMA_FOREIGN, .resource = SCHEMA_ACCOUNT, .flags = SCHEMA_REQUIRED | SCHEMA_FILTER,
     .meaning = "Account; it stays with it for good."},
    {.name = "amount", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED,
     .meaning = "Points: above zero, but signed for adjust and reversal."},
    {.name = "transaction_type", .type = SCHEMA_ENUM, .flags = SCHEMA_REQUIRED | SCHEMA_FILTER,
     .choices = CHOICES("earn", "redeem", "adjust", "expire", "transfer_in", "transfer_out", "reversal", "hold",
                        "release", "repay"),
     .meaning = "Kind of entry; earn, redeem and adjust can be created."},
    {.name = "description", .type = SCHEMA_TEXT, .flags = SCHEMA_BLANK | SCHEMA_SEARCH, .initial = "\"\"",
     .meaning = "What it was for."},
    {.name = "metadata", .type = SCHEMA_JSON, .initial = "{}", .meaning = "Further facts, as JSON."},
    {.name = "delta", .type = SCHEMA_INT, .flags = SCHEMA_READ_ONLY, .meaning = "Signed effect on the balance."},
    {.name = "balance_after", .type = SCHEMA_COUNT, .flags = SCHEMA_READ_ONLY,
     .meaning = "Balance directly after it."},
    {.name = "reference", .type = SCHEMA_STRING, .size = 255, .flags = SCHEMA_BLANK, .initial = "\"\"",
     .meaning = "Number of the transaction elsewhere; once for ever in an account and operation."},
    {.name = "expires_at", .type = SCHEMA_DATETIME, .flags = SCHEMA_READ_ONLY | SCHEMA_NULLABLE,
     .meaning = "When credited points lapse."},
    {.name = "recorded_at", .type = SCHEMA_DATETIME, .flags = SCHEMA_READ_ONLY,
     .meaning = "When the platform learned of it."},
    {.name = "created_at", .type = SCHEMA_DATETIME, .flags = SCHEMA_READ_ONLY, .meaning = "When it counts."},
};

const schema_table_t schema_programs = {.name = "program", .path = "loyaltyPrograms", .resource = SCHEMA_PROGRAM,
                                        .meaning = "Loyalty programs: rules under which points are earned and spent.",
                                        FIELDS(program_fields)};
const schema_table_t schema_tiers = {.name = "tier", .path = "loyaltyTiers", .resource = SCHEMA_TIER,
                                     .meaning = "Levels of a program that accounts reach.", FIELDS(tier_fields)};
const schema_table_t schema_users = {.name = "user", .path = NULL, .resource = SCHEMA_USER,
                                     .meaning = "People and programs that may use the API.", FIELDS(user_fields)};
const schema_table_t schema_accounts = {.name = "account", .path = "loyaltyAccounts", .resource = SCHEMA_ACCOUNT,
                                        .meaning = "Points of a customer in a program.", FIELDS(account_fields)};
const schema_table_t schema_transactions = {.name = "transaction", .path = "loyaltyTransactions",
                                            .resource = SCHEMA_TRANSACTION,
                                            .meaning = "Entries of accounts: every change of a balance.",
                                            FIELDS(transaction_fields)};

const schema_table_t *schema_of(uint8_t resource)
{
    static const schema_table_t *const all[] = {&schema_programs, &schema_tiers, &schema_users, &schema_accounts,
                                                &schema_transactions};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i]->resource == resource)
            return all[i];
    return NULL;
}
