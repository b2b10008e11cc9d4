/* restored.c - a node comes back from an older copy of its disk, beside one that knows more */
#include "tests/sim/restored.h"

#include "actors/message.h"
#include "tests/sim/ask.h"
#include "tests/sim/blame.h"
#include "tests/sim/proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMBERS_MAX    12
#define PARTITIONS_MAX 5
#define SETTLE_STEPS   200000
#define AFTER_STEPS    4000
#define AHEAD          (UINT64_C(1) << 20) /* as a restore moves counters */
#define OPENING        1000

typedef struct {
    world_t *world;
    uint64_t members[MEMBERS_MAX]; /* accounts */
    unsigned member_count;
    uint16_t node; /* that comes back */
    /* By sender and receiver, right after the restore. */
    uint64_t in[PARTITIONS_MAX + 1][PARTITIONS_MAX + 1];
    uint64_t acked[PARTITIONS_MAX + 1][PARTITIONS_MAX + 1];
    shared_report_t *report;
    err_t *err;
    bool failed;
} restored_t;

static void fail(restored_t *self, const char *format, ...) PRINTF_LIKE(2, 3);

static void fail(restored_t *self, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    blame(self->err, &self->failed, format, arguments);
    va_end(arguments);
}

static uint64_t dice(restored_t *self, uint64_t sides)
{
    return world_random(self->world) % sides;
}

static void transfer(restored_t *self)
{
    uint64_t from = self->members[dice(self, self->member_count)];
    uint64_t to = self->members[dice(self, self->member_count)];

    if (from == to)
        return;
    (void)ask_later(self->world, ask_transfer(from, to, (points_t)dice(self, 20) + 1));
    self->report->commands++;
}

static void transfers(restored_t *self, uint64_t count)
{
    for (; count > 0; count--) {
        transfer(self);
        for (uint64_t steps = dice(self, 6); steps > 0; steps--)
            world_step(self->world);
    }
}

/* ---- the restore ---- */

static void renew(restored_t *self, store_t *store, uint16_t partition, buffer_t *batch)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    size_t n = key_checkpoint(key, partition);
    checkpoint_t checkpoint = {.next_sequence = 1, .counted_sequence = 1};
    position_t position;
    uint64_t ordinal = 0, number = world_random(self->world);
    bool found = false;
    buffer_t value;

    buffer_init(&value, 4096);
    errcode_t rc = store_get(store, NULL, FAMILY_STATE, key, n, &value, &found, NULL);
    INVARIANT(rc == ERR_NONE);
    if (found) {
        rc = checkpoint_decode(&checkpoint, value.bytes, value.size, NULL);
        INVARIANT(rc == ERR_NONE);
    }
    checkpoint.next_sequence += AHEAD;
    buffer_reset(&value);
    checkpoint_encode(&checkpoint, &value);
    batch_put(batch, FAMILY_STATE, key, n, value.bytes, value.size);
    buffer_free(&value);
    rc = journal_embedded_position(store, partition, &position, &ordinal, &found, NULL);
    INVARIANT(rc == ERR_NONE && found);
    position.history = hash_bytes(&number, sizeof number);
    position.owner = (hash_t){{0}};
    position.seq += AHEAD;
    position.offset = 0;
    position.crc = 0;
    rc = journal_embedded_override(store, partition, &position, ordinal + 1000, batch, NULL);
    INVARIANT(rc == ERR_NONE);
}

static void restore(restored_t *self, store_t **image)
{
    store_t *store = *image;
    buffer_t batch;

    buffer_init(&batch, 1024 * 1024);
    world_kill(self->world, self->node);
    for (uint16_t p = 0; p <= world_partitions(self->world); p++)
        if (world_node_of(self->world, p) == self->node)
            renew(self, store, p, &batch);
    batch_part_t part = {batch.bytes, batch.size};
    errcode_t rc = store_write(store, &part, 1, true, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&batch);
    world_restore(self->world, self->node, image);
    if (world_start(self->world, self->node, self->err) != ERR_NONE)
        self->failed = true;
    self->report->faults++;
}

/* ---- pairs ---- */

static void read_pair(restored_t *self, uint16_t src, uint16_t dst, pair_out_t *out, pair_in_t *in)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t value;
    errcode_t rc = ERR_NONE;

    *out = (pair_out_t){.next = 1};
    *in = (pair_in_t){.seq = 0};
    buffer_init(&value, 4096);
    if (read_row(self->world, world_node_of(self->world, src), FAMILY_STATE, key,
                 key_pair_out(key, src, dst), &value))
        rc = pair_out_decode(out, value.bytes, value.size, NULL);
    INVARIANT(rc == ERR_NONE);
    if (read_row(self->world, world_node_of(self->world, dst), FAMILY_STATE, key,
                 key_pair_in(key, dst, src), &value))
        rc = pair_in_decode(in, value.bytes, value.size, NULL);
    INVARIANT(rc == ERR_NONE);
    buffer_free(&value);
}

