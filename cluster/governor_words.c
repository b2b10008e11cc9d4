/* governor_words.c - an operator's words: about members, about the copies here, and where a partition is
 *
 * They are said on any thread and carried out on the driver's, between two passes of it.
 */
#include "cluster/channel_records.h"
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

/* As `skip` wants it said. */
static void show_halt(governor_t *self, const replica_t *replica)
{
    uint64_t offset;
    uint32_t crc;

    if (replica_halted_at(replica, &offset, &crc))
        buffer_printf(&self->shown, ",\"halted_at\":{\"offset\":%llu,\"crc\":\"%08x\"}",
                      (unsigned long long)offset, crc);
    else
        buffer_text(&self->shown, ",\"halted_at\":null");
}

static void show_skips(governor_t *self, uint16_t partition)
{
    const char *comma = "";

    buffer_text(&self->shown, ",\"skips\":[");
    for (size_t i = 0; i < skips_count(self->skips); i++) {
        const skip_t *skip = skips_at(self->skips, i);

        if (skip->partition != partition)
            continue;
        buffer_printf(&self->shown, "%s{\"offset\":%llu,\"crc\":\"%08x\",\"reason\":", comma,
                      (unsigned long long)skip->offset, skip->crc);
        json_write_string(&self->shown, skip->reason, strlen(skip->reason));
        buffer_byte(&self->shown, '}');
        comma = ",";
    }
    buffer_byte(&self->shown, ']');
}

/* The newest, and how many there were. */
static void show_adoption(governor_t *self, uint16_t partition)
{
    const adoption_t *latest = adoptions_latest(self->adoptions, partition);
    const view_t *view = membership_view(self->membership);
    unsigned count = 0;

    for (size_t i = 0; i < adoptions_count(self->adoptions); i++)
        count += adoptions_at(self->adoptions, i)->partition == partition;
    buffer_text(&self->shown, ",\"adopted\":");
    if (latest == NULL) {
        buffer_text(&self->shown, "null");
        return;
    }
    size_t member = view != NULL ? view_member(view, &latest->node) : SIZE_MAX;
    buffer_text(&self->shown, "{\"history\":\"");
    for (size_t i = 0; i < HASH_BYTES; i++)
        buffer_printf(&self->shown, "%02x", latest->fresh.bytes[i]);
    buffer_text(&self->shown, "\",\"node\":\"");
    for (size_t i = 0; i < HASH_BYTES; i++)
        buffer_printf(&self->shown, "%02x", latest->node.bytes[i]);
    buffer_printf(&self->shown, "\",\"address\":\"%s\"",
                  member != SIZE_MAX ? view->members[member].address : "");
    buffer_printf(&self->shown,
                  ",\"epoch\":%llu,\"seq\":%llu,\"offset\":%llu,\"at_us\":%lld,\"times\":%u,"
                  "\"reason\":",
                  (unsigned long long)latest->epoch, (unsigned long long)latest->seq,
                  (unsigned long long)latest->offset, (long long)latest->at_us, count);
    json_write_string(&self->shown, latest->reason, strlen(latest->reason));
    buffer_byte(&self->shown, '}');
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
        show_halt(self, replica);
        show_skips(self, (uint16_t)i);
        show_adoption(self, (uint16_t)i);
        buffer_byte(&self->shown, '}');
    }
    buffer_text(&self->shown, "]\n");
}

/* Somebody who lives and is not halted there has judged that record, and it did not halt him: his copy is good. */
static const char *who_reads_on(const governor_t *self, uint16_t partition)
{
    const view_t *view = membership_view(self->membership);

    for (size_t i = 0; view != NULL && i < view->member_count; i++) {
        if (membership_keeps(self->membership, i, partition))
            return view->members[i].address;
    }
    return NULL;
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
    } else if (self->word == GOVERNOR_REBUILD &&
               adoptions_latest(self->adoptions, number) != NULL &&
               who_reads_on(self, number) == NULL) {
        err_set(err, ERR_STATE,
                "the log does not hold the beginning of partition %u, which was adopted, and no "
                "living member has a copy to fill it from",
                number);
    } else if (self->word == GOVERNOR_RESUME) {
        replica_close(replica, self->boot_us);
        (void)fills_open(self->fills, number, self->boot_us);
    } else {
        atomic_store(&self->follows[number], 0); /* no reader may meet it half empty */
        fills_rebuild(self->fills, number, self->boot_us, err);
    }
}

