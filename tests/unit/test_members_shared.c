/* test_members_shared.c - members on a shared log: they come and go, and the highest epoch owns */
#include "cluster/members.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000)

typedef struct {
    members_t *members;
    int64_t now_us;
} shared_t;

static hash_t shared_hash(uint8_t number)
{
    hash_t hash;

    memset(hash.bytes, number, sizeof hash.bytes);
    return hash;
}

/* Node h0:1 of the cluster 77, with the peers h1:1 and h2:1 at links 1 and 2. */
static void shared_begin(shared_t *self)
{
    hash_t own = shared_hash(100), cluster = shared_hash(77);

    self->now_us = 10 * SECOND;
    self->members = members_new_shared("h0:1", &own, 8);
    members_set_cluster(self->members, &cluster, 16);
    cr_assert_eq(members_add(self->members, "h1:1"), 1);
    cr_assert_eq(members_add(self->members, "h2:1"), 2);
}

static link_shared_hello_t *shared_hello(uint8_t node)
{
    static link_shared_hello_t hello;

    memset(&hello, 0, sizeof hello);
    (void)snprintf(hello.address, sizeof hello.address, "h%u:1", node);
    hello.heard = shared_hash(100);
    hello.known = true;
    hello.cluster = shared_hash(77);
    hello.partitions = 16;
    return &hello;
}

static size_t shared_say(shared_t *self, uint8_t process, const link_shared_hello_t *hello)
{
    hash_t from = shared_hash(process);

    return members_shared_hello(self->members, &from, hello, self->now_us);
}

/* A node that owns partition 5 in this epoch. */
static void shared_owns(shared_t *self, uint8_t node, uint64_t epoch)
{
    link_shared_hello_t *hello = shared_hello(node);

    hello->epochs[5] = epoch;
    cr_assert_eq(shared_say(self, node, hello), node);
}

static uint64_t shared_best(const shared_t *self, uint16_t partition, size_t *link)
{
    static members_best_t best;

    members_best(self->members, &best);
    *link = best.links[partition];
    return best.epochs[partition];
}

static bool shared_troubled(const shared_t *self, const char *text)
{
    buffer_t out;
    bool found;

    buffer_init(&out, 1 << 16);
    members_troubles(self->members, &out);
    buffer_byte(&out, 0);
    found = text[0] == '\0' ? out.size == 1 : strstr((const char *)out.bytes, text) != NULL;
    buffer_free(&out);
    return found;
}

Test(members_shared, are_up_when_both_have_had_the_others_hello)
{
    shared_t shared;
    link_shared_hello_t *hello = shared_hello(1);
    link_shared_hello_t own;

    shared_begin(&shared);
    hello->heard = shared_hash(0);
    cr_assert_eq(shared_say(&shared, 1, hello), 1);
    cr_assert(!members_is_up(shared.members, 1));
    members_set_owned(shared.members, 3, 44);
    members_own_shared_hello(shared.members, 1, &own);
    cr_assert_str_eq(own.address, "h0:1");
    cr_assert(hash_equal(&own.heard, &(hash_t[]){shared_hash(1)}[0]));
    cr_assert(own.known);
    cr_assert_eq(own.partitions, 16);
    cr_assert_eq(own.epochs[3], 44);
    cr_assert_eq(own.epochs[4], 0);
    cr_assert_eq(shared_say(&shared, 1, shared_hello(1)), 1);
    cr_assert(members_is_up(shared.members, 1));
    cr_assert(shared_troubled(&shared, ""));
    members_destroy(&shared.members);
}

Test(members_shared, nobody_is_up_before_a_view_was_read)
{
    hash_t own = shared_hash(100), cluster = shared_hash(77);
    shared_t shared = {.now_us = SECOND};
    link_shared_hello_t *hello;
    link_shared_hello_t told;

    shared.members = members_new_shared("h0:1", &own, 8);
    cr_assert_eq(members_add(shared.members, "h1:1"), 1);
    hello = shared_hello(1);
    cr_assert_eq(shared_say(&shared, 1, hello), 1);
    cr_assert(!members_is_up(shared.members, 1));
    members_own_shared_hello(shared.members, 1, &told);
    cr_assert(!told.known);
    members_set_cluster(shared.members, &cluster, 16);
    cr_assert(members_is_up(shared.members, 1));
    /* The other way round: this node knows, the peer does not yet. */
    hello->known = false;
    cr_assert_eq(shared_say(&shared, 1, hello), 1);
    cr_assert(!members_is_up(shared.members, 1));
    cr_assert(shared_troubled(&shared, ""));
    members_destroy(&shared.members);
}

Test(members_shared, the_highest_epoch_owns_and_nothing_is_contested)
{
    shared_t shared;
    size_t link = 99;

    shared_begin(&shared);
    cr_assert_eq(shared_best(&shared, 5, &link), 0);
    shared_owns(&shared, 1, 4);
    shared_owns(&shared, 2, 6);
    cr_assert_eq(shared_best(&shared, 5, &link), 6);
    cr_assert_eq(link, 2);
    shared_owns(&shared, 1, 7);
    cr_assert_eq(shared_best(&shared, 5, &link), 7);
    cr_assert_eq(link, 1);
    shared_owns(&shared, 1, 0); /* released */
    cr_assert_eq(shared_best(&shared, 5, &link), 6);
    cr_assert_eq(link, 2);
    cr_assert_eq(shared_best(&shared, 6, &link), 0);
    cr_assert(shared_troubled(&shared, ""));
    members_destroy(&shared.members);
}

