/* view_place.c - the placement of a new view: what stands stays, the rest goes where there is room
 *
 * First the owners. Each keeps what it has; what lost its owner goes to a follower with room, since the data is there,
 * else to the node with room that scores highest for it (a hash of node and partition). Whoever then has more than its
 * share rounded up gives away, whoever has less than its share rounded down gets, one partition after the other. A join
 * thus takes only what the new node is due, a leave moves only what the old one had.
 * Then the copies, in the same way: kept, trimmed, filled, evened. Of nodes with room those on a new rack come first, of
 * these the one that follows the owner least: when a node dies its partitions spread over many. Room comes before racks:
 * the log holds everything anyway, so a follower on the same rack costs time, but a node with all copies of a cluster
 * costs every day. Swaps between partitions then take away what clashes of racks can be taken away for nothing.
 * The catalogue's partition (number `partitions`) goes last and counts in no share.
 * What an operator moved comes before all of that: its owner is fixed. Who was given more than its share by hand is full,
 * and the shares of the others are made from what is left. Of equal members the move changes one list and nothing else.
 */
#include "cluster/view.h"

#include <stdlib.h>

#define SCORE_SEED  UINT64_C(0x76696577) /* of hash64 */
#define RACK_PASSES 4

/* Parts of a choice's worth, the weightiest first; a score fills the low bits. */
#define WORTH(bit) (UINT64_C(1) << (63 - (bit)))

typedef struct {
    uint32_t low;  /* share by weight, rounded down */
    uint32_t high; /* rounded up */
} share_t;

typedef struct {
    uint8_t copies[VIEW_COPIES_MAX]; /* the owner first */
    size_t count;
} list_t;

typedef struct {
    const view_t *next;
    size_t members;
    uint16_t partitions;
    size_t width; /* copies of a partition */
    size_t racks; /* different ones */
    uint8_t rack[VIEW_MEMBERS_MAX];
    share_t owner_share[VIEW_MEMBERS_MAX];
    share_t copy_share[VIEW_MEMBERS_MAX];
    uint32_t owned[VIEW_MEMBERS_MAX];
    uint32_t kept[VIEW_MEMBERS_MAX];                    /* copies, owned ones included */
    uint32_t forecast[VIEW_MEMBERS_MAX];                /* of `kept`, while owners are placed */
    uint16_t pairs[VIEW_MEMBERS_MAX][VIEW_MEMBERS_MAX]; /* [owner][follower] */
    list_t old[VIEW_PARTITIONS_MAX + 1];                /* what survives of the view before */
    list_t list[VIEW_PARTITIONS_MAX + 1];               /* the outcome */
    uint8_t moved[VIEW_PARTITIONS_MAX + 1];             /* as in a view, of its members */
    uint32_t fixed[VIEW_MEMBERS_MAX];                   /* partitions moved to it */
    uint64_t scores[VIEW_PARTITIONS_MAX + 1][VIEW_MEMBERS_MAX];
} placing_t;

static bool same_members(const view_t *before, const view_t *next);
static void carry(placing_t *self, const view_t *before);
static void carry_moves(placing_t *self, const view_t *before, const view_move_t *move);
static void put_moved_first(placing_t *self, size_t partition);
static void set_racks(placing_t *self);
static void set_owner_shares(placing_t *self);
static void set_shares(placing_t *self);
static void set_scores(placing_t *self);
static void place_owners(placing_t *self);
static bool even_owners(placing_t *self);
static void place_copies(placing_t *self);
static void trim(placing_t *self, uint16_t partition);
static void fill(placing_t *self, uint16_t partition);
static bool even_copies(placing_t *self);
static bool part_racks(placing_t *self);
static void place_catalogue(placing_t *self);

static size_t list_find(const list_t *list, size_t member)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->copies[i] == member)
            return i;
    }
    return SIZE_MAX;
}

static void list_push(list_t *list, size_t member)
{
    INVARIANT(list->count < VIEW_COPIES_MAX);
    list->copies[list->count++] = (uint8_t)member;
}

errcode_t view_place(const view_t *before, view_t *next, err_t *err)
{
    return view_place_moved(before, next, NULL, err);
}

