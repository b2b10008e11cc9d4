/* shared_losses.c - profile adoptions: a partition's log loses what everybody had read, and what an operator does then */
#include "tests/sim/shared_course.h"

#include "cluster/channel_records.h"
#include "protocol/log.h"
#include "tests/sim/simulation.h"

#include <stdio.h>
#include <stdlib.h>

#define LOSS_ODDS  120
#define LOSSES_MAX 6
#define LOOK_US    INT64_C(15000000)
#define BACK_MAX   6 /* records that are lost at once */
#define LEFT_LEAST 4

bool run_has_lost(const run_t *self)
{
    for (uint16_t p = 0; p <= self->life.partitions; p++)
        if (self->life.lost[p])
            return true;
    return false;
}

static size_t node_of(const life_t *life, const hash_t *id)
{
    size_t i = 0;

    while (i < shared_nodes(life->world) && !hash_equal(&shared_node(life->world, i)->id, id))
        i++;
    return i;
}

/* Everybody is there and well, and knows it: who comes later may read what is left of a log as if nothing were lost. */
static bool all_is_well(const run_t *self)
{
    const life_t *life = &self->life;

    if (life->view->member_count != shared_nodes(life->world) || run_has_lost(self))
        return false;
    for (size_t i = 0; i < life->view->member_count; i++) {
        const node_t *node = shared_node(life->world, node_of(life, &life->view->members[i].node));

        if (!node->up || node->paused || node->leaving ||
            !hash_equal(&node->incarnation, &life->view->members[i].incarnation))
            return false;
    }
    return true;
}

/* The copies are where the view has them, and all of them have applied the record at this offset. What is on its way
 * could land where the lost ones lay, and nobody would miss them. */
static bool all_have_read(const life_t *life, uint16_t p, uint64_t offset)
{
    const view_t *view = life->view;

    for (size_t i = 0; i < view->member_count; i++) {
        size_t number = node_of(life, &view->members[i].node), rank = view_rank(view, p, i);
        replica_state_t state = shared_state(life->world, number, p);

        if (rank == SIZE_MAX && state == REPLICA_CLOSED)
            continue;
        if (rank == SIZE_MAX || state != (rank == 0 ? REPLICA_OWNER : REPLICA_STANDBY) ||
            shared_position(life->world, number, p)->offset < offset ||
            replica_flies(shared_node(life->world, number)->replicas[p], 0))
            return false;
    }
    return true;
}

void run_maybe_lose(run_t *self)
{
    life_t *life = &self->life;
    log_shared_t *log = shared_log(life->world);

    if (life->profile != PROFILE_ADOPTIONS || life->report->losses >= LOSSES_MAX ||
        !run_chosen(self, LOSS_ODDS) || !all_is_well(self))
        return;
    uint16_t p = (uint16_t)dice_below(&life->dice, (uint64_t)life->partitions + 1);
    size_t count = log_shared_count(log, p), back = 1 + dice_below(&life->dice, BACK_MAX);
    if (count < back + LEFT_LEAST)
        return;
    const log_entry_t *first = log_shared_entry(log, p, count - back);
    if (!all_have_read(life, p, first->offset))
        return;
    log_debug("the log of partition %u loses %zu of its %zu records, which all had read", p, back,
              count);
    log_shared_truncate(log, p, count - back);
    life->lost[p] = true;
    life->look_us[p] = shared_now_us(life->world) + LOOK_US;
    life->before[p] = adoptions_latest(life->adoptions, p);
    life->report->losses++;
    life->report->faults++;
}

/* ---- the operator ---- */

static void take_adoption(life_t *life, const adoption_t *adoption)
{
    size_t node = node_of(life, &adoption->node);
    uint16_t p = adoption->partition;

    if (!adoptions_add(life->adoptions, adoption))
        return;
    INVARIANT(node < shared_nodes(life->world));
    INVARIANT(life->said[node][p] != NULL);
    store_destroy(&life->bases[p]);
    life->bases[p] = life->said[node][p];
    life->said[node][p] = NULL;
    life->report->adoptions++;
    if (!life->lost[p])
        life_fail(life, "partition %u was adopted though it had lost nothing", p);
}

