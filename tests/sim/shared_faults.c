/* shared_faults.c - what goes wrong in a life on a shared log, by its profile */
#include "tests/sim/shared_course.h"

#include "protocol/log.h"

#include <stdio.h>

#define FAULT_MOST_US  INT64_C(9000000)
#define FAULT_LEAST_US INT64_C(50000)

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
    [PROFILE_SKIPS] = {.faults = BIT(FAULT_KILL) | BIT(FAULT_PAUSE) | BIT(FAULT_CUT_LOG) |
                                 BIT(FAULT_WIPE),
                       .odds = 140},
    [PROFILE_ADOPTIONS] = {.faults = BIT(FAULT_KILL) | BIT(FAULT_PAUSE) | BIT(FAULT_CUT_PEER),
                           .odds = 140,
                           .bad_net = true},
    [PROFILE_MIXED] = {.faults = BIT(FAULT_KILL) | BIT(FAULT_PAUSE) | BIT(FAULT_CUT_LOG) |
                                 BIT(FAULT_CUT_PEER) | BIT(FAULT_WIPE) | BIT(FAULT_OLD_DISK) |
                                 BIT(FAULT_CLOCK) | BIT(FAULT_LEAVE) | BIT(FAULT_STORM) |
                                 BIT(FAULT_STRAY),
                       .odds = 80,
                       .bad_net = true,
                       .bad_log = true,
                       .bad_reading = true},
};

void run_choose_course(run_t *self)
{
    self->course = courses[self->life.profile];
}

static int64_t some_time(run_t *self)
{
    /* Often short, at times long enough for everybody to lose patience. */
    int64_t most_us = run_chosen(self, 2) ? FAULT_MOST_US : FAULT_MOST_US / 10;
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
    bool future = run_chosen(self, 2);
    if (future)
        header.incarnation = position.owner;
    header.seq = position.seq + 1;
    header.seen = position.seq;
    header.at_us = shared_now_us(life->world) + (future ? COURSE_YEAR_US : 0);
    header.chain = position.chain;
    record_encode_header(&header, "", bytes);
    log_shared_intrude(shared_log(life->world), p, bytes, sizeof bytes);
}

/* A claim of this history over an epoch that never was. */
void run_maybe_foreign(run_t *self)
{
    life_t *life = &self->life;
    log_shared_t *log = shared_log(life->world);
    record_header_t header = {.kind = RECORD_CLAIM, .body_bytes = 8};
    uint8_t previous[8] = {0}, bytes[RECORD_HEADER_BYTES + 8];
    position_t position;

    if (life->profile != PROFILE_SKIPS || !run_chosen(self, 250) || skips_count(life->skips) >= 12)
        return;
    header.partition = (uint16_t)dice_below(&life->dice, (uint64_t)life->partitions + 1);
    if (!life_read_log(life, header.partition, &position) || position.epoch == 0)
        return;
    previous[2] = 1; /* 65536 */
    header.history = position.history;
    header.epoch = 65537;
    header.incarnation = hash_bytes("foreign", 7);
    header.at_us = shared_now_us(life->world);
    record_encode_header(&header, previous, bytes);
    memcpy(bytes + RECORD_HEADER_BYTES, previous, sizeof previous);
    log_shared_intrude(log, header.partition, bytes, sizeof bytes);
    const log_entry_t *last =
        log_shared_entry(log, header.partition, log_shared_count(log, header.partition) - 1);
    const skip_t skip = {.partition = header.partition,
                         .offset = last->offset,
                         .crc = header.crc,
                         .reason = "a test"};
    INVARIANT(skips_add(life->skips, &skip));
    life->report->faults++;
}

void run_say_skips(run_t *self)
{
    life_t *life = &self->life;

    if (life->profile != PROFILE_SKIPS)
        return;
    for (size_t i = 0; i < shared_nodes(life->world); i++) {
        node_t *node = shared_node(life->world, i);

        for (uint16_t p = 0; p <= life->partitions && node->up && !node->paused; p++) {
            char words[96];
            uint64_t offset;
            uint32_t crc;

            if (!replica_halted_at(node->replicas[p], &offset, &crc) || !run_chosen(self, 8))
                continue;
            (void)snprintf(words, sizeof words, "%u %llu %08x a test", p,
                           (unsigned long long)offset, crc);
            (void)governor_obey(node->governor, GOVERNOR_SKIP, words, NULL, NULL);
        }
    }
}

static void set_clock(run_t *self, size_t number)
{
    static const int64_t jumps[] = {1500000, 20000000, 90000000, 3600000000, COURSE_YEAR_US};
    life_t *life = &self->life;
    int64_t jump_us = jumps[dice_below(&life->dice, COUNT_OF(jumps))];

    node_set_wall(shared_node(life->world, number), shared_now_us(life->world),
                  run_chosen(self, 2) ? jump_us : -jump_us, dice_span(&life->dice, -300, 300));
    /* A process that runs does not follow a jump; one that starts does not know better. */
    if (run_chosen(self, 2)) {
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
    if (run_chosen(self, 2))
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

void run_maybe_fault(run_t *self)
{
    if (self->course.odds == 0 || !run_chosen(self, self->course.odds) || run_has_lost(self))
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
void run_mend(run_t *self)
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

/* ---- the log and the network of this life ---- */

void run_set_weather(run_t *self)
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
        fair.blink_ppm = 1000;
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

void run_set_fair_weather(run_t *self)
{
    self->fair = (log_faults_t){
        .append_min_us = 200, .append_max_us = 1500, .report_max_us = 800, .read_max_us = 1500};
    self->rough = self->fair;
    *log_shared_faults(shared_log(self->life.world)) = self->fair;
    shared_net(self->life.world)->faults = (net_faults_t){.delay_max_us = 1000};
}
