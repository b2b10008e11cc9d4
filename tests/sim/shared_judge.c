/* shared_judge.c - the oracles of a life on a shared log (protocol section 9)
 *
 * The books that everything is compared with are made from the log alone: each partition's records are judged from the
 * first to the last, and the effects of those that count are written into a fresh store.
 */
#include "tests/sim/shared_judge.h"

#include "actors/adopt.h"
#include "actors/message.h"
#include "actors/section.h"
#include "protocol/log.h"
#include "tests/sim/proof.h"
#include "tests/sim/referee.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CLAIMS_CALM \
    6 /* of a partition in a life without faults: members join one after the other */
#define CLAIMS_FAULT 3 /* more for each fault */

/* ---- the books by the log ---- */

static void watch_catalogue(judge_t *self, uint16_t partition, const section_t *section)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t key_bytes = key_in_force(key, partition), at = 0;
    bool corrupt = false;
    row_write_t write;

    while (batch_next(section->writes, section->writes_bytes, &at, &write, &corrupt)) {
        if (write.family != FAMILY_STATE || write.key_bytes != key_bytes ||
            memcmp(write.key, key, key_bytes) != 0)
            continue;
        unpack_t in = unpack_from(write.value, write.value_bytes);
        uint64_t version = unpack_u64(&in);
        if (version < self->told[partition].in_force)
            life_fail(self->life,
                      "partition %u went back from catalogue version %" PRIu64 " to %" PRIu64,
                      partition, self->told[partition].in_force, version);
        self->told[partition].in_force = version;
    }
}

static void take_effects(judge_t *self, store_t *books, uint16_t partition, const uint8_t *body,
                         size_t n)
{
    buffer_t effects;
    section_t section;
    size_t at = 0;
    bool corrupt = false;

    buffer_init(&effects, RECORD_BYTES_MAX);
    while (section_next(body, n, &at, &section, &corrupt)) {
        buffer_append(&effects, section.writes, section.writes_bytes);
        if (books == self->books)
            watch_catalogue(self, partition, &section);
    }
    batch_part_t part = {effects.bytes, effects.size};
    if (corrupt || (effects.size > 0 && store_write(books, &part, 1, false, NULL) != ERR_NONE))
        life_fail(self->life, "a record of partition %u cannot be applied", partition);
    buffer_free(&effects);
}

/* The product's verdict on an entry, which must be the referee's. */
static void compare_verdicts(life_t *life, uint16_t partition, const log_entry_t *entry,
                             position_t before, verdict_t verdict, const position_t *after)
{
    record_header_t header;
    record_reason_t reason = REASON_NONE;
    const uint8_t *body;
    verdict_t other = record_decode(entry->bytes, entry->n, &header, &body, &reason);

    if (other == VERDICT_ACCEPT)
        other = record_judge(&before, &header, entry->bytes, entry->n, entry->log_time_us, &reason);
    if (other != verdict || before.epoch != after->epoch || before.seq != after->seq ||
        before.chain != after->chain || before.now_us != after->now_us ||
        before.crc != after->crc || !hash_equal(&before.owner, &after->owner) ||
        !hash_equal(&before.history, &after->history))
        life_fail(life,
                  "partition %u, offset %" PRIu64 ": record_judge says %d (%s), the referee %d",
                  partition, entry->offset, other, record_reason_name(reason), verdict);
}

/* An operator had it skipped. */
static bool is_skipped(const life_t *life, uint16_t partition, const log_entry_t *entry)
{
    record_header_t header;
    record_reason_t reason;
    const uint8_t *body;

    return skips_count(life->skips) > 0 &&
           record_decode(entry->bytes, entry->n, &header, &body, &reason) == VERDICT_ACCEPT &&
           skips_have(life->skips, partition, entry->offset, header.crc);
}

static const family_t families[] = {FAMILY_STATE, FAMILY_ENTRY, FAMILY_KEY, FAMILY_OUTBOX,
                                    FAMILY_LOT};