static bool take_reason(const char *text, char *out, size_t size, err_t *err)
{
    bool good = text[0] != '\0' && strlen(text) < size;

    for (const char *c = text; *c != '\0'; c++)
        good = good && *c >= ' ' && *c <= '~';
    if (good)
        (void)snprintf(out, size, "%s", text);
    else
        err_set(err, ERR_INVALID, "a reason is 1 to %zu characters of plain ASCII in one line",
                size - 1);
    return good;
}

/* "OFFSET CRC REASON", the checksum in hexadecimal digits. */
static bool take_skip(const char *text, skip_t *skip, err_t *err)
{
    char *end = NULL;

    errno = 0;
    skip->offset = strtoull(text, &end, 10);
    bool good = text[0] >= '0' && text[0] <= '9' && *end == ' ' && errno == 0;
    if (good) {
        const char *digits = end + 1;
        unsigned long long crc = strtoull(digits, &end, 16);

        good = end - digits <= 8 && strspn(digits, "0123456789abcdefABCDEF") > 0 && *end == ' ';
        skip->crc = (uint32_t)crc;
    }
    if (!good) {
        err_set(err, ERR_INVALID,
                "say offset and crc as `fealty partition status` shows them, and a reason");
        return false;
    }
    return take_reason(end + 1, skip->reason, sizeof skip->reason, err);
}

static bool may_skip(const governor_t *self, const skip_t *skip, err_t *err)
{
    const replica_t *replica = self->config.replica(self->config.state, skip->partition);
    const view_t *view = membership_view(self->membership);
    const char *other = who_reads_on(self, skip->partition);
    uint64_t offset;
    uint32_t crc;

    if (replica_state(replica) != REPLICA_HALTED) {
        err_set(err, ERR_STATE, "partition %u is not halted here, it is %s", skip->partition,
                replica_state_name(replica_state(replica)));
    } else if (!replica_halted_at(replica, &offset, &crc)) {
        err_set(err, ERR_STATE,
                "partition %u is not halted by a record that could be skipped; `fealty partition "
                "status` says why it is",
                skip->partition);
    } else if (offset != skip->offset || crc != skip->crc) {
        err_set(err, ERR_STATE,
                "partition %u is halted here at offset %llu with crc %08x, not at that record",
                skip->partition, (unsigned long long)offset, crc);
    } else if (other != NULL) {
        err_set(err, ERR_STATE,
                "%.60s reads on behind it: the copy here is at fault; `fealty partition rebuild "
                "%u`",
                other, skip->partition);
    } else if (!membership_joined(self->membership) || membership_replaced(self->membership)) {
        err_set(err, ERR_STATE, "this node is no member of the cluster at the moment");
    } else if (view->feature < VIEW_FEATURE_SKIPS) {
        err_set(err, ERR_STATE,
                "some members run a version that knows no skips: upgrade them first");
    } else if (skips_count(self->skips) == SKIPS_MAX) {
        err_set(err, ERR_STATE, "%d records are skipped already, more are not possible", SKIPS_MAX);
    } else {
        return true;
    }
    return false;
}

static void answer_skip(governor_t *self, err_t *err)
{
    const char *rest = NULL;
    skip_t skip;

    memset(&skip, 0, sizeof skip);
    if (!take_partition(self, self->about, &skip.partition, &rest, err) ||
        !take_skip(rest, &skip, err))
        return;
    if (skips_have(self->skips, skip.partition, skip.offset, skip.crc)) {
        buffer_text(&self->shown, "known\n");
        return;
    }
    if (!may_skip(self, &skip, err))
        return;
    buffer_reset(&self->record);
    skip_encode(&skip, &membership_view(self->membership)->cluster, &self->record);
    INVARIANT(!self->record.failed);
    if (journal_publish(self->config.journal, JOURNAL_CONTROL, 0, self->record.bytes,
                        self->record.size, err) == ERR_NONE)
        buffer_text(&self->shown, "said\n");
}

