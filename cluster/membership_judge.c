/* membership_judge.c - who owns a partition, and whether this node should do something about it
 *
 * The log decides who owns; so what this node's own replica has read comes first, and heartbeats count where they know a
 * later epoch. A claim is wished for three reasons only: nobody owns the partition and it is this node's turn; its owner
 * was silent, or named it stuck, for so many counts; or this very process owns it and has lost its footing. To have been
 * deposed is none of them: two healthy nodes must not take a partition from each other for ever.
 */
#include "cluster/membership_state.h"

static const hash_t nobody;

static size_t member_of(const membership_t *self, const hash_t *incarnation);
static bool retired(const membership_t *self, const hash_t *incarnation);
static void look_at(membership_t *self, uint16_t partition, size_t *moves);
static bool claim_is_due(const membership_t *self, uint16_t partition,
                         const membership_partition_t *figures);
static bool my_turn(const membership_t *self, uint16_t partition,
                    const membership_partition_t *figures);
static uint64_t patience(const membership_t *self, uint16_t partition,
                         const membership_partition_t *figures);
static size_t line_of(const membership_t *self, uint16_t partition, uint8_t line[VIEW_MEMBERS_MAX]);
static bool able(const membership_t *self, size_t member);
static bool ready(const membership_t *self, size_t member, uint16_t partition,
                  const membership_partition_t *figures);
static bool move_is_due(const membership_t *self, uint16_t partition);
static bool safely_elsewhere(const membership_t *self, uint16_t partition);

membership_partition_t membership_figures(const membership_t *self, uint16_t partition)
{
    membership_partition_t figures = {.behind = UINT64_MAX};

    if (self->tracks[partition].following)
        self->config.partition(self->config.state, partition, &figures);
    return figures;
}

bool membership_near(const membership_partition_t *figures)
{
    return figures->behind <= MEMBERSHIP_CLOSE;
}

const peer_said_t *membership_said(const membership_t *self, size_t member)
{
    const peer_t *peer = &self->peers[self->slots[member]];

    if (peer->said == NULL || peer->said->beat.partitions != self->view->partitions ||
        !hash_equal(&peer->said->beat.incarnation, &self->view->members[member].incarnation))
        return NULL;
    return peer->said;
}

uint64_t membership_silence(const membership_t *self, size_t member)
{
    return self->count - self->peers[self->slots[member]].heard_at;
}

bool membership_alive(const membership_t *self, size_t member)
{
    if (!self->viewed || member >= self->view->member_count || self->count == 0)
        return false;
    return membership_said(self, member) != NULL && !self->peers[self->slots[member]].stale &&
           membership_silence(self, member) < MEMBERSHIP_SILENCE;
}

size_t membership_owner(const membership_t *self, uint16_t partition)
{
    size_t holder = membership_holder(self, partition);

    if (!self->viewed || partition > self->view->partitions)
        return SIZE_MAX;
    return holder != SIZE_MAX ? holder : self->view->copies[partition][0];
}

size_t membership_holder(const membership_t *self, uint16_t partition)
{
    membership_partition_t figures;
    holding_t holding;

    if (!self->viewed || partition > self->view->partitions)
        return SIZE_MAX;
    figures = membership_figures(self, partition);
    if (figures.owned && self->me != SIZE_MAX)
        return self->me;
    holding = membership_holding(self, partition, &figures);
    return holding.kind == HOLDING_MEMBER ? holding.member : SIZE_MAX;
}

void membership_set_holders(membership_t *self)
{
    for (size_t p = 0; p <= self->view->partitions; p++) {
        self->tracks[p].holder = VIEW_NOBODY;
        self->tracks[p].holder_epoch = 0;
    }
    for (size_t member = 0; member < self->view->member_count; member++) {
        const peer_said_t *said = membership_said(self, member);

        for (size_t p = 0; said != NULL && p <= self->view->partitions; p++) {
            if (said->beat.owned[p / 8] == 0) {
                p |= 7;
                continue;
            }
            if (said->beat.epochs[p] > self->tracks[p].holder_epoch) {
                self->tracks[p].holder = (uint8_t)member;
                self->tracks[p].holder_epoch = said->beat.epochs[p];
            }
        }
    }
    self->holders_stale = false;
}

holding_t membership_holding(const membership_t *self, uint16_t partition,
                             const membership_partition_t *figures)
{
    const track_t *track = &self->tracks[partition];
    holding_t by_beat = {HOLDING_MEMBER, track->holder, track->holder_epoch};
    size_t member;

    if (track->holder_epoch > figures->epoch)
        return by_beat;
    if (figures->epoch == 0 || figures->released)
        return (holding_t){HOLDING_FREE, SIZE_MAX, figures->epoch};
    if (hash_equal(&figures->owner, &nobody))
        return track->holder_epoch == figures->epoch
                   ? by_beat
                   : (holding_t){HOLDING_STRANGER, SIZE_MAX, figures->epoch};
    member = member_of(self, &figures->owner);
    if (member != SIZE_MAX)
        return (holding_t){HOLDING_MEMBER, member, figures->epoch};
    return (holding_t){retired(self, &figures->owner) ? HOLDING_FREE : HOLDING_STRANGER, SIZE_MAX,
                       figures->epoch};
}

