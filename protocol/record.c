/* record.c - the frozen record header, and the one function that says which records count
 *
 * record_judge() is protocol section 1 and nothing else. Every reader of one log must reach the same
 * verdict on every record, for ever: it uses only the state, the record and the journal's own time.
 */
#include "protocol/record.h"

#include "protocol/mutant.h"

#include <string.h>

/* Offsets of the header's fields; little endian, no padding. Frozen. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 2,
    AT_KIND = 3,
    AT_PARTITION = 4,
    AT_FLAGS = 6,
    AT_HISTORY = 8,
    AT_EPOCH = 24,
    AT_INCARNATION = 32,
    AT_SEQ = 48,
    AT_SEEN = 56,
    AT_AT_US = 64,
    AT_CHAIN = 72,
    AT_BODY_BYTES = 80,
    AT_CRC = 84,
    AT_END = 88
};
_Static_assert(AT_END == RECORD_HEADER_BYTES, "the header is frozen");

static const hash_t nobody;

static void le_put(uint8_t *out, uint64_t value, size_t bytes);
static uint64_t le_get(const uint8_t *in, size_t bytes);
static uint32_t crc_of(const uint8_t *header, const void *body, size_t body_bytes);
static bool form_is_known(const record_header_t *header, uint8_t version);
static verdict_t judge_claim(position_t *state, const record_header_t *header, const uint8_t *bytes,
                             int64_t log_time_us, record_reason_t *reason);
static verdict_t judge_other(position_t *state, const record_header_t *header, const uint8_t *bytes,
                             int64_t log_time_us, record_reason_t *reason);
static bool clock_ahead(const record_header_t *header, int64_t log_time_us);
static verdict_t ignore(record_reason_t *reason, record_reason_t why);
static verdict_t halt(record_reason_t *reason, record_reason_t why);

const char *record_reason_name(record_reason_t reason)
{
    static const char *const names[REASON__COUNT] = {
#define X(id, name) [id] = (name),
        RECORD_REASON_MAP(X)
#undef X
    };

    INVARIANT((unsigned)reason < REASON__COUNT);
    return names[reason];
}

void record_encode_header(record_header_t *header, const void *body,
                          uint8_t out[RECORD_HEADER_BYTES])
{
    INVARIANT(header->body_bytes <= RECORD_BYTES_MAX - RECORD_HEADER_BYTES);
    INVARIANT(form_is_known(header, RECORD_VERSION));
    le_put(out + AT_MAGIC, RECORD_MAGIC, 2);
    out[AT_VERSION] = RECORD_VERSION;
    out[AT_KIND] = header->kind;
    le_put(out + AT_PARTITION, header->partition, 2);
    le_put(out + AT_FLAGS, header->flags, 2);
    memcpy(out + AT_HISTORY, header->history.bytes, HASH_BYTES);
    le_put(out + AT_EPOCH, header->epoch, 8);
    memcpy(out + AT_INCARNATION, header->incarnation.bytes, HASH_BYTES);
    le_put(out + AT_SEQ, header->seq, 8);
    le_put(out + AT_SEEN, header->seen, 8);
    le_put(out + AT_AT_US, (uint64_t)header->at_us, 8);
    le_put(out + AT_CHAIN, header->chain, 8);
    le_put(out + AT_BODY_BYTES, header->body_bytes, 4);
    header->crc = crc_of(out, body, header->body_bytes);
    le_put(out + AT_CRC, header->crc, 4);
}

verdict_t record_decode(const void *bytes, size_t n, record_header_t *header, const uint8_t **body,
                        record_reason_t *reason)
{
    const uint8_t *in = bytes;

    *reason = REASON_NONE;
    if (n < 2 || le_get(in + AT_MAGIC, 2) != RECORD_MAGIC)
        return ignore(reason, REASON_BAD_MAGIC);
    if (n < RECORD_HEADER_BYTES)
        return ignore(reason, REASON_BAD_CRC);
    *header = (record_header_t){
        .kind = in[AT_KIND],
        .partition = (uint16_t)le_get(in + AT_PARTITION, 2),
        .flags = (uint16_t)le_get(in + AT_FLAGS, 2),
        .epoch = le_get(in + AT_EPOCH, 8),
        .seq = le_get(in + AT_SEQ, 8),
        .seen = le_get(in + AT_SEEN, 8),
        .at_us = (int64_t)le_get(in + AT_AT_US, 8),
        .chain = le_get(in + AT_CHAIN, 8),
        .body_bytes = (uint32_t)le_get(in + AT_BODY_BYTES, 4),
        .crc = (uint32_t)le_get(in + AT_CRC, 4),
    };
    memcpy(header->history.bytes, in + AT_HISTORY, HASH_BYTES);
    memcpy(header->incarnation.bytes, in + AT_INCARNATION, HASH_BYTES);
    if (header->body_bytes != n - RECORD_HEADER_BYTES)
        return ignore(reason, REASON_BAD_CRC);
    if (crc_of(in, in + RECORD_HEADER_BYTES, header->body_bytes) != header->crc)
        return ignore(reason, REASON_BAD_CRC);
    /* Whole, so somebody meant it: a form that this program does not know must not be skipped, or
     * this reader would go on with another state than those that know it. */
    if (n > RECORD_BYTES_MAX || !form_is_known(header, in[AT_VERSION]))
        return halt(reason, REASON_UNKNOWN_VERSION);
    *body = in + RECORD_HEADER_BYTES;
    return VERDICT_ACCEPT;
}