/* A living member whose image of that history holds more. */
static const char *who_read_further(const governor_t *self, uint16_t partition,
                                    const position_t *here)
{
    const view_t *view = membership_view(self->membership);
    uint64_t history, epoch, seq;

    for (size_t i = 0; view != NULL && i < view->member_count; i++) {
        if (membership_place(self->membership, i, partition, &history, &epoch, &seq) &&
            history == place_history(&here->history) &&
            (epoch > here->epoch || (epoch == here->epoch && seq > here->seq)))
            return view->members[i].address;
    }
    return NULL;
}

/* Whose image was adopted last, while he lives: others fill their copies from him, or will. */
static const char *who_adopted(const governor_t *self, uint16_t partition)
{
    const adoption_t *latest = adoptions_latest(self->adoptions, partition);
    const view_t *view = membership_view(self->membership);
    size_t member = latest != NULL && view != NULL ? view_member(view, &latest->node) : SIZE_MAX;

    return member != SIZE_MAX && !hash_equal(&latest->node, &self->config.node) &&
                   membership_alive(self->membership, member)
               ? view->members[member].address
               : NULL;
}

static bool may_adopt(const governor_t *self, uint16_t partition, err_t *err)
{
    const replica_t *replica = self->config.replica(self->config.state, partition);
    const view_t *view = membership_view(self->membership);
    const char *reader = who_reads_on(self, partition);
    replica_state_t state = replica_state(replica);
    bool replaced = replica_wants_history(replica) != NULL;
    const char *further, *adopter = replaced ? who_adopted(self, partition) : NULL;
    position_t stored;

    if (!membership_joined(self->membership) || membership_replaced(self->membership)) {
        err_set(err, ERR_STATE, "this node is no member of the cluster at the moment");
    } else if (view->feature < VIEW_FEATURE_ADOPTIONS) {
        err_set(err, ERR_STATE,
                "some members run a version that knows no adoptions: upgrade them first");
    } else if (state == REPLICA_CLOSED && !replaced) {
        err_set(err, ERR_STATE, "this node keeps no copy of partition %u: ask one that does",
                partition);
    } else if (state != REPLICA_HALTED && !replaced) {
        err_set(err, ERR_STATE,
                "partition %u is not halted here, it is %s: a copy is adopted when the log is lost",
                partition, replica_state_name(state));
    } else if (state == REPLICA_HALTED && !replica_lost_its_log(replica)) {
        err_set(err, ERR_STATE,
                "partition %u is not halted by its log: what `fealty partition status` says is "
                "wrong with this copy would be wrong in the new history",
                partition);
    } else if (!replica_stored(replica, &stored) || stored.epoch == 0) {
        err_set(err, ERR_STATE, "the copy of partition %u here is empty", partition);
    } else if (reader != NULL) {
        err_set(err, ERR_STATE,
                "%.60s owns partition %u or reads on: `fealty partition rebuild %u` here; only if "
                "this copy is worth more than what that one has taken, stop that one first",
                reader, partition, partition);
    } else if (adopter != NULL) {
        err_set(err, ERR_STATE,
                "the image of %.60s was adopted, and it is alive: this copy is filled from there",
                adopter);
    } else if ((further = who_read_further(self, partition, &stored)) != NULL) {
        err_set(err, ERR_STATE, "%.60s has read further than this node: adopt its image, there",
                further);
    } else if (adoptions_count(self->adoptions) == ADOPTIONS_MAX) {
        err_set(err, ERR_STATE, "there were %d adoptions already, more are not possible",
                ADOPTIONS_MAX);
    } else {
        return true;
    }
    return false;
}