errcode_t view_place_moved(const view_t *before, view_t *next, const view_move_t *move, err_t *err)
{
    placing_t *self;
    size_t able = 0;

    if (next->member_count == 0 || next->member_count > VIEW_MEMBERS_MAX || next->partitions == 0 ||
        next->partitions > VIEW_PARTITIONS_MAX || next->followers >= VIEW_COPIES_MAX)
        return err_set(err, ERR_INVALID, "%u members, %u partitions and %u followers: out of range",
                       next->member_count, next->partitions, next->followers);
    if (before != NULL && before->partitions != next->partitions)
        return err_set(err, ERR_INVALID, "a cluster of %u partitions cannot get %u",
                       before->partitions, next->partitions);
    for (size_t i = 0; i < next->member_count; i++)
        able += next->members[i].weight > 0;
    if (able == 0)
        return err_set(err, ERR_INVALID, "no member is left that takes partitions");
    if (move != NULL && (move->partition > next->partitions || move->member >= next->member_count ||
                         next->members[move->member].weight == 0))
        return err_set(err, ERR_INVALID, "a partition cannot be moved to what takes none");

    self = memory_zalloc(sizeof *self);
    self->next = next;
    self->members = next->member_count;
    self->partitions = next->partitions;
    self->width = able < next->followers + (size_t)1 ? able : next->followers + (size_t)1;
    if (before != NULL)
        carry(self, before);
    carry_moves(self, before, move);
    if (before != NULL && same_members(before, next)) {
        memcpy(self->list, self->old, sizeof self->list);
        if (move != NULL)
            put_moved_first(self, move->partition);
    } else {
        set_racks(self);
        set_shares(self);
        set_scores(self);
        place_owners(self);
        place_copies(self);
        place_catalogue(self);
    }
    memset(next->copies, VIEW_NOBODY, sizeof next->copies);
    for (size_t p = 0; p <= next->partitions; p++) {
        INVARIANT(self->list[p].count > 0);
        memcpy(next->copies[p], self->list[p].copies, self->list[p].count);
        INVARIANT(self->moved[p] == 0 || self->moved[p] - 1 == next->copies[p][0]);
    }
    memcpy(next->moved, self->moved, sizeof next->moved);
    free(self);
    return ERR_NONE;
}

/* A restart, a new address, a new build: none of them is a reason to move anything. */
static bool same_members(const view_t *before, const view_t *next)
{
    if (before->member_count != next->member_count || before->followers != next->followers)
        return false;
    for (size_t i = 0; i < next->member_count; i++) {
        size_t was = view_member(before, &next->members[i].node);

        if (was == SIZE_MAX || before->members[was].weight != next->members[i].weight ||
            strcmp(before->members[was].rack, next->members[i].rack) != 0)
            return false;
    }
    return true;
}

static void carry(placing_t *self, const view_t *before)
{
    bool same = same_members(before, self->next);
    size_t now[VIEW_MEMBERS_MAX];

    for (size_t i = 0; i < before->member_count; i++) {
        now[i] = view_member(self->next, &before->members[i].node);
        /* A drained member keeps nothing. (One that was given something before is left alone: nothing changed.) */
        if (!same && now[i] != SIZE_MAX && self->next->members[now[i]].weight == 0)
            now[i] = SIZE_MAX;
    }
    for (size_t p = 0; p <= self->partitions; p++) {
        for (size_t i = 0; i < VIEW_COPIES_MAX && before->copies[p][i] != VIEW_NOBODY; i++) {
            size_t member = now[before->copies[p][i]];

            if (member == SIZE_MAX)
                continue;
            list_push(&self->old[p], member);
            self->forecast[member] += p < self->partitions;
        }
        /* The owner's place stays open when it is gone: then list[p] is empty. */
        if (before->copies[p][0] != VIEW_NOBODY && now[before->copies[p][0]] != SIZE_MAX)
            list_push(&self->list[p], now[before->copies[p][0]]);
    }
}

/* Moves of the view before that still stand, and the new one; their owners take their places. */
static void carry_moves(placing_t *self, const view_t *before, const view_move_t *move)
{
    for (size_t p = 0; p <= self->partitions; p++) {
        size_t member = SIZE_MAX;

        if (before != NULL && before->moved[p] != 0)
            member = view_member(self->next, &before->members[before->moved[p] - 1].node);
        if (move != NULL && move->partition == p)
            member = move->member;
        if (member == SIZE_MAX || self->next->members[member].weight == 0)
            continue;
        self->moved[p] = (uint8_t)(member + 1);
        self->fixed[member] += p < self->partitions;
        self->list[p].copies[0] = (uint8_t)member;
        self->list[p].count = 1;
    }
}

