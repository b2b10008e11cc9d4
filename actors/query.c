/* query.c - questions in, answers out; the questions about one thing. Lists are in query_lists.c and query_entries.c */
#include "actors/query.h"

#include "actors/query_run.h"
#include "actors/reconcile.h"
#include "protocol/codec.h"
#include "storage/journal.h"

#define RECONCILIATION_VERSION 1
#define RECONCILIATION_FIELDS  7
#define REQUEST_ROWS_MAX       100
#define KEY_OF_REQUEST_BYTES   (2 + 1 + UUID_BYTES + 1 + HASH_BYTES)

static errcode_t look_where(query_state_t *self, log_place_t *place, err_t *err);
static errcode_t dispatch(query_state_t *self, err_t *err);
static errcode_t query_account(query_state_t *self, err_t *err);
static errcode_t query_entry(query_state_t *self, err_t *err);
static errcode_t query_reconcile(query_state_t *self, err_t *err);
static errcode_t query_request(query_state_t *self, err_t *err);
static errcode_t query_session(query_state_t *self, err_t *err);
static errcode_t query_definition(query_state_t *self, err_t *err);
static errcode_t get_state(query_state_t *self, const uint8_t *key, size_t key_bytes, bool *found,
                           err_t *err);

void query_encode(const query_t *self, buffer_t *out)
{
    CODEC_ENCODE(QUERY_FIELDS);
}

errcode_t query_decode(query_t *self, const void *bytes, size_t n, err_t *err)
{
    CODEC_DECODE(QUERY_FIELDS, "query");
    return ERR_NONE;
}

errcode_t answer_decode(answer_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);
    uint8_t place[LOG_PLACE_BYTES];
    uint32_t members;

    memset(self, 0, sizeof *self);
    members = unpack_array(&in);
    if (members != 3 && members != 4)
        return err_set(err, ERR_CORRUPT, "an answer cannot be read");
    self->count = unpack_u64(&in);
    self->count_exact = unpack_bool(&in);
    self->row_count = unpack_array(&in);
    self->rows = in;
    for (uint32_t i = 0; i < self->row_count && !in.failed; i++) {
        const void *row;

        (void)unpack_blob(&in, &row);
    }
    if (members == 4 && unpack_fixed(&in, place, sizeof place))
        self->place = log_place_unpack(place);
    if (!unpack_done(&in)) {
        self->row_count = 0;
        return err_set(err, ERR_CORRUPT, "an answer cannot be read");
    }
    return ERR_NONE;
}

void reconciliation_encode(const reconciliation_t *self, buffer_t *out)
{
    pack_array(out, RECONCILIATION_FIELDS);
    pack_u64(out, RECONCILIATION_VERSION);
    pack_i64(out, self->expected);
    pack_i64(out, self->actual);
    pack_i64(out, self->lots);
    pack_u64(out, self->entries);
    pack_bool(out, self->chain_ok);
    pack_bool(out, self->counters_ok);
}

errcode_t reconciliation_decode(reconciliation_t *self, const void *bytes, size_t n, err_t *err)
{
    unpack_t in = unpack_from(bytes, n);

    memset(self, 0, sizeof *self);
    if (unpack_array(&in) != RECONCILIATION_FIELDS || unpack_u64(&in) != RECONCILIATION_VERSION)
        return err_set(err, ERR_CORRUPT, "a reconciliation cannot be read");
    self->expected = unpack_i64(&in);
    self->actual = unpack_i64(&in);
    self->lots = unpack_i64(&in);
    self->entries = unpack_u64(&in);
    self->chain_ok = unpack_bool(&in);
    self->counters_ok = unpack_bool(&in);
    return unpack_done(&in) ? ERR_NONE
                            : err_set(err, ERR_CORRUPT, "a reconciliation cannot be read");
}

