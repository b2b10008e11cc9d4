/* fuzz_tzif.c - any bytes as a compiled time zone file, and any text as its rule
 *
 * The first byte chooses: a whole file, or only the rule at the end of one. Oracles: a zone that is
 * accepted has offsets below 26 hours; the instant of a local time shows it, or is where clocks
 * skipped it; no instant before it shows as much; and later local times have no earlier instants.
 */
#include "protocol/tzif.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define RULE_MAX 200

static void check_local(const tzif_t *zone, int64_t local_s)
{
    bool exists, later_exists;
    int64_t at_s = tzif_instant(zone, local_s, &exists);
    int64_t shown_s = at_s + tzif_offset(zone, at_s);

    INVARIANT(tzif_offset(zone, at_s) > -26 * 3600);
    INVARIANT(tzif_offset(zone, at_s) < 26 * 3600);
    INVARIANT(exists ? shown_s == local_s : shown_s > local_s);
    INVARIANT(at_s - 1 + tzif_offset(zone, at_s - 1) < local_s);
    for (int64_t before_s = at_s - 60 * 3600; before_s < at_s; before_s += 3599)
        INVARIANT(before_s + tzif_offset(zone, before_s) < local_s);
    INVARIANT(tzif_instant(zone, local_s + 1, &later_exists) >= at_s);
}

static void check_zone(const tzif_t *zone, const uint8_t *bytes, size_t n)
{
    bool exists;

    (void)tzif_instant(zone, INT64_MIN, &exists);
    (void)tzif_instant(zone, INT64_MAX, &exists);
    (void)tzif_offset(zone, INT64_MIN);
    (void)tzif_offset(zone, INT64_MAX);
    /* From 1890 to 2490 in uneven steps, then around numbers of the input, changes among them. */
    for (int64_t at_s = INT64_C(-2524521600); at_s < INT64_C(16409520000);
         at_s += 86400 * 397 + 12345)
        check_local(zone, at_s);
    for (size_t i = 0; i + 8 <= n && i < 256; i++) {
        int64_t at_s = 0;

        for (size_t j = 0; j < 8; j++)
            at_s = (int64_t)((uint64_t)at_s << 8 | bytes[i + j]);
        at_s %= INT64_C(1) << 57;
        check_local(zone, at_s);
        check_local(zone, at_s + tzif_offset(zone, at_s));
        check_local(zone, at_s + tzif_offset(zone, at_s - 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    tzif_t *zone = NULL;

    if (n < 1)
        return 0;
    if (bytes[0] % 2 == 0) {
        if (tzif_parse(&zone, bytes + 1, n - 1, NULL) == ERR_NONE)
            check_zone(zone, bytes + 1, n - 1);
    } else if (n - 1 <= RULE_MAX) {
        /* Two headers, the second with one type and one name; offset 0, name "", rule. */
        uint8_t file[44 + 44 + 7 + 1 + RULE_MAX + 1] = {0};
        size_t size = 44 + 44 + 7;

        memcpy(file, "TZif2", 5);
        memcpy(file + 44, "TZif3", 5);
        file[44 + 39] = file[44 + 43] = 1;
        file[size++] = '\n';
        memcpy(file + size, bytes + 1, n - 1);
        size += n - 1;
        file[size++] = '\n';
        if (tzif_parse(&zone, file, size, NULL) == ERR_NONE)
            check_zone(zone, bytes + 1, n - 1);
    }
    tzif_destroy(&zone);
    return 0;
}
