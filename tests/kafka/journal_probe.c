/* journal_probe.c - the journal on a real Kafka, one scenario per run; test_journal.py starts it
 *
 *     journal_probe BOOTSTRAP PREFIX SCENARIO [ARGUMENT]
 *
 * Prints one line per fact and ends with 1 when one does not hold. Scenarios are in the table at the end.
 */
#include "protocol/clock.h"
#include "storage/journal_kafka.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define PARTITIONS    4
#define BODY_BYTES    168 /* a record of 256 bytes */
#define RECORDS_MAX   1000000
#define PATIENCE_US   INT64_C(30000000)
#define CHECK_WAIT_US INT64_C(30000000)

/* What was appended to a partition, and what came of it. */
typedef struct {
    uint64_t appended; /* seq 1 .. appended */
    uint64_t reported;
    uint64_t delivered;
    uint8_t *fate; /* owned; by seq: 0 none, 1 delivered, 2 not */
    uint64_t twice;
    uint64_t read;     /* records that came back */
    uint64_t next_seq; /* expected next */
    uint64_t disorder; /* another one came */
    uint64_t next_at;  /* offset behind the last */
    uint8_t *present;  /* owned; by seq: times read */
    uint64_t broken;   /* records without bytes */
    bool lost;
    int64_t last_read_us, longest_gap_us;
} track_t;

typedef struct {
    journal_kafka_config_t config;
    store_t *store;     /* owned */
    journal_t *journal; /* owned */
    int wakeup;         /* owned */
    track_t tracks[PARTITIONS + 1];
    uint64_t control_reports, control_mark;
    uint64_t control_read, liveness_read;
    char control_text[64];
    int64_t last_log_time_us;
} probe_t;

static int failures;

static void expect(bool holds, const char *format, ...) PRINTF_LIKE(2, 3);

static void expect(bool holds, const char *format, ...)
{
    va_list arguments;

    printf("%s  ", holds ? "ok  " : "FAIL");
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    (void)fflush(stdout);
    failures += !holds;
}

static int64_t now_us(void)
{
    return clock_boot_us(clock_system());
}

static void must(errcode_t rc, const err_t *err, const char *what)
{
    if (rc == ERR_NONE)
        return;
    expect(false, "%s: %s", what, err->text);
    exit(1);
}

static void open_journal(probe_t *probe)
{
    err_t err;

    probe->config.store = probe->store;
    probe->config.wakeup = probe->wakeup;
    must(journal_kafka_new(&probe->journal, &probe->config, &err), &err, "journal");
}

static void prepare(probe_t *probe)
{
    uint16_t partitions;
    err_t err;

    probe->config.create_topics = true;
    must(journal_kafka_check(&probe->config, CHECK_WAIT_US, &partitions, &err), &err, "check");
    expect(partitions == probe->config.partitions, "the topics have %u partitions for customers",
           partitions);
    open_journal(probe);
}

static void follow(probe_t *probe, uint16_t partition, uint64_t offset)
{
    err_t err;

    must(journal_follow(probe->journal, partition, offset, &err), &err, "follow");
}

static errcode_t append(probe_t *probe, uint16_t partition, size_t body_bytes)
{
    static uint8_t body[RECORD_BYTES_MAX];
    track_t *track = &probe->tracks[partition];
    record_header_t header = {.kind = RECORD_DECISIONS,
                              .partition = partition,
                              .epoch = 7,
                              .seq = track->appended + 1,
                              .seen = track->appended,
                              .body_bytes = (uint32_t)body_bytes};
    uint8_t bytes[RECORD_HEADER_BYTES];
    errcode_t rc;
    err_t err;

    if (track->appended + 1 >= RECORDS_MAX)
        return ERR_OVERLOADED;
    for (size_t i = 0; i < body_bytes && i < 512; i++)
        body[i] = (uint8_t)(track->appended * 31 + i * (1 + track->appended % 7));
    record_encode_header(&header, body, bytes);
    rc = journal_append(probe->journal, partition, bytes, body, body_bytes, &err);
    if (rc == ERR_NONE)
        track->appended++;
    else if (rc != ERR_OVERLOADED)
        must(rc, &err, "append");
    return rc;
}

