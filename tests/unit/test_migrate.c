/* test_migrate.c - books go into a shared log whole, whatever dies or gets lost on the way */
#include "node/migrate.h"

#include "actors/section.h"
#include "node/migrate_lane.h"
#include "tests/unit/paper_log.h"

#define PARTITIONS  (LOGS - 1) /* of customers */
#define WALL_US     PAPER_TIME_US
#define ROW_BYTES   700
#define ENTRIES     1500 /* of the first partition: several records */
#define NOBODY_DIES UINT64_MAX

/* ---- the books that move ---- */

static store_t *books;
static together_t source;
static uuid16_t person = {{7}};

static void put(family_t family, const uint8_t *key, size_t key_bytes, const void *value, size_t n)
{
    buffer_t batch;

    buffer_init(&batch, 1 << 20);
    batch_put(&batch, family, key, key_bytes, value, n);
    const batch_part_t part = {batch.bytes, batch.size};
    cr_assert_eq(store_write(books, &part, 1, false, NULL), ERR_NONE);
    buffer_free(&batch);
}

static void put_pairs(uint16_t p, uint16_t other)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    const pair_in_t in = {.seq = 4, .peer = source.position[other].history};
    const pair_out_t out = {
        .next = 6, .acked = 3, .peer = source.position[other].history, .peer_epoch = 9};
    buffer_t value;

    buffer_init(&value, 1024);
    pair_in_encode(&in, &value);
    put(FAMILY_STATE, key, key_pair_in(key, p, other), value.bytes, value.size);
    buffer_reset(&value);
    pair_out_encode(&out, &value);
    put(FAMILY_STATE, key, key_pair_out(key, p, other), value.bytes, value.size);
    for (uint64_t n = 4; n < 6; n++)
        put(FAMILY_OUTBOX, key, key_outbox(key, p, other, n), "message", 7);
    buffer_free(&value);
}

static void fill_partition(uint16_t p)
{
    static account_t account;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint8_t bytes[ROW_BYTES];
    hash_t hash = {{(uint8_t)(p + 1)}};
    const lot_t lot = {.id = 5, .original = 3, .active = 3};
    buffer_t value;

    buffer_init(&value, 1 << 16);
    account = (account_t){
        .id = id_make(0, p + 1u), .customer = person, .program = 1, .available = 100 + p};
    account_encode(&account, &value);
    put(FAMILY_STATE, key, key_account(key, p, &person, 1), value.bytes, value.size);
    put(FAMILY_STATE, key, key_session(key, p, &hash), "a session", 9);
    put(FAMILY_STATE, key, key_checkpoint(key, p), "a checkpoint", 12);
    for (uint64_t i = 0; i < (p == 0 ? ENTRIES : 3); i++) {
        memset(bytes, (int)(i % 251), sizeof bytes);
        put(FAMILY_ENTRY, key, key_entry(key, p, i + 1), bytes, sizeof bytes);
    }
    put(FAMILY_KEY, key, key_idempotency(key, p, &person, 1, &hash), "an answer", 9);
    put(FAMILY_LOT, key, key_lot(key, p, 5, &lot), "a lot", 5);
    for (uint16_t other = 0; other < LOGS; other++)
        put_pairs(p, other);
    buffer_free(&value);
}

static void make_source(void)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];

    books = store_memory_new();
    source =
        (together_t){.count = 1, .node_count = 1, .partitions = PARTITIONS, .cluster = {{'c'}}};
    for (uint16_t p = 0; p < LOGS; p++) {
        source.owner[p] = books;
        source.found[p] = true;
        source.position[p] = (position_t){
            .history = {{'h', (uint8_t)p}}, .epoch = 3, .seq = 77, .now_us = WALL_US + 5000000};
    }
    for (uint16_t p = 0; p < LOGS; p++)
        fill_partition(p);
    for (uint64_t version = 1; version <= 3; version++)
        put(FAMILY_META, key, key_content(key, version), "a definition", 12);
    put(FAMILY_META, (const uint8_t *)"G", 1, "a birth record", 14);
}

static void drop_source(void)
{
    store_destroy(&books);
}

TestSuite(migrate, .init = make_source, .fini = drop_source, .timeout = 60);

/* ---- a process that migrates ---- */

