/* shared_run.c - the course of one life: begin, work under faults, heal, rest, be judged */
#include "tests/sim/shared_life.h"

#include "protocol/log.h"
#include "tests/sim/ask.h"
#include "tests/sim/restored.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_US        INT64_C(20000)
#define BEGIN_US       INT64_C(60000000)
#define REST_US        INT64_C(180000000)
#define LOOK_US        INT64_C(20000000)
#define FAULT_MOST_US  INT64_C(9000000)
#define FAULT_LEAST_US INT64_C(50000)
#define YEAR_US        (INT64_C(365) * 24 * 3600 * 1000000)
#define CLOCK_BAD_US   INT64_C(5000000)
#define HALT_PATIENCE_US \
    INT64_C(10000000) /* a halted replica: its node is restarted; later its disk emptied */

static const char *const names[] = {
#define X(id, name) [id] = (name),
    PROFILE_MAP(X)
#undef X
};

const char *profile_name(profile_t profile)
{
    return names[profile];
}

/* What can go wrong. */
typedef enum {
    FAULT_KILL,
    FAULT_PAUSE,
    FAULT_CUT_LOG,  /* a node from the log */
    FAULT_CUT_PEER, /* one node from another, one way or both */
    FAULT_WIPE,
    FAULT_OLD_DISK,
    FAULT_CLOCK,
    FAULT_LEAVE,
    FAULT_STORM, /* appends and reports fare badly for a while */
    FAULT_TRUNCATE,
    FAULT_STRAY, /* a confused process writes under somebody else's epoch, or with a time far ahead */
    FAULT__COUNT
} fault_t;

#define BIT(fault) (1u << (fault))

typedef struct {
    unsigned faults; /* which */
    unsigned odds;   /* of a fault, per step */
    bool bad_net, bad_log, bad_reading;
} course_t;

static const course_t courses[] = {
    [PROFILE_CALM] = {.faults = 0, .odds = 0},
    [PROFILE_NETWORK] = {.faults = BIT(FAULT_CUT_PEER) | BIT(FAULT_KILL),
                         .odds = 120,
                         .bad_net = true},
    [PROFILE_DEATHS] = {.faults = BIT(FAULT_KILL), .odds = 70},
    [PROFILE_PAUSES] = {.faults = BIT(FAULT_PAUSE), .odds = 90},
    [PROFILE_LOG] = {.faults = BIT(FAULT_STORM) | BIT(FAULT_PAUSE) | BIT(FAULT_STRAY),
                     .odds = 80,
                     .bad_log = true},
    [PROFILE_READING] = {.faults = BIT(FAULT_CUT_LOG) | BIT(FAULT_KILL),
                         .odds = 110,
                         .bad_reading = true},
    [PROFILE_CLOCKS] = {.faults = BIT(FAULT_CLOCK) | BIT(FAULT_KILL), .odds = 90},
    [PROFILE_DISKS] = {.faults = BIT(FAULT_WIPE) | BIT(FAULT_OLD_DISK) | BIT(FAULT_KILL),
                       .odds = 110},
    [PROFILE_REFUSALS] = {.faults = BIT(FAULT_CUT_LOG), .odds = 120},
    [PROFILE_FULL] = {.faults = BIT(FAULT_CUT_PEER) | BIT(FAULT_KILL),
                      .odds = 150,
                      .bad_net = true},
    [PROFILE_MEMBERS] = {.faults = BIT(FAULT_LEAVE) | BIT(FAULT_KILL), .odds = 130},
    [PROFILE_CUT_UNREAD] = {.faults = BIT(FAULT_TRUNCATE) | BIT(FAULT_STORM) | BIT(FAULT_PAUSE),
                            .odds = 60},
    [PROFILE_CUT_READ] = {.faults = BIT(FAULT_TRUNCATE) | BIT(FAULT_STORM) | BIT(FAULT_PAUSE),
                          .odds = 60},
    [PROFILE_CUT_CONFIRMED] = {.faults = BIT(FAULT_TRUNCATE) | BIT(FAULT_PAUSE), .odds = 90},
    [PROFILE_MIXED] = {.faults = BIT(FAULT_KILL) | BIT(FAULT_PAUSE) | BIT(FAULT_CUT_LOG) |
                                 BIT(FAULT_CUT_PEER) | BIT(FAULT_WIPE) | BIT(FAULT_OLD_DISK) |
                                 BIT(FAULT_CLOCK) | BIT(FAULT_LEAVE) | BIT(FAULT_STORM) |
                                 BIT(FAULT_STRAY),
                       .odds = 80,
                       .bad_net = true,
                       .bad_log = true,
                       .bad_reading = true},
};

