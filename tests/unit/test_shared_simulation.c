/* test_shared_simulation.c - the simulator of the shared log: its lives are good, and can be lived again bit for bit */
#include "protocol/log.h"
#include "tests/sim/log_shared.h"
#include "tests/sim/referee.h"
#include "tests/sim/shared_run.h"

#include <criterion/criterion.h>
#include <string.h>

/* What nodes say about their faults is of no use here. */
static void be_quiet(void)
{
    log_configure((log_level_t)(LOG_ERROR + 1), false);
}

TestSuite(shared_simulation, .timeout = 120, .init = be_quiet);

Test(shared_simulation, the_same_seed_gives_the_same_life_bit_for_bit)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        shared_report_t first, second;
        err_t err;
        cr_assert(shared_run(seed, &first, &err), "seed %llu: %s", (unsigned long long)seed,
                  err.text);
        cr_assert(shared_run(seed, &second, &err), "seed %llu: %s", (unsigned long long)seed,
                  err.text);
        cr_assert_eq(memcmp(&first, &second, sizeof first), 0, "seed %llu",
                     (unsigned long long)seed);
    }
}

Test(shared_simulation, different_seeds_give_different_lives_of_every_profile)
{
    bool seen[PROFILE__COUNT] = {false};
    unsigned kinds = 0;

    for (uint64_t seed = 1; seed <= 400; seed++)
        seen[shared_profile(seed)] = true;
    for (int profile = 0; profile < PROFILE__COUNT; profile++)
        kinds += seen[profile];
    cr_assert_eq(kinds, PROFILE__COUNT);
}

/* ---- the log ---- */

#define TOPIC JOURNAL_LIVENESS /* takes any bytes */

typedef struct {
    log_shared_t *log;
    store_t *store;
    journal_t *journal;
    int64_t now_us;
} bed_t;

static bed_t new_bed(const log_faults_t *faults)
{
    bed_t bed = {.log = log_shared_new(7, 2), .store = store_memory_new()};

    if (faults != NULL)
        *log_shared_faults(bed.log) = *faults;
    bed.journal = log_journal_new(bed.log, 0, bed.store);
    cr_assert_eq(journal_follow(bed.journal, TOPIC, 0, NULL), ERR_NONE);
    return bed;
}

static void end_bed(bed_t *bed)
{
    journal_destroy(&bed->journal);
    store_destroy(&bed->store);
    log_shared_destroy(&bed->log);
}

static void say(bed_t *bed, const char *text)
{
    cr_assert_eq(journal_publish(bed->journal, TOPIC, 1, text, strlen(text), NULL), ERR_NONE);
}

static void wait_us(bed_t *bed, int64_t us)
{
    bed->now_us += us;
    log_shared_advance(bed->log, bed->now_us);
}

/* All that can be read now, one after the other. */
static void expect_text(bed_t *bed, const char *expected)
{
    char text[256] = "";
    journal_record_t record;

    while (journal_next(bed->journal, &record)) {
        cr_assert_not_null(record.bytes, "%s", record.why);
        strncat(text, (const char *)record.bytes, record.n);
    }
    cr_assert_str_eq(text, expected);
}

Test(shared_simulation, a_log_without_faults_gives_back_what_was_appended_and_reports_it)
{
    bed_t bed = new_bed(NULL);
    journal_report_t report;

    say(&bed, "a");
    say(&bed, "b");
    wait_us(&bed, 1);
    expect_text(&bed, "ab");
    for (int i = 0; i < 2; i++) {
        cr_assert(journal_report(bed.journal, &report));
        cr_assert(report.delivered);
        cr_assert_eq(report.partition, TOPIC);
    }
    cr_assert_not(journal_report(bed.journal, &report));
    cr_assert_eq(journal_behind(bed.journal, TOPIC), 0);
    end_bed(&bed);
}

Test(shared_simulation, what_is_lost_is_reported_and_never_lands)
{
    bed_t bed = new_bed(&(log_faults_t){.lost_ppm = 1000000});
    journal_report_t report;

    say(&bed, "a");
    wait_us(&bed, 1000000);
    expect_text(&bed, "");
    cr_assert(journal_report(bed.journal, &report));
    cr_assert_not(report.delivered);
    end_bed(&bed);
}

Test(shared_simulation, a_report_may_say_that_nothing_is_known_though_it_landed)
{
    bed_t bed = new_bed(&(log_faults_t){.doubt_ppm = 1000000});
    journal_report_t report;

    say(&bed, "a");
    wait_us(&bed, 1000000);
    expect_text(&bed, "a");
    cr_assert(journal_report(bed.journal, &report));
    cr_assert_not(report.delivered);
    end_bed(&bed);
}

Test(shared_simulation, a_batch_may_land_twice)
{
    bed_t bed = new_bed(&(log_faults_t){.double_ppm = 1000000, .slow_max_us = 1000});

    say(&bed, "a");
    wait_us(&bed, 1000000);
    expect_text(&bed, "aa");
    end_bed(&bed);
}