void membership_wish(membership_t *self, uint16_t partition, membership_wish_t wish)
{
    track_t *track = &self->tracks[partition];

    /* The newer wish holds: a claim takes back a release, to follow takes back not to. */
    switch (wish) {
    case MEMBERSHIP_FOLLOW: track->wishes &= (uint8_t) ~(1u << MEMBERSHIP_UNFOLLOW); break;
    case MEMBERSHIP_UNFOLLOW: track->wishes = 0; break;
    case MEMBERSHIP_CLAIM: track->wishes &= (uint8_t) ~(1u << MEMBERSHIP_RELEASE); break;
    case MEMBERSHIP_RELEASE: track->wishes &= (uint8_t) ~(1u << MEMBERSHIP_CLAIM); break;
    }
    track->wishes |= (uint8_t)(1u << wish);
}

void membership_look(membership_t *self)
{
    size_t moves = 0;

    if (!self->viewed || self->replaced)
        return;
    if (self->holders_stale)
        membership_set_holders(self);
    for (size_t p = 0; p <= self->view->partitions; p++)
        moves += self->tracks[p].releasing;
    for (size_t p = 0; p <= self->view->partitions; p++) {
        if (self->tracks[p].following)
            look_at(self, (uint16_t)p, &moves);
    }
}

/* By the log a member owns it, and it is alive: does it say so, too? A record of its log that it read and that was lost
 * since can make it think otherwise. */
static void note_listing(membership_t *self, uint16_t partition)
{
    track_t *track = &self->tracks[partition];
    const peer_said_t *said =
        track->holding.kind == HOLDING_MEMBER ? membership_said(self, track->holding.member) : NULL;

    if (said == NULL || channel_bit(said->beat.owned, partition))
        track->unlisted_since = 0;
    else if (track->unlisted_since == 0)
        track->unlisted_since = self->count;
}

static void look_at(membership_t *self, uint16_t partition, size_t *moves)
{
    track_t *track = &self->tracks[partition];
    membership_partition_t figures = membership_figures(self, partition);
    holding_t holding = membership_holding(self, partition, &figures);
    bool mine = holding.kind == HOLDING_MEMBER && holding.member == self->me;

    if (holding.kind != track->holding.kind || holding.member != track->holding.member ||
        holding.epoch != track->holding.epoch) {
        track->holding = holding;
        track->since = self->count;
        track->unlisted_since = 0;
        track->releasing = track->claimed = false;
    }
    note_listing(self, partition);
    /* A release that leads to nothing: whatever took its place in the replica, say it again, or claim again. */
    if (track->releasing &&
        (!(figures.owned || mine) || self->count - track->releasing_at >= MEMBERSHIP_SILENCE))
        track->releasing = false;

    if (figures.owned) {
        if (!track->releasing &&
            (self->stopping || (*moves < MEMBERSHIP_MOVES && move_is_due(self, partition)))) {
            membership_wish(self, partition, MEMBERSHIP_RELEASE);
            track->releasing = true;
            track->releasing_at = self->count;
            (*moves)++;
        }
        return;
    }
    if (self->me == SIZE_MAX || view_rank(self->view, partition, self->me) == SIZE_MAX) {
        if (safely_elsewhere(self, partition)) {
            membership_wish(self, partition, MEMBERSHIP_UNFOLLOW);
            track->following = false;
        }
        return;
    }
    /* Again with each count while the reason holds. */
    if (track->claimed && track->claimed_at == self->count)
        return;
    if (claim_is_due(self, partition, &figures)) {
        membership_wish(self, partition, MEMBERSHIP_CLAIM);
        track->claimed = true;
        track->claimed_at = self->count;
    }
}

static bool claim_is_due(const membership_t *self, uint16_t partition,
                         const membership_partition_t *figures)
{
    const track_t *track = &self->tracks[partition];
    uint64_t waited = self->count - track->since;
    const peer_said_t *said;
    size_t holder = track->holding.member;

    /* Without an own heartbeat read back this node knows neither that the log works nor who else is there. */
    if (!self->joined || !self->caught_up || self->too_old || self->stopping || self->count == 0)
        return false;
    switch (track->holding.kind) {
    case HOLDING_FREE:
        return (membership_near(figures) && my_turn(self, partition, figures)) ||
               waited >= patience(self, partition, figures);
    case HOLDING_STRANGER: return waited >= patience(self, partition, figures);
    case HOLDING_MEMBER: break;
    }
    if (holder == self->me)
        return !track->releasing;
    if (membership_silence(self, holder) >= patience(self, partition, figures))
        return true;
    if (track->unlisted_since > 0 &&
        self->count - track->unlisted_since >= patience(self, partition, figures))
        return true;
    said = membership_said(self, holder);
    return said != NULL && !figures->stuck && said->stuck_since[partition] != UINT64_MAX &&
           self->count - said->stuck_since[partition] >= patience(self, partition, figures);
}

