/* fills.c - which copies are filled from a peer, which from the log */
#include "cluster/fills.h"

#include "cluster/membership.h"
#include "protocol/log.h"

#include <stdlib.h>

#define ATTEMPTS_MAX 3
#define LOOK_US      INT64_C(100000)
#define WATCH_US \
    INT64_C(20000) /* what is read until it is known to be too far is read for nothing */
#define LISTEN_US INT64_C(2500000) /* two heartbeats of everybody */
#define BLINK_US \
    INT64_C(2000000) /* a source may be away for a moment before the log is read instead */

typedef enum {
    STAGE_NONE,
    STAGE_WATCHED,   /* open, and not known yet how far behind */
    STAGE_LISTENING, /* closed and empty, not known yet who has it; from here on closed */
    STAGE_WAITING,   /* to be filled */
    STAGE_FILLING,
    STAGE_EMPTYING
} stage_t;

typedef struct {
    uint8_t stage; /* stage_t */
    bool wanted;   /* to be open */
    bool blank;    /* had nothing when it was opened */
    unsigned attempts;
    int64_t until_us; /* watched: how long; waiting: for a source */
} copy_t;

struct fills {
    fills_config_t config;
    copy_t *copies; /* owned; by partition, the catalogue's last */
    int64_t look_us;
    bool stopping;
};

static const char *const stage_names[] = {[STAGE_LISTENING] = "waiting_to_be_filled",
                                          [STAGE_WAITING] = "waiting_to_be_filled",
                                          [STAGE_FILLING] = "being_filled",
                                          [STAGE_EMPTYING] = "being_emptied"};

static bool has_filler(const fills_t *self)
{
    return self->config.filler.start != NULL;
}

static replica_t *replica_of(const fills_t *self, size_t partition)
{
    return self->config.replica(self->config.state, (uint16_t)partition);
}

static bool any_in(const fills_t *self, stage_t stage)
{
    for (size_t p = 0; p <= self->config.partitions; p++) {
        if (self->copies[p].stage == stage)
            return true;
    }
    return false;
}

fills_t *fills_new(const fills_config_t *config)
{
    fills_t *self = memory_zalloc(sizeof *self);

    self->config = *config;
    if (self->config.behind == 0)
        self->config.behind = FILLS_BEHIND;
    self->copies = memory_zalloc(((size_t)config->partitions + 1) * sizeof *self->copies);
    return self;
}

void fills_destroy(fills_t **self_p)
{
    fills_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    free(self->copies);
    free(self);
}

static void wait_for_source(fills_t *self, size_t partition, int64_t until_us)
{
    self->copies[partition].stage = STAGE_WAITING;
    self->copies[partition].until_us = until_us;
    self->look_us = 0;
}

/* *incomplete: it was left half filled. */
static bool open_whole(fills_t *self, size_t partition, bool *incomplete)
{
    replica_t *replica = replica_of(self, partition);
    err_t err = {0};

    *incomplete = false;
    if (replica == NULL)
        return false;
    if (replica_open(replica, &err) == ERR_NONE)
        return true;
    *incomplete = err.code == ERR_STATE;
    if (!*incomplete)
        log_error("partition %zu cannot be followed: %s", partition, err.text);
    return false;
}

/* Opens it, or has it filled. */
static bool open_or_wait(fills_t *self, size_t partition, int64_t until_us)
{
    bool incomplete;

    if (open_whole(self, partition, &incomplete))
        return true;
    if (incomplete)
        wait_for_source(self, partition, until_us);
    return false;
}

static void watch(fills_t *self, copy_t *copy, int64_t boot_us)
{
    copy->stage = has_filler(self) ? STAGE_WATCHED : STAGE_NONE;
    copy->until_us = boot_us + FILLS_SOURCE_WAIT_US;
    self->look_us = 0;
}

