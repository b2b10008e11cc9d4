/* birthing.h - how the nodes of a new cluster agree on their birth, once
 *
 * Contract   The node with the lowest address computes the birth when all nodes of its list said hello with empty
 *            stores and the same list; it stores its own record, offers it to the others, and settles when all have
 *            stored theirs. The others settle when they hear from one that has. Nobody serves before. A node that dies
 *            in between takes up where it was; one that comes with an empty store after the settling is refused
 *            (members.h), so an edited list or a lost disk never creates an owner without data.
 * Threads    The transport's; birthing_open before it runs.
 * Ownership  store, random and addresses are borrowed.
 * Units      Nothing to say.
 * Errors     Kept as a sentence for /readyz and tried again at the next step.
 */
#ifndef FEALTY_BIRTHING_H
#define FEALTY_BIRTHING_H

#include "cluster/members.h"

typedef struct {
    store_t *store;
    const random_source_t *random;
    const addresses_t *addresses;
    uint16_t partitions;
    bool born;
    birth_t birth;
    char trouble[240];
} birthing_t;

/* Loads the record if there is one. */
errcode_t birthing_open(birthing_t *self, store_t *store, const random_source_t *random,
                        const addresses_t *addresses, uint16_t partitions, err_t *err);
static inline bool birthing_done(const birthing_t *self)
{
    return self->born && self->birth.settled;
}

/* One step on; offer[link] is set for peers that must be sent the record. Tells members of every change. */
void birthing_step(birthing_t *self, members_t *members, bool offer[ADDRESSES_MAX]);
/* A record that another node offers. true: it is stored here now, or was before: acknowledge it. */
bool birthing_take(birthing_t *self, members_t *members, size_t link, const void *bytes, size_t n);
/* Why it is not done: appends JSON strings, separated by commas. */
void birthing_troubles(const birthing_t *self, const members_t *members, buffer_t *out);

#endif
