/* test_members.c - who is up, who is refused, who owns what: seen from node 0 of three, with a clock of the test */
#include "cluster/members.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000)

typedef struct {
    members_t *members;
    addresses_t addresses;
    birth_t birth; /* of node 0 */
    int64_t now_us;
} seen_t;

static hash_t process(uint8_t number)
{
    hash_t incarnation;

    memset(incarnation.bytes, number, sizeof incarnation.bytes);
    return incarnation;
}

static void seen_fill(void *state, void *bytes, size_t n)
{
    (void)state;
    memset(bytes, 77, n);
}

static void seen_begin(seen_t *self, bool born)
{
    const random_source_t random = {seen_fill, NULL};
    hash_t own = process(100);

    memset(self, 0, sizeof *self);
    self->now_us = 10 * SECOND;
    cr_assert_eq(addresses_parse(&self->addresses, "h0:1", "h0:1,h1:1,h2:1", NULL), ERR_NONE);
    cr_assert_eq(genesis_cluster(&self->addresses, &random, 16, &self->birth, NULL), ERR_NONE);
    self->birth.settled = true;
    self->members = members_new(&self->addresses, &own, 16);
    if (born)
        members_set_birth(self->members, &self->birth);
}

/* What a healthy node says. */
static link_hello_t hello_of(const seen_t *self, uint16_t node)
{
    link_hello_t hello;

    memset(&hello, 0, sizeof hello);
    (void)snprintf(hello.address, sizeof hello.address, "h%u:1", node);
    hello.heard = process(100);
    hello.list = addresses_digest(&self->addresses);
    hello.born = true;
    hello.settled = true;
    hello.cluster = self->birth.cluster;
    hello.node = node;
    hello.partitions = 16;
    for (unsigned p = 0; p <= 16; p++) {
        if (self->birth.owners[p] == node)
            hello.owned[p / 8] = (uint8_t)(hello.owned[p / 8] | 1 << p % 8);
    }
    return hello;
}

static size_t say(seen_t *self, uint8_t from, const link_hello_t *hello)
{
    hash_t incarnation = process(from);

    return members_hello(self->members, &incarnation, hello, self->now_us);
}

static size_t beat(seen_t *self, uint8_t from)
{
    hash_t incarnation = process(from), own = process(100);

    return members_heard(self->members, &incarnation, &own, self->now_us);
}

static void pass(seen_t *self, int64_t us)
{
    self->now_us += us;
    members_sweep(self->members, self->now_us);
}

static uint16_t one_of(const seen_t *self, uint16_t node)
{
    uint16_t p = 0;

    while (self->birth.owners[p] != node)
        p++;
    return p;
}

static owner_kind_t owner(const seen_t *self, uint16_t partition)
{
    size_t link;

    return members_owner(self->members, partition, &link);
}

static bool troubled(const seen_t *self, const char *text)
{
    buffer_t out;
    bool found;

    buffer_init(&out, 1 << 16);
    members_troubles(self->members, &out);
    buffer_byte(&out, 0);
    found = strstr((const char *)out.bytes, text) != NULL;
    buffer_free(&out);
    return found;
}

static bool untroubled(const seen_t *self)
{
    buffer_t out;
    bool none;

    buffer_init(&out, 1 << 16);
    members_troubles(self->members, &out);
    none = out.size == 0;
    buffer_free(&out);
    return none;
}

Test(members, is_up_when_both_have_had_the_others_hello)
{
    seen_t seen;
    link_hello_t hello;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    hello.heard = process(0);
    cr_assert_eq(say(&seen, 1, &hello), 1);
    cr_assert(members_is_alive(seen.members, 1));
    cr_assert(!members_is_up(seen.members, 1));
    /* A frame that names this process proves it too. */
    cr_assert_eq(beat(&seen, 1), 1);
    cr_assert(members_is_up(seen.members, 1));
    members_destroy(&seen.members);
}

Test(members, is_down_after_two_silent_seconds_and_up_again_when_heard)
{
    seen_t seen;
    link_hello_t hello;
    uint64_t session;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    (void)say(&seen, 1, &hello);
    session = members_session(seen.members, 1);
    pass(&seen, SECOND);
    (void)beat(&seen, 1);
    pass(&seen, 2 * SECOND - 1);
    cr_assert(members_is_up(seen.members, 1));
    pass(&seen, 1);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert_gt(members_session(seen.members, 1), session, "what was sent is lost");
    cr_assert_eq(owner(&seen, one_of(&seen, 1)), OWNER_LINK, "it still is the owner");
    (void)beat(&seen, 1);
    cr_assert(members_is_up(seen.members, 1));
    members_bye(seen.members, 1);
    cr_assert(!members_is_up(seen.members, 1));
    members_destroy(&seen.members);
}