bool fills_open(fills_t *self, uint16_t partition, int64_t boot_us)
{
    copy_t *copy = &self->copies[partition];
    replica_t *replica = replica_of(self, partition);

    copy->wanted = true;
    if (replica == NULL || copy->stage >= STAGE_LISTENING)
        return false;
    if (replica_state(replica) != REPLICA_CLOSED)
        return true;
    copy->attempts = 0;
    if (!open_or_wait(self, partition, boot_us + (has_filler(self) ? FILLS_SOURCE_WAIT_US : 0)))
        return false;
    copy->blank = replica_position(replica)->epoch == 0;
    watch(self, copy, boot_us);
    if (!copy->blank || !has_filler(self) || !self->config.accompanied(self->config.state))
        return true;
    replica_close(replica, boot_us);
    copy->stage = STAGE_LISTENING;
    copy->until_us = boot_us + LISTEN_US;
    return false;
}

bool fills_open_to_claim(fills_t *self, uint16_t partition, int64_t boot_us)
{
    copy_t *copy = &self->copies[partition];
    bool incomplete;

    if (fills_open(self, partition, boot_us))
        return true;
    if (copy->stage != STAGE_LISTENING && copy->stage != STAGE_WAITING)
        return false;
    if (!open_whole(self, partition, &incomplete))
        return false;
    copy->stage = STAGE_NONE;
    return true;
}

void fills_close(fills_t *self, uint16_t partition, int64_t boot_us)
{
    copy_t *copy = &self->copies[partition];
    replica_t *replica = replica_of(self, partition);

    copy->wanted = false;
    if (copy->stage == STAGE_FILLING)
        self->config.filler.cancel(self->config.filler.state);
    else if (copy->stage != STAGE_EMPTYING)
        copy->stage = STAGE_NONE;
    if (replica != NULL)
        replica_close(replica, boot_us);
}

void fills_rebuild(fills_t *self, uint16_t partition, int64_t boot_us, err_t *err)
{
    copy_t *copy = &self->copies[partition];
    replica_t *replica = replica_of(self, partition);

    if (copy->stage >= STAGE_LISTENING) {
        err_set(err, ERR_IN_PROGRESS, "partition %u is %s here already", partition,
                stage_names[copy->stage]);
        return;
    }
    replica_close(replica, boot_us);
    copy->attempts = 0;
    copy->wanted = true;
    copy->stage = STAGE_NONE;
    err_t failed = {0};
    if (replica_wipe(replica, true, &failed)) {
        (void)fills_open(self, partition, boot_us);
    } else {
        wait_for_source(self, partition, boot_us + (has_filler(self) ? BLINK_US : 0));
        if (failed.code != ERR_NONE && err != NULL)
            *err = failed;
    }
}

static size_t sources_of(const fills_t *self, size_t partition, const char *out[FILLS_SOURCES_MAX])
{
    if (!has_filler(self) || self->copies[partition].attempts >= ATTEMPTS_MAX)
        return 0;
    return self->config.sources(self->config.state, (uint16_t)partition, out);
}

/* ---- in each pass ---- */

static void empty_on(fills_t *self, int64_t boot_us)
{
    for (size_t p = 0; p <= self->config.partitions; p++) {
        copy_t *copy = &self->copies[p];
        err_t err = {0};

        if (copy->stage != STAGE_EMPTYING)
            continue;
        if (!replica_wipe(replica_of(self, p), false, &err)) {
            if (err.code != ERR_NONE)
                log_error("partition %zu cannot be emptied: %s", p, err.text);
        } else {
            log_info("partition %zu is empty here and fills itself from the log", p);
            copy->stage = STAGE_NONE;
            if (copy->wanted)
                (void)open_or_wait(self, p, boot_us);
        }
        return; /* one step of one copy */
    }
}

static void look_at_filler(fills_t *self, int64_t boot_us)
{
    fill_state_t state =
        has_filler(self) ? self->config.filler.poll(self->config.filler.state) : FILL_IDLE;

    for (size_t p = 0; p <= self->config.partitions; p++) {
        copy_t *copy = &self->copies[p];

        if (copy->stage != STAGE_FILLING || state == FILL_RUNNING)
            continue;
        copy->stage = STAGE_NONE;
        self->look_us = 0;
        if (!copy->wanted)
            continue;
        if (state == FILL_DONE) {
            copy->attempts = 0;
            (void)open_or_wait(self, p, boot_us + BLINK_US);
        } else {
            copy->attempts++;
            wait_for_source(self, p, boot_us + BLINK_US);
        }
    }
}

