/* net.h - the network between simulated nodes: it delays, loses, doubles and reorders, all from one seed
 *
 * Contract   A letter arrives after a delay of its own, so a later one may overtake it. A link is cut one way at a time.
 * Threads    One.
 * Ownership  net_send copies; a letter from net_take is the caller's to free.
 * Units      Virtual microseconds; ppm.
 * Errors     None: what is lost is lost.
 */
#ifndef FEALTY_NET_H
#define FEALTY_NET_H

#include "tests/sim/dice.h"

#define NET_NODES_MAX 32

typedef struct {
    int64_t delay_max_us, slow_max_us;
    uint32_t slow_ppm, drop_ppm, double_ppm;
} net_faults_t;

typedef struct {
    int64_t at_us;
    uint64_t order;
    size_t from, to;
    uint16_t partition;
    uint8_t *bytes; /* owned */
    size_t n;
} letter_t;

typedef struct {
    dice_t dice;
    net_faults_t faults;
    bool cut[NET_NODES_MAX][NET_NODES_MAX]; /* from, to */
    letter_t *letters;                      /* owned; a heap, earliest first */
    size_t count, capacity;
    uint64_t order;
} net_t;

void net_init(net_t *self, uint64_t seed);
void net_free(net_t *self);
void net_send(net_t *self, int64_t now_us, size_t from, size_t to, uint16_t partition,
              const void *bytes, size_t n);
bool net_take(net_t *self, int64_t now_us, letter_t *out);
int64_t net_next_us(const net_t *self); /* INT64_MAX: nothing is on its way */

#endif
