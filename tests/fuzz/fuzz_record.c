/* fuzz_record.c - any bytes are safe to decode and judge, whatever the state of the log
 *
 * The first bytes make the state and choose how much of the record is repaired, so that the judge is reached: magic,
 * version, length and checksum would otherwise stop nearly everything.
 */
#include "protocol/record.h"

#include "storage/log_rows.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void repair(uint8_t *record, size_t n)
{
    static const uint8_t zero[4];
    size_t body_bytes = n - RECORD_HEADER_BYTES;
    uint32_t crc;

    record[0] = RECORD_MAGIC & 0xff;
    record[1] = RECORD_MAGIC >> 8;
    record[2] = RECORD_VERSION;
    for (size_t i = 0; i < 4; i++)
        record[80 + i] = (uint8_t)(body_bytes >> (8 * i));
    crc = crc32c(0, record, 84);
    crc = crc32c(crc, zero, sizeof zero);
    crc = crc32c(crc, record + RECORD_HEADER_BYTES, body_bytes);
    for (size_t i = 0; i < 4; i++)
        record[84 + i] = (uint8_t)(crc >> (8 * i));
}

static void check(position_t state, const uint8_t *record, size_t n, int64_t log_time_us)
{
    static const hash_t nobody;
    position_t before = state;
    record_header_t header;
    const uint8_t *body = NULL;
    record_reason_t reason;
    verdict_t verdict = record_decode(record, n, &header, &body, &reason);

    INVARIANT((verdict == VERDICT_ACCEPT) == (reason == REASON_NONE));
    if (verdict != VERDICT_ACCEPT)
        return;
    INVARIANT(body == record + RECORD_HEADER_BYTES);
    verdict = record_judge(&state, &header, record, n, log_time_us, &reason);
    INVARIANT((verdict == VERDICT_ACCEPT) == (reason == REASON_NONE));
    if (verdict != VERDICT_ACCEPT) {
        INVARIANT(position_equal(&state, &before));
        return;
    }
    INVARIANT(state.chain == hash64(before.chain, record, n));
    INVARIANT(state.offset == before.offset);
    if (header.kind == RECORD_CLAIM) {
        INVARIANT(state.epoch == before.epoch + 1);
        INVARIANT(state.seq == before.seq);
        INVARIANT(!hash_equal(&state.owner, &nobody));
    } else {
        INVARIANT(state.epoch == before.epoch);
        INVARIANT(state.seq == before.seq + (header.kind != RECORD_RELEASE));
        INVARIANT(hash_equal(&before.owner, &header.incarnation));
    }
    /* The same record again is never accepted twice. */
    INVARIANT(record_judge(&state, &header, record, n, log_time_us, &reason) != VERDICT_ACCEPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static uint8_t record[4096];
    position_t state;
    uint8_t mode;
    int64_t log_time_us;

    if (n < 1 + sizeof log_time_us || n - 1 - sizeof log_time_us > sizeof record)
        return 0;
    memset(&state, 0, sizeof state);
    mode = bytes[0];
    memcpy(&log_time_us, bytes + 1, sizeof log_time_us);
    n -= 1 + sizeof log_time_us;
    if (n > 0)
        memcpy(record, bytes + 1 + sizeof log_time_us, n);
    if (n >= RECORD_HEADER_BYTES && (mode & 1) != 0)
        repair(record, n);
    if (n >= RECORD_HEADER_BYTES && (mode & 2) != 0) {
        /* The state whose owner might have written this record. */
        memcpy(state.history.bytes, record + 8, HASH_BYTES);
        memcpy(state.owner.bytes, record + 32, HASH_BYTES);
        for (size_t i = 0; i < 8; i++) {
            state.epoch |= (uint64_t)record[24 + i] << (8 * i);
            state.seq |= (uint64_t)record[48 + i] << (8 * i);
            state.chain |= (uint64_t)record[72 + i] << (8 * i);
        }
        state.seq -= record[3] != RECORD_RELEASE;
        state.epoch -= record[3] == RECORD_CLAIM;
    }
    check(state, record, n, log_time_us);
    return 0;
}