/* How far behind is an open copy? */
static void look_at_watched(fills_t *self, size_t partition, int64_t boot_us)
{
    copy_t *copy = &self->copies[partition];
    replica_t *replica = replica_of(self, partition);
    replica_state_t state = replica_state(replica);
    uint64_t behind = journal_behind(self->config.journal, (uint16_t)partition);
    uint64_t limit = self->config.behind;
    const char *sources[FILLS_SOURCES_MAX];

    /* Nothing to lose: then a whole copy is worth it sooner. */
    if (copy->blank && limit > MEMBERSHIP_CLOSE)
        limit = MEMBERSHIP_CLOSE;
    if (state != REPLICA_CHECKING && state != REPLICA_STANDBY) {
        copy->stage = STAGE_NONE;
    } else if (behind != UINT64_MAX && behind <= limit) {
        copy->stage = STAGE_NONE;
    } else if (behind != UINT64_MAX && sources_of(self, partition, sources) > 0) {
        log_info("partition %zu is %llu records behind here: it is to be filled from another node",
                 partition, (unsigned long long)behind);
        replica_close(replica, boot_us);
        wait_for_source(self, partition, boot_us + BLINK_US);
    } else if (boot_us > copy->until_us) {
        copy->stage = STAGE_NONE;
    }
}

/* Who has it? */
static void look_at_listening(fills_t *self, size_t partition, int64_t boot_us)
{
    copy_t *copy = &self->copies[partition];
    const char *sources[FILLS_SOURCES_MAX];

    if (boot_us < copy->until_us && sources_of(self, partition, sources) == 0)
        return;
    copy->stage = STAGE_NONE;
    if (open_or_wait(self, partition, boot_us + BLINK_US))
        watch(self, copy, boot_us);
}

static void look_at_waiting(fills_t *self, size_t partition, int64_t boot_us)
{
    copy_t *copy = &self->copies[partition];
    const char *sources[FILLS_SOURCES_MAX];
    size_t count = sources_of(self, partition, sources);
    bool incomplete;

    if (!copy->wanted) {
        copy->stage = STAGE_NONE;
        return;
    }
    if (count > 0 && any_in(self, STAGE_FILLING)) {
        if (copy->until_us < boot_us + BLINK_US)
            copy->until_us = boot_us + BLINK_US;
        return;
    }
    /* false: it knows no way to any of them, maybe not yet. */
    if (count > 0 &&
        self->config.filler.start(self->config.filler.state, (uint16_t)partition, sources, count,
                                  replica_wants_history(replica_of(self, partition)))) {
        copy->stage = STAGE_FILLING;
        return;
    }
    if (boot_us < copy->until_us && copy->attempts < ATTEMPTS_MAX)
        return;
    copy->stage = STAGE_NONE;
    if (open_whole(self, partition, &incomplete) || !incomplete)
        return;
    if (replica_wants_history(replica_of(self, partition)) != NULL) {
        copy->attempts = 0; /* the log does not hold it: somebody will come who has it */
        wait_for_source(self, partition, boot_us + BLINK_US);
    } else {
        copy->stage = STAGE_EMPTYING;
    }
}

void fills_on_pass(fills_t *self, int64_t boot_us)
{
    empty_on(self, boot_us);
    if (self->stopping || boot_us < self->look_us)
        return;
    self->look_us = boot_us + (any_in(self, STAGE_WATCHED) ? WATCH_US : LOOK_US);
    look_at_filler(self, boot_us);
    for (size_t p = 0; p <= self->config.partitions; p++) {
        if (self->copies[p].stage == STAGE_LISTENING)
            look_at_listening(self, p, boot_us);
        else if (self->copies[p].stage == STAGE_WATCHED)
            look_at_watched(self, p, boot_us);
        else if (self->copies[p].stage == STAGE_WAITING)
            look_at_waiting(self, p, boot_us);
    }
}

void fills_stop(fills_t *self)
{
    if (!self->stopping && has_filler(self))
        self->config.filler.cancel(self->config.filler.state);
    self->stopping = true;
}

const char *fills_stage(const fills_t *self, uint16_t partition)
{
    return stage_names[self->copies[partition].stage];
}