static void on_record(probe_t *probe, const journal_record_t *record)
{
    record_header_t header;
    const uint8_t *body;
    record_reason_t reason;
    int64_t now = now_us();
    track_t *track;

    probe->last_log_time_us = record->log_time_us;
    if (record->partition == JOURNAL_CONTROL) {
        probe->control_read++;
        (void)snprintf(probe->control_text, sizeof probe->control_text, "%.*s", (int)record->n,
                       record->bytes != NULL ? (const char *)record->bytes : "");
        return;
    }
    if (record->partition == JOURNAL_LIVENESS) {
        probe->liveness_read++;
        return;
    }
    track = &probe->tracks[record->partition];
    if (record->bytes == NULL) {
        printf("      partition %u at %" PRIu64 ": %s%s\n", record->partition, record->offset,
               record->why, record->lost ? " (lost)" : "");
        track->broken++;
        track->lost = record->lost;
        return;
    }
    if (record_decode(record->bytes, record->n, &header, &body, &reason) != VERDICT_ACCEPT ||
        header.partition != record->partition || header.seq >= RECORDS_MAX) {
        expect(false, "a record at offset %" PRIu64 " is not one of ours", record->offset);
        return;
    }
    if (header.seq != track->next_seq || record->offset < track->next_at)
        track->disorder++;
    track->next_seq = header.seq + 1;
    track->next_at = record->offset + 1;
    track->present[header.seq]++;
    if (track->last_read_us != 0 && now - track->last_read_us > track->longest_gap_us)
        track->longest_gap_us = now - track->last_read_us;
    track->last_read_us = now;
    track->read++;
}

static void on_report(probe_t *probe, const journal_report_t *report)
{
    track_t *track;

    if (report->partition == JOURNAL_CONTROL || report->partition == JOURNAL_LIVENESS) {
        probe->control_reports += report->delivered;
        probe->control_mark = report->epoch;
        return;
    }
    track = &probe->tracks[report->partition];
    if (report->epoch != 7 || report->seq == 0 || report->seq > track->appended) {
        expect(false, "a report of something that was not appended");
        return;
    }
    track->twice += track->fate[report->seq] != 0;
    track->fate[report->seq] = report->delivered ? 1 : 2;
    track->reported++;
    track->delivered += report->delivered;
}

/* Takes what there is; waits at most wait_ms for it, on the wakeup alone. */
static void pump(probe_t *probe, int wait_ms)
{
    struct pollfd entry = {.fd = probe->wakeup, .events = POLLIN};
    journal_record_t record;
    journal_report_t report;
    uint64_t count;
    err_t err;

    if (poll(&entry, 1, wait_ms) > 0 && read(probe->wakeup, &count, sizeof count) < 0 &&
        errno != EAGAIN)
        exit(2);
    while (journal_next(probe->journal, &record))
        on_record(probe, &record);
    must(journal_commit(probe->journal, NULL, &err), &err, "commit");
    while (journal_report(probe->journal, &report))
        on_report(probe, &report);
}

static bool pump_until(probe_t *probe, const uint64_t *value, uint64_t wanted)
{
    int64_t deadline = now_us() + PATIENCE_US;

    while (*value < wanted && now_us() < deadline)
        pump(probe, 100);
    return *value >= wanted;
}

/* An own record, waited for: what was appended to this partition before it has come, too. */
static void fence(probe_t *probe, uint16_t partition)
{
    track_t *track = &probe->tracks[partition];
    int64_t deadline = now_us() + PATIENCE_US;

    while (append(probe, partition, BODY_BYTES) != ERR_NONE && now_us() < deadline)
        pump(probe, 10);
    while (track->present[track->appended] == 0 && now_us() < deadline)
        pump(probe, 100);
    if (track->present[track->appended] == 0)
        expect(false, "a record of partition %u came back", partition);
}

static void restart_track(track_t *track, uint64_t next_seq)
{
    track->read = 0;
    track->disorder = 0;
    track->next_seq = next_seq;
    track->next_at = 0;
    track->broken = 0;
    track->lost = false;
}