static verdict_t judge(position_t *state, const record_header_t *header, const void *bytes,
                       size_t n, int64_t log_time_us, record_reason_t *reason)
{
    /* A log with no history yet takes that of its first claim: the epoch rules then demand that
     * this is the very first one. */
    bool fresh = hash_equal(&state->history, &nobody);

    INVARIANT(n == RECORD_HEADER_BYTES + (size_t)header->body_bytes);
    *reason = REASON_NONE;
    if (hash_equal(&header->history, &nobody))
        return ignore(reason, REASON_OTHER_HISTORY);
    /* Nobody of another history may go on behind this: what he wrote there would be lost to all others. */
    if (header->kind == RECORD_ADOPTED)
        return !fresh && hash_equal(&header->history, &state->history)
                   ? ignore(reason, REASON_ADOPTED)
                   : halt(reason, REASON_ADOPTED);
    if (!fresh && !hash_equal(&header->history, &state->history))
        return ignore(reason, REASON_OTHER_HISTORY);

    verdict_t verdict = header->kind == RECORD_CLAIM
                            ? judge_claim(state, header, bytes, log_time_us, reason)
                            : judge_other(state, header, bytes, log_time_us, reason);
    if (verdict == VERDICT_ACCEPT)
        state->crc = header->crc;
    if (verdict == VERDICT_ACCEPT && header->body_bytes > 0) {
        state->effects_epoch = state->epoch;
        state->effects_seq = state->seq;
    }
    return verdict;
}

verdict_t record_judge(position_t *state, const record_header_t *header, const void *bytes,
                       size_t n, int64_t log_time_us, record_reason_t *reason)
{
    verdict_t verdict = judge(state, header, bytes, n, log_time_us, reason);

    /* Claims are in the chain too: a history with a claim taken out does not verify. */
    if (verdict == VERDICT_ACCEPT && !(MUTANT(CLAIM_OUTSIDE_CHAIN) && header->kind == RECORD_CLAIM))
        state->chain = hash64(state->chain, bytes, n);
    return verdict;
}

verdict_t record_judge_own(position_t *state, const record_header_t *header, const void *bytes,
                           size_t n, uint64_t chain_after, int64_t log_time_us,
                           record_reason_t *reason)
{
    verdict_t verdict = judge(state, header, bytes, n, log_time_us, reason);

    if (verdict == VERDICT_ACCEPT)
        state->chain = chain_after;
    return verdict;
}