Test(shared_simulation, what_was_on_its_way_lands_after_its_process_has_died)
{
    bed_t bed = new_bed(&(log_faults_t){.append_min_us = 500, .append_max_us = 500});

    say(&bed, "a");
    journal_destroy(&bed.journal);
    bed.journal = log_journal_new(bed.log, 0, bed.store);
    cr_assert_eq(journal_follow(bed.journal, TOPIC, 0, NULL), ERR_NONE);
    wait_us(&bed, 1000);
    expect_text(&bed, "a");
    journal_report_t report;
    cr_assert_not(journal_report(bed.journal, &report)); /* it is not the new one's */
    end_bed(&bed);
}

Test(shared_simulation, a_node_that_is_cut_off_reads_nothing_until_the_cut_is_over)
{
    bed_t bed = new_bed(NULL);

    log_node_cut(bed.log, 0, true);
    cr_assert(log_node_is_cut(bed.log, 0));
    say(&bed, "a");
    wait_us(&bed, 1000);
    expect_text(&bed, "");
    cr_assert_eq(log_shared_count(bed.log, TOPIC), 0);
    log_node_cut(bed.log, 0, false);
    wait_us(&bed, 1000);
    expect_text(&bed, "a");
    end_bed(&bed);
}

Test(shared_simulation, a_log_that_lost_its_end_grows_again_over_the_same_offsets)
{
    bed_t bed = new_bed(NULL);
    journal_record_t record;

    say(&bed, "a");
    say(&bed, "b");
    say(&bed, "c");
    wait_us(&bed, 1);
    expect_text(&bed, "abc");
    cr_assert_eq(log_shared_safe(bed.log, TOPIC), 3);
    cr_assert_eq(log_shared_read(bed.log, TOPIC), 3);
    log_shared_truncate(bed.log, TOPIC, 1);
    cr_assert_eq(log_shared_end(bed.log, TOPIC), 1);
    /* Its place is not there: the reader learns so by and by. */
    cr_assert_not(journal_next(bed.journal, &record));
    wait_us(&bed, 10000000);
    cr_assert(journal_next(bed.journal, &record));
    cr_assert_null(record.bytes);
    cr_assert(record.lost);
    say(&bed, "d");
    wait_us(&bed, 1);
    cr_assert_eq(journal_follow(bed.journal, TOPIC, 0, NULL), ERR_NONE);
    expect_text(&bed, "ad");
    end_bed(&bed);
}

/* ---- the referee ---- */

static size_t record(uint8_t out[RECORD_HEADER_BYTES + 8], record_header_t header)
{
    uint8_t body[8] = {0};

    header.body_bytes = header.kind == RECORD_CLAIM ? sizeof body : 0;
    if (header.kind == RECORD_CLAIM)
        body[0] = (uint8_t)(header.epoch - 1);
    record_encode_header(&header, body, out);
    memcpy(out + RECORD_HEADER_BYTES, body, header.body_bytes);
    return RECORD_HEADER_BYTES + header.body_bytes;
}

static verdict_t referee(position_t *state, record_header_t header)
{
    uint8_t bytes[RECORD_HEADER_BYTES + 8];
    record_kind_t kind;
    const uint8_t *body;
    size_t n;
    return referee_judge(state, bytes, record(bytes, header), 0, &kind, &body, &n);
}

Test(shared_simulation, the_referee_knows_the_rules)
{
    position_t state = {.epoch = 0};
    record_header_t claim = {
        .kind = RECORD_CLAIM, .history = {{1}}, .epoch = 1, .incarnation = {{2}}};

    cr_assert_eq(referee(&state, claim), VERDICT_ACCEPT);
    cr_assert_eq(state.epoch, 1);
    cr_assert_eq(referee(&state, claim), VERDICT_IGNORE);
    record_header_t next = {.kind = RECORD_DECISIONS,
                            .history = {{1}},
                            .epoch = 1,
                            .incarnation = {{2}},
                            .seq = 1,
                            .chain = state.chain};
    record_header_t other = next;
    other.incarnation.bytes[0] = 3;
    cr_assert_eq(referee(&state, other), VERDICT_IGNORE);
    other = next;
    other.seq = 2;
    cr_assert_eq(referee(&state, other), VERDICT_IGNORE);
    other = next;
    other.at_us = 61000000;
    cr_assert_eq(referee(&state, other), VERDICT_IGNORE);
    other = next;
    other.seen = 1;
    cr_assert_eq(referee(&state, other), VERDICT_HALT);
    other = next;
    other.chain++;
    cr_assert_eq(referee(&state, other), VERDICT_HALT);
    other = next;
    other.epoch = 2;
    cr_assert_eq(referee(&state, other), VERDICT_HALT);
    cr_assert_eq(state.seq, 0);
    cr_assert_eq(referee(&state, next), VERDICT_ACCEPT);
    cr_assert_eq(state.seq, 1);
    cr_assert_eq(referee(&state, next), VERDICT_IGNORE);
    claim.epoch = 3;
    cr_assert_eq(referee(&state, claim), VERDICT_HALT);
}
