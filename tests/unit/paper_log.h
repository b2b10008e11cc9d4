/* paper_log.h - a shared log in memory, for tests: it outlives the processes that write to it
 *
 * Contract   A paper_t is the log, a pen_t one process's end of it, behind the interface of journal.h. Appends land at
 *            once and are reported at once; every so many-th is lost, doubled, or lands and is reported as not delivered.
 * Threads    One.
 * Ownership  paper_free frees the records. A pen_t is the caller's.
 * Units      Offsets count records.
 * Errors     The test fails.
 */
#ifndef FEALTY_PAPER_LOG_H
#define FEALTY_PAPER_LOG_H

#include "storage/journal.h"
#include "tests/unit/scratch.h"

#define LOGS          3 /* two partitions of customers, and the definitions' */
#define PAPER_MAX     4096
#define PAPER_TIME_US INT64_C(1800000000000000)

/* A shared log in memory. */
typedef struct {
    uint8_t *bytes; /* owned */
    size_t n;
} sheet_t;

typedef struct {
    sheet_t sheets[LOGS][PAPER_MAX];
    size_t count[LOGS];
    bool founded; /* the control channel holds something */
    uint64_t appends;
    /* what goes wrong: every so many-th append; 0: never */
    unsigned lose_every, double_every, deny_every;
} paper_t;

/* One process's end of it. */
typedef struct {
    paper_t *paper;
    bool followed[LOGS], control_followed, control_told;
    uint64_t next[LOGS];
    journal_report_t reports[PAPER_MAX];
    size_t report_first, report_count;
} pen_t;

static inline void paper_write(paper_t *paper, uint16_t partition, const void *header,
                               const void *body, size_t n)
{
    sheet_t *sheet = &paper->sheets[partition][paper->count[partition]++];

    cr_assert_leq(paper->count[partition], PAPER_MAX);
    sheet->n = RECORD_HEADER_BYTES + n;
    sheet->bytes = memory_alloc(sheet->n);
    memcpy(sheet->bytes, header, RECORD_HEADER_BYTES);
    if (n > 0)
        memcpy(sheet->bytes + RECORD_HEADER_BYTES, body, n);
}

static inline uint64_t little(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (size_t i = 8; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static inline errcode_t pen_append(void *state, uint16_t partition, const void *header,
                                   const void *body, size_t n, err_t *err)
{
    pen_t *pen = state;
    paper_t *paper = pen->paper;
    const uint8_t *bytes = header;
    uint64_t number = ++paper->appends;
    bool lost = paper->lose_every != 0 && number % paper->lose_every == 0;
    bool denied = paper->deny_every != 0 && number % paper->deny_every == 0;

    (void)err;
    if (!lost)
        paper_write(paper, partition, header, body, n);
    if (!lost && paper->double_every != 0 && number % paper->double_every == 0)
        paper_write(paper, partition, header, body, n);
    cr_assert_lt(pen->report_first + pen->report_count, PAPER_MAX);
    pen->reports[pen->report_first + pen->report_count++] = (journal_report_t){
        partition, little(bytes + 24), little(bytes + 48), !lost && !denied, UINT64_MAX};
    return ERR_NONE;
}

static inline bool pen_next(void *state, journal_record_t *out)
{
    pen_t *pen = state;

    if (pen->control_followed && pen->paper->founded && !pen->control_told) {
        pen->control_told = true;
        *out = (journal_record_t){
            .partition = JOURNAL_CONTROL, .bytes = (const uint8_t *)"genesis", .n = 7};
        return true;
    }
    for (uint16_t p = 0; p < LOGS; p++) {
        if (!pen->followed[p] || pen->next[p] >= pen->paper->count[p])
            continue;
        const sheet_t *sheet = &pen->paper->sheets[p][pen->next[p]];
        *out = (journal_record_t){.partition = p,
                                  .bytes = sheet->bytes,
                                  .n = sheet->n,
                                  .offset = pen->next[p]++,
                                  .log_time_us = PAPER_TIME_US};
        return true;
    }
    return false;
}

static inline errcode_t pen_commit(void *state, const buffer_t *effects, err_t *err)
{
    (void)state;
    (void)err;
    cr_assert_null(effects);
    return ERR_NONE;
}

static inline errcode_t pen_follow(void *state, uint16_t partition, uint64_t offset, err_t *err)
{
    pen_t *pen = state;

    (void)err;
    if (partition == JOURNAL_CONTROL) {
        pen->control_followed = true;
        return ERR_NONE;
    }
    pen->followed[partition] = true;
    pen->next[partition] = offset;
    return ERR_NONE;
}

static inline void pen_unfollow(void *state, uint16_t partition)
{
    ((pen_t *)state)->followed[partition] = false;
}

static inline bool pen_report(void *state, journal_report_t *out)
{
    pen_t *pen = state;

    if (pen->report_count == 0)
        return false;
    *out = pen->reports[pen->report_first++];
    if (--pen->report_count == 0)
        pen->report_first = 0;
    return true;
}

static inline uint64_t pen_behind(void *state, uint16_t partition)
{
    pen_t *pen = state;

    return partition == JOURNAL_CONTROL ? 0 : pen->paper->count[partition] - pen->next[partition];
}

static const journal_ops_t pen_ops = {.append = pen_append,
                                      .next = pen_next,
                                      .commit = pen_commit,
                                      .follow = pen_follow,
                                      .unfollow = pen_unfollow,
                                      .report = pen_report,
                                      .behind = pen_behind};

static inline paper_t *paper_new(void)
{
    return memory_zalloc(sizeof(paper_t));
}

static inline void paper_free(paper_t *paper)
{
    for (size_t p = 0; p < LOGS; p++)
        for (size_t i = 0; i < paper->count[p]; i++)
            free(paper->sheets[p][i].bytes);
    free(paper);
}

#endif