/* The owner before comes right behind it, since it has the data; the last follower makes room. */
static void put_moved_first(placing_t *self, size_t partition)
{
    list_t *list = &self->list[partition];
    const list_t *old = &self->old[partition];
    size_t member = self->moved[partition] - 1u;

    list->count = 0;
    list_push(list, member);
    for (size_t i = 0; i < old->count && list->count < old->count; i++) {
        if (old->copies[i] != member)
            list_push(list, old->copies[i]);
    }
}

/* A member without a rack's name shares its rack with nobody. */
static void set_racks(placing_t *self)
{
    const view_member_t *members = self->next->members;
    bool used[VIEW_MEMBERS_MAX] = {false};

    for (size_t i = 0; i < self->members; i++) {
        size_t first = 0;

        while (first < i &&
               (members[i].rack[0] == '\0' || strcmp(members[first].rack, members[i].rack) != 0))
            first++;
        self->rack[i] = (uint8_t)first;
        self->racks += members[i].weight > 0 && !used[first];
        used[first] |= members[i].weight > 0;
    }
}

static share_t share_of(uint64_t total, uint64_t weight, uint64_t weights)
{
    return (share_t){(uint32_t)(total * weight / weights),
                     (uint32_t)((total * weight + weights - 1) / weights)};
}

/* Of owners by weight alone, but who was given more by hand owns that and no more: the others share the rest. So whoever
 * has more than its share has something that may be taken from it. */
static void set_owner_shares(placing_t *self)
{
    uint64_t weights = 0, left = self->partitions;
    bool full[VIEW_MEMBERS_MAX] = {false};

    for (size_t i = 0; i < self->members; i++)
        weights += self->next->members[i].weight;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < self->members; i++) {
            uint64_t weight = self->next->members[i].weight;

            if (full[i] || self->fixed[i] * weights <= left * weight)
                continue;
            full[i] = again = true;
            left -= self->fixed[i];
            weights -= weight;
            self->owner_share[i] = (share_t){self->fixed[i], self->fixed[i]};
        }
    }
    for (size_t i = 0; i < self->members; i++) {
        if (!full[i])
            self->owner_share[i] = share_of(left, self->next->members[i].weight, weights);
    }
}

/* Of copies by weight too, but nobody keeps two of one partition: who would have to keeps one
 * of each, and the others share the rest. */
static void set_shares(placing_t *self)
{
    uint64_t weights = 0, left = self->partitions * (uint64_t)self->width;
    bool full[VIEW_MEMBERS_MAX] = {false};

    set_owner_shares(self);
    for (size_t i = 0; i < self->members; i++)
        weights += self->next->members[i].weight;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < self->members; i++) {
            uint64_t weight = self->next->members[i].weight;

            if (full[i] || weight == 0 || left * weight < self->partitions * weights)
                continue;
            full[i] = again = true;
            left -= self->partitions;
            weights -= weight;
            self->copy_share[i] = (share_t){self->partitions, self->partitions};
        }
    }
    for (size_t i = 0; i < self->members && weights > 0; i++) {
        if (!full[i])
            self->copy_share[i] = share_of(left, self->next->members[i].weight, weights);
    }
}

static void set_scores(placing_t *self)
{
    uint8_t key[HASH_BYTES + 2];

    for (size_t p = 0; p <= self->partitions; p++) {
        for (size_t i = 0; i < self->members; i++) {
            memcpy(key, self->next->members[i].node.bytes, HASH_BYTES);
            key[HASH_BYTES] = (uint8_t)(p >> 8);
            key[HASH_BYTES + 1] = (uint8_t)p;
            self->scores[p][i] = hash64(SCORE_SEED, key, sizeof key);
        }
    }
}

static void set_owner(placing_t *self, size_t partition, size_t member)
{
    list_t *list = &self->list[partition];

    if (list->count > 0)
        self->owned[list->copies[0]]--;
    list->copies[0] = (uint8_t)member;
    list->count = 1;
    self->owned[member]++;
}

/* Partitions that must go to nodes below their lower share leave so many for the others. */
static int64_t spare(const placing_t *self, int64_t orphans)
{
    for (size_t i = 0; i < self->members; i++) {
        if (self->owned[i] < self->owner_share[i].low)
            orphans -= self->owner_share[i].low - self->owned[i];
    }
    return orphans;
}

static bool owner_room(const placing_t *self, size_t member, int64_t orphans)
{
    if (self->owned[member] < self->owner_share[member].low)
        return true;
    return self->owned[member] < self->owner_share[member].high && spare(self, orphans) > 0;
}

