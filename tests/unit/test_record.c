/* test_record.c - the acceptance function, row by row of protocol section 1, and the frozen header */
#include "protocol/record.h"

#include <criterion/criterion.h>
#include <string.h>

static const hash_t history_a = {{0xa1}};
static const hash_t history_b = {{0xb2}};
static const hash_t alice = {{0x01, 0x11}};
static const hash_t bob = {{0x02, 0x22}};
static const hash_t none;

typedef struct {
    uint8_t bytes[RECORD_HEADER_BYTES + 64];
    size_t n;
} packed_t;

static packed_t packed(record_header_t header, const void *body, size_t body_bytes)
{
    packed_t out;

    header.body_bytes = (uint32_t)body_bytes;
    record_encode_header(&header, body, out.bytes);
    if (body_bytes > 0)
        memcpy(out.bytes + RECORD_HEADER_BYTES, body, body_bytes);
    out.n = RECORD_HEADER_BYTES + body_bytes;
    return out;
}

static packed_t claim_of(hash_t history, hash_t who, uint64_t previous, uint64_t epoch,
                         uint64_t seen, int64_t at_us)
{
    uint8_t body[8];

    for (size_t i = 0; i < 8; i++)
        body[i] = (uint8_t)(previous >> (8 * i));
    return packed((record_header_t){.kind = RECORD_CLAIM,
                                    .history = history,
                                    .epoch = epoch,
                                    .incarnation = who,
                                    .seq = seen,
                                    .seen = seen,
                                    .at_us = at_us},
                  body, sizeof body);
}

/* What the present owner would write next. */
static record_header_t next_of(const position_t *state)
{
    return (record_header_t){.kind = RECORD_DECISIONS,
                             .history = state->history,
                             .epoch = state->epoch,
                             .incarnation = state->owner,
                             .seq = state->seq + 1,
                             .seen = state->seq,
                             .at_us = state->now_us,
                             .chain = state->chain};
}

static verdict_t judged(position_t *state, const packed_t *record, int64_t log_time_us,
                        record_reason_t *reason)
{
    record_header_t header;
    const uint8_t *body;
    verdict_t verdict = record_decode(record->bytes, record->n, &header, &body, reason);

    if (verdict == VERDICT_ACCEPT)
        verdict = record_judge(state, &header, record->bytes, record->n, log_time_us, reason);
    return verdict;
}

static void expect(position_t *state, packed_t record, int64_t log_time_us, verdict_t verdict,
                   record_reason_t reason)
{
    position_t before = *state;
    record_reason_t why;
    verdict_t found = judged(state, &record, log_time_us, &why);

    cr_assert_eq(found, verdict, "verdict %d (%s)", (int)found, record_reason_name(why));
    cr_assert_eq(why, reason, "reason %s", record_reason_name(why));
    if (verdict != VERDICT_ACCEPT) {
        cr_assert(hash_equal(&state->history, &before.history));
        cr_assert(hash_equal(&state->owner, &before.owner));
        cr_assert_eq(state->epoch, before.epoch);
        cr_assert_eq(state->seq, before.seq);
        cr_assert_eq(state->chain, before.chain);
        cr_assert_eq(state->now_us, before.now_us);
        cr_assert_eq(state->crc, before.crc);
    }
}

static void accept(position_t *state, packed_t record)
{
    expect(state, record, INT64_MAX, VERDICT_ACCEPT, REASON_NONE);
}

/* A log in which alice owns epoch 1 and has written three records. */
static position_t running(void)
{
    position_t state = {0};

    accept(&state, claim_of(history_a, alice, 0, 1, 0, 1000));
    for (int i = 0; i < 3; i++) {
        record_header_t header = next_of(&state);

        header.at_us = 2000 + i;
        accept(&state, packed(header, "body", 4));
    }
    cr_assert_eq(state.seq, 3);
    return state;
}