/* When what goes wrong with a node is over; 0: nothing does. */
typedef struct {
    int64_t start_us, resume_us, uncut_us;
    int64_t unpeer_us[SHARED_NODES_MAX];
    store_t *image;    /* owned; may be NULL: an older state of its disk */
    int64_t halted_us; /* since when a replica of it is seen halted */
} trouble_t;

typedef struct {
    life_t life;
    course_t course;
    trouble_t troubles[SHARED_NODES_MAX];
    log_faults_t fair, rough; /* the log as it mostly is, and in a storm */
    int64_t storm_over_us;
} run_t;

static bool chosen(run_t *self, uint64_t odds)
{
    return dice_below(&self->life.dice, odds) == 0;
}

static int64_t some_time(run_t *self)
{
    /* Often short, at times long enough for everybody to lose patience. */
    int64_t most_us = chosen(self, 2) ? FAULT_MOST_US : FAULT_MOST_US / 10;
    return shared_now_us(self->life.world) + dice_span(&self->life.dice, FAULT_LEAST_US, most_us);
}

/* ---- faults ---- */

static void truncate_log(run_t *self)
{
    life_t *life = &self->life;
    log_shared_t *log = shared_log(life->world);
    bool confirmed = life->profile == PROFILE_CUT_CONFIRMED;
    uint16_t partitions = confirmed ? life->partitions : (uint16_t)(life->partitions + 1);
    uint16_t first = (uint16_t)dice_below(&life->dice, partitions);

    for (uint16_t i = 0; i < partitions; i++) {
        uint16_t p = (uint16_t)((first + i) % partitions);
        size_t count = log_shared_count(log, p), keep = log_shared_safe(log, p);
        if (life->profile == PROFILE_CUT_UNREAD && keep < log_shared_read(log, p))
            keep = log_shared_read(log, p);
        if (confirmed) {
            size_t back = 1 + dice_below(&life->dice, 6);
            if (life->cut.cut || count < back + 4)
                continue;
            keep = count - back;
            life->cut = (cut_t){.cut = true, .partition = p, .kept = keep, .tick = ++life->tick};
        }
        if (keep == count)
            continue;
        log_debug("the log of partition %u loses %zu of its %zu records at tick %llu", p,
                  count - keep, count, (unsigned long long)life->tick);
        log_shared_truncate(log, p, keep);
        life->report->faults++;
        return;
    }
}

/* Well formed and next in its log, but of a process that owns nothing, or of one that knows the time least. */
static void write_stray(run_t *self)
{
    life_t *life = &self->life;
    uint16_t p = (uint16_t)dice_below(&life->dice, (uint64_t)life->partitions + 1);
    record_header_t header = {.kind = RECORD_DECISIONS, .partition = p};
    uint8_t bytes[RECORD_HEADER_BYTES];
    uint64_t number = dice_roll(&life->dice);
    position_t position;

    if (!life_read_log(life, p, &position) || position.epoch == 0)
        return;
    header.history = position.history;
    header.epoch = position.epoch;
    header.incarnation = hash_bytes(&number, sizeof number);
    bool future = chosen(self, 2);
    if (future)
        header.incarnation = position.owner;
    header.seq = position.seq + 1;
    header.seen = position.seq;
    header.at_us = shared_now_us(life->world) + (future ? YEAR_US : 0);
    header.chain = position.chain;
    record_encode_header(&header, "", bytes);
    log_shared_intrude(shared_log(life->world), p, bytes, sizeof bytes);
}

