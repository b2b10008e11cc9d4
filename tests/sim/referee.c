/* referee.c - see referee.h; read side by side with the protocol's section 1 */
#include "tests/sim/referee.h"

#include <string.h>

#define AHEAD_US INT64_C(60000000)

static uint64_t field(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value * 256 + at[bytes];
    return value;
}

static bool is_zero(const uint8_t *at)
{
    static const uint8_t zero[16];
    return memcmp(at, zero, 16) == 0;
}

/* magic, version, kind, partition, flags, history, epoch, incarnation, seq, seen, at, chain, body bytes, crc */
verdict_t referee_judge(position_t *state, const void *bytes, size_t n, int64_t log_time_us,
                        record_kind_t *kind, const uint8_t **body, size_t *body_bytes)
{
    const uint8_t *record = bytes;
    uint8_t head[88];

    /* What cannot be read is nothing to anybody. */
    if (n < 88 || field(record, 2) != 0xFEA1 || field(record + 80, 4) != n - 88)
        return VERDICT_IGNORE;
    memcpy(head, record, 84);
    memset(head + 84, 0, 4);
    if (crc32c(crc32c(0, head, 88), record + 88, n - 88) != field(record + 84, 4))
        return VERDICT_IGNORE;
    *kind = (record_kind_t)record[3];
    *body = record + 88;
    *body_bytes = n - 88;
    /* Whole, and of a form that this version does not know. */
    if (record[2] != 1 || field(record + 6, 2) != 0 || *kind < RECORD_CLAIM ||
        *kind > RECORD_ADOPTED || n > 512 * 1024 || (*kind == RECORD_ADOPTED && n != 104) ||
        (*kind == RECORD_RELEASE && n != 88) ||
        ((*kind == RECORD_CLAIM || *kind == RECORD_TIME_RESET) && n != 96))
        return VERDICT_HALT;

    const uint8_t *history = record + 8, *incarnation = record + 32;
    uint64_t epoch = field(record + 24, 8), seq = field(record + 48, 8);
    uint64_t seen = field(record + 56, 8), chain = field(record + 72, 8);
    int64_t at_us = (int64_t)field(record + 64, 8);
    bool ahead = at_us > log_time_us && (uint64_t)at_us - (uint64_t)log_time_us > AHEAD_US;

    if (!is_zero(history) && *kind == RECORD_ADOPTED)
        return memcmp(history, state->history.bytes, 16) == 0 ? VERDICT_IGNORE : VERDICT_HALT;
    if (is_zero(history) ||
        (!is_zero(state->history.bytes) && memcmp(history, state->history.bytes, 16) != 0))
        return VERDICT_IGNORE;
    if (*kind == RECORD_CLAIM) {
        uint64_t previous = field(record + 88, 8);
        if (previous > state->epoch)
            return VERDICT_HALT;
        if (previous != state->epoch || epoch != previous + 1 || epoch == 0 ||
            is_zero(incarnation) || ahead)
            return VERDICT_IGNORE;
        if (seen > state->seq)
            return VERDICT_HALT;
        memcpy(state->history.bytes, history, 16);
        memcpy(state->owner.bytes, incarnation, 16);
        state->epoch = epoch;
    } else {
        uint64_t next = *kind == RECORD_RELEASE ? state->seq : state->seq + 1;
        if (epoch > state->epoch)
            return VERDICT_HALT;
        if (epoch < state->epoch || is_zero(state->owner.bytes) ||
            memcmp(incarnation, state->owner.bytes, 16) != 0 || seq != next || ahead)
            return VERDICT_IGNORE;
        if (seen > state->seq || chain != state->chain)
            return VERDICT_HALT;
        if (*kind == RECORD_RELEASE)
            memset(state->owner.bytes, 0, 16);
        else if (*kind == RECORD_TIME_RESET)
            state->now_us = (int64_t)field(record + 88, 8);
        else if (at_us > state->now_us)
            state->now_us = at_us;
        state->seq = seq;
    }
    state->chain = hash64(state->chain, bytes, n);
    state->crc = (uint32_t)field(record + 84, 4);
    return VERDICT_ACCEPT;
}
