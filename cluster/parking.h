/* parking.h - what waits until a partition has an owner again
 *
 * Contract   Something that was parked goes on, in the order of its coming, as soon as `ready` says that its partition
 *            can be reached anew; when its time is over before that, it is given up. Either happens exactly once.
 * Threads    parking_add, parking_changed, parking_count: any. ready, resume and give_up run on the parking's own
 *            thread, or on that of parking_stop; nothing is held meanwhile but for `ready`, which only looks.
 * Ownership  A parked one belongs to the parking until it is resumed or given up.
 * Units      Microseconds of the boot clock.
 * Errors     parking_open: ERR_IO.
 */
#ifndef FEALTY_PARKING_H
#define FEALTY_PARKING_H

#include "protocol/clock.h"
#include "protocol/error.h"

typedef struct parking parking_t;

/* To be embedded as the first member. */
typedef struct parked {
    struct parked *next;
    uint16_t partition;
    uint32_t seen;    /* version of the partition's route when it was of no use */
    int64_t until_us; /* then it is given up */
} parked_t;

typedef struct {
    const clock_source_t *clock;
    uint32_t max;
    void *state;
    bool (*ready)(void *state, const parked_t *parked);
    void (*resume)(void *state, parked_t *parked);
    void (*give_up)(void *state, parked_t *parked);
} parking_config_t;

errcode_t parking_open(parking_t **self_p, const parking_config_t *config, err_t *err);
/* Gives up all that wait; from then on nothing is taken. */
void parking_stop(parking_t *self);
void parking_destroy(parking_t **self_p);

/* false: it is full or stopped, and the parked one still the caller's. */
bool parking_add(parking_t *self, parked_t *parked);
/* `ready` may have another answer now. */
void parking_changed(parking_t *self);
uint32_t parking_count(parking_t *self);

#endif