/* The image that was adopted, as its node made a new history of it. */
static void begin_at_adoption(const judge_t *self, store_t *books, const adoption_t *adoption,
                              position_t *position)
{
    uint16_t partition = adoption->partition;
    store_t *base = self->life->bases[partition];
    bool found = false;
    buffer_t rows;

    buffer_init(&rows, 64 * 1024 * 1024);
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        uint8_t lower[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
        size_t n = key_partition(lower, partition);
        size_t m = key_after_prefix(upper, lower, n);
        store_cursor_t *cursor = store_cursor_new(base, NULL, families[i], lower, n, upper, m);

        for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
            size_t key_bytes, value_bytes;
            const uint8_t *key = store_cursor_key(cursor, &key_bytes);
            const uint8_t *value = store_cursor_value(cursor, &value_bytes);

            batch_put(&rows, families[i], key, key_bytes, value, value_bytes);
        }
        store_cursor_destroy(&cursor);
    }
    const batch_part_t part = {rows.bytes, rows.size};
    errcode_t rc = journal_stored_position(base, partition, position, &found, NULL);
    INVARIANT(rc == ERR_NONE && found && !rows.failed);
    if (!hash_equal(&position->history, &adoption->image) || position->epoch != adoption->epoch ||
        position->seq != adoption->seq || position->chain != adoption->chain)
        life_fail(self->life, "partition %u: the adoption names another place than the image's",
                  partition);
    rc = rows.size > 0 ? store_write(books, &part, 1, false, NULL) : ERR_NONE;
    if (rc == ERR_NONE)
        rc = adopt_image(books, self->life->partitions, adoption, 0, position, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&rows);
}

/* Before the first claim of the new history stands the end of all others; those ends are for others. */
static bool is_passed_over(const life_t *life, const adoption_t *adoption, const position_t *at,
                           const log_entry_t *entry, bool *ended)
{
    record_header_t header;
    record_reason_t reason;
    const uint8_t *body;

    if (entry->offset < adoption->offset)
        return true;
    if (record_decode(entry->bytes, entry->n, &header, &body, &reason) != VERDICT_ACCEPT)
        return false;
    if (header.kind == RECORD_ADOPTED) {
        *ended = *ended || hash_equal(&header.history, &adoption->fresh);
        return hash_equal(&header.history, &adoption->fresh) ||
               adoptions_replaced(life->adoptions, adoption->partition, &header.history);
    }
    return header.kind == RECORD_CLAIM && !*ended &&
           hash_equal(&header.history, &adoption->fresh) &&
           at->epoch == adoption->epoch + ADOPTION_AHEAD;
}

/* Applies the first `count` entries of a partition's log. */
void judge_replay(judge_t *self, store_t *books, uint16_t partition, size_t count, told_t *told)
{
    log_shared_t *log = shared_log(self->life->world);

    const adoption_t *adoption = adoptions_latest(self->life->adoptions, partition);
    bool ended = false;

    *told = (told_t){.claims = 0};
    if (adoption != NULL)
        begin_at_adoption(self, books, adoption, &told->position);
    for (size_t i = 0; i < count && !self->life->failed; i++) {
        const log_entry_t *entry = log_shared_entry(log, partition, i);
        if (is_skipped(self->life, partition, entry) ||
            (adoption != NULL &&
             is_passed_over(self->life, adoption, &told->position, entry, &ended)))
            continue;
        position_t before = told->position;
        record_kind_t kind = RECORD_DECISIONS;
        const uint8_t *body = NULL;
        size_t n = 0;
        verdict_t verdict = referee_judge(&told->position, entry->bytes, entry->n,
                                          entry->log_time_us, &kind, &body, &n);
        compare_verdicts(self->life, partition, entry, before, verdict, &told->position);
        if (verdict == VERDICT_HALT) {
            if (!self->life->broken[partition])
                life_fail(self->life,
                          "the log of partition %u halts its readers at offset %" PRIu64, partition,
                          entry->offset);
            if (self->life->failed && log_enabled(LOG_DEBUG))
                judge_print_log(self->life, partition);
            return;
        }
        if (verdict != VERDICT_ACCEPT)
            continue;
        told->position.offset = entry->offset;
        told->claims += kind == RECORD_CLAIM;
        if (kind == RECORD_DECISIONS)
            take_effects(self, books, partition, body, n);
    }
}

/* Where the log leads; false: it halts everybody who reads it from its beginning. */
bool life_read_log(life_t *life, uint16_t partition, position_t *position)
{
    log_shared_t *log = shared_log(life->world);

    *position = (position_t){.epoch = 0};
    for (size_t i = 0; i < log_shared_count(log, partition); i++) {
        const log_entry_t *entry = log_shared_entry(log, partition, i);
        if (is_skipped(life, partition, entry))
            continue;
        record_kind_t kind;
        const uint8_t *body;
        size_t n;
        if (referee_judge(position, entry->bytes, entry->n, entry->log_time_us, &kind, &body, &n) ==
            VERDICT_HALT)
            return false;
    }
    return true;
}

void life_find_broken(life_t *life)
{
    position_t position;

    for (uint16_t p = 0; p <= life->partitions; p++) {
        life->broken[p] = life->broken[p] || !life_read_log(life, p, &position);
        life->any_broken = life->any_broken || life->broken[p];
    }
}