/* "OFFSET HISTORY REASON", the history in hexadecimal digits. */
static bool take_adoption(const char *text, adoption_t *adoption, err_t *err)
{
    char *end = NULL;

    errno = 0;
    adoption->offset = strtoull(text, &end, 10);
    bool good = text[0] >= '0' && text[0] <= '9' && *end == ' ' && errno == 0 &&
                adoption->offset != UINT64_MAX &&
                strspn(end + 1, "0123456789abcdef") == 2 * HASH_BYTES &&
                end[1 + 2 * HASH_BYTES] == ' ';
    for (size_t i = 0; good && i < HASH_BYTES; i++) {
        const char digits[3] = {end[1 + 2 * i], end[2 + 2 * i], '\0'};
        adoption->fresh.bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    if (!good) {
        err_set(err, ERR_INVALID,
                "where does the log of the partition end, and what is its new "
                "history?");
        return false;
    }
    return take_reason(end + 2 + 2 * HASH_BYTES, adoption->reason, sizeof adoption->reason, err);
}

static bool is_known(const governor_t *self, const adoption_t *adoption)
{
    for (size_t i = 0; i < adoptions_count(self->adoptions); i++) {
        const adoption_t *one = adoptions_at(self->adoptions, i);
        if (one->partition == adoption->partition && hash_equal(&one->fresh, &adoption->fresh))
            return true;
    }
    return false;
}

static void answer_adopt(governor_t *self, err_t *err)
{
    adoption_t adoption;
    const char *rest = NULL;
    position_t stored;

    memset(&adoption, 0, sizeof adoption);
    if (!take_partition(self, self->about, &adoption.partition, &rest, err) ||
        !take_adoption(rest, &adoption, err))
        return;
    if (is_known(self, &adoption)) {
        buffer_text(&self->shown, "known\n");
        return;
    }
    replica_t *replica = self->config.replica(self->config.state, adoption.partition);
    /* What is named must be there when it is read, whatever happens to this machine meanwhile. */
    if (!may_adopt(self, adoption.partition, err) || replica_sync(replica, err) != ERR_NONE ||
        !replica_stored(replica, &stored))
        return;
    const adoption_t *latest = adoptions_latest(self->adoptions, adoption.partition);
    adoption.old = latest != NULL ? latest->fresh : stored.history;
    adoption.image = stored.history;
    adoption.node = self->config.node;
    adoption.epoch = stored.epoch;
    adoption.seq = stored.seq;
    adoption.chain = stored.chain;
    adoption.at_us = self->wall_us;
    buffer_reset(&self->record);
    adoption_encode(&adoption, &membership_view(self->membership)->cluster, &self->record);
    INVARIANT(!self->record.failed);
    if (journal_publish(self->config.journal, JOURNAL_CONTROL, 0, self->record.bytes,
                        self->record.size, err) == ERR_NONE)
        buffer_text(&self->shown, "said\n");
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
    case GOVERNOR_SKIP: answer_skip(self, &self->answer); break;
    case GOVERNOR_ADOPT: answer_adopt(self, &self->answer); break;
    case GOVERNOR_DRAIN:
    case GOVERNOR_ADMIT:
    case GOVERNOR_FORGET: answer_about_member(self, &self->answer); break;
    }
}

errcode_t governor_obey(governor_t *self, governor_word_t word, const char *about, buffer_t *out,
                        err_t *err)
{
    if (strlen(about) >= sizeof self->about)
        return err_set(err, ERR_INVALID, "that is too long");
    (void)pthread_mutex_lock(&self->lock);
    self->word = word;
    (void)snprintf(self->about, sizeof self->about, "%s", about);
    governor_answer(self);
    errcode_t rc = self->answer.code;
    if (rc != ERR_NONE && err != NULL)
        *err = self->answer;
    else if (out != NULL)
        buffer_append(out, self->shown.bytes, self->shown.size);
    (void)pthread_mutex_unlock(&self->lock);
    return rc;
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