static bool crosses(const restored_t *self, uint16_t src, uint16_t dst)
{
    return world_node_of(self->world, src) != world_node_of(self->world, dst);
}

static void note_pairs(restored_t *self)
{
    for (uint16_t src = 0; src <= world_partitions(self->world); src++)
        for (uint16_t dst = 0; dst <= world_partitions(self->world); dst++) {
            pair_out_t out;
            pair_in_t in;
            read_pair(self, src, dst, &out, &in);
            self->in[src][dst] = in.seq;
            self->acked[src][dst] = out.acked;
        }
}

static void check_pairs(restored_t *self)
{
    for (uint16_t src = 0; src <= world_partitions(self->world); src++)
        for (uint16_t dst = 0; dst <= world_partitions(self->world); dst++) {
            pair_out_t out;
            pair_in_t in;
            read_pair(self, src, dst, &out, &in);
            bool talked = self->in[src][dst] > 0 || self->acked[src][dst] > 0;
            if (!crosses(self, src, dst) || !talked)
                continue;
            if (in.seq != self->in[src][dst] || out.acked != self->acked[src][dst])
                fail(self,
                     "pair %u to %u talks on over a restore: applied %" PRIu64 " to %" PRIu64
                     ", acknowledged %" PRIu64 " to %" PRIu64,
                     src, dst, self->in[src][dst], in.seq, self->acked[src][dst], out.acked);
            if (out.acked + 1 < out.next && world_trouble(self->world, src) == NULL &&
                world_trouble(self->world, dst) == NULL)
                fail(self, "pair %u to %u stands still and nobody says so", src, dst);
        }
}

/* All points: those on accounts and those on their way. On a pair that talked before, the numbers of new messages say
 * nothing: whatever stands in its outbox was not applied. */
static points_t total(restored_t *self)
{
    points_t sum = proof_total(self->world);
    buffer_t value;

    buffer_init(&value, BATCH_VALUE_BYTES_MAX);
    for (uint16_t src = 0; src <= world_partitions(self->world); src++)
        for (uint16_t dst = 0; dst <= world_partitions(self->world); dst++) {
            pair_out_t out;
            pair_in_t in;
            uint8_t key[BATCH_KEY_BYTES_MAX];
            credit_t credit;
            read_pair(self, src, dst, &out, &in);
            for (uint64_t n = out.acked + 1; n < out.next && n <= in.seq; n++) {
                bool found = crosses(self, src, dst) &&
                             read_row(self->world, world_node_of(self->world, src), FAMILY_OUTBOX,
                                      key, key_outbox(key, src, dst, n), &value);
                text_t body = {(const char *)value.bytes, found ? value.size : 0};
                if (found && body_type(body) == BODY_CREDIT_1 &&
                    credit_decode(&credit, body, NULL) == ERR_NONE)
                    sum += credit.points;
            }
        }
    buffer_free(&value);
    return sum;
}

/* ---- the life ---- */

static void begin(restored_t *self)
{
    uint32_t program = world_program(self->world, "");
    unsigned wanted = 3 + (unsigned)dice(self, MEMBERS_MAX - 3);

    if (!world_settle(self->world, SETTLE_STEPS))
        fail(self, "the first definitions stand still");
    for (unsigned i = 0; i < wanted; i++) {
        uuid16_t customer = world_customer(self->world, world_random(self->world));
        self->members[self->member_count++] = world_enrol(self->world, &customer, program, OPENING);
    }
}

bool restored_run(uint64_t seed, shared_report_t *report, err_t *err)
{
    restored_t self = {.report = report, .err = err};
    world_config_t config = {.seed = seed,
                             .nodes = 2,
                             .partitions = (uint16_t)(2 + seed % (PARTITIONS_MAX - 1)),
                             .delay_max_us = 3000,
                             .ahead = seed % 2 != 0};

    self.world = world_new(&config);
    int64_t began_us = world_now_us(self.world);
    begin(&self);
    self.node = (uint16_t)dice(&self, 2);
    transfers(&self, 5 + dice(&self, 25));
    if (!world_settle(self.world, SETTLE_STEPS))
        fail(&self, "transfers stand still");
    store_t *image = world_image(self.world, self.node);
    transfers(&self, dice(&self, 30));
    if (!world_settle(self.world, SETTLE_STEPS))
        fail(&self, "transfers stand still");
    restore(&self, &image);
    note_pairs(&self);
    points_t before = total(&self);
    /* Enough of them for numbers to grow past those that were given before. */
    if (!self.failed)
        transfers(&self, 5 + dice(&self, 60));
    for (unsigned i = 0; i < AFTER_STEPS && !self.failed; i++)
        world_step(self.world);
    if (!self.failed)
        check_pairs(&self);
    if (total(&self) != before)
        fail(&self, "a restore and transfers made %" PRId64 " points of %" PRId64, total(&self),
             before);
    report->virtual_us = world_now_us(self.world) - began_us;
    report->digest = proof_digest(self.world);
    world_destroy(&self.world);
    return !self.failed;
}