Test(record, the_header_is_frozen, .timeout = 10)
{
    static const uint8_t golden[] = {
        0xa1, 0xfe, 0x01, 0x03, 0x34, 0x12, 0x00, 0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
        0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03,
        0x02, 0x01, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c,
        0x2d, 0x2e, 0x2f, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25,
        0x24, 0x23, 0x22, 0x21, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x38, 0x37, 0x36,
        0x35, 0x34, 0x33, 0x32, 0x31, 0x05, 0x00, 0x00, 0x00, 0x81, 0x62, 0xc9, 0xe7};
    record_header_t header = {.kind = RECORD_DECISIONS,
                              .partition = 0x1234,
                              .epoch = 0x0102030405060708,
                              .seq = 0x1112131415161718,
                              .seen = 0x2122232425262728,
                              .at_us = -1,
                              .chain = 0x3132333435363738,
                              .body_bytes = 5};
    record_header_t back;
    const uint8_t *body;
    record_reason_t reason;
    uint8_t out[RECORD_HEADER_BYTES + 5];

    for (size_t i = 0; i < HASH_BYTES; i++) {
        header.history.bytes[i] = (uint8_t)(0x10 + i);
        header.incarnation.bytes[i] = (uint8_t)(0x20 + i);
    }
    record_encode_header(&header, "hello", out);
    memcpy(out + RECORD_HEADER_BYTES, "hello", 5);
    cr_assert_eq(sizeof golden, RECORD_HEADER_BYTES);
    for (size_t i = 0; i < sizeof golden; i++)
        cr_assert_eq(out[i], golden[i], "byte %zu is %02x", i, out[i]);
    cr_assert_eq(record_decode(out, sizeof out, &back, &body, &reason), VERDICT_ACCEPT);
    cr_assert_eq(back.kind, header.kind);
    cr_assert_eq(back.partition, header.partition);
    cr_assert(hash_equal(&back.history, &header.history));
    cr_assert(hash_equal(&back.incarnation, &header.incarnation));
    cr_assert_eq(back.epoch, header.epoch);
    cr_assert_eq(back.seq, header.seq);
    cr_assert_eq(back.seen, header.seen);
    cr_assert_eq(back.at_us, header.at_us);
    cr_assert_eq(back.chain, header.chain);
    cr_assert_eq(back.body_bytes, 5);
    cr_assert_eq(back.crc, header.crc);
    cr_assert_eq(memcmp(body, "hello", 5), 0);
}

Test(record, a_running_chain_is_frozen, .timeout = 10)
{
    cr_assert_eq(running().chain, UINT64_C(0x418db1b67804c1d5));
}

Test(record, a_first_claim_gives_a_log_its_history, .timeout = 10)
{
    position_t state = {0};
    packed_t claim = claim_of(history_a, alice, 0, 1, 0, 1000);

    accept(&state, claim);
    cr_assert(hash_equal(&state.history, &history_a));
    cr_assert(hash_equal(&state.owner, &alice));
    cr_assert_eq(state.epoch, 1);
    cr_assert_eq(state.seq, 0);
    cr_assert_eq(state.chain, hash64(0, claim.bytes, claim.n));
    /* And it is the only one that may: all readers must name the log the same. */
    expect(&state, claim_of(history_b, bob, 1, 2, 0, 1000), INT64_MAX, VERDICT_IGNORE,
           REASON_OTHER_HISTORY);
}

Test(record, a_claim_without_a_history_is_ignored, .timeout = 10)
{
    position_t state = {0};

    expect(&state, claim_of(none, alice, 0, 1, 0, 0), INT64_MAX, VERDICT_IGNORE,
           REASON_OTHER_HISTORY);
}

Test(record, a_claim_of_nobody_is_ignored, .timeout = 10)
{
    position_t state = {0};

    expect(&state, claim_of(history_a, none, 0, 1, 0, 0), INT64_MAX, VERDICT_IGNORE,
           REASON_NOT_OWNER);
}

Test(record, an_accepted_record_moves_seq_chain_time_and_crc, .timeout = 10)
{
    position_t state = running();
    position_t before = state;
    record_header_t header = next_of(&state);
    packed_t record;

    header.at_us = 5000;
    record = packed(header, "xyz", 3);
    accept(&state, record);
    cr_assert_eq(state.seq, before.seq + 1);
    cr_assert_eq(state.chain, hash64(before.chain, record.bytes, record.n));
    cr_assert_eq(state.now_us, 5000);
    cr_assert_neq(state.crc, before.crc);
    cr_assert_eq(state.epoch, before.epoch);
}

Test(record, time_never_goes_back, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.at_us = 7;
    accept(&state, packed(header, NULL, 0));
    cr_assert_eq(state.now_us, 2002);
}