errcode_t query_run(const query_context_t *context, uint16_t partition, const void *query, size_t n,
                    buffer_t *answer, err_t *err)
{
    query_t question;
    query_state_t self;
    log_place_t place = {.epoch = 0};
    bool placed;
    errcode_t rc = query_decode(&question, query, n, NULL);

    if (rc != ERR_NONE)
        return err_set(err, ERR_INVALID, "the query cannot be read");
    if (question.skip > QUERY_SKIP_MAX)
        return err_field(err, ERR_INVALID, "page", "too far down; narrow the list with a filter");
    self = (query_state_t){.context = context,
                           .partition = partition,
                           .query = &question,
                           .skip = question.skip,
                           .limit = question.limit == 0 ? QUERY_ROWS_DEFAULT : question.limit,
                           .count_exact = true};
    if (self.limit > QUERY_ROWS_MAX)
        self.limit = QUERY_ROWS_MAX;
    buffer_init(&self.rows, answer->max);
    buffer_init(&self.scratch, QUERY_ROW_BYTES_MAX);
    self.snapshot = store_snapshot_new(context->store);
    placed = (question.set & QUERY_PLACE) != 0 || question.after.n > 0;
    rc = placed ? look_where(&self, &place, err) : ERR_NONE;
    if (rc == ERR_NONE)
        rc = dispatch(&self, err);
    store_snapshot_destroy(context->store, &self.snapshot);
    placed = placed && place.epoch != 0;
    if (rc == ERR_NONE) {
        pack_array(answer, placed ? 4 : 3);
        pack_u64(answer, self.count);
        pack_bool(answer, self.count_exact);
        pack_array(answer, self.row_count);
        buffer_append(answer, self.rows.bytes, self.rows.size);
        if (placed) {
            uint8_t room[LOG_PLACE_BYTES];

            log_place_pack(&place, room);
            pack_blob(answer, room, sizeof room);
        }
        if (answer->failed || self.rows.failed)
            rc = err_field(err, ERR_INVALID, "page_size",
                           "the rows of this page are too large together");
    }
    buffer_free(&self.rows);
    buffer_free(&self.scratch);
    return rc;
}

/* Where the snapshot stands in the log, and whether it has reached what the asker has seen. */
static errcode_t look_where(query_state_t *self, log_place_t *place, err_t *err)
{
    const text_t after = self->query->after;
    position_t at;
    bool found = false;
    uint64_t next;
    errcode_t rc;

    if (after.n % LOG_PLACE_BYTES != 0 || after.n > LOG_PLACES_MAX * LOG_PLACE_BYTES)
        return err_set(err, ERR_INVALID, "the query cannot be read");
    rc = self->context->shared ? journal_position_at(self->context->store, self->snapshot,
                                                     self->partition, &at, &found, err)
                               : journal_embedded_position(self->context->store, self->partition,
                                                           &at, &next, &found, err);
    if (rc != ERR_NONE)
        return rc;
    /* A log of this node's own is never behind and ends no epoch early: all that it has counts. */
    for (size_t i = 0; !self->context->shared && i < POSITION_ENDS; i++)
        at.ends[i] = at.seq;
    for (size_t i = 0; i < after.n; i += LOG_PLACE_BYTES) {
        log_place_t asked = log_place_unpack((const uint8_t *)after.bytes + i);
        log_place_verdict_t verdict = log_place_judge(&at, &asked);

        if (verdict == LOG_PLACE_AHEAD && self->context->shared)
            rc = err_set(err, ERR_POSITION_AHEAD,
                         "this copy of partition %u stands at epoch %llu, seq %llu and has not "
                         "reached epoch %llu, seq %llu",
                         self->partition, (unsigned long long)at.epoch, (unsigned long long)at.seq,
                         (unsigned long long)asked.epoch, (unsigned long long)asked.seq);
        else if (verdict != LOG_PLACE_REACHED)
            return err_set(err, ERR_POSITION_LOST,
                           "the log of partition %u does not hold epoch %llu, seq %llu of this "
                           "history: what was seen there may be gone; read without X-Position",
                           self->partition, (unsigned long long)asked.epoch,
                           (unsigned long long)asked.seq);
    }
    if (rc == ERR_NONE && found)
        *place = log_place_of(&at);
    return rc;
}