/* Of a partition that nobody owns: the view's owner goes first, unless it is away; then the first living follower that
 * is near the log's end, else the first living one. */
static bool my_turn(const membership_t *self, uint16_t partition,
                    const membership_partition_t *figures)
{
    uint8_t line[VIEW_MEMBERS_MAX];
    size_t count = line_of(self, partition, line);
    size_t first = SIZE_MAX;

    if (able(self, line[0]))
        return line[0] == self->me;
    for (size_t i = 1; i < count; i++) {
        if (!able(self, line[i]))
            continue;
        if (ready(self, line[i], partition, figures))
            return line[i] == self->me;
        if (first == SIZE_MAX)
            first = line[i];
    }
    return first == self->me;
}

/* Counts to wait for an owner that is silent: more for each rank, and behind all others for who would first have to read
 * on while another one would not. */
static uint64_t patience(const membership_t *self, uint16_t partition,
                         const membership_partition_t *figures)
{
    uint64_t counts = MEMBERSHIP_SILENCE + view_rank(self->view, partition, self->me);
    uint8_t line[VIEW_MEMBERS_MAX];
    size_t count;

    if (membership_near(figures))
        return counts;
    count = line_of(self, partition, line);
    for (size_t i = 0; i < count; i++) {
        if (line[i] != self->me && line[i] != self->tracks[partition].holding.member &&
            able(self, line[i]) && ready(self, line[i], partition, figures))
            return counts + VIEW_COPIES_MAX;
    }
    return counts;
}

/* Members that keep a partition, by rank. */
static size_t line_of(const membership_t *self, uint16_t partition, uint8_t line[VIEW_MEMBERS_MAX])
{
    size_t count = 0;

    for (; count < VIEW_COPIES_MAX && self->view->copies[partition][count] != VIEW_NOBODY; count++)
        line[count] = self->view->copies[partition][count];
    if (partition == self->view->partitions) {
        size_t placed = count;

        for (size_t member = 0; member < self->view->member_count; member++) {
            if (view_rank(self->view, partition, member) >= placed)
                line[count++] = (uint8_t)member;
        }
    }
    return count;
}

static bool able(const membership_t *self, size_t member)
{
    if (member == self->me)
        return !self->stopping;
    return membership_alive(self, member) && !membership_said(self, member)->beat.stopping;
}

bool membership_keeps(const membership_t *self, size_t member, uint16_t partition)
{
    const liveness_t *beat;

    if (member == self->me || !membership_alive(self, member) || !able(self, member))
        return false;
    beat = &membership_said(self, member)->beat;
    return channel_bit(beat->owned, partition) || channel_bit(beat->ready, partition);
}

bool membership_place(const membership_t *self, size_t member, uint16_t partition,
                      uint64_t *history, uint64_t *epoch, uint64_t *seq)
{
    const liveness_t *beat;

    if (member == self->me || !membership_alive(self, member))
        return false;
    beat = &membership_said(self, member)->beat;
    for (uint32_t i = 0; i < beat->place_count; i++) {
        if (beat->places[i].partition != partition)
            continue;
        *history = beat->places[i].history;
        *epoch = beat->places[i].epoch;
        *seq = beat->places[i].seq;
        return true;
    }
    return false;
}

bool membership_close(const membership_t *self, size_t member, uint16_t partition)
{
    membership_partition_t figures = membership_figures(self, partition);

    if (member == self->me)
        return membership_near(&figures);
    return membership_keeps(self, member, partition);
}

static bool ready(const membership_t *self, size_t member, uint16_t partition,
                  const membership_partition_t *figures)
{
    if (member == self->me)
        return membership_near(figures);
    return channel_bit(membership_said(self, member)->beat.ready, partition);
}

/* The view gives it to a node that is there, has read that view and is near. */
static bool move_is_due(const membership_t *self, uint16_t partition)
{
    size_t owner = self->view->copies[partition][0];
    const peer_said_t *said;

    if (owner == self->me || !membership_alive(self, owner) || !able(self, owner))
        return false;
    said = membership_said(self, owner);
    return channel_bit(said->beat.ready, partition) && said->beat.view >= self->view->number;
}

static bool safely_elsewhere(const membership_t *self, uint16_t partition)
{
    size_t owner = self->view->copies[partition][0];

    return self->tracks[partition].holder == owner && membership_alive(self, owner);
}

static size_t member_of(const membership_t *self, const hash_t *incarnation)
{
    if (self->me != SIZE_MAX && hash_equal(incarnation, &self->config.incarnation))
        return self->me;
    for (size_t i = 0; i < self->view->member_count; i++) {
        if (hash_equal(&self->view->members[i].incarnation, incarnation))
            return i;
    }
    return SIZE_MAX;
}

static bool retired(const membership_t *self, const hash_t *incarnation)
{
    size_t kept =
        self->retired_count < MEMBERSHIP_RETIRED ? self->retired_count : MEMBERSHIP_RETIRED;

    for (size_t i = 0; i < kept; i++) {
        if (hash_equal(&self->retired[i], incarnation))
            return true;
    }
    return false;
}
