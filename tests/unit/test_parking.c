/* test_parking.c - what waits for an owner goes on in its order, or is given up in time */
#include "cluster/parking.h"

#include "protocol/buffer.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#define PARKED_MAX 8

typedef struct {
    parking_t *parking;
    atomic_uint version; /* of the only route */
    atomic_uint count;
    parked_t *order[PARKED_MAX]; /* as they left */
    bool resumed[PARKED_MAX];
    parked_t parked[PARKED_MAX];
} lot_t;

static bool lot_ready(void *state, const parked_t *parked)
{
    lot_t *self = state;

    return atomic_load(&self->version) != parked->seen;
}

static void lot_leaves(lot_t *self, parked_t *parked, bool resumed)
{
    unsigned at = atomic_load(&self->count);

    self->order[at] = parked;
    self->resumed[at] = resumed;
    atomic_store(&self->count, at + 1);
}

static void lot_resume(void *state, parked_t *parked)
{
    lot_leaves(state, parked, true);
}

static void lot_give_up(void *state, parked_t *parked)
{
    lot_leaves(state, parked, false);
}

static void lot_begin(lot_t *self, uint32_t max)
{
    const parking_config_t config = {.clock = clock_system(),
                                     .max = max,
                                     .state = self,
                                     .ready = lot_ready,
                                     .resume = lot_resume,
                                     .give_up = lot_give_up};

    memset(self, 0, sizeof *self);
    cr_assert_eq(parking_open(&self->parking, &config, NULL), ERR_NONE);
}

static bool lot_add(lot_t *self, unsigned number, int64_t patience_us)
{
    self->parked[number].until_us = clock_boot_us(clock_system()) + patience_us;
    return parking_add(self->parking, &self->parked[number]);
}

static void lot_wait(lot_t *self, unsigned count)
{
    int64_t until_us = clock_boot_us(clock_system()) + INT64_C(10000000);

    while (atomic_load(&self->count) < count && clock_boot_us(clock_system()) < until_us)
        (void)poll(NULL, 0, 1);
    cr_assert_eq(atomic_load(&self->count), count);
}

Test(parking, lets_go_on_in_order_when_the_route_has_changed, .timeout = 30)
{
    lot_t lot;

    lot_begin(&lot, PARKED_MAX);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(lot_add(&lot, i, INT64_C(60000000)));
    parking_changed(lot.parking); /* it has not: they stay */
    cr_assert_eq(parking_count(lot.parking), 3);
    atomic_store(&lot.version, 1);
    parking_changed(lot.parking);
    lot_wait(&lot, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(lot.order[i], &lot.parked[i]);
        cr_assert(lot.resumed[i]);
    }
    /* Who comes with an old number goes on at once, without being told. */
    cr_assert(lot_add(&lot, 4, INT64_C(60000000)));
    lot_wait(&lot, 4);
    cr_assert(lot.resumed[3]);
    parking_destroy(&lot.parking);
}

Test(parking, gives_up_each_at_its_own_time, .timeout = 30)
{
    lot_t lot;
    int64_t began_us = clock_boot_us(clock_system());

    lot_begin(&lot, PARKED_MAX);
    cr_assert(lot_add(&lot, 0, INT64_C(60000000)));
    cr_assert(lot_add(&lot, 1, 60000));
    cr_assert(lot_add(&lot, 2, 20000)); /* comes last and goes first */
    lot_wait(&lot, 2);
    cr_assert_eq(lot.order[0], &lot.parked[2]);
    cr_assert_eq(lot.order[1], &lot.parked[1]);
    cr_assert(!lot.resumed[0] && !lot.resumed[1]);
    cr_assert_geq(clock_boot_us(clock_system()) - began_us, 60000);
    cr_assert_eq(parking_count(lot.parking), 1);
    parking_destroy(&lot.parking);
    cr_assert_eq(atomic_load(&lot.count), 3);
}

Test(parking, takes_no_more_than_there_is_room_for, .timeout = 30)
{
    lot_t lot;

    lot_begin(&lot, 2);
    cr_assert(lot_add(&lot, 0, INT64_C(60000000)));
    cr_assert(lot_add(&lot, 1, INT64_C(60000000)));
    cr_assert(!lot_add(&lot, 2, INT64_C(60000000)));
    parking_stop(lot.parking);
    cr_assert_eq(atomic_load(&lot.count), 2);
    cr_assert(!lot.resumed[0] && !lot.resumed[1]);
    cr_assert(!lot_add(&lot, 3, INT64_C(60000000))); /* stopped */
    parking_destroy(&lot.parking);
}