static void order(probe_t *probe, const char *argument)
{
    track_t *one = &probe->tracks[1];
    track_t *two = &probe->tracks[2];
    buffer_t bytes;
    bool found;
    err_t err;

    (void)argument;
    prepare(probe);
    expect(journal_behind(probe->journal, 1) == UINT64_MAX,
           "how far behind is unknown before following");
    follow(probe, 1, 0);
    follow(probe, 2, 0);
    for (int i = 0; i < 300; i++) {
        (void)append(probe, 1, BODY_BYTES + (size_t)i);
        (void)append(probe, 2, (size_t)i);
    }
    expect(pump_until(probe, &one->read, 300) && pump_until(probe, &two->read, 300),
           "300 records of each of two partitions come back");
    expect(one->disorder + two->disorder == 0, "in order");
    expect(pump_until(probe, &one->reported, 300) && pump_until(probe, &two->reported, 300) &&
               one->delivered + two->delivered == 600 && one->twice + two->twice == 0,
           "each is reported as delivered, once");
    expect(llabs(clock_wall_us(clock_system()) - probe->last_log_time_us) < 60000000,
           "the log's time is the brokers' clock");
    expect(journal_behind(probe->journal, 1) == 0, "nothing lies behind");
    expect(journal_kafka_reachable(probe->journal), "Kafka is reachable");

    restart_track(one, 101);
    follow(probe, 1, 100);
    expect(pump_until(probe, &one->read, 200) && one->disorder == 0,
           "followed from the middle: from that record on");
    restart_track(two, 1);
    follow(probe, 2, 0);
    while (two->read == 0)
        pump(probe, 100);
    restart_track(two, 251);
    follow(probe, 2, 250);
    expect(pump_until(probe, &two->read, 50), "followed again: what is asked for comes");
    fence(probe, 1);
    expect(two->read == 50 && two->disorder == 0, "and nothing of what was fetched before");
    journal_unfollow(probe->journal, 2);
    (void)append(probe, 2, BODY_BYTES);
    expect(pump_until(probe, &two->reported, 301), "an append to a partition not followed");
    fence(probe, 1);
    expect(two->read == 50, "does not come back");
    restart_track(two, 301);
    follow(probe, 2, 300);
    expect(pump_until(probe, &two->read, 1) && two->disorder == 0, "until it is followed again");

    buffer_init(&bytes, RECORD_BYTES_MAX);
    must(journal_read(probe->journal, 1, 41, &bytes, &found, &err), &err, "read");
    expect(found && bytes.size == RECORD_HEADER_BYTES + BODY_BYTES + 41, "a record is read again");
    must(journal_read(probe->journal, 1, 1000000, &bytes, &found, &err), &err, "read");
    expect(!found, "one that is not there is not found");
    buffer_free(&bytes);
}

static void channels(probe_t *probe, const char *argument)
{
    err_t err;

    (void)argument;
    prepare(probe);
    follow(probe, JOURNAL_CONTROL, 0);
    follow(probe, JOURNAL_LIVENESS, 0);
    must(journal_publish(probe->journal, JOURNAL_CONTROL, 42, "a view", 6, &err), &err, "publish");
    expect(pump_until(probe, &probe->control_read, 1) && strcmp(probe->control_text, "a view") == 0,
           "a view comes back");
    expect(pump_until(probe, &probe->control_reports, 1) && probe->control_mark == 42,
           "with its mark in the report");
    must(journal_publish(probe->journal, JOURNAL_LIVENESS, 1, "alive", 5, &err), &err, "publish");
    expect(pump_until(probe, &probe->liveness_read, 1) && probe->control_read == 1,
           "a heartbeat on its own channel");
    expect(journal_behind(probe->journal, JOURNAL_CONTROL) == 0, "nothing lies behind");
}

/* As many as may be under way, each seen again, in order. */
static void pipeline(probe_t *probe, const char *argument)
{
    uint64_t wanted = argument != NULL ? strtoull(argument, NULL, 10) : 20000;
    track_t *track = &probe->tracks[1];
    int64_t began;

    prepare(probe);
    follow(probe, 1, 0);
    fence(probe, 1);
    began = now_us();
    while (track->appended < wanted)
        if (append(probe, 1, BODY_BYTES) != ERR_NONE)
            pump(probe, 100);
    expect(pump_until(probe, &track->read, wanted) && track->disorder == 0,
           "%" PRIu64 " records under way at once come back in order", wanted);
    expect(pump_until(probe, &track->reported, wanted) && track->delivered == wanted &&
               track->twice == 0,
           "each is reported as delivered, once");
    printf("      %.0f records/s\n", (double)wanted * 1e6 / (double)(now_us() - began));
}