/* Which views and adoptions count is what the control channel says, as for any node. */
static void read_control(life_t *life)
{
    log_shared_t *log = shared_log(life->world);
    view_t *view = memory_alloc(sizeof *view);

    for (; life->control_read < log_shared_count(log, JOURNAL_CONTROL); life->control_read++) {
        const log_entry_t *entry = log_shared_entry(log, JOURNAL_CONTROL, life->control_read);
        adoption_t adoption;
        hash_t cluster;

        if (view_decode(view, entry->bytes, entry->n, NULL) == ERR_NONE &&
            view->number == life->view->number + 1)
            *life->view = *view;
        else if (adoption_decode(&adoption, &cluster, entry->bytes, entry->n, NULL) == ERR_NONE)
            take_adoption(life, &adoption);
    }
    free(view);
}

/* All copies are of the newest history, and one of them owns it. */
static bool goes_on(const life_t *life, uint16_t p)
{
    const adoption_t *latest = adoptions_latest(life->adoptions, p);
    size_t owner = shared_owner(life->world, p);

    if (latest == life->before[p] || owner == SIZE_MAX ||
        shared_state(life->world, owner, p) != REPLICA_OWNER ||
        !hash_equal(&shared_position(life->world, owner, p)->history, &latest->fresh))
        return false;
    for (size_t i = 0; i < shared_nodes(life->world); i++) {
        replica_state_t state = shared_state(life->world, i, p);

        if (state != REPLICA_CLOSED &&
            (state == REPLICA_HALTED ||
             !hash_equal(&shared_position(life->world, i, p)->history, &latest->fresh)))
            return false;
    }
    return true;
}

static void say(life_t *life, size_t number, uint16_t p)
{
    node_t *node = shared_node(life->world, number);
    store_t *image = store_memory_copy(node->store);
    uint64_t high = dice_roll(&life->dice), low = dice_roll(&life->dice);
    char words[96];
    buffer_t out;
    err_t err = {0};

    buffer_init(&out, 4096);
    (void)snprintf(words, sizeof words, "%u %llu %016llx%016llx a test", p,
                   (unsigned long long)log_shared_end(shared_log(life->world), p),
                   (unsigned long long)high, (unsigned long long)low);
    if (governor_obey(node->governor, GOVERNOR_ADOPT, words, &out, &err) == ERR_NONE &&
        out.size == 5 && memcmp(out.bytes, "said\n", 5) == 0) {
        store_destroy(&life->said[number][p]);
        life->said[number][p] = image;
        image = NULL;
    }
    if (err.code != ERR_NONE)
        log_debug("partition %u is not adopted: %s", p, err.text);
    store_destroy(&image);
    buffer_free(&out);
}

/* Nobody wrote, so nobody has missed anything yet: who starts looks at the record that he applied last. Who reads on
 * without having a place in the view, from an older copy, is stopped meanwhile: he will never own it. */
static void look_again(life_t *life, uint16_t p)
{
    for (size_t i = 0; i < shared_nodes(life->world); i++) {
        replica_state_t state = shared_state(life->world, i, p);

        if (state != REPLICA_OWNER && state != REPLICA_STANDBY)
            continue;
        size_t member = view_member(life->view, &shared_node(life->world, i)->id);
        node_sync(shared_node(life->world, i));
        shared_kill(life->world, i);
        if (member != SIZE_MAX && view_rank(life->view, p, member) == SIZE_MAX)
            life->stopped[i] = true;
        else
            shared_start(life->world, i);
    }
    life->look_us[p] = shared_now_us(life->world) + LOOK_US;
}

void run_say_adoptions(run_t *self)
{
    life_t *life = &self->life;

    if (life->profile != PROFILE_ADOPTIONS)
        return;
    read_control(life);
    for (size_t i = 0; i < shared_nodes(life->world) && !run_has_lost(self); i++) {
        if (life->stopped[i])
            shared_start(life->world, i);
        life->stopped[i] = false;
    }
    for (uint16_t p = 0; p <= life->partitions; p++) {
        if (!life->lost[p])
            continue;
        if (goes_on(life, p)) {
            life->lost[p] = false;
            continue;
        }
        if (shared_now_us(life->world) > life->look_us[p])
            look_again(life, p);
        for (size_t i = 0; i < shared_nodes(life->world); i++)
            if (shared_state(life->world, i, p) == REPLICA_HALTED && run_chosen(self, 8))
                say(life, i, p);
    }
}