static void place_owners(placing_t *self)
{
    int64_t orphans = 0;

    for (size_t p = 0; p < self->partitions; p++) {
        if (self->list[p].count > 0)
            self->owned[self->list[p].copies[0]]++;
        else
            orphans++;
    }
    for (size_t rank = 0; rank < VIEW_COPIES_MAX; rank++) {
        for (size_t p = 0; p < self->partitions; p++) {
            const list_t *old = &self->old[p];

            if (self->list[p].count > 0 || rank >= old->count ||
                !owner_room(self, old->copies[rank], orphans))
                continue;
            set_owner(self, p, old->copies[rank]);
            orphans--;
        }
    }
    for (size_t p = 0; p < self->partitions; p++) {
        size_t best = SIZE_MAX;
        uint64_t best_worth = 0;

        if (self->list[p].count > 0)
            continue;
        for (size_t i = 0; i < self->members; i++) {
            uint64_t worth = self->scores[p][i] >> 2 | WORTH(1);

            if (self->next->members[i].weight == 0)
                continue;
            if (owner_room(self, i, orphans))
                worth |= WORTH(0);
            if (worth > best_worth) {
                best = i;
                best_worth = worth;
            }
        }
        set_owner(self, p, best);
        orphans--;
    }
    while (even_owners(self))
        ;
}

/* The old copy that will be dropped when a new one comes: on the node with most above its share. SIZE_MAX: none has to. */
static size_t dropped_for(const placing_t *self, size_t partition, size_t comer)
{
    const list_t *old = &self->old[partition];
    size_t most = SIZE_MAX;

    if (old->count < self->width || list_find(old, comer) != SIZE_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i < old->count; i++) {
        size_t member = old->copies[i];

        if (most == SIZE_MAX || (int64_t)self->forecast[member] - self->copy_share[member].low >
                                    (int64_t)self->forecast[most] - self->copy_share[most].low)
            most = member;
    }
    return most;
}

/* One partition from a node with too much, or to a node with too little. */
static bool even_owners(placing_t *self)
{
    size_t giver = SIZE_MAX, taker = SIZE_MAX, best = SIZE_MAX, best_taker = SIZE_MAX;
    uint64_t best_worth = 0;

    for (size_t i = 0; i < self->members && giver == SIZE_MAX; i++) {
        if (self->owned[i] > self->owner_share[i].high)
            giver = i;
    }
    for (size_t i = 0; i < self->members && giver == SIZE_MAX && taker == SIZE_MAX; i++) {
        if (self->owned[i] < self->owner_share[i].low)
            taker = i;
    }
    if (giver == SIZE_MAX && taker == SIZE_MAX)
        return false;
    for (size_t p = 0; p < self->partitions; p++) {
        size_t owner = self->list[p].copies[0];

        if (self->moved[p] != 0)
            continue;
        if (giver != SIZE_MAX ? owner != giver : self->owned[owner] <= self->owner_share[owner].low)
            continue;
        for (size_t i = 0; i < self->members; i++) {
            uint64_t worth = self->scores[p][i] >> 4 | WORTH(3);
            size_t dropped;

            if (taker != SIZE_MAX ? i != taker : self->owned[i] >= self->owner_share[i].high)
                continue;
            if (self->owned[i] < self->owner_share[i].low)
                worth |= WORTH(0);
            if (list_find(&self->old[p], i) != SIZE_MAX)
                worth |= WORTH(1); /* its data is there */
            dropped = dropped_for(self, p, i);
            if (dropped == SIZE_MAX || self->forecast[dropped] > self->copy_share[dropped].low)
                worth |= WORTH(2); /* so that no third node must make up for it */
            if (worth > best_worth) {
                best = p;
                best_taker = i;
                best_worth = worth;
            }
        }
    }
    if (best == SIZE_MAX)
        return false;
    if (list_find(&self->old[best], best_taker) == SIZE_MAX) {
        size_t dropped = dropped_for(self, best, best_taker);

        self->forecast[best_taker]++;
        if (dropped != SIZE_MAX)
            self->forecast[dropped]--;
    }
    set_owner(self, best, best_taker);
    return true;
}

static void add_copy(placing_t *self, size_t partition, size_t member)
{
    list_push(&self->list[partition], member);
    self->kept[member]++;
    self->pairs[self->list[partition].copies[0]][member]++;
}