Test(members, is_not_up_when_it_does_not_hear_this_node)
{
    seen_t seen;
    link_hello_t hello, own;
    hash_t none = {{0}}, peer = process(1);

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    members_own_hello(seen.members, 1, &own);
    cr_assert(hash_equal(&own.heard, &none));
    (void)say(&seen, 1, &hello);
    members_own_hello(seen.members, 1, &own);
    cr_assert(hash_equal(&own.heard, &peer));
    /* Its way to us works, ours to it does not. */
    hello.heard = none;
    (void)say(&seen, 1, &hello);
    cr_assert(!members_is_up(seen.members, 1));
    /* And the other way round: we tell it. */
    pass(&seen, 2 * SECOND);
    members_own_hello(seen.members, 1, &own);
    cr_assert(hash_equal(&own.heard, &none));
    members_destroy(&seen.members);
}

Test(members, frames_for_or_from_another_process_do_not_count)
{
    seen_t seen;
    link_hello_t hello;
    hash_t peer = process(1), former = process(99);

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    cr_assert_eq(beat(&seen, 1), 3, "no hello yet");
    (void)say(&seen, 1, &hello);
    cr_assert_eq(members_heard(seen.members, &peer, &former, seen.now_us), 3);
    cr_assert_eq(beat(&seen, 2), 3);
    members_destroy(&seen.members);
}

Test(members, learns_owners_from_what_is_advertised_not_from_the_birth)
{
    seen_t seen;
    link_hello_t hello;
    size_t link = 9;
    uint16_t moved;

    seen_begin(&seen, true);
    for (uint16_t p = 0; p <= 16; p++)
        cr_assert_eq(owner(&seen, p), seen.birth.owners[p] == 0 ? OWNER_SELF : OWNER_NONE);
    hello = hello_of(&seen, 1);
    moved = one_of(&seen, 2);
    hello.owned[moved / 8] = (uint8_t)(hello.owned[moved / 8] | 1 << moved % 8);
    (void)say(&seen, 1, &hello);
    cr_assert_eq(members_owner(seen.members, moved, &link), OWNER_LINK);
    cr_assert_eq(link, 1);
    members_destroy(&seen.members);
}

Test(members, a_restarted_process_takes_over_at_once)
{
    seen_t seen;
    link_hello_t hello;
    uint64_t session;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    (void)say(&seen, 1, &hello);
    session = members_session(seen.members, 1);
    pass(&seen, SECOND / 2);
    (void)say(&seen, 2, &hello);
    cr_assert(members_is_up(seen.members, 1));
    cr_assert_gt(members_session(seen.members, 1), session);
    /* Its forerunner's last frames are no second process. */
    pass(&seen, SECOND / 2);
    cr_assert_eq(beat(&seen, 1), 3);
    cr_assert(untroubled(&seen));
    cr_assert(members_is_up(seen.members, 1));
    members_destroy(&seen.members);
}

Test(members, two_processes_at_one_address_are_refused_until_one_is_silent)
{
    seen_t seen;
    link_hello_t hello;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    (void)say(&seen, 1, &hello);
    (void)say(&seen, 2, &hello);
    pass(&seen, 3 * SECOND / 2);
    (void)beat(&seen, 2);
    (void)say(&seen, 1, &hello);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert(troubled(&seen, "two processes are alive that say they are the node at h1:1"));
    cr_assert_eq(owner(&seen, one_of(&seen, 1)), OWNER_CONTESTED);
    for (int i = 0; i < 5; i++) {
        (void)beat(&seen, 2);
        pass(&seen, SECOND);
    }
    (void)beat(&seen, 2);
    pass(&seen, 1);
    cr_assert(members_is_up(seen.members, 1));
    cr_assert(untroubled(&seen));
    members_destroy(&seen.members);
}

Test(members, one_node_number_at_two_addresses_is_refused_twice)
{
    seen_t seen;
    link_hello_t one, copy;

    seen_begin(&seen, true);
    one = hello_of(&seen, 1);
    copy = one;
    memcpy(copy.address, "h2:1", 5);
    (void)say(&seen, 1, &one);
    (void)say(&seen, 2, &copy);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert(!members_is_up(seen.members, 2));
    cr_assert(troubled(&seen, "both say that they are node 1"));
    cr_assert_eq(owner(&seen, one_of(&seen, 1)), OWNER_CONTESTED);
    cr_assert_eq(owner(&seen, one_of(&seen, 0)), OWNER_SELF);
    /* One of them is stopped: the other one goes on. */
    pass(&seen, SECOND);
    (void)beat(&seen, 1);
    pass(&seen, SECOND);
    cr_assert(members_is_up(seen.members, 1));
    cr_assert(!members_is_up(seen.members, 2));
    members_destroy(&seen.members);
}

Test(members, two_advertisers_of_one_partition_are_refused)
{
    seen_t seen;
    link_hello_t one, two;
    uint16_t both;

    seen_begin(&seen, true);
    one = hello_of(&seen, 1);
    two = hello_of(&seen, 2);
    both = one_of(&seen, 1);
    two.owned[both / 8] = (uint8_t)(two.owned[both / 8] | 1 << both % 8);
    (void)say(&seen, 1, &one);
    cr_assert(members_is_up(seen.members, 1));
    (void)say(&seen, 2, &two);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert(!members_is_up(seen.members, 2));
    cr_assert(troubled(&seen, "both advertise partition"));
    cr_assert_eq(owner(&seen, both), OWNER_CONTESTED);
    members_destroy(&seen.members);
}

