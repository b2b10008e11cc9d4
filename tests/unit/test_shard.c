/* test_shard.c - the shard's promises to other threads; the bodies also run under the thread sanitizer */
#include "tests/threads/shard_bodies.h"

#include <criterion/criterion.h>

TestSuite(shard, .timeout = 120);

Test(shard, loses_no_earn_of_many_threads)
{
    body_earns_from_many_threads(4, 2000);
}
Test(shard, ends_all_transfers_between_its_partitions)
{
    body_transfers_between_partitions(400);
}
Test(shard, finishes_what_it_accepted_when_it_stops)
{
    body_stop_finishes_what_was_accepted();
}
Test(shard, refuses_at_once_when_its_mailbox_is_full)
{
    body_full_mailbox_refuses();
}
Test(shard, applies_no_messages_while_frozen)
{
    body_frozen_shard_applies_no_messages();
}
Test(shard, takes_any_frame_without_harm)
{
    body_any_frame_is_harmless();
}
