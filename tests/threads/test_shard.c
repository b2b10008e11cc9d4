/* test_shard.c - plain runner of the shard's bodies, for the thread sanitizer */
#include "tests/threads/shard_bodies.h"

#include <stdio.h>

int main(void)
{
    puts("earns from many threads");
    body_earns_from_many_threads(4, 5000);
    puts("transfers between partitions");
    body_transfers_between_partitions(1000);
    puts("a stop finishes what was accepted");
    body_stop_finishes_what_was_accepted();
    puts("a full mailbox refuses");
    body_full_mailbox_refuses();
    puts("a frozen shard applies no messages");
    body_frozen_shard_applies_no_messages();
    puts("any frame is harmless");
    body_any_frame_is_harmless();
    return 0;
}
