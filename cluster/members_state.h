/* members_state.h - what members are made of; for the files of the members only
 *
 * Contract   members.c has what is common and the rules of the embedded journal, members_shared.c those of a shared log.
 * Threads    As in members.h.
 * Ownership  Stated at each member.
 * Units      Microseconds of the boot clock.
 * Errors     Nothing to say.
 */
#ifndef FEALTY_MEMBERS_STATE_H
#define FEALTY_MEMBERS_STATE_H

#include "cluster/members.h"

#define TROUBLE_BYTES 400

typedef struct {
    bool known; /* had a HELLO; the members below hold */
    link_hello_t hello;
    hash_t incarnation;
    hash_t previous; /* incarnation before this one */
    int64_t replaced_us;
    int64_t heard_us;
    int64_t twice_us; /* when the replaced process was last heard alive; 0: never */
    bool bye;
    bool confirmed;               /* it has had our HELLO */
    uint64_t *epochs;             /* shared log: owned; of its last HELLO, by partition */
    uint16_t bulk_port;           /* shared log: of its last HELLO */
    char dialling[TROUBLE_BYTES]; /* shared log: why it cannot be dialled */

    /* judged */
    bool alive;
    bool foreign;   /* not of this cluster: what it advertises counts for nothing */
    bool contested; /* somebody else claims the same */
    bool up;
    char refusal[TROUBLE_BYTES];
    uint64_t session;
} peer_t;

struct members {
    addresses_t addresses; /* shared log: "" where there is nobody */
    bool shared;
    uint64_t *epochs;   /* shared log: owned; in which this node owns a partition, 0: it does not */
    uint16_t bulk_port; /* shared log: where this node gives snapshots; 0: it gives none */
    hash_t incarnation;
    hash_t list;
    uint16_t partitions; /* configured */
    bool born;
    birth_t birth;
    peer_t *peers;  /* owned; one per address, the own one unused */
    int64_t now_us; /* as last told */
    uint64_t version;
    char self_refusal[TROUBLE_BYTES]; /* another process is this node: stays */
    uint8_t self_contested[(BIRTH_PARTITIONS_MAX + 8) / 8]; /* partitions; stays */
    char stranger[TROUBLE_BYTES];
    int64_t stranger_us;
};

size_t members_link_of_address(const members_t *self, const char *address);
/* A HELLO of the peer at `link`, whose content is in `hello`; false: it comes from a process that was replaced. */
bool members_take_hello(members_t *self, size_t link, const hash_t *from, const link_hello_t *hello,
                        int64_t now_us);
/* Computes anew what follows from all that is known. */
void members_judge(members_t *self);
void members_refuse(peer_t *peer, bool contested, const char *format, ...) PRINTF_LIKE(3, 4);
/* Somebody who is no peer said something that an operator should know. */
void members_stranger_said(members_t *self, int64_t now_us, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* A judgement of a shared log, as judge_alone() in members.c. */
void members_judge_shared(members_t *self, peer_t *peer);

#endif
