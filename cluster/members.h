/* members.h - what this node believes of its peers, and which of them owns a partition
 *
 * Contract   Fed with HELLOs and with "heard from this incarnation"; never hashes a placement. A peer is up when both
 *            sides have had each other's HELLO, it belongs to this cluster, and it was heard within 2 s.
 *            Refused, with a sentence in members_troubles: another cluster or partition count, an empty store in a
 *            cluster that exists, a node index that two processes claim, a partition that two nodes advertise.
 *            Where this node itself is one of two claimants it stops serving what is claimed, until its next start.
 *            On a shared log members come and go with the views, each owner names the epoch of its claim, and the highest
 *            epoch among those that are up is the owner: nothing is contested, the log has decided. Refused: another
 *            cluster, a peer without a shared log, and two processes at one address.
 * Threads    One: the transport's.
 * Ownership  The addresses are copied. Returned texts live as long as the members.
 * Units      Microseconds of the boot clock.
 * Errors     None: bad claims become troubles.
 */
#ifndef FEALTY_MEMBERS_H
#define FEALTY_MEMBERS_H

#include "cluster/frame.h"

#define MEMBERS_ALIVE_US INT64_C(2000000)
/* A process that was replaced may have frames on the way; heard after this long, it is alive beside the other. */
#define MEMBERS_REPLACED_US INT64_C(1000000)
/* How long after the last sign of a second process a claim counts as contested. */
#define MEMBERS_CONTESTED_US INT64_C(5000000)

typedef struct members members_t;

members_t *members_new(const addresses_t *addresses, const hash_t *incarnation,
                       uint16_t partitions);
void members_destroy(members_t **self_p);

/* The own birth record, when it is known or has changed; copied. */
void members_set_birth(members_t *self, const birth_t *birth);
/* Fills the HELLO for the peer at an address of the list. */
void members_own_hello(const members_t *self, size_t link, link_hello_t *hello);

/* Links are numbered as the address list; the own number is no link to anybody. On a shared log there are
 * ADDRESSES_MAX numbers, and most belong to nobody. */
size_t members_count(const members_t *self);
size_t members_own(const members_t *self);
bool members_is_peer(const members_t *self, size_t link);
/* Stays where it is; on a shared log its content changes with members_add. */
const char *members_address(const members_t *self, size_t link);
/* Returns the link that the HELLO belongs to, members_count() when it belongs to none. */
size_t members_hello(members_t *self, const hash_t *from, const link_hello_t *hello,
                     int64_t now_us);
/* Any other frame. Returns its link, or members_count() when it must be ignored. `to` is the receiver that the frame
 * names. */
size_t members_heard(members_t *self, const hash_t *from, const hash_t *to, int64_t now_us);
void members_bye(members_t *self, size_t link);
/* Lets time pass: who was not heard is down, contests end. */
void members_sweep(members_t *self, int64_t now_us);

bool members_is_up(const members_t *self, size_t link);
/* Had a HELLO that is not older than 2 s, refused or not. */
bool members_is_alive(const members_t *self, size_t link);
/* Grows whenever what was sent to the peer before can no longer be answered. */
uint64_t members_session(const members_t *self, size_t link);
hash_t members_incarnation(const members_t *self, size_t link);             /* zero: never heard */
const link_hello_t *members_last_hello(const members_t *self, size_t link); /* NULL: never heard */
/* Grows with every change of what the functions above and below say. */
uint64_t members_version(const members_t *self);

typedef enum { OWNER_NONE, OWNER_SELF, OWNER_LINK, OWNER_CONTESTED } owner_kind_t;
/* *link is set for OWNER_LINK: the peer that advertises the partition, or did last. */
owner_kind_t members_owner(const members_t *self, uint16_t partition, size_t *link);

/* --- on a shared log ------------------------------------------------------------------------------- */

members_t *members_new_shared(const char *own_address, const hash_t *incarnation,
                              uint16_t partitions);
bool members_is_shared(const members_t *self);
/* From the view. */
void members_set_cluster(members_t *self, const hash_t *cluster, uint16_t partitions);
/* A new peer; its link. members_count() when it has one already, is this node itself, or there is no room. */
size_t members_add(members_t *self, const char *address);
void members_remove(members_t *self, size_t link);
/* epoch 0: not owned (any more). */
void members_set_owned(members_t *self, uint16_t partition, uint64_t epoch);
/* Where snapshots are given, beside the address; 0: nowhere. The own port is set before the first HELLO. */
void members_set_bulk_port(members_t *self, uint16_t port);
uint16_t members_bulk_port(const members_t *self, size_t link);
/* Why a peer cannot even be dialled, "" when it can: one of the troubles. */
void members_set_dialling(members_t *self, size_t link, const char *why);

void members_own_shared_hello(const members_t *self, size_t link, link_shared_hello_t *hello);
/* As members_hello. */
size_t members_shared_hello(members_t *self, const hash_t *from, const link_shared_hello_t *hello,
                            int64_t now_us);
/* A HELLO of the other kind of cluster. */
void members_misfit(members_t *self, const char *address, int64_t now_us);
/* For every partition the peer that owns it in the highest epoch: of those that are up, else of those that were not
 * heard any more without a good-bye. epochs[i] 0: none. */
typedef struct {
    uint64_t epochs[BIRTH_PARTITIONS_MAX + 1];
    uint8_t links[BIRTH_PARTITIONS_MAX + 1];
} members_best_t;
void members_best(const members_t *self, members_best_t *best);

/* Why something is refused: appends JSON strings, separated by commas. */
void members_troubles(const members_t *self, buffer_t *out);

#endif