static void set_clock(run_t *self, size_t number)
{
    static const int64_t jumps[] = {1500000, 20000000, 90000000, 3600000000, YEAR_US};
    life_t *life = &self->life;
    int64_t jump_us = jumps[dice_below(&life->dice, COUNT_OF(jumps))];

    node_set_wall(shared_node(life->world, number), shared_now_us(life->world),
                  chosen(self, 2) ? jump_us : -jump_us, dice_span(&life->dice, -300, 300));
    /* A process that runs does not follow a jump; one that starts does not know better. */
    if (chosen(self, 2)) {
        shared_kill(life->world, number);
        shared_start(life->world, number);
    }
}

static void kill_for_a_while(run_t *self, size_t number)
{
    shared_kill(self->life.world, number);
    self->troubles[number].resume_us = 0;
    if (self->troubles[number].start_us == 0)
        self->troubles[number].start_us = some_time(self);
}

static void cut_peers(run_t *self, size_t a)
{
    life_t *life = &self->life;
    size_t b = dice_below(&life->dice, shared_nodes(life->world));

    if (a == b)
        return;
    self->troubles[a].unpeer_us[b] = some_time(self);
    shared_net(life->world)->cut[a][b] = true;
    if (chosen(self, 2))
        return;
    self->troubles[b].unpeer_us[a] = some_time(self);
    shared_net(life->world)->cut[b][a] = true;
}

static void do_fault(run_t *self, fault_t fault)
{
    life_t *life = &self->life;
    size_t number = dice_below(&life->dice, shared_nodes(life->world));
    trouble_t *trouble = &self->troubles[number];

    life->report->faults++;
    switch (fault) {
    case FAULT_KILL: kill_for_a_while(self, number); break;
    case FAULT_PAUSE:
        shared_pause(life->world, number);
        trouble->resume_us = some_time(self);
        break;
    case FAULT_CUT_LOG:
        log_node_cut(shared_log(life->world), number, true);
        trouble->uncut_us = some_time(self);
        break;
    case FAULT_CUT_PEER: cut_peers(self, number); break;
    case FAULT_WIPE:
        kill_for_a_while(self, number);
        shared_wipe(life->world, number);
        break;
    case FAULT_OLD_DISK:
        if (trouble->image == NULL) {
            trouble->image = shared_image(life->world, number);
            break;
        }
        kill_for_a_while(self, number);
        shared_restore(life->world, number, &trouble->image);
        break;
    case FAULT_CLOCK: set_clock(self, number); break;
    case FAULT_LEAVE:
        shared_stop(life->world, number);
        trouble->start_us = some_time(self);
        break;
    case FAULT_STORM: self->storm_over_us = some_time(self); break;
    case FAULT_TRUNCATE:
        life->report->faults--;
        truncate_log(self);
        break;
    case FAULT_STRAY: write_stray(self); break;
    case FAULT__COUNT: break;
    }
}

static void maybe_fault(run_t *self)
{
    if (self->course.odds == 0 || !chosen(self, self->course.odds))
        return;
    fault_t fault;
    do
        fault = (fault_t)dice_below(&self->life.dice, FAULT__COUNT);
    while ((self->course.faults & BIT(fault)) == 0);
    do_fault(self, fault);
}

static bool over(int64_t *until_us, int64_t now_us)
{
    if (*until_us == 0 || *until_us > now_us)
        return false;
    *until_us = 0;
    return true;
}

