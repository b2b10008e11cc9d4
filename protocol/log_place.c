/* log_place.c - reading, writing and judging places in a partition's log */
#include "protocol/log_place.h"

#include "protocol/pack.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

static const char digits[] = "0123456789abcdef";

static bool place_read(named_log_place_t *out, const char *text, size_t n);
static bool number_read(uint64_t *out, const char **at, const char *end, uint64_t max);
static bool history_read(hash_t *out, const char **at, const char *end);

log_place_t log_place_of(const position_t *position)
{
    /* A journal that does not keep it has no other readers. */
    if (position->effects_epoch == 0)
        return (log_place_t){position->history, position->epoch, position->seq};
    return (log_place_t){position->history, position->effects_epoch, position->effects_seq};
}

/* The end of an epoch is the seq at which the claim of the next one was accepted: no record of it counts after that. A
 * position remembers the last few of them. Of an epoch that is older, only an upper bound is known: it ended no later
 * than the oldest that is remembered. That bound is taken for it. A place is only given out for a record that was read
 * back and accepted, so one above its epoch's end means that the log has lost what it had confirmed; who asks within
 * POSITION_ENDS claims after that is told so, and nobody is told that a place is lost who holds one that is not. */
log_place_verdict_t log_place_judge(const position_t *at, const log_place_t *place)
{
    static const hash_t none;
    uint64_t older;

    if (hash_equal(&at->history, &none)) /* a copy that has applied nothing cannot tell */
        return LOG_PLACE_AHEAD;
    if (!hash_equal(&at->history, &place->history))
        return LOG_PLACE_LOST;
    if (place->epoch >= at->epoch)
        return place->epoch == at->epoch && place->seq <= at->seq ? LOG_PLACE_REACHED
                                                                  : LOG_PLACE_AHEAD;
    older = at->epoch - place->epoch;
    if (older > POSITION_ENDS)
        older = POSITION_ENDS;
    return place->seq <= at->ends[older - 1] ? LOG_PLACE_REACHED : LOG_PLACE_LOST;
}

void log_place_format(uint16_t partition, const log_place_t *place, char out[LOG_PLACE_TEXT_BYTES])
{
    int n = snprintf(out, LOG_PLACE_TEXT_BYTES, "%u:", partition);

    for (size_t i = 0; i < HASH_BYTES; i++) {
        out[n++] = digits[place->history.bytes[i] >> 4];
        out[n++] = digits[place->history.bytes[i] & 15];
    }
    (void)snprintf(out + n, LOG_PLACE_TEXT_BYTES - (size_t)n, ":%" PRIu64 ":%" PRIu64, place->epoch,
                   place->seq);
}

errcode_t log_place_list_read(named_log_place_t *list, size_t *count, const char *text, err_t *err)
{
    for (;;) {
        size_t before = strspn(text, " \t");
        size_t n = strcspn(text += before, ",");
        size_t after = n;

        while (after > 0 && (text[after - 1] == ' ' || text[after - 1] == '\t'))
            after--;
        if (*count == LOG_PLACES_MAX)
            return err_field(err, ERR_INVALID, "X-Position", "At most %d positions.",
                             LOG_PLACES_MAX);
        if (!place_read(&list[*count], text, after))
            return err_field(err, ERR_INVALID, "X-Position",
                             "Must be partition:history:epoch:seq, as an answer gave it; several "
                             "with commas between.");
        (*count)++;
        if (text[n] == '\0')
            return ERR_NONE;
        text += n + 1;
    }
}

void log_place_pack(const log_place_t *place, uint8_t out[LOG_PLACE_BYTES])
{
    memcpy(out, place->history.bytes, HASH_BYTES);
    be64_put(out + HASH_BYTES, place->epoch);
    be64_put(out + HASH_BYTES + 8, place->seq);
}

log_place_t log_place_unpack(const uint8_t in[LOG_PLACE_BYTES])
{
    log_place_t place = {.epoch = be64_get(in + HASH_BYTES), .seq = be64_get(in + HASH_BYTES + 8)};

    memcpy(place.history.bytes, in, HASH_BYTES);
    return place;
}

static bool place_read(named_log_place_t *out, const char *text, size_t n)
{
    const char *at = text, *end = text + n;
    uint64_t partition = 0;

    if (!number_read(&partition, &at, end, UINT16_MAX) || at == end || *at++ != ':' ||
        !history_read(&out->place.history, &at, end) || at == end || *at++ != ':' ||
        !number_read(&out->place.epoch, &at, end, UINT64_MAX) || at == end || *at++ != ':' ||
        !number_read(&out->place.seq, &at, end, UINT64_MAX) || at != end || out->place.epoch == 0)
        return false;
    out->partition = (uint16_t)partition;
    return true;
}

/* At least one digit, at most 20. */
static bool number_read(uint64_t *out, const char **at, const char *end, uint64_t max)
{
    const char *start = *at;

    *out = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');

        if (*out > (max - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    return *at > start && *at - start <= 20;
}

static bool history_read(hash_t *out, const char **at, const char *end)
{
    memset(out, 0, sizeof *out);
    if (end - *at < 2 * HASH_BYTES)
        return false;
    for (size_t i = 0; i < 2 * HASH_BYTES; i++, (*at)++) {
        if (!isxdigit((unsigned char)**at))
            return false;
        out->bytes[i / 2] =
            (uint8_t)(out->bytes[i / 2] << 4 | (strchr(digits, **at | 0x20) - digits));
    }
    return true;
}