static int by_value(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* One record at a time: append until it is read back and reported. */
static void latency(probe_t *probe, const char *argument)
{
    size_t count = argument != NULL ? strtoull(argument, NULL, 10) : 2000;
    track_t *track = &probe->tracks[1];
    int64_t *took = calloc(count, sizeof *took);

    prepare(probe);
    follow(probe, 1, 0);
    for (int i = 0; i < 50; i++)
        fence(probe, 1);
    for (size_t i = 0; i < count; i++) {
        int64_t began = now_us();

        fence(probe, 1);
        (void)pump_until(probe, &track->reported, track->appended);
        took[i] = now_us() - began;
    }
    qsort(took, count, sizeof *took, by_value);
    printf("      read back and acknowledged: p50 %.2f ms, p99 %.2f ms, most %.2f ms\n",
           (double)took[count / 2] / 1e3, (double)took[count * 99 / 100] / 1e3,
           (double)took[count - 1] / 1e3);
    expect(track->disorder == 0, "in order");
    free(took);
}

/* How long it takes from following a partition to its first record. */
static void follows(probe_t *probe, const char *argument)
{
    int64_t worst = 0;

    (void)argument;
    prepare(probe);
    for (uint16_t i = 0; i <= PARTITIONS; i++) {
        (void)append(probe, i, BODY_BYTES);
        (void)pump_until(probe, &probe->tracks[i].reported, 1);
    }
    for (int round = 0; round < 10; round++)
        for (uint16_t i = 0; i <= PARTITIONS; i++) {
            int64_t began = now_us();

            restart_track(&probe->tracks[i], 1);
            follow(probe, i, 0);
            if (!pump_until(probe, &probe->tracks[i].read, 1))
                expect(false, "partition %u is read", i);
            if (round == 0)
                printf("      partition %u, first time: %.1f ms\n", i,
                       (double)(now_us() - began) / 1e3);
            else if (now_us() - began > worst)
                worst = now_us() - began;
        }
    printf("      followed again: at most %.1f ms\n", (double)worst / 1e3);
    expect(worst < 1000000, "to follow again takes less than a second");
}

static double processor_seconds(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* All partitions followed, one heartbeat a second. */
static void idle(probe_t *probe, const char *argument)
{
    int64_t seconds = argument != NULL ? atoi(argument) : 10;
    int64_t began, beat = 0;
    double before;
    err_t err;

    prepare(probe);
    for (uint16_t i = 0; i <= PARTITIONS; i++)
        follow(probe, i, 0);
    follow(probe, JOURNAL_CONTROL, 0);
    follow(probe, JOURNAL_LIVENESS, 0);
    for (began = now_us(); now_us() - began < 2000000;)
        pump(probe, 100);
    before = processor_seconds();
    began = now_us();
    while (now_us() - began < seconds * 1000000) {
        if (now_us() - beat >= 1000000) {
            beat = now_us();
            must(journal_publish(probe->journal, JOURNAL_LIVENESS, 1, "alive", 5, &err), &err,
                 "publish");
        }
        pump(probe, 1000);
    }
    printf("      at rest: %.2f %% of one core\n",
           (processor_seconds() - before) * 100e6 / (double)(now_us() - began));
    expect(pump_until(probe, &probe->liveness_read, (uint64_t)seconds - 1), "heartbeats come back");
}

static void fatal(probe_t *probe, const char *argument)
{
    track_t *track = &probe->tracks[1];
    int64_t began;
    uint64_t refused = 0;
    buffer_t text;

    (void)argument;
    prepare(probe);
    follow(probe, 1, 0);
    fence(probe, 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++)
            (void)append(probe, 1, BODY_BYTES);
        journal_kafka_break_producer(probe->journal);
        for (int i = 0; i < 10; i++)
            refused += append(probe, 1, BODY_BYTES) != ERR_NONE;
        began = now_us();
        expect(pump_until(probe, &track->reported, track->appended) && track->twice == 0,
               "the producer failed for good: each of %" PRIu64 " is reported once, %" PRIu64
               " of them as delivered",
               track->reported, track->delivered);
        while (append(probe, 1, BODY_BYTES) != ERR_NONE)
            pump(probe, 10);
        expect(pump_until(probe, &track->reported, track->appended) &&
                   track->fate[track->appended] == 1,
               "the next one delivers, after %.0f ms", (double)(now_us() - began) / 1e3);
    }
    expect(refused > 0, "a broken producer takes nothing");
    /* The fence: all of its predecessors in the partition are read before it. */
    fence(probe, 1);
    for (uint64_t seq = 1; seq <= track->appended; seq++)
        if (track->fate[seq] == 1 && track->present[seq] == 0)
            expect(false, "record %" PRIu64 " was reported as delivered and is not there", seq);
    buffer_init(&text, 65536);
    journal_kafka_metrics(probe->journal, &text);
    buffer_byte(&text, 0);
    expect(strstr((const char *)text.bytes, "fealty_kafka_producers_total 4\n") != NULL &&
               strstr((const char *)text.bytes, "fealty_kafka_outstanding 0\n") != NULL,
           "the metrics know of four producers and of nothing outstanding");
    buffer_free(&text);
}

static void beyond(probe_t *probe, const char *argument)
{
    track_t *track = &probe->tracks[1];
    unsigned asked = 0;
    int64_t began;

    (void)argument;
    prepare(probe);
    follow(probe, 1, 0);
    for (int i = 0; i < 10; i++)
        fence(probe, 1);
    began = now_us();
    for (track->lost = false; !track->lost && now_us() - began < PATIENCE_US; asked++) {
        track->broken = 0;
        follow(probe, 1, 5000);
        (void)pump_until(probe, &track->broken, 1);
    }
    expect(track->lost && now_us() - began >= 10000000 && asked >= 10 && asked <= 110,
           "an offset beyond the end is said to be lost, after %.1f s, the %uth time",
           (double)(now_us() - began) / 1e6, asked);
    (void)append(probe, 1, BODY_BYTES);
    (void)pump_until(probe, &track->reported, track->appended);
    follow(probe, 2, 0);
    fence(probe, 2);
    expect(track->read == 10 && track->broken == 1, "and nothing more is said");
    restart_track(track, 9);
    follow(probe, 1, 8);
    expect(pump_until(probe, &track->read, 3) && track->disorder == 0 && track->broken == 0,
           "followed where it is, it goes on");
    /* The very end is there, it only has no record yet. */
    restart_track(track, 12);
    follow(probe, 1, 11);
    fence(probe, 1);
    expect(track->broken == 0 && track->disorder == 0, "the end itself is not lost");
    /* Many in a row: late answers to earlier ones must not be taken for one of the last. */
    for (int i = 0; i < 50; i++) {
        follow(probe, 1, 5000 + (uint64_t)i);
        if (i % 5 == 0)
            pump(probe, 10);
    }
    restart_track(track, 1);
    do {
        track->broken = 0;
        follow(probe, 1, 0);
        while (track->read == 0 && track->broken == 0)
            pump(probe, 100);
        if (track->broken != 0)
            expect(!track->lost, "a late answer does not say lost");
    } while (track->broken != 0);
    expect(pump_until(probe, &track->read, 12) && track->disorder == 0, "it can be read whole");
}

/* Appends all the time until the standard input ends, while the test kills brokers. Then nothing that was acknowledged
 * may be missing. */
static void load(probe_t *probe, const char *argument)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    uint64_t window = argument != NULL ? strtoull(argument, NULL, 10) : 16;
    uint64_t missing = 0, twice = 0, delivered = 0, undelivered = 0, disorder = 0;

    prepare(probe);
    for (uint16_t i = 0; i <= PARTITIONS; i++)
        follow(probe, i, 0);
    for (uint16_t i = 0; i <= PARTITIONS; i++)
        fence(probe, i);
    printf("started\n");
    (void)fflush(stdout);
    for (uint16_t i = 0; i <= PARTITIONS; i++)
        probe->tracks[i].longest_gap_us = 0;
    while (poll(&input, 1, 0) == 0) {
        for (uint16_t i = 0; i <= PARTITIONS; i++)
            while (probe->tracks[i].appended - probe->tracks[i].reported < window &&
                   append(probe, i, BODY_BYTES) == ERR_NONE)
                ;
        pump(probe, 20);
        for (uint16_t i = 0; i <= PARTITIONS; i++)
            if (probe->tracks[i].broken > 0) {
                probe->tracks[i].broken = 0;
                follow(probe, i, probe->tracks[i].next_at);
            }
    }
    for (uint16_t i = 0; i <= PARTITIONS; i++) {
        printf("      partition %u: longest time without a record %.2f s\n", i,
               (double)probe->tracks[i].longest_gap_us / 1e6);
        if (!pump_until(probe, &probe->tracks[i].reported, probe->tracks[i].appended))
            expect(false, "every append is reported");
    }
    /* Another reader, from the start: a record after all the others is the end. */
    journal_destroy(&probe->journal);
    open_journal(probe);
    for (uint16_t i = 0; i <= PARTITIONS; i++) {
        track_t *track = &probe->tracks[i];
        uint64_t last = track->appended + 1;

        memset(track->present, 0, RECORDS_MAX);
        follow(probe, i, 0);
        while (append(probe, i, BODY_BYTES) != ERR_NONE)
            pump(probe, 20);
        for (int64_t deadline = now_us() + PATIENCE_US;
             track->present[last] == 0 && now_us() < deadline;)
            pump(probe, 100);
        (void)pump_until(probe, &track->reported, track->appended);
        for (uint64_t seq = 1; seq <= track->appended; seq++)
            missing += track->fate[seq] == 1 && track->present[seq] == 0;
        twice += track->twice;
        delivered += track->delivered;
        undelivered += track->reported - track->delivered;
        expect(track->reported == track->appended, "partition %u: each of %" PRIu64 " is reported",
               i, track->appended);
        for (uint64_t seq = 1; seq <= track->appended; seq++)
            disorder += track->present[seq] > 1;
    }
    printf("      %" PRIu64 " delivered, %" PRIu64 " not, %" PRIu64 " in the log twice\n",
           delivered, undelivered, disorder);
    expect(missing == 0, "of what was acknowledged nothing is missing");
    expect(twice == 0, "nothing is reported twice");
}