static void change_copy(placing_t *self, size_t partition, size_t at, size_t member)
{
    list_t *list = &self->list[partition];

    self->kept[list->copies[at]]--;
    self->pairs[list->copies[0]][list->copies[at]]--;
    list->copies[at] = (uint8_t)member;
    self->kept[member]++;
    self->pairs[list->copies[0]][member]++;
}

/* Copies that stand on the rack of another one; `member` in the place `at` (SIZE_MAX: as it is; count: added). */
static size_t clashes(const placing_t *self, const list_t *list, size_t at, size_t member)
{
    list_t changed = *list;
    size_t count = 0;

    if (at < list->count)
        changed.copies[at] = (uint8_t)member;
    else if (at == list->count)
        list_push(&changed, member);
    for (size_t i = 1; i < changed.count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (self->rack[changed.copies[i]] == self->rack[changed.copies[k]]) {
                count++;
                break;
            }
        }
    }
    return count;
}

static void place_copies(placing_t *self)
{
    for (size_t p = 0; p < self->partitions; p++) {
        list_t *list = &self->list[p];
        const list_t *old = &self->old[p];

        self->kept[list->copies[0]]++;
        for (size_t i = 0; i < old->count; i++) {
            /* One too many for a moment where the new owner is none of the old copies: trimmed below. */
            if (old->copies[i] != list->copies[0] && list->count < VIEW_COPIES_MAX)
                add_copy(self, p, old->copies[i]);
        }
    }
    for (size_t p = 0; p < self->partitions; p++) {
        while (self->list[p].count > self->width)
            trim(self, (uint16_t)p);
    }
    for (size_t p = 0; p < self->partitions; p++) {
        while (self->list[p].count < self->width)
            fill(self, (uint16_t)p);
    }
    while (even_copies(self))
        ;
    for (size_t i = 0; i < RACK_PASSES && part_racks(self); i++)
        ;
}

/* The follower whose node has most above its share goes; of equals one that clashes, else the last. */
static void trim(placing_t *self, uint16_t partition)
{
    list_t *list = &self->list[partition];
    size_t worst = list->count - 1;
    int64_t worst_worth = INT64_MIN;

    for (size_t i = 1; i < list->count; i++) {
        size_t member = list->copies[i];
        list_t without = *list;
        int64_t worth = ((int64_t)self->kept[member] - self->copy_share[member].low) * 4;

        memmove(&without.copies[i], &without.copies[i + 1], list->count - i - 1);
        without.count--;
        worth += clashes(self, &without, SIZE_MAX, 0) < clashes(self, list, SIZE_MAX, 0);
        if (worth >= worst_worth) {
            worst = i;
            worst_worth = worth;
        }
    }
    self->kept[list->copies[worst]]--;
    self->pairs[list->copies[0]][list->copies[worst]]--;
    memmove(&list->copies[worst], &list->copies[worst + 1], list->count - worst - 1);
    list->count--;
}

static void fill(placing_t *self, uint16_t partition)
{
    list_t *list = &self->list[partition];
    size_t best = SIZE_MAX, clash = clashes(self, list, SIZE_MAX, 0);
    uint64_t best_worth = 0;

    for (size_t i = 0; i < self->members; i++) {
        uint64_t worth = self->scores[partition][i] >> 24 | WORTH(4);

        if (self->next->members[i].weight == 0 || list_find(list, i) != SIZE_MAX)
            continue;
        if (self->kept[i] < self->copy_share[i].high || partition == self->partitions)
            worth |= WORTH(0);
        if (clashes(self, list, list->count, i) == clash)
            worth |= WORTH(1);
        if (self->kept[i] < self->copy_share[i].low)
            worth |= WORTH(2);
        worth |= (uint64_t)(UINT16_MAX - self->pairs[list->copies[0]][i]) << 40;
        if (worth > best_worth) {
            best = i;
            best_worth = worth;
        }
    }
    INVARIANT(best != SIZE_MAX); /* width is at most the number of members that take something */
    add_copy(self, partition, best);
}