typedef struct {
    migrate_plan_t plan, kept;
    int64_t boot_us;
    uint64_t stop_at; /* of all appends */
    paper_t *paper;
    bool found_node; /* a node starts in the middle */
    uint64_t shown;
} run_t;

static int64_t run_wall(void *state)
{
    (void)state;
    return WALL_US;
}

static int64_t run_boot(void *state)
{
    return ((run_t *)state)->boot_us;
}

static void run_fill(void *state, void *bytes, size_t n)
{
    static uint8_t seed;

    (void)state;
    memset(bytes, ++seed, n);
}

static void run_wait(void *state)
{
    ((run_t *)state)->boot_us += 20000;
}

static errcode_t run_keep(void *state, err_t *err)
{
    run_t *run = state;

    (void)err;
    run->kept = run->plan;
    return ERR_NONE;
}

static void run_show(void *state, uint64_t rows, uint64_t bytes)
{
    (void)bytes;
    ((run_t *)state)->shown = rows;
}

static bool run_stop(void *state)
{
    run_t *run = state;

    if (run->found_node && run->paper->appends > 3)
        run->paper->founded = true;
    return run->paper->appends >= run->stop_at;
}

static const random_source_t dice = {run_fill, NULL};

static run_t *run_new(paper_t *paper)
{
    run_t *run = memory_zalloc(sizeof *run);

    run->paper = paper;
    run->stop_at = NOBODY_DIES;
    migrate_plan_make(&run->plan, &source, "fealty", &dice, WALL_US);
    return run;
}

/* From start to end, or to its death; the next one finds what was kept. */
static errcode_t run_process(run_t *run, err_t *err)
{
    pen_t *pen = memory_zalloc(sizeof *pen);
    journal_t journal = {.ops = &pen_ops, .state = pen};
    const clock_source_t clock = {run_wall, run_boot, run};
    const migrate_config_t config = {.source = &source,
                                     .plan = &run->plan,
                                     .journal = &journal,
                                     .clock = &clock,
                                     .random = &dice,
                                     .wait = run_wait,
                                     .keep = run_keep,
                                     .show = run_show,
                                     .stop = run_stop,
                                     .state = run};
    errcode_t rc = ERR_NONE;

    pen->paper = run->paper;
    if (run->plan.parts[0].whole.rows == 0) {
        uint64_t stop_at = run->stop_at;

        run->stop_at = NOBODY_DIES;
        rc = migrate_count(&config, err);
        run->stop_at = stop_at;
        run->kept = run->plan;
    }
    if (rc == ERR_NONE)
        rc = run->plan.ended_us == 0 ? migrate_run(&config, err) : migrate_confirm(&config, err);
    run->plan = run->kept;
    free(pen);
    return rc;
}

/* ---- what a follower makes of the log ---- */

static size_t largest_record;

static store_t *follow(const paper_t *paper, position_t *positions)
{
    store_t *store = store_memory_new();
    record_header_t header;
    record_reason_t reason;
    const uint8_t *body;

    largest_record = 0;
    for (uint16_t p = 0; p < LOGS; p++)
        for (size_t i = 0; i < paper->count[p]; i++) {
            const sheet_t *sheet = &paper->sheets[p][i];
            size_t at = 0;
            bool corrupt = false;
            section_t section;

            cr_assert_eq(record_decode(sheet->bytes, sheet->n, &header, &body, &reason),
                         VERDICT_ACCEPT);
            verdict_t verdict =
                record_judge(&positions[p], &header, sheet->bytes, sheet->n, WALL_US, &reason);
            cr_assert_neq(verdict, VERDICT_HALT, "%s", record_reason_name(reason));
            if (verdict != VERDICT_ACCEPT || header.kind != RECORD_DECISIONS)
                continue;
            largest_record = sheet->n > largest_record ? sheet->n : largest_record;
            while (section_next(body, header.body_bytes, &at, &section, &corrupt)) {
                const batch_part_t part = {section.writes, section.writes_bytes};
                cr_assert_eq(store_write(store, &part, 1, false, NULL), ERR_NONE);
            }
            cr_assert_not(corrupt);
        }
    return store;
}