/* One heartbeat a fifth of a second; says when reachability changes, until the standard input ends. */
static void watch(probe_t *probe, const char *argument)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t beat = 0;
    int said = -1;

    (void)argument;
    prepare(probe);
    follow(probe, JOURNAL_LIVENESS, 0);
    while (poll(&input, 1, 0) == 0) {
        int reachable = journal_kafka_reachable(probe->journal);
        err_t err;

        if (reachable != said) {
            printf("reachable %d\n", reachable);
            (void)fflush(stdout);
        }
        said = reachable;
        if (now_us() - beat >= 200000) {
            beat = now_us();
            (void)journal_publish(probe->journal, JOURNAL_LIVENESS, 1, "alive", 5, &err);
        }
        pump(probe, 20);
    }
    (void)pump_until(probe, &probe->liveness_read, 1); /* following may have begun late */
    expect(probe->liveness_read > 0, "%" PRIu64 " heartbeats came back", probe->liveness_read);
}

/* Memory that waits for Kafka is bounded. */
static void flood(probe_t *probe, const char *argument)
{
    uint64_t taken = 0;

    (void)argument;
    open_journal(probe);
    while (taken < 10000 && append(probe, 1, 65536) == ERR_NONE)
        taken++;
    expect(taken >= 900 && taken <= 1100, "without Kafka %" PRIu64 " records of 64 KiB are taken",
           taken);
    expect(pump_until(probe, &probe->tracks[1].reported, taken) &&
               probe->tracks[1].delivered == 0 && probe->tracks[1].twice == 0,
           "each is reported as not delivered, once");
    expect(append(probe, 1, 65536) == ERR_NONE, "then there is room again");
    expect(!journal_kafka_reachable(probe->journal), "Kafka is not reachable");
}