static void make_books(judge_t *self)
{
    log_shared_t *log = shared_log(self->life->world);

    for (uint16_t p = 0; p <= self->life->partitions; p++) {
        unsigned most = CLAIMS_CALM + CLAIMS_FAULT * self->life->report->faults;
        judge_replay(self, self->books, p, log_shared_count(log, p), &self->told[p]);
        self->life->report->claims += self->told[p].claims;
        if (self->told[p].claims > most)
            life_fail(self->life, "partition %u was claimed %u times for %u faults", p,
                      self->told[p].claims, self->life->report->faults);
    }
}

/* ---- replicas ---- */

/* Over all rows of a partition. */
static uint64_t digest_of(store_t *store, uint16_t partition)
{
    uint8_t prefix[BATCH_KEY_BYTES_MAX], upper[BATCH_KEY_BYTES_MAX];
    size_t prefix_bytes = key_partition(prefix, partition);
    size_t upper_bytes = key_after_prefix(upper, prefix, prefix_bytes);
    uint64_t digest = partition;

    for (size_t i = 0; i < COUNT_OF(families); i++) {
        store_cursor_t *cursor =
            store_cursor_new(store, NULL, families[i], prefix, prefix_bytes, upper, upper_bytes);
        for (store_cursor_first(cursor); store_cursor_valid(cursor); store_cursor_next(cursor)) {
            size_t key_bytes, n;
            const uint8_t *key = store_cursor_key(cursor, &key_bytes);
            const uint8_t *value = store_cursor_value(cursor, &n);
            digest = hash64(digest, key, key_bytes);
            digest = hash64(digest, value, n);
        }
        store_cursor_destroy(&cursor);
    }
    return digest;
}

static void compare_replica(judge_t *self, size_t node, uint16_t partition, uint64_t digest)
{
    life_t *life = self->life;
    const position_t *mine = shared_position(life->world, node, partition);
    const position_t *told = &self->told[partition].position;

    if (mine->epoch != told->epoch || mine->seq != told->seq || mine->chain != told->chain ||
        !hash_equal(&mine->owner, &told->owner))
        life_fail(life,
                  "partition %u on node %zu is at epoch %" PRIu64 ", seq %" PRIu64
                  ", the log at %" PRIu64 ", %" PRIu64,
                  partition, node, mine->epoch, mine->seq, told->epoch, told->seq);
    else if (digest_of(shared_node(life->world, node)->store, partition) != digest)
        life_fail(life, "partition %u on node %zu holds other rows than the log at seq %" PRIu64,
                  partition, node, mine->seq);
}

static void compare_replicas(judge_t *self)
{
    life_t *life = self->life;

    for (uint16_t p = 0; p <= life->partitions && !life->failed; p++) {
        uint64_t digest = digest_of(self->books, p);
        unsigned copies = 0;
        if (life->broken[p])
            continue;
        for (size_t node = 0; node < shared_nodes(life->world) && !life->failed; node++) {
            replica_state_t state = shared_state(life->world, node, p);
            if (state == REPLICA_CLOSED)
                continue;
            if (state == REPLICA_HALTED || state == REPLICA_CHECKING)
                life_fail(life, "partition %u on node %zu is %s", p, node,
                          replica_state_name(state));
            else
                compare_replica(self, node, p, digest);
            copies++;
        }
        if (copies == 0)
            life_fail(life, "partition %u is followed by nobody", p);
    }
}

/* ---- answers ---- */

/* Every acknowledged key is in the books, with the answer that was given. */
static void check_keys(judge_t *self)
{
    life_t *life = self->life;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;

    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (unsigned i = 0; i < life->job_count && !life->failed; i++) {
        const job_t *job = &life->jobs[i];
        key_row_t row;
        bool found = false;
        /* Definitions keep theirs under no customer, too. */
        uuid16_t customer = {{0}};
        if (job->command.kind != COMMAND_DEFINE)
            customer = life->members[job->member].customer;
        if (!job_is_keyed(job) || job->http == 0 || job->http >= 300)
            continue;
        if (life->cut.cut && job->partition == life->cut.partition && job->called < life->cut.tick)
            continue;
        buffer_reset(&value);
        errcode_t rc = store_get(self->books, NULL, FAMILY_KEY, key,
                                 key_idempotency(key, job->partition, &customer,
                                                 job->command.operation, &job->command.key_hash),
                                 &value, &found, NULL);
        INVARIANT(rc == ERR_NONE);
        if (!found)
            life_fail(life, "%s was acknowledged and is lost", job->mark);
        else if (key_row_decode(&row, value.bytes, value.size, NULL) != ERR_NONE ||
                 row.state != KEY_FINAL || row.result.n != job->answer.size ||
                 memcmp(row.result.bytes, job->answer.bytes, row.result.n) != 0)
            life_fail(life, "the books hold another answer to %s than it was given", job->mark);
        if (life->failed && log_enabled(LOG_DEBUG)) {
            fprintf(stderr, "%s was called at %" PRIu64 ", answered at %" PRIu64 "\n", job->mark,
                    job->called, job->answered);
            judge_print_log(life, job->partition);
        }
    }
    buffer_free(&value);
}