/* Row by row the same as the source, pairs rewritten; every partition is released. */
static void check_copy(const run_t *run)
{
    static position_t positions[LOGS];
    static const hash_t nobody;
    migrate_cursors_t ours = {0}, theirs = {0};
    together_t copy = source;

    memset(positions, 0, sizeof positions);
    store_t *store = follow(run->paper, positions);
    for (uint16_t p = 0; p < LOGS; p++)
        copy.owner[p] = store;
    for (uint16_t p = 0; p < LOGS; p++) {
        migrate_rows_t wanted, found;
        row_write_t want, have;
        bool more = true;

        cr_assert(hash_equal(&positions[p].owner, &nobody));
        cr_assert(hash_equal(&positions[p].history, &run->plan.histories[p]));
        cr_assert_geq(positions[p].now_us, source.position[p].now_us);
        migrate_rows_open(&wanted, &source, &ours, p, run->plan.histories, true);
        migrate_rows_open(&found, &copy, &theirs, p, NULL, true);
        while (more) {
            bool also = false;
            cr_assert_eq(migrate_rows_next(&wanted, &want, &more, NULL), ERR_NONE);
            cr_assert_eq(migrate_rows_next(&found, &have, &also, NULL), ERR_NONE);
            cr_assert_eq(more, also);
            if (!more)
                break;
            cr_assert_eq(want.family, have.family);
            cr_assert_eq(want.key_bytes, have.key_bytes);
            cr_assert_arr_eq(want.key, have.key, want.key_bytes);
            cr_assert_eq(want.value_bytes, have.value_bytes);
            cr_assert_arr_eq(want.value, have.value, want.value_bytes);
        }
        migrate_rows_close(&wanted);
        migrate_rows_close(&found);
    }
    migrate_cursors_free(&ours);
    migrate_cursors_free(&theirs);
    store_destroy(&store);
}

Test(migrate, copies_every_row_into_records_of_bounded_size)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    err_t err = {0};

    cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text);
    check_copy(run);
    cr_assert_leq(largest_record, MIGRATE_RECORD_BYTES);
    cr_assert_gt(largest_record, MIGRATE_RECORD_BYTES / 2);
    cr_assert_eq(run->plan.parts[1].copied.digest.points, 101);
    uint64_t appends = paper->appends;
    cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text); /* looks, and changes nothing */
    cr_assert_eq(paper->appends, appends);
    free(run);
    paper_free(paper);
}

Test(migrate, tells_pairs_the_new_histories_and_leaves_sessions_behind)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    static position_t positions[LOGS];
    uint8_t key[BATCH_KEY_BYTES_MAX];
    hash_t token = {{1}};
    pair_out_t out;
    pair_in_t in;
    bool found;
    buffer_t value;

    cr_assert_eq(run_process(run, NULL), ERR_NONE);
    store_t *store = follow(paper, positions);
    buffer_init(&value, 4096);
    cr_assert_eq(
        store_get(store, NULL, FAMILY_STATE, key, key_pair_out(key, 0, 1), &value, &found, NULL),
        ERR_NONE);
    cr_assert(found);
    cr_assert_eq(pair_out_decode(&out, value.bytes, value.size, NULL), ERR_NONE);
    cr_assert(hash_equal(&out.peer, &positions[1].history));
    cr_assert_eq(out.peer_epoch, 0);
    cr_assert_eq(out.next, 6);
    buffer_reset(&value);
    cr_assert_eq(
        store_get(store, NULL, FAMILY_STATE, key, key_pair_in(key, 1, 0), &value, &found, NULL),
        ERR_NONE);
    cr_assert(found);
    cr_assert_eq(pair_in_decode(&in, value.bytes, value.size, NULL), ERR_NONE);
    cr_assert(hash_equal(&in.peer, &positions[0].history));
    cr_assert_eq(in.seq, 4);
    buffer_reset(&value);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, key, key_session(key, 0, &token), &value,
                           &found, NULL),
                 ERR_NONE);
    cr_assert_not(found);
    cr_assert_eq(store_get(store, NULL, FAMILY_META, "G", 1, &value, &found, NULL), ERR_NONE);
    cr_assert_not(found);
    buffer_free(&value);
    store_destroy(&store);
    free(run);
    paper_free(paper);
}