/* Into a partition of a running cluster: a claim of its own history that refers to an epoch that never was, as after a
 * loss of records. Every reader halts there. */
static void foreign(probe_t *probe, const char *argument)
{
    uint16_t partition = (uint16_t)atoi(argument != NULL ? argument : "0");
    int64_t deadline = now_us() + PATIENCE_US;
    record_header_t first = {.epoch = 0};
    const uint8_t *text, previous[8] = {[2] = 1}; /* 65536 */
    uint8_t bytes[RECORD_HEADER_BYTES];
    record_reason_t reason;
    journal_record_t record;
    journal_report_t report = {.delivered = false};
    err_t err;

    open_journal(probe);
    follow(probe, partition, 0);
    while (first.epoch == 0 && now_us() < deadline) {
        struct pollfd entry = {.fd = probe->wakeup, .events = POLLIN};

        if (!journal_next(probe->journal, &record))
            (void)poll(&entry, 1, 10);
        else if (record.bytes == NULL ||
                 record_decode(record.bytes, record.n, &first, &text, &reason) != VERDICT_ACCEPT)
            first.epoch = 0;
    }
    expect(first.epoch == 1 && first.kind == RECORD_CLAIM, "the log begins with a claim");
    first.epoch = 65537;
    first.body_bytes = sizeof previous;
    record_encode_header(&first, previous, bytes);
    must(journal_append(probe->journal, partition, bytes, previous, sizeof previous, &err), &err,
         "append");
    while (!report.delivered && now_us() < deadline) {
        struct pollfd entry = {.fd = probe->wakeup, .events = POLLIN};

        if (!journal_report(probe->journal, &report))
            (void)poll(&entry, 1, 10);
    }
    expect(report.delivered, "FOREIGN %" PRIu64 " %08x", report.offset, first.crc);
}