/* What has lasted long enough ends. */
static void mend(run_t *self)
{
    life_t *life = &self->life;
    int64_t now_us = shared_now_us(life->world);

    for (size_t i = 0; i < shared_nodes(life->world); i++) {
        trouble_t *trouble = &self->troubles[i];
        if (trouble->start_us != 0 && trouble->start_us <= now_us &&
            !shared_node(life->world, i)->up) { /* one that leaves may take its time */
            trouble->start_us = 0;
            shared_start(life->world, i);
        }
        if (over(&trouble->resume_us, now_us))
            shared_resume(life->world, i);
        if (over(&trouble->uncut_us, now_us))
            log_node_cut(shared_log(life->world), i, false);
        for (size_t k = 0; k < shared_nodes(life->world); k++)
            if (over(&trouble->unpeer_us[k], now_us))
                shared_net(life->world)->cut[i][k] = false;
    }
    bool storm = self->storm_over_us > now_us;
    *log_shared_faults(shared_log(life->world)) = storm ? self->rough : self->fair;
}

/* A replica must halt only when the log was cut behind its back. */
static void watch_halts(run_t *self)
{
    life_t *life = &self->life;

    for (size_t i = 0; i < shared_nodes(life->world); i++) {
        bool halted = false;
        for (uint16_t p = 0; p <= life->partitions; p++) {
            if (shared_state(life->world, i, p) == REPLICA_CLOSED)
                continue;
            const char *why = replica_trouble(shared_node(life->world, i)->replicas[p]);
            halted = halted || shared_state(life->world, i, p) == REPLICA_HALTED;
            if (why != NULL && !life->halts_allowed)
                life_fail(life, "node %zu: %s", i, why);
        }
        if (!halted) {
            self->troubles[i].halted_us = 0;
        } else if (self->troubles[i].halted_us == 0) {
            self->troubles[i].halted_us = shared_now_us(life->world);
            life->report->halts++;
        }
    }
}

/* ---- the log and the network of this life ---- */

static void set_weather(run_t *self)
{
    life_t *life = &self->life;
    net_faults_t *net = &shared_net(life->world)->faults;
    log_faults_t fair = {.append_min_us = 200,
                         .append_max_us = dice_span(&life->dice, 500, 6000),
                         .report_max_us = dice_span(&life->dice, 100, 4000),
                         .read_max_us = dice_span(&life->dice, 100, 6000),
                         .slow_max_us = dice_span(&life->dice, 100000, 4000000)};

    *net = (net_faults_t){.delay_max_us = dice_span(&life->dice, 500, 8000),
                          .slow_max_us = dice_span(&life->dice, 10000, 1500000)};
    if (self->course.bad_net)
        *net = (net_faults_t){.delay_max_us = net->delay_max_us,
                              .slow_max_us = net->slow_max_us,
                              .slow_ppm = 30000,
                              .drop_ppm = 80000,
                              .double_ppm = 80000};
    if (self->course.bad_log) {
        fair.slow_ppm = 3000;
        fair.late_ppm = 3000;
        fair.lost_ppm = 1500;
        fair.doubt_ppm = 1500;
        fair.double_ppm = 8000;
        fair.gap_ppm = 20000;
        fair.torn_ppm = 1500;
        fair.spoilt_ppm = 800;
        fair.full_ppm = 800;
    }
    if (self->course.bad_reading) {
        fair.break_ppm = 8000;
        fair.gap_ppm = 20000;
    }
    self->fair = fair;
    self->rough = fair;
    self->rough.slow_ppm += 60000;
    self->rough.late_ppm += 120000;
    self->rough.lost_ppm += 15000;
    self->rough.doubt_ppm += 15000;
    self->rough.double_ppm += 60000;
    self->rough.overtake_ppm += 30000;
    self->rough.torn_ppm += 5000;
    self->rough.spoilt_ppm += 3000;
    self->rough.full_ppm += 5000;
}

static void set_fair_weather(run_t *self)
{
    self->fair = (log_faults_t){
        .append_min_us = 200, .append_max_us = 1500, .report_max_us = 800, .read_max_us = 1500};
    self->rough = self->fair;
    *log_shared_faults(shared_log(self->life.world)) = self->fair;
    shared_net(self->life.world)->faults = (net_faults_t){.delay_max_us = 1000};
}

/* ---- begin ---- */

