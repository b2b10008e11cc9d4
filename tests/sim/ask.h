/* ask.h - commands and questions in one line each, for tests on a world
 *
 * Contract   ask_*() builds a command; ask() posts it where it belongs and runs the world until the answer is there. The
 *            hash of the body is made as HTTP makes it: over everything but the key. read_*() look at committed
 *            state through queries, as HTTP does.
 * Threads    One.
 * Ownership  Texts in a command are borrowed from the caller; a result's texts live as long as the world.
 * Units      Points; microseconds UTC. Amounts are decimal text ("123.45").
 * Errors     ask() returns the request's err_t; everything else is INVARIANT: a test must not go on.
 */
#ifndef FEALTY_ASK_H
#define FEALTY_ASK_H

#include "tests/sim/world.h"

/* A world of one node that loses nothing: what most rules need. */
world_t *world_calm(uint16_t partitions);

int128_t amount_of(const char *text);
command_t ask_enrol(const uuid16_t *customer, uint32_t program);
command_t ask_earn(uint64_t account, const char *amount);
command_t ask_burn(uint64_t account, points_t points);
command_t ask_adjust(uint64_t account, points_t points);
command_t ask_transfer(uint64_t from, uint64_t to, points_t points);
command_t ask_post(uint64_t account, uint8_t type, points_t points);
command_t ask_edit(uint64_t entry, uint8_t type, points_t points); /* type 0: the amount alone */
command_t ask_delete(uint64_t entry);
command_t ask_status(uint64_t account, uint8_t status);
command_t ask_delete_account(uint64_t account);
command_t ask_define(uint8_t resource, uint32_t id, const char *json);
command_t ask_undefine(uint8_t resource, uint32_t id);
void with_key(command_t *command, const char *key);
void with_reference(command_t *command, const char *reference);

/* Where a command goes. */
uint16_t ask_partition(const world_t *world, const command_t *command);
/* Sets the hash of the body and posts; the ticket is 0 when the node is down. */
size_t ask_later(world_t *world, command_t command);
errcode_t ask(world_t *world, command_t command, result_t *result, err_t *err);
/* HTTP status of the answer, or that of the error when there is none. */
unsigned ask_http(world_t *world, command_t command);
/* The same, and the code on the wire of a refusal must be `code`. */
bool ask_refused(world_t *world, command_t command, unsigned http, const char *code);
/* Must be a success; its entry (0 when it has none). */
uint64_t ask_done(world_t *world, command_t command);
bool text_is(text_t text, const char *expected);

bool same_lots(const account_t *a, const account_t *b); /* those in the rows of the accounts */
points_t read_balance(world_t *world, uint64_t account);
/* An entry, hidden or not, with its texts in *bytes. false: there is none. */
bool read_entry(world_t *world, uint64_t id, entry_t *out, buffer_t *bytes);
/* Visible entries of an account; the sum of their deltas goes to *sum (may be NULL). */
uint64_t read_entries(world_t *world, uint64_t account, points_t *sum);
/* Count that the partitions' counters give for a program and type (0 = all types). */
uint64_t read_count(world_t *world, uint32_t program, uint8_t type);
/* A row as it stands on a node's disk. */
bool read_row(world_t *world, uint16_t node, family_t family, const uint8_t *key, size_t key_bytes,
              buffer_t *value);

/* A customer of a given partition: the first of `number`, number + 1, ... that falls into it. */
uuid16_t customer_in(world_t *world, uint16_t partition, uint64_t number);

#endif