/* Whether it dies: what was kept of the plan, and all, or all but the newest, of what it had appended. */
static bool die_and_go_on(uint64_t appends, size_t unwritten)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    err_t err = {0};
    bool died;

    run->stop_at = appends;
    died = run_process(run, &err) != ERR_NONE;
    for (uint16_t p = 0; p < LOGS && died; p++)
        /* What is confirmed is on all replicas of the log, so only later records can be gone. */
        for (size_t i = 0;
             i < unwritten && paper->count[p] > 0 &&
             (!run->plan.parts[p].begun || paper->count[p] - 1 > run->plan.parts[p].at.offset);
             i++)
            free(paper->sheets[p][--paper->count[p]].bytes);
    run->stop_at = NOBODY_DIES;
    cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text);
    check_copy(run);
    free(run);
    paper_free(paper);
    return died;
}

Test(migrate, goes_on_after_death_at_every_append)
{
    uint64_t deaths = 0;

    for (uint64_t appends = 1; die_and_go_on(appends, appends % 3); appends++)
        deaths++;
    cr_assert_gt(deaths, 8);
}

Test(migrate, is_not_misled_by_appends_that_are_lost_doubled_or_not_confirmed)
{
    for (unsigned every = 2; every < 7; every++) {
        paper_t *paper = paper_new();
        run_t *run = run_new(paper);
        err_t err = {0};

        paper->lose_every = every + 2;
        paper->double_every = every;
        paper->deny_every = every + 5;
        cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text);
        check_copy(run);
        free(run);
        paper_free(paper);
    }
}

Test(migrate, gives_up_when_nothing_is_ever_confirmed)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    err_t err = {0};

    paper->deny_every = 1;
    cr_assert_eq(run_process(run, &err), ERR_UNREACHABLE);
    cr_assert_not_null(strstr(err.text, "gets no further"), "%s", err.text);
    paper->deny_every = 0;
    cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text);
    check_copy(run);
    free(run);
    paper_free(paper);
}

static void check_refused(run_t *run, errcode_t code, const char *words)
{
    err_t err = {0};

    cr_assert_eq(run_process(run, &err), code, "%s", err.text);
    cr_assert_not_null(strstr(err.text, words), "%s", err.text);
}

Test(migrate, refuses_a_log_that_holds_records_of_another_history)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    record_header_t header = {.kind = RECORD_CLAIM,
                              .partition = 1,
                              .history = {{'x'}},
                              .epoch = 1,
                              .incarnation = {{'y'}},
                              .body_bytes = 8};
    uint8_t room[RECORD_HEADER_BYTES], body[8] = {0};

    record_encode_header(&header, body, room);
    paper_write(paper, 1, room, body, sizeof body);
    check_refused(run, ERR_STATE, "it has another history");
    cr_assert_eq(paper->appends, 0);
    free(run);
    paper_free(paper);
}

Test(migrate, refuses_to_go_on_behind_a_record_of_another_history)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    record_header_t header = {.kind = RECORD_CLAIM,
                              .history = {{'x'}},
                              .epoch = 1,
                              .incarnation = {{'y'}},
                              .body_bytes = 8};
    uint8_t room[RECORD_HEADER_BYTES], body[8] = {0};

    run->stop_at = 6;
    check_refused(run, ERR_UNREACHABLE, "stopped");
    record_encode_header(&header, body, room);
    paper_write(paper, 0, room, body, sizeof body);
    run->stop_at = NOBODY_DIES;
    check_refused(run, ERR_STATE, "it has another history");
    free(run);
    paper_free(paper);
}

Test(migrate, ends_when_a_node_starts_on_the_log)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);

    run->found_node = true;
    check_refused(run, ERR_STATE, "a node was started on these topics");
    cr_assert_gt(paper->appends, 0);
    uint64_t appends = paper->appends;
    check_refused(run, ERR_STATE, "a node was started on these topics");
    cr_assert_eq(paper->appends, appends);
    free(run);
    paper_free(paper);
}

Test(migrate, ends_when_the_log_was_cut_behind_what_is_confirmed)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    err_t err = {0};

    cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text);
    sheet_t *last = &paper->sheets[0][paper->count[0] - 1];
    last->bytes[70] ^= 1;
    check_refused(run, ERR_STATE, "does not hold it any more");
    run->plan.ended_us = 0;
    run->plan.parts[0].done = false;
    check_refused(run, ERR_STATE, "it was cut, or made anew");
    free(run);
    paper_free(paper);
}

