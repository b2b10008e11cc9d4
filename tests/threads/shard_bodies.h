/* shard_bodies.h - what a shard promises to other threads, as bodies for two runners
 *
 * Contract   Each body sets up a real shard over a store in memory and returns when all held; what does not hold ends
 *            the process. tests/threads/test_shard.c runs them under the thread sanitizer, tests/unit/test_shard.c with
 *            all other unit tests.
 * Threads    Bodies start their own and join them.
 * Ownership  Nothing to say.
 * Units      Nothing to say.
 * Errors     INVARIANT.
 */
#ifndef FEALTY_SHARD_BODIES_H
#define FEALTY_SHARD_BODIES_H

/* `threads` threads post `count` earns each to one account; nothing is lost, and all is there after a restart. */
void body_earns_from_many_threads(unsigned threads, unsigned count);
/* Posts between partitions of one shard until all transfers have ended; both sides add up. */
void body_transfers_between_partitions(unsigned count);
/* Threads go on posting while the shard stops: what was accepted is answered and on disk, the rest was refused. */
void body_stop_finishes_what_was_accepted(void);
/* A mailbox that is full answers ERR_OVERLOADED at once and loses nothing of what it took. */
void body_full_mailbox_refuses(void);
/* While frozen no message is applied; thawed it goes on. */
void body_frozen_shard_applies_no_messages(void);
/* Frames of any bytes are taken and change nothing. */
void body_any_frame_is_harmless(void);

#endif
