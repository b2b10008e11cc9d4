/* governor_words.c - an operator's words: about members, about the copies here, and where a partition is
 *
 * They are said on any thread and carried out on the driver's, between two passes of it.
 */
#include "cluster/governor_state.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ASK_US INT64_C(5000000)

/* By its address or the first digits of its node id. NULL: no member, which *err says. */
static const hash_t *find_member(const governor_t *self, const char *name, err_t *err)
{
    const view_t *view = membership_view(self->membership);
    size_t found = SIZE_MAX;
    char hex[2 * HASH_BYTES + 1];

    for (size_t i = 0; view != NULL && i < view->member_count; i++) {
        for (size_t k = 0; k < HASH_BYTES; k++)
            (void)snprintf(hex + 2 * k, 3, "%02x", view->members[i].node.bytes[k]);
        if (strcmp(name, view->members[i].address) == 0 ||
            (strlen(name) >= 8 && strncmp(name, hex, strlen(name)) == 0))
            found = i;
    }
    if (found != SIZE_MAX)
        return &view->members[found].node;
    err_set(err, ERR_NOT_FOUND,
            "no member of the view has the address or node id %s; `fealty cluster status` "
            "lists them",
            name);
    return NULL;
}

static void answer_about_member(governor_t *self, err_t *err)
{
    const hash_t *node = find_member(self, self->about, err);

    if (node == NULL)
        return;
    if (self->word == GOVERNOR_DRAIN)
        (void)membership_drain(self->membership, node, err);
    else if (self->word == GOVERNOR_ADMIT)
        (void)membership_admit(self->membership, node, err);
    else
        (void)membership_forget(self->membership, node, err);
}

/* The number that a text begins with, and what stands behind it and one space. */
static bool take_partition(const governor_t *self, const char *text, uint16_t *partition,
                           const char **rest, err_t *err)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || (*end != '\0' && *end != ' ') ||
        number > self->config.partitions) {
        err_set(err, ERR_NOT_FOUND, "partitions are numbered 0 to %u", self->config.partitions);
        return false;
    }
    *partition = (uint16_t)number;
    *rest = *end == ' ' ? end + 1 : end;
    return true;
}

static void answer_move(governor_t *self, err_t *err)
{
    const char *name = NULL;
    const hash_t *node;
    uint16_t partition;

    if (!take_partition(self, self->about, &partition, &name, err))
        return;
    node = find_member(self, name, err);
    if (node == NULL || membership_move(self->membership, partition, node, err) != ERR_NONE)
        return;
    const view_t *view = membership_view(self->membership);
    buffer_printf(&self->shown, "%s\n", view->members[view_member(view, node)].address);
}

static void answer_holder(governor_t *self, err_t *err)
{
    const view_t *view = membership_view(self->membership);
    const char *rest = NULL;
    uint16_t partition;

    if (!take_partition(self, self->about, &partition, &rest, err))
        return;
    size_t holder = membership_holder(self->membership, partition);
    buffer_printf(&self->shown, "%s\n",
                  view != NULL && holder < view->member_count ? view->members[holder].address : "");
}

static void show_partitions(governor_t *self)
{
    buffer_text(&self->shown, "[");
    for (uint32_t i = 0; i <= self->config.partitions; i++) {
        replica_t *replica = self->config.replica(self->config.state, (uint16_t)i);
        const char *stage = fills_stage(self->fills, (uint16_t)i);
        if (replica == NULL || (replica_state(replica) == REPLICA_CLOSED && stage == NULL))
            continue;
        const position_t *position = replica_position(replica);
        uint64_t behind = journal_behind(self->config.journal, (uint16_t)i);
        const char *trouble = replica_trouble(replica);
        buffer_printf(&self->shown,
                      "%s{\"partition\":%u,\"state\":\"%s\",\"epoch\":%llu,\"seq\":%llu,"
                      "\"offset\":%llu,\"behind\":%lld,\"trouble\":",
                      self->shown.size > 1 ? ",\n" : "", i,
                      stage != NULL ? stage : replica_state_name(replica_state(replica)),
                      (unsigned long long)position->epoch, (unsigned long long)position->seq,
                      (unsigned long long)position->offset,
                      behind == UINT64_MAX ? -1LL : (long long)behind);
        if (trouble != NULL)
            json_write_string(&self->shown, trouble, strlen(trouble));
        else
            buffer_text(&self->shown, "null");
        buffer_byte(&self->shown, '}');
    }
    buffer_text(&self->shown, "]\n");
}

static void answer_about_partition(governor_t *self, err_t *err)
{
    const char *rest = NULL;
    uint16_t number;

    if (!take_partition(self, self->about, &number, &rest, err))
        return;
    replica_t *replica = self->config.replica(self->config.state, number);
    INVARIANT(replica != NULL);
    replica_state_t state = replica_state(replica);
    if (state == REPLICA_CLOSED && fills_stage(self->fills, number) == NULL) {
        err_set(err, ERR_STATE, "this node keeps no copy of partition %u: ask one that does",
                number);
    } else if (self->word == GOVERNOR_RESUME && state != REPLICA_HALTED) {
        err_set(err, ERR_STATE, "partition %u is not halted here, it is %s", number,
                replica_state_name(state));
    } else if (state == REPLICA_OWNER || state == REPLICA_DRAINING) {
        err_set(err, ERR_STATE,
                "partition %u is owned here: drain this node first, then rebuild its copy", number);
    } else if (self->word == GOVERNOR_RESUME) {
        replica_close(replica, self->boot_us);
        (void)fills_open(self->fills, number, self->boot_us);
    } else {
        atomic_store(&self->follows[number], 0); /* no reader may meet it half empty */
        fills_rebuild(self->fills, number, self->boot_us, err);
    }
}

void governor_answer(governor_t *self)
{
    memset(&self->answer, 0, sizeof self->answer);
    buffer_reset(&self->shown);
    switch (self->word) {
    case GOVERNOR_PARTITIONS: show_partitions(self); break;
    case GOVERNOR_RESUME:
    case GOVERNOR_REBUILD: answer_about_partition(self, &self->answer); break;
    case GOVERNOR_MOVE: answer_move(self, &self->answer); break;
    case GOVERNOR_HOLDER: answer_holder(self, &self->answer); break;
    case GOVERNOR_DRAIN:
    case GOVERNOR_ADMIT:
    case GOVERNOR_FORGET: answer_about_member(self, &self->answer); break;
    }
}

/* ---- from other threads ---- */

errcode_t governor_ask(governor_t *self, governor_word_t word, const char *about, buffer_t *out,
                       err_t *err)
{
    struct timespec until;
    errcode_t rc = ERR_NONE;

    if (strlen(about) >= sizeof self->about)
        return err_set(err, ERR_INVALID, "that is too long");
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ASK_US / 1000000);
    (void)pthread_mutex_lock(&self->lock);
    if (self->asked) {
        rc = err_set(err, ERR_OVERLOADED, "another question is being answered; ask again");
    } else {
        self->asked = true;
        self->done = false;
        self->word = word;
        (void)snprintf(self->about, sizeof self->about, "%s", about);
        while (!self->done &&
               pthread_cond_timedwait(&self->answered, &self->lock, &until) != ETIMEDOUT)
            continue;
        if (!self->done)
            rc = err_set(err, ERR_UNREACHABLE, "the partitions' thread did not answer in time");
        else if ((rc = self->answer.code) != ERR_NONE && err != NULL)
            *err = self->answer;
        if (rc == ERR_NONE && out != NULL)
            buffer_append(out, self->shown.bytes, self->shown.size);
        self->asked = false;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return rc;
}