Test(migrate, notices_rows_that_changed_under_it)
{
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    uint8_t key[BATCH_KEY_BYTES_MAX];

    run->stop_at = 6;
    check_refused(run, ERR_UNREACHABLE, "stopped");
    put(FAMILY_STATE, key, key_account(key, 0, &person, 1), "another row", 11);
    run->stop_at = NOBODY_DIES;
    check_refused(run, ERR_CORRUPT, "does not begin with the rows of this directory");
    free(run);
    paper_free(paper);
}

Test(migrate, keeps_its_plan_in_a_file_that_shows_damage)
{
    scratch_t directory = scratch_new();
    paper_t *paper = paper_new();
    run_t *run = run_new(paper);
    migrate_plan_t *read = memory_zalloc(sizeof *read);
    char path[1024];
    bool found = true;
    err_t err = {0};

    scratch_join(path, directory.path, "plan");
    cr_assert_eq(migrate_plan_load(read, path, &found, &err), ERR_NONE, "%s", err.text);
    cr_assert_not(found);
    cr_assert_eq(run_process(run, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(migrate_plan_store(&run->plan, path, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(migrate_plan_load(read, path, &found, &err), ERR_NONE, "%s", err.text);
    cr_assert(found);
    cr_assert(migrate_plan_fits(read, &source));
    cr_assert_eq(read->ended_us, run->plan.ended_us);
    for (size_t p = 0; p < LOGS; p++) {
        cr_assert(hash_equal(&read->histories[p], &run->plan.histories[p]));
        cr_assert(migrate_total_equal(&read->parts[p].copied, &run->plan.parts[p].copied));
        cr_assert_eq(read->parts[p].at.offset, run->plan.parts[p].at.offset);
        cr_assert_eq(read->parts[p].at.crc, run->plan.parts[p].at.crc);
        cr_assert(read->parts[p].done);
    }
    source.position[1].seq++;
    cr_assert_not(migrate_plan_fits(read, &source));
    source.position[1].seq--;

    FILE *file = fopen(path, "r+b");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, 60, SEEK_SET), 0);
    cr_assert_neq(fputc(0x55, file), EOF);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(migrate_plan_load(read, path, &found, &err), ERR_CORRUPT);
    free(read);
    free(run);
    paper_free(paper);
    scratch_remove(&directory);
}

static verify_digest_t digest_of(uint16_t p)
{
    migrate_cursors_t cursors = {0};
    verify_digest_t digest = {0};
    buffer_t scratch;

    buffer_init(&scratch, 1 << 20);
    cr_assert_eq(verify_digest_partition(&digest, &source, &cursors, p, &scratch, NULL), ERR_NONE);
    buffer_free(&scratch);
    migrate_cursors_free(&cursors);
    return digest;
}

Test(migrate, digests_the_books_and_not_what_a_copy_has_of_its_own)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    hash_t token = {{'t'}};
    verify_digest_t before = digest_of(0), definitions = digest_of(PARTITIONS);

    cr_assert_eq(before.accounts, 1);
    cr_assert_eq(before.points, 100);
    cr_assert_eq(before.entries, ENTRIES);
    cr_assert_eq(before.keys, 1);
    cr_assert_eq(before.definitions, 0);
    cr_assert_eq(definitions.definitions, 3);
    put(FAMILY_STATE, key, key_session(key, 0, &token), "another", 7);
    put(FAMILY_STATE, key, key_checkpoint(key, 0), "another", 7);
    put(FAMILY_STATE, key, key_pair_out(key, 0, 2), "another", 7);
    put(FAMILY_OUTBOX, key, key_outbox(key, 0, 2, 4), "another", 7);
    verify_digest_t after = digest_of(0);
    cr_assert(verify_digest_equal(&before, &after));
    put(FAMILY_LOT, key, key_lots_of(key, 0, 5), "another", 7);
    after = digest_of(0);
    cr_assert_not(verify_digest_equal(&before, &after));
    put(FAMILY_META, key, key_content(key, 4), "another", 7);
    after = digest_of(PARTITIONS);
    cr_assert_eq(after.definitions, 4);
    cr_assert_not(hash_equal(&definitions.sum, &after.sum));
}
