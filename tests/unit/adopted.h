/* adopted.h - adoptions for tests, and copies that know of them
 *
 * Contract   For the tests of adoptions; a failed check ends the test.
 * Threads    One.
 * Ownership  A reader that is returned is freed by its test.
 * Units      Nothing to say.
 * Errors     Checks of Criterion.
 */
#ifndef FEALTY_TESTS_ADOPTED_H
#define FEALTY_TESTS_ADOPTED_H

#include "actors/adopt.h"
#include "actors/adoptions.h"

#include "tests/unit/scribe.h"

static const hash_t first = {{7}}, second = {{21}}, third = {{22}}, fourth = {{23}};
static const hash_t adopter = {{31}}, bystander = {{32}};

static inline adoption_t adoption_of(uint16_t partition, const hash_t *old, const hash_t *image,
                                     const hash_t *fresh)
{
    return (adoption_t){.partition = partition,
                        .old = *old,
                        .image = *image,
                        .fresh = *fresh,
                        .node = adopter,
                        .epoch = 3,
                        .seq = 9,
                        .chain = 17,
                        .offset = 4,
                        .at_us = 5,
                        .reason = "a test"};
}

/* A reader that knows a list of adoptions, on a node with this id. */
static inline reader_t *node_reader(const scribe_t *scribe, const adoptions_t *list,
                                    const hash_t *node)
{
    reader_t *self = reader_new(scribe);

    replica_set_adoptions(self->replica, list, node);
    return self;
}

static inline void claim(reader_t *self)
{
    const hash_t unused = {{99}};

    replica_claim(self->replica, &unused, self->now_us);
    reader_read(self);
}

/* The image of a reader is adopted, and all readers are told. */
static inline adoption_t adopt(adoptions_t *list, reader_t *image, const hash_t *fresh,
                               reader_t *const *all, size_t count)
{
    position_t stored;
    const adoption_t *latest = adoptions_latest(list, HERE);

    cr_assert_eq(replica_sync(image->replica, NULL), ERR_NONE);
    cr_assert(replica_stored(image->replica, &stored));
    adoption_t adoption = adoption_of(HERE, latest != NULL ? &latest->fresh : &stored.history,
                                      &stored.history, fresh);
    adoption.epoch = stored.epoch;
    adoption.seq = stored.seq;
    adoption.chain = stored.chain;
    adoption.offset = image->pen->paper->count[HERE];
    cr_assert(adoptions_add(list, &adoption));
    for (size_t i = 0; i < count; i++)
        replica_adopted(all[i]->replica, HERE);
    return adoption;
}

#endif
