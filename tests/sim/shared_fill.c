/* shared_fill.c - a snapshot goes from one store into another */
#include "tests/sim/shared_fill.h"

#include "cluster/snapshot.h"

#include <stdio.h>

#define FILL_LEAST_US INT64_C(5000)
#define FILL_MOST_US  INT64_C(400000)

static bool start(void *state, uint16_t partition, const char *const *sources, size_t count,
                  const hash_t *history)
{
    node_t *self = state;

    if (self->fill.running || count == 0)
        return false;
    self->fill = (node_fill_t){.running = true, .partition = partition};
    if (history != NULL)
        self->fill.history = *history;
    for (size_t i = 0; i < count && i < FILLS_SOURCES_MAX; i++) {
        size_t number = SIZE_MAX;

        INVARIANT(sscanf(sources[i], "node%zu:", &number) == 1);
        self->fill.sources[self->fill.source_count++] = number;
    }
    self->fill.due_us = self->now_us + dice_span(&self->dice, FILL_LEAST_US, FILL_MOST_US);
    return true;
}

static errcode_t load(snapshot_loader_t *loader, snapshot_reader_t *reader, err_t *err)
{
    const uint8_t *bytes;
    uint32_t number = 0;
    buffer_t ending;
    size_t n = 0;
    bool done = false;
    errcode_t rc = ERR_NONE;

    while (rc == ERR_NONE && !done)
        rc = snapshot_loader_empty(loader, &done, err);
    while (rc == ERR_NONE) {
        rc = snapshot_reader_next(reader, &number, &bytes, &n, err);
        if (rc != ERR_NONE || n == 0)
            break;
        rc = snapshot_loader_chunk(loader, number, bytes, n, err);
    }
    buffer_init(&ending, SNAPSHOT_BODY_MAX);
    snapshot_reader_end(reader, &ending);
    if (rc == ERR_NONE)
        rc = snapshot_loader_end(loader, number + 1, ending.bytes, ending.size, err);
    buffer_free(&ending);
    return rc;
}

/* Whether the copy that was there is gone is told in *touched. */
static errcode_t fill_from(node_t *self, node_t *source, bool *touched, err_t *err)
{
    const node_fill_t *fill = &self->fill;
    const snapshot_target_t target = {.store = self->store,
                                      .catalogue = self->catalogue,
                                      .partition = fill->partition,
                                      .history = fill->history,
                                      .definitions = fill->partition == self->config.partitions};
    snapshot_reader_t *reader = NULL;
    snapshot_loader_t *loader = NULL;
    buffer_t begin;
    errcode_t rc = snapshot_reader_open(&reader, source->store, fill->partition, err);

    buffer_init(&begin, SNAPSHOT_BODY_MAX);
    if (rc == ERR_NONE) {
        snapshot_reader_begin(reader, &begin);
        rc = snapshot_loader_open(&loader, &target, begin.bytes, begin.size, err);
    }
    if (rc == ERR_NONE)
        rc = load(loader, reader, err);
    *touched = *touched || (loader != NULL && snapshot_loader_has_begun(loader));
    snapshot_loader_destroy(&loader);
    snapshot_reader_destroy(&reader);
    buffer_free(&begin);
    return rc;
}

static fill_state_t poll(void *state)
{
    node_t *self = state;
    bool touched = false;
    err_t err = {0};

    if (!self->fill.running)
        return FILL_IDLE;
    if (self->now_us < self->fill.due_us)
        return FILL_RUNNING;
    self->fill.running = false;
    for (size_t i = 0; i < self->fill.source_count && !self->fill.cancelled; i++) {
        node_t *source = self->config.peer(self->config.state, self->fill.sources[i]);

        if (source->up && !source->paused && fill_from(self, source, &touched, &err) == ERR_NONE)
            return FILL_DONE;
    }
    return touched ? FILL_BROKEN : FILL_UNTOUCHED;
}

static void cancel(void *state)
{
    ((node_t *)state)->fill.cancelled = true;
}

filler_t shared_filler(node_t *node)
{
    return (filler_t){.start = start, .poll = poll, .cancel = cancel, .state = node};
}
