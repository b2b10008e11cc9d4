/* customers.h - the invented customers of a load test
 *
 * Contract   Customer number i has the same UUID in every tool, run and release: preloading and the
 *            workloads meet the same accounts without sharing a file. Random looking, so that
 *            customers spread over all partitions; version 4, variant RFC 4122.
 * Threads    Pure.
 * Ownership  The text is written into the caller's buffer, without a NUL.
 * Units      Nothing to say.
 * Errors     None.
 */
#ifndef FEALTY_BENCH_CUSTOMERS_H
#define FEALTY_BENCH_CUSTOMERS_H

#include "protocol/compiler.h"

#define CUSTOMER_TEXT_BYTES 36

void customer_uuid(uint64_t index, char out[CUSTOMER_TEXT_BYTES]);

/* `digits` lower-case hexadecimal digits of value, most significant first, no NUL. */
void hex_write(uint64_t value, unsigned digits, char *out);

#endif
