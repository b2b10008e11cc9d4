/* shared_life.h - the inside of one life on a shared log, for its files only
 *
 * Contract   shared_run.c: the course and its faults. shared_clients.c: who asks for what, and what was answered.
 *            shared_judge.c: the oracles at the end.
 * Threads    One.
 * Ownership  As stated at the members.
 * Units      Virtual microseconds; `tick` counts calls and answers.
 * Errors     life_fail() keeps the first one.
 */
#ifndef FEALTY_SHARED_LIFE_H
#define FEALTY_SHARED_LIFE_H

#include "tests/sim/linear.h"
#include "tests/sim/shared_run.h"
#include "tests/sim/shared_world.h"

#define LIFE_MEMBERS_MAX 16
#define LIFE_JOBS_MAX    2600

typedef struct {
    uuid16_t customer;
    uint16_t partition;
    uint64_t account; /* 0: not known yet */
    /* A client that reads everywhere and never wants to go back. */
    log_place_t seen;                   /* of its partition's log; epoch 0: nothing */
    uint64_t seen_entries, own_entries; /* shown to it; of its own acknowledged writes */
} member_t;

typedef struct {
    command_t command;
    char mark[24]; /* its key, if it has one, and the description of its entries */
    char json[64];
    unsigned member, other; /* whose; the receiver of a transfer */
    uint16_t partition;
    unsigned open; /* attempts that nobody has answered */
    unsigned attempts;
    unsigned ran;       /* answers that are no replay */
    int64_t again_us;   /* when its client asks again */
    bool final;         /* the client knows what became of it */
    bool nothing;       /* final: it certainly had no effect */
    bool unknown;       /* no key, and an attempt may have had its effect */
    bool doubtful;      /* an attempt's outcome was unknown */
    unsigned http;      /* final: of the answer; 404 is not kept under a key */
    uint64_t called;    /* tick of the first attempt */
    uint64_t effective; /* final: of the earliest attempt that can have had the effect */
    uint64_t answered;  /* of the first final answer */
    buffer_t answer;    /* owned; without its mark of replay */
} job_t;

static inline bool job_is_keyed(const job_t *job)
{
    return job->command.key.n > 0;
}

/* A linearizable read. */
typedef struct {
    unsigned member;
    uint64_t called, answered; /* answered 0: never */
    bool exists;
    points_t balance;
} question_t;

/* One request on its way: what its ticket stands for. */
typedef struct {
    bool is_question;
    size_t index; /* of the job or the question */
    uint64_t called;
    bool deaf; /* its answer is lost on the way to the client */
} call_t;

/* Where the log of a partition was cut (profile cut-confirmed). */
typedef struct {
    bool cut;
    uint16_t partition;
    size_t kept; /* entries */
    uint64_t tick;
} cut_t;

typedef struct {
    dice_t dice;
    shared_world_t *world; /* owned */
    uint16_t partitions;
    uint32_t program, tier;
    profile_t profile;
    bool
        refusals; /* who is not the owner is asked for what will be refused, and for nothing else */
    unsigned wanted;    /* commands in this life */
    bool transfers;     /* between partitions */
    bool halts_allowed; /* the log is cut behind somebody's back */
    cut_t cut;
    skips_t
        *skips; /* owned; records that halt everybody until an operator's word (profile skips) */
    /* Profile adoptions: whose images became the history of their partitions, as the control channel has it, and what
     * stood in them. */
    adoptions_t *adoptions; /* owned */
    size_t control_read;
    store_t *said[SHARED_NODES_MAX][NODE_PARTITIONS_MAX + 1]; /* owned; images that may have been */
    store_t *bases[NODE_PARTITIONS_MAX + 1];                  /* owned */
    bool lost[NODE_PARTITIONS_MAX + 1]; /* the log has lost something, and no new history goes on */
    const adoption_t *before[NODE_PARTITIONS_MAX + 1]; /* the newest when it did */
    int64_t look_us[NODE_PARTITIONS_MAX + 1]; /* when somebody looks why it was not missed */
    bool stopped[SHARED_NODES_MAX];           /* by the operator */
    view_t *view;                             /* owned; the newest */
    /* What landed after a cut refers to what is lost: every reader halts there, until an operator's word. */
    bool broken[NODE_PARTITIONS_MAX + 1];
    bool any_broken;
    member_t members[LIFE_MEMBERS_MAX];
    unsigned member_count;
    job_t *jobs; /* owned; LIFE_JOBS_MAX */
    unsigned job_count;
    question_t *questions; /* owned */
    size_t question_count, question_capacity;
    call_t *calls; /* owned; by ticket - 1 */
    size_t call_count, call_capacity;
    uint64_t tick;
    bool healing;
    bool over; /* what is answered from here on matters to nobody */
    shared_report_t *report;
    err_t *err;
    bool failed;
} life_t;

void life_fail(life_t *self, const char *format, ...) PRINTF_LIKE(2, 3);

/* shared_clients.c */
void life_answered(void *life, size_t ticket, const err_t *err, const void *result, size_t n,
                   const log_place_t *place);
job_t *life_job(life_t *self, command_t command, unsigned member);
void life_enrol(life_t *self);
void life_something(life_t *self); /* a random command or question */
void life_look(life_t *self, unsigned member);
/* Attempts whose time has come. */
void life_ask_again(life_t *self);
/* Every client knows what became of what it asked. */
bool life_all_known(const life_t *self);
/* Reads a member's account at a random node that has come as far as the client's session. */
void life_session(life_t *self, unsigned member);

/* shared_judge.c */
void life_judge(life_t *self);
bool life_read_log(life_t *self, uint16_t partition, position_t *position);
/* Finds the logs that halt everybody who reads them from their beginning. */
void life_find_broken(life_t *self);
/* It cannot end: a log that it needs is broken. */
static inline bool job_is_hopeless(const life_t *self, const job_t *job)
{
    return self->broken[job->partition] || (job->command.kind == COMMAND_TRANSFER &&
                                            self->broken[self->members[job->other].partition]);
}

#endif