/* ---- books ---- */

bool judge_account(const judge_t *self, store_t *books, const member_t *member, account_t *out)
{
    buffer_t scratch;
    bool found = false;

    buffer_init(&scratch, BATCH_VALUE_BYTES_MAX);
    errcode_t rc = rows_account(books, NULL, member->partition, &member->customer,
                                self->life->program, out, &scratch, &found, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&scratch);
    return found;
}

static void check_reconciliation(const judge_t *self, unsigned number)
{
    life_t *life = self->life;
    const member_t *member = &life->members[number];
    account_t account;

    if (!judge_account(self, self->books, member, &account)) {
        if (member->account != 0 && !life->cut.cut && !life->any_broken)
            life_fail(life, "member %u was enrolled and is not there", number);
        return;
    }
    query_context_t context = {.store = self->books,
                               .catalogue = shared_node(life->world, 0)->catalogue,
                               .partitions = life->partitions};
    query_t query = {.kind = QUERY_RECONCILE, .account = account.id, .set = QUERY_DELETED};
    reconciliation_t figures = {0};
    answer_t answer;
    buffer_t bytes, out;
    const void *row = NULL;

    buffer_init(&bytes, 4096);
    buffer_init(&out, 4 * 1024 * 1024);
    query_encode(&query, &bytes);
    errcode_t rc = query_run(&context, member->partition, bytes.bytes, bytes.size, &out, life->err);
    if (rc == ERR_NONE)
        rc = answer_decode(&answer, out.bytes, out.size, life->err);
    if (rc == ERR_NONE) {
        size_t n = unpack_blob(&answer.rows, &row);
        rc = reconciliation_decode(&figures, row, n, life->err);
    }
    if (rc != ERR_NONE)
        life->failed = true;
    else if (figures.expected != figures.actual || figures.lots != figures.actual ||
             !figures.chain_ok || !figures.counters_ok)
        life_fail(life,
                  "member %u: postings %" PRId64 ", balance %" PRId64 ", lots %" PRId64
                  ", chain %d, counters %d",
                  number, figures.expected, figures.actual, figures.lots, figures.chain_ok,
                  figures.counters_ok);
    buffer_free(&bytes);
    buffer_free(&out);
}

static void check_books(judge_t *self)
{
    life_t *life = self->life;
    proof_disks_t disks = {.stores = {self->books}, .count = 1, .partitions = life->partitions};

    for (unsigned i = 0; i < life->member_count && !life->failed; i++)
        check_reconciliation(self, i);
    /* A partition that lost what was confirmed has forgotten messages, too: its pairs halt. */
    if (life->failed || life->cut.cut || life->any_broken)
        return;
    if (!proof_disks_pairs(&disks, life->err) || !proof_disks_points(&disks, life->err) ||
        !proof_disks_rest(&disks, life->err))
        life->failed = true;
}

static void make_digest(judge_t *self)
{
    life_t *life = self->life;
    proof_disks_t disks = {.stores = {self->books}, .count = 1, .partitions = life->partitions};
    uint64_t digest = proof_disks_digest(&disks);
    uint64_t figures[] = {(uint64_t)shared_now_us(life->world), life->tick, life->report->replays,
                          life->report->unknown, life->report->claims};

    for (unsigned i = 0; i < life->job_count; i++)
        digest = hash64(digest, life->jobs[i].answer.bytes, life->jobs[i].answer.size);
    life->report->digest = hash64(digest, figures, sizeof figures);
}

void life_judge(life_t *life)
{
    judge_t self = {.life = life, .books = store_memory_new()};

    make_books(&self);
    if (!life->failed)
        compare_replicas(&self);
    if (!life->failed)
        check_keys(&self);
    if (!life->failed)
        judge_histories(&self);
    if (!life->failed)
        check_books(&self);
    make_digest(&self);
    store_destroy(&self.books);
}
