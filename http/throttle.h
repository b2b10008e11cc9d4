/* throttle.h - slows down who guesses passwords
 *
 * Contract   Counts failed logins per name (a user name, an address). From the limit on, each
 *            further failure doubles the pause before the next try, up to five minutes. Fifteen
 *            quiet minutes forget all. The table is bounded; when a place is needed the one that
 *            was quiet longest goes.
 * Threads    Any; one mutex, because logins are rare and slow anyway.
 * Ownership  Names are hashed, not kept.
 * Units      Microseconds, boot clock.
 * Errors     None.
 */
#ifndef FEALTY_THROTTLE_H
#define FEALTY_THROTTLE_H

#include "protocol/clock.h"

typedef struct throttle throttle_t;

throttle_t *throttle_new(uint32_t limit, const random_source_t *random);
void throttle_destroy(throttle_t **self_p);

/* True: go on, and the try counts as failed until throttle_good(). False: wait *wait_us. */
bool throttle_try(throttle_t *self, const void *name, size_t bytes, int64_t now_us,
                  int64_t *wait_us);
/* The try was good: forget the failures (`all`), or only take this one back. */
void throttle_good(throttle_t *self, const void *name, size_t bytes, bool all);

#endif