static errcode_t dispatch(query_state_t *self, err_t *err)
{
    switch (self->query->kind) {
    case QUERY_ACCOUNT: return query_account(self, err);
    case QUERY_ACCOUNTS_OF: return query_accounts_of(self, err);
    case QUERY_ACCOUNTS: return query_accounts(self, err);
    case QUERY_ENTRY: return query_entry(self, err);
    case QUERY_ENTRIES: return query_entries(self, err);
    case QUERY_RECONCILE: return query_reconcile(self, err);
    case QUERY_REQUEST: return query_request(self, err);
    case QUERY_SESSION: return query_session(self, err);
    case QUERY_DEFINITION: return query_definition(self, err);
    case QUERY_TOTALS: return query_totals(self, err);
    default: return err_set(err, ERR_INVALID, "no query has the kind %u", self->query->kind);
    }
}

store_cursor_t *query_cursor(query_state_t *self, family_t family, const uint8_t *prefix,
                             size_t prefix_bytes)
{
    uint8_t upper[BATCH_KEY_BYTES_MAX];
    size_t upper_bytes = key_after_prefix(upper, prefix, prefix_bytes);

    return store_cursor_new(self->context->store, self->snapshot, family, prefix, prefix_bytes,
                            upper, upper_bytes);
}

bool query_shows_account(const query_state_t *self, const account_t *account)
{
    if (query_has(self, QUERY_DELETED))
        return true;
    if (account->deleted)
        return false;
    return self->context->catalogue == NULL ||
           catalogue_program(self->context->catalogue, CATALOGUE_NEWEST, account->program) != NULL;
}

static errcode_t query_account(query_state_t *self, err_t *err)
{
    account_t account;
    bool found = false;
    errcode_t rc = rows_account_by_id(self->context->store, self->snapshot, self->partition,
                                      self->query->account, &account, &self->scratch, &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!found || (account.deleted && !query_has(self, QUERY_DELETED)))
        return err_set(err, ERR_NOT_FOUND, NULL);
    query_add(self, self->scratch.bytes, self->scratch.size);
    self->count = 1;
    return ERR_NONE;
}

static errcode_t query_entry(query_state_t *self, err_t *err)
{
    entry_t entry;
    bool found = false;
    errcode_t rc = rows_entry(self->context->store, self->snapshot, self->partition,
                              self->query->entry, &entry, &self->scratch, &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!found || (entry.hidden && !query_has(self, QUERY_DELETED)))
        return err_set(err, ERR_NOT_FOUND, NULL);
    query_add(self, self->scratch.bytes, self->scratch.size);
    self->count = 1;
    return ERR_NONE;
}

static errcode_t query_reconcile(query_state_t *self, err_t *err)
{
    reconciler_t reconciler;
    account_t account;
    finding_t finding;
    bool found = false;
    errcode_t rc = rows_account_by_id(self->context->store, self->snapshot, self->partition,
                                      self->query->account, &account, &self->scratch, &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!found || (account.deleted && !query_has(self, QUERY_DELETED)))
        return err_set(err, ERR_NOT_FOUND, NULL);
    reconciler_init(&reconciler, self->context->store, self->snapshot, self->partition);
    rc = reconcile_account(&reconciler, &account, &finding, err);
    reconciler_free(&reconciler);
    if (rc != ERR_NONE)
        return rc;
    buffer_reset(&self->scratch);
    reconciliation_encode(&finding.figures, &self->scratch);
    query_add(self, self->scratch.bytes, self->scratch.size);
    self->count = 1;
    return ERR_NONE;
}