static bool all_owned(const life_t *life)
{
    for (uint16_t p = 0; p <= life->partitions; p++) {
        size_t owner = shared_owner(life->world, p);
        if (owner == SIZE_MAX || shared_state(life->world, owner, p) != REPLICA_OWNER)
            return false;
    }
    return true;
}

static bool run_until_known(run_t *self, int64_t us)
{
    life_t *life = &self->life;
    int64_t until_us = shared_now_us(life->world) + us;

    while (!life_all_known(life) && !life->failed) {
        if (shared_now_us(life->world) >= until_us)
            return false;
        shared_run_for(life->world, STEP_US);
        life_ask_again(life);
        watch_halts(self);
    }
    return true;
}

static void begin(run_t *self)
{
    static const char program[] = "{\"name\":\"Program\",\"start_date\":\"2020-01-01T00:00:00Z\","
                                  "\"end_date\":\"2040-01-01T00:00:00Z\"}";
    life_t *life = &self->life;
    char tier[128];
    size_t nodes = shared_nodes(life->world);

    set_fair_weather(self);
    for (size_t i = 0; i < nodes; i++) {
        node_set_wall(shared_node(life->world, i), shared_now_us(life->world),
                      dice_span(&life->dice, -200000, 200000), dice_span(&life->dice, -100, 100));
        /* The first to come may know the time least, and claims before it can learn better. */
        if (life->profile == PROFILE_CLOCKS && i == 0 && chosen(self, 2))
            node_set_wall(shared_node(life->world, i), shared_now_us(life->world), YEAR_US, 0);
        shared_start(life->world, i);
    }
    for (int64_t us = 0; us < BEGIN_US && !all_owned(life); us += STEP_US)
        shared_run_for(life->world, STEP_US);
    if (!all_owned(life)) {
        life_fail(life, "a new cluster does not come to own all partitions");
        return;
    }
    life->program = life->tier = 1;
    (void)life_job(life, ask_define(RESOURCE_PROGRAM, 0, program), 0);
    if (!run_until_known(self, BEGIN_US))
        life_fail(life, "the first program is not defined");
    snprintf(tier, sizeof tier, "{\"program\":1,\"name\":\"Silver\",\"min_points\":100}");
    (void)life_job(life, ask_define(RESOURCE_TIER, 0, tier), 0);
    if (!run_until_known(self, BEGIN_US))
        life_fail(life, "the first tier is not defined");
    for (unsigned i = 0; i < 2 && !life->failed; i++)
        if (life->jobs[i].http != 201)
            life_fail(life, "a first definition was answered with %u", life->jobs[i].http);
    shared_run_for(life->world, 1000000);
    uint64_t members = 4 + dice_below(&life->dice, 7);
    for (uint64_t i = 0; i < members; i++)
        life_enrol(life);
    /* In some lives the first customers are enrolled while things go wrong already. */
    if (chosen(self, 4))
        shared_run_for(life->world, STEP_US);
    else if (!run_until_known(self, BEGIN_US))
        life_fail(life, "the first customers are not enrolled");
}

/* ---- work ---- */

static void work(run_t *self)
{
    life_t *life = &self->life;
    unsigned steps = 800 + (unsigned)dice_below(&life->dice, 1200);
    uint64_t pace = (uint64_t)life->wanted * 1000 / steps; /* commands in 1,000 steps */

    set_weather(self);
    for (unsigned step = 0; step < steps && !life->failed; step++) {
        maybe_fault(self);
        mend(self);
        uint64_t share = pace;
        /* Bursts and quiet. */
        if (step / 50 % 4 == 1)
            share = pace * 3;
        else if (step / 50 % 4 == 3)
            share = pace / 4;
        for (; share > 0; share = share > 1000 ? share - 1000 : 0)
            if (share >= 1000 || dice_below(&life->dice, 1000) < share)
                life_something(life);
        life_session(life, (unsigned)dice_below(&life->dice, life->member_count));
        life_ask_again(life);
        shared_run_for(life->world, STEP_US);
        watch_halts(self);
    }
}