Test(members_shared, an_owner_that_is_up_goes_before_one_that_is_not_heard)
{
    shared_t shared;
    size_t link = 99;

    shared_begin(&shared);
    shared_owns(&shared, 1, 9);
    shared.now_us += 3 * SECOND;
    members_sweep(shared.members, shared.now_us);
    cr_assert(!members_is_up(shared.members, 1));
    cr_assert_eq(shared_best(&shared, 5, &link), 9); /* who it was, for the message */
    cr_assert_eq(link, 1);
    shared_owns(&shared, 2, 8);
    cr_assert_eq(shared_best(&shared, 5, &link), 8);
    cr_assert_eq(link, 2);
    /* Who said good-bye owns nothing any more. */
    members_bye(shared.members, 2);
    members_bye(shared.members, 1);
    cr_assert_eq(shared_best(&shared, 5, &link), 0);
    members_destroy(&shared.members);
}

Test(members_shared, a_member_that_goes_takes_nothing_with_it_to_the_next_at_its_link)
{
    shared_t shared;
    uint64_t session;
    size_t link = 99;

    shared_begin(&shared);
    shared_owns(&shared, 1, 9);
    session = members_session(shared.members, 1);
    members_remove(shared.members, 1);
    cr_assert(!members_is_peer(shared.members, 1));
    cr_assert_eq(shared_best(&shared, 5, &link), 0);
    cr_assert_eq(shared_say(&shared, 1, shared_hello(1)), members_count(shared.members));
    cr_assert_eq(members_add(shared.members, "h3:1"), 1);
    cr_assert_gt(members_session(shared.members, 1), session);
    cr_assert(!members_is_up(shared.members, 1));
    cr_assert_eq(shared_best(&shared, 5, &link), 0);
    cr_assert_str_eq(members_address(shared.members, 1), "h3:1");
    cr_assert_eq(shared_say(&shared, 3, shared_hello(3)), 1);
    cr_assert(members_is_up(shared.members, 1));
    members_destroy(&shared.members);
}

Test(members_shared, are_added_once_and_only_where_there_is_room)
{
    hash_t own = shared_hash(100);
    members_t *members = members_new_shared("h0:1", &own, 8);
    char address[32];

    cr_assert_eq(members_add(members, "h0:1"), members_count(members)); /* this node itself */
    cr_assert_eq(members_add(members, "no port"), members_count(members));
    for (unsigned i = 1; i < ADDRESSES_MAX; i++) {
        (void)snprintf(address, sizeof address, "h%u:1", i);
        cr_assert_eq(members_add(members, address), i);
        cr_assert_eq(members_add(members, address), members_count(members));
    }
    cr_assert_eq(members_add(members, "h99:1"), members_count(members));
    members_destroy(&members);
}

Test(members_shared, another_cluster_is_refused_with_a_sentence)
{
    shared_t shared;
    link_shared_hello_t *hello = shared_hello(1);
    size_t link;

    shared_begin(&shared);
    hello->cluster = shared_hash(78);
    hello->epochs[5] = 3;
    cr_assert_eq(shared_say(&shared, 1, hello), 1);
    cr_assert(!members_is_up(shared.members, 1));
    cr_assert_eq(shared_best(&shared, 5, &link), 0);
    cr_assert(shared_troubled(&shared, "h1:1 belongs to another cluster"));
    /* Somebody who is no member: only worth a word when he belongs elsewhere. */
    shared_owns(&shared, 1, 3);
    cr_assert(shared_troubled(&shared, ""));
    hello = shared_hello(9);
    cr_assert_eq(shared_say(&shared, 9, hello), members_count(shared.members));
    cr_assert(shared_troubled(&shared, ""));
    hello->cluster = shared_hash(78);
    cr_assert_eq(shared_say(&shared, 9, hello), members_count(shared.members));
    cr_assert(shared_troubled(&shared, "h9:1, which belongs to another cluster"));
    members_misfit(shared.members, "h8:1", shared.now_us);
    cr_assert(shared_troubled(&shared, "h8:1 keeps its partitions to itself"));
    shared.now_us += 6 * SECOND;
    members_sweep(shared.members, shared.now_us);
    cr_assert(shared_troubled(&shared, ""));
    members_destroy(&shared.members);
}

Test(members_shared, a_new_process_at_an_address_starts_without_what_the_old_one_owned)
{
    shared_t shared;
    uint64_t session;
    size_t link;

    shared_begin(&shared);
    shared_owns(&shared, 1, 9);
    session = members_session(shared.members, 1);
    cr_assert_eq(shared_say(&shared, 50, shared_hello(1)), 1);
    cr_assert_gt(members_session(shared.members, 1), session);
    cr_assert_eq(shared_best(&shared, 5, &link), 0);
    cr_assert(members_is_up(shared.members, 1));
    members_destroy(&shared.members);
}

Test(members_shared, a_hello_without_news_changes_nothing_but_that_it_was_heard)
{
    shared_t shared;
    uint64_t version;

    shared_begin(&shared);
    shared_owns(&shared, 1, 9);
    version = members_version(shared.members);
    shared.now_us += 3 * SECOND / 2;
    shared_owns(&shared, 1, 9);
    cr_assert_eq(members_version(shared.members), version);
    shared.now_us += 3 * SECOND / 2;
    members_sweep(shared.members, shared.now_us);
    cr_assert(members_is_up(shared.members, 1));
    shared_owns(&shared, 1, 10);
    cr_assert_gt(members_version(shared.members), version);
    members_destroy(&shared.members);
}

Test(members_shared, what_keeps_a_peer_from_being_dialled_is_a_trouble)
{
    shared_t shared;

    shared_begin(&shared);
    members_set_dialling(shared.members, 2, "no key in \"keys\"");
    cr_assert(shared_troubled(&shared, "no key in 'keys'"));
    members_set_dialling(shared.members, 2, "");
    cr_assert(shared_troubled(&shared, ""));
    members_destroy(&shared.members);
}