static verdict_t judge_claim(position_t *state, const record_header_t *header, const uint8_t *bytes,
                             int64_t log_time_us, record_reason_t *reason)
{
    uint64_t previous = le_get(bytes + RECORD_HEADER_BYTES, 8);

    /* In one log nobody can refer to a claim that another reader of the same log has not met:
     * who sees that stands on a log that was cut. */
    if (previous > state->epoch)
        return halt(reason, REASON_CUT_CLAIM);
    if (previous < state->epoch || previous == UINT64_MAX || header->epoch != previous + 1)
        return ignore(reason, REASON_STALE_EPOCH);
    if (hash_equal(&header->incarnation, &nobody))
        return ignore(reason, REASON_NOT_OWNER);
    if (clock_ahead(header, log_time_us))
        return ignore(reason, REASON_CLOCK);
    if (header->seen > state->seq && !MUTANT(NO_SEEN))
        return halt(reason, REASON_CUT_SEEN);
    /* Neither seq nor chain are compared: the old owner may have written between the claimer's last
     * read and its claim. seq continues. */
    state->history = header->history;
    state->epoch = header->epoch;
    state->owner = header->incarnation;
    memmove(state->ends + 1, state->ends, sizeof state->ends - sizeof state->ends[0]);
    state->ends[0] = state->seq;
    return VERDICT_ACCEPT;
}

/* Decisions and time resets take the next seq; a release takes the present one and does not move it. */
static verdict_t judge_other(position_t *state, const record_header_t *header, const uint8_t *bytes,
                             int64_t log_time_us, record_reason_t *reason)
{
    uint64_t expected = header->kind == RECORD_RELEASE ? state->seq : state->seq + 1;

    if (header->epoch > state->epoch)
        return halt(reason, REASON_CUT_EPOCH);
    if (header->epoch < state->epoch)
        return ignore(reason, REASON_STALE_EPOCH);
    if (hash_equal(&state->owner, &nobody) ||
        (!hash_equal(&header->incarnation, &state->owner) && !MUTANT(NO_INCARNATION)))
        return ignore(reason, REASON_NOT_OWNER);
    /* The sequence test is what makes retries safe: the log may hold the same batch twice, and after
     * a lost batch the ones behind it must not be applied on their own. */
    if (header->seq < expected && !MUTANT(NO_SEQ_RULE))
        return ignore(reason, REASON_DUPLICATE);
    if (header->seq > expected && !MUTANT(NO_SEQ_RULE))
        return ignore(reason, REASON_GAP);
    if (clock_ahead(header, log_time_us))
        return ignore(reason, REASON_CLOCK);
    if (header->seen > state->seq && !MUTANT(NO_SEEN))
        return halt(reason, REASON_CUT_SEEN);
    if (header->chain != state->chain)
        return halt(reason, REASON_CHAIN);

    switch (header->kind) {
    case RECORD_RELEASE: state->owner = nobody; break;
    case RECORD_TIME_RESET: state->now_us = (int64_t)le_get(bytes + RECORD_HEADER_BYTES, 8); break;
    default:
        INVARIANT(header->kind == RECORD_DECISIONS); /* record_decode lets no other kind pass */
        state->now_us = state->now_us > header->at_us ? state->now_us : header->at_us;
    }
    state->seq = header->seq;
    return VERDICT_ACCEPT;
}

/* Without the sum log_time_us + 60 s, which could overflow. */
static bool clock_ahead(const record_header_t *header, int64_t log_time_us)
{
    return header->at_us > log_time_us && !MUTANT(CLOCK_UNBOUNDED) &&
           (uint64_t)header->at_us - (uint64_t)log_time_us > (uint64_t)RECORD_CLOCK_AHEAD_MAX_US;
}

/* Version 1 has five kinds, fixed bodies for four of them, and no flags. */
static bool form_is_known(const record_header_t *header, uint8_t version)
{
    if (version != RECORD_VERSION || header->flags != 0)
        return false;
    switch (header->kind) {
    case RECORD_CLAIM:
    case RECORD_TIME_RESET: return header->body_bytes == 8;
    case RECORD_RELEASE: return header->body_bytes == 0;
    case RECORD_DECISIONS: return true;
    case RECORD_ADOPTED: return header->body_bytes == HASH_BYTES;
    default: return false;
    }
}

static uint32_t crc_of(const uint8_t *header, const void *body, size_t body_bytes)
{
    static const uint8_t zero[4];
    uint32_t crc = crc32c(0, header, AT_CRC);

    crc = crc32c(crc, zero, sizeof zero);
    return crc32c(crc, body, body_bytes);
}

static void le_put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t le_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static verdict_t ignore(record_reason_t *reason, record_reason_t why)
{
    *reason = why;
    return VERDICT_IGNORE;
}

static verdict_t halt(record_reason_t *reason, record_reason_t why)
{
    *reason = why;
    return VERDICT_HALT;
}