/* ---- heal and rest ---- */

static void heal(run_t *self)
{
    life_t *life = &self->life;
    shared_world_t *world = life->world;

    set_fair_weather(self);
    self->storm_over_us = 0;
    life->healing = true;
    for (size_t i = 0; i < shared_nodes(world); i++) {
        node_t *node = shared_node(world, i);
        log_node_cut(shared_log(world), i, false);
        shared_resume(world, i);
        for (size_t k = 0; k < shared_nodes(world); k++)
            shared_net(world)->cut[i][k] = false;
        int64_t off_us = node->up ? node_wall_us(node) - shared_now_us(world) : 0;
        node_set_wall(node, shared_now_us(world), 0, 0);
        /* One that leaves is let go; one that started under a wrong clock keeps it until it starts again. */
        if (node->up && (node->leaving || off_us > CLOCK_BAD_US || off_us < -CLOCK_BAD_US))
            shared_kill(world, i);
        shared_start(world, i);
        self->troubles[i] = (trouble_t){.image = self->troubles[i].image};
    }
}

/* Who halted starts again; if that does not help, with an empty disk. */
static void rebuild_halted(run_t *self)
{
    shared_world_t *world = self->life.world;

    for (size_t i = 0; i < shared_nodes(world); i++) {
        int64_t since_us = self->troubles[i].halted_us;
        if (since_us == 0 || shared_now_us(world) - since_us < HALT_PATIENCE_US)
            continue;
        shared_kill(world, i);
        shared_wipe(world, i);
        shared_start(world, i);
        self->troubles[i].halted_us = 0;
    }
}

static bool same_place(const life_t *life, size_t node, size_t owner, uint16_t p)
{
    const position_t *mine = shared_position(life->world, node, p);
    const position_t *its = shared_position(life->world, owner, p);
    return mine->seq == its->seq && mine->epoch == its->epoch &&
           hash_equal(&mine->owner, &its->owner);
}

/* NULL: everything is at rest; else what is not. */
static const char *unrest(const life_t *life)
{
    static char text[96];

    if (!life_all_known(life))
        return "some commands never came to an answer";
    for (uint16_t p = 0; p <= life->partitions; p++) {
        size_t owner = shared_owner(life->world, p);
        if (life->broken[p])
            continue;
        snprintf(text, sizeof text, "partition %u has no owner", p);
        if (owner == SIZE_MAX || shared_state(life->world, owner, p) != REPLICA_OWNER)
            return text;
        snprintf(text, sizeof text, "partition %u does not come to rest at its owner", p);
        if (!replica_idle(shared_node(life->world, owner)->replicas[p]) && !life->cut.cut &&
            !life->any_broken)
            return text;
        for (size_t i = 0; i < shared_nodes(life->world); i++) {
            replica_state_t state = shared_state(life->world, i, p);
            snprintf(text, sizeof text,
                     "partition %u on node %zu, which is %s, does not come to rest", p, i,
                     replica_state_name(state));
            if (state == REPLICA_CLOSED)
                continue;
            if ((state != REPLICA_OWNER && state != REPLICA_STANDBY) ||
                !same_place(life, i, owner, p))
                return text;
        }
    }
    return NULL;
}

/* For people: what every node says of the cluster. */
static void print_status(const life_t *life)
{
    for (size_t i = 0; i < shared_nodes(life->world); i++) {
        buffer_t text;
        if (!shared_node(life->world, i)->up)
            continue;
        buffer_init(&text, 1024 * 1024);
        governor_status(shared_node(life->world, i)->governor, &text);
        fprintf(stderr, "node %zu: %.*s\n", i, (int)text.size, (const char *)text.bytes);
        buffer_free(&text);
    }
}