Test(record, a_time_reset_may_lower_the_time_and_takes_a_seq, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);
    static const uint8_t lower[8] = {42};

    header.kind = RECORD_TIME_RESET;
    header.at_us = 999999;
    accept(&state, packed(header, lower, sizeof lower));
    cr_assert_eq(state.now_us, 42);
    cr_assert_eq(state.seq, 4);
}

/* Nobody else may write behind it, whatever he knows. */
Test(record, the_end_of_other_histories_halts_their_readers_and_is_nothing_in_its_own,
     .timeout = 10)
{
    position_t state = running(), empty = {.epoch = 0};
    record_header_t header = next_of(&state);
    static const uint8_t before[HASH_BYTES] = {42};

    header.kind = RECORD_ADOPTED;
    expect(&state, packed(header, before, sizeof before), INT64_MAX, VERDICT_IGNORE,
           REASON_ADOPTED);
    header.history.bytes[0]++;
    expect(&state, packed(header, before, sizeof before), INT64_MAX, VERDICT_HALT, REASON_ADOPTED);
    expect(&empty, packed(header, before, sizeof before), INT64_MAX, VERDICT_HALT, REASON_ADOPTED);
    header.history = (hash_t){{0}};
    expect(&state, packed(header, before, sizeof before), INT64_MAX, VERDICT_IGNORE,
           REASON_OTHER_HISTORY);
}

Test(record, a_duplicate_batch_is_ignored, .timeout = 10)
{
    position_t state = running();
    packed_t record = packed(next_of(&state), "once", 4);

    accept(&state, record);
    expect(&state, record, INT64_MAX, VERDICT_IGNORE, REASON_DUPLICATE);
}

Test(record, a_gap_is_ignored_and_so_is_all_behind_it, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.seq++;
    expect(&state, packed(header, "late", 4), INT64_MAX, VERDICT_IGNORE, REASON_GAP);
    header.seq++;
    expect(&state, packed(header, "later", 5), INT64_MAX, VERDICT_IGNORE, REASON_GAP);
}

Test(record, a_record_of_another_history_is_ignored, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.history = history_b;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_OTHER_HISTORY);
}

Test(record, a_record_of_a_stale_epoch_is_ignored, .timeout = 10)
{
    position_t state = running();
    packed_t late = packed(next_of(&state), "late", 4);

    accept(&state, claim_of(history_a, bob, 1, 2, 3, 3000));
    expect(&state, late, INT64_MAX, VERDICT_IGNORE, REASON_STALE_EPOCH);
}

Test(record, a_zombie_that_uses_the_new_epoch_is_ignored, .timeout = 10)
{
    position_t state = running();
    record_header_t header;

    accept(&state, claim_of(history_a, bob, 1, 2, 3, 3000));
    header = next_of(&state);
    header.incarnation = alice;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_NOT_OWNER);
}

Test(record, of_two_claims_for_one_epoch_the_first_wins, .timeout = 10)
{
    position_t state = running();

    accept(&state, claim_of(history_a, bob, 1, 2, 3, 3000));
    expect(&state, claim_of(history_a, alice, 1, 2, 3, 3000), INT64_MAX, VERDICT_IGNORE,
           REASON_STALE_EPOCH);
    cr_assert(hash_equal(&state.owner, &bob));
}

Test(record, a_claim_that_skips_an_epoch_is_ignored, .timeout = 10)
{
    position_t state = running();

    expect(&state, claim_of(history_a, bob, 1, 3, 3, 3000), INT64_MAX, VERDICT_IGNORE,
           REASON_STALE_EPOCH);
    expect(&state, claim_of(history_a, bob, 1, 1, 3, 3000), INT64_MAX, VERDICT_IGNORE,
           REASON_STALE_EPOCH);
}

Test(record, a_claim_continues_the_seq_and_moves_the_chain, .timeout = 10)
{
    position_t state = running();
    uint64_t chain = state.chain;
    packed_t claim =
        claim_of(history_a, bob, 1, 2, 2, 3000); /* bob had not read the last record yet */

    accept(&state, claim);
    cr_assert_eq(state.seq, 3);
    cr_assert_eq(state.chain, hash64(chain, claim.bytes, claim.n));
    accept(&state, packed(next_of(&state), "on", 2));
    cr_assert_eq(state.seq, 4);
}

