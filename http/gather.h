/* gather.h - lists of accounts and entries out of one or all partitions
 *
 * Contract   Accounts come by id, entries newest first, unless `ordering` says otherwise. Up to LIST_SORTED_MAX rows in
 *            all are sorted by any fields and searched. With more, accounts go by id (either way) and entries by the
 *            instant of recording (either way, up to LIST_DEPTH_MAX rows from one end), `search` is refused, and where
 *            only a part can be counted `count` is a lower bound (`count_exact` false): then pages are served up to
 *            LIST_DEPTH_MAX rows, and `last` and descending order of accounts are refused. Never a partial answer.
 * Threads    The exchange's.
 * Ownership  The job borrows all it names.
 * Units      Rows.
 * Errors     The error answer is written.
 */
#ifndef FEALTY_GATHER_H
#define FEALTY_GATHER_H

#include "http/exchange.h"
#include "http/list.h"

#define LIST_SORTED_MAX QUERY_COUNT_EXACT_MAX
#define LIST_DEPTH_MAX  100000

typedef struct {
    exchange_t *exchange;
    const schema_table_t *table; /* of accounts or transactions */
    query_t query; /* QUERY_ACCOUNTS, QUERY_ACCOUNTS_OF or QUERY_ENTRIES, with its filters */
    bool single;   /* only `partition` can hold rows */
    uint16_t partition;
    bool nothing;            /* a filter lets nothing through */
    bool bare;               /* plain array of the first LIST_SORTED_MAX rows, no envelope */
    text_t search, ordering; /* n 0: none */
    list_page_t page;
} gather_t;

/* Writes the answer, whatever it is. */
void gather_answer(gather_t *self);

#endif
