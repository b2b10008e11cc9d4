/* shared_run.c - the course of one life: begin, work under faults, heal, rest, be judged */
#include "tests/sim/shared_course.h"

#include "protocol/log.h"
#include "tests/sim/ask.h"
#include "tests/sim/restored.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_US      INT64_C(20000)
#define BEGIN_US     INT64_C(60000000)
#define REST_US      INT64_C(180000000)
#define LOOK_US      INT64_C(20000000)
#define CLOCK_BAD_US INT64_C(5000000)
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

/* It met one of the records that halt everybody. */
static bool halted_by_foreign(const life_t *life, size_t node, uint16_t partition)
{
    uint64_t offset;
    uint32_t crc;

    return replica_halted_at(shared_node(life->world, node)->replicas[partition], &offset, &crc) &&
           skips_have(life->skips, partition, offset, crc);
}

/* A replica must halt only when the log was cut behind its back, or by what must halt it. */
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
            if (life->profile == PROFILE_ADOPTIONS &&
                shared_state(life->world, i, p) == REPLICA_HALTED && life->lost[p])
                continue; /* an operator sees to it */
            if (why != NULL && !life->halts_allowed && !halted_by_foreign(life, i, p))
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
        run_say_skips(self);
        run_say_adoptions(self);
    }
    return true;
}

static void begin(run_t *self)
{
    static const char program[] = "{\"name\":\"Program\",\"start_date\":\"2020-01-01T00:00:00Z\","
                                  "\"end_date\":\"2040-01-01T00:00:00Z\"}";
    static const char tier[] = "{\"program\":1,\"name\":\"Silver\",\"min_points\":100}";
    life_t *life = &self->life;
    size_t nodes = shared_nodes(life->world);

    run_set_fair_weather(self);
    for (size_t i = 0; i < nodes; i++) {
        node_set_wall(shared_node(life->world, i), shared_now_us(life->world),
                      dice_span(&life->dice, -200000, 200000), dice_span(&life->dice, -100, 100));
        /* The first to come may know the time least, and claims before it can learn better. */
        if (life->profile == PROFILE_CLOCKS && i == 0 && run_chosen(self, 2))
            node_set_wall(shared_node(life->world, i), shared_now_us(life->world), COURSE_YEAR_US,
                          0);
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
    if (run_chosen(self, 4))
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

    run_set_weather(self);
    for (unsigned step = 0; step < steps && !life->failed; step++) {
        run_maybe_fault(self);
        run_maybe_foreign(self);
        run_maybe_lose(self);
        run_mend(self);
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
        run_say_skips(self);
        run_say_adoptions(self);
    }
}

/* ---- heal and rest ---- */

static void heal(run_t *self)
{
    life_t *life = &self->life;
    shared_world_t *world = life->world;

    run_set_fair_weather(self);
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
        if (since_us == 0 || shared_now_us(world) - since_us < HALT_PATIENCE_US ||
            self->life.profile == PROFILE_ADOPTIONS) /* there the copies are all that is left */
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

    for (uint16_t p = 0; p <= life->partitions; p++) {
        if (life->lost[p])
            return "a partition whose log was lost does not go on";
    }
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
            /* Of a log that was cut a reader learns with its next record, which need not come. */
            if ((state != REPLICA_OWNER && state != REPLICA_STANDBY) ||
                (!life->cut.cut && !same_place(life, i, owner, p)))
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
        run_say_skips(self);
        run_say_adoptions(self);
        rebuild_halted(self);
        if (life->halts_allowed && run_chosen(self, 20))
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
            run_say_adoptions(self);
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
    if (run_chosen(self, 40))
        life->wanted = 2000;
    life->refusals = life->profile == PROFILE_REFUSALS;
    life->transfers = life->profile != PROFILE_CUT_CONFIRMED && !life->refusals;
    life->halts_allowed =
        life->profile == PROFILE_CUT_READ || life->profile == PROFILE_CUT_CONFIRMED;
    life->report = report;
    life->err = err;
    life->skips = skips_new();
    life->adoptions = adoptions_new();
    life->view = memory_zalloc(sizeof *life->view);
    life->jobs = memory_zalloc(LIFE_JOBS_MAX * sizeof *life->jobs);
    run_choose_course(self);
    shared_config_t config = {
        .seed = dice_roll(&life->dice),
        .nodes = (uint16_t)(2 + dice_below(&life->dice, 3)),
        .partitions = life->partitions,
        .followers = (uint8_t)(1 + dice_below(&life->dice, 2)),
        .pair_max = life->profile == PROFILE_FULL ? 1 + (uint32_t)dice_below(&life->dice, 3) : 0,
        /* Such a log shows what it may still lose, as brokers before Kafka 3.7 do: what a query sees a moment later may
         * be gone again. */
        .prompt = life->profile == PROFILE_CUT_READ,
        .answered = life_answered,
        .state = life};
    config.fills = life->profile == PROFILE_ADOPTIONS;
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
    skips_destroy(&life->skips);
    adoptions_destroy(&life->adoptions);
    free(life->view);
    for (size_t p = 0; p <= NODE_PARTITIONS_MAX; p++) {
        store_destroy(&life->bases[p]);
        for (size_t i = 0; i < SHARED_NODES_MAX; i++)
            store_destroy(&life->said[i][p]);
    }
    free(life->questions);
    free(life->calls);
    free(self);
    return good;
}

static dice_t dice_of(uint64_t seed, profile_t *profile)
{
    dice_t dice = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1};

    /* The last ones came later: they have seeds of their own, so that the others' lives stay what they were. */
    *profile = (profile_t)dice_below(&dice, PROFILE_SKIPS);
    if (seed % 16 == 15)
        *profile = PROFILE_SKIPS;
    if (seed % 16 == 7)
        *profile = PROFILE_ADOPTIONS;
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
