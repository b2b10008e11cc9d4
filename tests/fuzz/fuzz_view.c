/* fuzz_view.c - any bytes are safe to read as a view, a genesis or a heartbeat, and what reads survives a round trip
 *
 * The bytes are tried as each of them; the first byte also chooses the channel in which they reach a membership that has
 * joined. A view that reads can be placed anew with a member more and a member less, and never leaves a partition
 * without an owner.
 */
#include "cluster/channel_records.h"
#include "cluster/membership.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static buffer_t again;
static membership_t *membership;
static int64_t now_us;

static void check_view(const uint8_t *bytes, size_t n)
{
    static view_t view, back, next;

    if (view_decode(&view, bytes, n, NULL) != ERR_NONE)
        return;
    buffer_reset(&again);
    view_encode(&view, &again);
    INVARIANT(!again.failed);
    INVARIANT(again.size <= VIEW_BYTES_MAX);
    INVARIANT(view_decode(&back, again.bytes, again.size, NULL) == ERR_NONE);
    INVARIANT(memcmp(&view, &back, sizeof view) == 0);
    for (uint32_t p = 0; p <= view.partitions; p++)
        INVARIANT(view_rank(&view, (uint16_t)p, view.copies[p][0]) == 0);
    if (view.partitions > 64) /* placing is for others to be fast at */
        return;
    next = view;
    if (next.member_count < VIEW_MEMBERS_MAX) {
        next.members[next.member_count] = next.members[0];
        next.members[next.member_count].node = hash_bytes(bytes, n);
        next.members[next.member_count++].weight = 1;
        INVARIANT(view_place(&view, &next, NULL) == ERR_NONE);
        for (uint32_t p = 0; p <= next.partitions; p++)
            INVARIANT(next.copies[p][0] < next.member_count);
    }
    next = view;
    next.member_count--;
    if (view_place(&view, &next, NULL) == ERR_NONE) {
        for (uint32_t p = 0; p <= next.partitions; p++)
            INVARIANT(next.copies[p][0] < next.member_count);
    }
}

static void check_others(const uint8_t *bytes, size_t n)
{
    static liveness_t beat, beat_back;
    founding_t founding, founding_back;
    skip_t skip, skip_back;
    adoption_t adoption, adoption_back;
    hash_t cluster;
    channel_head_t head;

    if (founding_decode(&founding, bytes, n, NULL) == ERR_NONE) {
        buffer_reset(&again);
        founding_encode(&founding, &again);
        INVARIANT(again.size <= CHANNEL_GENESIS_BYTES_MAX);
        INVARIANT(founding_decode(&founding_back, again.bytes, again.size, NULL) == ERR_NONE);
        INVARIANT(memcmp(&founding, &founding_back, sizeof founding) == 0);
        INVARIANT(channel_head_read(&head, bytes, n));
    }
    if (skip_decode(&skip, &cluster, bytes, n, NULL) == ERR_NONE) {
        buffer_reset(&again);
        skip_encode(&skip, &cluster, &again);
        INVARIANT(again.size <= CHANNEL_SKIP_BYTES_MAX);
        INVARIANT(skip_decode(&skip_back, &cluster, again.bytes, again.size, NULL) == ERR_NONE);
        INVARIANT(memcmp(&skip, &skip_back, sizeof skip) == 0);
        INVARIANT(channel_head_read(&head, bytes, n));
    }
    if (adoption_decode(&adoption, &cluster, bytes, n, NULL) == ERR_NONE) {
        buffer_reset(&again);
        adoption_encode(&adoption, &cluster, &again);
        INVARIANT(again.size <= CHANNEL_ADOPTION_BYTES_MAX);
        INVARIANT(adoption_decode(&adoption_back, &cluster, again.bytes, again.size, NULL) ==
                  ERR_NONE);
        INVARIANT(memcmp(&adoption, &adoption_back, sizeof adoption) == 0);
        INVARIANT(channel_head_read(&head, bytes, n));
    }
    if (liveness_decode(&beat, bytes, n, NULL) == ERR_NONE) {
        buffer_reset(&again);
        liveness_encode(&beat, &again);
        INVARIANT(!again.failed);
        INVARIANT(again.size <= LIVENESS_BYTES_MAX);
        INVARIANT(liveness_decode(&beat_back, again.bytes, again.size, NULL) == ERR_NONE);
        INVARIANT(memcmp(&beat, &beat_back, sizeof beat) == 0);
        INVARIANT(channel_head_read(&head, bytes, n));
    }
}

static void same_bytes(void *state, void *bytes, size_t n)
{
    (void)state;
    memset(bytes, 0x11, n);
}

static void nothing_known(void *state, uint16_t partition, membership_partition_t *out)
{
    (void)state;
    out->behind = partition; /* near */
}

/* What it wants to write it reads back, as if the log worked. */
static void turn(void)
{
    static buffer_t record;
    membership_wish_t wish;
    uint16_t channel, partition;

    if (record.max == 0)
        buffer_init(&record, RECORD_BYTES_MAX);
    now_us += 400000;
    membership_on_tick(membership, now_us, now_us);
    while (membership_next_record(membership, &channel, &record)) {
        const journal_record_t given = {
            .partition = channel, .bytes = record.bytes, .n = record.size, .log_time_us = now_us};

        membership_on_record(membership, &given, now_us, now_us);
    }
    for (int i = 0; i < 5000 && membership_next_wish(membership, &wish, &partition); i++)
        INVARIANT(membership_view(membership) != NULL &&
                  partition <= membership_view(membership)->partitions);
    buffer_reset(&again);
    membership_status(membership, &again);
}

static void check_membership(const uint8_t *bytes, size_t n)
{
    static const random_source_t random = {same_bytes, NULL};
    membership_config_t config = {.address = "127.0.0.1:7001",
                                  .weight = 100,
                                  .partitions = 16,
                                  .followers = 1,
                                  .random = &random,
                                  .partition = nothing_known};

    memset(config.node.bytes, 0x22, sizeof config.node.bytes);
    memset(config.incarnation.bytes, 0x33, sizeof config.incarnation.bytes);
    membership = membership_new(&config);
    now_us = 1000000;
    /* Half of the inputs reach it before it founds a cluster. */
    membership_caught_up(membership);
    for (int i = 0; i < 5 && bytes[0] % 4 >= 2; i++)
        turn();
    const journal_record_t given = {.partition =
                                        bytes[0] % 2 == 0 ? JOURNAL_CONTROL : JOURNAL_LIVENESS,
                                    .bytes = bytes + 1,
                                    .n = n - 1,
                                    .log_time_us = now_us};
    membership_on_record(membership, &given, now_us, now_us);
    for (int i = 0; i < 5; i++)
        turn();
    membership_destroy(&membership);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (again.max == 0)
        buffer_init(&again, 1 << 20);
    if (n < 2)
        return 0;
    check_view(bytes + 1, n - 1);
    check_others(bytes + 1, n - 1);
    check_membership(bytes, n);
    return 0;
}