static void check(probe_t *probe, const char *argument)
{
    uint16_t partitions;
    err_t err;

    probe->config.create_topics = argument != NULL && strcmp(argument, "create") == 0;
    if (journal_kafka_check(&probe->config, CHECK_WAIT_US, &partitions, &err) == ERR_NONE) {
        printf("PARTITIONS %u\n", partitions);
    } else {
        printf("%s %s\n",
               err.code == ERR_STATE         ? "STATE"
               : err.code == ERR_UNREACHABLE ? "UNREACHABLE"
               : err.code == ERR_INVALID     ? "INVALID"
                                             : "OTHER",
               err.text);
        failures++;
    }
}

static const struct {
    const char *name;
    void (*run)(probe_t *probe, const char *argument);
} scenarios[] = {
    {"check", check},     {"order", order},     {"channels", channels}, {"pipeline", pipeline},
    {"latency", latency}, {"follows", follows}, {"idle", idle},         {"fatal", fatal},
    {"beyond", beyond},   {"load", load},       {"watch", watch},       {"flood", flood},
    {"foreign", foreign},
};

int main(int argc, char **argv)
{
    const char *partitions = getenv("PARTITIONS");
    probe_t *probe = calloc(1, sizeof *probe);

    if (argc < 4 || probe == NULL) {
        (void)fprintf(stderr, "journal_probe BOOTSTRAP PREFIX SCENARIO [ARGUMENT]\n");
        return 2;
    }
    probe->config = (journal_kafka_config_t){
        .bootstrap = argv[1],
        .prefix = argv[2],
        .node = "probe",
        .settings = getenv("SETTINGS"),
        .partitions = partitions != NULL ? (uint16_t)atoi(partitions) : PARTITIONS,
        .single_broker = getenv("SINGLE") != NULL && getenv("SINGLE")[0] != 0,
    };
    probe->store = store_memory_new();
    probe->wakeup = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (size_t i = 0; i <= PARTITIONS; i++) {
        probe->tracks[i].fate = calloc(RECORDS_MAX, 1);
        probe->tracks[i].present = calloc(RECORDS_MAX, 1);
        probe->tracks[i].next_seq = 1;
        if (probe->tracks[i].fate == NULL || probe->tracks[i].present == NULL)
            return 2;
    }
    for (size_t i = 0; i < COUNT_OF(scenarios); i++)
        if (strcmp(scenarios[i].name, argv[3]) == 0)
            scenarios[i].run(probe, argc > 4 ? argv[4] : NULL);
    journal_destroy(&probe->journal);
    store_destroy(&probe->store);
    (void)close(probe->wakeup);
    for (size_t i = 0; i <= PARTITIONS; i++) {
        free(probe->tracks[i].fate);
        free(probe->tracks[i].present);
    }
    free(probe);
    return failures == 0 ? 0 : 1;
}