/* A stored key row leaves out what stands in its own key; the answer has it. */
static errcode_t add_key_row(query_state_t *self, const uint8_t *key, size_t key_bytes,
                             const void *value, size_t n, err_t *err)
{
    key_row_t row;
    buffer_t whole;
    errcode_t rc = key_row_decode(&row, value, n, err);

    if (rc != ERR_NONE)
        return rc;
    memcpy(row.customer.bytes, key + key_bytes - HASH_BYTES - 1 - UUID_BYTES, UUID_BYTES);
    buffer_init(&whole, QUERY_ROW_BYTES_MAX);
    key_row_encode(&row, &whole);
    query_add(self, whole.bytes, whole.size);
    buffer_free(&whole);
    return ERR_NONE;
}

/* With the customer: one look-up per operation. Without: the key rows of the partition, which hold the customer first,
 * so the hash at their end is compared one by one. */
static errcode_t query_request(query_state_t *self, err_t *err)
{
    const query_t *query = self->query;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_cursor_t *cursor;
    uint64_t visited = 0;
    errcode_t rc = ERR_NONE;

    if (query_has(self, QUERY_BY_CUSTOMER)) {
        for (uint8_t operation = OPERATION_EARN;
             operation_name(operation) != NULL && rc == ERR_NONE; operation++) {
            size_t key_bytes = key_idempotency(key, self->partition, &query->customer, operation,
                                               &query->key_hash);
            bool found = false;

            if (query->operation != OPERATION_NONE && query->operation != operation)
                continue;
            buffer_reset(&self->scratch);
            rc = store_get(self->context->store, self->snapshot, FAMILY_KEY, key, key_bytes,
                           &self->scratch, &found, err);
            if (rc == ERR_NONE && found)
                rc =
                    add_key_row(self, key, key_bytes, self->scratch.bytes, self->scratch.size, err);
        }
        self->count = self->row_count;
        return rc;
    }
    cursor = query_cursor(self, FAMILY_KEY, key, key_tag(key, self->partition, 'K'));
    for (store_cursor_first(cursor);
         rc == ERR_NONE && store_cursor_valid(cursor) && self->row_count < REQUEST_ROWS_MAX;
         store_cursor_next(cursor)) {
        size_t key_bytes, n;
        const uint8_t *found_key = store_cursor_key(cursor, &key_bytes);
        const uint8_t *value;

        if (visited++ == QUERY_KEYS_MAX) {
            rc = err_field(err, ERR_INVALID, "customer_id", "name customer_id to narrow it");
            break;
        }
        if (key_bytes != KEY_OF_REQUEST_BYTES ||
            memcmp(found_key + key_bytes - HASH_BYTES, query->key_hash.bytes, HASH_BYTES) != 0)
            continue;
        if (query->operation != OPERATION_NONE &&
            found_key[key_bytes - HASH_BYTES - 1] != query->operation)
            continue;
        value = store_cursor_value(cursor, &n);
        rc = add_key_row(self, found_key, key_bytes, value, n, err);
    }
    if (rc == ERR_NONE)
        rc = store_cursor_error(cursor, err);
    store_cursor_destroy(&cursor);
    self->count = self->row_count;
    return rc;
}

static errcode_t query_session(query_state_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc =
        get_state(self, key, key_session(key, self->partition, &self->query->token), &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, NULL);
    query_add(self, self->scratch.bytes, self->scratch.size);
    self->count = 1;
    return ERR_NONE;
}

static errcode_t query_definition(query_state_t *self, err_t *err)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    bool found = false;
    errcode_t rc = get_state(
        self, key, key_definition(key, self->partition, self->query->resource, self->query->id),
        &found, err);

    if (rc != ERR_NONE)
        return rc;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, NULL);
    query_add(self, self->scratch.bytes, self->scratch.size);
    self->count = 1;
    return ERR_NONE;
}

static errcode_t get_state(query_state_t *self, const uint8_t *key, size_t key_bytes, bool *found,
                           err_t *err)
{
    buffer_reset(&self->scratch);
    return store_get(self->context->store, self->snapshot, FAMILY_STATE, key, key_bytes,
                     &self->scratch, found, err);
}