static void come_to_rest(run_t *self)
{
    life_t *life = &self->life;
    int64_t until_us = shared_now_us(life->world) + REST_US;
    const char *why;

    while ((why = unrest(life)) != NULL && !life->failed) {
        if (shared_now_us(life->world) >= until_us) {
            life_fail(life, "%s", why);
            if (log_enabled(LOG_DEBUG))
                print_status(life);
            return;
        }
        shared_run_for(life->world, STEP_US * 2);
        life_ask_again(life);
        watch_halts(self);
        rebuild_halted(self);
        if (life->halts_allowed && chosen(self, 20))
            life_find_broken(life);
    }
}

/* At the end every account is read once more. */
static void look_at_all(run_t *self)
{
    life_t *life = &self->life;

    for (unsigned i = 0; i < life->member_count && !life->failed; i++) {
        int64_t until_us = shared_now_us(life->world) + LOOK_US;
        bool known = life->broken[life->members[i].partition];
        while (!known && !life->failed) {
            size_t at = life->question_count;
            life_look(life, i);
            shared_run_for(life->world, STEP_US);
            known = life->question_count > at && life->questions[at].answered != 0;
            if (!known && shared_now_us(life->world) > until_us)
                life_fail(life, "nobody tells the balance of member %u", i);
        }
    }
}

/* ---- one life ---- */

static bool live(dice_t dice, shared_report_t *report, err_t *err)
{
    run_t *self = memory_zalloc(sizeof *self);
    life_t *life = &self->life;

    life->dice = dice;
    life->profile = report->profile;
    life->partitions = (uint16_t)(3 + dice_below(&life->dice, 4));
    life->wanted = 200 + (unsigned)dice_below(&life->dice, 450);
    if (chosen(self, 40))
        life->wanted = 2000;
    life->refusals = life->profile == PROFILE_REFUSALS;
    life->transfers = life->profile != PROFILE_CUT_CONFIRMED && !life->refusals;
    life->halts_allowed =
        life->profile == PROFILE_CUT_READ || life->profile == PROFILE_CUT_CONFIRMED;
    life->report = report;
    life->err = err;
    life->jobs = memory_zalloc(LIFE_JOBS_MAX * sizeof *life->jobs);
    self->course = courses[life->profile];
    shared_config_t config = {
        .seed = dice_roll(&life->dice),
        .nodes = (uint16_t)(2 + dice_below(&life->dice, 3)),
        .partitions = life->partitions,
        .followers = (uint8_t)(1 + dice_below(&life->dice, 2)),
        .pair_max = life->profile == PROFILE_FULL ? 1 + (uint32_t)dice_below(&life->dice, 3) : 0,
        .answered = life_answered,
        .state = life};
    life->world = shared_world_new(&config);
    begin(self);
    if (!life->failed)
        work(self);
    if (!life->failed)
        heal(self);
    come_to_rest(self);
    if (!life->failed)
        look_at_all(self);
    come_to_rest(self);
    if (!life->failed)
        life_judge(life);
    report->virtual_us = shared_now_us(life->world) - SHARED_START_US;
    bool good = !life->failed;
    for (size_t i = 0; i < COUNT_OF(self->troubles); i++)
        store_destroy(&self->troubles[i].image);
    life->over = true;
    shared_world_destroy(&life->world);
    for (unsigned i = 0; i < life->job_count; i++)
        buffer_free(&life->jobs[i].answer);
    free(life->jobs);
    free(life->questions);
    free(life->calls);
    free(self);
    return good;
}

static dice_t dice_of(uint64_t seed, profile_t *profile)
{
    dice_t dice = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1};

    *profile = (profile_t)dice_below(&dice, PROFILE__COUNT);
    return dice;
}

profile_t shared_profile(uint64_t seed)
{
    profile_t profile;

    (void)dice_of(seed, &profile);
    return profile;
}

bool shared_run(uint64_t seed, shared_report_t *report, err_t *err)
{
    memset(report, 0, sizeof *report);
    memset(err, 0, sizeof *err);
    dice_t dice = dice_of(seed, &report->profile);
    return report->profile == PROFILE_RESTORED ? restored_run(seed, report, err)
                                               : live(dice, report, err);
}