Test(members, stops_serving_for_good_what_a_peer_advertises_too)
{
    seen_t seen;
    link_hello_t one;
    uint16_t own;

    seen_begin(&seen, true);
    one = hello_of(&seen, 1);
    own = one_of(&seen, 0);
    one.owned[own / 8] = (uint8_t)(one.owned[own / 8] | 1 << own % 8);
    (void)say(&seen, 1, &one);
    cr_assert(troubled(&seen, "which this node owns"));
    for (uint16_t p = 0; p <= 16; p++) {
        if (seen.birth.owners[p] == 0)
            cr_assert_eq(owner(&seen, p), p == own ? OWNER_CONTESTED : OWNER_SELF);
    }
    pass(&seen, 60 * SECOND);
    cr_assert_eq(owner(&seen, own), OWNER_CONTESTED);
    members_destroy(&seen.members);
}

Test(members, serves_nothing_beside_a_copy_of_its_own_store)
{
    seen_t seen;
    link_hello_t copy;

    seen_begin(&seen, true);
    copy = hello_of(&seen, 0);
    memcpy(copy.address, "h1:1", 5);
    (void)say(&seen, 1, &copy);
    for (uint16_t p = 0; p <= 16; p++)
        cr_assert_neq(owner(&seen, p), OWNER_SELF);
    pass(&seen, 60 * SECOND);
    cr_assert_eq(owner(&seen, one_of(&seen, 0)), OWNER_CONTESTED);
    cr_assert(troubled(&seen, "copies of one store"));
    members_destroy(&seen.members);
}

Test(members, of_another_cluster_or_size_or_empty_are_refused)
{
    seen_t seen;
    link_hello_t hello;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    hello.cluster = process(1);
    (void)say(&seen, 1, &hello);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert(troubled(&seen, "another cluster"));
    cr_assert_eq(owner(&seen, one_of(&seen, 1)), OWNER_NONE);

    hello = hello_of(&seen, 1);
    hello.partitions = 17;
    (void)say(&seen, 2, &hello);
    cr_assert(!members_is_up(seen.members, 1));

    hello = hello_of(&seen, 1);
    hello.node = 3;
    (void)say(&seen, 3, &hello);
    cr_assert(!members_is_up(seen.members, 1));

    hello = hello_of(&seen, 1);
    hello.born = false;
    hello.settled = false;
    (void)say(&seen, 4, &hello);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert(troubled(&seen, "is empty although its cluster exists"));

    hello = hello_of(&seen, 1);
    (void)say(&seen, 5, &hello);
    cr_assert(members_is_up(seen.members, 1));
    cr_assert(untroubled(&seen));
    members_destroy(&seen.members);
}

Test(members, of_a_node_with_an_empty_store_are_not_joined)
{
    seen_t seen;
    link_hello_t hello;

    seen_begin(&seen, false);
    hello = hello_of(&seen, 1);
    (void)say(&seen, 1, &hello);
    cr_assert(!members_is_up(seen.members, 1));
    cr_assert(troubled(&seen, "this node's store is empty but"));
    for (uint16_t p = 0; p <= 16; p++)
        cr_assert_eq(owner(&seen, p), OWNER_NONE);

    hello = hello_of(&seen, 2);
    hello.born = false;
    hello.settled = false;
    hello.list = process(9);
    (void)say(&seen, 2, &hello);
    cr_assert(troubled(&seen, "another list of cluster addresses"));
    members_destroy(&seen.members);
}

Test(members, strangers_are_named_for_a_while)
{
    seen_t seen;
    link_hello_t hello;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 1);
    memcpy(hello.address, "h9:1", 5);
    cr_assert_eq(say(&seen, 1, &hello), 3);
    cr_assert(troubled(&seen, "h9:1, which is not in this node's list"));
    memcpy(hello.address, "h0:1", 5);
    cr_assert_eq(say(&seen, 1, &hello), 3);
    cr_assert(troubled(&seen, "this node's address h0:1"));
    pass(&seen, 6 * SECOND);
    cr_assert(untroubled(&seen));
    members_destroy(&seen.members);
}

Test(members, a_node_that_moved_is_known_by_its_number)
{
    seen_t seen;
    link_hello_t hello;
    size_t link = 9;

    seen_begin(&seen, true);
    hello = hello_of(&seen, 2);
    memcpy(hello.address, "h1:1", 5); /* node 2, now at the address that was node 1's */
    (void)say(&seen, 1, &hello);
    cr_assert(members_is_up(seen.members, 1));
    cr_assert_eq(members_owner(seen.members, one_of(&seen, 2), &link), OWNER_LINK);
    cr_assert_eq(link, 1);
    cr_assert_eq(owner(&seen, one_of(&seen, 1)), OWNER_NONE);
    members_destroy(&seen.members);
}