Test(record, after_a_release_records_are_ignored_and_a_claim_is_accepted, .timeout = 10)
{
    position_t state = running();
    record_header_t release = next_of(&state);
    packed_t record = packed(release, "next", 4);
    uint64_t chain = state.chain;
    packed_t bytes;

    release.kind = RECORD_RELEASE;
    release.seq = state.seq;
    bytes = packed(release, NULL, 0);
    accept(&state, bytes);
    cr_assert(hash_equal(&state.owner, &none));
    cr_assert_eq(state.seq, 3);
    cr_assert_eq(state.epoch, 1);
    cr_assert_eq(state.chain, hash64(chain, bytes.bytes, bytes.n));
    expect(&state, record, INT64_MAX, VERDICT_IGNORE, REASON_NOT_OWNER);
    expect(&state, bytes, INT64_MAX, VERDICT_IGNORE, REASON_NOT_OWNER);
    accept(&state, claim_of(history_a, bob, 1, 2, 3, 3000));
    cr_assert(hash_equal(&state.owner, &bob));
}

Test(record, a_release_is_only_taken_from_the_owner_at_its_seq, .timeout = 10)
{
    position_t state = running();
    record_header_t release = next_of(&state);

    release.kind = RECORD_RELEASE;
    release.seq = state.seq;
    release.incarnation = bob;
    expect(&state, packed(release, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_NOT_OWNER);
    release.incarnation = alice;
    release.seq = state.seq + 1;
    expect(&state, packed(release, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_GAP);
    release.seq = state.seq - 1;
    expect(&state, packed(release, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_DUPLICATE);
}

Test(record, a_record_of_an_unseen_epoch_halts, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.epoch++;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_HALT, REASON_CUT_EPOCH);
}

Test(record, a_log_that_does_not_start_with_its_first_claim_halts, .timeout = 10)
{
    position_t state = {0};
    position_t other = running();

    expect(&state, packed(next_of(&other), NULL, 0), INT64_MAX, VERDICT_HALT, REASON_CUT_EPOCH);
    expect(&state, claim_of(history_a, bob, 1, 2, 3, 3000), INT64_MAX, VERDICT_HALT,
           REASON_CUT_CLAIM);
}

Test(record, a_claim_that_refers_to_an_unseen_epoch_halts, .timeout = 10)
{
    position_t state = running();

    expect(&state, claim_of(history_a, bob, 2, 3, 3, 3000), INT64_MAX, VERDICT_HALT,
           REASON_CUT_CLAIM);
    expect(&state, claim_of(history_a, bob, UINT64_MAX, 0, 3, 3000), INT64_MAX, VERDICT_HALT,
           REASON_CUT_CLAIM);
}

Test(record, a_writer_that_saw_more_halts, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.seen = state.seq + 1;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_HALT, REASON_CUT_SEEN);
    expect(&state, claim_of(history_a, bob, 1, 2, state.seq + 1, 3000), INT64_MAX, VERDICT_HALT,
           REASON_CUT_SEEN);
}

Test(record, a_writer_that_saw_more_but_is_not_acceptable_is_only_ignored, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.seen = state.seq + 9;
    header.incarnation = bob;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_NOT_OWNER);
    header.incarnation = alice;
    header.seq++;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_IGNORE, REASON_GAP);
}

Test(record, another_chain_halts, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.chain ^= 1;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_HALT, REASON_CHAIN);
    header.kind = RECORD_RELEASE;
    header.seq = state.seq;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_HALT, REASON_CHAIN);
}

Test(record, a_clock_more_than_a_minute_ahead_is_ignored, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.at_us = INT64_C(10000000) + RECORD_CLOCK_AHEAD_MAX_US + 1;
    expect(&state, packed(header, NULL, 0), 10000000, VERDICT_IGNORE, REASON_CLOCK);
    expect(&state, claim_of(history_a, bob, 1, 2, 3, header.at_us), 10000000, VERDICT_IGNORE,
           REASON_CLOCK);
    header.at_us--;
    expect(&state, packed(header, NULL, 0), 10000000, VERDICT_ACCEPT, REASON_NONE);
}