/* As even_owners, of one follower's place. A node whose copies cannot be moved stays as it is. */
static bool even_copies(placing_t *self)
{
    for (size_t fixed = 0; fixed < self->members; fixed++) {
        bool gives = self->kept[fixed] > self->copy_share[fixed].high;
        bool takes = self->kept[fixed] < self->copy_share[fixed].low;
        size_t best = SIZE_MAX, best_at = 0, best_taker = 0;
        uint64_t best_worth = 0;

        if (!gives && !takes)
            continue;
        for (size_t p = 0; p < self->partitions; p++) {
            const list_t *list = &self->list[p];
            size_t clash = clashes(self, list, SIZE_MAX, 0);

            if (takes && list_find(list, fixed) != SIZE_MAX)
                continue;
            for (size_t at = 1; at < list->count; at++) {
                size_t giver = list->copies[at];

                if (gives ? giver != fixed : self->kept[giver] <= self->copy_share[giver].low)
                    continue;
                for (size_t i = 0; i < self->members; i++) {
                    uint64_t worth = self->scores[p][i] >> 24 | WORTH(3);

                    if (takes ? i != fixed
                              : self->kept[i] >= self->copy_share[i].high ||
                                    list_find(list, i) != SIZE_MAX)
                        continue;
                    if (clashes(self, list, at, i) <= clash)
                        worth |= WORTH(0);
                    if (self->kept[giver] > self->copy_share[giver].high)
                        worth |= WORTH(1);
                    if (self->kept[i] < self->copy_share[i].low)
                        worth |= WORTH(2);
                    worth |= (uint64_t)(UINT16_MAX - self->pairs[list->copies[0]][i]) >> 1 << 41;
                    if (worth > best_worth) {
                        best = p;
                        best_at = at;
                        best_taker = i;
                        best_worth = worth;
                    }
                }
            }
        }
        if (best != SIZE_MAX) {
            change_copy(self, best, best_at, best_taker);
            return true;
        }
    }
    return false;
}

/* Replaces the follower `at` of a partition by a node with room, or swaps it with a follower of another partition, where
 * that leaves fewer clashes. */
static bool part_one(placing_t *self, size_t partition, size_t at)
{
    list_t *list = &self->list[partition];
    size_t member = list->copies[at], clash = clashes(self, list, SIZE_MAX, 0);

    for (size_t i = 0; i < self->members && self->kept[member] > self->copy_share[member].low;
         i++) {
        if (list_find(list, i) == SIZE_MAX && self->kept[i] < self->copy_share[i].high &&
            clashes(self, list, at, i) < clash) {
            change_copy(self, partition, at, i);
            return true;
        }
    }
    for (size_t p = 0; p < self->partitions; p++) {
        list_t *other = &self->list[p];

        if (p == partition || list_find(other, member) != SIZE_MAX)
            continue;
        for (size_t k = 1; k < other->count; k++) {
            size_t swapped = other->copies[k];

            if (self->rack[swapped] == self->rack[member] || list_find(list, swapped) != SIZE_MAX)
                continue;
            if (clashes(self, list, at, swapped) + clashes(self, other, k, member) <
                clash + clashes(self, other, SIZE_MAX, 0)) {
                change_copy(self, partition, at, swapped);
                change_copy(self, p, k, member);
                return true;
            }
        }
    }
    return false;
}

static bool part_racks(placing_t *self)
{
    size_t least = self->width > self->racks ? self->width - self->racks : 0;
    bool changed = false;

    for (size_t p = 0; p < self->partitions; p++) {
        for (size_t at = 1; at < self->list[p].count; at++) {
            if (clashes(self, &self->list[p], SIZE_MAX, 0) <= least)
                break;
            changed |= part_one(self, p, at);
        }
    }
    return changed;
}

/* Its owner where it is, else its first follower, else whoever owns least for its weight. */
static void place_catalogue(placing_t *self)
{
    list_t *list = &self->list[self->partitions];
    const list_t *old = &self->old[self->partitions];

    if (list->count == 0 && old->count > 0)
        list_push(list, old->copies[0]);
    while (list->count == 0) {
        size_t best = SIZE_MAX;
        uint64_t best_worth = 0;

        for (size_t i = 0; i < self->members; i++) {
            uint64_t worth = self->scores[self->partitions][i] >> 2 | WORTH(1);

            if (self->next->members[i].weight == 0)
                continue;
            if (self->owned[i] <= self->owner_share[i].low)
                worth |= WORTH(0);
            if (worth > best_worth) {
                best = i;
                best_worth = worth;
            }
        }
        list_push(list, best);
    }
    for (size_t i = 0; i < old->count && list->count < self->width; i++) {
        if (list_find(list, old->copies[i]) == SIZE_MAX)
            list_push(list, old->copies[i]);
    }
    while (list->count < self->width)
        fill(self, self->partitions);
}