Test(record, the_clock_rule_holds_at_the_ends_of_time, .timeout = 10)
{
    position_t state = running();
    record_header_t header = next_of(&state);

    header.at_us = INT64_MAX;
    expect(&state, packed(header, NULL, 0), INT64_MIN, VERDICT_IGNORE, REASON_CLOCK);
    header.at_us = INT64_MIN;
    expect(&state, packed(header, NULL, 0), INT64_MAX, VERDICT_ACCEPT, REASON_NONE);
}

Test(record, a_bad_crc_is_ignored_whichever_bit_it_is, .timeout = 30)
{
    position_t state = running();
    packed_t good = packed(next_of(&state), "some body", 9);

    for (size_t bit = 16; bit < 8 * good.n; bit++) { /* the first two bytes are the magic */
        packed_t bad = good;

        bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect(&state, bad, INT64_MAX, VERDICT_IGNORE, REASON_BAD_CRC);
    }
    accept(&state, good);
}

Test(record, bad_magic_is_ignored, .timeout = 10)
{
    position_t state = running();
    packed_t record = packed(next_of(&state), NULL, 0);

    record.bytes[0] ^= 1;
    expect(&state, record, INT64_MAX, VERDICT_IGNORE, REASON_BAD_MAGIC);
    record.n = 1;
    expect(&state, record, INT64_MAX, VERDICT_IGNORE, REASON_BAD_MAGIC);
    record.n = 0;
    expect(&state, record, INT64_MAX, VERDICT_IGNORE, REASON_BAD_MAGIC);
}

Test(record, one_that_is_cut_short_or_has_more_behind_it_is_ignored, .timeout = 10)
{
    position_t state = running();
    packed_t record = packed(next_of(&state), "some body", 9);

    for (size_t n = 2; n < record.n; n++) {
        packed_t cut = record;

        cut.n = n;
        expect(&state, cut, INT64_MAX, VERDICT_IGNORE, REASON_BAD_CRC);
    }
    record.bytes[record.n++] = 0;
    expect(&state, record, INT64_MAX, VERDICT_IGNORE, REASON_BAD_CRC);
}

/* Changes one header byte and makes the checksum right again. */
static packed_t altered(packed_t record, size_t at, uint8_t value)
{
    static const uint8_t zero[4];
    uint32_t crc;

    record.bytes[at] = value;
    crc = crc32c(0, record.bytes, RECORD_HEADER_BYTES - 4);
    crc = crc32c(crc, zero, sizeof zero);
    crc = crc32c(crc, record.bytes + RECORD_HEADER_BYTES, record.n - RECORD_HEADER_BYTES);
    for (size_t i = 0; i < 4; i++)
        record.bytes[RECORD_HEADER_BYTES - 4 + i] = (uint8_t)(crc >> (8 * i));
    return record;
}

Test(record, an_unknown_version_kind_or_flag_halts, .timeout = 10)
{
    position_t state = running();
    packed_t record = packed(next_of(&state), "some body", 9);

    expect(&state, altered(record, 2, 2), INT64_MAX, VERDICT_HALT, REASON_UNKNOWN_VERSION);
    expect(&state, altered(record, 3, 0), INT64_MAX, VERDICT_HALT, REASON_UNKNOWN_VERSION);
    expect(&state, altered(record, 3, 5), INT64_MAX, VERDICT_HALT, REASON_UNKNOWN_VERSION);
    expect(&state, altered(record, 6, 1), INT64_MAX, VERDICT_HALT, REASON_UNKNOWN_VERSION);
    /* A kind with a body of another size than version 1 gives it. */
    expect(&state, altered(record, 3, RECORD_CLAIM), INT64_MAX, VERDICT_HALT,
           REASON_UNKNOWN_VERSION);
    expect(&state, altered(record, 3, RECORD_RELEASE), INT64_MAX, VERDICT_HALT,
           REASON_UNKNOWN_VERSION);
    expect(&state, altered(record, 3, RECORD_TIME_RESET), INT64_MAX, VERDICT_HALT,
           REASON_UNKNOWN_VERSION);
    expect(&state, altered(record, 3, RECORD_DECISIONS), INT64_MAX, VERDICT_ACCEPT, REASON_NONE);
}

Test(record, every_reason_has_a_name_of_its_own, .timeout = 10)
{
    for (int i = 0; i < REASON__COUNT; i++)
        for (int k = 0; k < i; k++)
            cr_assert_str_neq(record_reason_name((record_reason_t)i),
                              record_reason_name((record_reason_t)k));
}
